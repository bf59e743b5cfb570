"""Prepare, act, verify: staged notes before the answer, checks in code after it, and another try (arXiv:2411.05778)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, cast

from lmprog import scope
from lmprog.derived import extended, narrowed, reading, shown
from lmprog.errors import InputError, OutputError
from lmprog.module import Module, is_whole, signature_of
from lmprog.predict import P, Predict, S_co
from lmprog.signature import InputField, OutputField, fields_of
from lmprog.strategies.apart import apart


class Script(Module, Generic[P, S_co]):
    """Fill the signature's outputs in scenes: each stage writes a note for the later ones, then one call acts on all notes.

    `stages` are names and what to do in them, such as {"brainstorm": "List every group that a word could belong to."}.
    What the act gives is put to each of the `checks`: functions of the prediction, in code, that return None, or what is
    wrong with it. Then the act is played again, up to `tries` times in all, knowing what was refused and why; OutputError
    where no try passes, so that a prediction that fails a check never gets out. `scene` stands before every instruction:
    the role, the stakes and the audience, as an actor is told them.

    One LM call for each stage and each try. It helps where an answer needs ideas that do not come in the order in which
    they are used, and where code can tell a wrong answer without knowing the right one.

    LLMs as method actors: Doyle 2024, arXiv:2411.05778. Departures: the stages are the user's, where the paper's are those
    of one word puzzle; the notes are kept from one try to the next, where the paper prepares anew for every guess.
    """

    def __init__(
        self,
        signature: Callable[P, S_co] | str,
        stages: Mapping[str, str],
        checks: Sequence[Callable[[S_co], str | Awaitable[str | None] | None]] = (),
        *,
        tries: int = 3,
        scene: str = "",
    ) -> None:
        if not is_whole(tries, 1):
            raise InputError(f"tries={tries!r}: the act is played once at least. Write tries=1 or more.")
        if not isinstance(cast("object", stages), Mapping):
            raise InputError(f"stages={stages!r}: write what to do by name, such as {{'brainstorm': 'List ideas.'}}.")
        if not isinstance(cast("object", checks), Sequence) or not all(map(callable, checks)):
            raise InputError(f"checks={checks!r}: write a list of functions of the prediction.")
        base = Predict(cast("Callable[P, S_co]", signature)).signature
        fields = fields_of(base)
        notes = (list[str], InputField(desc="made so far"))
        refused = (list[str], InputField(default=[], desc="earlier tries, and why they cannot be used"))
        told = {
            name: _told(scene, f"{how}\n\nThe task that this prepares: {fields.instruction}")
            for name, how in stages.items()
        }
        self.stages: dict[str, Predict[..., Any]] = {
            name: Predict(reading(name, fields.inputs, how, notes=notes, note=(str, OutputField(desc=f"of {name}"))))
            for name, how in told.items()
        }
        self.act: Predict[..., Any] = Predict(
            extended(base, _told(scene, fields.instruction), notes=notes, refused=refused)
        )
        self.checks, self.tries = tuple(checks), tries
        self.signature = base
        self.__signature__ = signature_of(Predict(base))

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> S_co:
        """Return the first try that passes every check."""
        notes: list[str] = []
        for stage in self.stages.values():
            notes = [*notes, (await stage.acall(*args, **inputs, notes=notes)).note]
        refused: list[str] = []
        for _ in range(self.tries):
            with apart() as steps:
                tried, refusal = await self._tried(*args, **inputs, notes=notes, refused=refused)
                if not refusal:
                    return cast("S_co", narrowed(self.signature, tried))
                steps.set_aside()
            refused = [*refused, refusal]
        raise OutputError(
            f"none of {self.tries} tries passed the checks. The last:\n{refused[-1]}",
            raw=refused[-1],
            reason=refused[-1].rpartition(_REFUSED)[2],
        )

    async def _tried(self, *args: Any, **inputs: Any) -> tuple[object, str]:
        """Return what the act gave, and why it is refused; "" where it is not."""
        try:
            tried = await self.act.acall(*args, **inputs)
        except OutputError as unread:
            return None, f"{_REFUSED}{unread.reason}"
        complaints = [said for check in self.checks if (said := await _complaint(check, tried))]
        outputs = shown(fields_of(self.signature).outputs, cast("dict[str, Any]", vars(tried)))
        return tried, f"{outputs}\n{_REFUSED}{' '.join(complaints)}" if complaints else ""


_REFUSED = "Refused: "


def _told(scene: str, instruction: str) -> str:
    return f"{scene}\n\n{instruction}" if scene else instruction


async def _complaint(check: Callable[[Any], object], tried: object) -> str | None:
    said = await scope.called(check, tried)
    if said is not None and not isinstance(said, str):
        name = getattr(check, "__name__", repr(check))
        raise InputError(
            f"the check {name} returned {said!r}. Return None where the prediction is fine, and else what is wrong with it."
        )
    return said
