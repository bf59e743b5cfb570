"""The charts of the page, as inline SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lmprog.certificate import Certificate
from lmprog.report.drawing import label, scale, step, svg
from lmprog.report.history import Candidate, History, Lead, Scoring
from lmprog.report.lineage import ascent, in_numbers
from lmprog.report.markup import Markup, clipped, element
from lmprog.statistics import Interval, mean_interval

MOST_TITLE = 80
"""Characters of an origin in what a point says when it is pointed at."""
LABEL_WIDTH = 40
"""Pixels that a candidate's number takes."""
MOST_POINTS = 1500
"""Points of the chart; of more every k-th is drawn."""


def interval_picture(certificate: Certificate) -> Markup:
    """Return the gain and its interval on a line that shows 0."""
    low, gain, high = certificate.interval.low, certificate.gain, certificate.interval.high
    reach = 1.15 * max(abs(low), abs(high), abs(gain), 0.05)
    x = scale(-reach, reach, 30, 330)
    marks = [
        element("line", x1=30, x2=330, y1=30, y2=30, class_="axis"),
        element("line", x1=x(0), x2=x(0), y1=10, y2=56, class_="zero"),
        label(x(0), 70, "0: no gain", "middle"),
        element("line", x1=x(low), x2=x(high), y1=30, y2=30, class_="range"),
        element("circle", cx=x(gain), cy=30, r=6, class_="gain"),
        label(x(gain), 15, f"{gain:+.2f}", "middle", "strong"),
        label(x(low), 50, f"{low:+.2f}", "end", "halo"),
        label(x(high), 50, f"{high:+.2f}", "start", "halo"),
    ]
    words = f"Gain {gain:+.2f}, 95% interval {certificate.interval.signed()}, against no gain at 0"
    return svg(360, 76, words, marks, class_="interval")


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the chart's numbers lie in the picture."""

    x: Callable[[float], float]
    y: Callable[[float], float]
    left: float
    right: float
    bottom: float
    calls: float
    low: float
    high: float


def search_chart(history: History, *, width: int, height: int) -> Markup:
    """Return score over requested calls: candidates as points, the leader on all rows as a line, the baseline dashed."""
    frame = _frame(history, width, height)
    words = f"Score over requested calls: {len(history.candidates)} candidates"
    if history.leads:
        words += f", the leader went from {history.leads[0].score:.2f} to {history.leads[-1].score:.2f}"
    parts = [*_axes(frame), *_baseline(history, frame)]
    every = math.ceil(len(history.scorings) / MOST_POINTS)
    parts += [_point(scoring, history, frame) for scoring in history.scorings[::every]]
    parts += _leaders(history, frame)
    return svg(width, height, words, parts)


def family_chart(history: History, *, width: int, height: int) -> Markup:
    """Return estimates in the order in which candidates came, each tied to its parents, the way to the best marked."""
    scored = [one for one in history.candidates.values() if one.name in history.estimates]
    way = [one.name for one in ascent(history, history.leader)] if history.leader else []
    shown = [history.estimates[one.name] for one in scored]
    low, high = max(0.0, min(shown) - 0.03), min(1.0, max(shown) + 0.03)
    x = scale(0, max(1, scored[-1].number), 44, width - 18)
    y = scale(low, high, height - 36, 12)
    at = {one.name: (x(one.number), y(history.estimates[one.name])) for one in scored}
    ties = [(parent, one) for one in scored for parent in one.parents if parent in at]
    ties.sort(key=lambda tie: tie[0] in way and tie[1].name in way)  # what is marked is drawn above the rest
    parts = [_tie(at[parent], at[one.name], marked=parent in way and one.name in way) for parent, one in ties]
    labelled = _spaced([name for name in way if name in at], at)
    for one in scored:
        parts.append(_member(one, at[one.name], history, marked=one.name in way))
        parts += [_number(one, at[one.name])] if one.name in labelled else []
    parts += [
        label(36, y(value) + 4, f"{value:.2f}", "end") for value in (min(shown), max(shown)) if max(shown) > min(shown)
    ]
    parts.append(label(width / 2, height - 6, "candidates, in the order in which they came", "middle"))
    words = f"Family tree of {len(scored)} candidates by estimate"
    if way:
        words += f"; the way to the best: {', '.join(f'#{history.candidates[name].number}' for name in way)}"
    return svg(width, height, words, parts, class_="family-tree")


def _tie(parent: tuple[float, float], child: tuple[float, float], *, marked: bool) -> Markup:
    (x0, y0), (x1, y1) = parent, child
    middle = (x0 + x1) / 2
    path = f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    return element("path", d=path, class_="tie way" if marked else "tie")


def _member(one: Candidate, place: tuple[float, float], history: History, *, marked: bool) -> Markup:
    title = element("title", f"#{one.number} {history.estimates[one.name]:.2f}")
    x, y = place
    return element("circle", title, cx=x, cy=y, r=5 if marked else 3.5, class_="on-way" if marked else "member")


def _number(one: Candidate, place: tuple[float, float]) -> Markup:
    x, y = place
    return label(x, y - 9 if y > 24 else y + 18, f"#{one.number}", "middle", "strong")


def _spaced(way: Sequence[str], at: Mapping[str, tuple[float, float]]) -> set[str]:
    """Return whom on the way to call by number: the last, and of those before it as many as have room."""
    kept: list[str] = []
    for name in reversed(way):
        if not kept or at[kept[-1]][0] - at[name][0] >= LABEL_WIDTH:
            kept.append(name)
    return set(kept)


def _frame(history: History, width: int, height: int) -> _Frame:
    shown = [scoring.mean for scoring in history.scorings]
    shown += [end for lead in history.leads if (found := _interval(history, lead)) for end in (found.low, found.high)]
    low = max(0.0, math.floor((min(shown) - 0.02) * 10) / 10)
    high = min(1.0, math.ceil((max(shown) + 0.02) * 10) / 10)
    calls = max(1, *(scoring.requested for scoring in history.scorings))
    left, right, top, bottom = 40.0, width - 14.0, 12.0, height - 40.0
    x, y = scale(0, calls, left, right - 4), scale(low, high, bottom, top)
    return _Frame(x, y, left, right, bottom, calls, low, high)


def _axes(frame: _Frame) -> list[Markup]:
    lines: list[Markup] = []
    tenths = range(round(frame.low * 10), round(frame.high * 10) + 1)
    every = 1 if len(tenths) <= 6 else 2
    for tenth in (tenth for tenth in tenths if tenth % every == 0):
        y = frame.y(tenth / 10)
        lines.append(element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="grid"))
        lines.append(label(frame.left - 7, y + 4, f"{tenth / 10:.2f}", "end"))
    for calls in range(0, int(frame.calls) + 1, step(frame.calls, 5 if frame.right > 500 else 3)):
        lines.append(label(frame.x(calls), frame.bottom + 17, f"{calls:,}", "middle" if calls else "start"))
    lines.append(label((frame.left + frame.right) / 2, frame.bottom + 35, "requested calls", "middle"))
    return lines


def _baseline(history: History, frame: _Frame) -> list[Markup]:
    score = history.table.mean(history.scorings[0].candidate.name)
    y = frame.y(score)
    return [
        element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="baseline"),
        label(frame.right, y + 15 if y < frame.bottom - 18 else y - 6, f"baseline {score:.2f}", "end", "halo"),
    ]


def _point(scoring: Scoring, history: History, frame: _Frame) -> Markup:
    rows = history.table.rows
    share = scoring.rows / rows
    origin = clipped(in_numbers(scoring.candidate.origin, history), MOST_TITLE)
    words = f"#{scoring.candidate.number} {origin}: {scoring.mean:.2f} on {scoring.rows} rows"
    return element(
        "circle",
        element("title", words),
        cx=frame.x(scoring.requested),
        cy=frame.y(scoring.mean),
        r=2 + 3.5 * math.sqrt(share),
        class_="full" if scoring.rows == rows else "part",
    )


def _leaders(history: History, frame: _Frame) -> list[Markup]:
    """Return the step line, with the 95% interval of each leader's score over the validation rows."""
    if not history.leads:
        return []
    path, parts = "", list[Markup]()
    for lead in history.leads:
        x, y = frame.x(lead.requested), frame.y(lead.score)
        path += f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f} {y:.1f}"
        if found := _interval(history, lead):
            parts.append(element("line", x1=x, x2=x, y1=frame.y(found.low), y2=frame.y(found.high), class_="whisker"))
    last = history.leads[-1]
    parts.append(element("path", d=f"{path}H{frame.x(frame.calls):.1f}", class_="leader"))
    y = frame.y(last.score)
    parts.append(label(frame.right, y - 9 if y > 24 else y + 18, f"best {last.score:.2f}", "end", "strong"))
    return parts


def _interval(history: History, lead: Lead) -> Interval | None:
    if lead.candidate not in history.candidates:
        return None
    return mean_interval(list(history.table.scores(lead.candidate).values()))
