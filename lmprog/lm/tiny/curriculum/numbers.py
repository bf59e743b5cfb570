"""Tasks on small numbers."""

from collections.abc import Callable, Sequence
from random import Random

from lmprog.lm.tiny.curriculum.example import REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import CATEGORIES, FIRST_NAMES, held, part, plural

YES_NO = ("yes", "no")

_Draw = Callable[[Random, bool], Turn]
_Numbers = Callable[[Random], Sequence[int]]

_OBJECTS = (
    *CATEGORIES["fruit"],
    "book",
    "coin",
    "key",
    "pencil",
    "ball",
    "stamp",
    "cookie",
    "marble",
    "button",
    "card",
)
_SPELLED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMERALS = dict(enumerate(_SPELLED.split()))
_GAINS = (
    "{name} has {a} {things} and buys {b} more .",
    "{name} has {a} {things} and gets {b} more .",
    "{name} finds {a} {things} and then {b} more .",
    "There are {a} {things} in the box of {name} and {b} are added .",
    "{name} picks {a} {things} , and a friend brings {b} .",
)
_LOSSES = (
    "{name} has {a} {things} and gives away {b} .",
    "{name} has {a} {things} and loses {b} .",
    "{name} has {a} {things} and sells {b} .",
    "{name} had {a} {things} , but {b} are broken now .",
    "Of the {a} {things} of {name} {b} are gone .",
)
_TIMES = (
    "{name} has {a} boxes with {b} {things} in each .",
    "{name} buys {b} {things} on each of {a} days .",
    "{name} fills {a} bags and puts {b} {things} in every one .",
)
_HOW_MANY = ("How many {things} does {name} have now ?", "How many {things} are there now ?")
_TWO_STEPS = (
    "{name} has {a} {things} , buys {b} more and then gives away {c} .",
    "{name} finds {a} {things} , then {b} more , and loses {c} .",
)
_LAST = "How many {things} does {name} have now ?"

_FURTHER_GAINS = (
    "A shelf held {a} {things} until {name} put {b} others beside them .",
    "First {a} {things} , later {b} on top : that is what {name} got today .",
    "In the left hand of {name} are {a} {things} , in the right hand {b} .",
    "On Monday {name} got {a} {things} . On Tuesday the number grew by {b} .",
    "{name} owned {a} {things} before the birthday , when the guests gave {b} as presents .",
    "Into a basket with {a} {things} , {name} drops {b} .",
    "The mother of {name} brings {a} {things} and the father {b} .",
    "To the {a} {things} on the table {name} adds {b} .",
    "{name} wins {b} {things} in a game and already owned {a} .",
    "After a walk with {b} {things} found , {name} lays them next to the {a} at home .",
)
_FURTHER_LOSSES = (
    "A thief took {b} of the {a} {things} that belonged to {name} .",
    "From a basket with {a} {things} , {name} takes out {b} and throws them away .",
    "At first {name} owned {a} {things} . A hole in the bag made {b} fall out .",
    "{name} lets a neighbour take {b} out of {a} {things} .",
    "There were {a} {things} in the room of {name} until the dog ran off with {b} .",
    "{b} is the number that {name} had to return , out of {a} {things} in all .",
    "The count of {things} that {name} keeps was {a} , and then it fell by {b} .",
    "Yesterday {name} counted {a} {things} ; since then a brother has taken {b} .",
    "With {a} {things} {name} goes to the market , where people buy {b} .",
    "Someone stole from {name} : {a} {things} were there , minus {b} .",
)
_FURTHER_TIMES = (
    "Each of {a} friends gives {b} {things} to {name} .",
    "On the desk of {name} stand {a} rows , and every row counts {b} {things} .",
    "{name} goes to the shop {a} times and always comes home with {b} {things} .",
    "A pack holds {b} {things} , and {name} gets {a} packs .",
    "For {a} weeks {name} saves {b} {things} a week .",
    "There are {a} drawers in the house of {name} , with {b} {things} in any of them .",
)
_FURTHER_HOW_MANY = (
    "What is the number of {things} now ?",
    "Count all the {things} at the end .",
    "So how many {things} is that now for {name} ?",
    "Tell me how many {things} there are in the end .",
)
_FURTHER_TWO_STEPS = (
    "With {a} {things} {name} starts the day . At noon {b} are added , and in the evening {c} are gone .",
    "To {a} {things} in a box {name} adds {b} , but a friend takes {c} out .",
    "A visitor brings {name} {b} {things} . There were {a} before , and {c} are sold after that .",
    "{name} wins {b} {things} on top of {a} and drops {c} on the way home .",
)
_FURTHER_LAST = (
    "How many {things} are left ?",
    "What number of {things} remains for {name} ?",
)


def _unlike(draw: _Draw) -> _Draw:
    """Keep to inputs that training shows, or to those that it never does."""

    def turn(rng: Random, held_out: bool) -> Turn:
        while True:
            drawn = draw(rng, held_out)
            if held(" ".join(drawn.inputs.values())) == held_out:
                return drawn

    return turn


def _told(rng: Random, told: Sequence[str], further: Sequence[str], held_out: bool) -> str:
    """Draw a sentence; the further ones are for training only, so that what it never shows stays as it is."""
    return rng.choice(told if held_out else (*told, *further))


def _asks(numbers: _Numbers, answer: Callable[[Sequence[int]], object]) -> _Draw:
    def turn(rng: Random, held_out: bool) -> Turn:
        drawn = numbers(rng)
        return Turn({"text": " ".join(map(str, drawn))}, {"answer": str(answer(drawn))})

    return _unlike(turn)


def _asks_one(least: int, most: int, answer: Callable[[int], object]) -> _Draw:
    """Of one number there is no other like it to learn from, so all are shown."""

    def turn(rng: Random, held_out: bool) -> Turn:
        number = rng.randint(least, most)
        return Turn({"text": str(number)}, {"answer": str(answer(number))})

    return turn


def _sample(least: int, most: int, below: int) -> _Numbers:
    return lambda rng: rng.sample(range(below), rng.randint(least, most))


def _factors(rng: Random) -> Sequence[int]:
    return [rng.randint(0, 10), rng.randint(1, 10)]


def _pair(rng: Random) -> Sequence[int]:
    first = rng.randint(0, 50)
    return [first, first if rng.random() < 0.25 else rng.randint(0, 50)]


def _progression(rng: Random) -> Sequence[int]:
    start, step = rng.randint(0, 20), rng.choice((1, 1, 2, 2, 3, 4, 5, 10))
    run = [start + step * number for number in range(rng.choice((3, 4, 4)))]
    return run if rng.random() < 0.8 or run[0] - step < 0 else run[::-1]


def _comparison(numbers: Sequence[int]) -> str:
    first, second = numbers
    if first == second:
        return "equal"
    return "larger" if first > second else "smaller"


def _between(rng: Random, held_out: bool) -> Turn:
    low = rng.randint(0, 30)
    high = low + rng.randint(3, 20)
    number = (
        rng.randint(low + 1, high - 1)
        if rng.random() < 0.5
        else rng.choice((max(0, low - 1), high + 1, rng.randint(52, 70)))
    )
    return Turn(
        {"number": str(number), "low": str(low), "high": str(high)}, {"answer": "yes" if low < number < high else "no"}
    )


def _below(rng: Random, held_out: bool) -> Turn:
    """One decimal in most: the same comparison that the rows of numbers need."""
    places = rng.choice((0, 1, 1))
    top = rng.choice((3, 8, 20, 100) if places else (20, 100, 250))
    number, limit = (round(rng.uniform(0, top), places) for _ in range(2))
    texts = (f"{number:.{places}f}", f"{limit:.{places}f}")
    return Turn(dict(zip(("number", "limit"), texts, strict=True)), {"answer": "yes" if number < limit else "no"})


def _expression(rng: Random, held_out: bool) -> Turn:
    sign = rng.choice("++--*")
    a, b = (rng.randint(1, 9), rng.randint(1, 9)) if sign == "*" else (rng.randint(0, 20), rng.randint(0, 20))
    if sign == "-":
        a, b = max(a, b), min(a, b)
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    return Turn({"text": f"{a} {sign} {b}"}, {"answer": str(value)})


def _story(rng: Random, held_out: bool) -> Turn:
    person = rng.choice(part(FIRST_NAMES, held_out))
    things = plural(rng.choice(part(_OBJECTS, held_out)))
    kind = rng.choice(("gain", "gain", "loss", "loss", "times"))
    a, b = rng.randint(2, 15), rng.randint(1, 12)
    if kind == "gain":
        told, why, value = _told(rng, _GAINS, _FURTHER_GAINS, held_out), f"{a} plus {b} is {a + b} .", a + b
    elif kind == "loss":
        a = b + rng.randint(0, 12)
        told, why, value = _told(rng, _LOSSES, _FURTHER_LOSSES, held_out), f"{a} minus {b} is {a - b} .", a - b
    else:
        a, b = rng.randint(2, 6), rng.randint(1, 6)
        told, why, value = _told(rng, _TIMES, _FURTHER_TIMES, held_out), f"{a} times {b} is {a * b} .", a * b
    asked = _told(rng, _HOW_MANY, _FURTHER_HOW_MANY, held_out)
    text = f"{told} {asked}".format(name=person, things=things, a=a, b=b)
    return Turn({"text": text}, {REASONING: why, "answer": str(value)})


def _two_steps(rng: Random, held_out: bool) -> Turn:
    person = rng.choice(part(FIRST_NAMES, held_out))
    things = plural(rng.choice(part(_OBJECTS, held_out)))
    a, b = rng.randint(2, 12), rng.randint(1, 8)
    c = rng.randint(1, a + b)
    told = _told(rng, _TWO_STEPS, _FURTHER_TWO_STEPS, held_out)
    asked = _LAST if held_out else rng.choice((_LAST, *_FURTHER_LAST))
    text = f"{told} {asked}".format(name=person, things=things, a=a, b=b, c=c)
    why = f"{a} plus {b} is {a + b} . {a + b} minus {c} is {a + b - c} ."
    return Turn({"text": text}, {REASONING: why, "answer": str(a + b - c)})


def _in_words(rng: Random, held_out: bool) -> Turn:
    number = rng.randint(0, 20)
    return Turn({"text": str(number)}, {"answer": _NUMERALS[number]})


def _in_digits(rng: Random, held_out: bool) -> Turn:
    number = rng.randint(0, 20)
    return Turn({"text": _NUMERALS[number]}, {"answer": str(number)})


def _halves(rng: Random, held_out: bool) -> Turn:
    number = rng.randint(0, 30)
    return Turn({"text": str(2 * number)}, {"answer": str(number)})


def _task(
    name: str,
    draw: _Draw,
    precise: Sequence[str],
    held: Sequence[str],
    weight: float = 0.8,
    labels: Sequence[str] = (),
    family: str = "number",
) -> Task:
    return Task(name, family, draw, precise, held, weight, labels)


TASKS: Sequence[Task] = (
    _task(
        "add",
        _asks(_sample(2, 2, 21), sum),
        (
            "Add the two numbers.",
            "Give the sum of the numbers.",
            "What is the sum?",
            "Return the total of the two numbers.",
            "Compute the sum of the two numbers.",
            "Answer with the first number plus the second.",
        ),
        (
            "Which number do the two make when you sum them?",
            "How much are these two numbers together?",
            "Put both numbers together and write what they come to.",
        ),
        1.2,
    ),
    _task(
        "sub",
        _asks(_sample(2, 2, 21), lambda drawn: abs(drawn[0] - drawn[1])),
        (
            "Give the difference between the two numbers.",
            "Subtract the smaller number from the larger.",
            "What is the difference?",
            "Return the difference of the numbers.",
            "Take the smaller number away from the larger one.",
            "Answer with the larger number minus the smaller.",
        ),
        (
            "Compute how far apart the numbers are.",
            "By how much does the larger number exceed the smaller?",
            "What is left of the larger number once the smaller is taken away?",
        ),
        1.0,
    ),
    _task(
        "multiply",
        _asks(_factors, lambda drawn: drawn[0] * drawn[1]),
        (
            "Multiply the two numbers.",
            "Give the product of the numbers.",
            "What is the product?",
            "Return the first number times the second.",
            "Compute the product of the two numbers.",
            "Answer with the two numbers multiplied.",
        ),
        (
            "How much is the one number times the other?",
            "Use multiplication on the two numbers and write the result.",
            "Take the first number as often as the second says; what does it come to?",
        ),
    ),
    _task(
        "expression",
        _unlike(_expression),
        (
            "Compute the value of the expression.",
            "What does the expression equal?",
            "Calculate the result.",
            "Evaluate the arithmetic expression.",
            "Return the value of the sum, difference or product.",
            "Work out the calculation and give the number.",
        ),
        (
            "Which number belongs after the equals sign?",
            "Do the arithmetic that is written here and answer with the outcome.",
            "A calculation is given; its value is wanted.",
        ),
        1.0,
    ),
    _task(
        "sum_three",
        _asks(_sample(3, 3, 10), sum),
        (
            "Add the three numbers.",
            "Give the sum of all three numbers.",
            "What is the sum of the three numbers?",
            "Return the total of the three numbers.",
            "Compute the sum of the numbers.",
            "Add up all the numbers.",
        ),
        (
            "How much are these three numbers together?",
            "Put all three numbers together and write what they come to.",
            "One total for the three numbers, please.",
        ),
        0.6,
    ),
    _task(
        "maxn",
        _asks(_sample(2, 5, 50), max),
        (
            "Give the largest number.",
            "Return the biggest number.",
            "What is the maximum?",
            "Write the highest of the numbers.",
            "Which number is the largest?",
            "Find the greatest number.",
        ),
        (
            "Pick the largest value.",
            "No other number here is as large as the one I want.",
            "Compare the numbers and keep just the highest.",
        ),
    ),
    _task(
        "minn",
        _asks(_sample(2, 5, 50), min),
        (
            "Give the smallest number.",
            "Return the lowest number.",
            "What is the minimum?",
            "Write the least of the numbers.",
            "Which number is the smallest?",
            "Find the number that is less than all others.",
        ),
        (
            "Pick the smallest value.",
            "Every other number here is larger than the one I want.",
            "Compare the numbers and keep just the lowest.",
        ),
    ),
    _task(
        "sort_numbers",
        _asks(_sample(3, 4, 50), lambda drawn: " ".join(map(str, sorted(drawn)))),
        (
            "Sort the numbers from small to large.",
            "Put the numbers in ascending order.",
            "Write the numbers in order, the smallest first.",
            "Return the numbers sorted.",
            "Order the numbers from the lowest to the highest.",
            "Arrange the numbers by size, beginning with the least.",
        ),
        (
            "How do the numbers stand when each is larger than the one before?",
            "Begin with the least number and go up to the greatest.",
            "The answer has the same numbers, in growing order.",
        ),
        0.7,
    ),
    _task(
        "compare",
        _asks(_pair, _comparison),
        (
            "Say whether the first number is larger than, smaller than or equal to the second.",
            "Answer larger, smaller or equal for the first number against the second.",
            "Is the first number larger, smaller or equal?",
            "Compare the first number with the second : larger, smaller or equal.",
            "Return larger if the first number exceeds the second, smaller if it is less, and equal if they are the same.",
            "Write equal for equal numbers, else larger or smaller for the first one.",
        ),
        (
            "How does the first number relate to the second? One of larger, smaller and equal is right.",
            "Set the first number beside the second and say larger, smaller or equal of it.",
            "When both are the same write equal; when not, tell if the first is larger or smaller.",
        ),
        0.7,
        ("larger", "smaller", "equal"),
    ),
    _task(
        "between",
        _unlike(_between),
        (
            "Say yes if the number is between low and high and no otherwise.",
            "Is the number between the two limits? Answer yes or no.",
            "Answer yes if the number is above low and below high, else no.",
            "Does the number lie between low and high, yes or no?",
            "Check whether the number is within the range, yes or no.",
            "Return yes for a number inside the limits and no for one outside.",
        ),
        (
            "Yes or no: is the number more than low but less than high?",
            "Write no when the number is out of the range from low to high and yes when it is in it.",
            "The range goes from low to high. Does it hold the number? Reply yes or no.",
        ),
        0.7,
        YES_NO,
    ),
    _task(
        "below",
        _unlike(_below),
        (
            "Say yes if the number is below the limit and no otherwise.",
            "Is the number less than the limit? Answer yes or no.",
            "Answer yes if the number is smaller than the limit, else no.",
            "Is the number under the limit, yes or no?",
            "Check whether the number is below the limit, yes or no.",
            "Return yes for a number below the limit and no for any other.",
        ),
        (
            "Yes or no: does the number stay under the limit?",
            "Write no when the number reaches the limit or goes over it, and yes when it does not.",
            "The limit is larger than the number: yes, if that is true, and no, if it is false.",
        ),
        1.4,
        YES_NO,
    ),
    _task(
        "parity",
        _asks_one(0, 60, lambda number: "odd" if number % 2 else "even"),
        (
            "Say whether the number is even or odd.",
            "Answer even or odd.",
            "Is the number even or odd?",
            "Write odd for an odd number and even for an even one.",
            "Classify the number as even or odd.",
            "Tell if the number can be halved, so even, or not, so odd.",
        ),
        (
            "Return even if the number is even and odd otherwise.",
            "Can two people share this number without rest? Reply even if so, odd if not.",
            "Which of the words even and odd is true of the number?",
        ),
        0.5,
        ("even", "odd"),
    ),
    _task(
        "double",
        _asks_one(0, 30, lambda number: 2 * number),
        (
            "Double the number.",
            "Give twice the number.",
            "Multiply the number by two.",
            "What is the double of the number?",
            "Return two times the number.",
            "Add the number to itself.",
        ),
        (
            "How much is the number when you take it two times?",
            "The answer is twice as large as the number.",
            "Write a number of which the given one is half.",
        ),
        0.6,
    ),
    _task(
        "half",
        _halves,
        (
            "Give half of the number.",
            "Halve the number.",
            "Divide the number by two.",
            "What is half of the number?",
            "Return the number divided by two.",
            "Cut the number in half.",
        ),
        (
            "Two people share the number; how much does each get?",
            "The answer is half as large as the number.",
            "Write a number of which the given one is the double.",
        ),
        0.6,
    ),
    _task(
        "plus_one",
        _asks_one(0, 99, lambda number: number + 1),
        (
            "Give the next number.",
            "Add one to the number.",
            "Which number comes after this one?",
            "Return the number plus one.",
            "Count one further.",
            "Write the number that follows.",
        ),
        (
            "If you count, which number do you say after this one?",
            "The answer is larger by one.",
            "Take one step up from the number.",
        ),
        0.5,
    ),
    _task(
        "minus_one",
        _asks_one(1, 99, lambda number: number - 1),
        (
            "Give the number before this one.",
            "Subtract one from the number.",
            "Which number comes just before this one?",
            "Return the number minus one.",
            "Count one back.",
            "Write the number that precedes.",
        ),
        (
            "If you count down, which number do you say after this one?",
            "The answer is smaller by one.",
            "Take one step down from the number.",
        ),
        0.5,
    ),
    _task(
        "sequence",
        _asks(_progression, lambda drawn: 2 * drawn[-1] - drawn[-2]),
        (
            "Continue the sequence with the next number.",
            "Give the next number of the sequence.",
            "Which number comes next?",
            "Return the number that follows in the series.",
            "Find the step between the numbers and write the next one.",
            "Add one more number to the row by the same step.",
        ),
        (
            "The numbers change by the same amount each time. Where do they go from here?",
            "What would stand after the last number if the pattern went on?",
            "Extend the series by a single number and write that number.",
        ),
        0.7,
    ),
    _task(
        "in_words",
        _in_words,
        (
            "Write the number in words.",
            "Spell out the number.",
            "Give the name of the number.",
            "Return the number as a word.",
            "Turn the digits into a word.",
            "What is the number called?",
        ),
        (
            "How do you say this number?",
            "Use letters instead of digits for the number.",
            "The answer is the number word for these digits.",
        ),
        0.5,
    ),
    _task(
        "in_digits",
        _in_digits,
        (
            "Write the number in digits.",
            "Give the number as a figure.",
            "Turn the number word into digits.",
            "Return the number with digits instead of letters.",
            "Which figure stands for this word?",
            "Convert the word to a number.",
        ),
        (
            "How do you write this number without letters?",
            "The answer is the figure that the word names.",
            "Use digits for what is spelled out here.",
        ),
        0.5,
    ),
    _task(
        "story_math",
        _story,
        (
            "Solve the word problem.",
            "Give the number that answers the problem.",
            "Read the story and compute the answer.",
            "Work out the answer to the problem.",
            "Calculate how many there are and answer with the number.",
            "Find the number that the story asks for.",
        ),
        (
            "Answer the math question with a number.",
            "What number does the person in the story end up with?",
            "The story hides a small calculation; do it and report its result.",
        ),
        1.2,
        family="story",
    ),
    _task(
        "story_two_steps",
        _two_steps,
        (
            "Solve the word problem in two steps.",
            "Follow the story and give the number at the end.",
            "Add what comes, subtract what goes, and give the number.",
            "Work through the story and compute how many there are.",
            "Read the problem and write how many are left at the end.",
            "Calculate the final number of things.",
        ),
        (
            "Things come and go in this story; with how many does it close?",
            "Keep track of the amount from sentence to sentence and report the last.",
            "What number is right after everything in the story has happened?",
        ),
        0.7,
        family="story",
    ),
)
