"""Contextual fine-tuning: texts of a domain are learned behind prompts that say how to learn (Choi et al. 2025, arXiv:2503.09032)."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, cast

from lmprog.data import fields_in
from lmprog.errors import InputError
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.finetune import Finetune, adapted, check_hosts, successes
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.trainer import Training
from lmprog.params import Params
from lmprog.request import Message, Request
from lmprog.scores import ScoreTable
from lmprog.search import Ask, Selector, Told, search
from lmprog.statistics import paired_interval

PROMPTS = (
    "Link what you are about to read to what you know already.",
    "Look for the ideas that all the others rest on, and keep them.",
    "Ask yourself at each claim why it should be true.",
    "Think of where somebody could put this to use.",
    "Note what is like something else you know, and where it differs.",
    "Picture how you would explain this to a beginner.",
    "Read for causes, and for what follows from them.",
    "Think of a question that this text answers.",
)
"""Ways in which people learn from a text, in our words."""


@dataclass(frozen=True, slots=True)
class ContextualFinetune(Training):
    """Train on texts of the program's domain, each behind a learning prompt of a pool; the loss is of the text alone.

    `texts` are the texts, or the name of a field of the training rows that holds one or a list of them
    ("contextual-finetune:texts=passages"); a text of more than `longest` characters is learned in parts. A text meets another
    of the `prompts` each time it is learned; with `prompts=()` it stands alone, which is plain continued training. No text
    is kept out to stop by, as what it says could not be learned then. `calls=after` gives the second half of the steps to
    the program's own successful calls, as the paper tunes on instructions afterwards: an LM that only continues texts forgets
    how to answer. `compare=true` trains a second time, with the texts alone, tells what the learning prompts gained over that
    on the validation rows, and returns the better of the two. Other options are those of `finetune`; all predictors of an
    LM share the adapter.
    """

    texts: tuple[str, ...] | str = ()
    prompts: tuple[str, ...] = PROMPTS
    longest: int = 2000
    calls: Literal["after", "none"] = "after"
    compare: bool = False
    attempts: int = 2
    held: float = 0.0

    needs = Finetune.needs

    def __post_init__(self) -> None:
        require(self, longest=1, attempts=1)
        Training.__post_init__(self)  # `super()` does not find it in a class with slots

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with adapters, or as they were. The training rows where `calls=after`, and two full evaluations.
        InputError where there is no text.
        """
        texts = self._read(problem)
        await check_hosts(problem, params, self, phases=2 if self.calls == "after" else 1)

        async def candidates() -> Selector:
            found = await successes(problem, params, attempts=self.attempts) if self.calls == "after" else []
            calls = examples(problem, params, found)
            problem.ended("texts", texts=len(texts), prompts=len(self.prompts))
            problem.ended("examples", successes=len(found), calls=len(calls))
            behind = Ask(await self._tuned(problem, params, texts, calls), origin="tuned on texts")
            if not (self.compare and self.prompts):
                return Full([behind])
            alone = await replace(self, prompts=())._tuned(problem, params, texts, calls)
            return _Compared(problem, behind, Ask(alone, origin="tuned on texts alone"))

        return await search(problem, params, Prepared(candidates), ahead=2)

    async def _tuned(self, problem: Problem, params: Params, texts: Sequence[str], calls: Sequence[Example]) -> Params:
        tuned = params
        for spec in dict.fromkeys(value.config.lm for value in params.values()):
            paths = [path for path, value in params.items() if value.config.lm == spec]
            phases = [self._lessons(paths[0], texts), [one for one in calls if one.path in paths]]
            tuned = await adapted(problem, tuned, paths, [phase for phase in phases if phase], self)
        return tuned

    def _lessons(self, path: str, texts: Sequence[str]) -> list[Example]:
        """Return each text behind as many prompts as it will be met with, one round of all texts after the other."""
        met = -(-self.steps * self.batch // len(texts))
        prompts = self.prompts or ("",)
        return [
            Example(path, -1 - place, Request((Message("user", prompts[(place + turn) % len(prompts)]),)), text)
            for turn in range(min(met, len(prompts)))
            for place, text in enumerate(texts)
        ]

    def _read(self, problem: Problem) -> list[str]:
        """Return the texts, long ones in parts, each once."""
        given = self.texts if isinstance(self.texts, tuple) else _of_rows(problem, self.texts)
        parts = [part for text in given for part in textwrap.wrap(text, self.longest, replace_whitespace=False)]
        if texts := list(dict.fromkeys(part.strip() for part in parts if part.strip())):
            return texts
        where = (
            f"no training row has a text under {self.texts!r}" if isinstance(self.texts, str) else "`texts` is empty"
        )
        raise InputError(
            f"contextual-finetune has nothing to learn: {where}. Write ContextualFinetune(texts=(...)), or name a field "
            'of the training rows, "contextual-finetune:texts=FIELD".'
        )


class _Compared:
    """Both kinds of training on all rows, and what one gained over the other."""

    def __init__(self, problem: Problem, behind: Ask, alone: Ask) -> None:
        self._problem, self._behind, self._alone = problem, behind, alone
        self._full = Full([behind, alone])

    async def ask(self, table: ScoreTable, /) -> Sequence[Ask]:
        """Return what was not scored yet."""
        return await self._full.ask(table)

    def tell(self, told: Sequence[Told], /) -> None:
        """Tell listeners the gain, where both were scored."""
        scores = {one.ask.origin: one.evaluation.scores for one in told if one.evaluation}
        if {self._behind.origin, self._alone.origin} <= scores.keys():
            behind, alone = scores[self._behind.origin], scores[self._alone.origin]
            gain = paired_interval(alone, behind)
            self._problem.ended(
                "learning prompts", behind=fmean(behind), alone=fmean(alone), gain=fmean(behind) - fmean(alone),
                gain_at_least=gain.low, gain_at_most=gain.high,
            )  # fmt: skip
        self._full.tell(told)


def _of_rows(problem: Problem, field: str) -> list[str]:
    found: list[str] = []
    for row in problem.train:
        value: object = fields_in(row).get(field)
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        found += [item for item in items if isinstance(item, str)]
    return found
