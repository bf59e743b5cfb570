"""The thread that computes: it collects what was asked at the same moment, and finishes each reply when it is done."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import torch

from lmprog.errors import LMError, LmprogError
from lmprog.lm.local.constraint import Constraints
from lmprog.lm.local.network import Batch, Network, Scoring, Writing, is_memory

FULL_KEPT = 1
"""So many models with other whole weights stay in memory beside the model itself."""
MOST_READ_AT_ONCE = 2048
"""Tokens of prompts read in one go, about: how long the replies under way wait."""
IDLE_S = 10.0
"""After so long without work the thread ends; the next request starts another."""

Load = Callable[[str | None], Network]
"""Loads the model with the whole weights of a SHA-256, or its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Something to compute."""

    work: Writing | Scoring
    full: str | None
    """The SHA-256 of the whole weights to do it with, where these are not the model's own."""
    future: "Future[None]"


_Place = tuple[str | None, int]
"""Whole weights, and room."""


class Engine:
    """A thread that does what is submitted. It starts at the first use, and does not keep the process alive."""

    def __init__(self, load: Load, name: str, tokenizer: Callable[[], str], ends: frozenset[int]) -> None:
        self._load, self._name, self._tokenizer, self._ends = load, name, tokenizer, ends
        self._networks: OrderedDict[str | None, Network] = OrderedDict()
        self._constraints: Constraints | None = None
        self._waiting: deque[Job] = deque()
        self._some = threading.Condition()
        self._thread: threading.Thread | None = None
        self._releases = False

    def release(self) -> None:
        """Forget the models as soon as nothing is under way; what is asked next loads them again."""
        with self._some:
            if self._thread is None:
                self._forget()
            else:
                self._releases = True
                self._some.notify()

    def submit(self, work: Writing | Scoring, full: str | None) -> "Future[None]":
        """Return the future that is done when the work is. Cancelling it ends the work."""
        job = Job(work, full, Future())
        with self._some:
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="lmprog-local", daemon=True)
                self._thread.start()
            self._some.notify()
        return job.future

    def _work(self) -> None:
        queued: deque[Job] = deque()
        batches: dict[_Place, Batch] = {}
        jobs: dict[Writing, Job] = {}
        while (new := self._next(wait=not queued and not jobs)) is not None:
            queued += new
            self._begin(queued, batches, jobs)
            for place, batch in list(batches.items()):
                failure = self._failure(batch.step) if batch.writings else None
                over = [each for each in batch.writings if failure or each.done or jobs[each].future.cancelled()]
                for writing in over:
                    batch.remove(writing)
                    _finish(jobs.pop(writing), failure or writing.failure)
                if failure or not batch.writings:
                    del batches[place]

    def _next(self, *, wait: bool) -> list[Job] | None:
        """Return what has been submitted; wait for it if need be. None ends the thread."""
        with self._some:
            while wait:
                if self._releases:
                    self._forget()
                if self._waiting:
                    break
                if not self._some.wait_for(lambda: bool(self._waiting) or self._releases, IDLE_S):
                    torch.cuda.empty_cache()  # for whoever else computes there meanwhile
                    self._thread = None
                    return None
            new = list(self._waiting)
            self._waiting.clear()
            return new

    def _forget(self) -> None:
        self._releases = False
        self._networks.clear()
        torch.cuda.empty_cache()

    def _begin(self, queued: "deque[Job]", batches: dict[_Place, Batch], jobs: dict[Writing, Job]) -> None:
        """Begin with jobs, in order, until enough has been read; those wait whose batch is full."""
        read, later = 0, deque[Job]()
        while queued and read < MOST_READ_AT_ONCE:
            job = queued.popleft()
            if job.future.cancelled():
                continue
            work = job.work
            batch = batches.get((job.full, work.room)) if isinstance(work, Writing) else None
            if batch and batch.is_full:
                later.append(job)
                continue
            read += len(work.prompt.own)
            failure = self._failure(partial(self._started, job, batches))
            if failure or isinstance(work, Scoring):
                _finish(job, failure)
            elif work.done:
                _finish(job, work.failure)
            else:
                jobs[work] = job
        queued.extendleft(reversed(later))

    def _started(self, job: Job, batches: dict[_Place, Batch]) -> None:
        network = self._network(job.full)
        if isinstance(job.work, Scoring):
            network.score(job.work)
            return
        if job.work.schema is not None:
            if self._constraints is None:
                self._constraints = Constraints(self._tokenizer(), network.vocabulary, self._ends)
            job.work.constraint = self._constraints.of(job.work.schema)
        place = (job.full, job.work.room)
        if place not in batches:
            batches[place] = Batch(network, job.work.room)
        batches[place].add(job.work)

    def _network(self, full: str | None) -> Network:
        """Return a model; the model's own weights stay, of others those used last."""
        if full not in self._networks:
            while full is not None and len(self._networks) - (None in self._networks) >= FULL_KEPT:
                del self._networks[next(sha256 for sha256 in self._networks if sha256 is not None)]
            self._networks[full] = self._load(full)
        self._networks.move_to_end(full)
        return self._networks[full]

    def _failure(self, act: Callable[[], None]) -> LmprogError | None:
        """Do something, and return the error that it ended with."""
        try:
            act()
        except LmprogError as error:
            return error
        except BaseException as error:  # noqa: BLE001  who waits for the work raises it
            failure = LMError(_told(self._name, error))
            # the frames of its traceback would hold the very memory that is short
            failure.__cause__ = error.with_traceback(None) if is_memory(error) else error
            return failure
        return None


def _told(name: str, error: BaseException) -> str:
    text = str(error)
    if is_memory(error):
        return (
            f"the device has too little memory for {name}: {text.splitlines()[0] if text else 'it ran out'}. Write fewer replies at a "
            'time, lp.Local(path, batch=4); or load it smaller, lp.Local(path, dtype="bfloat16").'
        )
    return f"{name} failed: {error!r}."


def _finish(job: Job, failure: LmprogError | None) -> None:
    if not job.future.set_running_or_notify_cancel():
        return
    if failure is None:
        job.future.set_result(None)
    else:
        job.future.set_exception(failure)
