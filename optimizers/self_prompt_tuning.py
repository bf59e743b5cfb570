"""Self-Prompt Tuning: weights learn to write an expert's role before the answer (Kong et al. 2024, arXiv:2407.08995)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lmprog import loop
from lmprog.data import fields_in
from lmprog.errors import InputError
from lmprog.module import predictors
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.finetune import LEARNING, Finetune, check_hosts, tuned
from lmprog.optimizers.propose.demos import Success, is_complete
from lmprog.optimizers.propose.induce import or_none
from lmprog.optimizers.select.full import Full
from lmprog.optimizers.select.prepared import Prepared
from lmprog.optimizers.train.examples import examples
from lmprog.optimizers.train.trainer import Training
from lmprog.params import Demo, Params
from lmprog.predict import Predict
from lmprog.request import canonical_json
from lmprog.search import Ask, search
from lmprog.signature import InputField, OutputField, Signature, fields_of, labeled_demo


class WriteRole(Signature):
    """Say in one or two sentences which expert would do this best, as "You are ...", and what the expert knows and heeds.
    The answer shows what is wanted: do not give it away."""

    given: str = InputField(desc="what the expert is given")
    answer: str = InputField(desc="what the expert should answer")
    role: str = OutputField()


@dataclass(frozen=True, slots=True)
class SelfPromptTuning(Training):
    """Have the teacher write an expert's role for each labelled training row, and train the LM to write role, then answer.

    For a program of one predictor whose first output is a text that no row labels, by default one called `role`. Nothing
    else changes: role and answer come in one call, and nobody writes a role by hand. The teacher sees a row's inputs and
    label; it should be an LM that can write such a text. The paper has GPT-4 annotate general instructions; here each
    program has its own rows. Other options are those of `finetune`.
    """

    field: str = "role"

    needs = Finetune.needs

    async def search(self, problem: Problem, params: Params, /) -> Outcome:
        """Return the params with adapters, or as they were. A teacher call for each labelled training row, and two full
        evaluations. InputError where the program has another form, or no row a label.
        """
        labeled = self._labeled(problem)
        await check_hosts(problem, params, self)

        async def candidates() -> Full:
            found = await self._annotated(problem, labeled)
            learned = examples(problem, params, found)
            problem.ended("examples", successes=len(found), calls=len(learned))
            if not learned:
                return Full([])
            return Full([Ask(await tuned(problem, params, [learned], self), origin="fine-tuned to write a role")])

        return await search(problem, params, Prepared(candidates), ahead=2)

    def _labeled(self, problem: Problem) -> dict[int, Demo]:
        """Return the training rows that label every output but the role, by their place, each with an empty role."""
        known = predictors(problem.program)
        signature = next(iter(known.values())).signature
        outputs = fields_of(signature).outputs
        first = next(iter(outputs))
        if len(known) != 1 or first != self.field or outputs[first].annotation is not str or len(outputs) < 2:
            raise InputError(
                f"SelfPromptTuning(field={self.field!r}) needs a program of one predictor that writes a text `{self.field}` first and "
                f"an answer after it; this one has the predictors {list(known)}, and `{next(iter(known))}` writes {list(outputs)}. Write "
                f"`{self.field}: str = lp.OutputField()` before the other outputs of the signature."
            )
        rows = [fields_in(row) for row in problem.train]
        if any(self.field in row for row in rows):
            raise InputError(
                f"training rows label `{self.field}`, which the teacher is to write. Leave it out of the rows, or use "
                '"finetune", which learns it as they have it.'
            )
        labels = {place: labeled_demo(signature, {**row, self.field: ""}) for place, row in enumerate(rows)}
        found = {place: demo for place, demo in labels.items() if demo and is_complete(signature, demo)}
        if not found:
            others = [name for name in outputs if name != self.field]
            raise InputError(
                f"no training row has every input and a label for {others}: SelfPromptTuning learns from these."
            )
        return found

    async def _annotated(self, problem: Problem, labeled: Mapping[int, Demo]) -> list[Success]:
        """Return what the rows teach with the teacher's roles, as many rows as the allowance pays for."""
        (path,) = predictors(problem.program)
        teaching = replace(problem, lms={**problem.lms, "proposer": problem.lms["teacher"]})
        count = int(min(len(labeled), max(0.0, LEARNING * problem.allowance.left)))
        chosen = sorted(problem.rng("rows with roles").sample(list(labeled), count))

        async def role_for(demo: Demo) -> str:
            answer = {name: value for name, value in demo.outputs.items() if name != self.field}
            asking = teaching.generate(0, Predict(WriteRole), given=_text(demo.inputs), answer=_text(answer))
            written = await or_none(asking)
            return written.role.strip() if written else ""

        roles = await loop.gather([role_for(labeled[place]) for place in chosen])
        told = {place: role for place, role in zip(chosen, roles, strict=True) if role}
        return [Success(place, {path: (_with(labeled[place], self.field, role),)}) for place, role in told.items()]


def _with(demo: Demo, field: str, text: str) -> Demo:
    return Demo(inputs=demo.inputs, outputs={**demo.outputs, field: text})


def _text(values: Mapping[str, object]) -> str:
    """Return fields as a text, one a line; of one alone the value."""
    texts = {name: value if isinstance(value, str) else canonical_json(value) for name, value in values.items()}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"{name}: {text}" for name, text in texts.items())
