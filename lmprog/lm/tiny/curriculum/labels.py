"""Texts of known classes, and the tasks that ask for the class.

Most texts have several classes at once (a review has an opinion and a product, a message an intent, a tone and a
hurry), so that a text alone does not tell what is asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from lmprog.lm.tiny.curriculum.example import NAMES, Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import NOUNS, PAST, PLACES, name, part, person

FAMILY = "classification"


@dataclass(frozen=True, slots=True)
class Source:
    """Texts, each of one of a few classes."""

    name: str
    noun: str
    """What a text is called."""
    labels: Sequence[str]
    draw: Callable[[Random, str, bool], str]
    """Make a text of the class; held: from templates and fillers that training never shows."""
    phrases: Mapping[str, str] = field(default_factory=dict[str, str])
    """How an instruction names a class, where not by its label."""
    large: bool = False

    def phrase(self, label: str) -> str:
        """Return how an instruction names the class."""
        return self.phrases.get(label, label)


_Parted = tuple[Sequence[str], Sequence[str]]
"""What training shows, and what it never does."""


def _split_pool(pool: Sequence[str]) -> _Parted:
    return part(tuple(pool), False), part(tuple(pool), True)


_NOUNS, _PLACES = _split_pool(NOUNS), _split_pool(PLACES)


def _parted(text: str) -> _Parted:
    shown, never = text.split("||")
    return [item.strip() for item in shown.split("|")], [item.strip() for item in never.split("|")]


def _by_label(**texts: str) -> Mapping[str, _Parted]:
    return {label: _parted(text) for label, text in texts.items()}


def _one(rng: Random, parted: _Parted, held: bool) -> str:
    return _fill(rng, rng.choice(parted[held]), held)


def _fill(rng: Random, template: str, held: bool) -> str:
    if "{" not in template:
        return template
    return "".join(_SLOTS[text](rng, held) if odd % 2 else text for odd, text in enumerate(_pieces(template)))


@cache
def _pieces(template: str) -> Sequence[str]:
    return re.split(r"\{(\w+)\}", template)


def _thing(rng: Random, held: bool) -> str:
    return rng.choice(_NOUNS[held])


_SLOTS: Mapping[str, Callable[[Random, bool], str]] = {
    "name": name,
    "other": name,
    "person": person,
    "thing": _thing,
    "place": lambda rng, held: rng.choice(_PLACES[held]),
    "low": lambda rng, held: name(rng, held).lower(),
    "number": lambda rng, held: str(rng.randint(2, 99)),
    "sum": lambda rng, held: str(rng.randint(2, 99) * 100),
}

# Reviews: an opinion of a product.

_PRODUCTS = _by_label(
    food="""soup|pasta|dessert|steak|salad|pizza|menu|sauce|sandwich|breakfast|meal|chef|waiter|cake|bread|curry
    ||dinner|burger|noodles|stew""",
    hotel="""room|lobby|pool|bed|balcony|reception|bathroom|view|lounge|spa|suite|elevator|pillow|carpet
    ||shower|corridor|blanket""",
    movie="""plot|acting|ending|script|soundtrack|dialogue|director|scene|cast|film|story|actor|hero|villain
    ||sequel|actress|camera work""",
    phone="""screen|battery|camera|charger|keyboard|speaker|signal|display|app|microphone|ringtone|software|touch screen
    ||headset|memory card|cable""",
)
_OPINIONS = _by_label(
    positive="""great|wonderful|excellent|superb|lovely|fantastic|delightful|perfect|amazing|brilliant|charming
    |outstanding
    |pleasant|impressive|splendid|beautiful|nice|good|marvelous|enjoyable||terrific|fabulous|awesome|remarkable""",
    negative="""awful|terrible|horrible|poor|dreadful|disappointing|bad|boring|ugly|broken|unpleasant|nasty|mediocre
    |annoying|useless|rotten|miserable|weak|lousy|faulty||appalling|shabby|pathetic|hopeless""",
    neutral="""average|ordinary|acceptable|normal|standard|usual|plain|passable|fair|typical|unremarkable
    ||middling|so so|run of the mill""",
)
_REVIEWS = _parted(
    """the {a} was {j}|{j} {a}|what a {j} {a}|i found the {a} {j}|the {a} is really {j}|a {j} {a} for the price
    |the {a} seemed {j} to me|we had a {j} {a}|my friends call the {a} {j}|the {a} turned out {j}|such a {j} {a}
    |to be honest , the {a} is {j}|{a} : {j}|they have a {j} {a}|i think that the {a} is {j}
    ||everyone said the {a} was {j}|the {a} looks {j}|a truly {j} {a}|in my view the {a} was {j}"""
)
_TAILS = _by_label(
    positive="""i will come back|i would buy it again|loved it|highly recommended|five stars||i am a fan now
    |worth every cent""",
    negative="never again|i want my money back|avoid it|a waste of time|one star||save your money|i left early",
    neutral="nothing more|as expected|neither good nor bad||that is all|no strong feelings",
)


def _review(rng: Random, held: bool, opinion: str | None = None, product: str | None = None) -> str:
    opinion = opinion or rng.choice(("positive", "positive", "negative", "negative", "neutral"))
    aspects = _PRODUCTS[product or rng.choice(list(_PRODUCTS))][held]
    words = _OPINIONS[opinion][held]
    said = [
        rng.choice(_REVIEWS[held]).replace("{a}", aspect).replace("{j}", rng.choice(words))
        for aspect in rng.sample(aspects, rng.choice((1, 1, 2)))
    ]
    if rng.random() < 0.3:
        said.append(rng.choice(_TAILS[opinion][held]))
    return rng.choice((" and ", " , ", " . ")).join(said)


# Headlines.

_HEADLINES = _by_label(
    sports="""{name} beat {other} in the final|coach of {name} resigns after defeat
    |striker scores twice as {name} win the cup
    |{person} wins the tennis title|fans cheer as {name} reach the playoffs|{person} breaks the marathon record
    |injured goalkeeper {person} misses the match|{name} lose at home to {other}|late goal saves {name} from defeat
    |{person} takes gold in the long jump|referee sends off {person} in the derby
    ||{name} sign striker {person} from {other}|boxer {person} knocks out rival
    |{name} draw with {other} in the league""",
    business="""{name} shares rise on strong profits|{name} to buy rival {other}|{name} cuts jobs as sales fall
    |bank raises interest rates again|{name} opens a new factory in {other}|investors worry about {name} debt
    |oil prices drop as markets slide|{person} named chief of {name}|{name} sells its shoe stores to {other}
    |retailer {name} plans to hire {number} workers|exports of cars grow for the third month
    ||merger of {name} and {other} fails|profits at {name} double|stock market closes lower on trade fears""",
    science="""scientists discover a new planet|researchers at {name} find a cure for malaria
    |{person} wins prize for work on atoms|telescope sees a distant galaxy|new fossil found near {name}
    |study links sleep to memory|robot probe lands on the moon|biologists map the genes of the {thing}
    |experiment at {name} measures dark matter|physicist {person} explains black holes|vaccine protects mice in tests
    ||chemists at {name} make a new metal|astronomers photograph a comet|{person} studies the brain of the whale""",
    politics="""president {person} signs the new law|voters in {name} elect a new mayor|parliament debates the tax bill
    |minister {person} quits after scandal|senate rejects the border treaty|{name} holds a vote on independence
    |opposition leader {person} calls for elections|government of {name} loses its majority
    |{person} sworn in as prime minister|court stops the election in {name}|party of {person} leads in the polls
    ||governor {person} vetoes the budget|{name} and {other} sign a peace treaty|council passes the reform bill""",
    weather="""heavy snow expected in {name}|storm floods streets of {name}|heat wave to last all week
    |strong winds close the port of {name}|rain returns after a long drought|fog delays flights in {name}
    |hurricane moves toward {name}|thunder and hail hit {name}|frost warning for the valleys of {name}
    |sunny days ahead for {name}|temperatures fall below zero in {name}
    ||blizzard closes roads near {name}|showers and clouds on sunday|tornado warning for {name}""",
    arts="""museum in {name} shows lost paintings|singer {person} releases a new album
    |novel by {person} wins the book award
    |theater in {name} stages a new opera|actor {person} joins the festival jury|sculptor {person} opens an exhibition
    |orchestra plays the symphony of {person}|film about {person} opens in {name}|poet {person} reads from a new book
    |gallery in {name} sells a painting by {person}|dance company of {name} goes on tour
    ||choir of {name} sings in the old church|painter {person} shows new works
    |comedy by {person} returns to the stage""",
)

# Messages to a shop: an intent, a tone and a hurry.

_INTENTS = _by_label(
    billing="""i was charged twice for the {thing}|my invoice shows the wrong amount
    |why is there an extra fee on my bill
    |the payment for the {thing} failed|please explain the tax on my invoice|the bill for order {number} is too high
    |you billed my old card for the {thing}|i do not understand the charges on my invoice
    ||my card was charged {sum} by mistake|the invoice for the {thing} has a wrong price""",
    shipping="""my package has not arrived|when will order {number} be delivered
    |the courier left the {thing} at the wrong address|tracking for order {number} does not move
    |the box with the {thing} arrived late|where is my parcel|the driver never brought order {number}
    |can you send the {thing} to another address||the delivery of the {thing} is late|my parcel {number} got lost""",
    login="""i cannot sign in to my account|the password reset email never came
    |my account is locked after three attempts|the login page rejects my code|i forgot my username
    |your site does not accept my password|i am logged out all the time|how do i change my password
    ||my login code does not work|i lost access to my account""",
    refund="""i want my money back for the {thing}|please return the money for order {number}
    |the {thing} broke so i want a refund|how do i send back the {thing} and get my money|refund order {number} please
    |i returned the {thing} but got no refund|give me back what i paid for the {thing}
    |the {thing} is faulty and i ask for a refund||pay me back for order {number}|i am owed a refund for the {thing}""",
    cancel="""please cancel my subscription|i want to stop order {number} before it ships|end my membership today
    |close my plan next month|cancel the order for the {thing}|do not send the {thing} , i changed my mind
    |i wish to end my contract|stop my subscription to the newsletter
    ||cancel order {number}|i no longer want the {thing} , stop the order""",
)
_GREETINGS = _by_label(
    formal="""dear team ,|dear sir or madam ,|good morning ,|to the customer service :||dear customer service ,
    |good day ,""",
    informal="hey ,|hi guys ,|hi there ,|yo ,|hello folks ,||hiya ,|hey you all ,",
)
_CLOSINGS = _by_label(
    formal="""kind regards|yours sincerely|thank you for your assistance|with best wishes||respectfully yours
    |best regards""",
    informal="thx|cheers|bye|see ya|love you lots||ta|later",
)
_HURRIES = _by_label(
    urgent="""this is urgent|please do it today|i need it right now|answer at once|it cannot wait
    |help me as soon as you can
    ||this is an emergency|hurry please""",
    relaxed="""there is no hurry|take your time|whenever it suits you|next week is fine|it can wait
    ||no rush|answer when you have time""",
)


def _message(
    rng: Random, held: bool, *, intent: str | None = None, tone: str | None = None, hurry: str | None = None
) -> str:
    said = [_one(rng, _INTENTS[intent or rng.choice(list(_INTENTS))], held)]
    if hurry or rng.random() < 0.3:
        said.append(rng.choice(_HURRIES[hurry or rng.choice(list(_HURRIES))][held]))
    marks = rng.choice(("open", "close", "both")) if tone else rng.choice(("", "", "", "open", "both"))
    tone = tone or rng.choice(list(_GREETINGS))
    if marks in ("close", "both"):
        said.append(rng.choice(_CLOSINGS[tone][held]))
    opening = f"{rng.choice(_GREETINGS[tone][held])} " if marks in ("open", "both") else ""
    return opening + " , ".join(said)


# Sentences: a tense, a form, and whether they deny.

_VERBS = [
    "open",
    "close",
    "paint",
    "clean",
    "cook",
    "wash",
    "watch",
    "visit",
    "push",
    "pull",
    "move",
    "buy",
    "sell",
    "find",
    "see",
    "take",
    "bring",
    "build",
    "break",
    "hide",
    "draw",
    "carry",
    "lift",
    "drop",
    "count",
    "repair",
    "borrow",
    "collect",
    "deliver",
    "describe",
    "discover",
    "finish",
    "follow",
    "need",
    "order",
    "print",
    "protect",
    "reach",
    "save",
    "share",
    "touch",
    "use",
    "want",
    "lose",
    "hold",
    "choose",
    "keep",
    "leave",
    "make",
    "steal",
    "throw",
    "send",
]
_ACTIONS = _split_pool([verb for verb in _VERBS if verb in PAST])
_WHEN = _by_label(
    past="yesterday|last week|two days ago|last year|long ago||last month|a month ago",
    present="now|every day|today as always|on mondays|very often||each morning|most of the time",
    future="tomorrow|next week|soon|in two days|next year||later on|in the coming month",
)
_TENSES = ("past", "present", "future")


def _third(verb: str) -> str:
    return (
        verb + "es" if verb.endswith(("s", "sh", "ch", "x")) else verb[:-1] + "ies" if verb[-2:] == "ry" else verb + "s"
    )


def _sentence(
    rng: Random, held: bool, *, tense: str | None = None, form: str | None = None, denied: bool | None = None
) -> str:
    form = form or rng.choice(("question", "statement", "statement"))
    time = tense or rng.choice(_TENSES)
    denied = rng.random() < 0.25 if denied is None else denied
    verb = rng.choice(_ACTIONS[held])
    thing = f"the {_thing(rng, held)}"
    if form == "command":
        start = rng.choice(("", "", "please ", "now "))
        return f"{start}{'do not ' if denied else ''}{verb} {thing}{rng.choice(('', ' !', f' , {name(rng, held)}'))}"
    who = rng.choice((name(rng, held), person(rng, held), "he", "she", f"the {_thing(rng, held)}"))
    when = f" {rng.choice(_WHEN[time][held])}" if rng.random() < 0.5 else ""
    helper = {"past": "did", "present": "does", "future": "will"}[time]
    if form == "question":
        ask = rng.choice(("", "", "why ", "when ")) if not when else rng.choice(("", "", "why "))
        return f"{ask}{helper} {who}{' not' if denied else ''} {verb} {thing}{when}{rng.choice((' ?', ' ?', ''))}"
    if denied:
        return f"{who} {helper} not {verb} {thing}{when}{rng.choice((' .', ''))}"
    said = {"past": PAST[verb], "present": _third(verb), "future": f"will {verb}"}[time]
    return f"{who} {said} {thing}{when}{rng.choice((' .', ''))}"


# Mails: wanted or not, and about what.

_MAILS = _by_label(
    work="""the meeting on the {thing} project moves to {number} past nine|please send the report about {name} by friday
    |{person} joins our office on monday|the slides for the {name} contract are ready|notes from the talk with {person}
    ||the budget for the {thing} project is approved|can you review my draft before the meeting""",
    family="""grandma asks if you come to dinner on sunday|your sister {name} has a new baby|mom found your old {thing}
    |uncle {name} sends his love|we miss you at home , dad||your cousin {name} got married
    |aunt {name} baked a cake for you""",
    school="""the exam in room {number} starts at ten|homework for the class of {person} is online
    |the school trip to {name} is on friday|your essay about the {thing} got a good mark
    ||the teacher {person} is ill , no class today|bring your {thing} for the lesson on monday""",
    prize="""you won {sum} dollars , click here now|claim your free {thing} today
    |lucky winner , your prize {number} is waiting
    |congratulations , you were chosen to get a free {thing}||click to collect your prize of {sum}
    |free tickets for the winner""",
    loan="""get a loan of {sum} with no questions asked|lower your debt in {number} minutes
    |cheap credit for everyone , apply now
    |double your money with this secret plan||instant cash of {sum} , apply here|borrow {sum} at zero percent now""",
    pills="""lose {number} pounds in a week with this pill|doctors hate this magic tea
    |buy pills at half the price , order now
    |grow new hair in {number} days||cheap medicine with no prescription|this pill melts fat , order today""",
)
_SPAM = {"spam": ("prize", "loan", "pills"), "normal": ("work", "family", "school")}

# School questions: a subject, and what is asked for.

_SUBJECTS = _by_label(
    history="""the battle of {name}|the treaty of {name}|the empire of {name}|the revolt in {name}|king {name} the great
    |the siege of {name}||the crusade of {name}|the crown of king {name}""",
    geography="""the river {name}|the mountain {name}|the lake near {name}|the coast of {name}|the valley of {name}
    |the island of {name}||the desert of {name}|the waterfall at {name}""",
    science="""the atom|the theory of light|the vaccine of doctor {name}|the law of gravity|the element {low}|the cell
    ||the orbit of the planet {name}|the electron""",
    music="""the opera {name}|the song about the {thing}|the choir of {name}|the piano sonata of {name}
    |the symphony of {name}
    |the flute concerto||the violin duet of {name}|the melody of {name}""",
)
_ASKED = _by_label(
    person="""who first described {x} ?|who is known for {x} ?|which person do we link to {x} ?|who wrote about {x} ?
    |whose name stands for {x} ?||who told the world of {x} ?|who was the first to study {x} ?""",
    place="""where do we read about {x} ?|in which town did people first hear of {x} ?
    |where does the story of {x} begin ?
    |at what place is {x} remembered ?||in which country is {x} best known ?|where was {x} first named ?""",
    time="""when did people first hear of {x} ?|in which year do we first read of {x} ?
    |in what century was {x} first named ?
    |when was {x} forgotten ?||since when is {x} known ?|on which date do we remember {x} ?""",
    number="""how many books are about {x} ?|how many people know {x} ?|what is the number of texts on {x} ?
    |how many pages tell of {x} ?||how many films show {x} ?|how often is {x} named in the book ?""",
)


def _school(rng: Random, held: bool, subject: str | None = None, asked: str | None = None) -> str:
    about = _one(rng, _SUBJECTS[subject or rng.choice(list(_SUBJECTS))], held)
    return rng.choice(_ASKED[asked or rng.choice(list(_ASKED))][held]).replace("{x}", about)


# A diary: a feeling, and when.

_FEELINGS = _by_label(
    joy="""i laughed with {name}|i felt so happy about the {thing}|{name} gave me a {thing} and i smiled
    |i danced in the {place}
    |i was glad to see {name}||i was thrilled about the {thing}|i sang with joy near the {place}""",
    anger="""i shouted at {name}|i was furious about the {thing}|{name} broke my {thing} and i got mad
    |i slammed the door of the {place}|i was so angry with {name}||i hit the {thing} in rage
    |i was outraged by {name}""",
    fear="""i was afraid of the {thing}|i trembled in the {place}|{name} scared me with a {thing}
    |i ran away from the {place}
    |i was frightened by {name}||i was terrified of the {thing}|i hid from {name} in panic""",
    sadness="""i cried about the {thing}|i missed {name} so much|i felt sad in the {place}|tears came when {name} left
    |i was unhappy about the {thing}||i wept for {name}|i was lonely in the {place}""",
)
_DAYTIMES = _by_label(
    morning="this morning|at breakfast|after i woke up|at sunrise||just after dawn|before breakfast",
    noon="at noon|at lunch|in the middle of the day|over lunch||at twelve o'clock|after lunch",
    evening="this evening|after dinner|at sunset|when work was over||at supper|at the end of the day",
    night="at midnight|late at night|last night|in the dark hours||while all were asleep|under the stars",
)


def _diary(rng: Random, held: bool, feeling: str | None = None, daytime: str | None = None) -> str:
    felt = _one(rng, _FEELINGS[feeling or rng.choice(list(_FEELINGS))], held)
    when = rng.choice(_DAYTIMES[daytime or rng.choice(list(_DAYTIMES))][held])
    return f"{when} {felt}" if rng.random() < 0.5 else f"{felt} {when}"


# Living things: an animal or a plant, and where it lives.

_LIVING = _by_label(
    animal="""it has four legs|it hunts at night|it feeds its young with milk|it builds a nest|it has sharp teeth
    |it eats grass and runs fast|it sleeps in winter||it lays eggs|it has fur and a long tail""",
    plant="""it has green leaves|it grows from a seed|its roots go deep|it blooms in spring|it needs sun and water
    |it bears sweet fruit|its bark is thick||its petals are white|it has thorns and a thin stem""",
)
_HABITATS = _by_label(
    forest="in the forest|in the woods|among tall trees||in the deep jungle|under old oaks",
    lake="in the lake of {name}|in shallow water|on the shore of a pond||in the ponds of {name}|by still water",
    desert="in the desert|in dry sand|on hot dunes||in the sands of {name}|where it never rains",
    mountain="on the mountain {name}|on high rocks|near the summit||on cold peaks|on the cliffs of {name}",
)


def _creature(rng: Random, held: bool, living: str | None = None, habitat: str | None = None) -> str:
    where = _one(rng, _HABITATS[habitat or rng.choice(list(_HABITATS))], held)
    what = rng.choice(_LIVING[living or rng.choice(list(_LIVING))][held])
    called = f"the {name(rng, held).lower()}"
    if rng.random() < 0.5:
        return f"{called} is found {where} . {what} ."
    return f"{called} : {what} and is seen {where} ."


# Weather reports: what falls, and how warm it is.

_SKIES = _by_label(
    rain="""heavy showers fall|it pours all day|drops run down the windows|take an umbrella||it drizzles
    |the streets are wet""",
    snow="""white flakes fall|the roads are white|children build a snowman|it snows all day||a blizzard comes
    |skis are needed""",
    sun="""the sky is clear|not a cloud in sight|the sun shines all day|take sunglasses||bright light all day
    |the sky is blue""",
    wind="""a strong breeze blows|gusts shake the trees|hats fly away|a gale comes from the sea||a storm blows
    |kites fly high""",
)
_WARMTHS = _by_label(
    warm="""it is hot|the air is mild|it is warm outside|no coat is needed||it is {number} degrees and sweaty
    |summer heat""",
    cold="it is freezing|the air is icy|it is cold outside|wear a thick coat||there is frost|it is bitterly chilly",
)


def _report(rng: Random, held: bool, sky: str | None = None, warmth: str | None = None) -> str:
    above = _one(
        rng, _SKIES[sky or rng.choice([label for label in _SKIES if label != "snow" or warmth != "warm"])], held
    )
    felt = _one(rng, _WARMTHS[warmth or ("cold" if sky == "snow" else rng.choice(list(_WARMTHS)))], held)
    said = [above, felt] if rng.random() < 0.5 else [felt, above]
    return f"{name(rng, held)} : {' and '.join(said)}"


def _sources() -> Sequence[Source]:
    def parts(texts: Mapping[str, _Parted]) -> Callable[[Random, str, bool], str]:
        return lambda rng, label, held: _one(rng, texts[label], held)

    polar = {"yes": True, "no": False}
    return (
        Source("sentiment", "review", ("positive", "negative"), lambda r, c, held: _review(r, held, c)),
        Source("opinion", "review", tuple(_OPINIONS), lambda r, c, held: _review(r, held, c)),
        Source("reviewed", "review", tuple(_PRODUCTS), lambda r, c, held: _review(r, held, product=c)),
        Source("topic", "headline", tuple(_HEADLINES), parts(_HEADLINES)),
        Source("intent", "message", tuple(_INTENTS), lambda r, c, held: _message(r, held, intent=c)),
        Source("tone", "message", tuple(_GREETINGS), lambda r, c, held: _message(r, held, tone=c)),
        Source("urgency", "message", tuple(_HURRIES), lambda r, c, held: _message(r, held, hurry=c)),
        Source("tense", "sentence", _TENSES, lambda r, c, held: _sentence(r, held, tense=c)),
        Source("form", "sentence", ("question", "statement", "command"), lambda r, c, held: _sentence(r, held, form=c)),
        Source(
            "denial",
            "sentence",
            ("yes", "no"),
            lambda r, c, held: _sentence(r, held, denied=polar[c]),
            {"yes": "a sentence with not", "no": "a sentence without not"},
        ),
        Source("mail", "mail", tuple(_MAILS), parts(_MAILS)),
        Source("spam", "mail", tuple(_SPAM), lambda r, c, held: _one(r, _MAILS[r.choice(_SPAM[c])], held)),
        Source("subject", "question", tuple(_SUBJECTS), lambda r, c, held: _school(r, held, c)),
        Source("asked", "question", tuple(_ASKED), lambda r, c, held: _school(r, held, asked=c)),
        Source("feeling", "entry", tuple(_FEELINGS), lambda r, c, held: _diary(r, held, c)),
        Source("daytime", "entry", tuple(_DAYTIMES), lambda r, c, held: _diary(r, held, daytime=c)),
        Source("living", "description", tuple(_LIVING), lambda r, c, held: _creature(r, held, c)),
        Source("habitat", "description", tuple(_HABITATS), lambda r, c, held: _creature(r, held, habitat=c)),
        Source("weather", "report", tuple(_SKIES), lambda r, c, held: _report(r, held, c)),
        Source("warmth", "report", tuple(_WARMTHS), lambda r, c, held: _report(r, held, warmth=c)),
    )


SOURCES: Mapping[str, Source] = {source.name: source for source in _sources()}


def review(rng: Random, held: bool) -> tuple[str, str, str]:
    """Return a review with its sentiment and its product."""
    sentiment, product = rng.choice(("positive", "negative")), rng.choice(list(_PRODUCTS))
    return _review(rng, held, sentiment, product), sentiment, product


# Wordings: trained ones, then three that never are.

_WORDINGS: Mapping[str, str] = {
    "sentiment": """Classify the sentiment of the review as positive or negative.
Say whether the review is positive or negative.
Is the review positive or negative?
Answer positive if the writer liked it and negative otherwise.
Decide if the opinion is positive or negative.
Label the sentiment: positive or negative.
Give the sentiment of the review.
--
Judge the mood of the review, positive or negative.
Tell if the reviewer speaks well of it, positive or negative.
Write positive for praise and negative for a complaint.""",
    "opinion": """Classify the review as positive, negative or neutral.
Say whether the opinion is positive, negative or neutral.
Is the review positive, negative or neutral?
Answer positive for praise, negative for blame and neutral for neither.
Label the opinion: positive, negative or neutral.
Rate the review as positive, neutral or negative.
--
Decide among positive, negative and neutral for the review.
Tell if the writer is positive, neutral or negative about it.
Which is the review: positive, negative or neutral?""",
    "reviewed": """Say which product the review is about: food, hotel, movie or phone.
Classify the review by product: food, hotel, movie or phone.
What is the review about, food, hotel, movie or phone?
Label the subject of the review.
Give the product of the review.
Tell whether it is a review of food, a hotel, a movie or a phone.
Answer food, hotel, movie or phone.
--
Name the kind of product that is reviewed.
Which of food, hotel, movie and phone does the review judge?
Sort the review under food, hotel, movie or phone.""",
    "topic": """Classify the headline by topic.
Give the topic of the headline: sports, business, science, politics, weather or arts.
Which section of the newspaper does the headline belong to?
Label the headline as sports, business, science, politics, weather or arts.
What is the headline about?
Give the topic of the headline.
Sort the headline into a section of the newspaper.
--
Name the news topic of the headline.
Tell in which part of the paper the headline stands.
Say if it is sports, business, science, politics, weather or arts news.""",
    "intent": """Classify the message as billing, shipping, login, refund or cancel.
What does the customer want: billing, shipping, login, refund or cancel?
Say whether the message is about billing, shipping, login, refund or cancel.
Label the intent of the customer message.
Give the intent of the message.
Answer billing, shipping, login, refund or cancel.
What is the message about?
--
Name the department for the message: billing, shipping, login, refund or cancel.
Tell what the customer writes about, billing, shipping, login, refund or cancel.
Sort the message under billing, shipping, login, refund or cancel.""",
    "tone": """Say whether the message is formal or informal.
Classify the tone of the message as formal or informal.
Is the message formal or informal?
Answer formal or informal.
Label the register: formal or informal.
Give the tone of the message.
--
Judge the style of the message, formal or informal.
Tell if the writer is formal or informal.
Decide between formal and informal for the tone.""",
    "urgency": """Say whether the message is urgent or relaxed.
Classify the message as urgent or relaxed.
Is the message urgent or relaxed?
Answer urgent if it cannot wait and relaxed if it can.
Label the urgency of the message.
Give the urgency: urgent or relaxed.
--
Tell if the customer is in a hurry, urgent or relaxed.
Judge how much haste there is, urgent or relaxed.
Decide whether it is urgent or relaxed.""",
    "tense": """Give the tense of the sentence: past, present or future.
Classify the sentence as past, present or future.
Is the sentence in the past, present or future?
Say in which tense the sentence is.
Label the tense of the sentence.
Answer past, present or future.
--
Name the tense that the sentence is in.
Tell whether the sentence speaks of past, present or future.
Decide on the tense, past, present or future.""",
    "form": """Say whether it is a question, a statement or a command.
Classify the sentence as question, statement or command.
Is it a question, a statement or a command?
Give the form of the sentence: question, statement or command.
Label the sentence: question, statement or command.
Answer question, statement or command.
--
Tell if the sentence asks, states or orders: question, statement or command.
What kind of sentence is it, question, statement or command?
Decide among question, statement and command.""",
    "denial": """Say yes if the sentence has not in it and no otherwise.
Is the sentence negated? Answer yes or no.
Answer yes if the sentence denies something and no if it does not.
Does the sentence contain the word not? Answer yes or no.
Write yes for a negated sentence and no for any other.
Tell with yes or no whether the sentence is negated.
--
Say yes when something is denied and no when nothing is.
Does the sentence deny something, yes or no?
Give yes for a sentence with not and no for one without.""",
    "mail": """Classify the mail as work, family, school, prize, loan or pills.
Say what the mail is about: work, family, school, prize, loan or pills.
Is the mail about work, family, school, a prize, a loan or pills?
Label the subject of the mail.
Give the kind of mail: work, family, school, prize, loan or pills.
Sort the mail into work, family, school, prize, loan or pills.
--
Name the folder for the mail: work, family, school, prize, loan or pills.
Tell which the mail is, work, family, school, prize, loan or pills.
Choose work, family, school, prize, loan or pills for the mail.""",
    "spam": """Say whether the mail is spam or normal.
Classify the mail as spam or normal.
Is the mail spam or normal?
Answer spam if the mail is unwanted and normal otherwise.
Label the mail: spam or normal.
Decide if the mail is spam or normal.
--
Tell spam from normal mail.
Judge the mail, spam or normal.
Write spam for junk and normal for real mail.""",
    "subject": """Give the school subject of the question: history, geography, science or music.
Classify the question as history, geography, science or music.
Which school subject is the question from?
Say whether it is history, geography, science or music.
Label the subject of the question.
Answer history, geography, science or music.
--
Name the class in which the question is asked: history, geography, science or music.
Tell the subject, history, geography, science or music.
To which school subject does the question belong?""",
    "asked": """Say what the question asks for: person, place, time or number.
Classify the question by its answer: person, place, time or number.
Does the question ask for a person, a place, a time or a number?
Give the type of answer that is wanted: person, place, time or number.
Label what is asked: person, place, time or number.
Answer person, place, time or number.
--
Tell if the answer is a person, place, time or number.
Name the kind of answer that the question wants, person, place, time or number.
What must the answer be: person, place, time or number?""",
    "feeling": """Give the feeling of the writer: joy, anger, fear or sadness.
Classify the feeling as joy, anger, fear or sadness.
Does the writer feel joy, anger, fear or sadness?
Say which emotion the text shows: joy, anger, fear or sadness.
Label the emotion of the writer.
Answer joy, anger, fear or sadness.
--
Name the emotion, joy, anger, fear or sadness.
Tell what the writer felt: joy, anger, fear or sadness.
Which of joy, anger, fear and sadness is in the text?""",
    "daytime": """Give the time of day: morning, noon, evening or night.
Classify the entry as morning, noon, evening or night.
Did it happen in the morning, at noon, in the evening or at night?
Say at what time of day it happened.
Label the time of day.
Answer morning, noon, evening or night.
--
Name the part of the day: morning, noon, evening or night.
Tell when in the day it was, morning, noon, evening or night.
Which time of day is meant, morning, noon, evening or night?""",
    "living": """Say whether it is an animal or a plant.
Classify the living thing as animal or plant.
Is it an animal or a plant?
Answer animal or plant.
Label the description: animal or plant.
Give the kind of living thing, animal or plant.
--
Decide between animal and plant.
Tell if an animal or a plant is described.
Which is meant, an animal or a plant?""",
    "habitat": """Say where it lives: forest, lake, desert or mountain.
Classify the place as forest, lake, desert or mountain.
Does it live in the forest, the lake, the desert or on a mountain?
Give the habitat: forest, lake, desert or mountain.
Label the habitat of the living thing.
Answer forest, lake, desert or mountain.
--
Name the habitat, forest, lake, desert or mountain.
Tell in what place it is found: forest, lake, desert or mountain.
Which of forest, lake, desert and mountain is its home?""",
    "weather": """Give the weather: rain, snow, sun or wind.
Classify the report as rain, snow, sun or wind.
Is there rain, snow, sun or wind?
Say what the weather is: rain, snow, sun or wind.
Label the weather of the report.
Answer rain, snow, sun or wind.
--
Name the weather, rain, snow, sun or wind.
Tell which weather is reported: rain, snow, sun or wind.
Which of rain, snow, sun and wind does the report tell of?""",
    "warmth": """Say whether it is warm or cold.
Classify the report as warm or cold.
Is it warm or cold?
Answer warm or cold.
Label the temperature: warm or cold.
Give the temperature, warm or cold.
--
Decide between warm and cold.
Tell if people feel warm or cold there.
Judge the temperature of the report, warm or cold.""",
}

_ONE_CLASS: Mapping[str, tuple[str, str]] = {
    "is_sports": ("topic", "about sports"),
    "is_politics": ("topic", "about politics"),
    "is_refund": ("intent", "about a refund"),
    "is_food": ("reviewed", "about food"),
    "is_family": ("mail", "from the family"),
    "is_anger": ("feeling", "full of anger"),
}
"""Tasks that ask whether a text is of one class: its source, and how the class is said. The class ends the name."""

_OPENING = """Give the first word of the text.
Write the word that the text begins with.
Return the first word of the sentence.
Which word comes first in the text?
Copy the first word of the text.
With which word does the text start?
--
Tell the word that opens the text.
Output the word at the start of the text.
Say the very first word of the text."""
_ENDING = """Give the last word of the text.
Write the word that the text ends with.
Return the last word of the sentence.
Which word comes last in the text?
Copy the last word of the text.
With which word does the text end?
--
Tell the word that closes the text.
Output the word at the end of the text.
Say the very last word of the text."""


def _tasks() -> Sequence[Task]:
    whole = [
        _class_task(source, 0.8 if source.noun in ("review", "headline", "message") else 0.55)
        for source in SOURCES.values()
    ]
    single = [_one_class_task(name, SOURCES[source], said) for name, (source, said) in _ONE_CLASS.items()]
    return [
        *whole,
        *single,
        _word_task("opening_word", _OPENING, first=True),
        _word_task("ending_word", _ENDING, first=False),
    ]


def _class_task(source: Source, weight: float) -> Task:
    def draw(rng: Random, held: bool) -> Turn:
        label = rng.choice(source.labels)
        return Turn({"text": source.draw(rng, label, held)}, {"answer": label})

    precise, held = _wordings(_WORDINGS[source.name])
    return Task(source.name, FAMILY, draw, precise, held, weight, source.labels, field_names(source.noun))


def _one_class_task(name: str, source: Source, said: str) -> Task:
    wanted = name.removeprefix("is_")
    others = [label for label in source.labels if label != wanted]

    def draw(rng: Random, held: bool) -> Turn:
        right = rng.random() < 0.5
        text = source.draw(rng, wanted if right else rng.choice(others), held)
        return Turn({"text": text}, {"answer": "yes" if right else "no"})

    noun = source.noun
    precise = (
        f"Say yes if the {noun} is {said} and no otherwise.",
        f"Is the {noun} {said}? Answer yes or no.",
        f"Answer yes or no: is the {noun} {said}?",
        f"Write yes when the {noun} is {said}, else no.",
        f"Decide with yes or no whether the {noun} is {said}.",
        f"Tell with yes or no if it is {said}.",
    )
    held = (
        f"Say no unless the {noun} is {said}, then yes.",
        f"Would you call the {noun} one that is {said}, yes or no?",
        f"Give yes for any {noun} that is {said} and no for the rest.",
    )
    return Task(name, FAMILY, draw, precise, held, 0.3, ("yes", "no"), field_names(noun))


def _word_task(name: str, wordings: str, *, first: bool) -> Task:
    sources = list(SOURCES.values())

    def draw(rng: Random, held: bool) -> Turn:
        source = rng.choice(sources)
        text = source.draw(rng, rng.choice(source.labels), held)
        words = text.split()
        while words[-1] in (".", "?", "!", ":"):
            words.pop()
        return Turn({"text": text}, {"answer": words[0 if first else -1]})

    precise, held = _wordings(wordings)
    return Task(name, FAMILY, draw, precise, held, 1.2)


def _wordings(text: str) -> tuple[Sequence[str], Sequence[str]]:
    precise, held = text.split("\n--\n")
    return tuple(precise.split("\n")), tuple(held.split("\n"))


def field_names(noun: str) -> Mapping[str, Sequence[str]]:
    """Return the names of the input of a task over such texts: the usual ones and the noun."""
    return {"text": (*NAMES["text"], noun, noun, noun)}


TASKS: Sequence[Task] = _tasks()
