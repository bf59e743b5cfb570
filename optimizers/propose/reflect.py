"""Reflection: an instruction rewritten from what a predictor did on a few rows, and from the metric's words about it.

GEPA's proposer (Agrawal et al. 2025, arXiv:2507.19457, sec. 3.2).
"""

from collections.abc import Sequence

from lmprog.evaluation import Run
from lmprog.module import predictors
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.critique import SEPARATOR, case_of, line, step_of, with_instruction, written_all
from lmprog.optimizers.propose.grounded import described_as, role
from lmprog.params import Params

TASK = (
    "Improve the instruction, using its failures. Keep what works, and state every fact and rule that the examples "
    "teach: the model that follows the instruction will not see them. Reply with the instruction alone."
)
TOOLS_TASK = (
    "Improve the instruction of a step that calls tools, and the description of each tool, using its failures. Keep what "
    "works, and state every fact and rule that the examples teach: the model that follows them will not see the examples."
)


async def reflected(problem: Problem, params: Params, path: str, runs: Sequence[Run], sample: int) -> Params | None:
    """Return params with a new instruction for one predictor, or None where the proposer writes none. One call.

    It is shown that predictor's calls in these runs, apart where the run scored less than 1, with reasoning, labels and
    feedback. The descriptions of its tools, if it has any, are written anew in the same call.
    """
    cases = [case for run in runs if (case := case_of(problem, path, run)) is not None]
    tools = tuple(predictors(problem.program)[path].tools)
    context = {
        "step": role(problem, path, params) if tools else step_of(problem, path),
        "instruction_text": params[path].instruction,
        "failures": SEPARATOR.join(line(case) for case in cases if case.score < 1),
        "successes": SEPARATOR.join(line(case) for case in cases if case.score >= 1),
    }
    outputs = (_INSTRUCTION, *map(described_as, tools))
    texts = await written_all(problem, sample, TOOLS_TASK if tools else TASK, outputs, context)
    said = {tool: text for tool in tools if (text := texts.get(described_as(tool)))}
    described = params.replace(path, field_descriptions={**params[path].field_descriptions, **said})
    if described == params or problem.faults(described):
        return with_instruction(problem, params, path, texts.get(_INSTRUCTION, ""))
    return with_instruction(problem, described, path, texts.get(_INSTRUCTION, "")) or described


_INSTRUCTION = "new_instruction"
