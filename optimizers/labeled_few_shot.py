"""Labelled few-shot: demos straight from the labels of training rows. No LM call but for scoring."""

from dataclasses import dataclass

from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.demos import draw, labeled
from lmprog.optimizers.select.full import Full
from lmprog.params import Params
from lmprog.search import Ask, search


@dataclass(frozen=True, slots=True)
class LabeledFewShot:
    """Give every predictor `demos` random training rows that label its outputs; keep them if they help on validation rows.

    A predictor whose outputs no row labels, as inner stages mostly are, stays as it is. DSPy's LabeledFewShot is
    the same without the comparison; its 16 demos are the default.
    """

    demos: int = 16

    def __post_init__(self) -> None:
        require(self, demos=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with labelled demos, or as they were where that scores better. Two full evaluations."""
        chosen = params
        for path in params:
            found = draw(problem.rng("labeled", path), labeled(problem, path), self.demos)
            chosen = chosen.replace(path, demos=found or params[path].demos)
        return await search(problem, params, Full([Ask(chosen, origin="labelled demos")]))
