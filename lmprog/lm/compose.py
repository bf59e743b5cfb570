"""The LM that predictors call: a client in its layers."""

from collections.abc import Callable
from dataclasses import replace

from lmprog.lm.cache import Cached, CallLog
from lmprog.lm.ledger import Ledger, Metered, Role
from lmprog.lm.limit import Limited, Slots, Urgency
from lmprog.lm.retry import Patience, Retried
from lmprog.lm.specs import of_predictor, url_in
from lmprog.request import LM, Request, Response
from lmprog.secrets import may_have_keys


class Routed:
    """The outermost layer: it sends a request to the LM that the predictor names for itself, or to the one in force.

    Each LM gets the same layers, once.
    """

    def __init__(self, client: LM, layers: Callable[[LM], LM]) -> None:
        self.client, self.name, self.capabilities = client, client.name, client.capabilities
        self._layers, self._lm = layers, layers(client)
        self._others: dict[tuple[str, bool], LM] = {}

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request. LMError where it names an LM that does not exist."""
        if request.lm is None:
            return await self._lm(request)
        named = request.lm, may_have_keys(url_in(request.lm))
        other = self._others.get(named)
        if other is None:
            other = self._others[named] = self._layers(of_predictor(request.lm))
        return await other(replace(request, lm=None))


def compose(
    client: LM,
    *,
    role: Role,
    log: CallLog,
    ledger: Ledger,
    slots: Slots,
    outage_s: float | None = None,
    shared: CallLog | None = None,
) -> Routed:
    """Return the client with everything around it: one such stack a role; log, ledger and slots are the run's.
    `shared` is the cache across runs, where there is one. By default a search waits for its proposer and teacher.

    A request is answered from the log if it can be. Else each attempt reserves in the ledger, waits for a
    slot, is sent, and settles; between attempts it holds neither.
    """

    urgency = Urgency.AWAITED if role in ("proposer", "teacher") else Urgency.USUAL

    def layers(lm: LM) -> LM:
        sent = Retried(
            Metered(Limited(lm, slots, urgency, check=log.check), ledger, role),
            Patience(lm.name, outage_s=outage_s, cap_s=lambda: ledger.left_s),
        )
        return Cached(sent, log, ledger, role, shared=shared)

    return Routed(client, layers)
