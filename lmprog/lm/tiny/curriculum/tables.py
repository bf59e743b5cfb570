"""Rows of numbers to a class, by a hidden rule that a precise instruction states."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from lmprog.lm.tiny.curriculum.example import REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import held as is_held
from lmprog.lm.tiny.curriculum.lexicon import listed, name, words

Row = Mapping[str, float | str]
"""Values by column: numbers, or the words of a column that has no numbers."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers from `low` to `high` with so many decimal `places`, or, with `options`, of words."""

    name: str
    low: float = 0.0
    high: float = 0.0
    places: int = 0
    options: tuple[str, ...] = ()

    def draw(self, rng: Random) -> float | str:
        return rng.choice(self.options) if self.options else round(rng.uniform(self.low, self.high), self.places)

    def written(self, value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:.{self.places}f}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is true of a row or not."""

    column: Column
    kind: str
    """`below`, `above` (neither includes the limit) or `is`."""
    limit: float | str

    def holds(self, row: Row) -> bool:
        value = row[self.column.name]
        if isinstance(value, str) or isinstance(self.limit, str):
            return value == self.limit
        return value < self.limit if self.kind == "below" else value > self.limit

    def phrase(self, style: int) -> str:
        verbs = _VERBS[self.kind]
        return f"{self.column.name} {verbs[style % len(verbs)]} {self.column.written(self.limit)}"


@dataclass(frozen=True, slots=True)
class Hidden:
    """A rule from a row to its label, and what states it."""

    kind: str
    label: Callable[[Row], str]
    labels: tuple[str, ...]
    precise: tuple[str, ...]
    held: tuple[str, ...]
    why: Callable[[Row], str] | None = None
    draw: Callable[[Random], Row] | None = None
    """How to draw rows, where it is not from all columns evenly."""


_VERBS = {
    "below": ("is below", "is less than", "is under", "<", "is smaller than", "comes to less than", "lies below"),
    "above": ("is above", "is more than", "is over", ">", "is greater than", "comes to more than", "exceeds"),
    "is": ("is", "is", "equals", "=", "is", "is given as", "reads"),
}

_MEASURES: Sequence[Column] = (
    Column("petal_length", 1.0, 7.0, 1),
    Column("petal_width", 0.1, 2.5, 1),
    Column("sepal_length", 4.3, 7.9, 1),
    Column("sepal_width", 2.0, 4.4, 1),
    Column("age", 18, 90),
    Column("trestbps", 94, 200),
    Column("chol", 120, 420),
    Column("thalach", 80, 200),
    Column("oldpeak", 0.0, 5.0, 1),
    Column("ca", 0, 3),
    Column("pressure", 80, 200),
    Column("rate", 40, 180),
    Column("weight", 40, 140),
    Column("height", 140, 200),
    Column("temperature", 34.0, 42.0, 1),
    Column("length", 1.0, 30.0, 1),
    Column("width", 0.5, 12.0, 1),
    Column("depth", 0.1, 9.9, 1),
    Column("speed", 5, 150),
    Column("distance", 1, 99),
    Column("score", 0, 100),
    Column("price", 1, 500),
    Column("hours", 0.5, 24.0, 1),
    Column("income", 10, 99),
    Column("debt", 0, 60),
    Column("volume", 0.1, 9.0, 1),
    Column("density", 0.5, 3.0, 1),
    Column("acidity", 2.5, 9.5, 1),
    Column("humidity", 10, 100),
    Column("rainfall", 0.0, 80.0, 1),
    Column("glucose", 60, 220),
    Column("insulin", 10, 300),
    Column("bmi", 16.0, 45.0, 1),
    Column("wing_length", 4.0, 25.0, 1),
    Column("leaf_width", 0.5, 9.0, 1),
    Column("stem_height", 3.0, 60.0, 1),
    Column("beak_depth", 0.4, 3.9, 1),
    Column("engine_size", 0.8, 6.0, 1),
    Column("clicks", 0, 40),
    Column("visits", 0, 30),
    Column("errors", 0, 20),
    Column("latency", 5, 400),
)
_SORTS: Sequence[Column] = (
    Column("sex", options=("male", "female")),
    Column("cp", options=("asymptomatic", "typical angina", "atypical angina", "non-anginal pain")),
    Column("chest_pain", options=("none", "typical", "atypical angina")),
    Column("fbs", options=("0", "1")),
    Column("restecg", options=("normal", "left ventricular hypertrophy", "ST-T wave abnormality")),
    Column("exang", options=("yes", "no")),
    Column("slope", options=("flat", "upsloping", "downsloping")),
    Column("thal", options=("normal", "reversible", "fixed")),
    Column("smoker", options=("yes", "no")),
    Column("member", options=("yes", "no")),
    Column("plan", options=("free", "basic", "premium")),
    Column("soil", options=("sand", "clay", "loam")),
    Column("weather", options=("sunny", "rainy", "cloudy")),
    Column("region", options=("north", "south", "east", "west")),
    Column("shift", options=("day", "night")),
    Column("engine", options=("petrol", "diesel", "electric")),
)
_IRIS = frozenset(("petal_length", "petal_width", "sepal_length", "sepal_width"))
_HEART = frozenset(
    ("age", "trestbps", "chol", "thalach", "oldpeak", "ca", "sex", "cp", "fbs", "restecg", "exang", "slope", "thal")
)
_ALWAYS_SHOWN = _IRIS | _HEART
"""Columns of well-known tables, of which only the names and the style of the values are shown here."""

_PAIRS = (("True", "False"), ("yes", "no"), ("high", "low"), ("positive", "negative"), ("1", "0"), ("A", "B"))
_OUTPUTS = ("answer", "answer", "answer", "class", "species", "label", "type", "group", "diagnosis", "verdict", "kind")
_HINTS = (0.1, 0.3, 0.6, 0.8)
_WIDE = 7
"""Columns from which on a table's turns count as long."""
_TRIES = 40
"""How many rows are drawn to meet a label."""
_GRID = 40
"""How many limits of a column are considered."""


def table(rng: Random, held: bool) -> Task:
    """Return a table with a new hidden rule; with `held` its columns, labels and limits are never trained.

    Only names of columns, styles of values and common pairs of labels are taken from real tables.
    """
    count = rng.randint(8, 13) if rng.random() < 0.1 else rng.randint(2, 6)
    columns = _columns(rng, held, count)
    make = rng.choices((_threshold, _steps, _both, _nearest, _count), (0.25, 0.25, 0.12, 0.18, 0.2))[0]
    hidden = make(rng, held, columns)
    while not _is_reachable(hidden, columns, rng):
        hidden = make(rng, held, columns)
    output = rng.choice(_OUTPUTS)
    why = hidden.why if output == "answer" and rng.random() < 0.5 else None

    def draw(turn_rng: Random, held_out: bool) -> Turn:
        row = _row(turn_rng, hidden, columns)
        reasoning = {REASONING: why(row)} if why else {}
        inputs = {column.name: column.written(row[column.name]) for column in columns}
        return Turn(inputs, reasoning | {output: hidden.label(row)})

    return Task(
        f"table_{hidden.kind}",
        "table",
        draw,
        hidden.precise,
        hidden.held,
        labels=hidden.labels,
        hints=_HINTS,
        large=count >= _WIDE,
    )


def _is_reachable(hidden: Hidden, columns: Sequence[Column], rng: Random) -> bool:
    """Whether each label is drawn soon enough."""
    seen: set[str] = set()
    for _ in range(_TRIES):
        seen.add(hidden.label(_any_row(rng, hidden, columns)))
        if len(seen) == len(hidden.labels):
            return True
    return False


def _any_row(rng: Random, hidden: Hidden, columns: Sequence[Column]) -> Row:
    return hidden.draw(rng) if hidden.draw else {column.name: column.draw(rng) for column in columns}


def _row(rng: Random, hidden: Hidden, columns: Sequence[Column]) -> Row:
    """Draw until the row has a label that was drawn before, so that every label is as likely."""
    wanted = rng.choice(hidden.labels)
    row = _any_row(rng, hidden, columns)
    for _ in range(_TRIES):
        if hidden.label(row) == wanted:
            break
        row = _any_row(rng, hidden, columns)
    return row


def _columns(rng: Random, held: bool, count: int) -> list[Column]:
    """At least two of them are numbers."""
    known = [column for column in _MEASURES if _is_shown(column.name) != held]
    sorts = [column for column in _SORTS if _is_shown(column.name) != held]
    columns: dict[str, Column] = {}
    while len(columns) < count:
        numbers = sum(not column.options for column in columns.values())
        if numbers >= 2 and rng.random() < 0.25:
            column = rng.choice(sorts) if sorts and rng.random() < 0.7 else _made_up_sort(rng, held)
        else:
            column = rng.choice(known) if rng.random() < (0.3 if held else 0.6) else _made_up(rng, held)
        columns.setdefault(column.name, column)
    shuffled = list(columns.values())
    rng.shuffle(shuffled)
    return shuffled


def _is_shown(column: str) -> bool:
    return column in _ALWAYS_SHOWN or not is_held(column)


def _made_up(rng: Random, held: bool) -> Column:
    places = rng.choice((0, 1, 1))
    low = rng.choice((0, 0, 1, 2, 5, 10, 20, 50))
    return Column(
        name(rng, held).lower(), low, low + rng.choice((4, 6, 10, 20) if places else (10, 20, 50, 100)), places
    )


def _made_up_sort(rng: Random, held: bool) -> Column:
    return Column(name(rng, held).lower(), options=tuple(rng.sample(words(held), rng.randint(2, 3))))


def _labels(rng: Random, held: bool, count: int) -> tuple[str, ...]:
    draw = rng.random()
    if count == 2 and not held and draw < 0.35:
        pair = rng.choice(_PAIRS)
        return pair if rng.random() < 0.5 else pair[::-1]
    if draw < 0.75:
        return tuple(rng.sample(words(held), count))
    made: dict[str, None] = {}
    while len(made) < count:
        made[name(rng, held) if draw < 0.85 else name(rng, held).lower()] = None
    return tuple(made)


def _limit(rng: Random, held: bool, column: Column, low: float = 0.25, high: float = 0.75) -> float:
    """A limit from the middle of the column, one that training may show or never does, as far as there are both."""
    step = 10.0**-column.places
    span = column.high - column.low
    first, last = column.low + low * span, column.low + high * span
    steps = max(1, int((last - first) / step))
    grid = [round(first + step * rng.randint(0, steps), column.places) for _ in range(_GRID)]
    fitting = [limit for limit in grid if is_held(column.written(limit)) == held]
    return rng.choice(fitting or grid)


def _condition(rng: Random, held: bool, column: Column) -> Condition:
    if column.options:
        return Condition(column, "is", rng.choice(column.options))
    return Condition(column, rng.choice(("below", "above")), _limit(rng, held, column))


def _numeric(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if not column.options]


def _threshold(rng: Random, held: bool, columns: Sequence[Column]) -> Hidden:
    condition = _condition(rng, held, rng.choice(columns if rng.random() < 0.3 else _numeric(columns)))
    return _decided("threshold", [([condition], 0)], _labels(rng, held, 2))


def _both(rng: Random, held: bool, columns: Sequence[Column]) -> Hidden:
    conditions = [_condition(rng, held, column) for column in rng.sample(list(columns), 2)]
    return _decided("both", [(conditions, 0)], _labels(rng, held, 2))


def _steps(rng: Random, held: bool, columns: Sequence[Column]) -> Hidden:
    """Two limits and three classes: on one column, or on two as the irises have it."""
    numeric = _numeric(columns)
    if rng.random() < 0.4:
        column, kind = rng.choice(numeric), rng.choice(("below", "above"))
        low, high = _limit(rng, held, column, 0.2, 0.4), _limit(rng, held, column, 0.6, 0.8)
        limits = (low, high) if kind == "below" else (high, low)
        conditions = [Condition(column, kind, limit) for limit in limits]
    else:
        conditions = [_condition(rng, held, column) for column in rng.sample(numeric, 2)]
    return _decided("steps", [([condition], at) for at, condition in enumerate(conditions)], _labels(rng, held, 3))


def _decided(kind: str, cases: Sequence[tuple[Sequence[Condition], int]], labels: tuple[str, ...]) -> Hidden:
    """The first case whose conditions all hold gives the label; otherwise the last label."""

    def label(row: Row) -> str:
        for conditions, at in cases:
            if all(condition.holds(row) for condition in conditions):
                return labels[at]
        return labels[-1]

    def why(row: Row) -> str:
        told: list[str] = []
        for conditions, _ in cases:
            true = all(condition.holds(row) for condition in conditions)
            seen = " and ".join(
                f"{condition.column.name} is {condition.column.written(row[condition.column.name])}"
                for condition in conditions
            )
            asked = " and ".join(condition.phrase(0) for condition in conditions)
            told.append(f"{seen} , so it is {'true' if true else 'false'} that {asked} .")
            if true:
                break
        return " ".join(told)

    def said(style: int) -> list[tuple[str, str]]:
        return [
            (" and ".join(condition.phrase(style) for condition in conditions), labels[at]) for conditions, at in cases
        ]

    columns = list(dict.fromkeys(condition.column.name for conditions, _ in cases for condition in conditions))
    default = labels[-1]
    ifs = listed([*(f"{answer} if {asked}" for asked, answer in said(0)), f"{default} otherwise"])
    less = " . ".join(f"If {asked} , answer {answer}" for asked, answer in said(1))
    when = " ; ".join(f"{answer} when {asked}" for asked, answer in said(2))
    signs = " , else ".join(f"if {asked} then {answer}" for asked, answer in said(3))
    rows = " , of the others those where ".join(f"{asked} are {answer}" for asked, answer in said(4))
    classify = " , ".join(f"as {answer} if {asked}" for asked, answer in said(0))
    questions = " ".join(f"Is it true that {asked} ? Then {answer}." for asked, answer in said(1))
    first, *others = said(0)
    soon = "".join(f" , failing that {answer} as soon as {asked}" for asked, answer in others)
    gives = " , ".join(f"{asked} gives {answer}" for asked, answer in said(0))
    becomes = " , or else ".join(f"{answer} if {asked}" for asked, answer in said(1))
    return Hidden(
        kind,
        label,
        labels,
        (
            f"Answer {ifs}.",
            f"{less} . Otherwise answer {default}.",
            f"{when} ; {default} in all other cases.",
            f"Use this rule : {signs} , else {default}.",
            f"Rows where {rows} , and the rest are {default}.",
            f"Classify the row {classify} , and otherwise as {default}.",
            f"{questions} If not , {default}.",
            *_more_decided([said(style) for style in range(7)], default, columns),
        ),
        (
            f"The label is {first[1]} as soon as {first[0]}{soon} , and {default} if that is not so.",
            f"Check the row in this order : {gives} , and anything else gives {default}.",
            f"{default} is what you say by default . But it becomes {becomes}.",
        ),
        why,
    )


def _more_decided(said: Sequence[Sequence[tuple[str, str]]], default: str, columns: Sequence[str]) -> Sequence[str]:
    """Return further trained wordings: by style of the verbs, what is asked and the answer; in their order."""

    def each(style: int, between: str, cell: str) -> str:
        return between.join(cell.format(asked=asked, answer=answer) for asked, answer in said[style])

    return (
        f"{each(5, ' ', 'If {asked}, the answer is {answer}. If not, go on.')} All that is left is {default}.",
        f"{each(3, ' ; else ', '{asked} ? {answer}')} ; else {default}.",
        f"Write {each(6, ' , else ', '{answer} where {asked}')} , and else write {default}.",
        f"The first true line decides : {each(3, ' ; ', '{asked} -> {answer}')} ; none -> {default}.",
        f"Write {default} unless {each(1, ' or else ', '{asked} ( then {answer} )')}.",
        f"What is the row ? It is {each(0, ' , or else ', '{answer} if {asked}')} , or else {default}.",
        f"{each(3, ' el', 'if {asked}: {answer}')} else: {default}",
        f"A row in which {each(4, ' , and of the remaining ones a row in which ', '{asked} is {answer}')}. "
        f"Any row that remains is {default}.",
        f"Look at {listed(columns)}. {each(2, ' ', 'If {asked} , write {answer} and stop.')} At the end write {default}.",
        f"Suppose that {each(5, ' Or suppose that ', '{asked} : reply {answer}.')} Failing that, reply {default}.",
        f"{each(6, ' ; otherwise ', '{answer} requires that {asked}')} ; otherwise it is {default}.",
        f"Go by {listed(columns)} : {each(1, ' , then ', '{answer} if {asked}')} , in the end {default}.",
        f"Does it hold that {each(6, ' If not , does it hold that ', '{asked} ? Say {answer}.')} If not , say {default}.",
        f"Choose {each(2, ' , failing which ', '{answer} given that {asked}')} , failing which {default}.",
        f"In rows with none of what follows say {default} : {each(4, ' ; or else ', 'where {asked} , say {answer}')}.",
    )


def _nearest(rng: Random, held: bool, columns: Sequence[Column]) -> Hidden:
    """Each class has a centre; rows are drawn around it, and the nearest centre, in units of the span, is the label."""
    labels = _labels(rng, held, rng.choice((2, 2, 3)))
    numeric = _numeric(columns)
    used = rng.sample(numeric, min(len(numeric), rng.randint(2, 4)))
    spots = {column.name: rng.sample((0.15, 0.4, 0.6, 0.85), len(labels)) for column in used}
    centres = [
        {
            column.name: round(column.low + (column.high - column.low) * spots[column.name][at], column.places)
            for column in used
        }
        for at in range(len(labels))
    ]

    def label(row: Row) -> str:
        def distance(centre: Mapping[str, float]) -> float:
            return sum(
                ((float(row[column.name]) - centre[column.name]) / (column.high - column.low)) ** 2 for column in used
            )

        return min(zip(labels, centres, strict=True), key=lambda pair: distance(pair[1]))[0]

    def draw(turn_rng: Random) -> Row:
        centre = turn_rng.choice(centres)
        row = {column.name: column.draw(turn_rng) for column in columns}
        for column in used:
            noisy = turn_rng.gauss(centre[column.name], 0.08 * (column.high - column.low))
            row[column.name] = round(min(max(noisy, column.low), column.high), column.places)
        return row

    def centred(at: int, near: str) -> str:
        return " and ".join(f"{column.name} {near}{column.written(centres[at][column.name])}" for column in used)

    order = range(len(labels))
    has = listed([f"{labels[at]} has {centred(at, 'near ')}" for at in order])
    like = " ; ".join(f"{labels[at]} : {centred(at, '')}" for at in order)
    means = " , ".join(f"{centred(at, 'about ')} means {labels[at]}" for at in order)
    say = listed([f"{labels[at]} for rows with {centred(at, 'near ')}" for at in order])
    around = " ".join(f"{labels[at]} lies around {centred(at, '')}." for at in order)
    dashed = " / ".join(f"{labels[at]} - {centred(at, '= ')}" for at in order)
    arrows = " ; ".join(f"{centred(at, '')} -> {labels[at]}" for at in order)
    either = " or ".join(labels)
    closest = " , and if to ".join(f"{centred(at, 'of ')} , write {labels[at]}" for at in order)
    cluster = listed([f"{labels[at]} gather at {centred(at, '')}" for at in order])
    typical = listed([f"{centred(at, '')} for {labels[at]}" for at in order])
    return Hidden(
        "nearest",
        label,
        labels,
        (
            f"Choose the class whose values are closest : {has}.",
            f"Find the most similar of these typical rows and answer with its name . {like}",
            f"Say {say}.",
            f"Compare the row with the classes : {means}.",
            f"Label the row by the nearest example : {like}",
            f"Which class is the row most like ? {has}.",
            f"Pick the nearest : {like}",
            f"Write the closest class. {around}",
            f"Measure how far the row is from each of these , and write the name of the nearest. {dashed}",
            f"{either} ? Go by the closest values : {means}.",
            f"The class with the closest values wins : {has}.",
            f"Examples : {arrows}. Copy the label of the example that is most like the row.",
            f"Assign the row to {either} , whichever is closer. {around}",
            f"{arrows} , by smallest distance",
            f"If the row is closest to {closest}.",
            f"{around} What is this row , going by the smallest difference ?",
            f"Nearest match , please : {like}",
            f"Rows of {cluster}. Say in which group this row fits best.",
            f"Give {say} , or the closest of these where no one fits.",
            f"Known rows : {arrows}. Decide which of them differs least from the new row and write its label.",
        ),
        (
            f"Typical values are {typical} . Which of these does the row resemble ?",
            f"Each class has a centre , {like} . Report the one at the smallest distance.",
            f"A row belongs where it is nearest , and we know that {has}.",
        ),
        draw=draw,
    )


def _count(rng: Random, held: bool, columns: Sequence[Column]) -> Hidden:
    """Enough of several conditions make the first label, as risks do."""
    used = rng.sample(list(columns), min(len(columns), rng.choice((2, 3, 3, 4))))
    conditions = [_condition(rng, held, column) for column in used]
    least = len(conditions) // 2 + 1 if rng.random() < 0.6 else rng.randint(1, len(conditions))
    labels = _labels(rng, held, 2)
    many, few = labels

    def met(row: Row) -> list[str]:
        return [condition.column.name for condition in conditions if condition.holds(row)]

    def why(row: Row) -> str:
        return f"True of {listed(met(row)) if met(row) else 'none'} : {len(met(row))} of {len(conditions)} ."

    commas = [" , ".join(condition.phrase(style) for condition in conditions) for style in range(7)]
    anded = listed([condition.phrase(0) for condition in conditions])
    more = listed([condition.phrase(1) for condition in conditions])
    return Hidden(
        "count",
        lambda row: many if len(met(row)) >= least else few,
        labels,
        (
            f"Answer {many} if at least {least} of these are true : {commas[0]} . Otherwise answer {few}.",
            f"Count how many of these hold : {commas[1]} . With {least} or more say {many} , with fewer say {few}.",
            f"The signs are {anded} . {least} or more signs mean {many} , fewer mean {few}.",
            f"Give one point for each of {commas[2]} . From {least} on the answer is {many} , below that {few}.",
            f"Say {many} when {least} or more of the conditions {commas[3]} are met , and {few} when not.",
            f"{many} needs {least} or more of the following : {commas[4]} . Without them it is {few}.",
            f"{many} if {least} or more of these hold , else {few} : {commas[5]}.",
            f"Test {commas[6]}. If {least} or more turn out true , write {many}. If not , write {few}.",
            f"How many are true of the row : {commas[3]} ? {least} or more : {many}. Fewer : {few}.",
            f"Tick what applies : {commas[0]}. At least {least} in all make {many} , fewer make {few}.",
            f"The answer is {few} unless {least} or more of these apply , which make it {many} : {commas[2]}.",
            f"It takes {least} of the following , or more , to make a row {many} : {commas[1]}. Short of that it is {few}.",
            f"n is the number of true ones among {commas[3]}. n >= {least} -> {many} , n < {least} -> {few}",
            f"Add 1 for each that is so : {commas[6]}. A sum of {least} or more is {many} , a smaller sum is {few}.",
            f"Conditions: {commas[4]}. Number needed: {least}. Enough: {many}. Too few: {few}.",
            f"Does the row meet {least} or more of these : {commas[5]} ? Yes : {many}. No : {few}.",
            f"Write {many} when no fewer than {least} of {anded} are the case , and otherwise {few}.",
            f"{few} or {many} ? It is {many} with {least} or more of {more} , and {few} with fewer.",
            f"Reply {many} to a row that passes {least} or more of these tests and {few} to any other : {commas[2]}.",
            f"See which of these are so : {commas[1]}. Below {least} in number , label the row {few} , else {many}.",
        ),
        (
            f"Check the row for {more} . Finding {least} or more of them leads to {many} , finding fewer to {few}.",
            f"As long as fewer than {least} of {anded} apply , {few} is right , and after that {many}.",
            f"Risks are {commas[1]} . A row with not even {least} of them is {few} , any other is {many}.",
        ),
        why,
    )
