"""History: an LM writes a better instruction from those tried before and their scores (OPRO, arXiv:2309.03409)."""

from collections.abc import Mapping, Sequence

from lmprog import loop
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.grounded import role
from lmprog.optimizers.propose.induce import example_text, or_none
from lmprog.params import Demo
from lmprog.predict import Predict
from lmprog.signature import InputField, OutputField, Signature

TEMPERATURE = 1.0


class Improve(Signature):
    """Write a new instruction for one step of a language-model program.

    The history holds instructions that were tried for this step, each with its score from 0 to 100, the best last. The
    examples show, as `input -> output`, what the step reads and what it must write. Write an instruction that differs
    from all in the history and will score higher. It should be concise, effective, and apply to all inputs of this kind.
    Reply with the instruction alone, as it will be shown to the model.
    """

    step: str = InputField()
    history: str = InputField()
    examples: str = InputField()
    new_instruction: str = OutputField()


async def improve(
    problem: Problem,
    path: str,
    tried: Mapping[str, float],
    examples: Sequence[Demo],
    *,
    most: int,
    samples: Sequence[int],
) -> list[str]:
    """Return the different new instructions for a predictor in the replies with these sample numbers.

    `tried` are its instructions until now with scores in [0, 1], oldest first; the proposer sees the `most` best,
    however low they score. One proposer call for each sample, all at once, at temperature 1.
    """
    predictor = Predict(Improve, config={"temperature": TEMPERATURE})
    shown = {
        "step": role(problem, path),
        "history": history_text(tried, most),
        "examples": example_text(examples) or "none",
    }

    async def reply(sample: int) -> str:
        written = await or_none(problem.generate(sample, predictor, **shown))
        return written.new_instruction.strip() if written else ""

    replies = await loop.gather([reply(sample) for sample in samples])
    return [text for text in dict.fromkeys(replies) if text and text not in tried]


def history_text(tried: Mapping[str, float], most: int) -> str:
    """Return the `most` best instructions in ascending order, of equals the latest last, with scores from 0 to 100."""
    best = sorted(tried.items(), key=lambda one: one[1])[-most:]
    return "\n\n".join(f"text: {text}\nscore: {round(100 * score)}" for text, score in best)
