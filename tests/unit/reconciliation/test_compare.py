"""Two snapshots against each other."""

from collections.abc import Sequence
from copy import deepcopy
from decimal import Context, localcontext
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opslab.reconciliation.result import STATE_OF
from tests.unit.reconciliation.accounts import (
    INSTRUMENT,
    NOW_NS,
    WHOLE,
    Document,
    compared,
    documents,
    is_snapshot,
    leaves,
    snapshot,
    spoiled,
    state,
    told,
    whole,
    with_value,
    without,
)

ORDER = ("open_orders", 0)
POSITION = ("positions", 0)
BALANCE = ("balances", 0)
FLAT = {"instrument": INSTRUMENT, "side": "FLAT", "signed_quantity": "0", "average_entry_price": None}


@settings(max_examples=200, deadline=None)
@given(documents())
def test_a_snapshot_agrees_with_itself(document: Document) -> None:
    findings = compared(document, document)
    assert {one.state for one in findings} == {"ok"}
    assert {one.part for one in findings} == {"positions", "open_orders", "balances", "freshness"}


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ((*POSITION, "signed_quantity"), "0.0051", ("positions", INSTRUMENT, "signed_quantity", "differs")),
        ((*POSITION, "average_entry_price"), "60012.4", ("positions", INSTRUMENT, "average_entry_price", "differs")),
        ((*ORDER, "side"), "SELL", ("open_orders", "A-1", "side", "differs")),
        ((*ORDER, "quantity"), "0.011", ("open_orders", "A-1", "quantity", "differs")),
        ((*ORDER, "filled_quantity"), "0.0041", ("open_orders", "A-1", "filled_quantity", "differs")),
        ((*ORDER, "price"), "59900.1", ("open_orders", "A-1", "price", "differs")),
        ((*ORDER, "status"), "ACCEPTED", ("open_orders", "A-1", "status", "differs")),
        ((*BALANCE, "total"), "101", ("balances", "USDT", "total", "differs")),
        ((*BALANCE, "free"), "91", ("balances", "USDT", "free", "differs")),
        ((*BALANCE, "locked"), "11", ("balances", "USDT", "locked", "differs")),
    ],
)
def test_a_difference_is_a_mismatch_and_names_its_field(path: Any, value: Any, found: Any) -> None:
    findings = compared(whole(), with_value(path, value))
    assert state(findings) == "mismatch"
    assert told(findings)[0] == found


def test_what_was_found_is_named_with_its_numbers() -> None:
    (one,) = [
        one
        for one in compared(whole(), with_value((*POSITION, "signed_quantity"), "0.0070"))
        if one.state == "mismatch"
    ]
    assert (one.expected, one.observed, one.difference, one.tolerance) == ("0.005", "0.007", "0.002", "0")


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ((*POSITION, "side"), "SHORT", "contradiction"),
        ((*POSITION, "side"), "FLAT", "contradiction"),
        ((*POSITION, "side"), "long", "unknown_value"),
        ((*POSITION, "signed_quantity"), "-0.005", "contradiction"),
        ((*POSITION, "signed_quantity"), "0", "contradiction"),
        ((*POSITION, "signed_quantity"), "NaN", "not_a_number"),
        ((*POSITION, "signed_quantity"), True, "wrong_type"),
        ((*POSITION, "signed_quantity"), "1E+999999", "out_of_bounds"),
        ((*POSITION, "average_entry_price"), None, "missing"),
        ((*POSITION, "average_entry_price"), "-60012.3", "out_of_bounds"),
        ((*ORDER, "type"), "STOP_MARKET", "unknown_value"),
        ((*ORDER, "type"), "MARKET", "differs"),
        ((*ORDER, "status"), "FILLED", "unknown_value"),
        ((*ORDER, "quantity"), "-0.010", "out_of_bounds"),
        ((*ORDER, "quantity"), "0.004", "contradiction"),
        ((*ORDER, "filled_quantity"), "0.02", "contradiction"),
        ((*ORDER, "filled_quantity"), False, "wrong_type"),
        ((*ORDER, "price"), None, "missing"),
        ((*ORDER, "price"), "Infinity", "not_a_number"),
        ((*ORDER, "side"), 1, "wrong_type"),
        ((*BALANCE, "locked"), "-10", "out_of_bounds"),
        ((*BALANCE, "free"), [], "wrong_type"),
        ((*BALANCE, "total"), {}, "wrong_type"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_value_that_cannot_be_judged_names_its_field(path: Any, value: Any, why: str, turned: bool) -> None:
    pair = (with_value(path, value), whole())
    findings = compared(*(pair if not turned else reversed(pair)))
    assert state(findings) != "ok"
    assert (path[-1], why) in {(field, reason) for _, _, field, reason in told(findings)}
    if why != "differs":
        assert state(findings) == "unknown"
        assert {one.snapshot for one in findings if one.reason == why} == {"observed" if turned else "expected"}


@pytest.mark.parametrize("path", leaves(WHOLE))
def test_a_missing_value_is_unknown_on_either_side_and_on_both(path: Any) -> None:
    for pair in ((without(path), whole()), (whole(), without(path)), (without(path), without(path))):
        assert state(compared(*pair)) == "unknown"


@pytest.mark.parametrize("part", ["positions", "open_orders", "balances", "as_of"])
def test_a_missing_part_is_never_ok(part: str) -> None:
    for gone in (without((part,)), whole(**{part: None})):
        for pair in ((gone, whole()), (whole(), gone), (gone, gone)):
            assert state(compared(*pair)) == "unknown"


def test_an_account_without_any_balance_is_unknown() -> None:
    assert state(compared(whole(balances=[]), whole(balances=[]))) == "unknown"


def test_nothing_unknown_hides_a_mismatch() -> None:
    broken = without(("balances",))
    broken["positions"][0]["signed_quantity"] = "0.1"
    broken["open_orders"][0]["price"] = "NaN"
    assert state(compared(whole(), broken)) == "mismatch"


def test_no_position_and_a_flat_one_are_the_same() -> None:
    zero = {**FLAT, "average_entry_price": "0.0"}
    for pair in (([], [FLAT]), ([FLAT], []), ([], []), ([FLAT], [zero])):
        findings = compared(*(whole(positions=rows) for rows in pair))
        assert state(findings) == "ok"
        assert [(one.field, one.expected, one.observed) for one in findings if one.part == "positions"] == [
            ("signed_quantity", "0", "0")
        ]


def test_a_flat_position_with_a_price_contradicts_itself() -> None:
    priced = {**FLAT, "average_entry_price": "60000"}
    assert state(compared(whole(positions=[priced]), whole(positions=[priced]))) == "unknown"


def test_a_position_that_is_not_there_is_a_mismatch() -> None:
    assert told(compared(whole(), whole(positions=[]))) == [("positions", INSTRUMENT, "signed_quantity", "differs")]


def test_an_asset_that_is_not_listed_is_zero() -> None:
    nothing = {"asset": "BNB", "total": "0", "free": "0", "locked": "0"}
    some = {"asset": "BNB", "total": "1", "free": "1", "locked": "0"}
    both = whole()["balances"]
    assert state(compared(whole(), whole(balances=[*both, nothing]))) == "ok"
    assert state(compared(whole(), whole(balances=[*both, some]))) == "mismatch"


def test_orders_of_one_side_are_told_by_side() -> None:
    rows = whole()["open_orders"]
    assert told(compared(whole(open_orders=rows[:1]), whole(open_orders=rows[1:]))) == [
        ("open_orders", "A-1", "client_order_id", "only_expected"),
        ("open_orders", "A-2", "client_order_id", "only_observed"),
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_what_cannot_be_judged_of_an_order_of_one_side_is_told_too(turned: bool) -> None:
    pair = (whole(open_orders=whole()["open_orders"][1:]), with_value((*ORDER, "price"), "NaN"))
    findings = compared(*(reversed(pair) if turned else pair))
    assert told(findings) == [
        ("open_orders", "A-1", "client_order_id", "only_expected" if turned else "only_observed"),
        ("open_orders", "A-1", "price", "not_a_number"),
    ]


def test_no_open_orders_on_both_sides_is_said() -> None:
    (one,) = [one for one in compared(whole(open_orders=[]), whole(open_orders=[])) if one.part == "open_orders"]
    assert (one.state, one.expected, one.observed) == ("ok", "0", "0")


@pytest.mark.parametrize(("part", "key"), [("positions", "instrument"), ("open_orders", "client_order_id")])
def test_duplicates_are_unknown_even_when_they_are_alike(part: str, key: str) -> None:
    rows = whole()[part]
    twice = whole(**{part: [*rows, rows[0]]})
    assert rows[0][key] not in getattr(snapshot(twice), part).by_key
    for pair in ((twice, whole()), (whole(), twice), (twice, twice)):
        findings = compared(*pair)
        assert state(findings) == "unknown"
        assert {(part, rows[0][key], key, "duplicate")} == set(told(findings))


def test_a_row_without_a_name_leaves_open_which_it_is() -> None:
    rows = whole()["open_orders"]
    unnamed = whole(open_orders=[{**rows[0], "client_order_id": None}, rows[1]])
    assert told(compared(whole(), unnamed)) == [
        ("open_orders", "", "client_order_id", "missing"),
        ("open_orders", "A-1", "client_order_id", "unnamed_row"),
    ]
    assert state(compared(unnamed, unnamed)) == "unknown"


def test_another_instrument_is_never_ok() -> None:
    other_position = {**whole()["positions"][0], "instrument": "ETHUSDT"}
    other_order = {**whole()["open_orders"][0], "client_order_id": "E-1", "instrument": "ETHUSDT"}
    flat = {**FLAT, "instrument": "ETHUSDT"}
    for part, row, alone in (
        ("positions", other_position, "mismatch"),
        ("open_orders", other_order, "mismatch"),
        ("positions", flat, "unknown"),
    ):
        with_other = whole(**{part: [*whole()[part], row]})
        assert state(compared(with_other, with_other)) == "unknown"
        assert state(compared(with_other, whole())) == alone
        assert "other_instrument" in {reason for *_, reason in told(compared(whole(), with_other))}


def test_a_run_of_another_instrument_finds_its_own_flat_and_the_others_foreign() -> None:
    assert state(compared(whole(), whole(), instrument="ETHUSDT")) == "unknown"


def test_a_balance_whose_sum_does_not_add_up_is_a_finding_and_still_compared() -> None:
    odd = with_value((*BALANCE, "free"), "95")
    assert told(compared(odd, odd)) == [
        ("balances", "USDT", "total", "contradiction"),
        ("balances", "USDT", "total", "contradiction"),
    ]
    assert state(compared(odd, with_value((*BALANCE, "free"), "96"))) == "mismatch"


def test_tolerances_hold_for_their_fields_and_end_where_they_say() -> None:
    def with_price(price: str) -> list[tuple[str, str, str, str]]:
        return told(compared(whole(), with_value((*POSITION, "average_entry_price"), price)))

    assert with_price("60012.30000") == []
    assert [reason for *_, reason in with_price("60012.30001")] == ["within_tolerance"]
    assert [reason for *_, reason in with_price("60012.29999")] == ["within_tolerance"]
    assert [reason for *_, reason in with_price("60012.300010000000000001")] == ["differs"]


@pytest.mark.parametrize(
    ("seconds", "reason", "verdict"),
    [
        (0, "within_limit", "ok"),
        (300, "within_limit", "ok"),
        (301, "stale", "unknown"),
        (-5, "clock_ahead", "warning"),
        (-6, "in_future", "unknown"),
    ],
)
def test_age_is_judged(seconds: int, reason: str, verdict: str) -> None:
    findings = compared(whole(), whole(), now_ns=NOW_NS - 1_000_000_000 + seconds * 1_000_000_000)
    assert state(findings) == verdict
    assert {one.reason for one in findings if one.subject == "age"} == {reason}


@pytest.mark.parametrize(("as_of", "verdict"), [("2025-05-04T12:01:00Z", "ok"), ("2025-05-04T12:01:00.1Z", "unknown")])
@pytest.mark.parametrize("turned", [False, True])
def test_snapshots_taken_too_far_apart_are_unknown(as_of: str, verdict: str, turned: bool) -> None:
    pair = (whole(), whole(as_of=as_of))
    findings = compared(*(reversed(pair) if turned else pair), now_ns=NOW_NS + 100_000_000_000)
    assert state(findings) == verdict


FIELDS = {path[-1] for path in leaves(WHOLE)}
NEW_VALUES: dict[str, Sequence[Any]] = {
    "instrument": ["ETHUSDT"],
    "side": ["LONG", "SHORT", "FLAT", "BUY", "SELL"],
    "type": ["LIMIT", "MARKET"],
    "status": ["ACCEPTED", "PENDING_CANCEL"],
    "client_order_id": ["someone-elses"],
    "asset": ["EUR"],
}


@settings(max_examples=200, deadline=None)
@given(documents(), st.data())
def test_any_single_change_is_found_and_its_field_named(document: Document, data: st.DataObject) -> None:
    path: tuple[Any, ...] = data.draw(st.sampled_from(leaves(document)))
    part, index, field = path
    changed = deepcopy(document)
    before = changed[part][index][field]
    choices = [value for value in NEW_VALUES.get(str(field), ["7777.5", "0", "NaN", True]) if value != before]
    if before is None or (isinstance(before, str) and before.strip("-0.") == ""):
        choices = [value for value in choices if value != "0"]  # which it says already
    changed[part][index][field] = data.draw(st.sampled_from(choices))
    pair = (document, changed) if data.draw(st.booleans()) else (changed, document)
    findings = [one for one in compared(*pair) if one.state != "ok"]
    assert findings
    flat = document[part][index].get("side") == "FLAT"
    zero = part == "balances" and field == "asset"  # then it is two assets, and each of their amounts differs
    if not zero and not (flat and field == "instrument"):
        wanted = "signed_quantity" if (part, field) == ("positions", "instrument") else field
        assert wanted in {one.field for one in findings} or field in {one.field for one in findings}
    assert part in {one.part for one in findings}


@settings(max_examples=200, deadline=None)
@given(documents() | spoiled(), st.randoms())
def test_the_order_of_rows_does_not_matter(document: Document, random: Any) -> None:
    def shuffled(one: Document) -> Document:
        mixed = deepcopy(one)
        for part in ("positions", "open_orders", "balances"):
            if isinstance(mixed.get(part), list):
                random.shuffle(mixed[part])
        return mixed

    assume(is_snapshot(document))
    assert told(compared(document, whole())) == told(compared(shuffled(document), shuffled(whole())))


@settings(max_examples=200, deadline=None)
@given(documents() | spoiled(), documents() | spoiled())
def test_swapping_sides_swaps_what_is_found(one: Document, two: Document) -> None:
    assume(is_snapshot(one) and is_snapshot(two))
    there, back = compared(one, two), compared(two, one)
    other = {"expected": "observed", "observed": "expected", None: None}
    turned = {"only_expected": "only_observed", "only_observed": "only_expected"}

    def negated(difference: str | None) -> str | None:
        if difference is None or difference == "0":
            return difference
        return difference[1:] if difference.startswith("-") else f"-{difference}"

    def key(found: Any, swap: bool) -> tuple[Any, ...]:
        if not swap:
            return (
                found.part,
                found.subject,
                found.field,
                found.reason,
                found.expected,
                found.observed,
                found.snapshot,
            )
        reason = turned.get(found.reason, found.reason)
        side = other[found.snapshot]
        return (found.part, found.subject, found.field, reason, found.observed, found.expected, side)

    assert sorted(map(str, (key(found, False) for found in there))) == sorted(
        map(str, (key(found, True) for found in back))
    )
    plain = [one.difference for one in there if one.part != "freshness"]
    assert sorted(map(str, plain)) == sorted(str(negated(one.difference)) for one in back if one.part != "freshness")


@settings(max_examples=200, deadline=None)
@given(spoiled(), spoiled())
def test_no_input_raises_or_says_ok_of_what_is_missing(one: Document, two: Document) -> None:
    assume(is_snapshot(one) and is_snapshot(two))
    pair = [snapshot(each) for each in (one, two)]
    findings = compared(one, two)
    assert {found.part for found in findings} == {"positions", "open_orders", "balances", "freshness"}
    assert all(found.state == STATE_OF[found.reason] for found in findings)
    for each in pair:
        if None in (each.summary().positions, each.summary().open_orders, each.summary().balances):
            assert state(findings) in ("unknown", "mismatch")


@settings(max_examples=200, deadline=None)
@given(documents(), documents())
def test_the_threads_decimal_context_does_not_matter(one: Document, two: Document) -> None:
    with localcontext(Context(prec=1, Emax=1, Emin=-1)) as context:
        narrow = compared(one, two)
        assert not any(context.flags.values())
    assert narrow == compared(one, two)
