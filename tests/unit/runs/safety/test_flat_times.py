"""When an account was without orders and flat, from the transactions of a ledger."""

from typing import Any

import pytest

from opslab.errors import Corrupt
from opslab.ports import Moment
from opslab.runs.safety.flat_times import flat_times, seconds_between
from opslab.store.venues.ledger import LedgerEntry


def transactions(*events: list[dict[str, Any]]) -> list[LedgerEntry]:
    """One a second."""
    return [
        LedgerEntry(number, f"2026-01-01T00:00:{number:02d}.000000Z", Moment(0, 0), tuple(transaction))
        for number, transaction in enumerate(events, 1)
    ]


def accepted(number: int, quantity: str = "0.020") -> dict[str, Any]:
    return {
        "kind": "accepted", "order_id": number, "client_order_id": f"o{number}", "side": "BUY", "type": "LIMIT",
        "time_in_force": "GTC", "quantity": quantity, "price": "20000", "reduce_only": False, "time_ms": 1,
    }  # fmt: skip


def filled(number: int, quantity: str, position: str) -> dict[str, Any]:
    return {
        "kind": "filled", "order_id": number, "trade_id": 1, "price": "20000", "quantity": quantity, "maker": False,
        "fee": "0", "realized": "0", "wallet": "0", "position": position, "cost": "0", "time_ms": 1,
    }  # fmt: skip


def canceled(number: int) -> dict[str, Any]:
    return {"kind": "canceled", "order_id": number, "time_ms": 1}


AMENDED = {"kind": "amended", "order_id": 1, "quantity": "0.010", "price": "20000", "time_ms": 1}


@pytest.mark.parametrize(
    ("events", "no_orders", "flat"),
    [
        ([], None, None),
        ([[accepted(1)], [canceled(1)]], 2, 2),
        ([[accepted(1)], [filled(1, "0.020", "0.020")]], 2, None),
        ([[accepted(1)], [filled(1, "0.010", "0.010")], [canceled(1)]], 3, None),
        ([[accepted(1), filled(1, "0.020", "0.020")], [accepted(2)], [canceled(2)]], 3, None),
        ([[accepted(1), filled(1, "0.020", "0.020")], [accepted(2), filled(2, "0.020", "0")]], None, 2),
        ([[accepted(1)], [canceled(1)], [accepted(2)], [canceled(2)], []], 4, 4),
        ([[accepted(1)], [filled(1, "0.010", "0.010")], [AMENDED]], 3, None),
        ([[accepted(1)]], None, None),
    ],
)
def test_an_account_is_flat_from_its_last_change_on(
    events: list[list[dict[str, Any]]], no_orders: int | None, flat: int | None
) -> None:
    times = flat_times(transactions(*events))
    assert [times.no_orders_at, times.flat_at] == [
        None if second is None else f"2026-01-01T00:00:{second:02d}.000000Z" for second in (no_orders, flat)
    ]


def test_a_ledger_with_a_fill_of_an_unknown_order_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        flat_times(transactions([filled(7, "0.020", "0.020")]))


def test_an_account_that_was_flat_before_took_no_time() -> None:
    assert seconds_between("2026-01-01T00:00:02.000000Z", "2026-01-01T00:00:01.500000Z") == 0
    assert seconds_between("2026-01-01T00:00:01.500000Z", "2026-01-01T00:00:02.000000Z") == 0.5
