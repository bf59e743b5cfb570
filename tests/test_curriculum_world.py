"""The made-up encyclopedia that the embedded LM reads, and the tasks of questions and tools on it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from random import Random

import pytest

from lmprog.lm.tiny.curriculum import further, labels, questions, tools
from lmprog.lm.tiny.curriculum.example import END, REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.further import alike
from lmprog.lm.tiny.curriculum.questions import NOT_FOUND, draw_asked
from lmprog.lm.tiny.curriculum.world import (
    HELD_PART,
    KINDS,
    OPENERS,
    RELATIONS,
    entity,
    passage,
    question,
    statement,
    two_hop,
)

TASKS = {task.name: task for task in (*questions.TASKS, *tools.TASKS)}
DRAWS = 24


@cache
def turns(name: str) -> Sequence[Turn]:
    """Return draws of a task, half of them of what is held out of training."""
    rng = Random(7)
    return [TASKS[name].draw(rng, bool(number % 2)) for number in range(DRAWS)]


def asked(turn: Turn) -> str:
    return turn.inputs["question"]


def test_a_passage_tells_the_facts_of_its_entity_and_no_value_is_empty() -> None:
    rng = Random(1)

    for number in range(300):
        made = entity(rng, KINDS[number % len(KINDS)], held=number % 3 == 0)

        assert made.name in passage(made)
        assert 1 <= len(made.sentences) <= 5
        assert made.facts
        assert all(value in passage(made) for value in made.facts.values())


def test_trained_passages_have_asides_and_joined_sentences_and_held_ones_have_none() -> None:
    before = tuple(aside.rstrip(",") for aside in further.asides("before"))

    def share(held: bool) -> float:
        made = [entity(Random(number), held=held, ordinary=False) for number in range(400)]
        sentences = [sentence for each in made for sentence in each.sentences]
        assert all(sentence.endswith(" .") and "  " not in sentence for sentence in sentences)
        return sum(sentence.startswith(before) for sentence in sentences) / len(sentences)

    assert share(True) == 0
    assert 0.06 < share(False) < 0.3


def test_a_sentence_within_another_begins_small_unless_a_name_begins_it() -> None:
    inside = [
        sentence.split(" and ", 1)[1]
        for number in range(900)
        for made in [entity(Random(number), "city", ordinary=False)]
        for sentence in made.sentences
        if " . " not in sentence and sentence.count(" and ") == 1
    ]

    assert any(text.startswith(("the ", "its ", "it ")) for text in inside)
    assert not [text for text in inside if text.startswith(("The ", "Its ", "It ", "In ", "People "))]


def test_values_that_are_given_are_told() -> None:
    made = entity(Random(2), "city", fixed={"river": "Zork", "mayor": "Ada Nim"}, ordinary=False)

    assert made.facts["river"] == "Zork" and made.facts["mayor"] == "Ada Nim"
    assert "Zork" in passage(made) and "Ada Nim" in passage(made)
    assert statement(made, "river") == f"{made.name} lies on the river Zork ."


def test_about_one_passage_in_seven_is_in_ordinary_punctuation_throughout() -> None:
    rng = Random(3)
    passages = [passage(entity(rng)) for _ in range(1000)]

    ordinary = [text for text in passages if " ." not in text]

    assert 100 < len(ordinary) < 200
    assert not any(" ," in text for text in ordinary)
    assert all(text.count(" .") == text.count(".") for text in passages if text not in ordinary)


def test_wordings_that_are_held_out_never_show_in_training() -> None:
    for kind in KINDS:
        assert len(OPENERS[kind]) >= 10
        for key, relation in RELATIONS[kind].items():
            lists = [relation.sentences, relation.questions, *([relation.phrases] if relation.leads else [])]
            assert all(len(wordings) >= 5 for wordings in lists), (kind, key)
            made = entity(Random(4), kind, fixed={key: "Xyz"})
            trained = {question(Random(seed), made, key) for seed in range(60)}
            held = {question(Random(seed), made, key, held=True) for seed in range(20)}
            assert not trained & held
            assert len(trained) >= 4


def test_further_sentences_of_the_world_are_unlike_those_held_out_and_are_said_of_every_relation() -> None:
    for kind in KINDS:
        assert len(further.openers(kind)) >= 15
        for key, relation in RELATIONS[kind].items():
            told = {"sentences": relation.sentences, "questions": relation.questions, "phrases": relation.phrases}
            for what, known in told.items():
                more = further.sentences(what, kind, key)
                assert len(more) == len(set(more) - set(known)) >= (8 if known else 0), (kind, key, what)
                held = known[len(known) - max(1, len(known) // HELD_PART) :] if known else ()
                assert not [(one, other) for one in more for other in held if alike(one, other)]


@pytest.mark.parametrize("task", [*labels.TASKS, *questions.TASKS, *tools.TASKS], ids=lambda task: task.name)
def test_no_slot_of_a_template_is_left_open(task: Task) -> None:
    rng = Random(9)
    drawn = [task.draw(rng, False) for _ in range(60)]

    values = [value for turn in drawn for value in (*turn.inputs.values(), *turn.outputs.values())]
    assert not [value for value in values if re.search(r"\{\w*\}(?!\})", value) and not value.startswith("{")]


def test_a_passage_on_a_person_begins_with_that_person_as_its_subject() -> None:
    """Else he or she in what follows would be somebody else."""
    others = r"\{spouse\} (is|was|married)|Both \{|.*\band \{spouse\} (are|were)"

    assert not [opener for opener in further.openers("person") if re.match(others, opener)]


def test_a_two_hop_question_needs_both_passages() -> None:
    rng = Random(5)

    for number in range(300):
        chain = two_hop(rng, held=number % 3 == 0)
        first, second = chain.entities

        assert first.name in chain.question and second.name not in chain.question
        assert chain.answer not in passage(first) and chain.answer in passage(second)
        assert second.name in passage(first) and first.name not in passage(second)
        assert second.name in chain.steps[0] and chain.answer in chain.steps[1]


def test_what_is_extracted_stands_in_the_text() -> None:
    extractions = [name for name in TASKS if name.startswith("ex_")]

    assert len(extractions) == 1 + sum(len(relations) for relations in RELATIONS.values())
    for name in extractions:
        assert all(turn.outputs["answer"] in turn.inputs["text"] for turn in turns(name)[:8]), name


@pytest.mark.parametrize("name", ["qa_short", "hop_answer"])
def test_short_answers_stand_in_the_passages(name: str) -> None:
    assert all(turn.outputs["answer"] in turn.inputs["passages"] for turn in turns(name))


@pytest.mark.parametrize("name", ["qa_long", "hop_long", "qa_wrap", "hop_wrap"])
def test_other_styles_are_sentences_in_the_punctuation_of_the_question(name: str) -> None:
    for turn in turns(name):
        spaced = asked(turn).endswith((" ?", " ."))

        assert turn.outputs["answer"].endswith(".")
        assert turn.outputs["answer"].endswith(" .") == spaced
        assert turn.outputs["answer"].startswith("The answer is ") == name.endswith("wrap")


def test_styles_of_answers_are_so_frequent_that_a_vague_instruction_leaves_them_open() -> None:
    for short, long, wrap in (("qa_short", "qa_long", "qa_wrap"), ("hop_answer", "hop_long", "hop_wrap")):
        assert TASKS[long].weight / TASKS[short].weight == pytest.approx(0.8)
        assert TASKS[wrap].weight / TASKS[short].weight == pytest.approx(0.6)


def test_passages_that_do_not_tell_lack_the_fact() -> None:
    rng = Random(6)

    for number in range(200):
        untold = draw_asked(rng, held=number % 3 == 0, told=False)

        assert not untold.told
        if untold.about in untold.entities:
            assert untold.relation not in untold.about.facts
        else:
            assert all(untold.about.facts[untold.relation] not in passage(each) for each in untold.entities)


@pytest.mark.parametrize("name", ["qa_not_there", "hop_not_there"])
def test_about_half_of_the_answers_are_not_there(name: str) -> None:
    answers = [turn.outputs["answer"] for turn in turns(name)]

    assert DRAWS / 4 < answers.count(NOT_FOUND) < DRAWS * 3 / 4


def test_the_first_query_stands_in_the_question_and_the_second_in_the_passages() -> None:
    for turn in turns("hop_query"):
        first = turn.outputs[REASONING].startswith("Nothing is known yet")
        assert turn.outputs["query"] in (asked(turn) if first else turn.inputs["passages"])
        assert first or turn.outputs["query"] not in asked(turn)


def test_the_query_that_copies_is_the_question() -> None:
    assert all(turn.outputs == {"query": asked(turn)} for turn in turns("query_copy"))


def test_the_picked_passage_is_one_of_those_numbered() -> None:
    for turn in turns("pick"):
        assert f"[{turn.outputs['answer']}] " in turn.inputs["passages"]
        assert "[2] " in turn.inputs["passages"]


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.labels], ids=lambda task: task.name)
def test_answers_of_tasks_with_labels_are_among_them_and_all_come_up(task: Task) -> None:
    assert {turn.outputs["answer"] for turn in turns(task.name)} == set(task.labels)


def test_a_claim_on_one_entity_is_supported_where_it_is_what_the_passage_tells() -> None:
    for turn in turns("verify"):
        evidence, verdict = turn.outputs[REASONING], turn.outputs["answer"]
        if evidence.count(".") == 1 and verdict != "not enough information":
            assert (evidence == turn.inputs["claim"]) == (verdict == "supported")


@pytest.mark.parametrize("name", ["react", "call", "route"])
def test_tools_that_are_called_are_told_and_their_arguments_are_json(name: str) -> None:
    for turn in turns(name):
        called = turn.outputs.get("next_tool_name") or turn.outputs["tool"]
        told = turn.inputs["tools"]
        assert f"{called}(" in told

        if args := turn.outputs.get("next_tool_args") or turn.outputs.get("args"):
            parameters = told.split(f"{called}(")[1].split(")")[0].split(", ")
            assert list(json.loads(args)) == parameters


def test_an_agent_finishes_with_what_it_has_read() -> None:
    for turn in turns("react"):
        [value] = json.loads(turn.outputs["next_tool_args"]).values()
        if "So I know the answer" in turn.outputs["next_thought"]:
            assert value in turn.inputs["trajectory"]


def test_a_task_has_wordings_for_training_and_three_that_no_task_trains() -> None:
    trained = {wording for task in TASKS.values() for wording in task.precise}

    for task in TASKS.values():
        assert 6 <= len(set(task.precise)) == len(task.precise) <= 9, task.name
        assert len(set(task.held)) == 3, task.name
        assert not trained & set(task.held), task.name


def test_values_are_single_lines_without_the_end_token() -> None:
    for name in TASKS:
        for turn in turns(name)[:8]:
            for value in (*turn.inputs.values(), *turn.outputs.values()):
                assert value and value == value.strip(), name
                assert "\n" not in value and END not in value and "{" not in value.replace('{"', ""), name


DIGEST = """
from json import dumps
from random import Random
from zlib import crc32
from lmprog.lm.tiny.curriculum import further, labels, questions, tools
rng = Random(11)
drawn = [task.draw(rng, held) for task in (*questions.TASKS, *tools.TASKS) for held in (False, True)]
digest = crc32(dumps([[dict(turn.inputs), dict(turn.outputs)] for turn in drawn]).encode())
"""
"""A program that finds a number that tells whether turns are the same."""


def test_the_same_seed_gives_the_same_turns_in_another_process() -> None:
    here: dict[str, object] = {}

    exec(DIGEST, here)
    there = subprocess.run(
        [sys.executable, "-c", DIGEST + "print(digest)"],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert there.stdout.strip() == str(here["digest"])
