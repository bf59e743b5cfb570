"""Words that exist nowhere."""

import random
from collections.abc import Iterator

ONSETS = "bcdfghjklmnprstvwz"
VOWELS = ("a", "a", "e", "e", "i", "i", "o", "o", "u", "u", "ai", "ou")
CODAS = ("", "", "", "b", "ck", "d", "l", "m", "n", "nd", "r", "rd", "s", "st", "th", "x")


def invented_words(rng: random.Random) -> Iterator[str]:
    """Yield made-up names without end, none of them twice."""
    used: set[str] = set()
    while True:
        syllables = (rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.choice((2, 2, 2, 3))))
        word = ("".join(syllables) + rng.choice(CODAS)).capitalize()
        if word not in used:
            used.add(word)
            yield word
