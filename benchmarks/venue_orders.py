"""The way of an order: to the venue and back, as the real engine and as a raw client meet it.

Against a bare server that answers a constant, once as many bytes as a transaction has are appended and on disk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.process import CouldNotMeasure, run
from benchmarks.scene import Scene, document
from benchmarks.table import AtMost, Goal, Row
from benchmarks.venue_process import ROOT, bare, make_home, program, running, venue, venue_home, venue_plan

ORDERS = 2_000
PACED = 18
"""Orders a second of the engine: its adapter lets 20 through."""
RAW = 4.0
"""Of the bare server's p50. The rest is what an exchange does: signature, filters, margin, matching, three messages."""
ENGINE = AtMost(10.0, of_ratio=False)
"""ms, of p50: the engine's own way is most of it."""
SLACK_SECONDS = 20.0
SPEED = 60.0
"""The market goes on meanwhile."""
TICKS = 30
"""The venue's own default: a quote and a trade every 33 ms at this speed."""
_FIRST = 20
"""Orders that say how large a transaction is."""
Way = Literal["socket", "http"]


def by_socket(scene: Scene) -> list[Row]:
    return _rows(scene, "socket", "venue-orders-socket")


def by_http(scene: Scene) -> list[Row]:
    return _rows(scene, "http", "venue-orders-http")


def _rows(scene: Scene, way: Way, benchmark: str) -> list[Row]:
    make_home(scene)
    with venue(scene, _plan(scene, "raw", unlimited=True)) as (_, ours):
        size = _transaction_bytes(scene, "raw", way, ours)
        with bare(scene, "bare_orders", scene.work / "appended.bin", str(size)) as (_, other):
            raw = document(run(program(scene, "order_times", way, str(ORDERS), "0", ours, other), ROOT))
            engine, beside = _engine(scene, way, other)
    by = "trading socket" if way == "socket" else "HTTP"
    return [
        *_both(benchmark, f"raw client by {by}, order to answer", raw["ours"], raw["other"], AtMost(RAW)),
        *_both(benchmark, f"engine by {by}, order to fill", engine["filled"], beside["ours"], ENGINE),
    ]


def _engine(scene: Scene, way: Way, other: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine's orders at a steady pace, and meanwhile a raw client's at the same pace at a bare server."""
    paced = (way, str(ORDERS), str(PACED))
    with (
        venue(scene, _plan(scene, "engine", unlimited=False)) as (_, endpoints),
        running(program(scene, "order_times", *paced, other), scene.work / "order_times.err") as beside,
    ):
        found = document(run(program(scene, "order_node", *paced, endpoints), ROOT))
        if len(found["filled"]) != ORDERS:
            raise CouldNotMeasure(f"the engine saw {len(found['filled'])} of {ORDERS} orders filled")
        return found, beside.first(lambda line: "ours" in line, SLACK_SECONDS)


def _both(benchmark: str, what: str, ours: Sequence[float], other: Sequence[float], goal: Goal) -> list[Row]:
    return [
        Row(benchmark, f"{what}: p50", "ms", (_at(ours, 50),), (_at(other, 50),), (goal,)),
        Row(benchmark, f"{what}: p99", "ms", (_at(ours, 99),), (_at(other, 99),)),
    ]


def _at(times: Sequence[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]


def _plan(scene: Scene, name: str, *, unlimited: bool) -> str:
    return venue_plan(scene, name, speed=SPEED, ticks=TICKS, start="now", unlimited=unlimited)


def _transaction_bytes(scene: Scene, name: str, way: str, endpoints: Path) -> int:
    """Of one market order in the ledger."""
    ledger = venue_home(scene) / "runtime" / "venues" / name / "ledger.jsonl"
    before = ledger.stat().st_size
    found: dict[str, Any] = document(run(program(scene, "order_times", way, str(_FIRST), "0", endpoints), ROOT))
    return (ledger.stat().st_size - before) // len(found["ours"])
