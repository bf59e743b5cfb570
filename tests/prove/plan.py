"""Whether a plan tells what the compile then takes: three programs, five seeds, calls, tokens and seconds.

    python tests/prove/plan.py            every program on five seeds
    python tests/prove/plan.py extract    some of them

Each compile is one line of bench-out/plan.jsonl; those that stand there, made by the same code, are not run again.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where the rig is

from plan_rig import CASES, SEEDS, Told, told

from lmprog.rundir import read_journal

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "bench-out" / "plan.jsonl"
WITHIN = {"calls": 0.15, "tokens": 0.15, "seconds": 0.30}
OPTIMIZERS = ("mipro", "bootstrap-random-search")
LATENCY_S = 0.15


def main(names: Sequence[str]) -> int:
    """Run what is missing, print a line each, and return 0 where every plan is as near as it should be."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sources = [ROOT / "tests" / "plan_rig.py", *sorted((ROOT / "lmprog" / "planning").glob("*.py"))]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    known = {tuple(line["cell"]): Told(**line["told"]) for line in read_journal(OUT) if line["code"] == code}
    missed = 0
    for cell in [(n, optimizer, seed) for n in names or CASES for optimizer in OPTIMIZERS for seed in range(SEEDS)]:
        if cell not in known:
            known[cell] = told(*cell, latency_s=LATENCY_S, budget="light")
            with OUT.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"code": code, "cell": cell, "told": asdict(known[cell])}) + "\n")
        figures = asdict(known[cell])
        far = [figure for figure, most in WITHIN.items() if abs(figures[figure] - 1) > most]
        missed += bool(far)
        said = "  ".join(f"{figure} {value:.2f}" for figure, value in figures.items())
        print(
            f"{cell[0]:<10}{cell[1]:<26}seed {cell[2]}  {said}{'  too far: ' if far else ''}{', '.join(far)}",
            flush=True,
        )
    print(f"\nplanned over taken; {missed} plans too far")
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="PROGRAM", help=f"of {', '.join(CASES)}; all where none is named")
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no program is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    sys.exit(main(options.cases))
