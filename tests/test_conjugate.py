"""Conjugate: a transform in front of a program and its inverse behind."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog import loop
from lmprog.lm.specs import from_spec
from lmprog.lm.tiny.curriculum.lexicon import CATEGORIES
from lmprog.optimizers.select.pool import Pool
from lmprog.strategies.conjugate import Conjugate
from lmprog.testing import Asked, ScriptedLM, problem_for


class Echo(lp.Signature):
    """Say the last word."""

    text: str = lp.InputField()
    times: int = lp.InputField(default=1)
    hints: list[str] = lp.InputField(default=[])
    tone: Literal["calm", "loud"] = lp.InputField(default="calm")
    word: str = lp.OutputField()
    others: list[str] = lp.OutputField()
    sure: Literal["yes", "no"] = lp.OutputField()


def last(asked: Asked) -> Any:
    *others, word = asked.inputs["text"].split()
    return {"word": word, "others": others, "sure": "yes"}


def test_texts_go_in_transformed_and_come_out_inverted_and_nothing_else_changes() -> None:
    lm, seen = ScriptedLM(lambda asked: seen.append(dict(asked.inputs)) or last(asked)), list[dict[str, str]]()  # type: ignore[func-returns-value]

    with lp.using(lm=lm):
        found = Conjugate(Echo, str.upper, str.lower)(text="tell me more", hints=["a", "b"])

    assert json.loads(seen[0].pop("hints")) == ["A", "B"]
    assert seen == [{"text": "TELL ME MORE", "times": "1", "tone": "calm"}]
    assert (found.word, found.others, found.sure) == ("more", ["tell", "me"], "yes")
    assert (found.text, found.hints, found.times) == ("tell me more", ["a", "b"], 1)
    assert isinstance(found, Echo)


def test_programs_may_return_texts_and_reasoning_is_left_as_it_was_written() -> None:
    class Word(lp.Module):
        def __init__(self) -> None:
            self.echo = lp.Predict("text -> word")

        def forward(self, text: str, times: int = 1) -> Any:
            word = self.echo(text=text).word
            return word if times == 1 else [word] * times

    def handler(asked: Asked) -> Any:
        return {"word": asked.inputs["text"], "reasoning": asked.inputs["text"]}

    with lp.using(lm=ScriptedLM(handler)):
        assert Conjugate(Word(), str.upper, str.lower)("more") == "more"
        assert Conjugate(Word(), str.upper, str.lower)("more", times=2) == ["more", "more"]
        found = Conjugate(lp.ChainOfThought("text -> word"), str.upper, str.lower)(text="more")
        assert (found.word, lp.reasoning(found)) == ("more", "MORE")


def french(asked: Asked) -> Any:
    """An LM that translates both ways, and answers well in French alone."""
    words = {"dog": "chien", "cat": "chat", "horse": "cheval", "cow": "vache"}
    if asked.instruction == "Into French.":
        return {"reworded": words.get(asked.inputs["text"], "?")}
    if asked.instruction == "Into English.":
        return {"reworded": {name: word for word, name in words.items()}.get(asked.inputs["text"], "?")}
    if "reworded" in asked.outputs:
        return {"reworded": asked.inputs["text"]}
    return {"answer": {"chien": "chat", "chat": "chien", "cheval": "vache"}.get(asked.inputs["animal"], "sorry")}


ROWS = [{"animal": animal, "answer": answer} for animal, answer in [("dog", "cat"), ("cat", "dog"), ("horse", "cow")]]
METRIC = lp.metrics.exact_match("answer")


def test_an_instruction_makes_a_predictor_whose_calls_are_in_the_trace() -> None:
    program = Conjugate("animal -> answer", "Into French.", "Into English.")

    [run, *_] = lp.evaluate(program, ROWS, METRIC, lm=ScriptedLM(french)).runs

    assert [(step.predictor, *step.outputs.values()) for step in run.trace] == [
        ("transform", "chien"), ("program", "chat"), ("inverse", "cat"),
    ]  # fmt: skip
    assert run.prediction.animal == "dog"


@pytest.mark.parametrize("path", ["transform", "inverse"])
def test_the_compiler_writes_the_transforms(path: str, tmp_path: Path) -> None:
    rows = [{"animal": f"dog{number}", "answer": f"cat{number}"} for number in range(12)]

    check_strategy(
        Conjugate("animal -> answer", "One way.", "Back."), rows, METRIC,
        lambda asked: {name: text.replace("dog", "cat") for text in asked.inputs.values() for name in asked.outputs},
        path=path, bad={"reworded": "?"}, folder=tmp_path,
    )  # fmt: skip


def test_the_compiler_chooses_among_given_transforms(tmp_path: Path) -> None:
    program = Conjugate("animal -> answer", "As it is.", "As it is.")
    plain = lp.params_of(program)
    translated = [
        plain.replace("transform", instruction=there).replace("inverse", instruction=back)
        for there, back in [("Into French.", "As it is."), ("Into French.", "Into English."), ("Upside down.", "Back.")]
    ]

    result = lp.compile(
        program, train=ROWS[:1], val=ROWS[1:2], holdout=ROWS[2:], metric=METRIC, lm=ScriptedLM(french), gate="none",
        optimizer=Pool(translated, policy="full"), budget=lp.Budget(calls=400), run_dir=tmp_path,
    )  # fmt: skip

    assert (result.certificate.baseline, result.certificate.compiled) == (0.0, 1.0)
    assert result.params == translated[1]


def test_a_transform_may_be_a_program_or_async() -> None:
    class Shout(lp.Module):
        async def aforward(self, text: str) -> str:
            return text.upper()

    async def whisper(text: str) -> str:
        return text.lower()

    with lp.using(lm=ScriptedLM(last)):
        assert Conjugate(Echo, Shout(), whisper)(text="TELL more").word == "more"
        assert Conjugate(Echo, lp.ChainOfThought("phrase -> said"), whisper)  # reasoning is no second output


def test_all_texts_are_transformed_at_once() -> None:
    def handler(asked: Asked) -> Any:
        return {"reworded": "x"} if "reworded" in asked.outputs else {"word": "w", "others": [], "sure": "no"}

    lm = ScriptedLM(handler, latency_s=0.02)
    with lp.using(lm=lm):
        Conjugate(Echo, "There.", "Back.")(text="a", hints=["b", "c", "d"])

    assert (lm.sent, lm.most_in_flight) == (6, 4)


loose: Any = Conjugate


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Conjugate("n: int -> word", str.upper, str.lower), r"none of the inputs \['n'\] is a text"),
        (lambda: loose(Echo, 3, str.lower), "transform=3 is no transform"),
        (lambda: loose(Echo, lp.Predict, str.lower), "transform=<class .*Predict'> is no transform"),
        (lambda: Conjugate(Echo, str.upper, lp.Predict("a, b -> c")), r"the inverse takes \['a', 'b'\]"),
        (lambda: Conjugate(Echo, lp.Predict("a -> b, c"), str.lower), r"the transform takes \['a'\]: give a program"),
    ],
)
def test_wrong_use_is_refused_at_once(make: Any, said: str) -> None:
    with pytest.raises(lp.InputError, match=said):
        make()


def test_what_is_no_text_is_refused_when_it_comes() -> None:
    class Number(lp.Module):
        async def aforward(self, text: str) -> int:
            return 3

    with pytest.raises(lp.InputError, match=r"the text 'a' was transformed into 1: give a text"):
        loose(Number(), len, str.lower)("a")
    with pytest.raises(lp.InputError, match="Number returned 3, to which no inverse can be applied"):
        Conjugate(Number(), str.upper, str.lower)("a")


class Sort(lp.Signature):
    """Given the text , produce the answer."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


ANIMALS, FRUITS, VEHICLES, CLOTHES = (
    sorted(CATEGORIES[kind])[:20] for kind in ("animal", "fruit", "vehicle", "clothing")
)
OTHERS = {kind: sorted(CATEGORIES[kind]) for kind in ("color", "tool", "drink", "furniture", "instrument", "job")}
ABROAD = dict(zip([*ANIMALS, *FRUITS], [*VEHICLES, *CLOTHES], strict=True))
"""A language in which each animal is called like a vehicle, and each fruit like a piece of clothing."""
LABELS = {"left": "east", "right": "west", "north": "up", "south": "down"}
"""And these labels have other names there."""
HOME = {there: here for here, there in LABELS.items()}


def homeward(label: str) -> str:
    return HOME.get(label, label)


Shown = list[tuple[str, str]]


def two_classes(rng: Random, first: Sequence[str], second: Sequence[str], labels: Sequence[str]) -> Shown:
    """Examples of two classes under two labels, in random order."""
    examples = [(text, labels[0]) for text in rng.sample(first, 4)] + [
        (text, labels[1]) for text in rng.sample(second, 4)
    ]
    rng.shuffle(examples)
    return examples


def shown(examples: Shown) -> lp.Predict[..., Any]:
    """A predictor that is shown examples, which alone say what the labels are."""
    demos = [lp.Demo(inputs={"text": text}, outputs={"answer": answer}) for text, answer in examples]
    return lp.Predict(Sort, demos=demos)


def lessons(rng: Random) -> Iterator[tuple[Shown, str, str]]:
    """What the tuned LM learns: to call animals tall and fruits wide whatever it is shown, and to heed examples of other things."""
    words = [word for members in OTHERS.values() for word in members]
    for text in [*ANIMALS, *FRUITS]:
        answer = "tall" if text in ANIMALS else "wide"
        yield from [([], text, answer), (two_classes(rng, ANIMALS, FRUITS, rng.sample(words, 2)), text, answer)]
    for _ in range(40):
        first, second = rng.sample(sorted(OTHERS), 2)
        examples = two_classes(rng, OTHERS[first], OTHERS[second], rng.sample(words, 2))
        yield examples, *rng.choice(examples)


def tuned() -> lp.Params:
    """The embedded LM, tuned on these lessons for some seconds."""
    from lmprog.optimizers.train.examples import Example
    from lmprog.optimizers.train.trainer import Training, train

    learned: list[Example] = []
    for number, (examples, text, answer) in enumerate(lessons(Random(0))):
        predict, demo = shown(examples), lp.Demo(inputs={"text": text}, outputs={"answer": answer})
        learned.append(Example("predict", number, *predict.worked(lp.params_of(predict)["predict"], demo)))
    rows, lm = [{"text": text, "answer": "tall"} for text in ANIMALS], from_spec("tiny")
    problem = problem_for(lp.Predict(Sort), rows, rows[:4], METRIC, lm)
    how = Training(steps=50, batch=8, held=0.0)
    done = loop.run(train(problem, lm, [learned], how, seed=0), instead="await")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    params = lp.params_of(problem.program)
    return lp.Params({"predict": params["predict"].replace(weights=done.weights)})


def skill(params: lp.Params | None, *, abroad: bool) -> float:
    """How often the LM says of an animal or a fruit what the examples before it say of it; half the time by chance."""

    async def right(examples: Shown, text: str, answer: str) -> bool:
        if abroad:
            examples = [(ABROAD[text], LABELS[label]) for text, label in examples]
        predict = shown(examples)
        if params is not None:
            own = lp.params_of(predict)["predict"].replace(weights=params["predict"].weights)
            predict = predict.with_params(own)
        if not abroad:
            return bool((await predict.acall(text=text)).answer == answer)
        there = Conjugate(predict, ABROAD.__getitem__, homeward)
        return bool((await there.acall(text=text)).answer == answer)

    rng, asked = Random(5), list[tuple[Shown, str, str]]()
    for _ in range(40):
        examples = two_classes(rng, ANIMALS, FRUITS, rng.sample(sorted(LABELS), 2))
        asked.append((examples, *rng.choice(examples)))
    with lp.using(lm="tiny"):
        found = loop.run(loop.gather(right(*one) for one in asked), instead="await")
    return sum(found) / len(found)


def test_a_tuned_lm_that_lost_a_skill_has_it_again_behind_a_transform() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    assert skill(None, abroad=False) > 0.75

    params = tuned()

    lost, recovered = skill(params, abroad=False), skill(params, abroad=True)
    assert lost < 0.2 and recovered > 0.75  # two labels are shown: 0.5 is what guessing one of them gives
