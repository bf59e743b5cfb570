"""Where caps have cut a search, so that a resumed run is cut there again."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypedDict, TypeVar

from lmprog import scope
from lmprog.errors import CapReached

T = TypeVar("T")

HELD_S = 5.0
"""How long work that ran beside a cut may not send anything: time enough to meet the cut, and to be ended by it."""


class Cut(TypedDict):
    """Work that a cap cut short, as run.json holds it."""

    cap: str
    beside: list[str]
    """The work that was under way at the same time, or begun before the search heard of the cut."""


class Cuts:
    """Raises CapReached where an earlier process of the run did, before anything is sent.

    Which call a cap in tokens, USD or seconds refuses first is a matter of timing, and so is what a cap in calls
    refuses after attempts that failed. What follows from it must not be: so each piece of work that was cut is
    noted by its content, and by which of equal pieces it was, before anybody learns of the cut.
    """

    def __init__(self, noted: Mapping[str, Cut], note: Callable[[Mapping[str, Cut]], None]) -> None:
        self._noted, self._note = dict(noted), note
        self._beside = {name for cut in noted.values() for name in cut["beside"]}
        self._times = Counter[str]()
        self._under_way = dict[str, None]()
        self._last: str | None = None
        """Where a cap cut last."""

    async def within(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Do a piece of work, or raise CapReached where it was cut before. `what` names its content."""
        self._times[what] += 1
        name = f"{what}/{self._times[what]}"
        if name in self._noted:
            work.close()
            self._last, cap = name, self._noted[name]["cap"]
            raise CapReached(f"the cap on {cap} was reached here before.", cap=cap)
        if self._last is not None and name not in self._beside:
            self._noted[self._last]["beside"].append(name)
            self._note(self._noted)
        self._under_way[name] = None
        try:
            with scope.scoped(held=_Held() if name in self._beside else None):
                return await work
        except CapReached as reached:
            beside = [other for other in self._under_way if other != name]
            self._noted[name], self._last = {"cap": reached.cap, "beside": beside}, name
            self._note(self._noted)
            raise
        finally:
            del self._under_way[name]


class _Held:
    """Lets calls wait until so much time is over."""

    def __init__(self) -> None:
        self._until = time.monotonic() + HELD_S

    async def __call__(self) -> None:
        left_s = self._until - time.monotonic()
        if left_s > 0:
            await asyncio.sleep(left_s)
