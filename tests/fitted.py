"""Products as on a machine with other caches."""

import contextlib
from collections.abc import Iterator
from typing import Any

from fastnn.kernels import caches


@contextlib.contextmanager
def fitted_to(given: caches.Caches) -> Iterator[None]:
    """Fit the blocks of products to these caches; scratch must be measured inside."""
    before = list(caches.TABLE)
    table: Any = caches.TABLE
    table[:] = caches.blocks(given)
    try:
        yield
    finally:
        caches.TABLE[:] = before
