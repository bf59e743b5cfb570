"""An agent made of parts (a planner, a search tool, a verifier): what compiling makes of it, and what its trace tells."""

import json
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import WISE, planted

import lmprog as lp
from lmprog import loop
from lmprog.optimizers.propose.demos import bootstrap
from lmprog.optimizers.train.examples import examples
from lmprog.strategies.hooks import Call, Hook, Hooked
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

PLACES = {f"thing {number}": f"place {number}" for number in range(12)}
ROWS = [{"question": f"Where is {thing} ?", "answer": place} for thing, place in PLACES.items()]
METRIC = lp.metrics.exact_match("answer")


def search(query: str) -> str:
    """Finds where a thing is."""
    return PLACES.get(query, "nothing")


class Find(lp.Signature):
    """Answer the question by the plan."""

    question: str = lp.InputField()
    plan: list[str] = lp.InputField()
    answer: str = lp.OutputField()


class Check(lp.Signature):
    """Say whether the answer is one, and what to look for if it is not."""

    question: str = lp.InputField()
    answer: str = lp.InputField()
    right: bool = lp.OutputField()
    look_for: str = lp.OutputField()


class Agent(lp.Module):
    """Plans, searches by the plan, and searches once more where the verifier objects."""

    def __init__(self) -> None:
        self.planner = lp.Predict("question -> plan: list[str]")
        self.agent = lp.ReAct(Find, tools=[search], max_steps=3)
        self.verifier = lp.Predict(Check)

    def forward(self, question: str) -> Find:
        found = self.agent(question=question, plan=self.planner(question=question).plan)
        checked = self.verifier(question=question, answer=found.answer)
        return found if checked.right else self.agent(question=question, plan=[checked.look_for])


def player(asked: Asked) -> Answer:
    """An LM that plays every part well, but for the plan about odd things: that one is left to the verifier."""
    thing = asked.inputs["question"].removeprefix("Where is ").removesuffix(" ?")
    if asked.outputs == ("plan",):
        return {"plan": [thing] if int(thing[-1]) % 2 == 0 else ["something"]}
    if "right" in asked.outputs:
        return {"right": asked.inputs["answer"] == PLACES[thing], "look_for": thing}
    turns: list[dict[str, Any]] = json.loads(asked.inputs["trajectory"])
    if turns:
        return call("finish", answer=turns[0]["observation"])
    return call("search", query=json.loads(asked.inputs["plan"])[0])


def call(tool: str, **arguments: str) -> dict[str, Any]:
    return {"next_thought": "So.", "next_tool_name": tool, "next_tool_args": arguments}


NOTHING: dict[str, Answer] = {
    "planner": {"plan": ["something"]},
    "agent.step": call("finish", answer="nothing"),
    "verifier": {"right": True, "look_for": ""},
}
"""How each part is played badly."""


@pytest.mark.parametrize("optimizer", ["mipro:trials=12", "opro"])
@pytest.mark.parametrize("path", NOTHING)
def test_compiling_mends_whichever_part_is_at_fault_with_no_change_of_the_program(
    path: str, optimizer: str, tmp_path: Path
) -> None:
    lm = planted(Agent(), path, without_verifier if path == "planner" else player, NOTHING[path])

    result = lp.compile(
        Agent(), train=ROWS[:4], val=ROWS[4:8], holdout=ROWS[8:], metric=METRIC, optimizer=optimizer, lm=lm, gate="none",
        budget=lp.Budget(calls=4000), run_dir=tmp_path / "run",
    )  # fmt: skip

    assert result.certificate.baseline < result.certificate.compiled == 1.0
    assert result.params[path].instruction == WISE
    loaded = lp.load(result.save(tmp_path / "agent.lmprog"), program=Agent())
    assert lp.evaluate(loaded, ROWS, METRIC, lm=lm).score == 1.0


def without_verifier(asked: Asked) -> Answer:
    """Plans well, and lets every answer pass."""
    if "right" in asked.outputs:
        return NOTHING["verifier"]
    if asked.outputs == ("plan",):
        return {"plan": [asked.inputs["question"].removeprefix("Where is ").removesuffix(" ?")]}
    return player(asked)


def test_the_trace_tells_every_part_and_every_hook_that_acted() -> None:
    def doubt(call: Call) -> dict[str, Any]:
        return {"right": False, "look_for": call.inputs["question"][9:-2]}

    hooked = Hooked(Agent(), [Hook(lambda call: call.predictor == "program.verifier", doubt)])
    [run] = lp.evaluate(hooked, ROWS[:1], METRIC, lm=ScriptedLM(without_verifier)).runs

    steps = ["program.agent.step"] * 2
    assert [step.predictor for step in run.trace] == ["program.planner", *steps, "program.verifier", *steps]
    assert [[firing.hook for firing in step.fired] for step in run.trace] == [[], [], [], ["doubt"], [], []]


def test_the_same_trajectories_are_demos_for_its_prompts_and_examples_for_its_weights() -> None:
    problem = problem_for(Agent(), ROWS, ROWS, METRIC, ScriptedLM(player))
    params = lp.params_of(problem.program)

    successes = loop.run(bootstrap(problem, params, wanted=12, attempts=1, share=1.0), instead="await")
    taught = examples(problem, params, successes)

    assert len(successes) == 12
    for path in ("planner", "agent.step", "verifier"):
        demos = [demo for success in successes for demo in success.demos[path]]
        replies = {example.reply for example in taught if example.path == path}
        predictor = lp.predictors(problem.program)[path]
        assert {predictor.worked(params[path], demo)[1] for demo in demos} == replies
