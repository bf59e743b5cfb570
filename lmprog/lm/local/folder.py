"""Where a model is, and what it is: a folder of transformers, or one that huggingface_hub has or gets."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, cast

from lmprog.errors import InputError, LMError
from lmprog.lm.packing import MODEL_CONFIG

WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
"""What is got of a repository: no weights in pickles."""
TOLD_BY = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
)
"""The files that decide a reply."""

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_BLOB = re.compile(r"[0-9a-f]{64}")
"""The name of a large file in the hub's cache, which is its SHA-256."""


def named(path: Path | str) -> Path | str:
    """Return the folder that a path names, or the id of a model on the hub. InputError where it can be neither."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if not _ID.fullmatch(str(path)) or folder.exists():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(
            f"there is no model at {folder}: it {what}. Write the folder of a model, with config.json, *.safetensors and "
            'tokenizer.json, or an id on the Hugging Face hub, such as "local/Qwen/Qwen3-0.6B".'
        )
    return str(path)


def found(place: Path | str) -> Path:
    """Return the folder of a model, got from the hub where it is named by an id. LMError where there is none."""
    if isinstance(place, str):
        return _of_hub(place)
    for pattern, what in ((MODEL_CONFIG, "no config.json"), ("*.safetensors", "no weights in *.safetensors")):
        if not list(place.glob(pattern)):
            raise LMError(
                f"the folder {place} has {what}, so it holds no model that can be served. Write it with "
                "`model.save_pretrained(folder)` and `tokenizer.save_pretrained(folder)`."
            )
    return place


def identity(folder: Path) -> str:
    """Return `local-`, the type of the model, and the beginning of a SHA-256 over the files that decide its replies."""
    digests = {path.name: _digest(path) for pattern in TOLD_BY for path in folder.glob(pattern)}
    whole = hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()
    return f"local-{config_of(folder).get('model_type', 'model')}-{whole[:8]}"


def config_of(folder: Path) -> dict[str, Any]:
    """Return what config.json says, or raise LMError."""
    try:
        said: object = json.loads((folder / MODEL_CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise LMError(f"{folder / MODEL_CONFIG} cannot be read: {error}. Save the model again.") from None
    if not isinstance(said, dict):
        raise LMError(f"{folder / MODEL_CONFIG} holds no settings of a model. Save the model again.")
    return cast("dict[str, Any]", said)


def _of_hub(repository: str) -> Path:
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]  # part of an extra
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise InputError(
            f"{repository!r} is no folder, and to look for it on the Hugging Face hub needs huggingface_hub: "
            "pip install 'lmprog[finetune]'."
        ) from None
    try:
        place: str = snapshot_download(  # pyright: ignore[reportUnknownVariableType]
            repository, allow_patterns=list(WANTED), ignore_patterns=["*/*"]
        )
        return found(Path(place))
    except (RepositoryNotFoundError, HFValidationError):
        raise LMError(
            f"there is no folder {repository!r}, and no model of that id on the Hugging Face hub that may be read from here. Check "
            "the name; a model that wants a login needs the environment variable HF_TOKEN."
        ) from None
    except (LocalEntryNotFoundError, OSError) as error:
        raise LMError(
            f"there is no folder {repository!r}, and the Hugging Face hub could not be asked for it ({type(error).__name__}): it is "
            "out of reach or switched off (HF_HUB_OFFLINE), and no copy is in its cache. Write the folder of a model."
        ) from None


def _digest(path: Path) -> str:
    """Return a file's SHA-256."""
    target = path.resolve().name
    if path.is_symlink() and _BLOB.fullmatch(target):
        return target
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
