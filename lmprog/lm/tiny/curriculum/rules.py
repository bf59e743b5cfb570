"""Random rules: pick from the text, change what was picked, wrap it. Some combinations are never trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from zlib import crc32

from lmprog.lm.tiny.curriculum.example import Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import NOUNS, OPPOSITES, name, part, plural, words


@dataclass(frozen=True, slots=True)
class Selection:
    """What to pick: `phrase` names it. `several` tells whether it can be more than one word."""

    phrase: str
    pick: Callable[[list[str]], list[str]]
    several: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """How to change each word: as a command on {it}, and as what the result is."""

    command: str
    described: str
    change: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Wrap:
    """What to write around it, with the marks {a} and {b}: as a command on {it}, and as what the result is."""

    command: str
    described: str
    layout: str
    """With {text} for what is wrapped."""


SELECTIONS = {
    "single": Selection("the word", lambda drawn: drawn),
    "first": Selection("the first word", lambda drawn: drawn[:1]),
    "second": Selection("the second word", lambda drawn: drawn[1:2]),
    "third": Selection("the third word", lambda drawn: drawn[2:3]),
    "last": Selection("the last word", lambda drawn: drawn[-1:]),
    "two": Selection("the first two words", lambda drawn: drawn[:2], True),
    "lasttwo": Selection("the last two words", lambda drawn: drawn[-2:], True),
    "fl": Selection("the first and the last word", lambda drawn: [drawn[0], drawn[-1]], True),
    "lf": Selection("the last and then the first word", lambda drawn: [drawn[-1], drawn[0]], True),
    "df": Selection("all words but the first", lambda drawn: drawn[1:], True),
    "dl": Selection("all words but the last", lambda drawn: drawn[:-1], True),
    "back": Selection("the words in reverse order", lambda drawn: drawn[::-1], True),
}
"""Their keys, and those of the operations and wraps, are what combinations are held out by: a new name is a new rule."""

OPERATIONS = {
    "id": Operation("", "", str),
    "plural": Operation("put {it} in the plural", "in the plural", plural),
    "letter": Operation("keep the first letter of {it}", "cut down to the first letter", lambda word: word[0]),
    "lastl": Operation("keep the last letter of {it}", "cut down to the last letter", lambda word: word[-1]),
    "double": Operation("write {it} twice", "written twice", lambda word: f"{word} {word}"),
    "opp": Operation("replace {it} by the opposite", "replaced by the opposite", lambda word: OPPOSITES[word]),
    "upper": Operation("put {it} in capital letters", "in capital letters", str.upper),
    "cap": Operation("capitalize {it}", "with a capital first letter", str.capitalize),
    "twol": Operation("keep the first two letters of {it}", "cut down to the first two letters", lambda word: word[:2]),
    "chop": Operation("remove the first letter of {it}", "without the first letter", lambda word: word[1:]),
}

WRAPS = {
    "none": Wrap("", "", "{text}"),
    "pre": Wrap("write {a} before {it}", "with {a} before {it}", "{a} {text}"),
    "suf": Wrap("write {a} after {it}", "with {a} after {it}", "{text} {a}"),
    "both": Wrap("write {a} before {it} and {b} after {it}", "between {a} and {b}", "{a} {text} {b}"),
    "colon": Wrap("write {a} and a colon before {it}", "after {a} and a colon", "{a} : {text}"),
    "paren": Wrap("put {it} in brackets", "in brackets", "( {text} )"),
    "around": Wrap("write {a} on both sides", "with {a} on both sides", "{a} {text} {a}"),
    "quotes": Wrap("put {it} in quotes", "in quotes", '"{text}"'),
    "bang": Wrap("end with an exclamation mark", "with an exclamation mark at the end", "{text}!"),
    "arrow": Wrap("write {a} and an arrow before {it}", "after {a} and an arrow", "{a} -> {text}"),
    "json": Wrap(
        "make {it} a JSON object with the key {a}", "in a JSON object with the key {a}", '{{"{a}": "{text}"}}'
    ),
}

_SELECTED = {
    "single": "the word",
    "first": "the opening word",
    "second": "word number two",
    "third": "word number three",
    "last": "the final word",
    "two": "the two words at the start",
    "lasttwo": "the two words at the end",
    "fl": "the opening word and the final word",
    "lf": "the final word followed by the opening word",
    "df": "every word after the first",
    "dl": "every word before the last",
    "back": "the words from last to first",
}
"""Other phrases for what to pick, in trained wordings alone, as all of the following."""
_OPERATED = {
    "id": ("", ""),
    "plural": ("make {it} plural", "made plural"),
    "letter": ("reduce {it} to its first letter", "reduced to its first letter"),
    "lastl": ("reduce {it} to its last letter", "reduced to its last letter"),
    "double": ("say {it} two times", "said two times"),
    "opp": ("turn {it} into its opposite", "turned into its opposite"),
    "upper": ("write {it} all in capitals", "all in capitals"),
    "cap": ("make the first letter of {it} a capital", "starting with a capital"),
    "twol": ("shorten {it} to its first two letters", "shortened to its first two letters"),
    "chop": ("drop the first letter of {it}", "with its first letter dropped"),
}
"""Other commands, and other descriptions of what they make."""
_WRAPPED = {
    "none": ("", ""),
    "pre": ("put {a} in front of {it}", "preceded by {a}"),
    "suf": ("add {a} behind {it}", "followed by {a}"),
    "both": ("put {a} in front of {it} and {b} behind {it}", "preceded by {a} and followed by {b}"),
    "colon": ("put {a} and then a colon in front of {it}", "preceded by {a} and a colon"),
    "paren": ("set {it} in round brackets", "inside round brackets"),
    "around": ("put {a} both before and after {it}", "preceded and also followed by {a}"),
    "quotes": ("set {it} in double quotes", "inside double quotes"),
    "bang": ("add an exclamation mark at the end", "followed by an exclamation mark"),
    "arrow": ("put {a} and then an arrow in front of {it}", "preceded by {a} and an arrow"),
    "json": ("write a JSON object whose key {a} has {it} as its value", "as the value of the key {a} in a JSON object"),
}
"""The same of what is written around it."""

_HINTS = (0.1, 0.5, 0.8)


def rule(rng: Random, held: bool) -> Task:
    """Return a new rule; with `held` a combination that is never trained, with marks that are not either."""
    selected, operated, wrapped = rng.choice(combinations(held))
    selection, operation, wrap = SELECTIONS[selected], OPERATIONS[operated], WRAPS[wrapped]
    a, b = _mark(rng, held), _mark(rng, held)
    separator = rng.choice((" ", " ", " , "))
    named = operated not in ("plural", "opp") and rng.random() < 0.25
    pool = {"plural": NOUNS, "opp": tuple(OPPOSITES)}.get(operated)

    def draw(turn_rng: Random, held_out: bool) -> Turn:
        count = 1 if selected == "single" else turn_rng.randint(3, 5)
        if named:
            drawn = [name(turn_rng, held_out) for _ in range(count)]
        elif operated == "opp":
            drawn = turn_rng.sample(tuple(OPPOSITES), count)
        else:
            drawn = turn_rng.sample(words(held_out) if pool is None else part(pool, held_out), count)
        text = separator.join(operation.change(word) for word in selection.pick(drawn))
        return Turn({"text": separator.join(drawn)}, {"answer": wrap.layout.format(text=text, a=a, b=b)})

    steps = _steps(selection, operation, wrap, a, b)
    described = _described(selection, operation, wrap, a, b)
    commands = _and(steps)
    (command, result), (around, wrapping) = _OPERATED[operated], _WRAPPED[wrapped]
    picked = Selection(_SELECTED[selected], selection.pick, selection.several)
    changed, laid = Operation(command, result, operation.change), Wrap(around, wrapping, wrap.layout)
    other_steps = _steps(picked, changed, laid, a, b, "pick")
    other, anew = _and(other_steps), _described(picked, changed, laid, a, b)
    mixed = _steps(picked, operation, laid, a, b, "start with")
    sentences = " ".join(f"{_sentence(step)}." for step in steps)
    precise = (
        f"{_sentence(commands)}.",
        f"Rule : {commands}.",
        f"To answer , {commands}.",
        f"Write {described}.",
        f"The answer is {described}.",
        f"Return {described}.",
        f"{_sentence(' , then '.join(steps))}.",
        "Do this : " + " ".join(f"{number}. {step}" for number, step in enumerate(steps, 1)),
    )
    further = (
        f"{_sentence(other)}.",
        f"Write {anew}.",
        f"Reply with {anew}.",
        f"From the text , {other}.",
        f"Your task : {other}.",
        f"Give {described}.",
        f"Start from the text , {commands} , and write what you have then.",
        f"Steps : {' ; '.join(other_steps)}.",
        f"First {' , then '.join(other_steps)}.",
        sentences,
        " ".join(f"{_sentence(step)}." for step in other_steps),
        f"Work on the text like this. {sentences}",
        f"Can you {other} ?",
        f"What is {described} ? Write it.",
        f"I want {anew}.",
        f"Wanted: {described}",
        f"{_sentence(anew)}.",
        f"Answer with nothing but {described}.",
        f"You must {other}.",
        f"Transform the text : {_and(mixed)}.",
        f"Turn the text into {anew}.",
        f"{_sentence(', and after that '.join(mixed))}.",
        f"Of the words in the text, write only {described}.",
        f"In comes a text , out goes {anew}.",
        " ".join(f"{number}) {step}" for number, step in enumerate(other_steps, 1)),
        f"Let the answer be {anew}.",
        f"Every time , {other}.",
        f"In go some words. {_sentence(_and(mixed))}. That is the answer.",
    )
    held_out = (
        f"You get the answer when you {commands}.",
        f"What comes out should be {described}.",
        f"Given a text , please {commands} and reply with that alone.",
    )
    task = f"rule_{selected}_{operated}_{wrapped}"
    return Task(task, "rule", draw, precise, held_out, hints=_HINTS, further=further)


@cache
def combinations(held: bool) -> Sequence[tuple[str, str, str]]:
    """Return the trained combinations of a selection, an operation and a wrap, or the others: about one in six."""
    return tuple(
        keys
        for keys in product(SELECTIONS, OPERATIONS, WRAPS)
        if keys[1:] != ("id", "none") and (crc32("/".join(keys).encode()) % 6 == 0) == held
    )


def _mark(rng: Random, held: bool) -> str:
    draw = rng.random()
    if draw < 0.45:
        return rng.choice(words(held))
    if draw < 0.75:
        made = name(rng, held)
        return made if rng.random() < 0.5 else made.lower()
    return f"{rng.choice(words(held))} {rng.choice(words(held))}"


def _steps(selection: Selection, operation: Operation, wrap: Wrap, a: str, b: str, verb: str = "take") -> list[str]:
    each, them = ("each of them", "them") if selection.several else ("it", "it")
    steps = [f"{verb} {selection.phrase}", operation.command.format(it=each), wrap.command.format(it=them, a=a, b=b)]
    return [step for step in steps if step]


def _described(selection: Selection, operation: Operation, wrap: Wrap, a: str, b: str) -> str:
    each, them = ("each ", "them") if selection.several else ("", "it")
    changed = f"{each}{operation.described}" if operation.described else ""
    parts = [selection.phrase, changed, wrap.described.format(it=them, a=a, b=b)]
    return " , ".join(said for said in parts if said)


def _and(steps: Sequence[str]) -> str:
    *others, last = steps
    return f"{' , '.join(others)} and {last}" if others else last


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
