"""Adapters of the embedded LM, and whole weights for it, found by the SHA-256 of what they hold."""

import re
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np

from lmprog.errors import ArtifactError
from lmprog.lm import adapters
from lmprog.lm.packing import Packed, check_full, opened, pack
from lmprog.lm.tiny.model import Adapter, Floats, Model, Shape

KEPT = 32
"""So many adapters stay in memory; one of rank 8 on all projections takes 1.1 MB."""
READER = "the embedded LM"

_TENSOR = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj\.lora_([AB])\.weight"
)

_Tensors = dict[str, Floats]


class Adapters:
    """The adapters that one model answers under; the weights used last stay in memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Adapter] = OrderedDict()
        self._lock = Lock()

    def get(self, sha256: str, model: Model) -> Adapter:
        """Return one that is known, read from its file if need be."""
        with self._lock:
            if sha256 not in self._kept:
                packed = opened(adapters.content_of(sha256), Path(sha256))
                self._kept[sha256] = model.adapter(sha256, _layers(packed, model.shape))
            self._kept.move_to_end(sha256)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[sha256]

    def restart(self) -> None:
        """Forget a lock that a thread of the parent process may have held."""
        self._lock = Lock()


def add(path: Path, shape: Shape, lm_name: str) -> str:
    """Make an adapter or whole weights known for an LM, and return the SHA-256.

    ArtifactError where it is neither, or is for another model.
    """
    content, place = pack(path, READER), path.absolute()
    packed = opened(content, path)
    if packed.is_full:
        check_full(packed, shape.tensors(), READER)
        packed.arrays()
    else:
        _layers(packed, shape)
    return adapters.keep(content, lm_name, where=str(place), read=lambda: pack(place, READER))


def _layers(packed: Packed, shape: Shape) -> list[tuple[_Tensors, _Tensors]]:
    """Return (A, B times the scale) of each layer by projection, or raise ArtifactError."""
    path, settings, tensors = packed.where, packed.settings(READER), packed.arrays()
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
