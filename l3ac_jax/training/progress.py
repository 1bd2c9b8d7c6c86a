"""How far training is: a live display on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import timedelta
from time import monotonic

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

LINE_SECONDS = 30.0
SPEED_STEPS = 20


class TrainingProgress:
    """Shows on stderr the step, the speed, the time left, the loss and the learning rate.

    Speed and time left are of the last 20 steps. Steps that compile are not counted, nor is the
    time spent in `pause`. To be used as a context manager.
    """

    def __init__(
        self,
        total_steps: int,
        start_step: int,
        audio_seconds: float,
        console: Console | None = None,
    ):
        self._total = total_steps
        self._step = start_step
        self.audio_seconds = audio_seconds  # in a step
        # Whether it is a terminal is not left to FORCE_COLOR: a file should have no bar in it.
        self._console = console or Console(stderr=True, force_terminal=sys.stderr.isatty())
        self._display = _Display(self._console) if self._console.is_interactive else None
        if self._display:
            self._display.add_task("", total=total_steps, completed=start_step)
        self._paused = 0.0
        self._last: float | None = None
        self._durations: deque[float] = deque(maxlen=SPEED_STEPS)
        self._figures = ""
        self._printed: tuple[int, float] | None = None  # step and time of the last plain line

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Show that `step` steps are done; of the metrics, `loss` and `learning_rate`."""
        now = monotonic() - self._paused
        if self._last is not None and step > self._step:
            self._durations.append((now - self._last) / (step - self._step))
        self._step, self._last = step, now
        self._figures = "  ".join(self._describe(values))
        if self._display:
            self._display.show(self._figures, self._left(), step)
        elif (
            self._printed is None
            or step == self._total
            or monotonic() - self._printed[1] >= LINE_SECONDS
        ):
            self._print_line()

    def note(self, text: str) -> None:
        """Print a line above the display, to stay."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def compiling(self, function: str, start: float) -> None:
        """Show that a function is being compiled since `start`, until `compiled`."""
        if self._display and self._display.live.is_started:
            self._display.compiling = function, start
        else:
            self.note(f"compiling {function}")

    def compiled(self, function: str, seconds: float) -> None:
        """Show that this is over, and how long it took."""
        if self._display:
            self._display.compiling = None
            self._display.refresh()
        self.note(f"compiled {function} in {timedelta(seconds=round(seconds))}")

    @contextlib.contextmanager
    def pause(self, doing: str = "evaluating") -> Iterator[None]:
        """A block that is no training, and says nothing about its speed."""
        start = monotonic()
        if self._display:
            self._display.show(doing)
            self._display.refresh()
        try:
            yield
        finally:
            self._paused += monotonic() - start
            if self._display:
                self._display.show(self._figures)

    def __enter__(self) -> TrainingProgress:
        if self._display:
            self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._display:
            self._display.stop()
        elif self._last is not None and self._printed and self._printed[0] != self._step:
            self._print_line()  # where an interrupted run got to

    def _seconds_per_step(self) -> float | None:
        if not self._durations:
            return None
        # Any step may be the first of its kind (with discriminators, without), and compile.
        usual = statistics.median(self._durations)
        return statistics.fmean(x for x in self._durations if x <= 10 * usual)

    def _left(self) -> str:
        seconds = self._seconds_per_step()
        if seconds is None:
            return ""
        return f"{timedelta(seconds=round((self._total - self._step) * seconds))} left"

    def _describe(self, values: Mapping[str, float]) -> Iterator[str]:
        if seconds := self._seconds_per_step():
            yield f"{1 / seconds:#.3g} steps/s" if seconds < 1 else f"{seconds:#.3g} s/step"
            audio = self.audio_seconds / seconds
            yield f"{audio:.0f} s of audio/s" if audio >= 10 else f"{audio:.2g} s of audio/s"
        if "loss" in values:
            yield f"loss {values['loss']:#.4g}"
        if "learning_rate" in values:
            yield f"learning rate {values['learning_rate']:.1e}"

    def _print_line(self) -> None:
        parts = (f"step {self._step}/{self._total}", self._left(), self._figures)
        self.note("  ".join(part for part in parts if part))
        self._printed = self._step, monotonic()


class _Display(Progress):
    """The bar, and the figures in a line of their own: together they need more than 80 columns."""

    figures = ""
    compiling: tuple[str, float] | None = None
    """a function, and since when; shown in place of the figures"""

    def __init__(self, console: Console):
        super().__init__(
            TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=console,
            refresh_per_second=4,
            # Else what a program prints for a file or a pipe would come out here.
            redirect_stdout=sys.stdout.isatty(),
        )

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        line = self.figures
        if self.compiling is not None:
            function, start = self.compiling
            line = f"compiling {function}, {timedelta(seconds=int(monotonic() - start))}"
        yield Text(line, no_wrap=True, overflow="ellipsis")

    def show(self, figures: str, left: str | None = None, step: int | None = None) -> None:
        self.figures = figures
        self.update(self.task_ids[0], completed=step, description=left)
