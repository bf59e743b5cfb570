"""Where a task's rows come from: a published data set, or a file in its place, converted and drawn by a seed."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from pydantic import PositiveInt, TypeAdapter, ValidationError

from lmprog.data import Splits, numbered_jsonl
from lmprog.errors import DataError
from lmprog.hub import MAIN, NEWEST, Hub, Repository
from lmprog.request import canonical_json
from lmprog.signature import type_name

T = TypeVar("T")
PartName = Literal["train", "val", "holdout"]
PARTS: tuple[PartName, ...] = ("train", "val", "holdout")
SPLIT = "split"
"""The field of a row in a file that may say what it is for."""
USES: Mapping[str, PartName] = {
    "train": "train", "dev": "val", "val": "val", "validation": "val", "test": "holdout", "holdout": "holdout",
}  # fmt: skip
"""What that field may hold."""
SAME = "the same inputs as an earlier row"

_SHOWN = 120
"""Characters of a value that an error shows."""
_log = logging.getLogger("lmprog")


class Origin(Protocol):
    """A published data set, such as `Hub(...)`: hashable, and as a text its name for people."""

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of one of its splits; DataError where they cannot be had."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Return what names the data set, to be kept with a run."""
        ...


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a converter returns for a row that the task leaves out: why, in words that are the same for all such rows."""

    why: str


Converter = Callable[[Mapping[str, Any]], Mapping[str, Any] | Dropped]
"""From a row as published to a row of the program. It also takes what it returns, and returns it unchanged.

It reads with `field`, and raises DataError where a row does not fit.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """At most so many rows of a split of the published data set."""

    split: str
    size: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a source."""

    splits: Splits
    passages: tuple[str, ...]
    """The distinct texts that came with these rows, to search in."""
    dropped: Mapping[tuple[str, str], int]
    """How many rows were left out, by where and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of a published data set, as `load` of a task: `Task(..., load=Source(Hub("owner/name"), ...))`.

    Each part takes its number of rows, drawn by `seed`; parts of one split share none. Where a split has too few, each of
    its parts gets its share. Rows with the same `inputs` as one drawn before are left out.

    `files` stand in for it, with rows as published or as converted; see `on`.
    """

    origin: Origin
    to_row: Converter
    inputs: tuple[str, ...]
    """The fields of a converted row that the program reads."""
    labels: tuple[str, ...]
    """Those that the metric reads."""
    train: Part
    val: Part
    holdout: Part
    passages: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    """Returns the texts that come with a row as published; none where a row brings none."""
    columns: tuple[str, ...] = ()
    """What `to_row` reads of a row as published, for errors."""
    seed: int = 0
    files: tuple[tuple[PartName, Path], ...] = ()

    def __call__(self) -> Splits:
        """Return the rows by use."""
        return self.read().splits

    def read(self) -> Loaded:
        """Return the rows and what came with them. They are read once a process, and again when a file has changed."""
        return _loaded(self, tuple(_stamp(path) for _, path in self.files))

    def on(self, files: Mapping[PartName, Path]) -> "Source":
        """Return the same source on files of JSON Lines.

        A file for `val` or `holdout` is all of that part. One for `train` stands for the data set: where its rows say
        their `split` (train, dev or val, test) they are used so, and a part that has none of its own shares those for
        training; where they say none, the parts share the file. So many rows as the parts take, or in that proportion.
        """
        return replace(self, files=tuple((part, files[part]) for part in PARTS if part in files))

    def __str__(self) -> str:
        files = [str(path) for _, path in self.files]
        return ", ".join(files if "train" in dict(self.files) else [str(self.origin), *files])

    @property
    def rows_wanted(self) -> str:
        """A sentence that says what a row has to hold."""
        published = f" ({_listed(self.columns)})" if self.columns else ""
        return f"Give rows with {_listed((*self.inputs, *self.labels))}, or as {self.origin} has them{published}"

    @property
    def options(self) -> frozenset[str]:
        """What `adjusted` takes: where the data set is a published one also which, and its revision."""
        published = {"dataset", "revision"} if isinstance(self.origin, (Hub, Repository)) else set[str]()
        return frozenset({"seed", *PARTS, *published, *({"config"} if isinstance(self.origin, Hub) else ())})

    def adjusted(
        self,
        *,
        dataset: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        seed: int | None = None,
        train: PositiveInt | None = None,
        val: PositiveInt | None = None,
        holdout: PositiveInt | None = None,
    ) -> "Source":
        """Return the same source with other numbers of rows, drawn by another seed, of another data set or revision.

        Another data set is read as it is now, and in no configuration, unless these are named too.
        """
        origin = self.origin
        if isinstance(origin, Hub) and dataset is not None:
            origin = Hub(dataset, config or "", revision or MAIN)
        elif isinstance(origin, Hub):
            origin = Hub(origin.id, origin.config if config is None else config, revision or origin.revision)
        elif isinstance(origin, Repository):
            newest = origin.revision if dataset is None else NEWEST
            origin = replace(origin, id=dataset or origin.id, revision=revision or newest)
        return replace(
            self,
            origin=origin,
            seed=self.seed if seed is None else seed,
            train=replace(self.train, size=train or self.train.size),
            val=replace(self.val, size=val or self.val.size),
            holdout=replace(self.holdout, size=holdout or self.holdout.size),
        )

    @property
    def told(self) -> Mapping[str, object]:
        """The value that each of the options has here."""
        known: dict[str, object] = {part: getattr(self, part).size for part in PARTS}
        known |= {**self.origin.facts(), "seed": self.seed}
        return {option: known.get(option) for option in sorted(self.options)}

    def facts(self) -> dict[str, Any]:
        """Return what decides the rows, as JSON data. Of a file the name alone: what it holds tells by its rows."""
        files = {part: path.name for part, path in self.files}
        of_data = {} if "train" in files else dict(self.origin.facts())
        sizes = {part: getattr(self, part).size for part in PARTS}
        return {**of_data, **({"files": files} if files else {}), "sizes": sizes, "seed": self.seed}


def field(raw: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Return a field of a row as published; DataError where it is missing or of another kind. A whole number is a number."""
    if name not in raw:
        raise DataError(f"`{name}` is missing: the row has {_listed(list(raw)) or 'no fields'}")
    try:
        return cast("T", _adapter(cast("Any", kind)).validate_python(raw[name], strict=True))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        shown = repr(raw[name]) if len(repr(raw[name])) <= _SHOWN else f"{repr(raw[name])[:_SHOWN]}..."
        inside = "".join(f"[{step!r}]" for step in fault["loc"])
        raise DataError(
            f"`{name}` is {shown} and should be {type_name(kind)}{inside and f': {inside}'}: {fault['msg']}"
        ) from None


@lru_cache(maxsize=32)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True)
class _Pool:
    """Rows that some parts share. A part without a size takes all."""

    where: str
    place: str
    """What the number of a row is a number of."""
    rows: Sequence[Mapping[str, Any]]
    numbers: Sequence[int]
    sizes: Mapping[PartName, int | None]

    @property
    def wanted(self) -> float:
        """How many rows all its parts take together."""
        return sum(float("inf") if size is None else size for size in self.sizes.values())


@lru_cache(maxsize=4)
def _loaded(source: Source, stamps: tuple[object, ...]) -> Loaded:
    del stamps  # they are there to tell a changed file
    parts: dict[PartName, tuple[Mapping[str, Any], ...]] = {}
    seen: set[str] = set()
    passages: dict[str, None] = {}
    dropped: Counter[tuple[str, str]] = Counter()
    for pool in _pools(source):
        taken: list[Mapping[str, Any]] = []
        for texts, row in _drawn(source, pool):
            key = canonical_json([row[name] for name in source.inputs]) if not isinstance(row, Dropped) else ""
            if isinstance(row, Dropped) or key in seen:
                dropped[pool.where, row.why if isinstance(row, Dropped) else SAME] += 1
                continue
            seen.add(key)
            taken.append(row)
            passages |= dict.fromkeys(texts)
            if len(taken) == pool.wanted:
                break
        parts |= _shared(pool, taken)
    for (where, why), rows in dropped.items():
        _log.warning("%s: %d %s left out: %s", where, rows, "row" if rows == 1 else "rows", why)
    return Loaded(Splits(parts["train"], parts["val"], parts["holdout"]), tuple(passages), dict(dropped))


def _pools(source: Source) -> list[_Pool]:
    """Return where the rows of each part are drawn from, those of the holdout first: what repeats them is left out of others."""
    files = dict(source.files)
    pools = [_of_file(path, {part: None}) for part, path in files.items() if part != "train"]
    rest: list[PartName] = [part for part in reversed(PARTS) if part == "train" or part not in files]
    sizes: dict[PartName, int | None] = {part: getattr(source, part).size for part in rest}
    if "train" in files:
        return [*pools, *_by_use(_of_file(files["train"], sizes))]
    for split in dict.fromkeys(getattr(source, part).split for part in rest):
        try:
            rows = source.origin.rows(split)
        except DataError as error:
            raise DataError(f"{error} Or give a file, --data FILE. {source.rows_wanted}.") from None
        own: dict[PartName, int | None] = {
            part: size for part, size in sizes.items() if getattr(source, part).split == split
        }
        pools.append(_Pool(f"{source.origin}, split {split!r}", "row", rows, range(len(rows)), own))
    return pools


def _of_file(path: Path, sizes: Mapping[PartName, int | None]) -> _Pool:
    numbered = list(numbered_jsonl(path))
    return _Pool(str(path), "line", [row for _, row in numbered], [number for number, _ in numbered], sizes)


def _by_use(pool: _Pool) -> list[_Pool]:
    """Return the rows of a file apart by what they say they are for; as they are where they say nothing."""
    if not any(SPLIT in row for row in pool.rows):
        return [pool]
    found: dict[PartName, list[int]] = {part: [] for part in PARTS}
    for index, row in enumerate(pool.rows):
        said = str(row.get(SPLIT))
        if said not in USES:
            raise DataError(
                f"{pool.where}, {pool.place} {pool.numbers[index]}: `{SPLIT}` is {row.get(SPLIT)!r}. Write one of {', '.join(USES)} in "
                f"every row, or in none."
            )
        found[USES[said]].append(index)
    homes: dict[PartName, list[PartName]] = {}
    for part in pool.sizes:
        homes.setdefault(part if found[part] else "train", []).append(part)
    return [
        replace(
            pool,
            rows=[pool.rows[index] for index in found[home]],
            numbers=[pool.numbers[index] for index in found[home]],
            sizes={part: pool.sizes[part] for part in parts},
        )
        for home, parts in homes.items()
    ]


def _drawn(source: Source, pool: _Pool) -> Iterator[tuple[Sequence[str], Mapping[str, Any] | Dropped]]:
    """Yield rows as converted, with the texts that come with them, in drawn order: none is read before it is asked for."""
    order = list(range(len(pool.rows)))
    if None not in pool.sizes.values():  # a file given for a part is all of it, as it is
        random.Random(f"{source.seed}/{'/'.join(sorted(pool.sizes))}").shuffle(order)
    for index in order:
        raw = pool.rows[index]
        try:
            row = source.to_row(raw)
            texts = () if source.passages is None or isinstance(row, Dropped) else source.passages(raw)
        except DataError as error:
            raise DataError(
                f"{pool.where}, {pool.place} {pool.numbers[index]}: {error}. {source.rows_wanted}."
            ) from None
        yield texts, row


def _shared(pool: _Pool, rows: Sequence[Mapping[str, Any]]) -> dict[PartName, tuple[Mapping[str, Any], ...]]:
    """Return the rows of each part: as many as it takes, or its share where there are fewer."""
    if None in pool.sizes.values():
        return {part: tuple(rows) for part in pool.sizes}
    if len(rows) < pool.wanted:
        sizes = ", ".join(f"{part} {size}" for part, size in pool.sizes.items())
        _log.warning("%s: there are %d rows, shared in the proportion of %s", pool.where, len(rows), sizes)
    parts: dict[PartName, tuple[Mapping[str, Any], ...]] = {}
    start, upto = 0, 0
    for part, size in pool.sizes.items():
        upto += size or 0
        end = round(upto * min(1.0, len(rows) / pool.wanted))
        parts[part], start = tuple(rows[start:end]), end
    return parts


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
