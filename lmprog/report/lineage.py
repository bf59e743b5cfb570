"""Who came from whom, and where that is not told, who came about alike."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lmprog.report.history import Candidate, History

_FIGURES = re.compile(r"\d+")
_FINGERPRINT = re.compile(r"\b[0-9a-f]{12}\b")


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate in the tree, drawn as an indented list."""

    candidate: Candidate
    level: int
    """How many branchings lie above it. An only child stands at its parent's level, so that long lines stay readable."""


@dataclass(frozen=True, slots=True)
class Family:
    """Candidates that came about alike, the best first, each with all that came from it beneath."""

    origin: str
    places: tuple[Place, ...]


def is_told(history: History) -> bool:
    """Tell whether the journal names any candidate's parents."""
    return any(one.parents for one in history.candidates.values())


def ascent(history: History, candidate: Candidate) -> list[Candidate]:
    """Return the line from the first ancestor to the candidate, by the nearest parent of each."""
    line = [candidate]
    while line[-1].parents:
        line.append(history.candidates[line[-1].parents[0]])  # of a lower number, so this ends
    return line[::-1]


def families(history: History) -> list[Family]:
    """Return all candidates: those without a parent by how they came about, each with its descendants."""
    everyone = [*history.candidates.values()]
    children: dict[str, list[Candidate]] = {}
    for one in everyone:
        for parent in one.parents[:1]:
            children.setdefault(parent, []).append(one)
    best = _best_below(history, everyone)
    groups: dict[str, list[Candidate]] = {}
    for one in everyone:
        if not one.parents:
            groups.setdefault(_FIGURES.sub("…", one.origin), []).append(one)
    found: list[Family] = []
    for roots in groups.values():
        ranked = _ranked(roots, best)
        origin = roots[0].origin if len(roots) == 1 else _FIGURES.sub("…", roots[0].origin)
        places = [place for root in ranked for place in _descent(root, children, best)]
        found.append(Family(origin, tuple(places)))
    return found


def in_numbers(origin: str, history: History) -> str:
    """Return an origin with candidates called by their number in place of their fingerprint, and without backticks."""
    known, plain = history.candidates, origin.replace("`", "")
    return _FINGERPRINT.sub(lambda found: f"#{known[found[0]].number}" if found[0] in known else found[0], plain)


def _best_below(history: History, everyone: Sequence[Candidate]) -> dict[str, float]:
    """Return the best estimate among each candidate and its descendants; -1 where none was scored."""
    best = {one.name: history.estimates.get(one.name, -1.0) for one in everyone}
    for one in reversed(everyone):
        for parent in one.parents[:1]:
            best[parent] = max(best[parent], best[one.name])
    return best


def _ranked(candidates: Iterable[Candidate], best: dict[str, float]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: (-round(best[one.name], 9), one.number))


def _descent(root: Candidate, children: dict[str, list[Candidate]], best: dict[str, float]) -> list[Place]:
    """Return a candidate and its descendants, the best branch first. No recursion: a line may be hundreds long."""
    places, waiting = list[Place](), [(root, 0)]
    while waiting:
        one, level = waiting.pop()
        places.append(Place(one, level))
        below = _ranked(children.get(one.name, []), best)
        waiting += [(child, level + (len(below) > 1)) for child in reversed(below)]
    return places
