"""The kill switch. Loads no third-party package, except to record a change in the journals of runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opslab.errors import Environment
from opslab.killswitch import switch
from opslab.killswitch.state import MAX_ACTOR_CHARACTERS, MAX_REASON_CHARACTERS, Switch, checked_text
from opslab.killswitch.switch import Change, Listing, effective, list_switches, read_switch
from opslab.model.primitives.ids import RunId, nearest
from opslab.store.runs.list_index import run_folder_names

if TYPE_CHECKING:
    from opslab.context import Context

__all__ = [
    "Change",
    "Listing",
    "RunLookup",
    "Switch",
    "activate",
    "checked_actor",
    "checked_reason",
    "clear",
    "effective",
    "list_switches",
    "look_up_run",
    "read_switch",
    "record_in_runs",
]

RECORD_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunLookup:
    """Whether a run exists, None if that is unknown; the most similar names when it does not."""

    exists: bool | None
    nearest: list[str]


def checked_reason(text: str) -> str:
    """The value of `--reason`. Raises Usage."""
    return checked_text("--reason", text, MAX_REASON_CHARACTERS)


def checked_actor(text: str) -> str:
    """The value of `--actor`. Raises Usage."""
    return checked_text("--actor", text, MAX_ACTOR_CHARACTERS)


def activate(context: "Context", run_id: RunId | None, reason: str, actor: str) -> Change:
    """run_id: None for all runs. Raises Unwritable."""
    return switch.activate(context.layout, run_id, reason, actor, context.clock)


def clear(context: "Context", run_id: RunId | None, reason: str, actor: str) -> Change:
    """run_id: None for all runs. Raises Refused, Environment, Unwritable."""
    return switch.clear(context.layout, run_id, reason, actor, context.clock)


def record_in_runs(context: "Context", run_id: RunId | None) -> list[str]:
    """Record the switch in the journals of unfinished runs. Returns notes.

    run_id: None for all runs. Without runs, the modules for it are not imported.
    """
    try:
        has_runs = context.layout.run(run_id).is_dir() if run_id is not None else bool(run_folder_names(context.layout))
        if not has_runs:
            return []
        from opslab.runs.safety.start_gate import record_switch_change

        return record_switch_change(context, run_id, RECORD_TIMEOUT_SECONDS)
    except Environment as error:
        return [f"the runs were not updated: {error.message}"]


def look_up_run(context: "Context", run_id: RunId) -> RunLookup:
    if context.layout.run(run_id).is_dir():
        return RunLookup(True, [])
    known = {switch.run_id for switch in list_switches(context.layout).switches if switch.run_id}
    try:
        known |= set(run_folder_names(context.layout))
    except Environment:
        return RunLookup(None, nearest(run_id, known - {run_id}))
    return RunLookup(False, nearest(run_id, known - {run_id}))
