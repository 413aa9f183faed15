"""Whole runs, as their journals have them, compared with the rules; a journal that departs from them is found."""

from typing import Any

import pytest

from opslab.model.primitives.instant import NS_PER_SECOND, iso
from opslab.model.run.event import Event
from opslab.model.run.paper_summary import AccountFacts, StopFacts
from opslab.model.spec.run_spec import PaperLimits
from opslab.runs.paper.journal_summary import summarize
from tests.oracles.paper_rules import departures

Line = tuple[float, str, dict[str, Any]]
"""Seconds, name, payload."""

LIMITS = PaperLimits(max_bars=30, max_seconds=60, restart="on_failure", max_restarts=1)
KILLED = {"kind": "engine", "message": "the engine process died of SIGKILL", "detail": ""}
LOST = {"ended_by": "SIGKILL", "failure": KILLED}
STARTED: list[Line] = [(0, "run_started", {}), (1, "venue_started", {"start_number": 1})]


def heartbeat(number: int) -> dict[str, Any]:
    counts = {"bars": 1, "quotes": 0, "trades": 0, "memory_bytes": 1, "event_lag_ms": None}
    return {"engine_number": number, "heartbeat": counts, "venue": None}


def closing(stop: str, **more: Any) -> dict[str, Any]:
    paper = summarize([]).summary(
        bars_expected=30,
        bars_seen=30,
        account=AccountFacts(open_orders=0, position="0", flat=True, source="venue"),
        stop=StopFacts(reason=stop, on_stop="flatten", seconds_to_gate=None, seconds_to_flat=None),  # type: ignore[arg-type]
        counts=None,
    )
    return {"paper": paper.model_dump(mode="json"), **more}


LAST_BAR: list[Line] = [
    *STARTED,
    (3, "paper_heartbeat", heartbeat(1)),
    (9, "gate_closed", {"reason": "last_bar"}),
    (9, "engine_ended", {"engine_number": 1}),
    (10, "run_completed", closing("max_bars", ended_by="max_bars")),
]
SIGNALED: list[Line] = [
    *STARTED,
    (3, "paper_heartbeat", heartbeat(1)),
    (4, "run_stopping", {"reason": "SIGINT", "on_stop": "flatten"}),
    (4, "gate_closed", {"reason": "SIGINT"}),
    (5, "engine_ended", {"engine_number": 1}),
    (6, "run_interrupted", closing("SIGINT", ended_by="SIGINT")),
]
OUT_OF_TIME: list[Line] = [
    *STARTED,
    (60.5, "run_stopping", {"reason": "max_seconds", "on_stop": "flatten"}),
    (61, "engine_ended", {"engine_number": 1}),
    (62, "run_completed", closing("max_seconds", ended_by="max_seconds")),
]
REPLACED: list[Line] = [
    *STARTED,
    (3, "paper_heartbeat", heartbeat(1)),
    (4, "engine_lost", {"engine_number": 1, **LOST}),
    (4, "engine_restarted", {"engine_number": 2, "max_engines": 2}),
    (5, "paper_heartbeat", heartbeat(2)),
    (6, "engine_lost", {"engine_number": 2, **LOST}),
    (7, "run_failed", closing("engine_lost", failure=KILLED)),
]
HALTED: list[Line] = [
    *STARTED,
    (4, "kill_switch_observed", {"observed_by": "watch"}),
    (5, "engine_lost", {"engine_number": 1, **LOST}),
    (6, "run_halted", closing("kill_switch", ended_by="kill_switch")),
]
VENUE_LOST: list[Line] = [
    *STARTED,
    (3, "venue_lost", {"start_number": 1, "reason": "died"}),
    (4, "venue_started", {"start_number": 2}),
    *LAST_BAR[2:],
]
RUNS = [LAST_BAR, SIGNALED, OUT_OF_TIME, REPLACED, HALTED, VENUE_LOST]


def found(lines: list[Line]) -> list[str]:
    events = [
        Event(seq=number, time=iso(round(at_s * NS_PER_SECOND)), event=name, payload=payload, prev=None)
        for number, (at_s, name, payload) in enumerate(lines, 1)
    ]
    return departures(events, LIMITS)


@pytest.mark.parametrize("lines", RUNS, ids=lambda lines: str(lines[-1][1]))
def test_a_run_by_the_rules(lines: list[Line]) -> None:
    assert found(lines) == []


def ends(lines: list[Line], name: str, stop: str, **more: Any) -> list[Line]:
    return [*lines[:-1], (lines[-1][0], name, closing(stop, **more))]


def without(lines: list[Line], name: str) -> list[Line]:
    return [line for line in lines if line[1] != name]


@pytest.mark.parametrize(
    ("lines", "claim"),
    [
        (ends(SIGNALED, "run_completed", "SIGINT", ended_by="SIGINT"), "run_completed, by its rules interrupted"),
        (ends(SIGNALED, "run_interrupted", "SIGINT", ended_by="SIGTERM"), "ended by SIGTERM, by its rules by SIGINT"),
        (ends(LAST_BAR, "run_completed", "max_seconds", ended_by="max_bars"), "stopped by max_seconds"),
        (ends(HALTED, "run_completed", "kill_switch", ended_by="kill_switch"), "by its rules halted"),
        (ends(REPLACED, "run_completed", "engine_lost", ended_by="engine_lost"), "by its rules failed"),
        ([*OUT_OF_TIME[:2], (59.5, *OUT_OF_TIME[2][1:]), *OUT_OF_TIME[3:]], "control decided run_stopping max_seconds"),
        (without(REPLACED, "engine_restarted"), "decides ['engine_restarted 2']"),
        ([*STARTED, *REPLACED[4:]], "by its rules"),
        (without(LAST_BAR, "engine_ended"), "by its rules it is"),
        (without(VENUE_LOST, "venue_lost"), "venue_started 2, the rules started 1"),
    ],
)
def test_a_journal_that_departs_from_the_rules_is_found(lines: list[Line], claim: str) -> None:
    assert any(claim in problem for problem in found(lines)), found(lines)
