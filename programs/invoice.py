"""Invoices as text into nested, typed data: parties, dates, lines with quantities and prices, totals.

It shows outputs that are pydantic models in models with dates and decimal numbers, and a metric that counts right leaves
and names the wrong ones. The invoices are made up by code from a seed, in layouts that differ, so that no LM has seen one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from lmprog.data import Row, fields_in
from lmprog.errors import DataError
from lmprog.metrics import Score
from lmprog.module import Module
from lmprog.predict import Predict
from lmprog.programs.made_up.invoice_model import Invoice, Line
from lmprog.programs.made_up.invoices import Invoices
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task

_TOLD = 8
"""Wrong leaves that the feedback names."""


class Extract(Signature):
    """Read the invoice."""

    text: str = InputField()
    invoice: Invoice = OutputField()


class ReadInvoice(Module):
    """Read all of an invoice at once. One LM call an invoice."""

    def __init__(self) -> None:
        self.extract = Predict(Extract)

    def forward(self, text: str) -> Extract:
        """Return what the invoice says."""
        return self.extract(text=text)


def leaves_right(row: Row, prediction: Extract) -> Score:
    """Return the F1 of the leaves: 1 where all are right and none is too many. A line's place in the list does not count.

    Each line read is paired with the most alike line of the row that is still free. Texts are equal where they differ in
    case or spaces only, numbers where they are the same number: 12.5 is 12.50.
    """
    gold, found = Invoice.model_validate(fields_in(row)["invoice"]), prediction.invoice
    wrong = [f"{name} is {value}, not {read}" for name, value, read in _compared(gold, found) if not _same(value, read)]
    head = [_same(value, read) for _, value, read in _compared(gold, found)]
    pairs, missing, extra = _paired(gold.lines, found.lines)
    right_of_lines = 0
    for line, read in pairs:
        compared = [*_compared(line, read)]
        right_of_lines += sum(_same(value, other) for _, value, other in compared)
        wrong += [
            f"{name} of the line {line.description!r} is {v}, not {o}" for name, v, o in compared if not _same(v, o)
        ]
    wrong += [f"the line {line.description!r} is missing" for line in missing]
    wrong += [f"there is no line {line.description!r}" for line in extra]
    a_line = len(Line.model_fields)
    sizes = [len(head) + a_line * len(lines) for lines in (gold.lines, found.lines)]
    lines_f1 = 2 * right_of_lines / max(1, a_line * (len(gold.lines) + len(found.lines)))
    return Score(
        2 * (sum(head) + right_of_lines) / sum(sizes),
        "; ".join(wrong[:_TOLD]) + (f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""),
        {
            "exact": float(not wrong),
            "head": sum(head) / len(head),
            "lines": lines_f1 if gold.lines or found.lines else 1.0,
        },
    )


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the text and what it says, as JSON data in the shape of `Invoice`."""
    try:
        invoice = Invoice.model_validate(field(raw, "invoice", dict[str, Any]))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"`invoice` has a fault at `{'.'.join(map(str, first['loc']))}`: {first['msg']}") from None
    return {"text": field(raw, "text", str), "invoice": invoice.model_dump(mode="json")}


SOURCE = Source(
    Invoices(), to_row, inputs=("text",), labels=("invoice",),
    train=Part("train", 80), val=Part("val", 80), holdout=Part("test", 160),
)  # fmt: skip


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on other invoices."""
    return Task(
        name="invoice",
        program=ReadInvoice,
        metric=leaves_right,
        load=source,
        about="invoices in several layouts into nested types with dates, decimals and lines; the metric names wrong leaves",
        not_tiny="it writes no nested JSON: uncompiled it scores 0",
    )


TASK = make_task()


def _compared(gold: Invoice | Line, found: Invoice | Line) -> Iterator[tuple[str, object, object]]:
    """Yield the leaves beside each other, by name; of an invoice without its lines."""
    ours, theirs = _leaves(gold.model_dump()), _leaves(found.model_dump())
    for name, value in ours.items():
        yield name, value, theirs[name]


def _leaves(values: Mapping[str, Any], within: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(cast("Mapping[str, Any]", value), f"{within}{name}.")
        elif not isinstance(value, list):
            found[f"{within}{name}"] = value
    return found


def _same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return " ".join(one.casefold().split()) == " ".join(other.casefold().split())
    return one == other


def _paired(gold: Sequence[Line], found: Sequence[Line]) -> tuple[list[tuple[Line, Line]], list[Line], list[Line]]:
    """Return lines in pairs, the most alike first, and what is left on either side. Lines with nothing alike stay apart."""
    alike = sorted(
        (
            (-sum(_same(a, b) for _, a, b in _compared(g, f)), i, j)
            for i, g in enumerate(gold)
            for j, f in enumerate(found)
        )
    )
    of_gold: dict[int, int] = {}
    taken: set[int] = set()
    for minus, i, j in alike:
        if minus < 0 and i not in of_gold and j not in taken:
            of_gold[i] = j
            taken.add(j)
    pairs = [(gold[i], found[j]) for i, j in sorted(of_gold.items())]
    missing = [line for i, line in enumerate(gold) if i not in of_gold]
    return pairs, missing, [line for j, line in enumerate(found) if j not in taken]
