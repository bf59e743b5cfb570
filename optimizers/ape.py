"""APE: induce many instructions from examples, filter them on ever more rows, resample the best (arXiv:2211.01910)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.induce import induce, rephrase, worked_examples
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.select.resample import Resample, runs
from lmprog.params import Demo, Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, search


@dataclass(frozen=True, slots=True)
class Ape:
    """Have `subsamples` times `proposals` instructions induced from `demos` examples each, and the best reworded.

    For each predictor in turn: the induced pool is filtered, on `rows` validation rows and then on twice as many for
    the better half, until `top` are left. These are reworded `variations` times each, and filtered with the new ones,
    `iterations` times over (iterative Monte Carlo search; the paper finds that more bring little). The best of each pool
    gets a full score, and the next predictor's turn goes on from the best of all. Where the budget is short, each pool
    is as large as its part of what is left pays for.

    Departures from the paper: a program may have several predictors; halving in place of a threshold or of the UCB bandit
    of the authors' code; scores are the program's metric, not a log-likelihood; the program's own instruction is in the
    pool. Replies are drawn without their nucleus of 0.9, and the first of each request is the likeliest.
    """

    subsamples: int = 5
    proposals: int = 50
    demos: int = 5
    rows: int = 10
    top: int = 5
    iterations: int = 1
    variations: int = 10

    def __post_init__(self) -> None:
        require(self, subsamples=1, proposals=1, demos=1, rows=1, top=1, iterations=0, variations=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with the best instructions found, or as they were. One proposer call and about 3 `rows` runs
        of the program for each candidate, and a full score for each pool; `worked_examples` may run training rows.
        """
        order = list(range(len(problem.val)))
        problem.rng("rows").shuffle(order)

        async def prepared() -> Resample:
            examples = await worked_examples(problem, params, wanted=self.demos * self.subsamples)
            pools = _Pools(self, problem, params, examples)
            return Resample(params, pools.next, order, rows=self.rows, top=self.top)

        return await search(problem, params, Prepared(prepared), ahead=2)


class _Pools:
    """The pools in their order: for each predictor the induced, then the reworded."""

    def __init__(self, options: Ape, problem: Problem, params: Params, examples: Mapping[str, Sequence[Demo]]) -> None:
        self._options, self._problem, self._examples = options, problem, examples
        self._todo = [(path, iteration) for path in params for iteration in range(options.iterations + 1)]
        self._known = {params.fingerprint: params}

    async def next(self, left: Sequence[Params], table: ScoreTable) -> Sequence[Ask] | None:
        """Return the next pool: the candidates left of the pool before, or to begin with the best of all, and new ones."""
        if not self._todo:
            return None
        options, (path, iteration) = self._options, self._todo[0]
        most = options.variations * len(left) if iteration else options.subsamples * options.proposals
        count = self._affordable(most)
        del self._todo[0]
        if iteration:
            first = options.variations * (iteration - 1)
            texts = [params[path].instruction for params in left]
            written = await rephrase(self._problem, texts, count=count, first=first)
        else:
            full = [name for name in self._known if table.is_full(name)]
            left, shown = [self._known[max(full, key=table.mean)]], self._examples[path]
            sets, demos = options.subsamples, options.demos
            found = await induce(self._problem, path, shown, count=count, subsamples=sets, demos=demos)
            written = [(0, text) for text in found]
        origin = f"{path}: {'reworded' if iteration else 'induced'}"
        made = [
            Ask(left[index].replace(path, instruction=text), origin=origin, parents=(left[index].fingerprint,))
            for index, text in written
        ]
        new = {ask.params.fingerprint: ask for ask in made if not self._problem.faults(ask.params)}
        new = {name: ask for name, ask in new.items() if name not in self._known}
        self._known |= {name: ask.params for name, ask in new.items()}
        self._problem.ended("proposals", instructions=len(new))
        return [*(Ask(params, origin=origin) for params in left), *new.values()]

    def _affordable(self, most: int) -> int:
        """Return how many new candidates, up to `most`, the next pool's part of the allowance pays for, beside a full score."""
        allowance, total, options = self._problem.allowance, len(self._problem.val), self._options
        part = allowance.left / len(self._todo) - allowance.for_rows(total)

        def calls(count: int) -> int:
            return count + allowance.for_rows(runs(count, rows=options.rows, top=options.top, total=total))

        return next((count for count in range(most, 0, -1) if calls(count) <= part), 0)
