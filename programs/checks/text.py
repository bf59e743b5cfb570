"""What a word, a sentence and a line are: one reading for all checks."""

import re
import unicodedata
from collections.abc import Iterator

from lmprog.programs.checks.wordlists import listed

ABBREVIATIONS = listed(
    "approx capt cf col dept dr e.g eq fig gen gov hon i.e jr lt messrs mr mrs ms mt p pp prof rep rev sen sgt sr st vol vs"
)
"""Abbreviations whose stop ends no sentence; any other does where a capital, a digit or nothing follows."""
MAYBE_LAST = listed("a.m al b.c co corp etc inc ltd no p.m ph.d u.k u.n u.s")
"""Abbreviations that may be the last word of a sentence: their stop ends it where a capital follows."""

EMOJI = (
    "[\u203c\u2049\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2604"
    "\u260e\u2611\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653"
    "\u265f\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab"
    "\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd"
    "\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755"
    "\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\u20e3"
    "\U0001f004\U0001f0cf\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e\U0001f191-\U0001f19a\U0001f1e6-\U0001f1ff"
    "\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0\U0001f90c-\U0001f9ff\U0001fa70-\U0001faff]"
)
"""One character that is shown as a picture (Unicode's property Emoji, without digits and typographic signs)."""
_JOINED = "[\ufe0f\u200d\U000e0020-\U000e007f]"  # what builds one picture of several characters
_CLOSER = r"[\"'”’»)\]}*_`]"
_END = re.compile(rf"[.!?…‽]+{_CLOSER}*(?:[ \t]*(?:{EMOJI}|{_JOINED})+{_CLOSER}*)?(?=\s|$)|[。！？]+[」』）]*")
_LIST_MARK = re.compile(r"^\s*(?:[*•–-]|\(?\d{1,3}[.)]|\(?(?:[a-zA-Z]\)|[a-zA-E]\.))[ \t]+")
_HEADING = re.compile(r"\s*(?:#{1,6}\s|(\*\*|__).+\1:?\s*$|<h\d\b)", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"[\s—–…]+|--+")
_NEAR = 40
"""Characters in which the next word is looked for: more signs than that stand between no two sentences."""
_WORD_SIGN = re.compile(r"[^\W_]")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)*")


def words(text: str) -> list[str]:
    """Return the words: what stands between spaces or long dashes, without the signs around it.

    So "don't" and "well-known" are one word each, "1984" is a word, and "-" or an emoji is none.
    """
    pieces = map(_bare, _BETWEEN_WORDS.split(unicodedata.normalize("NFC", text)))
    return [piece for piece in pieces if piece]


def lower_words(text: str) -> list[str]:
    """Return the words, equal where they differ only in case or in the kind of apostrophe."""
    return [word.replace("’", "'").casefold() for word in words(text)]


def letters(word: str) -> str:
    """Return the letters and digits of a word in lower case, without accents: "Été's" gives "etes"."""
    return "".join(mark for mark in unicodedata.normalize("NFKD", word.casefold()) if mark.isalnum())


def numbers(text: str) -> list[str]:
    """Return the numbers written in digits: "1,000", "3.5" and the 1960 of "1960s" are one each."""
    return _NUMBER.findall(text)


def lines(text: str) -> list[str]:
    """Return the lines that hold more than space, as they stand."""
    return [line for line in text.splitlines() if line.strip()]


def is_heading(line: str) -> bool:
    """Tell whether a line is a heading in Markdown or HTML, or stands in bold as a whole."""
    return _HEADING.match(line) is not None


def has_word(text: str, word: str) -> bool:
    """Tell whether a text has a word or phrase, in any case, and not as a part of a longer word."""
    return count_word(text, word) > 0


def count_word(text: str, word: str) -> int:
    """Return how often a text has a word or phrase, in any case, and not as a part of a longer word."""
    return len(re.findall(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text.casefold()))


def sentences(text: str) -> list[str]:
    """Return the sentences, without the marks of list items before them.

    A sentence ends with . ! ? or … (and quotes, brackets or an emoji after it) before a space, or with its line. A
    line that ends in a comma or semicolon goes on in the next, and so does one before a small letter. Headings are no
    sentences. A stop after an initial, the number of a list item or an abbreviation such as "Dr." ends nothing.
    """
    return [sentence for block in _blocks(text) for sentence in _split(block)]


def _bare(piece: str) -> str:
    """Return what stands from the first letter or digit to the last. An LM that loops writes signs by the thousand."""
    first, last = 0, len(piece)
    while first < last and not piece[first].isalnum():
        first += 1
    while last > first and not piece[last - 1].isalnum():
        last -= 1
    return piece[first:last]


def _blocks(text: str) -> Iterator[str]:
    """Yield lines, joined where a sentence runs on."""
    block = ""
    for line in text.splitlines():
        bare = _LIST_MARK.sub("", line, count=1).strip()
        runs_on = bool(block) and bare == line.strip() and (block[-1] in ",;" or bare[:1].islower())
        if runs_on and not is_heading(line):
            block = f"{block} {bare}"
            continue
        if block:
            yield block
        block = "" if is_heading(line) else bare
    if block:
        yield block


def _split(block: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(block):
        if _ends(block, end, start):
            yield from _spoken(block[start : end.end()])
            start = end.end()
    yield from _spoken(block[start:])


def _spoken(piece: str) -> Iterator[str]:
    if words(piece) or re.search(EMOJI, piece):
        yield piece.strip()


def _ends(block: str, end: re.Match[str], start: int) -> bool:
    """Tell whether a mark ends the sentence that began at `start`."""
    before = block[start : end.start()].rsplit(maxsplit=2)
    follows = _WORD_SIGN.search(block, end.end(), end.end() + _NEAR)
    small = bool(follows and follows[0].islower())
    mark = end[0]
    if small and (mark.startswith(("…", "..")) or mark.rstrip("*_`") != mark.rstrip("*_`\"'”’»)")):
        return False  # '"Really?" he asked' and 'well... yes'
    if mark != "." or not before:
        return True
    last = before[-1].lstrip("(\"'“‘[*_").lower()
    if last in ABBREVIATIONS:
        return False
    if last in MAYBE_LAST and follows:
        return not (small or (last == "no" and follows[0].isdigit()))
    is_initial = len(last) == 1 and last.isalpha() and before[-1].isupper() and last != "i"
    return not (is_initial and follows and (len(before) == 1 or before[-2][:1].isupper()))
