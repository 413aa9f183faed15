"""Each process of a run is killed in turn: the engine, the venue, control itself."""

from opslab.drills.drill import Disturbance, Drill, ProcessSignal, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

_POSITION_OPEN = Signal(event="paper_heartbeat", where={"position_open": True})
_FLAT = Signal(event="paper_heartbeat", where={"position_open": False, "open_orders": 0})
"""The strategy closes its position and cancels its orders every other minute. It cannot end what it has not claimed,
and both accounts agree all the same."""
_RECONCILED = Signal(event="reconciliation_checked", where={"occasion": ["startup", "periodic"], "state": "ok"})

DRILL = Drill(
    definition=DrillDefinition(
        name="restart-recovery",
        title="Engine, venue and control are killed",
        hypothesis="A killed engine is replaced by one that claims its orders and its position; a killed venue returns "
        "with its ledger; a run whose control was killed is settled flat. No order is lost or doubled.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="engine killed",
                reached=_POSITION_OPEN,
                reached_text="a position is open",
                injection="SIGKILL to the engine's process",
                injected=None,
                detected=Signal(event="engine_lost", where={"ended_by": "SIGKILL"}),
                detected_by="event engine_lost",
                acted=Signal(event="engine_restarted"),
                recovered=_RECONCILED,
                recovered_from="injected",
                also=(_FLAT,),
                bounds=StepBounds(detect=1.5, act=3, recover=30),
            ),
            StepDefinition(
                name="venue killed",
                reached=_POSITION_OPEN,
                reached_text="a position is open",
                injection="SIGKILL to the venue's process",
                injected=None,
                detected=Signal(event="venue_lost"),
                detected_by="event venue_lost",
                acted=Signal(event="venue_started"),
                recovered=Signal(
                    event="paper_heartbeat",
                    where={"sockets_connected": True, "feeds.bars": "live", "venue_answered": True},
                ),
                recovered_from="injected",
                bounds=StepBounds(detect=1.5, act=15, recover=45),
            ),
            StepDefinition(
                name="control killed",
                reached=_POSITION_OPEN,
                reached_text="a position is open",
                injection="SIGKILL to control",
                injected=None,
                detected=Signal(event="run_interrupted", where={"ended_by": "owner_gone"}),
                detected_by="tc run recover, alert RunInterrupted",
                recovered=Signal(event="run_interrupted", where={"flat": True}),
                recovered_from="injected",
                bounds=StepBounds(detect=30, recover=30),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
        max_unreported_orders=4,
    ),
    paper={"speed": 60, "restart": "on_failure"},
    disturbances=(
        Disturbance(injections=(ProcessSignal("engine", "kill"),), restore_when="by_itself"),
        Disturbance(injections=(ProcessSignal("venue", "kill"),), restore_when="by_itself"),
        Disturbance(injections=(ProcessSignal("control", "kill"),), restore_when="by_itself"),
    ),
)
