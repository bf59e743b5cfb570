"""Work runs side by side and slots are never idle without need, while no decision depends on what ended first."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.events import CandidateScored, Event, RoundStarted
from lmprog.lm.limit import Limited, Slots, Urgency
from lmprog.metrics import exact_match
from lmprog.module import params_of
from lmprog.optimizer import Optimizer, Outcome, Problem, named
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.request import Message, Request
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Selector, Told, search
from lmprog.testing import Answer, Asked, Handler, ScriptedLM, problem_for


class Find(lp.Signature):
    """Level 3."""

    question: str = lp.InputField()
    hint: str = lp.OutputField()


class Solve(lp.Signature):
    """Level 3."""

    question: str = lp.InputField()
    hint: str = lp.InputField()
    answer: str = lp.OutputField()


class Sync(lp.Module):
    def __init__(self) -> None:
        self.find, self.solve = lp.Predict(Find), lp.Predict(Solve)

    def forward(self, question: str) -> Solve:
        return self.solve(question=question, hint=self.find(question=question).hint)


class Async(lp.Module):
    def __init__(self) -> None:
        self.find, self.solve = lp.Predict(Find), lp.Predict(Solve)

    async def aforward(self, question: str) -> Solve:
        return await self.solve.acall(question=question, hint=(await self.find.acall(question=question)).hint)


ROWS = [{"question": f"q{number}", "answer": str(number)} for number in range(160)]
TRAIN, VAL, HOLDOUT = ROWS[:40], ROWS[40:120], ROWS[120:]


def graded(asked: Asked) -> Answer:
    """Right on as many of ten questions as the instruction's level says, and one more with demos."""
    if "question" not in asked.inputs:
        return dict.fromkeys(asked.outputs, f"Level {crc32(str(asked.inputs).encode()) % 9}.")
    level = int(asked.instruction.split()[1].rstrip(".")) + bool(asked.demos)
    good = crc32(asked.inputs["question"].encode()) % 10 < level
    return dict.fromkeys(asked.outputs, asked.inputs["question"][1:] if good else f"? {level}")


async def graded_late(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.003)
    return graded(asked)


def problem_of(
    handler: Handler = graded, *, program: lp.Module | None = None, latency_s: float = 0.0, concurrency: int = 16,
    calls: int | None = None, tokens: int | None = None, emit: Callable[[Event], None] = lambda event: None,
) -> tuple[Problem, ScriptedLM]:  # fmt: skip
    lm = ScriptedLM(handler, latency_s=latency_s)
    problem = problem_for(
        program or Async(), TRAIN, VAL, exact_match("answer"), lm, calls=calls, tokens=tokens, concurrency=concurrency,
        emit=emit,
    )  # fmt: skip
    return problem, lm


def level(problem: Problem, height: int, note: str = "") -> lp.Params:
    params = params_of(problem.program)
    return params.replace("solve", instruction=f"Level {height}.{note}")


def request(name: str) -> Request:
    return Request((Message("user", name),))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_free_slot_goes_to_the_most_urgent_call_and_of_these_to_the_first() -> None:
    async def orders() -> list[str]:
        sent, gate, slots = list[str](), asyncio.Event(), Slots(1)

        async def handler(asked: Asked) -> Answer:
            sent.append(asked.request.messages[0].text)
            await gate.wait()
            return "done"

        lm = ScriptedLM(handler)
        usual, awaited = (Limited(lm, slots, urgency) for urgency in (Urgency.USUAL, Urgency.AWAITED))
        calls: list[asyncio.Task[lp.Response]] = []
        for limited, name in [(usual, "first"), (usual, "b1"), (awaited, "a"), (usual, "b2")]:
            calls.append(asyncio.create_task(limited(request(name))))
            await settled()
        gate.set()
        await asyncio.gather(*calls)
        return sent

    assert loop.run(orders(), instead="") == ["first", "a", "b1", "b2"]


def test_a_call_that_is_cancelled_as_its_slot_comes_passes_the_slot_on() -> None:
    async def left_over() -> str:
        slots = Slots(1)
        await slots.take(Urgency.USUAL)
        leaving = asyncio.create_task(slots.take(Urgency.USUAL))
        await settled()
        slots.give_back()
        leaving.cancel()
        await settled()
        await asyncio.wait_for(slots.take(Urgency.USUAL), 1)
        return "taken"

    assert loop.run(left_over(), instead="") == "taken"


def test_what_work_requests_counts_once_its_result_is_taken_and_is_expected_until_then() -> None:
    problem, _ = problem_of(calls=500)

    async def counts() -> list[float]:
        ledger, found = problem.allowance.ledger, list[float]()
        params = params_of(problem.program)
        work = problem.begin(problem.evaluate(params, range(10)), calls=25)
        dropped = problem.begin(problem.evaluate(level(problem, 9), range(10)), calls=30)
        found += [ledger.requested, problem.allowance.left]
        await asyncio.sleep(0.2)
        found += [ledger.requested, problem.allowance.left]
        assert (await work.result()).score >= 0
        found += [ledger.requested, problem.allowance.left]
        await dropped.drop()
        return [*found, ledger.requested, problem.allowance.left]

    assert loop.run(counts(), instead="") == [0, 445, 0, 445, 20, 450, 20, 480]


def test_work_that_fails_counts_nothing() -> None:
    problem, _ = problem_of(calls=500)

    async def failing() -> None:
        await problem.evaluate(params_of(problem.program), range(5))
        raise lp.LMError("gone")

    async def fails() -> int:
        with pytest.raises(lp.LMError, match="gone"):
            await problem.begin(failing(), calls=10).result()
        return problem.allowance.ledger.requested

    assert loop.run(fails(), instead="") == 0


class Levels:
    """Asks for a level a round on some rows, without waiting to be told; remembers what it was told, and when."""

    def __init__(self, problem: Problem, rounds: int, rows: Sequence[int] = range(10)) -> None:
        self.problem, self.rounds, self.rows = problem, rounds, tuple(rows)
        self.log = list[str]()
        self.asked = 0

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        if self.asked == self.rounds:
            return []
        self.asked += 1
        self.log.append(f"ask {self.asked}")
        return [Ask(level(self.problem, 3 + self.asked, f" Round {self.asked}."), self.rows)]

    def tell(self, told: Sequence[Told], /) -> None:
        self.log.append(f"tell {told[0].ask.params['solve'].instruction.split()[-1].rstrip('.')}")


def test_rounds_are_asked_ahead_and_told_in_the_order_in_which_they_were_asked() -> None:
    problem, _ = problem_of(graded_late)
    selector = Levels(problem, 4)

    loop.run(search(problem, params_of(problem.program), selector, ahead=3, finalists=0), instead="")

    assert selector.log == ["ask 1", "ask 2", "ask 3", "tell 1", "ask 4", "tell 2", "tell 3", "tell 4"]


def test_by_default_each_round_is_told_before_the_next_is_asked() -> None:
    problem, _ = problem_of(graded_late)
    selector = Levels(problem, 3)

    loop.run(search(problem, params_of(problem.program), selector, finalists=0), instead="")

    assert selector.log == ["ask 1", "tell 1", "ask 2", "tell 2", "ask 3", "tell 3"]


def test_rounds_ahead_run_at_once() -> None:
    problem, lm = problem_of(latency_s=0.02, concurrency=60)

    loop.run(search(problem, params_of(problem.program), Levels(problem, 3), ahead=4, finalists=0), instead="")

    assert lm.most_in_flight == 60  # 80 validation rows of trial 0 and 3 x 10 rows, where a round alone has 10


def test_the_rows_of_an_earlier_round_go_before_those_of_a_later() -> None:
    solved: list[str] = []

    async def noting(asked: Asked) -> Answer:
        if asked.outputs == ("answer",):
            solved.append(asked.instruction.partition(".")[2].strip())
        return await graded_late(asked)

    problem, _ = problem_of(noting, concurrency=2)
    search_ = search(problem, params_of(problem.program), Levels(problem, 2, range(80)), ahead=3, finalists=0)
    loop.run(search_, instead="")

    assert sorted(solved) == [*[""] * 80, *["Round 1."] * 80, *["Round 2."] * 80]
    in_flight = 2 * 2
    assert set(solved[: 80 - in_flight]) == {""}  # trial 0
    assert set(solved[80 + in_flight : 160 - in_flight]) == {"Round 1."}


def test_a_round_that_does_not_fit_beside_those_under_way_waits_for_them() -> None:
    events: list[Event] = []
    calls = (
        160 + 2 * 3 * 20 + 161
    )  # trial 0, three rounds should they take twice as much, and a full score that is kept back
    problem, _ = problem_of(graded_late, calls=calls, emit=events.append)

    search_ = search(problem, params_of(problem.program), Levels(problem, 4), ahead=4, finalists=0)
    outcome = loop.run(search_, instead="")

    # what a round takes is known as soon as one was told
    order = [
        f"{kind} {event.round}"
        for event in events
        for kind, type_ in (("begun", RoundStarted), ("told", CandidateScored))
        if isinstance(event, type_)
    ]
    assert order == ["begun 1", "begun 2", "begun 3", "told 0", "told 1", "begun 4", "told 2", "told 3", "told 4"]
    assert outcome.stopped == "the search was finished"
    assert problem.allowance.ledger.requested == 160 + 4 * 10


def costly_at_level_5(asked: Asked) -> Answer:
    answer = graded(asked)
    assert isinstance(answer, dict)
    if asked.instruction.startswith("Level 5."):
        return lp.Response(f"[[ answer ]]\n{answer['answer']}", prompt_tokens=100_000)
    return lp.Response("\n\n".join(f"[[ {k} ]]\n{v}" for k, v in answer.items()), prompt_tokens=10)


def test_a_cap_ends_all_rounds_under_way_and_leaves_what_was_told() -> None:
    events: list[Event] = []
    problem, lm = problem_of(costly_at_level_5, tokens=250_000, emit=events.append)
    selector = Levels(problem, 6)

    outcome = loop.run(search(problem, params_of(problem.program), selector, ahead=3), instead="")

    told = [event for event in events if isinstance(event, CandidateScored)]
    assert [event.round for event in told] == [0, 1]  # round 2 is level 5
    assert outcome.stopped == "the cap on tokens was reached"
    assert problem.allowance.ledger.requested == 160 + 10
    assert problem.allowance.ledger.expected == lm.in_flight == 0


@dataclass
class Greedy:
    """Spends until a cap stops it, at its first ask."""

    problem: Problem
    sent: int = 0

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        for number in range(10**6):
            self.sent = number
            await self.problem.evaluate(level(self.problem, 1, f" {number}."), range(2))
        return []

    def tell(self, told: Sequence[Told], /) -> None:
        """Learn nothing."""


def test_what_a_selector_spends_beside_trial_0_does_not_cost_it_trial_0() -> None:
    problem, _ = problem_of(graded_late, calls=400)

    outcome = loop.run(search(problem, params_of(problem.program), Greedy(problem), ahead=2), instead="")

    assert outcome.params == params_of(problem.program)
    assert outcome.stopped == "the cap on calls was reached"
    assert problem.allowance.ledger.requested == 160


def test_where_the_calls_do_not_last_for_more_trial_0_runs_first() -> None:
    problem, _ = problem_of(graded_late, calls=200)
    seen: list[list[str]] = []

    class Looking(Levels):
        async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
            seen.append(table.candidates)
            return []

    loop.run(search(problem, params_of(problem.program), Looking(problem, 1), ahead=2), instead="")

    assert seen == [[params_of(problem.program).fingerprint]]


def test_a_selector_that_takes_calls_to_make_is_made_beside_trial_0() -> None:
    problem, lm = problem_of(latency_s=0.02, concurrency=200)
    params = params_of(problem.program)

    async def made() -> Selector:
        await problem.evaluate(params, on="train")
        return Full([Ask(level(problem, 8))])

    outcome = loop.run(search(problem, params, Prepared(made), ahead=2), instead="")

    assert lm.most_in_flight >= len(TRAIN) + len(VAL)
    assert outcome.params == level(problem, 8)


OPTIMIZERS = ["mipro:candidates=4,trials=10,minibatch=12,minibatch_above=20", "bootstrap", "bootstrap-random-search"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("program", "calls"), [(Async(), None), (Sync(), 900), (Async(), 500)])
def test_every_event_is_the_same_for_every_concurrency_and_latency(
    optimizer: str, program: lp.Module, calls: int | None
) -> None:
    told: list[list[Event]] = []
    for concurrency in (1, 7, 64):
        events: list[Event] = []
        problem, _ = problem_of(
            graded_late if concurrency > 1 else graded, program=program, concurrency=concurrency, calls=calls,
            emit=events.append,
        )  # fmt: skip
        loop.run(named(optimizer).search(problem, params_of(problem.program)), instead="")
        told.append(events)

    assert told[0] == told[1] == told[2]
    assert len(told[0]) > 4


class Ticking:
    """Answers all calls that wait at once, when no further one comes: in ticks, however slow the machine is."""

    def __init__(self) -> None:
        self.lm = ScriptedLM(self.answer)
        self.tick, self.ticks = asyncio.Event(), 0

    async def answer(self, asked: Asked) -> Answer:
        await self.tick.wait()
        return graded(asked)

    async def during(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        task, before = asyncio.ensure_future(work), -1
        while not task.done():
            await asyncio.sleep(0.02)
            if before == self.lm.sent and self.lm.in_flight:
                self.ticks += 1
                self.tick.set()
                self.tick = asyncio.Event()
            before = self.lm.sent
        return task.result()


def test_a_mipro_search_keeps_the_slots_busy() -> None:
    ticking = Ticking()
    problem = problem_for(Async(), TRAIN, VAL, exact_match("answer"), ticking.lm, concurrency=16)
    work = named("mipro:candidates=4,trials=16").search(problem, params_of(problem.program))

    loop.run(ticking.during(work), instead="")

    assert ticking.lm.most_in_flight == 16
    assert ticking.lm.sent > 0.9 * 16 * ticking.ticks


def compiled(
    run_dir: Path, handler: Handler, optimizer: str | Optimizer, *, concurrency: int = 16
) -> lp.CompileResult[Async]:
    return lp.compile(
        Async(), train=TRAIN, val=VAL, holdout=HOLDOUT, metric=exact_match("answer"), optimizer=optimizer,
        lm=ScriptedLM(handler), run_dir=run_dir, budget=lp.Budget(calls=2000), concurrency=concurrency,
    )  # fmt: skip


def number_of(asked: Asked) -> int:
    return int(asked.inputs.get("question", "q0")[1:])


def test_no_holdout_row_is_run_before_the_search_has_ended(tmp_path: Path) -> None:
    met, at_the_end = list[int](), list[int]()

    class Last:
        async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
            outcome = await named(OPTIMIZERS[0]).search(problem, params)
            at_the_end.append(len(met))
            return outcome

    async def handler(asked: Asked) -> Answer:
        met.extend([number_of(asked)] if number_of(asked) >= 120 else [])
        return graded(asked)

    compiled(tmp_path / "run", handler, Last())

    assert at_the_end == [0]
    assert len(met) >= 2 * len(HOLDOUT)


def test_a_search_that_fails_ends_what_ran_beside_it(tmp_path: Path) -> None:
    class Failing:
        async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
            await asyncio.sleep(0.02)
            raise lp.LMError("broken")

    lm = ScriptedLM(graded, latency_s=0.05)
    with pytest.raises(lp.LMError, match="broken"):
        lp.compile(
            Async(), train=TRAIN, val=VAL, holdout=HOLDOUT, metric=exact_match("answer"), optimizer=Failing(), lm=lm,
            run_dir=tmp_path / "run",
        )  # fmt: skip

    assert lm.in_flight == 0
    assert lm.sent < 8 + 80


def test_artifacts_are_equal_for_every_concurrency(tmp_path: Path) -> None:
    artifacts = {
        compiled(tmp_path / str(number) / "run", graded_late, OPTIMIZERS[0], concurrency=number)
        .save(tmp_path / f"{number}.lmprog")
        .read_bytes()
        for number in (1, 16, 64)
    }

    assert len(artifacts) == 1
