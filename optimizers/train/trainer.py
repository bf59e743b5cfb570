"""The trainer: hands a job to a process that trains, and takes the adapter that comes of it."""

import asyncio
import hashlib
import json
import math
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from lmprog.errors import CapReached, InputError, LMError
from lmprog.lm.adapters import Tunable, content_of, keep
from lmprog.lm.ledger import Amount
from lmprog.lm.openai import OpenAI
from lmprog.lm.specs import of_predictor
from lmprog.module import Program, params_of
from lmprog.optimizer import Problem, require
from lmprog.optimizers.train.examples import Example
from lmprog.params import Weights
from lmprog.request import LM, canonical_json, score
from lmprog.rundir import write_atomically

WORKER = "lmprog.optimizers.train.worker"
JOB, DONE, LOG, ADAPTER = "job.json", "done.json", "log.jsonl", "adapter"
ADAPTERS = "adapters"
LEAST_HELD = 20
"""Rows kept out of training, at least: by fewer it is stopped too early (with 4 of 40 rows the embedded LM learned label maps
and two-step arithmetic worse than to the end: 0.76 and 0.19 of held-out rows, of two seeds and one, against 0.87 and 0.62)."""
PROBED = 4
"""Examples that show whether the served weights have changed."""
NEEDED = ("torch", "transformers", "peft", "accelerate")
_LAST_WORDS = 2000
"""Characters of what a process said that an error shows."""


@dataclass(frozen=True, slots=True)
class Training:
    """How to train. The defaults suit a few hundred examples."""

    method: Literal["lora", "full"] = "lora"
    """Whether two small matrices a linear layer are trained (LoRA: Hu et al. 2021, arXiv:2106.09685), or all weights."""
    rank: int = 8
    """Of the matrices that LoRA adds."""
    steps: int = 120
    batch: int = 16
    """Examples of one step."""
    rate: float | None = None
    """The highest learning rate; by default 0.8 over the width of the model, 2e-4 for one of 4096; of all weights a tenth of it."""
    held: float = 0.1
    """The share of training rows whose examples are kept out, to stop by; none where they are too few to tell anything."""
    patience: int = 5
    """Checks on these without a gain after which training ends; there are 20 in all."""
    processes: int = 1
    """Processes that share each step, started by accelerate: one a GPU."""

    def __post_init__(self) -> None:
        require(self, rank=1, steps=1, batch=1, patience=1, processes=1)
        if not 0 <= self.held < 1:
            raise InputError(f"held={self.held:g}: write the share of training rows to keep out, from 0 to below 1.")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise InputError(f"rate={self.rate:g}: write a learning rate above 0, or leave it out.")

    def check_packages(self, program: Program, lm: LM) -> None:
        """Raise InputError where a package is missing and a predictor's LM would be trained here, not at its host."""
        specs = dict.fromkeys(value.config.lm for value in params_of(program).values())
        tuned = [lm if spec is None else of_predictor(spec) for spec in specs]
        if any("finetune" in one.capabilities and not isinstance(one, OpenAI) for one in tuned):
            _check_packages()


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a job."""

    weights: Weights | None
    """None where no step made them better."""
    steps: int
    """After which they were best: these weights are kept."""
    tokens: int
    """Trained on, in all steps taken."""
    right_before: float = math.nan
    right: float = math.nan
    """The share of the examples kept out whose tokens are all the likeliest, before and after: what training is stopped by; on
    those trained on where none are kept out. NaN if not told."""
    loss_before: float = math.nan
    loss: float = math.nan
    """The mean loss a token on the same examples, by which equal shares are told apart."""


async def train(
    problem: Problem, lm: Tunable | OpenAI, phases: Sequence[Sequence[Example]], how: Training, *, seed: int
) -> Trained:
    """Train an adapter of the LM's weights on examples, one phase after the other, and make it known to the LM.

    The same examples, settings and weights are one job, kept in the run directory: a killed process goes on from its
    last checkpoint, and what is finished is not trained again. InputError where the packages for it are missing;
    LMError where training fails, or where the LM answers under the adapter as without it. An LM that does not run here
    is tuned at its host.
    """
    if not isinstance(lm, Tunable):
        from lmprog.optimizers.train.hosted import train_hosted  # which imports this module

        return await train_hosted(problem, lm, phases, how, seed=seed)
    _check_packages()
    job = await asyncio.to_thread(_job, problem, lm, phases, how, seed)
    text = canonical_json(job)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    ledger, most = problem.allowance.ledger, _tokens_at_most(job)
    if problem.rehearsed:
        ledger.check_training(most)
        ledger.train(name, most, recorded=False)
        planned = Weights(adapter=f"{ADAPTERS}/{name}.safetensors", base=lm.name, sha256=name)
        return Trained(planned, how.steps, most.tokens)
    with place_of(problem) as place:
        folder = place / "training" / name
        recorded = (folder / DONE).exists()
        if not recorded:
            ledger.check_training(most)
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / JOB, text.encode())
            lm.release()
            await run_worker(lm.folder, folder, how.processes, left_s=ledger.left_s)
        done = json.loads((folder / DONE).read_text())
        ledger.train(name, Amount(0, done["prompt_tokens"], done["completion_tokens"]), recorded=recorded)
        weights = _known(lm, folder / ADAPTER, problem.folder) if done["steps"] else None
    if weights is not None:
        await _check_served(problem.lms["task"], weights, phases[-1])
    tokens = done["prompt_tokens"] + done["completion_tokens"]
    told = {name: done[name] for name in ("right_before", "right", "loss_before", "loss")}
    return Trained(weights, done["steps"], tokens, **told)


@contextmanager
def place_of(problem: Problem) -> Generator[Path]:
    """Give the run directory, or a folder for now where there is none."""
    if problem.folder is not None:
        yield problem.folder
        return
    with TemporaryDirectory(prefix="lmprog-") as folder:
        yield Path(folder)


def _check_packages() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"fine-tuning needs {', '.join(missing)}: pip install 'lmprog[finetune]'.")


def _job(
    problem: Problem, lm: Tunable, phases: Sequence[Sequence[Example]], how: Training, seed: int
) -> dict[str, Any]:
    """Return all that decides the adapter, as JSON data."""
    held = held_rows(problem, [one for phase in phases for one in phase], how, seed)
    learned = [[one for one in phase if one.row not in held] or phase for phase in phases]
    return {
        "lm": lm.name,
        "how": asdict(how),
        "seed": seed,
        "phases": [[_encoded(lm, one) for one in phase] for phase in learned],
        "held": [_encoded(lm, one) for one in phases[-1] if one.row in held],
    }


def held_rows(problem: Problem, some: Sequence[Example], how: Training, seed: int) -> set[int]:
    """Return the training rows whose examples are kept out."""
    rows = sorted({one.row for one in some})
    count = int(len(rows) * how.held)
    return set(problem.rng("held out of training", seed).sample(rows, count)) if count >= LEAST_HELD else set()


def _encoded(lm: Tunable, one: Example) -> dict[str, Any]:
    prompt, completion = lm.encode(one.request, one.reply)
    return {"prompt": prompt, "completion": completion, "weight": one.weight}


def _tokens_at_most(job: dict[str, Any]) -> Amount:
    """Return the tokens of all steps, about: no step is counted twice, and early stopping makes them fewer."""
    steps, batch, phases = job["how"]["steps"], job["how"]["batch"], job["phases"]
    prompt = completion = 0.0
    for phase in phases:
        seen = steps / len(phases) * min(1.0, batch / len(phase))
        prompt += seen * sum(len(one["prompt"]) for one in phase)
        completion += seen * sum(len(one["completion"]) for one in phase)
    return Amount(0, round(prompt), round(completion))


async def run_worker(base: Path, folder: Path, processes: int, *, left_s: float) -> None:
    """Run the worker until it is done. It ends by itself where this process ends: then its standard input does."""
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["accelerate.commands.launch", "--num_processes", str(processes), "-m"]
    worker = await asyncio.create_subprocess_exec(
        *command, WORKER, str(base), str(folder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env=_environment(folder),
    )  # fmt: skip
    try:
        assert worker.stderr is not None
        said = asyncio.ensure_future(worker.stderr.read())
        await asyncio.wait_for(asyncio.shield(worker.wait()), None if left_s == float("inf") else max(0.0, left_s))
        words = (await said).decode(errors="replace").strip()
    except TimeoutError:
        raise CapReached(
            "the cap on seconds was reached while weights were trained; the last checkpoint is kept.", cap="seconds"
        ) from None
    finally:
        assert worker.stdin is not None
        worker.stdin.close()  # which ends the processes that accelerate has begun, too
        if worker.returncode is None:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
    if worker.returncode or not (folder / DONE).exists():
        raise LMError(
            f"training failed with exit status {worker.returncode}. Its last words:\n{words[-_LAST_WORDS:]}\nWhat it was given is in "
            f"{folder}; run the same command to try again."
        )


def _environment(folder: Path) -> dict[str, str]:
    """Return what the worker finds lmprog by, wherever it is started; no file of the working directory is imported.

    HF_HOME is where accelerate would read what `accelerate config` wrote: on other machines, or in other numbers.
    """
    found = find_spec("lmprog")
    own_place = str(Path(found.origin).parents[1]) if found and found.origin else ""
    paths = [own_place, os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONSAFEPATH": "1"}
    return {**os.environ, **own, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}


def _known(lm: Tunable, adapter: Path, place: Path | None) -> Weights:
    """Make the adapter known to the LM, and keep it."""
    return kept(content_of(lm.add_adapter(adapter)), lm.name, place, "safetensors")


def kept(content: bytes, base: str, place: Path | None, kind: str) -> Weights:
    """Make weights known that are for the LM `base`, and keep them as one file in the run directory, if there is one."""
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{ADAPTERS}/{sha256[:16]}.{kind}"
    if place is None:
        keep(content, base)
    else:
        (place / ADAPTERS).mkdir(exist_ok=True)
        file = place / name
        write_atomically(file, content)
        keep(content, base, where=str(file), read=file.read_bytes)
    return Weights(adapter=name, base=base, sha256=sha256)


async def _check_served(lm: LM, weights: Weights, examples: Sequence[Example]) -> None:
    """Raise LMError where the LM finds the examples' replies exactly as probable under the adapter as before. Two calls each."""

    async def probable(one: Example, under: str | None) -> float:
        (found,) = await score(lm, replace(one.request, weights=under), [one.reply])
        return found

    some = examples[:PROBED]
    before = [await probable(one, one.request.weights) for one in some]
    after = [await probable(one, weights.sha256) for one in some]
    if before == after:
        raise LMError(
            f"{lm.name} answers under the trained adapter {weights.sha256[:16]} exactly as without it: the training did not reach "
            "the served weights. Look at the training's log; a learning rate of 0 or an LM that ignores adapters does this."
        )
