"""What the embedded LM learns from: an instruction, demos, a question, and what is right to write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from lmprog.lm.tiny.template import heading

END = "<|end|>"
"""The text of the end token, which follows the outputs of every turn."""

Style = Literal["precise", "vague", "none"]
"""Precise: states the task. Vague: names the fields at most. None: there is no instruction."""

REASONING = "reasoning"
"""The output that a task may write first; most examples leave it out."""

NAMES: Mapping[str, Sequence[str]] = {
    "text": ("text", "input", "question", "word", "item", "words", "sentence", "source", "passage"),
    "answer": ("answer", "output", "result", "response", "label", "target"),
    "passages": ("passages", "context", "passage", "documents"),
    "question": ("question", "query"),
    "query": ("query", "search_query"),
    REASONING: (REASONING, "rationale"),
}
"""By what other names a field is known, so that a name tells little. The first is its own."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Values of the inputs and of the outputs, by field, in the order in which they are read and written."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do, in many wordings.

    `draw(rng, held)` makes a turn; with `held` from words, names and fillers that training never shows.
    """

    name: str
    family: str
    draw: Callable[[Random, bool], Turn]
    precise: Sequence[str]
    """Wordings that state the task, for training."""
    held: Sequence[str]
    """Three more, never trained: the embedded LM is judged by them."""
    weight: float = 1.0
    """How often it is drawn among the named tasks."""
    labels: Sequence[str] = ()
    """Where the answer is one of a few: demos then show each of them, as far as they reach."""
    names: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Names of its fields that differ from NAMES."""
    hints: Sequence[float] = (0.3,)
    """Under an instruction that does not tell the task: how much the first turns' outputs weigh in the loss, since
    nobody could know them. Later ones weigh 1."""
    large: bool = False
    """Whether its turns are long, so that few demos fit."""
    further: Sequence[str] = ()
    """More wordings for training that state the task. What is asked to write an instruction writes one of `precise`."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and what is right to write; `turns` are the demos and, last, the question."""

    task: str
    family: str
    style: Style
    instruction: str
    turns: Sequence[Turn]
    weights: Sequence[float]
    """How much the outputs of each turn weigh in the loss."""


def segments(example: Example) -> list[tuple[str, float]]:
    """Return the example's text in parts, each with its weight in the loss: 0 for what is given."""
    given = f"{heading('instruction')} {example.instruction}\n" if example.instruction else ""
    parts: list[tuple[str, float]] = []
    for turn, weight in zip(example.turns, example.weights, strict=True):
        given += "".join(f"{heading(name)} {value}\n" for name, value in turn.inputs.items())
        first, *others = turn.outputs.items()
        parts.append((given + heading(first[0]), 0.0))
        written = f" {first[1]}" + "".join(f"\n{heading(name)} {value}" for name, value in others)
        parts.append((written + END, weight))
        given = "\n"
    return parts
