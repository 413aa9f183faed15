"""Read single values of a snapshot."""

import json
import time
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.reconciliation.values import NumberText, Unjudged, difference, instant, name, number, shown, text


def reason_of(judged: object) -> str | None:
    return judged.reason if isinstance(judged, Unjudged) else None


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("0.005", "0.005"),
        ("0.0050", "0.005"),
        (NumberText("0.1"), "0.1"),
        (NumberText("1e-8"), "0.00000001"),
        ("1E+2", "100"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("999999999999999999.999999999999999999", "999999999999999999.999999999999999999"),
        ("1" + "0" * 17 + "." + "0" * 30, "1" + "0" * 17),
        (Decimal("0.30"), "0.3"),
        (7, "7"),
    ],
)
def test_numbers_keep_their_digits(given: object, value: str) -> None:
    judged = number(given)
    assert isinstance(judged, Decimal)
    assert text(judged) == value


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "missing"),
        (True, "wrong_type"),
        (False, "wrong_type"),
        (0.1, "wrong_type"),
        ([], "wrong_type"),
        ({}, "wrong_type"),
        ("", "not_a_number"),
        ("NaN", "not_a_number"),
        ("sNaN", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("-inf", "not_a_number"),
        (Decimal("NaN"), "not_a_number"),
        (" 1", "not_a_number"),
        ("1_000", "not_a_number"),
        ("0x10", "not_a_number"),
        (".5", "not_a_number"),
        ("٣", "not_a_number"),
        ("1E+999999", "out_of_bounds"),
        ("1E-999999", "out_of_bounds"),
        (NumberText("1E+400"), "out_of_bounds"),
        (Decimal("1E+999999"), "out_of_bounds"),
        ("1E+99", "out_of_bounds"),
        ("1E-19", "out_of_bounds"),
        ("1000000000000000000", "out_of_bounds"),
        ("9" * 65, "out_of_bounds"),
        ("0." + "0" * 70, "out_of_bounds"),
        (10**30, "out_of_bounds"),
    ],
)
def test_a_value_that_is_not_a_comparable_number_has_a_reason(given: object, reason: str) -> None:
    assert reason_of(number(given)) == reason


def test_the_sign_of_a_number_is_checked() -> None:
    assert reason_of(number("-1", "not_negative")) == "out_of_bounds"
    assert reason_of(number("0", "positive")) == "out_of_bounds"
    assert number("0", "not_negative") == 0
    assert number("-1") == -1


@settings(max_examples=200)
@given(st.from_regex(r"[-+]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,9})?", fullmatch=True))
def test_any_number_is_exact_or_refused_in_every_decimal_context(written: str) -> None:
    with localcontext(Context(prec=1, Emax=1, Emin=-1)) as context:
        judged = number(written)
        if isinstance(judged, Decimal):
            printed, distance = text(judged), text(difference(judged, judged + 0 if judged == 0 else judged))
        assert not any(context.flags.values())
    if isinstance(judged, Decimal):
        assert Decimal(printed) == Decimal(written)
        assert distance == "0"
        assert len(printed) <= 40


def test_huge_numbers_are_refused_fast() -> None:
    started_s = time.process_time()
    for written in ("1E+999999999999", "1" * 4_000_000, "0." + "1" * 4_000_000, "1E" + "9" * 4_000_000, 10**50_000):
        assert reason_of(number(written)) == "out_of_bounds"
    assert time.process_time() - started_s < 2


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59Z", -1_000_000_000),
        ("2025-05-04T12:00:00.123456Z", 1_746_360_000_123_456_000),
    ],
)
def test_instants_are_utc_to_the_nanosecond(given: str, ns: int) -> None:
    assert instant(given) == ns


@pytest.mark.parametrize(
    "given",
    [
        "2025-05-04",
        "2025-05-04T12:00:00",
        "2025-05-04T12:00:00+00:00",
        "2025-05-04 12:00:00Z",
        "2025-02-30T12:00:00Z",
        "2025-05-04T12:00:61Z",
        "0000-01-01T00:00:00Z",
        "2025-05-04T12:00:00.1234567890Z",
        "now",
        "",
    ],
)
def test_an_invalid_instant_has_a_reason(given: str) -> None:
    assert reason_of(instant(given)) == "not_a_time"
    assert reason_of(instant(NumberText("1746360000"))) == "wrong_type"


@pytest.mark.parametrize("given", ["a\nb", "a b", "x" * 65, "é", "<b>", "a|b", "=1+1"])
def test_identifiers_have_a_restricted_alphabet(given: str) -> None:
    assert reason_of(name(given)) == "out_of_bounds"
    assert name("O-20250504-120000-001-000-1") == "O-20250504-120000-001-000-1"
    assert reason_of(name(NumberText("5"))) == "wrong_type"
    assert reason_of(name("")) == "missing"


def test_a_shown_value_is_short_on_one_line_and_no_secret() -> None:
    assert shown("a\nb") == "a\\nb"
    assert shown("x" * 5000) == "x" * 40 + "..."
    secret = "A1b2C3d4E5f6G7h8J9k0L1m2N3"
    assert secret not in (shown(secret) or "")
    assert (shown(None), shown([]), shown({"a": 1}), shown(True)) == (None, "an empty list", "an object", "true")
    assert json.dumps(shown("\ud800"))
