"""Record a check's result in a run: before it starts, while it runs, after it was sealed.

The order is fixed, so that `tc run recover` can finish what a dead process left: the numbered artifact, the event that
names it, the metadata, the copy under the plain name, the reports, and a new seal if there was one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opslab.context import Context
from opslab.errors import Environment
from opslab.model.checks.check_kind import PROBE, READINESS, RECONCILIATION, CheckKind
from opslab.model.journal.check_events import CheckRecorded
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import RunId
from opslab.ports import Processes
from opslab.runs.checks.later_event import append_and_seal
from opslab.runs.record.concurrent_append import HasEnded, append_beside_owner
from opslab.runs.record.latest_copies import write_copy
from opslab.runs.record.run_journal import RunJournal
from opslab.runs.record.state import as_seen, read_state
from opslab.store.files import json_bytes, write_whole, writing
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import run_folder

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
    written: list[RecordedCheck] = []

    def write_result() -> CheckRecorded:
        written.append(_write_artifact(folder, check))
        return check.event.with_file(written[0].artifact, written[0].digest)

    with owned(folder):
        if read_state(folder).status == "running":
            raise _RunStarted
        manifest = append_and_seal(folder, context, write_result, by="check")
        return replace(written[0], seal=manifest.seal if manifest else None)


def _write_artifact(folder: Path, check: CheckResult) -> RecordedCheck:
    """Write it under the first free number."""
    kind, data = check.kind, json_bytes(check.document)
    with writing(f"write the result of {kind.event}"):
        number = 1
        while (folder / kind.numbered(number)).exists():
            number += 1
        write_whole(folder / kind.numbered(number), data)
    return RecordedCheck(kind.numbered(number), digest_bytes(data), None)
