"""What can be named: built-ins by file name, third parties' by entry point."""

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Any

from lmprog.errors import InputError


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
        raise InputError(f"there is no {name!r} among the {kind}: there are {', '.join(names(kind))}.")
    module = f"lmprog.{kind}.{name.replace('-', '_')}"
    found = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise InputError(f"{module} should define {attribute}: what {name!r} stands for is found by that name.")
    return found


def _built_in(kind: str) -> list[str]:
    package = importlib.import_module(f"lmprog.{kind}")
    return [found.name.replace("_", "-") for found in pkgutil.iter_modules(package.__path__) if not found.ispkg]
