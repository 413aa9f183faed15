"""Liveness of owners that are in no process table here."""

from opslab.errors import Environment
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import NS_PER_SECOND, parse_iso
from opslab.model.run.metadata import Owner, RunMetadata
from opslab.ports import Clock
from opslab.store.layout import Layout
from opslab.store.runs.live_files import read_live
from opslab.store.runs.owner import is_held

SILENT_SECONDS = 60
"""After this time without a heartbeat an owner on another machine is shown as dead; it is not treated as dead."""


def lives_elsewhere(layout: Layout, clock: Clock, run_id: RunId, owner: Owner, same_kernel: bool) -> bool:
    """From the lock on the run's folder, which the kernel releases; on another machine also from a fresh heartbeat."""
    if is_held(layout.run(run_id)):
        return True
    live = None if same_kernel else read_live(layout, run_id)
    if live is None or live.owner != owner:
        return False
    try:
        age_ns = clock.now_ns() - parse_iso(live.heartbeat_at)
    except ValueError:
        return False
    return age_ns < SILENT_SECONDS * NS_PER_SECOND


def refuse_unless_gone(metadata: RunMetadata, this_process: Owner, gone_host: str | None) -> None:
    """Raises Environment for an owner on another machine, which cannot be checked, unless it is named as lost."""
    owner = metadata.owner
    if owner is None or owner.host in (this_process.host, gone_host) or owner.boot_id == this_process.boot_id:
        return
    command = f"tc run recover {metadata.run_id} --gone-host {owner.host}"
    brief = f"is owned by process {owner.pid} on {owner.host}, which cannot be asked from here"
    raise Environment(
        f"run {metadata.run_id} {brief}",
        brief=brief,
        hint=f"recover it there; if that machine is lost for good: {command}",
    )
