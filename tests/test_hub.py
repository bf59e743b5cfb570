"""Published data sets: read with the library `datasets`, here from folders in the hub's layout; errors say how to go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmprog as lp
from lmprog.hub import Hub, Repository

datasets: Any = pytest.importorskip("datasets")

FIRST: dict[str, Any] = {"question": "1 + 1?", "parts": {"title": ["a", "b"]}}
SECOND: dict[str, Any] = {"question": "2 + 2?", "parts": {"title": []}}


@pytest.fixture(autouse=True)
def caches_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of two splits, in tables as the hub keeps them."""
    made = tmp_path / "data"
    made.mkdir()
    for split, rows in {"train": [FIRST, SECOND], "test": [SECOND]}.items():
        datasets.Dataset.from_list(rows).to_parquet(made / f"{split}.parquet")
    return made


def test_rows_come_as_published_with_nested_fields(folder: Path) -> None:
    rows = Hub(str(folder)).rows("train")

    assert len(rows) == 2
    assert [rows[0], rows[1]] == [FIRST, SECOND]
    assert [*Hub(str(folder)).rows("test")] == [SECOND]


def test_a_folder_that_the_library_saved_is_a_data_set_too(tmp_path: Path) -> None:
    rows = datasets.DatasetDict({"train": datasets.Dataset.from_list([FIRST])})
    rows.save_to_disk(tmp_path / "saved")

    assert [*Hub(str(tmp_path / "saved")).rows("train")] == [FIRST]


def test_a_configuration_is_read_by_its_name(tmp_path: Path) -> None:
    for name, row in {"easy": FIRST, "hard": SECOND}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        datasets.Dataset.from_list([row]).to_parquet(tmp_path / "data" / name / "train.parquet")
    (tmp_path / "data" / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(f"- config_name: {name}\n  data_files: {name}/train.parquet\n" for name in ("easy", "hard"))
        + "---\n"
    )

    assert [*Hub(str(tmp_path / "data"), "hard").rows("train")] == [SECOND]


@pytest.mark.parametrize(
    ("config", "split", "says"),
    [
        ("", "dev", r"data, split 'dev', cannot be read: Unknown split \"dev\"\. Should be one of \[.*'test'.*\]\.$"),
        (
            "hard",
            "train",
            r"data hard, split 'train', cannot be read: .*'hard' not found\. Available: \['default'\]\.$",
        ),
    ],
)
def test_what_a_data_set_does_not_have_is_named_with_what_it_has(
    folder: Path, config: str, split: str, says: str
) -> None:
    with pytest.raises(lp.DataError, match=says):
        Hub(str(folder), config).rows(split)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(lp.DataError, match=r"nowhere at main, split 'train', cannot be read: .*nowhere\.$"):
        Hub(str(tmp_path / "nowhere")).rows("train")


def test_a_data_set_published_as_a_script_is_pointed_to_the_hubs_own_tables(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("raise SystemExit('run')")

    with pytest.raises(lp.DataError, match=r"scripts are no longer supported.*Try revision=refs/convert/parquet\.$"):
        Hub(str(tmp_path / "old")).rows("train")


def test_without_the_library_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(lp.DataError, match=r"library `datasets` .*: pip install 'lmprog\[datasets\]'\.$"):
        Hub("openai/gsm8k", "main").rows("train")


def test_without_a_network_a_command_says_how_to_go_on(tmp_path: Path) -> None:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lmprog", "compile", "gsm8k:revision=abc", "--lm", "tiny"]

    done = subprocess.run(command, capture_output=True, text=True, env=offline, cwd=tmp_path, timeout=120)

    assert done.returncode == 2
    assert done.stderr.startswith("error: openai/gsm8k main at abc, split 'test': it cannot be reached")
    for part in ("Run this once with a network.", "--data FILE", "`question`, `answer`"):
        assert part in done.stderr


def test_tables_of_a_repository_are_read_in_turn_with_every_cell_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\nwho?,None\nwhat?,NA\n")
    (tmp_path / "b.csv").write_text("question,answer,note\nwhen?,1989,\n")
    repository = Repository(str(tmp_path), "abc", (("train", ("a.csv", "b.csv")), ("test", ("b.csv",))))

    rows = repository.rows("train")

    assert [(row["question"], str(row["answer"])) for row in rows] == [
        ("who?", "None"),
        ("what?", "NA"),
        ("when?", "1989"),
    ]
    assert [row["note"] for row in repository.rows("test")] == [""]


def test_a_file_that_a_repository_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(lp.DataError, match=r"a\.csv, cannot be read: "):
        Repository(str(tmp_path), "abc", (("train", ("a.csv",)),)).rows("train")


def test_a_data_set_is_known_by_its_name_and_revision_and_a_folder_by_its_name(tmp_path: Path) -> None:
    assert Hub("a/b", "c", "d").facts() == {"dataset": "a/b", "config": "c", "revision": "d"}
    assert str(Hub("a/b", "c", "d")) == "a/b c at d"
    assert Repository("a/b", "d", ()).facts() == {"dataset": "a/b", "revision": "d"}
    assert Hub(str(tmp_path)).facts() == {"dataset": str(tmp_path), "config": ""}
    assert str(Hub(str(tmp_path))) == str(tmp_path)
