"""The search as it went, read from the journal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmprog.params import Params
from lmprog.scores import ScoreTable


@dataclass(frozen=True, slots=True)
class Candidate:
    """Params that were tried."""

    number: int
    """From 0, in the order in which candidates were first scored; the program as it was is 0."""
    name: str
    """Fingerprint of the params."""
    origin: str
    params: Params | None
    """None where the journal does not hold them."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What was known about a candidate after a round."""

    candidate: Candidate
    rows: int
    mean: float
    """Over all rows that the candidate had been scored on by then."""
    requested: int


@dataclass(frozen=True, slots=True)
class Lead:
    """A candidate took the lead on all rows."""

    candidate: str
    score: float
    requested: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work that ended."""

    name: str
    facts: Mapping[str, int | float | str]
    requested: int


@dataclass(frozen=True, slots=True)
class History:
    """Candidates by fingerprint, the score table, and what happened when."""

    table: ScoreTable
    candidates: dict[str, Candidate] = field(default_factory=dict[str, Candidate])
    scorings: list[Scoring] = field(default_factory=list[Scoring])
    leads: list[Lead] = field(default_factory=list[Lead])
    stages: list[Stage] = field(default_factory=list[Stage])
    estimates: dict[str, float] = field(default_factory=dict[str, float])
    """Each candidate's mean, adjusted for how hard its rows were."""

    @staticmethod
    def read(events: Sequence[Mapping[str, Any]]) -> "History":
        """Return what the journal tells; events of unknown kinds are passed over."""
        scored = [event for event in events if event["event"] == "CandidateScored"]
        history = History(ScoreTable(max((row + 1 for event in scored for row in event["rows"]), default=0)))
        for event in events:
            match event["event"]:
                case "CandidateScored":
                    history._scored(event)
                case "IncumbentChanged":
                    history.leads.append(Lead(event["candidate"], event["score"], event["requested"]))
                case "StageEnded":
                    history.stages.append(Stage(event["stage"], event["facts"], event["requested"]))
                case _:
                    continue
        if history.scorings:
            history.estimates.update(history.table.adjusted())
        return history

    @property
    def leader(self) -> Candidate | None:
        """The candidate that led on all rows in the end."""
        return self.candidates.get(self.leads[-1].candidate) if self.leads else None

    def ranked(self) -> list[Candidate]:
        """Return the candidates, the best estimate first, older ones first where equal."""
        return sorted(self.candidates.values(), key=lambda one: (-round(self.estimates[one.name], 9), one.number))

    def _scored(self, event: Mapping[str, Any]) -> None:
        if not event["rows"]:
            return
        name: str = event["candidate"]
        if name not in self.candidates:
            params = Params.from_json(json.dumps(event["params"])) if "params" in event else None
            self.candidates[name] = Candidate(len(self.candidates), name, event["origin"], params)
        self.table.record(name, event["rows"], event["scores"])
        seen = Scoring(self.candidates[name], self.table.n(name), self.table.mean(name), event["requested"])
        self.scorings.append(seen)
