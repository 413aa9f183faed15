"""`tc kill`: the kill switch."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opslab.cli.options import Actor, Home, Json, Reason, login_name
from opslab.cli.output import note, result_fields, result_json, result_table
from opslab.cli.plain_command import PlainCommand, PlainGroup
from opslab.errors import Usage
from opslab.model.primitives.ids import RunId

if TYPE_CHECKING:
    from opslab.context import Context
    from opslab.lab.kill import Change, Listing, Switch
    from opslab.settings import Settings

app = typer.Typer(cls=PlainGroup, help="Control the kill switch.", no_args_is_help=True)

RunIdOption = Annotated[str | None, typer.Option("--run-id", metavar="ID", help="Switch of this run.")]
All = Annotated[bool, typer.Option("--all", help="Switch of all runs.")]


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
    from opslab.lab import kill
    from opslab.lab.context import context_of
    from opslab.settings import resolve_for_process
    from opslab.system import ignore_signals

    name = _scope(run_id, every)
    reason, actor = _checked(reason, actor)
    settings = resolve_for_process(home)
    context = context_of(settings)
    home_existed = settings.home.is_dir()
    ignore_signals()  # closing the terminal must not stop the activation
    change = kill.activate(context, name, reason, actor)
    notes = [*change.notes, *kill.record_in_runs(context, name)]
    if change.action == "kept":
        notes.insert(0, "the switch was active already: its first reason, actor and time are kept")
    if not home_existed:
        notes.append(f"created {settings.home}, which did not exist: is it the home of your runs?")
    _show_change(context, settings, name, change, notes, as_json)


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
    from opslab.lab import kill
    from opslab.lab.context import context_of
    from opslab.settings import resolve_for_process

    name = _scope(run_id, every)
    reason, actor = _checked(reason, actor)
    settings = resolve_for_process(home)
    context = context_of(settings)
    change = kill.clear(context, name, reason, actor)
    notes = list(change.notes)
    if change.action == "cleared":
        notes += kill.record_in_runs(context, name)
    else:
        notes.insert(0, f"the kill switch of {change.switch.title} was not active; nothing to clear")
    _show_change(context, settings, name, change, notes, as_json)


@app.command(cls=PlainCommand)
def status(run_id: RunIdOption = None, every: All = False, home: Home = None, as_json: Json = False) -> None:
    """Show the switch of a run or of all runs.

    Without --run-id and --all, list all switches.
    """
    from opslab.lab.context import context_of
    from opslab.lab.kill import effective, list_switches, read_switch
    from opslab.settings import resolve_for_process

    if run_id is not None or every:
        name = _scope(run_id, every)
        settings = resolve_for_process(home)
        context = context_of(settings)
        all_runs = read_switch(context.layout, None)
        decided = effective(context.layout, name) if name else all_runs
        switches = [read_switch(context.layout, name), all_runs] if name else [all_runs]
        details: dict[str, Any] = {"switches": [_switch_fields(switch) for switch in switches]}
        _show_switch(settings, name, decided, details, _run_fields(context, name), as_json)
        return
    settings = resolve_for_process(home)
    listing = list_switches(context_of(settings).layout)
    if as_json:
        switches_json = [_switch_fields(switch) for switch in listing.switches]
        result_json({**_home_fields(settings), "problem": listing.problem, "switches": switches_json})
    else:
        _show_listing(settings, listing)


def _scope(run_id: str | None, every: bool) -> RunId | None:
    """The run, or None for all runs. Raises Usage unless exactly one of the two options is given."""
    if every == (run_id is not None):
        raise Usage("give one of --run-id ID and --all")
    return None if run_id is None else RunId(run_id)


def _checked(reason: str, actor: str | None) -> tuple[str, str]:
    """Reason and actor, by default the login name. Raises Usage."""
    from opslab.lab import kill

    return kill.checked_reason(reason), kill.checked_actor(login_name() if actor is None else actor)


def _run_fields(context: "Context", run_id: RunId | None) -> dict[str, Any]:
    """Whether the run exists, and the most similar names when it does not."""
    from opslab.lab.kill import look_up_run

    if run_id is None:
        return {}
    run = look_up_run(context, run_id)
    return {"run_exists": run.exists, "nearest": run.nearest}


def _show_change(
    context: "Context",
    settings: "Settings",
    run_id: RunId | None,
    change: "Change",
    notes: list[str],
    as_json: bool,
) -> None:
    from opslab.lab.kill import effective

    decided = effective(context.layout, run_id) if run_id else change.switch
    if change.switch.state != "active" and decided.state == "active":
        notes.append(f"run {run_id} is still blocked, by {decided.file}: tc kill status --all")
    details = {"action": change.action, "switches": [_switch_fields(change.switch)], "notes": notes}
    _show_switch(settings, run_id, decided, details, _run_fields(context, run_id), as_json)
    for text in notes:
        note(text)


def _show_switch(
    settings: "Settings",
    run_id: RunId | None,
    decided: "Switch",
    details: dict[str, Any],
    run_fields: dict[str, Any],
    as_json: bool,
) -> None:
    """Print the deciding switch of a run, or of all runs, and the home."""
    if as_json:
        result_json(
            {**_home_fields(settings), "requested": run_id or "all", **_switch_fields(decided), **details, **run_fields}
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
                ("home", settings.home),
            ]
        )
    if run_fields.get("run_exists") is False:
        note(f"run {run_id} does not exist in {settings.home}")
        if run_fields["nearest"]:
            note(f"hint: did you mean: {', '.join(run_fields['nearest'])}")


def _show_listing(settings: "Settings", listing: "Listing") -> None:
    if listing.problem:
        note(f"all runs are blocked: {listing.problem}")
    elif not listing.switches:
        note(f"no kill switch has been activated in {settings.home}")
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
        note(f"home: {settings.home}")


def _home_fields(settings: "Settings") -> dict[str, Any]:
    return {"home": str(settings.home), "home_source": settings.home_source}


def _switch_fields(switch: "Switch") -> dict[str, Any]:
    fields = asdict(switch)
    return {"state": fields.pop("state"), "decided_by": fields.pop("file"), **fields}
