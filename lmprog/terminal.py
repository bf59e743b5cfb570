"""What the command line prints: how a compile goes, what it changed, what an artifact holds."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lmprog.certificate import Certificate
from lmprog.compiler import PROBE, CompileResult
from lmprog.events import CandidateScored, Event, IncumbentChanged, RoundStarted, StageEnded, Stopped
from lmprog.params import Demo, Params, PredictorParams
from lmprog.rundir import RESULT

CLIPPED = 100
"""Characters of a demo's value that are shown."""
LEAST = 20
"""Characters of a value that are shown on however narrow a terminal."""
BAR = 32
REFRESHES_PER_SECOND = 8


def console_on(file: TextIO) -> Console:
    """Return a console that neither marks up nor wraps what users wrote."""
    return Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)


def say(console: Console, text: str | Text = "", style: str = "") -> None:
    """Write a line at once, whole: a pipe's reader sees each line when it is written."""
    console.print(Text(text, style) if isinstance(text, str) else text, soft_wrap=True)


@dataclass(slots=True)
class _State:
    """What is known of a run from the events so far."""

    doing: str = "trying the program on a few rows"
    requested: int = 0
    cap: int | None = None
    baseline: float | None = None
    best: float | None = None
    heard: int = 0
    round_scores: list[float] = field(default_factory=list[float])


class Progress:
    """A listener that shows how a compile goes: lines for what happened and, on a terminal, a live one for what happens."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now, self._began, self._state = console, now, now(), _State()
        self._live: Live | None = None

    @property
    def heard(self) -> int:
        """How many events there were; none before the LM has answered."""
        return self._state.heard

    def __enter__(self) -> Self:
        if self._console.is_terminal:
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
        self._state.heard += 1
        self._state.requested = event.requested if not isinstance(event, CandidateScored) else self._state.requested
        for line in _lines(event, self._state):
            say(self._console, Text.assemble((f"{self._clock():>6}  ", "dim"), line))

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self._now() - self._began), 60)
        return f"{minutes}:{seconds:02}"

    def _now_doing(self) -> RenderableType:
        state = self._state
        head = Table.grid(padding=(0, 1))
        head.add_row(Text(f"{self._clock():>6}", "dim"), Spinner("dots"), Text(state.doing))
        figures = [f"{state.requested} of {state.cap} calls" if state.cap else f"{state.requested} calls"]
        if state.best is not None:
            figures.append(f"best {state.best:.2f}, baseline {state.baseline:.2f}")
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(state.cap, min(state.requested, state.cap or 0), width=BAR, pulse=state.cap is None)
        row.add_row(Text(" " * 7), bar, Text(" · ".join(figures)))
        return Group(head, row)


def _lines(event: Event, state: _State) -> Iterable[Text]:
    """Return what to write about an event, and note in the state what goes on after it."""
    match event:
        case StageEnded(stage=stage, facts=facts):
            if stage == PROBE:
                state.cap = int(facts["calls"]) or None
            state.doing = _AFTER.get(stage, "searching")
            yield Text(_stage_in_words(stage, facts))
        case RoundStarted(round=number, candidates=candidates, rows=rows):
            state.doing = f"round {number}: {_count(candidates, 'candidate')}, {_count(rows, 'run')} of the program"
            if candidates:
                yield Text(f"{state.doing}; {_of_cap(state)}", "dim")
        case CandidateScored(round=0, scores=scores) if state.baseline is None:
            state.baseline = sum(scores) / len(scores)
            yield Text(f"the program as it is scores {state.baseline:.2f} on {len(scores)} validation rows")
        case CandidateScored():
            return
        case IncumbentChanged(score=score):
            better = state.best is not None and score > state.best
            state.best = score if better or state.best is None else state.best
            if better:
                yield Text(f"new best {score:.2f}", "bold green")
        case Stopped(reason=reason):
            state.doing = "proving the gain on the holdout"
            yield Text(f"the search ended: {reason}; {_of_cap(state)}")


_AFTER = {
    PROBE: "scoring the program as it is, and collecting demos",
    "demos": "writing instructions",
    "certificate": "writing artifact and report",
}
"""What goes on once a stage has ended."""


def _stage_in_words(stage: str, facts: Mapping[str, int | float | str]) -> str:
    if stage == PROBE:
        cap = f"budget {facts['calls']} calls" if facts["calls"] else "calls are not capped"
        return f"the program takes {facts['calls_per_row']:g} calls a row; {cap}, {facts['reserved']} of them kept for the proof"
    values = ", ".join(f"{name.replace('_', ' ')} {_figure(value)}" for name, value in facts.items())
    return f"{stage}: {values}"


def _figure(value: float | str) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _of_cap(state: _State) -> str:
    return f"{state.requested} of {state.cap} calls" if state.cap else f"{state.requested} calls"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def tell_result(
    console: Console, result: CompileResult[Any], *, finished_before: bool, facts: Mapping[str, Any]
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
        tell_changes(console, result.baseline_params, result.params)
    else:
        say(console, "The program ships as it was: what the search found did not pass the gate on the holdout.")
    say(console)
    say(console, f"artifact  {result.run_dir / RESULT}")
    say(console, f"report    {result.report}")


def tell_changes(console: Console, before: Params, after: Params) -> None:
    """Print each predictor whose params changed: the instruction before and after, and the demos."""
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
        if new.demos != old.demos:
            say(console, f"  demos {len(old.demos)} -> {len(new.demos)}")
            _tell_demos(console, new.demos)


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
        say(console, f"  {_count(len(value.demos), 'demo')}")
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


def _tell_text(console: Console, before: str, text: str, style: str) -> None:
    for line in text.splitlines() or [""]:
        say(console, before + line, style)


def _tell_rest(console: Console, params: PredictorParams) -> None:
    """Print what is neither instruction nor demo, where it is set."""
    for name, text in params.field_descriptions.items():
        say(console, f"  {name}: {text}")
    settings = {name: value for name, value in dict(params.config).items() if value is not None}
    if params.format != "chat":
        settings["format"] = params.format
    if params.weights is not None:
        settings["weights"] = params.weights.adapter
    for name, value in settings.items():
        say(console, f"  {name} = {value}")


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
