"""What a strategy goes around: a program, or a signature that is asked for by a predictor of its own."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from typing_extensions import ParamSpec, TypeVar  # with defaults, which typing has from Python 3.13

from lmprog.module import Program, check_program
from lmprog.predict import Predict
from lmprog.signature import Signature

P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)
R_co = TypeVar("R_co", covariant=True, default=Any)


class _Sync(Protocol[P, R_co]):
    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Async(Protocol[P, R_co]):
    def aforward(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]: ...


Inner = _Sync[P, R] | _Async[P, R] | Callable[P, R] | str
"""A module, a predictor, a signature, or the short form of one; to a checker, what it takes and what it gives."""


def program_of(given: object) -> Program:
    """Return a program as it is, and a `Predict` for a signature. InputError where it is neither."""
    if _is_signature(given):
        return Predict(cast("str", given))
    check_program(given)
    return cast("Program", given)


def _is_signature(given: object) -> bool:
    return isinstance(given, str) or (isinstance(given, type) and issubclass(given, Signature))
