"""Every error lmprog raises, in one tree.

LmprogError
├── SignatureError     a signature is declared wrongly
├── InputError         a predictor or program is called with inputs that do not fit
├── OutputError        an LM's reply does not hold the outputs asked for, even after a re-ask
├── ScopeError         a predictor runs without the program, params or LM that it needs
├── ParamsError        params do not fit the program they are bound to, or are no valid JSON
├── DataError          rows, splits or files of rows are unusable
├── MetricError        a metric raised, or returned something that is no score
├── CapabilityError    an LM lacks something that a block needs
├── LMError            an LM could not answer
│   ├── AuthError          the key was refused
│   ├── UnavailableError   outage, timeout or rate limit: worth another attempt
│   └── ContextError       the prompt is longer than the LM's context
├── CapReached         a cap of the budget would be exceeded
├── ArtifactError      an artifact is damaged, or made for something else
└── RunDirError        a run directory is in use, or holds another run
"""

from collections.abc import Generator
from contextlib import contextmanager


class LmprogError(Exception):
    """Base class: `except LmprogError` catches everything that lmprog raises on purpose.

    `unshown` says the same without what stands in rows, where the message shows some of it.
    """

    def __init__(self, message: str = "", *, unshown: str | None = None) -> None:
        super().__init__(message)
        self.unshown = unshown


class SignatureError(LmprogError):
    """A signature is declared wrongly."""


class InputError(LmprogError):
    """A predictor or program is called with inputs that do not fit it."""


class OutputError(LmprogError):
    """A reply does not hold the outputs asked for. `raw` is the reply as it came, `reason` what is wrong with it."""

    def __init__(self, message: str, *, raw: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.raw, self.reason = raw, reason


class ScopeError(LmprogError):
    """A predictor runs without the program, the params or the LM that it needs."""


class ParamsError(LmprogError):
    """Params do not fit the program they are bound to, or are not valid params JSON."""


class DataError(LmprogError):
    """Rows, splits or files of rows are unusable."""


class MetricError(LmprogError):
    """A metric raised, or returned something that is not a score in [0, 1]."""


class CapabilityError(LmprogError):
    """An LM lacks a capability that a block needs."""


class LMError(LmprogError):
    """An LM could not answer a request."""


class AuthError(LMError):
    """The provider refused the key. Never retried."""


class UnavailableError(LMError):
    """Outage, timeout or rate limit: another attempt may succeed, after `retry_after_s` where the provider said so.

    `refused` says that the provider did no work on this one, as with "too many requests": it cost no tokens.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None, refused: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s, self.refused = retry_after_s, refused


class ContextError(LMError):
    """The prompt and the reply's allowance exceed the LM's context."""


class CapReached(LmprogError):
    """A cap of the budget would be exceeded; nothing was sent. `cap` names it: calls, tokens, usd or seconds."""

    def __init__(self, message: str, *, cap: str) -> None:
        super().__init__(message)
        self.cap = cap


class ArtifactError(LmprogError):
    """An artifact is damaged, or was made for something else."""


class RunDirError(LmprogError):
    """A run directory is in use by another process, or holds a run with other settings."""


@contextmanager
def without_rows(hide: bool) -> Generator[None]:
    """Run the block; with `hide` its errors show nothing of what stands in rows."""
    try:
        yield
    except LmprogError as error:
        if not hide or error.unshown is None:
            raise
        raise type(error)(error.unshown) from None
