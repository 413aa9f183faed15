"""The families of the exporter, and the page that is made from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from opslab.lab.metrics.families import FAMILIES
from opslab.metrics.family import Family

ROOT = Path(__file__).parents[4]
NO_IDENTITIES = {"host", "hostname", "pid", "uuid", "instance", "job", "boot_id"}


def test_the_reference_page_is_that_of_the_families() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "metrics_docs.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{checked.stdout}{checked.stderr}: run scripts/metrics_docs.py"


def test_names_are_unique() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: Family) -> None:
    """Of prometheus.io: base units, no age, no id of a machine in a label."""
    words = family.base.split("_")
    assert not {"ms", "milliseconds", "minutes", "kb", "mb", "age", "percent"} & set(words), family.name
    assert "timestamp" not in words or family.name.endswith("_timestamp_seconds"), family.name
    assert not NO_IDENTITIES & set(family.labels), family.labels
    assert family.help.endswith("."), family.help
    assert "\n" not in family.help
    assert "|" not in family.help
