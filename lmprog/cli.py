"""The command line: `lmprog compile | show | run | tasks | optimizers`."""

import inspect
import itertools
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from pydantic_core import to_jsonable_python
from typer.main import get_command

from lmprog import loop
from lmprog.arguments import budget_of, inputs_on, inputs_said, lm_of, program_at, program_of, rows_given, task_of
from lmprog.artifact import load, read_artifact
from lmprog.certificate import Gate
from lmprog.compiler import CompileResult
from lmprog.compiler import run as run_job
from lmprog.errors import CapReached, InputError, LMError, LmprogError, MetricError, OutputError
from lmprog.job import Job
from lmprog.module import Program, inputs_of, using
from lmprog.optimizer import named
from lmprog.registry import names
from lmprog.rundir import RESULT, RunDir
from lmprog.signature import Signature, fields_of
from lmprog.task import tasks as all_tasks
from lmprog.terminal import Progress, console_on, say, tell_artifact, tell_result, tell_table

Exit = Literal[0, 1, 2, 3, 4, 5, 130]
DONE: Exit = 0
BUG: Exit = 1
"""A check failed, or somebody's code is wrong."""
WRONG_USE: Exit = 2
"""Of arguments, data or keys; or the LM could not be reached at the start."""
BASELINE: Exit = 3
"""The program ships as it was."""
LM_LOST: Exit = 4
CAP_HIT: Exit = 5
"""Before there was any certificate."""
INTERRUPTED: Exit = 130

DEBUG = "LMPROG_DEBUG"
AT_ONCE = 16
"""Rows of standard input that `lmprog run` runs at once."""

Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, all else on standard error.")]

app = typer.Typer(
    help="Compile typed LM programs into better ones, with proof of the gain.",
    epilog=f"{DEBUG}=1 shows where an error comes from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 done, 1 a bug or a failed check, 2 wrong use, data or key, 3 the baseline shipped, 4 the LM was lost,
    5 a cap was hit before any certificate, 130 interrupted.
    """
    try:
        code = get_command(app).main(
            args=None if argv is None else list(argv), prog_name="lmprog", standalone_mode=False
        )
    except typer.TyperException as error:
        return _failed(error, WRONG_USE)
    except LmprogError as error:
        return _failed(error, _code_of(error))
    except BrokenPipeError:  # the reader of our output has left: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BUG
    except Exception:  # noqa: BLE001  a bug, ours or in the user's code: its traceback is what helps
        traceback.print_exc()
        return BUG
    return code if isinstance(code, int) else DONE


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Compile typed LM programs into better ones, with proof of the gain."""
    if show_version:
        print(version("lmprog"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("compile")
def compile_command(
    task: Annotated[
        str, typer.Argument(metavar="TASK_OR_FILE", help="A name (`lmprog tasks`), or path.py:NAME of a Task.")
    ],
    lm: Annotated[str | None, typer.Option(help="Spec of the LM, such as tiny.")] = None,
    proposer: Annotated[str | None, typer.Option(help="LM that writes instructions.  [default: the LM]")] = None,
    teacher: Annotated[str | None, typer.Option(help="LM that works out demos.  [default: the LM]")] = None,
    judge: Annotated[str | None, typer.Option(help="LM that metrics may call.  [default: the LM]")] = None,
    optimizer: Annotated[str, typer.Option(help="NAME[:option=value,...], several as 'a -> b'.")] = "mipro",
    budget: Annotated[
        str, typer.Option(help="light, medium, heavy, or calls=..,tokens=..,usd=..,seconds=..")
    ] = "light",
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Where the run is kept.  [default: runs/ and a name made of all that decides it]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides splits and search.")] = 0,
    gate: Annotated[Gate, typer.Option(help="What must hold for the compiled program to ship.")] = "no-harm",
    concurrency: Annotated[int, typer.Option(min=1, help="LM calls at once.")] = loop.DEFAULT_CONCURRENCY,
    out: Annotated[Path | None, typer.Option(help="Also write the artifact here.")] = None,
    data: Annotated[Path | None, typer.Option(help="Rows to use for the task's own, JSON Lines.")] = None,
    val: Annotated[Path | None, typer.Option(help="Validation rows, JSON Lines.  [default: part of --data]")] = None,
    holdout: Annotated[Path | None, typer.Option(help="Holdout rows, JSON Lines.  [default: part of --data]")] = None,
    as_json: Json = False,
) -> Exit:
    """Search better instructions and demos for a task's program, and prove the gain.

    A killed or interrupted run goes on where it was with the same command; a finished one returns at once.
    """
    console = console_on(sys.stderr if as_json else sys.stdout)
    found = task_of(task)
    program = program_of(found)
    train, val_rows, holdout_rows = rows_given(found, program, data, val, holdout)
    client, embedded = lm_of(
        lm, embedded="tiny" in found.lms, why_not=f"the task {found.name} names no LM that it runs on"
    )
    job = Job(
        program,
        train=train,
        val=val_rows,
        holdout=holdout_rows,
        metric=found.metric,
        optimizer=optimizer,
        lm=client,
        proposer=proposer,
        teacher=teacher,
        judge=judge,
        budget=budget_of(budget),
        run_dir=run_dir,
        seed=seed,
        gate=gate,
        concurrency=concurrency,
    )
    say(console, f"compiling {found.name}: {type(program).__name__} with {optimizer}, budget {budget}", "bold")
    if embedded:
        say(console, "on tiny, the embedded LM, as neither --lm nor LMPROG_LM names another")
    progress = Progress(console)
    try:
        with progress:
            result = loop.run(run_job(job, [progress]), instead="")
    except LmprogError as error:
        return _failed(error, _code_of(error, started=progress.heard > 0), saved=progress.heard > 0)
    except KeyboardInterrupt:
        print("interrupted. What was done is saved: the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
    if out is not None:
        result.save(out)
    finished_before = not progress.heard
    tell_result(console, result, finished_before=finished_before, facts=RunDir(result.run_dir).facts())
    if out is not None:
        say(console, f"saved to  {out}")
    if as_json:
        print(json.dumps(_result_data(result, out), ensure_ascii=False, indent=2))
    return DONE if result.shipped == "compiled" else BASELINE


@app.command()
def show(artifact: Annotated[Path, typer.Argument(help="A file that compiling wrote.")], as_json: Json = False) -> None:
    """Show what an artifact holds: program, certificate, instructions and demos, LMs, packages."""
    read = read_artifact(artifact)
    if as_json:
        print(json.dumps(read.manifest, ensure_ascii=False, indent=2, sort_keys=True))
    else:
        tell_artifact(console_on(sys.stdout), read.manifest, read.params, read.certificate)


@app.command()
def run(
    artifact: Annotated[Path, typer.Argument(help="A file that compiling wrote.")],
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Inputs; lists and numbers as JSON.")
    ] = None,
    lm: Annotated[str | None, typer.Option(help="Spec of the LM.  [default: LMPROG_LM, or the embedded one]")] = None,
    program: Annotated[
        str | None, typer.Option(help="path.py:FACTORY of what makes the program, where it is your own class.")
    ] = None,
    input_text: Annotated[str | None, typer.Option("--input", help="Inputs as a JSON object.")] = None,
    as_json: Json = False,
) -> Exit:
    """Run a compiled program on inputs, or on each line of JSON Lines from standard input."""
    read = read_artifact(artifact)
    if program is None and not _ships(read.manifest["program"]["type"]):
        kind = read.manifest["program"]["type"]
        raise InputError(
            f"{artifact} is of the program {kind}, which lmprog does not ship: add --program path.py:FACTORY."
        )
    loaded: Program = load(artifact) if program is None else load(artifact, program_at(program))
    recorded = read.manifest["lms"].get("task")
    known = f"{artifact} was compiled for {recorded!r}, which is not an embedded LM"
    client, _ = lm_of(lm, embedded=str(recorded).startswith("tiny"), why_not=known)
    inputs = inputs_said(loaded, pairs or [], input_text)
    if inputs is None and sys.stdin.isatty():
        wanted = " ".join(f"{name}=VALUE" for name in inputs_of(loaded))
        raise InputError(
            f"there is nothing to run on. Write {wanted}, --input JSON, or send JSON Lines to standard input."
        )
    rows = iter([inputs]) if inputs is not None else inputs_on(sys.stdin, loaded)
    code, several = DONE, inputs is None
    with using(lm=client) if client is not None else using():
        while batch := list(itertools.islice(rows, AT_ONCE)):
            for outcome in loop.run(loop.gather([_run_row(loaded, row) for row in batch]), instead=""):
                code = BUG if isinstance(outcome, OutputError) else code
                _print_outcome(outcome, as_json=as_json, several=several)
    return code


@app.command()
def tasks(as_json: Json = False) -> None:
    """List the tasks that can be compiled by name."""
    found = all_tasks()
    if as_json:
        print(json.dumps([{"name": task.name, "about": task.about, "lms": task.lms} for task in found], indent=2))
    else:
        rows = [(task.name, task.about, ", ".join(task.lms) or "-") for task in found]
        tell_table(console_on(sys.stdout), ("task", "about", "runs on"), rows)


@app.command()
def optimizers(as_json: Json = False) -> None:
    """List the optimizers, as --optimizer takes them."""
    found = {name: (inspect.getdoc(type(named(name))) or "").partition("\n")[0] for name in names("optimizers")}
    if as_json:
        print(json.dumps([{"name": name, "about": about} for name, about in found.items()], indent=2))
    else:
        tell_table(console_on(sys.stdout), ("optimizer", "about"), found.items())


def _code_of(error: LmprogError, *, started: bool = False) -> Exit:
    match error:
        case CapReached():
            return CAP_HIT
        case MetricError() | OutputError():
            return BUG
        case LMError() if started:
            return LM_LOST
        case _:
            return WRONG_USE


def _failed(error: LmprogError | typer.TyperException, code: Exit, *, saved: bool = False) -> Exit:
    """Say what was wrong; its first line is all that a log needs."""
    if os.environ.get(DEBUG) and isinstance(error, LmprogError):
        traceback.print_exception(error)
    text = str(error) if isinstance(error, LmprogError) else f"{error.format_message()} See `lmprog --help`."
    print(f"error: {text}", file=sys.stderr)
    if saved:
        print("What was done is saved: the same command goes on from there.", file=sys.stderr)
    return code


def _result_data(result: CompileResult[Any], out: Path | None) -> dict[str, Any]:
    return {
        "shipped": result.shipped,
        "certificate": result.certificate.to_json(),
        "summary": str(result.certificate),
        "run_dir": str(result.run_dir),
        "artifact": str(out or result.run_dir / RESULT),
        "report": str(result.report),
        "spent": json.loads(result.spent.to_json()),
        "seconds": result.seconds,
    }


def _ships(kind: str) -> bool:
    """Tell whether a program is made of what lmprog ships alone."""
    return kind.partition(":")[0] == "lmprog.predict" or kind.startswith("lmprog.programs.")


async def _run_row(program: Program, inputs: dict[str, Any]) -> object:
    try:
        return await program.acall(**inputs)  # type: ignore[misc]
    except OutputError as error:
        return error


def _print_outcome(outcome: object, *, as_json: bool, several: bool) -> None:
    if isinstance(outcome, OutputError):
        print(f"error: {outcome}", file=sys.stderr)
        if as_json:
            print(json.dumps({"error": str(outcome)}), flush=True)
        return
    data = _plain(outcome)
    if as_json:
        print(json.dumps(data, ensure_ascii=False), flush=True)
        return
    if isinstance(data, dict):
        for name, value in cast("dict[str, Any]", data).items():
            print(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    else:
        print(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))
    if several:
        print(flush=True)


def _plain(outcome: object) -> Any:
    """Return what a program gave as JSON data: of a prediction, its outputs."""
    if isinstance(outcome, Signature):
        fields = fields_of(type(outcome)).outputs
        return {name: field.encode(getattr(outcome, name)) for name, field in fields.items()}
    return to_jsonable_python(outcome, fallback=str)
