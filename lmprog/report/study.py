"""A search as an Optuna study, which optuna-dashboard and Optuna's plots read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmprog.errors import InputError
from lmprog.params import Params
from lmprog.report.history import Candidate, History
from lmprog.request import canonical_json
from lmprog.rundir import JOURNAL, read_journal
from lmprog.secrets import HIDDEN

if TYPE_CHECKING:
    import optuna

RUN_DIR = "run_dir"
"""The attribute of a study that names the folder which it was made of."""

_KINDS = ("instruction", "demos", "field_descriptions", "format")


def optuna_study(
    run_dir: Path | str, storage: "str | optuna.storages.BaseStorage | None" = None, name: str | None = None
) -> "optuna.Study":
    """Return a run's search, whatever optimizer made it, as a study: a trial for each candidate, the program as it was first.

    Also while the run is under way. A trial's parameters are the numbers, from 0, of the predictor's instruction and demo
    set, of its field descriptions and format where these differ; its value is the mean over the validation rows. One that
    was never scored on all rows is pruned. Intermediate values are its means by the number of rows, attributes tell its
    origin and instructions. `storage` is where Optuna keeps the study, such as "sqlite:///study.db", under `name` (by
    default the folder's); in memory where there is none. A study that this made of the same folder before is replaced.
    InputError where the run has no search to show, and where the storage has another study of that name. No LM call.
    """
    import optuna  # takes longer to load than all else
    from sqlalchemy.exc import SQLAlchemyError  # which optuna brings

    if not Path(run_dir).is_dir():
        raise InputError(f"there is no folder {run_dir}: give the run_dir of a compile.")
    history = History.read(read_journal(Path(run_dir) / JOURNAL))
    tried = [(one, one.params) for one in sorted(history.ranked(), key=lambda one: one.number) if one.params]
    if not tried:
        raise InputError(
            f"{run_dir} holds no scored candidate: give the run_dir of a compile that has begun its search."
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    title = name or Path(run_dir).resolve().name
    try:
        kept = optuna.storages.get_storage(storage)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        shown = storage if isinstance(storage, str) else "..."
        raise InputError(
            f"storage={_without_password(shown)!r} cannot hold the study: {_without_password(str(error))}. Write a URL, such as "
            f"'sqlite:///study.db', of a place that can be written."
        ) from None
    run = str(Path(run_dir).resolve())
    if title in optuna.get_all_study_names(kept):
        if optuna.load_study(study_name=title, storage=kept).user_attrs.get(RUN_DIR) != run:
            raise InputError(
                f"the storage has a study {title!r} already, and not of {run}: give another name, or delete that one."
            )
        optuna.delete_study(study_name=title, storage=kept)
    study = optuna.create_study(storage=kept, study_name=title, direction="maximize")
    study.set_user_attr(RUN_DIR, run)
    options = _options([params for _, params in tried])
    space: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.CategoricalDistribution(tuple(range(len(known)))) for key, known in options.items()
    }
    for one, params in tried:
        full = history.table.is_full(one.name)
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if full else optuna.trial.TrialState.PRUNED,
                value=history.table.mean(one.name) if full else None,
                params={key: known[_said(params, key)] for key, known in options.items()},
                distributions=space,
                intermediate_values={
                    scoring.rows: scoring.mean for scoring in history.scorings if scoring.candidate.name == one.name
                },
                user_attrs=_attributes(history, one, params),
            )
        )
    return study


def _without_password(text: str) -> str:
    return re.sub(r"//.*@", f"//{HIDDEN}@", text)


def _options(tried: Sequence[Params]) -> dict[str, dict[str, int]]:
    """Return each choice that differs between candidates, and what it may be by content, numbered as it came up."""
    found: dict[str, dict[str, int]] = {}
    for key in (f"{path}.{kind}" for path in tried[0] for kind in _KINDS):
        said = dict.fromkeys(_said(params, key) for params in tried)
        if len(said) > 1:
            found[key] = {text: number for number, text in enumerate(said)}
    return found


def _said(params: Params, key: str) -> str:
    path, _, kind = key.rpartition(".")
    value = params[path]
    return value.instruction if kind == "instruction" else canonical_json(value.model_dump(mode="json")[kind])


def _attributes(history: History, one: Candidate, params: Params) -> dict[str, str | int | float]:
    said = {f"{path}.instruction": value.instruction for path, value in params.items()}
    demos = {f"{path}.demos": len(value.demos) for path, value in params.items()}
    known = {"rows": history.table.n(one.name), "estimate": history.estimates[one.name]}
    return {"candidate": one.name, "origin": one.origin, **known, **said, **demos}
