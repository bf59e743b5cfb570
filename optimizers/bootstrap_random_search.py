"""Bootstrap few-shot with random search: many bootstrapped demo sets, each scored in full (arXiv:2310.03714).

The baseline that a prompt optimizer has to beat at the same budget and with the same teacher.
"""

from dataclasses import dataclass

from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.demos import bootstrap, sets_of, with_demos
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.params import Params
from lmprog.search import Ask, search


@dataclass(frozen=True, slots=True)
class BootstrapRandomSearch:
    """Score `candidates` demo sets on all validation rows: labels only, successes in order, then random successes.

    Unlike DSPy's BootstrapFewShotWithRandomSearch the sets are drawn from one pool of successes, and all are scored at once;
    where the budget is short the last are left out.
    """

    candidates: int = 16
    bootstrapped: int = 4
    labeled: int = 16
    attempts: int = 2

    def __post_init__(self) -> None:
        require(self, candidates=1, bootstrapped=0, labeled=0, attempts=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with the best demo set, or as they were. One full evaluation per candidate."""

        async def candidates() -> Full:
            wanted = -(-self.candidates * self.bootstrapped // 2)
            successes = await bootstrap(problem, params, wanted=wanted, attempts=self.attempts, shown=self.labeled)
            made = sets_of(
                problem,
                params,
                successes,
                count=self.candidates + 1,
                bootstrapped=self.bootstrapped,
                most_labeled=self.labeled,
            )
            problem.ended("demos", successes=len(successes), demo_sets=len(made))
            sets = list(enumerate(made))[1:]
            return Full([Ask(with_demos(params, demos), origin=f"demo set {number}") for number, demos in sets])

        return await search(problem, params, Prepared(candidates), ahead=2)
