"""How alike options are, from what they say: what one teaches, those like it need not be tried for."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Likeness = NDArray[np.float64]
"""(options, options): in [0, 1], 1 on the diagonal, symmetric and positive semidefinite."""

GRAM = 3
"""Characters: long enough to tell words apart, short enough for their forms to agree."""


def of_texts(texts: Sequence[str]) -> Likeness:
    """Return the cosine between texts as bags of character n-grams, those that most texts share weighing least (TF-IDF)."""
    counts = [Counter(text[start : start + GRAM] for start in range(max(1, len(text) - GRAM + 1))) for text in texts]
    spread = Counter(gram for count in counts for gram in count)
    rarity = {gram: 1 + math.log(len(texts) / known) for gram, known in spread.items()}
    return _cosine([{gram: n * rarity[gram] for gram, n in count.items()} for count in counts])


def of_sets(sets: Sequence[Collection[str]]) -> Likeness:
    """Return the cosine between sets: the share of their members that two sets have in common; empty ones are alike."""
    return _cosine([dict.fromkeys(one, 1.0) if one else {"": 1.0} for one in sets])


def of_kinds(kinds: Sequence[object]) -> Likeness:
    """Return 1 where two are equal, else 0."""
    return np.array([[float(a == b) for b in kinds] for a in kinds]).reshape(len(kinds), len(kinds))


def _cosine(bags: Sequence[Mapping[str, float]]) -> Likeness:
    columns = {feature: number for number, feature in enumerate(dict.fromkeys(name for bag in bags for name in bag))}
    vectors = np.zeros((len(bags), len(columns)))
    for row, bag in zip(vectors, bags, strict=True):
        row[[columns[name] for name in bag]] = list(bag.values())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Likeness = np.clip(vectors @ vectors.T, 0.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found
