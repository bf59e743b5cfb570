"""How lmprog's event loop asks the operating system what has come: not more often than helps, and to the tenth of a millisecond."""

import select
import selectors
import sys
import time

LOOK_EVERY_S = 2e-4
"""While there is work at hand, what came meanwhile is looked for so often: each look takes as long as a short task."""
EXACT_BELOW_S = 1.0
"""Waits up to here end in time. epoll counts whole milliseconds and waits for the end of the last: a twentieth of a reply's
20 ms, at times."""
_SELECT_AT_MOST = 1024
"""`select` knows file descriptors below this."""

_Found = list[tuple[selectors.SelectorKey, int]]


class Polling(selectors.DefaultSelector):
    """The platform's selector, for an event loop that runs many short tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._looked = 0.0
        self._exact = sys.platform == "linux" and self.fileno() < _SELECT_AT_MOST

    def select(self, timeout: float | None = None) -> _Found:
        """Return what is ready, waiting up to `timeout` seconds for it; without an end where it is None."""
        if timeout is not None:
            if timeout <= 0:
                if time.monotonic() - self._looked < LOOK_EVERY_S:
                    return []
            elif self._exact and timeout < EXACT_BELOW_S:
                select.select([self], [], [], timeout)  # epoll's own descriptor is ready when any in it is
                timeout = 0
        found = super().select(timeout)
        self._looked = time.monotonic()
        return found
