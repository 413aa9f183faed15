"""A correct client that is connected during an attack on the venue: the attack must not affect it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.drivers.control_client import control_client
from tests.drivers.hostile_clients import VenueAddress, descriptors
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import Refused, SteppedVenue, VenueClient

KINDS: dict[str, set[str]] = {
    "garbage": {"malformed HTTP"},
    "malformed-http": {"malformed HTTP"},
    "cut-requests": set(),
    "strange-requests": {"malformed HTTP", "refused -5000"},
    "non-utf8": {"malformed HTTP", "refused -2015"},
    "other-hosts": {"foreign hosts", "refused -1000"},
    "huge-headers": {"malformed HTTP"},
    "huge-bodies": {"large bodies"},
    "bad-frames": {"clients disconnected: malformed frames"},
    "random-frames": {"clients disconnected: malformed frames"},
    "bad-texts": {"refused -1135"},
    "ping-flood": {"clients disconnected: too many messages", "clients disconnected: not reading"},
    "requests-unread": {"slow connections"},
    "calls-unread": {"clients disconnected: not reading"},
    "streams-unread": {"clients disconnected: not reading"},
    "immediate-resets": set(),
    "many-connections": {"slow connections", "too many connections"},
    "many-sockets": {"too many sockets"},
    "slow-heads": {"slow connections"},
    "slow-bodies": {"refused -1007"},
}
"""The counters that each attack must increase."""
MAX_GROWTH_KB = 48 << 10
"""Limit of the growth of the venue's memory."""
MAX_LOG_BYTES = 64 << 10
MAX_NEW_DESCRIPTORS = 4
"""Limit of the file descriptors left open after an attack."""


class Bystander:
    """A client that is connected from before an attack until after it."""

    def __init__(self, venue: SteppedVenue, client: VenueClient) -> None:
        self._venue = venue
        self._client = client
        self._trades = client.stream("btcusdt@aggTrade")
        self._trading = client.trading()
        self._last = self._trades.next()["a"]
        self._orders = self._bugs = 0
        self._client.get("/fapi/v1/ping")
        self._descriptors = descriptors(venue.pid)
        self._before_kb = venue.memory_kb()
        self._growth_kb = MAX_GROWTH_KB
        self._events = len(venue.events())

    @contextmanager
    def during(self, *attacks: str) -> Iterator[list[str]]:
        """The block runs the attacks, one or several at once; afterwards the list has the defects found."""
        kinds = [(name, kind) for name in attacks for kind in sorted(KINDS[name])]
        assert len({kind for _, kind in kinds}) == len(kinds), "two attacks increase the same counter"
        self._client.close_connection()  # idle meanwhile, it would be a slow connection itself
        before, defects = self._turned_away(), list[str]()
        yield defects
        defects += [*self._stream_defects(), *self._order_defects(), *self._process_defects(), *self._fault_defects()]
        counted = {kind for kind, count in self._turned_away().items() if count > before.get(kind, 0)}
        defects += [f"not counted for {name}: {kind}" for name, kind in kinds if kind not in counted]

    def _stream_defects(self) -> Iterator[str]:
        [newest] = self._client.get("/fapi/v1/trades", symbol="BTCUSDT", limit=1)
        while self._last < newest["id"]:
            trade_id = self._trades.next()["a"]
            if trade_id != self._last + 1:
                yield f"trade {trade_id} came after {self._last}"
            self._last = trade_id

    def _order_defects(self) -> Iterator[str]:
        side = "BUY" if self._orders % 2 == 0 else "SELL"
        self._orders += 1
        terms = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": "0.010"}
        answer = self._trading.call("order.place", **terms, newOrderRespType="RESULT")
        if answer["status"] != 200 or answer["result"]["status"] != "FILLED":
            yield f"the answer to an order is {answer}"
        events = self._venue.events()[self._events :]
        self._events += len(events)
        kinds = [event.kind for event in events]
        numbers = {event.order_id for event in events if event.kind in ("accepted", "filled")}
        if kinds != ["accepted", *(["filled"] * (len(kinds) - 1))] or len(numbers) != 1:
            yield f"for one order the ledger has {events}"

    def _process_defects(self) -> Iterator[str]:
        def connections_closed() -> bool:
            return descriptors(self._venue.pid) <= self._descriptors + MAX_NEW_DESCRIPTORS

        try:
            wait_until(connections_closed, "connections to be closed")
        except AssertionError:
            yield f"{descriptors(self._venue.pid)} descriptors are open, before the attack {self._descriptors}"
        growth_kb = self._venue.memory_kb("VmHWM") - self._before_kb
        if growth_kb > self._growth_kb:
            yield f"its memory grew by {growth_kb >> 10} MB"
        bugs = [entry for entry in self._venue.log if entry.get("log", {}).get("event") == "bug"]
        yield from (f"bug: {bug}" for bug in bugs[self._bugs :])
        self._bugs = len(bugs)
        printed_bytes = sum(path.stat().st_size for path in self._venue.ledger.parent.glob("venue-*.log"))
        if printed_bytes > MAX_LOG_BYTES:
            yield f"it printed {printed_bytes} bytes"

    def _fault_defects(self) -> Iterator[str]:
        with control_client(self._venue.ledger) as venue_control:
            if venue_control.request("held"):
                yield "a fault is active"

    def _turned_away(self) -> dict[str, int]:
        with control_client(self._venue.ledger) as venue_control:
            counts: dict[str, int] = venue_control.request("status")["turned_away"]
        return counts


@contextmanager
def attacked(
    home: Path, folder: Path, *, at_full_speed: bool = False
) -> Iterator[tuple[VenueAddress, SteppedVenue, Bystander]]:
    """(its address, a venue, a client that uses it correctly)."""
    speed = None if at_full_speed else 120.0
    with ExitStack() as stack:
        venue = stack.enter_context(SteppedVenue(home, folder, speed=speed, pace="clock", start="any"))
        client = stack.enter_context(venue.client())
        yield VenueAddress.of(venue.endpoints), venue, Bystander(venue, client)


def assert_serves_new_client(venue: SteppedVenue) -> None:
    """Assert that a new client is served soon after an attack."""

    def is_served() -> bool:
        with venue.client() as client:
            try:
                return bool(client.stream("btcusdt@bookTicker").next())
            except (Refused, StopIteration, OSError):
                return False

    wait_until(is_served, "a new client to be served")
