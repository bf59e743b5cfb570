"""A rehearsal: the compile itself, optimizer, caps and proof, before an LM that answers from what was recorded.

Nothing of it reaches the run directory. So any optimizer, also a user's own, is counted by its own code.
"""

import asyncio
import hashlib
import inspect
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

from lmprog import scope
from lmprog.compiler import Compiling, Layers
from lmprog.data import Row, Splits, row_key
from lmprog.errors import CapReached, InputError
from lmprog.evaluation import Room
from lmprog.events import CandidateScored, Event, Stopped
from lmprog.inspection import unseen
from lmprog.job import Job
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import Routed, compose
from lmprog.lm.ledger import ROLES, Amount, Budget, Ledger, Role
from lmprog.lm.limit import Slots
from lmprog.metrics import Metric, Score, takes_trace
from lmprog.module import M, inputs_of
from lmprog.optimizer import Optimizer
from lmprog.planning.clock import Clock, Watched
from lmprog.planning.estimates import Estimates, shows_demos
from lmprog.planning.probe import REWORDED, Probed
from lmprog.planning.records import Recording
from lmprog.request import LM, Request, Response, request_key
from lmprog.rundir import RunDir
from lmprog.scope import Step, Trace

T = TypeVar("T")

ASKED = 2
"""Of requests for outputs that nobody has asked for yet, such as a proposer's, so many are sent for a sample of replies."""
ASKED_WARM = 4
"""The same at a temperature above 0: whether replies repeat each other matters too."""
ASKED_IN_ALL = 24
REHEARSALS = 7
"""What a search takes is a matter of luck: who wins, and how long the winner's prompt is. The mean is of so many."""
SHORT = 5000
"""Calls of a compile up to which it is rehearsed as often: seconds."""
SHARE_S = 0.1
"""The part of a cap in seconds beyond which planning goes on with no further rehearsal than the first."""
MANY = 1 << 20


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the compile took."""

    requested: Mapping[Role, Amount]
    seconds: float | None
    """None where no call was ever timed."""
    recorded: int
    """Requests of the compile that are answered already."""
    candidates: int
    """Different candidates that were scored, the program as it was apart."""
    stopped: str
    """Why the search ended."""
    cap: int | None
    """The cap in calls, where there is one."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a rehearsal takes place: the real LMs for what nobody has asked yet, and what is known."""

    recording: Recording
    layers: Layers
    """Around the real LMs, which record."""
    log: CallLog
    ledger: Ledger
    slots: Slots
    probed: Probed


async def rehearse(
    job: Job[M], optimizer: Optimizer, clients: Mapping[Role, LM], splits: Splits, stage: Stage
) -> Rehearsal:
    """Return the mean of some rehearsals, each with other luck; of one where the compile takes many calls.

    Of a cap in seconds they take a tenth, or the first alone takes more: up to the cap.
    """
    began, found = time.monotonic(), list[Rehearsal]()
    cap_s = job.budget.seconds if isinstance(job.budget, Budget) else None
    while len(found) < REHEARSALS:
        found.append(await _rehearsed(job, optimizer, clients, splits, stage, str(len(found))))
        next_s = (time.monotonic() - began) * (len(found) + 1) / len(found)
        if sum(amount.calls for amount in found[0].requested.values()) > SHORT or next_s > SHARE_S * (
            cap_s or math.inf
        ):
            break
    seconds = [one.seconds for one in found if one.seconds is not None]
    return replace(
        found[0],
        requested={role: _mean([one.requested[role] for one in found]) for role in ROLES},
        seconds=sum(seconds) / len(seconds) if seconds else None,
        recorded=round(sum(one.recorded for one in found) / len(found)),
        candidates=round(sum(one.candidates for one in found) / len(found)),
    )


async def _rehearsed(
    job: Job[M], optimizer: Optimizer, clients: Mapping[Role, LM], splits: Splits, stage: Stage, luck: str
) -> Rehearsal:
    """Compile before simulated LMs, in a folder that is then removed. A few calls of the real LMs; see ASKED."""
    room = Room.of(job.concurrency)
    workers = Watched(room.size)
    clock = Clock(workers)
    scores = Scores(stage.probed, luck)
    began, cast_ = clock.now(), _Cast(stage, clock, Estimates(stage.recording.calls.values(), luck), scores)
    stage.recording.heard[:] = [cast_.estimates.add]
    candidates, stopped = dict[str, None](), list[str]()

    def hear(event: Event) -> None:
        if isinstance(event, CandidateScored):
            candidates[event.candidate] = None
        elif isinstance(event, Stopped):
            cast_.rows_may_be_held_out = True  # once the last part of a chain ends, and any may be the last
            stopped.append(event.reason)

    simulated = replace(job, metric=scores.metric(job, splits))
    ledger = Ledger(now=clock.now)
    with TemporaryDirectory(prefix="lmprog-plan-") as folder, RunDir.opened(Path(folder) / "run", {}) as run_dir:
        compiling = Compiling(
            simulated,
            optimizer,
            clients,
            splits,
            run_dir,
            [hear],
            ledger,
            cast_.layers,
            replace(room, workers=workers),
            rehearsed=True,
        )
        try:
            with unseen():
                await compiling.proven()
        except CapReached as cap:
            calls = sum(amount.calls for amount in ledger.spent.requested.values())
            raise InputError(
                f"this budget is expected to end the compile before its proof: in a rehearsal the cap on {cap.cap} was reached "
                f"after {calls} calls. Give twice as much, or fewer validation and holdout rows, and plan again."
            ) from None
    timed = cast_.estimates.timed
    return Rehearsal(
        ledger.spent.requested,
        clock.now() - began if timed else None,
        len(cast_.recalled),
        max(0, len(candidates) - 1),
        stopped[-1] if stopped else "the optimizer was done",
        compiling.caps.calls,
    )


@dataclass(slots=True)
class _Cast:
    """The simulated LMs of a rehearsal."""

    stage: Stage
    clock: Clock
    estimates: Estimates
    scores: "Scores"
    asks: bool = True
    """Whether real LMs may be asked."""
    rows_may_be_held_out: bool = False
    """Whether what runs of the program ask may be of holdout rows, which no LM may see before the compile."""
    recalled: set[str] = field(default_factory=set[str])
    """The keys of the requests that were answered before."""
    asked: dict[str, int] = field(default_factory=dict[str, int])
    """How many requests were sent, by the outputs that they want."""
    asking: Counter[str] = field(default_factory=Counter[str])
    """How many of them are under way."""
    before: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.before = frozenset(self.stage.recording.calls)

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
        """Return a simulation of the client, and of every LM that a predictor names, in the layers of the run."""
        stage = self.stage

        def around(lm: LM) -> LM:
            real = stage.layers(
                lm, role=role, log=stage.log, ledger=stage.ledger, slots=stage.slots, outage_s=outage_s, shared=shared
            )
            inner = compose(_Simulated(lm, real, self, role), role=role, log=log, ledger=ledger, slots=slots)
            return _Watched(inner, self)

        return Routed(client, around)

    def may_ask(self, kind: str, request: Request, role: Role) -> bool:
        """Tell whether to send a request for want of replies of its kind, and count it."""
        most = ASKED_WARM if request.temperature else ASKED
        if self.rows_may_be_held_out and role != "proposer":
            return False
        if not self.asks or self.estimates.known(kind) >= most or self.asked.get(kind, 0) >= most:
            return False
        if sum(self.asked.values()) >= ASKED_IN_ALL:
            return False
        self.asked[kind] = self.asked.get(kind, 0) + 1
        return True


class _Watched:
    """The outermost layer: the clock knows who waits for an LM, and the scores which runs showed demos."""

    def __init__(self, lm: LM, of: _Cast) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._cast = lm, of

    async def __call__(self, request: Request, /) -> Response:
        self._cast.scores.asked(scope.current().trace, request)
        with self._cast.clock.called():
            return await self._lm(request)


class _Simulated:
    """Answers as the real LM is expected to, in the time that it is expected to take."""

    def __init__(self, lm: LM, real: LM, of: _Cast, role: Role) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._real, self._cast = real, of
        self._role: Role = role
        self._in_flight = 0

    async def __call__(self, request: Request, /) -> Response:
        key, of = request_key(self.name, request), self._cast
        known = of.stage.recording.calls.get(key)
        if known is not None:
            if key in of.before:
                of.recalled.add(key)
            return replace(known.response, recorded=False)
        kind = of.estimates.kind(self.name, request)
        if of.may_ask(kind, request, self._role):
            of.asking[kind] += 1
            try:
                with of.clock.held():
                    return replace(await self._real(request), recorded=False)
            except CapReached:
                of.asks = False
            finally:
                of.asking[kind] -= 1
        while of.asking[kind]:
            await asyncio.sleep(0.001)  # how many of its kind are known must be no matter of timing
        reply = of.estimates.reply(self.name, request, key, distinct=self._role == "proposer")
        self._in_flight += 1
        try:
            await of.clock.sleep(of.estimates.seconds(self.name, request, reply, key, beside=self._in_flight - 1))
        finally:
            self._in_flight -= 1
        return reply


class Scores:
    """How runs of the program are expected to score: as those of the probe did."""

    def __init__(self, probed: Probed, luck: str = "") -> None:
        self._luck = luck
        self._judged, self._baseline = probed.judged, probed.baseline
        self._changed = {shown: [one for one in probed.changed if one.demos == shown] for shown in (True, False)}
        reworded = probed.others.get(REWORDED, ())
        differing = sum(was.score.value != now.score.value for was, now in zip(probed.val, reworded, strict=False))
        self._unsettled = differing / len(reworded) if reworded else 1.0
        """How often prompts of one sort, with demos or without, are expected to score differently on a row."""
        self._runs: dict[int, tuple[Trace, bool]] = {}

    def asked(self, trace: Trace | None, request: Request) -> None:
        """Note whether the run that a request is of shows demos."""
        if trace is not None:
            _, before = self._runs.get(id(trace), (trace, False))
            self._runs[id(trace)] = trace, before or shows_demos(request)

    def metric(self, job: Job[M], splits: Splits) -> Metric:
        """Return a metric that gives scores as they are expected, the same for the same row and prediction.

        A row's first prediction scores as the program as it is does on the row, or on another row drawn by its content; a
        different prediction scores as different predictions did, those of prompts with demos apart, and on most rows all
        of these alike. Where the
        metric itself calls LMs it is called, so that they are counted.
        """
        names = inputs_of(job.program)
        keys = {
            id(row): row_key(row, names, None) for part in (splits.train, splits.val, splits.holdout) for row in part
        }
        sound = [run for run in self._baseline if run.failure is None]
        first = {row_key(run.row, names, None): (repr(run.prediction), run.score) for run in sound}
        known = [run.score for run in sound] or [Score(0.0)]
        metric, with_trace = cast("Callable[..., Any]", job.metric), takes_trace(job.metric)

        def score(row: Row, prediction: object, trace: tuple[Step, ...]) -> Score:
            shown = self._ended(trace)
            key, said = keys.get(id(row)) or row_key(row, names, None), repr(prediction)
            before, was = first.setdefault(key, (said, known[draw(len(known), self._luck, key)]))
            changed = self._changed[shown] or self._changed[not shown]
            if said == before or not changed:
                return was
            like = [one.after for one in changed if one.before == was.value] or [one.after for one in changed]
            settled = draw(MANY, self._luck, key, said) >= MANY * self._unsettled
            return like[draw(len(like), self._luck, key, str(shown), "" if settled else said)]

        def simulated(row: Row, prediction: object, trace: tuple[Step, ...]) -> Score | Awaitable[Score]:
            expected = score(row, prediction, trace)
            if not self._judged:
                return expected
            found = metric(row, prediction, trace=trace) if with_trace else metric(row, prediction)
            return _then(found, expected) if inspect.isawaitable(found) else expected

        return simulated

    def _ended(self, steps: tuple[Step, ...]) -> bool:
        """Tell whether the run of these steps showed demos, and forget it."""
        for place, (trace, shown) in list(self._runs.items()) if steps else ():
            if trace.steps[:1] and trace.steps[0] is steps[0]:
                self._runs.pop(place, None)
                return shown
        return False


def _mean(amounts: Sequence[Amount]) -> Amount:
    times = len(amounts)
    return Amount(
        round(sum(amount.calls for amount in amounts) / times),
        round(sum(amount.prompt_tokens for amount in amounts) / times),
        round(sum(amount.completion_tokens for amount in amounts) / times),
        math.fsum(amount.usd for amount in amounts) / times,
    )


async def _then(first: Awaitable[object], value: T) -> T:
    await first
    return value


def draw(count: int, *names: str) -> int:
    """Return a number below `count` that these names alone decide."""
    return int.from_bytes(hashlib.sha256("\n".join(names).encode(errors="surrogatepass")).digest()[:6], "big") % count
