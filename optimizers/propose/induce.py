"""Induction: an LM infers an instruction from worked examples; and resampling: it says one in other words.

Instruction induction is Honovich et al. 2022 (arXiv:2205.10782); both together are the proposals of APE (Zhou et al. 2022,
arXiv:2211.01910, sec. 3.1 and 3.3). The embedded LM was trained on both requests, in these words.
"""

from collections.abc import Awaitable, Sequence
from typing import TypeVar, cast

from lmprog import loop
from lmprog.errors import AuthError, LMError, OutputError, UnavailableError
from lmprog.module import predictors
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.demos import bootstrap, examples_of, labeled
from lmprog.params import Demo, Params
from lmprog.predict import Predict
from lmprog.request import canonical_json
from lmprog.signature import REASONING, InputField, OutputField, Signature, fields_of

T = TypeVar("T")

TEMPERATURE = 0.9
"""APE's. The first reply to each request is the likeliest one instead: few proposals of a small LM then include its best."""
CHARACTERS = 2400
"""Of examples in one request, so that the embedded LM's context holds them; one example is always shown."""


class Induce(Signature):
    """Given the examples, write the instruction."""

    examples: str = InputField()
    instruction_text: str = OutputField()


class Rephrase(Signature):
    """Rewrite the instruction in other words."""

    instruction_text: str = InputField()
    new_instruction: str = OutputField()


async def induce(
    problem: Problem, path: str, examples: Sequence[Demo], *, count: int, subsamples: int, demos: int
) -> list[str]:
    """Return the different instructions in `count` replies, which see `subsamples` random sets of `demos` examples in turn.

    One proposer call for each reply, all at once; none where there are no examples.
    """

    async def reply(number: int) -> str:
        subsample, sample = number % subsamples, number // subsamples
        rng = problem.rng("induce", path, subsample)
        shown = rng.sample(list(examples), min(demos, len(examples)))
        asking = problem.generate(sample, Predict(Induce, config=_config(sample)), examples=example_text(shown))
        written = await or_none(asking)
        return written.instruction_text.strip() if written else ""

    replies = await loop.gather([reply(number) for number in range(count)]) if examples else []
    return list(dict.fromkeys(filter(None, replies)))


async def rephrase(
    problem: Problem, instructions: Sequence[str], *, count: int, first: int = 0
) -> list[tuple[int, str]]:
    """Return `count` rewordings of the instructions, taken in turn, as (index of the instruction, its new wording).

    One proposer call each, all at once. `first` is the sample number of each instruction's first rewording.
    """

    async def reply(number: int) -> tuple[int, str]:
        index, sample = number % len(instructions), first + number // len(instructions)
        predictor = Predict(Rephrase, config=_config(sample))
        written = await or_none(problem.generate(sample, predictor, instruction_text=instructions[index]))
        return index, written.new_instruction.strip() if written else ""

    replies = await loop.gather([reply(number) for number in range(count)])
    return [(index, text) for index, text in replies if text]


async def worked_examples(problem: Problem, params: Params, *, wanted: int) -> dict[str, list[Demo]]:
    """Return examples of every predictor's work, from training rows: labels where rows give every input and output.

    Inner steps have no labels. Where there are such, the program is run until `wanted` rows pass the metric, and their
    calls are the examples (`bootstrap`: up to a fifth of the allowance); at worst labels that lack an input.
    """
    named = predictors(problem.program)
    labels = {path: labeled(problem, path) for path in params}
    found: dict[str, list[Demo]] = {}
    for path, demos in labels.items():
        inputs = fields_of(named[path].signature).inputs
        found[path] = [demo for demo in demos if demo.inputs.keys() == inputs.keys()]
    if not all(found.values()):
        taught = examples_of(params, await bootstrap(problem, params, wanted=wanted))
        found = {path: demos or taught[path] or labels[path] for path, demos in found.items()}
    return found


def example_text(demos: Sequence[Demo]) -> str:
    """Return examples as `input -> output | input -> output`, as many as fit into CHARACTERS, without reasoning."""
    texts: list[str] = []
    for demo in demos:
        outputs = [value for name, value in demo.outputs.items() if name != REASONING]
        text = f"{' ; '.join(map(_plain, demo.inputs.values()))} -> {' ; '.join(map(_plain, outputs))}"
        if texts and len(text) + sum(map(len, texts)) > CHARACTERS:
            break
        texts.append(text)
    return " | ".join(texts)


async def or_none(asking: Awaitable[T]) -> T | None:
    """Return what a proposer wrote; None where it could not write this one, which is no reason to stop."""
    try:
        return await asking
    except (AuthError, UnavailableError):
        raise
    except (OutputError, LMError):
        return None


def _config(sample: int) -> dict[str, object]:
    return {"temperature": TEMPERATURE if sample else 0.0}


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, cast("list[object]", value)))
    return value if isinstance(value, str) else canonical_json(value)
