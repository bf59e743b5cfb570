"""The head to head: what is compared, how a cell is run and counted, and what its table says."""

import ast
import asyncio
import importlib
import inspect
import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lmprog as lp
from lmprog.programs import multihop
from lmprog.testing import Asked, ScriptedLM

sys.path.insert(0, str(Path(__file__).parent / "bench"))
bench: Any = importlib.import_module("head_to_head")  # a script, and no part of a package

COSTS = {"calls": 7, "tokens": 90, "seconds": 1.0, "proposer_calls": 0, "tried": 0, "instructions": dict[str, str]()}
SIZES = {"train": 40, "val": 40, "holdout": 100}


def lines(scores: Mapping[str, Mapping[int, list[float]]], **more: Any) -> dict[str, dict[str, Any]]:
    """Return lines of one program by method and seed, as they are recorded."""
    return {
        f"label-map/{seed}/{method}": {
            "cell": f"label-map/{seed}/{method}", "code": "c", "machine": "m", "python": "p", "lm": "l", "lmprog": "1",
            "dspy": "3", "score": bench.mean(rows), "baseline": 0.0, "rows": rows, "baseline_rows": [0.0] * len(rows),
            "calls": 700, "tokens": 9000, "seconds": 12.0, "proposer_calls": 20, "tried": 10,
            "instructions": {"answer": "Say it."}, **more,
        }
        for method, by_seed in scores.items()
        for seed, rows in by_seed.items()
    }  # fmt: skip


def test_the_committed_spec_sets_three_programs_five_seeds_and_all_methods() -> None:
    spec = bench.Spec.read()

    cells = list(spec.cells())

    assert (len(spec.programs), len(spec.seeds), len(spec.names)) == (3, 5, 11)
    assert len({cell.key for cell in cells}) == len(cells) == 3 * 5 * 11
    assert set(spec.leaders) <= set(spec.names)


def test_each_seed_comes_with_every_program_and_method_before_the_next() -> None:
    spec = bench.Spec.read()

    seeds = [cell.seed for cell in spec.cells()]

    assert seeds == sorted(seeds)


@pytest.mark.parametrize("program", ["multihop", "label-map", "smallest-parity"])
def test_rows_follow_from_the_seed_alone_and_no_part_has_inputs_of_another(program: str) -> None:
    rows = bench.rows_of(program, 2, SIZES)

    asked = [next(iter(row.values())) for part in bench.PARTS for row in rows[part]]
    assert {part: len(rows[part]) for part in bench.PARTS} == SIZES
    assert len(set(asked)) == len(asked)
    assert rows == bench.rows_of(program, 2, SIZES)
    assert rows != bench.rows_of(program, 3, SIZES)


def test_a_label_map_is_another_for_each_seed() -> None:
    labels = [{row["answer"] for row in bench.rows_of("label-map", seed, SIZES)["train"]} for seed in (1, 2, 3, 4, 5)]

    assert len({tuple(sorted(one)) for one in labels}) == 5
    assert all(len(one) > 1 for one in labels)


def fields_of(node: ast.AST) -> dict[str, str]:
    """Return the types of a signature's fields, as its source has them."""
    lines = [line for line in ast.walk(node) if isinstance(line, ast.AnnAssign)]
    return {ast.unparse(line.target): ast.unparse(line.annotation) for line in lines}


def test_dspys_twins_have_the_instructions_and_fields_of_ours() -> None:
    ours: dict[str, type] = {
        "WriteQuery": multihop.WriteQuery, "AnswerQuestion": multihop.Answer, "Pick": bench.Pick, "Answer": bench.Answer,
    }  # fmt: skip
    source = ast.parse((Path(bench.__file__).parent / "head_to_head_dspy.py").read_text())

    theirs = {node.name: node for node in source.body if isinstance(node, ast.ClassDef) and node.name in ours}

    assert theirs.keys() == ours.keys()
    for name, signature in ours.items():
        assert ast.get_docstring(theirs[name]) == inspect.getdoc(signature)
        assert fields_of(theirs[name]) == fields_of(ast.parse(inspect.getsource(signature)))


def test_a_cell_keeps_within_its_calls_and_tells_what_the_winner_scores_on_rows_that_no_optimizer_saw() -> None:
    spec = replace(bench.Spec.read(), calls=40, rows={"train": 8, "val": 6, "holdout": 12})
    held_out = {row["text"]: row["answer"] for row in bench.rows_of("smallest-parity", 1, spec.rows)["holdout"]}
    seen_in_demos: set[str] = set()

    def reply(asked: Asked) -> dict[str, str]:
        seen_in_demos.update(inputs["text"] for inputs, _ in asked.demos)
        numbers = asked.inputs["text"].split()
        if asked.instruction == "Process the text.":
            return {"answer": str(min(map(int, numbers)))}
        return {"answer": ("odd" if int(numbers[0]) % 2 else "even") if asked.demos else "?"}

    line = bench.run_ours(bench.Cell("smallest-parity", 1, "bootstrap-random-search"), spec, ScriptedLM(reply))

    assert line["baseline_rows"] == (0.0,) * 12
    assert line["rows"] == (1.0,) * 12
    assert 0 < line["calls"] <= 40
    assert line["demos"]["answer"] > 0
    assert line["instructions"] == {}
    assert not seen_in_demos & set(held_out)


async def asked_of(lm: lp.LM, text: str) -> str:
    with lp.using(lm=lm):
        return str((await lp.Predict("text -> answer").acall(text=text)).answer)


def test_calls_tokens_and_refusals_are_counted() -> None:
    def reply(asked: Asked) -> lp.Response | dict[str, str]:
        if asked.inputs["text"] == "too long":
            raise lp.ContextError("too long")
        return {"answer": "yes"}

    counted = bench.Counted(ScriptedLM(reply))
    said = asyncio.run(asked_of(counted, "short"))
    with pytest.raises(lp.ContextError):
        asyncio.run(asked_of(counted, "too long"))

    assert said == "yes"
    assert (counted.counts["calls"], counted.counts["refused"]) == (2, 1)
    assert counted.counts["tokens"] > 0


def test_the_server_runs_in_a_process_of_its_own_and_counts_each_role_for_itself() -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "What is the plural of dog ?"}]}

    with bench.server() as url:
        asked = urllib.request.Request(
            f"{url}/task/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked) as answer:
            usage = json.load(answer)["usage"]
        with urllib.request.urlopen(f"{url}/counts") as answer:
            counts = json.load(answer)

    assert counts["task"] == {"calls": 1, "tokens": usage["total_tokens"], "refused": 0}
    assert counts["proposer"] == {"calls": 0, "tokens": 0, "refused": 0}


def test_a_finished_cell_is_not_run_again_and_one_with_other_settings_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, spec = tmp_path / "out.jsonl", bench.Spec.read()
    cell = next(iter(spec.cells()))
    out.write_text('{"cell": "cut sh')  # by a kill
    bench.record(out, cell, spec, {"rows": [1.0, 0.0], "baseline_rows": [0.0, 0.0], **COSTS})

    monkeypatch.setattr(sys, "argv", ["head_to_head.py", cell.key, "--out", str(out)])
    bench.main()

    assert "1 of 165 cells" in capsys.readouterr().out
    assert "0.50 (7 calls)" in out.with_suffix(".md").read_text()
    assert bench.recorded(out, replace(spec, calls=spec.calls + 1)) == {}


def test_a_difference_is_taken_on_the_rows_of_the_cells_that_both_have() -> None:
    spec = bench.Spec.read()
    done = lines({"mipro": {1: [1.0, 1.0], 2: [1.0, 0.0]}, "gepa": {1: [1.0, 0.0]}})
    mipro, gepa = (
        {("label-map", n): done[f"label-map/{n}/{m}"] for n in ns} for m, ns in (("mipro", (1, 2)), ("gepa", (1,)))
    )

    found, interval = bench.difference(mipro, gepa)

    assert found == -0.5
    assert interval.low <= -0.5 <= interval.high
    assert bench.leader_of(spec, {"mipro": mipro, "gepa": gepa}) == "mipro"


def test_the_table_compares_rivals_with_the_better_leader_and_shows_every_cell() -> None:
    spec = bench.Spec.read()
    done = lines({
        "mipro": {1: [1.0, 0.0], 2: [0.0, 0.0]}, "auto": {1: [1.0, 1.0], 2: [1.0, 1.0]},
        "dspy:GEPA": {1: [1.0, 0.0], 2: [1.0, 0.0]},
    })  # fmt: skip

    text = bench.table(spec, done)

    assert "6 of 165 cells" in text
    assert "| | held-out score | before | minus auto |" in text
    assert "| dspy:GEPA | 0.500 [0.50, 0.50] | 0.000 | -0.500 [-0.50, -0.50] | 700 | 9000 | 12 | 2 |" in text
    assert "| auto | 1.00 (700 calls) | 1.00 (700 calls) | | | |" in text.replace("  ", " ")
    assert "| opro | | | | | | | 0 |" in text


def test_of_one_seed_the_table_shows_no_interval() -> None:
    text = bench.table(bench.Spec.read(), lines({"mipro": {1: [1.0, 0.0]}, "gepa": {1: [0.0, 0.0]}}))

    assert "| mipro | 0.500  | 0.000 |  | 700 |" in text
    assert "| gepa | 0.000  | 0.000 | -0.500  | 700 |" in text


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"proposer_calls": 0, "tried": 0, "instructions": {}}, ""),
        ({"proposer_calls": 20, "tried": 10}, ""),
        ({"proposer_calls": 20, "tried": 1}, "too few of the proposer's calls"),
        ({"proposer_calls": 20, "tried": 10, "instructions": {}}, "too rarely helped"),
    ],
)
def test_a_method_is_not_judged_by_its_instructions_where_next_to_none_came_of_its_proposer(
    more: dict[str, Any], why: str
) -> None:
    found = list(lines({"gepa": {1: [1.0], 2: [1.0]}}, **more).values())

    said = bench.unjudged(bench.Spec.read(), found)

    assert why in said
    assert bool(said) == bool(why)


@pytest.mark.parametrize(("theirs", "apart"), [(0.46, False), (0.44, True), (0.56, True)])
def test_programs_as_they_are_may_score_five_points_apart_and_no_more(
    theirs: float, apart: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def uncompiled(program: str, *_: object) -> dict[str, Any]:
        return {"program": program, "rows": 500, "ours": 0.5, "theirs": theirs, "equal": 0.9}

    monkeypatch.setattr(bench, "uncompiled", uncompiled)
    monkeypatch.setattr(sys, "argv", ["head_to_head.py", "--uncompiled", "multihop"])

    failure: object = None
    try:
        bench.main()
    except SystemExit as exit:
        failure = exit.code

    points = 100 * (theirs - 0.5)
    assert f"| multihop | 500 | 0.500 | {theirs:.3f} | {points:+.1f} | 90% |" in capsys.readouterr().out
    assert failure == ("more than 5 points apart: multihop" if apart else None)


def test_a_line_is_json_with_scores_and_versions(tmp_path: Path) -> None:
    out, spec = tmp_path / "out.jsonl", bench.Spec.read()
    cell = next(iter(spec.cells()))

    bench.record(out, cell, spec, {"rows": [1.0, 0.0], "baseline_rows": [0.0, 0.0]})

    line = json.loads(out.read_text())
    assert line["cell"] == cell.key
    assert {"identity", "machine", "python", "lmprog", "dspy", "lm", "code", "at", "score", "baseline"} <= set(line)
