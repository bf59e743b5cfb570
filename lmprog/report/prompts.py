"""What compiling changed in each predictor: instruction, demos and the rest, before and after."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lmprog.params import Demo, Params, PredictorParams
from lmprog.report.markup import Markup, clipped, element, join, said

LONG = 320
"""Characters from which a demo's value is folded."""
ALIKE = 0.35
"""Below this similarity two texts share stop words only, and marking single words would say nothing."""
MOST_WORDS = 2000
"""Longer texts are compared by lines: comparing words takes time with the square of their number."""

Span = tuple[str, bool]
"""A piece of text, and whether it differs from the other side."""


def changes(before: Params, after: Params, *, rows: bool = True) -> Markup:
    """Return a part of the page for each predictor; without `rows` it tells how many demos there are, and no more."""
    return join(*(_predictor(path, before.get(path), new, rows=rows) for path, new in after.items()))


def compared(before: str, after: str) -> tuple[list[Span], list[Span]]:
    """Return both texts in pieces, marked where they differ, word by word."""
    a, b = _pieces(before), _pieces(after)
    if max(len(a), len(b)) > MOST_WORDS:
        a, b = before.splitlines(keepends=True), after.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < ALIKE:
        return [(before, True)], [(after, True)]
    old: list[Span] = []
    new: list[Span] = []
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        different = kind != "equal"
        old.append(("".join(a[a0:a1]), different))
        new.append(("".join(b[b0:b1]), different))
    return _joined(old), _joined(new)


def _pieces(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Drop empty pieces, and mark white space between two marked ones, so that phrases are marked in one piece."""
    kept = [span for span in spans if span[0]]
    marked = [
        (text, different or (not text.strip() and 0 < at < len(kept) - 1 and kept[at - 1][1] and kept[at + 1][1]))
        for at, (text, different) in enumerate(kept)
    ]
    merged: list[Span] = []
    for text, different in marked:
        if merged and merged[-1][1] == different:
            merged[-1] = (merged[-1][0] + text, different)
        else:
            merged.append((text, different))
    return merged


def _predictor(path: str, before: PredictorParams | None, after: PredictorParams, *, rows: bool) -> Markup:
    old = before or PredictorParams(instruction="")
    return element(
        "section",
        element("h3", said(path)),
        _instruction(old.instruction, after.instruction),
        _demos(old.demos, after.demos, rows=rows),
        _rest(old, after),
        class_="predictor",
    )


def _instruction(before: str, after: str) -> Markup:
    if before == after:
        return join(element("h4", "Instruction, unchanged"), _text(after))
    old, new = compared(before, after)
    return element(
        "div",
        element("div", element("h4", "Instruction before"), _marked(old, "del")),
        element("div", element("h4", "Instruction after"), _marked(new, "ins")),
        class_="sides",
    )


def _marked(spans: Sequence[Span], tag: str) -> Markup:
    pieces = [element(tag, text) if different else join(text) for text, different in spans]
    return element("div", *pieces, class_="text", dir="auto")


def _text(text: str) -> Markup:
    return element("div", text, class_="text", dir="auto")


def _demos(before: Sequence[Demo], after: Sequence[Demo], *, rows: bool) -> Markup:
    if not after:
        gone = f" ({len(before)} before)" if before else ""
        return element("p", f"No demos{gone}.", class_="quiet")
    heading = element("h4", f"Demos ({len(before)} before, {len(after)} after)")
    if not rows:
        return join(heading, element("p", "Not shown, since they hold rows.", class_="quiet"))
    old = [demo.model_dump_json() for demo in before]
    items = [_demo(demo, number, kept=demo.model_dump_json() in old) for number, demo in enumerate(after, start=1)]
    return join(heading, element("ol", *items, class_="demos"))


def _demo(demo: Demo, number: int, *, kept: bool) -> Markup:
    """Return a demo with the values that JSON gives them, as the LM sees them."""
    data = cast("Mapping[str, Mapping[str, object]]", demo.model_dump(mode="json"))
    head = element("p", f"Demo {number}{', as before' if kept else ''}", class_="quiet")
    return element("li", head, *(_values(side, data[side]) for side in ("inputs", "outputs")))


def _values(side: str, values: Mapping[str, object]) -> Markup:
    pairs = [element("div", element("dt", said(name)), element("dd", _value(value))) for name, value in values.items()]
    return element("dl", *pairs, class_=side, aria_label=side)


def _value(value: object) -> Markup:
    if isinstance(value, str):
        return _folded(value, _text(value))
    if isinstance(value, list) and all(isinstance(part, str) for part in cast("list[object]", value)):
        parts = cast("list[str]", value)
        return _folded(" ".join(parts), element("ol", *(element("li", _text(part)) for part in parts)))
    text = json.dumps(value, ensure_ascii=False)
    return _folded(text, _text(text))


def _folded(text: str, whole: Markup) -> Markup:
    if len(text) <= LONG:
        return whole
    return element("details", element("summary", said(clipped(text, LONG // 2))), whole)


def _rest(before: PredictorParams, after: PredictorParams) -> Markup:
    """Return the other changes: field descriptions, format, weights, config."""
    old, new = _plain(before), _plain(after)
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    pairs = [
        element("li", said(name), ": ", said(_shown(old.get(name))), " → ", said(_shown(new.get(name))))
        for name in changed
    ]
    return join(element("h4", "Also changed"), element("ul", *pairs)) if pairs else join()


def _plain(params: PredictorParams) -> dict[str, Any]:
    data = params.model_dump(mode="json")
    fields = {f"description of {name}": text for name, text in data["field_descriptions"].items()}
    return {**fields, "format": data["format"], "weights": data["weights"], **data["config"]}


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
