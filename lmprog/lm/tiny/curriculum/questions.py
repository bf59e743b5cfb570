"""Tasks on passages: extraction, answers in several styles, search queries for two hops, claims.

Each turn makes up its own entities, so that an answer can only be read, never known. A question in ordinary
punctuation is answered in ordinary punctuation.

With `held`, names and wordings of passages and questions are those that training never shows (see `world`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from lmprog.lm.tiny.curriculum.example import REASONING, Task, Turn
from lmprog.lm.tiny.curriculum.further import instructions
from lmprog.lm.tiny.curriculum.world import (
    KINDS,
    RELATIONS,
    Chain,
    Entity,
    Kind,
    another_value,
    entity,
    in_ordinary,
    passage,
    question,
    statement,
    two_hop,
)

NOT_FOUND = "not found"
SUPPORTED, REFUTED, UNKNOWN = "supported", "refuted", "not enough information"

AnswerStyle = Literal["short", "long", "wrap"]


@dataclass(frozen=True, slots=True)
class Punctuation:
    """Whether passages and question are in ordinary punctuation; None: each passage as it comes."""

    passages: bool | None
    question: bool

    def __call__(self, text: str) -> str:
        """Return a question or its answer in the punctuation of the question."""
        return in_ordinary(text) if self.question else text


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on one entity, and what there is to read, which may not answer it."""

    entities: Sequence[Entity]
    """Those with a passage, in order."""
    about: Entity
    relation: str
    question: str
    mark: Punctuation

    @property
    def told(self) -> bool:
        """Whether the passages tell the answer."""
        return self.about in self.entities and self.relation in self.about.facts


@dataclass(frozen=True, slots=True)
class Linked:
    """A question that needs two passages, and other entities to read about."""

    chain: Chain
    crowd: Sequence[Entity]
    question: str
    mark: Punctuation


def draw_asked(rng: Random, held: bool, told: bool = True, crowd: int | None = None) -> Asked:
    """Make up a question on one entity, and passages that tell the answer or do not."""
    mark = _punctuation(rng)
    about = entity(rng, held=held, ordinary=mark.passages)
    if told:
        relation, present = rng.choice(list(about.facts)), True
    else:
        untold = [relation for relation in RELATIONS[about.kind] if relation not in about.facts]
        present = bool(untold) and rng.random() < 0.5
        relation = rng.choice(untold if present else list(about.facts))
    count = _crowd_size(rng) if crowd is None else crowd
    count = count if present else max(count, 1)
    # A city's country is as good as told by what else is there: where nothing may tell it, nothing points to it.
    pointing = told or relation != "country"
    others = _crowd(rng, held, mark, [about], count, pointing=pointing)
    while not told and about.facts.get(relation, "\n") in _joined(others):
        others = _crowd(rng, held, mark, [about], count, pointing=False)
    entities = _shuffled(rng, [*others, about] if present else others)
    return Asked(entities, about, relation, mark(question(rng, about, relation, held)), mark)


def draw_linked(rng: Random, held: bool) -> Linked:
    """Make up a question that needs two passages, and other passages that do not help."""
    mark = _punctuation(rng)
    chain = two_hop(rng, held, ordinary=mark.passages)
    pointing = chain.relation != "country"
    crowd = _crowd(rng, held, mark, chain.entities, _crowd_size(rng), pointing=pointing)
    while chain.answer in _joined(crowd):
        crowd = _crowd(rng, held, mark, chain.entities, len(crowd), pointing=False)
    return Linked(chain, crowd, mark(chain.question), mark)


def _punctuation(rng: Random) -> Punctuation:
    passages, asked = rng.choices(((False, False), (True, True), (True, False), (None, False)), (80, 12, 4, 4))[0]
    return Punctuation(passages, asked)


def _crowd_size(rng: Random) -> int:
    """Return how many passages there are that do not help: up to 4, rarely so many that the prompt gets long."""
    return rng.choices((0, 1, 2, 3, 4, rng.randint(8, 22)), (20, 26, 22, 16, 12, 4))[0]


def _crowd(
    rng: Random, held: bool, mark: Punctuation, asked: Sequence[Entity], count: int, *, pointing: bool = True
) -> list[Entity]:
    """Make up other entities: any, of the kinds asked about, or such that their passages name one asked about."""
    made: list[Entity] = []
    while len(made) < count:
        chosen, how = rng.choice(asked), rng.random()
        pointers = POINTERS.get(chosen.kind, ())
        if pointing and pointers and how < 0.2:
            kind, relation = rng.choice(pointers)
            other = entity(rng, kind, held, fixed={relation: chosen.name}, ordinary=mark.passages)
        else:
            other = entity(rng, chosen.kind if how < 0.6 else None, held, ordinary=mark.passages)
        names = [each.name for each in [*asked, *made]]
        if other.name not in names and not any(other.name in passage(each) for each in asked):
            made.append(other)
    return made


def _pointers(kind: Kind) -> Sequence[tuple[Kind, str]]:
    """Return the relations that lead to a kind, except that of spouses, which is told of both."""
    return [
        (other, key)
        for other in KINDS
        for key, relation in RELATIONS[other].items()
        if relation.leads == kind and key != "spouse"
    ]


POINTERS: Mapping[Kind, Sequence[tuple[Kind, str]]] = {kind: found for kind in KINDS if (found := _pointers(kind))}


def _joined(entities: Sequence[Entity]) -> str:
    return " ".join(passage(each) for each in entities) or "none"


def _shuffled(rng: Random, entities: Sequence[Entity]) -> list[Entity]:
    return rng.sample(entities, len(entities))


def _styled(style: AnswerStyle, answer: str, sentence: str, mark: Punctuation) -> str:
    match style:
        case "short":
            return answer
        case "long":
            return mark(sentence)
        case "wrap":
            return mark(f"The answer is {answer} .")


def _qa(style: AnswerStyle) -> Callable[[Random, bool], Turn]:
    def draw(rng: Random, held: bool) -> Turn:
        asked = draw_asked(rng, held)
        sentence = statement(asked.about, asked.relation)
        return Turn(
            {"passages": _joined(asked.entities), "question": asked.question},
            {
                REASONING: asked.mark(sentence),
                "answer": _styled(style, asked.about.facts[asked.relation], sentence, asked.mark),
            },
        )

    return draw


def _qa_not_there(rng: Random, held: bool) -> Turn:
    asked = draw_asked(rng, held, told=rng.random() < 0.5)
    reasoning = statement(asked.about, asked.relation) if asked.told else "The passages do not tell it ."
    return Turn(
        {"passages": _joined(asked.entities), "question": asked.question},
        {
            REASONING: asked.mark(reasoning),
            "answer": asked.about.facts[asked.relation] if asked.told else NOT_FOUND,
        },
    )


def _hop(style: AnswerStyle) -> Callable[[Random, bool], Turn]:
    def draw(rng: Random, held: bool) -> Turn:
        linked = draw_linked(rng, held)
        chain = linked.chain
        entities = _shuffled(rng, [*chain.entities, *linked.crowd])
        return Turn(
            {"passages": _joined(entities), "question": linked.question},
            {
                REASONING: linked.mark(" ".join(chain.steps)),
                "answer": _styled(style, chain.answer, chain.steps[1], linked.mark),
            },
        )

    return draw


def _hop_not_there(rng: Random, held: bool) -> Turn:
    linked = draw_linked(rng, held)
    chain = linked.chain
    told = rng.random() < 0.5
    known = chain.entities if told else chain.entities[:1]
    steps = " ".join(chain.steps) if told else f"{chain.steps[0]} The passages tell no more ."
    return Turn(
        {"passages": _joined(_shuffled(rng, [*known, *linked.crowd])), "question": linked.question},
        {REASONING: linked.mark(steps), "answer": chain.answer if told else NOT_FOUND},
    )


def _next_search(rng: Random, linked: Linked) -> tuple[Sequence[Entity], str, str]:
    """Return what was found so far, what that tells, and whom to look up next."""
    first, second = linked.chain.entities
    if rng.random() < 0.38:
        return (linked.crowd if rng.random() < 0.15 else ()), "Nothing is known yet .", first.name
    return _shuffled(rng, [first, *linked.crowd]), linked.chain.steps[0], second.name


def _hop_query(rng: Random, held: bool) -> Turn:
    linked = draw_linked(rng, held)
    found, known, query = _next_search(rng, linked)
    return Turn(
        {"passages": _joined(found), "question": linked.question},
        {REASONING: linked.mark(known), "query": query},
    )


def _query_copy(rng: Random, held: bool) -> Turn:
    linked = draw_linked(rng, held)
    found = linked.chain.entities[: rng.choice((0, 0, 1, 1, 2))]
    return Turn({"passages": _joined(found), "question": linked.question}, {"query": linked.question})


def _hop_done(rng: Random, held: bool) -> Turn:
    linked = draw_linked(rng, held)
    chain = linked.chain
    known = rng.choices((0, 1, 2), (12, 38, 50))[0]
    found = _shuffled(rng, [*chain.entities[:known], *linked.crowd])
    reasoning = " ".join(chain.steps[:known]) or "Nothing is known yet ."
    return Turn(
        {"passages": _joined(found), "question": linked.question},
        {REASONING: linked.mark(reasoning), "answer": "yes" if known == 2 else "no"},
    )


def _pick(rng: Random, held: bool) -> Turn:
    asked = draw_asked(rng, held, crowd=rng.choices((1, 2, 3, 4, 7), (30, 35, 20, 10, 5))[0])
    numbered = " ".join(f"[{place}] {passage(each)}" for place, each in enumerate(asked.entities, 1))
    return Turn(
        {"passages": numbered, "question": asked.question},
        {"answer": str(asked.entities.index(asked.about) + 1)},
    )


def _relevant(rng: Random, held: bool) -> Turn:
    helps = rng.random() < 0.5
    asked = draw_asked(rng, held, told=helps, crowd=0)
    return Turn(
        {"passages": _joined(asked.entities), "question": asked.question},
        {"answer": "yes" if helps else "no"},
    )


def _verify(rng: Random, held: bool) -> Turn:
    verdict = rng.choice((SUPPORTED, REFUTED, UNKNOWN))
    return (_verify_one if rng.random() < 0.5 else _verify_two)(rng, held, verdict)


def _verify_one(rng: Random, held: bool, verdict: str) -> Turn:
    asked = draw_asked(rng, held, told=verdict != UNKNOWN)
    true = asked.about.facts.get(asked.relation)
    value = true if verdict == SUPPORTED else another_value(rng, asked.about, asked.relation, held)
    evidence = statement(asked.about, asked.relation) if asked.told else "The passages do not tell it ."
    return Turn(
        {"passages": _joined(asked.entities), "claim": asked.mark(statement(asked.about, asked.relation, value))},
        {REASONING: asked.mark(evidence), "answer": verdict},
    )


def _verify_two(rng: Random, held: bool, verdict: str) -> Turn:
    linked = draw_linked(rng, held)
    chain = linked.chain
    claim = chain.claim()
    if verdict == REFUTED or (verdict == UNKNOWN and rng.random() < 0.5):
        claim = _with_another(rng, chain, held)
    known = chain.entities if verdict != UNKNOWN else chain.entities[:1]
    steps = " ".join(chain.steps) if verdict != UNKNOWN else f"{chain.steps[0]} The passages tell no more ."
    return Turn(
        {"passages": _joined(_shuffled(rng, [*known, *linked.crowd])), "claim": linked.mark(claim)},
        {REASONING: linked.mark(steps), "answer": verdict},
    )


def _with_another(rng: Random, chain: Chain, held: bool) -> str:
    """Return the chain's claim with a wrong value."""
    return chain.claim(another_value(rng, chain.entities[1], chain.relation, held))


def _claim_query(rng: Random, held: bool) -> Turn:
    linked = draw_linked(rng, held)
    found, known, query = _next_search(rng, linked)
    claim = linked.chain.claim() if rng.random() < 0.6 else _with_another(rng, linked.chain, held)
    return Turn(
        {"passages": _joined(found), "claim": linked.mark(claim)},
        {REASONING: linked.mark(known), "query": query},
    )


def _extract(kind: Kind, relation: str) -> Callable[[Random, bool], Turn]:
    def draw(rng: Random, held: bool) -> Turn:
        value = RELATIONS[kind][relation].value(rng, held)
        about = entity(rng, kind, held, fixed={relation: value})
        return Turn({"text": passage(about)}, {"answer": value})

    return draw


def _extract_name(rng: Random, held: bool) -> Turn:
    about = entity(rng, held=held)
    return Turn({"text": passage(about)}, {"answer": about.name})


def _extraction(name: str, nouns: Sequence[str], draw: Callable[[Random, bool], Turn], weight: float) -> Task:
    short, longer, full = nouns
    return Task(
        name,
        "ex",
        draw,
        precise=(
            f"Extract {short} from the passage.",
            f"Find {longer}.",
            f"Return {full}.",
            f"Give {short}.",
            f"Write {longer} found in the text.",
            f"Extract {full}.",
            f"Tell {short} mentioned in the passage.",
            f"Read the text and write {full}.",
            f"From the passage, copy {longer}.",
        ),
        held=(
            f"All that is wanted from this text is {short}.",
            f"Look through the passage for {longer} and reply with it.",
            f"The output is {full}, as the text says it.",
        ),
        weight=weight,
        further=tuple(wording.format(short=short, longer=longer, full=full) for wording in instructions("ex")),
    )


def _extractions() -> list[Task]:
    """Return one task for the subject's name and one for each relation of each kind."""
    subject = ("the name", "the name of the subject", "who or what the passage is about")
    tasks = [_extraction("ex_name", subject, _extract_name, 0.3)]
    for kind, relations in RELATIONS.items():
        for key, relation in relations.items():
            known = _EXTRACTED.get((kind, key))
            name, weight = (known, 0.2) if known else (f"ex_{kind}_{key}", 0.1)
            tasks.append(_extraction(name, relation.nouns, _extract(kind, key), weight))
    return tasks


_EXTRACTED: Mapping[tuple[Kind, str], str] = {
    ("person", "birthplace"): "ex_birthplace",
    ("person", "job"): "ex_job",
    ("person", "born"): "ex_birth",
    ("city", "country"): "ex_country",
    ("city", "founded"): "ex_cfounded",
    ("city", "river"): "ex_river",
    ("work", "creator"): "ex_creator",
    ("work", "year"): "ex_year",
    ("work", "genre"): "ex_kind",
    ("company", "founder"): "ex_founder",
    ("company", "seat"): "ex_seat",
    ("company", "industry"): "ex_industry",
}
"""The short names of common ones."""

SHORT = (
    "Answer the question with a short phrase.",
    "Give only the short answer.",
    "Answer in a few words, copied from the passage.",
    "Reply with just the name or number asked for.",
    "Answer with the shortest possible answer.",
    "Write a short answer to the question.",
    "Read the passage and give a brief answer.",
    "Use the context to answer with a short fact.",
    "Answer the question from the passages in a few words.",
)
SHORT_HELD = (
    "Keep the reply to the bare name, number or word that the passages state.",
    "A brief reply is enough: only what was asked for, no sentence.",
    "In as few words as you can, say what the question asks for.",
)
LONG = (
    "Answer the question with a full sentence.",
    "Write a complete sentence that answers the question.",
    "Reply in a full sentence.",
    "Answer in one whole sentence.",
    "Give the answer as a full sentence.",
    "Use the passages to answer in a complete sentence.",
    "Read the passage and answer with a whole sentence.",
    "State the answer in a sentence of its own.",
)
LONG_HELD = (
    "The reply should be one complete sentence, not just a name.",
    "Instead of a single word, write a sentence with subject and verb that answers the question.",
    "When you answer, use a full sentence.",
)
WRAP = (
    "Begin with the words The answer is.",
    "Answer in the form : The answer is X .",
    "Start your reply with The answer is.",
    "Write The answer is and then the answer.",
    "Answer the question, beginning with The answer is.",
    "Put the words The answer is before the answer.",
    "Read the passages and reply with The answer is and the short answer.",
)
WRAP_HELD = (
    "The first three words of the reply must be The answer is, then comes the fact.",
    "Say : The answer is, followed by what the question asks for.",
    "Each reply opens with The answer is.",
)
NOT_THERE = (
    "Answer in a few words, or write not found when the passages do not tell.",
    "Give the short answer. If the passages do not have it, write not found.",
    "Answer with a short phrase, or not found if the answer is not there.",
    "Write the short answer, or not found when it is missing.",
    "If the passages answer the question, give the short answer, otherwise write not found.",
    "Reply with the name or number asked for, or with not found.",
    "Say not found if the passages do not tell, else answer briefly.",
)
NOT_THERE_HELD = (
    "Whenever the passages lack the answer, the reply is not found; otherwise it is the short answer.",
    "Only state what the passages tell, in a few words; for anything else the reply is not found.",
    "Not every question can be answered from the passages: give the fact, or not found.",
)
QUERY = (
    "Write the next search query: the name of the thing to look up next.",
    "Give the name that must be searched next to answer the question.",
    "Write a search query with only the name of the missing entity.",
    "Given the passages found so far, name the entity to search for.",
    "Name the next entity to look up.",
    "Produce the next search query, which is the name to look up.",
    "Which name should be searched next ? Write only the name.",
    "Write the name of the person, place or thing whose passage is still missing.",
)
QUERY_HELD = (
    "Look at what is known, then write whose name the next search is for.",
    "The query is one name: that of the entity about which a passage is needed now.",
    "To get closer to the answer, one more name has to be searched. Write that name.",
)
CLAIM_QUERY = (
    "Write the next search query to check the claim: the name of the thing to look up next.",
    "Give the name that must be searched next to verify the claim.",
    "Name the next entity to look up for the claim.",
    "To check the claim, write the name of the missing entity.",
    "Given the passages found so far, name the entity to search for to judge the claim.",
    "Write a query, only a name, that helps to verify the claim.",
    "Which name should be searched next to check the claim ?",
)
CLAIM_QUERY_HELD = (
    "Before the claim can be judged, one more name has to be searched. Write that name.",
    "Look at what is known about the claim, then write whose name the next search is for.",
    "For fact checking, the query is the name of the entity about which a passage is needed now.",
)
COPY = (
    "Write the question as a search query.",
    "Use the question itself as the query.",
    "Copy the question as the query.",
    "Return the question unchanged.",
    "Repeat the question word for word.",
    "Search for the exact question.",
)
COPY_HELD = (
    "The query should be the same as the question.",
    "Without changing a word, pass the question on as the query.",
    "Whatever was asked is also what to search for, word for word.",
)
DONE = (
    "Say yes if the passages are enough to answer the question and no if not.",
    "Are the passages enough to answer the question ? Answer yes or no.",
    "Answer yes when all that is needed is known, else no.",
    "Decide if the search is done: yes or no.",
    "Write no if another search is needed to answer the question, otherwise yes.",
    "Can the question be answered from what was found ? Write yes or no.",
    "Judge whether the passages tell all that the question needs, yes or no.",
)
DONE_HELD = (
    "If anything needed for the answer is still missing, the reply is no, and otherwise yes.",
    "With yes or no, tell whether one could stop searching now.",
    "The reply is yes only where nothing more has to be looked up.",
)
PICK = (
    "Give the number of the passage that answers the question.",
    "Which passage contains the answer ? Write its number.",
    "Pick the passage that helps to answer the question.",
    "Return the number of the relevant passage.",
    "Choose the passage about the subject of the question.",
    "Write the number of the passage with the answer.",
    "Select the passage that tells what the question asks.",
    "Find the passage that has the answer and give its number.",
)
PICK_HELD = (
    "One of the numbered passages has the answer; reply with its number.",
    "Reply with the number in brackets that stands before the passage one has to read.",
    "The answer stands in only one of the passages. State which, by number.",
)
RELEVANT = (
    "Say yes if the passage helps to answer the question and no if not.",
    "Does the passage answer the question ? Answer yes or no.",
    "Is the passage relevant to the question, yes or no ?",
    "Answer yes when the passage tells what is asked, else no.",
    "Decide if the passage contains the answer: yes or no.",
    "Judge whether the passage is useful for the question, yes or no.",
    "Write no if the passage does not have the answer, otherwise yes.",
)
RELEVANT_HELD = (
    "With yes or no, tell whether one learns the answer from this passage.",
    "The reply is yes only where the passage tells what was asked, and otherwise no.",
    "A passage that does not help gets no, one that does gets yes.",
)
VERIFY = (
    "Say whether the claim is supported, refuted or not enough information.",
    "Check the claim against the passages: supported, refuted or not enough information.",
    "Label the claim as supported, refuted or not enough information.",
    "Is the claim supported or refuted by the passages, or is there not enough information ?",
    "Verify the claim. Answer supported, refuted or not enough information.",
    "Write supported if the passages agree with the claim, refuted if they tell otherwise, else not enough information.",
    "Judge the claim by the passages, with supported, refuted or not enough information.",
)
VERIFY_HELD = (
    "A claim that the passages confirm is supported, one they contradict is refuted, any other is not enough information.",
    "What do the passages say of the claim: supported, refuted, or not enough information ?",
    "Act as a fact checker who replies supported, refuted or not enough information.",
)

_CLAIM = {"claim": ("claim", "statement", "hypothesis")}

# Which style an answer has is what a vague instruction leaves open. So that short is not the sure guess, the styles
# come up as 1 : 0.8 : 0.6.
TASKS: Sequence[Task] = (
    Task("qa_short", "qa", _qa("short"), SHORT, SHORT_HELD, weight=1.4, large=True),
    Task("qa_long", "qa", _qa("long"), LONG, LONG_HELD, weight=1.12, large=True),
    Task("qa_wrap", "qa", _qa("wrap"), WRAP, WRAP_HELD, weight=0.84, large=True),
    Task("qa_not_there", "qa", _qa_not_there, NOT_THERE, NOT_THERE_HELD, weight=0.6, large=True),
    *_extractions(),
    Task("pick", "pick", _pick, PICK, PICK_HELD, weight=1.0, large=True),
    Task("relevant", "pick", _relevant, RELEVANT, RELEVANT_HELD, weight=0.6, labels=("yes", "no"), large=True),
    Task("hop_query", "hop", _hop_query, QUERY, QUERY_HELD, weight=2.5, large=True),
    Task("hop_answer", "hop", _hop("short"), SHORT, SHORT_HELD, weight=2.0, large=True),
    Task("hop_long", "hop", _hop("long"), LONG, LONG_HELD, weight=1.6, large=True),
    Task("hop_wrap", "hop", _hop("wrap"), WRAP, WRAP_HELD, weight=1.2, large=True),
    Task("hop_not_there", "hop", _hop_not_there, NOT_THERE, NOT_THERE_HELD, weight=0.5, large=True),
    Task("hop_done", "hop", _hop_done, DONE, DONE_HELD, weight=0.5, labels=("yes", "no"), large=True),
    Task("query_copy", "hop", _query_copy, COPY, COPY_HELD, weight=0.2, large=True),
    Task(
        "verify", "claim", _verify, VERIFY, VERIFY_HELD,
        weight=0.8, labels=(SUPPORTED, REFUTED, UNKNOWN), names=_CLAIM, large=True,
    ),
    Task("claim_query", "claim", _claim_query, CLAIM_QUERY, CLAIM_QUERY_HELD, weight=0.5, names=_CLAIM, large=True),
)  # fmt: skip
