"""Verify a run against its seal."""

from collections.abc import Callable, Iterator
from pathlib import Path

from opslab.context import Context
from opslab.errors import Corrupt, LabError, OtherFormat
from opslab.model.primitives.difference import differences
from opslab.model.primitives.ids import RunId
from opslab.model.run.manifest import FindingKind, Manifest, SealFinding, Verification
from opslab.model.run.metadata import FINAL, Status
from opslab.ports import Processes
from opslab.runs.record.latest_copies import copy_findings
from opslab.runs.record.state import as_seen, read_state, refuse_cut_journal
from opslab.store.layout import Layout
from opslab.store.runs.journal import NAME as JOURNAL
from opslab.store.runs.journal import read_events
from opslab.store.runs.owner import is_held
from opslab.store.runs.run_folders import METADATA, read_metadata
from opslab.store.runs.seal import NAME as MANIFEST
from opslab.store.runs.seal import compare_to_seal, read_manifest
from opslab.store.runs.unsealed_tail import unsealed_tail

EXIT_CODES = {"whole": 0, "changed": 6, "unsealed": 3}


def size_to_verify(layout: Layout, run_id: RunId) -> int:
    """Bytes that `verify` will read, from the seal; for progress."""
    try:
        manifest = read_manifest(layout.run(run_id))
    except LabError:
        return 0
    return sum(file.size_bytes for file in manifest.files) if manifest else 0


def verify(context: Context, run_id: RunId, tick: Callable[[int], None]) -> Verification:
    """Compare a run with its seal. tick: called with the bytes read since the last call. Raises OtherFormat."""
    folder = context.layout.run(run_id)
    try:
        manifest = read_manifest(folder)
    except OtherFormat:
        raise
    except Corrupt as error:
        return _verification(folder, None, None, [_finding(error)])
    if manifest is None:
        return _verify_unsealed(folder, context.processes)
    findings = compare_to_seal(folder, manifest, tick)
    journal_findings = [finding for finding in findings if finding.file == JOURNAL]
    # the derived files do not have the events after the seal yet
    if not _changes(journal_findings) and not unsealed_tail(folder, manifest).events:
        findings += _derived_findings(folder)
    return _verification(folder, manifest, manifest.status, findings)


def verify_one_of_many(context: Context, run_id: RunId, tick: Callable[[int], None]) -> Verification:
    """As `verify`; a run in another format is a finding here, so that the other runs are verified too."""
    try:
        return verify(context, run_id, tick)
    except OtherFormat as error:
        return _verification(context.layout.run(run_id), None, None, [_finding(error)])


def _verify_unsealed(folder: Path, processes: Processes) -> Verification:
    """Without a seal only the journal can be checked; a run that has ended must have a seal."""
    try:
        metadata = as_seen(read_state(folder), processes)
        check_journal(folder)
    except OtherFormat:
        raise
    except Corrupt as error:
        return _verification(folder, None, None, [_finding(error)])
    has_ended = metadata.status in FINAL and (metadata.ended_by != "owner_gone" or metadata.recovered_at)
    if has_ended and not is_held(folder):
        message = f"is missing, and the run has ended as {metadata.status}"
        return _verification(
            folder, None, metadata.status, [SealFinding(kind="missing", file=MANIFEST, message=message)]
        )
    return _verification(folder, None, metadata.status, [])


def check_journal(folder: Path) -> None:
    """Walk the chain from end to end. Raises Corrupt where it breaks, or when the journal was cut."""
    for _event in read_events(folder):
        pass
    refuse_cut_journal(folder, read_state(folder))


def refuse_changed(folder: Path, findings: list[SealFinding]) -> None:
    """Raises Corrupt for the first finding that is not a leftover of a process."""
    first = next(iter(_changes(findings)), None)
    if first is None:
        return
    raise Corrupt(
        f"run {folder.name}: {first.file} {first.message}",
        file=first.file,
        line=first.line,
        byte=first.byte,
        problem=first.message,
        hint=hint_for_changed(folder.name),
    )


def hint_for_changed(run_id: str) -> str:
    return f"tc run verify {run_id} lists every change; docs/runbooks/artifact-health.md"


def _derived_findings(folder: Path) -> Iterator[SealFinding]:
    """`metadata.json` may be missing; if it exists it must equal the journal, because every command reads it."""
    projected = read_state(folder)
    yield from copy_findings(folder, projected)
    try:
        stored = read_metadata(folder)
    except Corrupt as error:
        yield _finding(error)
        return
    if stored is None:
        return
    differing = differences(projected.model_dump(mode="json"), stored.model_dump(mode="json"))
    if differing:
        first = differing[0]
        message = f"has {first.field} {first.after}, the journal has {first.before}"
        yield SealFinding(kind="changed", file=METADATA, message=message)


def _verification(
    folder: Path, manifest: Manifest | None, status: Status | None, findings: list[SealFinding]
) -> Verification:
    sealed = manifest.files if manifest else ()
    return Verification(
        run_id=folder.name,
        verdict="changed" if _changes(findings) else ("whole" if manifest else "unsealed"),
        status=status,
        findings=tuple(findings),
        seal=manifest.seal if manifest else None,
        seal_number=manifest.number if manifest else None,
        files=len(sealed),
        size_bytes=sum(file.size_bytes for file in sealed),
        message=_message(manifest, status, findings),
    )


def _changes(findings: list[SealFinding]) -> list[SealFinding]:
    return [finding for finding in findings if finding.kind != "leftover"]


def _message(manifest: Manifest | None, status: Status | None, findings: list[SealFinding]) -> str:
    changes = _changes(findings)
    if changes:
        first, others = changes[0], len(changes) - 1
        return f"{first.file} {first.message}{f'; {others} more' if others else ''}"
    if manifest:
        leftovers = f"; {len(findings)} leftovers of a dead process" if findings else ""
        return f"all files match the seal of {manifest.sealed_at}{leftovers}"
    reasons = {"initialized": "it was never started", "running": "it is running"}
    return f"not sealed yet: {reasons.get(status or '', 'its owner died before sealing')}"


def hint(verification: Verification) -> str | None:
    """The next step, where there is one."""
    run_id = verification.run_id
    files = {finding.file for finding in verification.findings}
    if verification.verdict == "whole" and files:
        return f"tc run recover {run_id} settles what was interrupted"
    if files == {METADATA}:
        return f"tc run report {run_id} rewrites it from the journal"
    if files == {MANIFEST} and verification.seal is None and verification.status:
        return f"if tc was killed while it ended the run, tc run recover {run_id} seals it"
    if verification.verdict == "unsealed" and verification.status == "interrupted":
        return f"tc run recover {run_id}"
    if verification.verdict == "changed":
        return "see docs/runbooks/artifact-health.md for a changed run"
    return None


def _finding(error: Corrupt) -> SealFinding:
    if isinstance(error, OtherFormat):
        kind: FindingKind = "unreadable"
    else:
        kind = "missing" if error.is_missing else "changed"
    return SealFinding(kind=kind, file=error.file or "", line=error.line, byte=error.byte, message=error.problem)
