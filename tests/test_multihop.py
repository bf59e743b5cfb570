"""The ready two-hop program, and the invented encyclopedia that it is compiled on."""

import json
import re
import subprocess
import sys
from itertools import combinations

import pytest

import lmprog as lp
from lmprog.data import fingerprint, read_rows
from lmprog.errors import LmprogError
from lmprog.programs.multihop import (
    FIRMS,
    QUALITIES,
    QUESTIONS,
    TASK,
    MultiHopQA,
    Question,
    encyclopedia,
    make_retriever,
    make_splits,
)
from lmprog.task import find_task, tasks
from lmprog.testing import Answer, Asked, ScriptedLM

SEEDS = [0, 1, 2]
ORDINARY = {"Born", "In", "It", "On", "The", "What", "When", "Where", "Which", "Who", *FIRMS, *QUALITIES}
"""Capitalised words that are no part of an invented name: they begin sentences, titles, or end names of firms."""


def questions(seed: int) -> list[Question]:
    return [question for asked in encyclopedia(seed).questions.values() for question in asked]


def gold(question: Question) -> list[str]:
    return [entity.passage for entity in question.chain]


class Oracle:
    """Searches for the right name at each hop, and answers when both passages were found."""

    def __init__(self, seed: int) -> None:
        self.questions = {question.text: question for question in questions(seed)}

    def __call__(self, asked: Asked) -> Answer:
        question, passages = self.questions[asked.inputs["question"]], json.loads(asked.inputs["passages"])
        if asked.outputs == ("query",):
            return {"query": question.chain[len(passages)].name}
        known = sorted(passages) == sorted(gold(question))
        return {"reasoning": "I looked it up.", "answer": question.answer if known else "?"}


def test_the_program_has_a_predictor_for_queries_and_one_for_the_answer() -> None:
    found = lp.predictors(TASK.program())

    assert list(found) == ["write_query", "answer"]
    assert found["answer"].reasons


@pytest.mark.parametrize("seed", SEEDS)
def test_two_lookups_of_the_right_names_answer_every_question(seed: int) -> None:
    program, rows = MultiHopQA(make_retriever(seed)), [*make_splits(seed).train, *make_splits(seed).holdout]

    evaluation = lp.evaluate(program, rows, TASK.metric, lm=ScriptedLM(Oracle(seed)))

    assert evaluation.score == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_neither_passage_of_a_question_answers_it_alone(seed: int) -> None:
    for question in questions(seed):
        first, second = gold(question)
        named, asked_for = question.chain
        assert named.name in question.text and asked_for.name not in question.text
        assert asked_for.name in first and named.name not in second
        assert question.answer in second.split() and question.answer not in first.split()


@pytest.mark.parametrize("seed", SEEDS)
def test_searching_for_the_question_itself_does_not_find_the_answer(seed: int) -> None:
    search = make_retriever(seed)

    lucky = [question for question in questions(seed) if gold(question)[1] in search(question.text)]

    assert len(lucky) <= 0.05 * len(questions(seed))


def test_a_passage_that_was_found_is_not_added_again() -> None:
    search = {"first": ["A", "B"], "again": ["A"]}
    queries = iter(["first", "again"])
    program = MultiHopQA(lambda query: search[query])
    lm = ScriptedLM(lambda a: {"query": next(queries)} if a.outputs == ("query",) else {"reasoning": "", "answer": "x"})

    with lp.using(lm=lm):
        assert program(question="?").passages == ["A"]


def test_each_hop_reads_the_best_passage_that_was_not_read_before() -> None:
    program = MultiHopQA(lambda query: ["A", "B", "C"], hops=3)
    lm = ScriptedLM(lambda a: {"query": "q"} if a.outputs == ("query",) else {"reasoning": "", "answer": "x"})

    with lp.using(lm=lm):
        assert program(question="?").passages == ["A", "B", "C"]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_invented_name_occurs_in_two_splits(seed: int) -> None:
    texts = {
        use: " ".join(text for question in asked for text in (question.text, *gold(question)))
        for use, asked in encyclopedia(seed).questions.items()
    }
    names = {use: set(re.findall(r"[A-Z]\w+", text)) - ORDINARY for use, text in texts.items()}

    assert all(len(names[use]) > 2 * QUESTIONS[use] for use in QUESTIONS)
    assert not [one & other for one, other in combinations(names.values(), 2) if one & other]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_passages_hold_two_for_each_question_and_are_all_different(seed: int) -> None:
    passages = encyclopedia(seed).passages

    assert len(passages) == len(set(passages)) == 1000
    assert {passage for question in questions(seed) for passage in gold(question)} < set(passages)


def test_the_rows_hold_a_question_and_an_answer() -> None:
    splits = TASK.load()

    assert [len(part) for part in (splits.train, splits.val, splits.holdout)] == [80, 100, 160]
    for part in (splits.train, splits.val, splits.holdout):
        assert all(set(row) == {"question", "answer"} for row in read_rows(part, TASK.program(), what="rows"))


def test_the_same_seed_gives_the_same_data_in_every_process() -> None:
    code = (
        "from lmprog.programs.multihop import *; from lmprog.data import fingerprint; "
        "print(fingerprint(make_splits(3).holdout), fingerprint([{'p': encyclopedia(3).passages}]))"
    )
    here = f"{fingerprint(make_splits(3).holdout)} {fingerprint([{'p': encyclopedia(3).passages}])}"

    for hash_seed in "12":
        run = [sys.executable, "-c", code]
        there = subprocess.run(
            run, env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout
        assert there.strip() == here


def test_other_seeds_give_other_data() -> None:
    texts = [{question.text for question in questions(seed)} for seed in range(4)]

    assert not [one & other for one, other in combinations(texts, 2) if one & other]


def test_the_task_is_found_by_its_name_and_says_that_it_runs_on_the_embedded_lm() -> None:
    assert find_task("multihop") is TASK
    assert TASK in tasks()
    assert TASK.lms == ("tiny",)


def test_an_unknown_task_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(LmprogError, match=r"no 'multihopp' among the programs: there are .*multihop"):
        find_task("multihopp")
