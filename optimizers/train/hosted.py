"""Training where a model is hosted, through OpenAI's API for fine-tuning or one that is like it.

What is trained there follows from the examples, the settings and the host. The job is found again, whenever this process
was killed: by its id in the run directory, or by the digest of all that decides it, which its metadata holds.
"""

import asyncio
import hashlib
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from lmprog.errors import CapabilityError, CapReached, DataError, InputError, LMError, UnavailableError
from lmprog.lm import wire
from lmprog.lm.openai import OpenAI, TunedModel
from lmprog.lm.refusals import Refusal
from lmprog.lm.retry import FIRST_WAIT_S, LONGEST_WAIT_S, patience_s
from lmprog.optimizer import Problem
from lmprog.optimizers.train.examples import Example
from lmprog.optimizers.train.trainer import ADAPTERS, DONE, PROBED, Trained, Training, held_rows, kept, place_of
from lmprog.params import Weights
from lmprog.request import LM, answer, canonical_json
from lmprog.rundir import write_atomically

T = TypeVar("T")

FILES, JOBS = "files", "fine_tuning/jobs"
PURPOSE = "fine-tune"
MARK = "lmprog"
"""The name in a job's metadata under which its digest stands."""
RECORD, TRAINING, VALIDATION = "hosted.json", "training.jsonl", "validation.jsonl"
LEAST_EXAMPLES = 10
"""OpenAI trains on no fewer."""
FIRST_POLL_S, LONGEST_POLL_S = 1.0, 60.0
CANCEL_S = 30.0
"""How long to try to cancel a job whose time is up."""
PAGE = 100
EPOCHS, SEEN_AT_LEAST, SEEN_AT_MOST, EPOCHS_AT_MOST = 3, 100, 25_000, 25
"""How often a host goes over the examples where that is left to it, as OpenAI has described it: three times; more often
where fewer than a hundred would be seen, less often where more than 25,000."""
SEEDS = 2**31

_NO_API = {200, 404, 405, 501}
"""What servers answer for an endpoint that they lack; some have a page for every path."""
_ENDED = {"succeeded", "failed", "cancelled"}
_FAILED = {"failed", "cancelled"}

_log = logging.getLogger("lmprog.lm")


async def check_host(problem: Problem, lm: OpenAI, how: Training, *, phases: int = 1) -> None:
    """Refuse training that the LM's host cannot do, or the budget not account for, before any call.

    One free request, where the run has no job there yet. CapabilityError where the host has no API for fine-tuning.
    """
    _check(problem, lm, how, phases)
    if problem.rehearsed or (problem.folder and any(problem.folder.glob(f"training/*/{RECORD}"))):
        return
    found = await _patiently(lm, lambda: lm.api("GET", f"{JOBS}?limit=1"))
    if not isinstance(found, Refusal):
        if isinstance(found.get("data"), list):
            return
        found = Refusal(200, wire.shown(json.dumps(found)))
    if found.status in _NO_API:
        raise CapabilityError(
            f"{lm.base_url} has no API for fine-tuning: it answered {found.status} when asked for {JOBS}, {found.message or 'nothing'}. "
            'OpenAI has one, lm="openai/MODEL", and others that speak its protocol. The weights of an LM that runs here are '
            'tuned here, such as those of "tiny", and those behind a vLLM server with lp.VLLM(...).'
        )
    raise lm.error_of(found)


async def train_hosted(
    problem: Problem, lm: OpenAI, phases: Sequence[Sequence[Example]], how: Training, *, seed: int
) -> Trained:
    """Tune the LM at its host on examples, and make the tuned model known to it; what `train` does for an LM that runs here.

    `steps`, `batch` and `rate` are left to the host (`auto`) where they are as they are by default. Else `steps` times
    `batch` examples are as many epochs as come nearest; `rate` is the multiplier of the host's own learning rate. Every
    reply is learned with its tokens alone, those of demos are not; the host knows no weights but 0 and 1. The examples
    of the rows kept out are the validation file, where enough others are left. DataError where there are too few
    examples; LMError where the job fails, or where the tuned model answers as the base does.
    """
    _check(problem, lm, how, len(phases))
    job = _wanted(problem, lm, phases[0], how, seed)
    ledger = problem.allowance.ledger
    most = ledger.hosted_training(lm.name, job.tokens)
    if problem.rehearsed:
        ledger.check_training(most)
        ledger.train(job.digest, most, recorded=False)
        weights = Weights(adapter=f"{ADAPTERS}/{job.digest}.json", base=lm.name, sha256=job.digest)
        return Trained(weights, how.steps, job.tokens)
    with place_of(problem) as place:
        folder = place / "training" / job.digest
        recorded = (folder / DONE).exists()
        if not recorded:
            if not (folder / RECORD).exists():  # a job that has been begun is brought to its end, or cancelled
                ledger.check_training(most)
            folder.mkdir(parents=True, exist_ok=True)
            await _Hosted(lm, job, folder).go(left_s=ledger.left_s)
        done = json.loads((folder / DONE).read_text())
        tuned = TunedModel(model=done["model"], base=lm.name, job=done["job"], trained_tokens=done["trained_tokens"])
        ledger.train(job.digest, ledger.hosted_training(lm.name, tuned.trained_tokens), recorded=recorded)
        weights = kept(tuned.to_bytes(), lm.name, problem.folder, "json")
    await _check_served(problem.lms["task"], weights, tuned, phases[0])
    return Trained(weights, done["steps"], tuned.trained_tokens)


def _check(problem: Problem, lm: OpenAI, how: Training, phases: int) -> None:
    if phases > 1:
        raise CapabilityError(
            f"{lm.name} is tuned at its host, which trains on all examples in an order of its own: {phases} sets of them one "
            'after the other are only for an LM whose weights are here, such as "tiny".'
        )
    plain = Training()
    ours = [name for name in ("method", "rank", "patience", "processes") if getattr(how, name) != getattr(plain, name)]
    if ours:
        said = ", ".join(f"{name}={getattr(how, name)}" for name in ours)
        raise InputError(
            f"{lm.name} is tuned at its host, which takes no {said}: these are for an LM whose weights are here. "
            "Leave them out; `steps`, `batch` and `rate` are told to the host."
        )
    problem.allowance.ledger.hosted_training(lm.name, 0)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """All that decides a tuned model."""

    digest: str
    model: str
    training: bytes
    validation: bytes
    """Empty where there is none."""
    settings: wire.Json
    seed: int
    tokens: int
    """Of all epochs, about."""

    @property
    def files(self) -> Mapping[str, tuple[str, bytes]]:
        """The files by what a job calls them, each with its name at the host."""
        found = {
            "training_file": (f"{MARK}-{self.digest}-{TRAINING}", self.training),
            "validation_file": (f"{MARK}-{self.digest}-{VALIDATION}", self.validation),
        }
        return {what: file for what, file in found.items() if file[1]}


def _wanted(problem: Problem, lm: OpenAI, some: Sequence[Example], how: Training, seed: int) -> _Wanted:
    if odd := [one.weight for one in some if one.weight not in (0, 1)]:
        raise CapabilityError(
            f"{lm.name} is tuned at its host, which gives examples no weight but 0 and 1, and one has {odd[0]:g}. Use an LM "
            'whose weights are here, such as "tiny".'
        )
    some = [one for one in some if one.weight]
    held = held_rows(problem, some, how, seed)
    kept_out = [one for one in some if one.row in held]
    learned = [one for one in some if one.row not in held]
    if len(learned) < LEAST_EXAMPLES:
        learned, kept_out = list(some), []
    if len(learned) < LEAST_EXAMPLES:
        raise DataError(
            f"fine-tuning {lm.name} at its host takes at least {LEAST_EXAMPLES} examples, and the program's runs gave {len(learned)}: "
            "nothing was uploaded. Give more training rows, or more `attempts`."
        )
    training, validation = (b"".join(map(_line, part)) for part in (learned, kept_out))
    plain, settings = Training(), dict[str, Any](n_epochs="auto", batch_size="auto", learning_rate_multiplier="auto")
    if how.steps != plain.steps:
        settings["n_epochs"] = max(1, round(how.steps * how.batch / len(learned)))
    if how.batch != plain.batch:
        settings["batch_size"] = how.batch
    if how.rate is not None:
        settings["learning_rate_multiplier"] = how.rate
    epochs = _usual_epochs(len(learned)) if settings["n_epochs"] == "auto" else settings["n_epochs"]
    each = (problem.allowance.ledger.tokens_of(lm.name, one.request, one.reply) for one in learned)
    texts = [hashlib.sha256(part).hexdigest() for part in (training, validation)]
    all_of_it = canonical_json([lm.name, *texts, settings, seed])
    digest = hashlib.sha256(all_of_it.encode()).hexdigest()[:16]
    return _Wanted(digest, lm.model, training, validation, settings, seed % SEEDS, epochs * sum(each))


def _line(one: Example) -> bytes:
    """Return an example as the API wants it: of all the assistant's turns the last is learned, and the others are demos."""
    asked = [turn | ({"weight": 0} if turn["role"] == "assistant" else {}) for turn in wire.messages_of(one.request)]
    return wire.encoded({"messages": [*asked, {"role": "assistant", "content": one.reply, "weight": 1}]}) + b"\n"


def _usual_epochs(examples: int) -> int:
    if examples * EPOCHS < SEEN_AT_LEAST:
        return min(EPOCHS_AT_MOST, -(-SEEN_AT_LEAST // examples))
    return max(1, min(EPOCHS, SEEN_AT_MOST // examples))


class _Reported(BaseModel):
    """What of a job the host tells."""

    model_config = ConfigDict(defer_build=True)

    id: str
    status: str
    model: str
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    error: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


class _Hosted:
    """A job at its host, from the files to its end. What is known of it stands in the run directory at once."""

    def __init__(self, lm: OpenAI, wanted: _Wanted, folder: Path) -> None:
        self._lm, self._wanted, self._folder = lm, wanted, folder
        record = folder / RECORD
        self._maybe_there = record.exists()
        """Whether there may be files or a job at the host of which the record does not tell."""
        self._known: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}

    async def go(self, *, left_s: float) -> None:
        """Bring the job to its end, and write what came of it. CapReached where that takes longer, the job being cancelled."""
        try:
            async with asyncio.timeout(None if math.isinf(left_s) else max(0.0, left_s)):
                job = await self._end_of(await self._begun())
        except TimeoutError:
            said = await self._cancelled()
            raise CapReached(
                f"the cap on seconds was reached while {self._lm.name} was tuned at its host; {said}.", cap="seconds"
            ) from None
        except asyncio.CancelledError:
            if "job" in self._known:
                _log.warning("%s", self._goes_on)
            raise
        if job.status in _FAILED:
            self._note(job=None)
            raise LMError(self._failure(job))
        await self._keep(job)

    async def _begun(self) -> str:
        """Return the job's id, having begun it if need be."""
        self._note()
        if "job" in self._known:
            return self._known["job"]
        for what, (name, content) in self._wanted.files.items():
            if what not in self._known:
                (self._folder / name.removeprefix(f"{MARK}-{self._wanted.digest}-")).write_bytes(content)
                file = await self._made(
                    partial(self._file_there, name, len(content)),
                    partial(self._lm.upload, name, content, purpose=PURPOSE),
                )
                self._note(**{what: self._id_of(file)})
        wanted = self._wanted
        body: wire.Json = {
            "model": wanted.model,
            **{what: self._known[what] for what in wanted.files},
            "method": {"type": "supervised", "supervised": {"hyperparameters": wanted.settings}},
            "seed": wanted.seed,
            "suffix": f"{MARK}-{wanted.digest[:8]}",
            "metadata": {MARK: wanted.digest},
        }
        job = await self._made(self._job_there, lambda: self._lm.api("POST", JOBS, body))
        self._note(job=self._read(job).id)
        _log.info("%s is tuned at its host by the job %s", self._lm.name, self._known["job"])
        return self._known["job"]

    async def _made(
        self, find: Callable[[], Awaitable[wire.Json | None]], make: Callable[[], Awaitable[wire.Json | Refusal]]
    ) -> wire.Json:
        """Return what there is at the host, or make it. After an attempt of unknown outcome it may be there."""

        async def attempt() -> wire.Json | Refusal:
            found = await find() if self._maybe_there else None
            self._maybe_there = True
            return found or await make()

        before = self._maybe_there
        made = await _patiently(self._lm, attempt)
        if isinstance(made, Refusal):
            self._known = {}  # what is there is looked for the next time, since an attempt before may have made it
            self._note()
            raise self._lm.error_of(made)
        self._maybe_there = before
        return made

    async def _file_there(self, name: str, size: int) -> wire.Json | None:
        async for file in self._listed(FILES, {"purpose": PURPOSE}):
            if file.get("filename") == name and file.get("bytes") == size and file.get("status") != "error":
                return file
        return None

    async def _job_there(self) -> wire.Json | None:
        """Return the job of this digest, unless it failed: then another is wanted. Not every host filters by metadata."""
        digest = self._wanted.digest
        async for job in self._listed(JOBS, {f"metadata[{MARK}]": digest}):
            found = self._read(job)
            if (found.metadata or {}).get(MARK) == digest and found.status not in _FAILED:
                return job
        return None

    async def _listed(self, path: str, query: Mapping[str, str]) -> AsyncIterator[wire.Json]:
        after: dict[str, str] = {}
        while True:
            asked = f"{path}?{urlencode({**query, 'limit': PAGE, **after})}"
            page = await _patiently(self._lm, partial(self._lm.api, "GET", asked))
            if isinstance(page, Refusal):
                raise self._lm.error_of(page)
            data: list[wire.Json] = page.get("data") or []
            for one in data:
                yield one
            if not page.get("has_more") or not data:
                return
            after = {"after": str(data[-1].get("id"))}

    async def _end_of(self, job_id: str) -> _Reported:
        """Ask how the job does, ever less often, until it has ended."""
        wait_s, told = FIRST_POLL_S, ""
        while True:
            try:
                found = await _patiently(self._lm, lambda: self._lm.api("GET", f"{JOBS}/{job_id}"))
            except UnavailableError as error:
                raise UnavailableError(f"{error} {self._goes_on}") from error
            if isinstance(found, Refusal):
                raise LMError(
                    f"{self._lm.error_of(found)} It is about the fine-tuning job {job_id}, which this run began: {self._folder / RECORD} "
                    "says so. Delete that file to have another job."
                )
            job = self._read(found)
            if job.status != told:
                _log.info("the fine-tuning job %s of %s: %s", job_id, self._lm.name, job.status.replace("_", " "))
                told = job.status
            if job.status in _ENDED:
                return job
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_POLL_S)

    async def _cancelled(self) -> str:
        """Cancel the job, and say what became of it."""
        try:
            async with asyncio.timeout(CANCEL_S):
                if "job" not in self._known and (there := await self._job_there() if self._maybe_there else None):
                    self._note(job=self._read(there).id)
                if "job" not in self._known:
                    return "no job was begun"
                job_id = self._known["job"]
                found = await _patiently(self._lm, lambda: self._lm.api("POST", f"{JOBS}/{job_id}/cancel"))
        except (TimeoutError, LMError):
            return f"it could not be cancelled. {self._goes_on}".rstrip(".")
        if isinstance(found, Refusal):  # it has ended meanwhile: the next run takes what came of it
            return f"the job {job_id} was not cancelled: {found.message}".rstrip(".")
        self._note(job=None)
        return f"the job {job_id} was cancelled"

    async def _keep(self, job: _Reported) -> None:
        """Write down what came of the job. LMError where it cannot have trained anything."""
        tokens = self._wanted.tokens if job.trained_tokens is None else job.trained_tokens
        model = job.fine_tuned_model
        if not model or model in (job.model, self._lm.model) or not tokens:
            self._note(job=None)
            raise LMError(
                f"the fine-tuning job {job.id} of {self._lm.name} has succeeded and trained nothing: it names the model {model!r}, and "
                f"{tokens} trained tokens. Look at the job at its host; the same command begins another."
            )
        steps = await self._steps(job.id)
        done = {"model": model, "job": job.id, "trained_tokens": tokens, "steps": steps}
        write_atomically(self._folder / DONE, json.dumps(done).encode())

    async def _steps(self, job_id: str) -> int:
        """Return how many steps the job's last checkpoint comes after; 0 where the host does not tell."""
        try:
            found = await self._lm.api("GET", f"{JOBS}/{job_id}/checkpoints?limit=1")
            return 0 if isinstance(found, Refusal) else int(found["data"][0]["step_number"])
        except (UnavailableError, LookupError, TypeError, ValueError):
            return 0

    def _failure(self, job: _Reported) -> str:
        if job.status == "cancelled":
            return f"the fine-tuning job {job.id} of {self._lm.name} was cancelled at its host. The same command begins another."
        error = job.error or {}
        said = wire.shown(str(error.get("message") or "it does not say why")).rstrip(".")
        code = f" ({error['code']})" if error.get("code") else ""
        return (
            f"the fine-tuning job {job.id} of {self._lm.name} failed: {said}{code}. What it was given is in {self._folder}; the same "
            "command begins another."
        )

    @property
    def _goes_on(self) -> str:
        if "job" not in self._known:
            return ""
        cancel = f"{self._lm.base_url}/{JOBS}/{self._known['job']}/cancel"
        return (
            f"The fine-tuning job {self._known['job']} goes on at its host: the same command picks it up. To end it, send a POST "
            f"to {cancel} with the key."
        )

    def _id_of(self, file: wire.Json) -> str:
        found: object = file.get("id")
        if not isinstance(found, str):
            raise LMError(f"{self._lm.name} took a file and gave it no id: it sent {wire.shown(json.dumps(file))}")
        return found

    def _read(self, job: wire.Json) -> _Reported:
        try:
            return _Reported.model_validate(job)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise LMError(
                f"{self._lm.name} sent no fine-tuning job ({place}: {fault['msg']}) but {wire.shown(json.dumps(job))}"
            ) from None

    def _note(self, **known: str | None) -> None:
        self._known = {name: value for name, value in {**self._known, **known}.items() if value is not None}
        write_atomically(self._folder / RECORD, json.dumps(self._known).encode())


async def _patiently(lm: OpenAI, ask: Callable[[], Awaitable[T | Refusal]]) -> T | Refusal:
    """Return what a server answers; where another attempt may help, after as many as it takes, for as long as an outage may last."""
    began, wait_s, most_s = time.monotonic(), FIRST_WAIT_S, patience_s()
    attempts = 0
    while True:
        attempts += 1
        try:
            found = await ask()
            if not isinstance(found, Refusal) or found.kind != "later":
                return found
            raise lm.error_of(found)
        except UnavailableError as error:
            waited_s, asked_s = time.monotonic() - began, error.retry_after_s or 0.0
            if waited_s + asked_s >= most_s:
                raise UnavailableError(
                    f"the host of {lm.name} has not answered for {waited_s:.0f} s in {attempts} attempts: {str(error).rstrip('.')}."
                ) from error
            if attempts == 1:
                _log.warning("the host of %s does not answer; waiting for it up to %g s (%s)", lm.name, most_s, error)
            await asyncio.sleep(min(max(wait_s, asked_s), most_s - waited_s))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


async def _check_served(lm: LM, weights: Weights, tuned: TunedModel, some: Sequence[Example]) -> None:
    """Raise LMError where the tuned model answers examples as before, and not as they teach. Two calls for each of a few."""
    probed = some[:PROBED]
    before = [(await answer(lm, one.request)).text for one in probed]
    after = [(await answer(lm, replace(one.request, weights=weights.sha256))).text for one in probed]
    if after == before and any(said.strip() != one.reply.strip() for said, one in zip(after, probed, strict=True)):
        raise LMError(
            f"{tuned.model}, tuned from {tuned.base} by the job {tuned.job}, answers {len(probed)} of the examples that it was trained "
            "on exactly as before, and not as they teach: the training did not reach the served model. Look at the job at its host; "
            "more `steps` or a higher `rate` train more."
        )
