"""What weights bring beside prompts: three programs on the embedded LM, five seeds, six schedules: `make prove-weights`.

    python tests/prove/weights.py                                    every cell
    python tests/prove/weights.py multihop/1 label-map/1             some of them
    python tests/prove/weights.py --weights DIR                      on other weights of the same curriculum

weights.toml says what is run, and was fixed before the first run. A schedule is a chain of compiles, each from the program
that the one before shipped; what two schedules begin with is run once. `auto` is what `better-together` ships of them: the
best on the validation rows. A cell runs in a process of its own and goes on where it was stopped; a finished one is a
line of JSON, run again only where settings or weights are others. Where there is CUDA, it trains.
"""

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import lmprog as lp
from lmprog.lm.tiny.client import WEIGHTS, Tiny
from lmprog.module import Program
from lmprog.rundir import read_journal
from lmprog.statistics import Interval, mean_interval, paired_interval

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))
head_to_head: Any = importlib.import_module("head_to_head")  # the programs and their rows

SPEC = Path(__file__).with_suffix(".toml")
OUT = ROOT / "bench-out" / "weights.jsonl"
RUNS = ROOT / "bench-out" / "weights"
BEFORE, CONTROL, AUTO = "uncompiled", "control", "auto"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
CELL_LIMIT_S = 7200.0

Line = Mapping[str, Any]
"""What is recorded of a cell: its seconds, and by schedule the score on validation rows, those of held-out rows, and costs."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What is run, as weights.toml says it."""

    seeds: Sequence[int]
    calls: int
    concurrency: int
    rows: Mapping[str, int]
    programs: Mapping[str, str]
    stages: Mapping[str, str]
    schedules: Mapping[str, Sequence[str]]
    control: Mapping[str, Any]

    @property
    def all_schedules(self) -> list[str]:
        """The schedules, each after what it goes on from."""
        return sorted([*self.schedules["alone"], *self.schedules["alternations"]], key=len)

    @property
    def cells(self) -> list[str]:
        """Each seed with every program before the next."""
        return [f"{program}/{seed}" for seed in self.seeds for program in self.programs]

    def identity(self, cell: str, lm: str) -> str:
        """Return a digest of all that decides a cell, code aside."""
        decided = [cell, lm, self.calls, self.concurrency, self.rows, self.stages, self.all_schedules, self.control]
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]


def read_spec(path: Path) -> Spec:
    """Return what the file says."""
    return Spec(**tomllib.loads(path.read_text()))


# One cell


def run_cell(cell: str, spec: Spec, lm: Tiny) -> dict[str, Any]:
    """Run every schedule of a cell, and score what each ships on the held-out rows."""
    name, _, seed = cell.partition("/")
    place = head_to_head.Cell(name, int(seed), "")
    rows = head_to_head.rows_of(name, place.seed, spec.rows)
    folder = RUNS / spec.identity(cell, lm.name)
    began = time.perf_counter()

    def compiled(schedule: str, optimizer: str, calls: int, start: Program) -> lp.CompileResult[Program]:
        return lp.compile(
            start, train=rows["train"], val=rows["val"], holdout=rows["holdout"][:1], metric=head_to_head.METRIC,
            lm=lm, gate="none", optimizer=optimizer, budget=lp.Budget(calls=calls), seed=place.seed,
            concurrency=spec.concurrency, run_dir=folder / schedule,
        )  # fmt: skip

    def scored(program: Program) -> dict[str, Any]:
        found = lp.evaluate(program, rows["holdout"], head_to_head.METRIC, lm=lm, concurrency=spec.concurrency)
        assert found.spent is not None
        tokens = found.spent.total_requested.tokens / len(rows["holdout"])
        return {"rows": list(found.scores), "tokens_a_row": tokens}

    def stage(schedule: str, optimizer: str, calls: int, start: Program) -> tuple[Program, dict[str, Any]]:
        result = compiled(schedule, optimizer, calls, start)
        val = lp.evaluate(result.program, rows["val"], head_to_head.METRIC, lm=lm, concurrency=spec.concurrency).score
        tokens = result.certificate.tokens  # by role, in all processes
        trained = tokens.get("training", 0)
        costs = {
            "calls": sum(result.certificate.requested.values()),
            "tokens": sum(tokens.values()) - trained,
            "trained_tokens": trained,
            "seconds": json.loads((result.run_dir / "run.json").read_text())["seconds"],  # of all its processes
        }
        return result.program, {"val": val, **scored(result.program), **costs}

    original = head_to_head.program_of(place)
    programs: dict[str, Program] = {"": original}
    found: dict[str, Any] = {BEFORE: scored(original)}
    for schedule in spec.all_schedules:
        programs[schedule], found[schedule] = stage(
            schedule, spec.stages[schedule[-1]], spec.calls, programs[schedule[:-1]]
        )
    found[AUTO] = found[max(spec.all_schedules, key=lambda schedule: found[schedule]["val"])]
    found[CONTROL] = stage(CONTROL, spec.control["optimizer"], spec.control["calls"], original)[1]
    return {"cell": cell, "seconds": time.perf_counter() - began, "schedules": found}


def run_apart(given: argparse.Namespace, cell: str) -> str | None:
    """Run a cell in a process of its own, and return why it failed, if it did."""
    command = [sys.executable, __file__, cell, "--sample", "--spec", str(given.spec), "--weights", str(given.weights)]
    threads = str(max(1, CORES // given.jobs))
    try:
        ran = subprocess.run(
            [*command, "--out", str(given.out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            timeout=CELL_LIMIT_S, env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it was not done within {CELL_LIMIT_S:g} s; run again, it goes on"
    return ran.stderr[-2000:] if ran.returncode else None


# The record and what it says


def recorded(out: Path, spec: Spec, lm: str) -> dict[str, Line]:
    """Return the finished cells."""
    wanted = {spec.identity(cell, lm) for cell in spec.cells}
    return {line["cell"]: line for line in read_journal(out) if line["identity"] in wanted}


def rows_of(found: Mapping[str, Line], program: str, schedule: str) -> tuple[list[float], list[str]]:
    """Return the scores of all held-out rows of a program under a schedule, and the cell of each; of "all" programs together."""
    lines = {cell: line for cell, line in found.items() if program in ("all", cell.partition("/")[0])}
    scores = [score for line in lines.values() for score in line["schedules"][schedule]["rows"]]
    return scores, [cell for cell, line in lines.items() for _ in line["schedules"][schedule]["rows"]]


def gain(found: Mapping[str, Line], program: str, schedule: str, over: str) -> Interval:
    """Return the interval of what a schedule scores more than another, clustered by cell."""
    first, clusters = rows_of(found, program, over)
    return paired_interval(first, rows_of(found, program, schedule)[0], clusters=clusters)


def better_alone(found: Mapping[str, Line], program: str, spec: Spec) -> str:
    """Return which of prompts and weights alone scores better on the held-out rows, known only afterwards."""
    return max(spec.schedules["alone"], key=lambda schedule: fmean(rows_of(found, program, schedule)[0]))


def claims(found: Mapping[str, Line], spec: Spec) -> Iterator[tuple[str, bool]]:
    """Yield what is to be proved, and whether it holds."""
    above: list[str] = []
    for program in spec.programs:
        weights = gain(found, program, "w", BEFORE)
        yield f"{program}: weights alone over uncompiled {weights.signed()}, above 0", weights.low > 0
        alone = better_alone(found, program, spec)
        auto = gain(found, program, AUTO, alone)
        yield f"{program}: alternation over the better alone ({alone}) {auto.signed()}, not below 0", auto.high >= 0
        if fmean(rows_of(found, program, AUTO)[0]) > fmean(rows_of(found, program, alone)[0]):
            above.append(f"{program} ({'beyond' if auto.low > 0 else 'within'} its interval)")
    yield f"alternation above the better alone on {', '.join(above) or 'no program'}", bool(above)


def table(found: Mapping[str, Line], spec: Spec) -> str:
    """Return all figures as Markdown."""
    head = "| | " + " | ".join(
        ["held-out score", "over uncompiled", "calls", "LM tokens", "trained tokens", "seconds", "tokens a row"]
    )
    parts: list[str] = []
    for program in [*spec.programs, "all"]:
        lines = [f"### {program}", "", spec.programs.get(program, "every program"), "", head + " |", "|---" * 8 + "|"]
        for schedule in [BEFORE, *spec.all_schedules, AUTO, CONTROL]:
            scores, cells = rows_of(found, program, schedule)
            if not scores:
                continue
            costs = [found[cell]["schedules"] for cell in dict.fromkeys(cells)]
            shown = [f"{fmean(scores):.3f} {mean_interval(scores, clusters=cells)}"]
            shown += ["" if schedule == BEFORE else gain(found, program, schedule, BEFORE).signed()]
            for figure in ("calls", "tokens", "trained_tokens", "seconds"):
                shown += [
                    ""
                    if schedule == BEFORE
                    else f"{fmean(_total(cost, schedule, figure, spec) for cost in costs):,.0f}"
                ]
            shown += [f"{fmean(cost[schedule]['tokens_a_row'] for cost in costs):,.0f}"]
            lines.append(f"| {_named(schedule)} | {' | '.join(shown)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _total(schedules: Mapping[str, Any], schedule: str, figure: str, spec: Spec) -> float:
    """Return a cost of a schedule with all that it goes on from; of `auto`, of all schedules."""
    stages = spec.all_schedules if schedule == AUTO else [schedule[:end] for end in range(1, len(schedule) + 1)]
    own: Sequence[float] = [schedules[stage][figure] for stage in ([CONTROL] if schedule == CONTROL else stages)]
    return sum(own)


def _named(schedule: str) -> str:
    if schedule in (BEFORE, AUTO):
        return schedule
    return "prompts, calls of all" if schedule == CONTROL else " -> ".join(schedule)


def main() -> int:
    """Run what is missing, write the table, and return 0 where every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="PROGRAM/SEED", help="all where none is named")
    parser.add_argument("--spec", type=Path, default=SPEC, help="what to run (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSONL file (%(default)s)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of the LM (%(default)s)")
    parser.add_argument("--jobs", type=int, default=CORES, help="cells at a time (%(default)s)")
    parser.add_argument("--sample", action="store_true", help="run the cell that is named in this process")
    given = parser.parse_args()
    spec, lm = read_spec(given.spec), Tiny(given.weights)
    unknown = [cell for cell in given.cells if cell not in spec.cells]
    if unknown:
        parser.error(f"there is no cell {', '.join(unknown)}; there are {', '.join(spec.cells)}")
    if given.sample:
        line = run_cell(given.cells[0], spec, lm)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with given.out.open("a") as file:
            file.write(json.dumps({"identity": spec.identity(line["cell"], lm.name), "lm": lm.name, **line}) + "\n")
        return 0
    done = recorded(given.out, spec, lm.name)
    missing = [cell for cell in given.cells or spec.cells if cell not in done]
    failed = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for cell, why in zip(missing, pool.map(partial(run_apart, given), missing), strict=True):
            failed += why is not None
            print(f"{cell}: {'done' if why is None else why}", file=sys.stderr, flush=True)
    done = recorded(given.out, spec, lm.name)
    if not done:
        return 1
    print(f"{len(done)} of {len(spec.cells)} cells, LM {lm.name}, {CORES} cores\n\n{table(done, spec)}\n")
    missed = 0
    if len(done) == len(spec.cells):
        for text, holds in claims(done, spec):
            missed += not holds
            print(f"{'holds' if holds else 'FAILS'}  {text}")
    return 1 if failed or missed or len(done) < len(spec.cells) else 0


if __name__ == "__main__":
    sys.exit(main())
