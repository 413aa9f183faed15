"""The audit believes a true ledger, and notices each kind of a false one."""

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

    1 opened; 2 buy 1.5 taken; 3 buy 0.2 waits; 4 sell 1 reduce-only waits; 5 order 2 amended; 6 order 3 filled in
    part; 7 buy ioc taken in part; 8 sell 2 taken, order 3 expires; 9 leverage; 10 sell waits; 11 all canceled.
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


def rules(found: Audit) -> set[str]:
    return {finding.rule for finding in found.findings}


def changed(lines: Ledger, line: int, place: int, **change: Any) -> Ledger:
    """line: from 1; place: of the event in it."""
    event = lines[line - 1][place]
    lines[line - 1][place] = type(event).model_validate(dict(event) | change)
    return lines


def accepted(event: LedgerEvent) -> Accepted:
    assert isinstance(event, Accepted)
    return event


def filled(event: LedgerEvent) -> Filled:
    assert isinstance(event, Filled)
    return event


def test_a_true_ledger_is_proven() -> None:
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
    found = audit(lines)
    assert found.proven
    assert (found.transactions, found.orders, found.trades, found.open_orders) == (11, 6, 7, 0)
    assert found.start + found.realized - found.fees == found.wallet
    assert found.position == D("-0.8")


FORGERIES: dict[str, tuple[str, int, Callable[[Ledger], Ledger]]] = {
    "a first line that opens nothing": ("opening", 1, lambda lines: lines[1:]),
    "a second opening": ("opening", 3, lambda lines: [*lines[:2], lines[0], *lines[2:]]),
    "a debt to begin with": ("opening", 1, lambda lines: changed(lines, 1, 0, balance=D(-1))),
    "an empty line": ("transaction", 2, lambda lines: [lines[0], [], *lines[1:]]),
    "an order accepted twice": ("order_id", 3, lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    "an order's number out of turn": ("order_id", 3, lambda lines: changed(lines, 3, 0, order_id=1)),
    "two open orders of one name": (
        "client_order_id",
        4,
        lambda lines: changed(lines, 4, 0, client_order_id=accepted(lines[2][0]).client_order_id),
    ),
    "an order for nothing": ("terms", 3, lambda lines: changed(lines, 3, 0, quantity=D(0))),
    "a market order with a price": ("terms", 2, lambda lines: changed(lines, 2, 0, price=D("30000.1"))),
    "a limit order without one": ("terms", 3, lambda lines: changed(lines, 3, 0, price=None)),
    "a reduce-only order with nothing to reduce": (
        "reduce_only",
        3,
        lambda lines: changed(lines, 3, 0, reduce_only=True),
    ),
    "a trade of no order": ("order", 6, lambda lines: changed(lines, 6, 0, order_id=99)),
    "a trade of an order that ended": ("order", 6, lambda lines: changed(lines, 6, 0, order_id=1)),
    "a trade of an order that was canceled": (
        "order",
        6,
        lambda lines: [*lines[:5], [Canceled(order_id=3, time_ms=NOW_MS), *lines[5]], *lines[6:]],
    ),
    "a trade twice": ("trade_id", 7, lambda lines: [*lines[:6], lines[5], *lines[6:]]),
    "a trade left out": ("wallet", 7, lambda lines: [*lines[:5], *lines[6:]]),
    "a trade of nothing": ("trade", 6, lambda lines: changed(lines, 6, 0, quantity=D(0))),
    "more than was ordered": ("overfilled", 6, lambda lines: changed(lines, 4, 0, quantity=D("0.2"))),
    "a price worse than the limit": ("price", 7, lambda lines: changed(lines, 7, 0, price=D("30010.0"))),
    "a maker at a better price than its own": ("price", 6, lambda lines: changed(lines, 4, 0, price=D("30009.90"))),
    "a taker as maker": ("maker", 2, lambda lines: changed(lines, 2, 1, maker=True)),
    "a post-only order that takes": (
        "maker",
        2,
        lambda lines: changed(lines, 2, 0, type="LIMIT", time_in_force="GTX", price=D(40_000)),
    ),
    "a fee too low": ("fee", 2, lambda lines: changed(lines, 2, 1, fee=filled(lines[1][1]).fee - D("0.00000001"))),
    "a profit too high": ("realized", 6, lambda lines: changed(lines, 6, 0, realized=D("999"))),
    "a profit of an opening trade": ("realized", 2, lambda lines: changed(lines, 2, 1, realized=D("0.00000001"))),
    "money from nowhere": ("wallet", 6, lambda lines: changed(lines, 6, 0, wallet=D("1000001"))),
    "another position": ("position", 6, lambda lines: changed(lines, 6, 0, position=D("1.5"))),
    "another cost": ("cost", 6, lambda lines: changed(lines, 6, 0, cost=D("1"))),
    "an amendment below what was filled": (
        "amended",
        7,
        lambda lines: [
            *lines[:6],
            [Amended(order_id=3, quantity=D("0.3"), price=D("30010.0"), time_ms=NOW_MS)],
            *lines[6:],
        ],
    ),
    "an amendment of no order": ("order", 5, lambda lines: changed(lines, 5, 0, order_id=1)),
    "a cancel of no order": ("order", 11, lambda lines: changed(lines, 11, 0, order_id=77)),
    "a cancel twice": ("order", 12, lambda lines: [*lines, lines[10]]),
    "a waiting order that expires as a market order": (
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
    "an ioc order left to wait": ("resting", 7, lambda lines: [*lines[:6], lines[6][:-1]]),
    "leverage of nothing": ("leverage", 12, lambda lines: [*lines, [LeverageSet(leverage=0, time_ms=NOW_MS)]]),
    "a day before": ("time", 5, lambda lines: changed(lines, 5, 0, time_ms=NOW_MS - 86_400_001)),
}


@pytest.mark.parametrize(("rule", "line", "forge"), FORGERIES.values(), ids=FORGERIES.keys())
def test_the_audit_notices(rule: str, line: int, forge: Callable[[Ledger], Ledger]) -> None:
    found = audit(forge(ledger()))
    assert not found.proven
    assert (rule, line) in {(finding.rule, finding.line) for finding in found.findings}, found.findings


def test_a_reduce_only_order_that_goes_through_the_position_is_noticed() -> None:
    """As a seller would have it that the account never was told of: everything stated adds up, but for that."""
    scene = Scene()
    scene.place("BUY", "0.100")
    scene.place("SELL", "0.200")
    assert audit(scene.ledger).proven
    assert rules(audit(changed(scene.ledger, 3, 0, reduce_only=True))) == {"reduce_only"}


def test_any_number_of_any_trade_that_is_a_little_off_is_noticed() -> None:
    walk = Walk(7)
    for _ in range(600):
        walk.step()
    lines = walk.scene.ledger
    assert audit(lines).proven
    random = Random(1)
    trades = [
        (line, place)
        for line, events in enumerate(lines, start=1)
        for place, event in enumerate(events)
        if isinstance(event, Filled)
    ]
    assert len(trades) > 50
    steps = {"price": "0.10", "quantity": "0.001"}
    for line, place in random.sample(trades, 25):
        for name in ("price", "quantity", "fee", "realized", "wallet", "position", "cost"):
            for sign in (1, -1):
                step = sign * D(steps.get(name, "0.00000001"))
                copy = [list(events) for events in lines]
                changed(copy, line, place, **{name: getattr(lines[line - 1][place], name) + step})
                assert not audit(copy).proven, (line, place, name)


def test_findings_are_counted_beyond_those_that_are_kept() -> None:
    lines = ledger()
    found = audit([*lines, *([lines[10]] * 80)])
    assert (len(found.findings), found.finding_count) == (MAX_FINDINGS, 160)
    assert found.findings[0].text() == "line 12: order: canceled of order 2, which has ended"


def test_a_ledger_of_nothing_is_no_proof() -> None:
    assert rules(audit([])) == {"opening"}
