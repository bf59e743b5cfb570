"""BetterTogether: prompts and weights in turn (Soylu et al. 2024, arXiv:2407.10930)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lmprog.errors import CapReached, InputError
from lmprog.optimizer import Optimizer, Outcome, Problem, named, searched
from lmprog.params import Params

SCHEDULES = ("p", "w", "pw", "wp", "pwp", "wpw")
"""What `schedule=auto` tries. Each but the first two goes on from another."""


@dataclass(frozen=True, slots=True)
class BetterTogether:
    """Optimize prompts (p) and weights (w) in turn; `schedule=auto` tries p, w, p->w, w->p, p->w->p and w->p->w.

    `prompts` and `weights` name the optimizers. In "auto" schedules that begin alike share what they begin with, so six
    stages are run, each with an equal part of what is left of the budget; which order is best depends on task and LM. The
    params with the best score on the validation rows win, on which no weights are trained, and of equal ones those with
    the shortest prompts; a stage that brings nothing is not built upon. Any other schedule, such as "pwp", runs as "mipro -> finetune -> mipro" does.
    """

    schedule: str = "auto"
    prompts: str = "mipro"
    weights: str = "finetune"

    def __post_init__(self) -> None:
        if self.schedule != "auto" and not (self.schedule and set(self.schedule) <= {"p", "w"}):
            raise InputError(
                f'BetterTogether(schedule={self.schedule!r}): write "auto", or letters p and w in turn, such as "pwp".'
            )

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Those that the schedule runs."""
        return [self._stage(letter) for letter in ("pw" if self.schedule == "auto" else sorted(set(self.schedule)))]

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best outcome of any stage. Each stage is a search of its own, within its part of the calls."""
        wanted = SCHEDULES if self.schedule == "auto" else [self.schedule]
        stages = list(dict.fromkeys(one[:length] for one in wanted for length in range(1, len(one) + 1)))
        stages.sort(key=len)
        found: dict[str, Outcome] = {}
        for number, schedule in enumerate(stages):
            before = found.get(schedule[:-1])
            start = before.params if before else params
            part = replace(problem, allowance=problem.allowance.part(len(stages) - number))
            try:
                outcome = await searched(self._stage(schedule[-1]), part, start)
            except CapReached:
                if not found:
                    raise
                break  # what capped this stage caps all that would follow
            found[schedule] = outcome
            problem.ended("schedule", stages=" -> ".join(schedule), score=outcome.score)
        best = max(found, key=lambda schedule: (found[schedule].score, -_said(found[schedule].params)))
        first = found[stages[0]]
        return Outcome(
            found[best].params, found[best].score, first.baseline_score, f"best of the schedules: {' -> '.join(best)}"
        )

    def _stage(self, letter: str) -> Optimizer:
        return named(self.prompts if letter == "p" else self.weights)


def _said(params: Params) -> int:
    """Return the length of all that stands before a row in the prompts."""
    return sum(len(value.model_dump_json(exclude={"weights"})) for value in params.values())
