"""Which LM answers: specs, entry points, LMs of single predictors, and who goes before whom."""

import contextlib
import importlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmprog as lp
from lmprog.lm import client_of, default_lm, plain
from lmprog.lm.specs import from_spec
from lmprog.lm.tiny.client import WEIGHTS
from lmprog.testing import ScriptedLM

PLUGIN = """
from lmprog.testing import ScriptedLM

sent = []

def lm(rest):
    def answer(asked):
        sent.append(rest)
        return {name: rest for name in asked.outputs}
    return ScriptedLM(answer, name=f"echo/{rest}", capabilities=frozenset({"generate"}))

def nothing(rest):
    return rest
"""


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An installed package whose entry point `echo` gives LMs that answer with the rest of their spec."""
    (tmp_path / "echo_plugin.py").write_text(PLUGIN)
    info = tmp_path / "echo_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lmprog.lms]\necho = echo_plugin:lm\nbroken = echo_plugin:nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    sent: list[str] = importlib.import_module("echo_plugin").sent
    sent.clear()
    yield sent


class Two(lp.Module):
    def __init__(self, first: str | None = None) -> None:
        self.first = lp.Predict("question -> query", config={} if first is None else {"lm": first})
        self.second = lp.Predict("query -> answer")

    async def aforward(self, question: str) -> Any:
        found = await self.first.acall(question=question)
        return (await self.second.acall(query=found.query)).answer, found.query


def answering(text: str) -> ScriptedLM:
    return ScriptedLM(lambda asked: dict.fromkeys(asked.outputs, text), name=text)


def test_an_entry_point_gives_the_lm_of_its_name(echo: list[str]) -> None:
    predictor = lp.Predict("question -> answer")

    with lp.using(lm="echo/some/model"):
        said = predictor(question="?").answer

    assert (said, echo) == ("some/model", ["some/model"])


def test_an_entry_point_that_gives_no_lm_is_named(echo: list[str]) -> None:
    with pytest.raises(lp.LMError, match=r"'x', which is none: an LM has a `name`"):
        from_spec("broken/x")


@pytest.mark.parametrize("spec", ["gpt-4o", "tiny2", "openai/", "litellm/", "unheard/of", "", "/"])
def test_an_unknown_spec_is_refused_with_those_there_are(spec: str, echo: list[str]) -> None:
    with pytest.raises(lp.LMError) as refused:
        from_spec(spec)

    assert repr(spec) in str(refused.value)
    assert '"tiny", "tiny/FOLDER", "openai/MODEL", "http://HOST/v1#MODEL"' in str(refused.value)
    assert '"echo/..."' in str(refused.value)


def test_a_folder_of_weights_is_the_embedded_lm_with_those(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "merged")

    found = from_spec(f"tiny/{tmp_path / 'merged'}")

    assert found is from_spec(f"tiny/{tmp_path / 'merged' / '..' / 'merged'}")
    assert (found.name, found.capabilities) == (from_spec("tiny").name, from_spec("tiny").capabilities)
    (tmp_path / "merged" / "config.json").unlink()
    with pytest.raises(lp.LMError, match=r"merged holds no weights of the embedded LM: it has no config\.json"):
        from_spec(f"tiny/{tmp_path / 'merged'}")


class Nameless:
    capabilities = frozenset({"generate"})

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        return lp.Response("")


class Unable:
    name = "unable"

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        return lp.Response("")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (ScriptedLM, r"is the class ScriptedLM: pass an LM made of it, `ScriptedLM\(\.\.\.\)`"),
        (Nameless(), "an LM has a `name`"),
        (Unable(), "does not say what it can do"),
        (3, "the LM is 3, which is none"),
        (len, "an LM has a `name`"),
    ],
)
def test_what_is_no_lm_is_refused_before_any_call(given: Any, why: str) -> None:
    program = lp.Predict("question -> answer")

    with pytest.raises(lp.LMError, match=why), lp.using(lm=given):
        program(question="?")
    with pytest.raises(lp.LMError, match=why):
        lp.evaluate(program, [{"question": "?", "answer": "!"}], lp.metrics.exact_match("answer"), lm=given)
    with pytest.raises(lp.LMError, match=why):
        lp.configure(lm=given)


def test_a_predictors_own_lm_goes_before_the_one_in_force(echo: list[str]) -> None:
    program = Two("echo/own")

    with lp.using(lm=answering("ambient")):
        said = program(question="?")

    assert said == ("ambient", "own")


def test_a_predictors_own_lm_needs_no_other(echo: list[str]) -> None:
    predictor = lp.Predict("question -> answer", config={"lm": "echo/own"})

    assert predictor(question="?").answer == "own"


def test_a_predictors_own_lm_runs_in_the_layers_of_an_evaluation(echo: list[str]) -> None:
    ambient = answering("ambient")
    rows = [{"question": "same", "label": n} for n in range(8)]

    def metric(row: dict[str, Any], prediction: tuple[str, str]) -> bool:
        return prediction == ("ambient", "own")

    evaluation = lp.evaluate(Two("echo/own"), rows, metric, lm=ambient)

    assert evaluation.score == 1.0
    assert (echo, ambient.sent) == (["own"], 1)  # equal calls are made once, whichever LM they go to
    assert evaluation.spent is not None
    assert evaluation.spent.total_sent.calls == 2


def test_the_lm_of_a_predictor_is_a_param(echo: list[str]) -> None:
    program = Two()
    params = lp.params_of(program).replace("first", config={"lm": "echo/param"})

    with lp.using(lm=answering("ambient")):
        said = lp.with_params(program, params)(question="?")

    assert said == ("ambient", "param")
    assert lp.Params.from_json(params.to_json()) == params
    assert "lm: echo/param" in lp.params_of(program).diff(params)


def rows_of(count: int) -> list[dict[str, str]]:
    return [{"question": f"question {n}", "answer": "ambient"} for n in range(count)]


def right(row: dict[str, str], prediction: tuple[str, str]) -> bool:
    return prediction[0] == row["answer"]


def test_a_compile_with_a_predictors_own_lm_counts_its_calls_and_keeps_it(echo: list[str], tmp_path: Path) -> None:
    program = Two("echo/own")

    result = lp.compile(
        program,
        train=rows_of(100),
        metric=right,
        lm=answering("ambient"),
        optimizer="bootstrap",
        run_dir=tmp_path / "run",
    )

    assert result.params["first"].config.lm == "echo/own"
    assert len(echo) > 0
    assert result.spent.total_sent.calls > len(echo)
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "calls.sqlite")) as calls:
        recorded = dict(calls.execute("SELECT lm, count(*) FROM calls GROUP BY lm"))
    assert recorded["echo/own"] == len(echo)
    loaded = lp.load(result.save(tmp_path / "two.lmprog"), program=Two())
    with lp.using(lm=answering("ambient")):
        assert loaded(question="?") == ("ambient", "own")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"lm": "unheard/of"}, "no LM is called 'unheard/of'"),
        ({"lm": "echo/own", "temperature": 1.0}, r"`first`: it lacks the capability 'sample'"),
    ],
)
def test_a_predictors_lm_is_checked_before_a_compile_spends(
    config: dict[str, Any], why: str, echo: list[str], tmp_path: Path
) -> None:
    ambient, program = answering("ambient"), Two()
    program.first = lp.Predict("question -> query", config=config)

    with pytest.raises(lp.LmprogError, match=why):
        lp.compile(program, train=rows_of(100), metric=right, lm=ambient, run_dir=tmp_path / "run")

    assert (ambient.sent, echo) == (0, [])


def test_the_environment_names_the_lm_where_nothing_else_does(echo: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = lp.Predict("question -> answer")
    monkeypatch.setenv("LMPROG_LM", "echo/environment")

    said = [predictor(question="?").answer]
    lp.configure(lm=answering("configured"))
    try:
        said.append(predictor(question="?").answer)
        with lp.using(lm=answering("scope")):
            said.append(predictor(question="?").answer)
    finally:
        lp.configure(lm=None)

    assert said == ["environment", "configured", "scope"]


def failing_first(times: int) -> tuple[ScriptedLM, list[int]]:
    left = [times]

    def answer(asked: Any) -> dict[str, str]:
        left[0] -= 1
        if left[0] >= 0:
            raise lp.UnavailableError("busy", retry_after_s=0.0)
        return {"answer": "at last"}

    return ScriptedLM(answer), left


def test_a_plain_call_is_made_again_where_that_may_help() -> None:
    lm, _ = failing_first(1)

    with lp.using(lm=lm):
        said = lp.Predict("question -> answer")(question="?").answer

    assert (said, lm.sent) == ("at last", 2)


@pytest.mark.parametrize("times", [1, 2])
def test_plain_calls_are_recorded_where_a_folder_for_them_is_named(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMPROG_CACHE", str(tmp_path / "cache"))
    lm = answering("once")

    for _ in range(2):
        with lp.using(lm=lm):
            for _ in range(times):
                lp.Predict("question -> answer")(question="?")

    assert lm.sent == 1
    assert (tmp_path / "cache" / "calls.sqlite").exists()


def test_plain_calls_are_sent_each_time_where_no_folder_is_named() -> None:
    lm = answering("each time")

    with lp.using(lm=lm):
        for _ in range(3):
            lp.Predict("question -> answer")(question="?")

    assert lm.sent == 3


def test_layers_come_off_again() -> None:
    lm = answering("bare")

    assert client_of(plain(lm)) is lm
    assert client_of(lm) is lm
    assert default_lm() is None
