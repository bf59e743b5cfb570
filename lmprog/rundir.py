"""A run directory: the settings of a run, its recorded calls, its journal, its results, and a lock."""

import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from errno import ENOSPC
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmprog.errors import RunDirError
from lmprog.events import CandidateScored, Event
from lmprog.locks import lock
from lmprog.request import canonical_json, read_json

CALLS, JOURNAL, LOCK, REPORT, RESULT, RUN = (
    "calls.sqlite", "journal.jsonl", "lock", "report.html", "result.lmprog", "run.json",
)  # fmt: skip

_WORDS = {
    "program": "the program", "program_values": "the values that the program was made with",
    "metric": "the metric", "optimizer": "the optimizer", "task_lm": "the LM", "proposer_lm": "the proposer",
    "teacher_lm": "the teacher", "judge_lm": "the judge", "budget": "the budget", "seed": "the seed", "gate": "the gate",
    "group": "the group", "lmprog": "the version of lmprog", "task": "the data or the options of the task",
}  # fmt: skip
"""What a user knows a setting as."""
_UNSHOWN = {
    "program_code": "the program's code, or what it searches in", "params": "the instructions or demos that the program starts with",
    "train": "the train rows", "val": "the validation rows", "holdout": "the holdout rows",
}  # fmt: skip
"""The same of settings that run.json holds as a digest."""
_DIGEST = re.compile(r" [0-9a-f]{16}$")
"""What tells the code of a metric or optimizer from another of the same name."""
_NO_CAP = re.compile(r"\b\w+=None(, )?|, \w+=None")
_SHOWN = 60
"""Characters of a setting that an error shows."""
_FROM_0 = Field(ge=0, allow_inf_nan=False)
_PARTS = {
    "CandidateScored": {"candidate", "rows", "scores", "requested", "origin"},
    "IncumbentChanged": {"candidate", "score", "requested"},
    "StageEnded": {"stage", "facts", "requested"},
    "Stopped": {"reason", "requested"},
}
"""What a line of the journal holds at least, by event."""


class _Cut(BaseModel):
    cap: str
    beside: list[str]


class _Facts(BaseModel):
    """What of run.json is read again."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    settings: dict[str, Any] = {}
    seconds: Annotated[float, _FROM_0] = 0.0
    sent: Annotated[int, _FROM_0] = 0
    usd_by_role: dict[str, Annotated[float, _FROM_0]] = {}
    cuts: dict[str, _Cut] = {}
    opened_before: Annotated[int, _FROM_0] = 0
    finished: bool = False
    no_rows: bool = False


class RunDir:
    """A directory that holds one run. Open it with `RunDir.opened`, which locks it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    @contextmanager
    def opened(path: Path, settings: Mapping[str, Any]) -> Generator["RunDir"]:
        """Lock the directory, made if need be, and check that it holds this run or none.

        A run that is not finished may go on under another budget; where a cap cut its search, it is searched anew.
        RunDirError if another process works in it, or if it holds a run with other settings.
        """
        if path.exists() and not path.is_dir():
            raise RunDirError(f"{path} is a file, and a run is kept in a folder. Give another run_dir.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirError(f"{path} cannot be made: {error.strerror}. Give another run_dir.") from None
        run_dir = RunDir(path)
        read_only = not os.access(path, os.W_OK) and run_dir.facts().get("finished")  # there is nothing to write
        with nullcontext() if read_only else _locked(path / LOCK):
            run_dir._check(settings)
            yield run_dir

    def facts(self) -> dict[str, Any]:
        """Return run.json: the settings, and what is known about the run so far."""
        return _read_json(self.path / RUN) if (self.path / RUN).exists() else {}

    def note(self, **facts: object) -> None:
        """Add to run.json; the file is replaced whole, so that a kill leaves the old one or the new one."""
        self._write({**self.facts(), **facts})

    @contextmanager
    def journal(self) -> Generator["Journal"]:
        """Open the journal of this process's part of the run. A resumed run writes it anew, from replayed calls."""
        path = self.path / JOURNAL
        with _writing(path):
            file = path.open("w", encoding="utf-8")
        try:
            yield Journal(file, path)
        finally:
            with suppress(OSError):  # an event that could not be written has told
                file.close()

    def events(self) -> list[dict[str, Any]]:
        """Return the journal's events as JSON data; a line that a kill cut short is left out."""
        return read_journal(self.path / JOURNAL)

    def _check(self, settings: Mapping[str, Any]) -> None:
        facts = self.facts()
        if facts and "settings" not in facts:
            raise RunDirError(f"{self.path} holds a {RUN} of something else. Give another run_dir.")
        old = facts.get("settings", {})
        different = [
            name
            for name in sorted({*old, *settings})
            if canonical_json(old.get(name)) != canonical_json(settings.get(name))
        ]
        if "calls" not in facts:  # no search was begun: a budget refused as too small binds nobody
            self._write({**(facts if not different else {}), "settings": settings})
        elif different == ["budget"] and not facts.get("finished"):
            self.note(settings=settings, cuts={})
        elif different:
            words = [_in_words(name, old.get(name), settings.get(name)) for name in different]
            raise RunDirError(
                f"{self.path} holds another run. What differs: {'; '.join(words)}. Give another run_dir, or leave it "
                f"out to have one named by the settings."
            )

    def write(self, name: str, content: bytes) -> None:
        """Write one of the directory's files, whole or not at all."""
        with _writing(self.path / name):
            write_atomically(self.path / name, content)

    def _write(self, facts: Mapping[str, object]) -> None:
        self.write(RUN, json.dumps(facts, indent=2).encode())


class Journal:
    """Writes events as JSON lines. The params of a candidate are written once."""

    def __init__(self, file: TextIO, path: str | Path = JOURNAL) -> None:
        self._file, self._path, self._known = file, path, set[str]()

    def __call__(self, event: Event) -> None:
        """Write one event."""
        data = {"event": type(event).__name__, **_plain(event)}
        if isinstance(event, CandidateScored) and event.candidate in self._known:
            del data["params"]
        elif isinstance(event, CandidateScored):
            self._known.add(event.candidate)
        with _writing(self._path):
            self._file.write(json.dumps(data) + "\n")
            self._file.flush()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return a journal's events as JSON data; a line that a kill cut short, or that is no event, is left out."""
    events: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []:
        try:
            event = read_json(line)
        except ValueError:
            continue
        parts = cast("dict[str, Any]", event) if isinstance(event, dict) else {}
        if parts and parts.keys() >= _PARTS.get(str(parts.get("event")), set()):
            events.append(parts)
    return events


def opened_before(path: Path, holdout: str) -> int:
    """Return how many runs beside this one, other than equal ones, have opened the same holdout rows.

    What cannot be read is no run.
    """
    own = _read_json(path / RUN).get("settings") if (path / RUN).exists() else None
    beside = [found for found in path.resolve().parent.glob(f"*/{RUN}") if found.parent.resolve() != path.resolve()]
    opened = 0
    for found in beside:
        try:
            facts = _read_json(found)
            opened += facts.get("holdout") == holdout and (own is None or facts.get("settings") != own)
        except (OSError, RunDirError):
            continue
    return opened


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill, sees the old content or the new, never a part."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave the new name with nothing behind it
    os.replace(part, path)


def _plain(event: Event) -> dict[str, Any]:
    if isinstance(event, CandidateScored):
        return {
            "round": event.round,
            "candidate": event.candidate,
            "parents": list(event.parents),
            "params": json.loads(event.params.to_json(indent=None)),
            "rows": event.rows,
            "scores": event.scores,
            "requested": event.requested,
            "origin": event.origin,
            **({"failures": event.failures} if event.failures else {}),
        }
    return asdict(event)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Hold a lock that the operating system gives back when the process ends, however it ends."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritten(path, error) from None
    try:
        try:
            lock(handle)
        except OSError:
            pid = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise RunDirError(
                f"{path.parent} is in use by the process {pid}. Wait for it, or give another run_dir."
            ) from None
        with _writing(path):
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


@contextmanager
def _writing(path: Path | str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritten(path, error) from None


def _unwritten(path: Path | str, error: OSError) -> RunDirError:
    mend = "Free some space: the recorded calls are kept" if error.errno == ENOSPC else "Give another run_dir"
    return RunDirError(f"{path} cannot be written: {error.strerror}. {mend}.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = read_json(path.read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return _Facts.model_validate(data).model_dump(exclude_unset=True)
        why = "it holds no object"
    except OSError as error:
        raise RunDirError(f"{path} cannot be read: {error.strerror}. Give another run_dir.") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    except ValueError as error:
        why = str(error)
    of_run = (path.parent / CALLS).exists()
    mend = "Delete that file: the recorded calls are kept and the run goes on" if of_run else "Give another run_dir"
    raise RunDirError(f"{path} is damaged ({why}). {mend}.")


def _in_words(name: str, old: object, new: object) -> str:
    """Return which setting differs, as a user knows it, and its two values where they say something."""
    if name in _UNSHOWN:
        return _UNSHOWN[name]
    what = _WORDS.get(name, f"the {name}")
    if isinstance(old, str) and isinstance(new, str) and _DIGEST.sub("", old) == _DIGEST.sub("", new):
        return f"the code of {what}, or a value in it"
    was, now = _shown(old, new)
    return f"{what} ({was} there, {now} now)"


def _shown(old: object, new: object) -> tuple[str, str]:
    """Return two values as short texts, long ones from a little before the place where they begin to differ."""
    a, b = _text(old), _text(new)
    start = 0
    if max(len(a), len(b)) > _SHOWN:
        start = max(0, next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0) - _SHOWN // 3)
    return _clipped(a, start), _clipped(b, start)


def _text(value: object) -> str:
    if value is None:
        return "none"
    return _NO_CAP.sub("", _DIGEST.sub("", value)) if isinstance(value, str) else canonical_json(value)


def _clipped(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start else "") + text[start:end] + ("..." if len(text) > end else "")
