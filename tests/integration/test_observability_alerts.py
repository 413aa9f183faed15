"""Alerts on a real Prometheus, from runs that `tc` made: the series are those that the rules' own tests assume."""

import os
import shutil
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.drivers.exporter import exporter
from tests.drivers.observability_stack import FREE_PORTS, fast_configuration, stack
from tests.drivers.paper_run import PaperRun, paper_spec, with_fields
from tests.drivers.prometheus import Prometheus
from tests.drivers.tc import Tc, wait_until
from tests.drivers.tools import need_tools
from tests.fakes.drill_records import add_drill

ROOT = Path(__file__).parents[2]
RAISES = ROOT / "tests" / "strategies" / "bad" / "raises_in_on_bar.py"
CLOSED_PORT = "http://127.0.0.1:1/"


def failed_backtest(tc: Tc) -> None:
    own = tc.home / "own"
    own.mkdir()
    shutil.copy(RAISES, own)
    spec = tc.own_spec(own, {"path": "raises_in_on_bar:Bad"})
    assert tc("run", "backtest", "--spec", spec, "--run-id", "raised").code == 1


def checked_run(tc: Tc) -> None:
    """Initialized only, with a reconciliation that found a difference and a probe that nothing answered."""
    spec = tc.spec()
    tc.ok("run", "init", "--spec", spec, "--run-id", "checked")
    examples = ROOT / "examples" / "reconciliation"
    files = ["--expected", str(examples / "expected.json"), "--observed", str(examples / "mismatch.json")]
    done = tc("reconcile", "check", "--run-id", "checked", *files, "--max-age-seconds", "1000000000")
    assert done.code == 1, done.err
    assert tc("connectivity", "probe", "--spec", spec, "--url", CLOSED_PORT, "--run-id", "checked").code == 1


def damaged_run(tc: Tc) -> None:
    tc.ok("run", "backtest", "--spec", tc.spec(), "--run-id", "damaged")
    journal = tc.run_folder("damaged") / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    (tc.run_folder("damaged") / "metadata.json").unlink()


def paper_runs(tc: Tc) -> None:
    """One is halted after a foreign order, while its engine does not react; one ends by a margin call."""
    spec = paper_spec(tc, speed=120, max_bars=600)
    with PaperRun(tc, spec, "foreign") as run:
        run.wait_for("order_event", with_fields(type="OrderFilled"))
        run.fault("external-trade")
        os.kill(run.wait_for_child("engine"), signal.SIGSTOP)
        tc.ok("kill", "activate", "--run-id", "foreign", "--reason", "drill")
        assert run.end().code == 4
    with PaperRun(tc, spec, "called") as run:
        run.wait_for("order_event", with_fields(type="OrderFilled"))
        run.fault("margin-call")
        assert run.end().code == 1


def unreadable_switch(tc: Tc) -> None:
    folder = tc.home / "runtime" / "kill_switch"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "eve.state.json").touch()


def failed_drill(tc: Tc) -> None:
    add_drill(tc, "raised", "disconnect", "fail", "2024-01-01T00:00:00.000000Z")


EXPECTED = {
    ("Watchdog", None),
    ("RunFailed", "raised"),
    ("RunFailed", "called"),
    ("ForcedClose", "called"),
    ("RunHalted", "foreign"),
    ("ForeignOrder", "foreign"),
    ("HaltSlow", "foreign"),
    ("ReconciliationMismatch", "checked"),
    ("ProbeFailing", "checked"),
    ("ExporterErrors", None),
    ("KillSwitchActive", "eve"),
    ("DrillFailed", None),
    ("DrillNotProven", None),
}
"""Name and run. The switch of `foreign` was activated just now."""
ENDS_WITH_ACKNOWLEDGEMENT = {alert for alert in EXPECTED if alert[1] in ("raised", "called", "foreign")}


def firing(server: Prometheus) -> set[tuple[str, str | None]]:
    alerts = server.get("alerts")["alerts"]
    return {
        (alert["labels"]["alertname"], alert["labels"].get("run_id")) for alert in alerts if alert["state"] == "firing"
    }


def wait_for_alerts(server: Prometheus, expected: set[tuple[str, str | None]]) -> None:
    """Until these fire and no other."""
    with suppress(AssertionError):
        wait_until(lambda: firing(server) == expected, "the alerts", 60)
    assert firing(server) == expected


def test_alerts_fire_for_runs_that_need_an_operator_until_they_are_acknowledged(tc: Tc, tmp_path: Path) -> None:
    need_tools("prometheus", "prometheus-alertmanager")
    for make in (failed_backtest, checked_run, damaged_run, paper_runs, unreadable_switch, failed_drill):
        make(tc)
    options = ["--configuration", str(fast_configuration(tmp_path / "stack")), "--data", str(tmp_path / "data")]
    with ExitStack() as exporters:
        target = exporters.enter_context(exporter(tc)).url.removeprefix("http://")
        with stack(*FREE_PORTS, *options, "--metrics-target", target) as (_, printed):
            server = Prometheus(printed["prometheus"], tmp_path)
            wait_for_alerts(server, EXPECTED)
            for run_id in ("raised", "called", "foreign"):
                tc.ok("run", "acknowledge", run_id, "--reason", "drill")
            wait_for_alerts(server, EXPECTED - ENDS_WITH_ACKNOWLEDGEMENT)
            exporters.close()
            wait_until(lambda: ("MetricsTargetDown", None) in firing(server), "MetricsTargetDown")
