"""README says what is true: its code stands in examples/, and every example runs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from openai_server import serving

from lmprog.data import fields_in
from lmprog.task import find_task

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OPTION = {"train": "--data", "val": "--val", "holdout": "--holdout"}
INCLUDED = re.findall(r"<!-- (examples/\w+\.py)(?: (\w+))? -->\n```python\n(.*?)```", README, re.DOTALL)


def part_of(path: str, section: str) -> str:
    """The lines of an example between each `# [section]` and `# [end]`, imports set apart as ruff does; or the whole file."""
    text = (ROOT / path).read_text()
    if not section:
        return text
    pieces = re.findall(rf"^ *# \[{section}\]\n(.*?)^ *# \[end\]", text, re.DOTALL | re.MULTILINE)
    return "\n\n\n".join(dedent(piece).strip("\n") for piece in pieces) + "\n"


def test_all_code_in_readme_is_included_from_examples() -> None:
    assert len(INCLUDED) == README.count("```python")


@pytest.mark.parametrize(("path", "section", "code"), INCLUDED)
def test_code_in_readme_is_the_example_word_for_word(path: str, section: str, code: str) -> None:
    assert code == part_of(path, section)


def test_every_name_in_readme_s_code_is_imported_or_defined_above(tmp_path: Path) -> None:
    for number, (path, _, code) in enumerate(INCLUDED):
        above = "".join(other for at, _, other in INCLUDED[:number] if at == path)
        (tmp_path / f"block{number}.py").write_text(above + code)

    words = ["check", "--isolated", "--select", "F821", "--config", 'builtins = ["base_url"]', str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "ruff", *words], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_runs(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 0, done.stderr


FEW_ROWS = {"train": 8, "val": 6, "holdout": 6}
CHEAPLY = [
    "--budget",
    "calls=100",
    "--gate",
    "none",
    *(word for part in FEW_ROWS for word in (OPTION[part], f"{part}.jsonl")),
]
"""What is put behind a compile of README: a few of the task's rows and calls, so that it takes seconds."""


HUB = "local/Qwen/Qwen3-8B"
"""The model in the commands for GPUs, for which a small one stands here."""
QA = """
import lmprog as lp
from test_local import METRIC, Sorter, things

def load():
    rows = things()
    return lp.Splits(tuple(rows[:28]), tuple(rows[28:36]), tuple(rows[36:]))

TASK = lp.Task("qa", Sorter, METRIC, load, "fruit or tool")
"""

LONGEST_S = 300.0
"""A command that has not ended by then never will."""


def shown_commands() -> list[str]:
    """The command lines in README, those of `make` as the Makefile has them."""
    shell = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    commands: list[str] = []
    for line in shell:
        if line.startswith("make "):
            recipe = subprocess.run(
                ["make", "-n", *line.split()[1:]], capture_output=True, text=True, cwd=ROOT, check=True
            )
            commands += re.findall(r"^\S*\b(lmprog .*)", recipe.stdout, re.MULTILINE)
        elif line and not line.startswith(("#", "export ")):
            commands.append(line)
    return commands


def write_rows(folder: Path) -> None:
    splits = find_task("multihop").load()
    for part, count in FEW_ROWS.items():
        rows = [dict(fields_in(row)) for row in getattr(splits, part)[:count]]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_command_in_readme_runs(tmp_path: Path) -> None:
    write_rows(tmp_path)

    with serving() as server:  # stands for every provider that README names
        environment = os.environ | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "a-key-of-nobody"}
        for command in shown_commands():
            program, *argv = shlex.split(command.replace("http://localhost:11434/v1", server.url))
            assert program == "lmprog", f"{command}: this test knows lmprog and make"
            if argv[:2] == ["lm", "serve"] or HUB in argv:
                continue
            cheaply = CHEAPLY if argv[0] == "compile" else []
            words = [sys.executable, "-m", "lmprog", *argv, *cheaply]
            done = subprocess.run(
                words, capture_output=True, text=True, cwd=tmp_path, env=environment, input="", timeout=LONGEST_S
            )
            assert done.returncode in ((0, 3) if argv[0] == "compile" else (0,)), (
                f"{command}\n{done.stdout}{done.stderr}"
            )
            assert done.stdout


def test_the_server_in_readme_starts() -> None:
    (command,) = [command for command in shown_commands() if command.startswith("lmprog lm serve")]
    argv = shlex.split(command.replace("--port 8000", "--port 0"))[1:]

    with subprocess.Popen([sys.executable, "-m", "lmprog", *argv], stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        said = served.stdout.readline()
        served.terminate()

    assert "answers OpenAI's chat protocol on http://127.0.0.1:" in said


def test_readme_s_own_compile_is_what_make_demo_does() -> None:
    assert any(command.startswith("lmprog compile multihop --lm tiny") for command in shown_commands())


def test_the_commands_for_gpus_train_in_one_process_and_in_two_and_merge(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    from test_local import corpus, write_model

    base = write_model(tmp_path / "base", corpus=corpus(), max_position_embeddings=320)
    (tmp_path / "qa.py").write_text(QA)
    several, in_parts = ":steps=40,rate=0.01,attempts=1", ":processes=2,steps=2"
    cheaply = ["--budget", "calls=300", "--gate", "none"]

    commands = [command for command in shown_commands() if HUB in command]
    for command in commands:
        command = command.replace(HUB, f"local/{base}").replace("finetune:processes=4", f"finetune{in_parts}")
        command = command.replace("-> finetune ->", f"-> finetune{several} ->")
        argv = shlex.split(command)[1:]
        words = [sys.executable, "-m", "lmprog", *argv, *(cheaply if argv[0] == "compile" else [])]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=LONGEST_S)
        assert done.returncode in (0, 3), f"{command}\n{done.stdout}{done.stderr}"

    assert len(commands) == 3
    assert len(list(tmp_path.glob("runs/*/training/*/done.json"))) == 2
    assert {"config.json", "model.safetensors", "program.lmprog", "tokenizer.json"} <= {
        path.name for path in (tmp_path / "tuned").iterdir()
    }
