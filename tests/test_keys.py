"""Keys never leave the process but in a request's header, whatever happens and whatever is written."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from openai_server import Scene, Server, serving

from lmprog.secrets import HIDDEN, is_key, redact_code

SENT = "sk-sent-4f9a8b7c6d5e"
"""The key that requests carry."""
OTHER = "other-1a2b3c4d5e6f7g"
"""A key for something else, in the environment."""
HELD = "held-9z8y7x6w5v4u3t2"
"""A key in an attribute of the program."""
WRITTEN = "written-q1w2e3r4t5y6"
"""A key in the program's source."""
IN_METRIC = "metric-0p9o8i7u6y5t"
"""A key in the metric's source, on the line that fails."""
KEYS = (SENT, OTHER, HELD, WRITTEN, IN_METRIC)

TASK_FILE = f'''
import logging
import os

import lmprog as lp
from lmprog.data import Splits

logging.basicConfig(filename="everything.log", level=logging.DEBUG)


class Add(lp.Signature):
    """Add one."""

    number: int = lp.InputField()
    answer: str = lp.OutputField()


class Adder(lp.Module):
    SERVICE_TOKEN = "{WRITTEN}"

    def __init__(self) -> None:
        self.api_key = os.environ["HELD"]
        self.add = lp.Predict(Add)

    def connect(self, password: str = "{WRITTEN}", *, headers: object = None) -> dict[str, str]:
        return {{"secret": "{WRITTEN}"}}

    def forward(self, number: int) -> Add:
        return self.add(number=number)


def load() -> Splits:
    rows = [{{"number": n, "answer": str(n + 1)}} for n in range(60)]
    return Splits(tuple(rows[:15]), tuple(rows[15:30]), tuple(rows[30:]))


def metric(row, prediction) -> bool:
    if os.environ.get("BROKEN"):
        raise ValueError(ask_judge(api_key="{IN_METRIC}", token=os.environ["OTHER_TOKEN"]))
    return row["answer"] == prediction.answer


def ask_judge(api_key, token):
    return f"the judge refused {{token}}"


TASK = lp.Task("adding", Adder, metric, load, "adds one")
'''

ANSWERS = f'''
def reply(asked):
    """Right where a demo shows how; every reply, and every proposal, quotes the key that came with the request."""
    if "answer" not in asked.outputs:
        return {{name: "Add one to the number. You sent {SENT}, and that is " + str(asked.request.sample) for name in asked.outputs}}
    number = int(asked.inputs.get("number", 1))
    right = bool(asked.demos) or number % 4 == 0
    return {{"answer": str(number + 1) if right else "your key is {SENT}"}}
'''

INSPECTING = f'''
import os
import lmprog as lp
import qa

lp.configure(lm=os.environ["SPEC"])
program = qa.Adder()
program(number=3)
try:
    with lp.using(lm=lp.OpenAI("m", base_url=os.environ["SPEC"].partition("#")[0], api_key="{SENT}")):
        lp.Predict("question -> answer: int")(question="is {SENT} or {OTHER} a key?")
except lp.OutputError as error:
    print("it failed:", type(error).__name__)
lp.inspect(10)
'''


@dataclass
class Traces:
    """All that was written anywhere, by where."""

    texts: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def keep(self, folder: Path) -> None:
        """Take in every file of a folder: as it is, what is in it unpacked, and each value of a database."""
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.suffix in (".py", ".pyc"):
                continue
            name = str(path.relative_to(folder))
            self.texts[name] = path.read_bytes()
            if path.suffix == ".lmprog":
                with zipfile.ZipFile(path) as archive:
                    self.texts |= {f"{name}: {entry}": archive.read(entry) for entry in archive.namelist()}
            if path.suffix == ".sqlite":
                with closing(sqlite3.connect(path)) as database:
                    rows = database.execute("SELECT * FROM calls").fetchall()
                    self.texts[f"{name}: rows"] = repr(rows).encode()

    def holding(self, key: str) -> list[str]:
        """Return where a key stands, as it is or in base64."""
        forms = [key.encode(), key[::-1].encode()]
        for shift in range(3):  # base64 of a text depends on where in the whole it begins
            coded = base64.b64encode(b"x" * shift + key.encode()).rstrip(b"=")
            forms += [coded[4:-4], coded[4:-4].replace(b"+", b"-").replace(b"/", b"_")]
        return [name for name, text in self.texts.items() if any(form in text for form in forms)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "qa.py").write_text(TASK_FILE)
    (folder / "answers.py").write_text(ANSWERS)
    (folder / "inspecting.py").write_text(INSPECTING)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(answers=f"{folder}/answers.py:reply", key=SENT) as server:
        yield server


@pytest.fixture(scope="module")
def traces(folder: Path, server: Server) -> Traces:
    """What is left of compiles that went well and that failed in many ways, each as loud as it can be."""
    traces = Traces()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LMPROG_")},
        "OPENAI_API_KEY": SENT,
        "LMPROG_API_KEY": SENT,
        "OTHER_TOKEN": OTHER,
        "HELD": HELD,
        "LMPROG_DEBUG": "1",
        "LMPROG_OUTAGE_S": "2",
        "LMPROG_CACHE": "cache",
        "PYTHONASYNCIODEBUG": "1",
        "SPEC": f"{server.url}#m",
    }

    def run(name: str, *words: str, expected: int = 0, **more: str) -> None:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, cwd=folder, env={**environment, **more}, timeout=120
        )
        assert done.returncode == expected, (name, done.stdout, done.stderr)
        traces.texts[f"{name}: standard output"] = done.stdout
        traces.texts[f"{name}: standard error"] = done.stderr

    def compile(name: str, *argv: str, expected: int = 0, **more: str) -> None:
        words = ("-m", "lmprog", "compile", "qa.py:TASK", "--lm", f"{server.url}#m", "--run-dir", f"runs/{name}")
        run(name, *words, "--optimizer", "mipro:candidates=4,trials=4,meta=false", *argv, expected=expected, **more)

    echo = {"error": {"message": f"slow down: {SENT} has sent too much", "type": "rate_limit"}}
    server.set(
        scenes=[Scene(429, echo, {"X-Echo": f"Bearer {SENT}", "retry-after": "0"}), Scene(500, f"<p>{SENT}</p>")]
    )
    compile("well", "--json")
    compile("again")
    compile("broken", expected=1, BROKEN="1", LMPROG_CACHE="")
    compile("wrong", expected=2, LMPROG_API_KEY=SENT + "x", LMPROG_CACHE="")
    server.set(scenes=[Scene(503, f"overloaded by {SENT}")] * 20)
    compile("lost", "--json", expected=2, LMPROG_CACHE="")
    server.set(scenes=[Scene(400, {"error": {"message": f"bad request of {SENT}"}})])
    compile("refused", expected=2, LMPROG_CACHE="")
    server.reset()
    run("show", "-m", "lmprog", "show", "runs/well/result.lmprog", "--json")
    run(
        "run",
        "-m",
        "lmprog",
        "run",
        "runs/well/result.lmprog",
        "--program",
        "qa.py:Adder",
        "number=3",
        "--json",
        LMPROG_LM=f"{server.url}#m",
    )
    run("inspect", "inspecting.py", LMPROG_CACHE="")  # what a user asks is recorded as it is
    traces.keep(folder)
    return traces


def test_a_search_for_a_key_would_find_it(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text(f"Authorization: Bearer {SENT}")
    (tmp_path / "coded.txt").write_bytes(base64.b64encode(f"user:{SENT}".encode()))
    with zipfile.ZipFile(tmp_path / "some.lmprog", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("entry", SENT * 20)
    traces = Traces()

    traces.keep(tmp_path)

    assert traces.holding(SENT) == ["coded.txt", "plain.txt", "some.lmprog: entry"]


def test_every_way_left_its_traces(traces: Traces) -> None:
    names = set(traces.texts)

    for name in ("journal.jsonl", "run.json", "report.html", "result.lmprog: manifest.json", "calls.sqlite: rows"):
        assert f"runs/well/{name}" in names
    assert "cache/calls.sqlite: rows" in names
    assert b"lmprog.calls" in traces.texts["everything.log"]
    assert b"Traceback" in traces.texts["broken: standard error"]
    assert b"Traceback" in traces.texts["lost: standard error"]
    assert b"Incorrect API key provided" in traces.texts["wrong: standard error"]
    assert json.loads(traces.texts["lost: standard output"])["error"]["kind"] == "UnavailableError"
    assert HIDDEN.encode() in traces.texts["inspect: standard output"]


@pytest.mark.parametrize("key", KEYS)
def test_no_key_stands_in_anything_that_was_written(traces: Traces, key: str) -> None:
    assert traces.holding(key) == []


def test_the_proposer_is_shown_the_program_s_source_without_its_keys(server: Server, traces: Traces) -> None:
    log = traces.texts["runs/well/calls.sqlite: rows"]

    assert b"SERVICE_TOKEN = " in log
    assert b"def connect(self, password: str = " in log
    assert WRITTEN.encode() not in log


def test_a_new_key_is_no_other_run(folder: Path, server: Server, traces: Traces) -> None:
    words = ["compile", "qa.py:TASK", "--lm", f"{server.url}#m", "--run-dir", "runs/well", "--json"]
    environment: Mapping[str, str] = {**os.environ, "HELD": "held-another-0123456789", "LMPROG_API_KEY": SENT}

    done = subprocess.run(
        [sys.executable, "-m", "lmprog", *words, "--optimizer", "mipro:candidates=4,trials=4,meta=false"],
        capture_output=True, text=True, cwd=folder, env=environment,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["spent"]["sent"]["task"]["calls"] == 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('api_key = "abcdefgh"', 'api_key = "***"'),
        ("Client(key='abcdefgh', n=3)", "Client(key='***', n=3)"),
        ('{"password": "abcdefgh"}', '{"password": "***"}'),
        ('TOKEN: str | None = b"abcdefgh"', 'TOKEN: str | None = b"***"'),
        ('environ.get("SOME_KEY", "abcdefgh")', 'environ.get("SOME_KEY", "***")'),
        ('sorted(rows, key="short")', 'sorted(rows, key="short")'),
        ('question = "abcdefgh"', 'question = "abcdefgh"'),
    ],
)
def test_what_code_holds_under_a_name_that_tells_is_hidden(code: str, expected: str) -> None:
    assert redact_code(code) == expected


def test_the_key_of_a_row_or_the_token_of_a_text_is_no_key() -> None:
    assert is_key("api_key", "sk-0123456789abcdef")
    assert not is_key("key", "the_name_of_a_field")
    assert not is_key("token", "<|end_of_text|>")
    assert not is_key("secret", "some words that are 16 or more")
    assert not is_key("question", "sk-0123456789abcdef")
