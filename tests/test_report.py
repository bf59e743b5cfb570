"""The report page: complete, safe, self-contained and the same for equal facts."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog import loop
from lmprog.certificate import Certificate, Shipped, Split
from lmprog.events import CandidateScored, Event, IncumbentChanged, StageEnded, Stopped
from lmprog.metrics import exact_match
from lmprog.module import params_of
from lmprog.optimizer import named
from lmprog.params import PredictorParams
from lmprog.report import Clock, Facts, render
from lmprog.report.history import History
from lmprog.report.prompts import compared
from lmprog.rundir import Journal
from lmprog.statistics import Interval
from lmprog.testing import Answer, Asked, ScriptedLM, hostile_texts, problem_for

VOID = {"meta", "br"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "]]> --> <!-- &amp; &lt;b&gt; {{ x }}",
    "שלום \u200f\u202e txet desrever \u202c \u2067x",
    "e\u0301漢字🏳️‍🌈 \x00 \x1b[31m",
]


def certificate(gain: float = 0.25, low: float = 0.1, shipped: Shipped = "compiled") -> Certificate:
    return Certificate(
        baseline=0.5,
        compiled=0.5 + gain,
        gain=gain,
        interval=Interval(low, 0.4),
        n=36,
        gate="no-harm",
        shipped=shipped,
        seed=7,
        splits={"train": Split(48, "aaaa000011112222"), "holdout": Split(36, "bbbb000011112222")},
        requested={"task": 1200, "proposer": 12},
        tokens={"task": 345678, "proposer": 900},
    )


def params(instruction: str, *demos: lp.Demo) -> lp.Params:
    return lp.Params({"answer": PredictorParams(instruction=instruction, demos=demos)})


def journal(*events: Event) -> list[dict[str, Any]]:
    """Events as the run directory holds them."""
    file = io.StringIO()
    write = Journal(file)
    for event in events:
        write(event)
    return [json.loads(line) for line in file.getvalue().split("\n") if line]


def facts(
    before: lp.Params | None = None,
    after: lp.Params | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    *,
    title: str = "Program, compiled with mipro",
    proof: Certificate | None = None,
    stopped: str = "the budget was spent",
) -> Facts:
    before = before or params("Answer.")
    return Facts(title, proof or certificate(), before, after or before, events, stopped)


def scored(of: lp.Params, scores: Sequence[float], requested: int, origin: str = "a try") -> CandidateScored:
    rows = tuple(range(len(scores)))
    return CandidateScored(1, of.fingerprint, None, of, rows, tuple(scores), requested, origin)


class Page(HTMLParser):
    """Reads a page, and fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


class Ask(lp.Signature):
    """Answer."""

    question: str = lp.InputField()
    answer: str = lp.OutputField()


class Program(lp.Module):
    def __init__(self) -> None:
        self.answer = lp.Predict(Ask)

    def forward(self, question: str) -> Ask:
        return self.answer(question=question)


def better_with_demos(asked: Asked) -> Answer:
    number = int(asked.inputs["question"][1:])
    return {"answer": str(number) if number % 2 or (asked.demos and number % 3) else "?"}


@pytest.fixture(scope="module")
def searched() -> Facts:
    """A real search, written to a journal and read back."""
    rows = [{"question": f"q{i}", "answer": str(i)} for i in range(60)]
    lm, events = ScriptedLM(better_with_demos), list[Event]()
    problem = problem_for(Program(), rows[:20], rows[20:], exact_match("answer"), lm, calls=800)
    problem = replace(problem, emit=events.append)
    start = params_of(problem.program)
    optimizer = named("bootstrap-random-search:candidates=3")
    outcome = loop.run(optimizer.search(problem, start), instead="")
    return facts(start, outcome.params, journal(*events), stopped=outcome.stopped)


def test_a_page_shows_the_certificate_the_changes_and_the_search(searched: Facts) -> None:
    page = Page(render(searched))

    assert str(searched.certificate) in page.text
    for heading in ("What it took", "What changed", "The search", "Candidates", "Why the search stopped"):
        assert heading in page.text
    assert "Demos (0 before" in page.text
    assert searched.stopped[1:] in page.text
    assert page.tags.count("svg") >= 4


def test_every_picture_says_in_words_what_it_shows(searched: Facts) -> None:
    html = render(searched)

    pictures = re.findall(r"<svg [^>]*>(?:<title>)?", html)
    assert all(("aria-label=" in one and one.endswith("<title>")) or "aria-hidden" in one for one in pictures)


def test_a_page_needs_nothing_from_outside_itself(searched: Facts) -> None:
    html = render(searched, Clock(1.0, 2, 0.5))
    page = Page(html)

    assert not {"script", "link", "img", "iframe", "object", "use", "a"} & set(page.tags)
    assert not {"src", "href", "srcset", "xlink:href"} & {name for name, _ in page.attributes}
    assert not re.search(r"https?://|@import|url\(", html)
    assert any(value and value.startswith("default-src 'none'") for name, value in page.attributes if name == "content")


def test_equal_facts_give_equal_pages(searched: Facts) -> None:
    again = replace(searched, events=json.loads(json.dumps(searched.events)))

    assert render(searched) == render(again)


def test_what_depends_on_the_clock_is_shown_only_with_a_clock() -> None:
    without, having = Page(render(facts())).text, Page(render(facts(), Clock(412.345, 2663, 0.0831))).text

    assert "412.3" in having and "2,663" in having and "$0.0831" in having
    assert not re.search(r"seconds|USD|calls sent|\$", without)


def page_full_of(text: str) -> Page:
    """A page with the text in every place that a user, an LM or a data set can fill."""
    demo = lp.Demo(inputs={text: text, "list": [text, text]}, outputs={"answer": {text: text}})
    before = lp.Params({text: PredictorParams(instruction="Answer.")})
    after = before.replace(text, instruction=text, demos=(demo,), field_descriptions={text: text})
    events = journal(
        scored(before, [0.0, 1.0], 4, origin=text),
        scored(after, [1.0, 0.5], 8, origin=text),
        IncumbentChanged(after.fingerprint, 0.75, 8),
        StageEnded(text, {text: text}, 8),
    )
    proof = replace(certificate(), splits={text: Split(1, text)}, requested={text: 1}, tokens={text: 1})
    return Page(render(facts(before, after, events, title=text, proof=proof, stopped=text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text_wherever_it_comes_from(text: str) -> None:
    page, harmless = page_full_of(text), page_full_of("harmless")

    assert set(page.tags) == set(harmless.tags)
    assert {name for name, _ in page.attributes} == {name for name, _ in harmless.attributes}
    assert page.text.count(text.split()[0]) >= 12


def test_direction_overrides_and_control_characters_are_shown_by_their_number() -> None:
    html = render(facts(title="a\u202eb\x00c\ud800d", after=params("x\u2066y")))

    assert "a[U+202E]b[U+0000]c[U+D800]d" in html
    assert "x[U+2066]y" in html
    html.encode()


@given(text=hostile_texts(), stopped=st.text())
@settings(deadline=None, max_examples=30)
def test_any_text_gives_a_page_with_matching_tags(text: str, stopped: str) -> None:
    after = params(text, lp.Demo(inputs={"question": text}, outputs={"answer": [text]}))

    Page(render(facts(params("Answer."), after, title=text, stopped=stopped))).text.encode()


def test_a_search_that_scored_nothing_still_gives_a_page() -> None:
    page = Page(render(facts(events=journal(Stopped("the cap on calls was reached", 0)))))

    assert "there is no search to show" in page.text


def test_one_candidate_on_one_row_gives_a_page() -> None:
    only = params("Answer.")
    events = journal(scored(only, [1.0], 0), IncumbentChanged(only.fingerprint, 1.0, 0))

    page = Page(render(facts(only, only, events)))

    assert "#0 best" in page.text
    assert "nothing to compare" in page.text


def test_where_nothing_ships_the_page_shows_what_would_have_changed() -> None:
    before, tried = params("Answer."), params("Answer briefly.")
    events = journal(
        scored(before, [0.0, 1.0], 2), scored(tried, [1.0, 1.0], 4), IncumbentChanged(tried.fingerprint, 1.0, 4)
    )

    page = Page(render(facts(before, before, events, proof=certificate(-0.02, -0.1, "baseline"))))

    assert "the program ships as it was" in page.text
    assert "What the best candidate (#1) would have changed" in page.text


@pytest.mark.parametrize(
    ("gain", "low", "shipped", "gate", "verdict"),
    [
        (0.25, 0.1, "compiled", "no-harm", "the interval of the gain lies above zero"),
        (0.05, -0.1, "compiled", "no-harm", "the gain is not proven"),
        (0.05, -0.1, "baseline", "significant", "this gate asks for proof"),
        (-0.05, -0.1, "baseline", "no-harm", "was no better, so the program ships as it was"),
        (-0.05, -0.1, "compiled", "none", "It ships all the same"),
    ],
)
def test_the_headline_says_what_the_proof_is_worth(
    gain: float, low: float, shipped: Shipped, gate: Literal["no-harm", "significant", "none"], verdict: str
) -> None:
    proof = replace(certificate(gain, low, shipped), gate=gate)

    assert verdict in Page(render(facts(proof=proof))).text


def test_words_that_differ_are_marked_and_phrases_in_one_piece() -> None:
    old, new = compared("Write a search query.", "Write a search query for the engine.")

    assert old == [("Write a search query.", False)]
    assert new == [("Write a search query", False), (" for the engine", True), (".", False)]


def test_texts_with_little_in_common_are_marked_whole() -> None:
    assert compared("Guess.", "Read all passages first, then reply.") == (
        [("Guess.", True)],
        [("Read all passages first, then reply.", True)],
    )


@given(before=st.text("ab .\n"), after=st.text("ab .\n"))
@settings(deadline=None, max_examples=100)
def test_a_comparison_loses_no_character(before: str, after: str) -> None:
    old, new = compared(before, after)

    assert "".join(text for text, _ in old) == before
    assert "".join(text for text, _ in new) == after


def test_a_long_value_of_a_demo_is_folded() -> None:
    demo = lp.Demo(inputs={"passage": "word " * 400, "question": "short"}, outputs={"answer": "x"})

    assert Page(render(facts(after=params("Answer.", demo)))).tags.count("details") == 1


def test_the_mean_of_a_candidate_is_over_all_rows_that_it_was_scored_on() -> None:
    tried = params("Answer briefly.")
    first = replace(scored(tried, [1.0, 1.0], 2), rows=(0, 1))
    second = replace(scored(tried, [0.0, 0.0], 4), rows=(2, 3), origin="finalist")

    history = History.read(journal(first, second))

    assert [(one.rows, one.mean) for one in history.scorings] == [(2, 1.0), (4, 0.5)]
    assert history.candidates[tried.fingerprint].origin == "a try"


def test_a_search_of_many_candidates_on_many_rows_stays_a_small_page() -> None:
    tried = [params(f"Instruction {number}.") for number in range(120)]
    scores = [[float((row * 7 + number) % 3 == 0) for row in range(300)] for number in range(120)]
    events = journal(*(scored(one, scores[at], 300 * at) for at, one in enumerate(tried)))

    html = render(facts(tried[0], tried[1], events))

    assert len(html) < 400_000
    assert "The 30 best of 120 are shown" in html
