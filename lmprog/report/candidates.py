"""The candidate tree: who came from whom, what changed on the way, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmprog.narration import count
from lmprog.params import Demo, Params
from lmprog.report.changes import instruction_diffs, other_changes, told
from lmprog.report.drawing import bar
from lmprog.report.history import Candidate, History
from lmprog.report.lineage import Family, Place, ascent, families, in_numbers, is_told
from lmprog.report.markup import Markup, clipped, element, folded, join, said
from lmprog.request import canonical_json

FIRST = 12
"""Candidates of one family before the rest is folded."""
MOST_LEVELS = 5
"""Indentations; what lies deeper is indented no further."""
MOST_FAMILIES = 8
"""Families before the rest is folded."""
STEPS_FIRST, STEPS_LAST = 3, 6
"""Steps of the way to the best in sight at its ends; those between are folded."""
MOST_DETAILED = 150
"""Candidates whose diff is on the page: those on the way to the best, then the best. Of the others it tells the changes
in words."""
MOST_DEMO_SETS = 40
"""Demo sets on the page. The first candidate with a set shows it."""
MOST_VALUE = 240
"""Characters of a demo's value that are shown."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What the drawing of each candidate depends on."""

    history: History
    baseline: Params
    shipped: Params
    rows: bool
    """Whether demos may be shown."""
    detailed: frozenset[str]
    """Candidates whose instructions are shown."""
    holders: Mapping[str, int]
    """Demo sets that are on the page, and the number of the candidate that shows them."""


def candidate_tree(history: History, baseline: Params, shipped: Params, *, rows: bool) -> Markup:
    """Return the way to the best candidate, step by step, and all candidates beneath those that they were made from."""
    way = ascent(history, history.leader) if history.leader else []
    ranked = [*way, *history.ranked(), *history.candidates.values()]
    detailed = frozenset(list(dict.fromkeys(one.name for one in ranked))[:MOST_DETAILED])
    tree = Tree(history, baseline, shipped, rows, detailed, _holders(history, baseline))
    found = families(history)
    drawn = [_family(tree, family, named=len(found) > 1) for family in found]
    rest = drawn[MOST_FAMILIES:]
    return join(
        _note(tree),
        _way(tree, way) if len(way) > 1 else "",
        *drawn[:MOST_FAMILIES],
        folded(f"{count(len(rest), 'more group')} of candidates", *rest) if rest else "",
    )


def _note(tree: Tree) -> Markup:
    total = len(tree.history.candidates)
    if is_told(tree.history):
        how = "Beneath each candidate stand those that were made from it, the best branch first."
    else:
        how = "None was made from another, so they are grouped by how they came about, the best first."
    words = f"{count(total, 'candidate')}. {how} Unfold one to see what does not fit its line."
    if total > MOST_DETAILED:
        words += f" Whole instructions are shown of the {MOST_DETAILED} best."
    return element("p", words, class_="quiet")


def _way(tree: Tree, way: Sequence[Candidate]) -> Markup:
    """Return each step to the best candidate."""
    steps = [element("li", _unfolding(tree, one)) for one in way]
    heading = element("h3", f"How {_name(way[-1])}, the best, came about", class_="plain")
    first, middle, last = steps[:STEPS_FIRST], steps[STEPS_FIRST:-STEPS_LAST], steps[STEPS_FIRST:][-STEPS_LAST:]
    inner = element("ol", *middle, class_="way")
    between = element("li", folded(f"{count(len(middle), 'step')} between", inner, class_="between"))
    return element(
        "div", heading, element("ol", *first, *([between] if middle else []), *last, class_="way"), class_="panel"
    )


def _family(tree: Tree, family: Family, *, named: bool) -> Markup:
    drawn = [_place(tree, place) for place in family.places]
    rest = drawn[FIRST:]
    more = folded(f"{len(rest):,} more", element("ul", *rest, class_="tree")) if rest else ""
    best = max((tree.history.estimates.get(place.candidate.name, 0.0) for place in family.places), default=0.0)
    heading = element("h3", said(clipped(in_numbers(family.origin, tree.history), 160)), class_="plain")
    size = element("p", f"{count(len(drawn), 'candidate')}, best estimate {best:.2f}", class_="quiet")
    listed = element("ul", *drawn[:FIRST], class_="tree")
    return element(
        "section", heading if named else "", size if named and len(drawn) > 1 else "", listed, more, class_="family"
    )


def _place(tree: Tree, place: Place) -> Markup:
    return element("li", _unfolding(tree, place.candidate), class_=f"level{min(place.level, MOST_LEVELS)}")


def _unfolding(tree: Tree, one: Candidate) -> Markup:
    """Return a candidate's line, with the rest of what it changed on demand."""
    details = [*_instructions(tree, one), *_demos(tree, one), *_others(tree, one)]
    line = _line(tree, one)
    return folded(line, *details) if details else element("div", line, class_="leaf")


def _line(tree: Tree, one: Candidate) -> Markup:
    """Return a candidate's number, score, changes and origin; spans alone, as a summary may hold no more."""
    return element(
        "span",
        element("b", _name(one), class_="number"),
        _score(tree.history, one),
        element("span", *_marks(tree, one), _changed(tree, one), " ", _descent(tree, one), class_="words"),
        class_="line",
    )


def _marks(tree: Tree, one: Candidate) -> list[Markup]:
    marks = [("best", tree.history.leader is one), ("ships", one.params is not None and one.params == tree.shipped)]
    return [join(element("span", word, class_="chip small"), " ") for word, holds in marks if holds]


def _score(history: History, one: Candidate) -> Markup:
    table, trained = history.table, history.trained.get(one.name, {})
    if rows := table.n(one.name):
        mean, words = table.mean(one.name), "all rows" if rows == table.rows else count(rows, "row")
    elif trained:
        mean, words = sum(trained.values()) / len(trained), f"{len(trained)} training"
    else:
        return element("span", "not scored", class_="score quiet")
    return element("span", element("b", f"{mean:.2f}"), bar(mean), element("small", words), class_="score")


def _changed(tree: Tree, one: Candidate) -> Markup:
    if one.params is None:
        return join("params not in the journal")
    found = told(_before(tree.history, tree.baseline, one), one.params)
    if not found:
        return join("the program as it was" if one.params == tree.baseline else "as its parent")
    return join(*(element("span", element("code", said(path)), " ", words, class_="change") for path, words in found))


def _descent(tree: Tree, one: Candidate) -> Markup:
    history, words = tree.history, list[str]()
    if one.parents:
        words.append("from " + " and ".join(_name(history.candidates[name]) for name in one.parents))
        found = _gain(history, one.parents[0], one.name)
        words += [found] if found else []
    if one.origin and one.params != tree.baseline:
        words.append(clipped(in_numbers(one.origin, history), 120))
    return element("small", said(" · ".join(words)), class_="quiet") if words else join()


def _gain(history: History, parent: str, child: str) -> str:
    """Return the paired gain over the parent on the validation rows that both ran on."""
    if not history.table.n(parent) or not history.table.n(child):
        return ""
    before, after = history.table.scores(parent), history.table.scores(child)
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return ""
    return f"{sum(after[row] - before[row] for row in shared) / len(shared):+.2f} on {count(len(shared), 'shared row')}"


def _before(history: History, baseline: Params, one: Candidate) -> Params:
    """Return what a candidate is compared with: its nearest parent, or the program as it was."""
    parent = history.candidates[one.parents[0]].params if one.parents else None
    return parent or baseline


def _instructions(tree: Tree, one: Candidate) -> list[Markup]:
    if one.params is None or one.name not in tree.detailed:
        return []
    return instruction_diffs(_before(tree.history, tree.baseline, one), one.params)


def _others(tree: Tree, one: Candidate) -> list[Markup]:
    if one.params is None or one.name not in tree.detailed:
        return []
    before, shown = _before(tree.history, tree.baseline, one), list[Markup]()
    for path, new in one.params.items():
        for name, (old, now) in other_changes(before[path], new).items() if path in before else ():
            values = " → ".join("not set" if one is None else clipped(str(one), MOST_VALUE) for one in (old, now))
            shown.append(element("p", element("code", said(path)), " ", said(name), ": ", said(values)))
    return shown


def _demos(tree: Tree, one: Candidate) -> list[Markup]:
    """Return the demos of the predictors whose demos changed, each set once on the page; none without rows."""
    if not tree.rows:
        return []
    return [_demo_set(tree, one, path, demos) for path, demos in _new_sets(tree.history, tree.baseline, one)]


def _new_sets(history: History, baseline: Params, one: Candidate) -> list[tuple[str, Sequence[Demo]]]:
    if one.params is None:
        return []
    before = _before(history, baseline, one)
    changed = [path for path, new in one.params.items() if path not in before or before[path].demos != new.demos]
    return [(path, one.params[path].demos) for path in changed if one.params[path].demos]


def _holders(history: History, baseline: Params) -> dict[str, int]:
    """Return which candidate shows each demo set: the first that brought it."""
    holders: dict[str, int] = {}
    for one in history.candidates.values():
        for path, demos in _new_sets(history, baseline, one):
            if len(holders) < MOST_DEMO_SETS:
                holders.setdefault(_key(path, demos), one.number)
    return holders


def _key(path: str, demos: Sequence[Demo]) -> str:
    return canonical_json([path, [demo.model_dump(mode="json") for demo in demos]])


def _demo_set(tree: Tree, one: Candidate, path: str, demos: Sequence[Demo]) -> Markup:
    heading = element("h4", said(path), f": {count(len(demos), 'demo')}")
    holder = tree.holders.get(_key(path, demos))
    if holder == one.number:
        shown = element("ol", *map(_demo, demos), class_="short")
    elif holder is not None:
        shown = element("p", f"The same as those of #{holder}.", class_="quiet")
    else:
        shown = element("p", f"Not shown: {MOST_DEMO_SETS} demo sets are on the page already.", class_="quiet")
    return element("div", heading, shown, class_="diff")


def _demo(demo: Demo) -> Markup:
    data = demo.model_dump(mode="json")
    return element("li", _values(data["inputs"]), element("span", " → ", class_="quiet"), _values(data["outputs"]))


def _values(values: dict[str, object]) -> Markup:
    pairs = [
        join(element("span", f"{name}: ", class_="quiet"), said(clipped(_text(value), MOST_VALUE)), " ")
        for name, value in values.items()
    ]
    return join(*pairs)


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _name(candidate: Candidate) -> str:
    return f"#{candidate.number}"
