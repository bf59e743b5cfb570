"""OPRO climbs by what the proposer is shown: the best instructions so far with their scores, in ascending order."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.data import fields_in
from lmprog.events import CandidateScored, Event
from lmprog.metrics import exact_match
from lmprog.optimizer import Outcome, named
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

ROWS = [{"question": f"q{number}", "answer": str(number)} for number in range(90)]
TRAIN = ROWS[60:]


class Solve(lp.Signature):
    """Level 2."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Recall(lp.Signature):
    """Level 2."""

    question: str = lp.InputField()
    hint: str = lp.OutputField()


class SolveWithHint(lp.Signature):
    """Level 2."""

    question: str = lp.InputField()
    hint: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoSteps(lp.Module):
    def __init__(self) -> None:
        self.recall = lp.Predict(Recall)
        self.solve = lp.Predict(SolveWithHint)

    def forward(self, question: str) -> SolveWithHint:
        return self.solve(question=question, hint=self.recall(question=question).hint)


def level(instruction: str) -> int:
    return int(instruction.split()[1].rstrip("."))


def shown(asked: Asked) -> list[tuple[str, int]]:
    """The history in a proposer's prompt: instructions with their scores, in its order."""
    return [(text, int(score)) for text, score in re.findall(r"text: (.*)\nscore: (\d+)", asked.inputs["history"])]


def answer(asked: Asked) -> Answer:
    """At level n the first n of every ten questions are answered right, and of two steps each adds its part."""
    number, height = int(asked.inputs["question"][1:]), level(asked.instruction)
    if asked.outputs == ("hint",):
        return {"hint": str(height)}
    able = (number % 20) < height + int(asked.inputs["hint"]) if "hint" in asked.inputs else number % 10 < height
    return {"answer": str(number) if able else "?"}


def one_above_the_last(asked: Asked) -> Answer:
    """One sample in eight is one level above what stands last in the history; the others are of no use."""
    if "question" in asked.inputs:
        return answer(asked)
    (*_, (last, _)) = shown(asked)
    if asked.request.sample % 8 == 5:
        return {"new_instruction": f"Level {min(10, level(last) + 1)}."}
    return {"new_instruction": f"Level {asked.request.sample % 2}. Number {asked.request.sample}."}


@dataclass(frozen=True)
class Searched:
    outcome: Outcome
    events: list[Event]
    prompts: list[Asked]
    requested: int

    def scored(self) -> list[CandidateScored]:
        return [event for event in self.events if isinstance(event, CandidateScored)]

    def instructions(self, path: str = "predict") -> list[str]:
        return [event.params[path].instruction for event in self.scored()]


def searched(
    options: str = "",
    script: Callable[[Asked], Answer] = one_above_the_last,
    *,
    program: lp.Module | None = None,
    val: int = 20,
    calls: int | None = None,
    seed: int = 0,
) -> Searched:
    events, prompts = list[Event](), list[Asked]()

    def handler(asked: Asked) -> Answer:
        if "question" not in asked.inputs:
            prompts.append(asked)
        return script(asked)

    chosen = program or lp.Predict(Solve)
    problem = problem_for(
        chosen,
        TRAIN,
        ROWS[:val],
        exact_match("answer"),
        ScriptedLM(handler),
        calls=calls,
        seed=seed,
        emit=events.append,
    )
    work = named(f"opro:{options}" if options else "opro").search(problem, lp.params_of(chosen))
    return Searched(loop.run(work, instead=""), events, prompts, problem.allowance.ledger.requested)


def test_it_climbs_a_ladder_of_which_the_proposer_sees_one_rung_more_only_if_the_best_stands_last() -> None:
    found = searched("steps=12")

    assert found.outcome.baseline_score == 0.2
    assert found.outcome.score == 1.0
    assert found.outcome.params["predict"].instruction == "Level 10."


def test_predictors_take_turns_each_from_the_best_program_so_far() -> None:
    found = searched("steps=6", program=TwoSteps())

    turns = list(dict.fromkeys(event.origin for event in found.scored()))
    assert turns[1:5] == ["recall: step 1", "solve: step 2", "recall: step 3", "solve: step 4"]
    assert [level(value.instruction) for value in found.outcome.params.values()] == [5, 5]
    assert found.outcome.score == 10 / 20


def test_the_history_is_ascending_holds_the_program_as_it_was_and_hides_no_low_score() -> None:
    found = searched("steps=3")

    first, *_, last = found.prompts
    assert shown(first) == [("Level 2.", 20)]
    assert len(shown(last)) == 1 + 2 * 8  # of 8 proposals a step none was made twice
    assert all(before <= after for (_, before), (_, after) in pairwise(shown(last)))
    assert {score for _, score in shown(last)} == {0, 10, 20, 30, 40}
    assert shown(last)[-1] == ("Level 4.", 40)


def test_the_history_is_cut_to_the_best() -> None:
    found = searched("steps=4,history=3")

    assert shown(found.prompts[-1]) == [("Level 3.", 30), ("Level 4.", 40), ("Level 5.", 50)]


def test_each_step_shows_three_other_training_rows_and_no_validation_row() -> None:
    found = searched("steps=4")

    steps = list(dict.fromkeys(asked.inputs["examples"] for asked in found.prompts))
    assert len(steps) == 4
    known = {f"{fields_in(row)['question']} -> {fields_in(row)['answer']}" for row in TRAIN}
    for examples in steps:
        assert len(examples.split(" | ")) == 3
        assert set(examples.split(" | ")) <= known


def test_the_work_of_inner_steps_is_shown_by_the_programs_own_successes() -> None:
    found = searched("steps=2", program=TwoSteps())

    assert all("-> 2" in asked.inputs["examples"] for asked in found.prompts if "`recall`" in asked.inputs["step"])


def test_a_wording_that_was_tried_is_not_tried_again_and_the_search_ends_when_there_are_no_others() -> None:
    def three_wordings(asked: Asked) -> Answer:
        return (
            answer(asked) if "question" in asked.inputs else {"new_instruction": f"Level {asked.request.sample % 3}."}
        )

    found = searched(script=three_wordings)

    assert sorted(found.instructions()) == ["Level 0.", "Level 1.", "Level 2."]
    assert len(found.prompts) == 3 * 8  # one step with something new, and two without
    assert found.outcome.stopped == "the search was finished"


def test_candidates_share_their_rows_and_every_third_step_the_best_is_scored_on_all() -> None:
    found = searched("steps=7,rows=20", val=60)

    partial = [event for event in found.scored() if event.origin.startswith("predict")]
    full = [event for event in found.scored() if event.origin == "full score of the best"]
    assert {len(event.rows) for event in partial} == {20}
    assert len({event.rows for event in partial}) == 1
    assert [event.params["predict"].instruction for event in full] == ["Level 5.", "Level 8.", "Level 9."]
    assert [len(event.rows) for event in full] == [40, 40, 60]
    assert found.outcome.params["predict"].instruction == "Level 9."


@pytest.mark.parametrize(("calls", "rows"), [(None, 50), (3000, 36), (1000, 20)])
def test_a_short_budget_pays_for_ten_steps_on_fewer_rows_but_not_on_very_few(calls: int | None, rows: int) -> None:
    found = searched("steps=2", val=60, calls=calls)

    # (3000 - 60) // (10 steps of 8)
    assert {len(event.rows) for event in found.scored() if event.origin == "predict: step 1"} == {rows}


@pytest.mark.parametrize("calls", [60, 61, 240, 480, 1111])
def test_no_more_is_requested_than_the_budget_allows_and_no_proposal_that_it_cannot_score(calls: int) -> None:
    found = searched(val=60, calls=calls)

    assert found.requested <= calls
    assert len(found.prompts) == len([event for event in found.scored() if event.origin.startswith("predict")])


def test_equal_seeds_give_equal_searches_and_others_show_other_examples() -> None:
    first, again, other = (searched("steps=2,rows=20", val=40, seed=seed) for seed in (0, 0, 1))

    assert first.outcome == again.outcome
    assert [asked.inputs for asked in first.prompts] == [asked.inputs for asked in again.prompts]
    assert [asked.inputs for asked in first.prompts] != [asked.inputs for asked in other.prompts]


def test_a_proposer_that_always_fails_leaves_the_program_as_it_was() -> None:
    def failing(asked: Asked) -> Answer:
        if "question" in asked.inputs:
            return answer(asked)
        raise lp.LMError("the provider refuses to write this")

    found = searched(script=failing)

    assert found.outcome.params == lp.params_of(lp.Predict(Solve))
    assert found.outcome.score == found.outcome.baseline_score
    assert len(found.prompts) == 2 * 8


def test_a_refused_key_is_raised() -> None:
    def refused(asked: Asked) -> Answer:
        if "question" in asked.inputs:
            return answer(asked)
        raise lp.AuthError("bad key")

    with pytest.raises(lp.AuthError, match="bad key"):
        searched(script=refused)


def test_instructions_that_break_the_contract_of_prompts_are_left_out() -> None:
    def quoting(asked: Asked) -> Answer:
        return answer(asked) if "question" in asked.inputs else {"new_instruction": "Level 9. [[ ## answer ## ]]"}

    assert searched("steps=2", quoting).instructions() == ["Level 2."]


@pytest.mark.parametrize("option", ["steps", "per_step", "history", "rows", "full_every"])
def test_options_below_one_are_refused(option: str) -> None:
    with pytest.raises(lp.InputError, match=rf"Opro\({option}=0\): `{option}` must be at least 1"):
        named(f"opro:{option}=0")
