"""Market messages of a paper run's node: maximum rate without growing lag, and its CPU cost.

Compared with a bare node with the same strategy, at the same venue.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import ROLES, START_SECONDS, MeasuringStrategy, Role, bare_node, cpu_seconds, paper_run
from benchmarks.process import MeasurementError
from benchmarks.table import AtLeast, AtMost, Row
from benchmarks.venue_feed import ARRIVED_SHARE, GROWTH_MS
from benchmarks.venue_process import TICKS, make_home, venue, venue_plan

RATES = (5_000, 10_000, 15_000, 20_000, 30_000, 40_000)
"""Requested rates, messages a second, up to the first that is not sustained."""
GOAL = 5_000
SECONDS = 20.0
TRIES = 2
"""Attempts at each rate: other load may disturb one."""
_A_TICK = 2
"""Messages: a trade and a quote."""


@dataclass(frozen=True, slots=True)
class FeedResult:
    requested_rate: float
    rate: float
    medians_ms: tuple[float, ...]
    """Median lag of each quarter of the time, from the venue's timestamp to the strategy."""
    p99_ms: float
    cpu_ms: dict[Role, float]
    """CPU time per 1,000 messages."""

    @property
    def sustained(self) -> bool:
        return (
            self.rate >= ARRIVED_SHARE * self.requested_rate and self.medians_ms[-1] <= self.medians_ms[0] + GROWTH_MS
        )


MeasureAtRate = Callable[[int], FeedResult]


def messages(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    numbers = count()
    lab = _find_limit(context, "paper run", lambda rate: _measure_lab(context, rate, f"messages-{next(numbers)}"))
    bare = _find_limit(context, "bare node", lambda rate: _bare(context, rate, f"messages-{next(numbers)}"))
    goal = lab[0]
    name = "paper-messages"
    at_goal = f"at {GOAL:,} msg/s"
    return [
        Row(name, "most, lag flat", "msg/s", (_best_rate(lab),), (_best_rate(bare),), (AtLeast(GOAL, of_ratio=False),)),
        Row(
            name,
            f"{at_goal}: lag of the last quarter, compared with the first",
            "ms",
            (goal.medians_ms[-1],),
            (goal.medians_ms[0],),
            (AtMost(goal.medians_ms[0] + GROWTH_MS, of_ratio=False),),
        ),
        Row(name, f"{at_goal}: p99 of the lag", "ms", (goal.p99_ms,), (bare[0].p99_ms,)),
        *(
            Row(
                name,
                f"{at_goal}: {role}'s cpu of 1,000 messages",
                "ms",
                (goal.cpu_ms[role],),
                (bare[0].cpu_ms[role],) if role in bare[0].cpu_ms else (),
            )
            for role in ROLES
        ),
    ]


def _best_rate(results: list[FeedResult]) -> float:
    return max((result.rate for result in results if result.sustained), default=0.0)


def _find_limit(context: BenchmarkContext, client_label: str, measure_at_rate: MeasureAtRate) -> list[FeedResult]:
    """Measure each rate, up to the first that is not sustained."""
    results: list[FeedResult] = []
    for rate in RATES:
        for _ in range(TRIES):
            result = measure_at_rate(rate)
            lags = " ".join(f"{lag:.1f}" for lag in result.medians_ms)
            cost = ", ".join(f"{role} {ms:.0f}" for role, ms in result.cpu_ms.items())
            context.note(
                f"{client_label} at {rate:,}: {result.rate:,.0f} msg/s, "
                f"lag by quarters {lags} ms, p99 {result.p99_ms:.1f}; "
                f"cpu ms of 1,000 messages: {cost}"
            )
            if result.sustained:
                break
        results.append(result)
        if not result.sustained:
            break
    return results


def _measure_lab(context: BenchmarkContext, rate: int, run_id: str) -> FeedResult:
    measuring = MeasuringStrategy("Counts", context.work / f"{run_id}.jsonl", {"seconds": SECONDS})
    measuring.out.unlink(missing_ok=True)
    with paper_run(context, run_id, measuring, speed=_speed(rate), ticks_per_minute=TICKS) as run:
        run.time_of_first("paper_heartbeat", START_SECONDS)
        before = {role: cpu_seconds(pid) for role, pid in run.processes().items()}
        lags = run.wait_for_report(measuring, "lags", SECONDS + START_SECONDS)
        after = {role: cpu_seconds(pid) for role, pid in run.processes().items()}
        run.interrupt()
        run.wait()
    return _condition(rate, lags, {role: after[role] - before[role] for role in after})


def _bare(context: BenchmarkContext, rate: int, name: str) -> FeedResult:
    measuring = MeasuringStrategy("Counts", context.work, {"seconds": SECONDS})
    plan = venue_plan(context, name, speed=_speed(rate))
    with venue(context, plan) as (served, endpoints):
        before = served.cpu_seconds_so_far()
        with bare_node(context, endpoints, measuring) as node:
            lags = node.wait_for(lambda line: "lags" in line, SECONDS + START_SECONDS)["lags"]
            cpu_seconds_used: dict[Role, float] = {
                "venue": served.cpu_seconds_so_far() - before,
                "engine": node.cpu_seconds_so_far(),
            }
    return _condition(rate, lags, cpu_seconds_used)


def _condition(rate: int, lags: dict[str, Any], cpu_seconds_used: dict[Role, float]) -> FeedResult:
    if not lags["messages"] or None in lags["medians_ms"]:
        raise MeasurementError(f"the node received nothing for a while: {json.dumps(lags)}")
    all_messages = lags["messages"] * (lags["seconds"] + 1) / lags["seconds"]  # including the warm-up
    cost = {role: seconds / all_messages * 1e6 for role, seconds in cpu_seconds_used.items()}
    return FeedResult(rate, lags["messages"] / lags["seconds"], tuple(lags["medians_ms"]), lags["p99_ms"], cost)


def _speed(rate: int) -> float:
    return rate * 60 / _A_TICK / TICKS
