"""The account snapshot from the venue's own book."""

from decimal import Decimal

from opslab.model.messages.venue_messages import VenueProgress
from opslab.reconciliation.snapshot import Snapshot, read_snapshot
from opslab.reconciliation.values import Unjudged
from opslab.venue.control.account_snapshot import account_snapshot
from tests.fakes.memory_exchange import MemoryExchange

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


def parsed(book: MemoryExchange) -> Snapshot:
    """The snapshot as reconciliation reads it; every value is valid."""
    snapshot, mistakes = read_snapshot(
        account_snapshot(book.exchange, PROGRESS, AT_NS).account.model_dump_json().encode()
    )
    assert mistakes == []
    assert snapshot is not None
    assert not isinstance(snapshot.positions, Unjudged)
    assert not isinstance(snapshot.open_orders, Unjudged)
    assert not isinstance(snapshot.balances, Unjudged)
    assert (snapshot.positions.defects, snapshot.open_orders.defects, snapshot.balances.defects) == ((), (), ())
    return snapshot


def test_a_flat_account_lists_no_position_and_its_wallet() -> None:
    snapshot = account_snapshot(MemoryExchange(balance="5000").exchange, PROGRESS, AT_NS)
    assert snapshot.account.as_of == "2023-11-14T22:13:20.123456Z"
    assert (snapshot.account.positions, snapshot.account.open_orders, snapshot.venue_order_ids) == ((), (), {})
    (balance,) = snapshot.account.balances or ()
    assert balance.model_dump() == {
        "asset": "USDT", "total": "5000.00000000", "free": "5000.00000000", "locked": "0.00000000",
    }  # fmt: skip
    assert (snapshot.transactions, snapshot.orders, snapshot.fills) == (1, 0, 0)
    assert (snapshot.replay, snapshot.minutes, snapshot.messages) == ("replaying", 7, 11)


def test_positions_and_open_orders_use_the_terms_of_reconciliation() -> None:
    book = MemoryExchange()
    book.place("SELL", "0.050")
    book.place("BUY", "0.010", "41000.0", newClientOrderId="mine")
    (open_order,) = book.exchange.account.open.values()
    snapshot = account_snapshot(book.exchange, PROGRESS, AT_NS)
    assert [row.model_dump() for row in snapshot.account.positions or ()] == [
        {
            "instrument": "BTCUSDT",
            "side": "SHORT",
            "signed_quantity": "-0.050",
            "average_entry_price": "42000.00000",
        }
    ]
    assert [row.model_dump() for row in snapshot.account.open_orders or ()] == [
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
    assert snapshot.venue_order_ids == {"mine": "2"}
    assert (snapshot.transactions, snapshot.orders, snapshot.fills) == (3, 2, 1)
    open_order.executed, open_order.status = Decimal("0.004"), "PARTIALLY_FILLED"
    (row,) = account_snapshot(book.exchange, PROGRESS, AT_NS).account.open_orders or ()
    assert (row.filled_quantity, row.status) == ("0.004", "PARTIALLY_FILLED")


def test_reconciliation_can_judge_every_value_at_any_price() -> None:
    """Total is the wallet; locked is never negative and adds up with free: in profit, in loss, with negative equity."""
    for price in (4_200_000, 8_400_000, 1_000_000):
        book = MemoryExchange(balance="100000")
        book.place("BUY", "2.000")
        book.place("BUY", "0.010", "41000.0")
        book.exchange.market.last_price = price
        snapshot = parsed(book)
        assert not isinstance(snapshot.balances, Unjudged)
        assert snapshot.balances.by_key["USDT"].total == book.exchange.account.holding.wallet
        assert Decimal(str(snapshot.balances.by_key["USDT"].locked)) > 0


def test_no_fault_affects_it() -> None:
    book = MemoryExchange()
    book.place("BUY", "0.050")
    expected = account_snapshot(book.exchange, PROGRESS, AT_NS)
    with book.hooks.installed(book.hooks.statuses, "HALT"), book.hooks.installed(book.hooks.skews_ms, 3_600_000):
        assert account_snapshot(book.exchange, PROGRESS, AT_NS) == expected


def test_it_has_the_number_of_transactions() -> None:
    book = MemoryExchange()
    counts = [account_snapshot(book.exchange, PROGRESS, AT_NS).transactions]
    for _ in range(2):
        book.place("BUY", "0.010")
        counts.append(account_snapshot(book.exchange, PROGRESS, AT_NS).transactions)
    assert counts == [1, 2, 3]
