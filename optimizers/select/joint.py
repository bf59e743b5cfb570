"""Joint search over one choice per predictor and part, with Optuna's TPE as the surrogate."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import optuna

from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told

Combo = tuple[int, ...]
"""One option of each choice, in the order of the choices."""

TRIES = 30
"""Suggestions drawn for one place in a round before the space is taken for searched through."""


class Joint:
    """A categorical space searched by TPE: `width` combinations a round on one minibatch, and full scores now and then.

    Option 0 of every choice is the program as it was. All candidates of a round share their rows, and what the
    surrogate is told is adjusted for how hard these rows are. After every `full_every` trials the best
    combination without a full score gets one in the next round. Rounds may be asked before those under way are told.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        build: Callable[[Combo], Params],
        rows: Callable[[int], tuple[int, ...] | None],
        *,
        seed: int,
        trials: int | None,
        width: int,
        full_every: int,
        describe: Callable[[Combo], str],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=False, constant_liar=True, n_startup_trials=10, n_ei_candidates=24
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space: dict[str, optuna.distributions.BaseDistribution] = {
            f"choice {i}": optuna.distributions.CategoricalDistribution(tuple(range(n))) for i, n in enumerate(sizes)
        }
        self._build, self._rows, self._describe = build, rows, describe
        self._trials, self._width, self._full_every = trials, width, full_every
        self._origin: Combo = (0,) * len(sizes)
        self._round = self._done = self._full_at = 0
        self._names: dict[Combo, str] = {}
        self._under_way: deque[list[tuple[Ask, optuna.trial.Trial | None]]] = deque()
        self._refused: set[str] = set()
        self._table: ScoreTable | None = None
        self._baseline_told = False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return the next combinations to try, and a candidate for a full score when one is due."""
        self._table, self._round = table, self._round + 1
        self._tell_baseline(table)
        wishes = [*self._full(table), *self._fresh(table)]
        if wishes:
            self._under_way.append(wishes)
        return [ask for ask, _ in wishes]

    def tell(self, told: Sequence[Told], /) -> None:
        """Give the surrogate what was measured."""
        assert self._table is not None
        estimates = self._table.adjusted()
        results = {id(one.ask): one for one in told}
        for ask, trial in self._under_way.popleft():
            one = results.get(id(ask))
            if trial is None:
                continue
            if one is not None and one.evaluation is None:
                self._refused.add(ask.params.fingerprint)
            if one is None or one.evaluation is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._done += 1
                self._study.tell(trial, estimates[ask.params.fingerprint])

    def _tell_baseline(self, table: ScoreTable) -> None:
        """Tell the surrogate about trial 0, once it is known."""
        name = self._name(self._origin)
        if self._baseline_told or not table.n(name):
            return
        self._baseline_told = True
        params, score = dict.fromkeys(self._space, 0), table.mean(name)
        self._study.add_trial(optuna.trial.create_trial(params=params, distributions=self._space, value=score))

    def _names_under_way(self) -> set[str]:
        return {ask.params.fingerprint for wishes in self._under_way for ask, _ in wishes}

    def _full(self, table: ScoreTable) -> list[tuple[Ask, optuna.trial.Trial | None]]:
        if self._done < self._full_at + self._full_every:
            return []
        self._full_at = self._done
        estimates = table.adjusted()
        under_way = self._names_under_way()
        partial = [name for name in table.candidates if not table.is_full(name) and name not in under_way]
        if not partial:
            return []
        best = max(partial, key=lambda name: (estimates[name], -table.candidates.index(name)))
        combo = next(combo for combo, name in self._names.items() if name == best)
        return [
            (Ask(self._build(combo), tuple(table.missing(best)), origin=f"full score of {self._describe(combo)}"), None)
        ]

    def _fresh(self, table: ScoreTable) -> list[tuple[Ask, optuna.trial.Trial | None]]:
        chosen: list[tuple[Ask, optuna.trial.Trial | None]] = []
        rows, estimates = self._rows(self._round), table.adjusted()
        taken = {name for name in table.candidates if table.is_full(name)} | self._refused | self._names_under_way()
        taken.add(self._name(self._origin))
        most = self._width
        if self._trials is not None:
            under_way = sum(trial is not None for wishes in self._under_way for _, trial in wishes)
            most = min(most, self._trials - self._done - under_way)
        while len(chosen) < most:
            drawn = self._suggested(taken, estimates)
            if drawn is None:
                break
            combo, params, trial = drawn
            taken.add(params.fingerprint)
            chosen.append((Ask(params, rows, origin=self._describe(combo)), trial))
        return chosen

    def _suggested(self, taken: set[str], estimates: Mapping[str, float]) -> tuple[Combo, Params, optuna.Trial] | None:
        """Return the surrogate's next combination that is not taken; told what is known of those that are."""
        for _ in range(TRIES):
            trial = self._study.ask(self._space)
            combo: Combo = tuple(trial.params[name] for name in self._space)
            name = self._name(combo)
            if name not in taken:
                return combo, self._build(combo), trial
            if name in estimates:
                self._study.tell(trial, estimates[name])
            else:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None

    def _name(self, combo: Combo) -> str:
        if combo not in self._names:
            self._names[combo] = self._build(combo).fingerprint
        return self._names[combo]
