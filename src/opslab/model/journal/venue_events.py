"""Events of the venue of a paper run."""

from opslab.model.journal.fault_events import FAULT_EVENTS
from opslab.model.journal.journal_event import RUNNING, JournalEvent, Kinds, by_name


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


class MarginCall(JournalEvent):
    """The exchange called for margin: it may close the position by force. The run ends. Amounts are in the asset of the
    account."""

    EVENT = "margin_call"
    STATUSES = RUNNING

    number: int
    """From 1, of this start of the venue."""
    position: str
    """Signed; negative is short."""
    mark_price: str
    wallet_balance: str
    unrealized_profit: str
    maintenance_margin: str
    venue_start: int
    """`start_number` of the venue."""


LOGGED_EVENTS: Kinds = {**FAULT_EVENTS, **by_name(MarginCall)}
"""Events that a venue writes into its log under the same names, without `venue_start`."""
