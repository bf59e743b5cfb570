"""OPRO: an LM that sees what was tried and how it scored proposes the next instructions (arXiv:2309.03409)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.history import improve
from lmprog.optimizers.propose.induce import worked_examples
from lmprog.optimizers.select.prepared import Prepared
from lmprog.params import Demo, Params
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told, search

LEAST_STEPS, LEAST_ROWS = 10, 20
"""Where a budget is short, candidates are scored on fewer rows, for so many steps to fit; not on fewer than these."""
BARREN = 2
"""Times in a row that every predictor's turn may bring nothing new before the search ends."""


@dataclass(frozen=True, slots=True)
class Opro:
    """In each step have `per_step` instructions proposed from the `history` best so far and `exemplars`; score them.

    The proposer sees instructions with scores from 0 to 100 in ascending order, the program's own among them, and no
    score is too low to be shown (the authors' code hides those below a threshold, and may show none). It has to learn
    from them, which takes a larger LM than the embedded one. All candidates are scored on the same `rows` random
    validation rows, fewer where the budget is short, and after every `full_every` steps the best of them on all.

    Departures from the paper: predictors take turns, each from the best program so far, where the paper has one prompt;
    instructions stand where the program's format puts them, and the first is the program's own; candidates are scored
    on validation rows, as the proposer sees training rows; and the search ends when nothing new is proposed.
    """

    steps: int = 200
    per_step: int = 8
    history: int = 20
    exemplars: int = 3
    rows: int = 50
    full_every: int = 3

    def __post_init__(self) -> None:
        require(self, steps=1, per_step=1, history=1, exemplars=0, rows=1, full_every=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with the best instructions found, or as they were. A step takes `per_step` proposer calls
        and as many runs of the program on `rows` rows; before the first, `worked_examples` may run training rows.
        """

        async def steps() -> _Steps:
            examples = await worked_examples(problem, params, wanted=4 * self.exemplars) if self.exemplars else {}
            return _Steps(self, problem, params, examples)

        return await search(problem, params, Prepared(steps), ahead=2)


class _Steps:
    """A step a round; each is asked for when the one before has been told."""

    def __init__(self, options: Opro, problem: Problem, params: Params, examples: Mapping[str, Sequence[Demo]]) -> None:
        self._options, self._problem, self._examples = options, problem, examples
        self._paths = list(params)
        self._candidates = {params.fingerprint: params}
        self._rows: tuple[int, ...] | None = None
        self._step = self._barren = 0
        self._under_way = False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return the next step's candidates, and a full score when one is due; nothing while a step is under way."""
        if self._under_way or not table.candidates:
            return []
        if not self._step:
            self._rows = self._shared_rows()
        while self._step < self._options.steps and self._barren < BARREN * len(self._paths):
            full = [] if self._step % self._options.full_every else self._full(table)
            if not (count := self._affordable(full)):
                break
            asks = [*full, *await self._proposed(table, count)]
            self._step, self._barren = self._step + 1, 0 if len(asks) > len(full) else self._barren + 1
            if asks:
                self._under_way = True
                return asks
        last = [replace(ask, rows=None) for ask in self._full(table)]  # alone in its round, where nothing is kept back
        self._under_way = bool(last)
        return last

    def tell(self, told: Sequence[Told], /) -> None:
        """Take in who was scored."""
        self._under_way = False
        self._candidates |= {one.ask.params.fingerprint: one.ask.params for one in told if one.evaluation}

    async def _proposed(self, table: ScoreTable, count: int) -> list[Ask]:
        """Return new candidates, which differ from the best program so far in the instruction whose turn it is."""
        options, path, scores = self._options, self._paths[self._step % len(self._paths)], self._scores(table)
        tried: dict[str, float] = {}
        for name, params in self._candidates.items():
            text = params[path].instruction
            tried[text] = max(scores[name], tried.get(text, 0.0))
        examples = list(self._examples.get(path, ()))
        shown = self._problem.rng("exemplars", self._step).sample(examples, min(options.exemplars, len(examples)))
        first = self._step * options.per_step
        samples = range(first, first + count)
        texts = await improve(self._problem, path, tried, shown, most=options.history, samples=samples)
        base = max(scores, key=lambda name: scores[name])
        new = [self._candidates[base].replace(path, instruction=text) for text in texts]
        origin = f"{path}: step {self._step + 1}"
        return [Ask(made, self._rows, origin, parents=(base,)) for made in new if not self._problem.faults(made)]

    def _full(self, table: ScoreTable) -> list[Ask]:
        """Return the wish for the rows that the best candidate was not scored on, if there are any."""
        scores = self._scores(table)
        best = max(scores, key=lambda name: scores[name])
        missing = tuple(table.missing(best))
        return [Ask(self._candidates[best], missing, "full score of the best")] if missing else []

    def _scores(self, table: ScoreTable) -> dict[str, float]:
        """Return every candidate's mean on the rows that all share, also where more is known: so they compare as pairs."""
        rows = range(table.rows) if self._rows is None else self._rows
        return {name: sum(table.scores(name)[row] for row in rows) / len(rows) for name in self._candidates}

    def _shared_rows(self) -> tuple[int, ...] | None:
        """Return the rows that all candidates are scored on; None, which is all, where there are no more."""
        allowance, total = self._problem.allowance, len(self._problem.val)
        per_row = LEAST_STEPS * self._options.per_step * allowance.calls_per_row
        size = int(min(self._options.rows, max(LEAST_ROWS, allowance.left / per_row)))
        if size >= total:
            return None
        return tuple(sorted(self._problem.rng("rows").sample(range(total), size)))

    def _affordable(self, full: Sequence[Ask]) -> int:
        """Return how many proposals the allowance pays for, with their scores and the full score of a finalist."""
        allowance, total = self._problem.allowance, len(self._problem.val)
        kept = sum(allowance.for_rows(len(ask.rows or ())) for ask in full)
        kept += 0 if self._rows is None else allowance.for_rows(total)
        each = 1 + math.ceil(allowance.caution * allowance.for_rows(total if self._rows is None else len(self._rows)))
        return int(min(self._options.per_step, max(0.0, (allowance.left - kept) / each)))
