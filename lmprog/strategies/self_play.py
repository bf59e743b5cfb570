"""Bargaining by self-play: two roles play, a critic advises one, who plays again with it in context (arXiv:2305.10142)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field as Bounded

from lmprog.errors import InputError
from lmprog.module import Module, is_whole
from lmprog.predict import Predict
from lmprog.signature import InputField, OutputField, Signature

Role = Literal["first", "second"]
ROLES: tuple[Role, ...] = get_args(Role)


class Speak(Signature):
    """Bargain as your brief says. Offer a price, accept the other's last offer, or leave without a deal.

    Do better than in the rounds that you played before: follow the advice that you were given.
    """

    brief: str = InputField(desc="who you are and what you want; the other does not see it")
    lessons: list[str] = InputField(desc="the rounds that you played before, and what a critic advised")
    dialogue: list[str] = InputField(desc="of this round, so far")
    message: str = OutputField(desc="what you say")
    move: Literal["offer", "accept", "leave"] = OutputField()
    price: Annotated[float, Bounded(ge=0, allow_inf_nan=False)] = OutputField(desc="0 if you leave")


class Advise(Signature):
    """You coach a player. Read the round that he played, and advise him how to get a better price in the next one."""

    brief: str = InputField(desc="who the player is and what he wants")
    lessons: list[str] = InputField(desc="his rounds before this one, and what you advised")
    dialogue: list[str] = InputField()
    outcome: str = InputField()
    advice: Annotated[list[str], Bounded(min_length=1)] = OutputField(desc="three suggestions, each a sentence")


@dataclass(frozen=True, slots=True)
class Round:
    """One negotiation."""

    dialogue: tuple[str, ...]
    price: float | None
    """Of the deal; None where there was none."""
    advice: tuple[str, ...] = ()
    """For the player who improves; none after the last round."""

    @property
    def outcome(self) -> str:
        """The end in words."""
        return "There was no deal." if self.price is None else f"Deal at {self.price:g}."


@dataclass(frozen=True, slots=True)
class Match:
    """Rounds between the same two, one of whom is advised after each."""

    improves: Role
    rounds: tuple[Round, ...]


class SelfPlay(Module):
    """Have two roles bargain over a price for so many `rounds`, of `turns` turns at most; after each a critic reads it and
    advises the role that `improves`, which plays the next with all former rounds and all advice in context. The other
    begins each round anew.

    A program that takes `first` and `second`, the briefs of the one who begins and the other, and `improves`, which of
    them is advised: rows that differ in it swap the roles. It returns a `Match`. A round ends with a deal when a role accepts
    the other's last offer, and breaks when one leaves or the turns are used up; to accept where nothing was offered says
    nothing. At most `rounds` * `turns` + `rounds` - 1 LM calls, one after another. `standings` sums matches up.

    ICL-AIF: Fu, Peng, Khot and Lapata 2023, arXiv:2305.10142. Departures: moves and prices are typed outputs, where the paper
    has a moderator LM tell a deal and reads the price from the text; the advised role knows the price of each of its rounds,
    where the authors' code tells that of the first one every time.
    """

    def __init__(self, *, rounds: int = 5, turns: int = 10) -> None:
        if not (is_whole(rounds, 1) and is_whole(turns, 2)):
            raise InputError(f"rounds={rounds!r}, turns={turns!r}: write 1 round or more, of 2 turns or more.")
        self.rounds, self.turns = rounds, turns
        self.players = {role: Predict(Speak) for role in ROLES}
        self.critic = Predict(Advise)

    async def aforward(self, first: str, second: str, improves: Role = "second") -> Match:
        """Return the rounds played."""
        if improves not in ROLES:
            raise InputError(f'improves={improves!r}: write "first" or "second", the role that is advised.')
        briefs: dict[Role, str] = {"first": first, "second": second}
        lessons: list[str] = []
        played: list[Round] = []
        while len(played) < self.rounds:
            learned: dict[Role, list[str]] = {role: lessons if role == improves else [] for role in ROLES}
            now = await self._round(briefs, learned)
            if len(played) + 1 < self.rounds:
                advised = await self.critic.acall(
                    brief=briefs[improves], lessons=lessons, dialogue=list(now.dialogue), outcome=now.outcome
                )
                now = Round(now.dialogue, now.price, tuple(advised.advice))
                lessons = [*lessons, _lesson(len(lessons) + 1, now)]
            played.append(now)
        return Match(improves, tuple(played))

    async def _round(self, briefs: dict[Role, str], lessons: dict[Role, list[str]]) -> Round:
        dialogue: list[str] = []
        offered: dict[Role, float] = {}
        for turn in range(self.turns):
            role, other = ROLES[turn % 2], ROLES[1 - turn % 2]
            said = await self.players[role].acall(brief=briefs[role], lessons=lessons[role], dialogue=dialogue)
            dialogue = [*dialogue, f"{role}: {said.message} [{said.move} {said.price:g}]"]
            if said.move == "leave":
                break
            if said.move == "accept" and other in offered:
                return Round(tuple(dialogue), offered[other])
            if said.move == "offer":
                offered[role] = said.price
        return Round(tuple(dialogue), None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How matches went in which one role was advised."""

    improves: Role
    matches: int
    prices: tuple[float | None, ...]
    """By round, the mean price of the deals; None where no match had any."""
    broken: tuple[float, ...]
    """By round, the share of the matches without a deal, in [0, 1]."""

    def __str__(self) -> str:
        prices = ", ".join("none" if price is None else f"{price:.2f}" for price in self.prices)
        return f"{self.improves} advised: price by round {prices}; broken {', '.join(f'{share:.0%}' for share in self.broken)}"


def standings(matches: Iterable[Match]) -> list[Standing]:
    """Return how matches of equally many rounds went, for each role that is advised in some. A round without a deal has no
    price, and the other rounds of its match count all the same (the paper leaves such matches out)."""
    given = list(matches)
    found: list[Standing] = []
    for role in ROLES:
        if own := [match for match in given if match.improves == role]:
            by_round = list(zip(*(match.rounds for match in own), strict=True))
            deals = [[now.price for now in rounds if now.price is not None] for rounds in by_round]
            prices = tuple(sum(some) / len(some) if some else None for some in deals)
            found.append(Standing(role, len(own), prices, tuple(1 - len(some) / len(own) for some in deals)))
    return found


def _lesson(number: int, now: Round) -> str:
    advice = "\n".join(f"- {one}" for one in now.advice)
    return "\n".join([f"Round {number}:", *now.dialogue, now.outcome, "Advice:", advice])
