"""HTML and SVG in which plain text cannot become markup: only `element` and `join` make Markup, and they escape the rest."""

import re
from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "br"})
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, direction overrides and lone surrogates: they break a page, or show another text than is there."""


class Markup(str):
    """Text that is HTML already. An f-string or `+` gives a plain str again, which is escaped when it is put in."""

    __slots__ = ()


def join(*parts: str) -> Markup:
    """Return the parts one after another, plain text escaped."""
    return Markup("".join(part if isinstance(part, Markup) else _escaped(part) for part in parts))


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """Return an element. Names are written `class_` and `aria_label`; numbers are rounded to two decimals."""
    names = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    if tag in VOID:
        return Markup(f"<{tag}{names}>")
    return Markup(f"<{tag}{names}>{join(*children)}</{tag}>")


def said(text: str) -> Markup:
    """Return a user's text in a line of ours; its writing direction ends with it."""
    return element("bdi", text)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], *, label: str, class_: str = "") -> Markup:
    """Return a table, `label` saying what of, that scrolls inside its own box where the page is narrow."""
    head = element("tr", *(element("th", name, scope="col") for name in heads))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    return scrolling(element("table", element("thead", head), element("tbody", *body), class_=class_), label=label)


def scrolling(content: Markup, *, label: str) -> Markup:
    """Return what may be wider than the page in a box of its own, which the keyboard can scroll."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def folded(summary: str, *content: str, class_: str = "") -> Markup:
    """Return content that shows on demand."""
    return element("details", element("summary", summary), *content, **({"class_": class_} if class_ else {}))


def clipped(text: str, length: int) -> str:
    """Return the text on one line, cut to so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _escaped(text: str) -> str:
    return escape(_UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\r\n", "\n")))


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return _escaped(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
