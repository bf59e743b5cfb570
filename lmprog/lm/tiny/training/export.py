"""A folder of weights: what transformers loads as LlamaForCausalLM, and what the runtime of the embedded LM reads."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from lmprog.lm.tiny.model import WEIGHTS_FILE, Shape, read_shape
from lmprog.lm.tiny.training.tokenizer import BOS, EOS, PAD, SPECIAL, TOKENIZER_FILE

CONFIG_FILE = "config.json"


def write_settings(sizes: Shape, folder: Path) -> None:
    """Write the three files that transformers wants beside the weights and the tokenizer."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "intermediate_size": sizes.inner,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.heads,
        "head_dim": sizes.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": sizes.context,
        "rms_norm_eps": sizes.norm_eps,
        "rope_theta": sizes.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": sizes.rope_theta},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "torch_dtype": "float16",
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[EOS],
        "pad_token": SPECIAL[PAD],
        "bos_token": SPECIAL[BOS],
        "model_max_length": sizes.context,
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": EOS, "pad_token_id": PAD}))


def read_sizes(folder: Path) -> Shape:
    """Return what config.json says."""
    return read_shape(json.loads((folder / CONFIG_FILE).read_text()))


def save_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write weights in fp16. A kill leaves the old file or the new one, and both are whole."""
    stored = {
        f"model.{name}": weight.detach().to("cpu", torch.float16).contiguous() for name, weight in weights.items()
    }
    new = folder / f"{WEIGHTS_FILE}.new"
    save_file(stored, new, metadata={"format": "pt"})
    new.chmod(0o644)  # safetensors lets nobody else read it
    os.replace(new, folder / WEIGHTS_FILE)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return weights in fp32, by their names in the network."""
    return {name.removeprefix("model."): weight.float() for name, weight in load_file(folder / WEIGHTS_FILE).items()}


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer."""
    if source.resolve() != folder.resolve():
        shutil.copy(source / TOKENIZER_FILE, folder / TOKENIZER_FILE)
