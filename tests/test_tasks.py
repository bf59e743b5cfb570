"""The tasks of the papers: their programs, metrics and data; and what the command line says and does with tasks by name."""

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from openai_server import Server, serving

import lmprog as lp
from lmprog.cli import main
from lmprog.data import fields_in
from lmprog.job import Job, check, clients_of, splits_of
from lmprog.module import predictors
from lmprog.programs.gsm8k import GradeSchoolMath, number_in, same_number
from lmprog.programs.heart import HeartDisease
from lmprog.programs.hotpotqa import HotPotQA
from lmprog.programs.hotpotqa_conditional import END, ConditionalHotPotQA, in_form, right_and_in_form
from lmprog.programs.hover import Found, Hover, all_found
from lmprog.programs.iris import Iris
from lmprog.programs.iris_typo import IrisTypo
from lmprog.programs.scone import ScoNe
from lmprog.source import Dropped, Source
from lmprog.task import Task, find_task, options_of, tasks
from lmprog.testing import Answer, Asked, ScriptedLM

PAPERS = ("gsm8k", "heart", "hotpotqa", "hotpotqa-conditional", "hover", "iris", "iris-typo", "scone")
WIKIPEDIA = {
    "Ada Lovelace": "Ada Lovelace wrote the first program. Her mother was Annabella Byron.",
    "Annabella Byron": "Annabella Byron was born in London and studied mathematics.",
    "London": "London is a city on the Thames.",
    "Thames": "The Thames is a river in England.",
}
PASSAGES = [f"{title} | {text}" for title, text in WIKIPEDIA.items()]
PATIENT = {
    "age": 63, "sex": 1, "cp": 4, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2, "thalach": 150, "exang": 0,
    "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": "fixed", "target": 1,
}  # fmt: skip
"""A row of the heart data as the hub has it."""
AS_PUBLISHED: Mapping[str, Callable[[int], Mapping[str, Any]]] = {
    "gsm8k": lambda n: {"question": f"What is {n} + 1?", "answer": f"{n} + 1 = <<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"},
    "heart": lambda n: {**PATIENT, "chol": 100 + n, "target": n % 2},
    "hotpotqa": lambda n: {
        "id": str(n), "question": f"Where was mother {n} born?", "answer": "London", "type": "bridge", "level": "hard",
        "supporting_facts": {"title": ["Ada Lovelace", "London"], "sent_id": [1, 0]},
        "context": {"title": [*WIKIPEDIA], "sentences": [[text] for text in WIKIPEDIA.values()]},
    },
    "hotpotqa-conditional": lambda n: {"question": f"Where was mother {n} born?", "answer": "London", "answer category": "place"},
    "hover": lambda n: {
        "id": n, "claim": f"Claim {n} on Ada.", "label": 1, "num_hops": 3,
        "supporting_facts": [{"key": title, "value": 0} for title in ("Ada Lovelace", "London", "Thames", "London")],
    },
    "iris": lambda n: {"petal_length": 1 + n / 10, "petal_width": 0.2, "sepal_length": 5.0, "sepal_width": 3.5, "species": n % 3},
    "iris-typo": lambda n: {"petal_length": 1 + n / 10, "petal_width": 0.2, "sepal_length": 5.0, "sepal_width": 3.5, "species": n % 3},
    "scone": lambda n: {
        "sentence1_edited": f"Nobody saw {n} dogs.", "sentence2_edited": f"Nobody saw {n} poodles.",
        "gold_label_edited": "entailment" if n % 2 else "neutral", "sentence1": "x", "sentence2": "y", "gold_label": "neutral",
    },
}  # fmt: skip
"""By task, a row in the form in which its data are published."""


def source_of(name: str) -> Source:
    return cast("Source", find_task(name).source)


def patient() -> Any:
    return cast("Mapping[str, Any]", source_of("heart").to_row(PATIENT))["patient"]


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "wiki.jsonl", [{"title": title, "text": text} for title, text in WIKIPEDIA.items()])


def on_rows(name: str, folder: Path, corpus: Path) -> tuple[str, Path]:
    """Return a task's name with options for a few rows, and a search where it takes one; and a file of rows as published."""
    file = write(folder / "rows.jsonl", [AS_PUBLISHED[name](number) for number in range(70)])
    few = f"{name}:train=20,val=10,holdout=40"
    return (f"{few},corpus={corpus}" if "corpus" in {option.name for option in options_of(name)} else few), file


class TestPrograms:
    """What each program asks, and how often."""

    @pytest.mark.parametrize(
        ("program", "inputs", "modules", "calls"),
        [
            (GradeSchoolMath(), {"question": "1 + 1?"}, 1, 1),
            (HeartDisease(), {"patient": None}, 2, 4),
            (HotPotQA(lambda query: PASSAGES[:3]), {"question": "Who?"}, 2, 3),
            (ConditionalHotPotQA(lambda query: PASSAGES[:3]), {"question": "Who?"}, 2, 3),
            (Hover(lambda query: PASSAGES[:3]), {"claim": "It is so."}, 4, 4),
            (Iris(), dict.fromkeys(["petal_length", "petal_width", "sepal_length", "sepal_width"], 1.0), 1, 1),
            (IrisTypo(), dict.fromkeys(["petal_length", "petal_width", "sepal_length", "sepal_width"], 1.0), 1, 1),
            (ScoNe(), {"context": "It rains.", "question": "Is it wet?"}, 1, 1),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, lp.Module) else "",
    )
    def test_a_program_has_the_modules_and_calls_of_the_paper(
        self, program: lp.Module, inputs: dict[str, Any], modules: int, calls: int
    ) -> None:
        if "patient" in inputs:
            inputs = {"patient": patient()}
        lm = ScriptedLM(lambda asked: {name: _allowed(asked, name) for name in asked.outputs})

        with lp.using(lm=lm):
            cast("Any", program)(**inputs)

        assert lm.sent == calls
        assert len(predictors(program)) == modules

    def test_every_module_of_the_papers_reasons_first(self) -> None:
        programs: list[lp.Module] = [
            GradeSchoolMath(),
            HeartDisease(),
            HotPotQA(list),
            Hover(list),
            Iris(),
            IrisTypo(),
            ScoNe(),
        ]

        assert all(predictor.reasons for program in programs for predictor in predictors(program).values())

    def test_the_second_search_knows_what_the_first_found_and_no_passage_comes_twice(self) -> None:
        found = {"ada": PASSAGES[:2], "annabella": PASSAGES[1:3]}
        queries = iter(["ada", "annabella"])
        read: list[list[str]] = []

        def reply(asked: Asked) -> Answer:
            read.append(json.loads(asked.inputs["passages"]))
            known = {"query": next(queries, "")} if "query" in asked.outputs else {"answer": "London"}
            return {"reasoning": "", **known}

        with lp.using(lm=ScriptedLM(reply)):
            prediction = HotPotQA(lambda query: found[query])(question="Where was Ada's mother born?")

        assert read == [[], PASSAGES[:2], PASSAGES[:3]]
        assert prediction.passages == PASSAGES[:3]
        assert prediction.answer == "London"

    def test_hover_searches_for_the_claim_first_and_hands_each_summary_on(self) -> None:
        searched: list[str] = []
        seen: list[Mapping[str, str]] = []

        def search(query: str) -> list[str]:
            searched.append(query)
            return [PASSAGES[len(searched)]]

        def reply(asked: Asked) -> Answer:
            seen.append(asked.inputs)
            return {"reasoning": "", **{name: f"{name} {len(seen)}" for name in asked.outputs if name != "reasoning"}}

        with lp.using(lm=ScriptedLM(reply)):
            found = Hover(search)(claim="A claim.")

        assert searched == ["A claim.", "query 2", "query 4"]
        assert found.titles == ["Annabella Byron", "London", "Thames"]
        assert seen[1]["summary"] == "summary 1"
        assert seen[2]["known"] == "summary 1"
        assert (seen[3]["first_summary"], seen[3]["second_summary"]) == ("summary 1", "summary 3")

    def test_the_verdict_reads_three_opinions_that_are_drawn_afresh(self) -> None:
        samples: list[int] = []
        read: list[list[str]] = []

        def reply(asked: Asked) -> Answer:
            if "opinions" in asked.inputs:
                read.append(json.loads(asked.inputs["opinions"]))
                return {"reasoning": "two of three", "answer": "yes"}
            samples.append(asked.request.sample)
            return {
                "reasoning": f"Reason {asked.request.sample}.",
                "answer": "no" if asked.request.sample % 3 else "yes",
            }

        with lp.using(lm=ScriptedLM(reply), sample=2):
            assert HeartDisease()(patient=patient()).answer == "yes"

        assert sorted(samples) == [6, 7, 8]
        assert read == [["Reason 6. So I say yes.", "Reason 7. So I say no.", "Reason 8. So I say no."]]

    def test_the_slip_of_iris_typo_stands_in_its_prompt_and_in_no_row(self, tmp_path: Path, corpus: Path) -> None:
        prompts: list[str] = []

        def reply(asked: Asked) -> Answer:
            prompts.extend(message.text for message in asked.request.messages)
            return {"reasoning": "", "answer": "versicolor"}

        spec, file = on_rows("iris-typo", tmp_path, corpus)
        rows = find_task(spec, {"train": file}).load()
        with lp.using(lm=ScriptedLM(reply)):
            IrisTypo()(petal_length=4.0, petal_width=1.0, sepal_length=6.0, sepal_width=3.0)

        assert "versicolour" in " ".join(prompts)
        assert {fields_in(row)["answer"] for row in rows.train} <= {"setosa", "versicolor", "virginica"}


class TestMetrics:
    """What counts as right."""

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("72", 72), ("$1,234.50", 1234.5), ("so 3 + 4 = 7.", 7), ("-5 degrees", -5), (".5", 0.5), ("no number", None),
            ("", None), ("It takes 1,000,000", 1_000_000), ("10%", 10), ("3 apples, 12 pears", 12),
        ],
    )  # fmt: skip
    def test_the_last_number_of_a_text_is_the_answer(self, text: str, number: float | None) -> None:
        assert number_in(text) == number

    @pytest.mark.parametrize(
        ("answer", "right"), [("18", True), ("$18.00", True), ("18 dollars", True), ("180", False), ("", False)]
    )
    def test_gsm8k_compares_numbers_not_texts(self, answer: str, right: bool) -> None:
        prediction = _prediction("question -> answer", {"question": "?"}, {"answer": answer})

        assert same_number({"question": "?", "answer": "18"}, prediction) is right

    @pytest.mark.parametrize(
        ("answer", "kind", "formed"),
        [
            ("ada lovelace", "person", True), ("Ada Lovelace", "person", False), ("New York", "place", True),
            ("Paris, France", "place", False), ("4 May 1901 Peace!", "date", True), ("4 May 1901", "date", False),
            ("NASA", "other", True), ("Nasa", "other", False), ("1989", "other", True), ("NO Peace!", "other", False),
        ],
    )  # fmt: skip
    def test_an_answer_has_the_form_of_what_it_names(self, answer: str, kind: Any, formed: bool) -> None:
        assert in_form(answer, kind) is formed

    @pytest.mark.parametrize(
        ("gold", "kind", "answer", "score", "says"),
        [
            ("Ada Lovelace", "person", "ada lovelace", 1, ""),
            ("Ada Lovelace", "person", "Ada Lovelace", 0, "names a person, whose form is another: lower case only"),
            ("Ada Lovelace", "person", "charles babbage", 0, "The right answer is 'Ada Lovelace'"),
            ("4 May 1901", "date", "4 May 1901 Peace!", 1, ""),
            ("4 May 1901", "date", "4 May 1901", 0, "names a date"),
            ("peace", "other", "PEACE", 1, ""),
        ],
    )
    def test_hotpotqa_conditional_wants_the_right_answer_in_its_form(
        self, gold: str, kind: str, answer: str, score: float, says: str
    ) -> None:
        prediction = _prediction("question -> answer", {"question": "?"}, {"answer": answer})

        result = right_and_in_form({"answer": gold, "kind": kind}, prediction)

        assert result.value == score
        assert says in result.feedback
        assert END not in result.feedback or kind == "date"

    @pytest.mark.parametrize(
        ("found", "score", "recall", "missing"),
        [
            (["Ada Lovelace", "London", "Thames"], 1, 1, ""),
            (["ada  lovelace", "The Thames", "London", "Ada Lovelace"], 1, 1, ""),
            (["Ada Lovelace", "London"], 0, 2 / 3, "Not found: Thames."),
            ([], 0, 0, "Not found: Ada Lovelace, London, Thames."),
        ],
    )
    def test_hover_wants_every_page(self, found: list[str], score: float, recall: float, missing: str) -> None:
        row = {"claim": "?", "titles": ["Ada Lovelace", "London", "Thames"]}

        result = all_found(row, Found(tuple(f"{title} | some text" for title in found)))

        assert (result.value, result.feedback) == (score, missing)
        assert result.parts["recall"] == pytest.approx(recall)


class TestRows:
    """From rows as published to rows of the program."""

    @pytest.mark.parametrize("name", PAPERS)
    def test_a_row_as_published_becomes_inputs_and_labels_and_a_converted_one_stays(self, name: str) -> None:
        source = source_of(name)

        row = source.to_row(AS_PUBLISHED[name](1))

        assert not isinstance(row, Dropped)
        assert set(row) == {*source.inputs, *source.labels}
        assert source.to_row(row) == row

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("gsm8k", {"question": "What is 1 + 1?", "answer": "2"}),
            ("scone", {"context": "Nobody saw 1 dogs.", "question": "Does it follow for sure that nobody saw 1 poodles?", "answer": "Yes"}),
            ("hover", {"claim": "Claim 1 on Ada.", "titles": ["Ada Lovelace", "London", "Thames"]}),
            ("hotpotqa-conditional", {"question": "Where was mother 1 born?", "answer": "London", "kind": "place"}),
            ("iris", {"petal_length": 1.1, "petal_width": 0.2, "sepal_length": 5.0, "sepal_width": 3.5, "answer": "versicolor"}),
        ],
    )  # fmt: skip
    def test_what_a_row_becomes(self, name: str, expected: Mapping[str, Any]) -> None:
        assert source_of(name).to_row(AS_PUBLISHED[name](1)) == expected

    def test_a_patient_is_told_in_words(self) -> None:
        row = cast("Mapping[str, Any]", source_of("heart").to_row(PATIENT))

        assert row["answer"] == "yes"
        assert row["patient"] == {
            "age": 63, "sex": "male", "chest_pain": "asymptomatic", "resting_blood_pressure": 145, "cholesterol": 233,
            "high_fasting_blood_sugar": True, "resting_ecg": "left ventricular hypertrophy", "max_heart_rate": 150,
            "pain_in_exercise": False, "st_depression": 2.3, "st_slope": "downsloping", "vessels_colored": 0,
            "thallium_test": "fixed defect",
        }  # fmt: skip

    def test_a_code_that_nobody_explains_is_not_known(self) -> None:
        row = cast("Mapping[str, Any]", source_of("heart").to_row({**PATIENT, "cp": 0, "thal": "2"}))

        assert (row["patient"]["chest_pain"], row["patient"]["thallium_test"]) == ("not known", "not known")

    @pytest.mark.parametrize(
        ("name", "changes", "says"),
        [
            ("gsm8k", {"answer": "many"}, "`answer` holds no number after ####: 'many'"),
            ("gsm8k", {"question": 3}, "`question` is 3 and should be str"),
            ("heart", {"age": "old"}, "`age` is 'old'"),
            ("heart", {"exang": "maybe"}, "`exang` is 'maybe' and should be one of 0, 1, no, yes"),
            ("heart", {"chol": None}, "`chol` is None and should be a text or a number"),
            ("iris", {"species": 3}, "`species` is 3 and should be one of setosa, versicolor, virginica, or 0, 1, 2"),
            ("iris", {"petal_width": "wide"}, "`petal_width` is 'wide' and should be float"),
            ("hover", {"supporting_facts": [{"title": "x"}]}, "`key` is missing: the row has `title`"),
            ("heart", {"patient": {"age": 63}, "answer": "no"}, "`sex` is"),
            (
                "heart",
                {"patient": patient(), "answer": "perhaps"},
                "`answer` is 'perhaps' and should be 'yes'",
            ),
            ("iris", {"species": True}, "`species` is True and should be one of"),
            (
                "scone",
                {"context": "?", "question": "?", "answer": "maybe"},
                "`answer` is 'maybe' and should be one of Yes, No",
            ),
            (
                "scone",
                {"gold_label_edited": "maybe"},
                "`gold_label_edited` is 'maybe' and should be one of entailment, neutral",
            ),
        ],
    )
    def test_a_row_that_does_not_fit_names_the_field(self, name: str, changes: dict[str, Any], says: str) -> None:
        with pytest.raises(lp.DataError) as error:
            source_of(name).to_row({**AS_PUBLISHED[name](1), **changes})

        assert says in str(error.value)

    @pytest.mark.parametrize(
        ("passages", "says"),
        [
            ({"paragraphs": 3}, "`paragraphs` is 3 and should be"),
            ({"paragraphs": ["Ada."]}, "`paragraphs` is ['Ada.'] and should be"),
            (
                {"context": {"title": ["Ada"], "sentences": []}},
                "`context` has 1 entries in `title` and 0 in `sentences`",
            ),
        ],
    )
    def test_passages_that_do_not_fit_are_named_by_the_line_of_their_row(
        self, tmp_path: Path, passages: dict[str, Any], says: str
    ) -> None:
        file = write(tmp_path / "rows.jsonl", [{"question": "?", "answer": "London", **passages}])

        with pytest.raises(lp.DataError) as error:
            source_of("hotpotqa").on({"train": file})()

        assert f"rows.jsonl, line 1: {says}" in str(error.value)

    @pytest.mark.parametrize(
        ("name", "changes"),
        [("hotpotqa", {"level": "easy"}), ("hover", {"supporting_facts": [{"key": "London", "value": 0}] * 3})],
    )
    def test_rows_that_the_papers_leave_out_are_left_out(self, name: str, changes: dict[str, Any]) -> None:
        assert isinstance(source_of(name).to_row({**AS_PUBLISHED[name](1), **changes}), Dropped)

    def test_the_flowers_are_all_149_that_differ_and_the_species_of_scikit_learn(self) -> None:
        pytest.importorskip("sklearn")

        splits = find_task("iris").load()

        rows = [*splits.train, *splits.val, *splits.holdout]
        assert [len(splits.train), len(splits.val), len(splits.holdout)] == [42, 32, 75]
        assert {
            "petal_length": 1.4,
            "petal_width": 0.2,
            "sepal_length": 5.1,
            "sepal_width": 3.5,
            "answer": "setosa",
        } in rows
        assert sorted(fields_in(row)["answer"] for row in rows).count("virginica") == 49

    def test_without_scikit_learn_iris_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)

        with pytest.raises(
            lp.DataError,
            match=r"pip install scikit-learn\. Or give a file, --data FILE\. Give rows with `?petal_length",
        ):
            find_task("iris:seed=7").load()  # whose rows no other test has read

    @pytest.mark.parametrize(
        ("name", "sizes"),
        [
            ("hotpotqa", (500, 500, 2000)), ("hotpotqa-conditional", (500, 200, 200)), ("scone", (500, 500, 1200)),
            ("hover", (500, 500, 1520)), ("gsm8k", (500, 500, 1319)), ("heart", (68, 52, 183)), ("iris", (42, 32, 75)),
        ],
    )  # fmt: skip
    def test_a_task_takes_as_many_rows_as_the_papers(self, name: str, sizes: tuple[int, int, int]) -> None:
        assert source_of(name).facts()["sizes"] == dict(zip(("train", "val", "holdout"), sizes, strict=True))


def recorded(name: str) -> Path:
    """Return a recorded file, or skip where there is none."""
    folder = os.environ.get("LMPROG_DATA")
    if folder is None or not (Path(folder) / "tasks" / name).is_file():
        pytest.skip(f"LMPROG_DATA names no folder with tasks/{name}")
    return Path(folder) / "tasks" / name


class TestRecordedData:
    """The same converters on rows of the real data sets."""

    @pytest.mark.parametrize(
        ("name", "file", "sizes"),
        [
            ("gsm8k", "gsm8k.jsonl.gz", (500, 500, 1319)),
            ("scone", "scone.jsonl.gz", (499, 500, 1200)),
            ("heart", "heart_disease_152.jsonl", (34, 26, 92)),
            ("hotpotqa", "hotpotqa_distractor100.jsonl.gz", (17, 16, 67)),
            ("hotpotqa", "hotpotqa_train100.jsonl.gz", (17, 16, 67)),
            ("hotpotqa", "hotpotqa_langprobe_splits.jsonl", (150, 500, 300)),
            ("hover", "hover_langprobe_splits.jsonl.gz", None),
        ],
    )
    def test_real_rows_load_and_fit_the_program(self, name: str, file: str, sizes: tuple[int, int, int] | None) -> None:
        task = find_task(name, {"train": recorded(file)})

        splits = task.load()

        parts = (splits.train, splits.val, splits.holdout)
        assert sizes is None or tuple(map(len, parts)) == sizes
        source = cast("Source", task.source)
        for part in parts:
            assert part and all(set(fields_in(row)) == {*source.inputs, *source.labels} for row in part)

    def test_hover_keeps_the_claims_of_three_pages_and_counts_the_others(self) -> None:
        source = cast(
            "Source", find_task("hover:val=600", {"train": recorded("hover_langprobe_splits.jsonl.gz")}).source
        )

        loaded = source.read()

        kept = [*loaded.splits.train, *loaded.splits.val, *loaded.splits.holdout]
        assert all(len(fields_in(row)["titles"]) == 3 for row in kept)
        assert len(kept) + sum(loaded.dropped.values()) == 1050

    def test_a_reader_of_the_recorded_paragraphs_answers_hotpotqa(self) -> None:
        """The right answers are found by the search among all paragraphs, at times; the program carries them through."""
        task = find_task("hotpotqa:k=3", {"train": recorded("hotpotqa_distractor100.jsonl.gz")})
        rows = task.load().holdout
        gold = {fields_in(row)["question"]: fields_in(row)["answer"] for row in rows}

        def reply(asked: Asked) -> Answer:
            if "query" in asked.outputs:
                return {"reasoning": "", "query": asked.inputs["question"]}
            answer = gold[asked.inputs["question"]]
            return {"reasoning": "", "answer": answer if answer in asked.inputs["passages"] else "not found"}

        evaluation = lp.evaluate(task.program(), rows, task.metric, lm=ScriptedLM(reply))

        assert 0.3 < evaluation.score < 1

    def test_published_solutions_of_gsm8k_score_1_and_others_0(self) -> None:
        task = find_task("gsm8k:holdout=50", {"train": recorded("gsm8k.jsonl.gz")})
        with gzip.open(recorded("gsm8k.jsonl.gz"), "rt") as file:
            solutions = {row["question"]: row["answer"] for row in map(json.loads, file)}
        right = ScriptedLM(lambda asked: {"reasoning": "", "answer": solutions[asked.inputs["question"]]})
        wrong = ScriptedLM(lambda asked: {"reasoning": "", "answer": "-77.7"})

        rows = task.load().holdout
        assert lp.evaluate(task.program(), rows, task.metric, lm=right).score == 1
        assert lp.evaluate(task.program(), rows, task.metric, lm=wrong).score == 0


class TestHub:
    """Tasks on data sets in the hub's layout."""

    def test_hotpotqa_runs_on_a_data_set_of_the_hubs_schema(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        datasets: Any = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        data = tmp_path / "hub"
        data.mkdir()
        for split, first in {"train": 0, "validation": 100}.items():
            rows = [AS_PUBLISHED["hotpotqa"](number) for number in range(first, first + 40)]
            datasets.Dataset.from_list(rows).to_parquet(data / f"{split}.parquet")

        task = find_task(f"hotpotqa:dataset={data},k=1")
        program = cast("HotPotQA", task.program())

        assert [len(part) for part in (task.load().train, task.load().val, task.load().holdout)] == [20, 20, 40]
        assert program.search.retriever("Thames river") == [PASSAGES[3]]
        assert task.settings["rows"]["dataset"] == str(data)

    def test_scone_reads_the_six_tables_of_its_repository(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        datasets: Any = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        origin = cast("Any", source_of("scone").origin)
        for split, paths in origin.files:
            for number, path in enumerate(paths):
                edited = "" if path.endswith("/one_scoped.csv") else "_edited"
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text(
                    f",sentence1{edited},sentence2{edited},gold_label{edited}\n0,{split} {number},It is.,entailment\n"
                )

        splits = find_task(f"scone:dataset={tmp_path}").load()

        contexts = [fields_in(row)["context"] for row in [*splits.train, *splits.val]]
        assert sorted(contexts) == [f"train {number}" for number in range(6)]
        assert len(splits.holdout) == 6


class TestNamedTasks:
    """Tasks by name, with options and files."""

    def test_options_make_another_task_of_the_same_name(self) -> None:
        task = find_task("hotpotqa:revision=abc,train=7,k=5")

        source = cast("Source", task.source)
        assert source.origin.facts()["revision"] == "abc"
        assert source.train.size == 7
        assert task.options == {"revision": "abc", "train": "7", "k": "5"}

    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            ("gsm8k:rev=1", r"task 'gsm8k:rev=1': gsm8k has no option \['rev'\]. It has \[.*'revision'.*\]"),
            ("hotpotqa:k=many", "task 'hotpotqa:k=many': k='many': Input should be a valid integer"),
            ("gsm8k:train=0", "train='0': Input should be greater than 0"),
            ("gsm8k:train", "'train' is no option: write \"name:option=value\""),
            ("gsm8k:train=1,train=2", "an option is given twice"),
            ("iris:dataset=x", r"iris has no option \['dataset'\]"),
            ("nothing:k=1", "there is no 'nothing' among the programs: there are .*gsm8k"),
        ],
    )
    def test_wrong_options_are_named_with_those_that_exist(self, spec: str, says: str) -> None:
        with pytest.raises(lp.InputError, match=says):
            find_task(spec)

    @pytest.mark.parametrize("name", ["hover", "hotpotqa-conditional"])
    def test_a_task_whose_rows_bring_no_passages_asks_for_a_search(self, name: str, tmp_path: Path) -> None:
        rows = write(tmp_path / "rows.jsonl", [AS_PUBLISHED[name](number) for number in range(9)])

        with pytest.raises(
            lp.InputError, match=rf"{name} has nothing to search in.*{name}:retriever=URL.*{name}:corpus=FILE"
        ):
            find_task(name, {"train": rows}).program()
        with pytest.raises(lp.InputError, match="a retriever and a corpus"):
            find_task(f"{name}:retriever=http://h/s,corpus=x", {"train": rows}).program()

    def test_a_server_or_a_file_of_passages_can_be_searched(self, corpus: Path) -> None:
        by_file = cast("Hover", find_task(f"hover:corpus={corpus},k=2").program())
        by_server = cast("Any", find_task("hover:retriever=http://localhost:8893/api/search?key=1,k=2").program())

        assert by_file.retriever("river Thames")[0] == PASSAGES[3]
        assert (by_server.retriever.url, by_server.retriever.k) == ("http://localhost:8893/api/search?key=1", 2)

    def test_settings_hold_data_set_revision_sizes_and_options_and_no_query_of_a_url(self) -> None:
        settings = find_task("hotpotqa:revision=abc,retriever=http://h/search?key=secret").settings

        assert settings["name"] == "hotpotqa"
        assert settings["rows"] == {
            "dataset": "hotpotqa/hotpot_qa", "config": "distractor", "revision": "abc",
            "sizes": {"train": 500, "val": 500, "holdout": 2000}, "seed": 0,
        }  # fmt: skip
        assert settings["options"]["retriever"] == "http://h/search"

    def test_a_task_without_data_set_or_options_says_nothing(self) -> None:
        assert find_task("multihop").settings == {}
        assert find_task("multihop:seed=2").settings == {"name": "multihop", "options": {"seed": "2"}}

    @pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
    def test_every_task_says_what_it_is_and_either_runs_on_tiny_or_says_why_not(self, task: Task) -> None:
        assert task.about and "\n" not in task.about and not task.about.endswith(".")
        assert bool(task.not_tiny) != ("tiny" in task.lms)
        assert all(re.fullmatch("[a-z_]+", option.name) for option in options_of(task.name))

    @pytest.mark.parametrize("name", PAPERS)
    def test_a_task_of_a_paper_has_the_scores_that_the_paper_reports(self, name: str) -> None:
        published = find_task(name).published

        assert {"uncompiled"} < {one.system for one in published}
        assert all(0 <= one.score <= 100 and "arXiv:" in one.where for one in published)

    @pytest.mark.parametrize("name", PAPERS)
    def test_what_a_task_asks_of_an_lm_is_what_its_program_needs(self, name: str, tmp_path: Path, corpus: Path) -> None:
        spec, file = on_rows(name, tmp_path, corpus)
        task = find_task(spec, {"train": file})

        def job(capabilities: frozenset[Any]) -> Job[Any]:
            lm = ScriptedLM(lambda asked: "", capabilities=capabilities)
            splits = task.load()
            return Job(task.program(), splits.train, task.metric, splits.val, splits.holdout, lm=lm)

        check(job(task.capabilities))
        clients_of(job(task.capabilities))
        splits_of(job(task.capabilities))
        for capability in task.capabilities:
            with pytest.raises(lp.CapabilityError):
                clients_of(job(task.capabilities - {capability}))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def no_lm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LMPROG_LM", raising=False)
    lp.configure(lm=None)
    yield
    lp.configure(lm=None)


class TestCommands:
    """`lmprog tasks` and `lmprog compile TASK`."""

    @pytest.mark.parametrize("name", PAPERS)
    def test_compile_runs_every_task_on_an_endpoint_and_keeps_its_data_in_the_run(
        self,
        name: str,
        tmp_path: Path,
        corpus: Path,
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        spec, file = on_rows(name, tmp_path, corpus)

        argv = ["--lm", f"{server.url}#m", "--run-dir", "run", "--optimizer", "labeled-few-shot"]
        code = main(["compile", spec, "--data", file.name, *argv])

        assert code in (0, 3)
        assert "on rows of rows.jsonl: 20 train, 10 validation, 40 holdout" in capsys.readouterr().out
        settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
        assert settings["task"]["name"] == name
        assert settings["task"]["rows"]["files"] == {"train": "rows.jsonl"}

    def test_another_revision_is_another_run(self, tmp_path: Path, no_lm: None) -> None:
        first, second = find_task("gsm8k").settings, find_task("gsm8k:revision=main").settings

        assert first["rows"]["revision"] != second["rows"]["revision"] == "main"

    def test_a_task_that_cannot_run_on_tiny_says_why_before_it_reads_any_row(
        self, no_lm: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["compile", "gsm8k"]) == 2

        assert re.match(
            r"error: there is no LM: the task gsm8k does not run on tiny: .*Write --lm openai/MODEL",
            capsys.readouterr().err,
        )

    def test_files_of_a_task_are_converted_for_plan_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "rows.jsonl", [{"question": "?", "answer": "none"}])

        assert main(["plan", "gsm8k", "--data", "rows.jsonl", "--lm", "tiny"]) == 2

        assert "rows.jsonl, line 1: `answer` holds no number after ####: 'none'" in capsys.readouterr().err

    def test_the_list_tells_of_each_task_where_it_runs_what_it_needs_and_what_is_published(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["tasks"]) == 0

        lines = {line.split("\t")[0]: line.split("\t") for line in capsys.readouterr().out.splitlines()}
        assert set(PAPERS) < set(lines)
        _, about, runs, needs, published = lines["heart"]
        assert "three opinions" in about
        assert runs.startswith("any LM but tiny: ")
        assert (
            needs == "an LM with the capability sample; a network once, or --data FILE; pip install 'lmprog[datasets]'"
        )
        assert (
            published
            == "Llama-3-8B, Opsahl-Ong et al. 2024: uncompiled 26.8%, bootstrap random search 79.2%, MIPRO 74.2%"
        )
        assert lines["multihop"][2] == "tiny, any other"

    def test_the_list_as_json_has_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["tasks", "--json"]) == 0

        listed = {task["name"]: task for task in json.loads(capsys.readouterr().out)}
        assert listed["iris"]["needs"] == ["pip install scikit-learn"]
        assert listed["heart"]["capabilities"] == ["generate", "sample"]
        assert {"revision", "k", "retriever", "corpus"} <= set(listed["hotpotqa"]["options"])
        assert listed["scone"]["rows"]["dataset"] == "selenashe/ScoNe"
        assert listed["gsm8k"]["published"][0] == {
            "score": 40.3, "system": "uncompiled", "lm": "Mistral-7B", "where": "Soylu et al. 2024, arXiv:2407.10930",
        }  # fmt: skip
        assert listed["multihop"]["rows"] is None


def _allowed(asked: Asked, name: str) -> str:
    """Return a value that an output may hold: the first of its choices, where it has some."""
    schema = json.loads(asked.request.schema or "{}").get("properties", {}).get(name, {})
    return str(schema.get("enum", ["text"])[0])


def _prediction(signature: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    with lp.using(lm=ScriptedLM(lambda asked: outputs)):
        return lp.Predict(signature)(**inputs)


class TestArtifacts:
    """Compiled programs of tasks, loaded again."""

    def test_a_program_that_searches_is_loaded_with_a_retriever(self, tmp_path: Path) -> None:
        lp.save(Hover(lambda query: []), tmp_path / "hover.lmprog")

        with pytest.raises(
            lp.ArtifactError, match=r"Hover is not made without .*lp\.load\(path, program=Hover\(\.\.\.\)\)"
        ):
            lp.load(tmp_path / "hover.lmprog")
        loaded = lp.load(tmp_path / "hover.lmprog", Hover(lambda query: PASSAGES))
        assert loaded.retriever("?") == PASSAGES

    @pytest.mark.parametrize("program", [GradeSchoolMath(), HeartDisease(), Iris(), IrisTypo(), ScoNe()])
    def test_a_program_without_a_search_is_loaded_with_nothing(self, program: lp.Module, tmp_path: Path) -> None:
        lp.save(program, tmp_path / "a.lmprog")

        assert type(lp.load(tmp_path / "a.lmprog")) is type(program)
