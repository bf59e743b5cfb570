"""Texts compared word by word."""

import difflib
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Literal

ALIKE = 0.35
"""Below this similarity two texts share stop words only, and marking single words would say nothing."""
MOST_PAIRS = 100_000
"""Of words, one of each text, that are compared; of longer texts sentences are, since that takes time with their product."""

Side = Literal["same", "old", "new"]
Piece = tuple[Side, str]
"""A stretch of text, and whether it stands on both sides, or before or after alone."""
Span = tuple[str, bool]
"""A stretch of one side's text, and whether it differs from the other side."""


def compared(before: str, after: str) -> tuple[list[Span], list[Span]]:
    """Return both texts in pieces, marked where they differ, word by word."""
    pieces = merged(before, after)
    return _spans(pieces, "old"), _spans(pieces, "new")


def merged(before: str, after: str) -> tuple[Piece, ...]:
    """Return both texts as one, with what went and what came in its place."""
    return _merged(before, after)


def shortened(pieces: Sequence[Piece], *, around: int, most: int) -> list[Piece]:
    """Return the pieces with long unchanged stretches cut to what stands around changes, and long changes cut off."""
    last = len(pieces) - 1
    return [
        (side, _cut(text, most) if side != "same" else _bridge(text, around, first=at == 0, last=at == last))
        for at, (side, text) in enumerate(pieces)
    ]


def changed_words(pieces: Sequence[Piece]) -> tuple[int, int]:
    """Return how many words came and how many went."""
    came = sum(len(text.split()) for side, text in pieces if side == "new")
    went = sum(len(text.split()) for side, text in pieces if side == "old")
    return came, went


@lru_cache(maxsize=2000)  # the page shows the same comparison in several places
def _merged(before: str, after: str) -> tuple[Piece, ...]:
    a, b = _words(before), _words(after)
    if len(a) * len(b) > MOST_PAIRS:
        a, b = _sentences(before), _sentences(after)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    far = len(a) * len(b) > MOST_PAIRS or matcher.quick_ratio() < ALIKE or matcher.ratio() < ALIKE
    if before and after and far:
        return ("old", before), ("new", after)
    pieces: list[Piece] = []
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        old, new = "".join(a[a0:a1]), "".join(b[b0:b1])
        sides: list[Piece] = [("same", old)] if kind == "equal" else [("old", old), ("new", new)]
        pieces += sides
    return tuple(piece for piece in pieces if piece[1])


def _spans(pieces: Sequence[Piece], side: Side) -> list[Span]:
    """Return one side's text, neighbours of a kind in one span."""
    own = [(text, kind != "same") for kind, text in pieces if kind in ("same", side)]
    return [("".join(text for text, _ in group), marked) for marked, group in groupby(own, key=lambda span: span[1])]


def _words(text: str) -> list[str]:
    """Return the words and signs, each with the space before it."""
    return re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text)


def _sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?\n]+[.!?\n]*|[.!?\n]+", text)


def _bridge(text: str, around: int, *, first: bool, last: bool) -> str:
    """Return unchanged text with its middle left out, or the end that lies beside no change."""
    if len(text) <= 3 * around:
        return text
    if first and last:
        return _cut(text, 3 * around)
    head = "" if first else text[:around].rsplit(" ", 1)[0]
    tail = "" if last else text[-around:].split(" ", 1)[-1]
    return f"{head} … {tail}"


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = text[:most].rsplit(" ", 1)[0] or text[:most]
    return f"{kept} … ({len(text) - len(kept):,} more characters)"
