"""The engine's process is stopped: connected, silent, with a position."""

from opslab.drills.drill import Disturbance, Drill, ProcessSignal, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="engine-hang",
        title="The engine hangs",
        hypothesis="When the engine's process is stopped with a position open, control notices within the limit of "
        "the spec, kills it and starts another one, which takes over orders and position; nothing is lost or doubled.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="engine hangs",
                reached=Signal(event="paper_heartbeat", where={"position_open": True}),
                reached_text="a position is open",
                injection="SIGSTOP to the engine's process",
                injected=None,
                detected=Signal(event="engine_lost", where={"ended_by": "hang"}),
                detected_by="event engine_lost",
                acted=Signal(event="engine_restarted"),
                recovered=Signal(
                    event="reconciliation_checked", where={"occasion": ["startup", "periodic"], "state": "ok"}
                ),
                recovered_from="injected",
                bounds=StepBounds(detect=5, act=3, recover=30),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
    ),
    paper={
        "speed": 60,
        "restart": "on_failure",
        "hang_after_seconds": "2",
    },
    disturbances=(Disturbance(injections=(ProcessSignal("engine", "stop"),), restore_when="by_itself"),),
)
