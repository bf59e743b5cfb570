"""BestOfN: the best of several runs by a reward, and the steps of the others set aside."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog import loop
from lmprog.module import inputs_of
from lmprog.optimizers.propose.demos import bootstrap
from lmprog.strategies.best_of_n import BestOfN
from lmprog.testing import Asked, ScriptedLM, problem_for


class Guess(lp.Signature):
    """Guess the number."""

    question: str = lp.InputField()
    number: int = lp.OutputField()


class Rounded(lp.Module):
    """Two steps, so that a run is more than a call."""

    def __init__(self) -> None:
        self.guess = lp.Predict(Guess)
        self.check = lp.Predict("number: int -> rounded: int")

    def forward(self, question: str) -> int:
        rounded: int = self.check(number=self.guess(question=question).number).rounded
        return rounded


def numbered(*numbers: int | str) -> ScriptedLM:
    """An LM that guesses these numbers, one a sample, and rounds to tens; a text is a reply that does not validate."""

    def handler(asked: Asked) -> Any:
        if "number" in asked.inputs:
            return {"rounded": round(int(asked.inputs["number"]), -1)}
        return {"number": numbers[asked.request.sample]}

    return ScriptedLM(handler)


def larger(inputs: Mapping[str, Any], prediction: Any) -> float:
    return float(getattr(prediction, "number", prediction))


def steps_of(program: Any, lm: lp.LM) -> tuple[lp.Step, ...]:
    [run] = lp.evaluate(program, [{"question": "q"}], lambda row, prediction: 1.0, lm=lm).runs
    return run.trace


def test_the_prediction_with_the_highest_reward_is_returned() -> None:
    best = BestOfN(Guess, n=4, reward=larger)

    with lp.using(lm=numbered(3, 9, 1, 7)):
        assert best(question="q").number == 9


def test_of_equal_rewards_the_first_run_wins() -> None:
    best = BestOfN(Guess, n=4, reward=lambda inputs, prediction: prediction.number > 5)

    with lp.using(lm=numbered(3, 7, 9, 8)):
        assert best(question="q").number == 7


def test_the_first_run_is_the_program_as_it_is_and_the_others_are_fresh_samples_all_at_once() -> None:
    asked: list[tuple[int, float]] = []

    def handler(call: Asked) -> Any:
        asked.append((call.request.sample, call.request.temperature))
        return {"number": 1}

    lm = ScriptedLM(handler, latency_s=0.02)
    with lp.using(lm=lm):
        BestOfN(Guess, n=3, reward=larger, temperature=0.8)(question="q")

    assert asked == [(0, 0.0), (1, 0.8), (2, 0.8)]
    assert lm.most_in_flight == 3


def test_with_a_threshold_runs_follow_each_other_until_one_is_good_enough() -> None:
    lm = numbered(3, 5, 9, 7)
    best = BestOfN(Guess, n=4, reward=larger, threshold=5)

    with lp.using(lm=lm):
        assert best(question="q").number == 5

    assert (lm.sent, lm.most_in_flight) == (2, 1)


def test_a_threshold_that_is_never_reached_gives_the_best_of_all_runs() -> None:
    with lp.using(lm=numbered(3, 9, 7)):
        assert BestOfN(Guess, n=3, reward=larger, threshold=10)(question="q").number == 9


def test_draws_within_draws_share_no_sample() -> None:
    asked: list[tuple[int, float]] = []

    def handler(call: Asked) -> Any:
        asked.append((call.request.sample, call.request.temperature))
        return {"number": call.request.sample}

    best = BestOfN(BestOfN(Guess, n=3, reward=larger), n=2, reward=larger)
    with lp.using(lm=ScriptedLM(handler)):
        assert best(question="q").number == 5
        with lp.using(sample=1):
            assert best(question="q").number == 11

    assert sorted(sample for sample, _ in asked) == list(range(12))
    assert asked[:6] == [(0, 0.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0)]


def test_a_reward_may_be_async_and_ask_an_lm_and_sees_inputs_by_name() -> None:
    judge = lp.Predict("question, number: int -> good: bool")
    seen: list[Mapping[str, Any]] = []

    async def reward(inputs: Mapping[str, Any], prediction: Guess) -> bool:
        seen.append(inputs)
        return bool((await judge.acall(question=inputs["question"], number=prediction.number)).good)

    def sync_reward(inputs: Mapping[str, Any], prediction: Guess) -> bool:
        return bool(judge(question=inputs["question"], number=prediction.number).good)

    def handler(asked: Asked) -> Any:
        if "number" in asked.inputs:
            return {"good": asked.inputs["number"] == "1"}
        return {"number": asked.request.sample}

    with lp.using(lm=ScriptedLM(handler)):
        assert BestOfN(Guess, n=3, reward=reward)(question="q").number == 1
        assert BestOfN(Guess, n=3, reward=sync_reward)(question="q").number == 1

    assert seen == [{"question": "q"}] * 3


def test_a_reward_sees_by_name_what_was_given_by_place_and_by_default() -> None:
    class Rounding(Rounded):
        def forward(self, question: str, to: int = -1) -> int:
            return round(self.guess(question=question).number, to)

    seen: list[Mapping[str, Any]] = []

    def reward(inputs: Mapping[str, Any], prediction: int) -> bool:
        seen.append(inputs)
        return True

    with lp.using(lm=numbered(12)):
        assert BestOfN(Rounding(), n=1, reward=reward)("q") == 10
    assert seen == [{"question": "q", "to": -1}]


def test_a_score_with_feedback_is_a_reward_too() -> None:
    best = BestOfN(Guess, n=2, reward=lambda inputs, prediction: lp.Score(prediction.number / 10, feedback="larger!"))

    with lp.using(lm=numbered(1, 2)):
        assert best(question="q").number == 2


def test_a_run_that_does_not_validate_drops_out() -> None:
    with lp.using(lm=numbered("none", 2, "none")):
        assert BestOfN(Guess, n=3, reward=larger)(question="q").number == 2


def test_where_no_run_validates_the_error_of_the_first_is_raised() -> None:
    with lp.using(lm=numbered("one", "two")), pytest.raises(lp.OutputError, match="one"):
        BestOfN(Guess, n=2, reward=larger)(question="q")


def test_an_lm_that_cannot_answer_ends_all_runs() -> None:
    def handler(asked: Asked) -> Any:
        raise lp.AuthError("wrong key")

    with lp.using(lm=ScriptedLM(handler)), pytest.raises(lp.AuthError, match="wrong key"):
        BestOfN(Guess, n=3, reward=larger)(question="q")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "the reward returned None"),
        ("0.5", "the reward returned '0.5'"),
        (float("nan"), "returned nan"),
        (10**400, "returned 1000"),
    ],
)
def test_a_reward_that_returns_no_number_is_a_metric_error_with_the_inputs(given: Any, said: str) -> None:
    with lp.using(lm=numbered(1)), pytest.raises(lp.MetricError, match=said) as caught:
        BestOfN(Guess, n=1, reward=lambda inputs, prediction: given)(question="why?")

    assert "why?" in str(caught.value) and "why?" not in str(caught.value.unshown)


def test_a_reward_that_raises_ends_an_evaluation_with_what_it_raised() -> None:
    def reward(inputs: Mapping[str, Any], prediction: Guess) -> float:
        return 1 / (prediction.number - 1)

    best = BestOfN(Guess, n=1, reward=reward)
    with pytest.raises(lp.MetricError) as caught:
        lp.evaluate(best, [{"question": "q"}], lambda row, prediction: 1.0, lm=numbered(1))

    place = r"test_best_of_n\.py, line \d+, in reward"
    assert re.match(
        rf"the reward raised ZeroDivisionError: division by zero \({place}; on the inputs", str(caught.value)
    )
    assert re.fullmatch(rf"the reward raised ZeroDivisionError \({place}\)\.", str(caught.value.unshown))


@pytest.mark.parametrize("raised", [SystemExit(2), asyncio.CancelledError()])
def test_a_reward_that_exits_or_is_cancelled_is_one_that_failed(raised: BaseException) -> None:
    def reward(inputs: Mapping[str, Any], prediction: Guess) -> float:
        raise raised

    with lp.using(lm=numbered(1)), pytest.raises(lp.MetricError, match="the reward raised"):
        BestOfN(Guess, n=1, reward=reward)(question="q")


def test_the_trace_holds_every_run_in_order_and_marks_what_was_not_chosen() -> None:
    async def slow_first(asked: Asked) -> Any:
        await asyncio.sleep(0.05 * (2 - asked.request.sample))
        if "number" in asked.inputs:
            return {"rounded": int(asked.inputs["number"])}
        return {"number": [3, 9, 1][asked.request.sample]}

    steps = steps_of(BestOfN(Rounded(), n=3, reward=larger), ScriptedLM(slow_first))

    assert [(step.predictor, [*step.outputs.values()], step.kept) for step in steps] == [
        ("program.guess", [3], False),
        ("program.check", [3], False),
        ("program.guess", [9], True),
        ("program.check", [9], True),
        ("program.guess", [1], False),
        ("program.check", [1], False),
    ]


def test_no_demo_is_made_of_a_run_that_was_not_chosen() -> None:
    rows = [{"question": f"q{number}", "number": 9} for number in range(4)]
    best, metric = BestOfN(Guess, n=3, reward=larger), lp.metrics.exact_match("number")
    problem = problem_for(best, rows, rows, metric, numbered(3, 9, 1))

    found = loop.run(bootstrap(problem, lp.params_of(best), wanted=4, attempts=1, share=1.0), instead="await")

    assert len(found) == 4
    assert [demo.outputs for success in found for demo in success.demos["program"]] == [{"number": 9}] * 4


def test_the_predictor_inside_is_compiled(tmp_path: Path) -> None:
    rows = [{"question": f"q{number}", "number": 7} for number in range(12)]

    check_strategy(
        BestOfN(Guess, n=2, reward=larger), rows, lp.metrics.exact_match("number"),
        lambda asked: {"number": 7 - asked.request.sample % 2}, path="program", bad={"number": 0}, folder=tmp_path,
    )  # fmt: skip


def test_equal_runs_cost_nothing_again_in_an_evaluation() -> None:
    lm = numbered(1, 2, 3)

    found = lp.evaluate(BestOfN(Guess, n=3, reward=larger), [{"question": "q"}] * 5, lambda row, made: 1.0, lm=lm)

    assert (len(found.runs), lm.sent) == (5, 3)


def test_an_lm_that_cannot_sample_is_refused() -> None:
    lm = ScriptedLM(lambda asked: {"number": 1}, capabilities=frozenset({"generate"}))

    with pytest.raises(lp.CapabilityError, match="BestOfN needs the capability 'sample'"):
        lp.evaluate(BestOfN(Guess, reward=larger), [{"question": "q"}], lambda row, prediction: 1.0, lm=lm)
    assert lm.sent == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n": 0}, "n=0: write how many times"),
        ({"n": True}, "n=True: write how many times"),
        ({"reward": "larger"}, "reward='larger' cannot be called"),
        ({"threshold": float("nan")}, "threshold=nan: write the reward"),
        ({"temperature": -1}, "temperature=-1: write a number"),
    ],
)
def test_wrong_settings_are_refused_at_once(wrong: Any, said: str) -> None:
    with pytest.raises(lp.InputError, match=said):
        make: Any = BestOfN
        make(Guess, **{"reward": larger, **wrong})


def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(lp.InputError, match=r"the program is the class Rounded: write `Rounded\(...\)`"):
        BestOfN(Rounded, reward=larger)


def test_it_takes_what_the_program_inside_takes() -> None:
    assert inputs_of(BestOfN(Rounded(), reward=larger)) == ("question",)
    with lp.using(lm=numbered(1)), pytest.raises(lp.InputError, match="`question` is missing"):
        BestOfN("question -> number: int", reward=larger)()


def test_it_is_right_where_the_plain_program_is_seldom_and_a_threshold_saves_calls() -> None:
    rows = [{"question": f"{number}"} for number in range(12)]

    def lucky(asked: Asked) -> Any:
        """Right in one of any three samples."""
        return {"number": 9 if (int(asked.inputs["question"]) + asked.request.sample) % 3 == 0 else 1}

    programs: list[Any] = [
        lp.Predict(Guess),
        BestOfN(Guess, n=3, reward=larger),
        BestOfN(Guess, n=3, reward=larger, threshold=9),
    ]
    found = [lp.evaluate(one, rows, lambda row, made: made.number == 9, lm=ScriptedLM(lucky)) for one in programs]

    assert [one.score for one in found] == [pytest.approx(1 / 3), 1.0, 1.0]
    assert [one.spent.total_requested.calls for one in found if one.spent] == [12, 36, 24]  # 1, 2 or 3 a row
