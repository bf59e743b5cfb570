"""ProTeGi mends instructions by critiques of real failures, and a bandit spends the rows on the best of them."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

import lmprog as lp
from lmprog import loop
from lmprog.evaluation import Run
from lmprog.events import CandidateScored, Event, StageEnded
from lmprog.lm.tiny.curriculum import meta
from lmprog.metrics import Metric, Score, exact_match
from lmprog.module import params_of
from lmprog.optimizer import Outcome, Problem, named
from lmprog.optimizers.propose.critique import case_of, edited, line
from lmprog.optimizers.protegi import Protegi
from lmprog.optimizers.select.beam import Bandit, Beam
from lmprog.scope import Step
from lmprog.search import Ask, search
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for
from lmprog.testing.scripted import Handler

KINDS = ("ant", "bee", "cat", "dog")
ROWS = [{"question": f"{KINDS[i % 4]} {i}", "answer": f"A{i}"} for i in range(100)]
"""100 rows of four kinds; the first 40 train."""


class Lone(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Note(lp.Signature):
    """Take a note."""

    question: str = lp.InputField()
    note: str = lp.OutputField()


class Reply(lp.Signature):
    """Reply."""

    question: str = lp.InputField()
    note: str = lp.InputField()
    answer: str = lp.OutputField()


class TwoSteps(lp.Module):
    def __init__(self) -> None:
        self.take = lp.Predict(Note)
        self.reply = lp.ChainOfThought(Reply)

    def forward(self, question: str) -> Reply:
        return self.reply(question=question, note=self.take(question=question).note)


def kind_of(asked: Asked) -> str:
    return asked.inputs["question"].split()[0]


def right(asked: Asked) -> str:
    return "A" + asked.inputs["question"].split()[1]


def is_task(asked: Asked) -> bool:
    return "question" in asked.inputs


def rules(asked: Asked) -> Answer:
    """Each kind of question is right under its own rule. Who sees the failures says which, and who is told writes it."""
    if is_task(asked):
        return {"answer": right(asked) if f"rule-{kind_of(asked)}" in asked.instruction else "?"}
    if asked.outputs == ("reason",):
        failed = re.findall(r"(ant|bee|cat|dog) \d+ -> got \? , expected A", asked.inputs["failures"])
        return {"reason": f"It lacks rule-{failed[0]}." if failed else "It is bad."}
    lacking = re.findall(r"lacks (rule-\w+)", asked.inputs.get("reason", ""))
    return {"new_instruction": f"{asked.inputs['instruction_text']} {(lacking or ['Please.'])[0]}"}


async def rules_late(asked: Asked) -> Answer:
    await asyncio.sleep(random.random() * 0.002)
    return rules(asked)


def problem_of(
    script: Handler = rules,
    *,
    program: lp.Module | lp.Predict[..., Lone] | None = None,
    metric: Metric | None = None,
    calls: int | None = 2000,
    seed: int = 0,
    emit: Callable[[Event], None] = lambda event: None,
) -> Problem:
    return problem_for(
        program or lp.Predict(Lone),
        ROWS[:40],
        ROWS[40:],
        metric or exact_match("answer"),
        ScriptedLM(script),
        calls=calls,
        seed=seed,
        emit=emit,
    )


def searched(optimizer: str, problem: Problem) -> Outcome:
    outcome = loop.run(named(optimizer).search(problem, params_of(problem.program)), instead="")
    calls = problem.allowance.calls
    assert calls is None or problem.allowance.ledger.requested <= calls
    return outcome


@pytest.mark.parametrize("calls", [800, None])
def test_critiques_of_failures_find_every_rule(calls: int | None) -> None:
    outcome = searched("protegi:pull_rows=16", problem_of(calls=calls))

    assert all(f"rule-{kind}" in outcome.params["predict"].instruction for kind in KINDS)
    assert (outcome.baseline_score, outcome.score) == (0.0, 1.0)


def test_a_round_adds_one_edit_to_what_the_beam_has() -> None:
    outcome = searched("protegi:rounds=2", problem_of(calls=800))

    assert outcome.score == 0.5


def test_only_the_failures_of_one_predictor_are_shown_with_its_instruction_and_step() -> None:
    edits = Counter[str]()

    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            ok = "9" in asked.inputs["question"]
            return {"note": "N" + right(asked)} if asked.outputs == ("note",) else {
                "reasoning": "so", "answer": right(asked) if ok else "?"
            }  # fmt: skip
        if "failures" not in asked.inputs:
            return {"new_instruction": asked.inputs["instruction_text"]}
        step = asked.inputs["step"].split("`")[1]
        edits[step] += asked.outputs == ("new_instruction",)
        shown = asked.inputs["failures"].split(" | ")
        assert len({*shown}) == 4
        for case in shown:
            number = int(re.findall(r"(?:ant|bee|cat|dog) (\d+)", case)[0])
            assert number < 40
            assert "9" not in str(number)
            took = f"{KINDS[number % 4]} {number} -> got NA{number} , and in the end ? , expected A{number}"
            replied = f"question: {KINDS[number % 4]} {number} ; note: NA{number} -> got ? , expected A{number}"
            assert case == {"take": took, "reply": replied}[step]
        assert asked.inputs["instruction_text"] == {"take": "Take a note.", "reply": "Reply."}[step]
        return dict.fromkeys(asked.outputs, asked.inputs["instruction_text"])

    searched("protegi:rounds=3", problem_of(handler, program=TwoSteps()))

    assert edits == {"take": 6, "reply": 6}  # 3 rounds of 4 groups, for the lone member of the beam


def test_an_edit_asks_what_the_embedded_lm_was_trained_to_answer() -> None:
    asked_for: list[Asked] = []

    def handler(asked: Asked) -> Answer:
        if not is_task(asked):
            asked_for.append(asked)
        return {"reason": ""} if asked.outputs == ("reason",) else {"new_instruction": "Better.", "answer": "?"}

    searched("protegi:rounds=1,paraphrases=1", problem_of(handler))

    trained = {maker([], []).name: maker([], []) for maker in (meta.critique, meta.paraphrase)}
    edit = next(asked for asked in asked_for if {*asked.inputs} == {"instruction_text", "failures"} and asked.outputs == ("new_instruction",))  # fmt: skip
    paraphrase = next(asked for asked in asked_for if {*asked.inputs} == {"instruction_text"})
    assert edit.instruction in trained["critique"].precise
    assert re.fullmatch(r"\w+ \d+ -> got \? , expected A\d+( \| \w+ \d+ -> got \? , expected A\d+){3}", edit.inputs["failures"])  # fmt: skip
    assert paraphrase.instruction in trained["paraphrase"].precise


def test_no_prompt_shows_a_validation_row() -> None:
    prompts: list[str] = []

    def handler(asked: Asked) -> Answer:
        if not is_task(asked):
            prompts.append(str(asked.inputs))
        return rules(asked)

    searched("protegi:rounds=3", problem_of(handler, calls=1000))

    numbers = {int(number) for prompt in prompts for number in re.findall(r"(?:ant|bee|cat|dog) (\d+)", prompt)}
    assert numbers and max(numbers) < 40


def test_the_same_seed_gives_the_same_params_whatever_the_latencies() -> None:
    first, second = (searched("protegi", problem_of(rules_late, calls=500, seed=5)) for _ in range(2))

    assert first.params.to_json() == second.params.to_json()
    assert first.score > first.baseline_score


@pytest.mark.parametrize("calls", [60, 61, 90, 130, 180, 260, 400])
def test_a_short_budget_is_kept_and_leaves_the_full_score_of_the_winner(calls: int) -> None:
    outcome = searched("protegi", problem_of(calls=calls))

    assert outcome.score >= outcome.baseline_score
    assert calls < 260 or outcome.score >= 0.25


@pytest.mark.parametrize(
    "reply", ["I would rather not.", {"reason": "", "new_instruction": ""}, lp.ContextError("long")]
)
def test_a_proposer_that_always_fails_leaves_the_program_as_it_was(reply: Answer | Exception) -> None:
    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            return {"answer": "?"}
        if isinstance(reply, Exception):
            raise reply
        return reply

    outcome = searched("protegi", problem_of(handler, calls=None))

    assert outcome.params == params_of(lp.Predict(Lone))
    assert outcome.stopped == "the search was finished"


@pytest.mark.parametrize("error", [lp.AuthError("bad key"), lp.CapReached("spent", cap="usd")])
def test_a_systemic_fault_of_the_proposer_is_raised_but_a_cap_leaves_what_was_found(error: Exception) -> None:
    def handler(asked: Asked) -> Answer:
        if not is_task(asked) and asked.inputs["instruction_text"].count("rule-") == 2:
            raise error
        return rules(asked)

    if isinstance(error, lp.AuthError):
        with pytest.raises(lp.AuthError, match="bad key"):
            searched("protegi", problem_of(handler))
    else:
        assert searched("protegi", problem_of(handler)).score >= 0.25


def test_a_program_that_is_right_everywhere_costs_no_proposal() -> None:
    asked_for: list[Sequence[str]] = []

    def handler(asked: Asked) -> Answer:
        asked_for.append(asked.outputs)
        return {"answer": right(asked)}

    outcome = searched("protegi", problem_of(handler, calls=None))

    assert outcome.score == 1.0
    assert {*asked_for} == {("answer",)}


@pytest.mark.parametrize(
    "option",
    [
        "beam=0",
        "rounds=0",
        "minibatch=0",
        "gradients=0",
        "errors=0",
        "paraphrases=-1",
        "successors=0",
        "pull_rounds=0",
        "pull_width=0",
        "pull_rows=0",
        "exploration=-0.1",
        "exploration=nan",
        "exploration=inf",
    ],
)
def test_an_option_out_of_its_range_is_refused(option: str) -> None:
    with pytest.raises(lp.InputError, match=option.split("=")[0]):
        named(f"protegi:{option}")


def test_the_defaults_are_the_papers() -> None:
    paper = Protegi(beam=4, rounds=6, minibatch=64, gradients=4, errors=4, paraphrases=2, successors=8)

    assert named("protegi") == paper
    assert (paper.pull_rounds, paper.pull_width, paper.pull_rows, paper.exploration) == (8, 8, 32, 1.0)


def test_no_more_successors_are_written_than_are_drawn() -> None:
    calls = Counter[str]()

    def handler(asked: Asked) -> Answer:
        if is_task(asked):
            return {"answer": "?"}
        calls["paraphrase" if "failures" not in asked.inputs else asked.outputs[0]] += 1
        return dict.fromkeys(asked.outputs, f"Text {calls.total()}.")

    events: list[Event] = []
    searched("protegi:rounds=1,successors=5", problem_of(handler, emit=events.append))

    (ended,) = [event.facts for event in events if isinstance(event, StageEnded)]
    assert calls["reason"] == calls["new_instruction"] == 4
    assert calls["paraphrase"] <= 5
    assert ended["new"] == 5


LEVELS = {f"Level {level}.": level for level in range(0, 100, 5)}
"""Candidates that are right on so many of 100 kinds of question."""
MANY = [{"question": f"ant {i}", "answer": f"A{i}"} for i in range(300)]


def bandit_search(bandit: Bandit, *, calls: int | None = None) -> tuple[Counter[str], Outcome]:
    """Let a bandit choose among 20 levels once; return on how many rows each was scored, and the outcome."""

    def handler(asked: Asked) -> Answer:
        luck = int(asked.inputs["question"].split()[1]) * 37 % 100
        return {"answer": right(asked) if luck < LEVELS.get(asked.instruction, 0) else "?"}

    rows, best = Counter[str](), list[str]()

    def follow(event: Event) -> None:
        if isinstance(event, CandidateScored) and event.round > 0:
            rows[event.params["predict"].instruction] += len(event.rows)

    problem = problem_for(
        lp.Predict(Lone), MANY[:1], MANY, exact_match("answer"), ScriptedLM(handler), calls=calls, emit=follow
    )
    start = params_of(problem.program)

    async def expand(number: int, members: Sequence[lp.Params], calls: float) -> list[Ask]:
        best[:] = [params["predict"].instruction for params in members]
        return [Ask(start.replace("predict", instruction=text)) for text in LEVELS] if number == 1 else []

    beam = Beam(problem, start, expand, bandit, beam=4, rounds=2)
    outcome = loop.run(search(problem, start, beam), instead="")
    assert {"Level 95.", "Level 90."} <= {*best}, "the best are in the next beam"
    return rows, outcome


def test_the_bandit_spends_rows_on_the_best_and_few_on_the_rest() -> None:
    rows, outcome = bandit_search(Bandit(rounds=12, width=4, rows=10, exploration=0.3))

    assert outcome.params["predict"].instruction == "Level 95."
    assert sum(rows.values()) == 12 * 4 * 10
    assert min(rows[f"Level {level}."] for level in (95, 90)) >= 50
    assert max(rows[f"Level {level}."] for level in range(0, 50, 5)) <= 20
    assert sum(rows.values()) < 0.1 * len(LEVELS) * len(MANY)


def test_more_exploration_spreads_the_rows() -> None:
    narrow, _ = bandit_search(Bandit(rounds=12, width=4, rows=10, exploration=0.1))
    wide, _ = bandit_search(Bandit(rounds=12, width=4, rows=10, exploration=30.0))

    assert max(wide.values()) <= 30 < max(narrow.values())
    assert min(wide[text] for text in LEVELS) >= 20


def test_where_calls_are_short_pulls_are_of_fewer_rows() -> None:
    rows, _ = bandit_search(Bandit(rounds=8, width=8, rows=32, exploration=0.3), calls=300 + 300 + 600)

    assert sum(rows.values()) <= 600
    assert min(rows[text] for text in LEVELS) >= 4


def case_text(run: Run, path: str = "take") -> str | None:
    found = case_of(problem_of(program=TwoSteps()), path, run)
    return None if found is None else line(found, without=("reasoning",))


ROW = {"question": "ant 0", "answer": "A0"}
TAKEN = Step("take", {"question": "ant 0"}, {"note": "n"})
REPLIED = Step("reply", {"question": "ant 0", "note": "n"}, {"reasoning": "so", "answer": "x"})


@pytest.mark.parametrize(
    ("run", "path", "text"),
    [
        (Run(ROW, "x", Score(0.0), (TAKEN,)), "take", "ant 0 -> got n , and in the end x , expected A0"),
        (
            Run(ROW, {"answer": "x"}, Score(0.0), (REPLIED,)),
            "reply",
            "question: ant 0 ; note: n -> got x , expected A0",
        ),
        (Run(ROW, None, Score(0.0, "no reply"), (TAKEN,)), "take", "ant 0 -> got n , because no reply"),
        (Run({"question": "ant 0"}, "x", Score(0.25), (TAKEN,)), "take", "ant 0 -> got n , which scores 0.25 of 1"),
        (
            Run(ROW, None, Score(0.0, "bad form"), (TAKEN, Step("take", {"question": "ant 1"}, {}, error="bad form"))),
            "take",
            "ant 1 -> got nothing that can be used , because bad form",
        ),
        (Run(ROW, "x", Score(0.0), (TAKEN,)), "reply", None),
    ],
)
def test_a_failure_says_what_was_given_what_came_and_what_is_known_to_be_right(
    run: Run, path: str, text: str | None
) -> None:
    assert case_text(run, path) == text


def test_an_edit_is_asked_for_by_the_failures_alone_where_no_reason_comes() -> None:
    seen: list[set[str]] = []

    def handler(asked: Asked) -> Answer:
        seen.append({*asked.inputs})
        return {"reason": ""} if asked.outputs == ("reason",) else {"new_instruction": "Better."}

    problem = problem_of(handler)
    run = Run(ROW, "x", Score(0.0), (Step("predict", {"question": "ant 0"}, {"answer": "x"}),))
    case = case_of(problem, "predict", run)
    assert case is not None
    made = loop.run(edited(problem, params_of(problem.program), "predict", [case], 0), instead="")

    assert made is not None
    assert made["predict"].instruction == "Better."
    assert seen == [{"instruction_text", "failures"}] * 2
