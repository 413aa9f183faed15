"""Summary of a paper run: from the closing event to metadata, report and `tc run show`."""

from pathlib import Path
from typing import Any

from opslab.cli.run.paper_fields import paper_fields
from opslab.model.journal.run_events import RUN_EVENTS
from opslab.model.run.event import RUN_FORMAT, Event
from opslab.model.run.metadata import RunMetadata
from opslab.model.run.paper_summary import PaperFacts
from opslab.runs.record.journal_events import decoded
from opslab.runs.record.report import render
from opslab.runs.record.state import project
from tests.fakes.run_payloads import OWNER

FACTS: dict[str, Any] = {
    "engines": [
        {"number": 1, "started_at": "10:00", "ended_at": "10:05", "ended_by": "crash", "failure": "engine: panicked"},
        {"number": 2, "started_at": "10:05", "ended_at": "10:30", "ended_by": "stopped"},
    ],
    "restarts": 1,
    "bars_expected": 500,
    "bars_seen": 488,
    "bars_missed": 12,
    "heartbeats": 1700,
    "dropped_heartbeats": 0,
    "feeds": {
        "bars": {
            "messages": 488,
            "changes": 4,
            "silent_seconds": 12.0,
            "disconnected_seconds": 3.5,
            "noticed_after_seconds_max": 1.04,
        }
    },
    "reconciliations": {"ok": 170, "warning": 1, "mismatch": 0, "unknown": 2},
    "final_reconciliation": "ok",
    "final_account": {"open_orders": 0, "position": "0.000", "flat": True, "source": "venue"},
    "stop": {"reason": "max_bars", "on_stop": "flatten", "seconds_to_gate": 0.01, "seconds_to_flat": 0.2},
    "latencies": {"start_to_first_bar_seconds": 1.2, "event_lag_ms_max": 4.0},
}
NOTHING: dict[str, Any] = {
    "engines": [],
    "restarts": 0,
    "bars_expected": 500,
    "bars_seen": None,
    "bars_missed": None,
    "heartbeats": 0,
    "dropped_heartbeats": None,
    "feeds": {},
    "reconciliations": {},
    "final_reconciliation": None,
    "final_account": None,
    "stop": None,
    "latencies": {},
}
INTENT: dict[str, Any] = {
    "format": RUN_FORMAT,
    "run_id": "p1",
    "mode": "paper",
    "strategy": {"name": "ops_smoke_demo", "version": "v1"},
    "venue": "binance",
    "instrument": "BTCUSDT",
    "risk_profile": "tiny",
    "lab_version": "0.1.0",
}


def ended(facts: dict[str, Any]) -> RunMetadata:
    events = [
        ("run_initialized", INTENT),
        ("run_started", {"owner": OWNER}),
        ("run_completed", {"paper": facts, "ended_by": "max_bars"}),
    ]
    lines = (
        Event(seq=seq, time=f"2026-01-01T00:00:0{seq}.000000Z", event=name, payload=payload, prev=None)
        for seq, (name, payload) in enumerate(events, 1)
    )
    run = project(decoded(Path("p1"), lines, RUN_EVENTS))
    assert run
    return run


def test_the_closing_event_gives_the_metadata_its_section() -> None:
    run = ended(FACTS)
    assert run.paper == PaperFacts.model_validate(FACTS, strict=False)
    again = RunMetadata.model_validate_json(run.model_dump_json())
    assert again.paper == run.paper


def test_the_report_has_its_sections() -> None:
    text = render("report.md.j2", ended(FACTS))
    for line in (
        "## End", "| reason | max_bars |", "| seconds to flat | 0.2 |",
        "| seen | 488 |", "| missed | 12 |",
        "| engine 1 | 10:00 to 10:05, crash: engine: panicked |",
        "| bars | 488 messages, 4 state changes, noticed after 1.0 s at most, silent 12.0 s, disconnected 3.5 s |",
        "| mismatch | 0 |", "| final | ok |",
        "## Final account, confirmed by the venue", "| position | 0.000 |", "| flat | yes |",
        "| start_to_first_bar_seconds | 1.2 |",
    ):  # fmt: skip
        assert line in text, line
    assert "<h2>Engines</h2>" in render("report.html.j2", ended(FACTS))


def test_unknown_values_are_not_shown_as_zero() -> None:
    text = render("report.md.j2", ended(NOTHING))
    assert "the venue did not answer" in text
    assert "None" not in text
    assert "| seen |" not in text
    assert "## Latencies" not in text
    shown = {name: value for name, value in paper_fields(ended(NOTHING).paper) if value is not None}
    assert shown == {
        "bars": "unknown number of 500",
        "final reconciliation": "none",
        "final account": "unknown",
    }


def test_show_prints_the_summary() -> None:
    shown = {name: value for name, value in paper_fields(ended(FACTS).paper) if value is not None}
    assert shown == {
        "stop reason": "max_bars",
        "bars": "488 of 500, 12 missed",
        "engines": "2, 1 restarts",
        "last engine": "stopped on request",
        "feed bars": "silent 12.0 s, disconnected 3.5 s",
        "final reconciliation": "ok",
        "final account": "flat (confirmed by the venue)",
    }
    held = {**FACTS, "final_account": {"open_orders": 2, "position": "-0.010", "flat": False}}
    fields = dict(paper_fields(ended(held).paper))
    assert fields["final account"] == "position -0.010, 2 open orders (confirmed by the venue)"


def test_a_backtest_has_no_paper_summary() -> None:
    run = ended(FACTS).with_changes(paper=None, mode="backtest")
    assert paper_fields(run.paper) == []
    assert "Feeds" not in render("report.md.j2", run)
