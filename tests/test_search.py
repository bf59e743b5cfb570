"""The search kernel: trial 0 first, rounds at once and told in order, within the budget, and never worse than its input."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog import budget, lint, loop
from lmprog.data import fields_in, split
from lmprog.events import CandidateScored, Event, IncumbentChanged, RoundStarted, Stopped
from lmprog.metrics import exact_match
from lmprog.optimizer import Allowance, Optimizer, Outcome, Problem, Stages, named, needs_of
from lmprog.registry import names
from lmprog.scores import ScoreTable
from lmprog.search import BARREN_AT_MOST, Ask, Selector, Told, search
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for, reply


class Solve(lp.Signature):
    """Level 5."""

    question: int = lp.InputField()
    answer: str = lp.OutputField()


PROGRAM = lp.Predict(Solve)
START = lp.params_of(PROGRAM)
ROWS = [{"question": number, "answer": str(number)} for number in range(30)]
TRAIN, VAL = ROWS[20:], ROWS[:20]
EASY, HARD = (0, 1, 2, 3), (16, 17, 18, 19)


def level(height: int, note: str = "") -> lp.Params:
    """Params under which the first `height` of the 20 validation rows are answered right; at the start it is 5."""
    return START.replace("predict", instruction=f"Level {height}.{note}")


def by_level(asked: Asked) -> dict[str, str]:
    number, height = int(asked.inputs["question"]), height_of(asked.instruction)
    return {"answer": str(number) if number < height else "?"}


def height_of(instruction: str) -> int:
    return int(instruction.split()[1].rstrip("."))


async def by_level_late(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.003)
    return by_level(asked)


class Script:
    """A selector that asks for what it is given, round by round, and remembers what it was told."""

    def __init__(self, *rounds: Sequence[Ask]) -> None:
        self.rounds, self.told = list(rounds), list[list[Told]]()
        self.tables: list[dict[str, int]] = []

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        self.tables.append({name: table.n(name) for name in table.candidates})
        return self.rounds[len(self.told)] if len(self.told) < len(self.rounds) else []

    def tell(self, told: Sequence[Told], /) -> None:
        self.told.append(list(told))


class Forever:
    """A selector that never has enough."""

    def __init__(self, wishes: Callable[[int], Sequence[Ask]]) -> None:
        self.wishes, self.round = wishes, 0

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        self.round += 1
        return self.wishes(self.round)

    def tell(self, told: Sequence[Told], /) -> None:
        """Learn nothing."""


@dataclass(frozen=True, slots=True)
class Searched:
    outcome: Outcome
    events: list[Event]
    lm: ScriptedLM
    problem: Problem

    def scored(self) -> list[CandidateScored]:
        return [event for event in self.events if isinstance(event, CandidateScored)]


def searched(
    selector: Selector,
    *,
    lm: ScriptedLM | None = None,
    params: lp.Params = START,
    calls: int | None = None,
    tokens: int | None = None,
    patience: int | None = None,
    finalists: int = 2,
    concurrency: int = 16,
) -> Searched:
    lm, events = lm or ScriptedLM(by_level_late), list[Event]()
    problem = problem_for(
        PROGRAM,
        TRAIN,
        VAL,
        exact_match("answer"),
        lm,
        calls=calls,
        tokens=tokens,
        concurrency=concurrency,
        emit=events.append,
    )
    outcome = loop.run(search(problem, params, selector, patience=patience, finalists=finalists), instead="")
    return Searched(outcome, events, lm, problem)


def test_trial_0_is_the_unmodified_program_on_all_validation_rows() -> None:
    selector = Script()

    found = searched(selector)

    (trial,) = found.scored()
    assert (trial.params, trial.rows, sum(trial.scores)) == (START, tuple(range(20)), 5)
    assert selector.tables == [{START.fingerprint: 20}]
    assert found.outcome == Outcome(START, 0.25, 0.25, "the search was finished")


def test_the_best_candidate_on_all_rows_is_returned() -> None:
    found = searched(Script([Ask(level(4)), Ask(level(15)), Ask(level(9))], [Ask(level(12))]))

    assert found.outcome.params == level(15)
    assert (found.outcome.score, found.outcome.baseline_score) == (0.75, 0.25)


def test_params_that_went_in_are_returned_where_nothing_is_better() -> None:
    found = searched(Script([Ask(level(4)), Ask(level(5, " Or so."))]))

    assert found.outcome.params is START
    assert found.outcome.score == found.outcome.baseline_score == 0.25


ASKS = st.builds(
    Ask,
    st.integers(0, 20).map(level),
    st.none() | st.sets(st.integers(0, 19), min_size=1).map(lambda rows: tuple(sorted(rows))),
)


@given(st.lists(st.lists(ASKS, min_size=1, max_size=4), max_size=4), st.integers(20, 150), st.integers(0, 20))
@settings(deadline=None, max_examples=40)
def test_whatever_is_asked_the_outcome_is_not_worse_and_no_more_is_requested_than_allowed(
    rounds: list[list[Ask]], calls: int, start: int
) -> None:
    found = searched(Script(*rounds), lm=ScriptedLM(by_level), params=level(start), calls=calls)

    assert found.outcome.score >= found.outcome.baseline_score == start / 20
    assert found.problem.allowance.ledger.requested <= calls
    assert found.outcome.score == height_of(found.outcome.params["predict"].instruction) / 20


def test_the_candidates_of_a_round_run_at_once() -> None:
    lm = ScriptedLM(by_level, latency_s=0.02)

    searched(Script([Ask(level(6)), Ask(level(7)), Ask(level(8), EASY)]), lm=lm, concurrency=60)

    assert lm.most_in_flight == 20 + 20 + 4


def test_results_are_told_in_the_order_in_which_they_were_asked() -> None:
    selector = Script([Ask(level(n), EASY) for n in (9, 6, 8, 7)])

    found = searched(selector, finalists=0)

    assert [one.ask.params for one in selector.told[0]] == [level(n) for n in (9, 6, 8, 7)]
    assert [event.params for event in found.scored()] == [START, *(level(n) for n in (9, 6, 8, 7))]


def test_what_is_told_are_the_runs_on_the_rows_asked_for() -> None:
    selector = Script([Ask(level(18), (19, 2, 17))])

    searched(selector, finalists=0)

    (told,) = selector.told[0]
    assert told.evaluation is not None
    assert [fields_in(run.row)["question"] for run in told.evaluation.runs] == [19, 2, 17]
    assert told.evaluation.scores == (0.0, 1.0, 1.0)


def test_a_round_over_budget_is_shortened_from_its_end() -> None:
    selector = Script([Ask(level(n)) for n in (6, 7, 8, 9)])

    found = searched(selector, calls=20 + 2 * 2 * 20)  # other prompts may take more calls: twice as many must fit

    assert [one.ask.params for one in selector.told[0]] == [level(6), level(7)]
    assert found.lm.sent == 60
    assert found.outcome.params == level(7)


def test_as_soon_as_a_round_was_told_as_many_calls_must_fit_as_the_next_is_expected_to_take() -> None:
    selector = Script([Ask(level(6))], [Ask(level(n)) for n in (7, 8, 9)])

    found = searched(selector, calls=20 + 20 + 2 * 20 + 19)

    assert [one.ask.params for one in selector.told[1]] == [level(7), level(8)]
    assert found.lm.sent == 80


def test_a_search_ends_when_not_even_one_candidate_fits_the_budget() -> None:
    found = searched(Forever(lambda number: [Ask(level(5 + number))]), calls=70)

    assert found.outcome.stopped == "the budget was spent"
    assert found.outcome.params == level(7)
    assert found.lm.sent == 60


@pytest.mark.parametrize(("calls", "why"), [(59, "the budget was spent"), (60, "the search was finished")])
def test_a_selector_that_could_afford_no_wish_ended_for_want_of_budget(calls: int, why: str) -> None:
    assert searched(Script(), calls=calls).outcome.stopped == why


def test_a_budget_is_spent_also_where_every_round_holds_a_refused_candidate() -> None:
    found = searched(Forever(lambda number: [Ask(level(5, " ")), Ask(level(5 + number)), Ask(REFUSED)]), calls=70)

    assert found.outcome.stopped == "the budget was spent"


def test_a_full_score_of_one_finalist_is_kept_back() -> None:
    found = searched(Forever(lambda number: [Ask(level(5 + number % 15), HARD)]), calls=20 + 20 + 11)

    assert found.outcome.stopped == "the budget was spent"
    assert [len(event.rows) for event in found.scored()] == [20, 4, 4, *[16] * (len(found.scored()) - 3)]
    assert found.problem.allowance.ledger.requested <= 51


def test_trial_0_that_does_not_fit_the_cap_raises() -> None:
    with pytest.raises(lp.CapReached):
        searched(Script(), calls=19)


def costly_beyond_level_10(asked: Asked) -> Answer:
    return lp.Response(reply(by_level(asked)), prompt_tokens=10_000 if height_of(asked.instruction) > 10 else 10)


def test_a_round_that_a_cap_cuts_is_discarded_whole_and_the_best_so_far_is_returned() -> None:
    selector = Script([Ask(level(7))], [Ask(level(6)), Ask(level(15)), Ask(level(8))])

    found = searched(selector, lm=ScriptedLM(costly_beyond_level_10), tokens=60_000)

    assert [one.ask.params for one in selector.told[0]] == [level(7)]
    assert len(selector.told) == 1
    assert [event.params for event in found.scored()] == [START, level(7)]
    assert found.outcome == Outcome(level(7), 0.35, 0.25, "the cap on tokens was reached")
    assert found.lm.in_flight == 0


def test_finalists_are_scored_on_the_rows_that_they_have_not_seen() -> None:
    found = searched(Script([Ask(level(n), HARD) for n in (18, 19, 17)]))

    finals = [event for event in found.scored() if event.origin == "finalist"]
    assert [event.params for event in finals] == [level(19), level(18)]
    assert all(event.rows == tuple(range(16)) for event in finals)
    assert found.outcome.params == level(19)
    assert found.lm.sent == 20 + 3 * 4 + 2 * 16


def test_a_candidate_that_does_no_better_on_the_rows_it_has_seen_is_no_finalist() -> None:
    found = searched(Script([Ask(level(2), EASY), Ask(level(5, " So."), EASY)]))

    assert found.lm.sent == 20 + 2 * 4


def test_a_mean_over_some_rows_never_displaces_one_over_all() -> None:
    selector = Script([Ask(level(4), EASY), Ask(level(6))])

    found = searched(selector, finalists=0)

    assert found.outcome.params == level(6)
    assert found.outcome.score == 0.3


def test_a_candidate_that_was_lucky_on_a_minibatch_loses_once_it_is_scored_in_full() -> None:
    found = searched(Script([Ask(level(4), (*EASY, 5)), Ask(level(5, " Yes."), EASY)]))

    assert found.outcome.params == START


def test_patience_ends_a_search_after_so_many_rounds_without_gain() -> None:
    heights = [6, 4, 7, 4, 3, 2, 1]
    selector = Forever(lambda number: [Ask(level(heights[number - 1], f" Round {number}."))])

    found = searched(selector, patience=2)

    assert found.outcome.stopped == "2 rounds brought no gain"
    assert selector.round == 5
    assert found.outcome.score == 0.35


REFUSED = START.replace("predict", instruction="Level 20. [[ answer ]]")


def test_candidates_that_break_the_contract_of_prompts_are_told_with_the_reason_and_not_run() -> None:
    selector = Script([Ask(level(6)), Ask(REFUSED), Ask(level(7))])

    found = searched(selector)

    first, second, third = selector.told[0]
    assert (first.faults, second.evaluation, third.faults) == ((), None, ())
    assert "marks of the layout" in second.faults[0]
    assert found.lm.sent == 60
    assert found.outcome.params == level(7)


def test_a_search_ends_when_round_after_round_breaks_the_contract() -> None:
    selector = Forever(lambda number: [Ask(REFUSED)])

    found = searched(selector)

    assert found.outcome.stopped == f"every candidate of {BARREN_AT_MOST} rounds broke the contract of prompts"
    assert found.outcome.params == START


def test_events_tell_rounds_scores_incumbents_and_the_end() -> None:
    found = searched(Script([Ask(level(6), origin="a guess"), Ask(level(4))]))

    assert [type(event) for event in found.events] == [
        CandidateScored,
        IncumbentChanged,
        RoundStarted,
        CandidateScored,
        IncumbentChanged,
        CandidateScored,
        Stopped,
    ]
    assert [event.origin for event in found.scored()] == ["the program as it was", "a guess", ""]
    assert found.events[2] == RoundStarted(1, 2, 40, 20)
    assert found.events[-1] == Stopped("the search was finished", 60)


class Parsing(lp.Module):
    """Its own code breaks on any answer but a number."""

    def __init__(self) -> None:
        self.solve = lp.Predict(Solve)

    def forward(self, question: int) -> str:
        return str(int(self.solve(question=question).answer))


def number_at_level_5(asked: Asked) -> Answer:
    return {"answer": asked.inputs["question"] if asked.instruction == "Level 5." else "a number"}


def test_a_candidate_that_breaks_the_programs_code_scores_0_and_the_search_goes_on() -> None:
    program, selector = Parsing(), Script([Ask(lp.params_of(Parsing()).replace("solve", instruction="Level 6."))])
    problem = problem_for(program, TRAIN, VAL, exact_match("answer"), ScriptedLM(number_at_level_5))

    outcome = loop.run(search(problem, lp.params_of(program), selector), instead="")

    assert (outcome.score, outcome.baseline_score) == (1.0, 1.0)
    (told,) = selector.told[0]
    assert told.evaluation is not None
    assert (told.evaluation.score, len(told.evaluation.failures)) == (0.0, 20)


def test_a_program_whose_code_breaks_as_it_was_written_is_not_searched() -> None:
    problem = problem_for(Parsing(), TRAIN, VAL, exact_match("answer"), ScriptedLM(lambda asked: {"answer": "x"}))

    with pytest.raises(lp.DataError, match=r"failed on 20 of 20 rows.*ValueError"):
        loop.run(search(problem, lp.params_of(problem.program), Script()), instead="")


def test_a_systemic_fault_in_a_round_is_raised_as_such() -> None:
    def handler(asked: Asked) -> Answer:
        if asked.instruction == "Level 6.":
            raise lp.AuthError("bad key")
        return by_level(asked)

    with pytest.raises(lp.AuthError, match="bad key"):
        searched(Script([Ask(level(6)), Ask(level(7))]), lm=ScriptedLM(handler))


def test_params_of_another_program_are_refused() -> None:
    with pytest.raises(lp.ParamsError, match="these params are for another program"):
        searched(Script([Ask(lp.Params({"other": START["predict"]}))]))


LONG_ROW = "the quick brown fox jumps over the lazy dog near the old river bank"


def secretive(*, train: str = "", instruction: str = "Answer.") -> Problem:
    program = lp.Predict(type("Quoted", (Solve,), {"__doc__": instruction}))
    rows = [{"question": 1, "answer": "x", "note": note} for note in (train, LONG_ROW)]
    return problem_for(program, rows[:1], rows[1:], exact_match("answer"), ScriptedLM(by_level))


def test_an_instruction_that_quotes_8_words_of_a_validation_row_is_refused() -> None:
    problem = secretive()
    params = lp.params_of(problem.program)
    words = LONG_ROW.split()

    eight = params.replace("predict", instruction=f"For example: {' '.join(words[2:10]).upper()}!")
    seven = params.replace("predict", instruction=f"For example: {' '.join(words[2:9])}!")
    described = params.replace("predict", field_descriptions={"question": " ".join(words[2:10])})

    assert problem.faults(eight) == ["`predict`: the text quotes 8 words in a row from a row that is kept for scoring"]
    assert problem.faults(described) == problem.faults(eight)
    assert problem.faults(seven) == []


def test_words_that_training_rows_hold_too_are_no_secret() -> None:
    problem = secretive(train=LONG_ROW)

    assert problem.faults(lp.params_of(problem.program).replace("predict", instruction=LONG_ROW)) == []


def test_what_the_user_wrote_into_the_program_is_not_judged() -> None:
    problem = secretive(instruction=f"[[ so ]] {LONG_ROW} {'very ' * 2000}long")
    params = lp.params_of(problem.program)

    assert problem.faults(params) == []
    assert len(problem.faults(params.replace("predict", instruction=f"{params['predict'].instruction}er"))) == 3


def test_texts_are_found_wherever_a_row_holds_them() -> None:
    row = {"a": "one", "b": ["two", {"c": ("three", 4)}], "d": None}

    assert list(lint.texts_in(row)) == ["one", "two", "three"]


def test_an_empty_instruction_is_refused() -> None:
    assert secretive().faults(START.replace("predict", instruction="  ")) == ["`predict`: the instruction is empty"]


def test_an_optimizer_cannot_reach_the_holdout_and_its_prompts_hold_no_row_of_val() -> None:
    rows = [{"question": number, "answer": str(number)} for number in range(60)]
    splits = split(PROGRAM, rows, seed=0)
    shown: set[int] = set()

    def handler(asked: Asked) -> Answer:
        if asked.outputs == ("answer",):
            shown.update(int(inputs["question"]) for inputs, _ in asked.demos)
            return {"answer": asked.inputs["question"] if int(asked.inputs["question"]) % 2 else "?"}
        return dict.fromkeys(asked.outputs, f"Wording {asked.request.sample}.")

    for name in (name for name in names("optimizers") if not needs_of(named(name))):
        problem = problem_for(PROGRAM, splits.train, splits.val, exact_match("answer"), ScriptedLM(handler), calls=600)
        loop.run(named(name).search(problem, START), instead="")

    assert shown
    assert shown <= {int(fields_in(row)["question"]) for row in splits.train}


def test_random_numbers_depend_on_the_seed_and_the_names_alone() -> None:
    one, same, other = (secretive() for _ in range(3))
    other = replace(other, seed=1)

    draws = {problem.rng("a", 1).random() for problem in (one, same)}

    assert len(draws) == 1
    assert draws.isdisjoint({one.rng("a", 2).random(), one.rng("b", 1).random(), other.rng("a", 1).random()})


def test_proposals_are_asked_of_the_proposer_with_numbered_samples() -> None:
    samples: list[int] = []

    def handler(asked: Asked) -> Answer:
        samples.append(asked.request.sample)
        return {"answer": "x"}

    problem = problem_for(PROGRAM, TRAIN, VAL, exact_match("answer"), ScriptedLM(handler))

    async def ask() -> list[Solve]:
        return await loop.gather([problem.generate(sample, PROGRAM, question=1) for sample in (0, 1, 1, 2)])

    assert [found.answer for found in loop.run(ask(), instead="")] == ["x"] * 4
    assert sorted(samples) == [0, 1, 2]
    assert problem.allowance.ledger.spent.requested["proposer"].calls == 3


def test_an_allowance_counts_whole_calls_and_is_infinite_without_a_cap() -> None:
    ledger = secretive().allowance.ledger

    assert Allowance(ledger, 100, 1.5).for_rows(3) == 5
    assert Allowance(ledger, None, 1.5).left == float("inf")
    assert Allowance(ledger, None, 1.5).part(3).calls is None
    assert Allowance(ledger, 100, 1.5).part(3).left == 33


@dataclass(frozen=True)
class Climbing:
    """Asks for one level more in each round, for ever."""

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        height = height_of(params["predict"].instruction)
        return await search(problem, params, Forever(lambda number: [Ask(level(height + number))]))


def test_stages_start_from_the_best_so_far_and_share_the_calls_that_are_left() -> None:
    problem = problem_for(PROGRAM, TRAIN, VAL, exact_match("answer"), ScriptedLM(by_level), calls=120)

    outcome = loop.run(Stages((Climbing(), Climbing())).search(problem, START), instead="")

    # 60 calls: trial 0 and levels 6 and 7. 60 more: level 7 is recorded, so levels 8, 9 and 10.
    assert outcome == Outcome(level(10), 0.5, 0.25, "the budget was spent")
    assert problem.allowance.ledger.requested == 120


def test_a_stage_that_finds_nothing_is_not_built_upon() -> None:
    @dataclass(frozen=True)
    class Losing:
        async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
            return await search(problem, params, Script([Ask(level(2))]))

    problem = problem_for(PROGRAM, TRAIN, VAL, exact_match("answer"), ScriptedLM(by_level))

    outcome = loop.run(Stages((Losing(), Losing())).search(problem, START), instead="")

    assert outcome.params == START


def test_an_optimizer_is_named_with_options_and_joined_by_arrows() -> None:
    one, several = named("mipro:candidates=3, width=2"), named("bootstrap -> mipro:trials=7 -> bootstrap")

    assert repr(one).startswith("Mipro(candidates=3, trials=None")
    assert "width=2" in repr(one)
    assert isinstance(several, Stages)
    assert [type(stage).__name__ for stage in several.optimizers] == ["Bootstrap", "Mipro", "Bootstrap"]
    assert named(one) is one


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("miprov2", r"there is no 'miprov2' among the optimizers: there are .*bootstrap, .*mipro"),
        ("", r"there is no '' among the optimizers"),
        ("mipro -> ", r"there is no '' among the optimizers"),
        ("mipro:trials=3,trials=4", r"optimizer 'mipro:trials=3,trials=4': an option is given twice"),
        ("mipro:heat=1", r"optimizer 'mipro:heat=1': mipro has no option \['heat'\]. It has \["),
        ("mipro:trials=many", r"optimizer 'mipro:trials=many': trials='many': .*integer"),
        ("mipro:trials", r"optimizer 'mipro:trials': 'trials' is no option: write \"name:option=value\""),
        ("mipro:candidates=0", r"Mipro\(candidates=0\): `candidates` must be at least 1"),
        ("bootstrap -> mipro:width=-1", r"Mipro\(width=-1\): `width` must be at least 1"),
        ("labeled-few-shot:demos=0", r"LabeledFewShot\(demos=0\)"),
        ("bootstrap:attempts=0", r"Bootstrap\(attempts=0\)"),
        ("bootstrap-random-search:candidates=0", r"BootstrapRandomSearch\(candidates=0\)"),
    ],
)
def test_a_wrong_name_option_or_value_says_what_would_be_right(spec: str, error: str) -> None:
    with pytest.raises(lp.InputError, match=error):
        named(spec)


def test_every_built_in_optimizer_has_a_name() -> None:
    found: list[Optimizer] = [named(name) for name in names("optimizers")]

    assert len(found) == len(names("optimizers")) >= 4


@pytest.mark.parametrize(
    ("candidates", "predictors", "trials"),
    [(6, 1, 11), (6, 2, 21), (12, 1, 18), (18, 1, 27), (2, 1, 4), (1, 1, 2)],  # 4 p log2 n or 1.5 n, rounded up
)
def test_the_number_of_trials_is_mipros(candidates: int, predictors: int, trials: int) -> None:
    assert budget.trials(candidates, predictors) == trials


def test_an_estimate_adds_up_what_a_search_takes() -> None:
    small = budget.estimate("light", predictors=2, calls_per_row=2, train=40, val=30, holdout=30)
    large = budget.estimate("light", predictors=2, calls_per_row=2, train=400, val=300, holdout=300)

    # min(train, 2 * 6 * 4) rows; 2 * 5 proposals and a summary; 21 trials and trial 0 on 30 rows; 2 * 30 rows and a quarter
    assert small == budget.Estimate(bootstrap=80, proposals=11, search=22 * 30 * 2, certificate=150)
    # 21 trials on 35 rows, and after every 5 of them, at the start and at the end all 300
    assert large == budget.Estimate(bootstrap=96, proposals=11, search=(21 * 35 + 6 * 300) * 2, certificate=1500)
    assert small.total == 80 + 11 + 1320 + 150
