"""InstanceRewrite: each call of a program is asked by a prompt written for its inputs."""

import json
from pathlib import Path
from typing import Any

import lmprog as lp
from lmprog.strategies.hooks import Call, Hook, Hooked
from lmprog.strategies.instance_rewrite import InstanceRewrite
from lmprog.testing import Asked, ScriptedLM


class Solve(lp.Signature):
    """Solve it."""

    problem: str = lp.InputField()
    answer: int = lp.OutputField()


class Pipeline(lp.Module):
    def __init__(self) -> None:
        self.shorten = lp.Predict("text -> problem")
        self.solve = lp.Predict(Solve, demos=[lp.Demo(inputs={"problem": "1 + 1"}, outputs={"answer": 2})])

    def forward(self, text: str) -> Solve:
        return self.solve(problem=self.shorten(text=text).problem)


def careful(asked: Asked) -> Any:
    """An LM that adds well only where it is told to add the numbers at hand, and a rewriter that says so."""
    if "prompt" in asked.outputs:
        numbers = json.loads(asked.inputs["inputs"]).get("problem", "")
        return {"lacking": "what to do", "prompt": f"Add {numbers}."}
    if "text" in asked.inputs:
        return {"problem": asked.inputs["text"]}
    told = asked.instruction == f"Add {asked.inputs['problem']}."
    return {"answer": sum(map(int, asked.inputs["problem"].split(" and "))) if told else 0}


ROWS = [{"problem": f"{number} and 20", "answer": number + 20} for number in range(12)]


def steps_of(program: Any, handler: Any = careful, **row: Any) -> tuple[lp.Step, ...]:
    [run] = lp.evaluate(program, [row], lambda row, prediction: 1.0, lm=ScriptedLM(handler)).runs
    assert run.failure is None
    return run.trace


def test_the_rewritten_prompt_takes_the_instructions_place_in_the_call_and_nothing_else_changes() -> None:
    requests: list[lp.Request] = []

    def handler(asked: Asked) -> Any:
        if "answer" in asked.outputs:
            requests.append(asked.request)
        return careful(asked)

    with lp.using(lm=ScriptedLM(handler)):
        assert Pipeline()("2 and 3").answer == 0
        assert InstanceRewrite(Pipeline())("2 and 3").answer == 5

    plain, rewritten = requests
    assert rewritten.messages[0].text == plain.messages[0].text.replace("Solve it.", "Add 2 and 3.")
    assert rewritten.messages[1:] == plain.messages[1:]


def test_what_the_rewriter_reads_and_writes_is_in_the_trace() -> None:
    solve, rewriter = steps_of(InstanceRewrite(Solve), problem="2 and 3")

    assert rewriter.predictor == "rewriter"
    assert rewriter.inputs == {"instruction": "Solve it.", "inputs": {"problem": "2 and 3"}}
    assert rewriter.outputs == {"lacking": "what to do", "prompt": "Add 2 and 3."}
    assert (solve.predictor, solve.inputs, solve.outputs) == ("program", {"problem": "2 and 3"}, {"answer": 5})
    assert (solve.instruction, rewriter.instruction) == ("Add 2 and 3.", "")


def test_every_predictor_of_a_program_is_rewritten_once_a_call() -> None:
    steps = steps_of(InstanceRewrite(Pipeline()), text="2 and 3")

    assert [step.predictor for step in steps] == ["program.shorten", "rewriter", "program.solve", "rewriter"]
    assert [step.instruction for step in steps] == ["Add .", "", "Add 2 and 3.", ""]


def test_the_rewriter_begins_with_ten_demos_that_answer_nothing_themselves() -> None:
    demos = lp.params_of(InstanceRewrite(Solve))["rewriter"].demos

    assert len(demos) == len({demo.inputs["instruction"] for demo in demos}) == 10
    assert all(len(demo.outputs["prompt"]) > 3 * len(demo.inputs["instruction"]) for demo in demos)


def test_a_rewriter_that_writes_nothing_of_use_leaves_the_instruction_as_it_is() -> None:
    for reply in ("no field", {"lacking": "", "prompt": " "}):

        def handler(asked: Asked, reply: Any = reply) -> Any:
            return reply if "prompt" in asked.outputs else {"answer": len(asked.instruction)}

        steps = steps_of(InstanceRewrite(Solve), handler, problem="q")
        assert (steps[0].outputs, steps[0].instruction) == ({"answer": len("Solve it.")}, "")


def test_the_instruction_in_force_is_what_is_rewritten() -> None:
    rewrite = InstanceRewrite(Solve)
    params = lp.params_of(rewrite).replace("program", instruction="Sum up.")

    assert steps_of(lp.with_params(rewrite, params), problem="2 and 3")[1].inputs["instruction"] == "Sum up."


def test_hooks_and_a_rewriter_go_around_the_same_call() -> None:
    def even(call: Call) -> str | None:
        return "Add one." if call.predictor.endswith("program") and call.outputs["answer"] % 2 else None

    def handler(asked: Asked) -> Any:
        if asked.request.messages[-1].text == "Add one.":
            assert asked.instruction == "Add 2 and 3."
            return {"answer": 6}
        return careful(asked)

    for program in (
        Hooked(InstanceRewrite(Solve), [Hook(lambda call: "answer" in call.outputs, even)]),
        InstanceRewrite(Hooked(Solve, [Hook(lambda call: True, even)])),
    ):
        solve, *rewriters = steps_of(program, handler, problem="2 and 3")
        assert (solve.outputs, solve.instruction, len(solve.fired)) == ({"answer": 6}, "Add 2 and 3.", 1)
        assert {step.inputs["instruction"] for step in rewriters} == {"Solve it."}


def test_a_rewriter_around_a_rewriter_writes_for_it_too() -> None:
    steps = steps_of(InstanceRewrite(InstanceRewrite(Solve)), problem="2 and 3")

    assert sorted(step.predictor for step in steps) == ["program.program", "program.rewriter", "rewriter", "rewriter"]


def test_a_program_that_does_badly_with_its_instruction_does_well_with_rewritten_ones() -> None:
    metric = lp.metrics.exact_match("answer")

    assert lp.evaluate(lp.Predict(Solve), ROWS, metric, lm=ScriptedLM(careful)).score == 0.0
    assert lp.evaluate(InstanceRewrite(Solve), ROWS, metric, lm=ScriptedLM(careful)).score == 1.0


def compiled(optimizer: str, lm: lp.LM, run_dir: Path) -> Any:
    return lp.compile(
        InstanceRewrite(Solve), train=ROWS[::3], val=ROWS[1::3], holdout=ROWS[2::3], gate="none", lm=lm,
        metric=lp.metrics.exact_match("answer"), optimizer=optimizer, budget=lp.Budget(calls=2000), run_dir=run_dir,
    )  # fmt: skip


def test_the_rewriters_instruction_is_searched_and_kept_by_an_artifact(tmp_path: Path) -> None:
    written = lp.params_of(InstanceRewrite(Solve))["rewriter"].instruction

    def heeds(asked: Asked) -> Any:
        if asked.instruction == written:
            return {"lacking": "nothing", "prompt": "Guess."}
        if asked.outputs in (("answer",), ("lacking", "prompt")):
            return careful(asked)
        return dict.fromkeys(asked.outputs, "Mind the numbers.")

    first, second = (compiled("opro", ScriptedLM(heeds), tmp_path / name) for name in "ab")

    assert (first.certificate.baseline, first.certificate.compiled) == (0.0, 1.0)
    assert first.params["rewriter"].instruction == "Mind the numbers."
    assert first.params == second.params
    loaded = lp.load(first.save(tmp_path / "saved.lmprog"), program=InstanceRewrite(Solve))
    assert lp.params_of(loaded) == first.params


def test_the_rewriters_demos_are_searched(tmp_path: Path) -> None:
    def learns(asked: Asked) -> Any:
        """A rewriter that writes well once a demo shows it a prompt that begins with `Add`."""
        if "prompt" in asked.outputs and not any("Add" in shown["prompt"] for _, shown in asked.demos):
            lucky = asked.request.sample % 2 == 1
            return careful(asked) if lucky else {"lacking": "nothing", "prompt": "Guess."}
        return careful(asked)

    result = compiled("bootstrap", ScriptedLM(learns), tmp_path)

    assert (result.certificate.baseline, result.certificate.compiled) == (0.0, 1.0)
    assert any(demo.outputs["prompt"].startswith("Add") for demo in result.params["rewriter"].demos)
