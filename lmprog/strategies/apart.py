"""Calls that a strategy may set aside: they stay in the trace, and no demo or training example is made of them."""

from collections.abc import Generator
from contextlib import contextmanager

from lmprog import scope


@contextmanager
def apart() -> Generator[scope.Trace]:
    """Give the calls of the block a place of their own in the trace, which `set_aside()` marks as no part of the result."""
    here = scope.current()
    steps = here.trace.branch() if here.trace else scope.Trace()
    with scope.scoped(trace=steps):
        yield steps
