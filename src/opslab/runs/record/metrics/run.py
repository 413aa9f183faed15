"""Metrics of each shown run, in either mode."""

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from opslab.metrics.family import Family, Sample
from opslab.model.run.live_status import LiveStatus
from opslab.model.run.metadata import Failure, RunMetadata, ScenarioCounters
from opslab.model.run.run_counters import OrderCounters
from opslab.runs.record.selection import STATUSES

INFO = Family(
    "opslab_run_info",
    "info",
    "What the run was made of; always 1.",
    (
        "run_id",
        "mode",
        "strategy",
        "dataset",
        "instrument",
        "venue",
        "risk_profile",
        "engine_version",
        "lab_version",
        "input_digest",
        "result_digest",
    ),
)
READABLE = Family(
    "opslab_run_readable",
    "gauge",
    "1: the run's files can be read. 0: they cannot; it has no other series.",
    ("run_id",),
)
STATE = Family("opslab_run_state", "gauge", "1 for the status of the run, 0 for the others.", ("run_id", "state"))
ACKNOWLEDGED = Family(
    "opslab_run_acknowledged", "gauge", "1: the end of the run was acknowledged, with tc run acknowledge.", ("run_id",)
)
INITIALIZED_AT = Family(
    "opslab_run_initialized_timestamp_seconds", "gauge", "When the run was initialized.", ("run_id",)
)
STARTED_AT = Family("opslab_run_started_timestamp_seconds", "gauge", "When the run started.", ("run_id",))
ENDED_AT = Family("opslab_run_ended_timestamp_seconds", "gauge", "When the run ended.", ("run_id",))
HEARTBEAT_AT = Family(
    "opslab_run_heartbeat_timestamp_seconds",
    "gauge",
    "Last heartbeat of the run's owner, once a second. It stays after the owner died.",
    ("run_id",),
)
BARS = Family("opslab_run_bars_total", "counter", "Bars that the strategy received.", ("run_id",))
BARS_EXPECTED = Family("opslab_run_bars_expected", "gauge", "Bars of the run by its spec.", ("run_id",))
WARNINGS = Family("opslab_run_warnings", "gauge", "Warnings of an ended run: their counts by code.", ("run_id", "code"))
FAILURE = Family(
    "opslab_run_failure", "gauge", "1 for the kind of cause of a failed run, 0 for the others.", ("run_id", "kind")
)
ACTIONS = Family("opslab_strategy_actions_total", "counter", "Deterministic actions of a scenario.", ("run_id",))
ORDERS = Family(
    "opslab_orders_total",
    "counter",
    "Orders of the strategy by outcome. An order is counted as submitted and, once it has ended, under its outcome.",
    ("run_id", "outcome"),
)
FILLS = Family("opslab_fills_total", "counter", "Fills of the strategy's orders.", ("run_id",))

FAMILIES = (
    INFO, READABLE, STATE, ACKNOWLEDGED, INITIALIZED_AT, STARTED_AT, ENDED_AT, HEARTBEAT_AT,
    BARS, BARS_EXPECTED, WARNINGS, FAILURE, ACTIONS, ORDERS, FILLS,
)  # fmt: skip

OUTCOMES = ("submitted", "denied", "rejected", "canceled", "expired", "filled")
_FAILURE_KINDS: tuple[str, ...] = get_args(Failure.model_fields["kind"].annotation)


def run_samples(run: RunMetadata, live: LiveStatus | None, is_live: bool) -> Iterator[Sample]:
    """live: the status file, also of a dead owner. is_live: whether the owner lives."""
    run_id, metrics = run.run_id, run.metrics
    yield _info(run)
    yield READABLE.sample(1, run_id)
    yield from STATE.states(STATUSES, run.status, run_id)
    yield ACKNOWLEDGED.sample(run.acknowledged is not None, run_id)
    yield from INITIALIZED_AT.at(run.initialized_at, run_id)
    yield from STARTED_AT.at(run.started_at, run_id)
    yield from ENDED_AT.at(run.ended_at, run_id)
    yield from HEARTBEAT_AT.at(live.heartbeat_at if live else None, run_id)
    if run.failure is not None:
        yield from FAILURE.states(_FAILURE_KINDS, run.failure.kind, run_id)
    if metrics is not None:
        orders = run.orders or _orders_of(metrics)
        yield from _progress(run_id, metrics.bars_seen, metrics.deterministic_action_triggered, orders)
    elif live is not None and is_live:
        yield from _progress(run_id, live.bars_seen, live.actions, live.orders)
    if is_live and live is not None:
        yield BARS_EXPECTED.sample(live.bars_total, run_id)
    elif run.dataset is not None:
        yield BARS_EXPECTED.sample(run.paper.bars_expected if run.paper else run.dataset.rows, run_id)
    for code, count in _warning_counts(run).items():
        yield WARNINGS.sample(count, run_id, code)


def unreadable_samples(run_id: str) -> Iterator[Sample]:
    yield READABLE.sample(0, run_id)


def _info(run: RunMetadata) -> Sample:
    return INFO.sample(
        1,
        run.run_id,
        run.mode,
        run.strategy_title,
        run.dataset.name if run.dataset else "",
        run.instrument,
        run.venue,
        run.risk_profile,
        run.identity.engine_version if run.identity else "",
        run.lab_version,
        run.input_digest or "",
        run.result_digest or "",
    )


def _progress(run_id: str, bars: int, actions: int, orders: OrderCounters) -> Iterator[Sample]:
    yield BARS.sample(bars, run_id)
    yield ACTIONS.sample(actions, run_id)
    for outcome in OUTCOMES:
        yield ORDERS.sample(getattr(orders, outcome), run_id, outcome)
    yield FILLS.sample(orders.fills, run_id)


def _orders_of(metrics: ScenarioCounters) -> OrderCounters:
    """Of a run without counters by outcome: as far as its metrics have them."""
    return OrderCounters(
        submitted=metrics.orders_submitted,
        denied=metrics.orders_denied,
        rejected=metrics.orders_rejected,
        canceled=metrics.orders_canceled,
        fills=metrics.fills_count,
    )


def _warning_counts(run: RunMetadata) -> Counter[str]:
    counts: Counter[str] = Counter()
    for warning in run.warnings:
        counts[warning.code] += warning.count
    return counts
