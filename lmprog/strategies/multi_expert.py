"""Several experts answer, their answers are merged in seven steps, and the best of all is chosen (arXiv:2411.00492)."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, cast

import pydantic
from pydantic import BaseModel, ConfigDict

from lmprog.derived import extended, reading, shown
from lmprog.errors import InputError, OutputError
from lmprog.loop import gather
from lmprog.module import Module, is_whole, signature_of
from lmprog.predict import P, Predict, S_co
from lmprog.signature import InputField, OutputField, Signature, fields_of


class Expert(BaseModel):
    """Somebody who answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    description: str
    """In a sentence, what the expert knows and looks at."""


class MultiExpert(Module, Generic[P, S_co]):
    """Fill a signature's outputs by `n` experts that the LM names for the inputs at hand, and by what they make of it together.

    `n` + 3 LM calls a run: `name_experts` finds them, `answer` is asked as each of them, all at once; `merge` goes through the
    answers as a nominal group does (agreed views, conflicts, their resolution, views of one alone, all views that hold, the
    combined outputs), and `select` chooses among the answers and the combined outputs, which is the seventh step. Every
    part is a typed output in the trace, and every instruction a param. An expert whose reply does not validate has no say;
    where none validates, the first one's OutputError is raised.

    It helps with open questions on which one view is often partial, false or unkind; less where there is one answer to reckon.

    Multi-expert prompting: Long et al. 2024, arXiv:2411.00492, which has all seven steps in one call. Here the choice is a call
    of its own, which does not know the combined answer for one. The prompts are our own.
    """

    def __init__(self, signature: Callable[P, S_co] | str, n: int = 3) -> None:
        if not is_whole(n, 2):
            raise InputError(f"n={n!r}: write how many experts there are, 2 or more, such as n=3.")
        task: type[Signature] = Predict(cast("Callable[P, S_co]", signature)).signature
        fields = fields_of(task)
        self.task, self.n = task, n
        experts = Annotated[list[Expert], pydantic.Field(min_length=n, max_length=n)]
        choice = Annotated[int, pydantic.Field(ge=1, le=n + 1)]
        self.name_experts: Predict[..., Any] = Predict(
            reading("NameExperts", fields.inputs, _with(_NAME.format(n=n), task), experts=(experts, OutputField()))
        )
        self.answer: Predict[..., Any] = Predict(extended(task, _with(_ANSWER, task), expert=(Expert, InputField())))
        steps: dict[str, Any] = {name: (list[str], OutputField(desc=desc)) for name, desc in _STEPS.items()}
        self.merge: Predict[..., Any] = Predict(
            extended(task, _with(_MERGE, task), answers=(list[str], InputField()), **steps)
        )
        given = (list[str], InputField(desc="numbered from 1 in this order"))
        picked = (choice, OutputField(desc="the number of the best candidate"))
        self.select: Predict[..., Any] = Predict(
            reading("Select", fields.inputs, _with(_SELECT, task), candidates=given, choice=picked)
        )
        self.__signature__ = signature_of(Predict(task))

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the signature with its outputs filled."""
        named = await self.name_experts.acall(*args, **inputs)
        tried = await gather(self._asked(expert, inputs) for expert in named.experts)
        answers = [answer for answer in tried if not isinstance(answer, OutputError)]
        if not answers:
            raise cast("OutputError", tried[0])
        texts = [self._text(answer) for answer in answers]
        merged = await self.merge.acall(**inputs, answers=texts)
        candidates = [*answers, merged]
        chosen: int = (await self.select.acall(**inputs, candidates=[*texts, self._text(merged)])).choice
        best = candidates[min(chosen, len(candidates)) - 1]  # fewer than n + 1 where an expert had no say
        fields = fields_of(self.task)
        return cast("S_co", self.task(**{name: getattr(best, name) for name in (*fields.inputs, *fields.outputs)}))

    async def _asked(self, expert: Expert, inputs: Any) -> Any:
        try:
            return await self.answer.acall(**inputs, expert=expert)
        except OutputError as error:
            return error

    def _text(self, answer: object) -> str:
        outputs = fields_of(self.task).outputs
        return shown(outputs, {name: getattr(answer, name) for name in outputs})


_NAME = (
    "Below is a task that several experts will each do on their own, before their answers are merged. Name {n} of them whose "
    "knowledge is needed for these very inputs and whose views differ. Give each a role, and a description in one sentence."
)
_ANSWER = "Do the task below as the given expert: from what such a person knows, and with such a person's care."
_MERGE = (
    "Several experts have each done the task below on the same inputs. Merge their answers, as a group does in an orderly "
    "vote. List the views that more than half of them share; the views that contradict each other; for each contradiction "
    "what is right, in the light of the shared views; the views that one expert alone holds; and then all views that "
    "stand. From these do the task."
)
_SELECT = (
    "The task below was done several times on the same inputs. Choose the candidate that does it best: the one that is "
    "true, complete, useful and harmless."
)
_STEPS = {
    "agreed": "views that more than half of the answers share",
    "conflicting": "views that contradict each other",
    "resolved": "for each contradiction, what is right and why",
    "isolated": "views that one answer alone holds and none contradicts",
    "collected": "all views that stand: agreed, resolved and isolated",
}


def _with(instruction: str, task: type[Signature]) -> str:
    return f"{instruction}\n\nThe task: {fields_of(task).instruction}"
