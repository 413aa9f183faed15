"""docs/venue-faults.md lists all faults with their terms and defaults, and the limits."""

import re
from pathlib import Path

import pytest

from opslab.venue.faults.controller import MAX_ACTIVE_FAULTS, MAX_FAULT_SECONDS
from opslab.venue.faults.delay_queue import MAX_DELAYED_BYTES
from opslab.venue.faults.fault import MessageTerms
from opslab.venue.faults.registry import FAULTS

PAGE = (Path(__file__).parents[4] / "docs" / "venue-faults.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)` \|(.*?)\|(.*?)\|(.*?)\|$", PAGE.partition("## Effects on a node")[2], re.MULTILINE)


def shown(terms: dict[str, object]) -> dict[str, str]:
    return {name: "-" if value is None else str(value) for name, value in terms.items()}


def test_the_page_has_one_row_for_each_fault() -> None:
    assert [name for name, *_ in ROWS] == list(FAULTS)
    assert all(cell.strip() for _, _, effect, time in ROWS for cell in (effect, time))


@pytest.mark.parametrize(("name", "cell"), [(name, cell) for name, cell, *_ in ROWS])
def test_a_row_has_the_terms_and_their_defaults(name: str, cell: str) -> None:
    documented = dict(re.findall(r"`([a-z_]+)=([^`]*)`", cell))
    if "*messages*" in cell:
        documented |= shown(MessageTerms().model_dump())
    assert documented == shown(FAULTS[name].terms().model_dump())


def test_the_page_defines_messages() -> None:
    for name, value in shown(MessageTerms().model_dump()).items():
        assert f"`{name}={value}`" in PAGE


def test_the_page_has_the_limits() -> None:
    assert f"{MAX_FAULT_SECONDS:.0f} s at most" in PAGE
    assert f"up to {MAX_ACTIVE_FAULTS} can be active" in PAGE
    assert f"{MAX_DELAYED_BYTES >> 20} MiB held back" in PAGE


def test_the_page_lists_the_immediate_faults() -> None:
    names = [name for name, fault in FAULTS.items() if fault.is_immediate]
    assert "`close`, `reset`, `external-trade`, `margin-call` and `forced-close` take effect once" in PAGE
    assert names == ["close", "reset", "external-trade", "margin-call", "forced-close"]
