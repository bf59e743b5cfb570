"""Kill compiles at random moments, hundreds of times, and compare each with a run that nobody killed.

    make prove-kill                    200 ordeals of one to four kills
    python tests/prove/kill.py 1000    so many

Each ordeal is one line of runs/prove-kill/ordeals.jsonl; those that stand there are not gone through again.
"""

import json
import random
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where the rig is

from kill_rig import IN_FLIGHT, rig

from lmprog.rundir import read_journal

ORDEALS = Path("runs/prove-kill/ordeals.jsonl")


def main(count: int) -> int:
    """Go through ordeals up to this many in all, and return 0 when each ended as it should."""
    ORDEALS.parent.mkdir(parents=True, exist_ok=True)
    with rig() as ready:
        for seed in range(len(read_journal(ORDEALS)), count):
            rng = random.Random(seed)
            moments = [ready.moment(rng) for _ in range(rng.choice([1, 1, 2, 4]))]
            folder = Path(tempfile.mkdtemp(prefix="lmprog-kill-"))
            try:
                ordeal = ready.ordeal(moments, folder)
            finally:
                shutil.rmtree(folder)
            line = {"seed": seed, "moments": [asdict(moment) for moment in moments], **asdict(ordeal)}
            with ORDEALS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    ordeals = read_journal(ORDEALS)
    bad = [o["seed"] for o in ordeals if not o["equal"] or o["strange"] or o["repeated"] > IN_FLIGHT * o["kills"]]
    kills, repeated = (sum(ordeal[name] for ordeal in ordeals) for name in ("kills", "repeated"))
    most = max(ordeal["repeated"] / max(1, ordeal["kills"]) for ordeal in ordeals)
    print(
        f"{len(ordeals)} ordeals, {kills} kills, {repeated} calls repeated, at most {most:g} a kill; wrong: {bad or 'none'}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 200))
