"""GEPA reflects on real failures, goes on from specialists, and crosses two of them."""

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lmprog as lp
from lmprog import loop
from lmprog.events import CandidateScored, Event
from lmprog.metrics import Metric, exact_match
from lmprog.module import params_of
from lmprog.optimizer import Outcome, named
from lmprog.optimizers.gepa import Gepa
from lmprog.optimizers.select.pareto import crossed, frontier, pairs, telling_rows
from lmprog.testing import Answer, Asked, ScriptedLM, check_optimizer, problem_for
from lmprog.testing.scripted import Handler

KINDS = ("ant", "bee", "cat", "dog")
ROWS = [{"question": f"{KINDS[i % 4]} {i}", "answer": f"A{i}"} for i in range(60)]
"""60 rows of four kinds; the first 20 train."""


class Lone(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Note(lp.Signature):
    """Take a note."""

    question: str = lp.InputField()
    note: str = lp.OutputField()


class Reply(lp.Signature):
    """Reply."""

    question: str = lp.InputField()
    note: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoSteps(lp.Module):
    def __init__(self) -> None:
        self.take = lp.Predict(Note)
        self.reply = lp.Predict(Reply)

    def forward(self, question: str) -> Reply:
        return self.reply(question=question, note=self.take(question=question).note)


def kind_of(asked: Asked) -> str:
    return asked.inputs["question"].split()[0]


def right(asked: Asked) -> str:
    return "A" + asked.inputs["question"].split()[1]


def is_task(asked: Asked) -> bool:
    return "question" in asked.inputs


def with_feedback(row: dict[str, str], prediction: Lone) -> lp.Score:
    """What is missing is in the feedback alone."""
    if prediction.answer == row["answer"]:
        return lp.Score(1.0)
    return lp.Score(0.0, feedback=f"say rule-{row['question'].split()[0]}")


def silent(row: dict[str, str], prediction: Lone) -> float:
    return with_feedback(row, prediction).value


def rules(asked: Asked) -> Answer:
    """Each kind of question is right under its own rule; the proposer knows a rule only if feedback names it."""
    if is_task(asked):
        return {"answer": right(asked) if f"rule-{kind_of(asked)}" in asked.instruction else "?"}
    named_rules = re.findall(r"because say (rule-\w+)", asked.inputs.get("failures", ""))
    return {"new_instruction": f"{asked.inputs['instruction_text']} {(named_rules or ['Be good.'])[0]}"}


async def rules_late(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.002)
    return rules(asked)


def searched(
    optimizer: str,
    script: Handler = rules,
    *,
    program: lp.Module | lp.Predict[..., Lone] | None = None,
    metric: Metric = with_feedback,
    calls: int | None = 1500,
    seed: int = 0,
    emit: Callable[[Event], None] = lambda event: None,
) -> Outcome:
    problem = problem_for(
        program or lp.Predict(Lone),
        ROWS[:20],
        ROWS[20:],
        metric,
        ScriptedLM(script),
        calls=calls,
        seed=seed,
        emit=emit,
    )
    outcome = loop.run(named(optimizer).search(problem, params_of(problem.program)), instead="")
    assert calls is None or problem.allowance.ledger.requested <= calls
    return outcome


@pytest.mark.parametrize("options", ["", ":width=3", ":minibatch=5", ":merge=5"])
def test_reflection_on_failures_and_feedback_finds_every_rule(options: str) -> None:
    outcome = searched(f"gepa{options}")

    assert all(f"rule-{kind}" in outcome.params["predict"].instruction for kind in KINDS)
    assert (outcome.baseline_score, outcome.score) == (0.0, 1.0)


def test_a_child_that_gains_nothing_on_its_parents_training_rows_is_not_scored_on_validation_rows() -> None:
    asked_for: dict[str, set[int]] = {}

    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            asked_for.setdefault(asked.instruction, set()).add(int(right(asked)[1:]))
        return rules(asked)

    outcome = searched("gepa:patience=10", handler, metric=silent)

    assert outcome.params == params_of(lp.Predict(Lone))
    children = {text: numbers for text, numbers in asked_for.items() if text != "Answer."}
    assert children
    assert all(number < 20 for numbers in children.values() for number in numbers)


def test_a_child_runs_on_the_rows_that_its_parent_ran_on() -> None:
    runs: list[tuple[str, int]] = []

    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            runs.append((asked.instruction, int(right(asked)[1:])))
            return {"answer": "?"}
        return {"new_instruction": "Answer well."}

    searched("gepa:attempts=1", handler)

    trained = {text: {number for said, number in runs if said == text and number < 20} for text, _ in runs}
    assert trained["Answer."] == trained["Answer well."]
    assert len(trained["Answer well."]) == 3


def specialists(asked: Asked) -> Answer:
    """A generalist that is right on three kinds and a dead end; a specialist on the fourth, from which all can be reached.

    At the start few questions of the fourth kind are answered.
    """
    known = {
        "Answer.": [],
        "Generalize.": ["ant", "bee", "cat"],
        "Specialize.": ["dog"],
        "Specialize more.": ["dog", "cat"],
        "Master.": KINDS,
    }
    if is_task(asked):
        lucky = asked.instruction == "Answer." and asked.inputs["question"] in ("dog 23", "dog 31", "dog 39")
        return {"answer": right(asked) if lucky or kind_of(asked) in known[asked.instruction] else "?"}
    failed_on_dogs = "dog" in asked.inputs["failures"]
    following = {
        "Answer.": "Specialize." if failed_on_dogs and asked.request.sample % 3 == 0 else "Generalize.",
        "Generalize.": "Generalize.",
        "Specialize.": "Specialize more.",
        "Specialize more.": "Master.",
        "Master.": "Master.",
    }
    return {"new_instruction": following[asked.inputs["instruction_text"]]}


def test_a_specialist_leads_on_where_the_best_by_mean_is_a_dead_end() -> None:
    scored: list[CandidateScored] = []

    def follow(event: Event) -> None:
        if isinstance(event, CandidateScored):
            scored.append(event)

    outcome = searched("gepa", specialists, metric=exact_match("answer"), emit=follow)

    means = {event.params["predict"].instruction: sum(event.scores) / len(event.scores) for event in scored}
    assert means["Generalize."] == 0.75 > means["Specialize."] == 0.25
    assert outcome.params["predict"].instruction == "Master."
    parents = {event.candidate: event.parents for event in scored}
    instructions = {event.candidate: event.params["predict"].instruction for event in scored}
    line = [outcome.params.fingerprint]
    while parents[line[-1]]:
        line += parents[line[-1]]
    assert [instructions[name] for name in line] == ["Master.", "Specialize more.", "Specialize.", "Answer."]


def either_or(asked: Asked) -> Answer:
    """Ants and bees need a good note, cats and dogs a good reply, and every tenth question neither or both.

    The proposer betters a step only as long as the other is not better already.
    """
    if not is_task(asked):
        step, shown = asked.inputs["step"].split("`")[1], str(asked.inputs)
        spoilt = {"take": "polite" in shown, "reply": "note: good" in shown}[step]
        better = "Do it well." if not spoilt else f"Hm {asked.request.sample}."
        return {"new_instruction": f"{asked.inputs['instruction_text']} {better}"}
    well = "well" in asked.instruction
    if asked.outputs == ("note",):
        return {"note": "good" if well else "bad"}
    noted = asked.inputs["note"] == "good"
    needed = noted == well if right(asked).endswith("0") else noted if kind_of(asked) in ("ant", "bee") else well
    return {"answer": ("polite " if well else "") + (right(asked) if needed else "?")}


def ends_right(row: dict[str, str], prediction: Reply) -> bool:
    return prediction.answer.split()[-1] == row["answer"]


def test_a_crossover_unites_two_specialists_that_nothing_else_unites() -> None:
    alone = searched("gepa", either_or, program=TwoSteps(), metric=ends_right, calls=1500)
    united = searched("gepa:merge=5", either_or, program=TwoSteps(), metric=ends_right, calls=1500)

    assert alone.score == 18 / 40
    assert united.score == 1.0
    assert all("well" in united.params[path].instruction for path in ("take", "reply"))


@pytest.mark.parametrize(("kinds", "rows"), [(("ant", "bee"), [5, 35]), ((), [5])])
def test_a_crossover_is_scored_on_all_rows_only_where_it_does_no_worse_than_its_parents_on_a_few(
    kinds: Sequence[str], rows: Sequence[int]
) -> None:
    scored: list[CandidateScored] = []

    def handler(asked: Asked) -> Answer:
        both = asked.inputs.get("note") == "good" and "well" in asked.instruction
        return {"answer": right(asked) if kind_of(asked) in kinds else "?"} if both else either_or(asked)

    def follow(event: Event) -> None:
        if isinstance(event, CandidateScored) and event.origin.startswith("crossover"):
            scored.append(event)

    searched("gepa:merge=1", handler, program=TwoSteps(), metric=ends_right, calls=2000, emit=follow)

    assert [len(event.rows) for event in scored] == rows


def test_the_proposer_sees_what_the_edited_predictor_saw_of_training_rows_in_turn() -> None:
    edited: list[str] = []

    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            return {"note": "N" + right(asked)} if asked.outputs == ("note",) else {"answer": "?"}
        step = asked.inputs["step"].split("`")[1]
        edited.append(step)
        shown = asked.inputs["failures"].split(" | ")
        assert len(shown) == 3
        for case in shown:
            number = int(re.findall(r"(?:ant|bee|cat|dog) (\d+)", case)[0])
            assert number < 20
            took = f"{KINDS[number % 4]} {number} -> got NA{number} , and in the end ? , expected A{number}"
            replied = f"question: {KINDS[number % 4]} {number} ; note: NA{number} -> got ? , expected A{number}"
            assert case == {"take": took, "reply": replied}[step]
        assert asked.inputs["instruction_text"] == {"take": "Take a note.", "reply": "Reply."}[step]
        return {"new_instruction": "Do better."}

    searched("gepa:attempts=6", handler, program=TwoSteps(), metric=exact_match("answer"))

    assert edited == ["take", "reply"] * 3


def test_a_predictor_that_is_never_called_is_never_edited() -> None:
    class Spare(lp.Module):
        def __init__(self) -> None:
            self.idle, self.reply = lp.Predict(Note), lp.Predict(Lone)

        def forward(self, question: str) -> Lone:
            return self.reply(question=question)

    outcome = searched("gepa", program=Spare())

    assert outcome.score == 1.0
    assert outcome.params["idle"].instruction == "Take a note."


def test_no_prompt_shows_a_validation_row_and_an_instruction_that_quotes_one_is_not_tried() -> None:
    secret = "one two three four five six seven eight nine"
    rows = [{**row, "extra": f"{secret} {number}"} for number, row in enumerate(ROWS[20:])]
    prompts: list[str] = []

    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            return {"answer": right(asked) if "one two" in asked.instruction else "?"}
        prompts.append(str(asked.inputs))
        return {"new_instruction": secret}

    problem = problem_for(lp.Predict(Lone), ROWS[:20], rows, exact_match("answer"), ScriptedLM(handler), calls=500)
    outcome = loop.run(named("gepa:patience=10").search(problem, params_of(problem.program)), instead="")

    assert outcome.score == 0.0
    assert len(prompts) == 10
    assert not any(f" {number} " in f" {prompt} " for prompt in prompts for number in range(20, 60))
    assert not any(secret in prompt for prompt in prompts)


def test_the_same_seed_gives_the_same_params_whatever_the_latencies() -> None:
    first, second = (searched("gepa:width=3,merge=2", rules_late, calls=400, seed=3) for _ in range(2))

    assert first.params.to_json() == second.params.to_json()
    assert first.score > first.baseline_score


@pytest.mark.parametrize("calls", [40, 41, 60, 90, 130, 200, 350])
def test_a_short_budget_is_kept_and_never_leaves_a_child_that_cannot_be_scored(calls: int) -> None:
    scored: list[Event] = []

    outcome = searched("gepa", calls=calls, emit=scored.append)

    assert outcome.score >= outcome.baseline_score
    assert all(len(event.scores) == 40 for event in scored if isinstance(event, CandidateScored))


@pytest.mark.parametrize("reply", ["I would rather not.", {"new_instruction": ""}, lp.ContextError("too long")])
def test_a_proposer_that_always_fails_leaves_the_program_as_it_was(reply: Answer | Exception) -> None:
    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            return {"answer": "?"}
        if isinstance(reply, Exception):
            raise reply
        return reply

    outcome = searched("gepa:patience=5,merge=5", handler, calls=None)

    assert outcome.params == params_of(lp.Predict(Lone))
    assert outcome.stopped == "the search was finished"


@pytest.mark.parametrize("error", [lp.AuthError("bad key"), lp.CapReached("spent", cap="usd")])
def test_a_systemic_fault_of_the_proposer_is_raised_but_a_cap_leaves_what_was_found(error: Exception) -> None:
    def handler(asked: Asked) -> Answer:
        if not is_task(asked) and asked.inputs["instruction_text"].count("rule-") == 2:
            raise error
        return rules(asked)

    if isinstance(error, lp.AuthError):
        with pytest.raises(lp.AuthError, match="bad key"):
            searched("gepa", handler)
    else:
        assert searched("gepa", handler).score == 0.5


def test_a_program_that_is_right_everywhere_costs_its_score_and_no_proposal() -> None:
    asked_for: list[Sequence[str]] = []

    def handler(asked: Asked) -> Answer:
        asked_for.append(asked.outputs)
        return {"answer": right(asked)}

    outcome = searched("gepa", handler, calls=None)

    assert outcome.score == 1.0
    assert {*asked_for} == {("answer",)}


@pytest.mark.parametrize("option", ["minibatch=0", "width=0", "merge=-1", "patience=0", "attempts=0"])
def test_an_option_below_its_least_value_is_refused(option: str) -> None:
    with pytest.raises(lp.InputError, match=option.split("=")[0]):
        named(f"gepa:{option}")


def test_the_defaults_are_the_papers() -> None:
    assert named("gepa") == Gepa(minibatch=3, width=1, merge=0)


def test_wide_attempts_and_crossovers_keep_what_optimizers_promise() -> None:
    check_optimizer("gepa:width=4,merge=3,patience=8")


SCORES = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4), min_size=1, max_size=7)


@given(SCORES)
def test_the_frontier_holds_a_best_candidate_for_every_row_and_none_that_leads_nowhere_alone(
    table: list[list[float]],
) -> None:
    scores = {str(number): dict(enumerate(cells)) for number, cells in enumerate(table)}

    leaders = frontier(scores)

    leads = {
        name: {row for row in range(4) if cells[row] == max(c[row] for c in scores.values())}
        for name, cells in scores.items()
    }
    assert set().union(*(leads[name] for name in leaders)) == {0, 1, 2, 3}
    assert leaders == {name: len(leads[name]) for name in leaders}
    assert not any(leads[a] <= leads[b] for a in leaders for b in leaders if a != b)


def test_of_two_that_lead_on_the_same_rows_the_better_stays() -> None:
    scores = {"low": {0: 1.0, 1: 0.0}, "high": {0: 1.0, 1: 0.5}, "other": {0: 0.0, 1: 1.0}}

    assert frontier(scores) == {"high": 1, "other": 1}
    assert frontier({}) == {}


def texts(**instructions: str) -> lp.Params:
    return lp.Params({path: lp.PredictorParams(instruction=text) for path, text in instructions.items()})


def test_a_crossover_takes_what_each_changed_and_from_the_better_what_both_changed() -> None:
    start = texts(a="0", b="0", c="0", d="0")
    better, other = texts(a="1", b="0", c="1", d="0"), texts(a="0", b="2", c="2", d="0")

    assert crossed(start, better, other) == texts(a="1", b="2", c="1", d="0")
    assert crossed(start, better, texts(a="2", b="0", c="0", d="0")) is None


def test_only_leaders_of_different_lines_are_crossed_over_their_nearest_ancestor_that_is_no_better() -> None:
    parents = {"start": (), "mid": ("start",), "left": ("mid",), "right": ("mid",), "leftmost": ("left",)}
    means = {"start": 0.1, "mid": 0.2, "left": 0.4, "right": 0.3, "leftmost": 0.5}

    def found(**changed: float) -> list[tuple[str, str, str]]:
        return list(pairs(parents, {**means, **changed}, ["left", "right", "leftmost"], random.Random(0)))

    assert {trio[0] for trio in found()} == {"mid", "start"}
    assert {trio[1:] for trio in found()} == {("left", "right"), ("leftmost", "right")}
    assert {trio[0] for trio in found(mid=0.35)} == {"start"}
    assert [ancestor for ancestor, better, _ in found() if better == "left"] == ["mid", "start"]


def test_a_crossover_is_tried_on_rows_where_either_parent_or_neither_is_better() -> None:
    first = {row: float(row < 4) for row in range(12)}
    second = {row: float(4 <= row < 8) for row in range(12)}

    rows = telling_rows(first, second, 5, random.Random(0))

    assert [sum(low <= row < low + 4 for row in rows) for low in (0, 4, 8)] == [2, 2, 1]
    assert all(before < after for before, after in pairwise(rows))
    assert telling_rows({0: 1.0, 1: 0.0}, {0: 1.0, 1: 0.0}, 5, random.Random(0)) == (0, 1)
