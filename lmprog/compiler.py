"""compile(): from a program, rows and a metric to a better program, with proof."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, cast

from lmprog import loop
from lmprog.artifact import Artifact, read_artifact
from lmprog.budget import Size
from lmprog.caps import NOTHING, PROBED_ROWS, Caps, Taken, taken_by
from lmprog.certificate import Certificate, Gate, Shipped, Split, decide, gain_of
from lmprog.cuts import Cuts
from lmprog.data import SHARES, Row, Splits, fingerprint, row_key
from lmprog.errors import ArtifactError, CapReached, RunDirError, without_rows
from lmprog.evaluation import Evaluation, Room, Run, run_rows
from lmprog.events import PROBE, Event, StageEnded
from lmprog.job import Job, check, check_needs, clients_of, optimizer_name, run_path, settings_of, splits_of
from lmprog.lint import secrets_of
from lmprog.lm import prices, shared_log
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import ROLES, Budget, Ledger, Role, Spent
from lmprog.lm.limit import Slots
from lmprog.lm.retry import FIRST_OUTAGE_S, patience_s
from lmprog.metrics import Metric
from lmprog.module import M, Program, check_params, inputs_of, params_of, predictors, with_params
from lmprog.narration import Logged
from lmprog.optimizer import Allowance, Optimizer, Outcome, Problem, check_packages, named, searched
from lmprog.params import Params
from lmprog.report import Clock, Facts, render
from lmprog.report.history import MOST_FAILURE
from lmprog.report.markup import clipped
from lmprog.request import LM
from lmprog.rundir import CALLS, REPORT, RESULT, RunDir, opened_before
from lmprog.secrets import redact

NOTED_EVERY_S = 1.0
"""How often run.json notes what the run has taken so far: so much of it a kill may cost the account."""

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
    """What this process took."""
    run_dir: Path
    artifact: Artifact

    @property
    def report(self) -> Path:
        """The report page; open it in a browser."""
        return self.run_dir / REPORT

    def save(self, path: str | Path) -> Path:
        """Write the artifact, one file to ship: params, certificate, signatures and report."""
        return self.artifact.save(path)

    def __repr__(self) -> str:
        return f"<CompileResult: {self.certificate}; report: {self.report}>"


async def run(job: Job[M], listeners: Sequence[Listener] = (), *, ledger: Ledger | None = None) -> CompileResult[M]:
    """Compile, telling the listeners what happens; whoever gives the ledger can read it meanwhile."""
    with without_rows(job.no_rows):
        return await _run(job, listeners, ledger or Ledger())


async def _run(job: Job[M], listeners: Sequence[Listener], ledger: Ledger) -> CompileResult[M]:
    check(job)
    optimizer, clients, splits = named(job.optimizer), clients_of(job), splits_of(job)
    check_needs(optimizer, clients)
    settings = settings_of(job, optimizer, clients, splits)
    path = run_path(job, settings)
    if not (path / RESULT).exists():  # what is finished is returned without them
        check_packages(optimizer, job.program, clients["task"])
    with RunDir.opened(path, settings) as run_dir:
        facts = run_dir.facts()
        if facts.get("finished") and (path / RESULT).exists() and facts.get("no_rows", False) == job.no_rows:
            try:
                return _finished(job, run_dir)
            except ArtifactError as damaged:
                _log.warning("%s It is made again from the recorded calls.", damaged)
        try:
            told: tuple[Listener, ...] = (Logged(), *listeners)
            return await Compiling(job, optimizer, clients, splits, run_dir, told, ledger).go()
        except CapReached as cap:
            raise CapReached(
                f"{cap} What was done is kept in {path}: with a larger budget and `run_dir={str(path)!r}` the run goes on.",
                cap=cap.cap,
            ) from cap


def distinct_rows(program: Program, rows: Sequence[Row]) -> list[Row]:
    """Return the rows without those whose inputs an earlier one has: they would be one call."""
    names = inputs_of(program)
    return list({row_key(row, names, None): row for row in rows}.values())


def _finished(job: Job[M], run_dir: RunDir) -> CompileResult[M]:
    artifact = read_artifact(run_dir.path / RESULT)
    if not (run_dir.path / REPORT).exists():
        with suppress(RunDirError):  # a run that can only be read
            run_dir.write(REPORT, artifact.entries.get(REPORT, b""))
    certificate, order = cast("Certificate", artifact.certificate), predictors(job.program)
    return CompileResult(
        program=artifact.bind(job.program),
        params=_by_path(artifact.params, order),
        baseline_params=_by_path(artifact.baseline_params, order),
        certificate=certificate,
        shipped=certificate.shipped,
        spent=Ledger().spent,
        seconds=0.0,
        run_dir=run_dir.path,
        artifact=artifact,
    )


def _by_path(params: Params, paths: Iterable[str]) -> Params:
    return Params({path: params[path] for path in paths})


@dataclass(frozen=True, slots=True)
class Proof:
    """What a search found, and what it is worth on the holdout."""

    certificate: Certificate
    outcome: Outcome
    holdout: Mapping[Shipped, Evaluation]
    """The runs of the program as it was and as compiled."""


class Layers(Protocol):
    """Puts everything around a client, as `lmprog.lm.compose.compose` does."""

    def __call__(
        self,
        client: LM,
        *,
        role: Role,
        log: CallLog,
        ledger: Ledger,
        slots: Slots,
        outage_s: float | None = None,
        shared: CallLog | None = None,
    ) -> LM:
        """Return the LM that predictors call."""
        ...


class Compiling(Generic[M]):
    """One compile under way in its run directory. A rehearsal brings layers of its own, and a room that it can watch."""

    def __init__(
        self,
        job: Job[M],
        optimizer: Optimizer,
        clients: Mapping[Role, LM],
        splits: Splits,
        run_dir: RunDir,
        listeners: Sequence[Listener],
        ledger: Ledger,
        layers: Layers = compose,
        room: Room | None = None,
        rehearsed: bool = False,
    ) -> None:
        self.rehearsed = rehearsed
        self.job, self.optimizer, self.clients, self.splits = job, optimizer, clients, splits
        self.run_dir, self.listeners, self.layers = run_dir, listeners, layers
        self.baseline = params_of(job.program)
        self.ledger = ledger
        facts = run_dir.facts()
        self.before = Clock(facts.get("seconds", 0.0), facts.get("sent", 0), facts.get("usd_by_role", {}))
        self.ledger.prices = prices()
        self.ledger.resume(self.before.seconds)
        cuts = Cuts(facts.get("cuts", {}), lambda noted: run_dir.note(cuts=noted))
        rows = {part: len(getattr(splits, part)) for part in SHARES}
        self.caps = Caps(ledger, job.budget, self.baseline, rows, cuts)
        self.room = room or Room.of(job.concurrency)
        self.started = time.monotonic()

    async def go(self) -> CompileResult[M]:
        """Search, certify, ship."""
        with self._log() as log:
            proof = await self._proven(log)
            log.settle()
            closing = asyncio.get_running_loop().run_in_executor(None, log.close)  # which waits for the disk
            try:
                return self._told(proof)
            finally:
                await closing

    def _told(self, proof: "Proof") -> CompileResult[M]:
        for run in [run for evaluation in proof.holdout.values() for run in evaluation.failures][:1]:
            # keys are hidden before the texts are cut: half a key would not be found
            why, row = (clipped(redact(text), MOST_FAILURE) for text in (run.failure or "", repr(run.row)))
            _log.warning("a holdout row gave no prediction%s", "" if self.job.no_rows else f": {why} (on {row})")
        return self._ship(proof)

    async def proven(self) -> "Proof":
        """Search and certify."""
        with self._log() as log:
            return await self._proven(log)

    def _log(self) -> CallLog:
        return CallLog(self.run_dir.path / CALLS, alone=True)

    async def _proven(self, log: CallLog) -> "Proof":
        with self.run_dir.journal() as journal:
            around = partial(self.layers, log=log, slots=Slots(self.job.concurrency), shared=shared_log())

            def composed(outage_s: float) -> dict[Role, LM]:
                return {
                    role: around(client, role=role, ledger=self.ledger, outage_s=outage_s)
                    for role, client in self.clients.items()
                }

            heard_by: tuple[Listener, ...] = (journal, *self.listeners)

            def emit(event: Event) -> None:
                for listener in heard_by:
                    listener(event)

            noting = asyncio.create_task(self._noting())
            try:
                calls_per_row = await self._probe(composed(min(FIRST_OUTAGE_S, patience_s())))
                problem = self._problem(composed(patience_s()), calls_per_row, emit)
                outcome = await self._search(problem)
                proof = await self._certify(problem, outcome)
                self._note_spent()
                return proof
            except BaseException:
                with suppress(RunDirError):  # the error under way says more
                    self._note_spent()
                raise
            finally:
                self.room.workers.close()
                noting.cancel()

    async def _noting(self) -> None:
        while True:
            await asyncio.sleep(NOTED_EVERY_S)
            with suppress(RunDirError):  # what the run cannot do without, it will not be able to write either
                self._note_spent()

    def _note_spent(self) -> Clock:
        """Note what the run has taken so far, all its processes together: the next one goes on from there."""
        before, sent = self.before, self.ledger.sent_by_role
        usd = {str(role): before.usd_by_role.get(role, 0.0) + sent[role].usd for role in ROLES}
        clock = Clock(
            self.ledger.seconds,
            before.sent + self.ledger.sent.calls,
            {role: cost for role, cost in usd.items() if cost},
        )
        self.run_dir.note(seconds=clock.seconds, sent=clock.sent, usd_by_role=clock.usd_by_role)
        return clock

    def _problem(self, lms: Mapping[Role, LM], calls_per_row: float, emit: Listener) -> Problem:
        """Put together all that the optimizer may touch."""
        calls, reserved = self.caps.calls, self.caps.reserved
        self.run_dir.note(calls=calls, calls_per_row=calls_per_row, reserved=reserved)
        capped = {} if calls is None else {"calls": calls, "reserved": reserved}
        measured = {"calls_per_row": calls_per_row, **capped}
        emit(StageEnded(PROBE, measured, self.ledger.requested))
        return Problem(
            program=self.job.program,
            train=self.splits.train,
            val=self.splits.val,
            metric=self.job.metric,
            seed=self.job.seed,
            allowance=Allowance(self.ledger, self.caps.searchable, calls_per_row),
            lms=lms,
            room=self.room,
            emit=emit,
            secrets=secrets_of((*self.splits.val, *self.splits.holdout), self.splits.train),
            caps=self.caps,
            folder=self.run_dir.path,
            rehearsed=self.rehearsed,
        )

    async def _probe(self, lms: Mapping[Role, LM]) -> float:
        """Run the program on a few rows, to see that all works; set the caps by it, and return how many calls a row takes.

        Where there is a cap the first row runs alone, so that a budget too small for all of them is told what it takes.
        """
        probed = distinct_rows(self.job.program, self.splits.train)[:PROBED_ROWS]
        alone = 0 if self.ledger.budget == Budget() else 1
        runs: list[Run] = []
        row, row_s = NOTHING, math.inf
        try:
            for part in filter(None, (probed[:alone], probed[alone:])):
                began = self.ledger.seconds
                runs += (await self._evaluate(lms, self.baseline, part)).runs
                row = Taken.mean(runs, self.ledger.spent.total_requested)
                at_once = min(len(part), self.room.size)
                row_s = min(row_s, (self.ledger.seconds - began) / len(part) * at_once / self.room.size)
        except CapReached as cap:
            self.caps.refuse(row, len(probed), cap)
            raise
        row = taken_by(self.job.program, runs, self.ledger.spent.total_requested)
        self.caps.plan(row, len(probed), row_s)
        return row.calls

    async def _search(self, problem: Problem) -> Outcome:
        """Search. A cap that leaves the optimizer without an answer leaves the program as it was."""
        before = self.ledger.requests()
        try:
            outcome = await searched(self.optimizer, problem, self.baseline)
        except CapReached as cap:
            self.ledger.go_back(before)
            return Outcome(self.baseline, 0.0, 0.0, f"the cap on {cap.cap} was reached")
        return replace(outcome, params=check_params(self.job.program, outcome.params))

    async def _evaluate(self, lms: Mapping[Role, LM], params: Params, rows: Sequence[Row]) -> Evaluation:
        job = self.job
        return await run_rows(job.program, params, rows, job.metric, lm=lms["task"], judge=lms["judge"], room=self.room)

    async def _certify(self, problem: Problem, outcome: Outcome) -> "Proof":
        """Open the holdout: run baseline and winner on it, at once."""
        job, rows = self.job, self.splits.holdout
        facts = self.run_dir.facts()
        self.caps.free()
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
            tokens={role: amount.tokens for role, amount in spent.requested.items() if amount.tokens or amount.calls},
            failed={"baseline": len(baseline.failures), "compiled": len(compiled.failures)},
            opened_before=opened,
        )
        problem.ended("certificate", baseline=gain.baseline, compiled=gain.compiled, n=gain.n)
        return Proof(certificate, outcome, {"baseline": baseline, "compiled": compiled})

    def _ship(self, proof: Proof) -> CompileResult[M]:
        """Write artifact and report, and mark the run finished."""
        job, certificate, outcome = self.job, proof.certificate, proof.outcome
        params = outcome.params if certificate.shipped == "compiled" else self.baseline
        facts = Facts(
            title=f"{type(job.program).__name__}, compiled with {optimizer_name(job.optimizer)}",
            certificate=certificate,
            baseline=self.baseline,
            params=params,
            events=self.run_dir.events(),
            stopped=outcome.stopped,
            rows=not job.no_rows,
            signatures={path: predictor.signature for path, predictor in predictors(job.program).items()},
            tools={path: predictor.specs for path, predictor in predictors(job.program).items()},
            failures={
                side: {row: run.failure for row, run in enumerate(found.runs) if run.failure is not None}
                for side, found in proof.holdout.items()
            },
        )
        artifact = Artifact.made(
            with_params(job.program, params),
            baseline=self.baseline,
            lms={role: client.name for role, client in self.clients.items()},
            certificate=certificate,
            report=redact(render(facts)),
        )
        artifact.save(self.run_dir.path / RESULT)
        self.run_dir.write(REPORT, redact(render(facts, self._note_spent())).encode())
        self.run_dir.note(finished=True, no_rows=job.no_rows)
        return CompileResult(
            artifact.bind(job.program),
            _by_path(artifact.params, self.baseline),
            _by_path(artifact.baseline_params, self.baseline),
            certificate,
            certificate.shipped,
            self.ledger.spent,
            time.monotonic() - self.started,
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
