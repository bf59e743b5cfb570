"""Trained weights out of an artifact, merged into their base: folders that any engine for Hugging Face models serves."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lmprog.artifact import Artifact
from lmprog.errors import ArtifactError, CapabilityError, InputError
from lmprog.lm.adapters import Tunable
from lmprog.params import Params, Weights
from lmprog.request import LM

PROGRAM = "program.lmprog"
"""The program under its prompts alone, for an LM that serves the merged weights."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A folder that was written."""

    folder: Path
    predictors: Sequence[str]
    """Whose weights these are."""
    program: Path | None
    """The artifact without weights beside it; None where predictors differ in theirs."""


def export_merged(artifact: Artifact, lm: LM, folder: Path) -> list[Merged]:
    """Write an artifact's trained weights, merged into those of `lm`, as Hugging Face folders. No LM calls.

    Where all predictors answer under the same weights, that is `folder` itself, with an artifact of the program under its
    prompts alone; else each adapter has a folder in it, named by its first predictor. Sums are made in fp32 and stored as the
    base is. ArtifactError where there are no weights to merge, or where the LM is another than they were trained on.
    """
    by_sha256: dict[str, list[str]] = {}
    for path, value in artifact.params.items():
        if value.weights is not None:
            by_sha256.setdefault(value.weights.sha256, []).append(path)
    if not by_sha256:
        raise ArtifactError("this artifact holds prompts alone: there are no trained weights to merge.")
    weights = {sha256: artifact.params[paths[0]].weights for sha256, paths in by_sha256.items()}
    base = _base(artifact, [one for one in weights.values() if one is not None], lm)
    _check_empty(folder)
    try:
        from lmprog.lm.local.merge import merge  # loads torch, which is heavy and optional
    except ImportError as error:
        raise InputError(
            f"merging weights needs {error.name}, which is not installed: pip install 'lmprog[finetune]'."
        ) from None
    whole = list(by_sha256.values()) == [list(artifact.params)]
    found: list[Merged] = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(
        prefix=f".{folder.name}-", dir=folder.parent
    ) as made:  # so that `folder` is whole, or not there
        unfinished = Path(made) / "merged"
        for sha256, paths in by_sha256.items():
            one = weights[sha256]
            assert one is not None
            place = Path() if whole else Path(_safe(paths[0]))
            merge(artifact.entries[one.adapter], base, unfinished / place)
            if whole:
                _without_weights(artifact, lm.name).save(unfinished / PROGRAM)
            found.append(Merged(folder / place, paths, folder / PROGRAM if whole else None))
        if folder.exists():
            folder.rmdir()
        unfinished.replace(folder)
    return found


def _base(artifact: Artifact, weights: Sequence[Weights], lm: LM) -> Path:
    """Return the folder of the LM's own weights."""
    for one in weights:
        if one.adapter.endswith(".json") or one.adapter not in artifact.entries:
            raise ArtifactError(
                f"the weights {one.adapter} are kept by the host of {one.base}, and are not here to be merged."
            )
        if one.base != lm.name:
            raise ArtifactError(
                f"the adapter {one.adapter} was trained on {one.base}, and the LM is {lm.name}. Name its base by --lm."
            )
    if not isinstance(lm, Tunable):
        raise CapabilityError(f"{lm.name} does not run here: its own weights are needed to merge others into them.")
    return lm.folder


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already: name a folder that is empty, or is not there yet.")


def _without_weights(artifact: Artifact, base: str) -> Artifact:
    params = Params({path: value.replace(weights=None) for path, value in artifact.params.items()})
    kept = {value.weights.adapter for value in artifact.baseline_params.values() if value.weights}
    entries = {
        name: data for name, data in artifact.entries.items() if name in kept or not name.startswith("adapters/")
    }
    manifest = {
        **artifact.manifest,
        "params": json.loads(params.to_json()),
        "lms": {**artifact.manifest["lms"], "task": f"merged weights of {base}"},
        "entries": {name: artifact.manifest["entries"][name] for name in entries},
    }
    return Artifact(manifest, entries)


def _safe(path: str) -> str:
    return re.sub(r"[^\w.-]+", "_", path)
