"""The layers between a predictor and its LM: what is sent, what is counted, what is kept."""

import asyncio
import contextlib
import itertools
import json
import logging
import random
import re
import sqlite3
from collections.abc import Coroutine, Generator, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog.lm import prices
from lmprog.lm.cache import Cached, CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import ROLES, Amount, Budget, Ledger, Metered, Role
from lmprog.lm.limit import Limited, Slots
from lmprog.lm.retry import FIRST_OUTAGE_S, Patience, Retried, patience_s
from lmprog.request import TokenLogprob, ToolCall, ToolSpec, request_key
from lmprog.testing import Asked, Handler, ScriptedLM


def ask(text: str, *, max_tokens: int = 10, sample: int = 0) -> lp.Request:
    return lp.Request((lp.Message("user", text),), max_tokens=max_tokens, sample=sample)


def text_of(asked: Asked) -> str:
    return asked.request.messages[-1].text


def echo(asked: Asked) -> lp.Response:
    return lp.Response(f"re: {text_of(asked)} {asked.request.sample}", prompt_tokens=7, completion_tokens=3)


def failing(errors: Iterable[Exception | None]) -> Handler:
    """A script that raises each error in turn, answers where there is none, and answers when they are used up."""
    left = iter(errors)

    def handler(asked: Asked) -> lp.Response:
        error = next(left, None)
        if error is not None:
            raise error
        return echo(asked)

    return handler


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


class Gates:
    """A script that answers each request only when its gate is opened."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._open: dict[str, asyncio.Event] = {}

    async def __call__(self, asked: Asked) -> lp.Response:
        self.started.append(text_of(asked))
        await self._open.setdefault(text_of(asked), asyncio.Event()).wait()
        return echo(asked)

    async def open(self, text: str) -> None:
        self._open.setdefault(text, asyncio.Event()).set()
        await let_all_run()


async def let_all_run() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def patient(lm: lp.LM, clock: Clock, *, outage_s: float = 600, **limits: Any) -> Retried:
    jitter = random.Random(0)
    return Retried(
        lm,
        Patience(lm.name, outage_s=outage_s, sleep=clock.sleep, now=clock.now, jitter=jitter, **limits),
    )


def run_all(lm: lp.LM, requests: Iterable[lp.Request]) -> list[lp.Response | BaseException]:
    async def together() -> list[lp.Response | BaseException]:
        return await asyncio.gather(*(lm(request) for request in requests), return_exceptions=True)

    return asyncio.run(together())


def call(lm: lp.LM, request: lp.Request) -> lp.Response:
    async def one() -> lp.Response:
        return await lm(request)

    return asyncio.run(one())


def start(coroutine: Coroutine[Any, Any, lp.Response]) -> "asyncio.Task[lp.Response]":
    return asyncio.create_task(coroutine)


_logs = ExitStack()


@pytest.fixture(autouse=True)
def close_logs() -> Generator[None]:
    yield
    _logs.close()


def fresh_log() -> CallLog:
    return _logs.enter_context(CallLog())


def stack(client: lp.LM, ledger: Ledger, *, log: CallLog | None = None, role: Role = "task", slots: int = 256) -> lp.LM:
    return compose(client, role=role, log=log or fresh_log(), ledger=ledger, slots=Slots(slots))


@settings(deadline=None, max_examples=40)
@given(cap=st.integers(1, 300), fails=st.lists(st.booleans(), min_size=1, max_size=12), slots=st.sampled_from([1, 256]))
def test_never_more_attempts_leave_than_the_cap_in_calls(cap: int, fails: list[bool], slots: int) -> None:
    client = ScriptedLM(failing(lp.UnavailableError("down") if fail else None for fail in itertools.cycle(fails)))
    ledger = Ledger(Budget(calls=cap))
    limited = Limited(client, Slots(slots))
    lm = Cached(patient(Metered(limited, ledger, "task"), Clock()), fresh_log(), ledger, "task")

    results = run_all(lm, [ask(str(i)) for i in range(256)])

    stopped = [result for result in results if isinstance(result, lp.CapReached)]
    assert client.sent <= cap
    assert client.sent == ledger.spent.total_sent.calls
    assert not stopped or client.sent == cap
    assert all(isinstance(result, lp.Response | lp.CapReached | lp.UnavailableError) for result in results)


@pytest.mark.parametrize("cap", [1, 7, 100])
def test_a_cap_in_calls_is_used_up_exactly(cap: int) -> None:
    client = ScriptedLM(echo, latency_s=0.001)

    results = run_all(stack(client, Ledger(Budget(calls=cap))), [ask(str(i)) for i in range(256)])

    assert client.sent == sum(isinstance(result, lp.Response) for result in results) == cap


def test_the_error_at_a_cap_says_what_was_spent_and_how_to_go_on() -> None:
    ledger = Ledger(Budget(calls=1))
    lm = stack(ScriptedLM(echo), ledger)
    call(lm, ask("a"))

    with pytest.raises(lp.CapReached) as raised:
        call(lm, ask("b"))

    assert raised.value.cap == "calls"
    assert "the cap of 1 calls is reached" in str(raised.value)
    assert "task 1" in str(raised.value)
    assert "lp.Budget(calls=2)" in str(raised.value)


def test_a_cap_covers_all_roles_together() -> None:
    client, ledger, log = ScriptedLM(echo), Ledger(Budget(calls=2)), fresh_log()
    call(stack(client, ledger, log=log, role="task"), ask("a"))
    call(stack(client, ledger, log=log, role="judge"), ask("b"))

    with pytest.raises(lp.CapReached):
        call(stack(client, ledger, log=log, role="proposer"), ask("c"))


REPLY = lp.Response("ok", prompt_tokens=14, completion_tokens=86)
LARGE = [ask(letter * 40, max_tokens=386) for letter in "abc"]  # 40 / 4 + 4 + 386 = 400 tokens at most, each


def test_a_reservation_that_does_not_fit_beside_others_in_flight_waits_for_them() -> None:
    client, ledger = ScriptedLM(lambda _: REPLY, latency_s=0.001), Ledger(Budget(tokens=1000))

    results = run_all(stack(client, ledger), LARGE)

    assert results == [REPLY] * 3
    assert client.most_in_flight == 2
    assert ledger.spent.total_sent == Amount(3, 42, 258)


def test_a_reservation_that_can_never_fit_is_refused_and_nothing_is_sent() -> None:
    client = ScriptedLM(lambda _: REPLY)

    with pytest.raises(lp.CapReached, match="this attempt may need 400 more") as raised:
        call(stack(client, Ledger(Budget(tokens=399))), LARGE[0])

    assert raised.value.cap == "tokens"
    assert client.sent == 0


@pytest.mark.parametrize("cap", [{"tokens": 10}, {"tokens": 399}, {"usd": 0.0001}, {"usd": 0.7}])
def test_the_larger_cap_that_is_proposed_is_a_short_number_and_large_enough(cap: Mapping[str, Any]) -> None:
    price = (1000.0, 2000.0) if cap.get("usd", 0) > 0.1 else (1.0, 2.0)

    def lm(budget: Budget) -> lp.LM:
        return stack(ScriptedLM(lambda _: REPLY), Ledger(budget, prices={"scripted": price}))

    with pytest.raises(lp.CapReached) as raised:
        call(lm(Budget(**cap)), LARGE[0])

    found = re.search(r"lp\.Budget\((\w+)=([\d.e-]+)\)`", str(raised.value))
    assert found and found[1] in cap and len(found[2]) <= 7
    assert call(lm(Budget(**{found[1]: json.loads(found[2])})), LARGE[0]) == REPLY


@settings(deadline=None, max_examples=30)
@given(cap=st.integers(1, 4000), used=st.lists(st.integers(1, 386), min_size=1, max_size=30))
def test_a_cap_in_tokens_is_never_overshot(cap: int, used: list[int]) -> None:
    completions = itertools.cycle(used)
    client = ScriptedLM(lambda _: lp.Response("ok", 14, next(completions)))
    ledger = Ledger(Budget(tokens=cap))

    run_all(stack(client, ledger), [ask(f"{i:040}", max_tokens=386) for i in range(40)])

    assert ledger.spent.total_sent.tokens <= cap


def test_a_cap_in_usd_is_reserved_at_the_known_price() -> None:
    client = ScriptedLM(lambda _: REPLY, latency_s=0.001)
    ledger = Ledger(Budget(usd=0.001), prices={"scripted": (1.0, 2.0)})  # 14 + 2 * 386 = 786 millionths of USD held

    results = run_all(stack(client, ledger), LARGE)

    assert client.most_in_flight == 1
    assert results[:2] == [REPLY, REPLY]  # 14 + 2 * 86 = 186 millionths each
    assert isinstance(results[2], lp.CapReached)
    assert results[2].cap == "usd"
    assert ledger.spent.total_sent.usd == pytest.approx(0.000372)


def test_without_a_price_what_the_reply_reports_is_counted() -> None:
    client = ScriptedLM(lambda _: replace(REPLY, usd=0.6))
    ledger = Ledger(Budget(usd=1.0))
    lm = stack(client, ledger)

    call(lm, LARGE[0])

    with pytest.raises(lp.CapReached, match=r"the cap of 1 usd is reached: 0\.6 are spent"):
        call(lm, LARGE[1])  # 0.6 for 100 tokens, and this may take 400


def test_an_lm_that_tells_no_counts_is_charged_an_estimate() -> None:
    ledger = Ledger()

    call(stack(ScriptedLM(lambda _: lp.Response("12345")), ledger), LARGE[0])

    assert ledger.spent.total_sent == Amount(1, 14, 2)


def test_the_cap_in_seconds_counts_from_the_ledgers_beginning() -> None:
    clock = Clock()
    ledger = Ledger(Budget(seconds=60), now=clock.now)
    lm = stack(ScriptedLM(echo), ledger)
    call(lm, ask("a"))
    clock.now_s = 60

    with pytest.raises(lp.CapReached) as raised:
        call(lm, ask("b"))

    assert raised.value.cap == "seconds"


def test_an_attempt_cancelled_under_way_costs_all_it_held() -> None:
    async def cancelled(ledger: Ledger) -> None:
        running = start(stack(ScriptedLM(Gates()), ledger)(LARGE[0]))
        await let_all_run()
        running.cancel()
        await asyncio.wait([running])

    ledger = Ledger()

    asyncio.run(cancelled(ledger))

    assert ledger.spent.total_sent == Amount(1, 14, 386)


def test_an_attempt_cancelled_before_its_slot_came_costs_nothing() -> None:
    async def cancelled(ledger: Ledger) -> None:
        gates = Gates()
        lm = stack(ScriptedLM(gates), ledger, slots=1)
        first, second = start(lm(ask("first"))), start(lm(ask("second")))
        await let_all_run()
        second.cancel()
        await asyncio.wait([second])
        await gates.open("first")
        await first

    ledger = Ledger()

    asyncio.run(cancelled(ledger))

    assert ledger.spent.total_sent == Amount(1, 7, 3)


@pytest.mark.parametrize(
    ("error", "cost"),
    [
        (lp.AuthError("wrong key"), Amount(1)),
        (lp.ContextError("too long"), Amount(1)),
        (lp.UnavailableError("busy", retry_after_s=9), Amount(1)),
        (lp.UnavailableError("timeout"), Amount(1, 14, 386)),
    ],
)
def test_a_failed_attempt_costs_what_it_held_unless_the_provider_refused_to_work(
    error: Exception, cost: Amount
) -> None:
    ledger = Ledger()

    with pytest.raises(type(error)):
        call(Metered(ScriptedLM(failing([error])), ledger, "task"), LARGE[0])

    assert ledger.spent.total_sent == cost


@pytest.mark.parametrize(
    "caps", [{"calls": 0}, {"calls": 1.5}, {"tokens": -1}, {"usd": 0.0}, {"seconds": float("nan")}]
)
def test_a_cap_is_a_number_above_zero(caps: dict[str, Any]) -> None:
    (name,) = caps

    with pytest.raises(lp.LmprogError, match=f"Budget\\({name}=.*above 0"):
        Budget(**caps)


def test_a_cap_that_cannot_be_reckoned_with_is_refused() -> None:
    with pytest.raises(lp.LmprogError, match="a cap is at most 1,000,000,000,000,000,000"):
        Budget(tokens=10**5000)


def test_spent_is_written_by_sense_and_role() -> None:
    ledger = Ledger(now=Clock().now)
    call(stack(ScriptedLM(echo), ledger, role="teacher"), ask("a"))

    written = json.loads(ledger.spent.to_json())

    assert written["requested"]["teacher"] == {"calls": 1, "prompt_tokens": 7, "completion_tokens": 3, "usd": 0.0}
    assert set(written["sent"]) == set(ROLES)
    assert written["seconds"] == 0


def test_a_freed_slot_goes_to_the_call_that_has_waited_longest() -> None:
    async def order() -> list[list[str]]:
        gates, slots = Gates(), Slots(2)
        task, judge = Limited(ScriptedLM(gates), slots), Limited(ScriptedLM(gates), slots)
        calls = [start(lm(ask(text))) for lm, text in [(task, "a"), (judge, "b"), (task, "c"), (judge, "d")]]
        seen: list[list[str]] = []
        for opened in ["none", "b", "a", "c", "d"]:
            await gates.open(opened)
            seen.append(list(gates.started))
        await asyncio.gather(*calls)
        return seen[:3]

    assert asyncio.run(order()) == [["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_exactly_as_many_calls_are_in_flight_as_there_are_slots(count: int) -> None:
    client = ScriptedLM(echo, latency_s=0.001)

    run_all(stack(client, Ledger(), slots=count), [ask(str(i)) for i in range(50)])

    assert client.most_in_flight == count


def test_concurrency_below_one_is_refused() -> None:
    with pytest.raises(lp.LmprogError, match="at least 1; it is 0"):
        Slots(0)


def test_a_call_that_backs_off_holds_neither_slot_nor_reservation() -> None:
    async def while_it_waits() -> None:
        waiting, wake = asyncio.Event(), asyncio.Event()

        async def sleep(_: float) -> None:
            waiting.set()
            await wake.wait()

        client, ledger = ScriptedLM(failing([lp.UnavailableError("busy", retry_after_s=1)])), Ledger(Budget(tokens=410))
        lm = Retried(Metered(Limited(client, Slots(1)), ledger, "task"), Patience("scripted", sleep=sleep))
        first = start(lm(LARGE[0]))
        await waiting.wait()

        held = ledger.spent.total_sent.tokens
        second = await lm(ask("other"))
        wake.set()

        assert held == 0
        assert second.text == "re: other 0"
        assert (await first).prompt_tokens == 7

    asyncio.run(while_it_waits())


def test_the_wait_before_another_attempt_doubles_up_to_a_minute() -> None:
    clock = Clock()
    client = ScriptedLM(failing([lp.UnavailableError("down")] * 10))

    call(patient(client, clock), ask("a"))

    longest = [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert client.sent == 11
    assert all(most / 2 <= wait <= most for wait, most in zip(clock.waits, longest, strict=True))


def test_no_attempt_is_made_sooner_than_the_provider_asks() -> None:
    clock = Clock()

    call(patient(ScriptedLM(failing([lp.UnavailableError("busy", retry_after_s=30)])), clock), ask("a"))

    (wait,) = clock.waits
    assert 30 <= wait <= 30.5


@pytest.mark.parametrize("error", [lp.AuthError("wrong key"), lp.ContextError("too long"), lp.LMError("400")])
def test_an_error_that_another_attempt_cannot_mend_passes_at_once(error: Exception) -> None:
    client, clock = ScriptedLM(failing([error])), Clock()

    with pytest.raises(type(error)) as raised:
        call(patient(client, clock), ask("a"))

    assert raised.value is error
    assert (client.sent, clock.waits) == (1, [])


def test_an_outage_is_waited_for_and_said_aloud_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    client = ScriptedLM(failing([lp.UnavailableError("connection refused")] * 8))

    with caplog.at_level(logging.WARNING, "lmprog.lm"):
        call(patient(client, clock), ask("a"))

    gone, back = caplog.messages
    assert gone == "scripted does not answer; waiting for it up to 600 s (connection refused)"
    assert back.startswith("scripted answers again after ")


def test_an_outage_that_lasts_ends_with_the_first_causes() -> None:
    clock = Clock()
    causes = ["refused", "refused", "no route", "timeout", "503"]
    errors = [lp.UnavailableError(cause) for cause in causes]
    client = ScriptedLM(failing([*errors, *[lp.UnavailableError("503")] * 1000]))

    with pytest.raises(lp.UnavailableError) as raised:
        call(patient(client, clock, outage_s=100), ask("a"))

    assert clock.now_s == 100
    assert "scripted has not answered for 100 s" in str(raised.value)
    assert "First causes: refused; no route; timeout." in str(raised.value)
    assert raised.value.__cause__ is errors[0]


@pytest.mark.parametrize(("answers", "waited"), [(0, 15), (1, 100)])
def test_an_lm_that_never_answered_is_given_up_sooner(answers: int, waited: int) -> None:
    errors = [*[None] * answers, *[lp.UnavailableError("refused")] * 1000]
    lm = patient(ScriptedLM(failing(errors)), Clock(), outage_s=100, first_s=15)
    for number in range(answers):
        call(lm, ask(f"q{number}"))

    with pytest.raises(lp.UnavailableError, match=f"has not answered for {waited} s"):
        call(lm, ask("a"))


def test_an_lm_that_has_answered_once_is_waited_for_in_every_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("lmprog.lm.Patience", partial(Patience, sleep=clock.sleep, now=clock.now))
    errors = iter([None, *[lp.UnavailableError("refused")] * 8, None])

    def handler(asked: Asked) -> dict[str, str]:
        if error := next(errors):
            raise error
        return {"answer": "x"}

    lm = ScriptedLM(handler, name="answered once")
    for _ in range(2):
        with lp.using(lm=lm):
            lp.Predict("question -> answer")(question="q")

    assert clock.now_s > FIRST_OUTAGE_S


def test_a_provider_that_asks_to_wait_beyond_the_outage_is_not_waited_for() -> None:
    client, clock = ScriptedLM(failing([lp.UnavailableError("quota", retry_after_s=3600)])), Clock()

    with pytest.raises(lp.UnavailableError, match="asks to wait 3600 s"):
        call(patient(client, clock), ask("a"))

    assert (client.sent, clock.waits) == (1, [])


def test_attempts_can_be_limited() -> None:
    client = ScriptedLM(failing([lp.UnavailableError("down")] * 9))

    with pytest.raises(lp.UnavailableError, match="in 2 attempts"):
        call(patient(client, Clock(), attempts=2), ask("a"))

    assert client.sent == 2


def test_in_an_outage_one_call_tries_for_all() -> None:
    clock = Clock()

    def down_for_100_s(asked: Asked) -> lp.Response:
        if clock.now_s < 100:
            raise lp.UnavailableError("down")
        return echo(asked)

    client = ScriptedLM(down_for_100_s)

    results = run_all(patient(client, clock), [ask(str(i)) for i in range(64)])

    assert all(isinstance(result, lp.Response) for result in results)
    assert client.sent - 128 <= 12  # 64 fail at first, 64 are answered; the rest tried whether the LM is back


def test_a_request_that_always_fails_keeps_no_other_from_its_answer() -> None:
    def one_fails(asked: Asked) -> lp.Response:
        if text_of(asked) == "0":
            raise lp.UnavailableError("500")
        return echo(asked)

    results = run_all(patient(ScriptedLM(one_fails), Clock()), [ask(str(i)) for i in range(20)])

    assert isinstance(results[0], lp.UnavailableError)
    assert all(isinstance(result, lp.Response) for result in results[1:])


def test_equal_requests_under_way_are_sent_once() -> None:
    client, ledger = ScriptedLM(echo, latency_s=0.001), Ledger()

    results = run_all(stack(client, ledger), [ask("same")] * 100)

    assert client.sent == 1
    assert results == [lp.Response("re: same 0", 7, 3)] * 100
    assert ledger.requested == 1


def test_equal_requests_under_way_in_two_roles_are_sent_once() -> None:
    async def both() -> None:
        await asyncio.gather(task(ask("same")), judge(ask("same")))

    client, ledger, log = ScriptedLM(echo, latency_s=0.001), Ledger(), fresh_log()
    task, judge = (stack(client, ledger, log=log, role=role) for role in ("task", "judge"))

    asyncio.run(both())

    assert client.sent == 1


def test_those_who_joined_a_call_that_fails_get_its_error() -> None:
    error = lp.AuthError("wrong key")
    client = ScriptedLM(failing([error]), latency_s=0.001)

    results = run_all(stack(client, Ledger()), [ask("same")] * 10)

    assert all(result is error for result in results)
    assert client.sent == 1


def test_a_call_that_failed_is_not_recorded() -> None:
    client, log = ScriptedLM(failing([lp.LMError("400")])), fresh_log()
    lm = stack(client, Ledger(), log=log)
    with pytest.raises(lp.LMError):
        call(lm, ask("a"))

    call(lm, ask("a"))

    assert (client.sent, len(log)) == (2, 1)


def test_cancelling_the_first_caller_leaves_the_others_their_answer() -> None:
    async def leader_leaves(client: ScriptedLM, gates: Gates) -> tuple[bool, lp.Response]:
        lm = stack(client, Ledger())
        leader, joined = start(lm(ask("same"))), start(lm(ask("same")))
        await let_all_run()
        leader.cancel()
        await let_all_run()
        await gates.open("same")
        return leader.cancelled(), await joined

    gates = Gates()
    client = ScriptedLM(gates)

    left, answer = asyncio.run(leader_leaves(client, gates))

    assert left
    assert answer.text == "re: same 0"
    assert client.sent == 1


def test_a_call_that_nobody_waits_for_any_more_is_ended_and_may_be_made_anew() -> None:
    async def all_leave(client: ScriptedLM, gates: Gates) -> lp.Response:
        lm = stack(client, Ledger())
        callers = [start(lm(ask("same"))) for _ in range(3)]
        await let_all_run()
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        assert client.in_flight == 0
        await gates.open("same")
        return await lm(ask("same"))

    gates = Gates()
    client = ScriptedLM(gates)

    assert asyncio.run(all_leave(client, gates)).text == "re: same 0"
    assert client.sent == 2


def test_each_sample_index_is_a_request_of_its_own() -> None:
    client = ScriptedLM(echo)
    lm = stack(client, Ledger())

    texts = [call(lm, ask("a", sample=sample)).text for sample in (0, 1, 0, 1)]

    assert texts == ["re: a 0", "re: a 1", "re: a 0", "re: a 1"]
    assert client.sent == 2


def test_lms_of_two_names_share_nothing() -> None:
    log, ledger = fresh_log(), Ledger()
    clients = [ScriptedLM(echo, name=name) for name in ("small", "large")]

    for client in clients:
        call(stack(client, ledger, log=log), ask("a"))

    assert [client.sent for client in clients] == [1, 1]
    assert ledger.requested == 2


@pytest.mark.parametrize("order", list(itertools.permutations(["task", "teacher", "judge"])))
def test_a_request_of_several_roles_counts_for_the_same_one_whichever_asked_first(order: tuple[Role, ...]) -> None:
    client, ledger, log = ScriptedLM(echo), Ledger(), fresh_log()

    for role in order:
        call(stack(client, ledger, log=log, role=role), ask("a"))

    assert client.sent == 1
    assert ledger.spent.requested["task"] == ledger.spent.total_requested == Amount(1, 7, 3)


def test_an_lm_that_gives_one_response_for_all_is_charged_for_each_by_its_own_prompt() -> None:
    class Same:
        name, capabilities = "same", frozenset[Any]({"generate"})
        reply = lp.Response("yes")  # which tells no counts, so that they are estimated

        async def __call__(self, request: lp.Request, /) -> lp.Response:
            await asyncio.sleep(0.01)
            return self.reply

    requests = [ask("a" * 40 * number) for number in range(1, 8)]
    together, apart = Ledger(), Ledger()

    run_all(stack(Same(), together), requests)
    one_by_one = stack(Same(), apart)
    for request in requests:
        call(one_by_one, request)

    assert together.spent.requested == apart.spent.requested


def test_a_second_run_on_the_same_log_sends_nothing_and_has_requested_the_same(tmp_path: Path) -> None:
    requests = [ask(str(i % 7)) for i in range(20)]
    clients, ledgers = [ScriptedLM(echo), ScriptedLM(echo)], [Ledger(), Ledger()]

    results: list[list[lp.Response | BaseException]] = []
    for client, ledger in zip(clients, ledgers, strict=True):
        with CallLog(tmp_path / "calls.sqlite") as log:
            results.append(run_all(stack(client, ledger, log=log), requests))

    assert results[0] == results[1]
    assert [client.sent for client in clients] == [7, 0]
    assert ledgers[0].spent.requested == ledgers[1].spent.requested
    assert ledgers[1].spent.total_sent == Amount()


def test_a_resumed_run_reaches_its_cap_where_the_first_did(tmp_path: Path) -> None:
    def answered() -> int:
        with CallLog(tmp_path / "calls.sqlite") as log:
            lm = stack(ScriptedLM(echo), Ledger(Budget(calls=3)), log=log)
            return sum(isinstance(result, lp.Response) for result in run_all(lm, [ask(str(i)) for i in range(5)]))

    assert [answered(), answered()] == [3, 3]


def test_an_answer_is_on_disk_before_its_caller_gets_it(tmp_path: Path) -> None:
    async def read_meanwhile(writer: CallLog, reader: CallLog) -> list[lp.Response | None]:
        lm = stack(ScriptedLM(echo), Ledger(), log=writer)

        async def then_read(request: lp.Request) -> lp.Response | None:
            await lm(request)
            return reader.get(request_key(lm.name, request))

        return await asyncio.gather(*(then_read(ask(str(i))) for i in range(20)))

    with CallLog(tmp_path / "calls.sqlite") as writer, CallLog(tmp_path / "calls.sqlite") as reader:
        seen = asyncio.run(read_meanwhile(writer, reader))

    assert [response.text for response in seen if response] == [f"re: {i} 0" for i in range(20)]


def test_two_logs_on_one_file_agree_on_the_first_reply(tmp_path: Path) -> None:
    with CallLog(tmp_path / "calls.sqlite") as one, CallLog(tmp_path / "calls.sqlite") as other:
        first = one.put("key", "task", "lm", ask("a"), lp.Response("first"))
        second = other.put("key", "task", "lm", ask("a"), lp.Response("second"))

    assert first == second == lp.Response("first")


def test_the_log_holds_json_text_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with CallLog(path) as log:
        run_all(stack(ScriptedLM(echo), Ledger(), log=log, role="judge"), [ask("a"), ask("b")])

        plain = sqlite3.connect(path)
        (mode,) = plain.execute("PRAGMA journal_mode").fetchone()
        rows = plain.execute("SELECT key, role, lm, request, response FROM calls").fetchall()
        plain.close()

    assert mode == "wal"
    assert {(role, lm) for _, role, lm, _, _ in rows} == {("judge", "scripted")}
    assert {json.loads(request)["messages"][0]["text"] for *_, request, _ in rows} == {"a", "b"}
    assert {json.loads(response)["text"] for *_, response in rows} == {"re: a 0", "re: b 0"}
    assert all(len(bytes.fromhex(key)) == 32 for key, *_ in rows)


texts = st.text(st.characters(exclude_categories=[]))  # broken surrogates too
wishes = st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple)
responses = st.builds(
    lp.Response,
    texts,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(["stop", "length", "other"]),
    st.none() | st.floats(0, 100) | st.integers(0, 3),
    wishes,
    st.none() | st.lists(st.builds(TokenLogprob, texts, st.floats(-100, 0)), max_size=2).map(tuple),
    st.none() | st.lists(st.floats(-100, 0), max_size=2).map(tuple),
)
messages = st.builds(lp.Message, st.sampled_from(["system", "user"]), texts, wishes, st.none() | texts)
requests = st.builds(
    lp.Request,
    st.lists(messages, max_size=3).map(tuple),
    schema=st.none() | texts,
    temperature=st.sampled_from([0.0, 0, 0.7]),
    sample=st.integers(0, 2),
    json_reply=st.booleans(),
    tools=st.lists(st.builds(ToolSpec, texts, texts, texts), max_size=1).map(tuple),
    logprobs=st.booleans(),
    replies=st.lists(texts, max_size=2).map(tuple),
)


@given(request=requests, response=responses)
@settings(deadline=None)
def test_a_call_is_recorded_whole_and_its_reply_comes_back_equal(request: lp.Request, response: lp.Response) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calls.sqlite"
        with CallLog(path) as log:
            log.put("key", "task", "lm", request, response)
        with CallLog(path) as log:
            back = log.get("key")
        with contextlib.closing(sqlite3.connect(path)) as plain:
            (text,) = plain.execute("SELECT request FROM calls").fetchone()

    assert back is not None and back.recorded and back == response
    assert json.loads(text) == json.loads(json.dumps(asdict(request)))


def test_a_log_that_is_written_by_one_process_alone_knows_what_it_holds(tmp_path: Path) -> None:
    with CallLog(tmp_path / "calls.sqlite") as log:
        log.put("before", "task", "lm", ask("a"), lp.Response("first"))

    with CallLog(tmp_path / "calls.sqlite", alone=True) as log:
        log.put("now", "task", "lm", ask("b"), lp.Response("second"))

        found = [log.get(key) for key in ("before", "now", "never")]

    assert found == [lp.Response("first"), lp.Response("second"), None]


def test_a_log_that_is_one_process_s_alone_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with CallLog(path, alone=True) as log:
        log.put("key", "task", "lm", ask("a"), lp.Response("kept"))
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
            other.execute("SELECT count(*) FROM calls")

    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM calls").fetchone() == (1,)


def test_a_log_that_another_program_has_open_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.sqlite"
    CallLog(path, alone=True).close()
    monkeypatch.setattr("lmprog.lm.cache._BUSY_S", 0.05)

    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM calls").fetchone()
        with pytest.raises(lp.RunDirError, match=r"another program has it open\. Close it there"):
            CallLog(path, alone=True)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"this is no database, and never was one" * 100)

    with pytest.raises(lp.RunDirError, match=r"calls\.sqlite cannot be used: file is not a database"):
        CallLog(path)


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE calls (number TEXT)")
    theirs.close()
    before = path.read_bytes()

    with pytest.raises(lp.RunDirError, match="of another program"):
        CallLog(path)

    assert path.read_bytes() == before


def test_a_log_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    CallLog(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 2")
    newer.close()

    with pytest.raises(lp.RunDirError, match="it has format 2, and this lmprog knows format 1"):
        CallLog(path)


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"words": 1}', '{"text": 5}', '{"text": "a", "usd": NaN}'])
def test_a_damaged_reply_is_refused_by_the_files_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calls.sqlite"
    with CallLog(path) as log:
        log.put("key", "task", "lm", ask("a"), lp.Response("fine"))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE calls SET response = ?", (text,))
    other.close()

    with CallLog(path) as log, pytest.raises(lp.RunDirError, match=r"calls\.sqlite cannot be used"):
        log.get("key")


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(lp.RunDirError, match=r"missing/calls\.sqlite cannot be used"):
        CallLog(tmp_path / "missing" / "calls.sqlite")


def test_layers_keep_the_clients_name_and_capabilities() -> None:
    client = ScriptedLM(echo, name="mine", capabilities=frozenset({"generate", "tools"}))

    lm = stack(client, Ledger())

    assert (lm.name, lm.capabilities) == (client.name, client.capabilities)


BASE = lp.Request((lp.Message("system", "ab"), lp.Message("user", "c")))


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, messages=(lp.Message("system", "a"), lp.Message("user", "bc"))),
        replace(BASE, messages=(lp.Message("user", "ab"), lp.Message("user", "c"))),
        replace(BASE, messages=(lp.Message("system", "abc"),)),
        replace(BASE, schema="{}"),
        replace(BASE, temperature=1.0),
        replace(BASE, max_tokens=1),
        replace(BASE, sample=1),
        replace(BASE, weights="ab"),
    ],
)
def test_all_that_decides_a_reply_is_part_of_its_key(other: lp.Request) -> None:
    assert request_key("lm", BASE) != request_key("lm", other)
    assert request_key("lm", BASE) != request_key("other", BASE)
    assert request_key("lm", BASE) == request_key("lm", replace(BASE))


def test_a_broken_surrogate_in_a_prompt_has_a_key() -> None:
    assert request_key("lm", ask("\ud83d")) != request_key("lm", ask("\ud83e"))


@pytest.mark.parametrize("at_once", [False, True], ids=["after", "beside"])
def test_once_a_reply_could_not_be_written_no_further_call_is_sent(tmp_path: Path, at_once: bool) -> None:
    client, ledger, said = ScriptedLM(echo), Ledger(), list[object]()

    CallLog(tmp_path / "calls.sqlite", alone=True).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "calls.sqlite")) as other:  # as on a full disk
        other.execute("CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk is full'); END")

    async def two() -> None:
        with CallLog(tmp_path / "calls.sqlite", alone=True) as log:
            lm = stack(client, ledger, log=log, slots=1)
            for asked in [("a", "b")] if at_once else [("a",), ("b",)]:
                said.extend(await asyncio.gather(*(lm(ask(text)) for text in asked), return_exceptions=True))

    with pytest.raises(lp.RunDirError, match="the last replies are not recorded"):
        asyncio.run(two())

    assert [type(one) for one in said] == [lp.RunDirError] * 2
    assert (client.sent, ledger.spent.total_sent.calls) == (1, 1)


def test_causes_that_end_in_a_full_stop_are_told_with_one() -> None:
    client, clock = ScriptedLM(failing([lp.UnavailableError("the proxy answered 502.")] * 1000)), Clock()

    with pytest.raises(lp.UnavailableError, match=r"First causes: the proxy answered 502\. Once it answers"):
        call(patient(client, clock, outage_s=100), ask("a"))


@pytest.mark.parametrize("said", ["nan", "-1", "soon"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMPROG_OUTAGE_S", said)

    with pytest.raises(lp.InputError, match=f"LMPROG_OUTAGE_S='{said}' is no number of seconds"):
        patience_s()


def test_prices_that_are_nested_too_deep_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.json").write_text("[" * 100_000)
    monkeypatch.setenv("LMPROG_PRICES", str(tmp_path / "prices.json"))

    with pytest.raises(lp.InputError, match="cannot be read as JSON: it is nested too deep"):
        prices()
