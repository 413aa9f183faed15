"""The life of a paper run through its door: how it begins and ends, what is refused, and that what it says is true."""

import json
import os
import signal
import sys
from typing import Any

import pytest

from tests.drivers.load import stretched
from tests.drivers.paper_run import PaperRun, living_in, paper_spec
from tests.drivers.tc import Tc, wait_until
from tests.oracles.counter_truth import not_grown, read_beside
from tests.oracles.paper_truth import LOST, rows_of, true_end

END_SECONDS = 20.0
"""From a signal to the end of `tc`, of a run in which nothing hangs: two or three where nobody else works."""
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
os.execv(sys.argv[1], sys.argv[1:])
"""


def live_of(run: PaperRun) -> Any:
    return json.loads((run.home / "runtime" / "live" / f"{run.run_id}.json").read_text())


def seen(live: Any) -> tuple[str, set[str]]:
    return live["phase"], {feed["state"] for feed in live["feeds"].values()}


def test_a_run_lives_from_the_safety_gate_to_its_seal(tc: Tc) -> None:
    spec = paper_spec(tc, speed=300, max_bars=40, reconcile_every_seconds=1)
    with PaperRun(tc, spec) as run, read_beside(run) as lives:
        run.wait_for_bars(3)
        shown = tc.json("run", "show", "pp")
        assert (shown["status"], shown["mode"]) == ("running", "paper")
        wait_until(lambda: seen(live_of(run)["paper"]) == ("running", {"live"}), "the live file to have its feeds live")
        assert set(live_of(run)["paper"]["sockets"].values()) == {"connected"}
        assert [one["venue"] for one in tc.json("venue", "fault", "list", "--name", "pp")] == []
        ended = true_end(run, 0)
        assert (ended["status"], ended["ended_by"], ended["result_digest"]) == ("completed", "max_bars", None)
        assert tc.json("run", "verify", "pp")["verdict"] == "whole"
        assert tc.json("venue", "audit", "pp")["proven"] is True
        names = [name for name in run.names if name not in ("feed_state_changed", "reconciliation_checked")]
        assert names == [
            "run_initialized", "paper_safety_checked", "run_started", "data_verified", "venue_started",
            "engine_started", "scenario_registered", "gate_closed", "orders_canceled", "positions_flattened",
            "engine_ended", "run_completed",
        ]  # fmt: skip
        occasions = [told["occasion"] for told in run.told("reconciliation_checked")]
        assert (occasions[0], occasions[-1], set(occasions[1:-1])) == ("startup", "final", {"periodic"})
        states = [told["state"] for told in run.told("reconciliation_checked")]
        assert set(states) <= {"ok", "warning"}  # an order may be on its way at a look
        assert (states[0], states[-1]) == ("ok", "ok")
        assert (ended["paper"]["bars_seen"], ended["paper"]["bars_missed"]) == (40, 0)
        assert ended["metrics"]["fills_count"] > 0
        report = (run.folder / "report.md").read_text()
        assert "| ended by | max_bars |" in report
        assert "| flat | yes |" in report
    assert not_grown(lives, ended) == []
    last, counted = lives[-1], lives[-1]["paper"]["counters"]
    assert last["orders"]["filled"] > 0
    assert 0 < sum(counted["round_trips"]["counts"]) <= last["orders"]["submitted"]
    assert counted["messages"]["bars"] > 0
    assert counted["reconciliations"]["ok"] > 0
    assert {live["paper"]["gate_open"] for live in lives if live["paper"]["phase"] == "starting"} <= {False}
    assert True in [live["paper"]["gate_open"] for live in lives]
    reported = [live for live in lives if live["paper"]["account_at"]]
    assert all(live["paper"]["account_at"] <= live["heartbeat_at"] for live in reported)
    assert reported


@pytest.mark.parametrize(("bound", "value"), [("max_bars", 1), ("max_seconds", 8)])
def test_it_ends_at_its_bound(tc: Tc, bound: str, value: int) -> None:
    paper: dict[str, Any] = {"speed": 120, bound: value}
    with PaperRun(tc, paper_spec(tc, **paper)) as run:
        ended = true_end(run, 0)
        assert (ended["status"], ended["ended_by"]) == ("completed", bound)
        if bound == "max_bars":
            assert ended["paper"]["bars_seen"] == 1
        assert ended["paper"]["final_account"]["flat"] is True


def test_what_is_to_be_left_is_left_and_said(tc: Tc) -> None:
    """At its ninth bar the demo holds a position, and an order that rests."""
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=9, on_stop="leave")) as run:
        ended = true_end(run, 0)
        account = ended["paper"]["final_account"]
        assert (account["open_orders"], account["position"], account["flat"]) == (1, "0.005", False)
        assert ended["paper"]["stop"]["seconds_to_flat"] is None
        assert ended["paper"]["final_reconciliation"] == "ok"
        assert "positions_flattened" not in run.names
        assert rows_of(run.folder, "orders")[-1]["status"] == "ACCEPTED"
        report = (run.folder / "report.md").read_text()
        assert "| open orders | 1 |" in report
        assert "| flat | no |" in report


def test_orders_that_travel_for_half_a_second_are_still_flattened(tc: Tc) -> None:
    """At its 21st bar the demo opens a position."""
    with PaperRun(tc, paper_spec(tc, speed=600, max_bars=21, latency_ms=500)) as run:
        ended = true_end(run, 0)
        assert ended["paper"]["final_reconciliation"] == "ok"
        assert ended["paper"]["stop"]["seconds_to_flat"] > 0.5
        (told,) = run.told("positions_flattened")
        assert told["flat"] is True


def test_a_market_that_is_too_fast_for_the_engines_adapter_is_said_to_be(tc: Tc) -> None:
    """It sends twenty orders a second and keeps the rest in a row: those are late, or never come to the venue."""
    tc.ok("run", "backtest", "--spec", tc.spec("bt.yaml", strategy="order_lifecycle_demo"), "--run-id", "bt")
    with PaperRun(tc, paper_spec(tc, speed=3000, max_bars=100)) as run:
        ended = true_end(run, 1)
        assert (ended["status"], ended["paper"]["bars_seen"]) == ("completed", 100)
        assert ended["paper"]["final_reconciliation"] == "mismatch"
        lost = ended["paper"]["orders_lost"]
        assert lost > 0
        (warning,) = [each for each in ended["warnings"] if each["code"] == "orders_lost"]
        assert warning["count"] == lost
        rows = [row for row in rows_of(run.folder, "orders") if row["venue_order_id"] is None]
        never_sent = [row["client_order_id"] for row in rows if row["status"] in LOST]
        assert (len(never_sent), warning["first"] in never_sent) == (lost, True)
        assert ended["paper"]["final_account"]["flat"] is True
        answer = tc("run", "compare", "bt", "pp", "--json")
        assert answer.code == 1
        fills = answer.document["parity"]["fills"]
        assert fills["causes"]["latency"] > 0
        assert fills["causes"]["unexplained"] > 0  # one of the two never came to its market


# What is refused.


@pytest.mark.parametrize(
    ("paper", "data", "message"),
    [
        ({"max_bars": 10_081}, {}, "paper.max_bars: must be at most 10080"),
        ({}, {"start": "2024-01-03", "end": "2024-01-03"}, "end must be later than start"),
        ({}, {"start": "2024-02-03", "end": "2024-02-04"}, "has no candles from"),
    ],
)
def test_more_than_the_dataset_has_is_refused_and_nothing_is_written(
    tc: Tc, paper: dict[str, Any], data: dict[str, Any], message: str
) -> None:
    spec = tc.spec(mode="paper", paper=paper, data={"dataset": "btcusdt-sample", **data})
    answer = tc("run", "paper", "--spec", spec, "--run-id", "pp")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert not run_exists(tc)


def run_exists(tc: Tc) -> bool:
    return tc.run_folder("pp").exists() or (tc.home / "runtime" / "venues" / "pp").exists()


def test_an_active_kill_switch_keeps_it_from_starting(tc: Tc) -> None:
    tc.ok("kill", "activate", "--all", "--reason", "not today")
    with PaperRun(tc, paper_spec(tc)) as run:
        answer = run.end()
        assert answer.code == 4
        assert "was kept from starting" in answer.err
        assert run.names == ["run_initialized", "paper_safety_checked", "paper_safety_blocked"]
        assert run.told("paper_safety_checked")[0]["state"] == "active"
        assert answer.document["status"] == "safety_blocked"
        assert tc("run", "verify", "pp").code == 0
        assert living_in(run.home) == {}
        assert not (tc.home / "runtime" / "venues" / "pp").exists()


# Signals.


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("data_verified", signal.SIGINT),  # the venue does not listen yet
        ("venue_started", signal.SIGTERM),  # the engine is being started
        ("engine_started", signal.SIGHUP),  # it connects
        ("paper_heartbeat", signal.SIGINT),
    ],
)
def test_a_signal_ends_it_soon_and_leaves_nothing_open(tc: Tc, moment: str, number: signal.Signals) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240)) as run:
        if moment == "paper_heartbeat":
            run.wait_for_bars(3)
        else:
            run.wait_for(moment)
        at = run.signal(number)
        ended = true_end(run, 130)
        assert (ended["status"], ended["ended_by"]) == ("interrupted", number.name)
        assert run.ended_s - at < stretched(END_SECONDS)
        assert ended["paper"]["final_account"]["flat"] is True
        assert run.told("positions_flattened")[-1]["flat"] is True


def test_the_second_signal_kills_the_engine_and_the_venue_ends_what_it_left(tc: Tc) -> None:
    """An engine that is stopped cannot do it: it is not waited for."""
    with PaperRun(tc, paper_spec(tc, speed=240)) as run:
        run.wait_for_bars(3)
        os.kill(run.wait_for_child("engine"), signal.SIGSTOP)
        run.signal(signal.SIGINT)
        run.wait_for("run_stopping")
        at = run.signal(signal.SIGINT)
        ended = true_end(run, 130)
        assert run.ended_s - at < stretched(END_SECONDS)
        assert (ended["status"], ended["ended_by"]) == ("interrupted", "SIGINT")
        assert run.told("positions_flattened")[-1]["by"] == "venue"
        assert "died of SIGKILL (killed by tc" in ended["paper"]["engines"][0]["failure"]


def test_a_signal_that_comes_when_it_ends_anyway_changes_nothing(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=600, max_bars=12)) as run:
        run.wait_for("gate_closed")
        run.signal(signal.SIGTERM)
        ended = true_end(run, 0)
        assert (ended["status"], ended["ended_by"]) == ("completed", "max_bars")


# No room.


def test_without_room_for_what_it_keeps_it_ends_with_the_account_flat(tc: Tc) -> None:
    """No file may grow past a size: those of control want to first."""
    with PaperRun(tc, paper_spec(tc, speed=240), before=[sys.executable, "-c", LIMITED]) as run:
        answer = run.end()
        assert answer.code == 5
        assert "tc: error: cannot " in answer.err
        assert living_in(run.home) == {}
        assert tc.ok("run", "recover", "pp")
        assert tc("run", "verify", "pp").code == 0
        assert tc.json("run", "show", "pp")["status"] in ("failed", "interrupted")
        assert position_of(tc) == (0, 0)


def position_of(tc: Tc) -> tuple[int, float]:
    """Open orders and position, by the venue's ledger."""
    found = tc.json("venue", "audit", "pp")
    return found["open_orders"], float(found["position"])
