"""Events of orders, amendments and ticks; a rejected request has no event."""

from decimal import Decimal
from typing import Any

import pytest

from opslab.model.messages.ledger_events import Expired, Filled, LedgerEvent
from opslab.venue.account.margin import margin_of
from opslab.venue.account.order_requests import OrderRef
from opslab.venue.api_error import ApiError
from tests.fakes.account_at_price import Market, Scene, kinds, opened

D = Decimal
BID, ASK = "30000.00", "30000.10"


def rich_scene() -> Scene:
    return Scene(start=opened("1000000", 10))


def fills(events: list[LedgerEvent]) -> list[tuple[str, str, bool]]:
    return [(f"{event.quantity}", f"{event.price}", event.maker) for event in events if isinstance(event, Filled)]


def reasons(events: list[LedgerEvent]) -> list[tuple[int, str]]:
    return [(event.order_id, event.reason) for event in events if isinstance(event, Expired)]


def assert_rejected(code: int, scene: Scene, *args: Any, **extra: Any) -> None:
    lines = len(scene.ledger)
    with pytest.raises(ApiError) as caught:
        scene.place(*args, **extra)
    assert caught.value.code == code
    assert len(scene.ledger) == lines


def test_a_market_order_sweeps_the_displayed_levels() -> None:
    scene = rich_scene()
    events = scene.place("BUY", "2.500")
    assert kinds(events) == ["accepted", "filled", "filled", "filled"]
    assert fills(events) == [
        ("1.000", "30000.10", False),
        ("1.000", "30000.20", False),
        ("0.500", "30000.30", False),
    ]
    assert (scene.order(1).status, scene.account.holding.position) == ("FILLED", D("2.5"))
    last = events[-1]
    assert isinstance(last, Filled)
    assert last.fee == D("7.500075")


def test_a_market_order_beyond_the_book_expires() -> None:
    scene = rich_scene()
    events = scene.place("SELL", "10.500")
    assert (kinds(events)[-1], reasons(events)) == ("expired", [(1, "market")])
    assert (scene.order(1).status, scene.order(1).executed) == ("EXPIRED", D(10))
    scene.market.depth = 0
    assert kinds(scene.place("SELL", "0.500")) == ["accepted", "expired"]


def test_a_market_order_stops_at_its_price_bound() -> None:
    scene = rich_scene()
    scene.market.mark = D("28600.00")
    events = scene.place("BUY", "9.000")
    assert len(fills(events)) == 9
    scene.market.mark = D("28571.60")  # x 1.05 is 30000.18
    events = scene.place("BUY", "9.000")
    assert fills(events) == [("1.000", "30000.10", False)]
    assert reasons(events) == [(2, "market")]
    scene.market.mark = D("28500.00")
    assert_rejected(-4131, scene, "BUY", "1.000")


def test_time_in_force_decides_about_the_remainder() -> None:
    scene = rich_scene()
    assert kinds(scene.place("BUY", "1.500", ASK)) == ["accepted", "filled"]
    assert scene.order(1).status == "PARTIALLY_FILLED"
    assert reasons(scene.place("BUY", "1.500", ASK, timeInForce="IOC")) == [(2, "ioc")]
    assert_rejected(-5021, scene, "BUY", "1.001", ASK, timeInForce="FOK")
    assert fills(scene.place("BUY", "1.000", ASK, timeInForce="FOK")) == [("1.000", ASK, False)]
    assert_rejected(-5022, scene, "BUY", "0.010", ASK, timeInForce="GTX")
    assert kinds(scene.place("BUY", "0.010", BID, timeInForce="GTX")) == ["accepted"]
    assert [order.order_id for order in scene.account.open.values()] == [1, 4]


def test_a_resting_order_pays_the_makers_fee_at_its_own_price() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.100", "29990.00")
    events = scene.tick("29980.00", "29980.10", "29980.00", "0.001")
    assert fills(events) == [("0.100", "29990.00", True)]
    last = events[-1]
    assert isinstance(last, Filled)
    assert last.fee == D("0.5998")


def test_a_tick_that_reaches_no_order_has_no_event() -> None:
    scene = rich_scene()
    assert scene.tick("29000.00", "29000.10", "29000.00", "1") == []
    scene.place("BUY", "0.100", "28990.00")
    scene.place("SELL", "0.100", "29010.00")
    assert scene.tick("29000.00", "29000.10", "29000.10", "1") == []
    assert scene.tick("28990.00", "28990.10", "28990.00", "0") == []  # a quote, whatever its price
    assert len(scene.ledger) == 3


@pytest.mark.parametrize(
    ("args", "extra", "code"),
    [
        (("BUY", "0.003", "29000.00"), {}, -4164),
        (("BUY", "0.003"), {}, -4164),
        (("BUY", "0.010", "29000.05"), {}, -4014),
        (("BUY", "0.010", "31600.00"), {}, -4016),
        (("SELL", "0.010", "28000.00"), {}, -4024),
        (("BUY", "0.0105"), {}, -1111),
        (("BUY", "121"), {}, -4005),
        (("BUY", "0.010"), {"reduceOnly": "true"}, -2022),
        (("BUY", "40"), {}, -2019),
    ],
)
def test_a_rejected_order_has_no_event(args: tuple[str, ...], extra: dict[str, str], code: int) -> None:
    assert_rejected(code, Scene(), *args, **extra)


def test_a_reduce_only_order_may_be_small() -> None:
    scene = rich_scene()
    scene.place("BUY", "1.000")
    assert kinds(scene.place("SELL", "0.001", reduceOnly="true")) == ["accepted", "filled"]
    assert kinds(scene.place("SELL", "0.001", "30100.00", reduceOnly="true")) == ["accepted"]


def test_a_client_order_id_is_in_use_while_its_order_is_open() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.010", "29000.00", newClientOrderId="mine")
    assert_rejected(-4116, scene, "BUY", "0.010", "29000.00", newClientOrderId="mine")
    scene.cancel(1)
    scene.place("BUY", "0.010", "29000.00", newClientOrderId="mine")
    assert scene.account.open_by_client == {"mine": 2}


def test_an_order_without_a_client_order_id_gets_an_unused_one() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.010", "29000.00", newClientOrderId="venue_2")
    scene.place("BUY", "0.010", "29000.00")
    assert list(scene.account.open_by_client) == ["venue_2", "venue_2_"]


def test_open_orders_have_a_maximum_and_market_orders_do_not_count() -> None:
    scene = rich_scene()
    for _ in range(200):
        scene.place("BUY", "0.010", "29000.00")
    assert_rejected(-2025, scene, "BUY", "0.010", "29000.00")
    assert kinds(scene.place("BUY", "0.010")) == ["accepted", "filled"]


def test_a_symbol_that_is_not_trading_allows_cancels_only() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.010", "29000.00")
    scene.market.status = "SETTLING"
    assert_rejected(-4108, scene, "BUY", "0.010", "29000.00")
    with pytest.raises(ApiError, match="-5024"):
        scene.modify(1, "BUY", "0.020", "29000.00")
    assert kinds(scene.cancel(1)) == ["canceled"]


# Reduce-only.


def test_a_reduce_only_order_stops_at_the_position() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.400")
    events = scene.place("SELL", "1.000", reduceOnly="true")
    assert (fills(events), reasons(events)) == ([("0.400", BID, False)], [(2, "reduce_only")])
    assert scene.account.holding.position == 0
    assert scene.order(2).executed == D("0.4")


def test_a_resting_reduce_only_order_stops_at_the_position() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.400")
    scene.place("SELL", "1.000", "30100.00", reduceOnly="true")
    events = scene.tick("30200.00", "30200.10")
    assert (fills(events), reasons(events)) == ([("0.400", "30100.00", True)], [(2, "reduce_only")])


def test_reduce_only_orders_expire_with_their_position() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.400")
    scene.place("SELL", "0.400", "30100.00", reduceOnly="true")
    scene.place("SELL", "0.100", "30200.00", reduceOnly="true")
    assert reasons(scene.place("SELL", "0.300")) == []
    assert reasons(scene.place("SELL", "0.300")) == [(2, "reduce_only"), (3, "reduce_only")]
    assert scene.account.holding.position == D("-0.2")
    assert not scene.account.open


def test_a_fok_reduce_only_order_larger_than_the_position_is_rejected() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.400")
    assert_rejected(-5021, scene, "SELL", "0.500", BID, timeInForce="FOK", reduceOnly="true")


# Amendments.


def test_an_amendment_keeps_fills_and_moves_to_the_end_of_the_queue() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.100", "29990.00")
    scene.place("BUY", "0.100", "29990.00")
    scene.tick("29990.00", "29990.10", "29990.00", "0.040")
    assert kinds(scene.modify(1, "BUY", "0.200", "29990.00")) == ["amended"]
    order = scene.order(1)
    assert (order.executed, order.remaining, order.status) == (D("0.04"), D("0.16"), "PARTIALLY_FILLED")
    events = scene.tick("29990.00", "29990.10", "29990.00", "0.150")
    assert [(event.order_id, f"{event.quantity}") for event in events if isinstance(event, Filled)] == [
        (2, "0.100"),
        (1, "0.050"),
    ]


def test_an_amendment_can_fill_at_once() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.100", "29990.00")
    events = scene.modify(1, "BUY", "0.100", ASK)
    assert kinds(events) == ["amended", "filled"]
    assert fills(events) == [("0.100", ASK, False)]


def test_an_amendment_cancels_where_binance_does() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.100", "29990.00")
    scene.tick("29990.00", "29990.10", "29990.00", "0.040")
    assert kinds(scene.modify(1, "BUY", "0.040", "29990.00")) == ["canceled"]
    scene.place("BUY", "0.100", "29980.00", timeInForce="GTX")
    assert kinds(scene.modify(2, "BUY", "0.100", "29990.10")) == ["canceled"]
    assert not scene.account.open


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((9, "BUY", "0.100", "29990.00"), -2013),
        ((1, "SELL", "0.100", "29990.00"), -1117),
        ((1, "BUY", "0.100", "29990.00"), -5027),
        ((1, "BUY", "0.1000", "29990"), -5027),
        ((1, "BUY", "0.1001", "29990.00"), -1111),
        ((1, "BUY", "0.100", "29990.05"), -4014),
        ((1, "BUY", "0.100", "39990.00"), -4016),
        ((1, "BUY", "0.001", "29990.00"), -5029),
        ((1, "BUY", "900", "29990.00"), -2019),
    ],
)
def test_a_rejected_amendment_leaves_the_order_unchanged(args: tuple[int, str, str, str], code: int) -> None:
    scene = rich_scene()
    scene.place("BUY", "0.100", "29990.00")
    with pytest.raises(ApiError) as caught:
        scene.modify(*args)
    assert caught.value.code == code
    order = scene.order(1)
    assert (order.quantity, order.price, order.priority, len(scene.ledger)) == (D("0.1"), D("29990.00"), 1, 2)


def test_amendments_of_an_order_have_a_maximum() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.100", "29990.00")
    scene.order(1).amendments = 10_000
    with pytest.raises(ApiError, match="-5026"):
        scene.modify(1, "BUY", "0.100", "29980.00")


# Cancels.


def test_only_an_open_order_can_be_canceled() -> None:
    scene = rich_scene()
    scene.place("BUY", "0.010", "29000.00", newClientOrderId="a")
    scene.place("BUY", "0.010", newClientOrderId="b")
    for ref in (OrderRef(2, None), OrderRef(9, None), OrderRef(None, "b"), OrderRef(None, "c")):
        with pytest.raises(ApiError) as caught:
            scene.engine.cancel(scene.account, ref, scene.now_ms)
        assert caught.value.body() == {"code": -2011, "msg": "Unknown order sent."}
    scene.commit(scene.engine.cancel(scene.account, OrderRef(None, "a"), scene.now_ms))
    assert scene.order(1).status == "CANCELED"


def test_all_orders_are_canceled_in_one_transaction() -> None:
    scene = rich_scene()
    assert scene.cancel_all() == []
    for _ in range(3):
        scene.place("BUY", "0.010", "29000.00")
    assert kinds(scene.cancel_all()) == ["canceled"] * 3
    assert len(scene.ledger) == 5


# Margin.


def test_an_order_needs_its_notional_divided_by_leverage_and_its_fee() -> None:
    """1.666 x 30000.10 / 5 is 9996.03, and the fee 24.99: more than 10,000. 1.662 needs 9997.04 in total."""
    assert_rejected(-2019, Scene(market=Market(size=D(9))), "BUY", "1.666")
    scene = Scene(market=Market(size=D(9)))
    scene.place("BUY", "1.662")
    assert 0 <= margin_of(scene.account, scene.market.mark).available < 5


def test_resting_orders_need_margin_and_the_two_sides_share_it() -> None:
    scene = Scene()
    scene.place("BUY", "1.600", "29000.00")
    assert_rejected(-2019, scene, "BUY", "0.200", "29000.00")
    assert kinds(scene.place("SELL", "1.600", "31000.00")) == ["accepted"]


def test_reducing_orders_need_no_available_margin() -> None:
    scene = Scene(market=Market(size=D(9)))
    scene.place("BUY", "1.600")
    scene.tick("27000.00", "27000.10")
    assert margin_of(scene.account, scene.market.mark).available < 0
    assert_rejected(-2019, scene, "BUY", "0.010")
    assert_rejected(-2019, scene, "SELL", "2.700")
    assert kinds(scene.place("SELL", "0.600")) == ["accepted", "filled"]
    assert kinds(scene.place("SELL", "1.000", "27100.00")) == ["accepted"]
    assert kinds(scene.place("SELL", "1.000", "27100.00", reduceOnly="true")) == ["accepted"]
    assert kinds(scene.place("SELL", "1.000")) == ["accepted", "filled", "expired"]


def test_a_reducing_amendment_needs_no_available_margin() -> None:
    scene = Scene(market=Market(size=D(9)))
    scene.place("BUY", "1.000")
    scene.place("BUY", "0.500", "29000.00")
    with pytest.raises(ApiError, match="-2019"):
        scene.modify(2, "BUY", "1.500", "29000.00")
    scene.market.mark = D("28000.00")
    assert margin_of(scene.account, scene.market.mark).available < 0
    with pytest.raises(ApiError, match="-2019"):
        scene.modify(2, "BUY", "0.500", "29000.10")
    assert kinds(scene.modify(2, "BUY", "0.400", "28000.00")) == ["amended"]
    assert kinds(scene.modify(2, "BUY", "0.400", "27000.00")) == ["amended"]


def test_an_amendment_needs_margin_for_its_remaining_quantity() -> None:
    """0.8 in the position and 0.85 open at 29000 need 9570 at leverage 5; counting the fill twice would need 14210."""
    scene = Scene()
    scene.place("BUY", "1.600", "29000.00")
    scene.tick("29000.00", "29000.10", "29000.00", "0.800")
    assert kinds(scene.modify(1, "BUY", "1.650", "29000.00")) == ["amended"]
    assert margin_of(scene.account, scene.market.mark).initial == D(9570)
    with pytest.raises(ApiError, match="-2019"):
        scene.modify(1, "BUY", "1.750", "29000.00")


def test_leverage_has_bounds_and_follows_the_margin() -> None:
    scene = Scene(market=Market(size=D(9)))
    for leverage in (0, 126):
        with pytest.raises(ApiError, match=f"-4028 Leverage {leverage} is not valid"):
            scene.leverage(leverage)
    assert scene.leverage(5) == []
    assert kinds(scene.leverage(1)) == ["leverage_set"]
    assert kinds(scene.leverage(20)) == ["leverage_set"]
    scene.place("BUY", "3.000")
    assert kinds(scene.leverage(10)) == ["leverage_set"]
    with pytest.raises(ApiError, match="-2028"):
        scene.leverage(5)
    assert scene.account.leverage == 10


def test_position_and_orders_have_a_maximum_notional() -> None:
    scene = Scene(start=opened("900000000000", 125), market=Market(size=D(10_000)))
    for _ in range(33):
        scene.place("BUY", "1000", "30000.00")
    assert_rejected(-2027, scene, "BUY", "1000", "30000.00")
