"""What an optimizer is, what it may touch, and how one is named: "mipro", "mipro:trials=20", "bootstrap -> mipro"."""

import asyncio
import hashlib
import math
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast

from lmprog import registry, scope
from lmprog.caps import Caps
from lmprog.data import Row
from lmprog.errors import InputError
from lmprog.evaluation import Evaluation, Room, run_rows
from lmprog.events import Event, StageEnded
from lmprog.lint import faults
from lmprog.lm.ledger import Ledger, Role, Tab
from lmprog.metrics import Metric
from lmprog.module import Program, check_params, params_of
from lmprog.params import Params
from lmprog.predict import Predict
from lmprog.registry import find
from lmprog.request import LM, canonical_json
from lmprog.signature import Signature

P = ParamSpec("P")
S = TypeVar("S", bound=Signature)
T = TypeVar("T")


MOST = 100_000
"""No option of an optimizer that counts something is larger: it would be a slip, and take hours."""
FIRST_CAUTION = 2.0
"""So many times what is expected must fit until a round was told: other prompts than the program's own may ask again."""


@dataclass(slots=True)
class Pace:
    """What the rounds of a run's searches told of calls."""

    dearer: float = 1.0
    """The most that a round took over what the program as it is takes; at least 1."""
    rounds: int = 0

    def tell(self, requested: float, expected: float) -> None:
        """Take in a round that was expected to take so many calls at the pace of the program as it is."""
        self.dearer, self.rounds = max(self.dearer, requested / expected), self.rounds + 1


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a search may request: distinct requests, whoever answers them, so that a resumed run decides as the first did."""

    ledger: Ledger
    calls: int | None
    """The cap less what is reserved for the certificate; None where calls are not capped."""
    calls_per_row: float
    """What one run of the program requests, as measured on the first row."""
    partial: bool = False
    """Whether this is a part of what the run may request."""
    pace: Pace = field(default_factory=Pace)
    """Shared by all parts."""

    @property
    def caution(self) -> float:
        """How many times the calls that are expected of a round must fit."""
        return 1.0 if self.pace.rounds else FIRST_CAUTION

    @property
    def why_spent(self) -> str:
        """Why a search ends that has nothing left."""
        return "its part of the budget was spent" if self.partial else "the budget was spent"

    @property
    def left(self) -> float:
        """Calls left, those that work under way will take subtracted; infinite where they are not capped."""
        return float("inf") if self.calls is None else self.calls - self.ledger.requested - self.ledger.expected

    def part(self, parts: int) -> "Allowance":
        """Return the first of so many equal parts of what is left."""
        if self.calls is None:
            return self
        left = self.calls - self.ledger.requested
        return replace(self, calls=self.ledger.requested + left // parts, partial=self.partial or parts > 1)

    def for_rows(self, rows: int) -> int:
        """Return how many calls it takes to run the program on so many rows, if nothing is recorded yet."""
        return math.ceil(rows * self.calls_per_row)


class Work(Generic[T]):
    """Work under way beside other work. What it requests counts once its result is taken: an order that no timing decides."""

    def __init__(self, work: Coroutine[Any, Any, T], tab: Tab) -> None:
        self._tab = tab
        with scope.scoped(tab=tab):
            self._task = asyncio.ensure_future(work)

    async def result(self) -> T:
        """Wait for the result and count what was requested; nothing counts where the work failed. To be called once."""
        try:
            found = await self._task
            self._tab.ledger.close(self._tab, taken=True)
            return found
        finally:
            await self.drop()

    async def drop(self) -> None:
        """End the work, if it still runs, and count nothing."""
        self._tab.ledger.close(self._tab, taken=False)
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # seen, so that asyncio does not complain


@dataclass(frozen=True, slots=True)
class Problem:
    """All that an optimizer may touch. Holdout rows are not reachable from it; proposers see `train` only."""

    program: Program
    train: Sequence[Row]
    val: Sequence[Row]
    metric: Metric
    seed: int
    allowance: Allowance
    lms: Mapping[Role, LM]
    room: Room
    emit: Callable[[Event], None]
    secrets: frozenset[int] = frozenset()
    """Hashed word sequences of the validation and holdout rows, which no prompt may quote."""
    caps: Caps | None = None
    """What the caps of a run mean to its search; None where there is no run to resume and no certificate to pay for."""
    folder: Path | None = None
    """The run directory, for what a search makes beside params; None where nothing is kept."""
    rehearsed: bool = False
    """Whether this only finds out what a compile would take: nothing is trained."""

    async def evaluate(
        self,
        params: Params,
        rows: Sequence[int] | None = None,
        *,
        on: Literal["val", "train"] = "val",
        role: Role = "task",
        sample: int = 0,
    ) -> Evaluation:
        """Run the program under `params` on the rows with these indices (all by default). One program run per row."""
        source = self.val if on == "val" else self.train
        chosen = source if rows is None else [source[index] for index in rows]
        lm, judge = self.lms[role], self.lms["judge"]
        checked = check_params(self.program, params if role == "task" else _without_weights(params, lm))
        what = _digest("evaluate", checked.fingerprint, rows if rows is None else [*map(int, rows)], on, role, sample)
        running = run_rows(
            self.program, checked, chosen, self.metric, lm=lm, judge=judge, room=self.room, sample=sample
        )
        if self.caps is None:
            return await running
        work = self.caps.evaluated(what, checked, running) if role == "task" else self.caps.within(what, running)
        return await work

    def begin(self, work: Coroutine[Any, Any, T], *, calls: float) -> Work[T]:
        """Begin work that is expected to request so many calls, and go on. Await its `result`, or `drop` it."""
        return Work(work, self.allowance.ledger.open(calls))

    async def generate(self, sample: int, predictor: Predict[P, S], /, *args: P.args, **inputs: P.kwargs) -> S:
        """Ask the proposer LM. One call; `sample` numbers independent replies to the same inputs."""
        with scope.scoped(lm=self.lms["proposer"], sample=sample, trace=None):
            what = _digest("generate", sample, repr((predictor.initial, inputs)))
            asking = predictor.acall(*args, **inputs)
            if self.caps is None:
                return await asking
            return await self.caps.within(what, asking)

    def ended(self, stage: str, **facts: int | float | str) -> None:
        """Tell listeners that a stage of the work ended."""
        self.emit(StageEnded(stage, facts, self.allowance.ledger.requested))

    def faults(self, params: Params) -> list[str]:
        """Return why these params break the contract of prompts, or nothing."""
        return faults(params, self.secrets, written=params_of(self.program))

    def rng(self, *names: object) -> random.Random:
        """Return a generator of random numbers that depends on the seed and these names alone."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, names))}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found: params never worse on the validation rows than those that went in."""

    params: Params
    score: float
    """Mean over all validation rows."""
    baseline_score: float
    stopped: str
    """Why the search ended."""
    tolerated: float = 0.0
    """How much the score may lie below that of the params that went in, for the sake of something else, such as tokens."""


class Optimizer(Protocol):
    """Turns params into better params. Optimizers compose, because params go in and come out.

    One may also have `needs`, the capabilities that it needs of the task LM; `check_packages(program, lm)`, which raises
    InputError where a package is missing; and `optimizers`, a list or tuple of those that it holds, of which both are asked too.
    """

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best params found within the problem's allowance."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """Optimizers in turn, each from the best params so far (BetterTogether: Soylu et al. 2024, arXiv:2407.10930).

    Each may request an equal part of the calls that are left, so that the first leaves something to the last.
    """

    optimizers: Sequence[Optimizer]

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best outcome of any stage. A stage that finds nothing better is not built upon."""
        outcomes: list[Outcome] = []
        for number, optimizer in enumerate(self.optimizers):
            start = outcomes[-1].params if outcomes else params
            allowance = problem.allowance.part(len(self.optimizers) - number)
            outcomes.append(await searched(optimizer, replace(problem, allowance=allowance), start))
        best = outcomes[0]
        for later in outcomes[1:]:
            if later.score >= best.score - later.tolerated:
                best = later
        return Outcome(best.params, best.score, outcomes[0].baseline_score, outcomes[-1].stopped, best.tolerated)


async def searched(optimizer: Optimizer, problem: Problem, params: Params) -> Outcome:
    """Search with an optimizer that may be the user's own: InputError where it gives something else than an Outcome."""
    name, given = type(optimizer).__name__, cast("object", optimizer.search(problem, params))
    if not isawaitable(given):
        raise InputError(f"`search` of {name} is not async: write `async def search(self, problem, params)`.")
    outcome: object = await given
    if not isinstance(outcome, Outcome):
        raise InputError(
            f"`search` of {name} returned {outcome!r}: return an Outcome, such as what "
            f"`await lmprog.search.search(problem, params, ...)` gives."
        )
    return outcome


def _without_weights(params: Params, lm: LM) -> Params:
    """Return the params without adapters of other LMs: a teacher answers with weights of its own.

    A predictor that names an LM for itself is answered by that one, whoever the teacher is.
    """
    for path, value in params.items():
        if value.weights is not None and value.config.lm is None and value.weights.base != lm.name:
            params = params.replace(path, weights=None)
    return params


def needs_of(optimizer: Optimizer) -> frozenset[str]:
    """Return the capabilities that an optimizer needs of the task LM, beyond `generate`.

    They are its attribute `needs`, if it has one, and what those need that it holds in its attribute `optimizers`.
    """
    return frozenset(getattr(optimizer, "needs", ())).union(*map(needs_of, _held_by(optimizer)))


def check_packages(optimizer: Optimizer, program: Program, lm: LM) -> None:
    """Have an optimizer refuse, before any call, to search where its packages are missing: by its method of this name, if it has one.

    Those in its attribute `optimizers` likewise. `lm` is that of the task. InputError where a package is missing.
    """
    own: Callable[[Program, LM], None] | None = getattr(optimizer, "check_packages", None)
    if own is not None:
        own(program, lm)
    for held in _held_by(optimizer):
        check_packages(held, program, lm)


def _held_by(optimizer: Optimizer) -> Sequence[Optimizer]:
    held: object = getattr(optimizer, "optimizers", ())
    found = cast("Sequence[Any]", held) if isinstance(held, list | tuple) else ()
    return [one for one in found if hasattr(one, "search")]


def _digest(*parts: object) -> str:
    """Return 16 hex digits that name a piece of work."""
    return hashlib.sha256(canonical_json(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def named(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer that a string names; an optimizer is returned as it is.

    InputError where a name or option is unknown, with those that exist.
    """
    if not isinstance(optimizer, str):
        return optimizer
    stages = [_one(part.strip(), optimizer) for part in optimizer.split("->")]
    return stages[0] if len(stages) == 1 else Stages(tuple(stages))


def require(options: object, **least: int) -> None:
    """Raise InputError where an option of an optimizer is below its least value, or beyond what any search can use."""
    for name, bound in least.items():
        value: object = getattr(options, name)
        if isinstance(value, int) and value < bound:
            raise InputError(f"{type(options).__name__}({name}={value}): `{name}` must be at least {bound}.")
        if isinstance(value, int) and value > MOST:
            raise InputError(f"{type(options).__name__}({name}=...): `{name}` must be at most {MOST}.")


def _one(spec: str, whole: str) -> Optimizer:
    said = registry.named(spec, f"optimizer {whole!r}")
    kind: Any = find("optimizers", said.name, "".join(word.capitalize() for word in said.name.split("-")))
    return cast("Optimizer", said.made(kind, set(getattr(kind, "__dataclass_fields__", {}))))
