"""MajorityVote: the answer that most runs agree on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.majority_vote import MajorityVote
from lmprog.testing import Asked, ScriptedLM


class Answer(lp.Signature):
    """Answer the question."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


def saying(*answers: str) -> ScriptedLM:
    """An LM whose samples reason each in its own way and give these answers; "" is a reply that does not validate."""

    def handler(asked: Asked) -> Any:
        answer = answers[asked.request.sample]
        return {"reasoning": f"because {asked.request.sample}", "answer": answer} if answer else "no field"

    return ScriptedLM(handler)


def test_the_first_prediction_of_the_largest_group_is_returned() -> None:
    with lp.using(lm=saying("a", "b", "c", "b")):
        found = MajorityVote(lp.ChainOfThought(Answer), n=4)(question="q")

    assert (found.answer, lp.reasoning(found)) == ("b", "because 1")


def test_of_groups_as_large_the_one_that_began_first_wins() -> None:
    with lp.using(lm=saying("a", "b", "a", "b")):
        assert MajorityVote(lp.ChainOfThought(Answer), n=4)(question="q").answer == "a"


def test_runs_are_counted_by_what_the_user_says() -> None:
    vote = MajorityVote(Answer, n=3, by=lambda prediction: prediction.answer.lower())

    with lp.using(lm=saying("b", "A", "a")):
        assert vote(question="q").answer == "A"


def test_all_runs_are_samples_at_the_temperature_and_run_at_once() -> None:
    temperatures: list[float] = []

    def handler(asked: Asked) -> Any:
        temperatures.append(asked.request.temperature)
        return {"answer": "a"}

    lm = ScriptedLM(handler, latency_s=0.02)
    with lp.using(lm=lm):
        MajorityVote(Answer, n=3, temperature=0.5)(question="q")

    assert (temperatures, lm.most_in_flight) == ([0.5] * 3, 3)


def test_a_run_that_does_not_validate_has_no_vote() -> None:
    with lp.using(lm=saying("", "", "a")):
        assert MajorityVote(Answer, n=3)(question="q").answer == "a"
    with lp.using(lm=saying("", "")), pytest.raises(lp.OutputError, match="no field"):
        MajorityVote(Answer, n=2)(question="q")


def test_the_trace_keeps_the_runs_that_agree_and_sets_the_others_aside() -> None:
    vote = MajorityVote(Answer, n=3)

    [run] = lp.evaluate(vote, [{"question": "q"}], lambda row, made: 1.0, lm=saying("a", "b", "a")).runs

    assert [(step.outputs["answer"], step.kept) for step in run.trace] == [("a", True), ("b", False), ("a", True)]


def test_programs_that_return_values_are_counted_by_them_and_what_cannot_be_counted_is_refused() -> None:
    class Words(lp.Module):
        def __init__(self) -> None:
            self.answer = lp.Predict(Answer)

        def forward(self, question: str, listed: bool = False) -> Any:
            answer = self.answer(question=question).answer
            return [answer] if listed else answer

    with lp.using(lm=saying("a", "b", "b")):
        assert MajorityVote(Words(), n=3)("q") == "b"
        with pytest.raises(lp.InputError, match=r"runs cannot be counted by \['a'\]"):
            MajorityVote(Words(), n=3)("q", listed=True)


def test_a_vote_is_right_more_often_than_one_draw(tmp_path: Path) -> None:
    rows = [{"question": f"q{number}", "answer": "right"} for number in range(12)]

    def two_of_three(asked: Asked) -> Mapping[str, str]:
        number = int(asked.inputs["question"][1:])
        return {"answer": "wrong" if (number + asked.request.sample) % 3 == 0 else "right"}

    metric = lp.metrics.exact_match("answer")
    assert lp.evaluate(lp.Predict(Answer), rows, metric, lm=ScriptedLM(two_of_three)).score == pytest.approx(2 / 3)
    assert lp.evaluate(MajorityVote(Answer, n=3), rows, metric, lm=ScriptedLM(two_of_three)).score == 1.0
    check_strategy(
        MajorityVote(Answer, n=3), rows, metric, two_of_three, path="program", bad={"answer": "?"}, folder=tmp_path
    )


def test_an_lm_that_cannot_sample_is_refused() -> None:
    lm = ScriptedLM(lambda asked: {"answer": "a"}, capabilities=frozenset({"generate"}))

    with pytest.raises(lp.CapabilityError, match="MajorityVote needs the capability 'sample'"):
        lp.evaluate(MajorityVote(Answer), [{"question": "q"}], lambda row, prediction: 1.0, lm=lm)


async def late(prediction: Answer) -> str:
    return prediction.answer


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 2.5}, {"temperature": float("inf")}, {"by": "answer"}, {"by": late}])
def test_wrong_settings_are_refused_at_once(wrong: Any) -> None:
    with pytest.raises(lp.InputError, match=next(iter(wrong))):
        MajorityVote(Answer, **wrong)
