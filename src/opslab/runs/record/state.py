"""The state of a run as a fold over its journal; `metadata.json` is its stored form."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opslab.errors import Corrupt
from opslab.model.checks.check_kind import CHECK_EVENTS, section_of
from opslab.model.journal.check_events import CheckRecorded, ReconciliationChecked
from opslab.model.journal.journal_event import JournalEvent, RecordedEvent
from opslab.model.journal.run_events import (
    RUN_EVENTS,
    KillSwitchObserved,
    PaperSafetyChecked,
    RunAcknowledged,
    RunInitialized,
    RunStarted,
)
from opslab.model.run.metadata import Acknowledgement, RunMetadata
from opslab.ports import Processes
from opslab.runs.record.journal_events import decoded
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import read_lifecycle
from opslab.store.runs.run_folders import read_metadata


def project(events: Iterable[RecordedEvent]) -> RunMetadata | None:
    """The metadata after `events`; None before `run_initialized`. Raises Corrupt."""
    metadata: RunMetadata | None = None
    for event in events:
        metadata = apply(metadata, event)
    return metadata


def project_journal(folder: Path) -> RunMetadata | None:
    """The metadata from the journal; None without a complete line. Raises Corrupt."""
    return project(decoded(folder, read_lifecycle(folder), RUN_EVENTS))


def read_state(folder: Path) -> RunMetadata:
    """The metadata from the journal, which is authoritative. Raises Corrupt when it has none of this run."""
    metadata = project_journal(folder)
    if metadata is None:
        raise _broken(folder, "is missing or empty", is_missing=True)
    if metadata.run_id != folder.name:
        raise _broken(folder, f"is of run {metadata.run_id}")
    return metadata


def refuse_cut_journal(folder: Path, metadata: RunMetadata) -> None:
    """Raises Corrupt when the journal was cut: `metadata.json` is written after it, and is never ahead.

    metadata: from the journal.
    """
    try:
        written = read_metadata(folder)
    except Corrupt:
        return
    if written and _stage(written) > _stage(metadata):
        raise _broken(folder, f"was cut: metadata.json has {written.status}, the journal stops at {metadata.status}")


def _stage(metadata: RunMetadata) -> int:
    return {"initialized": 0, "running": 1}.get(metadata.status, 2)


def _broken(folder: Path, problem: str, *, is_missing: bool = False) -> Corrupt:
    return Corrupt(f"run {folder.name}: {JOURNAL} {problem}", file=JOURNAL, problem=problem, is_missing=is_missing)


def apply(metadata: RunMetadata | None, recorded: RecordedEvent) -> RunMetadata:
    """The metadata after one more event. Raises Corrupt when the journal does not begin with `run_initialized`."""
    event = recorded.event
    if metadata is None:
        if not isinstance(event, RunInitialized):
            raise Corrupt(f"the journal begins with {recorded.name} instead of run_initialized")
        return RunMetadata(**_metadata_fields(event), status="initialized", initialized_at=recorded.time)
    match event:
        case RunStarted():
            return metadata.with_changes(**_metadata_fields(event), status="running", started_at=recorded.time)
        case CheckRecorded():
            section = CHECK_EVENTS[recorded.name].section
            metadata = metadata.with_changes(**{section: section_of(event.payload(), getattr(metadata, section))})
            if isinstance(event, ReconciliationChecked) and event.state == "mismatch":
                return metadata.with_changes(acknowledged=None)
            return metadata
        case RunAcknowledged():
            acknowledged = Acknowledgement(at=recorded.time, actor=event.actor, reason=event.reason)
            return metadata.with_changes(acknowledged=acknowledged)
        case KillSwitchObserved() | PaperSafetyChecked():
            return metadata.with_changes(safety=event.safety())
        case JournalEvent(ENDS_AS=status) if status:
            return metadata.with_changes(**{"ended_at": recorded.time, **_metadata_fields(event)}, status=status)
    return metadata


def as_seen(metadata: RunMetadata, processes: Processes) -> RunMetadata:
    """The metadata to show: a running run without a living owner is `interrupted`."""
    if metadata.status == "running" and (
        metadata.owner is None or not processes.is_alive(metadata.owner, metadata.run_id)
    ):
        return metadata.with_changes(status="interrupted", ended_by="owner_gone")
    return metadata


def _metadata_fields(event: JournalEvent) -> dict[str, Any]:
    """The fields in the event's line that the metadata has too."""
    return {name: getattr(event, name) for name in event.model_fields_set & set(RunMetadata.model_fields)}
