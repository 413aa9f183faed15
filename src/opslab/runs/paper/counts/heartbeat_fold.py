"""What the engines of a paper run reported in their heartbeats, and at their end."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from pydantic import ConfigDict

from opslab.model.journal.engine_events import EngineEnd, PaperHeartbeat
from opslab.model.journal.journal_event import RUNNING, JournalEvent
from opslab.model.messages.paper_messages import FEEDS, AccountSnapshot, EngineHeartbeat, FeedName
from opslab.model.primitives.record import Record
from opslab.model.run.run_counters import RoundTrips


class HeartbeatCounts(Record):
    """The fields of an `EngineHeartbeat` that the fold needs: decoding the accounts too takes most of the time."""

    model_config = ConfigDict(extra="ignore")

    bars: int
    quotes: int
    trades: int
    sockets: dict[str, str]
    orders_gated: int
    memory_bytes: int
    event_lag_ms: float | None
    order_round_trips_ms: tuple[float, ...] = ()
    dropped_messages: int = 0


class AccountCounts(Record):
    """As `HeartbeatCounts`, of an `AccountSnapshot`."""

    model_config = ConfigDict(extra="ignore")

    orders_external: int | None = None


class ReadHeartbeat(JournalEvent):
    """A `PaperHeartbeat` as it is read."""

    EVENT = PaperHeartbeat.EVENT
    STATUSES = RUNNING

    engine_number: int
    heartbeat: HeartbeatCounts
    venue: AccountCounts | None


@dataclass(slots=True)
class HeartbeatFold:
    count: int = 0
    peak_memory_bytes: int = 0
    longest_lag_ms: float | None = None
    external_orders: int = 0
    """At the venue."""
    round_trips: RoundTrips = field(default_factory=RoundTrips)
    sockets: set[str] = field(default_factory=set)
    """Names."""
    _messages: dict[int, Mapping[FeedName, int]] = field(default_factory=dict)
    """Of each engine, as the next two."""
    _gated: dict[int, int] = field(default_factory=dict)
    _dropped: dict[int, int] = field(default_factory=dict)
    _round_trips_ms: array[float] = field(default_factory=lambda: array("d"))  # of a run of days

    def add(
        self,
        engine_number: int,
        heartbeat: EngineHeartbeat | HeartbeatCounts,
        venue: AccountSnapshot | AccountCounts | None,
    ) -> None:
        self.count += 1
        self._messages[engine_number] = {
            "bars": heartbeat.bars,
            "quotes": heartbeat.quotes,
            "trades": heartbeat.trades,
        }
        self.peak_memory_bytes = max(self.peak_memory_bytes, heartbeat.memory_bytes)
        if heartbeat.order_round_trips_ms:
            self._round_trips_ms.extend(heartbeat.order_round_trips_ms)
            self.round_trips = self.round_trips.plus(heartbeat.order_round_trips_ms)
        if heartbeat.event_lag_ms is not None:
            self.longest_lag_ms = max(self.longest_lag_ms or 0.0, heartbeat.event_lag_ms)
        self.sockets.update(heartbeat.sockets)
        self._report(engine_number, heartbeat.orders_gated, heartbeat.dropped_messages)
        if venue and venue.orders_external:
            self.external_orders = max(self.external_orders, venue.orders_external)

    def engine_ended(self, end: EngineEnd) -> None:
        """A killed engine did not report its counts at the end: those of its last heartbeat hold."""
        self._report(end.engine_number, sum(end.gated.values()), end.dropped_messages)

    def _report(self, engine_number: int, gated: int, dropped: int) -> None:
        self._gated[engine_number] = max(gated, self._gated.get(engine_number, 0))
        self._dropped[engine_number] = max(dropped, self._dropped.get(engine_number, 0))

    def messages(self) -> dict[FeedName, int]:
        """Received by all engines, by feed."""
        return {name: sum(each[name] for each in self._messages.values()) for name in FEEDS}

    @property
    def gated(self) -> int:
        """Requests that closed gates denied."""
        return sum(self._gated.values())

    @property
    def dropped(self) -> int:
        """Heartbeats, and other telemetry, that engines could not send."""
        return sum(self._dropped.values())

    @property
    def round_trip_ms_median(self) -> float | None:
        return round(median(self._round_trips_ms), 3) if self._round_trips_ms else None

    @property
    def round_trip_ms_max(self) -> float | None:
        return max(self._round_trips_ms, default=None)
