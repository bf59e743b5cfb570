"""Rows that gave no prediction, and why."""

import re
from collections.abc import Iterable, Sequence

from lmprog.certificate import Certificate
from lmprog.narration import count
from lmprog.report.facts import Facts
from lmprog.report.history import History
from lmprog.report.markup import Markup, clipped, element, join, said, table

MOST_REASONS = 12
"""Reasons that are listed, those of the most rows first."""
MOST_REASON = 300
"""Characters of a reason."""
MOST_NAMED = 12
"""Rows that are named by number."""

_UNREAD = re.compile(r"`[^`]*`: .*\. The reply was:\n", re.DOTALL)
_EXCEPTION = re.compile(r"\w*(?:Error|Exception|Exit)(?=:)")


def failures(facts: Facts, history: History) -> Markup:
    """Return what failed on the holdout, and in the search; without rows the kinds of reasons alone, as a reason quotes
    what an LM replied to a row.
    """
    return join(_holdout(facts), _search(history, facts.rows))


def kind(reason: str) -> str:
    """Return what sort of failure a reason tells of, in words that hold nothing of a row."""
    if reason.startswith("the reply does not hold") or _UNREAD.match(reason):
        return "the reply did not hold the outputs asked for"
    named = _EXCEPTION.match(reason)
    return f"the program's code raised {named[0]}" if named else "another reason"


def _holdout(facts: Facts) -> Markup:
    certificate = facts.certificate
    if not certificate.failed:
        return element("p", "Failures on the holdout were not recorded.", class_="quiet")
    if not any(certificate.failed.values()):
        return element("p", f"On the holdout all {count(certificate.n, 'row')} gave a prediction, before and after.")
    known = {which: facts.failures.get(which, {}) for which in ("baseline", "compiled")}
    lines = [(which, *line) for which, reasons in known.items() for line in _lines(reasons.items(), rows=facts.rows)]
    shown = table(["program", "rows", "why", "which"], lines, label="Failures on the holdout", class_="reasons")
    return join(element("p", _counted(certificate)), shown if lines else "")


def _counted(certificate: Certificate) -> str:
    before, after = (certificate.failed.get(which, 0) for which in ("baseline", "compiled"))
    return (
        f"On the holdout {before} of {count(certificate.n, 'row')} gave no prediction under the program as it was, "
        f"{after} under the compiled one. Each scored 0."
    )


def _search(history: History, rows: bool) -> Markup:
    if not history.failures:
        return join()
    found: list[tuple[int, str]] = []
    for reasons in history.failures.values():
        found += reasons.items()
    lines = _lines(found, rows=rows)
    words = (
        f"In the search {count(len(found), 'run')} of {count(len(history.failures), 'candidate')} gave no prediction."
    )
    shown = table(["runs", "why", "rows"], lines, label="Failures in the search", class_="reasons")
    return join(element("p", words), shown)


def _lines(found: Iterable[tuple[int, str]], *, rows: bool) -> list[Sequence[str]]:
    """Return a line for each reason, those of the most runs first."""
    by_reason: dict[str, list[int]] = {}
    for row, reason in found:
        by_reason.setdefault(clipped(reason, MOST_REASON) if rows else kind(reason), []).append(row)
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines: list[Sequence[str]] = [
        (str(len(where)), said(reason), _named(where)) for reason, where in ranked[:MOST_REASONS]
    ]
    if rest := ranked[MOST_REASONS:]:
        lines.append((str(sum(len(where) for _, where in rest)), f"{len(rest)} other reasons", ""))
    return lines


def _named(rows: Sequence[int]) -> str:
    distinct = sorted(set(rows))
    more = f" and {len(distinct) - MOST_NAMED} more" if len(distinct) > MOST_NAMED else ""
    return ", ".join(f"{row}" for row in distinct[:MOST_NAMED]) + more
