"""Grade-school arithmetic in words (GSM8K: Cobbe et al. 2021, arXiv:2110.14168).

It shows the smallest program there is, one chain of thought, and a metric that reads a number out of a text: what
optimizers gain here they gain through demonstrations of reasoning.
"""

import re
from collections.abc import Mapping
from typing import Any

from lmprog.data import Row, fields_in
from lmprog.errors import DataError
from lmprog.hub import Hub
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.papers import better_together
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task

GOLD = "####"
"""What stands before the result at the end of a published solution."""
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")


class Solve(Signature):
    """Solve the problem and give the result as a number."""

    question: str = InputField()
    answer: str = OutputField(desc="the number alone")


class GradeSchoolMath(Module):
    """Reason, then give the number. One LM call a question."""

    def __init__(self) -> None:
        self.solve = ChainOfThought(Solve)

    def forward(self, question: str) -> Solve:
        """Return the result of the problem."""
        return self.solve(question=question)


def number_in(text: str) -> float | None:
    """Return the last number in a text, None where there is none: "so she has $1,234.50." holds 1234.5."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def same_number(row: Row, prediction: Solve) -> bool:
    """Tell whether the last number of the answer is the gold one."""
    gold = number_in(str(fields_in(row)["answer"]))
    return gold is not None and number_in(prediction.answer) == gold


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the problem and its number: published solutions end in "#### 72"."""
    answer = field(raw, "answer", str).rpartition(GOLD)[2].strip()
    if number_in(answer) is None:
        raise DataError(f"`answer` holds no number after {GOLD}: {answer[-80:]!r}")
    return {"question": field(raw, "question", str), "answer": answer}


SOURCE = Source(
    Hub("openai/gsm8k", "main", "740312add88f781978c0658806c59bc2815b9866"),
    to_row,
    inputs=("question",),
    labels=("answer",),
    train=Part("train", 500),
    val=Part("train", 500),
    holdout=Part("test", 1319),
    columns=("question", "answer"),
)
"""500 rows of the published 7473 to learn from and 500 to choose by, and all of the test rows."""


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on these rows."""
    return Task(
        name="gsm8k",
        program=GradeSchoolMath,
        metric=same_number,
        load=source,
        about="word problems of grade-school arithmetic: reason step by step, then give the number",
        published=better_together(
            uncompiled=(40.3, 24.0, 72.7),
            prompts=(46.4, 26.0, 77.9),
            weights=(40.7, 24.0, 75.1),
            prompts_weights_prompts=(46.8, 26.3, 77.0),
        ),
        not_tiny="its problems take more words and steps than it has learned: it scores 0.03",
    )


TASK = make_task()
