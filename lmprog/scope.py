"""The one ambient value: what surrounds a predictor's call."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict, Unpack

from lmprog import loop
from lmprog.errors import OutputError
from lmprog.loop import Workers
from lmprog.params import PredictorParams
from lmprog.request import LM
from lmprog.signature import Signature


@dataclass(frozen=True, slots=True)
class Step:
    """One predictor call, as it happened. Values are the typed ones that the program saw."""

    predictor: str
    """The predictor's path in the program."""
    inputs: Mapping[str, object]
    outputs: Mapping[str, object]
    """Every output, `reasoning` included; empty when the call failed."""
    retries: int = 0
    """How often the LM was asked again: because its reply did not validate, or by what surrounds the call."""
    error: str | None = None
    advice: str = ""
    """What the LM was told in this call beside the inputs, as `Refine` does."""
    instruction: str = ""
    """What stood in place of the predictor's instruction in this call, where something did."""
    fired: "tuple[Firing, ...]" = ()
    """The hooks that acted on this call, in order."""
    kept: bool = True
    """Whether it belongs to what the run returned: False for the draws that a strategy set aside."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A hook that acted on a predictor's call."""

    hook: str
    changed: Mapping[str, object]
    """The fields that it set, inputs or outputs, with their new values."""
    remark: str = ""
    """What it said to the LM about the reply."""


class Trace:
    """The steps of one run, in the order in which the calls began, whatever the order in which they ended."""

    def __init__(self) -> None:
        self._slots: list[Step | Trace | None] = []
        self._kept = True

    def open(self) -> int:
        """Reserve the place of a call that begins now."""
        self._slots.append(None)
        return len(self._slots) - 1

    def close(self, place: int, step: Step) -> None:
        """Fill a reserved place."""
        self._slots[place] = step

    def branch(self) -> "Trace":
        """Return a trace for a part of the run whose steps stand together here, whatever runs beside it."""
        part = Trace()
        self._slots.append(part)
        return part

    def set_aside(self) -> None:
        """Mark these steps as no part of what the run returns."""
        self._kept = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """The finished calls."""
        found = [step for slot in self._slots if slot for step in (slot.steps if isinstance(slot, Trace) else (slot,))]
        return tuple(found) if self._kept else tuple(replace(step, kept=False) for step in found)


@dataclass(slots=True, eq=False)
class Bound:
    """The params in force for one predictor, and its path."""

    path: str
    params: PredictorParams
    template: object = None
    """What the predictor rendered from these params at its first call; the same for all rows of a candidate."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a program whose predictors are bound together: the program itself, or a compiled program inside it."""

    modules: frozenset[int]
    """`id` of each module in the region; the binding keeps them alive."""
    bound: Mapping[object, Bound]
    """By predictor object, so that closures and tools find theirs."""


NOWHERE = Region(frozenset(), {})


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A program with params, made once per candidate and used for all its rows."""

    program: object
    root: Region
    regions: Mapping[int, Region]
    """The region of each module, by `id`: where a call of that module takes its params from."""

    @property
    def params(self) -> Mapping[str, PredictorParams]:
        """The params in force for each predictor, by path."""
        regions = (self.root, *self.regions.values())
        return {bound.path: bound.params for region in regions for bound in region.bound.values()}


class Asking(NamedTuple):
    """A predictor's call as it is about to be asked; what surrounds it may ask for another instead."""

    path: str
    signature: type[Signature]
    inputs: Mapping[str, Any]
    """Typed values of all inputs."""
    instruction: str
    advice: str = ""
    """What the LM is told beside the inputs."""
    said: tuple[tuple[Mapping[str, Any], str], ...] = ()
    """Outputs that came of it before, each with what is said about them: the conversation goes on from there."""
    fired: tuple[Firing, ...] = ()


class Answered(NamedTuple):
    """What came of asking."""

    asking: Asking
    """As it was asked last."""
    outputs: Mapping[str, Any]
    """Empty where no reply validated."""
    asked: int = 1
    """How often the LM was asked, in all."""
    error: OutputError | None = None


Ask = Callable[[Asking], Awaitable[Answered]]
Around = Callable[[Asking, Ask], Awaitable[Answered]]
"""What surrounds each predictor's call: it asks, once or more often, and returns what the call gives."""


class Scope(NamedTuple):
    """The LM, the params and the trace that predictor calls see. A tuple, since it is replaced several times a row."""

    lm: LM | None = None
    binding: Binding | None = None
    region: Region = NOWHERE
    trace: Trace | None = None
    sample: int = 0
    temperature: float | None = None
    """Of predictors whose own params set none."""
    workers: Workers | None = None
    depth: int = 0
    """How many levels of worker threads the caller is nested in."""
    tab: object = None
    """What counts the requests made here until they are taken into the account; None where they count at once."""
    tally: object = None
    """What adds up the cost of the requests made here, where somebody wants to know."""
    held: Callable[[], Awaitable[None]] | None = None
    """What each call that is to be sent from here awaits first."""
    around: Around | None = None
    """What surrounds the call of each predictor."""
    outer: "Scope | None" = None
    """The scope of the program that called the one in force: a tool or closure of the caller finds its params there."""


class Changes(TypedDict, total=False):
    """The fields of Scope, each optional."""

    lm: LM | None
    binding: Binding | None
    region: Region
    trace: Trace | None
    sample: int
    temperature: float | None
    workers: Workers | None
    depth: int
    tab: object
    tally: object
    held: Callable[[], Awaitable[None]] | None
    around: Around | None
    outer: Scope | None


_scope: ContextVar[Scope] = ContextVar("lmprog.scope", default=Scope())  # noqa: B039  (frozen)


def current() -> Scope:
    """Return the scope of the running task or thread."""
    return _scope.get()


def from_inside_out() -> Iterator[Scope]:
    """Yield the current scope, then those around it: of the program that called, of the one that called that, ..."""
    here: Scope | None = _scope.get()
    while here is not None:
        yield here
        here = here.outer


def enter(here: Scope) -> None:
    """Put a scope in force for the rest of the running task, or of the work that a thread does in a context of its own."""
    _scope.set(here)


@contextmanager
def scoped(**changes: Unpack[Changes]) -> Generator[None]:
    """Run the block with some of the scope's fields replaced."""
    token = _scope.set(_scope.get()._replace(**changes))
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def surrounded(around: Around) -> Generator[None]:
    """Run the block with something around each predictor's call, inside of what is around it already."""
    outer = current().around

    async def both(asking: Asking, ask: Ask) -> Answered:
        return await around(asking, lambda inner: outer(inner, ask) if outer else ask(inner))

    with scoped(around=both if outer else around):
        yield


async def called(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return what a function of the user's gives. A sync one runs in a worker thread: it may wait, and call programs.

    RuntimeError where it ends as if it were cancelled, and nobody has cancelled it.
    """
    try:
        return await _given(function, args, kwargs)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("it was cancelled by what it called itself") from error


async def _given(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    here = current()

    def work() -> Any:
        with scoped(depth=here.depth + 1):
            return function(*args, **kwargs)

    given = await loop.hop((here.workers or loop.default_workers()).run(work, here.depth))
    return await given if inspect.isawaitable(given) else given
