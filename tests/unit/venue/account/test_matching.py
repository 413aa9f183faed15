"""Taker orders sweep the book, and the market fills resting orders."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.model.messages.ledger_events import OrderSide
from opslab.venue.account.account import Order
from opslab.venue.account.matching import Level, LevelFill, match_resting, sweep

ASKS: list[Level] = [
    (Decimal("100.0"), Decimal("1")),
    (Decimal("100.1"), Decimal("0")),
    (Decimal("100.2"), Decimal("3")),
]
BIDS: list[Level] = [(Decimal("99.9"), Decimal("1")), (Decimal("99.8"), Decimal("2"))]


def order(
    order_id: int,
    side: OrderSide,
    price: str,
    quantity: str = "1",
    *,
    reduce_only: bool = False,
    priority: int | None = None,
) -> Order:
    return Order(
        order_id=order_id,
        client_order_id=f"c{order_id}",
        side=side,
        type="LIMIT",
        time_in_force="GTC",
        quantity=Decimal(quantity),
        price=Decimal(price),
        reduce_only=reduce_only,
        time_ms=0,
        update_ms=0,
        priority=order_id if priority is None else priority,
    )


def filled(
    orders: list[Order], trade: str | None, size: str, bid: str, ask: str, position: str = "0"
) -> list[tuple[int, str]]:
    price = None if trade is None else Decimal(trade)
    fills = match_resting(orders, price, Decimal(size), Decimal(bid), Decimal(ask), Decimal(position))
    return [(fill.order.order_id, f"{fill.quantity}") for fill in fills]


def test_a_taker_sweeps_the_levels_best_first() -> None:
    assert sweep("BUY", Decimal("2.5"), None, ASKS) == [
        LevelFill(Decimal("100.0"), Decimal("1")),
        LevelFill(Decimal("100.2"), Decimal("1.5")),
    ]


def test_a_taker_stops_at_its_limit() -> None:
    assert sweep("BUY", Decimal(9), Decimal("100.1"), ASKS) == [LevelFill(Decimal("100.0"), Decimal("1"))]
    assert sweep("SELL", Decimal(9), Decimal("99.9"), BIDS) == [LevelFill(Decimal("99.9"), Decimal("1"))]
    assert sweep("BUY", Decimal(9), Decimal("99.9"), ASKS) == []


def test_a_taker_fills_at_most_the_displayed_quantity() -> None:
    assert sum(fill.quantity for fill in sweep("SELL", Decimal(100), None, BIDS)) == 3
    assert sweep("SELL", Decimal(1), None, []) == []


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=8),
    st.integers(1, 40),
    st.none() | st.integers(1, 50),
)
def test_a_sweep_fills_at_most_what_is_displayed_and_requested(
    levels: list[tuple[int, int]], quantity: int, limit: int | None
) -> None:
    asks = [(Decimal(price), Decimal(size)) for price, size in sorted(dict(levels).items())]
    bound = None if limit is None else Decimal(limit)
    fills = sweep("BUY", Decimal(quantity), bound, asks)
    sizes = dict(asks)
    assert all(0 < fill.quantity <= sizes[fill.price] for fill in fills)
    assert all(bound is None or fill.price <= bound for fill in fills)
    reachable = sum(size for price, size in asks if bound is None or price <= bound)
    assert sum(fill.quantity for fill in fills) == min(quantity, reachable)


@pytest.mark.parametrize(
    ("trade", "size", "bid", "ask", "expected"),
    [
        (None, "0", "99.9", "100.0", []),
        (None, "0", "99.8", "99.9", []),  # the ask is at the price, without a trade
        (None, "0", "99.7", "99.8", [(1, "1")]),  # the ask is through the price
        ("99.9", "0.4", "99.9", "100.0", [(1, "0.4")]),  # a trade at the price: at most its size
        ("99.9", "5", "99.9", "100.0", [(1, "1")]),
        ("99.8", "0.4", "99.9", "100.0", [(1, "1")]),  # a trade through the price
        ("100.0", "5", "99.9", "100.0", []),
    ],
)
def test_a_resting_buy(trade: str | None, size: str, bid: str, ask: str, expected: list[tuple[int, str]]) -> None:
    assert filled([order(1, "BUY", "99.9")], trade, size, bid, ask) == expected


@pytest.mark.parametrize(
    ("trade", "size", "bid", "ask", "expected"),
    [
        (None, "0", "100.0", "100.1", []),
        (None, "0", "100.1", "100.2", [(1, "1")]),
        ("100.0", "0.4", "99.9", "100.0", [(1, "0.4")]),
        ("100.1", "0.4", "99.9", "100.0", [(1, "1")]),
        ("99.9", "5", "99.9", "100.0", []),
    ],
)
def test_a_resting_sell(trade: str | None, size: str, bid: str, ask: str, expected: list[tuple[int, str]]) -> None:
    assert filled([order(1, "SELL", "100.0")], trade, size, bid, ask) == expected


def test_orders_share_a_trade_by_price_and_then_by_time() -> None:
    orders = [
        order(1, "BUY", "99.9", priority=5),
        order(2, "BUY", "99.9", priority=2),
        order(3, "BUY", "100.0", priority=9),
    ]
    assert filled(orders, "99.9", "1.5", "99.9", "100.1") == [(3, "1"), (2, "1"), (1, "0.5")]


def test_an_order_that_the_market_traded_through_uses_no_trade_size() -> None:
    orders = [order(1, "BUY", "100.0", "7"), order(2, "BUY", "99.9")]
    assert filled(orders, "99.9", "1", "99.9", "100.1") == [(1, "7"), (2, "1")]


def test_a_trade_is_shared_by_both_sides() -> None:
    orders = [order(1, "BUY", "100.0"), order(2, "SELL", "100.0")]
    assert filled(orders, "100.0", "1.2", "99.9", "100.1") == [(1, "1"), (2, "0.2")]


def test_a_reduce_only_order_leaves_the_remaining_trade_size_to_the_next() -> None:
    orders = [order(1, "BUY", "99.9", "2", reduce_only=True), order(2, "BUY", "99.9", "2")]
    assert filled(orders, "99.9", "3", "99.9", "100.0", position="-0.5") == [(1, "0.5"), (2, "2")]
    assert filled(orders, "99.9", "3", "99.9", "100.0", position="0.5") == [(2, "2")]


def test_the_fill_of_one_order_counts_for_the_next() -> None:
    orders = [order(1, "SELL", "100.0", "2"), order(2, "SELL", "100.1", "2", reduce_only=True)]
    assert filled(orders, None, "0", "100.5", "100.6", position="3") == [(1, "2"), (2, "1")]
    assert filled(orders, None, "0", "100.5", "100.6", position="2") == [(1, "2")]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(90, 110), st.integers(1, 9), st.booleans()), max_size=8),
    st.none() | st.integers(90, 110),
    st.integers(1, 12),
    st.integers(91, 109),
    st.integers(-15, 15),
)
def test_a_tick_fills_at_most_its_size_and_the_position(
    rows: list[tuple[bool, int, int, bool]], trade: int | None, size: int, bid: int, position: int
) -> None:
    orders = [
        order(number, "BUY" if buys else "SELL", str(price), str(quantity), reduce_only=reduces)
        for number, (buys, price, quantity, reduces) in enumerate(rows)
    ]
    price = None if trade is None else Decimal(trade)
    fills = match_resting(orders, price, Decimal(size), Decimal(bid), Decimal(bid + 1), Decimal(position))
    assert len({fill.order.order_id for fill in fills}) == len(fills)
    at_the_trade = Decimal(0)
    running = Decimal(position)
    for fill in fills:
        assert 0 < fill.quantity <= fill.order.remaining
        signed = fill.quantity if fill.order.side == "BUY" else -fill.quantity
        if fill.order.reduce_only:
            assert running * signed < 0
            assert abs(signed) <= abs(running)
        running += signed
        limit = fill.order.price
        assert limit is not None
        through = bid + 1 < limit if fill.order.side == "BUY" else bid > limit
        if limit == price and not through:
            at_the_trade += fill.quantity
    assert at_the_trade <= size
