"""How fast lmprog is, beside DSPy in the same run: `make bench`, or `python tests/bench/speed.py [CELL ...]`.

Every sample is taken in a process of its own, the sides in turn, and a cell's figures are medians. A finished cell is one
line of JSON; it is measured again only where code, versions, machine or settings are others, or with --fresh.
"""

import argparse
import hashlib
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, cast

from speed_task import Sample, Settings, Workload

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OUT = ROOT / "bench-out" / "speed.jsonl"
REPEATS = 5
SAMPLE_S = 600.0
"""The longest one sample may take."""

Side = Literal["lmprog", "dspy", "dspy lean"]
SIDES: tuple[Side, ...] = ("lmprog", "dspy", "dspy lean")
"""`dspy` has DSPy's cache on, in memory and on disk; `dspy lean` keeps nothing."""

Figures = Mapping[Side, Sample]
Samples = Mapping[Side, Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure."""

    name: str
    about: str
    workload: str
    settings: Settings
    figure: Literal["us", "percent", "seconds"]
    """What the target and the ratio are about. Percent: higher is better; else lower."""
    target: float | None = None
    repeats: int = REPEATS
    sides: tuple[Side, ...] = SIDES


def _calls(name: str, about: str, target: float | None, **settings: int | bool | str) -> Cell:
    sides: tuple[Side, ...] = ("lmprog", "dspy") if settings.get("hit") else SIDES
    return Cell(name, about, "call", {"calls": 2000, **settings}, "us", target, sides=sides)


def _evaluations() -> Iterator[Cell]:
    for how in ("sync", "async"):
        for in_flight, target in ((16, None), (64, 95), (256, 85)):
            about = f"evaluation, {how} program, 50 ms LM in process, {in_flight} in flight: ideal / actual time"
            settings = {"how": how, "in_flight": in_flight, "latency_ms": 50}
            yield Cell(f"evaluate-{how}-{in_flight}", about, "evaluate", settings, "percent", target, 3)


def _https() -> Iterator[Cell]:
    for how in ("sync", "async"):
        about = f"evaluation over loopback HTTP, {how} program, 50 ms, 64 in flight: ideal / actual time"
        settings = {"how": how, "in_flight": 64, "latency_ms": 50}
        yield Cell(f"http-{how}-64", about, "http", settings, "percent", 85, 3)


def _rows() -> Iterator[Cell]:
    for count in (500, 2_000, 8_000, 16_000):
        about = f"evaluation over a zero-latency LM, {count:,} rows: time per row"
        yield Cell(f"rows-{count}", about, "per_row", {"rows": count}, "us", None, 3)


def _imports() -> Iterator[Cell]:
    to_run, to_compile = ("Signature", "Predict", "Module"), ("Signature", "Predict", "Module", "MIPROv2", "Evaluate")
    about = "import and first use of `Signature`, `Predict` and `Module`, in a fresh process"
    names = {"lmprog": " ".join(to_run), "dspy": " ".join(to_run)}
    yield Cell("import", about, "import", names, "seconds", 0.25, 9, ("lmprog", "dspy"))
    about = "the same with `evaluate` and `compile`; in DSPy `Evaluate` and `MIPROv2`"
    names = {"lmprog": " ".join((*to_run, "evaluate", "compile")), "dspy": " ".join(to_compile)}
    yield Cell("import-compile", about, "import", names, "seconds", None, 9, ("lmprog", "dspy"))


def _compiles() -> Iterator[Cell]:
    for latency_ms, in_flight, target in ((20, 16, 85), (200, 64, 70)):
        about = f"MIPRO, light, two predictors, {latency_ms} ms LM, {in_flight} in flight: ideal / actual time"
        settings = {"latency_ms": latency_ms, "in_flight": in_flight}
        yield Cell(f"mipro-{latency_ms}ms", about, "mipro", settings, "percent", target, 3)


CELLS = {
    cell.name: cell
    for cell in (
        _calls("call-sync", "one Predict call, sync", 70, how="sync"),
        _calls("call-async", "one Predict call, `acall` in an async program", 70, how="async"),
        _calls("call-own-loop", "one Predict call, `acall` in the user's own event loop", None, how="own loop"),
        _calls("call-demos", "one Predict call with 8 demos, sync", None, how="sync", demos=True),
        _calls("call-typed", "one Predict call with three typed outputs, sync", None, how="sync", typed=True),
        _calls("hit-sync", "a call answered from the log, sync", 50, how="sync", hit=True),
        _calls("hit-async", "a call answered from the log, `acall` in an async program", 50, how="async", hit=True),
        *_evaluations(),
        *_https(),
        *_rows(),
        *_imports(),
        *_compiles(),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)}; all where none is named")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSONL file (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="measure again what is finished")
    parser.add_argument("--repeats", type=int, help="samples of each side")
    parser.add_argument("--sample", choices=SIDES, help="take one sample of one cell here, and print it as JSON")
    options = parser.parse_args()
    unknown = [name for name in options.cells if name not in CELLS]
    if unknown:
        parser.error(f"no cell is called {', '.join(unknown)}; there are {', '.join(CELLS)}")
    cells = [CELLS[name] for name in options.cells or CELLS]
    if options.sample:
        print(json.dumps(sample(cells[0], options.sample)))
        return
    done: dict[str, Samples] = {}
    for cell in cells:
        identity = identity_of(cell, options.repeats or cell.repeats)
        found = None if options.fresh else recorded(options.out, identity)
        if found is None:
            found = measure(cell, options.repeats or cell.repeats)
            record(options.out, cell, identity, found)
        done[cell.name] = found
    options.out.with_suffix(".md").write_text(table(done) + "\n")
    print(table(done))


def sample(cell: Cell, side: Side) -> Sample:
    """Take one sample in this process."""
    name = "lmprog" if side == "lmprog" else "dspy"
    if cell.workload == "import":
        return _import(name, str(cell.settings[name]).split())
    workloads = cast("dict[str, Workload]", importlib.import_module(f"speed_{name}").WORKLOADS)
    return workloads[cell.workload]({**cell.settings, "cached": side == "dspy"})


IMPORT = """
import time
start, cpu = time.perf_counter(), time.process_time()
import {name} as module
for used in {used!r}:
    getattr(module, used)
seconds, cpu_us = time.perf_counter() - start, (time.process_time() - cpu) * 1e6
import json, resource, sys
print(json.dumps({{"seconds": seconds, "cpu_us": cpu_us, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT}}))
""".replace("UNIT", "1024" if sys.platform == "linux" else "1048576")


def _import(name: str, used: Sequence[str]) -> Sample:
    """Import in a process that has loaded nothing else, not even what this file needs; the bytecode is there already."""
    command = [sys.executable, "-c", IMPORT.format(name=name, used=list(used))]
    env = {variable: value for variable, value in os.environ.items() if variable != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, capture_output=True, check=True, env=env)
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return cast("Sample", json.loads(ran.stdout))


def measure(cell: Cell, repeats: int) -> Samples:
    """Take all samples of a cell, the sides in turn, each in a process of its own."""
    sides: list[Side] = [side for side in cell.sides if side == "lmprog" or _dspy()]
    samples: dict[Side, list[Sample]] = {side: [] for side in sides}
    for turn in range(repeats):
        for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
            samples[side].append(_in_own_process(cell, side))
        shown = ", ".join(f"{side} {samples[side][-1][cell.figure]:.3g}" for side in sides)
        print(f"{cell.name} {turn + 1}/{repeats}: {shown} {cell.figure}", file=sys.stderr, flush=True)
    return samples


def _in_own_process(cell: Cell, side: Side) -> Sample:
    command = [sys.executable, str(HERE / "speed.py"), cell.name, "--sample", side]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SAMPLE_S, cwd=ROOT, check=False)
    if ran.returncode:
        raise SystemExit(f"{cell.name}, {side}:\n{ran.stderr}")
    return cast("Sample", json.loads(ran.stdout.splitlines()[-1]))


def identity_of(cell: Cell, repeats: int) -> str:
    """Return a digest of all that decides a cell's figures, chance and the machine's other work aside."""
    sources = [*ROOT.glob("lmprog/**/*.py"), *ROOT.glob("optimizers/**/*.py"), *HERE.glob("speed*.py")]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
    return hashlib.sha256(repr((code, asdict(cell), repeats, facts())).encode()).hexdigest()[:16]


def facts() -> dict[str, str]:
    """Return what the figures depend on beside the code."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"machine": system, "python": platform.python_version(), "dspy": _dspy()}


def _dspy() -> str:
    try:
        return version("dspy")
    except PackageNotFoundError:
        return ""


def recorded(out: Path, identity: str) -> Samples | None:
    """Return the samples of a finished cell, the latest where there are several."""
    lines = out.read_text().splitlines() if out.exists() else []
    found = [line for line in map(json.loads, lines) if line["identity"] == identity]
    return cast("Samples", found[-1]["samples"]) if found else None


def record(out: Path, cell: Cell, identity: str, samples: Samples) -> None:
    """Append one line to the file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    line = {"cell": asdict(cell), "identity": identity, **facts(), "at": time.time(), "samples": samples}
    with out.open("a") as file:
        file.write(json.dumps(line) + "\n")


def table(done: Mapping[str, Samples]) -> str:
    """Return all figures as a Markdown table. Ratios are to the faster of DSPy's two sides."""
    where = facts()
    head = [
        f"{where['machine']}, Python {where['python']}, DSPy {where['dspy'] or 'not installed'}; medians, CPU time in brackets.",
        "",
        "| | lmprog | DSPy, cache on | DSPy, nothing kept | lmprog against the better | target | met |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(_line(CELLS[name], samples) for name, samples in done.items())])


def _line(cell: Cell, samples: Samples) -> str:
    medians: dict[Side, Sample] = {
        side: {key: statistics.median(one[key] for one in taken) for key in taken[0]} for side, taken in samples.items()
    }
    ours = medians["lmprog"][cell.figure]
    theirs = [medians[side][cell.figure] for side in SIDES[1:] if side in medians]
    higher = cell.figure == "percent"
    ratio = (ours / max(theirs) if higher else min(theirs) / ours) if theirs else None
    met = cell.target is not None and (ours >= cell.target if higher else ours <= cell.target)
    target = "" if cell.target is None else f"{'>=' if higher else '<='} {_shown(cell.target, cell.figure)}"
    parts = [
        cell.about,
        *(_figures(medians[side], cell.figure) if side in medians else "" for side in SIDES),
        f"{ratio:.1f} x" if ratio is not None else "",
        target,
        ("yes" if met else "no") if target else "",
    ]
    return f"| {' | '.join(parts)} |"


def _figures(sample: Sample, figure: str) -> str:
    """Return the figure, and the others in brackets."""
    more = [f"{sample['cpu_us'] / 1e6:.2f} s" if figure == "seconds" else f"{sample['cpu_us']:.0f} us"]
    more += [f"{sample['mb']:.0f} MB"] if "mb" in sample else []
    more += [f"{sample['calls']:.0f} calls in {sample['seconds']:.1f} s"] if "calls" in sample else []
    return f"{_shown(sample[figure], figure)} ({', '.join(more)})"


def _shown(value: float, figure: str) -> str:
    return {"us": f"{value:.0f} us", "percent": f"{value:.0f}%", "seconds": f"{value:.2f} s"}[figure]


if __name__ == "__main__":
    main()
