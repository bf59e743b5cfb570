"""What happens in a search, as typed events: progress, journal and report listen to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lmprog.params import Params

PROBE = "probe"
"""The first stage. Its end tells listeners that the LM answers, and the caps in calls (0: none)."""


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """A round of candidates is about to be evaluated, all at once."""

    round: int
    candidates: int
    rows: int
    """How many (candidate, row) pairs the round runs."""
    requested: int
    """Distinct requests of the run so far."""


@dataclass(frozen=True, slots=True)
class CandidateScored:
    """A candidate was run on some validation rows."""

    round: int
    candidate: str
    """Fingerprint of the params."""
    parents: tuple[str, ...]
    """Fingerprints of the params that these were made from."""
    params: Params
    rows: tuple[int, ...]
    scores: tuple[float, ...]
    requested: int
    origin: str
    """How the candidate came about, in a few words."""
    failures: Mapping[int, str] = field(default_factory=dict[int, str])
    """Why a row gave no prediction, by its number."""


@dataclass(frozen=True, slots=True)
class IncumbentChanged:
    """Another candidate leads on all validation rows."""

    candidate: str
    score: float
    requested: int


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage of the work ended: demos, proposals, search, certificate."""

    stage: str
    facts: Mapping[str, int | float | str]
    requested: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The search ended, and why."""

    reason: str
    requested: int


Event = RoundStarted | CandidateScored | IncumbentChanged | StageEnded | Stopped
