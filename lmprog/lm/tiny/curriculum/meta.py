"""Tasks about tasks: to find, reword, mend and apply an instruction, as an optimizer asks its proposer to.

The fields are those of the requests in `lmprog.optimizers.propose`, so that these requests are ones it was trained on.
"""

import json
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random

from lmprog.lm.tiny.curriculum.example import NAMES, REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import listed, name

FAMILY = "meta"

Maker = Callable[[Random, bool], Task]
"""Makes a fresh task, such as a label map; held: from what training never shows."""

FRESH = 0.22
"""How often a task about tasks takes a fresh one, where makers are given."""
CHARACTERS = 1300
"""At most so many of examples or rows, of which at least one is shown."""

_UNCLEAR = (
    "Do the task.", "Answer.", "Write the output.", "Produce the answer.", "Given `text`, write `answer`.",
    "Given the fields `text`, produce the fields `answer`.", "Process the text.", "Respond to the input.",
)  # fmt: skip
"""Instructions that tell nothing, to be bettered."""

_TIPS = (
    "Be creative: find a wording that nobody would think of first.",
    "Keep it short and clear.",
    "Say in detail what counts as a good output.",
    "Give the LM a fitting role, such as an expert of the field.",
    "Say what would go wrong if the output were careless.",
    "Say exactly what form the output must have.",
    "Name the fields.",
    "Use simple words.",
)


def induce(tasks: Sequence[Task], fresh: Sequence[Maker] = (), *, rows: float = 0.25) -> Task:
    """Examples of a task, as pairs or, at the rate `rows`, as rows of JSON, to an instruction that states it."""
    choose = _chooser(tasks, fresh)

    def draw(rng: Random, held: bool) -> Turn:
        task = choose(rng, held)
        turns = _turns(task, rng, held, _enough(task, rng))
        shown = {"examples": _pairs(turns)}
        if rng.random() < rows:
            shown = {"rows": _rows(_renamed(turns, task, rng))}
        return Turn(shown, {"instruction_text": _wording(task, rng)})

    return _meta_task(
        "induce",
        draw,
        """Given the examples, write the instruction.
Write the instruction that explains the examples.
Describe the task shown by the examples.
State the rule that turns inputs into outputs.
Propose an instruction for this task.
Find the instruction that these examples follow.
Look at the examples and write down the instruction.
What instruction do the examples follow?
Guess the task from the examples.
Each example shows an input and its output. Write the instruction that fits them all.
Name the task that these examples belong to.
Which instruction makes these outputs from these inputs? Write it.
Somebody did a task and left these examples. State the task as an instruction.
Put the rule of the examples into words.
Instruction for the examples:
Infer the instruction from what was given and what was written.
Write one sentence that tells how to get each output from its input.
The instruction is missing. Restore it with the help of the examples.
From inputs and outputs, derive the instruction.
How would you instruct somebody to write these outputs?
--
Say what was asked for in the examples.
Work out the instruction behind the examples.
Tell what has to be done, judging by the examples.""",
        1.8,
    )


def propose(tasks: Sequence[Task], fresh: Sequence[Maker] = ()) -> Task:
    """All that a proposer is told of one step of a program to an instruction for it."""
    choose, related = _chooser(tasks, fresh), _Related(tasks)

    def draw(rng: Random, held: bool) -> Turn:
        task = choose(rng, held)
        turns = _renamed(_turns(task, rng, held, _enough(task, rng)), task, rng)
        wording, given = _wording(task, rng), rng.random()
        parts = rng.choice(_PARTS)
        told = "examples" in parts or "data_summary" in parts
        present = rng.choice(_UNCLEAR) if told and given < 0.4 else _any_wording(task, rng, held)
        if "examples" in parts and given > 0.85:
            present = _any_wording(related.to(task, rng), rng, held)
        stated = "examples" not in parts or rng.random() < 0.5
        step = _step(rng, turns[0])
        made = {
            "program": lambda: _program(rng, turns[0], *step),
            "step": lambda: step[1],
            "data_summary": lambda: _summary(turns, task, _wording(task, rng) if stated else ""),
            "examples": lambda: _pairs(turns),
            "instruction_text": lambda: present,
            "tip": lambda: rng.choice(_TIPS),
        }
        return Turn({part: made[part]() for part in parts}, {"new_instruction": wording})

    return _meta_task(
        "propose",
        draw,
        """Write a better instruction for one step of a language-model program, so that the program's final answers are right more often. Use all that is given here. Say what the step must write and in what form. Reply with the instruction alone, as it will be shown to the model.
Write a better instruction.
Improve the instruction of the step, using all that is given.
Propose a new instruction for the step of the program.
Use what is given to write the instruction that the step needs.
Write the instruction for the step.
Write a new instruction that serves the step better.
What should the instruction of the step be? Write it.
Read all that is given on the step and write its next instruction.
The step of a program needs an instruction. Write it, and nothing else.
Rewrite the instruction so that the step does its task right.
Draft an instruction that states the task of the step and the form of what it writes.
Make the instruction of this step precise.
You are given a step and what is known of it. Suggest a better instruction.
New instruction for the step:
Instruct the model that runs the step: say what it must write.
A model will run the step with your instruction. State the task in it.
Find out what the step has to do, then put that into one instruction.
Suggest the wording of the step's instruction.
Come up with an instruction under which the step gives right outputs.
--
From all this, work out a better instruction for the step.
Tell the step what to do in a new instruction.
Give an improved instruction that fits the examples and the data.""",
        1.0,
    )  # fmt: skip


def paraphrase(tasks: Sequence[Task], fresh: Sequence[Maker] = ()) -> Task:
    """An instruction to another wording of it; held: from a wording that training never shows."""
    choose = _chooser(tasks, fresh)

    def draw(rng: Random, held: bool) -> Turn:
        task = choose(rng, held)
        given = _any_wording(task, rng, held)
        others = [wording for wording in task.precise if wording != given] or [given]
        return Turn({"instruction_text": given}, {"new_instruction": rng.choice(others)})

    return _meta_task(
        "paraphrase",
        draw,
        """Rewrite the instruction in other words.
Paraphrase the instruction.
Write another wording of the instruction.
Say the same instruction differently.
Reword the instruction and keep its meaning.
Give a new wording of the same instruction.
Say it in other words.
Write the instruction once more, worded in a new way.
How else can the instruction be said?
Find a second way to ask for the same task.
Restate the instruction.
Write an instruction that asks for exactly the same, but reads differently.
Rephrase what the instruction says.
Leave the task as it is, but say it with new words.
The same task, other words:
Word the instruction anew without adding or losing anything.
Produce a variant of the instruction.
Ask for the same thing with another sentence.
Compose a sentence with the same meaning as the instruction.
--
Express the instruction in different words.
Put the instruction another way.
Change the wording of the instruction, not its meaning.""",
        1.0,
        large=False,
    )


def critique(tasks: Sequence[Task], fresh: Sequence[Maker] = ()) -> Task:
    """An instruction that is wrong, unclear or cut short, with what went wrong, to one that states the task."""
    choose, related = _chooser(tasks, fresh), _Related(tasks)

    def draw(rng: Random, held: bool) -> Turn:
        task, kind = choose(rng, held), rng.random()
        if kind < 0.45:
            faulty = _any_wording(related.to(task, rng), rng, held)
        elif kind < 0.75:
            faulty = rng.choice(_UNCLEAR)
        else:
            faulty = _cut(_any_wording(task, rng, held))
        turns = _turns(task, rng, held, _enough(task, rng))
        failures = " | ".join(
            f"{_given(turn)} -> got {_wrong(task, turn, rng, held)} , expected {_right(turn)}" for turn in turns
        )
        return Turn({"instruction_text": faulty, "failures": failures}, {"new_instruction": _wording(task, rng)})

    return _meta_task(
        "critique",
        draw,
        """The instruction fails on these examples. Write a better one.
Correct the instruction so that the expected outputs are right.
Mend the instruction, given what it got wrong.
Read the failures and write the instruction that is needed.
Write an instruction that gives the expected outputs.
Improve the instruction, using its failures.
Fix the instruction.
What should the instruction have been? Write it.
The outputs are wrong because of the instruction. Write the right one.
Look at what was got and what was expected, and correct the instruction.
Rewrite the instruction so that what is got becomes what is expected.
Learn from the failures and write a new instruction.
Debug the instruction with these failures.
This instruction led to wrong outputs. State the task as it should be stated.
Instruction that would have worked:
Use the expected outputs to find the task, and write its instruction.
Given an instruction and where it failed, write one that does not fail.
Change the instruction until it fits every expected output.
Something is wrong with the instruction. Find the real task and state it.
--
Repair the faulty instruction with the help of the failures.
See what went wrong and state the right instruction.
Replace the instruction by one that avoids these failures.""",
        1.0,
        names={"failures": ("failures", "failures", "errors", "mistakes")},
    )


def judge(tasks: Sequence[Task], fresh: Sequence[Maker] = ()) -> Task:
    """An instruction, an input and two answers to which of them is right."""
    choose = _chooser(tasks, fresh)

    def draw(rng: Random, held: bool) -> Turn:
        task = choose(rng, held)
        turn = task.draw(rng, held)
        answers = [_right(turn), _wrong(task, turn, rng, held)]
        right = rng.randrange(2)
        if right:
            answers.reverse()
        inputs = {"instruction_text": _any_wording(task, rng, held), "text": _given(turn)}
        return Turn({**inputs, "first": answers[0], "second": answers[1]}, {"answer": ("first", "second")[right]})

    return _meta_task(
        "judge",
        draw,
        """Say which answer follows the instruction, first or second.
Which answer is right, first or second?
Judge the two answers: write first or second.
Answer first if the first answer is right and second if the second is.
Compare the two answers and name the right one, first or second.
Pick the answer that the instruction asks for, first or second.
First or second: which is the right answer?
One answer is right and one is wrong. Write first or second for the right one.
Does the first or the second answer do what the instruction says? Write first or second.
Check both answers against the instruction and write first or second.
Write first if the first answer obeys the instruction, else second.
Apply the instruction to the input and say whether first or second agrees with the result.
You are the judge of two answers. Reply first or second.
Find the correct answer of the two, and write its place: first or second.
Of the two answers only one is what was asked for. Is it the first or the second?
Mark the right answer: first or second.
Reply second if the second answer is the right one, otherwise first.
Vote for one of the two answers, first or second, as the instruction demands.
Who did the task right? Answer first or second.
--
Decide which of the answers is correct, first or second.
Tell which answer is better, first or second.
Choose between first and second by the instruction.""",
        1.2,
        labels=("first", "second"),
        names={"text": ("input", "text", "question")},
        large=False,
    )


def describe(tasks: Sequence[Task], fresh: Sequence[Maker] = ()) -> Task:
    """Rows of data to a summary: what is given, what is asked, and what answers look like."""
    choose = _chooser(tasks, fresh)

    def draw(rng: Random, held: bool) -> Turn:
        task = choose(rng, held)
        turns = _renamed(_turns(task, rng, held, 10 if rng.random() < 0.4 else rng.randint(3, 9)), task, rng)
        return Turn({"rows": _rows(turns)}, {"summary": _summary(turns, task, _wording(task, rng))})

    return _meta_task(
        "describe",
        draw,
        """Describe in two or three sentences what these rows are about, what is asked, and what answers look like.
Describe the rows.
Summarize the data.
Say what the rows are about and what is asked.
Write a summary of the rows and their task.
Tell what the data holds and what answers look like.
What are these rows about? Describe them.
Look at the rows and describe the data.
State what each row has, what its answers are, and what the task is.
Report in a few sentences on the rows, their fields and their task.
Tell somebody who has not seen the rows what is in them and what is asked.
Say which fields the rows have, what the last one looks like, and what has to be done.
Data summary:
Write down what you notice about the rows.
Characterize the rows and the task behind them.
Read the rows, then write a summary.
Describe the fields, the answers and the task.
These rows are from a data set. Describe that data set.
In a few sentences, what do the rows show?
--
Give a short description of the data.
Sum up what these rows have in common.
Explain the rows: what is given, and what is wanted.""",
        0.8,
    )


MAKERS: Sequence[Callable[[Sequence[Task], Sequence[Maker]], Task]] = (
    induce, propose, paraphrase, critique, judge, describe
)  # fmt: skip


def naming(task: Task, turns: Sequence[Turn], rng: Random) -> Mapping[str, str]:
    """Return a name for each field, different ones, under which an example shows it."""
    names: dict[str, str] = {}
    for turn in turns:
        for own in (*turn.inputs, *turn.outputs):
            if own not in names:
                known = task.names.get(own) or NAMES.get(own, (own,))
                called = known[0] if rng.random() < 0.3 else rng.choice(known)
                if called in names.values():
                    called = next((other for other in known if other not in names.values()), f"{own}_2")
                names[own] = called
    return names


def renamed(turn: Turn, names: Mapping[str, str]) -> Turn:
    """Return the turn with its fields under those names."""
    return Turn(
        {names[own]: value for own, value in turn.inputs.items()},
        {names[own]: value for own, value in turn.outputs.items()},
    )


_PARTS: Sequence[Sequence[str]] = (
    ("program", "step", "data_summary", "examples", "instruction_text", "tip"),
    ("step", "examples", "instruction_text", "tip"),
    ("program", "step", "data_summary", "instruction_text", "tip"),
    ("step", "data_summary", "examples", "tip"),
)
"""What the settings of the grounded proposer show, in its order."""


class _Related:
    """Tasks of the same sort as another, which an instruction may be mistaken for."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._by_family: dict[str, list[Task]] = {}
        for task in tasks:
            self._by_family.setdefault(task.family, []).append(task)

    def to(self, task: Task, rng: Random) -> Task:
        """Return one; of any sort where there is no other of the same."""
        others = self._by_family.get(task.family, [])
        for _ in range(4):
            found = rng.choice(others if len(others) > 1 else self._tasks)
            if found.name != task.name:
                return found
        return task


def _meta_task(
    name: str,
    draw: Callable[[Random, bool], Turn],
    wordings: str,
    weight: float,
    *,
    labels: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    large: bool = True,
) -> Task:
    precise, held = (tuple(part.split("\n")) for part in wordings.split("\n--\n"))
    return Task(name, FAMILY, draw, precise, held, weight, labels, names or {}, large=large)


def _chooser(tasks: Sequence[Task], fresh: Sequence[Maker]) -> Maker:
    steps = list(accumulate(task.weight for task in tasks))

    def choose(rng: Random, held: bool) -> Task:
        if fresh and rng.random() < FRESH:
            return rng.choice(fresh)(rng, held)
        return tasks[min(bisect(steps, rng.random() * steps[-1]), len(tasks) - 1)]

    return choose


def _wording(task: Task, rng: Random) -> str:
    """Return a trained wording, the earlier ones more often, so that one of them is the likeliest to be written."""
    return task.precise[int(len(task.precise) * rng.random() ** 2)]


def _any_wording(task: Task, rng: Random, held: bool) -> str:
    return rng.choice(task.held if held else task.precise)


def _enough(task: Task, rng: Random) -> int:
    """Return how many examples to show: mostly as many as the proposer does, and one of each class where few do."""
    count = rng.choice((2, 3, 3)) if task.large else rng.choice((3, 3, 3, 4, 5, 6))
    return max(count, min(len(task.labels), 4))


def _turns(task: Task, rng: Random, held: bool, count: int) -> Sequence[Turn]:
    """Return turns without reasoning, with different answers as far as that is cheap, which tells tasks apart."""
    found: list[Turn] = []
    seen: set[str] = set()
    length = 0
    for _ in range(count + 4):
        turn = _bare(task.draw(rng, held))
        answer = _right(turn)
        if answer in seen and len(seen) < (len(task.labels) or count):
            continue
        length += len(answer) + sum(map(len, turn.inputs.values()))
        if found and length > CHARACTERS:
            break
        seen.add(answer)
        found.append(turn)
        if len(found) == count:
            break
    return found or [_bare(task.draw(rng, held))]


def _bare(turn: Turn) -> Turn:
    if REASONING not in turn.outputs or len(turn.outputs) == 1:
        return turn
    return Turn(turn.inputs, {name: value for name, value in turn.outputs.items() if name != REASONING})


def _renamed(turns: Sequence[Turn], task: Task, rng: Random) -> Sequence[Turn]:
    names = naming(task, turns, rng)
    return [renamed(turn, names) for turn in turns]


def _given(turn: Turn) -> str:
    return " ; ".join(turn.inputs.values())


def _right(turn: Turn) -> str:
    return " ; ".join(turn.outputs.values())


def _pairs(turns: Sequence[Turn]) -> str:
    return " | ".join(f"{_given(turn)} -> {_right(turn)}" for turn in turns)


def _rows(turns: Sequence[Turn]) -> str:
    """Return the rows as JSON, as the proposer shows them, on the one line that they become."""
    return " ".join(
        json.dumps({**turn.inputs, **turn.outputs}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        for turn in turns
    )


def _wrong(task: Task, turn: Turn, rng: Random, held: bool) -> str:
    """Return an answer that looks like the right one and is not."""
    right = _right(turn)
    if task.labels and len(turn.outputs) == 1:
        return rng.choice([label for label in task.labels if label != right] or ["none"])
    if rng.random() < 0.6 or len(right) > 40:
        for _ in range(3):
            other = _right(_bare(task.draw(rng, held)))
            if other != right:
                return other
    words = [word for word in _given(turn).split() if word not in (right, ",", ".", "?", ";")]
    return rng.choice(words) if words else "none"


def _cut(wording: str) -> str:
    """Return about the first half of an instruction."""
    words = wording.rstrip(".?").split()
    return " ".join(words[: max(2, len(words) // 2)]) + "."


def _step(rng: Random, turn: Turn) -> tuple[str, str]:
    """Return the path of a step, and what it reads and writes, as the proposer says it."""
    path = rng.choice(("predict", "answer", "step", "classify", "write", "self", name(rng).lower()))
    return path, f"`{path}` reads {', '.join(turn.inputs)} and writes {', '.join(turn.outputs)}"


def _program(rng: Random, turn: Turn, path: str, step: str) -> str:
    """Return the source of a program of one step, on the one line that it becomes."""
    if path == "self" or rng.random() < 0.4:
        return step
    inputs, made = ", ".join(turn.inputs), name(rng)
    passed = ", ".join(f"{field}={field}" for field in turn.inputs)
    return (
        f"class {made}(Module): def __init__(self): self.{path} = Predict(Write{made}) "
        f"def forward(self, {inputs}): return self.{path}({passed}) {step}"
    )


def _summary(turns: Sequence[Turn], task: Task, wording: str) -> str:
    answers = [_right(turn) for turn in turns]
    *_, last = turns[0].outputs
    look = listed(sorted(set(answers))) if task.labels else _look(answers)
    summary = f"Each row has {listed(list(turns[0].inputs))} and {last} , which is {look} ."
    return f"{summary} The task : {wording}" if wording else summary


def _look(answers: Sequence[str]) -> str:
    """Return what the answers are."""
    if all(answer.isdigit() for answer in answers):
        return "a number"
    if all(len(answer) == 1 for answer in answers):
        return "a letter"
    if all(" " not in answer for answer in answers):
        return "one word"
    if all(answer.endswith((".", "?", "!")) for answer in answers):
        return "a sentence"
    return "a few words"
