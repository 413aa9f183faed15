"""Third-party client libraries use the venue as they use Binance: ccxt, and Binance's own SDK.

Their results are compared with the dataset, with the ledger, and with other answers of the venue. Values that the
libraries would round or refuse themselves are sent unchanged, so that the venue refuses them.
"""

import asyncio
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
import pytest
from binance_common import errors as binance_errors

from opslab.model.messages.ledger_events import Accepted, Canceled, Filled
from opslab.model.messages.venue_messages import VenueLimits
from opslab.settings import child_environment
from tests.drivers.public_clients import (
    BINANCE,
    CCXT,
    TIMEOUT_SECONDS,
    PausingVenue,
    binance_of,
    ccxt_of,
    minutes,
    results_while_moving,
    wait_until_async,
)
from tests.drivers.tc import wait_until
from tests.drivers.venue_client import SteppedVenue

BTC = "BTC/USDT:USDT"
ID = "BTCUSDT"
PLAYED = 6
"""Minutes replayed before the tests."""
LIMITS = VenueLimits(weight_per_minute=20, orders_per_10_seconds=3, orders_per_minute=1000)
FAR = 41000.0
"""A price at which no trade happens in these minutes."""
PAGE = Path(__file__).parents[2] / "docs" / "venue.md"

pytestmark = pytest.mark.filterwarnings("ignore:parameter 'timeout':DeprecationWarning:binance_common")

type Json = Any


@pytest.fixture(scope="module", autouse=True)
def no_proxies() -> Iterator[None]:
    """`requests` obeys proxy variables, for 127.0.0.1 too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture(scope="module")
def venue(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PausingVenue]:
    with PausingVenue(sample_home, tmp_path_factory.mktemp("venue"), ticks=30, start="any") as venue:
        with venue.client() as client:
            client.stream("btcusdt@kline_1m")
            venue.play(PLAYED)
            venue.wait_played()
        yield venue


@pytest.fixture(autouse=True)
def flat(venue: PausingVenue) -> None:
    """Each test starts without orders and position, and with a still market."""
    venue.wait_played()
    with venue.client() as client:
        client.flatten()


@pytest.fixture
def exchange(venue: PausingVenue) -> Any:
    exchange = ccxt_of(venue.endpoints, ccxt.binanceusdm)
    exchange.load_markets()
    return exchange


@pytest.fixture
def rest(venue: PausingVenue) -> Any:
    return binance_of(venue.endpoints).rest_api


def fills(venue: PausingVenue, order_id: int) -> list[Filled]:
    return [event for event in venue.events() if isinstance(event, Filled) and event.order_id == order_id]


def last[Event](venue: PausingVenue, kind: type[Event]) -> Event:
    return [event for event in venue.events() if isinstance(event, kind)][-1]


def repeat(request: Callable[[], object], times: int) -> None:
    for _ in range(times):
        request()


# ccxt: the market.


def test_ccxt_loads_the_market(exchange: Any) -> None:
    assert list(exchange.markets) == [BTC]
    market = exchange.market(BTC)
    assert (market["id"], market["type"], market["linear"], market["active"]) == (ID, "swap", True, True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert market["limits"]["cost"]["min"] == 100.0


def test_ccxt_reads_the_candles_of_the_dataset(venue: PausingVenue, exchange: Any) -> None:
    rows = exchange.fetch_ohlcv(BTC, "1m", limit=1000)
    assert rows == venue.released()
    selected = exchange.fetch_ohlcv(BTC, "1m", since=rows[2][0], limit=2)
    assert selected == rows[2:4]
    for method in (exchange.fetch_mark_ohlcv, exchange.fetch_index_ohlcv):
        assert [row[:5] for row in method(BTC, "1m", limit=1000)] == [row[:5] for row in rows]


def test_ccxt_reads_the_book_and_the_tickers_around_it(exchange: Any) -> None:
    book = exchange.fetch_order_book(BTC, limit=20)
    assert (len(book["bids"]), len(book["asks"])) == (20, 20)
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["asks"] == sorted(book["asks"])
    (bid, bid_size), (ask, ask_size) = book["bids"][0], book["asks"][0]
    assert round(ask - bid, 1) == 0.1
    best = exchange.fetch_bids_asks([BTC])[BTC]
    assert (best["bid"], best["bidVolume"], best["ask"], best["askVolume"]) == (bid, bid_size, ask, ask_size)
    ticker, mark = exchange.fetch_ticker(BTC), exchange.fetch_mark_price(BTC)
    closes = exchange.fetch_ohlcv(BTC, "1m", limit=1000)[-1][4]
    assert ticker["last"] == mark["markPrice"] == closes
    assert bid - 0.1 <= closes <= ask + 0.1


def test_ccxt_reads_trades_that_make_up_the_candles(exchange: Any) -> None:
    rows, trades = exchange.fetch_ohlcv(BTC, "1m", limit=1000), exchange.fetch_trades(BTC, limit=1000)
    assert trades[0]["id"] == "1"
    assert len(trades) < 1000
    prices = [trade["price"] for trade in trades]
    assert (max(prices), min(prices)) == (max(row[2] for row in rows), min(row[3] for row in rows))
    assert round(sum(trade["amount"] for trade in trades), 3) == round(sum(row[5] for row in rows), 3)


# ccxt: orders.


def test_ccxt_places_queries_amends_and_cancels_an_order(venue: PausingVenue, exchange: Any) -> None:
    placed = exchange.create_order(BTC, "limit", "buy", 0.01, FAR)
    accepted = last(venue, Accepted)
    assert (placed["id"], placed["clientOrderId"]) == (str(accepted.order_id), accepted.client_order_id)
    assert (accepted.side, accepted.price, accepted.quantity) == ("BUY", Decimal("41000.0"), Decimal("0.010"))
    queried = exchange.fetch_order(placed["id"], BTC)
    assert (queried["status"], queried["price"], queried["amount"], queried["filled"]) == ("open", FAR, 0.01, 0.0)
    assert [order["id"] for order in exchange.fetch_open_orders(BTC)] == [placed["id"]]
    assert exchange.fetch_open_order(placed["id"], BTC)["id"] == placed["id"]
    changed = exchange.edit_order(placed["id"], BTC, "limit", "buy", 0.02, FAR + 0.5)
    assert (changed["id"], changed["price"], changed["amount"]) == (placed["id"], FAR + 0.5, 0.02)
    assert exchange.cancel_order(placed["id"], BTC)["status"] == "canceled"
    assert last(venue, Canceled).order_id == accepted.order_id
    assert exchange.fetch_open_orders(BTC) == []
    assert exchange.fetch_canceled_orders(BTC)[-1]["id"] == placed["id"]


def test_ccxt_places_amends_and_cancels_orders_in_batches(exchange: Any) -> None:
    orders = [
        {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": FAR - number} for number in range(3)
    ]
    placed = exchange.create_orders(orders)
    numbers = [order["id"] for order in placed]
    changes = [{**order, "id": number, "amount": 0.02} for order, number in zip(orders, numbers, strict=True)]
    changed = exchange.edit_orders(changes)
    assert [(order["id"], order["amount"]) for order in changed] == [(number, 0.02) for number in numbers]
    canceled = exchange.cancel_orders(numbers[:2], BTC)
    assert [(order["id"], order["status"]) for order in canceled] == [(number, "canceled") for number in numbers[:2]]
    by_name = exchange.cancel_orders([], BTC, {"clientOrderIds": [placed[2]["clientOrderId"]]})
    assert [order["id"] for order in by_name] == numbers[2:]
    exchange.create_orders(orders)
    exchange.cancel_all_orders(BTC)
    assert exchange.fetch_open_orders(BTC) == []


def test_ccxt_trades_and_reads_the_account(venue: PausingVenue, exchange: Any) -> None:
    before = exchange.fetch_balance()["USDT"]["total"]
    ask = exchange.fetch_order_book(BTC, limit=5)["asks"][0][0]
    bought = exchange.create_order(BTC, "market", "buy", 0.01)
    [fill] = fills(venue, int(bought["id"]))
    assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 0.01, float(fill.price))
    assert fill.price == Decimal(str(ask))
    [position] = exchange.fetch_positions()
    assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.01, ask)
    assert position["leverage"] is None or position["leverage"] == 10
    sold = exchange.create_order(BTC, "market", "sell", 0.01, params={"reduceOnly": True})
    [closing] = fills(venue, int(sold["id"]))
    assert exchange.fetch_positions() == []
    after = exchange.fetch_balance()["USDT"]
    assert after["total"] == after["free"] == float(closing.wallet)
    assert Decimal(str(after["total"])) - Decimal(str(before)) == closing.realized - fill.fee - closing.fee
    trades = exchange.fetch_my_trades(BTC)[-2:]
    assert [int(trade["id"]) for trade in trades] == [fill.trade_id, closing.trade_id]
    assert [trade["fee"]["cost"] for trade in trades] == [float(fill.fee), float(closing.fee)]
    assert [trade["takerOrMaker"] for trade in trades] == ["taker", "taker"]


def test_ccxt_reads_the_fees_and_profits_of_trades_from_the_income_history(venue: PausingVenue, exchange: Any) -> None:
    opened = exchange.create_order(BTC, "market", "buy", 0.01)
    closed = exchange.create_order(BTC, "market", "sell", 0.01)
    trade_fills = [fill for order in (opened, closed) for fill in fills(venue, int(order["id"]))]
    expected = [
        (str(fill.trade_id), kind, abs(float(amount)), "in" if amount > 0 else "out")
        for fill in trade_fills
        for kind, amount in (("commission", -fill.fee), ("trade", fill.realized))
        if amount
    ]
    rows = exchange.fetch_ledger("USDT", limit=len(expected))
    assert [(row["id"], row["type"], row["amount"], row["direction"]) for row in rows] == expected
    paid = exchange.fapiPrivateGetIncome({"incomeType": "COMMISSION", "limit": 1})
    assert [Decimal(row["income"]) for row in paid] == [-trade_fills[-1].fee]
    assert exchange.fetch_funding_history(BTC) == []


def test_ccxt_reads_and_changes_settings(exchange: Any) -> None:
    assert exchange.fetch_position_mode(BTC)["hedged"] is False
    assert exchange.fetch_margin_mode(BTC)["marginMode"] == "cross"
    fee = exchange.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
    for leverage in (20, 10):
        exchange.set_leverage(leverage, BTC)
        assert exchange.fetch_leverage(BTC)["longLeverage"] == leverage
    assert exchange.set_margin_mode("cross", BTC)["code"] == -4046  # ccxt returns this error as an answer


NOT_SERVED = {
    "/fapi/v1/adlQuantile", "/fapi/v1/openInterest", "/fapi/v1/premiumIndexKlines", "/fapi/v1/symbolAdlRisk",
}  # fmt: skip
"""Endpoints that ccxt reads on Binance's USD-M futures and that the venue does not serve."""
ARGUMENTS = {"symbol": BTC, "symbols": [BTC], "id": "1", "code": "USDT"}


def test_ccxt_reads_every_endpoint_that_the_venue_serves(exchange: Any) -> None:
    refused, answered = set(), 0
    methods = {name.replace("_", ""): getattr(exchange, name) for name in dir(exchange) if name.startswith("fetch_")}
    claimed = [name.lower() for name, has in exchange.has.items() if has and name.startswith("fetch")]
    for method in (methods[name] for name in claimed if not name.endswith("ws")):
        params = inspect.signature(method).parameters.values()
        required = [param.name for param in params if param.default is inspect.Parameter.empty]
        arguments = {name: ARGUMENTS.get(name) for name in required}
        arguments |= {param.name: ARGUMENTS[param.name] for param in params if param.name in ("symbol", "symbols")}
        try:
            method(**arguments)
            answered += 1
        except ccxt.BaseError as error:
            refused |= set(re.findall(r"Path (/fapi/\S+),", str(error)))
    assert refused == NOT_SERVED
    assert answered > 40


# ccxt: errors, as its own classes and with the venue's code.


def code_of(error: ccxt.BaseError) -> int:
    match = re.search(r'"code":\s*(-?\d+)', str(error))
    assert match, error
    return int(match[1])


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        ({"price": "41000.05"}, ccxt.BadRequest, -4014),
        ({"quantity": "0.0105"}, ccxt.BadRequest, -1111),
        ({"quantity": "0.000"}, ccxt.ExchangeError, -4003),
        ({"quantity": "1000.001"}, ccxt.ExchangeError, -4005),
        ({"quantity": "0.001"}, ccxt.InvalidOrder, -4164),
        ({"quantity": "900"}, ccxt.InsufficientFunds, -2019),
        ({"symbol": "ETHUSDT"}, ccxt.BadSymbol, -1121),
        ({"timeInForce": "GTX", "price": "43000"}, ccxt.InvalidOrder, -5022),
        ({"type": "STOP", "stopPrice": "43000"}, ccxt.ExchangeError, -4120),
    ],
)  # fmt: skip
def test_ccxt_gets_the_error_of_a_refused_order(
    exchange: Any, changes: dict[str, str], kind: type[ccxt.BaseError], code: int
) -> None:
    order = {"symbol": ID, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": "41000"}
    with pytest.raises(kind) as refused:
        exchange.fapiPrivatePostOrder(order | changes)
    assert code_of(refused.value) == code
    assert exchange.fetch_open_orders(BTC) == []


def test_ccxt_gets_the_error_of_an_unknown_order(exchange: Any) -> None:
    for request, code in ((exchange.cancel_order, -2011), (exchange.fetch_order, -2013)):
        with pytest.raises(ccxt.OrderNotFound) as refused:
            request("999999999", BTC)
        assert code_of(refused.value) == code


def test_ccxt_gets_the_error_of_a_wrong_secret_and_a_wrong_key(exchange: Any) -> None:
    exchange.secret = "another"
    with pytest.raises(ccxt.AuthenticationError) as refused:
        exchange.create_order(BTC, "limit", "buy", 0.01, FAR)
    assert code_of(refused.value) == -1022
    exchange.apiKey = "x" * 64
    with pytest.raises(ccxt.AuthenticationError) as refused:
        exchange.fetch_balance()
    assert code_of(refused.value) == -2015


@pytest.mark.parametrize("offset_ms", [60_000, -60_000])
def test_ccxt_gets_the_error_of_a_wrong_timestamp(exchange: Any, offset_ms: int) -> None:
    exchange.options["timeDifference"] = offset_ms
    with pytest.raises(ccxt.InvalidNonce) as refused:
        exchange.fetch_balance()
    assert code_of(refused.value) == -1021
    exchange.load_time_difference()
    assert exchange.fetch_balance()["USDT"]["total"] > 0


def test_ccxt_gets_429_then_418(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, limits=LIMITS) as venue:
        exchange = ccxt_of(venue.endpoints, ccxt.binanceusdm)
        with pytest.raises(ccxt.DDoSProtection, match="429") as refused:
            repeat(exchange.fetch_time, 2 * LIMITS.weight_per_minute + 1)  # the venue's minute can end meanwhile
        assert code_of(refused.value) == -1003
        assert 1 <= int(exchange.last_response_headers["Retry-After"]) <= 60
        statuses: list[str] = []
        while "418" not in statuses:
            assert len(statuses) < 3 * LIMITS.weight_per_minute
            try:
                exchange.fetch_time()
            except ccxt.DDoSProtection as error:
                statuses.append(str(error).split()[1])
        assert statuses.count("429") >= 19
        assert 110 <= int(exchange.last_response_headers["Retry-After"]) <= 120
        with pytest.raises(ccxt.DDoSProtection, match="418"):
            exchange.fetch_balance()


def test_ccxt_gets_the_error_of_too_many_orders(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, limits=LIMITS.model_copy(update={"weight_per_minute": 10**6})) as venue:
        exchange = ccxt_of(venue.endpoints, ccxt.binanceusdm)
        exchange.load_markets()
        order = (BTC, "limit", "buy", 0.01, FAR)
        with pytest.raises(ccxt.DDoSProtection, match="429") as refused:
            repeat(lambda: exchange.create_order(*order), 2 * LIMITS.orders_per_10_seconds + 1)
        assert code_of(refused.value) == -1015
        assert 1 <= int(exchange.last_response_headers["Retry-After"]) <= 10


# ccxt.pro: streams.


def streaming(venue: PausingVenue, scenario: Any) -> None:
    async def run() -> None:
        exchange = ccxt_of(venue.endpoints, ccxt.pro.binanceusdm)
        try:
            await exchange.load_markets()
            await scenario(exchange)
        finally:
            await exchange.close()

    asyncio.run(run())


def test_ccxt_streams_the_candles_of_the_dataset(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        await results_while_moving(minutes(venue), [exchange.watch_ohlcv(BTC, "1m")])
        venue.play(3)
        rows, candles = exchange.ohlcvs[BTC]["1m"], venue.released()
        await wait_until_async(lambda: rows[-1] == candles[-1], "the last candle")
        assert len(rows) >= 3
        assert list(rows) == candles[-len(rows) :]

    streaming(venue, scenario)


def test_ccxt_streams_the_same_trades_as_it_reads(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        streams = [{"name": "trade"}, {"name": "aggTrade"}]
        await results_while_moving(minutes(venue), [exchange.watch_trades(BTC, params=stream) for stream in streams])
        streamed = {trade["id"]: (trade["price"], trade["amount"], trade["side"]) for trade in exchange.trades[BTC]}
        read = {
            trade["id"]: (trade["price"], trade["amount"], trade["side"])
            for trade in await exchange.fetch_trades(BTC, limit=1000)
        }
        assert streamed
        assert streamed == {number: read[number] for number in streamed}

    streaming(venue, scenario)


def test_ccxt_maintains_a_book_from_its_changes(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        [first] = await results_while_moving(minutes(venue), [exchange.watch_order_book(BTC)])
        assert first["bids"][0][0] < first["asks"][0][0]
        venue.play(3)
        venue.wait_played()
        maintained = exchange.orderbooks[BTC]
        read = await exchange.fetch_order_book(BTC, limit=100)
        await wait_until_async(lambda: maintained["nonce"] == read["nonce"], "the last change")
        for side in ("bids", "asks"):
            assert [list(level) for level in maintained[side][:100]] == [list(level) for level in read[side]]

    streaming(venue, scenario)


def test_ccxt_streams_tickers(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        ticker, best, mark = await results_while_moving(
            minutes(venue),
            [exchange.watch_ticker(BTC), exchange.watch_bids_asks([BTC]), exchange.watch_mark_price(BTC)],
        )
        assert ticker["symbol"] == mark["symbol"] == BTC
        assert round(best[BTC]["ask"] - best[BTC]["bid"], 1) == 0.1
        assert ticker["high"] in [row[2] for row in venue.released()]

    streaming(venue, scenario)


def test_ccxt_streams_orders_trades_balance_and_position(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        sides = cycle(["buy", "sell"])

        async def trade() -> None:
            await exchange.create_order(BTC, "market", next(sides), 0.01)

        before = venue.connection_count("user stream")
        watched = [
            asyncio.ensure_future(awaitable)
            for awaitable in (
                exchange.watch_orders(BTC),
                exchange.watch_my_trades(BTC),
                exchange.watch_balance(),
                exchange.watch_positions([BTC]),
            )
        ]
        await wait_until_async(lambda: venue.connection_count("user stream") > before, "a user stream")
        await results_while_moving(trade, watched)
        if await exchange.fetch_positions():
            await trade()
        placed = await exchange.create_order(BTC, "limit", "sell", 0.02, FAR)  # marketable: opens a position
        [fill] = fills(venue, int(placed["id"]))
        [position] = await exchange.fetch_positions()
        assert (position["side"], position["contracts"]) == ("short", 0.02)
        equity = float(fill.wallet) + position["unrealizedPnl"]
        assert (await exchange.fetch_balance())["USDT"]["total"] == round(equity, 8)

        def all_received() -> bool:
            orders = [order["status"] for order in exchange.orders if order["id"] == placed["id"]]
            trades = [trade["id"] for trade in exchange.myTrades]
            [positions] = exchange.positions.values()
            return orders == ["closed"] and str(fill.trade_id) in trades and positions[-1]["contracts"] == 0.02

        await wait_until_async(all_received, "the last order, trade and position")
        [kind] = exchange.positions
        last_position, wallet = exchange.positions[kind][-1], exchange.balance[kind]["USDT"]["total"]
        assert (last_position["side"], last_position["entryPrice"]) == ("short", position["entryPrice"])
        assert wallet == float(fill.wallet)
        own_trade = next(trade for trade in exchange.myTrades if trade["id"] == str(fill.trade_id))
        fields = (own_trade[name] for name in ("order", "price", "amount", "side"))
        assert (*fields, own_trade["fee"]["cost"]) == (placed["id"], float(fill.price), 0.02, "sell", float(fill.fee))
        order = next(order for order in exchange.orders if order["id"] == placed["id"])
        assert (order["status"], order["filled"], order["average"]) == ("closed", 0.02, float(fill.price))

    streaming(venue, scenario)


def test_ccxt_trades_over_the_trading_socket(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        placed = await exchange.create_order_ws(BTC, "limit", "buy", 0.01, FAR)
        assert last(venue, Accepted).order_id == int(placed["id"])
        changed = await exchange.edit_order_ws(placed["id"], BTC, "limit", "buy", 0.02, FAR + 0.5)
        assert (changed["price"], changed["amount"]) == (FAR + 0.5, 0.02)
        assert (await exchange.fetch_order_ws(placed["id"], BTC))["status"] == "open"
        assert (await exchange.cancel_order_ws(placed["id"], BTC))["status"] == "canceled"
        taken = await exchange.create_order_ws(BTC, "market", "buy", 0.01)
        [fill] = fills(venue, int(taken["id"]))
        assert (taken["filled"], taken["average"]) == (0.01, float(fill.price))
        [position] = await exchange.fetch_positions_ws([BTC])
        assert (position["side"], position["contracts"]) == ("long", 0.01)
        equity = float(fill.wallet) + position["unrealizedPnl"]
        assert (await exchange.fetch_balance_ws())["USDT"]["total"] == round(equity, 8)
        book, read = await exchange.fetch_order_book_ws(BTC, 20), await exchange.fetch_order_book(BTC, 20)
        assert (book["bids"], book["asks"]) == (read["bids"], read["asks"])

    streaming(venue, scenario)


def test_ccxt_gets_the_venues_errors_over_the_trading_socket(venue: PausingVenue) -> None:
    async def scenario(exchange: Any) -> None:
        for changes, kind, code in (
            ({"price": "41000.05"}, ccxt.BadRequest, -4014),
            ({"quantity": "0.001"}, ccxt.InvalidOrder, -4164),
            ({"quantity": "900"}, ccxt.InsufficientFunds, -2019),
        ):
            with pytest.raises(kind) as refused:
                await exchange.create_order_ws(BTC, "limit", "buy", 0.01, FAR, changes)
            assert code_of(refused.value) == code
        with pytest.raises(ccxt.OrderNotFound) as refused:
            await exchange.cancel_order_ws("999999999", BTC)
        assert code_of(refused.value) == -2011
        exchange.secret = "another"
        with pytest.raises(ccxt.AuthenticationError) as refused:
            await exchange.create_order_ws(BTC, "limit", "buy", 0.01, FAR)
        assert code_of(refused.value) == -1022
        assert [event for event in venue.events() if isinstance(event, Accepted)][-1:] == before

    before = [event for event in venue.events() if isinstance(event, Accepted)][-1:]
    streaming(venue, scenario)


# Binance's own SDK.


@pytest.fixture(autouse=True)
def no_model_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK's models are strict; it logs a warning where an answer differs from Binance's declaration."""
    yield
    assert [
        record.getMessage() for record in caplog.records if "declared" in record.message or "parse" in record.message
    ] == []


def test_the_sdk_reads_the_market(venue: PausingVenue, rest: Any) -> None:
    assert [symbol.symbol for symbol in rest.exchange_information().data().symbols] == [ID]
    candles = venue.released()
    rows = rest.kline_candlestick_data(symbol=ID, interval="1m", limit=1000).data()
    assert [[row[0], *(float(text) for text in row[1:6])] for row in rows] == candles
    continuous = rest.continuous_contract_kline_candlestick_data(
        pair=ID, contract_type="PERPETUAL", interval="1m", limit=1000
    ).data()
    assert continuous == rows
    marks = rest.mark_price_kline_candlestick_data(symbol=ID, interval="1m", limit=1000).data()
    assert [[float(text) for text in row[1:5]] for row in marks] == [row[1:5] for row in candles]
    book, best = rest.order_book(symbol=ID, limit=5).data(), rest.symbol_order_book_ticker(symbol=ID).data()
    assert (book.bids[0], book.asks[0]) == (
        [best.actual_instance.bid_price, best.actual_instance.bid_qty],
        [best.actual_instance.ask_price, best.actual_instance.ask_qty],
    )
    assert float(rest.symbol_price_ticker_v2(symbol=ID).data().actual_instance.price) == candles[-1][4]
    trades = rest.recent_trades_list(symbol=ID, limit=1000).data()
    assert sum(Decimal(trade.qty) for trade in trades) == sum(Decimal(row[5]) for row in rows)


def test_the_sdk_trades_and_reads_the_account(venue: PausingVenue, rest: Any) -> None:
    placed = rest.new_order(symbol=ID, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=FAR).data()
    accepted = last(venue, Accepted)
    assert (placed.order_id, placed.client_order_id) == (accepted.order_id, accepted.client_order_id)
    assert rest.query_order(symbol=ID, order_id=placed.order_id).data().status == "NEW"
    changed = rest.modify_order(symbol=ID, side="BUY", quantity=0.02, price=FAR, order_id=placed.order_id).data()
    assert (changed.order_id, changed.orig_qty) == (placed.order_id, "0.020")
    [amended] = rest.modify_multiple_orders(
        batch_orders=[{"symbol": ID, "side": "BUY", "quantity": "0.03", "price": "41000", "orderId": placed.order_id}]
    ).data()
    assert amended.orig_qty == "0.030"
    assert rest.cancel_order(symbol=ID, order_id=placed.order_id).data().status == "CANCELED"
    assert last(venue, Canceled).order_id == placed.order_id

    taken = rest.new_order(symbol=ID, side="SELL", type="MARKET", quantity=0.01).data()
    [fill] = fills(venue, taken.order_id)
    [trade] = rest.account_trade_list(symbol=ID, order_id=taken.order_id).data()
    assert (trade.id, Decimal(trade.price), Decimal(trade.commission)) == (fill.trade_id, fill.price, fill.fee)
    [position] = rest.position_information_v3(symbol=ID).data()
    assert (position.position_amt, Decimal(position.entry_price)) == ("-0.010", fill.price)
    [balance] = rest.futures_account_balance_v3().data()
    assert Decimal(balance.balance) == fill.wallet
    [paid] = rest.get_income_history(limit=1).data()
    assert (paid.income_type, Decimal(paid.income), paid.trade_id) == ("COMMISSION", -fill.fee, str(fill.trade_id))
    assert Decimal(rest.account_information_v3().data().total_wallet_balance) == fill.wallet


def test_the_sdk_cancels_with_a_countdown(venue: PausingVenue, rest: Any) -> None:
    order = {"symbol": ID, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.01, "price": FAR}
    placed = rest.new_order(**order).data()
    rest.auto_cancel_all_open_orders(symbol=ID, countdown_time=60_000)
    countdown = rest.auto_cancel_all_open_orders(symbol=ID, countdown_time=100).data()
    assert (countdown.symbol, countdown.countdown_time) == (ID, "100")
    wait_until(lambda: rest.current_all_open_orders().data() == [], "the countdown's end", TIMEOUT_SECONDS)
    assert last(venue, Canceled).order_id == placed.order_id


NOT_SERVED_FOR_SDK = {
    "accept_the_offered_quote", "adl_risk", "asset_index", "basis", "classic_portfolio_margin_account_information",
    "composite_index_symbol_information", "futures_tradfi_perps_contract", "get_download_id_for_futures_order_history",
    "get_download_id_for_futures_trade_history", "get_download_id_for_futures_transaction_history",
    "get_futures_order_history_download_link_by_id", "get_futures_trade_download_link_by_id",
    "get_futures_transaction_history_download_link_by_id", "get_order_modify_history", "list_all_convert_pairs",
    "long_short_ratio", "open_interest", "open_interest_statistics", "order_status",
    "position_adl_quantile_estimation", "premium_index_kline_data", "quarterly_contract_settlement_price",
    "query_index_price_constituents", "query_insurance_fund_balance_snapshot", "rpi_order_book", "send_quote_request",
    "taker_buy_sell_volume", "test_order", "toggle_bnb_burn_on_futures_trade", "top_trader_long_short_ratio_accounts",
    "top_trader_long_short_ratio_positions", "trading_schedule",
}  # fmt: skip
"""Methods of the SDK that the venue does not serve."""
REFUSED = {
    "cancel_algo_order": -2011, "cancel_order": -2011, "change_margin_type": -4046, "change_multi_assets_mode": -4171,
    "change_position_mode": -4059, "modify_isolated_position_margin": -4054, "modify_order": -2013,
    "new_algo_order": -1116, "query_algo_order": -2013, "query_current_open_order": -2013, "query_order": -2013,
}  # fmt: skip
"""Methods that are refused with these arguments: unknown orders, and settings without an alternative."""
SDK_ARGUMENTS = {
    "symbol": ID, "pair": ID, "interval": "1m", "contract_type": "PERPETUAL", "order_id": 999_999_999, "algo_id": 1,
    "order_id_list": [999_999_999], "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.01,
    "price": FAR, "leverage": 10, "margin_type": "CROSSED", "dual_side_position": "false", "amount": 1.0,
    "multi_assets_margin": "false", "fee_burn": "false", "start_time": 0, "end_time": 1, "download_id": "1",
    "quote_id": "1", "period": "5m", "countdown_time": 0, "from_asset": "USDT", "to_asset": "BTC", "asset": "USDT",
    "algo_type": "CONDITIONAL", "trigger_price": 43000.0,
    "batch_orders": [{"symbol": ID, "side": "BUY", "type": "MARKET", "quantity": "0.001"}],
}  # fmt: skip
REQUIRED = {
    "all_orders": ("symbol",), "cancel_algo_order": ("algo_id",), "cancel_multiple_orders": ("order_id_list",),
    "cancel_order": ("order_id",), "modify_order": ("order_id",), "new_order": ("time_in_force", "quantity", "price"),
    "query_algo_order": ("algo_id",), "query_current_open_order": ("order_id",), "query_order": ("order_id",),
}  # fmt: skip
"""Parameters that the venue requires and the SDK does not."""


def test_every_method_of_the_sdk_is_answered_as_declared_or_refused(rest: Any) -> None:
    refused: dict[str, int | None] = {}
    methods = [
        (name, method)
        for name, method in inspect.getmembers(rest, inspect.ismethod)
        if name not in ("send_request", "send_signed_request", "close_user_data_stream") and not name.startswith("_")
    ]
    assert len(methods) > 90
    rest.start_user_data_stream()
    for name, method in methods:
        params = inspect.signature(method).parameters.values()
        required = {param.name for param in params if param.default is inspect.Parameter.empty}
        arguments = {param: SDK_ARGUMENTS[param] for param in required | {*REQUIRED.get(name, ())}}
        if name == "modify_isolated_position_margin":
            arguments["type"] = "1"
        try:
            method(**arguments).data()
        except (binance_errors.NotFoundError, binance_errors.BadRequestError) as error:
            refused[name] = error.status_code
    assert refused == {**dict.fromkeys(NOT_SERVED_FOR_SDK, -5000), **REFUSED}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": FAR + 0.05}, -4014),
        ({"quantity": 0.0105}, -1111),
        ({"quantity": 0.0}, -4003),
        ({"quantity": 0.001}, -4164),
        ({"quantity": 900.0}, -2019),
        ({"symbol": "ETHUSDT"}, -1121),
        ({"time_in_force": "GTX", "price": 43000.0}, -5022),
    ],
)
def test_the_sdk_gets_the_error_of_a_refused_order(rest: Any, changes: dict[str, Any], code: int) -> None:
    order = {"symbol": ID, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.01, "price": FAR}
    with pytest.raises(binance_errors.BadRequestError) as refused:
        rest.new_order(**order | changes)
    assert refused.value.status_code == code
    assert rest.current_all_open_orders().data() == []


def test_the_sdk_gets_the_error_of_a_wrong_secret_and_a_wrong_key(venue: PausingVenue) -> None:
    endpoints = venue.endpoints.model_copy(update={"api_secret": "another"})
    with pytest.raises(binance_errors.BadRequestError) as refused:
        binance_of(endpoints).rest_api.futures_account_balance_v3()
    assert refused.value.status_code == -1022
    endpoints = venue.endpoints.model_copy(update={"api_key": "x" * 64})
    with pytest.raises(binance_errors.UnauthorizedError) as refused_key:
        binance_of(endpoints).rest_api.futures_account_balance_v3()
    assert refused_key.value.status_code == -2015


def test_the_sdk_gets_429_then_418(sample_home: Path, tmp_path: Path) -> None:
    with SteppedVenue(sample_home, tmp_path, limits=LIMITS) as venue:
        rest = binance_of(venue.endpoints).rest_api
        with pytest.raises(binance_errors.TooManyRequestsError) as limited:
            repeat(rest.check_server_time, 2 * LIMITS.weight_per_minute + 1)
        wait_seconds = limited.value.retry_after
        assert wait_seconds is not None
        assert (limited.value.status_code, 1 <= wait_seconds <= 60) == (-1003, True)
        request_count = 0
        while True:
            request_count += 1
            assert request_count < 3 * LIMITS.weight_per_minute
            try:
                rest.check_server_time()
            except binance_errors.TooManyRequestsError:
                continue
            except binance_errors.RateLimitBanError as banned:
                wait_seconds = banned.retry_after
                assert wait_seconds is not None
                assert (banned.status_code, 110 <= wait_seconds <= 120) == (-1003, True)
                break


def test_the_sdk_trades_over_the_trading_socket(venue: PausingVenue) -> None:
    async def scenario() -> None:
        socket = binance_of(venue.endpoints).websocket_api
        await socket.create_connection()
        try:
            order = {"symbol": ID, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.01}
            placed = (await socket.new_order(**order, price=FAR)).data().result
            assert placed.order_id == last(venue, Accepted).order_id
            queried = (await socket.query_order(symbol=ID, order_id=placed.order_id)).data().result
            assert (queried.status, queried.price) == ("NEW", "41000.00")
            canceled = (await socket.cancel_order(symbol=ID, order_id=placed.order_id)).data().result
            assert canceled.status == "CANCELED"
            taken = (await socket.new_order(symbol=ID, side="BUY", type="MARKET", quantity=0.01)).data().result
            [fill] = fills(venue, taken.order_id)
            [position] = (await socket.position_information_v2()).data().result
            assert (position.position_amt, Decimal(position.entry_price)) == ("0.010", fill.price)
            [balance] = (await socket.futures_account_balance_v2()).data().result
            assert Decimal(balance.balance) == fill.wallet
            book = (await socket.order_book(symbol=ID, limit=5)).data().result
            assert book.additional_properties["bids"][0][0] == (
                (await socket.symbol_order_book_ticker(symbol=ID)).data().actual_instance.result.bid_price
            )
            for changes, code in (({"price": FAR + 0.05}, -4014), ({"price": FAR, "quantity": 0.001}, -4164)):
                answer = (await socket.new_order(**order | changes)).data()
                assert answer["error"]["code"] == code
            answer = (await socket.cancel_order(symbol=ID, order_id=999_999_999)).data()
            assert answer["error"]["code"] == -2011
            for timestamp in (1, 9_999_999_999_999):
                request = {"method": "account.status", "params": {"timestamp": timestamp}}
                answer = (await socket.send_signed_message(request)).data()
                assert answer["error"]["code"] == -1021
        finally:
            await socket.close_connection()

    asyncio.run(scenario())


def test_the_sdk_streams_the_market(venue: PausingVenue) -> None:
    async def scenario() -> None:
        streams = binance_of(venue.endpoints).websocket_streams
        await streams.create_connection()
        received: dict[str, list[Any]] = {"candles": [], "trades": [], "book": [], "depth": []}
        try:
            for name, opened in (
                ("candles", streams.kline_candlestick_streams(symbol=ID.lower(), interval="1m")),
                ("trades", streams.aggregate_trade_streams(symbol=ID.lower())),
                ("book", streams.individual_symbol_book_ticker_streams(symbol=ID.lower())),
                ("depth", streams.partial_book_depth_streams(symbol=ID.lower(), levels=5)),
            ):
                (await opened).on("message", received[name].append)

            first_messages = wait_until_async(lambda: all(received.values()), "a message of each stream")
            await results_while_moving(minutes(venue), [first_messages])
            venue.play(2)
            venue.wait_played()
            candles = {row[0]: row for row in venue.released()}

            def closed() -> list[Any]:
                return [candle.k for candle in received["candles"] if candle.k.x]

            await wait_until_async(lambda: any(row.t == max(candles) for row in closed()), "the last candle")
        finally:
            await streams.close_connection()
        assert len(closed()) >= 3
        for row in closed():
            assert [row.t, float(row.o), float(row.h), float(row.l), float(row.c), float(row.v)] == candles[row.t]
        numbers = [trade.a for trade in received["trades"]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert {len(depth.b) for depth in received["depth"]} == {5}

    asyncio.run(scenario())


def test_the_sdk_streams_the_account(venue: PausingVenue) -> None:
    async def scenario() -> None:
        client = binance_of(venue.endpoints)
        key = client.rest_api.start_user_data_stream().data().listen_key
        streams, events = client.websocket_streams, []
        await streams.create_connection()
        try:
            (await streams.user_data(key)).on("message", lambda event: events.append(event.actual_instance))

            async def place() -> None:
                client.rest_api.new_order(symbol=ID, side="BUY", type="MARKET", quantity=0.01)

            await results_while_moving(place, [wait_until_async(lambda: bool(events), "an event of the account")])
            await place()
            fill = last(venue, Filled)

            def updates(kind: str) -> list[Any]:
                return [event for event in events if type(event).__name__ == kind]

            def wallet_received() -> bool:
                accounts = updates("AccountUpdate")
                return bool(accounts) and Decimal(accounts[-1].a.B[0].wb) == fill.wallet

            await wait_until_async(wallet_received, "the last wallet")
            await wait_until_async(lambda: updates("OrderTradeUpdate")[-1].o.t == fill.trade_id, "the last trade")
            order, account = updates("OrderTradeUpdate")[-1].o, updates("AccountUpdate")[-1].a
            assert (order.i, order.x, order.X, Decimal(order.L)) == (fill.order_id, "TRADE", "FILLED", fill.price)
            assert Decimal(account.P[0].pa) == fill.position
        finally:
            await streams.close_connection()

    asyncio.run(scenario())


# The examples.


@pytest.mark.parametrize("example", [CCXT, BINANCE], ids=lambda path: path.stem)
def test_the_example_trades_and_ends_flat(venue: PausingVenue, tmp_path: Path, example: Path) -> None:
    (tmp_path / "venue.json").write_text(venue.endpoints.model_dump_json())
    process = subprocess.run(
        [sys.executable, str(example), str(tmp_path / "venue.json")],
        capture_output=True,
        text=True,
        env={**child_environment(), "NO_PROXY": "*"},
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    bought, sold = [event for event in venue.events() if isinstance(event, Filled)][-2:]
    _, *filled, position, wallet = process.stdout.splitlines()
    assert [line.split()[:2] for line in filled] == [["filled", "buy"], ["filled", "sell"]]
    assert [Decimal(line.split()[-1]) for line in filled] == [bought.price, sold.price]
    assert (position, Decimal(wallet.split()[-1])) == ("position []", sold.wallet)
    assert venue.ledger_state().position == 0


@pytest.mark.parametrize("example", [CCXT, BINANCE], ids=lambda path: path.stem)
def test_the_page_shows_the_code_of_the_example(example: Path) -> None:
    source, page = example.read_text(), PAGE.read_text()
    section = page.partition(f"`examples/venue/{example.name}`")[2]
    snippet = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert snippet
    assert textwrap.indent(snippet[1], "    ") in source
