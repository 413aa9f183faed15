"""The venue refuses every order while a halt is wanted, and does not flatten the account for anybody."""

from opslab.drills.drill import Disturbance, Drill, KillSwitchActivation, VenueFault, probes
from opslab.drills.known_limits import ORDERS_IN_DOUBT
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

OVERLOAD_SECONDS = 2.0

DRILL = Drill(
    definition=DrillDefinition(
        name="venue-overload",
        title="Every order is refused while a halt is wanted",
        hypothesis="When the venue refuses every order with -1008 and the kill switch is activated, the gate closes at "
        "once, and the engine alone makes the account flat as soon as the venue accepts orders again: the venue's own "
        "flattening is off.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="halt while overloaded",
                reached=Signal(event="paper_heartbeat", where={"position_open": True}),
                reached_text="a position is open",
                injection="refuse every order with -1008, refuse to flatten, activate the kill switch",
                injected=Signal(event="fault_started", where={"fault": "reject-orders"}),
                detected=Signal(event="trading_halted", where={"by": "engine"}),
                detected_by="event trading_halted, exit code 4",
                recovered=Signal(event="positions_flattened", where={"flat": True, "by": "engine"}),
                also=(Signal(event="run_halted", where={"halt.flat": True, "halt.flattened_by": "engine"}),),
                never=(Signal(event="engine_lost"), Signal(event="positions_flattened", where={"by": "venue"})),
                reacts_to_stimulus=True,
                bounds=StepBounds(detect=1, recover=8),
            ),
        ),
        statuses=("halted",),
        control_statuses=("halted",),
        limits=(ORDERS_IN_DOUBT,),
    ),
    paper={"speed": 20},
    disturbances=(
        Disturbance(
            injections=(VenueFault("refuse-flatten", until_end=True), VenueFault("reject-orders", {"code": -1008})),
            stimulus=(KillSwitchActivation(),),
            hold_seconds=OVERLOAD_SECONDS,
        ),
    ),
    ends_run_by="itself",
)
