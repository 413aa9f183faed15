"""Order events and bars as plain rows without UUIDs or wall-clock times."""

from collections.abc import Mapping
from typing import Any

_NOISE = ("event_id", "causation_id", "trader_id", "info", "ts_init", "instrument_id")


def event_row(event: Mapping[str, Any]) -> dict[str, Any]:
    """An order event, as the engine's `to_dict` gives it, for the journal: every field that says something.

    With `reconciliation` the engine was not told of it, but concluded it from what it asked the venue: the trade id of
    such a fill is made up.
    """
    row = {name: value for name, value in event.items() if value is not None and value is not False}
    for name in _NOISE:
        row.pop(name, None)
    return row


def bar_row(bar: Any) -> dict[str, Any]:
    """A bar as the strategy was given it. Numbers as text, with the decimals they came with."""
    return {
        "ts_event": bar.ts_event,
        "open": str(bar.open),
        "high": str(bar.high),
        "low": str(bar.low),
        "close": str(bar.close),
        "volume": str(bar.volume),
    }
