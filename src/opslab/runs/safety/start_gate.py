"""The kill switch, and the runs that it is about: asked before a run starts, told to those that have not ended."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Literal

from opslab.errors import Environment, LabError, Refused
from opslab.killswitch.state import Switch
from opslab.killswitch.switch import effective, prepare
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.model.run.metadata import FINAL, RunMetadata, Safety
from opslab.ports import Clock, Processes
from opslab.runs.record.concurrent_append import HasEnded, append_beside_owner
from opslab.runs.record.registry import list_runs
from opslab.runs.record.state import as_seen, read_state, refuse_behind
from opslab.store.layout import Layout
from opslab.store.runs.journal import Journal
from opslab.store.runs.owner import owned
from opslab.store.runs.run_folders import write_metadata
from opslab.store.runs.seal import NAME as MANIFEST

if TYPE_CHECKING:  # it takes jinja2 to load
    from opslab.runs.record.run_journal import RunJournal

Clean = Callable[[str], str]
"""Takes this machine's paths out of a text."""

_START_SECONDS = 1.0
"""How long a run may take from being held to having started."""
_POLL_SECONDS = 0.02


def may_start(layout: Layout, log: "RunJournal", clock: Clock, redact: Clean) -> bool:
    """Ask the kill switch before anything of the engine starts, and write down what it said.

    When it is active, the run's end is in the journal, and it is to be sealed.
    """
    run_id = RunId(log.metadata.run_id)
    prepare(layout)
    safety = safety_of(effective(layout, run_id), "start_gate", clock, redact)
    paper = log.metadata.mode == "paper"
    log.tell("paper_safety_checked" if paper else "kill_switch_observed", safety.model_dump())
    if safety.state != "active":
        return True
    log.tell(
        "paper_safety_blocked" if paper else "run_safety_blocked",
        {"ended_by": "kill_switch", "file": safety.file, "reason": safety.reason},
    )
    return False


def refused(run: RunMetadata) -> Refused:
    """What to say of a run that the kill switch kept from starting, or stopped."""
    option = switch_option(run)
    what = "halted" if run.status == "halted" else "kept from starting"
    return Refused(
        f"run {run.run_id} was {what}: {blocked_by(run)}",
        hint=f"tc kill status {option}; when runs may start again: tc kill clear {option} --reason TEXT",
    )


def switch_option(run: RunMetadata) -> str:
    """How a command names the switch that decided."""
    return f"--run-id {run.run_id}" if run.safety and run.safety.scope == "run" else "--all"


def blocked_by(run: RunMetadata) -> str:
    """Which switch, since when, by whom, why."""
    safety = run.safety
    if safety is None:
        return "the kill switch is active"
    switch = "the kill switch of the run" if safety.scope == "run" else "the kill switch of all runs"
    if safety.problem:
        return f"{switch} counts as active: {safety.file} {safety.problem}"
    return f"{switch} is active since {safety.activated_at}, by {safety.actor}: {safety.reason}"


@dataclass(frozen=True, slots=True)
class SwitchContext:
    layout: Layout
    clock: Clock
    processes: Processes
    redact: Clean


def tell_runs(context: SwitchContext, run_id: RunId | None, patience_seconds: float) -> list[str]:
    """Tell the journal of a run, or of all, what its kill switch says now; what went wrong, and what goes on running.

    A run that has ended is not touched. Gives up after `patience_seconds`, whatever the disk does.
    """
    notes: list[str] = []
    worker = Thread(target=lambda: notes.extend(_notes(context, run_id)), daemon=True)
    worker.start()
    worker.join(patience_seconds)
    if worker.is_alive():
        return ["the journals could not be told in time; the kill switch itself is as it says"]
    return notes


def _notes(context: SwitchContext, run_id: RunId | None) -> Iterator[str]:
    try:
        for name in [run_id] if run_id else _not_ended(context):
            note = _tell_run(context, name)
            if note:
                yield note
    except (LabError, OSError) as error:
        yield f"the runs could not be told: {error}"


def _not_ended(context: SwitchContext) -> list[RunId]:
    rows = list_runs(context.layout, context.processes, context.clock)
    return [RunId(row.run_id) for row in rows if row.status in ("initialized", "running")]


def _tell_run(context: SwitchContext, run_id: RunId) -> str | None:
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
                return _beside_its_owner(folder, context, metadata, safety)
            _in_our_hands(folder, context, safety)
            return None
        except Environment as error:  # somebody holds it: it starts, and its own gate tells what it found
            if type(error) is not Environment or context.clock.monotonic_s() > deadline:
                return f"run {run_id} could not be told: {error.message}"
            time.sleep(_POLL_SECONDS)
        except (LabError, OSError) as error:
            return f"run {run_id} could not be told: {error}"


def _beside_its_owner(folder: Path, context: SwitchContext, metadata: RunMetadata, safety: Safety) -> str | None:
    try:
        append_beside_owner(folder, context.clock, lambda: ("kill_switch_observed", safety.model_dump()))
    except HasEnded:
        return f"run {metadata.run_id} was running, and has ended" if safety.state == "active" else None
    if safety.state != "active":
        return None
    pid = f"; its process is {metadata.owner.pid}" if metadata.owner else ""
    return f"run {metadata.run_id} is running, and is being stopped{pid}"


def _in_our_hands(folder: Path, context: SwitchContext, safety: Safety) -> None:
    with owned(folder):
        metadata = read_state(folder)
        if metadata.status != "initialized":
            raise Environment("it was started in the meantime")
        refuse_behind(folder, metadata)
        with Journal(folder, context.clock) as journal:
            journal.append("kill_switch_observed", safety.model_dump())
        write_metadata(folder, read_state(folder))


def safety_of(switch: Switch, by: Literal["start_gate", "command", "watch"], clock: Clock, redact: Clean) -> Safety:
    said = {name: value for name, value in asdict(switch).items() if name != "run_id"}
    for name in ("reason", "clear_reason", "problem"):
        said[name] = redact(said[name]) if said[name] else said[name]
    return Safety(**said, observed_by=by, checked_at=iso(clock.now_ns()))
