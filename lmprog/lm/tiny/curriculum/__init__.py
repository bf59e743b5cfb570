"""The text that the embedded LM is trained and judged on: generated tasks with instructions and demos."""

from lmprog.lm.tiny.curriculum.example import END, Example, Style, Task, Turn, segments
from lmprog.lm.tiny.curriculum.maps import HELD_KINDS, label_map
from lmprog.lm.tiny.curriculum.meta import critique, describe, induce, judge, paraphrase, propose
from lmprog.lm.tiny.curriculum.pairs import pair
from lmprog.lm.tiny.curriculum.rules import rule
from lmprog.lm.tiny.curriculum.sampler import (
    HELD_VAGUE,
    MIX,
    OUTSIDE,
    VAGUE,
    example,
    meta_tasks,
    named_tasks,
    spoken,
    training_example,
    vague,
)
from lmprog.lm.tiny.curriculum.tables import table

__all__ = [
    "END", "HELD_KINDS", "HELD_VAGUE", "MIX", "OUTSIDE", "VAGUE", "Example", "Style", "Task", "Turn", "critique",
    "describe", "example", "induce", "judge", "label_map", "meta_tasks", "named_tasks", "pair", "paraphrase", "propose",
    "rule", "segments", "spoken", "table", "training_example", "vague",
]  # fmt: skip
