"""Instructions on sentences: their kinds, lengths, order and what stands in which."""

import re
from collections import Counter
from itertools import groupby, pairwise

from lmprog.programs.checks.fault import Fault
from lmprog.programs.checks.text import EMOJI, has_word, is_heading, letters, lines, lower_words, sentences, words

_ONE_SENTENCE = "it has no second sentence"


def alliteration_increment(reply: str) -> Fault:
    """The longest run of words that begin alike grows from each sentence to the next."""
    runs = [_longest_run(sentence) for sentence in sentences(reply)]
    for place, (before, after) in enumerate(pairwise(runs), start=2):
        if after <= before:
            return f"sentence {place} has at most {after} words in a row that begin alike, the one before has {before}"
    return None if len(runs) > 1 else _ONE_SENTENCE


def word_increment(reply: str, *, small_n: int) -> Fault:
    """Each sentence has exactly so many words more than the one before."""
    counts = [len(words(sentence)) for sentence in sentences(reply)]
    for place, (before, after) in enumerate(pairwise(counts), start=2):
        if after != before + small_n:
            return f"sentence {place} has {after} words and should have {before + small_n}"
    return None if len(counts) > 1 else _ONE_SENTENCE


def keyword(reply: str, *, word: str, N: int) -> Fault:
    """The Nth sentence has the keyword."""
    found = sentences(reply)
    if len(found) < N:
        return f"it has {len(found)} sentences, so no sentence {N} with {word!r}"
    return None if has_word(found[N - 1], word) else f"sentence {N} lacks {word!r}: {found[N - 1]!r}"


def keyword_at(reply: str, *, keyword: str, n: int, m: int) -> Fault:
    """The keyword is word m of sentence n."""
    found = sentences(reply)
    if len(found) < n:
        return f"it has {len(found)} sentences, so no sentence {n} with {keyword!r}"
    inside = lower_words(found[n - 1])
    if len(inside) < m:
        return f"sentence {n} has {len(inside)} words, so no word {m}"
    return (
        None
        if inside[m - 1] == keyword.casefold()
        else f"word {m} of sentence {n} is {inside[m - 1]!r}, not {keyword!r}"
    )


def balance(reply: str) -> Fault:
    """As many sentences end in a full stop as in a question mark and as in an exclamation mark, and some do."""
    kinds = _kinds(reply)
    counts = [kinds[mark] for mark in ".?!"]
    if counts[0] == counts[1] == counts[2] > 0:
        return None
    return f"it has {counts[0]} declarative, {counts[1]} interrogative and {counts[2]} exclamatory sentences"


def two_to_one(reply: str) -> Fault:
    """Twice as many sentences end in a full stop as in a question mark, and some do."""
    kinds = _kinds(reply)
    if kinds["."] == 2 * kinds["?"] > 0:
        return None
    return f"it has {kinds['.']} declarative and {kinds['?']} interrogative sentences, not twice as many"


def three_alike(reply: str) -> Fault:
    """Three sentences of as many characters each, and no word twice."""
    found = sentences(reply)
    if len(found) != 3:
        return f"it has {len(found)} sentences and should have 3"
    lengths = [len(sentence) for sentence in found]
    if len({*lengths}) > 1:
        return f"its sentences have {', '.join(map(str, lengths))} characters, not all the same number"
    word, times = Counter(lower_words(reply)).most_common(1)[0]
    return f"the word {word!r} stands {times} times" if times > 1 else None


def last_is_next_first(reply: str) -> Fault:
    """The last word of each sentence is the first of the next, in any case."""
    found = [lower_words(sentence) for sentence in sentences(reply)]
    if not all(found):
        return "it has a sentence without a word"
    for place, (before, after) in enumerate(pairwise(found), start=2):
        if before[-1] != after[0]:
            return f"sentence {place} begins with {after[0]!r} and should with {before[-1]!r}"
    return None if len(found) > 1 else _ONE_SENTENCE


def emoji_ends(reply: str) -> Fault:
    """Every sentence ends with an emoji, before or after its mark; a line that introduces others is none."""
    found = 0
    for line in lines(reply):
        if is_heading(line):
            continue
        for sentence in sentences(line):
            bare = sentence.rstrip(" \t.!?…‽。！？\"'”’»)]}*_`\ufe0f\u200d")
            if not re.search(f"{EMOJI}$", bare):
                return f"this sentence does not end with an emoji: {sentence!r}"
            found += 1
    return None if found else "it has no sentence that ends with an emoji"


def alphabet_story(reply: str) -> Fault:
    """26 sentences whose first words begin with A to Z."""
    found = [lower_words(sentence) for sentence in sentences(reply)]
    if len(found) != 26:
        return f"it has {len(found)} sentences and should have 26"
    for letter, inside in zip("abcdefghijklmnopqrstuvwxyz", found, strict=True):
        if not inside or letters(inside[0])[:1] != letter:
            return f"the sentence for {letter.upper()} begins with {inside[0] if inside else ''!r}"
    return None


def _kinds(reply: str) -> Counter[str]:
    """Return how many sentences end in which mark; "?!" counts as its last, quotes and emoji after it as nothing."""
    ends = (
        next((sign for sign in reversed(sentence) if sign in ".?!" or sign.isalnum()), "")
        for sentence in sentences(reply)
    )
    return Counter(ends)


def _longest_run(sentence: str) -> int:
    first = [letters(word)[:1] for word in words(sentence)]
    return max((len([*run]) for _, run in groupby(first)), default=0)
