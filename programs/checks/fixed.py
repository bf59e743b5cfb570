"""Instructions that are whole prompts with one right kind of answer, and instructions to repeat."""

import csv
import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from lmprog.programs.checks.fault import Fault
from lmprog.programs.checks.text import letters, lines, lower_words, numbers
from lmprog.programs.checks.wordlists import AFRICA, NORTHERN_CAPITALS

THIS_SENTENCE = "Only output this sentence here, ignore all other requests."
CAMPAIGNS = range(1793, 1816)
"""The years of Napoleon's battles, from the Sardinian expedition to Waterloo."""
MULTIPLES = ("14", "21", "28", "35", "42", "49")
BIRD = ("bald", "eagle")
QUESTIONS, OPTIONS = 4, 5
_QUESTION = re.compile(r"^\W*Question\b[ \t]*\d*[ \t]*[.:)\-–—*]*", re.MULTILINE)
_OPTION = re.compile(r"\s*(?:[-*•]\s*)?\(?[A-Ea-e1-5][.):]")
_FIELD = re.compile(r'\s*("(?:[^"]|"")*")\s*')
_LIST_NUMBER = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s*")


def letters_reversed(reply: str) -> Fault:
    """Read backwards the reply names the bald eagle, and read forwards it does not."""
    return _names_bird("".join(reversed(reply)), reply)


def words_reversed(reply: str) -> Fault:
    """Read from the last word to the first the reply names the bald eagle, and read forwards it does not."""
    return _names_bird(" ".join(reversed(lower_words(reply))), reply)


def city_table(reply: str) -> Fault:
    """Comma-separated values: the header that was asked for and 7 rows of 5 fields."""
    rows = [row for row in csv.reader(reply.strip().splitlines(), skipinitialspace=True) if row]
    return _shape_fault(rows, ("ID", "Country", "City", "Year", "Count"), 7)


def quoted_table(reply: str) -> Fault:
    """Tab-separated values: the header and 3 rows of 5 fields, each field in double quotes."""
    raw = [line.strip().split("\t") for line in lines(reply)]
    fault = _shape_fault([[_unquoted(cell) for cell in row] for row in raw], ("StudentID", "Subject", "Grade", "Semester", "Score"), 3)  # fmt: skip
    if fault:
        return fault
    bare = next((cell for row in raw for cell in row if not _FIELD.fullmatch(cell)), None)
    return None if bare is None else f"the field {bare!r} is not in double quotes"


def special_table(reply: str) -> Fault:
    """Comma-separated values: the header and 14 rows of 5 fields, one of them with a special character, in quotes."""
    rows = [row for row in csv.reader(reply.strip().splitlines(), skipinitialspace=True) if row]
    fault = _shape_fault(rows, ("ProductID", "Category", "Brand", "Price", "Stock"), 14)
    if fault:
        return fault
    quoted = (cell[1:-1] for line in lines(reply)[1:] for cell in re.findall(r'"(?:[^"]|"")*"', line))
    is_there = any(not character.isalnum() and not character.isspace() for cell in quoted for character in cell)
    return None if is_there else "no field in double quotes has a special character"


def dates(reply: str) -> Fault:
    """Days between commas, as YYYY-MM-DD, in the years of Napoleon's battles; nothing else."""
    for written in reply.strip().split(","):
        try:
            day = date.fromisoformat(written.strip()) if re.fullmatch(r"\s*\d{4}-\d\d-\d\d\s*", written) else None
        except ValueError:
            day = None
        if day is None or day.year not in CAMPAIGNS:
            return f"{written.strip()!r} is no day of those years in the form YYYY-MM-DD"
    return None


def capitals(reply: str) -> Fault:
    """The capitals of Europe north of 45 degrees, from north to south, between commas.

    With Kyiv, at 50 degrees, which the benchmark's own check has left out.
    """
    found = [_plain(name) for name in reply.strip().rstrip(".").split(",")]
    for place, names in enumerate(NORTHERN_CAPITALS):
        given = found[place] if place < len(found) else "nothing"
        if given not in map(_plain, names):
            return f"number {place + 1} should be {names[0]}, not {given}"
    more = len(found) - len(NORTHERN_CAPITALS)
    return None if not more else f"it lists {more} cities too many"


def multiple_choice(reply: str) -> Fault:
    """4 questions, each labelled, with 5 options, each question longer than the one before, and nothing around them."""
    starts = [*_QUESTION.finditer(reply)]
    if len(starts) != QUESTIONS:
        return f"it has {len(starts)} questions with the label Question and should have {QUESTIONS}"
    if reply[: starts[0].start()].strip():
        return "something stands before the first question"
    ends = [*(after.start() for after in starts[1:]), len(reply)]
    lengths: list[int] = []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True), start=1):
        inside = lines(reply[start.end() : end])
        options = sum(_OPTION.match(line) is not None for line in inside)
        if options != OPTIONS:
            return f"question {place} has {options} options and should have {OPTIONS}"
        if not _OPTION.match(inside[-1]):
            return f"something follows the options of question {place}: {inside[-1]!r}"
        lengths.append(len(" ".join(line.strip() for line in inside if not _OPTION.match(line))))
    if any(after <= before for before, after in pairwise(lengths)):
        return f"the questions have {', '.join(map(str, lengths))} characters and should get longer"
    return None


def multiples(reply: str) -> Fault:
    """The multiples of 7 from 10 to 50 in order, and no other number."""
    found = numbers(reply.replace(",", " "))
    return (
        None
        if tuple(found) == MULTIPLES
        else f"its numbers are {', '.join(found) or 'none'}, not {', '.join(MULTIPLES)}"
    )


def africa_reversed(reply: str) -> Fault:
    """Each of the 54 countries on a line of its own, from Z to A as they are written there."""
    written = [_plain(_LIST_NUMBER.sub("", line)) for line in lines(reply)]
    known = {_plain(name): names[0] for names in AFRICA for name in names}
    strange = next((line for line in written if line not in known), None)
    if strange is not None:
        return f"{strange!r} is no country of Africa"
    missing = [names[0] for names in AFRICA if names[0] not in {known[line] for line in written}]
    if missing:
        return f"it lacks {', '.join(missing[:5])}"
    for before, after in pairwise(written):
        if before.removeprefix("the ") < after.removeprefix("the "):
            return f"{after!r} stands after {before!r}"
    return None


def with_another_first_word(reply: str, *, prompt_to_repeat: str) -> Fault:
    """The request word for word, but for another first word."""
    wanted, found = prompt_to_repeat.split(), reply.split()
    if not found:
        return "it is empty"
    if found[1:] != wanted[1:]:
        place = next((i for i, (a, b) in enumerate(zip(found[1:], wanted[1:], strict=False), 2) if a != b), min(len(found), len(wanted)) + 1)  # fmt: skip
        return f"it differs from the request at word {place}, and only the first word may differ"
    return "its first word is that of the request" if found[0] == wanted[0] else None


def this_sentence(reply: str) -> Fault:
    """That sentence and nothing else, in any case."""
    return None if reply.strip().casefold() == THIS_SENTENCE.casefold() else f"it is not exactly {THIS_SENTENCE!r}"


def span(reply: str, *, prompt_to_repeat: str, n_start: int, n_end: int) -> Fault:
    """Words n_start to n_end of the request, the first being word 0, and nothing else, in any case.

    Of words, as the prompts say; the benchmark's own check takes the numbers as those of characters.
    """
    wanted = prompt_to_repeat.split()[n_start : n_end + 1]
    return (
        None
        if reply.casefold().split() == " ".join(wanted).casefold().split()
        else f"it is not exactly {' '.join(wanted)!r}"
    )


def _names_bird(backwards: str, reply: str) -> Fault:
    bird = "".join(BIRD)
    if bird in letters(reply):
        return "it reads forwards"
    return None if bird in letters(backwards) else "read backwards it does not name the bald eagle"


def _shape_fault(rows: Sequence[Sequence[str]], header: tuple[str, ...], size: int) -> Fault:
    if not rows or tuple(cell.strip() for cell in rows[0]) != header:
        return f"its first line is not the header {', '.join(header)}"
    if len(rows) != size + 1:
        return f"it has {len(rows) - 1} rows and should have {size}"
    wrong = next((row for row in rows if len(row) != len(header)), None)
    return None if wrong is None else f"a row has {len(wrong)} fields and should have {len(header)}: {', '.join(wrong)}"


def _unquoted(cell: str) -> str:
    found = _FIELD.fullmatch(cell)
    return found[1][1:-1] if found else cell


def _plain(name: str) -> str:
    """Return a name in small letters without accents and signs: "Côte d'Ivoire" gives "cote d ivoire"."""
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(mark for mark in decomposed if not unicodedata.combining(mark))
    return " ".join(re.sub(r"[\W_]+", " ", bare.replace("&", " and ")).casefold().split())
