"""FireAct: one adapter from the successful runs of several programs, and no demos afterwards (Chen et al. 2023, arXiv:2310.05915)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import PlainValidator

from lmprog.errors import InputError
from lmprog.identity import identity_of
from lmprog.module import Program, inputs_of, params_of, predictors, required_inputs_of
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.finetune import LEARNING, Finetune, adapted, check_hosts, without_demos
from lmprog.optimizers.propose.demos import bootstrap
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.trainer import Training
from lmprog.params import Params
from lmprog.search import Ask, search
from lmprog.task import Task


def _objects(given: Any) -> Any:
    """Refuse what a string says: programs have no names."""
    if isinstance(given, str):
        raise ValueError("programs and tasks are given as objects: optimizer=Fireact(variants=(Other(),))")
    return given


@dataclass(frozen=True, slots=True, repr=False)
class Fireact(Training):
    """Run the program and its `variants` on the teacher LM, keep the runs that pass the metric, and train one adapter on all.

    A variant is another program with the same inputs, for the same rows and metric: with chain of thought, more hops, other
    tools. `tasks` are further tasks, each with its own program, training rows and metric. Their predictors are none of this
    program's, but what they show is learned by the adapter under which its own answer: one for each LM. All calls are
    trained without demos, and so the program runs in the end. Programs keep their own forms, where the paper rewrites all
    trajectories as ReAct's. Other options are those of `finetune`. In Python: `optimizer=Fireact(variants=(Other(),))`.
    """

    variants: Annotated[tuple[Program, ...], PlainValidator(_objects)] = ()
    tasks: Annotated[tuple[Task, ...], PlainValidator(_objects)] = ()
    attempts: int = 2

    needs = Finetune.needs

    def __post_init__(self) -> None:
        require(self, attempts=1)
        Training.__post_init__(self)  # `super()` does not find it in a class with slots

    def __repr__(self) -> str:
        """Return all that decides the adapter: a run directory tells one run from another by it."""
        said = {name: getattr(self, name) for name in Training.__dataclass_fields__} | {"attempts": self.attempts}
        given = [f"{type(one).__name__} {identity_of(one)} {params_of(one).fingerprint}" for one in self.variants]
        given += [f"{task.name} {identity_of(task.program)} {identity_of(task.load)}" for task in self.tasks]
        return f"Fireact({', '.join([*(f'{name}={value!r}' for name, value in said.items()), *given])})"

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with adapters and without demos, or as they were. The training rows of every program on the
        teacher, and two full evaluations. InputError where a variant takes other inputs.
        """
        for variant in self.variants:
            _check_inputs(problem.program, variant)
        await check_hosts(problem, params, self)

        async def candidates() -> Full:
            learned: dict[str | None, list[Example]] = {}
            tuned, successes, offset = without_demos(params), 0, 0
            for source, start in self._sources(problem, params):
                share = LEARNING / (1 + len(self.variants) + len(self.tasks))
                found = await bootstrap(source, start, wanted=len(source.train), attempts=self.attempts, share=share)
                asked = without_demos(start)
                calls = examples(source, asked, found)
                first = 0 if source.train is problem.train else offset
                for one in calls:
                    learned.setdefault(asked[one.path].config.lm, []).append(replace(one, row=first + one.row))
                successes, offset = successes + len(found), offset + len(source.train)
                problem.ended(
                    "trajectories", program=type(source.program).__name__, successes=len(found), calls=len(calls)
                )
            problem.ended("examples", successes=successes, calls=sum(map(len, learned.values())))
            for spec, some in learned.items():
                paths = [path for path, value in params.items() if value.config.lm == spec]
                if paths:
                    tuned = await adapted(problem, tuned, paths, [some], self)
            return Full([Ask(tuned, origin="fine-tuned on all programs")] if learned else [])

        return await search(problem, params, Prepared(candidates), ahead=2)

    def _sources(self, problem: Problem, params: Params) -> Iterator[tuple[Problem, Params]]:
        """Yield every program with its rows and metric, and the params under which the teacher runs it: the program itself first."""
        yield problem, params
        for variant in self.variants:
            yield _as(problem, variant), params_of(variant)
        for task in self.tasks:
            program = task.program()
            source = replace(_as(problem, program), train=task.load().train, metric=task.metric)
            yield source, params_of(program)


def _as(problem: Problem, program: Program) -> Problem:
    """Return the problem with another program, which takes a call for each predictor, as far as anybody knows yet."""
    allowance = replace(problem.allowance, calls_per_row=float(len(predictors(program))))
    return replace(problem, program=program, allowance=allowance)


def _check_inputs(program: Program, variant: Program) -> None:
    given, needed = inputs_of(program), required_inputs_of(variant)
    if unknown := [name for name in needed if name not in given]:
        raise InputError(
            f"the variant {type(variant).__name__} needs the inputs {unknown}, which {type(program).__name__} does not take: it takes "
            f"{list(given)}. A variant runs on the same rows; for other rows write `tasks=(lp.Task(...),)`."
        )
