"""Live status of a paper run: a board in a terminal, a line every few seconds elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opslab.cli.output import note

if TYPE_CHECKING:
    from opslab.model.run.live_status import FeedStatus, LiveStatus, PaperStatus

LINE_SECONDS = 5.0
_COLOURS = {"live": "green", "silent": "yellow", "recovering": "yellow", "disconnected": "red"}


class PaperBoard:
    """Call `show` with the run's live values, about once a second."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._screen: Any = None
        self._printed_s = 0.0
        self._states: dict[str, str] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live as Screen

            self._screen = Screen(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._screen.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._screen:
            self._screen.stop()

    def show(self, live: "LiveStatus") -> None:
        paper = live.paper
        if paper is None:
            return
        if self._screen:
            self._screen.update(_board(self._run_id, live, paper), refresh=True)
            return
        states: dict[str, str] = {"phase": paper.phase, **{name: feed.state for name, feed in paper.feeds.items()}}
        if states != self._states or time.monotonic() - self._printed_s >= LINE_SECONDS:
            self._states, self._printed_s = states, time.monotonic()
            note(_line(live, paper))


def _board(run_id: str, live: "LiveStatus", paper: "PaperStatus") -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in _rows(run_id, live, paper):
        table.add_row(Text(name, style="dim"), value)
    for name, feed in paper.feeds.items():
        table.add_row(Text(name, style="dim"), Text(_feed(feed), style=_COLOURS[feed.state]))
    return table


def _rows(run_id: str, live: "LiveStatus", paper: "PaperStatus") -> list[tuple[str, str]]:
    engine = f" (engine {paper.engine_number})" if paper.engine_number > 1 else ""
    beat = "" if paper.heartbeat_age_seconds is None else f", last heartbeat {paper.heartbeat_age_seconds:.1f} s ago"
    return [
        ("run", f"{run_id}: {paper.phase}{engine}{beat}"),
        ("bars", f"{live.bars_seen:,} of {live.bars_total:,}"),
        ("messages", _number(paper.messages_per_second, "/s")),
        ("orders", _number(paper.open_orders, " open")),
        ("position", _held(paper) if paper.position_side else "unknown"),
        ("reconciled", paper.reconciliation or "not yet"),
        *([("ledger", f"{paper.failed_ledger_writes:,} writes failed")] if paper.failed_ledger_writes else []),
        ("engine", f"{_number(paper.event_lag_ms, ' ms lag')}, {(paper.memory_bytes or 0) / 1e6:,.0f} MB"),
    ]


def _feed(feed: "FeedStatus") -> str:
    age = "no message yet" if feed.age_seconds is None else f"{feed.age_seconds:.1f} s ago"
    return f"{feed.state}, {feed.messages:,} messages, {age}"


def _number(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:,.{0 if value >= 100 or value == int(value) else 1}f}{unit}"


def _line(live: "LiveStatus", paper: "PaperStatus") -> str:
    parts = [f"{paper.phase}: {live.bars_seen:,} of {live.bars_total:,} bars"]
    if paper.messages_per_second is not None:
        parts.append(_number(paper.messages_per_second, " messages/s"))
    if paper.open_orders is not None:
        parts += [_number(paper.open_orders, " open order" + "s" * (paper.open_orders != 1)), _held(paper)]
    if paper.failed_ledger_writes:
        parts.append(f"{paper.failed_ledger_writes:,} ledger writes failed")
    feeds = ", ".join(f"{name} {feed.state}" for name, feed in paper.feeds.items())
    return ", ".join(parts) + (f"; {feeds}" if feeds else "")


def _held(paper: "PaperStatus") -> str:
    return "flat" if paper.position_side == "FLAT" else f"{paper.position_side} {paper.position}"
