"""`tc metrics` shows what the records contain: nothing vanishes, nothing is shown that is no longer true."""

import json
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.exporter import Exporter, Scraped, exporter, scraped, series, state, value
from tests.drivers.shared import made_once
from tests.drivers.tc import WAIT_SECONDS, Tc, wait_until
from tests.fakes.drill_records import add_drill


def copy_run(tc: Tc, source: str, name: str, **changes: Any) -> None:
    """The records of a run under another name, with other metadata. It appears whole."""
    staged = tc.home / f"staged-{name}"
    shutil.copytree(tc.run_folder(source), staged)
    metadata = {**json.loads((staged / "metadata.json").read_text()), "run_id": name, **changes}
    (staged / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
    staged.rename(tc.run_folder(name))


@pytest.fixture(scope="session")
def smoke_home(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished backtest, `smoke`."""

    def make(home: Path) -> None:
        (home / "data").symlink_to(sample_home / "data")
        tc = Tc(home)
        tc.ok("run", "backtest", "--spec", tc.spec(data={"dataset": "btcusdt-sample", "end": "2024-01-01T01:00:00Z"}),
              "--run-id", "smoke")  # fmt: skip

    return made_once(tmp_path_factory, "metrics-home", make)


@pytest.fixture
def lab(smoke_home: Path, tmp_path: Path) -> Tc:
    """`tc` in a home of its own with the run `smoke`."""
    home = tmp_path / "lab"
    shutil.copytree(smoke_home, home, symlinks=True)
    return Tc(home)


def export(tc: Tc, *options: str) -> Scraped:
    return scraped(tc.ok("metrics", "export", *options).out)


def ends(samples: Scraped, mode: str = "backtest", status: str = "completed") -> float:
    return sum(series(samples, "opslab_run_ends_total", mode=mode, status=status).values())


def test_a_finished_run_has_the_values_of_its_records(tc: Tc, finished_run: Path) -> None:
    shown = tc.json("run", "show", "r1")
    samples = export(tc)
    assert state(samples, "opslab_run_state", run_id="r1") == "completed"
    counters = shown["metrics"]
    assert value(samples, "opslab_run_bars_total", run_id="r1") == counters["bars_seen"] > 0
    assert value(samples, "opslab_run_bars_expected", run_id="r1") == shown["dataset"]["rows"]
    assert value(samples, "opslab_fills_total", run_id="r1") == counters["fills_count"] > 0
    submitted = value(samples, "opslab_orders_total", run_id="r1", outcome="submitted")
    assert submitted == counters["orders_submitted"] > 0
    assert value(samples, "opslab_orders_total", run_id="r1", outcome="canceled") == counters["orders_canceled"] > 0
    (info,) = series(samples, "opslab_run_info", run_id="r1")
    assert dict(info)["input_digest"] == shown["input_digest"]
    assert dict(info)["result_digest"] == shown["result_digest"]
    assert value(samples, "opslab_runs", mode="backtest", status="completed") == 1
    assert ends(samples) == 1
    assert not series(samples, "opslab_run_heartbeat_timestamp_seconds")  # its live file is gone


def test_an_empty_home_has_its_zeros(bare_tc: Tc) -> None:
    """A counter that begins at its first event has no rate of it."""
    samples = export(bare_tc)
    assert set(series(samples, "opslab_runs").values()) == {0.0}
    assert len(series(samples, "opslab_runs")) == 14
    assert set(series(samples, "opslab_run_ends_total").values()) == {0.0}
    assert len(series(samples, "opslab_run_ends_total")) == 10
    assert state(samples, "opslab_kill_switch_state", scope="all") == "absent"
    assert value(samples, "opslab_exporter_ready") == 1
    assert value(samples, "opslab_home_free_bytes") <= value(samples, "opslab_home_size_bytes")  # type: ignore[operator]


def test_runs_that_begin_and_end_between_two_scrapes_are_all_counted(lab: Tc) -> None:
    with exporter(lab, "--newest", "10") as server:
        before = server.scrape()
        for number in range(100):
            copy_run(lab, "smoke", f"short-{number}")
        after = server.scrape()
        assert ends(after) - ends(before) == 100
        assert value(after, "opslab_runs", mode="backtest", status="completed") == 101
        assert value(after, "opslab_runs_not_shown") == 91
        assert len(series(after, "opslab_run_info")) == 10


def test_counters_of_ends_do_not_fall_when_runs_are_deleted_or_the_exporter_restarts(lab: Tc) -> None:
    for number in range(3):
        copy_run(lab, "smoke", f"more-{number}")
    with exporter(lab) as server:
        assert ends(server.scrape()) == 4
        shutil.rmtree(lab.run_folder("more-0"))
        samples = server.scrape()
        assert ends(samples) == 4
        assert not series(samples, "opslab_run_info", run_id="more-0")
    copy_run(lab, "smoke", "while-it-was-away")
    with exporter(lab) as server:
        assert ends(server.scrape()) == 5
    assert ends(export(lab)) == 5


FAILING = """
from nautilus_trader.trading import Strategy


class Failing(Strategy):
    def on_start(self):
        raise ValueError("no")
"""


def test_what_needs_an_acknowledgement_is_shown_until_it_has_one(lab: Tc) -> None:
    (lab.home / "failing.py").write_text(FAILING)
    failed = lab("run", "backtest", "--spec", lab.own_spec(lab.home, {"path": "failing:Failing"}), "--run-id", "broken")
    assert failed.code == 1, failed.err
    with exporter(lab, "--newest", "1") as server:
        for number in range(3):
            copy_run(lab, "smoke", f"newer-{number}", initialized_at=f"2099-01-0{number + 1}T00:00:00.000000Z")
        samples = server.scrape()
        shown = {dict(key)["run_id"] for key in series(samples, "opslab_run_info")}
        assert shown == {"broken", "newer-2"}
        assert state(samples, "opslab_run_state", run_id="broken") == "failed"
        assert value(samples, "opslab_run_failure", run_id="broken", kind="strategy") == 1
        assert value(samples, "opslab_runs_unacknowledged", reason="failed") == 1
        assert value(samples, "opslab_run_acknowledged", run_id="broken") == 0
        lab.ok("run", "acknowledge", "broken", "--reason", "known")
        samples = server.scrape()
        assert {dict(key)["run_id"] for key in series(samples, "opslab_run_info")} == {"newer-2"}
        assert value(samples, "opslab_runs_unacknowledged", reason="failed") == 0
        assert value(samples, "opslab_runs", mode="backtest", status="failed") == 1


def test_a_dead_owner_loses_its_live_gauges_at_the_next_scrape(long_tc: Callable[[], Tc]) -> None:
    tc = long_tc()
    run = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", "dies")
    try:
        with exporter(tc) as server:
            live = tc.home / "runtime" / "live" / "dies.json"
            wait_until(live.exists, "a heartbeat of the run")
            samples = server.scrape()
            assert state(samples, "opslab_run_state", run_id="dies") == "running"
            assert series(samples, "opslab_run_bars_total", run_id="dies")
            beat = value(samples, "opslab_run_heartbeat_timestamp_seconds", run_id="dies")
            assert beat is not None
            os.kill(run.pid, signal.SIGKILL)
            run.communicate(timeout=WAIT_SECONDS)
            samples = server.scrape()
            assert state(samples, "opslab_run_state", run_id="dies") == "interrupted"
            assert not series(samples, "opslab_run_bars_total", run_id="dies")
            after = value(samples, "opslab_run_heartbeat_timestamp_seconds", run_id="dies")
            assert after is not None
            assert after >= beat
            assert value(samples, "opslab_runs_unacknowledged", reason="interrupted") == 1
            assert series(samples, "opslab_run_ends_total", ended_by="owner_gone") == {
                frozenset({("mode", "backtest"), ("status", "interrupted"), ("ended_by", "owner_gone")}): 1.0
            }
            wait_until(lambda: reads(server) == reads(server), "a scrape that reads no run again")
    finally:
        run.kill()
        run.communicate()


def reads(server: Exporter) -> float | None:
    """Runs read so far. A run is read again for two seconds after a change, and then no more."""
    return value(server.scrape(), "opslab_exporter_runs_read_total")


def test_a_damaged_run_is_one_series(lab: Tc) -> None:
    copy_run(lab, "smoke", "damaged")
    (lab.run_folder("damaged") / "metadata.json").write_text("{")
    (lab.run_folder("damaged") / "journal.jsonl").write_text("{\n")
    with exporter(lab) as server:
        samples = server.scrape()
        assert series(samples, "opslab_run_readable", run_id="damaged") == {frozenset({("run_id", "damaged")}): 0.0}
        names = {name for name, labels in samples if ("run_id", "damaged") in labels}
        assert names == {"opslab_run_readable"}
        assert value(samples, "opslab_runs_unreadable") == 1
        assert state(samples, "opslab_run_state", run_id="smoke") == "completed"
        shutil.rmtree(lab.run_folder("damaged"))
        copy_run(lab, "smoke", "damaged")
        assert state(server.scrape(), "opslab_run_state", run_id="damaged") == "completed"


@pytest.mark.parametrize(
    "changes",
    [
        {"initialized_at": "tomorrow", "ended_at": "2026-99-99T00:00:00Z"},
        {"ended_by": "\ud800", "instrument": 'a"b\\c\n'},
        {"reconciliation": {"state": "splendid", "observed_as_of": 5}},
        {"connectivity_probe": {}, "connectivity_readiness": {"state": None}},
    ],
    ids=["times", "texts", "reconciliation", "checks"],
)
def test_nonsense_in_one_record_spoils_no_other_series(lab: Tc, changes: dict[str, Any]) -> None:
    copy_run(lab, "smoke", "odd", **changes)
    samples = export(lab)
    assert value(samples, "opslab_exporter_ready") == 1
    assert state(samples, "opslab_run_state", run_id="smoke") == "completed"
    assert value(samples, "opslab_run_readable", run_id="odd") is not None


def test_only_requested_runs_are_shown_and_all_are_counted(lab: Tc) -> None:
    for name in ("one", "two"):
        copy_run(lab, "smoke", name)
    samples = export(lab, "--run-id", "one", "--run-id", "smoke")
    assert {dict(key)["run_id"] for key in series(samples, "opslab_run_info")} == {"one", "smoke"}
    assert value(samples, "opslab_runs_not_shown") == 1
    assert value(samples, "opslab_runs", mode="backtest", status="completed") == 3
    missing = lab("metrics", "export", "--run-id", "three")
    assert missing.code == 5
    assert "three" in missing.err


def test_the_kill_switch_has_its_states_and_its_time(lab: Tc) -> None:
    with exporter(lab) as server:
        assert state(server.scrape(), "opslab_kill_switch_state", scope="all") == "absent"
        lab.ok("kill", "activate", "--all", "--reason", "test")
        lab.ok("kill", "activate", "--run-id", "smoke", "--reason", "test")
        samples = server.scrape()
        assert state(samples, "opslab_kill_switch_state", scope="all", run_id="") == "active"
        assert state(samples, "opslab_kill_switch_state", scope="run", run_id="smoke") == "active"
        assert value(samples, "opslab_kill_switch_activated_timestamp_seconds", scope="all", run_id="")
        lab.ok("kill", "clear", "--all", "--reason", "test")
        samples = server.scrape()
        assert state(samples, "opslab_kill_switch_state", scope="all") == "cleared"
        assert not series(samples, "opslab_kill_switch_activated_timestamp_seconds", scope="all")
        (lab.home / "runtime" / "kill_switch" / "_all.state.json").write_text("?")
        samples = server.scrape()
        assert state(samples, "opslab_kill_switch_state", scope="all") == "active"
        assert value(samples, "opslab_kill_switch_unreadable", scope="all", run_id="") == 1


def test_drills_have_their_last_verdicts_and_times(lab: Tc) -> None:
    copy_run(lab, "smoke", "unreadable", failure_drill={"drill": "disconnect", "verdict": 7})
    add_drill(lab, "smoke", "disconnect", "pass", "2026-01-02T00:00:00.000000Z", 1.5, 4.25)
    samples = export(lab, "--run-id", "smoke")
    assert state(samples, "opslab_drill_state", drill="disconnect") == "pass"
    assert state(samples, "opslab_drill_state", drill="engine-hang") == "never_run"
    assert value(samples, "opslab_drill_runs", drill="disconnect", verdict="pass") == 1
    assert value(samples, "opslab_drill_runs_unreadable", drill="disconnect") == 1
    assert value(samples, "opslab_drill_last_pass_timestamp_seconds", drill="disconnect") == 1767312000
    assert value(samples, "opslab_drill_detect_seconds", drill="disconnect") == 1.5
    assert value(samples, "opslab_drill_recover_seconds", drill="disconnect") == 4.25
    rows = {row["name"]: row for row in lab.json("drill", "list")}
    assert (rows["disconnect"]["verdict"], rows["disconnect"]["status"]) == ("pass", "completed")
    trends = {trend["name"]: trend for trend in lab.json("drill", "list", "--last", "30")}
    assert trends["disconnect"]["verdicts"] == {"pass": 1, "fail": 0, "unknown": 0}
    assert trends["disconnect"]["detect_seconds"]["worst"] == 1.5
    assert "disconnect" in lab.ok("drill", "list", "--last", "2").out
    assert (rows["disconnect"]["times_run"], rows["disconnect"]["unreadable"]) == (2, 1)


def test_an_export_replaces_its_file_as_a_whole(lab: Tc, tmp_path: Path) -> None:
    file = tmp_path / "runs.prom"
    file.write_text("before")
    answer = lab.json("metrics", "export", "--output", str(file))
    samples = scraped(file.read_text())
    assert answer["samples"] == len(samples)
    assert answer["size_bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) & stat.S_IROTH  # node_exporter runs as another user
    families = lab.json("metrics", "export")
    assert {sample["name"] for family in families for sample in family["samples"]} == {name for name, _ in samples}
    refused = lab("metrics", "export", "--output", str(tmp_path / "no" / "runs.prom"))
    assert refused.code == 5
    assert "no/runs.prom" in refused.err


@pytest.mark.parametrize("command", ["serve", "export"])
def test_a_home_that_does_not_exist_is_refused(bare_tc: Tc, command: str) -> None:
    refused = bare_tc("metrics", command, "--home", str(bare_tc.home / "nowhere"))
    assert refused.code == 5
    assert "does not exist" in refused.err
    assert not (bare_tc.home / "nowhere").exists()


def test_a_home_that_goes_away_leaves_no_series_of_a_run(lab: Tc) -> None:
    with exporter(lab) as server:
        assert series(server.scrape(), "opslab_run_info")
        assert server.get("/readyz")[0] == 200
        away = lab.home.with_name("away")
        lab.home.rename(away)
        samples = server.scrape()
        assert not [name for name, labels in samples if any(key == "run_id" for key, _ in labels)]
        assert value(samples, "opslab_exporter_ready") == 0
        assert value(samples, "opslab_exporter_errors_total", reason="registry") == 1
        status, _, text = server.get("/readyz")
        assert status == 503
        assert "does not exist" in text
        away.rename(lab.home)
        samples = server.scrape()
        assert series(samples, "opslab_run_info")
        assert value(samples, "opslab_exporter_ready") == 1
        assert ends(samples) == 1


def test_a_port_in_use_is_refused_with_the_next_step(lab: Tc) -> None:
    with exporter(lab) as server:
        refused = lab("metrics", "serve", "--port", server.url.rpartition(":")[2])
        assert refused.code == 5
        assert "--port" in refused.err


def test_both_formats_are_served_at_both_loopback_addresses(lab: Tc) -> None:
    with exporter(lab) as server:
        _, plain_type, plain = server.get("/metrics")
        _, openmetrics_type, openmetrics = server.get("/metrics", "application/openmetrics-text;version=1.0.0")
        assert plain_type.startswith("text/plain; version=0.0.4")
        assert openmetrics_type.startswith("application/openmetrics-text; version=1.0.0")
        assert openmetrics.endswith("# EOF\n")
        assert "# EOF" not in plain
        assert server.addresses[0].startswith("http://127.0.0.1:")
        assert {address.rpartition(":")[2] for address in server.addresses} == {server.url.rpartition(":")[2]}
        if len(server.addresses) > 1:
            assert server.addresses[1].startswith("http://[::1]:")
