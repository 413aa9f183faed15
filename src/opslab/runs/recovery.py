"""A run whose owner is gone: settled in the journal, sealed with what there is. What lives is never touched."""

from pathlib import Path
from typing import Literal

from opslab.errors import Corrupt, Environment, InvalidSpec, LabError, Unwritable
from opslab.model.ids import RunId
from opslab.model.instant import iso
from opslab.model.record import Record
from opslab.model.run import FINAL, RunMetadata
from opslab.ports import Clock, Processes
from opslab.runs.owners import refuse_unless_gone
from opslab.runs.run_log import RunLog, finish
from opslab.runs.state import told
from opslab.specs.load import load_spec
from opslab.store.files import file_digest, remove_folder
from opslab.store.journal import Journal, last_event
from opslab.store.layout import Layout
from opslab.store.live import read_live, remove_live
from opslab.store.owner import owned
from opslab.store.runs import SPEC, tidy, write_metadata
from opslab.store.seal import read_manifest

Action = Literal["settled", "sealed", "nothing", "refused", "unwritable", "unreadable"]


class Recovered(Record):
    """What was done to one run, and why."""

    run_id: str
    action: Action
    message: str


def recover(
    layout: Layout, run_id: RunId, clock: Clock, processes: Processes, gone_host: str | None = None
) -> Recovered:
    """Settle one run. gone_host: a machine that will not come back, so that its owners are gone.

    Raises Environment when it lives, or when nobody can tell; Corrupt when its journal or results are broken.
    """
    folder = layout.run(run_id)
    done = _needs_nothing(folder)
    if done:
        return done
    _refuse_unless_gone(told(folder), processes, gone_host)
    with owned(folder):
        done = _needs_nothing(folder)  # still: another may have been quicker
        if done:
            return done
        metadata = told(folder)
        if metadata.status == "running":
            tidy(folder)
            metadata = _settle(layout, folder, metadata, clock)
            action: Action = "settled"
            message = f"its owner was gone; interrupted, last sign of life {metadata.ended_at}"
        else:
            tidy(folder)
            _check_results(folder, metadata)
            write_metadata(folder, metadata)
            action, message = "sealed", f"it had ended as {metadata.status}, and its owner died before it was sealed"
        finish(folder, metadata, clock, reports=_wants_reports(folder), by="recover")
        remove_folder(layout.work(run_id))
        remove_live(layout, run_id)
    return Recovered(run_id=run_id, action=action, message=message)


def try_to_recover(
    layout: Layout, run_id: RunId, clock: Clock, processes: Processes, gone_host: str | None
) -> tuple[Recovered, int]:
    """As `recover`, for one of many: what was done, and the exit code that it alone would give."""
    try:
        return recover(layout, run_id, clock, processes, gone_host), 0
    except Unwritable as error:
        return Recovered(run_id=run_id, action="unwritable", message=error.message), error.exit_code
    except Environment as error:
        return Recovered(run_id=run_id, action="refused", message=error.message), error.exit_code
    except LabError as error:
        return Recovered(run_id=run_id, action="unreadable", message=error.message), error.exit_code


def _needs_nothing(folder: Path) -> Recovered | None:
    metadata = told(folder)
    if metadata.status == "initialized":
        message = "it was initialized and never started; a backtest with its spec goes on from it"
    elif metadata.status in FINAL and read_manifest(folder):
        message = f"it ended as {metadata.status} and is sealed"
    else:
        return None
    return Recovered(run_id=folder.name, action="nothing", message=message)


def _refuse_unless_gone(metadata: RunMetadata, processes: Processes, gone_host: str | None) -> None:
    """Before the lock is taken: then it would be ours that is seen."""
    owner = metadata.owner
    if metadata.status != "running" or owner is None:
        return
    if processes.is_alive(owner, metadata.run_id):
        raise Environment(
            f"run {metadata.run_id} is alive: process {owner.pid} on {owner.host} owns it",
            hint="what lives is never taken over: stop it first, with Ctrl-C or SIGTERM",
        )
    refuse_unless_gone(metadata, processes.me(), gone_host)


def _settle(layout: Layout, folder: Path, metadata: RunMetadata, clock: Clock) -> RunMetadata:
    """Say in the journal that the run was interrupted, and when it was last alive."""
    last = last_event(folder)
    signs = [last.time] if last else []
    live = read_live(layout, RunId(metadata.run_id))
    if live and live.owner == metadata.owner:
        signs.append(live.heartbeat_at)
    with Journal(folder, clock) as journal:
        times = {"ended_at": max(signs, default=None), "recovered_at": iso(clock.now_ns())}
        return RunLog(folder, journal, metadata).tell("run_interrupted", {"ended_by": "owner_gone", **times})


def _check_results(folder: Path, metadata: RunMetadata) -> None:
    """What the run said of its results when it ended must still hold. Raises Corrupt."""
    for name, digest in metadata.artifacts.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            raise Corrupt(f"run {folder.name}: {name} is not what the run wrote; it is not sealed")


def _wants_reports(folder: Path) -> bool:
    try:
        return load_spec(folder / SPEC).spec.observability.report
    except (InvalidSpec, Environment):
        return True
