"""Optimizers find what was planted, on a program whose every stage matters."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog import loop
from lmprog.data import Row, fields_in
from lmprog.events import CandidateScored, Event, StageEnded
from lmprog.metrics import exact_match
from lmprog.module import params_of
from lmprog.optimizer import Optimizer, Outcome, Problem, named, needs_of
from lmprog.optimizers.propose.demos import SHARE, bootstrap, complete_labels, labeled, sets_of
from lmprog.optimizers.propose.grounded import Grounds, propose, settings_for
from lmprog.optimizers.select.joint import Joint
from lmprog.optimizers.select.rows import Minibatches
from lmprog.optimizers.select.surrogates import Additive, Combo, Surrogate, Tpe
from lmprog.registry import names
from lmprog.search import search
from lmprog.testing import Answer, Asked, ScriptedLM, check_optimizer, problem_for


class WriteQuery(lp.Signature):
    """Write a search query."""

    question: str = lp.InputField()
    query: str = lp.OutputField()


class Reply(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    query: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoStages(lp.Module):
    def __init__(self) -> None:
        self.write_query = lp.Predict(WriteQuery)
        self.answer = lp.ChainOfThought(Reply)

    def forward(self, question: str) -> Reply:
        query = self.write_query(question=question).query
        return self.answer(question=question, query=query)


WORDINGS = ["Answer carefully.", "Guess.", "Write a precise query.", "Do it.", "Search well.", "Answer."]
ROWS = [{"question": f"q{i}", "answer": str(i)} for i in range(120)]


def luck(text: str) -> int:
    """A number from 0 to 9 that depends on the text alone."""
    return crc32(text.encode()) % 10


def planted(asked: Asked) -> Answer:
    """Right most often under "precise" queries, "carefully" written answers and a demo; proposes these among others."""
    (first, *_) = asked.outputs
    if "instruction" in first:
        return {first: WORDINGS[asked.request.sample % len(WORDINGS)]}
    if first == "summary":
        return {"summary": "questions and numbers"}
    question = asked.inputs["question"]
    if first == "query":
        return {"query": "good" if luck(question) < (9 if "precise" in asked.instruction else 3) else "bad"}
    level = 2 + 3 * ("carefully" in asked.instruction) + 2 * bool(asked.demos) + 3 * (asked.inputs["query"] == "good")
    return {"reasoning": "so", "answer": question[1:] if luck(question + "x") < level else "?"}


async def planted_with_random_delays(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.003)
    return planted(asked)


def searched(optimizer: str, *, calls: int | None = 3000, seed: int = 0) -> Outcome:
    lm = ScriptedLM(planted_with_random_delays)
    problem = problem_for(TwoStages(), ROWS[:40], ROWS[40:], exact_match("answer"), lm, calls=calls, seed=seed)
    return loop.run(named(optimizer).search(problem, params_of(problem.program)), instead="")


def test_mipro_finds_the_planted_instructions_and_demos_of_both_stages() -> None:
    outcome = searched("mipro")

    assert "precise" in outcome.params["write_query"].instruction
    assert "carefully" in outcome.params["answer"].instruction
    assert outcome.params["answer"].demos
    assert outcome.score > 0.85 > outcome.baseline_score + 0.4


@pytest.mark.parametrize("name", ["labeled-few-shot", "bootstrap", "bootstrap-random-search"])
def test_each_demo_optimizer_finds_that_demos_help(name: str) -> None:
    outcome = searched(name)

    assert outcome.params["answer"].demos
    assert outcome.score > outcome.baseline_score + 0.1


def test_the_same_seed_gives_the_same_params_whatever_the_latencies() -> None:
    first, second = searched("mipro", calls=1500), searched("mipro", calls=1500)

    assert first.params.to_json() == second.params.to_json()


def test_optimizers_run_in_turn_when_joined_by_arrows() -> None:
    outcome = searched("bootstrap -> mipro:candidates=4", calls=4000)

    assert outcome.score >= searched("bootstrap").score


@pytest.mark.parametrize(
    "name", [*(name for name in names("optimizers") if not needs_of(named(name))), "mipro:style=v2"]
)
def test_every_optimizer_keeps_what_optimizers_promise(name: str) -> None:
    check_optimizer(name)


@dataclass(frozen=True)
class Tampering:
    """An optimizer that does well, but for one thing."""

    spoil: Callable[[Outcome, Problem], Outcome]

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        return self.spoil(await named("labeled-few-shot").search(problem, params), problem)


def unrelated(outcome: Outcome, problem: Problem) -> Outcome:
    return replace(outcome, params=lp.Params({"other": next(iter(outcome.params.values()))}))


def boasting(outcome: Outcome, problem: Problem) -> Outcome:
    return replace(outcome, score=1.0)


def unseeded(outcome: Outcome, problem: Problem) -> Outcome:
    path = next(iter(outcome.params))
    return replace(outcome, params=outcome.params.replace(path, config={"max_tokens": random.randint(500, 10**6)}))


def quoting(outcome: Outcome, problem: Problem) -> Outcome:
    path = next(iter(outcome.params))
    return replace(outcome, params=outcome.params.replace(path, instruction="[[ answer ]]"))


@dataclass(frozen=True)
class Blind:
    """Takes the first proposal, good or bad, and calls what it likes."""

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        before = (await problem.evaluate(params)).score
        for path in params:
            params = params.replace(path, instruction="Say something.", demos=())
        after = (await problem.evaluate(params)).score
        return Outcome(params, after, before, "done")


@pytest.mark.parametrize(
    ("optimizer", "error"),
    [
        (Tampering(unrelated), "these params are for another program"),
        (Tampering(boasting), "`score` is 1.0, but the params score"),
        (Tampering(unseeded), "equal seeds gave different params"),
        (Tampering(quoting), "the params break the contract of prompts"),
        (Blind(), "reached"),
    ],
)
def test_the_check_refuses_an_optimizer_that_breaks_a_promise(optimizer: Optimizer, error: str) -> None:
    with pytest.raises((AssertionError, lp.LmprogError), match=error):
        check_optimizer(optimizer)


def test_the_check_runs_one_more_check_that_it_is_given() -> None:
    seen: list[Optimizer] = []

    check_optimizer("labeled-few-shot:demos=2", also=seen.append)

    assert seen == [named("labeled-few-shot:demos=2")]


def test_bootstrapping_beside_trial_0_proposing_and_rounds_of_trials_run_at_once() -> None:
    most = dict.fromkeys(["summary", "trial 0 and demos", "proposals", "trials"], 0)
    running, ended = dict.fromkeys(most, 0), list[str]()

    def stage(asked: Asked) -> str:
        if "question" not in asked.inputs:
            return "summary" if "summary" in asked.outputs else "proposals"
        return "trials" if "proposals" in ended else "trial 0 and demos"

    async def handler(asked: Asked) -> Answer:
        where = stage(asked)
        running[where] += 1
        most[where] = max(most[where], running[where])
        await asyncio.sleep(0.05)
        running[where] -= 1
        return planted(asked)

    def follow(event: Event) -> None:
        if isinstance(event, StageEnded):
            ended.append(event.stage)

    problem = problem_for(
        TwoStages(), ROWS[:40], ROWS[40:52], exact_match("answer"), ScriptedLM(handler), concurrency=48, emit=follow
    )
    loop.run(named("mipro:candidates=4,trials=8").search(problem, params_of(problem.program)), instead="")

    # 12 validation rows and a wave of 32 training rows; up to 3 proposals for each of 2 predictors; rounds of 2 trials of 12 rows
    assert (most["trial 0 and demos"], most["summary"], most["proposals"]) == (12 + 32, 1, 6)
    assert most["trials"] > 2 * 12


class Lone(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


def parrot(asked: Asked) -> Answer:
    """Always right, and of no help as a proposer."""
    return {"answer": asked.inputs["question"][1:]} if asked.outputs == ("answer",) else "?"


def never(asked: Asked) -> Answer:
    return {"answer": "?"} if asked.outputs == ("answer",) else "?"


def one_wording(asked: Asked) -> Answer:
    return dict.fromkeys(asked.outputs, "Answer.")


def refusing(asked: Asked) -> Answer:
    if asked.outputs == ("answer",):
        return parrot(asked)
    raise lp.ContextError("too long")


@pytest.mark.parametrize("script", [parrot, never, one_wording, refusing])
@pytest.mark.parametrize(
    ("val", "options"),
    [(1, ""), (3, ":bootstrapped=0,labeled=0"), (9, ":candidates=1"), (20, ":minibatch=7,minibatch_above=0,trials=6")],
)
def test_mipro_ends_on_the_smallest_of_problems(script: Callable[[Asked], Answer], val: int, options: str) -> None:
    problem = problem_for(lp.Predict(Lone), ROWS[:5], ROWS[5 : 5 + val], exact_match("answer"), ScriptedLM(script))

    outcome = loop.run(named(f"mipro{options}").search(problem, params_of(problem.program)), instead="")

    assert outcome.score == outcome.baseline_score
    assert outcome.params == params_of(problem.program)


def test_mipro_ends_where_all_rows_are_equal() -> None:
    rows = [{"question": "q1", "answer": "1"}]
    problem = problem_for(lp.Predict(Lone), rows * 20, rows * 60, exact_match("answer"), ScriptedLM(parrot))

    outcome = loop.run(named("mipro").search(problem, params_of(problem.program)), instead="")

    assert outcome.score == 1.0


def test_mipro_finds_demos_where_the_proposer_only_talks_nonsense() -> None:
    def handler(asked: Asked) -> Answer:
        return planted(asked) if {"query", "answer"} & {*asked.outputs} else "[[ nonsense"

    problem = problem_for(TwoStages(), ROWS[:40], ROWS[40:], exact_match("answer"), ScriptedLM(handler), calls=2000)
    outcome = loop.run(named("mipro").search(problem, params_of(problem.program)), instead="")

    assert outcome.params["answer"].demos
    assert outcome.params["answer"].instruction == params_of(problem.program)["answer"].instruction
    assert outcome.score > outcome.baseline_score


@pytest.mark.parametrize("error", [lp.AuthError("bad key"), lp.CapReached("spent", cap="usd")])
def test_a_systemic_fault_of_the_proposer_is_raised_but_a_cap_leaves_what_was_found(error: Exception) -> None:
    def handler(asked: Asked) -> Answer:
        if {"query", "answer"} & {*asked.outputs}:
            return planted(asked)
        raise error

    problem = problem_for(TwoStages(), ROWS[:40], ROWS[40:80], exact_match("answer"), ScriptedLM(handler), calls=1500)

    if isinstance(error, lp.AuthError):
        with pytest.raises(lp.AuthError, match="bad key"):
            loop.run(named("mipro").search(problem, params_of(problem.program)), instead="")
    else:
        outcome = loop.run(named("mipro").search(problem, params_of(problem.program)), instead="")
        assert outcome.score > outcome.baseline_score


def minibatches(seed: int) -> list[tuple[int, ...]]:
    events: list[Event] = []
    problem = problem_for(
        TwoStages(),
        ROWS[:20],
        ROWS[20:50],
        exact_match("answer"),
        ScriptedLM(planted),
        seed=seed,
        emit=events.append,
    )
    loop.run(
        named("mipro:candidates=3,trials=6,minibatch=10,minibatch_above=0").search(problem, params_of(problem.program)),
        instead="",
    )
    return [event.rows for event in events if isinstance(event, CandidateScored) and len(event.rows) == 10]


def test_another_seed_searches_in_another_order() -> None:
    assert minibatches(0) == minibatches(0)
    assert minibatches(0) != minibatches(7)


class Hops(lp.Module):
    """Calls one predictor in a loop."""

    def __init__(self) -> None:
        self.hop, self.answer = lp.Predict("question, found -> query"), lp.Predict("question, found -> answer")

    def forward(self, question: str) -> object:
        found = ""
        for _ in range(3):
            found += self.hop(question=question, found=found).query
        return self.answer(question=question, found=found)


def hopping(asked: Asked) -> Answer:
    if asked.outputs == ("query",):
        return {"query": f"<{len(asked.inputs['found'])}>"}
    return {"answer": asked.inputs["question"][1:]}


def problem_of(
    program: lp.Module | None = None,
    script: Callable[[Asked], Answer] = planted,
    *,
    train: Sequence[Row] = ROWS[:40],
    calls: int | None = None,
) -> Problem:
    return problem_for(
        program or TwoStages(), train, ROWS[40:52], exact_match("answer"), ScriptedLM(script), calls=calls
    )


def test_every_call_of_a_predictor_in_a_loop_may_become_a_demo() -> None:
    problem = problem_of(Hops(), hopping)
    params = params_of(problem.program)

    successes = loop.run(bootstrap(problem, params, wanted=8), instead="")
    sets = sets_of(problem, params, successes, count=8)

    assert all(len(success.demos["hop"]) == 3 for success in successes)
    shown = [demo for demos in sets for demo in demos["hop"]]
    assert len({str(demo.inputs["found"]) for demo in shown}) == 3
    for demos in sets:
        questions = [demo.inputs["question"] for demo in demos["hop"]]
        assert len(questions) == len({*questions}), "one demo of each row"


def test_demos_are_calls_of_training_rows_that_the_metric_passed() -> None:
    problem = problem_of()

    successes = loop.run(bootstrap(problem, params_of(problem.program), wanted=8), instead="")

    assert successes
    for success in successes:
        row = fields_in(problem.train[success.row])
        (demo,) = success.demos["answer"]
        assert (demo.inputs["question"], demo.outputs["answer"]) == (row["question"], row["answer"])


def test_rows_that_failed_are_tried_again_as_fresh_samples_at_temperature_1() -> None:
    asked_at: set[tuple[int, float]] = set()

    def handler(asked: Asked) -> Answer:
        asked_at.add((asked.request.sample, asked.request.temperature))
        return planted(asked) if asked.request.sample else {"query": "?", "reasoning": "so", "answer": "?"}

    problem = problem_of(script=handler)
    successes = loop.run(bootstrap(problem, params_of(problem.program), wanted=8, shown=0), instead="")

    assert successes
    assert asked_at == {(0, 0.0), (1, 1.0)}


def told_by_labels(asked: Asked) -> Answer:
    """Knows the answer only where demos show what an answer looks like; and never that of a row that is shown."""
    shown = {inputs["question"] for inputs, _ in asked.demos}
    assert asked.inputs["question"] not in shown
    return {"answer": asked.inputs["question"][1:] if shown else "?"}


def test_where_the_program_fails_the_teacher_is_shown_labels_of_other_rows() -> None:
    problem = problem_of(Asks(), told_by_labels)

    successes = loop.run(bootstrap(problem, params_of(problem.program), wanted=8), instead="")
    without = loop.run(bootstrap(problem, params_of(problem.program), wanted=8, shown=0), instead="")

    assert len(successes) >= 8
    assert not without


@pytest.mark.parametrize("spec", ["mipro:labeled=0", "bootstrap-random-search:labeled=0"])
def test_no_labels_are_shown_where_none_are_wanted(spec: str) -> None:
    shown: set[int] = set()

    def handler(asked: Asked) -> Answer:
        shown.add(len(asked.demos))
        return dict.fromkeys(asked.outputs, "?")

    problem = problem_of(Asks(), handler, calls=300)
    loop.run(named(spec).search(problem, params_of(problem.program)), instead="")

    assert shown == {0}


def test_where_nothing_succeeds_demo_sets_hold_labels_in_different_numbers() -> None:
    problem = problem_of(Asks(), lambda asked: {"answer": "?"})

    sets = sets_of(problem, params_of(problem.program), [], count=6, most_labeled=8)

    sizes = [len(demos["answer"]) for demos in sets]
    assert sizes[:2] == [0, 8]
    assert len(sizes) == 6
    assert len({*sizes}) > 2
    assert sets == sets_of(problem, params_of(problem.program), [], count=9, most_labeled=8)[:6]


class Asks(lp.Module):
    """One call."""

    def __init__(self) -> None:
        self.answer = lp.Predict("question -> answer")

    def forward(self, question: str) -> object:
        return self.answer(question=question)


@pytest.mark.parametrize("calls", [24, 30, 60, 150])
def test_bootstrapping_takes_no_more_than_its_share(calls: int) -> None:
    problem = problem_of(script=lambda asked: {"query": "?", "reasoning": "so", "answer": "?"}, calls=calls)

    loop.run(bootstrap(problem, params_of(problem.program), wanted=8), instead="")

    taken = problem.allowance.ledger.requested
    assert 0 <= taken <= SHARE * calls
    assert taken > SHARE * calls - 2  # less than another row of two calls is left over


def test_where_no_row_gets_the_full_score_the_best_quarter_teaches_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def partly(row: dict[str, str], prediction: object) -> float:
        return int(row["answer"]) / 100

    problem = replace(problem_of(), metric=partly)

    successes = loop.run(bootstrap(problem, params_of(problem.program), wanted=40), instead="")

    assert sorted(success.row for success in successes) == list(range(30, 40))
    assert (
        "no training row got the full score: demos are made of the best 10, with scores of 0.30 to 0.39."
        in caplog.messages
    )


def test_only_rows_that_label_every_output_of_a_predictor_make_labelled_demos() -> None:
    rows: list[Row] = [
        {"question": "q1", "answer": "1"},
        {"question": "q2", "answer": ["1", "one"]},
        {"question": "q3"},
    ]
    problem = problem_of(train=rows)

    assert [demo.inputs for demo in labeled(problem, "answer")] == [{"question": "q1"}]
    assert labeled(problem, "write_query") == []
    assert complete_labels(problem) == {"write_query": [], "answer": []}


@given(st.integers(1, 90), st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_every_validation_row_comes_up_once_before_any_comes_up_again(rows: int, size: int) -> None:
    problem = replace(problem_of(), val=ROWS[:1] * rows)
    batches = [Minibatches(problem, size).of_round(number) for number in range(1, 8)]

    if rows <= size:
        assert batches == [None] * 7
        return
    seen: list[int] = []
    for batch in batches[: rows // size]:
        assert batch is not None
        assert len(batch) == size
        seen += batch
    assert len(seen) == len({*seen})


@dataclass(frozen=True)
class Numbered:
    """A space of instructions that say which combination they are."""

    params: lp.Params
    sizes: tuple[int, ...]

    def build(self, combo: Combo) -> lp.Params:
        return self.params.replace("predict", instruction=f"Answer. {combo}") if any(combo) else self.params

    def describe(self, combo: Combo) -> str:
        return f"combination {combo}"


@pytest.mark.parametrize("surrogate", [Tpe(), Additive()], ids=["tpe", "additive"])
def test_the_joint_search_tries_every_combination_of_a_small_space_before_it_ends(surrogate: Surrogate) -> None:
    def handler(asked: Asked) -> Answer:
        return parrot(asked) if "(3, 3" in asked.instruction else never(asked)  # what the surrogate soon prefers

    events, program = list[Event](), lp.Predict(Lone)
    problem = problem_for(program, ROWS[:5], ROWS[5:8], exact_match("answer"), ScriptedLM(handler), emit=events.append)
    params = params_of(program)

    selector = Joint(
        Numbered(params, (4, 4, 5)), surrogate, lambda number: None, seed=0, trials=None, width=3, full_every=5
    )
    outcome = loop.run(search(problem, params, selector), instead="")

    assert outcome.stopped == "the search was finished"
    assert len({event.candidate for event in events if isinstance(event, CandidateScored)}) == 4 * 4 * 5


def test_a_proposer_sees_training_rows_the_program_and_its_steps_but_no_other_row() -> None:
    prompts: list[str] = []

    def handler(asked: Asked) -> Answer:
        if not {"query", "answer"} & {*asked.outputs}:
            prompts.append(str(asked.inputs))
        return planted(asked)

    problem = problem_of(script=handler)
    loop.run(named("mipro").search(problem, params_of(problem.program)), instead="")

    everything = "\n".join(prompts)
    assert "class TwoStages" in everything
    assert "`write_query` reads question and writes query" in everything
    assert any(f'"q{number}"' in everything for number in range(40))
    assert not any(f"q{number}" in everything for number in range(40, 120))


def test_a_lone_predictor_shows_the_proposer_its_step_and_none_of_our_source() -> None:
    prompts: list[str] = []

    def handler(asked: Asked) -> Answer:
        prompts.append(str(asked.inputs))
        return one_wording(asked)

    problem = problem_for(lp.Predict(Lone), ROWS[:5], ROWS[5:8], exact_match("answer"), ScriptedLM(handler))
    loop.run(propose(problem, params_of(problem.program), Grounds(), {"predict": settings_for(5)}), instead="")

    assert any("`predict` reads question and writes answer" in prompt for prompt in prompts)
    assert not any("class Predict" in prompt for prompt in prompts)


def test_events_count_requests_that_never_grow_fewer() -> None:
    events: list[Event] = []
    problem = replace(problem_of(), emit=events.append)

    loop.run(named("bootstrap-random-search:candidates=4").search(problem, params_of(problem.program)), instead="")

    requested = [event.requested for event in events]
    assert all(before <= after for before, after in pairwise(requested))
