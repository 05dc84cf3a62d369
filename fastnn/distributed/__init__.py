"""Training one network on several machines, by Dask (`pip install fastnn-kernels[dask]`)."""

from fastnn.distributed.training import fit as fit

__all__ = ["fit"]
