"""Panels that both dashboards have, of all shown runs or of one."""

from dataclasses import dataclass

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from deploy.observability.source.dashboards import states
from deploy.observability.source.dashboards.links import Link, docs_page, runbook
from deploy.observability.source.dashboards.panels import (
    ANY_IS_WARNING,
    ZERO_IS_GOOD,
    Frame,
    Query,
    lines,
    numbers,
    state_timeline,
    timeline,
)

SAME_RUN = "on (instance, run_id)"
RATE = "[$__rate_interval]"
MONITORING = docs_page("Monitoring", "paper/#monitoring")


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs of a dashboard."""

    matchers: str
    """Of a selector of series with the label `run_id`."""
    switches: str
    """The same for kill switches, of which the one of all runs has an empty `run_id`."""
    one: bool
    """Whether the dashboard is that of one run, so that legends need not name it."""

    def of(self, family: str, *more: str) -> str:
        """The selector of a family. more: more matchers."""
        matchers = ", ".join(each for each in (self.matchers, *more) if each)
        return f"{family}{{{matchers}}}" if matchers else family

    def legend(self, text: str = "") -> str:
        """text: of the labels besides `run_id`."""
        if self.one:
            return text or "{{run_id}}"
        return f"{{{{run_id}}}} {text}".rstrip()

    def frame(self, title: str, description: str, width: int, *links: Link) -> Frame:
        """Of a panel whose series are those of runs."""
        return Frame(title, description, width, links=links, to_run=not self.one)


ALL = Scope(matchers="", switches="", one=False)
ONE = Scope(matchers='run_id="$run_id"', switches='run_id=~"$run_id|"', one=True)


def run_phase(scope: Scope, width: int) -> model.Panel:
    frame = scope.frame("Run Phase", "Phase of a running paper run.", width, runbook("restart-recovery"))
    return state_timeline(frame, states.PHASE, scope.legend(), scope.matchers)


def kill_switch(scope: Scope, width: int) -> model.Panel:
    frame = Frame(
        "Kill Switch State",
        "State of the kill switch of all runs, and of a run's own. Active: no order of a strategy is sent.",
        width,
        links=(runbook("kill-switch"), runbook("safety-gate")),
    )
    return state_timeline(frame, states.KILL_SWITCH, "{{scope}} {{run_id}}", scope.switches)


def trading_gate(scope: Scope, width: int) -> model.Panel:
    description = "Gate of a running paper run. Closed: the node denies every order of the strategy."
    frame = scope.frame("Trading Gate", description, width, runbook("kill-switch"))
    return timeline(frame, states.GATE, Query(scope.of("opslab_gate_open"), scope.legend()))


def gated_orders(scope: Scope, width: int) -> model.Panel:
    description = "Requests of a strategy that a closed gate denied, since the start of the run."
    frame = scope.frame("Orders Denied by the Gate", description, width, runbook("kill-switch"))
    return lines(frame, units.Short, Query(scope.of("opslab_orders_gated_total"), scope.legend()))


def feed_state(scope: Scope, width: int) -> model.Panel:
    frame = scope.frame("Feed State", "State of each feed of a running paper run.", width, runbook("feed-silent"))
    return state_timeline(frame, states.FEED, scope.legend("{{feed}}"), scope.matchers)


def feed_age(scope: Scope, width: int) -> model.Panel:
    frame = scope.frame("Feed Age", "Time since the last message of each feed.", width, runbook("feed-silent"))
    last = scope.of("opslab_feed_last_message_timestamp_seconds")
    return lines(frame, units.Seconds, Query(f"time() - {last}", scope.legend("{{feed}}")), floor_zero=False)


def heartbeat_age(scope: Scope, width: int) -> model.Panel:
    """Of all runs: only of those that are running."""
    age = f"time() - {scope.of('opslab_run_heartbeat_timestamp_seconds')}"
    if scope.one:
        description = (
            "Time since the last heartbeat of the run's owner, which writes one each second. It grows after the end."
        )
    else:
        description = "Time since the last heartbeat of each running run's owner, which writes one each second."
        age += f'\nand {SAME_RUN} opslab_run_state{{state="running"}} == 1'
    frame = scope.frame("Heartbeat Age", description, width, runbook("heartbeat-lost"))
    return lines(frame, units.Seconds, Query(age, scope.legend()), floor_zero=False)


def reconciliation(scope: Scope, width: int) -> model.Panel:
    description = "Result of the last comparison of a node's account with the account of its venue."
    frame = scope.frame("Reconciliation State", description, width, runbook("reconciliation-mismatch"))
    return state_timeline(frame, states.RECONCILIATION, scope.legend(), scope.matchers)


def unexpected_orders(scope: Scope, width: int) -> model.Panel:
    """Of all runs: their sums."""
    families = (
        ("opslab_external_orders_total", "external orders"),
        ("opslab_forced_closes_total", "forced closes"),
        ("opslab_margin_calls_total", "margin calls"),
        ("opslab_orders_lost_total", "lost orders"),
    )
    selectors = [(scope.of(family) if scope.one else f"sum({family})", legend) for family, legend in families]
    frame = Frame(
        "Unexpected Orders",
        "Orders in the account that are not the run's, positions that the exchange closed by force, margin calls, and "
        "submitted orders that are missing in the venue's ledger (known at the end).",
        width,
        links=(runbook("foreign-order"), runbook("forced-close")),
    )
    return numbers(frame, units.Short, *(Query(*each) for each in selectors), limits=ZERO_IS_GOOD)


def event_lag(scope: Scope, width: int) -> model.Panel:
    description = "Longest time within a second from the receipt of a market message to its handler in the strategy."
    frame = scope.frame("Event Lag", description, width, MONITORING)
    return lines(frame, units.Seconds, Query(scope.of("opslab_event_lag_seconds"), scope.legend()))


def round_trips(scope: Scope, width: int) -> model.Panel:
    labels = "instance, run_id, le"
    buckets = f"sum by ({labels}) (rate({scope.of('opslab_order_round_trip_seconds_bucket')}{RATE}))"
    description = "Time from the creation of an order to the receipt of its acceptance: median and 99th percentile."
    frame = scope.frame("Order Round Trip", description, width, docs_page("Paper results", "paper-results/"))
    quantiles = ((0.5, "median"), (0.99, "99th percentile"))
    queries = [Query(f"histogram_quantile({share}, {buckets})", scope.legend(text)) for share, text in quantiles]
    return lines(frame, units.Seconds, *queries)


def losses(scope: Scope, width: int) -> model.Panel:
    families = (
        ("opslab_engine_losses_total", "engine losses"),
        ("opslab_engine_restarts_total", "engine restarts"),
        ("opslab_venue_losses_total", "venue losses"),
        ("opslab_ledger_failed_writes_total", "failed ledger writes"),
    )
    description = (
        "Engines that ended without a request, restarts of engines, losses of the venue, and transactions that the "
        "venue could not write, since the start of the run."
    )
    frame = scope.frame("Losses and Restarts", description, width, runbook("restart-recovery"))
    return lines(frame, units.Short, *(Query(scope.of(family), scope.legend(text)) for family, text in families))


def faults(scope: Scope, width: int) -> model.Panel:
    description = "Faults that were started in the venue of a paper run, and those that are active."
    frame = scope.frame("Venue Faults", description, width, docs_page("Venue faults", "venue-faults/"))
    started = Query(scope.of("opslab_faults_injected_total"), scope.legend("started"))
    active = Query(scope.of("opslab_faults_active"), scope.legend("active"))
    return lines(frame, units.Short, started, active, limits=ANY_IS_WARNING)
