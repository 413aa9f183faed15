"""From bytes to a snapshot: what is refused, and what is kept for a finding."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.reconciliation.document import MAX_BYTES, MAX_DEPTH
from opslab.reconciliation.snapshot import MAX_MISTAKES, MAX_ROWS, InvalidSnapshots, read_snapshot, read_snapshots
from tests.unit.reconciliation.accounts import encoded, spoiled, whole, wild


def fields(data: bytes) -> list[str]:
    """The field of each mistake; the data must be refused."""
    found, mistakes = read_snapshot(data)
    assert found is None
    assert mistakes
    assert all(mistake.message for mistake in mistakes)
    return [mistake.field for mistake in mistakes]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nothing",
        b"\xff\xfe{",
        b"{} {}",
        b"[]",
        b'"text"',
        b"null",
        b"5",
        b" " * (MAX_BYTES + 1),
        b"[" * 1_000_000,
        b"[" + b"1," * 300_000 + b"1]",
        b'{"a":' * 500_000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    assert fields(data) == [""]


def test_a_syntax_error_has_its_place() -> None:
    _, (mistake,) = read_snapshot(b'{"snapshot_version": "v1",\n  "as_of": oops}')
    assert (mistake.line, mistake.column) == (2, 12)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({}, ["snapshot_version"]),
        (whole(snapshot_version="v2"), ["snapshot_version"]),
        (whole(snapshot_version=1), ["snapshot_version"]),
        (whole(as_off="x"), ["as_off"]),
        (whole(positions={}), ["positions"]),
        (whole(positions="none"), ["positions"]),
        (whole(open_orders=[1, {}]), ["open_orders[0]"]),
        (whole(open_orders=[[]]), ["open_orders[0]"]),
        (whole(balances=[{"asset": "USDT", "amount": "1"}]), ["balances[0].amount"]),
        (whole(balances=[{}] * (MAX_ROWS + 1)), ["balances"]),
        (whole(**{"a b": 1, "x" * 5000: 1}), ["'a b'", "'" + "x" * 40 + "'... (5000 characters)"]),
        ({"as_of": [], "positions": 5, "open": 1}, ["open", "snapshot_version", "positions"]),
    ],
)
def test_what_is_no_snapshot_is_refused_with_every_mistake(document: Any, where: list[str]) -> None:
    assert fields(encoded(document)) == where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"snapshot_version": "v1", "snapshot_version": "v1"}', "snapshot_version"),
        ('{"snapshot_version": "v1", "positions": [{"side": "LONG", "side": "SHORT"}]}', "positions[0].side"),
        ('{"snapshot_version": "v1", "positions": [{"signed_quantity": NaN}]}', "positions[0].signed_quantity"),
        ('{"snapshot_version": "v1", "balances": [{"total": -Infinity}]}', "balances[0].total"),
    ],
)
def test_duplicate_keys_and_bare_infinities_are_refused_with_their_place(text: str, where: str) -> None:
    assert fields(text.encode()) == [where]


def test_depth_is_bounded() -> None:
    inner: Any = []
    for _ in range(MAX_DEPTH):
        inner = [inner]
    assert fields(encoded(whole(as_of=inner)))[0].startswith("as_of[0]")


def test_both_files_are_told_of_at_once() -> None:
    with pytest.raises(InvalidSnapshots) as caught:
        read_snapshots(("a.json", b"{"), ("b.json", encoded(whole(x=1, y=2))))
    listed: Any = caught.value.details()
    assert [(one["file"], one["field"]) for one in listed["mistakes"]] == [
        ("a.json (expected)", ""),
        ("b.json (observed)", "x"),
        ("b.json (observed)", "y"),
    ]
    assert len(caught.value.lines) == 3


def test_a_file_that_is_in_order_is_not_blamed_for_the_other() -> None:
    with pytest.raises(InvalidSnapshots) as caught:
        read_snapshots(("a.json", encoded(whole())), ("b.json", b"{"))
    assert "a.json" not in caught.value.message


def test_a_document_full_of_mistakes_gets_a_bounded_answer() -> None:
    rows = [{f"key{number}": 1} for number in range(MAX_ROWS)]
    begin = time.process_time()
    with pytest.raises(InvalidSnapshots) as caught:
        read_snapshots(("a.json", encoded(whole(positions=rows))), ("b.json", encoded(whole())))
    details: Any = caught.value.details()
    assert (details["mistake_count"], len(details["mistakes"])) == (MAX_ROWS, MAX_MISTAKES)
    assert time.process_time() - begin < 20


@pytest.mark.parametrize("document", [whole(), {"snapshot_version": "v1"}, whole(positions=None, as_of="now")])
def test_a_snapshot_that_lacks_things_is_one_all_the_same(document: Any) -> None:
    found, mistakes = read_snapshot(encoded(document))
    assert found
    assert not mistakes


def test_numbers_never_pass_through_binary_floating_point() -> None:
    document = json.dumps(whole()).replace('"0.005"', "0.10000000000000000555111512")
    found, _ = read_snapshot(document.encode())
    assert found
    assert "out_of_bounds" in str(found.positions)
    document = json.dumps(whole()).replace('"60012.3"', "60012.300000000001")
    found, _ = read_snapshot(document.encode())
    assert "Decimal('60012.300000000001')" in str(found)


@settings(max_examples=200, deadline=None)
@given(st.binary() | spoiled().map(encoded) | wild.map(encoded))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    found, mistakes = read_snapshot(data)
    assert (found is None) == bool(mistakes)
