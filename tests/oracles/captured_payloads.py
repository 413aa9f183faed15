"""What was captured of the venue itself, where it is at hand, and what it means to be like it."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.candles import SHARED


def captured(name: str) -> Any:
    """A payload, without the envelope of its stream; skips the test where there is none."""
    path = SHARED / "payloads" / "fastmm" / f"binance_usdm_{name}.json"
    if not path.exists():
        pytest.skip(f"no captured payloads: {path.name} is absent from ../shared/data")
    found = json.loads(path.read_text())
    return found.get("data", found)


def assert_alike(found: Any, wanted: Any, place: str = "$") -> None:
    """The same names with the same types; a number in text stays one. Of lists, the first items are compared."""
    assert type(found) is type(wanted), place
    if isinstance(wanted, dict):
        assert found.keys() >= wanted.keys(), (place, wanted.keys() - found.keys())
        for name, value in wanted.items():
            assert_alike(found[name], value, f"{place}.{name}")
    elif isinstance(wanted, list) and wanted and found:
        assert_alike(found[0], wanted[0], f"{place}[0]")
    elif isinstance(wanted, str) and wanted[:1].isdigit():
        assert Decimal(found) >= 0, place
