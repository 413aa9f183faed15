"""The faults and margin calls of a paper run, folded from the events of its journal.

Of a dead run also from the log of its venue, which continues after the death of control.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import from_json

from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.journal.journal_event import decode
from opslab.model.journal.venue_events import LOGGED_EVENTS, MarginCall
from opslab.model.run.paper_summary import MAX_FAULTS, FaultFacts
from opslab.store.venues.venue_files import VENUE_LOG_NAME


@dataclass(slots=True)
class FaultFold:
    """Keeps the first `MAX_FAULTS` faults and counts all. Faults are named by start of the venue and number."""

    count: int = 0
    """Of the faults that started."""
    _faults: dict[tuple[int, int], FaultFacts] = field(default_factory=dict)
    _started: set[tuple[int, int]] = field(default_factory=set)
    _active: set[tuple[int, int]] = field(default_factory=set)
    _unconfirmed: set[tuple[int, int]] = field(default_factory=set)
    """Started a moment ago: the start may still fail."""

    def started(self, event: FaultStarted, at: str) -> None:
        key = event.venue_start, event.number
        self._started.add(key)
        self._active.add(key)
        self._unconfirmed.add(key)
        self.count += 1
        if len(self._faults) < MAX_FAULTS:
            self._faults[key] = FaultFacts(name=event.fault, terms=event.terms, started_at=at)

    def ended(self, event: FaultEnded, at: str) -> None:
        key = event.venue_start, event.number
        self._active.discard(key)
        self._unconfirmed.discard(key)
        if event.reason == "failed_to_start":
            self.count -= 1
            self._faults.pop(key, None)
        elif key in self._faults:
            self._end(key, at, event.reason)

    def confirm(self) -> None:
        """Some time has passed: the faults that started before are active or have ended."""
        self._unconfirmed.clear()

    @property
    def confirmed_count(self) -> int:
        """Of the faults that certainly started: it never decreases."""
        return self.count - len(self._unconfirmed)

    @property
    def active_count(self) -> int:
        return len(self._active)

    def add_started(self, event: FaultStarted, at: str) -> None:
        """Of another source than the journal: a start that is known is ignored. As `add_ended`."""
        if (event.venue_start, event.number) not in self._started:
            self.started(event, at)

    def add_ended(self, event: FaultEnded, at: str) -> None:
        if (event.venue_start, event.number) in self._active:
            self.ended(event, at)

    def venue_lost(self, at: str) -> None:
        """Every active fault ended with the venue's process."""
        self._active.clear()
        for key in [key for key, fault in self._faults.items() if fault.ended_at is None]:
            self._end(key, at, "venue_lost")

    def facts(self) -> tuple[FaultFacts, ...]:
        return tuple(self._faults.values())

    def _end(self, key: tuple[int, int], at: str, reason: str) -> None:
        self._faults[key] = self._faults[key].model_copy(update={"ended_at": at, "ended_by": reason})


@dataclass(slots=True)
class MarginCallFold:
    """Margin calls are named by start of the venue and number: a call that is known is ignored."""

    _times: dict[tuple[int, int], str] = field(default_factory=dict)

    def add(self, event: MarginCall, at: str) -> None:
        self._times.setdefault((event.venue_start, event.number), at)

    @property
    def count(self) -> int:
        return len(self._times)

    @property
    def first(self) -> str | None:
        return next(iter(self._times.values()), None)


def add_logged_events(
    folder: Path, faults: FaultFold, margin_calls: MarginCallFold, venue_start: int, since: str
) -> None:
    """Add the events that the journal does not have, of the last venue of a run.

    venue_start, since: its number, and the time at which it listened, UTC. Earlier venues ended while control lived.
    """
    for entry in _entries(folder / VENUE_LOG_NAME):
        kind, time = LOGGED_EVENTS.get(str(entry.get("event"))), str(entry.get("time"))
        if kind is None or time < since:
            continue
        with suppress(ValueError):
            match decode(kind, {**entry, "venue_start": venue_start}):
                case FaultStarted() as started:
                    faults.add_started(started, time)
                case FaultEnded() as ended:
                    faults.add_ended(ended, time)
                case MarginCall() as call:
                    margin_calls.add(call, time)


def _entries(log: Path) -> Iterator[dict[str, object]]:
    """Whole lines of the log; none without one."""
    with suppress(OSError), open(log, "rb") as stream:
        for line in stream:
            with suppress(ValueError):
                yield from_json(line)
