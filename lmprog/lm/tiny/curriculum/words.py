"""Tasks on a single word: its form, its letters, its meaning."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from lmprog.lm.tiny.curriculum.example import Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import (
    CAPITALS,
    CATEGORIES,
    NOUNS,
    OPPOSITES,
    PAST,
    article,
    listed,
    name,
    part,
    plural,
    words,
)

Draw = Callable[[Random, bool], Turn]
YES_NO = ("yes", "no")

_KINDS = {word: kind for kind, members in CATEGORIES.items() for word in members}
_COUNTRIES = {capital: country for country, capital in CAPITALS.items()}
_PRESENT = {past: verb for verb, past in PAST.items() if past != verb}
_ENDINGS = ("s", "ed", "ing", "er", "ly", "less", "ful", "ness", "ish", "able", "y", "en", "o", "ka", "x", "like")
_BEGINNINGS = ("un", "re", "pre", "super", "mini", "non", "anti", "over", "under", "mis", "co", "sub", "a", "ko")
_LETTERS = "abcdefghijklmnoprstuvwy"


def word(rng: Random, held: bool) -> str:
    """Return any word, or now and then a made-up name."""
    return name(rng, held) if rng.random() < 0.2 else rng.choice(words(held))


def yes_no(truth: bool) -> str:
    return "yes" if truth else "no"


def _asks(draw: Callable[[Random, bool], str], answer: Callable[[str], str]) -> Draw:
    def turn(rng: Random, held: bool) -> Turn:
        text = draw(rng, held)
        return Turn({"text": text}, {"answer": answer(text)})

    return turn


def _looks_up(table: Mapping[str, str]) -> Draw:
    known = tuple(table)
    return _asks(lambda rng, held: rng.choice(known), table.__getitem__)


def _noun(rng: Random, held: bool) -> str:
    return rng.choice(part(NOUNS, held))


def _phrase(rng: Random, held: bool) -> str:
    return " ".join(word(rng, held) for _ in range(rng.choice((1, 1, 1, 2, 3, 4))))


def _singular(rng: Random, held: bool) -> Turn:
    noun = _noun(rng, held)
    return Turn({"text": plural(noun)}, {"answer": noun})


def _lower(rng: Random, held: bool) -> Turn:
    text = word(rng, held)
    return Turn({"text": text.upper()}, {"answer": text.lower()})


def _ending(rng: Random, held: bool) -> Turn:
    text, ending = word(rng, held), rng.choice(_ENDINGS)
    return Turn({"text": text, "ending": ending}, {"answer": text + ending})


def _beginning(rng: Random, held: bool) -> Turn:
    text, beginning = word(rng, held).lower(), rng.choice(_BEGINNINGS)
    return Turn({"text": text, "beginning": beginning}, {"answer": beginning + text})


def _has_letter(rng: Random, held: bool) -> Turn:
    text = word(rng, held)
    letter = rng.choice(text.lower() if rng.random() < 0.5 else _LETTERS)
    return Turn({"text": text, "letter": letter}, {"answer": yes_no(letter in text.lower())})


def _is_kind(rng: Random, held: bool) -> Turn:
    text = rng.choice(tuple(_KINDS))
    kind = _KINDS[text] if rng.random() < 0.5 else rng.choice(tuple(CATEGORIES))
    return Turn({"text": text, "kind": kind}, {"answer": yes_no(_KINDS[text] == kind)})


def _same(rng: Random, held: bool) -> Turn:
    first = word(rng, held)
    second = first if rng.random() < 0.5 else word(rng, held)
    return Turn({"first": first, "second": second}, {"answer": yes_no(first == second)})


def _opposed(rng: Random, held: bool) -> Turn:
    first = rng.choice(tuple(OPPOSITES))
    second = OPPOSITES[first] if rng.random() < 0.5 else rng.choice(tuple(OPPOSITES))
    return Turn({"first": first, "second": second}, {"answer": yes_no(OPPOSITES[first] == second)})


def _task(
    name: str, draw: Draw, precise: Sequence[str], held: Sequence[str], weight: float = 1.0, labels: Sequence[str] = ()
) -> Task:
    return Task(name, "word", draw, precise, held, weight, labels)


TASKS: Sequence[Task] = (
    _task(
        "plural",
        _asks(_noun, plural),
        (
            "Give the plural of the word.",
            "Write the plural form of the given noun.",
            "Make the noun plural.",
            "Turn the singular noun into its plural.",
            "Return the plural form.",
            "Change the word to its plural.",
            "What is the plural of this noun?",
            "Pluralize the word.",
        ),
        (
            "How do you write this noun when there is more than one?",
            "A noun is given; answer with its plural.",
            "One of them is given. Write the form that means several, so the plural.",
        ),
    ),
    _task(
        "singular",
        _singular,
        (
            "Give the singular of the word.",
            "Write the singular form of the plural noun.",
            "Turn the plural into the singular.",
            "What is the singular of this noun?",
            "Return the singular form.",
            "Name just one of the things, in the singular.",
        ),
        (
            "The noun is plural; make it singular.",
            "How do you write this noun when there is only one?",
            "Please bring the plural noun back to its singular form.",
        ),
        0.6,
    ),
    _task(
        "antonym",
        _looks_up(OPPOSITES),
        (
            "Give the opposite of the word.",
            "Write the antonym of the given word.",
            "Return a word with the opposite meaning.",
            "What is the opposite of this word?",
            "Reply with the antonym.",
            "Find the word that means the opposite.",
            "Name the antonym of the word.",
        ),
        (
            "Which word means the reverse of this one, its opposite?",
            "For the word you see, answer with its antonym.",
            "I want the contrary of the word: its opposite in meaning.",
        ),
    ),
    _task(
        "past",
        _looks_up(PAST),
        (
            "Give the past tense of the verb.",
            "Write the verb in the past tense.",
            "Turn the verb into its past form.",
            "What is the past tense of this verb?",
            "Change the verb to the past.",
            "Return the past tense form.",
            "Say the verb as it was yesterday, in the past tense.",
        ),
        (
            "How does this verb read in the past tense?",
            "A verb is given; put it into the past.",
            "Imagine it happened yesterday and write the past form of the verb.",
        ),
    ),
    _task(
        "present",
        _looks_up(_PRESENT),
        (
            "Give the base form of the verb.",
            "The verb is in the past tense. Write it in the present.",
            "Turn the past form into the present.",
            "What is the present tense of this verb?",
            "Change the past tense back to the plain verb.",
            "Return the infinitive of the verb.",
        ),
        (
            "Which verb has this past tense?",
            "Undo the past tense and answer with the present form.",
            "From which plain verb does this past form come?",
        ),
        0.5,
    ),
    _task(
        "category",
        _looks_up(_KINDS),
        (
            "Give the category of the word.",
            "What kind of thing is this?",
            "Say which category the word belongs to.",
            "Name the class of thing, such as animal, fruit or tool.",
            f"Classify the word as {', '.join(tuple(CATEGORIES)[:-1])} or {tuple(CATEGORIES)[-1]}.",
            "Return the category of the item.",
            f"Put the word in one of these groups : {listed(tuple(CATEGORIES))}.",
            "Write the type of thing the word names.",
        ),
        (
            "To which category does this thing belong?",
            "A thing is named; reply with its kind, for instance animal or color.",
            "Sort the word into its category and write only the name of the category.",
        ),
    ),
    _task(
        "is_kind",
        _is_kind,
        (
            "Say yes if the word is of the given kind and no otherwise.",
            "Is the thing of this kind? Answer yes or no.",
            "Does the word belong to the kind? Reply yes or no.",
            "Answer yes when the word names a thing of that kind, else no.",
            "Check whether the word is in the category given as kind, yes or no.",
            "Return yes if the kind is right for the word and no if it is wrong.",
        ),
        (
            "True to its kind or not? Write yes if the thing is what the kind says, no if it is not.",
            "Decide with yes or no whether the kind fits the word.",
            "A word and a kind are given; yes means that they belong together, no that they do not.",
        ),
        0.6,
        YES_NO,
    ),
    _task(
        "are_opposites",
        _opposed,
        (
            "Say yes if the two words are opposites and no otherwise.",
            "Are the words opposites? Answer yes or no.",
            "Answer yes if the second word is the antonym of the first, else no.",
            "Do the two words mean the opposite of each other, yes or no?",
            "Return yes for a pair of antonyms and no for any other pair.",
            "Check whether the words are antonyms, yes or no.",
        ),
        (
            "Yes or no: does one word mean the contrary of the other?",
            "Decide if this is a pair of opposites; reply yes when it is, no when not.",
            "Write no unless the two words are opposite in meaning, then write yes.",
        ),
        0.4,
        YES_NO,
    ),
    _task(
        "same_word",
        _same,
        (
            "Say yes if the two words are the same and no otherwise.",
            "Are the words equal? Answer yes or no.",
            "Answer yes if the second word is the same as the first, else no.",
            "Return yes for equal words and no for different ones.",
            "Do both fields hold the same word, yes or no?",
            "Compare the words and reply yes if they match, no if they differ.",
        ),
        (
            "Yes or no: is the same word given twice?",
            "Write no when the two fields differ and yes when they do not.",
            "Decide whether both words are identical; yes means that they are, no that they are not.",
        ),
        0.4,
        YES_NO,
    ),
    _task(
        "first_letter",
        _asks(word, lambda text: text[0]),
        (
            "Give the first letter of the word.",
            "Write the first letter.",
            "What letter does the word start with?",
            "Return the initial letter of the word.",
            "Say which letter the word begins with.",
            "Reply with the first character of the word.",
        ),
        (
            "With which letter does this word begin?",
            "Only the letter at the start of the word is wanted.",
            "Keep just the first letter of the word and drop the rest.",
        ),
    ),
    _task(
        "last_letter",
        _asks(word, lambda text: text[-1]),
        (
            "Give the last letter of the word.",
            "Write the final letter of the word.",
            "What letter does the word end with?",
            "Return the last letter.",
            "Say which letter the word ends in.",
            "Reply with the last character of the word.",
        ),
        (
            "With which letter does this word end?",
            "Only the letter at the end of the word is wanted.",
            "Keep just the last letter of the word and drop the rest.",
        ),
    ),
    _task(
        "two_letters",
        _asks(word, lambda text: text[:2]),
        (
            "Give the first two letters of the word.",
            "Write the first two letters.",
            "Which two letters does the word start with?",
            "Return the two letters at the beginning.",
            "Cut the word after its second letter.",
            "Reply with the first two characters of the word.",
        ),
        (
            "How does this word begin? Its opening two letters are enough.",
            "Only the two letters at the start of the word are wanted.",
            "Keep the first two letters of the word and drop all that follow.",
        ),
        0.6,
    ),
    _task(
        "chop_first",
        _asks(word, lambda text: text[1:]),
        (
            "Remove the first letter of the word.",
            "Write the word without its first letter.",
            "Delete the first letter.",
            "Drop the first letter and keep the rest.",
            "Return all letters but the first.",
            "Cut off the first character of the word.",
        ),
        (
            "What is left of the word when its first letter is gone?",
            "Start the word at its second letter.",
            "Take the word, strip the letter at the start and write what remains.",
        ),
        0.5,
    ),
    _task(
        "chop_last",
        _asks(word, lambda text: text[:-1]),
        (
            "Remove the last letter of the word.",
            "Write the word without its last letter.",
            "Delete the last letter.",
            "Drop the final letter and keep the rest.",
            "Return all letters but the last.",
            "Cut off the last character of the word.",
        ),
        (
            "What is left of the word when its last letter is gone?",
            "Stop the word one letter early.",
            "Take the word, strip the letter at the end and write what remains.",
        ),
        0.5,
    ),
    _task(
        "spell",
        _asks(word, " ".join),
        (
            "Spell the word.",
            "Write the letters of the word with spaces between them.",
            "Put a space between the letters.",
            "Spell the word letter by letter.",
            "Return the single letters, separated by spaces.",
            "Break the word into its letters.",
        ),
        (
            "How is this word spelled, one letter at a time?",
            "Every letter of the word should stand alone, with a space after it.",
            "Take the word apart and list its letters with spaces in between.",
        ),
        0.5,
    ),
    _task(
        "wordlen",
        _asks(word, lambda text: str(len(text))),
        (
            "Give the number of letters in the word.",
            "How many letters does the word have?",
            "Count the letters of the word.",
            "Return the length of the word.",
            "Write how long the word is in letters.",
            "Answer with the letter count of the word.",
        ),
        (
            "The word consists of how many letters?",
            "Measure the word: a number is wanted, one for each letter in it.",
            "Tell me the count of letters that make up this word.",
        ),
        0.5,
    ),
    _task(
        "upper",
        _asks(word, str.upper),
        (
            "Write the word in capital letters.",
            "Put the word in upper case.",
            "Convert the word to uppercase.",
            "Return the word in capitals.",
            "Change all letters to upper case.",
            "Shout the word : all in capitals.",
        ),
        (
            "How does this word look when every letter is a capital?",
            "Only capital letters, please: write the same word with them.",
            "Take the word and make each of its letters upper case.",
        ),
        0.6,
    ),
    _task(
        "lower",
        _lower,
        (
            "Write the word in small letters.",
            "Put the word in lower case.",
            "Convert the word to lowercase.",
            "Return the word without capitals.",
            "Change all letters to lower case.",
            "Make every capital letter small.",
        ),
        (
            "How does this word look when no letter is a capital?",
            "Only small letters, please: write the same word with them.",
            "Take the word and make each of its letters lower case.",
        ),
        0.5,
    ),
    _task(
        "capitalize",
        _asks(lambda rng, held: rng.choice(words(held)), str.capitalize),
        (
            "Write the word with a capital first letter.",
            "Capitalize the word.",
            "Make the first letter of the word a capital.",
            "Begin the word with a capital letter.",
            "Return the word as at the start of a sentence.",
            "Put only the first letter in upper case.",
        ),
        (
            "How would this word be written as the first of a sentence?",
            "The word should start with a capital, all else stays as it is.",
            "Turn the opening letter of the word into a capital one.",
        ),
        0.6,
    ),
    _task(
        "copy",
        _asks(_phrase, str),
        (
            "Repeat the text.",
            "Copy the input exactly.",
            "Return the text unchanged.",
            "Write the same text again.",
            "Echo the input.",
            "Say exactly what is given.",
        ),
        (
            "Change nothing and give the text back.",
            "The answer is the text itself, word for word.",
            "Just reproduce what you are given.",
        ),
        0.5,
    ),
    _task(
        "twice",
        _asks(word, lambda text: f"{text} {text}"),
        (
            "Write the word twice.",
            "Repeat the word two times.",
            "Give the word two times, with a space between.",
            "Say the word and then say it again.",
            "Return the word followed by itself.",
            "Double the word.",
        ),
        (
            "Two copies of the word make up the answer.",
            "After the word, write that word once more.",
            "Let the word be heard twice.",
        ),
        0.6,
    ),
    _task(
        "thrice",
        _asks(word, lambda text: f"{text} {text} {text}"),
        (
            "Write the word three times.",
            "Repeat the word so that it stands there three times.",
            "Give the word three times in a row.",
            "Return the word three times, with spaces between.",
            "Say the word three times.",
            "Triple the word.",
        ),
        (
            "Three copies of the word make up the answer.",
            "After the word, write that word twice more.",
            "Let the word be heard three times.",
        ),
        0.4,
    ),
    _task(
        "ending",
        _ending,
        (
            "Add the ending to the word.",
            "Write the word with the given ending.",
            "Join the word and the ending.",
            "Put the ending after the word, without a space.",
            "Append the ending to the word.",
            "Return the word followed directly by the ending.",
        ),
        (
            "What do you get when the ending is glued to the word?",
            "Let the word end in the given ending and write it as one word.",
            "Word plus ending, in one piece, is the answer.",
        ),
        0.6,
    ),
    _task(
        "beginning",
        _beginning,
        (
            "Put the beginning before the word.",
            "Write the word with the given beginning.",
            "Join the beginning and the word.",
            "Put the beginning in front of the word, without a space.",
            "Prefix the word with the beginning.",
            "Return the beginning followed directly by the word.",
        ),
        (
            "What do you get when the beginning is glued to the front of the word?",
            "Let the word start with the given beginning and write it as one word.",
            "Beginning plus word, in one piece, is the answer.",
        ),
        0.5,
    ),
    _task(
        "has_letter",
        _has_letter,
        (
            "Say yes if the word contains the letter and no otherwise.",
            "Is the letter in the word? Answer yes or no.",
            "Does the word have this letter? Reply yes or no.",
            "Answer yes when the letter occurs in the word, else no.",
            "Check whether the letter is part of the word, yes or no.",
            "Return yes if the word is spelled with the letter and no if it is not.",
        ),
        (
            "Yes or no: do you need this letter to write the word?",
            "Look for the letter in the word; yes means found, no means missing.",
            "Write no unless the letter stands somewhere in the word, then write yes.",
        ),
        0.4,
        YES_NO,
    ),
    _task(
        "with_article",
        _asks(_noun, article),
        (
            "Write the noun with a or an before it.",
            "Put the right article, a or an, before the word.",
            "Add a or an to the noun.",
            "Give the noun with its indefinite article.",
            "Return the noun after a or an.",
            "Say a or an and then the noun.",
        ),
        (
            "Is it a or an? Write the article together with the noun.",
            "The noun lacks its indefinite article; supply it.",
            "Use the noun with the fitting one of a and an in front.",
        ),
        0.4,
    ),
    _task(
        "in_quotes",
        _asks(_phrase, lambda text: f'"{text}"'),
        (
            "Put the text in quotes.",
            "Write the text between quotation marks.",
            "Quote the text.",
            "Return the text with a quotation mark at each end.",
            "Add quotation marks around the text.",
            "Set the text in double quotes.",
        ),
        (
            "The answer is the text with quotation marks on both sides.",
            "Open a quote, write the text, and close the quote.",
            "Treat the text as something that was said, so enclose it in quotes.",
        ),
        0.4,
    ),
    _task(
        "exclaim",
        _asks(_phrase, lambda text: f"{text}!"),
        (
            "Add an exclamation mark to the text.",
            "Write the text with an exclamation mark at the end.",
            "Put an exclamation mark after the text.",
            "Return the text followed by an exclamation mark.",
            "End the text with an exclamation mark.",
            "Make the text an exclamation.",
        ),
        (
            "The answer is the text, but it ends in an exclamation mark.",
            "Write what is given as if it were called out loud, with the mark ! after it.",
            "Close the text with the sign ! and change nothing else.",
        ),
        0.4,
    ),
    _task(
        "capital",
        _looks_up(CAPITALS),
        (
            "Give the capital of the country.",
            "What is the capital city of this country?",
            "Name the capital of the given country.",
            "Return the capital city.",
            "Which city is the capital of the country?",
            "Reply with the capital of this country.",
        ),
        (
            "A country is given; answer with the city it is governed from, its capital.",
            "In which capital does the government of this country sit?",
            "For this country I need the name of the capital city.",
        ),
        0.6,
    ),
    _task(
        "country",
        _looks_up(_COUNTRIES),
        (
            "Give the country of the capital.",
            "Of which country is this city the capital?",
            "Name the country that has this capital.",
            "Return the country of the capital city.",
            "Which country has this city as its capital?",
            "Write the country whose capital is given.",
        ),
        (
            "A capital is given; answer with its country.",
            "This city governs a country. Which one?",
            "For this capital I need the name of the country around it.",
        ),
        0.5,
    ),
)
