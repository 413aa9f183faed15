"""The venue flattens the account itself, in spite of anything that would stop a client, and keeps it flat."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from opslab.errors import Environment, Refused
from opslab.venue.api_error import ApiError
from opslab.venue.control.flatten import Flattener, FlattenResult
from tests.fakes import virtual_time
from tests.fakes.memory_exchange import MemoryExchange


def flatten(book: MemoryExchange, *, hold: bool = False) -> FlattenResult:
    return virtual_time.run(Flattener(book.exchange, book.log_event).flatten("a test", hold=hold))


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def awaited() -> None:
        await scenario()

    virtual_time.run(awaited())


@pytest.mark.parametrize(("side", "signed"), [("BUY", "0.050"), ("SELL", "-0.050")])
def test_open_orders_are_canceled_and_the_position_is_closed(side: str, signed: str) -> None:
    book = MemoryExchange()
    book.place(side, "0.050")
    for price in ("41000.0", "41500.0"):
        book.place("BUY", "0.010", price)
    result = flatten(book)
    assert (result.canceled, result.closed, book.exchange.is_flat) == (2, Decimal(signed), True)
    assert book.audit().proven
    assert book.audit().position == 0
    closing_order = book.exchange.account.closed[4]
    assert (closing_order.client_order_id, closing_order.type, closing_order.reduce_only, closing_order.status) == (
        "opslab-flatten-4",
        "MARKET",
        True,
        "FILLED",
    )
    assert [(event["o"]["x"], event["o"]["c"]) for event in book.user_events if event["e"] == "ORDER_TRADE_UPDATE"][
        -2:
    ] == [
        ("NEW", "opslab-flatten-4"),
        ("TRADE", "opslab-flatten-4"),
    ]


def test_a_flat_account_needs_no_transaction() -> None:
    book = MemoryExchange()
    assert flatten(book) == FlattenResult(0, Decimal(0))
    assert book.ledger.transactions == 1


def test_a_halted_market_does_not_prevent_it() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    with book.hooks.installed(book.hooks.statuses, "HALT"):
        with pytest.raises(ApiError, match="-4108"):
            book.place("SELL", "0.050", reduceOnly="true")
        assert flatten(book).closed == Decimal("0.050")


def test_a_fault_has_it_refused_and_nothing_is_changed() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    with book.hooks.installed(book.hooks.flatten_refusals, True):
        for hold in (False, True):
            with pytest.raises(Refused):
                flatten(book, hold=hold)
        assert book.logged[-1][0] == "account_not_flattened"
        assert (book.exchange.is_flat, book.exchange.only_reducing) == (False, False)
    assert flatten(book).closed == Decimal("0.050")


def test_on_a_full_disk_only_a_flatten_with_hold_uses_the_reserved_space() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    book.ledger.full = book.ledger.has_reserve = True
    with pytest.raises(Environment, match="its ledger cannot be written"):
        flatten(book)
    assert flatten(book, hold=True).closed == Decimal("0.050")
    assert book.audit().proven


def test_exhausted_margin_does_not_prevent_it() -> None:
    book = MemoryExchange(balance="250", leverage=125)
    book.place("BUY", "0.500")
    book.exchange.market.last_price = 3_990_000  # the market fell; the margin balance is below zero
    assert flatten(book).closed == Decimal("0.500")
    assert book.audit().proven


def test_a_position_above_the_largest_order_takes_several_orders() -> None:
    book = MemoryExchange(balance="100000000", leverage=10)
    largest = book.exchange._matching_engine.filters.lot["MARKET"].max_quantity
    for _ in range(3):
        book.place("BUY", f"{largest}")
    position = book.position
    assert position > 2 * largest
    result = flatten(book)
    assert (result.closed, book.exchange.is_flat) == (position, True)
    assert book.logged[-1][1]["orders"] == 3
    assert max(order.quantity for order in book.exchange.account.closed.values()) == largest
    assert book.audit().proven


def test_a_position_above_the_displayed_depth_is_closed_as_the_depth_is_restored() -> None:
    """At 100 the book within a market order's reach has far less than the position; nothing else moves the market."""
    book = MemoryExchange(balance="100000000", leverage=10, price=10_000)
    for _ in range(20):
        book.place("BUY", "100.000")
        book.exchange.restore_depth()
    position = book.position
    displayed = sum(size for price, size in book.exchange.view.levels("SELL") if price >= 95)
    assert position > 3 * displayed
    assert flatten(book).closed == position
    assert book.exchange.is_flat
    assert book.audit().proven


def test_with_hold_the_account_stays_flat() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    flatten(book, hold=True)
    for params in ({}, {"price": "41000.0"}):
        with pytest.raises(ApiError, match="-4087 User can only place reduce only order"):
            book.place("BUY", "0.010", **params)
    with pytest.raises(ApiError, match="-2022"):
        book.place("BUY", "0.010", reduceOnly="true")
    flatten(book)  # a later one without hold does not end the hold
    with pytest.raises(ApiError, match="-4087"):
        book.place("SELL", "0.010")
    assert book.exchange.is_flat


def test_without_hold_orders_are_accepted_again() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    flatten(book)
    book.place("BUY", "0.010")
    assert book.position == Decimal("0.010")


def test_with_hold_no_position_can_be_opened_while_it_closes() -> None:
    async def scenario() -> None:
        book = MemoryExchange(balance="100000000")
        for _ in range(3):
            book.place("BUY", "120")
        closing = asyncio.ensure_future(Flattener(book.exchange, book.log_event).flatten("a test", hold=True))
        while book.position == 360:
            await asyncio.sleep(0)
        assert book.position > 0
        with pytest.raises(ApiError, match="-4087"):
            book.place("BUY", "0.010")
        await closing
        assert book.exchange.is_flat

    run(scenario)


def test_an_unwritable_ledger_is_reported_and_a_repeated_flatten_continues() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    book.place("BUY", "0.010", "41000.0")
    book.ledger.full = True
    with pytest.raises(Environment, match=r"cannot be written; position 0\.050, open orders 1"):
        flatten(book, hold=True)
    assert (book.position, len(book.exchange.account.open)) == (Decimal("0.050"), 1)
    assert book.logged[-1][0] == "account_not_flattened"
    book.ledger.full = False
    assert flatten(book) == FlattenResult(1, Decimal("0.050"))


def test_two_concurrent_flattens_close_it_once() -> None:
    async def scenario() -> None:
        book = MemoryExchange(balance="100000000")
        for _ in range(3):
            book.place("BUY", "120")
        flattener = Flattener(book.exchange, book.log_event)
        first, second = await asyncio.gather(*(flattener.flatten(reason, hold=False) for reason in ("first", "second")))
        assert (first.closed, second.closed) == (Decimal(360), Decimal(0))
        assert [fields["orders"] for event, fields in book.logged if event == "account_flattened"] == [3, 0]

    run(scenario)
