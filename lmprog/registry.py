"""What can be named: built-ins by file name, third parties' by entry point; and options behind a name."""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from lmprog.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Named:
    """A name with options, as they are said: "mipro:trials=20,style=v2"."""

    what: str
    """What is named, in words: "optimizer 'bootstrap -> mipro:trials=20'"."""
    name: str
    options: Mapping[str, str]

    def made(self, make: Callable[..., T], known: Collection[str], **given: object) -> T:
        """Return what a class or function makes of the options, each read as the type that it says, and of what else is given.

        InputError where an option is not among those known, or its value is of another type.
        """
        self.check(known)
        types = get_type_hints(make, include_extras=True)
        values = {option: self._value(option, types[option]) for option in self.options}
        return make(**values, **given)

    def check(self, known: Collection[str]) -> None:
        """Raise InputError where an option is not among those known."""
        if unknown := sorted(self.options.keys() - set(known)):
            raise InputError(f"{self.what}: {self.name} has no option {unknown}. It has {sorted(known)}.")

    def _value(self, option: str, kind: Any) -> object:
        try:
            return TypeAdapter[Any](kind).validate_python(self.options[option])
        except ValidationError as error:
            fault = error.errors()[0]["msg"]
            raise InputError(f"{self.what}: {option}={self.options[option]!r}: {fault}.") from None


def named(spec: str, what: str) -> Named:
    """Return the name and the options that a text says; InputError where it is no "name:option=value,..."."""
    name, _, said = spec.partition(":")
    options: dict[str, str] = {}
    for part in said.split(","):
        if not part.strip():
            continue
        option, equals, value = (text.strip() for text in part.partition("="))
        if not equals:
            raise InputError(f'{what}: {part!r} is no option: write "name:option=value".')
        if option in options:
            raise InputError(f"{what}: an option is given twice. Write each once.")
        options[option] = value
    return Named(what, name.strip(), options)


@dataclass(frozen=True, slots=True)
class Option:
    """An option of what is named, as it is written behind the name."""

    name: str
    values: str
    default: str


def written_options(made: object) -> list[Option]:
    """Return the options of a dataclass that a name has made; none of anything else."""
    if not is_dataclass(made) or isinstance(made, type):
        return []
    types = get_type_hints(type(made))
    return [written_option(each.name, types[each.name], getattr(made, each.name)) for each in fields(made) if each.init]


def written_option(name: str, kind: Any, default: object) -> Option:
    """Return an option of some type, as it is written."""
    return Option(name, _values_of(kind), _written(default))


def _values_of(kind: Any) -> str:
    """Return in words what values a type has: `6`, `auto` and `chat+json` are written as what they are."""
    if get_origin(kind) is Annotated:
        return _values_of(kind.__origin__)
    parts, origin = get_args(kind), get_origin(kind)
    if origin is Literal:
        return ", ".join(map(_written, parts))
    if origin is tuple:
        return f"{_values_of(parts[0])}, joined by +"
    if parts:
        return " or ".join(_values_of(part) for part in parts if part is not NoneType)
    names: Mapping[Any, str] = {int: "whole number", float: "number", bool: "true, false", str: "text"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_written, cast("tuple[object, ...]", value)))
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def names(kind: str) -> list[str]:
    """Return every name of a kind: "optimizers" or "programs"."""
    return sorted({*_built_in(kind), *(entry.name for entry in entry_points(group=f"lmprog.{kind}"))})


def find(kind: str, name: str, attribute: str) -> Any:
    """Return what a name stands for: an attribute of the built-in file of that name, or an entry point.

    InputError with all names where there is none.
    """
    if name not in _built_in(kind):
        for entry in entry_points(group=f"lmprog.{kind}"):
            if entry.name == name:
                return entry.load()
        near = get_close_matches(name, names(kind), n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"there is no {name!r} among the {kind}: there are {', '.join(names(kind))}.{meant}")
    module = f"lmprog.{kind}.{name.replace('-', '_')}"
    found = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise InputError(f"{module} should define {attribute}: what {name!r} stands for is found by that name.")
    return found


def _built_in(kind: str) -> list[str]:
    package = importlib.import_module(f"lmprog.{kind}")
    return [found.name.replace("_", "-") for found in pkgutil.iter_modules(package.__path__) if not found.ispkg]
