"""What one candidate changed about another, in words and as marked text."""

from collections.abc import Mapping, Sequence
from typing import Any

from lmprog.narration import count
from lmprog.params import Params, PredictorParams
from lmprog.report.markup import Markup, element, join, said
from lmprog.report.wording import Piece, changed_words, merged, shortened

AROUND = 90
"""Characters of unchanged text shown on either side of a change."""
MOST_TEXT = 900
"""Characters of one changed stretch that are shown."""
GLIMPSE_AROUND, GLIMPSE_TEXT, GLIMPSE_PIECES = 25, 90, 9
"""The same of a comparison in one line, and its pieces."""


def told(before: Params, after: Params) -> list[tuple[str, Markup]]:
    """Return what changed, in a line for each predictor: its path, and what about it."""
    return [
        (path, join(*(join(" · " if at else "", part) for at, part in enumerate(parts))))
        for path, new in after.items()
        if (parts := _parts(before.get(path) or PredictorParams(instruction=""), new))
    ]


def instruction_diffs(before: Params, after: Params) -> list[Markup]:
    """Return the changed instructions that `told` cuts, what went struck out and what came marked."""
    parts: list[Markup] = []
    for path, new in after.items():
        old = before[path].instruction if path in before else ""
        whole = merged(old, new.instruction)
        pieces = shortened(whole, around=AROUND, most=MOST_TEXT)
        if old != new.instruction and pieces != _glimpse(whole):
            text = element("div", *marked(pieces), class_="text", dir="auto")
            parts.append(element("div", element("h4", said(path), ": instruction"), text, class_="diff"))
    return parts


def marked(pieces: Sequence[Piece]) -> list[Markup]:
    """Return one text that shows both sides."""
    shown: list[Markup] = []
    for at, (side, text) in enumerate(pieces):
        touching = side == "new" and at > 0 and pieces[at - 1][0] == "old" and not text[:1].isspace()
        shown += [join(" ")] if touching else []
        shown.append(join(text) if side == "same" else mark(text, "del" if side == "old" else "ins"))
    return shown


def mark(text: str, tag: str) -> Markup:
    """Return a marked text, the white space around it left bare."""
    core = text.strip()
    if not core:
        return element(tag, text)
    start = text.index(core)
    return join(text[:start], element(tag, core), text[start + len(core) :])


def other_changes(before: PredictorParams, after: PredictorParams) -> dict[str, tuple[Any, Any]]:
    """Return what differs beside instruction and demos: field descriptions, format, weights, config."""
    old, new = _plain(before), _plain(after)
    return {name: (old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)}


def _parts(before: PredictorParams, after: PredictorParams) -> list[Markup]:
    parts: list[Markup] = []
    if before.instruction != after.instruction:
        pieces = merged(before.instruction, after.instruction)
        glimpse = element("bdi", *marked(_glimpse(pieces)))
        came, went = changed_words(pieces)
        whole = "".join(text for side, text in _glimpse(pieces) if side != "old") == after.instruction
        parts.append(glimpse if whole else join(glimpse, f" (+{came} −{went} words)"))
    if before.demos != after.demos:
        kept = [demo.model_dump_json() for demo in before.demos]
        fresh = sum(demo.model_dump_json() not in kept for demo in after.demos)
        parts.append(
            join(f"demos {len(before.demos)} → {len(after.demos)}, {fresh} new" if kept else count(fresh, "demo"))
        )
    return parts + [said(name) for name in other_changes(before, after)]


def _glimpse(pieces: Sequence[Piece]) -> list[Piece]:
    """Return so much of a comparison as fits a line or two: of a text that is new from end to end, no more than it."""
    rewritten = all(side != "same" for side, _ in pieces) and any(side == "new" for side, _ in pieces)
    told = [piece for piece in pieces if piece[0] == "new"] if rewritten else pieces
    cut = shortened(told, around=GLIMPSE_AROUND, most=GLIMPSE_TEXT)
    return cut if len(cut) <= GLIMPSE_PIECES else [*cut[:GLIMPSE_PIECES], ("same", " …")]


def _plain(params: PredictorParams) -> Mapping[str, Any]:
    data = params.model_dump(mode="json")
    fields = {f"description of {name}": text for name, text in data["field_descriptions"].items()}
    weights = f"{params.weights.adapter} on {params.weights.base}" if params.weights else None
    return {**fields, "format": data["format"], "weights": weights, **data["config"]}
