"""Bootstrap few-shot: demos from the program's own successful runs (Khattab et al. 2023, arXiv:2310.03714)."""

from dataclasses import dataclass

from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.demos import bootstrap, complete_labels, compose, with_demos
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.params import Params
from lmprog.search import Ask, search


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Give every predictor demos from `bootstrapped` training rows that a teacher got right, filled up with labels.

    Unlike DSPy's BootstrapFewShot the training rows run at once, and the result is kept only if it scores at least
    as well on the validation rows.
    """

    bootstrapped: int = 4
    labeled: int = 16
    attempts: int = 2

    def __post_init__(self) -> None:
        require(self, bootstrapped=0, labeled=0, attempts=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with bootstrapped demos, or as they were. Up to the training rows, and two full evaluations."""

        async def candidate() -> Full:
            successes = await bootstrap(
                problem, params, wanted=self.bootstrapped, attempts=self.attempts, shown=self.labeled
            )
            rng = problem.rng("bootstrap demos")
            labels = complete_labels(problem)
            made = compose(labels, successes[: self.bootstrapped], rng, most_labeled=self.labeled)
            problem.ended("demos", successes=len(successes))
            return Full([Ask(with_demos(params, made), origin="bootstrapped demos")])

        return await search(problem, params, Prepared(candidate), ahead=2)
