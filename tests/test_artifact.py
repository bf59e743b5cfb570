"""The artifact: what ships comes back byte for byte, and anything else is refused by name."""

import datetime
import decimal
import enum
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

import lmprog as lp
from lmprog.artifact import MANIFEST, REPORT, Artifact, read_artifact
from lmprog.optimizer import Outcome, Problem
from lmprog.rundir import RESULT
from lmprog.signature import fields_of
from lmprog.testing import Answer, Asked, ScriptedLM


class Reply(lp.Signature):
    """Answer."""

    question: str = lp.InputField(desc="as the user wrote it")
    answer: str = lp.OutputField()


class Asking(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict(Reply)

    def forward(self, question: str) -> Reply:
        return self.answer(question=question)


def lengths(asked: Asked) -> Answer:
    """Answers that depend on all that the params say."""
    said = "".join(message.text for message in asked.request.messages)
    return {name: f"{len(said)} characters" for name in asked.outputs}


def better(program: lp.Module) -> Any:
    params = lp.params_of(program)
    for path in params:
        demo = lp.Demo(inputs={"question": "naïve?\u2028"}, outputs={"answer": "yes"})
        params = params.replace(path, instruction="Answer at length, s'il vous plaît.", demos=(demo,))
    return lp.with_params(program, params)


def small(path: Path) -> bytes:
    """An artifact of two entries."""
    return Artifact.made(better(Asking()), report="<p>a report</p>").save(path).read_bytes()


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write the file anew with another manifest, as someone would who forges one."""
    artifact = read_artifact(path)
    manifest: dict[str, Any] = json.loads(json.dumps(dict(artifact.manifest)))
    change(manifest)
    path.write_bytes(Artifact(manifest, artifact.entries).to_bytes())
    return path


class TestRoundTrip:
    def test_a_loaded_program_answers_as_the_saved_one(self, tmp_path: Path) -> None:
        program = better(Asking())

        loaded = lp.load(lp.save(program, tmp_path / "a.lmprog"), program=Asking())

        with lp.using(lm=ScriptedLM(lengths)):
            assert loaded(question="q").answer == program(question="q").answer != Asking()(question="q").answer

    def test_saving_again_gives_the_same_bytes(self, tmp_path: Path) -> None:
        first = lp.save(better(Asking()), tmp_path / "a.lmprog")
        second = lp.save(lp.load(first, program=Asking()), tmp_path / "folder" / "b.lmprog")

        assert first.read_bytes() == second.read_bytes()

    def test_a_loaded_program_that_was_given_other_params_is_saved_with_these(self, tmp_path: Path) -> None:
        loaded = lp.load(lp.save(better(Asking()), tmp_path / "a.lmprog"), program=Asking())
        changed = lp.with_params(loaded, lp.params_of(loaded).replace("answer", instruction="Be brief."))

        again = lp.load(lp.save(changed, tmp_path / "b.lmprog"), program=Asking())

        assert lp.params_of(again) == lp.params_of(changed)

    def test_a_new_process_gives_the_same_answers_and_the_same_bytes(self, tmp_path: Path) -> None:
        predictor = lp.ChainOfThought("question, hints: list[str] -> answer")
        lp.save(predictor, tmp_path / "a.lmprog")
        code = (
            "import sys; import lmprog as lp; from lmprog.testing import ScriptedLM\n"
            "said = lambda asked: ''.join(message.text for message in asked.request.messages)\n"
            "program = lp.load(sys.argv[1]); lp.save(program, sys.argv[2])\n"
            "with lp.using(lm=ScriptedLM(lambda asked: {n: f'{len(said(asked))} characters' for n in asked.outputs})):\n"
            "    print(program(question='q', hints=['h']).answer)\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "a.lmprog"), str(tmp_path / "b.lmprog")]

        there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        with lp.using(lm=ScriptedLM(lengths)):
            assert predictor(question="q", hints=["h"]).answer == there
        assert (tmp_path / "a.lmprog").read_bytes() == (tmp_path / "b.lmprog").read_bytes()

    def test_what_compile_ships_is_what_result_save_and_lp_save_write(self, tmp_path: Path) -> None:
        class Demos:
            async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
                return Outcome(lp.params_of(better(Asking())), 1.0, 0.0, "found")

        def right_with_demos(asked: Asked) -> Answer:
            return {"answer": asked.inputs["question"] if asked.demos else "?"}

        result = lp.compile(
            Asking(),
            train=[{"question": f"q{number}", "answer": f"q{number}"} for number in range(100)],
            metric=lp.metrics.exact_match("answer"),
            optimizer=Demos(),
            lm=ScriptedLM(right_with_demos, name="small"),
            run_dir=tmp_path / "run",
        )
        shipped = (tmp_path / "run" / RESULT).read_bytes()

        assert result.save(tmp_path / "a.lmprog").read_bytes() == shipped
        assert lp.save(result.program, tmp_path / "b.lmprog").read_bytes() == shipped
        read = read_artifact(tmp_path / "a.lmprog")
        assert read.certificate == result.certificate and result.certificate.gain == 1.0
        assert (read.params, read.baseline_params) == (result.params, result.baseline_params)
        assert read.manifest["lms"] == dict.fromkeys(["task", "proposer", "teacher", "judge"], "small")
        assert b"<html" in read.entries[REPORT]

    def test_no_byte_tells_where_by_whom_or_when_it_was_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("USER", "LOGNAME", "USERNAME"):
            monkeypatch.setenv(name, "zaphod")

        data = small(tmp_path / "a.lmprog")

        places = (str(tmp_path), str(Path.cwd()), str(Path.home()) + "/", str(Path(__file__).parent))
        assert not [place for place in (*places, "zaphod") if place.encode() in data]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert [info.filename for info in archive.infolist()] == [MANIFEST, REPORT]


class TestDamage:
    def test_any_changed_byte_is_refused_and_the_entry_named(self, tmp_path: Path) -> None:
        data = small(tmp_path / "a.lmprog")
        places = entries_by_place(data)
        copy = tmp_path / "b.lmprog"

        for place, byte in enumerate(data):
            copy.write_bytes(data[:place] + bytes([byte ^ 1 << place % 8]) + data[place + 1 :])
            with pytest.raises(lp.ArtifactError) as caught:
                read_artifact(copy)
            assert not places[place] or f"the entry {places[place]} is damaged" in str(caught.value)

    def test_every_bit_of_a_sample_is_checked(self, tmp_path: Path) -> None:
        data = small(tmp_path / "a.lmprog")
        copy = tmp_path / "b.lmprog"
        headers = [*range(40), *range(data.index(b"PK\x01\x02"), len(data))]  # where one bit may change how all is read

        for place in headers:
            for bit in range(8):
                copy.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
                with pytest.raises(lp.ArtifactError):
                    read_artifact(copy)

    def test_a_file_that_was_cut_off_anywhere_is_refused(self, tmp_path: Path) -> None:
        data = small(tmp_path / "a.lmprog")
        copy = tmp_path / "b.lmprog"

        for end in range(0, len(data), 7):
            copy.write_bytes(data[:end])
            with pytest.raises(lp.ArtifactError, match=r"b\.lmprog"):
                read_artifact(copy)

    @settings(deadline=None, max_examples=60)
    @given(st.binary(min_size=1, max_size=30), st.integers(0, 5000))
    def test_inserted_bytes_are_refused(self, more: bytes, place: int) -> None:
        artifact = Artifact.made(better(Asking()))
        data = artifact.to_bytes()
        place = min(place, len(data))
        changed = data[:place] + more + data[place:]

        with pytest.raises(lp.ArtifactError):
            read_bytes(changed)

    @settings(deadline=None)
    @given(data=st.binary(max_size=200))
    def test_a_file_that_is_no_artifact_is_refused(self, data: bytes) -> None:
        with pytest.raises(lp.ArtifactError):
            read_bytes(data)

    def test_a_file_of_another_kind_is_told_so(self, tmp_path: Path) -> None:
        (tmp_path / "qa.py").write_text("TASK = 1")
        with pytest.raises(lp.ArtifactError, match=r"qa\.py is not an artifact"):
            read_artifact(tmp_path / "qa.py")

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(lp.ArtifactError, match=r"a\.lmprog cannot be read: No such file"):
            lp.load(tmp_path / "a.lmprog", program=Asking())

    def test_an_entry_that_was_added_removed_or_replaced_is_refused_by_name(self, tmp_path: Path) -> None:
        small(tmp_path / "a.lmprog")
        artifact = read_artifact(tmp_path / "a.lmprog")

        for name, entries in {
            "adapters/x.safetensors": {**artifact.entries, "adapters/x.safetensors": b"x"},
            REPORT: {},
            "empty": {**artifact.entries, "empty": b""},
            "report.htm": {"report.htm": artifact.entries[REPORT]},
        }.items():
            (tmp_path / "b.lmprog").write_bytes(Artifact(artifact.manifest, entries).to_bytes())
            with pytest.raises(
                lp.ArtifactError, match=f"the entry (report.html|{name}) is missing, damaged or not part"
            ):
                read_artifact(tmp_path / "b.lmprog")

    def test_an_entry_that_stands_there_twice_or_is_compressed_is_refused(self, tmp_path: Path) -> None:
        data = small(tmp_path / "a.lmprog")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents = {info.filename: archive.read(info) for info in archive.infolist()}
        twice, compressed = io.BytesIO(data), io.BytesIO()
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as archive:
            archive.writestr(REPORT, contents[REPORT])
        with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)

        with pytest.raises(lp.ArtifactError, match=r"is damaged"):
            read_bytes(twice.getvalue())
        with pytest.raises(lp.ArtifactError, match=r"the entry manifest.json is damaged \(it is compressed\)"):
            read_bytes(compressed.getvalue())

    def test_another_format_version_is_refused(self, tmp_path: Path) -> None:
        small(tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError, match=r"has format 2, and this lmprog reads format 1\. Update lmprog"):
            read_artifact(edited(tmp_path / "a.lmprog", lambda manifest: manifest.update(format=2)))

    @pytest.mark.parametrize(
        ("part", "value"),
        [
            ("program", None), ("program", {"type": 5, "source_sha256": ""}), ("signatures", []),
            ("signatures", {"answer": {"name": "Reply"}}), ("params", []), ("baseline_params", {"format": 1}),
            ("lms", {"task": 5}), ("certificate", "proven"), ("certificate", {"n": "x"}), ("packages", None),
            ("entries", {"report.html": 5}),
        ],
    )  # fmt: skip
    def test_a_part_of_the_manifest_that_is_something_else_is_named(
        self, tmp_path: Path, part: str, value: object
    ) -> None:
        small(tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError, match=rf"in the entry manifest\.json, `{part}\b.* is not as it should be"):
            read_artifact(edited(tmp_path / "a.lmprog", lambda manifest: manifest.update({part: value})))

    def test_a_predictor_with_the_wrong_number_of_signatures_is_refused(self, tmp_path: Path) -> None:
        lp.save(lp.Predict("question -> answer"), tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError, match="which lmprog does not know"):
            lp.load(edited(tmp_path / "a.lmprog", lambda manifest: manifest.update(signatures={})))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"name": "answ\ud800er"}, "inputs.0.name.* is not as it should be"),
            ({"name": "a b\n[[ x ]]"}, "inputs.0.name.* is not as it should be"),
            ({"desc": "half \ud800 of it"}, "is damaged: it holds what no file in UTF-8 can hold"),
        ],
    )
    def test_a_field_that_no_signature_can_have_is_refused(
        self, tmp_path: Path, change: Mapping[str, str], says: str
    ) -> None:
        lp.save(lp.Predict("question -> answer"), tmp_path / "a.lmprog")
        manifest = json.loads(json.dumps(dict(read_artifact(tmp_path / "a.lmprog").manifest)))
        manifest["signatures"]["predict"]["inputs"][0].update(change)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(MANIFEST, json.dumps(manifest))

        with pytest.raises(lp.ArtifactError, match=says):
            read_bytes(file.getvalue())

    def test_a_type_without_end_is_refused(self, tmp_path: Path) -> None:
        def nest(manifest: dict[str, Any]) -> None:
            schema: dict[str, Any] = {"type": "string"}
            for _ in range(400):
                schema = {"type": "array", "items": schema}
            manifest["signatures"]["predict"]["inputs"][0]["schema"] = schema

        lp.save(lp.Predict("question -> answer"), tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError):
            lp.load(edited(tmp_path / "a.lmprog", nest))

    @pytest.mark.parametrize("path", ["", "a\0b"])
    def test_what_is_no_path_is_refused(self, path: str) -> None:
        with pytest.raises(lp.ArtifactError, match="cannot be written"):
            lp.save(Asking(), path)
        with pytest.raises(lp.ArtifactError, match="cannot be read"):
            lp.load(path)

    @pytest.mark.parametrize("text", ["[]", "1", '"manifest"', '{"a": 1}', '{"format": 1}', "nonsense", "[" * 100_000])
    def test_a_manifest_of_another_shape_is_refused(self, text: str) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(MANIFEST, text)

        with pytest.raises(lp.ArtifactError, match=r"manifest\.json"):
            read_bytes(file.getvalue())


def read_bytes(data: bytes) -> Artifact:
    """Read an artifact that is in no file yet."""
    with tempfile.NamedTemporaryFile(suffix=".lmprog") as file:
        file.write(data)
        file.flush()
        return read_artifact(file.name)


def entries_by_place(data: bytes) -> list[str]:
    """The entry that each byte belongs to; "" in the directory at the end."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        starts = {info.header_offset: info.filename for info in archive.infolist()}
        end = archive.start_dir
    names: list[str] = []
    for place in range(len(data)):
        names.append("" if place >= end else starts.get(place) or names[-1])
    return names


class Longer(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    context: list[str] = lp.InputField()
    answer: int = lp.OutputField()


class TestOtherPrograms:
    def test_signatures_that_differ_are_named(self, tmp_path: Path) -> None:
        class Other(lp.Module):
            def __init__(self) -> None:
                self.answer, self.check = lp.Predict(Longer), lp.Predict("answer -> ok: bool")

            def forward(self, question: str) -> Longer:
                return self.answer(question=question, context=[])

        path = lp.save(better(Asking()), tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError) as caught:
            lp.load(path, program=Other())

        said = str(caught.value)
        assert "made for tests" in said or "made for test_artifact:Asking" in said
        assert '`answer` has `context` as {"items": {"type": "string"}, "type": "array"} instead of nothing' in said
        assert '`answer` has `answer` as {"type": "integer"} instead of {"type": "string"}' in said
        assert "`check` is new" in said and "compile again" in said

    def test_a_predictor_that_is_gone_is_named(self, tmp_path: Path) -> None:
        class Renamed(lp.Module):
            def __init__(self) -> None:
                self.reply = lp.Predict(Reply)

            def forward(self, question: str) -> Reply:
                return self.reply(question=question)

        path = lp.save(Asking(), tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError, match="it has no `answer`; `reply` is new"):
            lp.load(path, program=Renamed())

    def test_params_that_do_not_fit_are_named(self, tmp_path: Path) -> None:
        path = lp.save(better(Asking()), tmp_path / "a.lmprog")

        def forge(manifest: dict[str, Any]) -> None:
            manifest["params"]["predictors"]["answer"]["field_descriptions"] = {"passages": "found so far"}

        with pytest.raises(
            lp.ArtifactError, match=r"the artifact's params do not fit Asking: .*no field called .'passages'"
        ):
            lp.load(edited(path, forge), program=Asking())

    def test_a_program_of_the_users_own_must_be_given(self, tmp_path: Path) -> None:
        path = lp.save(Asking(), tmp_path / "a.lmprog")

        with pytest.raises(lp.ArtifactError, match=r"lmprog does not know\. Name it: `lp\.load\(path, program=Asking"):
            lp.load(path)

    @pytest.mark.parametrize(
        "kind", ["evil:Program", "lmprog.programs.evil:Program", "lmprog.predict:evil", "evil.sub:Evil"]
    )
    def test_nothing_that_an_artifact_names_is_imported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        (tmp_path / "evil").mkdir()
        for name in ("__init__", "sub"):
            (tmp_path / "evil" / f"{name}.py").write_text("raise SystemExit('imported')")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        path = lp.save(Asking(), tmp_path / "a.lmprog")
        forged = edited(path, lambda manifest: manifest["program"].update(type=kind))

        with pytest.raises(lp.ArtifactError):
            lp.load(forged)

        assert not [name for name in sys.modules if "evil" in name]

    def test_a_program_that_ships_with_lmprog_is_found_by_itself(self, tmp_path: Path) -> None:
        from lmprog.task import find_task

        program = find_task("multihop").program()

        loaded = lp.load(lp.save(program, tmp_path / "a.lmprog"))

        assert type(loaded) is type(program) and lp.params_of(loaded) == lp.params_of(program)


class Colour(enum.Enum):
    RED = "red"


class Place(BaseModel):
    name: str


def checked(value: str) -> str:
    return value.upper()


BUILT_IN: dict[str, tuple[Any, Any]] = {
    "str": (str, "text"),
    "int": (int, 3),
    "float": (float, 0.5),
    "bounded int": (Annotated[int, Field(ge=0, lt=5)], 4),
    "bounded float": (Annotated[float, Field(gt=0, le=1, multiple_of=0.5)], 1.0),
    "pattern": (Annotated[str, Field(pattern="^a+$", max_length=4)], "aa"),
    "bool": (bool, True),
    "texts": (Literal["yes", "no, never"], "no, never"),
    "one choice": (Literal["only"], "only"),
    "choices": (Literal[1, "a", None, True], "a"),
    "list": (list[str], ["a"]),
    "nested list": (list[list[int]], [[1], []]),
    "bounded list": (Annotated[list[int], Field(min_length=1, max_length=2)], [1]),
    "pair": (tuple[int, str], (1, "a")),
    "tuple": (tuple[int, ...], (1, 2)),
    "dict": (dict[str, list[float]], {"a": [1.5]}),
    "date": (datetime.date, datetime.date(2024, 2, 29)),
    "datetime": (datetime.datetime, datetime.datetime(2024, 2, 29, 12, 30)),
    "time": (datetime.time, datetime.time(12, 30)),
    "optional": (Optional[int], None),  # noqa: UP045  (either way of writing it)
    "union": (int | str | None, "a"),
    "list of unions": (list[int | None], [1, None]),
}


class TestRebuiltSignatures:
    @pytest.mark.parametrize("name", BUILT_IN)
    @pytest.mark.parametrize("kind", [lp.Predict, lp.ChainOfThought], ids=["Predict", "ChainOfThought"])
    def test_a_lone_predictor_of_built_in_types_needs_no_code(self, tmp_path: Path, name: str, kind: Any) -> None:
        annotation, value = BUILT_IN[name]
        made = signature("Made", {"given": annotation}, {"found": annotation})
        predictor = kind(made, retries=3)

        def echo(asked: Asked) -> Answer:
            data = json.loads(json.dumps(fields_of(made).inputs["given"].encode(value)))
            return {name: data if name == "found" else "so" for name in asked.outputs}

        loaded = lp.load(lp.save(predictor, tmp_path / "a.lmprog"))

        assert type(loaded) is kind and loaded.retries == 3 and lp.params_of(loaded) == lp.params_of(predictor)
        with lp.using(lm=ScriptedLM(echo)):
            (here, there) = (program(given=value) for program in (predictor, loaded))
        assert here.found == there.found == value and type(there.found) is type(value)
        assert fields_of(loaded.signature).schema == fields_of(predictor.signature).schema

    @pytest.mark.parametrize(
        "annotation",
        [
            Place,
            list[Place],
            Colour,
            dict[str, Colour],
            decimal.Decimal,
            bytes,
            dict[int, str],
            Annotated[str, AfterValidator(checked)],
        ],
        ids=lambda annotation: re.sub(r" at 0x\w+", "", str(annotation)),
    )
    def test_a_type_that_no_schema_tells_asks_for_the_program(self, tmp_path: Path, annotation: Any) -> None:
        made = signature("Made", {"question": str}, {"found": annotation})
        path = lp.save(lp.Predict(made), tmp_path / "a.lmprog")

        with pytest.raises(
            lp.ArtifactError, match=r"Made has types that are declared in code, of `found`.*program=Predict\("
        ):
            lp.load(path)
        assert lp.load(path, program=lp.Predict(made)).signature is made

    def test_descriptions_defaults_and_a_reasoning_of_its_own_come_back(self, tmp_path: Path) -> None:
        class Reasoned(lp.Signature):
            """Think, then answer."""

            question: str = lp.InputField(desc="as it was asked")
            day: datetime.date = lp.InputField(default=datetime.date(2024, 2, 29))
            most: int = lp.InputField(default=3)
            reasoning: str = lp.OutputField(desc="in two sentences")
            answer: str = lp.OutputField(desc="one word")

        predictor = lp.ChainOfThought(Reasoned)
        requests: list[lp.Request] = []

        def script(asked: Asked) -> Answer:
            requests.append(asked.request)
            return dict.fromkeys(asked.outputs, "so")

        loaded = lp.load(lp.save(predictor, tmp_path / "a.lmprog"))

        with lp.using(lm=ScriptedLM(script)):
            for program in (predictor, loaded):
                program(question="q")
        assert requests[0] == requests[1] and "2024-02-29" in requests[1].messages[-1].text
        assert "in two sentences" in requests[1].messages[0].text


def signature(name: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> type[lp.Signature]:
    slots = {field: lp.InputField() for field in inputs} | {field: lp.OutputField() for field in outputs}
    return type(name, (lp.Signature,), {"__annotations__": {**inputs, **outputs}, **slots})


def test_entries_are_named_by_their_sha256(tmp_path: Path) -> None:
    small(tmp_path / "a.lmprog")

    artifact = read_artifact(tmp_path / "a.lmprog")

    assert artifact.manifest["entries"] == {REPORT: hashlib.sha256(b"<p>a report</p>").hexdigest()}
