"""What each predictor's instruction and demos did to the score, over all candidates that used them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lmprog.params import Params, PredictorParams
from lmprog.report.charts import bar
from lmprog.report.history import History
from lmprog.report.markup import Markup, clipped, element, join, said, table
from lmprog.request import canonical_json

MOST_OPTIONS = 6
"""Options of one choice that are listed, beside the first: the one that the program came with."""

Part = Literal["instruction", "demos"]
PARTS: tuple[Part, ...] = ("instruction", "demos")


@dataclass(frozen=True, slots=True)
class Option:
    """One instruction or demo set of a predictor, and how the candidates with it did."""

    words: str
    mean: float
    """Of the candidates' estimates."""
    candidates: int


def effects(history: History, baseline: Params, shipped: Params, *, rows: bool = True) -> Markup:
    """Return a table for each choice, predictor by predictor, that has more than one option; without `rows` no demo's text."""
    known = [(one.params, history.estimates[one.name]) for one in history.candidates.values() if one.params]
    parts = [
        _choice(path, part, baseline[path], shipped.get(path), known, rows=rows) for path in baseline for part in PARTS
    ]
    shown = [part for part in parts if part]
    if not shown:
        return element("p", "All candidates said the same, so there is nothing to compare.", class_="quiet")
    note = (
        "Mean estimate of all candidates with an option, whatever else they changed: a hint about what mattered, not a "
        "proof."
    )
    return join(element("p", note, class_="quiet"), *shown)


def options(
    path: str, part: Part, candidates: Sequence[tuple[Params, float]], *, rows: bool = True
) -> dict[str, Option]:
    """Return the options that the candidates used, by content, in the order in which they came up."""
    estimates: dict[str, list[float]] = {}
    words: dict[str, str] = {}
    for params, estimate in candidates:
        if path in params:
            key = _key(params[path], part)
            estimates.setdefault(key, []).append(estimate)
            words.setdefault(key, _words(params[path], part, rows=rows))
    return {key: Option(words[key], sum(found) / len(found), len(found)) for key, found in estimates.items()}


def _choice(
    path: str,
    part: Part,
    before: PredictorParams,
    shipped: PredictorParams | None,
    known: Sequence[tuple[Params, float]],
    *,
    rows: bool,
) -> Markup | None:
    found = options(path, part, known, rows=rows)
    if len(found) < 2:
        return None
    old, new = _key(before, part), _key(shipped, part) if shipped else None
    ranked = sorted(found, key=lambda key: (key != old, key != new, -round(found[key].mean, 9)))
    marks = {new: "Ships", old: "As it was, and ships" if old == new else "As it was"}
    lines = [_row(found[key], marks.get(key)) for key in ranked[: MOST_OPTIONS + 1]]
    if rest := [found[key] for key in ranked[MOST_OPTIONS + 1 :]]:
        count = sum(option.candidates for option in rest)
        mean = sum(option.mean * option.candidates for option in rest) / count
        lines.append(_row(Option(f"{len(rest)} others", mean, count)))
    heads = ["option", "mean", "tried", "score"]
    title = element("h3", said(path), f": {part}")
    return element("div", title, table(heads, lines, class_="effect"), class_="panel")


def _row(option: Option, mark: str | None = None) -> Sequence[str]:
    words = join(element("b", f"{mark}: "), said(option.words)) if mark else said(option.words)
    return words, f"{option.mean:.2f}", str(option.candidates), bar(option.mean)


def _key(params: PredictorParams, part: Part) -> str:
    if part == "instruction":
        return params.instruction
    return canonical_json([demo.model_dump(mode="json") for demo in params.demos])


def _words(params: PredictorParams, part: Part, *, rows: bool) -> str:
    if part == "instruction":
        return clipped(params.instruction, 80) or "(empty)"
    count = {0: "no demos", 1: "1 demo"}.get(len(params.demos), f"{len(params.demos)} demos")
    texts = [value for demo in params.demos[:1] for value in demo.inputs.values() if isinstance(value, str)]
    return f"{count}, first: {clipped(max(texts, key=len), 50)}" if texts and rows else count
