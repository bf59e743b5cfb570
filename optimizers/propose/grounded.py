"""Grounded proposals: an LM writes instructions from what is known about the program, its data and its demos.

MIPRO's proposer (Opsahl-Ong et al. 2024, arXiv:2406.11695, sec. 3.1): each proposal sees some of program source,
the step's role, a summary of the data, worked examples, the present instruction and a tip. With examples alone it is
induction (Honovich et al. 2022, arXiv:2205.10782); with the instruction alone, a paraphrase.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from lmprog import loop
from lmprog.data import fields_in
from lmprog.module import predictors
from lmprog.optimizer import Problem
from lmprog.optimizers.propose.induce import or_none
from lmprog.params import Demo, Params
from lmprog.predict import Predict
from lmprog.request import canonical_json
from lmprog.secrets import redact_code
from lmprog.signature import InputField, OutputField, Signature, fields_of

TIPS = (
    "Be creative: find a wording that nobody would think of first.",
    "Keep it short and clear.",
    "Say in detail what counts as a good output.",
    "Give the LM a fitting role, such as an expert of the field.",
    "Say what would go wrong if the output were careless.",
    "Say exactly what form the output must have.",
)
SUMMARY_ROWS = 10
EXAMPLES = 3
SOURCE_CHARACTERS = 6000


@dataclass(frozen=True, slots=True)
class Setting:
    """Which parts of the context a proposal sees, and how warm it is written."""

    program: bool = False
    role: bool = False
    data: bool = False
    examples: bool = False
    instruction: bool = False
    tip: str | None = None
    temperature: float = 1.0


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


class DescribeData(Signature):
    """Describe in two or three sentences what these rows are about, what is asked, and what answers look like."""

    rows: str = InputField()
    summary: str = OutputField()


async def propose(
    problem: Problem, params: Params, examples: Mapping[str, Sequence[Demo]], *, count: int, summary: str | None = None
) -> dict[str, list[Proposal]]:
    """Return up to `count` different instructions for each predictor; the first is the one it has.

    About count - 1 proposer calls per predictor, all at once, and one call before them for the summary of the data,
    where one is needed and none is given. `examples` are worked examples by predictor, from training rows.
    """
    settings = _settings(count)
    if summary is None and summarizes(count):
        summary = await summarize(problem)
    jobs = [
        _proposal(problem, path, params, examples.get(path, ()), setting, number, summary or "")
        for path in params
        for number, setting in enumerate(settings)
    ]
    written = await loop.gather(jobs)
    found: dict[str, list[Proposal]] = {path: [Proposal(path, params[path].instruction, None)] for path in params}
    for proposal in written:
        if proposal is not None and proposal.instruction not in [p.instruction for p in found[proposal.path]]:
            found[proposal.path].append(proposal)
    return found


def summarizes(count: int) -> bool:
    """Tell whether so many proposals use a summary of the data."""
    return any(setting.data for setting in _settings(count))


async def summarize(problem: Problem) -> str:
    """Return a description of the training rows, empty where the proposer gives none. One call."""
    rows = problem.rng("summary").sample(list(problem.train), min(SUMMARY_ROWS, len(problem.train)))
    text = "\n".join(canonical_json({k: _short(v) for k, v in fields_in(row).items()}) for row in rows)
    described = await or_none(problem.generate(0, Predict(DescribeData), rows=text))
    return described.summary if described else ""


def _settings(count: int) -> list[Setting]:
    return [SETTINGS[i % len(SETTINGS)] for i in range(count - 1)]


async def _proposal(
    problem: Problem, path: str, params: Params, demos: Sequence[Demo], setting: Setting, number: int, summary: str
) -> Proposal | None:
    rng = problem.rng("proposal", path, number)
    shown = rng.sample(list(demos), min(EXAMPLES, len(demos)))
    context = _context(problem, path, params, shown, setting, summary)
    if not context:
        return None
    predictor = _proposer(context, setting)
    prediction = await or_none(problem.generate(number, predictor, **context))
    if prediction is None:
        return None
    text = str(next(iter(_outputs(prediction, predictor).values()))).strip()
    return Proposal(path, text, setting) if not problem.faults(params.replace(path, instruction=text)) else None


def _context(
    problem: Problem, path: str, params: Params, demos: Sequence[Demo], setting: Setting, summary: str
) -> dict[str, str]:
    parts = {
        "program": _source(problem) if setting.program else "",
        "step": role(problem, path) if setting.role else "",
        "data_summary": summary if setting.data else "",
        "examples": " | ".join(map(_example, demos)) if setting.examples else "",
        "instruction_text": params[path].instruction if setting.instruction else "",
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
    names: dict[str, Any] = {name: InputField() for name in context} | {output: OutputField(), "__doc__": task}
    signature = cast(
        "type[Signature]",
        type("Propose", (Signature,), names | {"__annotations__": dict.fromkeys([*context, output], str)}),
    )
    return Predict(signature, config={"temperature": setting.temperature})


def _outputs(prediction: Any, predictor: Predict[..., Any]) -> dict[str, Any]:
    return {name: getattr(prediction, name) for name in fields_of(predictor.signature).outputs}


def _source(problem: Problem) -> str:
    """The program's source, with the signatures of all its steps as they are at run time."""
    roles = [role(problem, path) for path in predictors(problem.program)]
    if isinstance(problem.program, Predict):
        return roles[0]
    try:
        code = inspect.getsource(type(problem.program))
    except (OSError, TypeError):  # written in an interactive session, or made at run time
        code = type(problem.program).__name__
    return "\n\n".join([redact_code(code)[:SOURCE_CHARACTERS], *roles])


def role(problem: Problem, path: str) -> str:
    """Return in words what a predictor reads and writes."""
    fields = fields_of(predictors(problem.program)[path].signature)
    given = ", ".join(f"{name} ({field.desc})" if field.desc else name for name, field in fields.inputs.items())
    wanted = ", ".join(f"{name} ({field.desc})" if field.desc else name for name, field in fields.outputs.items())
    return f"`{path}` reads {given or 'nothing'} and writes {wanted}"


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
