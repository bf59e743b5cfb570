"""The artifact: one file that ships a compiled program's params, with the proof and the report."""

import hashlib
import inspect
import io
import json
import logging
import os
import platform
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, overload

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from lmprog.certificate import Certificate
from lmprog.errors import ArtifactError, DataError, InputError, ParamsError, SignatureError
from lmprog.lm import ENVIRONMENT, adapters
from lmprog.lm.specs import url_in
from lmprog.module import M, Program, check_program, params_of, predictors, with_params
from lmprog.params import Demo, Params, PredictorParams
from lmprog.predict import ChainOfThought, Predict
from lmprog.registry import find, names
from lmprog.request import read_json
from lmprog.rundir import write_atomically
from lmprog.schemas import recorded, signature_of
from lmprog.secrets import named_by_artifact, named_by_user
from lmprog.signature import fields_of

FORMAT = 1
MANIFEST, REPORT = "manifest.json", "report.html"
_PARTS = {"format", "program", "signatures", "params", "baseline_params", "lms", "certificate", "packages", "entries"}
RECORDED_PACKAGES = ("lmprog", "pydantic", "numpy", "optuna")
_LOCAL_HEADER = 30
"""Bytes before an entry's name in a zip file."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry, so that equal contents give equal bytes."""

_log = logging.getLogger("lmprog")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Artifact:
    """What the file holds: a manifest, and entries such as the report, by name."""

    manifest: Mapping[str, Any]
    entries: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"<Artifact: {', '.join((MANIFEST, *self.entries))}>"

    @staticmethod
    def made(
        program: Program,
        *,
        baseline: Params | None = None,
        lms: Mapping[str, str] | None = None,
        certificate: Certificate | None = None,
        report: str | None = None,
    ) -> "Artifact":
        """Return the artifact of a program under its own params."""
        params = params_of(program)
        trained = [value.weights for some in (params, baseline or params) for value in some.values() if value.weights]
        entries = {weights.adapter: adapters.content_of(weights.sha256) for weights in trained}
        if report is not None:
            entries[REPORT] = report.encode()
        manifest = {
            "format": FORMAT,
            "program": _describe(program),
            "signatures": signatures_of(program),
            "params": json.loads(params.to_json()),
            "baseline_params": json.loads((baseline or params).to_json()),
            "lms": dict(lms or {}),
            "certificate": None if certificate is None else certificate.to_json(),
            "packages": {"python": platform.python_version(), **{name: version(name) for name in RECORDED_PACKAGES}},
            "entries": {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()},
        }
        return Artifact(manifest, entries)

    @property
    def params(self) -> Params:
        """The params that ship."""
        return self._params("params")

    @property
    def baseline_params(self) -> Params:
        """The params of the program as it was written."""
        return self._params("baseline_params")

    def _params(self, part: str) -> Params:
        """Return params with the fields of demos in the order of their signatures: JSON here has names sorted."""
        read, signatures = Params.from_json(json.dumps(self.manifest[part])), self.manifest["signatures"]
        return Params(
            {path: _in_order(value, signatures[path]) if path in signatures else value for path, value in read.items()}
        )

    @property
    def certificate(self) -> Certificate | None:
        """The proof, where the program was compiled."""
        found = self.manifest["certificate"]
        return None if found is None else Certificate.from_json(found)

    def to_bytes(self) -> bytes:
        """Return the file: equal artifacts give equal bytes."""
        file = io.BytesIO()
        text = json.dumps(self.manifest, indent=2, sort_keys=True, ensure_ascii=False).encode()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in ((MANIFEST, text), *sorted(self.entries.items())):
                info = zipfile.ZipInfo(name, date_time=_EPOCH)
                info.create_system, info.external_attr = 3, 0o644 << 16
                archive.writestr(info, data)
        return file.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all."""
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, self.to_bytes())
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{_named(path)} cannot be written: {_why(error)}. Name another file.") from None
        return target

    def bind(self, program: M) -> M:
        """Return the program under the artifact's params, their adapters made known.

        ArtifactError where the program's signatures are not those recorded.
        """
        different = list(_differences(self.manifest["signatures"], signatures_of(program)))
        if different:
            raise ArtifactError(
                f"this artifact was made for {self.manifest['program']['type']}, and {type(program).__name__} differs: "
                f"{'; '.join(different)}. Load it with the program that it was made for, or compile again."
            )
        if self.manifest["program"]["source_sha256"] != _describe(program)["source_sha256"]:
            _log.warning("the source of %s has changed since this artifact was made", type(program).__name__)
        self._keep_adapters()
        self._tell_hosts(program)
        try:
            twin = with_params(program, self.params)
        except ParamsError as error:
            raise ArtifactError(f"the artifact's params do not fit {type(program).__name__}: {error}") from None
        object.__setattr__(twin, "_origin", self)
        return twin

    def _tell_hosts(self, program: Program) -> None:
        """Tell which predictors are answered by servers that the artifact names and the program does not."""
        if getattr(program, "_origin", None) is None:
            for value in params_of(program).values():
                named_by_user(url_in(value.config.lm or ""))
        named_by_user(url_in(os.environ.get(ENVIRONMENT, "")))
        for path, value in self.params.items():
            url = url_in(value.config.lm or "")
            if url and named_by_artifact(url):
                _log.warning(
                    "`%s` is answered by %s, which this artifact names: its inputs are sent there. A key in LMPROG_API_KEY is "
                    "sent only once you have named a model of that host yourself, such as by `lm=`, --lm or LMPROG_LM",
                    path,
                    value.config.lm,
                )

    def _keep_adapters(self) -> None:
        for params in (self.params, self.baseline_params):
            for path, value in params.items():
                weights = value.weights
                if weights is None:
                    continue
                content = self.entries.get(weights.adapter)
                if content is None or adapters.keep(content, weights.base) != weights.sha256:
                    raise ArtifactError(
                        f"the params of `{path}` name the adapter {weights.adapter} with the SHA-256 {weights.sha256}, which the "
                        "artifact does not hold. Get the artifact again from where it was made."
                    )


def read_artifact(path: str | Path) -> Artifact:
    """Return what a file holds, every byte verified; ArtifactError naming the entry that is damaged."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{_named(path)} cannot be read: {_why(error)}.") from None
    contents = _contents(data, str(path))
    try:
        manifest = read_json(contents.pop(MANIFEST, b""))
    except ValueError:
        raise ArtifactError(f"{path}: the entry {MANIFEST} is missing or damaged.") from None
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ArtifactError(f"{path}: the entry {MANIFEST} is not that of an artifact.")
    manifest = cast("dict[str, Any]", manifest)
    if manifest["format"] != FORMAT:
        raise ArtifactError(
            f"{path} has format {manifest['format']!r}, and this lmprog reads format {FORMAT}. Update lmprog."
        )
    if manifest.keys() != _PARTS:
        raise ArtifactError(f"{path}: the entry {MANIFEST} has {sorted(manifest)} where {sorted(_PARTS)} belong.")
    _check_parts(manifest, str(path))
    for name in sorted({*manifest["entries"], *contents}):
        if hashlib.sha256(contents.get(name, b"")).hexdigest() != manifest["entries"].get(name):
            raise ArtifactError(f"{path}: the entry {name} is missing, damaged or not part of the artifact.")
    artifact = Artifact(manifest, contents)
    try:
        again = artifact.to_bytes()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise ArtifactError(
            f"{path}: the entry {MANIFEST} is damaged: it holds what no file in UTF-8 can hold."
        ) from None
    if again != data:
        raise ArtifactError(f"{path}: {_differing_entry(data, again)} is damaged.")
    return artifact


@overload
def load(path: str | Path) -> Any: ...
@overload
def load(path: str | Path, program: M) -> M: ...
def load(path: str | Path, program: Program | None = None) -> Program:
    """Return the program of an artifact, ready to call.

    Programs made of built-in parts alone (a Predict or ChainOfThought, or a program that ships with lmprog) need no
    `program`; for others give one, such as `lp.load(path, program=MultiHopQA(retriever))`. Every byte is verified
    and signatures are compared by name. Nothing that an artifact names is imported.
    """
    if program is not None:
        check_program(program)
    artifact = read_artifact(path)
    return artifact.bind(_rebuilt(artifact) if program is None else program)


def save(program: Program, path: str | Path) -> Path:
    """Write a program's params to an artifact; one that came from an artifact gives the same bytes again."""
    origin = program._origin  # pyright: ignore[reportPrivateUsage]
    if isinstance(origin, Artifact) and origin.params == params_of(program):
        return origin.save(path)
    return Artifact.made(program).save(path)


def _named(path: str | Path) -> str:
    return str(path).replace("\0", "\\0") or repr("")


def _why(error: OSError | ValueError) -> str:
    """Return the reason, for a path with a null byte or without a name too."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def signatures_of(program: Program) -> dict[str, Any]:
    """Return the signature of each predictor by path, as JSON data."""
    return {path: _signature(found) for path, found in predictors(program).items()}


def source_digest(thing: object) -> str:
    """Return 16 hex digits of the source that defines a class or function; "unknown" where there is none."""
    try:
        return hashlib.sha256(inspect.getsource(cast("Any", thing)).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # written in an interactive session, or made at run time
        return "unknown"


def _in_order(value: PredictorParams, signature: Mapping[str, Any]) -> PredictorParams:
    order = [field["name"] for side in ("inputs", "outputs", "tools") for field in signature.get(side, ())]

    def ordered(fields: Mapping[str, T]) -> dict[str, T]:
        return {name: fields[name] for name in dict.fromkeys([*order, *fields]) if name in fields}

    demos = tuple(Demo(inputs=ordered(demo.inputs), outputs=ordered(demo.outputs)) for demo in value.demos)
    return value.replace(demos=demos, field_descriptions=ordered(value.field_descriptions))


def _describe(program: Program) -> dict[str, Any]:
    kind = type(program)
    return {"type": f"{kind.__module__}:{kind.__qualname__}", "source_sha256": source_digest(kind)}


def _signature(predictor: Predict[..., Any]) -> dict[str, Any]:
    """Return a signature as JSON data. The tools stand in it: demos call them, and descriptions were found for them."""
    fields = fields_of(predictor.signature)
    tools = [{"name": s.name, "desc": s.description, "schema": json.loads(s.parameters)} for s in predictor.specs]
    return {
        "name": predictor.signature.__name__,
        "kind": "ChainOfThought" if isinstance(predictor, ChainOfThought) else "Predict",
        "retries": predictor.retries,
        "inputs": [recorded(field) for field in fields.inputs.values()],
        "outputs": [recorded(field) for field in fields.outputs.values()],
        **({"tools": tools} if tools else {}),
    }


def _differences(past: Mapping[str, Any], present: Mapping[str, Any]) -> Iterable[str]:
    for path in sorted({*past, *present}):
        if path not in present:
            yield f"it has no `{path}`"
        elif path not in past:
            yield f"`{path}` is new"
        else:
            for side in ("inputs", "outputs", "tools"):
                old = {field["name"]: field["schema"] for field in past[path].get(side, [])}
                new = {field["name"]: field["schema"] for field in present[path].get(side, [])}
                for name in sorted({*old, *new}):
                    if old.get(name) != new.get(name):
                        was, now = (_words(schemas.get(name)) for schemas in (old, new))
                        yield f"`{path}` has {'the tool ' if side == 'tools' else ''}`{name}` as {now} instead of {was}"


def _words(schema: Mapping[str, Any] | None) -> str:
    return "nothing" if schema is None else json.dumps(schema)


def _rebuilt(artifact: Artifact) -> Program:
    kind = str(artifact.manifest["program"]["type"])
    module, _, name = kind.partition(":")
    call = f"`lp.load(path, program={name.rpartition('.')[2]}(...))`"
    if module == Predict.__module__ and len(artifact.manifest["signatures"]) == len(artifact.baseline_params) == 1:
        (past,) = artifact.manifest["signatures"].values()
        (params,) = artifact.baseline_params.values()
        if past.get("tools"):
            raise ArtifactError(
                f"this artifact's predictor has tools, which are code that no artifact holds. Write {call}."
            )
        try:
            signature = signature_of(past["name"], params.instruction, past["inputs"], past["outputs"])
        except (SignatureError, PydanticUserError, SchemaError, TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(
                f"this artifact cannot be loaded without the code of its signature: {error} Write {call}."
            ) from None
        rebuilt = ChainOfThought if name == "ChainOfThought" else Predict
        return rebuilt(signature, retries=past["retries"])
    shipped = module.removeprefix("lmprog.programs.").replace("_", "-")
    if shipped != module and shipped in names("programs"):
        try:
            program = cast("Program", find("programs", shipped, "TASK").program())
        except (DataError, InputError) as error:
            raise ArtifactError(
                f"{name.rpartition('.')[2]} is not made without what it works on: {error} To run it on something else write "
                f"{call}; at a command line --program path.py:FACTORY."
            ) from None
        if _describe(program)["type"] == kind:
            return program
    raise ArtifactError(f"this artifact is of the program {kind}, which lmprog does not know. Name it: {call}.")


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no name of a field")
    return name


class _Recorded(BaseModel):
    """A field of a signature, as `recorded` writes it."""

    name: Annotated[str, AfterValidator(_identifier)]
    desc: str
    says: Annotated[dict[str, Any], Field(alias="schema")]
    arrays: Literal["list", "tuple"] | None


class _Tool(BaseModel):
    name: str
    desc: str
    says: Annotated[dict[str, Any], Field(alias="schema")]


class _Signature(BaseModel):
    name: str
    kind: Literal["Predict", "ChainOfThought"]
    retries: Annotated[int, Field(ge=0, strict=True)]
    inputs: list[_Recorded]
    outputs: list[_Recorded]
    tools: list[_Tool] = []


class _Program(BaseModel):
    type: str
    source_sha256: str


class _Parts(BaseModel):
    """What a manifest holds beside params, which have checks of their own."""

    model_config = ConfigDict(defer_build=True)

    program: _Program
    signatures: dict[str, _Signature]
    lms: dict[str, str]
    certificate: Certificate | None
    packages: dict[str, str]
    entries: dict[str, str]


def _check_parts(manifest: Mapping[str, Any], path: str) -> None:
    """Raise ArtifactError naming a part of the manifest that is something else than what belongs there."""
    part = ""
    try:
        _Parts.model_validate(manifest)
        for part in ("params", "baseline_params"):
            Params.from_json(json.dumps(manifest[part]))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        part, why = ".".join(map(str, fault["loc"])), fault["msg"]
    except (ParamsError, RecursionError) as error:
        why = str(error)
    else:
        return
    raise ArtifactError(f"{path}: in the entry {MANIFEST}, `{part}` is not as it should be: {why.rstrip('.')}.")


def _contents(data: bytes, path: str) -> dict[str, bytes]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ArtifactError(f"{path} is not an artifact, or not a whole one: name a file that compiling wrote.")
    name = "its directory"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents: dict[str, bytes] = {}
            for info in archive.infolist():
                name = f"the entry {info.filename}"
                if info.compress_type != zipfile.ZIP_STORED:
                    raise zipfile.BadZipFile("it is compressed")  # so that no small file can grow without bound
                contents[info.filename] = archive.read(info)
            return contents
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: {name} is damaged ({error}).") from None


def _differing_entry(data: bytes, expected: bytes) -> str:
    """Return which part of the file holds the first byte that is not as it was written."""
    pairs = enumerate(zip(data, expected, strict=False))
    place = next((offset for offset, (a, b) in pairs if a != b), min(len(data), len(expected)))
    with zipfile.ZipFile(io.BytesIO(expected)) as archive:
        infos = archive.infolist()
    end = infos[-1].header_offset + _LOCAL_HEADER + len(infos[-1].filename.encode()) + infos[-1].compress_size
    if place >= end:
        return "the file's directory"
    return "the entry " + [info.filename for info in infos if info.header_offset <= place][-1]
