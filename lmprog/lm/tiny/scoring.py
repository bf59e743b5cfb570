"""Given replies in the layout of the model, so that it can tell how probable they are."""

from lmprog.formats import read
from lmprog.lm.tiny.template import Prompt, heading, one_line
from lmprog.request import Message, Request


def completion_of(reply: str, prompt: Prompt, request: Request) -> str:
    """Return a reply as the model would write it behind the prompt.

    A text that does not hold the first output in the format of the request is taken for the value of that output.
    """
    first = prompt.outputs[0]
    values: dict[str, str] = {}
    if not prompt.plain:
        values = dict(read((*request.messages, Message("assistant", reply))).turns[-1][1])
    if first not in values:
        values = {first: reply}
    others = [f"\n{heading(name)} {one_line(value)}" for name, value in values.items() if name != first]
    return f" {one_line(values[first])}{''.join(others)}"
