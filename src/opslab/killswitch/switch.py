"""The kill switch: one file for each run that has one, and one for all runs.

A switch that cannot be read is active, and so is every switch when their folder cannot be read. Activating depends on
nothing: not on the lock, not on what stands there, not on room for more than an empty file. Clearing takes back what
it saw when it began, and never an activation that came in later.

How that holds without a lock: a clear puts what it is about to write under a name that every activation knows, looks
once more whether the state is still what it saw, and only then renames it into place. An activation writes the state
first and then removes that name. Whichever way the two meet, the clear finds another state than it saw, or nothing to
rename; or the activation finds that it was overtaken, and writes again.

The standard library alone: this lies on the way to safety.
"""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from opslab.errors import Environment, Refused, Unwritable
from opslab.killswitch.state import (
    NOTHING,
    KillSwitchRecord,
    Switch,
    clearing_name,
    decide,
    events_name,
    scopes_with_state,
    rendered,
    scope_of,
    state_name,
    switch_of,
    switch_of_folder,
)
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.store.files import unwritable
from opslab.store.kill_switch_files import FOLDER, StateFile, SwitchFolder, open_folder
from opslab.store.layout import Layout

if TYPE_CHECKING:  # it takes pydantic to load
    from opslab.ports import Clock

Action = Literal["activated", "kept", "cleared", "unchanged"]

ACTIVATE_PATIENCE_SECONDS = 0.1
CLEAR_PATIENCE_SECONDS = 2.0
_TURNS = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a switch; `notes`: what went wrong beside it."""

    switch: Switch
    action: Action
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """All switches there are. `problem`: why nobody can tell, and everything is stopped for that."""

    switches: tuple[Switch, ...]
    problem: str | None = None


def effective(layout: Layout, run_id: RunId) -> Switch:
    """The switch that decides over a run: its own or that of all runs. Never raises."""
    try:
        with _folder(layout) as folder:
            return effective_in(folder, run_id)
    except OSError as error:
        return switch_of_folder(error)


def effective_in(folder: SwitchFolder | None, run_id: RunId) -> Switch:
    return decide(_read(folder, run_id), _read(folder, None))


def read_switch(layout: Layout, run_id: RunId | None) -> Switch:
    """One switch alone. run_id: None for all runs. Never raises."""
    try:
        with _folder(layout) as folder:
            return _read(folder, run_id)
    except OSError as error:
        return switch_of_folder(error)


def list_switches(layout: Layout) -> Listing:
    """That of all runs first, the others by run id. Never raises."""
    try:
        with _folder(layout) as folder:
            return Listing(tuple(_read(folder, run_id) for run_id in scopes_with_state(folder.names() if folder else ())))
    except OSError as error:
        return Listing((), switch_of_folder(error).problem)


def prepare(layout: Layout) -> None:
    """Make the folder, so that a disk that fills up later has what an activation needs. As far as that can be done."""
    with suppress(OSError), _folder(layout, make=True) as folder:
        if folder:
            folder.create_spare_files()


def activate(layout: Layout, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    """Activate the switch of a run, or of all runs. Of one that is active the first reason, actor and time are kept.

    reason, actor: as `checked_text` returns them. Raises Unwritable when not even an empty file can be left.
    """
    try:
        with _folder(layout, make=True) as folder:
            assert folder is not None
            return activate_in(folder, run_id, reason, actor, clock)
    except OSError as error:
        message = unwritable("activate the kill switch", error).message
        hint = "stop the run itself: kill -TERM PID; the PID is `owner.pid` of: tc run show ID --json"
        raise Unwritable(message, hint=hint) from error


def activate_in(folder: SwitchFolder, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    now = iso(clock.now_ns())
    wanted = KillSwitchRecord("active", scope_of(run_id), run_id, reason, actor, now)
    notes: list[str] = []
    for _ in range(_TURNS):
        action, is_certain = _write_active(folder, run_id, wanted, notes)
        if is_certain or _read(folder, run_id).state == "active":
            break  # otherwise a clear overtook us
    line = {"time": now, "event": "activate", "result": action, **_about(run_id, reason, actor)}
    _tell(folder, run_id, line, notes)
    with suppress(OSError):
        folder.create_spare_files()
    return Change(_read(folder, run_id), action, tuple(dict.fromkeys(notes)))


def clear(layout: Layout, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    """Clear the switch of a run, or of all runs; one that is not active stays as it is.

    Raises Refused when it was activated meanwhile; Environment when the lock cannot be had; Unwritable.
    """
    try:
        with _folder(layout) as folder:
            if folder is None:
                return Change(switch_of(NOTHING, run_id), "unchanged")
            return clear_in(folder, run_id, reason, actor, clock)
    except OSError as error:
        failed = unwritable("clear the kill switch", error)
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
            hint = f"something else stands in runtime/{FOLDER}: look at it, and move it away by hand"
            raise Unwritable(failed.message, hint=hint) from error
        raise failed from error


def clear_in(folder: SwitchFolder, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    now = iso(clock.now_ns())
    line = {"time": now, "event": "clear", **_about(run_id, reason, actor)}
    notes: list[str] = []
    with folder.held(state_name(run_id)):
        seen = folder.look(state_name(run_id))
        before = switch_of(seen, run_id)
        if before.state != "active":
            if before.state == "cleared":
                _tell(folder, run_id, {**line, "result": "unchanged"}, notes)
            return Change(before, "unchanged", tuple(notes))
        activation = (before.reason, before.actor, before.activated_at)
        staged = folder.stage(rendered(KillSwitchRecord("cleared", before.scope, run_id, *activation, now, actor, reason)))
        try:
            done = _exchange(folder, run_id, seen, staged)
        finally:
            folder.drop(staged)
    _tell(folder, run_id, {**line, "result": "cleared" if done else "refused"}, notes)
    if not done:
        raise Refused(
            f"the kill switch of {before.title} was activated while it was being cleared: it stays active",
            hint=f"tc kill status {before.option}",
        )
    return Change(_read(folder, run_id), "cleared", tuple(notes))


def _exchange(folder: SwitchFolder, run_id: RunId | None, seen: StateFile, staged: str) -> bool:
    """Put what was staged in the place of what was seen; False when something else stands there by now."""
    name, clearing = state_name(run_id), clearing_name(run_id)
    with folder.locked(CLEAR_PATIENCE_SECONDS) as had_lock:
        if not had_lock:
            raise Environment(
                "cannot clear the kill switch: another process holds its lock",
                hint=f"it may be stopped; find it with: fuser runtime/{FOLDER}/.lock",
            )
        folder.put(staged, clearing)
        try:
            if folder.look(name).identity != seen.identity:
                return False
            folder.put(clearing, name)
        except FileNotFoundError:
            return False
        finally:
            folder.drop(clearing)
    folder.sync()
    return True


def _write_active(
    folder: SwitchFolder, run_id: RunId | None, wanted: KillSwitchRecord, notes: list[str]
) -> tuple[Literal["activated", "kept"], bool]:
    """What was done, and whether no clear can have overtaken it.

    One that is active is written again all the same: so a clear that is under way sees that it was activated since.
    It stands in its place before it is on disk: who watches does not wait for the disk, and what a power cut leaves of
    it, be it nothing at all of its content, is active.
    """
    before = _read(folder, run_id).kept
    try:
        staged = folder.stage(rendered(before or wanted), durable=False)
        try:
            with folder.locked(ACTIVATE_PATIENCE_SECONDS) as had_lock:
                now = _read(folder, run_id).kept
                if now != before:
                    folder.drop(staged)
                    before, staged = now, folder.stage(rendered(now or wanted), durable=False)
                folder.put(staged, state_name(run_id))
                folder.drop(clearing_name(run_id))
        finally:
            folder.drop(staged)
        folder.sync(state_name(run_id))
    except OSError as error:
        _leave_mark(folder, run_id, error)
        notes.append(f"the state could not be written ({error.strerror or error}); what stands there counts as active")
        had_lock = False
    else:
        if not had_lock:
            notes.append("another process holds the lock of the kill switch; it was activated without it")
    return "kept" if before else "activated", had_lock


def _leave_mark(folder: SwitchFolder, run_id: RunId | None, error: OSError) -> None:
    """Without room for a state: see to it that what stands there is active. Raises `error` when it is not."""
    try:
        if _read(folder, run_id).state == "active":
            folder.touch(state_name(run_id))  # or a clear that is under way would take it for what it saw
        else:
            folder.empty(state_name(run_id))
    except OSError:
        if _read(folder, run_id).state != "active":
            raise error from None
    folder.drop(clearing_name(run_id))


def _tell(folder: SwitchFolder, run_id: RunId | None, line: dict[str, Any], notes: list[str]) -> None:
    """Add a line to the events; a failure is a note, and never more."""
    try:
        folder.append(events_name(run_id), json.dumps(line, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        notes.append(f"no line could be added to {events_name(run_id)}: {error.strerror or error}")


def _about(run_id: RunId | None, reason: str, actor: str) -> dict[str, Any]:
    return {"scope": scope_of(run_id), "run_id": run_id, "reason": reason, "actor": actor}


@contextmanager
def _folder(layout: Layout, *, make: bool = False) -> Iterator[SwitchFolder | None]:
    folder = open_folder(layout, make=make)
    if folder is None:
        yield None
        return
    with folder:
        yield folder


def _read(folder: SwitchFolder | None, run_id: RunId | None) -> Switch:
    return switch_of(folder.look(state_name(run_id)) if folder else NOTHING, run_id)
