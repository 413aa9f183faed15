"""The state of a run as a fold over its journal; `metadata.json` is its stored form."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opslab.errors import Corrupt, OtherFormat
from opslab.model.checks.check_kind import CHECK_EVENTS, section_of
from opslab.model.run.event import HIGH_RATE, RUN_FORMAT, Event
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import (
    EngineCost,
    Failure,
    Git,
    Identity,
    Owner,
    RunDataset,
    RunMetadata,
    Safety,
    ScenarioCounters,
)
from opslab.model.run.paper_summary import PaperFacts
from opslab.ports import Processes
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import read_lifecycle
from opslab.store.runs.run_folders import read_metadata

ENDINGS = {
    "run_completed": "completed",
    "run_failed": "failed",
    "run_interrupted": "interrupted",
    "run_halted": "halted",
    "run_safety_blocked": "safety_blocked",
    "paper_safety_blocked": "safety_blocked",
}
_PARTS: dict[str, Any] = {
    "dataset": RunDataset,
    "identity": Identity,
    "git": Git,
    "owner": Owner,
    "metrics": ScenarioCounters,
    "engine_cost": EngineCost,
    "failure": Failure,
    "paper": PaperFacts,
    "halt": HaltFacts,
}


def project(events: Iterable[Event]) -> RunMetadata | None:
    """The metadata after `events`; None before `run_initialized`."""
    metadata: RunMetadata | None = None
    for event in events:
        if event.event not in HIGH_RATE:
            metadata = apply(metadata, event)
    return metadata


def read_state(folder: Path) -> RunMetadata:
    """The metadata from the journal, which is authoritative. Raises Corrupt when it has none of this run."""
    try:
        metadata = project(read_lifecycle(folder))
        if metadata is not None:  # the fold does not validate the fields
            metadata = RunMetadata.model_validate_json(metadata.model_dump_json(warnings=False))
    except ValueError:
        raise _broken(folder, "describes no run") from None
    if metadata is None:
        raise _broken(folder, "is missing or empty", is_missing=True)
    if metadata.run_id != folder.name:
        raise _broken(folder, f"is of run {metadata.run_id}")
    return metadata


def refuse_behind(folder: Path, metadata: RunMetadata) -> None:
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


def _broken(folder: Path, what: str, *, is_missing: bool = False) -> Corrupt:
    return Corrupt(f"run {folder.name}: {JOURNAL} {what}", file=JOURNAL, problem=what, is_missing=is_missing)


def apply(metadata: RunMetadata | None, event: Event) -> RunMetadata:
    """The metadata after one more event. Raises Corrupt when the journal does not begin with `run_initialized`."""
    if metadata is None:
        if event.event != "run_initialized":
            raise Corrupt(f"the journal begins with {event.event} instead of run_initialized")
        recorded = event.payload.get("format", 1)
        if recorded != RUN_FORMAT:
            raise OtherFormat(str(event.payload.get("run_id")), JOURNAL, recorded, RUN_FORMAT)
        return RunMetadata.model_validate(
            {**_known(event.payload), "status": "initialized", "initialized_at": event.time}
        )
    if event.event == "run_started":
        return metadata.with_changes(**_known(event.payload), status="running", started_at=event.time)
    if kind := CHECK_EVENTS.get(event.event):
        section = section_of(event.payload, getattr(metadata, kind.section))
        return metadata.with_changes(**{kind.section: section})
    if event.event in ("kill_switch_observed", "paper_safety_checked"):
        return metadata.with_changes(safety=Safety.model_validate(event.payload, strict=False))
    if event.event in ENDINGS:
        return metadata.with_changes(**{"ended_at": event.time, **_known(event.payload)}, status=ENDINGS[event.event])
    return metadata


def as_seen(metadata: RunMetadata, processes: Processes) -> RunMetadata:
    """The metadata to show: a running run without a living owner is `interrupted`."""
    if metadata.status == "running" and (
        metadata.owner is None or not processes.is_alive(metadata.owner, metadata.run_id)
    ):
        return metadata.with_changes(status="interrupted", ended_by="owner_gone")
    return metadata


def _known(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload fields that the metadata has, validated."""
    fields = {name: value for name, value in payload.items() if name in RunMetadata.model_fields}
    return {
        name: _PARTS[name].model_validate(value, strict=False) if name in _PARTS and value is not None else value
        for name, value in fields.items()
    }
