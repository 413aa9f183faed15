"""The page of the journal and its JSON Schema follow from the classes of the events."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydantic_core import from_json, to_json

from opslab.model.journal.journal_event import JournalEvent
from tests.fakes.journal_events import AT, EXAMPLES

ROOT = Path(__file__).parents[4]


def test_page_and_schema_are_those_of_the_classes() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "journal_docs.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{checked.stdout}{checked.stderr}: run scripts/journal_docs.py"


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    document: Any = json.loads((ROOT / "docs" / "journal.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def line_of(event: JournalEvent) -> dict[str, Any]:
    return {"seq": 1, "time": AT, "event": event.EVENT, "payload": from_json(to_json(event.payload())), "prev": None}


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: event.EVENT)
def test_every_example_fits_the_schema(schema: Draft202012Validator, event: JournalEvent) -> None:
    schema.validate(line_of(event))


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: event.EVENT)
def test_a_payload_of_another_event_does_not(schema: Draft202012Validator, event: JournalEvent) -> None:
    with pytest.raises(ValidationError):
        schema.validate({**line_of(event), "payload": {"of": "no event"}})
