"""Fine-tuning on the program's own successful runs, with no label for any inner stage (BetterTogether: arXiv:2407.10930)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from lmprog.errors import CapabilityError
from lmprog.lm import client_of
from lmprog.lm.adapters import Tunable
from lmprog.lm.specs import from_spec
from lmprog.module import predictors
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.demos import Success, bootstrap, is_complete, labels_by_row
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.trainer import Training, train
from lmprog.params import Params
from lmprog.search import Ask, search

LEARNING = 0.5
"""The part of the allowance that looking for successes may use: training itself takes no calls."""


@dataclass(frozen=True, slots=True)
class Finetune(Training):
    """Run the program on training rows, keep the calls of those that pass the metric, and train LoRA adapters on them.

    The teacher is the program under the params that go in, on the teacher LM; a row that fails is tried up to `attempts`
    times, and where the program is one predictor the labels of the rows that fail stand for its outputs. Every call is trained as the program makes it under these params; `demos=drop` trains it without demos, and
    ships it so. `per=lm` trains one adapter for all predictors of an LM, `per=predictor` one for each. The adapters ship only
    where the program scores better with them on the validation rows. Other options are those of a training (`rank`,
    `steps`, `batch`, `rate`, `patience`, `processes`). Needs an LM that runs here, and the packages of `lmprog[finetune]`.
    """

    attempts: int = 2
    per: Literal["lm", "predictor"] = "lm"
    demos: Literal["keep", "drop"] = "keep"

    needs = frozenset({"lora", "score"})

    def __post_init__(self) -> None:
        require(self, attempts=1, rank=1, steps=1, batch=1, patience=1, processes=1)

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with adapters, or as they were. The training rows, and a full evaluation for each set of demos."""

        async def candidates() -> Full:
            successes = await bootstrap(
                problem, params, wanted=len(problem.train), attempts=self.attempts, share=LEARNING
            )
            successes += _labeled(problem, successes)
            if not successes:
                problem.ended("examples", successes=0, calls=0)
                return Full([])
            tuned = await self._tuned(problem, params, successes)
            return Full([Ask(tuned, origin="fine-tuned")])

        return await search(problem, params, Prepared(candidates), ahead=2)

    async def _tuned(self, problem: Problem, params: Params, successes: Sequence[Success]) -> Params:
        asked = params
        if self.demos == "drop":
            for path in params:
                asked = asked.replace(path, demos=())
        learned = examples(problem, asked, successes)
        how = Training(**{field.name: getattr(self, field.name) for field in fields(Training)})
        for spec, some in self._groups(asked, learned).items():
            lm = tunable(problem, spec[0])
            problem.ended("examples", successes=len(successes), calls=len(some))
            trained = await train(problem, lm, [some], how, seed=problem.seed)
            for path in {one.path: None for one in some}:
                asked = asked.replace(path, weights=trained.weights)
            problem.ended(
                "training",
                steps=trained.steps,
                tokens=trained.tokens,
                loss_before=round(trained.loss_before, 4),
                loss=round(trained.loss, 4),
            )
        return asked

    def _groups(self, params: Params, learned: Sequence[Example]) -> Mapping[tuple[str | None, str], list[Example]]:
        """Return the examples that share an adapter, by the LM that a predictor names and the predictor."""
        groups: dict[tuple[str | None, str], list[Example]] = {}
        for one in learned:
            key = (params[one.path].config.lm, one.path if self.per == "predictor" else "")
            groups.setdefault(key, []).append(one)
        return groups


def _labeled(problem: Problem, successes: Sequence[Success]) -> list[Success]:
    """Return what the labels of the other rows teach a program of one predictor: what they label is its output.

    Of a program with more none can tell: an inner stage's field may have a label's name and another meaning.
    """
    known = predictors(problem.program)
    done, (path, *others) = {success.row for success in successes}, known
    if others:
        return []
    return [
        Success(row, {path: (demo,)})
        for row, demo in labels_by_row(problem, path).items()
        if row not in done and is_complete(known[path].signature, demo)
    ]


def tunable(problem: Problem, spec: str | None) -> Tunable:
    """Return the LM to be tuned: that of the task, or the one that a predictor names. CapabilityError where it cannot be."""
    lm = client_of(problem.lms["task"]) if spec is None else from_spec(spec)
    if not isinstance(lm, Tunable):
        raise CapabilityError(
            f'{lm.name} cannot be fine-tuned: its weights are not here. Use an LM that runs here, such as "tiny".'
        )
    return lm
