"""The pictures of the page, as inline SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lmprog.certificate import Certificate
from lmprog.report.history import History, Lead, Scoring
from lmprog.report.markup import Markup, element, join
from lmprog.statistics import Interval, mean_interval

LEVELS = 5
"""Shades of the heat map, from score 0 to score 1."""
MOST_CANDIDATES = 30
MOST_ROWS = 600
"""Columns of the heat map; of more rows every k-th is shown."""
CELL_HEIGHT = 13


def interval_picture(certificate: Certificate) -> Markup:
    """Return the gain and its interval on a line that shows 0."""
    low, gain, high = certificate.interval.low, certificate.gain, certificate.interval.high
    reach = 1.15 * max(abs(low), abs(high), abs(gain), 0.05)
    x = _scale(-reach, reach, 30, 330)
    marks = [
        element("line", x1=30, x2=330, y1=30, y2=30, class_="axis"),
        element("line", x1=x(0), x2=x(0), y1=10, y2=56, class_="zero"),
        _label(x(0), 70, "0: no gain", "middle"),
        element("line", x1=x(low), x2=x(high), y1=30, y2=30, class_="range"),
        element("circle", cx=x(gain), cy=30, r=6, class_="gain"),
        _label(x(gain), 15, f"{gain:+.2f}", "middle", "strong"),
        _label(x(low), 50, f"{low:+.2f}", "end", "halo"),
        _label(x(high), 50, f"{high:+.2f}", "start", "halo"),
    ]
    words = f"Gain {gain:+.2f}, 95% interval {certificate.interval.signed()}, against no gain at 0"
    return _svg(360, 76, words, marks, class_="interval")


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
    parts += [_point(scoring, history.table.rows, frame) for scoring in history.scorings]
    parts += _leaders(history, frame)
    return _svg(width, height, words, parts)


def _frame(history: History, width: int, height: int) -> _Frame:
    shown = [scoring.mean for scoring in history.scorings]
    shown += [end for lead in history.leads if (found := _interval(history, lead)) for end in (found.low, found.high)]
    low = max(0.0, math.floor((min(shown) - 0.02) * 10) / 10)
    high = min(1.0, math.ceil((max(shown) + 0.02) * 10) / 10)
    calls = max(1, *(scoring.requested for scoring in history.scorings))
    left, right, top, bottom = 40.0, width - 14.0, 12.0, height - 40.0
    x, y = _scale(0, calls, left, right - 4), _scale(low, high, bottom, top)
    return _Frame(x, y, left, right, bottom, calls, low, high)


def _axes(frame: _Frame) -> list[Markup]:
    lines: list[Markup] = []
    tenths = range(round(frame.low * 10), round(frame.high * 10) + 1)
    every = 1 if len(tenths) <= 6 else 2
    for tenth in (tenth for tenth in tenths if tenth % every == 0):
        y = frame.y(tenth / 10)
        lines.append(element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="grid"))
        lines.append(_label(frame.left - 7, y + 4, f"{tenth / 10:.2f}", "end"))
    step = _step(frame.calls, 5 if frame.right > 500 else 3)
    for calls in range(0, int(frame.calls) + 1, step):
        lines.append(_label(frame.x(calls), frame.bottom + 17, f"{calls:,}", "middle" if calls else "start"))
    lines.append(_label((frame.left + frame.right) / 2, frame.bottom + 35, "requested calls", "middle"))
    return lines


def _baseline(history: History, frame: _Frame) -> list[Markup]:
    score = history.table.mean(history.scorings[0].candidate.name)
    y = frame.y(score)
    return [
        element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="baseline"),
        _label(frame.right, y + 15 if y < frame.bottom - 18 else y - 6, f"baseline {score:.2f}", "end"),
    ]


def _point(scoring: Scoring, rows: int, frame: _Frame) -> Markup:
    share = scoring.rows / rows
    words = f"#{scoring.candidate.number} {scoring.candidate.origin}: {scoring.mean:.2f} on {scoring.rows} rows"
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
    parts.append(_label(frame.right, y - 9 if y > 24 else y + 18, f"best {last.score:.2f}", "end", "strong"))
    return parts


def _interval(history: History, lead: Lead) -> Interval | None:
    if lead.candidate not in history.candidates:
        return None
    return mean_interval(list(history.table.scores(lead.candidate).values()))


def heat_map(history: History) -> Markup:
    """Return candidates by validation rows, best candidates on top, hard rows on the left; cells not run stay empty."""
    shown = history.ranked()[:MOST_CANDIDATES]
    rows = _rows_by_ease(history)
    cell = max(2.0, min(14.0, 860 / max(1, len(rows))))
    left, top, width = 92, 4, 96 + cell * len(rows) + 4
    parts: list[Markup] = []
    for place, candidate in enumerate(shown):
        y = top + place * (CELL_HEIGHT + 2)
        words = f"#{candidate.number}  {history.table.mean(candidate.name):.2f}"
        parts.append(_label(left - 8, y + CELL_HEIGHT - 3, words, "end"))
        parts.append(element("rect", x=left, y=y, width=cell * len(rows), height=CELL_HEIGHT, class_="empty"))
        parts += _cells(history.table.scores(candidate.name), rows, cell=cell, left=left, y=y + CELL_HEIGHT / 2)
    bottom = top + len(shown) * (CELL_HEIGHT + 2) + 14
    parts.append(_label(left, bottom, "hard rows", "start"))
    if cell * len(rows) > 160:
        parts.append(_label(left + cell * len(rows), bottom, "easy rows", "end"))
    words = f"Scores of {len(shown)} candidates on {len(rows)} validation rows, the best candidates on top"
    drawn = _svg(math.ceil(width), bottom + 8, words, parts, style=f"width:{math.ceil(width)}px")
    return element("div", drawn, class_="scroll", tabindex="0")


def _rows_by_ease(history: History) -> list[int]:
    seen: dict[int, list[float]] = {}
    for name in history.candidates:
        for row, score in history.table.scores(name).items():
            seen.setdefault(row, []).append(score)
    rows = sorted(seen, key=lambda row: (round(sum(seen[row]) / len(seen[row]), 9), row))
    every = math.ceil(len(rows) / MOST_ROWS) or 1
    return rows[::every]


def _cells(scores: Mapping[int, float], rows: Sequence[int], *, cell: float, left: float, y: float) -> list[Markup]:
    """Return one path per shade, neighbours of a shade drawn as one stroke: a page of cells would weigh megabytes."""
    shades = [min(LEVELS - 1, int(scores[row] * LEVELS)) if row in scores else None for row in rows]
    paths: dict[int, str] = {}
    start = 0
    for at in range(1, len(shades) + 1):
        if at < len(shades) and shades[at] == shades[start]:
            continue
        shade = shades[start]
        if shade is not None:
            stroke = f"M{left + start * cell:.1f} {y:.1f}h{(at - start) * cell:.1f}"
            paths[shade] = paths.get(shade, "") + stroke
        start = at
    return [element("path", d=path, class_=f"s{shade}", stroke_width=CELL_HEIGHT) for shade, path in paths.items()]


def bar(share: float) -> Markup:
    """Return a bar for a score in [0, 1]."""
    parts = [
        element("rect", x=0, y=0, width=100, height=10, class_="empty"),
        element("rect", x=0, y=0, width=max(0.0, min(1.0, share)) * 100, height=10, class_="fill"),
    ]
    return element("svg", *parts, viewBox="0 0 100 10", width=100, height=10, class_="bar", aria_hidden="true")


def _svg(width: float, height: float, words: str, parts: Sequence[Markup], **attributes: str | float) -> Markup:
    view = f"0 0 {width:g} {height:g}"
    title = element("title", words)
    return element("svg", title, join(*parts), viewBox=view, role="img", aria_label=words, **attributes)


def _label(x: float, y: float, words: str, anchor: str, class_: str = "label") -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    reach = (high - low) or 1.0
    return lambda value: start + (value - low) / reach * (end - start)


def _step(most: float, count: int) -> int:
    """Return a round step that divides the range in about so many parts."""
    rough = max(1.0, most / count)
    power = 10 ** math.floor(math.log10(rough))
    return next(int(factor * power) for factor in (1, 2, 5, 10) if factor * power >= rough)
