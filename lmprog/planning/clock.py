"""A clock that goes on at once to when the next thing happens, where nothing is left to do until then."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from lmprog import loop, scope

T = TypeVar("T")

QUIET_PASSES = 12
"""So many passes of the event loop in a row without a call that begins or ends: nobody has anything left to do."""
POLL_S = 0.0005
"""How long to wait while threads work."""
STUCK_S = 0.25
"""Threads that make no call for so long wait for each other."""
TOGETHER_S = 0.0005
"""What is due within so short a time happens at once."""


class Watched(loop.Workers):
    """Worker threads of which is known how many are at work."""

    busy = 0

    async def run(self, work: Callable[[], T], depth: int) -> T:
        """Run `work` in a thread."""
        self.busy += 1
        try:
            return await super().run(work, depth)
        finally:
            self.busy -= 1


class Clock:
    """Time as it passes, and what is skipped of it while all that is under way sleeps on this clock.

    What computes takes the time that it takes. For one event loop and the threads of `workers`.
    """

    def __init__(self, workers: Watched) -> None:
        self._workers = workers
        self._skipped = 0.0
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._waiting = self._held = self._changes = self._quiet = 0
        self._last: tuple[int, int, int] = (0, 0, 0)
        self._changed_at = 0.0
        self._ticking = False

    def now(self) -> float:
        """Return the time in seconds, from no moment in particular."""
        return time.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        """Wait until so much time has passed or was skipped."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._due, (self.now() + seconds, next(self._numbers), over))
        self._changes += 1
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_soon(self._tick)
        await over

    @contextmanager
    def called(self) -> Generator[None]:
        """Know that a thread waits for the call made in the block, if it was a thread that made it."""
        from_thread = bool(scope.current().depth)
        self._waiting += from_thread
        self._changes += 1
        try:
            yield
        finally:
            self._waiting -= from_thread
            self._changes += 1

    @contextmanager
    def held(self) -> Generator[None]:
        """Skip no time in the block: something happens in it that takes its time."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def _tick(self) -> None:
        self._wake(self.now())
        if not self._due:
            self._ticking = False
            return
        home, state = asyncio.get_running_loop(), (self._changes, self._workers.busy, self._waiting)
        if state != self._last:
            self._last, self._quiet, self._changed_at = state, 0, time.monotonic()
        working = self._workers.busy > self._waiting and time.monotonic() < self._changed_at + STUCK_S
        if working or self._held:
            home.call_later(POLL_S, self._tick)
            return
        self._quiet += 1
        if self._quiet >= QUIET_PASSES:
            self._quiet = 0
            self._skipped += max(0.0, self._due[0][0] - self.now())
            self._wake(self.now() + TOGETHER_S)
        home.call_soon(self._tick)

    def _wake(self, until: float) -> None:
        while self._due and (self._due[0][0] <= until or self._due[0][2].done()):
            _, _, over = heapq.heappop(self._due)
            if not over.done():
                over.set_result(None)
            self._changes += 1
