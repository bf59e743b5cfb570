"""Demos: from the labels of training rows, and from the program's own successful runs."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmprog.data import fields_in
from lmprog.errors import LmprogError
from lmprog.evaluation import Run
from lmprog.module import predictors
from lmprog.optimizer import Problem
from lmprog.params import Demo, Params
from lmprog.signature import REASONING, check_demo, encode, fields_of

DemoSets = Mapping[str, tuple[Demo, ...]]
"""One demo set for every predictor, by path."""

WAVE = 32
"""Training rows run at once while looking for successes."""
SHARE = 0.2
"""The part of the allowance that looking for successes may use."""


@dataclass(frozen=True, slots=True)
class Success:
    """A training row that the program got right, with the demos that its calls give, by predictor."""

    row: int
    demos: Mapping[str, tuple[Demo, ...]]


async def bootstrap(
    problem: Problem, params: Params, *, wanted: int, attempts: int = 2, threshold: float | None = None
) -> list[Success]:
    """Run a teacher on training rows until `wanted` of them pass the metric, and return what their calls teach.

    The teacher is the program under `params` on the teacher LM. Rows run in waves; where successes stay fewer
    than `wanted`, rows that failed are tried again as fresh samples at temperature 1, up to `attempts` in all. A
    row passes at `threshold`; by default at the full score, or, where no row reaches it, in the best quarter of
    the rows that score above 0. At most a fifth of the allowance is used (bootstrapping: Khattab et al. 2023,
    arXiv:2310.03714, sec. 3.4).
    """
    order = list(range(len(problem.train)))
    problem.rng("bootstrap").shuffle(order)
    budget = problem.allowance.left * SHARE
    found: dict[int, Run] = {}
    for sample in range(attempts):
        teacher = params if sample == 0 else _warm(params)
        todo = [index for index in order if index not in found]
        for start in range(0, len(todo), WAVE):
            wave = todo[start : start + WAVE]
            budget -= problem.allowance.for_rows(len(wave))
            if len(found) >= wanted or budget < 0:
                break
            evaluation = await problem.evaluate(teacher, wave, on="train", role="teacher", sample=sample)
            found |= {index: run for index, run in zip(wave, evaluation.runs, strict=True) if run.score.value > 0}
            found = _passing(found, threshold)
    return [Success(index, _demos_of(problem, found[index])) for index in order if index in found]


def labeled(problem: Problem, path: str) -> list[Demo]:
    """Return a demo for each training row that names every output of the predictor (`reasoning` apart) and an input."""
    predictor = predictors(problem.program)[path]
    fields = fields_of(predictor.signature)
    needed = [name for name in fields.outputs if name != REASONING]
    demos: list[Demo] = []
    for row in problem.train:
        values = fields_in(row)
        inputs = {name: values[name] for name in fields.inputs if name in values}
        if inputs and all(name in values for name in needed):
            demo = Demo(inputs=inputs, outputs={name: values[name] for name in needed})
            try:
                demos.append(check_demo(predictor.signature, demo))
            except LmprogError:
                continue  # a label of another type than the output, such as a list of accepted answers
    return demos


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

    A random set takes between one and `bootstrapped` successes, filled up to `most_labeled` with labels that have
    every input (MIPRO: Opsahl-Ong et al. 2024, arXiv:2406.11695; the composition of the sets is DSPy's).
    """
    labels = {path: labeled(problem, path) for path in params}
    made: list[DemoSets] = [{path: value.demos for path, value in params.items()}]
    if any(labels.values()):
        made.append({path: draw(problem.rng("labels", path), labels[path], most_labeled) for path in params})
    for number in range(4 * count):
        if len(made) >= count or not successes:
            break
        rng = problem.rng("demo set", number)
        size = bootstrapped if number == 0 else rng.randint(1, bootstrapped)
        chosen = successes[:size] if number == 0 else rng.sample(list(successes), min(size, len(successes)))
        new = compose(problem, params, chosen, rng, most_labeled=most_labeled)
        if new not in made:
            made.append(new)
    return made[:count]


def compose(
    problem: Problem, params: Params, chosen: Sequence[Success], rng: random.Random, *, most_labeled: int
) -> DemoSets:
    """Return a demo set: one demo of each success (of a predictor called in a loop, any of its calls), then labels.

    Only labels that have every input of the predictor are added, and none that shows a success again.
    """
    made: dict[str, tuple[Demo, ...]] = {}
    for path in params:
        own = [rng.choice(success.demos[path]) for success in chosen if success.demos.get(path)]
        fields = fields_of(predictors(problem.program)[path].signature)
        shown = [demo.inputs for demo in own]
        fresh = [
            demo
            for demo in labeled(problem, path)
            if demo.inputs.keys() == fields.inputs.keys()
            and demo.outputs.keys() == fields.outputs.keys()
            and demo.inputs not in shown
        ]
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


def _passing(runs: Mapping[int, Run], threshold: float | None) -> dict[int, Run]:
    scores = sorted((run.score.value for run in runs.values()), reverse=True)
    if threshold is None:
        full = bool(scores) and scores[0] >= 1.0
        threshold = 1.0 if full or not scores else scores[len(scores) // 4]
    return {index: run for index, run in runs.items() if run.score.value >= threshold}


def _demos_of(problem: Problem, run: Run) -> dict[str, tuple[Demo, ...]]:
    """A row's demos by predictor, in an order that does not depend on which concurrent call ended first."""
    found: dict[str, list[Demo]] = {}
    for step in run.trace:
        predictor = predictors(problem.program).get(step.predictor)
        if predictor is not None and step.error is None:
            inputs, outputs = encode(predictor.signature, step.inputs), encode(predictor.signature, step.outputs)
            found.setdefault(step.predictor, []).append(Demo(inputs=inputs, outputs=outputs))
    return {path: tuple(sorted(demos, key=lambda demo: demo.model_dump_json())) for path, demos in found.items()}
