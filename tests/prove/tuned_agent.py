"""What tuning on a teacher's runs makes of the embedded LM as an agent, on 160 held-out questions.

python tests/prove/tuned_agent.py            it goes on where it was stopped; with --fresh, from the start
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where the rig is

from agent_rig import tuned

from lmprog.lm.tiny.client import shared

RUN = Path(__file__).resolve().parent.parent.parent / "bench-out" / f"agent-{shared().name}"


def main() -> int:
    """Compile, print the certificate, and return 0 where the gain is beyond its interval."""
    if "--fresh" in sys.argv[1:]:
        shutil.rmtree(RUN, ignore_errors=True)
    certificate = tuned(80, 20, 160, RUN).certificate
    print(certificate)
    return 0 if certificate.interval.low > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
