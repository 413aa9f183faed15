"""Time from the kill of an engine to a new one with its orders and position, compared with a restarted bare node."""

import os
import signal
import time

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import START_SECONDS, MeasuringStrategy, bare_node, paper_run
from benchmarks.process import MeasurementError
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_plan

KILLS = 10
BARE_REPEAT = 5
ORDERS = 20
SPEED = 60
TICKS = 30
SETTLE_SECONDS = 1.0
"""Between the reconciliation of an engine and its kill."""
RATIO = 3.0


def restart(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    lab = _measure_lab(context, context.repeat or KILLS)
    bare = tuple(_bare(context, number) for number in range(context.repeat or BARE_REPEAT))
    loss, heartbeat, recovered, reconciled = zip(*lab, strict=True)
    label = f"kill -9 of an engine with a position and {ORDERS} orders"
    name = "paper-restart"
    return [
        Row(name, f"{label}, to its loss in the journal", "s", loss, ()),
        Row(name, f"{label}, to the next engine's strategy with its orders", "s", recovered, bare, (AtMost(RATIO),)),
        Row(name, f"{label}, to the next engine's first heartbeat", "s", heartbeat, ()),
        Row(name, f"{label}, to reconciled with the venue", "s", reconciled, ()),
    ]


def _measure_lab(context: BenchmarkContext, kills: int) -> list[tuple[float, float, float, float]]:
    """Times in one run from each kill to the loss, the first heartbeat, the strategy's start and the reconciliation."""
    measuring = MeasuringStrategy("Resting", context.work / "restart.jsonl", {"orders": ORDERS})
    measuring.out.unlink(missing_ok=True)
    paper = {"speed": SPEED, "ticks_per_minute": TICKS, "restart": "on_failure", "max_restarts": kills}
    samples: list[tuple[float, float, float, float]] = []
    with paper_run(context, "restart", measuring, **paper) as run:
        run.wait_for_report(measuring, "ready", START_SECONDS)
        for _ in range(kills):
            time.sleep(SETTLE_SECONDS)
            at = time.time()
            os.kill(run.processes()["engine"], signal.SIGKILL)
            loss = run.time_of_first("engine_lost", since=at)
            reconciled = run.time_of_first(
                "reconciliation_checked",
                matches=lambda payload: payload["occasion"] == "startup" and payload["state"] == "ok",
                since=at,
            )
            heartbeat = run.time_of_first("paper_heartbeat", since=loss)
            if run.wait_for_report(measuring, "orders", START_SECONDS) != ORDERS:
                raise MeasurementError(f"the new engine's strategy did not find its {ORDERS} orders")
            started = run.wait_for_report(measuring, "started", START_SECONDS)
            samples.append((loss - at, heartbeat - at, started - at, reconciled - at))
        run.interrupt()
        run.wait()
    return samples


def _bare(context: BenchmarkContext, number: int) -> float:
    """Time from the start of a second node, after a kill of the first, to the start of its strategy."""
    measuring = MeasuringStrategy("Resting", context.work, {"orders": ORDERS})
    plan = venue_plan(context, f"restart-{number}", speed=SPEED, ticks=TICKS)
    with venue(context, plan) as (_, endpoints):
        with bare_node(context, endpoints, measuring) as node:
            node.wait_for(lambda line: "ready" in line, START_SECONDS)
            os.kill(node.pid, signal.SIGKILL)
        with bare_node(context, endpoints, measuring) as node:
            if node.wait_for(lambda line: "started" in line, START_SECONDS)["orders"] != ORDERS:
                raise MeasurementError(f"the second node's strategy did not find its {ORDERS} orders")
            return node.ready_seconds
