"""render(): the report page from top to bottom."""

from collections.abc import Mapping, Sequence

from lmprog.certificate import Certificate
from lmprog.params import Params
from lmprog.report import charts
from lmprog.report.effects import effects
from lmprog.report.facts import Clock, Facts
from lmprog.report.history import Candidate, History
from lmprog.report.markup import Markup, clipped, element, join, said, table
from lmprog.report.prompts import changes
from lmprog.report.style import STYLE

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Tells the browser to run no script and to load nothing, whatever a user's text may hold."""
FIRST = 15
"""Candidates in the table before the rest is folded."""
GLOSSARY = (
    "Baseline: the program as it was. Candidate: params that the search tried. Row: one example of the data. "
    "Validation rows: those that the search is scored on. Holdout: rows that the search never saw. "
    "Requested calls: distinct requests to an LM, whoever answered them, the network or a record. "
    "Estimate: a candidate's mean, adjusted for how hard its rows were. Scores lie between 0 and 1, higher is better."
)


def render(facts: Facts, clock: Clock | None = None) -> str:
    """Return the page as complete HTML. Without `clock` equal facts give equal bytes."""
    history = History.read(facts.events)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", facts.title),
        element("style", Markup(STYLE)),
    )
    body = element(
        "main",
        _headline(facts),
        _cost(facts.certificate, clock),
        _changed(facts, history),
        _search(facts, history) if history.candidates else _no_search(),
        _why(facts, history),
        _data(facts),
        element("p", GLOSSARY, class_="quiet"),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"


def _headline(facts: Facts) -> Markup:
    certificate = facts.certificate
    numbers = element(
        "p",
        f"{certificate.baseline:.2f} ",
        element("span", "→", aria_label="to"),
        " ",
        element("b", f"{certificate.compiled:.2f}"),
        class_="scores",
    )
    good = certificate.shipped == "compiled" and certificate.proven
    chip = element("span", f"shipped: {certificate.shipped}", class_="chip" if good else "chip warn")
    return element(
        "header",
        element("h1", said(facts.title)),
        element("div", numbers, charts.interval_picture(certificate), class_="headline"),
        element("p", chip, " ", _verdict(certificate)),
        element("p", str(certificate), class_="sentence"),
    )


def _verdict(certificate: Certificate) -> str:
    rows = f"{certificate.n} rows that the search never saw"
    if certificate.shipped == "baseline" and certificate.gain > 0:
        return f"On {rows} there was a gain, but its interval reaches zero, and this gate asks for proof."
    if certificate.shipped == "baseline":
        return f"On {rows} the compiled program was no better, so the program ships as it was."
    if certificate.proven:
        return f"On {rows} the compiled program is better, and the interval of the gain lies above zero."
    if certificate.gain > 0:
        return f"On {rows} the gain is not proven: its interval reaches zero."
    return f"On {rows} the compiled program was no better. It ships all the same, because the gate is {certificate.gate!r}."


def _cost(certificate: Certificate, clock: Clock | None) -> Markup:
    parts = [_calls(certificate), *([_clock(clock)] if clock else [])]
    return join(element("h2", "What it took"), element("div", *parts, class_="costs"))


def _calls(certificate: Certificate) -> Markup:
    roles = [*certificate.requested, *(role for role in certificate.tokens if role not in certificate.requested)]
    counted = [(role, certificate.requested.get(role, 0), certificate.tokens.get(role, 0)) for role in roles]
    total = ("all", sum(calls for _, calls, _ in counted), sum(tokens for _, _, tokens in counted))
    lines = [*counted, total] if len(counted) > 1 else counted
    rows = [(said(role), f"{calls:,}", f"{tokens:,}") for role, calls, tokens in lines]
    shown = table(["role", "requested calls", "tokens"], rows) if rows else element("p", "No LM was called.")
    return element("div", element("h4", "Calls and tokens, the same in equal runs"), shown)


def _clock(clock: Clock) -> Markup:
    usd = f"${clock.usd:.2f}" if clock.usd >= 1 or not clock.usd else f"${clock.usd:.4f}"
    rows = [(f"{clock.seconds:,.1f}", f"{clock.sent:,}", usd)]
    heading = element("h4", "Time and money, of the process that wrote this page")
    return element("div", heading, table(["seconds", "calls sent", "USD paid"], rows))


def _changed(facts: Facts, history: History) -> Markup:
    heading = element("h2", "What changed")
    if facts.params != facts.baseline:
        return join(heading, changes(facts.baseline, facts.params, rows=facts.rows))
    leader = history.leader
    parts = [heading, element("p", "Nothing: the program ships as it was.")]
    if leader and leader.params and leader.params != facts.baseline:
        summary = f"What the best candidate ({_named(leader)}) would have changed"
        would = changes(facts.baseline, leader.params, rows=facts.rows)
        parts.append(element("details", element("summary", summary), would))
    prompts = changes(facts.baseline, facts.params, rows=facts.rows)
    return join(*parts, element("details", element("summary", "The prompts"), prompts))


def _no_search() -> Markup:
    words = "The journal holds no scored candidate, so there is no search to show."
    return join(element("h2", "The search"), element("p", words, class_="quiet"))


def _search(facts: Facts, history: History) -> Markup:
    return join(
        element("h2", "The search"),
        _chart(history),
        element("h2", "Candidates by validation rows"),
        _heat_map(history),
        element("h2", "Which part made the difference"),
        effects(history, facts.baseline, facts.params, rows=facts.rows),
        element("h2", "Candidates"),
        _candidates(history, facts.baseline),
    )


def _chart(history: History) -> Markup:
    caption = (
        f"Each point is a candidate after a round, larger the more of the {history.table.rows} validation rows it had "
        "been scored on, filled when on all. The line is the best on all rows, with 95% intervals. The search picked "
        "what leads here, so these scores flatter; the proof is the holdout above."
    )
    return element(
        "figure",
        element("div", charts.search_chart(history, width=990, height=340), class_="roomy"),
        element("div", charts.search_chart(history, width=356, height=270), class_="narrow"),
        element("figcaption", caption),
    )


def _heat_map(history: History) -> Markup:
    shades = [element("i", class_="key", style=f"background:var(--s{shade})") for shade in range(charts.LEVELS)]
    keys = [
        element("span", "score 0 ", *shades, " 1"),
        element("span", element("i", class_="key", style="background:var(--empty)"), " not run"),
    ]
    more = len(history.candidates) - charts.MOST_CANDIDATES
    clipping = f" The {charts.MOST_CANDIDATES} best of {len(history.candidates)} are shown." if more > 0 else ""
    caption = f"The best estimates are on top; each line starts with the candidate's number and its mean.{clipping}"
    return element(
        "figure",
        element("p", *keys, class_="quiet keys"),
        charts.heat_map(history),
        element("figcaption", caption),
    )


def _candidates(history: History, baseline: Params) -> Markup:
    ranked, estimates = history.ranked(), history.estimates
    rows = [_row(one, history, baseline, estimate=estimates[one.name]) for one in ranked]
    heads = ["", "rows", "mean", "estimate", "origin", "changed instructions"]
    first = table(heads, rows[:FIRST], class_="wide")
    if len(rows) <= FIRST:
        return first
    summary = element("summary", f"{len(rows) - FIRST} more")
    return join(first, element("details", summary, table(heads, rows[FIRST:], class_="wide")))


def _row(candidate: Candidate, history: History, baseline: Params, *, estimate: float) -> Sequence[str]:
    leads = history.leader is candidate
    return (
        element("b", f"{_named(candidate)} best") if leads else _named(candidate),
        str(history.table.n(candidate.name)),
        f"{history.table.mean(candidate.name):.2f}",
        f"{estimate:.2f}",
        said(clipped(candidate.origin, 120)),
        _instructions(candidate.params, baseline),
    )


def _instructions(params: Params | None, baseline: Params) -> Markup:
    if params is None:
        return join("not in the journal")
    changed = [
        element("div", element("code", said(path)), " ", said(clipped(params[path].instruction, 80)))
        for path, before in baseline.items()
        if path in params and params[path].instruction != before.instruction
    ]
    return join(*changed) if changed else join("–")


def _why(facts: Facts, history: History) -> Markup:
    stages = [
        element("li", said(stage.name), f" (after {stage.requested:,} calls): ", said(_listed(stage.facts)))
        for stage in history.stages
    ]
    return join(
        element("h2", "Why the search stopped"),
        element("p", said(facts.stopped[:1].upper() + facts.stopped[1:]), "."),
        join(element("h4", "Stages"), element("ul", *stages)) if stages else "",
    )


def _listed(facts: Mapping[str, int | float | str]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.2f}' if isinstance(value, float) else value}"
        for name, value in facts.items()
    )


def _data(facts: Facts) -> Markup:
    certificate = facts.certificate
    rows = [
        (said(name), f"{part.rows:,}", element("code", said(part.fingerprint)))
        for name, part in certificate.splits.items()
    ]
    prints = [
        ("seed", str(certificate.seed)),
        ("gate", certificate.gate),
        ("params before", facts.baseline.fingerprint),
        ("params that ship", facts.params.fingerprint),
        ("other runs that looked at this holdout before", str(certificate.opened_before)),
    ]
    return join(
        element("h2", "Data and fingerprints"),
        table(["rows", "how many", "fingerprint"], rows) if rows else "",
        element("ul", *(element("li", f"{name}: ", element("code", value)) for name, value in prints)),
    )


def _named(candidate: Candidate) -> str:
    return f"#{candidate.number}"
