"""The client of the providers that litellm speaks to, with the protocols of their own: Anthropic, Gemini, Bedrock, ..."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic_core import from_json

from lmprog import loop
from lmprog.errors import CapabilityError, LMError
from lmprog.lm import wire
from lmprog.lm.refusals import Lessons, Refusal, retry_after_s
from lmprog.request import Capability, Request, Response
from lmprog.secrets import keep_secret, names_a_secret

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing litellm asks GitHub for prices

try:
    import litellm
except ImportError as error:
    raise LMError(f"this LM needs litellm ({error}). Write `pip install 'lmprog[litellm]'`.") from None

CAPABILITIES: frozenset[Capability] = frozenset({"generate", "sample", "constrained", "tools"})
TIMEOUT_S = 600.0

_client = cast("Any", litellm)  # its functions are typed in part
_client.telemetry = False
_client.suppress_debug_info = True  # else it prints advice beside each error
for _name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # what it logs as errors, it raises too, and with keys in it


class LiteLLM:
    """A model of any provider that litellm knows: `LiteLLM("anthropic/claude-sonnet-4-5")`; keys from the environment.

    `settings` are further arguments of `litellm.acompletion`, such as `api_key`, `api_base` or `reasoning_effort`. They
    go into the LM's name as a fingerprint, keys apart. As in `OpenAI`, a call is one request, or one more for each
    setting that the model turns out not to take; litellm's own retries, caches and callbacks are left off. `usd` is
    litellm's figure, where it has one for the model.
    """

    def __init__(
        self,
        model: str,
        *,
        timeout_s: float = TIMEOUT_S,
        capabilities: frozenset[Capability] = CAPABILITIES,
        **settings: object,
    ) -> None:
        for name, value in settings.items():
            if names_a_secret(name) and isinstance(value, str):
                keep_secret(value)
        telling = {name: value for name, value in settings.items() if not names_a_secret(name)}
        self.name = wire.with_fingerprint(f"litellm/{model}", telling)
        self.capabilities = capabilities
        self._model, self._timeout_s, self._settings = model, timeout_s, settings
        self._lessons = Lessons(self.name)
        try:
            _client.get_llm_provider(model, api_base=settings.get("api_base"))
        except Exception as error:  # noqa: BLE001  litellm has no base class of its errors
            raise LMError(
                f"litellm knows no provider for {model!r}: {wire.shown(str(error))}. Write PROVIDER/MODEL, such as "
                '"litellm/anthropic/claude-sonnet-4-5".'
            ) from None

    def __repr__(self) -> str:
        return f"LiteLLM({self._model!r})"

    async def __call__(self, request: Request, /) -> Response:
        """Answer one request. CapabilityError where it needs what this LM does not do."""
        if request.weights is not None:
            raise CapabilityError(f"{self.name} takes no adapters: it cannot answer under {request.weights!r}.")
        if request.tools and "tools" not in self.capabilities:
            raise CapabilityError(f'{self.name} was made without the capability "tools", and the request has some.')
        return await loop.hop(self._answer(request))

    async def _answer(self, request: Request) -> Response:
        while True:
            body = wire.body_of(request, self._model, without=self._lessons.refused)
            arguments = from_json(wire.encoded(body))  # a copy: litellm changes what it is given
            try:
                completion = await _client.acompletion(
                    **{"timeout": self._timeout_s, "num_retries": 0, "max_retries": 0, **arguments, **self._settings}
                )
            except Exception as error:  # noqa: BLE001  litellm has no base class of its errors
                refusal = _refusal_of(error)
            else:
                reply = wire.response_of(completion.model_dump_json(warnings=False).encode())
                return replace(reply, usd=self._usd(completion))
            if not self._lessons.learn(refusal, request, body.keys() - self._settings.keys()):
                meaning = refusal.meaning(self.name, request, self._hint(refusal))
                if isinstance(meaning, Response):
                    return meaning
                raise meaning

    def _usd(self, completion: object) -> float | None:
        try:
            return float(_client.completion_cost(completion, model=self._model))
        except Exception:  # noqa: BLE001  it raises a plain Exception where it has no price
            return None

    def _hint(self, refusal: Refusal) -> str:
        if refusal.kind == "key":
            missing = _client.validate_environment(self._model)["missing_keys"]
            return f"Set {' and '.join(missing)}." if missing else "The key that was sent is refused."
        return f"Check the model {self._model!r}." if refusal.kind == "missing" else ""


def _refusal_of(error: Exception) -> Refusal:
    """Read an error of litellm. Its type says what litellm has found out, its text what the provider said."""
    told = cast("Any", error)
    response = getattr(told, "response", None)
    headers: Mapping[str, str] = (
        getattr(told, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    )
    status, says = getattr(told, "status_code", None), str(error)
    if not isinstance(status, int) or "No module named" in says:
        status = 0  # nothing that another attempt would change
    elif _NO_KEY.search(says):
        status = 401
    return Refusal(status, wire.shown(says, 500), code=type(error).__name__, retry_after_s=retry_after_s(headers))


_NO_KEY = re.compile(
    r"missing credentials|missing .{0,40}api.?key|api_key (client option )?must be set|no api.?key", re.I
)
"""litellm calls these, too, failures of the server."""
