"""Auto: spend the budget in parts on several methods, each time on the one that the evidence so far speaks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lmprog.errors import CapReached
from lmprog.events import CandidateScored, Event
from lmprog.optimizer import Outcome, Problem, named, require, searched
from lmprog.params import Params

FIRST = "bootstrap-random-search"
PARTS_AT_MOST, EVALUATIONS = 4, 8
"""Parts of the budget, and of how many full evaluations each is to be."""
ROWS_LOOKED_AT = 8
"""Validation rows whose scores are looked at for feedback."""


@dataclass(frozen=True, slots=True)
class Auto:
    """Begin with bootstrap-random-search, then go on from the best with whichever method promises most.

    Demos carry most of the gain on many tasks, and bootstrap-random-search is the baseline that other methods must beat
    at equal cost, so it has the first of `parts` equal parts of the budget. By default there are two to four, so many
    that each pays for eight full evaluations: a method that is given too little finds nothing. What the first finds says
    what comes next: methods that read feedback where the metric gives any, and methods that search instructions and demos
    together otherwise. A method that gained goes on with the next part under another seed; one that did not gives way to
    the next. No single method wins on all tasks, but a portfolio does; so little is staked on each. The search ends when
    every method has failed to gain on the best, or the budget is spent. Each choice is told, with the reason, in the run's
    report.
    """

    parts: int | None = None

    def __post_init__(self) -> None:
        require(self, parts=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best outcome of any part. Trial 0 of each part is known from the part before, and costs no call."""
        stakes = _Stakes(problem, params, self.parts or _parts(problem))
        while (choice := stakes.choose()).method:
            problem.ended("auto", part=stakes.number, chosen=choice.method, why=choice.why)
            await stakes.play(choice.method)
        problem.ended("auto", part=stakes.number, chosen="no further part", why=choice.why)
        assert stakes.best is not None, "the first method is always played"
        return replace(stakes.best, stopped=f"auto: {choice.why}")


def _parts(problem: Problem) -> int:
    """Return in how many parts the budget is spent."""
    evaluations = problem.allowance.left / problem.allowance.for_rows(len(problem.val))
    return int(max(2, min(PARTS_AT_MOST, evaluations / EVALUATIONS)))


@dataclass(frozen=True, slots=True)
class _Choice:
    method: str
    """Empty where nothing more is played."""
    why: str


class _Stakes:
    """What was played, what it gained, and what is best."""

    def __init__(self, problem: Problem, params: Params, parts: int) -> None:
        self._problem, self._params, self._parts = problem, params, parts
        self._played: list[tuple[str, float]] = []
        """Methods in the order in which they were played, and what each gained on the best before it."""
        self._feedback = False
        self._scored = 0
        """Candidates that the first method scored."""
        self.best: Outcome | None = None

    @property
    def number(self) -> int:
        """The number of the part that is to be played."""
        return len(self._played) + 1

    def choose(self) -> _Choice:
        """Return the method for the next part, and why."""
        if self.best is None:
            return _Choice(FIRST, "demos carry most of the gain on many tasks, and they need no proposer")
        if self.best.score >= 1:
            return _Choice("", "every validation row is right")
        allowance = self._problem.allowance
        if self.number > self._parts or allowance.left < allowance.for_rows(len(self._problem.val)):
            return _Choice("", "the budget was spent")
        last, gain = self._played[-1]
        if gain > 0 and last != FIRST:
            return _Choice(last, f"its last part gained {100 * gain:.1f} points on validation")
        failed = self._failed_since_gain()
        untried = (choice for choice in self._choices() if choice.method not in failed)
        return next(untried, _Choice("", f"{', '.join(failed)} found nothing better than the best until then"))

    async def play(self, method: str) -> None:
        """Give a method its part of what is left, from the best so far."""
        problem, before = self._problem, self.best
        allowance = problem.allowance.part(self._parts - len(self._played))
        part = replace(problem, allowance=allowance, seed=problem.seed + len(self._played), emit=self._hear)
        try:
            found = await searched(named(method), part, before.params if before else self._params)
        except CapReached:
            if before is None:
                raise
            self._parts = self.number  # what capped this part caps all that would follow
            found = before
        gain = found.score - (before.score if before else found.baseline_score)
        self._played.append((method, gain))
        if before is None:
            self.best = found
            await self._look(found.params)
        elif gain > 0:
            self.best = replace(found, baseline_score=before.baseline_score)

    def _choices(self) -> Sequence[_Choice]:
        """Return the methods that may follow the first, the most promising first, and why."""
        _, gain = self._played[0]
        if gain > 0:
            demos = f"demos gained {100 * gain:.1f} points, so instructions are searched together with demos"
        elif self._scored:
            demos = "demos alone gained nothing, so wordings are tried together with demos"
        else:
            demos = "its part paid for scoring no demo set, so the next searches demos and instructions together"
        joint = _Choice("mipro", demos)
        feedback = _Choice("gepa", "the metric says what was wrong, and gepa reads it")
        traces = _Choice("gepa", "joint search did not gain, so instructions are rewritten from what failed")
        history = _Choice("opro", "nothing else gained, so the proposer is shown what was tried, with scores")
        return [feedback, joint, history] if self._feedback else [joint, traces, history]

    def _failed_since_gain(self) -> list[str]:
        """Return the methods that did not gain on the best that there is now."""
        failed: list[str] = []
        for method, gain in self._played:
            failed = [] if gain > 0 else [*failed, method]
        return failed

    def _hear(self, event: Event) -> None:
        """Count what the first method scores, the program as it was apart."""
        if self.best is None and isinstance(event, CandidateScored) and event.candidate != self._params.fingerprint:
            self._scored += 1
        self._problem.emit(event)

    async def _look(self, params: Params) -> None:
        """See whether the metric gives feedback, on rows that the first method has run: they cost no call."""
        rows = range(min(ROWS_LOOKED_AT, len(self._problem.val)))
        evaluation = await self._problem.evaluate(params, rows)
        self._feedback = any(run.score.feedback for run in evaluation.runs)
