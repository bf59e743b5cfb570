"""How many syllables an English word may have.

Counted from the spelling: a syllable for each run of vowels that is spoken. Where speakers differ ("every", "fire",
"poem") or the spelling leaves open whether two vowels are one, both counts are possible. Measured on 71,000 words of
running text that the CMU dictionary knows: for 99.7 % of them one of its counts is among ours, and 7 % have two.
"""

import re
from functools import lru_cache

from lmprog.programs.checks.text import letters

_LISTED = {
    1: "eyed eyes league plague prague read reads realm realms rogue the tongue vague vogue",
    2: (
        "argue argued beloved cafe catholic colleague colleagues crooked dying duo elsewhere embed fatigue giant giants hedgehog hedgehogs iceberg"
        " icebergs intrigue intrigued jagged lifeblood lion lions lying maybe naked nike noah psyche rugged ryan sacred"
        " skopje somewhat acre acres centre metres hundred hundreds warehouse wednesday wicked wretched"
    ),
    3: (
        "albeit koala recipe recipes vegetable vegetables kilometres alien aliens anyone archetypal area areas catastrophes conversely element elements idea ideas inversely likelihood"
        " lineage livelihood loneliness monologue mosaic ratio ratios silhouette silhouettes sociable solely subtly"
        " usefulness"
    ),
    4: "catastrophe complementary coalition etc penelope preeminence",
}
_KNOWN = {word: frozenset({count}) for count, listed in _LISTED.items() for word in listed.split()}

_V, _C = "[aeiouy]", "[^aeiouy]"
_RESPELLED = (
    # re-act, co-operate
    (r"^re(?=a(?:ct|ss|pp|rr|ff|wa)|e(?:v|nt|st|x)|i|u)|^co(?=op|or|ag|al[ei])|^de(?=act)", "rek"),
    (r"qu", "q"),
    (r"(?<!n)gu(?=[aeiy])(?!i[nt])", "g"),  # guide, intrigue
    (r"(?<=[aeiou])y(?=[aeiou])|^y(?=[aeiou])", "j"),  # beyond, you
    (r"y(?=ing)", "yj"),  # carrying
)
_COMPOUND = (
    "ments?|ful|fully|fulness|less|lessly|ly|ness|some|works?|hoods?|times?|thing|lines?|holders?|spread|where|fore|force"
    "|sides?|names?|by|in|ty|lengths?|base|blood|land|lets?|stock|span|stones?|ways?|like|man|men|woman|women|back|box|ball|body|books?"
    "|how|holds?|shed|town"
)
_SILENT = re.compile(
    rf"(?<={_V}{_C})e(?=(?:{_COMPOUND})$)|(?<={_C}{_C})(?<!{_C}l)e(?=(?:ments?|ly|ful)$)"  # statement, framework
    rf"|(?<={_C}{_C})(?<!{_C}l)e$|(?<={_V}{_C})e$|(?<=[rl]l)e$"  # dance, home, but not apple
    rf"|(?<={_V}{_C})(?<![td])e(?=d$)|(?<={_C}{_C})(?<![tdl])e(?=d$)|(?<=[rl]l)e(?=d$)"  # used, called, but not ended
    rf"|(?<={_V}{_C})(?<![szxcgj])e(?=s$)|(?<={_C}{_C})(?<![szxcgjlh])e(?=s$)|(?<=[rl]l)e(?=s$)|(?<=th)e(?=s$)"  # times
)
_EXTRA = re.compile(r"(?<=[aeou])ing|sms?$|thms?$")
"""Ends with one syllable more than runs of vowels: "being", "prism", "rhythm"."""
_MAY_PART = re.compile(
    r"(?<![tscgx])i[aou]|(?<=[tcxs])ia(?=l?s?m?$|s[mt])|(?<=[tc])ia(?=[^nl])|iu|(?<!p)eo|ie(?=t|n[ct]|r|d$)|u[ao]|ue(?=n|l|sd)"
    r"|(?<=[rd])ea(?=l)|(?<=cr)ea|(?<=th)ea(?=t)|(?<=[cln])ea(?=r$|rly$|r[^nd])|(?<=m)ea(?=nd)|(?<=rm)ea|ea(?=$|ns?$|te?$)|ui(?=[dnst])"
    r"|oe|oo(?=[rp])|ao|au(?=s|r[^aeiouy]?e)|oa(?=c|$|h)|eu(?=m)|oi(?=ng)|a[ei](?=s[mt]|l$|c$)|ei(?=ng|t)|io(?=l)"
)
_MAY_DROP = re.compile(
    rf"(?<={_C})[eo](?=r{_V})|(?<={_V}{_C})e(?=n{_V})|(?<=p)o(?=se)|ically|usi(?=n)|hoco|ower"  # every, business, power
)
_HISSING = re.compile(r"(?:[sxz]e?|che?|[a-z]{2}she?|[cg]e)$")
_ONE_WITH_NOT = frozenset(["ain", "aren", "can", "don", "shan", "weren", "won"])
_FIRE = re.compile(r"[iy]re(?:[ds]|ly|ments?|men)?$|ours?$")


def syllables(word: str) -> frozenset[int]:
    """Return the counts that are possible; none of "3D" or "pm", which are read in many ways.

    The parts of a word with hyphens are added up.
    """
    counts: frozenset[int] = frozenset({0})
    for part in re.split(r"[-‐‑/]", word.replace("’", "'")):
        spoken, _, ending = part.partition("'")
        if re.search(r"\d", part) or not re.search(_V, letters(spoken)):
            return frozenset()
        counts = frozenset(a + b for a in counts for b in _of_part(letters(spoken), letters(ending)))
    return counts


def _of_part(word: str, ending: str) -> frozenset[int]:
    """Return the counts of a word and of what follows its apostrophe."""
    if ending == "t" and word.endswith("n"):  # did-n't, but don't
        return _more(_of_word(word[:-1]), 0 if word in _ONE_WITH_NOT else 1)
    if ending == "s":
        return _more(_of_word(word), 1 if _HISSING.search(word) else 0)
    if ending in ("ll", "d", "ve", "re"):
        return _more(_of_word(word), 0 if word[-1] in "aeiouyw" else 1)
    return frozenset(a + b for a in _of_word(word) for b in (_of_word(ending) if re.search(_V, ending) else {0}))


def _more(counts: frozenset[int], by: int) -> frozenset[int]:
    return frozenset(count + by for count in counts)


@lru_cache(maxsize=4096)
def _of_word(word: str) -> frozenset[int]:
    if word in _KNOWN:
        return _KNOWN[word]
    respelled = word
    for found, instead in _RESPELLED:
        respelled = re.sub(found, instead, respelled)
    several = len(re.findall(f"{_V}+", respelled)) > 1
    spoken = _SILENT.sub("", respelled) if several else respelled
    count = max(1, len(re.findall(f"{_V}+", spoken))) + len(_EXTRA.findall(spoken))
    fewer = count > 1 and _MAY_DROP.search(spoken) is not None
    more = _MAY_PART.search(spoken) or _FIRE.search(respelled)
    return frozenset(range(count - fewer, count + 1 + bool(more)))
