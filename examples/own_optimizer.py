"""An optimizer turns params into better params: propose candidates, and let the shared loop choose among them."""

import tempfile

# [optimizer]
from collections.abc import Sequence
from dataclasses import dataclass

import lmprog as lp
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.full import Full
from lmprog.search import Ask, search

# [end]
from lmprog.testing import Answer, Asked, ScriptedLM


# [optimizer]
@dataclass(frozen=True)
class Wordings:
    """Try each of some instructions on each predictor, one change at a time."""

    wordings: Sequence[str]

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        """One full evaluation per predictor and wording; never worse on the validation rows than `params`."""
        candidates = [params.replace(path, instruction=text) for path in params for text in self.wordings]
        return await search(problem, params, Full([Ask(candidate) for candidate in candidates]))


# [end]


def shout(asked: Asked) -> Answer:
    """An LM that follows one instruction only."""
    word = asked.inputs["word"]
    return {"loud": word.upper() if "capital letters" in asked.instruction else word}


if __name__ == "__main__":
    rows = [{"word": f"word{i}", "loud": f"WORD{i}"} for i in range(120)]
    with tempfile.TemporaryDirectory() as folder:
        result = lp.compile(
            lp.Predict("word -> loud"),
            train=rows,
            metric=lambda row, prediction: prediction.loud == row["loud"],
            optimizer=Wordings(["Say it again.", "Write the word in capital letters."]),
            lm=ScriptedLM(shout),
            run_dir=f"{folder}/run",
        )
        print(result.certificate)
        print(result.baseline_params.diff(result.params))
        assert result.shipped == "compiled"
