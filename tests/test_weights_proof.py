"""The proof of weights in seconds: every schedule of one small cell, what is recorded, and what is claimed of it."""

import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from lmprog.lm.tiny.client import shared

sys.path.insert(0, str(Path(__file__).parent / "prove"))
proof: Any = importlib.import_module("weights")  # a script, and no part of a package

SMALL = {
    "seeds": [1],
    "calls": 150,
    "rows": {"train": 16, "val": 8, "holdout": 10},
    "programs": {"label-map": "one call"},
    "schedules": {"alone": ["p", "w"], "alternations": ["wp"]},
    "stages": {"p": "bootstrap-random-search:candidates=1", "w": "finetune:steps=3,batch=4,rank=2"},
    "control": {"optimizer": "bootstrap-random-search:candidates=2", "calls": 200},
}


def small() -> Any:
    return replace(proof.read_spec(proof.SPEC), **SMALL)


def test_a_cell_runs_every_schedule_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "RUNS", tmp_path)

    line = proof.run_cell("label-map/1", small(), shared())
    again = proof.run_cell("label-map/1", small(), shared())

    assert list(line["schedules"]) == ["uncompiled", "p", "w", "wp", "auto", "control"]
    assert {**again, "seconds": 0} == {**line, "seconds": 0}
    assert line["schedules"]["w"]["trained_tokens"] > 0 == line["schedules"]["p"]["trained_tokens"]
    assert all(len(one["rows"]) == 10 for one in line["schedules"].values())
    assert line["schedules"]["auto"]["val"] == max(line["schedules"][name]["val"] for name in ("p", "w", "wp"))
    assert "| w -> p |" in proof.table({"label-map/1": line}, small())


def found(scores: Mapping[str, float]) -> dict[str, Any]:
    """Return lines of five seeds whose rows score 1 in these shares, shifted by the seed."""
    return {
        f"label-map/{seed}": {
            "schedules": {
                name: {"rows": [float(number < 100 * share - seed % 3) for number in range(100)]}
                for name, share in scores.items()
            }
        }
        for seed in range(1, 6)
    }


@pytest.mark.parametrize(
    ("scores", "held"),
    [
        ({"uncompiled": 0.2, "p": 0.4, "w": 0.6, "auto": 0.8}, [True, True, True]),
        ({"uncompiled": 0.2, "p": 0.6, "w": 0.6, "auto": 0.6}, [True, True, False]),
        ({"uncompiled": 0.5, "p": 0.6, "w": 0.5, "auto": 0.3}, [False, False, False]),
    ],
)
def test_claims_hold_only_where_the_figures_do(scores: Mapping[str, float], held: list[bool]) -> None:
    assert [holds for _, holds in proof.claims(found(scores), small())] == held


def test_only_cells_of_the_same_settings_and_weights_count(tmp_path: Path) -> None:
    spec, out = small(), tmp_path / "weights.jsonl"
    line: dict[str, Any] = {"cell": "label-map/1", "identity": spec.identity("label-map/1", "tiny-1"), "schedules": {}}
    out.write_text(json.dumps(line) + "\n")

    assert list(proof.recorded(out, spec, "tiny-1")) == ["label-map/1"]
    assert not proof.recorded(out, spec, "tiny-2")
    assert not proof.recorded(out, replace(spec, calls=151), "tiny-1")
