"""PlanMPC: sampled plans under a cost function, on a cart that should come to 0."""

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.plan_mpc import PlanMPC, Rollout
from lmprog.testing import Answer, Asked, ScriptedLM


class Drive(lp.Signature):
    """Plan three moves of -2 to 2 that bring the cart to 0."""

    state: int = lp.InputField(desc="where it is")
    plan: list[int] = lp.OutputField()


def moved(place: int, move: int) -> int:
    return place + move


def cost(place: int, plan: Sequence[int]) -> float:
    """How far from 0 a plan ends, and a little for each move."""
    return abs(place + sum(plan)) + 0.1 * sum(map(abs, plan))


def arrived(place: int) -> bool:
    return place == 0


def at_home(row: object, rollout: Rollout[int, int]) -> bool:
    return arrived(rollout.state)


def noisy(asked: Asked) -> Answer:
    """A planner that knows the way, and in every second move draws one blindly."""
    place, rng = int(asked.inputs["state"]), Random(f"{asked.inputs['state']} {asked.request.sample}")
    plan: list[int] = []
    for _ in range(3):
        best = max(-2, min(2, -place - sum(plan)))
        plan.append(rng.choice((-2, -1, 0, 1, 2)) if rng.random() < 0.5 else best)
    return {"plan": plan}


def driving(**settings: Any) -> PlanMPC[..., int, int]:
    given: dict[str, Any] = {"cost": cost, "act": moved, "done": arrived, "steps": 6}
    return PlanMPC(Drive, **given | settings)


FAR = [{"state": place} for place in (-10, -9, -8, -7, 7, 8, 9, 10)]  # five moves go 10 far: hardly one may be in vain


def test_the_cheapest_of_several_plans_beats_single_plans_of_the_same_lm() -> None:
    single, best = (lp.evaluate(driving(k=k, steps=5), FAR, at_home, lm=ScriptedLM(noisy)) for k in (1, 16))

    assert single.score == 0.25 and best.score == 1.0


def test_planning_again_makes_up_for_a_world_that_is_not_as_the_cost_has_it() -> None:
    def windy(place: int, move: int) -> int:
        return place + move + 1

    def exact(asked: Asked) -> Answer:
        place = int(asked.inputs["state"])
        return {"plan": [-min(2, place), -min(2, max(0, place - 2)), 0]}

    with lp.using(lm=ScriptedLM(exact)):
        again, to_the_end = (driving(k=1, run=run, act=windy)(state=4) for run in (1, 3))

    assert again.states == (4, 3, 2, 1, 1, 1, 1)  # -2, then -2, -2 and three times -1, each 1 further right by the wind
    assert to_the_end.states == (4, 3, 2, 3, 2, 2, 3)  # -2 -2 0 from 4, then -2 -1 0 from 3


def test_of_each_round_the_cheapest_plan_runs_and_only_its_first_actions() -> None:
    plans = [[2, 2, 2], [-2, -2, 0, 2], [-1, -1, 0]]
    lm = ScriptedLM(lambda asked: {"plan": plans[asked.request.sample % 3]})

    with lp.using(lm=lm):
        found = driving(k=3, run=2, steps=3)(state=5)

    assert found.actions == (-2, -2, -1)  # of a plan three moves count, and three are all there may be
    assert found.states == (5, 3, 1, 0)
    assert found.costs == pytest.approx((1 + 0.4, 1 + 0.2))


def test_no_two_draws_share_a_sample_be_it_of_one_run_or_of_two_that_are_samples_themselves() -> None:
    samples: list[int] = []

    def stuck(asked: Asked) -> Answer:
        samples.append(asked.request.sample)
        return {"plan": [0, 0, 0]}

    with lp.using(lm=ScriptedLM(stuck)):
        driving(k=2, run=2, steps=4)(state=4)
        with lp.using(sample=1):
            driving(k=2, run=2, steps=4)(state=4)

    assert samples == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_plan_that_cannot_be_read_is_one_plan_less() -> None:
    lm = ScriptedLM(lambda asked: "no" if asked.request.sample == 0 else {"plan": [-1]})

    with lp.using(lm=lm):
        found = driving(k=2)(state=1)

    assert found.states == (1, 0)


def test_the_world_and_the_cost_may_be_async_and_a_plan_may_be_empty() -> None:
    async def act(place: int, move: int) -> int:
        return place + move

    async def later(place: int, plan: Sequence[int]) -> float:
        return cost(place, plan)

    lm = ScriptedLM(lambda asked: {"plan": []})
    with lp.using(lm=lm):
        found = PlanMPC(Drive, cost=later, act=act, k=1, run=1, steps=2)(state=4)

    assert found == Rollout((4,), (), (4.0, 4.0)) and lm.sent == 2


def test_a_run_that_is_done_at_the_start_asks_for_no_plan() -> None:
    lm = ScriptedLM(noisy)

    with lp.using(lm=lm):
        found = driving()(state=0)

    assert found == Rollout((0,), (), ()) and lm.sent == 0


def test_the_other_inputs_of_the_planner_reach_every_round() -> None:
    hurries: list[str] = []

    def hearing(asked: Asked) -> Answer:
        hurries.append(asked.inputs["hurry"])
        return {"plan": [-1]}

    with lp.using(lm=ScriptedLM(hearing)):
        PlanMPC("state: int, hurry -> plan: list[int]", cost=cost, act=moved, k=1, run=1, steps=2)(state=4, hurry="no")

    assert hurries == ["no", "no"]


def test_what_all_strategies_promise(tmp_path: Path) -> None:
    wrong: Answer = {"plan": [2, -2, 0]}
    check_strategy(driving(k=16), FAR[1:4], at_home, noisy, path="plan.program", bad=wrong, folder=tmp_path)


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.InputError, match=r"run=4, horizon=3.*Write 1 <= run <= horizon"):
        driving(run=4)
    with pytest.raises(lp.SignatureError, match=re.escape("takes ['place'], and no `state` to plan from")):
        PlanMPC("place -> plan: list[int]", cost=cost, act=moved)
    with lp.using(lm=ScriptedLM(noisy)), pytest.raises(lp.InputError, match=re.escape("It takes (*, state: int).")):
        driving()(4)
    said = ScriptedLM(lambda asked: {"moves": "left"})
    with lp.using(lm=said), pytest.raises(lp.SignatureError, match=r"without a list called `plan`. Give it an output"):
        PlanMPC("state: str -> moves", cost=cost, act=moved)(state="here")
    with lp.using(lm=ScriptedLM(noisy)), pytest.raises(lp.MetricError, match=r"the reward returned .*nan"):
        driving(cost=free)(state=3)
    with lp.using(lm=ScriptedLM(noisy)), pytest.raises(lp.MetricError, match=r"`cost` returned 'dear' for the plan"):
        driving(cost=dear)(state=3)
    with pytest.raises(lp.InputError, match=r"k=0: write how many plans"):
        driving(k=0)
    with pytest.raises(lp.InputError, match=r"done=3 cannot be called"):
        driving(done=3)


def dear(place: int, plan: Sequence[int]) -> str:
    return "dear"


def free(place: int, plan: Sequence[int]) -> float:
    return float("nan")


class Planned(lp.Module):
    """What PlanMPC is measured against: one plan, carried out to its end."""

    def __init__(self, world: Any) -> None:
        self.plan, self.world = lp.Predict(Drive), world

    def forward(self, state: int) -> Rollout[int, int]:
        states = [state]
        for move in self.plan(state=state).plan:
            states.append(self.world(states[-1], move))
        return Rollout(tuple(states), (), ())


def slow(place: int, move: int) -> int:
    """A world that the cost knows nothing of: no move goes further than one."""
    return place + max(-1, min(1, move))


def test_many_plans_and_planning_again_beat_a_single_plan_and_each_other_together() -> None:
    near = [{"state": place} for place in (-6, -5, -4, -3, 3, 4, 5, 6)]
    programs: list[Any] = [
        Planned(slow),
        driving(act=slow, k=16, run=3),  # the best of many plans, carried out to its end
        driving(act=slow, k=1, run=1),  # one plan, and another after every move
        driving(act=slow, k=16, run=1),
    ]

    found = [lp.evaluate(program, near, at_home, lm=ScriptedLM(noisy)) for program in programs]

    assert [one.score for one in found] == [0.0, 0.375, 0.5, 0.75]
    assert [one.spent.total_requested.calls for one in found if one.spent] == [8, 16 * 14, 36, 16 * 36]  # k each round


def test_the_trace_holds_all_plans_and_keeps_those_that_were_chosen() -> None:
    plans = [[2], [-1], [1]]
    lm = ScriptedLM(lambda asked: {"plan": plans[asked.request.sample % 3]})

    [run] = lp.evaluate(driving(k=3, run=1), [{"state": 2}], at_home, lm=lm).runs

    assert [(step.outputs["plan"], step.kept) for step in run.trace] == [([2], False), ([-1], True), ([1], False)] * 2
