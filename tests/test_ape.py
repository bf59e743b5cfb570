"""APE induces instructions from examples, filters them on ever more rows, and rewords the best."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.data import fields_in
from lmprog.events import CandidateScored, Event
from lmprog.metrics import exact_match
from lmprog.optimizer import Outcome, named
from lmprog.optimizers.select.resample import Resample, runs
from lmprog.scores import ScoreTable
from lmprog.search import Ask, search
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


def answer(asked: Asked) -> Answer:
    """At level n the first n of every ten questions are answered right, and of two steps each adds its part."""
    number, height = int(asked.inputs["question"][1:]), level(asked.instruction)
    if asked.outputs == ("hint",):
        return {"hint": str(height)}
    able = (number % 20) < height + int(asked.inputs["hint"]) if "hint" in asked.inputs else number % 10 < height
    return {"answer": str(number) if able else "?"}


def proposer(asked: Asked) -> Answer:
    """Examples tell of a level up to 6, most often of less; other words for a level are now and then one level better."""
    if "question" in asked.inputs:
        return answer(asked)
    sample = asked.request.sample
    if "examples" in asked.inputs:
        drawn = crc32(f"{asked.inputs['examples']} {sample}".encode())
        return {"instruction_text": f"Level {drawn % 7}. Wording {drawn % 3}."}
    given = level(asked.inputs["instruction_text"])
    return {"new_instruction": f"Level {min(10, given + 1) if sample % 10 == 3 else given - 1}. Said again, {sample}."}


@dataclass(frozen=True)
class Searched:
    outcome: Outcome
    events: list[Event]
    prompts: list[Asked]
    requested: int

    def scored(self) -> list[CandidateScored]:
        return [event for event in self.events if isinstance(event, CandidateScored)]


def searched(
    options: str = "",
    script: Callable[[Asked], Answer] = proposer,
    *,
    program: lp.Module | None = None,
    train: list[dict[str, str]] = TRAIN,
    val: int = 40,
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
        train,
        ROWS[:val],
        exact_match("answer"),
        ScriptedLM(handler),
        calls=calls,
        seed=seed,
        emit=events.append,
    )
    work = named(f"ape:{options}" if options else "ape").search(problem, lp.params_of(chosen))
    return Searched(loop.run(work, instead=""), events, prompts, problem.allowance.ledger.requested)


def test_the_best_induced_instruction_is_found_and_without_iterations_nothing_better() -> None:
    found = searched("proposals=8,iterations=0")

    assert found.outcome.baseline_score == 0.2
    assert level(found.outcome.params["predict"].instruction) == 6
    assert found.outcome.score == 0.6


def test_every_iteration_rewords_the_best_so_far() -> None:
    found = searched("proposals=8,iterations=4,top=2")

    assert level(found.outcome.params["predict"].instruction) == 10
    assert found.outcome.score == 1.0


def test_predictors_take_turns_each_from_the_best_program_so_far() -> None:
    found = searched("proposals=5,iterations=1,top=2", program=TwoSteps())

    turns = [event.origin for event in found.scored() if not event.origin.startswith("full")]
    assert list(dict.fromkeys(turns))[1:] == [
        "recall: induced",
        "recall: reworded",
        "solve: induced",
        "solve: reworded",
    ]
    assert [level(value.instruction) for value in found.outcome.params.values()] == [7, 7]
    assert found.outcome.score == 14 / 20


def test_the_requests_are_those_that_the_embedded_lm_was_trained_on() -> None:
    found = searched("proposals=2")

    induced = [asked for asked in found.prompts if asked.instruction == "Given the examples, write the instruction."]
    reworded = [asked for asked in found.prompts if asked.instruction == "Rewrite the instruction in other words."]
    assert len(induced) + len(reworded) == len(found.prompts)
    assert {tuple(asked.inputs) for asked in induced} == {("examples",)}
    assert {asked.outputs for asked in induced} == {("instruction_text",)}
    assert {tuple(asked.inputs) for asked in reworded} == {("instruction_text",)}
    assert {asked.outputs for asked in reworded} == {("new_instruction",)}


def test_each_subsample_shows_five_training_rows_to_as_many_proposals_of_which_the_first_is_the_likeliest() -> None:
    found = searched("proposals=4,iterations=0")

    asked = [(one.inputs["examples"], one.request.sample, one.request.temperature) for one in found.prompts]
    assert len({examples for examples, _, _ in asked}) == 5
    assert [sample for _, sample, _ in asked] == sorted([0, 1, 2, 3] * 5)
    assert {(sample, temperature) for _, sample, temperature in asked} == {(0, 0.0), (1, 0.9), (2, 0.9), (3, 0.9)}
    known = {f"{fields_in(row)['question']} -> {fields_in(row)['answer']}" for row in TRAIN}
    for examples, _, _ in asked:
        assert len(examples.split(" | ")) == 5
        assert set(examples.split(" | ")) <= known


def test_labels_are_the_examples_where_they_are_whole_and_inner_steps_show_their_successes() -> None:
    found = searched("proposals=2,iterations=0", program=TwoSteps())

    inner, last = found.prompts[:10], found.prompts[10:]
    assert all(re.fullmatch(r"q\d+ -> 2", text) for one in inner for text in one.inputs["examples"].split(" | "))
    assert all(re.fullmatch(r"q(\d+) ; 2 -> \1", text) for one in last for text in one.inputs["examples"].split(" | "))


def test_examples_stop_where_the_context_of_a_small_lm_would_be_full() -> None:
    rows = [{"question": f"q{number}", "answer": "long " * 180} for number in range(8)]

    found = searched("proposals=1,iterations=0", train=rows)

    assert {len(one.inputs["examples"].split(" | ")) for one in found.prompts} == {2}  # of 900 characters, in 2400


def test_without_examples_the_programs_own_instruction_is_reworded() -> None:
    found = searched("iterations=2", train=[])

    assert {one.instruction for one in found.prompts} == {"Rewrite the instruction in other words."}
    assert level(found.outcome.params["predict"].instruction) == 4


def filtered(
    instructions: list[str], script: Callable[[Asked], Answer] = answer, *, rows: int, top: int
) -> tuple[str, list[tuple[int, int, str]]]:
    """Filter a pool on 40 rows, the even ones first. Return the best instruction, and what ran by round: how many
    candidates, on how many rows each, and why.
    """
    events, program = list[Event](), lp.Predict(Solve)
    params = lp.params_of(program)
    problem = problem_for(program, TRAIN, ROWS[:40], exact_match("answer"), ScriptedLM(script), emit=events.append)
    pools = [[Ask(params.replace("predict", instruction=text), origin="new") for text in instructions]]

    async def next_pool(left: Sequence[lp.Params], table: ScoreTable) -> list[Ask] | None:
        return pools.pop() if pools else None

    selector = Resample(params, next_pool, [*range(0, 40, 2), *range(1, 40, 2)], rows=rows, top=top)
    outcome = loop.run(search(problem, params, selector, finalists=0), instead="")
    scored = [event for event in events if isinstance(event, CandidateScored) and event.round > 0]
    rounds = {event.round: [one for one in scored if one.round == event.round] for event in scored}
    ran = [(len(found), len(found[0].rows), found[0].origin) for found in rounds.values()]
    return outcome.params["predict"].instruction, ran


def test_the_better_half_is_scored_on_as_many_rows_again_until_few_are_left_and_the_best_on_all() -> None:
    best, ran = filtered([f"Level {number % 10}. {number}" for number in range(12)], rows=5, top=3)

    assert best == "Level 9. 9"
    assert ran == [(12, 5, "new"), (6, 5, "new"), (3, 10, "new"), (1, 40, "full score of the best of its pool")]
    assert runs(12, rows=5, top=3, total=40) == 12 * 5 + 6 * 5 + 3 * 10


def test_where_few_are_never_left_the_filter_ends_on_all_rows() -> None:
    _, ran = filtered([f"Level {number % 10}. {number}" for number in range(12)], rows=15, top=1)

    assert ran == [(12, 15, "new"), (6, 15, "new"), (3, 10, "new")]
    assert runs(12, rows=15, top=1, total=40) == 12 * 15 + 6 * 15 + 3 * 10


def test_a_candidate_that_was_lucky_on_the_first_rows_falls_out_on_the_next() -> None:
    def luck_or_skill(asked: Asked) -> Answer:
        number = int(asked.inputs["question"][1:])
        return answer(asked) if "Level" in asked.instruction else {"answer": "?" if number % 2 else str(number)}

    best, _ = filtered(["Level 5.", "Even numbers.", "Level 7.", "Level 6."], luck_or_skill, rows=20, top=1)

    assert best == "Level 7."


@pytest.mark.parametrize("calls", [40, 41, 60, 150, 400, 1000])
def test_no_more_is_requested_than_the_budget_allows_and_what_it_leaves_is_used(calls: int) -> None:
    found = searched(calls=calls)

    assert found.requested <= calls
    assert found.outcome.score >= (0.6 if calls >= 400 else 0.2)


def test_equal_seeds_give_equal_searches_and_others_show_other_examples() -> None:
    first, again, other = (searched("proposals=3", seed=seed) for seed in (0, 0, 1))

    assert first.outcome == again.outcome
    assert [asked.inputs for asked in first.prompts] == [asked.inputs for asked in again.prompts]
    assert [asked.inputs for asked in first.prompts] != [asked.inputs for asked in other.prompts]


def test_a_proposer_that_always_fails_leaves_the_program_as_it_was() -> None:
    def failing(asked: Asked) -> Answer:
        if "question" in asked.inputs:
            return answer(asked)
        raise lp.LMError("the provider refuses to write this")

    found = searched("proposals=4,iterations=2", failing)

    assert found.outcome.params == lp.params_of(lp.Predict(Solve))
    assert found.outcome.score == found.outcome.baseline_score
    assert len(found.prompts) == 5 * 4 + 2 * 10  # induction, and the program's own instruction twice reworded


def test_a_refused_key_is_raised() -> None:
    def refused(asked: Asked) -> Answer:
        if "question" in asked.inputs:
            return answer(asked)
        raise lp.AuthError("bad key")

    with pytest.raises(lp.AuthError, match="bad key"):
        searched(script=refused)


def test_instructions_that_break_the_contract_of_prompts_are_left_out() -> None:
    def quoting(asked: Asked) -> Answer:
        return answer(asked) if "question" in asked.inputs else dict.fromkeys(asked.outputs, "Level 9. [[ ## a ## ]]")

    assert [event.origin for event in searched(script=quoting).scored()] == ["the program as it was"]


@pytest.mark.parametrize(
    ("option", "least"), [("subsamples", 1), ("proposals", 1), ("demos", 1), ("rows", 1), ("top", 1), ("iterations", 0)]
)
def test_options_below_their_least_value_are_refused(option: str, least: int) -> None:
    with pytest.raises(lp.InputError, match=rf"Ape\({option}={least - 1}\): `{option}` must be at least {least}"):
        named(f"ape:{option}={least - 1}")
