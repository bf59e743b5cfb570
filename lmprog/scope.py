"""The one ambient value: what surrounds a predictor's call."""

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, TypedDict, Unpack

from lmprog.loop import Workers
from lmprog.params import PredictorParams
from lmprog.request import LM


@dataclass(frozen=True, slots=True)
class Step:
    """One predictor call, as it happened. Values are the typed ones that the program saw."""

    predictor: str
    """The predictor's path in the program."""
    inputs: Mapping[str, object]
    outputs: Mapping[str, object]
    """Every output, `reasoning` included; empty when the call failed."""
    retries: int = 0
    """How often the LM was asked again because its reply did not validate."""
    error: str | None = None


class Trace:
    """The steps of one run, in the order in which the calls began, whatever the order in which they ended."""

    def __init__(self) -> None:
        self._slots: list[Step | None] = []

    def open(self) -> int:
        """Reserve the place of a call that begins now."""
        self._slots.append(None)
        return len(self._slots) - 1

    def close(self, place: int, step: Step) -> None:
        """Fill a reserved place."""
        self._slots[place] = step

    @property
    def steps(self) -> tuple[Step, ...]:
        """The finished calls."""
        return tuple(step for step in self._slots if step is not None)


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
