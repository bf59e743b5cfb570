"""The LM that predictors call: a client in its layers."""

from lmprog.lm.cache import Cached, CallLog
from lmprog.lm.ledger import Ledger, Metered, Role
from lmprog.lm.limit import Limited, Slots
from lmprog.lm.retry import OUTAGE_S, Retried
from lmprog.request import LM


def compose(client: LM, *, role: Role, log: CallLog, ledger: Ledger, slots: Slots, outage_s: float = OUTAGE_S) -> LM:
    """Return the client with everything around it: one such stack a role; log, ledger and slots are the run's.

    A request is answered from the log if it can be. Else each attempt reserves in the ledger, waits for a
    slot, is sent, and settles; between attempts it holds neither.
    """
    return Cached(Retried(Metered(Limited(client, slots), ledger, role), outage_s=outage_s), log, ledger, role)
