"""compile(): from a program, rows and a metric to a better program, with proof."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, cast

from lmprog import loop
from lmprog.artifact import Artifact, read_artifact
from lmprog.budget import Size, certificate_calls, estimate
from lmprog.certificate import Certificate, Gate, Shipped, Split, decide, gain_of
from lmprog.data import SHARES, Row, Splits, fingerprint, row_key
from lmprog.errors import CapReached, DataError, InputError
from lmprog.evaluation import Evaluation, Room, run_rows
from lmprog.events import Event, StageEnded
from lmprog.job import Job, check, clients_of, optimizer_name, run_path, settings_of, splits_of
from lmprog.lint import secrets_of
from lmprog.lm import shared_log
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import Budget, Ledger, Role, Spent
from lmprog.lm.limit import Slots
from lmprog.lm.retry import patience_s
from lmprog.metrics import Metric
from lmprog.module import M, check_params, inputs_of, params_of, with_params
from lmprog.optimizer import Allowance, Optimizer, Outcome, Problem, named
from lmprog.params import Params
from lmprog.report import Clock, Facts, render
from lmprog.request import LM
from lmprog.rundir import CALLS, REPORT, RESULT, RunDir, opened_before, write_atomically

PROBED_ROWS = 4
"""Training rows run first, to see that all works and how many calls a row takes."""

PROBE = "probe"
"""The first stage. Its end tells listeners that the LM answers, and the caps in calls (0: none)."""

PROBE_OUTAGE_S = 15.0
"""How long the first calls wait for an LM that does not answer: it is wrong more often than down."""

KEPT = 0.25
"""The share of the caps in tokens, USD and seconds that the search leaves to the certificate; of calls it is counted."""

_log = logging.getLogger("lmprog")

Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class CompileResult(Generic[M]):
    """What `compile()` returns: the program that ships, the proof, and where everything lies."""

    program: M
    """The same class as the program that went in, under the params that ship."""
    params: Params
    baseline_params: Params
    certificate: Certificate
    shipped: Shipped
    spent: Spent
    """What this process paid and requested; a finished run that is opened again has spent nothing."""
    seconds: float
    run_dir: Path
    artifact: Artifact

    @property
    def report(self) -> Path:
        """The report page; open it in a browser."""
        return self.run_dir / REPORT

    def save(self, path: str | Path) -> Path:
        """Write the artifact, one file to ship: params, certificate, signatures and report."""
        return self.artifact.save(path)


async def run(job: Job[M], listeners: Sequence[Listener] = ()) -> CompileResult[M]:
    """Compile, telling the listeners what happens."""
    check(job)
    optimizer, clients, splits = named(job.optimizer), clients_of(job), splits_of(job)
    settings = settings_of(job, optimizer, clients, splits)
    path = run_path(job, settings)
    with RunDir.opened(path, settings) as run_dir:
        if run_dir.facts().get("finished") and (path / RESULT).exists():
            return _finished(job, run_dir)
        return await _Run(job, optimizer, clients, splits, run_dir, listeners).go()


def _finished(job: Job[M], run_dir: RunDir) -> CompileResult[M]:
    artifact = read_artifact(run_dir.path / RESULT)
    certificate = cast("Certificate", artifact.certificate)
    return CompileResult(
        program=artifact.bind(job.program),
        params=artifact.params,
        baseline_params=artifact.baseline_params,
        certificate=certificate,
        shipped=certificate.shipped,
        spent=Ledger().spent,
        seconds=0.0,
        run_dir=run_dir.path,
        artifact=artifact,
    )


class _Run(Generic[M]):
    """One compile under way in its run directory."""

    def __init__(
        self,
        job: Job[M],
        optimizer: Optimizer,
        clients: Mapping[Role, LM],
        splits: Splits,
        run_dir: RunDir,
        listeners: Sequence[Listener],
    ) -> None:
        self.job, self.optimizer, self.clients, self.splits = job, optimizer, clients, splits
        self.run_dir, self.listeners = run_dir, listeners
        self.baseline = params_of(job.program)
        self.ledger = Ledger(Budget() if isinstance(job.budget, str) else job.budget)
        self.room = Room.of(job.concurrency)
        self.started = time.monotonic()

    async def go(self) -> CompileResult[M]:
        """Search, certify, ship."""
        with CallLog(self.run_dir.path / CALLS) as log, self.run_dir.journal() as journal:
            slots = Slots(self.job.concurrency)

            def composed(outage_s: float) -> dict[Role, LM]:
                return {
                    role: compose(
                        client,
                        role=role,
                        log=log,
                        ledger=self.ledger,
                        slots=slots,
                        outage_s=outage_s,
                        shared=shared_log(),
                    )
                    for role, client in self.clients.items()
                }

            heard_by: tuple[Listener, ...] = (journal, *self.listeners)

            def emit(event: Event) -> None:
                for listener in heard_by:
                    listener(event)

            try:
                calls_per_row = await self._probe(composed(min(PROBE_OUTAGE_S, patience_s())))
                problem = self._problem(composed(patience_s()), calls_per_row, emit)
                outcome = await self._search(problem)
                certificate = await self._certify(problem, outcome)
            finally:
                self.room.workers.close()
        return self._ship(certificate, outcome)

    def _problem(self, lms: Mapping[Role, LM], calls_per_row: float, emit: Listener) -> Problem:
        """Fix the budget, and put together all that the optimizer may touch."""
        reserve = certificate_calls(len(self.splits.holdout), calls_per_row)
        calls = self._calls(calls_per_row, reserve)
        self.run_dir.note(calls=calls, calls_per_row=calls_per_row, reserved=reserve)
        measured = {"calls": calls or 0, "calls_per_row": calls_per_row, "reserved": reserve}
        emit(StageEnded(PROBE, measured, self.ledger.requested))
        searchable = None if calls is None else calls - reserve
        self._cap(searchable, 1 - KEPT)
        return Problem(
            program=self.job.program,
            train=self.splits.train,
            val=self.splits.val,
            metric=self.job.metric,
            seed=self.job.seed,
            allowance=Allowance(self.ledger, searchable, calls_per_row),
            lms=lms,
            room=self.room,
            emit=emit,
            secrets=secrets_of((*self.splits.val, *self.splits.holdout), self.splits.train),
        )

    async def _probe(self, lms: Mapping[Role, LM]) -> float:
        """Run the program on a few rows, to see that all works, and return how many calls a row takes."""
        names = inputs_of(self.job.program)
        distinct = {row_key(row, names, None): row for row in self.splits.train}  # equal rows would be one call
        probed = list(distinct.values())[:PROBED_ROWS]
        try:
            (await self._evaluate(lms, self.baseline, probed)).checked()
        except CapReached as cap:
            if cap.cap != "calls":
                raise
            calls_per_row = max(1.0, self.ledger.requested / len(probed))  # or more, since the cap cut it short
            self._calls(calls_per_row, certificate_calls(len(self.splits.holdout), calls_per_row))
            raise
        if not self.ledger.requested:
            raise DataError(
                f"{type(self.job.program).__name__} made no LM call on the first {len(probed)} rows, so there is nothing to compile."
            )
        return self.ledger.requested / len(probed)

    def _calls(self, calls_per_row: float, reserve: int) -> int | None:
        """Return the cap on calls; InputError where not even baseline and certificate fit it."""
        splits, budget = self.splits, self.job.budget
        if isinstance(budget, str):
            sizes = {"train": len(splits.train), "val": len(splits.val), "holdout": len(splits.holdout)}
            return estimate(budget, predictors=len(self.baseline), calls_per_row=calls_per_row, **sizes).total
        least = math.ceil(len(splits.val) * calls_per_row) + reserve + self.ledger.requested
        if budget.calls is not None and budget.calls < least:
            raise InputError(
                f"budget={budget.calls} calls is too small: the program takes about {calls_per_row:g} calls a row, so scoring it on "
                f"{len(splits.val)} validation rows and proving a gain on {len(splits.holdout)} holdout rows takes {least} calls before "
                f'any search. Write `budget=lp.Budget(calls={3 * least})` or more, or `budget="light"`.'
            )
        return budget.calls

    def _cap(self, calls: int | None, share: float) -> None:
        """Set the caps that hold from now on: so many calls, and a share of the caps in tokens, USD and seconds."""
        whole = Budget() if isinstance(self.job.budget, str) else self.job.budget
        self.ledger.budget = Budget(
            calls=calls,
            tokens=None if whole.tokens is None else math.ceil(share * whole.tokens),
            usd=None if whole.usd is None else share * whole.usd,
            seconds=None if whole.seconds is None else share * whole.seconds,
        )

    async def _search(self, problem: Problem) -> Outcome:
        """Search. A cap that leaves the optimizer without an answer leaves the program as it was."""
        before = self.ledger.requests()
        try:
            outcome = await self.optimizer.search(problem, self.baseline)
        except CapReached as cap:
            self.ledger.go_back(before)
            return Outcome(self.baseline, 0.0, 0.0, f"the cap on {cap.cap} was reached")
        return replace(outcome, params=check_params(self.job.program, outcome.params))

    async def _evaluate(self, lms: Mapping[Role, LM], params: Params, rows: Sequence[Row]) -> Evaluation:
        job = self.job
        return await run_rows(job.program, params, rows, job.metric, lm=lms["task"], judge=lms["judge"], room=self.room)

    async def _certify(self, problem: Problem, outcome: Outcome) -> Certificate:
        """Open the holdout: run baseline and winner on it, at once."""
        job, rows = self.job, self.splits.holdout
        facts = self.run_dir.facts()
        self._cap(cast("int | None", facts["calls"]), 1.0)
        name = fingerprint(rows)
        opened = facts["opened_before"] if "opened_before" in facts else opened_before(self.run_dir.path, name)
        self.run_dir.note(holdout=name, opened_before=opened)
        jobs = [self._evaluate(problem.lms, params, rows) for params in (self.baseline, outcome.params)]
        baseline, compiled = await loop.gather(jobs)
        clusters = None if job.group is None else [row_key(row, (), job.group) for row in rows]
        gain = gain_of(baseline, compiled, clusters)
        spent = self.ledger.spent
        certificate = Certificate(
            baseline=gain.baseline,
            compiled=gain.compiled,
            gain=gain.gain,
            interval=gain.interval,
            n=gain.n,
            gate=job.gate,
            shipped="baseline" if outcome.params == self.baseline else decide(job.gate, gain),
            seed=job.seed,
            splits={
                part: Split(len(getattr(self.splits, part)), fingerprint(getattr(self.splits, part))) for part in SHARES
            },
            requested={role: amount.calls for role, amount in spent.requested.items() if amount.calls},
            tokens={role: amount.tokens for role, amount in spent.requested.items() if amount.calls},
            failed={"baseline": len(baseline.failures), "compiled": len(compiled.failures)},
            opened_before=opened,
        )
        for run in (*baseline.failures, *compiled.failures)[:1]:
            _log.warning("a holdout row gave no prediction: %s (on %r)", run.failure, run.row)
        problem.ended("certificate", baseline=gain.baseline, compiled=gain.compiled, n=gain.n)
        return certificate

    def _ship(self, certificate: Certificate, outcome: Outcome) -> CompileResult[M]:
        """Write artifact and report, and mark the run finished."""
        job = self.job
        params = outcome.params if certificate.shipped == "compiled" else self.baseline
        facts = Facts(
            title=f"{type(job.program).__name__}, compiled with {optimizer_name(job.optimizer)}",
            certificate=certificate,
            baseline=self.baseline,
            params=params,
            events=self.run_dir.events(),
            stopped=outcome.stopped,
        )
        artifact = Artifact.made(
            with_params(job.program, params),
            baseline=self.baseline,
            lms={role: client.name for role, client in self.clients.items()},
            certificate=certificate,
            report=render(facts),
        )
        artifact.save(self.run_dir.path / RESULT)
        seconds, spent = time.monotonic() - self.started, self.ledger.spent
        clock = Clock(seconds=seconds, sent=spent.total_sent.calls, usd=spent.total_sent.usd)
        write_atomically(self.run_dir.path / REPORT, render(facts, clock).encode())
        self.run_dir.note(finished=True, seconds=seconds, sent=spent.total_sent.calls, usd=spent.total_sent.usd)
        return CompileResult(
            artifact.bind(job.program),
            params,
            self.baseline,
            certificate,
            certificate.shipped,
            spent,
            seconds,
            self.run_dir.path,
            artifact,
        )


def compile(
    program: M,
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
) -> CompileResult[M]:
    """Return the same program with better instructions and demos, and proof of the gain.

    One `train` is split 40/30/30 into rows that teach, rows that choose, and a holdout that proves; give `val` and
    `holdout` to split yourself. `optimizer` is a name such as "mipro", "bootstrap -> mipro" or "mipro:trials=20", or
    an object. `budget` caps everything the run does: a size, or `lp.Budget(calls=..., tokens=..., usd=..., seconds=...)`.
    A size ("light", "medium", "heavy") stands for as many calls as MIPRO takes with 6, 12 or 18 candidates on at most the
    first 100, 300 or 1000 validation rows.
    With the same arguments and run directory a killed run goes on where it was; a finished one returns at no cost.
    `gate` says what must hold for the compiled program to ship: "no-harm" (a gain above 0), "significant" (an interval
    above 0) or "none".
    """
    job = Job(
        program, train, metric, val, holdout, optimizer, lm, proposer, teacher, judge, budget, run_dir, seed, gate, group,
        concurrency,
    )  # fmt: skip
    return loop.run(run(job), instead="await lp.acompile(...)")


async def acompile(
    program: M,
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
) -> CompileResult[M]:
    """Compile, as `compile()` does, from async code."""
    job = Job(
        program, train, metric, val, holdout, optimizer, lm, proposer, teacher, judge, budget, run_dir, seed, gate, group,
        concurrency,
    )  # fmt: skip
    return await loop.hop(run(job))
