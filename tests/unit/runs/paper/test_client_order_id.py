"""The lab decodes the client order ids on the wire as the adapter itself does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.adapters.binance import decode_binance_futures_client_order_id

from opslab.runs.paper.client_order_id import client_order_id

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "x-aHRE4BCj-"
TEXT = st.text(st.sampled_from(DIGITS + ".:/_-"), max_size=24)


def numbered(kinds: str, digits: int) -> st.SearchStrategy[str]:
    """Client order ids with a number of so many digits, as the adapter encodes them, and larger ones."""
    numbers = st.text(st.sampled_from(DIGITS), min_size=digits, max_size=digits)
    return st.builds(lambda kind, number: f"{PREFIX}{kind}{number}", st.sampled_from(kinds), numbers)


ANY = st.builds(lambda kind, text: f"{PREFIX}{kind}{text}", st.sampled_from("TtUuRAx"), TEXT) | TEXT


@given(numbered("Tt", 13) | numbered("Uu", 22) | ANY)
def test_every_id_is_decoded_as_by_the_adapter(wire: str) -> None:
    assert client_order_id(wire) == decode_binance_futures_client_order_id(wire)


@pytest.mark.parametrize(
    "wire",
    [
        "x-aHRE4BCj-T04asLHBvvAy6z",
        "x-aHRE4BCj-T2000000000000",
        "x-aHRE4BCj-Tzzzzzzzzzzzzz",
        "opslab-flatten-1",
        "venue_7",
        "",
    ],
)
def test_known_ids_are_decoded_as_by_the_adapter(wire: str) -> None:
    assert client_order_id(wire) == decode_binance_futures_client_order_id(wire)
