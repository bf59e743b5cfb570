"""Typed functions as tools: what an LM is told of them, what they take and give, and predictors that choose among them."""

import asyncio
import functools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from pydantic import BaseModel, Field

import lmprog as lp
from lmprog.formats import chat, prepare, read, xml
from lmprog.formats import json as json_format
from lmprog.formats.tools import SHOWN_OF_AN_OBSERVATION, Told, tools_in, tools_text
from lmprog.identity import identity_of
from lmprog.lm.tiny.template import prompt_of
from lmprog.params import FormatName
from lmprog.request import ToolSpec, request_key
from lmprog.testing import Answer, Asked, ScriptedLM, hostile_texts, reply
from lmprog.tools import NextCall, Tool, ToolLike, Trajectory

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
texts = hostile_texts()
properties = settings(deadline=None, derandomize=True, database=None, max_examples=30)
in_every_format = pytest.mark.parametrize("format_", FORMATS)


class Place(BaseModel):
    name: str
    near: str | None = None


def search(
    query: Annotated[str, Field(description="what to look for")],
    most: Annotated[int, Field(ge=1)] = 3,
    year: date | None = None,
) -> list[str]:
    """Finds passages.

    The best come first.
    """
    return [f"{query} {year}"] * most


def visit(place: Place) -> Place:
    """Goes there."""
    return Place(name=place.name.upper(), near=place.near)


def now() -> str:
    return "noon"


def other_search(query: str) -> str:
    return query


class Request(NextCall):
    """Turn the request into a call."""

    request: str = lp.InputField()


class Step(NextCall):
    """Do the next step."""

    question: str = lp.InputField()
    trajectory: Trajectory = lp.InputField()


def called(tool: Tool[..., Any], **arguments: object) -> str:
    return asyncio.run(tool.acall(arguments))


# What an LM is told


def test_a_tool_is_told_by_the_functions_name_docstring_and_annotations() -> None:
    tool = Tool(search)

    assert (tool.name, tool.description) == ("search", "Finds passages.\n\nThe best come first.")
    assert json.loads(tool.parameters) == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "what to look for"},
            "most": {"type": "integer", "minimum": 1, "default": 3},
            "year": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    assert list(json.loads(tool.parameters)["properties"]) == ["query", "most", "year"]


def test_nested_models_are_told_with_what_they_refer_to() -> None:
    schema = json.loads(Tool(visit).parameters)

    assert schema["properties"] == {"place": {"$ref": "#/$defs/Place"}}
    assert list(schema["$defs"]["Place"]["properties"]) == ["name", "near"]


def test_a_tool_may_be_given_another_name_and_description() -> None:
    tool = Tool(now, name="clock", description="Tells the time.")

    assert tool.spec == ToolSpec("clock", "Tells the time.", tool.parameters)
    assert Tool(now).description == ""


def test_a_decorated_function_is_called_as_before() -> None:
    @Tool
    def double(number: int) -> int:
        """Doubles."""
        return 2 * number

    assert double(21) == 42
    assert double.name == "double"


def test_methods_partials_and_objects_that_are_called_are_tools() -> None:
    class Shop:
        """Sells."""

        def sell(self, item: "str") -> str:
            """Sells an item."""
            return f"sold {item}"

        def __call__(self, count: int) -> int:
            return count

    assert called(Tool(Shop().sell), item="tea") == "sold tea"
    assert Tool(functools.partial(search, most=1)).name == "search"
    assert called(Tool(functools.partial(search, most=1)), query="x") == '["x None"]'
    assert called(Tool(Shop(), name="count_them"), count="2") == "2"


def _star(*words: str) -> str:
    return ""


def _stars(**words: str) -> str:
    return ""


def _by_place(word: str, /) -> str:
    return word


def _untyped(word) -> str:  # type: ignore[no-untyped-def]  # pyright: ignore
    return str(word)  # pyright: ignore


def _of_no_json(done: threading.Event) -> str:
    return ""


def _of_unknown(word: "Unknown") -> str:  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore
    return ""


NO_TOOLS: list[tuple[Any, str]] = [
    (_star, r"`_star` cannot be a tool: it takes any number of values, `\*words`"),
    (_stars, r"`_stars` cannot be a tool: it takes any names, `\*\*words`.*lp.Tool\(_stars, schema=...\)"),
    (_by_place, "`_by_place` cannot be a tool: it takes `word` by position alone"),
    (_untyped, "`_untyped` cannot be a tool: its parameter `word` has no type. Write `word: str`"),
    (
        _of_no_json,
        "`_of_no_json` cannot be a tool: its parameter `done` is of the type Event, which has no form in JSON",
    ),
    (_of_unknown, "`_of_unknown` cannot be a tool: name 'Unknown' is not defined"),
    (lambda: "", r"a tool cannot be called '<lambda>'.*Write `lp.Tool\(function, name=\"...\"\)`"),
    (max, "`max` cannot be a tool, because its parameters are not known .*Write a function around it: `def max"),
    (str.upper, "`upper` cannot be a tool: it takes `self` by position alone"),
    ("search", "'search' cannot be a tool: give a function"),
]


@pytest.mark.parametrize(("function", "why"), NO_TOOLS)
def test_what_cannot_be_a_tool_is_refused_with_the_line_to_write(function: Any, why: str) -> None:
    with pytest.raises(lp.SignatureError, match=why):
        Tool(function)


def test_a_method_made_a_tool_in_its_class_is_refused_with_the_line_to_write() -> None:
    with pytest.raises(lp.SignatureError, match=r"`self` has no type.*give the bound one: `lp.Tool\(self.search\)`"):

        class _Shop:  # pyright: ignore[reportUnusedClass]
            @Tool
            def sell(self, item: str) -> str:
                return item


@pytest.mark.parametrize("schema", ["query", {"type": "array"}, {"properties": ["query"]}])
def test_a_schema_that_is_none_of_an_object_is_refused(schema: Any) -> None:
    with pytest.raises(
        lp.SignatureError, match=r"the schema of the tool `_stars` is .* Write the JSON schema of an object"
    ):
        Tool(_stars, schema=schema)


@pytest.mark.parametrize("name", ["", 3, "two words", "naïve", "1st", "x" * 65, "a-b"])
def test_a_name_that_providers_refuse_is_refused_at_once(name: Any) -> None:
    with pytest.raises(lp.SignatureError, match="a tool cannot be called"):
        Tool(now, name=name)


# What a tool takes and gives


def test_arguments_become_the_declared_types() -> None:
    given = {"query": "Ada", "most": 2, "year": "1815-12-10"}

    assert Tool(search).checked(given) == {"query": "Ada", "most": 2, "year": date(1815, 12, 10)}
    assert Tool(visit).checked({"place": {"name": "Oslo"}}) == {"place": Place(name="Oslo")}


def test_arguments_with_a_default_may_be_left_out() -> None:
    assert Tool(search).checked({"query": "Ada"}) == {"query": "Ada"}
    assert called(Tool(search), query="Ada") == '["Ada None","Ada None","Ada None"]'


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"query": 1815}, {"query": "1815"}),
        ({"query": True}, {"query": "true"}),
        ({"query": "x", "most": "2"}, {"query": "x", "most": 2}),
        ({"query": "x", "year": None}, {"query": "x", "year": None}),
    ],
)
def test_a_number_may_stand_for_a_text_and_a_text_for_what_it_says(
    given: dict[str, Any], taken: dict[str, Any]
) -> None:
    assert Tool(search).checked(given) == taken


def test_an_object_in_a_text_is_read() -> None:
    assert Tool(visit).checked({"place": '{"name": "Oslo"}'}) == {"place": Place(name="Oslo")}


@pytest.mark.parametrize(
    ("tool", "text", "taken"),
    [
        (Tool(visit), '{"name": "Oslo"}', {"place": Place(name="Oslo")}),
        (Tool(now), "", {}),
        (Tool(other_search), "Ada Lovelace", {"query": "Ada Lovelace"}),
        (Tool(max, name="most", schema={"type": "object", "properties": {"of": {}}}), "x", {"of": "x"}),
    ],
)
def test_a_text_alone_is_the_value_of_the_only_argument(tool: Tool[..., Any], text: str, taken: dict[str, Any]) -> None:
    assert tool.checked(text) == taken


def test_a_text_alone_is_no_value_of_several_arguments() -> None:
    with pytest.raises(
        lp.InputError, match=r"the arguments of `search` are the text 'Ada'. Write a JSON object with query, most"
    ):
        Tool(search).checked("Ada")


@in_every_format
def test_plain_arguments_are_read_and_broken_json_is_asked_for_again(format_: FormatName) -> None:
    """As weak LMs write them: the value alone, without quotes where the layout needs none."""
    choose = lp.Predict(Request, tools=[other_search])
    choose = choose.with_params(choose.initial.replace(format=format_))
    plain = {"next_thought": "", "next_tool_name": "other_search", "next_tool_args": "Ada"}
    complaints: list[str] = []

    def script(asked: Asked) -> Answer:
        last = asked.request.messages[-1].text
        if last.startswith("That reply"):
            complaints.append(last)
            return plain
        return reply({**plain, "next_tool_args": '{"query": "Ada'}, asked.request).replace('\\"', '"')

    with lp.using(lm=ScriptedLM(script)):
        assert choose(request="x").next_tool_args == "Ada"
    assert len(complaints) == 1


def test_arguments_that_do_not_fit_are_each_named() -> None:
    with pytest.raises(lp.InputError) as refused:
        Tool(search).checked({"most": 0, "words": "x"})

    said = str(refused.value)
    assert "the arguments of `search` do not fit: there is no argument `words`; `query` is missing; " in said
    assert "`most` should be whole number, at least 1, but is 0 (" in said
    assert said.endswith("Its arguments: `query`, `most`, `year`.")


@dataclass
class Found:
    title: str
    score: float


class Verdict(lp.Signature):
    """Judge."""

    text: str = lp.InputField()
    verdict: str = lp.OutputField()


class Verdicts(Verdict):
    sure: bool = lp.OutputField()


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("as [[ it ]] is\n", "as [[ it ]] is\n"),
        (["a", 1, None], '["a",1,null]'),
        (Place(name="Ås"), '{"name":"Ås","near":null}'),
        ([Found("x", 0.5)], '[{"title":"x","score":0.5}]'),
        ({"day": date(2024, 2, 29)}, '{"day":"2024-02-29"}'),
        (None, "null"),
        ("half of \ud83d", "half of ?"),
        (["half of \ud83d", 1], '["half of ?", 1]'),
        (np.float32(0.5), "0.5"),
        ([np.arange(3), "half of \ud83d"], '[[0, 1, 2], "half of ?"]'),
        (Verdict(text="?", verdict="good"), "good"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (Verdicts(text="?", verdict="good", sure=True), '{"verdict": "good", "sure": true}'),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ],
)  # fmt: skip
def test_what_a_tool_returns_becomes_text(returned: object, text: str) -> None:
    def give() -> object:
        return returned

    assert called(Tool(give)) == text


def test_a_value_that_json_cannot_hold_is_refused_by_name() -> None:
    with pytest.raises(lp.SignatureError, match="the tool `give` returned a Event, which JSON cannot hold"):
        called(Tool(threading.Event, name="give"))


def test_a_tool_of_a_schema_gets_its_arguments_as_they_are() -> None:
    schema = {"type": "object", "properties": {"class": {"type": "string"}}}

    def echo(**given: object) -> object:
        return given

    tool = Tool(echo, schema=schema)

    assert json.loads(tool.parameters) == schema
    assert called(tool, **{"class": 7}) == '{"class":7}'


def test_a_tool_made_of_a_tool_is_the_same_under_another_name() -> None:
    made = Tool(_stars, name="echo", description="Says it.", schema={"type": "object", "properties": {"word": True}})

    other = Tool(made, name="say")

    assert other.name == "say"
    assert (other.description, other.parameters, other.fields) == (made.description, made.parameters, made.fields)
    assert Tool(Tool(search), description="Looks.").parameters == Tool(search).parameters


def test_an_object_is_described_by_what_is_said_of_its_call_and_no_class_by_its_base() -> None:
    class Lookup:
        def __call__(self, word: str) -> str:
            """Looks a word up."""
            return word

    class Entry(BaseModel):
        word: str

    assert Tool(Lookup()).description == "Looks a word up."
    assert Tool(Entry).description == ""


def test_a_sync_tool_runs_in_a_worker_thread_and_an_async_one_on_the_loop() -> None:
    async def on_loop() -> str:
        return threading.current_thread().name

    def off_loop() -> str:
        return threading.current_thread().name

    async def both() -> tuple[str, str, str]:
        here = threading.current_thread().name
        return here, await Tool(on_loop).acall({}), await Tool(off_loop).acall({})

    here, asynchronous, sync = asyncio.run(both())

    assert asynchronous == here != sync
    assert called(Tool(functools.partial(on_loop), name="partly")) == here


def test_a_tool_calls_predictors_under_the_params_of_the_program_that_it_belongs_to() -> None:
    class Judge(lp.Module):
        def __init__(self) -> None:
            self.judge = lp.Predict(Verdict)
            self.tool = Tool(self.ask)

        def ask(self, text: str) -> str:
            return self.judge(text=text).verdict

        async def aforward(self, text: str) -> str:
            return await self.tool.acall({"text": text})

    program = lp.with_params(Judge(), lp.params_of(Judge()).replace("judge", instruction="Judge mildly."))

    with lp.using(lm=ScriptedLM(lambda asked: {"verdict": asked.instruction})):
        assert program(text="x") == "Judge mildly."


# Predictors that choose a tool


def test_a_predictor_with_tools_chooses_one() -> None:
    choose = lp.Predict(Request, tools=[search, now])

    def script(asked: Asked) -> Answer:
        assert list(asked.tools) == ["search", "now"]
        return {
            "next_thought": "Look.",
            "next_tool_name": "search",
            "next_tool_args": {"query": asked.inputs["request"]},
        }

    with lp.using(lm=ScriptedLM(script)):
        step = choose(request="Ada")

    assert (step.next_tool_name, step.next_tool_args) == ("search", {"query": "Ada"})


def test_the_prompt_tells_tools_with_the_types_defaults_and_descriptions_of_their_arguments() -> None:
    params = lp.Predict(Request, tools=[search, now]).initial

    system = (
        prepare(Request, params, [Tool(search).spec, Tool(visit).spec, Tool(now).spec]).render({"request": "x"})[0].text
    )

    assert (
        "\n\nTools:\n"
        "- search(query, most, year): Finds passages.\n"
        "    \n"
        "    The best come first.\n"
        "  - query (text): what to look for\n"
        "  - most (whole number, at least 1), 3 where it is left out\n"
        "  - year (text, format date or null), null where it is left out\n"
        "- visit(place): Goes there.\n"
        "  - place (JSON of this schema: "
    ) in system
    assert "\n- now()\n\n" in system


def test_any_schema_of_arguments_is_told_as_servers_of_tools_write_them() -> None:
    properties = {
        "any": True,
        "maybe": {"type": ["string", "null"]},
        "words": {"type": "array", "items": {"type": ["string", "null"]}},
        "pair": {"type": "array", "items": [{"type": "string"}]},
        "either": {"anyOf": [True, {"type": "integer"}]},
    }
    spec = Tool(_stars, schema={"type": "object", "properties": properties}).spec

    told = tools_text([spec])

    assert "- maybe (text or null)\n" in told and "- either (any JSON or whole number)" in told
    assert [tool.arguments for tool in tools_in(told)] == [tuple(properties)]


@in_every_format
def test_without_tools_a_prompt_is_as_it_was(format_: FormatName) -> None:
    params = lp.PredictorParams(instruction="Judge.", format=format_)

    assert prepare(Verdict, params).render({"text": "x"}) == prepare(Verdict, params, []).render({"text": "x"})
    assert "Tools:" not in prepare(Verdict, params).render({"text": "x"})[0].text


@properties
@given(instruction=texts, first=texts, second=texts, said=texts)
@pytest.mark.parametrize("format_", FORMATS)
def test_instruction_outputs_and_tools_read_back_whatever_they_say(
    format_: FormatName, instruction: str, first: str, second: str, said: str
) -> None:
    specs = [Tool(search, description=first).spec, Tool(now, description=second).spec]
    params = lp.PredictorParams(
        instruction=instruction.strip(), format=format_, field_descriptions={"request": said, "now": said}
    )

    asked = read(prepare(Request, params, specs).render({"request": "x"}))

    assert (asked.instruction, asked.inputs) == (instruction.strip(), {"request": "x"})
    assert asked.outputs == ("next_thought", "next_tool_name", "next_tool_args")
    own = specs[0].description.strip()
    assert asked.tools == (Told("search", ("query", "most", "year"), own), Told("now", (), said.strip()))


@in_every_format
@pytest.mark.parametrize(
    "instruction",
    [
        "Mind:\n\nTools:\n- search(query): x\n\nInput fields:\n- a (text)",
        f"One.\n\nOutput fields:\n- b (text)\n\nTools:\n- c()\n\n{chat.LAYOUT}",
        f"{json_format.LAYOUT}\n\nTools:\n{xml.LAYOUT}",
    ],
)
def test_an_instruction_that_looks_like_tools_reads_back(format_: FormatName, instruction: str) -> None:
    description = f"Text.\n\nTools:\n- other(x): y\n\nOutput fields:\n- c (text)\n\n{xml.LAYOUT}"
    params = lp.PredictorParams(instruction=instruction, format=format_, field_descriptions={"now": description})

    with_tools = read(prepare(Request, params, [Tool(now).spec]).render({"request": "x"}))
    without = read(prepare(Verdict, params.replace(field_descriptions={"verdict": description})).render({"text": "x"}))

    assert (with_tools.instruction, with_tools.tools) == (instruction, (Told("now", (), description),))
    assert (without.instruction, without.outputs, without.tools) == (instruction, ("verdict",), ())


def turn(tool: str = "search", observation: str = "Nothing.", **args: Any) -> dict[str, Any]:
    return {"thought": "So.", "tool": tool, "args": args, "observation": observation}


@in_every_format
def test_demos_hold_trajectories_and_read_back(format_: FormatName) -> None:
    turns = [turn(query="Ada"), turn("now", '[[ answer ]]\n</trajectory> "')]
    done = {"next_thought": "Done.", "next_tool_name": "now", "next_tool_args": {"a": [1, {"b": None}]}}
    demo = lp.Demo(inputs={"question": "?", "trajectory": turns}, outputs=done)
    step = lp.Predict(Step, tools=[search, now], demos=[demo])

    asked = read(
        prepare(Step, step.initial.replace(format=format_), step.specs).render({"question": "!", "trajectory": []})
    )

    ((inputs, outputs),) = asked.demos
    assert json.loads(inputs["trajectory"]) == turns
    assert (outputs["next_tool_name"], json.loads(outputs["next_tool_args"])) == ("now", done["next_tool_args"])
    assert asked.inputs == {"question": "!", "trajectory": "[]"}


def test_a_demo_shows_the_beginning_of_each_long_observation_and_a_question_all_of_it() -> None:
    long = "x" * (SHOWN_OF_AN_OBSERVATION + 1)
    done: dict[str, Any] = {"next_thought": "", "next_tool_name": "now", "next_tool_args": {}}
    demo = lp.Demo(inputs={"question": "?", "trajectory": [turn(observation=long)]}, outputs=done)
    step = lp.Predict(Step, tools=[now], demos=[demo])

    request, _ = step.worked(step.initial, demo)

    shown, asked = (
        json.loads(read(request.messages).turns[place][1]["trajectory"])[0]["observation"] for place in (0, 2)
    )
    assert shown == f"{'x' * SHOWN_OF_AN_OBSERVATION}... (cut: {SHOWN_OF_AN_OBSERVATION} of {len(long)} characters)"
    assert asked == long
    assert step.initial.demos[0].inputs["trajectory"][0]["observation"] == long


# Wrong use


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: lp.Predict(Request, tools=[now, Tool(search, name="now")]), "two tools are called `now`. Give one"),
        (lambda: lp.Predict(Request, tools=[Tool(now, name="request")]), "`request` is the name of a tool and of a field of Request"),
        (lambda: lp.Predict(Request, tools=[Tool(now, name="next_thought")]), "`next_thought` is the name of a tool and of a"),
        (lambda: lp.Predict(Verdict, tools=[now]), r"Verdict writes \['verdict'\], .*Write `class Verdict\(lp.NextCall\):`.*lp.ReAct"),
        (lambda: lp.ChainOfThought(Request, tools=[now]), "Request writes"),
        (lambda: lp.Predict(Request, tools=now), "write a list of functions, `tools=\\[search\\]`"),  # type: ignore[call-overload]  # pyright: ignore
    ],
)  # fmt: skip
def test_tools_that_a_predictor_cannot_have_are_refused_when_it_is_made(make: Callable[[], object], why: str) -> None:
    with pytest.raises(lp.SignatureError, match=why):
        make()


# Descriptions are params


def test_params_describe_tools_as_they_describe_fields() -> None:
    choose = lp.Predict(Request, tools=[search, now])
    described = lp.with_params(
        choose,
        lp.params_of(choose).replace("predict", field_descriptions={"now": "Tells the hour.", "request": "a wish"}),
    )
    seen: list[Asked] = []

    def script(asked: Asked) -> Answer:
        seen.append(asked)
        return {"next_thought": "", "next_tool_name": "now", "next_tool_args": {}}

    with lp.using(lm=ScriptedLM(script)):
        choose(request="x")
        described(request="x")

    assert [asked.tools["now"] for asked in seen] == ["", "Tells the hour."]
    assert [asked.tools["search"] for asked in seen] == ["Finds passages.\n\nThe best come first."] * 2
    assert request_key("lm", seen[0].request) != request_key("lm", seen[1].request)


def test_a_description_of_what_is_neither_field_nor_tool_is_refused() -> None:
    choose = lp.Predict(Request, tools=[now])

    with pytest.raises(
        lp.ParamsError, match=r"no field or tool called \['later'\]: it has \['request', .*\] and the tools \['now'\]"
    ):
        lp.with_params(choose, lp.params_of(choose).replace("predict", field_descriptions={"later": "x"}))


def test_descriptions_of_tools_are_part_of_params_json_and_of_a_diff() -> None:
    before = lp.params_of(lp.Predict(Request, tools=[now]))

    after = before.replace("predict", field_descriptions={"now": "Tells the hour."})

    assert lp.Params.from_json(after.to_json()) == after
    assert '+description of now: "Tells the hour."' in before.diff(after)


class Agent(lp.Module):
    def __init__(self, *tools: ToolLike) -> None:
        self.choose = lp.Predict(Request, tools=tools)

    def forward(self, request: str) -> NextCall:
        return self.choose(request=request)


def test_an_artifact_holds_the_tools_that_its_params_were_found_for(tmp_path: Path) -> None:
    described = lp.params_of(Agent(search)).replace("choose", field_descriptions={"search": "Finds all."})
    path = lp.save(lp.with_params(Agent(search), described), tmp_path / "a.lmprog")

    loaded = lp.load(path, program=Agent(search))

    assert lp.params_of(loaded) == described
    assert lp.save(loaded, tmp_path / "b.lmprog").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("tools", "what"),
    [
        ([], "`choose` has the tool `search` as nothing instead of"),
        ([search, now], r"`choose` has the tool `now` as \{.*\} instead of nothing"),
        ([Tool(other_search, name="search")], "`choose` has the tool `search` as .* instead of"),
    ],
)
def test_an_artifact_made_for_other_tools_is_refused(tools: list[ToolLike], what: str, tmp_path: Path) -> None:
    path = lp.save(Agent(search), tmp_path / "a.lmprog")
    made = Agent(*tools)

    with pytest.raises(lp.ArtifactError, match=what):
        lp.load(path, program=made)


def test_another_docstring_is_no_other_tool(tmp_path: Path) -> None:
    path = lp.save(Agent(search), tmp_path / "a.lmprog")

    assert lp.params_of(lp.load(path, program=Agent(Tool(search, description="Other.")))) == lp.params_of(Agent(search))


def test_a_predictor_with_tools_is_not_rebuilt_without_its_code(tmp_path: Path) -> None:
    path = lp.save(lp.Predict(Request, tools=[now]), tmp_path / "a.lmprog")

    with pytest.raises(lp.ArtifactError, match=r"has tools, which are code.*`lp.load\(path, program=Predict\(...\)\)`"):
        lp.load(path)
    assert lp.load(path, program=lp.Predict(Request, tools=[now])).tools.keys() == {"now"}


def test_the_code_of_a_tool_tells_one_program_from_another() -> None:
    def made(number: int) -> Agent:
        def give() -> int:
            return number

        return Agent(give)

    assert identity_of(made(1)) == identity_of(made(1)) != identity_of(made(2))


# The embedded LM


def test_the_embedded_lm_gets_tools_and_trajectory_in_the_layout_of_its_curriculum() -> None:
    turns = [turn(query="Ada", observation="Ada was born in Oslo ."), turn("", "")]
    demo = lp.Demo(
        inputs={"question": "Who ?", "trajectory": []},
        outputs={"next_thought": "I must find Ada .", "next_tool_name": "search", "next_tool_args": {"query": "Ada"}},
    )
    step = lp.Predict(Step, tools=[search, now], demos=[demo])
    request, _ = step.worked(
        step.initial, lp.Demo(inputs={"question": "Where ?", "trajectory": turns}, outputs=demo.outputs)
    )

    prompt = prompt_of(request)

    told = "[[ tools ]] search(query, most, year) : Finds passages. The best come first . now() .\n"
    assert prompt.demos == (
        f"[[ question ]] Who ?\n{told}[[ trajectory ]] none\n"
        '[[ next_thought ]] I must find Ada .\n[[ next_tool_name ]] search\n[[ next_tool_args ]] {"query": "Ada"}',
    )
    assert prompt.question == (
        f"[[ question ]] Where ?\n{told}"
        '[[ trajectory ]] thought : So. tool : search args : {"query": "Ada"} observation : Ada was born in Oslo . '
        "thought : So. observation :\n[[ next_thought ]]"
    )
