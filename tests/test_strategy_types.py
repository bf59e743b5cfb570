"""What a type checker sees of strategies: what goes into the signature inside, and what comes out of it.

The checkers read this file as they read all tests: a comment that ignores an error which is not there is one itself.
"""

from collections.abc import Sequence
from typing import Any, assert_type

import pytest

import lmprog as lp
from lmprog.strategies.auto_graph import AutoGraph
from lmprog.strategies.code_plan import CodePlan, Execution
from lmprog.strategies.plan_mpc import PlanMPC, Rollout
from lmprog.strategies.prefix import with_prefix
from lmprog.strategies.recursive import Recursive
from lmprog.strategies.script import Script
from lmprog.strategies.self_play import Match, SelfPlay
from lmprog.strategies.tree_in_one import TreeInOne
from lmprog.testing import ScriptedLM


class Answer(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Move(lp.Signature):
    """Move."""

    state: int = lp.InputField()
    plan: list[int] = lp.OutputField()


class World:
    def __init__(self, task: str) -> None:
        self.task = task

    def __str__(self) -> str:
        return self.task

    def act(self, how: str) -> str:
        """Act."""
        return how


def brief(prediction: Answer) -> str | None:
    return None if len(prediction.answer) < 9 else "Be brief."


def cost(state: int, plan: Sequence[int]) -> float:
    return float(state + sum(plan))


def act(state: int, action: int) -> int:
    return state + action


def is_seen_by_a_checker() -> None:
    """Never called."""
    assert_type(TreeInOne(Answer)(question="?"), Answer)
    assert_type(TreeInOne(Answer, "dfs")(question="?").answer, str)
    assert_type(Script(Answer, {"think": "Think."}, [brief])(question="?"), Answer)
    assert_type(Recursive(Answer)(question="?"), Answer)
    assert_type(AutoGraph(Answer).without("verify")(question="?"), Answer)
    assert_type(PlanMPC(Move, cost=cost, act=act)(state=1), Rollout[int, int])
    assert_type(CodePlan(World)("tidy up"), Execution[World])
    assert_type(CodePlan(World)(task="tidy up").world.task, str)
    assert_type(SelfPlay()(first="sell", second="buy"), Match)
    assert_type(TreeInOne("question -> answer")(question="?"), Any)
    assert_type(with_prefix(Recursive(Answer), "...")(question="?"), Answer)


MADE: list[Any] = [TreeInOne(Answer), Recursive(Answer), AutoGraph(Answer), Script(Answer, {})]


@pytest.mark.parametrize("made", MADE, ids=["tree", "recursive", "graph", "script"])
def test_an_input_that_the_signature_does_not_have_is_refused(made: Any) -> None:
    with lp.using(lm=ScriptedLM(lambda asked: {})), pytest.raises(lp.InputError, match="`qestion` is not an input"):
        made(qestion="?")


def is_refused_by_a_checker() -> None:
    """Never called."""
    TreeInOne(Answer)(qestion="?")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Script(Answer, {})(question=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Script(Move, {}, [brief])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    print(Recursive(Answer)(question="?").anwser)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    AutoGraph(Answer).without("answer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PlanMPC(Answer, cost=cost, act=act)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CodePlan(World)(tsk="tidy up")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SelfPlay()(first="sell")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
