"""Model predictive control with an LM as planner: sample plans, score them, run the start of the best, plan again (arXiv:2501.02486)."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Generic, Protocol, cast

from typing_extensions import TypeVar  # with defaults, which typing has from Python 3.13

from lmprog import scope
from lmprog.errors import InputError, MetricError, SignatureError
from lmprog.module import Module, inputs_of, is_whole, signature_of
from lmprog.strategies.best_of_n import BestOfN
from lmprog.strategies.draws import Inputs
from lmprog.strategies.inner import Inner, P, program_of

State = TypeVar("State", default=Any)
Action = TypeVar("Action", default=Any)
Action_co = TypeVar("Action_co", covariant=True)


class Plan(Protocol[Action_co]):
    """What a planner returns: a prediction with an output called `plan`."""

    @property
    def plan(self) -> Sequence[Action_co]:
        """The actions, the first to be done first."""
        ...


@dataclass(frozen=True, slots=True)
class Rollout(Generic[State, Action]):
    """What was done, and what came of it."""

    states: tuple[State, ...]
    """The first, and the one after each action."""
    actions: tuple[Action, ...]
    costs: tuple[float, ...]
    """Of each plan that was chosen, as expected when it was."""

    @property
    def state(self) -> State:
        """The last."""
        return self.states[-1]


class PlanMPC(Module, Generic[P, State, Action]):
    """Reach a goal by `k` sampled plans, of which a cost function chooses one whose first `run` actions are done; then again
    from the state that they led to, until `done(state)` or `steps` actions.

    `planner` is a program or signature with an input called `state` and an output called `plan`, a list of actions, of
    which the first `horizon` count. `cost(state, plan)` says what a plan would cost from a state, less is better: a model of
    the world, in code, that may be wrong. `act(state, action)` is the world: it does an action and returns the next state.
    All three functions may be async. A program that takes `state` and returns a `Rollout`.

    `k` times the planner's LM calls for every `run` actions. It helps where the LM has ideas what to do and code can tell
    which are good: more plans make up for a planner that errs, and planning again for a model that does. Needs an LM that
    samples: the first plan of each round is the planner's own, the others are drawn at `temperature`.

    LLMPC: Maher 2025, arXiv:2501.02486. Departure: plans are independent samples, so that k is what it says; the authors'
    code asks for all in one reply, and puts zeros in place of all plans if one cannot be read.
    """

    def __init__(
        self,
        planner: Inner[P, Plan[Action]],
        *,
        cost: Callable[[State, Sequence[Action]], float | Awaitable[float]],
        act: Callable[[State, Action], State | Awaitable[State]],
        done: Callable[[State], bool | Awaitable[bool]] | None = None,
        k: int = 5,
        horizon: int = 3,
        run: int = 2,
        steps: int = 50,
        temperature: float = 1.0,
    ) -> None:
        if not (is_whole(run, 1) and is_whole(horizon, run) and is_whole(steps, 1)):
            raise InputError(
                f"run={run!r}, horizon={horizon!r}, steps={steps!r}: of the `horizon` actions of a plan the first `run` are done, until "
                f"`steps` were. Write 1 <= run <= horizon and 1 <= steps."
            )
        if not is_whole(k, 1):
            raise InputError(f"k={k!r}: write how many plans are sampled each time, 1 or more, such as k=5.")
        for role, given in (("cost", cost), ("act", act), ("done", done)):
            if not (callable(given) or (role == "done" and given is None)):
                raise InputError(f"{role}={given!r} cannot be called: write a function of the state.")
        self.cost, self.act, self.done = cost, act, done
        self.horizon, self.run, self.steps = horizon, run, steps
        program = program_of(planner)
        if "state" not in inputs_of(program):
            raise SignatureError(
                f"the planner takes {list(inputs_of(program))}, and no `state` to plan from. Give it an input of that name."
            )
        self.plan: BestOfN[..., Any] = BestOfN(cast("Any", program), k, reward=self._reward, temperature=temperature)
        self.__signature__ = signature_of(program)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> Rollout[State, Action]:
        """Return the states gone through and the actions done."""
        given = Inputs(args, inputs).named(self)
        states, actions, costs = [cast("State", given["state"])], list[Action](), list[float]()
        rounds = math.ceil(self.steps / self.run)
        while len(costs) < rounds and not await self._is_done(states[-1]):
            with scope.scoped(sample=scope.current().sample * rounds + len(costs)):
                chosen = await self.plan.acall(**{**given, "state": states[-1]})
            plan = self._plan_of(chosen)
            costs.append(await scope.called(self.cost, states[-1], plan))
            for action in plan[: min(self.run, self.steps - len(actions))]:
                actions.append(action)
                states.append(await scope.called(self.act, states[-1], action))
                if await self._is_done(states[-1]):
                    break
        return Rollout(tuple(states), tuple(actions), tuple(costs))

    async def _reward(self, inputs: Mapping[str, Any], prediction: Any) -> float:
        state, plan = inputs["state"], self._plan_of(prediction)
        cost: object = await scope.called(self.cost, state, plan)
        if not isinstance(cost, Real):
            raise MetricError(
                f"`cost` returned {cost!r} for the plan {plan!r} from the state {state!r}. It should return a number, less is better.",
                unshown="`cost` returned no number. It should return one, less is better.",
            )
        return -float(cost)

    def _plan_of(self, prediction: Any) -> Sequence[Action]:
        plan = getattr(prediction, "plan", None)
        if isinstance(plan, str) or not isinstance(plan, Sequence):
            raise SignatureError(
                f"the planner returned {prediction!r}, without a list called `plan`. Give it an output `plan: list[...]`."
            )
        return cast("Sequence[Action]", plan)[: self.horizon]

    async def _is_done(self, state: State) -> bool:
        return self.done is not None and bool(await scope.called(self.done, state))
