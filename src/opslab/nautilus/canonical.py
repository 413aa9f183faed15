"""Order events, bars and enum values of the engine in canonical form: without UUIDs and wall-clock times."""

from collections.abc import Mapping
from typing import Any

from opslab.model.pipe.messages import BarRow

_OMITTED = frozenset({"event_id", "causation_id", "trader_id", "info", "ts_init"})


def event_row(event: Mapping[str, Any], instrument_id: str) -> dict[str, Any]:
    """The journal's payload of an order event in the form of the engine's `to_dict`: every field that has a value.

    instrument_id: of the run; only an event of another instrument names its own. With `reconciliation` the engine
    inferred the event from a query to the venue: the trade id of such a fill is made up.
    """
    row = {
        name: value
        for name, value in event.items()
        if value is not None and value is not False and name not in _OMITTED
    }
    if row.get("instrument_id") == instrument_id:
        del row["instrument_id"]
    return row


def bar_row(bar: Any) -> BarRow:
    """A bar as the strategy received it. Numbers as text, with their original decimals."""
    return BarRow(
        ts_event=bar.ts_event,
        open=str(bar.open),
        high=str(bar.high),
        low=str(bar.low),
        close=str(bar.close),
        volume=str(bar.volume),
    )


def enum_name(value: Any) -> str:
    """`BUY` for `OrderSide.BUY`: some enums of the engine print with the name of their class, some without."""
    return str(value).rpartition(".")[2]
