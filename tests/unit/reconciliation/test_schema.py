"""The JSON Schema and the reader agree."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings

from opslab.reconciliation.schema import snapshot_schema
from opslab.reconciliation.snapshot import read_snapshot
from tests.fakes.snapshot_documents import (
    Document,
    compare_documents,
    complete_document,
    corrupted_documents,
    encoded,
    state_of,
    valid_documents,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "reconciliation"
VALIDATOR = jsonschema.Draft202012Validator(snapshot_schema())


def test_the_schema_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(snapshot_schema())


@pytest.mark.parametrize(
    ("name", "valid"),
    [("expected", True), ("ok", True), ("warning", True), ("mismatch", True), ("unknown", False), ("refused", False)],
)
def test_complete_examples_are_valid(name: str, valid: bool) -> None:
    assert VALIDATOR.is_valid(json.loads((EXAMPLES / f"{name}.json").read_text())) == valid


@settings(max_examples=200)
@given(valid_documents())
def test_valid_snapshots_satisfy_the_schema(document: Document) -> None:
    assert VALIDATOR.is_valid(document)


@settings(max_examples=200)
@given(corrupted_documents())
def test_a_document_that_the_reader_refuses_violates_the_schema(document: Document) -> None:
    if VALIDATOR.is_valid(document):
        assert read_snapshot(encoded(document))[0]


@pytest.mark.parametrize("part", ["positions", "open_orders", "balances", "as_of"])
def test_every_part_is_required(part: str) -> None:
    document = complete_document()
    del document[part]
    assert not VALIDATOR.is_valid(document)
    assert state_of(compare_documents(document, complete_document())) == "unknown"
