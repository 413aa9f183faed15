"""Faults injected into the venue of a paper run, as the venue reports them."""

from opslab.model.journal.journal_event import RUNNING, JournalEvent, Kinds, by_name
from opslab.model.run.paper_summary import FaultTerm


class FaultStarted(JournalEvent):
    """A [fault](venue-faults.md) of the run's venue has started."""

    EVENT = "fault_started"
    STATUSES = RUNNING

    fault: str
    """Name of the fault."""
    number: int
    """From 1, of this start of the venue."""
    terms: dict[str, FaultTerm]
    """Name to value, with defaults."""
    venue_start: int
    """`start_number` of the venue."""


class FaultEnded(JournalEvent):
    """A fault has ended. Faults without this event ended with their venue."""

    EVENT = "fault_ended"
    STATUSES = RUNNING

    fault: str
    number: int
    """As in its `fault_started`, with `venue_start`."""
    reason: str
    """`immediate`, `expired`, `stopped`, `client_disconnected`, `venue_closing` or `failed_to_start`."""
    venue_start: int


FAULT_EVENTS: Kinds = by_name(FaultStarted, FaultEnded)
