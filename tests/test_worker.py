"""What a training computes, on models of other kinds than the embedded LM and as it does on a GPU; and what is asked of it."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import lmprog as lp
from lmprog.optimizer import named
from lmprog.optimizers.train.trainer import Training

ROW = {"prompt": [3, 4, 5], "completion": [6, 7, 8], "weight": 1.0}
SIZES: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers and peft


def model_of(kind: str, **settings: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    models: Any = AutoModelForCausalLM
    configs: Any = AutoConfig
    return models.from_config(configs.for_model(kind, **SIZES | settings)).eval()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {}),
        ("granite", {"logits_scaling": 8.0}),
        ("cohere", {"logit_scale": 0.0625}),
        ("gemma2", {"head_dim": 8, "final_logit_softcapping": 0.05}),
    ],
)
def test_the_loss_is_that_of_the_logits_that_the_model_is_served_with(kind: str, settings: dict[str, Any]) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    from lmprog.optimizers.train.worker import Losses, packed

    model = model_of(kind, **settings)
    (batch,) = packed([ROW], 6)
    with torch.no_grad():
        logits = model(torch.tensor([[3, 4, 5, 6, 7, 8]])).logits[0, 2:5]
        loss = Losses(model)(*batch)[0].item()

    assert loss == pytest.approx(cross_entropy(logits, torch.tensor([6, 7, 8]), reduction="sum").item(), rel=1e-6)


def count(read: Counter[str], *_: object) -> None:
    read["layers"] += 1


@pytest.mark.parametrize("method", ["lora", "full"])
def test_on_a_gpu_layers_are_computed_again_rather_than_kept(method: Any, tmp_path: Path) -> None:
    from lmprog.optimizers.train.worker import Losses, _model, packed  # pyright: ignore[reportPrivateUsage]

    model_of("llama").save_pretrained(tmp_path)
    (batch,) = packed([ROW], 6)
    gradients: list[list[Any]] = []
    passes: list[int] = []
    for half in (False, True):
        model = _model(tmp_path, Training(method=method, rank=2), half=half).float()
        read = Counter[str]()
        for module in model.modules():
            if type(module).__name__ == "LlamaAttention":
                module.register_forward_hook(partial(count, read))
        tuned = dict(model.named_parameters())
        for name, each in tuned.items():
            each.data = each.data.bfloat16().float() if "lora" not in name else each.data.fill_(0.01)

        Losses(model)(*batch)[0].backward()

        passes.append(read["layers"])
        gradients.append([each.grad for each in tuned.values() if each.requires_grad])

    assert passes == [2, 4]
    for alone, again in zip(*gradients, strict=True):
        assert alone.equal(again)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("held=1.5", r"held=1.5: write the share of training rows to keep out, from 0 to below 1"),
        ("held=-0.1", r"held=-0.1"),
        ("rate=0", r"rate=0: write a learning rate above 0, or leave it out"),
        ("rate=nan", r"rate=nan"),
        ("rank=0", r"rank=0\): `rank` must be at least 1"),
    ],
)
@pytest.mark.parametrize("name", ["finetune", "contextual-finetune", "paft", "prompt-intern", "self-prompt-tuning"])
def test_settings_that_nothing_can_be_trained_by_are_refused_where_they_are_written(
    name: str, option: str, says: str
) -> None:
    with pytest.raises(lp.InputError, match=says):
        named(f"bootstrap -> {name}:{option}")
