"""`tc kill`: the kill switch."""

import os
import pwd
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Home, Json
from opslab.cli.output import note, result_fields, result_json, result_table
from opslab.cli.plain_command import PlainCommand, PlainGroup
from opslab.errors import Environment, Usage
from opslab.model.primitives.ids import RunId, nearest

if TYPE_CHECKING:
    from opslab.killswitch.state import Switch
    from opslab.killswitch.switch import Change, Listing
    from opslab.lab import Lab
    from opslab.model.run.metadata import RunMetadata, Safety

app = typer.Typer(cls=PlainGroup, help="Control the kill switch.", no_args_is_help=True)

RunIdOption = Annotated[str | None, typer.Option("--run-id", metavar="ID", help="Switch of this run.")]
All = Annotated[bool, typer.Option("--all", help="Switch of all runs.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Reason, up to 500 characters.")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Name of the actor [default: the login name].")
]

RECORD_TIMEOUT_SECONDS = 2.0


@app.command(cls=PlainCommand)
def activate(
    reason: Reason,
    run_id: RunIdOption = None,
    every: All = False,
    actor: Actor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Stop runs and block their start.

    A switch that is active already keeps its first reason, actor and time.
    """
    from opslab.killswitch.state import MAX_ACTOR_CHARACTERS, MAX_REASON_CHARACTERS, checked_text
    from opslab.lab import open_lab
    from opslab.system import ignore_signals

    name = _scope(run_id, every)
    reason = checked_text("--reason", reason, MAX_REASON_CHARACTERS)
    actor = checked_text("--actor", _login_name() if actor is None else actor, MAX_ACTOR_CHARACTERS)
    lab = open_lab(home)
    home_existed = lab.layout.home.is_dir()
    ignore_signals()  # closing the terminal must not stop the activation
    change = lab.activate_switch(name, reason, actor)
    notes = [*change.notes, *_record_in_runs(lab, name)]
    if change.action == "kept":
        notes.insert(0, "the switch was active already: its first reason, actor and time are kept")
    if not home_existed:
        notes.append(f"created {lab.layout.home}, which did not exist: is it the home of your runs?")
    _show_change(lab, name, change, notes, as_json)


@app.command(cls=PlainCommand)
def clear(
    reason: Reason,
    run_id: RunIdOption = None,
    every: All = False,
    actor: Actor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Allow runs to start again.

    The records of runs stay unchanged.
    """
    from opslab.killswitch.state import MAX_ACTOR_CHARACTERS, MAX_REASON_CHARACTERS, checked_text
    from opslab.lab import open_lab

    name = _scope(run_id, every)
    reason = checked_text("--reason", reason, MAX_REASON_CHARACTERS)
    actor = checked_text("--actor", _login_name() if actor is None else actor, MAX_ACTOR_CHARACTERS)
    lab = open_lab(home)
    change = lab.clear_switch(name, reason, actor)
    notes = list(change.notes)
    if change.action == "cleared":
        notes += _record_in_runs(lab, name)
    else:
        notes.insert(0, f"the kill switch of {change.switch.title} was not active; nothing to clear")
    _show_change(lab, name, change, notes, as_json)


@app.command(cls=PlainCommand)
def status(run_id: RunIdOption = None, every: All = False, home: Home = None, as_json: Json = False) -> None:
    """Show the switch of a run or of all runs.

    Without --run-id and --all, list all switches.
    """
    from opslab.killswitch.switch import effective, list_switches, read_switch
    from opslab.lab import open_lab

    if run_id is not None or every:
        name = _scope(run_id, every)
        lab = open_lab(home)
        all_runs = read_switch(lab.layout, None)
        decided = effective(lab.layout, name) if name else all_runs
        switches = [read_switch(lab.layout, name), all_runs] if name else [all_runs]
        details: dict[str, Any] = {"switches": [_switch_fields(switch) for switch in switches]}
        _show_switch(lab, name, decided, details, _run_fields(lab, name), as_json)
        return
    lab = open_lab(home)
    listing = list_switches(lab.layout)
    if as_json:
        switches_json = [_switch_fields(switch) for switch in listing.switches]
        result_json({**_home_fields(lab), "problem": listing.problem, "switches": switches_json})
    else:
        _show_listing(lab, listing)


def note_blocked(run: "RunMetadata") -> None:
    """Print why the kill switch blocked a run, with a hint."""
    from opslab.runs.safety.start_gate import refused

    failure = refused(run)
    note(f"error: {failure.message}")
    note(f"hint: {failure.hint}")


def note_halted(run: "RunMetadata") -> None:
    """Print why the kill switch stopped a run, with a hint."""
    from opslab.runs.safety.start_gate import blocked_by, switch_option

    note(f"run {run.run_id} was halted: {blocked_by(run)}")
    note(f"hint: tc kill status {switch_option(run)}; docs/runbooks/kill-switch.md")


def switch_text(safety: "Safety | None") -> str | None:
    """Field of a run; None when the switch was never activated."""
    return f"{safety.state} ({safety.file})" if safety and safety.state != "absent" else None


def _scope(run_id: str | None, every: bool) -> RunId | None:
    """The run, or None for all runs. Raises Usage unless exactly one of the two options is given."""
    if every == (run_id is not None):
        raise Usage("give one of --run-id ID and --all")
    return None if run_id is None else RunId(run_id)


def _login_name() -> str:
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _record_in_runs(lab: "Lab", run_id: RunId | None) -> list[str]:
    """Record the switch in the journals of runs; without runs, the modules for it are not imported."""
    from opslab.store.runs.list_index import run_folder_names

    if run_id is not None:
        return lab.record_switch_change(run_id, RECORD_TIMEOUT_SECONDS) if lab.layout.run(run_id).is_dir() else []
    try:
        return lab.record_switch_change(None, RECORD_TIMEOUT_SECONDS) if run_folder_names(lab.layout) else []
    except Environment as error:
        return [f"the runs were not updated: {error.message}"]


def _run_fields(lab: "Lab", run_id: RunId | None) -> dict[str, Any]:
    """Whether the run exists, and the most similar names when it does not."""
    from opslab.killswitch.switch import list_switches
    from opslab.store.runs.list_index import run_folder_names

    if run_id is None:
        return {}
    if lab.layout.run(run_id).is_dir():
        return {"run_exists": True, "nearest": []}
    known = {switch.run_id for switch in list_switches(lab.layout).switches if switch.run_id}
    try:
        known |= set(run_folder_names(lab.layout))
    except Environment:
        return {"run_exists": None, "nearest": nearest(run_id, known - {run_id})}
    return {"run_exists": False, "nearest": nearest(run_id, known - {run_id})}


def _show_change(lab: "Lab", run_id: RunId | None, change: "Change", notes: list[str], as_json: bool) -> None:
    from opslab.killswitch.switch import effective

    decided = effective(lab.layout, run_id) if run_id else change.switch
    if change.switch.state != "active" and decided.state == "active":
        notes.append(f"run {run_id} is still blocked, by {decided.file}: tc kill status --all")
    details = {"action": change.action, "switches": [_switch_fields(change.switch)], "notes": notes}
    _show_switch(lab, run_id, decided, details, _run_fields(lab, run_id), as_json)
    for text in notes:
        note(text)


def _show_switch(
    lab: "Lab",
    run_id: RunId | None,
    decided: "Switch",
    details: dict[str, Any],
    run_fields: dict[str, Any],
    as_json: bool,
) -> None:
    """Print the deciding switch of a run, or of all runs, and the home."""
    if as_json:
        result_json(
            {**_home_fields(lab), "requested": run_id or "all", **_switch_fields(decided), **details, **run_fields}
        )
    else:
        result_fields(
            [
                ("for", f"run {run_id}" if run_id else "all runs"),
                ("state", decided.state),
                ("problem", decided.problem),
                ("reason", decided.reason),
                ("actor", decided.actor),
                ("activated", decided.activated_at),
                ("cleared", decided.cleared_at),
                ("cleared by", decided.cleared_by),
                ("clear reason", decided.clear_reason),
                ("decided by", decided.file),
                ("home", lab.layout.home),
            ]
        )
    if run_fields.get("run_exists") is False:
        note(f"run {run_id} does not exist in {lab.layout.home}")
        if run_fields["nearest"]:
            note(f"hint: did you mean: {', '.join(run_fields['nearest'])}")


def _show_listing(lab: "Lab", listing: "Listing") -> None:
    if listing.problem:
        note(f"all runs are blocked: {listing.problem}")
    elif not listing.switches:
        note(f"no kill switch has been activated in {lab.layout.home}")
    else:
        rows = [
            (
                switch.title,
                switch.state,
                (switch.activated_at or "")[:19],
                switch.actor or "",
                (switch.cleared_at or "")[:19],
                switch.problem or switch.clear_reason or switch.reason or "",
            )
            for switch in listing.switches
        ]
        result_table(("FOR", "STATE", "ACTIVATED (UTC)", "ACTOR", "CLEARED (UTC)", "REASON"), rows)
        note(f"home: {lab.layout.home}")


def _home_fields(lab: "Lab") -> dict[str, Any]:
    return {"home": str(lab.layout.home), "home_source": lab.settings.home_source}


def _switch_fields(switch: "Switch") -> dict[str, Any]:
    fields = asdict(switch)
    return {"state": fields.pop("state"), "decided_by": fields.pop("file"), **fields}
