"""How many calls may be in flight."""

import asyncio

from lmprog.errors import LmprogError
from lmprog.request import LM, Request, Response

_NOT_SENT = "cancelled while it waited for a slot: nothing was sent"


class Slots:
    """At most `count` calls in flight, over all LMs that share this object; first come, first served."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise LmprogError(f"concurrency is the number of calls in flight, at least 1; it is {count}.")
        self._free = asyncio.Semaphore(count)

    async def take(self) -> None:
        """Wait for a slot; see `certainly_not_sent`."""
        try:
            await self._free.acquire()
        except asyncio.CancelledError as cancelled:
            raise asyncio.CancelledError(_NOT_SENT) from cancelled

    def give_back(self) -> None:
        """Free the slot for the call that has waited longest."""
        self._free.release()


class Limited:
    """The layer that sends a request once it has a slot."""

    def __init__(self, lm: LM, slots: Slots) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._slots = lm, slots

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request; the slot is held from here to the reply, no longer."""
        await self._slots.take()
        try:
            return await self._lm(request)
        finally:
            self._slots.give_back()


def certainly_not_sent(error: BaseException) -> bool:
    """Tell whether a call ended before its slot came, so that it never left the machine.

    It is told by the error's text: asyncio takes no subclass of CancelledError for a cancellation everywhere.
    """
    return isinstance(error, asyncio.CancelledError) and error.args == (_NOT_SENT,)
