"""TreeInOne: a whole tree search in one reply."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog import loop
from lmprog.optimizers.propose.demos import Success, bootstrap
from lmprog.optimizers.train.examples import examples
from lmprog.params import Demo
from lmprog.strategies.tree_in_one import Thought, TreeInOne, trajectory
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for


class Reach(lp.Signature):
    """Reach the target from the start by adding 3 and doubling."""

    start: int = lp.InputField()
    target: int = lp.InputField()
    path: list[int] = lp.OutputField(desc="every number after the start, the target last")


class Propose(lp.Signature):
    """Name the numbers that come next, by adding 3 and by doubling."""

    number: int = lp.InputField()
    target: int = lp.InputField()
    numbers: list[int] = lp.OutputField()


class OutsideSearch(lp.Module):
    """Tree of thoughts: the search is code, and the LM is asked for the next numbers of one number at a time."""

    def __init__(self) -> None:
        self.propose = lp.Predict(Propose)

    def forward(self, start: int, target: int) -> list[int]:
        paths, seen = [[start]], {start}
        for path in paths:  # it grows: breadth first
            for number in self.propose(number=path[-1], target=target).numbers:
                if number == target:
                    return [*path[1:], number]
                if number < target and number not in seen:
                    seen.add(number)
                    paths.append([*path, number])
        return []


ROWS = [{"start": start, "target": target} for start, target in [(2, 7), (2, 10), (1, 10), (1, 11)]]


def right(row: dict[str, int], prediction: Any) -> bool:
    path: list[int] = getattr(prediction, "path", prediction)
    numbers = [row["start"], *path]
    steps = [after in (before + 3, 2 * before) for before, after in pairwise(numbers)]
    return numbers[-1] == row["target"] and all(steps)


def greedy(start: int, target: int) -> list[int]:
    """The way of an LM that never goes back: the largest step that does not pass the target."""
    path = [start]
    while steps := [after for after in (path[-1] + 3, 2 * path[-1]) if after <= target]:
        path.append(max(steps))
    return path[1:]


def search(start: int, target: int, *, depth_first: bool) -> list[dict[str, Any]]:
    """The thoughts of an LM that keeps the books."""
    thoughts: list[dict[str, Any]] = []
    waiting: list[tuple[int | None, int]] = [(None, start + 3), (None, 2 * start)]
    waiting = waiting[:: -1 if depth_first else 1]
    while not thoughts or thoughts[-1]["verdict"] != "solution":
        parent, number = waiting.pop(-1 if depth_first else 0)
        verdict = "solution" if number == target else "go on" if number < target else "dead end"
        place = len(thoughts)
        thoughts.append({"number": place, "parent": parent, "step": str(number), "verdict": verdict})
        if verdict == "go on":
            waiting += [(place, number + 3), (place, 2 * number)][:: -1 if depth_first else 1]
    return thoughts


def way(thoughts: list[dict[str, Any]]) -> list[int]:
    """The numbers that lead to the last thought."""
    thought = thoughts[-1]
    before = [] if thought["parent"] is None else way(thoughts[: thought["parent"] + 1])
    return [*before, int(thought["step"])]


def player(asked: Asked) -> Answer:
    """An LM that can search if told to write the search down, and else takes one path."""
    target = int(asked.inputs["target"])
    if asked.outputs == ("numbers",):
        number = int(asked.inputs["number"])
        return {"numbers": [number + 3, 2 * number]}
    start = int(asked.inputs["start"])
    if "trajectory" not in asked.outputs:
        return {"reasoning": "Step by step.", "path": greedy(start, target)}
    found = search(start, target, depth_first="depth first" in asked.instruction)
    return {"trajectory": found, "path": way(found)}


def test_one_call_beats_a_chain_of_thought_and_takes_fewer_calls_than_a_search_by_code() -> None:
    programs: list[Any] = [lp.ChainOfThought(Reach), TreeInOne(Reach), OutsideSearch()]

    chain, tree, outside = (lp.evaluate(program, ROWS, right, lm=ScriptedLM(player)) for program in programs)

    calls = [found.spent.total_requested.calls for found in (chain, tree, outside) if found.spent]
    assert [found.score for found in (chain, tree, outside)] == [0.5, 1.0, 1.0]  # to 7 and to 10 the greedy gets stuck
    assert calls == [4, 4, 3 + 2 + 3 + 5]  # 2 5 4, 2 5, 1 4 7 (on the way to 10, 2 was asked about), 1 4 2 7 8


@pytest.mark.parametrize(
    ("strategy", "steps"), [("bfs", ["5", "4", "8", "10", "7"]), ("dfs", ["5", "8", "10", "4", "7"])]
)
def test_the_trajectory_is_typed_and_follows_the_strategy_asked_for(strategy: Any, steps: list[str]) -> None:
    program = TreeInOne(Reach, strategy)

    with lp.using(lm=ScriptedLM(player)):
        found = program(start=2, target=7)

    assert type(found) is Reach and found.path == [4, 7]
    assert [thought.step for thought in trajectory(found)] == steps
    assert trajectory(found)[-1] == Thought(number=4, parent=steps.index("4"), step="7", verdict="solution")


@pytest.mark.parametrize(
    ("thoughts", "complaint"),
    [
        ([(0, None), (2, 0)], "the thought at place 1 has the number 2: number them from 0, in order"),
        ([(0, None), (1, 1)], "thought 1 goes on from 1, which is no thought before it"),
        ([(0, -1)], "thought 0 goes on from -1, which is no thought before it"),
    ],
)
def test_a_trajectory_that_is_no_tree_is_asked_for_again(
    thoughts: list[tuple[int, int | None]], complaint: str
) -> None:
    wrong = [{"number": n, "parent": parent, "step": "5", "verdict": "go on"} for n, parent in thoughts]
    complaints: list[str] = []

    def sloppy(asked: Asked) -> Answer:
        complaints.append(asked.request.messages[-1].text)
        return player(asked) if len(complaints) > 1 else {"trajectory": wrong, "path": [4, 7]}

    with lp.using(lm=ScriptedLM(sloppy)):
        found = TreeInOne(Reach)(start=2, target=7)

    assert len(complaints) == 2 and complaint in complaints[1]
    assert len(trajectory(found)) == 5


def test_fine_tuning_learns_the_trajectory_of_a_run_that_was_right() -> None:
    program = TreeInOne(Reach)
    [run, *_] = lp.evaluate(program, ROWS, right, lm=ScriptedLM(player)).runs
    problem = problem_for(program, ROWS, ROWS, right, ScriptedLM(player))
    outputs = {name: run.trace[0].outputs[name] for name in ("trajectory", "path")}
    demo = Demo(inputs=ROWS[0], outputs=json.loads(json.dumps(outputs, default=lambda thought: thought.model_dump())))

    [example] = examples(problem, lp.params_of(program), [Success(0, {"search": (demo,)})])

    assert '"step":"7","verdict":"solution"' in example.reply.replace('": ', '":').replace(', "', ',"')
    assert example.reply.index("[[ trajectory ]]") < example.reply.index("[[ path ]]")


def test_an_exemplar_of_the_own_task_is_shown() -> None:
    thoughts = search(2, 7, depth_first=False)
    demo = lp.Demo(inputs={"start": 2, "target": 7}, outputs={"trajectory": thoughts, "path": [4, 7]})
    shown: list[int] = []

    def seen(asked: Asked) -> Answer:
        shown.append(len(asked.demos))
        return player(asked)

    with lp.using(lm=ScriptedLM(seen)):
        TreeInOne(Reach, demos=[demo])(start=1, target=10)

    assert shown == [1]


def test_what_all_strategies_promise(tmp_path: Path) -> None:
    wrong: Answer = {"trajectory": [], "path": []}
    check_strategy(TreeInOne(Reach), ROWS, right, player, path="search", bad=wrong, folder=tmp_path)


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.InputError, match='strategy=\'best\': write "bfs" for breadth first, or "dfs"'):
        TreeInOne(Reach, "best")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(lp.SignatureError, match=r"has a field called `trajectory`, a name that .* Rename it"):
        TreeInOne("question -> trajectory")
    with pytest.raises(lp.OutputError, match="Reach holds no trajectory"):
        trajectory(Reach(start=1, target=2))


def in_order(asked: Asked) -> Answer:
    """An LM that writes field by field: it knows the way only once the search is written down."""
    fields = [*asked.outputs]
    if "trajectory" in fields and fields.index("trajectory") > fields.index("path"):
        found = search(int(asked.inputs["start"]), int(asked.inputs["target"]), depth_first=False)
        return {"trajectory": found, "path": greedy(int(asked.inputs["start"]), int(asked.inputs["target"]))}
    return player(asked)


@pytest.mark.parametrize("strategy", ["bfs", "dfs"])
def test_either_strategy_has_the_search_written_before_the_answer_that_it_leads_to(strategy: Any) -> None:
    chain, tree = (
        lp.evaluate(one, ROWS, right, lm=ScriptedLM(in_order)) for one in (lp.ChainOfThought(Reach), TreeInOne(Reach, strategy))
    )  # fmt: skip

    assert (chain.score, tree.score) == (0.5, 1.0)
    assert tree.spent and tree.spent.total_requested.calls == len(ROWS)


@pytest.mark.parametrize(("strategy", "parents"), [("bfs", [None, None, 0, 0, 1]), ("dfs", [None, 0, 0, None, 3])])
def test_the_instruction_shows_a_search_of_another_task_in_the_order_asked_for(strategy: Any, parents: Any) -> None:
    instruction = lp.params_of(TreeInOne(Reach, strategy))["search"].instruction

    shown = [Thought.model_validate_json(line) for line in instruction.splitlines() if line.startswith("{")]

    assert [thought.number for thought in shown] == [0, 1, 2, 3, 4] and shown[-1].verdict == "solution"
    assert [thought.parent for thought in shown] == parents


def test_there_are_tokens_for_a_whole_search() -> None:
    allowed: list[int] = []

    def heard(asked: Asked) -> Answer:
        allowed.append(asked.request.max_tokens)
        return player(asked)

    with lp.using(lm=ScriptedLM(heard)):
        for program in (TreeInOne(Reach), TreeInOne(Reach, max_tokens=300)):
            program(start=2, target=7)

    assert allowed == [2048, 300]


def test_searches_that_led_to_a_right_answer_and_no_others_become_training_examples() -> None:
    def hasty(asked: Asked) -> Answer:
        replied = player(asked)
        return {**replied, "path": [11]} if asked.inputs["target"] == "11" and isinstance(replied, dict) else replied

    program = TreeInOne(Reach, "dfs")
    problem = problem_for(program, ROWS, ROWS, right, ScriptedLM(hasty))
    params = lp.params_of(program)

    successes = loop.run(bootstrap(problem, params, wanted=4, attempts=1, share=1.0), instead="await")
    taught = examples(problem, params, successes)

    assert sorted(example.row for example in taught) == [0, 1, 2]
    for example in taught:
        assert example.path == "search" and "depth first" in example.request.messages[0].text
        assert example.reply.count('"verdict"') == len(search(**ROWS[example.row], depth_first=True))
