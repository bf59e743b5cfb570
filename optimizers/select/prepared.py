"""A selector whose making takes calls."""

from collections.abc import Awaitable, Callable, Sequence

from lmprog.scores import ScoreTable
from lmprog.search import Ask, End, Selector, Told


class Prepared:
    """The selector that `make` returns, made when it is first asked: beside trial 0 in a search that goes ahead."""

    def __init__(self, make: Callable[[], Awaitable[Selector]]) -> None:
        self._make = make
        self._made: list[Selector] = []

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask] | End:
        """Make the selector, if it is not, and ask it."""
        if not self._made:
            self._made.append(await self._make())
        return await self._made[0].ask(table)

    def tell(self, told: Sequence[Told], /) -> None:
        """Tell it."""
        self._made[0].tell(told)
