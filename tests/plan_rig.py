"""A rig for plans: programs, rows and LMs that are like real ones, and a compile after each plan."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lmprog as lp
from lmprog.budget import Size
from lmprog.metrics import exact_match
from lmprog.module import Program
from lmprog.programs.multihop import MultiHopQA, make_retriever, make_splits
from lmprog.testing import Answer, Asked, Handler, ScriptedLM

SEEDS = 5


class Classify(lp.Signature):
    """Tell what kind of message it is."""

    message: str = lp.InputField()
    kind: Literal["praise", "complaint", "question"] = lp.OutputField()


class Extract(lp.Signature):
    """Extract what the invoice asks for."""

    invoice: str = lp.InputField()
    total: int = lp.OutputField(desc="in EUR")
    due: str = lp.OutputField(desc="day of the month")


KINDS = ("praise", "complaint", "question")


def luck(*names: object) -> float:
    """Return a number from 0 up to 1 that these names alone decide."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:6], "big") / 2**48


def words(about: str, most: int) -> str:
    """Return so many words at most, and half as many at least; the same for the same text."""
    return " ".join(f"word{int(100 * luck(about, n))}" for n in range(most // 2 + int(most // 2 * luck(about))))


@dataclass(frozen=True, slots=True)
class Case:
    """A program, its rows by seed, its metric, and an LM that is right more often with demos and some instructions."""

    program: Callable[[], Program]
    rows: Callable[[int], list[dict[str, Any]]]
    metric: Any
    right: Callable[[Asked], dict[str, Any]]
    wrong: Callable[[Asked], dict[str, Any]]

    def lm(self, latency_s: float) -> ScriptedLM:
        """Return the LM; each call takes so long, and more by the length of prompt and reply."""

        async def answer(asked: Asked) -> Answer:
            size = sum(len(message.text) for message in asked.request.messages)
            await asyncio.sleep(latency_s * (0.8 + size / 20_000 + 0.4 * luck(size, asked.instruction)))
            return self._reply(asked)

        handler: Handler = answer
        return ScriptedLM(handler)

    def _reply(self, asked: Asked) -> Answer:
        question = asked.request.messages[-1].text
        if not {"kind", "total", "query", "answer"}.intersection(asked.outputs):
            return {name: f"Do it well: {words(f'{question}{asked.request.sample}', 30)}" for name in asked.outputs}
        chance = 0.4 + 0.2 * bool(asked.demos) + 0.2 * luck("how good", asked.instruction)
        good = 0.8 * luck(question) + 0.2 * luck(question, asked.instruction, *asked.demos) < chance
        said = self.right(asked) if good else self.wrong(asked)
        thought = words(question + str(good), 40) if "reasoning" in asked.outputs else ""
        return {**({"reasoning": thought} if thought else {}), **said}


def _half_each(row: dict[str, Any], prediction: Extract) -> float:
    return sum([prediction.total == int(row["total"]), prediction.due == str(row["due"])]) / 2


def _messages(seed: int) -> list[dict[str, Any]]:
    texts = [f"message {seed} {number} {words(f'{seed} {number}', 40)}" for number in range(240)]
    return [{"message": text, "kind": KINDS[int(3 * luck(text))]} for text in texts]


def _invoices(seed: int) -> list[dict[str, Any]]:
    texts = [f"{100 + n} EUR by day {1 + n % 28} . {words(f'{seed} {n}', 120)}" for n in range(200)]
    return [{"invoice": text, "total": int(text.split()[0]), "due": text.split()[4]} for text in texts]


def _questions(seed: int) -> list[dict[str, Any]]:
    splits = make_splits(seed)
    return [dict(row) for row in (*splits.train, *splits.val)]


def _search(asked: Asked) -> dict[str, Any]:
    if "query" in asked.outputs:
        return {"query": asked.inputs["question"].rstrip(" ?")}
    return {"answer": ANSWERS.get(asked.inputs["question"], "nobody")}


def _lost(asked: Asked) -> dict[str, Any]:
    return {"query": "what is it"} if "query" in asked.outputs else {"answer": "nobody"}


ANSWERS = {row["question"]: row["answer"] for seed in range(SEEDS) for row in _questions(seed)}

CASES = {
    "classify": Case(
        lambda: lp.Predict(Classify),
        _messages,
        exact_match("kind"),
        lambda asked: {"kind": KINDS[int(3 * luck(asked.inputs["message"]))]},
        lambda asked: {"kind": KINDS[0]},
    ),
    "two hops": Case(lambda: MultiHopQA(make_retriever(0)), _questions, exact_match("answer"), _search, _lost),
    "extract": Case(
        lambda: lp.ChainOfThought(Extract),
        _invoices,
        _half_each,
        lambda asked: {"total": int(asked.inputs["invoice"].split()[0]), "due": asked.inputs["invoice"].split()[4]},
        lambda asked: {"total": 0, "due": asked.inputs["invoice"].split()[4]},
    ),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a plan said over what the compile then took."""

    calls: float
    tokens: float
    seconds: float


def told(name: str, optimizer: str, seed: int, *, latency_s: float, budget: Size | lp.Budget) -> Told:
    """Plan a compile, and run it in the same folder."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="lmprog-plan-") as folder:
        run_dir = Path(folder) / "run"
        given: dict[str, Any] = {
            "train": case.rows(seed), "metric": case.metric, "optimizer": optimizer, "lm": case.lm(latency_s),
            "budget": budget, "run_dir": run_dir, "seed": seed,
        }  # fmt: skip
        plan = lp.plan(case.program(), **given)
        result = lp.compile(case.program(), **given)
    took = result.spent.total_requested
    assert plan.seconds is not None
    return Told(plan.total.calls / took.calls, plan.total.tokens / took.tokens, plan.seconds / result.seconds)
