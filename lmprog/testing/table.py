"""An LM that plays recorded outcomes, to try searches on what real LMs did."""

from collections.abc import Mapping, Sequence

from lmprog.errors import InputError
from lmprog.formats import prepare
from lmprog.metrics import Metric
from lmprog.params import Demo, Params, PredictorParams
from lmprog.predict import Predict
from lmprog.request import Capability, Message, Request, Response
from lmprog.signature import InputField, OutputField, Signature
from lmprog.testing.scripted import reply


class _Item(Signature):
    """Say the score of the item."""

    item: str = InputField()
    score: float = OutputField()


class TableLM:
    """Replies what each prompt scored on each item, as a table says: `scores[prompt][item]`, in [0, 1].

    `prompts` are instructions with the texts of their demos. A search is tried on it with `program`, `rows`, `metric` and
    `params`, the prompts as params of that program; `lmprog.testing.problem_for` puts them together.
    """

    name = "table"
    capabilities: frozenset[Capability] = frozenset({"generate", "sample"})

    def __init__(self, prompts: Sequence[tuple[str, Sequence[str]]], scores: Sequence[Sequence[float]]) -> None:
        if len(prompts) != len(scores) or len({len(each) for each in scores}) != 1:
            raise InputError(
                f"a table needs a row of scores for each prompt, all of one length: there are {len(prompts)} prompts and "
                f"rows of {[len(each) for each in scores]} scores."
            )
        self.program = Predict(_Item)
        self.rows: Sequence[Mapping[str, str]] = [{"item": str(number)} for number in range(len(scores[0]))]
        self.params: Sequence[Params] = [
            Params({"predict": PredictorParams(instruction=instruction, demos=tuple(map(_demo, demos)))})
            for instruction, demos in prompts
        ]
        templates = [prepare(_Item, params["predict"]) for params in self.params]
        self._items: dict[Message, int] = {}
        self._scores: dict[tuple[Message, ...], Sequence[float]] = {}
        for template, own in zip(templates, scores, strict=True):
            (*before, _) = template.render(self.rows[0])
            if self._scores.setdefault(tuple(before), own) is not own:
                raise InputError(
                    f"two prompts are the same text, so that their scores cannot be told apart: {before!r}"
                )
        for number, row in enumerate(self.rows):
            self._items[templates[0].render(row)[-1]] = number

    @property
    def metric(self) -> Metric:
        """The recorded score."""
        return _recorded

    async def __call__(self, request: Request, /) -> Response:
        """Reply the score of the prompt on the item."""
        *before, last = request.messages
        score = self._scores[tuple(before)][self._items[last]]
        return Response(reply({"score": score}, request), prompt_tokens=1, completion_tokens=1)


def _demo(text: str) -> Demo:
    return Demo(inputs={"item": text}, outputs={"score": 1.0})


def _recorded(row: object, prediction: _Item) -> float:
    return prediction.score
