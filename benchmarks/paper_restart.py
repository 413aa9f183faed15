"""How soon a killed engine is replaced by one that knows its orders and position: against a bare node started anew."""

import os
import signal
import time

from benchmarks.paper_process import START_SECONDS, Own, bare_node, paper_run
from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_plan

KILLS = 10
BARE_REPEAT = 5
ORDERS = 20
SPEED = 60
TICKS = 30
CALM_SECONDS = 1.0
"""Between an engine that is reconciled and its end."""
RATIO = 3.0


def restart(scene: Scene) -> list[Row]:
    make_home(scene)
    ours = _ours(scene, scene.repeat or KILLS)
    bare = tuple(_bare(scene, number) for number in range(scene.repeat or BARE_REPEAT))
    lost, beat, known, reconciled = zip(*ours, strict=True)
    what = f"kill -9 of an engine with a position and {ORDERS} orders"
    name = "paper-restart"
    return [
        Row(name, f"{what}, to its loss in the journal", "s", lost, ()),
        Row(name, f"{what}, to the next one's strategy with its orders", "s", known, bare, (AtMost(RATIO),)),
        Row(name, f"{what}, to the next one's first beat", "s", beat, ()),
        Row(name, f"{what}, to reconciled with the venue", "s", reconciled, ()),
    ]


def _ours(scene: Scene, kills: int) -> list[tuple[float, float, float, float]]:
    """In one run: from each kill to the loss, the first beat, the strategy's start and the reconciliation."""
    own = Own("Resting", scene.work / "restart.jsonl", {"orders": ORDERS})
    own.out.unlink(missing_ok=True)
    paper = {"speed": SPEED, "ticks_per_minute": TICKS, "restart": "on_failure", "max_restarts": kills}
    found: list[tuple[float, float, float, float]] = []
    with paper_run(scene, "restart", own, **paper) as run:
        run.told(own, "ready", START_SECONDS)
        for _ in range(kills):
            time.sleep(CALM_SECONDS)
            at = time.time()
            os.kill(run.processes()["engine"], signal.SIGKILL)
            lost = run.first("engine_lost", since=at)
            reconciled = run.first(
                "reconciliation_checked",
                wanted=lambda payload: payload["occasion"] == "startup" and payload["state"] == "ok",
                since=at,
            )
            beat = run.first("paper_heartbeat", since=lost)
            if run.told(own, "orders", START_SECONDS) != ORDERS:
                raise CouldNotMeasure(f"the new engine's strategy did not find its {ORDERS} orders")
            started = run.told(own, "started", START_SECONDS)
            found.append((lost - at, beat - at, started - at, reconciled - at))
        run.interrupt()
        run.wait()
    return found


def _bare(scene: Scene, number: int) -> float:
    """A node that is killed, and another one started by hand, until its strategy is."""
    own = Own("Resting", scene.work, {"orders": ORDERS})
    plan = venue_plan(scene, f"restart-{number}", speed=SPEED, ticks=TICKS)
    with venue(scene, plan) as (_, endpoints):
        with bare_node(scene, endpoints, own) as node:
            node.first(lambda line: "ready" in line, START_SECONDS)
            os.kill(node.pid, signal.SIGKILL)
        with bare_node(scene, endpoints, own) as node:
            if node.first(lambda line: "started" in line, START_SECONDS)["orders"] != ORDERS:
                raise CouldNotMeasure(f"the second node's strategy did not find its {ORDERS} orders")
            return node.ready_seconds
