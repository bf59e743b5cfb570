"""ReAct: thoughts, calls and observations until the outputs are known."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_type

import pytest

import lmprog as lp
from lmprog.errors import UnavailableError
from lmprog.module import inputs_of
from lmprog.strategies.react import ReAct
from lmprog.testing import Answer, Asked, ScriptedLM, reply
from lmprog.tools import Tool, Turn

BOOK = {"Ada": "Ada was born in Oslo .", "Oslo": "Oslo lies on the Aker ."}


class Ask(lp.Signature):
    """Answer the question."""

    question: str = lp.InputField()
    answer: str = lp.OutputField(desc="in a few words")


class Report(lp.Signature):
    """Report."""

    topic: str = lp.InputField()
    limit: int = lp.InputField(default=3)
    title: str = lp.OutputField()
    year: int = lp.OutputField()


def search(query: str) -> str:
    """Finds a passage about a name."""
    return BOOK.get(query, "Nothing is known .")


def call(tool: str, thought: str = "So.", **arguments: Any) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": arguments}


Said = Mapping[str, Any] | str | lp.Response | Exception


def saying(*steps: Said, extracted: Mapping[str, Any] | None = None) -> ScriptedLM:
    """An LM that goes through these steps, whatever it observes, and then repeats the last; `extracted` answers in the end."""

    def script(asked: Asked) -> Answer:
        if "next_tool_name" not in asked.outputs:
            return {"reasoning": "From the trajectory.", **(extracted or {"answer": "extracted"})}
        said = steps[min(len(turns_of(asked)), len(steps) - 1)]
        if isinstance(said, Exception):
            raise said
        return said

    return ScriptedLM(script)


def turns_of(asked: Asked) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = json.loads(asked.inputs["trajectory"])
    return turns


def traced(program: lp.Module, lm: lp.LM, **inputs: Any) -> tuple[Any, tuple[lp.Step, ...]]:
    """What a program returns, and the trace that a metric sees."""
    seen: list[tuple[Any, tuple[lp.Step, ...]]] = []

    def note(row: Mapping[str, Any], prediction: Any, trace: tuple[lp.Step, ...]) -> float:
        seen.append((prediction, trace))
        return 1.0

    lp.evaluate(program, [inputs], note, lm=lm)
    return seen[0]


def observed(lm: ScriptedLM, tools: Sequence[Any], **options: Any) -> str:
    """The observation of the first call."""
    _, trace = traced(ReAct(Ask, tools=tools, max_steps=1, **options), lm, question="?")
    return trajectory(trace[-1])[0].observation


def trajectory(step: lp.Step) -> list[Turn]:
    turns = step.inputs["trajectory"]
    assert isinstance(turns, list)
    return turns  # pyright: ignore[reportUnknownVariableType]


# How a run goes


def test_it_thinks_calls_and_observes_until_finish_gives_the_outputs() -> None:
    lm = saying(call("search", "Who is Ada?", query="Ada"), call("search", query="Oslo"), call("finish", answer="Aker"))

    answer, trace = traced(ReAct(Ask, tools=[search]), lm, question="Which river?")

    assert (type(answer), answer.question, answer.answer) == (Ask, "Which river?", "Aker")
    assert [step.predictor for step in trace] == ["step", "step", "step"]
    assert trajectory(trace[2]) == [
        Turn(thought="Who is Ada?", tool="search", args={"query": "Ada"}, observation=BOOK["Ada"]),
        Turn(thought="So.", tool="search", args={"query": "Oslo"}, observation=BOOK["Oslo"]),
    ]
    assert lm.sent == 3


def test_finish_takes_the_outputs_as_typed_arguments() -> None:
    report = ReAct(Report, tools=[search])

    with lp.using(lm=saying(call("finish", title=1984, year="1949"))):
        found = report(topic="books")

    assert (found.title, found.year, found.limit) == ("1984", 1949, 3)
    schema = json.loads(report.step.tools["finish"].parameters)
    assert {name: said["type"] for name, said in schema["properties"].items()} == {"title": "string", "year": "integer"}


def test_after_the_last_step_the_answer_is_extracted_from_all_that_was_observed() -> None:
    lm = saying(call("search", query="Ada"), call("search", query="Oslo"))

    answer, trace = traced(ReAct(Ask, tools=[search], max_steps=2), lm, question="?")

    assert answer == Ask(question="?", answer="extracted")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert [step.predictor for step in trace] == ["step", "step", "extract"]
    assert [turn.observation for turn in trajectory(trace[2])] == [BOOK["Ada"], BOOK["Oslo"]]
    assert lm.sent == 3


def test_where_finish_does_not_fit_the_answer_is_extracted_and_what_was_wrong_stands_there() -> None:
    lm = saying(call("finish", title="x", year="soon"), extracted={"title": "x", "year": 1})

    found, trace = traced(ReAct(Report, tools=[search]), lm, topic="?")

    assert found.year == 1
    (last,) = trajectory(trace[-1])
    assert last.tool == "finish"
    assert "the arguments of `finish` do not fit: `year` should be whole number, but is 'soon'" in last.observation


def test_marks_around_the_name_of_a_tool_are_no_part_of_it() -> None:
    assert observed(saying(call(" `search` ", query="Ada")), [search]) == BOOK["Ada"]


@pytest.mark.parametrize("tool", ["", " "])
def test_to_call_nothing_is_the_wish_to_finish(tool: str) -> None:
    lm = saying(call(tool, "It is the Aker."))

    answer, trace = traced(ReAct(Ask, tools=[search]), lm, question="?")

    assert answer.answer == "extracted"
    assert trajectory(trace[-1]) == [Turn(thought="It is the Aker.", tool="", args={}, observation="")]


def test_where_a_step_cannot_be_read_the_answer_is_extracted_from_the_steps_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lm = saying(call("search", query="Ada"), "I do not know.")

    with caplog.at_level(logging.INFO, "lmprog.tools"):
        answer, trace = traced(ReAct(Ask, tools=[search]), lm, question="?")

    assert answer.answer == "extracted"
    assert [(step.predictor, bool(step.error)) for step in trace] == [
        ("step", False),
        ("step", True),
        ("extract", False),
    ]
    assert [turn.tool for turn in trajectory(trace[2])] == ["search"]
    assert "the answer is extracted, since step 2 cannot be read" in caplog.text


def test_where_the_turns_outgrow_the_lms_context_the_answer_is_extracted_from_short_observations() -> None:
    def look() -> str:
        return "x" * 1000

    lm = saying(call("look"), lp.ContextError("The prompt is too long."))

    answer, trace = traced(ReAct(Ask, tools=[look]), lm, question="?")

    assert answer.answer == "extracted"
    assert len(trajectory(trace[1])[0].observation) == 1000
    assert trajectory(trace[2])[0].observation == f"{'x' * 400}... (cut: 400 of 1000 characters)"


def test_equal_runs_are_equal() -> None:
    lm = saying(call("search", query="Ada"), call("nothing"), call("finish", answer="Aker"))
    agent = ReAct(Ask, tools=[search])

    assert traced(agent, lm, question="?") == traced(agent, lm, question="?")


# What tools say


def test_an_unknown_tool_is_an_observation_that_names_those_there_are() -> None:
    assert observed(saying(call("find")), [search]) == "Error: there is no tool `find`. There are `search`, `finish`."


def test_arguments_that_do_not_fit_are_an_observation() -> None:
    said = observed(saying(call("search", text="Ada")), [search])

    assert said == (
        "Error: the arguments of `search` do not fit: there is no argument `text`; `query` is missing. Its arguments: `query`."
    )


def test_what_a_tool_raises_is_an_observation() -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    assert (
        observed(saying(call("divide", a=1, b=0)), [divide])
        == "Error: `divide` raised ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize("raised", [SystemExit(2), asyncio.CancelledError()], ids=["exits", "is cancelled"])
@pytest.mark.parametrize("late", [False, True], ids=["sync", "async"])
def test_a_tool_that_exits_or_is_cancelled_by_its_own_code_ends_no_run(raised: BaseException, late: bool) -> None:
    def look() -> str:
        raise raised

    async def look_late() -> str:
        raise raised

    tool = Tool(look_late if late else look, name="look")
    assert observed(saying(call("look")), [tool]).startswith("Error: `look` raised ")


def test_half_a_character_in_what_a_tool_says_or_raises_ends_no_run() -> None:
    def say(loud: bool) -> str:
        if loud:
            raise OSError("no file caf\udce9.txt")
        return "caf\udce9.txt"

    assert observed(saying(call("say", loud=False)), [say]) == "caf?.txt"
    assert observed(saying(call("say", loud=True)), [say]) == "Error: `say` raised OSError: no file caf?.txt"


def test_a_key_in_what_a_tool_raises_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_API_KEY", "abcdefghij0123456789")

    def look() -> str:
        raise ValueError("wrong key abcdefghij0123456789")

    said = observed(saying(call("look")), [look])

    assert said.startswith("Error: `look` raised ValueError: wrong key")
    assert "abcdefghij" not in said


def test_a_long_observation_is_cut_and_says_so() -> None:
    def look() -> str:
        return "ab" * 50

    said = observed(saying(call("look")), [look], most_characters=10)

    assert said == "ababababab... (cut: 10 of 100 characters)"


def test_a_reply_of_an_inner_program_that_cannot_be_read_is_an_observation() -> None:
    class Judge(lp.Signature):
        text: str = lp.InputField()
        good: bool = lp.OutputField()

    judge = lp.Predict(Judge, retries=0)

    def ask(text: str) -> bool:
        return judge(text=text).good

    def script(asked: Asked) -> Answer:
        if asked.outputs == ("good",):
            return "perhaps"
        return call("ask", text="x") if "next_tool_name" in asked.outputs else {"reasoning": "", "answer": "?"}

    assert observed(ScriptedLM(script), [ask]).startswith("Error: `predict`: ")


SYSTEMIC = [
    lp.AuthError("The key was refused."),
    lp.CapReached("The cap on calls.", cap="calls"),
    lp.ScopeError("No LM."),
    UnavailableError("The server is gone."),
    lp.SignatureError("A class is wrong."),
]


@pytest.mark.parametrize("error", SYSTEMIC, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("grouped", [False, True])
def test_errors_about_the_whole_run_are_raised(error: lp.LmprogError, grouped: bool) -> None:
    def look() -> str:
        raise ExceptionGroup("several", [ValueError("x"), error]) if grouped else error

    with lp.using(lm=saying(call("look"))), pytest.raises(ExceptionGroup if grouped else type(error)):
        ReAct(Ask, tools=[look])(question="?")


def test_a_step_that_the_lm_cannot_answer_ends_the_run() -> None:
    with lp.using(lm=saying(lp.AuthError("The key was refused."))), pytest.raises(lp.AuthError):
        ReAct(Ask, tools=[search])(question="?")


def test_an_interrupt_in_a_tool_is_no_observation() -> None:
    async def wait() -> str:
        await asyncio.sleep(30)
        return ""

    async def cancelled() -> None:
        with lp.using(lm=saying(call("wait"))):
            task = asyncio.create_task(ReAct(Ask, tools=[wait]).acall(question="?"))
            await asyncio.sleep(0.3)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


# What may be a tool


def test_async_tools_are_awaited() -> None:
    async def look(query: str) -> str:
        await asyncio.sleep(0)
        return search(query)

    assert observed(saying(call("look", query="Ada")), [look]) == BOOK["Ada"]


class Summary(lp.Signature):
    """Sum up."""

    text: str = lp.InputField()
    summary: str = lp.OutputField()


class ReadUp(lp.Module):
    """Reads a passage and sums it up."""

    def __init__(self) -> None:
        self.sum_up = lp.Predict(Summary)

    def forward(self, name: str) -> Summary:
        return self.sum_up(text=search(name))


def reading_up(asked: Asked) -> Answer:
    """A summary is the instruction that asked for it."""
    if asked.outputs == ("summary",):
        return {"summary": asked.instruction}
    if "next_tool_name" not in asked.outputs:
        return {"reasoning": "", "answer": turns_of(asked)[0]["observation"]}
    tools = [name for name in asked.tools if name != "finish"]
    return call(tools[0], **({"name": "Ada"} if tools[0] == "read_up" else {"text": "Ada"}))


@pytest.mark.parametrize(
    ("program", "name", "about", "path"),
    [
        (ReadUp(), "read_up", "Reads a passage and sums it up.", "programs['read_up'].sum_up"),
        (lp.Predict(Summary), "summary", "Sum up.", "programs['summary']"),
        (lp.Tool(lp.Predict(Summary), name="short_form"), "short_form", "Sum up.", "programs['short_form']"),
        (lp.Tool(lp.Tool(ReadUp()), description="Sums."), "read_up", "Sums.", "programs['read_up'].sum_up"),
    ],
)
def test_a_program_is_a_tool_and_its_predictors_are_part_of_the_agent(
    program: Any, name: str, about: str, path: str
) -> None:
    agent = ReAct(Ask, tools=[program], max_steps=1)
    params = lp.params_of(agent).replace(path, instruction="Be brief.")

    answer, trace = traced(lp.with_params(agent, params), ScriptedLM(reading_up), question="?")

    assert (agent.step.tools[name].description, list(lp.predictors(agent))) == (about, [path, "step", "extract"])
    assert answer.answer == "Be brief."
    assert [step.predictor for step in trace] == ["step", path, "extract"]


class Library(lp.Module):
    """An agent whose tool is a method of the program around it."""

    def __init__(self) -> None:
        self.sum_up = lp.Predict(Summary)
        self.agent = ReAct(Ask, tools=[self.look], max_steps=1)

    def look(self, text: str) -> str:
        """Sums up what stands in the book."""
        return self.sum_up(text=search(text)).summary

    def forward(self, question: str) -> Ask:
        return self.agent(question=question)


def test_a_bound_method_as_a_tool_runs_under_the_params_of_its_program() -> None:
    library = Library()
    twin = lp.with_params(library, lp.params_of(library).replace("sum_up", instruction="Be brief."))

    answer, trace = traced(twin, ScriptedLM(reading_up), question="?")

    assert answer.answer == "Be brief."
    assert [step.predictor for step in trace] == ["agent.step", "sum_up", "agent.extract"]


def test_many_rows_at_once_keep_their_trajectories_apart() -> None:
    def script(asked: Asked) -> Answer:
        question, turns = asked.inputs["question"], turns_of(asked)
        if len(turns) < 3:
            return call("echo", text=f"{question}{len(turns)}")
        return call("finish", answer=" ".join(turn["observation"] for turn in turns))

    def echo(text: str) -> str:
        return text

    rows = [
        {"question": f"q{number}.", "answer": " ".join(f"q{number}.{turn}" for turn in range(3))}
        for number in range(40)
    ]

    found = lp.evaluate(
        ReAct(Ask, tools=[echo]), rows, lp.metrics.exact_match("answer"), lm=ScriptedLM(script, latency_s=0.01)
    )

    assert found.score == 1.0


# Inputs and wrong use


def test_it_takes_what_the_signature_takes() -> None:
    assert inputs_of(ReAct(Report, tools=[search])) == ("topic", "limit")
    with lp.using(lm=saying(call("finish", answer="x"))):
        assert ReAct("question -> answer", tools=[])(question="?").answer == "x"


@pytest.mark.parametrize(
    ("make", "error", "why"),
    [
        (lambda: ReAct(Ask, tools=[search], max_steps=0), lp.InputError, r"ReAct\(max_steps=0\): write a number from 1 on"),
        (lambda: ReAct(Ask, tools=[Tool(search, name="finish")]), lp.SignatureError, "a tool is called `finish`, as the one by"),
        (lambda: ReAct(Ask, tools=[search, search]), lp.SignatureError, "two tools are called `search`"),
        (lambda: ReAct("search -> answer", tools=[search]), lp.SignatureError, "`search` is the name of a tool and of a field"),
        (lambda: ReAct("trajectory -> answer", tools=[search]), lp.SignatureError, "has a field called `trajectory`"),
        (lambda: ReAct("next_thought -> answer", tools=[]), lp.SignatureError, "has a field called `next_thought`"),
        (lambda: ReAct(Ask, tools=[max]), lp.SignatureError, "`max` cannot be a tool"),
        (lambda: ReAct(Ask, tools=search), lp.SignatureError, r"write a list of functions, `tools=\[search\]`"),  # type: ignore[call-overload]  # pyright: ignore
        (lambda: ReAct(Ask, tools=(one for one in [search])), lp.SignatureError, "write a list of functions"),  # type: ignore[call-overload]  # pyright: ignore
    ],
)  # fmt: skip
def test_wrong_use_is_refused_when_the_agent_is_made(
    make: Callable[[], object], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        make()


def test_wrong_inputs_are_refused_before_any_call() -> None:
    agent: Any = ReAct(Ask, tools=[search])
    lm = saying(call("finish", answer="x"))

    with lp.using(lm=lm):
        with pytest.raises(lp.InputError, match=r"Ask was given 'x' without a name. Write question=..."):
            agent("x")
        with pytest.raises(lp.InputError, match="`question` is missing"):
            agent()
    assert lm.sent == 0


# Compiled


QUESTIONS = {f"Where is thing {number} ?": f"place {number}" for number in range(120)}
ROWS = [{"question": question, "answer": place} for question, place in QUESTIONS.items()]


def find(name: str) -> str:
    """Does something."""
    return QUESTIONS.get(name, "Nothing.")


def choosy(asked: Asked) -> Answer:
    """Calls `find` only where its description says that it tells places; proposes such a description at times."""
    if set(asked.outputs) & {"find_description", "finish_description"}:
        good = asked.request.sample % 2 == 1
        return dict.fromkeys(asked.outputs, "Tells where a thing is." if good else "Does this.")
    if "next_tool_name" in asked.outputs:
        turns = turns_of(asked)
        if turns:
            return call("finish", answer=turns[0]["observation"])
        return (
            call("find", name=asked.inputs["question"])
            if "where" in asked.tools["find"]
            else call("finish", answer="?")
        )
    return dict.fromkeys(asked.outputs, "Do your best.")


def test_a_better_description_of_a_tool_is_proposed_searched_and_certified(tmp_path: Path) -> None:
    agent = ReAct(Ask, tools=[find])

    result = lp.compile(
        agent, train=ROWS[:40], val=ROWS[40:70], holdout=ROWS[70:], metric=lp.metrics.exact_match("answer"),
        optimizer="mipro:trials=12", lm=ScriptedLM(choosy), budget=lp.Budget(calls=4000), run_dir=tmp_path / "run",
    )  # fmt: skip

    assert (result.certificate.baseline, result.certificate.compiled) == (0.0, 1.0)
    assert result.params["step"].field_descriptions["find"] == "Tells where a thing is."
    result.save(tmp_path / "agent.lmprog")
    loaded = lp.load(tmp_path / "agent.lmprog", program=ReAct(Ask, tools=[find]))
    with lp.using(lm=ScriptedLM(choosy)):
        assert loaded(question=ROWS[0]["question"]).answer == ROWS[0]["answer"]
    assert "Tells where a thing is." in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("optimizer", ["mipro:trials=6,field_descriptions=false", "bootstrap-random-search"])
def test_where_descriptions_are_not_searched_they_stay(optimizer: str, tmp_path: Path) -> None:
    result = lp.compile(
        ReAct(Ask, tools=[find]), train=ROWS[:40], val=ROWS[40:70], holdout=ROWS[70:], metric=lp.metrics.exact_match("answer"),
        optimizer=optimizer, lm=ScriptedLM(choosy), budget=lp.Budget(calls=4000), run_dir=tmp_path / "run",
    )  # fmt: skip

    assert (result.shipped, result.params["step"].field_descriptions) == ("baseline", {})


def test_gepa_rewrites_descriptions_of_tools_with_the_instruction(tmp_path: Path) -> None:
    result = lp.compile(
        ReAct(Ask, tools=[find]), train=ROWS[:40], val=ROWS[40:70], holdout=ROWS[70:], metric=lp.metrics.exact_match("answer"),
        optimizer="gepa:attempts=8", lm=ScriptedLM(choosy), budget=lp.Budget(calls=4000), run_dir=tmp_path / "run",
    )  # fmt: skip

    assert result.certificate.compiled == 1.0
    assert result.params["step"].field_descriptions["find"] == "Tells where a thing is."


def test_demos_of_steps_are_bootstrapped_with_their_trajectories(tmp_path: Path) -> None:
    """The LM searches only where a demo shows a search, and gives the answer only where one shows an answer."""

    def shy(asked: Asked) -> Answer:
        if "next_tool_name" not in asked.outputs:
            return dict.fromkeys(asked.outputs, "?")
        shown = {outputs["next_tool_name"] for _, outputs in asked.demos}
        turns = turns_of(asked)
        if not turns:
            return call("find", name=asked.inputs["question"]) if "find" in shown else call("finish", answer="?")
        return call("finish", answer=turns[0]["observation"]) if "finish" in shown else call("find", name="?")

    def teacher(asked: Asked) -> Answer:
        turns = turns_of(asked)
        return call("finish", answer=turns[0]["observation"]) if turns else call("find", name=asked.inputs["question"])

    result = lp.compile(
        ReAct(Ask, tools=[find], max_steps=3), train=ROWS[:40], val=ROWS[40:70], holdout=ROWS[70:],
        metric=lp.metrics.exact_match("answer"), optimizer="bootstrap-random-search", lm=ScriptedLM(shy),
        teacher=ScriptedLM(teacher, name="teacher"), budget=lp.Budget(calls=6000), run_dir=tmp_path / "run",
    )  # fmt: skip

    assert result.certificate.compiled == 1.0
    demos = result.params["step"].demos
    assert {demo.outputs["next_tool_name"] for demo in demos} == {"find", "finish"}
    held = [turn for demo in demos for turn in demo.inputs["trajectory"]]
    assert held and all(set(turn) == {"thought", "tool", "args", "observation"} for turn in held)


def test_a_raw_reply_of_a_step_reads_as_it_is_written() -> None:
    step = ReAct(Ask, tools=[search]).step

    request, text = step.worked(
        step.initial, lp.Demo(inputs={"question": "?", "trajectory": []}, outputs=call("search", query="x"))
    )

    assert text == reply(call("search", query="x"), request)


# Types


def is_seen_by_a_checker() -> None:
    """Never called."""
    assert_type(ReAct(Ask, tools=[search])(question="?"), Ask)
    assert_type(ReAct(Report, tools=[Tool(search), ReadUp()], max_steps=3)(topic="?", limit=1).year, int)
    assert_type(ReAct("question -> answer", tools=[])(question="?"), Any)
    assert_type(Tool(search)("?"), str)
    assert_type(lp.with_params(ReAct(Ask, tools=[]), lp.Params({}))(question="?").answer, str)


async def is_seen_by_a_checker_in_async_code() -> None:
    """Never called."""
    assert_type(await ReAct(Ask, tools=[search]).acall(question="?"), Ask)


def is_refused_by_a_checker() -> None:
    """Never called."""
    ReAct(Ask, tools=[search])(qestion="?")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ReAct(Ask, tools=[search])(question=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ReAct(Report, tools=[])(limit=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    print(ReAct(Ask, tools=[])(question="?").anwser)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    ReAct(Ask)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ReAct(Ask, tools=[3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Tool(search)(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
