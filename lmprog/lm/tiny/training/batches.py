"""The stream of examples and the batches made of it: functions of the seed and of the examples' numbers alone.

This module does not import torch, so that the processes which draw examples start fast and stay small.
"""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from os import environ
from pathlib import Path
from random import Random
from signal import SIG_IGN, SIGINT, signal

import numpy as np
import numpy.typing as npt

from lmprog.lm.tiny.curriculum.example import Example
from lmprog.lm.tiny.training.tokenizer import PAD, Encoded, Encoder

Draw = Callable[[Random], Example]

CHUNK = 128
"""So many examples are drawn and tokenized at once."""
STEP = 8
"""Widths of buckets are multiples of this: matrix kernels like them."""
GROWTH = 1.1
"""How much wider each bucket is than the one before: about 4 tokens in 100 are padding."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Examples of about one length, and the tokens to predict in them."""

    tokens: npt.NDArray[np.int64]
    """(rows, width), padded on the right."""
    places: npt.NDArray[np.int64]
    """Where in the flattened `tokens` the token stands whose next one is predicted."""
    targets: npt.NDArray[np.int64]
    """The token to predict, for each place."""
    weights: npt.NDArray[np.float32]
    """Its weight in the loss, for each place."""
    rows: npt.NDArray[np.int64]
    """The row, for each place."""
    given: npt.NDArray[np.bool_]
    """Whether the token is one of what is given, for each place: see `with_repeats`."""
    families: Sequence[str]
    """The family of each row."""
    tasks: Sequence[str]
    """The task of each row."""
    useful: int
    """Tokens that are no padding."""
    drawn: int
    """How many examples had been drawn from the stream when the batch was full."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stream of examples: each is drawn by the seed and its number."""

    draw: Draw
    seed: int
    folder: Path
    """Where the tokenizer is."""
    start: int = 0
    """The number of the first example."""

    def example(self, number: int) -> Example:
        """Return one example of the stream."""
        return self.named(str(number))

    def named(self, name: str) -> Example:
        """Return an example that a name stands for; one beside the stream unless the name is a number."""
        return self.draw(Random(f"{self.seed}/{name}"))

    def chunk(self, encoder: Encoder, number: int) -> Encoded:
        """Return CHUNK examples as tokens."""
        first = self.start + number * CHUNK
        return encoder.encode([self.example(first + each) for each in range(CHUNK)])


@contextmanager
def chunks(source: Source, workers: int) -> Generator[Iterator[Encoded]]:
    """Give the endless stream, drawn by so many processes; by this one if 0. It is the same stream for any number."""
    if not workers:
        encoder = Encoder(source.folder)
        yield (source.chunk(encoder, number) for number in count())
        return
    context = get_context("spawn")  # a fork of a process that has run torch may hang
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [
        context.Process(target=_work, args=(source, writer, place, workers), daemon=True)
        for place, (_, writer) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, writer in pipes:
        writer.close()
    try:
        yield (pipes[number % workers][0].recv() for number in count())
    finally:
        for process in processes:
            process.terminate()
            process.join()


def widths(longest: int) -> list[int]:
    """Return the widths of the buckets, up to `longest`."""
    found = [4 * STEP]
    while found[-1] < longest:
        found.append(max(found[-1] + STEP, round(found[-1] * GROWTH / STEP) * STEP))
    return [width for width in found if width < longest] + [longest]


def with_repeats(encoded: Encoded, weight: float) -> npt.NDArray[np.float32]:
    """Return the weights of an example's tokens, with one for given tokens that come as they did before.

    Of a given text most cannot be foreseen. But where a pair of tokens stands for the second time in an example, its second
    token can be told from the first time: to copy names is what is learned last, and answers alone show it seldom.
    """
    weights = encoded.weights.copy()
    example = np.repeat(np.arange(len(encoded.lengths)), encoded.lengths)
    seconds = 1 + np.flatnonzero(example[1:] == example[:-1])
    tokens = encoded.tokens.astype(np.int64)
    pairs = (example[seconds] << 32) | (tokens[seconds - 1] << 16) | tokens[seconds]
    again = np.zeros(len(tokens), np.bool_)
    again[seconds] = True
    again[seconds[np.unique(pairs, return_index=True)[1]]] = False
    weights[again & (weights == 0)] = weight
    return weights


def batches(
    stream: Iterable[Encoded], longest: int, batch_tokens: int, drawn: int = 0, repeats: float = 0.0
) -> Generator[Batch]:
    """Return a batch whenever a bucket is full. Left out: examples longer than `longest`, or without weight.

    `repeats` is the weight of given tokens that come as they did before.
    """
    buckets = widths(longest)
    waiting: list[list[_Row]] = [[] for _ in buckets]
    for encoded in stream:
        weights = with_repeats(encoded, repeats) if repeats else encoded.weights
        given = (encoded.weights == 0) & (weights > 0)
        ends = np.cumsum(encoded.lengths)
        for place, (start, end) in enumerate(zip((ends - encoded.lengths).tolist(), ends.tolist(), strict=True)):
            drawn += 1
            if end - start - 1 > longest or not encoded.weights[start:end].any():
                continue
            bucket = bisect_left(buckets, end - start - 1)
            some = slice(start, end)
            waiting[bucket].append(
                _Row(
                    encoded.tokens[some].copy(),  # a view keeps all
                    weights[some].copy(),
                    given[some].copy(),
                    encoded.families[place],
                    encoded.tasks[place],
                )
            )
            if len(waiting[bucket]) >= max(1, batch_tokens // buckets[bucket]):
                yield _batch(waiting[bucket], buckets[bucket], drawn)
                waiting[bucket] = []


def padded(encoded: Encoded, longest: int, batch_tokens: int) -> Iterator[Batch]:
    """Return all examples of up to `longest` tokens in batches, the shortest first."""
    ends = np.cumsum(encoded.lengths)
    rows: list[_Row] = []
    for place in sorted(range(len(encoded.lengths)), key=encoded.lengths.tolist().__getitem__):
        if encoded.lengths[place] - 1 > longest:
            break
        some = slice(ends[place] - encoded.lengths[place], ends[place])
        weights = encoded.weights[some]
        given = np.zeros(len(weights), np.bool_)
        row = _Row(encoded.tokens[some], weights, given, encoded.families[place], encoded.tasks[place])
        if rows and (len(rows) + 1) * (len(row.tokens) - 1) > batch_tokens:
            yield _batch(rows, len(rows[-1].tokens) - 1, 0)
            rows = []
        rows.append(row)
    if rows:
        yield _batch(rows, len(rows[-1].tokens) - 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    tokens: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.float32]
    given: npt.NDArray[np.bool_]
    family: str
    task: str


def _batch(rows: Sequence[_Row], width: int, drawn: int) -> Batch:
    tokens = np.full((len(rows), width), PAD, np.int64)
    targets = np.full((len(rows), width), PAD, np.int64)
    weights = np.zeros((len(rows), width), np.float32)
    given = np.zeros((len(rows), width), np.bool_)
    for place, row in enumerate(rows):
        length = len(row.tokens) - 1
        tokens[place, :length] = row.tokens[:-1]
        targets[place, :length] = row.tokens[1:]
        weights[place, :length] = row.weights[1:]
        given[place, :length] = row.given[1:]
    places = np.flatnonzero(weights)
    return Batch(
        tokens=tokens,
        places=places,
        targets=targets.ravel()[places],
        weights=weights.ravel()[places],
        rows=places // width,
        given=given.ravel()[places],
        families=[row.family for row in rows],
        tasks=[row.task for row in rows],
        useful=sum(len(row.tokens) - 1 for row in rows),
        drawn=drawn,
    )


def _work(source: Source, pipe: "Connection[Encoded, None]", place: int, workers: int) -> None:
    """Draw every `workers`-th chunk for the process at the other end; a full pipe makes it wait."""
    signal(SIGINT, SIG_IGN)  # Ctrl-C reaches all processes; the trainer ends this one
    environ["TOKENIZERS_PARALLELISM"] = "false"  # one processor each
    encoder = Encoder(source.folder)
    with suppress(BrokenPipeError):  # the trainer is gone
        for number in count(place, workers):
            pipe.send(source.chunk(encoder, number))
