"""Objects of the wrong kind are named in the error, with what to write instead, before anything is spent."""

import asyncio
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lmprog as lp
from lmprog.optimizer import Problem, named
from lmprog.rundir import JOURNAL, read_journal
from lmprog.testing import Asked, ScriptedLM

Given = dict[str, Any]


class Add(lp.Signature):
    """Add one."""

    number: int = lp.InputField()
    answer: str = lp.OutputField()


class Adder(lp.Module):
    def __init__(self) -> None:
        self.add = lp.Predict(Add)

    def forward(self, number: int) -> Add:
        return self.add(number=number)


class NoSearch:
    """An object that is no optimizer."""


class Takes3:
    """Its search takes one argument too many."""

    async def search(self, problem: Problem, params: lp.Params, more: int) -> None: ...


class Sync:
    """Its search is not async."""

    def search(self, problem: Problem, params: lp.Params) -> None: ...


class Empty:
    """Its search forgets to return."""

    async def search(self, problem: Problem, params: lp.Params) -> None: ...


class Own:
    """An LM that gives what it is told to."""

    name = "own"
    capabilities = frozenset({"generate"})

    def __init__(self, given: object) -> None:
        self._given = given

    async def __call__(self, request: lp.Request, /) -> Any:
        return self._given


class SyncLM(Own):
    def __call__(self, request: lp.Request, /) -> Any:
        return self._given


def rows(count: int = 110) -> list[dict[str, object]]:
    return [{"number": n, "answer": str(n + 1)} for n in range(count)]


def right(row: dict[str, object], prediction: Add) -> bool:
    return row["answer"] == prediction.answer


def knowing(asked: Asked) -> dict[str, str]:
    return {"answer": str(int(asked.inputs["number"]) + 1)}


@pytest.fixture
def scripted() -> Iterator[ScriptedLM]:
    yield ScriptedLM(knowing)


BEFORE_ANY_CALL: list[tuple[Given, type[lp.LmprogError], str]] = [
    ({"program": Adder}, lp.InputError, "the program is the class Adder: write `Adder(...)`"),
    ({"program": 3}, lp.InputError, "the program is 3, not a Module or Predict"),
    ({"optimizer": NoSearch}, lp.InputError, "the optimizer is the class NoSearch: write `optimizer=NoSearch(...)`"),
    ({"optimizer": NoSearch()}, lp.InputError, "which has no `async def search(self, problem, params)`"),
    ({"optimizer": Takes3()}, lp.InputError, "`search` of Takes3 cannot be called with (problem, params)"),
    ({"optimizer": None}, lp.InputError, "the optimizer is None"),
    ({"metric": None}, lp.InputError, "the metric is None, which cannot be called"),
    ({"metric": lambda row: True}, lp.InputError, "cannot be called with (row, prediction)"),  # pyright: ignore[reportUnknownLambdaType]
    ({"metric": lp.metrics.exact_match}, lp.InputError, '`metric=lp.metrics.exact_match("answer")`'),
    ({"lm": Own}, lp.LMError, "the LM is the class Own"),
    ({"lm": 3}, lp.LMError, "the LM is 3, which is none"),
    ({"teacher": "gpt"}, lp.LMError, "no LM is called 'gpt'"),
    ({"seed": "a"}, lp.InputError, "seed='a': a seed is a whole number"),
    ({"seed": -1}, lp.InputError, "seed=-1: a seed is a whole number"),
    ({"seed": True}, lp.InputError, "seed=True: a seed is a whole number"),
    ({"concurrency": 0}, lp.InputError, "concurrency=0: write how many rows run at once, 1 or more"),
    ({"concurrency": 2.5}, lp.InputError, "concurrency=2.5"),
    ({"gate": ["none"]}, lp.InputError, "gate=['none'] is unknown"),
    ({"budget": {"calls": 3}}, lp.InputError, "budget={'calls': 3} is unknown"),
    ({"budget": "tiny"}, lp.InputError, "write one of ['light', 'medium', 'heavy'], or lp.Budget(calls=...)"),
    ({"run_dir": 3}, lp.InputError, "run_dir=3 is no path"),
    ({"group": ["number"]}, lp.InputError, "group=['number']: write the name of the field"),
    ({"group": "document"}, lp.DataError, "there is no field 'document' to group by"),
    ({"train": "rows.jsonl"}, lp.DataError, "`train` is 'rows.jsonl', and no list of rows. Read a file of JSON Lines"),
    ({"train": Path("rows.jsonl")}, lp.DataError, "and no list of rows. Read a file of JSON Lines"),
    ({"train": {"train": rows()}}, lp.DataError, "or `...['train']` of several parts"),
    ({"train": None}, lp.DataError, "`train` is None, and no list of rows"),
    ({"train": lp.Splits((), (), ())}, lp.DataError, "Write `train=splits.train, val=splits.val"),
    ({"train": iter(())}, lp.DataError, "`train` is empty. Give at least one row with `number`. An iterator gives"),
    ({"train": [*rows(), "a text"]}, lp.DataError, "`train`, row 110: 'a text' is neither a dict nor"),
    ({"train": [*rows(), {"numer": 1}]}, lp.DataError, "`train`, row 110 has no `number`, which Adder takes"),
    ({"train": [*rows(), {"number": "x"}]}, lp.DataError, "row 110, `number` is 'x', and Adder takes int"),
    ({"val": []}, lp.DataError, "`val` is empty"),
    ({"holdout": rows(20)}, lp.DataError, ""),
]


def without_address(given: object) -> str:
    """An id that is the same in every process that collects the tests."""
    return re.sub(r" at 0x\w+", "", str(given))[:60]


@pytest.mark.parametrize(("given", "kind", "says"), BEFORE_ANY_CALL, ids=without_address)
def test_compile_refuses_what_is_wrong_before_the_first_call(
    scripted: ScriptedLM, tmp_path: Path, given: Given, kind: type[lp.LmprogError], says: str
) -> None:
    arguments: Given = {
        "program": Adder(), "train": rows(), "metric": right, "lm": scripted, "run_dir": tmp_path / "run", **given,
    }  # fmt: skip

    with pytest.raises(kind) as raised:
        lp.compile(**arguments)

    assert says in str(raised.value)
    assert scripted.sent == 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (Sync(), "`search` of Sync is not async: write `async def search(self, problem, params)`."),
        (Empty(), "`search` of Empty returned None: return an Outcome"),
    ],
)
def test_a_search_that_gives_no_outcome_is_named(
    scripted: ScriptedLM, tmp_path: Path, optimizer: Any, says: str
) -> None:
    with pytest.raises(lp.InputError) as raised:
        lp.compile(Adder(), train=rows(), metric=right, lm=scripted, optimizer=optimizer, run_dir=tmp_path / "run")

    assert says in str(raised.value)


def test_an_lm_that_raises_is_named_and_is_no_score(tmp_path: Path) -> None:
    class Broken(ScriptedLM):
        async def __call__(self, request: lp.Request, /) -> lp.Response:
            if self.sent >= 100:
                raise ValueError("no such thing")
            return await super().__call__(request)

    given: Given = {"train": rows(), "metric": right, "optimizer": "labeled-few-shot", "run_dir": tmp_path / "run"}
    with pytest.raises(
        lp.LMError, match=r"the LM scripted raised ValueError: no such thing\. What it answered before is kept"
    ):
        lp.compile(Adder(), lm=Broken(knowing), **given)

    result = lp.compile(Adder(), lm=(again := ScriptedLM(knowing)), **given)
    assert result.certificate.baseline == 1.0
    assert 0 < again.sent < result.spent.total_requested.calls


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError(), OSError("unreachable")], ids=repr)
def test_an_lm_that_cannot_be_reached_for_a_while_is_asked_again(error: Exception, tmp_path: Path) -> None:
    class Shaky(ScriptedLM):
        failed = False

        async def __call__(self, request: lp.Request, /) -> lp.Response:
            if not self.failed:
                self.failed = True
                raise error
            return await super().__call__(request)

    lm = Shaky(knowing)

    found = lp.evaluate(Adder(), rows()[:5], right, lm=lm)

    assert (found.score, lm.failed) == (1.0, True)


@pytest.mark.parametrize(
    ("lm", "says"),
    [
        (Own(None), "the LM own returned None: return lp.Response(text)"),
        (Own("42"), "the LM own returned '42' of type str: return lp.Response(text)"),
        (Own(lp.Response(42)), "the LM own returned a Response whose text is 42 of type int"),  # type: ignore[arg-type]
        (Own(lp.Response("42", -1)), "the LM own returned a Response whose prompt_tokens is -1 of type int"),
        (Own(lp.Response("42", 0, 1.5)), "whose completion_tokens is 1.5 of type float"),  # type: ignore[arg-type]
        (Own(lp.Response("42", 10**5000)), "whose prompt_tokens is a number of type int: give an int from 0 on"),
        (Own(lp.Response("42", usd=-1.0)), "whose usd is -1.0 of type float: give what the call cost"),
        (Own(lp.Response("42", usd=float("nan"))), "whose usd is nan of type float"),
        (Own(lp.Response("42", usd=float("inf"))), "whose usd is inf of type float"),
        (SyncLM("42"), "the LM own returned '42' of type str at once: write `async def __call__(self, request)`"),
    ],
)  # fmt: skip
def test_an_lm_that_gives_no_response_is_named(tmp_path: Path, lm: Any, says: str) -> None:
    ways: list[Callable[[], object]] = [
        lambda: lp.Predict(Add)(number=1),
        lambda: lp.evaluate(Adder(), rows(), right),
        lambda: lp.compile(Adder(), train=rows(), metric=right, run_dir=tmp_path / "run"),
    ]

    for way in ways:
        with lp.using(lm=lm), pytest.raises(lp.LMError) as raised:
            way()
        assert says in str(raised.value)


@pytest.mark.parametrize("usd", [float("nan"), -1.0])
def test_a_cost_that_cannot_be_ends_a_run_under_a_cap_in_usd(usd: float, tmp_path: Path) -> None:
    given: Given = {"train": rows(), "metric": right, "budget": lp.Budget(usd=1), "run_dir": tmp_path / "run"}

    with pytest.raises(lp.LMError, match="whose usd is"):
        lp.compile(Adder(), lm=Own(lp.Response("42", 5, 5, usd=usd)), **given)


@pytest.mark.parametrize("run_dir", ["", "a\0b"])
def test_a_run_dir_that_is_no_path_is_refused(run_dir: str) -> None:
    with pytest.raises(lp.InputError, match="is no path: write run_dir="):
        lp.compile(Adder(), train=rows(), metric=right, lm=Own(None), run_dir=run_dir)


@pytest.mark.parametrize("spec", ["tiny\n", "openai/a\nb", "http://host/v1#a\x1b[2J"])
def test_a_spec_that_cannot_be_read_is_refused(spec: str) -> None:
    with pytest.raises(lp.LMError, match="the spec of the LM holds a line break"):
        lp.evaluate(Adder(), rows()[:5], right, lm=spec)


def test_options_that_no_search_can_use_are_refused() -> None:
    with pytest.raises(lp.InputError, match="`candidates` must be at most 100000"):
        named(f"bootstrap-random-search:candidates={10**22}")


def test_no_more_demo_sets_are_made_than_there_are_calls_to_score_them(tmp_path: Path) -> None:
    result = lp.compile(
        Adder(), train=rows(), metric=right, lm=ScriptedLM(knowing), optimizer="bootstrap-random-search:candidates=5000",
        budget=lp.Budget(calls=200), run_dir=tmp_path / "run",
    )  # fmt: skip

    events = read_journal(result.run_dir / JOURNAL)
    (made,) = [event["facts"]["demo_sets"] for event in events if event.get("stage") == "demos"]
    assert 1 < made <= 200


class Selfish(lp.Module):
    def __init__(this) -> None:  # pyright: ignore[reportSelfClsParameterName]
        this.answer = lp.Predict("self -> answer")

    def forward(this, self: str) -> str:  # pyright: ignore[reportSelfClsParameterName]
        return str(this.answer(self=self).answer)


def test_an_input_may_be_called_self(scripted: ScriptedLM) -> None:
    program: Any = Selfish()

    with lp.using(lm=ScriptedLM(lambda asked: {"answer": asked.inputs["self"]})):
        assert program(self="a") == "a"
        assert asyncio.run(program.acall(self="b")) == "b"


def test_evaluate_refuses_the_same(scripted: ScriptedLM) -> None:
    program: Any = Adder
    metric: Any = lp.metrics.exact_match
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: lp.evaluate(program, rows(), right, lm=scripted), "the class Adder"),
        (lambda: lp.evaluate(Adder(), rows(), metric, lm=scripted), "exact_match("),
        (lambda: lp.evaluate(Adder(), rows(), right, lm=scripted, concurrency=0), "concurrency=0"),
    ]
    for wrong, says in cases:
        with pytest.raises(lp.InputError) as raised:
            wrong()
        assert says in str(raised.value)
    assert scripted.sent == 0


@pytest.mark.parametrize("given", [3, None, int, lp.Signature, lp.Predict(Add)])
def test_predict_names_what_is_no_signature(given: Any) -> None:
    with pytest.raises(lp.SignatureError, match=r"is no signature: write a class of fields"):
        lp.Predict(given)


def test_load_and_using_name_a_class_in_place_of_a_program(tmp_path: Path) -> None:
    lp.save(Adder(), tmp_path / "adding.lmprog")
    wrong: Any = Adder

    with pytest.raises(lp.InputError, match=r"the program is the class Adder: write `Adder\(...\)`"):
        lp.load(tmp_path / "adding.lmprog", program=wrong)
    with pytest.raises(lp.InputError, match="the class Adder"), lp.using(wrong):
        pass


def test_an_artifact_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(lp.ArtifactError, match=r"file/adding.lmprog cannot be written: .*\. Name another file\."):
        lp.save(Adder(), tmp_path / "file" / "adding.lmprog")


def files_in(error: BaseException) -> list[str]:
    return [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]


def broken(row: dict[str, object], prediction: Add) -> bool:
    return row["gold"] == prediction.answer


def test_the_traceback_of_an_error_shows_the_user_s_code_and_the_call_into_lmprog_alone(
    scripted: ScriptedLM, tmp_path: Path
) -> None:
    with pytest.raises(lp.MetricError) as raised:
        lp.compile(Adder(), train=rows(), metric=broken, lm=scripted, run_dir=tmp_path / "run")

    assert files_in(raised.value) == [Path(__file__).name, "compiler.py", "loop.py", "loop.py"]
    assert isinstance(raised.value.__cause__, KeyError)
    assert files_in(raised.value.__cause__) == [Path(__file__).name]


def test_it_does_so_in_async_code(scripted: ScriptedLM, tmp_path: Path) -> None:
    async def work() -> None:
        await lp.acompile(Adder(), train=rows(), metric=broken, lm=scripted, run_dir=tmp_path / "run")

    with pytest.raises(lp.MetricError) as raised:
        asyncio.run(work())

    assert [name for name in files_in(raised.value) if name not in {"runners.py", "base_events.py"}] == [
        Path(__file__).name, Path(__file__).name, "compiler.py", "loop.py",
    ]  # fmt: skip


def test_the_user_s_frames_in_the_middle_stay() -> None:
    class Wrong(lp.Module):
        def __init__(self) -> None:
            self.add = lp.Predict(Add)

        async def aforward(self, number: int) -> Add:
            return await self.add.acall(numer=number)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    with lp.using(lm=ScriptedLM(knowing)), pytest.raises(lp.InputError) as raised:
        Wrong()(number=1)

    frames = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert frames[-1] == "aforward"
    assert frames[1:-1] == ["__call__", "run_here", "_outcome"]


def test_all_of_a_traceback_is_shown_on_demand(
    scripted: ScriptedLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMPROG_DEBUG", "1")

    with pytest.raises(lp.MetricError) as raised:
        lp.compile(Adder(), train=rows(), metric=broken, lm=scripted, run_dir=tmp_path / "run")

    assert "evaluation.py" in files_in(raised.value)
