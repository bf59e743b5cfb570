"""The command line: `lmprog compile | plan | show | run | export | tasks | optimizers | recall | lm serve`."""

import inspect
import itertools
import json
import sys
import textwrap
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict, replace
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from typer.main import get_command

from lmprog import loop
from lmprog.arguments import (
    EMBEDDED,
    budget_of,
    check_out,
    inputs_on,
    inputs_said,
    lm_of,
    numbers_of,
    program_at,
    program_of,
    retriever_of,
    rows_given,
    task_of,
)
from lmprog.artifact import load, read_artifact
from lmprog.certificate import Gate
from lmprog.compiler import CompileResult
from lmprog.compiler import run as run_job
from lmprog.data import read_jsonl
from lmprog.errors import ContextError, InputError, LMError, LmprogError, OutputError
from lmprog.escapes import escaped
from lmprog.exits import (
    BASELINE,
    BUG,
    DONE,
    SAVED,
    WRONG_USE,
    Exit,
    error_data,
    failed,
    interruptible,
    print_json,
    unpipe,
)
from lmprog.job import Job
from lmprog.lm import client_of, default_lm, plain
from lmprog.lm.ledger import Ledger
from lmprog.lm.specs import url_in
from lmprog.module import Program, inputs_of, using
from lmprog.narration import count
from lmprog.optimizer import named
from lmprog.planning.findings import Plan
from lmprog.planning.plan import made as plan_job
from lmprog.recall import measure, questions_in
from lmprog.registry import names, written_options
from lmprog.request import LM
from lmprog.rundir import RESULT, RunDir
from lmprog.secrets import named_by_user
from lmprog.signature import Signature, fields_of
from lmprog.source import PartName
from lmprog.task import Task, find_task, options_of
from lmprog.task import tasks as all_tasks
from lmprog.terminal import (
    Progress,
    console_on,
    say,
    tell_artifact,
    tell_result,
    tell_table,
    tell_tasks,
)

AT_ONCE = 16
"""Rows of standard input that `lmprog run` runs at once."""
WIDEST = 100
"""Characters of a line of text that still reads well."""
_OF_ONE_ROW = (OutputError, ContextError)
"""Errors that say nothing about other rows."""

Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, all else on standard error.")]

TaskOrFile = Annotated[
    str,
    typer.Argument(
        metavar="TASK_OR_FILE",
        help="A name (`lmprog tasks`), with options as in gsm8k:train=100, or path.py:NAME of a Task.",
    ),
]
Lm = Annotated[str | None, typer.Option(help="Spec of the LM, such as tiny.")]
Proposer = Annotated[str | None, typer.Option(help="LM that writes instructions.  [default: the LM]")]
Teacher = Annotated[str | None, typer.Option(help="LM that works out demos.  [default: the LM]")]
Judge = Annotated[str | None, typer.Option(help="LM that metrics may call.  [default: the LM]")]
Optimizer = Annotated[str, typer.Option(help="NAME[:option=value,...], several as 'a -> b'.")]
BudgetSaid = Annotated[
    str,
    typer.Option(
        help="light, medium or heavy: as MIPRO with 6, 12 or 18 instructions and demo sets a predictor (`lmprog plan` tells the "
        "calls); or calls=..,tokens=..,usd=..,seconds=.."
    ),
]
RunDirectory = Annotated[
    Path | None,
    typer.Option(help="Where the run is kept.  [default: runs/ and a name made of all that decides it]"),
]
Seed = Annotated[int, typer.Option(help="Decides splits and search.")]
GateSaid = Annotated[Gate, typer.Option(help="What must hold for the compiled program to ship.")]
Concurrency = Annotated[int, typer.Option(min=1, help="LM calls at once.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Rows to use for the task's own, JSON Lines, as published or as its program takes them."),
]
Val = Annotated[Path | None, typer.Option(help="Validation rows, JSON Lines.  [default: part of --data]")]
Holdout = Annotated[Path | None, typer.Option(help="Holdout rows, JSON Lines.  [default: part of --data]")]

app = typer.Typer(
    help="Compile typed LM programs into better ones, with proof of the gain.",
    epilog=f"{loop.DEBUG}=1 shows where an error comes from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
lm_app = typer.Typer(help="Use LMs.")
app.add_typer(lm_app, name="lm")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 done, 1 a bug or a failed check, 2 wrong use, data or key, 3 the baseline shipped, 4 the LM was lost,
    5 a cap was hit before any certificate, 130 interrupted.
    """
    args = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in args
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever an LM wrote, it can be shown
    with interruptible():
        try:
            with get_command(app).make_context("lmprog", args) as context:
                code = context.command.invoke(context)
            sys.stdout.flush()
        except typer.Exit as done:
            return DONE if done.exit_code == 0 else WRONG_USE
        except BrokenPipeError as error:
            unpipe()
            return failed(error, as_json=False)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  a bug, ours or of the user's code, is shown as one
            return failed(error, as_json=as_json)
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
    task: TaskOrFile,
    lm: Lm = None,
    proposer: Proposer = None,
    teacher: Teacher = None,
    judge: Judge = None,
    optimizer: Optimizer = "mipro",
    budget: BudgetSaid = "light",
    run_dir: RunDirectory = None,
    seed: Seed = 0,
    gate: GateSaid = "no-harm",
    concurrency: Concurrency = loop.DEFAULT_CONCURRENCY,
    out: Annotated[Path | None, typer.Option(help="Also write the artifact here.")] = None,
    data: Data = None,
    val: Val = None,
    holdout: Holdout = None,
    no_rows: Annotated[
        bool, typer.Option("--no-rows", help="Keep what stands in rows out of the report and off the screen.")
    ] = False,
    as_json: Json = False,
) -> Exit:
    """Search better instructions and demos for a task's program, and prove the gain.

    A killed or interrupted run goes on where it was with the same command; a finished one returns at once.
    """
    with _for_json(as_json) as standard_output:
        console = console_on(sys.stdout)
        found, given, embedded = _given(task, lm, data, val, holdout)
        job = replace(
            given,
            optimizer=optimizer,
            proposer=proposer,
            teacher=teacher,
            judge=judge,
            budget=budget_of(budget),
            run_dir=run_dir,
            seed=seed,
            gate=gate,
            concurrency=concurrency,
            no_rows=no_rows,
        )
        if out is not None:
            check_out(out)
        say(console, f"compiling {found.name}: {type(job.program).__name__} with {optimizer}, budget {budget}", "bold")
        _tell_rows(console, found)
        if embedded:
            say(console, "on tiny, the embedded LM, as neither --lm nor LMPROG_LM names another")
        result, finished_before = _compiled(job, console)
        if out is not None:
            result.save(out)
        facts = RunDir(result.run_dir).facts()
        tell_result(console, result, finished_before=finished_before, facts=facts, show_rows=not no_rows)
        if out is not None:
            say(console, f"saved to  {out}")
        if as_json:
            print_json(_result_data(result, out), standard_output, indent=2)
    return DONE if result.shipped == "compiled" else BASELINE


@app.command("plan")
def plan_command(
    task: TaskOrFile,
    lm: Lm = None,
    proposer: Proposer = None,
    teacher: Teacher = None,
    judge: Judge = None,
    optimizer: Optimizer = "mipro",
    budget: BudgetSaid = "light",
    run_dir: RunDirectory = None,
    seed: Seed = 0,
    gate: GateSaid = "no-harm",
    concurrency: Concurrency = loop.DEFAULT_CONCURRENCY,
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
    data: Data = None,
    val: Val = None,
    holdout: Holdout = None,
    no_rows: Annotated[bool, typer.Option("--no-rows", hidden=True)] = False,
    as_json: Json = False,
) -> Exit:
    """Tell what the same `compile` would take, what its rows can prove, and whether there is anything to win.

    Tries the program on a few rows, with about a tenth of the budget; the compile does not send these calls again.
    """
    with _for_json(as_json) as standard_output:
        console = console_on(sys.stdout)
        found, given, embedded = _given(task, lm, data, val, holdout)
        job = replace(
            given,
            optimizer=optimizer,
            proposer=proposer,
            teacher=teacher,
            judge=judge,
            budget=budget_of(budget),
            run_dir=run_dir,
            seed=seed,
            gate=gate,
            concurrency=concurrency,
            no_rows=no_rows,
        )
        if out is not None:
            check_out(out)  # as `compile` would
        say(console, f"planning {found.name}: {type(job.program).__name__} with {optimizer}, budget {budget}", "bold")
        _tell_rows(console, found)
        if embedded:
            say(console, "on tiny, the embedded LM, as neither --lm nor LMPROG_LM names another")
        with console.status("trying the program on a few rows, then rehearsing the compile"):
            plan = loop.run(plan_job(job), instead="")
        _tell_plan(console, plan)
        if as_json:
            print_json(plan.to_json(), standard_output, indent=2)
    return DONE


@app.command()
def show(artifact: Annotated[Path, typer.Argument(help="A file that compiling wrote.")], as_json: Json = False) -> None:
    """Show what an artifact holds: program, certificate, instructions and demos, LMs, packages."""
    read = read_artifact(artifact)
    if as_json:
        print_json(read.manifest, sys.stdout, indent=2)
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
    with _for_json(as_json) as standard_output:
        read = read_artifact(artifact)
        if program is None and not _ships(read.manifest["program"]["type"]):
            kind = read.manifest["program"]["type"]
            raise InputError(
                f"{artifact} is of the program {kind}, which lmprog does not ship: add --program path.py:FACTORY."
            )
        named_by_user(url_in(lm or ""))
        loaded: Program = load(artifact) if program is None else load(artifact, program_at(program))
        recorded = read.manifest["lms"].get("task")
        known = f"{artifact} was compiled for {recorded!r}, which is not an embedded LM"
        example = str(recorded) if str(recorded).startswith("http") else EMBEDDED
        client, _ = lm_of(lm, embedded=str(recorded).startswith(EMBEDDED), why_not=known, example=example)
        inputs = inputs_said(loaded, pairs or [], input_text)
        rows = iter([("", inputs)]) if inputs is not None else _inputs_sent(loaded)
        code, several = DONE, inputs is None
        chosen = default_lm() if client is None else client
        with using(lm=None if chosen is None else plain(client_of(chosen))):
            while batch := list(itertools.islice(rows, AT_ONCE)):
                outcomes = loop.run(loop.gather([_run_row(loaded, row) for _, row in batch]), instead="")
                for (where, _), outcome in zip(batch, outcomes, strict=True):
                    if isinstance(outcome, _OF_ONE_ROW):
                        code = BUG
                    elif isinstance(outcome, LmprogError):
                        raise outcome
                    _print_outcome(outcome, standard_output, where, as_json=as_json, several=several)
    return code


@app.command()
def export(
    artifact: Annotated[Path, typer.Argument(help="A file that compiling wrote.")],
    merged: Annotated[
        Path, typer.Option(metavar="DIR", help="Merge its trained weights into their base, as a Hugging Face folder.")
    ],
    lm: Annotated[str | None, typer.Option(help="Spec of the base.  [default: LMPROG_LM, or the embedded one]")] = None,
    as_json: Json = False,
) -> None:
    """Write what an artifact holds for other tools to read."""
    from lmprog.merging import export_merged

    read = read_artifact(artifact)
    recorded = str(read.manifest["lms"].get("task"))
    unknown = f"{artifact} was compiled for {recorded!r}, which is not an embedded LM"
    client, _ = lm_of(lm, embedded=recorded.startswith(EMBEDDED), why_not=unknown, example="local/PATH_OR_ID")
    base = client_of(client or cast("LM", default_lm()))
    written = export_merged(read, base, merged)
    if as_json:
        print_json(to_jsonable_python([asdict(one) for one in written]), sys.stdout, indent=2)
        return
    console = console_on(sys.stdout)
    for one in written:
        say(console, f"{one.folder}: the weights of {', '.join(one.predictors)}")
        if one.program is not None:
            say(console, f"{one.program}: the program under its prompts, for an LM that serves these weights")
    if base.name.startswith(EMBEDDED):
        spec = f"--lm tiny/{written[0].folder}"
        say(
            console,
            f"The embedded LM has a layout of prompts of its own, which an engine does not know: use {spec}.",
        )


@app.command()
def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Tell all of this one, with its options.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the tasks that can be compiled by name: what each needs, where it runs, what others report on it."""
    if name is not None:
        _tell_task(name, as_json=as_json)
        return
    found = all_tasks()
    if as_json:
        print_json([_task_data(task) for task in found], sys.stdout, indent=2)
        return
    console = console_on(sys.stdout)
    tell_tasks(console, found)
    if console.is_terminal:
        say(
            console,
            "Options stand behind a name, as in gsm8k:train=100,seed=1; `lmprog tasks gsm8k` tells those of one.",
            "dim",
        )


def _tell_task(name: str, *, as_json: bool) -> None:
    alone, colon, _ = name.partition(":")
    if colon:
        raise InputError(
            f"{name!r} names options: write the task alone, `lmprog tasks {alone}`, which tells all it has."
        )
    task, options = find_task(name), options_of(name)
    if as_json:
        print_json({**_task_data(task), "options": [asdict(option) for option in options]}, sys.stdout, indent=2)
        return
    console = console_on(sys.stdout)
    tell_tasks(console, [task])
    tell_table(console, ("option", "values", "default"), [(each.name, each.values, each.default) for each in options])


@app.command()
def optimizers(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Tell all of this one: what it does and its options.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the optimizers, as --optimizer takes them."""
    if name is not None:
        _tell_optimizer(name, as_json=as_json)
        return
    kinds = {name: type(named(name)) for name in names("optimizers")}
    found = {name: (inspect.getdoc(kind) or "").partition("\n")[0] for name, kind in kinds.items()}
    if as_json:
        options = {name: sorted(getattr(kind, "__dataclass_fields__", {})) for name, kind in kinds.items()}
        data = [{"name": name, "about": about, "options": options[name]} for name, about in found.items()]
        print_json(data, sys.stdout, indent=2)
        return
    console = console_on(sys.stdout)
    tell_table(console, ("optimizer", "about"), found.items())
    if console.is_terminal:
        say(
            console,
            "Options stand behind a name, as in mipro:candidates=12; `lmprog optimizers mipro` tells those of one.",
            "dim",
        )


def _tell_optimizer(name: str, *, as_json: bool) -> None:
    optimizer = named(name)
    about = inspect.getdoc(type(optimizer)) or ""
    options = written_options(optimizer)
    if as_json:
        print_json(
            {"name": name, "about": about, "options": [asdict(option) for option in options]}, sys.stdout, indent=2
        )
        return
    console = console_on(sys.stdout)
    for paragraph in about.split("\n\n"):
        text = " ".join(paragraph.split())
        say(console, textwrap.fill(text, min(console.width, WIDEST)) if console.is_terminal else text)
        say(console)
    tell_table(console, ("option", "values", "default"), [(each.name, each.values, each.default) for each in options])


@app.command("recall")
def recall_command(
    data: Annotated[
        Path,
        typer.Argument(
            help="Rows with `question`, `paragraphs` as [{title, text}] and `gold_titles`, or as MuSiQue has them."
        ),
    ],
    k: Annotated[str, typer.Option(help="Numbers of passages to look at.")] = "1,2,5,10",
    retriever: Annotated[
        str, typer.Option(help="bm25, the URL of a search endpoint, or path.py:FACTORY of a function of (passages, k).")
    ] = "bm25",
    as_json: Json = False,
) -> None:
    """Report how many of the paragraphs that questions take a retriever finds, among those of all rows."""
    with _for_json(as_json) as standard_output:
        ks = numbers_of(k, "--k")
        questions = questions_in(read_jsonl(data), what=str(data))
        found = measure(questions, retriever_of(retriever, questions.passages, ks[-1]), ks)
        counts = {"questions": len(questions.asked), "passages": len(questions.passages)}
        if as_json:
            said = {"data": str(data), "retriever": retriever, **counts, "at": [asdict(one) for one in found]}
            print_json(said, standard_output, indent=2)
            return
        many = ", ".join(count(number, thing.removesuffix("s")) for thing, number in counts.items())
        say(console_on(sys.stderr), f"{retriever}: {many}")
        columns = ("k", "recall", "95%", "all found", "95%")
        rows = [
            (f"{at.k}", f"{at.recall:.3f}", f"{at.interval}", f"{at.complete:.3f}", f"{at.complete_interval}")
            for at in found
        ]
        tell_table(console_on(standard_output), columns, rows)


@lm_app.command("serve")
def lm_serve(
    spec: Annotated[str, typer.Argument(help="Spec of the LM.")] = EMBEDDED,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8000,
    key: Annotated[
        str | None, typer.Option(envvar="LMPROG_SERVE_KEY", help="What clients have to send; none where it is not set.")
    ] = None,
) -> None:
    """Answer OpenAI's chat protocol with an LM, the embedded one unless another is named, until Ctrl-C."""
    from lmprog.serve import serve  # loads a web server, which is optional

    serve(spec, host=host, port=port, key=key)


def _given(
    task: str, lm: str | None, data: Path | None, val: Path | None, holdout: Path | None
) -> tuple[Task, Job[Program], bool]:
    """Return the task, the job of its program, rows and LM, and whether that is the embedded one for want of another."""
    said: dict[PartName, Path | None] = {"train": data, "val": val, "holdout": holdout}
    files: dict[PartName, Path] = {part: path for part, path in said.items() if path is not None}
    found = task_of(task, files)
    why_not, example = f"the task {found.name} names no LM that it runs on", EMBEDDED
    if found.not_tiny:
        why_not, example = f"the task {found.name} does not run on {EMBEDDED}: {found.not_tiny}", "openai/MODEL"
    client, embedded = lm_of(lm, embedded=EMBEDDED in found.lms, why_not=why_not, example=example)
    program = program_of(found)  # may read the rows, which takes a while
    train, val_rows, holdout_rows = rows_given(found, program, files)
    return found, Job(program, train, found.metric, val_rows, holdout_rows, lm=client, task=found.settings), embedded


def _tell_rows(console: Console, task: Task) -> None:
    """Say which rows of a published data set, or of a file in its place, are used for what."""
    if task.source is not None:
        splits = task.source()
        sizes = f"{len(splits.train)} train, {len(splits.val)} validation, {len(splits.holdout)} holdout"
        say(console, f"on rows of {task.source}: {sizes}")


def _task_data(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "about": task.about,
        "lms": task.lms,
        "not_tiny": task.not_tiny,
        "needs": task.requirements,
        "capabilities": sorted(task.capabilities),
        "options": [option.name for option in options_of(task.name)],
        "rows": None if task.source is None else task.source.facts(),
        "published": [asdict(score) for score in task.published],
    }


def _tell_plan(console: Console, plan: Plan) -> None:
    """Print a plan, on a terminal in its width; in a pipe each sentence is a line."""
    head, *rows = plan.table()
    say(console)
    say(console, head, "bold")
    for row in rows:
        say(console, row, "dim" if row is rows[-1] else "")
    say(console)
    for text in plan.sentences():
        style = "" if text not in _verdict(plan) else "bold green" if plan.worthwhile else "bold yellow"
        wrapped = textwrap.wrap(text, min(console.width, WIDEST)) if console.is_terminal else [text]
        for line in wrapped:
            say(console, line, style)


def _verdict(plan: Plan) -> tuple[str, ...]:
    return plan.advice or (plan.sentences()[-1],)


def _compiled(job: Job[Program], console: Console) -> tuple[CompileResult[Program], bool]:
    """Compile, showing how it goes, and tell whether the run was finished before."""
    ledger = Ledger()
    progress = Progress(console, lambda: ledger.requested)
    try:
        with progress:
            result = loop.run(run_job(job, [progress], ledger=ledger), instead="")
    except BaseException as error:
        if (progress.heard and isinstance(error, LMError | BrokenPipeError)) or isinstance(error, KeyboardInterrupt):
            error.add_note(SAVED)
        raise
    return result, not progress.heard


@contextmanager
def _for_json(as_json: bool) -> Generator[TextIO]:
    """Yield standard output, for JSON alone: what the user's code prints goes to standard error meanwhile."""
    standard_output = sys.stdout
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        yield standard_output


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


def _inputs_sent(program: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the inputs on each line of standard input, and where it stands, or raise InputError where there is no line."""
    rows = iter(()) if sys.stdin is None or sys.stdin.isatty() else inputs_on(sys.stdin, program)
    first = next(rows, None)
    if first is None:
        wanted = " ".join(f"{name}=VALUE" for name in inputs_of(program))
        raise InputError(
            f"there is nothing to run on: no line came on standard input. Write {wanted}, --input JSON, or send JSON Lines."
        )
    yield first
    yield from rows


async def _run_row(program: Program, inputs: dict[str, Any]) -> object:
    """Return what the program gave, or the error: rows that went well are not lost with one that did not."""
    try:
        return await program.acall(**inputs)  # type: ignore[misc]
    except LmprogError as error:
        return error


def _print_outcome(outcome: object, out: TextIO, where: str, *, as_json: bool, several: bool) -> None:
    if isinstance(outcome, LmprogError):
        said = error_data(outcome)
        print(f"error: {f'{where}: ' if where else ''}{escaped(said['message'])}", file=sys.stderr)
        if as_json:
            print_json({"error": said}, out)
        return
    data = _plain(outcome)
    if as_json:
        print_json(data, out)
        return
    values = cast("dict[str, Any]", data).items() if isinstance(data, dict) else [("", data)]
    for name, value in values:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        # indented, so that no value passes for another; the mark keeps a line break at the end
        line = "\n  ".join(f"{name}: {text}|".splitlines())[:-1] if name else text
        print(escaped(line) if out.isatty() else line, file=out)
    if several:
        print(file=out, flush=True)


def _plain(outcome: object) -> Any:
    """Return what a program gave as JSON data: of a prediction, its outputs."""
    if isinstance(outcome, Signature):
        fields = fields_of(type(outcome)).outputs
        return {name: field.encode(getattr(outcome, name)) for name, field in fields.items()}
    return to_jsonable_python(outcome, fallback=str)
