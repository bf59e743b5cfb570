"""Fine-tuning of an adapter: LoRA (Hu et al. 2021, arXiv:2106.09685) on all linear layers, in peft's layout."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn
from torch.nn import functional as F

from lmprog.lm.tiny.adapters import CONFIG_FILE, TENSORS_FILE
from lmprog.lm.tiny.curriculum.example import Example
from lmprog.lm.tiny.training.batches import Batch, padded
from lmprog.lm.tiny.training.export import read_sizes, read_weights
from lmprog.lm.tiny.training.network import Network
from lmprog.lm.tiny.training.tokenizer import Encoder

RATE = 4e-3
DECAY = 0.01
CLIP = 1.0
BATCH = 32
"""Examples of one step."""
WARM_UP_STEPS = 10
SCALE = 2
"""What the product of the two matrices is multiplied by: peft's lora_alpha / r."""
STEPS_AT_MOST = 600
"""More steps on a few hundred examples teach nothing."""


def train_adapter(
    weights: Path,
    examples: Sequence[Example],
    folder: Path,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    rank: int = 8,
    seed: int = 1,
) -> Path:
    """Train an adapter of the weights in a folder on examples, and write it to `folder`, which is returned.

    It ends after so many seconds or steps, whichever comes first, and after STEPS_AT_MOST in any case.
    """
    network = Network(read_sizes(weights), torch.device("cpu"))
    network.load_state_dict(read_weights(weights))
    frozen = {name: weight.detach() for name, weight in network.named_parameters()}
    factors = _factors(frozen, rank, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW([each for pair in factors.values() for each in pair], lr=RATE, weight_decay=DECAY)
    encoder, rng, started = Encoder(weights), Random(seed), time.monotonic()
    limit = min(STEPS_AT_MOST if steps is None else steps, STEPS_AT_MOST)
    for step in range(limit):
        elapsed = 0.0 if seconds is None else (time.monotonic() - started) / seconds
        left = 1 - max(elapsed, step / limit)
        if left <= 0:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * left
        some = rng.sample(examples, BATCH) if len(examples) > BATCH else list(examples)
        optimizer.zero_grad()
        for batch in padded(encoder.encode(some), BATCH * network.sizes.context):
            torch.autograd.backward(_loss(network, adapted(frozen, factors), batch))
        nn.utils.clip_grad_norm_([each for pair in factors.values() for each in pair], CLIP)
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]
    _write(factors, weights, folder, rank)
    return folder


def adapted(weights: Mapping[str, Tensor], factors: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return weights with the products of factors added."""
    return {
        name: weight + SCALE * factors[name][1] @ factors[name][0] if name in factors else weight
        for name, weight in weights.items()
    }


def _factors(weights: Mapping[str, Tensor], rank: int, rng: torch.Generator) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A (rank, inputs), random, and B (outputs, rank), 0, for each matrix of a layer."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, weight in weights.items():
        if "_proj." in name:
            outputs, inputs = weight.shape
            first = torch.randn(rank, inputs, generator=rng) / inputs**0.5
            found[name] = first.requires_grad_(), torch.zeros(outputs, rank).requires_grad_()
    return found


def _loss(network: Network, weights: dict[str, Tensor], batch: Batch) -> Tensor:
    tokens, places, targets = (torch.as_tensor(x) for x in (batch.tokens, batch.places, batch.targets))
    logits: Tensor = torch.func.functional_call(network, weights, (tokens, places))
    weighed = torch.as_tensor(batch.weights)
    return (F.cross_entropy(logits, targets, reduction="none") * weighed).sum() / weighed.sum()


def _write(factors: Mapping[str, tuple[Tensor, Tensor]], weights: Path, folder: Path, rank: int) -> None:
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(weights),
        "r": rank,
        "lora_alpha": round(SCALE * rank),
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(_modules(factors)),
        "inference_mode": True,
    }
    stored: dict[str, Tensor] = {}
    for name, (first, second) in factors.items():
        module = f"base_model.model.model.{name.removesuffix('.weight')}"
        stored[f"{module}.lora_A.weight"] = first.detach()
        stored[f"{module}.lora_B.weight"] = second.detach()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(stored, folder / TENSORS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))


def _modules(names: Iterable[str]) -> set[str]:
    return {name.split(".")[-2] for name in names}
