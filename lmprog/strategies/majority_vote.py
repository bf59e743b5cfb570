"""The answer that most of several runs agree on."""

import inspect
from collections import Counter
from collections.abc import Callable, Hashable
from typing import ClassVar, Generic, cast

from lmprog.errors import InputError, LmprogError
from lmprog.loop import gather
from lmprog.module import Module, checked_temperature, signature_of
from lmprog.request import canonical_json
from lmprog.signature import REASONING, Signature, encode, fields_of
from lmprog.strategies.draws import Inputs, check_draws, draw
from lmprog.strategies.inner import Inner, P, R, program_of


class MajorityVote(Module, Generic[P, R]):
    """Run a program or signature `n` times at `temperature` and return the prediction that most runs agree on.

    Runs agree where all outputs but the reasoning are equal, or where `by(prediction)` is, such as
    `by=lambda prediction: lp.metrics.normalized(prediction.answer)`. Of equal groups the one with the earliest run wins, and
    of a group its first prediction is returned. All run at once. A run whose reply does not validate has no vote;
    where none has one, the first one's OutputError is raised.

    `n` times the LM calls of the program. It helps where there are many ways to reason and one right answer. The steps of
    the runs that were outvoted are in the trace with `kept=False`, and no demo or training example is made of them.

    Self-consistency: Wang et al. 2022, arXiv:2203.11171, which samples 40 reasoning paths at 0.5 to 0.7.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sample"})

    def __init__(
        self,
        program: Inner[P, R],
        n: int = 5,
        *,
        by: Callable[[R], Hashable] | None = None,
        temperature: float = 0.7,
    ) -> None:
        check_draws(n)
        if by is not None and (not callable(by) or inspect.iscoroutinefunction(by)):
            raise InputError(
                f"by={by!r}: write a function of a prediction, not an async one, such as `by=lambda prediction: prediction.answer`."
            )
        self.program, self.n, self.by = program_of(program), n, by or _outputs
        self.temperature = checked_temperature(temperature)
        self.__signature__ = signature_of(self.program)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Return the first prediction of those that most runs agree on."""
        given = Inputs(args, inputs)
        draws = await gather(
            draw(self.program, given, number, self.n, temperature=self.temperature) for number in range(self.n)
        )
        voters = [drawn for drawn in draws if drawn.error is None]
        if not voters:
            raise cast("LmprogError", draws[0].error)
        votes = [self._vote(drawn.prediction) for drawn in voters]
        [(winner, _)] = Counter(votes).most_common(1)  # of equal counts the one that was met first
        chosen = [drawn for drawn, vote in zip(voters, votes, strict=True) if vote == winner]
        for drawn in draws:
            if drawn not in chosen:
                drawn.trace.set_aside()
        return cast("R", chosen[0].prediction)

    def _vote(self, prediction: R) -> Hashable:
        vote = self.by(prediction)
        try:
            hash(vote)
        except TypeError:
            raise InputError(
                f"runs cannot be counted by {vote!r}, which has no hash: give MajorityVote a `by` that returns a text, a number or a "
                "tuple, such as `by=lambda prediction: prediction.answer`."
            ) from None
        return vote


def _outputs(prediction: object) -> Hashable:
    if not isinstance(prediction, Signature):
        return prediction
    kind = type(prediction)
    counted = [name for name in fields_of(kind).outputs if name != REASONING]
    return canonical_json(encode(kind, {name: getattr(prediction, name) for name in counted}))
