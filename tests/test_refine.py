"""Refine: runs that learn from a critic's advice, which touches no params and no demos."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog import loop
from lmprog.optimizers.propose.demos import bootstrap
from lmprog.strategies.best_of_n import BestOfN
from lmprog.strategies.refine import Refine
from lmprog.testing import Asked, ScriptedLM, problem_for


class Write(lp.Signature):
    """Write a slogan."""

    product: str = lp.InputField()
    slogan: str = lp.OutputField()


class Ad(lp.Module):
    """Two steps, of which the second is at fault."""

    def __init__(self) -> None:
        self.praise = lp.Predict("product -> praise")
        self.write = lp.Predict(Write)

    def forward(self, product: str) -> Write:
        return self.write(product=self.praise(product=product).praise)


def brief(inputs: Mapping[str, Any], prediction: Any) -> lp.Score:
    """Up to 10 characters are good enough, fewer are better still."""
    length = len(prediction.slogan)
    return lp.Score(10 / length, feedback=f"{length} characters, 10 at most")


def slogan(asked: Asked) -> Any:
    """An LM that is wordy unless it is advised, and a critic that says so of the step that it finds at fault."""
    if "steps" in asked.inputs:
        steps = json.loads(asked.inputs["steps"])
        return {"reasoning": asked.inputs["feedback"], "advice": {steps[-1]["step"]: "be brief"}}
    if "praise" in asked.outputs:
        return {"praise": "good " + asked.inputs["product"]}
    return {"slogan": "Tea!" if asked.inputs.get("advice") == "be brief" else "Buy tea of the best kind."}


ROW = {"product": "tea"}


def steps_of(program: Any, handler: Any = slogan, row: Mapping[str, Any] = ROW) -> tuple[lp.Step, ...]:
    [run] = lp.evaluate(program, [row], lambda row, prediction: 1.0, lm=ScriptedLM(handler)).runs
    return run.trace


def critics_inputs(program: Any) -> list[dict[str, Any]]:
    return [dict(step.inputs) for step in steps_of(program) if step.predictor == "critic"]


def test_the_next_run_sees_the_critics_advice_and_is_returned_when_it_is_good_enough() -> None:
    lm = ScriptedLM(slogan)

    with lp.using(lm=lm):
        assert Refine(Write, n=5, reward=brief, threshold=1.0)(product="tea").slogan == "Tea!"

    assert lm.sent == 3


def test_a_run_that_is_good_enough_at_once_asks_no_critic() -> None:
    lm = ScriptedLM(slogan)

    with lp.using(lm=lm):
        Refine(Write, reward=brief, threshold=0.1)(product="tea")

    assert lm.sent == 1


def test_the_critic_reads_what_each_step_did_and_what_the_reward_says() -> None:
    told = critics_inputs(Refine(Ad(), reward=brief, threshold=1.0))[0]

    first, second = told["steps"]
    assert first.model_dump() == {
        "step": "program.praise", "instruction": "Given `product`, write `praise`.", "advice": "",
        "inputs": {"product": "tea"}, "outputs": {"praise": "good tea"}, "error": None,
    }  # fmt: skip
    assert (second.step, second.instruction, second.inputs) == (
        "program.write",
        "Write a slogan.",
        {"product": "good tea"},
    )
    assert {name: value for name, value in told.items() if name != "steps"} == {
        "inputs": ROW, "result": {"slogan": "Buy tea of the best kind."},
        "reward": 0.4, "wanted": 1.0, "feedback": "25 characters, 10 at most",
    }  # fmt: skip


def test_the_critic_reads_the_instructions_that_are_in_force() -> None:
    refine = Refine(Ad(), reward=brief, threshold=1.0)
    params = lp.params_of(refine).replace("program.write", instruction="Sell.")

    [told] = critics_inputs(lp.with_params(refine, params))

    assert told["steps"][1].instruction == "Sell."


def test_advice_goes_to_the_step_that_it_names_and_stands_in_the_trace_beside_its_inputs() -> None:
    steps = steps_of(Refine(Ad(), reward=brief, threshold=1.0))

    assert [(step.predictor, step.advice, step.kept) for step in steps] == [
        ("program.praise", "", False),
        ("program.write", "", False),
        ("critic", "", True),
        ("program.praise", "", True),
        ("program.write", "be brief", True),
    ]
    assert steps[-1].inputs == {"product": "good tea"}


def test_an_advised_call_differs_from_the_plain_one_by_one_input_alone() -> None:
    plain: list[lp.Request] = []
    advised: list[lp.Request] = []

    def handler(asked: Asked) -> Any:
        if "slogan" in asked.outputs:
            (advised if "advice" in asked.inputs else plain).append(asked.request)
        return slogan(asked)

    demo = lp.Demo(inputs={"product": "salt"}, outputs={"slogan": "Salt!"})
    steps_of(Refine(lp.Predict(Write, demos=[demo]), reward=brief, threshold=1.0), handler)

    assert advised[0].messages[1:3] == plain[0].messages[1:3]
    assert advised[0].messages[0].text.startswith("Write a slogan.\n\n")
    assert advised[0].messages[-1].text == plain[0].messages[-1].text + "\n\n[[ advice ]]\nbe brief"
    assert advised[0].schema == plain[0].schema


def test_a_signature_with_a_field_called_advice_is_advised_all_the_same() -> None:
    class Advised(lp.Signature):
        """Write a slogan."""

        advice: str = lp.InputField()
        slogan: str = lp.OutputField()

    def handler(asked: Asked) -> Any:
        if "steps" in asked.inputs:
            return {"reasoning": "", "advice": {"program": "be brief"}}
        return {"slogan": "Tea!" if asked.inputs.get("advice_") == "be brief" else "Buy tea of the best kind."}

    with lp.using(lm=ScriptedLM(handler)):
        assert Refine(Advised, reward=brief, threshold=1.0)(advice="none").slogan == "Tea!"


def test_no_demo_holds_advice_or_comes_from_a_run_that_was_not_chosen() -> None:
    rows = [{"product": f"tea {number}", "slogan": "Tea!"} for number in range(4)]
    refine = Refine(Write, reward=brief, threshold=1.0)
    problem = problem_for(refine, rows, rows, lp.metrics.exact_match("slogan"), ScriptedLM(slogan))

    found = loop.run(bootstrap(problem, lp.params_of(refine), wanted=4, attempts=1, share=1.0), instead="await")

    demos = [demo for success in found for demo in success.demos["program"]]
    assert len(demos) == 4
    assert all(demo.inputs.keys() == {"product"} and demo.outputs == {"slogan": "Tea!"} for demo in demos)


def test_the_best_run_is_returned_where_none_is_good_enough() -> None:
    def worse_and_worse(asked: Asked) -> Any:
        if "steps" in asked.inputs:
            return {"reasoning": "", "advice": {"program": "be brief"}}
        return {"slogan": " ".join(["long"] * (3 + asked.request.sample))}

    lm = ScriptedLM(worse_and_worse)
    with lp.using(lm=lm):
        assert Refine(Write, n=3, reward=brief, threshold=1.0)(product="tea").slogan == "long long long"

    assert lm.sent == 5


def test_the_first_run_is_the_program_as_it_is_and_the_others_are_fresh_samples() -> None:
    asked_of: list[tuple[int, float]] = []

    def handler(asked: Asked) -> Any:
        if "slogan" in asked.outputs:
            asked_of.append((asked.request.sample, asked.request.temperature))
        return slogan(asked)

    with lp.using(lm=ScriptedLM(handler)):
        Refine(Write, n=3, reward=brief, threshold=100, temperature=0.9)(product="tea")
        with lp.using(sample=1):
            Refine(Write, n=3, reward=brief, threshold=100, temperature=0.9)(product="tea")

    assert asked_of == [(0, 0.0), (1, 0.9), (2, 0.9), (3, 0.0), (4, 0.9), (5, 0.9)]


def test_a_run_that_does_not_validate_is_advised_on_its_error() -> None:
    def handler(asked: Asked) -> Any:
        if "steps" in asked.inputs:
            assert asked.inputs["reward"] == asked.inputs["result"] == "null"
            assert "the field `slogan` is missing" in asked.inputs["feedback"]
            [step] = json.loads(asked.inputs["steps"])
            return {"reasoning": "", "advice": {step["step"]: "mind the layout"}}
        return {"slogan": "Tea!"} if "advice" in asked.inputs else "Tea!"

    with lp.using(lm=ScriptedLM(handler)):
        assert Refine(Write, reward=brief, threshold=1.0)(product="tea").slogan == "Tea!"


def test_a_critic_that_does_not_validate_gives_no_advice() -> None:
    def handler(asked: Asked) -> Any:
        return "no advice" if "steps" in asked.inputs else {"slogan": f"tea {asked.request.sample}"}

    steps = steps_of(Refine(Write, n=2, reward=brief, threshold=100), handler)

    assert [(step.predictor, step.advice) for step in steps] == [("program", ""), ("critic", ""), ("program", "")]
    assert steps[1].error is not None


def test_advice_for_a_step_that_there_is_not_is_passed_over() -> None:
    def handler(asked: Asked) -> Any:
        if "steps" in asked.inputs:
            return {"reasoning": "", "advice": {"nobody": "be brief"}}
        assert "advice" not in asked.inputs
        return {"slogan": "tea"}

    assert len(steps_of(Refine(Write, n=2, reward=brief, threshold=100), handler)) == 3


def test_the_critic_is_told_what_a_step_was_advised_before_and_nothing_of_draws_set_aside() -> None:
    refine = Refine(BestOfN(Write, n=2, reward=brief), n=3, reward=brief, threshold=100)

    assert [[step.advice for step in told["steps"]] for told in critics_inputs(refine)] == [[""], ["be brief"]]


def test_a_refine_within_another_gets_the_advice_of_both() -> None:
    def handler(asked: Asked) -> Any:
        if "steps" in asked.inputs:
            inner = "critic" not in {step["step"].rpartition(".")[2] for step in json.loads(asked.inputs["steps"])}
            return {"reasoning": "", "advice": {"program.program": "inner" if inner else "outer"}}
        return {"slogan": asked.inputs.get("advice", "none").replace("\n", "+")}

    def both(inputs: Mapping[str, Any], prediction: Any) -> bool:
        return bool(prediction.slogan == "inner+outer")

    with lp.using(lm=ScriptedLM(handler)):
        refine = Refine(Refine(Write, n=2, reward=both, threshold=1), n=2, reward=both, threshold=1)
        assert refine(product="tea").slogan == "inner+outer"


@pytest.mark.parametrize("path", ["program.write", "critic"])
def test_the_critic_and_the_steps_inside_are_compiled(path: str, tmp_path: Path) -> None:
    rows = [{"product": f"tea {number}", "slogan": "Tea!"} for number in range(12)]
    bad: Any = {"slogan": "-" * 40} if path == "program.write" else {"reasoning": "", "advice": {}}

    check_strategy(
        Refine(Ad(), n=2, reward=brief, threshold=1.0), rows, lp.metrics.exact_match("slogan"), slogan,
        path=path, bad=bad, folder=tmp_path,
    )  # fmt: skip


def test_values_of_any_kind_are_shown_to_the_critic() -> None:
    class Odd(lp.Module):
        def __init__(self) -> None:
            self.write = lp.Predict(Write)

        def forward(self, product: Any) -> Any:
            return {"slogan": self.write(product="tea").slogan, "odd": [float("nan"), b"\xff", {1: object}]}

    assert len(steps_of(Refine(Odd(), n=2, reward=lambda inputs, made: 0, threshold=1), row={"product": 1j})) == 3


def test_an_lm_that_cannot_sample_is_refused() -> None:
    lm = ScriptedLM(slogan, capabilities=frozenset({"generate"}))

    with pytest.raises(lp.CapabilityError, match="Refine needs the capability 'sample'"):
        lp.evaluate(Refine(Write, reward=brief, threshold=1), [ROW], lambda row, prediction: 1.0, lm=lm)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"threshold": None}, {"reward": 3}, {"temperature": -0.1}])
def test_wrong_settings_are_refused_at_once(wrong: Any) -> None:
    make: Any = Refine
    with pytest.raises(lp.InputError, match=next(iter(wrong))):
        make(Write, **{"reward": brief, "threshold": 1.0, **wrong})


def test_advice_finds_what_as_many_calls_of_samples_do_not() -> None:
    def good_enough(row: object, prediction: Any) -> bool:
        return len(prediction.slogan) <= 10

    programs: list[Any] = [BestOfN(Write, n=3, reward=brief), Refine(Write, n=2, reward=brief, threshold=1.0)]
    sampled, refined = (lp.evaluate(one, [ROW], good_enough, lm=ScriptedLM(slogan)) for one in programs)

    assert [found.spent.total_requested.calls for found in (sampled, refined) if found.spent] == [3, 3]
    assert (sampled.score, refined.score) == (0.0, 1.0)
