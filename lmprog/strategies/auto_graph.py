"""A graph of prompts: abstract, propose, integrate, answer, verify, under an emotional stimulus (arXiv:2404.10500)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, cast, get_args

from lmprog.derived import extended, narrowed, reading
from lmprog.errors import InputError
from lmprog.module import Module, is_whole, params_of, signature_of, with_params
from lmprog.params import Params, PredictorParams
from lmprog.predict import P, Predict, S_co
from lmprog.signature import InputField, OutputField, fields_of
from lmprog.strategies.apart import apart

Node = Literal["abstract", "propose", "integrate", "verify", "stimulus"]
NODES: tuple[Node, ...] = get_args(Node)
"""What can be left out."""

STIMULUS = "A great deal depends on this for me, and I trust you with it: take your time and give it your best."
"""The emotional stimulus, in our own words; Li et al. 2023, arXiv:2307.11760, measured what such sentences do."""


class AutoGraph(Module, Generic[P, S_co]):
    """Fill the signature's outputs by way of notes that the LM makes for itself: `abstract` says what the problem comes down
    to, `propose` writes `solutions` different ways to solve it, `integrate` makes one of what is best in them, `answer`
    follows the notes, and `verify` checks; where it objects, the answer is given once more.

    Each node is a predictor whose instruction and demos can be optimized. `stimulus` ends every instruction; "" for none.
    Five LM calls a run, and one more where the check objects. It helps on problems that invite a hasty answer; `ablation`
    tells which nodes earn their calls.

    Auto-prompt graphical paradigm: Ma, Zhao, Zhang, Qin and Zhang 2024, arXiv:2404.10500. Departures: the solutions come in
    one reply, so that each can differ from those before it; an answer that fails the check is given again once.
    """

    def __init__(self, signature: Callable[P, S_co] | str, *, solutions: int = 3, stimulus: str = STIMULUS) -> None:
        if not is_whole(solutions, 1):
            raise InputError(
                f"solutions={solutions!r}: write how many, 1 or more. To leave them out: `without('propose')`."
            )
        base = Predict(cast("Callable[P, S_co]", signature)).signature
        self.signature, self._fields, self._stimulus = base, fields_of(base), stimulus
        self.solutions = solutions
        self.nodes: frozenset[Node] = frozenset(NODES if stimulus else NODES[:-1])
        count = (int, InputField(desc="how many ways"))
        self.abstract = self._noting("Abstract", _ABSTRACT, note=(str, OutputField(desc="the problem in general")))
        self.propose = self._noting("Propose", _PROPOSE, count=count, note=(list[str], OutputField(desc="the ways")))
        self.integrate = self._noting("Integrate", _INTEGRATE, note=(str, OutputField(desc="how to solve it")))
        told = _ended(self._fields.instruction, stimulus)
        self.answer: Predict[..., Any] = Predict(extended(base, told, notes=_NOTES))
        self.verify: Predict[..., Any] = Predict(
            reading(
                "Verify",
                {**self._fields.inputs, **self._fields.outputs},
                _ended(f"{_VERIFY}\n\nThe task: {self._fields.instruction}", stimulus),
                objection=(str, OutputField(desc="what is wrong and what would be right, or that nothing is wrong")),
                correct=(bool, OutputField()),
            )
        )
        self.__signature__ = signature_of(Predict(base))

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled."""
        notes: list[str] = []
        if "abstract" in self.nodes:
            notes = [(await self.abstract.acall(*args, **inputs, notes=notes)).note]
        if "propose" in self.nodes:
            ways = (await self.propose.acall(*args, **inputs, notes=notes, count=self.solutions)).note
            notes = [*notes, *ways[: self.solutions]]
            if "integrate" in self.nodes:
                notes = [*notes, (await self.integrate.acall(*args, **inputs, notes=notes)).note]
        with apart() as steps:
            answered = await self.answer.acall(*args, **inputs, notes=notes)
        if "verify" in self.nodes:
            outputs = {name: getattr(answered, name) for name in self._fields.outputs}
            checked = await self.verify.acall(*args, **inputs, **outputs)
            if not checked.correct:
                steps.set_aside()
                answered = await self.answer.acall(*args, **inputs, notes=[*notes, checked.objection])
        return cast("S_co", narrowed(self.signature, answered))

    def without(self, node: Node) -> Self:
        """Return a twin, under the same params, that leaves out a node; "stimulus" takes it from the instructions that end
        with it. Without `propose` there is nothing to integrate."""
        if node not in NODES:
            raise InputError(f"there is no node {node!r}: there are {', '.join(NODES)}. `answer` cannot be left out.")
        params = params_of(self)
        if node == "stimulus":
            bare = {path: _without_end(value, self._stimulus) for path, value in params.items()}
            params = Params(bare)
        twin = with_params(self, params)
        twin.nodes = self.nodes - {node}
        return twin

    def _noting(self, name: str, how: str, **fields: tuple[Any, Any]) -> Predict[..., Any]:
        told = _ended(f"{how}\n\nThe task: {self._fields.instruction}", self._stimulus)
        return Predict(reading(name, self._fields.inputs, told, notes=_NOTES, **fields))


@dataclass(frozen=True, slots=True)
class Ablation:
    """What a graph scores, and what it scores without each of its nodes."""

    whole: float
    without: Mapping[Node, float]

    def __str__(self) -> str:
        lines = [f"without {node:<10} {score:.3f} ({score - self.whole:+.3f})" for node, score in self.without.items()]
        return "\n".join([f"all nodes          {self.whole:.3f}", *lines])


def ablation(graph: AutoGraph[..., Any], score: Callable[[AutoGraph[..., Any]], float]) -> Ablation:
    """Return what the graph scores, whole and with each node that it has left out, such as
    `ablation(graph, lambda program: lp.evaluate(program, rows, metric).score)`. Up to six evaluations.
    """
    left_out: dict[Node, float] = {node: score(graph.without(node)) for node in NODES if node in graph.nodes}
    return Ablation(score(graph), left_out)


_NOTES = (list[str], InputField(desc="made so far"))
_ABSTRACT = (
    "Say what the problem comes down to: what is given, what is asked, what kind of problem it is. Do not solve it."
)
_PROPOSE = "Write different ways to solve the problem, each from another point of view. Do not carry them out."
_INTEGRATE = "Compare the ways to solve the problem in the notes, and make one way of what is best in them."
_VERIFY = "Check step by step whether the answer to the task is right."


def _ended(instruction: str, stimulus: str) -> str:
    return f"{instruction}\n\n{stimulus}" if stimulus else instruction


def _without_end(value: PredictorParams, stimulus: str) -> PredictorParams:
    return value.replace(instruction=value.instruction.removesuffix(_ended("", stimulus)))
