"""What comes of logits: a token, and how probable one was."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lmprog.request import Request, request_key

Floats = npt.NDArray[np.float32]


def rng(lm_name: str, request: Request) -> np.random.Generator:
    """Return the random numbers of a request; to ask for probabilities, too, does not change them."""
    return np.random.default_rng(int(request_key(lm_name, replace(request, logprobs=False)), 16))


def drawn(logits: Floats, temperature: float, numbers: np.random.Generator) -> int:
    """Return a token drawn at a temperature above 0. Takes one random number."""
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    bounds: npt.NDArray[np.float64] = np.cumsum(np.exp(scaled))
    below = int(np.count_nonzero(bounds <= numbers.random() * bounds[-1]))
    return min(below, len(bounds) - 1)  # the product may be rounded up to the last bound


def logprob(logits: Floats, token: int) -> float:
    """Return the natural logarithm of a token's probability."""
    over = logits.astype(np.float64) - float(logits[token])
    highest = float(over.max())
    return -(highest + float(np.log(np.exp(over - highest).sum())))
