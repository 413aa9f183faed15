"""A client in good order, beside whatever is done to the venue: it must not notice."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from opslab.runs.processes.venue_control_client import ControlClient
from tests.drivers.hostile_clients import Place, descriptors
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import Refused, VenueChild, VenueClient

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
    "knocks": set(),
    "a-crowd": {"slow connections", "too many connections"},
    "a-crowd-of-sockets": {"too many sockets"},
    "slow-heads": {"slow connections"},
    "slow-bodies": {"refused -1007"},
}
"""What the venue must have counted while an attack lasted, each at least once."""
GROWTH_KB = 48 << 10
"""What the venue may have grown by, at most, at any time."""
LOG_BYTES = 64 << 10
DESCRIPTORS = 4
"""What may be open more than before."""


class MonitorActor:
    """Connected from before an attack to behind it."""

    def __init__(self, venue: VenueChild, client: VenueClient) -> None:
        self._venue = venue
        self._client = client
        self._trades = client.stream("btcusdt@aggTrade")
        self._trading = client.trading()
        self._last = self._trades.next()["a"]
        self._orders = self._bugs = 0
        self._client.get("/fapi/v1/ping")
        self._descriptors = descriptors(venue.pid)
        self._before_kb = venue.memory_kb()
        self._growth_kb = GROWTH_KB
        self._events = len(venue.events())

    @contextmanager
    def beside(self, *attacks: str) -> Iterator[list[str]]:
        """While they last, one or several at once; what is not as it should be is in the list when they are over."""
        kinds = [(name, kind) for name in attacks for kind in sorted(KINDS[name])]
        assert len({kind for _, kind in kinds}) == len(kinds), "nobody could tell whose a count is"
        self._client.hang_up()  # else it idles meanwhile, and is itself a slow connection
        before, found = self._turned_away(), list[str]()
        yield found
        found += [*self._of_streams(), *self._of_orders(), *self._of_the_process(), *self._of_the_door()]
        counted = {kind for kind, count in self._turned_away().items() if count > before.get(kind, 0)}
        found += [f"not counted of {name}: {kind}" for name, kind in kinds if kind not in counted]

    def _of_streams(self) -> Iterator[str]:
        [now] = self._client.get("/fapi/v1/trades", symbol="BTCUSDT", limit=1)
        while self._last < now["id"]:
            number = self._trades.next()["a"]
            if number != self._last + 1:
                yield f"trade {number} came behind {self._last}"
            self._last = number

    def _of_orders(self) -> Iterator[str]:
        side = "BUY" if self._orders % 2 == 0 else "SELL"
        self._orders += 1
        terms = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": "0.010"}
        answer = self._trading.call("order.place", **terms, newOrderRespType="RESULT")
        if answer["status"] != 200 or answer["result"]["status"] != "FILLED":
            yield f"an order is answered with {answer}"
        events = self._venue.events()[self._events :]
        self._events += len(events)
        kinds = [event.kind for event in events]
        numbers = {event.order_id for event in events if event.kind in ("accepted", "filled")}
        if kinds != ["accepted", *(["filled"] * (len(kinds) - 1))] or len(numbers) != 1:
            yield f"behind one order the ledger has {events}"

    def _of_the_process(self) -> Iterator[str]:
        def settled() -> bool:
            return descriptors(self._venue.pid) <= self._descriptors + DESCRIPTORS

        try:
            wait_until(settled, "connections to be closed")
        except AssertionError:
            yield f"{descriptors(self._venue.pid)} files and sockets are open, before there were {self._descriptors}"
        grown_kb = self._venue.memory_kb("VmHWM") - self._before_kb
        if grown_kb > self._growth_kb:
            yield f"it grew by {grown_kb >> 10} MB"
        bugs = [entry for entry in self._venue.log if entry.get("log", {}).get("event") == "bug"]
        yield from (f"bug: {bug}" for bug in bugs[self._bugs :])
        self._bugs = len(bugs)
        printed = sum(path.stat().st_size for path in self._venue.ledger.parent.glob("venue-*.log"))
        if printed > LOG_BYTES:
            yield f"it printed {printed} bytes"

    def _of_the_door(self) -> Iterator[str]:
        with ControlClient(self._venue.ledger, "contract") as venue_control:
            if venue_control.request("held"):
                yield "a fault is held"

    def _turned_away(self) -> dict[str, int]:
        with ControlClient(self._venue.ledger, "contract") as venue_control:
            counts: dict[str, int] = venue_control.request("status")["turned_away"]
        return counts


@contextmanager
def attacked(home: Path, folder: Path, *, at_full_speed: bool = False) -> Iterator[tuple[Place, VenueChild, MonitorActor]]:
    """A venue, and somebody who uses it as intended."""
    speed = None if at_full_speed else 120.0
    with ExitStack() as stack:
        venue = stack.enter_context(VenueChild(home, folder, speed=speed, pace="clock", start="any"))
        client = stack.enter_context(venue.client())
        yield Place.of(venue.endpoints), venue, MonitorActor(venue, client)


def newcomer(venue: VenueChild) -> None:
    """Who comes behind an attack is let in before long."""

    def served() -> bool:
        with venue.client() as client:
            try:
                return bool(client.stream("btcusdt@bookTicker").next())
            except (Refused, StopIteration, OSError):
                return False

    wait_until(served, "a newcomer to be served")
