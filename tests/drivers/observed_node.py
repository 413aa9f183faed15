"""A node at its own venue, and what it reports from the start of a fault until the fault's effects are over.

Nothing here depends on how fast a line arrives: a line belongs to an observation by the time at which the node wrote
it, a message to a fault by the times at which the venue started and ended the fault and sent the message, a bar by the
number of its minute.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from time import time
from typing import Any

from opslab.runs.processes.venue_control_client import ControlClient
from tests.drivers.control_client import EventLog, active_fault
from tests.drivers.node_process import Line, NodeProcess
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue

MARKET, PUBLIC, USER, TRADING = SOCKETS = (
    "binance-futures-market-streams",
    "binance-futures-public-streams",
    "binance-futures-user-streams",
    "binance-futures-trading",
)
DATA = ("quote", "trade", "deltas", "bar")
MINUTE_MS = 60_000


def matcher(kind: str, **fields: Any) -> Callable[[Line], bool]:
    return lambda line: line["kind"] == kind and all(line.get(name) == value for name, value in fields.items())


@dataclass(frozen=True, slots=True)
class FaultPeriod:
    """The venue's own record of a fault: when it began and ended, and the minutes of the market that it affected."""

    started_at: float
    ended_at: float
    minutes: range
    """Minutes that opened and closed during the fault."""
    first_open_ms: int
    """Open time of minute 0."""

    def includes(self, line: Line, excluded_seconds: float = 0.0) -> bool:
        """Whether the venue sent this quote, trade, bar or change of the book during the fault.

        excluded_seconds: at the end. Event times are in milliseconds: those that the fault shares are not included.
        """
        if line["kind"] == "bar":
            return minute_of(line, self.first_open_ms) in self.minutes
        if line.get("first") == "CLEAR":  # the snapshot has the time of the last change of the book
            return bool(self.started_at < line["at"] < self.ended_at)
        sent_at = line["ts_event"] / 1e9
        return bool(self.started_at < sent_at and sent_at + 0.001 <= self.ended_at - excluded_seconds)


def minute_of(bar: Line, first_open_ms: int) -> int:
    """The number of a bar's minute, from 0. The bar's time is its last millisecond."""
    return int((bar["ts_event"] // 1_000_000 - first_open_ms) // MINUTE_MS)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a node wrote from before the start of a fault until its effects were over."""

    node: NodeProcess
    from_at: float
    to_at: float
    fault: FaultPeriod

    @property
    def lines(self) -> list[Line]:
        """In the order of the two outputs of the node. To be read when the node has ended: its log arrives late."""
        return [line for line in self.node.lines if self.from_at <= line["at"] < self.to_at]

    @property
    def ended_at(self) -> float:
        """Time of the fault's end."""
        return self.fault.ended_at

    def lines_of(self, kind: str, **fields: Any) -> list[Line]:
        return [line for line in self.lines if matcher(kind, **fields)(line)]

    def during_fault(self, kind: str, excluded_seconds: float = 0.0) -> list[Line]:
        """Data that the venue sent during the fault. excluded_seconds: at the end."""
        return [line for line in self.lines_of(kind) if self.fault.includes(line, excluded_seconds)]

    def before_end(self, kind: str) -> list[Line]:
        """Lines that the node wrote before the fault's end."""
        return [line for line in self.lines_of(kind) if line["at"] < self.ended_at]

    def seconds_after_start(self, line: Line) -> float:
        """Seconds from the fault's start."""
        return float(line["at"]) - self.fault.started_at

    def warnings_with(self, text: str) -> list[Line]:
        return [line for line in self.lines_of("log") if text in line["text"]]

    def warning_counts(self) -> Counter[str]:
        """Number of warnings of each kind, by their first words."""
        return Counter(re.sub(r"[0-9].*", "", line["text"].partition(": ")[2])[:40] for line in self.lines_of("log"))

    def events(self, id: str) -> list[str]:
        """The types of an order's events; its fills, of which there may be several, once."""
        types = [line["event"] for line in self.lines_of("order", client_order_id=id)]
        return [type for index, type in enumerate(types) if types[index - 1 : index] != [type]]

    def order(self, id: str, event: str) -> Line:
        (line,) = self.lines_of("order", client_order_id=id, event=event)
        return line

    def fills(self, id: str) -> list[Line]:
        """An order is filled at one price or at several: the best price may have less than its quantity."""
        fills = self.lines_of("order", client_order_id=id, event="OrderFilled")
        assert fills, self.events(id)
        return fills


class ObservedNode:
    """A node with its own venue."""

    def __init__(
        self,
        node: NodeProcess,
        venue: SteppedVenue,
        venue_control: ControlClient,
        observations: dict[str, Observation],
    ) -> None:
        """observations: filled by `observe`."""
        self.node = node
        self.venue_control = venue_control
        self.venue_log = EventLog(venue.ledger)
        self.first_open_ms = next(venue.candles()).open_ms
        self._observations = observations

    @property
    def minutes(self) -> int:
        """Minutes that the venue has closed."""
        return int(self.venue_control.request("status")["minutes"])

    def wait_for_minutes(self, count: int) -> None:
        """Return when the venue has closed this many more minutes."""
        end = self.minutes + count
        wait_until(lambda: self.minutes >= end, f"minute {end} of the market")

    @contextmanager
    def observe(self, name: str) -> Iterator["Recording"]:
        """Store the observation of the block, which starts one fault by the recording, under `name`."""
        recording = Recording(self)
        yield recording
        self._observations[name] = Observation(self.node, recording.from_at, time(), recording.fault_period())


@dataclass(slots=True)
class Recording:
    """An `observe` block, while it lasts."""

    observed: ObservedNode
    from_at: float = field(default_factory=time)
    _number: int = 0
    _first: int = field(init=False)
    """Position of the first line that can have been written since."""
    _minutes: range = range(0)

    def __post_init__(self) -> None:
        self._first = len(self.observed.node.lines)

    @contextmanager
    def active_fault(self, fault: str, **terms: Any) -> Iterator[None]:
        with active_fault(self.observed.venue_control, fault, 600.0, **terms) as self._number:
            first = self.observed.minutes
            yield
            self._minutes = range(first + 1, self.observed.minutes)  # minute `first` was open at the start

    def immediate_fault(self, fault: str, **terms: Any) -> None:
        self._number = self.observed.venue_control.request("start", fault=fault, terms=terms)["number"]

    def fault_period(self) -> FaultPeriod:
        log = self.observed.venue_log
        end = log.fault_end(self._number)
        (start,) = [line for line in log.of("fault_started") if line["number"] == self._number]
        started_at, ended_at = (datetime.fromisoformat(line["time"]).timestamp() for line in (start, end))
        return FaultPeriod(started_at, ended_at, self._minutes, self.observed.first_open_ms)

    def wait(self, kind: str, count: int = 1, **fields: Any) -> Line:
        """The `count`-th line of this kind with these fields that the node has written since the start."""
        return self.wait_for(matcher(kind, **fields), f"{kind} {fields}", count)

    def wait_next(self, kind: str, count: int = 1) -> Line:
        """The `count`-th line of this kind that the node writes from now on."""
        now = time()
        return self.wait_for(lambda line: line["kind"] == kind and line["at"] >= now, kind, count)

    def wait_warning(self, text: str, count: int = 1) -> Line:
        return self.wait_for(lambda line: line["kind"] == "log" and text in line["text"], text, count)

    def wait_sent(self, kind: str, count: int = 1) -> Line:
        """The `count`-th message of this kind that the venue sends from now on: quote, trade, change, bar."""
        now, minute, first_open_ms = time(), self.observed.minutes, self.observed.first_open_ms

        def is_sent(line: Line) -> bool:
            if line["kind"] != kind:
                return False
            if kind == "bar":
                return minute_of(line, first_open_ms) > minute
            return bool(line["ts_event"] / 1e9 > now)

        return self.wait_for(is_sent, f"{kind} sent from now on", count)

    def wait_for(self, is_wanted: Callable[[Line], bool], description: str, count: int = 1) -> Line:
        """The `count`-th wanted line that the node has written since the start."""
        matches = 0

        def is_last(line: Line) -> bool:
            nonlocal matches
            matches += line["at"] >= self.from_at and is_wanted(line)
            return matches == count

        return self.observed.node.wait_for(is_last, f"{count} of {description}", after=self._first)

    def wait_all_data(self) -> None:
        """Return when the node has data of each kind that the venue sends from now on."""
        for kind in DATA:
            self.wait_sent(kind)

    def wait_reconnected(self) -> None:
        """Return when each socket is connected, and the user stream a second time.

        The engine opens it once as it was, and once more with a new listen key.
        """
        for endpoint in SOCKETS:
            self.wait("socket", count=2 if endpoint == USER else 1, endpoint=endpoint, state="CONNECTED")

    def wait_order(self, id: str, event: str) -> None:
        self.wait("order", client_order_id=id, event=event)

    def wait_filled(self, quantity: str, id: str | None = None) -> None:
        """Return when fills of an order, or of all orders, add up to the quantity."""
        filled = Decimal(0)

        def is_last_fill(line: Line) -> bool:
            nonlocal filled
            if line["kind"] == "order" and line["event"] == "OrderFilled" and id in (None, line["client_order_id"]):
                filled += Decimal(line["last_qty"])
                return filled >= Decimal(quantity)
            return False

        self.wait_for(is_last_fill, f"fills of {quantity} {id or ''}")
