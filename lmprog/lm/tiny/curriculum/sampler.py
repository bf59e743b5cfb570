"""How a task becomes an example, and which tasks training draws: an instruction or none, demos, names, weights."""

import re
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from random import Random

from lmprog.lm.tiny.curriculum import labels, lists, maps, meta, numbers, questions, tools, words
from lmprog.lm.tiny.curriculum.example import REASONING, Example, Style, Task, Turn
from lmprog.lm.tiny.curriculum.further import composed, dressed, instructions
from lmprog.lm.tiny.curriculum.lexicon import words as known_words
from lmprog.lm.tiny.curriculum.maps import label_map
from lmprog.lm.tiny.curriculum.meta import naming
from lmprog.lm.tiny.curriculum.pairs import pair
from lmprog.lm.tiny.curriculum.rules import rule
from lmprog.lm.tiny.curriculum.tables import table
from lmprog.lm.tiny.template import PLAIN_INPUT, PLAIN_OUTPUT

VAGUE: Sequence[str] = (
    "Given the fields {ticked_inputs}, produce the fields {ticked_outputs}.",
    "Given {and_inputs}, write {and_outputs}.",
    "Given the fields , produce the {last}.",
    "Do the task.",
    "Given the {first} , produce the {last}.",
    "Complete the last item.",
    "Follow the pattern.",
    "Answer.",
    "Process the {first}.",
    "Respond to the {first}.",
    "Given the fields , produce the output.",
    "Fill in the missing field.",
    "Produce the {last}.",
    "Given the input , produce the output.",
    "Write {last}.",
    "From {inputs}, write {outputs}.",
    "Give the {last}.",
    "Read {inputs} and write {outputs}.",
    "Write the fields {outputs}.",
    "Given {inputs}, fill {outputs}.",
    "Process the text.",
    "Respond to the input.",
    "{first} -> {last}",
    "Go on in the same way.",
    "Continue.",
    "Do as in the examples.",
    "What is the {last}?",
    "What is the {last} of this {first} ?",
    "`{first}` is given, `{last}` is wanted.",
    "Fields in : {inputs}. Fields out : {outputs}.",
    "Work out the {last}.",
    "Which {last} belongs to this {first} ?",
    "Map {ticked_inputs} to {ticked_outputs}.",
    "Take {and_inputs} and return {and_outputs}.",
    "Turn the {first} into the {last}.",
    "Fill in {and_outputs}.",
    "You see {inputs}. You write {outputs}.",
    "The {last} is missing. Write it.",
    "Solve this.",
    "Predict {outputs} from {inputs}.",
    "Input : {inputs} . Output : {outputs} .",
    "Finish the last entry.",
    "Infer {and_outputs}.",
    "Your input is {ticked_inputs}. Your output is {ticked_outputs}.",
    "Please answer.",
    "{inputs} => {outputs}",
    "Generate {outputs} , given {inputs} .",
    "Do the same for this {first}.",
)
"""Instructions that tell nothing about the task but, some of them, the names of the fields."""

HELD_VAGUE: Sequence[str] = (
    "Use {inputs} to produce {outputs}.",
    "Provide the {last} for the {first}.",
    "The fields are {inputs} ; reply with {outputs}.",
)
"""Three more, never trained, written by the rule that they name the fields only."""

MOST_CHARACTERS = 1700
"""Of a training example's fields and values; beyond, it loses demos. About 600 tokens."""

_REASONED = 0.4
"""How often a task that can give reasons does."""
_TRIES, _REPEATS = 40, 6
"""How often to draw again for a turn with another label, and how often for one that was not seen yet."""
_FIRST_SHOWN, _SHOWN_AGAIN = 0.08, 1.3
"""Weights of a label map's answers where no instruction tells the labels: nobody can know one before it is shown."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How often which instruction and how many demos."""

    styles: tuple[float, float, float]
    """Of a precise, a vague and no instruction."""
    precise: Sequence[float]
    """Of 0, 1, 2 ... demos under a precise instruction."""
    vague: Sequence[float]
    """Of 0, 1, 2 ... demos under another."""


_SMALL = _Plan((0.62, 0.32, 0.06), (0.28, 0.1, 0.12, 0.13, 0.21, 0.1, 0.06), (0.12, 0.08, 0.15, 0.19, 0.26, 0.1, 0.1))
_LARGE = _Plan((0.62, 0.32, 0.06), (0.36, 0.18, 0.18, 0.12, 0.16), (0.2, 0.2, 0.24, 0.18, 0.18))
_MAPS = _Plan((0.55, 0.35, 0.1), (3, 1, 1, 1, 1.4, 1, 0.6), (0, 0, 0, 1, 1.5, 1.3, 1.3, 0.8, 0.6, 0.4, 0.4))
_LARGE_MAPS = _Plan((0.55, 0.35, 0.1), (3, 1, 1, 1, 1, 0.6), (0, 0, 0, 1, 1.5, 1.2, 1))
_RULES = _Plan((0.42, 0.46, 0.12), (2, 1, 1, 1, 1.3, 0.6), (0, 0, 0.2, 1, 1.3, 1, 0.8))
_TABLES = _Plan((0.5, 0.4, 0.1), (2, 1, 1, 1, 1.3, 1, 1), (0, 0, 0, 1, 1.3, 1.3, 1.3, 1, 1))
_META = _Plan((1.0, 0.0, 0.0), (1,), (1,))
_SMALL_META = _Plan((0.9, 0.1, 0.0), (0.6, 0.1, 0.1, 0.1, 0.1), (0.1, 0.1, 0.2, 0.3, 0.3))


def example(
    task: Task,
    rng: Random,
    *,
    style: Style | None = None,
    demos: int | None = None,
    held: bool = False,
    held_wording: bool = False,
    renamed: bool = True,
    reasoning: bool | None = None,
) -> Example:
    """Return an example of the task; what is left None is drawn as in training.

    held: contents that training never shows; `held_wording`: an instruction that it never shows; `renamed`: fields
    under any of their names, else under the first. The question's inputs are none of the demos', where the task has
    others. Without `demos` a long example loses some.
    """
    question = task.draw(rng, held)
    plan = _plan(task, question)
    style = style or rng.choices(_STYLES, plan.styles)[0]
    count = _count(plan, style, task, rng) if demos is None else demos
    turns = [*_demos(task, rng, held, count, question), question]
    if demos is None:
        turns = _cut(turns)
    if not (rng.random() < _REASONED if reasoning is None else reasoning):
        turns = [_without_reasoning(turn) for turn in turns]
    weights = _weights(task, style, turns)
    names = naming(task, turns, rng) if renamed else _first_names(task, turns)
    shown = [meta.renamed(turn, names) for turn in turns]
    return Example(task.name, task.family, style, _instruction(task, style, shown, rng, held_wording), shown, weights)


@cache
def named_tasks() -> Sequence[Task]:
    """Return all fixed tasks, those with tools too."""
    return (*_plain_tasks(), *_tool_tasks())


@cache
def meta_tasks() -> Sequence[Task]:
    """Return the tasks about tasks, over the fixed ones without tools, and at times a fresh map or rule."""
    return tuple(make(_plain_tasks(), (label_map, rule)) for make in meta.MAKERS)


def training_example(rng: Random) -> Example:
    """Return an example as training sees it: nothing held, and the task drawn by MIX."""
    made = example(_DRAWS[rng.choices(_GROUPS, cum_weights=_GROUP_STEPS)[0]](rng), rng)
    return spoken(made, rng) if rng.random() < _SPOKEN and _can_be_spoken(made) else made


def spoken(asked: Example, rng: Random) -> Example:
    """Return a question without demos as a chat would hold it: what to do and its input in one message, no fields."""
    (turn,) = asked.turns
    told, values = asked.instruction, list(turn.inputs.values())
    value = values[0] if len(values) == 1 else " ".join(f"{name} : {value}" for name, value in turn.inputs.items())
    alone = len(values) == 1 and len(value) <= _SHORT and asked.family in _ON_ONE_THING
    where = _MEANT.search(told) if alone else None
    if where and rng.random() < 0.5:
        said = told[: where.start()] + value + told[where.end() :]
    else:
        said = rng.choice(("{told} {value}", "{told} {value}", "{value} {told}", "{told} : {value}")).format(
            told=told, value=value
        )
    if said[-1] in "?." and said[-2] != " " and rng.random() < 0.5:
        said = f"{said[:-1]} {said[-1]}"
    (answer,) = turn.outputs.values()
    return replace(asked, instruction="", turns=[Turn({PLAIN_INPUT: said}, {PLAIN_OUTPUT: answer})])


def _can_be_spoken(asked: Example) -> bool:
    (*demos, turn) = asked.turns
    short = sum(map(len, turn.inputs.values())) <= _SPOKEN_AT_MOST
    return not demos and asked.style == "precise" and asked.family != meta.FAMILY and short and len(turn.outputs) == 1


MIX: Mapping[str, float] = {
    "named": 0.56, "maps": 0.2, "rules": 0.05, "pairs": 0.06, "tables": 0.04, "meta": 0.07, "tools": 0.02,
}  # fmt: skip
"""How much of training each group of tasks is, by examples. Those of rules and tools have most to write."""

FAMILIES: Mapping[str, float] = {
    "ex": 3.5, "find": 2.5, "hop": 3.4, "qa": 1.8, "composition": 2.0, "list": 2.0, "word": 2.0, "number": 1.5, "pick": 1.0,
}  # fmt: skip
"""How much more often than by their own weights the tasks of a family are drawn: it has many of them, or hard ones."""

_COMPOSED, _DRESSED = 0.35, 0.12
"""How often a wording is composed where it can be, and how often it comes with words that change nothing."""
_SPOKEN, _SPOKEN_AT_MOST, _SHORT = 0.25, 200, 24
"""How often a task without demos is told as in a chat, how many characters its inputs may then have, and how many to
stand within its sentence."""
_ON_ONE_THING = ("word", "number")
_MEANT = re.compile(r"\b(the|this) (given )?(word|noun|verb|adjective|number|name|text|input)\b")
"""What a wording calls its only input, where it may be one thing."""
_STYLES: tuple[Style, ...] = ("precise", "vague", "none")
_GROUPS = tuple(MIX)
_GROUP_STEPS = list(accumulate(MIX.values()))


@cache
def _plain_tasks() -> Sequence[Task]:
    return _worded((*words.TASKS, *lists.TASKS, *numbers.TASKS, *labels.TASKS, *questions.TASKS))


@cache
def _tool_tasks() -> Sequence[Task]:
    return _worded(tools.TASKS)


def _worded(tasks: Sequence[Task]) -> Sequence[Task]:
    return tuple(replace(task, further=(*task.further, *instructions(task.name))) for task in tasks)


def _weighted(tasks: Callable[[], Sequence[Task]]) -> Callable[[Random], Task]:
    steps: list[float] = []

    def draw(rng: Random) -> Task:
        steps[:] = steps or accumulate(task.weight * FAMILIES.get(task.family, 1.0) for task in tasks())
        return rng.choices(tasks(), cum_weights=steps)[0]

    return draw


_DRAWS: Mapping[str, Callable[[Random], Task]] = {
    "named": _weighted(_plain_tasks),
    "maps": lambda rng: label_map(rng, False),
    "rules": lambda rng: rule(rng, False),
    "pairs": lambda rng: pair(rng, False),
    "tables": lambda rng: table(rng, False),
    "meta": _weighted(meta_tasks),
    "tools": _weighted(_tool_tasks),
}


def _plan(task: Task, question: Turn) -> _Plan:
    if task.family == maps.FAMILY:
        return _LARGE_MAPS if task.large or len(next(iter(question.inputs.values()))) > 30 else _MAPS
    if task.family == meta.FAMILY:
        return _META if task.large else _SMALL_META
    if task.family in ("rule", "pairs", "table"):
        return _TABLES if task.family == "table" else _RULES
    return _LARGE if task.large else _SMALL


def _count(plan: _Plan, style: Style, task: Task, rng: Random) -> int:
    weights = plan.precise if style == "precise" else plan.vague
    count = rng.choices(range(len(weights)), weights)[0]
    if style != "precise" and task.family == maps.FAMILY:
        return max(count, len(task.labels))
    return count


def _demos(task: Task, rng: Random, held: bool, count: int, question: Turn) -> Sequence[Turn]:
    """Return different demos, which show as many of the task's labels as they can."""
    found: list[Turn] = []
    seen = {tuple(question.inputs.values())}
    missing = set(task.labels)
    for _ in range(count):
        turn = _another(task, rng, held, seen, missing)
        seen.add(tuple(turn.inputs.values()))
        missing.discard(_last(turn))
        found.append(turn)
    rng.shuffle(found)
    return found


def _another(task: Task, rng: Random, held: bool, seen: Container[tuple[str, ...]], labels: Collection[str]) -> Turn:
    """Return a turn not seen yet, of one of the labels if there are any; a seen one where the task has few."""
    turn, repeats = task.draw(rng, held), 0
    for _ in range(_TRIES):
        if not labels or _last(turn) in labels:
            if tuple(turn.inputs.values()) not in seen or repeats == _REPEATS:
                return turn
            repeats += 1
        turn = task.draw(rng, held)
    return turn


def _last(turn: Turn) -> str:
    *_, last = turn.outputs.values()
    return last


def _cut(turns: Sequence[Turn]) -> list[Turn]:
    """Leave out demos, the first ones, until the rest is short enough."""
    kept: list[Turn] = []
    length = 0
    for turn in reversed(turns):
        length += sum(len(name) + len(value) for name, value in (*turn.inputs.items(), *turn.outputs.items()))
        if kept and length > MOST_CHARACTERS:
            break
        kept.append(turn)
    return kept[::-1]


def _without_reasoning(turn: Turn) -> Turn:
    if REASONING not in turn.outputs or len(turn.outputs) == 1:
        return turn
    return Turn(turn.inputs, {name: value for name, value in turn.outputs.items() if name != REASONING})


def _weights(task: Task, style: Style, turns: Sequence[Turn]) -> Sequence[float]:
    if task.family == maps.FAMILY:
        if style == "precise":
            return (_SHOWN_AGAIN,) * len(turns)
        shown = [_last(turn) for turn in turns]
        return tuple(_SHOWN_AGAIN if label in shown[:i] else _FIRST_SHOWN for i, label in enumerate(shown))
    if style == "precise":
        return (1.0,) * len(turns)
    return tuple(task.hints[i] if i < len(task.hints) else 1.0 for i in range(len(turns)))


def _first_names(task: Task, turns: Sequence[Turn]) -> Mapping[str, str]:
    fields = dict.fromkeys(own for turn in turns for own in (*turn.inputs, *turn.outputs))
    return {own: task.names.get(own, (own,))[0] for own in fields}


def _instruction(task: Task, style: Style, turns: Sequence[Turn], rng: Random, held_wording: bool) -> str:
    if style == "precise":
        if held_wording:
            return rng.choice(task.held)
        made = composed(task.name, rng, task.held) if rng.random() < _COMPOSED else None
        made = made or rng.choice((*task.precise, *task.further))
        return dressed(made, rng) if rng.random() < _DRESSED and task.family != meta.FAMILY else made
    if style == "none":
        return ""
    return vague(rng.choice(HELD_VAGUE if held_wording else VAGUE), turns[-1])


def vague(template: str, turn: Turn) -> str:
    """Return a vague instruction for a turn with these fields."""
    if "{" not in template:
        return template
    inputs, outputs = list(turn.inputs), list(turn.outputs)
    ticked = [[f"`{name}`" for name in names] for names in (inputs, outputs)]
    return template.format(
        ticked_inputs=", ".join(ticked[0]),
        ticked_outputs=", ".join(ticked[1]),
        and_inputs=_and(ticked[0]),
        and_outputs=_and(ticked[1]),
        inputs=_and(inputs),
        outputs=_and(outputs),
        first=inputs[0] if inputs else "input",
        last=outputs[-1],
    )


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


# Outside the curriculum: written down before anything was trained on it, and never trained.


def _swap_ends(rng: Random, held: bool) -> Turn:
    first, *middle, last = rng.sample(known_words(held), rng.randint(3, 5))
    return Turn({"text": " ".join((first, *middle, last))}, {"answer": " ".join((last, *middle, first))})


_TEAMS = {
    "billing": "Kestrel team",
    "shipping": "Falcon team",
    "login": "Osprey team",
    "refund": "Kestrel team",
    "cancel": "Heron team",
}


def _route(rng: Random, held: bool) -> Turn:
    intent = rng.choice(tuple(_TEAMS))
    return Turn({"text": labels.SOURCES["intent"].draw(rng, intent, held)}, {"answer": _TEAMS[intent]})


def _joint(rng: Random, held: bool) -> Turn:
    text, sentiment, product = labels.review(rng, held)
    return Turn({"text": text}, {"answer": f"{sentiment} {product}"})


OUTSIDE: Sequence[Task] = (
    Task(
        "swap_ends",
        "outside",
        _swap_ends,
        ("Swap the first and the last word.",),
        (
            "Exchange the first word and the last word of the list.",
            "Let the first and the last word trade places.",
            "Write the list with its two ends swapped.",
        ),
    ),
    Task(
        "route_team",
        "outside",
        _route,
        ("Route the message to the right team.",),
        (
            "Which team should get the message?",
            "Name the team that handles the message.",
            "Send the message to its team.",
        ),
        labels=tuple(dict.fromkeys(_TEAMS.values())),
    ),
    Task(
        "joint",
        "outside",
        _joint,
        ("Give the sentiment and then the product of the review.",),
        (
            "Write the sentiment of the review followed by its product.",
            "State first the sentiment and then what is reviewed.",
            "Answer with sentiment and product of the review.",
        ),
    ),
)
