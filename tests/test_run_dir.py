"""Run directories: one process at a time, one run each, readable after any kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import lmprog as lp
from lmprog.artifact import read_artifact
from lmprog.events import CandidateScored, Stopped
from lmprog.lm.cache import CallLog
from lmprog.rundir import (
    CALLS,
    JOURNAL,
    LOCK,
    REPORT,
    RESULT,
    RUN,
    RunDir,
    opened_before,
    read_journal,
    write_atomically,
)  # fmt: skip
from lmprog.testing import Asked, ScriptedLM

SETTINGS = {"seed": 0, "metric": "exact_match"}
PARAMS = lp.Params({"answer": lp.PredictorParams(instruction="Answer.\u2028Then stop.\x85")})


def scored(number: int, requested: int) -> CandidateScored:
    return CandidateScored(number, PARAMS.fingerprint, (), PARAMS, (0, 1), (1.0, 0.5), requested, "as it was")


@contextmanager
def holder(path: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that holds the directory."""
    code = (
        "import sys, pathlib; from lmprog.rundir import RunDir\n"
        "with RunDir.opened(pathlib.Path(sys.argv[1]), {'seed': 0, 'metric': 'exact_match'}):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


class TestLock:
    def test_a_directory_in_use_by_another_process_is_refused_with_its_pid(self, tmp_path: Path) -> None:
        with (
            holder(tmp_path / "run") as process,
            pytest.raises(lp.RunDirError, match=rf"in use by the process {process.pid}\. .* another run_dir"),
            RunDir.opened(tmp_path / "run", SETTINGS),
        ):
            raise AssertionError("it was opened twice")

    def test_a_killed_process_leaves_no_lock(self, tmp_path: Path) -> None:
        with holder(tmp_path / "run") as process:
            process.send_signal(signal.SIGKILL)
            process.wait()

        with RunDir.opened(tmp_path / "run", SETTINGS):
            assert (tmp_path / "run" / LOCK).read_text() == str(os.getpid())

    def test_two_runs_of_one_process_do_not_share_a_directory_either(self, tmp_path: Path) -> None:
        with (
            RunDir.opened(tmp_path, SETTINGS),
            pytest.raises(lp.RunDirError, match=f"in use by the process {os.getpid()}"),
            RunDir.opened(tmp_path, SETTINGS),
        ):
            raise AssertionError("it was opened twice")

    def test_an_error_frees_the_directory(self, tmp_path: Path) -> None:
        with pytest.raises(lp.AuthError), RunDir.opened(tmp_path, SETTINGS):
            raise lp.AuthError("the key was refused")

        with RunDir.opened(tmp_path, SETTINGS):
            pass


class TestSettings:
    def begun(self, path: Path) -> None:
        with RunDir.opened(path, SETTINGS) as run_dir:
            run_dir.note(calls=100)

    def test_the_same_settings_open_the_directory_again(self, tmp_path: Path) -> None:
        self.begun(tmp_path)

        with RunDir.opened(tmp_path, SETTINGS) as run_dir:
            assert run_dir.facts() == {"settings": SETTINGS, "calls": 100}

    def test_others_are_refused_and_every_difference_is_listed(self, tmp_path: Path) -> None:
        self.begun(tmp_path)

        with pytest.raises(lp.RunDirError) as caught, RunDir.opened(tmp_path, {"seed": 1, "group": "topic"}):
            pass

        assert str(caught.value) == (
            f"{tmp_path} holds another run. What differs: the group (none there, topic now); the metric (exact_match there, "
            f"none now); the seed (0 there, 1 now). Give another run_dir, or leave it out to have one named by the settings."
        )

    def test_long_values_are_shown_from_where_they_differ(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, {"metric": "x" * 500 + "old"}) as run_dir:
            run_dir.note(calls=None)

        with (
            pytest.raises(lp.RunDirError, match=r"metric \(\.\.\.x{20}old there, \.\.\.x{20}new now\)"),
            RunDir.opened(tmp_path, {"metric": "x" * 500 + "new"}),
        ):
            pass

    def test_a_run_that_never_began_its_search_binds_nobody(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, SETTINGS):
            pass

        with RunDir.opened(tmp_path, {"seed": 1}) as run_dir:
            assert run_dir.facts() == {"settings": {"seed": 1}}

    def test_nothing_is_left_of_such_a_run_but_its_calls(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, SETTINGS) as run_dir:
            run_dir.note(seconds=3.0)

        with RunDir.opened(tmp_path, SETTINGS) as run_dir:
            assert run_dir.facts()["seconds"] == 3.0
        with RunDir.opened(tmp_path, {"seed": 1}) as run_dir:
            assert run_dir.facts() == {"settings": {"seed": 1}}

    def test_a_run_that_is_not_finished_takes_another_budget_and_forgets_where_the_old_one_cut_it(
        self, tmp_path: Path
    ) -> None:
        with RunDir.opened(tmp_path, {"seed": 0, "budget": "Budget(calls=100)"}) as run_dir:
            run_dir.note(calls=100, cuts={"work/1": {"cap": "calls", "beside": []}}, seconds=3.0)
        larger = {"seed": 0, "budget": "Budget(calls=200)"}

        with RunDir.opened(tmp_path, larger) as run_dir:
            assert run_dir.facts() == {"settings": larger, "calls": 100, "cuts": {}, "seconds": 3.0}

    def test_a_finished_run_takes_no_other_budget_and_no_other_setting_comes_with_one(self, tmp_path: Path) -> None:
        old = {"seed": 0, "budget": "Budget(calls=100, tokens=None, usd=None, seconds=None)"}
        for facts, changes, differs in (
            ({"finished": True}, {"budget": "light"}, r"the budget \(Budget\(calls=100\) there, light now\)\."),
            ({}, {"budget": "light", "seed": 1}, r"the budget \(.*\); the seed \(0 there, 1 now\)\."),
        ):
            with RunDir.opened(tmp_path / str(len(facts)), old) as run_dir:
                run_dir.note(calls=100, **facts)

            with (
                pytest.raises(lp.RunDirError, match=rf"What differs: {differs}"),
                RunDir.opened(tmp_path / str(len(facts)), {**old, **changes}),
            ):
                pass

    def test_what_a_user_cannot_read_is_named_and_not_shown(self, tmp_path: Path) -> None:
        old = {"train": "0" * 16, "metric": f"f1 {'0' * 16}", "program_code": "0" * 16, "task_lm": "tiny"}
        with RunDir.opened(tmp_path, old) as run_dir:
            run_dir.note(calls=1)

        with (
            pytest.raises(lp.RunDirError) as raised,
            RunDir.opened(
                tmp_path,
                {"train": "1" * 16, "metric": f"f1 {'1' * 16}", "program_code": "1" * 16, "task_lm": "openai/m"},
            ),
        ):
            pass

        said = str(raised.value).partition("What differs: ")[2].partition(". Give")[0]
        assert said == (
            "the code of the metric, or a value in it; the program's code, or what it searches in; the LM (tiny there, openai/m now); the train rows"
        )

    @pytest.mark.parametrize("text", ["{", "[]", '{"name": "my-app"}'])
    def test_a_directory_of_something_else_is_refused_and_left_alone(self, tmp_path: Path, text: str) -> None:
        (tmp_path / RUN).write_text(text)

        with pytest.raises(lp.RunDirError, match="Give another run_dir"), RunDir.opened(tmp_path, SETTINGS):
            pass

        assert (tmp_path / RUN).read_text() == text

    def test_a_file_in_its_place_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("")

        with (
            pytest.raises(lp.RunDirError, match="is a file, and a run is kept in a folder"),
            RunDir.opened(tmp_path / "run", SETTINGS),
        ):
            pass


class TestJournal:
    def test_events_are_json_lines_and_a_candidates_params_stand_there_once(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, SETTINGS) as run_dir:
            with run_dir.journal() as journal:
                for event in (scored(0, 2), scored(1, 4), Stopped("the budget was spent", 4)):
                    journal(event)

            first, second, last = run_dir.events()
        assert lp.Params.from_json(json.dumps(first.pop("params"))) == PARAMS
        assert first == {
            "event": "CandidateScored", "round": 0, "candidate": PARAMS.fingerprint, "parents": [], "rows": [0, 1],
            "scores": [1.0, 0.5], "requested": 2, "origin": "as it was",
        }  # fmt: skip
        assert second == first | {"round": 1, "requested": 4}
        assert last == {"event": "Stopped", "reason": "the budget was spent", "requested": 4}

    def test_a_journal_cut_anywhere_gives_the_events_before_the_cut(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, SETTINGS) as run_dir, run_dir.journal() as journal:
            journal(scored(0, 2))
            journal(Stopped("the budget was spent: naïve", 4))
        whole = (tmp_path / JOURNAL).read_bytes()
        first = whole.index(b"\n") + 1

        for end in range(len(whole)):
            (tmp_path / JOURNAL).write_bytes(whole[:end])
            kinds = [event["event"] for event in read_journal(tmp_path / JOURNAL)]
            assert kinds == ["CandidateScored"] * (end >= first - 1) + ["Stopped"] * (end == len(whole) - 1)

    def test_a_run_without_a_journal_has_no_events(self, tmp_path: Path) -> None:
        assert read_journal(tmp_path / JOURNAL) == []

    def test_an_instruction_that_utf8_cannot_hold_breaks_no_journal(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, SETTINGS) as run_dir:
            with run_dir.journal() as journal:
                journal(Stopped("\ud800", 1))

            assert run_dir.events()[0]["reason"] == "\ud800"


def test_only_runs_beside_this_one_with_the_same_holdout_have_opened_it(tmp_path: Path) -> None:
    for name, holdout in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUN).write_text(json.dumps({"holdout": holdout}))

    assert [opened_before(tmp_path / name, "x") for name in "abcd"] == [1, 1, 2, 2]


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    (tmp_path / "file.part").mkdir()

    with pytest.raises(OSError):
        write_atomically(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"old"


COMPILE = """
import os, signal, sys
import lmprog as lp
from lmprog.testing import ScriptedLM

answered = 0

def script(asked):
    global answered
    if answered == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    answered += 1
    number = asked.inputs["question"][1:]
    return {"answer": number + "!" if asked.demos or number.endswith("1") else "?"}

rows = [{"question": f"q{number}", "answer": f"{number}!"} for number in range(100)]
result = lp.compile(
    lp.Predict("question -> answer"), train=rows, metric=lp.metrics.exact_match("answer"), lm=ScriptedLM(script),
    optimizer="bootstrap-random-search:candidates=3", run_dir=sys.argv[1],
)
print(answered, result.shipped)
"""


def compile_in_new_process(run_dir: Path, *, killed_after: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMPILE, str(run_dir), str(killed_after)]
    return subprocess.run(command, capture_output=True, text=True, check=killed_after < 0)


def test_a_compile_killed_outright_goes_on_where_it_was(tmp_path: Path) -> None:
    killed = compile_in_new_process(tmp_path / "a" / "run", killed_after=100)
    with CallLog(tmp_path / "a" / "run" / CALLS) as log:
        recorded = len(log)
    resumed = compile_in_new_process(tmp_path / "a" / "run")
    whole = compile_in_new_process(tmp_path / "b" / "run")

    assert killed.returncode == -signal.SIGKILL
    assert (
        100 - 2 * 16 <= recorded <= 100
    )  # 16 may be in flight, and as many answered in the pass of the loop that was killed
    sent, shipped = resumed.stdout.split()
    assert [str(int(sent) + recorded), shipped] == whole.stdout.split() and shipped == "compiled"
    assert (tmp_path / "a" / "run" / RESULT).read_bytes() == (tmp_path / "b" / "run" / RESULT).read_bytes()


class TestDamage:
    def finished(self, path: Path) -> bytes:
        compile_in_new_process(path)
        return (path / RESULT).read_bytes()

    def test_a_damaged_run_json_says_to_delete_it_and_the_run_then_sends_nothing_again(self, tmp_path: Path) -> None:
        result = self.finished(tmp_path)
        (tmp_path / RUN).write_text("{")

        with pytest.raises(subprocess.CalledProcessError) as ended:
            compile_in_new_process(tmp_path)
        assert "Delete that file: the recorded calls are kept and the run goes on." in ended.value.stderr
        (tmp_path / RUN).unlink()

        assert compile_in_new_process(tmp_path).stdout.startswith("0 ")
        assert (tmp_path / RESULT).read_bytes() == result

    def test_a_damaged_result_of_a_finished_run_is_made_again(self, tmp_path: Path) -> None:
        result = self.finished(tmp_path)
        (tmp_path / RESULT).write_bytes(result[:-100])

        again = compile_in_new_process(tmp_path)

        assert again.stdout.startswith("0 ")
        assert (tmp_path / RESULT).read_bytes() == result

    def test_a_report_that_is_gone_is_written_from_the_artifact(self, tmp_path: Path) -> None:
        self.finished(tmp_path)
        (tmp_path / REPORT).unlink()

        compile_in_new_process(tmp_path)

        assert (tmp_path / REPORT).read_bytes() == read_artifact(tmp_path / RESULT).entries[REPORT]

    @pytest.mark.parametrize(
        "facts",
        [
            {"settings": None}, {"cuts": [1]}, {"cuts": {"a": {}}}, {"seconds": "long"}, {"seconds": float("nan")},
            {"sent": -1}, {"usd_by_role": [1]}, {"finished": "perhaps"}, {"opened_before": None},
        ],
    )  # fmt: skip
    def test_facts_of_the_wrong_kind_are_named(self, tmp_path: Path, facts: dict[str, object]) -> None:
        (tmp_path / RUN).write_text(json.dumps({"settings": SETTINGS, "calls": 5, **facts}))

        with (
            pytest.raises(lp.RunDirError, match=rf"run\.json is damaged \({next(iter(facts))}"),
            RunDir.opened(tmp_path, SETTINGS),
        ):
            pass

    @pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
    def test_a_run_json_that_cannot_be_read_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / RUN).write_bytes(content)

        with pytest.raises(lp.RunDirError, match=r"run\.json is damaged"), RunDir.opened(tmp_path, SETTINGS):
            pass

    def test_lines_of_a_journal_that_are_no_whole_event_are_passed_over(self, tmp_path: Path) -> None:
        lines = [
            b"5", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"event": "CandidateScored"}', b"{",
            b'{"event": "Stopped", "reason": "done", "requested": 1}',
        ]  # fmt: skip
        (tmp_path / JOURNAL).write_bytes(b"\n".join(lines))

        assert [event["reason"] for event in read_journal(tmp_path / JOURNAL)] == ["done"]


class TestWhatCannotBeWritten:
    def test_is_named_with_its_path(self, tmp_path: Path) -> None:
        with RunDir.opened(tmp_path, SETTINGS) as run_dir:
            (tmp_path / f"{RUN}.part").mkdir()
            with pytest.raises(lp.RunDirError, match=r"run\.json cannot be written: Is a directory"):
                run_dir.note(calls=1)

            (tmp_path / JOURNAL).mkdir()
            with pytest.raises(lp.RunDirError, match=r"journal\.jsonl cannot be written"), run_dir.journal():
                pass

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
    def test_an_event_on_a_full_disk_says_to_free_space(self, tmp_path: Path) -> None:
        (tmp_path / JOURNAL).symlink_to("/dev/full")

        with (
            RunDir.opened(tmp_path, SETTINGS) as run_dir,
            pytest.raises(lp.RunDirError, match=r"journal\.jsonl cannot be written: No space left .* Free some space"),
            run_dir.journal() as journal,
        ):
            journal(Stopped("done", 1))

    def test_a_note_that_cannot_be_written_hides_no_error_under_way(self, tmp_path: Path) -> None:
        def full(asked: Asked) -> str:
            (tmp_path / f"{RUN}.part").mkdir(exist_ok=True)
            raise lp.AuthError("the key was refused")

        with pytest.raises(lp.AuthError, match="the key was refused"):
            lp.compile(
                lp.Predict("question -> answer"),
                train=[{"question": f"q{number}", "answer": "a"} for number in range(100)],
                metric=lp.metrics.exact_match("answer"),
                lm=ScriptedLM(full),
                run_dir=tmp_path,
            )

    @pytest.mark.skipif(sys.platform == "win32", reason="needs users")
    def test_a_finished_run_that_can_only_be_read_is_opened_all_the_same(self) -> None:
        code = (
            "import os, pathlib, sys; from lmprog.rundir import RunDir\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "with RunDir.opened(pathlib.Path(sys.argv[1]), {'seed': 0, 'metric': 'exact_match'}) as run: print(run.facts())"
        )
        with TemporaryDirectory() as folder:
            above, path = Path(folder), Path(folder) / "run"
            path.mkdir()
            (path / RUN).write_text(json.dumps({"settings": SETTINGS, "calls": 5, "finished": True}))
            path.chmod(0o555)
            above.chmod(0o755)

            read = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
            path.chmod(0o755)

        assert "'finished': True" in read.stdout, read.stderr
