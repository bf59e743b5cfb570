"""Score every candidate of a list on all validation rows."""

from collections.abc import Sequence

from lmprog.scores import ScoreTable
from lmprog.search import Ask, Told


class Full:
    """All candidates at once, each on all rows, the first first where the budget is short."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self._asks, self._asked = list(asks), False

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return what was not scored yet; nothing while it is being scored."""
        if self._asked:
            return []
        self._asked = True
        return [ask for ask in self._asks if ask.params.fingerprint not in table.candidates]

    def tell(self, told: Sequence[Told], /) -> None:
        """Drop what broke the contract of prompts, so that it is not asked for again."""
        refused = {one.ask.params.fingerprint for one in told if one.evaluation is None}
        self._asks = [ask for ask in self._asks if ask.params.fingerprint not in refused]
        self._asked = False
