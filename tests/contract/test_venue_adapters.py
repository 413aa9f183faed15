"""NautilusTrader's own Binance adapters take the loopback venue for Binance: a live node in a process of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from opslab.model.market.candle import Candle
from opslab.model.messages.ledger_events import LedgerEvent
from opslab.model.primitives.instant import MINUTE_MS
from opslab.venue.account.audit import Audit
from tests.drivers.forwarder import Forwarder
from tests.drivers.node_process import Line, NodeProcess
from tests.drivers.tc import wait_until
from tests.drivers.venue_process import VenueProcess
from tests.oracles.ledger_state import LedgerState, differences, ledger_state, plain

MINUTES = 20
TICKS = 30
SOCKETS = {
    "binance-futures-market-streams",
    "binance-futures-public-streams",
    "binance-futures-user-streams",
    "binance-futures-trading",
}
TRADING = "binance-futures-trading"
ENDS = ("OrderFilled", "OrderCanceled", "OrderExpired", "OrderRejected", "OrderDenied")


@dataclass(frozen=True, slots=True)
class Talk:
    """What a node and a venue said to each other over some minutes of the market, which then stood still."""

    lines: list[Line]
    started: Line
    stands: dict[str, Any]
    """The depth when the market had come to rest."""
    locked_ledger: Line
    book: Line
    depth: dict[str, Any]
    klines: list[list[Any]]
    events: list[LedgerEvent]
    audit: Audit
    candles: list[Candle]

    def told(self, what: str, **more: Any) -> list[Line]:
        return [line for line in self.lines if line["kind"] == what and all(line.get(key) == more[key] for key in more)]

    def order(self, id: str, event: str) -> Line:
        """The one time that this happened to that order."""
        (found,) = self.told("order", client_order_id=id, event=event)
        return found

    def events_of(self, id: str) -> list[str]:
        return [line["event"] for line in self.told("order", client_order_id=id)]

    @property
    def ledger(self) -> LedgerState:
        return ledger_state(self.events)

    def kept(self, id: str) -> dict[str, Any]:
        """The order as the ledger has it."""
        (found,) = (order for order in self.ledger.orders.values() if plain(order["client_order_id"]) == id)
        return found


def until(node: NodeProcess, id: str, *events: str) -> None:
    node.wait_for(lambda line: line.get("client_order_id") == id and line["event"] in events, f"{id}: {events}")


@pytest.fixture(scope="module")
def talk(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    folder = tmp_path_factory.mktemp("talk")
    with (
        VenueProcess(sample_home, folder, speed=600, ticks=TICKS, max_bars=MINUTES) as venue,
        NodeProcess(venue.endpoints, folder / "node.log", bypass_risk=True) as node,
    ):
        started = node.wait("started")
        node.wait("ready")
        _trade(node)
        candles = [candle for candle, _ in zip(venue.candles(), range(MINUTES), strict=False)]
        node.wait("bar", ts_event=close_ns(candles[-1]))
        stands = venue.get("/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=20)
        node.place("IOC-PART", "SELL", "15.000", kind="limit", price=stands["bids"][0][0], in_force="IOC")
        until(node, "IOC-PART", "OrderExpired")
        depth = venue.get("/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=20)
        klines = venue.get("/fapi/v1/klines", signed=False, symbol="BTCUSDT", interval="1m", limit=MINUTES)
        locked_ledger, book = _settled(node, venue), _book(node, depth)
        node.stop()
        venue.stop()
        audit = venue.audit()
        return Talk(node.lines, started, stands, locked_ledger, book, depth, klines, venue.events(), audit, candles)


def _trade(node: NodeProcess) -> None:
    """A little of everything."""
    node.place("MARKET", "BUY", "0.020")
    until(node, "MARKET", *ENDS)
    node.place("LIMIT", "BUY", "0.010", kind="limit", off=0.97)
    until(node, "LIMIT", "OrderAccepted")
    node.do("modify", id="LIMIT", quantity="0.012", price="41000.5")
    until(node, "LIMIT", "OrderUpdated")
    node.do("cancel", id="LIMIT")
    until(node, "LIMIT", *ENDS)
    cases: dict[str, dict[str, Any]] = {
        "POST-ONLY-TAKES": {"off": 1.01, "post_only": True},
        "IOC-NOTHING": {"off": 0.98, "in_force": "IOC"},
        "FOK-TOO-LARGE": {"off": 1.0, "in_force": "FOK", "quantity": "20.000"},
        "FOK": {"off": 1.001, "in_force": "FOK"},
        "TOO-SMALL": {"off": 0.99, "quantity": "0.001"},
        "TOO-LARGE": {"off": 0.99, "quantity": "60.000"},
        "TOO-FAR": {"off": 1.2},
        "STOP": {"kind": "stop", "price": "41000.0", "side": "SELL"},
    }
    for id, more in cases.items():
        node.place(**{"id": id, "side": "BUY", "quantity": "0.010", "kind": "limit", **more})
        until(node, id, *ENDS)
    node.place("REDUCE", "SELL", "0.010", reduce_only=True)
    until(node, "REDUCE", *ENDS)
    node.place("CLOSE", "SELL", "90.000", reduce_only=True)
    until(node, "CLOSE", "OrderExpired")
    node.place("NOTHING-TO-REDUCE", "SELL", "0.010", reduce_only=True)
    until(node, "NOTHING-TO-REDUCE", *ENDS)
    node.place("MAKER-BUY", "BUY", "0.010", kind="limit", off=0.99999, post_only=True)
    node.place("MAKER-SELL", "SELL", "0.010", kind="limit", off=1.00001, post_only=True)
    node.wait_for(lambda line: line.get("liquidity") == "MAKER", "a limit order to be filled by the market")
    node.place("SHORT", "SELL", "0.040")
    until(node, "SHORT", *ENDS)
    node.place("RESTS", "SELL", "0.010", kind="limit", off=1.03)
    until(node, "RESTS", "OrderAccepted")


def _settled(node: NodeProcess, venue: VenueProcess) -> Line:
    """What the node has once it knows all that the ledger has."""
    last = max(venue.ledger_state().trades)
    node.wait("order", event="OrderFilled", trade_id=str(last))
    return node.state()


def _book(node: NodeProcess, depth: dict[str, Any]) -> Line:
    """The node's book, once the last change has reached it."""
    found: list[Line] = []

    def same() -> bool:
        found.append(node.book(len(depth["bids"])))
        return bool(found[-1]["bids"] == depth["bids"] and found[-1]["asks"] == depth["asks"])

    wait_until(same, f"the book to be {depth}", seconds=5)
    return found[-1]


def close_ns(candle: Candle) -> int:
    return (candle.open_ms + MINUTE_MS - 1) * 1_000_000


def test_a_node_connects_and_finds_an_empty_account(talk: Talk) -> None:
    assert talk.started["orders"] == 0
    assert talk.started["positions"] == []
    assert Decimal(talk.started["balance"]) == Decimal(talk.started["free"]) == 100_000
    assert {line["endpoint"] for line in talk.told("socket", state="CONNECTED")} == SOCKETS
    assert talk.told("socket", state="DISCONNECTED") == []


def test_every_bar_is_the_datasets_candle_at_its_close(talk: Talk) -> None:
    found = [
        (bar["ts_event"], *(Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume")))
        for bar in talk.told("bar")
    ]
    assert found == [
        (
            close_ns(candle),
            *(Decimal(price) / 100 for price in (candle.open, candle.high, candle.low, candle.close)),
            Decimal(candle.volume) / 1000,
        )
        for candle in talk.candles
    ]
    assert all(bar["ts_event"] % (MINUTE_MS * 1_000_000) == 59_999_000_000 for bar in talk.told("bar"))


def test_klines_asked_for_are_the_bars_that_were_streamed(talk: Talk) -> None:
    assert [[row[6] * 1_000_000, *map(Decimal, row[1:6])] for row in talk.klines] == [
        [bar["ts_event"], *(Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume"))]
        for bar in talk.told("bar")
    ]


def test_the_trades_of_a_minute_make_its_candle(talk: Talk) -> None:
    trades = {int(trade["trade_id"]): trade for trade in talk.told("trade")}
    first, last = min(trades), MINUTES * TICKS
    assert [int(trade["trade_id"]) for trade in talk.told("trade")] == list(range(first, last + 1))
    whole = range(-(-(first - 1) // TICKS), MINUTES)  # the streams are subscribed to one by one, while it already runs
    assert len(whole) > MINUTES / 2
    for number in whole:
        candle = talk.candles[number]
        minute = [trades[number * TICKS + tick] for tick in range(1, TICKS + 1)]
        prices = [Decimal(trade["price"]) * 100 for trade in minute]
        true_prices = [Decimal(price) for price in (candle.open, candle.high, candle.low, candle.close)]
        assert [prices[0], max(prices), min(prices), prices[-1]] == true_prices
        assert sum(Decimal(trade["size"]) for trade in minute) * 1000 == candle.volume


def test_quotes_have_two_sides(talk: Talk) -> None:
    quotes = talk.told("quote")
    assert len(quotes) > MINUTES * TICKS / 2
    assert all(Decimal(quote["bid"]) < Decimal(quote["ask"]) for quote in quotes)
    assert all(Decimal(quote["bid_size"]) > 0 and Decimal(quote["ask_size"]) > 0 for quote in quotes)


def test_the_order_book_built_from_changes_is_the_venues(talk: Talk) -> None:
    assert (talk.book["bids"], talk.book["asks"]) == (talk.depth["bids"], talk.depth["asks"])
    assert len(talk.told("deltas")) > MINUTES / 2


def test_a_market_order_is_accepted_then_filled(talk: Talk) -> None:
    assert talk.events_of("MARKET")[-2:] == ["OrderAccepted", "OrderFilled"]
    assert talk.order("MARKET", "OrderFilled")["liquidity"] == "TAKER"


def test_a_limit_order_rests_and_can_be_changed_and_canceled(talk: Talk) -> None:
    events = [event for event in talk.events_of("LIMIT") if "Pending" not in event]
    assert events[-3:] == ["OrderAccepted", "OrderUpdated", "OrderCanceled"]
    changed = talk.order("LIMIT", "OrderUpdated")
    assert (Decimal(changed["quantity"]), Decimal(changed["price"])) == (Decimal("0.012"), Decimal("41000.5"))
    kept = talk.kept("LIMIT")
    assert (kept["quantity"], kept["price"], kept["status"]) == (Decimal("0.012"), Decimal("41000.5"), "CANCELED")


def test_a_resting_order_that_the_market_reaches_is_filled_as_maker(talk: Talk) -> None:
    (fill, *_) = [line for line in talk.told("order", event="OrderFilled") if line["liquidity"] == "MAKER"]
    assert fill["client_order_id"] in ("MAKER-BUY", "MAKER-SELL")
    assert Decimal(fill["last_px"]) == talk.kept(fill["client_order_id"])["price"]


def test_an_order_that_may_only_rest_is_refused_as_such(talk: Talk) -> None:
    assert talk.order("POST-ONLY-TAKES", "OrderRejected")["due_post_only"] is True


@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("POST-ONLY-TAKES", -5022),
        ("FOK-TOO-LARGE", -5021),
        ("TOO-SMALL", -4164),
        ("TOO-LARGE", -2019),
        ("TOO-FAR", -4016),
        ("STOP", -1116),
        ("NOTHING-TO-REDUCE", -2022),
    ],
)
def test_a_refusal_carries_the_venues_code_and_leaves_no_trace(talk: Talk, id: str, code: int) -> None:
    assert talk.events_of(id)[-2:] == ["OrderSubmitted", "OrderRejected"]
    assert str(code) in talk.order(id, "OrderRejected")["reason"]
    assert id not in {plain(order["client_order_id"]) for order in talk.ledger.orders.values()}


def test_immediate_or_cancel_takes_what_is_there_and_leaves_the_rest(talk: Talk) -> None:
    assert talk.events_of("IOC-NOTHING")[-2:] == ["OrderAccepted", "OrderExpired"]
    fills = talk.told("order", client_order_id="IOC-PART", event="OrderFilled")
    price, displayed = map(Decimal, talk.stands["bids"][0])
    assert {Decimal(fill["last_px"]) for fill in fills} == {price}
    assert sum(Decimal(fill["last_qty"]) for fill in fills) == talk.kept("IOC-PART")["filled"] == displayed
    assert talk.depth["bids"][0][0] != talk.stands["bids"][0][0]


def test_fill_or_kill_is_filled_at_once(talk: Talk) -> None:
    assert talk.events_of("FOK")[-2:] == ["OrderAccepted", "OrderFilled"]


def test_a_reduce_only_order_closes_no_more_than_the_position(talk: Talk) -> None:
    assert talk.kept("REDUCE")["filled"] == Decimal("0.010")
    last = [
        event for event in talk.events if event.kind == "filled" and event.order_id == talk.kept("CLOSE")["order_id"]
    ]
    assert last[-1].position == 0
    assert 0 < talk.kept("CLOSE")["filled"] < 90


def test_the_nodes_fills_are_the_ledgers(talk: Talk) -> None:
    ledger = talk.ledger
    told = {
        int(line["trade_id"]): (
            int(line["venue_order_id"]),
            Decimal(line["last_px"]),
            Decimal(line["last_qty"]),
            Decimal(line["fee"]),
            line["liquidity"] == "MAKER",
        )
        for line in talk.told("order", event="OrderFilled")
    }
    assert told == {
        number: (trade.order_id, trade.price, trade.quantity, trade.fee, trade.maker)
        for number, trade in ledger.trades.items()
    }
    assert len(talk.told("order", event="OrderFilled")) == len(ledger.trades)


def test_open_orders_position_and_balance_of_the_node_are_the_ledgers(talk: Talk) -> None:
    assert differences(talk.locked_ledger, talk.ledger) == []
    assert "RESTS" in talk.locked_ledger["open"]
    assert talk.ledger.position < 0


def test_the_ledger_of_the_talk_is_proven(talk: Talk) -> None:
    assert talk.audit.findings == ()
    assert talk.audit.trades == len(talk.ledger.trades)


@pytest.fixture(scope="module")
def served(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    with VenueProcess(sample_home, tmp_path_factory.mktemp("served"), speed=120, start="now") as venue:
        yield venue


def test_orders_go_over_the_trading_socket_and_by_http_while_it_is_down(served: VenueProcess, tmp_path: Path) -> None:
    port = served.port
    with Forwarder(port) as rest, Forwarder(port) as trading:
        endpoints = served.endpoints.model_copy(
            update={
                "rest_url": f"http://127.0.0.1:{rest.port}",
                "ws_trading_url": f"ws://127.0.0.1:{trading.port}/ws-fapi/v1",
            }
        )
        with NodeProcess(endpoints, tmp_path / "node.log") as node:
            node.wait("socket", endpoint=TRADING, state="CONNECTED")
            node.wait("ready")
            silent = trading.received_bytes
            trade_once(node, "OVER-SOCKET")
            assert trading.received_bytes > silent
            assert order_requests(rest) == []

            trading.cut()
            node.wait("socket", endpoint=TRADING, state="DISCONNECTED")
            trade_once(node, "BY-HTTP")
            assert order_requests(rest) == ["POST", "PUT", "DELETE"]

            seen = len(node.lines)
            trading.restore()
            node.wait("socket", endpoint=TRADING, state="CONNECTED", after=seen)
            trade_once(node, "OVER-SOCKET-AGAIN")
            assert order_requests(rest) == ["POST", "PUT", "DELETE"]
            node.stop()


def test_orders_go_by_http_when_the_trading_socket_is_not_wanted(served: VenueProcess, tmp_path: Path) -> None:
    port = served.port
    with Forwarder(port) as rest, Forwarder(port) as trading:
        endpoints = served.endpoints.model_copy(
            update={
                "rest_url": f"http://127.0.0.1:{rest.port}",
                "ws_trading_url": f"ws://127.0.0.1:{trading.port}/ws-fapi/v1",
            }
        )
        with NodeProcess(endpoints, tmp_path / "node.log", use_ws_trading=False) as node:
            node.wait("ready")
            trade_once(node, "NO-SOCKET")
            node.stop()
        assert order_requests(rest) == ["POST", "PUT", "DELETE"]
        assert trading.received_bytes == 0


def trade_once(node: NodeProcess, id: str) -> None:
    """Place, change and cancel one order."""
    node.place(id, "BUY", "0.010", kind="limit", off=0.97)
    until(node, id, "OrderAccepted")
    node.do("modify", id=id, quantity="0.011", price="40900.0")
    until(node, id, "OrderUpdated")
    node.do("cancel", id=id)
    until(node, id, "OrderCanceled")


def order_requests(rest: Forwarder) -> list[str]:
    return [asked.split()[0] for asked in rest.requests if asked.endswith("/fapi/v1/order")]
