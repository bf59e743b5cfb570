"""Probabilities from the embedded LM: of what it writes, and of given replies."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

import lmprog as lp
from lmprog.formats import prepare
from lmprog.lm.tiny.client import WEIGHTS, Tiny, Tokens, shared
from lmprog.lm.tiny.model import Model
from lmprog.lm.tiny.template import prompt_of
from lmprog.params import Demo, PredictorParams
from lmprog.request import request_key, score
from lmprog.testing import ScriptedLM

T = TypeVar("T")

KAZIX = "Kazix Group is a steel company based in Tesudouv . It was founded by Anna Vuso in 1901 ."
TESUDOUV = "Tesudouv is a city in Fabiland . It dates from 1420 . It lies on the river Nuzeth ."
RIVER = "On which river does the city where Kazix Group is based lie ?"
REPLIES = ["Nuzeth", "Tesudouv", "The city of Tesudouv lies on the river Nuzeth .", "Vuso", "Lepin"]


class Answer(lp.Signature):
    """Answer the question from the passages in a few words."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    answer: str = lp.OutputField()
    remark: str = lp.OutputField()


DEMO = Demo(
    inputs={"question": "Where is Ada ?", "passages": ["Ada is in Oslo ."]}, outputs={"answer": "Oslo", "remark": "no"}
)


def request(*demos: Demo, **changes: Any) -> lp.Request:
    template = prepare(Answer, PredictorParams(instruction="Answer the question from the passages.", demos=demos))
    messages = template.render({"question": RIVER, "passages": [KAZIX, TESUDOUV]})
    return replace(lp.Request(messages, template.schema), **changes)


def bare(**changes: Any) -> lp.Request:
    asked = (lp.Message("system", "Give the plural of the word."), lp.Message("user", "dog"))
    return replace(lp.Request(asked), **changes)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


# Of what it writes


def test_each_written_token_has_its_probability() -> None:
    reply = run(shared()(bare(logprobs=True)))

    assert reply.text == "dogs"
    assert reply.logprobs is not None
    assert "".join(token for token, _ in reply.logprobs) == " dogs<|end|>"
    assert len(reply.logprobs) == reply.completion_tokens
    assert all(-1 < logprob <= 0 for _, logprob in reply.logprobs)


def test_probabilities_come_only_where_they_are_wanted() -> None:
    assert run(shared()(bare())).logprobs is None


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_asking_for_probabilities_changes_no_reply(temperature: float) -> None:
    plain, told = (run(shared()(request(temperature=temperature, logprobs=wanted))) for wanted in (False, True))

    assert replace(told, logprobs=None) == plain
    assert told.logprobs


def test_probabilities_are_those_at_temperature_1_and_of_the_tokens_that_were_drawn() -> None:
    warm = run(shared()(request(temperature=1.5, logprobs=True)))

    (scored,) = run(score(shared(), request(), [warm.text]))

    assert sum(logprob for _, logprob in warm.logprobs or ()) == pytest.approx(scored, abs=1e-3)


# Of given replies


@pytest.mark.parametrize("asked", [bare(), request(), request(DEMO), request(DEMO, DEMO)])
def test_the_score_of_its_own_reply_is_the_sum_over_its_tokens(asked: lp.Request) -> None:
    reply = run(shared()(replace(asked, logprobs=True)))

    (scored,) = run(score(shared(), asked, [reply.text]))

    assert reply.finish_reason == "stop"
    assert scored == pytest.approx(sum(logprob for _, logprob in reply.logprobs or ()), abs=1e-3)


def test_the_reply_that_it_gives_is_the_likeliest() -> None:
    scores = run(score(shared(), bare(), ["dogs", "dog", "cats", "oxen"]))

    assert scores[0] == max(scores) and np.exp(scores).sum() <= 1


def test_a_text_without_fields_is_the_value_of_the_first_output() -> None:
    whole = "[[ answer ]]\nNuzeth\n\n[[ end of fields ]]"

    assert len(set(run(score(shared(), request(), ["Nuzeth", whole, "\n Nuzeth "])))) == 1


def test_the_further_outputs_of_a_reply_are_scored_behind_the_first() -> None:
    first, both = run(
        score(shared(), request(DEMO), ["Nuzeth", "[[ answer ]]\nNuzeth\n\n[[ remark ]]\nno\n\n[[ end of fields ]]"])
    )

    assert first != both


def test_scores_are_the_same_alone_in_any_company_and_with_or_without_prefix_reuse() -> None:
    async def at_once() -> list[list[float]]:
        asked = [score(shared(), request(*demos), REPLIES[place:]) for demos in ([], [DEMO]) for place in range(5)]
        writing = [shared()(request(DEMO)) for _ in range(4)]
        scores, _ = await asyncio.gather(asyncio.gather(*asked), asyncio.gather(*writing))
        return scores

    together = run(at_once())

    for demos, scores in (([], together[:5]), ([DEMO], together[5:])):
        fresh = Tiny(threads=1)
        alone = [run(score(fresh, request(*demos), [reply]))[0] for reply in REPLIES]
        assert scores == [alone[place:] for place in range(5)]


@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_transformers() -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).eval()
    tokens = Tokens(WEIGHTS, Model(WEIGHTS).end)
    prompt = [token for part in tokens.split(prompt_of(request(DEMO))) for token in part]
    expected: list[float] = []

    for reply in REPLIES:
        completion = [*tokens.of(f" {reply}"), tokens.end]
        with torch.no_grad():
            logits = theirs(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(-1).numpy()
        expected.append(float(logprobs[np.arange(len(completion)), completion].sum()))

    assert run(score(shared(), request(DEMO), REPLIES)) == pytest.approx(expected, abs=1e-3)


def test_tokens_that_were_read_are_counted_and_nothing_is_written() -> None:
    reply = run(shared()(bare(replies=("dogs", "cats"))))

    tokens = Tokens(WEIGHTS, Model(WEIGHTS).end)
    own = run(shared()(bare())).prompt_tokens
    assert reply.prompt_tokens == own + len(tokens.of(" dogs")) + len(tokens.of(" cats")) + 2
    assert (reply.text, reply.completion_tokens, len(reply.reply_logprobs or ())) == ("", 0, 2)


def test_a_reply_beyond_the_context_is_refused_with_the_length() -> None:
    with pytest.raises(lp.ContextError, match=r"the prompt with a given reply has \d{4} tokens"):
        run(score(shared(), request(), ["Nuzeth " * 600]))


def test_no_texts_have_no_scores() -> None:
    assert run(score(shared(), request(), [])) == []


def test_an_lm_that_cannot_score_is_refused_before_it_is_asked() -> None:
    scripted = ScriptedLM(lambda asked: "dogs")

    with pytest.raises(lp.CapabilityError, match='this needs "score"'):
        run(score(scripted, bare(), ["dogs"]))


def test_an_lm_that_gives_another_number_of_scores_is_told_so() -> None:
    scripted = ScriptedLM(lambda asked: "dogs", capabilities=frozenset({"generate", "score"}))

    with pytest.raises(lp.LMError, match="gave 0 probabilities for 2 replies"):
        run(score(scripted, bare(), ["dogs", "cats"]))


# Under which key they are recorded


def test_each_wish_has_a_key_of_its_own_and_other_requests_keep_theirs() -> None:
    wishes = [bare(), bare(logprobs=True), bare(replies=("a",)), bare(replies=("a", "b")), bare(json_reply=True)]

    assert len({request_key("tiny", wish) for wish in wishes}) == len(wishes)
    assert request_key("tiny", lp.Request((lp.Message("user", "dog"),))) == KEY_OF_BEFORE


KEY_OF_BEFORE = "135583e36ebf9ea715e40ad470beb05394417b8c32ead7bedb454e852d972d85"
