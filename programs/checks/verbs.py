"""Which English words can be verbs.

A list of common verbs and their endings, not a tagger: "research" is a verb in "Research this" and a noun in "Research
shows", and the second case is told only by a form of be, have, do or a modal, or a verb in -s, after it.
"""

import re

from lmprog.programs.checks.text import lower_words
from lmprog.programs.checks.wordlists import listed

_AUXILIARY = listed(
    "am is are was were be been being has have had having do does did doing done can could will would shall should may"
    " might must ought let's don't doesn't didn't isn't aren't wasn't weren't can't couldn't won't wouldn't shouldn't"
    " haven't hasn't hadn't mustn't"
)
_ENDING_IN_S = listed("as its this thus us yours ours theirs")
_VERBS = listed(
    """
    abandon abide abolish absorb accept access accompany accomplish account accumulate accuse achieve acknowledge acquire
    act activate adapt add address adjust admire admit adopt advance advise affect afford agree aid aim align allocate
    allow alter amplify analyze analyse animate announce answer anticipate apologize appeal appear apply appoint appreciate
    approach approve argue arise arrange arrive articulate ascend ask assemble assert assess assign assist assume assure
    attach attack attain attempt attend attract audit avoid awake awaken ban balance bathe battle bear beat become beg
    begin behave behold believe belong bend benefit bet beware bind bite blame blend bless block bloom blow boast boil
    book boost borrow bounce brace brainstorm branch break breathe breed bridge bring broadcast browse brush build burn
    burst bury buy calculate call calm cancel capture care carry carve cast catch categorize cause cease celebrate
    challenge change channel characterize charge chart chase chat check cherish choose circulate cite claim clarify
    classify clean clear click climb cling close code collaborate collapse collect combine come comfort command commence
    comment commit communicate compare compel compete compile complain complete compose comprehend compress compute
    conceal concede conceive concentrate conclude condemn condense conduct confess configure confirm confront confuse
    connect conquer consider consist consolidate construct consult consume contain contemplate continue contrast
    contribute control convene convert convey convince cook cope copy correct count cover crack craft crash crave crawl
    create credit creep criticize cross crush cry cultivate cure cut dance dare date deal debate debug decide declare
    decline decode decompose decorate decrease dedicate deduce deepen defeat defend define deliver delve demand
    demonstrate denote deny depart depend depict deploy derive descend describe deserve design desire destroy detail
    detect determine develop devise devote diagnose differ differentiate dig digest dip direct disagree disappear discard
    disclose discover discuss dismiss display dispute dissect dissolve distinguish distribute dive divide divulge document
    dominate donate double doubt download draft drag draw dream dress drift drink drive drop dry dwell earn ease eat echo
    edit educate elaborate elect elevate eliminate embark embody embrace emerge emit emphasize employ empower enable
    encapsulate enclose encode encompass encounter encourage end endure enforce engage enhance enjoy enlist enrich ensure
    enter entertain enumerate envision equip erase escape establish estimate evaluate evaporate evoke evolve examine
    exceed excel exchange exclude excuse execute exercise exhibit exist expand expect experience experiment explain
    exploit explore export expose express extend extract face facilitate factor fade fail fall falter familiarize fancy
    fasten favor favour fear feature feed feel fetch fight fill filter find finish fit fix flee float flourish flow fly
    focus fold follow forbid force forecast foresee forge forget forgive form formulate foster frame free freeze frighten
    fuel fulfill fulfil function fund gain gather gaze generate get give glance gleam glimpse glow go govern grab grant
    grasp greet grieve grind grip grow guarantee guard guess guide handle hang happen harbor harm harness hasten hate
    heal hear heat help hesitate hide highlight hike hinder hire hit hold honor honour hope hover hug hunt hurry hurt
    identify ignite ignore illuminate illustrate imagine imitate immerse implement imply import impose impress improve
    improvise include incorporate increase indicate induce infer influence inform infuse inherit initiate inject innovate
    input inquire insert insist inspect inspire install instruct integrate intend intensify interact intercept interpret
    interrupt intertwine introduce invent invest investigate invite invoke involve iron isolate iterate join joke journey
    judge jump justify keep kick kill kindle kiss kneel knit knock know label lack land last laugh launch lay lead leak
    lean leap learn leave lend let leverage lie lift light like limit linger link list listen live load locate lock long
    look loosen lose love lower lurk maintain make manage manifest manipulate map march mark market marry marvel master
    match matter maximize mean measure meditate meet melt mention merge mind minimize mislead miss mitigate mix model
    modify monitor motivate mount mourn move multiply muse name narrate navigate need neglect negotiate nest note notice
    nourish number nurture obey object observe obtain occupy occur offer open operate oppose optimize orchestrate order
    organize orient outline overcome overlook owe own paint paraphrase pardon park participate pass pause pay perceive
    perform permit persist persuade phone pick picture pin place plan plant play plead please plot plunge point ponder
    portray pose position possess post postpone pour practice practise praise pray preach precede predict prefer prepare
    present preserve press pretend prevail prevent print prioritize proceed process proclaim produce program prohibit
    project prolong promise promote prompt pronounce propel propose protect prove provide provoke publish pull pulse
    punish purchase pursue push put quantify query question quit quote race raise reach react read realize reap reason
    rebuild recall receive recite reckon recognize recommend reconcile reconsider record recover recreate recruit reduce
    refer refine reflect reform refrain refresh refuse regard register regret regulate reimagine reinforce reject rejoice
    relate relax release rely remain remark remember remind remove render renew rent repair repeat replace reply report
    represent request require rescue research resemble reserve reside resist resolve respect respond rest restore
    restrict result retain rethink retreat retrieve return reunite reveal reverse review revise revisit revive rewrite
    rid ride ring rise risk roam roar roll rotate ruin rule run rush sacrifice sail save savor say scan scatter schedule
    scream script sculpt seal search secure see seek seem segment seize select sell send sense separate serve set settle
    shake shape share sharpen shatter shed shift shimmer shine shoot shop shorten shout show shrink shut sift sign signal
    simplify simulate sing sink sit sketch skip sleep slide slip slow smell smile smooth snap soar soften solve soothe
    sort sound spark speak specialize specify speculate spell spend spin spiral split spread spring stabilize stand stare
    start state stay steal steer step stick stimulate stir stop store strain streamline strengthen stress stretch strike
    strip strive structure struggle study submit substitute subtract succeed suffer suggest suit summarize summon supply
    support suppose suppress surf surpass surprise surrender surround survey survive suspect suspend sustain swap sway
    swear sweep swim swing switch sync synthesize tackle tailor take talk target taste teach tear tell tempt tend test
    thank think thrive throw thrust tie tighten toggle tolerate touch tour trace track trade train transcend transfer
    transform transition translate transmit transport trap travel traverse treasure treat tremble trigger trim trust try
    tune turn twist type uncover undergo underline undermine understand undertake undo unfold unify unite unlock unleash
    unravel unveil update upgrade uphold upload urge use utilize validate value vanish vary venture verify view violate
    visit visualize vote wait wake walk wander want warm warn wash waste watch wave weave weep weigh welcome whip whir
    whisper win wind wipe wish withdraw withhold witness wonder work worry wrap wrestle write yield zoom
    """
)
_IRREGULAR = listed(
    """
    arose awoke began begun bent beheld bought bound bled blew blown broke broken brought built came caught chose chosen
    clung crept dealt drew drawn dreamt drank drunk drove driven dug dwelt ate eaten fell fallen fed felt fled flew flown
    forbade forbidden forgave forgiven forgot forgotten fought found froze frozen gave given gone got gotten grew grown
    ground heard held hid hidden hung kept knelt knew known laid led left lent lit lost made meant met overcame paid rang
    rung ridden rode risen rose ran said sang sat saw seen sent shaken shone shook shot shown slept slid sold sought
    spent spoke spoken spun stolen stole stood struck stuck swam swept swore sworn swung taken taught threw thrown told
    took tore torn undone understood undertook went wept woke woken won wore worn wove woven withdrew withheld wrote written
    """
)
_MADE = re.compile(r"(?:re|un|over|under|out|mis|dis|co|pre)?(?:[a-z]{2,}(?:iz|is|if)e|[a-z]{2,}ify|[a-z]{3,}[ao]te)")
"""Words that are built as verbs are: "modernize", "solidify", "activate"."""


def begins_with_verb(text: str) -> bool:
    """Tell whether the first word of a text can be a verb, and what follows does not make it a noun."""
    first, second = (*lower_words(text)[:2], "", "")[:2]
    if first in _AUXILIARY or not is_verb(first):
        return first in _AUXILIARY
    if first.endswith(("ing", "ed")) or first in _IRREGULAR:
        return True
    in_s = second.endswith("s") and second not in _ENDING_IN_S and any(base in _VERBS for base in _bases(second))
    return second not in _AUXILIARY and not in_s


def is_verb(word: str) -> bool:
    """Tell whether a word in lower case is a form of a verb that is known, or is built as verbs are."""
    return word in _AUXILIARY or word in _IRREGULAR or any(b in _VERBS or _MADE.fullmatch(b) for b in _bases(word))


def _bases(word: str) -> list[str]:
    """Return what a word may be a form of: of "carried" carried, carri, carrie and carry; of "running" also run."""
    bases = [word]
    for ending in ("ing", "ed", "es", "s"):
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        bases += [stem, stem + "e"]
        if stem.endswith("i"):
            bases.append(stem[:-1] + "y")
        if stem.endswith("y") and ending == "ing":
            bases.append(stem[:-1] + "ie")
        if len(stem) > 2 and stem[-1] == stem[-2]:
            bases.append(stem[:-1])
    prefix = re.match(r"re|un|over|out|mis", word)
    return bases + [base[prefix.end() :] for base in bases if prefix and len(base) > prefix.end() + 2]
