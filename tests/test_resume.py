"""Exactly resumable: whatever ends a run, the same command sends no recorded call again and ends with the same program."""

import asyncio
import json
import random
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kill_rig import IN_FLIGHT, TASK, Moment, Rig, TwoSteps, command_for, rig
from openai_answers import planted

import lmprog as lp
from lmprog import loop
from lmprog.cli import main
from lmprog.compiler import run
from lmprog.data import fields_in
from lmprog.job import Job
from lmprog.lm.ledger import Ledger
from lmprog.optimizer import Optimizer, Outcome, Problem
from lmprog.request import request_key
from lmprog.rundir import JOURNAL, LOCK, REPORT, RESULT, RUN, read_journal
from lmprog.testing import Asked, ScriptedLM, reply


@pytest.fixture(scope="module")
def ready() -> Generator[Rig]:
    with rig() as made:
        yield made


class TestKilledOverHttp:
    def test_ten_kills_from_its_start_to_its_end_change_no_byte_and_cost_what_was_in_flight(
        self, ready: Rig, tmp_path: Path
    ) -> None:
        rng, calls = random.Random(0), ready.bodies.total()
        moments = [
            Moment("before", "mkdir run 1"),
            Moment("within", "open run.json.part 1"),
            *[Moment("call", rng.randint(1, calls // 7)) for _ in range(6)],
            Moment("within", f"open {RESULT}.part 1"),
            Moment("before", f"rename {REPORT}.part 1"),
        ]

        ordeal = ready.ordeal(moments, tmp_path)

        assert (ordeal.kills, ordeal.equal, ordeal.strange) == (10, True, 0)
        assert 0 < ordeal.repeated <= 6 * IN_FLIGHT

    def test_a_finished_run_returns_at_once_and_the_server_sees_nothing(
        self, ready: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ready.ordeal([], tmp_path)
        ready.server.reset()

        code = main(command_for(tmp_path / "run", ready.server.url))

        assert code == 0
        assert "0 now: this run was finished before" in capsys.readouterr().out
        assert ready.server.counts.total == 0

    def test_a_second_process_on_one_directory_is_refused_with_the_pid_of_the_first(
        self, ready: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ready.server.reset()
        ready.server.set(latency_s=30)
        with ready.started(tmp_path / "run") as first:
            while ready.server.counts.in_flight == 0:
                assert first.poll() is None

            code = main(command_for(tmp_path / "run", ready.server.url))

            assert code == 2
            assert f"in use by the process {first.pid}. Wait for it" in capsys.readouterr().err
            assert (tmp_path / "run" / LOCK).read_text() == str(first.pid)
            assert ready.server.counts.total == 1
            first.kill()

    def test_the_seconds_of_a_process_that_is_killed_count(self, ready: Rig, tmp_path: Path) -> None:
        ready.server.reset()
        ready.server.set(latency_s=30)

        with ready.started(tmp_path / "run") as process:
            while not (noted := (read_facts(tmp_path / "run") or {}).get("seconds")):
                assert process.poll() is None
            process.kill()

        assert 0.9 < noted < 10
        assert (read_facts(tmp_path / "run") or {})["seconds"] >= noted


def read_facts(run_dir: Path) -> dict[str, Any] | None:
    return json.loads((run_dir / RUN).read_text()) if (run_dir / RUN).exists() else None


ROWS = TASK.load()
HOLDOUT = {fields_in(row)["question"] for row in ROWS.holdout}


@dataclass
class Recorder:
    """Answers as `planted`, late, and notes what it was asked. Its clock goes on by 10 ms a call, of the proof less."""

    shut: bool = False
    """Whether the key is refused when it is asked about the holdout, which ends the run."""
    most: float = float("inf")
    """So many calls are answered before the key is refused."""
    usd: float | None = 0.0
    garbles: bool = False
    """Whether each first reply to a prompt with demos is of no use, so that it takes two calls, which nobody could foresee."""
    fails_every: int = 0
    """Which attempts of the search fail without a word, so that they are charged all that they held."""
    proof_s: float = 0.0005
    attempts: int = 0
    searched: list[str] = field(default_factory=list[str])
    proved: list[str] = field(default_factory=list[str])

    async def __call__(self, asked: Asked) -> lp.Response:
        on_holdout = asked.inputs.get("question") in HOLDOUT
        if (on_holdout and self.shut) or len(self.searched) >= self.most:
            raise lp.AuthError("the key was refused")
        self.attempts += 1
        if self.fails_every and self.attempts % self.fails_every == 0:
            raise lp.UnavailableError("timeout")
        (self.proved if on_holdout else self.searched).append(request_key("scripted", asked.request))
        await asyncio.sleep(random.random() * 0.004)
        if self.garbles and asked.demos and "cannot be used" not in asked.request.messages[-1].text:
            return lp.Response("?", usd=self.usd)
        answer: Any = planted(asked)
        return lp.Response(reply(answer, asked.request), usd=self.usd)  # its tokens are estimated from its length

    def now(self) -> float:
        return len(self.searched) / 100 + len(self.proved) * self.proof_s


def compiled(
    run_dir: Path,
    recorder: Recorder,
    budget: lp.Budget,
    optimizer: str | Optimizer = "mipro:candidates=3,trials=6",
    seed: int = 0,
) -> lp.CompileResult[TwoSteps]:
    job = Job(
        TwoSteps(), train=ROWS.train, val=ROWS.val, holdout=ROWS.holdout, metric=TASK.metric, budget=budget,
        lm=ScriptedLM(recorder), run_dir=run_dir, optimizer=optimizer, concurrency=IN_FLIGHT, seed=seed,
    )  # fmt: skip
    return loop.run(run(job, ledger=Ledger(now=recorder.now)), instead="")


def told(run_dir: Path) -> list[dict[str, Any]]:
    """The journal as far as the search goes."""
    events = read_journal(run_dir / JOURNAL)
    return [event for event in events if event.get("stage") != "certificate"]


@dataclass(frozen=True)
class Greedy:
    """An optimizer of a user's own, which knows of caps and of nothing else in the kernel."""

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        baseline = (await problem.evaluate(params)).score
        best, score = params, baseline
        for number in range(9):
            tried = params.replace("solve", instruction=f"Think twice, {number} times.", demos=(DEMO,) * number)
            try:
                evaluations = [await problem.evaluate(tried, rows) for rows in (range(10), range(10, 20))]
            except lp.CapReached:
                break
            found = sum(evaluation.score for evaluation in evaluations) / 2
            best, score = (tried, found) if found > score else (best, score)
        return Outcome(best, score, baseline, "done")


@dataclass(frozen=True)
class Heedless:
    """One that does not even know of caps."""

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        for number in range(1000):
            await problem.evaluate(params.replace("recall", instruction=f"Think of {number}."))
        raise AssertionError("no cap held")


DEMO = lp.Demo(inputs={"question": "What is number 100?", "hint": "good"}, outputs={"answer": "100"})


class TestCutByACap:
    @pytest.mark.parametrize(
        "budget",
        [
            *[lp.Budget(tokens=tokens) for tokens in (28_000, 32_000, 40_000, 46_000, 52_000)],
            *[lp.Budget(usd=usd) for usd in (0.24, 0.3, 0.35, 0.4)],
            *[lp.Budget(seconds=seconds) for seconds in (1.2, 2.0, 2.7)],
            None,
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        ("optimizer", "calls"),
        [
            ("mipro:candidates=3,trials=6", 300),
            ("bootstrap -> bootstrap-random-search", 330),
            (Greedy(), 330),
            (Heedless(), 330),
        ],
        ids=str,
    )
    def test_a_search_that_a_cap_cut_is_cut_there_again_before_any_call(
        self, tmp_path: Path, budget: lp.Budget | None, optimizer: str | Optimizer, calls: int
    ) -> None:
        budget = budget or lp.Budget(calls=calls)
        usd = 0.001 if budget.usd else 0.0
        garbles = budget.calls is not None
        with pytest.raises(lp.AuthError):
            compiled(tmp_path / "run", Recorder(shut=True, usd=usd, garbles=garbles), budget, optimizer)
        before = told(tmp_path / "run")
        cheaper = Recorder(usd=usd / 2, garbles=garbles)  # now more would fit

        result = compiled(tmp_path / "run", cheaper, budget, optimizer)

        assert json.loads((tmp_path / "run" / RUN).read_text())["cuts"]
        assert told(tmp_path / "run") == before
        assert cheaper.searched == []
        assert len(cheaper.proved) >= 72  # 36 rows of two calls, and as many or more for what differs from the baseline
        again = compiled(tmp_path / "run", cheaper, budget, optimizer)
        assert again.params == result.params

    def test_so_is_one_that_was_cut_because_attempts_failed(self, tmp_path: Path) -> None:
        budget = lp.Budget(tokens=85_000)
        with pytest.raises(lp.AuthError):
            compiled(tmp_path / "run", Recorder(shut=True, fails_every=7), budget)
        before = told(tmp_path / "run")
        unfailing = Recorder()

        compiled(tmp_path / "run", unfailing, budget)

        undisturbed = compiled(tmp_path / "other", Recorder(), budget)
        (stopped,) = [event for event in before if event["event"] == "Stopped"]
        assert "the cap on tokens was reached" in stopped["reason"]
        assert "the search was finished" in (undisturbed.run_dir / JOURNAL).read_text()
        assert unfailing.searched == [] and told(tmp_path / "run") == before


def test_the_clock_of_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    budget = lp.Budget(seconds=4.0)  # the proof is expected to take some 2.7: about 130 calls of 10 ms for the search
    first, second = Recorder(most=60), Recorder()
    with pytest.raises(lp.AuthError):
        compiled(tmp_path / "run", first, budget)

    result = compiled(tmp_path / "run", second, budget)

    assert 125 <= len(first.searched) + len(second.searched) <= 130 + 5 * IN_FLIGHT  # those in flight are let finish
    facts = json.loads((tmp_path / "run" / RUN).read_text())
    assert facts["seconds"] == pytest.approx(first.now() + second.now(), abs=0.1)
    assert facts["sent"] >= len(first.searched) + result.spent.total_sent.calls


def test_what_each_role_paid_adds_up_over_the_processes_and_stands_in_the_report(tmp_path: Path) -> None:
    first, second = Recorder(most=60, usd=0.001), Recorder(usd=0.001)
    with pytest.raises(lp.AuthError):
        compiled(tmp_path / "run", first, lp.Budget(calls=400))

    result = compiled(tmp_path / "run", second, lp.Budget(calls=400))

    paid = json.loads((tmp_path / "run" / RUN).read_text())["usd_by_role"]
    answered = [len(one.searched) + len(one.proved) for one in (first, second)]
    assert min(answered) > 0
    refused = (
        0.002 * IN_FLIGHT
    )  # of what was under way when the key was refused, as much as was held: no more than double
    assert 0.001 * sum(answered) <= sum(paid.values()) + 1e-9 <= 0.001 * sum(answered) + refused
    assert paid.keys() >= {"task", "proposer"}
    assert f"${paid['task']:.4f}" in (result.run_dir / REPORT).read_text()


class TestALargerBudget:
    def test_a_run_that_a_cap_ended_goes_on_under_a_larger_one(self, tmp_path: Path) -> None:
        small, large = lp.Budget(seconds=2.0), lp.Budget(seconds=50.0)
        first, second, whole = (Recorder(proof_s=0.05) for _ in range(3))
        with pytest.raises(
            lp.CapReached, match=r"kept in .*: with a larger budget and `run_dir=.*/a/run'` the run goes"
        ):
            compiled(tmp_path / "a" / "run", first, small)

        result = compiled(tmp_path / "a" / "run", second, large)

        uninterrupted = compiled(tmp_path / "b" / "run", whole, large)
        one, two = {*first.searched, *first.proved}, {*second.searched, *second.proved}
        assert len(one & two) <= 2 * IN_FLIGHT  # what the caps of search and proof ended in flight
        assert {*whole.searched, *whole.proved} <= one | two
        assert (result.run_dir / RESULT).read_bytes() == (uninterrupted.run_dir / RESULT).read_bytes()

    def test_a_finished_run_binds_its_budget(self, tmp_path: Path) -> None:
        compiled(tmp_path / "run", Recorder(), lp.Budget(calls=400))

        with pytest.raises(
            lp.RunDirError, match=r"differs: the budget \(Budget\(calls=400\) there, Budget\(calls=500\) now\)"
        ):
            compiled(tmp_path / "run", Recorder(), lp.Budget(calls=500))

    def test_another_seed_is_another_run_however_large_the_budget(self, tmp_path: Path) -> None:
        with pytest.raises(lp.AuthError):
            compiled(tmp_path / "run", Recorder(most=60), lp.Budget(calls=400))

        with pytest.raises(lp.RunDirError, match=r"the budget \(.*; the seed \(0 there, 1 now\)"):
            compiled(tmp_path / "run", Recorder(), lp.Budget(calls=500), seed=1)


class TestTheCacheAcrossRuns:
    BUDGET = lp.Budget(calls=400)

    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("LMPROG_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache"

    @pytest.mark.parametrize(
        "changes", [{"seed": 1}, {"budget": lp.Budget(calls=330)}, {"optimizer": "bootstrap"}], ids=str
    )
    def test_another_run_sends_no_call_that_any_run_has_recorded(
        self, tmp_path: Path, cache: Path, changes: dict[str, Any]
    ) -> None:
        given: dict[str, Any] = {"budget": self.BUDGET, **changes}
        first, second, again = Recorder(), Recorder(), Recorder()
        compiled(tmp_path / "1" / "run", first, self.BUDGET)

        shared = compiled(tmp_path / "2" / "run", second, **given)
        compiled(tmp_path / "3" / "run", again, **given)

        assert not {*first.searched, *first.proved} & {*second.searched, *second.proved}
        assert shared.spent.total_sent.calls == len(second.searched) + len(second.proved) < 200
        assert again.searched == again.proved == []

    def test_it_changes_neither_what_is_requested_nor_the_artifact(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without = compiled(tmp_path / "1" / "run", Recorder(), self.BUDGET)
        monkeypatch.setenv("LMPROG_CACHE", str(tmp_path / "cache"))

        filling = compiled(tmp_path / "2" / "run", Recorder(), self.BUDGET)
        served = compiled(tmp_path / "3" / "run", Recorder(), self.BUDGET)

        assert len({(made.run_dir / RESULT).read_bytes() for made in (without, filling, served)}) == 1
        assert without.spent.requested == filling.spent.requested == served.spent.requested
        assert served.spent.total_sent.calls == 0

    def test_without_it_runs_share_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LMPROG_CACHE", raising=False)
        first, second = Recorder(), Recorder()

        compiled(tmp_path / "1" / "run", first, self.BUDGET)
        compiled(tmp_path / "2" / "run", second, self.BUDGET)

        assert sorted(first.searched) == sorted(second.searched)

    def test_two_processes_share_it_while_both_run(self, ready: Rig, tmp_path: Path, cache: Path) -> None:
        ready.server.reset()
        ready.server.set(latency_s=0.004)

        with ready.started(tmp_path / "1" / "run") as one:
            while ready.server.counts.total < len(ready.bodies) // 2:
                assert one.poll() is None
            with ready.started(tmp_path / "2" / "run") as other:
                assert (one.wait(60), other.wait(60)) == (0, 0)

        bodies = ready.server.counts.by_body
        assert len(bodies) == len(ready.bodies)
        assert bodies.total() <= 1.5 * len(bodies) + IN_FLIGHT  # what both have in flight at once is sent by both
        for run_dir in (tmp_path / "1" / "run", tmp_path / "2" / "run"):
            assert (run_dir / RESULT).read_bytes() == ready.artifact
