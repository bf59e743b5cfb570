"""MIPROv2's decisions: beside DSPy's own, over one table of scores; and where DSPy would give up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.data import Row, fields_in
from lmprog.events import CandidateScored, Event
from lmprog.optimizer import Problem
from lmprog.optimizers.select.surrogates import Combo
from lmprog.optimizers.select.v2 import V2, search_v2, trials
from lmprog.search import search
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

Evaluated = tuple[Combo, tuple[int, ...]]
"""A combination, and the rows that it was evaluated on."""


@dataclass(frozen=True, slots=True)
class Case:
    """A search that both play: what there is to choose from, the schedule, and the scores."""

    predictors: int = 2
    instructions: int = 3
    demo_sets: int | None = 4
    rows: int = 12
    trials: int = 17
    minibatch: int | None = 4
    full_every: int = 5
    seed: int = 9
    ties: Literal["none", "exact", "rounded"] = "none"
    """Whether means are often equal: as they are, or to two decimals of a percent."""
    refused: int | None = None
    """An instruction that breaks the contract of prompts."""

    def score(self, combo: Combo, row: int) -> float:
        """The table: part of it is the combination, part of it the row, and part of it luck."""
        combo = combo[::2] if self.demo_sets == 1 else combo
        share = (luck(self.seed, combo) + luck(self.seed, row) + luck(self.seed, combo, row)) / 3
        tiny = 1e-5 * luck(row, combo) if self.ties == "rounded" else 0.0
        return share if self.ties == "none" else float(share > 0.5) * (1 - tiny)

    @property
    def combos(self) -> int:
        return math.prod([self.instructions, self.demo_sets or 1] * self.predictors)


@dataclass(frozen=True, slots=True)
class Played:
    evaluated: list[Evaluated]
    winner: Combo | None
    percent: float


def luck(*of: object) -> float:
    """A number from 0 to 1 that depends on these alone."""
    return crc32(repr(of).encode()) % 1000 / 1000


class Step(lp.Signature):
    """Wording 0."""

    row: int = lp.InputField()
    before: str = lp.InputField()
    after: str = lp.OutputField()


class Steps(lp.Module):
    def __init__(self, predictors: int) -> None:
        self.steps = [lp.Predict(Step) for _ in range(predictors)]

    def forward(self, row: int) -> Step:
        done = self.steps[0](row=row, before="-")
        for step in self.steps[1:]:
            done = step(row=row, before=done.after)
        return done


def chosen(asked: Asked) -> Answer:
    """Each step says which instruction and demo set it has, after those before it."""
    demos = asked.demos[0][0]["row"] if asked.demos else "0"
    before = asked.inputs["before"]
    return {"after": f"{'' if before == '-' else before + ' '}{asked.instruction.split()[1].rstrip('.')} {demos}"}


def combo_in(said: str, case: Case) -> Combo:
    numbers = tuple(int(number) for number in said.split())
    return numbers if case.demo_sets else numbers[::2]


def problem_of(case: Case, *, calls: int | None = None, events: list[Event] | None = None) -> Problem:
    def metric(row: Row, prediction: Step) -> float:
        return case.score(combo_in(prediction.after, case), fields_in(row)["row"])

    rows = [{"row": number} for number in range(case.rows)]
    return problem_for(
        Steps(case.predictors),
        [{"row": 1000}],
        rows,
        metric,
        ScriptedLM(chosen),
        calls=calls,
        seed=case.seed,
        emit=(events if events is not None else list[Event]()).append,
    )


def build(case: Case, start: lp.Params, combo: Combo) -> lp.Params:
    params = start
    per_step = 2 if case.demo_sets else 1
    for i, path in enumerate(start):
        instruction, *demos = combo[per_step * i : per_step * (i + 1)]
        mark = " [[ ## row ## ]]" if instruction == case.refused else ""
        params = params.replace(path, instruction=f"Wording {instruction}.{mark}")
        if any(demos):
            demo = lp.Demo(inputs={"row": demos[0], "before": "?"}, outputs={"after": "?"})
            params = params.replace(path, demos=(demo,))
    return params


def selector_of(case: Case, problem: Problem) -> V2:
    start = lp.params_of(problem.program)
    return V2(
        problem,
        lambda combo: build(case, start, combo),
        instructions=[case.instructions] * case.predictors,
        demo_sets=[case.demo_sets] * case.predictors if case.demo_sets else (),
        trials=case.trials,
        minibatch=case.minibatch,
        full_every=case.full_every,
    )


def combo_of(params: lp.Params, case: Case) -> Combo:
    numbers: list[int] = []
    for value in params.values():
        numbers.append(int(value.instruction.split()[1].rstrip(".")))
        if case.demo_sets:
            numbers.append(value.demos[0].inputs["row"] if value.demos else 0)
    return tuple(numbers)


def ours(case: Case, *, calls: int | None = None) -> Played:
    events = list[Event]()
    problem = problem_of(case, calls=calls, events=events)

    async def make() -> V2:
        return selector_of(case, problem)

    outcome = loop.run(search_v2(problem, lp.params_of(problem.program), make), instead="")
    return Played(scored_in(events, case), combo_of(outcome.params, case), round(100 * outcome.score, 2))


def scored_in(events: Sequence[Event], case: Case) -> list[Evaluated]:
    return [(combo_of(one.params, case), tuple(one.rows)) for one in events if isinstance(one, CandidateScored)]


def theirs(case: Case) -> Played:
    """DSPy's own search over the same table; without a winner where it gave up."""
    dspy: Any = pytest.importorskip("dspy")
    program = dspy.Module()

    def metric(row: Any, said: Any) -> float:
        return case.score(said.combo, row.row)

    signature = dspy.Signature("row: int, before -> after", "Wording 0.")
    program.steps = [dspy.Predict(signature) for _ in range(case.predictors)]
    wordings = {i: [f"Wording {number}." for number in range(case.instructions)] for i in range(case.predictors)}
    demos = [[], *([dspy.Example(row=number)] for number in range(1, case.demo_sets or 1))]
    rows = [dspy.Example(row=number).with_inputs("row") for number in range(case.rows)]
    scoring = dspy.Evaluate(devset=rows, metric=metric, num_threads=1, display_progress=False)
    evaluated: list[Evaluated] = []

    def combo_of_theirs(program: Any) -> Combo:
        steps: list[Any] = program.predictors()
        said = [(step.signature.instructions, step.demos[0].row if step.demos else 0) for step in steps]
        return combo_in(" ".join(f"{wording.split()[1].rstrip('.')} {demos}" for wording, demos in said), case)

    def evaluate(program: Any, *, devset: Sequence[Any], callback_metadata: object) -> Any:
        combo = combo_of_theirs(program)
        evaluated.append((combo, tuple(row.row for row in devset)))

        def said(row: int) -> Any:
            return dspy.Prediction(combo=combo)

        return scoring(said, devset=devset)

    optimizer = dspy.MIPROv2(metric=metric, prompt_model=object(), task_model=object(), auto=None)
    optimizer._set_random_seeds(case.seed)
    try:
        best = optimizer._optimize_prompt_parameters(
            program,
            wordings,
            [demos] * case.predictors if case.demo_sets else None,
            evaluate,
            rows,
            case.trials,
            case.minibatch is not None,
            case.minibatch or case.rows,
            case.full_every,
            case.seed,
        )
    except ValueError as error:
        assert "No valid program found" in str(error)
        return Played(evaluated, None, 0.0)
    return Played(evaluated, combo_of_theirs(best), best.score)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(predictors=1, instructions=6, demo_sets=6), id="one predictor"),
        pytest.param(Case(predictors=2), id="two predictors"),
        pytest.param(Case(predictors=2, seed=0), id="seed 0"),
        pytest.param(Case(predictors=3), id="three predictors"),
        pytest.param(Case(predictors=1, instructions=12, demo_sets=None), id="one predictor, no demo sets"),
        pytest.param(Case(predictors=3, demo_sets=None), id="three predictors, no demo sets"),
        pytest.param(Case(instructions=1), id="demo sets alone"),
        pytest.param(Case(demo_sets=1), id="one demo set"),
        pytest.param(Case(rows=9, minibatch=None), id="all rows in every trial"),
        pytest.param(Case(rows=9, minibatch=None, demo_sets=None, ties="exact"), id="all rows, no demo sets, ties"),
        pytest.param(Case(predictors=1, rows=9, minibatch=3, trials=30, ties="exact"), id="many ties"),
        pytest.param(Case(predictors=1, instructions=6, minibatch=3, trials=24, ties="rounded"), id="ties by rounding"),
        pytest.param(Case(instructions=9, trials=4, full_every=1), id="a full score after each trial"),
        pytest.param(Case(trials=15), id="no trial after the last full score"),
        pytest.param(Case(trials=3), id="fewer trials than a full score waits for"),
        pytest.param(Case(rows=9, minibatch=9), id="minibatches of all rows"),
        pytest.param(Case(rows=60, minibatch=35, demo_sets=6, trials=20), id="sizes of auto=light"),
    ],
)
def test_combinations_rows_and_winner_are_those_of_dspy(case: Case) -> None:
    dspys = theirs(case)

    found = ours(case)

    assert found == dspys


@pytest.mark.parametrize(("seed", "ties"), [(13, "none"), (17, "exact")])
def test_a_combination_is_not_fully_scored_because_its_minibatches_hold_every_row(
    seed: int, ties: Literal["none", "exact"]
) -> None:
    case = Case(
        predictors=1,
        instructions=4,
        demo_sets=None,
        rows=8,
        trials=16,
        minibatch=6,
        full_every=8,
        seed=seed,
        ties=ties,
    )
    problem = problem_of(case)
    start = lp.params_of(problem.program)
    by_kernel = loop.run(search(problem, start, selector_of(case, problem), finalists=0), instead="")

    found = ours(case)

    assert combo_of(by_kernel.params, case) != found.winner
    assert found == theirs(case)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(predictors=1, instructions=3, demo_sets=None, full_every=1), id="fewer options than trials"),
        pytest.param(Case(predictors=2, instructions=1, demo_sets=2, full_every=2), id="fewer sets than trials"),
        pytest.param(Case(predictors=1, instructions=4, demo_sets=1, full_every=1, trials=9), id="one was drawn twice"),
    ],
)
def test_where_dspy_has_no_combination_left_for_a_full_score_the_decisions_until_then_are_its(case: Case) -> None:
    dspys = theirs(case)

    found = ours(case)

    shared = min(len(found.evaluated), len(dspys.evaluated))
    assert dspys.winner is None, "DSPy gave no trouble: the case is not one of these"
    assert found.evaluated[:shared] == dspys.evaluated[:shared]
    assert shared == len(dspys.evaluated) or len(fully_scored(found, case)) == case.combos


@pytest.mark.parametrize("predictors", [1, 2, 5])
@pytest.mark.parametrize("candidates", [1, 2, 6, 7, 12, 18])
def test_there_are_as_many_trials_as_in_dspy(predictors: int, candidates: int) -> None:
    dspy: Any = pytest.importorskip("dspy")
    program, lm = dspy.Module(), object()
    program.steps = [dspy.Predict("row -> after") for _ in range(predictors)]
    count = dspy.MIPROv2(metric=None, prompt_model=lm, task_model=lm)._set_num_trials_from_num_candidates

    assert trials(candidates, predictors) == count(program, True, candidates)
    assert trials(candidates, 2 * predictors) == count(program, False, candidates)


def fully_scored(played: Played, case: Case) -> set[Combo]:
    """The combinations with a full score other than trial 0."""
    return {combo for combo, rows in played.evaluated[1:] if len(rows) == case.rows}


def rows_of(played: Played) -> list[int]:
    return [len(rows) for _, rows in played.evaluated]


def test_a_full_score_follows_every_so_many_trials_and_the_last() -> None:
    played = ours(Case(rows=10, minibatch=4, trials=7, full_every=3))

    assert rows_of(played) == [10, 4, 4, 4, 10, 4, 4, 4, 10, 4, 10]


def test_the_full_score_is_for_the_highest_mean_over_minibatches_of_those_without_one() -> None:
    case = Case(predictors=1, instructions=4, demo_sets=None, rows=12, minibatch=4, trials=18, full_every=6)

    played = ours(case)

    means: dict[Combo, list[float]] = {}
    full: list[Combo] = []
    for combo, rows in played.evaluated[1:]:
        if len(rows) < case.rows:
            means.setdefault(combo, []).append(sum(case.score(combo, row) for row in rows) / len(rows))
        else:
            assert combo == max(means.keys() - full, key=lambda name: sum(means[name]) / len(means[name]))
            full.append(combo)
    assert len(full) == 3


def test_a_full_score_is_asked_for_once_a_combination() -> None:
    case = Case(predictors=1, instructions=9, demo_sets=None, trials=24, full_every=3)

    played = ours(case)

    full = [combo for combo, rows in played.evaluated[1:] if len(rows) == case.rows]
    assert len(full) == len(set(full)) == 8


def test_the_search_ends_when_every_combination_has_its_full_score() -> None:
    case = Case(predictors=1, instructions=2, demo_sets=None, trials=1000, full_every=4)

    played = ours(case)

    assert fully_scored(played, case) == {(0,), (1,)}
    assert len(played.evaluated) < 30


def test_a_program_with_nothing_to_choose_is_returned_as_it_was() -> None:
    played = ours(Case(predictors=1, instructions=1, demo_sets=None))

    assert played.winner == (0,)
    assert rows_of(played) == [12, 4, 4, 4, 4, 4, 12]


def test_one_demo_set_is_as_none() -> None:
    without, one = ours(Case(demo_sets=None)), ours(Case(demo_sets=1))

    assert [(combo[::2], rows) for combo, rows in one.evaluated] == without.evaluated


def test_seed_0_is_a_seed() -> None:
    first, again, other = (ours(Case(seed=seed)) for seed in (0, 0, 9))

    assert first == again
    assert first.evaluated != other.evaluated


def test_a_minibatch_larger_than_the_validation_set_is_all_of_it() -> None:
    played = ours(Case(rows=4, minibatch=35, trials=6))

    assert rows_of(played) == [4] * (1 + 6 + 2)


def requested(evaluated: Sequence[Evaluated]) -> int:
    """How many calls these take of a program with one predictor: what was asked before costs nothing."""
    return len({(combo, row) for combo, rows in evaluated for row in rows})


@pytest.mark.parametrize("full_every", [3, 5])
def test_one_last_full_score_is_due_where_the_budget_leaves_no_more(full_every: int) -> None:
    case = Case(predictors=1, instructions=40, rows=10, minibatch=4, trials=50, full_every=full_every)
    before = requested(ours(case).evaluated[:4])

    played = ours(case, calls=before + 4 + 9)

    assert rows_of(played) == [10, 4, 4, 4, 10]


def test_params_that_break_the_contract_of_prompts_take_a_trial_and_get_no_full_score() -> None:
    case = Case(predictors=1, instructions=3, demo_sets=None, trials=24, full_every=3, refused=1)

    played = ours(case)

    assert fully_scored(played, case) == {(0,), (2,)}
    assert (1,) not in {combo for combo, _ in played.evaluated}
    assert 4 in rows_of(played)


def test_a_search_that_goes_ahead_waits_for_each_trial() -> None:
    case, events = Case(), list[Event]()
    problem = problem_of(case, events=events)

    loop.run(
        search(problem, lp.params_of(problem.program), selector_of(case, problem), finalists=0, ahead=3), instead=""
    )

    assert scored_in(events, case) == ours(case).evaluated
