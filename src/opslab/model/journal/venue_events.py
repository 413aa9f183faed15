"""Events of the venue of a paper run."""

from opslab.model.journal.journal_event import RUNNING, JournalEvent


class VenueStarted(JournalEvent):
    """The venue of a [paper run](paper.md) is listening."""

    EVENT = "venue_started"
    STATUSES = RUNNING

    start_number: int
    """From 1."""
    rest_url: str
    ws_url: str
    ws_trading_url: str


class VenueLost(JournalEvent):
    """The venue's process ended before the run did."""

    EVENT = "venue_lost"
    STATUSES = RUNNING

    start_number: int
    """As in its `venue_started`."""
    reason: str


class LedgerWriteFailed(JournalEvent):
    """The venue cannot write its ledger, on a full disk for example, and rejects requests."""

    EVENT = "ledger_write_failed"
    STATUSES = RUNNING

    start_number: int
    """As in its `venue_started`."""
    count: int
    """Of failed writes since that start."""
