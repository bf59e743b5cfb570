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
    |rice|cheese|wine|coffee|tea|fish|chicken|omelette|pancake|dish|cookie|pie|sausage|potato|juice|buffet
    |lasagna|ice cream|cook|risotto||dinner|burger|noodles|stew""",
    hotel="""room|lobby|pool|bed|balcony|reception|bathroom|view|lounge|spa|suite|elevator|pillow|carpet|bedroom
    |mattress|towel|bathtub|garden|terrace|sauna|gym|front desk|parking|hallway|staircase|bellboy|maid
    |air conditioning|minibar|lodge|rooftop|linen|housekeeping||shower|corridor|blanket""",
    movie="""plot|acting|ending|script|soundtrack|dialogue|director|scene|cast|film|story|actor|hero|villain
    |animation|opening scene|costume|stunt|special effect|romance|comedy|drama|thriller|cartoon|trailer|narrator
    |editing|screenplay|chase|lead role|storyline|documentary|musical|punch line||sequel|actress|camera work""",
    phone="""screen|battery|camera|charger|keyboard|speaker|signal|display|app|microphone|ringtone|software
    |touch screen|handset|touch pad|power button|volume|sim card|call quality|headphone|fingerprint reader
    |flashlight|bluetooth|voice mail|text message|case|glass|update|lock screen|antenna|plug|processor||headset
    |memory card|cable""",
)
_OPINIONS = _by_label(
    positive="""great|wonderful|excellent|superb|lovely|fantastic|delightful|perfect|amazing|brilliant|charming
    |outstanding|pleasant|impressive|splendid|beautiful|nice|good|marvelous|enjoyable|superior|stunning|fine
    |exceptional|first class|magnificent|gorgeous|cool|sweet|fun|top notch|satisfying|world class|flawless|fresh
    |elegant|incredible|lively|likable|super|cheerful|exciting|adorable||terrific|fabulous|awesome|remarkable""",
    negative="""awful|terrible|horrible|poor|dreadful|disappointing|bad|boring|ugly|broken|unpleasant|nasty
    |mediocre|annoying|useless|rotten|miserable|weak|lousy|faulty|disgusting|dull|cheap looking|disastrous|dirty
    |gross|sad|unacceptable|second rate|tasteless|ridiculous|worthless|filthy|painful|clumsy|stupid|atrocious
    |tiresome|sloppy|defective|inferior|dismal|frustrating||appalling|shabby|pathetic|hopeless""",
    neutral="""average|ordinary|acceptable|normal|standard|usual|plain|passable|fair|typical|unremarkable|common
    |regular|medium|moderate|adequate|mid level|conventional|routine|tolerable|unsurprising|everyday|okay
    |neutral|commonplace||middling|so so|run of the mill""",
)
_REVIEWS = _parted(
    """the {a} was {j}|{j} {a}|what a {j} {a}|i found the {a} {j}|the {a} is really {j}|a {j} {a} for the price
    |the {a} seemed {j} to me|we had a {j} {a}|my friends call the {a} {j}|the {a} turned out {j}|such a {j} {a}
    |to be honest , the {a} is {j}|{a} : {j}|they have a {j} {a}|i think that the {a} is {j}
    |{j} : that is the word for the {a}|how {j} the {a} was !|one word for the {a} , {j}
    |if you ask me , this {a} is {j}|nobody can deny that the {a} is {j}|the {a} ? {j}|can a {a} be so {j} ?
    |i must say , {j} {a}|after two days with it i call the {a} {j}|it has a {a} that is {j}|{j} , {j} {a}
    |my wife thinks the {a} is {j}|{j} beyond doubt , this {a}|once again the {a} was {j}
    |about the {a} i can only say {j}|this {a} must be the most {j} one of all
    |the {a} was quite {j} from start to end|for me , {j} is what the {a} was|here the {a} is always {j}
    |i did not expect the {a} to be this {j}|compared with others , the {a} is {j}|the {a} they offer is {j}
    |well , that {a} was {j}|got a {j} {a} this time|you will get a {a} that is {j}|rather {j} , that {a}
    |both times the {a} was {j}|so the {a} is {j} , says my brother|{a} very {j}|as for the {a} , it remains {j}
    |we tried it last week and the {a} was {j}|very {j} indeed , this {a}||everyone said the {a} was {j}
    |the {a} looks {j}|a truly {j} {a}|in my view the {a} was {j}"""
)
_TAILS = _by_label(
    positive="""i will come back|i would buy it again|loved it|highly recommended|five stars
    |i smiled the whole time|we will tell all our friends|give it a try|thank you so much|could not be happier
    |ten out of ten|my new favorite|i am impressed|what a joy|go and see for yourself , you will love it
    ||i am a fan now|worth every cent""",
    negative="""never again|i want my money back|avoid it|a waste of time|one star|i regret it
    |we will not return|stay away|never paid so much for so little|zero out of ten|what a pity
    |i want to forget it|i complained twice|very sad|i would not give it to my enemy||save your money
    |i left early""",
    neutral="""nothing more|as expected|neither good nor bad|it does the job|i have seen better and worse
    |no more , no less|could be better , could be worse|three stars|i do not mind either way|it is what it is
    ||that is all|no strong feelings""",
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
    |striker scores twice as {name} win the cup|{person} wins the tennis title
    |fans cheer as {name} reach the playoffs|{person} breaks the marathon record
    |injured goalkeeper {person} misses the match|{name} lose at home to {other}
    |late goal saves {name} from defeat|{person} takes gold in the long jump
    |referee sends off {person} in the derby|will {person} play in the final ?
    |{number} goals in ten games for {person}|no medal for {name} at the games
    |{name} out of the cup after penalties|new coach for {name}|swimmer {person} fastest in the pool again
    |{person} , {number} , ends career as a boxer|team of {name} flies home with the trophy
    |at last , a win for {name}|golf star {person} leads by two strokes
    |{other} crushed by {name} , {number} to nothing|basketball : {name} takes the third game
    |training camp of the {name} team starts|skier {person} falls but still wins the race
    |cyclist {person} wears the yellow jersey|how {name} won the championship
    |defender {person} banned for three matches|a perfect season for the {name} hockey team
    |world cup : {name} plays {other} tonight|young gymnast {person} stuns the judges
    |relay team of {name} runs to silver|{person} to captain the rugby side|hat trick for {person}
    |stadium in {name} full for the semifinal||{name} sign striker {person} from {other}
    |boxer {person} knocks out rival|{name} draw with {other} in the league""",
    business="""{name} shares rise on strong profits|{name} to buy rival {other}|{name} cuts jobs as sales fall
    |bank raises interest rates again|{name} opens a new factory in {other}|investors worry about {name} debt
    |oil prices drop as markets slide|{person} named chief of {name}|{name} sells its shoe stores to {other}
    |retailer {name} plans to hire {number} workers|exports of cars grow for the third month
    |will {name} go bankrupt ?|{sum} jobs lost at {name}|airline {name} orders {number} planes
    |the {thing} maker {name} reports a loss|price of gold climbs again
    |{name} and {other} to share a supply chain|startup {name} raises {sum} million from investors
    |supermarket chain {name} cuts prices|why the dollar is falling|{person} steps down as head of the bank
    |workers at the {name} plant ask for higher wages|inflation slows , says central bank
    |quarterly earnings of {name} beat forecasts|{thing} sales up {number} percent
    |{other} rejects takeover bid by {name}|unemployment lowest in {number} years|car maker recalls {sum} trucks
    |{name} pays a dividend to its owners|new boss for insurer {name}|consumers spend more before the holidays
    |{name} closes {number} branches|factory orders shrink , economists say
    |tech giant {name} fined over monopoly|billionaire {person} buys a stake in {name}
    ||merger of {name} and {other} fails|profits at {name} double|stock market closes lower on trade fears""",
    science="""scientists discover a new planet|researchers at {name} find a cure for malaria
    |{person} wins prize for work on atoms|telescope sees a distant galaxy|new fossil found near {name}
    |study links sleep to memory|robot probe lands on the moon|biologists map the genes of the {thing}
    |experiment at {name} measures dark matter|physicist {person} explains black holes
    |vaccine protects mice in tests|is there water on the red planet ?|gene for blindness found
    |{number} new species found in the deep sea|how birds find their way , by biologist {person}
    |a cheaper way to split hydrogen|bacteria that eat plastic surprise researchers
    |laser cools atoms to a record low|{name} laboratory grows human cells
    |ancient skull changes the story of evolution|satellite maps the ice of the pole
    |mathematician {person} proves an old theorem|particle seen for the first time at {name}
    |why we dream : a study|the {thing} inspires a new kind of sensor|space station crew tests how plants grow
    |nobel prize for chemist {person}|neurons of mice repaired by a protein|dinosaur bones under {name}
    |asteroid will pass close to the earth|computer model predicts how molecules fold
    |engineers print a heart valve|{person} explains how stars are born|quantum experiment breaks a record
    |drug slows cancer in early trials||chemists at {name} make a new metal|astronomers photograph a comet
    |{person} studies the brain of the whale""",
    politics="""president {person} signs the new law|voters in {name} elect a new mayor
    |parliament debates the tax bill|minister {person} quits after scandal|senate rejects the border treaty
    |{name} holds a vote on independence|opposition leader {person} calls for elections
    |government of {name} loses its majority|{person} sworn in as prime minister
    |court stops the election in {name}|party of {person} leads in the polls|who will be the next president ?
    |{name} and {other} reopen embassies|ministers meet in {name} to discuss refugees
    |lawmakers reject the pension plan|{person} wins the election by {number} votes
    |poll : most voters are undecided|cabinet of {name} steps down|senator {person} accused of taking bribes
    |a new constitution for {name}|no deal between the coalition parties
    |crowds in {name} protest against the government|ambassador of {name} called home|{person} runs for governor
    |chancellor {person} survives a vote of no confidence|referendum : {name} says no
    |sanctions against {name} lifted|in a speech , {person} defends the war|liberals gain {number} seats
    |republicans and democrats clash over health bill|campaign of {person} runs out of money
    |foreign minister visits {name}|{name} lowers the voting age|king of {name} dissolves the assembly
    |deputy {person} switches parties||governor {person} vetoes the budget
    |{name} and {other} sign a peace treaty|council passes the reform bill""",
    weather="""heavy snow expected in {name}|storm floods streets of {name}|heat wave to last all week
    |strong winds close the port of {name}|rain returns after a long drought|fog delays flights in {name}
    |hurricane moves toward {name}|thunder and hail hit {name}|frost warning for the valleys of {name}
    |sunny days ahead for {name}|temperatures fall below zero in {name}|more rain on the way
    |will it snow in {name} ?|hottest day in {number} years|{name} under water after heavy rainfall
    |cold front reaches {name} tonight|cloudy with some sunshine|ice on the roads , drivers warned
    |a mild winter for {name}|{number} degrees in {name} , and rising|drought dries out the fields around {name}
    |forecast : wet and windy|lightning strikes a tree in {name}|gale warning for the coast
    |clear skies over {name} at night|hail as big as eggs falls on {name}|spring comes early this year
    |cyclone heads for {other}|warm air from the south brings thaw|gusts tear roofs off in {name}
    |monsoon begins late|dry and hot until friday|{name} wakes up to white roofs|humid days , stormy nights
    |sandstorm turns the sky red over {name}||blizzard closes roads near {name}|showers and clouds on sunday
    |tornado warning for {name}""",
    arts="""museum in {name} shows lost paintings|singer {person} releases a new album
    |novel by {person} wins the book award|theater in {name} stages a new opera
    |actor {person} joins the festival jury|sculptor {person} opens an exhibition
    |orchestra plays the symphony of {person}|film about {person} opens in {name}
    |poet {person} reads from a new book|gallery in {name} sells a painting by {person}
    |dance company of {name} goes on tour|who painted the portrait found in {name} ?
    |a new life of the composer {person}|{number} drawings go on show|ballet in {name} opens with a classic
    |short stories by {person} at last in print|guitarist {person} plays to a full hall
    |the {thing} in modern art : an exhibition|{person} to direct a musical
    |folk festival in {name} draws thousands|drama about a {thing} wins best picture
    |architect {person} designs a concert hall|lost poem by {person} discovered
    |{name} library shows medieval books|violinist {person} on stage at nine years
    |critics praise the new play by {person}|rock band {name} splits up|statue by {person} comes home to {name}
    |television series about {name} renewed|a night at the opera with {person}
    |author {person} talks about her memoir|photographs of old {name} in the gallery
    |street artists paint the walls of {name}|pianist {person} records all the waltzes
    |jazz singer {person} honored in {name}||choir of {name} sings in the old church
    |painter {person} shows new works|comedy by {person} returns to the stage""",
)

# Messages to a shop: an intent, a tone and a hurry.

_INTENTS = _by_label(
    billing="""i was charged twice for the {thing}|my invoice shows the wrong amount
    |why is there an extra fee on my bill|the payment for the {thing} failed
    |please explain the tax on my invoice|the bill for order {number} is too high
    |you billed my old card for the {thing}|i do not understand the charges on my invoice
    |two invoices for one {thing} , why ?|{sum} dollars on my bill and i do not know what for
    |your bill is wrong again|could you correct the amount on invoice {number}
    |i have a question about my last statement of charges|the discount was not applied to my bill
    |is the tax included in the price you charged|the price on the bill is not the price on your site
    |my bank shows a double payment for the {thing}|i need a copy of the invoice for my records
    |which fee is this on my statement|i paid already but you sent me another bill
    |the monthly fee went up , please explain|change the billing address on my invoice
    |you took {sum} from my account instead of {number}|my credit card is declined when i pay the bill
    |there is a charge of {sum} that i never approved||my card was charged {sum} by mistake
    |the invoice for the {thing} has a wrong price""",
    shipping="""my package has not arrived|when will order {number} be delivered
    |the courier left the {thing} at the wrong address|tracking for order {number} does not move
    |the box with the {thing} arrived late|where is my parcel|the driver never brought order {number}
    |can you send the {thing} to another address|still waiting for my {thing} to arrive
    |has order {number} left your warehouse yet|{number} days and no parcel
    |how long does delivery to {name} take|the mailman says he has no package for me
    |which courier will bring the {thing}|my tracking number is not found|the package was left in the rain
    |order {number} went to my neighbor|the {thing} has not been shipped yet , why
    |can i pick up the parcel myself|the parcel is stuck at customs in {name}
    |i moved to {name} , so send the {thing} there|nobody was home when the driver came , please deliver again
    |is express delivery possible for the {thing}|only half of the boxes came
    |on which day will the truck bring my {thing}||the delivery of the {thing} is late
    |my parcel {number} got lost""",
    login="""i cannot sign in to my account|the password reset email never came
    |my account is locked after three attempts|the login page rejects my code|i forgot my username
    |your site does not accept my password|i am logged out all the time|how do i change my password
    |forgotten password , what now|the app keeps logging me out|where can i enter the code you sent me
    |it says wrong password but i typed it right|no verification code reaches my phone|user {low} cannot get in
    |i try to log in and see only a blank page|unlock my account please|how can i get into my profile again
    |somebody changed my password|the sign in button does nothing|my user name is not recognized
    |the link to set a new password has expired|since the update i cannot log on
    |i get an error when i enter my email and password|two step sign in fails every time|is my account blocked
    |my fingerprint does not log me in any more||my login code does not work|i lost access to my account""",
    refund="""i want my money back for the {thing}|please return the money for order {number}
    |the {thing} broke so i want a refund|how do i send back the {thing} and get my money
    |refund order {number} please|i returned the {thing} but got no refund
    |give me back what i paid for the {thing}|the {thing} is faulty and i ask for a refund
    |money back please , the {thing} does not work|the {thing} does not fit , so i want my {sum} dollars back
    |when will i get the refund for order {number}|i sent the {thing} back last week , where is my money
    |is it possible to be refunded for the {thing}|a refund is what i want , not a new {thing}
    |how many days until my money is returned|the {thing} came damaged , refund it
    |you promised me a refund of {sum}|not happy with the {thing} , i would like to be refunded|return my money
    |does your guarantee give me my money back|please transfer the {sum} i paid back to me
    |i got the wrong {thing} and request my money back|refund still missing for the {thing} i gave back
    |reimburse me for the broken {thing}||pay me back for order {number}|i am owed a refund for the {thing}""",
    cancel="""please cancel my subscription|i want to stop order {number} before it ships
    |end my membership today|close my plan next month|cancel the order for the {thing}
    |do not send the {thing} , i changed my mind|i wish to end my contract
    |stop my subscription to the newsletter|no more newsletters , please unsubscribe me
    |i ordered the {thing} by mistake , cancel it
    |is it possible to take back my booking of the {thing} and cancel|how do i end my subscription
    |take me off the plan|please do not renew my membership|i quit , close my account for good
    |order {number} was a mistake , undo it|we do not need the {thing} any more , please cancel the order
    |cancellation of contract {number}|is it too late to call off the order for the {thing}
    |i would like to terminate my plan|forget about the {thing} i ordered|delete my order for the {thing}
    |after this month i will not continue my subscription
    |please annul the purchase of the {thing} before you pack it
    |my trial should end now , do not make it a paid plan||cancel order {number}
    |i no longer want the {thing} , stop the order""",
)
_GREETINGS = _by_label(
    formal="""dear team ,|dear sir or madam ,|good morning ,|to the customer service :|dear sirs ,|dear madam ,
    |good afternoon ,|good evening ,|to whom it may concern :|esteemed colleagues ,|dear mister {name} ,
    |dear doctor {name} ,|honored sir ,|honorable members of the board ,||dear customer service ,|good day ,""",
    informal="""hey ,|hi guys ,|hi there ,|yo ,|hello folks ,|hi ,|hello you ,|hey there ,|greetings pal ,
    |what is up ,|howdy ,|hi {name} ,|hey folks ,|hey {name} ,|yo guys ,|oh hey ,|sup ,||hiya ,|hey you all ,""",
)
_CLOSINGS = _by_label(
    formal="""kind regards|yours sincerely|thank you for your assistance|with best wishes|yours faithfully
    |sincerely , {name}|with kind regards|i remain yours truly|i thank you in advance for your kind help
    |your obedient servant|i look forward to your reply|cordially , {person}|i am grateful for your attention
    |yours very truly||respectfully yours|best regards""",
    informal="""thx|cheers|bye|see ya|love you lots|thanks a bunch|xoxo|bye bye|see you|hugs|take care , {name}
    |catch you soon|peace|thanks buddy|big kiss|so long|cheers , {name}||ta|later""",
)
_HURRIES = _by_label(
    urgent="""this is urgent|please do it today|i need it right now|answer at once|it cannot wait
    |help me as soon as you can|asap|every minute counts|do not make me wait
    |i must have an answer within the hour|make it quick|time is running out
    |this needs your attention immediately|i cannot wait any longer|before tonight , please|act now
    |it has to be solved by this afternoon|reply immediately|very urgent|the deadline is in an hour
    ||this is an emergency|hurry please""",
    relaxed="""there is no hurry|take your time|whenever it suits you|next week is fine|it can wait
    |it is not urgent|no need to stress|no pressure|any time this month is okay|i can wait
    |when you get around to it|do it when you like|there is plenty of time|some day is soon enough
    |you can do it later|i am not in a hurry|next month will do|at your own pace||no rush
    |answer when you have time""",
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
        said.append(_one(rng, _CLOSINGS[tone], held))
    opening = f"{_one(rng, _GREETINGS[tone], held)} " if marks in ("open", "both") else ""
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
    "give",
    "catch",
    "teach",
    "win",
    "forget",
    "drive",
    "wear",
    "ride",
    "pay",
    "call",
    "help",
    "start",
    "stop",
    "plan",
    "feed",
    "fight",
    "hear",
    "lead",
    "lend",
    "shake",
    "shoot",
    "spin",
    "forgive",
    "add",
    "answer",
    "bake",
    "climb",
    "cross",
    "enjoy",
    "explain",
    "gather",
    "hunt",
    "invite",
    "join",
    "kick",
    "learn",
    "pick",
    "pour",
    "taste",
    "turn",
    "mix",
    "promise",
    "freeze",
    "sweep",
]
_ACTIONS = _split_pool([verb for verb in _VERBS if verb in PAST])
_WHEN = _by_label(
    past="""yesterday|last week|two days ago|last year|long ago|last night|last monday|in the past
    |this morning already|three years ago|an hour ago|long before today|in the old days|the day before yesterday
    |once upon a time|last summer|back then|on that day long ago|earlier today||last month|a month ago""",
    present="""now|every day|today as always|on mondays|very often|right now|at the moment|these days|every week
    |usually|at present|nowadays|as we speak|all day long|on most days|every now and then|once a week
    |at this very minute|twice a day||each morning|most of the time""",
    future="""tomorrow|next week|soon|in two days|next year|tonight or tomorrow|next month|next summer
    |one day soon|the day after tomorrow|in a few years|before long|in an hour from now|from tomorrow on
    |some time next year|by next friday|in the near future|in ten years||later on|in the coming month""",
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
    if not held and rng.random() < 0.65:
        return _framed(rng, tense or rng.choice(_TENSES), form, rng.random() < 0.25 if denied is None else denied)
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


_STATEMENTS = [
    "{when} {who} {said}",
    "{when} , {who} {said} .",
    "{when} , in the {place} , {who} {said} .",
    "in the {place} {who} {said}",
    "in the {place} {who} {said} {when} .",
    "{who} {said} in the {place}",
    "{who} {said} near the {place} {when}",
    "{who} {said} and the {thing} {when} .",
    "{who} {said} , the {thing} and the {thing}",
    "{who} {said} with the {thing} {when}",
    "with a {thing} {who} {said} .",
    "{who} {said} for {name}",
    "for {name} , {who} {said} {when} .",
    "{who} {said} because of the {thing} .",
    "because of {name} {who} {said} {when}",
    "together with {name} , {who} {said}",
    "{who} , like {name} , {said} .",
    "{name} : {who} {said} {when}",
    "well , {who} {said} .",
    "of course {who} {said} {when} .",
    "{when} in {name} {who} {said}",
]
_QUESTIONS = [
    "{help} {who} {bare} in the {place} ?",
    "{when} , {help} {who} {bare} ?",
    "{help} {who} {bare} for {name} {when} ?",
    "{help} {who} {bare} or the {thing} {when} ?",
    "where {help} {who} {bare} {when} ?",
    "how {help} {who} {bare} ?",
    "how often {help} {who} {bare} in the {place}",
    "in which {place} {help} {who} {bare} ?",
    "at what price {help} {who} {bare} {when}",
    "with whom {help} {who} {bare} ?",
    "for what reason {help} {who} {bare} {when} ?",
    "and why {help} {who} {bare} {when} ?",
    "{name} , {help} {who} {bare} {when} ?",
    "{who} {said} , right ?",
    "{who} {said} {when} ?",
    "how many times {help} {who} {bare} {when}",
]
_COMMANDS = [
    "{name} , {order} !",
    "{name} , please {order} .",
    "please {order} at once",
    "kindly {order} for me",
    "you there , {order} !",
    "{order} before you go home",
    "{order} with the {thing} .",
    "{order} in the {place} , please",
    "in the {place} , {order} .",
    "when you see {name} , {order}",
    "{order} and come back",
    "first {order} , then sit down",
    "listen , {order} now !",
    "{order} and the {thing} , {name} !",
    "for once , {order} .",
    "{order} {when} !",
    "{order} if {name} asks",
    "come on , {order}",
    "all of you , {order} !",
    "{order} as i told you .",
]
"""Frames of sentences that only training shows."""


def _framed(rng: Random, tense: str, form: str, denied: bool) -> str:
    verb = rng.choice(_ACTIONS[False])
    thing = f"{rng.choice(('the', 'the', 'the', 'this', 'that', 'every', 'my', 'our'))} {_thing(rng, False)}"
    one: Sequence[Callable[[], str]] = (
        lambda: name(rng),
        lambda: person(rng),
        lambda: rng.choice(("he", "she", "my friend", "her sister", "their boss", "our neighbor", "a stranger")),
        lambda: f"{rng.choice(('the', 'that', 'your'))} {_thing(rng, False)}",
        lambda: f"my friend {name(rng)}",
        lambda: f"the {_thing(rng, False)} of {name(rng)}",
        lambda: f"the man from {name(rng)}",
    )
    more: Sequence[Callable[[], str]] = (
        lambda: rng.choice(("they", "we", "i", "you", "my friends", "both of us", "some people", "her brothers")),
        lambda: f"{name(rng)} and {name(rng)}",
        lambda: f"the {_thing(rng, False)} and the {_thing(rng, False)}",
    )
    several = rng.random() < 0.35
    who = rng.choice(more if several else one)()
    bare = f"{verb} {thing}"
    helper = {"past": "did", "present": "do" if several else "does", "future": "will"}[tense]
    going = "going to " if tense == "future" and rng.random() < 0.3 else ""
    if going:
        helper = "are" if several else "is"
        if who == "i":
            helper = "am"
    if denied or going:
        said = f"{helper} {'not ' if denied else ''}{going}{bare}"
    else:
        said = {"past": PAST[verb], "present": verb if several else _third(verb), "future": f"will {verb}"}[tense]
        said = f"{said} {thing}"
    values = {
        "who": who,
        "said": said,
        "bare": f"{'not ' if denied else ''}{going}{bare}",
        "help": helper,
        "order": f"{'do not ' if denied else ''}{bare}",
        "when": rng.choice(_WHEN["future" if form == "command" else tense][False]),
    }
    frame = rng.choice({"question": _QUESTIONS, "statement": _STATEMENTS, "command": _COMMANDS}[form])
    return "".join(
        (values[text] if text in values else _SLOTS[text](rng, False)) if odd % 2 else text
        for odd, text in enumerate(_pieces(frame))
    )


# Mails: wanted or not, and about what.

_MAILS = _by_label(
    work="""the meeting on the {thing} project moves to {number} past nine
    |please send the report about {name} by friday|{person} joins our office on monday
    |the slides for the {name} contract are ready|notes from the talk with {person}
    |can we talk about the {name} deal at {number} past two|attached are the figures for the third quarter
    |our client in {name} wants a new offer|the office printer is out of ink
    |please sign the contract and return it to {person}|{person} from accounting needs your time sheet
    |who takes notes at the staff meeting|reminder : conference call with the {name} team
    |the boss likes your plan for the {thing}|here is the agenda for monday|we hired {person} as the new manager
    |your vacation request was approved by {person}
    |when will you finish the {thing} project ? the deadline is near
    |new desk plan for the third floor of the office|colleagues , the server is down until noon
    |please book a room for the workshop with {name}|thanks for joining the interview with {person}
    ||the budget for the {thing} project is approved|can you review my draft before the meeting""",
    family="""grandma asks if you come to dinner on sunday|your sister {name} has a new baby
    |mom found your old {thing}|uncle {name} sends his love|we miss you at home , dad
    |your brother {name} called from {other}|are you home for the holidays , asks your mother
    |dad fixed your {thing}|grandpa is well again and says hello|little {name} lost her first tooth
    |kisses from mom and dad|the kids made a {thing} for you , their uncle
    |mother wants to know if you eat enough|when do you visit your grandparents
    |have you heard ? {name} , your niece , can walk now|family photos from our summer at grandma 's house
    |dear son , the dog misses you|my dear daughter , write to us soon
    |your father turns {number} on sunday , will you come|granddad found a picture of you as a baby
    |son , did you get the {thing} i knitted||your cousin {name} got married|aunt {name} baked a cake for you""",
    school="""the exam in room {number} starts at ten|homework for the class of {person} is online
    |the school trip to {name} is on friday|your essay about the {thing} got a good mark
    |please learn the {number} new words for the test|your child {name} was late for class
    |lesson {number} is about the {thing}|parents are invited to meet the teacher {person}
    |the math test has {number} questions|students of grade five visit the museum in {name}
    |professor {person} moved the lecture to room {number}|your report card is ready
    |class photos will be taken on tuesday|hand in your homework on the {thing}
    |the school library misses a book about the {thing}|who wants to join the school choir
    |final grades for the course of {person}|summer vacation for all pupils starts on friday
    |read chapter {number} for the next class||the teacher {person} is ill , no class today
    |bring your {thing} for the lesson on monday""",
    prize="""you won {sum} dollars , click here now|claim your free {thing} today
    |lucky winner , your prize {number} is waiting|congratulations , you were chosen to get a free {thing}
    |dear winner , we could not reach you about your {thing}
    |your number {number} was drawn , collect the {thing}|a free trip to {name} is waiting for you
    |you are the lucky visitor number {sum}|answer one question and win a {thing}
    |jackpot ! {sum} dollars are yours|spin the wheel and win|your name was picked in our lottery
    |reply now to receive the {thing} you have won|final notice : your gift is not claimed yet
    |{name} , you are in the final draw for {sum} dollars|win a {thing} every day , click
    |get your free gift card of {sum} before midnight||click to collect your prize of {sum}
    |free tickets for the winner""",
    loan="""get a loan of {sum} with no questions asked|lower your debt in {number} minutes
    |cheap credit for everyone , apply now|double your money with this secret plan
    |need money fast ? we lend up to {sum}|bad credit ? no problem , we say yes to all
    |a cheap loan from home with one form|pay off your cards with one easy loan
    |{sum} dollars in your bank today , no papers|borrow {sum} now and pay it back in {number} months
    |mortgage rates at a record low , click|you are approved for {sum} of credit|no job , no bank , still a loan
    |our bank lends to everybody , bad credit or not|new credit of {sum} at a low rate
    |refinance your home with us in {number} minutes|want cash ? borrow now and pay next year
    ||instant cash of {sum} , apply here|borrow {sum} at zero percent now""",
    pills="""lose {number} pounds in a week with this pill|doctors hate this magic tea
    |buy pills at half the price , order now|grow new hair in {number} days|slim in {number} days without sport
    |the {thing} diet pill that stars take|stay young with our secret capsule
    |no more pain : try our miracle drops|buy one bottle of vitamins and get {number} more
    |your doctor does not want you to know this cure|sleep better with our herbal tablets , order here
    |tablets for strong muscles , {number} percent off|fat belly ? swallow one capsule a day
    |online pharmacy , {sum} drugs , low prices|tablets that take away pain in {number} hours
    |capsules against hair loss||cheap medicine with no prescription|this pill melts fat , order today""",
)
_SPAM = {"spam": ("prize", "loan", "pills"), "normal": ("work", "family", "school")}

# School questions: a subject, and what is asked for.

_SUBJECTS = _by_label(
    history="""the battle of {name}|the treaty of {name}|the empire of {name}|the revolt in {name}
    |king {name} the great|the siege of {name}|the fall of {name}|the war between {name} and {other}
    |the kings of old {name}|emperor {name}|the knights of {name}|the uprising of the farmers of {name}
    |queen {name} the second|the peace of {name}|the founding of the republic of {name}
    |the ancient kingdom of {name}|the conquest of {name}|general {name} and his army|the march on {name}
    |the pharaoh {name}||the crusade of {name}|the crown of king {name}""",
    geography="""the river {name}|the mountain {name}|the lake near {name}|the coast of {name}
    |the valley of {name}|the island of {name}|the capital of {name}|the hills around {name}|the bay of {name}
    |the volcano {name}|the border of {name} and {other}|the delta of the {name}|the highest peak of {name}
    |the plains of {name}|the cape of {name}|the port city of {name}|the {name} sea|the canyon of {name}
    |the peninsula {name}|the continent {name}||the desert of {name}|the waterfall at {name}""",
    science="""the atom|the theory of light|the vaccine of doctor {name}|the law of gravity|the element {low}
    |the cell|the magnet|the gene|the speed of sound|the microscope|the metal {low}|the theory of heat|the virus
    |the virus {low}|the laws of motion|the gas {low}|the chemical formula of {low}
    |the equation of professor {name}|the skeleton of the {thing}|black holes|the evolution of the {thing}
    |the comet {name}||the orbit of the planet {name}|the electron""",
    music="""the opera {name}|the song about the {thing}|the choir of {name}|the piano sonata of {name}
    |the symphony of {name}|the flute concerto|the waltz of {name}|the song {name}
    |the ballad of {name} and {other}|the cello suite of {name}|the hymn of {name}|the orchestra of {name}
    |the drum solo of {name}|the lullaby about the {thing}|the march for trumpets by {name}|the composer {name}
    |the singer {person}|the string quartet of {name}|the tune of the {thing}|the organ pieces of {name}
    ||the violin duet of {name}|the melody of {name}""",
)
_ASKED = _by_label(
    person="""who first described {x} ?|who is known for {x} ?|which person do we link to {x} ?
    |who wrote about {x} ?|whose name stands for {x} ?|about {x} , who knew the most ?
    |who is the greatest master of {x} ?|what is the name of the expert on {x} ?|{x} made whom famous ?
    |who made {x} famous ?|who is the author of the book about {x} ?|which scholar wrote on {x} ?
    |by whom was {x} made known ?|to whom do we owe what we know of {x} ?
    |who spoke first about {x} , and to whom ?|name the person whom we think of at {x} .
    ||who told the world of {x} ?|who was the first to study {x} ?""",
    place="""where do we read about {x} ?|in which town did people first hear of {x} ?
    |where does the story of {x} begin ?|at what place is {x} remembered ?|where can we learn more of {x} ?
    |in what city is the museum of {x} ?|{x} is spoken of where ?
    |from which town comes the oldest record of {x} ?|where was the first talk on {x} held ?
    |in what land do many people talk about {x} ?|to which place do you travel for {x} ?
    |where in the world is {x} talked about most ?|which town has a street named after {x} ?
    |name the place where we find a text on {x} .||in which country is {x} best known ?
    |where was {x} first named ?""",
    time="""when did people first hear of {x} ?|in which year do we first read of {x} ?
    |in what century was {x} first named ?|when was {x} forgotten ?|at what time in the past was {x} famous ?
    |what year do we link to {x} ?|during which age was {x} talked about ?|{x} became famous when ?
    |when did the first book on {x} appear ?|which day is the day of {x} ?
    |at what date does the tale of {x} end ?|in which month was the talk about {x} ?
    |when will the lesson on {x} take place ?|how long ago was {x} first written about ?
    ||since when is {x} known ?|on which date do we remember {x} ?""",
    number="""how many books are about {x} ?|how many people know {x} ?|what is the number of texts on {x} ?
    |how many pages tell of {x} ?|how many times do we read of {x} ?|what number of pupils know {x} ?
    |count the books on {x} : how many ?|how many lessons deal with {x} ?|how many words did you write on {x} ?
    |of all texts , how many mention {x} ?|how many facts about {x} do you know ?
    |on {x} , how many pictures exist ?|how many towns have a school named after {x} ?
    |give the number of songs or poems about {x} .||how many films show {x} ?
    |how often is {x} named in the book ?""",
)


def _school(rng: Random, held: bool, subject: str | None = None, asked: str | None = None) -> str:
    about = _one(rng, _SUBJECTS[subject or rng.choice(list(_SUBJECTS))], held)
    return rng.choice(_ASKED[asked or rng.choice(list(_ASKED))][held]).replace("{x}", about)


# A diary: a feeling, and when.

_FEELINGS = _by_label(
    joy="""i laughed with {name}|i felt so happy about the {thing}|{name} gave me a {thing} and i smiled
    |i danced in the {place}|i was glad to see {name}|what a happy moment with {name} it was
    |we cheered and hugged in the {place}|i could not stop smiling
    |my heart jumped with delight when i saw the {thing}|i won a {thing} and cheered
    |the {thing} made me so cheerful|{name} told a joke and we all laughed
    |i was full of happiness in the {place}|i got good news from {name} and danced
    |{name} and i had great fun with the {thing}|i whistled a merry tune|life felt wonderful
    |i was delighted to get a {thing}||i was thrilled about the {thing}|i sang with joy near the {place}""",
    anger="""i shouted at {name}|i was furious about the {thing}|{name} broke my {thing} and i got mad
    |i slammed the door of the {place}|i was so angry with {name}|what {name} did made my blood boil
    |i yelled and threw the {thing}|{name} lied to me and i exploded|i was mad at the whole {place}
    |i cursed the {thing}|i quarreled with {name} over the {thing}|never have i been so annoyed with {name}
    |the noise from the {place} drove me mad|i kicked the {thing} and shouted
    |my fists were clenched because of {name}|{name} stole my {thing} , how dare he
    |so much anger in me about the {thing}|i argued loudly in the {place} with {name}||i hit the {thing} in rage
    |i was outraged by {name}""",
    fear="""i was afraid of the {thing}|i trembled in the {place}|{name} scared me with a {thing}
    |i ran away from the {place}|i was frightened by {name}|my hands shook when i saw the {thing}
    |a strange noise in the {place} made me scream|i did not dare to enter the {place}|i was scared of {name}
    |something moved in the {place} and i froze|what if the {thing} gets me , i thought and shivered
    |i feared for {name}|i was too frightened to open the door|with a beating heart i hid behind the {thing}
    |the {thing} gave me a terrible fright|i was nervous about the {place} , full of dread
    |{name} saw a ghost in the {place} and we fled|how scary the {thing} looked||i was terrified of the {thing}
    |i hid from {name} in panic""",
    sadness="""i cried about the {thing}|i missed {name} so much|i felt sad in the {place}
    |tears came when {name} left|i was unhappy about the {thing}|i lost my {thing} and felt empty
    |my heart broke when {name} went away|i sat in the {place} and sobbed|nobody remembered me and i cried
    |such grief for {name}|the funeral of {name} made me cry|the sad song about the {thing} brought me to tears
    |i was heartbroken about the {thing}|without {name} the {place} felt empty and gray
    |i was so down that i could not eat|i said goodbye to {name} with wet eyes
    |{name} did not come and i was miserable|sorrow filled me in the {place}||i wept for {name}
    |i was lonely in the {place}""",
)
_DAYTIMES = _by_label(
    morning="""this morning|at breakfast|after i woke up|at sunrise|early in the morning|when the rooster crowed
    |right after getting up|as the sun came up|over my first coffee of the day|at seven in the morning
    |when the alarm clock rang|on my way to work at daybreak|while i brushed my teeth after waking
    ||just after dawn|before breakfast""",
    noon="""at noon|at lunch|in the middle of the day|over lunch|around noon|during the lunch break|at midday
    |when the sun stood highest|when the clock struck twelve in daylight|halfway through the day|at noon sharp
    |while eating lunch|in the noon heat||at twelve o'clock|after lunch""",
    evening="""this evening|after dinner|at sunset|when work was over|in the evening|when the sun went down
    |over dinner|at dusk|on the way home from work|early in the evening|when the street lamps came on
    |after the day 's work|before the evening news||at supper|at the end of the day""",
    night="""at midnight|late at night|last night|in the dark hours|in the middle of the night
    |at two in the night|during the night|by moonlight|long after bedtime|while i lay awake in bed
    |far past midnight|when the moon was high|when i could not sleep||while all were asleep|under the stars""",
)


_ENTRIES = [
    "{when} , {felt} .",
    "dear diary , {felt} {when}",
    "{felt} . it was {when}",
    "it happened {when} : {felt}",
    "{when} in {name} : {felt}",
    "{when} i met {name} and {felt} .",
    "i must tell you that {felt} {when} .",
    "{felt} , {when} of all times",
    "{felt} {when} and so did {name}",
    "{felt} and it happened {when} .",
]
"""Frames of entries that only training shows."""


def _diary(rng: Random, held: bool, feeling: str | None = None, daytime: str | None = None) -> str:
    felt = _one(rng, _FEELINGS[feeling or rng.choice(list(_FEELINGS))], held)
    when = rng.choice(_DAYTIMES[daytime or rng.choice(list(_DAYTIMES))][held])
    if not held and rng.random() < 0.5:
        frame = rng.choice(_ENTRIES).replace("{felt}", felt).replace("{when}", when)
        return _fill(rng, frame, held)
    return f"{when} {felt}" if rng.random() < 0.5 else f"{felt} {when}"


# Living things: an animal or a plant, and where it lives.

_LIVING = _by_label(
    animal="""it has four legs|it hunts at night|it feeds its young with milk|it builds a nest
    |it has sharp teeth|it eats grass and runs fast|it sleeps in winter|it barks when strangers come
    |it has two wings and a beak|it hunts mice|its ears are long|it growls at its enemies|its paws are soft
    |it carries its babies on its back|it can run and jump|it chews bones|its eyes see well in the dark
    |it sings to find a mate|it has whiskers|it bites when it is angry|it lives in a herd|it walks on two feet
    |its young drink milk|it crawls on its belly|it has scales and a forked tongue||it lays eggs
    |it has fur and a long tail""",
    plant="""it has green leaves|it grows from a seed|its roots go deep|it blooms in spring
    |it needs sun and water|it bears sweet fruit|its bark is thick|a gardener waters it
    |its leaves turn red in autumn|its seeds fly with the wind|it opens its blossoms at noon
    |bees come for its nectar|yellow pollen covers it|its branches are thin|people pick its berries
    |it makes food from light|it is a kind of moss|it climbs up walls with its vines|its wood is hard
    |it drops its leaves in winter|it sprouts from a bulb|it is a herb with a strong smell||its petals are white
    |it has thorns and a thin stem""",
)
_HABITATS = _by_label(
    forest="""in the forest|in the woods|among tall trees|in the forest of {name}|among the pines
    |between ferns and trees|in the shade of the woods|deep in the woodland|where many trees stand
    |in the green woods near {name}|in the rain forest||in the deep jungle|under old oaks""",
    lake="""in the lake of {name}|in shallow water|on the shore of a pond|in the lake
    |near the shore of the lake {name}|in the reeds of a pond|at the edge of the lake|in a small pond
    |where the lake is shallow|on the lake {name}|in fresh water near the shore of a lake
    ||in the ponds of {name}|by still water""",
    desert="""in the desert|in dry sand|on hot dunes|out in the {name} desert|between the dunes
    |on the sand under a burning sun|in dry and sandy land|in the hot sand|far from any water
    |among the cactus and the sand|on the dry plains of sand||in the sands of {name}|where it never rains""",
    mountain="""on the mountain {name}|on high rocks|near the summit|in the mountains|on steep slopes
    |high above the valley|high up in the mountains near {name}|between rocks at great height
    |near the top of the mountain|along a rocky mountain ridge|on mountain slopes||on cold peaks
    |on the cliffs of {name}""",
)


_DESCRIBED = [
    "{where} lives {called} . {what} .",
    "{called} lives {where} , and {what}",
    "{what} . you can see it {where} . it is {called}",
    "if you look {where} you may find {called} : {what} .",
    "{what} , and {where} it is common : {called} .",
    "do you know {called} ? {what} . its home is {where} .",
    "{called} , {where} : {what}",
    "people of {name} tell of {called} . {what} . it thrives {where} .",
    "we saw {called} {where} , and {what} .",
    "at home {where} , {called} is easy to know : {what} .",
]
"""Frames of descriptions that only training shows."""


def _creature(rng: Random, held: bool, living: str | None = None, habitat: str | None = None) -> str:
    where = _one(rng, _HABITATS[habitat or rng.choice(list(_HABITATS))], held)
    what = rng.choice(_LIVING[living or rng.choice(list(_LIVING))][held])
    called = f"the {name(rng, held).lower()}"
    if not held and rng.random() < 0.6:
        frame = rng.choice(_DESCRIBED).replace("{called}", called).replace("{where}", where).replace("{what}", what)
        return _fill(rng, frame, held)
    if rng.random() < 0.5:
        return f"{called} is found {where} . {what} ."
    return f"{called} : {what} and is seen {where} ."


# Weather reports: what falls, and how warm it is.

_SKIES = _by_label(
    rain="""heavy showers fall|it pours all day|drops run down the windows|take an umbrella|it is raining
    |puddles form on the road|bring your rain boots|rain falls all day|water drips from the roofs
    |it rains cats and dogs|a shower every hour|the rain does not stop|dark clouds and raindrops||it drizzles
    |the streets are wet""",
    snow="""white flakes fall|the roads are white|children build a snowman|it snows all day
    |fresh snow covers the roofs|it is snowing|snow lies deep in the streets|kids throw snowballs
    |a sledge is the best way to travel|snow plows clear the streets|everything is covered in snow
    |fifty flakes a second come down|we expect more snow||a blizzard comes|skis are needed""",
    sun="""the sky is clear|not a cloud in sight|the sun shines all day|take sunglasses
    |sunshine from morning to evening|it is sunny|not even a small cloud hides the sun
    |there are no clouds at all|the sun is out|bring your sun hat|a sunny day|it stays bright and cloudless
    |golden sunshine over the fields||bright light all day|the sky is blue""",
    wind="""a strong breeze blows|gusts shake the trees|hats fly away|a gale comes from the sea|it is windy
    |the wind howls|leaves and papers whirl through the air|windmills turn fast|a gusty day
    |the air rushes through the streets|wind tears at the roofs|sails are full
    |hold on to your umbrella or it flies off||a storm blows|kites fly high""",
)
_WARMTHS = _by_label(
    warm="""it is hot|the air is mild|it is warm outside|no coat is needed|it is very warm|the heat is strong
    |people go out in shirts|a warm day|we sweat|the water is warm enough to swim
    |shorts are the right thing to wear|the thermometer shows high heat|it feels like an oven
    ||it is {number} degrees and sweaty|summer heat""",
    cold="""it is freezing|the air is icy|it is cold outside|wear a thick coat|bring gloves and a scarf
    |it is very cold|our noses are red from the cold|a cold day|the pond is frozen over|we shiver|heat the stove
    |the thermometer is below zero|it feels like a freezer||there is frost|it is bitterly chilly""",
)


_REPORTED = [
    "{one} in {name} , and {two}",
    "weather for {name} : {one} , {two} .",
    "{name} , {other} and the coast : {one} . {two} .",
    "{one} . {two} . so says the report from {name}",
    "today {one} and {two} in {name} .",
    "in {name} {one} , while {two}",
    "report from {name} : {one} , {two} .",
    "{person} calls from {name} : {one} and {two} .",
    "{one} , {two} : this is {name} now",
]
"""Frames of reports that only training shows."""


def _report(rng: Random, held: bool, sky: str | None = None, warmth: str | None = None) -> str:
    above = _one(
        rng, _SKIES[sky or rng.choice([label for label in _SKIES if label != "snow" or warmth != "warm"])], held
    )
    felt = _one(rng, _WARMTHS[warmth or ("cold" if sky == "snow" else rng.choice(list(_WARMTHS)))], held)
    said = [above, felt] if rng.random() < 0.5 else [felt, above]
    if not held and rng.random() < 0.6:
        frame = rng.choice(_REPORTED).replace("{one}", said[0]).replace("{two}", said[1])
        return _fill(rng, frame, held)
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


TWOFOLD: Mapping[tuple[str, str], Callable[[Random, bool, str, str], str]] = {
    ("intent", "tone"): lambda r, held, x, y: _message(r, held, intent=x, tone=y),
    ("intent", "urgency"): lambda r, held, x, y: _message(r, held, intent=x, hurry=y),
    ("tone", "urgency"): lambda r, held, x, y: _message(r, held, tone=x, hurry=y),
    ("tense", "form"): lambda r, held, x, y: _sentence(r, held, tense=x, form=y),
    ("subject", "asked"): _school,
    ("feeling", "daytime"): _diary,
    ("living", "habitat"): _creature,
}
"""Texts that are of a class of two kinds at once."""


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
