"""MIPRO's parts: what proposals are grounded in, the space, learning to propose, and taking back what brings nothing."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from zlib import crc32

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.events import CandidateScored, Event, IncumbentChanged, StageEnded
from lmprog.metrics import exact_match
from lmprog.module import params_of
from lmprog.optimizer import Outcome, Problem, named
from lmprog.optimizers.mipro import Mipro
from lmprog.optimizers.propose.grounded import PARTS, TIPS, Grounds, Setting, propose, role, settings_for
from lmprog.optimizers.propose.meta import Observed, learned
from lmprog.optimizers.select.simplify import simplified
from lmprog.optimizers.select.space import Space
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

ROWS = [{"question": f"q{i}", "answer": str(i)} for i in range(160)]
TASK = {"answer", "query"}


class Find(lp.Signature):
    """Write a search query."""

    question: str = lp.InputField(desc="as the user put it")
    query: str = lp.OutputField()


class Reply(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    query: str = lp.InputField()
    answer: str = lp.OutputField()


class Base(lp.Module):
    def __init__(self) -> None:
        self.find, self.reply = lp.Predict(Find), lp.Predict(Reply)

    def lookup(self, question: str) -> str:
        return self.find(question=question).query  # inherited


class Inner(lp.Module):
    def __init__(self) -> None:
        self.reply = lp.Predict("question, query, style: int -> answer: Literal['yes', 'no']")

    def forward(self, question: str) -> object:
        return self.reply(question=question, query="", style=1)


class Steps(Base):
    def forward(self, question: str) -> Reply:
        return self.reply(question=question, query=self.lookup(question))


class Nested(Steps):
    def __init__(self) -> None:
        super().__init__()
        self.parts = {"inner": [Inner()]}


def luck(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return crc32(text.encode()) % 1000 / 1000


def problem_of(
    script: Callable[[Asked], Answer],
    program: lp.Module | None = None,
    *,
    val: int = 60,
    calls: int | None = None,
    seed: int = 0,
    events: list[Event] | None = None,
) -> Problem:
    emit: Callable[[Event], None] = (lambda event: None) if events is None else events.append
    lm, metric = ScriptedLM(script), exact_match("answer")
    return problem_for(
        program or Steps(), ROWS[:40], ROWS[40 : 40 + val], metric, lm, calls=calls, seed=seed, emit=emit
    )


def searched(optimizer: str, problem: Problem) -> Outcome:
    return loop.run(named(optimizer).search(problem, params_of(problem.program)), instead="")


def right(asked: Asked, chance: float) -> Answer:
    """The query "?", and the answer to a share of the questions."""
    question = asked.inputs["question"]
    return {"query": "?", "answer": question[1:] if luck(question) < chance else "?"}


def shown(context: str, *, options: str = "trials=2,candidates=9") -> list[Asked]:
    """What the proposer is asked in a search with these parts of the context."""
    found: list[Asked] = []

    def script(asked: Asked) -> Answer:
        if TASK & {*asked.outputs}:
            return right(asked, 0.5)
        found.append(asked)
        return dict.fromkeys(asked.outputs, f"Wording {len(found)}.")

    searched(f"mipro:{options},context={context}", problem_of(script, val=12))
    return found


INPUTS = {
    "program": "program",
    "role": "step",
    "data": "data_summary",
    "examples": "examples",
    "instruction": "instruction_text",
    "tip": "tip",
}


@pytest.mark.parametrize(
    "context", ["program", "examples", "role+tip", "data+instruction", "instruction+examples", "tip"]
)
def test_a_proposer_is_shown_the_parts_that_the_user_names_and_no_other(context: str) -> None:
    asked = [one for one in shown(context) if "rows" not in one.inputs]

    assert {name for one in asked for name in one.inputs} == {INPUTS[part] for part in context.split("+")}


def test_without_any_part_of_the_context_nothing_is_proposed_and_demos_are_searched() -> None:
    assert shown("") == []


def test_an_unknown_part_or_format_is_refused_with_those_that_exist() -> None:
    with pytest.raises(lp.InputError, match=r"context='examples\+tipps'.*'history'"):
        named("mipro:context=examples+tipps")
    with pytest.raises(lp.InputError, match=r"formats='jason'.*'chat', 'json' or 'xml'"):
        named("mipro:formats=jason")
    with pytest.raises(lp.InputError, match="surrogate='gp'"):
        named("mipro:surrogate=gp")
    assert named("mipro:formats=json+xml,context=tip+role") == Mipro(formats=("json", "xml"), context=("tip", "role"))


def test_the_first_settings_differ_and_the_temperature_is_the_users() -> None:
    settings = settings_for(8, temperature=0.6)

    assert len({*settings}) == 8
    assert {setting.temperature for setting in settings} == {0.0, 0.6}


def program_shown(program: lp.Module, params: lp.Params) -> str:
    prompts: list[str] = []

    def script(asked: Asked) -> Answer:
        prompts.append(asked.inputs["program"])
        return dict.fromkeys(asked.outputs, "Do it.")

    setting = {"reply": [Setting(program=True)]}
    loop.run(propose(problem_of(script, program), params, Grounds(), setting), instead="")
    return prompts[0]


def test_the_source_shows_inherited_methods_and_the_parts_of_the_program() -> None:
    program = Nested()
    text = program_shown(program, params_of(program))

    assert all(
        f"class {name}" in text for name in ("Nested(Steps)", "Steps(Base)", "Base(lp.Module)", "Inner(lp.Module)")
    )
    assert "return self.find(question=question).query  # inherited" in text
    assert "class Module" not in text


def test_steps_are_described_as_they_are_at_run_time() -> None:
    program = Nested()
    described = {"query": "at most three words"}
    params = params_of(program).replace("find", instruction="Search as you like.", field_descriptions=described)

    text = program_shown(program, params)

    assert "`find` reads question (as the user put it) and writes query (at most three words)" in text
    assert "Its instruction: Search as you like." in text
    inner = "`parts['inner'][0].reply` reads question, query, style (whole number) and writes answer (one of: yes, no)"
    assert inner in text
    assert role(problem_of(lambda asked: ""), "find") == "`find` reads question (as the user put it) and writes query"


def test_a_space_starts_at_the_program_as_it_was_and_holds_no_option_twice() -> None:
    params = params_of(Steps())
    space = Space(params, ("instruction", "demos", "format"))

    assert space.add("find", "instruction", "Search.") == 1
    assert space.add("find", "instruction", "Search.") is None
    assert space.add("reply", "format", "chat") is None
    assert space.add("reply", "format", "json") == 1

    assert space.sizes == [2, 1, 1, 1, 1, 2]
    assert space.of == [0, 0, 0, 1, 1, 1]
    assert space.build((0,) * 6) == params
    built = space.build((1, 0, 0, 0, 0, 1))
    assert (built["find"].instruction, built["reply"].format, built["find"].format) == ("Search.", "json", "chat")
    assert space.describe((1, 0, 0, 0, 0, 1)) == "find: instruction 1; reply: format json"


def test_the_prompt_format_is_searched_where_the_user_asks_for_it() -> None:
    def script(asked: Asked) -> Answer:
        if not TASK & {*asked.outputs}:
            return dict.fromkeys(asked.outputs, "Do it.")
        text = "".join(message.text for message in asked.request.messages)
        return right(asked, 0.8 if asked.outputs == ("answer",) and "<question>" in text else 0.4)

    outcome = searched("mipro:formats=json+xml,trials=12", problem_of(script, val=40))
    plain = searched("mipro:trials=4", problem_of(script, val=40))

    assert outcome.params["reply"].format == "xml"
    assert outcome.params["find"].format == "chat"  # where it changes nothing it is taken back
    assert {value.format for value in plain.params.values()} == {"chat"}


def test_field_descriptions_are_written_and_searched_where_the_user_asks_for_them() -> None:
    asked_for: list[tuple[str, ...]] = []

    def script(asked: Asked) -> Answer:
        if not TASK & {*asked.outputs}:
            asked_for.append(asked.outputs)
            return dict.fromkeys(asked.outputs, "a number in digits" if asked.request.sample else "something")
        said = "\n".join(message.text for message in asked.request.messages)
        return right(asked, 0.8 if "a number in digits" in said else 0.4)

    outcome = searched("mipro:field_descriptions=true,trials=16", problem_of(script, val=40))

    assert ("question_description", "query_description", "answer_description") in asked_for
    assert outcome.params["reply"].field_descriptions["answer"] == "a number in digits"
    assert outcome.params["find"].field_descriptions == {}


def test_what_a_tip_or_a_part_adds_is_learned_and_followed() -> None:
    rng, good = Random(0), TIPS[4]
    observed: list[Observed] = []
    for number in range(40):
        setting = Setting(role=number % 2 == 0, data=number % 3 == 0, examples=number % 5 < 3, tip=TIPS[number % 6])
        effect = 0.1 * (setting.tip == good) - 0.1 * setting.data + rng.gauss(0, 0.02)
        observed.append(Observed(setting, effect, 0.02**2))

    settings = learned(observed, 50, parts=PARTS, temperature=1.0, rng=Random(1))

    assert sum(setting.tip == good for setting in settings) > 35
    assert sum(setting.data for setting in settings) < 10
    assert 10 < sum(setting.role for setting in settings) < 40  # nothing is known against either
    assert learned([], 3, parts=("tip", "role"), temperature=0.5, rng=Random(1))[0].parts[0] == "role"


LEVEL = {"good": 0.9, "bad": 0.45}


def planted(asked: Asked) -> Answer:
    """Instructions are good under one tip alone, which no first setting has, and differ by luck besides."""
    if TASK & {*asked.outputs}:
        kind = next((kind for kind in LEVEL if kind in asked.instruction), "bad")
        chance = LEVEL[kind] + 0.1 * luck(asked.instruction)
        question = asked.inputs["question"]
        if asked.outputs == ("query",):
            return {"query": "fit" if luck(question + "find") < chance else "unfit"}
        fit = asked.inputs["query"] == "fit"
        return {"answer": question[1:] if luck(question) < chance - 0.2 * (not fit) else "?"}
    kind = "good" if asked.inputs.get("tip") == TIPS[0] else "bad"
    return dict.fromkeys(
        asked.outputs, f"A {kind} wording, {luck(repr(asked.request.messages)):.3f}, {asked.request.sample}."
    )


DEMOLESS = "mipro:bootstrapped=0,labeled=0,minibatch=20,minibatch_above=20"


def test_learning_to_propose_raises_the_share_of_good_instructions_and_the_score_at_equal_cost() -> None:
    def run(optimizer: str, seed: int) -> tuple[Outcome, list[bool]]:
        proposed: list[bool] = []

        def script(asked: Asked) -> Answer:
            if not TASK & {*asked.outputs} and "rows" not in asked.inputs:
                proposed.append(asked.inputs.get("tip") == TIPS[0])
            return planted(asked)

        return searched(optimizer, problem_of(script, val=40, calls=1200, seed=seed)), proposed

    learning = [run(DEMOLESS, seed) for seed in range(2)]
    fixed = [run(f"{DEMOLESS},meta=false", seed) for seed in range(2)]

    early, late = ([one for _, kinds in learning for one in half(kinds)] for half in (first_half, last_half))
    assert sum(late) / len(late) > sum(early) / len(early) + 0.2
    assert not any(one for _, kinds in fixed for one in kinds)
    assert sum(outcome.score for outcome, _ in learning) / 2 > sum(outcome.score for outcome, _ in fixed) / 2 + 0.1


def first_half(kinds: list[bool]) -> list[bool]:
    return kinds[: len(kinds) // 2]


def last_half(kinds: list[bool]) -> list[bool]:
    return kinds[len(kinds) // 2 :]


def garbling(asked: Asked) -> Answer:
    """A program that demos alone make better, and a proposer of strange wordings."""
    if TASK & {*asked.outputs}:
        return right(asked, 0.8 if asked.demos and asked.outputs == ("answer",) else 0.4)
    return dict.fromkeys(asked.outputs, f"Rus the words {asked.request.sample}.")


def test_changes_that_bring_nothing_are_taken_back_and_those_that_do_stay() -> None:
    events: list[Event] = []
    problem = problem_of(garbling, events=events)
    start = params_of(problem.program)
    demos = (lp.Demo(inputs={"question": "q1", "query": "?"}, outputs={"answer": "1"}),)
    winner = start.replace("find", instruction="Rus the words.").replace("reply", instruction="Words.", demos=demos)
    score = loop.run(problem.evaluate(winner), instead="").score

    outcome = loop.run(simplified(problem, start, Outcome(winner, score, 0.1, "done")), instead="")

    assert outcome == Outcome(start.replace("reply", demos=demos), score, 0.1, "done")
    last = [event for event in events if isinstance(event, IncumbentChanged)][-1]
    assert (last.candidate, last.score) == (outcome.params.fingerprint, score)
    (ended,) = (event for event in events if isinstance(event, StageEnded) and event.stage == "simplify")
    assert (ended.facts["changes"], ended.facts["undone"]) == (3, 2)


def test_a_change_that_matters_is_found_out_on_the_first_rows() -> None:
    events: list[Event] = []
    problem = problem_of(garbling, val=120, events=events)
    start = params_of(problem.program)
    winner = start.replace("reply", demos=(lp.Demo(inputs={"question": "q1", "query": "?"}, outputs={"answer": "1"}),))
    score = loop.run(problem.evaluate(winner), instead="").score

    outcome = loop.run(simplified(problem, start, Outcome(winner, score, 0.1, "done")), instead="")

    assert outcome.params == winner
    assert sum(len(event.rows) for event in events if isinstance(event, CandidateScored)) == 35


def test_nothing_is_taken_back_below_the_baseline_or_where_no_call_is_left() -> None:
    problem = problem_of(garbling)
    start = params_of(problem.program)
    winner = start.replace("find", instruction="Rus the words.")
    score = loop.run(problem.evaluate(winner), instead="").score
    spent = replace(problem, allowance=replace(problem.allowance, calls=problem.allowance.ledger.requested))

    better = Outcome(winner, score, score + 0.01, "done")
    assert loop.run(simplified(problem, start, better), instead="") == better
    found = Outcome(winner, score, score, "done")
    assert loop.run(simplified(spent, start, found), instead="") == found
    assert loop.run(simplified(problem, start, found), instead="").params == start


def test_mipro_ships_nothing_that_brings_nothing() -> None:
    outcome, kept = (
        searched(f"mipro:trials=12,labeled=0,{options}", problem_of(garbling, val=40))
        for options in ("", "simplify=false")
    )

    assert {value.instruction for value in outcome.params.values()} == {"Write a search query.", "Answer."}
    assert kept.params["find"].demos
    assert not outcome.params["find"].demos
    assert outcome.params["reply"].demos
    assert outcome.score == kept.score


@pytest.mark.parametrize("surrogate", ["additive", "tpe"])
@pytest.mark.parametrize("options", ["candidates=1", "candidates=2", "formats=json,minibatch=40,minibatch_above=0"])
def test_a_small_space_is_searched_through_and_the_search_ends(surrogate: str, options: str) -> None:
    problem = problem_of(garbling, val=9)

    outcome = searched(f"mipro:{options},surrogate={surrogate}", problem)

    assert outcome.stopped
    assert outcome.score >= outcome.baseline_score


def test_tpe_and_another_number_of_attempts_may_be_asked_for() -> None:
    samples: set[int] = set()

    def script(asked: Asked) -> Answer:
        samples.add(asked.request.sample)
        return garbling(asked) if not TASK & {*asked.outputs} else right(asked, 0.0)

    searched("mipro:surrogate=tpe,attempts=4,context=,trials=3", problem_of(script, val=9))

    assert samples == {0, 1, 2, 3}
