"""How many calls light, medium and heavy stand for: MIPRO's n, turned into calls by MIPRO's formula."""

import math
from dataclasses import dataclass
from typing import Literal

Size = Literal["light", "medium", "heavy"]

CANDIDATES: dict[Size, int] = {"light": 6, "medium": 12, "heavy": 18}
"""n: instructions and demo sets per predictor."""
MOST_VAL: dict[Size, int] = {"light": 100, "medium": 300, "heavy": 1000}
"""Validation rows beyond these are left out of the search."""
MINIBATCH, MINIBATCH_ABOVE, FULL_EVERY = 35, 50, 5
BOOTSTRAPPED = 4
MARGIN = 1.25
"""What is kept back for the certificate, as a multiple of what it is expected to take: re-asks and longer rows fit in."""


def trials(candidates: int, predictors: int) -> int:
    """Return MIPRO's number of trials: max(2 v log2 n, 1.5 n), with v = an instruction and a demo choice per predictor."""
    return math.ceil(max(2 * 2 * predictors * math.log2(candidates), 1.5 * candidates))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls by part of the work."""

    bootstrap: int
    proposals: int
    search: int
    certificate: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.bootstrap + self.proposals + self.search + self.certificate


def estimate(size: Size, *, predictors: int, calls_per_row: float, train: int, val: int, holdout: int) -> Estimate:
    """Return the calls that a search of this size takes on so many rows, with a quarter more for the certificate."""
    n = CANDIDATES[size]
    tried = trials(n, predictors)
    per_trial = MINIBATCH if val > MINIBATCH_ABOVE else val
    full = tried // FULL_EVERY + 2 if val > MINIBATCH_ABOVE else 1
    bootstrap = min(train, 2 * n * BOOTSTRAPPED)
    return Estimate(
        bootstrap=math.ceil(bootstrap * calls_per_row),
        proposals=predictors * (n - 1) + 1,
        search=math.ceil((tried * per_trial + full * val) * calls_per_row),
        certificate=certificate_calls(holdout, calls_per_row),
    )


def certificate_calls(holdout: int, calls_per_row: float) -> int:
    """Return what is reserved for running baseline and winner on the holdout."""
    return math.ceil(2 * holdout * calls_per_row * MARGIN)
