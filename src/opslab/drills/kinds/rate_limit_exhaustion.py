"""The venue refuses every request for a while, as after too many of them."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="rate-limit-exhaustion",
        title="The venue answers 429 to every request",
        hypothesis="When the venue refuses requests with 429 and Retry-After, orders are rejected and not repeated "
        "blindly; after the limit is over, trading goes on, both accounts agree, and no order is lost or doubled.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="requests refused",
                reached=Signal(event="paper_heartbeat", where={"sockets_connected": True, "position_open": True}),
                reached_text="a position is open",
                injection="HTTP 429 with Retry-After 2 for every request",
                injected=Signal(event="fault_started", where={"fault": "http"}),
                detected=Signal(event="order_event", where={"type": ["OrderRejected", "OrderCancelRejected"]}),
                detected_by="event order_event",
                recovered=Signal(event="order_event", where={"type": "OrderAccepted"}),
                bounds=StepBounds(detect=10, recover=10),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
    ),
    paper={"speed": 60},
    disturbances=(Disturbance(injections=(VenueFault("http", {"status": 429, "retry_after": 2}),), hold_seconds=3),),
)
