"""What a plan found, in figures and in words."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lmprog.data import LEAST_HOLDOUT
from lmprog.lm.ledger import Amount, Role
from lmprog.narration import count
from lmprog.report.history import MOST_FAILURE
from lmprog.report.markup import clipped
from lmprog.statistics import resolvable

WIDTH = 80
"""Characters of a line, where there is no terminal to ask."""
SURE = 1.28
"""Standard errors by which a share may be missed: beyond them, above or below, lies the truth in one case of ten."""
ROWS_AT_MOST = 5000
"""Holdout rows beyond which nobody is told to give so many."""
TRIED_AT_LEAST = 8
"""Runs under other prompts below which it is not said that prompts change nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a compile with the same arguments is expected to take, and what it can prove. Gains and scores are in [0, 1]."""

    requested: Mapping[Role, Amount]
    """Distinct requests of the compile and what they cost, by role; those without a call are left out."""
    recorded: int
    """How many of these requests the probe has made already: in the same run directory they are not sent again."""
    seconds: float | None
    """What the compile takes; None where no call could be timed, since all were recorded before."""
    probe: Amount
    """What this plan itself requested."""
    budget: int | None
    """The cap in calls, where there is one."""
    rows: Mapping[str, int]
    """Rows by use."""
    calls_per_row: float
    baseline: float
    """The score of the program as it is, on `baseline_rows` rows."""
    baseline_rows: int
    failed: int
    """How many of these rows gave no prediction."""
    failure: str
    """Why the first of them gave none; empty where all gave one."""
    tried: int
    """Runs of the program under other prompts."""
    changed: int
    """How many of them gave another prediction."""
    differing: int
    """How many of them scored differently."""
    discordant: float
    """The mean squared difference between scores under two prompts: of scores 0 and 1 the share that differ."""
    noise: float
    """The standard error of a difference between two equal candidates on the validation rows."""
    optimism: float
    """How much better than it is the best of `candidates` equal candidates looks on the validation rows."""
    candidates: int
    resolvable: float | None
    """The least gain that the holdout shows with a power of 80%; None where it has too few rows to prove any."""
    units: int
    """Holdout rows, or groups of them, that stand or fall by themselves."""
    stopped: str
    """Why the search is expected to end."""

    @property
    def advice(self) -> tuple[str, ...]:
        """Why not to compile; empty where nothing speaks against it."""
        return tuple(_advice(self))

    @property
    def worthwhile(self) -> bool:
        """Whether nothing speaks against compiling."""
        return not self.advice

    @property
    def trains(self) -> bool:
        """Whether the compile trains weights."""
        return "training" in self.requested

    @property
    def total(self) -> Amount:
        """Over all roles."""
        return _sum(self.requested.values())

    def table(self) -> list[str]:
        """Return lines of calls, tokens and USD, by role, in all, and of this plan."""
        shown = {
            **{str(role): amount for role, amount in self.requested.items()},
            "in all": self.total,
            "this plan": self.probe,
        }
        lines: list[tuple[str, ...]] = [("", "calls", "prompt tokens", "reply tokens", "USD")]
        for name, amount in shown.items():
            counts = (amount.calls, amount.prompt_tokens, amount.completion_tokens)
            lines.append((name, *(f"{number:,}" for number in counts), f"{amount.usd:,.2f}"))
        columns = len(lines[0]) - (not any(amount.usd for amount in shown.values()))
        widths = [max(len(line[place]) for line in lines) for place in range(columns)]
        return [
            "   ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:columns], widths[1:])]).rstrip()
            for line in lines
        ]

    def sentences(self) -> list[str]:
        """Return what the figures mean, the advice last."""
        return [_cost(self), *_odds(self), *(self.advice or ("Nothing speaks against compiling.",))]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON data."""
        return {**asdict(self), "worthwhile": self.worthwhile, "advice": self.advice}

    def __str__(self) -> str:
        return "\n".join([*self.table(), "", *(textwrap.fill(text, WIDTH) for text in self.sentences())])


def _cost(plan: Plan) -> str:
    of = f" of a budget of {plan.budget:,}" if plan.budget else ""
    training = " and the time of training, which nobody knows yet" if plan.trains else ""
    time = "" if plan.seconds is None else f", in about {_duration(plan.seconds)}{training}"
    done = f"; {plan.recorded:,} of the calls are answered by now" if plan.recorded else ""
    return (
        f"To compile takes about {plan.total.calls:,} calls{of} and {plan.total.tokens:,} tokens{time}{done}. The search "
        f"scores {count(plan.candidates, 'candidate')} and ends because {plan.stopped}."
    )


def _odds(plan: Plan) -> Iterator[str]:
    failed = f", and {plan.failed} of them give no prediction" if plan.failed else ""
    said = f"The program as it is scores {plan.baseline:.2f} on {plan.baseline_rows} rows{failed}."
    if plan.tried:
        said += (
            f" Of {plan.tried} runs under other prompts {plan.changed} gave another prediction and {plan.differing} "
            f"another score."
        )
    if plan.trains:
        said += " What trained weights change, no plan tells."
    yield said
    best = (
        f", and the best of {plan.candidates} equal ones looks {_points(plan.optimism)} better than it is"
        if plan.optimism
        else ""
    )
    yield f"On {plan.rows['val']} validation rows two equal candidates differ by {_points(plan.noise)} by chance{best}."
    if plan.resolvable is not None:
        yield f"{_units(plan)} show a gain of {_points(plan.resolvable)} or more in 8 of 10 cases."


def _advice(plan: Plan) -> Iterator[str]:
    least = plan.resolvable
    may_mend = plan.trains or "teacher" in plan.requested  # a teacher's runs show what the probe could not
    if plan.failed == plan.baseline_rows and not plan.changed and not may_mend:
        tried = f", nor one of {plan.tried} under other prompts" if plan.tried else ""
        yield (
            f"Do not compile: not one of {plan.failed} runs of the program gave a prediction{tried} (the first: "
            f"{clipped(plan.failure, MOST_FAILURE)}). Call it once, and see by `lp.inspect()` what the LM is sent and what it "
            f"replies: another LM, format or signature may help."
        )
        return
    if not plan.candidates:
        yield (
            "Do not compile with this budget: beside the program as it is and the proof it pays for no candidate. "
            'Give a larger one, or budget="light", and plan again.'
        )
    if least is None:
        yield f"A gain will be unproven: fewer than {LEAST_HOLDOUT} holdout rows prove nothing."
        return
    room = 1 - _bound(plan.baseline, plan.baseline_rows, -SURE)
    if room < least:
        yield (
            f"Do not compile: the program scores {plan.baseline:.2f} already, so that no prompt is likely to gain more than "
            f"{_points(room)}, and {_units(plan, short=True)} show {_points(least)} or more. {_more(plan, room)}"
        )
    elif plan.tried < TRIED_AT_LEAST or plan.trains:
        return  # so few say nothing, and what prompts change says nothing about weights
    elif not plan.changed:
        yield (
            f"Do not compile: none of {plan.tried} runs under other prompts gave another prediction. Call "
            "the program once, and see by `lp.inspect()` whether the instruction reaches the LM and the reply is heeded."
        )
    elif not plan.differing:
        yield (
            f"Do not compile: other prompts changed {plan.changed} of {plan.tried} predictions and not one score. See "
            "whether the metric tells good predictions from bad ones."
        )
    elif (most := _bound(plan.differing / plan.tried, plan.tried, SURE)) < least:
        yield (
            f"Do not compile on these rows: prompts change {plan.differing / plan.tried:.0%} of the scores; were it all to the "
            f"better, it would hardly be above {_points(most)}, and {_units(plan, short=True)} show {_points(least)} or more. "
            f"{_more(plan, most)}"
        )


def _more(plan: Plan, gain: float) -> str:
    """Return how many holdout rows would show a gain."""
    units = plan.units
    while units <= ROWS_AT_MOST:
        units = math.ceil(units * 1.25 / 10) * 10
        if resolvable(discordant=min(plan.discordant, max(gain, 0.01)), rows=units) <= gain:
            thing = "rows" if plan.units == plan.rows["holdout"] else "groups"
            return f"With {units:,} holdout {thing} it may be worth it."
    return "Give harder rows."


def _bound(share: float, count: int, errors: float) -> float:
    """Return Wilson's bound of a share (1927), so many standard errors above it, or below where that is negative."""
    square = errors**2
    middle = (share + square / 2 / count) / (1 + square / count)
    return middle + errors / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / 4 / count**2)


def _units(plan: Plan, *, short: bool = False) -> str:
    rows = plan.rows["holdout"]
    if plan.units == rows:
        return f"{'these' if short else 'The'} {rows} {'rows' if short else 'holdout rows'}"
    return f"{'these' if short else 'The'} {plan.units} groups of holdout rows"


def _points(share: float) -> str:
    points = 100 * share
    number = f"{points:.0f}" if points >= 9.5 else f"{points:.1f}"
    return f"{number} {'point' if number in ('1', '1.0') else 'points'}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _sum(amounts: Iterable[Amount]) -> Amount:
    each = list(amounts)
    return Amount(
        sum(amount.calls for amount in each),
        sum(amount.prompt_tokens for amount in each),
        sum(amount.completion_tokens for amount in each),
        math.fsum(amount.usd for amount in each),
    )
