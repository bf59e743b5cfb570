"""A compile that is killed outright, at moments from its start to its end, and goes on with the same command.

Whatever was killed, the artifact must equal, byte for byte, that of a run which nobody killed; the LM, a server in a
process of its own, must not be asked again for a reply that is recorded: only for what was in flight at the kill.

    python tests/kill_rig.py compile ...    is the command that is killed
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openai_answers import planted, planted_rows
from openai_server import MODEL, Server, serving

import lmprog as lp
from lmprog.cli import main
from lmprog.rundir import RESULT
from lmprog.testing import Answer, Asked

IN_FLIGHT = 8
LATENCY_S = 0.004
ORDER = "LMPROG_TEST_KILL_ORDER"
"""The environment variable that tells the server where it finds whom to kill, and when."""
CHANGES = "LMPROG_TEST_CHANGES"
"""The environment variable that tells a compile where to list the changes that it makes to files."""
PART_BYTES = 100
"""What of a file is written when its writer is killed."""


class Recall(lp.Signature):
    """Name what bears on the question."""

    question: str = lp.InputField()
    hint: str = lp.OutputField()


class Solve(lp.Signature):
    """Answer with the hint."""

    question: str = lp.InputField()
    hint: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoSteps(lp.Module):
    """Two calls a question."""

    def __init__(self) -> None:
        self.recall, self.solve = lp.Predict(Recall), lp.Predict(Solve)

    def forward(self, question: str) -> Solve:
        """Answer."""
        return self.solve(question=question, hint=self.recall(question=question).hint)


def load() -> lp.Splits:
    """Return rows that `planted` knows."""
    rows = planted_rows(80)
    return lp.Splits(tuple(rows[:24]), tuple(rows[24:44]), tuple(rows[44:]))


TASK = lp.Task("killed", TwoSteps, lp.metrics.exact_match("answer"), load, "Two steps with a planted gain.")


def command_for(run_dir: Path, url: str) -> list[str]:
    """Return the arguments of the compile that is killed."""
    options = ["--optimizer", "mipro:candidates=3,trials=6", "--budget", "calls=600", "--concurrency", str(IN_FLIGHT)]
    return [
        "compile",
        f"{Path(__file__).resolve()}:TASK",
        "--lm",
        f"{url}#{MODEL}",
        *options,
        "--run-dir",
        str(run_dir),
    ]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a compile is killed.

    "call": the LM has been asked for `at` replies in this process, and the last is not answered.
    "before": just before the change of a file that `at` names. "within": when a part of that file is written.
    """

    kind: str
    at: int | str


@dataclass(frozen=True, slots=True)
class Ordeal:
    """What came of a compile that was killed, and resumed until it ended."""

    kills: int
    """How many processes were killed; fewer than planned where one ended first."""
    repeated: int
    """How many calls were sent that had been sent before."""
    strange: int
    """How many of the calls no undisturbed run makes."""
    equal: bool
    """Whether the artifact is that of an undisturbed run."""
    seconds: float


class Rig:
    """A server, and an undisturbed run on it to compare with."""

    def __init__(self, server: Server, order: Path, folder: Path) -> None:
        self.server, self._order = server, order
        changes = folder / "changes"
        self.run(folder / "whole" / "run", {CHANGES: str(changes)})
        self.artifact = (folder / "whole" / "run" / RESULT).read_bytes()
        self.bodies = server.counts.by_body
        self.changes = changes.read_text().splitlines()
        """What the run changed, in order, such as "rename run.json.part 2"."""

    def moment(self, rng: random.Random) -> Moment:
        """Draw a moment."""
        kind = rng.choice(["call", "call", "before", "within"])
        if kind == "call":
            return Moment(kind, rng.randint(1, self.bodies.total()))
        return Moment(kind, rng.choice([change for change in self.changes if kind == "before" or "open" in change]))

    def ordeal(self, moments: Sequence[Moment], folder: Path) -> Ordeal:
        """Kill a compile at each of the moments in turn, let it end, and compare."""
        began, kills = time.monotonic(), 0
        self.server.reset()
        self.server.set(latency_s=LATENCY_S)
        for moment in moments:
            kills += self.run(folder / "run", _environment(moment), moment) < 0
        self.run(folder / "run", {})
        bodies = self.server.counts.by_body
        return Ordeal(
            kills=kills,
            repeated=bodies.total() - len(bodies),
            strange=len(bodies.keys() - self.bodies.keys()),
            equal=(folder / "run" / RESULT).read_bytes() == self.artifact,
            seconds=round(time.monotonic() - began, 1),
        )

    def run(self, run_dir: Path, environment: Mapping[str, str], moment: Moment | None = None) -> int:
        """Run the command in a process of its own until it ends or is killed; return its exit code, negative if killed."""
        self._order.unlink(missing_ok=True)
        with self.started(run_dir, environment) as process:
            if moment is not None and moment.kind == "call":
                _give(self._order, int(moment.at), process.pid)
            said, _ = process.communicate(timeout=120)
        if process.returncode > 0:
            raise AssertionError(f"the compile ended with {process.returncode} after {moment}: {said}")
        return process.returncode

    @contextmanager
    def started(
        self, run_dir: Path, environment: Mapping[str, str] | None = None
    ) -> Generator["subprocess.Popen[str]"]:
        """Start the command in a process of its own; what it says can be read from its standard output."""
        command = [sys.executable, __file__, *command_for(run_dir, self.server.url)]
        with subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            yield process


@contextmanager
def rig() -> Generator[Rig]:
    """Start the server, and make the undisturbed run."""
    folder = Path(tempfile.mkdtemp(prefix="lmprog-kill-"))
    os.environ[ORDER] = str(folder / "order")
    try:
        with serving(answers=f"{Path(__file__).resolve()}:answers", latency_s=LATENCY_S) as server:
            yield Rig(server, folder / "order", folder)
    finally:
        del os.environ[ORDER]
        shutil.rmtree(folder)


def answers(asked: Asked) -> Answer:
    """Answer as `planted` does, in the server's process; first kill whom an order names, once it is time."""
    order = Path(os.environ[ORDER])
    if order.exists():
        calls, pid = map(int, order.read_text().split())
        if calls > 1:
            _give(order, calls - 1, pid)
        else:
            order.unlink()
            os.kill(pid, signal.SIGKILL)
    return planted(asked)


def _give(order: Path, calls: int, pid: int) -> None:
    """Have a process killed when so many more calls have come, the last of them unanswered."""
    part = order.with_suffix(".part")
    part.write_text(f"{calls} {pid}")
    part.replace(order)


def _environment(moment: Moment) -> dict[str, str]:
    return {} if moment.kind == "call" else {f"{CHANGES}_{moment.kind.upper()}": str(moment.at)}


def _watch_files(run_dir: str) -> None:
    """List this process's changes of files in the run directory where that is asked for, or die at one of them."""
    listed, before, within = (os.environ.get(name) for name in (CHANGES, f"{CHANGES}_BEFORE", f"{CHANGES}_WITHIN"))
    times = Counter[str]()
    if within:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def changed(what: str) -> None:
        times[what] += 1
        name = f"{what} {times[what]}"
        if listed:
            with open(listed, "a", encoding="utf-8") as file:
                file.write(name + "\n")
        if name == before:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == within:
            resource.setrlimit(resource.RLIMIT_FSIZE, (PART_BYTES, PART_BYTES))  # the byte after these kills

    def hook(event: str, args: tuple[object, ...]) -> None:
        path = str(args[0]) if args else ""
        if not path.startswith(run_dir):
            return
        flags = args[2] if event == "open" and len(args) > 2 else 0
        if event == "open" and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            changed(f"open {Path(path).name}")
        elif event in ("os.rename", "os.mkdir", "sqlite3.connect"):
            changed(f"{event.rpartition('.')[2]} {Path(path).name}")

    sys.addaudithook(hook)


if __name__ == "__main__":
    _watch_files(sys.argv[-1])
    sys.exit(main(sys.argv[1:]))
