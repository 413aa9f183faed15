"""A check's result, kept with a run: before it starts, while it runs, after it was sealed.

In this order, so that whoever dies on the way leaves what `tc run recover` can end: the numbered artifact, the event
that names it, the metadata, the copy under the plain name, the reports, and a new seal where there was one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.errors import Environment
from opslab.model.checks.check_kind import PROBE, READINESS, RECONCILIATION, CheckKind
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import RunId
from opslab.model.run.manifest import Manifest
from opslab.model.run.metadata import FINAL, RunMetadata
from opslab.ports import Clock, Processes
from opslab.runs.record.concurrent_append import HasEnded, append_beside_owner
from opslab.runs.record.latest_copies import write_copy, write_latest_copies
from opslab.runs.record.report import write_reports
from opslab.runs.record.run_journal import RunJournal, finish
from opslab.runs.record.state import as_seen, read_state
from opslab.runs.record.verify import refuse_changed
from opslab.store.files import json_bytes, write_whole, writing
from opslab.store.layout import Layout
from opslab.store.runs.journal import Journal
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import run_folder, write_metadata
from opslab.store.runs.seal import hold_against, read_manifest

__all__ = [
    "PROBE",
    "READINESS",
    "RECONCILIATION",
    "CheckContext",
    "CheckKind",
    "RecordedCheck",
    "record_check",
    "record_check_as_owner",
]

_TURNS = 3
"""How often a run may change hands while a check is being kept."""


@dataclass(frozen=True, slots=True)
class CheckContext:
    layout: Layout
    clock: Clock
    processes: Processes


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    artifact: str
    """File in the run's folder."""
    digest: str
    seal: str | None
    """Digest of the new seal; None of a run that is not sealed."""


class _HasStarted(Exception):
    """The run was started in the meantime."""


def record_check(
    context: CheckContext,
    run_id: RunId,
    kind: CheckKind,
    summary: Mapping[str, Any],
    document: Mapping[str, Any],
) -> RecordedCheck:
    """Keep a check's result with a run.

    summary: what the event, `metadata.json` and the report say. document: the artifact.
    Raises NotFound, Corrupt, Environment, Unwritable; then nothing was kept.
    """
    folder = run_folder(context.layout, run_id)
    for _ in range(_TURNS):
        try:
            if _lives(folder, context.processes):
                return _beside_its_owner(folder, context, kind, summary, document)
            return _in_our_hands(folder, context, kind, summary, document)
        except (_HasStarted, HasEnded):
            continue
    raise Environment(f"run {run_id} changes hands all the time", hint="try again")


def record_check_as_owner(
    folder: Path, log: RunJournal, kind: CheckKind, summary: Mapping[str, Any], document: Mapping[str, Any] | None
) -> RecordedCheck | None:
    """Keep a result with the run that the caller owns and whose journal it holds: in the same order as any other.

    document: None of a result that leaves its event alone. Raises Unwritable.
    """
    if document is None:
        log.tell(kind.event, {**summary, "artifact": None, "digest": None})
        return None
    kept: list[RecordedCheck] = []

    def make() -> tuple[str, Mapping[str, Any]]:
        kept.append(_write_artifact(folder, kind, document))
        return kind.event, _payload(summary, kept[0])

    log.append_alone(make)
    write_copy(folder, kind, kept[0].artifact)
    return kept[0]


def _lives(folder: Path, processes: Processes) -> bool:
    """Whether it is running. Raises Environment when its owner died over it."""
    metadata = read_state(folder)
    if metadata.status != "running":
        return False
    if as_seen(metadata, processes).status != "running":
        raise Environment(
            f"run {folder.name} is not settled: its owner is gone", hint=f"tc run recover {folder.name}, then again"
        )
    return True


def _beside_its_owner(
    folder: Path, context: CheckContext, kind: CheckKind, summary: Mapping[str, Any], document: Mapping[str, Any]
) -> RecordedCheck:
    kept: list[RecordedCheck] = []

    def make() -> tuple[str, Mapping[str, Any]]:
        recorded = _write_artifact(folder, kind, document)
        write_copy(folder, kind, recorded.artifact)
        kept.append(recorded)
        return kind.event, _payload(summary, recorded)

    append_beside_owner(folder, context.clock, make)
    return kept[0]


def _in_our_hands(
    folder: Path, context: CheckContext, kind: CheckKind, summary: Mapping[str, Any], document: Mapping[str, Any]
) -> RecordedCheck:
    with owned(folder):
        if read_state(folder).status == "running":
            raise _HasStarted
        before = read_manifest(folder)
        _refuse_unless_whole(folder, before)
        recorded = _write_artifact(folder, kind, document)
        with Journal(folder, context.clock) as journal:
            journal.append(kind.event, _payload(summary, recorded))
        metadata = read_state(folder)
        renew(folder, metadata)
        if before is None:
            return recorded
        finish(folder, metadata, context.clock, reports=False, by="check")
        manifest = read_manifest(folder)
        return RecordedCheck(recorded.artifact, recorded.digest, manifest.seal if manifest else None)


def _refuse_unless_whole(folder: Path, manifest: Manifest | None) -> None:
    """A new seal must not cover what was changed under the old one."""
    if manifest is None:
        if read_state(folder).status in FINAL:
            raise Environment(
                f"run {folder.name} has ended and is not sealed", hint=f"tc run recover {folder.name}, then again"
            )
        return
    findings = hold_against(folder, manifest, lambda _size: None)
    refuse_changed(folder, findings)
    if findings:
        raise Environment(
            f"run {folder.name}: {findings[0].file} {findings[0].message}",
            hint=f"tc run recover {folder.name}, then again",
        )


def _write_artifact(folder: Path, kind: CheckKind, document: Mapping[str, Any]) -> RecordedCheck:
    """Under the first number that is free."""
    data = json_bytes(document)
    with writing(f"write the result of {kind.event}"):
        number = 1
        while (folder / kind.numbered(number)).exists():
            number += 1
        write_whole(folder / kind.numbered(number), data)
    return RecordedCheck(kind.numbered(number), digest_bytes(data), None)


def _payload(summary: Mapping[str, Any], recorded: RecordedCheck) -> dict[str, Any]:
    return {**summary, "artifact": recorded.artifact, "digest": recorded.digest}


def renew(folder: Path, metadata: RunMetadata) -> None:
    """Write again what is derived, the reports where they are. The caller holds the run."""
    write_metadata(folder, metadata)
    write_latest_copies(folder, metadata)
    if (folder / "report.md").exists():
        write_reports(folder, metadata)
