"""An agent with a search and a calculator: questions that take two look-ups, and at times a sum.

It shows typed functions as tools, what `compile()` does for an agent (instructions, demos, the tools' descriptions), and
how a program keeps one inside. The questions are those of `multihop`, and others about the same entities that ask for an age.
"""

import ast
import random
from functools import partial

from lmprog.data import Splits
from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.programs.multihop import BRIDGES, Question, encyclopedia, make_retriever
from lmprog.retrieval import Retriever
from lmprog.signature import InputField, OutputField, Signature
from lmprog.strategies.react import ReAct
from lmprog.task import Task


class Answer(Signature):
    """Answer the question in a few words."""

    question: str = InputField()
    answer: str = OutputField()


class Researcher(Module):
    """Search and calculate until the answer is known: at most `max_steps` + 1 LM calls a question."""

    def __init__(self, retriever: Retriever, max_steps: int = 6) -> None:
        self.retriever = retriever
        self.agent = ReAct(Answer, tools=[self.search, calculate], max_steps=max_steps)

    def search(self, query: str) -> str:
        """Finds the passages of an encyclopedia whose words match the query best."""
        return "\n".join(self.retriever(query)) or "Nothing was found."

    async def aforward(self, question: str) -> Answer:
        """Return the answer."""
        return await self.agent.acall(question=question)


def calculate(expression: str) -> str:
    """Computes an expression of numbers with + - * / // % and parentheses, such as 1950 - (1900 + 3)."""
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, RecursionError):
        raise ValueError(f"{expression!r} is no expression of numbers") from None
    return str(int(value)) if value == int(value) else str(round(value, 6))


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _combined(op, _value(left), _value(right))
        case _:
            raise SyntaxError


def _combined(op: ast.operator, left: float, right: float) -> float:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return left // right
        case ast.Mod():
            return left % right
        case _:  # a power of long numbers has no end
            raise SyntaxError


def make_splits(seed: int = 0) -> Splits:
    """Return the rows of a seed's questions: 80 train, 100 val, 160 holdout. Every other one that can asks for an age."""
    rows = {
        use: tuple(_row(question, random.Random(f"{seed} {use} {place}")) for place, question in enumerate(asked))
        for use, asked in encyclopedia(seed).questions.items()
    }
    return Splits(rows["train"], rows["val"], rows["holdout"])


def make_task(seed: int = 0, max_steps: int = 6) -> Task:
    """Return the task on the encyclopedia of a seed."""
    return Task(
        name="agent",
        program=lambda: Researcher(make_retriever(seed), max_steps),
        metric=exact_match("answer"),
        load=partial(make_splits, seed),
        about="a ReAct agent with a search and a calculator, on two-hop questions about invented names and their ages",
        not_tiny="by prompts alone it answers next to nothing: calls of tools are a small part of its training",
    )


TASK = make_task()


def _row(question: Question, rng: random.Random) -> dict[str, str]:
    second = question.chain[1]
    began = second.facts.get("born") or second.facts.get("founded")
    if began is None or rng.random() < 0.5:
        return {"question": question.text, "answer": question.answer}
    age = rng.randint(2, 90)
    year = int(began) + age
    return {"question": f"How old was {_phrase(question, rng)} in {year} ?", "answer": str(age)}


def _phrase(question: Question, rng: random.Random) -> str:
    """Return words for the entity that a question asks about, by the one that leads to it."""
    first, second = question.chain
    known = [
        phrases
        for kind, link, leads_to, phrases in BRIDGES
        if (kind, leads_to) == (first.kind, second.kind) and first.facts.get(link) == second.name
    ]
    return rng.choice(known[0]).format(name=first.name, role=first.facts.get("role"))
