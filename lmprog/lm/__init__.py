"""Language models: the one in force where no scope names one, and the layers around each."""

import os
from functools import lru_cache
from pathlib import Path

from lmprog.errors import RunDirError
from lmprog.lm.cache import Cached, CallLog
from lmprog.lm.compose import Routed
from lmprog.lm.retry import Retried
from lmprog.lm.specs import from_spec
from lmprog.request import LM

ENVIRONMENT = "LMPROG_LM"
CACHE = "LMPROG_CACHE"

_default: Routed | None = None


def configure(*, lm: LM | str | None) -> None:
    """Set the LM of calls that no scope gives one: process-wide, for scripts and notebooks."""
    global _default
    _default = None if lm is None else plain(lm)


def default_lm() -> Routed | None:
    """Return what `configure` set, or what the environment variable LMPROG_LM names."""
    spec = os.environ.get(ENVIRONMENT)
    return _default or (_of_environment(spec) if spec else None)


def plain(lm: LM | str) -> Routed:
    """Return an LM with the layers of calls outside runs: retries and, where LMPROG_CACHE names a folder, the cache in it."""

    def layers(client: LM) -> LM:
        log = shared_log()
        retried = Retried(client)
        return retried if log is None else Cached(retried, log)

    return Routed(from_spec(lm), layers)


def client_of(lm: LM) -> LM:
    """Return the LM inside its layers, for a run that puts its own around it."""
    return lm.client if isinstance(lm, Routed) else lm


def shared_log() -> CallLog | None:
    """Return the cache that runs share, kept in the folder that LMPROG_CACHE names; None where it names none."""
    folder = os.environ.get(CACHE)
    return _log_in(folder, os.getpid()) if folder else None


@lru_cache
def _of_environment(spec: str) -> Routed:
    return plain(spec)


@lru_cache
def _log_in(folder: str, _process: int) -> CallLog:
    """One log a folder; a forked process opens its own, since SQLite's connections do not survive a fork."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirError(f"{CACHE}={folder} cannot be made: {error.strerror}. Name another folder.") from None
    return CallLog(Path(folder) / "calls.sqlite")
