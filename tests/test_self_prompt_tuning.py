"""Self-Prompt Tuning: a role that the teacher wrote, learned before the answer, in one call."""

import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from test_finetune import ANIMALS, COLOURS
from weights_rig import METRIC, Planted, check_promises, found, rehearsal

import lmprog as lp
from lmprog.lm.tiny.client import shared
from lmprog.optimizer import named
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for


class Plain(lp.Signature):
    """Given the text , produce the answer."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class WithRole(lp.Signature):
    """Given the text , produce the answer."""

    text: str = lp.InputField()
    role: str = lp.OutputField()
    answer: str = lp.OutputField()


def kinds(text: str) -> tuple[str, str]:
    """What nobody sees: the kind of a thing's colour, and that of the animal."""
    *_, colour, animal = text.split()
    return "warm" if COLOURS.index(colour) % 2 else "cold", "tame" if animal < "d" else "wild"


def rows() -> list[dict[str, str]]:
    """Things whose answer hangs on both kinds together, and on neither alone; no colour of an animal among the last 36 is
    that of one before.
    """
    pairs = [f"{colour} {animal}" for animal in ANIMALS[:6] for colour in COLOURS]
    random.Random(1).shuffle(pairs)
    things = [f"a {size} {pair}" for pair in pairs for size in ("big", "small")]
    tall = {("warm", "tame"), ("cold", "wild")}
    return [{"text": thing, "answer": "tall" if kinds(thing) in tall else "wide"} for thing in things]


def expert(asked: Asked) -> Answer:
    """A teacher that knows which expert is wanted."""
    return {"role": f"a {' '.join(kinds(asked.inputs['given']))} expert"}


# On the embedded LM


def test_it_beats_plain_fine_tuning_and_writes_role_and_answer_in_one_call(tmp_path: Path) -> None:
    some, how = rows(), "steps=80,batch=12"
    plain = problem_for(lp.Predict(Plain), some[:60], some[66:], METRIC, shared())

    result = lp.compile(
        lp.Predict(WithRole), train=some[:60], val=some[60:66], holdout=some[66:], metric=METRIC, lm="tiny", gate="none",
        teacher=ScriptedLM(expert, name="expert"), optimizer=f"self-prompt-tuning:{how}", run_dir=tmp_path / "run",
    )  # fmt: skip

    assert result.certificate.compiled > found(f"finetune:{how}", plain).score + 0.05
    assert result.certificate.requested["teacher"] == 60
    with lp.using(lm="tiny"):
        written = [result.program(text=row["text"]) for row in some[66:]]
    assert sum(one.role == expert_of(row["text"]) for one, row in zip(written, some[66:], strict=True)) >= 24


def expert_of(text: str) -> str:
    return f"a {' '.join(kinds(text))} expert"


# With a planted LM


def student(asked: Asked) -> Answer:
    """Teacher and student in one: right under weights alone."""
    if asked.outputs == ("role",):
        return expert(asked)
    return {"role": "me", "answer": "tall" if asked.request.weights else "?"}


def test_every_labelled_row_is_taught_with_its_own_role_before_the_answer() -> None:
    lm, some = Planted(student), rows()[:30]

    found("self-prompt-tuning", rehearsal(lp.Predict(WithRole), [*some, {"text": "a big red yak"}], rows()[40:60], lm))

    learned = {request.messages[-1].text.splitlines()[1]: reply for request, reply in lm.learned}
    assert learned.keys() == {row["text"] for row in some}
    for row in some:
        assert learned[row["text"]].startswith(f"[[ role ]]\n{expert_of(row['text'])}\n\n[[ answer ]]\n{row['answer']}")


def test_the_teacher_sees_the_label_and_rows_of_which_it_writes_nothing_are_left_out() -> None:
    shown = list[tuple[str, str]]()

    def lazy(asked: Asked) -> Answer:
        if asked.outputs == ("role",):
            shown.append((asked.inputs["given"], asked.inputs["answer"]))
            return {"role": "" if "cat" in asked.inputs["given"] else "you"}
        return student(asked)

    lm, some = Planted(lazy), rows()[:30]
    found("self-prompt-tuning", rehearsal(lp.Predict(WithRole), some, rows()[40:60], lm))

    assert sorted(shown) == sorted((row["text"], row["answer"]) for row in some)
    assert len(lm.learned) == len([row for row in some if "cat" not in row["text"]])


class Two(lp.Module):
    def __init__(self) -> None:
        self.first, self.second = lp.Predict(WithRole), lp.Predict(Plain)

    def forward(self, text: str) -> Any:
        return self.second(text=self.first(text=text).answer)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (lp.Predict(Plain), r"`predict` writes \['answer'\]. Write `role: str = lp.OutputField\(\)` before"),
        (lp.ChainOfThought(WithRole), r"writes \['reasoning', 'role', 'answer'\]"),
        (lp.Predict("text -> role: int, answer"), r"writes a text `role` first"),
        (Two(), r"has the predictors \['first', 'second'\]"),
    ],
)
def test_a_program_of_another_form_is_refused_with_what_to_write(program: Any, said: str) -> None:
    with pytest.raises(lp.InputError, match=said):
        found("self-prompt-tuning", rehearsal(program, rows()[:30], rows()[40:60], Planted(student)))


def test_rows_that_label_the_role_or_nothing_are_refused() -> None:
    labeled = [{**row, "role": "x"} for row in rows()[:30]]
    bare = [{"text": row["text"]} for row in rows()[:30]]

    for train, said in ((labeled, "training rows label `role`"), (bare, r"a label for \['answer'\]")):
        with pytest.raises(lp.InputError, match=said):
            found("self-prompt-tuning", rehearsal(lp.Predict(WithRole), train, rows()[40:60], Planted(student)))


def test_the_field_may_have_another_name() -> None:
    def thinker(asked: Asked) -> Answer:
        if asked.outputs == ("role",):
            return expert(asked)
        return {"persona": "me", "answer": "tall" if asked.request.weights else "?"}

    program = lp.Predict("text -> persona, answer")

    outcome = found(
        "self-prompt-tuning:field=persona", rehearsal(program, rows()[:30], rows()[40:60], Planted(thinker))
    )

    assert outcome.score > 0 == outcome.baseline_score


def test_it_keeps_the_promises_of_all_that_tune_weights() -> None:
    check_promises("self-prompt-tuning", lp.Predict(WithRole), rows(), Planted(student))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(lp.InputError, match=r"SelfPromptTuning\(steps=0\): `steps` must be at least 1"):
        named("self-prompt-tuning:steps=0")
