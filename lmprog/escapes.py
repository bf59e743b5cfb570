"""Text of others, made safe to show on a terminal."""

import re

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, direction overrides and lone surrogates: a terminal obeys them, or cannot show them."""


def escaped(text: str) -> str:
    r"""Return the text with what a terminal would not show as it is written as in Python: `\x1b` for an escape."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
