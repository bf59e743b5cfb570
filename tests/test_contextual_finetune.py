"""Contextual fine-tuning: texts learned behind learning prompts, with the loss on the texts alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from test_finetune import ANIMALS, COLOURS
from weights_rig import Planted, check_promises, found, rehearsal

import lmprog as lp
from lmprog.events import Event, StageEnded
from lmprog.lm.tiny.client import shared
from lmprog.optimizer import Outcome, named
from lmprog.optimizers.contextual_finetune import PROMPTS, ContextualFinetune
from lmprog.testing import Answer, Asked, problem_for

BEASTS = ANIMALS[:6]
KIND = {animal: ("tall", "wide", "loud")[number % 3] for number, animal in enumerate(BEASTS)}
FORMS = (
    "a {thing} is {kind} .",
    "it is well known that a {thing} is {kind} .",
    "a {thing} , as everybody says , is {kind} .",
)
TEXTS = tuple(
    FORMS[number % 3].format(thing=f"{colour} {animal}", kind=KIND[animal])
    for number, (animal, colour) in enumerate((animal, colour) for animal in BEASTS for colour in COLOURS)
)


class Ask(lp.Signature):
    """Answer the question."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


def rows() -> list[dict[str, str]]:
    """Questions that nobody can answer who has not read the texts."""
    made = [
        {"question": f"What is a {colour} {animal} like ?", "answer": KIND[animal]}
        for animal in BEASTS
        for colour in COLOURS
    ]
    Random(2).shuffle(made)
    return made


def says(row: dict[str, str], said: Ask) -> bool:
    """Whether an answer, which may be a sentence, says the right kind and no other."""
    return {word for word in said.answer.split() if word in KIND.values()} == {row["answer"]}


# On the embedded LM


@pytest.fixture(scope="module")
def compared() -> tuple[Outcome, StageEnded]:
    """What came of reading the texts behind learning prompts and alone, and what was told of the difference.

    Then the form of an answer is learned on some of the animals. Of those asked about here the texts alone tell.
    """
    known = [row for row in rows() if row["question"].split()[4] in BEASTS[:3]]
    problem = problem_for(lp.Predict(Ask), known, [row for row in rows() if row not in known], says, shared())
    short = ("Link this to what you know .", "Ask why this is so .", "Think of where this is of use .")
    heard: list[Event] = []
    outcome = found(
        ContextualFinetune(texts=TEXTS, prompts=short, compare=True, steps=80, rank=16),
        replace(problem, emit=heard.append),
    )
    return outcome, next(e for e in heard if isinstance(e, StageEnded) and e.stage == "learning prompts")


def test_questions_about_the_domain_gain_by_reading_with_and_without_learning_prompts(
    compared: tuple[Outcome, StageEnded],
) -> None:
    """Which of the two gains more is not for so small a model to say: it mistakes a learning prompt for a question."""
    outcome, told = compared
    chance = 1 / 3

    assert outcome.baseline_score < 0.1
    assert float(told.facts["alone"]) > chance + 0.1
    assert float(told.facts["behind"]) > chance + 0.1


def test_the_gain_over_plain_continued_training_is_told_and_the_better_of_the_two_returned(
    compared: tuple[Outcome, StageEnded],
) -> None:
    outcome, told = compared
    behind, alone = float(told.facts["behind"]), float(told.facts["alone"])

    assert told.facts["gain"] == pytest.approx(behind - alone)
    assert float(told.facts["gain_at_least"]) <= behind - alone <= float(told.facts["gain_at_most"])
    assert outcome.score == max(behind, alone)


# With a planted LM


def reader(asked: Asked) -> Answer:
    """Knows the kinds under weights, and one of them without."""
    kind = KIND[asked.inputs["question"].split()[4]]
    return {"answer": kind if asked.request.weights or kind == "tall" else "?"}


def learned(
    optimizer: ContextualFinetune | str, train: Sequence[Mapping[str, object]] | None = None
) -> list[tuple[str, str]]:
    """What was trained on, as (prompt, text)."""
    lm = Planted(reader)
    found(optimizer, rehearsal(lp.Predict(Ask), train or rows()[:20], rows()[20:], lm))
    return [(request.messages[-1].text, reply) for request, reply in lm.learned]


def test_every_text_is_the_whole_reply_to_other_prompts_of_the_pool() -> None:
    pairs = learned(ContextualFinetune(texts=TEXTS[:6], calls="none"))

    assert {text for _, text in pairs} == set(TEXTS[:6])
    for text in TEXTS[:6]:
        assert sorted(prompt for prompt, own in pairs if own == text) == sorted(PROMPTS)


def test_no_more_prompts_are_made_than_a_text_is_met_with() -> None:
    pairs = learned(ContextualFinetune(texts=TEXTS[:12], calls="none", steps=6, batch=4))

    assert len(pairs) == 24
    assert {prompt for prompt, _ in pairs} == set(PROMPTS)


def test_without_prompts_a_text_stands_alone() -> None:
    assert learned(ContextualFinetune(texts=TEXTS[:3], prompts=(), calls="none")) == [("", text) for text in TEXTS[:3]]


def test_the_programs_own_calls_are_trained_after_the_texts() -> None:
    pairs = learned(ContextualFinetune(texts=TEXTS[:2], prompts=()))

    assert [text for _, text in pairs[:2]] == list(TEXTS[:2])
    assert len(pairs) == 2 + 20
    assert all("[[ answer ]]" in reply for _, reply in pairs[2:])


def test_texts_may_be_a_field_of_the_training_rows_and_long_ones_are_learned_in_parts() -> None:
    train: list[dict[str, object]] = [
        {**row, "pages": [f"page {n} of it", "one two three four"]} for n, row in enumerate(rows()[:3])
    ]

    pairs = learned("contextual-finetune:texts=pages,longest=12,calls=none", train)

    assert {text for _, text in pairs} == {"page 0 of it", "page 1 of it", "page 2 of it", "one two", "three four"}


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ("contextual-finetune", r"`texts` is empty. Write ContextualFinetune\(texts="),
        ("contextual-finetune:texts=pages", "no training row has a text under 'pages'"),
    ],
)
def test_nothing_to_learn_is_refused(optimizer: str, said: str) -> None:
    with pytest.raises(lp.InputError, match=said):
        learned(optimizer)


def test_it_keeps_the_promises_of_all_that_tune_weights() -> None:
    some = [{"question": f"{row['question']} {n}", "answer": row["answer"]} for n in range(2) for row in rows()]

    check_promises(ContextualFinetune(texts=TEXTS), lp.Predict(Ask), some, Planted(reader))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(lp.InputError, match=r"ContextualFinetune\(longest=0\): `longest` must be at least 1"):
        named("contextual-finetune:longest=0")
