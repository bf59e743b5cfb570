"""A folder of text is searched in passages of a limited length, which hold all of it, each under its title."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog.retrieval.division import divided, sections

MARKDOWN = """What stands above.

# Install

Run this:

```sh
# not a heading
make demo
```

## Use it ##

Call it.
"""
PIECES = st.lists(
    st.sampled_from(["word", "Oslo.", 'said."', "#", "\n", "\n\n", " ", "e.g. x", "\t\n \n"]), max_size=40
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs/deep/.hidden").mkdir(parents=True)
    return tmp_path / "docs"


def passages(path: Path, words: int = 100) -> list[str]:
    return list(lp.BM25.from_files(path, words=words).passages)


def test_short_paragraphs_share_a_passage_as_long_as_they_fit() -> None:
    assert list(divided("a b\n\nc\n \nd e f\n\n\ng", 4)) == ["a b\n\nc", "d e f\n\ng"]


def test_a_paragraph_keeps_its_lines() -> None:
    assert list(divided("\n a\n  b \n\n", 9)) == ["a\n  b"]


def test_a_long_paragraph_is_parted_between_sentences() -> None:
    assert list(divided('One two three. Four "five." Six! Seven?', 4)) == ["One two three.", 'Four "five." Six! Seven?']
    assert list(divided('a b.\n\nOne two. She said "Yes." Six', 3)) == ["a b.", "One two.", 'She said "Yes."', "Six"]


def test_a_long_sentence_is_parted_between_words() -> None:
    assert list(divided("a b c d e", 2)) == ["a b", "c d", "e"]


@given(PIECES.map("".join), st.integers(1, 7))
def test_passages_hold_every_word_in_order_and_none_is_too_long(text: str, words: int) -> None:
    found = list(divided(text, words))

    assert " ".join(found).split() == text.split()
    assert all(0 < len(passage.split()) <= words for passage in found)


def test_a_heading_is_the_title_of_what_stands_below_it() -> None:
    assert [(title, text.split()) for title, text in sections(MARKDOWN)] == [
        ("", ["What", "stands", "above."]),
        ("Install", ["Run", "this:", "```sh", "#", "not", "a", "heading", "make", "demo", "```"]),
        ("Use it", ["Call", "it."]),
    ]


@settings(deadline=None)
@given(PIECES.map("".join))
def test_sections_hold_every_line_that_is_no_heading(text: str) -> None:
    def is_heading(line: str) -> bool:
        inner = line.lstrip(" ")
        marks = len(inner) - len(inner.lstrip("#"))
        return len(line) - len(inner) <= 3 and 1 <= marks <= 6 and inner[marks : marks + 1] in (" ", "\t")

    kept = "".join(part for _, part in sections(text))

    assert kept == "".join(line for line in text.splitlines(keepends=True) if not is_heading(line))


def test_a_passage_is_shown_under_its_heading_or_the_name_of_its_file(folder: Path) -> None:
    (folder / "guide.md").write_text(MARKDOWN)
    (folder / "notes.txt").write_text("# Not Markdown")

    assert passages(folder) == [
        "guide | What stands above.",
        "Install | Run this:\n\n```sh\n# not a heading\nmake demo\n```",
        "Use it | Call it.",
        "notes | # Not Markdown",
    ]


def test_a_heading_without_text_below_it_is_no_passage(folder: Path) -> None:
    (folder / "a.md").write_text("# Empty\n\n# Full\ntext")

    assert passages(folder) == ["Full | text"]


def test_all_texts_are_read_in_order_of_their_paths_and_hidden_ones_are_not(folder: Path) -> None:
    for name in ("b.txt", "deep/c.TXT", "a.md", ".secret.txt", "deep/.hidden/d.txt", "image.png", "deep/rows.jsonl"):
        (folder / name).write_text(f"text of {name}")

    assert [passage.partition(" | ")[2] for passage in passages(folder)] == [
        "text of a.md",
        "text of b.txt",
        "text of deep/c.TXT",
    ]


def test_one_file_of_text_is_read_alike(folder: Path) -> None:
    (folder / "notes.txt").write_text("a b\n\nc d")

    assert passages(folder / "notes.txt", words=2) == ["notes | a b", "notes | c d"]


def test_a_file_that_comes_goes_or_is_renamed_changes_the_index(folder: Path) -> None:
    (folder / "a.txt").write_text("one")
    assert passages(folder) == ["a | one"]

    (folder / "b.txt").write_text("two")
    assert passages(folder) == ["a | one", "b | two"]

    (folder / "a.txt").rename(folder / "c.txt")
    assert passages(folder) == ["b | two", "c | one"]

    (folder / "b.txt").unlink()
    assert passages(folder) == ["c | one"]

    (folder / "c.txt").rename(folder / "d.txt")
    assert passages(folder) == ["d | one"]


def test_passages_of_another_length_are_another_index(folder: Path) -> None:
    (folder / "a.txt").write_text("one two three")

    assert passages(folder) == ["a | one two three"]
    assert passages(folder, words=2) == ["a | one two", "a | three"]


def test_a_folder_without_text_is_refused(folder: Path) -> None:
    (folder / "rows.jsonl").write_text("{}")

    with pytest.raises(lp.DataError, match=r"docs holds no text: there is no .txt or .md file in it."):
        lp.BM25.from_files(folder)
    (folder / "empty.txt").write_text(" \n")
    with pytest.raises(lp.DataError, match=r"docs is empty. Give a file or a folder that holds text."):
        lp.BM25.from_files(folder)


def test_a_file_in_another_encoding_is_refused_by_name(folder: Path) -> None:
    (folder / "a.txt").write_bytes("ä".encode("latin-1"))

    with pytest.raises(lp.DataError, match=r"a.txt is not text in UTF-8 \(.*\). Convert it, or move it elsewhere."):
        lp.BM25.from_files(folder)


def test_a_mark_of_byte_order_is_no_part_of_the_text(folder: Path) -> None:
    (folder / "a.md").write_bytes("\ufeff# Title\ntext".encode())

    assert passages(folder) == ["Title | text"]
