"""The network in torch: a Llama decoder (Touvron et al. 2023, arXiv:2302.13971), its parameters named as in transformers."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmprog.lm.tiny.model import Shape
from lmprog.lm.tiny.training.attention import attend

BRANCH = 0.5
"""How much smaller the matrices begin whose output is added to the stream."""


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, sizes: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(sizes.width))
        self._eps = sizes.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        """Return x with a mean square of 1, scaled."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, self._eps)


class Attention(nn.Module):
    """The matrices of attention."""

    def __init__(self, sizes: Shape) -> None:
        super().__init__()
        self._heads = sizes.heads
        self.q_proj = _linear(sizes.width, sizes.width)
        self.k_proj = _linear(sizes.width, sizes.width)
        self.v_proj = _linear(sizes.width, sizes.width)
        self.o_proj = _linear(sizes.width, sizes.width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend to the tokens before, with rotary positions (Su et al. 2021, arXiv:2104.09864)."""
        rows, length, width = x.shape
        matrices = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])  # one product for the three
        q, k, v = F.linear(x, matrices).view(rows, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4).unbind()
        attended = attend(_rotated(q, cos, sin), _rotated(k, cos, sin), v)
        mixed: Tensor = self.o_proj(attended.transpose(1, 2).reshape(rows, length, width))
        return mixed


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, sizes: Shape) -> None:
        super().__init__()
        self.gate_proj = _linear(sizes.width, sizes.inner)
        self.up_proj = _linear(sizes.width, sizes.inner)
        self.down_proj = _linear(sizes.inner, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (rows, length, width)."""
        gate, up = F.linear(x, torch.cat([self.gate_proj.weight, self.up_proj.weight])).chunk(2, -1)
        down: Tensor = self.down_proj(F.silu(gate) * up)
        return down


class Layer(nn.Module):
    """One layer of the decoder."""

    def __init__(self, sizes: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(sizes)
        self.mlp = Mlp(sizes)
        self.input_layernorm = Norm(sizes)
        self.post_attention_layernorm = Norm(sizes)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return (rows, length, width)."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        mixed: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return mixed


class Network(nn.Module):
    """The decoder. The angles of the positions stay in fp32 whatever the parameters are."""

    def __init__(self, sizes: Shape, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.sizes = sizes
        self.embed_tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.norm = Norm(sizes)
        self.to(device, dtype)
        half = torch.arange(0, sizes.head_width, 2, dtype=torch.float64) / sizes.head_width
        angles = torch.outer(torch.arange(sizes.context, dtype=torch.float64), sizes.rope_theta**-half)
        self._cos, self._sin = angles.cos().to(device, torch.float32), angles.sin().to(device, torch.float32)

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return logits in fp32 (places, vocabulary) from tokens (rows, length), at places of the flattened tokens."""
        return self._after(tokens, places, _through)

    def compiled(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the same function, faster after the minute that its compilation takes."""
        # one program for all layers and all lengths
        through = torch.compile(_through, dynamic=True)  # pyright: ignore[reportUnknownMemberType]
        return lambda tokens, places: self._after(tokens, places, through)

    def _after(
        self, tokens: Tensor, places: Tensor, through: "Callable[[Layer, Tensor, Tensor, Tensor], Tensor]"
    ) -> Tensor:
        cos, sin = self._cos[: tokens.shape[1]], self._sin[: tokens.shape[1]]
        x: Tensor = self.embed_tokens(tokens)
        for layer in self._layers():
            x = through(layer, x, cos, sin)
        normed: Tensor = self.norm(x.flatten(0, 1).index_select(0, places))
        return F.linear(normed, self.embed_tokens.weight).float()

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]


def beginning(sizes: Shape, seed: int) -> dict[str, Tensor]:
    """Return random parameters to begin with."""
    rng = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for name, parameter in Network(sizes, torch.device("cpu")).named_parameters():
        spread = 0.02 if "embed" in name else 0.8 / math.sqrt(parameter.shape[-1])
        spread *= BRANCH if "o_proj" in name or "down_proj" in name else 1.0
        drawn = torch.randn(parameter.shape, generator=rng) * spread
        weights[name] = drawn if parameter.ndim == 2 else torch.ones_like(drawn)
    return weights


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else torch.device(name)


def pick_dtype(device: torch.device) -> torch.dtype:
    """Return the faster of bf16 and fp32. Processors without instructions for bf16 are 5 to 10 times slower in it."""
    if device.type == "cuda":
        return torch.bfloat16
    return min((torch.float32, torch.bfloat16), key=_product_seconds)


def _product_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(512, 192, dtype=dtype), torch.ones(192, 512, dtype=dtype)
    taken: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(left, right)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _through(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return layer.forward(x, cos, sin)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)
