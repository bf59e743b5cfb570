"""render(): the report page from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmprog.report import charts, heat
from lmprog.report.candidates import candidate_tree
from lmprog.report.costs import costs, timeline
from lmprog.report.effects import effects
from lmprog.report.facts import Clock, Facts
from lmprog.report.failures import failures
from lmprog.report.headline import headline
from lmprog.report.history import History
from lmprog.report.lineage import is_told
from lmprog.report.markup import Markup, element, folded, join, said, table
from lmprog.report.prompts import changes
from lmprog.report.style import STYLE

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Tells the browser to run no script and to load nothing, whatever a user's text may hold."""
GLOSSARY = (
    ("Baseline", "the program as it was."),
    ("Candidate", "params that the search tried."),
    ("Row", "one example of the data. Validation rows: those that the search is scored on."),
    ("Holdout", "rows that the search never saw."),
    ("Requested calls", "distinct requests to an LM, whoever answered them, the network or a record."),
    ("Estimate", "a candidate's mean, adjusted for how hard its rows were."),
    ("Score", "lies between 0 and 1, higher is better."),
)


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the page under a heading of its own, which the contents lead to."""

    id: str
    title: str
    content: Markup


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
    sections = _sections(facts, history, clock)
    body = element(
        "main",
        headline(facts, history, clock),
        _contents(sections),
        *(
            element("section", element("h2", part.title, id=part.id), part.content, aria_labelledby=part.id)
            for part in sections
        ),
        _glossary(),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"


def _sections(facts: Facts, history: History, clock: Clock | None) -> list[_Section]:
    searched = _searched(facts, history) if history.scorings else [_Section("search", "The search", _no_search())]
    return [
        _Section("changed", "What changed", _changed(facts, history)),
        _Section("took", "What it took", costs(facts.certificate, clock)),
        _Section("stopped", "Why the search stopped", _why(facts, history)),
        *searched,
        _Section("failures", "Failures", failures(facts, history)),
        _Section("data", "Data and fingerprints", _data(facts)),
    ]


def _searched(facts: Facts, history: History) -> list[_Section]:
    return [
        _Section("search", "The search", _chart(history)),
        _Section("candidates", "Candidates", _candidates(facts, history)),
        _Section(
            "parts",
            "Which part made the difference",
            effects(history, facts.baseline, facts.params, rows=facts.rows),
        ),
        _Section("rows", "Candidates by validation rows", _heat_map(history)),
    ]


def _contents(sections: Sequence[_Section]) -> Markup:
    links = [element("li", element("a", part.title, href=f"#{part.id}")) for part in sections]
    return element("nav", element("ul", *links), aria_label="Contents")


def _changed(facts: Facts, history: History) -> Markup:
    if facts.params != facts.baseline:
        return changes(facts.baseline, facts.params, rows=facts.rows, signatures=facts.signatures, tools=facts.tools)
    leader = history.leader
    parts = [element("p", "Nothing: the program ships as it was.")]
    if leader and leader.params and leader.params != facts.baseline:
        summary = f"What the best candidate (#{leader.number}) would have changed"
        would = changes(facts.baseline, leader.params, rows=facts.rows, signatures=facts.signatures, tools=facts.tools)
        parts.append(folded(summary, would))
    prompts = changes(facts.baseline, facts.params, rows=facts.rows, signatures=facts.signatures, tools=facts.tools)
    return join(*parts, folded("The prompts", prompts))


def _no_search() -> Markup:
    return element("p", "The journal holds no scored candidate, so there is no search to show.", class_="quiet")


def _both(roomy: Markup, narrow: Markup) -> Markup:
    """Return a picture in two shapes, of which the style shows the one that the screen has room for."""
    return join(element("div", roomy, class_="roomy"), element("div", narrow, class_="narrow"))


def _chart(history: History) -> Markup:
    caption = (
        f"Each point is a candidate after a round, larger the more of the {history.table.rows:,} validation rows it had "
        "been scored on, filled when on all. The line is the best on all rows, with 95% intervals. The search picked "
        "what leads here, so these scores flatter; the proof is the holdout above."
    )
    wide = charts.search_chart(history, width=990, height=340)
    return element(
        "figure", _both(wide, charts.search_chart(history, width=356, height=270)), element("figcaption", caption)
    )


def _candidates(facts: Facts, history: History) -> Markup:
    tree = candidate_tree(history, facts.baseline, facts.params, rows=facts.rows)
    if not is_told(history):
        return tree
    caption = (
        "Candidates by estimate; lines lead from parents to what was made from them. The marked way leads to the best."
    )
    wide = charts.family_chart(history, width=990, height=230)
    picture = _both(wide, charts.family_chart(history, width=356, height=230))
    return join(element("figure", picture, element("figcaption", caption)), tree)


def _heat_map(history: History) -> Markup:
    shades = [element("i", class_="key", style=f"background:var(--s{shade})") for shade in range(heat.LEVELS)]
    keys = [
        element("span", "score 0 ", *shades, " 1"),
        element("span", element("i", class_="key", style="background:var(--empty)"), " not run"),
    ]
    more = len(history.estimates) - heat.MOST_CANDIDATES
    clipping = f" The {heat.MOST_CANDIDATES} best of {len(history.estimates)} are shown." if more > 0 else ""
    sampled = f" Every row in {-(-history.table.rows // heat.MOST_ROWS)} is shown." * (
        history.table.rows > heat.MOST_ROWS
    )
    caption = (
        f"The best estimates are on top; each line starts with the candidate's number and its mean.{clipping}{sampled}"
    )
    return element(
        "figure",
        element("p", *keys, class_="quiet keys"),
        heat.heat_map(history),
        element("figcaption", caption),
    )


def _why(facts: Facts, history: History) -> Markup:
    reason = element("p", said(facts.stopped[:1].upper() + facts.stopped[1:]), ".")
    if not history.stages:
        return reason
    note = "The stages in their order, each with the requested calls since the one before."
    return join(reason, timeline(history.stages, history), element("p", note, class_="quiet"))


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
        table(["rows", "how many", "fingerprint"], rows, label="Splits") if rows else "",
        element("ul", *(element("li", f"{name}: ", element("code", value)) for name, value in prints)),
    )


def _glossary() -> Markup:
    entries = [element("div", element("dt", name), element("dd", words)) for name, words in GLOSSARY]
    return element("footer", element("h2", "Words", id="words"), element("dl", *entries, class_="glossary"))
