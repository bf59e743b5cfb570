"""Tasks: a program with its data and metric, ready to be compiled by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lmprog.data import Splits
from lmprog.errors import LmprogError
from lmprog.metrics import Metric
from lmprog.module import Program
from lmprog.registry import find, names

_KIND = "programs"


@dataclass(frozen=True, slots=True)
class Task:
    """A program, rows to compile it on and the metric that counts. `program` and `load` are called when needed."""

    name: str
    program: Callable[[], Program]
    metric: Metric
    load: Callable[[], Splits]
    """Returns the rows by use, as `lp.Splits(train, val, holdout)`; equal rows at every call."""
    about: str
    """One sentence for lists of tasks."""
    published: Mapping[str, str | float] = field(default_factory=dict[str, str | float])
    """Scores that others report on these data, by system."""
    lms: tuple[str, ...] = ()
    """Specs of the LMs that the task is known to run on; "tiny" among them where it runs on the embedded LM."""


def tasks() -> list[Task]:
    """Return every task that has a name: those that ship, and those of installed packages."""
    return [find_task(name) for name in names(_KIND)]


def find_task(name: str) -> Task:
    """Return the task of that name, or raise LmprogError with all names."""
    found: object = find(_KIND, name, "TASK")
    if not isinstance(found, Task):
        raise LmprogError(
            f"the program {name!r} is registered as {found!r}, which is not a Task. "
            f"Let the entry point name a `lp.Task(...)`."
        )
    return found
