"""Events -> the screen: a live table on a terminal, one quiet line a step elsewhere. All on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from tflbuild.core.step import Step
from tflbuild.execute.events import Event, Notice, StepAdvanced, StepEnded, StepFetching, StepRetried, StepStarted
from tflbuild.report.sweep_progress import (
    StepProgress,
    SweepProgress,
    VariantProgress,
    show_seconds,
    summarize_progress,
)
from tflbuild.terminal.output_filters import drawing_stream
from tflbuild.terminal.text_escaping import show_line, show_text

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 30
STATES = {"done": "green", "failed": "bold red", "waits": "dim"}
LEAST_SHARE = 0.05  # of a step that is done before its speed is believed
LEAST_LEFT = 2.0  # seconds; less is not worth a word
MARKS = {"ran": "green", "hit": "cyan", "failed": "bold red", "skipped": "yellow"}


class Console(Protocol):
    """Shows a run from its start to its end."""

    def __enter__(self) -> Console: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Take one event."""

    def say(self, text: str) -> None:
        """A line between the steps."""

    def follow(self, board: SweepProgress, jobs: int) -> None:
        """What is shown from now on are the variants of a sweep, with so many steps at once."""


def describe_origin(event: StepEnded) -> str:
    """Where a step's result came from, and what its worker wants a person to know; "" mostly."""
    origin = f"from {event.result.origin}" if event.result.origin else ""
    return show_text("  ".join(filter(None, (origin, str(event.result.facts.get("note", ""))))))


@dataclass(frozen=True)
class ConsoleRow:
    """A step on the screen. `moment` is when it started, by the console's clock, or how long it took."""

    step: Step
    state: str
    moment: float
    note: str = ""
    share: float | None = None  # of its work that is done, while it runs and can tell
    first: tuple[float, float] = (0.0, 0.0)  # the moment when it first told, and the share that it told

    def seconds_left(self, now: float) -> float | None:
        """By how fast it went since it first told; None while that says little."""
        since, start = self.first
        done = (self.share or 0.0) - start
        return (now - since) * (1.0 - start - done) / done if done >= LEAST_SHARE else None


class QuietConsole:
    """A line when a step has ended."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> QuietConsole:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def follow(self, board: SweepProgress, jobs: int) -> None:
        return  # a line a step says it all

    def show(self, event: Event) -> None:
        if isinstance(event, StepEnded):
            elapsed = f"{event.result.elapsed:7.2f} s" if event.result.status in ("ran", "failed") else ""
            line = f"{event.step.title:<{WIDTH}} {event.result.status:<8}{elapsed:<9}  {describe_origin(event)}"
            print(line.rstrip(), file=self.stream, flush=True)
        elif isinstance(event, StepRetried):
            print(f"{event.step.title:<{WIDTH}} again    {event.reason}", file=self.stream, flush=True)
        elif isinstance(event, Notice):
            self.say(event.text)


class LiveConsole:
    """A table that grows: every step's state and time; it stays when the run is over."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        self.clock = clock
        self.rows: dict[str, ConsoleRow] = {}  # by step id
        self.ended = False
        self.board: SweepProgress | None = None
        self.jobs = 1
        self.screen = RichConsole(file=stream, highlight=False)
        self.live = Live(console=self.screen, get_renderable=self.render, refresh_per_second=8)

    def __enter__(self) -> LiveConsole:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        self.live.stop()

    def say(self, text: str) -> None:
        self.screen.print(show_text(text), markup=False)

    def follow(self, board: SweepProgress, jobs: int) -> None:
        self.board, self.jobs = board, jobs

    def show(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.say(event.text)
            return
        step = event.step
        if isinstance(event, StepEnded):
            self.rows[step.id] = ConsoleRow(step, event.result.status, event.result.elapsed, describe_origin(event))
        elif isinstance(event, StepStarted):
            self.rows[step.id] = ConsoleRow(step, "running", self.clock())
        elif isinstance(event, StepAdvanced):
            self._advance(step, event.fraction)
        elif isinstance(event, StepRetried):
            self.rows[step.id] = ConsoleRow(step, f"again: {event.reason}", self.clock())
        elif isinstance(event, StepFetching):
            self.rows[step.id] = ConsoleRow(step, "looked up in the shared store", self.clock())
        else:
            self.rows[step.id] = ConsoleRow(step, "waits for another tflbuild", self.clock())

    def _advance(self, step: Step, share: float) -> None:
        row = self.rows.get(step.id)
        if row is not None:
            first = (self.clock(), share) if row.share is None or share < row.share else row.first
            self.rows[step.id] = replace(row, share=share, first=first)

    def visible(self) -> list[ConsoleRow]:
        """The rows that fit on the screen: those at work, and what ended last. All of them at the end."""
        rows = list(self.rows.values())
        room = max(3, self.screen.height - 2)
        if self.ended or len(rows) <= room:
            return rows
        active = [row for row in rows if row.state not in MARKS]
        ended = [row for row in rows if row.state in MARKS]
        return ended[-max(1, room - len(active)) :] + active

    def visible_variants(self, standings: list[VariantProgress]) -> list[VariantProgress]:
        """Those that fit: at work, ended last, next. None at the end, when a table of results follows."""
        room = max(3, self.screen.height - 3)
        if self.ended or len(standings) <= room:
            return [] if self.ended else standings
        running = [one for one in standings if one.state == "running"][:room]
        ended = [one for one in standings if one.state in ("done", "failed")]
        next_ones = [one for one in standings if one.state == "waits"][: max(1, room // 4)]
        rest = max(0, room - len(running) - len(next_ones))
        return (ended[-rest:] if rest else []) + running + next_ones

    def render(self) -> Table:
        """The table as it stands."""
        return self._render_steps() if self.board is None else self._render_variants(self.board)

    def _render_variants(self, board: SweepProgress) -> Table:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        steps = {step_id: self._progress(row) for step_id, row in self.rows.items()}
        standings = board.standings(steps)
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "right", "right"):
            table.add_column(justify=justify)
        for one in self.visible_variants(standings):
            doing = show_line(f"{one.step}  {show_share(one.share)}".rstrip())
            state = Spinner("dots", Text(doing)) if one.state == "running" else Text(one.state, STATES[one.state])
            elapsed = f"{one.seconds:.1f} s" if one.state == "running" else ""
            table.add_row(Text(show_line(one.label)), state, f"{one.done}/{one.steps}", elapsed)
        table.add_row(Text(summarize_progress(standings, board.seconds_left(steps, self.jobs)), "bold"))
        return table

    def _progress(self, row: ConsoleRow) -> StepProgress:
        now = self.clock()
        seconds = row.moment if row.state in MARKS else now - row.moment
        return StepProgress(row.step.kind, row.state, seconds, row.share, row.seconds_left(now))

    def _render_steps(self) -> Table:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=WIDTH)
        table.add_column(min_width=8)
        table.add_column(justify="right")
        table.add_column()
        for row in self.visible():
            if row.state in MARKS:
                mark = Text(row.state, MARKS[row.state])
                elapsed = f"{row.moment:.2f} s" if row.state in ("ran", "failed") else ""
                table.add_row(Text(show_line(row.step.title)), mark, elapsed, Text(show_line(row.note)))
            else:
                progress = self._progress(row)
                left = progress.seconds_left or 0.0
                note = f"about {show_seconds(left)} left" if left >= LEAST_LEFT else ""
                state = show_line(f"{row.state}  {show_share(row.share)}".rstrip())
                title = Text(show_line(row.step.title))
                table.add_row(title, Spinner("dots", Text(state)), f"{progress.seconds:.1f} s", note)
        return table


def show_share(share: float | None) -> str:
    """`42%`; never all of it, since what is counted is not all that a step does."""
    return "" if share is None else f"{min(99, int(share * 100))}%"


def show_notices(event: Event) -> None:
    """What stays of a run that is shown to no one."""
    if isinstance(event, Notice):
        print(event.text, file=sys.stderr, flush=True)


def open_console(stream: TextIO | None = None) -> Console:
    """The live one on a terminal, the quiet one elsewhere."""
    stream = stream or sys.stderr
    return LiveConsole(drawing_stream(stream)) if stream.isatty() else QuietConsole(stream)
