"""Is a politician's statement a lie (LIAR: Wang 2017, arXiv:1705.00648; as ProTeGi has it: Pryzant et al. 2023, arXiv:2305.03495).

It shows a yes or no where the instruction decides much: nothing in a row says how sceptical to be.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from lmprog.data import Row, fields_in
from lmprog.errors import DataError
from lmprog.hub import PARQUET, Hub
from lmprog.metrics import Score
from lmprog.module import Module
from lmprog.predict import Predict
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Dropped, Part, Source, field
from lmprog.task import Task

FALSE, TRUE = 0, 3
"""The numbers of these two of the hub's six labels."""
LIES = {FALSE: "Yes", TRUE: "No"}
_TEXT = re.compile(r"Statement: (.*)\nJob title: (.*)\nState: (.*)\nParty: (.*)\nContext: (.*)", re.DOTALL)
"""How ProTeGi writes a row."""
_INPUTS = ("statement", "job_title", "state", "party", "context")
_ON_HUB = {"state": "state_info", "party": "party_affiliation"}


class JudgeStatement(Signature):
    """Is the statement a lie? Judge by the statement, who made it and where."""

    statement: str = InputField()
    job_title: str = InputField()
    state: str = InputField()
    party: str = InputField()
    context: str = InputField()
    lie: Literal["Yes", "No"] = OutputField()


class LieDetector(Module):
    """Say yes or no at once. One LM call a statement."""

    def __init__(self) -> None:
        self.judge = Predict(JudgeStatement)

    def forward(self, statement: str, job_title: str, state: str, party: str, context: str) -> JudgeStatement:
        """Return whether it is a lie."""
        return self.judge(statement=statement, job_title=job_title, state=state, party=party, context=context)


def right_verdict(row: Row, prediction: JudgeStatement) -> Score:
    """Return 1 for the row's verdict, 0 for the other, and say what the statement was."""
    gold = fields_in(row)["lie"]
    return (
        Score(1.0) if prediction.lie == gold else Score(0.0, f"the statement is {'a lie' if gold == 'Yes' else 'true'}")
    )


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any] | Dropped:
    """Return the statement, what is known of it, and whether it is a lie.

    Of the hub's six labels ProTeGi keeps two, false and true. Its own rows, with one `text` and a `label` of 1 for a lie,
    are taken too.
    """
    if "lie" in raw:
        if raw["lie"] not in LIES.values():
            raise DataError(f"`lie` is {raw['lie']!r} and should be 'Yes' or 'No'")
        return {name: field(raw, name, str) for name in (*_INPUTS, "lie")}
    label = field(raw, "label", int)
    if "text" in raw:
        found = _TEXT.fullmatch(field(raw, "text", str))
        if not found or label not in (0, 1):
            raise DataError(
                f"`text` is {raw['text']!r} with the `label` {label}, and should be five lines, Statement: Job title: "
                f"State: Party: and Context:, with a label of 1 for a lie and 0 for none"
            )
        return {
            **{name: value.strip() for name, value in zip(_INPUTS, found.groups(), strict=True)},
            "lie": ("No", "Yes")[label],
        }
    if label not in LIES:
        return Dropped("it is neither true nor false by its label, but something between")
    return {**{name: field(raw, _ON_HUB.get(name, name), str).strip() for name in _INPUTS}, "lie": LIES[label]}


SOURCE = Source(
    Hub("ucsbnlp/liar", "", PARQUET),
    to_row,
    inputs=_INPUTS,
    labels=("lie",),
    train=Part("train", 500),
    val=Part("train", 500),
    holdout=Part("test", 461),
)
"""500 of the 3681 statements for training that are plainly true or false to learn from and 500 to choose by; all such of the test."""


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on other rows than the published ones."""
    return Task(
        name="liar",
        program=LieDetector,
        metric=right_verdict,
        load=source,
        about="is a politician's statement a lie: yes or no, from the statement and who made it",
        not_tiny="it knows nothing of the world: uncompiled it never says Yes or No",
    )


TASK = make_task()
