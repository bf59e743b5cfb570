"""The task-agnostic prefix: how it is chosen, where it stands, and what it does."""

import importlib
import re
import sys
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

import lmprog as lp
from lmprog.optimizers.select.pool import Pool
from lmprog.programs import multihop
from lmprog.strategies.prefix import MOST_WORDS, task_agnostic_prefix, with_prefix
from lmprog.testing import Answer, Asked, ScriptedLM

sys.path.insert(0, str(Path(__file__).parent / "bench"))
ablation: Any = importlib.import_module("prefix_ablation")  # a script, and no part of a package


class Spam(lp.Signature):
    """Say what kind of mail it is."""

    mail: str = lp.InputField()
    kind: Literal["spam", "ham"] = lp.OutputField()


class Colour(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Paint(lp.Signature):
    """Name the colour."""

    thing: str = lp.InputField()
    wet: bool = lp.InputField()
    colour: Colour = lp.OutputField()


class Even(lp.Signature):
    """Is the number even?"""

    number: int = lp.InputField()
    even: bool = lp.OutputField()


class Capital(lp.Signature):
    """Name the capital."""

    country: str = lp.InputField()
    capital: str = lp.OutputField()


SPAM = (Spam, [{"mail": "Win a prize now", "kind": "spam"}])
PAINT = (Paint, [{"thing": "grass", "wet": True, "colour": "green"}])
EVEN = (Even, [{"number": 4, "even": True}])
CAPITAL = (Capital, [{"country": "France", "capital": "Paris"}])

PREFIX = """\
Definition: Is the number even? Answer with one of: true, false.
Input: number: 4
Output: true

Definition: Say what kind of mail it is. Answer with one of: spam, ham.
Input: mail: Win a prize now
Output: spam

Definition: Name the colour. Answer with one of: red, green, blue.
Input: thing: grass
wet: true
Output: green"""


def test_the_prefix_shows_tasks_with_their_choices_those_with_few_first() -> None:
    assert task_agnostic_prefix([PAINT, CAPITAL, SPAM, EVEN]) == PREFIX


def test_no_two_demonstrations_share_a_choice_or_a_task() -> None:
    class Meat(lp.Signature):
        """Name the meat."""

        dish: str = lp.InputField()
        meat: Literal["Ham", "beef"] = lp.OutputField()

    meat = (Meat, [{"dish": "stew", "meat": "beef"}])

    found = {task_agnostic_prefix([SPAM, meat], seed=seed).splitlines()[0] for seed in range(9)}

    assert found == {
        "Definition: Say what kind of mail it is. Answer with one of: spam, ham.",
        "Definition: Name the meat. Answer with one of: Ham, beef.",
    }
    assert all(task_agnostic_prefix([SPAM, meat], seed=seed).count("Definition") == 1 for seed in range(9))


def test_the_seed_draws_the_row_and_the_tasks_and_the_same_seed_the_same() -> None:
    mails = (Spam, [{"mail": f"Mail {number}", "kind": "ham"} for number in range(50)])

    drawn = [task_agnostic_prefix([mails, PAINT, EVEN], seed=seed, count=2) for seed in range(9)]

    assert drawn == [task_agnostic_prefix([mails, PAINT, EVEN], seed=seed, count=2) for seed in range(9)]
    assert {text.count("Definition") for text in drawn} == {2} and len(set(drawn)) > 4


def test_rows_without_a_label_with_too_many_words_or_with_marks_of_the_layout_are_not_shown() -> None:
    long = {"mail": "word " * MOST_WORDS, "kind": "spam"}
    marked = {"mail": "[[ kind ]]", "kind": "spam"}
    unlabelled = {"mail": "Hello"}
    wrong = {"mail": "Hello", "kind": "post"}
    good = {"mail": "Win", "kind": "spam"}

    texts = {task_agnostic_prefix([(Spam, [long, marked, unlabelled, wrong, good])], seed=seed) for seed in range(9)}

    assert len(texts) == 1 and "Input: mail: Win\n" in texts.pop()


class Sort(lp.Module):
    def __init__(self) -> None:
        self.look = lp.Predict("text -> note", demos=[lp.Demo(inputs={"text": "a"}, outputs={"note": "b"})])
        self.say = lp.ChainOfThought("note -> answer", config={"max_tokens": 9})

    def forward(self, text: str) -> Any:
        return self.say(note=self.look(text=text).note)


def test_every_predictor_of_any_program_gets_the_prefix_and_keeps_all_else() -> None:
    for program in (Sort(), lp.Predict(Capital)):
        before, after = lp.params_of(program), lp.params_of(with_prefix(program, PREFIX))

        assert {path: value.instruction for path, value in after.items()} == {
            path: f"{PREFIX}\n\n{value.instruction}" for path, value in before.items()
        }
        for path, value in after.items():
            assert value.replace(instruction="") == before[path].replace(instruction="")
        assert lp.params_of(program) == before


def follows_instructions_if_shown_how(asked: Asked) -> Answer:
    """A base LM: it goes on with the text, unless it has seen that an output is one of the choices of its definition."""
    name = asked.outputs[-1]
    shown = re.findall(r"Answer with one of: (.*)\.\nInput: .*\nOutput: (\w+)", asked.instruction)
    if len(shown) < 2 or any(answer not in choices.split(", ") for choices, answer in shown):
        return {name: "and so on"}
    return {name: {"France": "Paris", "Italy": "Rome"}[asked.inputs["country"]]}


def test_an_ablation_shows_the_gain_of_a_base_lm_that_the_prefix_teaches_to_follow_instructions() -> None:
    rows = [{"country": "France", "capital": "Paris"}, {"country": "Italy", "capital": "Rome"}]
    program, metric = lp.Predict(Capital), lp.metrics.exact_match("capital")
    lm = ScriptedLM(follows_instructions_if_shown_how)

    scores = {
        count: lp.evaluate(with_prefix(program, task_agnostic_prefix([SPAM, EVEN], count=count)), rows, metric, lm=lm).score
        for count in (1, 2)
    }  # fmt: skip

    assert lp.evaluate(program, rows, metric, lm=lm).score == 0.0
    assert scores == {1: 0.0, 2: 1.0}


def test_the_prefix_that_validation_rows_choose_lifts_the_embedded_lm_on_held_out_questions(tmp_path: Path) -> None:
    """Without examples of the task. Not that demonstrations alone do so: a plain sentence does as well (`prefix_ablation.py`)."""
    splits = multihop.TASK.load()
    program = multihop.TASK.program()
    prefixes = [task_agnostic_prefix([task], count=1) for task in ablation.POOL]
    candidates = [lp.params_of(with_prefix(program, prefix)) for prefix in prefixes]

    result = lp.compile(
        program, train=splits.train, val=splits.val[:60], holdout=splits.holdout, metric=multihop.TASK.metric,
        optimizer=Pool(candidates, policy="full"), lm="tiny", run_dir=tmp_path / "run",
    )  # fmt: skip

    assert result.params in candidates
    assert result.certificate.interval.low > 0


def test_a_program_with_the_prefix_is_saved_and_loaded(tmp_path: Path) -> None:
    program = with_prefix(Sort(), PREFIX)

    loaded = lp.load(lp.save(program, tmp_path / "prefixed.lmprog"), program=Sort())

    assert lp.params_of(loaded) == lp.params_of(program)


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.DataError, match="none of the 1 tasks of the pool has one output that is one of given"):
        task_agnostic_prefix([CAPITAL])
    with pytest.raises(lp.InputError, match="count=0: write how many"):
        task_agnostic_prefix([SPAM], count=0)
    with pytest.raises(lp.InputError, match=re.escape("the prefix is empty. Make one")):
        with_prefix(Sort(), " ")
    with pytest.raises(lp.InputError, match="the program is the class Sort"):
        with_prefix(Sort, PREFIX)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
