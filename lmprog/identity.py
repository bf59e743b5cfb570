"""What tells one piece of the user's code from another: the code it reaches, and the plain values that it holds."""

import hashlib
import sys
import sysconfig
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

from lmprog.secrets import is_key

_PLAIN = (str, int, float, bool, bytes, complex, type(None), type(...))
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


def identity_of(thing: object) -> str:
    """Return 16 hex digits that change when the code of a function, class or object changes, or a value that it holds.

    Followed are functions, classes and constants of the user's own modules, through names, closures, defaults and
    attributes. Of installed packages and of lmprog only the names count. The same in every process of one version of
    Python: nothing here names a place in memory, and no order depends on a hash. Keys do not count: they may change.
    """
    walk = _Walk()
    walk.add(thing, root=True)
    return hashlib.sha256("\n".join(walk.parts).encode(errors="surrogatepass")).hexdigest()[:16]


class _Walk:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._seen: dict[int, object] = {}

    def add(self, thing: object, *, root: bool = False) -> None:
        if isinstance(thing, _PLAIN):
            self.parts.append(f"{type(thing).__name__} {thing!r}")
        elif id(thing) not in self._seen:
            self._seen[id(thing)] = thing
            self._add_new(thing, root)

    def _add_new(self, thing: object, root: bool) -> None:
        if isinstance(thing, (list, tuple)):
            items = list(cast("list[object]", thing))
            self._add_all(f"{'list' if isinstance(thing, list) else 'tuple'} {len(items)}", *items)
        elif isinstance(thing, (set, frozenset)):
            self.parts.append(f"set {sorted(map(repr, cast('set[object]', thing)))}")
        elif isinstance(thing, dict):
            entries = cast("dict[object, object]", thing)
            self._add_all(f"dict {len(entries)}", *(part for entry in entries.items() for part in entry))
        elif isinstance(thing, CodeType):
            self._add_all(f"code {thing.co_code.hex()} {thing.co_names}", *thing.co_consts)
        elif isinstance(thing, MethodType):
            self._add_all("method", thing.__func__, thing.__self__)
        elif isinstance(thing, (classmethod, staticmethod)):
            self.add(cast("Any", thing).__func__)
        elif isinstance(thing, property):
            self._add_all("property", thing.fget, thing.fset)
        elif isinstance(thing, (FunctionType, type)):
            self.parts.append(f"{thing.__module__}:{thing.__qualname__}")
            if root or _is_users(thing.__module__):
                self._add_function(thing) if isinstance(thing, FunctionType) else self._add_class(thing)
        else:
            self._add_object(thing)

    def _add_all(self, head: str, *parts: object) -> None:
        self.parts.append(head)
        for part in parts:
            self.add(part)

    def _add_function(self, function: FunctionType) -> None:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        self._add_all("function", function.__code__, cells, function.__defaults__, function.__kwdefaults__)
        known = cast("Mapping[str, object]", function.__globals__)
        for name in sorted(_names_in(function.__code__)):
            if name in known and not is_key(name, known[name]):
                self._add_all(f"global {name}", known[name])

    def _add_class(self, kind: type) -> None:
        for base in kind.__bases__:
            self.add(base)
        for name, value in cast("Mapping[str, object]", vars(kind)).items():
            if (not name.startswith("__") or _is_code(value)) and not is_key(name, value):
                self._add_all(f"attribute {name}", value)

    def _add_object(self, thing: object) -> None:
        """Add an object's class, and those attributes that are the user's and not our own notes on a program.

        An object of ours that holds things of the user's says which: a strategy its programs and functions, a tool its function.
        """
        self.add(type(thing))
        held = cast("dict[str, object]", getattr(thing, "__dict__", {}))
        ours = {name for kind in type(thing).__mro__ if not _is_users(kind.__module__) for name in vars(kind)}
        if _is_users(type(thing).__module__):
            for name, value in held.items():
                if name not in ours and not is_key(name, value):
                    self._add_all(f"attribute {name}", value)
        else:
            parts = cast("Callable[[], Mapping[str, object]]", getattr(thing, "_users_parts", dict))
            for name, value in parts().items():
                self._add_all(f"part {name}", value)


def _is_code(value: object) -> bool:
    return isinstance(value, (FunctionType, classmethod, staticmethod, property))


def _names_in(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names_in, inner))


def _is_users(module: str) -> bool:
    if module == "lmprog" or module.startswith("lmprog.") or module in sys.builtin_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or not str(file).startswith(_INSTALLED)
