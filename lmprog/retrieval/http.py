"""Search by a server: endpoints in the way of ColBERT's."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit
from weakref import WeakValueDictionary

from lmprog import loop
from lmprog.errors import AuthError, InputError, LMError, LmprogError, UnavailableError
from lmprog.lm.refusals import Refusal, read_refusal
from lmprog.lm.retry import FIRST_OUTAGE_S, Patience
from lmprog.lm.wire import Answer, shown
from lmprog.module import is_whole
from lmprog.request import read_json
from lmprog.secrets import checked_headers, keep_secrets_in, keep_secrets_of

TIMEOUT_S = 10.0
AT_ONCE = 16
"""Queries in flight."""
HELD_AT_MOST = 10_000
"""Queries whose passages are held in memory; of three passages of 100 words each, some 20 MB."""

_Asked = tuple[str, int]
_EXAMPLE = "http://localhost:8893/api/search"


class HTTPRetriever:
    """Look up the `k` best passages at a URL, by the protocol of DSPy's ColBERTv2 servers.

    `GET URL?query=...&k=...` is answered by `{"topk": [{"text": ...}, ...]}`, best first. What else the answer holds is not
    read, and more than `k` are cut off. A blank query finds nothing, and is not sent.

    The passages of the last 10,000 queries are held in memory while the process runs, since a compile asks the same ones
    again and again. They are no part of a run's record: a run that goes on after a kill asks the server once more, and rests
    on its finding the same.

    Many threads may search at once; 16 queries are in flight at a time, equal ones once. In async code that lmprog runs write
    `await retriever.acall(query)`. A server that fails or cannot be reached is asked again, for up to `outage_s` seconds:
    600, or what LMPROG_OUTAGE_S says; 15 at most where it has not answered yet. Then UnavailableError ends the run as it does
    for an LM, with all that was recorded kept; AuthError and LMError do so at once, where another attempt would not help. A
    query that the server refuses is an InputError, the fault of one row.
    """

    def __init__(
        self,
        url: str,
        k: int = 3,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        outage_s: float | None = None,
    ) -> None:
        """`headers` go with each request, such as a key; `timeout_s` is for each attempt."""
        self._name, self.url, self.k = _checked_url(url), url, _checked_k(k)
        self._headers = {"Accept": "application/json", "User-Agent": "lmprog", **checked_headers(headers or {})}
        keep_secrets_in(self._headers)
        keep_secrets_of(urlsplit(url).query.split("&"))
        self._timeout_s, self._patience = timeout_s, Patience(self._name, outage_s=outage_s, first_s=FIRST_OUTAGE_S)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns = WeakValueDictionary[_Asked, asyncio.Lock]()
        """Of the queries under way: who asks the same waits."""
        self._held = Held()

    @property
    def identity(self) -> str:
        """What is searched, and how many passages a query gets: a run on others is another run."""
        return f"{self._name}, k={self.k} {hashlib.sha256(self.url.encode()).hexdigest()[:16]}"

    def __call__(self, query: str, /, *, k: int | None = None) -> list[str]:
        """Return at most `k` passages, best first; as many as the retriever was made for where that is None."""
        asked = self._asked(query, k)
        found = self._held.get(asked)
        if found is None:
            found = loop.run_here(self._found(asked), instead="await retriever.acall(query)")
        return list(found)

    async def acall(self, query: str, /, *, k: int | None = None) -> list[str]:
        """Return what a call returns, in async code."""
        return list(await loop.hop(self._found(self._asked(query, k))))

    def batch(self, queries: Iterable[str], *, k: int | None = None) -> list[list[str]]:
        """Return the passages for each query, as so many calls would, with several under way at a time."""
        if isinstance(queries, str):
            raise InputError(f"a batch of queries was asked for with the one text {shown(queries)}. Write [...].")
        all_asked = [self._asked(query, k) for query in queries]
        all_found = loop.gather(map(self._found, all_asked), at_once=AT_ONCE)
        return [list(found) for found in loop.run(all_found, instead="await retriever.acall(query)")]

    def _users_parts(self) -> dict[str, object]:
        return {"identity": self.identity}

    def _asked(self, query: str, k: int | None) -> _Asked:
        if not isinstance(cast("object", query), str):
            raise InputError(f"a retriever was asked for {shown(repr(query))}. Give the query as a text.")
        return query, self.k if k is None else _checked_k(k)

    async def _found(self, asked: _Asked) -> tuple[str, ...]:
        """Called on lmprog's own event loop."""
        if not asked[0].strip():
            return ()
        async with self._turns.setdefault(asked, asyncio.Lock()):
            found = self._held.get(asked)
            if found is None:
                found = await self._patience(lambda: self._ask(*asked))
                self._held.put(asked, found)
            return found

    async def _ask(self, query: str, k: int) -> tuple[str, ...]:
        from lmprog.lm.http import send  # loads aiohttp, which takes longer than all the rest of lmprog

        fields = urlencode({"query": query, "k": k}, quote_via=quote, errors="replace")
        async with self._slots:
            url = f"{self.url}{'&' if urlsplit(self.url).query else '?'}{fields}"
            answer = await send("GET", url, self._headers, timeout_s=self._timeout_s)
        if answer.status != 200:
            raise self._meaning(read_refusal(answer), query)
        return self._texts(answer)[:k]

    def _texts(self, answer: Answer) -> tuple[str, ...]:
        try:
            data: object = read_json(answer.body)
        except ValueError:
            data = None
        fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        if fields.get("error"):
            raise UnavailableError(
                f"{self._name} answered with the error {shown(str(fields.get('message', fields['error'])))}"
            )
        topk: object = fields.get("topk")
        texts = [_text_of(passage) for passage in cast("list[object]", topk)] if isinstance(topk, list) else [None]
        if None in texts:
            raise LMError(
                f'{self._name} should answer {{"topk": [{{"text": ...}}, ...]}}, and answered '
                f"{shown(answer.body.decode(errors='replace'))}. Give the URL that is searched, such as {_EXAMPLE}."
            )
        return tuple(text for text in texts if text is not None)

    def _meaning(self, refusal: Refusal, query: str) -> LmprogError:
        said = f"{self._name} answered {refusal.status}: {refusal.message or 'nothing'}".rstrip(".") + "."
        if refusal.kind == "later":
            return UnavailableError(said, retry_after_s=refusal.retry_after_s)
        if refusal.kind == "key":
            return AuthError(
                f'{said} Give the key that it wants: HTTPRetriever(url, headers={{"Authorization": ...}}).'
            )
        if refusal.status < 400 or refusal.kind in ("missing", "credit"):
            return LMError(f"{said} Give the URL that is searched, such as {_EXAMPLE}.")
        return InputError(f"{said} It was asked for {shown(query)!r}.", unshown=said)


class Held:
    """The passages of the latest queries; threads may share it."""

    def __init__(self, most: int = HELD_AT_MOST) -> None:
        self._most, self._lock = most, Lock()
        self._passages = OrderedDict[_Asked, tuple[str, ...]]()

    def get(self, asked: _Asked) -> tuple[str, ...] | None:
        """Return what was found for a query, if it is held."""
        with self._lock:
            if asked in self._passages:
                self._passages.move_to_end(asked)
            return self._passages.get(asked)

    def put(self, asked: _Asked, passages: tuple[str, ...]) -> None:
        """Hold what was found for a query, in the place of what was not asked for the longest."""
        with self._lock:
            self._passages[asked] = passages
            while len(self._passages) > self._most:
                self._passages.popitem(last=False)


def _text_of(passage: object) -> str | None:
    text = cast("dict[str, Any]", passage).get("text") if isinstance(passage, dict) else None
    return text if isinstance(text, str) else None


def _checked_url(url: str) -> str:
    """Return a URL as errors show it: without its query, which may hold a key."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        parts, usable = urlsplit(""), False
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "the URL of a retriever holds a user name or a password, which would stand in logs. Give "
            f'HTTPRetriever("{_EXAMPLE}", headers={{"Authorization": ...}}).'
        )
    if not usable or not url.isprintable() or " " in url:
        raise InputError(f"{url!r} is no URL that can be searched. Give one such as {_EXAMPLE}.")
    return url.partition("?")[0]


def _checked_k(k: int) -> int:
    if not is_whole(k, 1):
        raise InputError(f"a retriever was asked for k={k!r} passages a query. Give at least 1.")
    return k
