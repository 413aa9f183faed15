"""The schema and the reader agree."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings

from opslab.reconciliation.schema import snapshot_schema
from opslab.reconciliation.snapshot import read_snapshot
from tests.unit.reconciliation.accounts import Document, compared, documents, encoded, spoiled, state, whole

EXAMPLES = Path(__file__).parents[3] / "examples" / "reconciliation"
VALIDATOR = jsonschema.Draft202012Validator(snapshot_schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(snapshot_schema())


@pytest.mark.parametrize(
    ("name", "valid"),
    [("expected", True), ("ok", True), ("warning", True), ("mismatch", True), ("unknown", False), ("refused", False)],
)
def test_examples_are_valid_where_they_are_whole(name: str, valid: bool) -> None:
    assert VALIDATOR.is_valid(json.loads((EXAMPLES / f"{name}.json").read_text())) == valid


@settings(max_examples=200, deadline=None)
@given(documents())
def test_snapshots_in_good_order_are_valid(document: Document) -> None:
    assert VALIDATOR.is_valid(document)


@settings(max_examples=200, deadline=None)
@given(spoiled())
def test_what_the_reader_refuses_is_not_valid(document: Document) -> None:
    if VALIDATOR.is_valid(document):
        assert read_snapshot(encoded(document))[0]


@pytest.mark.parametrize("part", ["positions", "open_orders", "balances", "as_of"])
def test_a_part_that_may_not_be_missing_is_required(part: str) -> None:
    document = whole()
    del document[part]
    assert not VALIDATOR.is_valid(document)
    assert state(compared(document, whole())) == "unknown"
