"""The search as it went, read from the journal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lmprog.params import Params
from lmprog.report.markup import clipped
from lmprog.scores import ScoreTable

SEARCH = "search"
"""What ends with a Stopped event, as a stage; its one fact, without a name, is the reason."""
MOST_FAILURE = 200
"""Characters of why a run gave no prediction."""


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
    parents: tuple[str, ...] = ()
    """Fingerprints of what it was made from, the nearest first; candidates of lower numbers, as far as they are told."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What was known about a candidate after a round."""

    candidate: Candidate
    rows: int
    mean: float
    """Over all validation rows that the candidate had been scored on by then."""
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
    start: int
    requested: int
    """Requests of the run at its end; at its `start` those at the end of the stage before."""


@dataclass(frozen=True, slots=True)
class History:
    """Candidates by fingerprint, the score table, and what happened when."""

    table: ScoreTable
    """Validation rows alone."""
    candidates: dict[str, Candidate] = field(default_factory=dict[str, Candidate])
    scorings: list[Scoring] = field(default_factory=list[Scoring])
    leads: list[Lead] = field(default_factory=list[Lead])
    stages: list[Stage] = field(default_factory=list[Stage])
    estimates: dict[str, float] = field(default_factory=dict[str, float])
    """Each candidate's mean over validation rows, adjusted for how hard its rows were; none for those that ran on none."""
    trained: dict[str, dict[int, float]] = field(default_factory=dict[str, dict[int, float]])
    """Scores on training rows, by candidate and row."""
    failures: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])
    """Why validation rows gave no prediction, by candidate and row, where the journal tells."""

    def nothing_found(self, *, rows: bool) -> str:
        """Why there was nothing to prove, in words; empty where a candidate took the lead. Without `rows` no reply is shown."""
        tried = len(self.candidates) - 1
        if tried < 0 or (tried and (self.leader is None or self.leader.number)):
            return ""
        before = next(iter(self.candidates))
        failures = list(self.failures.get(before, {}).values())
        if failures and len(failures) == self.table.n(before):
            first = f" (the first: {clipped(failures[0], MOST_FAILURE)})" if rows else ""
            return (
                f"Not one of {len(failures)} runs of the program as it is gave a prediction{first}. Call it once, and see by "
                "`lp.inspect()` what the LM is sent and what it replies: another LM, format or signature may help."
            )
        if not tried:
            ended = [str(stage.facts[""]) for stage in self.stages if "" in stage.facts]
            why = ended[-1] if ended else "the search had none to try"
            spent = "budget" in why or "cap on" in why
            advice = (
                "Give a larger budget, or fewer validation or holdout rows"
                if spent
                else "Try another optimizer, such as auto"
            )
            return f"No other candidate was scored: {why}. {advice}."
        whom = "The one candidate tried scored no better" if tried == 1 else f"None of {tried} candidates scored better"
        return f"{whom} on the validation rows."

    @staticmethod
    def read(events: Sequence[Mapping[str, Any]]) -> "History":
        """Return what the journal tells; events of unknown kinds are passed over."""
        scored = [event for event in events if event["event"] == "CandidateScored" and not _on_train(event)]
        history = History(ScoreTable(max((row + 1 for event in scored for row in event["rows"]), default=0)))
        for event in events:
            match event["event"]:
                case "CandidateScored":
                    history._scored(event)
                case "IncumbentChanged" if not history.leads or event["candidate"] != history.leads[-1].candidate:
                    history.leads.append(Lead(event["candidate"], event["score"], event["requested"]))
                case "StageEnded":
                    history._ended(event["stage"], event["facts"], event["requested"])
                case "Stopped":
                    history._ended(SEARCH, {"": event["reason"]}, event["requested"])
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
        """Return the candidates that ran on validation rows, the best estimate first, older ones first where equal."""
        known = [one for one in self.candidates.values() if one.name in self.estimates]
        return sorted(known, key=lambda one: (-round(self.estimates[one.name], 9), one.number))

    def _scored(self, event: Mapping[str, Any]) -> None:
        if not event["rows"]:
            return
        name: str = event["candidate"]
        self._meet(event)
        if _on_train(event):
            self.trained.setdefault(name, {}).update(zip(event["rows"], event["scores"], strict=True))
            return
        self.table.record(name, event["rows"], event["scores"])
        for row, reason in event.get("failures", {}).items():
            self.failures.setdefault(name, {})[int(row)] = reason
        seen = Scoring(self.candidates[name], self.table.n(name), self.table.mean(name), event["requested"])
        self.scorings.append(seen)

    def _meet(self, event: Mapping[str, Any]) -> None:
        """Take in a candidate, or the parents of one whose first event told none."""
        name: str = event["candidate"]
        told = event["parents"] if "parents" in event else [event.get("parent")]
        known = self.candidates.get(name)
        if known is None:
            params = Params.from_json(json.dumps(event["params"])) if "params" in event else None
            known = Candidate(len(self.candidates), name, event["origin"], params)
        elder = [one for one in told if one in self.candidates and self.candidates[one].number < known.number]
        parents = known.parents or tuple(dict.fromkeys(elder))
        self.candidates[name] = replace(known, parents=parents)

    def _ended(self, name: str, facts: Mapping[str, int | float | str], requested: int) -> None:
        start = self.stages[-1].requested if self.stages else 0
        self.stages.append(Stage(name, facts, min(start, requested), requested))


def _on_train(event: Mapping[str, Any]) -> bool:
    return event.get("on") == "train"
