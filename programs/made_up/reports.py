"""Two reports on one project that nobody has heard of, each with facts that the other lacks."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmprog.programs.made_up.names import invented_words

ROWS = {"train": 240, "val": 240, "test": 480}
"""By split, more than the task takes, so that its seed draws others."""
LIMIT = 55
"""Words that a summary may have. Both reports together have some 90, and their facts, a plain sentence each, some 50."""

PROJECTS = ("bridge", "clinic", "ferry", "harbour", "library", "museum", "observatory", "railway", "school", "stadium", "theatre", "tunnel")  # fmt: skip
LENGTHS, PEOPLE = range(40, 990, 10), range(200, 9900, 100)
MONEY, YEARS = range(3, 98), range(2031, 2060)

_FIRST = (
    (("The {name} {kind} will stand in {city}.", "{city} is to get the {name} {kind}."), ("name", "city")),
    (("{designer} has designed it.", "Its plans were drawn by {designer}."), ("designer",)),
    (("It costs {cost} million crowns.", "The price is {cost} million crowns."), ("cost",)),
    (("It opens in {opening}.", "The opening is set for {opening}."), ("opening",)),
)
_SECOND = (
    (("The {name} {kind} is to serve {people} people a day.", "{people} people a day are to use the {name} {kind}."), ("people",)),
    (("It measures {length} metres.", "Its length is {length} metres."), ("length",)),
    (("{opponent} leads those who are against it.", "Against it stands {opponent}."), ("opponent",)),
    (("It takes the place of the old {replaced} mill.", "The old {replaced} mill has to go for it."), ("replaced",)),
)  # fmt: skip
"""The sentences of either report, each with its wordings, and the facts that it tells."""
STATEMENTS: Mapping[str, tuple[str, str]] = {
    "name": ("The project is called {name}.", "{name}"),
    "city": ("It is in {city}.", "{city}"),
    "designer": ("It was designed by {designer}.", "{designer}"),
    "cost": ("It costs {cost} million crowns.", "{cost} million"),
    "opening": ("It opens in {opening}.", "{opening}"),
    "people": ("It is to serve {people} people a day.", "{people} people"),
    "length": ("It is {length} metres long.", "{length} metres"),
    "opponent": ("Those against it are led by {opponent}.", "{opponent}"),
    "replaced": ("It takes the place of the old {replaced} mill.", "{replaced}"),
}
"""Each fact as a sentence of its own, and the words by which a summary tells it."""
_PADDING = (
    "People there talk of little else.", "Work goes on in all weathers.", "Our reporter was shown around in the morning.",
    "There was coffee and a long speech.", "Some had brought their children.", "The mood was cheerful all the same.",
    "Nobody expected such a crowd.", "More will be known in due time.", "The weather was mild for the season.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports of a seed, in place of a published data set. No name stands in two rows of a split."""

    seed: int = 0

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a split: equal ones at every call."""
        rng = random.Random(f"{self.seed}/{split}")
        words = invented_words(rng)
        return [_row(rng, words) for _ in range(ROWS[split])]

    def facts(self) -> Mapping[str, str]:
        """Return what names these rows."""
        return {"dataset": "made-up reports", "seed": str(self.seed)}

    def __str__(self) -> str:
        return f"made-up reports of seed {self.seed}"


def _row(rng: random.Random, words: Iterator[str]) -> Mapping[str, Any]:
    told = {
        "kind": rng.choice(PROJECTS),
        "name": next(words),
        "city": next(words),
        "designer": f"{next(words)} {next(words)}",
        "opponent": f"{next(words)} {next(words)}",
        "replaced": next(words),
        "cost": rng.choice(MONEY),
        "opening": rng.choice(YEARS),
        "people": rng.choice(PEOPLE),
        "length": rng.choice(LENGTHS),
    }
    padding = rng.sample(_PADDING, 6)
    first, second = (
        _report(rng, told, sentences, padding[part::2]) for part, sentences in enumerate((_FIRST, _SECOND))
    )
    names = [name for sentences in (_FIRST, _SECOND) for _, facts in sentences for name in facts]
    facts = [
        {"statement": STATEMENTS[name][0].format(**told), "words": STATEMENTS[name][1].format(**told)} for name in names
    ]
    return {"first": first, "second": second, "limit": LIMIT, "facts": facts}


def _report(
    rng: random.Random,
    told: Mapping[str, object],
    sentences: Sequence[tuple[tuple[str, ...], tuple[str, ...]]],
    padding: Sequence[str],
) -> str:
    """Return the sentences that tell facts, the first of them in front, with others strewn in."""
    opening, *others = [rng.choice(wordings).format(**told) for wordings, _ in sentences]
    rest = [*others, *padding]
    rng.shuffle(rest)
    return " ".join([opening, *rest])
