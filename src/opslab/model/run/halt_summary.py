"""Halt of a run by the kill switch: the section `halt` of its metadata.

It has no text that a person wrote; actor and reason are in `safety`. Seconds are counted from `activated_at`, or from
`seen_at` where the switch could not be read. None: not known, or a backtest, which has no venue.
"""

from typing import Literal

from opslab.model.primitives.record import Record

SwitchState = Literal["absent", "active", "cleared"]


class HaltFacts(Record):
    scope: Literal["run", "all"]
    """Scope of the switch that stopped it."""
    run_switch: SwitchState | None
    """States of both switches when the run saw an active one."""
    all_switch: SwitchState | None
    activated_at: str | None
    seen_at: str
    """When control saw it."""
    gate_closed_at: str | None
    seconds_to_gate: float | None
    """Until the gate stopped every order of the strategy."""
    seconds_to_no_orders: float | None = None
    """Until the venue had no open order, by its ledger; 0: it had none. The same holds for `seconds_to_flat`."""
    seconds_to_flat: float | None = None
    """Until it had neither an open order nor a position."""
    flat: bool | None = None
    """As the venue reported after the engine had ended."""
    flattened_by: Literal["engine", "venue"] | None = None
    """`venue`: the engine left an order or a position, and the venue closed it."""
    escalation: Literal["none", "sigterm", "sigkill"] | None = "none"
    """Signal that was needed to end the engine."""
    orders_gated: int = 0
    """Number of the strategy's calls to create or change an order that the gate stopped."""
