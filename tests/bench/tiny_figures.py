"""What the embedded LM can do: `make tiny-figures`, or `python tests/bench/tiny_figures.py [--weights DIR] [GROUP ...]`.

Exact match of the last output, on names, words, wordings and label maps that training never shows, through the very code
that programs run. A finished cell is one line of JSON; it is not measured again with the same weights and the same curriculum.
"""

import argparse
import asyncio
import json
import statistics
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from keyword import iskeyword
from pathlib import Path
from random import Random

import tiny_tables

import lmprog as lp
from lmprog.lm.tiny import curriculum
from lmprog.lm.tiny.client import WEIGHTS, Tiny
from lmprog.lm.tiny.curriculum import (
    HELD_VAGUE,
    OUTSIDE,
    Example,
    Task,
    Turn,
    critique,
    example,
    induce,
    judge,
    label_map,
    named_tasks,
    paraphrase,
    rule,
    table,
    vague,
)
from lmprog.lm.tiny.curriculum.questions import draw_asked
from lmprog.lm.tiny.curriculum.world import passage
from lmprog.params import Weights
from lmprog.programs.multihop import MultiHopQA, make_retriever, make_splits
from lmprog.testing import problem_for

OUT = Path(__file__).parents[2] / "bench-out" / "tiny-figures.jsonl"
TUNE_ROWS, TUNE_STEPS = 200, 150
"""Rows of a task that an adapter is trained on, under a vague instruction, and for how long: about a minute on two cores."""
LEAST_OTHERS = 40
"""A task with fewer inputs beside those asked about has few in all."""
STAGES: Mapping[str, tuple[str, str]] = {"write_query": ("hop_query", "query"), "answer": ("hop_answer", "answer")}
"""Of the multi-hop program's predictors: the task whose held-out wordings are used, and what is written."""

LONG_CHARACTERS = (3000, 4000)
"""Of the passages of a long prompt: with the rest of it some 1,000 to 1,400 tokens."""

Draw = Callable[[Random], Example]


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure: `count` examples of one kind, or whatever `measure` does."""

    group: str
    name: str
    condition: str
    draw: Draw | None = None
    measure: Callable[[Tiny, int], tuple[float, int]] | None = None
    """Returns how many are right, and of how many."""

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}/{self.condition}"


CONDITIONS: Mapping[str, Mapping[str, object]] = {
    "vague": {"style": "vague", "demos": 0},
    "precise": {"style": "precise", "demos": 0},
    "vague + 4": {"style": "vague", "demos": 4},
    "precise + 4": {"style": "precise", "demos": 4},
}
MAPPED: Mapping[str, tuple[str, bool]] = {
    "precise": ("precise", False),
    "vague + 4-6": ("vague", True),
    "precise + 4-6": ("precise", True),
}


MAPS: Mapping[str, tuple[bool, bool]] = {
    "maps, texts and wordings of training": (False, False),
    "maps, trained kinds": (False, True),
    "maps, kinds never mapped": (True, True),
}
"""Whether the kind of input is never mapped in training; whether texts and wordings are held out, too."""

SHOWN: Mapping[str, tuple[bool, bool]] = {
    "texts and wordings of training": (False, False),
    "texts held out": (True, False),
    "wordings held out": (False, True),
    "both held out": (True, True),
}
"""What a precise instruction without demos may be new in: the texts, the wording."""


WRITTEN: Mapping[str, Callable[..., Task] | None] = {
    "found from examples": partial(induce, rows=0),
    "said in other words": paraphrase,
    "mended": critique,
    "the task's own": None,
}
"""Which instruction is used: one that the LM writes, or the task's own held-out wording."""
LONG: Mapping[str, Mapping[str, object]] = {name: CONDITIONS[name] for name in ("vague", "precise")}


def cells() -> Iterator[Cell]:
    """Yield every figure, the quick groups first."""
    for group, (unseen, held) in MAPS.items():
        for condition, (style, demos) in MAPPED.items():
            draw = partial(_mapped, unseen=unseen, held=held, style=style, demos=demos)
            yield Cell(group, "unseen labels", condition, draw)
    for task in OUTSIDE:
        yield Cell("outside", task.name, "vague + 4-6", partial(_outside, task))
        yield Cell("outside", task.name, "LoRA", measure=partial(_tuned, task))
    for name, maker in (("rules", rule), ("tables", table)):
        for condition, settings in CONDITIONS.items():
            yield Cell(name, "held out", condition, partial(_made, maker, settings=settings))
    for name in tiny_tables.here():
        for condition, (told, shown) in tiny_tables.CONDITIONS.items():
            draw = partial(tiny_tables.draw, name=name, style=told, demos=shown)
            yield Cell("real tables", name, condition, draw)
        yield Cell("real tables", name, "LoRA", measure=partial(_tuned_table, name))
    for style in ("precise", "vague"):
        yield Cell("two hops", "end to end", style, measure=partial(_hops, style=style))
    for condition, writer in WRITTEN.items():
        yield Cell("instructions", "used without demos", condition, measure=partial(_used, maker=writer))
    yield Cell("judging", "which of two answers is right", "precise", partial(_judging, settings=CONDITIONS["precise"]))
    for condition, settings in LONG.items():
        yield Cell("long prompts", "questions over 1,000 to 1,400 tokens", condition, partial(_long, settings=settings))
    for name, variants in _by_name().items():
        for condition, (texts, wording) in SHOWN.items():
            draw = partial(_of_task, variants, settings=CONDITIONS["precise"], held=texts, held_wording=wording)
            yield Cell("shown and held out", name, condition, draw)
    for name, variants in _by_name().items():
        for condition, settings in CONDITIONS.items():
            yield Cell("named", name, condition, partial(_of_task, variants, settings=settings))
    for name, variants in _by_name().items():  # hours
        yield Cell("named, tuned", name, "LoRA", measure=partial(_tuned, variants[0]))


def _by_name() -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {}
    for task in named_tasks():
        found.setdefault(task.name, []).append(task)
    return found


def _of_task(
    tasks: Sequence[Task],
    rng: Random,
    *,
    settings: Mapping[str, object],
    held: bool = True,
    held_wording: bool = True,
) -> Example:
    task = rng.choice(tasks)
    return example(task, rng, held=held, held_wording=held_wording, renamed=False, reasoning=False, **settings)  # type: ignore[arg-type]


def _made(maker: Callable[[Random, bool], Task], rng: Random, *, settings: Mapping[str, object]) -> Example:
    return example(maker(rng, True), rng, held=True, held_wording=True, renamed=False, reasoning=False, **settings)  # type: ignore[arg-type]


def _mapped(rng: Random, *, unseen: bool, held: bool, style: str, demos: bool) -> Example:
    task = label_map(rng, True, unseen_kind=unseen)
    count = rng.randint(4, 6) if demos else 0
    return example(task, rng, style=style, demos=count, held=held, held_wording=held, renamed=False, reasoning=False)  # type: ignore[arg-type]


def _outside(task: Task, rng: Random) -> Example:
    return example(task, rng, style="vague", demos=rng.randint(4, 6), held=True, held_wording=True, renamed=False)


# How they are asked


async def _answers(lm: lp.LM, examples: Iterable[Example], weights: Weights | None = None) -> list[str]:
    """Return the last output of each, `` where a reply cannot be read."""
    return await asyncio.gather(*(_answer(lm, asked, weights) for asked in examples))


async def _answer(lm: lp.LM, asked: Example, weights: Weights | None) -> str:
    predict, params = _program(asked)
    question = asked.turns[-1]
    try:
        with lp.using(lm=lm):
            prediction = await predict.with_params(params.replace(weights=weights)).acall(**_named(question.inputs))
    except (lp.OutputError, lp.ContextError):
        return ""
    return str(getattr(prediction, list(_named(question.outputs))[-1]))


def _program(asked: Example) -> tuple[lp.Predict[..., lp.Signature], lp.PredictorParams]:
    *shown, question = asked.turns
    demos = tuple(lp.Demo(inputs=_named(turn.inputs), outputs=_named(turn.outputs)) for turn in shown)
    predict = lp.Predict(f"{', '.join(_named(question.inputs))} -> {', '.join(_named(question.outputs))}")
    return predict, lp.PredictorParams(instruction=asked.instruction, demos=demos)


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    """Return fields under names that Python can have."""
    return {f"{name}_" if iskeyword(name) else name: value for name, value in fields.items()}


def _right(asked: Example, said: str) -> bool:
    return said.strip() == list(asked.turns[-1].outputs.values())[-1].strip()


def _drawn(cell: str, count: int, draw: Draw) -> list[Example]:
    return [draw(Random(zlib.crc32(f"{cell}/{number}".encode()))) for number in range(count)]


def _scored(lm: lp.LM, examples: Sequence[Example], weights: Weights | None = None) -> tuple[float, int]:
    said = asyncio.run(_answers(lm, examples, weights))
    return sum(map(_right, examples, said)), len(examples)


# Figures that take more than one reply each


def _tuned(task: Task, lm: Tiny, count: int) -> tuple[float, int]:
    """LoRA on 200 rows under a vague instruction, then asked the same way about others, all held out.

    Of a task that has few inputs in all half are learned from and half asked about.
    """

    def draw(rng: Random, held: bool = True) -> Example:
        return example(task, rng, style="vague", demos=0, held=held, renamed=False, held_wording=True, reasoning=False)

    asked = _drawn(f"tuned/{task.name}", count, draw)
    instruction = asked[0].instruction
    asked = [replace(row, instruction=instruction) for row in asked]
    never = {_inputs_in(row) for row in asked}
    for held in (True, False):  # few numbers and words are held out: then rows of training's
        drawn = _drawn("rows", 5 * TUNE_ROWS, partial(draw, held=held))
        others = [row.turns[-1] for row in drawn if _inputs_in(row) not in never][:TUNE_ROWS]
        if len({tuple(row.inputs.values()) for row in others}) > TUNE_ROWS / 2:
            break
    if len({tuple(row.inputs.values()) for row in others}) < LEAST_OTHERS:
        half = {inputs for inputs in map(_inputs_in, drawn) if zlib.crc32(repr(inputs).encode()) % 2}
        asked = [replace(row, instruction=instruction) for row in drawn if _inputs_in(row) in half][:count]
        others = [row.turns[-1] for row in drawn if _inputs_in(row) not in half][:TUNE_ROWS]
    return _scored(lm, asked, _weights(lm, instruction, others))


def _inputs_in(asked: Example) -> tuple[str, ...]:
    return tuple(asked.turns[-1].inputs.values())


def _tuned_table(name: str, lm: Tiny, count: int) -> tuple[float, int]:
    """LoRA on the rows of a real table that are never asked about, under a vague instruction."""
    asked = _drawn(f"tuned/{name}", count, partial(tiny_tables.draw, name=name, style="vague", demos=0))
    instruction = asked[0].instruction
    _, others = tiny_tables.parts(name)
    rows = [tiny_tables.turn(row) for some in others.values() for row in some]
    return _scored(lm, [replace(row, instruction=instruction) for row in asked], _weights(lm, instruction, rows))


def _weights(lm: Tiny, instruction: str, rows: Sequence[Turn]) -> Weights | None:
    """Return an adapter trained on rows under an instruction."""
    from lmprog.optimizers.train.examples import Example as Call  # takes no torch until it trains
    from lmprog.optimizers.train.trainer import Training, train

    calls: list[Call] = []
    for number, row in enumerate(rows):
        predict, params = _program(Example("", "", "vague", instruction, [row], [1.0]))
        shown = lp.Demo(inputs=_named(row.inputs), outputs=_named(row.outputs))
        calls.append(Call("predict", number, *predict.worked(params, shown)))
    problem = problem_for(lp.Predict("text -> answer"), [], [], lambda row, found: True, lm)
    trained = asyncio.run(train(problem, lm, [calls], Training(steps=TUNE_STEPS, batch=32, held=0.0), seed=1))
    return trained.weights


def _hops(lm: Tiny, count: int, *, style: str) -> tuple[float, int]:
    """The multi-hop program on its own encyclopedia: search, read, search again, answer; a third by each wording."""
    rows = make_splits(0).holdout[:count]
    with lp.using(lm=lm):
        scores = [
            score
            for number in range(len(HELD_VAGUE))
            for score in lp.evaluate(
                _hopping(style, number), rows[number :: len(HELD_VAGUE)], lp.metrics.exact_match("answer")
            ).scores
        ]
    return sum(scores), len(rows)


def _hopping(style: str, number: int) -> MultiHopQA:
    """Return the program with the held-out wordings of this number."""
    held = {task.name: task.held for task in named_tasks()}
    program = MultiHopQA(make_retriever(0))
    for path, (task, output) in STAGES.items():
        turn = Turn({"passages": "", "question": ""}, {output: ""})
        instruction = held[task][number] if style == "precise" else vague(HELD_VAGUE[number], turn)
        predictor: lp.Predict[..., lp.Signature] = getattr(program, path)
        setattr(program, path, predictor.with_params(predictor.initial.replace(instruction=instruction)))
    return program


def _used(lm: Tiny, count: int, *, maker: Callable[..., Task] | None) -> tuple[float, int]:
    """An instruction that the LM writes for a task, or the task's own held wording, used with no demos."""
    tasks = [task for task in named_tasks() if not task.large]
    chosen = [tasks[number % len(tasks)] for number in range(max(count, len(tasks)))]
    rngs = [Random(f"induction/{number}") for number in range(len(chosen))]
    said = [rng.choice(task.held) for task, rng in zip(chosen, rngs, strict=True)]
    if maker is not None:
        examples = [
            example(maker([task]), rng, style="precise", demos=0, held=True, renamed=False)
            for task, rng in zip(chosen, rngs, strict=True)
        ]
        said = asyncio.run(_answers(lm, examples))
    asked = [
        replace(_asked(task, Random(f"asked/{number}/{part}")), instruction=words)
        for number, (task, words) in enumerate(zip(chosen, said, strict=True))
        for part in range(2)
    ]
    return _scored(lm, asked)


def _judging(rng: Random, *, settings: Mapping[str, object]) -> Example:
    tasks = [task for task in named_tasks() if not task.large]
    return example(judge(tasks), rng, held=True, held_wording=True, renamed=False, **settings)  # type: ignore[arg-type]


def _long(rng: Random, *, settings: Mapping[str, object]) -> Example:
    """A question over so many passages that its prompt is longer than nearly all of training."""
    (task,) = (task for task in named_tasks() if task.name == "qa_short")

    def draw(rng: Random, held: bool) -> Turn:
        least, most = LONG_CHARACTERS
        while True:
            asked = draw_asked(rng, held, crowd=rng.randint(14, 22))
            passages = " ".join(map(passage, asked.entities))
            if least <= len(passages) <= most:
                inputs = {"passages": passages, "question": asked.question}
                return Turn(inputs, {"answer": asked.about.facts[asked.relation]})

    return _of_task([replace(task, draw=draw)], rng, settings=settings)


def _asked(task: Task, rng: Random) -> Example:
    return example(task, rng, style="precise", demos=0, held=True, renamed=False, reasoning=False)


# The record and the table


def _version() -> str:
    """Return what names the curriculum: figures of one and of the next are not the same."""
    files = sorted(path for path in Path(curriculum.__file__).parent.rglob("*") if path.suffix in (".py", ".json"))
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


def _recorded(weights: str) -> dict[str, tuple[float, int]]:
    if not OUT.exists():
        return {}
    lines = [json.loads(line) for line in OUT.read_text().splitlines()]
    return {line["cell"]: (line["right"], line["of"]) for line in lines if line["weights"] == weights}


def _measure(cell: Cell, lm: Tiny, count: int) -> tuple[float, int]:
    if cell.measure is not None:
        return cell.measure(lm, count)
    assert cell.draw is not None
    return _scored(lm, _drawn(cell.key, count, cell.draw))


def _tables(found: Mapping[str, tuple[float, int]], wanted: Sequence[Cell]) -> str:
    """Return Markdown: the mean of each group by condition, and the named tasks one by one."""
    lines: list[str] = []
    groups = dict.fromkeys(cell.group for cell in wanted)
    for group in groups:
        of_group = [cell for cell in wanted if cell.group == group and cell.key in found]
        conditions = list(dict.fromkeys(cell.condition for cell in of_group))
        names = list(dict.fromkeys(cell.name for cell in of_group))
        lines += [f"| {group} | {' | '.join(conditions)} |", "|---" * (len(conditions) + 1) + "|"]
        share = {cell.key: found[cell.key][0] / found[cell.key][1] for cell in of_group}
        for name in names:
            values = [share.get(f"{group}/{name}/{condition}") for condition in conditions]
            lines.append(f"| {name} | {' | '.join('' if value is None else f'{value:.2f}' for value in values)} |")
        if len(names) > 1:
            means = [
                statistics.mean(share[c.key] for c in of_group if c.condition == condition) for condition in conditions
            ]
            lines.append(f"| **mean of {len(names)}** | {' | '.join(f'**{mean:.2f}**' for mean in means)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for and not yet recorded, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help="measure these groups alone")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--prompts", type=int, default=100, help="prompts a cell")
    given = parser.parse_args()
    lm = Tiny(given.weights)
    wanted = [cell for cell in cells() if not given.groups or cell.group in given.groups]
    if not wanted:
        sys.exit(f"no such group: {given.groups}. There are: {list(dict.fromkeys(cell.group for cell in cells()))}")
    weights = f"{lm.name} x {given.prompts}, curriculum {_version()}"
    found = _recorded(weights)
    OUT.parent.mkdir(exist_ok=True)
    for number, cell in enumerate(wanted, start=1):
        if cell.key not in found:
            right, of = found[cell.key] = _measure(cell, lm, given.prompts)
            with OUT.open("a") as file:
                file.write(json.dumps({"weights": weights, "cell": cell.key, "right": right, "of": of}) + "\n")
            print(f"{number}/{len(wanted)} {cell.key}: {right / of:.2f}", file=sys.stderr, flush=True)
    print(_tables(found, wanted))


if __name__ == "__main__":
    main()
