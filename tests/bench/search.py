"""Choosing among prompts whose real outcomes were recorded: `make bench-search`, or `python tests/bench/search.py [PART ...]`.

Reads every response matrix under $LMPROG_DATA/matrices (files `arms*.jsonl` or `.jsonl.gz`, a prompt a line, `y` a string
of one character an item), draws up to 60 of its prompts, and lets each policy of `Pool` choose among them through
`TableLM`, in so many calls. The regret is the best drawn prompt's score on the test items less the chosen one's. Where a
matrix has no test scores, a random half of its items is the test. All policies meet the same draws. A finished block of
draws is one line of JSON, and is not played again.
"""

import argparse
import asyncio
import gzip
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from lmprog.optimizers.select.pool import PolicyName, Pool
from lmprog.testing import TableLM, problem_for

OUT = Path(__file__).parents[2] / "bench-out" / "search.jsonl"
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
OURS, RIVAL = "rejects", "halving"
CANDIDATES = 60
DRAWS, DRAWS_OF_ALL = 500, 100
"""Draws of a matrix with more prompts than candidates, and of one where all are candidates and only items and order vary."""
BLOCK = 20
RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Matrix:
    """Prompts and what they scored; test scores only where the file has them."""

    name: str
    prompts: Sequence[tuple[str, Sequence[str]]]
    scores: Sequence[Sequence[float]]
    test: Sequence[float] | None

    @property
    def draws(self) -> int:
        return DRAWS if len(self.prompts) > CANDIDATES else DRAWS_OF_ALL


@dataclass(frozen=True, slots=True)
class Cell:
    matrix: Matrix
    calls: int
    policy: PolicyName
    block: int

    @property
    def key(self) -> str:
        return f"{self.matrix.name}/{self.calls}/{self.policy}/{self.block}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="matrices whose names hold any of these (all)")
    parser.add_argument("--calls", type=int, nargs="+", default=[1000, 4000], help="budgets (1000 4000)")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES, help="policies (all)")
    parser.add_argument(
        "--draws", type=int, metavar="N", help=f"draws a matrix ({DRAWS}, or {DRAWS_OF_ALL} of small ones)"
    )
    parser.add_argument("--table", action="store_true", help="show what was played, and play no more")
    arguments = parser.parse_args()
    folder = Path(os.environ.get("LMPROG_DATA", "")) / "matrices"
    if not os.environ.get("LMPROG_DATA") or not folder.is_dir():
        print(f"No response matrices in {folder}: set LMPROG_DATA to a folder that has them.", file=sys.stderr)
        return 0
    matrices = [
        one for one in read_matrices(folder) if not arguments.parts or any(p in one.name for p in arguments.parts)
    ]
    wanted = list(cells(matrices, arguments.calls, arguments.policies, arguments.draws))
    done = played()
    OUT.parent.mkdir(exist_ok=True)
    todo = [] if arguments.table else [cell for cell in wanted if cell.key not in done]
    for number, cell in enumerate(todo):
        print(f"\r{number}/{len(todo)} {cell.key}\033[K", end="", file=sys.stderr, flush=True)
        done[cell.key] = play(cell)
        with OUT.open("a") as file:
            file.write(json.dumps({"key": cell.key, "regret": done[cell.key]}) + "\n")
    print(file=sys.stderr)
    show(wanted, done)
    return 0


def cells(
    matrices: Sequence[Matrix], budgets: Sequence[int], policies: Sequence[PolicyName], draws: int | None
) -> Iterator[Cell]:
    """Yield the cells block by block, so that whatever was played compares all policies on the same draws."""
    for matrix in matrices:
        for block in range(-(-(draws or matrix.draws) // BLOCK)):
            for calls in budgets:
                yield from (Cell(matrix, calls, policy, block) for policy in policies)


def play(cell: Cell) -> list[float]:
    """Return the regret of each draw of a block."""
    return [asyncio.run(regret(cell, cell.block * BLOCK + number)) for number in range(BLOCK)]


async def regret(cell: Cell, draw: int) -> float:
    """Draw prompts, let the policy choose, and compare on the test."""
    matrix, rng = cell.matrix, Random(f"{cell.matrix.name}/{draw}")
    chosen = rng.sample(range(len(matrix.prompts)), min(CANDIDATES, len(matrix.prompts)))
    scores = [matrix.scores[number] for number in chosen]
    if matrix.test is None:
        items = rng.sample(range(len(scores[0])), len(scores[0]))
        half = len(items) // 2
        test = [sum(each[item] for item in items[:half]) / half for each in scores]
        scores = [[each[item] for item in items[half:]] for each in scores]
    else:
        test = [matrix.test[number] for number in chosen]
    lm = TableLM([matrix.prompts[number] for number in chosen], scores)
    problem = problem_for(lm.program, lm.rows[:1], lm.rows, lm.metric, lm, calls=cell.calls, seed=draw)
    outcome = await Pool(lm.params, cell.policy).search(problem, lm.params[0])
    assert problem.allowance.ledger.requested <= cell.calls
    problem.room.workers.close()
    return max(test) - test[list(lm.params).index(outcome.params)]


def show(wanted: Sequence[Cell], done: Mapping[str, Sequence[float]]) -> None:
    """Print regrets in points of 100, and what lies between ours and each rival, over the draws that both have played."""
    regrets: defaultdict[tuple[str, int], dict[str, dict[int, Sequence[float]]]] = defaultdict(dict)
    for cell in wanted:
        if cell.key in done:
            regrets[cell.matrix.name, cell.calls].setdefault(cell.policy, {})[cell.block] = done[cell.key]
    width = max((len(name) for name, _ in regrets), default=0)
    print(f"{'mean regret, points':{width}}  calls draws " + " ".join(f"{policy:>22}" for policy in POLICIES))
    for (name, calls), by_policy in regrets.items():
        ours, words = by_policy.get(OURS, {}), list[str]()
        for policy in POLICIES:
            blocks = by_policy.get(policy, {})
            both = sorted(blocks.keys() & ours.keys())
            theirs = np.concatenate([blocks[b] for b in both]) if both else np.array([])
            mine = np.concatenate([ours[b] for b in both]) if both else np.array([])
            if not both:
                words.append("")
            elif policy == OURS:
                words.append(f"{100 * theirs.mean():.2f}")
            else:
                low, high = interval(100 * (mine - theirs))
                words.append(f"{100 * theirs.mean():.2f} ({low:+.2f}, {high:+.2f})")
        draws = BLOCK * len(ours)
        print(f"{name:{width}} {calls:6} {draws:5} " + " ".join(f"{word:>22}" for word in words))
    print("In brackets: 95% interval of ours less this policy's, paired by draw.")
    for calls in sorted({calls for _, calls in regrets}):
        ratio(regrets, calls)


def ratio(regrets: Mapping[tuple[str, int], Mapping[str, Mapping[int, Sequence[float]]]], calls: int) -> None:
    """Print ours over Sequential Halving's for matrices whose candidates are drawn, all draws together."""
    pairs = [
        (ours[b], theirs[b])
        for (_, own), by_policy in regrets.items()
        if own == calls
        for ours, theirs in [(by_policy.get(OURS, {}), by_policy.get(RIVAL, {}))]
        for b in ours.keys() & theirs.keys()
    ]
    if pairs:
        mine, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
        drawn = np.random.default_rng(0).integers(len(mine), size=(RESAMPLES, len(mine)))
        low, high = np.quantile(mine[drawn].mean(1) / theirs[drawn].mean(1), [0.025, 0.975])
        print(
            f"{calls} calls, all of these: {OURS} {100 * mine.mean():.2f}, {RIVAL} {100 * theirs.mean():.2f}, "
            f"ratio {mine.mean() / theirs.mean():.3f} [{low:.3f}, {high:.3f}]"
        )


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)


def played() -> dict[str, list[float]]:
    """Return the blocks that were played before."""
    lines = OUT.read_text().splitlines() if OUT.exists() else []
    return {one["key"]: one["regret"] for one in map(json.loads, lines)}


def read_matrices(folder: Path) -> Iterator[Matrix]:
    """Yield the matrices in a folder: one for each file, and within it for each task, LM and split.

    Only prompts that were run on all items are candidates; where some of them have test scores, only these.
    """
    for path in sorted(folder.rglob("arms*.jsonl*")):
        texts = {one["id"]: one["text"] for one in lines_of(path.parent / "texts.jsonl.gz")}
        arms: defaultdict[str, list[tuple[tuple[str, Sequence[str]], str, float | None]]] = defaultdict(list)
        for arm in lines_of(path):
            if "y" not in arm:
                continue
            prompt = (texts.get(arm.get("instr"), _text(arm)), [texts[demo] for demo in arm.get("demos", [])])
            outcomes = cast("dict[str, str]", arm["y"] if isinstance(arm["y"], dict) else {"": arm["y"]})
            for split, bits in outcomes.items():
                if "." not in bits:
                    arms["/".join(filter(None, (arm.get("task", ""), split)))].append((prompt, bits, arm.get("test")))
        for part, found in arms.items():
            tested = [one for one in found if one[2] is not None]
            distinct = {json.dumps(one[0]): one for one in (tested or found)}.values()
            if len(distinct) < 2 or len({len(bits) for _, bits, _ in distinct}) != 1:
                continue
            name = "/".join(filter(None, (path.relative_to(folder).as_posix().split(".")[0], part)))
            yield Matrix(
                name=name,
                prompts=[prompt for prompt, _, _ in distinct],
                scores=[[float(bit) for bit in bits] for _, bits, _ in distinct],
                test=[test for _, _, test in distinct if test is not None] or None,
            )


def lines_of(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file if line.strip()]


def _text(arm: Mapping[str, Any]) -> str:
    """Return what a record says of its prompt, where it names no text of a file beside it."""
    return str(arm.get("suffix") or arm.get("text") or arm["arm"])


if __name__ == "__main__":
    sys.exit(main())
