"""Each filter of the symbol rejects with its error code."""

from dataclasses import replace
from decimal import Decimal

import pytest

from opslab.model.messages.ledger_events import OrderSide, OrderType
from opslab.venue.account.filters import Filters, check_status
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import INSTRUMENT

FILTERS = Filters.of(INSTRUMENT)
MARK = Decimal("30000.00")


@pytest.mark.parametrize("price", ["556.80", "556.8", "4529764", "30000.1000000000"])
def test_a_price_on_the_grid_is_accepted(price: str) -> None:
    FILTERS.check_price(Decimal(price))


@pytest.mark.parametrize(
    ("price", "code"),
    [
        ("0", -4001),
        ("556.70", -4013),
        ("4529764.10", -4002),
        ("9" * 20 + "." + "9" * 20, -4002),
        ("30000.05", -4014),
        ("30000.101", -1111),
        ("30000.00000000000000000001", -1111),
    ],
)
def test_a_price_is_refused(price: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        FILTERS.check_price(Decimal(price))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("quantity", "kind", "code"),
    [
        ("0", "LIMIT", -4003),
        ("0.0001", "LIMIT", -1111),
        ("0.0010", "LIMIT", None),
        ("1000", "LIMIT", None),
        ("1000.001", "LIMIT", -4005),
        ("120", "MARKET", None),
        ("120.001", "MARKET", -4005),
        ("9" * 20, "MARKET", -4005),
    ],
)
def test_a_quantity_is_checked(quantity: str, kind: OrderType, code: int | None) -> None:
    if code is None:
        FILTERS.check_quantity(Decimal(quantity), kind)
        return
    with pytest.raises(ApiError) as caught:
        FILTERS.check_quantity(Decimal(quantity), kind)
    assert caught.value.code == code


def test_a_coarser_lot_has_its_own_codes() -> None:
    entry = dict(INSTRUMENT.entry)
    entry["filters"] = [
        row | {"minQty": "0.010", "stepSize": "0.005"} if row["filterType"] == "LOT_SIZE" else row
        for row in entry["filters"]
    ]
    coarse = Filters.of(replace(INSTRUMENT, entry=entry))
    for quantity, code in (("0.009", -4004), ("0.012", -4023)):
        with pytest.raises(ApiError) as caught:
            coarse.check_quantity(Decimal(quantity), "LIMIT")
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("side", "price", "message"),
    [
        ("BUY", "31500.00", None),
        ("BUY", "31500.10", "Limit price can't be higher than 31500.00."),
        ("BUY", "600.00", None),
        ("SELL", "28500.00", None),
        ("SELL", "28499.90", "Limit price can't be lower than 28500.00."),
        ("SELL", "90000.00", None),
    ],
)
def test_a_limit_price_must_be_near_the_mark_price(side: OrderSide, price: str, message: str | None) -> None:
    if message is None:
        FILTERS.check_percent(side, Decimal(price), MARK)
        return
    with pytest.raises(ApiError) as caught:
        FILTERS.check_percent(side, Decimal(price), MARK)
    assert caught.value.body() == {"code": -4016 if side == "BUY" else -4024, "msg": message}


def test_a_market_order_needs_a_best_price_near_the_mark_price() -> None:
    FILTERS.check_counterparty("BUY", Decimal("31500"), MARK)
    FILTERS.check_counterparty("SELL", Decimal("28500"), MARK)
    too_far: tuple[tuple[OrderSide, str], ...] = (("BUY", "31500.10"), ("SELL", "28499.90"))
    for side, best in too_far:
        with pytest.raises(ApiError) as caught:
            FILTERS.check_counterparty(side, Decimal(best), MARK)
        assert caught.value.code == -4131


def test_the_notional_has_a_minimum() -> None:
    FILTERS.check_notional(Decimal("100.00000"))
    with pytest.raises(ApiError) as caught:
        FILTERS.check_notional(Decimal("99.99999"))
    assert caught.value.body() == {
        "code": -4164,
        "msg": "Order's notional must be no smaller than 100 (unless you choose reduce only).",
    }
    with pytest.raises(ApiError, match="-5029 Order's notional must be no smaller than 100"):
        FILTERS.check_notional(Decimal(1), -5029)


def test_open_orders_have_a_maximum() -> None:
    FILTERS.check_order_count(199)
    with pytest.raises(ApiError, match="-2025 Reach max open order limit"):
        FILTERS.check_order_count(200)


@pytest.mark.parametrize("status", ["BREAK", "SETTLING", "PRE_SETTLE", "CLOSE", "PENDING_TRADING"])
def test_a_symbol_that_is_not_trading_accepts_no_orders(status: str) -> None:
    check_status("TRADING")
    with pytest.raises(ApiError) as caught:
        check_status(status)
    assert caught.value.code == -4108
