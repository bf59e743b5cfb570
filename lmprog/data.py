"""Rows: reading, checking and splitting them."""

import codecs
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import SchemaError, to_jsonable_python

from lmprog.errors import DataError
from lmprog.module import Program, input_types_of, inputs_of, required_inputs_of
from lmprog.request import InexactError, canonical_json, read_exactly
from lmprog.signature import type_name

Row = Mapping[str, Any] | BaseModel
"""An example as the user gave it: a dict or a pydantic object. Its inputs are the fields that `forward` names."""

SHARES = {"train": 0.4, "val": 0.3, "holdout": 0.3}
LEAST_HOLDOUT = 30
"""Fewer rows cannot resolve any gain that is worth shipping."""
_SHOWN = 200
"""Characters of a value that an error shows."""
_BROKEN = re.compile("[\ud800-\udfff]")
_ANY_CLASS = ConfigDict(arbitrary_types_allowed=True)


@dataclass(frozen=True, slots=True)
class Splits:
    """Rows by use: training rows teach, validation rows choose, holdout rows prove."""

    train: tuple[Row, ...]
    val: tuple[Row, ...]
    holdout: tuple[Row, ...]


def fields_in(row: Row) -> Mapping[str, Any]:
    """Return a row's fields by name; of a pydantic object also those beyond its model that it was allowed to keep."""
    if isinstance(row, BaseModel):
        return {name: getattr(row, name) for name in type(row).model_fields} | (row.model_extra or {})
    return row


def inputs_in(row: Row, names: Iterable[str]) -> dict[str, Any]:
    """Return those fields of a row that are inputs."""
    values = fields_in(row)
    return {name: values[name] for name in names if name in values}


def read_rows(rows: Iterable[Any], program: Program, *, what: str) -> tuple[Row, ...]:
    """Return rows checked against the program's inputs, or raise DataError naming the row and the field at fault.

    Rows are dicts or pydantic objects, in a list, a `datasets.Dataset` or any other iterable.
    """
    if not inputs_of(program):
        raise DataError(
            f"{type(program).__name__} names no input, so that nothing of a row would reach it. Name in `forward` the "
            f"fields of a row that it reads: `def forward(self, question: str)`."
        )
    read = _listed(rows, what)
    if not read:
        used_up = " An iterator gives its rows only once: give a list." if isinstance(rows, Iterator) else ""
        raise DataError(f"`{what}` is empty. Give at least one row with {_names(inputs_of(program))}.{used_up}")
    needed, types = required_inputs_of(program), _checked_types(program)
    for number, row in enumerate(read):
        where = f"`{what}`, row {number}"
        if not isinstance(row, (Mapping, BaseModel)):
            raise DataError(f"{where}: {_shown(row)} is neither a dict nor a pydantic object.")
        values = fields_in(cast("Row", row))
        for name, value in values.items():
            if _is_broken(name) or _is_broken(value):
                raise DataError(f"{where}, {_broken(name)}")
        missing = [name for name in needed if name not in values]
        if missing:
            raise DataError(
                f"{where} has no {_names(missing)}, which {type(program).__name__} takes. It has {_names(sorted(values))}."
            )
        for name, (kind, adapter) in types.items():
            if name in values:
                _check_value(values[name], kind, adapter, f"{where}, `{name}`", type(program).__name__)
    return cast("tuple[Row, ...]", read)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file in UTF-8, or raise DataError naming the line at fault. A `.gz` is unpacked."""
    return [row for _, row in numbered_jsonl(path)]


def numbered_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of such a file, each with the number of its line; no more of the file than a line is in memory."""
    for number, line in _lines(path):
        if not line.strip():
            continue
        shown = repr(line[:120].decode(errors="replace").strip())
        try:
            row = read_exactly(line.decode())
            broken = [name for name, value in _members(row) if _is_broken(name) or _is_broken(value)]
        except InexactError as error:
            raise DataError(f"{path}, line {number}: {error}: {shown}.") from None
        except RecursionError:
            raise DataError(f"{path}, line {number} is nested too deep: {shown}.") from None
        except ValueError as error:
            raise DataError(
                f"{path}, line {number} is not JSON in UTF-8 ({error}): {shown}. Write one row a line, as {{...}}."
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number} is not an object: {shown}. Write one row a line, as {{...}}.")
        if broken:
            raise DataError(f"{path}, line {number}, {_broken(broken[0])}")
        yield number, cast("dict[str, Any]", row)


def split(
    program: Program,
    train: Sequence[Row],
    val: Sequence[Row] | None = None,
    holdout: Sequence[Row] | None = None,
    *,
    seed: int,
    group: str | None = None,
) -> Splits:
    """Return the three parts. What is not given is taken from `train`: 40/30/30 where neither is, in proportion otherwise.

    The place of a row follows from the seed and its inputs, or its field `group`, by SHA-256: rows with equal inputs
    (or of one group) share a part. Equal inputs in two parts that were both given: DataError.
    """
    names = inputs_of(program)
    _check_apart({"train": train, "val": val or (), "holdout": holdout or ()}, names, group)
    given = {name: rows for name, rows in (("val", val), ("holdout", holdout)) if rows is not None}
    open_parts = [name for name in SHARES if name not in given]
    parts: dict[str, list[Row]] = {name: list(rows) for name, rows in given.items()} | {n: [] for n in open_parts}
    whole = sum(SHARES[name] for name in open_parts)
    ordered = sorted(
        together(train, names, group), key=lambda rows: _draw(seed, min(row_key(r, names, group) for r in rows))
    )
    done, bounds = 0, _bounds(open_parts, whole, len(train))
    for rows in ordered:
        name = next(part for part, end in bounds if done < end or part == bounds[-1][0])
        parts[name] += rows
        done += len(rows)
    in_order = {name: _as_given(parts[name], train) if name in open_parts else parts[name] for name in SHARES}
    return Splits(tuple(in_order["train"]), tuple(in_order["val"]), tuple(in_order["holdout"]))


def row_key(row: Row, names: Sequence[str], group: str | None) -> str:
    """Return what decides where a row belongs: its group, or else its inputs, as canonical JSON."""
    values = fields_in(row)
    if group is not None:
        if group not in values:
            has = f"It has {_names(sorted(values))}."
            raise DataError(
                f"there is no field {group!r} to group by in the row {row!r}. {has}",
                unshown=f"there is no field {group!r} to group by in a row. {has}",
            )
        return canonical_json(_plain(values[group], group, row))
    return canonical_json({name: _plain(value, name, row) for name, value in inputs_in(row, names).items()})


def fingerprint(rows: Sequence[Row]) -> str:
    """Return 16 hex digits that name rows by content and order."""
    text = canonical_json([{name: _plain(value, name, row) for name, value in fields_in(row).items()} for row in rows])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, unpacked where it is packed. Only line feeds end one: others may stand inside a JSON text."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: no path can be written so
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {why}. Give a file of JSON Lines, one row a line.") from None


def _listed(rows: object, what: str) -> tuple[Any, ...]:
    """Return rows as a tuple, or raise DataError where what was given is no rows."""
    given = rows  # a checker narrows `rows` to types with unknown parts
    if isinstance(rows, (str, bytes, Path)):
        instead = "Read a file of JSON Lines with `[json.loads(line) for line in open(path)]`"
    elif isinstance(rows, Mapping):
        some = next(iter(cast("Mapping[object, object]", rows)), "...")
        instead = f"Give a list of rows: `[row]` of one row, or `...[{some!r}]` of several parts"
    elif isinstance(rows, BaseModel):
        instead = "Give a list of rows"
    elif isinstance(rows, Splits):
        instead = "Write `train=splits.train, val=splits.val, holdout=splits.holdout`"
    elif type(rows).__module__.startswith("pandas"):
        instead = 'Write `frame.to_dict("records")`'
    elif not isinstance(rows, Iterable) and not callable(getattr(rows, "__getitem__", None)):
        instead = "Give a list of dicts or of pydantic objects"
    else:
        return tuple(cast("Iterable[Any]", rows))
    raise DataError(f"`{what}` is {_shown(given)}, and no list of rows. {instead}.")


def _checked_types(program: Program) -> dict[str, tuple[object, TypeAdapter[Any]]]:
    """Return the types of inputs whose values can be checked, and how."""
    adapters: dict[str, tuple[object, TypeAdapter[Any]]] = {}
    for name, kind in input_types_of(program).items():
        try:
            adapters[name] = (kind, TypeAdapter(kind, config=_ANY_CLASS))
        except (PydanticUserError, PydanticSchemaGenerationError, SchemaError, TypeError):
            with suppress(PydanticUserError, PydanticSchemaGenerationError, SchemaError, TypeError):
                adapters[name] = (kind, TypeAdapter(kind))  # a model brings its own configuration
    return adapters


def _is_broken(value: object) -> bool:
    """Tell whether a text in a value holds half of a surrogate pair."""
    if isinstance(value, str):
        return not value.isascii() and _BROKEN.search(value) is not None
    if isinstance(value, BaseModel):
        value = fields_in(value)
    if isinstance(value, Mapping):
        return any(map(_is_broken, chain.from_iterable(cast("Mapping[object, object]", value).items())))
    return isinstance(value, list | tuple | set | frozenset) and any(map(_is_broken, cast("Iterable[object]", value)))


def _members(row: object) -> Iterable[tuple[str, object]]:
    return cast("dict[str, object]", row).items() if isinstance(row, dict) else ()


def _broken(name: str) -> str:
    return (
        f"{name!a} holds half of a surrogate pair, which no file in UTF-8 can hold. Write the whole character, or leave it "
        "out: `text.encode(errors='ignore').decode()`."
    )


def _check_value(value: object, kind: object, adapter: TypeAdapter[Any], where: str, program: str) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        inside = "".join(f"[{step!r}]" for step in fault["loc"])
        raise DataError(
            f"{where} is {_shown(value)}, and {program} takes {type_name(kind)}: {inside}{': ' if inside else ''}{fault['msg']}."
        ) from None
    except TypeError:  # such as a protocol that cannot be asked about
        return


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _bounds(parts: Sequence[str], whole: float, rows: int) -> list[tuple[str, float]]:
    """Return up to which row, counted in drawn order, each part reaches."""
    ends: list[tuple[str, float]] = []
    share = 0.0
    for part in parts:
        share += SHARES[part]
        ends.append((part, round(rows * share / whole)))
    return ends


def together(rows: Sequence[Row], names: Sequence[str], group: str | None) -> list[list[Row]]:
    """Return the rows in sets that must not be parted: equal inputs, or one group, or linked by either."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for row in rows:
        first, *others = sorted(find(key) for key in _keys(row, names, group))
        leader.update(dict.fromkeys(others, first))
    sets: dict[str, list[Row]] = {}
    for row in rows:
        sets.setdefault(find(_keys(row, names, group)[0]), []).append(row)
    return list(sets.values())


def _keys(row: Row, names: Sequence[str], group: str | None) -> list[str]:
    keys = ["inputs " + row_key(row, names, None)]
    return keys if group is None else [*keys, "group " + row_key(row, names, group)]


def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}/{key}".encode()).hexdigest()


def _as_given(rows: Sequence[Row], order: Sequence[Row]) -> list[Row]:
    """Return rows in the order of the file that they came from."""
    places = {id(row): place for place, row in enumerate(order)}
    return sorted(rows, key=lambda row: places[id(row)])


def _check_apart(parts: Mapping[str, Sequence[Row]], names: Sequence[str], group: str | None) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for part, rows in parts.items():
        for number, row in enumerate(rows):
            for key in _keys(row, names, group):
                other, place = seen.setdefault(key, (part, number))
                if other != part:
                    same = "the same inputs" if key.startswith("inputs ") else f"the same {group!r}"
                    what = f"`{part}`, row {number} has {same} as `{other}`, row {place}"
                    why = "A score on rows that were learned from proves nothing. Remove it from one of the two."
                    raise DataError(f"{what}: {row!r}. {why}", unshown=f"{what}. {why}")


def _plain(value: object, name: str, row: Row) -> object:
    """Return a field's value as JSON data that is the same in every process, whatever the order of a set there."""
    if isinstance(value, (str, int, float, bool, NoneType)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(part, name, row) for part in cast("set[object]", value)), key=canonical_json)
    if isinstance(value, (list, tuple)):
        return [_plain(part, name, row) for part in cast("list[object]", value)]
    if isinstance(value, BaseModel):
        value = fields_in(value)
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value).items()
        return {key if isinstance(key, str) else repr(key): _plain(part, name, row) for key, part in entries}
    try:
        plain: object = to_jsonable_python(value, bytes_mode="base64")
    except ValueError:
        what = f"`{name}` holds a {type(value).__name__}, which cannot be written as JSON"
        wanted = "Give texts, numbers, lists, dicts or pydantic objects."
        raise DataError(f"{what}, in the row {row!r}. {wanted}", unshown=f"{what}. {wanted}") from None
    return plain


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no fields"
