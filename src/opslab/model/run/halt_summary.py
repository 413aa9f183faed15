"""What is known of a run that the kill switch stopped: the section `halt` of its metadata.

No text of a person is in it: who activated the switch, and why, stands in `safety`. Seconds are since `activated_at`,
or since the switch was seen where it could not be read. None: not known, or of a backtest, which has no venue.
"""

from typing import Literal

from opslab.model.primitives.record import Record

SwitchState = Literal["absent", "active", "cleared"]


class HaltFacts(Record):
    scope: Literal["run", "all"]
    """Whose switch stopped it."""
    run_switch: SwitchState | None
    """Both switches, as they stood when the run saw that one was active."""
    all_switch: SwitchState | None
    activated_at: str | None
    seen_at: str
    """By control."""
    gate_closed_at: str | None
    seconds_to_gate: float | None
    """Until no order of the strategy could pass any more."""
    seconds_to_no_orders: float | None = None
    """Until the venue had no open order, by its ledger; 0: it had none. As the next one."""
    seconds_to_flat: float | None = None
    """Until it had neither an open order nor a position."""
    flat: bool | None = None
    """By the venue's own word when the engine was gone."""
    flattened_by: Literal["engine", "venue"] | None = None
    """`venue`: the engine left something, and the venue ended it."""
    escalation: Literal["none", "sigterm", "sigkill"] | None = "none"
    """What it took for the engine to end."""
    orders_gated: int = 0
    """Calls of the strategy that were to make or change an order, and that the gate kept back."""
