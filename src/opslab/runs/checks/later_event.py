"""Append an event to a run that no other process owns: the derived files and a new seal follow it."""

from collections.abc import Callable
from pathlib import Path

from opslab.context import Context
from opslab.errors import Environment
from opslab.model.journal.journal_event import JournalEvent
from opslab.model.run.manifest import Manifest, SealedBy
from opslab.model.run.metadata import FINAL, RunMetadata
from opslab.runs.record.latest_copies import write_latest_copies
from opslab.runs.record.report import write_reports
from opslab.runs.record.run_journal import seal_run
from opslab.runs.record.state import read_state
from opslab.runs.record.verify import refuse_changed
from opslab.store.runs.journal import Journal
from opslab.store.runs.run_folders import write_metadata
from opslab.store.runs.seal import compare_to_seal, read_manifest


def append_and_seal(folder: Path, context: Context, make: Callable[[], JournalEvent], by: SealedBy) -> Manifest | None:
    """Append what `make` returns, and seal the run again if it is sealed. The caller owns the run.

    Returns the new seal; None: the run was never started. Raises Corrupt for a run that was changed, Environment for
    one that `tc run recover` has to finish; then `make` was not called.
    """
    old_manifest = read_manifest(folder)
    _refuse_changed_files(folder, old_manifest)
    event = make()
    with Journal(folder, context.clock) as journal:
        journal.append(event.EVENT, event.payload())
    metadata = read_state(folder)
    rewrite_derived(folder, metadata)
    if old_manifest is None:
        return None
    seal_run(folder, metadata, context.clock, reports=False, by=by)
    return read_manifest(folder)


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


def rewrite_derived(folder: Path, metadata: RunMetadata) -> None:
    """Write the derived files again; the reports only if they exist. The caller owns the run."""
    write_metadata(folder, metadata)
    write_latest_copies(folder, metadata)
    if (folder / "report.md").exists():
        write_reports(folder, metadata)
