"""Tools of an LM that has tools itself: calls go and come as calls, over the wire too."""

import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_server import Server, serving

import lmprog as lp
from lmprog.formats import prepare_calls, read
from lmprog.formats.fields import type_words
from lmprog.formats.native import DEMO_ENDS
from lmprog.params import FormatName, PredictorParams, Weights
from lmprog.request import Capability, ToolCall, request_key
from lmprog.strategies.react import ReAct
from lmprog.testing import Answer, Asked, ScriptedLM, hostile_texts
from lmprog.tools import NextCall, Trajectory, Turn

FORMATS: tuple[FormatName, ...] = get_args(FormatName)
in_every_format = pytest.mark.parametrize("format_", FORMATS)
properties = settings(deadline=None, derandomize=True, database=None, max_examples=30)
texts = hostile_texts()
NATIVE: frozenset[Capability] = frozenset({"generate", "sample", "tools"})
TEXT: frozenset[Capability] = frozenset({"generate", "sample"})
BOOK = {"Ada": "Ada was born in Oslo .", "Oslo": "Oslo lies on the Aker ."}


class Ask(lp.Signature):
    """Answer the question."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Step(NextCall):
    """Do the next step."""

    question: str = lp.InputField()
    trajectory: Trajectory = lp.InputField()


def search(query: str) -> str:
    """Finds a passage about a name."""
    return BOOK.get(query, "Nothing is known .")


def call(tool: str, thought: str = "So.", **arguments: Any) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": arguments}


def two_hops(asked: Asked) -> Mapping[str, Any]:
    """Finds Ada, then Oslo, then answers; the same in every mode."""
    if "next_tool_name" not in asked.outputs:
        return {"reasoning": "From the trajectory.", "answer": "extracted"}
    turns: list[Any] = json.loads(asked.inputs["trajectory"])
    steps = [call("search", "Who?", query="Ada"), call("search", "Where?", query="Oslo"), call("finish", answer="Aker")]
    return steps[len(turns)]


def asked_of(
    agent: ReAct[..., Ask],
    answers: Callable[[Asked], Mapping[str, Any]] = two_hops,
    capabilities: frozenset[Capability] = NATIVE,
) -> list[lp.Request]:
    """The requests of a run."""
    seen: list[lp.Request] = []

    def script(asked: Asked) -> Answer:
        seen.append(asked.request)
        return answers(asked)

    with lp.using(lm=ScriptedLM(script, capabilities=capabilities)):
        agent(question="Which river?")
    return seen


# What is asked


def test_an_lm_with_tools_gets_them_in_the_request_and_the_turns_as_calls() -> None:
    first, _, last = asked_of(ReAct(Ask, tools=[search]))

    assert [(tool.name, tool.description) for tool in last.tools] == [
        ("search", "Finds a passage about a name."),
        ("finish", "Gives `answer` and ends the task."),
    ]
    assert (last.schema, last.json_reply) == (None, False)
    system, question, *turns = last.messages
    assert "Tools:" not in system.text and "trajectory (" not in system.text
    assert question == lp.Message("user", "[[ question ]]\nWhich river?")
    assert turns == [
        lp.Message("assistant", "Who?", (ToolCall("call00000", "search", '{"query": "Ada"}'),)),
        lp.Message("tool", BOOK["Ada"], tool_call_id="call00000"),
        lp.Message("assistant", "Where?", (ToolCall("call00001", "search", '{"query": "Oslo"}'),)),
        lp.Message("tool", BOOK["Oslo"], tool_call_id="call00001"),
    ]
    assert first.messages == (system, question)


def test_an_lm_without_tools_gets_them_in_the_prompt() -> None:
    last = asked_of(ReAct(Ask, tools=[search]), capabilities=TEXT)[-1]

    assert last.tools == ()
    assert "\n\nTools:\n- search(query): Finds a passage about a name.\n" in last.messages[0].text
    assert [message.role for message in last.messages] == ["system", "user"]


def test_a_run_is_the_same_in_both_modes() -> None:
    traces: list[object] = []
    for capabilities in (NATIVE, TEXT):

        def metric(row: Mapping[str, Any], prediction: Ask, trace: tuple[lp.Step, ...]) -> bool:
            traces.append(trace)
            return prediction.answer == "Aker"

        lm = ScriptedLM(two_hops, capabilities=capabilities)
        assert lp.evaluate(ReAct(Ask, tools=[search]), [{"question": "?"}], metric, lm=lm).score == 1.0

    assert traces[0] == traces[1]


def test_the_descriptions_in_force_are_those_that_are_sent_and_other_ones_are_another_request() -> None:
    agent = ReAct(Ask, tools=[search])
    params = lp.params_of(agent).replace("step", field_descriptions={"search": "Reads.", "next_thought": "short"})

    before, after = (asked_of(one)[0] for one in (agent, lp.with_params(agent, params)))

    assert [tool.description for tool in after.tools] == ["Reads.", "Gives `answer` and ends the task."]
    assert "- next_thought (text): short" in after.messages[0].text
    assert request_key("lm", before) != request_key("lm", after)


def test_the_lm_that_a_predictor_names_for_itself_decides() -> None:
    agent = ReAct(Ask, tools=[search], config={"lm": "tiny"})
    seen: list[lp.Request] = []

    class Recording:
        name = "recording"
        capabilities = NATIVE

        async def __call__(self, request: lp.Request, /) -> lp.Response:
            seen.append(request)
            raise lp.AuthError("no")

    with lp.using(lm=Recording()), pytest.raises(lp.AuthError):
        ReAct(Ask, tools=[search])(question="?")
    assert seen[0].tools

    with lp.using(lm=Recording()):
        agent(question="?")  # answered by the embedded LM, which has no tools
    assert len(seen) == 1


def test_under_an_adapter_tools_are_told_in_the_prompt_in_which_it_was_trained() -> None:
    agent = ReAct(Ask, tools=[search])
    weights = Weights(adapter="adapters/a.safetensors", base="scripted", sha256="0" * 64)
    tuned = lp.with_params(agent, lp.params_of(agent).replace("step", weights=weights))

    assert not any(request.tools for request in asked_of(tuned))


# Demos


def turn(tool: str = "search", observation: str = "Nothing.", **args: Any) -> dict[str, Any]:
    return {"thought": "So.", "tool": tool, "args": args, "observation": observation}


def test_demos_are_conversations_in_which_every_call_is_answered() -> None:
    demos = [
        lp.Demo(inputs={"question": "a", "trajectory": [turn(query="x")]}, outputs=call("finish", answer="y")),
        lp.Demo(inputs={"question": "b", "trajectory": []}, outputs=call("", "It is known.")),
    ]
    step = lp.Predict(Step, tools=[search], demos=demos)

    messages = prepare_calls(Step, step.initial, step.specs).render({"question": "c", "trajectory": []})

    roles = [message.role for message in messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "user", "assistant", "user"]
    assert messages[5] == lp.Message("tool", DEMO_ENDS, tool_call_id="call00001")
    assert messages[7] == lp.Message("assistant", "It is known.")
    ids = [one.id for message in messages for one in message.tool_calls]
    assert len(set(ids)) == len(ids) == 2
    assert all(len(id_) == 9 and id_.isalnum() for id_ in ids)


@in_every_format
@properties
@given(instruction=texts, question=texts, said=texts, thought=texts, name=texts, data=st.data())
def test_a_conversation_with_calls_reads_back(
    format_: FormatName, instruction: str, question: str, said: str, thought: str, name: str, data: st.DataObject
) -> None:
    args = data.draw(st.dictionaries(texts, texts | st.integers() | st.none(), max_size=2))
    turns: list[dict[str, Any]] = [{"thought": thought, "tool": "search", "args": args, "observation": said}]
    demo = lp.Demo(inputs={"question": question, "trajectory": turns}, outputs=call("finish", thought, answer=name))
    params = PredictorParams(instruction=instruction.strip(), format=format_, demos=(demo,))
    step = lp.Predict(Step, tools=[search])

    asked = read(
        prepare_calls(Step, params, step.specs).render({"question": said, "trajectory": [Turn(**one) for one in turns]})
    )

    assert (asked.instruction, asked.outputs) == (instruction.strip(), ("next_thought",))
    assert (asked.inputs["question"], json.loads(asked.inputs["trajectory"])) == (said, turns)
    ((inputs, outputs),) = asked.demos
    assert (inputs["question"], json.loads(inputs["trajectory"])) == (question, turns)
    assert (outputs["next_thought"], outputs["next_tool_name"]) == (thought, "finish")
    assert json.loads(outputs["next_tool_args"]) == {"answer": name}


def test_a_name_that_providers_refuse_is_sent_as_one_that_they_take() -> None:
    step = lp.Predict(Step, tools=[search])
    turns = [Turn(tool="search(query)"), Turn(tool="ä" * 70)]

    messages = prepare_calls(Step, step.initial, step.specs).render({"question": "?", "trajectory": turns})

    assert [one.name for message in messages for one in message.tool_calls] == ["search_query_", "_" * 64]


def test_plain_arguments_of_a_demo_are_sent_by_name() -> None:
    step = lp.Predict(Step, tools=[search])
    turns = [Turn(tool="search", args="Ada"), Turn(tool="find", args="Oslo"), Turn(tool="search", args="")]

    messages = prepare_calls(Step, step.initial, step.specs).render({"question": "?", "trajectory": turns})

    sent = [one.arguments for message in messages for one in message.tool_calls]
    assert sent == ['{"query": "Ada"}', '{"input": "Oslo"}', '{"query": ""}']


# Replies


def replied(response: lp.Response) -> Any:
    """What a predictor makes of a reply, without a second attempt."""
    step = lp.Predict(Step, tools=[search], retries=0)
    with lp.using(lm=ScriptedLM(lambda asked: response, capabilities=NATIVE)):
        return step(question="?", trajectory=[])


def test_of_several_calls_the_first_counts() -> None:
    calls = ToolCall("a", "search", '{"query": "Ada"}'), ToolCall("b", "search", '{"query": "Oslo"}')

    step = replied(lp.Response(" Look. ", tool_calls=calls))

    assert (step.next_thought, step.next_tool_name, step.next_tool_args) == ("Look.", "search", {"query": "Ada"})


def test_a_reply_that_calls_nothing_wishes_to_finish() -> None:
    step = replied(lp.Response("It is the Aker."))

    assert (step.next_thought, step.next_tool_name, step.next_tool_args) == ("It is the Aker.", "", {})


@pytest.mark.parametrize(
    ("arguments", "read_as"),
    [
        ("", {}),
        ("  ", {}),
        ('{"query": "a\nb"}', {"query": "a\nb"}),
        ("{'query': 'Ada',}", {"query": "Ada"}),
        ('{"n": 1, "m": [true, null, {"x": 0.5}]}', {"n": 1, "m": [True, None, {"x": 0.5}]}),
    ],
)
def test_arguments_are_read_as_lms_write_them(arguments: str, read_as: dict[str, Any]) -> None:
    step = replied(lp.Response("", tool_calls=(ToolCall("a", "search", arguments),)))

    assert step.next_tool_args == read_as


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["string", "null"], "enum": 5, "anyOf": 3}, "text or null"),
        ({"anyOf": 3}, 'JSON of this schema: {"anyOf": 3}'),
        ({"anyOf": [{"type": "string"}, 5]}, "text or any JSON"),
        ({"const": None}, "one of: null"),
    ],
)
def test_the_schema_of_a_foreign_tool_may_be_malformed(schema: dict[str, Any], words: str) -> None:
    assert type_words(schema) == words


CUT = '{"query": "Ad'


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (
            lp.Response("", tool_calls=(ToolCall("a", "search", "Ada"),)),
            "the arguments of `search` are no JSON object but 'Ada'",
        ),
        (
            lp.Response("", tool_calls=(ToolCall("a", "search", '{"query": "Ada", "query": "Bob"}'),)),
            "in the arguments of `search` `query` is given more than once",
        ),
        (lp.Response("", tool_calls=(ToolCall("a", "search", "[1]"),)), "the arguments of `search` are no JSON object"),
        (lp.Response("", tool_calls=(ToolCall("a", "search", CUT),), finish_reason="length"), "are no JSON object"),
        (lp.Response("I think th", finish_reason="length"), "it was cut off at the limit of tokens, before any call"),
        (lp.Response("I cannot", finish_reason="other"), "it broke off before any call"),
    ],
)
def test_a_reply_that_holds_no_whole_call_is_refused(response: lp.Response, why: str) -> None:
    with pytest.raises(lp.OutputError, match=why) as refused:
        replied(response)

    calls = "".join(f"{one.name} {one.arguments}" for one in response.tool_calls)
    assert refused.value.raw == (response.text + calls)


def test_a_refused_call_is_answered_with_what_is_wrong_with_it() -> None:
    replies = [
        lp.Response("Look.", tool_calls=(ToolCall("x1", "search", "Ada"), ToolCall("x2", "search", "{}"))),
        lp.Response("", tool_calls=(ToolCall("x3", "search", '{"query": "Ada"}'),)),
    ]
    seen: list[lp.Request] = []

    def script(asked: Asked) -> Answer:
        seen.append(asked.request)
        return replies[len(seen) - 1]

    with lp.using(lm=ScriptedLM(script, capabilities=NATIVE)):
        assert lp.Predict(Step, tools=[search])(question="?", trajectory=[]).next_tool_args == {"query": "Ada"}

    assistant, *answers = seen[1].messages[-3:]
    assert assistant == lp.Message("assistant", "Look.", replies[0].tool_calls)
    assert [(one.role, one.tool_call_id) for one in answers] == [("tool", "x1"), ("tool", "x2")]
    assert "That reply cannot be used: the arguments of `search` are no JSON object" in answers[0].text


# Over HTTP, from a server that refuses what OpenAI refuses


ANSWERS = """
import json

def agent(asked):
    if "next_tool_name" not in asked.outputs:
        return {"reasoning": "So.", "answer": "extracted"}
    turns = json.loads(asked.inputs["trajectory"])
    words = asked.inputs["question"].split()
    if not turns:
        return {"next_thought": "Look.", "next_tool_name": "search", "next_tool_args": {"query": words[-1]}}
    known = asked.demos or words[0] == "What" or int(words[1]) % 2
    said = turns[-1]["observation"] if known else "unknown"
    if words[0] == "What" and asked.demos:
        said += " " + asked.demos[0][1]["next_thought"]
    return {"next_thought": "", "next_tool_name": "finish", "next_tool_args": {"answer": said}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    file = tmp_path_factory.mktemp("answers") / "answers.py"
    file.write_text(ANSWERS)
    with serving(answers=f"{file}:agent") as running:
        yield running


def test_an_agent_runs_on_a_server_with_tools(server: Server) -> None:
    server.reset()
    agent = ReAct(Ask, tools=[search])

    with lp.using(lm=lp.OpenAI("some-model", base_url=server.url)):
        assert agent(question="What of Ada").answer == BOOK["Ada"]

    body = server.last["body"]
    assert [tool["function"]["name"] for tool in body["tools"]] == ["search", "finish"]
    assert "response_format" not in body
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "search", "arguments": '{"query": "Ada"}'}
    assert server.counts.total == 2


@in_every_format
def test_demos_are_sent_in_a_form_that_the_server_takes(server: Server, format_: FormatName) -> None:
    agent = ReAct(Ask, tools=[search])
    demos = (
        lp.Demo(
            inputs={"question": "a", "trajectory": [turn("odd name!", query="x")]},
            outputs=call("finish", "Shown.", answer="y"),
        ),
        lp.Demo(inputs={"question": "b", "trajectory": []}, outputs=call("", "It is known.")),
    )
    params = lp.params_of(agent).replace("step", demos=demos, format=format_)

    with lp.using(lm=lp.OpenAI("some-model", base_url=server.url)):
        assert lp.with_params(agent, params)(question="What of Oslo").answer == f"{BOOK['Oslo']} Shown."


def test_where_the_server_turns_out_to_have_no_tools_that_is_said_with_what_to_do(server: Server) -> None:
    server.reset()
    server.set(refuses=["tools"])
    agent = ReAct(Ask, tools=[search])

    with (
        lp.using(lm=lp.OpenAI("some-model", base_url=server.url)),
        pytest.raises(lp.CapabilityError, match="capabilities="),
    ):
        agent(question="What of Ada")

    without = lp.OpenAI("some-model", base_url=server.url, capabilities=TEXT)
    with lp.using(lm=without):
        assert agent(question="What of Ada").answer == BOOK["Ada"]
    server.reset()


def test_an_agent_is_compiled_on_a_server_with_tools_and_its_calls_are_replayed(server: Server, tmp_path: Path) -> None:
    """Without demos it answers every other question."""
    server.reset()
    rows = [{"question": f"Number {number} of Ada", "answer": BOOK["Ada"]} for number in range(100)]
    given: dict[str, Any] = {
        "train": rows[:30], "val": rows[30:60], "holdout": rows[60:], "metric": lp.metrics.exact_match("answer"),
        "optimizer": "bootstrap-random-search", "lm": lp.OpenAI("some-model", base_url=server.url),
        "budget": lp.Budget(calls=3000), "run_dir": tmp_path / "run",
    }  # fmt: skip

    first = lp.compile(ReAct(Ask, tools=[search]), **given)
    sent = server.counts.total
    again = lp.compile(ReAct(Ask, tools=[search]), **given)

    assert (first.certificate.baseline, first.certificate.compiled) == (0.5, 1.0)
    assert (again.params, server.counts.total) == (first.params, sent)
