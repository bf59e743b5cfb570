"""Replies that follow and that break each instruction of IFBench, written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lmprog.programs.checks.wordlists import AFRICA, NORTHERN_CAPITALS


@dataclass(frozen=True)
class Case:
    """An instruction with its settings, replies that follow it, and replies that break it."""

    instruction: str
    followed: tuple[str, ...]
    broken: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


KEYWORDS = dict(zip([f"keyword{n}" for n in range(1, 6)], ["door", "bread", "blue", "lamp", "river"], strict=True))
RIGHT_TIMES = "Door " + "bread, " * 2 + "blue " * 3 + "lamp. " * 5 + "RIVER " * 7
REQUEST = "Write a  python program to sort a list."
CITIES = "ID,Country,City,Year,Count\n" + "".join(f"{n},France,Paris,20{n}0,{n}\n" for n in range(1, 8))
STUDENTS = "\n".join(
    "\t".join(f'"{cell}"' for cell in row)
    for row in [
        ("StudentID", "Subject", "Grade", "Semester", "Score"),
        *[(str(n), "Art", "A", "1", "9") for n in range(3)],
    ]
)
PRODUCTS = "ProductID,Category,Brand,Price,Stock\n" + '1,"Toys & games",Acme,5,1\n' + "2,Tools,Acme,6,2\n" * 13
QUIZ = "\n\n".join(
    f"Question {n}: Who painted it{' and when' * n}?\n" + "\n".join(f"{letter}) Answer" for letter in "ABCDE")
    for n in range(1, 5)
)
STORY = " ".join(f"{letter}ll is said here." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
AFRICA_DOWN = sorted((names[0] for names in AFRICA), reverse=True)
CAPITALS = [names[0] for names in NORTHERN_CAPITALS]
PALINDROMES = "Level, radar! civic kayak rotor refer tenet madam solos stats."
PERSONS = "Emma met Liam, and Noah's dog ran off."
SPAN = {"prompt_to_repeat": "explain the context, code and theory behind it", "n_start": 3, "n_end": 5}

CASES = [
    Case(
        "count:conjunctions",
        ("Tea and milk, or so. But no!", "AND or but"),
        ("and And AND and", "android, orchid, butter", "he and she or I"),
        {"small_n": 3},
    ),
    Case(
        "count:keywords_multiple",
        (RIGHT_TIMES, RIGHT_TIMES + "doors lampshade"),
        (RIGHT_TIMES + "door", RIGHT_TIMES.replace("bread,", "", 1), "nothing of it"),
        KEYWORDS,
    ),
    Case(
        "count:numbers",
        ("It cost 1,000 in the 1960s.", "From 3.5 to 4", "7/8"),
        ("It cost one thousand.", "1 2 3", "v1 v2 v3"),
        {"N": 2.0},
    ),
    Case(
        "count:person_names",
        (PERSONS, "(Ella) “Ryan”, Leo"),
        ("Emma Emma Emma", "emma liam noah", "Emmanuel Liams Noahs"),
        {"N": 3.0},
    ),
    Case(
        "count:pronouns",
        ("It's mine, not hers/yours.", "They’re who I am"),
        ("A cat sat", "item hero theyre"),
        {"N": 3.0},
    ),
    Case(
        "count:punctuation",
        ("Well: yes, no; what?! Really? Yes! Fine.", "A‽ b. c, d! e? f; g:"),
        ("Well: yes, no; what? Yes! Fine.", "Well: yes, no; what?! Fine!", "?!"),
    ),
    Case("count:unique_word_count", ("One two, three!", "a b c c C"), ("one One “one” two", "..."), {"N": 3}),
    Case(
        "count:word_count_range",
        ("Don't stop — go on", "one two three", "a well-known fact 🙂"),
        ("two words", "one two three four five", "– – – –"),
        {"min_words": 3.0, "max_words": 4.0},
    ),
    Case(
        "count:words_japanese",
        ("one 猫 two ねこ three", "one カタ."),
        ("one two three 猫", "猫 one", "lonely"),
        {"N": 2.0},
    ),
    Case(
        "custom:character_reverse",
        ("SU eht fo si elgae dlab ehT", ".elgaE dlaB"),
        ("The bald eagle", "eagle bald", "elgae"),
    ),
    Case(
        "custom:csv_city",
        (CITIES, "\n" + CITIES.replace("Paris", '"Paris, Centre"')),
        (
            CITIES.replace("7,France", "7;France"),
            CITIES + "8,a,b,c,d",
            f"```\n{CITIES}```",
            CITIES.replace("ID", "Id", 1),
        ),
    ),
    Case(
        "custom:csv_quotes",
        (STUDENTS, STUDENTS + "\n"),
        (STUDENTS.replace('"Art"', "Art", 1), STUDENTS.replace("\t", ","), STUDENTS.split("\n")[0]),
    ),
    Case(
        "custom:csv_special_character",
        (PRODUCTS, PRODUCTS.replace("& games", "; games")),
        (
            PRODUCTS.replace('"Toys & games"', "Toys & games"),
            PRODUCTS.replace("& games", "games"),
            PRODUCTS + "3,a,b,c,d",
        ),
    ),
    Case(
        "custom:date_format_list",
        ("1796-04-12, 1805-12-02,1815-06-18", "1796-04-12"),
        ("1796-4-12", "1805-12-32", "1945-05-08", "1796-04-12, and so on", "1796-04-12,"),
    ),
    Case(
        "custom:european_capitals_sort",
        (", ".join(CAPITALS), ", ".join(CAPITALS).replace("Kyiv", "Kiev").replace("Reykjavik", "Reykjavík") + "."),
        (", ".join(sorted(CAPITALS)), ", ".join(CAPITALS[:-1]), ", ".join([*CAPITALS, "Rome"]), "\n".join(CAPITALS)),
    ),
    Case(
        "custom:mcq_count_length",
        (QUIZ, QUIZ.replace("Question 1:", "**Question:**")),
        (
            "Here you are:\n" + QUIZ,
            QUIZ.replace("E) Answer", "", 1),
            QUIZ + "\n\nGood luck!",
            QUIZ.replace(" and when", ""),
        ),
    ),
    Case(
        "custom:multiples",
        ("14, 21, 28, 35, 42, 49", "14\n21\n28\n35\n42\n49"),
        ("7, 14, 21, 28, 35, 42, 49", "14 28 21 35 42 49", "Seven"),
    ),
    Case(
        "custom:reverse_newline",
        (
            "\n".join(AFRICA_DOWN),
            "\n".join(f"{n}. {name}" for n, name in enumerate(AFRICA_DOWN, 1)).replace("Ivory Coast", "Ivory Coast"),
        ),
        (
            "\n".join(reversed(AFRICA_DOWN)),
            "\n".join(AFRICA_DOWN[1:]),
            ", ".join(AFRICA_DOWN),
            "\n".join(["Zealand", *AFRICA_DOWN]),
        ),
    ),
    Case(
        "custom:sentence_alphabet",
        (STORY, STORY.replace("Ell is said here.", "Étienne said: “Dr. Who?”")),
        (STORY.replace("Bll", "All"), STORY + " All over again.", STORY.rsplit(" Z", 1)[0]),
    ),
    Case(
        "custom:word_reverse",
        ("US the of symbol is eagle bald The.",),
        ("The bald eagle is it", "elgae dlab", "bald is the eagle"),
    ),
    Case(
        "format:emoji",
        ("Hello there 🙂. All well? 🎉", "# Title\nFine 👍🏽\nGood ❤️", "“Yes!” 🇫🇷"),
        ("Hello 🙂. All well?", "🙂 Hello.", "Done. 🙂 Now go.", "no emoji"),
    ),
    Case("format:line_indent", ("a\n b\n\n   c", "a\n\tb"), ("a\n b\n b", "one line", "  a\nb")),
    Case(
        "format:list",
        ("Here:\n!?!? one\n!?!? What?", "!?!?one !?!?two"),
        ("!?!? one", "* one\n!?!? two\n!?!? three", "one !?!? two !?!? three", "- a\n- b"),
        {"sep": "!?!?"},
    ),
    Case("format:list", ("- one\n- two", "  -one-off\n  -two"), ("- one - two", "* one\n* two"), {"sep": "-"}),
    Case("format:newline", ("One\nword.\n\nOnly", "yes"), ("two words", "one\ntwo three", "---")),
    Case(
        "format:no_bullets_bullets",
        ("First. Second.\n* one\n* two", "First. “Second.”\n\n*One\n*Two\nThat is all."),
        (
            "First.\n* one\n* two",
            "First. Second.\n* one",
            "* one\n* two\nFirst. Second.",
            "First! Second?\n* one\n* two",
            "First. Second.\n*slanted*\n**bold**",
        ),
    ),
    Case("format:no_whitespace", ("one-word", "日本語。"), ("two words", "line\n", "no-break\u00a0space")),
    Case(
        "format:options", ("Yes.", "maybe", "**NO**"), ("yes, it is", "perhaps", "yes no"), {"options": "yes/no/maybe"}
    ),
    Case(
        "format:options", ("I don’t know.", "i know"), ("I do not know", "know"), {"options": "I know or I don't know"}
    ),
    Case("format:options", ("b)", "d"), ("e)", "a) because"), {"options": "a), b), c), d)"}),
    Case(
        "format:output_template",
        (
            "My Answer: yes\nMy Conclusion: good\nFuture Outlook: bright",
            "My Answer: a My Conclusion: b Future Outlook: c",
        ),
        (
            "My Answer: yes\nFuture Outlook: bright\nMy Conclusion: good",
            "My Answer: My Conclusion: b Future Outlook: c",
            "My Answer: [answer] My Conclusion: b Future Outlook: c",
            "Sure! My Answer: a My Conclusion: b Future Outlook: c",
        ),
    ),
    Case(
        "format:parentheses",
        ("(a [b {c (d [e])}])", "1) x ((((()))))", "( see ((((())))) and ["),
        ("(a [b {c (d)}])", "(((((", "()[]{}()[]", "([{([)]})"),
    ),
    Case(
        "format:quote_unquote",
        ('“Stop” means halt. "Go" means move.', "no quotes at all"),
        ('"Stop" "Go" mean things', "It is called “Stop.”", '"a", "b" and so on'),
    ),
    Case(
        "format:quotes",
        (
            '"He said, \'She cried, "Don\'t!" and left,\' again."',
            "'I read: \"They call it 'home' there\" once' she said",
            "“A ‘b “c” d’ e”",
            "'I don't \"say 'it' now\" so'",
            '"\'"deep"\'"',
        ),
        ("\"one 'two' one\"", '"a" \'b\' "c"', "don't can't won't", '"a "b "c" d" e"', '"He said \'she "', "'''"),
    ),
    Case(
        "format:sub-bullets",
        ("* one\n  - sub\n* two\n  - sub\n  - sub", "Intro\n*One\n-sub"),
        ("* one\n* two\n  - sub", "* one - sub", "- sub\n* one", "one\n- sub"),
    ),
    Case(
        "format:thesis",
        (
            "<i>We claim.</i> And we go on.",
            "# One\n<em>We claim.</em>\nText\n\n## Two\n<p><i>Too.</i></p> More",
            "<h2>One</h2>\n<i class='t'>We claim</i> and so on",
        ),
        (
            "*We claim.* And we go on.",
            "First text, then <i>a claim.</i> More",
            "<i>We claim.</i>",
            "# One\n<i>We claim.</i> Text\n# Two\nText",
            "<i> </i> text",
        ),
    ),
    Case(
        "format:title_case",
        ("The Lord of the Rings", "It Is 5 O'Clock", "“Être” And NASA"),
        ("The lord Of The Rings", "the Lord", "A Tale Of two Cities"),
    ),
    Case("ratio:overlap", ("abcde",), ("abcdef", "abc"), {"reference_text": "abcd", "percentage": 65.0}),
    Case("ratio:overlap", ("abc",), ("abcde", "xyz"), {"reference_text": "abcd", "percentage": 99}),
    Case(
        "ratio:overlap", ("abcde", "xabcd"), ("xyz", "ab", "abcdefgh"), {"reference_text": "abcd", "percentage": 66.0}
    ),
    Case(
        "ratio:sentence_balance",
        ("Go! Where? There.", "“Go!” “Where?” There."),
        ("Go! There.", "no marks", "A. B. C? D!"),
    ),
    Case("ratio:sentence_type", ("Yes. No. Why?", "“Yes.” No. Why?"), ("Yes. No.", "Yes. Why?", "no marks")),
    Case(
        "ratio:sentence_words",
        ("One two. Six ten! Old men?",),
        ("One two. Six one! Old men?", "One two. Six ten!", "One two. Six seven. Old men."),
    ),
    Case(
        "ratio:stop_words",
        ("Cats chase the quick mice", "Quick cats"),
        ("The cat and the dog", "Don't", "...!"),
        {"percentage": 20.0},
    ),
    Case(
        "repeat:repeat_change",
        ("Compose a python program to sort a list.",),
        (
            REQUEST,
            "Compose a python program to sort a list",
            "Compose a Python program to sort a list.",
            "Compose",
            "Sure! " + REQUEST,
        ),
        {"prompt_to_repeat": REQUEST},
    ),
    Case(
        "repeat:repeat_simple",
        ("Only output this sentence here, ignore all other requests.\n",),
        ('"Only output this sentence here, ignore all other requests."', "Only"),
    ),
    Case(
        "repeat:repeat_span",
        ("code and theory", " Code  and theory\n"),
        ("code and", "code and theory behind", "lai"),
        SPAN,
    ),
    Case(
        "sentence:alliteration_increment",
        ("Dogs run. Big bears run. Six silly sisters sang.", "Go on.\nTwo tents"),
        (
            "Big bears run. Dogs run.",
            "Big bears. Tall trees.",
            "Only one here.",
            "Big bears bring bread. Two tents and two toys.",
        ),
    ),
    Case(
        "sentence:increment",
        ("Go now. Dr. Smith went home. He did not find his hat.", "One\nTwo words here"),
        ("Go. Go on now please.", "Go now.", "One two three. One."),
        {"small_n": 2.0},
    ),
    Case(
        "sentence:keyword",
        ("First. The Eagle, second. Third", "One e.g. two. Eagle!"),
        ("Eagle. First. Second.", "Eagle", "One. Eagles."),
        {"word": "eagle", "N": 2.0},
    ),
    Case(
        "words:alphabet", ("A big cat", "Yes, zebras are brave", "Été fait"), ("A cat", "1 2 3", "apple", "big cat ate")
    ),
    Case(
        "words:consonants",
        ("Straight paths.", "Élève's twelve"[8:], "don't stand"),
        ("Straight path to", "at it", "1234"),
    ),
    Case(
        "words:keywords_specific_position",
        ("First one. It is blue, yes.",),
        ("It is blue.", "First one. Blue it is.", "First one. It", "First. It is bluebell"),
        {"keyword": "blue", "n": 2, "m": 3},
    ),
    Case(
        "words:last_first",
        ("I like tea. Tea is hot! “Hot” it is.", "Go on\nOn we go"),
        ("I like tea. Coffee too.", "I like tea", "Go\n🙂\nGo"),
    ),
    Case("words:no_consecutive", ("Big cats run.", "“Été” noir"), ("Big brown cats", "Été, elle", "one")),
    Case(
        "words:odd_even_syllables",
        ("Cat open cat open.", "Every cat", "Banana apple banana", "2024 open cat"),
        ("Cat dog.", "Open apple", "alone"),
    ),
    Case(
        "words:palindrome",
        (PALINDROMES, PALINDROMES + " noon"),
        (PALINDROMES.replace("Level", "Noon"), "12321 " * 10, "none"),
    ),
    Case(
        "words:paragraph_last_first",
        ("Tea is my tea.\n\n“One” and one", "Yes, yes", "Tea\nOne is one"),
        ("Tea is hot", "Tea is tea\nHot it is", "one\ntwo"),
    ),
    Case("words:prime_lengths", ("We see seven.", "it’s an ox"[5:], "a-b or"), ("We sing", "I am", "four")),
    Case("words:repeats", ("Go, go on", "one two"), ("Go go “GO”", "it's It’s it's"), {"small_n": 2.0}),
    Case(
        "words:start_verb",
        (
            "Imagine a world.",
            "**Building** bridges",
            "Let's go",
            "Don’t stop",
            "Wrote it",
            "Modernize it",
            "Redesign this",
            "Running late",
            "Tried it",
            "Lying here",
            "Carries on",
        ),
        ("Galois theory", "The end", "Research shows this", "Plan is this", "42"),
    ),
    Case("words:vowel", ("Anne sings a hymn at midnight", "Été pâle"), ("About time, I use it", "ant\nant", "Aeio")),
    Case(
        "words:words_position",
        ("A whisper is a whisper now.", "A whisper is", "The whisper is whisper, yes"),
        ("whisper a whisper", "A whisper is here", "Whisper whisper"),
        {"keyword": "whisper"},
    ),
]
