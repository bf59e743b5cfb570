"""Two answers in one, and lists with words in other places: drawn anew for each example, to be read from demos or words.

Of reviews no pair is made, and the two ends of a list never trade places: those are asked for outside the curriculum.
"""

from collections.abc import Callable, Sequence
from random import Random

from lmprog.lm.tiny.curriculum.example import Task, Turn
from lmprog.lm.tiny.curriculum.labels import SOURCES, TWOFOLD
from lmprog.lm.tiny.curriculum.lexicon import name, words
from lmprog.lm.tiny.curriculum.world import KINDS, RELATIONS, entity, passage

FAMILY = "pairs"

_HINTS = (0.15, 0.6, 0.9)
_JOINTS = {
    " ": "a space", " , ": "a comma", " / ": "a slash", " - ": "a dash", " ; ": "a semicolon", " | ": "a bar",
    " and ": "the word and", " : ": "a colon", " -> ": "an arrow", " + ": "a plus sign",
}  # fmt: skip
"""What stands between two answers, and what an instruction calls it."""
_PRECISE = (
    "Give {x} and then {y} , with {j} between them.",
    "Write {x} , followed by {y} , with {j} in between.",
    "First {x} , then {y} ; put {j} between the two.",
    "Two things are wanted : {x} and {y} , in this order , with {j} between them.",
    "Name {x} , and after {j} name {y}.",
    "What are {x} and {y} ? Write both with {j} between them.",
    "Reply with {x} , {j} and {y}.",
    "Find {x}. Then find {y}. Join the two by {j}.",
    "The output has two parts , {x} and {y} , which are parted by {j}.",
    "Return both {x} and {y} , separated by {j}.",
    "I need {x} as well as {y}. Between them write {j}.",
    "Answer with a pair : {x} comes first , {y} second , {j} in the middle.",
    "Do not give {x} alone , but {y} too , after {j}.",
    "On the left of {j} stands {x} , on the right of it {y}.",
    "Combine {x} with {y} by {j}.",
    "Extract {x} together with {y} and put {j} between.",
)
_HELD = (
    "State {x} , add {j} , and end with {y}.",
    "Please report {x} plus {y} , with {j} as what divides them.",
    "Begin the reply with {x} and , past {j} , close it with {y}.",
)
_NOUNS = {
    "topic": "the topic of the headline", "intent": "what the message asks for", "tone": "the tone", "mail": "the subject of the mail",
    "urgency": "how urgent it is", "feeling": "the feeling", "daytime": "the time of day", "habitat": "the habitat",
    "tense": "the tense", "form": "the form of the sentence", "subject": "the school subject", "spam": "whether it is spam",
    "asked": "what the question asks for", "living": "what kind of being it is",
}  # fmt: skip


def pair(rng: Random, held: bool) -> Task:
    """Return a task with two answers, or one that changes the places of a list's words."""
    return rng.choice((_facts, _classes, _places))(rng, held)


def _joined(x: str, y: str, joint: str, draw: Callable[[Random, bool], Turn], task: str, *, large: bool) -> Task:
    said = {"x": x, "y": y, "j": _JOINTS[joint]}
    precise, held = ([text.format(**said) for text in texts] for texts in (_PRECISE, _HELD))
    precise = [text[0].upper() + text[1:] for text in precise]
    return Task(task, FAMILY, draw, precise, held, hints=_HINTS, large=large)


def _facts(rng: Random, held: bool) -> Task:
    """Return a task that asks for two facts of a passage, or for its subject and a fact."""
    kind, joint = rng.choice(KINDS), rng.choice(list(_JOINTS))
    keys = rng.sample(["", *RELATIONS[kind]], 2)
    x, y = (rng.choice(RELATIONS[kind][key].nouns) if key else "the name of the subject" for key in keys)

    def draw(rng: Random, held: bool) -> Turn:
        fixed = {key: RELATIONS[kind][key].value(rng, held) for key in keys if key}
        about = entity(rng, kind, held, fixed=fixed)
        return Turn({"text": passage(about)}, {"answer": joint.join(fixed.get(key, about.name) for key in keys)})

    return _joined(x, y, joint, draw, f"pair_{kind}", large=True)


def _classes(rng: Random, held: bool) -> Task:
    """Return a task that asks for two classes: both of one text, or of two that stand one after the other."""
    joint = rng.choice(list(_JOINTS))
    (one, other), text = rng.choice(list(TWOFOLD.items()))
    swapped, apart = rng.random() < 0.5, rng.random() < 0.3
    if apart:
        one, other = rng.sample(list(_NOUNS), 2)

    def draw(rng: Random, held: bool) -> Turn:
        first, second = (rng.choice(SOURCES[each].labels) for each in (one, other))
        if apart:
            drawn = f"{SOURCES[one].draw(rng, first, held)} {SOURCES[other].draw(rng, second, held)}"
        else:
            drawn = text(rng, held, first, second)
        return Turn({"text": drawn}, {"answer": joint.join((second, first) if swapped else (first, second))})

    x, y = (_NOUNS[each] for each in ((other, one) if swapped else (one, other)))
    return _joined(x, y, joint, draw, f"pair_{one}_{other}", large=False)


_PLACES = {"first": 0, "second": 1, "last": -1, "second last": -2}
_OTHER_PLACES = {"first": "opening", "last": "final", "second last": "last but one"}
"""What trained wordings may call them instead."""


def _swap(items: list[str], one: int, other: int) -> list[str]:
    items[one], items[other] = items[other], items[one]
    return items


def _front(items: list[str], one: int) -> list[str]:
    return [items.pop(one), *items]


def _end(items: list[str], one: int) -> list[str]:
    moved = items.pop(one)
    return [*items, moved]


def _without(items: list[str], one: int) -> list[str]:
    del items[one]
    return items


def _twice(items: list[str], one: int) -> list[str]:
    place = one % len(items)
    return [*items[: place + 1], *items[place:]]


_CHANGES: Sequence[tuple[Callable[[list[str], int], list[str]], Sequence[str], Sequence[str]]] = (
    (
        _front,
        (
            "Move the {p} word to the front.", "Put the {p} word before all others.", "The {p} word comes to the start of the list.",
            "Begin with the {p} word , then write the others as they are.", "Take the {p} word out and set it in front.", "Let the {p} word stand first and the rest behind it.",
        ),
        ("Let the {p} word lead the list.", "The list should open with its {p} word , the rest unchanged.", "Bring the {p} word to the head of the list."),
    ),
    (
        _end,
        (
            "Move the {p} word to the end.", "Put the {p} word behind all others.", "The {p} word goes to the end of the list.",
            "Write the other words as they are , and the {p} word after them.", "Take the {p} word out and add it at the end.", "Let the {p} word stand last , after all the rest.",
        ),
        ("Let the {p} word close the list.", "The list should end in its {p} word , the rest unchanged.", "Bring the {p} word to the tail of the list."),
    ),
    (
        _without,
        (
            "Remove the {p} word.", "Write the list without its {p} word.", "Leave out the {p} word of the list and keep the others.",
            "All words but the {p} one.", "Delete the {p} word , nothing else.", "What is the list once its {p} word is taken away ?",
        ),
        ("The {p} word has to go , the others stay.", "Give every word except the {p} one.", "Skip the {p} word and copy the rest."),
    ),
    (
        _twice,
        (
            "Write the {p} word twice and the others once.", "Double the {p} word of the list.", "Repeat the {p} word at its place.",
            "Copy the list , but the {p} word two times.", "Let each word stand once , the {p} one twice.", "One more of the {p} word , beside the one that is there.",
        ),
        ("The {p} word should stand there two times in a row.", "Say the {p} word again right after it.", "Give the list with its {p} word doubled."),
    ),
)  # fmt: skip
_SWAPS = (
    "Swap the {p} and the {q} word.", "Exchange the {p} word and the {q} word.", "Let the {p} and the {q} word trade places.",
    "Write the list with the {p} and the {q} word swapped.", "The {p} word goes where the {q} one is , and the other way round.",
    "Put the {p} word in the place of the {q} one , and that one in its place.", "Switch the {p} word with the {q} one.",
)  # fmt: skip
_SWAPS_HELD = (
    "The {p} and the {q} word change seats.",
    "Give the list after the {p} and the {q} word have been switched around.",
    "Turn the {p} and the {q} word around , and keep the others where they are.",
)


def _places(rng: Random, held: bool) -> Task:
    """Return a task that moves, drops, doubles or swaps words of a list by their places; never the two ends."""
    gap = rng.choice((" ", " ", " , "))
    one, other = rng.sample(list(_PLACES), 2)
    named = rng.random() < 0.25

    def turn(change: Callable[[list[str]], list[str]]) -> Callable[[Random, bool], Turn]:
        def draw(rng: Random, held: bool) -> Turn:
            count = rng.randint(3, 5)
            drawn = [name(rng, held) for _ in range(count)] if named else rng.sample(words(held), count)
            return Turn({"text": gap.join(drawn)}, {"answer": gap.join(change(list(drawn)))})

        return draw

    if rng.random() < 0.4:
        while {one, other} == {"first", "last"}:
            one, other = rng.sample(list(_PLACES), 2)
        first, second = _PLACES[one], _PLACES[other]
        draw = turn(lambda items: _swap(items, first, second))
        return _placed("_swap", draw, _SWAPS, _SWAPS_HELD, {"p": one, "q": other})
    change, shown, never = rng.choice(_CHANGES)
    if (change, one) in ((_front, "first"), (_end, "last")):
        one = "second"
    place = _PLACES[one]
    return _placed(change.__name__, turn(lambda items: change(items, place)), shown, never, {"p": one, "q": ""})


def _placed(
    task: str,
    draw: Callable[[Random, bool], Turn],
    shown: Sequence[str],
    never: Sequence[str],
    said: dict[str, str],
) -> Task:
    others = {key: _OTHER_PLACES.get(place, place) for key, place in said.items()}
    further = [text.format(**others) for text in shown] if "second" not in said.values() else []
    precise, held = ([text.format(**said) for text in texts] for texts in (shown, never))
    return Task(f"place{task}", FAMILY, draw, precise, held, hints=_HINTS, further=further)
