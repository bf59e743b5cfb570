"""Iris, asked with a slip (Opsahl-Ong et al. 2024, arXiv:2406.11695): the prompt spells one species as no right answer does.

It shows what a wrong word in a prompt costs, and which optimizers mend it: the description of the answer says "versicolour",
the rows say "versicolor". So the answer is a free text here, where `iris` lets an LM choose among the three names.
"""

from lmprog.metrics import exact_match
from lmprog.module import Module
from lmprog.predict import ChainOfThought
from lmprog.programs.iris import SOURCE
from lmprog.programs.papers import mipro
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Source
from lmprog.task import Task


class ClassifyMisspelt(Signature):
    """Say which species of iris has leaves of this size, in cm."""

    petal_length: float = InputField()
    petal_width: float = InputField()
    sepal_length: float = InputField()
    sepal_width: float = InputField()
    answer: str = OutputField(desc="one of setosa, versicolour, virginica")


class IrisTypo(Module):
    """Reason, then name the species. One LM call a flower."""

    def __init__(self) -> None:
        self.classify = ChainOfThought(ClassifyMisspelt)

    def forward(
        self, petal_length: float, petal_width: float, sepal_length: float, sepal_width: float
    ) -> ClassifyMisspelt:
        """Return the species."""
        return self.classify(
            petal_length=petal_length, petal_width=petal_width, sepal_length=sepal_length, sepal_width=sepal_width
        )


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on these rows."""
    return Task(
        name="iris-typo",
        program=IrisTypo,
        metric=exact_match("answer"),
        load=source,
        about="iris with a species misspelt in the prompt, which an optimizer has to notice",
        published=mipro(32.0, 58.7, 68.7),
        not_tiny="it answers with numbers, as for iris",
        needs=("pip install scikit-learn",),
    )


TASK = make_task()
