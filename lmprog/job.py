"""A job: what `compile()` was asked for, checked, and told apart from every other job."""

import hashlib
import inspect
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from os import PathLike, fspath
from pathlib import Path
from types import FunctionType, NoneType
from typing import Any, Generic, cast, get_args

from lmprog import loop, scope
from lmprog.artifact import signatures_of
from lmprog.budget import MOST_VAL, Size
from lmprog.certificate import Gate
from lmprog.data import LEAST_HOLDOUT, SHARES, Row, Splits, fields_in, fingerprint, read_rows, split, together
from lmprog.errors import CapabilityError, DataError, InputError, ScopeError
from lmprog.evaluation import check_concurrency
from lmprog.identity import identity_of
from lmprog.lm import client_of, default_lm
from lmprog.lm.ledger import Budget, Role
from lmprog.lm.specs import from_spec, of_predictor
from lmprog.lm.wire import shown
from lmprog.metrics import Metric, check_metric
from lmprog.module import M, Module, Program, check_capabilities, check_program, inputs_of, params_of, predictors
from lmprog.narration import count
from lmprog.optimizer import Optimizer, needs_of
from lmprog.registry import names
from lmprog.request import LM
from lmprog.secrets import is_key, keep_secret, redact, redact_code
from lmprog.signature import fields_of, fits, type_name

PLAIN = (str, int, float, bool)
_log = logging.getLogger("lmprog")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Job(Generic[M]):
    """All that decides a compile, as `compile()` takes it."""

    program: M
    train: Iterable[Any]
    metric: Metric
    val: Iterable[Any] | None = None
    holdout: Iterable[Any] | None = None
    optimizer: str | Optimizer = "mipro"
    lm: LM | str | None = None
    proposer: LM | str | None = None
    teacher: LM | str | None = None
    judge: LM | str | None = None
    budget: Size | Budget = "light"
    run_dir: str | Path | None = None
    seed: int = 0
    gate: Gate = "no-harm"
    group: str | None = None
    concurrency: int = loop.DEFAULT_CONCURRENCY
    no_rows: bool = False
    """Whether to keep what stands in rows out of the report: it then shows no demo."""
    task: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What a task says of its data and options, as JSON data; nothing where no task was named."""


def check(job: Job[M]) -> None:
    """Refuse at once what would only fail at the end of a run."""
    check_program(job.program)
    _keep_keys(job.program)
    if not predictors(job.program):
        raise InputError(
            f"{type(job.program).__name__} has no predictor in its attributes, so there is nothing to compile. Make its "
            f"predictors in `__init__`: `self.answer = lp.Predict(...)`."
        )
    check_metric(job.metric)
    _check_optimizer(job.optimizer)
    check_concurrency(job.concurrency)
    if job.gate not in get_args(Gate):
        raise InputError(f"gate={job.gate!r} is unknown: write one of {list(get_args(Gate))}.")
    if not isinstance(job.budget, Budget) and job.budget not in list(MOST_VAL):
        raise InputError(f"budget={job.budget!r} is unknown: write one of {list(MOST_VAL)}, or lp.Budget(calls=...).")
    seed, run_dir, group = cast("tuple[object, object, object]", (job.seed, job.run_dir, job.group))
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed={seed!r}: a seed is a whole number from 0 on, such as seed=1.")
    if not isinstance(run_dir, (str, PathLike, NoneType)) or (
        run_dir is not None and not _is_path(cast("str | PathLike[str]", run_dir))
    ):
        raise InputError(f'run_dir={run_dir!r} is no path: write run_dir="runs/mine", or leave it out.')
    if not isinstance(group, (str, NoneType)):
        raise InputError(
            f'group={group!r}: write the name of the field whose rows belong together, as group="document".'
        )


def _keep_keys(program: Program, around: tuple[object, ...] = ()) -> None:
    """Note the keys in a program's attributes, so that they are hidden wherever they would be written."""
    for name, part in vars(program).items():
        if is_key(name, part):
            keep_secret(part)
        elif isinstance(part, Module) and part not in around:
            _keep_keys(part, (*around, program))


def _is_path(path: str | PathLike[str]) -> bool:
    return fspath(path) != "" and "\0" not in str(path)


def _check_optimizer(optimizer: object) -> None:
    if isinstance(optimizer, str):
        return
    if isinstance(optimizer, type):
        name = optimizer.__name__
        raise InputError(f"the optimizer is the class {name}: write `optimizer={name}(...)`, an object made of it.")
    search = getattr(optimizer, "search", None)
    if not callable(search):
        raise InputError(
            f"the optimizer is {optimizer!r}, which has no `async def search(self, problem, params)`. Write it, or name one "
            f"of {', '.join(names('optimizers'))}."
        )
    try:
        inspect.signature(search).bind(None, None)
    except TypeError as error:
        raise InputError(
            f"`search` of {type(optimizer).__name__} cannot be called with (problem, params): {error}. Write "
            f"`async def search(self, problem, params)`."
        ) from None


def clients_of(job: Job[M]) -> dict[Role, LM]:
    """Return each role's LM; proposer, teacher and judge default to the task's."""
    task = from_spec(job.lm) if job.lm is not None else scope.current().lm or default_lm()
    if task is None:
        raise ScopeError(
            'there is no LM to compile for: write `lp.compile(..., lm="tiny")`, `lp.configure(lm=...)`, or set LMPROG_LM.'
        )
    others = {"proposer": job.proposer, "teacher": job.teacher, "judge": job.judge}
    task = client_of(task)
    found = {"task": task, **{role: task if spec is None else from_spec(spec) for role, spec in others.items()}}
    for role, client in found.items():
        if "generate" not in client.capabilities:
            raise CapabilityError(f"{client.name} cannot be the {role} LM: it lacks the capability `generate`.")
        if role in ("task", "teacher"):
            check_capabilities(job.program, client, role)
    for path, value in params_of(job.program).items():
        own = task if value.config.lm is None else of_predictor(value.config.lm)
        needed = {"generate", "sample"} if value.config.temperature else {"generate"}
        if lacking := sorted(needed - own.capabilities):
            raise CapabilityError(
                f"{own.name} cannot be the LM of `{path}`: it lacks the capability {', '.join(map(repr, lacking))}. It has "
                f"{sorted(own.capabilities)}. Name another LM, or leave the predictor's temperature at 0."
            )
    return cast("dict[Role, LM]", found)


def check_needs(optimizer: Optimizer, clients: Mapping[Role, LM]) -> None:
    """Raise CapabilityError where the task LM lacks what the optimizer needs."""
    task = clients["task"]
    if lacking := sorted(needs_of(optimizer) - task.capabilities):
        raise CapabilityError(
            f"{optimizer_name(optimizer)} needs the capability {', '.join(map(repr, lacking))} of the task LM, which {task.name} lacks: "
            f'it has {sorted(task.capabilities)}. Use an LM whose weights are here, such as "tiny", or another optimizer.'
        )


def splits_of(job: Job[M]) -> Splits:
    """Read, check and split the rows; DataError where the holdout could not prove anything."""
    train = read_rows(job.train, job.program, what="train")
    given = {
        part: None if rows is None else read_rows(rows, job.program, what=part)
        for part, rows in (("val", job.val), ("holdout", job.holdout))
    }
    splits = split(job.program, train, given["val"], given["holdout"], seed=job.seed, group=job.group)
    if len(splits.holdout) < LEAST_HOLDOUT and job.gate != "none":
        share = SHARES["holdout"] / (1 if job.val is None else SHARES["train"] + SHARES["holdout"])
        needed = math.ceil(LEAST_HOLDOUT / share)
        more = f" Of `train` {share:.0%} become holdout: give {needed} rows or more.{_alike(job, train)}"
        raise DataError(
            f"the holdout has {count(len(splits.holdout), 'row')}, and fewer than {LEAST_HOLDOUT} prove nothing."
            f"{more if job.holdout is None else f' Give {LEAST_HOLDOUT} or more.'} "
            f'Or write gate="none" to ship without proof.'
        )
    for part in SHARES:
        if not getattr(splits, part):
            raise DataError(
                f"the split leaves no {part} row: there are too few rows ({len(train)} in `train`).{_alike(job, train)}"
            )
    _warn_of_labels(job, splits.train)
    if isinstance(job.budget, str):
        splits = replace(splits, val=splits.val[: MOST_VAL[job.budget]])
    return splits


def _alike(job: Job[M], rows: Sequence[Row]) -> str:
    """Return how few rows can be parted from each other, where that is what leaves a part short of them; or nothing."""
    sets = len(together(rows, inputs_of(job.program), job.group))
    if sets == len(rows):
        return ""
    by = "inputs" if job.group is None else f"inputs or the same {job.group!r}"
    return (
        f" The {len(rows)} rows are but {count(sets, 'set')} that can be parted: those with the same {by} share a part, "
        f"so that nothing is proven on what was learned from."
    )


def _warn_of_labels(job: Job[M], rows: Sequence[Row]) -> None:
    """Say which labels cannot be values of the output of their name: an exact score is then 0, and no demo is made of them."""
    inputs = inputs_of(job.program)
    for path, predictor in predictors(job.program).items():
        for name, output in fields_of(predictor.signature).outputs.items():
            if name in inputs:
                continue
            labels = [value for row in rows if isinstance(value := fields_in(row).get(name), PLAIN)]
            odd = [value for value in labels if not fits(output, value)]
            if odd:
                first = "" if job.no_rows else f" (the first: {shown(repr(odd[0]))})"
                _log.warning(
                    "`%s` of %d in %d training rows does not fit the output of `%s`, %s%s: no demos are made of such rows, "
                    "and a metric that compares exactly finds them all wrong. Write labels as the output can be.",
                    name, len(odd), len(labels), path, type_name(output.annotation).removeprefix("typing."), first,
                )  # fmt: skip


def settings_of(job: Job[M], optimizer: Optimizer, clients: Mapping[Role, LM], splits: Splits) -> dict[str, Any]:
    """Return all that decides the run, as JSON data."""
    return {
        "program": f"{type(job.program).__module__}:{type(job.program).__qualname__}",
        "program_code": identity_of(job.program),
        "program_values": _values(job.program),
        **{f"signature of {path}": signature for path, signature in signatures_of(job.program).items()},
        "params": params_of(job.program).fingerprint,
        "metric": _describe(job.metric),
        "optimizer": _describe(optimizer),
        **{f"{role}_lm": client.name for role, client in clients.items()},
        "budget": job.budget if isinstance(job.budget, str) else repr(job.budget),
        **{part: fingerprint(getattr(splits, part)) for part in SHARES},
        "seed": job.seed,
        "gate": job.gate,
        "group": job.group,
        "lmprog": version("lmprog"),
        **({"task": dict(job.task)} if job.task else {}),
    }


def run_path(job: Job[M], settings: Mapping[str, Any]) -> Path:
    """Return the run directory: the one given, or one named by the settings, so that the same command finds it again."""
    digest = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:8]
    return Path(job.run_dir or Path("runs") / f"{_slug(type(job.program).__name__)}-{digest}")


def optimizer_name(optimizer: str | Optimizer) -> str:
    """Return what to call an optimizer."""
    return optimizer if isinstance(optimizer, str) else type(optimizer).__name__


def _describe(thing: object) -> str:
    """Return a name for a metric or optimizer that a person knows, and its identity."""
    if isinstance(thing, FunctionType):
        return f"{thing.__module__}:{thing.__qualname__} {identity_of(thing)}"
    return f"{redact_code(_ADDRESS.sub('', repr(thing)))} {identity_of(thing)}"


def _values(value: object, around: tuple[object, ...] = ()) -> Any:
    """Return the plain values that a program's modules were made with, such as a number of hops, for a person to read."""
    if not isinstance(value, Module):
        return redact(value) if isinstance(value, str) else value if isinstance(value, PLAIN) else None
    own = {name: part for name, part in vars(value).items() if name not in vars(Module) and part not in around}
    around = (*around, value)
    return {
        name: _values(part, around)
        for name, part in own.items()
        if isinstance(part, (*PLAIN, Module)) and not is_key(name, part)
    }


def _slug(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
