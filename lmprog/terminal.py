"""What the command line prints: how a compile goes, what it changed, what an artifact holds."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lmprog.certificate import Certificate
from lmprog.compiler import CompileResult
from lmprog.escapes import escaped
from lmprog.events import Event, IncumbentChanged, RoundStarted
from lmprog.narration import Narration, count
from lmprog.params import Demo, Params, PredictorParams
from lmprog.report.history import History
from lmprog.rundir import JOURNAL, RESULT, read_journal
from lmprog.task import Task

EMBEDDED = "tiny"
CLIPPED = 100
"""Characters of a demo's value that are shown."""
LEAST = 20
"""Characters of a value that are shown on however narrow a terminal."""
BAR = 32
REFRESHES_PER_SECOND = 8


def console_on(file: TextIO) -> Console:
    """Return a console that neither marks up nor wraps what users wrote."""
    return _Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError: an exit, as rich would have it, must not come from within the event loop."""
        raise


def say(console: Console, text: str | Text = "", style: str = "") -> None:
    """Write a line at once, whole: a pipe's reader sees each line when it is written."""
    console.print(Text(escaped(text), style) if isinstance(text, str) else text, soft_wrap=True)


class Progress:
    """A listener that shows how a compile goes: lines for what happened and, on a terminal, a live one for what happens."""

    def __init__(
        self, console: Console, requested: Callable[[], int], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._requested, self._now, self._began = console, requested, now, now()
        self._narration, self._spinner = Narration(), Spinner("dots")
        self._live: Live | None = None

    @property
    def heard(self) -> int:
        """How many events there were; none before the LM has answered."""
        return self._narration.heard

    def __enter__(self) -> Self:
        if (
            self._console.file.isatty() and not self._console.is_dumb_terminal
        ):  # FORCE_COLOR makes no terminal of a pipe
            self._live = Live(
                get_renderable=self._now_doing,
                console=self._console,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in an event, and write a line where it is worth one."""
        line = self._narration.tell(event)
        if line is not None:
            say(
                self._console,
                Text.assemble((f"{self._clock():>6}  ", "dim"), (escaped(line), _STYLES.get(type(event), ""))),
            )

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self._now() - self._began), 60)
        return f"{minutes}:{seconds:02}"

    def _now_doing(self) -> RenderableType:
        story, requested = self._narration, self._requested()
        head = Table.grid(padding=(0, 1))
        head.add_row(Text(f"{self._clock():>6}", "dim"), self._spinner, Text(story.doing))
        figures = [f"{requested} of {story.cap} calls" if story.cap else f"{requested} calls"]
        if story.best is not None:
            figures.append(f"best {story.best:.2f}, baseline {story.baseline:.2f}")
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(story.cap, min(requested, story.cap or 0), width=BAR, pulse=story.cap is None)
        row.add_row(Text(" " * 7), bar, Text(" · ".join(figures)))
        return Group(head, row)


_STYLES: Mapping[type[Event], str] = {RoundStarted: "dim", IncumbentChanged: "bold green"}


def tell_result(
    console: Console, result: CompileResult[Any], *, finished_before: bool, facts: Mapping[str, Any], show_rows: bool
) -> None:
    """Print what a compile gained, what it changed and where everything lies."""
    certificate = result.certificate
    requested = sum(certificate.requested.values())
    say(console)
    say(console, str(certificate), "bold green" if result.shipped == "compiled" else "bold yellow")
    say(console)
    for name, score in (("baseline", certificate.baseline), ("compiled", certificate.compiled)):
        say(console, f"{name:<10}{score:.2f} on {certificate.n} holdout rows")
    if finished_before:
        took = f", in {facts['seconds']:.1f} s" if "seconds" in facts else ""
        say(console, f"{'calls':<10}0 now: this run was finished before, with {requested} requested{took}")
    else:
        sent = result.spent.total_sent
        paid = f", {sent.usd:.2f} USD" if sent.usd else ""
        say(console, f"{'calls':<10}{requested} requested, {sent.calls} sent now{paid}, in {result.seconds:.1f} s")
    say(console)
    if result.shipped == "compiled":
        tell_changes(console, result.baseline_params, result.params, show_rows=show_rows)
    else:
        history = History.read(read_journal(result.run_dir / JOURNAL))
        why = history.nothing_found(rows=show_rows) or "What the search found did not pass the gate on the holdout."
        say(console, f"The program ships as it was. {why}")
    say(console)
    say(console, f"artifact  {result.run_dir / RESULT}")
    say(console, f"report    {result.report}")


def tell_changes(console: Console, before: Params, after: Params, *, show_rows: bool) -> None:
    """Print each predictor whose params changed: the instruction before and after, and the demos, which hold rows."""
    for path, new in after.items():
        old = before[path]
        if new == old:
            say(console, Text.assemble((path, "bold"), " is as it was"))
            continue
        say(console, path, "bold")
        if new.instruction == old.instruction:
            say(console, "  instruction as it was")
        else:
            _tell_text(console, "  - ", old.instruction, "red")
            _tell_text(console, "  + ", new.instruction, "green")
        rest = _rest(old), _rest(new)
        for name in dict.fromkeys([*rest[0], *rest[1]]):
            was, now = (values.get(name, "unset") for values in rest)
            if was != now:
                say(console, f"  {name}: {was} -> {now}")
        if new.demos != old.demos:
            say(console, f"  demos {len(old.demos)} -> {len(new.demos)}")
            _tell_demos(console, new.demos if show_rows else ())


def tell_artifact(
    console: Console, manifest: Mapping[str, Any], params: Params, certificate: Certificate | None
) -> None:
    """Print what an artifact holds: program, proof, LMs, packages and the params of each predictor."""
    lms = {
        name: [role for role in manifest["lms"] if manifest["lms"][role] == name] for name in manifest["lms"].values()
    }
    packages = ", ".join(f"{name} {version}" for name, version in manifest["packages"].items())
    rows = {
        "program": manifest["program"]["type"],
        "proof": "none: this program was saved without being compiled" if certificate is None else str(certificate),
        "lm": "; ".join(f"{name} ({', '.join(roles)})" for name, roles in lms.items()) or "not recorded",
        "packages": packages,
    }
    for name, value in rows.items():
        say(console, f"{name:<10}{value}")
    for path, value in params.items():
        say(console)
        say(console, path, "bold")
        _tell_text(console, "  ", value.instruction, "")
        _tell_rest(console, value)
        say(console, f"  {count(len(value.demos), 'demo')}")
        _tell_demos(console, value.demos)


def tell_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings; in a pipe as lines of tab-separated fields without headings, for other programs."""
    if not console.is_terminal:
        for row in rows:
            print(*row, sep="\t", file=console.file)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def tell_tasks(console: Console, tasks: Iterable[Task]) -> None:
    """Print each task with where it runs, what it needs and what others report; in a pipe as a line of five fields."""
    if not console.is_terminal:
        tell_table(console, (), [tuple("; ".join(lines) or "-" for lines in _about(task).values()) for task in tasks])
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for task in tasks:
        name, about, *rest = _about(task).items()
        table.add_row(Text(name[1][0], "bold"), "", about[1][0])
        for head, lines in rest:
            for line in lines:
                table.add_row("", Text(head, "dim"), line)
        table.add_row()
    console.print(table)


def _about(task: Task) -> dict[str, list[str]]:
    """Return what a list of tasks says of one, by heading."""
    sampled = (
        [f"an LM with the capability {', '.join(extra)}"] if (extra := sorted(task.capabilities - {"generate"})) else []
    )
    reported: dict[str, list[str]] = {}
    for one in task.published:
        reported.setdefault(f"{one.lm}, {one.where.partition(',')[0]}", []).append(f"{one.system} {one.score:g}%")
    return {
        "task": [task.name],
        "about": [task.about],
        "runs on": [f"{', '.join(task.lms)}, any other" if task.lms else f"any LM but {EMBEDDED}: {task.not_tiny}"],
        "needs": ["; ".join([*sampled, *task.requirements])] if sampled or task.requirements else [],
        "published": [f"{head}: {', '.join(scores)}" for head, scores in reported.items()],
    }


def _tell_text(console: Console, before: str, text: str, style: str) -> None:
    for line in text.splitlines() or [""]:
        say(console, before + line, style)


def _tell_rest(console: Console, params: PredictorParams) -> None:
    """Print what is neither instruction nor demo, where it is set."""
    for name, value in _rest(params).items():
        if name != "format" or value != "chat":
            say(console, f"  {name} = {value}")


def _rest(params: PredictorParams) -> dict[str, object]:
    """Return what is neither instruction nor demo, by name."""
    descriptions = {f"description of {name}": text for name, text in params.field_descriptions.items()}
    settings = {name: value for name, value in dict(params.config).items() if value is not None}
    weights = {} if params.weights is None else {"weights": params.weights.adapter}
    return {**descriptions, **settings, "format": params.format, **weights}


def _tell_demos(console: Console, demos: Sequence[Demo]) -> None:
    for number, demo in enumerate(demos, start=1):
        inputs = [("     ", name, value) for name, value in demo.inputs.items()]
        outputs = [("   -> ", name, value) for name, value in demo.outputs.items()]
        for place, (before, name, value) in enumerate([*inputs, *outputs]):
            head = f"{f'  {number}. ' if place == 0 and inputs else before}{name}: "
            room = max(console.width - len(head), LEAST) if console.is_terminal else CLIPPED
            say(console, head + clipped(value, min(room, CLIPPED)), "" if before.strip() else "dim")


def clipped(value: object, most: int) -> str:
    """Return a value on one line of at most so many characters; of a list, how many entries it has and the first."""
    if isinstance(value, list) and (entries := cast("list[object]", value)):
        count = f"[{len(entries)} {'entry' if len(entries) == 1 else 'entries'}] "
        return count + clipped(entries[0], most - len(count))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: max(most - 3, 0)] + "..."
