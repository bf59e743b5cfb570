"""lmprog: compile typed LM programs."""

from lmprog.errors import LmprogError as LmprogError
