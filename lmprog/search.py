"""The ask/tell loop that all optimizers share."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lmprog import loop
from lmprog.errors import CapReached
from lmprog.evaluation import Evaluation
from lmprog.events import CandidateScored, IncumbentChanged, RoundStarted, Stopped
from lmprog.optimizer import Outcome, Problem, Work
from lmprog.params import Params
from lmprog.scores import ScoreTable

BARREN_AT_MOST = 10
"""Rounds in a row without a candidate that may be evaluated, after which a selector has nothing to offer."""
CAUTION = 1.25
"""So many times the tokens and USD that a round is expected to take must fit, also once a round was told."""
TIMED_ROUND = 2
"""Full scores that a round takes at most under a cap in seconds, of which nobody can tell beforehand whether it fits."""
FINALISTS = 2
"""How many of the best candidates without a full score get one in the end."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A wish to have params evaluated, on some validation rows or on all."""

    params: Params
    rows: tuple[int, ...] | None = None
    origin: str = ""
    parents: tuple[str, ...] = ()
    """Fingerprints of the params that these were made from."""


@dataclass(frozen=True, slots=True)
class End:
    """A selector's word that it asks no more, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """An evaluated wish. `evaluation` is None where the params broke the contract of prompts, for these reasons."""

    ask: Ask
    evaluation: Evaluation | None
    faults: tuple[str, ...] = ()


class Selector(Protocol):
    """Decides who is evaluated next. Surrogates, bandits, racing, beams and evolution are all selectors."""

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask] | End:
        """Return the wishes of the next round, most wanted first; none, or an End, to end the search. May propose new params."""
        ...

    def tell(self, told: Sequence[Told], /) -> None:
        """Take in the round's results, in the order of the wishes."""
        ...


async def search(
    problem: Problem,
    params: Params,
    selector: Selector,
    *,
    patience: int | None = None,
    finalists: int = FINALISTS,
    ahead: int = 1,
    choose: Callable[[ScoreTable], str] | None = None,
) -> Outcome:
    """Run rounds of ask, evaluate, tell until the selector, the budget or the patience ends.

    The params that went in are trial 0, evaluated on all validation rows. A round's wishes run at once and are
    told in the order in which they were asked, so that every decision follows from the seed and the replies.
    A round that does not fit the allowance is shortened from its end; one that a cap cuts is discarded whole.
    In the end the best candidates are re-scored on all rows, and the best of those fully scored is returned.
    `patience` is the number of rounds without a better full score after which to stop.

    Up to `ahead` rounds, trial 0 among them, are under way at once where the caps leave ample room, so that the LM is
    not idle while the last rows of a round are run. The selector is then asked again before it is told of the rounds
    under way, and may have no wish until it is. At 1, the default, each round is told before the next is asked.

    `choose` is for searches that cannot afford full scores: it names the candidate to return, by its fingerprint, from
    whatever scores there are. Then there is no trial 0 and no finalist, no calls are kept back for one, and the outcome's
    scores are estimates; the params that went in are one candidate of many, if the selector asks for them.
    """
    state = _State(problem, ScoreTable(len(problem.val)), params, full=choose is None)
    try:
        try:
            reason = await _rounds(state, selector, patience, ahead)
            if choose is None:
                await _finish(state, finalists)
        except CapReached as cap:
            reason = f"the cap on {cap.cap} was reached"
            if choose is None and not state.best:
                await state.end()  # trial 0: what ran beside it must not cost it
    finally:
        await state.drop()
    if choose is not None:
        state.choose(choose(state.table))
    problem.emit(Stopped(reason, problem.allowance.ledger.requested))
    return Outcome(state.candidates[state.best], state.best_score, state.baseline_score, reason)


class _Round:
    """Wishes asked together, and why some of them are refused."""

    def __init__(self, number: int, wishes: Sequence[Ask], problem: Problem | None = None) -> None:
        self.number, self.wishes = number, wishes
        self.faults = {id(ask): problem.faults(ask.params) if problem else [] for ask in wishes}
        self.sound = [ask for ask in wishes if not self.faults[id(ask)]]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A round under way, shortened to what fits."""

    round: _Round
    asks: Sequence[Ask]
    work: Work[list[Evaluation]]


class _State:
    """What the loop knows: the table, the params by fingerprint, who leads on all rows, and the rounds under way."""

    def __init__(self, problem: Problem, table: ScoreTable, params: Params, *, full: bool) -> None:
        self.problem, self.table, self.full = problem, table, full
        self.candidates: dict[str, Params] = {params.fingerprint: params}
        self.best, self.best_score, self.baseline_score = "", -1.0, 0.0
        self.since_gain = self.barren = 0
        self.under_way: deque[_Begun] = deque()
        if full:
            trial_0 = _Round(0, [Ask(params, origin="the program as it was")])
            self.begin(trial_0, trial_0.wishes)

    def runs(self, ask: Ask) -> int:
        """Return how many new runs of the program a wish takes: of rows that the candidate has not run on."""
        return len(self.table.missing(ask.params.fingerprint, ask.rows))

    def calls(self, ask: Ask) -> int:
        """Return how many calls a wish is expected to take, if nothing of it is recorded."""
        allowance = self.problem.allowance
        return math.ceil(allowance.pace.dearer * allowance.for_rows(self.runs(ask)))

    def plain_calls(self, ask: Ask) -> float:
        """Return as many calls of the program's own prompts as a wish is expected to take in tokens."""
        caps = self.problem.caps
        return self.calls(ask) * (caps.length(ask.params) if caps else 1.0)

    def fits(self, plain_calls: float, times: float) -> bool:
        """Tell whether the caps in tokens and USD allow so many times what this and the rounds under way are expected to take."""
        ledger = self.problem.allowance.ledger
        return ledger.fits(times * (ledger.expected + plain_calls))

    def begin(self, round: _Round, asks: Sequence[Ask]) -> None:
        """Let wishes of a round run, all at once."""
        work = loop.gather([self.problem.evaluate(ask.params, ask.rows) for ask in asks])
        self.under_way.append(_Begun(round, asks, self.problem.begin(work, calls=sum(map(self.calls, asks)))))

    async def end(self) -> list[Told]:
        """Wait for the round that began first, record it, and return what there is to tell."""
        begun = self.under_way[0]
        ledger = self.problem.allowance.ledger
        before = ledger.requested
        evaluations = dict(zip(map(id, begun.asks), await begun.work.result(), strict=True))
        self.under_way.popleft()
        number, faults = begun.round.number, begun.round.faults
        plain = sum(self.problem.allowance.for_rows(self.runs(ask)) for ask in begun.asks)
        if plain and number:
            self.problem.allowance.pace.tell(ledger.requested - before, plain)
        if number == 0:
            self.baseline_score = evaluations[id(begun.asks[0])].checked().score
        for ask in begun.asks:
            self._record(number, ask, evaluations[id(ask)])
        told = [ask for ask in begun.round.wishes if id(ask) in evaluations or faults[id(ask)]]
        return [Told(ask, evaluations.get(id(ask)), tuple(faults[id(ask)])) for ask in told]

    async def drop(self) -> None:
        """End the rounds under way."""
        while self.under_way:
            await self.under_way.popleft().work.drop()

    def choose(self, name: str) -> None:
        """Return this candidate in the end, with estimates for scores; the program as it was where it was refused."""
        estimates, (before, *_) = self.table.adjusted(), self.candidates
        name = name if name in self.candidates else before
        self.best, self.best_score = name, estimates.get(name, math.nan)
        self.baseline_score = estimates.get(before, math.nan)
        self.problem.emit(IncumbentChanged(name, self.best_score, self.problem.allowance.ledger.requested))

    def _record(self, number: int, ask: Ask, evaluation: Evaluation) -> None:
        name = ask.params.fingerprint
        rows = ask.rows if ask.rows is not None else tuple(range(self.table.rows))
        self.candidates.setdefault(name, ask.params)
        self.table.record(name, rows, evaluation.scores)
        requested = self.problem.allowance.ledger.requested
        failures = {row: run.failure for row, run in zip(rows, evaluation.runs, strict=True) if run.failure is not None}
        scores, origin = evaluation.scores, ask.origin
        self.problem.emit(
            CandidateScored(number, name, ask.parents, ask.params, rows, scores, requested, origin, failures)
        )
        if self.full and self.table.is_full(name) and self.table.mean(name) > self.best_score:
            self.best, self.best_score = name, self.table.mean(name)
            self.problem.emit(IncumbentChanged(name, self.best_score, requested))


async def _rounds(state: _State, selector: Selector, patience: int | None, ahead: int) -> str:
    """Ask and tell, in an order that follows from what was told alone, and return why it ended."""
    waiting: _Round | None = None
    number = 0
    allowance = state.problem.allowance
    under_way = allowance.ledger.expected
    if state.full and (ahead == 1 or allowance.left < under_way or not allowance.ledger.fits(2 * under_way)):
        await state.end()  # what ran beside trial 0 could cost it
    while True:
        stopped = _stopped(state, patience)
        if not stopped and waiting is None and len(state.under_way) < ahead:
            wishes = await _asked(state, selector)
            if isinstance(wishes, End) or not wishes:
                waiting, stopped = None, wishes.reason if isinstance(wishes, End) else _finished(state)
            else:
                number += 1
                waiting = _Round(number, wishes, state.problem)
        if waiting is not None:
            fitting = _fitting(state, waiting.sound)
            whole = len(fitting) == len(waiting.sound) and state.fits(sum(map(state.plain_calls, fitting)), 2.0)
            if whole or not state.under_way:  # else it would be cut, or cut others, where after them it is not
                if len(fitting) < len(waiting.sound) and not any(map(state.runs, fitting)):
                    return state.problem.allowance.why_spent
                _begin(state, waiting, fitting)
                waiting = None
                continue
        if not state.under_way:
            return stopped
        await _end(state, selector)


def _stopped(state: _State, patience: int | None) -> str:
    """Return why no further round is asked, or nothing."""
    if state.barren == BARREN_AT_MOST:
        return f"every candidate of {state.barren} rounds broke the contract of prompts"
    if patience is not None and state.since_gain >= patience:
        return f"{patience} rounds brought no gain"
    return ""


def _finished(state: _State) -> str:
    """Return why a selector has no wish: where nothing was scored and hardly a full score is left, for want of calls."""
    allowance = state.problem.allowance
    short = len(state.candidates) == 1 and allowance.left < 2 * allowance.for_rows(state.table.rows)
    return allowance.why_spent if short else "the search was finished"


async def _asked(state: _State, selector: Selector) -> Sequence[Ask] | End:
    """Ask for a round. What the selector itself requested counts, unless a cap cut it."""
    ledger = state.problem.allowance.ledger
    before = ledger.requests()
    try:
        return await selector.ask(state.table)
    except CapReached:
        ledger.go_back(before)
        raise


def _begin(state: _State, waiting: _Round, fitting: Sequence[Ask]) -> None:
    state.barren = 0 if fitting else state.barren + 1
    rows = sum(state.table.rows if ask.rows is None else len(ask.rows) for ask in fitting)
    requested = state.problem.allowance.ledger.requested
    state.problem.emit(RoundStarted(waiting.number, len(fitting), rows, requested))
    state.begin(waiting, fitting)


async def _end(state: _State, selector: Selector) -> None:
    trial_0, before = state.under_way[0].round.number == 0, state.best
    told = await state.end()
    if not trial_0:
        selector.tell(told)
        state.since_gain = 0 if state.best != before else state.since_gain + 1


def _fitting(state: _State, asks: Sequence[Ask]) -> list[Ask]:
    """Return the wishes that fit the allowance, from the first on.

    The full score of a finalist is kept back, unless one of the wishes is such a score.
    """
    allowance, table = state.problem.allowance, state.table
    budget, runs, calls, plain_calls = allowance.ledger.budget, 0, 0, 0.0
    full = any(ask.rows is None or set(table.missing(ask.params.fingerprint)) <= set(ask.rows) for ask in asks)
    kept = 0 if full or not state.full else allowance.for_rows(table.rows)
    expected, fitting = allowance.ledger.expected, list[Ask]()
    trial_0 = bool(state.under_way) and state.under_way[0].round.number == 0
    sure = min(expected, allowance.for_rows(table.rows)) if trial_0 else 0.0
    for ask in asks:
        runs, calls, plain_calls = (
            runs + state.runs(ask),
            calls + state.calls(ask),
            plain_calls + state.plain_calls(ask),
        )
        if calls + kept > allowance.left:
            break
        if fitting or expected:  # what a cap cuts is lost, so only a wish that is alone may come near one
            if allowance.caution * (expected - sure + calls) + sure + kept > allowance.left + expected:
                break
            if not state.fits(plain_calls, max(CAUTION, allowance.caution)):
                break
            if budget.seconds is not None and runs > TIMED_ROUND * table.rows:
                break
        fitting.append(ask)
    return fitting


async def _finish(state: _State, finalists: int) -> None:
    """Score the most promising candidates on the rows that they have not seen: of those ahead of the best on shared rows.

    Estimates rank them; these are pulled to the mean of all, so that to be above the best's score would be too much to ask.
    """
    table = state.table
    estimates = table.adjusted()
    partial = [name for name in table.candidates if not table.is_full(name)]
    hopeful = [name for name in partial if table.gain(state.best, name) > 0]
    ranked = sorted(hopeful, key=lambda name: (-estimates[name], table.candidates.index(name)))[:finalists]
    asks = [Ask(state.candidates[name], tuple(table.missing(name)), origin="finalist") for name in ranked]
    left, fitting = state.problem.allowance.left, list[Ask]()
    for ask in asks:
        left -= state.calls(ask)
        if left >= 0:
            fitting.append(ask)
    state.begin(_Round(-1, fitting), fitting)
    await state.end()
