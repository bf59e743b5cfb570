"""What a provider says when it does not answer, and the error that it makes."""

import json
import logging
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, cast

from lmprog.errors import AuthError, CapabilityError, ContextError, LMError, LmprogError, UnavailableError
from lmprog.lm.wire import LIMITS, SEED, TEMPERATURE, Answer, shown
from lmprog.request import Request, Response, read_json

Kind = Literal["later", "key", "context", "filtered", "credit", "missing", "other"]

_SHOWN_AT_MOST = 500

_log = logging.getLogger("lmprog.lm")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no reply, in whichever form the server wrote it."""

    status: int
    message: str
    """In one line, without keys."""
    code: str = ""
    """OpenAI's `code` and `type`."""
    param: str = ""
    retry_after_s: float | None = None
    final: bool = False
    """Whether the provider says that another attempt is of no use."""

    @property
    def kind(self) -> Kind:
        """What is wrong. Only `later` is worth another attempt."""
        said, status = f"{self.code} {self.message}", self.status
        if status == 413 or (status in _TOO_LONG_STATUS and _TOO_LONG.search(said)) or _TOO_LARGE.search(said):
            return "context"
        if status in _FILTERED_STATUS and _FILTERED.search(said):
            return "filtered"
        if status == 402 or (status in _CREDIT_STATUS and _CREDIT.search(said)):
            return "credit"
        if status in (401, 403):
            return "key"
        if status in (404, 405):
            return "missing"
        passing = status in (408, 409, 425, 429) or status >= 500
        return "later" if passing and not self.final else "other"

    def meaning(self, lm_name: str, request: Request, hint: str) -> Response | LmprogError:
        """Return the error to raise. `hint` says what to do about a wrong key, model or URL.

        A refusal because of the content is about one request: it is a reply, which holds no outputs.
        """
        said = f"{lm_name} answered {self.status}: {self.message or 'nothing'}".rstrip(".") + "."
        if request.tools and _TOOLS.search(self.message):
            return CapabilityError(
                f'{said} So it lacks the capability "tools". Tools are told in the prompt of an LM that is made without it: '
                'lp.OpenAI(..., capabilities=frozenset({"generate", "sample"})).'
            )
        match self.kind:
            case "later":
                return UnavailableError(said, retry_after_s=self.retry_after_s, refused=self.status == 429)
            case "context":
                return ContextError(f"{said} Use fewer demos, shorter inputs or a lower `max_tokens`.")
            case "filtered":
                return Response(self.message, finish_reason="other", usd=None)
            case "key":
                return AuthError(f"{said} {hint}")
            case "missing":
                return LMError(f"{said} {hint}")
            case "credit":
                return LMError(f"{said} No further attempt helps until that is settled with the provider.")
            case "other":
                return LMError(said)

    def lesson(self, body: Set[str]) -> str | None:
        """Return the setting that this server does not take at all, of those in a request's body.

        "response_format" stands for the schema in it: a server that has the setting may still refuse one schema.
        """
        if self.status not in (400, 404, 422, 500, 501) or self.kind == "context":
            return None
        if _UNKNOWN.search(self.message) or "unsupported" in self.code:
            for name in (*LIMITS, TEMPERATURE, SEED):
                if name in body and (self.param == name or re.search(rf"\b{name}\b", self.message)):
                    return name
        if "response_format" in body and (self.param.startswith("response_format") or _SCHEMA.search(self.message)):
            return "response_format"
        return None


_TOO_LONG_STATUS = {400, 422, 500}
_TOO_LONG = re.compile(
    r"context.?(length|window|size|limit)|context .{0,12}overflow|(maximum|max) (input|prompt|model) length"
    r"|(prompt|input) (is |was )?too long|input token count|too many (input )?tokens|string_above_max_length|`inputs` tokens",
    re.IGNORECASE,
)
"""The wordings of OpenAI, vLLM, llama.cpp, Ollama, LM Studio, TGI, Gemini, Anthropic, Mistral, xAI and Bedrock."""
_TOO_LARGE = re.compile(r"request too large for", re.IGNORECASE)
"""OpenAI and Groq, with status 429 or 413, of a request that no waiting makes fit the limit of tokens a minute."""
_FILTERED_STATUS = {400, 403, 422}
_FILTERED = re.compile(r"content.?(filter|policy|management)|\bflagged\b|moderation|safety system", re.IGNORECASE)
_CREDIT_STATUS = {400, 403, 429}
_CREDIT = re.compile(
    r"insufficient.?(quota|balance|credit|funds)|billing|credit balance|exceeded your current quota", re.I
)
_TOOLS = re.compile(
    r"\b(tools?|functions?)\b.*(support|requires? --)|(support|requires? --).*\b(tools?|functions?)\b", re.I
)
_UNKNOWN = re.compile(
    r"unsupported|not support|only the default|unrecognized|unrecognised|unknown|not permitted|not allowed|unexpected"
    r"|extra (inputs|fields|parameters)|deprecated|not a valid (parameter|field)",
    re.IGNORECASE,
)
_SCHEMA = re.compile(r"response_format|response format|json_schema|json schema|structured output|grammar|guided", re.I)
_PAGE_READ = 10_000
"""Characters of an error page in which its title is looked for."""
_TITLE = re.compile(r"<(?:title|h1)[^>]*>(.*?)</", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Lessons:
    """What a server turned out not to take: settings by name, and schemas."""

    def __init__(self, lm_name: str) -> None:
        self._lm_name = lm_name
        self.refused: set[str] = set()

    def learn(self, refusal: Refusal, request: Request, sent: Set[str]) -> bool:
        """Note what a refusal teaches, and tell whether the request is to be sent again without it.

        `sent` are the settings in the request's body. Several calls in flight may learn the same; it is said once.
        """
        lesson = refusal.lesson(sent)
        if lesson is None:
            return False
        refused = (request.schema or "") if lesson == "response_format" else lesson
        if refused not in self.refused:
            self.refused.add(refused)
            what = "this schema as response_format" if lesson == "response_format" else lesson
            _log.warning("%s does not take %s (%s): sent without from now on", self._lm_name, what, refusal.message)
        return True


def read_refusal(answer: Answer) -> Refusal:
    """Read what a server said. OpenAI, vLLM, Ollama, FastAPI and Gemini each wrap it differently."""
    text = answer.body.decode(errors="replace")
    try:
        data = read_json(text)
    except ValueError:
        page = text[:_PAGE_READ]
        title = _TITLE.search(page)
        found: dict[str, Any] = {"message": title[1] if title else _TAG.sub(" ", page)}
    else:
        found = _said(data)
    if 300 <= answer.status < 400:
        found = {"message": f"moved to {answer.headers.get('location', 'another URL')}; redirects are not followed"}
    return Refusal(
        status=answer.status,
        message=shown(_text(found.get("message")), _SHOWN_AT_MOST),
        code=" ".join(_text(found[name]) for name in ("code", "type", "status") if found.get(name) not in (None, "")),
        param=_text(found.get("param")),
        retry_after_s=retry_after_s(answer.headers),
        final=answer.headers.get("x-should-retry", "").strip().lower() == "false",  # as OpenAI's client heeds it
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long the provider asks to wait, in whichever form it says so; None where it does not, or not clearly."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name)
        if said is None:
            continue
        try:
            return max(0.0, float(said) * unit_s)
        except ValueError:
            pass
        try:
            at = parsedate_to_datetime(said)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return max(0.0, (at - datetime.now(UTC)).total_seconds())
        except (ValueError, OverflowError):
            continue
    return None


def _said(data: object) -> dict[str, Any]:
    """Return the object that holds the message."""
    while isinstance(data, list) and data and isinstance(cast("list[object]", data)[0], dict):
        data = cast("list[object]", data)[0]
    if not isinstance(data, dict):
        return {"message": data}
    fields = cast("dict[str, Any]", data)
    inner = fields.get("error", fields.get("detail", fields.get("message")))
    if isinstance(inner, dict):
        return {**fields, **cast("dict[str, Any]", inner)}
    return {**fields, "message": inner if inner is not None else fields}


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
