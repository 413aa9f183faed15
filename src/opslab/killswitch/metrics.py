"""Metrics of the kill switch."""

from collections.abc import Iterator
from typing import get_args

from opslab.killswitch.state import Switch
from opslab.killswitch.switch import Listing
from opslab.metrics.family import Family, Sample
from opslab.model.run.halt_summary import SwitchState

STATE = Family(
    "opslab_kill_switch_state",
    "gauge",
    "1 for the state of a kill switch, 0 for the others. The switch of all runs has scope all and an empty run_id.",
    ("scope", "run_id", "state"),
)
ACTIVATED_AT = Family(
    "opslab_kill_switch_activated_timestamp_seconds",
    "gauge",
    "When an active kill switch was activated. Without a value where its file cannot be read.",
    ("scope", "run_id"),
)
UNREADABLE = Family(
    "opslab_kill_switch_unreadable",
    "gauge",
    "1: the file of the switch cannot be read, and it counts as active.",
    ("scope", "run_id"),
)

FAMILIES = (STATE, ACTIVATED_AT, UNREADABLE)

_STATES: tuple[str, ...] = get_args(SwitchState)


def samples(listing: Listing) -> Iterator[Sample]:
    """The switch of all runs has its series always, also when it was never activated."""
    if listing.problem is not None:
        yield from STATE.states(_STATES, "active", "all", "")
        yield UNREADABLE.sample(1, "all", "")
    elif not any(switch.run_id is None for switch in listing.switches):
        yield from STATE.states(_STATES, "absent", "all", "")
        yield UNREADABLE.sample(0, "all", "")
    for switch in listing.switches:
        yield from _switch(switch)


def _switch(switch: Switch) -> Iterator[Sample]:
    labels = ("run" if switch.run_id else "all", switch.run_id or "")
    yield from STATE.states(_STATES, switch.state, *labels)
    yield UNREADABLE.sample(switch.problem is not None, *labels)
    record = switch.active_record
    if record is not None:
        yield from ACTIVATED_AT.at(record.activated_at, *labels)
