"""A search as an Optuna study: one trial a candidate, in a storage that other programs read."""

import re
import traceback
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

import lmprog as lp
from lmprog.metrics import exact_match
from lmprog.optimizer import Outcome, Problem
from lmprog.optimizers.select.full import Full
from lmprog.params import Demo
from lmprog.rundir import JOURNAL
from lmprog.search import Ask, search
from lmprog.testing import Answer, Asked, ScriptedLM

DEMO = Demo(inputs={"question": "1"}, outputs={"answer": "1"})


class Reply(lp.Signature):
    """Guess."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


def reply(asked: Asked) -> Answer:
    number = int(asked.inputs["question"])
    return {"answer": str(number) if number % 4 < 1 + asked.instruction.count("well") + len(asked.demos) else "?"}


class Tries:
    """One wording in full, one with a demo on six rows alone."""

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        (path,) = params
        worded = params.replace(path, instruction="Guess well.")
        both = worded.replace(path, demos=(DEMO,))
        asks = [Ask(worded, origin="a wording"), Ask(both, (0, 1, 2, 3, 4, 5), origin="and a demo")]
        return await search(problem, params, Full(asks), finalists=0)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"question": str(number), "answer": str(number)} for number in range(80)]
    made = lp.compile(
        lp.Predict(Reply), train=rows[:10], val=rows[10:30], holdout=rows[30:], metric=exact_match("answer"),
        optimizer=Tries(), lm=ScriptedLM(reply), run_dir=tmp_path_factory.mktemp("runs") / "guess",
    )  # fmt: skip
    return made.run_dir


def test_each_candidate_is_a_trial_and_its_choices_are_numbered_as_they_came_up(run_dir: Path) -> None:
    study = lp.optuna_study(run_dir)

    before, worded, both = study.trials
    assert study.study_name == "guess"
    assert [one.params for one in study.trials] == [
        {"predict.instruction": 0, "predict.demos": 0}, {"predict.instruction": 1, "predict.demos": 0}, {"predict.instruction": 1, "predict.demos": 1},
    ]  # fmt: skip
    assert (before.value, worded.value) == (0.25, 0.5)
    assert study.best_trial.number == 1
    assert (worded.user_attrs["origin"], worded.user_attrs["predict.instruction"]) == ("a wording", "Guess well.")
    assert both.user_attrs["predict.demos"] == 1


def test_a_candidate_without_a_full_score_is_pruned_at_its_rows(run_dir: Path) -> None:
    both = lp.optuna_study(run_dir).trials[2]

    assert both.state == optuna.trial.TrialState.PRUNED
    assert both.intermediate_values == {6: pytest.approx(4 / 6)}
    assert both.user_attrs["rows"] == 6


def test_a_storage_keeps_it_and_a_study_of_another_making_is_left_alone(run_dir: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=storage, study_name="guess")

    with pytest.raises(lp.InputError, match=r"has a study 'guess' already, and not of .*/guess: give another name"):
        lp.optuna_study(run_dir, storage)

    made = lp.optuna_study(run_dir, storage, name="again")
    read = optuna.load_study(storage=storage, study_name="again")
    assert [trial.params for trial in read.trials] == [trial.params for trial in made.trials]


def test_made_again_as_the_run_goes_on_it_holds_what_came_since(run_dir: Path, tmp_path: Path) -> None:
    under_way, storage = tmp_path / "guess", f"sqlite:///{tmp_path / 'study.db'}"
    under_way.mkdir()
    lines = (run_dir / JOURNAL).read_text().splitlines(keepends=True)
    begun = next(number for number, line in enumerate(lines) if '"CandidateScored"' in line)
    (under_way / JOURNAL).write_text("".join(lines[: begun + 1]))
    assert len(lp.optuna_study(under_way, storage).trials) == 1
    (under_way / JOURNAL).write_text("".join(lines))

    lp.optuna_study(under_way, storage)

    read = optuna.load_study(storage=storage, study_name="guess")
    assert [trial.params for trial in read.trials] == [trial.params for trial in lp.optuna_study(run_dir).trials]
    assert optuna.get_all_study_names(storage) == ["guess"]


@pytest.mark.parametrize("storage", ["st.db", "sqlite:////nowhere/at/all/study.db", "foo://x", "redis://x", ""])
def test_a_storage_that_cannot_be_is_refused(run_dir: Path, storage: str) -> None:
    with pytest.raises(
        lp.InputError,
        match=rf"storage='{re.escape(storage)}' cannot hold the study: [\s\S]*Write a URL, such as 'sqlite:",
    ):
        lp.optuna_study(run_dir, storage)


@pytest.mark.parametrize(
    "storage",
    [
        "mysql://u:secretpass1@h/db",
        "sqlite://u:secretpass1@h/x/db",
        "foo://u:secret/pass@1@h",
        "postgresql://u:secretpass1@[h/db",
    ],
)
def test_the_password_of_a_storage_stands_in_no_error(run_dir: Path, storage: str) -> None:
    with pytest.raises(lp.InputError, match=r"storage='\w+://\*\*\*@") as raised:
        lp.optuna_study(run_dir, storage)

    assert "secret" not in "".join(traceback.format_exception(raised.value)[-1:])
    assert raised.value.__suppress_context__


class NoTrials(optuna.storages.InMemoryStorage):
    """Takes no trial."""

    def create_new_trial(self, study_id: int, template_trial: optuna.trial.FrozenTrial | None = None) -> int:
        raise RuntimeError("the disk is full")


class NoStudies(optuna.storages.InMemoryStorage):
    """Takes no study."""

    def create_new_study(self, directions: Sequence[optuna.study.StudyDirection], study_name: str | None = None) -> int:
        raise RuntimeError("the disk is full")


@pytest.mark.parametrize("storage", [NoTrials(), NoStudies()], ids=["trial", "study"])
def test_what_ails_a_storage_of_one_s_own_is_raised_as_it_is(
    run_dir: Path, storage: optuna.storages.BaseStorage
) -> None:
    with pytest.raises(RuntimeError, match="the disk is full"):
        lp.optuna_study(run_dir, storage)


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lp.InputError, match=r"there is no folder .*/nowhere: give the run_dir of a compile"):
        lp.optuna_study(tmp_path / "nowhere")
    with pytest.raises(lp.InputError, match="holds no scored candidate: give the run_dir of a compile"):
        lp.optuna_study(tmp_path)
