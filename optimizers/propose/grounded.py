"""Grounded proposals: an LM writes instructions from what is known about the program, its data and its demos.

MIPRO's proposer (Opsahl-Ong et al. 2024, arXiv:2406.11695, sec. 3.1): each proposal sees some of program source,
the step's role, a summary of the data, worked examples, the present instruction, what was tried and a tip. With examples
alone it is induction (Honovich et al. 2022, arXiv:2205.10782); with the instruction alone, a paraphrase.
"""

import inspect
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, cast, get_args

from lmprog import loop
from lmprog.data import fields_in
from lmprog.formats.fields import type_words
from lmprog.formats.tools import arguments_of
from lmprog.module import Module, predictors
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.induce import or_none
from lmprog.params import Demo, Params
from lmprog.predict import Predict
from lmprog.request import canonical_json
from lmprog.secrets import redact_code
from lmprog.signature import REASONING, Field, InputField, OutputField, Signature, fields_of
from lmprog.tools import AnyTool

Part = Literal["program", "role", "data", "examples", "instruction", "history", "tip"]
"""What a proposer may be shown."""
PARTS: tuple[Part, ...] = get_args(Part)

TIPS = (
    "Be creative: find a wording that nobody would think of first.",
    "Keep it short and clear.",
    "Say in detail what counts as a good output.",
    "Give the LM a fitting role, such as an expert of the field.",
    "Say what would go wrong if the output were careless.",
    "Say exactly what form the output must have.",
)
TEMPERATURE = 1.0
SUMMARY_ROWS = 10
EXAMPLES = 3
HISTORY = 8
"""Instructions that a proposer is shown with their scores: the best of those tried."""
SOURCE_CHARACTERS = 6000


@dataclass(frozen=True, slots=True)
class Setting:
    """Which parts of the context a proposal sees, and how warm it is written."""

    program: bool = False
    role: bool = False
    data: bool = False
    examples: bool = False
    instruction: bool = False
    history: bool = False
    tip: str | None = None
    temperature: float = TEMPERATURE

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it shows."""
        return tuple(part for part in PARTS if getattr(self, part))

    def only(self, parts: Collection[Part]) -> "Setting":
        """Return the setting without any other part."""
        hidden: dict[str, Any] = {part: None if part == "tip" else False for part in PARTS if part not in parts}
        return replace(self, **hidden)


SETTINGS = (
    Setting(examples=True, temperature=0.0),
    Setting(instruction=True, temperature=0.0),
    Setting(program=True, role=True, data=True, examples=True, instruction=True, tip=TIPS[5]),
    Setting(examples=True),
    Setting(instruction=True),
    Setting(role=True, examples=True, instruction=True, tip=TIPS[2]),
    Setting(program=True, role=True, data=True, instruction=True, tip=TIPS[1]),
    Setting(role=True, data=True, examples=True, tip=TIPS[3]),
)
"""Taken in turn, so that few proposals are already varied, and a proposer that only induces or only rephrases adds some."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An instruction for one predictor, and how it came about."""

    path: str
    instruction: str
    setting: Setting | None


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the parts of the context are made from, beside the program itself."""

    examples: Mapping[str, Sequence[Demo]] = field(default_factory=dict[str, Sequence[Demo]])
    """Worked examples by predictor, from training rows."""
    summary: str = ""
    tried: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    """Instructions by predictor, and their scores in [0, 1]."""


class DescribeData(Signature):
    """Describe in two or three sentences what these rows are about, what is asked, and what answers look like."""

    rows: str = InputField()
    summary: str = OutputField()


def settings_for(count: int, *, parts: Collection[Part] = PARTS, temperature: float = TEMPERATURE) -> list[Setting]:
    """Return the first `count` settings to propose with, of these parts alone; none where no part is left.

    `temperature` is that of the proposals which are not the proposer's likeliest.
    """
    shown = [setting.only(parts) for setting in SETTINGS]
    shown = [replace(one, temperature=temperature) if one.temperature else one for one in shown if one.parts != ()]
    shown = list(dict.fromkeys(one for one in shown if one.parts != ("tip",)))
    if not shown and parts:
        every: dict[str, Any] = {part: TIPS[0] if part == "tip" else True for part in parts}
        shown = [Setting(**every, temperature=temperature)]
    return [shown[number % len(shown)] for number in range(count)] if shown else []


async def propose(
    problem: Problem, params: Params, grounds: Grounds, settings: Mapping[str, Sequence[Setting]], *, first: int = 0
) -> list[Proposal]:
    """Return what the proposer writes for each predictor under these settings, unless it breaks the contract of prompts.

    One proposer call each, all at once. `first` numbers a predictor's first proposal, so that later ones are other samples.
    """
    jobs = [
        _proposal(problem, path, params, grounds, setting, number)
        for path, own in settings.items()
        for number, setting in enumerate(own, start=first)
    ]
    return [proposal for proposal in await loop.gather(jobs) if proposal is not None]


async def describe(
    problem: Problem,
    params: Params,
    grounds: Grounds,
    settings: Sequence[Setting],
    *,
    paths: Sequence[str],
    fields: bool,
) -> dict[str, list[dict[str, str]]]:
    """Return the different sets of descriptions that are written of these predictors' tools, and `fields` too, under these settings.

    One proposer call for each predictor and setting, all at once; none where a setting shows nothing.
    """
    jobs = [
        _descriptions(problem, path, params, grounds, setting, number, fields=fields)
        for path in paths
        for number, setting in enumerate(settings)
    ]
    found: dict[str, list[dict[str, str]]] = {path: [] for path in paths}
    for path, described in await loop.gather(jobs):
        if described and described not in [params[path].field_descriptions, *found[path]]:
            found[path].append(described)
    return found


async def summarize(problem: Problem) -> str:
    """Return a description of the training rows, empty where the proposer gives none. One call."""
    rows = problem.rng("summary").sample(list(problem.train), min(SUMMARY_ROWS, len(problem.train)))
    text = "\n".join(canonical_json({k: _short(v) for k, v in fields_in(row).items()}) for row in rows)
    described = await or_none(problem.generate(0, Predict(DescribeData), rows=text))
    return described.summary if described else ""


async def _proposal(
    problem: Problem, path: str, params: Params, grounds: Grounds, setting: Setting, number: int
) -> Proposal | None:
    context = _context(problem, path, params, grounds, setting, number)
    if not context:
        return None
    predictor = _proposer(context, setting)
    prediction = await or_none(problem.generate(number, predictor, **context))
    if prediction is None:
        return None
    text = str(next(iter(_outputs(prediction, predictor).values()))).strip()
    return Proposal(path, text, setting) if not problem.faults(params.replace(path, instruction=text)) else None


async def _descriptions(
    problem: Problem, path: str, params: Params, grounds: Grounds, setting: Setting, number: int, *, fields: bool
) -> tuple[str, dict[str, str]]:
    context = _context(problem, path, params, grounds, setting, number)
    if not context:
        return path, {}
    described_one = predictors(problem.program)[path]
    known = fields_of(described_one.signature)
    own = [name for name in (*known.inputs, *known.outputs) if name != REASONING] if fields else []
    named = [*own, *described_one.tools]
    predictor = _describer(tuple(context), tuple(own), tuple(described_one.tools), setting.temperature)
    prediction = await or_none(problem.generate(number, predictor, **context))
    if prediction is None:
        return path, {}
    texts = _outputs(prediction, predictor)
    said = {name: str(texts[described_as(name)]).strip() for name in named}
    described = {**params[path].field_descriptions, **{name: text for name, text in said.items() if text}}
    return path, {} if problem.faults(params.replace(path, field_descriptions=described)) else described


def described_as(name: str) -> str:
    """Return the output in which a proposer writes the description of a field or tool."""
    return f"{name}_description"


def _context(
    problem: Problem, path: str, params: Params, grounds: Grounds, setting: Setting, number: int
) -> dict[str, str]:
    demos = grounds.examples.get(path, ())
    shown = problem.rng("proposal", path, number).sample(list(demos), min(EXAMPLES, len(demos)))
    parts = {
        "program": _source(problem, params) if setting.program else "",
        "step": role(problem, path, params) if setting.role else "",
        "data_summary": grounds.summary if setting.data else "",
        "examples": " | ".join(map(_example, shown)) if setting.examples else "",
        "instruction_text": params[path].instruction if setting.instruction else "",
        "history": _history(grounds.tried.get(path, {})) if setting.history else "",
        "tip": setting.tip or "",
    }
    return {name: text for name, text in parts.items() if text}


def _proposer(context: Mapping[str, str], setting: Setting) -> Predict[..., Any]:
    """A predictor whose inputs are the parts of the context that are there."""
    match tuple(context):
        case ("examples",):
            task, output = "Given the examples, write the instruction.", "instruction_text"
        case ("instruction_text",):
            task, output = "Rewrite the instruction in other words.", "new_instruction"
        case _:
            task = (
                "Write a better instruction for one step of a language-model program, so that the program's final "
                "answers are right more often. Use all that is given here. Say what the step must write and in what "
                "form. Reply with the instruction alone, as it will be shown to the model."
            )
            output = "new_instruction"
    return _predictor(task, tuple(context), (output,), setting.temperature)


def _describer(
    context: tuple[str, ...], fields: tuple[str, ...], tools: tuple[str, ...], temperature: float
) -> Predict[..., Any]:
    tasks: list[str] = []
    if fields:
        tasks.append(
            "Describe every field of one step of a language-model program in a few words, for the model that reads and "
            "writes them, so that the program's final answers are right more often: what stands in it, and in what form."
        )
    if tools:
        tasks.append(
            "Describe every tool of one step of a language-model program in a sentence, for the model that chooses which to "
            "call, so that the program's final answers are right more often: what it does, when to call it, and with what."
        )
    return _predictor(" ".join(tasks), context, tuple(map(described_as, (*fields, *tools))), temperature)


@cache
def _predictor(task: str, inputs: tuple[str, ...], outputs: tuple[str, ...], temperature: float) -> Predict[..., Any]:
    """Return a predictor of these text fields. To make one takes as long as a call."""
    names: dict[str, Any] = dict.fromkeys(inputs, InputField()) | dict.fromkeys(outputs, OutputField())
    annotations = {"__annotations__": dict.fromkeys([*inputs, *outputs], str), "__doc__": task}
    signature = cast("type[Signature]", type("Propose", (Signature,), names | annotations))
    return Predict(signature, config={"temperature": temperature})


def _outputs(prediction: Any, predictor: Predict[..., Any]) -> dict[str, Any]:
    return {name: getattr(prediction, name) for name in fields_of(predictor.signature).outputs}


def _source(problem: Problem, params: Params) -> str:
    """The source of the program and its parts, with their bases, and all steps as they are at run time."""
    steps = [f"{role(problem, path, params)}. Its instruction: {params[path].instruction}" for path in params]
    code = [_code(kind) for kind in dict.fromkeys(_kinds(problem.program))]
    return "\n\n".join([redact_code("\n\n".join(code))[:SOURCE_CHARACTERS], *steps] if code else steps)


def _kinds(value: object, around: tuple[int, ...] = ()) -> Iterator[type]:
    """Yield the user's own classes that a program is made of: its class, those it extends, and those of its parts."""
    if id(value) in around or not isinstance(value, (Module, list, tuple, dict)):
        return
    value = cast("Module | Sequence[object] | dict[object, object]", value)
    parts: list[object]
    if isinstance(value, Module):
        for kind in type(value).__mro__[: -len(Module.__mro__)]:
            if kind.__module__.split(".")[0] != _OURS or kind.__module__.startswith(f"{_OURS}.programs"):
                yield kind
        parts = list(vars(value).values())
    else:
        parts = list(value.values() if isinstance(value, dict) else value)
    for part in parts:
        yield from _kinds(part, (*around, id(value)))


_OURS = __name__.split(".")[0]


def _code(kind: type) -> str:
    try:
        return textwrap.dedent(inspect.getsource(kind)).rstrip()
    except (OSError, TypeError):  # written in an interactive session, or made at run time
        return f"class {kind.__name__}"


def role(problem: Problem, path: str, params: Params | None = None) -> str:
    """Return in words what a predictor reads, writes and may call; with params, in their words and with the types."""
    predictor = predictors(problem.program)[path]
    fields, tools = fields_of(predictor.signature), predictor.tools.values()
    said = params[path].field_descriptions if params is not None else {}

    def named(fields: Mapping[str, Field]) -> str:
        return ", ".join(
            _field(one, said.get(name, one.desc), typed=params is not None) for name, one in fields.items()
        )

    does = f"`{path}` reads {named(fields.inputs) or 'nothing'} and writes {named(fields.outputs)}"
    return f"{does}; it may call {', '.join(_tool(tool, said) for tool in tools)}" if tools else does


def _field(one: Field, desc: str, *, typed: bool) -> str:
    words = str(_short(type_words(one.schema))) if typed else _TEXT
    about = "; ".join(filter(None, [words if words != _TEXT else "", desc]))
    return f"{one.name} ({about})" if about else one.name


def _tool(tool: AnyTool, said: Mapping[str, str]) -> str:
    about = said.get(tool.name, tool.description)
    return f"{tool.name}({', '.join(arguments_of(tool.spec))})" + (f" ({_short(about)})" if about else "")


_TEXT = type_words({"type": "string"})


def _history(tried: Mapping[str, float]) -> str:
    """Return the best of the instructions that were tried, the very best last, with scores from 0 to 100."""
    best = sorted(tried.items(), key=lambda one: one[1])[-HISTORY:]
    return " | ".join(f"{text} -> {round(100 * score)}" for text, score in best)


def _example(demo: Demo) -> str:
    inputs = " ; ".join(map(_plain, demo.inputs.values()))
    return f"{inputs} -> {' ; '.join(map(_plain, demo.outputs.values()))}"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, cast("list[object]", value)))
    return value if isinstance(value, str) else canonical_json(value)


def _short(value: object, most: int = 400) -> object:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else text[:most] + "..."
