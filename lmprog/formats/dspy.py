"""The layouts of DSPy's chat and JSON adapters (3.x), to be read and answered: a program of DSPy may run on an LM of ours.

[[ ## question ## ]]
Where was Ada born?

Respond with the corresponding output fields, starting with the field `[[ ## answer ## ]]`, and then ...
"""

import json
import re
from collections.abc import Iterable
from textwrap import dedent

from lmprog.formats.fields import dumps, is_plain, json_text
from lmprog.formats.layout import Asked

_FIELD = re.compile(r"^\[\[ ## (\w+) ## \]\]$", re.MULTILINE)
_END = "completed"
"""The field after the last one."""
_ASKS = re.compile(r"\n\nRespond with (?:the corresponding output fields|a JSON object)\b.*\Z", re.DOTALL)
"""What follows the inputs of the question."""
_NOT_GIVEN = "Not supplied for this particular example."
_OBJECTIVE = "your objective is:"
_OUTPUTS = re.compile(r"^Your output fields are:\n((?:\d+\. .*\n)+)", re.MULTILINE)
_NAME = re.compile(r"^\d+\. `(\w+)`", re.MULTILINE)


class DspyChat:
    """The layout of the chat adapter."""

    sentence = "All interactions will be structured in the following way, with the appropriate values filled in."

    def asked(self, system: str, /) -> Asked:
        """Return what a system message asks for. DSPy tells tools in the instruction."""
        fields, _, objective = system.partition(_OBJECTIVE)
        described = _OUTPUTS.search(fields)
        return Asked(dedent(objective).strip(), tuple(_NAME.findall(described[1])) if described else ())

    def fields_in(self, message: str, /) -> dict[str, str]:
        """Return what each field of a turn says. A demo may leave fields out."""
        _, *parts = _FIELD.split(_ASKS.sub("", message))
        texts = zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True)
        return {name: text for name, text in texts if name != _END and text != _NOT_GIVEN}

    def text(self, data: object, /, *, is_text: bool) -> str:
        """Return a string as it is, anything else as JSON."""
        return data if is_plain(data, is_text=is_text) else json_text(data)

    def write_reply(self, texts: Iterable[tuple[str, str]], /, *, ended: bool = True) -> str:
        """Return the fields, each under its name, and the end."""
        blocks = [f"[[ ## {name} ## ]]\n{text}" for name, text in texts]
        return "\n\n".join([*blocks, f"[[ ## {_END} ## ]]"] if ended else blocks)


class DspyJson(DspyChat):
    """The layout of the JSON adapter: inputs as in chat, the outputs one JSON object."""

    sentence = "Outputs will be a JSON object with the following fields."

    def fields_in(self, message: str, /) -> dict[str, str]:
        """Return what each field of a turn says; other values than texts as JSON."""
        try:
            outputs = json.loads(message)
        except (ValueError, RecursionError):
            return super().fields_in(message)
        if not isinstance(outputs, dict):
            return {}
        said: dict[str, object] = outputs  # pyright: ignore[reportUnknownVariableType]
        return {
            name: value if isinstance(value, str) else dumps(value)
            for name, value in said.items()
            if value is not None and value != _NOT_GIVEN
        }

    def text(self, data: object, /, *, is_text: bool) -> str:
        """Return the value as JSON."""
        return dumps(data)

    def write_reply(self, texts: Iterable[tuple[str, str]], /, *, ended: bool = True) -> str:
        """Return one object; without its last brace where the reply has not ended."""
        return "{" + ", ".join(f"{dumps(name)}: {text}" for name, text in texts) + ("}" if ended else "")
