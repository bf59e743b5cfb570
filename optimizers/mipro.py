"""MIPRO: joint search over every predictor's instruction and demo set (Opsahl-Ong et al. 2024, arXiv:2406.11695)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from lmprog.budget import BOOTSTRAPPED, FULL_EVERY, MINIBATCH, MINIBATCH_ABOVE
from lmprog.budget import trials as paper_trials
from lmprog.errors import CapReached
from lmprog.optimizer import Outcome, Problem, Work, require
from lmprog.optimizers.propose.demos import SHARE, DemoSets, Success, bootstrap, examples_of, sets_of
from lmprog.optimizers.propose.grounded import Proposal, propose, summarize, summarizes
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.select.rows import Minibatches
from lmprog.params import Params
from lmprog.search import Selector, search

ROUNDS_A_BATCH = 2
"""Rounds in a row that share their rows: candidates are compared, and calls that they share are made once."""


@dataclass(frozen=True, slots=True)
class Mipro:
    """Bootstrap demo sets, propose grounded instructions, then search all combinations with a TPE surrogate.

    `candidates` (n in the paper) is the number of instructions and of demo sets per predictor; the program as it
    was is the first of each. Trials run on minibatches where there are more than `minibatch_above` validation rows, in
    rounds of `width`, of which `ahead` are under way at once; every `full_every` trials the best is scored on all
    rows. Without `trials`
    there are up to twice the paper's: 2 max(2 v log2 n, 1.5 n), with v = two choices per predictor; calls that
    candidates share are made once, so most of these fit a budget of the paper's size.

    Departures from the paper: trials run side by side, four share their rows, and scores are adjusted for how hard
    the rows are.
    """

    candidates: int = 6
    trials: int | None = None
    minibatch: int = MINIBATCH
    minibatch_above: int = MINIBATCH_ABOVE
    full_every: int = FULL_EVERY
    width: int = 2
    ahead: int = 3
    bootstrapped: int = BOOTSTRAPPED
    labeled: int = 4

    def __post_init__(self) -> None:
        require(self, candidates=1, trials=1, minibatch=1, minibatch_above=0, full_every=1, width=1, ahead=1)
        require(self, bootstrapped=0, labeled=0)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best combination found; never one that is worse on the validation rows than `params`."""
        return await search(problem, params, Prepared(lambda: self._joint(problem, params)), ahead=self.ahead)

    async def _joint(self, problem: Problem, params: Params) -> Selector:
        """Find demos, have instructions proposed, and return the selector of their combinations."""
        summary = problem.begin(summarize(problem), calls=1) if summarizes(self._affordable(problem, params)) else None
        loaded = asyncio.ensure_future(asyncio.to_thread(import_module, "optuna"))  # as long as many calls take
        try:
            wanted = -(-self.candidates * self.bootstrapped // 2)
            successes = await bootstrap(problem, params, wanted=wanted)
            demo_sets = sets_of(
                problem,
                params,
                successes,
                count=self.candidates,
                bootstrapped=self.bootstrapped,
                most_labeled=self.labeled,
            )
            problem.ended("demos", successes=len(successes), demo_sets=len(demo_sets))
            proposals = await self._proposals(problem, params, successes, summary)
            problem.ended("proposals", instructions=sum(map(len, proposals.values())))
        finally:
            await asyncio.wait([loaded])
            if summary is not None:
                await summary.drop()
        from lmprog.optimizers.select.joint import Joint

        space, batches = Space(params, proposals, demo_sets), Minibatches(problem, self.minibatch, self.minibatch_above)
        return Joint(
            space.sizes,
            space.build,
            rows=lambda number: batches.of_round((number + 1) // ROUNDS_A_BATCH),
            describe=space.describe,
            seed=problem.seed,
            trials=self.trials or 2 * paper_trials(self.candidates, len(params)),
            width=self.width,
            full_every=self.full_every,
        )

    def _affordable(self, problem: Problem, params: Params) -> int:
        """Return the number of instructions, the present one among them, that a fifth of the allowance pays for."""
        affordable = problem.allowance.left * SHARE / len(params)
        return self.candidates if affordable >= self.candidates else 1 + max(0, int(affordable))

    async def _proposals(
        self, problem: Problem, params: Params, successes: Sequence[Success], summary: Work[str] | None
    ) -> dict[str, list[Proposal]]:
        """Return the instructions, the present ones first; what is recorded may be searched where a cap leaves no more."""
        count, examples = self._affordable(problem, params), examples_of(params, successes)
        try:
            found = None if summary is None else await summary.result()
            work = propose(problem, params, examples, count=count, summary=found)
            return await problem.begin(work, calls=count * len(params)).result()
        except CapReached:
            return await propose(problem, params, {}, count=1)


class Space:
    """Every predictor's instructions and demo sets: a combination picks one of each per predictor."""

    def __init__(
        self, params: Params, proposals: Mapping[str, Sequence[Proposal]], demo_sets: Sequence[DemoSets]
    ) -> None:
        self._params, self._proposals, self._demo_sets = params, proposals, demo_sets

    @property
    def sizes(self) -> list[int]:
        """How many options each choice has: instruction and demo set of each predictor in turn."""
        return [size for path in self._params for size in (len(self._proposals[path]), len(self._demo_sets))]

    def build(self, combo: tuple[int, ...]) -> Params:
        """Return the params that a combination stands for."""
        params = self._params
        for path, (instruction, demos) in self._chosen(combo):
            params = params.replace(
                path, instruction=self._proposals[path][instruction].instruction, demos=self._demo_sets[demos][path]
            )
        return params

    def describe(self, combo: tuple[int, ...]) -> str:
        """Return the choices that differ from the program as it was."""
        parts = [
            f"{path}: instruction {instruction}, demo set {demos}"
            for path, (instruction, demos) in self._chosen(combo)
            if instruction or demos
        ]
        return "; ".join(parts) or "the program as it was"

    def _chosen(self, combo: tuple[int, ...]) -> list[tuple[str, tuple[int, int]]]:
        return list(zip(self._params, zip(combo[::2], combo[1::2], strict=True), strict=True))
