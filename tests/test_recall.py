"""Recall at k: how many of the paragraphs that questions take a retriever finds, in Python and by `lmprog recall`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lmprog as lp
from lmprog.cli import main
from lmprog.data import read_jsonl
from lmprog.recall import measure, questions_in
from lmprog.retrieval.http import HTTPRetriever
from lmprog.testing import ScriptedLM

OSLO = {"title": "Oslo", "text": "a city on a fjord"}
ADA = {"title": "Ada", "text": "a person of Oslo"}
MOSS = {"title": "Moss", "text": "a town"}
ROWS = [
    {"question": "q1", "paragraphs": [OSLO, MOSS, ADA], "gold_titles": ["Ada", "Oslo"]},
    {"question": "q2", "paragraphs": [MOSS], "gold_titles": ["Moss"]},
]
FOUND = {
    "q1": ["Ada | a person of Oslo", "Moss | a town", "Oslo | a city on a fjord"],
    "q2": ["Ada | a person of Oslo", "Moss | a town"],
}
RECORDED = Path(os.environ.get("LMPROG_DATA", "nowhere")) / "tasks"


class Remember(lp.Signature):
    """Write down what you know."""

    question: str = lp.InputField()
    passages: list[str] = lp.OutputField()


def found(query: str) -> list[str]:
    return FOUND[query]


def gold(row: Mapping[str, Any]) -> tuple[str, ...]:
    return questions_in([row], what="rows").asked[0].gold


def test_recall_is_the_share_of_gold_paragraphs_and_complete_how_often_all_are_there() -> None:
    at = measure(questions_in(ROWS, what="rows"), found, [1, 2, 3])

    assert [(one.k, one.recall, one.complete) for one in at] == [(1, 0.25, 0.0), (2, 0.75, 0.5), (3, 1.0, 1.0)]


def test_figures_come_with_intervals_over_questions() -> None:
    (at,) = measure(questions_in(ROWS * 50, what="rows"), found, [2])

    assert at.interval.low < 0.75 < at.interval.high
    assert at.complete_interval.low < 0.5 < at.complete_interval.high
    assert at.interval.high - at.interval.low < at.complete_interval.high - at.complete_interval.low


def test_paragraphs_of_all_rows_are_one_corpus_each_once_in_order() -> None:
    assert questions_in(ROWS, what="rows").passages == (
        "Oslo | a city on a fjord", "Moss | a town", "Ada | a person of Oslo",
    )  # fmt: skip


def test_gold_paragraphs_are_told_as_musique_tells_them() -> None:
    row = {"question": "q", "paragraphs": [OSLO, MOSS, ADA]}
    parts = [{"paragraph_support_idx": 2}, {"paragraph_support_idx": 0}, {"paragraph_support_idx": 2}]
    marked = [{**OSLO, "is_supporting": True}, {**MOSS, "is_supporting": False}, {**ADA, "supporting": True}]
    published = [{"idx": 0, "title": "Moss", "paragraph_text": "a town", "is_supporting": True}]

    assert gold({**row, "decomposition": parts}) == ("Ada | a person of Oslo", "Oslo | a city on a fjord")
    assert gold({**row, "question_decomposition": parts}) == gold({**row, "decomposition": parts})
    assert gold({**row, "paragraphs": marked}) == ("Oslo | a city on a fjord", "Ada | a person of Oslo")
    assert gold({**row, "paragraphs": published}) == ("Moss | a town",)


@pytest.mark.parametrize(
    "row",
    [
        {
            "context": [["Oslo", ["a city", " on a fjord"]], ["Moss", ["a town"]]],
            "supporting_facts": [["Oslo", 0], ["Oslo", 1]],
        },
        {
            "context": {"title": ["Oslo", "Moss"], "sentences": [["a city", " on a fjord"], ["a town"]]},
            "supporting_facts": {"title": ["Oslo", "Oslo"], "sent_id": [0, 1]},
        },
    ],
    ids=["its own files", "the hub"],
)
def test_rows_as_hotpotqa_publishes_them_are_read(row: Mapping[str, Any]) -> None:
    asked = questions_in([{"question": "q", **row}], what="rows")

    assert asked.passages == ("Oslo | a city on a fjord", "Moss | a town")
    assert asked.asked[0].gold == ("Oslo | a city on a fjord",)


def test_of_paragraphs_with_one_title_only_the_gold_one_counts() -> None:
    twins = [{"title": "Oslo", "text": "one"}, {"title": "Oslo", "text": "two"}]
    row = {"question": "q", "paragraphs": twins, "decomposition": [{"paragraph_support_idx": 1}]}
    questions = questions_in([row], what="rows")

    assert measure(questions, lambda _: ["Oslo | one"], [1])[0].recall == 0
    assert measure(questions, lambda _: ["Oslo | two"], [1])[0].recall == 1


def test_a_passage_from_elsewhere_counts_by_its_title() -> None:
    questions = questions_in(ROWS[1:], what="rows")

    assert measure(questions, lambda _: ["moss | The town of Moss, at length."], [1])[0].recall == 1
    assert measure(questions, lambda _: ["Moss", "The town | Moss"], [2])[0].recall == 0


def test_each_question_is_asked_once_in_the_scope_of_the_caller() -> None:
    asked: list[str] = []
    predict = lp.Predict(Remember)

    def written(query: str) -> list[str]:
        asked.append(query)
        return predict(question=query).passages

    with lp.using(lm=ScriptedLM(lambda _: {"passages": ["Moss | a town"]})):
        at = measure(questions_in(ROWS, what="rows"), written, [1, 2, 5])

    assert sorted(asked) == ["q1", "q2"]
    assert [one.recall for one in at] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "q"}, "rows, row 1: `paragraphs` is missing. Write rows with `question`, `paragraphs` as"),
        ({"paragraphs": list[str]()}, r"`paragraphs` is \[\] and should be a list"),
        ({"paragraphs": ["text"]}, "a paragraph is 'text' and should be an object"),
        ({"paragraphs": [{"title": "Oslo"}]}, "`text` is missing"),
        ({"paragraphs": [{"text": "a city"}]}, "`title` is missing"),
        ({"paragraphs": [{**OSLO, "text": 7}]}, "`text` is 7 and should be a text"),
        ({"paragraphs": [OSLO]}, "nothing says which paragraphs the answer takes"),
        ({"paragraphs": [OSLO], "gold_titles": ["Ada"]}, "`gold_titles` holds 'Ada', the title of no paragraph"),
        (
            {"paragraphs": [OSLO], "gold_titles": [["Oslo"]]},
            r"`gold_titles` holds \['Oslo'\], the title of no paragraph",
        ),
        ({"paragraphs": [OSLO], "gold_titles": "Oslo"}, "`gold_titles` is 'Oslo' and should be a list"),
        (
            {"paragraphs": [OSLO], "decomposition": [{"id": 1}]},
            "`paragraph_support_idx` is None, and there are 1 paragraphs",
        ),
        ({"paragraphs": [OSLO], "decomposition": [{"paragraph_support_idx": 1}]}, "`paragraph_support_idx` is 1"),
        ({"paragraphs": [OSLO], "decomposition": [{"paragraph_support_idx": -1}]}, "`paragraph_support_idx` is -1"),
        ({"paragraphs": [OSLO], "gold_titles": ["Oslo"]}, "`question` is missing"),
        ({"question": "q", "context": "a text"}, r"`context` is 'a text' and should be a list of \[title, sentences\]"),
        ({"question": "q", "context": {"title": ["Oslo"], "sentences": list[str]()}}, r"`context` is \{'title'"),
        ({"question": "q", "context": [["Oslo", ["a city"]]]}, "`supporting_facts` is missing: it should be a list of"),
        ({"question": "q", "context": [["Oslo", "a city"]]}, "the sentences of 'Oslo' are 'a city' and should be"),
        (
            {"question": "q", "context": [["Oslo", ["a city"]]], "supporting_facts": [["Moss", 0]]},
            "`gold_titles` holds 'Moss', the title of no paragraph",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_what_is_wrong(row: Mapping[str, Any], says: str) -> None:
    with pytest.raises(lp.DataError, match=says):
        questions_in([ROWS[0], row], what="rows")


def test_wrong_use_is_refused() -> None:
    questions = questions_in(ROWS, what="rows")

    with pytest.raises(lp.DataError, match=r"rows is empty. Write rows with"):
        questions_in([], what="rows")
    with pytest.raises(lp.InputError, match=r"recall is measured at \[2, 0\] passages"):
        measure(questions, found, [2, 0])
    with pytest.raises(lp.InputError, match=r"the retriever returned 'Oslo'. It should return a list of texts"):
        measure(questions, lambda query: "Oslo", [1])  # type: ignore  # pyright: ignore


def test_a_server_that_is_lost_is_no_figure() -> None:
    with pytest.raises(lp.UnavailableError):
        measure(questions_in(ROWS, what="rows"), HTTPRetriever("http://127.0.0.1:9/x", outage_s=0), [1])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with rows and a retriever."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMPROG_OUTAGE_S", "0")
    rows = [
        {"question": "Who is of Oslo?", "paragraphs": [OSLO, MOSS, ADA], "gold_titles": ["Ada", "Oslo"]},
        {"question": "Which town?", "paragraphs": [MOSS], "gold_titles": ["Moss"]},
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("mine.py").write_text(
        "import lmprog as lp\n"
        "def last(passages, k):\n    print('made', len(passages), k)\n    return lambda query: list(passages)[-k:]\n"
        "def number(passages, k):\n    return 7\n"
        "def alone():\n    return last\n"
        "seven = 7\n"
    )
    return Path("rows.jsonl")


def test_the_command_prints_a_line_for_each_k(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recall", str(data), "--k", "2,1"]) == 0

    out, err = capsys.readouterr()
    assert [line.split("\t")[:2] + line.split("\t")[3:4] for line in out.splitlines()] == [
        ["1", "0.750", "0.500"],
        ["2", "1.000", "1.000"],
    ]
    assert err == "bm25: 2 questions, 3 passages\n"


def test_the_command_gives_json_alone_on_standard_output(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recall", str(data), "--k", "1", "--json", "--retriever", "mine.py:last"]) == 0

    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["at"][0]["recall"] == 0.25
    assert said["at"][0].keys() == {"k", "recall", "interval", "complete", "complete_interval"}
    assert {name: said[name] for name in ("data", "retriever", "questions", "passages")} == {
        "data": "rows.jsonl", "retriever": "mine.py:last", "questions": 2, "passages": 3,
    }  # fmt: skip
    assert err == "made 3 1\n"


def test_the_library_s_own_class_can_be_named_as_a_retriever(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("theirs.py").write_text("from lmprog.retrieval import BM25\n")

    assert main(["recall", str(data), "--retriever", "theirs.py:BM25"]) == 0
    named = capsys.readouterr().out
    assert main(["recall", str(data)]) == 0

    assert named == capsys.readouterr().out != ""


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["missing.jsonl"], "missing.jsonl cannot be read: No such file or directory"),
        (["mine.py"], "mine.py, line 1 is not JSON"),
        (["rows.jsonl", "--k", "0"], "--k '0' should be whole numbers from 1 on, with commas between: --k 1,2,5,10."),
        (["rows.jsonl", "--k", "few"], "--k 'few' should be whole numbers from 1 on"),
        (["rows.jsonl", "--k", ""], "--k '' should be whole numbers from 1 on"),
        (["rows.jsonl", "--retriever", "colbert"], "there is no retriever 'colbert'. Write bm25, the URL of a search endpoint"),
        (["rows.jsonl", "--retriever", "mine.py:first"], "mine.py has nothing called 'first'"),
        (["rows.jsonl", "--retriever", "mine.py:seven"], "mine.py:seven is a int. It should be a function that takes (passages, k)"),
        (["rows.jsonl", "--retriever", "mine.py:number"], "mine.py:number returned a int."),
        (["rows.jsonl", "--retriever", "mine.py:alone"], "mine.py:alone cannot be called with two arguments. It should be"),
        (["rows.jsonl", "--retriever", "http://127.0.0.1:9/x"], "http://127.0.0.1:9/x has not answered for 0 s"),
        (["rows.jsonl", "--retriever", "ftp://h"], "'ftp://h' is no URL that can be searched"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_use_of_the_command_is_said_in_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    code = main(["recall", *argv])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ") and says in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.skipif(not RECORDED.is_dir(), reason="needs the recorded tasks in the folder that LMPROG_DATA names")
@pytest.mark.parametrize(
    ("name", "passages", "at_10"),
    [("hotpotqa_distractor100", 1000, 0.91), ("hotpotqa_train100", 994, 0.905), ("musique_train100", 1890, 0.58)],
)
def test_recorded_questions_are_found_as_often_as_before(name: str, passages: int, at_10: float) -> None:
    questions = questions_in(read_jsonl(RECORDED / f"{name}.jsonl.gz"), what=name)

    at = measure(questions, lp.BM25(questions.passages, k=10), [1, 2, 5, 10])

    assert (len(questions.asked), len(questions.passages)) == (100, passages)
    assert at[-1].recall == pytest.approx(at_10, abs=0.005)
    assert [one.recall for one in at] == sorted(one.recall for one in at)
