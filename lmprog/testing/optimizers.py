"""Problems to try an optimizer on, and the check that every optimizer passes."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from lmprog import loop
from lmprog.data import Row
from lmprog.errors import CapReached, LMError
from lmprog.evaluation import Evaluation, Room
from lmprog.events import Event
from lmprog.lint import secrets_of
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import ROLES, Budget, Ledger, Role
from lmprog.lm.limit import Slots
from lmprog.metrics import Metric, exact_match
from lmprog.module import Module, Program, check_params, params_of, predictors
from lmprog.optimizer import Allowance, Optimizer, Outcome, Problem, named
from lmprog.params import Params
from lmprog.predict import Predict
from lmprog.request import LM
from lmprog.signature import InputField, OutputField, Signature
from lmprog.testing.scripted import Answer, Asked, Handler, ScriptedLM


def problem_for(
    program: Program,
    train: Sequence[Row],
    val: Sequence[Row],
    metric: Metric,
    lm: LM,
    *,
    calls: int | None = None,
    tokens: int | None = None,
    seed: int = 0,
    concurrency: int = 16,
    emit: Callable[[Event], None] = lambda event: None,
) -> Problem:
    """Return a problem as `compile()` makes it, without a run directory or holdout: to try an optimizer on.

    `calls` and `tokens` are caps; `emit` is told what happens. `problem.allowance.ledger` knows what was spent.
    """
    ledger, slots, log = Ledger(Budget(calls=calls, tokens=tokens)), Slots(concurrency), CallLog(None)
    lms: dict[Role, LM] = {role: compose(lm, role=role, log=log, ledger=ledger, slots=slots) for role in ROLES}
    return Problem(
        program=program,
        train=train,
        val=val,
        metric=metric,
        seed=seed,
        allowance=Allowance(ledger, calls, len(predictors(program))),
        lms=lms,
        room=Room.of(concurrency),
        emit=emit,
        secrets=secrets_of(val, train),
    )


def check_optimizer(optimizer: str | Optimizer, *, also: Callable[[Optimizer], None] | None = None) -> None:
    """Assert what every optimizer promises, on small problems with a planted gain. Takes a few seconds.

    Call it in a test: `check_optimizer("mipro")`, or with your own optimizer, which is run several times. It asserts
    that the outcome is never worse on the validation rows than what went in, and scores what it says; that its params
    fit the program, and those that went in are as they were; that equal seeds give equal params whatever the
    latencies; that no more is requested than the budget allows, and that a cap which leaves room for the unmodified
    program costs no more than the gain; that an async program and a lone Predict are optimized too; that it ends
    where nothing can be gained; and that a proposer whose replies are useless, or that fails, does not stop it.
    `also` is one more check, run on the optimizer last.
    """
    chosen = named(optimizer)
    _check_outcome(chosen, _Case(_Steps(), _planted))
    _check_seeds(chosen, _Case(_Steps(), _planted))
    _check_caps(chosen, _Case(_Steps(), _planted))
    _check_outcome(chosen, _Case(_AsyncSteps(), _planted))
    _check_outcome(chosen, _Case(Predict(_Solve), _planted))
    for hopeless in (_always_right, _always_wrong):
        outcome = _check_outcome(chosen, _Case(_Steps(), hopeless))
        assert outcome.score == outcome.baseline_score, "a gain is claimed where no reply depends on the params"
    for proposer in (_useless_proposer, _failing_proposer):
        _check_outcome(chosen, _Case(_Steps(), proposer))
    if also is not None:
        also(chosen)


@dataclass(frozen=True, slots=True)
class _Case:
    program: Program
    script: Callable[[Asked], Answer]
    calls: int | None = 400
    tokens: int | None = None

    def problem(self) -> Problem:
        lm = ScriptedLM(_late(self.script))
        return problem_for(self.program, _TRAIN, _VAL, exact_match("answer"), lm, calls=self.calls, tokens=self.tokens)


def _check_outcome(optimizer: Optimizer, case: _Case) -> Outcome:
    """Run the optimizer, and assert what holds of every outcome."""
    problem = case.problem()
    params = params_of(case.program)
    before = params.to_json()

    outcome = _run(optimizer, problem, params)

    assert params.to_json() == before, "the params that went in were changed"
    assert params_of(case.program).to_json() == before, "the program's own params were changed"
    check_params(case.program, outcome.params)
    assert problem.faults(outcome.params) == [], "the params break the contract of prompts"
    found = _score(case, outcome.params)
    assert outcome.baseline_score == _score(case, params), "`baseline_score` is not what the unmodified program scores"
    assert outcome.score == found, f"`score` is {outcome.score}, but the params score {found} on the validation rows"
    assert outcome.score >= outcome.baseline_score, "the outcome is worse than what went in"
    assert outcome.stopped, "`stopped` does not say why the search ended"
    requested = problem.allowance.ledger.requested
    assert case.calls is None or requested <= case.calls, f"{requested} calls were requested of {case.calls} allowed"
    return outcome


def _check_seeds(optimizer: Optimizer, case: _Case) -> None:
    first, second = (_run(optimizer, case.problem(), params_of(case.program)) for _ in range(2))
    assert first.params == second.params, "equal seeds gave different params when replies came in another order"


def _check_caps(optimizer: Optimizer, case: _Case) -> None:
    """Assert that a cap costs the outcome only where not even the unmodified program's score fits it."""
    free = replace(case, calls=None).problem()
    loop.run(free.evaluate(params_of(case.program)), instead="await")
    least = free.allowance.ledger.spent.total_requested
    try:
        _run(optimizer, replace(case, calls=least.calls - 1).problem(), params_of(case.program))
    except CapReached:
        pass
    else:
        raise AssertionError("an outcome was returned although the cap left no room to score the unmodified program")
    for more in (0, 1, 7, 60):
        _check_outcome(optimizer, replace(case, calls=least.calls + more))
    for more in (_ONE_CALL, 8 * _ONE_CALL):
        _check_outcome(optimizer, replace(case, calls=None, tokens=least.tokens + more))


_ONE_CALL = 2000
"""More tokens than a call of these programs is expected to take."""


def _run(optimizer: Optimizer, problem: Problem, params: Params) -> Outcome:
    return loop.run(optimizer.search(problem, params), instead="await optimizer.search(...)")


def _score(case: _Case, params: Params) -> float:
    problem = replace(case, calls=None, tokens=None).problem()
    evaluation: Evaluation = loop.run(problem.evaluate(params), instead="await problem.evaluate(...)")
    return evaluation.score


class _Recall(Signature):
    """Name what bears on the question."""

    question: str = InputField()
    hint: str = OutputField()


class _Solve(Signature):
    """Answer."""

    question: str = InputField()
    answer: str = OutputField()


class _SolveWithHint(Signature):
    """Answer with the hint."""

    question: str = InputField()
    hint: str = InputField()
    answer: str = OutputField()


class _Steps(Module):
    def __init__(self) -> None:
        self.recall = Predict(_Recall)
        self.solve = Predict(_SolveWithHint)

    def forward(self, question: str) -> _SolveWithHint:
        return self.solve(question=question, hint=self.recall(question=question).hint)


class _AsyncSteps(Module):
    def __init__(self) -> None:
        self.recall = Predict(_Recall)
        self.solve = Predict(_SolveWithHint)

    async def aforward(self, question: str) -> _SolveWithHint:
        recalled = await self.recall.acall(question=question)
        return await self.solve.acall(question=question, hint=recalled.hint)


_ROWS = [{"question": f"What is number {number}?", "answer": str(number)} for number in range(26)]
_TRAIN, _VAL = _ROWS[:12], _ROWS[12:]
_WORDINGS = ("Think twice.", "Answer at once.", "Think twice and check.", "Say something.")
_TASK_OUTPUTS = {"hint", "reasoning", "answer"}


def _planted(asked: Asked) -> Answer:
    """Right on more questions where a wording says "twice", and with demos; some wordings are proposed if asked for."""
    if not _is_task(asked):
        return dict.fromkeys(asked.outputs, _WORDINGS[asked.request.sample % len(_WORDINGS)])
    question = asked.inputs["question"]
    luck = crc32(question.encode()) % 10
    good = luck < 4 + 3 * ("twice" in asked.instruction) + 3 * bool(asked.demos)
    if asked.outputs == ("hint",):
        return {"hint": "good" if good else "bad"}
    good = good or asked.inputs.get("hint") == "good"
    return {"reasoning": "so", "answer": question.split()[-1].strip("?") if good else "unknown"}


def _always_right(asked: Asked) -> Answer:
    if not _is_task(asked) or "answer" not in asked.outputs:
        return _planted(asked)
    return {"reasoning": "so", "answer": asked.inputs["question"].split()[-1].strip("?")}


def _always_wrong(asked: Asked) -> Answer:
    return (
        {"reasoning": "so", "answer": "unknown"} if _is_task(asked) and "answer" in asked.outputs else _planted(asked)
    )


def _useless_proposer(asked: Asked) -> Answer:
    return _planted(asked) if _is_task(asked) else "I would rather not."


def _failing_proposer(asked: Asked) -> Answer:
    if _is_task(asked):
        return _planted(asked)
    raise LMError("the provider refuses to write this")


def _is_task(asked: Asked) -> bool:
    return bool(asked.outputs) and _TASK_OUTPUTS.issuperset(asked.outputs)


def _late(script: Callable[[Asked], Answer]) -> Handler:
    """The script with replies that come in another order each time."""

    async def handler(asked: Asked) -> Answer:
        await asyncio.sleep(random.random() * 0.002)
        return script(asked)

    return handler
