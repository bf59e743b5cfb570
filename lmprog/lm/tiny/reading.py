"""Reading prompts: from tokens to keys and values, and to what the model makes of the last token or of all."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lmprog.lm.tiny.attention import Prefix, attend, attend_causally
from lmprog.lm.tiny.model import Adapter, Floats, Ints, Model, padded

_ROWS_AT_ONCE = 256
"""Prompts of one width are read together up to so many tokens, about: what is computed stays in the processor's cache."""

Wanted = Literal["nothing", "last", "all"]
"""Of which tokens the outputs of the last layer are wanted."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Tokens to read, 1 or more, behind a prefix."""

    tokens: tuple[int, ...]
    prefix: Prefix | None = None
    adapter: Adapter | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What was read: keys and values of each layer (heads, tokens, head width), and the outputs wanted (rows, width)."""

    keys: Sequence[Floats]
    values: Sequence[Floats]
    outputs: Floats

    def prefix(self, before: Prefix | None) -> Prefix:
        """Return the tokens as a prefix of others, behind the one that they were read behind themselves."""
        keys, values = np.stack(self.keys).swapaxes(-1, -2), np.stack(self.values)
        if before is not None:
            keys, values = np.concatenate([before.keys, keys], -1), np.concatenate([before.values, values], -2)
        return Prefix(np.ascontiguousarray(keys), np.ascontiguousarray(values))


def read(model: Model, passages: Sequence[Passage], wanted: Wanted) -> list[Reading]:
    """Read passages, in order."""
    groups: defaultdict[tuple[int, Prefix | None, Adapter | None], list[int]] = defaultdict(list)
    for place, passage in enumerate(passages):
        groups[padded(len(passage.tokens)), passage.prefix, passage.adapter].append(place)
    readings: dict[int, Reading] = {}
    for (width, *_), places in groups.items():
        at_once = max(1, _ROWS_AT_ONCE // width)
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            readings |= zip(some, _read(model, [passages[place] for place in some], width, wanted), strict=True)
    return [readings[place] for place in range(len(passages))]


def _read(model: Model, passages: Sequence[Passage], width: int, wanted: Wanted) -> Iterator[Reading]:
    """Read passages of one width, behind one prefix and under one adapter."""
    prefix, adapter = passages[0].prefix, passages[0].adapter
    lengths = [len(passage.tokens) for passage in passages]
    start = prefix.length if prefix else 0
    turns = model.turns(slice(start, start + width))
    x = model.embed(
        np.array([passage.tokens + passage.tokens[-1:] * (width - len(passage.tokens)) for passage in passages])
    )
    kept: list[tuple[Floats, Floats]] = []
    last = model.shape.layers - 1
    for number in range(model.shape.layers if wanted == "all" else last):
        queries, keys, values = model.project(number, "qkv", x, turns, adapter)
        kept.append((keys, values))
        attended = attend_causally(queries, keys, values, _of_layer(prefix, number))
        x = model.close(number, x, attended, adapter)
    if wanted != "all":
        keys, values = model.project(last, "kv", x, turns, adapter)
        kept.append((keys, values))
        ends = np.array(lengths) - 1
        x = x[np.arange(len(x)), ends][:, None]
        if wanted == "last":
            x = _close_ends(model, x, ends, (keys, values), passages[0])
    for place, length in enumerate(lengths):
        keys, values = ([array[place, :, :length] for array in arrays] for arrays in zip(*kept, strict=True))
        yield Reading(keys, values, x[place, : length if wanted == "all" else 1])


def _close_ends(model: Model, x: Floats, ends: Ints, own: tuple[Floats, Floats], like: Passage) -> Floats:
    """Return the outputs of the last layer for each passage's last token, whose inputs are `x`."""
    last = model.shape.layers - 1
    start = like.prefix.length if like.prefix else 0
    (queries,) = model.project(last, "q", x, model.turns(ends + start)[:, None], like.adapter)
    attended = np.empty_like(queries)
    for place, end in enumerate(ends + 1):
        keys, values = (array[place, :, :end] for array in own)
        attended[place] = attend(queries[place], keys, values, None, _of_layer(like.prefix, last))
    return model.close(last, x, attended.swapaxes(1, 2).reshape(x.shape), like.adapter)


def _of_layer(prefix: Prefix | None, number: int) -> tuple[Floats, Floats] | None:
    return (prefix.keys[number], prefix.values[number]) if prefix else None
