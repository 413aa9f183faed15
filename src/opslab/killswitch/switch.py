"""The kill switch: one file for each switch of a run, and one for the switch of all runs.

An unreadable switch is active, and every switch is active when their folder is unreadable. An activation needs neither
the lock, nor a valid existing state, nor disk space for more than an empty file. A clear takes back the state that it
read at its start, and never a later activation.

How that holds without a lock: a clear renames its new state to a name that every activation knows, reads the current
state again, and only if that is unchanged renames the new state into place. An activation writes the state first and
then removes that name. In every interleaving the clear finds another state than before, or nothing to rename; or the
activation finds that it was overtaken, and writes again.

Standard library only, because activation must not depend on other packages.
"""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from opslab.errors import Environment, Refused, Unwritable
from opslab.killswitch.state import (
    NO_FILE,
    KillSwitchRecord,
    Switch,
    clearing_name,
    decide,
    events_name,
    rendered,
    scope_of,
    scopes_with_state,
    state_name,
    switch_of,
    switch_of_folder,
)
from opslab.model.primitives.ids import RunId
from opslab.model.primitives.instant import iso
from opslab.store.files import unwritable
from opslab.store.kill_switch_files import FOLDER, StateFile, SwitchFolder, open_folder
from opslab.store.layout import Layout

if TYPE_CHECKING:  # loading it imports pydantic
    from opslab.ports import Clock

SwitchAction = Literal["activated", "kept", "cleared", "unchanged"]

ACTIVATE_PATIENCE_SECONDS = 0.1
CLEAR_PATIENCE_SECONDS = 2.0
_MAX_ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """Result of a command on a switch; `notes`: problems that did not stop it."""

    switch: Switch
    action: SwitchAction
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """All existing switches. `problem`: why the folder is unreadable; then all runs are stopped."""

    switches: tuple[Switch, ...]
    problem: str | None = None


def effective(layout: Layout, run_id: RunId) -> Switch:
    """The switch that decides for a run: its own or that of all runs. Never raises."""
    try:
        with _folder(layout) as folder:
            return effective_in(folder, run_id)
    except OSError as error:
        return switch_of_folder(error)


def effective_in(folder: SwitchFolder | None, run_id: RunId) -> Switch:
    return decide(_read(folder, run_id), _read(folder, None))


def read_switch(layout: Layout, run_id: RunId | None) -> Switch:
    """One switch. run_id: None for all runs. Never raises."""
    try:
        with _folder(layout) as folder:
            return _read(folder, run_id)
    except OSError as error:
        return switch_of_folder(error)


def list_switches(layout: Layout) -> Listing:
    """All switches: that of all runs first, the others by run id. Never raises."""
    try:
        with _folder(layout) as folder:
            return Listing(
                tuple(_read(folder, run_id) for run_id in scopes_with_state(folder.names() if folder else ()))
            )
    except OSError as error:
        return Listing((), switch_of_folder(error).problem)


def prepare(layout: Layout) -> None:
    """Create the folder and what an activation needs on a disk that is full later. Errors are ignored."""
    with suppress(OSError), _folder(layout, make=True) as folder:
        if folder:
            folder.create_spare_files()


def activate(layout: Layout, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    """Activate the switch of a run, or of all runs. An active switch keeps its first reason, actor and time.

    reason, actor: as `checked_text` returns them. Raises Unwritable when not even an empty file can be written.
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
    requested = KillSwitchRecord("active", scope_of(run_id), run_id, reason, actor, now)
    notes: list[str] = []
    for _ in range(_MAX_ATTEMPTS):
        action, is_certain = _write_active(folder, run_id, requested, notes)
        if is_certain or _read(folder, run_id).state == "active":
            break  # otherwise a clear overtook us
    line = {"time": now, "event": "activate", "result": action, **_change_fields(run_id, reason, actor)}
    _append_event(folder, run_id, line, notes)
    with suppress(OSError):
        folder.create_spare_files()
    return Change(_read(folder, run_id), action, tuple(dict.fromkeys(notes)))


def clear(layout: Layout, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    """Clear the switch of a run, or of all runs; a switch that is not active stays unchanged.

    Raises Refused when it was activated meanwhile; Environment when the folder is locked; Unwritable.
    """
    try:
        with _folder(layout) as folder:
            if folder is None:
                return Change(switch_of(NO_FILE, run_id), "unchanged")
            return clear_in(folder, run_id, reason, actor, clock)
    except OSError as error:
        failure = unwritable("clear the kill switch", error)
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
            hint = f"runtime/{FOLDER} has a link or folder in the place of a file; move it away by hand"
            raise Unwritable(failure.message, hint=hint) from error
        raise failure from error


def clear_in(folder: SwitchFolder, run_id: RunId | None, reason: str, actor: str, clock: "Clock") -> Change:
    now = iso(clock.now_ns())
    line = {"time": now, "event": "clear", **_change_fields(run_id, reason, actor)}
    notes: list[str] = []
    with folder.pinned(state_name(run_id)):
        current = folder.read_file(state_name(run_id))
        before = switch_of(current, run_id)
        if before.state != "active":
            if before.state == "cleared":
                _append_event(folder, run_id, {**line, "result": "unchanged"}, notes)
            return Change(before, "unchanged", tuple(notes))
        activation = (before.reason, before.actor, before.activated_at)
        staged = folder.stage(
            rendered(KillSwitchRecord("cleared", before.scope, run_id, *activation, now, actor, reason))
        )
        try:
            done = _exchange(folder, run_id, current, staged)
        finally:
            folder.remove(staged)
    _append_event(folder, run_id, {**line, "result": "cleared" if done else "refused"}, notes)
    if not done:
        raise Refused(
            f"the kill switch of {before.title} was activated while it was being cleared: it stays active",
            hint=f"tc kill status {before.option}",
        )
    return Change(_read(folder, run_id), "cleared", tuple(notes))


def _exchange(folder: SwitchFolder, run_id: RunId | None, expected: StateFile, staged: str) -> bool:
    """Replace the expected state by the staged one; False when the state has changed."""
    name, clearing = state_name(run_id), clearing_name(run_id)
    with folder.locked(CLEAR_PATIENCE_SECONDS) as had_lock:
        if not had_lock:
            raise Environment(
                "cannot clear the kill switch: it is locked by another process",
                hint=f"that process may be stopped; find it with: fuser runtime/{FOLDER}/.lock",
            )
        folder.replace(staged, clearing)
        try:
            if folder.read_file(name).identity != expected.identity:
                return False
            folder.replace(clearing, name)
        except FileNotFoundError:
            return False
        finally:
            folder.remove(clearing)
    folder.sync()
    return True


def _write_active(
    folder: SwitchFolder, run_id: RunId | None, requested: KillSwitchRecord, notes: list[str]
) -> tuple[Literal["activated", "kept"], bool]:
    """Returns the action, and whether no clear can have overtaken it.

    An active state is written again, so that a concurrent clear sees the new activation. The state is in place before
    it is on disk: watchers do not wait for the disk, and an empty file after a power cut is active too.
    """
    before = _read(folder, run_id).active_record
    try:
        staged = folder.stage(rendered(before or requested), durable=False)
        try:
            with folder.locked(ACTIVATE_PATIENCE_SECONDS) as had_lock:
                now = _read(folder, run_id).active_record
                if now != before:
                    folder.remove(staged)
                    before, staged = now, folder.stage(rendered(now or requested), durable=False)
                folder.replace(staged, state_name(run_id))
                folder.remove(clearing_name(run_id))
        finally:
            folder.remove(staged)
        folder.sync(state_name(run_id))
    except OSError as error:
        _ensure_active(folder, run_id, error)
        notes.append(f"the state could not be written ({error.strerror or error}); the existing file counts as active")
        had_lock = False
    else:
        if not had_lock:
            notes.append("the kill switch is locked by another process; it was activated without the lock")
    return "kept" if before else "activated", had_lock


def _ensure_active(folder: SwitchFolder, run_id: RunId | None, error: OSError) -> None:
    """Without space for a state: make sure that the existing file is active. Raises `error` when it is not."""
    try:
        if _read(folder, run_id).state == "active":
            folder.touch(state_name(run_id))  # otherwise a concurrent clear would see it unchanged
        else:
            folder.write_empty(state_name(run_id))
    except OSError:
        if _read(folder, run_id).state != "active":
            raise error from None
    folder.remove(clearing_name(run_id))


def _append_event(folder: SwitchFolder, run_id: RunId | None, line: dict[str, Any], notes: list[str]) -> None:
    """Append a line to the events file; a failure only adds a note."""
    try:
        folder.append(events_name(run_id), json.dumps(line, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        notes.append(f"cannot append to {events_name(run_id)}: {error.strerror or error}")


def _change_fields(run_id: RunId | None, reason: str, actor: str) -> dict[str, Any]:
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
    return switch_of(folder.read_file(state_name(run_id)) if folder else NO_FILE, run_id)
