"""Muon (Jordan et al. 2024) for the matrices, AdamW for embeddings and norms, on an fp32 copy of the network."""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmprog.lm.tiny.training.network import Network

MATRIX_RATE = 0.015
EMBEDDING_RATE = 2.4e-3
NORM_RATE = 1.2e-3
DECAY = 0.03
"""How much of a matrix is taken away each step, times the learning rate."""
BETAS = (0.9, 0.98)
MOMENTUM_FIRST, MOMENTUM_LAST, MOMENTUM_STEPS = 0.85, 0.95, 300
"""The momentum of Muon rises over the first steps."""
CLIP = 1.0
"""The largest norm of the gradients that AdamW takes."""
ORTHOGONAL = (3.4445, -4.7750, 2.0315)
"""Coefficients of Muon's polynomial, which brings singular values near 1 in 5 rounds."""


class Optimizer:
    """Moves a network's parameters. Keeps them in fp32, too: steps are smaller than bf16 can tell."""

    def __init__(self, network: Network, weights: Mapping[str, Tensor]) -> None:
        self._parameters = dict(network.named_parameters())
        device, dtype = network.embed_tokens.weight.device, network.embed_tokens.weight.dtype
        names: defaultdict[torch.Size, list[str]] = defaultdict(list)
        others: dict[str, nn.Parameter] = {}
        for name in self._parameters:
            if weights[name].ndim == 2 and "embed" not in name:
                names[weights[name].shape].append(name)
            else:
                others[name] = nn.Parameter(weights[name].to(device, torch.float32, copy=True))
        self._groups = [
            _Group(some, torch.stack([weights[name] for name in some]).to(device), dtype) for some in names.values()
        ]
        self._others = others
        self._rates = [EMBEDDING_RATE if "embed" in name else NORM_RATE for name in others]
        self._adam = torch.optim.AdamW(
            [{"params": [master], "lr": rate} for master, rate in zip(others.values(), self._rates, strict=True)],
            betas=BETAS,
            weight_decay=0.0,
        )
        self._steps = 0
        self._put_back()

    def weights(self) -> dict[str, Tensor]:
        """Return the parameters in fp32, by name."""
        found: dict[str, Tensor] = {name: master.data for name, master in self._others.items()}
        for group in self._groups:
            found |= dict(zip(group.names, group.masters.unbind(), strict=True))
        return {name: found[name] for name in self._parameters}

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Move by the gradients, at a share of the full learning rates, and forget them."""
        rise = min(1.0, self._steps / MOMENTUM_STEPS)
        momentum = MOMENTUM_FIRST + (MOMENTUM_LAST - MOMENTUM_FIRST) * rise
        for group in self._groups:
            gradients = torch.stack([self._gradient(name) for name in group.names]).float()
            group.step(gradients, momentum, MATRIX_RATE * share)
        for name, master in self._others.items():
            master.grad = self._gradient(name).float()
        torch.nn.utils.clip_grad_norm_(self._others.values(), CLIP)
        for param_group, rate in zip(self._adam.param_groups, self._rates, strict=True):
            param_group["lr"] = rate * share
        self._adam.step()  # pyright: ignore[reportUnknownMemberType]
        self._steps += 1
        self._put_back()

    def _gradient(self, name: str) -> Tensor:
        gradient = self._parameters[name].grad
        assert gradient is not None, name
        return gradient

    @torch.no_grad()
    def _put_back(self) -> None:
        for name, master in self.weights().items():
            self._parameters[name].copy_(master)
            self._parameters[name].grad = None


class _Group:
    """The matrices of one shape: (matrices, rows, columns)."""

    def __init__(self, names: list[str], masters: Tensor, dtype: torch.dtype) -> None:
        self.names, self.masters = names, masters
        self._dtype = dtype
        self._moving = torch.zeros_like(masters)

    def step(self, gradients: Tensor, momentum: float, rate: float) -> None:
        """Move all by their gradients, with Nesterov's momentum."""
        rows, columns = self.masters.shape[-2:]
        self._moving.lerp_(gradients, 1 - momentum)
        update = _orthogonal(gradients.lerp(self._moving, momentum), self._dtype)
        self.masters.mul_(1 - DECAY * rate).add_(update, alpha=-rate * max(1.0, rows / columns) ** 0.5)


def _orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Return matrices with all singular values near 1, by a Newton-Schulz iteration."""
    size = matrices.square().sum((-2, -1), keepdim=True).sqrt()
    x = (matrices / (size + 1e-7)).to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-2, -1) if tall else x
    a, b, c = ORTHOGONAL
    for _ in range(5):
        square = x @ x.transpose(-2, -1)
        x = a * x + (b * square + c * square @ square) @ x
    return (x.transpose(-2, -1) if tall else x).float()
