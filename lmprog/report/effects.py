"""What each predictor's instruction and demos did to the score, over all candidates that used them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lmprog.narration import count
from lmprog.params import Params, PredictorParams
from lmprog.report.drawing import bar, gain_bar
from lmprog.report.history import Candidate, History
from lmprog.report.markup import Markup, clipped, element, join, said, table
from lmprog.request import canonical_json

MOST_OPTIONS = 6
"""Options of one choice that are listed, beside the first: the one that the program came with."""

LEAST_SHARED = 10
"""Rows that two candidates must share, where there are as many, for their comparison to count."""
MOST_WORDS = 80
"""Characters of an instruction that name it."""

Part = Literal["instruction", "demos"]
PARTS: tuple[Part, ...] = ("instruction", "demos")


@dataclass(frozen=True, slots=True)
class Option:
    """One instruction or demo set of a predictor, and how the candidates with it did."""

    words: str
    mean: float
    """Of the candidates' estimates."""
    candidates: int


@dataclass(frozen=True, slots=True)
class Contrast:
    """What a change of one choice alone did: two candidates alike but for it, on the rows that both ran on."""

    gain: float
    rows: int


def effects(history: History, baseline: Params, shipped: Params, *, rows: bool = True) -> Markup:
    """Return the effect of each choice that has more than one option, then its options; without `rows` no demo's text."""
    tried = [one for one in history.ranked() if one.params]
    known = [(one.params, history.estimates[one.name]) for one in tried if one.params]
    found: dict[tuple[str, Part], dict[str, Option]] = {
        (path, part): options(path, part, known, rows=rows) for path in baseline for part in PARTS
    }
    chosen = {choice: some for choice, some in found.items() if len(some) > 1}
    if not chosen:
        return element("p", "All candidates said the same, so there is nothing to compare.", class_="quiet")
    tables = [_choice(path, part, baseline[path], shipped.get(path), found) for (path, part), found in chosen.items()]
    return join(_summary(history, baseline, tried, chosen), element("div", *tables, class_="choices"))


def options(
    path: str, part: Part, candidates: Sequence[tuple[Params, float]], *, rows: bool = True
) -> dict[str, Option]:
    """Return the options that the candidates used, by content, in the order in which they came up."""
    estimates: dict[str, list[float]] = {}
    words: dict[str, str] = {}
    for params, estimate in candidates:
        if path in params:
            key = _key(params[path], part)
            estimates.setdefault(key, []).append(estimate)
            words.setdefault(key, _words(params[path], part, rows=rows))
    told = _apart(words) if part == "instruction" else words
    return {key: Option(told[key], sum(found) / len(found), len(found)) for key, found in estimates.items()}


def contrasts(history: History, baseline: Params, path: str, part: Part) -> list[Contrast]:
    """Return what changes of one choice alone did.

    Of candidates that are alike in all else, each is held against the one that left this choice as the program had it,
    or where there is none against the oldest.
    """
    alike: dict[str, list[Candidate]] = {}
    for one in sorted(history.ranked(), key=lambda one: one.number):
        if one.params and path in one.params:
            rest = one.params.replace(path, **({"instruction": ""} if part == "instruction" else {"demos": ()}))
            alike.setdefault(rest.fingerprint, []).append(one)
    old = _key(baseline[path], part)
    found: list[Contrast] = []
    for group in alike.values():
        unchanged = [one for one in group if one.params and _key(one.params[path], part) == old]
        first = (unchanged or group)[0]
        before = history.table.scores(first.name)
        for one in group:
            after = history.table.scores(one.name)
            shared = sorted(before.keys() & after.keys()) if one is not first else []
            if len(shared) >= min(LEAST_SHARED, history.table.rows):
                found.append(Contrast(sum(after[row] - before[row] for row in shared) / len(shared), len(shared)))
    return found


def _summary(
    history: History,
    baseline: Params,
    tried: Sequence[Candidate],
    chosen: dict[tuple[str, Part], dict[str, Option]],
) -> Markup:
    lines: list[Sequence[str]] = []
    for (path, part), found in chosen.items():
        alone = contrasts(history, baseline, path, part)
        old = found.get(_key(baseline[path], part))
        best = max(option.mean for option in found.values())
        spread = best - (old.mean if old else min(option.mean for option in found.values()))
        gain = sum(one.gain * one.rows for one in alone) / sum(one.rows for one in alone) if alone else None
        most = f"{max(one.gain for one in alone):+.2f}" if alone else "–"
        lines.append(
            (
                join(element("code", said(path)), f" {part}"),
                str(len(found)),
                f"{spread:+.2f}",
                str(len(alone)),
                "–" if gain is None else join(gain_bar(gain), f" {gain:+.2f}"),
                most,
            )
        )
    note = (
        f"Over {count(len(tried), 'candidate')}. Best option: the mean estimate of the candidates with the best option, "
        "less that of those with the program's own, whatever else they changed: a hint, not a proof. Changed alone: "
        f"candidates alike in all else, compared on the rows that both ran on, {LEAST_SHARED} or more."
    )
    heads = ["choice", "options", "best option", "changed alone", "mean gain then", "best"]
    return join(
        table(heads, lines, label="Effect of each choice", class_="figures"), element("p", note, class_="quiet")
    )


def _choice(
    path: str, part: Part, before: PredictorParams, shipped: PredictorParams | None, found: dict[str, Option]
) -> Markup:
    old, new = _key(before, part), _key(shipped, part) if shipped else None
    ranked = sorted(found, key=lambda key: (key != old, key != new, -round(found[key].mean, 9)))
    marks = {new: "Ships", old: "As it was, and ships" if old == new else "As it was"}
    lines = [_row(found[key], marks.get(key)) for key in ranked[: MOST_OPTIONS + 1]]
    if rest := [found[key] for key in ranked[MOST_OPTIONS + 1 :]]:
        total = sum(option.candidates for option in rest)
        mean = sum(option.mean * option.candidates for option in rest) / total
        lines.append(_row(Option(f"{len(rest)} others", mean, total)))
    heads = ["option", "mean", "tried", "score"]
    title = element("h3", said(path), f": {part}")
    return element(
        "div", title, table(heads, lines, label=f"Options of {path}: {part}", class_="effect"), class_="panel"
    )


def _row(option: Option, mark: str | None = None) -> Sequence[str]:
    words = join(element("b", f"{mark}: "), said(option.words)) if mark else said(option.words)
    return words, f"{option.mean:.2f}", str(option.candidates), bar(option.mean)


def _key(params: PredictorParams, part: Part) -> str:
    if part == "instruction":
        return params.instruction
    return canonical_json([demo.model_dump(mode="json") for demo in params.demos])


def _words(params: PredictorParams, part: Part, *, rows: bool) -> str:
    if part == "instruction":
        return clipped(params.instruction, MOST_WORDS) or "(empty)"
    size = count(len(params.demos), "demo") if params.demos else "no demos"
    texts = [value for demo in params.demos[:1] for value in demo.inputs.values() if isinstance(value, str)]
    return f"{size}, first: {clipped(max(texts, key=len), 50)}" if texts and rows else size


def _apart(words: Mapping[str, str]) -> dict[str, str]:
    """Return the names of instructions, those that begin alike from where they begin to differ."""
    alike: dict[str, list[str]] = {}
    for text, name in words.items():
        alike.setdefault(name, []).append(text)
    starts = {name: _parting(min(texts), max(texts)) for name, texts in alike.items()}  # the others part no earlier
    return {
        text: f"… {clipped(text[starts[name] :], MOST_WORDS)}" if starts[name] else name for text, name in words.items()
    }


def _parting(first: str, last: str) -> int:
    """Return where the word begins in which two texts begin to differ; 0 where they are one."""
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return 0 if first == last else first.rfind(" ", 0, same) + 1
