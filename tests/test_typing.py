"""What a type checker tells a user of lmprog while the program is being written."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SIGNATURES = '''\
"""What the programs below are made of."""

from typing import Literal

import lmprog as lp


class WriteQuery(lp.Signature):
    """Write a search query."""

    question: str = lp.InputField()
    limit: int = lp.InputField(default=3)
    passages: list[str] = lp.InputField(desc="found so far")
    query: str = lp.OutputField()


class Answer(lp.Signature):
    question: str = lp.InputField()
    answer: str = lp.OutputField(desc="in a few words")


class Rate(Answer):
    stars: Literal[1, 2, 3] = lp.OutputField()
'''

GOOD = {
    "sync.py": '''\
"""A sync program, and everything that gives a program back."""

from signatures import Answer, WriteQuery
from typing_extensions import assert_type

import lmprog as lp


class QA(lp.Module):
    def __init__(self, hops: int = 2) -> None:
        self.hops = hops
        self.write_query = lp.Predict(WriteQuery, retries=2, config={"temperature": 0.7})
        self.answer = lp.ChainOfThought(Answer, demos=[lp.Demo(inputs={"question": "?"}, outputs={"answer": "!"})])

    def forward(self, question: str, *, brief: bool = False) -> Answer:
        passages: list[str] = []
        for _ in range(self.hops):
            step = self.write_query(question=question, passages=passages)
            assert_type(step, WriteQuery)
            assert_type(step.query, str)
            assert_type(step.passages, list[str])
            passages = [*passages, step.query]
        self.write_query(question=question, passages=passages, limit=1)
        return self.answer(question=question)


program = QA()
assert_type(program("?"), Answer)
assert_type(program(question="?", brief=True).answer, str)
twin = lp.with_params(program, lp.params_of(program))
assert_type(twin, QA)
assert_type(twin("?"), Answer)
assert_type(twin.hops, int)
rows = [{"question": "?", "answer": "!"}]
result = lp.compile(program, train=rows, metric=lp.metrics.exact_match("answer"), lm="tiny", budget="light")
assert_type(result.program, QA)
assert_type(result.program("?").answer, str)
assert_type(lp.load("a.lmprog", program=program), QA)


def right(row: dict[str, str], prediction: Answer) -> bool:
    return row["answer"] == prediction.answer


lp.compile(program, train=rows, metric=right, budget=lp.Budget(calls=100), gate="significant", group="question")
with lp.using(program, lm="tiny", sample=1):
    assert_type(program.answer(question="?"), Answer)
assert_type(lp.reasoning(program("?")), str)
''',
    "asynchronous.py": '''\
"""An async program with a sync one inside."""

import asyncio

from signatures import Answer, WriteQuery
from sync import QA
from typing_extensions import assert_type

import lmprog as lp


class Both(lp.Module):
    def __init__(self) -> None:
        self.qa = QA()
        self.write_query = lp.Predict(WriteQuery)

    async def aforward(self, question: str) -> int:
        first, second = await asyncio.gather(
            self.qa.acall(question), self.write_query.acall(question=question, passages=[])
        )
        assert_type(first, Answer)
        assert_type(second, WriteQuery)
        return len(first.answer) + len(second.query)


program = Both()
assert_type(program("?"), int)
assert_type(lp.with_params(program, lp.params_of(program))("?"), int)


async def cell() -> None:
    assert_type(await program.acall("?"), int)
    assert_type(await lp.with_params(program, lp.params_of(program)).acall(question="?"), int)
''',
    "containers.py": '''\
"""Predictors in lists and dicts, lone predictors, string signatures, inherited signatures."""

from collections.abc import Callable
from typing import Any, Literal

from signatures import Answer, Rate, WriteQuery
from typing_extensions import assert_type

import lmprog as lp


class Many(lp.Module):
    def __init__(self, tools: list[Callable[[str], str]]) -> None:
        self.hops = [lp.Predict(WriteQuery) for _ in range(3)]
        self.by_kind = {"plain": lp.Predict(Answer), "reasoned": lp.ChainOfThought(Answer)}
        self.rate = lp.Predict(Rate)
        self.short = lp.Predict("question, passages: list[str] -> answer: int")
        self.tools = tools

    def forward(self, question: str) -> Literal[1, 2, 3]:
        for hop in self.hops:
            question = hop(question=question, passages=[]).query
        answer = self.by_kind["plain"](question=question)
        assert_type(answer, Answer)
        count = self.short(question=answer.answer, passages=[])
        assert_type(count, Any)
        return self.rate(question=question + str(count.answer)).stars


assert_type(Many([str.upper])("?"), Literal[1, 2, 3])
lone = lp.with_params(lp.ChainOfThought(Answer), lp.Params({}))
assert_type(lone(question="?"), Answer)
short = lp.Predict("question -> answer")
assert_type(short, lp.Predict[..., Any])
assert_type(lp.ChainOfThought("question -> answer"), lp.ChainOfThought[..., Any])
takes_any: list[lp.Predict[..., Any]] = [lone, short, lp.Predict(Rate)]
prediction = WriteQuery(question="?", passages=[])
assert_type(prediction.query, str)
''',
    "strategies.py": '''\
"""Strategies take and give what the program or signature inside does."""

from collections.abc import Mapping
from typing import Any, Literal

from asynchronous import Both
from signatures import Answer, Rate
from sync import QA
from typing_extensions import assert_type

import lmprog as lp
from lmprog.strategies.conjugate import Conjugate
from lmprog.strategies.instance_rewrite import InstanceRewrite


def good(inputs: Mapping[str, Any], prediction: Answer) -> lp.Score:
    return lp.Score(len(prediction.answer), feedback="longer")


best = lp.BestOfN(QA(), n=3, reward=good)
assert_type(best("?", brief=True), Answer)
assert_type(lp.BestOfN(Both(), reward=lambda inputs, count: count > 3)("?"), int)
assert_type(lp.BestOfN(lp.ChainOfThought(Rate), reward=good, threshold=3)(question="?").stars, Literal[1, 2, 3])
assert_type(lp.BestOfN("question -> answer", reward=lambda inputs, prediction: 1.0), lp.BestOfN[..., Any])
assert_type(lp.Refine(lp.MajorityVote(best, by=lambda found: found.answer), reward=good, threshold=1.0)("?"), Answer)
assert_type(lp.MultiExpert(Answer, n=3)(question="?"), Answer)
assert_type(lp.Hooked(Answer, [lp.Hook(lambda call: call.predictor == "program", lambda call: "again")])(question="?"), Answer)
assert_type(InstanceRewrite(QA())("?"), Answer)
assert_type(Conjugate(Answer, "Into French.", str.lower)(question="?"), Answer)
twin = lp.with_params(best, lp.params_of(best))
assert_type(twin("?").answer, str)


async def cell() -> None:
    assert_type(await best.acall("?"), Answer)
''',
}

BAD = {
    "predictors.py": '''\
"""Wrong use of predictors and predictions."""

from signatures import Answer, WriteQuery

import lmprog as lp


class QA(lp.Module):
    def __init__(self) -> None:
        self.write_query = lp.Predict(WriteQuery)
        self.answer = lp.ChainOfThought(Answer)

    def forward(self, question: str) -> str:
        self.write_query(question=1, passages=[])  # error: pyright=reportArgumentType mypy=arg-type
        self.write_query(question=question, passages="one")  # error: pyright=reportArgumentType mypy=arg-type
        self.write_query(question=question)  # error: pyright=reportCallIssue mypy=call-arg
        self.write_query(question, [])  # error: pyright=reportCallIssue mypy=call-arg
        self.write_query(question=question, passages=[], query="?")  # error: pyright=reportCallIssue mypy=call-arg
        self.answer(qestion=question)  # error: pyright=reportCallIssue mypy=call-arg
        step = self.write_query(question=question, passages=[])
        print(step.qery)  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
        print(step.query + 1)  # error: pyright=reportOperatorIssue mypy=operator
        step.query = "?"  # error: pyright=reportAttributeAccessIssue mypy=misc
        print(self.answer(question=question).reasoning)  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
        return step.passages  # error: pyright=reportReturnType mypy=return-value

    async def wait(self, question: str) -> str:
        await self.write_query.acall(question=question)  # error: pyright=reportCallIssue mypy=call-arg
        step = await self.write_query.acall(question=question, passages=[])
        return step.qery  # error: pyright=reportAttributeAccessIssue mypy=attr-defined


lp.Predict(WriteQuery, demoes=[])  # error: pyright=reportCallIssue mypy=call-overload
lp.Predict(3)  # error: pyright=reportCallIssue mypy=call-overload
WriteQuery(question="?", passages=[], query="?")  # error: pyright=reportCallIssue mypy=call-arg


class Wrong(lp.Signature):
    question: str = lp.InputField(init=False)  # error: pyright=reportCallIssue mypy=call-arg
    answer: str = lp.OutputField(default="?")  # error: pyright=reportCallIssue mypy=call-arg
''',
    "programs.py": '''\
"""Wrong use of programs, as written and as compiled."""

from asynchronous import Both
from signatures import Answer
from sync import QA

import lmprog as lp

program, twin = QA(), lp.with_params(QA(), lp.params_of(QA()))
program(1)  # error: pyright=reportArgumentType mypy=arg-type
program()  # error: pyright=reportCallIssue mypy=call-arg
program("?", deep=True)  # error: pyright=reportCallIssue mypy=call-arg
program("?").anwser  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
twin(1)  # error: pyright=reportArgumentType mypy=arg-type
twin(qestion="?")  # error: pyright=reportCallIssue mypy=call-arg
twin("?").anwser  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
twin.hop  # error: pyright=reportAttributeAccessIssue mypy=attr-defined

result = lp.compile(program, train=[{"question": "?", "answer": "!"}], metric=lp.metrics.exact_match("answer"))
result.program(1)  # error: pyright=reportArgumentType mypy=arg-type
result.program(qestion="?")  # error: pyright=reportCallIssue mypy=call-arg
result.program("?").anwser  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
lp.load("a.lmprog", program=QA())(1)  # error: pyright=reportArgumentType mypy=arg-type
lp.compile(program, train=[])  # error: pyright=reportCallIssue mypy=call-arg
lp.compile("program", train=[], metric=lp.metrics.exact_match("answer"))  # error: pyright=reportArgumentType mypy=type-var

waiting = lp.with_params(Both(), lp.params_of(Both()))
waiting(1)  # error: pyright=reportArgumentType mypy=arg-type
waiting("?").answer  # error: pyright=reportAttributeAccessIssue mypy=attr-defined

lone = lp.with_params(lp.Predict(Answer), lp.Params({}))
lone(question=1)  # error: pyright=reportArgumentType mypy=arg-type
lone(question="?").anwser  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
lp.with_params("?", lp.Params({}))  # error: pyright=reportArgumentType mypy=type-var


async def cell() -> None:
    await program.acall(1)  # error: pyright=reportArgumentType mypy=arg-type
    await waiting.acall()  # error: pyright=reportCallIssue mypy=call-arg
    (await waiting.acall("?")).answer  # error: pyright=reportAttributeAccessIssue mypy=attr-defined


class Empty(lp.Module):
    pass


Empty()("?")  # error: pyright=reportCallIssue mypy=misc
''',
    "strategies_bad.py": '''\
"""Wrong use of strategies."""

from collections.abc import Mapping
from typing import Any

from signatures import Answer
from sync import QA

import lmprog as lp


def good(inputs: Mapping[str, Any], prediction: Answer) -> float:
    return len(prediction.answr)  # error: pyright=reportAttributeAccessIssue mypy=attr-defined


best = lp.BestOfN(QA(), reward=good)
best(1)  # error: pyright=reportArgumentType mypy=arg-type
best(qestion="?")  # error: pyright=reportCallIssue mypy=call-arg
best("?").anwser  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
lp.BestOfN(QA(), n="3", reward=good)  # error: pyright=reportArgumentType mypy=arg-type
lp.BestOfN(QA())  # error: pyright=reportCallIssue mypy=call-arg
lp.Refine(QA(), reward=good)  # error: pyright=reportCallIssue mypy=call-arg
lp.Refine(best, reward=good, threshold=1.0)("?").anwser  # error: pyright=reportAttributeAccessIssue mypy=attr-defined
lp.MultiExpert(Answer)(qestion="?")  # error: pyright=reportCallIssue mypy=call-arg
lp.Hooked(QA(), [])("?", deep=True)  # error: pyright=reportCallIssue mypy=call-arg
''',
}

FILES = {"signatures.py": SIGNATURES, **GOOD, **BAD}

Found = Mapping[str, Mapping[int, set[str]]]
"""The rules broken, by file and line."""


def expected(source: str, checker: str) -> dict[int, str]:
    """The rule that each line's comment says it breaks."""
    lines = enumerate(source.splitlines(), start=1)
    marks = {number: re.search(rf"# error: .*\b{checker}=([\w-]+)", line) for number, line in lines}
    return {number: mark[1] for number, mark in marks.items() if mark}


def by_line(errors: list[tuple[str, int, str]]) -> Found:
    found: dict[str, dict[int, set[str]]] = {}
    for file, line, rule in errors:
        found.setdefault(Path(file).name, {}).setdefault(line, set()).add(rule)
    return found


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1, f"{arguments[0]} did not get as far as finding errors:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("typing")
    for name, source in FILES.items():
        (made / name).write_text(source)
    return made


@pytest.fixture(scope="module")
def pyright(folder: Path) -> Found:
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "reportUnusedExpression": false}')
    out = run("pyright", "--outputjson", "--pythonpath", sys.executable, folder=folder)
    errors: list[dict[str, Any]] = json.loads(out)["generalDiagnostics"]
    return by_line([(e["file"], e["range"]["start"]["line"] + 1, e.get("rule", "syntax")) for e in errors])


@pytest.fixture(scope="module")
def mypy(folder: Path) -> Found:
    options = ["--strict", "--no-incremental", "--config-file=", "--output=json"]
    errors: list[dict[str, Any]] = [
        json.loads(line) for line in run("mypy", *options, *FILES, folder=folder).splitlines()
    ]
    return by_line([(e["file"], e["line"], e["code"]) for e in errors if e["severity"] == "error"])


@pytest.mark.parametrize("checker", ["pyright", "mypy"])
@pytest.mark.parametrize("file", ["signatures.py", *GOOD])
def test_a_right_program_has_no_error(checker: str, file: str, request: pytest.FixtureRequest) -> None:
    found: Found = request.getfixturevalue(checker)
    assert found.get(file, {}) == {}


@pytest.mark.parametrize("checker", ["pyright", "mypy"])
@pytest.mark.parametrize("file", BAD)
def test_each_mistake_is_an_error_on_its_line_and_nothing_else_is(
    checker: str, file: str, request: pytest.FixtureRequest
) -> None:
    found: Found = request.getfixturevalue(checker)
    wanted = expected(FILES[file], checker)

    assert sorted(found[file]) == sorted(wanted)
    assert [line for line, rule in wanted.items() if rule not in found[file][line]] == []
