"""The decoder's layers in numpy, fp32 from fp16 weights: a Llama (Touvron et al. 2023, arXiv:2302.13971).

Every row (one token of one sequence) is computed by the same instructions wherever it stands: matrix products
run on zero-padded tiles of a fixed number of rows, all else works row by row. So a token's numbers depend on its own
sequence alone, and never on what else is in the batch. A product of as many rows as happen to be there would
not do: BLAS picks another kernel, with another order of additions, for another shape. On some processors BLAS
adds by a row's place in the tile, too, unless the tile is small: the largest is taken that is safe on this one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from lmprog.lm.tiny.blas import one_blas_thread

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

WEIGHTS_FILE = "model.safetensors"

READING_TILES = (64, 32, 16, 8, 4)
"""Rows of one product while prompts are read: many rows at once."""
WRITING_TILES = (16, 8, 4)
"""Rows of one product while a token of each sequence is written: a few rows. One row costs as much as 16."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes in config.json that the computation needs."""

    layers: int
    heads: int
    width: int
    inner: int
    context: int
    """The most tokens that a prompt and its completion may have together."""
    norm_eps: float
    rope_theta: float

    @property
    def head_width(self) -> int:
        """Numbers of one query, key or value."""
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's matrices, each (inputs, outputs), with the norms before them multiplied in."""

    qkv: Floats
    out: Floats
    gate_up: Floats
    down: Floats

    def matrices(self) -> tuple[Floats, ...]:
        """Return the four."""
        return self.qkv, self.out, self.gate_up, self.down


class Model:
    """Weights, and what is computed for each row apart from attention. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / WEIGHTS_FILE)
        weights = {name: array.astype(np.float32) for name, array in stored.items()}
        self.shape = read_shape(config)
        self.end = int(config["eos_token_id"])
        self.layers = [_layer(weights, f"model.layers.{i}.") for i in range(self.shape.layers)]
        self._embedding = weights["model.embed_tokens.weight"]
        self._unembedding = _transposed(self._embedding * weights["model.norm.weight"])
        self._cos, self._sin = _rotations(self.shape)
        matrices = [*self.layers[0].matrices(), self._unembedding, *_attended(self.shape)]
        self.reading_tile = _safe(READING_TILES, matrices)
        self.writing_tile = _safe(WRITING_TILES, matrices)

    def embed(self, tokens: Ints) -> Floats:
        """Return (rows, width)."""
        return self._embedding[tokens]

    def project(self, layer: Layer, x: Floats, positions: Ints, tile: int) -> tuple[Floats, Floats, Floats]:
        """Return queries, scaled and rotated, keys, rotated, and values: each (rows, heads, head width)."""
        shape = self.shape
        qkv = product(self._normed(x), layer.qkv, tile).reshape(len(x), 3, shape.heads, shape.head_width)
        turned = self._rotated(qkv[:, :2], positions)
        return turned[:, 0] * np.float32(shape.head_width**-0.5), turned[:, 1], qkv[:, 2]

    def close(self, layer: Layer, x: Floats, attended: Floats, tile: int) -> Floats:
        """Return the layer's output (rows, width) from its input and what attention gave."""
        x = x + product(attended.reshape(x.shape), layer.out, tile)
        both = product(self._normed(x), layer.gate_up, tile)
        gate, up = both[:, : self.shape.inner], both[:, self.shape.inner :]
        swish = np.exp(-gate)
        swish += 1
        np.divide(gate, swish, out=swish)
        swish *= up
        x += product(swish, layer.down, tile)
        return x

    def logits(self, x: Floats, tile: int) -> Floats:
        """Return (rows, vocabulary)."""
        return product(self._normed(x), self._unembedding, tile)

    def _normed(self, x: Floats) -> Floats:
        """RMSNorm; its weights are multiplied into the matrix that follows."""
        mean = np.square(x).mean(-1, keepdims=True)
        normed: Floats = x / np.sqrt(mean + np.float32(self.shape.norm_eps))
        return normed

    def _rotated(self, x: Floats, positions: Ints) -> Floats:
        """Rotary positions (Su et al. 2021, arXiv:2104.09864) on (rows, 2, heads, head width)."""
        half = self.shape.head_width // 2
        cos, sin = self._cos[positions][:, None, None], self._sin[positions][:, None, None]
        first, second = x[..., :half], x[..., half:]
        turned = np.empty_like(x)
        turned[..., :half] = first * cos - second * sin
        turned[..., half:] = second * cos + first * sin
        return turned


def product(x: Floats, matrix: Floats, tile: int) -> Floats:
    """Return x @ matrix, computed in tiles of so many rows, so that no row's result depends on how many there are."""
    rows = len(x)
    missing = -rows % tile
    if missing:
        x = np.concatenate([x, np.zeros((missing, x.shape[1]), np.float32)])
    tiles: Floats = np.matmul(x.reshape(-1, tile, x.shape[1]), matrix)
    return tiles.reshape(rows + missing, -1)[:rows]


def steady(tile: int, matrix: Floats) -> bool:
    """Tell whether a row's product with a matrix is the same bits at every place of a tile."""
    row = np.random.default_rng(0).standard_normal((1, len(matrix)), np.float32)
    rows = product(np.repeat(row, tile, axis=0), matrix, tile)
    return bool((rows == rows[0]).all())


def _safe(tiles: Sequence[int], matrices: Iterable[Floats]) -> int:
    """Return the first tile that is steady with all; else the last one."""
    matrices = list(matrices)
    with one_blas_thread():
        return next((tile for tile in tiles if all(steady(tile, matrix) for matrix in matrices)), tiles[-1])


def _attended(shape: Shape) -> Iterator[Floats]:
    """Return keys and values such as queries and weights are multiplied by, of prefixes of a few lengths."""
    for length in (33, 100, 256, 301):
        keys = np.random.default_rng(length).standard_normal((length, shape.head_width), np.float32)
        yield keys.T
        yield keys


def read_shape(config: dict[str, Any]) -> Shape:
    """Return the sizes in a config.json of Hugging Face's Llama."""
    return Shape(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        context=config["max_position_embeddings"],
        norm_eps=config["rms_norm_eps"],
        rope_theta=config["rope_theta"],
    )


def _layer(weights: dict[str, Floats], prefix: str) -> Layer:
    def named(name: str) -> Floats:
        return weights[f"{prefix}{name}.weight"]

    qkv = np.concatenate([named(f"self_attn.{kind}_proj") for kind in "qkv"])
    gate_up = np.concatenate([named("mlp.gate_proj"), named("mlp.up_proj")])
    return Layer(
        qkv=_transposed(qkv * named("input_layernorm")),
        out=_transposed(named("self_attn.o_proj")),
        gate_up=_transposed(gate_up * named("post_attention_layernorm")),
        down=_transposed(named("mlp.down_proj")),
    )


def _transposed(matrix: Floats) -> Floats:
    return np.ascontiguousarray(matrix.T)


def _rotations(shape: Shape) -> tuple[Floats, Floats]:
    """Return cosine and sine of every position's angles: (context, half of the head width)."""
    frequencies = shape.rope_theta ** -(np.arange(0, shape.head_width, 2) / shape.head_width)
    angles = np.outer(np.arange(shape.context), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
