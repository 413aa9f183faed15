"""Summary of an ended paper run: the section `paper` of its metadata.

Control collects it and writes it into the closing event under the key `paper`. None means not known, not zero.
"""

from typing import Literal

from pydantic import Field

from opslab.model.messages.engine_messages import StopReason
from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.messages.paper_messages import FeedName, OnStop
from opslab.model.primitives.record import Record
from opslab.model.run.run_counters import PaperCounters, Reconciled, Reconciliations, RoundTrips

FaultTerm = str | int | float | bool | None
MAX_FAULTS = 50
"""Maximum number of faults in the section `paper`; `faults_injected` counts all."""


class EngineFacts(Record):
    """One engine of the run."""

    number: int
    """From 1."""
    started_at: str
    ended_at: str | None = None
    ended_by: str | None = None
    """`stopped` on request; control killed it (`hang`, `memory`, `no_start`); it reported a failure (`strategy`,
    `engine`, `lab`); or its process died (`SIGKILL`, `SIGABRT`, `exit 3`)."""
    failure: str | None = None
    """Kind and message; traceback or panic text are in the run's own failure, or in `logs/`."""


class FeedFacts(Record):
    """One feed, over all engines."""

    messages: int
    changes: int
    """Number of state changes; each is an event of the journal."""
    silent_seconds: float
    disconnected_seconds: float
    noticed_after_seconds_max: float | None = None
    """Longest detection time of a change."""


class AccountFacts(Record):
    """The account after the last order."""

    open_orders: int
    position: str
    """Signed, as plain digits; negative is short."""
    flat: bool
    source: Literal["venue", "ledger"] = "venue"
    """`ledger`: computed from the venue's ledger alone, for a run that `tc run recover` settled."""


class LedgerAccount(AccountFacts):
    """The account of a run without a closing event, by its venue's ledger."""

    as_of: str
    """Time of the last transaction, UTC."""


class StopFacts(Record):
    """The end of the run: reason and times."""

    reason: StopReason
    on_stop: OnStop
    seconds_to_gate: float | None = None
    """From the reason until the gate stopped every order."""
    seconds_to_flat: float | None = None
    """From the reason until the venue reported a flat account."""


class Latencies(Record):
    start_to_first_bar_seconds: float | None = None
    order_round_trip_ms_median: float | None = None
    """From the creation of an order to the engine's receipt of its acceptance."""
    order_round_trip_ms_max: float | None = None
    event_lag_ms_max: float | None = None
    """Longest time from the receipt of a market message to its handler."""
    restart_to_reconciled_seconds_max: float | None = None


class FaultFacts(Record):
    """A fault that was started in the run's venue."""

    name: str
    terms: dict[str, FaultTerm]
    started_at: str
    ended_at: str | None = None
    """`null`: no end was recorded."""
    ended_by: str | None = None
    """Reason, as in its `fault_ended`; `venue_lost`: it ended with the venue's process."""


class PaperFacts(Record):
    engines: tuple[EngineFacts, ...]
    restarts: int
    venue_losses: int = 0
    """How often the venue's process was lost; it is restarted with its account."""
    failed_ledger_writes: int = 0
    """Transactions that the venue could not write to its ledger, on a full disk for example. They were rejected."""
    bars_expected: int
    """By the spec: the bars of the window, at most `max_bars`."""
    bars_seen: int | None
    bars_missed: int | None
    """Closed at the venue during the run, and received by no engine."""
    heartbeats: int
    dropped_heartbeats: int | None
    """Dropped by an engine because its message queue was full."""
    feeds: dict[FeedName, FeedFacts]
    socket_changes: dict[str, int] = Field(default_factory=dict)
    """Number of state changes of each socket, by the engine's name of it; each is an event of the journal."""
    reconciliations: Reconciliations
    final_reconciliation: Reconciled | None
    last_reconciliation_state: Reconciled | None = None
    """Of the last reconciliation of the run itself, and its time. None: there was none, or it was not recorded."""
    last_reconciliation_at: str | None = None
    final_account: AccountFacts | None
    stop: StopFacts | None
    latencies: Latencies
    round_trips: RoundTrips | None = None
    """Histogram of the order round trips. None: not recorded."""
    orders_gated: int | None = None
    """Requests that closed gates denied. None: not recorded."""
    orders_unknown: int | None = None
    """Orders of the engines in the venue's ledger that no engine reported."""
    orders_lost: int | None = None
    """Submitted by an engine, but not in the venue's ledger."""
    first_lost_order: str | None = None
    """Client order id of the first of them."""
    orders_by_venue: int | None = None
    """Orders of the venue itself, to flatten an account whose engine had ended."""
    orders_external: int | None = None
    """In the venue's ledger, but placed neither by an engine of the run nor by the lab. Not in the counters."""
    fills_external: int | None = None
    """Fills of these orders."""
    first_external_order: str | None = None
    """Client order id of the first of them."""
    forced_closes: dict[ForcedCloseKind, int] | None = None
    """Orders with which the exchange closed the position by force, by kind. Neither in the counters nor external."""
    first_forced_close: str | None = None
    """Client order id of the first of them."""
    margin_calls: int = 0
    """How often the exchange called for margin."""
    first_margin_call: str | None = None
    """Time of the first of them."""
    faults_injected: int = 0
    """Faults that were started in the run's venue."""
    faults: tuple[FaultFacts, ...] = ()
    """The first 50 of them."""
    subscriptions_empty: tuple[str, ...] = ()
    """Subscriptions of the strategy that received nothing: kind and subject."""
    subscriptions_untruthful: tuple[str, ...] = ()
    """Subscriptions that received bars which do not follow the market's clock."""

    @property
    def forced_closes_text(self) -> str:
        """Kinds with their numbers."""
        return ", ".join(f"{kind} ({number:,})" for kind, number in (self.forced_closes or {}).items())

    @property
    def counters(self) -> PaperCounters:
        """As those in the live status of the running run."""
        final = self.final_reconciliation
        checks = self.reconciliations.model_dump()
        return PaperCounters(
            messages={name: feed.messages for name, feed in self.feeds.items()},
            feed_changes={name: feed.changes for name, feed in self.feeds.items()},
            socket_changes=self.socket_changes,
            engine_restarts=self.restarts,
            engine_losses=sum(engine.ended_by not in (None, "stopped") for engine in self.engines),
            venue_losses=self.venue_losses,
            failed_ledger_writes=self.failed_ledger_writes,
            heartbeats=self.heartbeats,
            dropped_heartbeats=self.dropped_heartbeats,
            reconciliations=Reconciliations(**{state: count + (state == final) for state, count in checks.items()}),
            last_reconciliation_state=self.last_reconciliation_state or final,
            last_reconciliation_at=self.last_reconciliation_at,
            orders_gated=self.orders_gated,
            orders_external=self.orders_external,
            forced_closes=None if self.forced_closes is None else sum(self.forced_closes.values()),
            margin_calls=self.margin_calls,
            faults_injected=self.faults_injected,
            round_trips=self.round_trips,
        )
