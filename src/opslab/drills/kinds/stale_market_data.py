"""Closed candles stop, and every connection lives: a strategy that listens to bars is blind without any error."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="stale-market-data",
        title="Closed candles are no longer sent",
        hypothesis="When the candle stream falls silent on a living connection, the lab reports the feed as silent "
        "within seconds, and as live again when candles return; no order is lost.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="candles silent",
                reached=Signal(event="paper_heartbeat", where={"feeds.bars": "live", "position_open": True}),
                reached_text="the candle feed is live and a position is open",
                injection="silence the stream btcusdt@kline_1m",
                injected=Signal(event="fault_started", where={"fault": "silence"}),
                detected=Signal(event="feed_state_changed", where={"feed": "bars", "to": "silent"}),
                detected_by="event feed_state_changed, alert FeedSilent",
                recovered=Signal(event="feed_state_changed", where={"feed": "bars", "to": "live"}),
                never=(Signal(event="socket_state_changed"),),
                bounds=StepBounds(detect=5, recover=5),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
    ),
    paper={"speed": 60, "silent_after_seconds": {"bars": "2.5"}},
    disturbances=(Disturbance(injections=(VenueFault("silence", {"stream": "btcusdt@kline_1m"}),)),),
)
