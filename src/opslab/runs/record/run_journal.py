"""Append to the journal of a run and keep its projection, `metadata.json`, current."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import opslab
from opslab.model.journal.engine_events import ORDER_EVENTS, PaperHeartbeat
from opslab.model.journal.journal_event import JournalEvent, RecordedEvent
from opslab.model.journal.run_events import RUN_EVENTS, RunResults
from opslab.model.pipe.messages import EncodedEvent
from opslab.model.primitives.instant import iso
from opslab.model.run.event import Event
from opslab.model.run.manifest import SealedBy
from opslab.model.run.metadata import EngineCost, RunMetadata, ScenarioCounters
from opslab.ports import Clock
from opslab.runs.record.journal_events import decoded
from opslab.runs.record.latest_copies import write_latest_copies
from opslab.runs.record.report import write_reports
from opslab.runs.record.state import apply
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import METRICS, write_metadata, write_record
from opslab.store.runs.seal import seal


class RunJournal:
    """Each lifecycle event that changes the metadata rewrites `metadata.json`."""

    def __init__(self, folder: Path, journal: Journal, metadata: RunMetadata) -> None:
        """metadata: the projection of the journal so far."""
        self._folder = folder
        self._journal = journal
        self.metadata = metadata
        self.observers: list[Callable[[RecordedEvent], None]] = []
        """Each is called with each event as it was appended, also by other processes, but not with `order_event`."""

    def append(self, event: JournalEvent) -> RunMetadata:
        """Append one lifecycle event, durable before this returns. Returns the new metadata."""
        return self._project(_recorded(self._journal.append(event.EVENT, event.payload()), event))

    def append_exclusively(self, make: Callable[[], JournalEvent]) -> RunMetadata:
        """As `append`, for what `make` returns; `make` is called under the journal's append lock."""
        written: list[JournalEvent] = []

        def write_event() -> tuple[str, Mapping[str, Any]]:
            written.append(make())
            return written[0].EVENT, written[0].payload()

        line = self._journal.append_exclusively(write_event)
        return self._project(_recorded(line, written[0]))

    def _project(self, event: RecordedEvent) -> RunMetadata:
        """Apply the event, after those that other processes have appended before it."""
        before = self.metadata
        concurrent = decoded(self._folder, self._journal.take_concurrent_events(), RUN_EVENTS)
        for recorded in (*concurrent, event):
            self.metadata = apply(self.metadata, recorded)
            self._observe(recorded)
        if self.metadata != before:
            write_metadata(self._folder, self.metadata)
        return self.metadata

    def append_heartbeat(self, event: PaperHeartbeat) -> None:
        """Durable with the next lifecycle event."""
        (line,) = self._journal.append_many([(event.EVENT, event.payload())])
        self._observe(_recorded(line, event))

    def append_order_events(self, events: Iterable[EncodedEvent]) -> None:
        """Durable with the next lifecycle event. Observers are called with denied requests, of which there are few."""
        lines = self._journal.append_many(
            (event.name, event.payload if event.name == "order_event" else event.values) for event in events
        )
        for event in decoded(self._folder, lines, ORDER_EVENTS):
            self._observe(event)

    def _observe(self, event: RecordedEvent) -> None:
        for observer in self.observers:
            observer(event)


def _recorded(line: Event, event: JournalEvent) -> RecordedEvent:
    return RecordedEvent(line.seq, line.time, line.event, event)


def seal_run(folder: Path, metadata: RunMetadata, clock: Clock, *, reports: bool, by: SealedBy = "run") -> None:
    """Copy the last checks of a run that has ended, seal it, then write its reports."""
    write_latest_copies(folder, metadata)
    seal(folder, metadata.status, by, iso(clock.now_ns()), opslab.__version__)
    if reports:
        write_reports(folder, metadata)


def write_metrics(folder: Path, results: RunResults) -> None:
    """Write `metrics.json`, from results that have counters. Raises Unwritable."""
    document = metrics_document(results["metrics"], results["engine_cost"], results["denial_reasons"])
    write_record(folder, METRICS, document)


def metrics_document(
    counters: ScenarioCounters, cost: EngineCost | None, denial_reasons: Mapping[str, int]
) -> dict[str, object]:
    """The content of `metrics.json`. cost: None: unknown."""
    return {
        "scenario": counters.model_dump(),
        "engine": cost.model_dump() if cost else {},
        "denial_reasons": dict(denial_reasons),
    }
