"""Order latency in a paper run, with the lab's guard, monitor and journal, compared with a bare node."""

from typing import Any

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import MeasuringStrategy, bare_node, paper_run
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_plan

ORDERS = 500
RATE = 18
"""Orders a second: the adapter allows 20."""
REPEAT = 2
SPEED = 60
TICKS = 30
SLACK_SECONDS = 60.0
P50 = 2.5
"""Goal of the ratio: the yardstick has one process less on two processors, and syncs only the ledger to disk."""
_PERCENT = (50, 99)


def orders(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    lab: list[dict[str, list[float]]] = []
    bare: list[dict[str, list[float]]] = []
    for number in range(context.repeat or REPEAT):
        lab.append(_measure_lab(context, number))
        bare.append(_bare(context, number))
    return [
        Row(
            "paper-orders",
            f"order to {event}: p{percent}",
            "ms",
            tuple(_percentile(times[event], percent) for times in lab),
            tuple(_percentile(times[event], percent) for times in bare),
            (AtMost(P50),) if percent == _PERCENT[0] else (),
        )
        for event in ("accepted", "filled")
        for percent in _PERCENT
    ]


def _measure_lab(context: BenchmarkContext, number: int) -> dict[str, list[float]]:
    measuring = MeasuringStrategy("Paced", context.work / f"orders-{number}.jsonl", {"orders": ORDERS, "rate": RATE})
    measuring.out.unlink(missing_ok=True)
    with paper_run(context, f"orders-{number}", measuring, speed=SPEED, ticks_per_minute=TICKS) as run:
        latencies: dict[str, list[float]] = run.wait_for_report(measuring, "orders", ORDERS / RATE + SLACK_SECONDS)
        run.interrupt()
        run.wait()
        return latencies


def _bare(context: BenchmarkContext, number: int) -> dict[str, list[float]]:
    measuring = MeasuringStrategy("Paced", context.work, {"orders": ORDERS, "rate": RATE})
    plan = venue_plan(context, f"orders-{number}", speed=SPEED, ticks=TICKS)
    with venue(context, plan) as (_, endpoints), bare_node(context, endpoints, measuring) as node:
        line: dict[str, Any] = node.wait_for(lambda line: "orders" in line, ORDERS / RATE + SLACK_SECONDS)
        latencies: dict[str, list[float]] = line["orders"]
        return latencies


def _percentile(times: list[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]
