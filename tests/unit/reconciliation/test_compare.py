"""Compare two snapshots."""

from collections.abc import Sequence
from copy import deepcopy
from decimal import Context, localcontext
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opslab.reconciliation.result import STATE_OF
from tests.fakes.snapshot_documents import (
    COMPLETE_DOCUMENT,
    INSTRUMENT,
    NOW_NS,
    Document,
    compare_documents,
    complete_document,
    corrupted_documents,
    document_with,
    document_without,
    is_snapshot,
    problems,
    snapshot,
    state_of,
    valid_documents,
    value_paths,
)

ORDER = ("open_orders", 0)
POSITION = ("positions", 0)
BALANCE = ("balances", 0)
FLAT = {"instrument": INSTRUMENT, "side": "FLAT", "signed_quantity": "0", "average_entry_price": None}


@settings(max_examples=100)
@given(valid_documents())
def test_a_snapshot_agrees_with_itself(document: Document) -> None:
    findings = compare_documents(document, document)
    assert {finding.state for finding in findings} == {"ok"}
    assert {finding.part for finding in findings} == {"positions", "open_orders", "balances", "freshness"}


@pytest.mark.parametrize(
    ("path", "value", "problem"),
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
def test_a_difference_is_a_mismatch_and_names_its_field(path: Any, value: Any, problem: Any) -> None:
    findings = compare_documents(complete_document(), document_with(path, value))
    assert state_of(findings) == "mismatch"
    assert problems(findings)[0] == problem


def test_a_mismatch_has_both_values_their_difference_and_the_tolerance() -> None:
    (finding,) = [
        finding
        for finding in compare_documents(complete_document(), document_with((*POSITION, "signed_quantity"), "0.0070"))
        if finding.state == "mismatch"
    ]
    assert (finding.expected, finding.observed, finding.difference, finding.tolerance) == (
        "0.005",
        "0.007",
        "0.002",
        "0",
    )


@pytest.mark.parametrize(
    ("path", "value", "reason"),
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
@pytest.mark.parametrize("swapped", [False, True])
def test_a_value_that_cannot_be_judged_names_its_field(path: Any, value: Any, reason: str, swapped: bool) -> None:
    pair = (document_with(path, value), complete_document())
    findings = compare_documents(*(pair if not swapped else reversed(pair)))
    assert state_of(findings) != "ok"
    assert (path[-1], reason) in {(field, found_reason) for _, _, field, found_reason in problems(findings)}
    if reason != "differs":
        assert state_of(findings) == "unknown"
        assert {finding.snapshot for finding in findings if finding.reason == reason} == {
            "observed" if swapped else "expected"
        }


@pytest.mark.parametrize("path", value_paths(COMPLETE_DOCUMENT))
def test_a_missing_value_is_unknown_on_either_side_and_on_both(path: Any) -> None:
    for pair in (
        (document_without(path), complete_document()),
        (complete_document(), document_without(path)),
        (document_without(path), document_without(path)),
    ):
        assert state_of(compare_documents(*pair)) == "unknown"


@pytest.mark.parametrize("part", ["positions", "open_orders", "balances", "as_of"])
def test_a_missing_part_is_never_ok(part: str) -> None:
    for gone in (document_without((part,)), complete_document(**{part: None})):
        for pair in ((gone, complete_document()), (complete_document(), gone), (gone, gone)):
            assert state_of(compare_documents(*pair)) == "unknown"


def test_an_account_without_any_balance_is_unknown() -> None:
    assert state_of(compare_documents(complete_document(balances=[]), complete_document(balances=[]))) == "unknown"


def test_an_unknown_finding_does_not_hide_a_mismatch() -> None:
    broken = document_without(("balances",))
    broken["positions"][0]["signed_quantity"] = "0.1"
    broken["open_orders"][0]["price"] = "NaN"
    assert state_of(compare_documents(complete_document(), broken)) == "mismatch"


def test_no_position_and_a_flat_one_are_equal() -> None:
    zero = {**FLAT, "average_entry_price": "0.0"}
    for pair in (([], [FLAT]), ([FLAT], []), ([], []), ([FLAT], [zero])):
        findings = compare_documents(*(complete_document(positions=rows) for rows in pair))
        assert state_of(findings) == "ok"
        assert [
            (finding.field, finding.expected, finding.observed) for finding in findings if finding.part == "positions"
        ] == [("signed_quantity", "0", "0")]


def test_a_flat_position_with_a_price_contradicts_itself() -> None:
    priced = {**FLAT, "average_entry_price": "60000"}
    assert (
        state_of(compare_documents(complete_document(positions=[priced]), complete_document(positions=[priced])))
        == "unknown"
    )


def test_a_missing_position_is_a_mismatch() -> None:
    assert problems(compare_documents(complete_document(), complete_document(positions=[]))) == [
        ("positions", INSTRUMENT, "signed_quantity", "differs")
    ]


def test_an_asset_that_is_not_listed_is_zero() -> None:
    nothing = {"asset": "BNB", "total": "0", "free": "0", "locked": "0"}
    some = {"asset": "BNB", "total": "1", "free": "1", "locked": "0"}
    both = complete_document()["balances"]
    assert state_of(compare_documents(complete_document(), complete_document(balances=[*both, nothing]))) == "ok"
    assert state_of(compare_documents(complete_document(), complete_document(balances=[*both, some]))) == "mismatch"


def test_orders_on_one_side_name_their_side() -> None:
    rows = complete_document()["open_orders"]
    assert problems(
        compare_documents(complete_document(open_orders=rows[:1]), complete_document(open_orders=rows[1:]))
    ) == [
        ("open_orders", "A-1", "client_order_id", "only_expected"),
        ("open_orders", "A-2", "client_order_id", "only_observed"),
    ]


@pytest.mark.parametrize("swapped", [False, True])
def test_an_invalid_value_of_an_order_on_one_side_is_a_finding_too(swapped: bool) -> None:
    pair = (
        complete_document(open_orders=complete_document()["open_orders"][1:]),
        document_with((*ORDER, "price"), "NaN"),
    )
    findings = compare_documents(*(reversed(pair) if swapped else pair))
    assert problems(findings) == [
        ("open_orders", "A-1", "client_order_id", "only_expected" if swapped else "only_observed"),
        ("open_orders", "A-1", "price", "not_a_number"),
    ]


def test_no_open_orders_on_both_sides_is_a_finding() -> None:
    (finding,) = [
        finding
        for finding in compare_documents(complete_document(open_orders=[]), complete_document(open_orders=[]))
        if finding.part == "open_orders"
    ]
    assert (finding.state, finding.expected, finding.observed) == ("ok", "0", "0")


@pytest.mark.parametrize(("part", "key"), [("positions", "instrument"), ("open_orders", "client_order_id")])
def test_duplicates_are_unknown_even_when_they_are_equal(part: str, key: str) -> None:
    rows = complete_document()[part]
    twice = complete_document(**{part: [*rows, rows[0]]})
    assert rows[0][key] not in getattr(snapshot(twice), part).by_key
    for pair in ((twice, complete_document()), (complete_document(), twice), (twice, twice)):
        findings = compare_documents(*pair)
        assert state_of(findings) == "unknown"
        assert {(part, rows[0][key], key, "duplicate")} == set(problems(findings))


def test_a_row_without_a_name_may_be_any_missing_row() -> None:
    rows = complete_document()["open_orders"]
    unnamed = complete_document(open_orders=[{**rows[0], "client_order_id": None}, rows[1]])
    assert problems(compare_documents(complete_document(), unnamed)) == [
        ("open_orders", "", "client_order_id", "missing"),
        ("open_orders", "A-1", "client_order_id", "unnamed_row"),
    ]
    assert state_of(compare_documents(unnamed, unnamed)) == "unknown"


def test_another_instrument_is_never_ok() -> None:
    other_position = {**complete_document()["positions"][0], "instrument": "ETHUSDT"}
    other_order = {**complete_document()["open_orders"][0], "client_order_id": "E-1", "instrument": "ETHUSDT"}
    flat = {**FLAT, "instrument": "ETHUSDT"}
    for part, row, alone in (
        ("positions", other_position, "mismatch"),
        ("open_orders", other_order, "mismatch"),
        ("positions", flat, "unknown"),
    ):
        with_other = complete_document(**{part: [*complete_document()[part], row]})
        assert state_of(compare_documents(with_other, with_other)) == "unknown"
        assert state_of(compare_documents(with_other, complete_document())) == alone
        assert "other_instrument" in {
            reason for *_, reason in problems(compare_documents(complete_document(), with_other))
        }


def test_snapshots_of_another_instrument_than_the_runs_are_unknown() -> None:
    assert state_of(compare_documents(complete_document(), complete_document(), instrument="ETHUSDT")) == "unknown"


def test_a_balance_with_a_wrong_sum_is_a_finding_and_is_still_compared() -> None:
    odd = document_with((*BALANCE, "free"), "95")
    assert problems(compare_documents(odd, odd)) == [
        ("balances", "USDT", "total", "contradiction"),
        ("balances", "USDT", "total", "contradiction"),
    ]
    assert state_of(compare_documents(odd, document_with((*BALANCE, "free"), "96"))) == "mismatch"


def test_a_tolerance_holds_up_to_its_limit() -> None:
    def with_price(price: str) -> list[tuple[str, str, str, str]]:
        return problems(
            compare_documents(complete_document(), document_with((*POSITION, "average_entry_price"), price))
        )

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
    findings = compare_documents(
        complete_document(), complete_document(), now_ns=NOW_NS - 1_000_000_000 + seconds * 1_000_000_000
    )
    assert state_of(findings) == verdict
    assert {finding.reason for finding in findings if finding.subject == "age"} == {reason}


@pytest.mark.parametrize(("as_of", "verdict"), [("2025-05-04T12:01:00Z", "ok"), ("2025-05-04T12:01:00.1Z", "unknown")])
@pytest.mark.parametrize("swapped", [False, True])
def test_snapshots_taken_too_far_apart_are_unknown(as_of: str, verdict: str, swapped: bool) -> None:
    pair = (complete_document(), complete_document(as_of=as_of))
    findings = compare_documents(*(reversed(pair) if swapped else pair), now_ns=NOW_NS + 100_000_000_000)
    assert state_of(findings) == verdict


FIELDS = {path[-1] for path in value_paths(COMPLETE_DOCUMENT)}
NEW_VALUES: dict[str, Sequence[Any]] = {
    "instrument": ["ETHUSDT"],
    "side": ["LONG", "SHORT", "FLAT", "BUY", "SELL"],
    "type": ["LIMIT", "MARKET"],
    "status": ["ACCEPTED", "PENDING_CANCEL"],
    "client_order_id": ["someone-elses"],
    "asset": ["EUR"],
}


@settings(max_examples=100)
@given(valid_documents(), st.data())
def test_any_single_change_is_found_and_its_field_named(document: Document, data: st.DataObject) -> None:
    path: tuple[Any, ...] = data.draw(st.sampled_from(value_paths(document)))
    part, index, field = path
    changed = deepcopy(document)
    before = changed[part][index][field]
    choices = [value for value in NEW_VALUES.get(str(field), ["7777.5", "0", "NaN", True]) if value != before]
    if before is None or (isinstance(before, str) and before.strip("-0.") == ""):
        choices = [value for value in choices if value != "0"]  # it has this value already
    changed[part][index][field] = data.draw(st.sampled_from(choices))
    pair = (document, changed) if data.draw(st.booleans()) else (changed, document)
    findings = [finding for finding in compare_documents(*pair) if finding.state != "ok"]
    assert findings
    flat = document[part][index].get("side") == "FLAT"
    zero = part == "balances" and field == "asset"  # then it is two assets, and each of their amounts differs
    if not zero and not (flat and field == "instrument"):
        expected_field = "signed_quantity" if (part, field) == ("positions", "instrument") else field
        assert expected_field in {finding.field for finding in findings} or field in {
            finding.field for finding in findings
        }
    assert part in {finding.part for finding in findings}


@settings(max_examples=100)
@given(valid_documents() | corrupted_documents(), st.randoms())
def test_the_order_of_rows_does_not_matter(document: Document, random: Any) -> None:
    def shuffled(rows_of: Document) -> Document:
        mixed = deepcopy(rows_of)
        for part in ("positions", "open_orders", "balances"):
            if isinstance(mixed.get(part), list):
                random.shuffle(mixed[part])
        return mixed

    assume(is_snapshot(document))
    assert problems(compare_documents(document, complete_document())) == problems(
        compare_documents(shuffled(document), shuffled(complete_document()))
    )


@settings(max_examples=100)
@given(valid_documents() | corrupted_documents(), valid_documents() | corrupted_documents())
def test_swapping_the_sides_swaps_the_findings(expected: Document, observed: Document) -> None:
    assume(is_snapshot(expected) and is_snapshot(observed))
    forward, backward = compare_documents(expected, observed), compare_documents(observed, expected)
    other = {"expected": "observed", "observed": "expected", None: None}
    mirrored = {"only_expected": "only_observed", "only_observed": "only_expected"}

    def negated(difference: str | None) -> str | None:
        if difference is None or difference == "0":
            return difference
        return difference[1:] if difference.startswith("-") else f"-{difference}"

    def key(finding: Any, swap: bool) -> tuple[Any, ...]:
        if not swap:
            return (
                finding.part,
                finding.subject,
                finding.field,
                finding.reason,
                finding.expected,
                finding.observed,
                finding.snapshot,
            )
        reason = mirrored.get(finding.reason, finding.reason)
        side = other[finding.snapshot]
        return (finding.part, finding.subject, finding.field, reason, finding.observed, finding.expected, side)

    assert sorted(map(str, (key(finding, False) for finding in forward))) == sorted(
        map(str, (key(finding, True) for finding in backward))
    )
    plain = [finding.difference for finding in forward if finding.part != "freshness"]
    assert sorted(map(str, plain)) == sorted(
        str(negated(finding.difference)) for finding in backward if finding.part != "freshness"
    )


@settings(max_examples=100)
@given(corrupted_documents(), corrupted_documents())
def test_no_input_raises_and_a_missing_part_is_never_ok(expected: Document, observed: Document) -> None:
    assume(is_snapshot(expected) and is_snapshot(observed))
    pair = [snapshot(document) for document in (expected, observed)]
    findings = compare_documents(expected, observed)
    assert {finding.part for finding in findings} == {"positions", "open_orders", "balances", "freshness"}
    assert all(finding.state == STATE_OF[finding.reason] for finding in findings)
    for side in pair:
        if None in (side.summary().positions, side.summary().open_orders, side.summary().balances):
            assert state_of(findings) in ("unknown", "mismatch")


@settings(max_examples=100)
@given(valid_documents(), valid_documents())
def test_the_threads_decimal_context_does_not_matter(expected: Document, observed: Document) -> None:
    with localcontext(Context(prec=1, Emax=1, Emin=-1)) as context:
        narrow = compare_documents(expected, observed)
        assert not any(context.flags.values())
    assert narrow == compare_documents(expected, observed)
