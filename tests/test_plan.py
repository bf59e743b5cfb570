"""plan(): what it tells is what the compile takes, it spends little, and it says where there is nothing to win."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from plan_rig import told

import lmprog as lp
from lmprog import loop
from lmprog.budget import Size
from lmprog.cli import main
from lmprog.formats import prepare
from lmprog.lm.ledger import Amount
from lmprog.metrics import exact_match
from lmprog.module import Program
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.full import Full
from lmprog.params import PredictorParams
from lmprog.planning.clock import Clock, Watched
from lmprog.planning.estimates import Estimates
from lmprog.planning.records import Call, Timing
from lmprog.request import Request, request_key
from lmprog.rundir import CALLS, LOCK, RUN
from lmprog.search import Ask, search
from lmprog.testing import Answer, Asked, Handler, ScriptedLM, reply

Rows = list[dict[str, Any]]


class Solve(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Asking(lp.Module):
    def __init__(self) -> None:
        self.solve = lp.Predict(Solve)

    def forward(self, question: str) -> Solve:
        return self.solve(question=question)


class Slow(Asking):
    """Computes for a while."""

    runs = 0

    def forward(self, question: str) -> Solve:
        self.runs += 1
        time.sleep(0.05)
        return super().forward(question)


@dataclass(frozen=True)
class Wordings:
    """Scores so many wordings in full: one call a validation row and wording."""

    count: int = 2

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        made = [params.replace(path, instruction=f"Wording {n}.") for path in params for n in range(self.count)]
        return await search(problem, params, Full([Ask(candidate) for candidate in made]))


def rows(first: int, last: int) -> Rows:
    return [{"question": f"question {n}", "answer": str(n)} for n in range(first, last)]


TRAIN, VAL, HOLDOUT = rows(0, 30), rows(100, 140), rows(200, 260)


def script(right: Callable[[int, Asked], bool]) -> Handler:
    def answer(asked: Asked) -> Answer:
        if "answer" not in asked.outputs:
            return dict.fromkeys(asked.outputs, f"Think {asked.request.sample} times.")
        number = int(asked.inputs["question"].split()[1])
        return {"answer": str(number) if right(number, asked) else "?"}

    return answer


def improvable(number: int, asked: Asked) -> bool:
    return number % 10 < 3 + 3 * bool(asked.demos) + 2 * ("care" in asked.instruction)


def given(run_dir: Path, right: Callable[[int, Asked], bool] = improvable, **changes: Any) -> dict[str, Any]:
    return {
        "train": TRAIN, "val": VAL, "holdout": HOLDOUT, "metric": exact_match("answer"), "optimizer": Wordings(),
        "lm": ScriptedLM(script(right)), "budget": lp.Budget(calls=3000), "run_dir": run_dir / "run",
    } | changes  # fmt: skip


def planned(run_dir: Path, right: Callable[[int, Asked], bool] = improvable, **changes: Any) -> lp.Plan:
    return lp.plan(Asking(), **given(run_dir, right, **changes))


class TestWhatItTells:
    @pytest.mark.parametrize(
        ("name", "optimizer", "budget"),
        [
            ("classify", "bootstrap-random-search", "light"),
            ("two hops", "bootstrap-random-search", lp.Budget(calls=1200)),
            ("extract", "bootstrap", lp.Budget(calls=500)),
        ],
    )
    def test_calls_and_tokens_are_within_15_percent_of_what_the_compile_takes(
        self, name: str, optimizer: str, budget: Size | lp.Budget
    ) -> None:
        found = told(name, optimizer, 0, latency_s=0.001, budget=budget)

        assert found.calls == pytest.approx(1, abs=0.15)
        assert found.tokens == pytest.approx(1, abs=0.15)

    @pytest.mark.parametrize("program", [Asking(), lp.Predict(Solve)], ids=["sync", "async"])
    def test_an_optimizer_of_ones_own_is_counted_by_its_own_code(self, program: Program, tmp_path: Path) -> None:
        plan = lp.plan(program, **given(tmp_path, optimizer=Wordings(3)))

        # 4 probed, 40 val rows as the program is and under 3 wordings; 60 holdout rows under 1 prompt, or where one won 2
        assert 4 + 40 * 4 + 60 <= plan.total.calls <= 4 + 40 * 4 + 2 * 60
        assert (plan.candidates, plan.stopped) == (3, "the search was finished")

    def test_time_follows_from_latency_and_concurrency(self, tmp_path: Path) -> None:
        lm = ScriptedLM(script(improvable), latency_s=0.1)

        plan = planned(tmp_path, lm=lm, concurrency=8)

        in_flight_all_the_time = (plan.total.calls - plan.recorded) * 0.1 / 8
        assert plan.seconds == pytest.approx(1.25 * in_flight_all_the_time, rel=0.3)  # rounds end with slots free

    def test_under_a_cap_in_seconds_fewer_rows_are_tried(self, tmp_path: Path) -> None:
        plans = [
            planned(
                tmp_path / str(seconds),
                lm=ScriptedLM(script(improvable), latency_s=0.1),
                concurrency=1,
                budget=lp.Budget(seconds=seconds),
                optimizer="labeled-few-shot",
            )
            for seconds in (50, 400)
        ]

        assert plans[0].probe.calls <= plans[1].probe.calls / 2
        assert plans[0].seconds is not None
        assert plans[0].seconds <= 50

    def test_where_the_proof_would_not_fit_the_seconds_the_plan_says_so(self, tmp_path: Path) -> None:
        lm = ScriptedLM(script(improvable), latency_s=0.1)

        with pytest.raises(
            lp.InputError, match=r"the budget of 5 seconds is too small: .* takes at least 1\d\.?\d* seconds"
        ):
            planned(tmp_path, lm=lm, concurrency=1, budget=lp.Budget(seconds=5))

        assert lm.sent < 40

    def test_under_a_cap_in_seconds_there_are_as_many_rehearsals_as_a_tenth_of_it_has_room_for(
        self, tmp_path: Path
    ) -> None:
        def runs(budget: lp.Budget) -> float:
            """Runs of a slow program while it is planned, over those of one compile."""
            slow = Slow()
            plan = lp.plan(slow, **given(tmp_path / str(budget), budget=budget))
            return slow.runs / plan.total.calls

        assert runs(lp.Budget(seconds=6)) < 2
        assert runs(lp.Budget(calls=3000)) > 6

    def test_calls_of_a_metric_are_counted_for_the_judge(self, tmp_path: Path) -> None:
        judge = lp.Predict("said -> verdict")

        def metric(row: dict[str, str], prediction: Solve) -> bool:
            return bool(judge(said=f"{row['question']}: {prediction.answer}").verdict == "good")

        def answer(asked: Asked) -> Answer:
            return {"verdict": "good"} if "verdict" in asked.outputs else script(improvable)(asked)  # type: ignore[return-value]

        plan = planned(tmp_path, lm=ScriptedLM(answer), metric=metric)

        assert plan.requested["judge"].calls > 60

    def test_usd_are_told_where_a_price_is_known(self, tmp_path: Path) -> None:
        lp.configure(prices={"scripted": (1000.0, 2000.0)})
        try:
            plan = planned(tmp_path)
        finally:
            lp.configure(prices=None)

        tokens = plan.total.prompt_tokens, plan.total.completion_tokens
        assert plan.total.usd == pytest.approx(tokens[0] * 1e-3 + tokens[1] * 2e-3)
        assert "USD" in str(plan)

    def test_it_reads_well_in_80_columns(self, tmp_path: Path) -> None:
        text = str(planned(tmp_path))

        head, *table = text.split("\n\n")[0].splitlines()
        assert head.split() == ["calls", "prompt", "tokens", "reply", "tokens"]
        assert [line.split()[0] for line in table] == ["task", "in", "this"]
        assert max(map(len, text.splitlines())) <= 80

    def test_equal_candidates_look_better_by_the_expected_greatest_error(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, optimizer=Wordings(20))

        assert plan.noise == pytest.approx((plan.discordant / 40) ** 0.5)
        assert plan.optimism == pytest.approx(1.87 * plan.noise / 2**0.5, rel=0.01)  # of 20 normal numbers

    def test_async_code_awaits_it(self, tmp_path: Path) -> None:
        plan = asyncio.run(lp.aplan(Asking(), **given(tmp_path)))

        assert plan.worthwhile


class TestWhatItSpends:
    def test_it_takes_no_more_than_a_tenth_of_the_budget(self, tmp_path: Path) -> None:
        lm = ScriptedLM(script(improvable))

        plan = planned(tmp_path, lm=lm, budget=lp.Budget(calls=400))

        assert 0 < plan.probe.calls == lm.sent <= 40

    def test_no_lm_sees_a_holdout_row(self, tmp_path: Path) -> None:
        seen = list[str]()

        def answer(asked: Asked) -> Answer:
            seen.append(asked.inputs.get("question", ""))
            return script(improvable)(asked)  # type: ignore[return-value]

        planned(tmp_path, lm=ScriptedLM(answer), optimizer="mipro", budget="light")

        assert seen and not {row["question"] for row in HOLDOUT}.intersection(seen)

    def test_the_compile_does_not_send_again_what_the_plan_sent(self, tmp_path: Path) -> None:
        lm = ScriptedLM(script(improvable))
        plan = planned(tmp_path, lm=lm)
        before = lm.sent

        result = lp.compile(Asking(), **given(tmp_path, lm=lm))

        assert plan.recorded >= 20
        assert lm.sent - before == result.spent.total_requested.calls - plan.recorded

    def test_a_second_plan_is_free_and_says_the_same(self, tmp_path: Path) -> None:
        lm = ScriptedLM(script(improvable), latency_s=0.01)
        first = planned(tmp_path, lm=lm)
        before = lm.sent

        second = planned(tmp_path, lm=lm)

        assert lm.sent == before
        assert second.total == first.total
        assert second.seconds is not None

    def test_it_leaves_nothing_of_the_rehearsal_in_the_run_directory(self, tmp_path: Path) -> None:
        planned(tmp_path)

        assert {path.name for path in (tmp_path / "run").iterdir()} == {CALLS, LOCK, RUN, "timings.json"}

    def test_of_a_finished_run_there_is_nothing_to_plan_and_nothing_is_sent(self, tmp_path: Path) -> None:
        lp.compile(Asking(), **given(tmp_path))
        lm = ScriptedLM(script(improvable))

        with pytest.raises(
            lp.RunDirError, match=r"run is finished: to compile returns its result and costs nothing\. To plan"
        ):
            planned(tmp_path, lm=lm)

        assert lm.sent == 0


class TestAdvice:
    def test_there_is_nothing_against_a_program_that_prompts_change(self, tmp_path: Path) -> None:
        plan = planned(tmp_path)

        assert plan.worthwhile and plan.differing > 0
        assert str(plan).endswith("Nothing speaks against compiling.")

    def test_a_program_that_is_right_already_is_not_worth_it(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, right=lambda number, asked: True)

        assert not plan.worthwhile
        assert plan.advice[0].startswith("Do not compile: the program scores 1.00 already")
        assert "these 60 rows show" in plan.advice[0]

    def test_prompts_that_change_nothing_are_not_worth_it(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, right=lambda number, asked: number % 2 == 0)

        assert plan.advice[0].startswith(f"Do not compile: none of {plan.tried} runs under other prompts")

    def test_a_metric_that_sees_no_difference_is_not_worth_it(self, tmp_path: Path) -> None:
        def blind(row: dict[str, str], prediction: Solve) -> float:
            return 0.5

        plan = planned(tmp_path, metric=blind)

        assert "and not one score" in plan.advice[0]

    def test_where_no_reply_can_be_read_it_shows_one_with_the_field_that_is_missing(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, lm=ScriptedLM(lambda asked: lp.Response("I cannot help with that. " * 50)))

        (advice,) = plan.advice
        assert advice.startswith(
            f"Do not compile: not one of {plan.baseline_rows} runs of the program gave a prediction, nor one of {plan.tried} "
            "under other prompts (the first: `solve`: "
            "the field `answer` is missing. The reply was: I cannot help with that. I cannot help"
        )
        assert len(advice) < 500

    def test_that_no_run_gives_a_prediction_does_not_speak_against_demos_that_mend_it(self, tmp_path: Path) -> None:
        answers = script(improvable)
        taught = ScriptedLM(lambda asked: answers(asked) if asked.demos else lp.Response("I cannot help with that."))

        plan = planned(tmp_path, lm=taught)

        assert plan.failed == plan.baseline_rows and plan.worthwhile and not plan.advice

    def test_that_prompts_change_nothing_does_not_speak_against_training_weights(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, lm=ScriptedLM(lambda asked: lp.Response("I cannot help with that.")))
        training = replace(plan, requested={**plan.requested, "training": Amount(0, 9000, 900)}, candidates=1)

        assert not plan.worthwhile and training.worthwhile
        assert "What trained weights change, no plan tells." in str(training).replace("\n", " ")

    def test_rows_too_few_for_what_prompts_change_are_told_with_how_many_it_takes(self, tmp_path: Path) -> None:
        def seldom(number: int, asked: Asked) -> bool:
            return number % 2 == 0 or (bool(asked.demos) and number == 103)

        plan = planned(tmp_path, right=seldom, holdout=rows(200, 230))

        assert plan.differing == 1
        assert "these 30 rows show" in plan.advice[0] and "holdout rows it may be worth it" in plan.advice[0]

    def test_a_budget_that_pays_for_no_candidate_is_told(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, budget=lp.Budget(calls=4 + 40 + 150))

        assert plan.candidates == 0
        assert plan.advice[0].startswith("Do not compile with this budget")

    def test_a_budget_too_small_for_the_proof_is_refused_as_by_compile(self, tmp_path: Path) -> None:
        for run in (lp.plan, lp.compile):
            with pytest.raises(lp.InputError, match="the budget of 100 calls is too small"):
                run(Asking(), **given(tmp_path, budget=lp.Budget(calls=100)))


class TestRehearsal:
    def test_the_clock_skips_what_everybody_sleeps_through(self) -> None:
        async def sleeping() -> tuple[float, float]:
            clock, slots = Clock(Watched(4)), asyncio.Semaphore(10)
            home = asyncio.get_running_loop()
            began, really = clock.now(), home.time()

            async def work() -> None:
                async with slots:
                    await clock.sleep(60)

            await asyncio.gather(*(work() for _ in range(95)))
            return clock.now() - began, home.time() - really

        virtual, real = loop.run(sleeping(), instead="await")

        assert virtual == pytest.approx(10 * 60, abs=5)
        assert real < 5

    def test_a_recorded_reply_is_given_in_the_layout_that_a_request_wants(self) -> None:
        asked = request_of("chat", "question 7")
        estimates = Estimates([call(asked, reply({"answer": "7"}, asked))])

        other = request_of("json", "question 7")
        found = estimates.reply("scripted", other, request_key("scripted", other), distinct=False)

        assert json.loads(found.text) == {"answer": "7"}

    def test_the_order_in_which_calls_came_makes_no_difference(self) -> None:
        asked = [request_of("chat", f"question {n}", how) for how in ("Answer.", "Read.", "Think.") for n in range(8)]
        calls = [
            call(one, reply({"answer": f"reply {n % 5}"}, one), tokens=40 + n % 7, seconds=0.1 + n % 3)
            for n, one in enumerate(asked)
        ]
        wanted = [request_of("chat", f"question {n}", how) for how in ("Guess.", "Try.") for n in range(20)]

        def told(known: list[Call], requests: list[Request]) -> dict[str, tuple[str, int, float]]:
            estimates, said = Estimates(known), dict[str, tuple[str, int, float]]()
            for one in requests:
                key = request_key("scripted", one)
                found = estimates.reply("scripted", one, key, distinct=True)
                said[key] = found.text, found.prompt_tokens, estimates.seconds("scripted", one, found, key, beside=1)
            return said

        assert told(calls, wanted) == told(calls[::-1], wanted[::-1]) == told(calls[7:] + calls[:7], wanted)

    def test_tokens_and_seconds_grow_with_the_prompt_as_they_did(self) -> None:
        asked = [request_of("chat", "word " * size) for size in (10, 100, 200)]
        sizes = [sum(len(message.text) for message in one.messages) for one in asked]
        calls = [call(one, "4", tokens=size // 4, seconds=size / 1000) for one, size in zip(asked, sizes, strict=True)]
        estimates, longer = Estimates(calls), request_of("chat", "word " * 400)
        size = sum(len(message.text) for message in longer.messages)

        found = estimates.reply("scripted", longer, "key", distinct=False)

        assert found.prompt_tokens == pytest.approx(size / 4, rel=0.02)
        assert estimates.seconds("scripted", longer, found, "key", beside=0) == pytest.approx(size / 1000, rel=0.05)


def request_of(layout: Any, question: str, instruction: str = "Answer.") -> Request:
    template = prepare(Solve, PredictorParams(instruction=instruction, format=layout))
    return Request(template.render({"question": question}), schema=template.schema)


def call(request: Request, text: str, *, tokens: int = 10, seconds: float = 1.0) -> Call:
    response = lp.Response(text, prompt_tokens=tokens, completion_tokens=2)
    return Call(request_key("scripted", request), "scripted", "task", request, response, Timing(seconds, 0))


TASK_FILE = """
import lmprog as lp
from lmprog.testing import ScriptedLM

def answer(asked):
    number = int(asked.inputs["number"])
    return {"answer": str(number) if number % 10 < 3 + 4 * bool(asked.demos) else "?"}

def load():
    rows = [{"number": n, "answer": str(n)} for n in range(150)]
    return lp.Splits(tuple(rows[:40]), tuple(rows[40:80]), tuple(rows[80:]))

lp.configure(lm=ScriptedLM(answer))
TASK = lp.Task("counting", lambda: lp.Predict("number: int -> answer"), lp.metrics.exact_match("answer"), load, "counts")
"""


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("LMPROG_LM", raising=False)
        (tmp_path / "counting.py").write_text(TASK_FILE)
        yield tmp_path
        lp.configure(lm=None)

    ARGUMENTS = ("plan", "counting.py:TASK", "--optimizer", "labeled-few-shot", "--budget", "calls=900")

    def test_it_tells_the_table_and_the_advice_a_line_each(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = main(self.ARGUMENTS)

        lines = capsys.readouterr().out.splitlines()
        assert code == 0
        assert lines[0] == "planning counting: Predict with labeled-few-shot, budget calls=900"
        assert [line.split()[0] for line in lines[3:6]] == ["task", "in", "this"]
        assert lines[-1] == "Nothing speaks against compiling."

    def test_json_has_all_figures(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code = main([*self.ARGUMENTS, "--json"])

        found = json.loads(capsys.readouterr().out)
        assert code == 0
        assert (found["worthwhile"], found["advice"], found["budget"]) == (True, [], 900)
        assert found["requested"]["task"]["calls"] > 100

    def test_wrong_use_ends_as_it_does_for_compile(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["plan", "counting.py:TASK", "--budget", "calls=50"]) == 2
        assert "the budget of 50 calls is too small" in capsys.readouterr().err
