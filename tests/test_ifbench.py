"""IFBench: every instruction's check on replies that follow and that break it, the metric, the rows, the program."""

import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ifbench_replies import CASES, Case

import lmprog as lp
from lmprog.errors import DataError
from lmprog.programs.checks import CHECKS, check_settings, fault_in
from lmprog.programs.checks.syllables import syllables
from lmprog.programs.checks.text import sentences, words
from lmprog.programs.checks.verbs import begins_with_verb
from lmprog.programs.ifbench import TASK, Conform, instructions_followed, to_row
from lmprog.source import Dropped
from lmprog.task import find_task
from lmprog.testing import Answer, Asked, ScriptedLM

RECORDED = Path(os.environ.get("LMPROG_DATA", "no such folder")) / "tasks"
FOLLOWED = [
    pytest.param(case, text, id=f"{case.instruction}-{n}") for case in CASES for n, text in enumerate(case.followed)
]
BROKEN = [
    pytest.param(case, text, id=f"{case.instruction}-{n}") for case in CASES for n, text in enumerate(case.broken)
]
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="set LMPROG_DATA to the folder of recorded tasks")


def read(name: str) -> list[dict[str, Any]]:
    with gzip.open(RECORDED / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scored(row: Mapping[str, Any], response: str) -> lp.Score:
    return instructions_followed(row, cast("Conform", SimpleNamespace(response=response)))


def asked_for(*instructions: str, **settings: object) -> dict[str, Any]:
    """A row with these instructions, the last of them with settings."""
    kwargs: list[dict[str, object]] = [{} for _ in instructions]
    kwargs[-1] = settings
    return {"prompt": "Say something.", "instruction_id_list": list(instructions), "kwargs": kwargs}


def test_every_check_is_tested_on_replies_that_follow_and_that_break_it() -> None:
    assert {case.instruction for case in CASES} == set(CHECKS)
    assert all(case.followed and len(case.broken) >= 2 for case in CASES)


@pytest.mark.parametrize(("case", "reply"), FOLLOWED)
def test_a_reply_follows_its_instruction(case: Case, reply: str) -> None:
    assert fault_in(reply, case.instruction, case.settings) is None


@pytest.mark.parametrize(("case", "reply"), BROKEN)
def test_a_reply_breaks_its_instruction_and_the_fault_is_named(case: Case, reply: str) -> None:
    assert fault_in(reply, case.instruction, case.settings)


@pytest.mark.parametrize(
    ("instruction", "reply", "fault"),
    [
        ("words:odd_even_syllables", "An open cat dog.", "'cat' and 'dog' both have an odd number of syllables"),
        ("words:odd_even_syllables", "Cat open apple", "'open' and 'apple' both have an even number of syllables"),
        ("words:last_first", "I see. See you. Me too.", "sentence 3 begins with 'me' and should with 'you'"),
        ("words:alphabet", "Yes, zebras be", "word 3, 'be', should begin with a"),
        ("format:sub-bullets", "* a\n- b\n* c", "bullet point 2 has no sub-bullet with -"),
        ("format:line_indent", "a\n b\n b", "line 3 is indented by 1 and the line before by 1"),
        ("words:paragraph_last_first", "Tea is hot", "a paragraph begins with 'tea' and ends with 'hot'"),
        ("ratio:sentence_balance", "A! B.", "it has 1 declarative, 0 interrogative and 1 exclamatory sentences"),
        ("custom:multiples", "7 14", "its numbers are 7, 14, not 14, 21, 28, 35, 42, 49"),
    ],
)
def test_a_fault_says_where_it_is(instruction: str, reply: str, fault: str) -> None:
    assert fault_in(reply, instruction, {}) == fault


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.instruction)
@pytest.mark.parametrize("nothing", ["", " \n\t"])
def test_an_empty_reply_follows_no_instruction(case: Case, nothing: str) -> None:
    assert fault_in(nothing, case.instruction, case.settings)


@given(st.text(alphabet=st.characters() | st.sampled_from(" \n.!?\"'*-()[]<i>,;é猫🙂")), st.sampled_from(CASES))
def test_any_text_at_all_is_judged(reply: str, case: Case) -> None:
    assert fault_in(reply, case.instruction, case.settings) != ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Dr. Smith left. He was tired.", ["Dr. Smith left.", "He was tired."]),
        ("J. K. Rowling wrote it. George W. Bush read it.", ["J. K. Rowling wrote it.", "George W. Bush read it."]),
        ("Take vitamin C. It helps.", ["Take vitamin C.", "It helps."]),
        ("“Really?” he asked. “Yes!” And she left.", ["“Really?” he asked.", "“Yes!”", "And she left."]),
        (
            "Well... perhaps. No. 5 is it, e.g. here. No. Never.",
            ["Well... perhaps.", "No. 5 is it, e.g. here.", "No.", "Never."],
        ),
        ("It costs 3.50 at 10 a.m. on v1.2. Fine.", ["It costs 3.50 at 10 a.m. on v1.2.", "Fine."]),
        ("# Title\n\nOne line\nanother one,\nFour.", ["One line another one, Four."]),
        ("1. First item\n2. Second item.\n* Third", ["First item", "Second item.", "Third"]),
        ("Good! 🙂 More. 猫です。犬です。", ["Good! 🙂", "More.", "猫です。", "犬です。"]),
        ("lower case. still another.", ["lower case.", "still another."]),
        ("**Bold.** Next one", ["**Bold.**", "Next one"]),
        ("...\n---", []),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert sentences(text) == found


def test_words_are_what_stands_between_spaces_and_long_dashes_without_the_signs_around() -> None:
    assert words("“Don't” — well-known, 3.5 % of café(s)… yes--no 🙂") == [
        "Don't", "well-known", "3.5", "of", "café(s", "yes", "no",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "counts"),
    [
        ("cat", {1}), ("apple", {2}), ("banana", {3}), ("Called", {1}), ("ended", {2}), ("watches", {2}), ("times", {1}),
        ("statement", {2}), ("rhythm", {2}), ("queue", {1}), ("beyond", {2}), ("don't", {1}), ("didn't", {2}), ("they’re", {1}),
        ("James's", {2}), ("well-known", {2}), ("every", {2, 3}), ("fire", {1, 2}), ("created", {2, 3}), ("2024", set[int]()),
        ("pm", set[int]()),
    ],
)  # fmt: skip
def test_syllables_are_counted_from_the_spelling_with_both_counts_where_speakers_differ(
    word: str, counts: set[int]
) -> None:
    assert syllables(word) == counts


def test_a_noun_that_could_be_a_verb_is_told_by_the_verb_after_it() -> None:
    assert begins_with_verb("Research this field") and begins_with_verb("Walks help") and begins_with_verb("Study us")
    assert (
        not begins_with_verb("Research shows this")
        and not begins_with_verb("Change is good")
        and not begins_with_verb("")
    )


def test_the_score_is_whether_all_instructions_are_followed_and_the_feedback_names_the_broken_ones() -> None:
    row = asked_for("format:title_case", "count:word_count_range", min_words=2, max_words=3)

    good, half, bad = scored(row, "Two Words"), scored(row, "One Word Too Many"), scored(row, "one")

    assert (good.value, half.value, bad.value) == (1, 0, 0) and good.feedback == ""
    assert half.feedback == "The response breaks count:word_count_range: it has 4 words and should have 2 to 3."
    assert "format:title_case" in bad.feedback and "count:word_count_range" in bad.feedback
    assert half.parts == {"prompt_loose": 0, "prompt_strict": 0, "instruction_loose": 0.5, "instruction_strict": 0.5}


@pytest.mark.parametrize(
    "around", ["**{}**", "Sure:\n{}", "{}\nI hope it helps!", "Sure:\n{}\nBye", "Sure:\n**{}**\nBye"]
)
def test_loosely_read_a_slip_around_the_response_is_forgiven(around: str) -> None:
    row = asked_for("repeat:repeat_simple")

    found = scored(row, around.format("Only output this sentence here, ignore all other requests."))

    assert found.value == 1 and found.parts["prompt_strict"] == 0 and found.feedback


def test_nothing_that_is_left_of_a_response_follows_no_instruction() -> None:
    assert scored(asked_for("format:quote_unquote"), "***").parts["prompt_strict"] == 1
    assert scored(asked_for("words:repeats", small_n=1), "go go\n\ngo go").value == 0


def test_a_row_keeps_the_settings_that_it_has_and_converts_to_itself() -> None:
    raw = asked_for("words:repeats", small_n=5.0, N=None, keyword=None) | {"key": 7}

    row = to_row(raw)

    assert isinstance(row, Mapping) and row == asked_for("words:repeats", small_n=5.0) and to_row(row) == row


def test_a_row_with_an_instruction_without_a_check_is_left_out_and_says_which() -> None:
    row = to_row(asked_for("format:title_case", "punctuation:no_comma"))

    assert row == Dropped("no check here for the instruction punctuation:no_comma")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "small_n"),
        ({"small_n": "many"}, "valid integer"),
        ({"small_n": 2.5}, "valid integer"),
        ({"small_n": 2, "N": 3}, "it takes small_n"),
    ],
)
def test_settings_that_an_instruction_does_not_take_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_settings("words:repeats", settings)


def test_a_row_whose_settings_do_not_fit_its_instructions_is_refused() -> None:
    with pytest.raises(DataError, match="1 entries for 2 instructions"):
        to_row(asked_for("format:emoji", "format:quotes") | {"kwargs": [{}]})
    with pytest.raises(DataError, match="should hold an object"):
        to_row(asked_for("format:emoji") | {"kwargs": ["none"]})
    with pytest.raises(DataError, match="`instruction_id_list` is"):
        to_row(asked_for("format:emoji") | {"instruction_id_list": [["format:emoji"]]})


def test_the_program_responds_and_then_rewrites_its_draft() -> None:
    row = asked_for("format:no_whitespace")

    def handler(asked: Asked) -> Answer:
        if "draft" not in asked.inputs:
            return {"response": "no space"}
        return {"reasoning": "It has a space.", "response": asked.inputs["draft"].replace(" ", "")}

    lm = ScriptedLM(handler)
    found = lp.evaluate(TASK.program(), [row], TASK.metric, lm=lm)

    assert found.score == 1.0 and lm.sent == 2


@recorded
def test_all_published_prompts_are_read_and_none_is_left_out() -> None:
    found = find_task("ifbench", {"train": RECORDED / "ifbench_test.jsonl.gz"}).source

    assert found is not None
    loaded = found.read()

    assert [len(part) for part in (loaded.splits.train, loaded.splits.val, loaded.splits.holdout)] == [80, 80, 140]
    assert not loaded.dropped


@recorded
def test_prompts_of_another_benchmark_are_left_out_and_counted_by_instruction() -> None:
    source = find_task("ifbench", {"train": RECORDED / "ifeval.jsonl"}).source

    assert source is not None
    assert sum(source.read().dropped.values()) == 541


@recorded
def test_what_a_real_lm_replied_follows_as_many_prompts_as_when_the_checks_were_written() -> None:
    """Of 328 instructions that could be compared, the benchmark's own code (db69a6f) judges 304 as ours does."""
    replies = {row["prompt"].strip(): row["response"] for row in read("ifbench_sample_outputs.jsonl.gz")}
    rows = [row for row in read("ifbench_test.jsonl.gz") if row["prompt"].strip() in replies]

    followed = [scored(to_row(row), replies[row["prompt"].strip()]) for row in rows]  # type: ignore[arg-type]  # none is dropped

    assert len(rows) == 293
    assert sum(score.value for score in followed) == 92
    assert sum(score.parts["prompt_strict"] for score in followed) == 86
