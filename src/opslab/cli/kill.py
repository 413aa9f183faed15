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

app = typer.Typer(
    cls=PlainGroup, help="The kill switch: stop a run, or all, and keep them from starting.", no_args_is_help=True
)

RunIdOption = Annotated[str | None, typer.Option("--run-id", metavar="ID", help="The switch of this run.")]
All = Annotated[bool, typer.Option("--all", help="The switch of all runs.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; up to 500 characters.")]
Actor = Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Who [default: the login name].")]

TELL_SECONDS = 2.0


@app.command(cls=PlainCommand)
def activate(
    reason: Reason,
    run_id: RunIdOption = None,
    every: All = False,
    actor: Actor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Stop a run, or all runs, and keep them from starting. What is active already keeps its first reason and time."""
    from opslab.killswitch.state import MAX_ACTOR_CHARACTERS, MAX_REASON_CHARACTERS, checked_text
    from opslab.lab import open_lab
    from opslab.system import ignore_signals

    name = _asked(run_id, every)
    reason = checked_text("--reason", reason, MAX_REASON_CHARACTERS)
    actor = checked_text("--actor", _login_name() if actor is None else actor, MAX_ACTOR_CHARACTERS)
    lab = open_lab(home)
    had_home = lab.layout.home.is_dir()
    ignore_signals()  # a terminal that closes now must not take it back
    change = lab.activate_switch(name, reason, actor)
    notes = [*change.notes, *_tell(lab, name)]
    if change.action == "kept":
        notes.insert(0, "it was active already: the first reason, actor and time are kept")
    if not had_home:
        notes.append(f"{lab.layout.home} was not there, and was made: is it the home of your runs?")
    _answer_change(lab, name, change, notes, as_json)


@app.command(cls=PlainCommand)
def clear(
    reason: Reason,
    run_id: RunIdOption = None,
    every: All = False,
    actor: Actor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a run, or all runs, start again. What runs have recorded stays as it is."""
    from opslab.killswitch.state import MAX_ACTOR_CHARACTERS, MAX_REASON_CHARACTERS, checked_text
    from opslab.lab import open_lab

    name = _asked(run_id, every)
    reason = checked_text("--reason", reason, MAX_REASON_CHARACTERS)
    actor = checked_text("--actor", _login_name() if actor is None else actor, MAX_ACTOR_CHARACTERS)
    lab = open_lab(home)
    change = lab.clear_switch(name, reason, actor)
    notes = list(change.notes)
    if change.action == "cleared":
        notes += _tell(lab, name)
    else:
        notes.insert(0, f"the kill switch of {change.switch.title} was not active: nothing to clear")
    _answer_change(lab, name, change, notes, as_json)


@app.command(cls=PlainCommand)
def status(run_id: RunIdOption = None, every: All = False, home: Home = None, as_json: Json = False) -> None:
    """Say what the kill switch of a run says, or that of all runs; without either list all there are."""
    from opslab.killswitch.switch import effective, list_switches, read_switch
    from opslab.lab import open_lab

    if run_id is not None or every:
        name = _asked(run_id, every)
        lab = open_lab(home)
        all_runs = read_switch(lab.layout, None)
        decided = effective(lab.layout, name) if name else all_runs
        switches = [read_switch(lab.layout, name), all_runs] if name else [all_runs]
        more: dict[str, Any] = {"switches": [_of_switch(switch) for switch in switches]}
        _answer(lab, name, decided, more, _strangers(lab, name), as_json)
        return
    lab = open_lab(home)
    listing = list_switches(lab.layout)
    if as_json:
        switches_json = [_of_switch(switch) for switch in listing.switches]
        result_json({**_home(lab), "problem": listing.problem, "switches": switches_json})
    else:
        _show_listing(lab, listing)


def note_blocked(run: "RunMetadata") -> None:
    """Say why the kill switch kept a run from starting, and what to do."""
    from opslab.runs.safety.start_gate import refused

    failure = refused(run)
    note(f"error: {failure.message}")
    note(f"hint: {failure.hint}")


def note_halted(run: "RunMetadata") -> None:
    """Say why the kill switch stopped a run, and what to do."""
    from opslab.runs.safety.start_gate import blocked_by, switch_option

    note(f"run {run.run_id} was halted: {blocked_by(run)}")
    note(f"hint: tc kill status {switch_option(run)}; docs/runbooks/kill-switch.md")


def switch_text(safety: "Safety | None") -> str | None:
    """For the fields of a run; None when there never was a switch."""
    return f"{safety.state} ({safety.file})" if safety and safety.state != "absent" else None


def _asked(run_id: str | None, every: bool) -> RunId | None:
    """The run, or None for all. Raises Usage unless exactly one of the two was asked for."""
    if every == (run_id is not None):
        raise Usage("give one of --run-id ID and --all")
    return None if run_id is None else RunId(run_id)


def _login_name() -> str:
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _tell(lab: "Lab", run_id: RunId | None) -> list[str]:
    """Only where there are runs to tell: what it takes is not loaded otherwise."""
    from opslab.store.runs.list_index import run_folder_names

    if run_id is not None:
        return lab.tell_runs(run_id, TELL_SECONDS) if lab.layout.run(run_id).is_dir() else []
    try:
        return lab.tell_runs(None, TELL_SECONDS) if run_folder_names(lab.layout) else []
    except Environment as error:
        return [f"the runs could not be told: {error.message}"]


def _strangers(lab: "Lab", run_id: RunId | None) -> dict[str, Any]:
    """Whether the run is there, and the names nearest to one that is not."""
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


def _answer_change(lab: "Lab", run_id: RunId | None, change: "Change", notes: list[str], as_json: bool) -> None:
    from opslab.killswitch.switch import effective

    decided = effective(lab.layout, run_id) if run_id else change.switch
    if change.switch.state != "active" and decided.state == "active":
        notes.append(f"run {run_id} is kept from starting all the same, by {decided.file}: tc kill status --all")
    more = {"action": change.action, "switches": [_of_switch(change.switch)], "notes": notes}
    _answer(lab, run_id, decided, more, _strangers(lab, run_id), as_json)
    for text in notes:
        note(text)


def _answer(
    lab: "Lab",
    run_id: RunId | None,
    decided: "Switch",
    more: dict[str, Any],
    strangers: dict[str, Any],
    as_json: bool,
) -> None:
    """Print what holds for a run, or for all runs: the switch that decides, and where that was looked up."""
    if as_json:
        result_json({**_home(lab), "requested": run_id or "all", **_of_switch(decided), **more, **strangers})
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
    if strangers.get("run_exists") is False:
        note(f"there is no run {run_id} in {lab.layout.home}")
        if strangers["nearest"]:
            note(f"hint: did you mean: {', '.join(strangers['nearest'])}")


def _show_listing(lab: "Lab", listing: "Listing") -> None:
    if listing.problem:
        note(f"all runs are kept from starting: {listing.problem}")
    elif not listing.switches:
        note(f"no kill switch was ever activated in {lab.layout.home}")
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
        result_table(("FOR", "STATE", "ACTIVATED (UTC)", "ACTOR", "CLEARED (UTC)", "WHY"), rows)
        note(f"home: {lab.layout.home}")


def _home(lab: "Lab") -> dict[str, Any]:
    return {"home": str(lab.layout.home), "home_from": lab.settings.home_from}


def _of_switch(switch: "Switch") -> dict[str, Any]:
    fields = asdict(switch)
    return {"state": fields.pop("state"), "decided_by": fields.pop("file"), **fields}
