"""The safety gate of the kill switch: checked before a run starts; changes recorded in unfinished runs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Literal

from opslab.context import Context
from opslab.errors import Environment, LabError, Refused
from opslab.killswitch.state import Switch
from opslab.killswitch.switch import effective, prepare
from opslab.model.journal.run_events import KillSwitchObserved, PaperSafetyBlocked, PaperSafetyChecked, RunSafetyBlocked
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.run.metadata import FINAL, RunMetadata, Safety
from opslab.ports import Clock
from opslab.runs.record.concurrent_append import HasEnded, append_beside_owner
from opslab.runs.record.registry import list_runs
from opslab.runs.record.state import as_seen, read_state, refuse_cut_journal
from opslab.store.runs.journal import Journal
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import write_metadata
from opslab.store.runs.seal import NAME as MANIFEST

if TYPE_CHECKING:  # loading it needs jinja2
    from opslab.runs.record.run_journal import RunJournal

Redact = Callable[[str], str]
"""Removes this machine's paths from a text."""

_START_SECONDS = 1.0
"""Time from locking a run to its start."""
_POLL_SECONDS = 0.02


def may_start(context: Context, log: "RunJournal") -> bool:
    """Check the kill switch before the engine starts, and record its state.

    When it is active, the run's end is in the journal and the run must be sealed.
    """
    run_id = RunId(log.metadata.run_id)
    prepare(context.layout)
    safety = safety_of(effective(context.layout, run_id), "start_gate", context.clock, context.redact)
    paper = log.metadata.mode == "paper"
    log.append(PaperSafetyChecked.of(safety) if paper else KillSwitchObserved.of(safety))
    if safety.state != "active":
        return True
    blocked = PaperSafetyBlocked if paper else RunSafetyBlocked
    log.append(blocked(ended_by="kill_switch", file=safety.file, reason=safety.reason))
    return False


def refusal(run: RunMetadata) -> Refused:
    """The error for a run that the kill switch blocked or halted."""
    option = switch_option(run)
    effect = "halted" if run.status == "halted" else "kept from starting"
    return Refused(
        f"run {run.run_id} was {effect}: {blocked_by(run)}",
        hint=f"tc kill status {option}; when runs may start again: tc kill clear {option} --reason TEXT",
    )


def switch_option(run: RunMetadata) -> str:
    """The option that selects the deciding switch."""
    return f"--run-id {run.run_id}" if run.safety and run.safety.scope == "run" else "--all"


def blocked_by(run: RunMetadata) -> str:
    """The deciding switch: scope, time, actor, reason."""
    safety = run.safety
    if safety is None:
        return "the kill switch is active"
    switch = "the kill switch of the run" if safety.scope == "run" else "the kill switch of all runs"
    if safety.problem:
        return f"{switch} counts as active: {safety.file} {safety.problem}"
    return f"{switch} is active since {safety.activated_at}, by {safety.actor}: {safety.reason}"


def record_switch_change(context: Context, run_id: RunId | None, patience_seconds: float) -> list[str]:
    """Record the current switch in the journal of one run or of all. Returns notes: errors, and runs still running.

    Does not touch a run that has ended. Returns after `patience_seconds` even when the disk blocks.
    """
    notes: list[str] = []
    worker = Thread(target=lambda: notes.extend(_record_in_runs(context, run_id)), daemon=True)
    worker.start()
    worker.join(patience_seconds)
    if worker.is_alive():
        return ["the journals were not updated in time; the kill switch itself is set as reported"]
    return notes


def _record_in_runs(context: Context, run_id: RunId | None) -> Iterator[str]:
    """Yields the notes."""
    try:
        for name in [run_id] if run_id else _unfinished_runs(context):
            note = _record_in_run(context, name)
            if note:
                yield note
    except (LabError, OSError) as error:
        yield f"the runs were not updated: {error}"


def _unfinished_runs(context: Context) -> list[RunId]:
    rows = list_runs(context)
    return [RunId(row.run_id) for row in rows if row.status in ("initialized", "running")]


def _record_in_run(context: Context, run_id: RunId) -> str | None:
    """Returns the note, if there is one."""
    folder = context.layout.run(run_id)
    if not folder.is_dir():
        return None
    deadline = context.clock.monotonic_s() + _START_SECONDS
    while True:
        try:
            metadata = as_seen(read_state(folder), context.processes)
            if metadata.status in FINAL or (folder / MANIFEST).exists():
                return None
            safety = safety_of(effective(context.layout, run_id), "command", context.clock, context.redact)
            if metadata.status == "running":
                return _append_beside_owner(folder, context, metadata, safety)
            _append_as_owner(folder, context, safety)
            return None
        except Environment as error:  # locked: it is starting, and its own gate records the switch
            if type(error) is not Environment or context.clock.monotonic_s() > deadline:
                return f"run {run_id} was not updated: {error.message}"
            time.sleep(_POLL_SECONDS)
        except (LabError, OSError) as error:
            return f"run {run_id} was not updated: {error}"


def _append_beside_owner(folder: Path, context: Context, metadata: RunMetadata, safety: Safety) -> str | None:
    try:
        append_beside_owner(folder, context.clock, lambda: KillSwitchObserved.of(safety))
    except HasEnded:
        return f"run {metadata.run_id} was running and has ended" if safety.state == "active" else None
    if safety.state != "active":
        return None
    pid = f"; its process is {metadata.owner.pid}" if metadata.owner else ""
    return f"run {metadata.run_id} is running and is being stopped{pid}"


def _append_as_owner(folder: Path, context: Context, safety: Safety) -> None:
    with owned(folder):
        metadata = read_state(folder)
        if metadata.status != "initialized":
            raise Environment("it was started in the meantime")
        refuse_cut_journal(folder, metadata)
        with Journal(folder, context.clock) as journal:
            journal.append(KillSwitchObserved.EVENT, KillSwitchObserved.of(safety).payload())
        write_metadata(folder, read_state(folder))


def safety_of(
    switch: Switch, observed_by: Literal["start_gate", "command", "watch"], clock: Clock, redact: Redact
) -> Safety:
    """The record of a switch, checked now, without this machine's paths."""
    fields = {name: value for name, value in asdict(switch).items() if name != "run_id"}
    for name in ("reason", "clear_reason", "problem"):
        fields[name] = redact(fields[name]) if fields[name] else fields[name]
    return Safety(**fields, observed_by=observed_by, checked_at=iso(clock.now_ns()))
