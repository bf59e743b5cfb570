"""Lists of English words and of names that instructions speak of."""


def listed(text: str) -> frozenset[str]:
    """Return the words of a text that lists them."""
    return frozenset(text.split())


COORDINATING = listed("for and nor but or yet so")
"""The coordinating conjunctions."""

_PERSONAL = "i me we us you he him she her it they them"
_POSSESSIVE = "my mine our ours your yours his hers its their theirs"
_REFLEXIVE = "myself ourselves yourself yourselves himself herself itself themselves"
_POINTING = "this that these those"
_ASKING = "who whom whose which what"
PRONOUNS = listed(
    f"""
    {_PERSONAL} {_POSSESSIVE} {_REFLEXIVE} {_POINTING} {_ASKING} oneself whoever whomever whatever whichever
    anybody anyone anything everybody everyone everything nobody nothing somebody someone something
    each either neither both all some any none
    """
)
"""Pronouns, and the words that are one in one sentence and stand before a noun in another."""

STOP_WORDS = listed(
    f"""
    {_PERSONAL} {_POSSESSIVE.replace("mine ", "")} {_REFLEXIVE} {_POINTING} who whom which what
    a an the and but or nor if because as until while than
    of at by for with about against between into through during before after above below to from up down in out on off
    over under
    am is are was were be been being have has had having do does did doing can will should
    again further then once here there when where why how all any both each few more most other some such no not only own
    same so too very just now
    """
)
"""Function words of English: the usual list, with "mine" and most modals not in it."""
SHORT_FORMS = ("n't", "'s", "'re", "'ve", "'ll", "'d", "'m")
"""What may end a word that is written as one with the next."""

NAMES = listed(
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin Harper Leo"
    " Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria Elijah Layla"
    " Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella Jonathan"
)
"""The persons whom the prompts of IFBench list."""

MINOR = listed(
    """
    a an the and but or nor for so yet as at by in into of off on onto out over per to up via with from than upon if vs v
    de la le du von van der den et al
    """
)
"""Words that a title may leave in small letters: articles, conjunctions, short prepositions, particles of names."""

NORTHERN_CAPITALS = (
    ("Reykjavik",), ("Helsinki",), ("Oslo",), ("Tallinn",), ("Stockholm",), ("Riga",), ("Moscow",), ("Copenhagen",),
    ("Vilnius",), ("Minsk",), ("Dublin",), ("Berlin",), ("Amsterdam",), ("Warsaw",), ("London",), ("Brussels",),
    ("Kyiv", "Kiev"), ("Prague",), ("Luxembourg", "Luxembourg City"), ("Paris",), ("Vienna",), ("Bratislava",),
    ("Budapest",), ("Vaduz",), ("Chisinau", "Kishinev"), ("Bern", "Berne"), ("Ljubljana",), ("Zagreb",),
)  # fmt: skip
"""Capitals of European countries north of 45 degrees, each with its spellings, from north to south."""

AFRICA = (
    ("Algeria",), ("Angola",), ("Benin",), ("Botswana",), ("Burkina Faso",), ("Burundi",), ("Cameroon",),
    ("Cape Verde", "Cabo Verde"), ("Central African Republic",), ("Chad",), ("Comoros",),
    ("Republic of the Congo", "Congo", "Congo Republic", "Congo Brazzaville", "Congo Republic of the"),
    ("Democratic Republic of the Congo", "DR Congo", "DRC", "Congo Democratic Republic of the", "Congo Kinshasa"),
    ("Djibouti",), ("Egypt",), ("Equatorial Guinea",), ("Eritrea",), ("Eswatini", "Swaziland"), ("Ethiopia",), ("Gabon",),
    ("Gambia", "The Gambia"), ("Ghana",), ("Guinea",), ("Guinea Bissau",), ("Ivory Coast", "Cote d Ivoire"), ("Kenya",),
    ("Lesotho",), ("Liberia",), ("Libya",), ("Madagascar",), ("Malawi",), ("Mali",), ("Mauritania",), ("Mauritius",),
    ("Morocco",), ("Mozambique",), ("Namibia",), ("Niger",), ("Nigeria",), ("Rwanda",), ("Sao Tome and Principe",),
    ("Senegal",), ("Seychelles",), ("Sierra Leone",), ("Somalia",), ("South Africa",), ("South Sudan",), ("Sudan",),
    ("Tanzania",), ("Togo",), ("Tunisia",), ("Uganda",), ("Zambia",), ("Zimbabwe",),
)  # fmt: skip
"""The 54 countries of Africa that are members of the United Nations, each with its names, without signs and accents."""
