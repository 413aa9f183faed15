"""Append to the journal of a run and keep its projection, `metadata.json`, current."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import opslab
from opslab.model.pipe.messages import EncodedEvent
from opslab.model.primitives.instant import iso
from opslab.model.run.event import Event
from opslab.model.run.metadata import RunMetadata
from opslab.ports import Clock
from opslab.runs.record.latest_copies import write_latest_copies
from opslab.runs.record.report import write_reports
from opslab.runs.record.state import apply
from opslab.store.runs.journal import Journal, Payload
from opslab.store.runs.run_folders import write_metadata
from opslab.store.runs.seal import seal


class RunJournal:
    """Each lifecycle event that changes the metadata rewrites `metadata.json`."""

    def __init__(self, folder: Path, journal: Journal, metadata: RunMetadata) -> None:
        """metadata: the projection of the journal so far."""
        self._folder = folder
        self._journal = journal
        self.metadata = metadata
        self.observers: list[Callable[[Event], None]] = []
        """Each is called with each event as it was appended, also by other processes, but not with `order_event`."""

    def append(self, name: str, payload: Mapping[str, Any]) -> RunMetadata:
        """Append one lifecycle event, durable before this returns. Returns the new metadata."""
        return self._renew(self._journal.append(name, payload))

    def append_exclusively(self, make: Callable[[], tuple[str, Mapping[str, Any]]]) -> RunMetadata:
        """As `append`, for what `make` returns; `make` is called under the journal's append lock."""
        return self._renew(self._journal.append_exclusively(make))

    def _renew(self, event: Event) -> RunMetadata:
        before = self.metadata
        for each in (*self._journal.take_concurrent_events(), event):
            self.metadata = apply(self.metadata, each)
            self._observe(each)
        if self.metadata != before:
            write_metadata(self._folder, self.metadata)
        return self.metadata

    def append_many(self, events: Iterable[tuple[str, Payload]]) -> None:
        """Append high-rate events; durable with the next lifecycle event."""
        for event in self._journal.append_many(events):
            self._observe(event)

    def append_order_events(self, events: Iterable[EncodedEvent]) -> None:
        """As `append_many`. Observers are called with denied requests, of which there are few."""
        self.append_many(
            (event.name, event.payload if event.name == "order_event" else event.values) for event in events
        )

    def _observe(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)


def finish(
    folder: Path, metadata: RunMetadata, clock: Clock, *, reports: bool, by: Literal["run", "recover", "check"] = "run"
) -> None:
    """Seal a run that has ended, then render its derived files."""
    write_latest_copies(folder, metadata)
    seal(folder, metadata.status, by, iso(clock.now_ns()), opslab.__version__)
    if reports:
        write_reports(folder, metadata)


def metrics_document(
    counters: Mapping[str, Any], cost: Mapping[str, Any], denials: Mapping[str, int]
) -> dict[str, Any]:
    """`metrics.json`, from the closing event."""
    return {"scenario": dict(counters), "engine": dict(cost), "denial_reasons": dict(denials)}
