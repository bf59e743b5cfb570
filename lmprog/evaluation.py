"""Evaluation: run a program over rows and score what it returns."""

import asyncio
import gc
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from lmprog import loop, scope
from lmprog.data import Row, inputs_in, read_rows
from lmprog.errors import (
    CapReached,
    ContextError,
    DataError,
    InputError,
    LMError,
    LmprogError,
    MetricError,
    OutputError,
    ScopeError,
)
from lmprog.lm import client_of, default_lm, prices, shared_log
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import Budget, Ledger, Spent
from lmprog.lm.limit import Slots
from lmprog.lm.specs import from_spec
from lmprog.metrics import Metric, Score, check_metric, takes_trace, to_score
from lmprog.module import Program, bind, check_capabilities, check_program, inputs_of, is_sync, params_of
from lmprog.params import Params
from lmprog.request import LM, Request, Response
from lmprog.scope import Step

if TYPE_CHECKING:
    from lmprog.statistics import Interval

T = TypeVar("T")

MOSTLY = 0.5
"""When more than this share of the rows ends in exceptions of the program's own code, the program is broken."""


ROWS_A_CALL = 2
"""Rows at once for each call that may be in flight: while one row reads its reply, the call of another takes the slot."""

WAITING = 512
"""Rows of an evaluation that wait for a place at once, at least: so the rows of an earlier evaluation go before those of a later."""
OBJECTS_IN_FLIGHT = 100_000
"""After how many new objects, net of those freed, Python looks for garbage while rows run."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one row gave."""

    row: Row
    prediction: Any
    """What `forward` returned, or None where it failed."""
    score: Score
    trace: tuple[Step, ...]
    failure: str | None = None
    """Why the row scored 0 without a prediction; of an exception in the program's own code, with its place there."""
    bug: str = ""
    """Where the failure is an exception in the program's own code rather than an LM's reply that does not validate: its
    type and place, without what it says, such as `ValueError (task.py, line 6, in forward)`."""


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
    def interval(self) -> "Interval":
        """95% bootstrap interval of the mean over rows."""
        from lmprog.statistics import mean_interval  # loads numpy, which to run a program takes none of

        return mean_interval(self.scores)

    @property
    def failures(self) -> tuple[Run, ...]:
        """The rows that gave no prediction."""
        return tuple(run for run in self.runs if run.failure is not None)

    def __repr__(self) -> str:
        score = f"score {self.score:.4f}, " if self.runs else ""
        return f"<Evaluation: {score}{len(self.runs)} runs, {len(self.failures)} without a prediction>"

    def checked(self) -> Self:
        """Return the evaluation, or raise DataError where most rows ended in exceptions of the program's own code.

        For the program as the user wrote it. That a candidate of a search breaks the code counts against the candidate.
        """
        bugs = [run for run in self.runs if run.bug]
        if len(bugs) > MOSTLY * len(self.runs):
            what = (
                f"the program failed on {len(bugs)} of {len(self.runs)} rows, by exceptions in its own code. The first:"
            )
            raise DataError(f"{what} {bugs[0].failure}, on the row {bugs[0].row!r}.", unshown=f"{what} {bugs[0].bug}.")
        return self


@dataclass(frozen=True, slots=True)
class Room:
    """Where evaluations run: the threads for sync programs and the number of rows at once, shared by all of a run."""

    workers: loop.Workers
    rows: asyncio.Semaphore
    size: int
    """How many rows at once."""

    @staticmethod
    def of(concurrency: int) -> "Room":
        """Return a room for the rows that keep so many calls in flight."""
        rows = ROWS_A_CALL * concurrency
        return Room(loop.Workers(rows), asyncio.Semaphore(rows), rows)


def check_concurrency(value: object) -> None:
    """Refuse what is no number of rows at once: InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"concurrency={value!r}: write how many rows run at once, 1 or more, such as concurrency=16.")


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

    A reply that does not validate scores 0, and so does an exception in the program's own code. Anything systemic (no
    LM, wrong key, a cap) is raised, even where the program or the metric caught it, and no call is left under way.
    """
    watched, judging = _Watched(lm), _Watched(judge)
    binding, here = bind(program, params), scope.current()
    run_in = here._replace(
        lm=watched, sample=sample, workers=room.workers, depth=0, binding=binding, region=binding.root, outer=here
    )
    judge_in = here._replace(
        lm=judging, sample=0, workers=room.workers, depth=1, trace=None
    )  # 0 is the metric's thread
    surroundings = _Surroundings(
        program, inputs_of(program), run_in, watched, metric, takes_trace(metric), judge_in, judging, room.workers
    )
    run = _run_in_thread if is_sync(program) and not inspect.iscoroutinefunction(metric) else _run
    try:
        with _garbage.seldom_looked_for():
            runs = await loop.gather(
                (_in_room(room, partial(run, surroundings, row)) for row in rows), at_once=max(room.size, WAITING)
            )
        return Evaluation(tuple(runs))
    finally:
        await watched.shut()
        await judging.shut()


async def aevaluate(
    program: Program,
    rows: Iterable[Row],
    metric: Metric,
    *,
    lm: LM | str | None = None,
    concurrency: int = loop.DEFAULT_CONCURRENCY,
) -> Evaluation:
    """Return the program's score on `rows`, under its own params. One run of the program per row; equal calls cost once."""
    return await loop.hop(_evaluate(program, rows, metric, lm, concurrency))


def evaluate(
    program: Program,
    rows: Iterable[Row],
    metric: Metric,
    *,
    lm: LM | str | None = None,
    concurrency: int = loop.DEFAULT_CONCURRENCY,
) -> Evaluation:
    """Return the program's score on `rows`, under its own params. One run of the program per row; equal calls cost once.

    A row whose reply does not validate, or on which the program's code raises, scores 0 and keeps the reason. Where the
    code raises on most rows: DataError. A metric that raises, or returns no score: MetricError with the row.
    """
    return loop.run(_evaluate(program, rows, metric, lm, concurrency), instead="await lp.aevaluate(...)")


async def _evaluate(
    program: Program, rows: Iterable[Row], metric: Metric, lm: LM | str | None, concurrency: int
) -> Evaluation:
    check_program(program)
    check_metric(metric)
    check_concurrency(concurrency)
    checked = read_rows(rows, program, what="rows")
    given = from_spec(lm) if lm is not None else scope.current().lm or default_lm()
    if given is None:
        raise ScopeError(
            'there is no LM to evaluate with: write `lp.evaluate(..., lm="tiny")`, or `lp.configure(lm=...)`.'
        )
    ledger, slots = Ledger(Budget(), prices=prices()), Slots(concurrency)
    with CallLog(None) as log:
        client = client_of(given)
        check_capabilities(program, client, "task")
        composed = compose(client, role="task", log=log, ledger=ledger, slots=slots, shared=shared_log())
        room = Room.of(concurrency)
        try:
            found = await run_rows(
                program,
                params_of(program),
                checked,
                metric,
                lm=composed,
                judge=composed,
                room=room,
                sample=scope.current().sample,
            )
        finally:
            room.workers.close()
    return Evaluation(found.runs, ledger.spent).checked()


class _Garbage:
    """How often Python looks for garbage in cycles. Rows in flight are many objects, and hold none: to look through them
    every 700 new objects takes a quarter of an evaluation's time.
    """

    def __init__(self) -> None:
        self._evaluations = 0
        self._usual: tuple[int, int, int] | None = None

    @contextmanager
    def seldom_looked_for(self) -> Generator[None]:
        """Have Python wait for more new objects in the block, unless it was told otherwise. Evaluations may overlap."""
        if not self._evaluations:
            usual = gc.get_threshold()
            self._usual = usual if 0 < usual[0] < OBJECTS_IN_FLIGHT else None
            if self._usual is not None:
                gc.set_threshold(OBJECTS_IN_FLIGHT, *usual[1:])
        self._evaluations += 1
        try:
            yield
        finally:
            self._evaluations -= 1
            if not self._evaluations and self._usual is not None and gc.get_threshold()[0] == OBJECTS_IN_FLIGHT:
                gc.set_threshold(*self._usual)


_garbage = _Garbage()


class _Watched:
    """The LM of one evaluation: it remembers a systemic fault that a program may have caught, and can be shut.

    A thread that runs a sync program cannot be cancelled; its calls can, and it gets no further one.
    """

    def __init__(self, lm: LM) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self.fault: LmprogError | None = None
        self._lm, self._open = lm, True
        self._calls: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: Request, /) -> Response:
        if not self._open:
            raise asyncio.CancelledError
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._calls.add(task)
        try:
            return await self._lm(request)
        except ContextError:
            raise
        except LmprogError as error:
            self.fault = self.fault or error
            raise
        finally:
            self._calls.discard(task)

    def check(self) -> None:
        """Raise the fault, or CancelledError once the evaluation is over."""
        if self.fault is not None:
            raise self.fault
        if not self._open:
            raise asyncio.CancelledError

    async def shut(self) -> None:
        """End the calls under way and refuse all others."""
        self._open = False
        calls = set(self._calls)
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    program: Program
    inputs: tuple[str, ...]
    run_in: scope.Scope
    lm: _Watched
    metric: Metric
    with_trace: bool
    judge_in: scope.Scope
    judge: _Watched
    workers: loop.Workers


async def _in_room(room: Room, run: Callable[[], Coroutine[Any, Any, Run]]) -> Run:
    async with room.rows:
        return await run()


async def _run(around: _Surroundings, row: Row) -> Run:
    """Run one row, in a task of its own."""
    trace, failure, prediction = scope.Trace(), None, None
    scope.enter(around.run_in._replace(trace=trace))
    try:
        prediction = await cast("Any", around.program).acall(**inputs_in(row, around.inputs))
    except asyncio.CancelledError as error:
        if cast("asyncio.Task[Any]", asyncio.current_task()).cancelling():
            raise
        failure = _failure_of(error)  # of something that the program itself has cancelled
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  the user's own code: one row's failure is data
        failure = _failure_of(error)
    around.lm.check()
    if failure is not None:
        return _failed(row, trace, failure)
    scope.enter(around.judge_in)
    try:
        value = await _measured(around, row, prediction, trace)
    except (Exception, SystemExit) as error:
        fault = _metrics_fault(around, row, prediction, error)
        if fault is error:
            raise
        raise fault from error
    around.judge.check()
    return Run(row, prediction, to_score(value, row, prediction), trace.steps)


async def _run_in_thread(around: _Surroundings, row: Row) -> Run:
    """Run a sync program and a sync metric, both in one thread: a change of threads takes longer than most metrics."""
    return await around.workers.run(partial(_run_sync, around, row), 0)


def _run_sync(around: _Surroundings, row: Row) -> Run:
    trace, failure, prediction = scope.Trace(), None, None
    scope.enter(around.run_in._replace(trace=trace, depth=1))
    try:
        prediction = cast("Any", around.program)(**inputs_in(row, around.inputs))
    except BaseException as error:  # noqa: BLE001  as above; nobody cancels or interrupts this thread
        failure = _failure_of(error)
    around.lm.check()
    if failure is not None:
        return _failed(row, trace, failure)
    scope.enter(around.judge_in)
    try:
        value = _measure(around, row, prediction, trace)
        value = loop.run(_awaited(value), instead="") if inspect.isawaitable(value) else value
    except (Exception, SystemExit) as error:
        fault = _metrics_fault(around, row, prediction, error)
        if fault is error:
            raise
        raise fault from error
    around.judge.check()
    return Run(row, prediction, to_score(value, row, prediction), trace.steps)


def _metrics_fault(around: _Surroundings, row: Row, prediction: Any, error: BaseException) -> BaseException:
    """Return what a metric's exception means: a systemic fault, which it may have hidden, or a bug of the metric."""
    if around.judge.fault is not None:
        return around.judge.fault
    if isinstance(error, (LMError, CapReached)) and not isinstance(error, ContextError):
        return error
    what, unshown = f"the metric raised {type(error).__name__}: {error}", f"the metric raised {loop.raised(error)}."
    if isinstance(error, MetricError):
        what, unshown = str(error), error.unshown or unshown
    place = loop.users_place(error)
    where = f"{place}; on the row" if place else "on the row"
    return MetricError(f"{what} ({where} {row!r} with the prediction {prediction!r})", unshown=unshown)


async def _measured(around: _Surroundings, row: Row, prediction: Any, trace: scope.Trace) -> Any:
    if inspect.iscoroutinefunction(around.metric):
        return await _measure(around, row, prediction, trace)
    value = await around.workers.run(partial(_measure, around, row, prediction, trace), 0)
    return await value if inspect.isawaitable(value) else value


def _measure(around: _Surroundings, row: Row, prediction: Any, trace: scope.Trace) -> Any:
    measure = cast("Any", around.metric)
    return measure(row, prediction, trace=trace.steps) if around.with_trace else measure(row, prediction)


async def _awaited(value: Awaitable[T]) -> T:
    return await value


def _failed(row: Row, trace: scope.Trace, failure: "_Failure") -> Run:
    text = f"{failure.text.rstrip()} ({failure.place})" if failure.place else failure.text
    # no place in the feedback: a proposer's prompt would change with every line that moves
    return Run(row, None, Score(0.0, feedback=failure.text), trace.steps, text, failure.bug)


@dataclass(frozen=True, slots=True)
class _Failure:
    text: str
    bug: str = ""
    place: str = ""


def _failure_of(error: BaseException) -> _Failure:
    """Return what an exception says about one row, or raise it where it is about all of them.

    Of a group, as `asyncio.TaskGroup` raises it, what is gravest counts: a systemic fault, then a bug.
    """
    failures = [_failure_of_one(part) for part in _parts(error)]
    return next((failure for failure in failures if failure.bug), failures[0])


def _parts(error: BaseException) -> list[BaseException]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    group = cast("ExceptionGroup[Exception]", error)
    return [part for inner in group.exceptions for part in _parts(inner)]


def _failure_of_one(error: BaseException) -> _Failure:
    if isinstance(error, (OutputError, ContextError)):
        return _Failure(str(error))
    if isinstance(error, LmprogError) and not isinstance(error, InputError):
        raise error
    return _Failure(f"{type(error).__name__}: {error}", bug=loop.raised(error), place=loop.users_place(error))
