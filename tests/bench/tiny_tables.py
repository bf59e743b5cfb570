"""Rows of real tables for the embedded LM, in the shape of the made-up tables that it is trained on.

Fisher's irises come with scikit-learn; UCI's heart patients are among the recorded tasks under $LMPROG_DATA. No row that is
asked about is ever a demo. Classes are drawn evenly: who always says the same is right of one in so many as there are.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import lmprog as lp
from lmprog.lm.tiny.curriculum import HELD_VAGUE, Example, Style, Turn, vague
from lmprog.programs import iris

Row = Mapping[str, str]
"""Cells by column, and the class as the answer."""

ANSWER = "answer"
SHOWN = 12
"""So many rows of each class are kept for demos."""
CONDITIONS: Mapping[str, tuple[Style, int]] = {
    "vague": ("vague", 0),
    "precise": ("precise", 0),
    "vague + 6": ("vague", 6),
    "precise + 6": ("precise", 6),
}
"""The style of the instruction and how many demos, as many of each class."""


@dataclass(frozen=True, slots=True)
class Table:
    """A real table."""

    rows: Callable[[], Sequence[Row]]
    """DataError where they are not on this machine."""
    labels: Sequence[str]
    rule: Callable[[Row], str]
    """What the wordings say."""
    precise: Sequence[str]
    """Instructions that state the rule; none has a wording that training shows."""


def draw(rng: Random, *, name: str, style: Style, demos: int) -> Example:
    """Return a question about a row of a table."""
    asked, shown = parts(name)
    labels = TABLES[name].labels
    question = turn(rng.choice(asked[rng.choice(labels)]))
    answers = rng.sample(labels, len(labels)) * -(-demos // len(labels))
    counts = {label: answers[:demos].count(label) for label in labels}
    turns = [turn(row) for label, count in counts.items() for row in rng.sample(shown[label], count)]
    rng.shuffle(turns)
    told = vague(rng.choice(HELD_VAGUE), question) if style == "vague" else rng.choice(TABLES[name].precise)
    return Example(name, "table", style, told, [*turns, question], (1.0,) * (demos + 1))


def here() -> list[str]:
    """Return the tables whose rows are on this machine; say of the others why they are not."""
    found: list[str] = []
    for name in TABLES:
        try:
            parts(name)
        except lp.DataError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def right_by_rule(name: str) -> float:
    """Return of what share the stated rule is right, classes counted evenly: no reading of it could be better."""
    table, (asked, _) = TABLES[name], parts(name)
    shares = [sum(table.rule(row) == label for row in asked[label]) / len(asked[label]) for label in table.labels]
    return sum(shares) / len(shares)


@cache
def parts(name: str) -> tuple[Mapping[str, Sequence[Row]], Mapping[str, Sequence[Row]]]:
    """Return by class the rows to ask about and those to show."""
    rows, labels = list(TABLES[name].rows()), TABLES[name].labels
    Random(name).shuffle(rows)
    of_class = {label: [row for row in rows if row[ANSWER] == label] for label in labels}
    return (
        {label: found[SHOWN:] for label, found in of_class.items()},
        {label: found[:SHOWN] for label, found in of_class.items()},
    )


def turn(row: Row) -> Turn:
    """Return a row as a turn."""
    return Turn({name: cell for name, cell in row.items() if name != ANSWER}, {ANSWER: row[ANSWER]})


def _irises() -> Sequence[Row]:
    rows = [iris.to_row(raw) for raw in iris.SOURCE.origin.rows(iris.ALL)]
    return [{**{size: f"{row[size]:.1f}" for size in iris.SIZES}, ANSWER: row["answer"]} for row in rows]


def _iris(row: Row) -> str:
    if float(row["petal_length"]) < 2.5:
        return "setosa"
    return "versicolor" if float(row["petal_width"]) < 1.8 else "virginica"


def _patients() -> Sequence[Row]:
    file = Path(os.environ.get("LMPROG_DATA", "no such folder")) / "tasks" / "heart_disease_152.jsonl"
    if not file.is_file():
        raise lp.DataError(f"LMPROG_DATA names no folder with tasks/{file.name}")
    lines: list[dict[str, str]] = [json.loads(line) for line in file.read_text().splitlines()]
    return [{**{name: line[name] for name in _FINDINGS}, ANSWER: line["gold"]} for line in lines]


def _patient(row: Row) -> str:
    signs = (row["cp"] == "asymptomatic", int(row["ca"]) > 0, row["thal"] == "reversible")
    return str(sum(signs) >= 2)


_FINDINGS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
)  # fmt: skip

TABLES: Mapping[str, Table] = {
    "Iris": Table(
        _irises,
        iris.SPECIES,
        _iris,
        (
            "A flower with petal_length less than 2.5 is setosa. Of the other flowers , petal_width less than 1.8 makes it "
            "versicolor. Any other flower is virginica.",
            "First look at petal_length : if it is below 2.5 , the species is setosa. Else look at petal_width : if it is "
            "below 1.8 , the species is versicolor , if not , virginica.",
            "Name the species. It is setosa where petal_length is under 2.5 ; it is versicolor where petal_width is under "
            "1.8 ; everything else is virginica.",
        ),
    ),
    "Heart": Table(
        _patients,
        ("True", "False"),
        _patient,
        (
            "Has the patient heart disease ? True if two or more of these three are found : cp is asymptomatic , ca is "
            "above 0 , thal is reversible. False if not.",
            "There are three signs of heart disease : cp is asymptomatic , ca is more than 0 , thal is reversible. Patients "
            "with at least 2 signs get True , all other patients get False.",
            "Write True for a patient with at least 2 of cp is asymptomatic , ca is over 0 and thal is reversible. Write "
            "False for a patient with 1 of them or none.",
        ),
    ),
}
