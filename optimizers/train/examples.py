"""Training examples: calls of runs that passed the metric, as the LM reads and writes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lmprog.module import predictors
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.demos import Success
from lmprog.params import Demo, Params
from lmprog.request import Request


@dataclass(frozen=True, slots=True)
class Example:
    """A call to learn: the request, and the reply that it should get."""

    path: str
    """The predictor that makes the call."""
    row: int
    """The training row of which it is."""
    request: Request
    reply: str
    weight: float = 1.0
    """Of its tokens in the loss."""


def examples(problem: Problem, params: Params, successes: Sequence[Success]) -> list[Example]:
    """Return every call of the successes, asked as the program asks under `params`; of equal calls one.

    Each is rendered by the code that renders it at inference, and belongs to the predictor that made it, however often
    and in whatever order a program calls its predictors. A demo that shows the very call is left out of its prompt: it
    would teach to copy.
    """
    known = predictors(problem.program)
    found: dict[tuple[str, Request, str], Example] = {}
    for success in successes:
        for path, demo in _calls(success.demos):
            own = params[path]
            others = tuple(one for one in own.demos if one.inputs != demo.inputs)
            shown = own if len(others) == len(own.demos) else own.replace(demos=others)
            request, reply = known[path].worked(shown, demo)
            found.setdefault((path, request, reply), Example(path, success.row, request, reply))
    return list(found.values())


def _calls(demos: Mapping[str, Sequence[Demo]]) -> Iterable[tuple[str, Demo]]:
    return ((path, demo) for path, some in demos.items() for demo in some)
