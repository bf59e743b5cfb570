"""Tasks on lists of words, each once with a space and once with a comma between the words."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from lmprog.lm.tiny.curriculum.example import REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.further import instructions
from lmprog.lm.tiny.curriculum.lexicon import (
    CATEGORIES,
    NOUNS,
    OPPOSITES,
    listed,
    name,
    one_of,
    part,
    plural,
    words,
)

SEPARATORS: Mapping[str, float] = {" ": 0.7, " , ": 0.3}
"""What stands between the words, with its share of a task's weight."""

YES_NO = ("yes", "no")

_LIST_NAMES = {"text": ("text", "words", "list", "items")}
_WANTED = ("wanted", "candidate", "element", "entry")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

_Words = Callable[[Random, bool], list[str]]
_Write = Callable[[Sequence[str], str], str]
"""From the words and the separator to the answer."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A task before its separator is chosen: `draw` takes it as its last argument."""

    name: str
    draw: Callable[[Random, bool, str], Turn]
    precise: Sequence[str]
    held: Sequence[str]
    weight: float = 1.0
    family: str = "list"
    labels: Sequence[str] = ()
    names: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    further: Sequence[str] = ()

    def task(self, separator: str) -> Task:
        def draw(rng: Random, held: bool) -> Turn:
            return self.draw(rng, held, separator)

        weight = self.weight * SEPARATORS[separator]
        return Task(
            self.name,
            self.family,
            draw,
            self.precise,
            self.held,
            weight,
            self.labels,
            self.names,
            further=self.further,
        )


_MADE_UP = 0.35
"""How often a list is of made-up names in training, so that to copy a word is learned rather than the words."""


def some(rng: Random, held: bool, least: int = 3, most: int = 6) -> list[str]:
    """Return different words, or now and then made-up names."""
    count = rng.randint(least, most)
    if rng.random() < (0.2 if held else _MADE_UP):
        return list(dict.fromkeys(name(rng, held) for _ in range(count)))
    return rng.sample(words(held), count)


def _several(least: int = 3, most: int = 6) -> _Words:
    def draw(rng: Random, held: bool) -> list[str]:
        drawn = some(rng, held, least, most)
        return drawn if len(drawn) >= least else draw(rng, held)

    return draw


def _one_longest(rng: Random, held: bool) -> list[str]:
    while True:
        drawn = some(rng, held, 3, 5)
        lengths = sorted(map(len, drawn))
        if lengths[-1] > lengths[-2] + 1:
            return drawn


def _one_shortest(rng: Random, held: bool) -> list[str]:
    while True:
        drawn = some(rng, held, 3, 5)
        lengths = sorted(map(len, drawn))
        if lengths[0] < lengths[1] - 1:
            return drawn


def _odd_many(rng: Random, held: bool) -> list[str]:
    return _several(3, 3)(rng, held) if rng.random() < 0.6 else _several(5, 5)(rng, held)


def _with_repeats(rng: Random, held: bool) -> list[str]:
    drawn = some(rng, held, 2, 4)
    drawn += [rng.choice(drawn) for _ in range(rng.choice((1, 1, 2)))]
    rng.shuffle(drawn)
    return drawn


def _writes(draw: _Words, write: _Write) -> Callable[[Random, bool, str], Turn]:
    def turn(rng: Random, held: bool, separator: str) -> Turn:
        drawn = draw(rng, held)
        return Turn({"text": separator.join(drawn)}, {"answer": write(drawn, separator)})

    return turn


def _picks(pick: Callable[[Sequence[str]], str], draw: _Words | None = None) -> Callable[[Random, bool, str], Turn]:
    return _writes(draw or _several(), lambda drawn, separator: pick(drawn))


def _keeps(
    keep: Callable[[Sequence[str]], Sequence[str]], draw: _Words | None = None
) -> Callable[[Random, bool, str], Turn]:
    return _writes(draw or _several(), lambda drawn, separator: separator.join(keep(drawn)))


def _contains(rng: Random, held: bool, separator: str) -> Turn:
    drawn = _several()(rng, held)
    if rng.random() < 0.5:
        wanted = rng.choice(drawn)
    else:
        wanted = name(rng, held) if drawn[0][0].isupper() else rng.choice(words(held))
    answer = "yes" if wanted in drawn else "no"
    return Turn({"text": separator.join(drawn), "wanted": wanted}, {"answer": answer})


def _position(rng: Random, held: bool, separator: str) -> Turn:
    drawn = _several(3, 5)(rng, held)
    at = rng.randrange(len(drawn))
    return Turn({"text": separator.join(drawn), "wanted": drawn[at]}, {"answer": str(at + 1)})


def _nth(rng: Random, held: bool, separator: str) -> Turn:
    drawn = _several(3, 6)(rng, held)
    at = rng.randrange(len(drawn))
    return Turn({"text": separator.join(drawn), "position": str(at + 1)}, {"answer": drawn[at]})


def _ordinal(rng: Random, held: bool, separator: str) -> Turn:
    drawn = _several(3, 6)(rng, held)
    at = rng.randrange(len(drawn))
    return Turn({"text": separator.join(drawn), "position": _ORDINALS[at]}, {"answer": drawn[at]})


def _neighbour(step: int) -> Callable[[Random, bool, str], Turn]:
    def turn(rng: Random, held: bool, separator: str) -> Turn:
        drawn = _several(3, 5)(rng, held)
        at = rng.randrange(max(0, -step), len(drawn) - max(0, step))
        return Turn({"text": separator.join(drawn), "wanted": drawn[at]}, {"answer": drawn[at + step]})

    return turn


def _grown(at_end: bool) -> Callable[[Random, bool, str], Turn]:
    def turn(rng: Random, held: bool, separator: str) -> Turn:
        *drawn, new = _several(3, 6)(rng, held)
        grown = [*drawn, new] if at_end else [new, *drawn]
        return Turn({"text": separator.join(drawn), "wanted": new}, {"answer": separator.join(grown)})

    return turn


def _without(rng: Random, held: bool, separator: str) -> Turn:
    drawn = _several(3, 5)(rng, held)
    wanted = rng.choice(drawn)
    rest = [word for word in drawn if word != wanted]
    return Turn({"text": separator.join(drawn), "wanted": wanted}, {"answer": separator.join(rest)})


def _occurrences(rng: Random, held: bool, separator: str) -> Turn:
    wanted, *others = _several(3, 5)(rng, held)
    times = rng.choice((1, 1, 2, 2, 3))
    drawn = others + [wanted] * times
    rng.shuffle(drawn)
    return Turn({"text": separator.join(drawn), "wanted": wanted}, {"answer": str(times)})


def _odd_one_out(rng: Random, held: bool, separator: str) -> Turn:
    kind, other = rng.sample(tuple(CATEGORIES), 2)
    odd = rng.choice(CATEGORIES[other])
    drawn = [odd, *rng.sample(CATEGORIES[kind], 3)]
    rng.shuffle(drawn)
    return Turn({"text": separator.join(drawn)}, {"answer": odd})


def _find(kind: str) -> Callable[[Random, bool, str], Turn]:
    others = tuple(other for other in CATEGORIES if other != kind)

    def turn(rng: Random, held: bool, separator: str) -> Turn:
        found = rng.choice(CATEGORIES[kind])
        drawn = [found, *(rng.choice(CATEGORIES[other]) for other in rng.sample(others, rng.randint(2, 4)))]
        rng.shuffle(drawn)
        return Turn({"text": separator.join(drawn)}, {"answer": found})

    return turn


def _finding(kind: str) -> _Kind:
    one = one_of(kind)
    return _Kind(
        f"find_{kind}",
        _find(kind),
        (
            f"Find the word that names {one}.",
            f"Pick the {kind} from the list.",
            f"Which word is {one}?",
            f"Return the {kind}.",
            f"Give the only {kind} in the list.",
            f"Write the item that is {one}.",
        ),
        (
            f"Among these words, which one stands for {one}?",
            f"There is one {kind} here; name it.",
            f"Leave out whatever is not {one} and write what remains.",
        ),
        0.2,
        "find",
        further=tuple(wording.format(one=one, kind=kind) for wording in instructions("find")),
    )


def _composed(
    at: int, place: str, act: Callable[[str], str], pool: Sequence[str], *, known: bool = False
) -> Callable[[Random, bool, str], Turn]:
    """Take the word at a place, then act on it. With `known` the action is a look-up: all words are shown."""

    def turn(rng: Random, held: bool, separator: str) -> Turn:
        drawn = rng.sample(pool if known else part(pool, held), rng.randint(3, 5))
        answer = act(drawn[at])
        outputs = {REASONING: f"The {place} word is {drawn[at]} .", "answer": answer}
        return Turn({"text": separator.join(drawn)}, outputs)

    return turn


_KINDS: Sequence[_Kind] = (
    _Kind(
        "first",
        _picks(lambda drawn: drawn[0]),
        (
            "Give the first word.",
            "Write the first word of the list.",
            "Return the first item.",
            "What is the first word?",
            "Output the word that comes first.",
            "Pick the first word of the text.",
        ),
        (
            "Only the word at the very start of the list is wanted.",
            "With which word does the list begin?",
            "Drop every word after the first and write what is left.",
        ),
    ),
    _Kind(
        "last",
        _picks(lambda drawn: drawn[-1]),
        (
            "Give the last word.",
            "Write the last word of the list.",
            "Return the last item.",
            "What is the last word?",
            "Output the final word.",
            "Pick the last word of the text.",
            "Reply with the final item of the list.",
        ),
        (
            "Only the word at the very end of the list is wanted.",
            "With which word does the list end?",
            "Skip all the words but the last and write that one.",
        ),
        1.2,
    ),
    _Kind(
        "second",
        _picks(lambda drawn: drawn[1]),
        (
            "Give the second word.",
            "Write the second word of the list.",
            "Return the second item.",
            "What is the second word?",
            "Output the word in second position.",
            "Pick the second word of the text.",
        ),
        (
            "Which word stands right after the first one?",
            "Only word number two is wanted.",
            "Skip one word, then write the next.",
        ),
    ),
    _Kind(
        "third",
        _picks(lambda drawn: drawn[2]),
        (
            "Give the third word.",
            "Write the third word of the list.",
            "Return the third item.",
            "What is the third word?",
            "Pick the third word of the text.",
            "Reply with the third item of the list.",
        ),
        (
            "Only word number three is wanted.",
            "Skip two words, then write the next.",
            "Which word stands right after the second one?",
        ),
        0.7,
    ),
    _Kind(
        "middle",
        _picks(lambda drawn: drawn[len(drawn) // 2], _odd_many),
        (
            "Give the middle word.",
            "Write the word in the middle of the list.",
            "Return the middle item.",
            "What is the word in the middle?",
            "Pick the central word.",
            "Output the word with as many words before it as after it.",
        ),
        (
            "Which word has the same number of words on both sides?",
            "Only the word halfway through the list is wanted.",
            "Look at the center of the list and write the word that stands there.",
        ),
        0.6,
    ),
    _Kind(
        "second_last",
        _picks(lambda drawn: drawn[-2]),
        (
            "Give the second to last word.",
            "Write the word before the last one.",
            "Return the last item but one.",
            "What is the second to last word?",
            "Pick the word just before the final word.",
            "Output the next to last word.",
        ),
        (
            "Counting from the end, which word is number two?",
            "Ignore the last word; the one that then ends the list is the answer.",
            "Only the word that the final word follows is wanted.",
        ),
        0.6,
    ),
    _Kind(
        "reverse",
        _keeps(lambda drawn: drawn[::-1]),
        (
            "Reverse the order of the words.",
            "Write the words in reverse order.",
            "Give the list backwards.",
            "Return the items from last to first.",
            "List the words in the opposite order.",
            "Turn the list around.",
            "Output the words in reversed order.",
        ),
        (
            "Start with the final word and go back to the first.",
            "How does the list read from right to left, word by word?",
            "The answer has the same words, in reverse.",
        ),
        1.4,
    ),
    _Kind(
        "sort",
        _keeps(lambda drawn: sorted(drawn, key=str.lower), _several(3, 4)),
        (
            "Sort the words alphabetically.",
            "Put the words in alphabetical order.",
            "Write the list in alphabetical order.",
            "Return the items sorted from a to z.",
            "Order the words by the alphabet.",
            "Bring the words into the order of a dictionary.",
        ),
        (
            "In which order would a dictionary show these words?",
            "Arrange the words from a to z.",
            "The answer has the same words, but alphabetical.",
        ),
        1.4,
    ),
    _Kind(
        "count",
        _picks(lambda drawn: str(len(drawn)), _several(2, 7)),
        (
            "Count the words.",
            "How many words are there?",
            "Give the number of words.",
            "Return how many items are in the list.",
            "Write the number of items.",
            "Answer with the length of the list.",
        ),
        (
            "The list consists of how many words?",
            "A number is wanted: one for every word in the list.",
            "Tell me the word count of this list.",
        ),
        0.8,
    ),
    _Kind(
        "first_and_last",
        _keeps(lambda drawn: [drawn[0], drawn[-1]]),
        (
            "Give the first and the last word.",
            "Write the first word and then the last word.",
            "Return the first and last items.",
            "Output only the first and final words.",
            "Answer with the first word followed by the last one.",
            "Pick the words at both ends of the list.",
        ),
        (
            "Of this list, just the two ends are wanted, in order.",
            "With which words does the list begin and end?",
            "Everything between the first and the final word should go.",
        ),
        0.8,
    ),
    _Kind(
        "first_two",
        _keeps(lambda drawn: drawn[:2]),
        (
            "Give the first two words.",
            "Write the first two words of the list.",
            "Return the first two items.",
            "Output the two words that come first.",
            "Keep the first and the second word.",
            "Pick the two words at the start.",
        ),
        (
            "With which two words does the list begin?",
            "Stop after the second word.",
            "Only words one and two are wanted.",
        ),
        0.6,
    ),
    _Kind(
        "last_two",
        _keeps(lambda drawn: drawn[-2:]),
        (
            "Give the last two words.",
            "Write the last two words of the list.",
            "Return the last two items.",
            "Output the two words that come last.",
            "Keep the final two words.",
            "Pick the two words at the end.",
        ),
        (
            "With which two words does the list end?",
            "Only the final pair of words is wanted, in the order given.",
            "Everything except the closing two words should go.",
        ),
        0.6,
    ),
    _Kind(
        "drop_first",
        _keeps(lambda drawn: drawn[1:]),
        (
            "Remove the first word.",
            "Delete the first item of the list.",
            "Return the list without its first item.",
            "Drop the first word and keep the rest.",
            "Give the words from the second on.",
            "Leave out the first word.",
        ),
        (
            "Write all words except the first.",
            "What remains of the list when its first word is gone?",
            "The word at the start should go, the others stay.",
        ),
        0.8,
    ),
    _Kind(
        "drop_last",
        _keeps(lambda drawn: drawn[:-1]),
        (
            "Remove the last word.",
            "Delete the last item of the list.",
            "Return the list without its last item.",
            "Drop the last word and keep the rest.",
            "Give the words up to the one before the last.",
            "Leave out the last word.",
        ),
        (
            "Write all words except the last.",
            "What remains of the list when its last word is gone?",
            "The word at the end should go, the others stay.",
        ),
        0.8,
    ),
    _Kind(
        "initials",
        _writes(_several(3, 5), lambda drawn, separator: " ".join(word[0] for word in drawn)),
        (
            "Give the first letter of each word.",
            "Write the initials of the words.",
            "Return the initial of every word.",
            "Output the first letters of all the words.",
            "Answer with the letter that each word starts with.",
            "Shorten every word to its first letter.",
        ),
        (
            "List the first letter of each item.",
            "With which letters do these words begin, in order?",
            "From every word keep the opening letter alone.",
        ),
        0.8,
    ),
    _Kind(
        "longest",
        _picks(lambda drawn: max(drawn, key=len), _one_longest),
        (
            "Give the longest word.",
            "Write the longest word of the list.",
            "Return the item with the most letters.",
            "Which word is the longest?",
            "Pick the word that has the most letters.",
            "Output the longest item.",
        ),
        (
            "No other word here has as many letters as the one I want.",
            "Compare the words by length and name the one of greatest length.",
            "Which of these takes the most letters to write?",
        ),
        0.6,
    ),
    _Kind(
        "shortest",
        _picks(lambda drawn: min(drawn, key=len), _one_shortest),
        (
            "Give the shortest word.",
            "Write the shortest word of the list.",
            "Return the item with the fewest letters.",
            "Which word is the shortest?",
            "Pick the word that has the fewest letters.",
            "Output the shortest item.",
        ),
        (
            "Every other word here has more letters than the one I want.",
            "Compare the words by length and name the one of least length.",
            "Which of these takes the fewest letters to write?",
        ),
        0.6,
    ),
    _Kind(
        "unique",
        _keeps(lambda drawn: list(dict.fromkeys(drawn)), _with_repeats),
        (
            "Write each word only once.",
            "Remove the repeated words.",
            "Return the unique words in the order in which they come.",
            "Delete words that have already occurred.",
            "Give the different words of the list.",
            "Keep the first of each word and drop its repeats.",
        ),
        (
            "No word may stand there twice: write the list without repetitions.",
            "Which different words occur, in their first order?",
            "Some words are given several times; list every one of them just once.",
        ),
        0.7,
    ),
    _Kind(
        "join_commas",
        _writes(_several(), lambda drawn, separator: ", ".join(drawn)),
        (
            "Write the words with commas between them.",
            "Join the words with commas.",
            "Separate the words by a comma and a space.",
            "Return the list as comma separated words.",
            "Put a comma after every word but the last.",
            "Give the items divided by commas.",
        ),
        (
            "The same words are wanted, with a comma between each and the next.",
            "How does the list look with commas?",
            "Turn this into a line of words that commas keep apart.",
        ),
        0.7,
    ),
    _Kind(
        "join_and",
        _writes(_several(3, 5), lambda drawn, separator: listed(drawn)),
        (
            "Write the words with commas and put and before the last.",
            "Join the words by commas, the last one with and.",
            "Return the list as in a sentence, with and at its end.",
            "List the words with and between the last two.",
            "Put and before the last word and commas between the others.",
            "Give the items as a phrase that ends in and and the last item.",
        ),
        (
            "How would you say this list in a sentence, with and before its final word?",
            "Commas keep the words apart, but the word and goes between the last two.",
            "Turn the words into an enumeration that closes with and.",
        ),
        0.5,
    ),
    _Kind(
        "join_dashes",
        _writes(_several(3, 5), lambda drawn, separator: "-".join(drawn)),
        (
            "Write the words with dashes between them.",
            "Join the words with hyphens.",
            "Connect the words by dashes.",
            "Return the items joined by a dash, without spaces.",
            "Put a hyphen between each word and the next.",
            "Make one long word of the words with dashes in between.",
        ),
        (
            "The same words are wanted, with a hyphen in every gap.",
            "How does the list look when dashes hold it together?",
            "Every separator becomes a dash; write the result.",
        ),
        0.5,
    ),
    _Kind(
        "as_json",
        _writes(_several(2, 5), lambda drawn, separator: json.dumps(list(drawn))),
        (
            "Write the words as a JSON list.",
            "Return the items as a JSON array.",
            "Convert the words to a JSON list of strings.",
            "Give the list in JSON.",
            "Output a JSON array with the words as strings.",
            "Turn the list into JSON.",
        ),
        (
            "How would a JSON file hold this list of words?",
            "Use square brackets and double quotes, as in JSON, for the list.",
            "The answer should be an array that a JSON parser can read, one string a word.",
        ),
        0.8,
    ),
    _Kind(
        "numbered",
        _writes(
            _several(2, 5),
            lambda drawn, separator: " ".join(f"{number}. {word}" for number, word in enumerate(drawn, 1)),
        ),
        (
            "Number the words.",
            "Write the words with their numbers, such as 1. and 2., before them.",
            "Return the list with numbers.",
            "Put 1. before the first word, 2. before the second and so on.",
            "Give each word its number in the list.",
            "Write a numbered list of the words.",
        ),
        (
            "Every word should follow its position and a dot.",
            "How does this look as a numbered list on one line?",
            "Count while you write the words: number, dot, word.",
        ),
        0.5,
    ),
    _Kind(
        "contains",
        _contains,
        (
            "Say yes if the list contains the wanted word and no otherwise.",
            "Is the word in the list? Answer yes or no.",
            "Answer yes if the list has the item, else no.",
            "Check whether the given word is one of the list, yes or no.",
            "Return yes when the word occurs in the list and no when it does not.",
            "Does the list include this word? Reply yes or no.",
        ),
        (
            "Yes or no: can the word be found among the others?",
            "Look for the word in the list; yes means found, no means missing.",
            "Write no unless the list holds the word, then write yes.",
        ),
        0.8,
        labels=YES_NO,
        names=_LIST_NAMES | {"wanted": _WANTED},
    ),
    _Kind(
        "position",
        _position,
        (
            "Give the position of the wanted word in the list.",
            "At which position does the word stand in the list?",
            "Return the number of the word, counted from 1.",
            "Which number does the word have in the list?",
            "Write the place of the word as a number.",
            "Find the word and answer with its position.",
        ),
        (
            "Count from the start of the list until you reach the word and write the count.",
            "Is the word number 1, 2, 3 or later? Answer with that number.",
            "How far into the list is the word, as a number?",
        ),
        0.5,
        names=_LIST_NAMES | {"wanted": _WANTED},
    ),
    _Kind(
        "nth",
        _nth,
        (
            "Give the word at the position.",
            "Write the word of the list that has this number.",
            "Return the item at the given position, counted from 1.",
            "Which word stands at the position?",
            "Pick the word with the given number.",
            "Output the item whose place in the list is given.",
        ),
        (
            "Count the words up to the number in the position field and write the word you reach.",
            "The position says which of the words is wanted.",
            "Of all the words, only the one in that place should be written.",
        ),
        0.8,
        names=_LIST_NAMES | {"position": ("position", "number", "index", "place")},
    ),
    _Kind(
        "ordinal",
        _ordinal,
        (
            "Give the word at the position.",
            "Write the word of the list that stands in this place.",
            "Return the item at the given position.",
            "Which word stands at the position?",
            "Pick the word that the position names.",
            "Output the item whose place in the list is given.",
        ),
        (
            "The position says which of the words is wanted.",
            "Of all the words, only the one in that place should be written.",
            "Go through the list to the place that is named and write the word there.",
        ),
        0.5,
        names=_LIST_NAMES | {"position": ("position", "place", "rank")},
    ),
    _Kind(
        "after",
        _neighbour(1),
        (
            "Give the word after the wanted one.",
            "Write the word that follows the given word in the list.",
            "Return the item after the given one.",
            "Which word comes next after it?",
            "Find the word in the list and answer with the next one.",
            "Output the word right behind the given word.",
        ),
        (
            "Go to the given word, move one step on, and write what stands there.",
            "What follows this word in the list?",
            "The neighbour on the right of the given word is the answer.",
        ),
        0.7,
        names=_LIST_NAMES | {"wanted": _WANTED},
    ),
    _Kind(
        "before",
        _neighbour(-1),
        (
            "Give the word before the wanted one.",
            "Write the word that precedes the given word in the list.",
            "Return the item before the given one.",
            "Which word comes just before it?",
            "Find the word in the list and answer with the previous one.",
            "Output the word right in front of the given word.",
        ),
        (
            "Go to the given word, move one step back, and write what stands there.",
            "What does this word follow in the list?",
            "The neighbour on the left of the given word is the answer.",
        ),
        0.7,
        names=_LIST_NAMES | {"wanted": _WANTED},
    ),
    _Kind(
        "append",
        _grown(True),
        (
            "Add the new word to the end of the list.",
            "Append the word to the list.",
            "Write the list and then the new word.",
            "Put the given word after the last word.",
            "Return the list with the new item at its end.",
            "Extend the list by the word.",
        ),
        (
            "How does the list read once the word has joined it as the last?",
            "The word belongs behind all the others; write the longer list.",
            "First all the words of the list, then the extra one.",
        ),
        0.5,
        names=_LIST_NAMES | {"wanted": ("new", "extra", "addition", "element")},
    ),
    _Kind(
        "prepend",
        _grown(False),
        (
            "Add the new word to the start of the list.",
            "Put the word before the list.",
            "Write the new word and then the list.",
            "Put the given word in front of the first word.",
            "Return the list with the new item at its beginning.",
            "Let the list begin with the new word.",
        ),
        (
            "How does the list read once the word has joined it as the first?",
            "The word belongs ahead of all the others; write the longer list.",
            "First the extra word, then all the words of the list.",
        ),
        0.5,
        names=_LIST_NAMES | {"wanted": ("new", "extra", "addition", "element")},
    ),
    _Kind(
        "without",
        _without,
        (
            "Remove the given word from the list.",
            "Delete the word from the list.",
            "Write the list without the given word.",
            "Drop that word and keep all others.",
            "Return all items but the given one.",
            "Strike the word from the list.",
        ),
        (
            "What remains of the list once this word is gone?",
            "All the words stay, except for the one that is named.",
            "Copy the list but skip the given word.",
        ),
        0.6,
        names=_LIST_NAMES | {"wanted": _WANTED},
    ),
    _Kind(
        "occurrences",
        _occurrences,
        (
            "Count how often the word occurs in the list.",
            "How many times is the given word in the list?",
            "Give the number of times that the word occurs.",
            "Return how often the list has the word.",
            "Write the count of the given word.",
            "Answer with the number of occurrences of the word.",
        ),
        (
            "Go through the list and tally every time you see the word.",
            "The word may come once or several times; with which number?",
            "As a number: the frequency of this word among the others.",
        ),
        0.5,
        names=_LIST_NAMES | {"wanted": _WANTED},
    ),
    _Kind(
        "odd_one_out",
        _odd_one_out,
        (
            "Find the word that does not belong.",
            "Which word is of a different kind than the others?",
            "Name the odd one out.",
            "Pick the word that does not fit with the rest.",
            "Return the item that is not like the others.",
            "Write the only word of another category.",
        ),
        (
            "All words but one are of the same kind. Which is the exception?",
            "One word is a stranger in this list; name it.",
            "Leave out everything that shares a category and write what remains.",
        ),
        0.7,
        "find",
    ),
    *(_finding(kind) for kind in CATEGORIES),
    _Kind(
        "plural_last",
        _composed(-1, "last", plural, NOUNS),
        (
            "Give the plural of the last word.",
            "Take the last word and make it plural.",
            "Return the plural form of the final word.",
            "What is the plural of the last word?",
            "Pluralize the last item of the list.",
            "Find the last noun and write its plural.",
        ),
        (
            "Write the last word of the list in the plural.",
            "With which noun does the list end? Answer in the plural.",
            "Only the final word matters: it should stand in its plural form.",
        ),
        0.5,
        "composition",
    ),
    _Kind(
        "plural_first",
        _composed(0, "first", plural, NOUNS),
        (
            "Give the plural of the first word.",
            "Take the first word and make it plural.",
            "Return the plural form of the first item.",
            "What is the plural of the first word?",
            "Pluralize the first item of the list.",
            "Find the first noun and write its plural.",
        ),
        (
            "Write the first word of the list in the plural.",
            "With which noun does the list begin? Answer in the plural.",
            "Only the opening word matters: it should stand in its plural form.",
        ),
        0.5,
        "composition",
    ),
    _Kind(
        "upper_last",
        _composed(-1, "last", str.upper, NOUNS),
        (
            "Give the last word in capital letters.",
            "Take the last word and put it in upper case.",
            "Write the last item in capitals.",
            "What is the last word in capital letters?",
            "Convert the final word to upper case.",
            "Find the last word and shout it in capitals.",
        ),
        (
            "Return the final word in uppercase.",
            "Only the word at the end counts: answer with it in capital letters.",
            "With which word does the list end? Reply in upper case.",
        ),
        0.5,
        "composition",
    ),
    _Kind(
        "letter_last",
        _composed(-1, "last", lambda word: word[0], NOUNS),
        (
            "Give the first letter of the last word.",
            "Take the last word and return its first letter.",
            "What is the first letter of the last word?",
            "Find the final word and write its initial.",
            "Return the letter at the start of the last item.",
            "Look at the last word and answer with its first letter.",
        ),
        (
            "Write the letter that the final word starts with.",
            "The last word begins with a letter; name that letter.",
            "With which letter does the word at the end of the list begin?",
        ),
        0.5,
        "composition",
    ),
    _Kind(
        "letter_second",
        _composed(1, "second", lambda word: word[0], NOUNS),
        (
            "Give the first letter of the second word.",
            "Take the second word and return its first letter.",
            "What is the first letter of the second word?",
            "Find the second word and write its initial.",
            "Return the letter at the start of the second item.",
            "Look at the second word and answer with its first letter.",
        ),
        (
            "Write the letter that the second item starts with.",
            "Word number two begins with a letter; name that letter.",
            "With which letter does the second word of the list begin?",
        ),
        0.5,
        "composition",
    ),
    _Kind(
        "length_first",
        _composed(0, "first", lambda word: str(len(word)), NOUNS),
        (
            "Give the number of letters in the first word.",
            "Take the first word and count its letters.",
            "How many letters does the first word have?",
            "Return the length of the first item.",
            "Find the first word and write how long it is.",
            "Count the letters of the first word.",
        ),
        (
            "The word at the start consists of how many letters?",
            "As a number: the length of the word that opens the list.",
            "Ignore all words but the first and tell me its letter count.",
        ),
        0.4,
        "composition",
    ),
    _Kind(
        "opposite_first",
        _composed(0, "first", OPPOSITES.__getitem__, tuple(OPPOSITES), known=True),
        (
            "Give the opposite of the first word.",
            "Take the first word and return its antonym.",
            "What is the opposite of the first word?",
            "Return the word that means the opposite of the first one.",
            "Find the first word and answer with its antonym.",
            "Turn the first item into its opposite.",
        ),
        (
            "Write the antonym of the first item.",
            "The list begins with a word; which word means the contrary?",
            "Only the opening word matters: reply with its opposite.",
        ),
        0.5,
        "composition",
    ),
    _Kind(
        "opposite_last",
        _composed(-1, "last", OPPOSITES.__getitem__, tuple(OPPOSITES), known=True),
        (
            "Give the opposite of the last word.",
            "Take the last word and return its antonym.",
            "What is the opposite of the last word?",
            "Return the word that means the opposite of the last one.",
            "Find the last word and answer with its antonym.",
            "Turn the last item into its opposite.",
        ),
        (
            "Write the antonym of the final item.",
            "The list ends with a word; which word means the contrary?",
            "Only the closing word matters: reply with its opposite.",
        ),
        0.5,
        "composition",
    ),
)

TASKS: Sequence[Task] = tuple(kind.task(separator) for kind in _KINDS for separator in SEPARATORS)
