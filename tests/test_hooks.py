"""Hooks: code that acts on predictors' calls and leaves programs and prompts as they are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.scope import Firing
from lmprog.strategies.best_of_n import BestOfN
from lmprog.strategies.hooks import Call, Hook, Hooked
from lmprog.strategies.refine import Refine
from lmprog.testing import Asked, ScriptedLM


class Sum(lp.Signature):
    """Add the numbers."""

    numbers: list[int] = lp.InputField()
    total: int = lp.OutputField()


class Answer(lp.Signature):
    """Answer from the passages."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField(default=[])
    answer: str = lp.OutputField()


class Two(lp.Module):
    def __init__(self) -> None:
        self.add = lp.Predict(Sum)
        self.answer = lp.Predict(Answer)

    def forward(self, numbers: list[int]) -> Answer:
        return self.answer(question=f"double {self.add(numbers=numbers).total}")


SUM = re.compile(r"(\d+)\s*\+\s*(\d+)\s*=\s*(\d+)")


def has_sum(call: Call) -> bool:
    return bool(SUM.search(call.outputs.get("reasoning", "")))


def correct(call: Call) -> dict[str, Any]:
    """A calculator that puts right what the reasoning reckons, and the total that follows."""
    text = SUM.sub(lambda m: f"{m[1]} + {m[2]} = {int(m[1]) + int(m[2])}", call.outputs["reasoning"])
    return {"reasoning": text, "total": int(text.rpartition("=")[2])}


def object_to(call: Call) -> str | None:
    """A calculator that says what is wrong, and lets the LM go on from there."""
    wrong = [m for m in SUM.finditer(call.outputs["reasoning"]) if int(m[1]) + int(m[2]) != int(m[3])]
    return "".join(f"{m[1]} + {m[2]} is {int(m[1]) + int(m[2])}." for m in wrong) or None


def bad_at_sums(asked: Asked) -> Any:
    """An LM that is one off unless the last turn tells it a sum."""
    told = re.search(r" is (\d+)\.", asked.request.messages[-1].text)
    first, second = json.loads(asked.inputs["numbers"])
    total = int(told[1]) if told else first + second + 1
    return {"reasoning": f"{first} + {second} = {total}", "total": total}


FACTS = {"ada": ["Ada was born in Oslo."]}


def knows(call: Call) -> bool:
    return "passages" in call.inputs and call.inputs["question"] in FACTS


def look_up(call: Call) -> dict[str, Any]:
    return {"passages": [*call.inputs["passages"], *FACTS[call.inputs["question"]]]}


def reads(asked: Asked) -> Any:
    return {"answer": "Oslo" if "Oslo" in asked.inputs["passages"] else "unknown"}


def steps_of(program: Any, lm: lp.LM, **row: Any) -> tuple[lp.Step, ...]:
    [run] = lp.evaluate(program, [row], lambda row, prediction: 1.0, lm=lm).runs
    assert run.failure is None
    return run.trace


def test_a_calculator_corrects_a_reply_at_no_cost() -> None:
    hooked = Hooked(lp.ChainOfThought(Sum), [Hook(has_sum, correct)])

    lm = ScriptedLM(bad_at_sums)
    with lp.using(lm=lm):
        found = hooked(numbers=[17, 25])

    assert (found.total, lp.reasoning(found), lm.sent) == (42, "17 + 25 = 42", 1)


def test_a_remark_has_the_lm_reply_again_in_the_same_conversation() -> None:
    asked_last: list[lp.Request] = []

    def handler(asked: Asked) -> Any:
        asked_last.append(asked.request)
        return bad_at_sums(asked)

    steps = steps_of(Hooked(lp.ChainOfThought(Sum), [Hook(has_sum, object_to)]), ScriptedLM(handler), numbers=[17, 25])

    assert steps[0].outputs == {"reasoning": "17 + 25 = 42", "total": 42}
    first, second = asked_last
    assert second.messages[: len(first.messages)] == first.messages
    reply, remark = second.messages[len(first.messages) :]
    assert (reply.role, remark.role, remark.text) == ("assistant", "user", "17 + 25 is 42.")
    assert "17 + 25 = 43" in reply.text
    assert steps[0].fired == (Firing("object_to", {}, "17 + 25 is 42."),)
    assert steps[0].retries == 1


def test_a_hook_that_finds_nothing_to_change_fires_and_changes_nothing() -> None:
    def right(asked: Asked) -> Any:
        return {"reasoning": "1 + 1 = 2", "total": 2}

    [step] = steps_of(Hooked(lp.ChainOfThought(Sum), [Hook(has_sum, object_to)]), ScriptedLM(right), numbers=[1, 1])

    assert (step.fired, step.retries) == ((Firing("object_to", {}),), 0)


def test_a_retriever_adds_passages_before_the_call() -> None:
    lm = ScriptedLM(reads)

    [step] = steps_of(Hooked(Answer, [Hook(knows, look_up, before=True)]), lm, question="ada")

    assert (step.outputs, lm.sent) == ({"answer": "Oslo"}, 1)
    assert step.inputs == {"question": "ada", "passages": FACTS["ada"]}
    assert step.fired == (Firing("look_up", {"passages": FACTS["ada"]}),)


def test_a_retriever_that_acts_on_a_reply_has_the_predictor_asked_again_with_what_it_found() -> None:
    def unsure(call: Call) -> bool:
        return call.outputs["answer"] == "unknown" and knows(call)

    lm = ScriptedLM(reads)
    hooked = Hooked(Answer, [Hook(unsure, look_up)])
    [step] = steps_of(hooked, lm, question="ada")

    assert (step.outputs, step.inputs["passages"], step.retries, lm.sent) == ({"answer": "Oslo"}, FACTS["ada"], 1, 2)
    with lp.using(lm=lm):
        assert hooked(question="ada").passages == FACTS["ada"]


def test_a_call_on_which_no_hook_acts_is_the_call_without_hooks() -> None:
    requests: list[lp.Request] = []

    def handler(asked: Asked) -> Any:
        requests.append(asked.request)
        return reads(asked)

    with lp.using(lm=ScriptedLM(handler)):
        lp.Predict(Answer)(question="bob")
        Hooked(Answer, [Hook(knows, look_up, before=True), Hook(has_sum, correct)])(question="bob")

    assert requests[0] == requests[1]


def test_hooks_attach_to_all_predictors_of_a_program_and_see_which_is_called() -> None:
    def handler(asked: Asked) -> Any:
        return {"total": 3} if "numbers" in asked.inputs else {"answer": asked.inputs["question"]}

    seen: list[Call] = []
    hooked = Hooked(Two(), [Hook(lambda call: call.predictor == "program.answer", seen.append)])
    steps = steps_of(hooked, ScriptedLM(handler), numbers=[1, 2])

    assert seen == [Call("program.answer", {"question": "double 3", "passages": []}, {"answer": "double 3"})]
    assert [len(step.fired) for step in steps] == [0, 1]


def test_hooks_of_higher_priority_act_first_and_the_next_see_what_they_made() -> None:
    def append(letter: str) -> Any:
        def action(call: Call) -> dict[str, Any]:
            return {"answer": call.outputs["answer"] + letter}

        return action

    def always(call: Call) -> bool:
        return True

    hooks = [
        Hook(always, append("c"), name="c"),
        Hook(always, append("d"), name="d"),
        Hook(always, append("a"), priority=2, name="a"),
        Hook(always, append("b"), priority=1, name="b"),
    ]
    [step] = steps_of(Hooked(Answer, hooks), ScriptedLM(lambda asked: {"answer": "x"}), question="q")

    assert step.outputs == {"answer": "xabcd"}
    assert [firing.hook for firing in step.fired] == ["a", "b", "c", "d"]


def test_a_hook_acts_as_often_on_a_call_as_its_limit_says() -> None:
    for limit in (1, 3):
        lm = ScriptedLM(lambda asked: {"answer": "x"})
        nag = Hook(lambda call: True, lambda call: "Better.", limit=limit, name="nag")
        [step] = steps_of(Hooked(Answer, [nag]), lm, question="q")

        assert (lm.sent, step.retries, len(step.fired)) == (1 + limit, limit, limit)


def test_a_program_calls_a_predictor_twice_and_each_call_has_its_own_limit() -> None:
    class Twice(lp.Module):
        def __init__(self) -> None:
            self.answer = lp.Predict(Answer)

        def forward(self, question: str) -> str:
            return self.answer(question=self.answer(question=question).answer).answer

    shout = Hook(lambda call: True, lambda call: {"answer": call.outputs["answer"] + "!"}, name="shout")
    with lp.using(lm=ScriptedLM(lambda asked: {"answer": asked.inputs["question"]})):
        assert Hooked(Twice(), [shout])("q") == "q!!"


def test_actions_may_be_async_and_their_own_calls_have_no_hooks_of_this_kind() -> None:
    check = lp.Predict("claim -> answer")

    async def ask_again(call: Call) -> dict[str, Any]:
        return {"answer": (await check.acall(claim=call.outputs["answer"])).answer}

    def ask_again_sync(call: Call) -> dict[str, Any]:
        return {"answer": check(claim=call.outputs["answer"]).answer}

    def handler(asked: Asked) -> Any:
        return {"answer": "no" if "claim" in asked.inputs else "yes"}

    for action in (ask_again, ask_again_sync):
        lm = ScriptedLM(handler)
        steps = steps_of(Hooked(Answer, [Hook(lambda call: True, action, limit=5)]), lm, question="q")
        assert [step.outputs["answer"] for step in steps] == ["no", "no"]
        assert lm.sent == 2


def test_a_hooked_program_within_another_has_the_hooks_of_both() -> None:
    def add(letter: str) -> Hook:
        return Hook(lambda call: True, lambda call: {"answer": call.outputs["answer"] + letter}, name=letter)

    hooked = Hooked(Hooked(Answer, [add("i")]), [add("o")])
    [step] = steps_of(hooked, ScriptedLM(lambda asked: {"answer": "x"}), question="q")

    assert step.outputs == {"answer": "xoi"}


def test_hooks_act_on_every_draw_of_a_strategy_inside() -> None:
    lm = ScriptedLM(lambda asked: {"answer": "a" * (1 + asked.request.sample)})
    shout = Hook(lambda call: True, lambda call: {"answer": call.outputs["answer"] + "!"}, name="shout")
    best = BestOfN(Answer, n=2, reward=lambda inputs, prediction: len(prediction.answer))

    with lp.using(lm=lm):
        assert Hooked(best, [shout])(question="q").answer == "aa!"


def test_advice_from_outside_is_heard_once_however_often_a_hook_asks_again() -> None:
    heard: list[str] = []

    def handler(asked: Asked) -> Any:
        if "steps" in asked.inputs:
            return {"reasoning": "", "advice": {"program.program": "Be brief."}}
        heard.append(asked.inputs.get("advice", ""))
        return {"answer": "x"}

    nag = Hook(lambda call: True, lambda call: "Better.", name="nag")
    refine = Refine(Hooked(Answer, [nag]), n=2, reward=lambda inputs, prediction: 0.0, threshold=1.0)
    steps_of(refine, ScriptedLM(handler), question="q")

    assert heard == ["", "", "Be brief.", "Be brief."]


def test_a_reply_that_does_not_validate_after_a_hook_is_an_error_with_the_firings_in_the_trace() -> None:
    def handler(asked: Asked) -> Any:
        return {"answer": "x"} if len(asked.request.messages) == 2 else "no field"

    [run] = lp.evaluate(
        Hooked(Answer, [Hook(lambda call: True, lambda call: "Again.", name="again", limit=3)]),
        [{"question": "q"}], lambda row, prediction: 1.0, lm=ScriptedLM(handler),
    ).runs  # fmt: skip

    assert run.failure is not None and "no field" in run.failure
    assert [firing.hook for firing in run.trace[0].fired] == ["again"]
    assert (run.trace[0].outputs, run.trace[0].retries) == ({}, 2)


@pytest.mark.parametrize(
    ("change", "before", "said"),
    [
        (
            {"anwser": "x"},
            False,
            r"the hook `wrong` set `anwser` of `program`, on the reply, where it may set \['question'",
        ),
        ({"answer": "x"}, True, "set `answer` of `program`, before the call"),
        ({"answer": 3}, False, "set `answer` of `program` to 3: Input should be a valid string"),
        ({"passages": "x"}, False, "set `passages` of `program` to 'x'"),
        ({"answer": "x", "question": "y"}, False, "inputs and outputs at once"),
        ("Again.", True, "leave out before=True"),
        ([], False, r"returned \[\]: return new values by field"),
        ("", False, "returned ''"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(change: Any, before: bool, said: str) -> None:
    hook = Hook(lambda call: True, lambda call: change, before=before, name="wrong")

    with lp.using(lm=ScriptedLM(lambda asked: {"answer": "x"})), pytest.raises(lp.InputError, match=said):
        Hooked(Answer, [hook])(question="q")


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_call_cannot_be_changed_behind_the_trace(side: str) -> None:
    hook = Hook(lambda call: True, lambda call: getattr(call, side).update(answer="unseen"))

    with lp.using(lm=ScriptedLM(lambda asked: {"answer": "x"})), pytest.raises(AttributeError):
        Hooked(Answer, [hook])(question="q")


async def always(call: Call) -> bool:
    return True


def test_what_is_no_hook_is_refused_at_once() -> None:
    with pytest.raises(lp.InputError, match="was given 3, which cannot be called"):
        Hook(lambda call: True, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.InputError, match="limit=0"):
        Hook(has_sum, correct, limit=0)
    with pytest.raises(lp.InputError, match="the trigger of the hook `correct` is async"):
        Hook(always, correct)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.InputError, match=r"write a list of hooks, \[Hook\("):
        Hooked(Sum, Hook(has_sum, correct))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.InputError, match="two hooks are called 'correct'"):
        Hooked(Sum, [Hook(has_sum, correct), Hook(knows, correct)])


def test_hooks_fix_what_the_lm_gets_wrong_and_the_program_inside_is_compiled(tmp_path: Path) -> None:
    rows = [{"numbers": [number, 20], "total": number + 20} for number in range(12)]
    metric = lp.metrics.exact_match("total")
    plain, hooked = lp.ChainOfThought(Sum), Hooked(lp.ChainOfThought(Sum), [Hook(has_sum, object_to)])

    assert lp.evaluate(plain, rows, metric, lm=ScriptedLM(bad_at_sums)).score == 0.0
    assert lp.evaluate(hooked, rows, metric, lm=ScriptedLM(bad_at_sums)).score == 1.0
    check_strategy(
        hooked, rows, metric, bad_at_sums, path="program", bad={"reasoning": "?", "total": 0}, folder=tmp_path
    )


def test_new_inputs_end_the_conversation_about_those_before_them() -> None:
    asked_of: list[lp.Request] = []

    def handler(asked: Asked) -> Any:
        asked_of.append(asked.request)
        return reads(asked)

    nag = Hook(lambda call: call.outputs["answer"] == "unknown", lambda call: "Think again.", priority=1, name="nag")
    [step] = steps_of(Hooked(Answer, [nag, Hook(knows, look_up)]), ScriptedLM(handler), question="ada")

    plain, remarked, anew = asked_of
    assert [len(request.messages) for request in asked_of] == [2, 4, 2]
    assert remarked.messages[-1].text == "Think again." and "Oslo" in anew.messages[-1].text
    assert ([firing.hook for firing in step.fired], step.outputs) == (["nag", "look_up"], {"answer": "Oslo"})
    assert plain.messages[0] == anew.messages[0]
