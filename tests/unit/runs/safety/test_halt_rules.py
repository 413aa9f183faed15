"""The rules of a halt: what is done to an engine by when, when an account was flat, how the venue is hunted down."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from opslab.errors import Corrupt
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.live.venue_rest_client import AccountState, VenueUnreachable
from opslab.nautilus.strategy.denied_orders import denied_request
from opslab.ports import Moment
from opslab.runs.safety.flat_times import flat_times, seconds_between
from opslab.runs.safety.halt_controller import Escalation, HaltProgress, next_escalation
from opslab.store.venues.ledger import LedgerEntry
from opslab.system import SystemClock
from tests.drivers.tc import wait_until


@pytest.mark.parametrize(
    ("seconds", "gate_closed", "done", "flat", "step"),
    [
        (0.1, False, "none", False, "none"),
        (0.6, False, "none", False, "sigterm"),
        (0.6, True, "none", False, "none"),
        (1.0, False, "sigterm", False, "none"),
        (1.6, False, "sigterm", False, "sigkill"),
        (1.6, True, "none", False, "none"),
        (2.6, True, "none", False, "sigkill"),
        (2.6, True, "none", True, "none"),
        (7.9, True, "none", True, "none"),
        (8.1, True, "none", True, "sigkill"),
        (9.0, False, "sigkill", False, "none"),
    ],
)
def test_an_engine_is_pressed_by_deadlines(
    seconds: float, gate_closed: bool, done: Escalation, flat: bool, step: Escalation
) -> None:
    assert next_escalation(HaltProgress(seconds, gate_closed, done), lambda: flat) == step


def test_the_venue_is_asked_only_when_it_matters() -> None:
    def never() -> bool:
        raise AssertionError("asked")

    assert next_escalation(HaltProgress(1.0, True, "none"), never) == "none"


def transactions(*events: list[dict[str, Any]]) -> list[LedgerEntry]:
    """One a second."""
    return [
        LedgerEntry(n, f"2026-01-01T00:00:{n:02d}.000000Z", Moment(0, 0), tuple(found))
        for n, found in enumerate(events, 1)
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
    found = flat_times(transactions(*events))
    assert [found.no_orders_at, found.flat_at] == [
        None if second is None else f"2026-01-01T00:00:{second:02d}.000000Z" for second in (no_orders, flat)
    ]


def test_a_ledger_that_tells_of_an_order_it_never_had_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        flat_times(transactions([filled(7, "0.020", "0.020")]))


def test_what_was_before_took_no_time() -> None:
    assert seconds_between("2026-01-01T00:00:02.000000Z", "2026-01-01T00:00:01.500000Z") == 0
    assert seconds_between("2026-01-01T00:00:01.500000Z", "2026-01-01T00:00:02.000000Z") == 0.5


class Account:
    """Stands in for the client: what is open, and how often it refuses to say."""

    def __init__(self, *, orders: int = 0, position: str = "0", silent: int = 0) -> None:
        self.orders, self.position, self.silent = orders, Decimal(position), silent
        self.asked: list[str] = []

    def account(self) -> AccountState:
        self.asked.append("account")
        if self.silent:
            self.silent -= 1
            raise VenueUnreachable("no")
        return AccountState(self.orders, self.position)

    def cancel_all(self) -> None:
        self.asked.append("cancel")
        self.orders = 0

    def reduce(self, position: Decimal) -> None:
        self.asked.append("reduce")
        self.position -= position


def rest_flattener(account: Account) -> RestFlattener:
    return RestFlattener(account, SystemClock())  # type: ignore[arg-type]


def test_the_hunt_closes_before_it_cancels_and_is_not_settled_while_orders_are_on_their_way() -> None:
    account = Account(orders=3, position="0.020")
    found = rest_flattener(account)
    found.start()
    wait_until(lambda: account.asked.count("account") > 6, "some rounds")
    assert account.asked[:3] == ["account", "reduce", "cancel"]
    assert not found.confirmed_flat, "nobody has said that nothing is on its way"
    done = found.finish()
    assert (done.flat, account.orders, account.position) == (True, 0, Decimal(0))


def test_the_hunt_goes_after_what_comes_to_be_an_order_later() -> None:
    account = Account(orders=1)
    found = rest_flattener(account)
    found.start()
    settled_with(found, lambda: found.confirmed_flat)
    account.orders = 2
    wait_until(lambda: account.orders == 0, "the late orders to be ended")
    assert found.finish().flat


def test_a_venue_that_does_not_answer_is_asked_again() -> None:
    account = Account(orders=1, silent=3)
    assert rest_flattener(account).finish().flat
    assert account.orders == 0


def settled_with(found: RestFlattener, holds: Callable[[], bool]) -> None:
    """The engine's word, given again and again as its thread does."""

    def turn() -> bool:
        found.nothing_in_flight()
        return holds()

    wait_until(turn, "the hunt to settle")


class Order:
    client_order_id, side, order_type, quantity, price = "O-1", "OrderSide.BUY", "OrderType.LIMIT", "0.010", None


class Orders:
    orders = (1, 2)


def test_what_the_gate_kept_back_is_told_in_plain_words() -> None:
    assert denied_request("submit_order", (Order(),), {}) == {
        "call": "submit_order", "client_order_id": "O-1", "side": "BUY", "order_type": "LIMIT", "quantity": "0.010",
    }  # fmt: skip
    assert denied_request("submit_order_list", (), {"order_list": Orders()}) == {"call": "submit_order_list", "orders": 2}
    assert denied_request("market_exit", (), {}) == {"call": "market_exit"}
    assert denied_request("submit_order", (object(),), {}) == {"call": "submit_order"}
