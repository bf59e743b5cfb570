"""Another attempt where it may help: exponential back-off with jitter, and patience in an outage."""

import asyncio
import logging
import math
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lmprog.errors import InputError, UnavailableError
from lmprog.request import LM, Request, Response

T = TypeVar("T")

OUTAGE = "LMPROG_OUTAGE_S"
OUTAGE_S = 600.0
FIRST_OUTAGE_S = 15.0
"""How long to wait for what has never answered: its address may be wrong."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
DOWN_AFTER = 3
"""So many failures in a row, with no reply to any call in between, are an outage."""
CAUSES_NAMED = 3

_log = logging.getLogger("lmprog.lm")


def patience_s() -> float:
    """Return how long to wait for an LM that does not answer: 600 seconds, or what LMPROG_OUTAGE_S says."""
    said = os.environ.get(OUTAGE)
    try:
        seconds = float(said) if said else OUTAGE_S
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise InputError(f"{OUTAGE}={said!r} is no number of seconds. Write {OUTAGE}=60, or leave it out.")
    return seconds


@dataclass(frozen=True, slots=True)
class _Failure:
    at: float
    error: UnavailableError


@dataclass(slots=True)
class Heard:
    """Whether any call of an LM was answered yet."""

    yet: bool = False


class Patience:
    """Makes another attempt after UnavailableError; every other error passes at once.

    The wait before an attempt doubles from FIRST_WAIT_S to LONGEST_WAIT_S, and is never shorter than the provider
    asked for. In an outage one call at a time tries, for all: else each call that waits would spend the cap
    in calls. A call that has failed for `outage_s`, or `attempts` times, raises UnavailableError with the first
    causes; until any call was answered, one that has failed for `first_s` does (`heard` says so to several of these).
    Jitter moves attempts in time only; no result depends on it. `cap_s` says how many seconds are left until
    no attempt may be made any more: no wait is longer. `name` is what errors call the service that is asked.
    """

    def __init__(
        self,
        name: str,
        *,
        outage_s: float | None = None,
        first_s: float = math.inf,
        attempts: int | None = None,
        heard: Heard | None = None,
        cap_s: Callable[[], float] = lambda: math.inf,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
        jitter: random.Random | None = None,
    ) -> None:
        self._name, self._attempts, self._cap_s = name, attempts, cap_s
        self._later_s = patience_s() if outage_s is None else outage_s
        self._first_s = min(first_s, self._later_s)
        self.heard = heard or Heard()
        self._sleep, self._now, self._jitter = sleep, now, jitter or random.Random()
        self._line = asyncio.Lock()
        self._in_a_row: list[_Failure] = []
        self._probes = 0

    async def __call__(self, ask: Callable[[], Awaitable[T]], /) -> T:
        """Return what `ask` gives, after as many attempts as it takes. Called on lmprog's own event loop."""
        return await self.after([], ask)

    @property
    def calm(self) -> bool:
        """Whether the last attempt of any call got an answer."""
        return not (self._in_a_row or self._probes)

    @property
    def _outage_s(self) -> float:
        return self._later_s if self.heard.yet else self._first_s

    async def after(self, failed: Sequence[UnavailableError], ask: Callable[[], Awaitable[T]]) -> T:
        """Go on with a call whose first attempts failed just now."""
        failures: list[_Failure] = []
        for error in failed:
            self._note(error, failures)
        while True:
            attempt = self._probe if self._down else self._attempt
            got = await attempt(ask, failures)
            if got is not None:
                return got[0]

    @property
    def _down(self) -> bool:
        return len(self._in_a_row) >= DOWN_AFTER

    async def _probe(self, ask: Callable[[], Awaitable[T]], failures: list[_Failure]) -> tuple[T] | None:
        """Make one attempt in an outage, when no other call does; None when it failed or the outage is over."""
        async with self._line:
            if not self._down:
                return None
            got = await self._attempt(ask, failures)
            if got is None:
                self._probes += 1
                if self._probes == 1:
                    self._say(f"does not answer; waiting for it up to {self._outage_s:g} s", failures)
            return got

    async def _attempt(self, ask: Callable[[], Awaitable[T]], failures: list[_Failure]) -> tuple[T] | None:
        """Wait as long as the call's earlier failures call for, and make one attempt; None when it failed."""
        if failures:
            await self._back_off(failures)
        try:
            got = await ask()
        except UnavailableError as error:
            self._note(error, failures)
            return None
        if self._probes:
            self._say(f"answers again after {self._now() - self._in_a_row[0].at:.0f} s", self._in_a_row)
        self._in_a_row.clear()
        self._probes, self.heard.yet = 0, True
        return (got,)

    def _note(self, error: UnavailableError, failures: list[_Failure]) -> None:
        failures.append(_Failure(self._now(), error))
        self._in_a_row.append(failures[-1])

    async def _back_off(self, failures: list[_Failure]) -> None:
        now = self._now()
        last = self._in_a_row[-1] if self._down else failures[-1]
        left_s = failures[0].at + self._outage_s - now
        asked_s = last.error.retry_after_s or 0.0
        if left_s <= 0 or len(failures) == self._attempts or last.at + asked_s > now + left_s:
            raise self._given_up(failures, now, asked_s) from failures[0].error
        doublings = min(max(len(failures) - 1, self._probes), 30)
        longest_s = min(FIRST_WAIT_S * 2**doublings, LONGEST_WAIT_S)
        part = self._jitter.uniform(0.5, 1)
        due = last.at + max(longest_s * part, asked_s + FIRST_WAIT_S * part)
        if due > now:
            await self._sleep(max(0.0, min(due - now, left_s, self._cap_s())))

    def _given_up(self, failures: list[_Failure], now: float, asked_s: float) -> UnavailableError:
        asked = f", and asks to wait {asked_s:g} s" if asked_s else ""
        return UnavailableError(
            f"{self._name} has not answered for {now - failures[0].at:.0f} s in {len(failures)} attempts{asked}. "
            f"First causes: {_causes(failures)}. Once it answers, run the same command again: what is recorded is kept."
        )

    def _say(self, what: str, failures: list[_Failure]) -> None:
        _log.warning("%s %s (%s)", self._name, what, _causes(failures))


class Retried:
    """The layer that makes another attempt where it may help. The LM inside is a layer of ours: see `Checked`."""

    def __init__(self, lm: LM, patience: Patience | None = None) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._patience = lm, patience or Patience(lm.name)

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request, after as many attempts as it takes."""
        failed: list[UnavailableError] = []
        if self._patience.calm:  # as nearly always: without it a call takes longer
            try:
                response = await self._lm(request)
            except UnavailableError as error:
                failed.append(error)
            else:
                self._patience.heard.yet = True
                return response
        return await self._patience.after(failed, lambda: self._lm(request))


def _causes(failures: list[_Failure]) -> str:
    distinct = dict.fromkeys(str(failure.error) for failure in failures)
    return "; ".join(cause.rstrip(".") for cause in list(distinct)[:CAUSES_NAMED])
