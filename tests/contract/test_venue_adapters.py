"""NautilusTrader's own Binance adapters on the loopback venue: a live node in its own process."""

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
MAKER_ATTEMPTS = 10
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
class NodeSession:
    """Lines of a node and state of its venue after some minutes of the market, which is then still."""

    lines: list[Line]
    started: Line
    still_depth: dict[str, Any]
    """The depth when the market was still, before the last order."""
    final_state: Line
    book: Line
    depth: dict[str, Any]
    klines: list[list[Any]]
    events: list[LedgerEvent]
    audit: Audit
    candles: list[Candle]

    def lines_of(self, kind: str, **fields: Any) -> list[Line]:
        return [
            line
            for line in self.lines
            if line["kind"] == kind and all(line.get(name) == value for name, value in fields.items())
        ]

    def order(self, id: str, event: str) -> Line:
        """The only event of this type of an order."""
        (line,) = self.lines_of("order", client_order_id=id, event=event)
        return line

    def events_of(self, id: str) -> list[str]:
        return [line["event"] for line in self.lines_of("order", client_order_id=id)]

    @property
    def ledger(self) -> LedgerState:
        return ledger_state(self.events)

    def ledger_order(self, id: str) -> dict[str, Any]:
        """The order in the ledger."""
        (ledger_order,) = (order for order in self.ledger.orders.values() if plain(order["client_order_id"]) == id)
        return ledger_order


def wait_order(node: NodeProcess, id: str, *events: str) -> None:
    node.wait_for(lambda line: line.get("client_order_id") == id and line["event"] in events, f"{id}: {events}")


@pytest.fixture(scope="module")
def session(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> NodeSession:
    folder = tmp_path_factory.mktemp("session")
    with (
        VenueProcess(sample_home, folder, speed=600, ticks=TICKS, max_bars=MINUTES) as venue,
        NodeProcess(venue.endpoints, folder / "node.log", bypass_risk=True) as node,
    ):
        started = node.wait("started")
        node.wait("ready")
        _trade(node)
        candles = [candle for candle, _ in zip(venue.candles(), range(MINUTES), strict=False)]
        node.wait("bar", ts_event=close_ns(candles[-1]))
        still_depth = venue.get("/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=20)
        node.place("IOC-PART", "SELL", "15.000", kind="limit", price=still_depth["bids"][0][0], in_force="IOC")
        wait_order(node, "IOC-PART", "OrderExpired")
        depth = venue.get("/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=20)
        klines = venue.get("/fapi/v1/klines", signed=False, symbol="BTCUSDT", interval="1m", limit=MINUTES)
        final_state, book = _final_state(node, venue), _book(node, depth)
        node.stop()
        venue.stop()
        audit = venue.audit()
        return NodeSession(
            node.lines, started, still_depth, final_state, book, depth, klines, venue.events(), audit, candles
        )


def _trade(node: NodeProcess) -> None:
    """Orders of every kind."""
    node.place("MARKET", "BUY", "0.020")
    wait_order(node, "MARKET", *ENDS)
    _be_filled_as_maker(node)
    node.place("LIMIT", "BUY", "0.010", kind="limit", off=0.97)
    wait_order(node, "LIMIT", "OrderAccepted")
    node.do("modify", id="LIMIT", quantity="0.012", price="41000.5")
    wait_order(node, "LIMIT", "OrderUpdated")
    node.do("cancel", id="LIMIT")
    wait_order(node, "LIMIT", *ENDS)
    cases: dict[str, dict[str, Any]] = {
        "POST-ONLY-TAKES": {"off": 1.01, "post_only": True},
        "IOC-NOTHING": {"off": 0.98, "in_force": "IOC"},
        "FOK-TOO-LARGE": {"off": 0.998, "in_force": "FOK", "quantity": "20.000"},
        "FOK": {"off": 1.001, "in_force": "FOK"},
        "TOO-SMALL": {"off": 0.99, "quantity": "0.001"},
        "TOO-LARGE": {"off": 0.99, "quantity": "60.000"},
        "TOO-FAR": {"off": 1.2},
        "STOP": {"kind": "stop", "price": "41000.0", "side": "SELL"},
    }
    for id, params in cases.items():
        node.place(**{"id": id, "side": "BUY", "quantity": "0.010", "kind": "limit", **params})
        wait_order(node, id, *ENDS)
    node.place("REDUCE", "SELL", "0.010", reduce_only=True)
    wait_order(node, "REDUCE", *ENDS)
    node.place("CLOSE", "SELL", "90.000", reduce_only=True)
    wait_order(node, "CLOSE", "OrderExpired")
    node.place("NOTHING-TO-REDUCE", "SELL", "0.010", reduce_only=True)
    wait_order(node, "NOTHING-TO-REDUCE", *ENDS)
    node.place("SHORT", "SELL", "0.040")
    wait_order(node, "SHORT", *ENDS)
    node.place("RESTS", "SELL", "0.010", kind="limit", off=1.03)
    wait_order(node, "RESTS", "OrderAccepted")


def _be_filled_as_maker(node: NodeProcess) -> None:
    """Rest orders on both sides until the market fills one; it may move away, or be there before they are."""
    for number in range(1, MAKER_ATTEMPTS + 1):
        pair = (f"MAKER-BUY-{number}", f"MAKER-SELL-{number}")
        node.place(pair[0], "BUY", "0.003", kind="limit", off=0.99999, post_only=True)
        node.place(pair[1], "SELL", "0.003", kind="limit", off=1.00001, post_only=True)
        for id in pair:
            wait_order(node, id, "OrderAccepted", "OrderRejected")
        resting = len(node.lines)
        node.wait_for(_is_maker_fill_or_bar, "a limit order to be filled, or the next minute", after=resting)
        for id in pair:
            if not any(line["event"] in ENDS for line in node.order_events(id)):
                node.do("cancel", id=id)
            wait_order(node, id, *ENDS)
        if any(line.get("liquidity") == "MAKER" for line in node.lines_of("order")):
            return
    raise AssertionError("no limit order was filled by the market")


def _is_maker_fill_or_bar(line: Line) -> bool:
    return line.get("liquidity") == "MAKER" or line["kind"] == "bar"


def _final_state(node: NodeProcess, venue: VenueProcess) -> Line:
    """The node's state once it has the last trade of the ledger."""
    last = max(venue.ledger_state().trades)
    node.wait("order", event="OrderFilled", trade_id=str(last))
    return node.state()


def _book(node: NodeProcess, depth: dict[str, Any]) -> Line:
    """The node's book after the last change."""
    books: list[Line] = []

    def is_equal() -> bool:
        books.append(node.book(len(depth["bids"])))
        return bool(books[-1]["bids"] == depth["bids"] and books[-1]["asks"] == depth["asks"])

    wait_until(is_equal, f"the book to be {depth}", seconds=5)
    return books[-1]


def close_ns(candle: Candle) -> int:
    return (candle.open_ms + MINUTE_MS - 1) * 1_000_000


def test_a_node_connects_and_reads_an_empty_account(session: NodeSession) -> None:
    assert session.started["orders"] == 0
    assert session.started["positions"] == []
    assert Decimal(session.started["balance"]) == Decimal(session.started["free"]) == 100_000
    assert {line["endpoint"] for line in session.lines_of("socket", state="CONNECTED")} == SOCKETS
    assert session.lines_of("socket", state="DISCONNECTED") == []


def test_every_bar_is_the_datasets_candle_at_its_close(session: NodeSession) -> None:
    bars = [
        (bar["ts_event"], *(Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume")))
        for bar in session.lines_of("bar")
    ]
    assert bars == [
        (
            close_ns(candle),
            *(Decimal(price) / 100 for price in (candle.open, candle.high, candle.low, candle.close)),
            Decimal(candle.volume) / 1000,
        )
        for candle in session.candles
    ]
    assert all(bar["ts_event"] % (MINUTE_MS * 1_000_000) == 59_999_000_000 for bar in session.lines_of("bar"))


def test_klines_by_request_are_the_streamed_bars(session: NodeSession) -> None:
    assert [[row[6] * 1_000_000, *map(Decimal, row[1:6])] for row in session.klines] == [
        [bar["ts_event"], *(Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume"))]
        for bar in session.lines_of("bar")
    ]


def test_the_trades_of_a_minute_make_up_its_candle(session: NodeSession) -> None:
    trades = {int(trade["trade_id"]): trade for trade in session.lines_of("trade")}
    first, last = min(trades), MINUTES * TICKS
    assert [int(trade["trade_id"]) for trade in session.lines_of("trade")] == list(range(first, last + 1))
    complete_minutes = range(
        -(-(first - 1) // TICKS), MINUTES
    )  # the market already runs while the streams are subscribed to
    assert len(complete_minutes) > MINUTES / 2
    for number in complete_minutes:
        candle = session.candles[number]
        minute = [trades[number * TICKS + tick] for tick in range(1, TICKS + 1)]
        prices = [Decimal(trade["price"]) * 100 for trade in minute]
        true_prices = [Decimal(price) for price in (candle.open, candle.high, candle.low, candle.close)]
        assert [prices[0], max(prices), min(prices), prices[-1]] == true_prices
        assert sum(Decimal(trade["size"]) for trade in minute) * 1000 == candle.volume


def test_quotes_have_two_sides(session: NodeSession) -> None:
    quotes = session.lines_of("quote")
    assert len(quotes) > MINUTES * TICKS / 2
    assert all(Decimal(quote["bid"]) < Decimal(quote["ask"]) for quote in quotes)
    assert all(Decimal(quote["bid_size"]) > 0 and Decimal(quote["ask_size"]) > 0 for quote in quotes)


def test_the_order_book_built_from_changes_equals_the_venues(session: NodeSession) -> None:
    assert (session.book["bids"], session.book["asks"]) == (session.depth["bids"], session.depth["asks"])
    assert len(session.lines_of("deltas")) > MINUTES / 2


def test_a_market_order_is_accepted_then_filled(session: NodeSession) -> None:
    assert session.events_of("MARKET")[-2:] == ["OrderAccepted", "OrderFilled"]
    assert session.order("MARKET", "OrderFilled")["liquidity"] == "TAKER"


def test_a_limit_order_rests_and_can_be_amended_and_canceled(session: NodeSession) -> None:
    events = [event for event in session.events_of("LIMIT") if "Pending" not in event]
    assert events[-3:] == ["OrderAccepted", "OrderUpdated", "OrderCanceled"]
    updated = session.order("LIMIT", "OrderUpdated")
    assert (Decimal(updated["quantity"]), Decimal(updated["price"])) == (Decimal("0.012"), Decimal("41000.5"))
    ledger_order = session.ledger_order("LIMIT")
    assert (ledger_order["quantity"], ledger_order["price"], ledger_order["status"]) == (
        Decimal("0.012"),
        Decimal("41000.5"),
        "CANCELED",
    )


def test_a_resting_order_that_the_market_reaches_is_filled_as_maker(session: NodeSession) -> None:
    (fill, *_) = [line for line in session.lines_of("order", event="OrderFilled") if line["liquidity"] == "MAKER"]
    assert fill["client_order_id"].startswith("MAKER-")
    assert Decimal(fill["last_px"]) == session.ledger_order(fill["client_order_id"])["price"]


def test_a_marketable_post_only_order_is_rejected_as_post_only(session: NodeSession) -> None:
    assert session.order("POST-ONLY-TAKES", "OrderRejected")["due_post_only"] is True


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
def test_a_rejection_has_the_venues_code_and_no_ledger_entry(session: NodeSession, id: str, code: int) -> None:
    assert session.events_of(id)[-2:] == ["OrderSubmitted", "OrderRejected"]
    assert str(code) in session.order(id, "OrderRejected")["reason"]
    assert id not in {plain(order["client_order_id"]) for order in session.ledger.orders.values()}


def test_immediate_or_cancel_fills_the_displayed_size_and_expires(session: NodeSession) -> None:
    assert session.events_of("IOC-NOTHING")[-2:] == ["OrderAccepted", "OrderExpired"]
    fills = session.lines_of("order", client_order_id="IOC-PART", event="OrderFilled")
    price, displayed = map(Decimal, session.still_depth["bids"][0])
    assert {Decimal(fill["last_px"]) for fill in fills} == {price}
    assert sum(Decimal(fill["last_qty"]) for fill in fills) == session.ledger_order("IOC-PART")["filled"] == displayed
    assert session.depth["bids"][0][0] != session.still_depth["bids"][0][0]


def test_fill_or_kill_is_filled_at_once(session: NodeSession) -> None:
    assert session.events_of("FOK")[-2:] == ["OrderAccepted", "OrderFilled"]


def test_a_reduce_only_order_closes_at_most_the_position(session: NodeSession) -> None:
    assert session.ledger_order("REDUCE")["filled"] == Decimal("0.010")
    order_id = session.ledger_order("CLOSE")["order_id"]
    *_, last = (event for event in session.events if event.kind == "filled" and event.order_id == order_id)
    assert last.position == 0
    assert 0 < session.ledger_order("CLOSE")["filled"] < 90


def test_the_nodes_fills_equal_the_ledgers(session: NodeSession) -> None:
    ledger = session.ledger
    node_fills = {
        int(line["trade_id"]): (
            int(line["venue_order_id"]),
            Decimal(line["last_px"]),
            Decimal(line["last_qty"]),
            Decimal(line["fee"]),
            line["liquidity"] == "MAKER",
        )
        for line in session.lines_of("order", event="OrderFilled")
    }
    assert node_fills == {
        number: (trade.order_id, trade.price, trade.quantity, trade.fee, trade.maker)
        for number, trade in ledger.trades.items()
    }
    assert len(session.lines_of("order", event="OrderFilled")) == len(ledger.trades)


def test_open_orders_position_and_balance_of_the_node_equal_the_ledgers(session: NodeSession) -> None:
    assert differences(session.final_state, session.ledger) == []
    assert "RESTS" in session.final_state["open"]
    assert session.ledger.position < 0


def test_the_ledger_of_the_session_is_proven(session: NodeSession) -> None:
    assert session.audit.findings == ()
    assert session.audit.trades == len(session.ledger.trades)


@pytest.fixture(scope="module")
def served(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    with VenueProcess(sample_home, tmp_path_factory.mktemp("served"), speed=120, start="now") as venue:
        yield venue


def test_orders_use_the_trading_socket_and_http_while_it_is_down(served: VenueProcess, tmp_path: Path) -> None:
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
            bytes_before = trading.received_bytes
            trade_once(node, "OVER-SOCKET")
            assert trading.received_bytes > bytes_before
            assert order_requests(rest) == []

            trading.cut()
            node.wait("socket", endpoint=TRADING, state="DISCONNECTED")
            trade_once(node, "BY-HTTP")
            assert order_requests(rest) == ["POST", "PUT", "DELETE"]

            line_count = len(node.lines)
            trading.restore()
            node.wait("socket", endpoint=TRADING, state="CONNECTED", after=line_count)
            trade_once(node, "OVER-SOCKET-AGAIN")
            assert order_requests(rest) == ["POST", "PUT", "DELETE"]
            node.stop()


def test_orders_use_http_when_the_trading_socket_is_not_configured(served: VenueProcess, tmp_path: Path) -> None:
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
    """Place, amend and cancel one order."""
    node.place(id, "BUY", "0.010", kind="limit", off=0.97)
    wait_order(node, id, "OrderAccepted")
    node.do("modify", id=id, quantity="0.011", price="40900.0")
    wait_order(node, id, "OrderUpdated")
    node.do("cancel", id=id)
    wait_order(node, id, "OrderCanceled")


def order_requests(rest: Forwarder) -> list[str]:
    return [request.split()[0] for request in rest.requests if request.endswith("/fapi/v1/order")]
