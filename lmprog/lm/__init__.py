"""Language models: from a spec such as "tiny" to an LM, and the layers around one."""

import os

from lmprog.errors import LMError
from lmprog.request import LM

ENVIRONMENT = "LMPROG_LM"

_default: LM | None = None


def from_spec(spec: LM | str) -> LM:
    """Return the LM that a spec names; an LM is returned as it is."""
    if not isinstance(spec, str):
        return spec
    if spec == "tiny":
        from lmprog.lm.tiny.client import shared  # loads numpy and tokenizers, which `import lmprog` need not

        return shared()
    raise LMError(f'no LM is called {spec!r}. There is "tiny", the embedded one; or pass an LM object.')


def configure(*, lm: LM | str | None) -> None:
    """Set the LM of calls that no scope gives one: process-wide, for scripts and notebooks."""
    global _default
    _default = None if lm is None else from_spec(lm)


def default_lm() -> LM | None:
    """Return what `configure` set, or what the environment variable LMPROG_LM names."""
    spec = os.environ.get(ENVIRONMENT)
    return _default or (from_spec(spec) if spec else None)
