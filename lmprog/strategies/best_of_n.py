"""The best of several runs, by a reward that needs no label."""

from typing import ClassVar, Generic, cast

from lmprog.loop import gather
from lmprog.module import Module, checked_temperature, signature_of
from lmprog.strategies.draws import Draw, Inputs, Reward, best, check_draws, check_reward, draw, judged
from lmprog.strategies.inner import Inner, P, R, program_of


class BestOfN(Module, Generic[P, R]):
    """Run a program or signature `n` times and return the prediction with the highest `reward(inputs, prediction)`.

    The first of equal ones is returned. The first run is the program as it is, so that by the reward the result is never
    worse than without BestOfN; the others are fresh samples at `temperature`, for predictors whose own params set none.
    They run at once. With a `threshold` they run one after another, until a reward reaches it. A run whose reply does not
    validate drops out; where all do, the first one's OutputError is raised. A reward that fails is a MetricError.

    At most `n` times the LM calls of the program. It helps where good answers are among the samples and the reward can
    tell: checks of form, tests that run, a judge. The steps of the runs that were not chosen are in the trace with
    `kept=False`, and no demo or training example is made of them.

    Best-of-n against a reward: Nakano et al. 2021, arXiv:2112.09332, where the reward is a model trained for it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sample"})

    def __init__(
        self,
        program: Inner[P, R],
        n: int = 5,
        *,
        reward: Reward[R],
        threshold: float | None = None,
        temperature: float = 1.0,
    ) -> None:
        check_draws(n)
        check_reward(reward, 0.0 if threshold is None else threshold)
        self.program, self.n, self.reward = program_of(program), n, reward
        self.threshold, self.temperature = threshold, checked_temperature(temperature)
        self.__signature__ = signature_of(self.program)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Return the best prediction."""
        given, draws = Inputs(args, inputs), list[Draw]()
        if self.threshold is None:
            draws = await gather(self._draw(number, given) for number in range(self.n))
        else:
            while len(draws) < self.n and not (draws and draws[-1].value >= self.threshold):
                draws.append(await self._draw(len(draws), given))
        return cast("R", best(draws).prediction)

    async def _draw(self, number: int, inputs: Inputs) -> Draw:
        warmth = self.temperature if number else None
        drawn = await draw(self.program, inputs, number, self.n, temperature=warmth)
        return drawn if drawn.error else await judged(drawn, self.reward, inputs.named(self))
