"""Account payloads have the names, number formats and types of Binance's documentation and captured messages."""

import json
from decimal import Decimal
from typing import Any

from opslab.model.messages.ledger_events import Accepted, LedgerEvent
from opslab.venue.account import account_payloads
from opslab.venue.account.number_format import NumberFormat
from opslab.venue.account.order_payloads import (
    accepted_response,
    all_orders,
    open_orders,
    order_response,
    order_row,
    user_trades,
)
from opslab.venue.account.order_requests import HistoryQuery
from opslab.venue.account.user_event_payloads import user_data_events
from tests.fakes.account_at_price import INSTRUMENT, NOW_MS, Scene

FORMAT = NumberFormat.of(INSTRUMENT)
MARK = Decimal("30050.00")
ALL_ROWS = HistoryQuery(None, None, None, None, 500)


def traded_scene() -> Scene:
    """Long 0.3 from 30000.1, one order partly filled and open, one resting."""
    scene = Scene()
    scene.place("BUY", "0.200", newClientOrderId="in")
    scene.place("BUY", "0.150", "29990.00", newClientOrderId="more")
    scene.now_ms += 5
    scene.tick("29990.00", "29990.10", "29990.00", "0.100")
    scene.place("SELL", "0.050", "30100.00", reduceOnly="true", newClientOrderId="out")
    return scene


def stream_events(scene: Scene, events: list[LedgerEvent]) -> list[dict[str, Any]]:
    """Apply the events one by one and collect the stream events."""
    scene.ledger.append(events)
    stream = []
    for event in events:
        scene.account.apply(event)
        stream += user_data_events(scene.account, event, MARK, NOW_MS + 9, FORMAT)
    return stream


def test_an_order() -> None:
    scene = traded_scene()
    assert order_row(scene.order(2), FORMAT) == {
        "orderId": 2,
        "symbol": "BTCUSDT",
        "status": "PARTIALLY_FILLED",
        "clientOrderId": "more",
        "price": "29990.00",
        "avgPrice": "29990.00000",
        "origQty": "0.150",
        "executedQty": "0.100",
        "cumQty": "0.100",
        "cumQuote": "2999.00000",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "reduceOnly": False,
        "closePosition": False,
        "side": "BUY",
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": "LIMIT",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": NOW_MS + 5,
        "time": NOW_MS,
    }
    market = order_response(scene.order(1), FORMAT)
    assert "time" not in market
    assert [market[name] for name in ("type", "price", "avgPrice", "timeInForce", "status")] == [
        "MARKET",
        "0.00",
        "30000.10000",
        "GTC",
        "FILLED",
    ]


def test_an_acknowledged_order_is_new_despite_its_fills() -> None:
    scene = traded_scene()
    accepted = next(event for event in scene.events() if isinstance(event, Accepted))
    response = accepted_response(accepted, FORMAT)
    result = order_response(scene.order(1), FORMAT)
    assert response.keys() == result.keys()
    assert {name for name in response if response[name] != result[name]} == {
        "status",
        "avgPrice",
        "executedQty",
        "cumQty",
        "cumQuote",
    }
    assert (response["status"], response["executedQty"], response["avgPrice"]) == ("NEW", "0.000", "0.00000")


def test_histories_are_ascending_and_start_at_the_requested_id_or_time() -> None:
    scene = traded_scene()
    account = scene.account

    def orders(**change: Any) -> list[int]:
        query = HistoryQuery(**{name: change.get(name, getattr(ALL_ROWS, name)) for name in ALL_ROWS.__slots__})
        return [row["orderId"] for row in all_orders(account, query, FORMAT)]

    assert orders() == [1, 2, 3]
    assert orders(limit=2) == [2, 3]
    assert orders(from_id=1, limit=2) == [1, 2]
    assert orders(start_ms=NOW_MS + 1) == [3]
    assert orders(end_ms=NOW_MS) == [1, 2]
    assert [row["orderId"] for row in open_orders(account, FORMAT)] == [2, 3]
    rows = user_trades(account, ALL_ROWS, FORMAT)
    assert [(row["id"], row["orderId"]) for row in rows] == [(1, 1), (2, 2)]
    assert user_trades(account, HistoryQuery(2, None, None, None, 500), FORMAT) == rows[1:]
    assert user_trades(account, HistoryQuery(None, 1, None, None, 1), FORMAT) == rows[:1]
    assert user_trades(account, HistoryQuery(None, None, None, None, 1), FORMAT) == rows[1:]
    assert rows[1] == {
        "symbol": "BTCUSDT",
        "id": 2,
        "orderId": 2,
        "side": "BUY",
        "price": "29990.00",
        "qty": "0.100",
        "realizedPnl": "0.00000000",
        "marginAsset": "USDT",
        "quoteQty": "2999.00000",
        "commission": "0.59980000",
        "commissionAsset": "USDT",
        "time": NOW_MS + 5,
        "positionSide": "BOTH",
        "buyer": True,
        "maker": True,
    }


def test_a_trade_is_pushed_with_the_account_it_leads_to() -> None:
    scene = traded_scene()
    events = scene.engine.on_tick(
        scene.account, Decimal("30101"), Decimal(1), Decimal("30100.90"), Decimal("30101"), NOW_MS + 7
    )
    account_update, order_update = stream_events(scene, events)
    assert account_update == {
        "e": "ACCOUNT_UPDATE",
        "E": NOW_MS + 9,
        "T": NOW_MS + 7,
        "a": {
            "m": "ORDER",
            "B": [{"a": "USDT", "wb": "10001.26252333", "cw": "10001.26252333", "bc": "0"}],
            "P": [
                {
                    "s": "BTCUSDT",
                    "pa": "0.250",
                    "ep": "29996.73333",
                    "bep": "0",
                    "cr": "5.16333333",
                    "up": "13.31666667",
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                    "ma": "USDT",
                }
            ],
        },
    }
    assert order_update == {
        "e": "ORDER_TRADE_UPDATE",
        "E": NOW_MS + 9,
        "T": NOW_MS + 7,
        "o": {
            "s": "BTCUSDT",
            "c": "out",
            "S": "SELL",
            "o": "LIMIT",
            "f": "GTC",
            "q": "0.050",
            "p": "30100.00",
            "ap": "30100.00000",
            "sp": "0.00",
            "x": "TRADE",
            "X": "FILLED",
            "i": 3,
            "l": "0.050",
            "z": "0.050",
            "L": "30100.00",
            "T": NOW_MS + 7,
            "t": 3,
            "b": "1499.50000",
            "a": "0.00000",
            "m": True,
            "R": True,
            "wt": "CONTRACT_PRICE",
            "ot": "LIMIT",
            "ps": "BOTH",
            "cp": False,
            "rp": "5.16333333",
            "pP": False,
            "si": 0,
            "ss": 0,
            "V": "NONE",
            "pm": "NONE",
            "gtd": 0,
            "er": "0",
            "N": "USDT",
            "n": "0.30100000",
        },
    }


def test_each_event_has_its_execution_type_and_order_status() -> None:
    scene = Scene()

    def executions(events: list[LedgerEvent]) -> list[tuple[str, ...]]:
        return [
            (push["o"]["x"], push["o"]["X"], push["o"]["er"]) if "o" in push else (push["e"],)
            for push in stream_events(scene, events)
        ]

    scene.market.depth = 1
    scene.commit = lambda events: events  # type: ignore[method-assign]  # decided, but not applied
    assert executions(scene.place("BUY", "1.200")) == [
        ("NEW", "NEW", "0"),
        ("ACCOUNT_UPDATE",),
        ("TRADE", "PARTIALLY_FILLED", "0"),
        ("EXPIRED", "EXPIRED", "9"),
    ]
    assert executions(scene.place("SELL", "1.100", "30000.00", timeInForce="IOC"))[-1] == ("EXPIRED", "EXPIRED", "2")
    assert executions(scene.place("BUY", "0.100", "29000.00")) == [("NEW", "NEW", "0")]
    assert executions(scene.modify(3, "BUY", "0.200", "29000.00")) == [("AMENDMENT", "NEW", "0")]
    assert executions(scene.cancel(3)) == [("CANCELED", "CANCELED", "0")]
    assert executions(scene.place("BUY", "0.010")) == [
        ("NEW", "NEW", "0"),
        ("ACCOUNT_UPDATE",),
        ("TRADE", "FILLED", "0"),
    ]
    assert executions(scene.place("SELL", "0.100", reduceOnly="true"))[-1] == ("EXPIRED", "EXPIRED", "4")
    assert user_data_events(scene.account, scene.start, MARK, NOW_MS, FORMAT) == []


def test_an_event_without_a_fill_has_no_commission() -> None:
    scene = Scene()
    assert stream_events(scene, scene.engine.cancel_all(scene.account, NOW_MS)) == []
    events = scene.place("BUY", "0.010", "29000.00")
    order = user_data_events(scene.account, events[0], MARK, NOW_MS, FORMAT)[0]["o"]
    assert not {"n", "N"} & order.keys()
    assert (order["t"], order["l"], order["L"], order["rp"]) == (0, "0.000", "0.00", "0.00000000")


def test_leverage_is_a_configuration_update() -> None:
    scene = Scene()
    assert stream_events(scene, scene.engine.set_leverage(scene.account, 20, MARK, NOW_MS)) == [
        {"e": "ACCOUNT_CONFIG_UPDATE", "E": NOW_MS + 9, "T": NOW_MS, "ac": {"s": "BTCUSDT", "l": 20}}
    ]
    assert account_payloads.leverage(scene.account) == {
        "leverage": 20,
        "maxNotionalValue": "1000000000",
        "symbol": "BTCUSDT",
    }


def test_the_account() -> None:
    """Long 0.3, worth 9015 at the mark, cost 8999.02; an open buy of 0.05 at 29990; leverage 5."""
    scene = traded_scene()
    payload = account_payloads.account_v2(scene.account, MARK, FORMAT)
    totals = {
        "totalInitialMargin": "2102.90000000",
        "totalMaintMargin": "36.06000000",
        "totalWalletBalance": "9996.40019000",
        "totalUnrealizedProfit": "15.98000000",
        "totalMarginBalance": "10012.38019000",
        "totalPositionInitialMargin": "1803.00000000",
        "totalOpenOrderInitialMargin": "299.90000000",
        "totalCrossWalletBalance": "9996.40019000",
        "totalCrossUnPnl": "15.98000000",
        "availableBalance": "7909.48019000",
        "maxWithdrawAmount": "7909.48019000",
    }
    assert totals.items() <= payload.items()
    head = {"feeTier", "feeBurn", "canTrade", "canDeposit", "canWithdraw", "updateTime", "multiAssetsMargin"}
    assert payload.keys() == totals.keys() | head | {"tradeGroupId", "assets", "positions"}
    asset = {
        "asset": "USDT",
        "walletBalance": "9996.40019000",
        "unrealizedProfit": "15.98000000",
        "marginBalance": "10012.38019000",
        "maintMargin": "36.06000000",
        "initialMargin": "2102.90000000",
        "positionInitialMargin": "1803.00000000",
        "openOrderInitialMargin": "299.90000000",
        "crossWalletBalance": "9996.40019000",
        "crossUnPnl": "15.98000000",
        "availableBalance": "7909.48019000",
        "maxWithdrawAmount": "7909.48019000",
        "updateTime": NOW_MS + 5,
    }
    assert payload["assets"] == [asset | {"marginAvailable": True}]
    [position] = payload["positions"]
    assert (position["positionAmt"], position["entryPrice"], position["leverage"]) == ("0.300", "29996.73333", "5")
    third = account_payloads.account_v3(scene.account, MARK, FORMAT)
    assert third == totals | {
        "assets": [asset],
        "positions": [
            {
                "symbol": "BTCUSDT",
                "positionSide": "BOTH",
                "positionAmt": "0.300",
                "unrealizedProfit": "15.98000000",
                "isolatedMargin": "0",
                "notional": "9015.00000000",
                "isolatedWallet": "0",
                "initialMargin": "2102.90000000",
                "maintMargin": "36.06000000",
                "updateTime": NOW_MS + 5,
            }
        ],
    }
    assert account_payloads.balance(scene.account, MARK) == [
        {
            "accountAlias": "opslab",
            "asset": "USDT",
            "balance": "9996.40019000",
            "crossWalletBalance": "9996.40019000",
            "crossUnPnl": "15.98000000",
            "availableBalance": "7909.48019000",
            "maxWithdrawAmount": "7909.48019000",
            "marginAvailable": True,
            "updateTime": NOW_MS + 5,
        }
    ]


def test_the_position() -> None:
    scene = traded_scene()
    shared = {
        "symbol": "BTCUSDT",
        "positionSide": "BOTH",
        "positionAmt": "0.300",
        "entryPrice": "29996.73333",
        "breakEvenPrice": "0",
        "markPrice": "30050.00000000",
        "unRealizedProfit": "15.98000000",
        "liquidationPrice": "0",
        "notional": "9015.00000000",
        "isolatedWallet": "0",
        "updateTime": NOW_MS + 5,
    }
    second = {
        "leverage": "5",
        "maxNotionalValue": "1000000000",
        "marginType": "cross",
        "isolatedMargin": "0.00000000",
        "isAutoAddMargin": "false",
    }
    third = {
        "isolatedMargin": "0",
        "marginAsset": "USDT",
        "initialMargin": "2102.90000000",
        "maintMargin": "36.06000000",
        "positionInitialMargin": "1803.00000000",
        "openOrderInitialMargin": "299.90000000",
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
    }
    assert account_payloads.position_risk_v2(scene.account, MARK, FORMAT) == [shared | second]
    assert account_payloads.position_risk_v3(scene.account, MARK, FORMAT) == [shared | third]


def test_version_2_shows_empty_positions_and_version_3_does_not() -> None:
    scene = Scene()
    assert account_payloads.position_risk_v3(scene.account, MARK, FORMAT) == []
    assert account_payloads.account_v3(scene.account, MARK, FORMAT)["positions"] == []
    [row] = account_payloads.position_risk_v2(scene.account, MARK, FORMAT)
    assert (row["positionAmt"], row["entryPrice"], row["notional"]) == ("0.000", "0.00000", "0.00000000")
    assert len(account_payloads.account_v2(scene.account, MARK, FORMAT)["positions"]) == 1
    scene.place("BUY", "0.010", "29000.00")
    assert len(account_payloads.position_risk_v3(scene.account, MARK, FORMAT)) == 1


def test_the_available_balance_is_never_negative() -> None:
    scene = Scene()
    scene.market.size = Decimal(9)
    scene.place("BUY", "1.600")
    low = Decimal("27000")
    assert account_payloads.balance(scene.account, low)[0]["availableBalance"] == "0.00000000"
    assert account_payloads.account_v2(scene.account, low, FORMAT)["maxWithdrawAmount"] == "0.00000000"


def test_settings() -> None:
    scene = Scene()
    assert account_payloads.leverage_bracket("BTCUSDT") == {
        "symbol": "BTCUSDT",
        "brackets": [
            {
                "bracket": 1,
                "initialLeverage": 125,
                "notionalCap": 1_000_000_000,
                "notionalFloor": 0,
                "maintMarginRatio": 0.004,
                "cum": 0.0,
            }
        ],
    }
    assert account_payloads.symbol_config(scene.account)["marginType"] == "CROSSED"
    assert account_payloads.account_config()["dualSidePosition"] is False
    assert account_payloads.commission_rate(scene.account) == {
        "symbol": "BTCUSDT",
        "makerCommissionRate": "0.0002",
        "takerCommissionRate": "0.0005",
    }


def test_all_payloads_are_json() -> None:
    scene = traded_scene()
    account = scene.account
    for payload in (
        account_payloads.account_v2(account, MARK, FORMAT),
        account_payloads.account_v3(account, MARK, FORMAT),
        account_payloads.balance(account, MARK),
        account_payloads.position_risk_v2(account, MARK, FORMAT),
        account_payloads.position_risk_v3(account, MARK, FORMAT),
        open_orders(account, FORMAT),
        user_trades(account, ALL_ROWS, FORMAT),
    ):
        assert json.loads(json.dumps(payload)) == payload
