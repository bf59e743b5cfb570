"""The process that trains: `python -m lmprog.optimizers.train.worker BASE FOLDER`, or the same under `accelerate launch`.

BASE is a model as transformers reads it; FOLDER holds job.json. It writes log.jsonl, a checkpoint from which it goes on
after a kill, the adapter as peft saves it, and done.json last. The result is a function of the job, the base, the
device and the number of its threads.
"""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open  # pyright: ignore[reportUnknownVariableType]
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer

from lmprog.optimizers.train.trainer import ADAPTER, DONE, JOB, LOG, Training

CHECKPOINT = "checkpoint.safetensors"
CHECKS, LEAST_STEPS = 20, 5
"""Checks on the examples kept out, and the least steps between two: each step alone changes little but noise."""
SAVED_EVERY_S = 20.0
RATE_TIMES_WIDTH = {"lora": 0.8, "full": 0.08}
WARM_UP_STEPS = 10
DECAY = 0.01
CLIP = 1.0
SCALE = 2
"""lora_alpha over the rank."""
ONE_FILE = "1000GB"
TOKENS_AT_ONCE = 8192
"""Of one forward pass, padding counted."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """How far training has come."""

    step: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    before: tuple[float, float] = (math.nan, math.nan)
    best: tuple[float, float] = (math.nan, math.nan)
    """The share of the examples kept out that would be written right, and minus their loss a token: the more the better."""
    best_step: int = 0
    checks_since: int = 0
    """Checks since then."""


def main() -> int:
    """Train as the job says."""
    base, folder = Path(sys.argv[1]), Path(sys.argv[2])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = json.loads((folder / JOB).read_text())
    run = _Run(base, folder, job)
    run.go()
    return 0


def _end_with_parent() -> None:
    """A closed standard input says that whoever wanted the adapter is gone."""
    while os.read(sys.stdin.fileno(), 1):  # not through its buffer, which a thread may not hold when Python ends
        pass
    os._exit(1)


class Losses(nn.Module):
    """The loss of packed examples, of the tokens to predict alone, and how many would be written right."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        """With an adapter or without."""

    def forward(
        self, tokens: Tensor, positions: Tensor, places: Tensor, targets: Tensor, owners: Tensor, weights: Tensor
    ) -> Tensor:
        """Return two sums, as (2,): of the losses at `places` of the flattened (rows, length) tokens, each with its weight,
        and of the examples, which `owners` numbers, whose tokens are all the likeliest.
        """
        inner: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

        def wanted(_: object, given: tuple[Tensor, ...]) -> tuple[Tensor]:
            return (given[0].flatten(0, 1).index_select(0, places)[None],)

        # of logits, which take much memory, only those wanted are made; what a model does with them, a scale or a cap, it does
        fewer = inner.get_output_embeddings().register_forward_pre_hook(wanted)
        try:
            # without a mask, positions that begin anew tell transformers where another example begins
            logits: Tensor = inner(tokens, position_ids=positions, use_cache=False).logits[0]
        finally:
            fewer.remove()
        loss = (F.cross_entropy(logits.float(), targets, reduction="none") * weights).sum()
        wrong = torch.zeros(int(owners[-1]) + 1, device=loss.device).index_add(
            0, owners, (logits.argmax(-1) != targets).float()
        )
        return torch.stack([loss, (wrong == 0).sum() * (weights > 0).any()])


class _Run:
    """One job under way, in one of its processes."""

    def __init__(self, base: Path, folder: Path, job: Mapping[str, Any]) -> None:
        self._base, self._folder, self._seed = base, folder, job["seed"]
        self._how = Training(**job["how"])
        self._phases: Sequence[Sequence[Row]] = job["phases"]
        self._held: Sequence[Row] = job["held"]
        cuda = torch.cuda.is_available()
        half = cuda and torch.cuda.is_bf16_supported()
        self._accelerator: Any = Accelerator(cpu=not cuda, mixed_precision="bf16" if half else "no")
        torch.manual_seed(self._seed)  # pyright: ignore[reportUnknownMemberType]
        self._model = _model(base, self._how, half=half)
        self._rate = self._how.rate or RATE_TIMES_WIDTH[self._how.method] / self._model.config.hidden_size
        self._tuned: dict[str, Tensor] = {
            name: each for name, each in self._model.named_parameters() if each.requires_grad
        }
        optimizer = torch.optim.AdamW(self._tuned.values(), lr=self._rate, weight_decay=DECAY)
        prepared: tuple[Any, Any] = self._accelerator.prepare(Losses(self._model), optimizer)
        self._losses, self._optimizer = prepared
        self._state = State()
        self._best = self._copy()
        self._width = max(_length(one) for part in (*self._phases, self._held) for one in part)
        self._order: tuple[tuple[int, int], list[int]] = (-1, -1), []
        """The phase and round drawn last, and the order of its examples."""
        self._saved = time.monotonic()

    def go(self) -> None:
        """Train to the end, from the last checkpoint if there is one."""
        if (self._folder / CHECKPOINT).exists():
            self._load()
        else:
            found = self._judge(self._judged)
            self._state = replace(self._state, before=found, best=found)
        every = max(LEAST_STEPS, self._how.steps // CHECKS)
        while self._state.step < self._how.steps and self._state.checks_since < self._how.patience:
            self._step()
            last = self._state.step == self._how.steps
            if self._held and (last or self._state.step % every == 0):
                self._check()
            if time.monotonic() - self._saved > SAVED_EVERY_S:
                self._save()
        if not self._held:
            self._keep(self._judge(self._judged))
        self._finish()

    @property
    def _judged(self) -> Sequence[Row]:
        return self._held or self._phases[-1]

    def _step(self) -> None:
        """Take one step."""
        step = self._state.step
        share = min(1.0, (step + 1) / WARM_UP_STEPS) * (1 - step / self._how.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * share
        rows = self._rows(step)
        total = sum(len(one["completion"]) * one["weight"] for one in rows)
        self._optimizer.zero_grad()
        for batch in self._own(rows):
            loss = self._losses(*batch)[0] * (self._accelerator.num_processes / total)
            self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self._tuned.values(), CLIP)
        self._optimizer.step()
        self._state = replace(
            self._state,
            step=step + 1,
            prompt_tokens=self._state.prompt_tokens + sum(len(one["prompt"]) for one in rows),
            completion_tokens=self._state.completion_tokens + sum(len(one["completion"]) for one in rows),
        )

    def _phase(self, step: int) -> int:
        return step * len(self._phases) // self._how.steps

    def _rows(self, step: int) -> list[Row]:
        """Return the examples of a step: a function of the job and the step alone."""
        phase = self._phase(step)
        first = -(-phase * self._how.steps // len(self._phases))
        rows: Sequence[Row] = self._phases[phase]
        batch = min(self._how.batch, len(rows))
        found: list[Row] = []
        for place in range((step - first) * batch, (step - first + 1) * batch):
            round_, number = divmod(place, len(rows))
            if self._order[0] != (phase, round_):
                order = list(range(len(rows)))
                Random(f"{self._seed}/{phase}/{round_}").shuffle(order)
                self._order = (phase, round_), order
            found.append(rows[self._order[1][number]])
        return found

    def _own(self, rows: Sequence[Row]) -> Iterator[tuple[Tensor, ...]]:
        """Yield this process's part of the examples; every process yields equally many batches, the last maybe of no weight."""
        here, processes = self._accelerator.process_index, self._accelerator.num_processes
        batches = list(packed(rows, self._width))
        for number in range(here, len(batches) + -len(batches) % processes, processes):
            batch = [each.to(self._accelerator.device) for each in batches[number % len(batches)]]
            batch[-1] = batch[-1] * (number < len(batches))
            yield tuple(batch)

    @torch.no_grad()
    def _judge(self, rows: Sequence[Row]) -> tuple[float, float]:
        """Return what share of examples would be written right, and minus their mean loss a token."""
        total: float = sum(len(one["completion"]) * one["weight"] for one in rows)
        found = torch.zeros(2, device=self._accelerator.device)
        for batch in self._own(rows):
            found += self._losses(*batch)
        whole: Tensor = self._accelerator.reduce(found, "sum")
        loss, right = cast("list[float]", whole.tolist())  # pyright: ignore[reportUnknownMemberType]
        return right / len(rows), -loss / total

    def _check(self) -> None:
        found = self._judge(self._held)
        if found > self._state.best:
            self._keep(found)
        elif self._phase(self._state.step - 1) == len(self._phases) - 1:  # of which the examples kept out are
            self._state = replace(self._state, checks_since=self._state.checks_since + 1)
        self._log({"step": self._state.step, "right": found[0], "loss": -found[1]})

    def _keep(self, found: tuple[float, float]) -> None:
        self._state = replace(self._state, best=found, best_step=self._state.step, checks_since=0)
        self._best = self._copy()

    def _copy(self) -> dict[str, Tensor]:
        # not on a GPU, where memory is short
        return {name: each.detach().to("cpu", copy=True) for name, each in self._tuned.items()}

    def _log(self, record: Mapping[str, object]) -> None:
        if self._accelerator.is_main_process:
            with (self._folder / LOG).open("a") as file:
                file.write(json.dumps(record) + "\n")

    def _save(self) -> None:
        """Write a checkpoint: the old one or the new one is whole after a kill."""
        self._saved = time.monotonic()
        if not self._accelerator.is_main_process:
            return
        stored: dict[str, Tensor] = {}
        for name, each in self._tuned.items():
            moments = self._optimizer.state[each]
            stored |= {f"now/{name}": each.detach(), f"best/{name}": self._best[name]}
            stored |= {f"{moment}/{name}": moments[moment] for moment in ("exp_avg", "exp_avg_sq") if moment in moments}
        stored = {name: each.cpu().contiguous() for name, each in stored.items()}
        new = self._folder / f"{CHECKPOINT}.new"
        save_file(stored, new, {"state": json.dumps(asdict(self._state))})
        os.replace(new, self._folder / CHECKPOINT)

    def _load(self) -> None:
        opened: Any = safe_open(self._folder / CHECKPOINT, "pt", str(self._accelerator.device))
        with opened as file:
            said = json.loads(file.metadata()["state"])
            self._state = State(**said | {name: tuple(said[name]) for name in ("before", "best")})
            for name, each in self._tuned.items():
                each.data.copy_(file.get_tensor(f"now/{name}"))
                self._best[name] = file.get_tensor(f"best/{name}").cpu()
                moments = [moment for moment in ("exp_avg", "exp_avg_sq") if f"{moment}/{name}" in file.keys()]  # noqa: SIM118
                if moments:  # none where nothing has hung on it yet
                    self._optimizer.state[each] = {
                        "step": torch.tensor(float(self._state.step)),
                        **{moment: file.get_tensor(f"{moment}/{name}") for moment in moments},
                    }

    def _finish(self) -> None:
        """Write the weights at their best, and say so."""
        for name, each in self._tuned.items():
            each.data.copy_(self._best[name])
        self._accelerator.wait_for_everyone()
        if not self._accelerator.is_main_process:
            return
        if self._how.method == "full":
            configs: Any = AutoConfig
            self._model.to(configs.from_pretrained(self._base).dtype)  # as large as the base is
        self._model.save_pretrained(str(self._folder / ADAPTER), max_shard_size=ONE_FILE)
        state = self._state
        done = {
            "steps": state.best_step,
            "prompt_tokens": state.prompt_tokens,
            "completion_tokens": state.completion_tokens,
            "right_before": state.before[0],
            "right": state.best[0],
            "loss_before": -state.before[1],
            "loss": -state.best[1],
        }
        new = self._folder / f"{DONE}.new"
        new.write_text(json.dumps(done))
        os.replace(new, self._folder / DONE)


def _model(base: Path, how: Training, *, half: bool) -> Any:
    """Return the model with what is to be trained: in fp32, since bf16 forgets small steps; what is frozen may be in bf16."""
    lora = how.method == "lora"
    model: Any = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
        base, dtype=torch.bfloat16 if half and lora else torch.float32
    )
    if half:  # on a GPU memory is what is short: layers are computed again rather than kept
        # transformers' own switch works in training mode alone: with dropout, which no killed training takes up as it was
        for layer in [each for each in model.modules() if isinstance(each, GradientCheckpointingLayer)]:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    if not lora:
        return model
    settings = LoraConfig(
        r=how.rank, lora_alpha=SCALE * how.rank, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, settings)


def packed(rows: Sequence[Row], width: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield (tokens, positions, places, targets, owners, weights), several examples in one line of up to `width` tokens.

    The longest go first, each into the first line with room; positions begin anew with every example.
    """
    lines: list[list[Row]] = []
    room: list[int] = []
    for row in sorted(rows, key=_length, reverse=True):
        place = next((number for number, left in enumerate(room) if left >= _length(row)), len(lines))
        if place == len(lines):
            lines.append([])
            room.append(width)
        lines[place].append(row)
        room[place] -= _length(row)
    at_once = max(1, TOKENS_AT_ONCE // width)
    for start in range(0, len(lines), at_once):
        yield _batch(lines[start : start + at_once])


def _batch(lines: Sequence[Sequence[Row]]) -> tuple[Tensor, ...]:
    width = max(sum(map(_length, line)) for line in lines)
    tokens = torch.zeros(len(lines), width, dtype=torch.long)
    positions = torch.arange(width).repeat(len(lines), 1)
    places: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    weights: list[float] = []
    for number, line in enumerate(lines):
        start = 0
        for row in line:
            text, asked = [*row["prompt"], *row["completion"]], len(row["prompt"])
            end = start + len(text)
            tokens[number, start:end] = torch.tensor(text)
            positions[number, start:end] = torch.arange(len(text))
            places += range(number * width + start + asked - 1, number * width + end - 1)
            targets += row["completion"]
            owners += [owners[-1] + 1 if owners else 0] * len(row["completion"])
            weights += [row["weight"]] * len(row["completion"])
            start = end
        positions[number, start:] = torch.arange(width - start)
    return tokens, positions, *map(torch.tensor, (places, targets, owners, weights))


def _length(row: Row) -> int:
    return len(row["prompt"]) + len(row["completion"])


if __name__ == "__main__":
    sys.exit(main())
