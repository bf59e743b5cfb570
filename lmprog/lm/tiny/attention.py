"""Attention from a sequence's tokens to its prefix, which it shares with others, and to its own tokens.

The prefix is the same whether it was read just now or long ago for another sequence. The shape of each product is
decided by one sequence alone (model.py says why).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from lmprog.lm.tiny.model import Floats, Ints

_QUERIES_AT_ONCE = 64
"""Of one prompt: their scores stay in the processor's cache, and they need no scores for the tokens after them."""
_NEVER = np.float32(-1e9)
"""Score of a token that must not be seen: its weight becomes exactly 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Keys (layers, heads, head width, tokens) and values (layers, heads, tokens, head width) that sequences begin with."""

    keys: Floats
    values: Floats

    @property
    def length(self) -> int:
        """How many tokens."""
        return len(self.values[0, 0])

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.keys.nbytes + self.values.nbytes


def unseen(held: Ints, width: int) -> Floats:
    """Return the mask (sequences, 1, 1, width) by which each sequence's newest token sees its first `held` tokens."""
    return np.multiply(np.arange(width) >= held[:, None], _NEVER, dtype=np.float32)[:, None, None]


def attend(
    queries: Floats, keys: Floats, values: Floats, mask: Floats | None, before: tuple[Floats, Floats] | None
) -> Floats:
    """Return what queries (..., heads, tokens, head width) get from `keys` and `values`, and from those `before` them.

    The mask is for the last tokens of `keys`, as many as it has columns.
    """
    start = before[1].shape[-2] if before else 0
    scores = np.empty((*queries.shape[:-1], start + keys.shape[-2]), np.float32)
    if before:
        np.matmul(queries, before[0], out=scores[..., :start])
    np.matmul(queries, keys.swapaxes(-1, -2), out=scores[..., start:])
    if mask is not None:
        scores[..., scores.shape[-1] - mask.shape[-1] :] += mask
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    attended: Floats = np.matmul(scores[..., start:], values)
    if before:
        attended += np.matmul(scores[..., :start], before[1])
    attended /= np.vecdot(scores, _ones(scores.shape[-1]))[..., None]  # twice as fast as a sum
    return attended


def attend_causally(queries: Floats, keys: Floats, values: Floats, before: tuple[Floats, Floats] | None) -> Floats:
    """Return what all tokens of whole prompts get, each from those up to itself: (prompts, tokens, width).

    Queries, keys and values are (prompts, heads, tokens, head width).
    """
    prompts, heads, width, head_width = queries.shape
    attended = np.empty((prompts, width, heads, head_width), np.float32)
    for prompt in range(prompts):
        for start in range(0, width, _QUERIES_AT_ONCE):
            end = min(start + _QUERIES_AT_ONCE, width)
            some, earlier = queries[prompt, :, start:end], (slice(None), slice(end))
            part = attend(some, keys[prompt][earlier], values[prompt][earlier], _later(end - start), before)
            attended[prompt, start:end] = part.swapaxes(0, 1)
    return attended.reshape(prompts, width, heads * head_width)


@cache
def _later(width: int) -> Floats:
    """Return the mask (queries, tokens) by which a token sees itself and those before it."""
    return np.triu(np.full((width, width), _NEVER, np.float32), 1)


@cache
def _ones(length: int) -> Floats:
    return np.ones(length, np.float32)
