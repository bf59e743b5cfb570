"""A task's rows: converted from rows as published, drawn by a seed, or taken from files in their place."""

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog.data import fields_in
from lmprog.hub import Hub, Repository
from lmprog.registry import named
from lmprog.source import Converter, Dropped, Part, Source, field


@dataclass(frozen=True)
class Published:
    """A data set of `train` numbered rows to train on and `test` to test on."""

    train: int = 100
    test: int = 40
    first_of_test: int = 1000

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        first, count = {"train": (0, self.train), "test": (self.first_of_test, self.test)}[split]
        return [published(number) for number in range(first, first + count)]

    def facts(self) -> dict[str, str]:
        return {"dataset": "numbers"}

    def __str__(self) -> str:
        return "numbers"


def published(number: int) -> dict[str, Any]:
    return {"n": number, "doubled": str(2 * number), "texts": [f"about {number}", "about all"]}


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any] | Dropped:
    """The number is the question, and its double the answer; the numbers 13 and above 5000 are left out."""
    number = field(raw, "question" if "question" in raw else "n", int)
    if number == 13 or number > 5000:
        return Dropped("it is unlucky" if number == 13 else "it is large")
    return {"question": number, "answer": field(raw, "answer" if "answer" in raw else "doubled", str)}


def source(
    origin: Published = Published(), *, train: int = 20, val: int = 10, holdout: int = 30, convert: Converter = to_row
) -> Source:
    return Source(
        origin, convert, inputs=("question",), labels=("answer",), columns=("n", "doubled"),
        train=Part("train", train), val=Part("train", val), holdout=Part("test", holdout),
        passages=lambda raw: raw.get("texts", ()),
    )  # fmt: skip


def numbers(rows: Sequence[Any]) -> list[int]:
    return [fields_in(row)["question"] for row in rows]


def sizes(splits: lp.Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.val), len(splits.holdout)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def test_each_part_takes_its_rows_from_its_split_as_converted() -> None:
    splits = source()()

    assert sizes(splits) == (20, 10, 30)
    assert all(
        row == {"question": n, "answer": str(2 * n)} for n, row in zip(numbers(splits.val), splits.val, strict=True)
    )
    assert all(number < 100 for number in numbers([*splits.train, *splits.val]))
    assert all(number >= 1000 for number in numbers(splits.holdout))


def test_no_row_is_in_two_parts_of_a_split() -> None:
    splits = source()()

    assert len({*numbers(splits.train), *numbers(splits.val)}) == 30


def test_the_seed_decides_which_rows_are_drawn() -> None:
    first, again, other = source()(), source()(), source().adjusted(seed=1)()

    assert first == again
    assert set(numbers(first.train)) != set(numbers(other.train))
    assert set(numbers(first.holdout)) != set(numbers(other.holdout))


def test_rows_are_drawn_from_all_of_a_split_and_not_from_its_beginning() -> None:
    assert max(numbers(source()().train)) > 50


@pytest.mark.parametrize(("rows", "shares"), [(12, (8, 4)), (13, (9, 4)), (7, (5, 2)), (1, (1, 0))])
def test_parts_share_a_split_with_too_few_rows_in_proportion(rows: int, shares: tuple[int, int]) -> None:
    splits = source(Published(train=rows))()

    assert sizes(splits)[:2] == shares


def test_sharing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    source(Published(train=14))()

    assert "numbers, split 'train': there are 13 rows, shared in the proportion of val 10, train 20" in caplog.messages


def test_rows_that_are_left_out_are_counted_by_why_and_said(caplog: pytest.LogCaptureFixture) -> None:
    loaded = source(Published(first_of_test=4999), holdout=40).read()

    where = "numbers, split 'test'"
    assert loaded.dropped[where, "it is large"] == 38
    assert numbers(sorted(loaded.splits.holdout, key=str)) == [4999, 5000]
    assert f"{where}: 38 rows left out: it is large" in caplog.messages


def test_only_rows_that_are_drawn_are_converted() -> None:
    seen: list[int] = []

    def counting(raw: Mapping[str, Any]) -> Mapping[str, Any] | Dropped:
        seen.append(raw["n"])
        return {"question": raw["n"], "answer": ""}

    source(Published(train=10_000), convert=counting)()

    assert len(seen) == 60


def test_of_rows_with_the_same_inputs_those_to_test_on_are_kept() -> None:
    loaded = source(Published(train=100, test=30, first_of_test=70)).read()

    assert sizes(loaded.splits) == (20, 10, 30)
    assert not {*numbers(loaded.splits.train), *numbers(loaded.splits.val)} & {*numbers(loaded.splits.holdout)}
    assert {why for _, why in loaded.dropped} >= {"the same inputs as an earlier row"}


def test_texts_that_come_with_drawn_rows_are_gathered_once_each() -> None:
    loaded = source().read()

    rows = [*loaded.splits.train, *loaded.splits.val, *loaded.splits.holdout]
    assert sorted(loaded.passages) == sorted(["about all", *(f"about {number}" for number in numbers(rows))])


def test_a_file_stands_for_the_data_set_in_the_same_proportion(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", [published(n) for n in range(100, 112)])

    splits = source().on({"train": file})()

    assert sizes(splits) == (4, 2, 6)
    assert {*numbers([*splits.train, *splits.val, *splits.holdout])} == {*range(100, 112)}


def test_a_file_holds_rows_as_published_or_as_converted_packed_or_not(tmp_path: Path) -> None:
    as_published = write(tmp_path / "a.jsonl", [published(n) for n in range(100, 160)])
    converted = write(tmp_path / "b.jsonl.gz", [{"question": n, "answer": str(2 * n)} for n in range(100, 160)])

    assert source().on({"train": as_published})() == source().on({"train": converted})()


def test_rows_of_a_file_stay_in_the_part_that_they_name(tmp_path: Path) -> None:
    uses = ["train", "dev", "val", "validation", "test", "holdout"]
    file = write(tmp_path / "rows.jsonl", [{**published(n), "split": uses[n % 6]} for n in range(100, 220)])

    splits = source(train=50, val=50, holdout=50).on({"train": file})()

    assert {uses[n % 6] for n in numbers(splits.train)} == {"train"}
    assert {uses[n % 6] for n in numbers(splits.val)} == {"dev", "val", "validation"}
    assert {uses[n % 6] for n in numbers(splits.holdout)} == {"test", "holdout"}
    assert sizes(splits) == (20, 50, 40)


def test_a_part_that_no_row_names_shares_those_for_training(tmp_path: Path) -> None:
    rows = [{**published(n), "split": "test" if n % 2 else "train"} for n in range(100, 160)]

    splits = source().on({"train": write(tmp_path / "rows.jsonl", rows)})()

    assert sizes(splits) == (20, 10, 30)
    assert all(n % 2 == 0 for n in numbers([*splits.train, *splits.val]))
    assert all(n % 2 for n in numbers(splits.holdout))


def test_a_file_for_one_part_is_all_of_it_in_its_order(tmp_path: Path) -> None:
    file = write(tmp_path / "val.jsonl", [published(n) for n in range(300, 345)])

    splits = source().on({"val": file})()

    assert numbers(splits.val) == [*range(300, 345)]
    assert sizes(splits) == (20, 45, 30)


def test_a_file_that_was_changed_is_read_again_and_another_is_not(tmp_path: Path) -> None:
    of_file = source().on({"train": tmp_path / "rows.jsonl"})
    write(tmp_path / "rows.jsonl", [published(n) for n in range(100, 130)])
    before, again = of_file(), of_file()

    write(tmp_path / "rows.jsonl", [published(n) for n in range(200, 231)])

    assert before is again
    assert not {*numbers(before.train)} & {*numbers(of_file().train)}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"n": 1}, "`doubled` is missing: the row has `n`"),
        ({"n": "1", "doubled": "2"}, "`n` is '1' and should be int: Input should be a valid integer"),
        ({"n": True, "doubled": "2"}, "`n` is True and should be int"),
        ({}, "`n` is missing: the row has no fields"),
        (
            {**published(1), "split": "tset"},
            "`split` is 'tset'. Write one of train, dev, val, validation, test, holdout",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_file_line_and_field(
    tmp_path: Path, row: dict[str, Any], says: str
) -> None:
    rows = [*(published(n) | ({"split": "train"} if "split" in row else {}) for n in range(100, 140)), row]
    file = write(tmp_path / "rows.jsonl", rows)

    with pytest.raises(lp.DataError) as error:
        source(train=100).on({"train": file})()

    assert f"rows.jsonl, line 41: {says}" in str(error.value)


def test_an_error_says_what_rows_should_hold(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", [{}])

    with pytest.raises(
        lp.DataError, match=r"Give rows with `question`, `answer`, or as numbers has them \(`n`, `doubled`\)\.$"
    ):
        source().on({"train": file})()


def test_a_row_as_published_is_named_by_split_and_number() -> None:
    def odd(raw: Mapping[str, Any]) -> Mapping[str, Any]:
        if raw["n"] == 1001:
            raise lp.DataError("`n` is odd")
        return {"question": raw["n"], "answer": ""}

    with pytest.raises(lp.DataError, match="numbers, split 'test', row 1: `n` is odd"):
        source(holdout=40, convert=odd)()


def test_what_decides_the_rows_is_kept_as_facts(tmp_path: Path) -> None:
    whole = source().adjusted(seed=3, train=5)

    assert whole.facts() == {"dataset": "numbers", "sizes": {"train": 5, "val": 10, "holdout": 30}, "seed": 3}
    assert whole.on({"train": tmp_path / "rows.jsonl"}).facts()["files"] == {"train": "rows.jsonl"}


@pytest.mark.parametrize(
    ("said", "hub"),
    [
        ({}, Hub("a/b", "c", "d")),
        ({"revision": "e"}, Hub("a/b", "c", "e")),
        ({"config": ""}, Hub("a/b", "", "d")),
        ({"dataset": "x/y"}, Hub("x/y", "", "main")),
        ({"dataset": "x/y", "config": "z", "revision": "v"}, Hub("x/y", "z", "v")),
    ],
)
def test_another_data_set_is_read_as_it_is_now_unless_a_revision_is_named(said: dict[str, str], hub: Hub) -> None:
    assert replace(source(), origin=Hub("a/b", "c", "d")).adjusted(**said).origin == hub  # type: ignore[arg-type]


def test_another_repository_is_read_as_it_is_now() -> None:
    of_commit = replace(source(), origin=Repository("a/b", "abc", ()))

    assert of_commit.adjusted(revision="def").origin == Repository("a/b", "def", ())
    assert of_commit.adjusted(dataset="x/y").origin == Repository("x/y", "HEAD", ())


def test_options_tell_a_data_set_where_there_is_one_to_choose() -> None:
    own = {"seed", "train", "val", "holdout"}

    assert source().options == own
    assert replace(source(), origin=Hub("a/b")).options == own | {"dataset", "config", "revision"}
    assert replace(source(), origin=Repository("a/b", "c", ())).options == own | {"dataset", "revision"}


@settings(max_examples=40)
@given(st.dictionaries(st.from_regex("[a-z]+", fullmatch=True), st.from_regex(r"[a-z0-9./:=?-]+", fullmatch=True)))
def test_options_behind_a_name_are_read_as_they_were_written(options: dict[str, str]) -> None:
    said = named("name:" + ",".join(f"{option}={value}" for option, value in options.items()), "task")

    assert (said.name, dict(said.options)) == ("name", options)


def test_nothing_is_said_where_nothing_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        source(Published(train=30, test=30), train=19)()

    assert caplog.messages == ["numbers, split 'train': 1 row left out: it is unlucky"]
