"""For tests of strategies: what all of them promise, and a plan of a row's calls."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lmprog as lp
from lmprog.module import Program
from lmprog.testing import Answer, Asked, Handler, ScriptedLM

WISE = "Mind the step."
"""The instruction that a proposer comes up with."""

Rows = Sequence[Mapping[str, Any]]


def check_strategy(
    program: Program, rows: Rows, metric: Any, good: Handler, *, path: str, bad: Answer, folder: Path, repeated: int = 0
) -> None:
    """Assert that every call is in the trace, of which so many `repeated` an earlier one word for word; that compiling finds the better instruction of the predictor at `path`, which
    without it replies `bad` and else as `good` does, with equal params for equal seeds; and that it is kept by an artifact.
    """
    _check_trace(program, rows[0], metric, good, repeated)
    first, second = (_compiled(program, rows, metric, planted(program, path, good, bad), folder / n) for n in "ab")
    assert first.certificate.baseline < first.certificate.compiled == 1.0
    assert first.params[path].instruction == WISE and first.shipped == "compiled"
    assert first.params == second.params
    loaded = lp.load(first.save(folder / "saved.lmprog"), program=program)
    assert lp.params_of(loaded) == first.params and type(loaded) is type(program)
    assert lp.evaluate(loaded, rows, metric, lm=planted(program, path, good, bad)).score == 1.0


def planted(program: Program, path: str, good: Handler, bad: Answer) -> ScriptedLM:
    """Return an LM that plays one predictor well under the wise instruction only, and proposes that one if asked for any."""
    written = {place: value.instruction for place, value in lp.params_of(program).items()}

    def handler(asked: Asked) -> Any:
        if asked.instruction == written[path]:
            return bad
        if asked.instruction in (*written.values(), WISE):
            return good(asked)
        return dict.fromkeys(asked.outputs, WISE)

    return ScriptedLM(handler)


def _check_trace(program: Program, row: Mapping[str, Any], metric: Any, good: Handler, repeated: int) -> None:
    lm = ScriptedLM(good)
    [run] = lp.evaluate(program, [row], metric, lm=lm).runs
    assert run.failure is None and lm.sent > 0
    assert sum(1 + step.retries for step in run.trace) == lm.sent + repeated
    assert {step.predictor for step in run.trace} <= set(lp.predictors(program))


def _compiled(program: Any, rows: Rows, metric: Any, lm: lp.LM, run_dir: Path) -> Any:
    return lp.compile(
        program, train=rows[::3], val=rows[1::3], holdout=rows[2::3], metric=metric, optimizer="opro", lm=lm, gate="none",
        budget=lp.Budget(calls=4000), run_dir=run_dir,
    )  # fmt: skip
