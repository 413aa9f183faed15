"""Exact JSON: numbers keep their digits."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opslab.model.primitives.exact_json import exact_json, from_exact_json

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | DECIMALS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_exact_json_is_read_back_unchanged(value: Any) -> None:
    text = exact_json(value)
    assert from_exact_json(text) == value
    assert exact_json(from_exact_json(text)) == text


def test_exact_json_keeps_zeros_and_distinguishes_numbers_from_text() -> None:
    texts = {exact_json(value) for value in (Decimal("0.10"), Decimal("0.1"), "0.1", 0, False, Decimal("0.0"))}
    assert texts == {"0.10", "0.1", '"0.1"', "0", "false", "0.0"}
