"""What the arguments of a command stand for: tasks, things in Python files, budgets, inputs."""

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO, cast, get_args

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypeIs

from lmprog.budget import Size
from lmprog.data import Row, Splits, read_jsonl, read_rows
from lmprog.errors import DataError, InputError, LmprogError, ScopeError
from lmprog.lm import ENVIRONMENT, default_lm
from lmprog.lm.ledger import Budget
from lmprog.lm.specs import from_spec
from lmprog.module import Module, Program, input_types_of, inputs_of, required_inputs_of
from lmprog.predict import Predict
from lmprog.registry import names
from lmprog.request import LM, InexactError, read_exactly
from lmprog.retrieval import BM25, Retriever
from lmprog.retrieval.http import HTTPRetriever
from lmprog.signature import type_name
from lmprog.source import PartName
from lmprog.task import Task, find_task

Given = tuple[Sequence[Row], Sequence[Row] | None, Sequence[Row] | None]
"""Rows to train on, to choose by and to prove with."""
CAPS = {"calls": int, "tokens": int, "usd": float, "seconds": float}
EMBEDDED = "tiny"


def task_of(said: str, files: Mapping[PartName, Path]) -> Task:
    """Return the task of a name with options, or of `path.py:NAME`, on these files in the place of its own rows."""
    if ".py:" not in said and not said.endswith(".py"):
        try:
            return find_task(said, files)
        except InputError as error:
            more = "" if said.partition(":")[0] in names("programs") else " For a task of your own write path.py:NAME."
            raise InputError(f"{error}{more}") from None
    found = _thing_at(said, "a Task", Task)
    if not isinstance(found, Task):
        raise InputError(
            f"{said} is a {type(found).__name__} and not a Task. Write in the file `NAME = lmprog.Task(name=..., program=..., "
            f"metric=..., load=..., about=...)`."
        )
    return found.on(files)


def program_of(task: Task) -> Program:
    """Return a task's program."""
    return _as_program(task.program(), f"the task {task.name}, `program`")


def program_at(said: str) -> Program:
    """Return what `path.py:FACTORY` makes: a function or class that is called with nothing, a program, or a Task's."""
    found = _thing_at(said, "a function or class that returns the program", object)
    if isinstance(found, Task):
        return program_of(found)
    if _is_program(found) or not callable(found):
        return _as_program(found, said)
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise InputError(
            f"{said} cannot be called with nothing ({error}). Write a function in the file that does it, such as "
            f"`def program(): return {found.__name__ if inspect.isclass(found) else 'MyProgram'}(...)`."
        ) from None
    except ValueError:  # a built-in without a signature
        pass
    return _as_program(found(), said)


def budget_of(said: str) -> Size | Budget:
    """Return the budget that "light" or "calls=3000,usd=2" stands for."""
    if said in get_args(Size):
        return cast("Size", said)
    caps: dict[str, Any] = {}
    for part in said.split(","):
        name, equals, number = (word.strip() for word in part.partition("="))
        if not equals or name not in CAPS or name in caps:
            raise InputError(
                f"--budget {said!r}: {part.strip()!r} is no cap. Write one of {', '.join(get_args(Size))}, or caps such as "
                f"calls=3000,usd=2.50 out of {', '.join(CAPS)}, each once."
            )
        try:
            caps[name] = CAPS[name](number.replace("_", ""))
        except ValueError:
            kind = "a whole number" if CAPS[name] is int else "a number"
            raise InputError(f"--budget {said!r}: {name}={number!r} is not {kind}.") from None
    return Budget(**caps)


def rows_given(task: Task, program: Program, files: Mapping[PartName, Path]) -> Given:
    """Return the rows to compile on: those of JSON Lines files where given, and the task's own for the rest.

    A task with a source reads files itself, in the form of what was published. Otherwise, with a file for `train` none of
    the task's own are used: what is not given is then None, to be split off.
    """
    if task.source is not None or "train" not in files:
        own = _own(task)
        others = {} if task.source is not None else {part: rows_of(path, program) for part, path in files.items()}
        return own.train, others.get("val", own.val), others.get("holdout", own.holdout)
    given = {part: rows_of(path, program) for part, path in files.items()}
    return given["train"], given.get("val"), given.get("holdout")


def _own(task: Task) -> Splits:
    own = cast("object", task.load())
    if not isinstance(own, Splits):
        raise InputError(
            f"`load` of the task {task.name} returned a {type(own).__name__}. It should return "
            f"`lp.Splits(train=(...), val=(...), holdout=(...))`."
        )
    return own


def rows_of(path: Path, program: Program) -> tuple[Row, ...]:
    """Return the rows of a JSON Lines file, at least one, checked against the program's inputs."""
    return read_rows(read_jsonl(path), program, what=str(path))


def numbers_of(said: str, option: str) -> list[int]:
    """Return whole numbers from 1 on that stand between commas, each once, in order."""
    try:
        numbers = sorted({int(part) for part in said.split(",")})
    except ValueError:
        numbers = [0]
    if numbers[0] < 1:
        raise InputError(
            f"{option} {said!r} should be whole numbers from 1 on, with commas between: {option} 1,2,5,10."
        )
    return numbers


def retriever_of(said: str, passages: Sequence[str], k: int) -> Retriever:
    """Return the retriever that is meant, which finds `k` passages: BM25 over `passages`, an endpoint, or one of the user's."""
    if said == "bm25":
        return BM25(passages, k)
    if "://" in said:
        return HTTPRetriever(said, k)
    if ".py" not in said:
        raise InputError(
            f"there is no retriever {said!r}. Write bm25, the URL of a search endpoint, or path.py:FACTORY of a function that "
            f"takes (passages, k) and returns what is called with a query."
        )
    make = _thing_at(said, "a function of (passages, k) that returns a retriever", object)
    if callable(make) and not _takes(make, passages, k):
        raise InputError(
            f"{said} cannot be called with two arguments. It should be a function that takes (passages, k) and returns a "
            f"retriever."
        )
    made = make(passages, k) if callable(make) else make
    if not callable(make) or not callable(made):
        raise InputError(
            f"{said} {'returned' if callable(make) else 'is'} a {type(made).__name__}. It should be a function that takes "
            f"(passages, k) and returns a retriever, which is called with a query and returns a list of passages."
        )
    return cast("Retriever", made)


def _takes(function: Callable[..., object], *given: object) -> bool:
    try:
        inspect.signature(function).bind(*given)
    except TypeError:
        return False
    except ValueError:  # of a builtin, nobody knows
        return True
    return True


def check_out(path: Path) -> None:
    """Make sure, before anything is spent, that a file can be written: its folder is made if need be."""
    if path.is_dir():
        raise InputError(f"--out {path} is a folder: name a file in it, such as --out {path / 'program.lmprog'}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {path}: {path.parent} cannot be made ({error.strerror}). Name another file.") from None
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"--out {path} cannot be written: permission denied. Name another file.")


def lm_of(said: str | None, *, embedded: bool, why_not: str, example: str = EMBEDDED) -> tuple[LM | None, bool]:
    """Return the LM to use and whether it is the embedded one for want of another.

    `said` on the command line goes before `lmprog.configure` and LMPROG_LM, for which None is returned, before the
    embedded one where `embedded` allows it. ScopeError with the reason `why_not` and an `example` where none is left.
    """
    if said is not None:
        return from_spec(said), False
    if default_lm() is not None:
        return None, False
    if embedded:
        return from_spec(EMBEDDED), True
    raise ScopeError(f"there is no LM: {why_not}. Write --lm {example}, or set {ENVIRONMENT}.")


def inputs_said(program: Program, pairs: Sequence[str], object_text: str | None) -> dict[str, Any] | None:
    """Return the inputs that NAME=VALUE pairs and a JSON object give together; None where there are neither."""
    if not pairs and object_text is None:
        return None
    inputs = {} if object_text is None else _object(object_text, "--input")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"{pair!r} is no input. Write {_inputs_in_words(program)}.")
        if name in inputs:
            raise InputError(f"`{name}` is given twice. Write each input once.")
        inputs[name] = _value(program, name, text)
    check_names(program, inputs, "the inputs")
    return inputs


def inputs_on(file: TextIO, program: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the inputs of each line of JSON Lines, behind where it stands. Fields that are no inputs are left out: they are labels."""
    known = inputs_of(program)
    for number, line in enumerate(file, start=1):
        if line.strip():
            where = f"standard input, line {number}"
            inputs = {name: value for name, value in _object(line, where).items() if name in known}
            check_names(program, inputs, where)
            yield where, inputs


def check_names(program: Program, inputs: Mapping[str, object], where: str) -> None:
    """Raise InputError where inputs are missing or unknown."""
    unknown = [name for name in inputs if name not in inputs_of(program)]
    missing = [name for name in required_inputs_of(program) if name not in inputs]
    faults = [f"`{name}` is not an input" for name in unknown] + [f"`{name}` is missing" for name in missing]
    if faults:
        kind = type(program).__name__
        raise InputError(f"{where}: {', '.join(faults)}. {kind} takes {_inputs_in_words(program)}.")


def _thing_at(said: str, wanted: str, kind: type[object]) -> object:
    """Return what stands under NAME in the file of `path.py:NAME`."""
    place, colon, name = said.rpartition(":")
    if not colon or not place.endswith(".py"):
        place, name = said, ""
    path = Path(place)
    if not path.is_file():
        raise InputError(f"there is no file {place!r}. Write path.py:NAME, where NAME is {wanted} in the file path.py.")
    module = _loaded(path.resolve(), place)
    offered = [
        each for each, value in vars(module).items() if not each.startswith("_") and _offers(value, kind, module)
    ]
    has = f"It has {', '.join(offered)}." if offered else f"It has none: write one, {wanted}."
    if not name:
        raise InputError(
            f"{said} does not say what in the file is meant: write {place}:NAME, where NAME is {wanted}. {has}"
        )
    if name not in vars(module):
        raise InputError(f"{place} has nothing called {name!r}. {has}")
    return cast("object", vars(module)[name])


def _offers(value: object, kind: type[object], module: ModuleType) -> bool:
    """Tell whether a value in a file may be what is looked for: of the kind, and not merely imported there."""
    if kind is not object:
        return isinstance(value, kind)
    return isinstance(value, Task) or getattr(value, "__module__", None) == module.__name__


def _loaded(path: Path, said: str) -> ModuleType:
    """Run a file as `import` would from its folder, so that it may import its neighbours."""
    holder = sys.modules.get(path.stem)
    taken = holder is not None and getattr(holder, "__file__", None) != str(path)
    name = f"{path.stem}_" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{said} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except LmprogError as error:
        raise InputError(f"{said}{_line_of(error, path)}: {error}") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{said} cannot be loaded{_line_of(error, path)}: {type(error).__name__}: {error}.") from error
    return module


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text names the line
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _as_program(found: object, where: str) -> Program:
    if not _is_program(found):
        raise InputError(f"{where} gives a {type(found).__name__}, which is no program: give a Module or a Predict.")
    return found


def _is_program(found: object) -> TypeIs[Program]:
    return isinstance(found, (Module, Predict))


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        data = read_exactly(text)
    except InexactError as error:
        raise DataError(f"{where}: {error}: {text[:120].strip()!r}.") from None
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}): {text[:120].strip()!r}.") from None
    if not isinstance(data, dict):
        raise DataError(f'{where} is not an object: {text[:120].strip()!r}. Write {{"name": value, ...}}.')
    return cast("dict[str, Any]", data)


def _value(program: Program, name: str, text: str) -> Any:
    """Return the value that a text stands for: the text itself where the input takes texts, else read as JSON."""
    kind = input_types_of(program).get(name, str)
    if kind is str:
        return text
    try:
        data = read_exactly(text)
    except ValueError:
        data = text
    try:
        return TypeAdapter[Any](kind).validate_python(data)
    except ValidationError as error:
        raise InputError(
            f"{name}={text!r} is no {type_name(kind)}: {error.errors()[0]['msg']}. Write lists and numbers as JSON."
        ) from None


def _inputs_in_words(program: Program) -> str:
    return " ".join(f"{name}=VALUE" for name in inputs_of(program)) or "nothing"
