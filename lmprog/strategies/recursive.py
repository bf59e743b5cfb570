"""Answer what is simple at once; take apart what is complex, with experts made up for the parts (arXiv:2408.01423)."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Generic, cast

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Bounded

from lmprog.derived import extended, narrowed, shown
from lmprog.errors import InputError
from lmprog.module import Module, is_whole, signature_of
from lmprog.predict import P, Predict, S_co
from lmprog.signature import InputField, OutputField, Signature, check_inputs, fields_of
from lmprog.strategies.apart import apart

MOST = 10
"""The highest complexity."""
Complexity = Annotated[int, Bounded(ge=1, le=MOST)]
_HOW_COMPLEX = f"1: can be answered at once; {MOST}: takes many steps that need each other"


class Part(BaseModel):
    """A part of a problem, and who is to solve it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expert: str
    """What the one who solves it is, knows and minds: a prompt."""
    problem: str


class TakeApart(Signature):
    """Take the problem apart into smaller ones, in the order in which they are to be solved.

    Write for each a prompt that tells an expert what he is, knows and should mind when he solves it. State it so that it
    can be understood without the others. It may use their results, if they come before.
    """

    problem: str = InputField()
    at_most: int = InputField(desc="how many parts there may be")
    parts: Annotated[list[Part], Bounded(min_length=1)] = OutputField()


class Work(Signature):
    """Solve the problem as the expert that you are, with what was found before."""

    expert: str = InputField()
    problem: str = InputField()
    found: list[str] = InputField()
    complexity: Complexity = OutputField(desc=_HOW_COMPLEX)
    result: str = OutputField()


class Recursive(Module, Generic[P, S_co]):
    """Rate how complex a run's inputs are, and answer at once; where they are above `threshold`, of 10, put that answer aside,
    take the problem apart into half as many parts as its complexity, `breadth` at most, solve these by the same rule, one
    after the other, and answer from their results.

    `max_depth` levels of parts, at most. A simple run takes one LM call and, in place of a chain of thought, a number; a
    complex one at most 3 + breadth calls at max_depth=1, and 3 + breadth * (3 + breadth) at 2. It helps where rows differ much
    in how hard they are, and the LM can tell.

    Prompt recursive search: Zhao and Ma 2024, arXiv:2408.01423. Departures: complexity and answer come in one call, where
    the paper asks for them apart, so that a simple row never costs more than a chain of thought; a part's expert prompt is an
    input, so that all parts share a predictor that can be optimized; depth and breadth are bounded.
    """

    def __init__(
        self, signature: Callable[P, S_co] | str, *, max_depth: int = 2, threshold: int = 5, breadth: int = 4
    ) -> None:
        if not (is_whole(threshold, 0) and threshold <= MOST and is_whole(max_depth, 0) and is_whole(breadth, 1)):
            raise InputError(
                f"threshold={threshold!r}, max_depth={max_depth!r}, breadth={breadth!r}: complexity goes from 1 to {MOST}, so write a "
                f"threshold from 0 to {MOST}; max_depth=0 or more, and breadth=1 or more."
            )
        base = Predict(cast("Callable[P, S_co]", signature)).signature
        told = fields_of(base).instruction
        rated = extended(base, told, complexity=(Complexity, OutputField(desc=_HOW_COMPLEX)))
        merging = f"{told}\n\nIts parts are solved already: put together what was found."
        self.answer: Predict[..., Any] = Predict(rated)
        self.take_apart, self.work = Predict(TakeApart), Predict(Work)
        self.merge: Predict[..., Any] = Predict(extended(base, merging, found=(list[str], InputField())))
        self.signature, self.max_depth, self.threshold, self.breadth = base, max_depth, threshold, breadth
        self.__signature__ = signature_of(self.answer)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled."""
        with apart() as steps:
            answered = await self.answer.acall(*args, **inputs)
            if not self.max_depth or answered.complexity <= self.threshold:
                return cast("S_co", narrowed(self.signature, answered))
            steps.set_aside()
        fields = fields_of(self.signature)
        problem = f"{fields.instruction}\n{shown(fields.inputs, check_inputs(self.signature, inputs))}"
        found = await self._found(problem, [], answered.complexity, self.max_depth)
        return cast("S_co", narrowed(self.signature, await self.merge.acall(*args, **inputs, found=found)))

    async def _found(self, problem: str, before: list[str], complexity: int, depth: int) -> list[str]:
        """Return what was found before, and then the results of the parts of a problem."""
        at_most = min(math.ceil(complexity / 2), self.breadth)
        context = "\n".join([*before, problem])
        parts = (await self.take_apart.acall(problem=context, at_most=at_most)).parts
        found = before
        for part in parts[:at_most]:
            found = [*found, f"{part.problem}: {await self._result(part, found, depth - 1)}"]
        return found

    async def _result(self, part: Part, found: list[str], depth: int) -> str:
        with apart() as steps:
            worked = await self.work.acall(expert=part.expert, problem=part.problem, found=found)
            if not depth or worked.complexity <= self.threshold:
                return worked.result
            steps.set_aside()
        found = await self._found(part.problem, found, worked.complexity, depth)
        return (await self.work.acall(expert=part.expert, problem=part.problem, found=found)).result
