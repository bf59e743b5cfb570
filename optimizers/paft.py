"""PAFT: weights learn the task under many wordings of it, and so none by heart (Wei et al. 2025, arXiv:2502.12859)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from lmprog import loop
from lmprog.errors import CapReached
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.finetune import Finetune, check_hosts, successes, tuned
from lmprog.optimizers.propose.demos import SHARE, Success
from lmprog.optimizers.propose.induce import rephrase
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.trainer import Training
from lmprog.params import Params
from lmprog.search import Ask, search

Wording = Mapping[str, str]
"""An instruction for every predictor, by path."""

BEFORE = (
    "",
    "Your task is this. ",
    "Please do the following. ",
    "Read what is given with care. ",
    "You are an expert. ",
)
AFTER = ("", " Give only what is asked for.", " Think before you answer.", " Be exact.", " Do not explain.")
"""What an instruction is put between where the proposer has written too few wordings."""


@dataclass(frozen=True, slots=True)
class Paft(Training):
    """Train on the program's own successful calls, worded in another way after every `resample_every` steps.

    The proposer says each instruction in other words; where it gives too few different ones, they are filled up with the
    instruction between set phrases. `pool` wordings are trained on, the program's own among them; it comes last, since it
    ships and the examples kept out are asked in it. The other `unseen` are never trained on: where the adapter ships, the
    program is run under each on the validation rows, and what it scores is told, with mean and spread.

    The paper has an ensemble of large LMs write the prompts; here there is one proposer, and it sees the instruction alone.
    Other options are those of `finetune`.
    """

    pool: int = 16
    resample_every: int = 4
    unseen: int = 8
    attempts: int = 2

    needs = Finetune.needs

    def __post_init__(self) -> None:
        require(self, pool=1, resample_every=1, unseen=0, attempts=1)
        Training.__post_init__(self)  # `super()` does not find it in a class with slots

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with adapters, or as they were. The training rows, a proposer call for each wording of each
        predictor, two full evaluations, and one for each unseen wording where the allowance has room.
        """
        await check_hosts(problem, params, self, phases=math.ceil(self.steps / self.resample_every))
        tested: list[Wording] = []

        async def candidates() -> Full:
            found = await successes(problem, params, attempts=self.attempts)
            if not found:
                problem.ended("examples", successes=0, calls=0)
                return Full([])
            others = await wordings(problem, params, count=self.pool - 1 + self.unseen)
            tested.extend(others[self.pool - 1 :])
            phases = self._phases(problem, params, others[: self.pool - 1], found)
            problem.ended("wordings", trained=min(self.pool, 1 + len(others)), unseen=len(tested))
            problem.ended("examples", successes=len(found), calls=len(phases[-1]))
            return Full([Ask(await tuned(problem, params, phases, self), origin="fine-tuned under many wordings")])

        outcome = await search(problem, params, Prepared(candidates), ahead=2)
        if outcome.params != params:
            await _tell(problem, outcome.params, tested)
        return outcome

    def _phases(
        self, problem: Problem, params: Params, others: Sequence[Wording], found: Sequence[Success]
    ) -> list[list[Example]]:
        """Return what each wording's steps learn from; no wording comes again before all had their turn."""
        rng, turns = problem.rng("wordings"), list[Wording]()
        pool = [{path: value.instruction for path, value in params.items()}, *others]
        count = math.ceil(self.steps / self.resample_every)
        while len(turns) < count - 1:
            turns += rng.sample(pool, len(pool))
        kept_out = int(self.held * len(found))
        size = min(len(found), self.resample_every * self.batch + kept_out)
        phases = [examples(problem, worded(params, turn), rng.sample(found, size)) for turn in turns[: count - 1]]
        return [*phases, examples(problem, params, found)]


async def wordings(problem: Problem, params: Params, *, count: int) -> list[Wording]:
    """Return up to `count` wordings that differ from the params' own in every predictor. As many proposer calls a predictor,
    but no more than a fifth of the allowance.
    """
    asked = int(min(count, max(0.0, SHARE * problem.allowance.left / len(params))))
    found = await loop.gather([_rephrased(problem, params, path, asked, count) for path in params])
    return [dict(zip(params, texts, strict=True)) for texts in zip(*found, strict=False)]


def worded(params: Params, wording: Wording) -> Params:
    """Return the params under other instructions."""
    for path, text in wording.items():
        params = params.replace(path, instruction=text)
    return params


@dataclass(frozen=True, slots=True)
class Robustness:
    """What a program scores under several wordings, on the same rows."""

    scores: Sequence[float]
    """In [0, 1], in the order of the wordings."""
    rows: int

    @property
    def mean(self) -> float:
        """Of the scores."""
        return fmean(self.scores)

    @property
    def spread(self) -> float:
        """The standard deviation of the scores among themselves."""
        return pstdev(self.scores)


async def robustness(
    problem: Problem, params: Params, wordings: Sequence[Wording], *, rows: int | None = None
) -> Robustness:
    """Run the program under each wording on the first `rows` validation rows, or on all. One run a wording and row."""
    count = len(problem.val) if rows is None else rows
    work = loop.gather([problem.evaluate(worded(params, each), range(count)) for each in wordings])
    found = await problem.begin(work, calls=problem.allowance.for_rows(count * len(wordings))).result()
    return Robustness([evaluation.score for evaluation in found], count)


async def _tell(problem: Problem, params: Params, wordings: Sequence[Wording]) -> None:
    """Tell how the program does under wordings that it never saw, on as many rows as the allowance pays for."""
    allowance = problem.allowance
    runs = allowance.left / (allowance.caution * allowance.calls_per_row * max(1, len(wordings)))
    rows = int(min(len(problem.val), runs))
    if not wordings or rows < 1:
        return
    try:
        found = await robustness(problem, params, wordings, rows=rows)
    except CapReached:
        return
    for wording, score in zip(wordings, found.scores, strict=True):
        problem.ended("wording", score=score, text=" / ".join(wording.values()))
    problem.ended("robustness", mean=found.mean, spread=found.spread, least=min(found.scores), rows=rows)


async def _rephrased(problem: Problem, params: Params, path: str, asked: int, count: int) -> list[str]:
    own = params[path].instruction
    replies = [text for _, text in await rephrase(problem, [own], count=asked)]
    sound = (text for text in [*replies, *_framed(own)] if not problem.faults(params.replace(path, instruction=text)))
    return [text for text in dict.fromkeys(sound) if text != own][:count]


def _framed(text: str) -> Iterator[str]:
    """Yield the text between set phrases, the first of each after the other's."""
    pairs = [(before, after) for before in range(len(BEFORE)) for after in range(len(AFTER))]
    for before, after in sorted(pairs, key=sum):
        yield f"{BEFORE[before]}{text}{AFTER[after]}"
