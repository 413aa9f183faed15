"""Cases of the rules' tests: for each alert series with which it fires, and series with which it does not.

Values are in promtool's notation, a sample each 5 s from second 0 of 1970: `0+5x3` is 0 5 10 15.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EVERY_SECONDS = 5
TARGET = {"instance": "127.0.0.1:9464", "job": "opslab"}
OTHER_HOME = {"instance": "127.0.0.1:9465", "job": "opslab"}
ONE, ZERO = "1+0x60", "0+0x60"
NOW = "0+5x60"
"""A timestamp that is always that of the sample."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Alerts that fire at a time; none by default."""

    at_seconds: int
    firing: tuple[Mapping[str, str], ...] = ()
    """Labels of each, without name and severity."""
    value: str = ""
    """Formatted value, where an annotation has it."""


@dataclass(frozen=True, slots=True)
class Case:
    claim: str
    series: Mapping[str, str]
    """Series to values."""
    expected: tuple[Expected, ...]


def series(name: str, target: Mapping[str, str] = TARGET, **labels: str) -> str:
    """A series as an exporter's target has it."""
    text = ",".join(f'{label}="{value}"' for label, value in {**labels, **target}.items())
    return f"opslab_{name}{{{text}}}"


def run(**labels: str) -> dict[str, str]:
    """Labels of an alert about run r1."""
    return {"run_id": "r1", **labels, **TARGET}


def state(value: str, target: Mapping[str, str] = TARGET) -> dict[str, str]:
    """Run r1 in that state, and not in two others."""
    values = dict.fromkeys(("running", "completed", "failed"), ZERO) | {value: ONE}
    return {series("run_state", target, run_id="r1", state=name): given for name, given in values.items()}


def ended(value: str, *, acknowledged: str = ZERO) -> dict[str, str]:
    return {**state(value), series("run_acknowledged", run_id="r1"): acknowledged}


def until_acknowledged(
    name: str, labels: Mapping[str, str], fires: Mapping[str, str], *, other: Mapping[str, str]
) -> tuple[Case, ...]:
    """Cases of an alert that holds until its run is acknowledged, at second 30. With `other` it never fires."""
    acknowledged = series("run_acknowledged", run_id="r1")
    return (
        Case(
            f"{name} fires at once", {**fires, acknowledged: ZERO}, (Expected(0, (labels,)), Expected(200, (labels,)))
        ),
        Case(
            f"{name} ends after the acknowledgement, and not within keep_firing_for",
            {**fires, acknowledged: "0+0x5 1+0x50"},
            (Expected(25, (labels,)), Expected(55, (labels,)), Expected(60)),
        ),
        Case(
            f"{name} holds when a run of that name in another home is acknowledged",
            {**fires, acknowledged: ZERO, series("run_acknowledged", OTHER_HOME, run_id="r1"): ONE},
            (Expected(100, (labels,)),),
        ),
        Case(
            f"{name} survives a restart of the exporter",
            {name: values.replace("1+0x60", "1+0x3 stale _x3 1+0x50") for name, values in fires.items()},
            (Expected(15, (labels,)), Expected(30, (labels,)), Expected(45, (labels,))),
        ),
        Case(f"{name} does not fire", {**other, acknowledged: ZERO}, (Expected(0), Expected(200))),
    )


def heartbeat(values: str) -> dict[str, str]:
    return {series("run_heartbeat_timestamp_seconds", run_id="r1"): values}


def feed(states: Mapping[str, str], phase: str = "running") -> dict[str, str]:
    """The feed bars of run r1: state to values; the states that are not given have 0."""
    given = dict.fromkeys(("live", "silent", "disconnected", "recovering"), ZERO) | dict(states)
    phases = dict.fromkeys(("starting", "running", "restarting", "stopping"), ZERO) | {phase: ONE}
    return {
        **{series("feed_state", run_id="r1", feed="bars", state=name): values for name, values in given.items()},
        **{series("run_phase", run_id="r1", phase=name): values for name, values in phases.items()},
    }


def kill_switch(state: str, activated: str | None, scope: str = "all", run_id: str = "") -> dict[str, str]:
    known = {series("kill_switch_activated_timestamp_seconds", scope=scope, run_id=run_id): activated}
    states = dict.fromkeys(("absent", "active", "cleared"), ZERO) | {state: ONE}
    return {
        **{
            series("kill_switch_state", scope=scope, run_id=run_id, state=name): values
            for name, values in states.items()
        },
        **{name: values for name, values in known.items() if values},
    }


def halt(gate: str, flat: str, signal: str = "none", is_flat: str = ONE) -> dict[str, str]:
    signals = dict.fromkeys(("none", "sigterm", "sigkill"), ZERO) | {signal: ONE}
    return {
        series("halt_seconds", run_id="r1", phase="gate"): gate,
        series("halt_seconds", run_id="r1", phase="no_orders"): flat,
        series("halt_seconds", run_id="r1", phase="flat"): flat,
        series("halt_flat", run_id="r1"): is_flat,
        **{series("halt_escalation", run_id="r1", signal=name): values for name, values in signals.items()},
    }


def reconciliation(state: str) -> dict[str, str]:
    states = dict.fromkeys(("ok", "warning", "mismatch", "unknown"), ZERO) | {state: ONE}
    return {series("reconciliation_state", run_id="r1", state=name): values for name, values in states.items()}


def probe(state: str, at: str = ZERO) -> dict[str, str]:
    states = dict.fromkeys(("probe_ok", "probe_timeout", "probe_unreachable"), ZERO) | {state: ONE}
    return {
        **{series("probe_state", run_id="r1", state=name): values for name, values in states.items()},
        series("probe_timestamp_seconds", run_id="r1"): at,
    }


def drill(state: str, passed: str | None = None, first: str | None = None) -> dict[str, str]:
    """The drill disconnect. passed, first: times of its last pass, and of the first drill of the home."""
    states = dict.fromkeys(("pass", "fail", "unknown", "never_run"), ZERO) | {state: ONE}
    times = {
        series("drill_last_pass_timestamp_seconds", drill="disconnect"): passed,
        series("drills_first_ended_timestamp_seconds"): first,
    }
    return {
        **{series("drill_state", drill="disconnect", state=name): values for name, values in states.items()},
        **{name: values for name, values in times.items() if values},
    }


def disk(free: str, size: str) -> dict[str, str]:
    return {series("home_free_bytes"): free, series("home_size_bytes"): size}


def exporter(errors: str = ZERO, ready: str = ONE, unreadable: str = ZERO) -> dict[str, str]:
    return {
        series("exporter_errors_total", reason="registry"): ZERO,
        series("exporter_errors_total", reason="run"): errors,
        series("exporter_ready"): ready,
        series("runs_unreadable"): unreadable,
    }


UP = f'up{{instance="{TARGET["instance"]}",job="opslab"}}'
LOST, BARS, ALL_RUNS = run(), run(feed="bars"), {"scope": "all", "state": "active", **TARGET}
DRILL = {"drill": "disconnect", **TARGET}
FAILED_DRILL = {"state": "fail", **DRILL}
PASSED_AGAIN = {
    series("drill_state", drill="disconnect", state="fail"): "1+0x5 0+0x50",
    series("drill_state", drill="disconnect", state="pass"): "0+0x5 1+0x50",
}
WEEK_AGO, RECENT, LONG_AGO = "-604700+0x60", "-86400+0x60", "-1000000+0x60"
FLAPPING = {"silent": "1+0x0 0+0x0 " * 30, "recovering": "0+0x0 1+0x0 " * 30}

CASES: dict[str, tuple[Case, ...]] = {
    "RunHeartbeatLost": (
        Case(
            "fires when the heartbeat stops, after for",
            {**state("running"), **heartbeat(ZERO)},
            (Expected(30), Expected(40), Expected(45, (LOST,)), Expected(200, (LOST,))),
        ),
        Case(
            "fires for a run that never had a heartbeat",
            {**state("running"), series("run_started_timestamp_seconds", run_id="r1"): ZERO},
            (Expected(40), Expected(45, (LOST,))),
        ),
        Case(
            "fires when the clock was moved back by an hour and no heartbeat follows",
            {**state("running"), **heartbeat("3600+0x60")},
            (Expected(5), Expected(10, (LOST,))),
        ),
        Case(
            "stays for keep_firing_for after the heartbeat is back",
            {**state("running"), **heartbeat("0+0x12 65+5x40")},
            (Expected(60, (LOST,)), Expected(90, (LOST,)), Expected(95), Expected(200)),
        ),
        Case(
            "fires for one of two homes that have a run of that name",
            {
                **state("running"),
                **heartbeat(ZERO),
                **state("running", OTHER_HOME),
                series("run_heartbeat_timestamp_seconds", OTHER_HOME, run_id="r1"): NOW,
            },
            (Expected(100, (LOST,)),),
        ),
        Case("does not fire while the heartbeat follows", {**state("running"), **heartbeat(NOW)}, (Expected(200),)),
        Case("does not fire for a run that has ended", {**state("completed"), **heartbeat(ZERO)}, (Expected(200),)),
    ),
    "FeedSilent": (
        Case(
            "fires for a silent feed, after for",
            feed({"silent": ONE}),
            (Expected(10), Expected(15, (BARS,)), Expected(200, (BARS,))),
        ),
        Case("fires for a feed that is never live between its states", feed(FLAPPING), (Expected(60, (BARS,)),)),
        Case(
            "stays for keep_firing_for after the feed is live",
            feed({"silent": "1+0x4 0+0x50", "live": "0+0x4 1+0x50"}),
            (Expected(20, (BARS,)), Expected(50, (BARS,)), Expected(55)),
        ),
        Case("does not fire for a live feed", feed({"live": ONE}), (Expected(200),)),
        Case(
            "does not fire for a short silence",
            feed({"silent": "1+0x2 0+0x50", "live": "0+0x2 1+0x50"}),
            (Expected(10), Expected(15), Expected(60)),
        ),
        Case("does not fire while the engine starts", feed({"disconnected": ONE}, "starting"), (Expected(200),)),
    ),
    "RunFailed": until_acknowledged("a failure", run(state="failed"), state("failed"), other=state("completed")),
    "RunInterrupted": until_acknowledged(
        "an interruption", run(state="interrupted"), state("interrupted"), other=state("running")
    ),
    "RunHalted": until_acknowledged("a halt", run(state="halted"), state("halted"), other=state("completed")),
    "KillSwitchActive": (
        Case(
            "fires 30 minutes after the activation, and after for",
            kill_switch("active", "-1700+0x60"),
            (Expected(100), Expected(155), Expected(160, (ALL_RUNS,))),
        ),
        Case(
            "fires for the switch of one run",
            kill_switch("active", "-1800+0x60", "run", "r1"),
            (Expected(60, ({"scope": "run", "state": "active", **run()},)),),
        ),
        Case(
            "fires when the time of the activation is not known",
            kill_switch("active", None),
            (Expected(55), Expected(60, (ALL_RUNS,))),
        ),
        Case(
            "fires when the clock was moved back by an hour",
            kill_switch("active", "3600+0x60"),
            (Expected(60, (ALL_RUNS,)),),
        ),
        Case(
            "stays for keep_firing_for after the switch was cleared",
            {name: values.replace(ONE, "1+0x20 0+0x40") for name, values in kill_switch("active", None).items()},
            (Expected(100, (ALL_RUNS,)), Expected(130, (ALL_RUNS,)), Expected(135)),
        ),
        Case("does not fire for a cleared switch", kill_switch("cleared", "-1800+0x60"), (Expected(200),)),
        Case("does not fire without a switch", kill_switch("absent", None), (Expected(200),)),
    ),
    "HaltSlow": (
        *until_acknowledged("a slow gate", LOST, halt("0.6+0x60", ONE), other=halt("0.4+0x60", "2.4+0x60")),
        Case("fires for a late flat account", halt("0.1+0x60", "2.6+0x60"), (Expected(0, (LOST,)),)),
        Case("fires for an engine that was killed", halt("0.1+0x60", ONE, "sigkill"), (Expected(0, (LOST,)),)),
        Case("fires for an account that is not flat", halt("0.1+0x60", ONE, is_flat=ZERO), (Expected(0, (LOST,)),)),
    ),
    "ReconciliationMismatch": (
        *until_acknowledged(
            "a mismatch", run(state="mismatch"), reconciliation("mismatch"), other=reconciliation("warning")
        ),
        Case("fires for unknown", reconciliation("unknown"), (Expected(0, (run(state="unknown"),)),)),
        Case("does not fire for ok", reconciliation("ok"), (Expected(200),)),
    ),
    "ForeignOrder": until_acknowledged(
        "a foreign order",
        LOST,
        {series("external_orders_total", run_id="r1"): ONE},
        other={series("external_orders_total", run_id="r1"): ZERO},
    ),
    "ForcedClose": (
        *until_acknowledged(
            "a forced close",
            LOST,
            {series("forced_closes_total", run_id="r1"): ONE, series("margin_calls_total", run_id="r1"): ZERO},
            other={series("forced_closes_total", run_id="r1"): ZERO, series("margin_calls_total", run_id="r1"): ZERO},
        ),
        Case(
            "fires for a margin call",
            {series("forced_closes_total", run_id="r1"): ZERO, series("margin_calls_total", run_id="r1"): ONE},
            (Expected(0, (LOST,)),),
        ),
    ),
    "ProbeFailing": (
        *until_acknowledged(
            "a failed probe", run(state="probe_timeout"), probe("probe_timeout"), other=probe("probe_ok")
        ),
        Case(
            "ends an hour after the probe",
            probe("probe_timeout", "-3500+0x60"),
            (
                Expected(95, (run(state="probe_timeout"),)),
                Expected(125, (run(state="probe_timeout"),)),
                Expected(130),
            ),
        ),
    ),
    "DrillFailed": (
        Case("fires at once", drill("fail", RECENT, LONG_AGO), (Expected(0, (FAILED_DRILL,)),)),
        Case("fires for a drill that never passed", drill("fail", None, RECENT), (Expected(200, (FAILED_DRILL,)),)),
        Case(
            "ends when the drill passes, and not within keep_firing_for",
            PASSED_AGAIN,
            (Expected(25, (FAILED_DRILL,)), Expected(55, (FAILED_DRILL,)), Expected(60)),
        ),
        Case("does not fire for a drill that passed", drill("pass", RECENT, LONG_AGO), (Expected(200),)),
        Case("does not fire for a drill that shows nothing", drill("unknown", RECENT, LONG_AGO), (Expected(200),)),
        Case("does not fire for a drill that was never run", drill("never_run"), (Expected(200),)),
    ),
    "DrillNotProven": (
        Case(
            "fires seven days after the last pass",
            drill("pass", WEEK_AGO, LONG_AGO),
            (Expected(100), Expected(105, (DRILL,))),
        ),
        Case("fires while the drill fails", drill("fail", LONG_AGO, LONG_AGO), (Expected(0, (DRILL,)),)),
        Case(
            "fires for a drill that was never run, seven days after the first drill of the home",
            drill("never_run", None, WEEK_AGO),
            (Expected(100), Expected(105, (DRILL,))),
        ),
        Case("fires for a drill that never passed", drill("unknown", None, LONG_AGO), (Expected(0, (DRILL,)),)),
        Case(
            "fires when the clock was moved back by more than seven days",
            drill("pass", "700000+0x60", LONG_AGO),
            (Expected(0, (DRILL,)),),
        ),
        Case(
            "ends when the drill passes, and not within keep_firing_for",
            drill("pass", "-1000000+0x5 0+0x50", LONG_AGO),
            (Expected(25, (DRILL,)), Expected(55, (DRILL,)), Expected(60)),
        ),
        Case("does not fire for a drill that passed", drill("pass", RECENT, LONG_AGO), (Expected(200),)),
        Case("does not fire in a home without drills", drill("never_run"), (Expected(200),)),
        Case("does not fire a day after the first drill", drill("never_run", None, RECENT), (Expected(200),)),
    ),
    "DiskNearlyFull": (
        Case(
            "fires below 1 GB, after for",
            disk("999000000+0x60", "4000000000+0x60"),
            (Expected(55), Expected(60, (TARGET,), "952.7Mi"), Expected(200, (TARGET,), "952.7Mi")),
        ),
        Case(
            "fires below 5 % of the size",
            disk("4000000000+0x60", "100000000000+0x60"),
            (Expected(60, (TARGET,), "3.725Gi"),),
        ),
        Case(
            "stays for keep_firing_for after space was freed",
            disk("999000000+0x20 4000000000+0x40", "4000000000+0x60"),
            (Expected(100, (TARGET,), "952.7Mi"), Expected(160, (TARGET,), "952.7Mi"), Expected(165)),
        ),
        Case("does not fire with room", disk("6000000000+0x60", "100000000000+0x60"), (Expected(200),)),
        Case(
            "does not fire for a file that is removed at once",
            disk("999000000+0x5 4000000000+0x50", "4000000000+0x60"),
            (Expected(60), Expected(200)),
        ),
    ),
    "ExporterErrors": (
        Case("fires for errors, after for", exporter("0+1x60"), (Expected(60), Expected(65, (TARGET,)))),
        Case("fires for an unreadable run", exporter(unreadable=ONE), (Expected(55), Expected(60, (TARGET,)))),
        Case("fires while the exporter is not ready", exporter(ready=ZERO), (Expected(55), Expected(60, (TARGET,)))),
        Case("does not fire without errors", exporter(), (Expected(200),)),
        Case("does not fire for a start of 30 s", exporter(ready="0+0x6 1+0x50"), (Expected(60), Expected(200))),
        Case(
            "fires for an error of the first collection, for five minutes",
            exporter("1+0x90"),
            (Expected(60, (TARGET,)), Expected(300, (TARGET,)), Expected(400)),
        ),
        Case("fires for errors after a restart", exporter("7+0x50 1+0x20"), (Expected(330, (TARGET,)),)),
    ),
    "MetricsTargetDown": (
        Case("fires when the exporter does not answer, after for", {UP: ZERO}, (Expected(25), Expected(30, (TARGET,)))),
        Case(
            "fires without any target, and keeps the label job",
            {'up{instance="127.0.0.1:9090",job="prometheus"}': ONE},
            (Expected(25), Expected(30, ({"job": "opslab"},))),
        ),
        Case("does not fire while the exporter answers", {UP: ONE}, (Expected(200),)),
        Case("does not fire for one missed scrape", {UP: "1+0x3 0+0x0 1+0x50"}, (Expected(20), Expected(60))),
        Case("ends with the first scrape", {UP: "0+0x10 1+0x50"}, (Expected(50, (TARGET,)), Expected(55))),
    ),
    "Watchdog": (Case("fires always", {UP: ZERO}, (Expected(0, ({},)), Expected(200, ({},)))),),
}
