"""Adapters of a model: any number of them beside each other in one batch (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

import re
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor, nn

from lmprog.errors import ArtifactError
from lmprog.lm import adapters
from lmprog.lm.packing import Packed, opened

KEPT = 32
"""So many adapters stay in memory; one of rank 8 on all layers of a model of 1B parameters takes about 12 MB in bf16."""

_TENSOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


class Change(NamedTuple):
    """What an adapter adds to one layer: `x @ down @ up`."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """An adapter ready to compute with: its changes by the names of the layers."""

    sha256: str
    changes: Mapping[str, Change]


class Share(NamedTuple):
    """An adapter, and the rows of a batch that are under it, as (rows,) of bool; None for all."""

    adapter: Adapter
    rows: Tensor | None


def sizes_of(model: Any) -> dict[str, tuple[int, int]]:
    """Return (outputs, inputs) of every linear layer by its name."""
    found: dict[str, tuple[int, int]] = {}
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if isinstance(layer, nn.Linear):
            found[name] = (layer.out_features, layer.in_features)
        elif type(layer).__name__ == "Conv1D" and isinstance(weight, Tensor):  # a linear layer of GPT-2, turned
            found[name] = (weight.shape[1], weight.shape[0])
    return found


def check_fit(packed: Packed, sizes: Mapping[str, tuple[int, int]], reader: str) -> None:
    """Raise ArtifactError where an adapter is not for a model with linear layers of these sizes."""
    rank, shapes = packed.settings(reader).r, packed.shapes
    pairs: dict[str, set[str]] = {}
    for name, shape in shapes.items():
        found = _TENSOR.fullmatch(name)
        if found is None or found[1] not in sizes:
            raise ArtifactError(
                f"the adapter at {packed.where} changes {name!r}, which is no linear layer of {reader}: it was trained on another "
                "model, or on more than linear layers."
            )
        outputs, inputs = sizes[found[1]]
        expected = (rank, inputs) if found[2] == "A" else (outputs, rank)
        if shape != expected:
            raise ArtifactError(
                f"the adapter at {packed.where} has {name!r} of the shape {shape}, and {reader} takes {expected}: it was trained "
                "on another model."
            )
        pairs.setdefault(found[1], set()).add(found[2])
    if any(len(letters) < 2 for letters in pairs.values()):
        raise ArtifactError(f"the adapter at {packed.where} has a lora_A without its lora_B, or the other way round.")
    if not shapes:
        raise ArtifactError(f"the adapter at {packed.where} is empty: it changes nothing.")


class Adapters:
    """The adapters of one model; those used last stay in memory. For one thread."""

    def __init__(self, model: Any, reader: str) -> None:
        self._model, self._reader = model, reader
        self._kept: OrderedDict[str, Adapter] = OrderedDict()
        self._layers: dict[str, Any] = dict(model.named_modules())
        self._hooked: set[str] = set()
        self._shares: Sequence[Share] = ()

    def get(self, sha256: str) -> Adapter:
        """Return one that is known, read from its file if need be."""
        if sha256 not in self._kept:
            self._kept[sha256] = self._read(sha256)
        self._kept.move_to_end(sha256)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[sha256]

    @contextmanager
    def under(self, shares: Sequence[Share]) -> Generator[None]:
        """Let the model compute under adapters, each for its rows. Rows of none are computed as without any.

        An adapter's products are taken of all rows, so that their shapes tell nothing of which rows are under it.
        """
        self._shares = shares
        try:
            yield
        finally:
            self._shares = ()

    def _read(self, sha256: str) -> Adapter:
        content = adapters.content_of(sha256)
        packed = opened(content, Path(sha256))
        check_fit(packed, sizes_of(self._model), self._reader)
        scale, tensors = packed.settings(self._reader).scale, load(content)
        changes: dict[str, Change] = {}
        for name in {name.rpartition(".lora_")[0] for name in tensors}:
            layer = name.removeprefix("base_model.model.")
            like: Any = self._layers[layer].weight
            down, up = tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"].float() * scale
            changes[layer] = Change(*(each.T.contiguous().to(like.device, like.dtype) for each in (down, up)))
        for layer in changes.keys() - self._hooked:
            self._layers[layer].register_forward_hook(self._changing(layer))
            self._hooked.add(layer)
        return Adapter(sha256, changes)

    def _changing(self, layer: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        """Return a hook that changes what a layer gives."""

        def changed(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            for adapter, rows in self._shares:
                change = adapter.changes.get(layer)
                if change is None:
                    continue
                whole = output + torch.matmul(torch.matmul(inputs[0], change.down), change.up)
                output = whole if rows is None else torch.where(rows.view(-1, *(1,) * (output.ndim - 1)), whole, output)
            return output

        return changed
