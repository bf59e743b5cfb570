"""How a text is divided into passages. Pure functions."""

import re
from collections.abc import Iterable, Iterator

_BETWEEN_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n\s*")
_BETWEEN_SENTENCES = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]”’]))\s+")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def divided(text: str, words: int) -> Iterator[str]:
    """Yield passages of at most so many words, in order, that hold all words of a text.

    Paragraphs stay whole and share a passage where they fit. One that is longer is parted between sentences, a sentence
    that is longer between words. Words are what spaces part.
    """
    parts: list[str] = []
    size = 0
    for paragraph in _BETWEEN_PARAGRAPHS.split(text.strip()):
        count = len(paragraph.split())
        if parts and size + count > words:
            yield "\n\n".join(parts)
            parts, size = [], 0
        if count > words:
            yield from _packed(_sentences(paragraph, words), words)
        elif count:
            parts.append(paragraph)
            size += count
    if parts:
        yield "\n\n".join(parts)


def sections(markdown: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a text in Markdown, each with the heading above it: "" for what stands above all of them."""
    title, lines, fence = "", list[str](), ""
    for line in markdown.splitlines(keepends=True):
        mark = _FENCE.match(line)
        heading = None if fence else _HEADING.match(line)
        if heading:
            yield title, "".join(lines)
            title, lines = heading[1], []
            continue
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):  # in a fence a # begins a comment, say
            fence = ""
        lines.append(line)
    yield title, "".join(lines)


def _sentences(paragraph: str, words: int) -> Iterator[str]:
    """Yield the sentences of a paragraph, those that are too long in pieces."""
    for sentence in _BETWEEN_SENTENCES.split(paragraph):
        split = sentence.split()
        if len(split) <= words:
            yield sentence
        else:
            yield from (" ".join(split[start : start + words]) for start in range(0, len(split), words))


def _packed(pieces: Iterable[str], words: int) -> Iterator[str]:
    """Yield pieces put together as long as they fit."""
    parts: list[str] = []
    size = 0
    for piece in pieces:
        count = len(piece.split())
        if parts and size + count > words:
            yield " ".join(parts)
            parts, size = [], 0
        parts.append(piece)
        size += count
    if parts:
        yield " ".join(parts)
