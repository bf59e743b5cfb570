"""BM25 finds the passages that share the rarest words with a query, in an order that never varies."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmprog.errors import DataError, InputError
from lmprog.identity import identity_of
from lmprog.retrieval import BM25, Retriever
from lmprog.retrieval.index import best, build, words_of

TEXTS = st.lists(st.sampled_from(["Oslo", "oslo,", "Ada", "the", "fjord", "Über", "1852", "!", ""]), max_size=5).map(
    " ".join
)
CORPORA = st.lists(TEXTS, min_size=1, max_size=12).map(lambda texts: [*texts, "Ada of Oslo"])


def test_the_passage_with_the_rarest_word_of_the_query_comes_first() -> None:
    search = BM25(["a city in Norway", "a city on a fjord", "a city in France"], k=3)

    assert search("which city lies on a fjord ?")[0] == "a city on a fjord"


def test_one_passage_is_returned_unless_more_are_asked_for() -> None:
    passages = ["Ada sings", "Ada writes", "Ada paints"]

    assert len(BM25(passages)("Ada")) == 1
    assert len(BM25(passages, k=2)("Ada")) == 2
    assert len(BM25(passages, k=9)("Ada")) == 3


def test_a_call_may_ask_for_another_number_of_passages() -> None:
    search = BM25(["Ada sings", "Ada writes", "Ada paints"], k=2)

    assert search("Ada", k=3) == ["Ada sings", "Ada writes", "Ada paints"]
    assert search("Ada") == ["Ada sings", "Ada writes"]


def test_a_batch_gives_each_query_what_a_call_would() -> None:
    search = BM25(["Ada sings", "Bob sings", "Cleo paints"], k=2)

    assert search.batch(["Cleo", "sings", "nobody", "Cleo"]) == [
        ["Cleo paints"],
        ["Ada sings", "Bob sings"],
        [],
        ["Cleo paints"],
    ]
    assert search.batch(["sings"], k=1) == [["Ada sings"]]
    assert search.batch([]) == []


def test_what_a_batch_returns_for_equal_queries_can_be_changed_one_by_one() -> None:
    first, second = BM25(["Ada sings"]).batch(["Ada", "Ada"])

    first.append("more")

    assert second == ["Ada sings"]


def test_words_match_whole_and_in_any_case() -> None:
    search = BM25(["Ada was born in OSLO."])

    assert search("oslo?") == ["Ada was born in OSLO."]
    assert search("osl") == []


def test_words_are_found_in_scripts_that_put_no_space_between_them() -> None:
    search = BM25(["我喜欢吃苹果", "北京大学在北京", "東京タワーは港区にある", "서울은 한국의 수도이다", "猫 cats"])

    found = search.batch(["苹果", "北京", "タワー", "서울", "猫", "京北"])

    assert [passages[0][:2] for passages in found[:5]] == ["我喜", "北京", "東京", "서울", "猫 "]
    assert found[5] == ["北京大学在北京"]  # its characters, though not as neighbours


def test_common_words_are_searched_like_others_since_names_may_be_made_of_them() -> None:
    assert BM25(["a band", "The The, a band"])("The The") == ["The The, a band"]


@pytest.mark.parametrize("query", ["", "?!", "unheard of"])
def test_a_query_that_shares_no_word_finds_nothing(query: str) -> None:
    assert BM25(["Ada was born in Oslo"])(query) == []


def test_passages_of_equal_score_come_in_the_order_given() -> None:
    search = BM25(["b Ada", "nothing", "a Ada", "c Ada"], k=2)

    assert search("Ada") == ["b Ada", "a Ada"]


@settings(deadline=None)
@given(CORPORA)
def test_the_scores_are_those_of_bm25s(passages: list[str]) -> None:
    library: Any = import_module("bm25s").BM25()  # Lucene's variant with k1 = 1.5 and b = 0.75, unless told otherwise
    words = [words_of(passage) for passage in passages]
    vocabulary = {word: number for number, word in enumerate(sorted({word for text in words for word in text}))}

    library.index(([[vocabulary[word] for word in text] for text in words], dict(vocabulary)), show_progress=False)

    ours = build(passages)
    assert ours.words == list(vocabulary)
    for number in vocabulary.values():
        start, end = ours.starts[number : number + 2]
        there = library.scores["indptr"][number], library.scores["indptr"][number + 1]
        assert ours.passages[start:end].tolist() == library.scores["indices"][slice(*there)].tolist()
        assert ours.scores[start:end] == pytest.approx(library.scores["data"][slice(*there)])


@settings(deadline=None)
@given(CORPORA, st.integers(1, 9))
def test_an_index_is_the_same_whatever_is_in_memory_at_once(passages: list[str], block: int) -> None:
    at_once, by_blocks = build(passages), build(passages, block=block)

    assert by_blocks.words == at_once.words
    for name in ("starts", "passages", "scores"):
        assert getattr(by_blocks, name).tolist() == getattr(at_once, name).tolist()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20_000), st.integers(1, 40), st.sampled_from([0, 1, 5, 1_000_000]))
def test_the_best_of_many_scores_are_those_that_sorting_all_of_them_gives(
    seed: int, count: int, k: int, distinct: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, distinct + 1, count).astype(np.float32)

    in_order = sorted((place for place in range(count) if scores[place] > 0), key=lambda place: -scores[place])

    assert best(scores, k).tolist() == in_order[:k]


@settings(deadline=None)
@given(CORPORA, TEXTS, st.integers(1, 6))
def test_a_longer_list_of_results_begins_with_the_shorter(passages: list[str], query: str, k: int) -> None:
    shorter, longer = BM25(passages, k=k)(query), BM25(passages, k=k + 1)(query)

    assert longer[:k] == shorter


@settings(deadline=None)
@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=20))
def test_many_threads_get_what_one_would(passages: list[str], queries: list[str]) -> None:
    search = BM25(passages, k=3)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(search, queries * 4))

    assert found == [search(query) for query in queries] * 4


def test_indexing_and_searching_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    BM25([f"passage {number}" for number in range(2000)])("passage 7")

    assert capfd.readouterr() == ("", "")


def test_bm25_is_a_retriever_and_so_is_any_function_from_query_to_passages() -> None:
    def reversed_words(query: str) -> list[str]:
        return query.split()[::-1]

    retrievers: list[Retriever] = [BM25(["b a"]), reversed_words]

    assert [search("a b") for search in retrievers] == [["b a"], ["b", "a"]]


def test_the_search_library_is_loaded_when_an_index_is_made_and_not_before() -> None:
    code = (
        "import sys, lmprog.retrieval as r; a = 'bm25s' in sys.modules; r.BM25(['x']); print(a, 'bm25s' in sys.modules)"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.split() == ["False", "True"]


@pytest.mark.parametrize("passages", [[], ["", "?!"]])
def test_a_corpus_without_a_word_is_refused(passages: list[str]) -> None:
    with pytest.raises(DataError, match=f"the {len(passages)} passages given to BM25 hold no word"):
        BM25(passages)


def test_one_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(DataError, match="was given one text: 'Ada was born"):
        BM25("Ada was born in Oslo")
    with pytest.raises(InputError, match="with the one text 'Ada'"):
        BM25(["Ada"]).batch("Ada")


def test_what_is_no_text_is_refused() -> None:
    rows: Any = ["Ada", {"text": "Bob"}]
    query: Any = None

    with pytest.raises(DataError, match=r"one of these is {'text': 'Bob'}. Write the texts alone"):
        BM25(rows)
    with pytest.raises(InputError, match=r"was asked for None. Give the query as a text"):
        BM25(["Ada"])(query)


def test_asking_for_no_passages_is_refused() -> None:
    with pytest.raises(InputError, match="k=0"):
        BM25(["Ada"], k=0)
    with pytest.raises(InputError, match="k=-1"):
        BM25(["Ada"])("Ada", k=-1)
    with pytest.raises(InputError, match=r"k=1\.5"):
        BM25(["Ada"], k=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("passages", "k"), [(["Ada", "Bob"], 2), (["Bob", "Ada"], 1), (["Ada Bob"], 1)])
def test_a_program_with_another_corpus_or_number_of_passages_is_another_program(passages: list[str], k: int) -> None:
    search = BM25(["Ada", "Bob"])

    assert identity_of(search) == identity_of(BM25(["Ada", "Bob"]))
    assert identity_of(search) != identity_of(BM25(passages, k))
