"""An agent with typed functions as tools. An LM that is played by a script stands for a provider's."""

# [agent]
import lmprog as lp
from lmprog.programs.multihop import make_retriever

passages = make_retriever()


class Answer(lp.Signature):
    """Answer the question in a few words."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


def search(query: str) -> str:
    """Finds passages of an encyclopedia."""
    return "\n".join(passages(query))


def years_between(first: int, second: int) -> int:
    """Says how many years lie between two."""
    return second - first


agent = lp.ReAct(Answer, tools=[search, years_between], max_steps=5)
# [end]

from lmprog.testing import Asked, ScriptedLM  # noqa: E402


def play(asked: Asked) -> dict[str, object]:
    """Search once, then answer with what was found."""
    if "[]" in asked.inputs["trajectory"]:
        return {
            "next_thought": "I look it up.",
            "next_tool_name": "search",
            "next_tool_args": {"query": "Houvib Lifaipu"},
        }
    return {"next_thought": "It is there.", "next_tool_name": "finish", "next_tool_args": {"answer": "found"}}


with lp.using(lm=ScriptedLM(play)):
    assert agent(question="Where was Houvib Lifaipu born ?").answer == "found"
