"""Invoices into nested types, and one summary of two documents with a critic: programs on data that code makes up."""

import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lmprog as lp
from lmprog.errors import DataError
from lmprog.programs import invoice, summary
from lmprog.programs.made_up.invoice_model import Invoice, Line
from lmprog.programs.made_up.invoices import LAYOUTS, Invoices
from lmprog.programs.made_up.reports import LIMIT, Reports
from lmprog.task import find_task
from lmprog.testing import Answer, Asked, ScriptedLM

ROWS = Invoices().rows("test")
REPORTS = Reports().rows("test")
GOLD = Invoice.model_validate(ROWS[0]["invoice"]).model_copy(
    update={
        "lines": [
            Line(description=f"item {n}", quantity=n, unit_price=Decimal("2.50"), amount=n * Decimal("2.50"))
            for n in (1, 2)
        ]
    }
)
HEAD_LEAVES, LINE_LEAVES = 11, 4
"""Of an invoice: number, two dates, two names, two cities, currency, three sums. Of a line: four."""
FACTS = [
    {"statement": "It costs 5400 crowns.", "words": "5400 crowns"},
    {"statement": "Ada built it.", "words": "Ada Holm"},
]
PAIR = {
    "first": "The bridge costs 5400 crowns.",
    "second": "It was built by Ada Holm of Oslo.",
    "limit": 8,
    "facts": FACTS,
}


def read_as(found: Invoice, gold: Invoice = GOLD) -> lp.Score:
    row = {"text": "", "invoice": gold.model_dump(mode="json")}
    return invoice.leaves_right(row, cast("invoice.Extract", SimpleNamespace(invoice=found)))


def told(text: str, row: Mapping[str, Any] = PAIR) -> lp.Score:
    return summary.facts_told(row, cast("summary.Revise", SimpleNamespace(revised=text)))


def changed(**values: object) -> Invoice:
    return GOLD.model_copy(update=values)


def test_an_invoice_that_is_read_right_scores_1_with_its_lines_in_any_order() -> None:
    found = read_as(changed(lines=GOLD.lines[::-1]))

    assert found == lp.Score(1.0, "", {"exact": 1.0, "head": 1.0, "lines": 1.0})


def test_texts_are_the_same_in_other_case_and_spaces_and_numbers_with_other_zeros() -> None:
    seller = GOLD.seller.model_copy(update={"name": f"  {GOLD.seller.name.upper()} "})

    assert read_as(changed(seller=seller, net=GOLD.net * Decimal("1.000"))).value == 1.0


def test_a_wrong_leaf_costs_its_share_and_is_named_with_both_values() -> None:
    found = read_as(changed(issued=date(1999, 1, 2)))

    leaves = HEAD_LEAVES + 2 * LINE_LEAVES
    assert found.value == pytest.approx((leaves - 1) / leaves)
    assert found.feedback == f"issued is {GOLD.issued}, not 1999-01-02"
    assert found.parts == {"exact": 0.0, "head": pytest.approx(10 / 11), "lines": 1.0}


def test_a_wrong_leaf_of_a_line_or_of_a_party_is_named_with_its_place() -> None:
    wrong_line = GOLD.lines[0].model_copy(update={"quantity": 7})
    found = read_as(changed(lines=[wrong_line, GOLD.lines[1]], buyer=GOLD.buyer.model_copy(update={"city": "Rome"})))

    assert found.feedback == f"buyer.city is {GOLD.buyer.city}, not Rome; quantity of the line 'item 1' is 1, not 7"


def test_a_missing_line_and_a_made_up_line_cost_as_much() -> None:
    extra = Line(description="nothing", quantity=99, unit_price=Decimal(7), amount=Decimal(693))
    shorter, longer = read_as(changed(lines=GOLD.lines[:1])), read_as(changed(lines=[*GOLD.lines, extra]))

    both = HEAD_LEAVES + 2 * LINE_LEAVES
    assert shorter.value == pytest.approx(2 * (both - LINE_LEAVES) / (2 * both - LINE_LEAVES))
    assert longer.value == pytest.approx(2 * both / (2 * both + LINE_LEAVES))
    assert shorter.feedback == "the line 'item 2' is missing" and longer.feedback == "there is no line 'nothing'"
    assert shorter.parts["lines"] == pytest.approx(2 * 4 / 12)


def test_lines_with_nothing_in_common_are_not_compared_and_of_many_faults_eight_are_told() -> None:
    other = [
        Line(description=f"thing {n}", quantity=9, unit_price=Decimal(n), amount=9 * Decimal(n)) for n in range(3, 11)
    ]

    found = read_as(changed(lines=other))

    assert found.feedback.startswith(
        "the line 'item 1' is missing; the line 'item 2' is missing; there is no line 'thing 3'"
    )
    assert found.feedback.endswith("there is no line 'thing 8'; and 2 more") and found.parts["lines"] == 0


def test_an_invoice_without_lines_is_right_without_lines() -> None:
    assert read_as(changed(lines=[]), changed(lines=[])).parts == {"exact": 1.0, "head": 1.0, "lines": 1.0}


def test_a_line_is_paired_with_the_one_most_like_it() -> None:
    first, second = GOLD.lines
    half_right = second.model_copy(update={"description": "item 1"})

    assert (
        read_as(changed(lines=[half_right, first])).feedback == "description of the line 'item 2' is item 2, not item 1"
    )


@given(st.integers(0, len(ROWS) - 1), st.integers(0, len(ROWS) - 1))
def test_only_an_invoice_that_says_the_same_is_right(one: int, other: int) -> None:
    first, second = (Invoice.model_validate(ROWS[place]["invoice"]) for place in (one, other))

    found = read_as(first, second)

    assert 0 <= found.value <= 1
    assert (found.value == 1) == (not found.feedback) == (one == other)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_invoices_add_up_and_every_one_is_another(split: str) -> None:
    rows = Invoices().rows(split)
    invoices = [Invoice.model_validate(row["invoice"]) for row in rows]

    assert all(line.amount == line.quantity * line.unit_price for each in invoices for line in each.lines)
    assert all(
        each.net == sum(line.amount for line in each.lines) and each.total == each.net + each.tax for each in invoices
    )
    assert all(each.due is None or each.due > each.issued for each in invoices)
    assert len({row["text"] for row in rows}) == len({each.number for each in invoices}) == len(rows)
    assert {each.due is None for each in invoices} == {True, False}


def test_every_leaf_of_an_invoice_can_be_read_off_its_text() -> None:
    """Money and days are written in a way of each layout, so they are looked for by their digits."""
    for row in ROWS:
        found, text = Invoice.model_validate(row["invoice"]), row["text"]
        texts = [found.number, found.seller.name, found.seller.city, found.buyer.name, found.buyer.city]
        assert all(each in text for each in [*texts, *(line.description for line in found.lines)])
        digits = re.sub(r"[.,]", "", text)
        sums = [found.net, found.total, *(value for line in found.lines for value in (line.unit_price, line.amount))]
        assert all(str(value).replace(".", "") in digits for value in sums)
        days = [day for day in (found.issued, found.due) if day]
        assert all(
            any(f"{day:{form}}" in text for form in ("%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d"))
            or f"{day.day} {day:%B %Y}" in text
            for day in days
        )
        assert found.currency in text or {"EUR": "€", "GBP": "£", "USD": "$"}[found.currency] in text


def test_every_layout_is_used_and_a_seed_makes_the_same_invoices_again() -> None:
    beginnings = [re.match(r"DOC;|Dear |.*\* Tel\.|.*\n.*\n\nINVOICE", row["text"]) for row in ROWS]

    assert all(beginnings) and len(LAYOUTS) == 4
    assert Invoices().rows("test") == ROWS and Invoices(1).rows("test") != ROWS


def test_an_invoice_takes_one_call_and_comes_back_as_dates_and_decimals() -> None:
    splits = invoice.TASK.load()
    by_text = {row["text"]: row["invoice"] for row in splits.val if isinstance(row, dict)}
    lm = ScriptedLM(lambda asked: {"invoice": by_text[asked.inputs["text"]]})

    found = lp.evaluate(invoice.TASK.program(), splits.val, invoice.TASK.metric, lm=lm)

    assert [len(splits.train), len(splits.val), len(splits.holdout)] == [80, 80, 160]
    assert found.score == 1.0 and lm.sent == 80
    read = found.runs[0].prediction.invoice
    assert isinstance(read.issued, date) and isinstance(read.total, Decimal) and isinstance(read.lines[0], Line)


def test_invoices_of_a_file_take_their_place_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:10]))
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps({"text": "x", "invoice": {**ROWS[0]["invoice"], "issued": "soon"}}) + "\n")

    assert len(find_task("invoice", {"holdout": file}).load().holdout) == 10
    with pytest.raises(DataError, match="`issued`"):
        find_task("invoice", {"holdout": wrong}).load()


def test_a_summary_with_every_fact_in_few_words_scores_1() -> None:
    assert told("Ada Holm built it for 5,400 crowns.") == lp.Score(
        1.0, "", {"coverage": 1.0, "brevity": 1.0, "support": 1.0}
    )


def test_a_fact_that_is_not_told_is_missed_and_named() -> None:
    found = told("It was built by Ada Holm.")

    assert found.value == 0.5 and found.feedback == "The summary does not tell: It costs 5400 crowns."


def test_a_summary_that_is_too_long_loses_in_proportion() -> None:
    found = told("The bridge was built by Ada Holm of Oslo and costs 5400 crowns all in all.")

    assert found.value == pytest.approx(8 / 16) and found.feedback == "It has 16 words and may have 8."


def test_names_and_numbers_that_no_document_has_cost_and_are_named() -> None:
    found = told("For 5400 crowns Ada Holm and Bob built.")

    assert found.value == 0.75 and found.parts == {"coverage": 1.0, "brevity": 1.0, "support": 0.75}
    assert found.feedback == "Not in the documents: Bob."


@pytest.mark.parametrize("text", ["", "...", "It is a bridge."])
def test_a_summary_without_a_fact_scores_0(text: str) -> None:
    assert told(text).value == 0


def test_both_documents_copied_tell_all_and_are_too_long() -> None:
    found = [told(f"{row['first']} {row['second']}", row) for row in REPORTS[:60]]

    assert all(
        score.parts["coverage"] == score.parts["support"] == 1 and score.parts["brevity"] < 0.75 for score in found
    )


def test_neither_document_alone_tells_more_than_its_part_and_the_facts_fit_the_limit() -> None:
    for row in REPORTS[:60]:
        alone = [told(row[name], row).parts["coverage"] for name in ("first", "second")]
        whole = told(" ".join(fact["statement"] for fact in row["facts"]), row)
        assert all(coverage < 0.7 for coverage in alone) and whole.value == 1 and row["limit"] == LIMIT


def script(revised: str) -> ScriptedLM:
    """Summarizes as the document, merges by joining, criticizes, and revises to that text."""

    def handler(asked: Asked) -> Answer:
        if asked.outputs == ("feedback",):
            assert json.loads(asked.inputs["documents"]) == [PAIR["first"], PAIR["second"]]
            return {"feedback": f"{asked.inputs['summary']} Too long for {asked.inputs['limit']}."}
        if asked.outputs == ("revised",):
            assert asked.inputs["feedback"] == f"{PAIR['first']} {PAIR['second']} Too long for 8."
            return {"revised": revised}
        if asked.outputs == ("said",):
            return {"said": ["Ada" in each for each in json.loads(asked.inputs["statements"])]}
        return {"summary": asked.inputs.get("document") or " ".join(json.loads(asked.inputs["summaries"]))}

    return ScriptedLM(handler)


def test_each_document_is_summarized_and_the_critic_is_heard_in_five_calls() -> None:
    lm = script("Ada Holm built it for 5400 crowns.")

    found = lp.evaluate(summary.TASK.program(), [PAIR], summary.TASK.metric, lm=lm)

    assert found.score == 1.0 and lm.sent == 5
    assert sorted(lp.predictors(summary.TASK.program())) == ["criticize", "merge", "revise", "summarize"]


def test_a_judge_is_asked_about_the_facts_whose_words_are_not_there_and_only_about_those() -> None:
    task = find_task("summary:judge=true")
    own_words, all_there = script("She built it, Ada, for 5400 crowns."), script("Ada Holm built it for 5400 crowns.")

    found = [lp.evaluate(task.program(), [PAIR], task.metric, lm=lm).score for lm in (own_words, all_there)]

    assert found == [1.0, 1.0] and [own_words.sent, all_there.sent] == [6, 5]
    assert (
        lp.evaluate(
            summary.TASK.program(), [PAIR], summary.facts_told, lm=script("She built it, Ada, for 5400 crowns.")
        ).score
        == 0.5
    )


def test_the_reports_of_a_seed_are_the_same_again_and_no_name_stands_in_two_of_a_split() -> None:
    names = [fact["words"] for row in REPORTS for fact in row["facts"] if not re.search(r"\d", fact["words"])]

    assert Reports().rows("test") == REPORTS and Reports(1).rows("test") != REPORTS
    assert len(set(names)) == len(names)
    splits = summary.TASK.load()
    assert [len(splits.train), len(splits.val), len(splits.holdout)] == [80, 80, 160]


@pytest.mark.parametrize(
    "wrong", [{"facts": []}, {"limit": 0}, {"facts": [{"words": "x"}]}, {"first": None}, {"limit": "few"}]
)
def test_documents_without_facts_or_a_limit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError):
        summary.to_row({**PAIR, **wrong})
    assert summary.to_row({**PAIR, "limit": 1}) == {**PAIR, "limit": 1}
