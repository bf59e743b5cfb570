"""Instructions on the shape of the reply: lines, bullets, brackets, quotes, templates."""

import re
from collections.abc import Iterator
from itertools import pairwise, zip_longest

from lmprog.programs.checks.fault import Fault
from lmprog.programs.checks.text import is_heading, lines, lower_words, sentences, words
from lmprog.programs.checks.wordlists import MINOR

BRACKETS = {")": "(", "]": "[", "}": "{"}
QUOTE_MARKS = {'"': '"', "“": '"', "”": '"', "'": "'", "‘": "'", "’": "'"}
BEFORE_QUOTES = "([{—–-,:;*_"
BRACKET_LEVELS, QUOTE_LEVELS = 5, 3
LABELS = ("My Answer:", "My Conclusion:", "Future Outlook:")
_BULLET = re.compile(r"\s*\*(?:\s+(?=\S)|(?![*\s])(?![^*\n]*[^*\s]\*(?!\*)))")
"""A star before an item, with or without a space: "* Item", "*Item", but not "*italics*" or "**bold**"."""
_SUB_BULLET = re.compile(r"\s*-\s*\S")
_OTHER_BULLET = re.compile(r"\s*[*•-]\s")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»")
_ITALICS = re.compile(r"<(i|em)(?:\s[^>]*)?>(.+?)</\1>", re.DOTALL | re.IGNORECASE)
_WRAPPERS = re.compile(r"(?:\s|<(?:p|div|section|article|blockquote|body|html|br)\b[^>]*>|[-*•>])*", re.IGNORECASE)
_TITLE_TAG = re.compile(r"<h\d\b.*?</h\d>", re.DOTALL | re.IGNORECASE)


def stairs(reply: str) -> Fault:
    """Each line but the first is indented further than the line before; blank lines do not count."""
    depths = [len(line.expandtabs()) - len(line.expandtabs().lstrip()) for line in lines(reply)]
    if len(depths) < 2:
        return "it has no second line to indent"
    for place, (before, after) in enumerate(pairwise(depths), start=2):
        if after <= before:
            return f"line {place} is indented by {after} and the line before by {before}"
    return None


def list_with(reply: str, *, sep: str) -> Fault:
    """Two items or more, each after the separator in the place of a bullet, and no other bullets.

    Items may share a line that begins with the separator, unless that is a single sign.
    """
    items = 0
    for line in lines(reply):
        bare = line.strip()
        if bare.startswith(sep):
            shared = re.split(rf"(?:^|(?<=\s)){re.escape(sep)}", bare) if len(sep) > 1 else [bare]
            items += sum(bool(words(item)) for item in shared)
        elif _OTHER_BULLET.match(line):
            return f"this line has another bullet than {sep!r}: {bare!r}"
    return None if items >= 2 else f"{items} items stand after {sep!r} and at least 2 should"


def word_a_line(reply: str) -> Fault:
    """Each line holds one word."""
    found = [words(line) for line in lines(reply)]
    many = next((inside for inside in found if len(inside) > 1), None)
    if many:
        return f"a line holds {len(many)} words: {' '.join(many[:8])!r}"
    return None if any(found) else "it has no words"


def prose_then_bullets(reply: str) -> Fault:
    """Two sentences or more that end in a full stop, then two lines or more that begin with *."""
    all_lines = reply.splitlines()
    bullets = [place for place, line in enumerate(all_lines) if _BULLET.match(line)]
    if len(bullets) < 2:
        return f"it has {len(bullets)} bullet points with * and should have at least 2"
    before = sentences("\n".join(all_lines[: bullets[0]]))
    full = sum(sentence.rstrip("\"'”’»)]}*_` ").endswith(".") for sentence in before)
    return (
        None if full >= 2 else f"{full} sentences that end in a full stop stand before the bullet points, not 2 or more"
    )


def no_whitespace(reply: str) -> Fault:
    """No space, tab or line break, not even at the end."""
    if not reply:
        return "it is empty"
    return "it has whitespace" if any(character.isspace() for character in reply) else None


def one_of(reply: str, *, options: str) -> Fault:
    """One of the options and nothing else; case and marks around it do not count."""
    parted = re.split(r"/|,\s*|\s+or\s+", options)
    allowed = {tuple(lower_words(option)) for option in parted}
    return None if tuple(lower_words(reply)) in allowed else f"it is not one of {', '.join(parted)}, and nothing else"


def template(reply: str) -> Fault:
    """The three labels at the beginning of lines or one after the other, in order, each with a text after it."""
    pattern = r"\s*" + r"\s*(\S.*?)\s*".join(map(re.escape, LABELS)) + r"\s*(\S.*)"
    found = re.fullmatch(pattern, reply, re.DOTALL)
    if not found:
        return f"it does not have the form {' [...] '.join(LABELS)} [...]"
    unfilled = [text for text in found.groups() if re.fullmatch(r"\[\w+\]", text)]
    return f"{unfilled[0]} of the template is not filled in" if unfilled else None


def nested_brackets(reply: str) -> Fault:
    """Brackets of any kind, each closed, 5 levels deep; a bracket without its partner does not count."""
    heights, opened = [0], list[str]()
    for character in reply:
        if character in BRACKETS.values():
            opened.append(character)
            heights.append(0)
        elif opened and BRACKETS.get(character) == opened[-1]:
            opened.pop()
            height = heights.pop() + 1
            heights[-1] = max(heights[-1], height)
    deepest = max(heights)
    return None if deepest >= BRACKET_LEVELS else f"its brackets are nested {deepest} levels deep, not {BRACKET_LEVELS}"


def nested_quotes(reply: str) -> Fault:
    """Double in single in double quotes, or the other way round, 3 levels deep and each closed.

    Straight or curly; an apostrophe inside a word is none.
    """
    heights, opened = [0], list[str]()
    for mark, opens, closes in _quote_marks(reply):
        if closes and opened and opened[-1] == mark:
            opened.pop()
            height = heights.pop() + 1
            heights[-1] = max(heights[-1], height)
        elif opens and (not opened or opened[-1] != mark):
            opened.append(mark)
            heights.append(0)
    deepest = max(heights)
    return None if deepest >= QUOTE_LEVELS else f"its quotes are nested {deepest} levels deep, not {QUOTE_LEVELS}"


def quotes_explained(reply: str) -> Fault:
    """After every quoted phrase words stand outside quotes, before the next quoted phrase or the end."""
    found = [*_QUOTED.finditer(reply)]
    for quoted, after in zip_longest(found, found[1:]):
        if words(quoted[0]) and not words(reply[quoted.end() : after.start() if after else None]):
            return f"nothing unquoted follows {quoted[0]!r}"
    return None


def sub_bullets(reply: str) -> Fault:
    """Lines with * as a bullet, each followed by a line with - before the next of them."""
    subs: list[int] = []
    for line in lines(reply):
        if _BULLET.match(line):
            subs.append(0)
        elif subs and _SUB_BULLET.match(line):
            subs[-1] += 1
    if not subs:
        return "it has no bullet points with *"
    return None if all(subs) else f"bullet point {subs.index(0) + 1} has no sub-bullet with -"


def thesis(reply: str) -> Fault:
    """Every section begins with text in <i> or <em> and goes on without; sections begin with headings, if there are any."""
    sections = [section for section in _sections(reply) if words(_without_tags(section))]
    for place, section in enumerate(sections, start=1):
        start = _WRAPPERS.match(section)
        found = _ITALICS.match(section, start.end() if start else 0)
        if not found or not words(_without_tags(found[2])):
            return f"section {place} does not begin with <i>...</i>"
        if not words(_without_tags(section[found.end() :])):
            return f"nothing follows the thesis statement of section {place}"
    return None if sections else "it has no section"


def title_case(reply: str) -> Fault:
    """Every word begins with a capital, but for articles, conjunctions and short prepositions inside the text."""
    for line in lines(reply):
        for place, word in enumerate(words(line)):
            if word[0].islower() and (place == 0 or word.casefold() not in MINOR):
                return f"the word {word!r} is not capitalized"
    return None if words(reply) else "it has no words"


def _sections(reply: str) -> Iterator[str]:
    """Yield the texts between headings."""
    section: list[str] = []
    for line in _TITLE_TAG.sub(lambda tag: "\n# heading\n", reply).splitlines():
        if is_heading(line):
            yield "\n".join(section)
            section = []
        else:
            section.append(line)
    yield "\n".join(section)


def _without_tags(text: str) -> str:
    return re.sub(r"<[^>]*>", " ", text)


def _quote_marks(reply: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield each quote mark as double or single, and whether it may open and may close."""
    after_opener = False
    for place, mark in enumerate(reply):
        if mark not in QUOTE_MARKS:
            after_opener = False
            continue
        before, after = reply[place - 1 : place] if place else "", reply[place + 1 : place + 2]
        if QUOTE_MARKS[mark] == "'" and before.isalnum() and after.isalnum():
            continue  # an apostrophe
        is_straight = mark in QUOTE_MARKS.values()
        may_open = after_opener or not before.strip() or before in BEFORE_QUOTES
        opens = mark in "“‘" or (is_straight and may_open and bool(after.strip()))
        closes = mark in "”’" or (is_straight and bool(before.strip()) and not (after_opener and opens))
        after_opener = opens
        yield QUOTE_MARKS[mark], opens, closes
