"""Tasks: a program with its data and metric, ready to be compiled by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_type_hints

from lmprog.data import Splits
from lmprog.errors import InputError, LmprogError
from lmprog.hub import INSTALL, Hub, Repository
from lmprog.metrics import Metric
from lmprog.module import Module, Program
from lmprog.predict import Predict
from lmprog.registry import Named, Option, find, named, names, written_option
from lmprog.request import Capability
from lmprog.source import PartName, Source

_KIND = "programs"


@dataclass(frozen=True, slots=True)
class Published:
    """A score that others report for a system on these data, with the LM and where it stands."""

    score: float
    """In per cent, as published."""
    system: str
    """What the program went through: "uncompiled", "MIPRO" ..."""
    lm: str
    where: str
    """The paper or repository, such as "arXiv:2406.11695, table 2"."""


@dataclass(frozen=True, slots=True)
class Task:
    """A program, rows to compile it on and the metric that counts. `program` and `load` are called when needed."""

    name: str
    program: Callable[[], Program]
    metric: Metric
    load: Callable[[], Splits]
    """Returns the rows by use, as `lp.Splits(train, val, holdout)`; equal rows at every call. May be a `Source`."""
    about: str
    """One sentence for lists of tasks."""
    published: tuple[Published, ...] = ()
    lms: tuple[str, ...] = ()
    """Specs of the LMs that the task is known to run on; "tiny" among them where it runs on the embedded LM."""
    not_tiny: str = ""
    """Why it does not run on the embedded LM."""
    needs: tuple[str, ...] = ()
    """What must be there beside an LM and the rows, in words, such as a package to install."""
    capabilities: frozenset[Capability] = frozenset({"generate"})
    """What the LM must be able to do."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """The options that it was made with, where they were given."""

    def __post_init__(self) -> None:
        program = cast("object", self.program)
        kind = type(program).__name__
        if isinstance(program, (Module, Predict)) or not callable(program):
            raise InputError(
                f"the task {self.name} has a {kind} as `program`: write what makes a program, the class or a function, "
                "`program=lambda: MyProgram()`."
            )
        if not callable(self.load):
            raise InputError(
                f"the task {self.name} has load={self.load!r:.80}: write a function that returns `lp.Splits(...)`."
            )

    @property
    def source(self) -> Source | None:
        """Where the rows come from, if that is a published data set."""
        return self.load if isinstance(self.load, Source) else None

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that must be there beside an LM, in words: what the rows take, and `needs`."""
        published = self.source is not None and isinstance(self.source.origin, (Hub, Repository))
        return (*(("a network once, or --data FILE", INSTALL) if published else ()), *self.needs)

    @property
    def settings(self) -> dict[str, Any]:
        """What of a task decides a run beside program, rows and metric, as JSON data: the data set, and the options given."""
        said = {
            option: value.partition("?")[0] for option, value in self.options.items()
        }  # a URL's query may hold a key
        rows = {} if self.source is None else {"rows": self.source.facts()}
        return {"name": self.name, **rows, **({"options": said} if said else {})} if rows or said else {}

    def on(self, files: Mapping[PartName, Path]) -> "Task":
        """Return the task with files in the place of its published rows; the task itself where it has none of those."""
        return replace(self, load=self.source.on(files)) if self.source is not None and files else self


def tasks() -> list[Task]:
    """Return every task that has a name: those that ship, and those of installed packages."""
    return [find_task(name) for name in names(_KIND)]


def find_task(spec: str, files: Mapping[PartName, Path] | None = None) -> Task:
    """Return the task that a text names, with options where it says some: "gsm8k", "hotpotqa:revision=...,k=5".

    Options are the parameters of the function `make_task` in the task's file and, where one of them is `source`, what
    `Source.adjusted` takes. `files` are rows in the place of the published ones, by part: see `Source.on`. LmprogError with
    all names, or all options, where there is no such one.
    """
    said = named(spec, f"task {spec!r}")
    if not said.options and not files:
        found: object = find(_KIND, said.name, "TASK")
    else:
        found = _made(said, find(_KIND, said.name, "make_task"), files or {})
    if not isinstance(found, Task):
        raise LmprogError(
            f"the program {said.name!r} is registered as {found!r}, which is not a Task. "
            f"Let the entry point name a `lp.Task(...)`."
        )
    return replace(found, options=said.options) if said.options else found


def options_of(name: str) -> list[Option]:
    """Return the options that a task takes, with their values and defaults."""
    make = find(_KIND, name, "make_task")
    if isinstance(make, Task):  # as an entry point may name one
        return []
    parameters, source = _parameters(make)
    types, own = get_type_hints(make), inspect.signature(make).parameters
    found = [written_option(option, types[option], own[option].default) for option in parameters]
    if source is not None:
        types = get_type_hints(Source.adjusted, include_extras=True)
        found += [written_option(option, types[option], default) for option, default in source.told.items()]
    return found


def _made(said: Named, make: Any, files: Mapping[PartName, Path]) -> object:
    """Return what `make_task` makes of options and files."""
    if isinstance(make, Task):
        said.check(())
        return make.on(files)
    parameters, source = _parameters(make)
    if source is None:
        return said.made(make, parameters)
    said.check({*parameters, *source.options})
    of_source = {option: value for option, value in said.options.items() if option not in parameters}
    own = {option: value for option, value in said.options.items() if option in parameters}
    adjusted = replace(said, options=of_source).made(source.adjusted, source.options).on(files)
    return replace(said, options=own).made(make, parameters, source=adjusted)


def _parameters(make: Callable[..., object]) -> tuple[tuple[str, ...], Source | None]:
    """Return the options of `make_task` beside those of its source, and the source that it takes by default."""
    parameters = inspect.signature(make).parameters
    source = parameters["source"].default if "source" in parameters else None
    return tuple(name for name in parameters if name != "source"), source
