"""One run of a program out of several on the same inputs, and what a reward makes of it."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from lmprog import loop, scope
from lmprog.errors import ContextError, InputError, LmprogError, MetricError, OutputError
from lmprog.metrics import Result, Score
from lmprog.module import Program, is_whole, signature_of
from lmprog.scope import Trace
from lmprog.strategies.apart import apart
from lmprog.strategies.inner import R

Reward = Callable[[Mapping[str, Any], R], Result | Awaitable[Result]]
"""`reward(inputs, prediction)`: how good a prediction is, with no label at hand. Sync or async.

It gets the inputs by name and returns a bool, any finite number, or an `lp.Score` whose feedback a critic may read.
"""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a program is called with."""

    args: tuple[object, ...]
    kwargs: Mapping[str, object]

    def named(self, program: Program) -> dict[str, Any]:
        """Return the inputs of a program by name, defaults filled in."""
        takes = signature_of(program)
        try:
            taken = takes.bind(*self.args, **self.kwargs)
        except TypeError as error:
            raise InputError(
                f"{type(program).__name__} was called with inputs that do not fit: {error}. It takes {takes}."
            ) from None
        taken.apply_defaults()
        return dict(taken.arguments)


@dataclass(frozen=True, slots=True)
class Draw:
    """One run of a program, with its steps, set apart from those of other runs."""

    trace: Trace
    prediction: Any = None
    error: LmprogError | None = None
    """Why it gave no prediction: a reply that does not validate, or a prompt beyond the LM's context."""
    score: Score | None = None
    """What the reward made of the prediction."""

    @property
    def value(self) -> float:
        """The reward; below all others where there is no prediction."""
        return self.score.value if self.score else -math.inf


async def draw(program: Program, inputs: Inputs, number: int, of: int, *, temperature: float | None = None) -> Draw:
    """Run a program as the draw with this number, from 0, of so many on the same inputs, each a fresh sample.

    A draw inside another has a sample index of its own, so that no two share a record. Systemic errors are raised.
    """
    here = scope.current()
    warmth = here.temperature if temperature is None else temperature
    with apart() as trace, scope.scoped(sample=here.sample * of + number, temperature=warmth):
        try:
            return Draw(trace, await cast("Any", program).acall(*inputs.args, **inputs.kwargs))
        except (OutputError, ContextError) as error:
            return Draw(trace, error=error)


async def judged(drawn: Draw, reward: Reward[Any], inputs: Mapping[str, Any]) -> Draw:
    """Return the draw with its score. What the reward asks an LM is among the draw's steps. MetricError where it fails."""
    with scope.scoped(trace=drawn.trace):
        return replace(drawn, score=await _score(reward, inputs, drawn.prediction))


def best(draws: Sequence[Draw]) -> Draw:
    """Return the first draw with the highest score, and set the others aside. Where none has one, the first's error is raised."""
    chosen = max(draws, key=lambda one: one.value)
    if chosen.error is not None:
        raise chosen.error
    for one in draws:
        if one is not chosen:
            one.trace.set_aside()
    return chosen


def check_draws(n: object) -> None:
    """Refuse what is no number of draws: InputError."""
    if not is_whole(n, 1):
        raise InputError(f"n={n!r}: write how many times the program may run, 1 or more, such as n=5.")


def check_reward(reward: object, threshold: object) -> None:
    """Refuse what is no reward, or none that it could reach: InputError."""
    if not callable(reward):
        raise InputError(f"reward={reward!r} cannot be called: write `def reward(inputs, prediction): return ...`.")
    if not isinstance(threshold, (int, float)) or not math.isfinite(threshold):
        raise InputError(f"threshold={threshold!r}: write the reward that is good enough, a number such as 1.0.")


async def _score(reward: Reward[Any], inputs: Mapping[str, Any], prediction: object) -> Score:
    shown = f"on the inputs {dict(inputs)!r} with the prediction {prediction!r}"
    try:
        given = await scope.called(reward, inputs, prediction)
    except (Exception, SystemExit) as error:
        if isinstance(error, LmprogError) and not isinstance(error, (OutputError, InputError)):
            raise
        place = loop.users_place(error)
        where = f"{place}; {shown}" if place else shown
        raise MetricError(
            f"the reward raised {type(error).__name__}: {error} ({where})",
            unshown=f"the reward raised {loop.raised(error)}.",
        ) from error
    score = given if isinstance(given, Score) else Score(given)
    try:
        value = math.nan if isinstance(cast("object", score.value), str) else float(score.value)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        wrong = "It should return a bool, a finite number, or lp.Score."
        raise MetricError(
            f"the reward returned {given!r} {shown}. {wrong}", unshown=f"the reward returned no number. {wrong}"
        )
    return replace(score, value=value)
