"""README says what is true: its code stands in examples/, and every example runs."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
INCLUDED = re.findall(r"<!-- (examples/\w+\.py)(?: (\w+))? -->\n```python\n(.*?)```", README, re.DOTALL)


def part_of(path: str, section: str) -> str:
    """The lines between `# [section]` and `# [end]` of an example, or the whole file."""
    text = (ROOT / path).read_text()
    if not section:
        return text
    lines = text.split(f"# [{section}]\n", 1)[1].split("# [end]", 1)[0].rstrip(" ").strip("\n")
    return dedent(lines) + "\n"


def test_all_code_in_readme_is_included_from_examples() -> None:
    assert len(INCLUDED) == README.count("```python")


@pytest.mark.parametrize(("path", "section", "code"), INCLUDED)
def test_code_in_readme_is_the_example_word_for_word(path: str, section: str, code: str) -> None:
    assert code == part_of(path, section)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_runs(example: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 0, done.stderr


def test_readme_names_only_commands_that_exist() -> None:
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    named = set(re.findall(r"^lmprog (\w+)", shell, re.MULTILINE))
    assert named

    for command in sorted(named):
        done = subprocess.run([sys.executable, "-m", "lmprog", command, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
