"""Runs that learn from the ones before: a critic's advice between them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, cast

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic_core import from_json, to_json

from lmprog import scope
from lmprog.errors import ContextError, OutputError
from lmprog.module import Module, checked_temperature, signature_of
from lmprog.predict import ChainOfThought
from lmprog.scope import Answered, Ask, Asking
from lmprog.signature import InputField, OutputField, Signature, encode, fields_of
from lmprog.strategies.draws import Draw, Inputs, Reward, best, check_draws, check_reward, draw, judged
from lmprog.strategies.inner import Inner, P, R, program_of


class Attempted(BaseModel):
    """A step of an attempt, as a critic sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    """The predictor's path."""
    instruction: str
    advice: str
    """What the step was told from the attempt before."""
    inputs: dict[str, JsonValue]
    outputs: dict[str, JsonValue]
    error: str | None


class Advise(Signature):
    """A program was run step by step, and its result is not good enough. It will be run again on the same inputs.

    Say which steps led to the shortcoming. For each of them write advice that it will read in the next run: what it got
    wrong, and what to do differently. A step sees its own inputs and your advice, and nothing else.
    """

    inputs: dict[str, JsonValue] = InputField(desc="what the program was given")
    steps: list[Attempted] = InputField(desc="what each step did, in order")
    result: JsonValue = InputField(desc="what the program returned; null where it failed")
    reward: float | None = InputField(desc="how good the result is; null where there is none")
    wanted: float = InputField(desc="the reward that is good enough")
    feedback: str = InputField(desc="what is said about the result")
    advice: dict[str, str] = OutputField(desc="advice by the name of the step; none for a step that did well")


class Refine(Module, Generic[P, R]):
    """Run a program or signature up to `n` times, until `reward(inputs, prediction)` reaches the `threshold`.

    After a run that falls short a critic, the predictor `critic`, reads what each predictor did, the reward, and the
    feedback where the reward returns an `lp.Score`, and writes advice for the predictors. Each sees its own in the next run,
    as one more input called `advice`. The prediction with the highest reward is returned, the first of equal ones.

    The first run is the program as it is; the others are fresh samples at `temperature`. A run whose reply does not
    validate falls short, too; where all do, the first one's OutputError is raised. A critic whose reply does not validate
    gives no advice. Predictors' params are not touched: advice stands in `Step.advice`, and no demo or training example
    holds it; nor is one made of runs that were not chosen (`kept=False` in the trace).

    At most `n` times the LM calls of the program and `n` - 1 of the critic. It helps where the reward says more than right
    or wrong, or where the LM sees its mistake once it is told that there is one.

    Self-Refine: Madaan et al. 2023, arXiv:2303.17651, where the LM itself says when to stop, and reads all drafts and
    feedback so far. Here a reward says it, and a predictor reads the advice of the last run alone; DSPy's `Refine` does so.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sample"})

    def __init__(
        self,
        program: Inner[P, R],
        n: int = 3,
        *,
        reward: Reward[R],
        threshold: float,
        temperature: float = 1.0,
    ) -> None:
        check_draws(n)
        check_reward(reward, threshold)
        self.program, self.n, self.reward = program_of(program), n, reward
        self.critic = ChainOfThought(Advise)
        self.threshold, self.temperature = threshold, checked_temperature(temperature)
        self.__signature__ = signature_of(self.program)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Return the best prediction."""
        given, draws = Inputs(args, inputs), list[Draw]()
        while len(draws) < self.n and not (draws and draws[-1].value >= self.threshold):
            draws.append(await self._draw(len(draws), given, await self._advice(given, draws)))
        return cast("R", best(draws).prediction)

    async def _draw(self, number: int, inputs: Inputs, advice: Mapping[str, str]) -> Draw:
        async def advised(asking: Asking, ask: Ask) -> Answered:
            told = [text for text in (asking.advice, advice.get(asking.path, "")) if text]
            return await ask(asking._replace(advice="\n".join(told)))

        warmth = self.temperature if number else None
        with scope.surrounded(advised):
            drawn = await draw(self.program, inputs, number, self.n, temperature=warmth)
        return drawn if drawn.error else await judged(drawn, self.reward, inputs.named(self))

    async def _advice(self, inputs: Inputs, draws: Sequence[Draw]) -> Mapping[str, str]:
        if not draws:
            return {}
        drawn = draws[-1]
        try:
            said = await self.critic.acall(
                inputs=_json(inputs.named(self)),
                steps=_attempted(drawn),
                result=_json(_outputs(drawn.prediction)),
                reward=drawn.score.value if drawn.score else None,
                wanted=self.threshold,
                feedback=drawn.score.feedback if drawn.score else str(drawn.error),
            )
        except (OutputError, ContextError):
            return {}
        return said.advice


def _attempted(drawn: Draw) -> list[Attempted]:
    binding = scope.current().binding
    written = {path: params.instruction for path, params in binding.params.items()} if binding else {}
    return [
        Attempted(
            step=step.predictor,
            instruction=step.instruction or written.get(step.predictor, ""),
            advice=step.advice,
            inputs=_json(step.inputs),
            outputs=_json(step.outputs),
            error=step.error,
        )
        for step in drawn.trace.steps
        if step.kept
    ]


def _outputs(prediction: object) -> object:
    if not isinstance(prediction, Signature):
        return prediction
    kind = type(prediction)
    return encode(kind, {name: getattr(prediction, name) for name in fields_of(kind).outputs})


def _json(value: object) -> Any:
    return from_json(to_json(value, fallback=repr, bytes_mode="base64", inf_nan_mode="strings"))
