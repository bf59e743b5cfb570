"""PromptIntern: training that begins with the whole prompt and ends with none of it, and ships without."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from test_finetune import rows
from weights_rig import METRIC, Planted, check_promises, found, rehearsal

import lmprog as lp
from lmprog.events import Event, IncumbentChanged, StageEnded
from lmprog.lm.tiny.client import shared
from lmprog.optimizer import named
from lmprog.optimizers.prompt_intern import shortened
from lmprog.params import Demo
from lmprog.testing import Answer, Asked


class Sort(lp.Signature):
    """Given the text, look at what the animal is called and which colour it has, and produce the answer: the word that
    stands for it in the lists that you have been shown."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class Solve(lp.Signature):
    """Answer the question that is asked with the number in it."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


NUMBERS = [{"question": f"q{number}", "answer": str(number)} for number in range(100)]


# On the embedded LM


@pytest.fixture(scope="module")
def interned(tmp_path_factory: pytest.TempPathFactory) -> lp.CompileResult[lp.Predict[Any, Any]]:
    some = rows(96)
    return lp.compile(
        lp.Predict(Sort), train=some[:40], val=some[40:60], holdout=some[60:], metric=METRIC, lm="tiny",
        optimizer="prompt-intern:steps=40,batch=12", budget=lp.Budget(calls=600), run_dir=tmp_path_factory.mktemp("runs") / "run",
    )  # fmt: skip


def facts(run_dir: Path) -> dict[str, Any]:
    events = [json.loads(line) for line in (run_dir / "journal.jsonl").read_text().splitlines()]
    told: list[dict[str, Any]] = [event["facts"] for event in events if event.get("stage") == "internalized"]
    (facts,) = told
    return facts


def test_at_least_80_percent_fewer_prompt_tokens_and_a_score_within_two_points_of_the_prompted_version(
    interned: lp.CompileResult[lp.Predict[Any, Any]],
) -> None:
    told, params = facts(interned.run_dir), interned.params["predict"]
    labels = [Demo(inputs={"text": row["text"]}, outputs={"answer": row["answer"]}) for row in rows(96)]

    def tokens(params: lp.PredictorParams) -> int:
        asked = lp.predictors(interned.program)["predict"].worked(params, labels[70])
        return len(shared().encode(*asked).prompt)

    prompted = interned.baseline_params["predict"].replace(demos=labels[:4])
    assert tokens(params) <= 0.2 * tokens(prompted)
    assert told["prompt_left"] <= 0.2
    assert told["internalized"] >= told["prompted"] - 0.02
    assert told["prompted"] > 0.4, "or there is little to internalize"


def test_it_runs_and_ships_without_demos_and_with_one_word_of_the_instruction(
    interned: lp.CompileResult[lp.Predict[Any, Any]],
) -> None:
    params = interned.params["predict"]

    assert interned.shipped == "compiled"
    assert interned.certificate.interval.low > 0.2
    assert (params.demos, len(params.instruction.split())) == ((), 1)
    assert params.weights is not None


# With a planted LM


def answering(weights: int, demos: int, plain: int = 10) -> Planted:
    """Right on so many of the rows from 50 on: under weights, with demos, and with neither."""

    def script(asked: Asked) -> Answer:
        number = int(asked.inputs["question"][1:])
        able = weights if asked.request.weights else demos if asked.demos else plain
        return {"answer": str(number) if (number - 50) % 50 < able else "?"}

    return Planted(script)


@pytest.mark.parametrize(
    ("weights", "points", "ships"),
    [(45, 2.0, "internalized"), (39, 2.0, "internalized"), (38, 2.0, "prompted"), (38, 4.0, "internalized"), (39, 0.0, "prompted")],
)  # fmt: skip
def test_it_ships_also_where_it_loses_up_to_so_many_points(weights: int, points: float, ships: str) -> None:
    events = list[Event]()
    problem = rehearsal(lp.Predict(Solve), NUMBERS[:50], NUMBERS[50:], answering(weights, 40), emit=events.append)

    outcome = found(f"prompt-intern:points={points}", problem)

    params = outcome.params["predict"]
    assert (params.weights is None, params.demos == ()) == ((True, False) if ships == "prompted" else (False, True))
    assert outcome.score == (40 if ships == "prompted" else weights) / 50
    assert outcome.baseline_score == 0.2
    (told,) = [event.facts for event in events if isinstance(event, StageEnded) and event.stage == "internalized"]
    assert (told["prompted"], told["internalized"]) == (0.8, weights / 50)
    assert str(told["difference"]).startswith("[")
    leaders = [event for event in events if isinstance(event, IncumbentChanged)]
    assert leaders[-1].candidate == outcome.params.fingerprint


def test_every_stage_asks_with_less_of_the_instruction_and_fewer_demos() -> None:
    lm = answering(45, 40)

    found("prompt-intern:stages=3,demos=4", rehearsal(lp.Predict(Solve), NUMBERS[:20], NUMBERS[50:], lm))

    prompts = [(request.messages[0].text.splitlines()[0], len(request.messages) // 2 - 1) for request, _ in lm.learned]
    lengths = list(dict.fromkeys(instruction for instruction, _ in prompts))
    assert [len(instruction.split()) for instruction in lengths] == [11, 6, 1]
    shown = [{demos for instruction, demos in prompts if instruction == one} for one in lengths]
    assert [max(demos) for demos in shown] == [4, 2, 0]
    assert min(shown[0]) == 3, "of a call that a demo shows, the demo is left out"


def test_demos_that_the_program_has_are_those_internalized() -> None:
    lm = answering(45, 40)
    own = tuple(Demo(inputs={"question": f"q{n}"}, outputs={"answer": str(n)}) for n in (3, 5))
    problem = rehearsal(lp.Predict(Solve, demos=own), NUMBERS[10:30], NUMBERS[50:], lm)

    outcome = found("prompt-intern", problem)

    assert outcome.baseline_score == 0.8
    assert outcome.params["predict"].demos == ()
    assert {len(request.messages) for request, _ in lm.learned} == {2, 4, 6}


def test_the_shortest_words_go_first_and_those_said_before() -> None:
    params = lp.Params(
        {"p": lp.PredictorParams(instruction="Sort the animals: big animals go to the left, small ones right.")}
    )

    assert shortened(params, 0.5)["p"].instruction == "Sort animals: left, small ones right."
    assert shortened(params, 0.0)["p"].instruction == "animals:"
    assert shortened(params, 1.0) == params


def test_it_follows_a_search_of_prompts() -> None:
    problem = rehearsal(lp.Predict(Solve), NUMBERS[:50], NUMBERS[50:], answering(45, 40), calls=2000)

    outcome = found("bootstrap -> prompt-intern", problem)

    assert (outcome.baseline_score, outcome.score) == (0.2, 0.9)
    assert outcome.params["predict"].demos == ()


def test_it_keeps_the_promises_of_all_that_tune_weights() -> None:
    check_promises("prompt-intern", lp.Predict(Solve), NUMBERS, answering(45, 40))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(lp.InputError, match=r"PromptIntern\(stages=0\): `stages` must be at least 1"):
        named("prompt-intern:stages=0")
    with pytest.raises(lp.InputError, match=r"PromptIntern\(points=101\): write a number from 0 to 100"):
        named("prompt-intern:points=101")
