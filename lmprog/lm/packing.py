"""Trained weights as one file: LoRA adapters as peft saves them, and whole models as transformers does.

The file is safetensors, with what a folder keeps beside its tensors among the metadata: a folder and the file made of it
are the same weights and have the same SHA-256. Tensors are taken as they are, whatever their type.
"""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from lmprog.errors import ArtifactError
from lmprog.request import canonical_json, read_json

ADAPTER_CONFIG, ADAPTER_TENSORS = "adapter_config.json", "adapter_model.safetensors"
MODEL_CONFIG, MODEL_TENSORS = "config.json", "model.safetensors"

Shapes = Mapping[str, tuple[int, ...]]
"""The sizes of tensors by their names."""
Floats = npt.NDArray[np.float32]

_LORA, _FULL = "lora", "full"
"""Names in the metadata: the settings of an adapter, and what says that the weights are whole; both as JSON."""
_REFUSED: Mapping[str, tuple[object, ...]] = {
    "use_dora": (False,),
    "lora_bias": (False,),
    "bias": ("none",),
    "modules_to_save": ([],),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
    "layer_replication": ([],),
    "trainable_token_indices": ([], {}),
    "target_parameters": ([],),
    "alora_invocation_tokens": ([],),
    "use_qalora": (False,),
    "use_bdlora": (False,),
    "arrow_config": ({},),
    "kasa_config": ({},),
    "monteclora_config": ({},),
    "velora_config": ({},),
}
"""Settings of peft under which something else is computed, and the values under which it is not; None always is one."""
_OF_OTHER_BASES = re.compile(r"pissa|olora|corda|loftq|lora_ga", re.IGNORECASE)
"""Beginnings of training (`init_lora_weights`) that take something out of the base: the adapter is for what they leave of it."""
_READ = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The types that weights come in, as numpy reads them: to it, the two bytes of a bf16 are a number's upper half."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of a peft config decides the numbers."""

    r: int
    lora_alpha: float
    use_rslora: bool = False
    fan_in_fan_out: bool = False
    """Whether the matrices that it was trained on are (inputs, outputs), as GPT-2's are; the adapter's own never are."""

    @property
    def scale(self) -> float:
        """What `B @ A` is multiplied by (rank-stabilized: Kalajdzievski 2023, arXiv:2312.03732)."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


class _Tensor(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Packed:
    """One file of weights, of which so far the header has been read."""

    where: Path
    metadata: Mapping[str, str]
    data: memoryview
    tensors: Mapping[str, _Tensor]

    @property
    def shapes(self) -> Shapes:
        """The sizes of its tensors."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    @property
    def is_full(self) -> bool:
        """Whether these are whole weights, and no adapter."""
        return _FULL in self.metadata

    def settings(self, reader: str) -> Settings:
        """Return the settings of an adapter. ArtifactError where `reader`, the LM that is to answer under it, cannot compute it."""
        return _settings(self.where, _data(self.metadata.get(_LORA, "null")), reader)

    def arrays(self) -> dict[str, Floats]:
        """Return the tensors in fp32, or raise ArtifactError."""
        return {name: self._array(name, tensor) for name, tensor in self.tensors.items()}

    def _array(self, name: str, tensor: _Tensor) -> Floats:
        if tensor.dtype not in _READ:
            raise ArtifactError(
                f"the weights at {self.where} cannot be read: {name!r} is of the type {tensor.dtype}. Save them as "
                "fp32, fp16 or bf16."
            )
        raw = np.frombuffer(self.data[tensor.start : tensor.end], _READ[tensor.dtype]).reshape(tensor.shape)
        if tensor.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)


def pack(path: Path, reader: str = "an LM that runs here") -> bytes:
    """Return weights as one file: a folder's tensors with its settings among them; a file as it is.

    The folder is one that peft saved, or one of transformers with a whole model. ArtifactError where it is neither, or is
    an adapter that `reader` cannot compute.
    """
    try:
        if not path.is_dir():
            return path.read_bytes()
        if not (path / ADAPTER_CONFIG).exists() and (path / MODEL_TENSORS).exists():
            config = _said(path / MODEL_CONFIG)
            return _file((path / MODEL_TENSORS).read_bytes(), path / MODEL_TENSORS, _whole(config))
        settings = _settings(path, _said(path / ADAPTER_CONFIG), reader)
        return _file((path / ADAPTER_TENSORS).read_bytes(), path / ADAPTER_TENSORS, {_LORA: _written(settings)})
    except OSError as error:
        missing = Path(error.filename or path)
        raise ArtifactError(
            f"{missing} cannot be read: {error.strerror}. An adapter is a file from an artifact, or a folder that peft saved, "
            f"with {ADAPTER_CONFIG} and {ADAPTER_TENSORS}; whole weights are a folder with {MODEL_CONFIG} and {MODEL_TENSORS}."
        ) from None


def opened(content: bytes, where: Path) -> Packed:
    """Read the header of a file of weights. ArtifactError where it is none, or is damaged."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = dict(cast("dict[str, Any]", read_json(bytes(content[8 : 8 + length]))))
        data = memoryview(content)[8 + length :]
        metadata = dict(cast("dict[str, str]", header.pop("__metadata__", {})))
        tensors = {name: _tensor(said, len(data)) for name, said in header.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"the weights at {where} cannot be read as safetensors: {error}. Save them with peft or transformers again."
        ) from None
    return Packed(where, metadata, data, tensors)


def holds_full(content: bytes) -> bool:
    """Return whether a file is one of whole weights; of what is no such file, False."""
    try:
        return opened(content, Path()).is_full
    except ArtifactError:
        return False


def check_full(packed: Packed, expected: Shapes, reader: str) -> None:
    """Raise ArtifactError where whole weights are not of the names and sizes of `reader`'s own."""
    own = packed.shapes
    if missing := sorted(expected.keys() - own.keys()):
        raise ArtifactError(
            f"the weights at {packed.where} lack {missing[0]!r}{_more(missing)}, which {reader} has: they are of another model."
        )
    for name, shape in own.items():
        if name not in expected:
            raise ArtifactError(
                f"the weights at {packed.where} have {name!r}, which {reader} does not have: they are of another model."
            )
        if shape != expected[name]:
            raise ArtifactError(
                f"the weights at {packed.where} have {name!r} of the shape {shape}, and {reader} has {expected[name]}: they are "
                "of another model."
            )


def shapes_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the sizes of the tensors in a model's folder, from the headers alone."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found |= {name: tuple(said["shape"]) for name, said in header.items() if name != "__metadata__"}
    return found


def unpack(content: bytes, folder: Path, base: Path | str) -> None:
    """Write a packed file as a folder: an adapter as peft loads it, whole weights as transformers does.

    `base` is the model that the weights are of, a folder or the id of one: the adapter names it, and whole weights take its
    config.json where it is a folder that has one. ArtifactError where the content is no packed file.
    """
    packed = opened(content, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if packed.is_full:
        (folder / MODEL_TENSORS).write_bytes(_file(content, folder, {"format": "pt"}))
        if (Path(base) / MODEL_CONFIG).exists():
            shutil.copyfile(Path(base) / MODEL_CONFIG, folder / MODEL_CONFIG)
        return
    settings = packed.settings("peft")
    modules = sorted({name.removeprefix("base_model.model.").rpartition(".lora_")[0] for name in packed.tensors})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "target_modules": modules,
        "r": settings.r,
        "lora_alpha": settings.lora_alpha,
        "use_rslora": settings.use_rslora,
        "fan_in_fan_out": settings.fan_in_fan_out,
        "bias": "none",
        "inference_mode": True,
    }
    (folder / ADAPTER_TENSORS).write_bytes(_file(content, folder, {"format": "pt"}))
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True))


def _said(path: Path) -> object:
    try:
        return read_json(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON: {error}. Save the weights again.") from None


def _whole(config: object) -> dict[str, str]:
    said = cast("dict[str, Any]", config) if isinstance(config, dict) else {}
    return {"format": "pt", _FULL: canonical_json({"model_type": said.get("model_type")})}


def _settings(path: Path, config: object, reader: str) -> Settings:
    said = cast("dict[str, Any]", config) if isinstance(config, dict) else {}
    for name, plain in _REFUSED.items():
        if said.get(name) is not None and said[name] not in plain:
            raise ArtifactError(
                f"the adapter at {path} has {name}={said[name]!r}, which {reader} cannot compute. Train it with {name}={plain[0]!r}."
            )
    begun = said.get("init_lora_weights")
    if isinstance(begun, str) and _OF_OTHER_BASES.match(begun):
        raise ArtifactError(
            f"the adapter at {path} has init_lora_weights={begun!r}: it is for what that left of the base's weights, and {reader} has "
            "all of them. Have peft turn it into one for the base: `model.save_pretrained(folder, "
            "path_initial_model_for_weight_conversion=...)`."
        )
    if said.get("peft_type", "LORA") != "LORA":
        raise ArtifactError(f"the adapter at {path} is of peft's type {said['peft_type']}: {reader} takes LORA alone.")
    r, alpha = said.get("r"), said.get("lora_alpha")
    stabilized, turned = said.get("use_rslora") or False, said.get("fan_in_fan_out") or False
    if type(r) is not int or r < 1 or type(alpha) not in (int, float) or type(stabilized) is not bool:
        raise ArtifactError(f"the adapter at {path} lacks its rank `r` or its `lora_alpha`: save it with peft again.")
    return Settings(r, float(cast("float", alpha)), stabilized, bool(turned))


def _written(settings: Settings) -> str:
    said: dict[str, object] = {
        "lora_alpha": settings.lora_alpha,
        "r": settings.r,
        "use_rslora": settings.use_rslora,
    }
    if settings.fan_in_fan_out:
        said["fan_in_fan_out"] = True
    return canonical_json(said)


def _file(content: bytes, where: Path, metadata: Mapping[str, str]) -> bytes:
    """Return the same tensors under other metadata, byte for byte as safetensors writes them."""
    packed = opened(content, where)
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    for name, tensor in sorted(packed.tensors.items(), key=lambda item: item[1].start):
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (tensor.start, tensor.end)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, packed.data))


def _tensor(said: Mapping[str, Any], room: int) -> _Tensor:
    start, end = said["data_offsets"]
    shape = tuple(int(size) for size in said["shape"])
    dtype = str(said["dtype"])
    size = np.dtype(_READ[dtype]).itemsize * math.prod(shape) if dtype in _READ else end - start
    if not 0 <= start <= end <= room or end - start != size:
        raise ValueError("it is cut off, or its header does not tell what follows")
    return _Tensor(dtype, shape, start, end)


def _data(text: str) -> object:
    try:
        return read_json(text)
    except ValueError:
        return None


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
