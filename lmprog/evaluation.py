"""Evaluation: run a program over rows and score what it returns."""

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from lmprog import loop, scope
from lmprog.data import Row, inputs_in, read_rows
from lmprog.errors import ContextError, DataError, InputError, LmprogError, MetricError, OutputError, ScopeError
from lmprog.lm import default_lm, from_spec
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import Budget, Ledger, Spent
from lmprog.lm.limit import Slots
from lmprog.metrics import Metric, Score, takes_trace, to_score
from lmprog.module import Program, bind, bound, inputs_of, params_of
from lmprog.params import Params
from lmprog.request import LM
from lmprog.scope import Step
from lmprog.statistics import Interval, mean_interval

MOSTLY = 0.5
"""When more than this share of the rows ends in exceptions of the program's own code, the program is broken."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one row gave."""

    row: Row
    prediction: Any
    """What `forward` returned, or None where it failed."""
    score: Score
    trace: tuple[Step, ...]
    failure: str | None = None
    """Why the row scored 0 without a prediction."""
    bug: bool = False
    """Whether the failure is an exception of the program's own code rather than an LM's reply that does not validate."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All runs of a program under some params, in the order of the rows."""

    runs: tuple[Run, ...]
    spent: Spent | None = None

    @property
    def scores(self) -> tuple[float, ...]:
        """Each row's score in [0, 1]; a failed row counts 0."""
        return tuple(run.score.value for run in self.runs)

    @property
    def score(self) -> float:
        """The mean score in [0, 1], higher is better."""
        return sum(self.scores) / len(self.runs)

    @property
    def interval(self) -> Interval:
        """95% bootstrap interval of the mean over rows."""
        return mean_interval(self.scores)

    @property
    def failures(self) -> tuple[Run, ...]:
        """The rows that gave no prediction."""
        return tuple(run for run in self.runs if run.failure is not None)


@dataclass(frozen=True, slots=True)
class Room:
    """Where evaluations run: the threads for sync programs and the number of rows at once, shared by all of a run."""

    workers: loop.Workers
    rows: asyncio.Semaphore

    @staticmethod
    def of(concurrency: int) -> "Room":
        """Return a room for `concurrency` rows at once."""
        return Room(loop.Workers(concurrency), asyncio.Semaphore(concurrency))


async def run_rows(
    program: Program,
    params: Params,
    rows: Sequence[Row],
    metric: Metric,
    *,
    lm: LM,
    judge: LM,
    room: Room,
    sample: int = 0,
) -> Evaluation:
    """Run every row at once, as far as the room allows, and return the runs in row order.

    A reply that does not validate scores 0. So does an exception in the program's own code, but where most rows
    end so, the first is raised: the program is broken. Anything systemic (no LM, wrong key, a cap) is raised.
    """
    surroundings = _Surroundings(bind(program, params), inputs_of(program), lm, judge, room, sample)
    runs = await loop.gather([_run(surroundings, row, metric) for row in rows])
    bugs = [run for run in runs if run.bug]
    if len(bugs) > MOSTLY * len(runs):
        raise DataError(
            f"the program failed on {len(bugs)} of {len(runs)} rows, by exceptions in its own code. The first: "
            f"{bugs[0].failure}, on the row {bugs[0].row!r}."
        )
    return Evaluation(tuple(runs))


async def aevaluate(
    program: Program,
    rows: Sequence[Row],
    metric: Metric,
    *,
    lm: LM | str | None = None,
    concurrency: int = loop.DEFAULT_CONCURRENCY,
) -> Evaluation:
    """Return the program's score on `rows`, under its own params. One run of the program per row; equal calls cost once."""
    return await loop.hop(_evaluate(program, rows, metric, lm, concurrency))


def evaluate(
    program: Program,
    rows: Sequence[Row],
    metric: Metric,
    *,
    lm: LM | str | None = None,
    concurrency: int = loop.DEFAULT_CONCURRENCY,
) -> Evaluation:
    """Return the program's score on `rows`, under its own params. One run of the program per row; equal calls cost once."""
    return loop.run(_evaluate(program, rows, metric, lm, concurrency), instead="await lp.aevaluate(...)")


async def _evaluate(
    program: Program, rows: Sequence[Row], metric: Metric, lm: LM | str | None, concurrency: int
) -> Evaluation:
    checked = read_rows(rows, program, what="rows")
    client = from_spec(lm) if lm is not None else scope.current().lm or default_lm()
    if client is None:
        raise ScopeError(
            'there is no LM to evaluate with: write `lp.evaluate(..., lm="tiny")`, or `lp.configure(lm=...)`.'
        )
    ledger, slots = Ledger(Budget()), Slots(concurrency)
    with CallLog(None) as log:
        composed = compose(client, role="task", log=log, ledger=ledger, slots=slots)
        room = Room.of(concurrency)
        try:
            found = await run_rows(program, params_of(program), checked, metric, lm=composed, judge=composed, room=room)
        finally:
            room.workers.close()
    return Evaluation(found.runs, ledger.spent)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    binding: scope.Binding
    inputs: tuple[str, ...]
    lm: LM
    judge: LM
    room: Room
    sample: int


async def _run(around: _Surroundings, row: Row, metric: Metric) -> Run:
    trace = scope.Trace()
    async with around.room.rows:
        failure, bug, prediction = None, False, None
        with (
            scope.scoped(lm=around.lm, trace=trace, sample=around.sample, workers=around.room.workers, depth=0),
            bound(around.binding),
        ):
            try:
                prediction = await cast("Any", around.binding.program).acall(**inputs_in(row, around.inputs))
            except (OutputError, ContextError) as error:
                failure = str(error)
            except InputError as error:
                failure, bug = f"InputError: {error}", True
            except LmprogError:
                raise
            except Exception as error:  # noqa: BLE001  the user's own code: one row's failure is data
                failure, bug = f"{type(error).__name__}: {error}", True
        if failure is not None:
            return Run(row, None, Score(0.0, feedback=failure), trace.steps, failure, bug)
        with scope.scoped(lm=around.judge, trace=None, sample=0, workers=around.room.workers, depth=0):
            score = await _measure(metric, row, prediction, trace.steps, around.room)
        return Run(row, prediction, score, trace.steps)


async def _measure(metric: Metric, row: Row, prediction: Any, trace: tuple[Step, ...], room: Room) -> Score:
    measure = cast("Any", metric)
    arguments = (row, prediction, trace) if takes_trace(metric) else (row, prediction)
    try:
        if inspect.iscoroutinefunction(measure):
            value = await measure(*arguments)
        else:
            value = await room.workers.run(lambda: measure(*arguments), 0)
            value = await value if inspect.isawaitable(value) else value
    except LmprogError:
        raise
    except Exception as error:
        raise MetricError(
            f"the metric raised {type(error).__name__}: {error}, on the row {row!r} with the prediction {prediction!r}."
        ) from error
    return to_score(value, row, prediction)
