"""Canonical forms, instants, secrets and candles: base rules of the model."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.model.market.instrument import instrument_of
from opslab.model.primitives.canonical import canonical_json, decimal_text, digest
from opslab.model.primitives.instant import BAR_CLOSE_OFFSET_NS, catalog_instant, iso, iso_minute, parse_iso
from opslab.model.primitives.redact import PathRedactor
from opslab.model.primitives.secret_shapes import HIDDEN, echo
from opslab.model.spec.risk_profile import PROFILES
from opslab.nautilus.strategy.scenarios import TARGET_NOTIONAL
from opslab.resources import exchange_info_symbol


def test_key_order_does_not_change_a_digest() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"b": [2, 1], "a": 1}) != digest({"b": [1, 2], "a": 1})


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_equal_decimals_have_one_canonical_text(value: Decimal) -> None:
    assert decimal_text(value) == decimal_text(value * Decimal("1.0000"))
    assert Decimal(decimal_text(value)) == value
    assert decimal_text(value) != "-0"


def test_canonical_json_refuses_what_has_no_canonical_form() -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": object()})


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000).map(lambda us: us * 1000))
def test_iso_text_reads_back(ts_ns: int) -> None:
    assert parse_iso(iso(ts_ns)) == ts_ns


def test_a_bar_is_known_at_its_close() -> None:
    open_ms = 1_704_067_200_000
    assert iso_minute(open_ms) == "2024-01-01T00:00:00Z"
    assert catalog_instant(open_ms * 1_000_000 + BAR_CLOSE_OFFSET_NS) == "2024-01-01T00-00-59-999000000Z"


@pytest.mark.parametrize("text", ["AKIA" + "7EXAMPLE" * 2, "ghp_" + "16C7e42F292c6912E7710c8", "vmPUZE6mv9SD5V" * 4])
def test_what_looks_like_a_secret_is_not_echoed(text: str) -> None:
    assert echo(text) == HIDDEN


def test_values_under_sensitive_names_are_not_echoed() -> None:
    assert echo("hunter2", "api_key") == HIDDEN
    assert echo("hunter2", "profile") == "hunter2"


@pytest.mark.parametrize(
    "text", ["order_lifecycle_demo", "btcusdt-sample", "20240101-000000-ops-smoke-demo", "binance"]
)
def test_ordinary_names_are_echoed(text: str) -> None:
    assert echo(text) == text


def test_the_shipped_instrument_matches_its_exchange_info() -> None:
    instrument = instrument_of(exchange_info_symbol("BTCUSDT"))
    assert instrument.bar_type == "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"
    assert (instrument.tick, instrument.step) == (Decimal("0.1"), Decimal("0.001"))
    assert (instrument.price_decimals, instrument.size_decimals) == (2, 3)


def test_every_risk_profile_allows_the_order_scenario() -> None:
    for limits in PROFILES.values():
        assert limits.max_notional_per_order > 2 * TARGET_NOTIONAL


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('File "/lab/artifacts/x.py", line 3', 'File "<home>/artifacts/x.py", line 3'),
        ('File "/work/me/strategies/mine.py"', 'File ".../mine.py"'),
        ("open /home/me/secret/plan.txt: denied", "open .../plan.txt: denied"),
        ("GET /fapi/v1/order at http://127.0.0.1:80/work/x", "GET /fapi/v1/order at http://127.0.0.1:80/work/x"),
        ("panicked at crates/model/src/bar.rs:12", "panicked at crates/model/src/bar.rs:12"),
    ],
)
def test_only_paths_of_the_machine_are_redacted(text: str, want: str) -> None:
    assert PathRedactor({"/lab": "<home>"}, ["lab", "work", "home"])(text) == want
