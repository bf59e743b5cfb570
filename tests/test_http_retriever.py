"""A search endpoint is asked as DSPy asks ColBERT's, by many threads, patiently, and each query once."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import lmprog as lp
from lmprog.errors import AuthError, InputError, LMError, ScopeError, UnavailableError
from lmprog.identity import identity_of
from lmprog.retrieval import Retriever
from lmprog.retrieval.http import Held, HTTPRetriever
from lmprog.secrets import redact
from lmprog.testing import Asked, ScriptedLM

Reply = tuple[int, Mapping[str, str], bytes]
NOWHERE = "http://127.0.0.1:9/api/search"


def found(*texts: str) -> bytes:
    topk = [{"text": text, "pid": place, "rank": place + 1, "score": 1.0} for place, text in enumerate(texts)]
    return json.dumps({"topk": topk, "latency": 1.0}).encode()


@dataclass
class Endpoint:
    """A search server, and what came to it."""

    url: str = ""
    asked: list[dict[str, list[str]]] = field(default_factory=list[dict[str, list[str]]])
    headers: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    scenes: deque[Reply] = field(default_factory=deque[Reply])
    """What the next requests get; then each gets its query back, with numbers, as often as it wants passages."""
    answer: Callable[[str, int], bytes] = lambda query, k: found(*(f"{query} | {n}" for n in range(k)))

    @property
    def queries(self) -> list[str]:
        return [fields["query"][0] for fields in self.asked]


@contextmanager
def serving() -> Generator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fields = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
            endpoint.asked.append(fields)
            endpoint.headers.append(dict(self.headers))
            scene = endpoint.scenes.popleft() if endpoint.scenes else None
            status, headers, body = scene or (200, {}, endpoint.answer(fields["query"][0], int(fields["k"][0])))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}/api/search"
        yield endpoint
        server.shutdown()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as endpoint:
        yield endpoint


def test_a_query_and_a_number_go_to_the_url_and_the_texts_come_back(endpoint: Endpoint) -> None:
    endpoint.scenes.append((200, {}, found("Oslo | a city", "Ada | a person")))

    assert HTTPRetriever(endpoint.url, k=2)("Ada of Oslo") == ["Oslo | a city", "Ada | a person"]
    assert endpoint.asked == [{"query": ["Ada of Oslo"], "k": ["2"]}]


def test_three_passages_come_unless_another_number_is_said_here_or_there(endpoint: Endpoint) -> None:
    search = HTTPRetriever(endpoint.url)

    assert search("Ada") == ["Ada | 0", "Ada | 1", "Ada | 2"]
    assert search("Ada", k=1) == ["Ada | 0"]
    assert HTTPRetriever(endpoint.url, k=2)("Ada") == ["Ada | 0", "Ada | 1"]


def test_a_server_that_sends_more_passages_than_asked_for_is_cut_short(endpoint: Endpoint) -> None:
    endpoint.scenes.append((200, {}, found("a", "b", "c", "d")))

    assert HTTPRetriever(endpoint.url, k=2)("Ada") == ["a", "b"]


def test_a_server_may_find_fewer_or_none(endpoint: Endpoint) -> None:
    endpoint.scenes.extend([(200, {}, found("a")), (200, {}, found())])
    search = HTTPRetriever(endpoint.url)

    assert [search("one"), search("none")] == [["a"], []]


@pytest.mark.parametrize("query", ["a+b & c=d; #50% of é?", "x\ny\t\"'", "数字 🙂", "%20+%2B"])
def test_a_query_arrives_as_it_is(endpoint: Endpoint, query: str) -> None:
    HTTPRetriever(endpoint.url)(query)

    assert endpoint.queries == [query]


def test_what_no_text_can_hold_arrives_as_a_question_mark(endpoint: Endpoint) -> None:
    HTTPRetriever(endpoint.url)("half of a pair \ud83d")

    assert endpoint.queries == ["half of a pair ?"]


def test_settings_in_the_url_stay(endpoint: Endpoint) -> None:
    HTTPRetriever(f"{endpoint.url}?index=wiki17")("Ada")

    assert endpoint.asked == [{"index": ["wiki17"], "query": ["Ada"], "k": ["3"]}]


def test_a_blank_query_finds_nothing_and_is_not_sent(endpoint: Endpoint) -> None:
    assert HTTPRetriever(endpoint.url)(" \n") == []
    assert endpoint.asked == []


def test_it_is_a_retriever(endpoint: Endpoint) -> None:
    search: Retriever = HTTPRetriever(endpoint.url, k=1)

    assert search("Ada") == ["Ada | 0"]


def test_headers_go_with_each_request_and_a_key_in_them_is_hidden(endpoint: Endpoint) -> None:
    HTTPRetriever(endpoint.url, headers={"Authorization": "Bearer planted-key-0123"})("Ada")

    assert endpoint.headers[0]["Authorization"] == "Bearer planted-key-0123"
    assert redact("it was planted-key-0123") == "it was ***"


def test_a_query_is_sent_once_however_often_it_is_asked(endpoint: Endpoint) -> None:
    search = HTTPRetriever(endpoint.url, k=1)
    first = search("Ada")
    first.append("changed by who got it")

    assert [search("Ada"), search("Bob"), search("Ada")] == [["Ada | 0"], ["Bob | 0"], ["Ada | 0"]]
    assert endpoint.queries == ["Ada", "Bob"]


def test_threads_that_ask_the_same_share_one_request(endpoint: Endpoint) -> None:
    search = HTTPRetriever(endpoint.url, k=1)
    echo = endpoint.answer

    def slowly(query: str, k: int) -> bytes:
        time.sleep(0.1)
        return echo(query, k)

    endpoint.answer = slowly
    with ThreadPoolExecutor(32) as threads:
        results = list(threads.map(search, ["Ada", "Bob"] * 100))

    assert results == [["Ada | 0"], ["Bob | 0"]] * 100
    assert sorted(endpoint.queries) == ["Ada", "Bob"]


def test_a_batch_comes_in_order_with_sixteen_queries_in_flight(endpoint: Endpoint) -> None:
    together, inside, most = threading.Barrier(16, timeout=20), list[str](), list[int]()
    echo = endpoint.answer

    def when_all_are_here(query: str, k: int) -> bytes:
        inside.append(query)
        together.wait()
        most.append(len(inside))
        together.wait()
        inside.remove(query)
        return echo(query, k)

    endpoint.answer = when_all_are_here
    queries = [f"q{number}" for number in range(32)]

    results = HTTPRetriever(endpoint.url, k=1, outage_s=0).batch([*queries, "q0"])

    assert results == [[f"{query} | 0"] for query in [*queries, "q0"]]
    assert most == [16] * 32


def test_what_was_asked_for_the_longest_time_ago_is_forgotten_first() -> None:
    held = Held(most=2)
    for name in ("a", "b"):
        held.put((name, 1), (name,))

    assert held.get(("a", 1)) == ("a",)
    held.put(("c", 1), ("c",))

    assert [held.get((name, 1)) for name in ("a", "b", "c")] == [("a",), None, ("c",)]


def test_async_code_awaits_it(endpoint: Endpoint) -> None:
    search = HTTPRetriever(endpoint.url, k=1)

    class Looking(lp.Module):
        async def aforward(self, question: str) -> list[str]:
            return await search.acall(question)

    class Blocking(lp.Module):
        async def aforward(self, question: str) -> list[str]:
            return search(question)

    assert Looking()(question="Ada") == ["Ada | 0"]
    assert asyncio.run(search.acall("Bob")) == ["Bob | 0"]
    with pytest.raises(ScopeError, match=r"Write `await retriever.acall\(query\)`"):
        Blocking()(question="Cleo")


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_fails_for_a_while_is_asked_again(endpoint: Endpoint, status: int) -> None:
    endpoint.scenes.append((status, {}, b"overloaded"))

    assert HTTPRetriever(endpoint.url, k=1)("Ada") == ["Ada | 0"]
    assert endpoint.queries == ["Ada", "Ada"]


def test_a_server_that_asks_to_wait_is_waited_for(endpoint: Endpoint) -> None:
    endpoint.scenes.append((503, {"Retry-After": "1"}, b""))
    begun = time.monotonic()

    HTTPRetriever(endpoint.url)("Ada")

    assert time.monotonic() - begun >= 1


def test_a_server_that_has_never_answered_is_not_waited_for_as_long_as_one_that_has(endpoint: Endpoint) -> None:
    later: Reply = 503, {"Retry-After": "60"}, b""
    search = HTTPRetriever(endpoint.url)

    endpoint.scenes.append(later)
    with pytest.raises(UnavailableError, match="in 1 attempts, and asks to wait 60 s"):
        search("Ada")

    assert search("Ada")
    endpoint.scenes.append(later)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(search.acall("Bob"), 0.5))


def test_a_failure_that_is_told_with_status_200_is_one(endpoint: Endpoint) -> None:
    endpoint.scenes.append((200, {}, b'{"error": true, "message": "the index is loading"}'))

    assert HTTPRetriever(endpoint.url, k=1)("Ada") == ["Ada | 0"]

    endpoint.scenes.append((200, {}, b'{"error": true, "message": "the index is loading"}'))
    with pytest.raises(UnavailableError, match="answered with the error the index is loading"):
        HTTPRetriever(endpoint.url, outage_s=0)("Ada")


def test_a_server_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(
        UnavailableError, match=rf"{NOWHERE} has not answered for 0 s in 1 attempts.*Connection refused"
    ):
        HTTPRetriever(NOWHERE, outage_s=0)("Ada")


def test_patience_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMPROG_OUTAGE_S", "0")

    with pytest.raises(UnavailableError, match="in 1 attempts"):
        HTTPRetriever(NOWHERE)("Ada")


def test_a_server_that_does_not_answer_in_time_is_unavailable(endpoint: Endpoint) -> None:
    def late(query: str, k: int) -> bytes:
        time.sleep(0.5)
        return found()

    endpoint.answer = late

    with pytest.raises(UnavailableError, match=r"gave no answer within 0.1 s"):
        HTTPRetriever(endpoint.url, timeout_s=0.1, outage_s=0)("Ada")


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (404, b"Not Found", LMError, r"answered 404: Not Found. Give the URL that is searched, such as http://"),
        (301, b"", LMError, r"answered 301: moved to http://elsewhere; redirects are not followed"),
        (401, b'{"error": "who are you?"}', AuthError, r'answered 401: who are you\?. .*headers={"Authorization"'),
        (400, b"query too long", InputError, "answered 400: query too long. It was asked for 'secret row'."),
        (200, b"<html>It works!</html>", LMError, r'should answer {"topk": .*, and answered <html>It works!</html>'),
        (200, b'{"results": []}', LMError, r"and answered {\"results\": \[\]}. Give the URL that is searched"),
        (200, b'{"topk": ["a"]}', LMError, "should answer"),
        (200, b'{"topk": [{"text": 7}]}', LMError, "should answer"),
        (200, b'{"topk": null}', LMError, "should answer"),
        (200, b"[]", LMError, "should answer"),
    ],
    ids=str,
)  # fmt: skip
def test_where_another_attempt_would_not_help_the_error_comes_at_once_and_says_why(
    endpoint: Endpoint, status: int, body: bytes, error: type[LMError], says: str
) -> None:
    endpoint.scenes.append((status, {"Location": "http://elsewhere"}, body))

    with pytest.raises(error, match=says) as raised:
        HTTPRetriever(endpoint.url)("secret row")

    assert type(raised.value) is error
    assert str(raised.value).startswith(endpoint.url)
    assert len(endpoint.asked) == 1
    assert "secret row" not in (raised.value.unshown or str(raised.value))


def test_an_error_shows_neither_the_query_nor_what_else_the_url_says(endpoint: Endpoint) -> None:
    with pytest.raises(UnavailableError) as raised:
        HTTPRetriever(f"{NOWHERE}?token=planted", outage_s=0)("secret row")

    assert "secret" not in str(raised.value) and "planted" not in str(raised.value)


class Look(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    answer: str = lp.OutputField()


class Looker(lp.Module):
    def __init__(self, retriever: Retriever) -> None:
        self.retriever, self.look = retriever, lp.Predict(Look)

    def forward(self, question: str) -> Look:
        return self.look(question=question, passages=self.retriever(question))


def first_passage(asked: Asked) -> dict[str, str]:
    return {"answer": json.loads(asked.inputs["passages"])[0]}


ROWS = [{"question": f"q{number}", "answer": f"q{number} | 0"} for number in range(8)]


def score(search: Retriever) -> lp.Evaluation:
    return lp.evaluate(Looker(search), ROWS, lp.metrics.exact_match("answer"), lm=ScriptedLM(first_passage))


def test_rows_are_run_at_once_over_an_endpoint(endpoint: Endpoint) -> None:
    assert score(HTTPRetriever(endpoint.url)).score == 1


def test_a_lost_server_ends_an_evaluation_and_scores_no_row() -> None:
    with pytest.raises(UnavailableError, match=NOWHERE):
        score(HTTPRetriever(NOWHERE, outage_s=0))


def test_a_query_that_the_server_refuses_costs_its_row_alone(endpoint: Endpoint) -> None:
    endpoint.scenes.append((400, {}, b"no such query"))

    evaluation = score(HTTPRetriever(endpoint.url))

    assert sorted(evaluation.scores) == [0.0] + [1.0] * 7
    assert "answered 400: no such query" in str(evaluation.failures[0].failure)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:8893/api/search", "'localhost:8893/api/search' is no URL that can be searched. Give one such as http://"),
        ("ftp://host/x", "is no URL"),
        ("http://", "is no URL"),
        ("http://host:0/x", "is no URL"),
        ("http://host:port/x", "is no URL"),
        ("http://host/a b", "is no URL"),
        ("http://host/x#y", "is no URL"),
        ("http://me:planted@host/x", r"holds a user name or a password.*headers={"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_asked_is_refused_at_once(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as raised:
        HTTPRetriever(url)

    assert "planted" not in str(raised.value)


def test_asking_for_no_passages_is_refused() -> None:
    with pytest.raises(InputError, match="k=0"):
        HTTPRetriever(NOWHERE, k=0)
    with pytest.raises(InputError, match="k=0"):
        HTTPRetriever(NOWHERE)("Ada", k=0)
    with pytest.raises(InputError, match="with the one text Ada"):
        HTTPRetriever(NOWHERE).batch("Ada")


def test_a_key_in_the_query_of_the_url_is_hidden_wherever_it_appears() -> None:
    HTTPRetriever(f"{NOWHERE}?size=3&api_key=hidden-in-query-1234")

    assert redact("asked http://host?api_key=hidden-in-query-1234&k=3") == "asked http://host?api_key=***&k=3"


def test_a_header_that_cannot_be_sent_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match=r"the header 'X-Key' is no text of one line") as raised:
        HTTPRetriever(NOWHERE, headers={"X-Key": "hidden-key-1234\n"})

    assert "hidden" not in str(raised.value)


def test_a_program_with_another_url_or_number_is_another_program() -> None:
    same = identity_of(HTTPRetriever(NOWHERE, k=2))

    assert identity_of(HTTPRetriever(NOWHERE, k=2)) == same
    assert same not in {identity_of(HTTPRetriever(url, k)) for url, k in ((NOWHERE, 3), (f"{NOWHERE}?index=b", 2))}
