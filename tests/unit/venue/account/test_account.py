"""Events change the account, and impossible events are rejected."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.errors import Corrupt
from opslab.model.messages.ledger_events import (
    Accepted,
    Amended,
    Canceled,
    Filled,
    LedgerEvent,
    LeverageSet,
    OrderSide,
    event_fields,
    parse_event,
)
from opslab.venue.account.account import Account, Holding
from tests.fakes.account_at_price import NOW_MS, Scene, kinds, opened

D = Decimal
EMPTY = Holding(D(1000), D(0), D(0))


def holding_after(*trades: tuple[OrderSide, str, str], fee: str = "0") -> tuple[Holding, list[Decimal]]:
    holding, realized = EMPTY, []
    for side, price, quantity in trades:
        holding, profit = holding.after_trade(side, D(price), D(quantity), D(fee))
        realized.append(profit)
    return holding, realized


def test_a_position_is_averaged_closed_and_flipped() -> None:
    holding, realized = holding_after(("BUY", "100", "1"), ("BUY", "110", "3"))
    assert (holding.position, holding.cost, holding.entry_price) == (D(4), D(430), D("107.5"))
    holding, realized = holding_after(("BUY", "100", "1"), ("BUY", "110", "3"), ("SELL", "120", "1"))
    assert (realized[-1], holding.cost, holding.wallet) == (D("12.5"), D("322.5"), D("1012.5"))
    holding, realized = holding_after(("BUY", "100", "1"), ("SELL", "90", "3"))
    assert (realized[-1], holding.position, holding.cost, holding.entry_price) == (D(-10), D(-2), D(-180), D(90))
    holding, realized = holding_after(("SELL", "100", "2"), ("BUY", "90", "2"))
    assert (realized[-1], holding.position, holding.cost, holding.entry_price) == (D(20), D(0), D(0), D(0))


def test_a_fee_leaves_the_wallet_and_not_the_profit() -> None:
    holding, realized = holding_after(("BUY", "100", "1"), ("SELL", "101", "1"), fee="0.05")
    assert (sum(realized), holding.wallet) == (D(1), D("1000.9"))


def test_the_cost_of_a_closed_part_is_rounded_once_and_the_remainder_stays() -> None:
    holding, realized = holding_after(
        ("BUY", "100.00", "0.003"), ("SELL", "100.01", "0.001"), ("SELL", "100.01", "0.001")
    )
    assert realized[1:] == [D("0.00001"), D("0.00001")]
    holding, realized = holding_after(("BUY", "10.00", "0.001"), ("BUY", "10.01", "0.002"), ("SELL", "10.00", "0.001"))
    assert realized[-1] == D("-0.00000667")
    assert holding.cost == D("0.02001333")
    holding, last = holding.after_trade("SELL", D("10.00"), D("0.002"), D(0))
    assert (holding.position, holding.cost) == (D(0), D(0))
    assert realized[-1] + last == D("-0.00002")


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 5_000_000), st.integers(1, 2_000_000), st.integers(0, 10**9)),
        min_size=1,
        max_size=30,
    )
)
def test_no_money_is_lost_in_any_sequence_of_trades(trades: list[tuple[bool, int, int, int]]) -> None:
    holding, realized, paid, fees, signed_sum = EMPTY, D(0), D(0), D(0), D(0)
    for buys, cents, steps, fee_units in trades:
        price, quantity, fee = D(cents) / 100, D(steps) / 1000, D(fee_units) / 10**8
        holding, profit = holding.after_trade("BUY" if buys else "SELL", price, quantity, fee)
        signed = quantity if buys else -quantity
        realized, paid, fees, signed_sum = realized + profit, paid + signed * price, fees + fee, signed_sum + signed
        assert holding.position == signed_sum
        assert holding.wallet == 1000 + realized - fees
        assert holding.cost == paid + realized
        assert holding.position or not holding.cost
        assert holding.cost * holding.position >= 0


def scene_with_every_event() -> Scene:
    scene = Scene()
    scene.place("BUY", "0.500", newClientOrderId="first")
    scene.place("BUY", "0.100", "29990.00")
    scene.place("SELL", "0.300", "30010.00", reduceOnly="true", newClientOrderId="out")
    scene.modify(2, "BUY", "0.120", "29991.00")
    scene.tick("30010.00", "30010.10", "30010.00", "0.100")
    scene.leverage(10)
    scene.place("SELL", "0.400")
    scene.cancel_all()
    return scene


def test_the_account_replayed_from_its_ledger_is_equal() -> None:
    scene = scene_with_every_event()
    assert set(kinds(scene.events())) == {
        "opened",
        "accepted",
        "filled",
        "amended",
        "leverage_set",
        "expired",
        "canceled",
    }
    replayed = Account.replay(parse_event(event_fields(event)) for event in scene.events())
    assert replayed == scene.account
    assert replayed is not scene.account


def test_external_orders_are_counted_by_their_ids() -> None:
    scene = Scene()
    for name in ("x-aHRE4BCj-T04asLHBvvAy6z", "opslab-flatten-1", "autoclose-1", "venue_1", "by-hand"):
        scene.place("BUY", "0.010", "29000.00", newClientOrderId=name)
    assert scene.account.external_orders == 2


def test_orders_are_found_by_either_id_while_they_are_kept() -> None:
    scene = scene_with_every_event()
    account = scene.account
    assert [order.order_id for order in account.orders()] == [1, 2, 3, 4]
    order = account.find(None, "first")
    assert order is not None
    assert (order.order_id, order.status, order.executed, order.average_price) == (1, "FILLED", D("0.5"), D("30000.1"))
    assert account.find(1, "out") is order
    assert account.find(99, None) is None
    assert account.find(None, "unknown") is None
    assert account.find(None, None) is None
    scene.place("BUY", "0.010", "29000.00", newClientOrderId="first")
    reused = account.find(None, "first")
    assert reused is not None
    assert reused.order_id == 5


def test_the_oldest_closed_orders_are_dropped_first() -> None:
    scene = Scene()
    scene.account = Account.from_opened(scene.start, max_history=3)
    for _ in range(5):
        scene.place("BUY", "0.010", "29000.00", newClientOrderId="same")
        scene.cancel(scene.account.last_order_id)
    assert list(scene.account.closed) == [3, 4, 5]
    assert scene.account.closed_by_client == {"same": 5}
    for _ in range(4):
        scene.place("BUY", "0.010")
    assert [trade.trade_id for trade in scene.account.trades] == [2, 3, 4]
    assert (len(scene.account.closed), scene.account.closed_by_client.get("same")) == (3, None)


def accepted(number: int = 1, client: str = "a") -> Accepted:
    return Accepted(
        order_id=number,
        client_order_id=client,
        side="BUY",
        type="LIMIT",
        time_in_force="GTC",
        quantity=D("0.010"),
        price=D("30000"),
        reduce_only=False,
        time_ms=NOW_MS,
    )


def fill(**change: object) -> Filled:
    stated: dict[str, object] = {
        "order_id": 1,
        "trade_id": 1,
        "price": D("30000"),
        "quantity": D("0.004"),
        "maker": True,
        "fee": D("0.024"),
        "realized": D(0),
        "wallet": D("9999.976"),
        "position": D("0.004"),
        "cost": D(120),
        "time_ms": NOW_MS,
    }
    return Filled.model_validate(stated | change)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (opened(), "twice"),
        (accepted(1, "b"), "after order 1"),
        (accepted(2, "a"), "client order id"),
        (Canceled(order_id=2, time_ms=NOW_MS), "order 2 is not open"),
        (Amended(order_id=1, quantity=D(0), price=D(1), time_ms=NOW_MS), "less than its executed quantity"),
        (fill(order_id=9), "order 9 is not open"),
        (fill(wallet=D(10_000)), "does not result in"),
        (fill(position=D("0.005")), "does not result in"),
        (fill(cost=D(121)), "does not result in"),
        (fill(realized=D(1)), "does not result in"),
        (fill(trade_id=0), "does not follow"),
        (fill(quantity=D("0.011"), position=D("0.011"), cost=D(330)), "does not follow"),
    ],
)
def test_an_impossible_event_is_not_applied(event: LedgerEvent, message: str) -> None:
    account = Account.replay([opened(), accepted()])
    before = Account.replay([opened(), accepted()])
    with pytest.raises(Corrupt, match=message):
        account.apply(event)
    assert account == before


def test_a_ledger_starts_with_its_opening() -> None:
    with pytest.raises(Corrupt, match="empty"):
        Account.replay([])
    with pytest.raises(Corrupt, match="starts with leverage_set"):
        Account.replay([LeverageSet(leverage=3, time_ms=NOW_MS)])


def test_an_event_goes_through_text_unchanged() -> None:
    event = fill(fee=D("0.02400000"), cost=D("1E+2"), wallet=D("9999.876"))
    text = event_fields(event)
    assert (text["kind"], text["fee"], text["cost"]) == ("filled", "0.02400000", "100")
    assert parse_event(text) == event


@pytest.mark.parametrize(
    "change", [{"fee": 0.024}, {"fee": "NaN"}, {"fee": "1e3"}, {"kind": "other"}, {"extra": 1}, {"maker": "true"}]
)
def test_invalid_event_text_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parse_event(event_fields(fill()) | change)
