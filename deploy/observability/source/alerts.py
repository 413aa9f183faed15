"""The alerts: one table, from which the rules, their tests and the table of the docs are generated.

Expressions match series `on (instance, run_id)`: two homes may have runs of one name. An alert about a run that has
ended holds until the run is acknowledged. Ages are compared by `abs`, so that a clock that was moved back is a
symptom, too. Counters that should stay at 0 are compared with 0: `increase` of a series that begins at 1 is 0.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning", "info"]

HEARTBEAT_SECONDS = 30
GATE_SECONDS = 0.5
"""After this time without a closed gate control sends SIGTERM to the engine."""
FLAT_SECONDS = 2.5
"""After this time without a flat account control sends SIGKILL to the engine."""
KILL_SWITCH_SECONDS = 1800
PROBE_SECONDS = 3600
DRILL_DAYS = 7
"""A drill that has not passed for so long proves nothing any more."""
DISK_FREE_BYTES = 1_000_000_000
DISK_FREE_SHARE = 0.05

NOT_ACKNOWLEDGED = "unless on (instance, run_id) opslab_run_acknowledged == 1"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule."""

    name: str
    severity: Severity
    expression: str
    summary: str
    """Action of the operator, in one line."""
    description: str
    page: str
    """Runbook: the name of its file in `docs/runbooks/`."""
    shown_by: str
    """Drill or fault that makes it fire; for the docs."""
    for_seconds: int = 0
    keep_firing_seconds: int = 0
    """Bridges a restart of the exporter or a state that alternates."""


ALERTS = (
    Alert(
        name="RunHeartbeatLost",
        severity="critical",
        expression=f"""
abs(
  time() - (
    opslab_run_heartbeat_timestamp_seconds
    or on (instance, run_id) opslab_run_started_timestamp_seconds
  )
) > {HEARTBEAT_SECONDS}
and on (instance, run_id) opslab_run_state{{state="running"}} == 1""",
        for_seconds=10,
        keep_firing_seconds=30,
        summary="Run {{ $labels.run_id }} has no heartbeat: continue or end its tc process",
        description=(
            "Run {{ $labels.run_id }} is running, and its owner has written no heartbeat for more than "
            f"{HEARTBEAT_SECONDS} s, or the clock was moved back. The owner is stopped or waits for a disk."
        ),
        page="heartbeat-lost",
        shown_by="`kill -STOP` of the run's `tc`",
    ),
    Alert(
        name="FeedSilent",
        severity="critical",
        expression="""
max without (state) (opslab_feed_state{state!="live"}) == 1
and on (instance, run_id) opslab_run_phase{phase="running"} == 1""",
        for_seconds=15,
        keep_firing_seconds=30,
        summary="Run {{ $labels.run_id }} receives no {{ $labels.feed }}: check its venue, or stop the run",
        description=(
            "The feed {{ $labels.feed }} of run {{ $labels.run_id }} is silent, disconnected or not yet recovered. "
            "The strategy decides nothing from it, and its orders rest at the venue."
        ),
        page="feed-silent",
        shown_by="the venue fault `silence`, `refuse` or `hang`",
    ),
    Alert(
        name="RunFailed",
        severity="critical",
        expression=f'opslab_run_state{{state="failed"}} == 1\n{NOT_ACKNOWLEDGED}',
        keep_firing_seconds=30,
        summary="Run {{ $labels.run_id }} failed: read its failure, check its account, then acknowledge it",
        description=(
            "Run {{ $labels.run_id }} ended by a fault of the strategy, the engine, the account or the lab. "
            "`tc run acknowledge {{ $labels.run_id }} --reason R` ends this alert."
        ),
        page="run-failed",
        shown_by="`kill -KILL` of the engine with `restart: never`; a strategy that raises",
    ),
    Alert(
        name="RunInterrupted",
        severity="warning",
        expression=f'opslab_run_state{{state="interrupted"}} == 1\n{NOT_ACKNOWLEDGED}',
        keep_firing_seconds=30,
        summary="Run {{ $labels.run_id }} was interrupted: recover it if its owner died, then acknowledge it",
        description=(
            "Run {{ $labels.run_id }} ended early: by a signal, by its time limit, or by the death of its owner. "
            "`tc run acknowledge {{ $labels.run_id }} --reason R` ends this alert."
        ),
        page="interrupted-run",
        shown_by="`kill -KILL` or `kill -TERM` of the run's `tc`",
    ),
    Alert(
        name="RunHalted",
        severity="warning",
        expression=f'opslab_run_state{{state="halted"}} == 1\n{NOT_ACKNOWLEDGED}',
        keep_firing_seconds=30,
        summary="Run {{ $labels.run_id }} was halted: find the reason of the activation, then acknowledge it",
        description=(
            "The kill switch stopped run {{ $labels.run_id }}, and its account is flat. "
            "`tc run acknowledge {{ $labels.run_id }} --reason R` ends this alert."
        ),
        page="kill-switch",
        shown_by="`tc kill activate` of a running run",
    ),
    Alert(
        name="KillSwitchActive",
        severity="warning",
        expression=f"""
opslab_kill_switch_state{{state="active"}} == 1
unless on (instance, scope, run_id)
  abs(time() - opslab_kill_switch_activated_timestamp_seconds) < {KILL_SWITCH_SECONDS}""",
        for_seconds=60,
        keep_firing_seconds=30,
        summary=(
            "The kill switch of {{ if $labels.run_id }}run {{ $labels.run_id }}{{ else }}all runs{{ end }} "
            "is still active: clear it, or confirm that it has to stay"
        ),
        description=(
            f"The kill switch has been active for more than {KILL_SWITCH_SECONDS // 60} minutes, or it counts as "
            "active because it cannot be read. No run of its scope starts."
        ),
        page="safety-gate",
        shown_by="`tc kill activate`; an empty state file in `runtime/kill_switch/`",
    ),
    Alert(
        name="HaltSlow",
        severity="critical",
        expression=f"""
max by (job, instance, run_id) (
  opslab_halt_seconds{{phase="gate"}} > {GATE_SECONDS}
  or opslab_halt_seconds{{phase="flat"}} > {FLAT_SECONDS}
  or opslab_halt_escalation{{signal!="none"}} == 1
  or opslab_halt_flat == 0
)
{NOT_ACKNOWLEDGED}""",
        keep_firing_seconds=30,
        summary="The halt of run {{ $labels.run_id }} was too slow: check its account and its strategy",
        description=(
            f"The gate of run {{{{ $labels.run_id }}}} closed later than {GATE_SECONDS} s after the activation, its "
            f"account was flat later than {FLAT_SECONDS} s or not at all, or the engine had to be killed."
        ),
        page="halt-slow",
        shown_by="`kill -STOP` of the engine of a paper run, then `tc kill activate`",
    ),
    Alert(
        name="ReconciliationMismatch",
        severity="critical",
        expression=f'opslab_reconciliation_state{{state=~"mismatch|unknown"}} == 1\n{NOT_ACKNOWLEDGED}',
        keep_firing_seconds=30,
        summary="Run {{ $labels.run_id }} and its venue disagree ({{ $labels.state }}): explain it before new orders",
        description=(
            "The last reconciliation of run {{ $labels.run_id }} is {{ $labels.state }}: position, orders or balance "
            "differ, or could not be compared."
        ),
        page="reconciliation-mismatch",
        shown_by="the venue fault `silence` with `which=user`; `tc reconcile check`",
    ),
    Alert(
        name="ForeignOrder",
        severity="critical",
        expression=f"opslab_external_orders_total > 0\n{NOT_ACKNOWLEDGED}",
        keep_firing_seconds=30,
        summary="Another client trades in the account of run {{ $labels.run_id }}: find it, or stop the run",
        description="Run {{ $labels.run_id }} received orders in its account that its strategy did not place.",
        page="foreign-order",
        shown_by="the venue fault `external-trade`",
    ),
    Alert(
        name="ForcedClose",
        severity="critical",
        expression=f"""
(opslab_forced_closes_total > 0 or opslab_margin_calls_total > 0)
{NOT_ACKNOWLEDGED}""",
        keep_firing_seconds=30,
        summary="The exchange acted on the margin of run {{ $labels.run_id }}: check the account, reduce the risk",
        description=(
            "The exchange closed the position of run {{ $labels.run_id }} by force, or called for margin. "
            "The gate of the run is closed, and the run ends as failed."
        ),
        page="forced-close",
        shown_by="the venue fault `forced-close` or `margin-call`",
    ),
    Alert(
        name="ProbeFailing",
        severity="warning",
        expression=f"""
(opslab_probe_state{{state!="probe_ok"}} == 1)
and on (instance, run_id) time() - opslab_probe_timestamp_seconds < {PROBE_SECONDS}
{NOT_ACKNOWLEDGED}""",
        keep_firing_seconds=30,
        summary="The probe of run {{ $labels.run_id }} is {{ $labels.state }}: check the server, then probe again",
        description=(
            "The last connectivity probe that run {{ $labels.run_id }} has on record, of the last hour, "
            "received no good answer."
        ),
        page="connectivity-probe-failed",
        shown_by="the venue fault `hang` or `http`, and `tc connectivity probe`",
    ),
    Alert(
        name="DrillFailed",
        severity="critical",
        expression='opslab_drill_state{state="fail"} == 1',
        keep_firing_seconds=30,
        summary="The drill {{ $labels.drill }} failed: judge its record, mend the cause, run it again",
        description=(
            "The last run of the failure drill {{ $labels.drill }} has the verdict fail: a fault of that kind was not "
            "noticed in time, or a run did not recover from it. The next run that passes ends this alert."
        ),
        page="drill-failed",
        shown_by="`tc drill run` of a drill whose bounds do not hold",
    ),
    Alert(
        name="DrillNotProven",
        severity="warning",
        expression=f"""
abs(
  time() - (
    opslab_drill_last_pass_timestamp_seconds
    or on (job, instance, drill)
      max by (job, instance, drill) (opslab_drill_state)
      * on (job, instance) group_left () opslab_drills_first_ended_timestamp_seconds
  )
) > {DRILL_DAYS} * 86400""",
        keep_firing_seconds=30,
        summary=f"The drill {{{{ $labels.drill }}}} has not passed for {DRILL_DAYS} days: run it",
        description=(
            f"The failure drill {{{{ $labels.drill }}}} passed last more than {DRILL_DAYS} days ago, or never since "
            f"the first drill of this home, which is more than {DRILL_DAYS} days ago. A home without drills has no "
            "such alert."
        ),
        page="drill-not-proven",
        shown_by=f"no passing run of a drill for {DRILL_DAYS} days",
    ),
    Alert(
        name="DiskNearlyFull",
        severity="critical",
        expression=f"""
opslab_home_free_bytes < {DISK_FREE_BYTES}
or opslab_home_free_bytes < {DISK_FREE_SHARE} * opslab_home_size_bytes""",
        for_seconds=60,
        keep_firing_seconds=60,
        summary="The disk of the home at {{ $labels.instance }} is nearly full: free space before a run fails",
        description=(
            "The file system of the home has {{ $value | humanize1024 }}B free: less than "
            f"{DISK_FREE_BYTES // 10**9} GB, or less than {DISK_FREE_SHARE:.0%} of its size. "
            "Without space journals and ledgers cannot be written."
        ),
        page="disk-full",
        shown_by="a small file system that is filled (`scripts/break-runs.sh --only disk-full`)",
    ),
    Alert(
        name="ExporterErrors",
        severity="warning",
        expression="""
sum by (job, instance) (increase(opslab_exporter_errors_total[5m])) > 0
or on (job, instance) sum by (job, instance) (
  opslab_exporter_errors_total unless opslab_exporter_errors_total offset 5m
) > 0
or on (job, instance) opslab_runs_unreadable > 0
or on (job, instance) opslab_exporter_ready == 0""",
        for_seconds=60,
        keep_firing_seconds=60,
        summary="The exporter at {{ $labels.instance }} cannot read all of its home: read its log, verify the runs",
        description=(
            "The exporter has errors, a run cannot be read, or the registry is still being read for the first time. "
            "Other alerts may be missing."
        ),
        page="exporter-errors",
        shown_by="a run without `metadata.json` whose `journal.jsonl` is damaged",
    ),
    Alert(
        name="MetricsTargetDown",
        severity="critical",
        expression='up{job="opslab"} == 0\nor absent(up{job="opslab"}) == 1',
        for_seconds=30,
        keep_firing_seconds=0,
        summary="No metrics of the lab: start tc metrics serve, or correct the target",
        description=(
            "Prometheus cannot scrape {{ if $labels.instance }}{{ $labels.instance }}{{ else }}any exporter{{ end }}. "
            "Every other alert about the lab is without data."
        ),
        page="observability-no-data",
        shown_by="the end of `tc metrics serve`",
    ),
    Alert(
        name="Watchdog",
        severity="info",
        expression="vector(1)",
        summary="None: this alert always fires. Its absence shows that alerts do not arrive",
        description="Rules are evaluated, and Alertmanager receives alerts.",
        page="observability-no-data",
        shown_by="always",
    ),
)
