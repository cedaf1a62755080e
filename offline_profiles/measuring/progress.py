"""What a person sees of a run, on standard error: a bar on a terminal, a line for each point elsewhere too."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.measure import Result


class Told:
    """A bar over the points. Use as a context."""

    def __init__(self, effort: Effort, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._effort = effort
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(
            *columns, console=self._console, refresh_per_second=1, transient=True,
            disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "Told":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False)

    def begin(self, points: int, finished: int) -> None:
        """So many there are, and so many are in the journal."""
        self._bar.update(self._task, total=points, completed=finished)
        if finished:
            self.say(f"{finished} of {points} points are there from before")

    def now(self, point: Point) -> None:
        """It is being measured."""
        self._bar.update(self._task, description=point.key)

    def finished(self, point: Point, result: Result) -> None:
        """With what was reached."""
        found = result.measured
        present_s, cached_s = result.startups_s
        worst = max(found.throughput_half_width, found.latency_half_width)
        missed = f"; not within {self._effort.precision:.1%}" if worst > self._effort.precision else ""
        self.say(
            f"{point.key}: {found.throughput_sps:.4g} samples/s +-{found.throughput_half_width:.1%}, "
            f"{found.latency_ms:.4g} ms +-{found.latency_half_width:.1%}, first answer in {present_s:.3g} s "
            f"({cached_s:.3g} s with its cache), {result.peak_memory_mib:.0f} MiB, {found.runs} runs{missed}"
        )
        self._bar.advance(self._task)

    def failed(self, point: Point, why: str) -> None:
        """It is left out."""
        self.say(f"{point.key}: left out: {why}")
        self._bar.advance(self._task)
