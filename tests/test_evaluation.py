"""An evaluation runs rows at once, tells one row's failure from a broken run, and leaves nothing behind."""

import asyncio
import gc
import json
import operator
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.evaluation import OBJECTS_IN_FLIGHT
from lmprog.metrics import Metric
from lmprog.scope import Step
from lmprog.testing import Answer, Asked, ScriptedLM

Program = Callable[[], Any]
HERE = Path(__file__).name
LINES = Path(__file__).read_text().splitlines()


class Solve(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Count(lp.Signature):
    """Count."""

    question: str = lp.InputField()
    answer: int = lp.OutputField()


class Sync(lp.Module):
    def __init__(self) -> None:
        self.first, self.second = lp.Predict(Solve), lp.Predict(Solve)

    def forward(self, question: str) -> Solve:
        return self.second(question=self.first(question=question).answer)


class Async(lp.Module):
    def __init__(self) -> None:
        self.first, self.second = lp.Predict(Solve), lp.Predict(Solve)

    async def aforward(self, question: str) -> Solve:
        return await self.second.acall(question=(await self.first.acall(question=question)).answer)


class Grouped(lp.Module):
    """Two calls at once, in a TaskGroup, which raises what fails as a group."""

    def __init__(self) -> None:
        self.count = lp.Predict(Count, retries=0)

    async def aforward(self, question: str) -> Count:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(self.count.acall(question=f"{question}/{part}")) for part in range(2)]
        return calls[0].result()


class Careless(lp.Module):
    """Catches whatever goes wrong."""

    def __init__(self) -> None:
        self.solve = lp.Predict(Solve)

    def forward(self, question: str) -> str:
        try:
            return self.solve(question=question).answer
        except Exception:  # noqa: BLE001  careless indeed
            return "no idea"


class Breaking(lp.Module):
    def __init__(self, *rows: str) -> None:
        self.rows, self.solve = rows, lp.Predict(Solve)

    def forward(self, question: str) -> Solve:
        if question in self.rows:
            raise ValueError(f"cannot parse {question}")
        return self.solve(question=question)


ROWS = [{"question": f"q{number}", "answer": f"q{number}"} for number in range(32)]
BOTH: list[Program] = [Sync, Async]
exact = lp.metrics.exact_match("answer")


def line_of(start: str) -> int:
    """Return the number of the only line of this file that starts so."""
    (number,) = (number for number, line in enumerate(LINES, start=1) if line.lstrip().startswith(start))
    return number


def echo(asked: Asked) -> Answer:
    return {"answer": asked.inputs["question"]}


async def echo_late(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.005)
    return echo(asked)


def always(row: object, prediction: object) -> bool:
    return True


def fails_with(error: Exception, on: str) -> Callable[[Asked], Awaitable[Answer]]:
    """Fails on one question at once, and on all others answers so late that they are under way by then."""

    async def handler(asked: Asked) -> Answer:
        if asked.inputs["question"] == on:
            raise error
        await asyncio.sleep(0.05)
        return echo(asked)

    return handler


@pytest.mark.parametrize("program", [Sync, Async, lambda: lp.Predict(Solve)])
def test_results_stand_in_row_order_whatever_the_latencies(program: Program) -> None:
    evaluation = lp.evaluate(program(), ROWS, exact, lm=ScriptedLM(echo_late))

    assert [run.row for run in evaluation.runs] == ROWS
    assert [run.prediction.answer for run in evaluation.runs] == [row["answer"] for row in ROWS]
    assert evaluation.score == 1.0


@pytest.mark.parametrize("program", BOTH)
@pytest.mark.parametrize("concurrency", [1, 5, 16])
def test_as_many_rows_are_in_flight_as_asked_for(program: Program, concurrency: int) -> None:
    lm = ScriptedLM(echo, latency_s=0.02)

    lp.evaluate(program(), ROWS, exact, lm=lm, concurrency=concurrency)

    assert lm.most_in_flight == concurrency


def test_a_sync_metric_that_calls_an_async_program_of_sync_parts_does_not_block_itself() -> None:
    class Outer(lp.Module):
        def __init__(self) -> None:
            self.inner = Sync()

        async def aforward(self, question: str) -> Solve:
            return await self.inner.acall(question=question)

    judge = Outer()

    def judged(row: dict[str, str], prediction: Solve) -> bool:
        return judge(question=row["question"]).answer == prediction.answer

    assert lp.evaluate(Sync(), ROWS, judged, lm=ScriptedLM(echo), concurrency=4).score == 1.0


def test_equal_calls_are_sent_once() -> None:
    lm = ScriptedLM(echo_late)

    evaluation = lp.evaluate(lp.Predict(Solve), ROWS[:4] * 8, exact, lm=lm)

    assert lm.sent == 4
    assert len(evaluation.runs) == 32
    assert evaluation.spent is not None
    assert evaluation.spent.total_requested.calls == 4


def test_under_another_sample_index_calls_are_fresh() -> None:
    samples: set[int] = set()

    def handler(asked: Asked) -> Answer:
        samples.add(asked.request.sample)
        return echo(asked)

    with lp.using(sample=3):
        lp.evaluate(lp.Predict(Solve), ROWS[:2], exact, lm=ScriptedLM(handler))

    assert samples == {3}


def test_score_and_interval_are_of_all_rows() -> None:
    def half(asked: Asked) -> Answer:
        return {"answer": asked.inputs["question"] if asked.inputs["question"] < "q2" else "?"}

    evaluation = lp.evaluate(lp.Predict(Solve), ROWS, exact, lm=ScriptedLM(half))

    right = sum(row["question"] < "q2" for row in ROWS)
    assert evaluation.score == right / 32
    assert repr(evaluation).startswith(f"<Evaluation: score {right / 32:.4f}, 32 runs, ")
    assert evaluation.interval.low < evaluation.score < evaluation.interval.high


def test_rows_may_come_from_any_iterable() -> None:
    evaluation = lp.evaluate(lp.Predict(Solve), (row for row in ROWS), exact, lm=ScriptedLM(echo))

    assert len(evaluation.runs) == len(ROWS)


def test_a_reply_that_does_not_validate_scores_0_and_says_why() -> None:
    def handler(asked: Asked) -> Answer:
        return {"answer": "many" if "q1" in asked.inputs["question"] else "7"}

    evaluation = lp.evaluate(lp.Predict(Count, retries=0), ROWS[:3], always, lm=ScriptedLM(handler))

    assert evaluation.scores == (1.0, 0.0, 1.0)
    (failed,) = evaluation.failures
    assert failed.row == ROWS[1]
    assert failed.prediction is None
    assert "many" in str(failed.failure)
    assert failed.score.feedback == failed.failure
    assert not failed.bug
    assert [step.error is None for step in failed.trace] == [False]


def test_a_prompt_beyond_the_context_scores_0_and_says_why() -> None:
    def handler(asked: Asked) -> Answer:
        if asked.inputs["question"] == "q1":
            raise lp.ContextError("9000 tokens of 8192")
        return echo(asked)

    evaluation = lp.evaluate(Sync(), ROWS[:3], exact, lm=ScriptedLM(handler))

    assert evaluation.scores == (1.0, 0.0, 1.0)
    assert evaluation.failures[0].failure == "9000 tokens of 8192"


def test_even_where_no_reply_validates_the_score_is_0_and_nothing_is_raised() -> None:
    evaluation = lp.evaluate(lp.Predict(Count), ROWS, always, lm=ScriptedLM(lambda asked: "garbage"))

    assert evaluation.score == 0.0
    assert len(evaluation.failures) == len(ROWS)


def test_a_reply_that_does_not_validate_in_a_task_group_is_no_bug_of_the_program() -> None:
    evaluation = lp.evaluate(Grouped(), ROWS, always, lm=ScriptedLM(lambda asked: {"answer": "many"}))

    assert evaluation.score == 0.0
    assert not any(run.bug for run in evaluation.runs)


def test_an_exception_of_the_programs_own_code_on_a_few_rows_is_data() -> None:
    evaluation = lp.evaluate(Breaking("q1", "q3"), ROWS[:4], exact, lm=ScriptedLM(echo))

    assert evaluation.scores == (1.0, 0.0, 1.0, 0.0)
    place = f"({HERE}, line {line_of('raise ValueError')}, in forward)"
    assert [run.failure for run in evaluation.failures] == [f"ValueError: cannot parse q{n} {place}" for n in (1, 3)]
    assert all(run.bug == f"ValueError {place}" for run in evaluation.failures)


def test_a_predictor_called_wrongly_is_told_with_the_line_that_calls_it() -> None:
    class Misnaming(lp.Module):
        def __init__(self) -> None:
            self.solve = lp.Predict(Solve)

        def forward(self, question: str) -> Any:
            return self.solve(quesion=question)  # type: ignore[call-arg]

    place = rf"\({HERE}, line {line_of('return self.solve(quesion=')}, in forward\)"
    with pytest.raises(lp.DataError, match=rf"{place}, on the row") as caught:
        lp.evaluate(Misnaming(), ROWS[:4], exact, lm=ScriptedLM(echo))

    assert re.fullmatch(
        rf"the program failed on 4 of 4 rows, .* The first: InputError {place}\.", str(caught.value.unshown)
    )


def test_what_a_proposer_reads_of_a_row_that_failed_does_not_change_with_the_line() -> None:
    evaluation = lp.evaluate(Breaking("q1"), ROWS[:4], exact, lm=ScriptedLM(echo))

    assert evaluation.runs[1].score.feedback == "ValueError: cannot parse q1"


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("as_async", [False, True], ids=["sync", "async"])
def test_a_program_that_exits_on_a_row_has_failed_on_that_row(leave: type[BaseException], as_async: bool) -> None:
    class Leaving(lp.Module):
        def __init__(self) -> None:
            self.solve = lp.Predict(Solve)

        def forward(self, question: str) -> Solve:
            if question == "q3":
                raise leave("enough")
            return self.solve(question=question)

    class AsyncLeaving(lp.Module):
        def __init__(self) -> None:
            self.solve = lp.Predict(Solve)

        async def aforward(self, question: str) -> Solve:
            if question == "q3":
                raise leave("enough")
            return await self.solve.acall(question=question)

    program = AsyncLeaving() if as_async else Leaving()
    result = lp.evaluate(program, ROWS, exact, lm=ScriptedLM(lambda asked: {"answer": asked.inputs["question"]}))

    assert [bool(run.bug) for run in result.failures] == [True]
    name = "aforward" if as_async else "forward"
    assert re.fullmatch(rf"{leave.__name__}: enough \({HERE}, line \d+, in {name}\)", str(result.failures[0].failure))


def test_an_exception_of_the_programs_own_code_on_most_rows_is_raised_with_the_first() -> None:
    with pytest.raises(lp.DataError, match=r"failed on 3 of 4 rows.*ValueError: cannot parse q1.*'q1'"):
        lp.evaluate(Breaking("q1", "q2", "q3"), ROWS[:4], exact, lm=ScriptedLM(echo))


def shout(found: Any) -> str:
    return str(found.answr).upper()


class Shouting(lp.Module):
    def __init__(self) -> None:
        self.solve = lp.Predict(Solve)

    def forward(self, question: str) -> str:
        return shout(self.solve(question=question))


class ShoutingAtOnce(lp.Module):
    """Shouts in a TaskGroup, which raises what fails as a group."""

    def __init__(self) -> None:
        self.solve = lp.Predict(Solve)

    async def aforward(self, question: str) -> str:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(self.shouted(question))
        return call.result()

    async def shouted(self, question: str) -> str:
        return shout(await self.solve.acall(question=question))


@pytest.mark.parametrize("program", [Shouting, ShoutingAtOnce])
def test_an_exception_in_what_a_program_calls_is_raised_with_the_line_there(program: Program) -> None:
    place = rf"\({HERE}, line {line_of('return str(found.answr')}, in shout\)"

    with pytest.raises(
        lp.DataError, match=rf"'Solve' object has no attribute 'answr' {place}, on the row {{'question'"
    ):
        lp.evaluate(program(), ROWS[:4], exact, lm=ScriptedLM(echo))


def test_an_exception_that_python_s_library_raises_has_the_line_that_called_it() -> None:
    class Reading(lp.Module):
        def __init__(self) -> None:
            self.solve = lp.Predict(Solve)

        def forward(self, question: str) -> Any:
            return json.loads(self.solve(question=question).answer)

    with pytest.raises(lp.DataError, match=rf"\({HERE}, line {line_of('return json.loads')}, in forward\), on the row"):
        lp.evaluate(Reading(), ROWS[:4], exact, lm=ScriptedLM(echo))


def test_an_error_of_lmprog_in_the_program_has_its_place_there_and_a_bad_reply_has_none() -> None:
    class Misspelt(lp.Module):
        def __init__(self) -> None:
            self.count = lp.Predict(Count, retries=0)

        def forward(self, question: str) -> Any:
            if question == "q1":
                raise lp.InputError("`question` is too long.")
            return self.count(question=question)

    def handler(asked: Asked) -> Answer:
        return {"answer": "many" if asked.inputs["question"] == "q2" else "7"}

    first, second = lp.evaluate(Misspelt(), ROWS[:5], always, lm=ScriptedLM(handler)).failures

    place = f"({HERE}, line {line_of('raise lp.InputError(')}, in forward)"
    assert first.failure == f"InputError: `question` is too long. {place}"
    assert first.score.feedback == "InputError: `question` is too long."
    assert HERE not in str(second.failure)


@pytest.mark.parametrize("program", [Sync, Async, Careless])
@pytest.mark.parametrize(
    "error", [lp.AuthError("bad key"), lp.CapReached("spent", cap="usd"), lp.LMError("400: no such model")]
)
def test_a_systemic_fault_is_raised_as_such_and_no_call_is_left_under_way(program: Program, error: Exception) -> None:
    lm = ScriptedLM(fails_with(error, on="q3"))

    with pytest.raises(type(error)) as raised:
        lp.evaluate(program(), ROWS, always, lm=lm)

    assert raised.value is error
    sent, in_flight = lm.sent, lm.in_flight
    time.sleep(0.1)
    assert (in_flight, lm.sent) == (0, sent)


def test_a_systemic_fault_in_a_task_group_is_raised_as_such() -> None:
    error = lp.AuthError("bad key")

    with pytest.raises(lp.AuthError) as raised:
        lp.evaluate(Grouped(), ROWS, always, lm=ScriptedLM(fails_with(error, on="q3/1")))

    assert raised.value is error


def test_an_outage_that_was_waited_for_is_raised_as_such() -> None:
    error = lp.UnavailableError("down", retry_after_s=10_000)

    with pytest.raises(lp.UnavailableError, match="down"):
        lp.evaluate(Sync(), ROWS[:2], always, lm=ScriptedLM(fails_with(error, on="q1")))


def test_a_program_without_an_lm_is_told_how_to_name_one() -> None:
    with pytest.raises(lp.ScopeError, match=r"no LM to evaluate with: write `lp.evaluate\(..., lm="):
        lp.evaluate(Sync(), ROWS, always)


async def judged_async(row: dict[str, str], prediction: Solve) -> lp.Score:
    await asyncio.sleep(0)
    return lp.Score(0.5, feedback=row["question"])


class JudgedByObject:
    async def __call__(self, row: dict[str, str], prediction: Solve) -> lp.Score:
        return await judged_async(row, prediction)


@pytest.mark.parametrize("metric", [judged_async, JudgedByObject(), partial(judged_async)])
def test_a_metric_may_be_async(metric: Metric) -> None:
    evaluation = lp.evaluate(Sync(), ROWS[:3], metric, lm=ScriptedLM(echo))

    assert [run.score.feedback for run in evaluation.runs] == ["q0", "q1", "q2"]
    assert evaluation.score == 0.5


def test_a_metric_with_a_trace_sees_the_steps_of_the_row() -> None:
    def steps(row: dict[str, str], prediction: Solve, trace: tuple[Step, ...]) -> bool:
        return [step.predictor for step in trace] == ["first", "second"] and trace[0].inputs == {
            "question": row["question"]
        }

    for program in (Sync(), Async()):
        assert lp.evaluate(program, ROWS, steps, lm=ScriptedLM(echo_late)).score == 1.0


def test_the_trace_may_be_asked_for_by_keyword_alone() -> None:
    def steps(row: object, prediction: object, *, trace: tuple[Step, ...] = ()) -> float:
        return len(trace) / 2

    assert lp.evaluate(Sync(), ROWS[:2], steps, lm=ScriptedLM(echo)).score == 1.0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_metric_that_raises_stops_the_run_with_the_row(kind: Literal["sync", "async"]) -> None:
    def broken(row: dict[str, str], prediction: Solve) -> bool:
        if row["question"] == "q2":
            raise KeyError("gold")
        return True

    async def broken_async(row: dict[str, str], prediction: Solve) -> bool:
        return broken(row, prediction)

    metric: Metric = broken if kind == "sync" else broken_async
    place = f"{HERE}, line {line_of('raise KeyError')}, in broken"
    with pytest.raises(
        lp.MetricError, match=rf"the metric raised KeyError: 'gold' \({place}; on the row .*'q2'.*\)"
    ) as raised:
        lp.evaluate(Sync(), ROWS, metric, lm=ScriptedLM(echo))
    assert raised.value.unshown == f"the metric raised KeyError ({place})."


def test_a_metric_that_raises_ends_a_compile_with_the_line(tmp_path: Path) -> None:
    def broken(row: dict[str, str], prediction: Solve) -> bool:
        return row["gold"] == prediction.answer

    place = f"{HERE}, line {line_of('return row[')}, in broken"
    with pytest.raises(lp.MetricError, match=rf"the metric raised KeyError: 'gold' \({place}; on the row"):
        lp.compile(Sync(), train=ROWS * 5, metric=broken, lm=ScriptedLM(echo), gate="none", run_dir=tmp_path / "run")


def test_a_metric_that_raises_without_a_line_of_the_user_s_has_no_place() -> None:
    metric: Any = operator.getitem

    with pytest.raises(lp.MetricError, match=r"the metric raised \w+: [^(]* \(on the row"):
        lp.evaluate(Sync(), ROWS, metric, lm=ScriptedLM(echo))


def test_a_metric_that_finds_no_gold_answer_stops_the_run_with_the_row() -> None:
    with pytest.raises(lp.MetricError, match=r"needs the row to have `answer`.*on the row {'question': 'q'}"):
        lp.evaluate(Sync(), [{"question": "q"}], exact, lm=ScriptedLM(echo))


def test_a_metric_that_returns_no_score_stops_the_run_with_the_row() -> None:
    def wrong_once(row: dict[str, str], prediction: Solve) -> int:
        return 3 if row["question"] == "q2" else 1

    with pytest.raises(lp.MetricError, match=r"the metric returned 3 for the row .*'q2'"):
        lp.evaluate(Sync(), ROWS, wrong_once, lm=ScriptedLM(echo))


def test_a_metric_may_call_the_lm_and_a_fault_there_is_raised_as_such() -> None:
    judge = lp.Predict("text -> good: bool")

    def handler(asked: Asked) -> Answer:
        if asked.outputs == ("good",):
            raise lp.AuthError("bad key")
        return echo(asked)

    def careless(row: object, prediction: Solve) -> bool:
        try:
            return bool(judge(text=prediction.answer).good)
        except lp.LmprogError:
            return False

    with pytest.raises(lp.AuthError, match="bad key"):
        lp.evaluate(Sync(), ROWS, careless, lm=ScriptedLM(handler))


def test_a_judge_whose_reply_does_not_validate_stops_the_run_with_the_row() -> None:
    judge = lp.Predict("text -> good: bool", retries=0)

    def judged(row: object, prediction: Solve) -> bool:
        return bool(judge(text=prediction.answer).good)

    def handler(asked: Asked) -> Answer:
        return {"good": "perhaps"} if asked.outputs == ("good",) else echo(asked)

    place = rf"{HERE}, line \d+, in judged"
    with pytest.raises(lp.MetricError, match=rf"(?s)raised OutputError: .*perhaps.* \({place}; on the row .*'q0'"):
        lp.evaluate(Sync(), ROWS[:1], judged, lm=ScriptedLM(handler))


def test_evaluating_works_inside_a_running_loop() -> None:
    async def notebook() -> list[float]:
        sync = lp.evaluate(Sync(), ROWS[:3], exact, lm=ScriptedLM(echo))
        both = await asyncio.gather(
            lp.aevaluate(Async(), ROWS[:3], exact, lm=ScriptedLM(echo_late)),
            lp.aevaluate(Sync(), ROWS[:3], exact, lm=ScriptedLM(echo_late)),
        )
        return [sync.score, *(evaluation.score for evaluation in both)]

    assert asyncio.run(notebook()) == [1.0, 1.0, 1.0]


def test_evaluating_on_lmprogs_own_loop_says_what_to_await() -> None:
    async def metric_like() -> None:
        lp.evaluate(Sync(), ROWS, exact, lm=ScriptedLM(echo))

    with pytest.raises(lp.ScopeError, match=r"await lp.aevaluate"):
        loop.run(metric_like(), instead="")


def test_cancelling_an_evaluation_ends_its_calls() -> None:
    lm = ScriptedLM(echo, latency_s=5)

    async def cancelled() -> None:
        task = asyncio.create_task(lp.aevaluate(Sync(), ROWS, exact, lm=lm))
        while lm.in_flight < 16:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while lm.in_flight:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(cancelled(), timeout=4))


def threads() -> int:
    """How many threads there are, those too that `threading` knows nothing of."""
    return len(sys._current_frames())  # pyright: ignore[reportPrivateUsage]


def test_the_threads_of_an_evaluation_are_given_back() -> None:
    before = threads()

    for _ in range(3):
        lp.evaluate(Sync(), ROWS, exact, lm=ScriptedLM(echo))

    deadline = time.monotonic() + 5
    while threads() > before + 1 and time.monotonic() < deadline:  # one more where the loop began here
        time.sleep(0.01)
    assert threads() <= before + 1


# Python's garbage collection


@pytest.mark.parametrize(("users", "inside"), [(700, OBJECTS_IN_FLIGHT), (500_000, 500_000), (0, 0)])
def test_garbage_is_looked_for_seldom_while_rows_run_unless_the_user_has_a_say_in_it(users: int, inside: int) -> None:
    seen: set[int] = set()

    def metric(row: Any, prediction: Any) -> bool:
        seen.add(gc.get_threshold()[0])
        return True

    before = gc.get_threshold()
    gc.set_threshold(users, *before[1:])
    try:
        lp.evaluate(Sync(), ROWS, metric, lm=ScriptedLM(lambda asked: {"answer": "a"}))
        assert (seen, gc.get_threshold()[0]) == ({inside}, users)
    finally:
        gc.set_threshold(*before)
