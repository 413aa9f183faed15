"""What a file of the kill switch means, and which of two switches decides. Pure: bytes in, switches out."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from opslab.errors import BadId, Usage
from opslab.model.primitives.ids import RunId
from opslab.store.kill_switch_files import FOLDER, StateFile, why

State = Literal["absent", "active", "cleared"]
Scope = Literal["run", "all"]

MAX_REASON_CHARACTERS = 500
MAX_ACTOR_CHARACTERS = 100

NOTHING = StateFile(None, None, None)
_ALL = "_all"
"""No run can be called so."""
_STATE_FILE = ".state.json"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_UNPRINTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories: control, formatting (which can turn a line around), half characters, ends of lines and paragraphs."""


@dataclass(frozen=True, slots=True)
class KillSwitchRecord:
    """A state file that can be read. Of one that could not be, the clearing knows no reason, actor and time."""

    state: Literal["active", "cleared"]
    scope: Scope
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
    """What one switch says."""

    state: State
    scope: Scope
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
    """Why it cannot be read; it is active for that."""

    @property
    def title(self) -> str:
        return f"run {self.run_id}" if self.run_id else "all runs"

    @property
    def option(self) -> str:
        """How a command names it."""
        return f"--run-id {self.run_id}" if self.run_id else "--all"

    @property
    def kept(self) -> KillSwitchRecord | None:
        """What a further activation keeps: an active state that can be read."""
        if self.state != "active" or self.problem:
            return None
        return KillSwitchRecord("active", self.scope, self.run_id, self.reason, self.actor, self.activated_at)


def checked_text(name: str, text: str, limit: int) -> str:
    """A reason or a name: trimmed, on one line, not empty. Raises Usage."""
    kept = text.strip()
    if not kept:
        raise Usage(f"{name} is empty", hint=f"say it in 1 to {limit} characters")
    if len(kept) > limit:
        raise Usage(f"{name} has {len(kept)} characters", hint=f"say it in 1 to {limit} characters")
    if any(unicodedata.category(character) in _UNPRINTED for character in kept):
        raise Usage(f"{name} has a control character", hint="one line of plain text")
    return kept


def decide(own: Switch, every: Switch) -> Switch:
    """Active wins over cleared, cleared over absent; between equals the run's own says more."""
    for state in ("active", "cleared"):
        for switch in (own, every):
            if switch.state == state:
                return switch
    return own


def switch_of(look: StateFile, run_id: RunId | None) -> Switch:
    """What a file means, whatever is in it. run_id: None for all runs."""
    scope, file = scope_of(run_id), f"runtime/{FOLDER}/{state_name(run_id)}"
    if look == NOTHING:
        return Switch("absent", scope, run_id, file)
    found = parse(look.data, run_id) if look.data is not None else look.problem
    if isinstance(found, KillSwitchRecord):
        return Switch(file=file, **asdict(found))
    return Switch("active", scope, run_id, file, problem=found)


def switch_of_folder(error: OSError) -> Switch:
    """Of a folder that cannot be read: active, for all runs."""
    return Switch("active", "all", None, f"runtime/{FOLDER}", problem=f"the folder {why(error)}")


def parse(data: bytes, run_id: RunId | None) -> KillSwitchRecord | str:
    """The record in a state file, or what is wrong with it. run_id: whose it must be; None for all runs."""
    if not data:
        return "is empty"
    try:
        value = json.loads(data, object_pairs_hook=_without_doubles)
        record = KillSwitchRecord(**value)
    except (ValueError, TypeError, RecursionError):
        return "is not a state of the kill switch"
    texts = (record.reason, record.actor, record.cleared_by, record.clear_reason)
    times = (record.activated_at, record.cleared_at)
    if not (len(value) == len(asdict(record)) and _are_texts(texts) and _are_times(times) and _is_complete(record)):
        return "is not a state of the kill switch"
    if (record.scope, record.run_id) != (scope_of(run_id), run_id):
        return "is the state of another switch"
    return record


def rendered(record: KillSwitchRecord) -> bytes:
    return (json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n").encode()


def scope_of(run_id: RunId | None) -> Scope:
    return "run" if run_id else "all"


def state_name(run_id: RunId | None) -> str:
    return f"{run_id or _ALL}{_STATE_FILE}"


def events_name(run_id: RunId | None) -> str:
    return f"{run_id or _ALL}.events.jsonl"


def clearing_name(run_id: RunId | None) -> str:
    """Of the state that a clear is about to put into place."""
    return f".{run_id or _ALL}.clearing"


def scopes_with_state(names: Iterable[str]) -> list[RunId | None]:
    """Whose state files these are: that of all runs (None) first, the others by run id; other files are nobody's."""
    found: list[RunId | None] = []
    for name in sorted(names):
        stem = name.removesuffix(_STATE_FILE)
        if stem == name:
            continue
        if stem == _ALL:
            found.insert(0, None)
            continue
        try:
            found.append(RunId(stem))
        except BadId:
            continue
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands there twice")
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
