"""The words and made-up names of the generated text, and which of them training never shows."""

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from zlib import crc32


def _pool(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for text in texts for word in text.split()))


def _pairs(text: str) -> Mapping[str, str]:
    return dict(_couple(pair) for pair in text.split(";"))


def _couple(text: str) -> tuple[str, str]:
    first, second = text.split()
    return first, second


CATEGORIES: Mapping[str, Sequence[str]] = {
    "animal": _pool(
        """dog cat horse cow pig sheep goat lion tiger bear wolf fox rabbit mouse rat deer monkey elephant giraffe zebra
        camel donkey frog snake turtle lizard whale dolphin shark seal otter beaver badger eagle hawk owl crow duck goose
        hen swan parrot penguin squirrel hamster leopard kangaroo koala panda crocodile pigeon sparrow falcon hedgehog
        walrus buffalo hyena gorilla"""
    ),
    "fruit": _pool(
        """apple banana orange grape lemon lime peach pear plum cherry mango melon kiwi fig berry apricot coconut papaya
        pineapple strawberry raspberry blueberry watermelon guava nectarine"""
    ),
    "color": _pool(
        """red blue green yellow black white brown pink purple gray violet crimson beige turquoise scarlet gold silver
        indigo maroon navy ivory magenta teal"""
    ),
    "tool": _pool(
        """hammer saw drill wrench chisel axe shovel rake ladder pliers knife spade screwdriver crowbar file clamp
        pickaxe mallet trowel sickle"""
    ),
    "vehicle": _pool(
        """car truck bus train boat ship bicycle scooter tram ferry airplane helicopter tractor wagon canoe van taxi
        motorcycle ambulance rocket submarine sledge"""
    ),
    "drink": _pool("water tea coffee juice milk beer wine soda lemonade cocoa cider whiskey rum gin"),
    "clothing": _pool(
        """shirt coat hat scarf glove sock shoe boot dress skirt jacket sweater belt cap vest sandal apron blouse cloak
        slipper"""
    ),
    "furniture": _pool(
        "table chair sofa bed desk lamp shelf bench stool cabinet couch cupboard wardrobe armchair cradle"
    ),
    "vegetable": _pool(
        """carrot potato onion tomato cabbage pepper bean pea corn spinach lettuce radish turnip celery pumpkin cucumber
        leek beet garlic zucchini"""
    ),
    "instrument": _pool(
        "piano guitar violin flute drum trumpet harp cello organ clarinet trombone banjo saxophone oboe tuba"
    ),
    "job": _pool(
        """teacher doctor farmer baker driver nurse lawyer carpenter plumber painter singer actor pilot sailor soldier
        butcher tailor barber waiter librarian engineer chemist architect judge mechanic dentist poet writer painter
        journalist gardener fisherman miner banker clerk surgeon"""
    ),
    "sport": _pool(
        "tennis soccer hockey golf boxing rugby cricket baseball basketball volleyball rowing fencing skiing cycling judo"
    ),
    "flower": _pool("rose tulip lily daisy orchid sunflower daffodil poppy lavender jasmine iris carnation dandelion"),
    "tree": _pool("oak pine maple birch willow cedar elm fir poplar spruce"),
    "insect": _pool("ant bee wasp beetle moth butterfly mosquito grasshopper dragonfly flea ladybug termite"),
    "building": _pool(
        """castle church palace hospital library museum hotel factory barn cottage temple cathedral lighthouse prison
        theater warehouse"""
    ),
    "shape": _pool("circle square triangle rectangle oval cube sphere cone cylinder pyramid pentagon hexagon"),
    "relative": _pool(
        "mother father sister brother aunt uncle cousin nephew niece grandmother grandfather son daughter husband"
    ),
}
"""Things by their kind; no word is of two kinds."""

_IRREGULAR = _pairs(
    """sheep sheep;deer deer;mouse mice;goose geese;wolf wolves;knife knives;shelf shelves;leaf leaves;child children;
    fish fish;pliers pliers;scarf scarves;man men;woman women;tooth teeth;foot feet;wife wives;thief thieves;calf calves;
    loaf loaves;half halves;ox oxen;hero heroes;echo echoes;potato potatoes;tomato tomatoes;mango mangoes;
    mosquito mosquitoes;buffalo buffaloes;stomach stomachs;fisherman fishermen;person people;elf elves;oasis oases"""
)

COUNTABLE = frozenset(CATEGORIES) - {"color", "drink", "sport"}
"""The categories whose words have a plural."""

_UNCOUNTABLE = frozenset(("pliers", "corn", "spinach", "lettuce", "celery", "garlic", "lavender", "jasmine"))

_THINGS = _pool(
    """house tree river mountain road window door garden book paper pencil box bag bottle cup plate spoon clock phone
    letter story song picture school student king queen child friend city village bridge tower wall roof floor kitchen
    room street market shop field forest lake sea island cloud star moon sun stone flower leaf seed bird fish egg cake
    soup ring coin key rope wheel engine map flag ball game toy doll kite""",
    """bread cheese salt sugar""",
    """man woman tooth foot wife thief calf loaf half ox hero echo stomach person elf""",
    """acorn airport album alley anchor angel answer apartment arch arm army arrow artist attic author avenue badge bakery
    balcony balloon bandage bank banner barrel basin basket bath battery bay beach beard bedroom bell bill biscuit blanket
    blade blender boulder bowl bracelet brain branch brick bride bridle broom brush bubble bucket bug bulb bullet burger
    bush button cable cafe cage calendar camera camp canal candle candy cannon canyon captain card cargo carpet cart cave
    ceiling cellar century chain chapel chapter chest chimney chin chip cinema clinic cloth clown club coach coast coat
    coffin collar college comet compass computer concert contract cook cookie cork corner costume cottage cough country
    court cousin cowboy cradle crane crayon crown crystal curtain cushion customer dagger dam dancer dart dentist desert
    diamond diary dictionary dinner dish doorbell dragon drawer dream dwarf ear elbow elevator emperor engine envelope
    eraser eye fairy fan farm feather fence festival finger fire fireplace fist flame flashlight flood fork fort fountain
    frame fridge funnel furnace gallery gate ghost giant gift glacier glass goal gown grave guest gun hall hammock hand
    handle harbor harvest head heart helmet highway hill hole holiday home hook horn hour hut ice idea inn iron jail jar
    jewel joke journey jungle kettle kid kingdom kiss kitten knee knight knot laboratory lamb lamp lane lantern law leg
    lesson lid lip list lock locker log lung machine magnet magician mansion marble mask mast mat match meadow meal medal
    melody message meteor mill mine mirror mitten monster month mouth movie mug muscle nail napkin neck necklace needle
    neighbor nest net newspaper night noodle nose note notebook novel nut oar oasis ocean office oven package page paint
    pan parade park party passenger passport path pearl pen pill pillow pilot pin pipe pirate pizza planet planter pocket
    poem pond pool porch port post pot prince princess printer prize problem puddle pump pupil puppet puppy purse puzzle
    quarry quilt rabbit radio railway rainbow ranch razor recipe restaurant ribbon rifle river robe robot rock rocket rod
    roller ruler rug sack saddle sail salad sandwich sauce sausage scale scene scientist scissor screen screw sculptor
    season secret shadow shed shell shield shoulder shower sign sink slide smile snail snack soap spear spider sponge spoon
    square stable stadium stair stamp statue steak stick stitch storm stove straw stream string suitcase summit sword
    tail tailor tank tape task teapot telescope temple tent thread throne thumb ticket tile timer tire toe tongue torch
    towel town trail trap tray treasure tribe tunnel twig umbrella uniform university valley vase veil village visitor
    volcano voice waffle waist wallet wand watch wave weapon wedding well whip whistle wing winner wire witch wizard worm
    wrist yacht yard year zoo""",
)

NOUNS: Sequence[str] = tuple(
    word
    for word in dict.fromkeys(
        [word for kind, words in CATEGORIES.items() if kind in COUNTABLE for word in words] + list(_THINGS)
    )
    if word not in _UNCOUNTABLE | {"bread", "cheese", "salt", "sugar", "scissor", "soap", "ice", "cargo", "harvest"}
)
"""Nouns that have a plural."""

_OPPOSITES = _pool(
    """hot/cold big/small tall/short fast/slow old/young happy/sad rich/poor hard/soft light/dark high/low wet/dry
    full/empty open/closed early/late good/bad strong/weak clean/dirty loud/quiet thick/thin wide/narrow deep/shallow
    safe/dangerous cheap/expensive easy/difficult true/false right/wrong near/far first/last up/down in/out day/night
    summer/winter war/peace love/hate buy/sell push/pull win/lose start/stop come/go give/take laugh/cry
    remember/forget accept/reject arrive/leave increase/decrease brave/cowardly sharp/blunt smooth/rough polite/rude
    healthy/sick alive/dead awake/asleep heavy/weightless ancient/modern public/private north/south east/west
    always/never inside/outside above/below before/after front/back friend/enemy success/failure lucky/unlucky
    honest/dishonest generous/stingy humble/proud simple/complex sweet/bitter fresh/stale noisy/silent tight/loose
    straight/crooked guilty/innocent victory/defeat ally/rival begin/finish build/destroy attack/defend
    borrow/lend""",
    """visible/invisible possible/impossible legal/illegal even/odd fair/unfair kind/cruel patient/impatient
    careful/careless useful/useless hopeful/hopeless permanent/temporary natural/artificial major/minor
    positive/negative urban/rural maximum/minimum top/bottom male/female absent/present active/passive admit/deny
    agree/disagree appear/vanish ask/answer attach/detach beautiful/ugly birth/death bless/curse bright/dim
    cause/effect comedy/tragedy common/rare conceal/reveal correct/incorrect cool/warm entrance/exit expand/shrink
    famous/unknown float/sink foolish/wise forward/backward freeze/melt future/past hero/villain horizontal/vertical
    host/guest import/export include/exclude internal/external junior/senior lazy/diligent lead/follow liquid/solid
    lock/unlock master/servant mature/immature mild/severe more/less most/least neat/messy normal/strange
    obey/disobey pain/pleasure plural/singular praise/blame profit/loss promote/demote raise/lower regular/irregular
    often/seldom silly/serious smile/frown strict/lenient sunrise/sunset tame/wild teach/learn tense/relaxed
    together/apart tiny/huge truth/lie unite/divide vacant/occupied virtue/vice yes/no""",
)
OPPOSITES: Mapping[str, str] = {
    word: other for a, b in (pair.split("/") for pair in _OPPOSITES) for word, other in ((a, b), (b, a))
}

PAST: Mapping[str, str] = _pairs(
    """walk walked;run ran;eat ate;drink drank;sing sang;swim swam;write wrote;read read;speak spoke;take took;give gave;
    go went;come came;see saw;know knew;think thought;bring brought;buy bought;catch caught;teach taught;build built;
    send sent;spend spent;lose lost;find found;hold held;stand stood;sit sat;win won;begin began;break broke;choose chose;
    drive drove;fall fell;fly flew;forget forgot;grow grew;hide hid;keep kept;leave left;make made;meet met;pay paid;
    ride rode;rise rose;sell sold;shake shook;sleep slept;steal stole;swear swore;tell told;throw threw;wake woke;
    wear wore;jump jumped;talk talked;play played;call called;help helped;open opened;close closed;paint painted;
    clean cleaned;cook cooked;dance danced;laugh laughed;look looked;move moved;push pushed;pull pulled;start started;
    stop stopped;travel traveled;visit visited;wash washed;watch watched;work worked;plan planned;carry carried;
    study studied;cry cried;try tried;bite bit;blow blew;draw drew;dig dug;feed fed;feel felt;fight fought;freeze froze;
    get got;hang hung;hear heard;lead led;lend lent;mean meant;ring rang;say said;seek sought;shine shone;shoot shot;
    sink sank;slide slid;spin spun;spread spread;stick stuck;sting stung;strike struck;sweep swept;swing swung;tear tore;
    understand understood;weep wept;bend bent;creep crept;deal dealt;flee fled;forgive forgave;kneel knelt;
    add added;answer answered;arrive arrived;ask asked;bake baked;borrow borrowed;climb climbed;collect collected;
    count counted;cross crossed;deliver delivered;describe described;discover discovered;enjoy enjoyed;enter entered;
    escape escaped;explain explained;finish finished;follow followed;gather gathered;hope hoped;hunt hunted;hurry hurried;
    invite invited;join joined;kick kicked;knock knocked;learn learned;lift lifted;listen listened;live lived;mix mixed;
    need needed;order ordered;pick picked;pour poured;print printed;promise promised;protect protected;rain rained;
    reach reached;repair repaired;reply replied;rest rested;return returned;save saved;share shared;shout shouted;
    smile smiled;stay stayed;taste tasted;thank thanked;touch touched;turn turned;use used;wait waited;want wanted;
    whisper whispered;wish wished;worry worried;yell yelled""".replace("\n", "")
)

CAPITALS: Mapping[str, str] = _pairs(
    """France Paris;Italy Rome;Spain Madrid;Germany Berlin;Japan Tokyo;China Beijing;Russia Moscow;Egypt Cairo;
    Greece Athens;Norway Oslo;Sweden Stockholm;Poland Warsaw;Austria Vienna;Portugal Lisbon;Ireland Dublin;
    Hungary Budapest;Canada Ottawa;Peru Lima;Cuba Havana;Kenya Nairobi;Turkey Ankara;Iran Tehran;Iraq Baghdad;India Delhi;
    Finland Helsinki;Denmark Copenhagen;Belgium Brussels;Chile Santiago;Thailand Bangkok;Vietnam Hanoi;Romania Bucharest;
    Bulgaria Sofia;Serbia Belgrade;Croatia Zagreb;Ukraine Kyiv;Morocco Rabat;Ghana Accra;Nigeria Abuja;Colombia Bogota;
    Venezuela Caracas;Ecuador Quito;Australia Canberra;Indonesia Jakarta;Nepal Kathmandu;Jordan Amman;Lebanon Beirut;
    Iceland Reykjavik;Latvia Riga;Estonia Tallinn;Lithuania Vilnius""".replace("\n", "")
)

ADJECTIVES: Sequence[str] = _pool(
    """hot cold big small tall short fast slow old young happy sad rich poor hard soft light dark high low wet dry full
    empty open closed early late good bad strong weak clean dirty loud quiet thick thin wide narrow deep shallow safe
    dangerous cheap expensive easy difficult true false brave cowardly sharp blunt smooth rough polite rude healthy sick
    alive dead awake asleep heavy ancient modern public private lucky unlucky honest dishonest generous stingy humble proud
    simple complex sweet bitter fresh stale noisy silent tight loose straight crooked guilty innocent visible invisible
    legal fair kind cruel patient careful careless useful useless hopeful permanent temporary natural artificial urban
    rural beautiful ugly bright dim common rare cool warm famous unknown foolish wise lazy diligent mild severe neat messy
    normal strange silly serious strict tame wild tense relaxed tiny huge""",
    """angry anxious bald bare blind bold bored broad broken busy calm charming chilly clever clumsy colorful confident
    cozy crazy creamy crisp curious curly cute damp dear decent delicate delicious dizzy double dull eager elegant endless
    enormous exact excited faint faithful fancy fierce flat fluffy fond formal fragile frozen funny furious gentle giant
    glad gloomy golden graceful grand grateful greedy grumpy harsh helpful hidden hollow holy huge hungry icy ideal jealous
    jolly juicy keen large lively local lonely long lovely loyal magic mad merry mighty modest muddy mysterious nervous nice
    noble pale perfect plain pleasant plump pretty prompt pure quick ragged rapid raw ready rigid ripe rotten round rusty
    salty scared secret shiny shy single skinny sleepy slim slippery sly solid sour spare special spicy splendid steady
    steep sticky stiff stormy stout stubborn sudden sunny super sure swift tasty tender terrible thirsty tough tricky
    upset vague vast violent vivid weary wicked windy witty wooden wonderful worried young zany""",
)

JOBS: Sequence[str] = _pool(
    *CATEGORIES["job"],
    "scientist artist author captain coach cook dancer magician sculptor historian physicist composer explorer",
)

FOODS: Sequence[str] = _pool(
    """bread cheese soup cake salad sandwich pizza pasta rice butter honey jam omelette pancake waffle burger sausage bacon
    steak noodle pudding yogurt chocolate candy cookie biscuit muffin cereal ketchup mustard vinegar flour sugar salt ham
    toast stew curry porridge popcorn"""
)

PLACES: Sequence[str] = _pool(
    """airport bakery bank beach bridge cafe canyon city coast college desert farm field forest garden harbor hill island
    jungle kitchen lake market meadow mountain ocean office park pond port restaurant river school shop stadium station
    street town university valley village zoo bay cave cinema clinic lagoon marsh plaza square suburb swamp"""
)

VERBS: Sequence[str] = tuple(PAST)

_OTHER = _pool(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
    october november december spring autumn morning evening noon midnight""",
    """copper iron steel tin lead zinc wood glass cotton wool silk leather plastic rubber clay sand gravel marble granite
    coal oil gas steam smoke dust rain snow hail fog thunder lightning frost""",
    """music history science geography physics biology chemistry grammar logic poetry opera ballet theory reason courage
    freedom wisdom beauty justice luck anger fear hope joy sorrow pride mercy energy health money weather luggage traffic
    alpha beta gamma delta omega sigma""",
)

FIRST_NAMES: Sequence[str] = _pool(
    """Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mary Nick Olga Paul Rosa Sam Tina Victor Wendy Adam Beth
    Carl Dora Eric Fiona George Hanna Ivan Julia Karl Laura Mark Nora Oscar Petra Ralph Sara Tom Ursula Vera Will Zoe Alice
    Bruno Cora Daniel Ella Frank Gina Hugo Irene James Lena Martin Nina Otto Peter Ruth Simon Theo Vincent Yara"""
)

MORE: Sequence[str] = _pool(
    """abandon abide ability aboard abolish abound abroad absence abstract abundant accent account accurate acid
    across act action acute adapt adequate adjust admire adopt adult advise affair affect afford again agenda
    agent agile aid aim air alarm alert allow almost alone also amaze ambition amend ample analysis angle ankle
    annoy another antique any anyone appeal appetite apply appoint approach arc archive arena argue arouse
    ashamed assemble assert assign assist assume assure astonish athlete atlas attempt attitude auction
    authentic auto average avert avoid awkward awe axis axle babble baby bachelor backbone bale bamboo ban band
    bandit bang banish bargain barren barter basic batch batter battle beads become behalf behave behind believe
    beloved benefit bet betray bias bizarre blank blast blaze block bloom blossom blush board boast bond bone
    bonfire boss bounce bound bow brace brag brake brand breath breathe breed brief brigade brim brink brittle
    broth browse bruise buffer bulk bump bunch bundle bunker burden burial burn burrow business bustle buzz
    cactus calorie capable capacity capture cascade cast casual cattle caution cavalry celebrate cell cement
    central ceramic ceremony certify chalk challenge chamber chance channel chaos character charge charity chart
    chase chat cherish chew childhood chill chime choice choir choke chop chorus chronic chunk churn cite
    citizen clap clash class classic claw clear cleft climax cluster clutch coarse code collide colony column
    comb command commit community compact compel complain complete compound compute concede concern conclude
    condemn condition confess conflict congress connect conquer consent consult content contest context continue
    convert copy coral cosmic cosmos council counter courtesy cover crack craft cram crash crater creak create
    creature credit crest crew critic crop crouch crucial crude crumb crumble crunch crush crust cure current
    custody cycle cynic dairy damage dare date daylight dazzle dealer decade decay deceive decide decimal deck
    declare decline decree deem default defect defer deficit definite delegate delight denial dent depart deploy
    deport deposit deputy deserve design desire despite dessert destiny detail detour develop device devil
    devote dew dice diet digest digit dilemma dilute dine direct disaster discard discuss dismal distance
    distinct district divine dock document dodge domain dome doom dormant dose dot doubt dowry dozen draft drag
    drama drape drift droop drop drowsy duke dump dusk dwell dwindle dye dynasty each earl earnest earth eclipse
    ecology edition effort either elapse elect element eleven elicit eloquent else elude embark embassy embrace
    embroider emerge employ enable endeavor engage enhance enlarge enough enrich enroll entertain entice entire
    entry envy epidemic epoch equator equip error escort estate estimate event ever evident evil evolve exam
    example exceed excess exchange excite excuse exempt exhale exhaust exile exist exotic expel exploit expose
    express extinct extra extract fabric facade face facility fact faculty fade fail fake fare fashion fasten
    fatal fate favor feasible feast feature federal fee feeble fervor fetch feud fiber fickle fiction fidelity
    fiery figure finance firm fiscal fit flair flap flesh flexible flick flight flock flourish flow fluent focus
    foe foil fold folklore folly font force forever forge form format formula fortune forum foul found fragment
    frail frantic fraud frequent fuel function fund funeral furnish further fury fuse fuzzy gadget gala galaxy
    gallon gallop gamble gap garage garnish gauge gear general gesture ghastly glaze glee glide glimpse glitter
    globe gloom glow goddess govern grab grant grasp gravity grease grid grill grind grip groan groom groove
    group grumble guard guess guild gulp gust gutter halve handsome handy happen hamlet hardly hardware harm
    harness hasty haul haunt haven havoc hay haze headline heal heap heat heaven heel heir herald herb hesitate
    hideous hinder hint hire historic hoard hoist honor hop hormone hostile hound hover hub hue hug hundred
    hunger husk hustle hygiene hymn identify idiom idle ignite ignore illness illusion image imitate immediate
    impact impart imperial imply impose impulse inch incident incline indeed index indicate inert infant infect
    infer inferior inflate inherit initial inject inland inlet insist inspect inspire instant instinct institute
    insult intend intense intent interest interior intimate introduce invent inward irritate itself jagged
    jargon jelly jest jingle jog jot journal juggle jumble jumbo jury just juvenile keel keg kernel kidney kin
    kit knack knead knit knowledge knuckle lace ladle lag lair larder lately latitude launch lavish leaflet leak
    lean leap lecture ledge ledger legacy legend length lens let lethal lever liberal lick lifelong like likely
    limp linen linger link livestock load loan lobby lodge loft loom loop lot lounge lullaby luminous lunar
    lunch lure lurk lush luxury lyric magnetic mail main majesty manage mandate manifest manner many margin
    marital marrow mass massive mate material matter maze measure meat medicine medium memoir menace mention
    menu merchant merit metric midst migrate million mind mingle mint mirage mischief misery mislead miss
    mission mistake mobile mock model moderate module moist moment monk monopoly moral moreover morsel mortal
    mosaic motel motion motive motor motto mourn movement mow mud multiply mural murmur mutter mutual muzzle
    mystery nag nap narrate nation nature negate neither nerve nestle nibble nickname nimble nine ninety nobody
    nod noise nomad nominate notable notch notify notion nourish novice nowhere nuclear numb nursery oath object
    observe obsolete obvious occur octave offend official offset offspring onto operate opinion oppose optimist
    option oracle orchard orchestra ordinary organize origin ought ounce outdoor outfit outlet outline outlook
    output over overall overt overtake owe own oxide oxygen ozone pace pack pair palm panel panic parable
    parachute paradox parasite parent parish parse paste patent patriot pattern pause pave payment peak peasant
    peculiar pedal pedestal peel pellet pendulum perceive perch perhaps peril perish perplex pest petition
    petrol petty phenomenon phrase pilgrim pioneer pious pit pitch pity placard place plague plant plaster
    platform platinum plead plight plot pluck plug plumage plunder plus poke polar pole politics poll ponder
    populate porcelain portable portrait pose posh possess postpone pouch pounce power practice prank pray
    prayer preach precede precise predict preface prefer premium pressure prestige presume pretend prevent
    previous prey priest primary proceed procure produce product profile prolong prominent pronounce proof prop
    propel property prose prospect prosper protein protest prove proverb province provoke prowl prudent pry
    publish puff punch punish purchase purpose puzzled quaint quake quantity quarrel quart quarter query quest
    question queue quill quiver quote rack rail rally ramp range rank ransom rash ratio rattle reactor real
    realm reap recall recede recite record recover recur recycle redeem reed refrain refresh refuge refund
    regain regime region regret rehearse reign rejoice relate relax relevant religion rely remain remark remnant
    remove renounce renown rent repeat repel repent report represent republic request rescue research reserve
    resolve resource respect restrain restrict result retail retain retreat retrieve reunion revenge revenue
    revere reverse revive revolt riddle ridge rift rim ripple roar role romance roost roster rotate rouge route
    rub rubbish ruby rudder ruthless sacred saga saliva salvage sample sanction satisfy saucer savor scald
    scandal scant scar scarce scenario scoop scope scrape script scruple search secede section seize self senate
    separate sequel sequence serial series sermon serve session set settle seventy sever sew sewage shack shaft
    shaggy shall sham shame shave sheet shelter shimmer shin shock shore should shove show shriek shrill shrine
    shrug shudder shuffle shun shut shutter shuttle side siege signal signature silence silicon silt since sinew
    singe skeptic sketch skim skip skull slang slant slap sleet slender slice slouch slump smack smart smash
    smell smog smother smudge smuggle snarl sneeze snore soar sober social society socket solve somber some
    sonnet soothe sore sound source space span spark specific spectrum speech spell spine spirit splice splinter
    split spokesman sponsor spouse spray sprig sprout spur squad squash squat squeal squeeze squint stack staff
    stagnant stain stalk stammer stanza starch stare stark state steer stem stencil sterile stimulate stretch
    stir stirrup stock strait strand streak stress stride strife stripe stroke structure stud studio stuff stump
    stupor sturdy style subdue subject submit subside substance subtract such sue suffice suffix suggest sulk
    sulky sullen sum superb supple support supreme surface surge surplus surround suspect suspend swallow swap
    swarm sweat swell swerve switch swoop syllable symbol sympathy synonym system tablet tackle tact tactic
    tally tangible tap tar target tariff tarnish tassel tatter tattoo tax tedious teem tempo tempt tenant tend
    tendency tendon tenor term terrace terrify territory test testify testimony text textile texture thesis
    thicket thigh thing third thirst thirteen thorn though threat thrill thrive throb throng throttle thrust
    thump tick tickle time tingle tinker tint tip token tolerate toll tomb tomorrow tone topic torment torrent
    toss tour tourist toxic trace track trait traitor trance transfer trash treat treaty tremble tremor trench
    trend trial trick trickle trigger trivial troop trophy tropical trot trudge tuition tumble tumult tune
    turbine turmoil turret tusk tutor twelve twenty twitch typical tyranny tyrant umpire unable unfold unify
    unit unity universe unlike until upbeat uphold uplift upright uproar urge urn usage usher usual utensil
    utmost vacuum vagrant valiant value valve vandal vapor variable variety varnish vault veer vein velocity
    velvet vent venture venue verb verge version veto via vibrant vibrate vicious victim view vigil vine vintage
    violence visa visual vitamin vocal vogue volume vowel wade wander ward warn warp warrior wary watery web
    weekend weigh whack wharf whimper whine whirl whisk whole why widow wield wig wince wind wink wisp wither
    within witness woe wonder word world would wrap wreck wrestle wretched wriggle yearn yeast yelp yesterday
    yet yoke yolk zeal zone zoom gently quickly firmly bravely kindly mostly fully truly baking jumping reading
    growing sleeping floating dreaming counting spinning winding drifting humming lanterns candles pebbles
    feathers whispers shadows rivers bottles tickets engines windows gardens mountains smaller brighter darker
    older wiser softest quietest gathered drifted tumbled folded hammered labeled boiled trimmed bramble brook
    cobweb cobble flax gondola kelp lichen mulch parchment quagmire sequin thimble truffle turban wicket yodel
    zodiac"""
)
"""Words of any sort, for lists, labels and the like: nothing is known of them but their letters."""

WORDS: Sequence[str] = tuple(
    dict.fromkeys(
        [
            *NOUNS,
            *(word for words in CATEGORIES.values() for word in words),
            *OPPOSITES,
            *PAST,
            *_THINGS,
            *ADJECTIVES,
            *JOBS,
            *FOODS,
            *PLACES,
            *_OTHER,
            *MORE,
        ]
    )
)
"""Every word, of any kind, once."""

_ONSETS = _pool("b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gl gr kl kr pl pr sh sk sl st th tr")
_SIMPLE_ONSETS = _ONSETS[:18]
_VOWELS = _pool("a e i o u ai ea ia io ou")
_SIMPLE_VOWELS = _VOWELS[:5]
_CODAS = _pool("b ck d l m n nd r rn s th v x rd sk nt lm st ld")

_NEVER_HELD = frozenset([*CATEGORIES, *_IRREGULAR, "yes", "no", "true", "false", "even", "odd", "positive", "negative"])


def held(word: str) -> bool:
    """Return whether training never shows the word or name as contents or label: about one in seven.

    Not so the tasks that look a word up, such as its opposite, past tense, category or capital: they can only ask
    for what was shown, so they draw from all words, held or not. Category names, irregular plurals and the likes of yes
    and no are never held.
    """
    lowered = word.lower()
    return crc32(lowered.encode()) % 7 == 0 and lowered not in _NEVER_HELD


def part(pool: Sequence[str], held: bool) -> Sequence[str]:
    """Return those of the pool that are held out, or those that are not."""
    return _part(tuple(pool), held)


@cache
def words(held: bool) -> Sequence[str]:
    """Return the words that training shows, or those that it never does."""
    return part(WORDS, held)


def name(rng: Random, held: bool = False) -> str:
    """Return a capitalised name of random syllables, one that training may show or one that it never does."""
    while True:
        made = "".join(_syllable(rng) for _ in range(rng.choice((2, 2, 2, 3))))
        if rng.random() < 0.7:
            made += rng.choice(_CODAS)
        if _is_held(made) == held:
            return made.capitalize()


def person(rng: Random, held: bool = False) -> str:
    """Return a first name, known or made up, and a made-up second one."""
    first = rng.choice(part(FIRST_NAMES, held)) if rng.random() < 0.6 else name(rng, held)
    return f"{first} {name(rng, held)}"


def listed(items: Sequence[str]) -> str:
    """Return the items as a phrase: a , b and c."""
    *others, last = items
    return f"{' , '.join(others)} and {last}" if others else last


def article(word: str) -> str:
    """Return the word after a or an."""
    spoken = word.lower()
    vowel = spoken[0] in "aeiou" and not spoken.startswith(("uni", "use"))
    return f"{'an' if vowel or spoken.startswith(('hour', 'honest')) else 'a'} {word}"


def one_of(category: str) -> str:
    """Return what one member of a category is called: a fruit, a piece of clothing."""
    return f"a piece of {category}" if category in ("clothing", "furniture") else article(category)


def plural(word: str) -> str:
    """Return the plural of a noun."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def irregular(word: str) -> bool:
    """Return whether the plural has to be known."""
    return word in _IRREGULAR


@cache
def _part(pool: tuple[str, ...], held_out: bool) -> tuple[str, ...]:
    return tuple(word for word in pool if held(word) == held_out)


def _syllable(rng: Random) -> str:
    onset = rng.choice(_SIMPLE_ONSETS if rng.random() < 0.75 else _ONSETS)
    return onset + rng.choice(_SIMPLE_VOWELS if rng.random() < 0.8 else _VOWELS)


_is_held = held
