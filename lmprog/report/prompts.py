"""What compiling changed in each predictor: instruction, demos and the rest, before and after."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from lmprog.formats import prepare
from lmprog.narration import count
from lmprog.params import Demo, Params, PredictorParams
from lmprog.report.changes import mark, other_changes
from lmprog.report.markup import Markup, clipped, element, folded, join, said
from lmprog.report.wording import Span, compared
from lmprog.request import Message, ToolSpec
from lmprog.signature import Signature, fields_of

LONG = 320
"""Characters from which a demo's value is folded."""
OPEN_DEMOS = 1
"""Demos of a predictor before the rest is folded."""


def changes(
    before: Params,
    after: Params,
    *,
    rows: bool = True,
    signatures: Mapping[str, type[Signature]] | None = None,
    tools: Mapping[str, Sequence[ToolSpec]] | None = None,
) -> Markup:
    """Return a part of the page for each predictor; without `rows` it tells how many demos there are, and no more.

    With its signature, and its tools, a predictor's whole prompt is shown, as an LM without tools of its own gets it.
    """
    known, told = signatures or {}, tools or {}
    return join(
        *(
            _predictor(path, before.get(path), new, known.get(path), told.get(path, ()), rows=rows)
            for path, new in after.items()
        )
    )


def _predictor(
    path: str,
    before: PredictorParams | None,
    after: PredictorParams,
    signature: type[Signature] | None,
    tools: Sequence[ToolSpec],
    *,
    rows: bool,
) -> Markup:
    old = before or PredictorParams(instruction="")
    return element(
        "section",
        element("h3", said(path)),
        _instruction(old.instruction, after.instruction),
        _demos(old.demos, after.demos, rows=rows),
        _rest(old, after),
        _prompts(signature, tools, old, after, rows=rows) if signature else "",
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
    pieces = [mark(text, tag) if different else join(text) for text, different in spans]
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
    first, rest = items[:OPEN_DEMOS], items[OPEN_DEMOS:]
    more = folded(f"{len(rest)} more", element("ol", *rest, class_="demos")) if rest else ""
    return join(heading, element("ol", *first, class_="demos"), more)


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
    if isinstance(value, list) and value and all(isinstance(part, str) for part in cast("list[object]", value)):
        parts = cast("list[str]", value)
        return _folded(" ".join(parts), element("ol", *(element("li", _text(part)) for part in parts)))
    text = json.dumps(value, ensure_ascii=False)
    return _folded(text, _text(text))


def _folded(text: str, whole: Markup) -> Markup:
    return whole if len(text) <= LONG else folded(said(clipped(text, LONG // 2)), whole)


def _rest(before: PredictorParams, after: PredictorParams) -> Markup:
    pairs = [
        element("li", said(name), ": ", said(_shown(old)), " → ", said(_shown(new)))
        for name, (old, new) in other_changes(before, after).items()
    ]
    return join(element("h4", "Also changed"), element("ul", *pairs)) if pairs else join()


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _prompts(
    signature: type[Signature],
    tools: Sequence[ToolSpec],
    before: PredictorParams,
    after: PredictorParams,
    *,
    rows: bool,
) -> Markup:
    """Return the conversations that the LM gets, before and after; one where they are equal."""
    if before == after:
        return folded("The prompt as the LM gets it", _conversation(signature, tools, after, rows=rows))
    old, new = (_conversation(signature, tools, params, rows=rows) for params in (before, after))
    sides = [element("div", element("h4", name), shown) for name, shown in (("Before", old), ("After", new))]
    return folded("The prompts as the LM gets them, before and after", element("div", *sides, class_="sides"))


def _conversation(
    signature: type[Signature], tools: Sequence[ToolSpec], params: PredictorParams, *, rows: bool
) -> Markup:
    """Return the messages in the order in which they are sent; the row's own comes last."""
    *prefix, _ = prepare(signature, params, tools).render({})  # with no inputs the row's own message is empty
    shown = prefix if rows else prefix[:1]
    hidden = f"{count(len(params.demos), 'demo')}, not shown, since they hold rows" if len(shown) < len(prefix) else ""
    inputs = ", ".join(fields_of(signature).inputs)
    return element(
        "ol",
        *map(_message, shown),
        *([element("li", element("p", hidden, class_="quiet"))] if hidden else []),
        element("li", element("p", "user: the row's ", said(inputs), ", in the same layout", class_="quiet")),
        class_="messages",
    )


def _message(message: Message) -> Markup:
    return element("li", element("p", message.role, class_="quiet"), element("div", message.text, class_="text mono"))
