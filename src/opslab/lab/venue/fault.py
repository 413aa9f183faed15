"""Faults of a served venue."""

from typing import Any, TypedDict

from opslab.context import Context


class FaultStatus(TypedDict):
    """A fault of a served venue, as its control socket reports it."""

    number: int
    fault: str
    terms: dict[str, object]
    remaining_seconds: float | None
    """None: it was immediate."""


def all_faults() -> list[dict[str, Any]]:
    """All faults, ready for JSON. Loads the server, which a command to a served venue does not need."""
    from opslab.venue.faults.catalog import fault_catalog

    return fault_catalog()


def active_faults(context: Context, venue: str) -> list[FaultStatus]:
    active: list[FaultStatus] = _request(context, venue, "held")
    return active


def start_fault(context: Context, venue: str, fault: str, terms: dict[str, str], seconds: float) -> FaultStatus:
    """Parameters as text. Raises Usage before any request to the venue."""
    from opslab.venue.faults.controller import parse_terms

    active: FaultStatus = _request(
        context, venue, "start", fault=fault, terms=parse_terms(fault, terms), seconds=seconds
    )
    return active


def stop_fault(context: Context, venue: str, number: int) -> FaultStatus:
    stopped: FaultStatus = _request(context, venue, "stop", number=number)
    return stopped


def stop_all_faults(context: Context, venue: str) -> dict[str, int]:
    """`stopped`: the number of faults."""
    stopped: dict[str, int] = _request(context, venue, "stop_all")
    return stopped


def _request(context: Context, venue: str, command: str, **fields: object) -> Any:
    """Send one command to the control socket of a served venue. Raises its refusal."""
    from opslab.runs.processes.venue_control_client import open_control

    with open_control(context.layout, venue) as control:
        return control.request(command, **fields)
