"""plan(): what a compile will take, what these rows can prove, and whether there is anything to win."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from lmprog import loop
from lmprog.budget import Size
from lmprog.certificate import Gate
from lmprog.data import LEAST_HOLDOUT, Splits, row_key
from lmprog.errors import RunDirError, without_rows
from lmprog.evaluation import Run
from lmprog.job import Job, check, check_needs, clients_of, run_path, settings_of, splits_of
from lmprog.lm import prices, shared_log
from lmprog.lm.cache import CallLog
from lmprog.lm.ledger import ROLES, Amount, Budget, Ledger, Role
from lmprog.lm.limit import Slots
from lmprog.lm.retry import FIRST_OUTAGE_S, patience_s
from lmprog.metrics import Metric
from lmprog.module import M, Program
from lmprog.optimizer import Optimizer, check_packages, named
from lmprog.planning.findings import Plan
from lmprog.planning.probe import Probed, probe
from lmprog.planning.records import TIMINGS, Recording
from lmprog.planning.rehearsal import Rehearsal, Stage, rehearse
from lmprog.request import LM
from lmprog.rundir import CALLS, RunDir
from lmprog.statistics import resolvable

BLOM = 0.375
"""Of Blom's approximation of the greatest of several normal numbers (1958)."""


async def made(job: Job[M]) -> Plan:
    """Probe, rehearse, and put together the plan of a job."""
    with without_rows(job.no_rows):
        return await _made(job)


async def _made(job: Job[M]) -> Plan:
    check(job)
    optimizer, clients, splits = named(job.optimizer), clients_of(job), splits_of(job)
    check_needs(optimizer, clients)
    check_packages(optimizer, job.program, clients["task"])
    settings = settings_of(job, optimizer, clients, splits)
    with (
        RunDir.opened(run_path(job, settings), settings) as run_dir,
        CallLog(run_dir.path / CALLS, alone=True) as log,
    ):
        if run_dir.facts().get("finished"):
            raise RunDirError(
                f"the run in {run_dir.path} is finished: to compile returns its result and costs nothing. To plan another run "
                f"give another run_dir."
            )
        recording = Recording.read(run_dir.path / TIMINGS)
        ledger, slots = Ledger(prices=prices()), Slots(job.concurrency)
        try:
            lms: dict[Role, LM] = {
                role: recording.layers(
                    client, role=role, log=log, ledger=ledger, slots=slots, shared=shared_log(),
                    outage_s=min(FIRST_OUTAGE_S, patience_s()),
                )
                for role, client in clients.items()
            }  # fmt: skip
            probed = await probe(job, splits, lms, ledger)
            stage = Stage(recording, recording.layers, log, ledger, slots, probed)
            rehearsal = await rehearse(job, optimizer, clients, splits, stage)
        finally:
            recording.write(run_dir.path / TIMINGS)
        return _plan(job, splits, probed, rehearsal, ledger)


def plan(
    program: Program,
    *,
    train: Iterable[Any],
    metric: Metric,
    val: Iterable[Any] | None = None,
    holdout: Iterable[Any] | None = None,
    optimizer: str | Optimizer = "mipro",
    lm: LM | str | None = None,
    proposer: LM | str | None = None,
    teacher: LM | str | None = None,
    judge: LM | str | None = None,
    budget: Size | Budget = "light",
    run_dir: str | Path | None = None,
    seed: int = 0,
    gate: Gate = "no-harm",
    group: str | None = None,
    concurrency: int = loop.DEFAULT_CONCURRENCY,
) -> Plan:
    """Return what `compile()` with the same arguments will take and can prove, and whether there is anything to win.

    The program is run on a few training and validation rows, as it is and under other prompts: at most a tenth of any cap,
    real calls, recorded in the run directory, so that the compile does not send again those that it needs too. Then
    the compile itself is rehearsed before a simulated LM that answers as the real one did; of the real ones it asks for a
    few replies of each kind that the probe did not see, such as instructions. The program's own code runs as often
    as in a compile, or in seven whose mean is told; under a cap in seconds only as many as a tenth of it has room for, and
    one at least. Holdout rows reach no LM.
    """
    job = Job(
        program, train, metric, val, holdout, optimizer, lm, proposer, teacher, judge, budget, run_dir, seed, gate, group,
        concurrency,
    )  # fmt: skip
    return loop.run(made(job), instead="await lp.aplan(...)")


async def aplan(
    program: Program,
    *,
    train: Iterable[Any],
    metric: Metric,
    val: Iterable[Any] | None = None,
    holdout: Iterable[Any] | None = None,
    optimizer: str | Optimizer = "mipro",
    lm: LM | str | None = None,
    proposer: LM | str | None = None,
    teacher: LM | str | None = None,
    judge: LM | str | None = None,
    budget: Size | Budget = "light",
    run_dir: str | Path | None = None,
    seed: int = 0,
    gate: Gate = "no-harm",
    group: str | None = None,
    concurrency: int = loop.DEFAULT_CONCURRENCY,
) -> Plan:
    """Plan, as `plan()` does, from async code."""
    job = Job(
        program, train, metric, val, holdout, optimizer, lm, proposer, teacher, judge, budget, run_dir, seed, gate, group,
        concurrency,
    )  # fmt: skip
    return await loop.hop(made(job))


def optimism(candidates: int, *, discordant: float, rows: int) -> float:
    """Return how much better than it is the best of equal candidates looks: the expected greatest of independent errors.

    Each candidate's error has half the variance of a difference between two.
    """
    if candidates < 2:
        return 0.0
    greatest = NormalDist().inv_cdf((candidates - BLOM) / (candidates - 2 * BLOM + 1))
    return greatest * math.sqrt(discordant / 2 / rows)


def _plan(job: Job[M], splits: Splits, probed: Probed, rehearsal: Rehearsal, ledger: Ledger) -> Plan:
    pairs = [
        (was.score.value, now.score.value)
        for runs in probed.others.values()
        for was, now in zip(probed.val, runs, strict=True)
    ]
    squares = [(now - was) ** 2 for was, now in pairs]
    discordant = min(1.0, (math.fsum(squares) + 1) / (len(squares) + 2))  # Laplace's rule: none in few is not none
    units = len(splits.holdout)
    if job.group is not None:
        units = len({row_key(row, (), job.group) for row in splits.holdout})
    base: Sequence[Run] = probed.baseline
    return Plan(
        requested={role: amount for role in ROLES if (amount := rehearsal.requested[role]) != Amount()},
        recorded=rehearsal.recorded,
        seconds=rehearsal.seconds,
        probe=ledger.spent.total_requested,
        budget=rehearsal.cap,
        rows={"train": len(splits.train), "val": len(splits.val), "holdout": len(splits.holdout)},
        calls_per_row=probed.row.calls,
        baseline=math.fsum(run.score.value for run in base) / len(base),
        baseline_rows=len(base),
        failed=sum(run.failure is not None for run in base),
        failure=next((run.failure for run in base if run.failure is not None), ""),
        tried=len(pairs),
        changed=len(probed.changed),
        differing=sum(was != now for was, now in pairs),
        discordant=discordant,
        noise=math.sqrt(discordant / len(splits.val)),
        optimism=optimism(rehearsal.candidates, discordant=discordant, rows=len(splits.val)),
        candidates=rehearsal.candidates,
        resolvable=resolvable(discordant=discordant, rows=units) if len(splits.holdout) >= LEAST_HOLDOUT else None,
        units=units,
        stopped=rehearsal.stopped,
    )
