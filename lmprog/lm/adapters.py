"""The trained weights that this process knows, by the SHA-256 of what they hold; and LMs that can be tuned.

What is said of an adapter holds for whole weights too, which are kept, named and shipped in the same way.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from lmprog.errors import ArtifactError, CapabilityError
from lmprog.lm.packing import holds_full
from lmprog.request import LM, Request


class Encoded(NamedTuple):
    """A call in the tokens of an LM: what it reads, and what it should write, its end included."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


@runtime_checkable
class Tunable(LM, Protocol):
    """An LM that runs here from a folder of weights, and answers under adapters of them (the capability `lora`)."""

    @property
    def folder(self) -> Path:
        """The weights, as transformers reads them."""
        ...

    def encode(self, request: Request, reply: str) -> Encoded:
        """Return the tokens of a request and of a reply to it, the very ones that it would read and write."""
        ...

    def add_adapter(self, path: Path | str) -> str:
        """Make an adapter or whole weights known, and return the SHA-256 by which `Request.weights` names them."""
        ...

    def release(self) -> None:
        """Give back what memory of a device it can, for a training there; the next request takes it again."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    bases: frozenset[str]
    """The names of the LMs that it is for."""
    where: str
    full: bool
    """Whether it is whole weights."""
    read: Callable[[], bytes]


_known: dict[str, _Known] = {}


def keep(content: bytes, base: str, *, where: str = "an artifact", read: Callable[[], bytes] | None = None) -> str:
    """Make an adapter known, and return its SHA-256. With `read`, which returns the content again, no copy is kept."""
    sha256 = hashlib.sha256(content).hexdigest()
    bases = _known[sha256].bases if sha256 in _known else frozenset[str]()
    _known[sha256] = _Known(bases | {base}, where, holds_full(content), read or (lambda: content))
    return sha256


def content_of(sha256: str) -> bytes:
    """Return what a known adapter holds, the same as when it was made known, or raise ArtifactError."""
    if sha256 not in _known:
        raise ArtifactError(f"no adapter with the SHA-256 {sha256!r} is known here: load the artifact that has it.")
    known = _known[sha256]
    try:
        content = known.read()
    except OSError as error:
        raise ArtifactError(
            f"the adapter at {known.where} cannot be read again: {error.strerror}. Put it back, or load the artifact that has it."
        ) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(
            f"the adapter at {known.where} is not what it was when it was added: its SHA-256 was {sha256}. Write each adapter "
            "to a place of its own, and add it again."
        )
    return content


def is_full(sha256: str) -> bool:
    """Return whether what is known by that SHA-256 is whole weights, in the place of the LM's own, and no adapter of them."""
    return sha256 in _known and _known[sha256].full


def check(sha256: str, lm_name: str) -> None:
    """Raise CapabilityError where an LM cannot answer under an adapter: it is not known here, or is for another LM."""
    known = _known.get(sha256)
    if known is None:
        raise CapabilityError(
            f"{lm_name} knows no adapter with the SHA-256 {sha256!r}, so it cannot answer under it. Tell it where the adapter "
            "is: `lm.add_adapter(path)` takes a folder that peft saved, or a file from an artifact."
        )
    if lm_name not in known.bases:
        base = " and ".join(sorted(known.bases))
        raise CapabilityError(
            f"the adapter with the SHA-256 {sha256!r} was trained on {base}, and the LM is {lm_name}. Use {base}, or params "
            "without weights."
        )


def forget() -> None:
    """Know no adapter any more: for tests."""
    _known.clear()
