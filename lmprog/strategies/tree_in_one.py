"""Tree search in one call: the LM writes the whole search, dead ends and all, before the answer (arXiv:2310.10686)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict

from lmprog.derived import extended, narrowed
from lmprog.errors import InputError, OutputError
from lmprog.module import Module, signature_of
from lmprog.params import Demo
from lmprog.predict import P, Predict, S_co
from lmprog.signature import OutputField, fields_of

Strategy = Literal["bfs", "dfs"]


class Thought(BaseModel):
    """A step that the search tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    """Its place in the trajectory, from 0."""
    parent: int | None
    """The number of the thought that it goes on from; None for a first step."""
    step: str
    verdict: Literal["go on", "dead end", "solution"]


class TreeInOne(Module, Generic[P, S_co]):
    """Ask for the signature's outputs, and before them for a search of the possible steps, breadth or depth first.

    One LM call a run, and one more where the reply is no tree; an external tree search sends a call for every thought
    that it expands. It helps where an answer is a path of steps whose first one can be a mistake, as in puzzles, and the
    LM is good enough to keep the books. `trajectory(prediction)` gives the thoughts. `demos` are worked examples of the
    task, each with a `trajectory` among its outputs; the trajectory of a run that was right is one, and what fine-tuning
    learns from, as any output is. `max_tokens` is for the whole search.

    Autonomous tree search: Zhang, Ye, Shen and Gan 2023, arXiv:2310.10686. Departures: the trajectory is a typed output,
    whose thoughts name their parents, and a reply in which they do not is asked for again; the paper's is free text.
    The system prompt and its exemplar are our own.
    """

    def __init__(
        self,
        signature: Callable[P, S_co] | str,
        strategy: Strategy = "bfs",
        *,
        demos: Sequence[Demo] = (),
        max_tokens: int = 2048,
    ) -> None:
        if strategy not in _HOW:
            raise InputError(f'strategy={strategy!r}: write "bfs" for breadth first, or "dfs" for depth first.')
        base = Predict(cast("Callable[P, S_co]", signature)).signature
        instruction = f"{fields_of(base).instruction}\n\n{_HOW[strategy]}\n\n{_exemplar(strategy)}"
        searching = extended(base, instruction, trajectory=(Trajectory, OutputField(desc="every thought, in order")))
        self.search: Predict[..., Any] = Predict(searching, demos=demos, config={"max_tokens": max_tokens})
        self.signature = base
        self.__signature__ = signature_of(self.search)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled, and the trajectory."""
        found = await self.search.acall(*args, **inputs)
        return cast("S_co", narrowed(self.signature, found, trajectory=found.trajectory))


def trajectory(prediction: object) -> tuple[Thought, ...]:
    """Return the thoughts that a TreeInOne wrote before its answer, in order."""
    found = getattr(prediction, "trajectory", None)
    if not isinstance(found, list):
        raise OutputError(f"{type(prediction).__name__} holds no trajectory: it did not come from a TreeInOne.")
    return tuple(cast("list[Thought]", found))


def _tree(thoughts: list[Thought]) -> list[Thought]:
    for place, thought in enumerate(thoughts):
        if thought.number != place:
            raise ValueError(
                f"the thought at place {place} has the number {thought.number}: number them from 0, in order"
            )
        if thought.parent is not None and not 0 <= thought.parent < place:
            raise ValueError(f"thought {place} goes on from {thought.parent}, which is no thought before it")
    return thoughts


Trajectory = Annotated[list[Thought], AfterValidator(_tree)]

_THOUGHT = (
    "Each thought has a number from 0 on, the number of the thought that it goes on from as its parent (null for a first "
    'step), the step itself, and a verdict: "go on" where it may still lead to a solution, "dead end" where it cannot, '
    '"solution" where it is one.'
)
_HOW: Mapping[Strategy, str] = {
    "bfs": "Search for the answer breadth first, and write the whole search down before you answer. Begin with the possible "
    "first steps. Then, level by level, write the possible next steps of every thought of the level before whose verdict is "
    '"go on", until one is a solution. ' + _THOUGHT,
    "dfs": "Search for the answer depth first, and write the whole search down before you answer. Take a possible first step, "
    'and go on from it while its verdict is "go on". At a dead end go back to the nearest thought that still has a step '
    "untried, and try that one, until one is a solution. " + _THOUGHT,
}
_STEPS: Mapping[Strategy, Sequence[tuple[int | None, str, Literal["go on", "dead end", "solution"]]]] = {
    "bfs": (
        (None, "2 + 3 = 5", "go on"),
        (None, "2 * 2 = 4", "go on"),
        (0, "5 + 3 = 8", "dead end"),
        (0, "5 * 2 = 10", "dead end"),
        (1, "4 + 3 = 7", "solution"),
    ),
    "dfs": (
        (None, "2 + 3 = 5", "go on"),
        (0, "5 + 3 = 8", "dead end"),
        (0, "5 * 2 = 10", "dead end"),
        (None, "2 * 2 = 4", "go on"),
        (3, "4 + 3 = 7", "solution"),
    ),
}


def _exemplar(strategy: Strategy) -> str:
    """Return a search of another task, so that the signature's own examples are not needed."""
    steps = enumerate(_STEPS[strategy])
    thoughts = [Thought(number=n, parent=parent, step=step, verdict=verdict) for n, (parent, step, verdict) in steps]
    lines = "\n".join(thought.model_dump_json() for thought in thoughts)
    return f"Such a search, for 7 from 2 by adding 3 or doubling:\n{lines}"
