"""What an LM is likely to reply to a request, what it will count for it, and how long it will take."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lmprog.formats import read, write_reply
from lmprog.formats.conversation import no_texts
from lmprog.planning.records import Call
from lmprog.request import Message, Request, Response

SPREAD = 1.2
"""Prompts of one kind differ enough in length to tell what a character costs where the longest is so many times the shortest."""
DRAWS = 8
"""How often to draw for a reply of another text."""
LEAST_LUCK, MOST_LUCK = 0.2, 5.0
"""A call takes no less and no more of what it is expected to take: one that a pause of the machine hit is no example."""


class Estimates:
    """What recorded calls tell of further ones; another `salt` is other luck. A kind is an LM and the outputs wanted of it."""

    def __init__(self, calls: Iterable[Call], salt: str = "") -> None:
        self._salt = salt
        self._kinds: dict[str, _Kind] = {}
        self._times: dict[str, _Times] = {}
        for call in calls:
            self.add(call)

    def add(self, call: Call) -> None:
        """Take in one more."""
        self._kinds.setdefault(self.kind(call.lm, call.request), _Kind(self._salt)).add(call)
        self._times.setdefault(call.lm, _Times()).add(call)

    @property
    def timed(self) -> bool:
        """Whether any call was timed."""
        return any(times.calls for times in self._times.values())

    def kind(self, lm: str, request: Request) -> str:
        """Return what stands for the outputs wanted of an LM."""
        return f"{lm}\n{request.schema}\n{request.json_reply}\n{[tool.name for tool in request.tools]}"

    def known(self, kind: str) -> int:
        """Return how many replies of a kind are recorded."""
        found = self._kinds.get(kind)
        return 0 if found is None else len(found.calls)

    def reply(self, lm: str, request: Request, key: str, *, distinct: bool) -> Response:
        """Return a likely reply, always the same one: a recorded one, drawn by the request.

        To the question of a recorded call, or of an earlier request, it is most often the same reply, as often as other
        prompts left the reply as it was. `distinct`: replies of this kind are as seldom equal as they were so far.
        """
        kind = self._kinds.get(self.kind(lm, request))
        return Response("") if kind is None else kind.reply(request, key, distinct=distinct)

    def seconds(self, lm: str, request: Request, reply: Response, key: str, *, beside: float) -> float:
        """Return how long a reply is likely to take, beside so many other calls in flight."""
        times = self._times.get(lm)
        return (
            0.0
            if times is None
            else times.seconds(_length(request), len(reply.text), beside, luck(self._salt, key, "time"))
        )


def luck(*names: str) -> float:
    """Return a number from 0 up to 1 that these names alone decide."""
    return int.from_bytes(hashlib.sha256("\n".join(names).encode(errors="surrogatepass")).digest()[:6], "big") / 2**48


class _Kind:
    """The recorded calls of one kind. The same calls give the same replies, in whatever order they came."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self.calls: list[Call] = []
        self._pools: _Pools | None = None
        self._usable: dict[tuple[str, str], str] = {}

    def add(self, call: Call) -> None:
        self.calls.append(call)
        self._pools = None

    def reply(self, request: Request, key: str, *, distinct: bool) -> Response:
        pools = self._pools = self._pools or _Pools.of(self.calls)
        question = request.messages[-1].text
        known = pools.by_question.get(question, ())
        own = known[0] if known else pools.calls[int(luck(self._salt, question) * len(pools.calls))]
        share = pools.changed if known else 1 - math.sqrt(1 - pools.changed)  # two prompts then differ as often
        changes = request.temperature > 0 or luck(self._salt, key, "changes") < share
        call = self._other(pools, request, key, own, known) if changes else own
        fresh = distinct and luck(self._salt, key, "fresh") < pools.new
        return self._counted(pools, call, request, self._text(request, call, _word(self._salt + key) if fresh else ""))

    def _other(self, pools: "_Pools", request: Request, key: str, own: Call, known: Sequence[Call]) -> Call:
        """Draw another reply: one to the same question, or else to any, from prompts with demos where this has some."""
        alike = pools.by_demos[shows_demos(request)]
        for number, pool in enumerate([known, *[alike or pools.calls] * DRAWS]):
            call = pool[int(luck(self._salt, key, str(number)) * len(pool))] if pool else own
            if call.response.text != own.response.text:
                return call
        return own

    def _text(self, request: Request, call: Call, more: str) -> str:
        """Return a recorded reply in the layout of the request."""
        if more:
            return _in_layout_of(request, call, more)
        place = request.messages[0].text, call.key
        if place not in self._usable:
            self._usable[place] = _in_layout_of(request, call, "")
        return self._usable[place]

    def _counted(self, pools: "_Pools", call: Call, request: Request, text: str) -> Response:
        """Return the reply as the LM would have counted it."""
        said, (start, slope) = call.response, pools.line
        prompt = max(1, round(start + slope * _length(request))) if said.prompt_tokens else 0
        completion = round(said.completion_tokens * (len(text) / len(said.text) if said.text else 1.0))
        before = said.prompt_tokens + said.completion_tokens
        usd = said.usd * (prompt + completion) / before if said.usd and before else said.usd
        return replace(said, text=text, prompt_tokens=prompt, completion_tokens=completion, usd=usd, recorded=False)


@dataclass(frozen=True, slots=True)
class _Pools:
    """Calls of one kind to draw from, in an order that the calls alone decide: those of the prompt used most come first."""

    calls: Sequence[Call]
    by_demos: Mapping[bool, Sequence[Call]]
    """By whether the prompt showed demos."""
    by_question: Mapping[str, Sequence[Call]]
    changed: float
    """How often another prompt gave another reply to a question; 1 where no question was asked again."""
    new: float
    """How many of the replies are different ones."""
    line: tuple[float, float]
    """Tokens of a prompt without characters, and of a character."""

    @staticmethod
    def of(calls: Sequence[Call]) -> "_Pools":
        """Return the pools of one call or more."""
        used = Counter(_prompt(call) for call in calls)
        ordered = sorted(
            calls, key=lambda call: (shows_demos(call.request), -used[_prompt(call)], _prompt(call), call.key)
        )
        by_demos: dict[bool, list[Call]] = {True: [], False: []}
        by_question: dict[str, list[Call]] = {}
        for call in ordered:
            by_demos[shows_demos(call.request)].append(call)
            by_question.setdefault(call.request.messages[-1].text, []).append(call)
        again = len(ordered) - len(by_question)
        changed = sum(
            call.response.text != first.response.text for first, *rest in by_question.values() for call in rest
        )
        texts = {call.response.text for call in ordered}
        return _Pools(
            ordered, by_demos, by_question, changed / again if again else 1.0, len(texts) / len(ordered), _line(ordered)
        )


def _prompt(call: Call) -> str:
    return call.request.messages[0].text


def _line(calls: Sequence[Call]) -> tuple[float, float]:
    lengths = np.array([_length(call.request) for call in calls], dtype=float)
    tokens = np.array([call.response.prompt_tokens for call in calls], dtype=float)
    if lengths.max() > SPREAD * lengths.min():
        slope, start = np.polyfit(lengths, tokens, 1)
        return float(start), float(slope)
    return 0.0, float(tokens.sum() / lengths.sum())


class _Times:
    """How long the calls of one LM took: so much each, and more by the lengths of prompt and reply and by calls beside."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._fit: tuple[NDArray[np.float64], Sequence[float]] | None = None

    def add(self, call: Call) -> None:
        if call.timing is not None:
            self.calls.append(call)
            self._fit = None

    def seconds(self, prompt: int, reply: int, beside: float, lucky: float) -> float:
        if not self.calls:
            return 0.0
        if self._fit is None:
            self._fit = self._fitted()
        weights, ratios = self._fit
        expected = float(np.array([1.0, prompt, reply, beside]) @ weights)
        return expected * ratios[int(lucky * len(ratios))]

    def _fitted(self) -> tuple[NDArray[np.float64], list[float]]:
        calls = sorted(self.calls, key=lambda call: call.key)
        timings = [call.timing for call in calls if call.timing is not None]
        shapes = [
            (1.0, float(_length(call.request)), float(len(call.response.text)), timing.beside)
            for call, timing in zip(calls, timings, strict=True)
        ]
        features, seconds = np.array(shapes), np.array([timing.seconds for timing in timings])
        weights = _least_squares(features, seconds)
        expected = features @ weights
        ratios = np.clip(seconds / np.maximum(expected, 1e-9), LEAST_LUCK, MOST_LUCK)
        return weights, sorted((ratios * (seconds.sum() / max(1e-9, float(expected @ ratios)))).tolist())


def _least_squares(features: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights that fit best, none below 0: what would be is left out, the least of them first."""
    scale = np.maximum(features.max(0), 1e-9)
    kept = list(range(features.shape[1]))
    weights = np.zeros(features.shape[1])
    while kept:
        found = cast("NDArray[np.float64]", np.linalg.lstsq(features[:, kept] / scale[kept], values, rcond=None)[0])
        if float(found.min()) >= 0:
            weights[kept] = found / scale[kept]
            return weights
        del kept[int(found.argmin())]
    weights[0] = values.mean()
    return weights


def shows_demos(request: Request) -> bool:
    """Tell whether there is more in a request than a system message and a question: demos, or a reply refused."""
    return len(request.messages) > 2


def _length(request: Request) -> int:
    return sum([len(message.text) for message in request.messages])


def _word(key: str) -> str:
    return f" ({luck(key, 'word'):.6f})"


def _in_layout_of(request: Request, call: Call, more: str) -> str:
    """Return the text of a recorded reply as the request wants it laid out, with `more` at the end of its first text.

    A reply that has no fields stays as it is.
    """
    text = call.response.text
    if not more and _fields(request, text):
        return text
    found = _fields(call.request, text)
    if not found:
        return text
    others = no_texts(request.schema)
    outputs = {name: _data(value) if name in others else value for name, value in found.items()}
    words = next((name for name in outputs if name not in others), None)
    if words is not None:
        outputs[words] = f"{outputs[words]}{more}"
    return write_reply(outputs.items(), request)


def _fields(request: Request, reply: str) -> dict[str, str]:
    """Return the texts of the fields that a reply holds in the layout of a request."""
    turns = read((request.messages[0], Message("assistant", reply))).turns
    return dict(turns[-1][1]) if turns else {}


def _data(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
