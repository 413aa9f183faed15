"""An event of a journal, apart from its line: the base class, and decoding by name.

The payload on disk has the fields that the writer gave, in the order of the class. A reader ignores events and fields
that it does not know.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from opslab.model.primitives.record import Record
from opslab.model.run.event import Event
from opslab.model.run.metadata import FINAL, Status

UNFINISHED: frozenset[Status] = frozenset({"initialized", "running"})
RUNNING: frozenset[Status] = frozenset({"running"})
ANY_STATUS: frozenset[Status] = UNFINISHED | FINAL


class JournalEvent(Record):
    """Base class. The fields are the payload."""

    EVENT: ClassVar[str]
    """Name of the event."""
    STATUSES: ClassVar[frozenset[Status]]
    """Statuses of a run in which the event may follow."""
    ENDS_AS: ClassVar[Status | None] = None
    """Status of the run after an event that ends it."""

    def payload(self) -> dict[str, Any]:
        """The payload to write, ready for JSON."""
        fields, given = type(self).model_fields, self.model_fields_set
        return {field.alias or name: getattr(self, name) for name, field in fields.items() if name in given}


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A line of a journal with its event as a class."""

    seq: int
    time: str
    """Time of writing, UTC."""
    name: str
    event: JournalEvent | None
    """None: of no interest to the reader, or of a later version."""


Kinds = Mapping[str, type[JournalEvent]]
"""Name to class, of the events that a reader needs."""


def by_name(*kinds: type[JournalEvent]) -> Kinds:
    return {kind.EVENT: kind for kind in kinds}


def recorded(line: Event, kinds: Kinds) -> RecordedEvent:
    """Decode a line. Raises ValueError when the payload does not fit the class."""
    kind = kinds.get(line.event)
    event = None if kind is None else decode(kind, line.payload)
    return RecordedEvent(line.seq, line.time, line.event, event)


def decode[E: JournalEvent](kind: type[E], payload: Mapping[str, Any]) -> E:
    """The event of a payload from JSON, without fields that the class does not have. Raises ValueError."""
    return kind.model_validate(_without_unknown(kind, payload), strict=False)


def _without_unknown(kind: type[JournalEvent], payload: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind.model_config.get("extra") == "allow":
        return payload
    known = _names(kind.model_fields.items())
    return {name: value for name, value in payload.items() if name in known}


def _names(fields: Iterable[tuple[str, Any]]) -> set[str]:
    return {field.alias or name for name, field in fields}
