"""What is known of a paper run when it has ended: the section `paper` of its metadata.

Control fills it from what it saw and was told, and puts it into the closing event under the key `paper`. None: not
known, which is not the same as none.
"""

from typing import Literal

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.paper_messages import FeedName, OnStop
from opslab.model.primitives.record import Record

Reconciled = Literal["ok", "warning", "mismatch", "unknown"]


class EngineFacts(Record):
    """One engine of the run."""

    number: int
    """From 1."""
    started_at: str
    ended_at: str | None = None
    ended_by: str | None = None
    """In a word: `stopped` by control, or why control was sure that it had to go (`hang`, `memory`, `no_start`), or what
    it said itself (`strategy`, `engine`, `lab`), or how it died (`SIGKILL`, `SIGABRT`, `exit 3`)."""
    failure: str | None = None
    """Its kind and message; traceback or panic text are with the run's own failure, or in `logs/`."""


class FeedFacts(Record):
    """One feed, over all engines."""

    messages: int
    changes: int
    """Of its state; each is an event of the journal."""
    silent_seconds: float
    disconnected_seconds: float
    noticed_after_seconds_max: float | None = None
    """The longest that a change took to be noticed."""


class Reconciliations(Record):
    """How the checks while it ran came out: at the start and every so many seconds."""

    ok: int = 0
    warning: int = 0
    mismatch: int = 0
    unknown: int = 0


class AccountFacts(Record):
    """The account behind the last order."""

    open_orders: int
    position: str
    """Signed, as plain digits; negative is short."""
    flat: bool
    source: Literal["venue", "ledger"] = "venue"
    """The venue in its own words, or its ledger alone: of a run that `tc run recover` settled."""


class StopFacts(Record):
    """How the run was brought to its end."""

    reason: StopReason
    on_stop: OnStop
    seconds_to_gate: float | None = None
    """From the reason to the last moment that an order could pass."""
    seconds_to_flat: float | None = None
    """From the reason until the venue said that the account is flat."""


class Latencies(Record):
    start_to_first_bar_seconds: float | None = None
    order_round_trip_ms_median: float | None = None
    """From the making of an order to the engine's knowledge that it was accepted."""
    order_round_trip_ms_max: float | None = None
    event_lag_ms_max: float | None = None
    """The longest from the receipt of a market message to its handler."""
    restart_to_reconciled_seconds_max: float | None = None


class PaperFacts(Record):
    engines: tuple[EngineFacts, ...]
    restarts: int
    bars_expected: int
    """By the spec: the window, or as many of it as `max_bars` says."""
    bars_seen: int | None
    bars_missed: int | None
    """Closed at the venue while the run went on, and seen by no engine."""
    heartbeats: int
    dropped_heartbeats: int | None
    """That an engine could not get rid of."""
    feeds: dict[FeedName, FeedFacts]
    reconciliations: Reconciliations
    final_reconciliation: Reconciled | None
    final_account: AccountFacts | None
    stop: StopFacts | None
    latencies: Latencies
    orders_unknown: int | None = None
    """In the venue's ledger, and no engine told of them."""
    orders_lost: int | None = None
    """Submitted by an engine, and not in the venue's ledger."""
    orders_by_venue: int | None = None
    """The venue's own, to flatten an account whose engine was gone."""
