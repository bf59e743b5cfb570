"""The decoder's layers in numpy, fp32 from fp16 weights: a Llama (Touvron et al. 2023, arXiv:2302.13971).

A token's numbers depend on its own sequence alone, and never on what else is in the batch. BLAS adds in another order
for another shape, and for another place in a matrix. So the shape of every product is decided by one sequence: while a
prompt is read, its rows (one row is one token) make one product; while a reply is written, each row is one by itself.
All else works row by row.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lmprog.lm.packing import opened

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]
Turns = npt.NDArray[np.complex64]

WEIGHTS_FILE = "model.safetensors"
WIDTH_STEP = 8
"""Prompts are padded to a multiple of this many tokens while they are read: those of one width are read together."""

Kind = Literal["qkv", "q", "kv", "out", "gate_up", "down"]
"""The matrices of a layer: those that read the same input are one. `q` and `kv` are parts of `qkv`."""
MEMBERS: Mapping[Kind, tuple[str, ...]] = {
    "qkv": ("q", "k", "v"),
    "out": ("o",),
    "gate_up": ("gate", "up"),
    "down": ("down",),
}
"""The projections in each, by their names in Hugging Face's Llama without `_proj`."""
Projections = Mapping[str, Floats]
"""Matrices of one layer by projection, each (outputs, inputs)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes in config.json that the computation needs; by default those of a network trained from nothing."""

    vocabulary: int = 2560
    width: int = 192
    layers: int = 6
    heads: int = 6
    inner: int = 512
    context: int = 1536
    """The most tokens that a prompt and its completion may have together."""
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_width(self) -> int:
        """Numbers of one query, key or value."""
        return self.width // self.heads

    def sizes(self, projection: str) -> tuple[int, int]:
        """Return (outputs, inputs) of a projection."""
        return {"gate": (self.inner, self.width), "up": (self.inner, self.width), "down": (self.width, self.inner)}.get(
            projection, (self.width, self.width)
        )

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the sizes of all weights by their names in Hugging Face's Llama."""
        found: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocabulary, self.width),
            "model.norm.weight": (self.width,),
        }
        for number in range(self.layers):
            start = f"model.layers.{number}."
            found |= {f"{start}{norm}_layernorm.weight": (self.width,) for norm in ("input", "post_attention")}
            found |= {name: self.sizes(projection) for projection, name in _names(start).items()}
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What an adapter adds to one matrix: `down @ up`, of low rank."""

    down: Floats
    up: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """An adapter (LoRA, Hu et al. 2021, arXiv:2106.09685), ready to compute with."""

    sha256: str
    layers: Sequence[Mapping[Kind, Change]]


class Model:
    """Weights, and what is computed for each row apart from attention. Safe to use from several threads.

    Rows come as (sequences, tokens, width). All rows of one call are under one adapter, or under none.
    """

    def __init__(self, folder: Path, content: bytes | None = None) -> None:
        """Read the weights in a folder; with `content`, a file of other weights, the sizes alone."""
        config = json.loads((folder / "config.json").read_text())
        file = folder / WEIGHTS_FILE
        weights = opened(file.read_bytes() if content is None else content, file).arrays()
        self.shape = read_shape(config)
        self.end = int(config["eos_token_id"])
        self._norms = [_norms(weights, f"model.layers.{number}.") for number in range(self.shape.layers)]
        self.layers = [
            self._layer(number, _projections(weights, f"model.layers.{number}.")) for number in range(self.shape.layers)
        ]
        self._embedding = weights["model.embed_tokens.weight"]
        norm = weights["model.norm.weight"] * _root(self.shape.width)
        self._unembedding = np.ascontiguousarray((self._embedding * norm).T)
        self._turns = _turns(self.shape)

    def embed(self, tokens: Ints) -> Floats:
        """Return the rows of tokens."""
        return self._embedding[tokens]

    def turns(self, positions: Ints | slice) -> Turns:
        """Return what turns queries and keys at these positions: (..., numbers of a row's queries and keys / 2)."""
        return self._turns[positions]

    def project(self, number: int, kind: Kind, x: Floats, turns: Turns, adapter: Adapter | None) -> Floats:
        """Return what `kind` (qkv, q or kv) names, scaled and turned: (its letters, sequences, heads, tokens, head width)."""
        shape = self.shape
        rows = self._product(number, kind, self._normed(x), adapter)
        turned = rows[..., : 2 * shape.width if kind == "qkv" else shape.width].view(np.complex64)
        turned *= turns[..., : turned.shape[-1]]
        return rows.reshape(*x.shape[:2], len(kind), shape.heads, shape.head_width).transpose(2, 0, 3, 1, 4)

    def close(self, number: int, x: Floats, attended: Floats, adapter: Adapter | None) -> Floats:
        """Turn a layer's input, in place, into its output, given (sequences, tokens, width) from attention."""
        x += self._product(number, "out", attended, adapter)
        both = self._product(number, "gate_up", self._normed(x), adapter)
        gate, up = both[..., : self.shape.inner], both[..., self.shape.inner :]  # both negative
        swish = np.exp(gate)
        swish += 1
        np.divide(gate, swish, out=swish)
        swish *= up
        x += self._product(number, "down", swish, adapter)
        return x

    def logits(self, x: Floats) -> Floats:
        """Return (rows, vocabulary) of (rows, width)."""
        logits: Floats = np.matmul(self._normed(x)[:, None], self._unembedding)[:, 0]
        return logits

    def adapter(self, sha256: str, layers: Sequence[tuple[Projections, Projections]]) -> Adapter:
        """Return an adapter that adds `B @ A` to projections: for each layer, all (A, B) by projection."""
        return Adapter(sha256, [self._changes(number, a, b) for number, (a, b) in enumerate(layers)])

    def _product(self, number: int, kind: Kind, x: Floats, adapter: Adapter | None) -> Floats:
        result: Floats = np.matmul(x, self.layers[number][kind])
        change = adapter.layers[number].get(kind) if adapter else None
        if change is not None:
            result += np.matmul(np.matmul(x, change.down), change.up)
        return result

    def _normed(self, x: Floats) -> Floats:
        """RMSNorm but for a factor: its weights and the root of the width are multiplied into the matrix that follows."""
        size = np.vecdot(x, x)
        size += np.float32(self.shape.width * self.shape.norm_eps)
        np.sqrt(size, out=size)
        normed: Floats = np.divide(x, size[..., None])
        return normed

    def _layer(self, number: int, projections: Projections) -> Mapping[Kind, Floats]:
        """Return a layer's matrices, each (inputs, outputs), with the norms before them multiplied in."""
        layer: dict[Kind, Floats] = {}
        for kind, members in MEMBERS.items():
            whole = np.concatenate([self._arranged(name, projections[name]) for name in members])
            layer[kind] = np.ascontiguousarray((whole * self._norm_before(number, kind)).T)
        return _with_parts(layer, self.shape.width)

    def _changes(self, number: int, a: Projections, b: Projections) -> Mapping[Kind, Change]:
        """Return the changes of a layer; one of several projections has their ranks side by side."""
        changes: dict[Kind, Change] = {}
        for kind, members in MEMBERS.items():
            present = [name for name in members if name in a]
            if not present:
                continue
            down = np.concatenate([a[name] for name in present]) * self._norm_before(number, kind)
            ends = np.cumsum([len(a[name]) for name in present])
            parts: list[Floats] = []
            for name in members:
                part = np.zeros((self.shape.sizes(name)[0], len(down)), np.float32)
                if name in a:
                    end = int(ends[present.index(name)])
                    part[:, end - len(a[name]) : end] = b[name]
                parts.append(self._arranged(name, part))
            changes[kind] = Change(np.ascontiguousarray(down.T), np.ascontiguousarray(np.concatenate(parts).T))
        if "qkv" in changes:
            whole = changes["qkv"]
            ups = _with_parts({"qkv": whole.up}, self.shape.width)
            changes |= {"q": Change(whole.down, ups["q"]), "kv": Change(whole.down, ups["kv"])}
        return changes

    def _norm_before(self, number: int, kind: Kind) -> Floats | np.float32:
        """Return what of the norm before a matrix is multiplied into it; 1 where there is no norm."""
        if kind not in ("qkv", "gate_up"):
            return np.float32(1)
        return self._norms[number][kind == "gate_up"] * _root(self.shape.width)

    def _arranged(self, projection: str, matrix: Floats) -> Floats:
        """Return a projection (outputs, any) as `project` and `close` use it.

        The two numbers that rotary positions turn together stand side by side, queries are scaled, and gate and up are
        negative, which saves `close` a pass.
        """
        if projection in ("gate", "up"):
            return -matrix
        if projection not in ("q", "k"):
            return matrix
        shape = self.shape
        halves = matrix.reshape(shape.heads, 2, shape.head_width // 2, matrix.shape[1])
        pairs = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(matrix.shape)
        return pairs * np.float32(shape.head_width**-0.5) if projection == "q" else pairs


def padded(length: int) -> int:
    """Return the width to which a prompt of `length` tokens is padded while it is read."""
    return -(-length // WIDTH_STEP) * WIDTH_STEP


def read_shape(config: Mapping[str, Any]) -> Shape:
    """Return the sizes in a config.json of Hugging Face's Llama."""
    rope: Mapping[str, Any] = config.get("rope_parameters") or {}  # where transformers 5 writes it
    return Shape(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        context=config["max_position_embeddings"],
        norm_eps=config["rms_norm_eps"],
        rope_theta=rope.get("rope_theta") or config["rope_theta"],
    )


def _projections(weights: Mapping[str, Floats], prefix: str) -> Projections:
    return {projection: weights[name] for projection, name in _names(prefix).items()}


def _names(prefix: str) -> Mapping[str, str]:
    """Return the names of a layer's projections in the file."""
    members = [name for some in MEMBERS.values() for name in some]
    return {name: f"{prefix}{'self_attn' if name in 'qkvo' else 'mlp'}.{name}_proj.weight" for name in members}


def _norms(weights: Mapping[str, Floats], prefix: str) -> tuple[Floats, Floats]:
    return weights[f"{prefix}input_layernorm.weight"], weights[f"{prefix}post_attention_layernorm.weight"]


def _root(width: int) -> np.float32:
    return np.float32(math.sqrt(width))


def _with_parts(layer: Mapping[Kind, Floats], width: int) -> Mapping[Kind, Floats]:
    return {**layer, "q": layer["qkv"][:, :width], "kv": layer["qkv"][:, width:]}


def _turns(shape: Shape) -> Turns:
    """Return the rotary positions (Su et al. 2021, arXiv:2104.09864) as complex numbers, for all queries, then all keys."""
    frequencies = shape.rope_theta ** -(np.arange(0, shape.head_width, 2) / shape.head_width)
    angles = np.outer(np.arange(padded(shape.context) + WIDTH_STEP), frequencies)
    return np.tile(np.exp(1j * angles).astype(np.complex64), 2 * shape.heads)
