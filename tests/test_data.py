"""Rows are read from anything, checked by name, and split so that no part can teach another."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

import lmprog as lp
from lmprog.data import Row, Splits, fields_in, fingerprint, inputs_in, read_jsonl, read_rows, split

PROGRAM = lp.Predict("question -> answer")
ROWS = [{"question": f"q{number}", "answer": str(number)} for number in range(100)]
TABLES = st.lists(
    st.fixed_dictionaries({"question": st.sampled_from("abcdefghij"), "group": st.integers(0, 5)}), min_size=1
)
SEEDS = st.integers(0, 1000)


class Example(BaseModel):
    model_config = ConfigDict(extra="allow")
    question: str
    answer: str = ""


class TwoInputs(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict("question, style -> answer")

    def forward(self, question: str, style: str = "short") -> Any:
        return self.answer(question=question, style=style)


class AnyInputs(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict("question -> answer")

    def forward(self, **inputs: str) -> Any:
        return self.answer(**inputs)


def questions(rows: Sequence[Row]) -> list[str]:
    return [fields_in(row)["question"] for row in rows]


def parts(splits: Splits) -> list[tuple[Row, ...]]:
    return [splits.train, splits.val, splits.holdout]


def test_a_table_is_split_40_30_30() -> None:
    splits = split(PROGRAM, ROWS, seed=0)

    assert [len(part) for part in parts(splits)] == [40, 30, 30]


@given(st.integers(1, 200), SEEDS)
@settings(deadline=None)
def test_different_rows_are_split_in_proportion_to_the_nearest_row_and_none_is_lost(count: int, seed: int) -> None:
    rows = [{"question": str(number)} for number in range(count)]

    splits = split(PROGRAM, rows, seed=seed)

    assert abs(len(splits.train) - 0.4 * count) <= 0.5
    assert abs(len(splits.train) + len(splits.val) - 0.7 * count) <= 0.5
    assert sorted(questions([row for part in parts(splits) for row in part])) == sorted(questions(rows))


@given(TABLES, SEEDS)
@settings(deadline=None)
def test_equal_inputs_never_sit_in_two_parts(rows: list[Row], seed: int) -> None:
    found = parts(split(PROGRAM, rows, seed=seed))

    assert sum(len({*questions(part)}) for part in found) == len({*questions(rows)})
    assert sum(map(len, found)) == len(rows)


@given(TABLES, SEEDS)
@settings(deadline=None)
def test_with_groups_neither_a_group_nor_equal_inputs_sit_in_two_parts(rows: list[Row], seed: int) -> None:
    found = parts(split(PROGRAM, rows, seed=seed, group="group"))

    for field in ("question", "group"):
        values = [{fields_in(row)[field] for row in part} for part in found]
        assert sum(map(len, values)) == len(set[object]().union(*values))


def test_rows_linked_through_a_group_and_an_input_stay_together() -> None:
    chain = [
        {"question": "a", "group": 1},
        {"question": "b", "group": 1},
        {"question": "b", "group": 2},
        {"question": "c", "group": 2},
    ]

    for seed in range(20):
        assert sorted(map(len, parts(split(PROGRAM, chain, seed=seed, group="group")))) == [0, 0, 4]


@given(TABLES, SEEDS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_which_part_a_row_belongs_to_does_not_depend_on_the_order_of_rows(
    rows: list[Row], seed: int, order: random.Random
) -> None:
    shuffled = list(rows)
    order.shuffle(shuffled)

    first, second = (parts(split(PROGRAM, given, seed=seed)) for given in (rows, shuffled))

    for part, other in zip(first, second, strict=True):
        assert Counter(questions(part)) == Counter(questions(other))


def test_rows_keep_the_order_of_their_file_within_a_part() -> None:
    splits = split(PROGRAM, ROWS, seed=0)

    for part in parts(splits):
        places = [int(fields_in(row)["answer"]) for row in part]
        assert places == sorted(places)


def test_the_seed_decides_the_split() -> None:
    assert split(PROGRAM, ROWS, seed=1) == split(PROGRAM, ROWS, seed=1)
    assert split(PROGRAM, ROWS, seed=1) != split(PROGRAM, ROWS, seed=2)


def test_labels_do_not_move_a_row() -> None:
    relabelled = [{**row, "answer": "other", "note": "x"} for row in ROWS]

    assert questions(split(PROGRAM, ROWS, seed=0).val) == questions(split(PROGRAM, relabelled, seed=0).val)


def test_a_holdout_that_is_not_given_is_taken_from_train_and_never_from_val() -> None:
    splits = split(PROGRAM, ROWS[:70], ROWS[70:], seed=0)

    assert splits.val == tuple(ROWS[70:])
    assert (len(splits.train), len(splits.holdout)) == (40, 30)
    assert {*questions(splits.holdout)} < {*questions(ROWS[:70])}


def test_parts_that_are_given_stay_as_they_are() -> None:
    splits = split(PROGRAM, ROWS[:50], ROWS[50:60], ROWS[60:], seed=0)

    assert parts(splits) == [tuple(ROWS[:50]), tuple(ROWS[50:60]), tuple(ROWS[60:])]


def test_an_overlap_of_given_parts_is_refused_with_both_rows() -> None:
    with pytest.raises(lp.DataError, match=r"`holdout`, row 1 has the same inputs as `train`, row 3: .*'q3'"):
        split(PROGRAM, ROWS[:50], holdout=[ROWS[60], {"question": "q3", "answer": "other"}], seed=0)


def test_an_overlap_is_named_by_the_part_that_the_user_gave_even_where_train_is_split() -> None:
    for seed in range(5):
        with pytest.raises(lp.DataError, match=r"`val`, row 0 has the same inputs as `train`, row 3"):
            split(PROGRAM, ROWS[:50], [ROWS[3]], seed=seed)


def test_a_group_in_two_given_parts_is_refused() -> None:
    train, val = ({"question": name, "author": "Ann"} for name in "ab")

    with pytest.raises(lp.DataError, match=r"`val`, row 0 has the same 'author' as `train`, row 0"):
        split(PROGRAM, [train], [val], seed=0, group="author")


def test_a_row_without_the_group_is_refused() -> None:
    with pytest.raises(lp.DataError, match=r"no field 'author' .*'q0'.* has `answer`, `question`"):
        split(PROGRAM, ROWS, seed=0, group="author")


def test_a_dict_and_an_object_with_equal_inputs_are_the_same_row() -> None:
    with pytest.raises(lp.DataError, match="same inputs"):
        split(PROGRAM, [{"question": "q"}], [Example(question="q", answer="a")], seed=0)


def test_rows_may_be_dicts_or_pydantic_objects_from_any_iterable() -> None:
    rows = read_rows((row for row in [{"question": "a"}, Example(question="b")]), PROGRAM, what="train")

    assert [inputs_in(row, ["question"]) for row in rows] == [{"question": "a"}, {"question": "b"}]


def test_fields_that_a_pydantic_model_allows_beyond_its_own_are_fields_of_the_row() -> None:
    row = Example.model_validate({"question": "a", "author": "Ann"})

    assert fields_in(row) == {"question": "a", "answer": "", "author": "Ann"}


def test_a_missing_input_names_row_and_field() -> None:
    with pytest.raises(lp.DataError, match=r"`val`, row 1 has no `question`, which TwoInputs takes. It has `answer`."):
        read_rows([{"question": "a"}, {"answer": "b"}], TwoInputs(), what="val")


def test_an_input_with_a_default_may_be_missing() -> None:
    assert len(read_rows([{"question": "a"}], TwoInputs(), what="train")) == 1


@pytest.mark.parametrize("row", ["text", 3, ["question"]])
def test_what_is_no_row_is_named(row: object) -> None:
    with pytest.raises(lp.DataError, match=r"`train`, row 0: .* is neither a dict nor a pydantic object"):
        read_rows([row], PROGRAM, what="train")


@pytest.mark.parametrize("value", ["a\ud800", ["a", {"\udfff": 1}], {"\ud800"}])
def test_half_a_surrogate_pair_is_refused_with_row_and_field(value: object) -> None:
    rows = [{"question": "a🙂"}, {"question": "b", "label": value}]

    with pytest.raises(lp.DataError, match=r"`train`, row 1, 'label' holds half of a surrogate pair"):
        read_rows(rows, PROGRAM, what="train")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"question": "a", "answer": "1", "answer": "2"}', "line 2: `answer` is given more than once in one object"),
        ('{"question": {"x": 1, "x": 2}}', "line 2: `x` is given more than once in one object"),
        ('{"question": 1e999}', "line 2: 1e999 is beyond what a number can be"),
        ('{"question": ' + "[" * 900 + "]" * 900 + "}", "line 2 is nested too deep"),
        ('{"question": ' + "[" * 100_000, r"line 2 is not JSON in UTF-8 \(it is nested too deep"),
    ],
)
def test_a_line_that_would_not_be_read_as_it_stands_is_refused(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "fine"}\n' + line)

    with pytest.raises(lp.DataError, match=says):
        read_jsonl(path)


def test_what_no_path_can_be_is_refused() -> None:
    with pytest.raises(lp.DataError, match=r"cannot be read: .*null byte"):
        read_jsonl(Path("no\0.jsonl"))


def test_no_rows_at_all_are_refused() -> None:
    with pytest.raises(lp.DataError, match=r"`train` is empty. Give at least one row with `question`"):
        read_rows([], PROGRAM, what="train")


def test_a_program_that_names_no_input_is_refused_since_no_row_would_reach_it() -> None:
    with pytest.raises(lp.DataError, match="AnyInputs names no input"):
        read_rows(ROWS, AnyInputs(), what="train")


def test_jsonl_is_read_with_blank_lines_a_byte_order_mark_and_odd_line_separators_in_texts(tmp_path: Path) -> None:
    rows = [{"question": "a\u2028b\x85c"}, {"question": "ü"}]
    text = "\ufeff" + "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode())

    assert read_jsonl(path) == rows


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"question": "a"', r"rows.jsonl, line 3 is not JSON in UTF-8 \(.*\): '{\"question\": \"a\"'"),
        (b'{"question": "\xff"}', "rows.jsonl, line 3 is not JSON in UTF-8"),
        (b'{"question": "\\ud800"}', "rows.jsonl, line 3, 'question' holds half of a surrogate pair"),
        pytest.param(b"[" * 100_000, "rows.jsonl, line 3 is not JSON in UTF-8 .*nested too deep", id="deep"),
        (b'["a"]', r"rows.jsonl, line 3 is not an object: '\[\"a\"\]'. Write one row a line"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: bytes, error: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"question": "a"}\n\n' + line + b"\n")

    with pytest.raises(lp.DataError, match=error):
        read_jsonl(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(lp.DataError, match=r"none.jsonl cannot be read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_a_fingerprint_names_content_and_order() -> None:
    assert fingerprint(ROWS[:2]) == fingerprint([dict(reversed(row.items())) for row in ROWS[:2]])
    assert len({fingerprint(rows) for rows in (ROWS[:2], ROWS[1::-1], ROWS[:3], [{**ROWS[0], "answer": "x"}])}) == 4


def test_a_fingerprint_is_the_same_in_every_process_also_of_sets() -> None:
    code = "from lmprog.data import fingerprint; print(fingerprint([{'q': {'a', 'b', 'c', 'd'}}]))"

    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(found) == 1


def test_a_value_that_is_no_data_is_refused_with_field_and_row() -> None:
    with pytest.raises(lp.DataError, match="`question` holds a object, which cannot be written as JSON, in the row"):
        split(PROGRAM, [{"question": object()}], seed=0)
