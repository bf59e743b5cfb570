"""The command line does the work, says what is wrong and where, and tells scripts by its exit code."""

import io
import json
import math
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lmprog as lp
from lmprog.cli import main
from lmprog.optimizer import named
from lmprog.registry import names, written_options
from lmprog.task import find_task, options_of, tasks
from lmprog.testing import ScriptedLM

TASK_FILE = '''
import lmprog as lp
from lmprog.data import Splits
from lmprog.testing import Asked, ScriptedLM


class Add(lp.Signature):
    """Add one."""

    number: int = lp.InputField()
    answer: str = lp.OutputField()


class Adder(lp.Module):
    def __init__(self, by: int = 1) -> None:
        self.add = lp.Predict(Add)

    def forward(self, number: int) -> Add:
        return self.add(number=number)


calls = 0


def reply(asked: Asked) -> dict[str, object]:
    """Right where a demo shows how, and at every fourth number."""
    global calls
    calls += 1
    number = int(asked.inputs["number"])
    knows = bool(asked.demos) or number % 4 == 0
    return {"answer": str(number + 1) if knows else "?"}


def load() -> Splits:
    rows = [{"number": n, "answer": str(n + 1)} for n in range(120)]
    return Splits(tuple(rows[:40]), tuple(rows[40:80]), tuple(rows[80:]))


def metric(row, prediction) -> bool:
    return row["answer"] == prediction.answer


def program() -> Adder:
    return Adder(by=1)


LM = ScriptedLM(reply)
NAMES = ["not a task"]
TASK = lp.Task("adding", Adder, metric, load, "adds one")
'''
SUM = '''
lp.configure(lm=LM)


class Sum(lp.Signature):
    """Add two."""

    number: int = lp.InputField()
    by: int = lp.InputField()
    answer: str = lp.OutputField()


def sums() -> Splits:
    parts = [tuple({**row, "by": 1} for row in part) for part in (load().train, load().val, load().holdout)]
    return Splits(*parts)


SUM = lp.Task("summing", lambda: lp.Predict(Sum), metric, sums, "adds two")
'''
QUICK = ["--optimizer", "labeled-few-shot", "--run-dir", "run"]


@pytest.fixture(autouse=True)
def no_lm_is_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LMPROG_LM", raising=False)
    yield
    lp.configure(lm=None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a task in qa.py."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(folder: Path, *, changes: tuple[str, str] = ("", ""), more: str = "lp.configure(lm=LM)\n") -> None:
    text = TASK_FILE.replace(*changes) if changes[0] else TASK_FILE
    (folder / "qa.py").write_text(text + more)


def write_rows(path: Path, rows: int) -> None:
    path.write_text("".join(json.dumps({"number": n, "answer": str(n + 1)}) + "\n" for n in range(rows)))


def failing(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Run a command that fails, and return its exit code and the first line that it says."""
    code = main(argv)

    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    return code, first


def test_compile_tells_the_gain_the_changes_and_where_everything_lies(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["compile", "qa.py:TASK", *QUICK, "--out", "adding.lmprog"])

    out = capsys.readouterr().out
    assert code == 0
    assert "baseline 0.25 -> 1.00, gain +0.75" in out
    assert "demos 0 -> " in out
    assert "number: " in out
    for path in ("run/result.lmprog", "run/report.html", "adding.lmprog"):
        assert path in out
        assert (folder / path).is_file()


def test_progress_in_a_pipe_is_plain_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compile", "qa.py:TASK", *QUICK])

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    for line in ("the program takes 1 call a row", "scores 0.25 on 40 validation rows", "new best 1.00"):
        assert line in out


def test_json_is_one_object_on_standard_output_and_all_else_goes_to_standard_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["compile", "qa.py:TASK", *QUICK, "--json"])

    out, err = capsys.readouterr()
    data = json.loads(out)
    assert code == 0
    assert data["shipped"] == "compiled"
    assert data["certificate"]["gain"] == 0.75
    assert Path(data["artifact"]).is_file()
    assert Path(data["report"]).is_file()
    assert data["spent"]["sent"]["task"]["calls"] > 0
    assert "new best" in err


def test_a_finished_run_returns_with_no_call(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compile", "qa.py:TASK", *QUICK, "--json"])
    first = json.loads(capsys.readouterr().out)

    code = main(["compile", "qa.py:TASK", *QUICK])

    assert code == 0
    assert "0 now: this run was finished before" in capsys.readouterr().out
    main(["compile", "qa.py:TASK", *QUICK, "--json"])
    again = json.loads(capsys.readouterr().out)
    assert again["certificate"] == first["certificate"]
    assert again["spent"]["sent"]["task"]["calls"] == 0


def test_a_finished_run_prints_fields_in_the_order_of_the_signature_as_the_first_did(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, more=SUM)
    main(["compile", "qa.py:SUM", *QUICK])
    first = capsys.readouterr().out

    main(["compile", "qa.py:SUM", *QUICK])

    again = capsys.readouterr().out
    shown = first[first.index("  demos 0 -> ") : first.index("artifact  ")]
    assert re.search(r"  1\. number: \d+\n     by: 1\n   -> answer: ", shown)
    assert shown in again


def test_the_exit_code_tells_that_the_baseline_shipped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, changes=("bool(asked.demos)", "False"))

    code = main(["compile", "qa.py:TASK", *QUICK])

    assert code == 3
    assert "ships as it was" in capsys.readouterr().out


def test_rows_may_come_from_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(folder / "rows.jsonl", 120)

    code = main(["compile", "qa.py:TASK", *QUICK, "--data", "rows.jsonl", "--json"])

    splits = json.loads(capsys.readouterr().out)["certificate"]["splits"]
    assert code == 0
    assert {part: split["rows"] for part, split in splits.items()} == {"train": 48, "val": 36, "holdout": 36}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["compile", "nowhere.py:TASK"], "there is no file 'nowhere.py'"),
        (["compile", "qa.py"], "write qa.py:NAME, where NAME is a Task. It has TASK"),
        (["compile", "qa.py:"], "write qa.py:NAME"),
        (["compile", "qa.py:TSK"], "nothing called 'TSK'. It has TASK"),
        (["compile", "qa.py:NAMES"], "is a list and not a Task"),
        (["compile", "qa.py:Adder"], "is a type and not a Task"),
        (["compile", "multihopp"], "'multihopp'"),
        (["compile", "qa.py:TASK", "--optimizer", "miprov2"], "bootstrap-random-search"),
        (["compile", "qa.py:TASK", "--optimizer", "mipro:trails=3"], "has no option ['trails']"),
        (["compile", "qa.py:TASK", "--lm", "gpt"], "'gpt'"),
        (["compile", "qa.py:TASK", "--teacher", "gpt"], "'gpt'"),
        (["compile", "qa.py:TASK", "--gate", "maybe"], "no-harm"),
        (["compile", "qa.py:TASK", "--budget", "3000"], "write one of light, medium, heavy"),
        (["compile", "qa.py:TASK", "--budget", "calls=many"], "calls='many' is not a whole number"),
        (["compile", "qa.py:TASK", "--budget", "call=3"], "calls, tokens, usd, seconds"),
        (["compile", "qa.py:TASK", "--budget", "calls=0"], "above 0"),
        (["compile", "qa.py:TASK", "--budget", "calls=20"], "too small"),
        (["compile", "qa.py:TASK", "--concurrency", "0"], "--concurrency"),
        (["compile", "qa.py:TASK", "--seed", "x"], "--seed"),
        (["compile", "qa.py:TASK", "--data", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["compile"], "TASK_OR_FILE"),
        (["compil", "qa.py:TASK"], "compil"),
        (["show", "nowhere.lmprog"], "nowhere.lmprog cannot be read"),
        (["show", "qa.py"], "qa.py"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named_with_what_would_be_right(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    code, first = failing(capsys, *argv)

    assert code == 2
    assert says.lower() in first.lower()


@pytest.mark.parametrize(
    ("code_at_fault", "says"),
    [
        ("x = undefined\n", "NameError: name 'undefined' is not defined"),
        ("def broken(:\n", "SyntaxError"),
        ("class Wrong(lp.Signature):\n    q: str = lp.OutputField()\n    x: object = lp.InputField()\n", "`x`"),
        (
            'lp.configure(lm=LM)\nTASK = lp.Task("bad", lambda: 3, metric, load, "no program")\n',
            "gives a int, which is no program",
        ),
    ],
)
def test_a_file_that_does_not_load_is_named_with_its_fault(
    folder: Path, capsys: pytest.CaptureFixture[str], code_at_fault: str, says: str
) -> None:
    write(folder, more=code_at_fault)

    code, first = failing(capsys, "compile", "qa.py:TASK")

    assert code == 2
    assert says in first


def test_a_task_that_names_no_lm_needs_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, more="")

    code, first = failing(capsys, "compile", "qa.py:TASK")

    assert code == 2
    assert "there is no LM" in first
    assert "--lm tiny" in first


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "`rows.jsonl` is empty"),
        ('{"number": 1, "answer": "2"}\n{"number": 2\n', "rows.jsonl, line 2 is not JSON"),
        ('{"number": 1, "answer": "2"}\n\n[1]\n', "rows.jsonl, line 3 is not an object"),
        ('{"number": 1, "answer": "2"}\n{"nummer": 2}\n', "`rows.jsonl`, row 1 has no `number`"),
    ],
)
def test_a_bad_file_of_rows_is_named_with_the_place(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
) -> None:
    (folder / "rows.jsonl").write_text(content)

    code, first = failing(capsys, "compile", "qa.py:TASK", "--data", "rows.jsonl")

    assert code == 2
    assert says in first


def test_too_few_rows_are_refused_with_the_number_needed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(folder / "rows.jsonl", 20)

    code, first = failing(capsys, "compile", "qa.py:TASK", "--data", "rows.jsonl")

    assert code == 2
    assert "100 rows or more" in first


@pytest.mark.parametrize(
    ("metric", "says"),
    [('return row["gold"] == 1', "KeyError: 'gold'"), ("return 7.0", "returned 7.0")],
)
def test_a_broken_metric_is_a_bug_and_shows_the_row(
    folder: Path, capsys: pytest.CaptureFixture[str], metric: str, says: str
) -> None:
    write(folder, changes=('return row["answer"] == prediction.answer', metric))

    code, first = failing(capsys, "compile", "qa.py:TASK", *QUICK)

    assert code == 1
    assert says in first
    assert "'number': " in first


def test_an_exception_in_the_task_s_own_code_shows_its_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, changes=("rows = [", 'raise KeyError("rows")\n    rows = ['))

    code = main(["compile", "qa.py:TASK", *QUICK])

    err = capsys.readouterr().err
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1] == "KeyError: 'rows'"
    assert re.findall(r'File ".*/(.*)", line', err) == ["qa.py"]


def test_a_cap_that_is_hit_before_any_certificate_has_its_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, first = failing(capsys, "compile", "qa.py:TASK", *QUICK, "--budget", "seconds=0.000001")

    assert code == 5
    assert "the cap of 1e-06 seconds is reached" in first
    assert "with a larger budget and `--run-dir run` the run goes on" in first


@pytest.mark.parametrize(("answered", "expected"), [(0, 2), (30, 4)], ids=["at the start", "later"])
def test_a_lost_lm_is_told_apart_from_one_that_never_answered(
    folder: Path, capsys: pytest.CaptureFixture[str], answered: int, expected: int
) -> None:
    refused = f'    if calls >= {answered}:\n        raise lp.AuthError("the key was refused")\n    calls += 1\n'
    write(folder, changes=("    calls += 1\n", refused))

    code, first = failing(capsys, "compile", "qa.py:TASK", *QUICK)

    assert code == expected
    assert "the key was refused" in first


def test_errors_show_where_they_come_from_on_demand(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMPROG_DEBUG", "1")

    main(["compile", "qa.py:TASK", "--budget", "3000"])

    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_run_has_told_what_happened_and_goes_on_with_the_same_command(folder: Path) -> None:
    write(folder, changes=("ScriptedLM(reply)", "ScriptedLM(reply, latency_s=0.02)"))
    command = [sys.executable, "-m", "lmprog", "compile", "qa.py:TASK", *QUICK, "--concurrency", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "the program takes" in line:
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate()

    again = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=folder, check=True)

    assert process.returncode == 130
    assert err.startswith("interrupted. What was done is saved")
    spent = json.loads(again.stdout)["spent"]
    assert spent["sent"]["task"]["calls"] < spent["requested"]["task"]["calls"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The artifact of the program in qa.py, made once."""
    folder = tmp_path_factory.mktemp("compiled")
    write(folder)
    assert main(["compile", f"{folder}/qa.py:TASK", *QUICK[:2], "--run-dir", str(folder / "run")]) == 0
    return (folder / "run" / "result.lmprog").read_bytes()


@pytest.fixture
def artifact(compiled: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A compiled artifact of the program in qa.py, beside that."""
    (folder / "adding.lmprog").write_bytes(compiled)
    capsys.readouterr()
    return "adding.lmprog"


def test_show_tells_what_an_artifact_holds(artifact: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["show", artifact])

    out = capsys.readouterr().out
    assert code == 0
    for part in ("qa", "Adder", "gain +0.75", "scripted", "pydantic", "Add one.", "16 demos", "answer: "):
        assert part in out


def test_show_has_fields_in_the_order_of_the_signatures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, outputs = find_task("multihop").program(), {"answer": "A", "reasoning": "R"}
    demo = lp.Demo(inputs={"passages": ["P"], "question": "Q"}, outputs=outputs)
    shown = lp.with_params(program, lp.params_of(program).replace("answer", demos=(demo,)))

    code = main(["show", str(lp.save(shown, tmp_path / "a.lmprog"))])

    assert code == 0
    assert (
        "  1. question: Q\n     passages: [1 entry] P\n   -> reasoning: R\n   -> answer: A\n" in capsys.readouterr().out
    )


def test_show_as_json_is_the_manifest(artifact: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", artifact, "--json"])

    manifest = json.loads(capsys.readouterr().out)
    assert manifest["format"] == 1
    assert manifest["certificate"]["gain"] == 0.75


@pytest.mark.parametrize("program", ["Adder", "program", "TASK"])
@pytest.mark.parametrize("inputs", [["number=7"], ["--input", '{"number": 7}']])
def test_run_answers_as_the_compiled_program(
    artifact: str, capsys: pytest.CaptureFixture[str], program: str, inputs: list[str]
) -> None:
    code = main(["run", artifact, "--program", f"qa.py:{program}", *inputs])

    assert code == 0
    assert capsys.readouterr().out == "answer: 8\n"


def test_run_answers_each_line_of_standard_input_in_order(
    artifact: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(json.dumps({"number": n, "answer": "a label"}) + "\n" for n in range(40))
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))

    code = main(["run", artifact, "--program", "qa.py:TASK", "--json"])

    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert answers == [{"answer": str(n + 1)} for n in range(40)]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["number=7"], "add --program path.py:FACTORY"),
        (["--program", "qa.py:load", "number=7"], "gives a Splits, which is no program"),
        (["--program", "qa.py:metric", "number=7"], "cannot be called with nothing"),
        (["--program", "qa.py:TASK", "numer=7"], "`numer` is not an input, `number` is missing"),
        (["--program", "qa.py:TASK", "number=7", "number=8"], "`number` is given twice. Write each input once."),
        (["--program", "qa.py:TASK", "number=seven"], "number='seven' is no int"),
        (["--program", "qa.py:TASK", "seven"], "number=VALUE"),
        (["--program", "qa.py:TASK", "--input", "{"], "--input is not JSON"),
        (["--program", "qa.py:TASK", "--input", "7"], "--input is not an object"),
        (
            ["--program", "qa.py:TASK", "--input", '{"number": 1, "number": 2}'],
            "--input: `number` is given more than once",
        ),
        (
            ["--program", "qa.py:TASK", "--input", '{"number":' + "[" * 50_000],
            "--input is not JSON (it is nested too deep)",
        ),
        (["--program", "qa.py:TASK", "--lm", "gpt", "number=7"], "'gpt'"),
    ],
    ids=str,
)
def test_run_names_what_is_wrong_with_its_arguments(
    artifact: str, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    code, first = failing(capsys, "run", artifact, *argv)

    assert code == 2
    assert says in first


def test_no_output_that_run_prints_passes_for_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"answer": "no\nverdict: right\n\nanswer: yes\rverdict: right\u2028verdict: right", "verdict": "wrong"}
    path = lp.save(lp.Predict("question -> answer, verdict"), tmp_path / "a.lmprog")
    lp.configure(lm=ScriptedLM(lambda asked: said))

    assert main(["run", str(path), "question=q"]) == 0
    told = "answer: no\n  verdict: right\n  \n  answer: yes\n  verdict: right\n  verdict: right\nverdict: wrong\n"
    assert capsys.readouterr().out == told


def test_run_writes_json_that_every_reader_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lp.save(lp.Predict("question -> low: float, none: float, text"), tmp_path / "a.lmprog")
    said = {"low": -math.inf, "none": math.nan, "text": "\x9b31m\u202eüß"}
    lp.configure(lm=ScriptedLM(lambda asked: said))

    assert main(["run", str(path), "--json", "question=q"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {"low": "-Infinity", "none": "NaN", "text": "\x9b31m\u202eüß"}
    assert "üß" in out and not re.search("[\x80-\x9f\u202e]", out)


def test_run_needs_an_lm_where_the_recorded_one_is_not_embedded(
    artifact: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lp.configure(lm=None)
    write(folder, more="")

    code, first = failing(capsys, "run", artifact, "--program", "qa.py:TASK", "number=7")

    assert code == 2
    assert "was compiled for 'scripted'" in first


def test_a_reply_that_does_not_validate_fails_its_row_alone(
    artifact: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        folder,
        changes=("    calls += 1\n", "    calls += 1\n    if asked.inputs['number'] == '2':\n        return {}\n"),
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"number": 1}\n{"number": 2}\n{"number": 3}\n'))

    code = main(["run", artifact, "--program", "qa.py:TASK", "--json"])

    out, said = capsys.readouterr()
    first, second, third = map(json.loads, out.splitlines())
    assert code == 1
    assert "error: standard input, line 2: " in said
    assert (first, third) == ({"answer": "2"}, {"answer": "4"})
    assert list(second) == ["error"]


def test_tasks_are_listed_with_what_they_run_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    assert "multihop\t" in capsys.readouterr().out

    assert main(["tasks", "--json"]) == 0
    (multihop,) = [task for task in json.loads(capsys.readouterr().out) if task["name"] == "multihop"]
    assert "tiny" in multihop["lms"]


def test_a_task_is_told_with_the_values_and_defaults_of_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "hotpotqa"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("hotpotqa\ttwo-hop questions")
    assert {"k\twhole number\t3", "config\ttext\tdistractor", "train\twhole number\t500"} < set(lines)

    assert main(["tasks", "iris", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"name": "val", "values": "whole number", "default": "32"} in told["options"]

    assert main(["tasks", "hotpotqa:k=5"]) == 2
    assert "write the task alone, `lmprog tasks hotpotqa`" in capsys.readouterr().err

    assert main(["tasks", "nothing"]) == 2
    assert "there is no 'nothing' among the programs" in capsys.readouterr().err


@pytest.mark.parametrize("name", [task.name for task in tasks()])
def test_the_options_told_of_a_task_can_be_written_behind_its_name(name: str) -> None:
    said = {option.name: option.default for option in options_of(name) if option.default}

    again = find_task(f"{name}:{','.join(f'{option}={value}' for option, value in said.items())}")
    assert (again.source and again.source.told) == ((found := find_task(name)).source and found.source.told)


def test_optimizers_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimizers"]) == 0
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert "surrogate" in lines["mipro"]

    assert main(["optimizers", "--json"]) == 0
    options = {entry["name"]: entry["options"] for entry in json.loads(capsys.readouterr().out)}
    assert options.keys() == lines.keys()
    assert {"candidates", "formats"} <= set(options["mipro"])


def test_an_optimizer_is_told_with_what_its_options_mean_and_are_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimizers", "mipro"]) == 0
    said = capsys.readouterr().out
    assert '`surrogate` is "additive" or Optuna\'s "tpe"' in said
    options = dict(re.findall(r"^(\w+)\t(.*)$", said, re.MULTILINE))
    assert options["candidates"] == "whole number\t6"
    assert options["formats"] == "chat, json, xml, joined by +\t"
    assert options["trials"] == "whole number\t" and options["meta"] == "true, false\ttrue"
    assert options["context"].endswith("\tprogram+role+data+examples+instruction+history+tip")

    assert main(["optimizers", "mipro", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [option["name"] for option in told["options"]] == list(options)
    assert {"name": "surrogate", "values": "additive, tpe", "default": "additive"} in told["options"]


@pytest.mark.parametrize("name", names("optimizers"))
def test_the_options_told_of_an_optimizer_can_be_written_behind_its_name(name: str) -> None:
    said = {option.name: option.default for option in written_options(named(name))}

    spec = ",".join(f"{option}={value}" for option, value in said.items() if value and "," not in value)
    assert named(f"{name}:{spec}") == named(name)


def test_compile_has_every_option_that_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    main(["compile", "--help"])

    promised = (
        "--lm --proposer --teacher --judge --optimizer --budget --run-dir --seed --gate --concurrency --out --data --val "
        "--holdout --no-rows --json"
    )
    shown = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(promised.split()) <= shown


@pytest.mark.parametrize("argv", [["--help"], ["compile", "--help"], []])
def test_help_is_help_and_no_error(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert main(argv) == 0
    assert "Usage: lmprog" in capsys.readouterr().out
