"""The threads that write: they collect what was asked at the same moment, and finish each sequence when it is done."""

import os
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

from lmprog.errors import LMError
from lmprog.lm.tiny.blas import one_blas_thread
from lmprog.lm.tiny.decoding import Batch, Prefixes, Scoring, Writing
from lmprog.lm.tiny.model import Model

THREADS = min(4, os.cpu_count() or 1)
"""Threads that write, each with a batch of its own."""
MOST_AT_ONCE = 32
"""Sequences in one batch. More would hardly make a step cheaper, and would crowd memory: one of 128 tokens takes 1.2 MB."""
MOST_READ_AT_ONCE = 2048
"""Tokens of prompts read in one go, about; bounds memory, and how long the sequences under way wait."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    work: Writing | Scoring
    future: "Future[None]"


class Engine:
    """Threads that write what is submitted. They start at the first use, and do not keep the process alive."""

    def __init__(self, model: Model, *, threads: int = THREADS, prefixes: Prefixes | None = None) -> None:
        self._model, self._count = model, threads
        self._prefixes = prefixes or Prefixes()
        self._waiting: deque[_Job] = deque()
        self._some = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def submit(self, work: Writing | Scoring) -> "Future[None]":
        """Return the future that is done when the work is. Cancelling it ends the work."""
        job = _Job(work, Future())
        with self._some:
            self._waiting.append(job)
            while len(self._threads) < self._count:
                thread = threading.Thread(target=self._work, name="lmprog-tiny", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._some.notify()
        return job.future

    def stop(self) -> None:
        """Let the threads end once all that was submitted is done; what is submitted later still is done."""
        with self._some:
            self._stopped = True
            self._some.notify_all()

    def _work(self) -> None:
        jobs: dict[Writing | Scoring, _Job] = {}
        try:
            batch = Batch(self._model, self._prefixes)
            while True:
                new = self._next(MOST_AT_ONCE - len(jobs), wait=not jobs)
                if new is None:
                    return
                jobs |= {job.work: job for job in new}
                with one_blas_thread():
                    for scoring in [job.work for job in new if isinstance(job.work, Scoring)]:
                        batch.score(scoring)
                    if writings := [job.work for job in new if isinstance(job.work, Writing)]:
                        batch.add(writings)
                    elif not new:
                        batch.step()
                over = [work for work, job in jobs.items() if work.done or job.future.cancelled()]
                batch.remove({work for work in over if isinstance(work, Writing)})
                for work in over:
                    _finish(jobs.pop(work))
        except BaseException as error:  # noqa: BLE001  who waits for the work raises it
            self._fail(list(jobs.values()), error)

    def _next(self, room: int, *, wait: bool) -> list[_Job] | None:
        """Take jobs from the queue, in order, as many as there is room for; wait for one if need be. None ends the thread."""
        taken: list[_Job] = []
        tokens = 0
        with self._some:
            while wait and not self._waiting:
                if self._stopped:
                    self._threads.remove(threading.current_thread())
                    return None
                self._some.wait()
            while self._waiting and len(taken) < room and tokens < MOST_READ_AT_ONCE:
                job = self._waiting.popleft()
                if not job.future.cancelled():
                    taken.append(job)
                    tokens += job.work.tokens
        return taken

    def _fail(self, jobs: list[_Job], cause: BaseException) -> None:
        """Let nothing wait for a thread that an error ended; the next request starts another."""
        with self._some:
            self._threads.remove(threading.current_thread())
            jobs += self._waiting
            self._waiting.clear()
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                failure = LMError(f"the embedded LM failed: {cause!r}.")
                failure.__cause__ = cause
                job.future.set_exception(failure)


def _finish(job: _Job) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_result(None)
