"""HTTP to providers: one pool of connections for the process, on lmprog's event loop."""

import asyncio
import atexit
import os
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import truststore

from lmprog import loop
from lmprog.errors import LMError, UnavailableError
from lmprog.lm.wire import Answer
from lmprog.secrets import keep_secret, redact

CONNECT_S = 30.0
"""How long a connection may take to be made, within the time for the whole call."""
KEPT_S = 4.0
"""How long a connection is kept when idle: less than the 5 s after which uvicorn, and so vLLM, closes it."""
MOST_BYTES = 64 * 2**20
"""So much of an answer is read at most, unpacked."""
LARGE = 2**20
"""Bytes above which aiohttp wants a body as a file."""
CLOSING_S = 5.0

_REFUSED_BY_PROXY = {401, 403, 407}


async def upload(
    url: str, headers: Mapping[str, str], fields: Mapping[str, str], name: str, content: bytes, *, timeout_s: float
) -> Answer:
    """Send a file as a form with further fields; as `send`."""
    form = aiohttp.FormData(fields)
    form.add_field("file", BytesIO(content), filename=name, content_type="application/octet-stream")
    own = {
        name: value for name, value in headers.items() if name.lower() != "content-type"
    }  # the form has one of its own
    return await send("POST", url, own, form, timeout_s=timeout_s)


async def send(
    method: Literal["GET", "POST"],
    url: str,
    headers: Mapping[str, str],
    body: bytes | aiohttp.FormData = b"",
    *,
    timeout_s: float,
) -> Answer:
    """Send one request and return the answer; `timeout_s` is for all of it. Called on lmprog's event loop only.

    UnavailableError where no whole answer came; LMError where none can come: a certificate that is not trusted, say.
    A call that is cancelled closes its connection. Redirects are answers: a key must not follow them. Errors leave the
    URL's query out, which may hold a key, or what stands in a row.
    """
    named = url.partition("?")[0]
    await asyncio.sleep(0)  # while nobody ran the loop, a server may have hung up: let the pool hear of it
    try:
        async with _opened().request(
            method,
            url,
            data=BytesIO(body) if isinstance(body, bytes) and len(body) > LARGE else body,
            headers=headers,
            proxy=_proxy_of(named, int(time.monotonic())),
            timeout=_timeout(timeout_s),
            allow_redirects=False,
        ) as response:
            return Answer(response.status, response.headers, await _body(response, named))
    except aiohttp.ConnectionTimeoutError:
        said = f"{named} could not be connected to within {min(CONNECT_S, timeout_s):g} s"
        raise UnavailableError(said, refused=True) from None
    except TimeoutError:
        raise UnavailableError(f"{named} gave no answer within {timeout_s:g} s") from None
    except aiohttp.ClientPayloadError:
        raise UnavailableError(f"the answer of {named} broke off") from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise LMError(
            f"the TLS certificate of {urlsplit(url).netloc} is not trusted: {_cause(error, url)}. Where the server's certificate "
            "is of an authority of your own, name the file of its certificate in SSL_CERT_FILE."
        ) from None
    except aiohttp.ClientHttpProxyError as error:
        refused = LMError if error.status in _REFUSED_BY_PROXY else UnavailableError
        raise refused(f"the proxy on the way to {named} answered {error.status} {redact(error.message)}.") from None
    except (aiohttp.InvalidURL, UnicodeError) as error:  # a host that no name can be
        raise LMError(f"{named} is no URL that can be asked: {_said(error).replace(url, named)}.") from None
    except (aiohttp.ClientError, OSError) as error:
        unsent = isinstance(error, aiohttp.ClientConnectorError)
        raise UnavailableError(f"{named} cannot be reached: {_cause(error, url)}", refused=unsent) from None


async def _body(response: aiohttp.ClientResponse, named: str) -> bytes:
    """Return a body, unpacked. LMError where it is larger than any reply: some hundred kilobytes may unpack to gigabytes."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MOST_BYTES:
            raise LMError(f"the answer of {named} is larger than {MOST_BYTES // 2**20} MiB, and was read no further.")
        parts.append(part)
    return b"".join(parts)


class _Connector(aiohttp.TCPConnector):
    """A forked child drops its parent's connections without touching them: they are still in use there."""

    def __del__(self, _warnings: object = None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Pool:
    session: aiohttp.ClientSession
    connector: _Connector


_pool: _Pool | None = None
_of_parents: list[_Pool] = []


def _opened() -> aiohttp.ClientSession:
    global _pool
    if _pool is None or _pool.session.closed:
        connector = _Connector(
            limit=0, keepalive_timeout=KEPT_S, ssl=_trust()
        )  # no limit: slots are the layers' business
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        _pool = _Pool(session, connector)
    return _pool.session


def _trust() -> ssl.SSLContext:
    """Trust what the environment names, as OpenSSL reads it, else what the operating system trusts."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context()
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@lru_cache
def _timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)


@lru_cache
def _proxy_of(url: str, _second: int) -> str | None:
    """Return the proxy that the environment, or on macOS and Windows the system, names for a URL.

    It is looked up once a second. aiohttp's `trust_env` looks it up for each call, which costs more than the call.
    """
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    try:
        found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError as error:
        raise LMError(
            f"the proxy that the environment names for {url} is no URL: {error}. Mend {parts.scheme.upper()}_PROXY."
        ) from None
    if found.password:
        keep_secret(found.password)
    if found.scheme not in ("http", "https"):
        raise LMError(
            f"the environment names a {found.scheme} proxy for {url}, and lmprog speaks to http proxies only. Name one in "
            f"{parts.scheme.upper()}_PROXY, or leave this host out: NO_PROXY={parts.hostname}."
        )
    return found.geturl()


def _cause(error: aiohttp.ClientError | OSError, url: str) -> str:
    """Return what went wrong, without aiohttp's words about its connection."""
    where = ""
    if isinstance(error, aiohttp.ClientConnectorError):
        of_proxy = isinstance(error, aiohttp.ClientProxyConnectionError) or error.host != urlsplit(url).hostname
        where = f"the proxy {error.host}:{error.port}: " if of_proxy else ""
    match error:
        case aiohttp.ClientConnectorCertificateError(
            certificate_error=ssl.SSLCertVerificationError(verify_message=str(said))
        ):
            return redact(said)
        case aiohttp.ClientConnectorError(os_error=ssl.SSLError(reason=str(reason))):
            return f"{where}the TLS handshake failed, {reason.lower().replace('_', ' ')}"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))) if number > 0:
            return where + os.strerror(number)
        case aiohttp.ClientConnectorError(os_error=cause):
            return where + redact(cause.strerror or str(cause))
        case _:
            return _said(error)


def _said(error: BaseException) -> str:
    return redact(str(error)) or type(error).__name__


@atexit.register
def _close() -> None:
    """Close the connections at exit, so that servers see them end and Python warns of nothing."""
    if _pool is not None:
        loop.finish(_pool.session.close(), CLOSING_S)


def _leave_to_parent() -> None:
    global _pool
    if _pool is not None:
        _pool.session.detach()
        _of_parents.append(_pool)
        _pool = None


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_leave_to_parent)
