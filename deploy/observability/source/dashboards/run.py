"""The dashboard of one run, which its variable `run_id` names."""

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from deploy.observability.source.dashboards import shared, states
from deploy.observability.source.dashboards.grid import Section, dashboard, run_variable
from deploy.observability.source.dashboards.links import ALL_RUNS, OBSERVABILITY, RUN_UID, docs_page, runbook
from deploy.observability.source.dashboards.panels import (
    DATASOURCE,
    Column,
    Frame,
    Query,
    lines,
    numbers,
    rows,
    state_number,
    state_timeline,
    thresholds,
)
from deploy.observability.source.dashboards.shared import MONITORING, ONE, RATE, SAME_RUN

NOT_HALTED, NOT_CHECKED, NOT_PROBED = "no halt", "not checked", "not probed"


def build() -> model.Dashboard:
    return dashboard(
        RUN_UID,
        "Ops Lab: run",
        "One run of the lab. The state of a running node has values only while its owner lives. Times are UTC.",
        [
            Section("What is it, and how far?", [*_progress(), _identity(), _warnings()]),
            Section(
                "May it trade?",
                [shared.kill_switch(ONE, 8), shared.trading_gate(ONE, 8), shared.gated_orders(ONE, 8), *_halt()],
            ),
            Section("Is it alive?", [shared.run_phase(ONE, 8), shared.heartbeat_age(ONE, 8), _heartbeats()]),
            Section("Is the feed alive?", [shared.feed_state(ONE, 6), shared.feed_age(ONE, 6), *_messages()]),
            Section("What does the strategy do?", _strategy()),
            Section(
                "Is the account what the venue has?",
                [shared.reconciliation(ONE, 6), *_account(), shared.unexpected_orders(ONE, 6)],
            ),
            Section("How late is it?", [shared.event_lag(ONE, 6), shared.round_trips(ONE, 6), *_engine()]),
            Section(
                "What was lost, restarted or broken on purpose?",
                [shared.losses(ONE, 6), shared.faults(ONE, 6), *_sockets()],
            ),
            Section("Is the connection of its spec usable?", _connectivity()),
        ],
        links=[ALL_RUNS, OBSERVABILITY],
        variables=[run_variable()],
        annotations=[
            _mark("Started", ONE.of("opslab_run_started_timestamp_seconds"), states.DONE),
            _mark("Ended", ONE.of("opslab_run_ended_timestamp_seconds"), states.WARN),
            _mark(
                "Kill switch activated",
                f"opslab_kill_switch_activated_timestamp_seconds{{{ONE.switches}}}",
                states.BAD,
            ),
        ],
    )


def _mark(name: str, timestamps: str, color: str) -> AnnotationQuery:
    """A mark on every panel at the time that is the value of a series; Grafana reads it in milliseconds."""
    return (
        AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(color)
        .target(Dataquery().ref_id("Anno").expr(f"{timestamps} * 1000").interval("10s").legend_format("{{run_id}}"))
        .use_value_for_time(True)
        .title_format(name)
        .text_format("{{run_id}}")
    )


def _progress() -> list[model.Panel]:
    status = docs_page("Statuses", "run/#statuses")
    bars = f"{ONE.of('opslab_run_bars_total')} / {SAME_RUN} ({ONE.of('opslab_run_bars_expected')} > 0)"
    duration = (
        f"(\n  {ONE.of('opslab_run_ended_timestamp_seconds')}\n"
        f"  or {SAME_RUN} {ONE.of('opslab_run_heartbeat_timestamp_seconds')}\n)\n"
        f"- {SAME_RUN} {ONE.of('opslab_run_started_timestamp_seconds')}"
    )
    acknowledge = docs_page("Acknowledge a run", "commands/#tc-run-acknowledge")
    return [
        state_number(
            Frame("Run State", "Present status of the run.", 4, height=4, links=(status, runbook("interrupted-run"))),
            states.RUN,
            "{{run_id}}",
            ONE.matchers,
        ),
        numbers(
            Frame("Run Duration", "From the start to the end, or to the last heartbeat.", 4, height=4, links=(status,)),
            units.Seconds,
            Query(duration, "{{run_id}}"),
            no_value="not started",
        ),
        numbers(
            Frame("Progress", "Bars received, of the bars that the spec asks for.", 4, height=4, links=(status,)),
            units.PercentUnit,
            Query(bars, "{{run_id}}"),
        ),
        numbers(
            Frame(
                "Acknowledged", "yes: alerts about the end of the run are settled.", 4, height=4, links=(acknowledge,)
            ),
            units.Short,
            Query(ONE.of("opslab_run_acknowledged"), "{{run_id}}"),
            mapping=states.YES_NO,
        ),
        state_number(
            Frame("Cause of a Failure", "What failed, in a failed run.", 4, height=4, links=(runbook("run-failed"),)),
            states.FAILURE,
            "{{run_id}}",
            ONE.matchers,
        ),
        numbers(
            Frame(
                "Run Readable", "no: a file of the run is damaged.", 4, height=4, links=(runbook("artifact-health"),)
            ),
            units.Short,
            Query(ONE.of("opslab_run_readable"), "{{run_id}}"),
            mapping=states.NO_IS_BAD,
        ),
    ]


def _identity() -> model.Panel:
    return rows(
        Frame(
            "Identity",
            "What the run is made of. Equal input digests give equal result digests; a paper run has none.",
            width=16,
            height=4,
            links=(docs_page("The two digests", "run/#the-two-digests"),),
        ),
        Query(ONE.of("opslab_run_info"), "{{run_id}}"),
        columns=[
            Column("mode", "Mode"),
            Column("strategy", "Strategy"),
            Column("dataset", "Dataset"),
            Column("instrument", "Instrument"),
            Column("venue", "Venue"),
            Column("risk_profile", "Risk profile"),
            Column("engine_version", "Engine"),
            Column("lab_version", "Lab"),
            Column("input_digest", "Input digest"),
            Column("result_digest", "Result digest"),
        ],
    )


def _warnings() -> model.Panel:
    link = docs_page("Warnings", "run/#warnings")
    return rows(
        Frame("Warnings", "Warnings of the ended run, with their counts.", width=8, height=4, links=(link,)),
        Query(ONE.of("opslab_run_warnings"), "{{code}}"),
        columns=[Column("code", "Warning"), Column("Value", "Count", unit=units.Short)],
    )


def _halt() -> list[model.Panel]:
    slow = runbook("halt-slow")
    return [
        numbers(
            Frame(
                "Halt Times",
                "Time from the activation of the kill switch until the gate was closed, until the venue had no open "
                "order, and until it had no position either.",
                width=12,
                height=5,
                links=(slow,),
            ),
            units.Seconds,
            Query(ONE.of("opslab_halt_seconds"), "{{phase}}"),
            limits=thresholds((0.5, states.WARN), (2.5, states.BAD)),
            no_value=NOT_HALTED,
        ),
        numbers(
            Frame("Flat after the Halt", "As the venue reported it.", 6, height=5, links=(runbook("kill-switch"),)),
            units.Short,
            Query(ONE.of("opslab_halt_flat"), "{{run_id}}"),
            mapping=states.NO_IS_BAD,
            no_value=NOT_HALTED,
        ),
        state_number(
            Frame("Halt Escalation", "Signal that was needed to end the engine.", 6, height=5, links=(slow,)),
            states.ESCALATION,
            "{{run_id}}",
            ONE.matchers,
            no_value=NOT_HALTED,
        ),
    ]


def _heartbeats() -> model.Panel:
    description = "Heartbeats of the node per second, about 1, and those that an engine dropped."
    return lines(
        Frame("Heartbeats", description, width=8, links=(runbook("heartbeat-lost"),)),
        units.CountsPerSecond,
        Query(f"rate({ONE.of('opslab_heartbeats_total')}{RATE})", "received"),
        Query(f"rate({ONE.of('opslab_heartbeats_dropped_total')}{RATE})", "dropped"),
    )


def _messages() -> list[model.Panel]:
    silent = runbook("feed-silent")
    return [
        lines(
            Frame("Feed Messages", "Market messages that the node received, per second.", 6, links=(silent,)),
            units.MessagesPerSecond,
            Query(f"rate({ONE.of('opslab_feed_messages_total')}{RATE})", "{{feed}}"),
        ),
        lines(
            Frame("Feed Changes", "Changes of each feed's state, since the start of the run.", 6, links=(silent,)),
            units.Short,
            Query(ONE.of("opslab_feed_changes_total"), "{{feed}}"),
        ),
    ]


def _strategy() -> list[model.Panel]:
    outcomes = docs_page("Orders by outcome", "run/#orders-by-outcome")
    counters = docs_page("Counters", "run/#counters")
    return [
        lines(
            Frame("Orders by Outcome", "Orders of the strategy, since the start of the run.", 8, links=(outcomes,)),
            units.Short,
            Query(ONE.of("opslab_orders_total"), "{{outcome}}"),
        ),
        lines(
            Frame("Bars, Actions and Fills", "Counts of the strategy since the start.", 8, links=(counters,)),
            units.Short,
            Query(ONE.of("opslab_run_bars_total"), "bars"),
            Query(ONE.of("opslab_strategy_actions_total"), "actions"),
            Query(ONE.of("opslab_fills_total"), "fills"),
        ),
        lines(
            Frame(
                "Open Orders and Position",
                "In the venue's account, sampled once a second; a position is negative when short.",
                width=8,
                links=(docs_page("Live values", "run/#live-values"),),
            ),
            units.Short,
            Query(ONE.of("opslab_open_orders"), "open orders"),
            Query(ONE.of("opslab_position_quantity"), "position"),
            floor_zero=False,
        ),
    ]


def _account() -> list[model.Panel]:
    mismatch = runbook("reconciliation-mismatch")
    return [
        lines(
            Frame("Reconciliations", "Comparisons by result, since the start of the run.", 6, links=(mismatch,)),
            units.Short,
            Query(ONE.of("opslab_reconciliations_total"), "{{state}}"),
        ),
        lines(
            Frame(
                "Age of the Account",
                "Time since the venue's last account snapshot, and since the last reconciliation.",
                width=6,
                links=(mismatch,),
            ),
            units.Seconds,
            Query(f"time() - {ONE.of('opslab_account_timestamp_seconds')}", "snapshot"),
            Query(f"time() - {ONE.of('opslab_reconciliation_timestamp_seconds')}", "reconciliation"),
            floor_zero=False,
        ),
    ]


def _engine() -> list[model.Panel]:
    queue = f"{ONE.of('opslab_message_queue_depth')}\nor {SAME_RUN} 0 * {ONE.of('opslab_gate_open')}"
    return [
        lines(
            Frame(
                "Message Queue",
                "Messages in the engine's queue, after it has reported more than 1,000; 0: it reports none.",
                width=6,
                links=(MONITORING,),
            ),
            units.Short,
            Query(queue, "{{run_id}}"),
        ),
        lines(
            Frame("Engine Memory", "Resident memory of the engine's process.", 6, links=(MONITORING,)),
            units.BytesIEC,
            Query(ONE.of("opslab_engine_memory_bytes"), "{{run_id}}"),
        ),
    ]


def _sockets() -> list[model.Panel]:
    silent = runbook("feed-silent")
    return [
        state_timeline(
            Frame("Socket State", "State of each socket of the engine's adapter.", 6, links=(silent,)),
            states.SOCKET,
            "{{socket}}",
            ONE.matchers,
        ),
        lines(
            Frame("Socket Changes", "Changes of each socket's state, since the start of the run.", 6, links=(silent,)),
            units.Short,
            Query(ONE.of("opslab_socket_changes_total"), "{{socket}}"),
        ),
    ]


def _connectivity() -> list[model.Panel]:
    probe = runbook("connectivity-probe-failed")
    readiness = docs_page("Connectivity", "connectivity/")
    return [
        state_number(
            Frame(
                "Connectivity Readiness",
                "State of the last check whether the environment variables that the spec names are set.",
                width=6,
                links=(readiness,),
            ),
            states.READINESS,
            "{{run_id}}",
            ONE.matchers,
            no_value=NOT_CHECKED,
        ),
        state_number(
            Frame("Connectivity Probe State", "State of the last probe of a loopback address.", 6, links=(probe,)),
            states.PROBE,
            "{{run_id}}",
            ONE.matchers,
            no_value=NOT_PROBED,
        ),
        numbers(
            Frame("Connectivity Probe Latency", "Duration of the last probe and its phases.", 6, links=(probe,)),
            units.Seconds,
            Query(ONE.of("opslab_probe_seconds"), "{{phase}}"),
            no_value=NOT_PROBED,
        ),
        numbers(
            Frame("Age of the Checks", "Time since the last readiness check and probe.", 6, links=(readiness,)),
            units.Seconds,
            Query(f"time() - {ONE.of('opslab_readiness_timestamp_seconds')}", "readiness"),
            Query(f"time() - {ONE.of('opslab_probe_timestamp_seconds')}", "probe"),
            no_value=NOT_CHECKED,
        ),
    ]
