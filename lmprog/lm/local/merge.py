"""An adapter added to the weights that it was trained on, or other whole weights in their place: a folder of their own."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from lmprog.lm.packing import holds_full, unpack

_models: Any = AutoModelForCausalLM
_adapted: Any = PeftModel
_configs: Any = AutoConfig
_tokenizers: Any = AutoTokenizer


def merge(content: bytes, base: Path, folder: Path) -> None:
    """Write the model in `base` under a packed file of weights, as transformers reads it, its tokenizer beside it.

    Sums are made in fp32, and stored in the type that the base is stored in.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="lmprog-") as place, warnings.catch_warnings(action="ignore"):
        trained = Path(place) / "trained"
        unpack(content, trained, base)
        if holds_full(content):
            model = _models.from_pretrained(trained, dtype=torch.float32)
        else:
            model = _models.from_pretrained(base, dtype=torch.float32)
            model = _adapted.from_pretrained(model, trained).merge_and_unload()
        model.to(_configs.from_pretrained(base).dtype).save_pretrained(folder)
    _tokenizers.from_pretrained(base).save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors lets nobody else read it
