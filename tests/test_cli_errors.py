"""Whatever goes wrong, the command line says what, why and what to write instead, and loses nothing."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openai_server import Server, serving

import lmprog as lp
from lmprog.artifact import read_artifact
from lmprog.cli import main

KEY = "sk-planted0123456789"
TASK_FILE = '''
import os
import time

import lmprog as lp
from lmprog.data import Splits
from lmprog.testing import Asked, ScriptedLM, reply as answered

print("loaded")  # what a user's file prints


class Add(lp.Signature):
    """Add one."""

    number: int = lp.InputField()
    answer: str = lp.OutputField()


class Adder(lp.Module):
    def __init__(self) -> None:
        self.add = lp.Predict(Add)

    def forward(self, number: int) -> Add:
        return self.add(number=number)


def reply(asked):
    """Right where a demo shows how, and at every fourth number."""
    number = int(asked.inputs["number"])
    return {"answer": str(number + 1) if asked.demos or number % 4 == 0 else "?"}


def load() -> Splits:
    rows = [{"number": n, "answer": str(n + 1)} for n in range(120)]
    return Splits(tuple(rows[:40]), tuple(rows[40:80]), tuple(rows[80:]))


def metric(row, prediction) -> bool:
    return row["answer"] == prediction.answer


LM = ScriptedLM(reply)
TASK = lp.Task("adding", Adder, metric, load, "adds one")
'''
CONFIGURED = "lp.configure(lm=LM)\n"
SILENT = ('print("loaded")', "")
RETURN = 'return row["answer"] == prediction.answer'
COMPILE = ("compile", "qa.py:TASK", "--optimizer", "labeled-few-shot", "--run-dir", "run")
SOON_S = 20.0


@pytest.fixture(autouse=True)
def no_lm_is_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LMPROG_LM", "LMPROG_CACHE", "OPENAI_API_KEY", "LMPROG_API_KEY", "LMPROG_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LMPROG_OUTAGE_S", "1")
    yield
    lp.configure(lm=None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a task in qa.py."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(folder: Path, *changes: tuple[str, str], more: str = CONFIGURED) -> None:
    text = TASK_FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "qa.py").write_text(text + more)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The artifact of the program in qa.py, made once."""
    folder = tmp_path_factory.mktemp("compiled")
    write(folder)
    assert main(["compile", f"{folder}/qa.py:TASK", *COMPILE[2:4], "--run-dir", str(folder / "run")]) == 0
    lp.configure(lm=None)
    return (folder / "run/result.lmprog").read_bytes()


@pytest.fixture
def artifact(compiled: bytes, folder: Path) -> str:
    """A compiled artifact of the program in qa.py, beside that."""
    (folder / "adding.lmprog").write_bytes(compiled)
    return "adding.lmprog"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def first(self) -> str:
        """The first line that it said on standard error, which must say it all."""
        line, *_ = self.err.splitlines()
        return line


def lmprog(*argv: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ended:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "lmprog", *argv],
        capture_output=True,
        text=True,
        input=stdin,
        env={**os.environ, **(env or {})},
        timeout=120,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def here(capsys: pytest.CaptureFixture[str], *argv: str) -> Ended:
    """Run a command in this process, which is faster."""
    code = main(argv)
    out, err = capsys.readouterr()
    return Ended(code, out, err)


def fails(ended: Ended, code: int, *says: str) -> None:
    assert ended.code == code, ended.err
    assert ended.first.startswith("error: ")
    assert "Traceback" not in ended.err
    for part in says:
        assert part in ended.first


def recorded(run_dir: Path = Path("run")) -> int:
    """How many replies a run has on record, in a file that is whole."""
    with closing(sqlite3.connect(f"file:{run_dir}/calls.sqlite?mode=ro", uri=True)) as log:
        assert log.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(log.execute("SELECT count(*) FROM calls").fetchone()[0])


def sent(ended: Ended) -> int:
    """How many calls a command with --json sent."""
    assert ended.code in (0, 3), ended.err
    return int(json.loads(ended.out)["spent"]["sent"]["task"]["calls"])


METRIC = "def metric(row, prediction) -> bool:"


@pytest.mark.parametrize(
    ("changes", "more", "says"),
    [
        ([(METRIC, "def metric(row) -> bool:")], "", "the metric metric(row) cannot be called with (row, prediction)"),
        ([(METRIC, "def metric(row, prediction, tr) -> bool:")], "", "write `trace` for `tr`"),
        ([], 'TASK = lp.Task("a", Adder, 3, load, "x")\n', "the metric is 3, which cannot be called"),
        ([], 'TASK = lp.Task("a", Adder, lp.metrics.exact_match, load, "x")\n', 'lp.metrics.exact_match("answer")'),
        ([('{"number": n, "answer"', '{"numer": n, "answer"')], "", "`train`, row 0 has no `number`, which Adder takes"),
        (
            [('{"number": n,', '{"number": n if n != 7 else "seven",')],
            "",
            "`train`, row 7, `number` is 'seven', and Adder takes int",
        ),
        ([("Splits(tuple(rows[:40])", "Splits(()")], "", "`train` is empty"),
        ([("tuple(rows[80:])", "tuple(rows[100:])")], "", "the holdout has 20 rows, and fewer than 30 prove nothing"),
        ([], 'TASK = lp.Task("a", Adder, metric, lambda: 3, "x")\n', "returned a int"),
        ([], 'TASK = lp.Task("a", Adder, metric, None, "x")\n', "the task a has load=None: write a function"),
        ([], 'TASK = lp.Task("a", Adder(), metric, load, "x")\n', "write what makes a program, the class or a function"),
        ([], "raise SystemExit(3)\n", "cannot be loaded"),
        ([("lp.Predict(Add)", "lp.Predict(3)")], "", "3 is no signature"),
        ([("lp.Predict(Add)", 'lp.Predict(Add, config={"temperature": 1})')], "LM.capabilities = frozenset({'generate'})\n", "lacks the capability 'sample'"),
        ([], "LM.capabilities = frozenset()\n", "scripted cannot be the task LM: it lacks the capability `generate`"),
        ([], "lp.configure(lm=ScriptedLM)\n", "the LM is the class ScriptedLM"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_task_is_said_before_the_first_call(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: Sequence[tuple[str, str]], more: str, says: str
) -> None:
    write(folder, *changes, more=CONFIGURED + more)

    fails(here(capsys, *COMPILE), 2, says)

    assert not Path("run/calls.sqlite").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--optimizer", "evolve"], "there is no 'evolve' among the optimizers: there are ape, auto, better-together"),
        (["--optimizer", "mirpo"], "Did you mean 'mipro'?"),
        (["--optimizer", "mipro:trails=3"], "mipro has no option ['trails']. It has ["),
        (["--optimizer", "mipro:trials=many"], "trials='many'"),
        (["--lm", "gpt-5"], 'no LM is called \'gpt-5\'. There are "tiny", "tiny/FOLDER", "openai/MODEL"'),
        (["--lm", "openai/gpt-5"], "set the environment variable OPENAI_API_KEY"),
        (["--seed", "-1"], "a seed is a whole number from 0 on"),
        (
            ["--budget", "calls=20"],
            "takes up to 144 calls, before any search. Give 288 calls or more, or `--budget light`",
        ),
        (["--out", "."], "--out . is a folder: name a file in it"),
        (["--out", "qa.py/adding.lmprog"], "qa.py cannot be made (File exists)"),
        (["--run-dir", "qa.py"], "qa.py is a file, and a run is kept in a folder. Give another --run-dir."),
        (["--data", "."], ". cannot be read: Is a directory"),
        (["--data", "latin.jsonl"], "latin.jsonl, line 1 is not JSON in UTF-8"),
        (["--data", "list.jsonl"], "list.jsonl, line 1 is not an object"),
        (["--data", "types.jsonl"], "`types.jsonl`, row 1, `number` is [2], and Adder takes int"),
        (["--budgt", "light"], "See `lmprog compile --help`."),
        (["--gate", "maybe"], "'maybe' is not one of 'no-harm', 'significant', 'none'. See `lmprog compile --help`."),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named_with_its_value_and_what_to_write(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: Sequence[str], says: str
) -> None:
    Path("latin.jsonl").write_bytes('{"number": 1, "answer": "ä"}'.encode("latin-1"))
    Path("list.jsonl").write_text('[{"number": 1}, {"number": 2}]')
    Path("types.jsonl").write_text('{"number": 1}\n{"number": [2]}\n')

    fails(here(capsys, *COMPILE, *argv), 2, says)


def test_an_option_that_sends_to_the_python_api_names_the_option_of_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows.jsonl").write_text("".join(f'{{"number": {n}, "answer": ""}}\n' for n in range(20)))

    ended = here(capsys, *COMPILE, "--data", "rows.jsonl")

    fails(ended, 2, "give 100 rows or more", "Or write --gate none to ship without proof")


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("return 1 / abs(row['number'] - 60) > 1", "division by zero (qa.py, line 39, in metric; on the row {'number': 60"),
        ("return 1.5 if row['number'] == 60 else 0.5", "the metric returned 1.5"),
    ],
)  # fmt: skip
def test_a_metric_that_fails_ends_the_run_with_its_row_and_what_was_recorded_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], metric: str, says: str
) -> None:
    write(folder, ('return row["answer"] == prediction.answer', metric))
    ended = here(capsys, *COMPILE)
    before = recorded()

    fails(ended, 1, says)
    assert before > 0
    fails(here(capsys, *COMPILE), 1, says)
    assert recorded() >= before


def test_a_cap_that_is_hit_before_the_certificate_keeps_what_was_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dear = "return lp.Response(answered({'answer': answer}, asked.request), usd=float(number >= 80))"
    write(
        folder,
        ('return {"answer": str(number + 1)', "answer = (str(number + 1)"),
        ('else "?"}', f'else "?")\n    {dear}'),
    )

    ended = here(capsys, *COMPILE, "--budget", "usd=5", "--concurrency", "1")
    before = recorded()

    fails(ended, 5, "the cap of 5 usd is reached", "for example `--budget usd=12`", "--run-dir run` the run goes on")
    again = here(capsys, *COMPILE, "--budget", "usd=500", "--json")
    assert before > 0
    assert sent(again) == recorded() - before


def test_a_cap_in_the_search_ends_the_search_and_what_it_found_is_proven(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = here(capsys, *COMPILE, "--budget", "calls=150")

    assert ended.code == 3
    assert "the search ended: the budget was spent" in ended.out


def test_a_server_that_is_not_there_is_said_at_the_start(folder: Path) -> None:
    ended = lmprog(*COMPILE, "--lm", "http://127.0.0.1:9/v1#some-model")

    *_, last = ended.err.splitlines()
    assert ended.code == 2
    assert last.startswith("error: http://127.0.0.1:9/v1#some-model has not answered for ")
    assert "cannot be reached" in last
    assert "Traceback" not in ended.err


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    write(folder, SILENT, more="")
    with serving(answers=f"{folder}/qa.py:reply") as server:
        yield server


def test_a_server_that_is_lost_ends_the_run_saved_and_the_same_command_goes_on(folder: Path) -> None:
    write(folder, SILENT, more="")
    answers = f"{folder}/qa.py:reply"
    with serving(answers=answers, latency_s=0.02) as server:
        port = urlsplit(server.url).port or 0
        command = [sys.executable, "-m", "lmprog", *COMPILE, "--lm", f"{server.url}#m", "--concurrency", "2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            next(line for line in process.stdout if "the program takes" in line)
            server.process.kill()
            server.process.wait()
            _, err = process.communicate()
    before = recorded()

    with serving(answers=answers, port=port) as server:
        again = lmprog(*COMPILE, "--lm", f"{server.url}#m", "--json")
        assert server.counts.total == sent(again) == recorded() - before

    *_, error, note = err.splitlines()
    assert process.returncode == 4
    assert "has not answered for" in error
    assert note == "What was done is saved: the same command goes on from there."
    assert "Traceback" not in err
    assert before > 0


def test_a_wrong_key_is_told_in_the_provider_s_words_without_the_key(folder: Path) -> None:
    write(folder, more="")
    with serving(key="sk-right0123456789") as server:
        ended = lmprog(*COMPILE, "--lm", f"{server.url}#m", env={"LMPROG_API_KEY": KEY, "LMPROG_DEBUG": ""})

    fails(ended, 2, "401", "Incorrect API key provided: ***", "set LMPROG_API_KEY")
    assert KEY not in ended.out + ended.err


def test_a_model_that_the_server_does_not_have_is_named_with_those_that_it_has(folder: Path, server: Server) -> None:
    write(folder, more="")
    server.set(models=["qwen3", "llama4"])

    fails(lmprog(*COMPILE, "--lm", f"{server.url}#gpt"), 2, "`gpt` does not exist", "qwen3")
    server.reset()


def started(*argv: str, until: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """Start a command, and return once it has written a line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lmprog", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
    )
    assert process.stdout
    next(line for line in process.stdout if until in line)
    return process


def test_a_run_that_was_interrupted_goes_on_and_ends_as_if_nothing_had_been(folder: Path) -> None:
    write(folder, ("ScriptedLM(reply)", "ScriptedLM(reply, latency_s=0.005)"))
    reference = lmprog(*COMPILE[:-1], "reference")
    with started(*COMPILE, "--concurrency", "1", until="the program takes") as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    before = recorded()

    again = lmprog(*COMPILE, "--concurrency", "1", "--json")

    assert reference.code == 0
    assert process.returncode == 130
    assert err == "interrupted. What was done is saved: the same command goes on from there.\n"
    assert before > 0
    assert sent(again) == recorded() - before
    assert Path("run/result.lmprog").read_bytes() == Path("reference/result.lmprog").read_bytes()


HANGING = """
async def metric(row, prediction) -> bool:
    hanging = row["number"] >= 50 and not os.environ.get("QUICK")
    for _ in range(2 * hanging):
        try:
            print("hanging", flush=True)
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            print("it does not want to end", flush=True)
"""


def test_a_second_ctrl_c_ends_the_process_at_once_and_leaves_nothing_damaged(folder: Path) -> None:
    write(folder, ("\ndef metric(row, prediction) -> bool:\n", HANGING), ("import os\n", "import asyncio\nimport os\n"))
    with started(*COMPILE, until="hanging") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout
        next(line for line in process.stdout if "it does not want to end" in line)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON_S)
    before = recorded()

    again = lmprog(*COMPILE, "--json", env={"QUICK": "1"})

    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("interrupted at once. What was done is saved")
    assert "Traceback" not in err
    assert before > 0
    assert sent(again) == recorded() - before


def test_code_of_the_user_s_that_hangs_does_not_hold_up_the_end(folder: Path) -> None:
    write(folder, ('return row["answer"]', 'time.sleep(600 * (row["number"] >= 50))\n    return row["answer"]'))
    with started(*COMPILE, until="the program takes") as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON_S)

    assert process.returncode == 130
    assert err == "interrupted. What was done is saved: the same command goes on from there.\n"


def test_ctrl_c_while_a_file_is_loaded_needs_no_traceback(folder: Path) -> None:
    write(folder, more='print("waiting", flush=True)\ntime.sleep(600)\n')
    with started(*COMPILE, until="waiting") as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON_S)

    assert process.returncode == 130
    assert err == "interrupted.\n"


def test_a_reader_that_leaves_stops_the_run_saved(folder: Path) -> None:
    write(folder, ("ScriptedLM(reply)", "ScriptedLM(reply, latency_s=0.005)"))
    with started(*COMPILE, "--concurrency", "1", until="the program takes") as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=SOON_S)
    before = recorded()

    assert process.returncode == 130
    assert err.startswith("stopped: the reader of the output has left. What was done is saved")
    assert "Traceback" not in err
    assert sent(lmprog(*COMPILE, "--json")) == recorded() - before


def test_a_reader_of_a_list_may_leave_without_a_word() -> None:
    command = f"{sys.executable} -m lmprog optimizers | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)

    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_folder_of_out_is_made_at_the_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = here(capsys, *COMPILE, "--out", "new/folder/adding.lmprog")

    assert ended.code == 0
    assert Path("new/folder/adding.lmprog").read_bytes() == Path("run/result.lmprog").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_cannot_be_written_is_said_at_the_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("closed").mkdir(mode=0o500)

    fails(here(capsys, *COMPILE, "--out", "closed/adding.lmprog"), 2, "permission denied")
    fails(here(capsys, *COMPILE[:-1], "closed/run"), 2, "closed/run cannot be made: Permission denied")
    fails(here(capsys, *COMPILE[:-1], "closed"), 2, "closed/lock cannot be written: Permission denied")


def test_a_lock_that_cannot_be_made_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run/lock").mkdir(parents=True)

    fails(here(capsys, *COMPILE), 2, "run/lock cannot be written: Is a directory. Give another --run-dir.")


@pytest.mark.parametrize(
    ("argv", "more", "kind", "code", "says"),
    [
        (["--budget", "calls=20"], CONFIGURED, "InputError", 2, "is too small"),
        (["--budgt", "light"], CONFIGURED, "UsageError", 2, "No such option"),
        ([], "", "ScopeError", 2, "there is no LM"),
        ([], "import nowhere\n", "InputError", 2, "ModuleNotFoundError"),
        ([], 'TASK = lp.Task("a", Adder, metric, lambda: {}[3], "x", lms=("tiny",))\n', "KeyError", 1, "KeyError: 3"),
    ],
)
def test_with_json_a_failure_is_one_object_on_standard_output(
    folder: Path, argv: Sequence[str], more: str, kind: str, code: int, says: str
) -> None:
    write(folder, more=more)

    ended = lmprog(*COMPILE, *argv, "--json")

    error = json.loads(ended.out)["error"]
    assert ended.code == error["exit"] == code
    assert error["kind"] == kind
    assert says in error["message"]
    assert says in ended.err


def test_with_json_an_interruption_is_one_object_too(folder: Path) -> None:
    write(folder, ("ScriptedLM(reply)", "ScriptedLM(reply, latency_s=0.005)"))
    process = subprocess.Popen(
        [sys.executable, "-m", "lmprog", *COMPILE, "--json", "--concurrency", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr and process.stdout
        next(line for line in process.stderr if "the program takes" in line)
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()

    error = json.loads(out)["error"]
    assert process.returncode == error["exit"] == 130
    assert error["kind"] == "Interrupted"
    assert "What was done is saved" in error["message"]


def test_with_json_what_the_user_s_code_prints_does_not_spoil_the_object(folder: Path) -> None:
    ended = lmprog(*COMPILE, "--json")

    assert json.loads(ended.out)["shipped"] == "compiled"
    assert "loaded\n" in ended.err


def test_run_says_that_nothing_came_on_standard_input(
    artifact: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    capsys.readouterr()

    ended = here(capsys, "run", artifact, "--program", "qa.py:Adder")

    fails(ended, 2, "there is nothing to run on: no line came on standard input. Write number=VALUE")


def test_run_answers_the_rows_before_the_one_that_ends_it(artifact: str, folder: Path) -> None:
    refusing = '    if number == 3:\n        raise lp.AuthError("the key was refused")\n    return {'
    write(folder, ("    return {", refusing))

    lines = "".join(f'{{"number": {n}}}\n' for n in range(1, 5))
    ended = lmprog("run", artifact, "--program", "qa.py:Adder", "--json", stdin=lines)

    first, second, error = map(json.loads, ended.out.splitlines())
    assert ended.code == 2
    assert (first, second) == ({"answer": "2"}, {"answer": "3"})
    assert error["error"]["kind"] == "AuthError"


def test_a_text_that_standard_output_cannot_hold_is_shown_all_the_same(artifact: str, folder: Path) -> None:
    write(folder, ('{"answer": str(number + 1) if', '{"answer": "süß" if'))
    run, ascii_only = ("run", artifact, "--program", "qa.py:Adder", "number=7"), {"PYTHONIOENCODING": "ascii"}

    assert lmprog(*run, env=ascii_only).out == "loaded\nanswer: s\\xfc\\xdf\n"
    assert json.loads(lmprog(*run, "--json", env=ascii_only).out) == {"answer": "süß"}
    assert lmprog(*run, "--json").out == '{"answer": "süß"}\n'


def test_no_rows_keeps_what_stands_in_rows_out_of_report_and_screen(folder: Path) -> None:
    write(folder, ('"answer": str(n + 1)}', '"answer": f"row text {n}"}'), ("str(number + 1)", 'f"row text {number}"'))
    plain = lmprog(*COMPILE)
    with_rows = Path("run/report.html").read_text()

    hidden = lmprog(*COMPILE, "--no-rows", "--json")
    on_screen = lmprog(*COMPILE, "--no-rows")

    assert "row text" in with_rows
    assert "row text" in plain.out
    assert sent(hidden) == 0
    assert "row text" not in Path("run/report.html").read_text()
    assert "row text" not in hidden.out + hidden.err + on_screen.out
    assert "demos 0 -> 16" in on_screen.out
    assert any("row text" in str(demo) for demo in read_artifact("run/result.lmprog").params["add"].demos)
    assert b"row text" not in read_artifact("run/result.lmprog").entries["report.html"]


@pytest.mark.parametrize("command", ["compile", "plan"])
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (RETURN, "raise KeyError(row)", "the metric raised KeyError (qa.py, line 39, in metric)."),
        (RETURN, "return [row]", "the metric returned a list."),
        (RETURN, "return 7", "the metric returned 7."),
        (
            "return self.add(number=number)",
            'raise KeyError(f"row text {number}")',
            "the program failed on 4 of 4 rows, by exceptions in its own code. The first: KeyError (qa.py, line 24, in forward).",
        ),
    ],
)
def test_no_rows_keeps_what_stands_in_rows_out_of_errors(
    folder: Path, command: str, line: str, code: str, said: str
) -> None:
    write(
        folder,
        ('"answer": str(n + 1)}', '"answer": f"row text {n}"}'),
        ("str(number + 1)", 'f"row text {number}"'),
        (line, code),
    )

    plain, hidden = lmprog(command, *COMPILE[1:]), lmprog(command, *COMPILE[1:], "--no-rows")

    assert plain.code == hidden.code != 0
    assert "row text" in plain.err
    assert "row text" not in hidden.out + hidden.err
    assert hidden.err.startswith(f"error: {said}")
