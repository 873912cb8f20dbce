"""Show events on the screen: a live table on a terminal, otherwise one line for each step. All on standard error."""

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
# The fraction of a step that must be done before its remaining time is estimated.
LEAST_SHARE = 0.05
# The minimum remaining time, in seconds, that is shown.
LEAST_LEFT = 2.0
MARKS = {"ran": "green", "hit": "cyan", "failed": "bold red", "skipped": "yellow"}


class Console(Protocol):
    """Shows a run from its start to its end."""

    def __enter__(self) -> Console: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Show an event."""

    def say(self, text: str) -> None:
        """Print a line between the steps."""

    def follow(self, board: SweepProgress, jobs: int) -> None:
        """Show the variants of a sweep from now on, instead of steps. `jobs` steps run at the same time."""


def describe_origin(event: StepEnded) -> str:
    """Return where the result of a step came from, and the note of its worker, or ""."""
    origin = f"from {event.result.origin}" if event.result.origin else ""
    return show_text("  ".join(filter(None, (origin, str(event.result.facts.get("note", ""))))))


@dataclass(frozen=True)
class ConsoleRow:
    """A step on the screen. `moment` is when it started, by the console's clock, or how long it took, in seconds."""

    step: Step
    state: str
    moment: float
    note: str = ""
    # The fraction of its work that is done, if it reports that.
    share: float | None = None
    # The moment of its first report, and the fraction that was done then.
    first: tuple[float, float] = (0.0, 0.0)

    def seconds_left(self, now: float) -> float | None:
        """Return the remaining time in seconds, from the speed since the first report.

        None while that is too uncertain.
        """
        since, start = self.first
        done = (self.share or 0.0) - start
        return (now - since) * (1.0 - start - done) / done if done >= LEAST_SHARE else None


class QuietConsole:
    """Prints a line when a step has ended."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> QuietConsole:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def follow(self, board: SweepProgress, jobs: int) -> None:
        return

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
    """Draws a table with the state and the time of every step. The table stays on the screen when the run is over."""

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
            self.rows[step.id] = ConsoleRow(step, "looked up in the remote cache", self.clock())
        else:
            self.rows[step.id] = ConsoleRow(step, "waits for another tflbuild", self.clock())

    def _advance(self, step: Step, share: float) -> None:
        row = self.rows.get(step.id)
        if row is not None:
            first = (self.clock(), share) if row.share is None or share < row.share else row.first
            self.rows[step.id] = replace(row, share=share, first=first)

    def visible(self) -> list[ConsoleRow]:
        """Return the rows that fit on the screen: running steps, and those that ended last. At the end, return all."""
        rows = list(self.rows.values())
        height = max(3, self.screen.height - 2)
        if self.ended or len(rows) <= height:
            return rows
        active = [row for row in rows if row.state not in MARKS]
        finished = [row for row in rows if row.state in MARKS]
        return finished[-max(1, height - len(active)) :] + active

    def visible_variants(self, variants: list[VariantProgress]) -> list[VariantProgress]:
        """Return the variants that fit on the screen: running ones, those that ended last, and the next ones.

        At the end, return none, since the table of results follows.
        """
        height = max(3, self.screen.height - 3)
        if self.ended or len(variants) <= height:
            return [] if self.ended else variants
        running = [variant for variant in variants if variant.state == "running"][:height]
        finished = [variant for variant in variants if variant.state in ("done", "failed")]
        waiting = [variant for variant in variants if variant.state == "waits"][: max(1, height // 4)]
        free_lines = max(0, height - len(running) - len(waiting))
        return (finished[-free_lines:] if free_lines else []) + running + waiting

    def render(self) -> Table:
        """Return the current table."""
        return self._render_steps() if self.board is None else self._render_variants(self.board)

    def _render_variants(self, board: SweepProgress) -> Table:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        steps = {step_id: self._progress(row) for step_id, row in self.rows.items()}
        variants = board.list_variants(steps)
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "right", "right"):
            table.add_column(justify=justify)
        for variant in self.visible_variants(variants):
            progress = show_line(f"{variant.step}  {show_share(variant.share)}".rstrip())
            state = (
                Spinner("dots", Text(progress))
                if variant.state == "running"
                else Text(variant.state, STATES[variant.state])
            )
            elapsed = f"{variant.seconds:.1f} s" if variant.state == "running" else ""
            table.add_row(Text(show_line(variant.label)), state, f"{variant.done}/{variant.steps}", elapsed)
        table.add_row(Text(summarize_progress(variants, board.seconds_left(steps, self.jobs)), "bold"))
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
                seconds_left = progress.seconds_left or 0.0
                note = f"about {show_seconds(seconds_left)} left" if seconds_left >= LEAST_LEFT else ""
                state = show_line(f"{row.state}  {show_share(row.share)}".rstrip())
                title = Text(show_line(row.step.title))
                table.add_row(title, Spinner("dots", Text(state)), f"{progress.seconds:.1f} s", note)
        return table


def show_share(share: float | None) -> str:
    """Return a fraction as `42%`, at most `99%`: a step may do work that it does not count."""
    return "" if share is None else f"{min(99, int(share * 100))}%"


def show_notices(event: Event) -> None:
    """Print notices to standard error. Other events are ignored."""
    if isinstance(event, Notice):
        print(event.text, file=sys.stderr, flush=True)


def open_console(stream: TextIO | None = None) -> Console:
    """Return a live console for a terminal, otherwise a quiet one."""
    stream = stream or sys.stderr
    return LiveConsole(drawing_stream(stream)) if stream.isatty() else QuietConsole(stream)
