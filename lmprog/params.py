"""Params: everything that compiling may change about a program, as one immutable value."""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmprog.errors import ParamsError
from lmprog.request import canonical_json

FormatName = Literal["chat"]
"""The layouts in which a call may be shown to the LM."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Demo(_Value):
    """One worked example, shown to the LM before the real inputs.

    A signature checks it and writes its values as JSON (`Predict(..., demos=[...])` does so at once).
    Inputs may be missing, and so may `reasoning`; every other output must be there.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Config(_Value):
    """How a predictor calls its LM; None leaves the default (temperature 0, 512 tokens)."""

    temperature: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)


class Weights(_Value):
    """A trained adapter: its file in the artifact, the LM that it was trained on, and the file's SHA-256."""

    adapter: str
    base: str
    sha256: str


class PredictorParams(_Value):
    """What one predictor says to its LM, and under which weights."""

    instruction: str
    demos: tuple[Demo, ...] = ()
    field_descriptions: dict[str, str] = Field(default_factory=dict)
    format: FormatName = "chat"
    weights: Weights | None = None
    config: Config = Config()

    def replace(self, **changes: object) -> "PredictorParams":
        """Return a copy with some fields changed, checked like new ones."""
        return PredictorParams.model_validate({**dict(self), **changes})


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    predictors: dict[str, PredictorParams]


class Params(Mapping[str, PredictorParams]):
    """PredictorParams by predictor path, such as `hops[0].answer`. Immutable, with value equality."""

    __slots__ = ("_by_path",)

    def __init__(self, by_path: Mapping[str, PredictorParams]) -> None:
        self._by_path = dict(by_path)

    def __getitem__(self, path: str, /) -> PredictorParams:
        return self._by_path[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_path)

    def __len__(self) -> int:
        return len(self._by_path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Params) and self._by_path == other._by_path

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Params({self._by_path!r})"

    def replace(self, path: str, **changes: object) -> "Params":
        """Return params in which the predictor at `path` has some fields changed."""
        if path not in self._by_path:
            raise ParamsError(f"no predictor is called {path!r}; these params have {sorted(self)}")
        return Params({**self._by_path, path: self._by_path[path].replace(**changes)})

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name these params by content."""
        return hashlib.sha256(self.to_json(indent=None).encode()).hexdigest()[:12]

    def to_json(self, indent: int | None = 2) -> str:
        """Return JSON text, the same for equal params: sorted keys, every field spelled out."""
        by_path = {path: value.model_dump(mode="json", exclude_none=False) for path, value in self._by_path.items()}
        data = {"format": 1, "predictors": {path: _without_unset(value) for path, value in by_path.items()}}
        if indent is None:
            return canonical_json(data)
        return json.dumps(data, sort_keys=True, ensure_ascii=False, indent=indent)

    @staticmethod
    def from_json(text: str | bytes) -> "Params":
        """Return the params that `to_json` wrote, or raise ParamsError naming each place at fault."""
        try:
            return Params(_File.model_validate_json(text).predictors)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'text'}: {e['msg']}" for e in error.errors())
            raise ParamsError(
                f"this is not params JSON of format 1: {wrong}. Write it with `Params.to_json()`."
            ) from None

    def diff(self, new: "Params") -> str:
        """Return the changes from these params to `new` as a unified diff that a person can read; "" when equal."""
        before, after = _readable(self), _readable(new)
        return "\n".join(difflib.unified_diff(before, after, "before", "after", lineterm="", n=2))


def _without_unset(value: dict[str, Any]) -> dict[str, Any]:
    """Leave unset config entries out, so that `config` is {} by default."""
    return {**value, "config": {name: entry for name, entry in value["config"].items() if entry is not None}}


def _readable(params: Params) -> list[str]:
    lines: list[str] = []
    for path in sorted(params):
        value = params[path]
        lines += [f"{path}:", *(f"  {line}" for line in value.instruction.splitlines())]
        for demo in value.demos:
            lines += [f"  demo {canonical_json(demo.inputs)}", f"    -> {canonical_json(demo.outputs)}"]
        lines += [f"  {name}: {text}" for name, text in sorted(value.field_descriptions.items())]
        if value.format != "chat":
            lines.append(f"  format: {value.format}")
        if value.weights:
            lines.append(f"  weights: {value.weights.adapter} on {value.weights.base}")
        lines += [f"  {name}: {entry}" for name, entry in dict(value.config).items() if entry is not None]
    return lines
