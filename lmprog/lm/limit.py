"""How many calls may be in flight."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import IntEnum

from lmprog.errors import LmprogError, RunDirError
from lmprog.request import LM, Request, Response, answer


class Urgency(IntEnum):
    """Which of the calls that wait for a slot is sent first; the least number."""

    AWAITED = 0
    """Others cannot begin before its reply."""
    USUAL = 1


_NOT_SENT = "cancelled while it waited for a slot: nothing was sent"


class Slots:
    """At most `count` calls in flight, over all LMs that share this object.

    A free slot goes to the most urgent call that waits, and of these to the one that has waited longest. Urgency decides
    when a call is sent, and nothing else.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise LmprogError(f"concurrency is the number of calls in flight, at least 1; it is {count}.")
        self._free = count
        self._lines: dict[Urgency, deque[asyncio.Future[None]]] = {urgency: deque() for urgency in Urgency}

    async def take(self, urgency: Urgency = Urgency.USUAL) -> None:
        """Wait for a slot; see `certainly_not_sent`."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._lines[urgency].append(turn)
        try:
            await turn
        except asyncio.CancelledError as cancelled:
            if not turn.cancelled():  # the slot came at the same moment
                self.give_back()
            raise asyncio.CancelledError(_NOT_SENT) from cancelled

    def give_back(self) -> None:
        """Hand the slot to the call whose turn it is."""
        self._free += 1
        for line in self._lines.values():
            while self._free and line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    self._free -= 1


class Limited:
    """The layer that sends a request once it has a slot. `check` raises RunDirError where its reply could not be kept."""

    def __init__(
        self, lm: LM, slots: Slots, urgency: Urgency = Urgency.USUAL, *, check: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._slots, self._urgency, self._check = lm, slots, urgency, check

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request; the slot is held from here to the reply, no longer."""
        await self._slots.take(self._urgency)
        try:
            self._check()
            return await answer(self._lm, request)
        finally:
            self._slots.give_back()


def certainly_not_sent(error: BaseException) -> bool:
    """Tell whether a call ended before its slot came, or where its reply could not be kept: it never left the machine.

    The first is told by the error's text: asyncio takes no subclass of CancelledError for a cancellation everywhere.
    """
    return isinstance(error, RunDirError) or (isinstance(error, asyncio.CancelledError) and error.args == (_NOT_SENT,))
