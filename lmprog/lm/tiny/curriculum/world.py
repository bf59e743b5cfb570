"""A world that exists nowhere: people, cities, works and more, with passages and questions on them.

Every name is made up when it is drawn, so that no model can know an answer and all must be read. Texts have a
space before each mark, as `He was born in 1899 .`; about one passage in seven is in ordinary punctuation instead.

Where `held` is asked for, names are those that training never makes, and wordings are the last one in five of
each list of sentences, questions and phrases here, which training never shows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal, get_args

from lmprog.lm.tiny.curriculum import further
from lmprog.lm.tiny.curriculum.lexicon import ADJECTIVES, JOBS, NOUNS, article, name, part, person

Kind = Literal["person", "city", "work", "company", "river", "mountain", "team", "university", "ship", "festival"]

KINDS: tuple[Kind, ...] = get_args(Kind)

HELD_PART = 5
"""One wording in so many of each list, rounded down, but at least one, is held out of training."""

ORDINARY = 0.15
"""How often a passage is in ordinary punctuation."""

_ASIDE, _JOINED, _LONGEST = 0.2, 0.12, 160
"""Of trained passages: how often a sentence comes with words that tell nothing, how often two are made one, and how many
characters the two may have."""


@dataclass(frozen=True, slots=True)
class Relation:
    """What can be told of an entity, in many wordings.

    In wordings `{v}` is the value and `{a}` the value with its article; `{it}`, `{him}` and `{its}` stand for the
    entity, with a capital at the start of a sentence; `{role}` and `{made}` are what its genre asks for.
    """

    value: Callable[[Random, bool], str]
    sentences: Sequence[str]
    questions: Sequence[str]
    statement: str
    nouns: Sequence[str]
    """Three ways to say what it is: a short one, a longer one, and one that needs no other context."""
    leads: Kind | None = None
    """The kind of entity that the value names."""
    phrases: Sequence[str] = ()
    """How a question calls the value without naming it."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something in the world, and what its passage tells about it, which is all that there is to know."""

    kind: Kind
    name: str
    sentences: Sequence[str]
    facts: Mapping[str, str]
    """By relation, the value that the sentences tell."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A question that needs the passages of two entities: the first leads to the second, which has the answer."""

    question: str
    entities: tuple[Entity, Entity]
    answer: str
    steps: tuple[str, str]
    """What each passage contributes, as a full sentence."""
    phrase: str
    """How the question calls the second entity."""
    link: str
    """The relation that leads from the first entity to the second."""
    relation: str
    """The relation of the second that is asked for."""

    def claim(self, value: str | None = None) -> str:
        """Return question and answer in one sentence, or the same with another answer."""
        said = RELATIONS[self.entities[1].kind][self.relation].statement
        return _fill(said, value or self.answer, _named(self.phrase))


def entity(
    rng: Random,
    kind: Kind | None = None,
    held: bool = False,
    *,
    fixed: Mapping[str, str] | None = None,
    ordinary: bool | None = None,
) -> Entity:
    """Make up an entity of a kind or of any, with the values that are given by relation.

    Its passage tells the given values, and of the other relations some. `ordinary` decides the punctuation.
    """
    fixed = fixed or {}
    of_kind: Kind = rng.choice(KINDS) if kind is None else kind
    relations = RELATIONS[of_kind]
    own = NAMING[of_kind](rng, held)
    values = {key: fixed.get(key) or _value(rng, relation, own, held) for key, relation in relations.items()}
    opener = wording(rng, OPENERS[of_kind], held, further.openers(of_kind))
    told = [key for key in relations if re.search(rf"\{{(a_)?{key}\}}", opener)]
    share = rng.choice((0.0, 0.4, 0.7, 0.7, 1.0))
    others = [key for key in relations if key not in told and (key in fixed or rng.random() < share)]
    if not (told or others):
        others = [rng.choice(list(relations))]
    rng.shuffle(others)
    words = {**_genre(values), **values, **{f"a_{key}": article(value) for key, value in values.items()}}
    sentences = [opener.format(name=own, **words)]
    pronouns = rng.choice((_HE, _SHE)) if of_kind == "person" else _IT
    for key in others:
        wanted = _named(own) if rng.random() < 0.3 else pronouns
        said = _told(rng, of_kind, key, held)
        sentences.append(_fill(said, values[key], {**_genre(values), **wanted}))
    if not held:
        names = (own, *values.values())
        sentences = [_with_aside(rng, sentence, names) for sentence in _joined(rng, sentences, names)]
    if rng.random() < ORDINARY if ordinary is None else ordinary:
        sentences = [in_ordinary(sentence) for sentence in sentences]
    facts = {key: value for key, value in values.items() if key in told or key in others}
    return Entity(of_kind, own, tuple(sentences), facts)


def passage(entity: Entity) -> str:
    """Return all that is told of an entity, in one line."""
    return " ".join(entity.sentences)


def question(rng: Random, entity: Entity, relation: str, held: bool = False) -> str:
    """Return a question for a relation of an entity, whether or not its passage tells it."""
    asked = _asked(rng, entity.kind, relation, held)
    return _fill(asked, "", {**_genre(entity.facts), **_named(entity.name)})


def statement(entity: Entity, relation: str, value: str | None = None) -> str:
    """Return a full sentence that tells a relation of an entity, or tells it with another value."""
    said = RELATIONS[entity.kind][relation].statement
    return _fill(said, value or entity.facts[relation], _named(entity.name))


def two_hop(rng: Random, held: bool = False, *, ordinary: bool | None = None) -> Chain:
    """Make up two entities, the first of which leads to the second, and a question that needs both passages."""
    while True:
        first_kind, link = rng.choices(_LINKS, _LINK_WEIGHTS)[0]
        leads = RELATIONS[first_kind][link]
        second = entity(rng, leads.leads, held, ordinary=ordinary)
        first = entity(rng, first_kind, held, fixed={link: second.name}, ordinary=ordinary)
        relation = rng.choice(list(second.facts))
        answer = second.facts[relation]
        if answer not in passage(first) and first.name not in passage(second):
            break
    phrase = _called(rng, first_kind, link, held).format(name=first.name, **_genre(first.facts))
    words = {**_genre(second.facts), **_named(phrase)}
    text = _fill(_asked(rng, second.kind, relation, held), "", words)
    if second.kind == "person" and rng.random() < 0.12:
        apart = _fill(_asked(rng, second.kind, relation, held), "", {**words, **_named("that person")})
        text = f"{statement(first, link, 'someone')} {apart}"
    steps = (statement(first, link), statement(second, relation))
    return Chain(text, (first, second), answer, steps, phrase, link, relation)


def another_value(rng: Random, entity: Entity, relation: str, held: bool = False) -> str:
    """Return a value that a relation of an entity might have, but has not."""
    while True:
        value = RELATIONS[entity.kind][relation].value(rng, held)
        if value not in passage(entity):
            return value


def wording(rng: Random, wordings: Sequence[str], held: bool, more: Sequence[str] = ()) -> str:
    """Draw a wording: of the last fifth, which training never shows, or of the others and of `more`."""
    cut = len(wordings) - max(1, len(wordings) // HELD_PART)
    return rng.choice(wordings[cut:] if held else (*wordings[:cut], *more))


def _told(rng: Random, kind: Kind, relation: str, held: bool) -> str:
    said = RELATIONS[kind][relation].sentences
    return wording(rng, said, held, further.sentences("sentences", kind, relation))


def _asked(rng: Random, kind: Kind, relation: str, held: bool) -> str:
    asked = RELATIONS[kind][relation].questions
    return wording(rng, asked, held, further.sentences("questions", kind, relation))


def _called(rng: Random, kind: Kind, relation: str, held: bool) -> str:
    called = RELATIONS[kind][relation].phrases
    return wording(rng, called, held, further.sentences("phrases", kind, relation))


def in_ordinary(text: str) -> str:
    """Return a text without the space before each mark and inside brackets."""
    return re.sub(r" (?=[.,?:;)]|'s\b)|(?<=\() ", "", text)


def _with_aside(rng: Random, sentence: str, names: tuple[str, ...]) -> str:
    """Return a sentence of a passage, at times with an aside before it or after it."""
    if rng.random() >= _ASIDE:
        return sentence
    if rng.random() < 0.6:
        return f"{rng.choice(further.asides('before'))} {_inside(sentence, names)}"
    return f"{sentence.removesuffix(' .')} , {rng.choice(further.asides('after'))} ."


def _joined(rng: Random, sentences: Sequence[str], names: tuple[str, ...]) -> list[str]:
    """Return the sentences of a passage, some two of them as one."""
    found: list[str] = []
    for sentence in sentences:
        if found and rng.random() < _JOINED and len(found[-1]) + len(sentence) < _LONGEST:
            link = rng.choice((" , and", " and", " ;", " , while", " , but", " :"))
            found[-1] = f"{found[-1].removesuffix(' .')}{link} {_inside(sentence, names)}"
        else:
            found.append(sentence)
    return found


def _inside(sentence: str, names: tuple[str, ...]) -> str:
    """Return a sentence as it stands within another: with a small letter, unless a name begins it."""
    if sentence.startswith(names) or sentence.partition(" ")[0] not in _beginnings():
        return sentence
    return sentence[0].lower() + sentence[1:]


@cache
def _beginnings() -> frozenset[str]:
    """Return the words that begin sentences and are no names."""
    texts = [
        *(text for kind in KINDS for text in (*OPENERS[kind], *further.openers(kind))),
        *(
            text
            for kind, relations in RELATIONS.items()
            for key, relation in relations.items()
            for text in (*relation.sentences, *further.sentences("sentences", kind, key))
        ),
    ]
    return frozenset(
        {"He", "She", "It", "His", "Her", "Its", *(text.split(" ")[0] for text in texts if text[0] != "{")}
    )


_HE = {"it": "he", "It": "He", "him": "him", "its": "his", "Its": "His"}
_SHE = {"it": "she", "It": "She", "him": "her", "its": "her", "Its": "Her"}
_IT = {"it": "it", "It": "It", "him": "it", "its": "its", "Its": "Its"}


def _named(called: str) -> Mapping[str, str]:
    capital = called[0].upper() + called[1:]
    return {"it": called, "It": capital, "him": called, "its": f"{called} 's", "Its": f"{capital} 's"}


def _genre(facts: Mapping[str, str]) -> Mapping[str, str]:
    made, role = GENRES.get(facts.get("genre", ""), ("made", "creator"))
    return {"made": made, "role": role}


def _fill(text: str, value: str, words: Mapping[str, str]) -> str:
    return text.format_map({"v": value, "a": article(value) if value else "", **words})


def _value(rng: Random, relation: Relation, own: str, held: bool) -> str:
    while (value := relation.value(rng, held)) == own:
        pass
    return value


def _each(wordings: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()) for text in wordings.split("|"))


def _relation(
    value: Callable[[Random, bool], str],
    sentences: str,
    questions: str,
    statement: str,
    nouns: str,
    leads: Kind | None = None,
    phrases: str = "",
) -> Relation:
    called = _each(phrases) if phrases else ()
    return Relation(value, _each(sentences), _each(questions), statement, _each(nouns), leads, called)


def _one(words: str) -> Callable[[Random, bool], str]:
    choices = tuple(words.split())
    return lambda rng, held: rng.choice(choices)


def _year(least: int, most: int) -> Callable[[Random, bool], str]:
    return lambda rng, held: str(rng.randint(least, most))


def _number(least: int, most: int, unit: str = "") -> Callable[[Random, bool], str]:
    return lambda rng, held: f"{rng.randint(least, most)}{unit}"


def _country(rng: Random, held: bool) -> str:
    return name(rng, held) + rng.choice(("ia", "land", "stan"))


def _people(rng: Random, held: bool) -> str:
    return rng.choice((f"{rng.randint(10, 99)} thousand", f"{rng.randint(2, 9)} million", f"{rng.randint(300, 9999)}"))


def _date(rng: Random, held: bool) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {rng.randint(1800, 1990)}"


def _month(rng: Random, held: bool) -> str:
    return rng.choice(MONTHS)


def _topic(rng: Random, held: bool) -> str:
    return f"{article(rng.choice(part(ADJECTIVES, held)))} {rng.choice(part(NOUNS, held))}"


def _work(rng: Random, held: bool) -> str:
    last = name(rng, held) if held or rng.random() < 0.4 else rng.choice(NOUNS).capitalize()
    return f"{rng.choice(('The ', ''))}{rng.choice(ADJECTIVES).capitalize()} {last}"


def _before(words: str) -> Callable[[Random, bool], str]:
    """Return what names something by a made-up name and one of the words after it."""
    choices = tuple(words.split())
    return lambda rng, held: f"{name(rng, held)} {rng.choice(choices)}"


def _mountain(rng: Random, held: bool) -> str:
    return rng.choice(("Mount {}", "{} Peak", "{} Hill", "Mount {}")).format(name(rng, held))


def _university(rng: Random, held: bool) -> str:
    return rng.choice(("University of {}", "{} University", "{} College")).format(name(rng, held))


def _ship(rng: Random, held: bool) -> str:
    return f"{rng.choice(('Queen', 'Lady', 'Star of', 'Pride of', 'Spirit of', 'King'))} {name(rng, held)}"


MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")  # fmt: skip
GENRES: Mapping[str, tuple[str, str]] = {
    "novel": ("written", "author"),
    "poem": ("written", "author"),
    "play": ("written", "author"),
    "film": ("directed", "director"),
    "song": ("recorded", "singer"),
    "opera": ("composed", "composer"),
    "symphony": ("composed", "composer"),
    "painting": ("painted", "painter"),
    "statue": ("carved", "sculptor"),
    "bridge": ("designed", "designer"),
}
"""How a work of each genre is made, and who makes it."""

NAMING: Mapping[Kind, Callable[[Random, bool], str]] = {
    "person": person,
    "city": name,
    "work": _work,
    "company": _before("Works Group Company Brothers Industries Motors Labs Foods"),
    "river": name,
    "mountain": _mountain,
    "team": _before("Rovers United Lions Eagles Rangers Wanderers Stars Sharks"),
    "university": _university,
    "ship": _ship,
    "festival": _before("Festival Days Fair Week Parade"),
}
"""How a thing of each kind gets its name."""

OPENERS: Mapping[Kind, Sequence[str]] = {
    "person": _each(
        """{name} is {a_job} born in {birthplace} in {born} . |
        Born in {birthplace} in {born} , {name} is known as {a_job} . |
        {name} was born in {birthplace} in {born} and became {a_job} . | {name} is {a_job} from {birthplace} . |
        {name} ( born {born} ) is {a_job} . | {name} , {a_job} , was born in {birthplace} . |
        {name} works as {a_job} . | {name} was {a_job} . | {name} , born in {born} , came from {birthplace} . |
        A native of {birthplace} , {name} worked as {a_job} . | In {born} {name} was born in {birthplace} . |
        {birthplace} is the home town of {name} , {a_job} ."""
    ),
    "city": _each(
        """{name} is a city in {country} . | {name} is a town in {country} . |
        {name} , a city of {country} , dates from {founded} . |
        {name} is a city on the river {river} in {country} . | The city of {name} was founded in {founded} . |
        {name} is a large city in {country} with {population} people . |
        {name} , on the river {river} , is a town in {country} . | {name} lies in {country} . |
        In {country} lies {name} , a town of {population} people . |
        Travelers reach {name} , a city in {country} , by the river {river} ."""
    ),
    "work": _each(
        """{name} is {a_genre} {made} by {creator} in {year} . |
        {name} is {a_genre} from {year} {made} by {creator} . | {name} is {a_genre} by {creator} . |
        In {year} {creator} finished the {genre} {name} . | The {genre} {name} was {made} by {creator} . |
        {name} , {a_genre} of {year} , is about {topic} . | The {genre} {name} dates from {year} . |
        {creator} is the {role} of {name} , {a_genre} about {topic} . |
        {name} ( {year} ) is {a_genre} {made} by {creator} . | {creator} made {name} , {a_genre} , in {year} ."""
    ),
    "company": _each(
        """{name} is {a_industry} company based in {seat} . | {name} , based in {seat} , makes {industry} goods . |
        {name} is {a_industry} maker founded by {founder} . | {name} was founded by {founder} in {founded} . |
        {name} is {a_industry} company with {staff} workers . |
        In {founded} {founder} started {name} in {seat} . | {name} of {seat} sells {industry} products . |
        The company {name} makes {industry} goods in {seat} . |
        From {seat} comes {name} , which makes {industry} goods . |
        When {founder} began to make {industry} goods , {name} was born ."""
    ),
    "river": _each(
        """{name} is a river in {country} . | The river {name} flows through {country} . |
        {name} is a river of {length} . | The {name} is a river that rises on {source} . |
        {name} , a river in {country} , ends in the {mouth} . |
        The {name} is {length} long and ends in the {mouth} . |
        {name} rises on {source} and flows into the {mouth} . | In {country} flows the river {name} . |
        Through {country} runs the {name} , a river of {length} . |
        From {source} the river {name} runs down to the {mouth} ."""
    ),
    "mountain": _each(
        """{name} is a mountain in {country} . | {name} , in {country} , is {height} high . |
        {name} is a mountain of {height} . | The mountain {name} stands in {country} . |
        {climber} was the first to climb {name} , a mountain in {country} . |
        {name} is the highest mountain in {country} . | {name} was first climbed by {climber} in {climbed} . |
        The top of {name} in {country} is at {height} . | At {height} , {name} rises above {country} . |
        Nobody had stood on {name} , a mountain in {country} , before {climber} ."""
    ),
    "team": _each(
        """{name} is {a_sport} team from {home} . | {name} is {a_sport} club . | {name} of {home} plays {sport} . |
        {name} , the {sport} team of {home} , is trained by {coach} . | {coach} trains the {sport} team {name} . |
        The {sport} players of {name} wear {color} . | {name} is the pride of {home} . |
        {name} , coached by {coach} , plays {sport} . | In {home} people cheer for {name} , {a_sport} team . |
        Under its coach {coach} the {sport} team {name} wears {color} ."""
    ),
    "university": _each(
        """{name} is a university in {place} . | {name} , in {place} , opened in {opened} . |
        {name} has {students} students . | {name} is a school in {place} led by {rector} . |
        Opened in {opened} , {name} is a university . | {rector} leads {name} , a university in {place} . |
        {name} opened in {opened} in {place} . | {name} is a school with {students} students . |
        In {place} stands {name} , a university of {students} students . |
        {students} people study in {place} , at {name} ."""
    ),
    "ship": _each(
        """{name} is a ship that carries {cargo} . | {name} is a ship from {harbour} . |
        {name} , a ship of {harbour} , carries {cargo} . | The ship {name} was launched on {launched} . |
        {captain} commands the ship {name} . | {name} , commanded by {captain} , carries {cargo} . |
        {name} is a ship launched on {launched} . | The ship {name} brings {cargo} to {harbour} . |
        {name} sails from {harbour} under {captain} . | Under {captain} the ship {name} sails from {harbour} . |
        Loaded with {cargo} , the ship {name} obeys {captain} ."""
    ),
    "festival": _each(
        """{name} is a {theme} festival in {place} . | {name} is a festival of {theme} held in {place} . |
        {name} takes place in {place} every year . | {name} , started by {founder} , is a festival of {theme} . |
        Every year {place} holds {name} , a festival of {theme} . | {name} is held in {place} in {month} . |
        {founder} started {name} , a festival of {theme} . |
        In {month} the festival {name} takes place in {place} . | Lovers of {theme} meet at {name} in {place} . |
        Each {month} {name} , a festival of {theme} , fills the streets of {place} ."""
    ),
}
"""First sentences, which name the entity and tell some of its relations."""

RELATIONS: Mapping[Kind, Mapping[str, Relation]] = {
    "person": {
        "birthplace": _relation(
            name,
            """{It} was born in {v} . | {Its} birthplace is {v} . | The city of {v} is where {it} was born . |
            {It} was a child of {v} , where {it} was born . | {It} came to the world in {v} . |
            It was in {v} that {it} was born .""",
            """Where was {it} born ? | In which city was {it} born ? | What is the birthplace of {it} ? |
            What city was {it} born in ? | Which city is the birthplace of {it} ? | {It} was born in which city ?""",
            "{It} was born in {v} .",
            "the birthplace | the place of birth | the city where the person was born",
            "city",
            """the birthplace of {name} | the city where {name} was born | the city in which {name} was born |
            the place where {name} was born | the birth city of {name} | the home town of {name}""",
        ),
        "job": _relation(
            lambda rng, held: rng.choice(part(JOBS, held)),
            """{It} is {a} . | {It} worked as {a} . | {Its} job is {v} . | {It} became {a} . |
            {It} earned {its} living as {a} . | People knew {him} as {a} .""",
            """What is the job of {it} ? | What does {it} do ? | What is the profession of {it} ? |
            What job does {it} have ? | As what does {it} work ? | {It} works as what ?""",
            "{It} is {a} .",
            "the job | the profession | what the person does",
        ),
        "born": _relation(
            _year(1800, 1999),
            """{It} was born in {v} . | {Its} year of birth is {v} . | {Its} birth was in {v} . |
            The year {v} saw {its} birth . | In {v} {it} was born . | {v} is the year in which {it} was born .""",
            """When was {it} born ? | In which year was {it} born ? | What is the birth year of {it} ? |
            What year was {it} born in ? | What is the year of birth of {it} ? | {It} was born in which year ?""",
            "{It} was born in {v} .",
            "the birth year | the year of birth | the year in which the person was born",
        ),
        "spouse": _relation(
            person,
            """{It} married {v} . | {It} is married to {v} . | {v} married {him} . | {Its} marriage was with {v} . |
            {It} and {v} are married . | {v} and {it} became a couple and married .""",
            """Who married {it} ? | Who is {it} married to ? | To whom is {it} married ? |
            What is the name of the person who married {it} ? | Whom did {it} marry ? | {It} is married to whom ?""",
            "{It} married {v} .",
            "the spouse | the name of the spouse | the one to whom the person is married",
            "person",
            """the person who married {name} | the spouse of {name} | the partner of {name} |
            the one who married {name} | the person married to {name}""",
        ),
        "school": _relation(
            _university,
            """{It} studied at {v} . | {It} was a student at {v} . | {Its} school was {v} . | {It} learned at {v} . |
            {It} went to {v} to study . | {v} gave {him} a degree .""",
            """Where did {it} study ? | At which school did {it} study ? | What is the school of {it} ? |
            Which university did {it} go to ? | Of which university was {it} a student ? | {It} studied where ?""",
            "{It} studied at {v} .",
            "the school | the university | the school where the person studied",
            "university",
            """the school of {name} | the university where {name} studied | the school that taught {name} |
            the university of which {name} was a student | the place where {name} studied""",
        ),
    },
    "city": {
        "country": _relation(
            _country,
            """{It} is in {v} . | {It} lies in {v} . | {It} belongs to {v} . | {Its} country is {v} . |
            {It} is part of {v} . | {v} is the country around {it} .""",
            """In which country is {it} ? | What country is {it} in ? | What is the country of {it} ? |
            To which country does {it} belong ? | Which country is {it} part of ? | {It} is in which country ?""",
            "{It} is in {v} .",
            "the country | the country of the city | the country in which the city lies",
        ),
        "founded": _relation(
            _year(1100, 1900),
            """It was founded in {v} . | It dates from {v} . | {It} was built in {v} . |
            {Its} founding was in {v} . | {It} has stood since {v} . | Settlers founded {it} in {v} .""",
            """When was {it} founded ? | In which year was {it} founded ? | What is the founding year of {it} ? |
            What year was {it} founded in ? | From which year does {it} date ? | {It} was founded in which year ?""",
            "{It} was founded in {v} .",
            "the founding year | the year of foundation | the year when the city was founded",
        ),
        "river": _relation(
            name,
            """It lies on the river {v} . | The river {v} flows through it . | The river of {it} is the {v} . |
            {It} stands by the river {v} . | Through {it} flows the {v} . | The river {v} passes {it} .""",
            """Which river flows through {it} ? | On which river does {it} lie ? | What is the river of {it} ? |
            What river does {it} lie on ? | By which river does {it} stand ? | {It} lies on which river ?""",
            "{It} lies on the river {v} .",
            "the river | the name of the river | the river of the city",
            "river",
            """the river of {name} | the river that flows through {name} | the river on which {name} lies |
            the river in {name} | the river by which {name} stands""",
        ),
        "population": _relation(
            _people,
            """It has {v} people . | {v} people live there . | {It} is home to {v} people . |
            {Its} population is {v} . | The people of {it} number {v} .""",
            """How many people live in {it} ? | What is the population of {it} ? | How many people does {it} have ? |
            To how many people is {it} home ? | {It} has how many people ?""",
            "{It} has {v} people .",
            "the population | the number of people | how many people live there",
        ),
        "mayor": _relation(
            person,
            """The mayor of {it} is {v} . | {Its} mayor is {v} . | {v} is {its} mayor . |
            {v} became mayor of {it} . | {It} is governed by {v} .""",
            """Who is the mayor of {it} ? | What is the name of the mayor of {it} ? | Who leads {it} as mayor ? |
            Which person is mayor of {it} ? | {It} has whom as mayor ?""",
            "The mayor of {it} is {v} .",
            "the mayor | the name of the mayor | the person who leads the city",
            "person",
            """the mayor of {name} | the person who is mayor of {name} | the one who leads {name} |
            the head of the city {name} | the person at the head of {name}""",
        ),
    },
    "work": {
        "creator": _relation(
            person,
            """{It} was {made} by {v} . | {v} is the {role} of {it} . | {Its} {role} is {v} . |
            {It} is the work of {v} . | {v} was the one who made {it} .""",
            """Who created {it} ? | Who made {it} ? | Who is the {role} of {it} ? | By whom was {it} {made} ? |
            What is the name of the {role} of {it} ? | {It} was {made} by whom ?""",
            "{It} was made by {v} .",
            "the creator | the name of the creator | the person who made the work",
            "person",
            """the creator of {name} | the {role} of {name} | the person who made {name} |
            the person who created {name} | the one by whom {name} was {made} | the {role} who made {name}""",
        ),
        "year": _relation(
            _year(1850, 2020),
            """{It} is from {v} . | {It} was {made} in {v} . | {It} dates from {v} . | {Its} year is {v} . |
            {v} is the year in which it was {made} .""",
            """When was {it} made ? | From which year is {it} ? | In which year was {it} {made} ? |
            What is the year of {it} ? | {It} was {made} in which year ?""",
            "{It} is from {v} .",
            "the year | the date | the year of the work",
        ),
        "genre": _relation(
            lambda rng, held: rng.choice(list(GENRES)),
            """{It} is {a} . | {It} is known as {a} . | {It} was made as {a} . | {Its} kind is {v} . |
            As {a} {it} is known to many .""",
            """What kind of work is {it} ? | What is {it} ? | What type of work is {it} ? |
            Which kind of work is {it} ? | {It} is what kind of work ?""",
            "{It} is {a} .",
            "the kind of work | the type of work | what kind of work it is",
        ),
        "topic": _relation(
            _topic,
            """It is about {v} . | {It} tells of {v} . | {Its} topic is {v} . | {It} shows {v} . |
            At the heart of {it} is {v} .""",
            """What is {it} about ? | What is the topic of {it} ? | Of what does {it} tell ? |
            What does {it} show ? | {It} is about what ?""",
            "{It} is about {v} .",
            "the topic | the subject of the work | what the work is about",
        ),
    },
    "company": {
        "founder": _relation(
            person,
            """It was founded by {v} . | {v} founded it . | {Its} founder is {v} . | {It} was started by {v} . |
            {v} is the founder of {it} . | {It} goes back to {v} , who founded it .""",
            """Who founded {it} ? | Who is the founder of {it} ? | By whom was {it} founded ? | Who started {it} ? |
            What is the name of the founder of {it} ? | {It} was founded by whom ?""",
            "{It} was founded by {v} .",
            "the founder | the name of the founder | the person who founded the company",
            "person",
            """the founder of {name} | the person who founded {name} | the one who started {name} |
            the person by whom {name} was founded | the creator of the company {name}""",
        ),
        "seat": _relation(
            name,
            """It is based in {v} . | {Its} seat is {v} . | {It} has its seat in {v} . |
            {Its} main office is in {v} . | The main office of {it} stands in {v} .""",
            """Where is {it} based ? | In which city is {it} based ? | What is the seat of {it} ? |
            What city is {it} based in ? | {It} is based in which city ?""",
            "{It} is based in {v} .",
            "the city of the company | the seat | the place where the company is based",
            "city",
            """the seat of {name} | the city where {name} is based | the home of {name} |
            the city in which {name} has its seat | the city with the main office of {name}""",
        ),
        "industry": _relation(
            _one("steel glass software furniture paper bicycle chocolate textile toy camera soap shoe clock engine"),
            """It makes {v} goods . | {It} sells {v} products . | {Its} trade is {v} . |
            {It} is in the {v} business . | {It} is known for {v} goods .""",
            """What does {it} make ? | What does {it} produce ? | What is the trade of {it} ? |
            What kind of goods does {it} make ? | {It} makes what goods ?""",
            "{It} makes {v} .",
            "the product | what the company makes | the goods it makes",
        ),
        "founded": _relation(
            _year(1850, 2010),
            """It was founded in {v} . | {It} was started in {v} . | {It} dates from {v} . |
            {Its} founding was in {v} . | {It} has existed since {v} .""",
            """When was {it} founded ? | In which year was {it} founded ? | What is the founding year of {it} ? |
            When was {it} started ? | {It} was founded in which year ?""",
            "{It} was founded in {v} .",
            "the year of founding | the year of the start | the year when the company was founded",
        ),
        "staff": _relation(
            _number(20, 9900),
            """It has {v} workers . | {v} people work there . | {It} employs {v} people . | {Its} staff is {v} . |
            There are {v} workers at {it} .""",
            """How many people work at {it} ? | How many workers does {it} have ? | What is the staff of {it} ? |
            How many people does {it} employ ? | {It} has how many workers ?""",
            "{It} has {v} workers .",
            "the number of workers | the size of the staff | how many people work at the company",
        ),
    },
    "river": {
        "length": _relation(
            _number(12, 990, " km"),
            """It is {v} long . | {Its} length is {v} . | {It} runs for {v} . | {It} has a length of {v} . |
            From end to end {it} measures {v} .""",
            """How long is {it} ? | What is the length of {it} ? | For how long does {it} run ? |
            What length does {it} have ? | {It} has what length ?""",
            "{It} is {v} long .",
            "the length | the length of the river | how long the river is",
        ),
        "source": _relation(
            _mountain,
            """It rises on {v} . | {Its} source is on {v} . | {It} comes down from {v} . | {It} springs from {v} . |
            On {v} it has its source .""",
            """Where does {it} rise ? | On which mountain does {it} rise ? | From which mountain does {it} come ? |
            What mountain is the source of {it} ? | {It} rises on which mountain ?""",
            "{It} rises on {v} .",
            "the source | the mountain | the mountain on which the river rises",
            "mountain",
            """the mountain on which {name} rises | the source of {name} | the mountain where {name} begins |
            the mountain from which {name} comes | the mountain that feeds {name}""",
        ),
        "country": _relation(
            _country,
            """It is in {v} . | It flows through {v} . | {It} belongs to {v} . | {It} crosses {v} . |
            {v} is the land of {it} .""",
            """In which country is {it} ? | Through which country does {it} flow ? | What country is {it} in ? |
            Which country does {it} cross ? | {It} is in which country ?""",
            "{It} is in {v} .",
            "the country | the land | the country through which the river flows",
        ),
        "mouth": _relation(
            _before("Sea Lake Bay Gulf"),
            """It ends in the {v} . | {It} flows into the {v} . | {Its} mouth is at the {v} . |
            {It} reaches the {v} . | The {v} takes up its water .""",
            """Into what does {it} flow ? | Where does {it} end ? | Where is the mouth of {it} ? |
            What water does {it} reach ? | {It} flows into what ?""",
            "{It} flows into the {v} .",
            "the mouth | the sea or lake | the water into which the river flows",
        ),
    },
    "mountain": {
        "height": _relation(
            _number(420, 7900, " m"),
            """It is {v} high . | {Its} height is {v} . | {It} rises to {v} . | {It} has a height of {v} . |
            The top of {it} is at {v} .""",
            """How high is {it} ? | What is the height of {it} ? | To what height does {it} rise ? |
            What height does {it} have ? | {It} is how high ?""",
            "{It} is {v} high .",
            "the height | the height of the mountain | how high the mountain is",
        ),
        "country": _relation(
            _country,
            """It is in {v} . | It stands in {v} . | {It} belongs to {v} . | {Its} country is {v} . |
            {v} is where {it} stands .""",
            """In which country is {it} ? | In which country does {it} stand ? | What country is {it} in ? |
            To which country does {it} belong ? | {It} is in which country ?""",
            "{It} is in {v} .",
            "the country | the land | the country in which the mountain stands",
        ),
        "climber": _relation(
            person,
            """It was first climbed by {v} . | {v} climbed it first . | The first on {it} was {v} . |
            {v} was the first to climb {it} . | Before all others {v} stood on top of {it} .""",
            """Who climbed {it} first ? | Who was the first to climb {it} ? | By whom was {it} first climbed ? |
            Who first stood on {it} ? | {It} was first climbed by whom ?""",
            "{It} was first climbed by {v} .",
            "the first climber | the name of the climber | the person who climbed the mountain first",
            "person",
            """the first climber of {name} | the person who first climbed {name} | the person who climbed {name} |
            the one who first stood on {name} | the person by whom {name} was climbed""",
        ),
        "climbed": _relation(
            _year(1780, 1990),
            """It was first climbed in {v} . | The first climb was in {v} . | {It} was conquered in {v} . |
            People reached the top in {v} . | Nobody stood on top before {v} .""",
            """When was {it} first climbed ? | In which year was {it} first climbed ? | When was {it} climbed ? |
            What is the year of the first climb of {it} ? | {It} was first climbed in which year ?""",
            "{It} was first climbed in {v} .",
            "the year of the first climb | the year of the climb | the year when the mountain was first climbed",
        ),
    },
    "team": {
        "home": _relation(
            name,
            """It comes from {v} . | {It} is at home in {v} . | {Its} home is {v} . | {It} plays in {v} . |
            The fans of {it} live in {v} .""",
            """Where does {it} come from ? | In which city is {it} at home ? | What is the home of {it} ? |
            What city is {it} from ? | {It} is from which city ?""",
            "{It} is from {v} .",
            "the home | the city of the team | the place where the team is at home",
            "city",
            """the home of {name} | the city of the team {name} | the city where {name} plays |
            the place where {name} is at home | the city from which {name} comes""",
        ),
        "sport": _relation(
            _one("football hockey tennis rugby cricket handball volleyball polo chess rowing boxing golf"),
            """It plays {v} . | {Its} sport is {v} . | {It} is known for {v} . | {It} has won prizes in {v} . |
            Its players are masters of {v} .""",
            """What does {it} play ? | What sport does {it} play ? | What is the sport of {it} ? |
            Which sport is played by {it} ? | {It} plays which sport ?""",
            "{It} plays {v} .",
            "the sport | the game | what sport the team plays",
        ),
        "coach": _relation(
            person,
            """{Its} coach is {v} . | {v} trains it . | {It} is coached by {v} . | {v} is the coach of {it} . |
            The players of {it} listen to {v} , their coach .""",
            """Who is the coach of {it} ? | Who trains {it} ? | By whom is {it} coached ? |
            What is the name of the coach of {it} ? | {It} is trained by whom ?""",
            "{It} is trained by {v} .",
            "the coach | the name of the coach | the person who trains the team",
            "person",
            """the coach of {name} | the person who trains {name} | the trainer of {name} |
            the one who coaches {name} | the person by whom {name} is trained""",
        ),
        "color": _relation(
            _one("red blue green yellow black white brown pink purple gray orange gold silver violet"),
            """{Its} color is {v} . | It plays in {v} . | {It} wears {v} . | The shirts of {it} are {v} . |
            You know {it} by the color {v} .""",
            """What is the color of {it} ? | What color does {it} wear ? | In which color does {it} play ? |
            What color are the shirts of {it} ? | {It} plays in which color ?""",
            "{It} wears {v} .",
            "the color | the color of the shirts | the color that the team wears",
        ),
    },
    "university": {
        "place": _relation(
            name,
            """It is in {v} . | {It} stands in {v} . | {Its} city is {v} . | {It} has its buildings in {v} . |
            Its students live in {v} .""",
            """Where is {it} ? | In which city is {it} ? | What city is {it} in ? | In which city does {it} stand ? |
            {It} is in which city ?""",
            "{It} is in {v} .",
            "the place | the city of the school | the city in which the school stands",
            "city",
            """the city of {name} | the city where {name} is | the city in which {name} stands |
            the place of the school {name} | the city with the school {name}""",
        ),
        "opened": _relation(
            _year(1200, 1990),
            """It opened in {v} . | {It} was opened in {v} . | {It} dates from {v} . | {Its} first year was {v} . |
            Its first students came in {v} .""",
            """When did {it} open ? | In which year did {it} open ? | From which year does {it} date ? |
            What is the opening year of {it} ? | {It} opened in which year ?""",
            "{It} opened in {v} .",
            "the opening year | the year of the opening | the year when the school opened",
        ),
        "rector": _relation(
            person,
            """It is led by {v} . | {Its} rector is {v} . | {v} leads it . | {v} is the rector of {it} . |
            At the head of {it} stands {v} .""",
            """Who leads {it} ? | Who is the rector of {it} ? | By whom is {it} led ? |
            What is the name of the rector of {it} ? | {It} is led by whom ?""",
            "{It} is led by {v} .",
            "the rector | the name of the rector | the person who leads the school",
            "person",
            """the rector of {name} | the person who leads {name} | the leader of {name} | the head of {name} |
            the person by whom {name} is led""",
        ),
        "students": _relation(
            _number(150, 48000),
            """It has {v} students . | {v} students learn there . | {It} teaches {v} students . |
            The number of its students is {v} . | At {it} one finds {v} students .""",
            """How many students does {it} have ? | How many students are at {it} ? |
            What number of students does {it} have ? | How many students learn at {it} ? |
            {It} has how many students ?""",
            "{It} has {v} students .",
            "the number of students | the count of the students | how many students there are",
        ),
    },
    "ship": {
        "captain": _relation(
            person,
            """{Its} captain is {v} . | {v} commands it . | {It} is commanded by {v} . |
            {v} is the captain of {it} . | The crew of {it} obeys {v} .""",
            """Who is the captain of {it} ? | Who commands {it} ? | By whom is {it} commanded ? |
            What is the name of the captain of {it} ? | {It} is commanded by whom ?""",
            "{It} is commanded by {v} .",
            "the captain | the name of the captain | the person who commands the ship",
            "person",
            """the captain of {name} | the person who commands {name} | the commander of {name} |
            the one who leads the ship {name} | the person by whom {name} is commanded""",
        ),
        "launched": _relation(
            _date,
            """It was launched on {v} . | {Its} launch was on {v} . | {It} first sailed on {v} . |
            On {v} it was launched . | The date of its launch is {v} .""",
            """When was {it} launched ? | On which day was {it} launched ? | What is the launch date of {it} ? |
            When did {it} first sail ? | {It} was launched on which day ?""",
            "{It} was launched on {v} .",
            "the launch date | the day of the launch | the day on which the ship was launched",
        ),
        "harbour": _relation(
            name,
            """It sails from {v} . | {Its} harbour is {v} . | {Its} home is the harbour of {v} . |
            {It} belongs to {v} . | After each trip {it} comes back to {v} .""",
            """From which city does {it} sail ? | What is the harbour of {it} ? | Where is the harbour of {it} ? |
            What city does {it} sail from ? | {It} sails from which city ?""",
            "{It} sails from {v} .",
            "the harbour | the home harbour | the city from which the ship sails",
            "city",
            """the harbour of {name} | the city from which {name} sails | the home harbour of {name} |
            the city to which {name} belongs | the port of the ship {name}""",
        ),
        "cargo": _relation(
            _one("salt coal timber wheat oil wool cotton sugar tea coffee rice iron copper fish wine spices"),
            """It carries {v} . | {Its} cargo is {v} . | {It} brings {v} . | {It} is loaded with {v} . |
            Below its deck lies {v} .""",
            """What does {it} carry ? | What is the cargo of {it} ? | With what is {it} loaded ? |
            What does {it} bring ? | {It} carries what ?""",
            "{It} carries {v} .",
            "the cargo | the goods on board | what the ship carries",
        ),
    },
    "festival": {
        "place": _relation(
            name,
            """It takes place in {v} . | {It} is held in {v} . | {Its} place is {v} . | {v} is the host of {it} . |
            Its guests travel to {v} .""",
            """Where does {it} take place ? | In which city is {it} held ? | Which city is the host of {it} ? |
            Where is {it} held ? | {It} is held in which city ?""",
            "{It} is held in {v} .",
            "the place | the city of the festival | the city in which the festival is held",
            "city",
            """the host of {name} | the city where {name} is held | the city in which {name} takes place |
            the place of {name} | the city to which the guests of {name} travel""",
        ),
        "month": _relation(
            _month,
            """It is in {v} . | {It} begins in {v} . | {It} is held in {v} . | {Its} time is {v} . |
            Each {v} it opens its doors .""",
            """When is {it} ? | When does {it} begin ? | When is {it} held ? | What is the time of {it} ? |
            {It} is held when ?""",
            "{It} begins in {v} .",
            "the month | the time of the year | when the festival is held",
        ),
        "founder": _relation(
            person,
            """It was started by {v} . | {Its} founder is {v} . | {v} started it . | {It} was founded by {v} . |
            {It} was an idea of {v} , who started it .""",
            """Who started {it} ? | Who is the founder of {it} ? | By whom was {it} started ? | Who founded {it} ? |
            {It} was started by whom ?""",
            "{It} was started by {v} .",
            "the founder | the name of the founder | the person who started the festival",
            "person",
            """the founder of {name} | the person who started {name} | the person who founded {name} |
            the one who began {name} | the person by whom {name} was started""",
        ),
        "theme": _relation(
            _one("music dance film poetry theater kite wine cheese bread flower lantern song puppet magic"),
            """It is about {v} . | {Its} theme is {v} . | {It} is for lovers of {v} . | {It} celebrates {v} . |
            Its guests come for {v} .""",
            """What is the theme of {it} ? | What does {it} celebrate ? | What is {it} about ? |
            To what is {it} devoted ? | {It} has what theme ?""",
            "{It} is about {v} .",
            "the theme | the subject of the festival | what the festival celebrates",
        ),
    },
}
"""What can be told of each kind."""

_LINKS: Sequence[tuple[Kind, str]] = [
    (kind, key)
    for kind, relations in RELATIONS.items()
    for key, relation in relations.items()
    if relation.leads is not None
]
_COMMON = (("work", "creator"), ("company", "founder"), ("company", "seat"), ("person", "birthplace"))
_LINK_WEIGHTS = [4 if link in _COMMON else 1 for link in _LINKS]
"""The links of programs/multihop.py come up more often than others."""
