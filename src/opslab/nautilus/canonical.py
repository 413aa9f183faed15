"""Order events as plain rows without UUIDs or wall-clock times."""

from collections.abc import Mapping
from typing import Any

_NOISE = ("event_id", "causation_id", "trader_id", "info", "reconciliation", "ts_init", "instrument_id")


def event_row(event: Mapping[str, Any]) -> dict[str, Any]:
    """An order event, as the engine's `to_dict` gives it, for the journal: every field that says something."""
    row = {name: value for name, value in event.items() if value is not None and value is not False}
    for name in _NOISE:
        row.pop(name, None)
    return row
