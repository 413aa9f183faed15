"""Every connection is cut, and new ones are refused for a while."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="disconnect",
        title="All connections are lost",
        hypothesis="When every connection is cut and new ones are refused, the lab reports it within a second; the "
        "node reconnects by itself, its feeds are live again, and no order is lost.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="connections lost",
                reached=Signal(event="paper_heartbeat", where={"sockets_connected": True, "position_open": True}),
                reached_text="all sockets are connected and a position is open",
                injection="reset every connection and refuse new ones",
                injected=Signal(event="fault_started", where={"fault": "reset"}),
                detected=Signal(event="socket_state_changed", where={"to": "disconnected"}),
                detected_by="event socket_state_changed",
                recovered=Signal(
                    event="paper_heartbeat",
                    where={
                        "sockets_connected": True,
                        "feeds.bars": "live",
                        "feeds.quotes": "live",
                        "feeds.trades": "live",
                    },
                ),
                also=(
                    Signal(event="feed_state_changed", where={"feed": "bars", "to": "disconnected"}),
                    Signal(event="feed_state_changed", where={"feed": "bars", "to": "live"}),
                ),
                bounds=StepBounds(detect=1, recover=15),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
    ),
    paper={"speed": 60},
    disturbances=(
        Disturbance(
            injections=(VenueFault("refuse", {"which": "all"}), VenueFault("reset", {"which": "all"})), hold_seconds=1.5
        ),
    ),
)
