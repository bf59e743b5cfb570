"""The heat map: candidates by rows."""

import math
from collections.abc import Mapping, Sequence

from lmprog.report.drawing import label, svg
from lmprog.report.history import History
from lmprog.report.markup import Markup, element, scrolling

LEVELS = 5
"""Shades, from score 0 to score 1."""
MOST_CANDIDATES = 30
MOST_ROWS = 580
"""Columns; of more rows every k-th is shown."""
CELL_HEIGHT = 13


def heat_map(history: History) -> Markup:
    """Return candidates by validation rows, best candidates on top, hard rows on the left; cells not run stay empty."""
    shown = history.ranked()[:MOST_CANDIDATES]
    rows = _rows_by_ease(history)
    cell = max(1.5, min(14.0, 880 / max(1, len(rows))))
    left, top, width = 92, 4, 96 + cell * len(rows) + 4
    parts: list[Markup] = []
    for place, candidate in enumerate(shown):
        y, scores = top + place * (CELL_HEIGHT + 2), history.table.scores(candidate.name)
        mean = f"#{candidate.number}  {history.table.mean(candidate.name):.2f}"
        line = [
            element("title", f"{mean} on {len(scores)} rows"),
            label(left - 8, y + CELL_HEIGHT - 3, mean, "end"),
            element("rect", x=left, y=y, width=cell * len(rows), height=CELL_HEIGHT, class_="empty"),
            *_cells(scores, rows, cell=cell, left=left, y=y + CELL_HEIGHT / 2),
        ]
        parts.append(element("g", *line))
    bottom = top + len(shown) * (CELL_HEIGHT + 2) + 14
    parts.append(label(left, bottom, "hard rows", "start"))
    if cell * len(rows) > 160:
        parts.append(label(left + cell * len(rows), bottom, "easy rows", "end"))
    words = f"Scores of {len(shown)} candidates on {len(rows)} validation rows, the best candidates on top"
    drawn = svg(math.ceil(width), bottom + 8, words, parts, style=f"width:{math.ceil(width)}px")
    return scrolling(drawn, label="Heat map")


def _rows_by_ease(history: History) -> list[int]:
    seen: dict[int, list[float]] = {}
    for name in history.estimates:
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
