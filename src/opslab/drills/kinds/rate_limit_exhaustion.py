"""The venue refuses every request for a while, as after too many of them."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.drills.known_limits import ORDERS_IN_DOUBT
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="rate-limit-exhaustion",
        title="The venue answers 429 to every request",
        hypothesis="When the venue refuses requests with 429 and Retry-After, the node repeats no order blindly and "
        "reports its orders in flight; after the limit is over, trading goes on, and no order is lost or doubled.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="requests refused",
                reached=Signal(event="paper_heartbeat", where={"sockets_connected": True, "position_open": True}),
                reached_text="a position is open",
                injection="HTTP 429 with Retry-After 2 for every request",
                injected=Signal(event="fault_started", where={"fault": "http"}),
                detected=Signal(event="paper_heartbeat", where={"orders_in_flight": list(range(3, 200))}),
                detected_by="orders in flight in paper_heartbeat",
                recovered=Signal(event="order_event", where={"type": "OrderFilled"}),
                never=(Signal(event="engine_lost"),),
                bounds=StepBounds(detect=8, recover=10),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
        limits=(ORDERS_IN_DOUBT,),
    ),
    paper={"speed": 100},
    disturbances=(Disturbance(injections=(VenueFault("http", {"status": 429, "retry_after": 2}),), hold_seconds=3),),
)
