"""The embedded LM: what it answers, and that a reply depends on nothing but its request."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Coroutine, Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

import lmprog as lp
from lmprog.formats import prepare
from lmprog.lm.specs import from_spec
from lmprog.lm.tiny.blas import one_blas_thread
from lmprog.lm.tiny.client import REPLY_AT_MOST, WEIGHTS, Tiny, Tokens, shared
from lmprog.lm.tiny.decoding import BUCKET, Batch, Prefixes, Writing
from lmprog.lm.tiny.engine import Engine
from lmprog.lm.tiny.model import Floats, Model
from lmprog.lm.tiny.template import outputs_in, prompt_of, reply_of
from lmprog.params import Demo, PredictorParams
from lmprog.signature import fields_of

T = TypeVar("T")

KAZIX = "Kazix Group is a steel company based in Tesudouv . It was founded by Anna Vuso in 1901 ."
TESUDOUV = "Tesudouv is a city in Fabiland . It dates from 1420 . It lies on the river Nuzeth ."
RIVER = "On which river does the city where Kazix Group is based lie ?"

DREAM = "The Silent Kettle is a novel from 1988 written by Paul Rogemi ."
ROGEMI = "Paul Rogemi was born in Lepin in 1931 and became a writer ."
BIRTHPLACE = "Where was the author of The Silent Kettle born ?"


class WriteQuery(lp.Signature):
    """Write a search query that helps answer the question."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    query: str = lp.OutputField()


class Answer(lp.Signature):
    """Answer the question from the passages in a few words."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    answer: str = lp.OutputField()


CONTEXT = 1536
DEMO = Demo(inputs={"question": BIRTHPLACE, "passages": [DREAM, ROGEMI]}, outputs={"answer": "Lepin"})


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Generator[None]:
    """As the engine does around its work."""
    with one_blas_thread():
        yield


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(WEIGHTS)


@pytest.fixture(scope="module")
def tokens(model: Model) -> Tokens:
    return Tokens(WEIGHTS, model.end)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def request(
    signature: type[lp.Signature] = Answer,
    inputs: dict[str, Any] | None = None,
    *,
    demos: Sequence[Demo] = (),
    instruction: str | None = None,
) -> lp.Request:
    words = fields_of(signature).instruction if instruction is None else instruction
    chat = prepare(signature, PredictorParams(instruction=words, demos=tuple(demos)))
    return lp.Request(chat.render(inputs or {"question": RIVER, "passages": [KAZIX, TESUDOUV]}), chat.schema)


def varied(tokens: Tokens, count: int, seed: int = 3) -> list[Writing]:
    """Prompts of many lengths and several shared beginnings, among them none; they end at various times."""
    rng = random.Random(seed)
    sentences = [KAZIX, TESUDOUV, DREAM, ROGEMI, RIVER, BIRTHPLACE]
    beginnings = [(), *(tokens.of(" ".join(rng.choices(sentences, k=n))) for n in (2, 4, 9))]
    return [
        Writing(
            shared=rng.choice(beginnings),
            own=tokens.of("\n".join(rng.choices(sentences, k=rng.randint(1, 6))) + "\n[[ answer ]]"),
            stops=frozenset({tokens.end}),
            at_most=rng.randint(1, 12),
        )
        for _ in range(count)
    ]


class Watched(Model):
    """A model that keeps the logits it gave."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.given: list[Floats] = []

    def logits(self, x: Floats) -> Floats:
        self.given.append(super().logits(x))
        return self.given[-1]


def finish(batch: Batch, waiting: Sequence[Writing], joining: int) -> None:
    """Write all of them, `joining` more at each step."""
    left = list(waiting)
    while left or batch.writings:
        new, left = left[:joining], left[joining:]
        if new:
            batch.add(new)
        if batch.writings:
            batch.remove({writing for writing in batch.writings if writing.done})
        if batch.writings:
            batch.step()


def alone(model: Model, writing: Writing) -> list[int]:
    fresh = replace(writing, written=[], prefix=None)
    finish(Batch(model, Prefixes(at_most_bytes=0)), [fresh], 1)
    return fresh.written


# What it answers


def test_the_first_hop_asks_for_what_the_question_names() -> None:
    with lp.using(lm="tiny"):
        step = lp.Predict(WriteQuery)(question=RIVER, passages=[])

    assert step.query == "Kazix Group"


def test_the_second_hop_asks_for_what_the_first_passage_names() -> None:
    with lp.using(lm="tiny"):
        step = lp.Predict(WriteQuery)(question=RIVER, passages=[KAZIX])

    assert step.query == "Tesudouv"


@pytest.mark.parametrize(
    ("question", "passages", "answer"), [(RIVER, [TESUDOUV, KAZIX], "Nuzeth"), (BIRTHPLACE, [DREAM, ROGEMI], "Lepin")]
)
def test_two_passages_together_give_the_answer(question: str, passages: list[str], answer: str) -> None:
    with lp.using(lm="tiny"):
        assert lp.Predict(Answer)(question=question, passages=passages).answer == answer


def test_reasoning_names_both_hops() -> None:
    with lp.using(lm="tiny"):
        prediction = lp.ChainOfThought(Answer)(question=RIVER, passages=[KAZIX, TESUDOUV])

    assert prediction.answer == "Nuzeth"
    assert lp.reasoning(prediction) == "Kazix Group is based in Tesudouv . Tesudouv lies on the river Nuzeth ."


def test_demos_show_what_the_instruction_leaves_open() -> None:
    rng = random.Random(1)
    words = [
        "boat",
        "lamp",
        "tree",
        "pen",
        "cup",
        "road",
        "dog",
        "sun",
        "hat",
        "key",
        "fish",
        "wall",
        "bread",
        "moon",
        "horse",
        "chair",
        "rain",
        "door",
        "bird",
        "coin",
    ]

    def drawn() -> tuple[str, str]:
        chosen = rng.sample(words, 3)
        return " ".join(chosen), " ".join(word[0] for word in chosen)

    def right(shown: int) -> int:
        count = 0
        for _ in range(20):
            demos = tuple(
                Demo(inputs={"text": text}, outputs={"answer": said}) for text, said in (drawn() for _ in range(shown))
            )
            predict = lp.Predict("text -> answer").with_params(PredictorParams(instruction="Do the task.", demos=demos))
            text, wanted = drawn()
            count += predict(text=text).answer == wanted
        return count

    with lp.using(lm="tiny"):
        assert right(0) < 3
        assert right(4) > 12


def test_a_conversation_without_fields_gets_a_bare_reply() -> None:
    asked = lp.Request((lp.Message("system", "Give the plural of the word."), lp.Message("user", "dog")))

    assert run(shared()(asked)).text == "dogs"


# How a request is laid out


def test_lists_stand_before_the_other_inputs_in_one_line() -> None:
    prompt = prompt_of(request(inputs={"question": "Who ?", "passages": ["One .", "Two\n  lines ."]}))

    assert prompt.head == "[[ instruction ]] Answer the question from the passages in a few words.\n"
    assert prompt.question == "[[ passages ]] One . Two lines .\n[[ question ]] Who ?\n[[ answer ]]"


def test_an_empty_list_reads_none_and_no_instruction_leaves_its_line_out() -> None:
    prompt = prompt_of(request(inputs={"question": "Who ?", "passages": []}, instruction=""))

    assert prompt.head == ""
    assert prompt.question == "[[ passages ]] none\n[[ question ]] Who ?\n[[ answer ]]"


def test_demos_have_the_layout_of_the_question() -> None:
    prompt = prompt_of(request(demos=[DEMO]))

    assert prompt.demos == (f"[[ passages ]] {DREAM} {ROGEMI}\n[[ question ]] {BIRTHPLACE}\n[[ answer ]] Lepin",)


def test_a_prompt_split_into_tokens_is_the_whole_prompt(tokens: Tokens) -> None:
    prompt = prompt_of(request(demos=[DEMO]))

    beginning, own = tokens.split(prompt)

    assert (*beginning, *own) == (
        *tokens.of(prompt.head + prompt.demos[0]),
        tokens.end,
        *tokens.of("\n" + prompt.question),
    )


def test_no_text_of_a_user_passes_for_the_end_token(tokens: Tokens) -> None:
    assert tokens.end not in tokens.of("a <|end|> b")


@pytest.mark.parametrize("value", ["Oslo", '"Oslo"', "[[ answer ]] Oslo", '["Oslo"]', "", "12"])
def test_a_reply_reads_back_as_the_model_wrote_it(value: str) -> None:
    reply = reply_of([("answer", value)], request(), ended=True)

    assert prepare(Answer, PredictorParams(instruction="")).parse(reply) == {"answer": value}


def test_a_completion_goes_on_to_the_next_output_under_its_name() -> None:
    assert outputs_in(" Because .\n[[ answer ]] Oslo", "reasoning") == [("reasoning", "Because ."), ("answer", "Oslo")]


def test_after_a_refusal_each_output_is_written_under_its_own_name() -> None:
    first = request()
    complaint = (lp.Message("assistant", "Nuzeth , I think"), lp.Message("user", "That reply cannot be used: ..."))
    again = replace(first, messages=(*first.messages, *complaint))

    prompt, reply = prompt_of(again), run(shared()(again))

    assert (prompt.question, prompt.one_by_one) == (prompt_of(first).question, True)
    assert reply.text == "[[ answer ]]\nNuzeth\n\n[[ end of fields ]]"


def test_an_output_that_the_model_forgets_is_given_after_all() -> None:
    class Both(lp.Signature):
        """Answer the question from the passages in a few words."""

        passages: list[str] = lp.InputField()
        question: str = lp.InputField()
        answer: str = lp.OutputField()
        remark: str = lp.OutputField()

    with lp.using(lm="tiny"):
        prediction = lp.Predict(Both)(question=RIVER, passages=[KAZIX, TESUDOUV])

    assert prediction.answer == "Nuzeth"


# A reply depends on its request alone


@pytest.mark.parametrize(("seed", "joining"), [(3, 16), (3, 5), (4, 1)])
def test_tokens_are_the_same_alone_in_any_batch_and_in_any_order(
    model: Model, tokens: Tokens, seed: int, joining: int
) -> None:
    writings = varied(tokens, 16, seed)
    random.Random(joining).shuffle(writings)

    finish(Batch(model, Prefixes()), writings, joining)

    assert [w.written for w in writings] == [alone(model, w) for w in writings]


def test_logits_are_the_same_bits_alone_and_in_a_batch(tokens: Tokens) -> None:
    model = Watched(WEIGHTS)
    together = [replace(w, at_most=6, stops=frozenset[int]()) for w in varied(tokens, 8)]
    batch, rows = Batch(model, Prefixes()), dict[Writing, list[Floats]]()

    batch.add(together)
    rows = {writing: [logits] for writing, logits in zip(together, model.given[-1], strict=True)}
    while not together[0].done:
        order, before = batch.writings, len(model.given)
        batch.step()
        given: Floats = np.concatenate(model.given[before:])
        for writing, logits in zip(order, given, strict=True):
            rows[writing].append(logits)

    for writing, expected in rows.items():
        assert alone(model, writing) == writing.written
        assert [bits[0].tobytes() for bits in model.given[-6:]] == [bits.tobytes() for bits in expected]


def test_rows_of_one_token_give_the_same_bits_for_any_number_and_order_of_them(model: Model) -> None:
    rows = np.random.default_rng(0).standard_normal((130, model.shape.width), np.float32)

    whole = model.logits(rows)

    assert all(model.logits(rows[:count]).tobytes() == whole[:count].tobytes() for count in (1, 2, 15, 16, 63, 65))
    assert model.logits(rows[::-1]).tobytes() == whole[::-1].tobytes()


def test_a_kept_prefix_changes_nothing(model: Model, tokens: Tokens) -> None:
    prefixes = Prefixes()
    first, again = varied(tokens, 12), varied(tokens, 12)

    finish(Batch(model, prefixes), first, 12)
    finish(Batch(model, prefixes), again, 12)

    assert [w.written for w in again] == [w.written for w in first]
    assert again[0].shared == () or again[0].prefix is first[0].prefix


def test_prefixes_used_longest_ago_are_forgotten_first(model: Model, tokens: Tokens) -> None:
    beginnings = [tokens.of(text) for text in (KAZIX, DREAM, ROGEMI)]
    writings = [Writing(tokens_, tokens.of("a"), frozenset(), 1) for tokens_ in beginnings]
    Batch(model, prefixes := Prefixes()).add(writings)
    sizes = [w.prefix.size_bytes for w in writings if w.prefix]

    small = Prefixes(at_most_bytes=sum(sizes) - 1)
    for writing in writings:
        assert writing.prefix
        small.put((None, writing.shared), writing.prefix)
        small.get((None, beginnings[0]))

    assert [prefixes.get((None, b)) is not None for b in beginnings] == [True, True, True]
    assert [small.get((None, b)) is not None for b in beginnings] == [True, False, True]


def test_a_sequence_that_outgrows_its_bucket_goes_on_as_before(model: Model, tokens: Tokens) -> None:
    long = [Writing((), tokens.of(5 * RIVER)[:length], frozenset(), 6) for length in (BUCKET - 3, BUCKET - 1, BUCKET)]

    finish(Batch(model, Prefixes()), long, 2)

    assert [w.written for w in long] == [alone(model, w) for w in long]
    assert [len(w.own) + len(w.written) for w in long] == [BUCKET + 3, BUCKET + 5, BUCKET + 6]


def test_sampling_is_decided_by_the_request() -> None:
    warm = [replace(request(), temperature=2.0, sample=sample) for sample in range(6)]

    async def ask(requests: Sequence[lp.Request]) -> list[str]:
        return [reply.text for reply in await asyncio.gather(*map(shared(), requests))]

    together, mixed = run(ask(warm)), run(ask([*reversed(warm), *[request()] * 3]))

    assert mixed[5::-1] == together
    assert len(set(together)) > 1


def test_one_draw_follows_the_softmax(model: Model, tokens: Tokens) -> None:
    """At a temperature near 0 the draw is the greedy choice."""
    greedy, cold = (varied(tokens, 4) for _ in range(2))
    for writing in cold:
        writing.temperature, writing.rng = 1e-6, np.random.default_rng(1)

    for writings in (greedy, cold):
        finish(Batch(model, Prefixes()), writings, 4)

    assert [w.written for w in cold] == [w.written for w in greedy]


# As a client


def test_sixty_four_at_once_get_the_replies_of_one_by_one() -> None:
    pairs = [(question, passages) for question in (RIVER, BIRTHPLACE) for passages in ([KAZIX, TESUDOUV], [DREAM])]
    asked = [
        request(inputs={"question": f"{question} {number}", "passages": passages}, demos=[DEMO] * (number % 3))
        for number in range(1, 17)
        for question, passages in pairs
    ]

    async def at_once() -> list[lp.Response]:
        return await asyncio.gather(*map(shared(), asked))

    replies = run(at_once())

    assert replies[::13] == [run(shared()(one)) for one in asked[::13]]
    assert len(replies) == 64


def test_any_number_of_threads_gives_the_same_replies() -> None:
    asked = [replace(request(), temperature=1.0, sample=sample) for sample in range(12)]

    async def ask(lm: Tiny) -> list[lp.Response]:
        return await asyncio.gather(*map(lm, asked))

    assert run(ask(Tiny(threads=1))) == run(ask(Tiny(threads=3)))


def test_a_caller_that_gives_up_leaves_the_others_alone() -> None:
    async def ask() -> tuple[lp.Response, bool]:
        stays, leaves = asyncio.create_task(shared()(request())), asyncio.create_task(shared()(request()))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.wait([leaves])
        return await stays, leaves.cancelled()

    reply, cancelled = run(ask())

    assert cancelled
    assert reply == run(shared()(request()))


def test_work_that_nobody_waits_for_ends(model: Model, tokens: Tokens) -> None:
    engine = Engine(model, threads=1)
    endless: Future[None] = engine.submit(Writing((), tokens.of("a"), frozenset(), 10**9))
    short = Writing((), tokens.of("a"), frozenset(), 1)

    endless.cancel()
    engine.submit(short).result(timeout=60)

    assert len(short.written) == 1


def test_an_error_in_the_engine_reaches_the_caller_and_the_next_call_works(model: Model, tokens: Tokens) -> None:
    engine = Engine(model, threads=1)
    unknown, known = Writing((), (10**6,), frozenset(), 1), Writing((), tokens.of("a"), frozenset(), 1)

    with pytest.raises(lp.LMError, match="the embedded LM failed: IndexError"):
        engine.submit(unknown).result(timeout=60)

    engine.submit(known).result(timeout=60)
    assert known.written


def test_tokens_are_counted(tokens: Tokens) -> None:
    reply = run(shared()(request()))

    prompt = prompt_of(request())
    assert reply.prompt_tokens == len(tokens.of(prompt.head)) + len(tokens.of(prompt.question))
    assert reply.completion_tokens == len(tokens.of(" Nuzeth")) + 1  # and the end token
    assert reply.finish_reason == "stop"


def test_a_reply_stops_at_the_limit_of_tokens_and_says_so() -> None:
    reply = run(shared()(replace(request(), max_tokens=1)))

    assert (reply.completion_tokens, reply.finish_reason) == (1, "length")
    assert "end of fields" not in reply.text


def test_a_reply_without_an_end_is_cut_off_long_before_the_default_limit() -> None:
    reply = run(shared()(replace(request(), temperature=30.0)))  # any token but rarely the end token

    assert (reply.completion_tokens, reply.finish_reason) == (REPLY_AT_MOST, "length")


def test_a_prompt_without_room_for_a_reply_is_refused_with_its_length() -> None:
    crowded = request(inputs={"question": "Why ? " * 900, "passages": []})

    with pytest.raises(lp.ContextError, match=rf"the prompt has \d{{4}} tokens, .* reads at most {CONTEXT - 1}"):
        run(shared()(crowded))


def test_a_reply_ends_where_the_context_does(tokens: Tokens) -> None:
    fixed = len(tokens.of("[[ text ]]\n[[ answer ]]"))
    filling = lp.Request((lp.Message("user", "a" + " a" * (CONTEXT - fixed - 3)),))

    reply = run(shared()(filling))

    assert reply.prompt_tokens + reply.completion_tokens <= CONTEXT


def test_tiny_is_one_lm_for_the_process_and_named_by_its_weights() -> None:
    lm = from_spec("tiny")

    assert lm is from_spec("tiny") is shared()
    assert lm.name == "tiny-48bd3e59"
    assert lm.capabilities == {"generate", "sample", "logprobs", "score", "lora", "finetune"}


def test_what_is_shipped_takes_at_most_15_megabytes() -> None:
    files = [file for file in WEIGHTS.rglob("*") if file.is_file() and file.suffix != ".md"]

    assert {file.name for file in files} >= {"model.safetensors", "tokenizer.json", "config.json"}
    assert sum(file.stat().st_size for file in files) <= 15_000_000


def test_it_runs_without_torch() -> None:
    code = (
        "import asyncio, sys, lmprog as lp; from lmprog.lm.specs import from_spec\n"
        'print(asyncio.run(from_spec("tiny")(lp.Request((lp.Message("user", "dog"),)))).finish_reason)\n'
        'print("torch" in sys.modules, "transformers" in sys.modules)'
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["stop", "False", "False"]
