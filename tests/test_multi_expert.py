"""MultiExpert: experts answer, a merge in seven steps, and a choice among all answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.multi_expert import Expert, MultiExpert
from lmprog.testing import Asked, ScriptedLM


class Advise(lp.Signature):
    """Say whether one may do it, and why."""

    question: str = lp.InputField()
    verdict: Literal["yes", "no", "it depends"] = lp.OutputField()
    reasons: list[str] = lp.OutputField()


ROLES = ("lawyer", "doctor", "neighbour")
SAYS = {"lawyer": ("yes", "it is legal"), "doctor": ("no", "it is unhealthy"), "neighbour": ("no", "it is loud")}
STEPS = ("agreed", "conflicting", "resolved", "isolated", "collected")
NOTHING: dict[str, Any] = {step: list[str]() for step in STEPS}


def panel(choice: int = 4) -> Callable[[Asked], Any]:
    """An LM that plays three experts, merges what they say, and chooses one candidate by its number."""

    def handler(asked: Asked) -> Any:
        if "experts" in asked.outputs:
            return {"experts": [{"role": role, "description": f"thinks as a {role}"} for role in ROLES]}
        if "expert" in asked.inputs:
            verdict, reason = SAYS[json.loads(asked.inputs["expert"])["role"]]
            return {"verdict": verdict, "reasons": [reason]}
        if "candidates" in asked.inputs:
            return {"choice": choice}
        reasons = [text.rpartition("reasons: ")[2] for text in json.loads(asked.inputs["answers"])]
        merged = [json.loads(text)[0] for text in reasons]
        return {**{step: [step] for step in STEPS}, "verdict": "it depends", "reasons": merged}

    return handler


def steps_of(program: Any, lm: lp.LM) -> tuple[lp.Step, ...]:
    [run] = lp.evaluate(program, [{"question": "q"}], lambda row, prediction: 1.0, lm=lm).runs
    return run.trace


def test_the_merged_answer_is_returned_where_it_is_chosen_and_an_experts_where_that_is() -> None:
    expected = {1: ("yes", ["it is legal"]), 3: ("no", ["it is loud"])}
    expected[4] = ("it depends", ["it is legal", "it is unhealthy", "it is loud"])

    for choice, (verdict, reasons) in expected.items():
        with lp.using(lm=ScriptedLM(panel(choice))):
            found = MultiExpert(Advise)(question="q")
        assert found == Advise(question="q", verdict=verdict, reasons=reasons)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_run_takes_three_calls_more_than_there_are_experts_who_answer_at_once() -> None:
    lm = ScriptedLM(panel(), latency_s=0.02)

    with lp.using(lm=lm):
        MultiExpert(Advise, n=3)(question="q")

    assert (lm.sent, lm.most_in_flight) == (6, 3)


def test_every_part_is_a_typed_output_in_the_trace() -> None:
    steps = steps_of(MultiExpert(Advise), ScriptedLM(panel()))

    assert [step.predictor for step in steps] == ["name_experts", "answer", "answer", "answer", "merge", "select"]
    experts = [Expert(role=role, description=f"thinks as a {role}") for role in ROLES]
    assert steps[0].outputs == {"experts": experts}
    assert [step.inputs["expert"] for step in steps[1:4]] == experts
    answers = [
        'verdict: yes\nreasons: ["it is legal"]',
        'verdict: no\nreasons: ["it is unhealthy"]',
        'verdict: no\nreasons: ["it is loud"]',
    ]
    assert steps[4].inputs["answers"] == answers
    assert [*steps[4].outputs] == [*STEPS, "verdict", "reasons"]
    assert steps[5].inputs["candidates"] == [
        *answers,
        'verdict: it depends\nreasons: ["it is legal", "it is unhealthy", "it is loud"]',
    ]


def test_every_call_is_told_the_task() -> None:
    instructions = [value.instruction for value in lp.params_of(MultiExpert(Advise)).values()]

    assert len(instructions) == 4
    assert all(text.endswith("The task: Say whether one may do it, and why.") for text in instructions)


def test_another_number_of_experts_than_asked_for_is_asked_for_again() -> None:
    asked_last: list[str] = []

    def handler(asked: Asked) -> Any:
        if "experts" in asked.outputs and len(asked.request.messages) > 2:
            asked_last.append(asked.request.messages[-1].text)
            return {"experts": [{"role": role, "description": ""} for role in ROLES[:2]]}
        return panel(choice=3)(asked)

    with lp.using(lm=ScriptedLM(handler)):
        assert MultiExpert(Advise, n=2)(question="q").verdict == "it depends"
    assert "should have at most 2 items" in asked_last[0]


def test_an_expert_whose_reply_does_not_validate_has_no_say() -> None:
    def handler(asked: Asked) -> Any:
        if "expert" in asked.inputs and "lawyer" in asked.inputs["expert"]:
            return "I object."
        return panel(choice=4)(asked)

    steps = steps_of(MultiExpert(Advise), ScriptedLM(handler))

    assert [len(steps[4].inputs["answers"]), len(steps[5].inputs["candidates"])] == [2, 3]  # type: ignore[arg-type]
    with lp.using(lm=ScriptedLM(handler)):
        assert MultiExpert(Advise)(question="q").reasons == ["it is unhealthy", "it is loud"]


def test_where_no_expert_validates_the_error_of_the_first_is_raised() -> None:
    def handler(asked: Asked) -> Any:
        return asked.inputs["expert"] if "expert" in asked.inputs else panel()(asked)

    with lp.using(lm=ScriptedLM(handler)), pytest.raises(lp.OutputError, match="lawyer"):
        MultiExpert(Advise)(question="q")


@pytest.mark.parametrize(
    ("path", "bad"),
    [("select", {"choice": 1}), ("merge", {**NOTHING, "verdict": "no", "reasons": []})],
)
def test_its_instructions_are_compiled(path: str, bad: Any, tmp_path: Path) -> None:
    rows = [{"question": f"q{number}", "verdict": "it depends"} for number in range(12)]

    check_strategy(
        MultiExpert(Advise), rows, lp.metrics.exact_match("verdict"), panel(), path=path, bad=bad, folder=tmp_path
    )


def test_the_short_form_of_a_signature_will_do() -> None:
    def handler(asked: Asked) -> Any:
        if "experts" in asked.outputs:
            return {"experts": [{"role": "a", "description": ""}, {"role": "b", "description": ""}]}
        if "candidates" in asked.inputs:
            return {"choice": 2}
        if "answers" in asked.inputs:
            return {**NOTHING, "answer": "both"}
        return {"answer": json.loads(asked.inputs["expert"])["role"]}

    with lp.using(lm=ScriptedLM(handler)):
        assert MultiExpert("question -> answer", n=2)(question="q").answer == "b"


def test_wrong_use_is_refused_at_once() -> None:
    for n in (1, 0, True, 2.5):
        with pytest.raises(lp.InputError, match="write how many experts there are"):
            MultiExpert(Advise, n=n)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.SignatureError, match="has a field called `answers`"):
        MultiExpert("question -> answers")


def test_partial_views_merged_are_right_where_one_answer_of_the_same_lm_never_is() -> None:
    def one_sided(asked: Asked) -> Any:
        """To itself it is a lawyer; as an expert it sees what that expert sees."""
        if "expert" in asked.inputs or "answers" in asked.inputs or asked.outputs in (("experts",), ("choice",)):
            return panel()(asked)
        return {"reasoning": "It is a matter of law.", "verdict": "yes", "reasons": ["it is legal"]}

    programs: list[Any] = [lp.ChainOfThought(Advise), MultiExpert(Advise)]
    chain, experts = (lp.evaluate(one, [{"question": "q"}], all_sides, lm=ScriptedLM(one_sided)) for one in programs)

    assert (chain.score, experts.score) == (0.0, 1.0)
    assert [found.spent.total_requested.calls for found in (chain, experts) if found.spent] == [1, 6]


def all_sides(row: object, prediction: Any) -> bool:
    return sorted(prediction.reasons) == sorted(reason for _, reason in SAYS.values())


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("name_experts", {"experts": [{"role": "lawyer", "description": ""}] * 3}),
        ("answer", {"verdict": "no", "reasons": ["?"]}),
    ],
)
def test_whom_it_asks_and_what_they_are_told_is_compiled_too(path: str, bad: Any, tmp_path: Path) -> None:
    rows = [{"question": f"q{number}"} for number in range(3)]

    check_strategy(MultiExpert(Advise), rows, all_sides, panel(), path=path, bad=bad, folder=tmp_path)
