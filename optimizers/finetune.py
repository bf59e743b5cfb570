"""Fine-tuning on the program's own successful runs, with no label for any inner stage (BetterTogether: arXiv:2407.10930)."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Literal

from lmprog.errors import CapabilityError
from lmprog.lm import client_of
from lmprog.lm.adapters import Tunable
from lmprog.lm.openai import OpenAI
from lmprog.lm.specs import of_predictor
from lmprog.lm.vllm import VLLM
from lmprog.module import predictors
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.propose.demos import Success, bootstrap, is_complete, labels_by_row
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.hosted import check_host
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
    `steps`, `batch`, `rate`, `patience`, `processes`). Needs an LM that runs here, and the packages of `lmprog[finetune]`; or one whose host has OpenAI's
    API for fine-tuning, which takes `steps`, `batch` and `rate` alone (lmprog/optimizers/train/hosted.py says how).
    """

    attempts: int = 2
    per: Literal["lm", "predictor"] = "lm"
    demos: Literal["keep", "drop"] = "keep"

    needs = frozenset({"finetune"})

    def __post_init__(self) -> None:
        require(self, attempts=1)
        Training.__post_init__(self)  # `super()` does not find it in a class with slots

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with adapters, or as they were. The training rows, and a full evaluation for each set of demos."""
        await check_hosts(problem, params, self)

        async def candidates() -> Full:
            found = await successes(problem, params, attempts=self.attempts)
            if not found:
                problem.ended("examples", successes=0, calls=0)
                return Full([])
            asked = without_demos(params) if self.demos == "drop" else params
            learned = examples(problem, asked, found)
            problem.ended("examples", successes=len(found), calls=len(learned))
            return Full([Ask(await tuned(problem, asked, [learned], self, per=self.per), origin="fine-tuned")])

        return await search(problem, params, Prepared(candidates), ahead=2)


async def successes(problem: Problem, params: Params, *, attempts: int) -> list[Success]:
    """Return what the program's runs on training rows teach, and for a program of one predictor the labels of the other rows."""
    found = await bootstrap(problem, params, wanted=len(problem.train), attempts=attempts, share=LEARNING)
    return found + _labeled(problem, found)


def without_demos(params: Params) -> Params:
    """Return the params without any demo."""
    for path in params:
        params = params.replace(path, demos=())
    return params


async def tuned(
    problem: Problem,
    params: Params,
    phases: Sequence[Sequence[Example]],
    how: Training,
    *,
    per: Literal["lm", "predictor"] = "lm",
) -> Params:
    """Return the params under adapters trained on their predictors' examples, phase after phase; one for each LM or predictor."""
    groups: dict[tuple[str | None, str], dict[str, None]] = {}
    for one in chain.from_iterable(phases):
        key = (params[one.path].config.lm, one.path if per == "predictor" else "")
        groups.setdefault(key, {})[one.path] = None
    for paths in groups.values():
        own = [[one for one in phase if one.path in paths] for phase in phases]
        params = await adapted(problem, params, list(paths), [phase for phase in own if phase], how)
    return params


async def adapted(
    problem: Problem, params: Params, paths: Sequence[str], phases: Sequence[Sequence[Example]], how: Training
) -> Params:
    """Return the params in which these predictors, all of one LM, answer under one adapter trained on the phases."""
    lm = tunable(problem, params[paths[0]].config.lm)
    plain = Training(**{field.name: getattr(how, field.name) for field in fields(Training)})
    trained = await train(problem, lm, phases, plain, seed=problem.seed)
    for path in paths if trained.weights else ():
        params = params.replace(path, weights=trained.weights)
    figures = {name: getattr(trained, name) for name in ("right_before", "right", "loss_before", "loss")}
    told = {name: round(figure, 4) for name, figure in figures.items() if not math.isnan(figure)}
    problem.ended("training", steps=trained.steps, tokens=trained.tokens, **told)
    return params


async def check_hosts(problem: Problem, params: Params, how: Training, *, phases: int = 1) -> None:
    """Refuse, before any call, training that is asked of an LM that cannot be tuned, that its host cannot do, or that is none."""
    for spec in dict.fromkeys(value.config.lm for value in params.values()):
        lm = await asyncio.to_thread(tunable, problem, spec)
        if isinstance(lm, OpenAI):
            await check_host(problem, lm, how, phases=phases)
        elif isinstance(lm, VLLM) and how.method == "full":
            raise CapabilityError(
                f"{lm.name} answers under adapters alone: no running vLLM server takes whole weights, which method=full trains. Leave "
                "it out, or tune the folder of weights itself and start a server with them."
            )


def _labeled(problem: Problem, found: Sequence[Success]) -> list[Success]:
    """Return what the labels of the other rows teach a program of one predictor: what they label is its output.

    Of a program with more none can tell: an inner stage's field may have a label's name and another meaning.
    """
    known = predictors(problem.program)
    done, (path, *others) = {success.row for success in found}, known
    if others:
        return []
    return [
        Success(row, {path: (demo,)})
        for row, demo in labels_by_row(problem, path).items()
        if row not in done and is_complete(known[path].signature, demo)
    ]


def tunable(problem: Problem, spec: str | None) -> Tunable | OpenAI:
    """Return the LM to be tuned: that of the task, or the one that a predictor names. CapabilityError where it cannot be.

    Weights on the hub are got the first time, which takes its while; the LM's own error where they are not to be had.
    """
    lm = client_of(problem.lms["task"]) if spec is None else of_predictor(spec)
    if not isinstance(lm, Tunable | OpenAI):
        raise CapabilityError(
            f"{lm.name} cannot be fine-tuned: its weights are not here, and it is not known how its host would tune them. Use an "
            'LM that runs here, such as "tiny", or one of a host with OpenAI\'s API for fine-tuning: "openai/MODEL".'
        )
    if isinstance(lm, Tunable):
        _ = lm.folder
    return lm
