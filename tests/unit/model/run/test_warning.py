"""The text of a warning agrees with its counts."""

import re
from typing import get_args

import pytest

from opslab.model.run.warning import RunWarning, WarningCode

WORDS = {"kinds": "K", "reasons": "R", "names": "N", "subscriptions": "S", "rules": "U"}
PLURAL = re.compile(
    r"\b1 (emulated |reduce-only and stop )?"
    r"(orders|requests|bars|fills|faults|subscriptions|errors|bytes|candles|times)\b"
    r"|\b1 (order|fault) were\b"
)
WITHOUT_COUNT = {"orders_refused", "dataset_spot", "dataset_allowed"}


@pytest.mark.parametrize("code", get_args(WarningCode))
def test_a_text_about_one_has_the_singular(code: WarningCode) -> None:
    one = RunWarning.of(code, 1, None, orders=1, fills=1, **WORDS).text
    many = RunWarning.of(code, 1_234, None, orders=1_234, fills=1_234, **WORDS).text
    assert not PLURAL.search(one), one
    assert (one == many) is (code in WITHOUT_COUNT)
    assert code in WITHOUT_COUNT or PLURAL.search(many.replace("1,234", "1")), many


@pytest.mark.parametrize(
    ("count", "orders", "text"),
    [
        (1, 1, "1 of 1 order was rejected: R"),
        (1, 5, "1 of 5 orders was rejected: R"),
        (2, 5_000, "2 of 5,000 orders were rejected: R"),
    ],
)
def test_noun_and_verb_follow_their_own_numbers(count: int, orders: int, text: str) -> None:
    assert RunWarning.of("orders_rejected", count, None, orders=orders, reasons="R").text == text
