"""docs/drills.md: tables of the registry, fields of the record, a runbook for each drill."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from opslab.drills.registry import DRILLS
from opslab.model.checks.drill import (
    Check,
    DrillDefinition,
    DrillRecord,
    Ending,
    HistoryEvent,
    Judgement,
    KnownLimit,
    Mark,
    PassHistory,
    Probe,
    Signal,
    StepBounds,
    StepDefinition,
    StepTimes,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "drills.md"
RECORDS = (
    DrillRecord,
    DrillDefinition,
    Probe,
    Signal,
    StepDefinition,
    StepBounds,
    KnownLimit,
    PassHistory,
    HistoryEvent,
    Mark,
    Ending,
    Judgement,
    Check,
    StepTimes,
)
NAME = re.compile(r"`(\w+)`")


def section(heading: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def runbooks() -> dict[str, str]:
    """Drill to its runbook, by the page."""
    return dict(re.findall(r"^\| `([\w-]+)` \|.*\]\(runbooks/([\w-]+\.md)\) \|$", section("The drills"), re.MULTILINE))


def test_the_tables_are_those_of_the_registry() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "drill_docs.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{checked.stdout}{checked.stderr}: run scripts/drill_docs.py"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_the_page_names_every_field_of_the_record(record: type[BaseModel]) -> None:
    assert set(record.model_fields) <= set(NAME.findall(section("The record")))


def test_the_page_names_no_field_that_a_record_lacks() -> None:
    first = re.findall(r"^\| (`.*?) \|", section("The record"), re.MULTILINE)
    named = {name for cell in first for name in NAME.findall(cell)}
    assert named <= {field for record in RECORDS for field in record.model_fields}


@pytest.mark.parametrize("name", DRILLS)
def test_the_runbook_of_a_drill_covers_it(name: str) -> None:
    page = ROOT / "docs" / "runbooks" / runbooks()[name]
    text = page.read_text(encoding="utf-8")
    drill = text.partition("\n## Drill\n")[2]
    assert f"`tc drill run {name}`" in drill
    assert f"drills/{name}.json" in drill
