"""Textual gradients: what went wrong with an instruction, an edit that mends it, and other wordings of the edit.

ProTeGi's proposer (Pryzant et al. 2023, arXiv:2305.03495, sec. 2.2). The edit is asked for in the words and fields of the
task on which the embedded LM was trained to do so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from lmprog.data import fields_in
from lmprog.evaluation import Run
from lmprog.module import inputs_of, predictors
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.grounded import role
from lmprog.optimizers.propose.induce import or_none
from lmprog.params import Params
from lmprog.predict import Predict
from lmprog.request import canonical_json
from lmprog.signature import REASONING, InputField, OutputField, Signature, encode, fields_of

MOST_CHARACTERS = 600
"""Of a value or of feedback that a prompt shows."""
SEPARATOR = " | "


@dataclass(frozen=True, slots=True)
class Case:
    """One call of a predictor in a run, and what the metric made of the run. Values are JSON data."""

    inputs: Mapping[str, object]
    outputs: Mapping[str, object]
    """Empty where the call failed."""
    expected: Mapping[str, object]
    """The predictor's own outputs, as the row labels them."""
    ended: Mapping[str, object]
    """What the program made of it in the end, by label, where the row labels none of the predictor's own outputs."""
    labels: Mapping[str, object]
    score: float
    feedback: str


def case_of(problem: Problem, path: str, run: Run) -> Case | None:
    """Return what a predictor did in a run, or None where it was not called.

    Of a predictor that was called more than once it is a call that failed, or one drawn at random.
    """
    signature = predictors(problem.program)[path].signature
    calls = [step for step in run.trace if step.predictor == path]
    calls = [step for step in calls if step.kept] or calls
    calls = [step for step in calls if step.error is not None] or calls
    if not calls:
        return None
    known = [(encode(signature, step.inputs), encode(signature, step.outputs)) for step in calls]
    known.sort(key=canonical_json)  # which of several calls at once ended first has no say
    inputs, outputs = problem.rng("call", path, canonical_json(known)).choice(known)
    taken = inputs_of(problem.program)
    labels = {name: value for name, value in fields_in(run.row).items() if name not in taken}
    own = {name: labels[name] for name in fields_of(signature).outputs if name in labels and name != REASONING}
    ended = {} if own else {name: _part(run.prediction, name) for name in labels}
    ended = {name: value for name, value in ended.items() if value is not None}
    return Case(inputs, outputs, own, ended, labels, run.score.value, run.score.feedback)


def line(case: Case, *, without: Collection[str] = ()) -> str:
    """Return a case on one line: `given -> got output , expected label , because feedback`, without some outputs."""
    got = {name: value for name, value in case.outputs.items() if name not in without}
    parts = [f"{_texts(case.inputs)} -> got {_texts(got) or 'nothing that can be used'}"]
    if case.score < 1 and case.expected:
        parts.append(f"expected {_texts(case.expected)}")
    elif case.ended:
        wanted = {name: case.labels[name] for name in case.ended}
        parts.append(f"and in the end {_texts(case.ended)}")
        parts += [f"expected {_texts(wanted)}"] if case.score < 1 else []
    elif not case.feedback:
        parts.append(f"which scores {case.score:.2g} of 1")
    if case.feedback:
        parts.append(f"because {_short(case.feedback)}")
    return " , ".join(parts)


async def edited(problem: Problem, params: Params, path: str, failures: Sequence[Case], sample: int) -> Params | None:
    """Return params in which a predictor's instruction is mended, or None where the proposer writes none. Two calls.

    The first says why the failures may have come about (the gradient in the paper), the second edits the instruction
    accordingly; where the first gives nothing, by the failures alone.
    """
    context = {
        "step": step_of(problem, path),
        "instruction_text": params[path].instruction,
        "failures": SEPARATOR.join(line(case, without=(REASONING,)) for case in failures),
    }
    why = "The instruction fails on these examples. Say in one or two sentences what is wrong with it."
    reason = await written(problem, sample, why, "reason", context)
    task = "The instruction fails on these examples. Write a better one."
    text = await written(problem, sample, task, "new_instruction", {**context, "reason": reason})
    return with_instruction(problem, params, path, text)


async def paraphrased(problem: Problem, params: Params, path: str, sample: int) -> Params | None:
    """Return params with another wording of a predictor's instruction, or None where the proposer writes none. One call."""
    context = {"instruction_text": params[path].instruction}
    text = await written(problem, sample, "Rewrite the instruction in other words.", "new_instruction", context)
    return with_instruction(problem, params, path, text)


async def written(problem: Problem, sample: int, task: str, output: str, context: Mapping[str, str]) -> str:
    """Ask the proposer at temperature 1 for a text, from those parts of the context that are there. One call.

    Empty where the reply cannot be read or the LM refuses: a proposer that cannot write this one is no reason to stop.
    """
    return (await written_all(problem, sample, task, (output,), context)).get(output, "")


async def written_all(
    problem: Problem, sample: int, task: str, outputs: tuple[str, ...], context: Mapping[str, str]
) -> dict[str, str]:
    """Ask as `written` does for several texts at once, by name; none where the reply cannot be read."""
    given = {name: text for name, text in context.items() if text}
    prediction = await or_none(problem.generate(sample, _writer(task, tuple(given), outputs), **given))
    return {} if prediction is None else {name: str(getattr(prediction, name)).strip() for name in outputs}


def with_instruction(problem: Problem, params: Params, path: str, text: str) -> Params | None:
    """Return the params with another instruction; None where it is the same, empty or breaks the contract of prompts."""
    made = params.replace(path, instruction=text)
    return made if text and text != params[path].instruction and not problem.faults(made) else None


def step_of(problem: Problem, path: str) -> str:
    """Return what a predictor reads and writes; nothing for one that is all of the program."""
    return "" if len(predictors(problem.program)) == 1 else role(problem, path)


@cache
def _writer(task: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Predict[..., Any]:
    """Return a predictor of these fields. To make one takes as long as a call."""
    names: dict[str, Any] = dict.fromkeys(inputs, InputField()) | dict.fromkeys(outputs, OutputField())
    annotations = {"__annotations__": dict.fromkeys([*inputs, *outputs], str), "__doc__": task}
    kind = type("Write", (Signature,), names | annotations)
    return Predict(cast("type[Signature]", kind), config={"temperature": 1.0})


def _part(prediction: object, name: str) -> object:
    """Return what a program wrote for a label, or None; a program may return a text alone."""
    if isinstance(prediction, str):
        return prediction
    if isinstance(prediction, Mapping):
        return cast("Mapping[str, object]", prediction).get(name)
    return cast("Mapping[str, object]", getattr(prediction, "__dict__", {})).get(name)


def _texts(values: Mapping[str, object]) -> str:
    """Return values as text, named where there are several."""
    texts = {name: _short(value) for name, value in values.items()}
    return " ; ".join(texts.values() if len(texts) == 1 else (f"{name}: {text}" for name, text in texts.items()))


def _short(value: object) -> str:
    if isinstance(value, list):
        value = " ".join(map(_short, cast("list[object]", value)))
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "..."
