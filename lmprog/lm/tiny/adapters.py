"""Adapters of the embedded LM: LoRA files, found by the SHA-256 of what they hold.

A folder as peft writes it (adapter_config.json and adapter_model.safetensors) and one file, as artifacts have it, are
the same adapter and have the same SHA-256: that of the file, which `pack` makes of a folder.
"""

import json
import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save  # pyright: ignore[reportUnknownVariableType]

from lmprog.errors import ArtifactError
from lmprog.lm import adapters
from lmprog.lm.tiny.model import Adapter, Floats, Model, Shape
from lmprog.request import canonical_json

CONFIG_FILE, TENSORS_FILE = "adapter_config.json", "adapter_model.safetensors"
KEPT = 32
"""So many adapters stay in memory; one of rank 8 on all projections takes 1.1 MB."""

_METADATA = "lora"
"""Where one file holds the settings, as JSON."""
_TENSOR = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj\.lora_([AB])\.weight"
)
_REFUSED: Mapping[str, tuple[object, ...]] = {
    "use_dora": (False,),
    "lora_bias": (False,),
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "modules_to_save": ([],),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
}
"""Settings of peft under which something else is computed, and the values under which it is not; None always is one."""

_Tensors = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class _Settings:
    """What of a peft config decides the numbers."""

    r: int
    lora_alpha: float
    use_rslora: bool = False

    @property
    def scale(self) -> float:
        """What `B @ A` is multiplied by (rank-stabilized: Kalajdzievski 2023, arXiv:2312.03732)."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


class Adapters:
    """The adapters that one model answers under; the weights used last stay in memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Adapter] = OrderedDict()
        self._lock = Lock()

    def get(self, sha256: str, model: Model) -> Adapter:
        """Return one that is known, read from its file if need be."""
        with self._lock:
            if sha256 not in self._kept:
                content = adapters.content_of(sha256)
                self._kept[sha256] = model.adapter(sha256, _layers(Path(sha256), content, model.shape))
            self._kept.move_to_end(sha256)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[sha256]

    def restart(self) -> None:
        """Forget a lock that a thread of the parent process may have held."""
        self._lock = Lock()


def add(path: Path, shape: Shape, lm_name: str) -> str:
    """Make an adapter known for an LM, and return its SHA-256. ArtifactError where it is none, or is for another model."""
    content, place = pack(path), path.absolute()
    _layers(path, content, shape)
    return adapters.keep(content, lm_name, where=str(place), read=lambda: pack(place))


def pack(path: Path) -> bytes:
    """Return an adapter as one file: a folder's tensors with its settings among them; a file as it is."""
    try:
        if not path.is_dir():
            return path.read_bytes()
        config = json.loads((path / CONFIG_FILE).read_bytes())
        tensors = _tensors(path, (path / TENSORS_FILE).read_bytes())
    except OSError as error:
        missing = Path(error.filename or path)
        raise ArtifactError(
            f"{missing} cannot be read: {error.strerror}. An adapter is a file from an artifact, or a folder that peft saved, "
            f"with {CONFIG_FILE} and {TENSORS_FILE}."
        ) from None
    except ValueError as error:
        raise ArtifactError(f"{path / CONFIG_FILE} is not JSON: {error}. Save the adapter with peft again.") from None
    settings = _settings(path, config)
    text = canonical_json({"lora_alpha": settings.lora_alpha, "r": settings.r, "use_rslora": settings.use_rslora})
    return save(tensors, metadata={_METADATA: text})


def _settings(path: Path, config: object) -> _Settings:
    said = cast("dict[str, Any]", config) if isinstance(config, dict) else {}
    for name, plain in _REFUSED.items():
        if said.get(name) is not None and said[name] not in plain:
            raise ArtifactError(
                f"the adapter at {path} has {name}={said[name]!r}, which the embedded LM cannot compute. Train it with {name}={plain[0]!r}."
            )
    if said.get("peft_type", "LORA") != "LORA":
        raise ArtifactError(
            f"the adapter at {path} is of peft's type {said['peft_type']}: the embedded LM takes LORA alone."
        )
    r, alpha, stabilized = said.get("r"), said.get("lora_alpha"), said.get("use_rslora", False)
    if type(r) is not int or r < 1 or type(alpha) not in (int, float) or type(stabilized) is not bool:
        raise ArtifactError(f"the adapter at {path} lacks its rank `r` or its `lora_alpha`: save it with peft again.")
    return _Settings(r, float(cast("float", alpha)), stabilized)


def _layers(path: Path, content: bytes, shape: Shape) -> list[tuple[_Tensors, _Tensors]]:
    """Return (A, B times the scale) of each layer by projection, or raise ArtifactError."""
    tensors = _tensors(path, content)
    settings = _settings(path, _metadata(content))
    layers: list[tuple[_Tensors, _Tensors]] = [({}, {}) for _ in range(shape.layers)]
    for name, tensor in tensors.items():
        found = _TENSOR.fullmatch(name)
        if found is None or int(found[1]) >= shape.layers:
            raise ArtifactError(
                f"the adapter at {path} changes {name!r}, which the embedded LM does not have: it has {shape.layers} layers, with "
                "adapters on q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj."
            )
        outputs, inputs = shape.sizes(found[2])
        expected = (settings.r, inputs) if found[3] == "A" else (outputs, settings.r)
        if tensor.shape != expected:
            raise ArtifactError(
                f"the adapter at {path} has {name!r} of the shape {tensor.shape}, and the embedded LM takes {expected}: it was "
                "trained on another model."
            )
        layers[int(found[1])]["AB".index(found[3])][found[2]] = tensor
    for a, b in layers:
        if a.keys() != b.keys():
            raise ArtifactError(f"the adapter at {path} has a lora_A without its lora_B, or the other way round.")
    if not tensors:
        raise ArtifactError(f"the adapter at {path} is empty: it changes nothing.")
    return [(a, {name: tensor * np.float32(settings.scale) for name, tensor in b.items()}) for a, b in layers]


def _tensors(path: Path, content: bytes) -> _Tensors:
    try:
        return {name: tensor.astype(np.float32) for name, tensor in load(content).items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"the adapter at {path} cannot be read as safetensors of fp32 or fp16: {error}. Save it with peft again."
        ) from None


def _metadata(content: bytes) -> object:
    """Return the settings in a file; None where it has none. The header's length comes first, then the header as JSON."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    try:
        return json.loads(header.get("__metadata__", {}).get(_METADATA, "null"))
    except ValueError:
        return None
