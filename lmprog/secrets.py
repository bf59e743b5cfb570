"""Keys never leave the process but in a request's header: whatever is written or shown goes through `redact`."""

import os
import re

HIDDEN = "***"
LEAST = 8
"""Shorter values are no keys; to hide them would garble texts."""

_TELLING = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_kept: set[str] = set()


def keep_secret(key: str) -> None:
    """Note a key, so that `redact` hides it wherever it appears."""
    if len(key) >= LEAST:
        _kept.add(key)


def names_a_secret(name: str) -> bool:
    """Tell whether a variable or attribute of this name holds a key, such as OPENAI_API_KEY or `api_key`."""
    return bool(_TELLING.search(name))


def redact(text: str) -> str:
    """Return the text with every known key hidden: those noted, and those in environment variables named like keys."""
    known = {value for name, value in os.environ.items() if len(value) >= LEAST and names_a_secret(name)}
    for key in sorted(known | _kept, key=len, reverse=True):
        if key in text:
            text = text.replace(key, HIDDEN)
    return text
