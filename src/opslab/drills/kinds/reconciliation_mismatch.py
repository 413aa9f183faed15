"""Another client trades on the account, and the node receives no update of it."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="reconciliation-mismatch",
        title="Another client trades on the account",
        hypothesis="When the account at the venue is no longer the one of the node, the periodic reconciliation "
        "reports a mismatch within seconds; with the foreign position closed and the stream back, both agree again.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="foreign trade",
                reached=Signal(event="paper_heartbeat", where={"sockets_connected": True, "gate_closed": False}),
                reached_text="the node trades",
                injection="an order of another client, with the user stream silent",
                injected=Signal(event="fault_started", where={"fault": "external-trade"}),
                detected=Signal(event="reconciliation_checked", where={"state": "mismatch"}),
                detected_by="event reconciliation_checked, alert ReconciliationMismatch",
                recovered=Signal(
                    event="reconciliation_checked", where={"occasion": "periodic", "state": ["ok", "warning"]}
                ),
                bounds=StepBounds(detect=20, recover=30),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
        external_orders=2,
        last_reconciliations=("ok", "warning"),
    ),
    paper={"speed": 60},
    disturbances=(
        Disturbance(
            injections=(
                VenueFault("silence", {"which": "user"}),
                VenueFault("external-trade", {"side": "BUY", "quantity": "0.050"}),
            ),
            corrections=(VenueFault("external-trade", {"side": "SELL", "quantity": "0.050"}),),
            restorations=(VenueFault("close", {"which": "user"}),),
        ),
    ),
)
