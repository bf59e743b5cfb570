"""Choosing among given candidates, with as few calls as that takes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from lmprog.budget import FULL_EVERY, MINIBATCH, MINIBATCH_ABOVE
from lmprog.errors import InputError
from lmprog.module import check_params
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.beliefs import Beliefs
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.halving import Halving
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, search

PolicyName = Literal["rejects", "halving", "tpe", "full", "random"]
Policy = Callable[[Problem, Sequence[Params]], Awaitable[Outcome]]
"""Searches among candidates, of which the first is the program as it was."""

STEP = 1.15
"""Of how many candidates `rejects` drops one in each stage, less one: about one in eight."""
TRIALS_AT_MOST = 1000
"""Of "tpe", which the budget ends as a rule."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The best of `candidates` and the program as it was, within the budget; no LM is asked for new ones.

    `policy` says how: "rejects", the default, drops the least promising few at a time, by all scores and by how alike
    the prompts are (`select/beliefs.py`); "halving" is Sequential Halving (Karnin et al. 2013); "tpe" is MIPROv2's
    search over one choice; "full" scores as many as the budget allows on all validation rows; "random" picks one. Or it
    is a function from a problem and candidates to an Outcome.

    With "rejects" and "halving" the outcome's scores are estimates, and the program as it was is one candidate of many:
    a full score for it would leave a small budget with nothing to choose by. The certificate compares the two anyway.
    """

    candidates: Sequence[Params]
    policy: PolicyName | Policy = "rejects"

    def __post_init__(self) -> None:
        if not self.candidates:
            raise InputError("Pool(candidates=[]) has nothing to choose from: give params, such as [result.params].")
        for one in self.candidates:
            if not isinstance(cast("object", one), Params):
                raise InputError(f"Pool(candidates=...) holds {one!r:.200}: give params, such as [result.params].")
        if isinstance(self.policy, str) and self.policy not in _POLICIES:
            raise InputError(
                f"Pool(policy={self.policy!r}): there are {list(get_args(PolicyName))}, or give a function."
            )

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the candidate that the policy chooses."""
        given = [check_params(problem.program, candidate) for candidate in self.candidates]
        faults = {one.fingerprint: problem.faults(one) for one in given}
        refused = [found for name, found in faults.items() if found and name != params.fingerprint]
        if refused:
            problem.ended("refused", candidates=len(refused), why="; ".join(refused[0]))
        given = [one for one in given if not faults[one.fingerprint]]
        candidates = list({one.fingerprint: one for one in (params, *given)}.values())
        policy = self.policy if callable(self.policy) else _POLICIES[self.policy]
        return await policy(problem, candidates)


async def _rejects(problem: Problem, candidates: Sequence[Params]) -> Outcome:
    beliefs, numbers = Beliefs(candidates), {params.fingerprint: i for i, params in enumerate(candidates)}

    def rank(table: ScoreTable, names: Sequence[str]) -> list[str]:
        means = beliefs.means(table)
        return sorted(names, key=lambda name: -means[numbers[name]])

    halving = Halving(problem, candidates, rank, factor=STEP)
    return await search(problem, candidates[0], halving, choose=halving.choose)


async def _halving(problem: Problem, candidates: Sequence[Params]) -> Outcome:
    halving = Halving(problem, candidates, by_mean, factor=2.0)
    return await search(problem, candidates[0], halving, choose=halving.choose)


async def _full(problem: Problem, candidates: Sequence[Params]) -> Outcome:
    return await search(problem, candidates[0], Full([Ask(params, origin="given") for params in candidates[1:]]))


async def _random(problem: Problem, candidates: Sequence[Params]) -> Outcome:
    picked = problem.rng("pool").choice(candidates)
    full = Full([Ask(candidates[0]), Ask(picked, origin="given")])
    return await search(problem, candidates[0], full, choose=lambda table: picked.fingerprint)


async def _tpe(problem: Problem, candidates: Sequence[Params]) -> Outcome:
    from lmprog.optimizers.select.v2 import V2, search_v2  # optuna takes long to import

    async def made() -> V2:
        return V2(
            problem,
            lambda combo: candidates[combo[0]],
            instructions=[len(candidates)],
            trials=TRIALS_AT_MOST,
            minibatch=MINIBATCH if len(problem.val) > MINIBATCH_ABOVE else None,
            full_every=FULL_EVERY,
        )

    return await search_v2(problem, candidates[0], made)


def by_mean(table: ScoreTable, names: Sequence[str]) -> list[str]:
    """Return candidates that were run on the same rows, the best first."""
    return sorted(names, key=lambda name: -table.mean(name) if table.n(name) else 0.0)


_POLICIES: Mapping[str, Policy] = {
    "rejects": _rejects,
    "halving": _halving,
    "tpe": _tpe,
    "full": _full,
    "random": _random,
}
