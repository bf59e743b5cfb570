"""Whether a reply follows an instruction: our own checks of the instructions of IFBench, by its ids.

IFBench (Pyatkin et al. 2025, arXiv:2507.02833) asks for 58 things that code can check. Where the words of a prompt decide
what is right, they do; where they leave it open, the benchmark's reading is taken. Each function says what it takes as
right, and returns what breaks it.

An instruction on how one word, sentence or line follows another takes two of them. A reply of one has nothing that could
break it, and the benchmark's checks let it pass: an optimizer would find that out.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError, validate_call

from lmprog.errors import DataError
from lmprog.programs.checks import counting, fixed, layout, sentence_rules, word_rules
from lmprog.programs.checks.fault import Fault

CHECKS: Mapping[str, Callable[..., Fault]] = {
    "count:conjunctions": counting.conjunctions,
    "count:keywords_multiple": counting.keywords,
    "count:numbers": counting.numbers_written,
    "count:person_names": counting.person_names,
    "count:pronouns": counting.pronouns,
    "count:punctuation": counting.punctuation,
    "count:unique_word_count": counting.unique_words,
    "count:word_count_range": counting.word_range,
    "count:words_japanese": counting.japanese_words,
    "custom:character_reverse": fixed.letters_reversed,
    "custom:csv_city": fixed.city_table,
    "custom:csv_quotes": fixed.quoted_table,
    "custom:csv_special_character": fixed.special_table,
    "custom:date_format_list": fixed.dates,
    "custom:european_capitals_sort": fixed.capitals,
    "custom:mcq_count_length": fixed.multiple_choice,
    "custom:multiples": fixed.multiples,
    "custom:reverse_newline": fixed.africa_reversed,
    "custom:sentence_alphabet": sentence_rules.alphabet_story,
    "custom:word_reverse": fixed.words_reversed,
    "format:emoji": sentence_rules.emoji_ends,
    "format:line_indent": layout.stairs,
    "format:list": layout.list_with,
    "format:newline": layout.word_a_line,
    "format:no_bullets_bullets": layout.prose_then_bullets,
    "format:no_whitespace": layout.no_whitespace,
    "format:options": layout.one_of,
    "format:output_template": layout.template,
    "format:parentheses": layout.nested_brackets,
    "format:quote_unquote": layout.quotes_explained,
    "format:quotes": layout.nested_quotes,
    "format:sub-bullets": layout.sub_bullets,
    "format:thesis": layout.thesis,
    "format:title_case": layout.title_case,
    "ratio:overlap": counting.overlap,
    "ratio:sentence_balance": sentence_rules.balance,
    "ratio:sentence_type": sentence_rules.two_to_one,
    "ratio:sentence_words": sentence_rules.three_alike,
    "ratio:stop_words": counting.stop_words,
    "repeat:repeat_change": fixed.with_another_first_word,
    "repeat:repeat_simple": fixed.this_sentence,
    "repeat:repeat_span": fixed.span,
    "sentence:alliteration_increment": sentence_rules.alliteration_increment,
    "sentence:increment": sentence_rules.word_increment,
    "sentence:keyword": sentence_rules.keyword,
    "words:alphabet": word_rules.alphabet,
    "words:consonants": word_rules.consonant_clusters,
    "words:keywords_specific_position": sentence_rules.keyword_at,
    "words:last_first": sentence_rules.last_is_next_first,
    "words:no_consecutive": word_rules.no_same_initial,
    "words:odd_even_syllables": word_rules.syllable_parity,
    "words:palindrome": word_rules.palindromes,
    "words:paragraph_last_first": word_rules.paragraph_ends,
    "words:prime_lengths": word_rules.prime_lengths,
    "words:repeats": word_rules.repeats,
    "words:start_verb": word_rules.starts_with_verb,
    "words:vowel": word_rules.three_vowels,
    "words:words_position": word_rules.second_and_second_last,
}


def fault_in(reply: str, instruction: str, settings: Mapping[str, Any]) -> Fault:
    """Return what breaks the instruction of that id in a reply, None where it is followed. An empty reply follows none."""
    if not reply.strip():
        return "it is empty"
    return _checked(instruction)(reply, **settings)


def check_settings(instruction: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the instruction does not take, or that lack one: DataError."""
    try:
        _checked(instruction)("reply", **settings)
    except ValidationError as error:
        first = error.errors()[0]
        wanted = ", ".join(list(inspect.signature(CHECKS[instruction]).parameters)[1:]) or "none"
        raise DataError(
            f"`kwargs` of {instruction} are {dict(settings)!r}, with a fault at `{'.'.join(map(str, first['loc']))}` "
            f"({first['msg']}); it takes {wanted}"
        ) from None


@lru_cache
def _checked(instruction: str) -> Callable[..., Fault]:
    """Return the check with its settings read as their types: the benchmark writes 5 as 5.0."""
    return validate_call(CHECKS[instruction])
