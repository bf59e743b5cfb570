"""Reflection: an instruction rewritten from what a predictor did on a few rows, and from the metric's words about it.

GEPA's proposer (Agrawal et al. 2025, arXiv:2507.19457, sec. 3.2).
"""

from collections.abc import Sequence

from lmprog.evaluation import Run
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.critique import SEPARATOR, case_of, line, step_of, with_instruction, written
from lmprog.params import Params

TASK = (
    "Improve the instruction, using its failures. Keep what works, and state every fact and rule that the examples "
    "teach: the model that follows the instruction will not see them. Reply with the instruction alone."
)


async def reflected(problem: Problem, params: Params, path: str, runs: Sequence[Run], sample: int) -> Params | None:
    """Return params with a new instruction for one predictor, or None where the proposer writes none. One call.

    It is shown that predictor's calls in these runs, apart where the run scored less than 1, with reasoning, labels and
    feedback.
    """
    cases = [case for run in runs if (case := case_of(problem, path, run)) is not None]
    context = {
        "step": step_of(problem, path),
        "instruction_text": params[path].instruction,
        "failures": SEPARATOR.join(line(case) for case in cases if case.score < 1),
        "successes": SEPARATOR.join(line(case) for case in cases if case.score >= 1),
    }
    return with_instruction(problem, params, path, await written(problem, sample, TASK, "new_instruction", context))
