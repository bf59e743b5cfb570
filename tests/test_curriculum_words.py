"""The generated tasks on words, lists, numbers and rows: right, reproducible, and with a part that is never trained."""

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

import pytest

from lmprog.lm.tiny.curriculum import lexicon, lists, numbers, pairs, rules, tables, words
from lmprog.lm.tiny.curriculum.example import END, NAMES, REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.world import RELATIONS

FIXED = (*words.TASKS, *lists.TASKS, *numbers.TASKS)

ANSWERS: dict[str, Callable[[list[str]], str]] = {
    "first": lambda items: items[0],
    "last": lambda items: items[-1],
    "second": lambda items: items[1],
    "third": lambda items: items[2],
    "count": lambda items: str(len(items)),
    "longest": lambda items: sorted(items, key=len)[-1],
    "shortest": lambda items: sorted(items, key=len)[0],
    "second_last": lambda items: items[::-1][1],
    "as_json": json.dumps,
    "join_commas": ", ".join,
    "initials": lambda items: " ".join(item[:1] for item in items),
    "letter_last": lambda items: items[-1][0],
    "upper_last": lambda items: items[-1].upper(),
    "add": lambda items: str(int(items[0]) + int(items[1])),
    "sub": lambda items: str(max(map(int, items)) - min(map(int, items))),
    "multiply": lambda items: str(int(items[0]) * int(items[1])),
    "maxn": lambda items: str(max(map(int, items))),
    "minn": lambda items: str(min(map(int, items))),
    "sequence": lambda items: str(int(items[-1]) + int(items[1]) - int(items[0])),
    "sort_numbers": lambda items: " ".join(sorted(items, key=int)),
    "parity": lambda items: ("even", "odd")[int(items[0]) % 2],
    "wordlen": lambda items: str(len(items[0])),
    "upper": lambda items: items[0].upper(),
    "spell": lambda items: " ".join(items[0]),
    "antonym": lambda items: lexicon.OPPOSITES[items[0]],
    "capital": lambda items: lexicon.CAPITALS[items[0]],
}
LISTS: dict[str, Callable[[list[str]], Sequence[str]]] = {
    "reverse": lambda items: items[::-1],
    "sort": lambda items: sorted(items, key=str.lower),
    "drop_first": lambda items: items[1:],
    "drop_last": lambda items: items[:-1],
    "first_and_last": lambda items: [items[0], items[-1]],
    "unique": lambda items: sorted(set(items), key=items.index),
}


def _turns(task: Task, held: bool = False, count: int = 12) -> list[Turn]:
    rng = Random(7)
    return [task.draw(rng, held) for _ in range(count)]


@cache
def _drawn(held: bool) -> list[Task]:
    rng = Random(11)
    return [make(rng, held) for make in (rules.rule, pairs.pair, tables.table) for _ in range(30)]


def _items(text: str) -> list[str]:
    return text.replace(" , ", " ").split()


@pytest.mark.parametrize("name", [*ANSWERS, *LISTS])
def test_an_answer_is_what_the_task_states(name: str) -> None:
    tasks = [task for task in FIXED if task.name == name]

    assert tasks
    for turn in (turn for task in tasks for held in (False, True) for turn in _turns(task, held)):
        items, answer = _items(turn.inputs["text"]), turn.outputs["answer"]
        if name in ANSWERS:
            assert answer == ANSWERS[name](items)
        else:
            assert _items(answer) == list(LISTS[name](items))


def test_a_list_keeps_to_one_separator() -> None:
    for task in lists.TASKS:
        separators = {" , " in turn.inputs["text"] for turn in _turns(task) if " " in turn.inputs["text"]}

        assert len(separators) == 1, task.name


def test_the_item_asked_for_is_found() -> None:
    for task in lists.TASKS:
        if task.name.startswith("find_"):
            kind = task.name.removeprefix("find_")
            for turn in _turns(task):
                found = [word for word in _items(turn.inputs["text"]) if word in lexicon.CATEGORIES[kind]]
                assert found == [turn.outputs["answer"]]


def test_words_are_held_out_or_shown_and_never_both() -> None:
    shown, held = set(lexicon.words(False)), set(lexicon.words(True))

    assert not shown & held
    assert shown | held == set(lexicon.WORDS)
    assert len(lexicon.WORDS) > 900
    assert 0.08 < len(held) / len(lexicon.WORDS) < 0.2
    assert not held & set(lexicon.CATEGORIES)


def test_a_name_is_held_out_or_shown_as_asked() -> None:
    rng = Random(3)

    assert not any(lexicon.held(lexicon.name(rng)) for _ in range(200))
    assert all(lexicon.held(lexicon.name(rng, held=True)) for _ in range(200))
    assert all(lexicon.held(part) for part in lexicon.person(rng, held=True).split())


@pytest.mark.parametrize("held", [False, True])
def test_a_list_is_all_of_words_that_are_shown_or_all_of_held_out_ones(held: bool) -> None:
    contents = ("first", "reverse", "sort", "count", "plural_last", "nth", "contains", "unique")

    for task in (task for task in lists.TASKS if task.name in contents):
        drawn = [word for turn in _turns(task, held) for word in _items(turn.inputs["text"])]
        assert {lexicon.held(word) for word in drawn} == {held}, task.name


def test_held_out_wordings_are_three_and_never_trained() -> None:
    for task in (*FIXED, *_drawn(False), *_drawn(True)):
        assert len(set(task.held)) == 3, task.name
        assert len(set(task.precise)) == len(task.precise) >= 6, task.name
        assert not {_plain(text) for text in task.held} & {_plain(text) for text in task.precise}, task.name


def _plain(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def test_no_wording_is_held_out_of_one_task_and_trained_in_another() -> None:
    trained = {text for task in FIXED for text in task.precise}
    held = {text for task in FIXED for text in task.held}

    assert not trained & held


@pytest.mark.parametrize("held", [False, True])
def test_a_value_is_one_line_without_the_end_token(held: bool) -> None:
    for task in (*FIXED, *_drawn(held)):
        for turn in _turns(task, held, 4):
            for value in (*turn.inputs.values(), *turn.outputs.values(), *task.precise, *task.held):
                assert value == value.strip()
                assert value
                assert "\n" not in value
                assert END not in value


def test_reasoning_comes_before_the_answer() -> None:
    seen = 0
    for task in (*FIXED, *_drawn(False)):
        for turn in _turns(task, count=2):
            if REASONING in turn.outputs:
                assert list(turn.outputs) == [REASONING, "answer"]
                seen += 1

    assert seen > 10


def test_answers_keep_to_the_labels_and_meet_each_of_them() -> None:
    for task in (*FIXED, *_drawn(False), *_drawn(True)):
        if task.labels:
            answers = {list(turn.outputs.values())[-1] for turn in _turns(task, count=25)}
            assert answers == set(task.labels), task.name


def test_the_fields_of_a_turn_never_get_the_same_name() -> None:
    for task in FIXED:
        turn = task.draw(Random(0), False)
        known = {**NAMES, **task.names}
        names = [name for key in (*turn.inputs, *turn.outputs) for name in known.get(key, (key,))]
        assert len(set(names)) == len(names), task.name


def test_rules_combine_parts_that_are_trained_in_combinations_that_are_not() -> None:
    trained, held = set(rules.combinations(False)), set(rules.combinations(True))

    assert not trained & held
    for part in range(3):
        assert {keys[part] for keys in held} <= {keys[part] for keys in trained}


def test_a_rule_does_what_it_states() -> None:
    pick: dict[str, Callable[[list[str]], list[str]]] = {
        "first": lambda items: items[:1],
        "last": lambda items: items[-1:],
        "two": lambda items: items[:2],
        "back": lambda items: items[::-1],
        "df": lambda items: items[1:],
    }
    checked = 0
    for seed in range(300):
        task = rules.rule(Random(seed), False)
        _, selection, operation, wrap = task.name.split("_")
        if selection in pick and operation in ("id", "upper") and wrap in ("paren", "quotes", "bang", "none"):
            turn = task.draw(Random(1), False)
            picked = pick[selection](_items(turn.inputs["text"]))
            expected = [word.upper() if operation == "upper" else word for word in picked]
            assert _items(turn.outputs["answer"].strip('()"! ')) == expected
            checked += 1

    assert checked > 5


def test_a_pair_of_answers_stands_in_the_order_that_is_asked_for() -> None:
    joints = {"a comma": " , ", "a slash": " / ", "an arrow": " -> ", "a semicolon": " ; ", "the word and": " and "}
    years = {
        noun
        for relations in RELATIONS.values()
        for relation in relations.values()
        if all(re.fullmatch(r"\d{4}", relation.value(Random(number), False)) for number in range(20))
        for noun in relation.nouns
    }
    facts = dated = classes = 0
    for seed in range(400):
        task = pairs.pair(Random(seed), bool(seed % 2))
        asked = re.fullmatch(r"First (.+) , then (.+) ; put (.+) between the two\.", task.precise[2])
        if asked is None or asked[3] not in joints:
            continue
        turn = task.draw(Random(seed), bool(seed % 2))
        (text,), (answer,) = turn.inputs.values(), turn.outputs.values()
        answers = answer.split(joints[asked[3]])
        if task.large:
            assert all(each in text for each in answers) and answers[0] != answers[1]
            facts += 1
        for said, got in zip((asked[1], asked[2]), answers, strict=True):
            if task.large and said in years:
                assert re.fullmatch(r"\d{4}", got)
                dated += 1
            if said == "the tense":
                assert got in ("past", "present", "future")
                classes += 1
            if said == "the time of day":
                assert got in ("morning", "noon", "evening", "night")
                classes += 1

    assert facts > 20 and dated > 5 and classes > 5


def test_words_change_places_as_is_said_and_the_ends_never_swap() -> None:
    places = {"first": 0, "second": 1, "last": -1, "second last": -2}
    swapped = dropped = 0
    for seed in range(600):
        task = pairs.pair(Random(seed), False)
        turn = task.draw(Random(seed), False)
        if task.name == "place_swap":
            found = re.fullmatch(r"Swap the (.+) and the (.+) word\.", task.precise[0])
            assert found and {found[1], found[2]} != {"first", "last"}
            items, answer = _items(turn.inputs["text"]), _items(turn.outputs["answer"])
            one, other = places[found[1]], places[found[2]]
            items[one], items[other] = items[other], items[one]
            assert answer == items
            swapped += 1
        if task.name == "place_without":
            found = re.fullmatch(r"Remove the (.+) word\.", task.precise[0])
            items = _items(turn.inputs["text"])
            assert found
            del items[places[found[1]]]
            assert _items(turn.outputs["answer"]) == items
            dropped += 1

    assert swapped > 30 and dropped > 10


def test_a_row_has_the_class_that_its_stated_limit_gives() -> None:
    checked = 0
    for seed in range(80):
        task = tables.table(Random(seed), False)
        said = task.precise[3].removeprefix("Use this rule : if ").split()
        if task.name == "table_threshold" and said[1] in "<>":
            column, sign, limit = said[:3]
            for turn in _turns(task):
                value, output = float(turn.inputs[column]), list(turn.outputs.values())[-1]
                true = value < float(limit) if sign == "<" else value > float(limit)
                assert output == task.labels[0 if true else 1]
            checked += 1

    assert checked > 5


def test_the_columns_and_labels_of_a_held_out_table_are_never_trained() -> None:
    def names(held: bool) -> set[str]:
        drawn = (tables.table(Random(seed), held) for seed in range(100))
        return {name for task in drawn for name in (*task.draw(Random(0), held).inputs, *task.labels)}

    assert not names(False) & names(True)


def test_the_same_seed_draws_the_same_in_another_process() -> None:
    code = (
        "from random import Random\n"
        "from lmprog.lm.tiny.curriculum import lists, numbers, rules, tables, words\n"
        "rng = Random(5)\n"
        "for task in (*words.TASKS, *lists.TASKS, *numbers.TASKS, rules.rule(rng, False), tables.table(rng, True)):\n"
        "    print(task.name, task.draw(rng, False), task.draw(rng, True), task.precise)\n"
    )

    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(code)
    there = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    )

    assert here.getvalue() == there.stdout
