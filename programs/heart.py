"""Has a patient heart disease (Detrano et al. 1989; UCI): three opinions, and a judge who weighs them.

It shows a vote: one predictor asked several times at a temperature, and another that reads what it said.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmprog import loop, scope
from lmprog.errors import DataError
from lmprog.hub import Hub
from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.papers import mipro
from lmprog.signature import InputField, OutputField, Signature, reasoning
from lmprog.source import Part, Source, field
from lmprog.task import Task

OPINIONS = 3
TEMPERATURE = 0.7


class Patient(BaseModel):
    """What is known of a patient."""

    model_config = ConfigDict(frozen=True)

    age: int = Field(description="in years")
    sex: str
    chest_pain: str
    resting_blood_pressure: int = Field(description="in mm Hg")
    cholesterol: int = Field(description="in mg/dl")
    high_fasting_blood_sugar: bool = Field(description="above 120 mg/dl")
    resting_ecg: str
    max_heart_rate: int
    pain_in_exercise: bool
    st_depression: float = Field(description="by exercise, against rest")
    st_slope: str = Field(description="at the peak of exercise")
    vessels_colored: int = Field(description="major ones seen by fluoroscopy, of 4")
    thallium_test: str


class Opinion(Signature):
    """Say whether this patient has heart disease."""

    patient: Patient = InputField()
    answer: Literal["yes", "no"] = OutputField()


class Verdict(Signature):
    """Say whether this patient has heart disease. Weigh the opinions of trainees, and trust none blindly."""

    patient: Patient = InputField()
    opinions: list[str] = InputField()
    answer: Literal["yes", "no"] = OutputField()


class HeartDisease(Module):
    """Ask for three opinions at once, then for a verdict on them. Two modules and four LM calls a patient."""

    def __init__(self) -> None:
        self.opinion = ChainOfThought(Opinion, config={"temperature": TEMPERATURE})
        self.verdict = ChainOfThought(Verdict)

    async def aforward(self, patient: Patient) -> Verdict:
        """Return the verdict."""
        opinions = await loop.gather([self._opinion(patient, number) for number in range(OPINIONS)])
        return await self.verdict.acall(patient=patient, opinions=opinions)

    async def _opinion(self, patient: Patient, number: int) -> str:
        with scope.scoped(sample=scope.current().sample * OPINIONS + number):
            said = await self.opinion.acall(patient=patient)
        return f"{reasoning(said)} So I say {said.answer}."


CODES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "sex": ("sex", {"0": "female", "1": "male"}),
    "chest_pain": (
        "cp",
        {"1": "typical angina", "2": "atypical angina", "3": "non-anginal pain", "4": "asymptomatic"},
    ),
    "resting_ecg": ("restecg", {"0": "normal", "1": "ST-T wave abnormality", "2": "left ventricular hypertrophy"}),
    "st_slope": ("slope", {"1": "upsloping", "2": "flat", "3": "downsloping"}),
    "thallium_test": ("thal", {"fixed": "fixed defect", "reversible": "reversible defect"}),
}
"""By field of a patient, its column in the published table and what its codes mean; other texts are taken as they are."""
NUMBERS = {
    "age": "age", "resting_blood_pressure": "trestbps", "cholesterol": "chol", "max_heart_rate": "thalach",
    "st_depression": "oldpeak", "vessels_colored": "ca",
}  # fmt: skip
YES_OR_NO = {"high_fasting_blood_sugar": "fbs", "pain_in_exercise": "exang"}
TRUTH = {"0": False, "1": True, "no": False, "yes": True, "false": False, "true": True}


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a patient and the answer. Cells may be texts or numbers; a code that nobody explains is not known."""
    if "patient" in raw:
        patient, answer = _patient(field(raw, "patient", dict[str, Any])), field(raw, "answer", str)
        if answer not in ("yes", "no"):
            raise DataError(f"`answer` is {answer!r} and should be 'yes' or 'no'")
        return {"patient": patient.model_dump(), "answer": answer}
    texts = {name: _meaning(_cell(raw, column), codes) for name, (column, codes) in CODES.items()}
    truths = {name: _truth(raw, column) for name, column in YES_OR_NO.items()}
    numbers = {name: _cell(raw, column) for name, column in NUMBERS.items()}
    patient = _patient({**texts, **truths, **numbers}, NUMBERS)
    sick = _truth(raw, "gold" if "gold" in raw else "target")
    return {"patient": patient.model_dump(), "answer": "yes" if sick else "no"}


SOURCE = Source(
    Hub("buio/heart-disease"),
    to_row,
    inputs=("patient",),
    labels=("answer",),
    train=Part("train", 68),
    val=Part("train", 52),
    holdout=Part("train", 183),
    columns=(
        "age",
        "sex",
        "cp",
        "trestbps",
        "chol",
        "fbs",
        "restecg",
        "thalach",
        "exang",
        "oldpeak",
        "slope",
        "ca",
        "thal",
        "target",
    ),
)
"""All 303 patients. The paper chooses among prompts by the 120 that it trains on; here 52 of them are kept for that."""


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on these rows."""
    return Task(
        name="heart",
        program=HeartDisease,
        metric=exact_match("answer"),
        load=source,
        about="has a patient heart disease, by 13 findings: three opinions, then a verdict",
        not_tiny="13 findings are more than it can weigh: it writes no opinion",
        published=mipro(26.8, 79.2, 74.2),
        capabilities=frozenset({"generate", "sample"}),
    )


TASK = make_task()


def _patient(findings: Mapping[str, Any], columns: Mapping[str, str] = MappingProxyType({})) -> Patient:
    """Return a patient; DataError names the first finding that does not fit, by its column where that has another name."""
    try:
        return Patient.model_validate(findings)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        raise DataError(f"`{columns.get(name, name)}` is {fault['input']!r:.80}: {fault['msg']}") from None


def _cell(raw: Mapping[str, Any], column: str) -> str:
    """Return a cell of the table as a text: the same patient may be written in texts or in numbers."""
    value: object = field(raw, column, object)
    if isinstance(value, (str, int, float)):
        return str(value).strip()
    raise DataError(f"`{column}` is {value!r} and should be a text or a number")


def _meaning(text: str, codes: Mapping[str, str]) -> str:
    return codes.get(text, "not known" if text.isdigit() else text)


def _truth(raw: Mapping[str, Any], column: str) -> bool:
    text = _cell(raw, column).lower()
    if text not in TRUTH:
        raise DataError(f"`{column}` is {text!r} and should be one of {', '.join(TRUTH)}")
    return TRUTH[text]
