"""The Pareto frontier over validation rows, and the crossover of two of its members (GEPA, arXiv:2507.19457)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from random import Random

from lmprog.params import Params


def frontier(scores: Mapping[str, Mapping[int, float]]) -> dict[str, int]:
    """Return on how many rows each member of the frontier scores best; others may score as well there.

    `scores` are those of candidates on the same rows. One that leads on no row where another does not lead too is left
    out; of candidates that lead on the same rows, the one with the best mean and then the earliest stays (algorithm 2
    of the paper; its code also leaves out a candidate whose rows several others lead on between them).
    """
    rows = {row for cells in scores.values() for row in cells}
    best = {row: max(cells[row] for cells in scores.values()) for row in rows}
    leads = {name: {row for row in rows if cells[row] == best[row]} for name, cells in scores.items()}
    ranked = sorted(scores, key=lambda name: -sum(scores[name].values()))
    kept: list[str] = []
    for name in sorted(ranked, key=lambda name: -len(leads[name])):
        if not any(leads[name] <= leads[other] for other in kept):
            kept.append(name)
    return {name: len(leads[name]) for name in scores if name in kept}


def pairs(
    parents: Mapping[str, Sequence[str]], means: Mapping[str, float], leaders: Iterable[str], rng: Random
) -> Iterator[tuple[str, str, str]]:
    """Yield what may be crossed, in random order: an ancestor, and two leaders that come from it and score no worse.

    Neither is an ancestor of the other; the better goes first, and of several ancestors the nearest. `parents` holds all
    candidates, older ones first.
    """
    lines: dict[str, set[str]] = {}
    for name, origins in parents.items():
        lines[name] = {*origins}.union(*(lines[origin] for origin in origins))
    found = list(combinations(leaders, 2))
    for first, second in rng.sample(found, len(found)):
        if first in lines[second] or second in lines[first]:
            continue
        better, other = (first, second) if means[first] >= means[second] else (second, first)
        for ancestor in reversed(lines):
            if ancestor in lines[first] & lines[second] and means[ancestor] <= means[other]:
                yield ancestor, better, other


def crossed(ancestor: Params, better: Params, other: Params) -> Params | None:
    """Return what two descendants have each changed of an ancestor, in one; None where neither adds to the other.

    A predictor that only one of them changed is taken from that one, and one that both changed from the better.
    """
    made, adds = better, False
    for path in ancestor:
        if better[path] == ancestor[path] != other[path]:
            made, adds = made.replace(path, **dict(other[path])), True
    return made if adds and made != other else None


def telling_rows(first: Mapping[int, float], second: Mapping[int, float], count: int, rng: Random) -> tuple[int, ...]:
    """Return rows on which to try a crossover: of each kind some, where one parent, the other or neither scores better."""
    rows = rng.sample(list(first), len(first))
    kinds = [
        [row for row in rows if first[row] > second[row]],
        [row for row in rows if first[row] < second[row]],
        [row for row in rows if first[row] == second[row]],
    ]
    each = -(-count // len(kinds))
    drawn = [row for kind in kinds for row in kind[:each]]
    return tuple(sorted([*drawn, *(row for row in rows if row not in drawn)][:count]))
