"""MIPRO: joint search over every predictor's instruction and demo set (Opsahl-Ong et al. 2024, arXiv:2406.11695)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from lmprog.budget import BOOTSTRAPPED, FULL_EVERY, MINIBATCH, MINIBATCH_ABOVE
from lmprog.budget import trials as paper_trials
from lmprog.errors import CapReached, InputError
from lmprog.module import predictors
from lmprog.optimizer import Outcome, Problem, Work, require
from lmprog.optimizers.propose.demos import SHARE, Success, bootstrap, examples_of, sets_of
from lmprog.optimizers.propose.grounded import (
    PARTS,
    TEMPERATURE,
    Grounds,
    Part,
    Proposal,
    Setting,
    describe,
    propose,
    settings_for,
    summarize,
)
from lmprog.optimizers.propose.meta import Observed, learned
from lmprog.optimizers.select.joint import Joint
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.select.rows import Minibatches
from lmprog.optimizers.select.simplify import KEPT, simplified
from lmprog.optimizers.select.space import Kind, Space
from lmprog.optimizers.select.surrogates import Additive, Combo, Surrogate, Tpe, Tried
from lmprog.params import FormatName, Params
from lmprog.search import Selector, search

if TYPE_CHECKING:
    from lmprog.optimizers.select.v2 import V2

ROUNDS_A_BATCH = 2
"""Rounds in a row that share their rows: candidates are compared, and calls that they share are made once."""
TEMPERATURE_AT_MOST = 2.0
TRIALS_WANTED, LEAST_BATCH = 12, 20
"""Where the budget pays for fewer trials than this, each runs on fewer rows, but not on less than that."""
GENERATION = 3
"""Instructions proposed for each predictor at once, where the proposer's settings are learned."""


def _joined(said: object) -> object:
    """Read "chat+json" as the values that it joins."""
    return tuple(filter(None, said.split("+"))) if isinstance(said, str) else said


@dataclass(frozen=True, slots=True)
class Mipro:
    """Bootstrap demo sets, propose grounded instructions, then search all combinations with a surrogate.

    `candidates` (n in the paper) is the number of instructions and of demo sets per predictor; the program as it
    was is the first of each. Demo sets are tried first as they were drawn, one run's demos for all predictors together,
    then the surrogate chooses. Trials run on minibatches: of `minibatch` rows where that is given, or else of 35 where
    there are more than `minibatch_above` validation rows, and of fewer, down to 20, where the budget pays for few trials.
    They run in rounds of `width`, of which `ahead` are under way at once; every `full_every` trials the best is scored on
    all rows. Without `trials` there are up to twice the paper's: 2 max(2 v log2 n, 1.5 n), with v = two choices per
    predictor; calls that candidates share are made once, so most of these fit a budget of the paper's size.

    `bootstrapped` and `labeled` bound a demo set, `attempts` is how often a training row is run to find demos. `context`
    are the parts that proposals may show ("mipro:context=program+examples"), `temperature` that of those which are not
    the likeliest reply. `formats` are prompt formats to try beside the one that a predictor has ("formats=json+xml");
    where a predictor has tools, the proposer describes them anew too: a choice of its own, with half as many options; with
    `field_descriptions` it describes the fields of all predictors as well, and with False nothing of this. With `meta` (MIPRO++ in the paper) half of the instructions are proposed at first, and three for each predictor after every
    `full_every` trials, under the settings that have proved good. `surrogate` is "additive" or Optuna's "tpe". With
    `simplify` changes of the winner that bring nothing are taken back in the end, for which a twentieth of the allowance is
    kept.

    "mipro:style=v2" searches as DSPy's MIPROv2 does, one trial after the other: given the same instructions, demo sets and
    scores it takes the same decisions (select/v2.py). Of the options above it heeds those that MIPROv2 has, and none of
    `formats`, `field_descriptions`, `meta`, `surrogate`, `simplify`.

    Departures from the paper: trials run side by side, four share their rows, scores are adjusted for how hard the rows
    are, and the default surrogate is the one that finds more (tests/bench/surrogates.py).
    """

    candidates: int = 6
    trials: int | None = None
    minibatch: int | None = None
    minibatch_above: int = MINIBATCH_ABOVE
    full_every: int = FULL_EVERY
    width: int = 2
    ahead: int = 3
    bootstrapped: int = BOOTSTRAPPED
    labeled: int = 4
    attempts: int = 2
    context: Annotated[tuple[Part, ...], BeforeValidator(_joined)] = PARTS
    temperature: float = TEMPERATURE
    formats: Annotated[tuple[FormatName, ...], BeforeValidator(_joined)] = ()
    field_descriptions: bool | None = None
    meta: bool = True
    surrogate: Literal["additive", "tpe"] = "additive"
    simplify: bool = True
    style: Literal["lmprog", "v2"] = "lmprog"

    def __post_init__(self) -> None:
        require(self, candidates=1, trials=1, minibatch=1, minibatch_above=0, full_every=1, width=1, ahead=1)
        require(self, bootstrapped=0, labeled=0, attempts=1)
        if not 0 <= self.temperature <= TEMPERATURE_AT_MOST:
            raise InputError(
                f"Mipro(temperature={self.temperature}): write a number from 0 to {TEMPERATURE_AT_MOST:g}."
            )

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the best combination found; never one that is worse on the validation rows than `params`."""
        if self.style == "v2":
            from lmprog.optimizers.select.v2 import search_v2  # loads optuna, which takes as long as many calls

            plain = replace(self, meta=False, formats=(), field_descriptions=False)
            return await search_v2(problem, params, _Run(plain, problem, params).v2)
        searched = problem
        if self.simplify and problem.allowance.calls is not None:
            kept = int(KEPT * max(0.0, problem.allowance.left))
            searched = replace(problem, allowance=replace(problem.allowance, calls=problem.allowance.calls - kept))
        run = _Run(self, searched, params)
        try:
            outcome = await search(searched, params, Prepared(run.prepared), ahead=self.ahead)
            await run.proposed()
        finally:
            await run.dropped()
        return await simplified(problem, params, outcome) if self.simplify else outcome


class _Run:
    """One search: what is proposed before it and, with `meta`, during it."""

    def __init__(self, options: Mipro, problem: Problem, params: Params) -> None:
        self._options, self._problem, self._params = options, problem, params
        kinds: list[Kind] = ["instruction", "demos"]
        self._described = _described(options, problem)
        """Predictors of which descriptions are searched."""
        if self._described:
            kinds.append("field_descriptions")
        if options.formats:
            kinds.append("format")
        self._space = Space(params, kinds)
        self._grounds = Grounds()
        self._settings: dict[tuple[str, int], Setting] = {}
        """By predictor and number of the instruction."""
        self._asked = 0
        """Proposals asked of each predictor."""
        self._first: Sequence[Combo] = ()
        """Each demo set for all predictors at once, their instructions as they were: the parts of one run fit together."""
        self._batch = len(problem.val)
        """Validation rows that a trial runs on."""
        self._due: float = options.full_every
        """After how many trials the next are."""
        self._proposing: Work[list[Proposal]] | None = None

    async def prepared(self) -> Selector:
        """Find demos, have instructions proposed, and return the selector of their combinations."""
        options, problem = self._options, self._problem
        settings = await self._filled()
        for path in self._params:
            for name in options.formats:
                self._space.add(path, "format", name)
        batches = Minibatches(problem, self._batch)
        return Joint(
            self._space,
            self._surrogate(),
            rows=lambda number: batches.of_round((number + 1) // ROUNDS_A_BATCH),
            seed=problem.seed,
            trials=options.trials or 2 * paper_trials(options.candidates, len(self._params)),
            width=options.width,
            full_every=options.full_every,
            first=self._first,
            grow=self._grow if options.meta and settings else None,
        )

    async def v2(self) -> "V2":
        """Find demos, have instructions proposed, and return MIPROv2's selector of their combinations."""
        from lmprog.optimizers.select.v2 import V2, trials

        options, problem, space = self._options, self._problem, self._space
        await self._filled()
        choices = len(self._params) * (2 if options.bootstrapped or options.labeled else 1)
        return V2(
            problem,
            space.build,
            instructions=space.sizes[::2],
            demo_sets=space.sizes[1::2],
            trials=options.trials or trials(options.candidates, choices),
            minibatch=options.minibatch or MINIBATCH if len(problem.val) > options.minibatch_above else None,
            full_every=options.full_every,
            describe=space.describe,
        )

    async def _filled(self) -> list[Setting]:
        """Fill the space with demos and instructions, and return the settings of the proposals."""
        options, problem = self._options, self._problem
        settings = self._first_settings()
        summarizing = any(setting.data for setting in settings) or options.meta or bool(self._described)
        summarizing = summarizing and bool(settings) and "data" in options.context
        summary = problem.begin(summarize(problem), calls=1) if summarizing else None
        needed = "optuna" if options.surrogate == "tpe" else "numpy"  # the first takes as long as many calls
        loaded = asyncio.ensure_future(asyncio.to_thread(import_module, needed))
        try:
            successes = await self._demos()
            await self._instructions(successes, settings, summary)
        finally:
            await asyncio.wait([loaded])
            if summary is not None:
                await summary.drop()
        return settings

    async def proposed(self) -> None:
        """Wait for the proposals under way, if there are any, and add them: what was sent for them counts."""
        if self._proposing is not None:
            work, self._proposing = self._proposing, None
            try:
                self._add(await work.result())
            except CapReached:
                self._due = float("inf")

    async def dropped(self) -> None:
        """End the proposals under way, if there are any."""
        if self._proposing is not None:
            await self._proposing.drop()

    def _surrogate(self) -> Surrogate:
        return self._model() if self._options.surrogate == "additive" else Tpe(self._space.alike)

    def _model(self) -> Additive:
        return Additive(self._space.of, self._space.alike)

    def _first_settings(self) -> list[Setting]:
        """Return the settings of the first proposals: as many as a fifth of the allowance pays for, or fewer."""
        options = self._options
        affordable = self._problem.allowance.left * SHARE / len(self._params)
        wanted = options.candidates - 1
        if options.meta:
            wanted = -(-wanted // 2)
        count = int(min(affordable, wanted)) if affordable > 0 else 0
        return settings_for(count, parts=options.context, temperature=options.temperature)

    async def _demos(self) -> list[Success]:
        options, problem = self._options, self._problem
        wanted = -(-options.candidates * options.bootstrapped // 2)
        successes = await bootstrap(
            problem, self._params, wanted=wanted, attempts=options.attempts, shown=options.labeled
        )
        count, bounds = options.candidates, (options.bootstrapped, options.labeled)
        sets = sets_of(problem, self._params, successes, count=count, bootstrapped=bounds[0], most_labeled=bounds[1])
        for demos in sets:
            for path, shown in demos.items():
                self._space.add(path, "demos", shown)
        self._batch = self._batch_size()
        most = int(min(len(sets), self._affordable(self._batch) / 2))
        self._first = [self._space.combo("demos", demos) for demos in sets[1:]][:most]
        problem.ended("demos", successes=len(successes), demo_sets=len(sets))
        return successes

    def _batch_size(self) -> int:
        """Return on how many rows a trial runs."""
        options, rows = self._options, len(self._problem.val)
        size = min(rows, options.minibatch or MINIBATCH) if rows > options.minibatch_above else rows
        if options.minibatch is None and (trials := self._affordable(size)) < TRIALS_WANTED:
            return min(size, max(LEAST_BATCH, int(size * trials / TRIALS_WANTED)))
        return size

    def _affordable(self, rows: int) -> float:
        """Return how many trials on so many rows the allowance pays for."""
        return max(0.0, self._problem.allowance.left / self._problem.allowance.for_rows(rows))

    async def _instructions(
        self, successes: Sequence[Success], settings: Sequence[Setting], summary: Work[str] | None
    ) -> None:
        """Add instructions and descriptions; what is recorded may be searched where a cap leaves no more."""
        options, problem, params = self._options, self._problem, self._params
        begun: list[Work[Any]] = []
        try:
            text = "" if summary is None else await summary.result()
            self._grounds = Grounds(examples_of(params, successes), text)
            proposing = self._proposed(dict.fromkeys(params, settings))
            begun.append(proposing)
            if self._described and settings:
                count = -(-options.candidates // 2)
                fields, how = bool(options.field_descriptions), self._describing(count)
                work = describe(problem, params, self._grounds, how, paths=self._described, fields=fields)
                describing = problem.begin(work, calls=count * len(self._described))
                begun.append(describing)
                for path, found in (await describing.result()).items():
                    for described in found:
                        self._space.add(path, "field_descriptions", described)
            self._add(await proposing.result())
        except CapReached:
            pass
        finally:
            for one in begun:
                await one.drop()
        sizes = zip(self._space.choices, self._space.sizes, strict=True)
        new = sum(size - 1 for choice, size in sizes if choice.kind == "instruction")
        # those asked for that are not new have failed, were refused, or are known
        problem.ended("proposals", asked=self._asked * len(params), new=new)

    def _describing(self, count: int) -> list[Setting]:
        """Return the settings under which fields are described; the first asks for the likeliest reply."""
        whole = Setting(role=True, data=True, examples=True, instruction=True).only(self._options.context)
        return [replace(whole, temperature=self._options.temperature if number else 0.0) for number in range(count)]

    def _proposed(
        self, settings: Mapping[str, Sequence[Setting]], grounds: Grounds | None = None
    ) -> Work[list[Proposal]]:
        """Begin to propose, for each predictor as often."""
        work = propose(self._problem, self._params, grounds or self._grounds, settings, first=self._asked)
        self._asked += max(map(len, settings.values()), default=0)
        return self._problem.begin(work, calls=sum(map(len, settings.values())))

    def _add(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            number = self._space.add(proposal.path, "instruction", proposal.instruction)
            if number is not None and proposal.setting is not None:
                self._settings[proposal.path, number] = proposal.setting

    async def _grow(self, done: int, tried: Sequence[Tried]) -> None:
        """Have instructions proposed where they are due, and add them before the next round: no round waits for them."""
        if self._proposing is not None:
            await self.proposed()
            return
        options, allowance = self._options, self._problem.allowance
        if done >= self._due and allowance.left > allowance.for_rows(2 * options.width * self._batch):
            self._due = done + options.full_every
            self._proposing = self._proposed(*self._learned(tried, done))

    def _learned(self, tried: Sequence[Tried], done: int) -> tuple[dict[str, list[Setting]], Grounds]:
        """Return the settings of the next proposals by predictor, and the instructions until now with their scores."""
        options = self._options
        effects = self._model().effects(tried, self._space.sizes)
        level = sum(one.score for one in tried) / max(1, len(tried))
        observed: list[Observed] = []
        scores: dict[str, dict[str, float]] = {path: {} for path in self._params}
        for number, choice in enumerate(self._space.choices):
            if choice.kind != "instruction":
                continue
            for option, effect in enumerate(effects[number]):
                if effect is None:
                    continue
                text = self._space.options(choice)[option]
                scores[choice.path][str(text)] = min(1.0, max(0.0, level + effect.expected))
                if (setting := self._settings.get((choice.path, option))) is not None:
                    observed.append(Observed(setting, effect.mean, effect.variance))
        settings = {
            path: learned(
                observed,
                GENERATION,
                parts=options.context,
                temperature=options.temperature,
                rng=self._problem.rng("settings", path, done),
            )
            for path in self._params
        }
        return settings, replace(self._grounds, tried=scores)


def _described(options: Mipro, problem: Problem) -> list[str]:
    """Return the predictors of which descriptions are searched: where nothing is said, those with tools."""
    known = predictors(problem.program)
    if options.field_descriptions is None:
        return [path for path, predictor in known.items() if predictor.tools]
    return list(known) if options.field_descriptions else []
