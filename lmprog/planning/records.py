"""Calls that were answered, and how long each took: what is known of an LM before it is asked for more."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lmprog.lm.cache import CallLog
from lmprog.lm.compose import Routed, compose
from lmprog.lm.ledger import Ledger, Role
from lmprog.lm.limit import Slots
from lmprog.request import LM, Request, Response, request_key
from lmprog.rundir import write_atomically

TIMINGS = "timings.json"
"""The file of a run directory that holds what the calls of a plan took: a second plan sends none of them again."""


class Timing(NamedTuple):
    """How long a call took, and beside how many others."""

    seconds: float
    beside: float


@dataclass(frozen=True, slots=True)
class Call:
    """A request and its reply."""

    key: str
    lm: str
    role: Role
    request: Request
    response: Response
    timing: Timing | None
    """None where it was recorded before anybody timed it."""


@dataclass(slots=True)
class Recording:
    """All calls made through its layers, by request key, in the order of their replies."""

    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    timings: dict[str, Timing] = field(default_factory=dict[str, Timing])
    in_flight: int = 0
    heard: list[Callable[[Call], None]] = field(default_factory=list[Callable[[Call], None]])
    """What is told of each call."""

    @staticmethod
    def read(path: Path) -> "Recording":
        """Return a recording without calls that knows the timings kept in a file, if there is one; no other is read."""
        try:
            said: Mapping[str, tuple[float, float]] = json.loads(path.read_text(encoding="utf-8"))
            return Recording(timings={key: Timing(*timing) for key, timing in said.items()})
        except (OSError, ValueError, TypeError, AttributeError):
            return Recording()

    def write(self, path: Path) -> None:
        """Keep the timings in a file."""
        write_atomically(path, json.dumps(self.timings).encode())

    def layers(
        self,
        client: LM,
        *,
        role: Role,
        log: CallLog,
        ledger: Ledger,
        slots: Slots,
        outage_s: float | None = None,
        shared: CallLog | None = None,
    ) -> LM:
        """Return the client with everything around it that a run has, and this recording."""

        def around(lm: LM) -> LM:
            timed = _Timed(lm, self)
            inner = compose(timed, role=role, log=log, ledger=ledger, slots=slots, outage_s=outage_s, shared=shared)
            return _Noted(inner, self, role)

        return Routed(client, around)

    def note(self, key: str, lm: str, role: Role, request: Request, response: Response) -> None:
        """Take in a reply, once."""
        if key not in self.calls:
            call = self.calls[key] = Call(key, lm, role, request, response, self.timings.get(key))
            for tell in self.heard:
                tell(call)


class _Timed:
    """The layer around the client: only what is sent gets here."""

    def __init__(self, lm: LM, recording: Recording) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._recording = lm, recording

    async def __call__(self, request: Request, /) -> Response:
        recording = self._recording
        beside, began = recording.in_flight, time.perf_counter()
        recording.in_flight += 1
        try:
            response = await self._lm(request)
        finally:
            recording.in_flight -= 1
        seconds = time.perf_counter() - began
        recording.timings[request_key(self.name, request)] = Timing(seconds, (beside + recording.in_flight) / 2)
        return response


class _Noted:
    """The outermost layer of one LM: recorded replies pass here too."""

    def __init__(self, lm: LM, recording: Recording, role: Role) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._recording = lm, recording
        self._role: Role = role

    async def __call__(self, request: Request, /) -> Response:
        response = await self._lm(request)
        self._recording.note(request_key(self.name, request), self.name, self._role, request, response)
        return response
