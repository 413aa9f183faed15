"""The lab decodes the client order ids on the wire as the adapter itself does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.adapters.binance import decode_binance_futures_client_order_id

from opslab.runs.paper.client_order_id import client_order_id

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "x-aHRE4BCj-"
TEXT = st.text(st.sampled_from(DIGITS + ".:/_-"), max_size=24)


def encoded(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    return text


def in_base(kinds: str, digits: int, bits: int) -> st.SearchStrategy[str]:
    """Client order ids as the adapter encodes numbers of `bits` bits."""
    numbers = st.integers(0, 2**bits - 1)
    return st.builds(lambda kind, number: f"{PREFIX}{kind}{encoded(number, digits)}", st.sampled_from(kinds), numbers)


ANY = st.builds(lambda kind, text: f"{PREFIX}{kind}{text}", st.sampled_from("TtUuRAx"), TEXT) | TEXT


@given(in_base("Tt", 13, 72) | in_base("Uu", 22, 128) | ANY)
def test_every_id_is_decoded_as_by_the_adapter(wire: str) -> None:
    assert client_order_id(wire) == decode_binance_futures_client_order_id(wire)


@pytest.mark.parametrize("wire", ["x-aHRE4BCj-T04asLHBvvAy6z", "opslab-flatten-1", "venue_7", ""])
def test_known_ids_are_decoded_as_by_the_adapter(wire: str) -> None:
    assert client_order_id(wire) == decode_binance_futures_client_order_id(wire)
