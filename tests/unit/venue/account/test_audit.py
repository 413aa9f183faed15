"""The audit proves a correct ledger, and finds each kind of forgery."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, LeverageSet
from opslab.venue.account.audit import MAX_FINDINGS, Audit, audit
from tests.fakes.account_at_price import NOW_MS, Scene, kinds, opened
from tests.fakes.random_walk import Walk

D = Decimal
Ledger = list[list[LedgerEvent]]


def ledger() -> Ledger:
    """Orders and trades of every kind; lines are counted from 1.

    1 opened; 2 buy 1.5 filled; 3 buy 0.2 rests; 4 sell 1 reduce-only rests; 5 order 2 amended; 6 order 3 partly
    filled; 7 buy ioc partly filled; 8 sell 3 filled, order 3 expires; 9 leverage; 10 sell rests; 11 all
    canceled.
    """
    scene = Scene(start=opened("1000000", 10))
    scene.place("BUY", "1.500")
    scene.place("BUY", "0.200", "29990.00")
    scene.place("SELL", "1.000", "30010.00", reduceOnly="true")
    scene.modify(2, "BUY", "0.300", "29991.00")
    scene.tick("30009.90", "30010.10", "30010.00", "0.300")
    scene.place("BUY", "1.200", "30010.10", timeInForce="IOC")
    scene.place("SELL", "3.000")
    scene.leverage(20)
    scene.place("SELL", "0.100", "30100.00")
    scene.cancel_all()
    return scene.ledger


def rules(result: Audit) -> set[str]:
    return {finding.rule for finding in result.findings}


def changed(lines: Ledger, line: int, index: int, **change: Any) -> Ledger:
    """line: from 1; index: of the event in the line."""
    event = lines[line - 1][index]
    lines[line - 1][index] = type(event).model_validate(dict(event) | change)
    return lines


def accepted(event: LedgerEvent) -> Accepted:
    assert isinstance(event, Accepted)
    return event


def filled(event: LedgerEvent) -> Filled:
    assert isinstance(event, Filled)
    return event


def test_a_correct_ledger_is_proven() -> None:
    lines = ledger()
    assert [kinds(events) for events in lines[1:]] == [
        ["accepted", "filled", "filled"],
        ["accepted"],
        ["accepted"],
        ["amended"],
        ["filled"],
        ["accepted", "filled", "expired"],
        ["accepted", "filled", "filled", "filled", "expired"],
        ["leverage_set"],
        ["accepted"],
        ["canceled", "canceled"],
    ]
    result = audit(lines)
    assert result.proven
    assert (result.transactions, result.orders, result.trades, result.open_orders) == (11, 6, 7, 0)
    assert result.start + result.realized - result.fees == result.wallet
    assert result.position == D("-0.8")


FORGERIES: dict[str, tuple[str, int, Callable[[Ledger], Ledger]]] = {
    "a first line without an opening": ("opening", 1, lambda lines: lines[1:]),
    "a second opening": ("opening", 3, lambda lines: [*lines[:2], lines[0], *lines[2:]]),
    "a negative start balance": ("opening", 1, lambda lines: changed(lines, 1, 0, balance=D(-1))),
    "an empty line": ("transaction", 2, lambda lines: [lines[0], [], *lines[1:]]),
    "an order accepted twice": ("order_id", 3, lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    "an order id out of order": ("order_id", 3, lambda lines: changed(lines, 3, 0, order_id=1)),
    "two open orders with one client order id": (
        "client_order_id",
        4,
        lambda lines: changed(lines, 4, 0, client_order_id=accepted(lines[2][0]).client_order_id),
    ),
    "an order without quantity": ("terms", 3, lambda lines: changed(lines, 3, 0, quantity=D(0))),
    "a market order with a price": ("terms", 2, lambda lines: changed(lines, 2, 0, price=D("30000.1"))),
    "a limit order without a price": ("terms", 3, lambda lines: changed(lines, 3, 0, price=None)),
    "a reduce-only order with nothing to reduce": (
        "reduce_only",
        3,
        lambda lines: changed(lines, 3, 0, reduce_only=True),
    ),
    "a trade of an unknown order": ("order", 6, lambda lines: changed(lines, 6, 0, order_id=99)),
    "a trade of a closed order": ("order", 6, lambda lines: changed(lines, 6, 0, order_id=1)),
    "a trade of a canceled order": (
        "order",
        6,
        lambda lines: [*lines[:5], [Canceled(order_id=3, time_ms=NOW_MS), *lines[5]], *lines[6:]],
    ),
    "a trade twice": ("trade_id", 7, lambda lines: [*lines[:6], lines[5], *lines[6:]]),
    "a trade left out": ("wallet", 7, lambda lines: [*lines[:5], *lines[6:]]),
    "a trade without quantity": ("trade", 6, lambda lines: changed(lines, 6, 0, quantity=D(0))),
    "more than the order quantity": ("overfilled", 6, lambda lines: changed(lines, 4, 0, quantity=D("0.2"))),
    "a price worse than the limit": ("price", 7, lambda lines: changed(lines, 7, 0, price=D("30010.0"))),
    "a maker at a better price than its own": ("price", 6, lambda lines: changed(lines, 4, 0, price=D("30009.90"))),
    "a taker as maker": ("maker", 2, lambda lines: changed(lines, 2, 1, maker=True)),
    "a post-only order as taker": (
        "maker",
        2,
        lambda lines: changed(lines, 2, 0, type="LIMIT", time_in_force="GTX", price=D(40_000)),
    ),
    "a fee too low": ("fee", 2, lambda lines: changed(lines, 2, 1, fee=filled(lines[1][1]).fee - D("0.00000001"))),
    "a profit too high": ("realized", 6, lambda lines: changed(lines, 6, 0, realized=D("999"))),
    "a profit of an opening trade": ("realized", 2, lambda lines: changed(lines, 2, 1, realized=D("0.00000001"))),
    "money without a source": ("wallet", 6, lambda lines: changed(lines, 6, 0, wallet=D("1000001"))),
    "another position": ("position", 6, lambda lines: changed(lines, 6, 0, position=D("1.5"))),
    "another cost": ("cost", 6, lambda lines: changed(lines, 6, 0, cost=D("1"))),
    "an amendment below the executed quantity": (
        "amended",
        7,
        lambda lines: [
            *lines[:6],
            [Amended(order_id=3, quantity=D("0.3"), price=D("30010.0"), time_ms=NOW_MS)],
            *lines[6:],
        ],
    ),
    "an amendment of a closed order": ("order", 5, lambda lines: changed(lines, 5, 0, order_id=1)),
    "a cancel of an unknown order": ("order", 11, lambda lines: changed(lines, 11, 0, order_id=77)),
    "a cancel twice": ("order", 12, lambda lines: [*lines, lines[10]]),
    "a resting order that expires as a market order": (
        "expired",
        11,
        lambda lines: [*lines[:10], [Expired(order_id=2, reason="market", time_ms=NOW_MS)]],
    ),
    "a reduce-only order that expires too early": (
        "expired",
        5,
        lambda lines: [*lines[:4], [Expired(order_id=3, reason="reduce_only", time_ms=NOW_MS)]],
    ),
    "a reduce-only order that outlives its position": ("reduce_only", 8, lambda lines: [*lines[:7], lines[7][:-1]]),
    "an ioc order that rests": ("resting", 7, lambda lines: [*lines[:6], lines[6][:-1]]),
    "leverage 0": ("leverage", 12, lambda lines: [*lines, [LeverageSet(leverage=0, time_ms=NOW_MS)]]),
    "a day before": ("time", 5, lambda lines: changed(lines, 5, 0, time_ms=NOW_MS - 86_400_001)),
}


@pytest.mark.parametrize(("rule", "line", "forge"), FORGERIES.values(), ids=FORGERIES.keys())
def test_the_audit_finds(rule: str, line: int, forge: Callable[[Ledger], Ledger]) -> None:
    result = audit(forge(ledger()))
    assert not result.proven
    assert (rule, line) in {(finding.rule, finding.line) for finding in result.findings}, result.findings


def test_a_reduce_only_order_that_reverses_the_position_is_found() -> None:
    """All stated values are consistent; only the reduce-only flag contradicts them."""
    scene = Scene()
    scene.place("BUY", "0.100")
    scene.place("SELL", "0.200")
    assert audit(scene.ledger).proven
    assert rules(audit(changed(scene.ledger, 3, 0, reduce_only=True))) == {"reduce_only"}


def test_the_smallest_change_of_any_value_of_a_trade_is_found() -> None:
    walk = Walk(7)
    for _ in range(600):
        walk.step()
    lines = walk.scene.ledger
    assert audit(lines).proven
    random = Random(1)
    trades = [
        (line, index)
        for line, events in enumerate(lines, start=1)
        for index, event in enumerate(events)
        if isinstance(event, Filled)
    ]
    assert len(trades) > 50
    steps = {"price": "0.10", "quantity": "0.001"}
    for line, index in random.sample(trades, 25):
        for name in ("price", "quantity", "fee", "realized", "wallet", "position", "cost"):
            for sign in (1, -1):
                step = sign * D(steps.get(name, "0.00000001"))
                copy = [list(events) for events in lines]
                changed(copy, line, index, **{name: getattr(lines[line - 1][index], name) + step})
                assert not audit(copy).proven, (line, index, name)


def test_all_findings_are_counted_beyond_the_kept_ones() -> None:
    lines = ledger()
    result = audit([*lines, *([lines[10]] * 80)])
    assert (len(result.findings), result.finding_count) == (MAX_FINDINGS, 160)
    assert result.findings[0].text() == "line 12: order: canceled for order 2, which is closed"


def test_an_empty_ledger_is_not_proven() -> None:
    assert rules(audit([])) == {"opening"}
