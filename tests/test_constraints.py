"""Constrained outputs: made sure of by an LM that can, and by validation and one retry elsewhere; and what either costs."""

import json
from dataclasses import replace
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import lmprog as lp
from lmprog.testing import Asked, ScriptedLM


class Team(Enum):
    north = "north"
    south = "south"


class Part(BaseModel):
    """A model that says nothing of other members."""

    size: Literal["S", "M", "L"]


CONSTRAINTS: dict[str, tuple[Any, Any, Any, str]] = {
    "choices": (Literal["animal", "fruit"], "fruit", "tree", "one of: animal, fruit"),
    "enum": (Team, "south", "west", "one of: north, south"),
    "pattern": (Annotated[str, Field(pattern=r"^[A-Z]{2}-[0-9]{3}$")], "AB-123", "ab123", "matching ^[A-Z]{2}-[0-9]{3}$"),
    "length": (Annotated[str, Field(min_length=3, max_length=8)], "river", "sea side view", "length at most 8"),
    "bounds": (Annotated[int, Field(ge=1, le=5)], 4, 9, "at least 1, at most 5"),
    "count": (Annotated[list[Literal["a", "b"]], Field(min_length=2, max_length=3)], ["a", "b"], ["a"], '"minItems": 2'),
}  # fmt: skip
"""By name: a type, a value of it, one that is none, and words with which an LM is told."""


def asking(annotation: Any, format: str, **settings: Any) -> lp.Predict[..., Any]:
    """A predictor with one constrained output."""
    body = {"__annotations__": {"text": str, "answer": annotation}, "text": lp.InputField(), "answer": lp.OutputField()}
    predict = lp.Predict(type("Constrained", (lp.Signature,), {**body, "__doc__": "Answer."}), **settings)
    return lp.with_params(predict, lp.Params({"predict": lp.params_of(predict)["predict"].replace(format=format)}))


@pytest.mark.parametrize("format", ["chat", "json", "xml"])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_reply_that_breaks_a_constraint_is_asked_for_once_more_with_the_constraint_in_words(
    name: str, format: str
) -> None:
    annotation, right, wrong, words = CONSTRAINTS[name]
    turns: list[str] = []

    def handler(asked: Asked) -> Any:
        turns.append(asked.request.messages[-1].text)
        return {"answer": wrong if len(turns) == 1 else right}

    lm = ScriptedLM(handler)
    [run] = lp.evaluate(asking(annotation, format), [{"text": "x"}], lambda row, prediction: 1.0, lm=lm).runs

    assert run.failure is None
    assert (lm.sent, run.trace[0].retries) == (2, 1)
    assert "`answer` should be" in turns[1] and words in turns[1]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_reply_that_breaks_a_constraint_twice_never_reaches_the_caller(name: str) -> None:
    annotation, _, wrong, _ = CONSTRAINTS[name]

    with lp.using(lm=ScriptedLM(lambda asked: {"answer": wrong})), pytest.raises(lp.OutputError, match="should be"):
        asking(annotation, "chat")(text="x")


class Counted:
    """An LM and the number of its calls; `free` leaves it as it would be if it could not be held to a schema."""

    def __init__(self, lm: lp.LM, *, free: bool) -> None:
        self._lm, self._free, self.sent = lm, free, 0
        self.name = f"{'free' if free else 'held'}-{lm.name}"
        self.capabilities = lm.capabilities - ({"constrained"} if free else set[str]())

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        self.sent += 1
        return await self._lm(replace(request, json_reply=request.json_reply and not self._free))


ROWS = [{"text": text} for text in ("cat", "red plum")]


@pytest.fixture(scope="module")
def local() -> lp.LM:
    """The embedded LM's weights, served as those of any model are; at temperature 1 it writes what comes to it."""
    pytest.importorskip("torch")
    pytest.importorskip("llguidance")
    from lmprog.lm.tiny.client import WEIGHTS

    return lp.Local(WEIGHTS)


class Everything(lp.Signature):
    """Answer."""

    text: str = lp.InputField()
    choice: Literal["animal", "fruit"] = lp.OutputField()
    team: Team = lp.OutputField()
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}-[0-9]{3}$")] = lp.OutputField()
    name: Annotated[str, Field(min_length=3, max_length=8)] = lp.OutputField()
    stars: Annotated[int, Field(ge=1, le=5)] = lp.OutputField()
    parts: Annotated[list[Part], Field(min_length=1, max_length=2)] = lp.OutputField()


def cost(local: lp.LM, *, free: bool) -> tuple[int, int]:
    """How many rows got an answer, and how many calls they took."""
    lm = Counted(local, free=free)
    written = lp.Predict(Everything, config={"temperature": 1.0, "max_tokens": 140})
    predict = lp.with_params(written, lp.Params({"predict": lp.params_of(written)["predict"].replace(format="json")}))
    found = lp.evaluate(predict, ROWS, lambda row, prediction: 1.0, lm=lm)
    return len(ROWS) - len(found.failures), lm.sent


def test_an_lm_that_is_held_to_a_schema_takes_one_call_where_generate_and_check_takes_two_and_fails(
    local: lp.LM,
) -> None:
    assert cost(local, free=False) == (len(ROWS), len(ROWS))
    assert cost(local, free=True) == (0, 2 * len(ROWS))


def test_a_reply_that_is_held_to_a_schema_has_no_member_that_no_field_asks_for(local: lp.LM) -> None:
    replies: list[dict[str, Any]] = []

    class Listening(Counted):
        async def __call__(self, request: lp.Request, /) -> lp.Response:
            response = await super().__call__(request)
            replies.append(json.loads(response.text))
            return response

    with lp.using(lm=Listening(local, free=False)):
        for sample in range(4):
            with lp.using(sample=sample):
                asking(Part, "json", config={"temperature": 1.0, "max_tokens": 60})(text="cat")

    assert [(list(reply), list(reply["answer"])) for reply in replies] == [(["answer"], ["size"])] * 4


STOPPED = Annotated[str, Field(pattern=r"^[^.]{1,60}\.$")]
"""How a constraint says where to stop: at the first full stop."""


def test_a_constraint_can_say_where_a_reply_stops(local: lp.LM) -> None:
    replies = iter(["It is a fruit. It is red.", "It is a fruit."])
    with lp.using(lm=ScriptedLM(lambda asked: {"answer": next(replies)})):
        assert asking(STOPPED, "json")(text="plum").answer == "It is a fruit."  # asked for again

    held = Counted(local, free=False)
    with lp.using(lm=held):
        text: str = asking(STOPPED, "json", config={"temperature": 1.0, "max_tokens": 90})(text="plum").answer

    assert text.index(".") == len(text) - 1 and held.sent == 1


def test_a_held_reply_spends_no_tokens_on_spaces(local: lp.LM) -> None:
    """Left to itself this LM fills every place where JSON may have spaces, for as long as it may."""
    replies: list[lp.Response] = []

    class Listening(Counted):
        async def __call__(self, request: lp.Request, /) -> lp.Response:
            replies.append(await super().__call__(request))
            return replies[-1]

    shown = [
        lp.Demo(inputs={"text": text}, outputs={"answer": kind})
        for text, kind in (("dog", "animal"), ("pear", "fruit"))
    ]
    with lp.using(lm=Listening(local, free=False)):
        for temperature in (0.0, 1.0):
            asking(
                Literal["animal", "fruit"], "json", demos=shown, config={"temperature": temperature, "max_tokens": 24}
            )(text="cat")

    assert [reply.finish_reason for reply in replies] == ["stop", "stop"]
    assert not any("  " in line.lstrip() for reply in replies for line in reply.text.splitlines())
