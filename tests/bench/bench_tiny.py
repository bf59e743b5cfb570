"""Prompts a second of the embedded LM, all asked at once and one after another: `make bench-tiny`.

`python tests/bench/bench_tiny.py [threads]` sets how many threads it works in.

The target on two cores: 80 prompts a second of 400 tokens of which the first 300 are shared, with 8 tokens written; 40 of
them one after another.
"""

import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import lmprog as lp
from lmprog.formats import prepare
from lmprog.lm.tiny.client import WEIGHTS, Tiny, Tokens
from lmprog.lm.tiny.template import prompt_of
from lmprog.signature import fields_of, with_reasoning

PROMPTS = 256
ALONE = 48
"""So many are asked one after another."""


class WriteQuery(lp.Signature):
    """Write a search query that helps answer the question."""

    passages: list[str] = lp.InputField()
    question: str = lp.InputField()
    query: str = lp.OutputField()


class Answer(lp.Signature):
    """Answer the question based on the passages."""

    passages: list[str] = lp.InputField()
    question: str = lp.InputField()
    answer: str = lp.OutputField()


def name(rng: random.Random) -> str:
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3)).capitalize()


def row(rng: random.Random) -> dict[str, Any]:
    """A two-hop question with what it takes to answer it."""
    company, city, river, land, founder = (name(rng) for _ in range(5))
    year = rng.randint(1850, 1990)
    return {
        "passages": [
            f"{company} Group is a steel company based in {city} . It was founded by Anna {founder} in {year} .",
            f"{city} is a city in {land}land . It was founded in {year - 600} . It lies on the river {river} .",
        ],
        "question": f"Which river flows through the city where {company} Group is based ?",
        "query": f"{company} Group",
        "reasoning": f"{company} Group is based in {city} . {city} lies on the river {river} .",
        "answer": river,
    }


def requests(
    signature: type[lp.Signature], demos: int, overrides: Mapping[str, Any] | None = None, *, wish: str = ""
) -> list[lp.Request]:
    rng = random.Random(7)
    fields = fields_of(signature)

    def drawn() -> dict[str, Any]:
        data = row(rng)
        return data | {"question": data["question"] + wish} | dict(overrides or {})

    def demo(data: Mapping[str, Any]) -> lp.Demo:
        return lp.Demo(inputs={n: data[n] for n in fields.inputs}, outputs={n: data[n] for n in fields.outputs})

    params = lp.PredictorParams(instruction=fields.instruction, demos=tuple(demo(drawn()) for _ in range(demos)))
    chat = prepare(signature, params)
    data = [drawn() for _ in range(PROMPTS)]
    return [lp.Request(chat.render({n: d[n] for n in fields.inputs}), chat.schema) for d in data]


def target() -> list[lp.Request]:
    """Prompts of some 400 tokens, of which some 300 are shared; 8 tokens are written."""
    asked = requests(
        with_reasoning(Answer), 2, wish=" Give the name of the river alone , and no word more than that , please ."
    )
    return [replace(request, max_tokens=8) for request in asked]


async def at_once(lm: lp.LM, asked: Sequence[lp.Request]) -> list[lp.Response]:
    return await asyncio.gather(*(lm(request) for request in asked))


async def one_by_one(lm: lp.LM, asked: Sequence[lp.Request]) -> list[lp.Response]:
    return [await lm(request) for request in asked]


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else None
    lm = Tiny() if threads is None else Tiny(threads=threads)
    asyncio.run(lm(requests(Answer, 0)[0]))  # loads the weights
    tokens = Tokens(WEIGHTS, end=1)
    cases = {
        "query, no passages": requests(WriteQuery, 0, {"passages": []}),
        "query, 3 demos": requests(WriteQuery, 3),
        "answer": requests(Answer, 0),
        "answer, 3 demos": requests(Answer, 3),
        "reasoning and answer": requests(with_reasoning(Answer), 0),
        "reasoning and answer, 3 demos": requests(with_reasoning(Answer), 3),
        "the target's": target(),
    }
    for case, asked in cases.items():
        for way, how, some in (("at once", at_once, asked), ("one by one", one_by_one, asked[:ALONE])):
            start, cpu_start = time.perf_counter(), time.process_time()
            replies = asyncio.run(how(lm, some))
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            read = sum(reply.prompt_tokens for reply in replies) / len(replies)
            written = sum(reply.completion_tokens for reply in replies) / len(replies)
            speeds = f"{len(some) / seconds:7.0f} prompts/s{len(some) / cpu_seconds:7.0f} a CPU second"
            shared, _ = tokens.split(prompt_of(some[0]))
            print(
                f"{case:32}{way:12}{speeds}  ({read:.0f} tokens, {len(shared)} of them shared, {written:.0f} written)"
            )


if __name__ == "__main__":
    main()
