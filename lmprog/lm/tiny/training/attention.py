"""Causal attention that trains fast on processors.

PyTorch's own for processors takes more than half of a training step here: heads are narrow, and its way back is slow in
bf16. Block by block of queries, as products and softmax of whole matrices, it takes a third of that time.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 128
"""Queries of a block: it reads the keys up to its own last one, so that half of a long text's scores are never made."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return what each query reads from the keys up to its own; all are (rows, heads, length, width of a head)."""
    if q.device.type == "cpu":
        return _in_blocks_as_it_is(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class _Blocks(torch.autograd.Function):
    """Attention and its derivatives. It keeps the shares of each block, since to compute them again takes longer."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shape = q.shape
        q, k, v = (x.reshape(-1, *shape[-2:]) for x in (q * shape[-1] ** -0.5, k, v))
        read = torch.empty_like(q)
        shares: list[Tensor] = []
        for start, end in _blocks(shape[-2]):
            scores = q[:, start:end] @ k[:, :end].transpose(1, 2)
            later = torch.full((end - start, end - start), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
            scores[..., start:] += later
            shares.append(torch.softmax(scores, -1))
            read[:, start:end] = shares[-1] @ v[:, :end]
        ctx.save_for_backward(q, k, v, *shares)
        return read.view(shape)

    @staticmethod
    def backward(ctx: Any, *grown_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grown,) = grown_outputs
        q, k, v, *shares = ctx.saved_tensors
        shape = grown.shape
        grown = grown.reshape(q.shape)
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (start, end), share in zip(_blocks(shape[-2]), shares, strict=True):
            here = grown[:, start:end]
            to_v[:, :end] += share.transpose(1, 2) @ here
            to_share = here @ v[:, :end].transpose(1, 2)
            to_scores = torch.ops.aten._softmax_backward_data(to_share, share, -1, share.dtype)
            to_q[:, start:end] = to_scores @ k[:, :end]
            to_k[:, :end] += to_scores.transpose(1, 2) @ q[:, start:end]
        return (to_q * shape[-1] ** -0.5).view(shape), to_k.view(shape), to_v.view(shape)


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(length, start + BLOCK)) for start in range(0, length, BLOCK)]


def _in_blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return cast("Tensor", cast("Any", _Blocks).apply(q, k, v))


# compiled, the softmax alone would take as long as all of it
_in_blocks_as_it_is = cast(
    "Callable[[Tensor, Tensor, Tensor], Tensor]", cast("Any", torch.compiler).disable(_in_blocks)
)
