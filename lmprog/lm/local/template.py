"""From requests to the tokens of a model, through its own chat template, and back to text."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from lmprog.errors import LMError
from lmprog.lm.adapters import Encoded
from lmprog.lm.local.folder import config_of
from lmprog.request import Message, Request

PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}### {{ message.role | capitalize }}:\n{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' }}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant:\n' }}{% endif %}"
)
"""For models that have none: each turn under a heading, an assistant's ended by the end token. A model that was trained on
no conversations has to be shown by demos, or tuned, to end its replies."""
SHARED_AT_LEAST = 32
"""A shorter beginning of a prompt is not worth a place among the prefixes: it is read with the rest."""
BEGINNINGS_KEPT = 256
"""So many beginnings of prompts need no second tokenization."""
CONTEXT = 2048
"""Tokens that a model is taken to read where neither it nor its tokenizer says."""
_NO_LIMIT = 10**9
"""What a tokenizer says that does not know is more than this."""
_MARK = "lmprog"
_CHANGING = ("dynamic", "longrope")
"""Rotary positions that depend on the longest sequence of a batch, once it is longer than the model was trained on."""


class Prompt(NamedTuple):
    """What is read: the part that the prompts of one candidate begin with, which may be empty, and the rest."""

    shared: tuple[int, ...]
    own: tuple[int, ...]

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.shared) + len(self.own)


class Template:
    """A model's tokenizer and chat template. Safe to use from several threads."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._tokenizer: Any = _tokenizer(folder)
        self._template: str | None = None if self._tokenizer.chat_template else PLAIN_TEMPLATE
        config = config_of(folder)
        self.context = _context(config.get("text_config", config), self._tokenizer)
        """The most tokens that a prompt and its reply may have together."""
        self._takes_system = self._shows_system()
        end, ends = self._ends(folder)
        self.end: int = end
        """The token that ends a reply in the conversations that the model was trained on."""
        self.ends: frozenset[int] = ends
        """All tokens at which a reply ends."""
        self._of_beginning = lru_cache(BEGINNINGS_KEPT)(self._beginning)

    def prompt(self, request: Request) -> Prompt:
        """Return the tokens of a request. LMError where the template refuses its turns."""
        tokens = self._of(self._rendered(request.messages, opened=True))
        if not tokens:
            raise LMError(f"the request has no text, and {self._name} cannot reply to none.")
        shared = self._of_beginning(request.messages[:-1])
        if len(shared) < SHARED_AT_LEAST or len(shared) >= len(tokens) or tokens[: len(shared)] != shared:
            return Prompt((), tokens)
        return Prompt(shared, tokens[len(shared) :])

    def completion(self, reply: str) -> tuple[int, ...]:
        """Return the tokens of a reply, with the one that ends it."""
        return (*self._of(reply), self.end)

    def encode(self, request: Request, reply: str) -> Encoded:
        """Return the tokens of a request and of a reply."""
        prompt = self.prompt(request)
        return Encoded(prompt.shared + prompt.own, self.completion(reply))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return cast("str", self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def each(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of each token, that of an end token too."""
        return [cast("str", self._tokenizer.decode([token])) for token in tokens]

    def serialized(self) -> str:
        """Return the tokenizer as JSON text, as `tokenizers` reads it."""
        said = json.loads(self._tokenizer.backend_tokenizer.to_str())
        return json.dumps(said | {"padding": None, "truncation": None})

    def _of(self, text: str) -> tuple[int, ...]:
        """Half a surrogate pair, which no tokenizer takes, is a question mark."""
        whole = text.encode(errors="replace").decode()
        tokens: Any = self._tokenizer(whole, add_special_tokens=False, verbose=False)
        return tuple(tokens["input_ids"])

    def _beginning(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Return the tokens of turns that others follow; none where the template wants more turns than these."""
        try:
            return self._of(self._rendered(messages, opened=False)) if messages else ()
        except LMError:
            return ()

    def _rendered(self, messages: Sequence[Message], *, opened: bool) -> str:
        """Return a conversation as text, the assistant's turn begun where it is `opened`."""
        turns = [{"role": message.role, "content": message.text} for message in messages]
        return self._applied(turns if self._takes_system else _merged(turns), opened=opened)

    def _applied(self, turns: list[dict[str, str]], *, opened: bool) -> str:
        try:
            return cast(
                "str",
                self._tokenizer.apply_chat_template(
                    turns, chat_template=self._template, tokenize=False, add_generation_prompt=opened
                ),
            )
        except (TemplateError, ValueError, TypeError, IndexError) as error:
            roles = ", ".join(turn["role"] for turn in turns) or "none"
            raise LMError(f"the chat template of {self._name} does not take turns of {roles}: {error}") from None

    def _shows_system(self) -> bool:
        turns = [{"role": "system", "content": _MARK}, {"role": "user", "content": "?"}]
        try:
            return _MARK in self._applied(turns, opened=True)
        except LMError:
            return False

    def _ends(self, folder: Path) -> tuple[int, frozenset[int]]:
        """Return the token that ends a reply in the template, and all that the model's settings name."""
        own: int | None = self._tokenizer.eos_token_id
        known = {token for token in (own, *_ends_in(folder)) if token is not None}
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
        _, _, after = self._applied(turns, opened=False).rpartition(_MARK)
        special: set[int] = set(self._tokenizer.all_special_ids) | self._tokenizer.added_tokens_decoder.keys()
        first = next((token for token in self._of(after) if token in special), None)
        end = next((token for token in (first, own, *sorted(known)) if token is not None), None)
        if end is None:
            raise LMError(
                f"neither the chat template nor the settings of {self._name} name a token that ends a reply. Set "
                "`tokenizer.eos_token`, and save the tokenizer again."
            )
        return end, frozenset(known | {end})


def _tokenizer(folder: Path) -> Any:
    try:
        tokenizer = cast("object", AutoTokenizer.from_pretrained(folder))  # pyright: ignore[reportUnknownMemberType]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise LMError(
            f"the tokenizer in {folder} cannot be read: {error}. Save it there with `tokenizer.save_pretrained(folder)`."
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or len(tokenizer) == 0:
        raise LMError(
            f"the folder {folder} has no tokenizer.json, or one that is empty. Save the tokenizer there with "
            "`tokenizer.save_pretrained(folder)`."
        )
    return tokenizer


def _context(config: dict[str, Any], tokenizer: Any) -> int:
    rope: dict[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    known = [config.get("max_position_embeddings"), config.get("n_positions"), config.get("n_ctx")]
    if rope.get("rope_type", rope.get("type")) in _CHANGING:
        known.insert(0, rope.get("original_max_position_embeddings", config.get("original_max_position_embeddings")))
    limit = tokenizer.model_max_length
    known.append(limit if limit < _NO_LIMIT else None)
    return int(next((length for length in known if length), CONTEXT))


def _merged(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the turns with the system's text put before the first of a user."""
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    others = [turn for turn in turns if turn["role"] != "system"]
    if not system:
        return others
    first = next((number for number, turn in enumerate(others) if turn["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *others]
    text = f"{system}\n\n{others[first]['content']}"
    return [*others[:first], {"role": "user", "content": text}, *others[first + 1 :]]


def _ends_in(folder: Path) -> set[int | None]:
    """Return the tokens that generation_config.json or config.json names."""
    try:
        said = cast("object", GenerationConfig.from_pretrained(folder).eos_token_id)  # pyright: ignore
    except OSError:
        said = config_of(folder).get("eos_token_id")
    return set(cast("list[int]", said)) if isinstance(said, list) else {cast("int | None", said)}
