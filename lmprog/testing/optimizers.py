"""Problems to try an optimizer on, and the check that every optimizer passes."""

from collections.abc import Sequence

from lmprog.data import Row
from lmprog.evaluation import Room
from lmprog.events import Event
from lmprog.lm.cache import CallLog
from lmprog.lm.compose import compose
from lmprog.lm.ledger import ROLES, Budget, Ledger, Role
from lmprog.lm.limit import Slots
from lmprog.metrics import Metric
from lmprog.module import Program, predictors
from lmprog.optimizer import Allowance, Problem
from lmprog.request import LM


def problem_for(
    program: Program,
    train: Sequence[Row],
    val: Sequence[Row],
    metric: Metric,
    lm: LM,
    *,
    calls: int | None = None,
    seed: int = 0,
    concurrency: int = 16,
) -> Problem:
    """Return a problem as `compile()` makes it, without a run directory or holdout: to try an optimizer on."""
    ledger, slots, log = Ledger(Budget(calls=calls)), Slots(concurrency), CallLog(None)
    lms: dict[Role, LM] = {role: compose(lm, role=role, log=log, ledger=ledger, slots=slots) for role in ROLES}
    events: list[Event] = []
    allowance = Allowance(ledger, calls, len(predictors(program)))
    return Problem(program, train, val, metric, seed, allowance, lms, Room.of(concurrency), events.append)
