"""Which optimizer finds the best program for the same calls: `make bench-head-to-head`, or `head_to_head.py [CELL ...]`.

head_to_head.toml says what is compared. A cell compiles one program under one seed with one method, on the embedded LM, in
a process of its own, and then scores the program as it was and the winner on rows that no optimizer saw. DSPy
reaches the LM over a server that speaks OpenAI's protocol, which counts the calls. A finished cell is one line of JSON; it
is run again only where its settings or the weights are others, or with --fresh. A cell that fails is named, and left
for the next time. With --uncompiled nothing is compiled: the programs as they are answer the same rows here and as DSPy's.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any, cast

import lmprog as lp
from lmprog.lm.specs import from_spec
from lmprog.lm.tiny.client import shared
from lmprog.lm.tiny.curriculum import Task, Turn, label_map, named_tasks
from lmprog.module import Program
from lmprog.programs.multihop import MultiHopQA, make_retriever, make_splits
from lmprog.rundir import JOURNAL, read_journal
from lmprog.statistics import Interval, mean_interval, paired_interval

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPEC = HERE / "head_to_head.toml"
OUT = ROOT / "bench-out" / "head-to-head.jsonl"
PARTS = ("train", "val", "holdout")
DSPY = "dspy:"
"""What the names of DSPy's methods begin with."""
UNCOMPILED, APART_AT_MOST = "uncompiled", 0.05
"""The method that leaves a program as it is, and how far its scores may lie apart."""
CODE = ("lmprog/*.py", "lmprog/formats/*.py", "lmprog/lm/**/*.py", "optimizers/**/*.py", "programs/*.py")
MAPS_TRIED, TURNS_TRIED = 200, 5000

Row = dict[str, str]
Rows = Mapping[str, Sequence[Row]]
Line = Mapping[str, Any]
"""What is recorded of a cell."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One compile."""

    program: str
    seed: int
    method: str

    @property
    def key(self) -> str:
        return f"{self.program}/{self.seed}/{self.method}"


@dataclass(frozen=True, slots=True)
class Spec:
    """What is compared, as head_to_head.toml says it."""

    calls: int
    concurrency: int
    limit_s: float
    seeds: Sequence[int]
    leaders: Sequence[str]
    rows: Mapping[str, int]
    programs: Mapping[str, str]
    methods: Mapping[str, Sequence[str]]
    unjudged: Mapping[str, float]
    dspy: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
    """Arguments by method, program and "init" or "compile"."""

    @staticmethod
    def read(path: Path = SPEC) -> "Spec":
        """Return the file's settings; KeyError where DSPy's side of a cell is not set."""
        spec = Spec(**tomllib.loads(path.read_text()))
        for method in spec.methods["dspy"]:
            for program in spec.programs:
                spec.dspy[method][program]["init"]
        return spec

    @property
    def names(self) -> list[str]:
        """The methods, ours first."""
        return [*self.methods["lmprog"], *(DSPY + name for name in self.methods["dspy"])]

    def cells(self) -> Iterator[Cell]:
        """Yield all cells: each seed with everything before the next, so that whatever is finished compares all."""
        for seed in self.seeds:
            for program in self.programs:
                for method in self.names:
                    yield Cell(program, seed, method)

    def settings(self, cell: Cell) -> Mapping[str, Any]:
        """Return all that decides a cell, code aside."""
        own: Mapping[str, Any] = {}
        if cell.method.startswith(DSPY):
            own = self.dspy[cell.method.removeprefix(DSPY)][cell.program]
        return {"calls": self.calls, "concurrency": self.concurrency, "rows": self.rows, "dspy": own}


# The programs and their rows


class Pick(lp.Signature):
    """Process the text."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class Answer(lp.Signature):
    """Given the text , produce the answer."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoSteps(lp.Module):
    """Asks of the answer to the first question."""

    def __init__(self) -> None:
        self.pick = lp.Predict(Pick)
        self.answer = lp.Predict(Answer)

    def forward(self, text: str) -> Answer:
        return self.answer(text=self.pick(text=text).answer)


class Mapped(lp.Module):
    """One call."""

    def __init__(self) -> None:
        self.answer = lp.Predict(Answer)

    def forward(self, text: str) -> Answer:
        return self.answer(text=text)


METRIC = lp.metrics.exact_match("answer")


def program_of(cell: Cell) -> Program:
    """Return the program as it was."""
    made: Mapping[str, Callable[[], Program]] = {
        "multihop": lambda: MultiHopQA(make_retriever(cell.seed)),
        "label-map": Mapped,
        "smallest-parity": TwoSteps,
    }
    return made[cell.program]()


def rows_of(program: str, seed: int, sizes: Mapping[str, int]) -> Rows:
    """Return the rows by part, a function of program, seed and sizes. No two have the same inputs."""
    if program == "multihop":
        splits = make_splits(seed)
        return {part: [dict(row) for row in getattr(splits, part)[: sizes[part]]] for part in PARTS}
    count, rng = sum(sizes[part] for part in PARTS), Random(f"{program}/{seed}")
    rows = _map_rows(rng, count) if program == "label-map" else _parity_rows(rng, count)
    ends = [sum(sizes[part] for part in PARTS[: place + 1]) for place in range(len(PARTS))]
    return {part: rows[end - sizes[part] : end] for part, end in zip(PARTS, ends, strict=True)}


def _map_rows(rng: Random, count: int) -> list[Row]:
    """Draw maps with labels that training never shows until one is over texts enough."""
    for _ in range(MAPS_TRIED):
        rows = _drawn(label_map(rng, True), rng, count)
        if len(rows) == count:
            return rows
    raise ValueError(f"none of {MAPS_TRIED} label maps has {count} texts")


def _parity_rows(rng: Random, count: int) -> list[Row]:
    (smallest,) = (task for task in named_tasks() if task.name == "minn")
    return [
        {"text": row["text"], "answer": "odd" if int(row["answer"]) % 2 else "even"}
        for row in _drawn(smallest, rng, count)
    ]


def _drawn(task: Task, rng: Random, count: int) -> list[Row]:
    """Return so many turns of a task with different inputs, or fewer where it has no more."""
    found: dict[tuple[str, ...], Turn] = {}
    for _ in range(TURNS_TRIED):
        turn = task.draw(rng, True)
        found.setdefault(tuple(turn.inputs.values()), turn)
        if len(found) == count:
            break
    return [{**turn.inputs, **turn.outputs} for turn in found.values()]


# One cell of ours


def run_ours(cell: Cell, spec: Spec, lm: lp.LM | str = "tiny") -> dict[str, Any]:
    """Compile one cell and score it.

    The whole holdout is scored after the compile, so that the budget is the search's; the compile gets one row of it for
    its certificate, and ships what it found in any case, as DSPy does.
    """
    rows, program = rows_of(cell.program, cell.seed, spec.rows), program_of(cell)
    with tempfile.TemporaryDirectory(prefix="lmprog-head-to-head-") as folder:
        began = time.perf_counter()
        result = lp.compile(
            program, train=rows["train"], val=rows["val"], holdout=rows["holdout"][:1], metric=METRIC, lm=lm, gate="none",
            optimizer=cell.method, budget=lp.Budget(calls=spec.calls), seed=cell.seed, concurrency=spec.concurrency,
            run_dir=Path(folder) / "run",
        )  # fmt: skip
        seconds = time.perf_counter() - began
        events = read_journal(result.run_dir / JOURNAL)
    scores = [
        lp.evaluate(made, rows["holdout"], METRIC, lm=lm, concurrency=spec.concurrency).scores
        for made in (program, result.program)
    ]
    spent = result.spent
    before = {path: value.instruction for path, value in result.baseline_params.items()}
    after = {path: value.instruction for path, value in result.params.items()}
    scored = [line["params"]["predictors"] for line in events if "params" in line]  # at a candidate's first score alone
    tried = {(path, value["instruction"]) for params in scored for path, value in params.items()}
    return {
        "calls": spent.total_requested.calls,
        "tokens": spent.total_requested.tokens,
        "refused": 0,
        "seconds": seconds,
        "baseline_rows": scores[0],
        "rows": scores[1],
        "proposer_calls": spent.requested["proposer"].calls,
        "tried": len(tried - set(before.items())),
        "instructions": {path: text for path, text in after.items() if text != before[path]},
        "demos": {path: len(value.demos) for path, value in result.params.items()},
    }


# Both as they are


def uncompiled(program: str, spec: Spec, spec_path: Path, lm: str) -> Line:
    """Score a program as it is, here and as DSPy's over the server, on the holdout of every seed."""
    ours: list[float] = []
    theirs: list[float] = []
    equal: list[bool] = []
    for seed in spec.seeds:
        cell = Cell(program, seed, DSPY + UNCOMPILED)
        rows = rows_of(program, seed, spec.rows)["holdout"]
        found = lp.evaluate(program_of(cell), rows, METRIC, lm=lm, concurrency=spec.concurrency)
        with server(lm) as url:
            said = _said([str(HERE / "head_to_head_dspy.py"), cell.key, url, str(spec_path)], spec.limit_s)
        ours += found.scores
        theirs += said["baseline_rows"]
        answers = [None if run.prediction is None else run.prediction.answer for run in found.runs]
        equal += [answer == other for answer, other in zip(answers, said["answers"], strict=True)]
        shown = f"{mean(found.scores):.2f}, DSPy {mean(said['baseline_rows']):.2f}"
        print(f"{cell.key}: {shown}", file=sys.stderr, flush=True)
    return {"program": program, "rows": len(ours), "ours": mean(ours), "theirs": mean(theirs), "equal": mean(equal)}


def uncompiled_table(lines: Iterable[Line]) -> str:
    """Return both scores of each program and their difference, in points, as Markdown."""
    shown = ["| as they are | rows | lmprog | DSPy | DSPy minus lmprog | equal answers |", "|---" * 6 + "|"]
    shown += [
        f"| {line['program']} | {line['rows']} | {line['ours']:.3f} | {line['theirs']:.3f} "
        f"| {100 * (line['theirs'] - line['ours']):+.1f} | {line['equal']:.0%} |"
        for line in lines
    ]
    return "\n".join(shown)


# The server for DSPy


class Counted:
    """An LM that counts what it is asked."""

    def __init__(self, lm: lp.LM) -> None:
        self._lm = lm
        self.name, self.capabilities = "tiny", lm.capabilities
        self.counts = {"calls": 0, "tokens": 0, "refused": 0}

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        """Answer; a call that is refused counts as well."""
        self.counts["calls"] += 1
        try:
            response = await self._lm(request)
        except lp.LMError:
            self.counts["refused"] += 1
            raise
        self.counts["tokens"] += response.prompt_tokens + response.completion_tokens
        return response


ROLES = ("task", "proposer")


def serve(lm: str = "tiny") -> None:
    """Serve the embedded LM on any free port until the input ends, under a path for each role, and their counts on /counts.

    Says where.
    """
    import socket
    from threading import Thread

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    from lmprog.serve import app

    counted = {role: Counted(from_spec(lm)) for role in ROLES}

    async def counts(_request: Request) -> JSONResponse:
        return JSONResponse({role: lm.counts for role, lm in counted.items()})

    def end_with_input() -> None:
        sys.stdin.read()
        os._exit(0)  # there is nothing to put in order, and connections are still open

    application = Starlette(
        routes=[Route("/counts", counts), *(Mount(f"/{role}", app(lm)) for role, lm in counted.items())]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    Thread(target=end_with_input, daemon=True).start()
    uvicorn.Server(uvicorn.Config(application, lifespan="off", ws="none", log_level="warning")).run(sockets=[listener])


@contextmanager
def server(lm: str = "tiny") -> Generator[str]:
    """Run the server in a process of its own and give its address."""
    command = [sys.executable, str(HERE / "head_to_head.py"), "--serve", "--lm", lm]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


# Running and recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "cells",
        nargs="*",
        metavar="CELL",
        help="PROGRAM/SEED/METHOD, * for any; with --uncompiled PROGRAM; all where none is named",
    )
    parser.add_argument("--spec", type=Path, default=SPEC, help="what to compare (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSONL file (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="run finished cells again")
    parser.add_argument("--table", action="store_true", help="run nothing, only write the table")
    parser.add_argument("--sample", action="store_true", help="run one cell of lmprog's here, and print it as JSON")
    parser.add_argument("--uncompiled", action="store_true", help="compile nothing: score the programs as they are")
    parser.add_argument("--lm", default="tiny", help="the LM of --uncompiled, such as tiny/FOLDER (%(default)s)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.lm)
        return
    spec = Spec.read(given.spec)
    if given.uncompiled:
        compare_uncompiled(spec, given)
        return
    wanted = [
        cell for cell in spec.cells() if not given.cells or any(fnmatch.fnmatch(cell.key, p) for p in given.cells)
    ]
    if not wanted:
        parser.error(
            f"there is no cell {' '.join(given.cells)}; there are {', '.join(cell.key for cell in spec.cells())}"
        )
    if given.sample:
        print(json.dumps(run_ours(wanted[0], spec)))
        return
    done = {} if given.fresh else recorded(given.out, spec)
    missing = [] if given.table else [cell for cell in wanted if cell.key not in done]
    failed = [cell.key for cell in missing if not finished(cell, spec, given)]
    text = table(spec, recorded(given.out, spec))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.with_suffix(".md").write_text(text + "\n")
    print(text)
    if failed:
        sys.exit(f"these cells failed, and are run again next time: {', '.join(failed)}")


def compare_uncompiled(spec: Spec, given: argparse.Namespace) -> None:
    """Print the scores of the programs as they are, ours and DSPy's; fail where they lie apart."""
    if unknown := set(given.cells) - set(spec.programs):
        sys.exit(f"no such program: {', '.join(unknown)}. There are {', '.join(spec.programs)}")
    lines = [uncompiled(program, spec, given.spec, given.lm) for program in given.cells or spec.programs]
    print(uncompiled_table(lines))
    apart = [line["program"] for line in lines if abs(line["theirs"] - line["ours"]) > APART_AT_MOST]
    if apart:
        sys.exit(f"more than {100 * APART_AT_MOST:.0f} points apart: {', '.join(apart)}")


def finished(cell: Cell, spec: Spec, given: argparse.Namespace) -> bool:
    """Run a cell and record it. False where it failed, for the reason that is printed."""
    before = _children_cpu_s()
    try:
        line = run_apart(cell, spec, given.spec)
    except subprocess.SubprocessError as error:
        said: str | bytes = getattr(error, "stderr", None) or ""
        print(f"{cell.key}: {error}\n{said if isinstance(said, str) else said.decode()}", file=sys.stderr, flush=True)
        return False
    record(given.out, cell, spec, {**line, "cell_cpu_s": _children_cpu_s() - before})
    shown = f"{mean(line['baseline_rows']):.2f} -> {mean(line['rows']):.2f}"
    print(f"{cell.key}: {shown}, {line['calls']} calls, {line['seconds']:.0f} s", file=sys.stderr, flush=True)
    return True


def _children_cpu_s() -> float:
    """Return the CPU time of the processes that have ended: unlike seconds it does not depend on the machine's other work."""
    times = os.times()
    return times.children_user + times.children_system


def run_apart(cell: Cell, spec: Spec, spec_path: Path) -> dict[str, Any]:
    """Run a cell in a process of its own."""
    if cell.method.startswith(DSPY):
        with server() as url:
            return _said([str(HERE / "head_to_head_dspy.py"), cell.key, url, str(spec_path)], spec.limit_s)
    return _said([str(HERE / "head_to_head.py"), cell.key, "--sample", "--spec", str(spec_path)], spec.limit_s)


def _said(command: Sequence[str], limit_s: float) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=limit_s, cwd=ROOT, check=True
    )
    return cast("dict[str, Any]", json.loads(ran.stdout.splitlines()[-1]))


def identity_of(cell: Cell, spec: Spec) -> str:
    """Return a digest of what decides a cell beside lmprog's own code, of which its line keeps a digest."""
    packages = {"dspy": _version("dspy"), "gepa": _version("gepa")} if cell.method.startswith(DSPY) else {}
    decided = {"cell": cell.key, "lm": facts()["lm"], **spec.settings(cell), **packages}
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]


@cache
def facts() -> dict[str, str]:
    """Return what a line is to be read with."""
    files = sorted(path for pattern in CODE for path in ROOT.glob(pattern))
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "lmprog": _version("lmprog"),
        "dspy": _version("dspy"),
        "lm": shared().name,
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8],
    }


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def recorded(out: Path, spec: Spec) -> dict[str, Line]:
    """Return the finished cells by key, the latest line of each; those of other settings or weights are none."""
    identities = {identity_of(cell, spec) for cell in spec.cells()}
    return {line["cell"]: line for line in read_journal(out) if line["identity"] in identities}


def record(out: Path, cell: Cell, spec: Spec, line: Line) -> None:
    """Append one line to the file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scores = {"score": mean(line["rows"]), "baseline": mean(line["baseline_rows"])}
    head = {"cell": cell.key, "identity": identity_of(cell, spec), **facts(), "at": time.time(), **scores}
    cut = out.exists() and not out.read_bytes().endswith(b"\n")  # by a kill: the next line must not join the rest
    with out.open("a") as file:
        file.write("\n" * cut + json.dumps({**head, **line}) + "\n")


# The table


def table(spec: Spec, done: Mapping[str, Line]) -> str:
    """Return all figures as Markdown."""
    groups = [*spec.programs, "all"]
    parts = [_head(spec, done)]
    for group in groups:
        about = spec.programs.get(group, "every program")
        parts.append(f"### {group}\n\n{about}\n\n{_group(spec, done, group)}")
    parts.append("### What the proposers wrote\n\n" + _proposers(spec, done))
    parts.append("### Every cell\n\n" + _cells(spec, done))
    return "\n\n".join(parts)


def mean(values: Iterable[float]) -> float:
    """Return the mean; 0 of nothing."""
    values = list(values)
    return statistics.fmean(values) if values else 0.0


def _head(spec: Spec, done: Mapping[str, Line]) -> str:
    where = next(iter(done.values()), facts())
    codes = {line["code"] for line in done.values()}
    wanted = len(list(spec.cells()))
    return (
        f"{len(done)} of {wanted} cells; {where['machine']}, Python {where['python']}, LM {where['lm']}, "
        f"lmprog {where['lmprog']} ({len(codes)} state{'s'[: len(codes) != 1]} of its code), DSPy {where['dspy']}. "
        f"Scores are of {spec.rows['holdout']} held-out rows a cell; intervals are 95%, over rows clustered by seed. "
        f"Calls, tokens and seconds are a compile's, without the scoring; a mean of its cells."
    )


def _lines(spec: Spec, done: Mapping[str, Line], group: str, method: str) -> dict[tuple[str, int], Line]:
    """Return a method's finished cells of a program, or of all, by program and seed."""
    cells = [cell for cell in spec.cells() if cell.method == method and group in (cell.program, "all")]
    return {(cell.program, cell.seed): done[cell.key] for cell in cells if cell.key in done}


def _group(spec: Spec, done: Mapping[str, Line], group: str) -> str:
    """Return the table of one program, or of all: scores, costs, and the difference to the better leader."""
    by_method = {method: _lines(spec, done, group, method) for method in spec.names}
    leader = leader_of(spec, by_method)
    lines = [
        f"| | held-out score | before | minus {leader or 'the leader'} | calls | tokens | seconds | cells |",
        "|---" * 8 + "|",
    ]
    for method, found in by_method.items():
        if not found:
            lines.append(f"| {method} | | | | | | | 0 |")
            continue
        score, interval = scored(found)
        spread = interval if _seeds(found) > 1 else ""
        rest = "" if leader is None or method == leader else _difference(by_method[leader], found)
        lines.append(
            f"| {method} | {score:.3f} {spread} | {mean(line['baseline'] for line in found.values()):.3f} | {rest} "
            f"| {mean(line['calls'] for line in found.values()):.0f} "
            f"| {mean(line['tokens'] for line in found.values()):.0f} "
            f"| {mean(line['seconds'] for line in found.values()):.0f} | {len(found)} |"
        )
    return "\n".join(lines)


def leader_of(spec: Spec, by_method: Mapping[str, Mapping[tuple[str, int], Line]]) -> str | None:
    """Return which of the leaders scores best on the cells that they share; None where they share none."""
    known = [name for name in spec.leaders if by_method.get(name)]
    both = [cell for name in known[:1] for cell in by_method[name] if all(cell in by_method[other] for other in known)]
    return max(known, key=lambda name: mean(by_method[name][cell]["score"] for cell in both)) if both else None


def scored(found: Mapping[tuple[str, int], Line]) -> tuple[float, Interval]:
    """Return the mean over cells and rows, with its interval over seeds."""
    scores = [score for line in found.values() for score in line["rows"]]
    seeds = [seed for (_, seed), line in found.items() for _ in line["rows"]]
    return mean(scores), mean_interval(scores, clusters=seeds)


def difference(
    leader: Mapping[tuple[str, int], Line], rival: Mapping[tuple[str, int], Line]
) -> tuple[float, Interval] | None:
    """Return the rival's score minus the leader's on the same rows, with its interval over seeds; None without any."""
    both = [cell for cell in leader if cell in rival]
    first, second = ([score for cell in both for score in side[cell]["rows"]] for side in (leader, rival))
    if not both:
        return None
    seeds = [seed for _, seed in both for _ in leader[_, seed]["rows"]]
    return mean(second) - mean(first), paired_interval(first, second, clusters=seeds)


def _difference(leader: Mapping[tuple[str, int], Line], rival: Mapping[tuple[str, int], Line]) -> str:
    found = difference(leader, rival)
    if found is None:
        return ""
    return f"{found[0]:+.3f} {found[1].signed() if _seeds([cell for cell in leader if cell in rival]) > 1 else ''}"


def _seeds(cells: Iterable[tuple[str, int]]) -> int:
    """Return of how many seeds these cells are: of one there is no interval."""
    return len({seed for _, seed in cells})


def _proposers(spec: Spec, done: Mapping[str, Line]) -> str:
    """Return what came of the proposers' calls, and which methods are not judged by it."""
    lines = ["| | proposer calls | new instructions scored | winners with one | |", "|---" * 5 + "|"]
    for method in spec.names:
        found = list(_lines(spec, done, "all", method).values())
        calls, tried = (sum(line[name] for line in found) for name in ("proposer_calls", "tried"))
        won = sum(bool(line["instructions"]) for line in found)
        lines.append(f"| {method} | {calls} | {tried} | {won} of {len(found)} | {unjudged(spec, found)} |")
    few, rare = spec.unjudged["tried"], spec.unjudged["won"]
    return "\n".join(lines) + (
        f"\n\nNot judged: the scored ones are fewer than {few:.0%} of the calls, or the winners with one fewer than {rare:.0%} "
        "of the cells. Such a method's score tells what it makes of demos, if anything, and not how it writes instructions."
    )


def unjudged(spec: Spec, found: Sequence[Line]) -> str:
    """Return why a method's way of writing instructions is not judged, or nothing."""
    calls, tried = (sum(line[name] for line in found) for name in ("proposer_calls", "tried"))
    if not calls:
        return ""
    if tried < spec.unjudged["tried"] * calls:
        return "not judged: too few of the proposer's calls gave an instruction that came to be scored"
    if sum(bool(line["instructions"]) for line in found) < spec.unjudged["won"] * len(found):
        return "not judged: what the proposer wrote too rarely helped"
    return ""


def _cells(spec: Spec, done: Mapping[str, Line]) -> str:
    """Return each method's scores and calls, one column a program and seed."""
    lines: list[str] = []
    for program in spec.programs:
        lines += [f"| {program} | {' | '.join(f'seed {seed}' for seed in spec.seeds)} |"]
        lines += ["|---" * (len(spec.seeds) + 1) + "|"]
        for method in spec.names:
            found = [done.get(Cell(program, seed, method).key) for seed in spec.seeds]
            shown = ["" if line is None else f"{line['score']:.2f} ({line['calls']} calls)" for line in found]
            lines.append(f"| {method} | {' | '.join(shown)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    main()
