"""What position and orders need, worked out by hand."""

from decimal import Decimal

import pytest

from opslab.model.messages.ledger_events import Side
from opslab.venue.account.account import Holding
from opslab.venue.account.margin import Resting, exposure, margin

D = Decimal
MARK = D(100)


def orders(*rows: tuple[Side, str, str]) -> list[Resting]:
    return [Resting(side, D(price), D(quantity), turn) for turn, (side, price, quantity) in enumerate(rows)]


@pytest.mark.parametrize(
    ("position", "rows", "needed"),
    [
        ("0", [], "0"),
        ("2", [], "200"),
        ("-2", [], "200"),
        ("0", [("BUY", "90", "1"), ("SELL", "110", "2")], "220"),  # the dearer side
        ("2", [("BUY", "90", "1")], "290"),  # adds to the position
        ("-2", [("SELL", "110", "1")], "310"),
        ("2", [("SELL", "110", "2")], "200"),  # closes it
        ("2", [("SELL", "110", "5")], "330"),  # closes it and would stand for 3 x 110
        ("2", [("SELL", "110", "3")], "200"),  # what would be left is less than what is held
        ("2", [("BUY", "90", "2"), ("SELL", "110", "5")], "380"),
        ("2", [("SELL", "130", "2"), ("SELL", "110", "2")], "260"),  # the nearer one closes first
        ("-2", [("BUY", "70", "2"), ("BUY", "90", "3")], "230"),
        ("-2", [("BUY", "70", "2"), ("BUY", "90", "4")], "320"),
    ],
)
def test_the_exposure_of(position: str, rows: list[tuple[Side, str, str]], needed: str) -> None:
    assert exposure(D(position), orders(*rows), MARK) == D(needed)


def test_margins_add_up() -> None:
    held = Holding(D(1000), D(2), D(180))
    found = margin(held, orders(("BUY", "90", "1")), MARK, 10)
    assert (found.position, found.orders, found.initial) == (D(20), D(9), D(29))
    assert (found.unrealized, found.balance, found.available) == (D(20), D(1020), D(991))
    assert found.maintenance == D("0.8")


def test_what_is_available_can_be_less_than_nothing() -> None:
    assert margin(Holding(D(10), D(2), D(205)), [], MARK, 10).available == -15
