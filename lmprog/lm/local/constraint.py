"""JSON of a schema and nothing else: what a model may write next (llguidance)."""

import json
import logging
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

from lmprog.errors import LMError

SPACE = r"(\n {0,8}| )?"
"""Between the parts of an object, a line break with an indent or one space: a model that may write more writes them, and
each is a token of its `max_tokens`."""
GRAMMARS_KEPT = 64
_log = logging.getLogger("lmprog.lm.local")


class Constraint:
    """How far one reply has come."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allowed(self, count: int) -> npt.NDArray[np.bool_]:
        """Return which of `count` tokens may come next."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        allowed = np.zeros(count, np.bool_)
        allowed[: len(bits)] = bits[:count]
        if not allowed.any():
            raise LMError(f"the schema of the reply has grown too large to follow: {self._matcher.get_error()}")
        return allowed

    def took(self, token: int) -> None:
        """Go on from a token that was written."""
        self._matcher.consume_token(token)


class Constraints:
    """The schemas of one model's replies."""

    def __init__(self, tokenizer: str, vocabulary: int, ends: frozenset[int]) -> None:
        self._tokenizer = LLTokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(ends))
        self._first = lru_cache(GRAMMARS_KEPT)(self._matcher)

    def of(self, schema: str) -> Constraint:
        """Return the constraint of a new reply.

        Where llguidance does not know all that the schema says, the reply is of the rest of it, which is logged. LMError
        where it can make nothing of it.
        """
        return Constraint(self._first(schema).deep_copy())

    def _matcher(self, schema: str) -> LLMatcher:
        for lenient in (False, True):
            settings = {"whitespace_pattern": SPACE, "lenient": lenient}
            grammar = LLMatcher.grammar_from_json_schema(closed(schema), overrides=settings)  # type: ignore[arg-type]
            refused, words = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
            if not refused:
                if words:
                    _log.warning(
                        "a reply is JSON of its schema but for this, which cannot be made sure of: %s", words[0]
                    )
                return LLMatcher(self._tokenizer, grammar)
        raise LMError(
            f"replies cannot be made sure to be of the schema {schema}: {words[0]}. Give the fields plainer types, or the predictor "
            'the format "chat".'
        )


def closed(schema: str) -> str:
    """Return a schema whose objects have the members that it names and no others, unless it says what others there may be.

    A model that may add members that nobody reads writes them until it is cut off.
    """
    return json.dumps(_closed(json.loads(schema)), ensure_ascii=False)


def _closed(part: object) -> object:
    if isinstance(part, list):
        return [_closed(item) for item in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    said = cast("dict[str, object]", part)
    made = {name: value if name in _DATA else _closed(value) for name, value in said.items()}
    if said.get("type") == "object" and "properties" in said:
        made.setdefault("additionalProperties", False)
    return made


_DATA = {"enum", "const", "default", "examples"}
"""Keywords of JSON schema whose values are no schemas."""
