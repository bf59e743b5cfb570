"""The certificate: what compiling gained, on rows that the search never saw."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from lmprog.data import LEAST_HOLDOUT
from lmprog.evaluation import Evaluation
from lmprog.narration import count
from lmprog.statistics import Interval, paired_interval

Gate = Literal["no-harm", "significant", "none"]
"""When the compiled program ships: on a positive gain; when the interval excludes 0; always."""
Shipped = Literal["compiled", "baseline"]


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the rows: how many, and 16 hex digits that name them."""

    rows: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """Scores of the uncompiled and the compiled program on the same holdout rows, and what follows.

    Holds nothing that depends on the clock or the network, so that equal runs give equal bytes.
    """

    baseline: float
    compiled: float
    gain: float
    """Mean paired difference, compiled minus baseline."""
    interval: Interval
    """95% bootstrap interval of the gain, over rows or groups of rows."""
    n: int
    """Holdout rows."""
    gate: Gate
    shipped: Shipped
    seed: int
    splits: Mapping[str, Split]
    requested: Mapping[str, int]
    """Distinct requests by role, whoever answered them; nothing is counted twice, and no round that a cap cut short."""
    tokens: Mapping[str, int]
    """Prompt and completion tokens of these requests, by role."""
    failed: Mapping[str, int] = field(default_factory=dict[str, int])
    """Holdout rows that gave no prediction, under "baseline" and under "compiled"; each scored 0."""
    opened_before: int = 0
    """How many other runs beside this one have looked at the same holdout rows."""

    @property
    def proven(self) -> bool:
        """Whether the interval of the gain lies above 0, over rows enough to say so."""
        return self.interval.low > 0 and self.n >= LEAST_HOLDOUT

    def __str__(self) -> str:
        words = [
            f"baseline {self.baseline:.2f} -> {self.compiled:.2f}, gain {self.gain:+.2f} {self.interval.signed()}",
            f"n={self.n}",
            f"shipped: {self.shipped}",
        ]
        if not self.proven and self.shipped == "compiled":
            few = f"fewer than {LEAST_HOLDOUT} rows prove nothing"
            words.append(f"unproven: {'the interval touches zero' if self.interval.low <= 0 else few}")
        if any(self.failed.values()):
            words.append(f"{self.failed['baseline']} -> {self.failed['compiled']} rows gave no prediction and scored 0")
        if self.opened_before:
            flatters = ", so this gain may flatter" if self.gain > 0 else ""
            words.append(f"the holdout was used by {count(self.opened_before, 'other run')} before{flatters}")
        return ", ".join(words)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Certificate":
        """Return the certificate that `to_json` wrote."""
        return TypeAdapter(Certificate).validate_python(data)

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired comparison on the holdout."""

    baseline: float
    compiled: float
    gain: float
    interval: Interval
    n: int


def gain_of(baseline: Evaluation, compiled: Evaluation, clusters: Sequence[object] | None = None) -> Gain:
    """Compare two evaluations of the same rows in the same order."""
    interval = paired_interval(baseline.scores, compiled.scores, clusters=clusters)
    n = len(baseline.runs)
    gain = (math.fsum(compiled.scores) - math.fsum(baseline.scores)) / n  # equal scores in another order are no gain
    return Gain(baseline.score, compiled.score, gain, interval, n)


def decide(gate: Gate, gain: Gain) -> Shipped:
    """Return what ships."""
    passed = {"no-harm": gain.gain > 0, "significant": gain.interval.low > 0, "none": True}[gate]
    return "compiled" if passed else "baseline"
