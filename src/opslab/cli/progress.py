"""Progress on stderr: a bar in a terminal, otherwise a line at intervals."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from opslab.cli.output import note

_LINE_SECONDS = 5.0


class ProgressBar:
    """Shows the amount done, the rate and the remaining time. total: None if unknown.

    `add` and `reach` may be called often.
    """

    def __init__(self, title: str, unit: str, total: int | None = None) -> None:
        self._title = title
        self._unit = unit
        self._total = total
        self._done = 0
        self._started_s = self._last_line_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            console = Console(stderr=True)
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(self._title, total=self._total, figures="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def restart(self, title: str, total: int) -> None:
        """Start again from zero."""
        self._title, self._total, self._done = title, total, 0
        self._started_s = time.monotonic()
        if self._bar:
            self._bar.update(self._task, description=title, completed=0, total=total, figures="")

    def add(self, amount: int, total: int | None = None) -> None:
        """Add an amount. total: a better estimate of the total, if given."""
        self._total = total or self._total
        self.reach(self._done + amount)

    def reach(self, done: int) -> None:
        self._done = done
        if self._bar:
            self._bar.update(self._task, completed=done, total=self._total, figures=self._figures())
        elif time.monotonic() - self._last_line_s >= _LINE_SECONDS:
            self._last_line_s = time.monotonic()
            note(f"{self._title}: {self._figures()}")

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._started_s, 1e-9)

    def _figures(self) -> str:
        of = f" of {self._total:,}" if self._total else ""
        return f"{self._done:,}{of} {self._unit}, {self._rate():,.0f}/s{self._remaining()}"

    def _remaining(self) -> str:
        if not self._total or not self._done:
            return ""
        return f", {max(0, self._total - self._done) / self._rate():.0f} s left"
