"""Learning to propose: which settings of the proposer yield good instructions, learned while these are tried.

MIPRO++ (Opsahl-Ong et al. 2024, arXiv:2406.11695, sec. 3.4: a surrogate over the proposer's own hyperparameters). The paper
proposes anew in every trial, which then judges one setting; here instructions join the search some at a time, their effects
are those that the surrogate tells apart from those of all other choices, and a linear model says what a setting adds.
"""

import itertools
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmprog.optimizers.propose.grounded import PARTS, TIPS, Part, Setting

Array = NDArray[np.float64]

SWITCHES: tuple[Part, ...] = tuple(part for part in PARTS if part != "tip")
LEAST_SPREAD = 0.02
"""Standard deviation, as a share of the full score, of what a part of a setting adds, where no effect is seen yet."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What an instruction that a setting gave adds to the score."""

    setting: Setting
    effect: float
    variance: float


def learned(
    observed: Sequence[Observed], count: int, *, parts: Collection[Part], temperature: float, rng: random.Random
) -> list[Setting]:
    """Return `count` settings, each the best of all by a draw from the posterior (Thompson sampling).

    A setting is worth the sum of what its parts, its tip and its temperature add, and of what it adds that examples, or
    the instruction, stand alone. The spread of these is that of the effects.
    """
    settings = list(_all(parts, temperature))
    if not settings:
        return []
    mean, root = _posterior(observed, temperature)
    features = np.array([_features(setting, temperature) for setting in settings])
    draws = [mean + root @ [rng.gauss(0, 1) for _ in mean] for _ in range(count)]
    return [settings[int(np.argmax(features @ draw))] for draw in draws]


def _all(parts: Collection[Part], temperature: float) -> Iterator[Setting]:
    """Yield every setting of these parts that shows more than a tip and what was tried, where there is more."""
    switches = [part for part in SWITCHES if part in parts]
    telling = {*switches} - {"history"}
    tips = (None, *TIPS) if "tip" in parts else (None,)
    for values in itertools.product((False, True), repeat=len(switches)):
        shown: dict[str, Any] = dict(zip(switches, values, strict=True))
        if telling and not any(shown[part] for part in telling):
            continue
        for tip, warmth in itertools.product(tips, (temperature, temperature / 2)):
            setting = Setting(**shown, tip=tip, temperature=warmth)
            if setting.parts:
                yield setting


def _features(setting: Setting, temperature: float) -> list[float]:
    """A constant, the parts, how warm it is, what stands alone, and the tips."""
    switches = [float(getattr(setting, part)) - 0.5 for part in SWITCHES]
    alone = [float(setting.parts == (part,)) for part in _ALONE]
    tips = [float(setting.tip == tip) for tip in TIPS]
    return [1.0, *switches, setting.temperature / max(temperature, 1e-9) - 0.5, *alone, *tips]


_ALONE: tuple[Part, ...] = ("examples", "instruction")
"""Parts that, by themselves, are asked about in other words."""


def _posterior(observed: Sequence[Observed], temperature: float) -> tuple[Array, Array]:
    """Return the mean of each feature's worth, and a root of the covariance."""
    columns = len(_features(Setting(), temperature))
    features = np.array([_features(one.setting, temperature) for one in observed]).reshape(len(observed), columns)
    effects, noise = np.array([one.effect for one in observed]), np.array([one.variance for one in observed])
    spread = _spread(effects, noise)
    weights = features.T / (noise + spread / 4)  # a setting's instructions differ among themselves
    covariance: Array = np.linalg.inv(weights @ features + np.eye(columns) / spread).astype(np.float64)
    root: Array = np.linalg.cholesky(covariance).astype(np.float64)
    return covariance @ (weights @ effects), root


def _spread(effects: Array, noise: Array) -> float:
    """Return the variance of the effects among themselves: those known well count most."""
    if not len(effects):
        return LEAST_SPREAD**2
    sureness = 1 / (noise + LEAST_SPREAD**2)
    mean = np.average(effects, weights=sureness)
    return max(LEAST_SPREAD**2, float(np.average((effects - mean) ** 2 - noise, weights=sureness)))
