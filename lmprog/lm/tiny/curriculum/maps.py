"""Label maps: classes of texts under labels that are new in every example, so that they must be read, not known."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random

from lmprog.lm.tiny.curriculum.example import Task, Turn
from lmprog.lm.tiny.curriculum.labels import SOURCES, Source, field_names
from lmprog.lm.tiny.curriculum.lexicon import (
    ADJECTIVES,
    CATEGORIES,
    JOBS,
    NOUNS,
    article,
    listed,
    name,
    one_of,
    part,
    person,
    words,
)
from lmprog.lm.tiny.curriculum.world import KINDS as ENTITIES
from lmprog.lm.tiny.curriculum.world import Kind as Entity
from lmprog.lm.tiny.curriculum.world import entity, passage

FAMILY = "maps"

HELD_KINDS = ("parity", "entity", "weather")
"""Kinds of input that are never mapped in training: a number by parity, a passage by what it is about, a report by
its weather. Chosen before anything was trained on this curriculum."""

_POOLS = (words(False), words(True))
_THINGS = (part(tuple(NOUNS), False), part(tuple(NOUNS), True))
_TRAITS = (part(tuple(ADJECTIVES), False), part(tuple(ADJECTIVES), True))
_TRADES = (part(tuple(JOBS), False), part(tuple(JOBS), True))
_MEMBERS = tuple({kind: part(tuple(members), held) for kind, members in CATEGORIES.items()} for held in (False, True))
_MANY_MEMBERS = tuple(
    [kind for kind, members in by_kind.items() if len(members) >= least]
    for by_kind, least in zip(_MEMBERS, (4, 2), strict=True)
)
_VOWELS = "aeiou"


def _by(of: Callable[[str], str], least: int) -> Sequence[Mapping[str, Sequence[str]]]:
    """Return the words that training shows and those that it does not, each by some letter that many share."""
    found: list[Mapping[str, Sequence[str]]] = []
    for pool in _POOLS:
        groups: dict[str, list[str]] = {}
        for word in pool:
            groups.setdefault(of(word), []).append(word)
        found.append({key: group for key, group in sorted(groups.items()) if len(group) >= least})
    return found


_BY_FIRST, _BY_LAST = _by(lambda word: word[0], 3), _by(lambda word: word[-1], 3)
_BY_VOWEL = _by(lambda word: "vowel" if word[0] in _VOWELS else "consonant", 1)


def _count(rng: Random, most: int) -> int:
    return min(most, rng.choice((2, 2, 3, 3, 4)))


def _key(rng: Random, held: bool) -> str:
    return rng.choice(_POOLS[held]) if rng.random() < 0.7 else name(rng, held)


def _keys(rng: Random, held: bool) -> Sequence[str]:
    found: list[str] = []
    while len(found) < 4:
        key = _key(rng, held)
        if key not in found:
            found.append(key)
    return found[: _count(rng, 4)]


def _gap(rng: Random) -> str:
    return rng.choice((" ", " ", " , "))


def _others(rng: Random, held: bool, count: int, without: Sequence[str]) -> list[str]:
    return [word for word in rng.sample(_POOLS[held], count) if word not in without]


def _said(keys: Sequence[str], text: str) -> Mapping[str, str]:
    return {key: text.format(key) for key in keys}


def _first_letter(rng: Random, held: bool) -> Source:
    keys = rng.sample([key for key in _BY_FIRST[True] if key in _BY_FIRST[False]], _count(rng, 4))
    return Source(
        "first_letter", "word", keys, lambda r, c, h: r.choice(_BY_FIRST[h][c]), _said(keys, "one that starts with {}")
    )


def _last_letter(rng: Random, held: bool) -> Source:
    keys = rng.sample([key for key in _BY_LAST[True] if key in _BY_LAST[False]], _count(rng, 4))
    return Source(
        "last_letter", "word", keys, lambda r, c, h: r.choice(_BY_LAST[h][c]), _said(keys, "one that ends in {}")
    )


def _vowel(rng: Random, held: bool) -> Source:
    phrases = {"vowel": "one that starts with a vowel", "consonant": "one that starts with a consonant"}
    return Source("vowel", "word", tuple(phrases), lambda r, c, h: r.choice(_BY_VOWEL[h][c]), phrases)


def _length(rng: Random, held: bool) -> Source:
    limit = rng.choice((5, 6, 7))
    phrases = {"short": f"one of less than {limit} letters", "long": f"one of {limit} letters or more"}

    def draw(rng: Random, label: str, held: bool) -> str:
        while True:
            word = rng.choice(_POOLS[held])
            if (len(word) < limit) == (label == "short") and abs(len(word) - limit + 0.5) > 1:
                return word

    return Source("length", "word", tuple(phrases), draw, phrases)


def _keyword(rng: Random, held: bool) -> Source:
    return Source("keyword", "word", _keys(rng, held), lambda _, label, __: label)


def _contains(rng: Random, held: bool) -> Source:
    keys, gap = _keys(rng, held), _gap(rng)

    def draw(rng: Random, label: str, held: bool) -> str:
        items = [label, *_others(rng, held, rng.randint(2, 4), keys)]
        rng.shuffle(items)
        return gap.join(items)

    return Source("contains", "list", keys, draw, _said(keys, "a list with {}"))


def _first_word(rng: Random, held: bool) -> Source:
    keys, gap = _keys(rng, held), _gap(rng)

    def draw(rng: Random, label: str, held: bool) -> str:
        return gap.join([label, *_others(rng, held, rng.randint(1, 3), ())])

    return Source("first_word", "list", keys, draw, _said(keys, "a list that begins with {}"))


def _last_word(rng: Random, held: bool) -> Source:
    keys, gap = _keys(rng, held), _gap(rng)

    def draw(rng: Random, label: str, held: bool) -> str:
        return gap.join([*_others(rng, held, rng.randint(1, 3), ()), label])

    return Source("last_word", "list", keys, draw, _said(keys, "a list that ends with {}"))


def _category(rng: Random, held: bool) -> Source:
    kinds = rng.sample(_MANY_MEMBERS[True], _count(rng, 4))
    return Source("category", "word", kinds, lambda r, c, h: r.choice(_MEMBERS[h][c]))


def _categories(rng: Random, held: bool) -> Source:
    kinds, gap = rng.sample(_MANY_MEMBERS[True], _count(rng, 4)), _gap(rng)

    def draw(rng: Random, label: str, held: bool) -> str:
        members = _MEMBERS[held][label]
        return gap.join(rng.sample(members, min(len(members), rng.randint(2, 3))))

    return Source("categories", "list", kinds, draw, _said(kinds, "a list of {}"))


def _member(rng: Random, held: bool) -> Source:
    """A list with one word of a category, among words of categories that are not asked for."""
    kinds = rng.sample(_MANY_MEMBERS[True], 7)
    asked, rest, gap = kinds[: _count(rng, 3)], kinds[3:], _gap(rng)

    def draw(rng: Random, label: str, held: bool) -> str:
        items = [rng.choice(_MEMBERS[held][kind]) for kind in (label, *rng.sample(rest, 2))]
        rng.shuffle(items)
        return gap.join(items)

    return Source("member", "list", asked, draw, {kind: f"a list with {one_of(kind)}" for kind in asked})


def _items(rng: Random, held: bool) -> Source:
    counts, gap = rng.sample(("1", "2", "3", "4", "5"), _count(rng, 4)), _gap(rng)
    return Source(
        "items",
        "list",
        counts,
        lambda r, c, h: gap.join(r.sample(_POOLS[h], int(c))),
        {count: f"a list of {count} {'word' if count == '1' else 'words'}" for count in counts},
    )


def _repeats(rng: Random, held: bool) -> Source:
    gap = _gap(rng)

    def draw(rng: Random, label: str, held: bool) -> str:
        items = rng.sample(_POOLS[held], rng.randint(3, 4))
        if label == "repeats":
            items[-1] = rng.choice(items[:-1])
            rng.shuffle(items)
        return gap.join(items)

    return Source(
        "repeats",
        "list",
        ("repeats", "differs"),
        draw,
        {"repeats": "a list with a word twice", "differs": "a list of different words"},
    )


def _size(rng: Random, held: bool) -> Source:
    limit = rng.choice((10, 20, 30, 40, 50, 60, 70, 80))
    phrases = {"low": f"a number below {limit}", "high": f"a number from {limit} up"}
    return Source(
        "size",
        "number",
        tuple(phrases),
        lambda r, c, _: str(r.randint(0, limit - 1) if c == "low" else r.randint(limit, 99)),
        phrases,
    )


def _digits(rng: Random, held: bool) -> Source:
    phrases = {"1": "a number of one digit", "2": "a number of two digits", "3": "a number of three digits"}
    keys = rng.sample(list(phrases), _count(rng, 3))
    return Source(
        "digits", "number", keys, lambda r, c, _: str(r.randint(10 ** (int(c) - 1), 10 ** int(c) - 1)), phrases
    )


def _larger(rng: Random, held: bool) -> Source:
    def draw(rng: Random, label: str, held: bool) -> str:
        low, high = sorted(rng.sample(range(100), 2))
        return f"{high} {low}" if label == "first" else f"{low} {high}"

    phrases = {"first": "a pair whose first number is larger", "second": "a pair whose second number is larger"}
    return Source("larger", "pair", tuple(phrases), draw, phrases)


def _letters(rng: Random, held: bool) -> Source:
    phrases = {"small": "a word in small letters", "capital": "a word in capital letters"}
    return Source(
        "letters",
        "word",
        tuple(phrases),
        lambda r, c, h: r.choice(_POOLS[h]).upper() if c == "capital" else r.choice(_POOLS[h]),
        phrases,
    )


_JOB_TEXTS = (
    ("{n} is {j} .", "{n} , {j} from {c} , is here .", "{n} works as {j} in {c} .", "my friend {n} is {j} ."),
    ("they say that {n} is {j} .", "in {c} {n} was {j} ."),
)  # fmt: skip


def _job(rng: Random, held: bool) -> Source:
    jobs = rng.sample(_TRADES[held], _count(rng, 4))
    return Source(
        "job",
        "sentence",
        jobs,
        lambda r, c, h: r.choice(_JOB_TEXTS[h]).format(n=person(r, h), j=article(c), c=name(r, h)),
    )


def _trait(rng: Random, held: bool) -> Source:
    traits = rng.sample(_TRAITS[held], _count(rng, 4))
    texts = (("the {a} {n}", "{n} with {m} is {a}", "this {n} is {a}"), ("such a {a} {n}", "the {n} seems {a}"))
    return Source(
        "trait",
        "phrase",
        traits,
        lambda r, c, h: r.choice(texts[h]).format(a=c, n=r.choice(_THINGS[h]), m=name(r, h)),
    )


def _owner(rng: Random, held: bool) -> Source:
    """Who has the thing: a name that is chosen for the map."""
    names = [name(rng, held) for _ in range(_count(rng, 3))]
    texts = (("the {n} of {a}", "{a} has the {n}", "this {n} is from {a}"), ("{a} owns a {n}", "a {n} made by {a}"))
    return Source(
        "owner",
        "phrase",
        list(dict.fromkeys(names)),
        lambda r, c, h: r.choice(texts[h]).format(a=c, n=r.choice(_THINGS[h])),
        _said(names, "one with {}"),
    )


def _parity(rng: Random, held: bool) -> Source:
    return Source("parity", "number", ("even", "odd"), lambda r, c, _: str(r.randint(0, 30) * 2 + (c == "odd")))


def _entity(rng: Random, held: bool) -> Source:
    kinds: dict[str, Entity] = {kind: kind for kind in rng.sample(ENTITIES, _count(rng, 4))}
    return Source("entity", "passage", tuple(kinds), lambda r, c, h: passage(entity(r, kinds[c], h)), large=True)


def _fixed(source: Source) -> Callable[[Random, bool], Source]:
    return lambda rng, held: source


_MADE: Mapping[str, tuple[Callable[[Random, bool], Source], float]] = {
    "first_letter": (_first_letter, 1.0),
    "last_letter": (_last_letter, 0.8),
    "vowel": (_vowel, 0.6),
    "length": (_length, 0.5),
    "keyword": (_keyword, 1.3),
    "contains": (_contains, 1.0),
    "first_word": (_first_word, 1.0),
    "last_word": (_last_word, 0.7),
    "category": (_category, 1.3),
    "categories": (_categories, 0.8),
    "member": (_member, 0.7),
    "items": (_items, 0.6),
    "repeats": (_repeats, 0.5),
    "size": (_size, 0.8),
    "digits": (_digits, 0.6),
    "larger": (_larger, 0.5),
    "letters": (_letters, 0.5),
    "job": (_job, 0.7),
    "trait": (_trait, 0.7),
    "owner": (_owner, 0.6),
    "parity": (_parity, 0.0),
    "entity": (_entity, 0.0),
}
_FREQUENT = ("sentiment", "reviewed", "topic", "intent")
_TEXTS = {kind: 1.0 if kind in _FREQUENT else 0.6 for kind in SOURCES if kind not in ("warmth", "weather")}
"""Reports stay out with the weather, by their warmth too."""

KINDS: Mapping[str, Callable[[Random, bool], Source]] = {
    **{kind: make for kind, (make, _) in _MADE.items()},
    **{kind: _fixed(source) for kind, source in SOURCES.items() if kind != "warmth"},
}
"""All kinds of input, with those held out: how to make the classes and their texts."""

TRAINED_KINDS: Sequence[str] = tuple(kind for kind in KINDS if kind not in HELD_KINDS)
_TRAINED_WEIGHTS = list(accumulate(_TEXTS.get(kind) or _MADE[kind][1] for kind in TRAINED_KINDS))

WORDINGS = (
    ("Answer {}.", "{m} for {c}"),
    ("Say {}.", "{m} if it is {c}"),
    ("Label {}.", "{c} as {m}"),
    ("Classify the {noun} with this code : {}.", "{c} is {m}"),
    ("Write {}.", "{m} for {c}"),
    ("Use {}.", "{m} for {c}"),
    ("Map {}.", "{c} as {m}"),
    ("Follow this table : {}.", "{c} gives {m}"),
    ("The answer is {}.", "{m} if it is {c}"),
    ("Code : {}.", "{c} = {m}"),
    ("Choose {}.", "{m} when it is {c}"),
    ("Give {}.", "{m} to {c}"),
    ("Translate {}.", "{c} into {m}"),
    ("Read the {noun} and write {}.", "{m} when it is {c}"),
    ("Labels : {}.", "{c} -> {m}"),
    ("Mark {}.", "{c} with {m}"),
    ("Sort the {noun} : {}.", "{c} goes to {m}"),
    ("What is the {noun} ? Answer {}.", "{m} in case of {c}"),
    ("Turn {}.", "{c} to {m}"),
    ("Put {}.", "{m} where the {noun} is {c}"),
    ("{ }", "If it is {c} , write {m}."),
    ("Look at the {noun}. { }", "If it is {c}, the answer is {m}."),
    ("{ }", "{m} stands for {c}."),
    ("Write the sign of the {noun} , where {}.", "{m} stands for {c}"),
    ("{ ; }", "{c} : {m}"),
    ("Key: {, }.", "{c}: {m}"),
    ("{ , }", "{c} -> {m}"),
    ("Table of kinds of {noun} and answers : { / }", "{c} - {m}"),
    ("{ }", "Label {c} as {m}."),
    ("Which label to use : { ; }.", "{m} when it is {c}"),
    ("{ }", "Use {m} when the {noun} is {c}."),
    ("What do you say to the {noun} ? { }", "To {c} , say {m}."),
    ("{ }", "Is it {c} ? Then write {m}."),
    ("Each {noun} has a code. { }", "The code of {c} is {m}."),
    ("Tell me the code of the {noun} , knowing that {}.", "{m} is the code of {c}"),
    ("There are these kinds of {noun} , with their labels in brackets : { , }.", "{c} ( {m} )"),
    ("Name the group of the {noun}. {. }.", "{m}: {c}"),
    ("Pick one label. { }", "{m} is right if you see {c}."),
    ("Decide what the {noun} is, then reply with {}.", "{m} on finding {c}"),
    ("Reply {}.", "{m} to {c}"),
    ("Answer with one of these : { , or }.", "{m} , which is for {c}"),
    ("Assign {}.", "{m} to {c}"),
    ("Tag each {noun} : { , }.", "{c} gets {m}"),
    ("Here {}. What is this {noun} called ?", "{c} is called {m}"),
    ("Which of the labels fits this {noun}? {, }.", "{m} fits {c}"),
    ("How is the {noun} marked ? {}.", "{c} by {m}"),
    ("Replace {}.", "{c} by {m}"),
    ("In our notation {}. Apply it to the {noun}.", "{c} is written {m}"),
    ("Name the box that the {noun} belongs in. { }", "Box {m} holds {c}."),
    ("File the {noun} : {}.", "{c} under {m}"),
    ("{ }", "When you read {c}, write {m}."),
    ("Do as follows : { ; }.", "in case of {c} say {m}"),
    ("{ }", "{c} ? {m}."),
    ("Legend : { ; }.", "{m} = {c}"),
    ("Write what the arrow points to : { , }", "{m} <- {c}"),
    ("Write only the label. { }", "{c} has the label {m}."),
    ("Every {noun} is in one of these classes. { } Write its class.", "Class {m} is {c}."),
    ("Encode the {noun}. {}.", "{c} becomes {m}"),
    ("Convert the {noun} with this table : { , }.", "from {c} to {m}"),
    ("{ }", "See {c} , say {m}."),
    ("{ }", "On {c}, respond with {m}."),
    ("Your answer has to be {}.", "{m} where you find {c}"),
    ("The {noun} has one right answer. { }", "To {c} it is {m}."),
    ("Let {}. Give the value of the {noun}.", "{c} be {m}"),
    ("Call it {}.", "{m} if you are shown {c}"),
    ("Judge the {noun}. { }", "Should it be {c} , put {m}."),
    ("{} , so write what goes with the {noun}.", "{m} goes with {c}"),
    ("Match the {noun} to its label. { }", "{m} matches {c}."),
    ("Every kind of {noun} has its own name here: {; }. Write that name.", "{c} - {m}"),
    (
        "Read the {noun} with care , find out which of these it is , and write the label next to it : { , }.",
        "{c} [{m}]",
    ),
    ("Print {}.", "{m} provided that it is {c}"),
    ("Respond to {}.", "{c} with {m}"),
    ("Only these answers are allowed : { , }.", "{m} ( for {c} )"),
    ("{ }", "{c} calls for {m}."),
    ("Nothing but a label is wanted. { }", "It is {m} given {c}."),
    ("Ask yourself what the {noun} is. { , else }.", "if {c} then {m}"),
    ("You are shown a {noun} and type {}.", "{m} for {c}"),
    ("{ }", "Write {m} only for {c}."),
    ("I will give you some {noun} or other ; tell me {}.", "{m} in answer to {c}"),
    ("Two columns , what the {noun} is and what to write : { ; }", "{c} , {m}"),
    ("{ }", "{m} is the word for {c}."),
    ("The first part says what to write , the second when : { ; }", "{m} , {c}"),
)
"""How a map is said: the frame, and one class in it. Braces in the frame hold what stands between two classes; empty
ones list them as a phrase."""
_ASKED_BY = (
    "Answer", "Say", "Write", "Give", "Print", "Reply with", "Respond with", "Choose", "Put", "Use", "Type", "Send",
    "State", "Show", "Produce", "Emit", "Note down", "Report", "Deliver", "Call out", "Pick", "Select", "Hand me",
    "Please write", "You say", "Simply put", "Your output is", "The label is", "What I expect is", "The reply is",
)  # fmt: skip
_ASKED_WHEN = (
    "{m} for {c}", "{m} if it is {c}", "{m} when it is {c}", "{m} in case of {c}", "{m} on {c}", "{m} given {c}",
    "{m} if the {noun} is {c}", "{m} where the {noun} is {c}", "{m} as soon as it is {c}", "{m} upon {c}",
    "{m} every time it is {c}", "{m} should the {noun} be {c}", "{m} for a {noun} that is {c}", "{m} whenever you see {c}",
    "{m} provided you have {c}", "{m} only for {c}",
)  # fmt: skip
_TOLD_OF = (
    "As for the {noun} , {}.", "With this {noun} , {}.", "About the {noun} one knows : {}.", "Here {}.", "It holds that {}.",
    "In this code {}.", "By our rule {}.", "Note that {}.", "Take it that {}.", "Of every {noun} it is said that {}.",
)  # fmt: skip
_TOLD_AS = (
    "{c} is {m}", "{c} gives {m}", "{c} stands for {m}", "{c} becomes {m}", "{c} takes {m}", "{c} has the label {m}",
    "{m} belongs to {c}", "{m} marks {c}", "{c} is to be called {m}", "{c} leads to {m}", "{c} asks for {m}",
)  # fmt: skip
_COMPOSED_WORDINGS = (
    *((f"{verb} {{}}.", cell) for verb in _ASKED_BY for cell in _ASKED_WHEN),
    *((frame, cell) for frame in _TOLD_OF for cell in _TOLD_AS),
)
"""Further ones, of two parts."""
HELD_WORDINGS = (
    ("Return {}.", "{m} if it is {c}"),
    ("Output {}.", "{m} whenever the {noun} is {c}"),
    ("For the {noun} , {}.", "{c} means {m}"),
)
"""The same, never trained."""
_ELSE = "anything else"
_REST = {_ELSE: ("everything else", "something else", "any other kind")}
_FORMS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "first_letter": {
        "one that starts with {}": (
            "a word beginning with {}", "a word whose first letter is {}", "any word that has {} at its start"
        )
    },
    "last_letter": {
        "one that ends in {}": ("a word ending with {}", "a word whose last letter is {}", "any word with {} at its end")
    },
    "vowel": {
        "one that starts with a {}": (
            "a word beginning with a {}", "a word whose first letter is a {}", "any word that opens with a {}"
        )
    },
    "length": {
        "one of less than {} letters": (
            "a word with fewer than {} letters", "a word shorter than {} letters", "any word with less than {} letters"
        ),
        "one of {} letters or more": (
            "a word with at least {} letters", "a word not shorter than {} letters", "any word that has {} letters or more"
        ),
    },
    "keyword": {"{}": ("the word {}", "exactly {}", "just {}")},
    "contains": {
        "a list with {}": ("a list that contains {}", "one where you see {}", "a list which has {} somewhere in it")
    },
    "first_word": {
        "a list that begins with {}": ("one with {} in front", "a list whose first word is {}", "a list opening with {}")
    },
    "last_word": {
        "a list that ends with {}": ("one with {} at the end", "a list whose last word is {}", "a list closing with {}")
    },
    "category": {"{}": ("a word for {a}", "something that is {a}", "the name of {a}")},
    "categories": {"a list of {}": ("one made up of {} words", "words for {} only", "a list in which each is {a}")},
    "member": {"a list with {}": ("a list that contains {}", "one where you find {}", "a list which names {}")},
    "items": {"a list of {}": ("one that has {}", "a list with {} in it", "{}")},
    "repeats": {
        "a list with a word twice": ("one that repeats a word", "a list in which some word comes back"),
        "a list of different words": ("one that repeats no word", "a list in which no word comes back"),
    },
    "size": {
        "a number below {}": ("one less than {}", "a number smaller than {}", "a number under {}"),
        "a number from {} up": ("one not less than {}", "a number of at least {}", "a number that is {} or more"),
    },
    "digits": {
        "a number of one digit": ("one with a single digit", "a number written with 1 digit"),
        "a number of two digits": ("one with a pair of digits", "a number written with 2 digits"),
        "a number of three digits": ("one with a trio of digits", "a number written with 3 digits"),
    },
    "larger": {
        "a pair whose {} number is larger": ("one in which the {} is the larger", "a pair with its greater number {}")
    },
    "letters": {
        "a word in small letters": ("one written small", "a lower case word", "a word without capitals"),
        "a word in capital letters": ("one written in capitals", "an upper case word", "a word with only capitals"),
    },
    "job": {"{}": ("one that tells of {a}", "a sentence on {a}", "one in which somebody is {a}")},
    "trait": {"{}": ("a thing that is {}", "something called {}", "a phrase with {}")},
    "owner": {"one with {}": ("one where {} is named", "a phrase with {} in it", "something that {} has to do with")},
    "sentiment": {"{}": ("a {} review", "a review that is {}", "one with a {} view")},
    "opinion": {"{}": ("a {} review", "a review that is {}", "one with a {} view")},
    "reviewed": {"{}": ("a {} review", "a review about the {}", "one that deals with the {}")},
    "topic": {"{}": ("a {} headline", "news about {}", "a headline on {}")},
    "intent": {"{}": ("a {} request", "a message about {}", "one that has to do with {}")},
    "tone": {"{}": ("a message that is {}", "one whose tone is {}", "{} in tone")},
    "urgency": {"{}": ("a message that is {}", "one that sounds {}", "{} in tone")},
    "tense": {"{}": ("a sentence in the {}", "the {} tense", "one that speaks of the {}")},
    "form": {"{}": ("a sentence that is {a}", "{a}", "one in the form of {a}")},
    "denial": {
        "a sentence with not": ("one that has the word not", "a sentence where you see not"),
        "a sentence without not": ("one that lacks the word not", "a sentence where you see no not"),
    },
    "mail": {"{}": ("a mail about {}", "one that deals with {}", "mail on {}")},
    "spam": {"{}": ("a {} mail", "mail that is {}")},
    "subject": {"{}": ("a {} question", "a question on {}", "one that belongs to {}")},
    "asked": {"{}": ("one that asks for a {}", "a question about a {}", "a question to be answered with a {}")},
    "feeling": {"{}": ("an entry full of {}", "one that shows {}", "an entry about {}")},
    "daytime": {"{}": ("an entry about the {}", "one in which it is {}", "an entry with {} as the time of day")},
    "living": {"{}": ("{a}", "a description of {a}", "one that tells about {a}")},
    "habitat": {"{}": ("one with {} as the home", "a description of life in the {}", "something of the {}")},
}  # fmt: skip
"""By kind of input: how a class is said, and what may be said instead in a trained wording. {} is what changes with
the class, {a} the same as one thing: after its article, or a piece of it. Kinds that are held out have none."""
_SHORT = """A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9 one two three four five six foo bar
baz qux yes no up down left right good bad alpha beta gamma delta blick dax wug zop lum tev kip nar sol ven mib fep"""
_SHORT_LABELS = (part(tuple(_SHORT.split()), False), part(tuple(_SHORT.split()), True))


def label_map(rng: Random, held: bool = False, *, unseen_kind: bool = False, kind: str | None = None) -> Task:
    """Return a new map; held: with labels that training never shows; `unseen_kind`: over inputs never mapped."""
    kind = kind or (rng.choice(HELD_KINDS) if unseen_kind else _trained_kind(rng))
    source = KINDS[kind](rng, held)
    groups = _groups(rng, source)
    labels = _new_labels(rng, held, len(groups))
    classes = dict(zip(labels, groups.values(), strict=True))

    def draw(rng: Random, held: bool) -> Turn:
        label = rng.choice(labels)
        return Turn({"text": source.draw(rng, rng.choice(classes[label]), held)}, {"answer": label})

    def rephrased(phrases: Sequence[str]) -> Sequence[str]:
        return phrases if held else _rephrased(rng, kind, phrases)

    pairs = list(zip(groups, labels, strict=True))
    return Task(
        f"map_{kind}",
        FAMILY,
        draw,
        _worded([*rng.sample(WORDINGS, 3), *rng.sample(_COMPOSED_WORDINGS, 2)], pairs, source.noun, rephrased),
        _worded(HELD_WORDINGS, pairs, source.noun),
        labels=labels,
        names=field_names(source.noun),
        large=source.large,
    )


def _trained_kind(rng: Random) -> str:
    return rng.choices(TRAINED_KINDS, cum_weights=_TRAINED_WEIGHTS)[0]


def _groups(rng: Random, source: Source) -> Mapping[str, Sequence[str]]:
    """Return what is to be told apart, by its phrase: some of the classes, or at times one against the others."""
    classes = list(source.labels)
    rng.shuffle(classes)
    if len(classes) > 2 and rng.random() < 0.12:
        return {source.phrase(classes[0]): classes[:1], _ELSE: classes[1:]}
    return {source.phrase(label): [label] for label in classes[: _count(rng, len(classes))]}


def _worded(
    wordings: Sequence[tuple[str, str]],
    pairs: Sequence[tuple[str, str]],
    noun: str,
    rephrased: Callable[[Sequence[str]], Sequence[str]] = lambda phrases: phrases,
) -> Sequence[str]:
    worded: list[str] = []
    for frame, cell in wordings:
        own = cell.replace("{noun}", noun)
        phrases = rephrased([phrase for phrase, _ in pairs])
        cells = [own.replace("{c}", c).replace("{m}", m) for c, (_, m) in zip(phrases, pairs, strict=True)]
        before, between, after = re.split(r"\{(\W[^}]*|)\}", frame.replace("{noun}", noun))
        worded.append(f"{before}{between.join(cells) if between else listed(cells)}{after}")
    return worded


def _rephrased(rng: Random, kind: str, phrases: Sequence[str]) -> Sequence[str]:
    """Return the phrases of a trained map in one of their other forms, the same for all classes."""
    form = rng.random()
    found: list[str] = []
    for phrase in phrases:
        said = phrase
        for own, others in (_REST if phrase == _ELSE else _FORMS.get(kind, {})).items():
            if match := re.fullmatch(own.replace("{}", "(.+)"), phrase):
                filled = match.groups()[0] if match.groups() else ""
                forms = (own, *others)
                chosen = forms[int(form * len(forms))]
                said = chosen.replace("{a}", one_of(filled) if filled else "").replace("{}", filled)
                break
        found.append(said)
    return found


def _new_labels(rng: Random, held: bool, count: int) -> Sequence[str]:
    """Return different labels, mostly of one sort."""
    sort = rng.random() if rng.random() < 0.7 else None
    found: list[str] = []
    while len(found) < count:
        label = _new_label(rng, held, rng.random() if sort is None else sort)
        if label not in found:
            found.append(label)
    return found


def _new_label(rng: Random, held: bool, sort: float) -> str:
    """Return a word, a made-up name, two of these, or a letter, a digit or the like."""
    if sort < 0.45:
        word = rng.choice(_POOLS[held])
        return word.capitalize() if rng.random() < 0.1 else word
    if sort < 0.65:
        return _made_up(rng, held)
    if sort < 0.83:
        return f"{_part(rng, held)} {_part(rng, held)}"
    return rng.choice(_SHORT_LABELS[held])


def _part(rng: Random, held: bool) -> str:
    return rng.choice(_POOLS[held]) if rng.random() < 0.6 else _made_up(rng, held)


def _made_up(rng: Random, held: bool) -> str:
    made = name(rng, held)
    return made if rng.random() < 0.5 else made.lower()
