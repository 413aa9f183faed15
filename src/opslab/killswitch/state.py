"""Meaning of the kill switch's files, and the choice between two switches. Pure functions of bytes."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from opslab.errors import Usage
from opslab.model.primitives.ids import RunId
from opslab.store.kill_switch_files import FOLDER, StateFile, describe_error

KillSwitchState = Literal["absent", "active", "cleared"]
SwitchScope = Literal["run", "all"]

MAX_REASON_CHARACTERS = 500
MAX_ACTOR_CHARACTERS = 100

NO_FILE = StateFile(None, None, None)
_ALL = "_all"
"""Not a valid run id."""
_STATE_FILE = ".state.json"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_UNPRINTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories: control, format (which can reverse a line), surrogates, line and paragraph separators."""


@dataclass(frozen=True, slots=True)
class KillSwitchRecord:
    """A valid state file. After an unreadable state was cleared, reason, actor and activation time are None."""

    state: Literal["active", "cleared"]
    scope: SwitchScope
    run_id: str | None
    reason: str | None
    actor: str | None
    activated_at: str | None
    """UTC, as `cleared_at`."""
    cleared_at: str | None = None
    cleared_by: str | None = None
    clear_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Switch:
    """The state of one switch."""

    state: KillSwitchState
    scope: SwitchScope
    run_id: str | None
    file: str
    """Relative to the home."""
    reason: str | None = None
    actor: str | None = None
    activated_at: str | None = None
    cleared_at: str | None = None
    cleared_by: str | None = None
    clear_reason: str | None = None
    problem: str | None = None
    """Why the file is unreadable; an unreadable switch is active."""

    @property
    def title(self) -> str:
        return f"run {self.run_id}" if self.run_id else "all runs"

    @property
    def option(self) -> str:
        """The command-line option that selects it."""
        return f"--run-id {self.run_id}" if self.run_id else "--all"

    @property
    def active_record(self) -> KillSwitchRecord | None:
        """The record that a further activation keeps: a readable active state."""
        if self.state != "active" or self.problem:
            return None
        return KillSwitchRecord("active", self.scope, self.run_id, self.reason, self.actor, self.activated_at)


def checked_text(name: str, text: str, limit: int) -> str:
    """A reason or a name: trimmed, on one line, not empty. Raises Usage."""
    trimmed = text.strip()
    if not trimmed:
        raise Usage(f"{name} is empty", hint=f"1 to {limit} characters are allowed")
    if len(trimmed) > limit:
        raise Usage(f"{name} has {len(trimmed)} characters", hint=f"1 to {limit} characters are allowed")
    if any(unicodedata.category(character) in _UNPRINTED for character in trimmed):
        raise Usage(f"{name} has a control character", hint="give one line of plain text")
    return trimmed


def decide(of_run: Switch, of_all: Switch) -> Switch:
    """Active takes precedence over cleared, cleared over absent; for equal states the run's own switch decides."""
    for state in ("active", "cleared"):
        for switch in (of_run, of_all):
            if switch.state == state:
                return switch
    return of_run


def switch_of(file: StateFile, run_id: RunId | None) -> Switch:
    """The switch of a file, whatever its content. run_id: None for all runs."""
    scope, path = scope_of(run_id), f"runtime/{FOLDER}/{state_name(run_id)}"
    if file == NO_FILE:
        return Switch("absent", scope, run_id, path)
    result = parse(file.data, run_id) if file.data is not None else file.problem
    if isinstance(result, KillSwitchRecord):
        return Switch(file=path, **asdict(result))
    return Switch("active", scope, run_id, path, problem=result)


def switch_of_folder(error: OSError) -> Switch:
    """The switch of an unreadable folder: active, for all runs."""
    return Switch("active", "all", None, f"runtime/{FOLDER}", problem=f"the folder {describe_error(error)}")


def parse(data: bytes, run_id: RunId | None) -> KillSwitchRecord | str:
    """The record in a state file, or its defect. run_id: the expected run; None for all runs."""
    if not data:
        return "is empty"
    try:
        value = json.loads(data, object_pairs_hook=_unique_keys)
        record = KillSwitchRecord(**value)
    except (ValueError, TypeError, RecursionError):
        return "is not a kill-switch state"
    texts = (record.reason, record.actor, record.cleared_by, record.clear_reason)
    times = (record.activated_at, record.cleared_at)
    if not (len(value) == len(asdict(record)) and _are_texts(texts) and _are_times(times) and _is_complete(record)):
        return "is not a kill-switch state"
    if (record.scope, record.run_id) != (scope_of(run_id), run_id):
        return "is the state of another switch"
    return record


def rendered(record: KillSwitchRecord) -> bytes:
    return (json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n").encode()


def scope_of(run_id: RunId | None) -> SwitchScope:
    return "run" if run_id else "all"


def state_name(run_id: RunId | None) -> str:
    return f"{run_id or _ALL}{_STATE_FILE}"


def events_name(run_id: RunId | None) -> str:
    return f"{run_id or _ALL}.events.jsonl"


def clearing_name(run_id: RunId | None) -> str:
    """Name of the state that a clear is about to rename into place."""
    return f".{run_id or _ALL}.clearing"


def scopes_with_state(names: Iterable[str]) -> list[RunId | None]:
    """Scopes of the state files: all runs (None) first, then run ids; other files are skipped."""
    scopes: list[RunId | None] = []
    for name in sorted(names):
        stem = name.removesuffix(_STATE_FILE)
        if stem == name:
            continue
        if stem == _ALL:
            scopes.insert(0, None)
            continue
        if RunId.is_valid(stem):
            scopes.append(RunId(stem))
    return scopes


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("duplicate key")
    return dict(pairs)


def _are_texts(values: Iterable[Any]) -> bool:
    return all(value is None or (isinstance(value, str) and value != "") for value in values)


def _are_times(values: Iterable[Any]) -> bool:
    return all(value is None or (isinstance(value, str) and _TIME.fullmatch(value)) for value in values)


def _is_complete(record: KillSwitchRecord) -> bool:
    activation = (record.reason, record.actor, record.activated_at)
    clearing = (record.cleared_at, record.cleared_by, record.clear_reason)
    if record.state == "active":
        return None not in activation and clearing == (None, None, None)
    return record.state == "cleared" and None not in clearing and (None not in activation or not any(activation))
