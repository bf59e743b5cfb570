"""A space of params: for each predictor an instruction, a demo set, field descriptions and a prompt format to choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lmprog.optimizers.select import likeness
from lmprog.optimizers.select.surrogates import Combo
from lmprog.params import Demo, FormatName, Params
from lmprog.request import canonical_json

Kind = Literal["instruction", "demos", "field_descriptions", "format"]
"""What a choice decides: a field of PredictorParams."""
Option = str | tuple[Demo, ...] | Mapping[str, str] | FormatName

_SAID: Mapping[Kind, str] = {
    "instruction": "instruction",
    "demos": "demo set",
    "field_descriptions": "descriptions",
    "format": "format",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision about one predictor."""

    path: str
    kind: Kind


class Space:
    """Every predictor's options; a combination picks one of each choice, and the first is what the program had.

    Options may be added at any time, but no choice; one that a choice has already is not added again.
    """

    def __init__(self, params: Params, kinds: Sequence[Kind] = ("instruction", "demos")) -> None:
        self._params = params
        self._options: dict[Choice, list[Option]] = {
            Choice(path, kind): [getattr(params[path], kind)] for path in params for kind in kinds
        }
        self._likeness: dict[tuple[Choice, int], likeness.Likeness] = {}

    @property
    def choices(self) -> list[Choice]:
        """What a combination decides, in order."""
        return list(self._options)

    def options(self, choice: Choice) -> Sequence[Option]:
        """Return the options of a choice."""
        return self._options[choice]

    @property
    def sizes(self) -> list[int]:
        """How many options each choice has."""
        return [len(options) for options in self._options.values()]

    @property
    def of(self) -> list[int]:
        """Each choice's predictor, as a number."""
        paths = list(self._params)
        return [paths.index(choice.path) for choice in self._options]

    def add(self, path: str, kind: Kind, option: Option) -> int | None:
        """Add an option and return its number; None where the choice has it."""
        options = self._options[Choice(path, kind)]
        if option in options:
            return None
        options.append(option)
        return len(options) - 1

    def combo(self, kind: Kind, options: Mapping[str, Option]) -> Combo:
        """Return the combination of these options of one kind, by predictor, and else the program as it was."""
        return tuple(
            known.index(options[choice.path]) if choice.kind == kind and choice.path in options else 0
            for choice, known in self._options.items()
        )

    def build(self, combo: Combo) -> Params:
        """Return the params that a combination stands for."""
        changes: dict[str, dict[str, Option]] = {}
        for (choice, options), number in zip(self._options.items(), combo, strict=True):
            if number:
                changes.setdefault(choice.path, {})[choice.kind] = options[number]
        params = self._params
        for path, changed in changes.items():
            params = params.replace(path, **changed)
        return params

    def describe(self, combo: Combo) -> str:
        """Return the choices that differ from the program as it was."""
        parts: dict[str, list[str]] = {}
        for (choice, options), number in zip(self._options.items(), combo, strict=True):
            if number:
                said = str(options[number]) if choice.kind == "format" else str(number)
                parts.setdefault(choice.path, []).append(f"{_SAID[choice.kind]} {said}")
        return "; ".join(f"{path}: {', '.join(said)}" for path, said in parts.items()) or "the program as it was"

    def alike(self, choice: int) -> likeness.Likeness:
        """Return how alike the options of a choice are: by their words, and demo sets by the demos that they share."""
        what, options = list(self._options.items())[choice]
        key = what, len(options)
        if key not in self._likeness:
            self._likeness[key] = _likeness_of(what.kind, options)
        return self._likeness[key]


def _likeness_of(kind: Kind, options: Sequence[Option]) -> likeness.Likeness:
    match kind:
        case "instruction":
            return likeness.of_texts([str(option) for option in options])
        case "demos":
            return likeness.of_sets(
                [[demo.model_dump_json() for demo in one if isinstance(demo, Demo)] for one in options]
            )
        case "field_descriptions":
            return likeness.of_texts([canonical_json(option) for option in options])
        case "format":
            return likeness.of_kinds(options)
