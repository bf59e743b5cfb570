"""MIPROv2's search as DSPy 3.4.1 has it: the same combinations on the same rows, and the same winner."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import optuna

from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.select.surrogates import Combo
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Selector, Told, search


def trials(candidates: int, choices: int) -> int:
    """Return MIPROv2's number of trials for n `candidates` of each choice; choices are two per predictor with demo sets."""
    return max(1, int(max(2 * choices * math.log2(candidates), 1.5 * candidates)))


@dataclass(frozen=True, slots=True)
class Winner:
    """The best of the combinations that MIPROv2 holds for fully scored."""

    params: Params
    score: float


class V2:
    """TPE over instructions and demo sets, one combination a round: given the same candidates and scores, DSPy's decisions.

    Each trial draws a minibatch of its own. After every `full_every` trials and after the last, the combination with the
    highest mean over its minibatches is scored on all rows, of those that were not. Minibatch scores, full scores and the
    baseline's weigh the same to the surrogate. Without `minibatch` every trial runs on all rows.

    `instructions` and `demo_sets` are how many each predictor has to choose from, the first being those of the program as
    it was. A combination is the instruction of the first predictor, its demo set if there are any, and so on. The seed is
    that of the surrogate and of the minibatches.

    What differs is where DSPy has made no choice. It overlooks seed 0, refuses a minibatch larger than the validation set
    (all of it, here), and raises when a full score is due and each combination tried has one: here trials go on until all
    combinations do. It has no budget: here a last full score takes the place of a trial that would leave no calls for it.
    Params that break the contract of prompts score 0, as an evaluation that raises does there.
    """

    def __init__(
        self,
        problem: Problem,
        build: Callable[[Combo], Params],
        *,
        instructions: Sequence[int],
        demo_sets: Sequence[int] = (),
        trials: int,
        minibatch: int | None,
        full_every: int,
        describe: Callable[[Combo], str] = str,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # DSPy leaves the other arguments to Optuna. The sampler draws in the order of the names: they are DSPy's, too.
        sampler = optuna.samplers.TPESampler(seed=problem.seed, multivariate=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space: dict[str, optuna.distributions.BaseDistribution] = {}
        for i, count in enumerate(instructions):
            self._space[f"{i}_predictor_instruction"] = _one_of(count)
            if demo_sets:
                self._space[f"{i}_predictor_demos"] = _one_of(demo_sets[i])
        self._combos = math.prod([*instructions, *demo_sets])
        self._rng = random.Random(problem.seed)
        self._allowance, self._rows = problem.allowance, len(problem.val)
        self._build, self._describe = build, describe
        self._trials, self._full_every, self._minibatch = trials, full_every, minibatch
        self._done, self._full_due = 0, False
        self._under_way: tuple[Combo, optuna.trial.Trial | None] | None = None
        self._of_minibatches: dict[Combo, list[float]] = {}
        self._full: set[Combo] = set()
        self._refused: set[Combo] = set()
        self._best = -1.0
        self.winner: Winner | None = None
        """None while nothing is better than the program as it was."""

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return the full score that is due, or the surrogate's next combination; nothing while one is under way."""
        if self._under_way is not None or not table.candidates:
            return []
        if self._best < 0:
            self._tell_baseline(table)
        self._save_for_full()
        if self._full_due:
            self._full_due = False
            combo = self._most_hopeful()
            if combo is not None:
                return self._wish(combo, None, None)
        if self._done == self._trials or len(self._full | self._refused) == self._combos:
            return []
        trial = self._study.ask(self._space)
        return self._wish(tuple(trial.params[name] for name in self._space), trial, self._drawn())

    def tell(self, told: Sequence[Told], /) -> None:
        """Give the surrogate what was measured, and see whether a full score is due."""
        (one,) = told
        assert self._under_way is not None
        (combo, trial), self._under_way = self._under_way, None
        score = _percent(one.evaluation.scores) if one.evaluation else 0.0
        if one.evaluation is None:
            self._refused.add(combo)
        if trial is None:
            self._full.add(combo)
            self._study.add_trial(self._finished(combo, score))
        else:
            self._study.tell(trial, score)
            self._done += 1
            self._of_minibatches.setdefault(combo, []).append(score)
            over = self._done % self._full_every == 0 or self._done == self._trials
            self._full_due = self._minibatch is not None and over
        in_full = trial is None or self._minibatch is None
        if in_full and one.evaluation and score > self._best:
            self._best, self.winner = score, Winner(one.ask.params, one.evaluation.score)

    def _tell_baseline(self, table: ScoreTable) -> None:
        """Tell the surrogate about trial 0, whose combination counts as not fully scored even so."""
        scores = table.scores(table.candidates[0])
        self._best = _percent([scores[row] for row in range(table.rows)])
        self._study.add_trial(self._finished((0,) * len(self._space), self._best))

    def _save_for_full(self) -> None:
        if self._minibatch is None or self._full_due or self._done == self._trials:
            return
        needed = self._allowance.for_rows(min(self._minibatch, self._rows)) + self._allowance.for_rows(self._rows)
        if self._allowance.left < needed:
            self._trials, self._full_due = self._done, self._done % self._full_every != 0

    def _most_hopeful(self) -> Combo | None:
        """Return the combination of the highest mean among those not fully scored, of equals the one tried first."""
        means = {
            combo: sum(scores) / len(scores)
            for combo, scores in self._of_minibatches.items()
            if combo not in self._full and combo not in self._refused
        }
        return max(means, key=lambda combo: means[combo], default=None)

    def _drawn(self) -> tuple[int, ...] | None:
        if self._minibatch is None or self._minibatch >= self._rows:
            return None
        return tuple(self._rng.sample(range(self._rows), self._minibatch))

    def _wish(self, combo: Combo, trial: optuna.trial.Trial | None, rows: tuple[int, ...] | None) -> list[Ask]:
        self._under_way = (combo, trial)
        described = self._describe(combo)
        return [Ask(self._build(combo), rows, origin=described if trial else f"full score of {described}")]

    def _finished(self, combo: Combo, score: float) -> optuna.trial.FrozenTrial:
        params = dict(zip(self._space, combo, strict=True))
        return optuna.trial.create_trial(params=params, distributions=self._space, value=score)


async def search_v2(problem: Problem, params: Params, make: Callable[[], Awaitable[V2]]) -> Outcome:
    """Search with the selector that `make` returns, and return MIPROv2's winner.

    The kernel's may be another: to it a candidate is fully scored once minibatches together hold every row, and it does
    not round.
    """
    made: list[V2] = []

    async def make_once() -> Selector:
        made.append(await make())
        return made[0]

    outcome = await search(problem, params, Prepared(make_once), finalists=0)
    winner = (made[0].winner if made else None) or Winner(params, outcome.baseline_score)
    return replace(outcome, params=winner.params, score=winner.score)


def _one_of(count: int) -> optuna.distributions.CategoricalDistribution:
    return optuna.distributions.CategoricalDistribution(tuple(range(count)))


def _percent(scores: Sequence[float]) -> float:
    """Return the mean as DSPy's evaluation does, whose ties come of the rounding."""
    return round(100 * sum(scores) / len(scores), 2)
