"""Script: prepare, act, verify, on word puzzles made by code."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.script import Script
from lmprog.testing import Answer, Asked, ScriptedLM

KNOWN = {
    "colour": ["red", "teal", "navy", "orange", "peach", "lime"],
    "fruit": ["apple", "banana", "cherry", "orange", "peach", "lime"],
    "machine": ["drill", "lathe", "press", "crane", "mill"],
    "bird": ["robin", "finch", "heron", "swift", "crane"],
    "language": ["python", "ruby", "java", "swift", "rust"],
}
"""What the puzzles are made of, and what the LM knows."""


class Connect(lp.Signature):
    """Sort the words into groups of three that have something in common."""

    words: list[str] = lp.InputField()
    groups: list[list[str]] = lp.OutputField()


def puzzle(kinds: Sequence[str], rng: Random) -> dict[str, Any]:
    """Three groups, of which no word stands in two."""
    while True:
        groups = [sorted(rng.sample(KNOWN[kind], 3)) for kind in kinds]
        words = [word for group in groups for word in group]
        if len(set(words)) == len(words) and len(list(solutions(words))) == 1:
            rng.shuffle(words)
            return {"words": words, "groups": sorted(groups)}


def solutions(words: Sequence[str]) -> Iterator[list[list[str]]]:
    """Every way to sort the words into groups of three of one kind each."""
    if not words:
        yield []
        return
    first, *others = sorted(words)
    for pair in combinations(others, 2):
        if any({first, *pair} <= set(known) for known in KNOWN.values()):
            for rest in solutions([word for word in others if word not in pair]):
                yield sorted([[first, *pair], *rest])


PUZZLES = [
    puzzle(kinds, Random(seed)) for seed, kinds in enumerate(combinations(KNOWN, 3))
]  # 10: every three of the five kinds


def right(row: Mapping[str, Any], prediction: Connect) -> bool:
    found = sorted(sorted(group) for group in prediction.groups)
    return found == cast("list[list[str]]", row["groups"])


def by_first_thought(words: Sequence[str]) -> list[list[str]]:
    """Put each word where it is first thought of, as an LM does that has noted nothing."""
    homes = [next(kind for kind, known in KNOWN.items() if word in known) for word in words]
    return [[word for word, home in zip(words, homes, strict=True) if home == kind] for kind in dict.fromkeys(homes)]


def player(asked: Asked) -> Answer:
    """An LM that knows all the words. It weighs a word's second home only where a note says which have one, or a refusal."""
    words: list[str] = json.loads(asked.inputs["words"])
    if asked.outputs == ("note",):
        if asked.inputs["notes"] == "[]":
            fits = {kind: [word for word in words if word in known] for kind, known in KNOWN.items()}
            return {"note": "\n".join(f"{kind}: {' '.join(some)}" for kind, some in fits.items() if len(some) > 2)}
        [listed] = json.loads(asked.inputs["notes"])
        counts = {word: sum(word in line.split() for line in listed.splitlines()) for word in words}
        return {"note": "in two: " + " ".join(word for word, count in counts.items() if count > 1)}
    warned = "in two: " in asked.inputs.get("notes", "") or asked.inputs.get("refused", "[]") != "[]"
    groups = next(solutions(words)) if warned else by_first_thought(words)
    return {"reasoning": "I see some groups.", "groups": groups}


def of_three(prediction: Connect) -> str | None:
    wrong = [group for group in prediction.groups if len(group) != 3]
    return f"{wrong[0]} has not three words." if wrong else None


def all_words(prediction: Connect) -> str | None:
    said = sorted(word for group in prediction.groups for word in group)
    return None if said == sorted(prediction.words) else "Use every word once, and no other."


STAGES = {"brainstorm": "List every group that three words could make.", "discern": "Say which words fit two groups."}
CHECKS = [all_words, of_three]


def test_staged_preparation_solves_more_puzzles_than_one_chain_of_thought_of_the_same_lm() -> None:
    chain = lp.evaluate(lp.ChainOfThought(Connect), PUZZLES, right, lm=ScriptedLM(player))
    script = lp.evaluate(Script(Connect, STAGES, CHECKS), PUZZLES, right, lm=ScriptedLM(player))

    assert (chain.score, script.score) == (0.3, 1.0)  # in seven puzzles a word stands where it is not thought of first
    assert all([step.predictor for step in run.trace] == PATHS for run in script.runs)


PATHS = ["stages['brainstorm']", "stages['discern']", "act"]


def test_a_stage_reads_the_notes_before_it_and_the_act_reads_all() -> None:
    [run] = lp.evaluate(Script(Connect, STAGES), PUZZLES[:1], right, lm=ScriptedLM(player)).runs

    brainstormed, discerned = (step.outputs["note"] for step in run.trace[:2])
    assert [step.inputs["notes"] for step in run.trace] == [[], [brainstormed], [brainstormed, discerned]]


def test_without_notes_a_check_that_refuses_leads_to_a_second_try_that_knows_why() -> None:
    hard = [row for row in PUZZLES if sorted(map(sorted, by_first_thought(row["words"]))) != row["groups"]]

    found = lp.evaluate(Script(Connect, {}, CHECKS), hard, right, lm=ScriptedLM(player))

    assert len(hard) == 7 and found.score == 1.0
    for run in found.runs:
        first, second = run.trace
        refused = "\n".join(cast("list[str]", second.inputs["refused"]))
        assert first.inputs["refused"] == [] and refused.startswith(f"groups: {json.dumps(first.outputs['groups'])}")
        assert refused.endswith("has not three words.")
        assert (first.kept, second.kept) == (False, True)  # no demo is made of a try that was refused


def test_an_output_that_no_try_mends_never_reaches_the_caller() -> None:
    lm = ScriptedLM(lambda asked: {"groups": [["red", "teal"]]})

    with lp.using(lm=lm), pytest.raises(lp.OutputError, match=r"none of 2 tries passed the checks") as caught:
        Script(Connect, {}, CHECKS, tries=2)(words=["red", "teal", "navy"])

    assert caught.value.reason == "Use every word once, and no other. ['red', 'teal'] has not three words."
    assert lm.sent == 2


def test_a_reply_that_cannot_be_read_is_a_try_that_failed() -> None:
    replies: Iterator[Answer] = iter(["I cannot.", "I cannot.", {"groups": [["red", "teal", "navy"]]}])

    with lp.using(lm=ScriptedLM(lambda asked: next(replies))):
        found = Script(Connect, {}, CHECKS)(words=["red", "teal", "navy"])

    assert type(found) is Connect and found.groups == [["red", "teal", "navy"]]


def test_the_scene_stands_before_every_instruction_and_each_stage_knows_the_task() -> None:
    program = Script(Connect, STAGES, scene="You are on stage.")

    told = [value.instruction for value in lp.params_of(program).values()]

    task = "Sort the words into groups of three that have something in common."
    stages = [f"You are on stage.\n\n{how}\n\nThe task that this prepares: {task}" for how in STAGES.values()]
    assert told == [*stages, f"You are on stage.\n\n{task}"]


def test_what_all_strategies_promise(tmp_path: Path) -> None:
    rows = [row for row in PUZZLES if sorted(map(sorted, by_first_thought(row["words"]))) != row["groups"]]
    program = Script(Connect, STAGES, tries=1)

    check_strategy(program, rows, right, player_by_notes, path=PATHS[0], bad={"note": ""}, folder=tmp_path)


def player_by_notes(asked: Asked) -> Answer:
    """Plays as its notes tell, whatever the instruction: in the compiled program the first stage has another."""
    if asked.outputs == ("note",) and asked.inputs["notes"] == "[]":
        return {"note": "look twice"}
    if asked.outputs == ("groups",) and "look twice" not in asked.inputs["notes"]:
        return {"groups": by_first_thought(json.loads(asked.inputs["words"]))}
    return {"note": "in two: some"} if asked.outputs == ("note",) else player(asked)


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.InputError, match=r"tries=0: the act is played once at least. Write tries=1"):
        Script(Connect, {}, tries=0)
    with pytest.raises(lp.InputError, match=r"tries='3'"):
        Script(Connect, {}, tries="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.InputError, match=r"stages=\['think'\]: write what to do by name"):
        Script(Connect, ["think"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.InputError, match=r"checks=.* write a list of functions"):
        Script(Connect, {}, fine)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with lp.using(lm=ScriptedLM(player)), pytest.raises(lp.InputError, match="Write each input by name"):
        Script(Connect, {})(PUZZLES[0]["words"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(lp.SignatureError, match="has a field called `notes`"):
        Script("notes -> answer", STAGES)
    with (
        lp.using(lm=ScriptedLM(player)),
        pytest.raises(lp.InputError, match=r"the check fine returned True. Return None where"),
    ):
        Script(Connect, {}, [fine])(words=PUZZLES[0]["words"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def fine(prediction: Connect) -> bool:
    return True


HARD = [row for row in PUZZLES if sorted(map(sorted, by_first_thought(row["words"]))) != row["groups"]]


@pytest.mark.parametrize(("path", "bad"), [(PATHS[1], {"note": "None."}), (PATHS[2], {"groups": []})])
def test_later_stages_and_the_act_are_compiled_too(path: str, bad: Answer, tmp_path: Path) -> None:
    check_strategy(Script(Connect, STAGES, tries=1), HARD, right, player, path=path, bad=bad, folder=tmp_path)


def test_it_is_what_the_notes_say_that_solves_puzzles() -> None:
    idle = {"greet": "Say hello.", "wait": "Say nothing of use."}

    def talkative(asked: Asked) -> Answer:
        told = asked.outputs == ("note",) and asked.instruction.startswith((idle["greet"], idle["wait"]))
        return {"note": "Hello."} if told else player(asked)

    prepared, chatted = (
        lp.evaluate(Script(Connect, stages, CHECKS, tries=1), PUZZLES, right, lm=ScriptedLM(talkative)) for stages in (STAGES, idle)
    )  # fmt: skip

    assert prepared.score == 1.0
    assert chatted.score == 0.3 and len(chatted.failures) == 7  # what no check passed did not get out
