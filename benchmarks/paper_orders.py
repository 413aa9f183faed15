"""The way of an order in a paper run, with the lab's guard, monitor and journal about it, against a bare node's."""

from typing import Any

from benchmarks.paper_process import Own, bare_node, paper_run
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_plan

ORDERS = 500
RATE = 18
"""Orders a second: the adapter lets 20 through."""
REPEAT = 2
SPEED = 60
TICKS = 30
SLACK_SECONDS = 60.0
P50 = 2.5
"""The yardstick shares two processors with one process less, and its disk syncs nothing but the ledger."""
_PERCENT = (50, 99)


def orders(scene: Scene) -> list[Row]:
    make_home(scene)
    ours: list[dict[str, list[float]]] = []
    bare: list[dict[str, list[float]]] = []
    for number in range(scene.repeat or REPEAT):
        ours.append(_ours(scene, number))
        bare.append(_bare(scene, number))
    return [
        Row(
            "paper-orders",
            f"order to {event}: p{percent}",
            "ms",
            tuple(_at(one[event], percent) for one in ours),
            tuple(_at(one[event], percent) for one in bare),
            (AtMost(P50),) if percent == _PERCENT[0] else (),
        )
        for event in ("accepted", "filled")
        for percent in _PERCENT
    ]


def _ours(scene: Scene, number: int) -> dict[str, list[float]]:
    own = Own("Paced", scene.work / f"orders-{number}.jsonl", {"orders": ORDERS, "rate": RATE})
    own.out.unlink(missing_ok=True)
    with paper_run(scene, f"orders-{number}", own, speed=SPEED, ticks_per_minute=TICKS) as run:
        found: dict[str, list[float]] = run.told(own, "orders", ORDERS / RATE + SLACK_SECONDS)
        run.interrupt()
        run.wait()
        return found


def _bare(scene: Scene, number: int) -> dict[str, list[float]]:
    own = Own("Paced", scene.work, {"orders": ORDERS, "rate": RATE})
    plan = venue_plan(scene, f"orders-{number}", speed=SPEED, ticks=TICKS)
    with venue(scene, plan) as (_, endpoints), bare_node(scene, endpoints, own) as node:
        line: dict[str, Any] = node.first(lambda line: "orders" in line, ORDERS / RATE + SLACK_SECONDS)
        found: dict[str, list[float]] = line["orders"]
        return found


def _at(times: list[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]
