"""Instructions that hold for every word, or for words in certain places."""

from collections import Counter
from itertools import pairwise
from string import ascii_lowercase

from lmprog.programs.checks.fault import Fault
from lmprog.programs.checks.syllables import syllables
from lmprog.programs.checks.text import letters, lines, lower_words, words
from lmprog.programs.checks.verbs import begins_with_verb

LETTERS = frozenset(ascii_lowercase)
VOWELS = frozenset("aeiou")
CONSONANTS = LETTERS - VOWELS
"""With y."""
KINDS_OF_VOWEL = 3
PALINDROMES, PALINDROME_LENGTH = 10, 5
_ONE_WORD = "it has no second word"


def alphabet(reply: str) -> Fault:
    """Each word begins with the letter after that of the word before, A after Z; the first with any letter."""
    found = [letters(word) for word in words(reply)]
    for place, word in enumerate(found, start=1):
        wanted = "any letter" if place == 1 else _next_letter(found[place - 2][0])
        if word[:1] not in LETTERS or (place > 1 and word[0] != wanted):
            return f"word {place}, {word!r}, should begin with {wanted}"
    return None if len(found) > 1 else _ONE_WORD


def consonant_clusters(reply: str) -> Fault:
    """Every word has two consonants next to each other; y is one."""
    found = words(reply)
    for word in found:
        if not any(a in CONSONANTS and b in CONSONANTS for a, b in pairwise(letters(word))):
            return f"the word {word!r} has no two consonants together"
    return None if found else "it has no words"


def no_same_initial(reply: str) -> Fault:
    """No word begins with the letter with which the word before begins."""
    found = words(reply)
    for before, after in pairwise(found):
        if letters(before)[:1] == letters(after)[:1]:
            return f"{before!r} and {after!r} begin alike"
    return None if len(found) > 1 else _ONE_WORD


def syllable_parity(reply: str) -> Fault:
    """Words with an odd and with an even number of syllables take turns.

    A word that is spoken in two ways, or whose spelling tells no number, counts as it fits.
    """
    found = words(reply)
    possible = frozenset({0, 1})
    for before, word in zip([None, *found], found, strict=False):
        own = frozenset(count % 2 for count in syllables(word)) or frozenset({0, 1})
        possible = own & frozenset(1 - parity for parity in possible) if before is not None else own
        if not possible:
            kind = "odd" if 1 in own else "even"
            return f"{before!r} and {word!r} both have an {kind} number of syllables"
    return None if len(found) > 1 else _ONE_WORD


def palindromes(reply: str) -> Fault:
    """At least 10 words of 5 letters or more that read the same backwards, in any case."""
    found = [
        word for word in lower_words(reply) if word.isalpha() and len(word) >= PALINDROME_LENGTH and word == word[::-1]
    ]
    return (
        None if len(found) >= PALINDROMES else f"it has {len(found)} palindromes of {PALINDROME_LENGTH} letters or more"
    )


def paragraph_ends(reply: str) -> Fault:
    """Every line ends with the word that it begins with, in any case, and one of them has two words."""
    found = [inside for inside in map(lower_words, lines(reply)) if inside]
    for inside in found:
        if inside[0] != inside[-1]:
            return f"a paragraph begins with {inside[0]!r} and ends with {inside[-1]!r}"
    return None if any(len(inside) > 1 for inside in found) else "no paragraph has a second word"


def prime_lengths(reply: str) -> Fault:
    """The number of letters and digits of every word is prime."""
    found = words(reply)
    for word in found:
        length = len(letters(word))
        if length < 2 or any(length % divisor == 0 for divisor in range(2, length)):
            return f"the word {word!r} has {length} letters"
    return None if found else "it has no words"


def repeats(reply: str, *, small_n: int) -> Fault:
    """No word more often than so, in any case."""
    many = [(word, times) for word, times in Counter(lower_words(reply)).most_common() if times > small_n]
    return f"{many[0][0]!r} stands {many[0][1]} times, and no word may more than {small_n} times" if many else None


def starts_with_verb(reply: str) -> Fault:
    """The first word is a verb, as far as a list of verbs can tell."""
    first = next(iter(words(reply)), "")
    return None if begins_with_verb(reply) else f"it begins with {first!r}, which is not known as a verb"


def three_vowels(reply: str) -> Fault:
    """One paragraph, in which at most three of a, e, i, o, u occur."""
    if len(lines(reply)) != 1:
        return f"it has {len(lines(reply))} paragraphs and should have one"
    found = sorted(VOWELS & {*letters(reply)})
    return None if len(found) <= KINDS_OF_VOWEL else f"it uses {len(found)} vowels: {', '.join(found)}"


def second_and_second_last(reply: str, *, keyword: str) -> Fault:
    """The second word and the one before the last are the keyword, in any case."""
    found = lower_words(reply)
    if len(found) < 3:
        return f"it has {len(found)} words"
    if found[1] == found[-2] == keyword.casefold():
        return None
    return f"its second word is {found[1]!r} and its last but one {found[-2]!r}, and both should be {keyword!r}"


def _next_letter(letter: str) -> str:
    return ascii_lowercase[(ascii_lowercase.index(letter) + 1) % len(ascii_lowercase)]
