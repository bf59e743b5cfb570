"""PAFT: many wordings in training, and scores that hang less on the wording afterwards."""

from dataclasses import dataclass

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from test_finetune import Sort, rows
from weights_rig import METRIC, Planted, check_promises, found, rehearsal

import lmprog as lp
from lmprog import loop
from lmprog.events import CandidateScored, Event, StageEnded
from lmprog.lm.tiny.client import shared
from lmprog.optimizer import named
from lmprog.optimizers.paft import Robustness, robustness
from lmprog.testing import Answer, Asked, problem_for

UNSEEN = (
    "Which word belongs to it ?",
    "Write the class of the thing that is described .",
    "Say if the animal is tall or wide .",
    "Sort the text into one of two groups .",
    "Read the text and reply with one word .",
    "Decide how the thing is called .",
    "Name the size of this animal .",
    "Label it .",
    "Is the animal of the text tall or wide ?",
    "Name the animal .",
    "Repeat the text .",
    "Give the first word .",
)
"""The last three pull to something else that the LM knows how to do."""
STEPS = "rank=1,rate=0.002,steps=100,batch=12,patience=20"


class Solve(lp.Signature):
    """Answer the question with a number."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


NUMBERS = [{"question": f"q{number}", "answer": str(number)} for number in range(100)]


# On the embedded LM


@dataclass(frozen=True)
class Both:
    fixed: Robustness
    many: Robustness
    events: list[Event]


@pytest.fixture(scope="module")
def both() -> Both:
    """The same program tuned under one wording and under many, for as many steps, and run under wordings never trained on."""
    events, some = list[Event](), rows(96)
    problem = problem_for(lp.Predict(Sort), some[:40], some[40:], METRIC, shared(), emit=events.append)

    def table(optimizer: str) -> Robustness:
        tuned = found(optimizer, problem).params
        return loop.run(robustness(problem, tuned, [{"predict": text} for text in UNSEEN]), instead="await")

    return Both(table(f"finetune:{STEPS}"), table(f"paft:{STEPS},unseen=3"), events)


def test_scores_vary_less_across_unseen_wordings_than_after_training_on_one(both: Both) -> None:
    assert both.many.spread**2 < 0.5 * both.fixed.spread**2
    assert both.many.mean > 0.5
    assert both.many.rows == 56


def test_what_it_scores_under_wordings_kept_out_is_told(both: Both) -> None:
    told = [event for event in both.events if isinstance(event, StageEnded)]
    table = [event.facts for event in told if event.stage == "wording"]
    (summary,) = [event.facts for event in told if event.stage == "robustness"]

    assert len({fact["text"] for fact in table}) == 3
    scores = [float(fact["score"]) for fact in table]
    assert summary["mean"] == pytest.approx(sum(scores) / 3)
    assert summary["least"] == min(scores)


# With a planted LM


def proposing(*, wordings: int) -> Planted:
    """Writes so many different wordings; right on all rows under weights, and on a fifth without."""

    def script(asked: Asked) -> Answer:
        if "new_instruction" in asked.outputs:
            return {"new_instruction": f"Wording {asked.request.sample % wordings} of it."}
        number = int(asked.inputs["question"][1:])
        return {"answer": str(number) if asked.request.weights or number % 5 == 0 else "?"}

    return Planted(script)


def instructions(lm: Planted) -> list[str]:
    """Those trained under, in order, each as often as it came anew."""
    texts = [request.messages[0].text.splitlines()[0] for request, _ in lm.learned]
    return [text for place, text in enumerate(texts) if place == 0 or texts[place - 1] != text]


def test_every_few_steps_another_wording_of_the_pool_is_trained_under_and_the_own_one_last() -> None:
    lm = proposing(wordings=100)
    events = list[Event]()
    problem = rehearsal(lp.Predict(Solve), NUMBERS[:30], NUMBERS[50:], lm, emit=events.append)

    outcome = found("paft:steps=40,resample_every=4,batch=4,pool=5,unseen=3", problem)

    trained = [event.facts for event in events if isinstance(event, StageEnded) and event.stage == "wordings"]
    assert trained == [{"trained": 5, "unseen": 3}]
    assert len(set(instructions(lm))) == 5
    assert 8 <= len(instructions(lm)) <= 10
    assert instructions(lm)[-1] == outcome.params["predict"].instruction == "Answer the question with a number."
    (tuned,) = [e for e in events if isinstance(e, CandidateScored) and e.origin.startswith("fine-tuned")]
    assert tuned.params == outcome.params


def test_a_proposer_with_few_words_is_helped_out_by_set_phrases() -> None:
    lm = proposing(wordings=2)

    found(
        "paft:steps=60,resample_every=2,pool=8,unseen=0", rehearsal(lp.Predict(Solve), NUMBERS[:30], NUMBERS[50:], lm)
    )

    own = "Answer the question with a number."
    texts = set(instructions(lm))
    assert len(texts) == 8
    assert {"Wording 0 of it.", "Wording 1 of it.", own} <= texts
    assert sum(own in text for text in texts) == 6


def test_wordings_kept_out_run_on_as_many_rows_as_the_budget_pays_for() -> None:
    events = list[Event]()
    problem = rehearsal(
        lp.Predict(Solve), NUMBERS[:30], NUMBERS[50:], proposing(wordings=50), emit=events.append, calls=220
    )

    found("paft:pool=6,unseen=5", problem)

    (summary,) = [e.facts for e in events if isinstance(e, StageEnded) and e.stage == "robustness"]
    assert 0 < int(summary["rows"]) < 50
    assert problem.allowance.ledger.requested <= 220


def test_it_keeps_the_promises_of_all_that_tune_weights() -> None:
    check_promises("paft", lp.Predict(Solve), NUMBERS, proposing(wordings=50))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(lp.InputError, match=r"Paft\(resample_every=0\): `resample_every` must be at least 1"):
        named("paft:resample_every=0")
