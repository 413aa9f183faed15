"""The best bid and offer stop, while candles and trades go on: the book that a strategy sees is old."""

from opslab.drills.drill import Disturbance, Drill, VenueFault, probes
from opslab.model.checks.drill import DrillDefinition, Signal, StepBounds, StepDefinition

DRILL = Drill(
    definition=DrillDefinition(
        name="stale-orderbook",
        title="The top of the book is no longer sent",
        hypothesis="When the best bid and offer fall silent while candles and trades go on, the lab reports that one "
        "feed as silent within seconds; the other feeds stay live, and no order is lost.",
        probes=probes(),
        steps=(
            StepDefinition(
                name="quotes silent",
                reached=Signal(event="paper_heartbeat", where={"feeds.quotes": "live", "position_open": True}),
                reached_text="the quote feed is live and a position is open",
                injection="silence the stream btcusdt@bookTicker",
                injected=Signal(event="fault_started", where={"fault": "silence"}),
                detected=Signal(event="feed_state_changed", where={"feed": "quotes", "to": "silent"}),
                detected_by="event feed_state_changed, alert FeedSilent",
                recovered=Signal(event="feed_state_changed", where={"feed": "quotes", "to": "live"}),
                never=(
                    Signal(event="socket_state_changed"),
                    Signal(event="feed_state_changed", where={"feed": ["bars", "trades"], "to": "silent"}),
                ),
                bounds=StepBounds(detect=4, recover=4),
            ),
        ),
        statuses=("interrupted",),
        control_statuses=("interrupted",),
    ),
    paper={"speed": 60, "silent_after_seconds": {"quotes": "1.5"}},
    disturbances=(Disturbance(injections=(VenueFault("silence", {"stream": "btcusdt@bookTicker"}),)),),
)
