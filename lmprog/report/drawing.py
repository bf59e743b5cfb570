"""What the pictures of the page are drawn with: inline SVG that says in words what it shows."""

import math
from collections.abc import Callable, Sequence

from lmprog.report.markup import Markup, element, join


def bar(share: float) -> Markup:
    """Return a bar for a score in [0, 1]."""
    parts = [
        element("rect", x=0, y=0, width=100, height=10, class_="empty"),
        element("rect", x=0, y=0, width=max(0.0, min(1.0, share)) * 100, height=10, class_="fill"),
    ]
    return element("svg", *parts, viewBox="0 0 100 10", width=100, height=10, class_="bar", aria_hidden="true")


def gain_bar(gain: float) -> Markup:
    """Return a bar to the right of its middle for a gain, to the left for a loss; its ends stand for 0.5."""
    reach = max(-1.0, min(1.0, gain / 0.5)) * 50
    parts = [
        element("rect", x=0, y=0, width=100, height=10, class_="empty"),
        element(
            "rect", x=min(50.0, 50 + reach), y=0, width=abs(reach), height=10, class_="fill" if gain > 0 else "loss"
        ),
        element("line", x1=50, x2=50, y1=0, y2=10, class_="middle"),
    ]
    return element("svg", *parts, viewBox="0 0 100 10", width=100, height=10, class_="bar", aria_hidden="true")


def span_bar(start: float, end: float) -> Markup:
    """Return a bar for a stretch of a whole, from one share of it to another."""
    parts = [
        element("rect", x=0, y=0, width=200, height=10, class_="empty"),
        element("rect", x=200 * start, y=0, width=max(1.5, 200 * (end - start)), height=10, class_="fill"),
    ]
    return element(
        "svg", *parts, viewBox="0 0 200 10", preserveAspectRatio="none", class_="stretch", aria_hidden="true"
    )


def svg(width: float, height: float, words: str, parts: Sequence[Markup], **attributes: str | float) -> Markup:
    """Return a picture; `words` say what it shows to those who cannot see it."""
    view = f"0 0 {width:g} {height:g}"
    title = element("title", words)
    return element("svg", title, join(*parts), viewBox=view, role="img", aria_label=words, **attributes)


def label(x: float, y: float, words: str, anchor: str, class_: str = "label") -> Markup:
    """Return words at a place; `anchor` says which end of them stands there: start, middle or end."""
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the linear scale that takes `low` to `start` and `high` to `end`."""
    reach = (high - low) or 1.0
    return lambda value: start + (value - low) / reach * (end - start)


def step(most: float, count: int) -> int:
    """Return a round step that divides the range in about so many parts."""
    rough = max(1.0, most / count)
    power = 10 ** math.floor(math.log10(rough))
    return next(int(factor * power) for factor in (1, 2, 5, 10) if factor * power >= rough)
