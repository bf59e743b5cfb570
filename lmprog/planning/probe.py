"""The probe: the program on a few rows, as it is and under other prompts, before anything is planned."""

import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar

from lmprog import loop
from lmprog.caps import NOTHING, PROBED_ROWS, Caps, Taken, taken_by
from lmprog.compiler import distinct_rows
from lmprog.cuts import Cuts
from lmprog.data import SHARES, Row, Splits, fields_in
from lmprog.errors import CapReached
from lmprog.evaluation import Evaluation, Room, Run, run_rows
from lmprog.job import Job
from lmprog.lm.ledger import Amount, Budget, Ledger, Role
from lmprog.metrics import Score
from lmprog.module import M, check_params, params_of, predictors
from lmprog.params import Demo, Params
from lmprog.request import LM
from lmprog.signature import demo_of, fields_of, labeled_demo

ROWS = 24
"""Validation rows run under each prompt; the same under the program as it is, which every search runs first."""
LEAST_ROWS = 4
SHARE = 0.1
"""The part of a cap that the probe may take."""
DEMOS = 4

T = TypeVar("T")
Runs = Sequence[Run]
WITH_DEMOS, REWORDED = "with demos", "under another instruction"


@dataclass(frozen=True, slots=True)
class Changed:
    """A row for which another prompt gave another prediction: the score before, and after."""

    before: float
    after: Score
    demos: bool
    """Whether the prompt showed demos."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a few rows told."""

    row: Taken
    train: Runs
    val: Runs
    """Validation rows under the program as it is."""
    others: Mapping[str, Runs]
    """The same rows under other prompts, by what these are."""
    spent: Amount
    judged: bool
    """Whether the metric calls LMs."""

    @property
    def baseline(self) -> list[Run]:
        """All runs of the program as it is."""
        return [*self.train, *self.val]

    @property
    def changed(self) -> list[Changed]:
        """What other prompts gave another prediction for."""
        return [
            Changed(was.score.value, now.score, name == WITH_DEMOS)
            for name, runs in self.others.items()
            for was, now in zip(self.val, runs, strict=True)
            if repr(was.prediction) != repr(now.prediction)
        ]


async def probe(job: Job[M], splits: Splits, lms: Mapping[Role, LM], ledger: Ledger) -> Probed:
    """Run a few rows: of train and val under the program as it is, and the latter with demos and with other instructions.

    The first rows are those that a compile runs first, and the program as it is on val is its first trial: with the same
    run directory it sends none of these calls again. At most ROWS validation rows, and a tenth of any cap. InputError where
    the budget is too small for a compile, DataError where the program fails on most rows or calls no LM.
    """
    room = Room.of(job.concurrency)
    params, program = params_of(job.program), job.program
    train = distinct_rows(program, splits.train)
    caps = Caps(
        ledger, job.budget, params, {part: len(getattr(splits, part)) for part in SHARES}, Cuts({}, lambda _: None)
    )

    async def run(under: Params, rows: Sequence[Row]) -> tuple[Run, ...]:
        found = await run_rows(program, under, rows, job.metric, lm=lms["task"], judge=lms["judge"], room=room)
        return found.runs

    try:
        began = time.monotonic()
        first = await _within(caps, run(params, train[:PROBED_ROWS]))
        row_s = (time.monotonic() - began) / len(first)
        row = taken_by(program, first, ledger.spent.total_requested)
        caps.plan(row, len(first), row_s * min(1.0, len(first) / room.size))
        caps.free()  # the probe takes so little that nothing need be kept back while it runs
        whole = job.budget if isinstance(job.budget, Budget) else Budget()
        count = affordable(row, replace(whole, calls=caps.calls), row_s)
        val = distinct_rows(program, splits.val)[:count]
        learned = [*first, *await run(params, train[PROBED_ROWS : max(PROBED_ROWS, count // 2)])]
        prompts = _others(job, params, splits, learned)
        work = [run(under, val) for under in (params, *prompts.values())]
        base, *others = await loop.gather(work)
    finally:
        room.workers.close()
    Evaluation((*learned, *base)).checked()
    spent = ledger.spent
    judged = spent.requested["judge"].calls > 0
    return Probed(row, learned, base, dict(zip(prompts, others, strict=True)), spent.total_requested, judged)


async def _within(caps: Caps, work: Coroutine[Any, Any, T]) -> T:
    """Do the first work; InputError with what it takes where a cap leaves no room for it."""
    try:
        return await work
    except CapReached as cap:
        caps.refuse(NOTHING, PROBED_ROWS, cap)
        raise


def affordable(row: Taken, budget: Budget, row_s: float) -> int:
    """Return on how many validation rows each prompt can be tried with the probe's part of the caps; a row takes `row_s`."""
    caps = ((budget.calls, row.calls), (budget.tokens, row.tokens), (budget.usd, row.usd), (budget.seconds, row_s))
    runs = min((SHARE * cap / each for cap, each in caps if cap is not None and each), default=float("inf"))
    return int(min(ROWS, max(LEAST_ROWS, (runs - PROBED_ROWS) / 3.5)))  # three prompts, and half as many training rows


def _others(job: Job[M], params: Params, splits: Splits, learned: Runs) -> dict[str, Params]:
    """Return other prompts that cost no call to write."""
    demos, plain = params, params
    for path, predictor in predictors(job.program).items():
        shown = _demos(job, path, splits, learned)
        demos = demos.replace(path, demos=shown or params[path].demos)
        fields = fields_of(predictor.signature)
        text = f"Read {_named(fields.inputs)} with care, and write {_named(fields.outputs)} and nothing else."
        plain = plain.replace(path, instruction=text)
    found = {WITH_DEMOS: demos, REWORDED: plain}
    return {name: check_params(job.program, made) for name, made in found.items() if made != params}


def _demos(job: Job[M], path: str, splits: Splits, learned: Runs) -> tuple[Demo, ...]:
    """Return demos from the best runs on training rows, or else from labels."""
    signature, found = predictors(job.program)[path].signature, list[Demo]()
    for run in sorted(learned, key=lambda run: -run.score.value):
        steps = [step for step in run.trace if step.predictor == path and step.error is None]
        if run.score.value > 0 and steps:
            found.append(demo_of(signature, steps[0].inputs, steps[0].outputs))
    labels = (labeled_demo(signature, fields_in(row)) for row in splits.train)
    whole = (demo for demo in labels if demo is not None and demo.inputs.keys() == fields_of(signature).inputs.keys())
    return tuple(islice(chain(found, whole), DEMOS))


def _named(fields: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in fields) or "nothing"
