"""`Pool`: choosing among given candidates, and the LM that plays recorded outcomes."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.beliefs import Beliefs
from lmprog.optimizers.select.pool import PolicyName, Pool
from lmprog.params import Params
from lmprog.scores import ScoreTable
from lmprog.testing import Asked, ScriptedLM, TableLM, problem_for

ROWS = 120
POLICIES: Sequence[PolicyName] = ("rejects", "halving", "tpe", "full", "random")


def table(chances: Sequence[float], *, seed: int = 0, demos: Sequence[Sequence[str]] | None = None) -> TableLM:
    """Return prompts that are right with these chances, on rows of differing difficulty."""
    rng = Random(seed)
    ease = [rng.uniform(-0.3, 0.3) for _ in range(ROWS)]
    scores = [[float(rng.random() < chance + each) for each in ease] for chance in chances]
    shown = demos or [()] * len(chances)
    return TableLM([(f"Wording {number}.", own) for number, own in enumerate(shown)], scores)


def chosen(lm: TableLM, policy: PolicyName, *, calls: int | None, seed: int = 0) -> tuple[int, Outcome, Problem]:
    """Return the number of the prompt that a policy chooses; the first is the program as it was."""
    problem = problem_for(lm.program, lm.rows[:1], lm.rows, lm.metric, lm, calls=calls, seed=seed)
    outcome = loop.run(Pool(lm.params, policy).search(problem, lm.params[0]), instead="await")
    return list(lm.params).index(outcome.params), outcome, problem


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("calls", [None, 300, 700])
def test_a_policy_keeps_to_its_budget_and_chooses_the_same_again(policy: PolicyName, calls: int | None) -> None:
    lm = table([0.5 + 0.02 * number for number in range(12)])

    first, outcome, problem = chosen(lm, policy, calls=calls, seed=3)
    second, again, _ = chosen(lm, policy, calls=calls, seed=3)

    assert first == second and outcome == again
    assert outcome.stopped
    assert calls is None or problem.allowance.ledger.requested <= calls


@pytest.mark.parametrize("policy", ["rejects", "halving"])
def test_with_calls_enough_the_best_on_all_rows_is_chosen(policy: PolicyName) -> None:
    lm = table([0.3, 0.5, 0.75, 0.4, 0.6])

    number, outcome, _ = chosen(lm, policy, calls=None)

    assert number == 2
    assert outcome.score > outcome.baseline_score


@pytest.mark.parametrize("policy", ["rejects", "halving"])
def test_few_calls_suffice_where_full_scores_would_not_fit(policy: PolicyName) -> None:
    chances = [0.35] * 29 + [0.85]
    picks = [chosen(table(chances, seed=seed), policy, calls=3 * ROWS, seed=seed)[0] for seed in range(10)]

    assert sum(pick == 29 for pick in picks) >= 9


def test_what_like_prompts_scored_counts() -> None:
    """Prompts without demos are bad here: the scores of some speak for the others, unseen."""
    shown = [["a demo"] if number % 2 else [] for number in range(20)]
    lm = table([0.8 if number % 2 else 0.3 for number in range(20)], demos=shown)
    scores = ScoreTable(ROWS)
    for number in range(10):
        right = [1.0 if number % 2 else 0.0] * 6
        scores.record(lm.params[number].fingerprint, range(6), right)

    means = Beliefs(lm.params).means(scores)

    assert min(means[11::2]) > max(means[10::2])


def test_the_scores_of_rows_that_one_candidate_alone_ran_say_nothing() -> None:
    lm = table([0.5, 0.5, 0.5])
    scores = ScoreTable(ROWS)
    scores.record(lm.params[0].fingerprint, range(40), [1.0] * 40)
    scores.record(lm.params[1].fingerprint, range(40, 80), [0.0] * 40)

    means = Beliefs(lm.params).means(scores)

    assert max(abs(means)) < 1e-9


def test_a_pool_is_an_optimizer_for_compile(tmp_path: Path) -> None:
    def right(asked: Asked) -> dict[str, str]:
        return {"answer": asked.inputs["question"] if "repeat" in asked.instruction else "no"}

    program = lp.Predict("question -> answer")
    path, params = "predict", lp.params_of(program)
    candidates = [params.replace(path, instruction=text) for text in ("Guess.", "Please repeat.", "Say no.")]
    rows = [{"question": f"q{number}", "answer": f"q{number}"} for number in range(200)]

    result = lp.compile(
        program, train=rows, metric=lp.metrics.exact_match("answer"), optimizer=Pool(candidates),
        lm=ScriptedLM(right), run_dir=tmp_path,
    )  # fmt: skip

    assert result.params["predict"].instruction == "Please repeat."
    assert result.certificate.gain == 1.0


def test_candidates_that_do_not_fit_the_program_are_refused() -> None:
    lm = table([0.5, 0.6])
    other = Params({"elsewhere": lm.params[0]["predict"]})
    problem = problem_for(lm.program, lm.rows[:1], lm.rows, lm.metric, lm)

    with pytest.raises(lp.ParamsError, match="elsewhere"):
        loop.run(Pool([other]).search(problem, lm.params[0]), instead="await")
    with pytest.raises(lp.InputError, match="nothing to choose from"):
        Pool([])
    with pytest.raises(lp.InputError, match=r"'best'.*rejects"):
        Pool(lm.params, policy="best")  # type: ignore[arg-type]


def test_a_pool_of_the_program_alone_returns_it() -> None:
    lm = table([0.5])
    for policy in POLICIES:
        assert chosen(lm, policy, calls=None)[0] == 0


def test_a_table_is_checked() -> None:
    with pytest.raises(lp.InputError, match="2 prompts and rows of"):
        TableLM([("a", ()), ("b", ())], [[1.0], [1.0, 0.0]])
    with pytest.raises(lp.InputError, match="same text"):
        TableLM([("a", ()), ("a", ())], [[1.0], [0.0]])


def test_a_table_replies_what_was_recorded() -> None:
    scores = [[0.0, 0.25, 1.0], [1.0, 0.5, 0.0]]
    lm = TableLM([("a", ["x"]), ("b", [])], scores)
    problem = problem_for(lm.program, lm.rows[:1], lm.rows, lm.metric, lm)

    found = [loop.run(problem.evaluate(params), instead="await").scores for params in lm.params]

    assert found == [tuple(own) for own in scores]
