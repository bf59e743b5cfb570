"""CodePlan: plans that are carried out as far as they hold, and mended from where they do not."""

from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.code_plan import CodePlan, Execution
from lmprog.testing import Answer, Asked, Handler, ScriptedLM

THINGS = {"apple": "fridge", "plate": "shelf", "cup": "shelf", "pan": "stove"}


class Kitchen:
    """A kitchen in which a thing has to be cleaned and put on the table. `dirt` is what the planner cannot know."""

    def __init__(self, thing: str, place: str = "shelf") -> None:
        self.thing, self.things = thing, {f"{thing} 7": place}
        self.at, self.holding, self.clean = "door", "", False

    def __str__(self) -> str:
        return f"Put a clean {self.thing} on the table. You are at the {self.at}, holding {self.holding or 'nothing'}."

    def go(self, place: str) -> str:
        """Go to a place."""
        self.at = place
        seen = [thing for thing, where in self.things.items() if where == place]
        return f"At the {place} you see {' and '.join(seen) or 'nothing'}."

    async def take(self, thing: str) -> str:
        """Take a thing from where you are."""
        if self.things.get(thing) != self.at:
            raise KeyError(f"no {thing} here")
        self.holding = thing
        return f"You take {thing}."

    def wash(self) -> str:
        """Clean what you hold, at the sink."""
        self.clean = self.at == "sink"
        return "It is clean." if self.clean else "Nothing happens."

    def put(self) -> bool:
        """Put down what you hold."""
        self.things[self.holding] = self.at
        return True

    @property
    def solved(self) -> bool:
        return self.clean and self.things[f"{self.thing} 7"] == "table"


def step(action: str, *tries: dict[str, Any], **expected: Any) -> dict[str, Any]:
    return {"reason": "It comes next.", "action": action, "tries": tries or [{}], **expected}


def naive(thing: str) -> list[dict[str, Any]]:
    """The plan of an LM that does not know yet that washing takes a sink."""
    places = [{"place": place} for place in ("stove", "shelf", "fridge")]
    return [
        step("go", *places, says=[thing], saves="seen"),
        step("ask", {"question": f"Which {thing}?", "about": "{seen}"}, says=[thing], saves="found"),
        step("take", {"thing": "{found}"}),
        *washed("wash"),
    ]


def washed(*actions: str) -> list[dict[str, Any]]:
    by_name = {"sink": step("go", {"place": "sink"}), "wash": step("wash", says=["clean"], lacks=["nothing"])}
    return [*(by_name[action] for action in actions), step("go", {"place": "table"}), step("put", says=["true"])]


def planner(asked: Asked) -> Answer:
    """An LM that learns from demos, and from what failed."""
    if asked.outputs == ("found",):
        return {"found": asked.inputs["about"].split("you see ")[1].rstrip(".")}
    if "failed" in asked.inputs:
        return {"steps": washed("sink", "wash")}
    thing = asked.inputs["situation"].split()[3]
    shown = any("sink" in outputs["steps"] for _, outputs in asked.demos)
    return {"steps": naive(thing)[:3] + washed("sink", "wash") if shown else naive(thing)}


ROWS = [{"thing": thing, "place": place} for thing, place in THINGS.items()]


def solved(row: object, execution: Execution[Kitchen]) -> bool:
    return execution.world.solved


def ran(program: CodePlan[..., Kitchen], row: dict[str, str], lm: Handler = planner) -> Any:
    [run] = lp.evaluate(program, [row], solved, lm=ScriptedLM(lm)).runs
    return run


def test_a_failed_expectation_is_planned_around_from_that_step_on() -> None:
    run = ran(CodePlan(Kitchen), ROWS[0])

    execution: Execution[Kitchen] = run.prediction
    assert run.score.value == 1.0 and execution.failure == "" and execution.replans == 1
    assert [one.step.action for one in execution.done] == [
        "go", "go", "go", "ask", "take", "wash", "go", "wash", "go", "put",
    ]  # fmt: skip
    assert [one.failure for one in execution.done if one.failure] == [
        "it does not say 'apple'",
        "it does not say 'apple'",
        "it does not say 'clean' and it says 'nothing'",
    ]
    assert [step.predictor for step in run.trace] == ["plan", "extract", "replan"]
    assert [step.kept for step in run.trace] == [False, True, True]  # the plan had to be mended
    told = run.trace[2].inputs
    assert told["situation"] == "Put a clean apple on the table. You are at the fridge, holding apple 7."
    assert told["failed"].startswith("wash(): Nothing happens. FAILED, since it does not say 'clean'")
    assert told["done"][-1] == "take(thing='apple 7'): You take apple 7."


def test_later_tasks_take_fewer_calls_with_the_skills_of_solved_ones() -> None:
    program = CodePlan(Kitchen)

    first = ran(program, ROWS[0])
    skilled = program.learned_from([first.prediction])
    later = [ran(skilled, row) for row in ROWS[1:]]

    assert [len(run.trace) for run in (first, *later)] == [3, 2, 2, 2]  # a plan and what was asked, and no replan
    assert all(run.score.value == 1.0 and run.prediction.replans == 0 for run in later)
    assert lp.params_of(program)["plan"].demos == ()  # the program itself remembers nothing


def test_a_skill_is_the_plan_as_it_was_mended_in_the_situation_at_the_start() -> None:
    skill = ran(CodePlan(Kitchen), ROWS[0]).prediction.skill

    assert skill.inputs == {"situation": "Put a clean apple on the table. You are at the door, holding nothing."}
    assert [one["action"] for one in skill.outputs["steps"]] == ["go", "ask", "take", "go", "wash", "go", "put"]
    assert len(skill.outputs["steps"][0]["tries"]) == 3  # all places: the next thing may stand elsewhere


def test_of_all_skills_the_latest_are_shown_and_one_for_each_situation() -> None:
    program = CodePlan(Kitchen)
    executions = [ran(program, row).prediction for row in (*ROWS, ROWS[0])]

    some = program.learned_from(executions, most=2)
    again = some.learned_from(executions[1:2], most=2)

    assert [demo.inputs["situation"].split()[3] for demo in lp.params_of(some)["plan"].demos] == ["cup", "pan"]
    assert [demo.inputs["situation"].split()[3] for demo in lp.params_of(again)["plan"].demos] == ["pan", "plate"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (step("fly"), "there is no action 'fly': there are go, take, wash, put, ask."),
        (step("go", {"where": "sink"}), "the arguments of `go` do not fit: there is no argument `where`"),
        (step("take", {"thing": "spoon"}), "KeyError: 'no spoon here'"),
        (step("go", {"place": "{nowhere}"}), "nothing is saved as 'nowhere': there are ['seen', 'seen.place']."),
    ],
)
def test_what_goes_wrong_in_a_step_is_told_to_the_planner(wrong: dict[str, Any], why: str) -> None:
    failed: list[str] = []

    def mistaken(asked: Asked) -> Answer:
        if "failed" in asked.inputs:
            failed.append(asked.inputs["failed"])
            return {"steps": [step("go", {"place": "{seen.place}"})]}
        return {"steps": [step("go", {"place": "shelf"}, saves="seen"), wrong]}

    execution = ran(CodePlan(Kitchen), ROWS[0], mistaken).prediction

    assert execution.replans == 1 and execution.failure == "" and why in failed[0]
    assert execution.done[-1].arguments == {"place": "shelf"}


def test_letters_are_compared_whatever_their_case() -> None:
    steps = [
        step("go", {"place": "sink"}, says=["THE SINK"], lacks=["a Knife"]),
        step("wash", lacks=["it IS clean"]),
    ]
    execution = ran(CodePlan(Kitchen, replans=0), ROWS[0], lambda asked: {"steps": steps}).prediction

    assert execution.failure == "it says 'it IS clean'"


def test_what_a_failed_step_said_is_saved_for_no_later_one() -> None:
    def mistaken(asked: Asked) -> Answer:
        if "failed" in asked.inputs:
            return {"steps": [step("go", {"place": "{seen}"})]}
        return {"steps": [step("go", {"place": "shelf"}, says=["gold"], saves="seen")]}

    execution = ran(CodePlan(Kitchen, replans=1), ROWS[0], mistaken).prediction

    assert execution.failure == "nothing is saved as 'seen': there are []."


def test_a_run_gives_up_after_so_many_replans_and_says_why() -> None:
    lm = ScriptedLM(lambda asked: {"steps": [step("wash", says=["clean"])]})

    with lp.using(lm=lm):
        execution = CodePlan(Kitchen, replans=2)("cup")

    assert lm.sent == 3 and execution.replans == 2 and execution.skill is None
    assert execution.failure == "it does not say 'clean'"


def test_a_run_ends_after_so_many_actions() -> None:
    lm = ScriptedLM(lambda asked: {"steps": [step("go", {"place": "sink"})] * 9})

    with lp.using(lm=lm):
        execution = CodePlan(Kitchen, most_actions=5)("cup")

    assert len(execution.done) == 5 and execution.failure == "5 actions were done, and 4 steps of the plan are left"


def test_an_error_about_the_whole_run_is_no_failure_of_a_step() -> None:
    class Broken(Kitchen):
        def wash(self) -> str:
            """Fail."""
            raise lp.AuthError("the key was refused")

    lm = ScriptedLM(lambda asked: {"steps": [step("wash")]})
    with lp.using(lm=lm), pytest.raises(lp.AuthError):
        CodePlan(Broken)("cup")


def test_the_planner_is_told_the_actions_with_their_types_and_no_text_of_the_lm_is_run() -> None:
    systems: list[str] = []

    def told(asked: Asked) -> Answer:
        systems.append(asked.request.messages[0].text)
        return {"steps": [step("__init__", {"thing": "x"})]}

    with lp.using(lm=ScriptedLM(told)):
        execution = CodePlan(Kitchen, replans=0)("cup")

    assert "go(place: text): Go to a place." in systems[0] and "put(): Put down what you hold." in systems[0]
    assert "solved" not in systems[0] and execution.failure.startswith("there is no action '__init__'")


def test_what_all_strategies_promise(tmp_path: Path) -> None:
    wrong: Answer = {"steps": [step("wash")]}
    check_strategy(CodePlan(Kitchen), ROWS, solved, planner, path="replan", bad=wrong, folder=tmp_path)


def test_skills_are_kept_by_an_artifact(tmp_path: Path) -> None:
    skilled = CodePlan(Kitchen).learned_from([ran(CodePlan(Kitchen), ROWS[0]).prediction])

    loaded = lp.load(lp.save(skilled, tmp_path / "skilled.lmprog"), program=CodePlan(Kitchen))

    assert len(ran(loaded, ROWS[1]).trace) == 2


def kitchen_with(thing: str) -> Kitchen:
    return Kitchen(thing)


class Mute:
    def __init__(self, task: str) -> None:
        self.task = task

    def go(self, place: str) -> str:
        return place


class Idle(Kitchen):
    go = take = wash = put = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class Asking(Kitchen):
    def ask(self, whom: str) -> str:
        return whom


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.InputError, match=r"write a class whose `__str__` tells"):
        CodePlan(Mute)
    with pytest.raises(lp.InputError, match=r"write a class whose `__str__` tells"):
        CodePlan(kitchen_with)
    with pytest.raises(lp.SignatureError, match="Idle cannot be the world of a plan: it has no public method"):
        CodePlan(Idle)
    with pytest.raises(lp.SignatureError, match="its action `ask` has the name of one that every plan has"):
        CodePlan(Asking)
    with pytest.raises(lp.InputError, match="replans=-1, most_actions=50: write 0 replans or more"):
        CodePlan(Kitchen, replans=-1)


def test_without_skills_the_same_later_tasks_take_a_replan_each() -> None:
    runs = [ran(CodePlan(Kitchen), row) for row in ROWS]

    assert [(len(run.trace), run.prediction.replans) for run in runs] == [(3, 1)] * 4


@pytest.mark.parametrize(("path", "bad"), [("plan", {"steps": [step("wash")]}), ("extract", {"found": "spoon"})])
def test_the_plan_and_what_is_read_from_what_was_seen_are_compiled_too(path: str, bad: Any, tmp_path: Path) -> None:
    check_strategy(CodePlan(Kitchen), ROWS, solved, planner, path=path, bad=bad, folder=tmp_path)
