"""Params: everything that compiling may change about a program, as one immutable value."""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lmprog.errors import ParamsError
from lmprog.request import canonical_json

FormatName = Literal["chat", "json", "xml"]
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

    @field_validator("inputs", "outputs")
    @classmethod
    def _own(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Copy lists and dicts, so that changing what was passed in changes no demo."""
        return {name: _copied(value) for name, value in values.items()}


class Config(_Value):
    """How a predictor calls its LM; None leaves the default (temperature 0, 512 tokens, the LM in force)."""

    lm: str | None = Field(default=None, min_length=1)
    """Spec of an LM for this predictor alone, such as "openai/MODEL": it goes before every other."""
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
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
    """What the LM is told of fields and tools, by name; of those not named, what stands in the code."""
    format: FormatName = "chat"
    weights: Weights | None = None
    config: Config = Config()

    def replace(self, **changes: object) -> "PredictorParams":
        """Return a copy with some fields changed, checked like new ones."""
        try:
            return PredictorParams.model_validate({**dict(self), **changes})
        except ValidationError as error:
            known = ", ".join(PredictorParams.model_fields)
            raise ParamsError(f"these params cannot be: {_faults(error)}. They have {known}.") from None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    predictors: dict[str, PredictorParams]


class Params(Mapping[str, PredictorParams]):
    """PredictorParams by predictor path, such as `hops[0].answer`. Immutable, with value equality."""

    __slots__ = ("_by_path", "_fingerprint")

    def __init__(self, by_path: Mapping[str, PredictorParams]) -> None:
        self._by_path = dict(by_path)
        self._fingerprint = ""

    def __getitem__(self, path: str, /) -> PredictorParams:
        return self._by_path[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_path)

    def __len__(self) -> int:
        return len(self._by_path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Params) and self.to_json(None) == other.to_json(None)  # 1, 1.0 and True differ there

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
        if not self._fingerprint:
            self._fingerprint = hashlib.sha256(self.to_json(indent=None).encode()).hexdigest()[:12]
        return self._fingerprint

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
            raise ParamsError(
                f"this is not params JSON of format 1: {_faults(error)}. Write it with `Params.to_json()`."
            ) from None

    def diff(self, new: "Params") -> str:
        """Return the changes from these params to `new` as one unified diff for each predictor; "" when equal."""
        lines: list[str] = []
        for path in sorted({*self, *new}):
            before, after = _readable(self.get(path)), _readable(new.get(path))
            lines += difflib.unified_diff(before, after, f"before {path}", f"after {path}", lineterm="", n=2)
        return "\n".join(lines)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_copied(part) for part in cast("list[object]", value)]
    return value


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'text'}: {e['msg']}" for e in error.errors())


def _without_unset(value: dict[str, Any]) -> dict[str, Any]:
    """Leave unset config entries out, so that `config` is {} by default."""
    return {**value, "config": {name: entry for name, entry in value["config"].items() if entry is not None}}


def _readable(params: PredictorParams | None) -> list[str]:
    """Lines that differ wherever params do: `|` sets the instruction's lines apart from all others."""
    if params is None:
        return []
    lines = [f"| {line}" for line in params.instruction.split("\n")]
    for demo in params.demos:
        data = demo.model_dump(mode="json")
        lines += [f"demo {canonical_json(data['inputs'])}", f"  -> {canonical_json(data['outputs'])}"]
    lines += [
        f"description of {name}: {canonical_json(text)}" for name, text in sorted(params.field_descriptions.items())
    ]
    if params.format != "chat":
        lines.append(f"format: {params.format}")
    if params.weights:
        lines.append(f"weights: {params.weights.adapter} on {params.weights.base}, SHA-256 {params.weights.sha256}")
    return lines + [f"{name}: {entry}" for name, entry in dict(params.config).items() if entry is not None]
