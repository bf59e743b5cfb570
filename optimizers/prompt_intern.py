"""PromptIntern: the prompt is taken away in stages while weights learn to do without it (Zou et al. 2024, arXiv:2407.02211)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lmprog.errors import InputError
from lmprog.events import CandidateScored, Event, IncumbentChanged
from lmprog.lm.adapters import Tunable
from lmprog.optimizer import Outcome, Problem, require
from lmprog.optimizers.finetune import Finetune, check_hosts, successes, tunable, tuned
from lmprog.optimizers.propose.demos import Success, complete_labels, compose
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.trainer import Training
from lmprog.params import Params
from lmprog.search import Ask, search
from lmprog.statistics import paired_interval


@dataclass(frozen=True, slots=True)
class PromptIntern(Training):
    """Train over `stages` whose prompts hold ever less of each instruction and fewer demos, down to none; then run without.

    The prompted version is the program with its demos, or, where it has none, with up to `demos` from its own successful
    runs, filled up with labels. Training begins with these prompts and ends with no demo and one word of each instruction,
    which is the least that may stand in a prompt; between them the shares fall linearly. Fields and the rules of the format
    stay. A rule stands for the paper's compression model: see `shortened`.

    What is gained is prompt tokens, so the internalized version also ships where it scores up to `points` hundredths less on
    the validation rows than the best of the program as it was and the prompted version. It tells both scores, the interval
    of their difference, and what share of the prompt is left. Where the program's own demos are internalized there is no gain
    for the certificate to see: compile with gate="none". The examples kept out are asked as in the last stage. Other options
    are those of a training.
    """

    stages: int = 4
    demos: int = 4
    points: float = 2.0
    attempts: int = 2

    needs = Finetune.needs

    def __post_init__(self) -> None:
        require(self, stages=1, demos=0, attempts=1)
        Training.__post_init__(self)  # `super()` does not find it in a class with slots
        if not 0 <= self.points <= 100:
            raise InputError(f"PromptIntern(points={self.points:g}): write a number from 0 to 100.")

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the internalized version, the prompted one, or the params as they were. The training rows, and three full
        evaluations.
        """
        await check_hosts(problem, params, self, phases=self.stages)
        made: list[_Versions] = []
        scores: dict[str, Sequence[float]] = {}

        def hear(event: Event) -> None:
            if isinstance(event, CandidateScored):
                scores[event.candidate] = event.scores
            problem.emit(event)

        async def candidates() -> Full:
            found = await successes(problem, params, attempts=self.attempts)
            if not found:
                problem.ended("examples", successes=0, calls=0)
                return Full([])
            made.append(await self._versions(problem, params, found))
            asks = Ask(made[0].internalized, origin="internalized"), Ask(made[0].prompted, origin="prompted")
            return Full([ask for ask in asks if ask.params != params])

        outcome = await search(replace(problem, emit=hear), params, Prepared(candidates), ahead=2)
        if not made or made[0].internalized.fingerprint not in scores:
            return outcome
        return self._chosen(problem, outcome, made[0], scores)

    async def _versions(self, problem: Problem, params: Params, found: Sequence[Success]) -> "_Versions":
        prompted = params
        if not any(value.demos for value in params.values()):
            chosen, rng = found[: self.demos], problem.rng("demos to internalize")
            for path, demos in compose(complete_labels(problem), chosen, rng, most_labeled=self.demos).items():
                prompted = prompted.replace(path, demos=demos)
        prompts = [shortened(prompted, share) for share in _falling(self.stages)]
        phases = [examples(problem, prompt, found) for prompt in prompts]
        problem.ended("examples", successes=len(found), calls=len(phases[-1]))
        how = replace(self, patience=self.steps) if self.stages > 1 else self
        trained = await tuned(problem, prompts[-1], phases, how)
        before = examples(problem, prompted, found)
        return _Versions(prompted, trained, _length(problem, params, phases[-1]) / _length(problem, params, before))

    def _chosen(
        self, problem: Problem, outcome: Outcome, made: "_Versions", scores: dict[str, Sequence[float]]
    ) -> Outcome:
        name, best = made.internalized.fingerprint, scores[outcome.params.fingerprint]
        reference, own = scores.get(made.prompted.fingerprint, best), scores[name]
        score = sum(own) / len(own)
        problem.ended(
            "internalized",
            prompted=sum(reference) / len(reference),
            internalized=score,
            difference=paired_interval(reference, own).signed(),
            prompt_left=made.share,
        )
        if outcome.params == made.internalized or 100 * (math.fsum(best) - math.fsum(own)) > self.points * len(own):
            return outcome
        problem.emit(IncumbentChanged(name, score, problem.allowance.ledger.requested))
        return replace(outcome, params=made.internalized, score=score, tolerated=self.points / 100)


@dataclass(frozen=True, slots=True)
class _Versions:
    prompted: Params
    internalized: Params
    share: float
    """Of the prompt's length, that is left."""


def shortened(params: Params, share: float) -> Params:
    """Return the params with this share, from 0 to 1, of each instruction's words and of each predictor's first demos.

    Words that the text said before go first, then the shortest, of which a text loses least: how long a word is grows with
    what it tells (Piantadosi, Tily and Gibson 2011, "Word lengths are optimized for efficient communication"). One word stays.
    """
    for path, value in params.items():
        demos = value.demos[: round(share * len(value.demos))]
        params = params.replace(path, instruction=_words(value.instruction, share), demos=demos)
    return params


def _words(text: str, share: float) -> str:
    words = text.split()
    kept = max(1, round(share * len(words)))
    if kept >= len(words):
        return text
    said = [word.lower().strip(".,;:!?()\"'") for word in words]
    ranked = sorted(range(len(words)), key=lambda place: (said[place] in said[:place], -len(said[place]), place))
    return " ".join(words[place] for place in sorted(ranked[:kept]))


def _falling(stages: int) -> list[float]:
    return [(stages - stage) / max(1, stages - 1) for stage in range(1, stages + 1)]


def _length(problem: Problem, params: Params, some: Sequence[Example]) -> int:
    """Return the tokens of the examples' prompts; characters where the LM does not show its tokens."""
    found = 0
    for one in some:
        lm = tunable(problem, params[one.path].config.lm)
        if isinstance(lm, Tunable):
            found += len(lm.encode(one.request, one.reply).prompt)
        else:
            found += sum(len(message.text) for message in one.request.messages)
    return found
