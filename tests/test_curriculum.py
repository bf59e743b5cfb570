"""The curriculum: what training shows, what it never shows, and how an example is laid out."""

import os
import re
import subprocess
import sys
from functools import cache
from hashlib import sha256
from random import Random

import pytest

from lmprog.lm.tiny.curriculum import (
    END,
    HELD_KINDS,
    HELD_VAGUE,
    MIX,
    OUTSIDE,
    VAGUE,
    Example,
    Task,
    critique,
    describe,
    example,
    further,
    induce,
    judge,
    label_map,
    meta_tasks,
    named_tasks,
    paraphrase,
    propose,
    rule,
    segments,
    spoken,
    table,
    training_example,
)  # fmt: skip
from lmprog.lm.tiny.curriculum.further import alike, composed
from lmprog.lm.tiny.curriculum.lexicon import held as is_held
from lmprog.lm.tiny.curriculum.maps import HELD_WORDINGS, TRAINED_KINDS, WORDINGS
from lmprog.lm.tiny.template import heading, outputs_in

MANY = 1500


@cache
def trained() -> list[Example]:
    rng = Random(7)
    return [training_example(rng) for _ in range(MANY)]


def task_named(name: str) -> Task:
    return next(task for task in (*named_tasks(), *meta_tasks()) if task.name == name)


def digest() -> str:
    rng = Random(3)
    texts = [text for _ in range(60) for text, _ in segments(training_example(rng))]
    return sha256("".join(texts).encode()).hexdigest()


def test_training_draws_every_group_about_as_often_as_the_mix_says() -> None:
    families = [found.family for found in trained()]
    groups = {"maps": "maps", "rules": "rule", "pairs": "pairs", "tables": "table", "meta": "meta", "tools": "tools"}

    for group, family in groups.items():
        assert families.count(family) / MANY == pytest.approx(MIX[group], abs=0.035)


def test_training_draws_every_family_of_the_named_tasks() -> None:
    assert {task.family for task in named_tasks()} <= {found.family for found in trained()}


def test_every_meta_task_is_trained() -> None:
    assert {task.name for task in meta_tasks()} <= {found.task for found in trained()}


def test_no_trained_example_carries_a_held_wording() -> None:
    never = {wording for task in (*named_tasks(), *meta_tasks(), *OUTSIDE) for wording in task.held}

    for found in trained():
        assert found.instruction not in never
        assert not {value for turn in found.turns for value in (*turn.inputs.values(), *turn.outputs.values())} & never


def test_further_wordings_are_of_a_task_and_none_is_nearly_a_held_one() -> None:
    tasks = {task.name: task for task in named_tasks()}

    assert set(further.tasks()) <= {*tasks, "ex", "find"}
    for task in tasks.values():
        assert len(set(task.further)) == len(task.further) >= 10, task.name
        assert not set(task.further) & set(task.precise), task.name
        near = [(wording, held) for wording in task.further for held in task.held if alike(wording, held)]
        assert not near
        assert not [wording for wording in task.further if "{" in wording or not wording.isascii()], task.name


def test_a_composed_wording_asks_for_what_the_task_gives_and_is_like_no_held_one() -> None:
    rng = Random(0)
    assert alike(
        "Only the two letters at the start of the word are wanted.",
        "Wanted : the two letters at the start of the word.",
    )
    for task in named_tasks():
        found = {composed(task.name, rng, task.held) for _ in range(30)}
        if found == {None}:
            continue
        wordings = {wording for wording in found if wording is not None}
        assert len(wordings) > 20, task.name
        assert not [wording for wording in wordings if "{" in wording or "  " in wording or not wording.isascii()]
        assert not [wording for wording in wordings for held in task.held if alike(wording, held)]


def test_training_draws_composed_wordings_and_a_held_wording_stays_one() -> None:
    task, rng = task_named("sort"), Random(1)
    written = {*task.precise, *task.further}

    trained = [example(task, rng, style="precise", demos=0).instruction for _ in range(400)]
    held = {example(task, rng, style="precise", demos=0, held_wording=True).instruction for _ in range(100)}

    assert 0.4 < sum(wording not in written for wording in trained) / len(trained) < 0.6
    assert held == set(task.held)


def test_some_trained_instructions_come_with_words_that_change_nothing() -> None:
    task, rng = task_named("react"), Random(1)
    written = {*task.precise, *task.further}

    trained = [example(task, rng, style="precise", demos=0).instruction for _ in range(400)]
    dressed = [text for text in trained if text not in written]

    assert 0.06 < len(dressed) / len(trained) < 0.2
    assert all(any(own in text for own in written) for text in dressed)


def test_no_trained_label_map_is_worded_as_a_held_one() -> None:
    starts = tuple(frame.split("{")[0] for frame, _ in HELD_WORDINGS)

    instructions = [found.instruction for found in trained() if found.family == "maps" and found.style == "precise"]

    assert instructions
    assert not [instruction for instruction in instructions if instruction.startswith(starts)]


def test_no_trained_example_carries_a_held_vague_instruction() -> None:
    never = [re.compile(".+".join(map(re.escape, re.split(r"\{\w+\}", template)))) for template in HELD_VAGUE]

    assert not [found for found in trained() if any(pattern.fullmatch(found.instruction) for pattern in never)]


def test_no_trained_example_maps_a_held_kind_of_input() -> None:
    rng = Random(0)
    drawn = {label_map(rng).name for _ in range(600)} | {found.task for found in trained() if found.family == "maps"}

    assert drawn == {f"map_{kind}" for kind in TRAINED_KINDS}
    assert not drawn & {f"map_{kind}" for kind in HELD_KINDS}


def test_no_trained_example_is_of_a_task_outside_the_curriculum() -> None:
    outside = {task.name for task in OUTSIDE}
    wordings = {wording for task in OUTSIDE for wording in task.precise}

    assert not outside & {task.name for task in (*named_tasks(), *meta_tasks())}
    assert not [found for found in trained() if found.task in outside or found.instruction in wordings]


def test_trained_and_held_labels_share_no_word() -> None:
    rng = Random(1)

    shown = {word for _ in range(300) for label in label_map(rng, False).labels for word in label.split()}
    never = {word for _ in range(300) for label in label_map(rng, True).labels for word in label.split()}

    assert not [word for word in shown if is_held(word)]
    assert all(is_held(word) for word in never)


def test_there_are_as_many_wordings_and_kinds_as_promised() -> None:
    assert len(VAGUE) >= 20
    assert len(HELD_VAGUE) == len(HELD_WORDINGS) == len(HELD_KINDS) == len(OUTSIDE) == 3
    assert len(WORDINGS) >= 14
    assert len(TRAINED_KINDS) >= 20
    assert all(len(task.precise) >= 5 and len(task.held) == 3 for task in (*named_tasks(), *meta_tasks()))


@pytest.mark.parametrize("kind", [*TRAINED_KINDS, *HELD_KINDS])
def test_demos_of_a_label_map_cover_every_label_where_there_are_enough(kind: str) -> None:
    rng = Random(5)
    task = label_map(rng, True, kind=kind)

    found = example(task, rng, style="vague", demos=5, held=True, renamed=False)

    assert {turn.outputs["answer"] for turn in found.turns[:-1]} == set(task.labels)


def test_demos_of_a_classification_cover_every_class_where_there_are_enough() -> None:
    for task in [task for task in named_tasks() if task.family == "classification" and task.labels]:
        found = example(task, Random(2), demos=len(task.labels), renamed=False)

        assert sorted(turn.outputs["answer"] for turn in found.turns[:-1]) == sorted(task.labels)


def test_no_demo_shows_the_question() -> None:
    for number in range(40):
        *demos, question = example(task_named("reverse"), Random(number), demos=4).turns

        assert question.inputs not in [demo.inputs for demo in demos]


def test_fields_are_named_the_same_in_all_turns() -> None:
    for found in trained():
        assert len({tuple(turn.inputs) for turn in found.turns}) == 1, found.task
        assert all(not set(turn.inputs) & set(turn.outputs) for turn in found.turns)
        if found.family != "tools":
            assert len({tuple(turn.outputs) for turn in found.turns}) == 1, found.task


def test_fields_keep_their_first_name_unless_renamed() -> None:
    for number in range(20):
        (turn,) = example(task_named("topic"), Random(number), demos=0, renamed=False).turns

        assert (tuple(turn.inputs), tuple(turn.outputs)) == (("text",), ("answer",))


def test_a_vague_instruction_may_name_the_fields_and_nothing_else() -> None:
    found = [example(task_named("topic"), Random(n), style="vague", demos=0, renamed=False) for n in range(200)]

    assert "Given the fields `text`, produce the fields `answer`." in {one.instruction for one in found}
    assert "Given `text`, write `answer`." in {one.instruction for one in found}


def test_a_labels_first_showing_hardly_weighs_where_the_instruction_does_not_tell_it() -> None:
    task = label_map(Random(4))

    vague = example(task, Random(4), style="vague", demos=5)
    precise = example(task, Random(4), style="precise", demos=5)

    shown = [next(iter(turn.outputs.values())) for turn in vague.turns]
    assert list(vague.weights) == [1.3 if label in shown[:i] else 0.08 for i, label in enumerate(shown)]
    assert set(precise.weights) == {1.3}


def test_a_task_told_in_a_chat_says_all_of_its_instruction_and_of_its_input_in_one_message() -> None:
    told, rng = set[str](), Random(0)
    for _ in range(2000):
        asked = example(task_named("plural"), rng, style="precise", demos=0, renamed=False)
        (turn,) = asked.turns
        (noun,) = turn.inputs.values()

        found = spoken(asked, rng)

        assert (found.instruction, found.weights) == ("", asked.weights)
        assert found.turns[0].outputs == {"answer": turn.outputs["answer"]}
        (said,) = found.turns[0].inputs.values()
        assert noun in said
        meant = {"", "the word", "this word", "the noun", "this noun", "the given noun", "the given word", "the input"}
        whole = {
            re.sub(r"\W", "", asked.instruction.replace(name, "", 1)) for name in meant if name in asked.instruction
        }
        assert re.sub(r"\W", "", re.sub(rf"\b{noun}\b", "", said, count=1)) in whole
        told.add(said.replace(noun, "dog"))
    assert {"What is the plural of dog?", "What is the plural of dog ?"} <= told


def test_training_holds_chats_of_one_message_and_their_inputs_are_short() -> None:
    chats = [found for found in trained() if found.style == "precise" and not found.instruction]

    assert 0.01 < len(chats) / MANY < 0.06
    for found in chats:
        (turn,) = found.turns
        assert set(turn.inputs) == {"text"} and set(turn.outputs) == {"answer"}
        assert len(turn.inputs["text"]) < 600


def test_an_example_reads_back_as_what_it_is_made_of() -> None:
    for found in trained()[:400]:
        text = "".join(part for part, _ in segments(found))
        *turns, rest = text.split(END)

        assert rest == ""
        assert all(re.match(r"\[\[ \S+ \]\] ?", line) for turn in turns for line in turn.strip("\n").split("\n"))
        *_, question = found.turns
        first = next(iter(question.outputs))
        completion = turns[-1].rsplit(f"\n{heading(first)}", 1)[1]
        assert outputs_in(completion, first) == [(name, value.strip()) for name, value in question.outputs.items()]


def test_an_induced_instruction_is_a_trained_wording_of_the_task_that_the_examples_follow() -> None:
    task = task_named("last_letter")

    turn = induce([task], rows=0).draw(Random(0), False)

    assert turn.outputs["instruction_text"] in task.precise
    assert all(
        given[-1] == right for given, right in (pair.split(" -> ") for pair in turn.inputs["examples"].split(" | "))
    )


def test_a_proposal_is_asked_for_with_the_fields_of_the_grounded_proposer() -> None:
    task = task_named("last_letter")
    order = ["program", "step", "data_summary", "examples", "instruction_text", "tip"]

    for number in range(20):
        turn = propose([task]).draw(Random(number), False)

        assert list(turn.inputs) == [part for part in order if part in turn.inputs]
        assert turn.outputs["new_instruction"] in task.precise


def test_a_paraphrase_is_another_wording() -> None:
    turn = paraphrase([task_named("last_letter")]).draw(Random(0), False)

    assert turn.inputs["instruction_text"] != turn.outputs["new_instruction"]


def test_a_critique_shows_what_was_got_and_what_was_expected() -> None:
    task = task_named("last_letter")

    turn = critique([task, task_named("first_letter")]).draw(Random(1), False)

    assert re.match(r"\S+ -> got .+ , expected ", turn.inputs["failures"])
    assert turn.outputs["new_instruction"] in {*task.precise, *task_named("first_letter").precise}


def test_a_judge_names_the_answer_that_is_right() -> None:
    for number in range(40):
        turn = judge([task_named("last_letter")]).draw(Random(number), False)

        assert turn.inputs[turn.outputs["answer"]] == turn.inputs["text"][-1]
        assert turn.inputs["first"] != turn.inputs["second"]


def test_a_description_tells_the_fields_and_the_task() -> None:
    turn = describe([task_named("topic")]).draw(Random(0), False)

    assert turn.inputs["rows"].startswith('{"')
    assert any(wording in turn.outputs["summary"] for wording in task_named("topic").precise)


def test_fresh_tasks_are_made_with_held_wordings_too() -> None:
    for make in (label_map, rule, table):
        assert make(Random(0), True).held


def test_the_same_seed_gives_the_same_examples_in_another_process() -> None:
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_curriculum as t; print(t.digest())"
    )

    environment = {**os.environ, "PYTHONHASHSEED": "4321"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)

    assert there.stdout.strip() == digest()
