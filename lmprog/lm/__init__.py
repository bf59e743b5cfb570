"""Language models: the one in force where no scope names one, and the layers around each."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from lmprog.errors import InputError, RunDirError
from lmprog.lm.cache import Cached, CallLog
from lmprog.lm.compose import Routed
from lmprog.lm.ledger import Price
from lmprog.lm.retry import FIRST_OUTAGE_S, Heard, Patience, Retried
from lmprog.lm.specs import from_spec
from lmprog.request import LM, Checked, read_json

ENVIRONMENT = "LMPROG_LM"
CACHE = "LMPROG_CACHE"
PRICES = "LMPROG_PRICES"


class _As(Enum):
    BEFORE = "as before"


_default: Routed | None = None
_prices: dict[str, Price] = {}
_heard: dict[str, Heard] = {}
"""By an LM's name, whether it has answered a call outside runs: it does not come anew with each scope."""


def configure(
    *,
    lm: LM | str | Literal[_As.BEFORE] | None = _As.BEFORE,
    prices: Mapping[str, Price] | Literal[_As.BEFORE] | None = _As.BEFORE,
) -> None:
    """Set what calls and runs go by where nothing nearer says so: process-wide, for scripts and notebooks.

    `lm` answers calls that no scope gives an LM. `prices` are USD per million prompt and completion tokens, by LM:
    `lp.configure(prices={"openai/gpt-4o-mini": (0.15, 0.60)})`; a cap in USD needs them where an LM does not tell what a
    call cost. A third number, as in `(0.15, 0.60, 3.0)`, is USD per million tokens that the host trains on. Calls of a tuned
    model count at these prices too: where they cost more than the model's own, give the higher. They go before those in the JSON file that LMPROG_PRICES names. What is left out stays; None takes it back.
    """
    global _default, _prices
    if prices is not _As.BEFORE:
        _prices = _checked_prices(prices or {}, "prices")
    if lm is not _As.BEFORE:
        _default = None if lm is None else plain(lm)


def prices() -> dict[str, Price]:
    """Return the price of each LM that has one: as `configure` set it, or as the file has it that LMPROG_PRICES names."""
    path = os.environ.get(PRICES)
    if not path:
        return dict(_prices)
    try:
        said = read_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{PRICES}={path} cannot be read as JSON: {error}. Write a file such as {_PRICES_WRITTEN}."
        ) from None
    return {**_checked_prices(said, f"{PRICES}={path}"), **_prices}


def default_lm() -> Routed | None:
    """Return what `configure` set, or what the environment variable LMPROG_LM names."""
    spec = os.environ.get(ENVIRONMENT)
    return _default or (_of_environment(spec) if spec else None)


def plain(lm: LM | str, *, read: Callable[[Any], LM] = from_spec) -> Routed:
    """Return an LM with the layers of calls outside runs: retries and, where LMPROG_CACHE names a folder, the cache in it.

    While it has never answered, a call waits for it for FIRST_OUTAGE_S at most. An LM that has layers is returned as it is.
    `read` makes an LM of a spec.
    """

    def layers(client: LM) -> LM:
        log = shared_log()
        heard = _heard.setdefault(client.name, Heard())
        retried = Retried(Checked(client), Patience(client.name, first_s=FIRST_OUTAGE_S, heard=heard))
        return retried if log is None else Cached(retried, log)

    return lm if isinstance(lm, Routed) else Routed(read(lm), layers)


def client_of(lm: LM) -> LM:
    """Return the LM inside its layers, for a run that puts its own around it."""
    return lm.client if isinstance(lm, Routed) else lm


def shared_log() -> CallLog | None:
    """Return the cache that runs share, kept in the folder that LMPROG_CACHE names; None where it names none."""
    folder = os.environ.get(CACHE)
    return _log_in(folder, os.getpid()) if folder else None


_PRICES_WRITTEN = '{"openai/gpt-4o-mini": [0.15, 0.60]}'


def _checked_prices(said: object, where: str) -> dict[str, Price]:
    if not isinstance(said, Mapping):
        raise InputError(f"{where} holds {said!r}: write USD per million tokens by LM, such as {_PRICES_WRITTEN}.")
    found: dict[str, Price] = {}
    for name, price in cast("Mapping[object, object]", said).items():
        each = list(cast("Sequence[object]", price)) if isinstance(price, list | tuple) else []
        if not isinstance(name, str) or len(each) not in (2, 3) or not all(map(_is_price, each)):
            raise InputError(
                f"{where}: the price of {name!r} is {price!r}. Write two numbers, USD per million prompt tokens and per "
                f"million completion tokens, such as {_PRICES_WRITTEN}; a third is USD per million trained tokens."
            )
        found[name] = cast("Price", tuple(each))
    return found


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


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
