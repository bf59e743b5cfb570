"""The head of the page: what was proven, in plain words, and what these rows could have shown at all."""

import math
from statistics import NormalDist

from lmprog.certificate import Certificate
from lmprog.data import LEAST_HOLDOUT
from lmprog.narration import count
from lmprog.report.charts import interval_picture
from lmprog.report.costs import dollars
from lmprog.report.facts import Clock, Facts
from lmprog.report.history import History
from lmprog.report.markup import Markup, element, join, said
from lmprog.statistics import LEVEL, POWER

DISCORDANT = 0.25
"""Share of rows on which two programs score differently, where the run itself does not show it."""


def headline(facts: Facts, history: History, clock: Clock | None) -> Markup:
    """Return the title, the certificate in figures and in words, and the run's key figures."""
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
        element("div", numbers, interval_picture(certificate), class_="headline"),
        element("p", chip, " ", verdict(certificate, history, rows=facts.rows), class_="verdict"),
        element("p", resolution(certificate)),
        *(element("p", warning, class_="warning") for warning in _warnings(certificate)),
        element("p", element("code", str(certificate)), class_="sentence"),
        _figures(certificate, history, clock),
    )


def verdict(certificate: Certificate, history: History, *, rows: bool) -> str:
    """Return what the proof says, and what ships; without `rows` no reply to one."""
    if certificate.shipped == "baseline" and (why := history.nothing_found(rows=rows)):
        return f"{why} So the program ships as it was."
    unseen = f"{count(certificate.n, 'row')} that the search never saw"
    if certificate.shipped == "baseline" and certificate.gain > 0:
        return f"On {unseen} there was a gain, but its interval reaches zero, and this gate asks for proof."
    if certificate.shipped == "baseline":
        return f"On {unseen} the compiled program was no better, so the program ships as it was."
    if certificate.proven:
        return f"On {unseen} the compiled program is better, and the interval of the gain lies above zero."
    if certificate.interval.low > 0:
        return f"On {unseen} there was a gain, but fewer than {LEAST_HOLDOUT} rows prove nothing."
    if certificate.gain > 0:
        return f"On {unseen} the gain is not proven: its interval reaches zero."
    return f"On {unseen} the compiled program was no better. It ships all the same, because the gate is {certificate.gate!r}."


def resolvable(certificate: Certificate) -> float:
    """Return the least true gain that rows like the holdout's tell from none with a power of 80%.

    By the normal approximation, at once; `statistics.resolvable` takes seconds to be exact. The share of rows that score
    differently, d, is taken from the interval, and where none does it is assumed: g = k sqrt((d - g^2) / n).
    """
    normal = NormalDist()
    quantile = normal.inv_cdf((1 + LEVEL) / 2)
    k2 = (quantile + normal.inv_cdf(POWER)) ** 2
    error = (certificate.interval.high - certificate.interval.low) / (2 * quantile)
    differing = error**2 * certificate.n + certificate.gain**2 if error else DISCORDANT
    least = math.sqrt(differing * k2 / (certificate.n + k2))
    return min(1.0, least if least <= differing else k2 / (certificate.n + k2))  # no gain without a row that differs


def resolution(certificate: Certificate) -> str:
    """Return what gain the holdout could have shown."""
    settled = certificate.interval.high == certificate.interval.low
    basis = f", if a compiled program differs from this one on {DISCORDANT:.0%} of them" if settled else ""
    words = (
        f"{certificate.n:,} rows like these tell a true gain of about {resolvable(certificate):.2f} or more from none in "
        f"{POWER:.0%} of runs{basis}; smaller ones are often missed."
    )
    more = f" To tell half of that takes about {4 * certificate.n:,} rows." if not certificate.proven else ""
    return words + more


def _warnings(certificate: Certificate) -> list[str]:
    found: list[str] = []
    if any(certificate.failed.values()):
        before, after = (certificate.failed.get(which, 0) for which in ("baseline", "compiled"))
        found.append(
            f"{count(before, 'row')} gave no prediction before compiling and {after} after; each scored 0. See Failures."
        )
    if certificate.opened_before:
        flatters = ", so the gain may flatter: prove it on fresh rows" if certificate.gain > 0 else ""
        found.append(f"{count(certificate.opened_before, 'other run')} looked at these holdout rows before{flatters}.")
    return found


def _figures(certificate: Certificate, history: History, clock: Clock | None) -> Markup:
    calls, tokens = sum(certificate.requested.values()), sum(certificate.tokens.values())
    figures = [
        (f"{len(history.candidates):,}", "candidates"),
        (f"{history.table.rows:,}", "validation rows"),
        (f"{certificate.n:,}", "holdout rows"),
        (f"{calls:,}", "requested calls"),
        (f"{tokens:,}", "tokens"),
    ]
    if clock:
        figures += [(f"{clock.seconds:,.1f}", "seconds"), (dollars(clock.usd), "paid")]
    return element("dl", *(join(_figure(number, name)) for number, name in figures), class_="facts")


def _figure(number: str, name: str) -> Markup:
    return element("div", element("dt", name), element("dd", number))
