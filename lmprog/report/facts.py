"""What a report page is made from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmprog.certificate import Certificate, Shipped
from lmprog.params import Params
from lmprog.request import ToolSpec
from lmprog.signature import Signature


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the page that depends neither on the clock nor on the network."""

    title: str
    certificate: Certificate
    baseline: Params
    params: Params
    """The params that ship."""
    events: Sequence[Mapping[str, Any]]
    """The journal, in its order: each event as JSON data, a candidate's params only the first time."""
    stopped: str
    """Why the search ended."""
    rows: bool = True
    """Whether the page may show what stands in rows: of demos it then tells how many there are, and no more."""
    signatures: Mapping[str, type[Signature]] = field(default_factory=dict[str, type[Signature]])
    """By predictor path: with them the page shows whole prompts, as the LM gets them."""
    tools: Mapping[str, Sequence[ToolSpec]] = field(default_factory=dict[str, Sequence[ToolSpec]])
    """What the predictors may call, by path."""
    failures: Mapping[Shipped, Mapping[int, str]] = field(default_factory=dict[Shipped, Mapping[int, str]])
    """Of the program as it was and as compiled: why a holdout row, by its number, gave no prediction."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What the run took, all its processes together; it differs between equal runs, so an artifact holds none of it."""

    seconds: float
    sent: int
    """Calls that were answered by no record."""
    usd_by_role: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of roles whose calls cost something."""

    @property
    def usd(self) -> float:
        """Of all roles."""
        return math.fsum(self.usd_by_role.values())
