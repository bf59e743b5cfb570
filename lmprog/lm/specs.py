"""From a spec such as "tiny" or "openai/MODEL" to an LM."""

from importlib.metadata import entry_points
from typing import cast

from lmprog.errors import LMError
from lmprog.request import LM
from lmprog.secrets import named_by_user

GROUP = "lmprog.lms"
"""Entry points: "NAME/REST" is what the entry point NAME, a function, returns for REST."""

KNOWN = '"tiny", "tiny/FOLDER", "openai/MODEL", "http://HOST/v1#MODEL", "vllm/http://HOST/v1#MODEL", "local/PATH_OR_ID", "litellm/PROVIDER/MODEL"'


def from_spec(spec: LM | str) -> LM:
    """Return the LM that a spec names; an LM is returned as it is.

    "tiny" is the embedded one, "tiny/FOLDER" the same with other weights; "openai/MODEL" is asked at OPENAI_BASE_URL with OPENAI_API_KEY; "http://HOST/v1#MODEL" is any
    server that speaks OpenAI's protocol, asked with LMPROG_API_KEY where that is set; "vllm/http://HOST/v1#MODEL" is one of
    vLLM whose weights are here too, so that it can be tuned (lp.VLLM); "local/PATH_OR_ID" is a model of Hugging Face that runs in this process; "litellm/PROVIDER/MODEL" goes through litellm;
    any other "NAME/REST" is an entry point's. LMError where there is none, or where the object is no LM.
    """
    if not isinstance(spec, str):
        named_by_user(str(getattr(spec, "base_url", "")))
        return _checked(spec)
    named_by_user(url_in(spec))
    return of_predictor(spec)


def url_in(spec: str) -> str:
    """Return the URL of the server that a spec names, empty where it names none."""
    url = spec.removeprefix("vllm/").partition("#")[0]
    return url if url.startswith(("http://", "https://")) else ""


def of_predictor(spec: str) -> LM:
    """Return the LM that params name for a predictor: as `from_spec` does, but LMPROG_API_KEY is not sent to a host that
    an artifact alone has named.
    """
    if not spec.isprintable():
        raise LMError(
            f"the spec of the LM holds a line break, or another character that is none to read. Write {KNOWN}."
        )
    name, slash, rest = spec.partition("/")
    if spec == "tiny":
        from lmprog.lm.tiny.client import shared  # loads numpy and tokenizers, which `import lmprog` need not

        return shared()
    if name == "tiny" and rest:
        from lmprog.lm.tiny.client import at  # as above

        return at(rest)
    if spec.startswith(("http://", "https://")) or (name == "openai" and rest):
        from lmprog.lm.openai import from_spec as of_protocol  # loads an HTTP client

        return of_protocol(spec)
    if name == "vllm" and rest:
        from lmprog.lm.vllm import from_spec as of_vllm  # loads an HTTP client

        return of_vllm(rest)
    if name == "local" and rest:
        from lmprog.lm.local.client import shared as local  # loads numpy

        return local(rest)
    if name == "litellm" and rest:
        from lmprog.lm.litellm import LiteLLM  # loads litellm, which is heavy and optional

        return LiteLLM(rest)
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name] if slash and rest else []
    if not found:
        others = "".join(f', "{entry.name}/..."' for entry in entry_points(group=GROUP))
        raise LMError(f"no LM is called {spec!r}. There are {KNOWN}{others}; or pass an LM object.")
    return _checked(found[0].load()(rest))


def _checked(given: object) -> LM:
    if isinstance(given, type):
        raise LMError(f"the LM is the class {given.__name__}: pass an LM made of it, `{given.__name__}(...)`.")
    if not callable(given) or not isinstance(getattr(given, "name", None), str):
        raise LMError(
            f"the LM is {given!r}, which is none: an LM has a `name`, `capabilities`, and `async def __call__(self, request)`. "
            f"Or name one by its spec: {KNOWN}."
        )
    if not isinstance(getattr(given, "capabilities", None), frozenset | set):
        raise LMError(
            f'the LM {given!r} does not say what it can do: give it `capabilities = frozenset({{"generate"}})`.'
        )
    return cast("LM", given)
