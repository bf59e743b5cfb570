"""Instructions on how many: words, numbers, names, conjunctions, marks."""

import re
from collections.abc import Sequence

from lmprog.programs.checks.fault import Fault
from lmprog.programs.checks.text import count_word, lower_words, numbers, words
from lmprog.programs.checks.wordlists import COORDINATING, NAMES, PRONOUNS, SHORT_FORMS, STOP_WORDS

TIMES = (1, 2, 3, 5, 7)
"""How often the keywords of `count:keywords_multiple` must stand in the reply, in their order."""
PERCENT_OFF = 2
"""By how many per cent points an overlap may miss."""
_MARKS = {".": "a full stop", ",": "a comma", "!": "an exclamation mark", "?": "a question mark", ";": "a semicolon", ":": "a colon"}  # fmt: skip
_INTERROBANG = re.compile(r"\?!|!\?|‽")
_JAPANESE = re.compile("[\u3005\u3041-\u3096\u309d-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9d]")


def conjunctions(reply: str, *, small_n: int) -> Fault:
    """At least so many different coordinating conjunctions."""
    found = COORDINATING & {*lower_words(reply)}
    return None if len(found) >= small_n else f"it uses {_listed(found)}, {len(found)} of the {small_n} asked for"


def keywords(reply: str, *, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str) -> Fault:
    """Five keywords, as whole words in any case, 1, 2, 3, 5 and 7 times exactly."""
    wanted = zip((keyword1, keyword2, keyword3, keyword4, keyword5), TIMES, strict=True)
    found = [(word, count_word(reply, word), times) for word, times in wanted]
    wrong = [f"{word!r} stands {count} times and should {times}" for word, count, times in found if count != times]
    return ", ".join(wrong) or None


def numbers_written(reply: str, *, N: int) -> Fault:
    """Exactly so many numbers, written in digits."""
    found = numbers(reply)
    return None if len(found) == N else f"it has {len(found)} numbers and should have {N}: {_listed(found)}"


def person_names(reply: str, *, N: int) -> Fault:
    """At least so many different names of the list in the prompt, written with a capital."""
    found = NAMES & {*re.findall(r"\w+", reply)}
    return None if len(found) >= N else f"it names {len(found)} persons of the list and should name {N}"


def pronouns(reply: str, *, N: int) -> Fault:
    """At least so many pronouns; "it's" holds one, "she/her" two."""
    found = sum(_plain(word) in PRONOUNS for word in lower_words(reply.replace("/", " ")))
    return None if found >= N else f"it has {found} pronouns and should have at least {N}"


def punctuation(reply: str) -> Fault:
    """An interrobang, and besides it each of . , ! ? ; :"""
    if not _INTERROBANG.search(reply):
        return "it has no interrobang (?!)"
    rest = _INTERROBANG.sub("", reply, count=1)
    missing = [name for mark, name in _MARKS.items() if mark not in rest]
    return f"it lacks {_listed(missing)}" if missing else None


def unique_words(reply: str, *, N: int) -> Fault:
    """At least so many different words, in any case."""
    found = len({*lower_words(reply)})
    return None if found >= N else f"it has {found} different words and should have at least {N}"


def word_range(reply: str, *, min_words: int, max_words: int) -> Fault:
    """From so many to so many words."""
    found = len(words(reply))
    return (
        None if min_words <= found <= max_words else f"it has {found} words and should have {min_words} to {max_words}"
    )


def japanese_words(reply: str, *, N: int) -> Fault:
    """Every Nth word holds kana or kanji."""
    found = words(reply)
    for place in range(N, len(found) + 1, N):
        if not _JAPANESE.search(found[place - 1]):
            return f"word {place}, {found[place - 1]!r}, should be in Japanese"
    return None if len(found) >= N else f"it has {len(found)} words, so no word {N} in Japanese"


def stop_words(reply: str, *, percentage: float) -> Fault:
    """At most that share of the words are function words; "don't" is one."""
    found = lower_words(reply)
    if not found:
        return "it has no words"
    share = 100 * sum(_plain(word) in STOP_WORDS for word in found) / len(found)
    return (
        None
        if share <= percentage
        else f"{share:.0f} % of its words are stop words and at most {percentage:g} % may be"
    )


def overlap(reply: str, *, reference_text: str, percentage: float) -> Fault:
    """That share of the reply's different runs of three characters, give or take 2 points, stands in the reference.

    The prompts do not say of what the trigrams are. Of characters, as in the benchmark's own reading.
    """
    own = _trigrams(reply)
    if not own:
        return "it is too short to have a trigram"
    share = 100 * len(own & _trigrams(reference_text)) / len(own)
    if abs(share - percentage) <= PERCENT_OFF:
        return None
    return f"{share:.0f} % of its trigrams of characters are in the reference text and {percentage:g} % should be"


def _trigrams(text: str) -> frozenset[str]:
    return frozenset(text[start : start + 3] for start in range(len(text) - 2))


def _plain(word: str) -> str:
    """Return a word without what is written as one with it: "they're" gives "they", "doesn't" "does"."""
    for ending in SHORT_FORMS:
        if word.endswith(ending) and word != ending:
            return {"ca": "can", "wo": "will", "sha": "shall"}.get(word.removesuffix(ending), word.removesuffix(ending))
    return word


def _listed(values: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(values if isinstance(values, Sequence) else sorted(values)) or "none"
