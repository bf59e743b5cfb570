"""lmprog's side of the benchmark, with all on that a run has.

A single call goes through call log (an SQLite file, cache on), ledger, slots and trace, and so does a compile's.
`evaluate()` is as users call it: the same layers, with its log in memory.
"""

import asyncio
import importlib
import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from speed_task import (
    ANSWER,
    DEMOS,
    INSTRUCTION,
    WARM_UP,
    Sample,
    Settings,
    Workload,
    clocked,
    compiled,
    efficiency,
    question,
    server,
    value_of,
)

import lmprog as lp
from lmprog import loop, scope
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import Ledger
from lmprog.lm.limit import Slots

END = "[[ end of fields ]]"


class Answer(lp.Signature):
    """Answer the question in a few words."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Typed(lp.Signature):
    """Answer the question in a few words."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()
    confidence: float = lp.OutputField()
    kind: Literal["city", "river", "person"] = lp.OutputField()


class WriteQuery(lp.Signature):
    """Write a search query that helps answer the question."""

    question: str = lp.InputField()
    query: str = lp.OutputField()


class FromQuery(lp.Signature):
    """Answer the question in a few words."""

    question: str = lp.InputField()
    query: str = lp.InputField()
    answer: str = lp.OutputField()


class Sync(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict(Answer)

    def forward(self, question: str) -> Answer:
        return self.answer(question=question)


class Async(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict(Answer)

    async def aforward(self, question: str) -> Answer:
        return await self.answer.acall(question=question)


class TwoSteps(lp.Module):
    def __init__(self) -> None:
        self.write_query = lp.Predict(WriteQuery)
        self.answer = lp.Predict(FromQuery)

    def forward(self, question: str) -> FromQuery:
        return self.answer(question=question, query=self.write_query(question=question).query)


class Fake:
    """An LM in this process that takes `latency_s` and always says the same."""

    name = "fake"
    capabilities = frozenset({"generate", "sample"})

    def __init__(self, text: str = f"[[ answer ]]\n{ANSWER}\n\n{END}", *, latency_s: float = 0.0) -> None:
        self._reply, self._latency_s = lp.Response(text, prompt_tokens=40, completion_tokens=5), latency_s

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        return self._reply


class Varied:
    """An LM in this process whose replies are a function of the prompt."""

    name = "varied"
    capabilities = frozenset({"generate", "sample"})

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self.sent = 0

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        self.sent += 1
        await asyncio.sleep(self._latency_s)
        prompt = "\n".join(message.text for message in request.messages) + str(request.sample)
        fields = json.loads(request.schema or '{"properties": {}}')["properties"]
        text = "\n\n".join([*(f"[[ {name} ]]\n{value_of(name, prompt)}" for name in fields), END])
        return lp.Response(text, prompt_tokens=len(prompt) // 4, completion_tokens=20)


def metric(row: Mapping[str, Any], prediction: Answer) -> bool:
    """Exact match."""
    return bool(prediction.answer == row["answer"])


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Return rows of which no two are equal."""
    return [{"question": question(number), "answer": ANSWER} for number in range(start, start + count)]


@contextmanager
def layers(client: lp.LM) -> Generator[None]:
    """Put the client in force as a run does: in all its layers, with a call log on disk."""
    with tempfile.TemporaryDirectory() as folder, CallLog(Path(folder) / "calls.sqlite", alone=True) as log:
        lm = compose(client, role="task", log=log, ledger=Ledger(), slots=Slots(16))
        with scope.scoped(lm=lm, trace=scope.Trace()):
            yield


def call(settings: Settings) -> Sample:
    """One Predict call after another; with `hit`, each was made before."""
    calls = int(settings["calls"])
    again = bool(settings.get("hit"))
    predictor, client = _asked(settings)
    with layers(client):
        _calls(predictor, settings, WARM_UP, -WARM_UP)
        if again:
            _calls(predictor, settings, calls, 0)
        with clocked() as clock:
            _calls(predictor, settings, calls, 0)
    return clock.each(calls)


def _asked(settings: Settings) -> tuple[lp.Predict[..., lp.Signature], Fake]:
    if settings.get("typed"):
        return lp.Predict(Typed), Fake(f"[[ answer ]]\n{ANSWER}\n\n[[ confidence ]]\n0.8\n\n[[ kind ]]\ncity\n\n{END}")
    demos = [lp.Demo(inputs={"question": question(-n)}, outputs={"answer": ANSWER}) for n in range(1, DEMOS + 1)]
    return lp.Predict(Answer, demos=demos if settings.get("demos") else []), Fake()


def _calls(predictor: lp.Predict[..., lp.Signature], settings: Settings, count: int, start: int) -> None:
    async def one_by_one() -> None:
        for number in range(start, start + count):
            await predictor.acall(question=question(number))

    match settings["how"]:
        case "sync":
            for number in range(start, start + count):
                predictor(question=question(number))
        case "async":  # as in a program's aforward
            loop.run(one_by_one(), instead="")
        case _:  # in the user's own event loop
            asyncio.run(one_by_one())


def evaluate(settings: Settings) -> Sample:
    """Evaluate a program of one call over an LM with latency, in this process."""
    in_flight, latency_s = int(settings["in_flight"]), int(settings["latency_ms"]) / 1000
    data = rows(40 * in_flight)
    program = Sync() if settings["how"] == "sync" else Async()
    lp.evaluate(program, rows(WARM_UP, -WARM_UP), metric, lm=Fake())
    with clocked() as clock:
        lp.evaluate(program, data, metric, lm=Fake(latency_s=latency_s), concurrency=in_flight)
    return efficiency(clock, len(data), latency_s, in_flight)


def http(settings: Settings) -> Sample:
    """Evaluate a program of one call over loopback HTTP, the server in a process of its own."""
    in_flight, latency_ms = int(settings["in_flight"]), int(settings["latency_ms"])
    data = rows(40 * in_flight)
    program = Sync() if settings["how"] == "sync" else Async()
    with server(latency_ms) as url:
        lm = lp.OpenAI("fake", base_url=url)
        lp.evaluate(program, rows(in_flight, -in_flight), metric, lm=lm, concurrency=in_flight)
        with clocked() as clock:
            lp.evaluate(program, data, metric, lm=lm, concurrency=in_flight)
    return efficiency(clock, len(data), latency_ms / 1000, in_flight)


def per_row(settings: Settings) -> Sample:
    """Evaluate a program of one call over an LM without latency."""
    data = rows(int(settings["rows"]))
    lp.evaluate(Sync(), rows(WARM_UP, -WARM_UP), metric, lm=Fake())
    with clocked() as clock:
        lp.evaluate(Sync(), data, metric, lm=Fake(), concurrency=16)
    return clock.each(len(data))


def mipro(settings: Settings) -> Sample:
    """Compile two predictors with MIPRO: 100 rows to train, 100 to validate, 100 locked away for the certificate."""
    in_flight, latency_s = int(settings["in_flight"]), int(settings["latency_ms"]) / 1000
    client = Varied(latency_s)
    importlib.import_module("lmprog.optimizers.mipro")
    _ = lp.compile  # imports what it takes: that has a cell of its own
    with tempfile.TemporaryDirectory() as folder, clocked() as clock:
        lp.compile(
            TwoSteps(),
            train=rows(100),
            val=rows(100, 100),
            holdout=rows(100, 200),
            metric=metric,
            optimizer="mipro",
            lm=client,
            budget="light",
            concurrency=in_flight,
            run_dir=Path(folder) / "run",
        )
    return compiled(clock, client.sent, latency_s, in_flight)


assert Answer.__doc__ == INSTRUCTION

WORKLOADS: dict[str, Workload] = {"call": call, "evaluate": evaluate, "http": http, "per_row": per_row, "mipro": mipro}
