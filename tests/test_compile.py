"""compile(): what it proves, what it refuses, and that neither time nor a kill changes what it gives."""

import asyncio
import gc
import itertools
import json
import logging
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CoroutineType, FrameType, FunctionType, ModuleType
from typing import Any, Literal, cast
from zlib import crc32

import pytest

import lmprog as lp
from lmprog.budget import Size, estimate
from lmprog.job import Job, splits_of
from lmprog.metrics import exact_match
from lmprog.module import M
from lmprog.optimizer import Optimizer, Outcome, Problem
from lmprog.optimizers.select.full import Full
from lmprog.request import request_key
from lmprog.rundir import JOURNAL, RESULT, RUN
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told, search
from lmprog.testing import Answer, Asked, Handler, ScriptedLM, reply

Rows = list[dict[str, Any]]


class Reply(lp.Signature):
    """Be right on 3 of 10."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Asking(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict(Reply)

    def forward(self, question: str) -> Reply:
        return self.answer(question=question)


class AskingLater(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict(Reply)

    async def aforward(self, question: str) -> Reply:
        return await self.answer.acall(question=question)


class Nested(lp.Module):
    def __init__(self) -> None:
        self.inner, self.others = Asking(), [lp.Predict(Reply)]

    def forward(self, question: str) -> Reply:
        self.inner(question=question)
        return self.others[0](question=question)


def rows(first: int, last: int) -> Rows:
    return [{"question": f"q{number}", "answer": f"{number}!"} for number in range(first, last)]


def graded(asked: Asked) -> Answer:
    """Right on as many of ten questions as the instruction says, the same ones each time."""
    question, level = asked.inputs["question"], int(asked.instruction.split()[3])
    return {"answer": f"{question[1:]}!" if int(question[1:]) % 10 < level else "?"}


async def delayed(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.004)
    return graded(asked)


@dataclass(frozen=True)
class Found:
    """An optimizer that has found its params beforehand, at no cost."""

    level: int

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        return Outcome(at_level(params, self.level), 1.0, 0.0, "found")


@dataclass(frozen=True)
class Searching:
    """Scores a candidate of each level in full, in rounds as the kernel makes them."""

    levels: tuple[int, ...]

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        return await search(problem, params, Full([Ask(at_level(params, level)) for level in self.levels]))


@dataclass
class Script:
    """Asks for these rounds, each level of them in full."""

    rounds: list[tuple[int, ...]]

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        self.left = [[Ask(at_level(params, level)) for level in levels] for levels in self.rounds]
        return await search(problem, params, self)

    async def ask(self, table: ScoreTable, /) -> list[Ask]:
        return self.left.pop(0) if self.left else []

    def tell(self, told: Sequence[Told], /) -> None:
        pass


@dataclass(frozen=True)
class Climbing:
    """Scores a candidate of each level in turn, a round each, from the best so far."""

    levels: Sequence[int]

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        outcome = await Searching(()).search(problem, params)
        for level in self.levels:
            if "cap" in outcome.stopped:
                break
            outcome = await search(problem, outcome.params, Full([Ask(at_level(params, level))]))
        return outcome


def at_level(params: lp.Params, level: int) -> lp.Params:
    for path in params:
        params = params.replace(path, instruction=f"Be right on {level} of 10.")
    return params


TRAIN, VAL, HOLDOUT = rows(0, 10), rows(10, 20), rows(20, 50)


def compiled_from(program: M, run_dir: Path, **changes: Any) -> lp.CompileResult[M]:
    given: dict[str, Any] = {
        "train": TRAIN, "val": VAL, "holdout": HOLDOUT, "metric": exact_match("answer"), "optimizer": Found(8),
        "lm": ScriptedLM(graded), "run_dir": run_dir,
    }  # fmt: skip
    return lp.compile(program, **given | changes)


def compiled(run_dir: Path, optimizer: str | Optimizer, **changes: Any) -> lp.CompileResult[Asking]:
    return compiled_from(Asking(), run_dir, optimizer=optimizer, **changes)


class TestHonesty:
    def test_an_optimizer_reaches_train_and_val_rows_but_no_holdout_row(self, tmp_path: Path) -> None:
        everything = rows(1000, 1100)
        prowler = Prowler([row["question"] for row in everything])

        compiled_from(Nested(), tmp_path / "run", train=everything, optimizer=prowler, val=None, holdout=None)

        assert len(prowler.own) == 70  # 40 to train, 30 to validate
        assert prowler.seen == [prowler.own] * 2  # the walk does find rows, and the 30 others are not among them

    def test_holdout_rows_that_were_given_apart_are_not_reachable_either(self, tmp_path: Path) -> None:
        prowler = Prowler([row["question"] for row in (*TRAIN, *VAL, *HOLDOUT)])

        compiled(tmp_path / "run", prowler)

        assert prowler.seen == [prowler.own, prowler.own] and len(prowler.own) == 20


@dataclass
class Prowler:
    """An optimizer that looks for rows in all that its problem leads to, before and after it has evaluated."""

    markers: Sequence[str]
    own: set[str] = field(default_factory=set[str])
    seen: list[set[str]] = field(default_factory=list[set[str]])

    def __repr__(self) -> str:
        return "Prowler()"

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        self.own |= {question_of(row) for row in (*problem.train, *problem.val)}
        self.seen.append(texts_reachable_from(problem) & set(self.markers))
        await problem.evaluate(params)
        self.seen.append(texts_reachable_from(problem) & set(self.markers))
        return Outcome(params, 0.0, 0.0, "looked around")


def question_of(row: Any) -> str:
    return str(row["question"])


def texts_reachable_from(start: object) -> set[str]:
    """Follow every reference but those into what any code of the process reaches anyway."""
    shut = (ModuleType, type, FrameType, CoroutineType, asyncio.AbstractEventLoop, Prowler)
    texts, seen, todo = set[str](), set[int](), [start]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, shut):
            continue
        seen.add(id(thing))
        if isinstance(thing, str):
            texts.add(thing)
        world = id(thing.__globals__) if isinstance(thing, FunctionType) else None
        todo += [part for part in gc.get_referents(thing) if id(part) != world]
    return texts


class TestGates:
    def test_no_harm_ships_a_gain_and_gives_its_numbers(self, tmp_path: Path) -> None:
        result = compiled(tmp_path / "run", Found(8))

        proof = result.certificate
        assert (proof.baseline, proof.compiled, proof.n) == (0.3, 0.8, 30)  # 9 and 24 of 30
        assert proof.gain == pytest.approx(0.5)
        assert 0.3 <= proof.interval.low < 0.4 and 0.6 < proof.interval.high <= 0.7  # 0.5 -+ 1.96 sqrt(0.25 / 30)
        assert proof.requested == {"task": 4 + 2 * 30}  # the probe's rows, then each holdout row twice
        assert result.shipped == proof.shipped == "compiled" and proof.proven
        assert result.params["answer"].instruction == "Be right on 8 of 10."
        assert "baseline 0.30 -> 0.80, gain +0.50" in str(proof) and str(proof).endswith("n=30, shipped: compiled")
        assert repr(result) == f"<CompileResult: {proof}; report: {result.report}>"

    @pytest.mark.parametrize("gate", ["no-harm", "significant", "none"])
    def test_where_the_search_found_nothing_the_baseline_ships(self, tmp_path: Path, gate: str) -> None:
        result = compiled(tmp_path / "run", Found(3), gate=gate)

        assert result.shipped == "baseline" and result.params == result.baseline_params
        assert result.certificate.gain == 0.0 and "shipped: baseline" in str(result.certificate)

    @pytest.mark.parametrize("gate", ["no-harm", "significant"])
    def test_a_loss_on_the_holdout_ships_the_baseline(self, tmp_path: Path, gate: str) -> None:
        result = compiled(tmp_path / "run", Found(1), gate=gate)

        assert result.certificate.gain == pytest.approx(-0.2)
        assert result.shipped == "baseline" and result.params == result.baseline_params
        assert result.program.answer.initial.instruction == "Be right on 3 of 10."

    def test_a_gain_that_may_be_chance_passes_no_harm_but_not_significant(self, tmp_path: Path) -> None:
        one_more = [
            *rows(20, 49),
            {"question": "q53", "answer": "53!"},
        ]  # level 4 is right on four more rows, or on one:
        hard = [row | {"question": f"q{9 + 10 * number}"} for number, row in enumerate(rows(10, 39), start=50)]
        chance = [*hard, one_more[-1]]

        kept = compiled(tmp_path / "significant", Found(4), holdout=chance, gate="significant")
        taken = compiled(tmp_path / "no-harm", Found(4), holdout=chance)

        assert kept.certificate.gain == taken.certificate.gain == pytest.approx(1 / 30)
        assert kept.certificate.interval.low == 0.0
        assert (kept.shipped, taken.shipped) == ("baseline", "compiled")
        assert "unproven: the interval touches zero" in str(taken.certificate)

    def test_no_gate_ships_a_loss_and_says_unproven(self, tmp_path: Path) -> None:
        result = compiled(tmp_path / "run", Found(1), gate="none")

        assert result.shipped == "compiled" and not result.certificate.proven
        assert "unproven" in str(result.certificate)

    def test_a_small_holdout_is_refused_with_the_count_needed(self, tmp_path: Path) -> None:
        with pytest.raises(lp.DataError, match=r'the holdout has 29 rows, and fewer than 30.*gate="none"'):
            compiled(tmp_path / "given", Found(8), holdout=HOLDOUT[1:])
        with pytest.raises(lp.DataError, match=r"the holdout has 15 rows.* 30% become holdout: give 100 rows or more"):
            lp.compile(Asking(), train=rows(0, 50), metric=exact_match("answer"), lm=ScriptedLM(graded))
        with pytest.raises(lp.DataError, match=r"the holdout has 21 rows.* 43% become holdout: give 70 rows or more"):
            lp.compile(
                Asking(),
                train=rows(0, 50),
                val=rows(90, 99),
                metric=exact_match("answer"),
                lm=ScriptedLM(graded),
            )

    @pytest.mark.parametrize(
        ("group", "gate", "said"),
        [
            (None, "no-harm", "the holdout has 0 rows.* The 120 rows are but 1 set that can be parted: those with the same inputs"),
            ("answer", "none", "leaves no val row.* but 1 set that can be parted: those with the same inputs or the same 'answer'"),
        ],
    )  # fmt: skip
    def test_rows_that_cannot_be_parted_are_told_apart_from_too_few(
        self, group: str | None, gate: Any, said: str
    ) -> None:
        alike = rows(7, 8) * 120 if group is None else [{**row, "answer": "same"} for row in rows(0, 120)]
        with pytest.raises(lp.DataError, match=said):
            lp.compile(
                Asking(), train=alike, metric=exact_match("answer"), lm=ScriptedLM(graded), group=group, gate=gate
            )

    def test_the_count_named_is_enough(self, tmp_path: Path) -> None:
        result = compiled_from(Asking(), tmp_path / "a", train=rows(0, 100), val=None, holdout=None)
        smaller = compiled_from(Asking(), tmp_path / "b", train=rows(0, 70), val=rows(90, 99), holdout=None)

        assert result.certificate.n == smaller.certificate.n == 30

    def test_without_a_gate_a_small_holdout_ships_but_proves_nothing(self, tmp_path: Path) -> None:
        result = compiled(
            tmp_path / "run", Found(9), holdout=[row for row in HOLDOUT if row["question"][-1] in "345"], gate="none"
        )

        assert result.certificate.n == 9 and result.certificate.interval.low == 1.0
        assert result.shipped == "compiled" and not result.certificate.proven
        assert "unproven: fewer than 30 rows prove nothing" in str(result.certificate)

    def test_rows_of_one_group_stand_or_fall_together(self, tmp_path: Path) -> None:
        won = [
            {"question": f"q{10 * number + 5}", "answer": f"{10 * number + 5}!", "topic": "won"}
            for number in range(10, 25)
        ]
        even = [
            {"question": f"q{10 * number}", "answer": f"{10 * number}!", "topic": "even"} for number in range(10, 25)
        ]

        def grouped(group: str | None) -> lp.Certificate:
            return compiled_from(
                Asking(),
                tmp_path / str(group) / "run",
                train=[row | {"topic": "train"} for row in TRAIN],
                val=[row | {"topic": "val"} for row in VAL],
                holdout=[*won, *even],
                group=group,
            ).certificate

        alone, together = grouped(None), grouped("topic")
        assert alone.gain == together.gain == 0.5  # all 15 of one topic, none of the other
        assert alone.interval.low >= 0.3 and alone.interval.high <= 0.7
        assert (together.interval.low, together.interval.high) == (0.0, 1.0)  # two topics: both draws may hit the same

    def test_a_finished_run_tells_predictors_in_the_order_of_the_program_as_it_did_at_first(
        self, tmp_path: Path
    ) -> None:
        class Backwards(lp.Module):
            def __init__(self) -> None:
                self.second, self.first = lp.Predict(Reply), lp.Predict(Reply)

            def forward(self, question: str) -> Reply:
                self.second(question=question)
                return self.first(question=question)

        at_first, again = (compiled_from(Backwards(), tmp_path / "run") for _ in range(2))

        for result in (at_first, again):
            assert list(result.params) == list(result.baseline_params) == ["second", "first"]
        assert again.params == at_first.params != at_first.baseline_params

    def test_the_first_line_of_the_story_counts_calls_only_where_they_are_capped(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def first_line(budget: lp.Budget) -> tuple[str, Mapping[str, Any]]:
            caplog.clear()
            with caplog.at_level("INFO", "lmprog.compile"):
                run = compiled(tmp_path / str(budget), Found(8), budget=budget)
            ended = json.loads((run.run_dir / JOURNAL).read_text().splitlines()[0])
            return caplog.messages[0], ended["facts"]

        assert first_line(lp.Budget(tokens=1_000_000)) == (
            "the program takes 1 call a row; calls are not capped", {"calls_per_row": 1.0},
        )  # fmt: skip
        assert first_line(lp.Budget(calls=900)) == (
            "the program takes 1 call a row; budget 900 calls, 75 of them kept for the proof",
            {"calls_per_row": 1.0, "calls": 900, "reserved": 75},
        )

    def test_a_holdout_row_without_a_prediction_is_told_shortly_and_without_keys(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = "sk-" + 97 * "k1"
        monkeypatch.setenv("SOME_API_KEY", key)

        def failing(asked: Asked) -> Answer | str:
            return (
                graded(asked) if asked.inputs["question"] not in ("q20", "q21") else f"no field, and {80 * 'x'} {key}"
            )

        compiled(tmp_path / "run", Found(8), lm=ScriptedLM(failing))

        [said] = [one for one in map(logging.LogRecord.getMessage, caplog.records) if "gave no prediction" in one]
        assert "q20" in said and "***" in said
        assert "sk-k1" not in said and "q21" not in said and len(said) < 600

    def test_the_certificate_counts_other_runs_that_opened_the_same_holdout(self, tmp_path: Path) -> None:
        first = compiled(tmp_path / "1", Found(8))
        second = compiled(tmp_path / "2", Found(9))
        elsewhere = compiled(tmp_path / "3", Found(8), holdout=rows(100, 130))
        again = compiled(tmp_path / "1", Found(8))

        assert [first.certificate.opened_before, second.certificate.opened_before] == [0, 1]
        assert elsewhere.certificate.opened_before == 0
        assert again.certificate == first.certificate
        assert "the holdout was used by 1 other run before" in str(second.certificate)

    def test_an_equal_run_beside_this_one_is_no_second_look_and_gives_the_same_bytes(self, tmp_path: Path) -> None:
        program = Nested()  # the very same object, which compiling leaves notes on
        first, equal = compiled_from(program, tmp_path / "1"), compiled_from(program, tmp_path / "2")

        assert equal.certificate.opened_before == 0
        assert equal.artifact.to_bytes() == first.artifact.to_bytes()

    def test_the_certificate_counts_rows_that_gave_no_prediction(self, tmp_path: Path) -> None:
        assert compiled(tmp_path / "run", Found(8)).certificate.failed == {"baseline": 0, "compiled": 0}

    def test_a_run_that_is_resumed_after_others_keeps_its_count(self, tmp_path: Path) -> None:
        with pytest.raises(lp.AuthError):
            compiled(tmp_path / "1", Found(8), lm=ScriptedLM(refused_after(20)))  # stopped while the holdout is open
        compiled(tmp_path / "2", Found(9))

        assert compiled(tmp_path / "1", Found(8)).certificate.opened_before == 0

    def test_runs_beside_it_that_cannot_be_read_are_passed_over(self, tmp_path: Path) -> None:
        for name, text in (("broken", "{"), ("foreign", "[1]")):
            (tmp_path / name).mkdir()
            (tmp_path / name / RUN).write_text(text)

        assert compiled(tmp_path / "run", Found(8)).certificate.opened_before == 0


def refused_after(calls: int) -> Handler:
    """A script whose key is refused after so many calls."""
    left = iter(range(calls))

    async def handler(asked: Asked) -> Answer:
        await asyncio.sleep(random.random() * 0.002)
        if next(left, None) is None:
            raise lp.AuthError("the key was refused")
        return graded(asked)

    return handler


class WriteQuery(lp.Signature):
    """Write a search query."""

    question: str = lp.InputField()
    query: str = lp.OutputField()


class Conclude(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    query: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoStages(lp.Module):
    def __init__(self) -> None:
        self.write_query = lp.Predict(WriteQuery)
        self.answer = lp.ChainOfThought(Conclude)

    def forward(self, question: str) -> Conclude:
        return self.answer(question=question, query=self.write_query(question=question).query)


WORDINGS = ["Answer carefully.", "Guess.", "Write a precise query.", "Do it."]


def luck(text: str) -> int:
    """A number from 0 to 9 that depends on the text alone."""
    return crc32(text.encode()) % 10


def planted(asked: Asked) -> Answer:
    (first, *_) = asked.outputs
    if "instruction" in first:
        return {first: WORDINGS[asked.request.sample % len(WORDINGS)]}
    if first == "summary":
        return {"summary": "questions and numbers"}
    question = asked.inputs["question"]
    if first == "query":
        return {"query": "good" if luck(question) < (9 if "precise" in asked.instruction else 3) else "bad"}
    level = 2 + 3 * ("carefully" in asked.instruction) + 2 * bool(asked.demos) + 3 * (asked.inputs["query"] == "good")
    return {"reasoning": "so", "answer": f"{question[1:]}!" if luck(question + "x") < level else "?"}


@dataclass
class Recorder:
    """A script with random delays that notes the requests it answered, and refuses the key after so many."""

    most: float = float("inf")
    answered: list[str] = field(default_factory=list[str])

    async def __call__(self, asked: Asked) -> Answer:
        await asyncio.sleep(random.random() * 0.004)
        if len(self.answered) >= self.most:
            raise lp.AuthError("the key was refused")
        self.answered.append(request_key("scripted", asked.request))
        return planted(asked)


MIPRO = "mipro:candidates=3,trials=4"


def two_stages(
    run_dir: Path, handler: Handler, *, optimizer: str = MIPRO, seed: int = 0, concurrency: int = 16, calls: int = 600
) -> lp.CompileResult[TwoStages]:
    return lp.compile(
        TwoStages(),
        train=rows(0, 100),
        metric=exact_match("answer"),
        optimizer=optimizer,
        lm=ScriptedLM(handler),
        run_dir=run_dir,
        seed=seed,
        concurrency=concurrency,
        budget=lp.Budget(calls=calls),
    )


class TestSameRunSameBytes:
    @pytest.mark.parametrize("optimizer", [MIPRO, "bootstrap -> bootstrap-random-search:candidates=2"])
    def test_latencies_and_concurrency_change_no_byte_of_the_artifact(self, tmp_path: Path, optimizer: str) -> None:
        made = [
            two_stages(tmp_path / str(concurrency) / "run", Recorder(), optimizer=optimizer, concurrency=concurrency)
            for concurrency in (3, 40)
        ]

        first, second = ((result.run_dir / RESULT).read_bytes() for result in made)
        assert first == second
        assert made[0].certificate.gain > 0

    def test_a_round_that_a_cap_cuts_changes_no_byte_either(self, tmp_path: Path) -> None:
        def costly(level: int) -> Handler:
            async def handler(asked: Asked) -> Answer:
                await asyncio.sleep(random.random() * 0.004)
                return graded(asked) if f"on {level} " not in asked.instruction else "no answer at all"

            return handler

        made = [
            compiled(
                tmp_path / str(number) / "run",
                Script([(4,), (6, 8)]),
                lm=ScriptedLM(costly(8)),
                budget=lp.Budget(calls=125),
            )
            for number in range(3)
        ]  # each row takes level 8 two calls, which nobody could foresee

        assert len({(result.run_dir / RESULT).read_bytes() for result in made}) == 1
        assert "the cap on calls was reached" in (made[0].run_dir / JOURNAL).read_text()
        assert made[0].params["answer"].instruction == "Be right on 4 of 10."

    def test_another_seed_splits_the_rows_differently(self, tmp_path: Path) -> None:
        made = [
            compiled_from(Asking(), tmp_path / str(seed) / "run", train=rows(0, 100), seed=seed, val=None, holdout=None)
            for seed in (0, 1)
        ]

        first, second = (result.certificate.splits["holdout"] for result in made)
        assert first.rows == second.rows == 30 and first.fingerprint != second.fingerprint

    @pytest.mark.parametrize("stopped_after", [3, 150, 330])
    def test_a_run_that_was_stopped_sends_no_recorded_call_again_and_ends_as_if_it_never_was(
        self, tmp_path: Path, stopped_after: int
    ) -> None:
        whole, part, rest = Recorder(), Recorder(most=stopped_after), Recorder()
        with pytest.raises(lp.AuthError):
            two_stages(tmp_path / "a" / "run", part)

        resumed = two_stages(tmp_path / "a" / "run", rest)

        uninterrupted = two_stages(tmp_path / "b" / "run", whole)
        assert len(part.answered) == stopped_after and not set(part.answered) & set(rest.answered)
        assert sorted(part.answered + rest.answered) == sorted(whole.answered)
        assert (resumed.run_dir / RESULT).read_bytes() == (uninterrupted.run_dir / RESULT).read_bytes()

    def test_a_finished_run_is_returned_with_no_call(self, tmp_path: Path) -> None:
        first = two_stages(tmp_path / "run", planted)

        def silent(asked: Asked) -> Answer:
            raise AssertionError("a call was sent")

        again = two_stages(tmp_path / "run", silent, concurrency=2)

        assert again.certificate == first.certificate
        assert (again.params, again.baseline_params, again.shipped) == (
            first.params,
            first.baseline_params,
            first.shipped,
        )
        assert again.artifact.to_bytes() == first.artifact.to_bytes()
        assert again.spent.total_sent.calls == again.spent.total_requested.calls == 0
        assert again.report == first.report and again.report.exists()

    def test_a_finished_run_that_lost_its_result_makes_it_again_from_the_recorded_calls(self, tmp_path: Path) -> None:
        first = two_stages(tmp_path / "run", planted)
        before = (first.run_dir / RESULT).read_bytes()
        (first.run_dir / RESULT).unlink()
        unsent = Recorder()

        two_stages(tmp_path / "run", unsent)

        assert (first.run_dir / RESULT).read_bytes() == before and not unsent.answered

    def test_an_optimizer_object_without_a_repr_is_known_again(self, tmp_path: Path) -> None:
        class Plain:
            async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
                return Outcome(at_level(params, 8), 1.0, 0.0, "found")

        compiled(tmp_path / "run", Plain())
        unsent = ScriptedLM(graded)

        compiled(tmp_path / "run", Plain(), lm=unsent)

        assert unsent.sent == 0

    def test_without_a_run_dir_the_settings_name_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        def at(seed: int) -> Path:
            return lp.compile(
                TwoStages(), train=rows(0, 100), metric=exact_match("answer"), optimizer="labeled-few-shot",
                lm=ScriptedLM(planted), seed=seed,
            ).run_dir  # fmt: skip

        assert at(0) == at(0) != at(1)
        assert at(0).parent == Path("runs") and at(0).name.startswith("two-stages-") and len(at(0).name) == 11 + 8


class TestBudget:
    @pytest.mark.parametrize("calls", [1, 3, 5, 88, 89, 90, 100, 130, 200])
    def test_no_more_calls_are_sent_than_the_budget_has(self, tmp_path: Path, calls: int) -> None:
        lm = ScriptedLM(delayed)

        try:
            result = compiled(tmp_path / "run", Searching((4, 5, 6, 7, 8)), lm=lm, budget=lp.Budget(calls=calls))
        except lp.InputError:
            assert calls < 89 and lm.sent <= 4  # 4 to probe, 10 to score, 60 and a quarter to prove
        else:
            assert calls >= 89 and result.certificate.n == 30
        assert lm.sent <= calls

    @pytest.mark.parametrize("calls", [1, 88])
    def test_a_budget_too_small_to_prove_anything_is_refused_before_the_search(
        self, tmp_path: Path, calls: int
    ) -> None:
        class Never:
            async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
                raise AssertionError("the search began")

        with pytest.raises(
            lp.InputError,
            match=rf"budget of {calls} calls is too small: .* up to 89 calls, before any search. Give 178 calls",
        ):
            compiled(tmp_path / "run", Never(), budget=lp.Budget(calls=calls))

    def test_after_that_the_directory_takes_a_larger_budget(self, tmp_path: Path) -> None:
        with pytest.raises(lp.InputError):
            compiled(tmp_path / "run", Found(8), budget=lp.Budget(calls=50))
        lm = ScriptedLM(graded)

        compiled(tmp_path / "run", Found(8), lm=lm, budget=lp.Budget(calls=100))

        assert lm.sent == 60  # the probe's calls are recorded

    def test_rows_with_equal_inputs_do_not_hide_what_a_row_costs(self, tmp_path: Path) -> None:
        same = [{"question": "q1", "answer": "1!"}] * 6

        with pytest.raises(lp.InputError, match="takes about 1 call a row"):
            compiled_from(Asking(), tmp_path / "run", train=[*same, *rows(2, 8)], budget=lp.Budget(calls=80))

    @pytest.mark.parametrize("size", ["light", "medium", "heavy"])
    def test_a_size_is_the_number_of_calls_that_the_estimate_gives(self, tmp_path: Path, size: Size) -> None:
        result = compiled(tmp_path / "run", Found(8), budget=size)

        expected = estimate(size, predictors=1, calls_per_row=1.0, train=10, val=10, holdout=30)
        facts = json.loads((result.run_dir / RUN).read_text())
        assert facts["calls"] == expected.total and facts["reserved"] == expected.certificate == 75

    def test_a_light_budget_searches_on_a_hundred_validation_rows_at_most(self, tmp_path: Path) -> None:
        result = compiled_from(Asking(), tmp_path / "run", val=rows(100, 250))

        assert result.certificate.splits["val"].rows == 100

    def test_a_cap_in_tokens_ends_the_search_and_leaves_enough_to_prove_its_result(self, tmp_path: Path) -> None:
        budget = lp.Budget(tokens=20_000)  # of which 15,000 to search: some 45 levels on 10 rows of 30 tokens

        result = compiled(tmp_path / "run", Climbing(range(4, 1000)), lm=ScriptedLM(with_tokens), budget=budget)

        assert result.params["answer"].instruction == "Be right on 10 of 10." and result.certificate.proven
        assert "the cap on tokens was reached" in (result.run_dir / JOURNAL).read_text()
        assert 15_000 < result.spent.total_sent.tokens <= 20_000

    def test_a_cap_that_leaves_the_optimizer_without_an_answer_leaves_the_program_as_it_was(
        self, tmp_path: Path
    ) -> None:
        class Wasteful:
            async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
                for level in range(1000, 2000):
                    await problem.evaluate(at_level(params, level))
                raise AssertionError("no cap held")

        result = compiled(tmp_path / "run", Wasteful(), budget=lp.Budget(calls=120))

        assert result.shipped == "baseline" and result.certificate.n == 30


def with_tokens(asked: Asked) -> Answer:
    """As `graded`; every call takes 30 tokens."""
    return lp.Response(reply(cast("Mapping[str, Any]", graded(asked))), prompt_tokens=20, completion_tokens=10)


class TestPrograms:
    def test_the_result_is_a_twin_that_leaves_the_program_as_it_was(self, tmp_path: Path) -> None:
        program = Asking()
        lm = ScriptedLM(graded)

        result = compiled_from(program, tmp_path / "run", lm=lm)

        assert type(result.program) is Asking and result.program is not program
        assert lp.params_of(program)["answer"].instruction == "Be right on 3 of 10."
        assert lp.params_of(result.program) == result.params
        with lp.using(lm=lm):
            assert result.program(question="q7").answer == "7!"
            assert program(question="q7").answer == "?"

    def test_an_async_program_compiles(self, tmp_path: Path) -> None:
        result = compiled_from(AskingLater(), tmp_path / "run")

        with lp.using(lm=ScriptedLM(graded)):
            assert result.program(question="q7").answer == "7!"

    def test_a_lone_predictor_compiles(self, tmp_path: Path) -> None:
        def lone(asked: Asked) -> Answer:
            return {"answer": f"{asked.inputs['question'][1:]}!" if "8" in asked.instruction else "?"}

        result = compiled_from(lp.Predict("question -> answer"), tmp_path / "run", lm=ScriptedLM(lone))

        assert type(result.program) is lp.Predict and result.certificate.gain == 1.0
        with lp.using(lm=ScriptedLM(lone)):
            assert result.program(question="q123").answer == "123!"

    def test_a_program_of_nested_modules_and_lists_compiles(self, tmp_path: Path) -> None:
        result = compiled_from(Nested(), tmp_path / "run")

        assert list(result.params) == ["inner.answer", "others[0]"]
        assert {value.instruction for value in result.params.values()} == {"Be right on 8 of 10."}
        with lp.using(lm=ScriptedLM(graded)):
            assert result.program(question="q7").answer == "7!"

    def test_compiling_a_compiled_program_starts_from_its_params(self, tmp_path: Path) -> None:
        better = compiled(tmp_path / "1", Found(8)).program

        again = compiled_from(better, tmp_path / "2", holdout=rows(100, 130), optimizer=Found(9))

        assert again.certificate.baseline == 0.8 and again.certificate.compiled == 0.9

    def test_compile_works_while_a_loop_runs_as_in_a_notebook_and_acompile_awaits(self, tmp_path: Path) -> None:
        async def cell() -> tuple[str, str]:
            waited = compiled(tmp_path / "1", Found(8))
            awaited = await lp.acompile(
                Asking(), train=TRAIN, val=VAL, holdout=HOLDOUT, metric=exact_match("answer"), optimizer=Found(8),
                lm=ScriptedLM(graded), run_dir=tmp_path / "2",
            )  # fmt: skip
            return waited.shipped, awaited.shipped

        assert asyncio.run(cell()) == ("compiled", "compiled")

    def test_the_lm_in_scope_is_used_where_none_is_named(self, tmp_path: Path) -> None:
        with lp.using(lm=ScriptedLM(graded)):
            result = compiled_from(Asking(), tmp_path / "run")

        assert result.shipped == "compiled"

    def test_each_role_may_have_an_lm_of_its_own(self, tmp_path: Path) -> None:
        task, proposer = ScriptedLM(planted, name="small"), ScriptedLM(planted, name="large")

        result = lp.compile(
            TwoStages(), train=rows(0, 100), metric=exact_match("answer"), optimizer=MIPRO, lm=task, proposer=proposer,
            run_dir=tmp_path / "run", budget=lp.Budget(calls=500),
        )  # fmt: skip

        assert proposer.sent == result.certificate.requested["proposer"] > 0
        assert result.artifact.manifest["lms"] == {
            "task": "small",
            "proposer": "large",
            "teacher": "small",
            "judge": "small",
        }


class Judged(lp.Signature):
    """Say what the question is like."""

    question: str = lp.InputField()
    answer: Literal["odd", "even"] = lp.OutputField()


class TestLabels:
    """Labels that cannot be a value of the output of their name."""

    def told(self, caplog: pytest.LogCaptureFixture, labels: Sequence[Any], **changes: Any) -> list[str]:
        def labelled(given: Rows) -> Rows:
            return [{**row, "answer": label} for row, label in zip(given, itertools.cycle(labels), strict=False)]

        caplog.clear()
        parts = [labelled(part) for part in (TRAIN, VAL, HOLDOUT)]
        splits_of(Job(lp.Predict(Judged), parts[0], exact_match("answer"), parts[1], parts[2], **changes))
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    def test_are_told_with_the_first_of_them(self, caplog: pytest.LogCaptureFixture) -> None:
        [said] = self.told(caplog, ["odd", "Even"])
        half, whole = len(TRAIN) // 2, len(TRAIN)
        assert f"`answer` of {half} in {whole} training rows does not fit" in said
        assert "Literal['odd', 'even']" in said and "'Even'" in said

    def test_are_not_shown_where_rows_are_not(self, caplog: pytest.LogCaptureFixture) -> None:
        [said] = self.told(caplog, [1], no_rows=True)
        assert "does not fit" in said and "the first" not in said

    @pytest.mark.parametrize("labels", [["odd", "even"], [["odd", "even"]], [None]])
    def test_that_fit_or_are_for_the_metric_alone_pass(
        self, caplog: pytest.LogCaptureFixture, labels: Sequence[Any]
    ) -> None:
        assert not self.told(caplog, labels)


class TestRefusals:
    def refused(self, error: type[lp.LmprogError], match: str, **changes: Any) -> ScriptedLM:
        lm = ScriptedLM(changes.pop("handler", graded))
        given: dict[str, Any] = {
            "program": Asking(), "train": TRAIN, "val": VAL, "holdout": HOLDOUT, "metric": exact_match("answer"),
            "optimizer": Found(8), "lm": lm, **changes,
        }  # fmt: skip
        with pytest.raises(error, match=match):
            lp.compile(given.pop("program"), **given)
        return lm

    def test_a_program_without_predictors_or_no_program_at_all_is_refused(self) -> None:
        class Hidden(lp.Module):
            def forward(self, question: str) -> Any:
                return lp.Predict("question -> answer")(question=question)

        self.refused(lp.InputError, "Hidden has no predictor in its attributes", program=Hidden())
        self.refused(lp.InputError, r"the program is the class Asking: write `Asking\(...\)`", program=Asking)
        self.refused(lp.InputError, r"the program is the class Reply: write `lp.Predict\(Reply\)`", program=Reply)
        self.refused(lp.InputError, "the metric is 'exact'", metric="exact")

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("LMPROG_LM", raising=False)

    def test_a_program_that_calls_no_lm(self) -> None:
        class Idle(Asking):
            def forward(self, question: str) -> Reply:
                return Reply(question=question)

        self.refused(lp.DataError, "Idle made no LM call on the first 4 rows", program=Idle())

    def test_no_lm(self) -> None:
        self.refused(lp.ScopeError, "there is no LM to compile for: write", lm=None)

    def test_an_lm_that_cannot_write(self) -> None:
        mute = ScriptedLM(graded, name="mute", capabilities=frozenset({"embed"}))

        self.refused(lp.CapabilityError, "mute cannot be the teacher LM", teacher=mute)

    def test_a_metric_that_raises(self) -> None:
        def broken(row: Mapping[str, Any], prediction: Reply) -> bool:
            return bool(row["answer"][99])

        lm = self.refused(lp.MetricError, "IndexError.*'question': 'q", metric=broken)

        assert lm.sent <= 4

    def test_a_program_that_raises_on_every_row(self) -> None:
        class Broken(Asking):
            def forward(self, question: str) -> Reply:
                self.answer(question=question)
                raise KeyError("passages")

        lm = self.refused(lp.DataError, "failed on 4 of 4 rows.*KeyError: 'passages'", program=Broken())

        assert lm.sent == 4

    def test_an_lm_whose_replies_never_validate_is_no_fault_of_the_program(self, tmp_path: Path) -> None:
        result = compiled(tmp_path / "run", Found(8), lm=ScriptedLM(lambda asked: "nothing of use"))

        assert (result.certificate.baseline, result.certificate.compiled, result.shipped) == (0.0, 0.0, "baseline")

    @pytest.mark.parametrize("budget", ["tiny", 3000, None])
    def test_a_budget_that_is_none(self, budget: object) -> None:
        lm = self.refused(
            lp.InputError, rf"budget={budget!r} is unknown: write one of .*light.*lp.Budget", budget=budget
        )

        assert lm.sent == 0

    def test_an_unknown_gate(self) -> None:
        lm = self.refused(lp.InputError, "gate='strict' is unknown: write one of .*'no-harm'", gate="strict")

        assert lm.sent == 0

    def test_an_unknown_optimizer(self) -> None:
        self.refused(lp.InputError, "there is no 'miprow'.* mipro", optimizer="miprow")

    @pytest.mark.parametrize("part", ["train", "val", "holdout"])
    def test_rows_without_an_input(self, part: str) -> None:
        self.refused(
            lp.DataError, rf"`{part}`, row 0 has no `question`, which Asking takes", **{part: [{"query": "q"}] * 30}
        )

    def test_rows_of_two_parts_with_the_same_inputs(self) -> None:
        self.refused(lp.DataError, "proves nothing", val=[*VAL, HOLDOUT[3]])

    def test_too_few_rows_for_three_parts(self) -> None:
        self.refused(lp.DataError, "the split leaves no", train=rows(0, 1), val=None, holdout=None, gate="none")

    def test_an_optimizer_that_returns_params_of_another_program(self) -> None:
        class Confused:
            async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
                return Outcome(lp.Params({"write_query": params["answer"]}), 1.0, 0.0, "found")

        self.refused(lp.ParamsError, "they name .'write_query'., Asking has .'answer'.", optimizer=Confused())

    def test_a_sync_compile_where_it_would_wait_for_itself(self, tmp_path: Path) -> None:
        class Inner:
            async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
                compiled(tmp_path / "inner", Found(8))
                raise AssertionError("it went on")

        self.refused(lp.ScopeError, r"Write `await lp.acompile\(...\)`", optimizer=Inner())

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"optimizer": Found(9)}, r"the optimizer \(Found\(level=8\) there, Found\(level=9\) now\)"),
            ({"seed": 1}, r"the seed \(0 there, 1 now\)"),
            ({"gate": "none"}, r"the gate \(no-harm there, none now\)"),
            ({"budget": "heavy"}, r"the budget \(light there, heavy now\)"),
            ({"metric": exact_match("question")}, r"the code of the metric, or a value in it"),
            ({"train": TRAIN[1:]}, "the train rows"),
            ({"holdout": [*HOLDOUT, {"question": "q99", "answer": "99!"}]}, "the holdout rows"),
        ],
        ids=lambda given: re.sub(r" at 0x\w+", "", str(given)),
    )
    def test_other_settings_in_the_same_directory(self, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
        compiled(tmp_path / "run", Found(8))

        lm = self.refused(
            lp.RunDirError,
            rf"holds another run. What differs: {words}\. Give another run_dir",
            run_dir=tmp_path / "run",
            **changes,
        )

        assert lm.sent == 0

    def test_a_program_made_with_other_values_or_another_description_is_another_run(self, tmp_path: Path) -> None:
        class Hops(Asking):
            def __init__(self, hops: int, desc: str = "") -> None:
                super().__init__()
                self.hops = hops
                self.describe = lp.Predict(described(desc))

        def at(hops: int, desc: str = "") -> Callable[[], object]:
            return lambda: compiled_from(Hops(hops, desc), tmp_path / "run")

        at(2)()
        with pytest.raises(lp.RunDirError, match=r'the program was made with \({"hops":2} there, {"hops":3} now\)'):
            at(3)()
        with pytest.raises(lp.RunDirError, match=r"the signature of describe \(.*there"):
            at(2, "in French")()


def described(desc: str) -> type[lp.Signature]:
    class Described(lp.Signature):
        question: str = lp.InputField(desc=desc)
        answer: str = lp.OutputField()

    return Described
