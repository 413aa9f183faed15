"""One update of an order never arrives: the venue has filled it, and the node does not know."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="missing-update",
        title="Updates of orders never arrive",
        hypothesis="When updates of orders do not arrive on a living connection, the engine queries its "
        "orders in flight within seconds; afterwards both accounts agree, and no order is lost or doubled.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="updates missing",
                reached=Signal(event="paper_heartbeat", where={"sockets_connected": True, "gate_closed": False}),
                reached_text="the node trades",
                injection="silence the user stream",
                injected=Signal(event="fault_started", where={"fault": "silence"}),
                detected=Signal(event="order_event", where={"reconciliation": True}),
                detected_by="an order event by a query of the engine",
                recovered=Signal(
                    event="reconciliation_checked", where={"occasion": ["startup", "periodic"], "state": "ok"}
                ),
                bounds=StepBounds(detect=20, recover=30),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
    ),
    paper={"speed": 60},
    disturbances=(
        Disturbance(
            injections=(VenueFault("silence", {"which": "user"}),),
            restorations=(VenueFault("close", {"which": "user"}),),
        ),
    ),
)
