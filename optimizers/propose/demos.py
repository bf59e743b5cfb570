"""Demos: from the labels of training rows, and from the program's own successful runs."""

import logging
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from lmprog.data import fields_in
from lmprog.errors import CapReached
from lmprog.evaluation import Run
from lmprog.module import predictors
from lmprog.optimizer import Problem
from lmprog.params import Demo, Params
from lmprog.signature import Signature, demo_of, fields_of, labeled_demo

_log = logging.getLogger("lmprog")

DemoSets = Mapping[str, tuple[Demo, ...]]
"""One demo set for every predictor, by path."""

WAVE = 32
"""Training rows run at once, at least, while looking for successes."""
SHARE = 0.2
"""The part of the allowance that looking for successes may use."""


@dataclass(frozen=True, slots=True)
class Success:
    """A training row that the program got right, with the demos that its calls give, by predictor."""

    row: int
    demos: Mapping[str, tuple[Demo, ...]]


async def bootstrap(
    problem: Problem,
    params: Params,
    *,
    wanted: int,
    attempts: int = 2,
    shown: int = 4,
    threshold: float | None = None,
    share: float = SHARE,
) -> list[Success]:
    """Run a teacher on training rows until `wanted` of them pass the metric, and return what their calls teach.

    The teacher is the program under `params` on the teacher LM. Rows run in waves; where successes stay fewer than
    `wanted`, those that failed are tried again, up to `attempts` times in all: with `shown` labels of other rows as demos,
    where rows have labels, and then as fresh samples at temperature 1. A row passes at `threshold`; by default at the full
    score, or, where no row reaches it, in the best quarter of the rows that score above 0. At most `share` of
    the allowance is used (bootstrapping: Khattab et al. 2023, arXiv:2310.03714, sec. 3.4; labels for the teacher are
    DSPy's). Where a cap is reached, what was found until then is returned.
    """
    waves = _Waves(problem, params, threshold, shown, share)
    await waves.run(wanted, attempts)
    return waves.successes()


class _Waves:
    """Training rows run in waves, and the best run of each so far. A wave is as large as the successes until then say."""

    def __init__(self, problem: Problem, params: Params, threshold: float | None, shown: int, share: float) -> None:
        self._problem, self._params, self._threshold, self._shown = problem, params, threshold, shown
        self._labels = {path: labels_by_row(problem, path) for path in params} if shown else {}
        self._order = list(range(len(problem.train)))
        problem.rng("bootstrap").shuffle(self._order)
        self._rows_left = max(0.0, problem.allowance.left) * share / problem.allowance.calls_per_row
        self._runs: dict[int, Run] = {}
        self._tried = 0

    async def run(self, wanted: int, attempts: int) -> None:
        """Run waves until there is enough, or nothing more to run or to spend."""
        kinds = 2 if any(self._labels.values()) else 1
        for sample in range(attempts):
            labels, warm = bool(sample % kinds), sample >= kinds
            passing = self._passing()
            todo = [index for index in self._order if index not in passing]
            while todo and self._rows_left >= 1 and (missing := wanted - len(self._passing())) > 0:
                size = int(min(max(WAVE, missing * self._tried / (len(self._passing()) + 1)), self._rows_left))
                if labels:
                    size = min(size, -(-len(self._order) // 2))  # the other half's labels are shown
                wave, todo = todo[:size], todo[size:]
                try:
                    await self._run_wave(self._teacher(wave, labels=labels, warm=warm), wave, sample)
                except CapReached:
                    return

    def successes(self) -> list[Success]:
        """Return what the passing rows teach, in the order in which they were drawn."""
        passing = self._passing()
        scores = [run.score.value for run in passing.values()]
        if scores and self._threshold is None and max(scores) < 1.0:
            _log.warning(
                "no training row got the full score: demos are made of the best %d, with scores of %.2f to %.2f.",
                len(scores), min(scores), max(scores),
            )  # fmt: skip
        return [Success(index, _demos_of(self._problem, passing[index])) for index in self._order if index in passing]

    async def _run_wave(self, teacher: Params, wave: Sequence[int], sample: int) -> None:
        self._rows_left -= len(wave)
        self._tried += len(wave)
        problem = self._problem
        work = problem.evaluate(teacher, wave, on="train", role="teacher", sample=sample)
        evaluation = await problem.begin(work, calls=problem.allowance.for_rows(len(wave))).result()
        for index, run in zip(wave, evaluation.runs, strict=True):
            before = self._runs.get(index)
            if run.score.value > (before.score.value if before else 0.0):
                self._runs[index] = run

    def _teacher(self, wave: Sequence[int], *, labels: bool, warm: bool) -> Params:
        """Return the params under which these rows run: as they are, or with labels of other rows as further demos."""
        params = self._params
        for path, known in self._labels.items() if labels else ():
            others = [demo for row, demo in known.items() if row not in wave]
            rng = self._problem.rng("labels for the teacher", path, wave[0])
            params = params.replace(path, demos=(*params[path].demos, *draw(rng, others, self._shown)))
        return _warm(params) if warm else params

    def _passing(self) -> dict[int, Run]:
        scores = sorted((run.score.value for run in self._runs.values()), reverse=True)
        least = self._threshold
        if least is None:
            full = bool(scores) and scores[0] >= 1.0
            least = 1.0 if full or not scores else scores[(len(scores) - 1) // 4]
        return {index: run for index, run in self._runs.items() if run.score.value >= least}


def labeled(problem: Problem, path: str) -> list[Demo]:
    """Return a demo for each training row that names every output of the predictor (`reasoning` apart) and an input."""
    return list(labels_by_row(problem, path).values())


def labels_by_row(problem: Problem, path: str) -> dict[int, Demo]:
    """Return what `labeled` does, by the row's place."""
    signature = predictors(problem.program)[path].signature
    found = {place: labeled_demo(signature, fields_in(row)) for place, row in enumerate(problem.train)}
    return {place: demo for place, demo in found.items() if demo is not None}


def sets_of(
    problem: Problem,
    params: Params,
    successes: Sequence[Success],
    *,
    count: int,
    bootstrapped: int = 4,
    most_labeled: int = 4,
) -> list[DemoSets]:
    """Return up to `count` different demo sets: the program's own demos, labels only, successes in order, then random ones.

    Random sets take between one and `bootstrapped` successes, and every other one is filled up with labels that have every
    input, to a random number of at most `most_labeled` demos (MIPRO: Opsahl-Ong et al. 2024, arXiv:2406.11695; DSPy
    fills all sets up, but labels mislead where a stage's fields have a row's names and another meaning). Where there are no
    successes, random sets are of labels only.
    """
    labels, complete = {path: labeled(problem, path) for path in params}, complete_labels(problem)
    made: list[DemoSets] = [{path: value.demos for path, value in params.items()}]
    count = min(count, 1 + max(0, math.ceil(min(problem.allowance.left, count))))  # no set is scored without a call
    texts: dict[int, str] = {}

    def key_of(demos: DemoSets) -> tuple[tuple[str, ...], ...]:
        for demo in chain.from_iterable(demos.values()):
            if id(demo) not in texts:
                texts[id(demo)] = demo.model_dump_json()
        return tuple(tuple(texts[id(demo)] for demo in demos[path]) for path in params)

    known = {key_of(made[0])}

    def add(new: DemoSets) -> None:
        if any(new.values()) and (key := key_of(new)) not in known:
            known.add(key)
            made.append(new)

    if count > 1:
        add({path: draw(problem.rng("labels", path), labels[path], most_labeled) for path in params})
    if successes and bootstrapped and len(made) < count:
        add(compose(complete, successes[:bootstrapped], problem.rng("demo set", 0), most_labeled=0))
    for number in range(1, 4 * count):
        if len(made) >= count:
            break
        rng = problem.rng("demo set", number)
        most = rng.randint(1, max(1, most_labeled))
        if successes and bootstrapped:
            chosen = rng.sample(list(successes), min(rng.randint(1, bootstrapped), len(successes)))
            add(compose(complete, chosen, rng, most_labeled=most if number % 2 else 0))
        elif most_labeled:
            add({path: draw(rng, labels[path], most) for path in params})
    return made


def complete_labels(problem: Problem) -> dict[str, list[Demo]]:
    """Return, by predictor, the labelled demos that have every input and output: those fit to stand beside whole calls."""
    found: dict[str, list[Demo]] = {}
    for path, predictor in predictors(problem.program).items():
        found[path] = [demo for demo in labeled(problem, path) if is_complete(predictor.signature, demo)]
    return found


def is_complete(signature: type[Signature], demo: Demo) -> bool:
    """Tell whether a demo has every input and output."""
    fields = fields_of(signature)
    return demo.inputs.keys() == fields.inputs.keys() and demo.outputs.keys() == fields.outputs.keys()


def compose(
    labels: Mapping[str, Sequence[Demo]], chosen: Sequence[Success], rng: random.Random, *, most_labeled: int
) -> DemoSets:
    """Return a demo set: one demo of each success (of a predictor called in a loop, any of its calls), then labels.

    `labels` are those of each predictor; none is added that shows a success again.
    """
    made: dict[str, tuple[Demo, ...]] = {}
    for path, known in labels.items():
        own = [rng.choice(success.demos[path]) for success in chosen if success.demos.get(path)]
        shown = [demo.inputs for demo in own]
        fresh = [demo for demo in known if demo.inputs not in shown]
        made[path] = (*own, *draw(rng, fresh, max(0, most_labeled - len(own))))
    return made


def draw(rng: random.Random, demos: Sequence[Demo], most: int) -> tuple[Demo, ...]:
    """Return up to `most` of the demos, in random order."""
    return tuple(rng.sample(list(demos), min(most, len(demos))))


def with_demos(params: Params, demos: DemoSets) -> Params:
    """Return the params with these demos; a predictor for which there are none keeps its own."""
    for path, chosen in demos.items():
        params = params.replace(path, demos=chosen or params[path].demos)
    return params


def examples_of(params: Params, successes: Sequence[Success]) -> dict[str, list[Demo]]:
    """Return every demo that the successes give, by predictor: worked examples for a proposer."""
    return {path: [demo for success in successes for demo in success.demos.get(path, ())] for path in params}


def _warm(params: Params) -> Params:
    """The same params at temperature 1, so that fresh samples differ."""
    for path in params:
        params = params.replace(path, config=params[path].config.model_copy(update={"temperature": 1.0}))
    return params


def _demos_of(problem: Problem, run: Run) -> dict[str, tuple[Demo, ...]]:
    """A row's demos by predictor, in an order that does not depend on which concurrent call ended first."""
    found: dict[str, list[Demo]] = {}
    named = predictors(problem.program)
    for step in run.trace:
        predictor = named.get(step.predictor)
        if predictor is not None and step.kept and step.error is None:
            found.setdefault(step.predictor, []).append(demo_of(predictor.signature, step.inputs, step.outputs))
    return {path: tuple(sorted(demos, key=lambda demo: demo.model_dump_json())) for path, demos in found.items()}
