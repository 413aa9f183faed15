"""Margin of position and orders, computed by hand."""

from decimal import Decimal

import pytest

from opslab.model.messages.ledger_events import OrderSide
from opslab.venue.account.account import Holding
from opslab.venue.account.margin import RestingOrder, exposure, margin

D = Decimal
MARK = D(100)


def orders(*rows: tuple[OrderSide, str, str]) -> list[RestingOrder]:
    return [
        RestingOrder(side, D(price), D(quantity), priority) for priority, (side, price, quantity) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("position", "rows", "expected"),
    [
        ("0", [], "0"),
        ("2", [], "200"),
        ("-2", [], "200"),
        ("0", [("BUY", "90", "1"), ("SELL", "110", "2")], "220"),  # the larger side
        ("2", [("BUY", "90", "1")], "290"),  # increases the position
        ("-2", [("SELL", "110", "1")], "310"),
        ("2", [("SELL", "110", "2")], "200"),  # closes the position
        ("2", [("SELL", "110", "5")], "330"),  # closes it and opens 3 x 110
        ("2", [("SELL", "110", "3")], "200"),  # the remainder is smaller than the position
        ("2", [("BUY", "90", "2"), ("SELL", "110", "5")], "380"),
        ("2", [("SELL", "130", "2"), ("SELL", "110", "2")], "260"),  # the nearer order closes first
        ("-2", [("BUY", "70", "2"), ("BUY", "90", "3")], "230"),
        ("-2", [("BUY", "70", "2"), ("BUY", "90", "4")], "320"),
    ],
)
def test_exposure(position: str, rows: list[tuple[OrderSide, str, str]], expected: str) -> None:
    assert exposure(D(position), orders(*rows), MARK) == D(expected)


def test_margins_add_up() -> None:
    holding = Holding(D(1000), D(2), D(180))
    result = margin(holding, orders(("BUY", "90", "1")), MARK, 10)
    assert (result.position, result.orders, result.initial) == (D(20), D(9), D(29))
    assert (result.unrealized, result.balance, result.available) == (D(20), D(1020), D(991))
    assert result.maintenance == D("0.8")


def test_the_available_margin_can_be_negative() -> None:
    assert margin(Holding(D(10), D(2), D(205)), [], MARK, 10).available == -15
