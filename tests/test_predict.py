"""Predict: one LM call for a typed answer, one more where the reply does not validate."""

from collections.abc import Iterator

import pytest

import lmprog as lp
from lmprog import scope
from lmprog.formats.chat import END
from lmprog.request import DEFAULT_MAX_TOKENS
from lmprog.testing import Answer, Asked, ScriptedLM, reply


class Add(lp.Signature):
    """Add the numbers."""

    numbers: list[int] = lp.InputField()
    total: int = lp.OutputField()


@pytest.fixture(autouse=True)
def no_lm_around(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LMPROG_LM", raising=False)
    lp.configure(lm=None)
    yield
    lp.configure(lm=None)


class Recorder:
    """An LM that gives scripted replies, the last one forever, and keeps what it was asked."""

    def __init__(self, *replies: Answer) -> None:
        self.asked: list[lp.Request] = []
        self.lm = ScriptedLM(lambda asked: self._next(asked, replies))

    def _next(self, asked: Asked, replies: tuple[Answer, ...]) -> Answer:
        self.asked.append(asked.request)
        return replies[min(len(self.asked), len(replies)) - 1]


TWO: Answer = {"total": 2}
WRONG = "[[ total ]]\ntwo\n\n[[ end of fields ]]"


# What is asked


def test_a_prediction_is_the_signature_filled() -> None:
    add = lp.Predict(Add)

    with lp.using(
        lm=ScriptedLM(lambda asked: {"total": sum(map(int, asked.inputs["numbers"].strip("[]").split(",")))})
    ):
        prediction = add(numbers=[1, 2])

    assert isinstance(prediction, Add)
    assert (prediction.numbers, prediction.total) == ([1, 2], 3)


def test_a_request_holds_the_settings_by_default() -> None:
    recorder = Recorder(TWO)

    with lp.using(lm=recorder.lm):
        lp.Predict(Add)(numbers=[1, 1])

    (request,) = recorder.asked
    assert (request.temperature, request.max_tokens) == (0.0, DEFAULT_MAX_TOKENS)
    assert (request.sample, request.weights) == (0, None)
    assert request.schema == '{"type":"object","properties":{"total":{"type":"integer"}},"required":["total"]}'


def test_config_reaches_the_request() -> None:
    recorder = Recorder(TWO)

    with lp.using(lm=recorder.lm):
        lp.Predict(Add, config={"temperature": 0.7, "max_tokens": 9})(numbers=[1, 1])

    assert (recorder.asked[0].temperature, recorder.asked[0].max_tokens) == (0.7, 9)


@pytest.mark.parametrize("config", [{"temprature": 0.5}, {"temperature": -1}, {"max_tokens": 0}])
def test_a_config_that_does_not_fit_is_refused_at_once(config: dict[str, float]) -> None:
    with pytest.raises(lp.ParamsError, match=rf"`{next(iter(config))}`.*It may hold lm, temperature, max_tokens"):
        lp.Predict(Add, config=config)


def test_the_sample_index_in_force_is_part_of_the_request() -> None:
    recorder = Recorder(TWO)
    add = lp.Predict(Add)

    with lp.using(lm=recorder.lm):
        add(numbers=[1, 1])
        with lp.using(sample=3):
            add(numbers=[1, 1])
        add(numbers=[1, 1])

    assert [request.sample for request in recorder.asked] == [0, 3, 0]


def test_what_is_the_same_for_all_rows_is_rendered_once() -> None:
    recorder = Recorder(TWO)
    add = lp.Predict(Add, demos=[lp.Demo(inputs={"numbers": [0, 1]}, outputs={"total": 1})])

    with lp.using(lm=recorder.lm):
        add(numbers=[1, 1])
        add(numbers=[2, 0])

    first, second = (request.messages for request in recorder.asked)
    assert len(first) == len(second) == 4
    assert all(one is other for one, other in zip(first[:-1], second[:-1], strict=True))
    assert first[-1] != second[-1]


def test_demos_are_shown_before_the_question() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Answer:
        seen.append(asked)
        return TWO

    with lp.using(lm=ScriptedLM(answer)):
        lp.Predict(Add, demos=[lp.Demo(inputs={"numbers": (0,)}, outputs={"total": "7"})])(numbers=[1])

    assert seen[0].demos == (({"numbers": "[0]"}, {"total": "7"}),)
    assert seen[0].instruction == "Add the numbers."


@pytest.mark.parametrize(
    ("demo", "wrong"),
    [
        (lp.Demo(inputs={"numbers": "many"}, outputs={"total": 1}), "`numbers` = 'many'"),
        (lp.Demo(inputs={}, outputs={"total": "one"}), "`total` = 'one'"),
        (lp.Demo(inputs={"number": 1}, outputs={"total": 1}), "`number`"),
        (lp.Demo(inputs={"numbers": [1]}, outputs={}), "`total`"),
    ],
)
def test_a_demo_that_does_not_fit_is_refused_at_once(demo: lp.Demo, wrong: str) -> None:
    with pytest.raises(lp.SignatureError, match=f"a demo of Add .*{wrong}"):
        lp.Predict(Add, demos=[demo])


def test_wrong_inputs_are_refused_before_the_lm_is_called() -> None:
    recorder = Recorder(TWO)

    with lp.using(lm=recorder.lm), pytest.raises(lp.InputError, match=r"`numbers.0` = 'one'"):
        lp.Predict(Add)(numbers=["one"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

    assert recorder.asked == []


# Replies that do not validate


def test_a_wrong_reply_is_sent_back_with_what_is_wrong_with_it() -> None:
    recorder = Recorder(WRONG, TWO)

    with lp.using(lm=recorder.lm):
        prediction = lp.Predict(Add)(numbers=[1, 1])

    first, again = recorder.asked
    assert prediction.total == 2
    assert again.messages[: len(first.messages)] == first.messages
    said, complaint = again.messages[len(first.messages) :]
    assert said == lp.Message("assistant", WRONG)
    assert complaint.role == "user"
    assert "`total` should be whole number, but is 'two'" in complaint.text
    assert (again.schema, again.max_tokens, again.sample) == (first.schema, first.max_tokens, first.sample)


def test_a_reply_that_is_wrong_twice_is_an_error_with_the_raw_text_and_the_predictor() -> None:
    recorder = Recorder("no fields", WRONG)

    with lp.using(lm=recorder.lm), pytest.raises(lp.OutputError, match=r"^`predict`: `total` should be") as caught:
        lp.Predict(Add)(numbers=[1, 1])

    assert len(recorder.asked) == 2
    assert caught.value.raw == WRONG
    assert WRONG in str(caught.value)


def test_an_error_names_the_predictor_by_its_path_in_the_program() -> None:
    class Twice(lp.Module):
        def __init__(self) -> None:
            self.steps = [lp.Predict(Add), lp.Predict(Add)]

        def forward(self, numbers: list[int]) -> Add:
            return self.steps[1](numbers=[self.steps[0](numbers=numbers).total])

    recorder = Recorder(TWO, WRONG)

    with lp.using(lm=recorder.lm), pytest.raises(lp.OutputError, match=r"^`steps\[1\]`: "):
        Twice()([1, 1])


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_lm_is_asked_again_as_often_as_retries_says(retries: int) -> None:
    recorder = Recorder(WRONG)

    with lp.using(lm=recorder.lm), pytest.raises(lp.OutputError):
        lp.Predict(Add, retries=retries)(numbers=[1, 1])

    assert len(recorder.asked) == 1 + retries


def test_each_further_question_carries_all_replies_so_far() -> None:
    recorder = Recorder("first", "second", TWO)

    with lp.using(lm=recorder.lm):
        lp.Predict(Add, retries=2)(numbers=[1, 1])

    assert [m.text for m in recorder.asked[2].messages if m.role == "assistant"] == ["first", "second"]


def test_a_reply_that_hit_the_limit_of_tokens_is_refused_with_that_reason() -> None:
    cut = lp.Response("[[ total ]]\n2", finish_reason="length")
    recorder = Recorder(cut)

    with lp.using(lm=recorder.lm), pytest.raises(lp.OutputError, match="cut off at the limit of tokens"):
        lp.Predict(Add)(numbers=[1, 1])

    assert "cut off" in recorder.asked[1].messages[-1].text


def test_a_reply_that_hit_the_limit_after_its_end_is_taken() -> None:
    whole = lp.Response(f"[[ total ]]\n2\n\n{END}\nand", finish_reason="length")

    with lp.using(lm=Recorder(whole).lm):
        assert lp.Predict(Add)(numbers=[1, 1]).total == 2


def test_chain_of_thought_asks_for_reasoning_first() -> None:
    recorder = Recorder({"reasoning": "one and one", "total": 2})

    with lp.using(lm=recorder.lm):
        prediction = lp.ChainOfThought(Add)(numbers=[1, 1])

    assert (lp.reasoning(prediction), prediction.total) == ("one and one", 2)
    assert "[[ reasoning ]]\n<text>\n\n[[ total ]]" in recorder.asked[0].messages[0].text


# Traces


def test_a_step_counts_the_retries() -> None:
    trace = scope.Trace()

    with lp.using(lm=Recorder(WRONG, TWO).lm), scope.scoped(trace=trace):
        lp.Predict(Add)(numbers=[1, 1])

    assert trace.steps == (lp.Step("predict", {"numbers": [1, 1]}, {"total": 2}, retries=1),)


def test_a_step_that_failed_is_traced_with_its_error_and_without_outputs() -> None:
    trace = scope.Trace()

    with lp.using(lm=Recorder(WRONG).lm), scope.scoped(trace=trace), pytest.raises(lp.OutputError) as caught:
        lp.Predict(Add, retries=2)(numbers=[1, 1])

    assert trace.steps == (lp.Step("predict", {"numbers": [1, 1]}, {}, retries=2, error=str(caught.value)),)


# Which LM is called


def total_with(add: "lp.Predict[..., Add]") -> int:
    return add(numbers=[1, 1]).total


def answering(total: int) -> ScriptedLM:
    return ScriptedLM(lambda _: reply({"total": total}))


def test_without_an_lm_the_error_names_the_ways_to_set_one() -> None:
    with pytest.raises(lp.ScopeError, match=r"`predict` has no LM.*lp\.configure\(lm=.*lp\.using\(lm=.*LMPROG_LM"):
        lp.Predict(Add)(numbers=[1, 1])


def test_the_lm_in_scope_goes_before_the_configured_one() -> None:
    add = lp.Predict(Add)
    lp.configure(lm=answering(1))

    configured = total_with(add)
    with lp.using(lm=answering(2)):
        in_scope = total_with(add)
        with lp.using(lm=answering(3)):
            innermost = total_with(add)

    assert (configured, in_scope, innermost, total_with(add)) == (1, 2, 3, 1)


def test_an_lm_that_is_set_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMPROG_LM", "no-such-lm")
    add = lp.Predict(Add)

    with pytest.raises(lp.LmprogError, match="no-such-lm"):
        total_with(add)
    with lp.using(lm=answering(2)):
        assert total_with(add) == 2
    lp.configure(lm=answering(1))
    assert total_with(add) == 1


# Twins


def test_a_twin_runs_under_its_own_params_and_leaves_the_original() -> None:
    recorder = Recorder(TWO)
    add = lp.Predict(Add)
    terse = lp.with_params(add, lp.params_of(add).replace("predict", instruction="Sum."))

    with lp.using(lm=recorder.lm):
        terse(numbers=[1, 1])
        add(numbers=[1, 1])

    said = [request.messages[0].text.split("\n")[0] for request in recorder.asked]
    assert said == ["Sum.", "Add the numbers."]
