"""The dashboard of failure drills: is each one proven, how fast was it, how does it change."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from deploy.observability.source.alerts import DRILL_DAYS
from deploy.observability.source.dashboards import states
from deploy.observability.source.dashboards.grid import Section, dashboard
from deploy.observability.source.dashboards.links import (
    ALL_RUNS,
    DRILLS_UID,
    OBSERVABILITY,
    docs_page,
    runbook,
)
from deploy.observability.source.dashboards.panels import (
    Column,
    Frame,
    Query,
    lines,
    numbers,
    rows,
    state_timeline,
    thresholds,
)

FAILED, NOT_PROVEN = runbook("drill-failed"), runbook("drill-not-proven")
NIGHTLY = docs_page("Nightly drills", "drills/#nightly-drills")
SECONDS_A_DAY = 86_400


def build() -> model.Dashboard:
    return dashboard(
        DRILLS_UID,
        "Ops Lab: failure drills",
        "All failure drills of the lab: is each one proven, how fast was the reaction, how does it change. "
        "Times are UTC.",
        [
            Section("Is each drill proven?", [_drills(), _last_pass()]),
            Section("How fast was the reaction?", [_detect(), _recover()]),
            Section("How does it change?", [_verdicts(), _runs(), _unreadable()]),
        ],
        links=[ALL_RUNS, OBSERVABILITY],
        since="now-30d",
        refresh="5m",
    )


def _drills() -> model.Panel:
    return rows(
        Frame(
            "Drills",
            "Last run of each drill: verdict, age, and seconds of its slowest step. A drill that was never run has no "
            "ages and times.",
            width=16,
            height=10,
            links=(FAILED, NIGHTLY),
        ),
        Query("opslab_drill_state == 1", "{{drill}} {{state}}"),
        Query("time() - opslab_drill_last_ended_timestamp_seconds", "{{drill}}"),
        Query("time() - opslab_drill_last_pass_timestamp_seconds", "{{drill}}"),
        Query("opslab_drill_detect_seconds", "{{drill}}"),
        Query("opslab_drill_recover_seconds", "{{drill}}"),
        columns=[
            Column("drill", "Drill"),
            Column("state", "Verdict"),
            Column("Value #B", "Age", unit=units.Seconds),
            Column("Value #C", "Age of Last Pass", unit=units.Seconds),
            Column("Value #D", "Detected after", unit=units.Seconds),
            Column("Value #E", "Recovered after", unit=units.Seconds),
        ],
        joined_by="drill",
    )


def _last_pass() -> model.Panel:
    return numbers(
        Frame(
            "Age of Last Pass",
            f"Time since each drill passed last. Red after {DRILL_DAYS} days. A drill that never passed is missing.",
            width=8,
            height=10,
            links=(NOT_PROVEN,),
        ),
        units.Seconds,
        Query("time() - opslab_drill_last_pass_timestamp_seconds", "{{drill}}"),
        limits=thresholds((DRILL_DAYS * SECONDS_A_DAY, states.BAD)),
    )


def _detect() -> model.Panel:
    return lines(
        Frame(
            "Detected after",
            "Time from the injection to the detection in the last run of each drill, of its slowest step.",
            width=12,
            height=8,
            links=(FAILED,),
        ),
        units.Seconds,
        Query("opslab_drill_detect_seconds", "{{drill}}"),
    )


def _recover() -> model.Panel:
    return lines(
        Frame(
            "Recovered after",
            "Time from the end of the fault to the recovery in the last run of each drill, of its slowest step.",
            width=12,
            height=8,
            links=(FAILED,),
        ),
        units.Seconds,
        Query("opslab_drill_recover_seconds", "{{drill}}"),
    )


def _verdicts() -> model.Panel:
    frame = Frame(
        "Verdicts",
        "Verdict of the last run of each drill over time, as far back as Prometheus keeps its history.",
        width=24,
        height=9,
        links=(FAILED, NOT_PROVEN),
    )
    return state_timeline(frame, states.DRILL, "{{drill}}")


def _runs() -> model.Panel:
    return lines(
        Frame("Runs by Verdict", "Recorded runs of all drills by verdict.", width=16, links=(NIGHTLY,)),
        units.Short,
        Query("sum by (verdict) (opslab_drill_runs)", "{{verdict}}"),
    )


def _unreadable() -> model.Panel:
    return numbers(
        Frame(
            "Unreadable Records",
            "Recorded runs of drills whose summary cannot be read.",
            width=8,
            links=(runbook("artifact-health"),),
        ),
        units.Short,
        Query("sum(opslab_drill_runs_unreadable)", "unreadable"),
        limits=thresholds((1, states.WARN)),
    )
