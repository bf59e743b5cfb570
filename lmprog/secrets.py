"""Keys never leave the process but in a request's header: whatever is written or shown goes through `redact`."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import urlsplit

from lmprog.errors import InputError

HIDDEN = "***"
LEAST = 8
"""Shorter values are no keys; to hide them would garble texts."""

_TELLING = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_LEAST_IN_CODE = 16
_WRITTEN_DOWN = re.compile(
    r"""(?P<before>\b(?P<name>\w+)["']?\s*(?::\s*[\w|. ]+=|[=:,])\s*[rbRB]?(?P<quote>["']))"""
    rf"""[^"'\n]{{{LEAST},}}(?P=quote)"""
)
"""NAME = "value", as an assignment, an argument, an entry of a dict, or a name with its default."""
_kept: set[str] = set()
HOSTS_OF_ARTIFACTS: set[str] = set()
HOSTS_OF_THE_USER: set[str] = set()
"""Hosts, by who named them."""


def keep_secret(key: str) -> None:
    """Note a key, so that `redact` hides it wherever it appears."""
    if len(key) >= LEAST:
        _kept.add(key)


def keep_secrets_in(headers: Mapping[str, str]) -> None:
    """Note the keys among a request's headers."""
    for name, value in headers.items():
        if name.lower() == "authorization" or names_a_secret(name.replace("-", "_")):
            keep_secret(value.rpartition(" ")[2])


def named_by_artifact(url: str) -> bool:
    """Note that an artifact names a host; tell whether the user has not."""
    host = _host(url)
    if host not in HOSTS_OF_THE_USER:
        HOSTS_OF_ARTIFACTS.add(host)
    return host in HOSTS_OF_ARTIFACTS


def named_by_user(url: str) -> None:
    """Note that the user names a host, so that keys of the environment may be sent there."""
    if url:
        HOSTS_OF_THE_USER.add(_host(url))
        HOSTS_OF_ARTIFACTS.discard(_host(url))


def may_have_keys(url: str) -> bool:
    """Tell whether a key of the environment may be sent to a host: not where an artifact was the first to name it."""
    return _host(url) not in HOSTS_OF_ARTIFACTS


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL: nothing is sent there
        return url
    return f"{parts.scheme}://{parts.netloc}".lower()


def checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers that can be sent. Of one that cannot, the error shows the name alone: it may hold a key."""
    if not isinstance(cast("object", headers), Mapping):
        raise InputError('`headers` should be texts by name, such as {"Authorization": "Bearer ..."}.')
    for name, value in headers.items():
        if not all(isinstance(cast("object", text), str) and text.isprintable() for text in (name, value)):
            raise InputError(
                f"the header {name!r} is no text of one line. Where its value was read from a file: `.strip()` it."
            )
    return headers


def keep_secrets_of(command: Sequence[str]) -> None:
    """Note the keys among a command's words: `--api-key KEY`, `--api-key=KEY`, `API_KEY=KEY`."""
    for word, following in zip(command, [*command[1:], ""], strict=False):
        name, equals, value = word.lstrip("-").partition("=")
        if names_a_secret(name.replace("-", "_")):
            keep_secret(value if equals else following)


def names_a_secret(name: str) -> bool:
    """Tell whether a variable or attribute of this name holds a key, such as OPENAI_API_KEY or `api_key`."""
    return bool(_TELLING.search(name))


def is_key(name: str, value: object) -> bool:
    """Tell whether what stands under a name in somebody's code is a key, and no key of a dict or token of a text."""
    if not isinstance(value, str) or len(value) < _LEAST_IN_CODE or not names_a_secret(name):
        return False
    return not re.search(r"\s", value) and bool(re.search(r"\d", value) and re.search(r"[a-zA-Z]", value))


def redact_code(text: str) -> str:
    """Return source code, a `repr` or a traceback with known keys hidden, and what is written down under a name that tells."""

    def hide(found: re.Match[str]) -> str:
        return f"{found['before']}{HIDDEN}{found['quote']}" if names_a_secret(found["name"]) else found[0]

    return _WRITTEN_DOWN.sub(hide, redact(text))


def redact(text: str) -> str:
    """Return the text with every known key hidden: those noted, and those in environment variables named like keys."""
    known = {value for name, value in os.environ.items() if len(value) >= LEAST and names_a_secret(name)}
    for key in sorted(known | _kept, key=len, reverse=True):
        if key in text:
            text = text.replace(key, HIDDEN)
    return text
