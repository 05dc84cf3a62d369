"""Networks and their life: training, callbacks, saving and loading."""

from fastnn.network.network import Network

__all__ = ["Network"]
