"""Whether the certificate keeps its word: compiles of candidates whose true gains are known, by the thousand.

    make prove-certificate                    every cell
    python tests/prove/certificate.py NAME    those cells

Each compile is one line of bench-out/certificate.jsonl; those that stand there, made by the same code, are not run again.
"""

import argparse
import hashlib
import inspect
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where the rig is

from certificate_rig import CELLS, HOLDOUT, PLANTED, Best, Cell, Compiled, World, compiled

from lmprog import certificate, statistics
from lmprog.rundir import read_journal
from lmprog.statistics import power

OUT = Path(__file__).resolve().parent.parent.parent / "bench-out" / "certificate.jsonl"
AT_MOST_CLAIMED, AT_LEAST_FOUND, COVERED = 0.05, 0.80, (0.93, 0.97)
"""What is to hold: of compiles without a gain, of those with the planted one, and of the intervals of either."""
CURVE = (0.15, 0.20, 0.25, 0.30, 0.35, 0.40)


def main(names: Sequence[str], *, most: int | None = None, out: Path = OUT) -> int:
    """Run what is missing, print the table, and return 0 where all holds."""
    out.parent.mkdir(parents=True, exist_ok=True)
    code, missed = _code(), list[str]()
    lines = [line for line in read_journal(out) if line["code"] == code]
    for name in names or CELLS:
        cell = CELLS[name]
        known = {line["seed"]: Compiled(**line["compiled"]) for line in lines if line["cell"] == name}
        for seed in range(min(cell.compiles, most or cell.compiles)):
            if seed not in known:
                known[seed] = compiled(cell, seed)
                line = {"code": code, "cell": name, "seed": seed, "compiled": asdict(known[seed])}
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        said, holds = verdict(cell, list(known.values()))
        missed += [] if holds else [name]
        print(said, flush=True)
    print()
    print(curve())
    print(f"\nwrong: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def _code() -> str:
    """Return a digest of the code that decides what stands in a compile's line."""
    sources = [inspect.getsource(part) for part in (certificate, statistics, World, Best, compiled)]
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:16]


def verdict(cell: Cell, found: Sequence[Compiled]) -> tuple[str, bool]:
    """Return a cell's line, and whether what is to hold does."""
    claimed = sum(one.claimed for one in found) / len(found)
    differing = [one for one in found if one.differs]
    covered = sum(one.low - 1e-9 <= one.truth <= one.high + 1e-9 for one in differing) / max(1, len(differing))
    planted = max(cell.gains)
    exact = power(planted, discordant=cell.discordant, rows=cell.holdout // cell.group)
    bound = AT_LEAST_FOUND if planted and exact > AT_LEAST_FOUND + 0.05 else 0.0
    holds = claimed >= bound if planted else claimed <= AT_MOST_CLAIMED
    what = f"found in {claimed:6.1%}" if planted else f"claimed in {claimed:6.1%}"
    error = math.sqrt(covered * (1 - covered) / max(1, len(differing)))
    line = (
        f"{cell.name:<18}{len(found):>5} compiles  {what:<18} (by the power function {exact:5.1%})  coverage {covered:.1%} "
        f"+- {error:.1%} of {len(differing)} winners that differ, mean gain {_mean(differing):+.3f}"
    )
    return line, holds and COVERED[0] <= covered <= COVERED[1]


def curve() -> str:
    """Return the power curve that `lmprog plan` goes by: +10 points on 150 rows, and the gain found 8 times in 10."""
    head = f"{'rows that differ':<28}" + "".join(f"{share:>8.0%}" for share in CURVE)
    found = [power(PLANTED, discordant=share, rows=HOLDOUT) for share in CURVE]
    least = [statistics.resolvable(discordant=share, rows=HOLDOUT) for share in CURVE]
    return "\n".join(
        [
            head,
            f"{f'+10 found, {HOLDOUT} rows':<28}" + "".join(f"{share:>8.1%}" for share in found),
            f"{'gain found 8 times in 10':<28}" + "".join(f"{100 * gain:>+8.1f}" for gain in least),
        ]
    )


def _mean(found: Sequence[Compiled]) -> float:
    return math.fsum(one.gain for one in found) / max(1, len(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)}; all where none is named")
    parser.add_argument("--compiles", type=int, help="so many of each cell at most")
    options = parser.parse_args()
    unknown = [name for name in options.cells if name not in CELLS]
    if unknown:
        parser.error(f"no cell is called {', '.join(unknown)}; there are {', '.join(CELLS)}")
    sys.exit(main(options.cells, most=options.compiles))
