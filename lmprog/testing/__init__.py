"""Checks and LMs for tests: of lmprog itself, and of what you add to it."""

from lmprog.testing.formats import check_format as check_format
from lmprog.testing.formats import hostile_texts as hostile_texts
from lmprog.testing.lms import check_lm as check_lm
from lmprog.testing.optimizers import check_optimizer as check_optimizer
from lmprog.testing.optimizers import problem_for as problem_for
from lmprog.testing.scripted import Answer as Answer
from lmprog.testing.scripted import Asked as Asked
from lmprog.testing.scripted import Handler as Handler
from lmprog.testing.scripted import ScriptedLM as ScriptedLM
from lmprog.testing.scripted import reply as reply
from lmprog.testing.table import TableLM as TableLM
