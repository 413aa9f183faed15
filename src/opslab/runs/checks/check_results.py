"""Record a check's result in a run: before it starts, while it runs, after it was sealed.

The order is fixed, so that `tc run recover` can finish what a dead process left: the numbered artifact, the event that
names it, the metadata, the copy under the plain name, the reports, and a new seal if there was one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.context import Context
from opslab.errors import Environment
from opslab.model.checks.check_kind import PROBE, READINESS, RECONCILIATION, CheckKind
from opslab.model.journal.run_events import CheckRecorded
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import RunId
from opslab.model.run.manifest import Manifest
from opslab.model.run.metadata import FINAL, RunMetadata
from opslab.ports import Processes
from opslab.runs.record.concurrent_append import HasEnded, append_beside_owner
from opslab.runs.record.latest_copies import write_copy, write_latest_copies
from opslab.runs.record.report import write_reports
from opslab.runs.record.run_journal import RunJournal, seal_run
from opslab.runs.record.state import as_seen, read_state
from opslab.runs.record.verify import refuse_changed
from opslab.store.files import json_bytes, write_whole, writing
from opslab.store.runs.journal import Journal
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import run_folder, write_metadata
from opslab.store.runs.seal import compare_to_seal, read_manifest

__all__ = [
    "PROBE",
    "READINESS",
    "RECONCILIATION",
    "CheckKind",
    "CheckResult",
    "RecordedCheck",
    "record_check",
    "record_check_as_owner",
]

_MAX_ATTEMPTS = 3
"""Attempts to record a check while the owner of the run changes."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A result to record in a run."""

    kind: CheckKind
    event: CheckRecorded
    """Without its file."""
    document: Mapping[str, Any]
    """The artifact."""


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    artifact: str
    """File in the run's folder."""
    digest: str
    seal: str | None
    """Digest of the new seal; None: the run is not sealed."""


class _RunStarted(Exception):
    """The run was started in the meantime."""


def record_check(context: Context, run_id: RunId, check: CheckResult) -> RecordedCheck:
    """Record a check's result in a run.

    Raises NotFound, Corrupt, Environment, Unwritable; then nothing was recorded.
    """
    folder = run_folder(context.layout, run_id)
    for _ in range(_MAX_ATTEMPTS):
        try:
            if _is_running(folder, context.processes):
                return _record_beside_owner(folder, context, check)
            return _record_with_lock(folder, context, check)
        except (_RunStarted, HasEnded):
            continue
    raise Environment(f"the owner of run {run_id} keeps changing", hint="try again")


def record_check_as_owner(folder: Path, log: RunJournal, check: CheckResult) -> RecordedCheck:
    """Record a result in a run that the caller owns and whose journal it has open. Raises Unwritable."""
    written: list[RecordedCheck] = []

    def write_event() -> CheckRecorded:
        written.append(_write_artifact(folder, check))
        return check.event.with_file(written[0].artifact, written[0].digest)

    log.append_exclusively(write_event)
    write_copy(folder, check.kind, written[0].artifact)
    return written[0]


def _is_running(folder: Path, processes: Processes) -> bool:
    """Raises Environment if the run's owner died before it ended the run."""
    metadata = read_state(folder)
    if metadata.status != "running":
        return False
    if as_seen(metadata, processes).status != "running":
        raise Environment(
            f"run {folder.name} is not settled: its owner died", hint=f"tc run recover {folder.name}, then again"
        )
    return True


def _record_beside_owner(folder: Path, context: Context, check: CheckResult) -> RecordedCheck:
    """Raises HasEnded."""
    written: list[RecordedCheck] = []

    def write_event() -> CheckRecorded:
        recorded = _write_artifact(folder, check)
        write_copy(folder, check.kind, recorded.artifact)
        written.append(recorded)
        return check.event.with_file(recorded.artifact, recorded.digest)

    append_beside_owner(folder, context.clock, write_event)
    return written[0]


def _record_with_lock(folder: Path, context: Context, check: CheckResult) -> RecordedCheck:
    """In a run that no other process owns. Raises _RunStarted."""
    with owned(folder):
        if read_state(folder).status == "running":
            raise _RunStarted
        old_manifest = read_manifest(folder)
        _refuse_changed_files(folder, old_manifest)
        recorded = _write_artifact(folder, check)
        with Journal(folder, context.clock) as journal:
            event = check.event.with_file(recorded.artifact, recorded.digest)
            journal.append(event.EVENT, event.payload())
        metadata = read_state(folder)
        rewrite_derived(folder, metadata)
        if old_manifest is None:
            return recorded
        seal_run(folder, metadata, context.clock, reports=False, by="check")
        manifest = read_manifest(folder)
        return RecordedCheck(recorded.artifact, recorded.digest, manifest.seal if manifest else None)


def _refuse_changed_files(folder: Path, manifest: Manifest | None) -> None:
    """A new seal must not cover a change that was made under the old one."""
    if manifest is None:
        if read_state(folder).status in FINAL:
            raise Environment(
                f"run {folder.name} has ended and is not sealed", hint=f"tc run recover {folder.name}, then again"
            )
        return
    findings = compare_to_seal(folder, manifest, lambda _size: None)
    refuse_changed(folder, findings)
    if findings:
        raise Environment(
            f"run {folder.name}: {findings[0].file} {findings[0].message}",
            hint=f"tc run recover {folder.name}, then again",
        )


def _write_artifact(folder: Path, check: CheckResult) -> RecordedCheck:
    """Write it under the first free number."""
    kind, data = check.kind, json_bytes(check.document)
    with writing(f"write the result of {kind.event}"):
        number = 1
        while (folder / kind.numbered(number)).exists():
            number += 1
        write_whole(folder / kind.numbered(number), data)
    return RecordedCheck(kind.numbered(number), digest_bytes(data), None)


def rewrite_derived(folder: Path, metadata: RunMetadata) -> None:
    """Write the derived files again; the reports only if they exist. The caller owns the run."""
    write_metadata(folder, metadata)
    write_latest_copies(folder, metadata)
    if (folder / "report.md").exists():
        write_reports(folder, metadata)
