"""A paper run whose venue is broken: what is seen and when, how it ends, and that nothing is lost or made up."""

import json
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.drivers.load import stretched
from tests.drivers.paper_run import Event, PaperRun, paper_spec
from tests.drivers.tc import Tc, wait_until
from tests.oracles.paper_truth import rows_of, true_end

USER_STREAM = "binance-futures-user-streams"
SOCKETS = {"market": "market-streams", "user": "user-streams", "trading": "trading"}
STREAMS = {"bars": "btcusdt@kline_1m", "quotes": "btcusdt@bookTicker", "trades": "btcusdt@aggTrade"}
SILENT = {"bars": 1.2, "quotes": 0.9, "trades": 0.9}
HANG_SECONDS = 6
PANIC = "the engine panicked: Condition failed: high >= open"


def feed(run: PaperRun, name: str, to: str, after: int) -> Event:
    return run.wait_for("feed_state_changed", lambda told: (told["feed"], told["to"]) == (name, to), after=after)


def socket(run: PaperRun, kind: str, to: str, after: int) -> Event:
    end = SOCKETS[kind]
    return run.wait_for(
        "socket_state_changed", lambda told: told["socket"].endswith(end) and told["to"] == to, after=after
    )


def reconciled(run: PaperRun, state: str, after: int) -> Event:
    return run.wait_for("reconciliation_checked", lambda told: told["state"] == state, after=after)


def findings(run: PaperRun) -> list[dict[str, Any]]:
    """Of the last reconciliation that wrote a file."""
    result: dict[str, Any] = json.loads((run.folder / "reconciliation_result.json").read_text())
    return list(result["findings"])


def last(run: PaperRun) -> int:
    return int(run.events[-1]["seq"])


def live_failures(tc: Tc) -> int:
    live = tc("run", "show", "pp", "--json").document["live"]
    return int(live["paper"]["failed_ledger_writes"]) if live else 0


@contextmanager
def no_larger_ledger(run: PaperRun) -> Iterator[None]:
    """As a full disk of the venue: its files cannot grow beyond the size of its ledger."""
    venue = run.child("venue")
    assert venue
    _, hard_limit = resource.prlimit(venue, resource.RLIMIT_FSIZE)
    size_bytes = (run.home / "runtime" / "venues" / "pp" / "ledger.jsonl").stat().st_size
    resource.prlimit(venue, resource.RLIMIT_FSIZE, (size_bytes, hard_limit))
    try:
        yield
    finally:
        resource.prlimit(venue, resource.RLIMIT_FSIZE, (hard_limit, hard_limit))


def test_each_feed_that_falls_silent_is_noticed_by_itself(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=120, silent_after_seconds=SILENT)) as run:
        run.wait_for_bars(2)
        for name, stream in STREAMS.items():
            at = last(run)
            run.fault("silence", stream=stream)
            silent = feed(run, name, "silent", at)
            took = silent["payload"]["noticed_after_seconds"]
            assert SILENT[name] <= took < SILENT[name] + stretched(0.5)
            assert silent["payload"]["age_seconds"] == took
            run.end_faults()
            assert feed(run, name, "live", silent["seq"])["payload"]["from"] == "silent"
        run.signal(signal.SIGINT)
        shown = true_end(run, 130)
        for name, facts in shown["paper"]["feeds"].items():
            assert facts["silent_seconds"] > 0
            assert facts["noticed_after_seconds_max"] >= SILENT[name]
        assert shown["paper"]["bars_missed"] > 0
        assert {told["state"] for told in run.told("reconciliation_checked")} == {"ok"}


def test_connections_that_are_lost_for_a_second_are_noticed_at_once_and_come_back(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=30)) as run:
        run.wait_for_bars(3)
        at = last(run)
        run.cut("all", 1)
        for name in STREAMS:
            lost = feed(run, name, "disconnected", at)
            assert lost["payload"]["noticed_after_seconds"] < stretched(0.1)
            back = feed(run, name, "recovering", lost["seq"])
            feed(run, name, "live", back["seq"])
        shown = true_end(run, 0)
        assert shown["status"] == "completed"
        assert shown["paper"]["bars_seen"] + shown["paper"]["bars_missed"] == 30
        assert all(1 < facts["disconnected_seconds"] < stretched(8) for facts in shown["paper"]["feeds"].values())


def test_what_nobody_told_the_node_while_its_user_stream_was_lost_it_asks_for(tc: Tc) -> None:
    """Its strategy trades on meanwhile, and cancels again and again: the engine by itself would never ask."""
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=36, reconcile_every_seconds=1)) as run:
        run.wait_for_bars(2)
        run.cut("user", 2)
        lost = socket(run, "user", "disconnected", 0)
        back = socket(run, "user", "connected", lost["seq"])
        reconciled(run, "ok", back["seq"])
        shown = true_end(run, 0)
        assert (shown["paper"]["bars_seen"], shown["paper"]["final_reconciliation"]) == (36, "ok")
        assert "feed_state_changed" not in run.names[run.names.index("socket_state_changed") :]


def test_without_its_trading_socket_the_node_trades_over_http(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=20)) as run:
        run.wait_for_bars(3)
        run.cut("trading", 1)
        lost = socket(run, "trading", "disconnected", 0)
        meanwhile = run.wait_for("order_event", lambda told: told["type"] == "OrderFilled", after=lost["seq"])
        back = socket(run, "trading", "connected", lost["seq"])
        assert meanwhile["seq"] < back["seq"]
        shown = true_end(run, 0)
        assert (shown["paper"]["bars_missed"], shown["paper"]["final_reconciliation"]) == (0, "ok")


def test_a_silent_user_stream_is_found_by_reconciliation_and_the_end_tells_it(tc: Tc) -> None:
    """No socket is lost and no feed silent: nothing else can notice."""
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=30, reconcile_every_seconds=1)) as run:
        run.wait_for_bars(2)
        at = last(run)
        run.fault("silence", which="user", seconds=600)
        reconciled(run, "mismatch", at)
        shown = true_end(run, 1)
        assert (shown["status"], shown["ended_by"]) == ("completed", "max_bars")
        assert shown["paper"]["final_reconciliation"] == "mismatch"
        assert shown["paper"]["reconciliations"]["mismatch"] >= 1
        assert shown["paper"]["final_account"]["flat"] is True
        assert "socket_state_changed" not in run.names


def test_a_venue_that_is_killed_is_started_again_with_its_account_and_the_node_comes_back(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=24)) as run:
        run.wait_for_bars(5)
        ledger = run.home / "runtime" / "venues" / "pp" / "ledger.jsonl"
        run.kill_child("venue")
        lost = run.wait_for("venue_lost")
        before = ledger.read_bytes()
        assert lost["payload"]["reason"] == "the venue process died of SIGKILL (killed from outside, or out of memory)"
        again = run.wait_for("venue_started", lambda told: told["start_number"] == 2)
        first = run.told("venue_started")[0]
        assert again["payload"]["rest_url"] == first["rest_url"]
        feed(run, "bars", "live", again["seq"])
        shown = true_end(run, 0)
        assert (shown["status"], shown["paper"]["restarts"]) == ("completed", 0)
        assert (run.folder / "venue" / "ledger.jsonl").read_bytes().startswith(before)
        times = [row["ts_event"] for row in rows_of(run.folder, "bars")]
        assert times == sorted(set(times))
        assert shown["paper"]["bars_missed"] <= 1


def test_failed_writes_of_the_ledger_are_shown_while_the_run_lasts_and_when_it_has_ended(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=30)) as run:
        run.wait_for_bars(3)
        with no_larger_ledger(run):
            first = run.wait_for("ledger_write_failed")
            assert (first["payload"]["start_number"], first["payload"]["count"] > 0) == (1, True)
            wait_until(lambda: live_failures(tc) > 0, "the live status to show them")
            assert "ledger writes failed" in tc("run", "show", "pp").out
        run.signal(signal.SIGINT)
        count = run.end().document["paper"]["failed_ledger_writes"]
        assert count == run.told("ledger_write_failed")[-1]["count"]
        assert f"ledger writes failed {count:,} " in " ".join(tc("run", "show", "pp").out.split())
        assert f"failed writes of the venue's ledger | {count}" in (run.folder / "report.md").read_text()


def test_a_venue_that_dies_over_the_end_still_says_how_the_account_was_left(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=9)) as run:
        run.wait_for("positions_flattened")
        run.kill_child("venue")
        shown = true_end(run, 0)
        assert (shown["status"], shown["paper"]["final_account"]["flat"]) == ("completed", True)
        assert len(run.told("venue_started")) == 2


def test_a_broken_candle_kills_the_engine_and_the_run_has_failed(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240)) as run:
        run.wait_for_bars(5)
        tc.ok("venue", "fault", "start", "broken-ohlc", "--name", "pp")
        shown = true_end(run, 1)
        assert shown["failure"]["message"] == PANIC
        assert "panicked at crates/model/src/data/bar.rs" in shown["failure"]["detail"]
        assert flat_by(run) == "venue"
        assert shown["paper"]["stop"]["reason"] == "engine_lost"


def test_with_another_engine_it_goes_on_where_the_broken_candle_was(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=24, restart="on_failure")) as run:
        run.wait_for_bars(5)
        run.fault("broken-ohlc")
        lost = run.wait_for("engine_lost")
        assert lost["payload"]["failure"]["message"] == PANIC
        startup = run.wait_for("reconciliation_checked", lambda told: told["occasion"] == "startup", after=lost["seq"])
        assert startup["payload"]["state"] == "ok"
        shown = true_end(run, 0)
        assert (shown["status"], shown["paper"]["restarts"]) == ("completed", 1)
        assert shown["paper"]["bars_missed"] >= 1
        assert shown["paper"]["latencies"]["restart_to_reconciled_seconds_max"] < stretched(30)


def flat_by(run: PaperRun) -> Any:
    (told,) = run.told("positions_flattened")
    assert told["flat"] is True
    return told["by"]


def test_a_run_that_was_broken_on_purpose_records_each_fault_with_terms_times_and_end(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=16)) as run:
        run.wait_for_bars(2)
        run.fault("delay", which="market", ms=20)
        begun = run.wait_for("fault_started")
        run.end_faults()
        ended = run.wait_for("fault_ended", after=begun["seq"])
        run.fault("delay", which="user", ms=5)
        shown = true_end(run, 0)
        assert begun["payload"]["terms"]["which"] == "market"
        assert ended["payload"]["reason"] == "stopped"
        first, second = shown["paper"]["faults"]
        assert shown["paper"]["faults_injected"] == 2
        (warning,) = [one for one in shown["warnings"] if one["code"] == "faults_injected"]
        assert (warning["count"], warning["first"]) == (2, f"delay at {begun['time']}")
        assert (first["name"], first["terms"]["ms"], first["ended_by"]) == ("delay", 20, "stopped")
        assert (first["started_at"], first["ended_at"]) == (begun["time"], ended["time"])
        assert (second["terms"]["which"], second["ended_by"]) == ("user", "venue_closing")
        text = tc("run", "show", run.run_id).out
        assert "fault number" in text
        assert first["started_at"] in text
        assert "Faults injected" in (run.folder / "report.md").read_text()


def test_an_order_that_the_run_did_not_place_is_counted_apart_from_the_strategys(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, speed=240, max_bars=16, reconcile_every_seconds=1)) as run:
        run.wait_for_bars(2)
        run.fault("external-trade", side="SELL", quantity="0.050")
        event = run.wait_for("order_event", lambda payload: payload["client_order_id"].startswith("venue_"))
        reconciled(run, "warning", event["seq"])
        shown = true_end(run, 0)
        assert shown["paper"]["final_reconciliation"] == "warning"
        assert ("external_orders", "1") in {(finding["reason"], finding["observed"]) for finding in findings(run)}
        external = [row for row in rows_of(run.folder, "orders") if row["strategy_id"] == "EXTERNAL"]
        assert [(row["side"], row["filled_qty"]) for row in external] == [("SELL", "0.05")]
        assert shown["paper"]["orders_external"] == 1
        (warning,) = [one for one in shown["warnings"] if one["code"] == "external_orders"]
        assert (warning["count"], warning["first"]) == (1, external[0]["client_order_id"])
        fills = rows_of(run.folder, "fills")
        foreign = [row for row in fills if row["strategy_id"] == "EXTERNAL"]
        assert shown["paper"]["fills_external"] == len(foreign) >= 1
        assert shown["metrics"]["fills_count"] == len(fills) - len(foreign)
        assert "external orders" in tc("run", "show", run.run_id).out
        assert "external: not placed by this run" in (run.folder / "report.md").read_text()


def test_an_engine_is_not_judged_by_the_time_in_which_control_was_stopped(tc: Tc) -> None:
    """SIGSTOP, a debugger, a shell's job control: the heartbeats of the meantime are read before it is judged."""
    spec = paper_spec(tc, "ops_smoke_demo", speed=60, max_bars=12, hang_after_seconds=HANG_SECONDS)
    with PaperRun(tc, spec) as run:
        run.wait_for_bars(1)
        run.signal(signal.SIGSTOP)
        time.sleep(HANG_SECONDS + 1)  # longer than the engine may be silent
        run.signal(signal.SIGCONT)
        assert run.end().code == 0
    assert not run.told("engine_lost")
    assert run.told("run_completed")
