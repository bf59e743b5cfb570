"""FireAct: one adapter from the good runs of several programs, and an agent that needs no demos afterwards."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from test_finetune import ANIMALS, rows
from weights_rig import METRIC, Planted, check_promises, found, rehearsal

import lmprog as lp
from lmprog import loop
from lmprog.data import Splits
from lmprog.events import Event, StageEnded
from lmprog.lm.tiny.client import shared
from lmprog.optimizer import named
from lmprog.optimizers.fireact import Fireact
from lmprog.params import Demo
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

BOOK = {animal: f"The {animal} is {'near' if animal < 'd' else 'far'} ." for animal in ANIMALS}


class Look(lp.Signature):
    """Write what to look up ."""

    text: str = lp.InputField()
    word: str = lp.OutputField()


class Reply(lp.Signature):
    """Given the passage , produce the answer ."""

    passage: str = lp.InputField()
    answer: str = lp.OutputField()


class Direct(lp.Signature):
    """Given the text , produce the answer ."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class Agent(lp.Module):
    """Looks one thing up in a book, and answers from what stands there."""

    def __init__(self) -> None:
        self.look, self.reply = lp.Predict(Look), lp.Predict(Reply)

    def forward(self, text: str) -> Reply:
        return self.reply(passage=BOOK.get(self.look(text=text).word, "Nothing is known ."))


class Thinker(lp.Module):
    """Answers without the book, by thought."""

    def __init__(self) -> None:
        self.think = lp.ChainOfThought(Direct)

    def forward(self, text: str) -> Direct:
        return self.think(text=text)


class Other(lp.Module):
    """Takes an input that no row has."""

    def __init__(self) -> None:
        self.read = lp.Predict("page -> answer")

    def forward(self, page: str) -> Any:
        return self.read(page=page)


def teacher(asked: Asked) -> dict[str, str]:
    """A large LM, which plays all programs well."""
    if asked.outputs == ("word",):
        return {"word": asked.inputs["text"].split()[2]}
    if "passage" in asked.inputs:
        return {"answer": "tall" if "near" in asked.inputs["passage"] else "wide"}
    animal = asked.inputs["text"].split()[2]
    return {"reasoning": BOOK[animal], "answer": "tall" if animal < "d" else "wide"}


# On the embedded LM


def test_the_tuned_agent_beats_the_few_shot_agent_with_fewer_prompt_tokens(tmp_path: Path) -> None:
    some = rows(96)
    few_shot = with_demos(lp.params_of(Agent()), some[:4])
    problem = problem_for(Agent(), some[:40], some[60:], METRIC, shared())

    result = lp.compile(
        Agent(), train=some[:40], val=some[40:60], holdout=some[60:], metric=METRIC, lm="tiny", teacher=ScriptedLM(teacher, name="large"),
        optimizer=Fireact(variants=(Thinker(),), steps=60, batch=12), run_dir=tmp_path / "run",
    )  # fmt: skip

    prompted = loop.run(problem.evaluate(few_shot), instead="await")
    assert result.shipped == "compiled"
    assert result.certificate.compiled > prompted.score
    assert tokens(result.params) < 0.5 * tokens(few_shot)
    assert not any(value.demos for value in result.params.values())
    assert result.params["look"].weights == result.params["reply"].weights


def with_demos(params: lp.Params, shown: list[dict[str, str]]) -> lp.Params:
    """The agent with demos as its teacher would give them."""
    looks = [Demo(inputs={"text": row["text"]}, outputs={"word": row["text"].split()[2]}) for row in shown]
    replies = [
        Demo(inputs={"passage": BOOK[row["text"].split()[2]]}, outputs={"answer": row["answer"]}) for row in shown
    ]
    return params.replace("look", demos=tuple(looks)).replace("reply", demos=tuple(replies))


def tokens(params: lp.Params) -> int:
    """Of the two prompts of a run."""
    asked = {
        "look": Demo(inputs={"text": "a red cat"}, outputs={"word": "cat"}),
        "reply": Demo(inputs={"passage": BOOK["cat"]}, outputs={"answer": "tall"}),
    }
    known = lp.predictors(Agent())
    return sum(len(shared().encode(*known[path].worked(params[path], demo)).prompt) for path, demo in asked.items())


# With a planted LM

KNOWN = ("ant", "bat", "bee", "elk")


def student(asked: Asked) -> Answer:
    """Without weights it reads the passages on a few animals alone, and thinks well."""
    said = teacher(asked)
    able = asked.request.weights or "passage" not in asked.inputs or asked.inputs["passage"].split()[1] in KNOWN
    return said if able else {**said, "answer": "?"}


def test_the_good_runs_of_all_programs_make_one_adapter_and_no_demo_is_trained() -> None:
    lm, events, some = Planted(student), list[Event](), rows(96)
    agent = Agent()
    agent.look = lp.Predict(Look, demos=[Demo(inputs={"text": "a red yak"}, outputs={"word": "yak"})])
    problem = rehearsal(agent, some[:40], some[40:60], lm, emit=events.append)

    outcome = found(Fireact(variants=(Thinker(),), attempts=1), problem)

    good = [row for row in some[:40] if row["text"].split()[2] in KNOWN]
    told = [event.facts for event in events if isinstance(event, StageEnded)]
    assert [fact for fact in told if "program" in fact] == [
        {
            "program": "Agent",
            "successes": len(good),
            "calls": len({row["text"].split()[2] for row in good}) + len(good),
        },
        {"program": "Thinker", "successes": 40, "calls": 40},
    ]
    asked = [request.messages for request, _ in lm.learned]
    assert {len(messages) for messages in asked} == {2}
    texts = {messages[1].text.splitlines()[1] for messages in asked if messages[0].text.startswith("Write what")}
    assert texts == {row["text"] for row in good}
    assert any("[[ reasoning ]]" in reply for _, reply in lm.learned)
    assert (outcome.score, outcome.params["look"].demos) == (1.0, ())
    assert outcome.params["look"].weights == outcome.params["reply"].weights


def test_further_tasks_bring_their_own_program_rows_and_metric() -> None:
    lm = Planted(lambda asked: {"answer": "9"} if "sum" in asked.inputs else student(asked))
    sums = tuple({"sum": f"{number} + {9 - number}", "total": 9} for number in range(9))
    task = lp.Task(
        name="sums",
        program=lambda: lp.Predict("sum -> answer: int"),
        metric=lambda row, said: said.answer == row["total"],
        load=lambda: Splits(sums, (), ()),
        about="sums",
    )

    outcome = found(Fireact(tasks=(task,)), rehearsal(Agent(), rows(40), rows(60)[40:], lm))

    learned = [request.messages[-1].text for request, _ in lm.learned]
    assert sum("[[ sum ]]" in text for text in learned) == 9
    assert outcome.score == 1.0


def test_a_variant_for_other_rows_is_refused() -> None:
    problem = rehearsal(Agent(), rows(40), rows(60)[40:], Planted(student))

    with pytest.raises(
        lp.InputError, match=r"the variant Other needs the inputs \['page'\], which Agent does not take"
    ):
        found(Fireact(variants=(Other(),)), problem)


def test_programs_have_no_names_in_options() -> None:
    with pytest.raises(lp.InputError, match=r"variants='thinker': .*optimizer=Fireact\(variants=\(Other\(\),\)\)"):
        named("fireact:variants=thinker")
    assert named("fireact:steps=7") == Fireact(steps=7)


def test_what_its_programs_are_tells_one_run_from_another() -> None:
    assert repr(Fireact(variants=(Thinker(),))) == repr(Fireact(variants=(Thinker(),)))
    different = [Fireact(), Fireact(steps=7), Fireact(variants=(Thinker(),)), Fireact(variants=(Agent(),))]
    assert len({repr(one) for one in different}) == 4


@pytest.mark.parametrize("optimizer", ["fireact", Fireact(variants=(Thinker(),))])
def test_it_keeps_the_promises_of_all_that_tune_weights(optimizer: str | Fireact) -> None:
    check_promises(optimizer, Agent(), rows(96), Planted(student))
