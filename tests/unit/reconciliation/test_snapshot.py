"""Read snapshots: what is refused, and what becomes a finding."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.reconciliation.document import MAX_BYTES, MAX_DEPTH
from opslab.reconciliation.snapshot import MAX_MISTAKES, MAX_ROWS, InvalidSnapshots, read_snapshot, read_snapshots
from tests.fakes.snapshot_documents import arbitrary_json, complete_document, corrupted_documents, encoded


def fields(data: bytes) -> list[str]:
    """The field of each mistake; the data must be refused."""
    snapshot, mistakes = read_snapshot(data)
    assert snapshot is None
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
def test_an_invalid_document_is_refused(data: bytes) -> None:
    assert fields(data) == [""]


def test_a_syntax_error_has_its_location() -> None:
    _, (mistake,) = read_snapshot(b'{"snapshot_version": "v1",\n  "as_of": oops}')
    assert (mistake.line, mistake.column) == (2, 12)


@pytest.mark.parametrize(
    ("document", "locations"),
    [
        ({}, ["snapshot_version"]),
        (complete_document(snapshot_version="v2"), ["snapshot_version"]),
        (complete_document(snapshot_version=1), ["snapshot_version"]),
        (complete_document(as_off="x"), ["as_off"]),
        (complete_document(positions={}), ["positions"]),
        (complete_document(positions="none"), ["positions"]),
        (complete_document(open_orders=[1, {}]), ["open_orders[0]"]),
        (complete_document(open_orders=[[]]), ["open_orders[0]"]),
        (complete_document(balances=[{"asset": "USDT", "amount": "1"}]), ["balances[0].amount"]),
        (complete_document(balances=[{}] * (MAX_ROWS + 1)), ["balances"]),
        (complete_document(**{"a b": 1, "x" * 5000: 1}), ["'a b'", "'" + "x" * 40 + "'... (5000 characters)"]),
        ({"as_of": [], "positions": 5, "open": 1}, ["open", "snapshot_version", "positions"]),
    ],
)
def test_an_invalid_snapshot_is_refused_with_every_mistake(document: Any, locations: list[str]) -> None:
    assert fields(encoded(document)) == locations


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ('{"snapshot_version": "v1", "snapshot_version": "v1"}', "snapshot_version"),
        ('{"snapshot_version": "v1", "positions": [{"side": "LONG", "side": "SHORT"}]}', "positions[0].side"),
        ('{"snapshot_version": "v1", "positions": [{"signed_quantity": NaN}]}', "positions[0].signed_quantity"),
        ('{"snapshot_version": "v1", "balances": [{"total": -Infinity}]}', "balances[0].total"),
    ],
)
def test_duplicate_keys_and_bare_infinities_are_refused_with_their_location(text: str, location: str) -> None:
    assert fields(text.encode()) == [location]


def test_depth_is_bounded() -> None:
    inner: Any = []
    for _ in range(MAX_DEPTH):
        inner = [inner]
    assert fields(encoded(complete_document(as_of=inner)))[0].startswith("as_of[0]")


def test_the_mistakes_of_both_files_are_reported_together() -> None:
    with pytest.raises(InvalidSnapshots) as caught:
        read_snapshots(("a.json", b"{"), ("b.json", encoded(complete_document(x=1, y=2))))
    listed: Any = caught.value.details()
    assert [(mistake["file"], mistake["field"]) for mistake in listed["mistakes"]] == [
        ("a.json (expected)", ""),
        ("b.json (observed)", "x"),
        ("b.json (observed)", "y"),
    ]
    assert len(caught.value.lines) == 3


def test_a_valid_file_is_not_named_in_the_error() -> None:
    with pytest.raises(InvalidSnapshots) as caught:
        read_snapshots(("a.json", encoded(complete_document())), ("b.json", b"{"))
    assert "a.json" not in caught.value.message


def test_a_document_with_many_mistakes_gets_a_bounded_answer() -> None:
    rows = [{f"key{number}": 1} for number in range(MAX_ROWS)]
    started_s = time.process_time()
    with pytest.raises(InvalidSnapshots) as caught:
        read_snapshots(("a.json", encoded(complete_document(positions=rows))), ("b.json", encoded(complete_document())))
    details: Any = caught.value.details()
    assert (details["mistake_count"], len(details["mistakes"])) == (MAX_ROWS, MAX_MISTAKES)
    assert time.process_time() - started_s < 20


@pytest.mark.parametrize(
    "document", [complete_document(), {"snapshot_version": "v1"}, complete_document(positions=None, as_of="now")]
)
def test_an_incomplete_snapshot_is_still_a_snapshot(document: Any) -> None:
    snapshot, mistakes = read_snapshot(encoded(document))
    assert snapshot
    assert not mistakes


def test_numbers_never_pass_through_binary_floating_point() -> None:
    document = json.dumps(complete_document()).replace('"0.005"', "0.10000000000000000555111512")
    snapshot, _ = read_snapshot(document.encode())
    assert snapshot
    assert "out_of_bounds" in str(snapshot.positions)
    document = json.dumps(complete_document()).replace('"60012.3"', "60012.300000000001")
    snapshot, _ = read_snapshot(document.encode())
    assert "Decimal('60012.300000000001')" in str(snapshot)


@settings(max_examples=200)
@given(st.binary() | corrupted_documents().map(encoded) | arbitrary_json.map(encoded))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    snapshot, mistakes = read_snapshot(data)
    assert (snapshot is None) == bool(mistakes)
