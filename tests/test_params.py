"""Params as a value: JSON and back, equality by content, readable differences."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog.params import Config, Weights
from lmprog.testing import hostile_texts

texts = hostile_texts()
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=4
)
sides = st.dictionaries(texts, values, max_size=2)
one_predictor = st.builds(
    lp.PredictorParams,
    instruction=texts,
    demos=st.lists(st.builds(lp.Demo, inputs=sides, outputs=sides), max_size=2),
    field_descriptions=st.dictionaries(texts, texts, max_size=2),
    weights=st.none() | st.builds(Weights, adapter=texts, base=texts, sha256=texts),
    config=st.builds(
        Config,
        temperature=st.none() | st.floats(0, 2),
        max_tokens=st.none() | st.integers(1, 9000),
    ),
)
some_params = st.dictionaries(texts, one_predictor, max_size=3).map(lp.Params)
properties = settings(deadline=None, derandomize=True, database=None, max_examples=40)


def one(instruction: str = "Answer.", **fields: Any) -> lp.Params:
    return lp.Params({"answer": lp.PredictorParams(instruction=instruction, **fields)})


def changed(text: str, *path: str | int, value: object) -> str:
    """JSON text with one entry set."""
    data = place = json.loads(text)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data)


@properties
@given(some_params)
def test_params_read_back_equal_from_their_json(params: lp.Params) -> None:
    text = params.to_json()

    read = lp.Params.from_json(text)

    assert read == params
    assert hash(read) == hash(params)
    assert read.to_json() == text
    assert lp.Params.from_json(text.encode()) == params


@properties
@given(some_params, some_params)
def test_equality_hash_fingerprint_and_diff_agree(some: lp.Params, other: lp.Params) -> None:
    equal = some.to_json() == other.to_json()

    assert (some == other) is equal
    assert (some.fingerprint == other.fingerprint) is equal
    assert (some.diff(other) == "") is equal
    assert not equal or hash(some) == hash(other)


@properties
@given(some_params)
def test_params_differ_from_any_params_with_one_more_word(params: lp.Params) -> None:
    for path, value in params.items():
        longer = params.replace(path, instruction=value.instruction + "\n")

        assert longer != params
        assert longer.fingerprint != params.fingerprint
        assert longer.diff(params) != ""


@pytest.mark.parametrize("other", [True, 1.0, "1", [1], {"1": 1}, None])
def test_values_that_json_tells_apart_make_different_params(other: object) -> None:
    whole, unlike = (one(demos=[lp.Demo(inputs={}, outputs={"answer": value})]) for value in (1, other))

    assert whole != unlike
    assert whole.fingerprint != unlike.fingerprint
    assert whole.diff(unlike) != ""


def test_the_order_in_which_params_were_built_does_not_show() -> None:
    ask, answer = lp.PredictorParams(instruction="Ask."), lp.PredictorParams(instruction="Answer.")
    some = lp.Params({"ask": ask, "answer": answer})
    other = lp.Params({"answer": answer, "ask": ask})

    assert some == other
    assert some.to_json() == other.to_json()
    assert len({some, other}) == 1


def test_the_json_spells_out_every_field() -> None:
    demo = lp.Demo(inputs={"question": "é?"}, outputs={"answer": "1"})
    params = one(demos=[demo], field_descriptions={"answer": "short"}, config={"max_tokens": 9})

    assert json.loads(params.to_json()) == {
        "format": 1,
        "predictors": {
            "answer": {
                "instruction": "Answer.",
                "demos": [{"inputs": {"question": "é?"}, "outputs": {"answer": "1"}}],
                "field_descriptions": {"answer": "short"},
                "format": "chat",
                "weights": None,
                "config": {"max_tokens": 9},
            }
        },
    }
    assert "é?" in params.to_json()


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (["extra"], "extra"),
        (["predictors", "answer", "extra"], "predictors.answer.extra"),
        (["predictors", "answer", "config", "extra"], "predictors.answer.config.extra"),
        (["predictors", "answer", "demos", 0, "extra"], "predictors.answer.demos.0.extra"),
        (["predictors", "answer", "weights", "extra"], "predictors.answer.weights.extra"),
    ],
)
def test_an_unknown_key_is_refused_at_every_level(place: list[str | int], named: str) -> None:
    weights = Weights(adapter="a.safetensors", base="tiny", sha256="0")
    text = one(demos=[lp.Demo(inputs={}, outputs={})], weights=weights).to_json()

    with pytest.raises(lp.ParamsError, match=named):
        lp.Params.from_json(changed(text, *place, value=1))


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_format_number_is_refused(number: object) -> None:
    with pytest.raises(lp.ParamsError, match=r"not params JSON of format 1: format:"):
        lp.Params.from_json(changed(one().to_json(), "format", value=number))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format":1}', b"\xff", "[" * 100_000])
def test_text_that_is_no_params_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(lp.ParamsError, match=r"Params\.to_json\(\)"):
        lp.Params.from_json(text)


@pytest.mark.parametrize("config", [{"temperature": -1}, {"temperature": float("nan")}, {"max_tokens": 0}])
def test_settings_out_of_range_are_refused(config: dict[str, float]) -> None:
    with pytest.raises(lp.ParamsError, match=rf"config\.{next(iter(config))}"):
        one().replace("answer", config=config)


def test_replace_changes_one_predictor_and_leaves_the_original() -> None:
    params = lp.Params(
        {"ask": lp.PredictorParams(instruction="Ask."), "answer": lp.PredictorParams(instruction="Answer.")}
    )

    new = params.replace("ask", instruction="Ask twice.")

    assert new["ask"].instruction == "Ask twice."
    assert new["answer"] == params["answer"]
    assert params["ask"].instruction == "Ask."


def test_replace_names_the_predictors_there_are() -> None:
    with pytest.raises(lp.ParamsError, match=r"'anwser'.*\['answer'\]"):
        one().replace("anwser", instruction="Answer.")


def test_replace_refuses_what_a_predictor_has_not() -> None:
    with pytest.raises(lp.ParamsError, match=r"instructions: .*They have instruction, demos"):
        one().replace("answer", instructions="Answer.")


def test_changing_what_params_were_made_from_changes_nothing() -> None:
    passages = ["Ada was born in Oslo."]
    inputs: dict[str, Any] = {"passages": passages, "by_city": {"Oslo": [1815]}}
    demos = [lp.Demo(inputs=inputs, outputs={"answer": "Oslo"})]
    said = {"answer": "short"}
    by_path = {"answer": lp.PredictorParams(instruction="Answer.", demos=tuple(demos), field_descriptions=said)}
    params = lp.Params(by_path)
    before = params.to_json()

    passages.append("Ada was born in Rome.")
    inputs["by_city"]["Oslo"].append(1816)
    inputs["question"] = "Where?"
    demos.clear()
    said.clear()
    by_path.clear()

    assert params.to_json() == before


def test_no_field_can_be_set() -> None:
    params: Any = one()

    with pytest.raises(TypeError):
        params["answer"] = params["answer"]
    with pytest.raises(ValueError, match="frozen"):
        params["answer"].instruction = "Other."


def test_a_diff_shows_each_change_under_the_name_of_its_predictor() -> None:
    lines = "\n".join(f"Line {n}." for n in range(9))
    before = lp.Params({"a": lp.PredictorParams(instruction="Same."), "b": lp.PredictorParams(instruction=lines)})
    demo = lp.Demo(inputs={"question": "1+1?"}, outputs={"answer": 2})

    after = before.replace("b", instruction=lines.replace("4", "four"), demos=[demo], config={"max_tokens": 9})

    assert before.diff(after).splitlines() == [
        "--- before b",
        "+++ after b",
        "@@ -3,7 +3,10 @@",
        " | Line 2.",
        " | Line 3.",
        "-| Line 4.",
        "+| Line four.",
        " | Line 5.",
        " | Line 6.",
        " | Line 7.",
        " | Line 8.",
        '+demo {"question":"1+1?"}',
        '+  -> {"answer":2}',
        "+max_tokens: 9",
    ]


def test_a_diff_shows_a_predictor_that_is_new() -> None:
    diff = lp.Params({}).diff(one())

    assert diff.splitlines() == ["--- before answer", "+++ after answer", "@@ -0,0 +1 @@", "+| Answer."]


def test_a_diff_shows_weights_that_differ_in_their_content_alone() -> None:
    some, other = (one(weights=Weights(adapter="a", base="tiny", sha256=digest)) for digest in ("00", "11"))

    assert "+weights: a on tiny, SHA-256 11" in some.diff(other)
