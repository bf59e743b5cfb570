"""What a run may spend and what it has spent: hard caps over every role, reserved before dispatch."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal, get_args

from lmprog import scope
from lmprog.errors import AuthError, CapReached, ContextError, InputError, LmprogError, UnavailableError
from lmprog.lm.limit import certainly_not_sent
from lmprog.request import LM, Request, Response

Role = Literal["task", "proposer", "teacher", "judge", "training"]
ROLES: tuple[Role, ...] = get_args(Role)

Price = tuple[float, float] | tuple[float, float, float]
"""USD per million tokens of prompts, of completions and, where the LM can be tuned where it is hosted, of training."""

MOST = 10**18
"""No cap is larger: up to here numbers can be reckoned with."""
_TOKENS_PER_MESSAGE = 4
"""What chat templates put around a message, about."""
_BYTES_PER_TOKEN = 4
"""Of English text, about; counted in UTF-8, so that other scripts are not taken for cheaper than they are."""
_SHORT = 100
"""Tokens of a prompt so short that what an LM counts for it says little about longer ones."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps over everything a run does, whatever the role. None is no cap; every attempt is one call."""

    calls: int | None = None
    tokens: int | None = None
    """Of prompts and replies together."""
    usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for cap in fields(self):
            _check(cap.name, getattr(self, cap.name))


@dataclass(slots=True)
class Amount:
    """A number of calls, and what they cost. Nobody changes one; frozen, it would take thrice the time, several times a call."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """Of prompts and replies together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has spent, by role, in two senses."""

    requested: Mapping[Role, Amount]
    """Distinct requests and their replies, whoever answered them: the same in every run with the same replies.
    A request made by several roles counts for the first of them in the order of ROLES."""
    sent: Mapping[Role, Amount]
    """Attempts that left the machine now; those of unknown outcome at what they may have cost."""
    seconds: float
    """Of the run so far, all its processes together."""

    @property
    def total_requested(self) -> Amount:
        """Over all roles."""
        return _total(self.requested.values())

    @property
    def total_sent(self) -> Amount:
        """Over all roles."""
        return _total(self.sent.values())

    def to_json(self, indent: int | None = 2) -> str:
        """Return all figures as JSON text."""
        senses = {"requested": self.requested, "sent": self.sent}
        by_sense = {sense: {role: asdict(amounts[role]) for role in ROLES} for sense, amounts in senses.items()}
        return json.dumps({**by_sense, "seconds": self.seconds}, indent=indent)


@dataclass(slots=True, eq=False)
class Reservation:
    """The most that one attempt is expected to cost, held until it is settled."""

    role: Role
    lm_name: str
    request: Request
    amount: Amount
    prompt_tokens: int
    """As estimated from the prompt's length alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Tab:
    """The distinct requests of one piece of work under way beside others, not yet taken into the account.

    Until they are, the account expects `calls` of them: what is decided meanwhile depends on no timing.
    """

    ledger: "Ledger"
    calls: float
    asked: dict[str, Role] = field(default_factory=dict[str, Role])
    then: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])


class Ledger:
    """The one account of a run, shared by all roles.

    Against the caps count the attempts sent, those in flight at their reservation, and the replies that a call
    log served in place of sending, so that a resumed run stops where the first would have.

    `prices` gives USD per million tokens, by LM name. Without a price, what each Response
    reports is counted, and the dearest token seen is what the next are expected to cost; where it reports nothing
    either, a cap in USD is refused. A prompt's tokens are estimated from its length, and from how far the LM's own counts
    have been above that.
    An attempt that began before the cap in seconds was reached is let finish.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        prices: Mapping[str, Price] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget or Budget()
        self.planned: Budget | None = None
        """The caps that decisions about further work go by, where they are not those in force; no timing decides them."""
        self.prices: Mapping[str, Price] = prices or {}
        self._now, self._began = now, now()
        self._dearest: dict[str, float] = {}
        self._heavier: dict[str, float] = {}
        self.largest = Amount()
        """The most that any one attempt was expected to cost, in tokens and in USD."""
        self._sent = {role: _Tally() for role in ROLES}
        self.kept_s: Callable[[], float] = float
        """How many of the seconds no attempt may begin in, as is known by now; 0 by default."""
        self._charged, self._held = _Tally(), _Tally()
        self._open: set[Reservation] = set()
        self._turn, self._settled, self._queued = asyncio.Lock(), asyncio.Event(), 0
        self._asked: dict[str, Role] = {}
        self._tabs: set[Tab] = set()
        self._answers: dict[str, Amount] = {}
        self._trained: dict[str, Amount] = {}

    @property
    def requested(self) -> int:
        """How many distinct requests the run has made, whoever answered them; without those on an open tab."""
        return len(self._asked)

    @property
    def expected(self) -> float:
        """How many requests the open tabs are expected to hold."""
        return math.fsum(tab.calls for tab in self._tabs)

    def fits(self, calls: float) -> bool:
        """Tell whether so many more requests fit the caps in tokens and USD, at the mean cost of those counted.

        No timing has a say in it. Where nothing is counted yet, nothing fits a cap.
        """
        budget = self.planned or self.budget
        if budget.tokens is None and budget.usd is None:
            return True
        mean = _total(self._answers.get(key, _UNANSWERED) for key in self._asked)
        times = 1 + calls / mean.calls if mean.calls else math.inf
        trained = _total(self._trained.values())
        spent = ((budget.tokens, mean.tokens, trained.tokens), (budget.usd, mean.usd, trained.usd))
        return all(cap is None or asked * times + more <= cap for cap, asked, more in spent)

    @property
    def dearest(self) -> float:
        """USD that a token may cost: the most of any LM that has answered."""
        return max(self._dearest.values(), default=0.0)

    @property
    def sent(self) -> Amount:
        """What the attempts that this process made and that have ended have cost."""
        return _total(self.sent_by_role.values())

    @property
    def begun(self) -> int:
        """How many attempts this process has made, those in flight among them."""
        return sum(tally.calls for tally in self._sent.values()) + len(self._open)

    @property
    def sent_by_role(self) -> dict[Role, Amount]:
        """The same, by role."""
        return {role: self._sent[role].amount() for role in ROLES}

    @property
    def seconds(self) -> float:
        """Of the run so far, all its processes together."""
        return self._now() - self._began

    @property
    def left_s(self) -> float:
        """Seconds until the cap in seconds; infinite without one."""
        return math.inf if self.budget.seconds is None else self.budget.seconds - self.kept_s() - self.seconds

    @property
    def spent(self) -> Spent:
        """All figures so far. Takes time in proportion to the number of requests."""
        by_role: dict[Role, list[Amount]] = {role: [] for role in ROLES}
        for key, role in self._asked.items():
            by_role[role].append(self._answers.get(key, _UNANSWERED))
        by_role["training"] += self._trained.values()
        held = {role: [r.amount for r in self._open if r.role == role] for role in ROLES}
        return Spent(
            requested={role: _total(amounts) for role, amounts in by_role.items()},
            sent={role: _total([self._sent[role].amount(), *held[role]]) for role in ROLES},
            seconds=self.seconds,
        )

    def requests(self) -> Mapping[str, Role]:
        """Return the requests counted so far, to `go_back` to."""
        return dict(self._asked)

    def go_back(self, requests: Mapping[str, Role]) -> None:
        """Count these requests alone: which others were made before a cap was reached is a matter of timing.

        What the others cost stays charged.
        """
        self._asked = dict(requests)

    def open(self, calls: float) -> Tab:
        """Return a tab for work that is expected to request so many calls. Work in a scope that names it is put on it."""
        tab = Tab(self, calls)
        self._tabs.add(tab)
        return tab

    def close(self, tab: Tab, *, taken: bool) -> None:
        """Forget a tab, once its requests are counted if the work's result is `taken`."""
        self._tabs.discard(tab)
        for key, role in tab.asked.items() if taken else ():
            _count(self._asked, role, key)
        for do in tab.then if taken else ():
            do()

    def when_taken(self, do: Callable[[], None]) -> None:
        """Do something once the result of the work under way here is taken, or at once where it is on no tab."""
        tab = scope.current().tab
        if isinstance(tab, Tab) and tab.ledger is self:
            tab.then.append(do)
        else:
            do()

    def resume(self, elapsed_s: float) -> None:
        """Go on with the clock of a run whose earlier processes took so long."""
        self._began -= elapsed_s

    def ask(self, role: Role, key: str) -> None:
        """Count a request; one already counted under its key counts no second time."""
        tab = scope.current().tab
        _count(tab.asked if isinstance(tab, Tab) and tab.ledger is self else self._asked, role, key)

    def answer(self, key: str, lm_name: str, request: Request, response: Response, *, recorded: bool) -> None:
        """Count what the reply to a request cost, once per key; `recorded` when it was served instead of sent.

        InputError where there is a cap in USD and nobody knows what the reply cost.
        """
        if response.usd is None and self.budget.usd is not None and lm_name not in self.prices:
            raise InputError(
                f"the budget caps USD, and nobody knows what {lm_name} costs: it does not say, and it has no price. Give USD "
                f"per million prompt and completion tokens: `lp.configure(prices={{{lm_name!r}: (0.15, 0.60)}})`, or set "
                f"LMPROG_PRICES to a JSON file that holds {{{json.dumps(lm_name)}: [0.15, 0.60]}}. Or cap tokens."
            )
        cost = self._answers.get(key)
        if cost is None:
            self._answers[key] = cost = self._cost(lm_name, request, response)
            if recorded:
                self._charged.add(cost)
        if isinstance(tally := scope.current().tally, _Tally):
            tally.add(cost)

    def hosted_training(self, lm_name: str, trained_tokens: int) -> Amount:
        """Return what it costs to train on so many tokens where the LM is hosted.

        InputError where there is a cap in USD and no price of training.
        """
        price = self.prices.get(lm_name, ())
        if len(price) < 3 and self.budget.usd is not None:
            known = f"{price[0]:g}, {price[1]:g}" if len(price) > 1 else "0.15, 0.60"
            raise InputError(
                f"the budget caps USD, and nobody knows what training {lm_name} costs. Give a third price, USD per million "
                f"trained tokens: `lp.configure(prices={{{lm_name!r}: ({known}, 3.0)}})`, or set LMPROG_PRICES to a JSON file "
                f"that holds {{{json.dumps(lm_name)}: [{known}, 3.0]}}. Or cap tokens."
            )
        usd = trained_tokens * price[2] / 1e6 if len(price) == 3 else 0.0
        return Amount(0, trained_tokens, 0, usd)

    def tokens_of(self, lm_name: str, request: Request, reply: str) -> int:
        """Return about how many tokens an LM counts for a request and a reply to it."""
        prompt = math.ceil(_prompt_tokens(request) * self._heavier.get(lm_name, 1.0))
        return prompt + _tokens(reply) + _TOKENS_PER_MESSAGE

    def check_training(self, at_most: Amount) -> None:
        """Raise CapReached where training that may cost so much does not fit the caps."""
        self._fits(replace(at_most, calls=0))

    def train(self, key: str, cost: Amount, *, recorded: bool) -> None:
        """Count what training took, once per key; `recorded` when it was done by an earlier process of the run."""
        if key in self._trained:
            return
        self._trained[key] = cost
        self._charged.add(cost)
        if not recorded:
            self._sent["training"].add(cost)

    async def reserve(self, role: Role, lm_name: str, request: Request) -> Reservation:
        """Hold what one attempt may cost, or raise CapReached where it can no longer fit.

        Where it fits only once attempts in flight cost less than they hold, wait for these; first come, first
        served, so that small requests never starve a large one.
        """
        if (held := scope.current().held) is not None:
            await held()
        allowance = request.max_tokens
        estimate = _prompt_tokens(request)
        prompt = math.ceil(estimate * self._heavier.get(lm_name, 1.0))
        needed = Amount(1, prompt, allowance, self._usd(lm_name, prompt, allowance))
        if prompt + allowance > self.largest.tokens or needed.usd > self.largest.usd:
            self.largest = _most(self.largest, needed)
        if self._queued or not self._fits(needed):
            await self._wait_for(needed)
        reservation = Reservation(role, lm_name, request, needed, estimate)
        self._open.add(reservation)
        self._held.add(needed)
        return reservation

    async def _wait_for(self, needed: Amount) -> None:
        self._queued += 1
        try:
            async with self._turn:
                while not self._fits(needed):
                    self._settled.clear()
                    await self._settled.wait()
        finally:
            self._queued -= 1

    def settle(self, reservation: Reservation, response: Response | None) -> None:
        """Replace a reservation by what the attempt cost. None: outcome unknown, so it costs all that was held."""
        if response is None:
            self._close(reservation, reservation.amount)
        else:
            lm_name, heavier = reservation.lm_name, response.prompt_tokens / max(reservation.prompt_tokens, _SHORT)
            if heavier > self._heavier.get(lm_name, 1.0):
                self._heavier[lm_name] = heavier
            self._close(reservation, self._cost(lm_name, reservation.request, response))

    def settle_refused(self, reservation: Reservation) -> None:
        """Count a call that the provider refused to work on: it cost no tokens."""
        self._close(reservation, Amount(calls=1))

    def give_back(self, reservation: Reservation) -> None:
        """Count nothing: the attempt certainly never left the machine."""
        self._close(reservation, Amount())

    def _close(self, reservation: Reservation, cost: Amount) -> None:
        self._open.remove(reservation)
        self._sent[reservation.role].add(cost)
        self._charged.add(cost)
        if self._open:
            self._held.add(reservation.amount, -1)
        else:
            self._held = _Tally()  # no rounding error of sums in USD outlives the last attempt in flight
        self._settled.set()

    def _fits(self, needed: Amount) -> bool:
        """Tell whether an attempt fits now; False when it may fit later, CapReached when it never will."""
        budget, charged, held = self.budget, self._charged, self._held
        if budget.seconds is not None and self.left_s <= 0:
            raise self._reached("seconds", budget.seconds, self.seconds, 0, kept=self.kept_s())
        if budget.calls is not None and charged.calls + held.calls + needed.calls > budget.calls:
            raise self._reached("calls", budget.calls, charged.calls + held.calls, needed.calls)
        if budget.tokens is not None and charged.tokens + needed.tokens > budget.tokens:
            raise self._reached("tokens", budget.tokens, charged.tokens, needed.tokens)
        if budget.usd is not None and charged.usd + needed.usd > budget.usd:
            raise self._reached("usd", budget.usd, charged.usd, needed.usd)
        return (budget.tokens is None or charged.tokens + held.tokens + needed.tokens <= budget.tokens) and (
            budget.usd is None or charged.usd + held.usd + needed.usd <= budget.usd
        )

    def _reached(self, cap: str, limit: float, used: float, needed: float, kept: float = 0.0) -> CapReached:
        sent = ", ".join(f"{role} {tally.calls}" for role, tally in self._sent.items() if tally.calls)
        more = f", and this attempt may need {needed:g} more" if needed else ""
        more += f", and the proof is expected to take {kept:g}" if kept else ""
        larger = 2 * max(limit, used + kept, needed)
        return CapReached(
            f"the cap of {limit:g} {cap} is reached: {used:g} are spent{more}. "
            f"Nothing was sent; attempts until now: {sent or 'none'}. "
            f"Give a larger cap, for example `lp.Budget({cap}={math.ceil(larger) if larger > 1 else f'{larger:.3g}'})`.",
            cap=cap,
        )

    def _cost(self, lm_name: str, request: Request, response: Response) -> Amount:
        """An LM that does not tell its counts is charged an estimate: else a cap in tokens would never hold."""
        prompt, completion = response.prompt_tokens, response.completion_tokens
        if not prompt and not completion:
            prompt, completion = _prompt_tokens(request), _tokens(response.text)
        price = self.prices.get(lm_name)
        if response.usd or price is None:
            usd = response.usd or 0.0
            each = usd / max(1, prompt + completion)
        else:
            usd, each = _priced(price, prompt, completion), max(price[:2]) / 1e6
        self._dearest[lm_name] = max(each, self._dearest.get(lm_name, 0.0))
        return Amount(1, prompt, completion, usd)

    def _usd(self, lm_name: str, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what an attempt of so many tokens may cost."""
        price = self.prices.get(lm_name)
        if price is not None:
            return _priced(price, prompt_tokens, completion_tokens)
        return self._dearest.get(lm_name, 0.0) * (prompt_tokens + completion_tokens)


class Metered:
    """The layer that reserves each attempt, makes it, and settles it."""

    def __init__(self, lm: LM, ledger: Ledger, role: Role) -> None:
        self.name, self.capabilities = lm.name, lm.capabilities
        self._lm, self._ledger = lm, ledger
        self._role: Role = role

    async def __call__(self, request: Request, /) -> Response:
        """Make one attempt, or raise CapReached."""
        reservation = await self._ledger.reserve(self._role, self.name, request)
        try:
            response = await self._lm(request)
        except BaseException as error:
            if certainly_not_sent(error):
                self._ledger.give_back(reservation)
            elif _refused(error):
                self._ledger.settle_refused(reservation)
            else:
                self._ledger.settle(reservation, None)
            raise
        self._ledger.settle(reservation, response)
        return response


class _Tally:
    """A sum of amounts that grows."""

    __slots__ = ("calls", "completion_tokens", "prompt_tokens", "usd")

    def __init__(self) -> None:
        self.calls = self.prompt_tokens = self.completion_tokens = 0
        self.usd = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, amount: Amount, times: int = 1) -> None:
        self.calls += times * amount.calls
        self.prompt_tokens += times * amount.prompt_tokens
        self.completion_tokens += times * amount.completion_tokens
        self.usd += times * amount.usd

    def amount(self) -> Amount:
        return Amount(self.calls, self.prompt_tokens, self.completion_tokens, self.usd)


_UNANSWERED = Amount(calls=1)


@contextmanager
def measured() -> Generator[Callable[[], Amount]]:
    """Tell what the requests made in the block cost, whoever answers them: sent, recorded, or joined."""
    tally = _Tally()
    with scope.scoped(tally=tally):
        yield tally.amount


def _count(asked: dict[str, Role], role: Role, key: str) -> None:
    first = asked.setdefault(key, role)
    if first != role and ROLES.index(role) < ROLES.index(first):
        asked[key] = role


def _check(cap: str, value: object) -> None:
    if value is None:
        return
    whole = cap in ("calls", "tokens")
    if isinstance(value, int) and value > MOST:
        raise LmprogError(f"Budget({cap}=...): a cap is at most {MOST:,}. Leave `{cap}` out for no cap.")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value > 0:
        number = "whole number" if whole else "number"
        raise LmprogError(f"Budget({cap}={value!r}): a cap is a {number} above 0. Leave `{cap}` out for no cap.")


def _total(amounts: Iterable[Amount]) -> Amount:
    """Sum up; the order of the amounts makes no difference, not even to the last digit."""
    each = list(amounts)
    return Amount(
        sum(amount.calls for amount in each),
        sum(amount.prompt_tokens for amount in each),
        sum(amount.completion_tokens for amount in each),
        math.fsum(amount.usd for amount in each),
    )


def _most(a: Amount, b: Amount) -> Amount:
    """Return an amount with as many tokens and USD as the greater of the two has of each."""
    larger = a if a.tokens >= b.tokens else b
    return Amount(1, larger.prompt_tokens, larger.completion_tokens, max(a.usd, b.usd))


def _priced(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    return (prompt_tokens * price[0] + completion_tokens * price[1]) / 1e6


def _prompt_tokens(request: Request) -> int:
    return sum([_tokens(message.text) + _TOKENS_PER_MESSAGE for message in request.messages])


def _tokens(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def _refused(error: BaseException) -> bool:
    """Tell whether the provider surely did no work: a wrong key, too long a prompt, or "come back later"."""
    if isinstance(error, UnavailableError):
        return error.refused or error.retry_after_s is not None
    return isinstance(error, AuthError | ContextError)
