"""Replies that keep to instructions that code can check (IFBench: Pyatkin et al. 2025, arXiv:2507.02833).

It shows a metric that says what is wrong, in words that a reflective optimizer reads, and a program of two steps as GEPA
has it for this benchmark (Agrawal et al. 2025, arXiv:2507.19457): answer, then rewrite to the letter of the instructions.
"""

from collections.abc import Mapping
from typing import Any, cast

from lmprog.data import Row, fields_in
from lmprog.errors import DataError
from lmprog.hub import Hub
from lmprog.metrics import Score
from lmprog.module import Module
from lmprog.predict import ChainOfThought, Predict
from lmprog.programs.checks import CHECKS, check_settings, fault_in
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Dropped, Part, Source, field
from lmprog.task import Published, Task


class Respond(Signature):
    """Respond to the prompt."""

    prompt: str = InputField()
    response: str = OutputField()


class Conform(Signature):
    """Rewrite the draft so that it follows every instruction of the prompt to the letter, and change nothing else."""

    prompt: str = InputField()
    draft: str = InputField()
    response: str = OutputField(desc="the final response alone")


class FollowInstructions(Module):
    """Respond, then rewrite what breaks an instruction. Two LM calls a prompt."""

    def __init__(self) -> None:
        self.respond = Predict(Respond)
        self.conform = ChainOfThought(Conform)

    def forward(self, prompt: str) -> Conform:
        """Return the response."""
        return self.conform(prompt=prompt, draft=self.respond(prompt=prompt).response)


def instructions_followed(row: Row, prediction: Conform) -> Score:
    """Return 1 where every instruction is followed, loosely read, and say which are not: the benchmark's own measure.

    Strictly, the response counts as it is. Loosely, an instruction is followed too where it is without the first line, the
    last, both, or asterisks. All four of the benchmark's figures are parts: the share of prompts with every instruction
    followed, and of instructions, loosely and strictly.
    """
    values = fields_in(row)
    asked = list(zip(values["instruction_id_list"], values["kwargs"], strict=True))
    faults = [(name, fault_in(prediction.response, name, settings)) for name, settings in asked]
    strict = [fault is None for _, fault in faults]
    loose = [
        kept or any(fault_in(text, name, settings) is None for text in _relaxed(prediction.response))
        for kept, (name, settings) in zip(strict, asked, strict=True)
    ]
    return Score(
        float(all(loose)),
        " ".join(f"The response breaks {name}: {fault}." for name, fault in faults if fault is not None),
        {
            "prompt_loose": float(all(loose)),
            "prompt_strict": float(all(strict)),
            "instruction_loose": sum(loose) / len(loose),
            "instruction_strict": sum(strict) / len(strict),
        },
    )


def _relaxed(response: str) -> list[str]:
    """Return the response in the ways in which a slip around it is forgiven."""
    lines = response.split("\n")
    cut = [response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cut[1:], *(text.replace("*", "") for text in cut)]


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any] | Dropped:
    """Return the prompt and its instructions, each with the settings it has; left out where one of them has no check."""
    names = field(raw, "instruction_id_list", list[str])
    settings = field(raw, "kwargs", list[Any])
    if not names or len(names) != len(settings):
        raise DataError(
            f"`kwargs` has {len(settings)} entries for {len(names)} instructions and should have one for each"
        )
    for name, given in zip(names, settings, strict=True):
        if name not in CHECKS:
            return Dropped(f"no check here for the instruction {name}")
        if not isinstance(given, Mapping):
            raise DataError(f"`kwargs` holds {given!r} for {name} and should hold an object")
    kept = [
        {key: value for key, value in cast("Mapping[str, Any]", given).items() if value is not None}
        for given in settings
    ]
    for name, given in zip(names, kept, strict=True):
        check_settings(name, given)
    return {"prompt": field(raw, "prompt", str), "instruction_id_list": list(names), "kwargs": kept}


SOURCE = Source(
    Hub("allenai/IFBench_test"),
    to_row,
    inputs=("prompt",),
    labels=("instruction_id_list", "kwargs"),
    train=Part("train", 80),
    val=Part("train", 80),
    holdout=Part("train", 140),
)
"""The benchmark has 300 prompts for testing and no others: these share them, so that a score is not one on all of them."""

_PAPER = "Pyatkin et al. 2025, arXiv:2507.02833, tables 3 and 6: one call, all 300 prompts, prompt-level"


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on other rows than the published ones."""
    return Task(
        name="ifbench",
        program=FollowInstructions,
        metric=instructions_followed,
        load=source,
        about="replies that keep to instructions that code can check: answer, then rewrite; the metric says what is broken",
        published=(
            Published(25.5, "uncompiled", "Tulu-3-8B-DPO", _PAPER),
            Published(44.6, "reinforcement learning on checked instructions", "Tulu-3-8B-DPO", _PAPER),
            Published(31.3, "uncompiled", "Qwen2.5-7B-Instruct", _PAPER),
            Published(45.9, "reinforcement learning on checked instructions", "Qwen2.5-7B-Instruct", _PAPER),
        ),
        not_tiny="it replies in a few words: uncompiled it scores 0.06, by saying next to nothing",
    )


TASK = make_task()
