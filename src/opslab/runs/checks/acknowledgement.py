"""Record in a run that an operator has dealt with its end."""

from dataclasses import dataclass
from pathlib import Path

from opslab.context import Context
from opslab.errors import Corrupt, Environment
from opslab.model.journal.run_events import RunAcknowledged
from opslab.model.primitives.ids import RunId
from opslab.model.run.metadata import FINAL, Acknowledgement, Status
from opslab.ports import Processes
from opslab.runs.checks.later_event import append_and_seal
from opslab.runs.record.state import as_seen, read_state
from opslab.runs.record.verify import hint_for_changed
from opslab.store.runs.owner import owned
from opslab.store.runs.seal import read_manifest


@dataclass(frozen=True, slots=True)
class RecordedAcknowledgement:
    run_id: RunId
    status: Status
    acknowledged: Acknowledgement
    previous: Acknowledgement | None
    """The one that it replaces."""
    seal: str
    """Digest of the new seal."""


def acknowledge(context: Context, run_id: RunId, reason: str, actor: str) -> RecordedAcknowledgement:
    """Acknowledge a run that has ended.

    Raises Environment when it has not ended or `tc run recover` has to settle it first, Corrupt when it was changed,
    Unwritable; then nothing was recorded.
    """
    try:
        return _acknowledge(context, context.layout.run(run_id), RunAcknowledged(reason=reason, actor=actor))
    except Corrupt as error:
        error.hint = error.hint or hint_for_changed(run_id)
        raise


def _acknowledge(context: Context, folder: Path, event: RunAcknowledged) -> RecordedAcknowledgement:
    _refuse_unless_ended(folder, context.processes)
    with owned(folder):
        previous = read_state(folder).acknowledged
        manifest = append_and_seal(folder, context, lambda: event, by="acknowledge")
        metadata = read_state(folder)
    if manifest is None or metadata.acknowledged is None:
        raise Environment(f"run {folder.name} changed while it was acknowledged", hint="try again")
    return RecordedAcknowledgement(RunId(folder.name), metadata.status, metadata.acknowledged, previous, manifest.seal)


def _refuse_unless_ended(folder: Path, processes: Processes) -> None:
    metadata = read_state(folder)
    if metadata.status in FINAL or read_manifest(folder) is not None:  # sealed: the seal shows a cut journal
        return
    run = f"run {folder.name}"
    if metadata.status == "initialized":
        raise Environment(f"{run} was never started", hint="a run can be acknowledged after it has ended")
    if as_seen(metadata, processes).status == "running":
        raise Environment(
            f"{run} is running", hint=f"wait for its end, or stop it; tc run show {folder.name} shows its state"
        )
    raise Environment(f"{run} is not settled: its owner died", hint=f"tc run recover {folder.name}, then again")
