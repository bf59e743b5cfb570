"""An index over files is built once, kept in a folder, whole or not there, and read from there by any number of users."""

import gzip
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog.locks import lock
from lmprog.retrieval.corpus import Corpus
from lmprog.retrieval.saved import kept

ROWS = [
    {"title": "Oslo", "text": "Oslo is a city on a fjord."},
    {"title": "Ada", "text": "Ada was born in Oslo."},
    {"title": "Bergen", "text": "Bergen is a city."},
]
OSLO, ADA, BERGEN = (f"{row['title']} | {row['text']}" for row in ROWS)
SETTLED_S = 2.1
"""After so long a file's time tells whether it was changed."""
SOON_S = 30.0

WORDS = st.lists(st.sampled_from(["Oslo", "oslo,", "Ada", "the", "Über", "\u2028", "1852", ""]), max_size=5).map(
    " ".join
)
SEARCH = "import sys, lmprog as lp; print(lp.BM25.from_files(sys.argv[1], k=2)('Oslo'))"


def write(path: Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "cities.jsonl")


def builds(folder: Path) -> dict[str, int]:
    """The indexes in a folder, and when each was made."""
    return {path.parent.name: path.parent.stat().st_ino for path in folder.glob("*/meta.json")}


def index_of(corpus: Path) -> Path:
    return corpus.with_name(corpus.name + ".bm25")


def until(sign: Path) -> None:
    begun = time.monotonic()
    while not sign.exists():
        assert time.monotonic() < begun + SOON_S
        time.sleep(0.002)


def test_a_row_with_a_title_is_searched_and_shown_as_title_and_text(corpus: Path) -> None:
    search = lp.BM25.from_files(corpus, k=2)

    assert search("Oslo fjord") == [OSLO, ADA]
    assert list(search.passages) == [OSLO, ADA, BERGEN]


def test_a_title_is_found_that_the_text_does_not_name(tmp_path: Path) -> None:
    search = lp.BM25.from_files(write(tmp_path / "rows.jsonl", [{"title": "Oslo", "text": "A city."}]))

    assert search("oslo") == ["Oslo | A city."]


@pytest.mark.parametrize("title", [{}, {"title": ""}, {"title": None}])
def test_a_row_without_a_title_is_its_text(tmp_path: Path, title: Mapping[str, str | None]) -> None:
    assert lp.BM25.from_files(write(tmp_path / "rows.jsonl", [{**title, "text": "A city."}]))("city") == ["A city."]


def test_the_fields_of_rows_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"name": "Oslo", "contents": "A city.", "text": "no", "title": "no"}])

    assert lp.BM25.from_files(path, text="contents", title="name")("oslo") == ["Oslo | A city."]
    assert lp.BM25.from_files(path, text="contents", title="")("city") == ["A city."]


def test_a_packed_file_is_read_as_what_it_holds(tmp_path: Path, corpus: Path) -> None:
    packed = tmp_path / "cities.jsonl.gz"
    packed.write_bytes(gzip.compress(corpus.read_bytes()))

    assert list(lp.BM25.from_files(packed).passages) == [OSLO, ADA, BERGEN]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(WORDS, WORDS), max_size=12), WORDS, st.integers(1, 4))
def test_a_kept_index_finds_what_one_in_memory_finds(rows: list[tuple[str, str]], query: str, k: int) -> None:
    rows = [*rows, ("Ada", "of Oslo")]
    passages = [f"{title} | {text}" if title else text for title, text in rows]
    with TemporaryDirectory() as folder:
        path = write(Path(folder, "rows.jsonl"), [{"title": title, "text": text} for title, text in rows])

        made, found = (lp.BM25.from_files(path, k=k) for _ in range(2))

        assert made(query) == found(query) == lp.BM25(passages, k)(query)
        assert list(found.passages) == passages


def test_passages_are_taken_by_place_as_from_a_list(corpus: Path) -> None:
    passages = lp.BM25.from_files(corpus).passages

    assert (passages[0], passages[-1], tuple(passages[1:])) == (OSLO, BERGEN, (ADA, BERGEN))
    with pytest.raises(IndexError):
        passages[3]
    with pytest.raises(IndexError):
        passages[-4]


def test_the_index_is_kept_beside_the_source_or_where_it_is_said(tmp_path: Path, corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    lp.BM25.from_files(corpus, folder=tmp_path / "some/where")

    assert len(builds(tmp_path / "cities.jsonl.bm25")) == 1
    assert len(builds(tmp_path / "some/where")) == 1


def test_an_index_is_built_once(corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    first = builds(index_of(corpus))

    again = lp.BM25.from_files(corpus, k=2)

    assert builds(index_of(corpus)) == first
    assert again("Oslo fjord") == [OSLO, ADA]


class Unread(Corpus):
    """A corpus whose files may be looked at, but not read."""

    def fingerprint(self) -> str:
        raise AssertionError("the files were read")

    def passages(self) -> Iterator[str]:
        raise AssertionError("the files were read")


def test_the_source_is_not_read_again_as_long_as_its_files_look_the_same(corpus: Path) -> None:
    kept(Corpus(corpus))
    time.sleep(SETTLED_S)
    kept(Corpus(corpus))  # the first time that their times tell

    assert kept(Unread(corpus)).search("fjord", 1) == [OSLO]


def test_files_that_look_changed_are_read_to_see_whether_they_are(corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    first = builds(index_of(corpus))
    time.sleep(SETTLED_S)
    lp.BM25.from_files(corpus)

    os.utime(corpus)

    with pytest.raises(AssertionError, match="were read"):
        kept(Unread(corpus))
    assert lp.BM25.from_files(corpus)("fjord") == [OSLO]
    assert builds(index_of(corpus)) == first


def test_files_that_were_changed_a_moment_ago_are_read_since_a_further_change_might_not_show(corpus: Path) -> None:
    kept(Corpus(corpus))

    with pytest.raises(AssertionError, match="were read"):
        kept(Unread(corpus))


def test_a_changed_source_is_indexed_anew_and_the_old_index_goes(corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    first = builds(index_of(corpus))

    write(corpus, [*ROWS, {"title": "Moss", "text": "Moss lies on a fjord"}])

    assert lp.BM25.from_files(corpus, k=5)("fjord") == ["Moss | Moss lies on a fjord", OSLO]
    assert len(builds(index_of(corpus))) == 1
    assert builds(index_of(corpus)).keys() != first.keys()


def test_a_change_of_equal_size_and_time_is_seen(corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    time.sleep(SETTLED_S)
    lp.BM25.from_files(corpus)
    before = corpus.stat()

    write(corpus, [{**row, "text": row["text"].replace("fjord", "river")} for row in ROWS])
    os.utime(corpus, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(SETTLED_S)

    assert corpus.stat().st_size == before.st_size
    assert lp.BM25.from_files(corpus)("river") == [OSLO.replace("fjord", "river")]


def test_other_settings_give_another_index(corpus: Path) -> None:
    assert lp.BM25.from_files(corpus)("Bergen") == [BERGEN]
    assert lp.BM25.from_files(corpus, title="")("Bergen") == ["Bergen is a city."]


def test_who_reads_an_index_that_is_replaced_goes_on_reading_it(corpus: Path) -> None:
    search = lp.BM25.from_files(corpus, k=2)
    write(corpus, [{"text": "nothing on cities"}])
    lp.BM25.from_files(corpus)

    assert search("Oslo fjord") == [OSLO, ADA]


def test_an_index_goes_elsewhere_without_its_source(tmp_path: Path, corpus: Path) -> None:
    lp.BM25.from_files(corpus, folder=tmp_path / "index")
    (tmp_path / "index").rename(tmp_path / "moved")
    corpus.unlink()

    assert lp.BM25.load(tmp_path / "moved", k=2)("Oslo fjord") == [OSLO, ADA]


def test_many_threads_that_come_at_once_share_one_build_and_search_alike(corpus: Path) -> None:
    def use(_: int) -> list[str]:
        return lp.BM25.from_files(corpus, k=2)("Oslo fjord")

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(use, range(48)))

    assert found == [[OSLO, ADA]] * 48
    assert len(builds(index_of(corpus))) == 1


def test_a_process_that_finds_another_building_waits_for_it(corpus: Path) -> None:
    index_of(corpus).mkdir()
    handle = os.open(index_of(corpus) / "lock", os.O_RDWR | os.O_CREAT)
    lock(handle)  # as one that builds
    waiting = "import logging; logging.basicConfig(level=logging.INFO); " + SEARCH

    with subprocess.Popen(
        [sys.executable, "-c", waiting, str(corpus)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr and process.stdout
        assert "waiting for it" in process.stderr.readline()
        assert not builds(index_of(corpus))
        os.close(handle)
        out, _ = process.communicate()

    assert out.strip() == str([OSLO, ADA])
    assert len(builds(index_of(corpus))) == 1


def test_processes_that_build_at_once_do_no_harm(corpus: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", SEARCH, str(corpus)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    assert [process.communicate()[0].strip() for process in processes] == [str([OSLO, ADA])] * 3
    assert len(builds(index_of(corpus))) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_a_build_that_is_killed_leaves_nothing_that_counts(tmp_path: Path) -> None:
    corpus = tmp_path / "cities.jsonl"
    os.mkfifo(corpus)  # whose reader waits for as long as it is held open
    with subprocess.Popen([sys.executable, "-c", SEARCH, str(corpus)]) as process:
        try:
            write(corpus)  # for the fingerprint
            until(index_of(corpus) / ".part/passages.bin")
            with corpus.open("w") as unfinished:
                unfinished.write(json.dumps(ROWS[0]) + "\n")
                unfinished.flush()
                process.kill()
                process.wait()
        finally:
            process.kill()

    with pytest.raises(lp.DataError, match="holds no index"):
        lp.BM25.load(index_of(corpus))
    corpus.unlink()
    write(corpus)
    assert lp.BM25.from_files(corpus)("fjord") == [OSLO]
    assert not (index_of(corpus) / ".part").exists()


def test_a_source_that_changes_while_it_is_read_is_not_taken_for_indexed(corpus: Path) -> None:
    class Growing(Corpus):
        def passages(self) -> Iterator[str]:
            yield from Corpus.passages(self)
            write(corpus, [*ROWS, *ROWS])

    with pytest.raises(lp.DataError, match=r"cities.jsonl has changed while it was indexed. Run this again."):
        kept(Growing(corpus))

    assert builds(index_of(corpus)) == {}
    assert len(lp.BM25.from_files(corpus).passages) == 6


@pytest.mark.parametrize("name", ["scores.npy", "places.npy", "starts.npy", "passages.npy", "words.npy", "passages.bin", "words.bin"])  # fmt: skip
@pytest.mark.parametrize("left", [0, -4])
def test_a_damaged_index_says_so(corpus: Path, name: str, left: int) -> None:
    lp.BM25.from_files(corpus)
    file = next(index_of(corpus).glob(f"*/{name}"))
    file.write_bytes(file.read_bytes()[:left])

    with pytest.raises(lp.DataError, match=r"is damaged \(.*\). Delete that folder: the index is then built anew."):
        lp.BM25.from_files(corpus)
    with pytest.raises(lp.DataError, match="is damaged"):
        lp.BM25.load(index_of(corpus))


@pytest.mark.parametrize("name", ["scores", "places", "starts", "passages", "words"])
def test_an_index_of_files_that_do_not_belong_together_says_so(corpus: Path, name: str) -> None:
    lp.BM25.from_files(corpus)
    file = next(index_of(corpus).glob(f"*/{name}.npy"))
    np.save(file, np.load(file)[:-1])

    with pytest.raises(lp.DataError, match="is damaged"):
        lp.BM25.load(index_of(corpus))


@pytest.mark.parametrize("name", ["passages.bin", "places.npy"])
def test_damage_that_shows_in_a_search_says_so(corpus: Path, name: str) -> None:
    lp.BM25.from_files(corpus)
    file = next(index_of(corpus).glob(f"*/{name}"))
    data = file.read_bytes()
    file.write_bytes(
        data[:128] + b"\xff\x7f" * ((len(data) - 128) // 2) if name == "places.npy" else b"\xff" * len(data)
    )

    with pytest.raises(lp.DataError, match=r"the index in .* is damaged .* Delete that folder"):
        lp.BM25.from_files(corpus)("fjord")


def test_what_does_not_tell_its_own_content_is_no_index(corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    meta = next(index_of(corpus).glob("*/meta.json"))
    meta.write_text("{")

    with pytest.raises(
        lp.DataError, match=r"cities.jsonl.bm25 holds no index. Make one: BM25.from_files\(path, folder="
    ):
        lp.BM25.load(index_of(corpus))


def test_an_index_of_another_version_is_built_anew_and_refused_where_the_source_is_missing(corpus: Path) -> None:
    lp.BM25.from_files(corpus)
    meta = next(index_of(corpus).glob("*/meta.json"))
    meta.write_text(meta.read_text().replace('"format":2', '"format":7'))
    meta.parent.rename(meta.parent.with_name(meta.parent.name.replace("2-", "7-", 1)))

    with pytest.raises(lp.DataError, match="holds an index of format 7, and this version of lmprog reads format 2"):
        lp.BM25.load(index_of(corpus))
    assert lp.BM25.from_files(corpus)("fjord") == [OSLO]
    assert lp.BM25.load(index_of(corpus))("fjord") == [OSLO]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "rows.jsonl is empty. Give a file or a folder that holds text."),
        ("\n\n", "rows.jsonl is empty"),
        ('{"text": "a"}\n{"text": \n', r"rows.jsonl, line 2 is not JSON in UTF-8"),
        ('["a"]\n', r"rows.jsonl, line 1 is not an object"),
        (
            '{"text": "a"}\n\n{"contents": "b", "id": 1}\n',
            r"rows.jsonl, line 3: there is no `text`. It has `contents`, `id`: name the one that holds the passage, as text=...",
        ),
        ('{"text": 7}\n', r"rows.jsonl, line 1: `text` is 7, and should be a text."),
        ('{"text": "a", "title": ["b"]}\n', r"rows.jsonl, line 1: `title` is \['b'\], and should be a text."),
        ('{"text": "?!"}\n', "the 1 passages given to BM25 hold no word"),
    ],
)
def test_a_file_that_cannot_be_indexed_is_refused_with_the_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)

    with pytest.raises(lp.DataError, match=says):
        lp.BM25.from_files(path)

    assert not index_of(path).exists()


def test_a_file_that_cannot_be_indexed_leaves_the_folder_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "kept").mkdir()

    with pytest.raises(lp.DataError, match="is empty"):
        lp.BM25.from_files(tmp_path / "rows.jsonl", folder=tmp_path / "kept")

    assert (tmp_path / "kept").is_dir() and not (tmp_path / "kept" / ".part").exists()


def test_a_packed_file_that_is_not_whole_is_refused(tmp_path: Path, corpus: Path) -> None:
    packed = tmp_path / "cities.jsonl.gz"
    packed.write_bytes(gzip.compress(corpus.read_bytes())[:-12])

    with pytest.raises(lp.DataError, match=r"cities.jsonl.gz cannot be read"):
        lp.BM25.from_files(packed)


def test_wrong_use_is_refused_before_anything_is_read(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(lp.DataError, match=r"missing.jsonl cannot be read: No such file or directory"):
        lp.BM25.from_files(tmp_path / "missing.jsonl")
    with pytest.raises(lp.DataError, match=r"nowhere holds no index. Make one"):
        lp.BM25.load(tmp_path / "nowhere")
    with pytest.raises(lp.InputError, match="k=0"):
        lp.BM25.from_files(corpus, k=0)
    with pytest.raises(lp.InputError, match="k=0"):
        lp.BM25.load(corpus, k=0)
    with pytest.raises(lp.InputError, match="words=0"):
        lp.BM25.from_files(corpus, words=0)
    with pytest.raises(
        lp.InputError, match=r"cannot be kept in .*cities.jsonl: .* BM25.from_files\('.*', folder=...\)"
    ):
        lp.BM25.from_files(corpus, folder=corpus)


def test_a_program_on_a_changed_corpus_is_another_program(corpus: Path) -> None:
    before = lp.BM25.from_files(corpus, k=2).identity
    assert lp.BM25.from_files(corpus, k=2).identity == before
    assert lp.BM25.from_files(corpus, k=3).identity != before

    write(corpus, ROWS[:2])

    assert lp.BM25.from_files(corpus, k=2).identity != before


def test_to_build_is_said_and_to_find_is_not(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lmprog.retrieval"):
        lp.BM25.from_files(corpus)
        said = [record.message for record in caplog.records]
        lp.BM25.from_files(corpus)

    assert said[0].startswith("indexing ") and said[1].endswith("3 passages in 0 s")
    assert len(caplog.records) == len(said) == 2
