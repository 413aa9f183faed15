"""What is taken from a book, and what a market fills of orders that rest."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.model.messages.ledger_events import Side
from opslab.venue.account.account import Order
from opslab.venue.account.matching import Level, LevelFill, rest, take

ASKS: list[Level] = [
    (Decimal("100.0"), Decimal("1")),
    (Decimal("100.1"), Decimal("0")),
    (Decimal("100.2"), Decimal("3")),
]
BIDS: list[Level] = [(Decimal("99.9"), Decimal("1")), (Decimal("99.8"), Decimal("2"))]


def order(
    number: int, side: Side, price: str, quantity: str = "1", *, reduce_only: bool = False, turn: int | None = None
) -> Order:
    return Order(
        order_id=number,
        client_order_id=f"c{number}",
        side=side,
        type="LIMIT",
        time_in_force="GTC",
        quantity=Decimal(quantity),
        price=Decimal(price),
        reduce_only=reduce_only,
        time_ms=0,
        update_ms=0,
        turn=number if turn is None else turn,
    )


def filled(
    orders: list[Order], trade: str | None, size: str, bid: str, ask: str, position: str = "0"
) -> list[tuple[int, str]]:
    price = None if trade is None else Decimal(trade)
    found = rest(orders, price, Decimal(size), Decimal(bid), Decimal(ask), Decimal(position))
    return [(touched.order.order_id, f"{touched.quantity}") for touched in found]


def test_a_taker_sweeps_the_levels_best_first() -> None:
    assert take("BUY", Decimal("2.5"), None, ASKS) == [
        LevelFill(Decimal("100.0"), Decimal("1")),
        LevelFill(Decimal("100.2"), Decimal("1.5")),
    ]


def test_a_taker_stops_at_its_limit() -> None:
    assert take("BUY", Decimal(9), Decimal("100.1"), ASKS) == [LevelFill(Decimal("100.0"), Decimal("1"))]
    assert take("SELL", Decimal(9), Decimal("99.9"), BIDS) == [LevelFill(Decimal("99.9"), Decimal("1"))]
    assert take("BUY", Decimal(9), Decimal("99.9"), ASKS) == []


def test_a_taker_gets_no_more_than_is_displayed() -> None:
    assert sum(part.quantity for part in take("SELL", Decimal(100), None, BIDS)) == 3
    assert take("SELL", Decimal(1), None, []) == []


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), max_size=8),
    st.integers(1, 40),
    st.none() | st.integers(1, 50),
)
def test_what_is_taken_was_there_and_wanted(levels: list[tuple[int, int]], quantity: int, limit: int | None) -> None:
    asks = [(Decimal(price), Decimal(size)) for price, size in sorted(dict(levels).items())]
    bound = None if limit is None else Decimal(limit)
    taken = take("BUY", Decimal(quantity), bound, asks)
    sizes = dict(asks)
    assert all(0 < part.quantity <= sizes[part.price] for part in taken)
    assert all(bound is None or part.price <= bound for part in taken)
    reachable = sum(size for price, size in asks if bound is None or price <= bound)
    assert sum(part.quantity for part in taken) == min(quantity, reachable)


@pytest.mark.parametrize(
    ("trade", "size", "bid", "ask", "expected"),
    [
        (None, "0", "99.9", "100.0", []),
        (None, "0", "99.8", "99.9", []),  # the ask has come to the price, nobody sold yet
        (None, "0", "99.7", "99.8", [(1, "1")]),  # the ask is beyond the price
        ("99.9", "0.4", "99.9", "100.0", [(1, "0.4")]),  # sold at the price: as much as was sold
        ("99.9", "5", "99.9", "100.0", [(1, "1")]),
        ("99.8", "0.4", "99.9", "100.0", [(1, "1")]),  # sold beyond the price
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
    orders = [order(1, "BUY", "99.9", turn=5), order(2, "BUY", "99.9", turn=2), order(3, "BUY", "100.0", turn=9)]
    assert filled(orders, "99.9", "1.5", "99.9", "100.1") == [(3, "1"), (2, "1"), (1, "0.5")]


def test_an_order_that_the_market_went_through_uses_up_no_trade() -> None:
    orders = [order(1, "BUY", "100.0", "7"), order(2, "BUY", "99.9")]
    assert filled(orders, "99.9", "1", "99.9", "100.1") == [(1, "7"), (2, "1")]


def test_a_trade_is_not_filled_twice_on_both_sides() -> None:
    orders = [order(1, "BUY", "100.0"), order(2, "SELL", "100.0")]
    assert filled(orders, "100.0", "1.2", "99.9", "100.1") == [(1, "1"), (2, "0.2")]


def test_a_reduce_only_order_leaves_the_rest_of_a_trade_to_the_next() -> None:
    orders = [order(1, "BUY", "99.9", "2", reduce_only=True), order(2, "BUY", "99.9", "2")]
    assert filled(orders, "99.9", "3", "99.9", "100.0", position="-0.5") == [(1, "0.5"), (2, "2")]
    assert filled(orders, "99.9", "3", "99.9", "100.0", position="0.5") == [(2, "2")]


def test_what_one_order_did_counts_for_the_next() -> None:
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
def test_a_tick_fills_no_more_than_there_is(
    asked: list[tuple[bool, int, int, bool]], trade: int | None, size: int, bid: int, position: int
) -> None:
    orders = [
        order(number, "BUY" if buys else "SELL", str(price), str(quantity), reduce_only=reduces)
        for number, (buys, price, quantity, reduces) in enumerate(asked)
    ]
    price = None if trade is None else Decimal(trade)
    found = rest(orders, price, Decimal(size), Decimal(bid), Decimal(bid + 1), Decimal(position))
    assert len({touched.order.order_id for touched in found}) == len(found)
    at_the_trade = Decimal(0)
    running = Decimal(position)
    for touched in found:
        assert 0 < touched.quantity <= touched.order.remaining
        signed = touched.quantity if touched.order.side == "BUY" else -touched.quantity
        if touched.order.reduce_only:
            assert running * signed < 0
            assert abs(signed) <= abs(running)
        running += signed
        limit = touched.order.price
        assert limit is not None
        beyond = bid + 1 < limit if touched.order.side == "BUY" else bid > limit
        if limit == price and not beyond:
            at_the_trade += touched.quantity
    assert at_the_trade <= size
