"""The ask/tell loop that all optimizers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lmprog import loop
from lmprog.errors import CapReached
from lmprog.evaluation import Evaluation
from lmprog.events import CandidateScored, IncumbentChanged, RoundStarted, Stopped
from lmprog.optimizer import Outcome, Problem
from lmprog.params import Params
from lmprog.scores import ScoreTable

BARREN_AT_MOST = 10
"""Rounds in a row without a candidate that may be evaluated, after which a selector has nothing to offer."""
FINALISTS = 2
"""How many of the best candidates without a full score get one in the end."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A wish to have params evaluated, on some validation rows or on all."""

    params: Params
    rows: tuple[int, ...] | None = None
    origin: str = ""
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An evaluated wish. `evaluation` is None where the params broke the contract of prompts, for these reasons."""

    ask: Ask
    evaluation: Evaluation | None
    faults: tuple[str, ...] = ()


class Selector(Protocol):
    """Decides who is evaluated next. Surrogates, bandits, racing, beams and evolution are all selectors."""

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return the wishes of the next round, most wanted first; none to end the search. May propose new params."""
        ...

    def tell(self, told: Sequence[Told], /) -> None:
        """Take in the round's results, in the order of the wishes."""
        ...


async def search(
    problem: Problem, params: Params, selector: Selector, *, patience: int | None = None, finalists: int = FINALISTS
) -> Outcome:
    """Run rounds of ask, evaluate, tell until the selector, the budget or the patience ends.

    The params that went in are trial 0, evaluated on all validation rows. A round's wishes run at once and are
    told in the order in which they were asked, so that every decision follows from the seed and the replies.
    A round that does not fit the allowance is shortened from its end; one that a cap cuts is discarded whole.
    In the end the best candidates are re-scored on all rows, and the best of those fully scored is returned.
    `patience` is the number of rounds without a better full score after which to stop.
    """
    state = _State(problem, ScoreTable(len(problem.val)))
    baseline = (await problem.evaluate(params)).checked()
    state.record(0, Ask(params, origin="the program as it was"), baseline)
    try:
        reason = await _rounds(state, selector, patience)
        await _finish(state, finalists)
    except CapReached as cap:
        problem.allowance.ledger.go_back(state.requests)
        reason = f"the cap on {cap.cap} was reached"
    problem.emit(Stopped(reason, problem.allowance.ledger.requested))
    return Outcome(state.candidates[state.best], state.best_score, baseline.score, reason)


class _State:
    """What the loop knows: the table, the params by fingerprint, and who leads on all rows."""

    def __init__(self, problem: Problem, table: ScoreTable) -> None:
        self.problem, self.table = problem, table
        self.candidates: dict[str, Params] = {}
        self.best, self.best_score = "", -1.0
        self.begin()

    def begin(self) -> None:
        """Note where the account stands before a round."""
        self.requests = self.problem.allowance.ledger.requests()

    def record(self, number: int, ask: Ask, evaluation: Evaluation) -> None:
        name = ask.params.fingerprint
        rows = ask.rows if ask.rows is not None else tuple(range(self.table.rows))
        self.candidates.setdefault(name, ask.params)
        self.table.record(name, rows, evaluation.scores)
        requested = self.problem.allowance.ledger.requested
        self.problem.emit(
            CandidateScored(number, name, ask.parent, ask.params, rows, evaluation.scores, requested, ask.origin)
        )
        if self.table.is_full(name) and self.table.mean(name) > self.best_score:
            self.best, self.best_score = name, self.table.mean(name)
            self.problem.emit(IncumbentChanged(name, self.best_score, requested))

    async def evaluate(self, asks: Sequence[Ask]) -> list[Evaluation]:
        return await loop.gather([self.problem.evaluate(ask.params, ask.rows) for ask in asks])


async def _rounds(state: _State, selector: Selector, patience: int | None) -> str:
    problem, number, since_gain, barren = state.problem, 0, 0, 0
    while patience is None or since_gain < patience:
        if barren == BARREN_AT_MOST:
            return f"every candidate of {barren} rounds broke the contract of prompts"
        number += 1
        state.begin()
        wishes = await selector.ask(state.table)
        if not wishes:
            return "the search was finished"
        wrong = {id(ask): problem.faults(ask.params) for ask in wishes}
        sound = [ask for ask in wishes if not wrong[id(ask)]]
        fitting = _fitting(state, sound)
        if sound and not fitting:
            return "the budget was spent"
        barren = 0 if fitting else barren + 1
        size = sum(len(ask.rows) if ask.rows is not None else state.table.rows for ask in fitting)
        problem.emit(RoundStarted(number, len(fitting), size, problem.allowance.ledger.requested))
        evaluations = dict(zip(map(id, fitting), await state.evaluate(fitting), strict=True))
        best_before = state.best
        for ask in fitting:
            state.record(number, ask, evaluations[id(ask)])
        told = [ask for ask in wishes if id(ask) in evaluations or wrong[id(ask)]]
        selector.tell([Told(ask, evaluations.get(id(ask)), tuple(wrong[id(ask)])) for ask in told])
        since_gain = 0 if state.best != best_before else since_gain + 1
    return f"{patience} rounds brought no gain"


def _fitting(state: _State, asks: Sequence[Ask]) -> list[Ask]:
    """Return the wishes that fit the allowance, from the first on; a full score of one finalist is kept back."""
    allowance, rows = state.problem.allowance, state.table.rows
    partial = any(ask.rows is not None for ask in asks)
    left = allowance.left - (allowance.for_rows(rows) if partial else 0)
    fitting: list[Ask] = []
    for ask in asks:
        left -= allowance.for_rows(len(ask.rows) if ask.rows is not None else rows)
        if left < 0:
            break
        fitting.append(ask)
    return fitting


async def _finish(state: _State, finalists: int) -> None:
    """Score the most promising candidates on the rows that they have not seen."""
    state.begin()
    table = state.table
    estimates = table.adjusted()
    hopeful = [name for name in table.candidates if not table.is_full(name) and estimates[name] > state.best_score]
    ranked = sorted(hopeful, key=lambda name: (-estimates[name], table.candidates.index(name)))[:finalists]
    asks = [Ask(state.candidates[name], tuple(table.missing(name)), origin="finalist") for name in ranked]
    left, fitting = state.problem.allowance.left, list[Ask]()
    for ask in asks:
        left -= state.problem.allowance.for_rows(len(ask.rows or ()))
        if left >= 0:
            fitting.append(ask)
    for ask, evaluation in zip(fitting, await state.evaluate(fitting), strict=True):
        state.record(-1, ask, evaluation)
