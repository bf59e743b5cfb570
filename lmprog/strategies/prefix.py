"""A task-agnostic prefix: examples of other tasks before every instruction, whatever the program (arXiv:2302.14691)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from lmprog.data import Row, fields_in
from lmprog.derived import shown
from lmprog.errors import DataError, InputError
from lmprog.module import M, check_program, is_whole, params_of, with_params
from lmprog.params import Params
from lmprog.signature import Signature, fields_of, labeled_demo, values_of

MOST_WORDS = 190
"""Of a demonstration: about the 256 tokens that the paper allows."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A classification task, one of its inputs and the right answer."""

    definition: str
    """The task's instruction, which ends with the choices."""
    text: str
    choices: tuple[str, ...]
    answer: str

    def __str__(self) -> str:
        return f"Definition: {self.definition}\nInput: {self.text}\nOutput: {self.answer}"


def task_agnostic_prefix(
    pool: Sequence[tuple[type[Signature], Sequence[Row]]], *, seed: int = 0, count: int = 8
) -> str:
    """Return one text of up to `count` demonstrations from a pool of other tasks, each a signature with labelled rows.

    A task counts whose only output is one of given choices (a Literal, an Enum, a bool), and its demonstration says which.
    No two demonstrations share a choice or come from one task, none is longer than 190 words, and those with few choices
    come first, the shorter before the longer. Which row of a task and, where there are more than `count`, which tasks,
    `seed` decides. No LM is called. Put it before every instruction of any program: `with_prefix(program, prefix)`.

    TAPP: Ye, Hwang, Yang, Yun, Kim and Seo 2023, arXiv:2302.14691: one fixed prefix of classification tasks with their
    answer choices lifts zero-shot instruction following of base LMs, since it shows that an answer follows from its
    instruction. Departure: the choices are those of the output's type, where the paper takes tasks whose definition names
    every answer; so they are written behind the instruction.

    Measure it with your LM. On the embedded one no gain is the demonstrations' own (tests/bench/prefix_ablation.py, 340
    two-hop questions, 0.55 right without): one demonstration gave 0.41 to 0.81 over four draws, two 0.52 to 0.71, four 0.39
    to 0.49, and a plain sentence in their place 0.79.
    """
    if not is_whole(count, 1):
        raise InputError(f"count={count!r}: write how many demonstrations the prefix has, 1 or more.")
    rng = Random(seed)
    drawn = [one for signature, rows in rng.sample(list(pool), len(pool)) if (one := _drawn(signature, rows, rng))]
    chosen: list[Demonstration] = []
    for one in drawn:
        taken = {choice.lower() for other in chosen for choice in other.choices}
        if len(chosen) < count and taken.isdisjoint(choice.lower() for choice in one.choices):
            chosen.append(one)
    if not chosen:
        raise DataError(
            f"none of the {len(pool)} tasks of the pool has one output that is one of given choices, and a labelled row. Give "
            f"some as (Signature, rows), with an output such as `label: Literal['spam', 'ham'] = lp.OutputField()`."
        )
    return "\n\n".join(map(str, sorted(chosen, key=lambda one: (len(one.choices), len(str(one))))))


def with_prefix(program: M, prefix: str) -> M:
    """Return a twin of the program whose every instruction stands behind the prefix; what its params hold else is as it was.

    Optimizers that rewrite instructions rewrite the prefix too: put it before a program that is compiled already.
    """
    check_program(program)
    if not prefix.strip():
        raise InputError("the prefix is empty. Make one: `task_agnostic_prefix(pool)`.")
    params = params_of(program)
    return with_params(
        program,
        Params({path: value.replace(instruction=f"{prefix}\n\n{value.instruction}") for path, value in params.items()}),
    )


def _drawn(signature: type[Signature], rows: Sequence[Row], rng: Random) -> Demonstration | None:
    """Return a demonstration from one of the rows, drawn at random from those that have a label and are not too long."""
    fields = fields_of(signature)
    choices = [_choices(field.schema) for field in fields.outputs.values()]
    if len(choices) != 1 or not choices[0]:
        return None
    definition = f"{fields.instruction} Answer with one of: {', '.join(choices[0])}."
    for row in rng.sample(list(rows), len(rows)):
        demo = labeled_demo(signature, fields_in(row))
        if demo is None or not fields.inputs.keys() <= demo.inputs.keys():
            continue
        inputs, outputs = values_of(signature, demo)
        [answer] = [shown({name: field}, outputs).removeprefix(f"{name}: ") for name, field in fields.outputs.items()]
        one = Demonstration(definition, shown(fields.inputs, inputs), choices[0], answer)
        if len(str(one).split()) <= MOST_WORDS and "[[ " not in str(one):
            return one
    return None


def _choices(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an output may be, where that is one of a few values; else nothing."""
    if schema.get("type") == "boolean":
        return ("true", "false")
    return tuple(map(str, schema.get("enum", ())))
