"""DSPy's side of the benchmark, by its public API.

With `cached`: `dspy.LM` with an engine and DSPy's own cache, in memory and in a fresh folder on disk, which is what
comes nearest to a call log. Without: the leanest LM that DSPy has, a `BaseLM` of one method, that keeps nothing but history.
"""

# mypy: disable-error-code="misc"
# pyright: reportUnknownMemberType=false

import asyncio
import importlib
import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
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

_folder = tempfile.TemporaryDirectory()
os.environ["DSPY_CACHEDIR"] = _folder.name  # read on import
warnings.simplefilter("ignore")
dspy: Any = importlib.import_module("dspy")  # it has no types
lm15: Any = importlib.import_module("dspy.lm15")
logging.disable(logging.WARNING)

MODEL = "openai/gpt-4o-mini"
"""One that DSPy knows: to look up a price for one that it does not takes it half of all its time."""
END = "[[ ## completed ## ]]"
ASKED = re.compile(r"Respond with the corresponding output fields, starting with the field (.*)", re.DOTALL)
FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")

Reply = Callable[[str], str]


class Answer(dspy.Signature):
    __doc__ = INSTRUCTION

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Typed(dspy.Signature):
    __doc__ = INSTRUCTION

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
    confidence: float = dspy.OutputField()
    kind: Literal["city", "river", "person"] = dspy.OutputField()


class WriteQuery(dspy.Signature):
    """Write a search query that helps answer the question."""

    question: str = dspy.InputField()
    query: str = dspy.OutputField()


class FromQuery(dspy.Signature):
    __doc__ = INSTRUCTION

    question: str = dspy.InputField()
    query: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Program(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(Answer)

    def forward(self, question: str) -> Any:
        return self.answer(question=question)

    async def aforward(self, question: str) -> Any:
        return await self.answer.acall(question=question)


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write_query = dspy.Predict(WriteQuery)
        self.answer = dspy.Predict(FromQuery)

    def forward(self, question: str) -> Any:
        return self.answer(question=question, query=self.write_query(question=question).query)


class Engine:
    """An LM in this process that takes `latency_s`."""

    def __init__(self, reply: Reply, latency_s: float) -> None:
        self.reply, self.latency_s = reply, latency_s
        self.sent = 0

    def answer(self, request: Any) -> Any:
        self.sent += 1  # under the interpreter's lock: exact enough to count thousands
        text = self.reply(_prompt(request))
        message = lm15.Message.assistant([lm15.TextPart(text)])
        usage = lm15.Usage(input_tokens=40, output_tokens=5, total_tokens=45)
        return lm15.Response(id=None, model="gpt-4o-mini", message=message, finish_reason="stop", usage=usage)


class SyncEngine(Engine):
    def complete(self, request: Any) -> Any:
        if self.latency_s:
            time.sleep(self.latency_s)
        return self.answer(request)


class AsyncEngine(Engine):
    async def complete(self, request: Any) -> Any:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        return self.answer(request)


class Lean(dspy.BaseLM):
    """An LM in this process that takes `latency_s`, and nothing around it."""

    def __init__(self, reply: Reply, latency_s: float) -> None:
        super().__init__("fake", "chat", 0.0, 512, True)
        self.reply, self.latency_s = reply, latency_s

    def forward(self, prompt: Any = None, messages: Any = None, **settings: Any) -> Any:
        if self.latency_s:
            time.sleep(self.latency_s)
        return self.answer()

    async def aforward(self, prompt: Any = None, messages: Any = None, **settings: Any) -> Any:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        return self.answer()

    def answer(self) -> Any:
        message = SimpleNamespace(content=self.reply(""), tool_calls=None, reasoning_content=None)
        usage = {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45}
        choice = SimpleNamespace(message=message, finish_reason="stop")
        return SimpleNamespace(choices=[choice], usage=usage, model="fake")


def _prompt(request: Any) -> str:
    return "\n".join([str(request.system), *(message.text or "" for message in request.messages)])


def _lm(settings: Settings, text: str = f"[[ ## answer ## ]]\n{ANSWER}\n\n{END}", *, latency_s: float = 0.0) -> Any:
    def reply(_prompt: str) -> str:
        return text

    if not settings["cached"]:
        return Lean(reply, latency_s)
    return dspy.LM(MODEL, engine=SyncEngine(reply, latency_s), async_engine=AsyncEngine(reply, latency_s))


def metric(row: Any, prediction: Any, trace: Any = None) -> bool:
    """Exact match."""
    return bool(prediction.answer == row.answer)


def rows(count: int, start: int = 0) -> list[Any]:
    """Return rows of which no two are equal."""
    numbers = range(start, start + count)
    return [dspy.Example(question=question(number), answer=ANSWER).with_inputs("question") for number in numbers]


def call(settings: Settings) -> Sample:
    """One Predict call after another; with `hit`, each was made before."""
    calls = int(settings["calls"])
    predictor = dspy.Predict(Typed if settings.get("typed") else Answer)
    if settings.get("demos"):
        predictor.demos = [dspy.Example(question=question(-n), answer=ANSWER) for n in range(1, DEMOS + 1)]
    typed = f"[[ ## answer ## ]]\n{ANSWER}\n\n[[ ## confidence ## ]]\n0.8\n\n[[ ## kind ## ]]\ncity\n\n{END}"
    dspy.configure(lm=_lm(settings, typed) if settings.get("typed") else _lm(settings))
    _calls(predictor, settings, WARM_UP, -WARM_UP)
    if settings.get("hit"):
        _calls(predictor, settings, calls, 0)
    with clocked() as clock:
        _calls(predictor, settings, calls, 0)
    return clock.each(calls)


def _calls(predictor: Any, settings: Settings, count: int, start: int) -> None:
    async def one_by_one() -> None:
        for number in range(start, start + count):
            await predictor.acall(question=question(number))

    if settings["how"] == "sync":
        for number in range(start, start + count):
            predictor(question=question(number))
    else:
        asyncio.run(one_by_one())


def evaluate(settings: Settings) -> Sample:
    """Evaluate a program of one call over an LM with latency, in this process.

    DSPy has no async evaluation: the async program is run over the rows by hand, under a semaphore.
    """
    in_flight, latency_s = int(settings["in_flight"]), int(settings["latency_ms"]) / 1000
    data, program = rows(40 * in_flight), Program()
    dspy.configure(lm=_lm(settings), async_max_workers=in_flight)
    _evaluate(program, rows(WARM_UP, -WARM_UP), 16)
    dspy.configure(lm=_lm(settings, latency_s=latency_s))
    with clocked() as clock:
        _run(program, data, settings)
    return efficiency(clock, len(data), latency_s, in_flight)


def _run(program: Any, data: list[Any], settings: Settings) -> None:
    if settings["how"] == "sync":
        _evaluate(program, data, int(settings["in_flight"]))
    else:
        asyncio.run(_by_hand(program, data, int(settings["in_flight"])))


def _evaluate(program: Any, data: list[Any], threads: int) -> None:
    dspy.Evaluate(devset=data, metric=metric, num_threads=threads, display_progress=False)(program)


async def _by_hand(program: Any, data: list[Any], in_flight: int) -> None:
    slots = asyncio.Semaphore(in_flight)

    async def one(row: Any) -> bool:
        async with slots:
            return metric(row, await program.acall(**row.inputs()))

    waiting: list[Awaitable[bool]] = [one(row) for row in data]
    await asyncio.gather(*waiting)


def http(settings: Settings) -> Sample:
    """Evaluate a program of one call over loopback HTTP, the server in a process of its own."""
    in_flight, latency_ms = int(settings["in_flight"]), int(settings["latency_ms"])
    data, program = rows(40 * in_flight), Program()
    with server(latency_ms) as url:
        lm = dspy.LM(MODEL, api_base=url, api_key="none", cache=bool(settings["cached"]), engine="lm15")
        dspy.configure(lm=lm, async_max_workers=in_flight)
        _run(program, rows(in_flight, -in_flight), settings)
        with clocked() as clock:
            _run(program, data, settings)
    return efficiency(clock, len(data), latency_ms / 1000, in_flight)


def per_row(settings: Settings) -> Sample:
    """Evaluate a program of one call over an LM without latency."""
    data, program = rows(int(settings["rows"])), Program()
    dspy.configure(lm=_lm(settings))
    _evaluate(program, rows(WARM_UP, -WARM_UP), 16)
    with clocked() as clock:
        _evaluate(program, data, 16)
    return clock.each(len(data))


def mipro(settings: Settings) -> Sample:
    """Compile two predictors with MIPROv2: 100 rows to train, 100 to validate."""
    in_flight, latency_s = int(settings["in_flight"]), int(settings["latency_ms"]) / 1000
    engine = SyncEngine(_reply, latency_s)
    dspy.configure(lm=dspy.LM(MODEL, engine=engine, cache=bool(settings["cached"])))
    importlib.import_module("optuna")  # as on lmprog's side: imports have a cell of their own
    mipro = dspy.MIPROv2(metric=metric, auto="light", num_threads=in_flight)
    with clocked() as clock:
        mipro.compile(TwoSteps(), trainset=rows(100), valset=rows(100, 100))
    return compiled(clock, engine.sent, latency_s, in_flight)


def _reply(prompt: str) -> str:
    asked = ASKED.findall(prompt)
    fields = [name for name in FIELD.findall(asked[-1]) if name != "completed"] if asked else []
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{value_of(name, prompt)}" for name in fields), END])


WORKLOADS: dict[str, Workload] = {"call": call, "evaluate": evaluate, "http": http, "per_row": per_row, "mipro": mipro}
