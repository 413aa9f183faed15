"""Live progress on stderr: a bar in a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from opslab.cli.output import note

_LINE_SECONDS = 5.0


class ProgressBar:
    """Shows how much is done, how fast, and how long it will take. `total` None: not known.

    `add` and `reach` may be called often.
    """

    def __init__(self, what: str, unit: str, total: int | None = None) -> None:
        self._what = what
        self._unit = unit
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            console = Console(stderr=True)
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(self._what, total=self._total, figures="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def restart(self, what: str, total: int) -> None:
        """The same again, from nothing."""
        self._what, self._total, self._done = what, total, 0
        self._began = time.monotonic()
        if self._bar:
            self._bar.update(self._task, description=what, completed=0, total=total, figures="")

    def add(self, amount: int, total: int | None = None) -> None:
        """Done so much more; `total`, when given, is a better idea of all there is."""
        self._total = total or self._total
        self.reach(self._done + amount)

    def reach(self, done: int) -> None:
        self._done = done
        if self._bar:
            self._bar.update(self._task, completed=done, total=self._total, figures=self._figures())
        elif time.monotonic() - self._told >= _LINE_SECONDS:
            self._told = time.monotonic()
            note(f"{self._what}: {self._figures()}")

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._began, 1e-9)

    def _figures(self) -> str:
        of = f" of {self._total:,}" if self._total else ""
        return f"{self._done:,}{of} {self._unit}, {self._rate():,.0f}/s{self._left()}"

    def _left(self) -> str:
        if not self._total or not self._done:
            return ""
        return f", {max(0, self._total - self._done) / self._rate():.0f} s left"
