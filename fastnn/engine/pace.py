"""The pace of compiled calls: how many batches each takes, so that Ctrl-C is answered between them."""

# A compiled call cannot be interrupted: with calls of about this length Ctrl-C is answered within 0.1 s.
SECONDS_PER_CALL = 0.05


class Pace:
    """How many batches the next call takes, by the time of the last one, so that it lasts about so many seconds.

    Attributes
    ----------
    batches : int
    """

    def __init__(self, seconds: float = SECONDS_PER_CALL) -> None:
        self.batches, self.seconds = 1, seconds

    def took(self, batches: int, seconds: float) -> None:
        """Note that a call took so many batches and seconds."""
        wanted = int(self.seconds * batches / max(seconds, 1e-9))
        self.batches = max(1, min(wanted, 8 * self.batches))
