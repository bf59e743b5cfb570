"""How a compile goes, in words: the command line prints them, and logging gets them at INFO."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from lmprog.events import PROBE, CandidateScored, Event, IncumbentChanged, RoundStarted, StageEnded, Stopped

_log = logging.getLogger("lmprog.compile")


@dataclass(slots=True)
class Narration:
    """What is known of a run from the events so far."""

    doing: str = "trying the program on a few rows"
    """What goes on now."""
    cap: int | None = None
    """The budget in calls."""
    baseline: float | None = None
    best: float | None = None
    heard: int = 0
    """How many events there were."""

    def tell(self, event: Event) -> str | None:
        """Take in an event, and return the line that it is worth, if any."""
        self.heard += 1
        match event:
            case StageEnded(stage=stage, facts=facts):
                if stage == PROBE:
                    self.cap = int(facts["calls"]) if "calls" in facts else None
                self.doing = _AFTER.get(stage, "searching")
                return _stage(stage, facts)
            case RoundStarted(round=number, candidates=candidates, rows=rows):
                self.doing = f"round {number}: {count(candidates, 'candidate')}, {count(rows, 'run')} of the program"
                return f"{self.doing}; {self._of_cap(event.requested)}" if candidates else None
            case CandidateScored(round=0, scores=scores) if self.baseline is None:
                self.baseline = sum(scores) / len(scores)
                return f"the program as it is scores {self.baseline:.2f} on {len(scores)} validation rows"
            case CandidateScored():
                return None
            case IncumbentChanged(score=score):
                better = self.best is not None and score > self.best
                self.best = score if better or self.best is None else self.best
                return f"new best {score:.2f}" if better else None
            case Stopped(reason=reason):
                self.doing = "proving the gain on the holdout"
                return f"the search ended: {reason}; {self._of_cap(event.requested)}"

    def _of_cap(self, requested: int) -> str:
        return f"{requested} of {self.cap} calls" if self.cap else f"{requested} calls"


class Logged:
    """A listener that logs each line of the narration."""

    def __init__(self) -> None:
        self._narration = Narration()

    def __call__(self, event: Event) -> None:
        """Log an event, where it is worth a line."""
        line = self._narration.tell(event)
        if line is not None:
            _log.info("%s", line)


def count(number: int, thing: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


_AFTER = {
    PROBE: "scoring the program as it is, and collecting demos",
    "demos": "writing instructions",
    "examples": "training weights",
    "certificate": "writing artifact and report",
}
"""What goes on once a stage has ended."""


def _stage(stage: str, facts: Mapping[str, int | float | str]) -> str:
    if stage == PROBE:
        capped = (
            f"budget {facts['calls']} calls, {facts['reserved']} of them kept for the proof" if "calls" in facts else ""
        )
        calls = facts["calls_per_row"]
        row = f"{calls:g} call{'' if calls == 1 else 's'} a row"
        return f"the program takes {row}; {capped or 'calls are not capped'}"
    if stage == "examples":
        passed = count(int(facts["successes"]), "training row")
        return f"{passed} passed the metric: {count(int(facts['calls']), 'call')} to learn from"
    values = ", ".join(f"{name.replace('_', ' ')} {_figure(value)}" for name, value in facts.items())
    return f"{stage}: {values}"


def _figure(value: float | str) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
