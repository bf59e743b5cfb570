"""An agent that the embedded LM can become: it looks up one entity of the encyclopedia after the other, and answers.

By prompts alone the embedded LM answers next to nothing so: it is tuned on the runs of a teacher that plays the agent well.
"""

import json
from pathlib import Path

import lmprog as lp
from lmprog.programs.multihop import encyclopedia, make_retriever
from lmprog.strategies.react import ReAct
from lmprog.testing import Answer, Asked, ScriptedLM


class Short(lp.Signature):
    """Answer the question from the trajectory ."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


def look_up(query: str) -> str:
    """finds passages"""
    return " ".join(make_retriever(0)(query))


QUESTIONS = {question.text: question for asked in encyclopedia(0).questions.values() for question in asked}


def librarian(asked: Asked) -> Answer:
    """A large LM, which plays the agent well: it looks up one entity after the other, and then answers."""
    question = QUESTIONS[asked.inputs["question"]]
    if "next_tool_name" not in asked.outputs:
        return {"reasoning": f"{question.chain[1].name} is what is asked about .", "answer": question.answer}
    name = question.chain[len(json.loads(asked.inputs["trajectory"]))].name
    return {"next_thought": f"I must find {name} .", "next_tool_name": "look_up", "next_tool_args": name}


def tuned(train: int, val: int, holdout: int, run_dir: Path, steps: int = 50) -> lp.CompileResult[ReAct[..., Short]]:
    """Compile the agent for `tiny` on so many rows. Names, passages and questions of the holdout are all new to it."""
    agent = ReAct(Short, tools=[look_up], max_steps=2, config={"max_tokens": 60})
    params = lp.params_of(agent).replace("step", instruction="Choose the next tool .")
    params = params.replace("extract", instruction="Answer the question from the trajectory .")
    rows = {
        use: [{"question": q.text, "answer": q.answer} for q in asked]
        for use, asked in encyclopedia(0).questions.items()
    }
    return lp.compile(
        lp.with_params(agent, params), train=rows["train"][:train], val=rows["val"][:val], holdout=rows["holdout"][:holdout],
        metric=lp.metrics.exact_match("answer"), optimizer=f"finetune:steps={steps},batch=8", lm="tiny",
        teacher=ScriptedLM(librarian, name="librarian"), run_dir=run_dir,
    )  # fmt: skip
