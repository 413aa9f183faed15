"""What the venue says of the account, from its own book."""

from decimal import Decimal

from opslab.model.messages.venue_messages import VenueProgress
from opslab.reconciliation.snapshot import Snapshot, read_snapshot
from opslab.reconciliation.values import Unjudged
from opslab.venue.control.account_snapshot import statement
from tests.fakes.memory_exchange import Book

AT_NS = 1_700_000_000_123_456_789
PROGRESS = VenueProgress(
    state="replaying",
    minutes=7,
    last_open="2024-01-01T00:06:00Z",
    messages=11,
    clients=2,
    open_orders=0,
    position="0",
    lag_ms=0.0,
)


def said(book: Book) -> Snapshot:
    """As reconciliation reads it; every value can be judged."""
    found, mistakes = read_snapshot(statement(book.exchange, PROGRESS, AT_NS).account.model_dump_json().encode())
    assert mistakes == []
    assert found is not None
    assert not isinstance(found.positions, Unjudged)
    assert not isinstance(found.open_orders, Unjudged)
    assert not isinstance(found.balances, Unjudged)
    assert (found.positions.defects, found.open_orders.defects, found.balances.defects) == ((), (), ())
    return found


def test_a_flat_account_lists_no_position_and_its_wallet() -> None:
    told = statement(Book(balance="5000").exchange, PROGRESS, AT_NS)
    assert told.account.as_of == "2023-11-14T22:13:20.123456Z"
    assert (told.account.positions, told.account.open_orders, told.venue_order_ids) == ((), (), {})
    (balance,) = told.account.balances or ()
    assert balance.model_dump() == {
        "asset": "USDT", "total": "5000.00000000", "free": "5000.00000000", "locked": "0.00000000",
    }  # fmt: skip
    assert (told.transactions, told.orders, told.fills) == (1, 0, 0)
    assert (told.replay, told.minutes, told.messages) == ("replaying", 7, 11)


def test_positions_and_open_orders_are_in_the_words_of_a_snapshot() -> None:
    book = Book()
    book.place("SELL", "0.050")
    book.place("BUY", "0.010", "41000.0", newClientOrderId="mine")
    (open_order,) = book.exchange.account.open.values()
    told = statement(book.exchange, PROGRESS, AT_NS)
    assert [row.model_dump() for row in told.account.positions or ()] == [
        {
            "instrument": "BTCUSDT",
            "side": "SHORT",
            "signed_quantity": "-0.050",
            "average_entry_price": "42000.00000",
        }
    ]
    assert [row.model_dump() for row in told.account.open_orders or ()] == [
        {
            "client_order_id": "mine",
            "instrument": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "quantity": "0.010",
            "filled_quantity": "0.000",
            "price": "41000.00",
            "status": "ACCEPTED",
        }
    ]
    assert told.venue_order_ids == {"mine": "2"}
    assert (told.transactions, told.orders, told.fills) == (3, 2, 1)
    open_order.executed, open_order.status = Decimal("0.004"), "PARTIALLY_FILLED"
    (row,) = statement(book.exchange, PROGRESS, AT_NS).account.open_orders or ()
    assert (row.filled_quantity, row.status) == ("0.004", "PARTIALLY_FILLED")


def test_reconciliation_can_judge_all_of_it_whatever_the_market_did() -> None:
    """Total is the wallet; locked never falls below zero, and adds up with free: in profit, in loss, under water."""
    for price in (4_200_000, 8_400_000, 1_000_000):
        book = Book(balance="100000")
        book.place("BUY", "2.000")
        book.place("BUY", "0.010", "41000.0")
        book.exchange.market.last_price = price
        found = said(book)
        assert not isinstance(found.balances, Unjudged)
        assert found.balances.by_key["USDT"].total == book.exchange.account.holding.wallet
        assert Decimal(str(found.balances.by_key["USDT"].locked)) > 0


def test_no_fault_of_the_venue_touches_it() -> None:
    book = Book()
    book.place("BUY", "0.050")
    before = statement(book.exchange, PROGRESS, AT_NS)
    with book.hooks.held(book.hooks.statuses, "HALT"), book.hooks.held(book.hooks.skews_ms, 3_600_000):
        assert statement(book.exchange, PROGRESS, AT_NS) == before


def test_a_ledger_that_grows_is_counted() -> None:
    book = Book()
    counts = [statement(book.exchange, PROGRESS, AT_NS).transactions]
    for _ in range(2):
        book.place("BUY", "0.010")
        counts.append(statement(book.exchange, PROGRESS, AT_NS).transactions)
    assert counts == [1, 2, 3]
