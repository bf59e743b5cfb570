"""A training run: the loop, its schedule, its log and its checkpoints, all in one folder of weights."""

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from lmprog.lm.tiny.curriculum.example import Example
from lmprog.lm.tiny.model import Shape
from lmprog.lm.tiny.training.batches import Batch, Draw, Source, batches, chunks, padded
from lmprog.lm.tiny.training.export import copy_tokenizer, read_sizes, read_weights, save_weights, write_settings
from lmprog.lm.tiny.training.network import Network, beginning, pick_dtype
from lmprog.lm.tiny.training.optimizer import Optimizer
from lmprog.lm.tiny.training.tokenizer import Encoder, cut_by, learn_tokenizer, text_of

LOG_FILE = "log.jsonl"
STATE_FILE = "training.json"

WARM_UP_STEPS = 60
CONSTANT = 0.35
"""The part of the budget after which the learning rate falls, evenly, to 0."""
TOKENIZER_EXAMPLES = 20_000
"""From so many examples the tokenizer is learned."""
FAMILIES_AT_MOST = 256
GIVEN = "given"
"""In the log beside the families: the loss on given tokens that come as they did before. It is in no other figure."""
EMBEDDINGS = "embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been done, over all runs; training.json."""

    examples: int = 0
    """Examples drawn from the stream: the next run begins with the one of this number."""
    tokens: int = 0
    """Tokens trained on, padding not counted."""
    steps: int = 0
    minutes: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. The run ends after `minutes`, or after `tokens`."""

    minutes: float | None = None
    tokens: int | None = None
    seed: int = 1
    length: int = 1536
    """Examples of more tokens are left out."""
    batch_tokens: int = 6144
    """About so many tokens make one step, padding counted."""
    rate: float = 1.0
    """The highest learning rate, as a share of the usual one."""
    repeats: float = 0.1
    """Weight in the loss of given tokens that come as they did before, next to 1 for what is to be written."""
    workers: int = 0
    """Processes that draw examples; 0: this one does."""
    compiled: bool = True
    log_every: int = 50
    """Steps between two lines of the log."""
    save_every_minutes: float = 3.0
    check_every_minutes: float | None = None
    """Minutes between two checks; there is one at the end, too, if there is anything to check."""


class Diverged(RuntimeError):
    """The loss is no number any more; the last checkpoint is from before."""


def begin(folder: Path, sizes: Shape, draw: Draw, seed: int) -> None:
    """Write a tokenizer and random weights, to be trained."""
    sizes = replace(sizes, vocabulary=_tokenizer(folder, sizes.vocabulary, draw, seed))
    write_settings(sizes, folder)
    save_weights(beginning(sizes, seed), folder)
    _write_state(Progress(), folder)


def go_on_from(source: Path, folder: Path, length: int) -> None:
    """Copy weights, to be trained further, on texts of up to `length` tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes, weights, state = read_sizes(source), read_weights(source), read_state(source)
    copy_tokenizer(source, folder)
    write_settings(replace(sizes, context=max(sizes.context, length)), folder)
    _write_state(state, folder)
    save_weights(weights, folder)


def move_to_new_tokens(source: Path, folder: Path, length: int, vocabulary: int, draw: Draw, seed: int) -> None:
    """Copy weights as `go_on_from` does, with a tokenizer learned anew: one made for other texts cuts these up.

    A new token begins as the mean of the old tokens of its text.
    """
    sizes, weights = read_sizes(source), read_weights(source)
    vocabulary = _tokenizer(folder, vocabulary, draw, seed)
    before = weights[EMBEDDINGS]
    weights[EMBEDDINGS] = torch.stack([before[tokens].mean(0) for tokens in cut_by(source, folder)])
    write_settings(replace(sizes, context=max(sizes.context, length), vocabulary=vocabulary), folder)
    _write_state(read_state(source), folder)
    save_weights(weights, folder)


def _tokenizer(folder: Path, vocabulary: int, draw: Draw, seed: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    stream = Source(draw, seed, folder)
    texts = (text_of(stream.named(f"tokenizer/{number}")) for number in range(TOKENIZER_EXAMPLES))
    return learn_tokenizer(texts, vocabulary, folder)


def read_state(folder: Path) -> Progress:
    """Return how far the weights in a folder have come; from the start where nothing says so."""
    path = folder / STATE_FILE
    return TypeAdapter(Progress).validate_json(path.read_text()) if path.exists() else Progress()


def train(folder: Path, draw: Draw, plan: Plan, device: torch.device, checks: Sequence[Example] = ()) -> Progress:
    """Train the weights in a folder, which stays loadable all the while. SIGTERM or Ctrl-C saves and ends."""
    run = _Run(folder, plan, device, checks)
    before = run.progress
    source = Source(draw, plan.seed, folder, before.examples)
    with _stopping() as stopping, chunks(source, plan.workers) as stream:
        for batch in batches(stream, plan.length, plan.batch_tokens, before.examples, plan.repeats):
            if stopping.is_set() or run.done() >= 1:
                break
            run.step(batch)
    run.finish()
    return run.progress


class _Run:
    """The state of a run."""

    def __init__(self, folder: Path, plan: Plan, device: torch.device, checks: Sequence[Example]) -> None:
        self._started = time.monotonic()
        self._folder, self._plan, self._device = folder, plan, device
        self._before = self.progress = read_state(folder)
        sizes = read_sizes(folder)
        self._network = Network(sizes, device, pick_dtype(device))
        self._optimizer = Optimizer(self._network, read_weights(folder))
        self._forward = self._network.compiled() if plan.compiled else self._network.forward
        self._rate = 0.0
        self._tally = _Tally(device, self.progress.tokens)
        self._saved = self._checked = self._started
        self._checks = list(padded(Encoder(folder).encode(checks), plan.length, plan.batch_tokens)) if checks else []

    def done(self) -> float:
        """Return which part of the budget is spent, 1 or more at the end."""
        if self._plan.tokens is not None:
            return (self.progress.tokens - self._before.tokens) / self._plan.tokens
        assert self._plan.minutes is not None, "a plan needs minutes or tokens"
        return (time.monotonic() - self._started) / 60 / self._plan.minutes

    def step(self, batch: Batch) -> None:
        """Train on a batch; log, save and check where it is time."""
        self._rate = self._share()
        tokens, places, targets = (_on(self._device, x) for x in (batch.tokens, batch.places, batch.targets))
        weights = _on(self._device, batch.weights)
        logits = self._forward(tokens, places)
        losses = F.cross_entropy(logits, targets, reduction="none") * weights
        torch.autograd.backward(losses.sum() / weights.sum())
        self._optimizer.step(self._rate)
        self._tally.add(batch, losses.detach(), weights)
        self.progress = Progress(
            examples=batch.drawn,
            tokens=self.progress.tokens + batch.useful,
            steps=self.progress.steps + 1,
            minutes=self._before.minutes + self._minutes(),
        )
        self._after()

    def finish(self) -> None:
        """Save, and check."""
        self._save()
        self._check()

    def _after(self) -> None:
        now = time.monotonic()
        if self._tally.steps >= self._plan.log_every:
            self._log(self._tally.take(self.progress, self._rate))
        if now - self._saved >= 60 * self._plan.save_every_minutes:
            self._save()
        every = self._plan.check_every_minutes
        if every is not None and now - self._checked >= 60 * every:
            self._check()

    def _share(self) -> float:
        """Return the learning rate as a share of the usual one."""
        steps, done = self.progress.steps - self._before.steps, self.done()
        falling = 1.0 if done < CONSTANT else max(0.0, (1 - done) / (1 - CONSTANT))
        return self._plan.rate * min(1.0, (steps + 1) / WARM_UP_STEPS) * falling

    def _minutes(self) -> float:
        return (time.monotonic() - self._started) / 60

    def _save(self) -> None:
        if self._tally.steps:  # Diverged rather than a checkpoint of no numbers
            self._log(self._tally.take(self.progress, self._rate))
        _write_state(self.progress, self._folder)  # first: a kill in between leaves examples out, and repeats none
        save_weights(self._optimizer.weights(), self._folder)
        self._saved = time.monotonic()

    @torch.no_grad()
    def _check(self) -> None:
        """Log which part of the checked examples would be answered right, greedily, by family and by task.

        An answer is right if each of its tokens is the likeliest after those before.
        """
        if not self._checks:
            return
        by_family, by_task = defaultdict[str, list[bool]](list), defaultdict[str, list[bool]](list)
        for batch in self._checks:
            logits = self._network(_on(self._device, batch.tokens), _on(self._device, batch.places))
            wrong = set(batch.rows[logits.argmax(-1).cpu().numpy() != batch.targets].tolist())
            for row, (family, task) in enumerate(zip(batch.families, batch.tasks, strict=True)):
                by_family[family].append(row not in wrong)
                by_task[task].append(row not in wrong)
        shares = _means(by_family)
        mean = round(sum(shares.values()) / len(shares), 3)
        done: dict[str, object] = {"step": self.progress.steps, "tokens": self.progress.tokens}
        self._log(done | {"right": mean, "right_by_family": shares}, {"right_by_task": _means(by_task)})
        self._checked = time.monotonic()

    def _log(self, record: Mapping[str, object], unsaid: Mapping[str, object] | None = None) -> None:
        """Write a line to the log and say it, but for what is too long to be said."""
        with (self._folder / LOG_FILE).open("a") as log:
            log.write(json.dumps({**record, **(unsaid or {})}) + "\n")
        print("  ".join(f"{key} {value}" for key, value in record.items()), file=sys.stderr, flush=True)


def _means(right: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    return {name: round(sum(some) / len(some), 3) for name, some in sorted(right.items())}


class _Tally:
    """The losses since the last line of the log, by family. They stay on the device until they are logged."""

    def __init__(self, device: torch.device, tokens: int) -> None:
        self._sums = torch.zeros(2, FAMILIES_AT_MOST, device=device)
        self._families: dict[str, int] = {GIVEN: 0}
        self._device = device
        self._since, self._tokens = time.monotonic(), tokens
        self._room = 0
        self.steps = 0

    def add(self, batch: Batch, losses: Tensor, weights: Tensor) -> None:
        """Add the weighted losses of a batch."""
        numbers = np.array([self._families.setdefault(family, len(self._families)) for family in batch.families])
        index = _on(self._device, np.where(batch.given, self._families[GIVEN], numbers[batch.rows]))
        self._sums.index_add_(1, index, torch.stack([losses, weights]))
        self._room += batch.tokens.size
        self.steps += 1

    def take(self, progress: Progress, share: float) -> dict[str, object]:
        """Return a line of the log, and begin the next. Diverged if the loss is no number."""
        losses, weights = self._sums.cpu().numpy()
        if not np.isfinite(losses.sum()):
            raise Diverged(f"the loss is {losses.sum()} at step {progress.steps}: train on with a smaller --rate.")
        now = time.monotonic()
        useful = progress.tokens - self._tokens
        line: dict[str, object] = {
            "step": progress.steps,
            "minutes": round(progress.minutes, 2),
            "tokens": progress.tokens,
            "examples": progress.examples,
            "loss": round(float(losses[1:].sum() / max(weights[1:].sum(), 1e-9)), 4),
            "tokens_per_second": round(useful / max(now - self._since, 1e-9)),
            "filled": round(useful / self._room, 3),
            "rate": round(share, 4),
            "families": {
                family: round(float(losses[number] / weights[number]), 3)
                for family, number in sorted(self._families.items())
                if weights[number]
            },
        }
        self._sums.zero_()
        self._since, self._tokens, self._room, self.steps = now, progress.tokens, 0, 0
        return line


def _on(device: torch.device, array: npt.NDArray[np.int64] | npt.NDArray[np.float32]) -> Tensor:
    """Return an array on the device; without waiting for what the device is at."""
    tensor = torch.as_tensor(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


@contextmanager
def _stopping() -> Generator[threading.Event]:
    """Give an event that SIGTERM and Ctrl-C set; a second Ctrl-C ends the process as usual."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, _: object) -> None:
        stopping.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_state(progress: Progress, folder: Path) -> None:
    new = folder / f"{STATE_FILE}.new"
    new.write_text(json.dumps(asdict(progress), indent=1))
    os.replace(new, folder / STATE_FILE)
