"""The dashboard of all runs: the questions of the person on duty, from top to bottom."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from deploy.observability.source.dashboards import shared, states
from deploy.observability.source.dashboards.grid import Section, dashboard
from deploy.observability.source.dashboards.links import (
    ALL_RUNS_UID,
    DRILLS,
    OBSERVABILITY,
    RUN_OF_CELL,
    Link,
    docs_page,
    runbook,
)
from deploy.observability.source.dashboards.panels import (
    ZERO_IS_GOOD,
    Column,
    Frame,
    Query,
    lines,
    numbers,
    rows,
    text,
    thresholds,
)
from deploy.observability.source.dashboards.shared import ALL, RATE, SAME_RUN
from deploy.observability.source.docs import DOCS_URL

RUNNING = f'and {SAME_RUN} opslab_run_state{{state="running"}} == 1'
RUNBOOK_OF_STATE = {
    "failed": "run-failed",
    "interrupted": "interrupted-run",
    "halted": "kill-switch",
    "completed": "reconciliation-mismatch",
    "unreadable": "artifact-health",
}
"""State of a run that needs an operator to its runbook; a completed one has a mismatch."""
FIRST_STEPS = (
    ("A run has no heartbeat", "heartbeat-lost"),
    ("A feed is silent", "feed-silent"),
    ("The account differs from the venue's", "reconciliation-mismatch"),
    ("A run failed", "run-failed"),
    ("A run was interrupted", "interrupted-run"),
    ("Trading must stop now", "kill-switch"),
    ("A drill failed", "drill-failed"),
    ("A panel has no data", "observability-no-data"),
)
"""Symptom and runbook."""


def build() -> model.Dashboard:
    return dashboard(
        ALL_RUNS_UID,
        "Ops Lab: all runs",
        "All runs of the lab: what to do, is it trading, may it trade, is the feed alive, is the account what the "
        "venue has, how late is it, what was refused, what changed last. Times are UTC.",
        [
            Section("What to do?", [_runs_to_act_on(), _running_runs(), _firing_alerts(), _first_steps()]),
            Section("Is it trading?", _trading()),
            Section(
                "May it trade?",
                [shared.kill_switch(ALL, 8), shared.trading_gate(ALL, 8), shared.gated_orders(ALL, 8)],
            ),
            Section(
                "Is the feed alive?",
                [shared.feed_state(ALL, 8), shared.feed_age(ALL, 8), shared.heartbeat_age(ALL, 8)],
            ),
            Section(
                "Is the account what the venue has?",
                [shared.reconciliation(ALL, 12), shared.unexpected_orders(ALL, 12)],
            ),
            Section("How late is it?", [shared.event_lag(ALL, 12), shared.round_trips(ALL, 12)]),
            Section(
                "What was refused, and what changed last?",
                [_refused(), _warnings(), _ends(), shared.losses(ALL, 12), shared.faults(ALL, 12)],
            ),
            Section("Is the exporter healthy?", _exporter()),
        ],
        links=[DRILLS, OBSERVABILITY],
    )


def _runs_to_act_on() -> model.Panel:
    return rows(
        Frame(
            "Runs That Need an Operator",
            "Runs that failed, were interrupted or halted, or ended with a reconciliation mismatch (completed), until "
            "`tc run acknowledge ID --reason R`; and runs whose files cannot be read.",
            width=12,
            height=8,
            links=(docs_page("Acknowledge a run", "commands/#tc-run-acknowledge"),),
        ),
        Query(_to_act_on(), "{{run_id}} {{state}}"),
        columns=[
            Column("run_id", "Run", link=RUN_OF_CELL),
            Column("state", "State"),
            Column("runbook", "Runbook", link=Link("Runbook", f"{DOCS_URL}/runbooks/${{__value.raw}}/")),
        ],
    )


def _to_act_on() -> str:
    """The runs with their state, and the name of its runbook as a label."""
    expression = f"""(
  opslab_run_state{{state=~"failed|interrupted|halted"}} == 1
  or opslab_run_state{{state="completed"}} == 1
    and {SAME_RUN} opslab_reconciliation_state{{state="mismatch"}} == 1
)
unless {SAME_RUN} opslab_run_acknowledged == 1
or label_replace(opslab_run_readable == 0, "state", "unreadable", "", "")"""
    for state, page in RUNBOOK_OF_STATE.items():
        expression = f'label_replace(\n{expression},\n"runbook", "{page}", "state", "{state}")'
    return expression


def _running_runs() -> model.Panel:
    return rows(
        Frame(
            "Running Runs",
            "Runs whose owner lives, with what they run and how long they have run.",
            width=12,
            height=8,
            links=(runbook("heartbeat-lost"),),
        ),
        Query(f"opslab_run_info {RUNNING}", "{{run_id}}"),
        Query(f"time() - opslab_run_started_timestamp_seconds {RUNNING}", "{{run_id}}"),
        columns=[
            Column("run_id", "Run", link=RUN_OF_CELL),
            Column("mode", "Mode"),
            Column("strategy", "Strategy"),
            Column("dataset", "Dataset"),
            Column("Value #B", "Duration", unit=units.Seconds),
        ],
    )


def _firing_alerts() -> model.Panel:
    alerts = docs_page("Alerts and runbooks", "observability/#alerts")
    return rows(
        Frame(
            "Firing Alerts",
            "Alerts that Prometheus fires, without Watchdog, which always fires. Alertmanager has their summaries.",
            width=12,
            links=(alerts,),
        ),
        Query('ALERTS{alertstate="firing", alertname!="Watchdog"}', "{{alertname}} {{run_id}} {{drill}}"),
        columns=[
            Column("alertname", "Alert", link=alerts),
            Column("severity", "Severity"),
            Column("run_id", "Run", link=RUN_OF_CELL),
            Column("drill", "Drill"),
        ],
    )


def _first_steps() -> model.Panel:
    content = "\n".join(f"- {symptom}: [{page}]({runbook(page).url})" for symptom, page in FIRST_STEPS)
    return text(Frame("First Steps", "Runbook of each symptom.", width=12, links=(OBSERVABILITY,)), content)


def _trading() -> list[model.Panel]:
    return [
        numbers(
            Frame(
                "Runs Running",
                "Number of runs whose owner lives, by mode.",
                width=4,
                links=(docs_page("Run list", "run/#run-list"),),
            ),
            units.Short,
            Query('sum by (mode) (opslab_runs{status="running"})', "{{mode}}"),
        ),
        numbers(
            Frame(
                "Runs to Acknowledge",
                "Number of ended runs that need an acknowledgement and have none, by reason.",
                width=8,
                links=(docs_page("Acknowledge a run", "commands/#tc-run-acknowledge"),),
            ),
            units.Short,
            Query("sum by (reason) (opslab_runs_unacknowledged)", "{{reason}}"),
            limits=ZERO_IS_GOOD,
        ),
        shared.run_phase(ALL, 12),
        lines(
            ALL.frame("Orders Submitted", "Orders that strategies submitted, per second.", 12),
            units.OpsPerSecond,
            Query(f'rate(opslab_orders_total{{outcome="submitted"}}{RATE})', "{{run_id}}"),
        ),
        lines(
            ALL.frame("Fills", "Fills of strategies' orders, per second.", 12),
            units.OpsPerSecond,
            Query(f"rate(opslab_fills_total{RATE})", "{{run_id}}"),
        ),
    ]


def _refused() -> model.Panel:
    description = "Orders that the node denied or the venue rejected, since the start of the run."
    return lines(
        ALL.frame("Orders Refused", description, 8, docs_page("Orders by outcome", "run/#orders-by-outcome")),
        units.Short,
        Query('opslab_orders_total{outcome=~"denied|rejected"}', "{{run_id}} {{outcome}}"),
    )


def _warnings() -> model.Panel:
    return rows(
        Frame(
            "Warnings",
            "Warnings of ended runs, with their counts.",
            width=8,
            links=(docs_page("Warnings", "run/#warnings"),),
        ),
        Query("opslab_run_warnings", "{{run_id}} {{code}}"),
        columns=[
            Column("run_id", "Run", link=RUN_OF_CELL),
            Column("code", "Warning"),
            Column("Value", "Count", unit=units.Short),
        ],
    )


def _ends() -> model.Panel:
    return lines(
        Frame(
            "Ends of Runs",
            "Runs that ended, by mode, status and cause. Each end is counted, also of a run that was deleted.",
            width=8,
            links=(runbook("run-failed"), runbook("interrupted-run")),
        ),
        units.Short,
        Query("opslab_run_ends_total", "{{mode}} {{status}} {{ended_by}}"),
    )


def _exporter() -> list[model.Panel]:
    no_data = runbook("observability-no-data")
    return [
        numbers(
            Frame("Exporter Ready", "no: it reads the registry for the first time.", width=4, links=(no_data,)),
            units.Short,
            Query("opslab_exporter_ready", "{{instance}}"),
            mapping=states.NO_IS_BAD,
            no_value="down",
        ),
        numbers(
            Frame(
                "Runs without Series",
                "Runs that are in the aggregates only, and runs whose files cannot be read.",
                width=4,
                links=(runbook("artifact-health"),),
            ),
            units.Short,
            Query("sum(opslab_runs_not_shown)", "not shown"),
            Query("sum(opslab_runs_unreadable)", "unreadable"),
        ),
        lines(
            Frame(
                "Exporter Errors",
                "Failures while the exporter read the home, by reason.",
                width=5,
                links=(runbook("exporter-errors"),),
            ),
            units.Short,
            Query("opslab_exporter_errors_total", "{{instance}} {{reason}}"),
            limits=ZERO_IS_GOOD,
        ),
        lines(
            Frame("Collection", "Duration and age of the exporter's last reading.", width=5, links=(no_data,)),
            units.Seconds,
            Query("opslab_exporter_collection_seconds", "{{instance}} duration"),
            Query("time() - opslab_exporter_last_collection_timestamp_seconds", "{{instance}} age"),
            floor_zero=False,
        ),
        lines(
            Frame("Disk", "Free space and size of the home's file system.", width=6, links=(runbook("disk-full"),)),
            units.BytesIEC,
            Query("opslab_home_free_bytes", "{{instance}} free"),
            Query("opslab_home_size_bytes", "{{instance}} size"),
            limits=thresholds((1_000_000_000, states.GOOD), base=states.BAD),
        ),
    ]
