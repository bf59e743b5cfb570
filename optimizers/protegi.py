"""ProTeGi: textual gradients and a beam that a bandit chooses (Pryzant et al. 2023, arXiv:2305.03495)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from math import inf
from random import Random

from lmprog import loop
from lmprog.errors import InputError
from lmprog.evaluation import Run
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.critique import Case, case_of, edited, paraphrased
from lmprog.optimizers.select.beam import Bandit, Beam
from lmprog.optimizers.select.rows import Minibatches
from lmprog.params import Params
from lmprog.search import Ask, search


@dataclass(frozen=True, slots=True)
class Protegi:
    """Edit the instructions of a beam by critiques of their failures, for `rounds`, and keep the best by UCB.

    In a round each of the `beam` members runs `minibatch` training rows. From each of `gradients` groups of `errors`
    failures the proposer says what is wrong (a gradient) and edits the instruction; each edit and the member itself have
    `paraphrases`; `successors` of all these, drawn at random, meet the members and each other in the bandit.

    Departures from the paper, which has one predictor and scores on training rows: the groups go through the predictors
    in turn, the bandit scores on validation rows, and where the budget does not last, rounds are smaller. Groups of
    their own for each gradient are the reference code's; its default of scoring every candidate on all rows is not
    followed.
    """

    beam: int = 4
    rounds: int = 6
    minibatch: int = 64
    gradients: int = 4
    errors: int = 4
    paraphrases: int = 2
    successors: int = 8
    pull_rounds: int = 8
    pull_width: int = 8
    pull_rows: int = 32
    exploration: float = 1.0

    def __post_init__(self) -> None:
        require(self, beam=1, rounds=1, minibatch=1, gradients=1, errors=1, paraphrases=0, successors=1)
        require(self, pull_rounds=1, pull_width=1, pull_rows=1)
        if not 0 <= self.exploration < inf:
            raise InputError(f"Protegi(exploration={self.exploration}): `exploration` must be 0 or more, and finite.")

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best params found. With the defaults, rounds of up to 256 training runs, 64 proposer calls and
        2048 validation runs.
        """
        successors = _Successors(self, problem)
        bandit = Bandit(self.pull_rounds, self.pull_width, self.pull_rows, self.exploration)
        selector = Beam(problem, params, successors.of, bandit, beam=self.beam, rounds=self.rounds)
        return await search(problem, params, selector, ahead=2)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A successor: an edit as it is, or a paraphrase of these params that is still to be written."""

    path: str
    params: Params
    sample: int | None = None

    @property
    def kind(self) -> str:
        """What it is, in a word."""
        return "edit" if self.sample is None else "paraphrase"


class _Successors:
    """Makes the successors of a beam."""

    def __init__(self, options: Protegi, problem: Problem) -> None:
        self._options, self._problem = options, problem
        self.proposals = 2 * options.gradients + options.successors
        """Proposer calls for one member of a beam, at most."""

    async def of(self, number: int, members: Sequence[Params], calls: float) -> list[Ask]:
        """Return successors of the members; of the first ones alone where the calls do not suffice for all."""
        allowance, options = self._problem.allowance, self._options
        least = self.proposals + allowance.for_rows(options.errors)
        chosen = members if calls == inf else members[: int(calls // least)]
        if not chosen:
            return []
        rows = min(options.minibatch, (calls / len(chosen) - self.proposals) / allowance.calls_per_row)
        train = replace(self._problem, val=self._problem.train)  # the rows that the minibatches are of
        batch = Minibatches(train, max(1, int(rows))).of_round(number)
        work = [self._of_one(params, batch, number, place) for place, params in enumerate(chosen)]
        return [ask for asks in await loop.gather(work) for ask in asks]

    async def _of_one(self, params: Params, batch: Sequence[int] | None, number: int, place: int) -> list[Ask]:
        """Return successors of one member: none where it made no mistake on the minibatch."""
        options, problem = self._options, self._problem
        rng = problem.rng("successors", number, place)
        runs = (await problem.evaluate(params, batch, on="train")).runs
        groups = self._groups(params, runs, rng)
        if not groups:
            return []
        first = (number * options.beam + place) * options.gradients * (options.paraphrases + 2)  # samples of its own
        tries = [edited(problem, params, path, group, first + i) for i, (path, group) in enumerate(groups)]
        made = await loop.gather(tries)
        edits = [_Slot(path, edit) for (path, _), edit in zip(groups, made, strict=True) if edit]
        sources = [*edits, _Slot(groups[0][0], params)] * options.paraphrases
        slots = edits + [replace(source, sample=first + i) for i, source in enumerate(sources)]
        kept = rng.sample(slots, min(options.successors, len(slots)))
        filled = await loop.gather([self._filled(slot) for slot in kept])
        return [
            Ask(child, origin=f"`{slot.path}`, {slot.kind} in round {number}", parents=(params.fingerprint,))
            for slot, child in zip(kept, filled, strict=True)
            if child is not None
        ]

    def _groups(self, params: Params, runs: Sequence[Run], rng: Random) -> list[tuple[str, list[Case]]]:
        """Return groups of failures, each with the predictor that it is about: those that made calls, in turn."""
        wrong, paths = [run for run in runs if run.score.value < 1], list(params)
        start = rng.randrange(len(paths))
        failed = {path: self._cases(path, wrong) for path in paths[start:] + paths[:start]}
        known = [(path, cases) for path, cases in failed.items() if cases]
        chosen = islice(cycle(known), self._options.gradients)
        return [(path, rng.sample(cases, min(self._options.errors, len(cases)))) for path, cases in chosen]

    def _cases(self, path: str, runs: Sequence[Run]) -> list[Case]:
        return [case for run in runs if (case := case_of(self._problem, path, run)) is not None]

    async def _filled(self, slot: _Slot) -> Params | None:
        if slot.sample is None:
            return slot.params
        return await paraphrased(self._problem, slot.params, slot.path, slot.sample)
