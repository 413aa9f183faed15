"""Market messages from the venue to the real engine and to a plain client: rate and lag.

Compared with a bare server that loops over the same strings, encoded in advance.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.context import BenchmarkContext, document
from benchmarks.process import MeasurementError, run
from benchmarks.table import AtLeast, AtMost, Row
from benchmarks.venue_process import ROOT, TICKS, Running, bare_server, make_home, program, venue, venue_plan

RATES = (5_000, 10_000, 20_000, 40_000, 50_000)
"""Requested rates, messages a second sent by the clock, up to the first that is not sustained."""
GOAL = 5_000
SECONDS = 20.0
FULL_SECONDS = 8.0
"""Measuring time at full speed."""
PAIRS = 2
GROWTH_MS = 5.0
"""Maximum growth of the median lag from the first to the last quarter."""
ARRIVED_SHARE = 0.97
"""Required share of the requested rate."""
TRIES = 2
"""Attempts at each rate: other load may disturb one."""
_A_TICK = 2
"""Messages: a trade and a quote."""
_RECORDED_SECONDS = 2.0

Serve = Callable[[float], AbstractContextManager[tuple[Running, Path]]]


@dataclass(frozen=True, slots=True)
class FeedResult:
    """Counts of a client, at a requested rate or at full speed (0)."""

    requested_rate: float
    rate: float
    medians_ms: tuple[float, ...]
    p99_ms: float
    server_ms: float
    """CPU time of the server per 1,000 messages."""

    @property
    def sustained(self) -> bool:
        return (
            self.rate >= ARRIVED_SHARE * self.requested_rate and self.medians_ms[-1] <= self.medians_ms[0] + GROWTH_MS
        )


def messages(context: BenchmarkContext) -> list[Row]:
    """Messages to the engine: a live node with its own adapter, and a counting strategy."""
    return _rows(context, "feed_node", "venue-messages", "engine")


def messages_plain(context: BenchmarkContext) -> list[Row]:
    return _rows(context, "feed_client", "venue-messages-plain", "plain client")


def _rows(context: BenchmarkContext, client: str, benchmark: str, client_label: str) -> list[Row]:
    make_home(context)
    names = iter(range(1_000_000))

    def lab(rate: float) -> AbstractContextManager[tuple[Running, Path]]:
        speed = rate * 60 / _A_TICK / TICKS if rate else None
        return venue(context, venue_plan(context, f"feed-{next(names)}", speed=speed))

    recorded = context.work / "recorded.txt"
    with lab(GOAL) as (_, endpoints):
        run(program(context, "feed_client", endpoints, str(_RECORDED_SECONDS), recorded), ROOT)

    def yardstick(_rate: float) -> AbstractContextManager[tuple[Running, Path]]:
        return bare_server(context, "bare_feed", recorded)

    results = _find_limit(context, client, lab)
    goal = results[0]
    full = [(_at_full_speed(context, client, lab), _at_full_speed(context, client, yardstick)) for _ in range(PAIRS)]
    best = max((result.rate for result in results if result.sustained), default=0.0)
    at_goal = f"{client_label} at {GOAL:,} msg/s"
    return [
        Row(benchmark, f"{client_label}: most, lag flat", "msg/s", (best,), (), (AtLeast(GOAL, of_ratio=False),)),
        Row(
            benchmark,
            f"{at_goal}: lag of the last quarter, compared with the first",
            "ms",
            (goal.medians_ms[-1],),
            (goal.medians_ms[0],),
            (AtMost(goal.medians_ms[0] + GROWTH_MS, of_ratio=False),),
        ),
        Row(benchmark, f"{at_goal}: p99 of the lag", "ms", (goal.p99_ms,), ()),
        Row(benchmark, f"{at_goal}: cpu of 1,000 messages", "ms", (goal.server_ms,), ()),
        Row(
            benchmark,
            f"{client_label}, full speed",
            "msg/s",
            tuple(pair[0].rate for pair in full),
            tuple(pair[1].rate for pair in full),
            (AtLeast(0.33),),
        ),
        Row(
            benchmark,
            f"{client_label}, full speed: cpu of 1,000 messages",
            "ms",
            tuple(pair[0].server_ms for pair in full),
            tuple(pair[1].server_ms for pair in full),
        ),
    ]


def _find_limit(context: BenchmarkContext, client: str, lab: Serve) -> list[FeedResult]:
    """Measure each rate, up to the first that is not sustained."""
    results: list[FeedResult] = []
    for rate in RATES:
        for _ in range(TRIES):
            result = _measure(context, client, lab, rate, SECONDS)
            lags = " ".join(f"{lag:.1f}" for lag in result.medians_ms)
            context.note(
                f"{client} at {rate:,}: {result.rate:,.0f} msg/s, lag by quarters {lags} ms, p99 {result.p99_ms:.1f}"
            )
            if result.sustained:
                break
        results.append(result)
        if not result.sustained:
            break
    return results


def _at_full_speed(context: BenchmarkContext, client: str, serve: Serve) -> FeedResult:
    return _measure(context, client, serve, 0, FULL_SECONDS)


def _measure(context: BenchmarkContext, client: str, serve: Serve, rate: float, seconds: float) -> FeedResult:
    with serve(rate) as (server, endpoints):
        before = server.cpu_seconds_so_far()
        counted: dict[str, Any] = document(run(program(context, client, endpoints, str(seconds)), ROOT))
        cpu_seconds_used = server.cpu_seconds_so_far() - before
    medians = counted["medians_ms"]
    if not counted["messages"] or None in medians:
        raise MeasurementError(f"{client} received nothing for a while: {json.dumps(counted)}")
    all_messages = counted["messages"] * (counted["seconds"] + 1) / counted["seconds"]  # including the warm-up
    return FeedResult(
        rate,
        counted["messages"] / counted["seconds"],
        tuple(medians),
        counted["p99_ms"],
        cpu_seconds_used / all_messages * 1e6,
    )
