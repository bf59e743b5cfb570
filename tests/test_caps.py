"""Caps hold whatever happens, leave enough to prove what was found, and are refused where nobody can keep them."""

import asyncio
import math
import random
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kill_rig import TASK, TwoSteps
from openai_answers import planted
from openai_server import Scene, serving

import lmprog as lp
from lmprog.caps import Caps, Taken
from lmprog.cli import main
from lmprog.cuts import Cut, Cuts
from lmprog.evaluation import Evaluation, Run
from lmprog.lm import prices
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import Amount, Ledger, Metered
from lmprog.lm.limit import Slots
from lmprog.lm.retry import Patience, Retried
from lmprog.request import request_key
from lmprog.testing import Answer, Asked, Handler, ScriptedLM, reply

PRICES = {"scripted": (1000.0, 4000.0)}
"""USD per million tokens: a thousandth for each of a prompt."""


@pytest.fixture(autouse=True)
def no_prices_stay(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.delenv("LMPROG_PRICES", raising=False)
    yield
    lp.configure(prices=None)


@dataclass(frozen=True)
class Attempt:
    """What becomes of one call."""

    words: int
    max_tokens: int
    outcome: str
    passes: int
    """Of the event loop that it takes."""
    left_after: int | None
    """Passes after which its caller leaves, if it does."""


ATTEMPTS = st.builds(
    Attempt,
    st.integers(1, 60),
    st.integers(1, 200),
    st.sampled_from(["full reply", "short reply", "timeout", "too many requests", "too long"]),
    st.integers(0, 6),
    st.none() | st.integers(0, 12),
)
CAPS = st.builds(
    lp.Budget,
    calls=st.none() | st.integers(1, 30),
    tokens=st.none() | st.integers(1, 4000),
    usd=st.none() | st.floats(0.001, 6),
)


@settings(deadline=None, max_examples=150)
@given(CAPS, st.lists(ATTEMPTS, min_size=1, max_size=40), st.sampled_from([1, 3, 40]))
def test_no_cap_is_exceeded_at_any_moment_whatever_the_interleaving(
    caps: lp.Budget, attempts: Sequence[Attempt], slots: int
) -> None:
    ledger, seen = Ledger(caps, prices=PRICES), list[Amount]()

    async def answer(asked: Asked) -> Answer:
        seen.append(ledger.spent.total_sent)  # with what is in flight, at the most that it may cost
        attempt = attempts[int(asked.request.messages[-1].text.split()[0])]
        for _ in range(attempt.passes):
            await asyncio.sleep(0)
        match attempt.outcome:
            case "timeout":
                raise lp.UnavailableError("timeout")
            case "too many requests":
                raise lp.UnavailableError("429", refused=True)
            case "too long":
                raise lp.ContextError("too long")
            case outcome:
                return "four" * (attempt.max_tokens if outcome == "full reply" else 1)

    async def called(lm: lp.LM, number: int, attempt: Attempt) -> None:
        request = lp.Request(
            (lp.Message("user", f"{number} " + "word" * attempt.words),), max_tokens=attempt.max_tokens
        )
        task = asyncio.ensure_future(lm(request))
        if attempt.left_after is not None:
            for _ in range(attempt.left_after):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), lp.LMError | lp.CapReached | None)

    async def together() -> None:
        with CallLog() as log:
            lm = compose(ScriptedLM(answer), role="task", log=log, ledger=ledger, slots=Slots(slots), outage_s=0.0)
            await asyncio.gather(*(called(lm, number, attempt) for number, attempt in enumerate(attempts)))

    asyncio.run(together())

    seen.append(ledger.spent.total_sent)
    assert max(spent.calls for spent in seen) <= (caps.calls or math.inf)
    assert max(spent.tokens for spent in seen) <= (caps.tokens or math.inf)
    assert max(spent.usd for spent in seen) <= (caps.usd or math.inf) + 1e-9
    assert ledger.spent.total_sent == ledger.sent  # nothing is held any more


def test_an_lm_that_tells_its_price_only_with_its_replies_is_reserved_for_at_its_dearest() -> None:
    client = ScriptedLM(lambda _: lp.Response("ok", 5, 10, usd=0.2), latency_s=0.001)
    ledger = Ledger(lp.Budget(usd=1.0))

    async def in_turn() -> list[object]:
        with CallLog() as log:
            lm = compose(client, role="task", log=log, ledger=ledger, slots=Slots(8))
            await lm(request_of(0))  # now it is known what 15 tokens cost, which is all that a call may take
            return await asyncio.gather(*(lm(request_of(n)) for n in range(1, 20)), return_exceptions=True)

    results = asyncio.run(in_turn())

    assert ledger.spent.total_sent.usd <= 1.0
    assert client.sent == 5
    assert sum(isinstance(result, lp.CapReached) for result in results) == 15


def request_of(number: int) -> lp.Request:
    return lp.Request((lp.Message("user", str(number)),), max_tokens=10)


class TestSeconds:
    def test_no_back_off_lasts_beyond_the_cap(self) -> None:
        clock = Clock()
        ledger = Ledger(lp.Budget(seconds=10), now=clock.now)
        busy = ScriptedLM(always(lp.UnavailableError("busy", retry_after_s=60)))
        lm = Retried(
            Metered(busy, ledger, "task"),
            Patience("busy", cap_s=lambda: ledger.left_s, sleep=clock.sleep, now=clock.now, jitter=random.Random(0)),
        )

        with pytest.raises(lp.CapReached) as raised:
            asyncio.run(ask(lm))

        assert (raised.value.cap, clock.now(), busy.sent) == ("seconds", 10, 1)

    def test_the_layers_of_a_run_know_the_cap(self) -> None:
        ledger = Ledger(lp.Budget(seconds=0.05))
        with CallLog() as log:
            busy = ScriptedLM(always(lp.UnavailableError("busy", retry_after_s=60)))
            lm = compose(busy, role="task", log=log, ledger=ledger, slots=Slots(1))

            with pytest.raises(lp.CapReached):
                asyncio.run(ask(lm))

        assert ledger.seconds < 5

    def test_the_clock_goes_on_from_what_earlier_processes_took(self) -> None:
        clock = Clock()
        ledger = Ledger(lp.Budget(seconds=60), now=clock.now)

        ledger.resume(elapsed_s=58)

        assert (ledger.seconds, ledger.left_s, ledger.spent.seconds) == (58, 2, 58)


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        self._now_s += seconds


def always(error: Exception) -> Handler:
    def handler(asked: Asked) -> Answer:
        raise error

    return handler


async def ask(lm: lp.LM) -> lp.Response:
    return await lm(request_of(0))


def test_too_many_requests_cost_a_call_and_no_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(
        lp.Budget(tokens=700)
    )  # an attempt holds 512 and its prompt's: two at once, or one lost, would not fit
    with serving() as server, CallLog() as log:
        server.set(scenes=[Scene(status=429, body={"error": {"message": "Rate limit reached"}})])
        lm = compose(lp.OpenAI("some-model", base_url=server.url), role="task", log=log, ledger=ledger, slots=Slots(1))

        with lp.using(lm=lm):
            lp.Predict("question -> answer")(question="Who?")

        assert server.counts.total == 2
    assert ledger.spent.total_sent.calls == 2
    assert ledger.spent.total_sent.tokens == ledger.spent.total_requested.tokens > 0


class TestPrices:
    def test_a_cap_in_usd_is_refused_where_nobody_knows_what_an_lm_costs(self, tmp_path: Path) -> None:
        lm = ScriptedLM(told_nothing, name="openai/gpt-9")

        with pytest.raises(
            lp.InputError, match=r"nobody knows what openai/gpt-9 costs.*configure\(prices={'openai/gpt-9':"
        ):
            compiled(tmp_path / "run", lm, lp.Budget(usd=5))

        assert lm.sent <= 2

    def test_so_it_is_where_nobody_knows_it_of_the_proposer(self, tmp_path: Path) -> None:
        lp.configure(prices=PRICES)
        proposer = ScriptedLM(told_nothing, name="openai/gpt-9")

        with pytest.raises(lp.InputError, match="nobody knows what openai/gpt-9 costs"):
            compiled(tmp_path / "run", ScriptedLM(told_nothing), lp.Budget(usd=5000), proposer=proposer)

    def test_what_was_paid_for_until_then_is_recorded(self, tmp_path: Path) -> None:
        first, second = ScriptedLM(told_nothing), ScriptedLM(told_nothing)
        with pytest.raises(lp.InputError):
            compiled(tmp_path / "run", first, lp.Budget(usd=5000))
        lp.configure(prices=PRICES)

        result = compiled(tmp_path / "run", second, lp.Budget(usd=5000))

        requested = result.spent.total_requested
        assert first.sent + second.sent == requested.calls
        assert requested.usd == pytest.approx((requested.prompt_tokens + 4 * requested.completion_tokens) / 1000)

    def test_an_lm_that_costs_nothing_needs_no_price(self, tmp_path: Path) -> None:
        result = compiled(tmp_path / "run", ScriptedLM(planted), lp.Budget(usd=0.001))

        assert result.certificate.n == 36

    def test_evaluating_counts_usd_at_these_prices(self) -> None:
        lp.configure(prices={"scripted": (1000.0, 0.0)})
        lm = ScriptedLM(lambda asked: lp.Response(reply({"answer": "x"}), 10, 5, usd=None))

        found = lp.evaluate(lp.Predict("question -> answer"), [{"question": "a"}, {"question": "b"}], no_metric, lm=lm)

        assert found.spent is not None and found.spent.total_sent.usd == pytest.approx(0.02)

    def test_a_price_goes_before_the_file_that_the_environment_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "prices.json").write_text('{"a": [1, 2], "b": [3, 4.5]}')
        monkeypatch.setenv("LMPROG_PRICES", str(tmp_path / "prices.json"))

        lp.configure(prices={"a": (0.5, 0.5)})

        assert prices() == {"a": (0.5, 0.5), "b": (3, 4.5)}
        lp.configure(lm=None)
        assert prices()["a"] == (0.5, 0.5)
        lp.configure(prices=None)
        assert prices()["a"] == (1, 2)

    @pytest.mark.parametrize(
        ("said", "error"),
        [
            ("[1]", r"LMPROG_PRICES=.*prices\.json holds \[1\]: write USD per million tokens"),
            ("{", r"prices\.json cannot be read as JSON: .*Write a file such as {\"openai/gpt"),
            ('{"a": 1}', r"the price of 'a' is 1\. Write two numbers"),
            ('{"a": [1]}', "the price of 'a' is"),
            ('{"a": [1, -2]}', "the price of 'a' is"),
            ('{"a": [1, true]}', "the price of 'a' is"),
            ('{"a": [1, NaN]}', "the price of 'a' is"),
        ],
    )
    def test_a_wrong_file_of_prices_is_named_with_what_would_be_right(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: str
    ) -> None:
        (tmp_path / "prices.json").write_text(said)
        monkeypatch.setenv("LMPROG_PRICES", str(tmp_path / "prices.json"))

        with pytest.raises(lp.InputError, match=error):
            prices()

    def test_a_missing_file_of_prices_is_named_on_the_command_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("LMPROG_PRICES", str(tmp_path / "none.json"))

        code = main(["compile", "multihop", "--lm", "tiny", "--budget", "usd=1", "--run-dir", str(tmp_path / "run")])

        assert code == 2
        assert "none.json cannot be read as JSON" in capsys.readouterr().err

    @pytest.mark.parametrize("wrong", [{"a": (1, 2, 3, 4)}, {"a": "12"}, {1: (1, 2)}, [("a", 1)]])
    def test_wrong_prices_are_refused_at_once(self, wrong: Any) -> None:
        with pytest.raises(lp.InputError, match="prices"):
            lp.configure(prices=wrong)


def no_metric(row: object, prediction: object) -> float:
    return 1.0


def told_nothing(asked: Asked) -> Answer:
    """As `planted`, with tokens that are estimated from its length, and no word of what it cost."""
    answer: Any = planted(asked)
    return lp.Response(reply(answer, asked.request), usd=None)


def talkative(asked: Asked) -> Answer:
    """As `told_nothing`, with longer replies where the prompt holds demos."""
    answer: Any = planted(asked)
    return lp.Response(("well, " * 60 if asked.demos else "") + reply(answer, asked.request), usd=None)


def compiled(run_dir: Path, lm: ScriptedLM, budget: lp.Budget, **changes: Any) -> lp.CompileResult[TwoSteps]:
    rows = TASK.load()
    given: dict[str, Any] = {"optimizer": "mipro:candidates=3,trials=6", **changes}
    return lp.compile(
        TwoSteps(), train=rows.train, val=rows.val, holdout=rows.holdout, metric=TASK.metric, budget=budget, lm=lm,
        run_dir=run_dir, **given,
    )  # fmt: skip


class TestWhatIsKeptForTheProof:
    @pytest.mark.parametrize("handler", [told_nothing, talkative])
    @pytest.mark.parametrize("tokens", [27_500, 30_000, 35_000, 40_000, 45_000, 50_000, 60_000, 70_000, 90_000])
    def test_whatever_the_cap_in_tokens_the_search_leaves_enough_to_prove_its_result(
        self, tmp_path: Path, tokens: int, handler: Handler
    ) -> None:
        result = compiled(tmp_path / "run", ScriptedLM(handler), lp.Budget(tokens=tokens))

        assert result.certificate.n == 36
        assert result.spent.total_sent.tokens <= tokens

    @pytest.mark.parametrize("usd", [50, 70, 90, 130])
    def test_so_it_is_for_usd(self, tmp_path: Path, usd: float) -> None:
        lp.configure(prices=PRICES)

        result = compiled(tmp_path / "run", ScriptedLM(told_nothing), lp.Budget(usd=usd))

        assert result.certificate.n == 36
        assert 10 < result.spent.total_sent.usd <= usd

    def planned(self, budget: lp.Budget) -> tuple[Caps, Ledger]:
        """Caps after rows that took 2 calls, 200 tokens and 0.5 USD on the mean, with 40 holdout rows to come."""
        ledger, cuts = Ledger(), Cuts({}, lambda _: None)
        caps = Caps(ledger, budget, lp.params_of(TwoSteps()), {"train": 10, "val": 20, "holdout": 40}, cuts)
        caps.plan(Taken(2.0, 200.0, 0.5, {"recall": 1.0, "solve": 1.0}), 4)
        return caps, ledger

    def test_two_runs_a_row_are_kept_and_a_quarter_more_and_what_the_last_call_may_hold(self) -> None:
        caps, ledger = self.planned(lp.Budget(calls=1000, tokens=100_000, usd=200.0, seconds=60.0))

        assert (caps.calls, caps.reserved, caps.searchable) == (1000, 200, 800)
        assert ledger.budget == lp.Budget(calls=800, tokens=100_000 - 20_000 - 712, usd=150.0, seconds=60.0)
        assert ledger.kept_s() == 15.0
        caps.free()
        assert ledger.budget == lp.Budget(calls=1000, tokens=100_000, usd=200.0, seconds=60.0)
        assert ledger.kept_s() == 0.0

    @pytest.mark.parametrize(("each_s", "kept_s"), [(0.01, 12.0), (0.2, 60.0)])
    def test_of_seconds_as_many_are_kept_as_the_proof_takes_at_the_pace_until_now(
        self, each_s: float, kept_s: float
    ) -> None:
        clock, cuts = Clock(), Cuts({}, lambda _: None)
        ledger = Ledger(now=clock.now)
        rows = {"train": 10, "val": 20, "holdout": 40}
        caps = Caps(ledger, lp.Budget(seconds=120.0), lp.params_of(TwoSteps()), rows, cuts)
        caps.plan(Taken(2.0, 200.0, 0.5, {"recall": 1.0, "solve": 1.0}), 4)
        assert ledger.left_s == 90.0

        async def timed() -> Evaluation:
            for number in range(50):
                reservation = await ledger.reserve("task", "scripted", request_of(number))
                await clock.sleep(each_s)
                ledger.settle(reservation, lp.Response("x", 5, 1))
            return await answer_of_nobody()

        asyncio.run(caps.evaluated("timed", lp.params_of(TwoSteps()), timed()))

        assert ledger.kept_s() == pytest.approx(kept_s)  # 200 calls, and half of them more
        assert ledger.left_s == pytest.approx(120.0 - kept_s - 50 * each_s)

    def test_for_longer_prompts_more_is_kept_as_soon_as_they_are_tried(self) -> None:
        caps, ledger = self.planned(lp.Budget(tokens=100_000))
        longer = lp.params_of(TwoSteps()).replace("solve", instruction="x" * 4000)  # a thousand tokens, six times a run

        asyncio.run(caps.evaluated("longer", longer, answer_of_nobody()))

        kept = 100_000 - (ledger.budget.tokens or 0)
        assert kept == pytest.approx(1.25 * 40 * 200 * (1 + 6) + 6 * 200 + 512, rel=0.01)

    def test_where_runs_take_more_than_was_expected_more_is_kept(self) -> None:
        caps, ledger = self.planned(lp.Budget(tokens=100_000))

        async def dear() -> Evaluation:
            ledger.answer("key", "scripted", request_of(0), lp.Response("x", 500, 100), recorded=True)
            return await answer_of_nobody()

        asyncio.run(caps.evaluated("dear", lp.params_of(TwoSteps()), dear()))  # 600 tokens for 2 runs, 300 each

        assert 100_000 - (ledger.budget.tokens or 0) == 1.5 * 20_000 + 712

    @pytest.mark.parametrize(
        ("budget", "says"),
        [
            (
                lp.Budget(tokens=20_000),
                r"budget of 20,000 tokens is too small: the program takes about 2\d\d tokens a row",
            ),
            (
                lp.Budget(tokens=1000),
                r"budget of 1,000 tokens is too small: the program takes about 2\d\d tokens a row",
            ),
            (
                lp.Budget(tokens=90),
                r"budget of 90 tokens is too small: no row was run to its end\. Where each predictor makes one call, as long as "
                r"it may be, a row takes 1,\d\d\d tokens",
            ),
            (lp.Budget(usd=3), r"budget of 3 USD is too small: the program takes about 0\.\d+ USD a row"),
            (lp.Budget(calls=227), "budget of 227 calls is too small: the program takes about 2 calls a row"),
            (lp.Budget(calls=1), r"budget of 1 calls is too small: no row was run to its end\. .* a row takes 2 calls"),
        ],
        ids=str,
    )
    def test_a_cap_too_small_for_baseline_and_proof_is_refused_with_what_suffices(
        self, tmp_path: Path, budget: lp.Budget, says: str
    ) -> None:
        lp.configure(prices=PRICES)
        lm = ScriptedLM(told_nothing)

        with pytest.raises(lp.InputError, match=says) as raised:
            compiled(tmp_path / "run", lm, budget)

        assert lm.sent <= 8  # four rows
        enough, unit = str(raised.value).partition("Give ")[2].split()[:2]
        caps: dict[str, Any] = {unit.lower(): float(enough.replace(",", ""))}
        caps = {name: value if name == "usd" else int(value) for name, value in caps.items()}
        assert compiled(tmp_path / "run", lm, lp.Budget(**caps)).certificate.n == 36

    def test_a_cap_in_seconds_too_small_at_the_pace_of_the_first_rows_is_refused_before_the_search(
        self, tmp_path: Path
    ) -> None:
        lm = ScriptedLM(planted, latency_s=0.02)

        with pytest.raises(
            lp.InputError, match=r"budget of 0\.8 seconds is too small: at its pace until now .* at least"
        ):
            compiled(tmp_path / "run", lm, lp.Budget(seconds=0.8), concurrency=1)  # 92 rows of 2 calls take 3.7 s

        assert lm.sent == 8  # four rows
        assert compiled(tmp_path / "run", lm, lp.Budget(seconds=30), concurrency=1).certificate.n == 36

    def test_the_least_named_is_accepted_and_less_is_not(self, tmp_path: Path) -> None:
        assert compiled(tmp_path / "1", ScriptedLM(planted), lp.Budget(calls=228)).certificate.n == 36  # 8 + 40 + 180

        with pytest.raises(lp.InputError, match=r"takes up to 228 calls, before any search\. Give 456 calls or more"):
            compiled(tmp_path / "2", ScriptedLM(planted), lp.Budget(calls=227))


class TestCuts:
    def cuts(self, noted: Mapping[str, Cut] | None = None) -> tuple[Cuts, list[Mapping[str, Cut]]]:
        written = list[Mapping[str, Cut]]()
        return Cuts(noted or {}, lambda new: written.append(dict(new))), written

    def test_work_that_a_cap_cuts_is_noted_with_what_ran_beside_it_before_anybody_learns_of_it(self) -> None:
        cuts, written = self.cuts()

        async def both() -> None:
            beside = asyncio.create_task(cuts.within("other", asyncio.sleep(10)))
            await asyncio.sleep(0)
            with pytest.raises(lp.CapReached):
                await cuts.within("work", cut_by("usd"))
            assert written == [{"work/1": {"cap": "usd", "beside": ["other/1"]}}]
            beside.cancel()

        asyncio.run(both())

    def test_what_was_cut_is_cut_again_before_it_begins_and_its_equal_after_it_is_not(self) -> None:
        cuts, written = self.cuts({"work/2": {"cap": "tokens", "beside": []}})

        async def three_times() -> list[object]:
            return [
                result
                for _ in range(3)
                for result in await asyncio.gather(cuts.within("work", answer_of("done")), return_exceptions=True)
            ]

        first, second, third = asyncio.run(three_times())
        assert (first, third) == ("done", "done")
        assert isinstance(second, lp.CapReached) and second.cap == "tokens"
        assert written == [{"work/2": {"cap": "tokens", "beside": ["work/3"]}}]

    def test_work_begun_after_a_cut_is_noted_before_it_sends_anything_and_sends_nothing_at_first_another_time(
        self,
    ) -> None:
        cuts, written = self.cuts()
        client = ScriptedLM(planted)

        async def sends() -> int:
            lm = compose(client, role="task", log=CallLog(), ledger=Ledger(), slots=Slots(1))
            work = asyncio.create_task(cuts.within("later", lm(request_of(0))))
            await asyncio.wait([work], timeout=0.05)
            work.cancel()
            return client.sent

        async def both() -> tuple[int, int]:
            with pytest.raises(lp.CapReached):
                await cuts.within("work", cut_by("seconds"))
            return await sends(), len(written)

        assert asyncio.run(both()) == (1, 2)
        assert written[-1] == {"work/1": {"cap": "seconds", "beside": ["later/1"]}}
        cuts, client = self.cuts(written[-1])[0], ScriptedLM(planted)
        assert asyncio.run(sends()) == 0

    def test_other_errors_are_no_cut(self) -> None:
        cuts, written = self.cuts()

        with pytest.raises(lp.AuthError):
            asyncio.run(cuts.within("work", failing()))

        assert written == []

    def test_what_ran_beside_a_cut_sends_nothing_at_first_but_is_served_what_is_recorded(self) -> None:
        cuts, _ = self.cuts({"work/1": {"cap": "tokens", "beside": ["other/1", "another/1"]}})
        client, ledger = ScriptedLM(planted), Ledger()

        async def beside() -> tuple[str, bool]:
            with CallLog() as log:
                lm = compose(client, role="task", log=log, ledger=ledger, slots=Slots(1))
                log.put(request_key(lm.name, request_of(0)), "task", lm.name, request_of(0), lp.Response("recorded"))
                served = await cuts.within("other", lm(request_of(0)))
                waiting = asyncio.create_task(cuts.within("another", lm(request_of(1))))
                await asyncio.wait([waiting], timeout=0.05)
                waiting.cancel()
                return served.text, client.sent == 0

        assert asyncio.run(beside()) == ("recorded", True)


async def answer_of_nobody() -> Evaluation:
    """An evaluation of two rows."""
    return Evaluation(tuple(Run({}, None, lp.Score(0.0), ()) for _ in range(2)))


async def cut_by(cap: str) -> None:
    raise lp.CapReached("too much", cap=cap)


async def answer_of(text: str) -> str:
    return text


async def failing() -> None:
    raise lp.AuthError("the key was refused")


UNWRITABLE = """
import asyncio, logging, resource, sys
import lmprog as lp
from lmprog.lm.cache import CallLog

logging.basicConfig(stream=sys.stdout)
request = lp.Request((lp.Message("user", "q"),))

async def work(log):
    log.put("key", "task", "lm", request, lp.Response("x" * 100_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as on a full disk, from now on nothing can be written
    if sys.argv[2] == "failing":
        raise ValueError("of the program's own")

try:
    with CallLog(sys.argv[1]) as log:
        asyncio.run(work(log))
except (lp.RunDirError, ValueError) as error:
    print(f"{type(error).__name__}: {error}")
"""


class TestALastReplyThatCannotBeWritten:
    def said(self, path: Path, how: str) -> str:
        command = [sys.executable, "-c", UNWRITABLE, str(path), how]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def test_is_told_when_the_log_is_closed(self, tmp_path: Path) -> None:
        said = self.said(tmp_path / "calls.sqlite", "ending")

        assert said.startswith("RunDirError: the call log")
        assert "the last replies are not recorded. Free or repair the file" in said

    def test_is_logged_where_another_error_ends_the_run(self, tmp_path: Path) -> None:
        said = self.said(tmp_path / "calls.sqlite", "failing")

        assert "ERROR:lmprog.lm:the call log" in said
        assert said.splitlines()[-1] == "ValueError: of the program's own"
