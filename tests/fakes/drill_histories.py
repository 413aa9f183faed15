"""Histories of a small drill, as its two passes record them: a feed falls silent and lives again."""

from collections.abc import Sequence

from pydantic import JsonValue

from opslab.drills.drill import probes
from opslab.model.checks.drill import (
    DrillDefinition,
    Ending,
    HistoryEvent,
    Mark,
    PassHistory,
    PassKind,
    Signal,
    StepBounds,
    StepDefinition,
)

SILENT = Signal(event="feed_state_changed", where={"feed": "bars", "to": "silent"})
LIVE = Signal(event="feed_state_changed", where={"feed": "bars", "to": "live"})
STEP = StepDefinition(
    name="silence",
    reached=Signal(event="paper_heartbeat", where={"position_open": True}),
    reached_text="a position is open",
    injection="silence the candles",
    injected=Signal(event="fault_started", where={"fault": "silence"}),
    detected=SILENT,
    detected_by="event feed_state_changed",
    recovered=LIVE,
    never=(Signal(event="engine_lost"),),
    bounds=StepBounds(detect=3, recover=2),
)
DEFINITION = DrillDefinition(
    name="silence",
    title="silence",
    hypothesis="the lab notices",
    probes=probes(),
    steps=(STEP,),
    statuses=("interrupted",),
    control_statuses=("interrupted",),
)
GOOD_END = Ending(exit_code=0, status="interrupted", verification="whole", flat=True, ledger_is_proven=True)
NO_LOSS: dict[str, JsonValue] = {"orders_lost": 0, "orders_unknown": 0, "orders_external": 0, "first_lost_order": None}

Line = tuple[float, str, dict[str, JsonValue]]
"""Second, event, payload."""


def at(second: float) -> str:
    return f"2026-01-01T00:00:{second:09.6f}Z"


def heartbeat(second: float, **changes: JsonValue) -> Line:
    feeds: dict[str, JsonValue] = {"bars": "live", "quotes": "live", "trades": "live"}
    return (
        second,
        "paper_heartbeat",
        {
            "feeds": feeds,
            "sockets_connected": True,
            "gate_closed": False,
            "venue_answered": True,
            "position_open": True,
            **changes,
        },
    )


def feed(second: float, to: str) -> Line:
    return second, "feed_state_changed", {"feed": "bars", "from": "live", "to": to}


RECONCILED: Line = (9.5, "reconciliation_checked", {"occasion": "periodic", "state": "ok"})
END: Line = (20.0, "run_interrupted", {"ended_by": "SIGTERM", "paper": NO_LOSS, "flat": True})

FAULT_LINES: tuple[Line, ...] = (
    heartbeat(1),
    heartbeat(2),
    (3.1, "fault_started", {"fault": "silence"}),
    feed(5, "silent"),
    (5.2, "fault_ended", {"fault": "silence"}),
    feed(6, "live"),
    heartbeat(7),
    heartbeat(8),
    RECONCILED,
    END,
)
CONTROL_LINES: tuple[Line, ...] = (*(heartbeat(second) for second in range(1, 9)), RECONCILED, END)


def history(
    kind: PassKind, lines: Sequence[Line], ending: Ending | None = GOOD_END, *, has_injection: bool | None = None
) -> PassHistory:
    """has_injection: whether the drill says that it injected; by default in the pass with the fault."""
    events = tuple(
        HistoryEvent(seq=number, time=at(second), event=name, payload=payload)
        for number, (second, name, payload) in enumerate(lines, 1)
    )

    def mark(name: str, second: float, step: int | None = None) -> Mark:
        seq = max((event.seq for event in events if event.time <= at(second)), default=0)
        return Mark.model_validate({"name": name, "at": at(second), "seq": seq, "step": step})

    injected = kind == "fault" if has_injection is None else has_injection
    step_marks = (mark("injected", 3, 0), mark("restored", 5.1, 0), mark("settled", 8, 0)) if injected else ()
    marks = (mark("started", 0), mark("steady", 2), *step_marks, mark("stopped", 9.8), mark("ended", 21))
    return PassHistory(kind=kind, run_id=f"silence-{kind}", events=events, marks=marks, ending=ending)


CONTROL = history("control", CONTROL_LINES)
FAULT = history("fault", FAULT_LINES)
