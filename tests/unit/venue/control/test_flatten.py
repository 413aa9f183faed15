"""The venue flattens the account by itself, whatever stands in a client's way, and keeps it flat."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from opslab.errors import Environment
from opslab.venue.api_error import ApiError
from opslab.venue.control.flatten import Flattener, FlattenResult
from tests.fakes import virtual_time
from tests.fakes.memory_exchange import Book


def flatten(book: Book, *, hold: bool = False) -> FlattenResult:
    return virtual_time.run(Flattener(book.exchange, book.log_event).flatten("a test", hold=hold))


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def parse_integer() -> None:
        await scene()

    virtual_time.run(parse_integer())


@pytest.mark.parametrize(("side", "signed"), [("BUY", "0.050"), ("SELL", "-0.050")])
def test_open_orders_are_canceled_and_the_position_is_closed(side: str, signed: str) -> None:
    book = Book()
    book.place(side, "0.050")
    for price in ("41000.0", "41500.0"):
        book.place("BUY", "0.010", price)
    done = flatten(book)
    assert (done.canceled, done.closed, book.exchange.is_flat) == (2, Decimal(signed), True)
    assert book.audit().proven
    assert book.audit().position == 0
    own = book.exchange.account.closed[4]
    assert (own.client_order_id, own.type, own.reduce_only, own.status) == (
        "opslab-flatten-4",
        "MARKET",
        True,
        "FILLED",
    )
    assert [(event["o"]["x"], event["o"]["c"]) for event in book.told if event["e"] == "ORDER_TRADE_UPDATE"][-2:] == [
        ("NEW", "opslab-flatten-4"),
        ("TRADE", "opslab-flatten-4"),
    ]


def test_flat_is_flat_and_nothing_is_written() -> None:
    book = Book()
    assert flatten(book) == FlattenResult(0, Decimal(0))
    assert book.ledger.transactions == 1


def test_a_market_that_is_halted_is_no_obstacle() -> None:
    book = Book()
    book.place("BUY", "0.050")
    with book.hooks.held(book.hooks.statuses, "HALT"):
        with pytest.raises(ApiError, match="-4108"):
            book.place("SELL", "0.050", reduceOnly="true")
        assert flatten(book).closed == Decimal("0.050")


def test_on_a_full_disk_there_is_room_for_the_last_end_and_for_no_other() -> None:
    book = Book()
    book.place("BUY", "0.050")
    book.ledger.full = book.ledger.room = True
    with pytest.raises(Environment, match="its ledger cannot be written"):
        flatten(book)
    assert flatten(book, hold=True).closed == Decimal("0.050")
    assert book.audit().proven


def test_margin_that_is_used_up_is_no_obstacle() -> None:
    book = Book(balance="250", leverage=125)
    book.place("BUY", "0.500")
    book.exchange.market.last_price = 3_990_000  # the market fell; the margin balance is below zero
    assert flatten(book).closed == Decimal("0.500")
    assert book.audit().proven


def test_more_than_one_order_may_be_for_takes_several() -> None:
    book = Book(balance="100000000", leverage=10)
    largest = book.exchange._desk.filters.lot["MARKET"].largest
    for _ in range(3):
        book.place("BUY", f"{largest}")
    held = book.position
    assert held > 2 * largest
    done = flatten(book)
    assert (done.closed, book.exchange.is_flat) == (held, True)
    assert book.said[-1][1]["orders"] == 3
    assert max(order.quantity for order in book.exchange.account.closed.values()) == largest
    assert book.audit().proven


def test_more_than_the_market_has_within_reach_is_closed_with_what_comes_back() -> None:
    """At 100 the book within a market order's reach has far less than is held; nothing moves the market but this."""
    book = Book(balance="100000000", leverage=10, price=10_000)
    for _ in range(20):
        book.place("BUY", "100.000")
        book.exchange.restore_depth()
    held = book.position
    displayed = sum(size for price, size in book.exchange.view.levels("SELL") if price >= 95)
    assert held > 3 * displayed
    assert flatten(book).closed == held
    assert book.exchange.is_flat
    assert book.audit().proven


def test_held_flat_stays_flat() -> None:
    book = Book()
    book.place("BUY", "0.050")
    flatten(book, hold=True)
    for more in ({}, {"price": "41000.0"}):
        with pytest.raises(ApiError, match="-4087 User can only place reduce only order"):
            book.place("BUY", "0.010", **more)
    with pytest.raises(ApiError, match="-2022"):
        book.place("BUY", "0.010", reduceOnly="true")
    flatten(book)  # a later one without hold does not let go
    with pytest.raises(ApiError, match="-4087"):
        book.place("SELL", "0.010")
    assert book.exchange.is_flat


def test_without_hold_the_market_is_open_again() -> None:
    book = Book()
    book.place("BUY", "0.050")
    flatten(book)
    book.place("BUY", "0.010")
    assert book.position == Decimal("0.010")


def test_while_it_closes_nothing_can_be_opened_if_it_is_to_hold() -> None:
    async def scene() -> None:
        book = Book(balance="100000000")
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

    play(scene)


def test_a_ledger_that_cannot_be_written_is_said_and_asking_again_goes_on() -> None:
    book = Book()
    book.place("BUY", "0.050")
    book.place("BUY", "0.010", "41000.0")
    book.ledger.full = True
    with pytest.raises(Environment, match=r"cannot be written; the position is 0\.050, open orders 1"):
        flatten(book, hold=True)
    assert (book.position, len(book.exchange.account.open)) == (Decimal("0.050"), 1)
    assert book.said[-1][0] == "account not flattened"
    book.ledger.full = False
    assert flatten(book) == FlattenResult(1, Decimal("0.050"))


def test_two_at_once_close_it_once() -> None:
    async def scene() -> None:
        book = Book(balance="100000000")
        for _ in range(3):
            book.place("BUY", "120")
        flattener = Flattener(book.exchange, book.log_event)
        first, second = await asyncio.gather(*(flattener.flatten(why, hold=False) for why in ("one", "two")))
        assert (first.closed, second.closed) == (Decimal(360), Decimal(0))
        assert [more["orders"] for what, more in book.said if what == "account flattened"] == [3, 0]

    play(scene)
