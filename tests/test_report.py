"""The report page: complete, safe, self-contained and the same for equal facts."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmprog as lp
from lmprog import loop
from lmprog.certificate import Certificate, Shipped, Split
from lmprog.events import Event, IncumbentChanged, StageEnded, Stopped
from lmprog.formats import prepare
from lmprog.metrics import exact_match
from lmprog.module import params_of
from lmprog.optimizer import named
from lmprog.params import PredictorParams
from lmprog.report import Clock, Facts, render
from lmprog.report.effects import Contrast, contrasts, options
from lmprog.report.headline import resolvable
from lmprog.report.history import History
from lmprog.report.lineage import ascent, families
from lmprog.report.style import DARK, LIGHT, STYLE
from lmprog.report.wording import compared, merged, shortened
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


def journal(*events: Event | dict[str, Any]) -> list[dict[str, Any]]:
    """Events as the run directory holds them; those of `scored` are written out already."""
    file = io.StringIO()
    write = Journal(file)
    for event in events:
        if isinstance(event, dict):
            file.write(json.dumps(event) + "\n")
        else:
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
    **more: Any,
) -> Facts:
    before = before or params("Answer.")
    return Facts(title, proof or certificate(), before, after or before, events, stopped, **more)


def scored(
    of: lp.Params,
    scores: Sequence[float],
    requested: int,
    origin: str = "a try",
    *,
    rows: Sequence[int] | None = None,
    parents: Sequence[lp.Params] = (),
    on: str = "val",
    failures: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """A CandidateScored event as the journal holds it."""
    return {
        "event": "CandidateScored",
        "round": 1,
        "candidate": of.fingerprint,
        "parents": [parent.fingerprint for parent in parents],
        "params": json.loads(of.to_json(None)),
        "rows": list(range(len(scores)) if rows is None else rows),
        "scores": list(scores),
        "requested": requested,
        "origin": origin,
        "on": on,
        "failures": {str(row): reason for row, reason in (failures or {}).items()},
    }


class Page(HTMLParser):
    """Reads a page, and fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.unboxed: list[str] = []
        """What may be wide and stands in no box that scrolls: tables, and pictures of a width of their own."""
        self.headings: list[int] = []
        self.words: list[str] = []
        self._boxes: list[bool] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        own = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if (tag == "table" or "width:" in (own.get("style") or "")) and not any(self._boxes):
            self.unboxed.append(tag)
        if tag not in VOID:
            self.open.append(tag)
            self._boxes.append("scroll" in (own.get("class") or "").split())

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag
        self._boxes.pop()

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
    """Answer better with demos or a written instruction; as a proposer write one that no other sample has."""
    if asked.outputs != ("answer",) or "question" not in asked.inputs:
        return dict.fromkeys(asked.outputs, f"Reply with the number, attempt {asked.request.sample}.")
    number = int(asked.inputs["question"][1:])
    helped = asked.demos or "number" in asked.instruction
    return {"answer": str(number) if number % 2 or (helped and number % 3) else "?"}


SEARCHED = [
    "bootstrap-random-search:candidates=3",
    "mipro:candidates=3",
    "gepa:attempts=6",
    "opro",
    "protegi:rounds=2,beam=2",
    "ape:subsamples=2,proposals=4",
    "bootstrap -> opro",
]


def searched_with(spec: str) -> Facts:
    """A real search, written to a journal and read back."""
    rows = [{"question": f"q{i}", "answer": str(i)} for i in range(60)]
    lm, events = ScriptedLM(better_with_demos), list[Event]()
    problem = problem_for(Program(), rows[:20], rows[20:], exact_match("answer"), lm, calls=800)
    problem = replace(problem, emit=events.append)
    start = params_of(problem.program)
    outcome = loop.run(named(spec).search(problem, start), instead="")
    return facts(start, outcome.params, journal(*events), stopped=outcome.stopped)


@pytest.fixture(scope="module")
def searched() -> Facts:
    return searched_with(SEARCHED[0])


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
    html = render(searched, Clock(1.0, 2, {"task": 0.5}))
    page = Page(html)

    assert not {"script", "link", "img", "iframe", "object", "use"} & set(page.tags)
    assert not {"src", "srcset", "xlink:href"} & {name for name, _ in page.attributes}
    assert all(value and value.startswith("#") for name, value in page.attributes if name == "href")
    assert not re.search(r"https?://|@import|url\(", html)
    assert any(value and value.startswith("default-src 'none'") for name, value in page.attributes if name == "content")


def test_equal_facts_give_equal_pages(searched: Facts) -> None:
    again = replace(searched, events=json.loads(json.dumps(searched.events)))

    assert render(searched) == render(again)


def test_what_depends_on_the_clock_is_shown_only_with_a_clock() -> None:
    without, having = Page(render(facts())).text, Page(render(facts(), Clock(412.345, 2663, {"task": 0.0831}))).text

    assert "412.3" in having and "2,663" in having and "$0.0831" in having
    assert not re.search(r"seconds|USD|calls sent|\$", without)


def page_full_of(text: str) -> Page:
    """A page with the text in every place that a user, an LM or a data set can fill."""
    demo = lp.Demo(inputs={text: text, "list": [text, text]}, outputs={"answer": {text: text}})
    before = lp.Params({text: PredictorParams(instruction="Answer.")})
    after = before.replace(text, instruction=text, demos=(demo,), field_descriptions={text: text})
    events = journal(
        scored(before, [0.0, 1.0], 4, origin=text),
        scored(after, [1.0, 0.5], 8, origin=text, parents=[before], failures={1: text}),
        IncumbentChanged(after.fingerprint, 0.75, 8),
        StageEnded(text, {text: text}, 8),
        Stopped(text, 9),
    )
    proof = replace(certificate(), splits={text: Split(1, text)}, requested={text: 1}, tokens={text: 1})
    proof = replace(proof, failed={"baseline": 1, "compiled": 0})
    failed: dict[Shipped, dict[int, str]] = {"baseline": {3: text}}
    known = facts(before, after, events, title=text, proof=proof, stopped=text, failures=failed)
    return Page(render(known, Clock(1.0, 2, {text: 0.5})))


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

    assert re.search(r"#0.*best.*ships", page.text)
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


@pytest.mark.parametrize(
    ("tried", "stopped", "said"),
    [
        (
            [],
            "the budget was spent",
            "No other candidate was scored: the budget was spent. Give a larger budget, or fewer",
        ),
        ([], "the search was finished", "scored: the search was finished. Try another optimizer, such as auto."),
        (
            [0.0, 0.0],
            "",
            "The one candidate tried scored no better on the validation rows. So the program ships as it was.",
        ),
    ],
)
def test_a_search_that_found_nothing_says_so(tried: list[float], stopped: str, said: str) -> None:
    before = params("Answer.")
    others = [scored(params("Answer briefly."), tried, 4)] if tried else []
    ended = Stopped(stopped, 2)
    events = journal(scored(before, [0.0, 1.0], 2), IncumbentChanged(before.fingerprint, 0.5, 2), *others, ended)

    page = Page(render(facts(before, before, events, proof=certificate(0.0, 0.0, "baseline"))))

    assert said in page.text
    assert "So the program ships as it was." in page.text


UNREAD = "`answer`: the field `answer` is missing. The reply was:\nI cannot help with that."


def unread(reason: str) -> list[dict[str, Any]]:
    """Two rows whose replies no one could read, and then the budget was spent."""
    start = params("Answer.")
    scores = scored(start, [0.0, 0.0], 4, failures={0: reason, 1: reason})
    return journal(scores, IncumbentChanged(start.fingerprint, 0.0, 4), Stopped("the budget was spent", 4))


def test_where_no_reply_could_be_read_the_page_shows_one_and_asks_for_no_larger_budget() -> None:
    page = Page(render(facts(events=unread(UNREAD + " No." * 200), proof=certificate(0.0, 0.0, "baseline"))))

    assert (
        "Not one of 2 runs of the program as it is gave a prediction (the first: `answer`: the field `answer` is missing. "
        "The reply was: I cannot help with that. No. No." in page.text
    )
    assert "Give a larger budget" not in page.text


def test_without_rows_such_a_reply_is_not_shown() -> None:
    known = facts(events=unread(UNREAD), proof=certificate(0.0, 0.0, "baseline"))

    text = Page(render(replace(known, rows=False))).text

    assert "Not one of 2 runs of the program as it is gave a prediction. Call it once" in text
    assert "I cannot help" not in text
    assert "the reply did not hold the outputs asked for" in text


@pytest.mark.parametrize(("gain", "flatters"), [(0.25, True), (0.0, False), (-0.1, False)])
def test_a_gain_on_rows_that_were_used_before_may_flatter_and_none_may_not(gain: float, flatters: bool) -> None:
    proof = replace(certificate(gain, -0.2, "compiled" if gain > 0 else "baseline"), opened_before=2)

    text = Page(render(facts(proof=proof))).text

    assert "the holdout was used by 2 other runs before" in str(proof)
    assert ("this gain may flatter" in str(proof)) == flatters
    assert "2 other runs looked at these holdout rows before" in text
    assert ("the gain may flatter: prove it on fresh rows" in text) == flatters


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
    first = scored(tried, [1.0, 1.0], 2)
    second = scored(tried, [0.0, 0.0], 4, "finalist", rows=(2, 3))

    history = History.read(journal(first, second))

    assert [(one.rows, one.mean) for one in history.scorings] == [(2, 1.0), (4, 0.5)]
    assert history.candidates[tried.fingerprint].origin == "a try"


@given(before=st.text("ab .\n"), after=st.text("ab .\n"))
@settings(deadline=None, max_examples=100)
def test_one_text_that_shows_both_sides_holds_each_of_them(before: str, after: str) -> None:
    pieces = merged(before, after)

    assert "".join(text for side, text in pieces if side != "new") == before
    assert "".join(text for side, text in pieces if side != "old") == after


def test_long_unchanged_stretches_are_shortened_to_what_stands_around_a_change() -> None:
    before = "word " * 80 + "old" + " word" * 80
    pieces = shortened(merged(before, before.replace("old", "new")), around=20, most=100)

    assert [side for side, _ in pieces] == ["same", "old", "new", "same"]
    assert sum(len(text) for _, text in pieces) < 60
    assert pieces[1][1].strip() == "old" and pieces[2][1].strip() == "new"


def lineage() -> tuple[list[lp.Params], list[dict[str, Any]]]:
    """A program, two children of it, a grandchild and a crossover of grandchild and second child, which leads."""
    texts = ["Answer.", "Answer briefly.", "Answer in words.", "Answer briefly, in words.", "Answer in few words."]
    tried = [params(text) for text in texts]
    start, first, second, third, last = tried
    origin = f"crossover of {third.fingerprint} and {second.fingerprint}"
    return tried, journal(
        scored(start, [0.0, 0.0, 1.0, 0.0], 4, "the program as it was"),
        IncumbentChanged(start.fingerprint, 0.25, 4),
        scored(first, [1.0, 0.0], 8, "`answer`, reflection 1", parents=[start], rows=[0, 1]),
        scored(second, [0.0, 0.0, 0.0, 0.0], 12, "`answer`, reflection 2", parents=[start]),
        scored(third, [1.0, 0.0, 1.0, 0.0], 16, "`answer`, reflection 3", parents=[first]),
        scored(last, [1.0, 1.0, 1.0, 0.0], 20, origin, parents=[third, second]),
        IncumbentChanged(last.fingerprint, 0.75, 20),
        Stopped("the budget was spent", 20),
    )


def test_the_tree_tells_who_came_from_whom_and_what_the_step_gained() -> None:
    tried, events = lineage()

    text = Page(render(facts(tried[0], tried[-1], events))).text

    assert "How #4, the best, came about" in text
    assert "from #3 and #2 · +0.25 on 4 shared rows · crossover of #3 and #2" in text
    assert "from #0 · +0.50 on 2 shared rows · answer, reflection 1" in text


def test_the_way_to_a_candidate_is_by_the_nearest_parents() -> None:
    _, events = lineage()
    history = History.read(events)

    assert [one.number for one in ascent(history, history.ranked()[0])] == [0, 1, 3, 4]
    assert [[place.candidate.number for place in family.places] for family in families(history)] == [[0, 1, 3, 4, 2]]


def test_a_single_parent_as_older_journals_tell_it_is_read_too() -> None:
    before, after = params("Answer."), params("Answer briefly.")
    old = scored(after, [1.0], 2)
    del old["parents"], old["on"], old["failures"]

    history = History.read(journal(scored(before, [0.0], 1), {**old, "parent": before.fingerprint}))

    assert history.candidates[after.fingerprint].parents == (before.fingerprint,)


def test_a_parent_that_was_never_scored_or_came_later_is_no_parent() -> None:
    before, after = params("Answer."), params("Answer briefly.")
    events = journal(
        scored(before, [0.0], 1, parents=[before, params("Unheard.")]),
        scored(after, [1.0], 2, parents=[before]),
        scored(before, [0.0], 3, parents=[after]),
    )

    candidates = History.read(events).candidates

    assert candidates[before.fingerprint].parents == ()
    assert candidates[after.fingerprint].parents == (before.fingerprint,)


def test_where_no_parents_are_told_candidates_are_grouped_by_how_they_came_about() -> None:
    start = params("Answer.")
    sets = [params("Answer.", lp.Demo(inputs={"question": f"q{i}"}, outputs={"answer": f"a{i}"})) for i in range(3)]
    tries = [scored(one, [1.0, float(i)], 4 + 2 * i, f"demo set {i}") for i, one in enumerate(sets[:2])]
    events = journal(
        scored(start, [0.0, 0.0], 2, "the program as it was"), *tries, scored(sets[2], [1.0, 0.0], 9, "labelled")
    )

    found = families(History.read(events))

    assert [(family.origin, [place.candidate.number for place in family.places]) for family in found] == [
        ("the program as it was", [0]),
        ("demo set …", [2, 1]),
        ("labelled", [3]),
    ]
    assert "grouped by how they came about" in Page(render(facts(start, sets[1], events))).text


def test_a_line_of_a_thousand_generations_is_drawn() -> None:
    tried = [params(f"Answer, version {number}.") for number in range(1100)]  # Python recurses no deeper than 1000
    children = [scored(child, [0.5], 2, parents=[parent]) for parent, child in pairwise(tried)]
    history = History.read([scored(tried[0], [0.0], 1), *children])

    (family,) = families(history)

    assert [place.candidate.number for place in family.places] == list(range(1100))
    assert {place.level for place in family.places} == {0}  # an only child is not indented
    assert len(ascent(history, family.places[-1].candidate)) == 1100


def test_of_a_long_way_to_the_best_the_steps_between_are_folded() -> None:
    tried = [params(f"Answer, version {number}.") for number in range(20)]
    children = [scored(child, [0.5], 2, parents=[parent]) for parent, child in pairwise(tried)]
    lead = journal(IncumbentChanged(tried[-1].fingerprint, 0.5, 2))

    html = render(facts(tried[0], tried[-1], [scored(tried[0], [0.0], 1), *children, *lead]))

    assert "11 steps between" in Page(html).text


def test_scores_on_training_rows_are_no_validation_scores() -> None:
    start, rejected = params("Answer."), params("Answer briefly.")
    events = journal(
        scored(start, [1.0, 1.0, 1.0], 3),
        scored(start, [0.0, 0.0], 5, on="train", rows=[7, 9]),
        scored(rejected, [1.0, 0.0], 7, parents=[start], on="train", rows=[7, 9]),
    )
    history = History.read(events)

    assert history.table.rows == 3 and history.table.mean(start.fingerprint) == 1.0
    assert history.trained[rejected.fingerprint] == {7: 1.0, 9: 0.0}
    assert [one.number for one in history.ranked()] == [0]
    assert "0.502 training" in Page(render(facts(start, start, events))).text


def test_demos_are_counted_and_shown_once() -> None:
    demo = lp.Demo(inputs={"question": "what is shown?"}, outputs={"answer": "a demo"})
    start, first, second = params("Answer."), params("Answer.", demo), params("Answer briefly.", demo)
    events = journal(scored(start, [0.0], 1), scored(first, [1.0], 2), scored(second, [1.0], 3))

    text = Page(render(facts(start, start, events))).text

    assert text.count("1 demo") >= 2
    assert "The same as those of #1." in text


def test_what_a_change_of_one_part_alone_did_is_told_on_the_rows_that_both_ran_on() -> None:
    start, briefly, words = params("Answer."), params("Answer briefly."), params("Answer in words.")
    events = journal(
        scored(start, [0.0] * 12, 12), scored(briefly, [1.0] * 6 + [0.0] * 6, 24), scored(words, [1.0] * 5, 29)
    )

    found = contrasts(History.read(events), start, "answer", "instruction")

    assert found == [Contrast(0.5, 12)]  # the third shares 5 rows with the first, too few to tell


def test_instructions_that_begin_alike_are_named_from_where_they_part() -> None:
    base = "Say " + "again and " * 20
    known = [(params(base + "loudly."), 0.5), (params(base + "softly."), 0.7), (params("Sing."), 0.1)]

    assert [option.words for option in options("answer", "instruction", known).values()] == [
        "… loudly.",
        "… softly.",
        "Sing.",
    ]


FAILURES: dict[Shipped, dict[int, str]] = {
    "baseline": {
        3: "the reply does not hold the outputs asked for: the field `answer` is missing.",
        8: "the reply does not hold the outputs asked for: the field `answer` is missing.",
        5: "ValueError: no city called Zanzibar",
    },
    "compiled": {},
}


def test_failures_are_told_by_reason_with_their_rows() -> None:
    proof = replace(certificate(), failed={"baseline": 3, "compiled": 0})
    start = params("Answer.")
    events = journal(scored(start, [0.0, 1.0], 2, failures={0: "KeyError: 'x'"}))

    text = Page(render(facts(start, start, events, proof=proof, failures=FAILURES))).text

    assert (
        "On the holdout 3 of 36 rows gave no prediction under the program as it was, 0 under the compiled one" in text
    )
    assert "baseline2the reply does not hold the outputs asked for: the field `answer` is missing.3, 8" in text
    assert "In the search 1 run of 1 candidate gave no prediction" in text
    assert "1KeyError: 'x'0" in text


def test_without_rows_nothing_that_stands_in_one_is_on_the_page() -> None:
    demo = lp.Demo(inputs={"question": "Zanzibar?"}, outputs={"answer": "Zanzibar"})
    start, after = params("Answer."), params("Answer briefly.", demo)
    events = journal(
        scored(
            start, [0.0, 1.0], 2, failures={0: "the reply does not hold the outputs asked for: it says 'Zanzibar'."}
        ),
        scored(after, [1.0, 1.0], 4, failures={1: "Zanzibar: unheard of"}),
    )
    proof = replace(certificate(), failed={"baseline": 3, "compiled": 0})
    known = facts(start, after, events, proof=proof, failures=FAILURES, signatures={"answer": Ask})

    with_rows, without = render(known), render(replace(known, rows=False))

    assert with_rows.count("Zanzibar") >= 5
    assert "Zanzibar" not in without
    for words in (
        "the program's code raised ValueError",
        "the reply did not hold the outputs",
        "another reason",
        "1 demo",
    ):
        assert words in Page(without).text


def test_whole_prompts_are_shown_as_the_lm_gets_them() -> None:
    demo = lp.Demo(inputs={"question": "1 + 1"}, outputs={"answer": "2"})
    start, after = params("Answer."), params("Answer briefly.", demo)

    text = Page(render(facts(start, after, signatures={"answer": Ask}))).text

    for one in (start, after):
        for message in prepare(Ask, one["answer"]).render({})[:-1]:
            assert message.text in text
    assert "user: the row's question, in the same layout" in text


def test_cost_by_role_has_dollars_where_they_are_known() -> None:
    text = Page(render(facts(), Clock(1.0, 2, {"task": 1.2, "proposer": 0.05}))).text

    assert "rolerequested callssharetokensUSD" in text
    assert "task1,200 99%345,678$1.20" in text
    assert "all1,212 100%346,578$1.25" in text


def test_stages_stand_in_their_order_with_calls_and_facts() -> None:
    why = "the demo sets lie within one standard error of each other, so instructions come next"
    events = journal(
        StageEnded("probe", {"calls": 900}, 14),
        StageEnded("auto", {"chosen": "gepa", "why": why}, 114),
        Stopped("the budget was spent", 600),
        StageEnded("certificate", {"n": 36}, 700),
    )

    text = Page(render(facts(events=events))).text

    assert re.search(f"probe14 callscalls 900.*auto100 callschosen gepa.*why: {why}", text)
    assert "search486 callsthe budget was spentcertificate100 callsn 36" in text


def test_the_head_says_what_gain_the_rows_could_have_shown() -> None:
    even = replace(certificate(0.0, 0.0, "baseline"), interval=Interval(0.0, 0.0), n=400)

    assert resolvable(even) == pytest.approx(0.0694, abs=1e-4)  # sqrt(.25 * 7.849 / 407.849), 7.849 = (1.960 + .842)^2
    assert "400 rows like these tell a true gain of about 0.07 or more" in Page(render(facts(proof=even))).text


@pytest.mark.parametrize("spec", SEARCHED)
def test_a_real_search_of_any_optimizer_gives_a_whole_page(spec: str) -> None:
    known = searched_with(spec)

    page = Page(render(known, Clock(1.0, 2, {"task": 0.5})))

    history = History.read(known.events)
    assert len(history.candidates) > 1
    for one in history.candidates.values():
        assert f"#{one.number}" in page.text
    assert_readable(page)


def assert_readable(page: Page) -> None:
    """The structure that assistive technology and narrow screens need."""
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(page.headings))
    assert not page.unboxed
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {f"#{one}" for one in ids} >= {value for name, value in page.attributes if name == "href"}


def big_run(candidates: int = 300, rows: int = 1000) -> Facts:
    """A run of many candidates on many rows, with long instructions, demos, crossovers and failures."""
    start = params("Answer.")
    tried, events = [start], [scored(start, [0.0] * rows, 1)]
    for number in range(1, candidates):
        text = f"Instruction {number}. " + " ".join(f"w{(number * i) % 97}" for i in range(60))
        demos = [
            lp.Demo(inputs={"question": f"{number} {place} " + "long " * 200}, outputs={"answer": "x" * 300})
            for place in range(number % 5)
        ]
        tried.append(params(text, *demos))
        scores = [float((row * 7 + number) % 3 == 0) for row in range(rows)]
        failed = dict.fromkeys(range(number % 3), f"ValueError: {number} " + "why " * 100)
        parents = [tried[number // 2], tried[number // 3]]
        events.append(scored(tried[-1], scores, rows * number, f"try {number}", parents=parents, failures=failed))
    lead = IncumbentChanged(tried[-1].fingerprint, 0.4, rows * candidates)
    return facts(start, tried[-1], [*events, *journal(lead)], signatures={"answer": Ask})


def test_a_search_of_many_candidates_on_many_rows_stays_a_small_page() -> None:
    html = render(big_run())

    assert len(html) < 750_000
    page = Page(html)
    assert "The 30 best of 300 are shown" in page.text
    assert "Every row in 2 is shown" in page.text
    assert_readable(page)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_stand_out_from_what_they_stand_on(theme: str) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))

    pairs = [(ink, ground) for ink in ("ink", "soft", "accent", "good", "gone") for ground in ("ground", "card")]
    pairs += [("good", "good-soft"), ("warn", "warn-soft"), ("gone", "gone-soft")]
    assert {pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < AA} == set()


AA = 4.5
"""The least contrast ratio of text in WCAG 2.2, level AA."""


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2.2, from 1 to 21."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_style_lets_everything_shrink_to_a_narrow_screen() -> None:
    assert "overflow-wrap: anywhere" in STYLE
    for columns in re.findall(r"grid-template-columns: ([^;]+);", STYLE):
        assert not re.search(r"(?<!, )\b1fr", columns), columns  # a bare 1fr grows with what stands in it
