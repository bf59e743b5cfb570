"""What the run took, by role, and how the work went from stage to stage."""

from collections.abc import Mapping, Sequence

from lmprog.certificate import Certificate
from lmprog.narration import count
from lmprog.report.drawing import bar, span_bar
from lmprog.report.facts import Clock
from lmprog.report.history import History, Stage
from lmprog.report.markup import Markup, element, folded, join, said, table

FIRST = 14
"""Stages before the rest is folded."""
LONG = 40
"""Characters from which a stage's fact stands on a line of its own."""


def costs(certificate: Certificate, clock: Clock | None) -> Markup:
    """Return calls and tokens by role, which are the same in equal runs; with a clock also what differs between them."""
    roles = [*certificate.requested, *(role for role in certificate.tokens if role not in certificate.requested)]
    if not roles:
        return element("p", "No LM was called.")
    calls, tokens = (sum(counted.values()) for counted in (certificate.requested, certificate.tokens))
    usd: Mapping[str, float] = clock.usd_by_role if clock else {}
    lines = [
        _line(said(role), certificate.requested.get(role, 0), certificate.tokens.get(role, 0), calls, usd, role)
        for role in roles
    ]
    if len(roles) > 1:
        lines.append(_line("all", calls, tokens, calls, {"all": clock.usd} if clock and usd else {}, "all"))
    heads = ["role", "requested calls", "share", "tokens", *(["USD"] if usd else [])]
    note = "Calls are distinct requests, whoever answered them; calls and tokens are the same in equal runs."
    return join(
        table(heads, lines, label="Cost by role", class_="figures cost"),
        element("p", note, class_="quiet"),
        _spent(clock) if clock else "",
    )


def timeline(stages: Sequence[Stage], history: History) -> Markup:
    """Return the stages in their order, each with its share of the calls and what it found."""
    total = max((stage.requested for stage in stages), default=0)
    drawn = [_stage(stage, total, _scored(stage, history)) for stage in stages]
    rest = drawn[FIRST:]
    more = folded(count(len(rest), "more stage"), element("ol", *rest, class_="stages")) if rest else ""
    return join(element("ol", *drawn[:FIRST], class_="stages"), more)


def dollars(usd: float) -> str:
    """Return an amount in words; small ones to a hundredth of a cent."""
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}"


def _line(name: str, calls: int, tokens: int, total: int, usd: Mapping[str, float], role: str) -> Sequence[str]:
    share = calls / total if total else 0.0
    money = [dollars(usd.get(role, 0.0))] if usd else []
    return name, f"{calls:,}", join(bar(share), f" {share:.0%}"), f"{tokens:,}", *money


def _spent(clock: Clock) -> Markup:
    words = (
        f"This run took {clock.seconds:,.1f} seconds, sent {clock.sent:,} calls to LMs and paid "
        f"{dollars(clock.usd)}. Equal runs differ in these, so the artifact's copy of this page leaves them out."
    )
    return element("p", words)


def _scored(stage: Stage, history: History) -> str:
    """Return how many candidates were scored since the stage before, and the best score by then."""
    within = {one.candidate.name for one in history.scorings if stage.start < one.requested <= stage.requested}
    leads = [lead.score for lead in history.leads if lead.requested <= stage.requested]
    best = f", best {leads[-1]:.2f}" if leads else ""
    return f"{len(within):,} scored{best}" if within else ""


def _stage(stage: Stage, total: int, words: str) -> Markup:
    start, end = (stage.start / total, stage.requested / total) if total else (0.0, 0.0)
    short = {name: value for name, value in stage.facts.items() if not _is_long(value)}
    long = {name: str(value) for name, value in stage.facts.items() if _is_long(value)}
    spent = f"{stage.requested - stage.start:,} calls"
    figures = [words, *(f"{_name(name)} {_figure(value)}".strip() for name, value in short.items())]
    return element(
        "li",
        element("b", said(stage.name)),
        element("span", span_bar(start, end), class_="span"),
        element("span", spent, class_="calls"),
        element("span", said(" · ".join(part for part in figures if part)), class_="found"),
        *(_fact(name, text) for name, text in long.items()),
    )


def _fact(name: str, text: str) -> Markup:
    return element("p", element("b", said(_name(name)), ": ") if name else "", said(text), class_="fact")


def _is_long(value: float | str) -> bool:
    return isinstance(value, str) and len(value) > LONG


def _name(fact: str) -> str:
    return fact.replace("_", " ")


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
