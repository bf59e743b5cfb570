"""One cell of DSPy's, by its public API: `python tests/bench/head_to_head_dspy.py PROGRAM/SEED/METHOD URL SPEC`.

The same programs, instructions, rows and metric as lmprog's side (head_to_head.py), written as DSPy's users write them.
The LM is the embedded one, behind the server at the URL, which counts the calls. DSPy's cache is on, in a fresh folder
for each cell, so that an equal request is sent once, as in lmprog.
"""

# mypy: disable-error-code="misc"
# pyright: reportUnknownMemberType=false

import importlib
import json
import logging
import os
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from head_to_head import DSPY, METRIC, UNCOMPILED, Cell, Spec, rows_of

from lmprog.programs.multihop import make_retriever

_folder = tempfile.TemporaryDirectory()
os.environ["DSPY_CACHEDIR"] = _folder.name  # read on import
warnings.simplefilter("ignore")
dspy: Any = importlib.import_module("dspy")  # it has no types
logging.disable(logging.WARNING)

ERRORS_AT_MOST = 1_000_000
"""A row that fails scores 0, as in lmprog: DSPy would give up the whole compile after ten."""
REPLY_AT_MOST = 512
"""lmprog's default."""


class WriteQuery(dspy.Signature):
    """Write a search query that helps answer the question."""

    question: str = dspy.InputField()
    passages: list[str] = dspy.InputField()
    query: str = dspy.OutputField()


class AnswerQuestion(dspy.Signature):
    """Answer the question."""

    question: str = dspy.InputField()
    passages: list[str] = dspy.InputField()
    answer: str = dspy.OutputField()


class Pick(dspy.Signature):
    """Process the text."""

    text: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Answer(dspy.Signature):
    """Given the text , produce the answer."""

    text: str = dspy.InputField()
    answer: str = dspy.OutputField()


class MultiHopQA(dspy.Module):
    def __init__(self, retriever: Any, hops: int = 2) -> None:
        super().__init__()
        self.retriever, self.hops = retriever, hops
        self.write_query = dspy.Predict(WriteQuery)
        self.answer = dspy.ChainOfThought(AnswerQuestion)

    def forward(self, question: str) -> Any:
        passages: list[str] = []
        for _ in range(self.hops):
            step = self.write_query(question=question, passages=passages)
            unread = [found for found in self.retriever(step.query) if found not in passages]
            passages = passages + unread[:1]
        return self.answer(question=question, passages=passages)


class Mapped(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(Answer)

    def forward(self, text: str) -> Any:
        return self.answer(text=text)


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick = dspy.Predict(Pick)
        self.answer = dspy.Predict(Answer)

    def forward(self, text: str) -> Any:
        return self.answer(text=self.pick(text=text).answer)


def program_of(cell: Cell) -> Any:
    """Return the program as it was."""
    match cell.program:
        case "multihop":
            return MultiHopQA(make_retriever(cell.seed))
        case "label-map":
            return Mapped()
        case "smallest-parity":
            return TwoSteps()
        case other:
            raise ValueError(f"{other} has no twin here")


def metric(row: Any, prediction: Any, trace: Any = None) -> float:
    """lmprog's exact match, on DSPy's rows and predictions."""
    score: Any = METRIC
    return float(score(row.toDict(), prediction))


def metric_with_feedback(
    row: Any, prediction: Any, trace: Any = None, predictor: Any = None, part: Any = None
) -> float:
    """The same with the arguments that GEPA gives; it tells the score, and nothing more, as lmprog's does."""
    return metric(row, prediction)


def compiled(cell: Cell, spec: Spec, data: Mapping[str, list[Any]], proposer: Any) -> Any:
    """Compile by the method that the cell names."""
    method = cell.method.removeprefix(DSPY)
    given = spec.dspy[method][cell.program]
    init = {name: None if value == "none" else value for name, value in given["init"].items()}
    init |= {"num_threads": spec.concurrency}
    if method == "GEPA":
        optimizer = dspy.GEPA(metric_with_feedback, reflection_lm=proposer, seed=cell.seed, track_stats=True, **init)
    elif method == "MIPROv2":
        optimizer = dspy.MIPROv2(metric, prompt_model=proposer, seed=cell.seed, max_errors=ERRORS_AT_MOST, **init)
    else:
        optimizer = getattr(dspy, method)(metric, max_errors=ERRORS_AT_MOST, **init)
    return optimizer.compile(program_of(cell), trainset=data["train"], valset=data["val"], **given.get("compile", {}))


def scored(program: Any, rows: list[Any], threads: int) -> tuple[list[float], list[str | None]]:
    """Return the score and the answer of each row, None where it has no answer."""
    evaluate = dspy.Evaluate(
        devset=rows, metric=metric, num_threads=threads, display_progress=False, max_errors=ERRORS_AT_MOST
    )
    results = evaluate(program).results
    return [float(score) for _, _, score in results], [said.get("answer") for _, said, _ in results]


def instructions_of(program: Any) -> dict[str, str]:
    """Return the instruction of each predictor."""
    return {name: predictor.signature.instructions for name, predictor in program.named_predictors()}


def tried_by(program: Any) -> set[tuple[str, str]]:
    """Return the instructions that the optimizer scored on validation rows, as far as the program that it returned tells."""
    if (results := getattr(program, "detailed_results", None)) is not None:
        programs = results.candidates
    else:
        programs = [candidate["program"] for candidate in getattr(program, "candidate_programs", [])]
    return {pair for one in programs for pair in instructions_of(one).items()}


def counted(url: str) -> dict[str, dict[str, int]]:
    """Return what the server has counted by role."""
    with urllib.request.urlopen(f"{url}/counts") as answer:
        counts: dict[str, dict[str, int]] = json.load(answer)
        return counts


def run(cell: Cell, url: str, spec: Spec) -> dict[str, Any]:
    """Compile one cell and score it, or score it as it is."""
    asked = "text" if cell.program != "multihop" else "question"
    data = {
        part: [dspy.Example(**row).with_inputs(asked) for row in rows]
        for part, rows in rows_of(cell.program, cell.seed, spec.rows).items()
    }
    settings = {"api_key": "none", "max_tokens": REPLY_AT_MOST, "engine": "lm15"}
    proposer = dspy.LM("openai/tiny", api_base=f"{url}/proposer/v1", temperature=1.0, **settings)
    task = dspy.LM("openai/tiny", api_base=f"{url}/task/v1", temperature=0.0, **settings)
    dspy.configure(lm=task, max_errors=ERRORS_AT_MOST)
    if cell.method == DSPY + UNCOMPILED:
        scores, answers = scored(program_of(cell), data["holdout"], spec.concurrency)
        return {"baseline_rows": scores, "answers": answers}
    began = time.perf_counter()
    winner = compiled(cell, spec, data, proposer)
    seconds, counts = time.perf_counter() - began, counted(url)
    own = instructions_of(program_of(cell))
    return {
        **{name: sum(of_role[name] for of_role in counts.values()) for name in counts["task"]},
        "seconds": seconds,
        "baseline_rows": scored(program_of(cell), data["holdout"], spec.concurrency)[0],
        "rows": scored(winner, data["holdout"], spec.concurrency)[0],
        "proposer_calls": counts["proposer"]["calls"],
        "tried": len(tried_by(winner) - set(own.items())),
        "instructions": {name: text for name, text in instructions_of(winner).items() if text != own[name]},
        "demos": {name: len(predictor.demos) for name, predictor in winner.named_predictors()},
    }


def main() -> None:
    key, url, spec = sys.argv[1:]
    program, seed, method = key.split("/")
    with redirect_stdout(sys.stderr):  # optimizers print
        found = run(Cell(program, int(seed), method), url, Spec.read(Path(spec)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
