"""Market messages from the venue, to the real engine and to a plain client: how many a second, and how old they come.

Against a bare server that loops over the same strings, encoded before.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process import CouldNotMeasure, run
from benchmarks.scene import Scene, document
from benchmarks.table import AtLeast, AtMost, Row
from benchmarks.venue_process import ROOT, TICKS, Running, bare, make_home, program, venue, venue_plan

RATES = (5_000, 10_000, 20_000, 40_000, 50_000)
"""Messages a second to send by the clock, until one is too many."""
GOAL = 5_000
SECONDS = 20.0
FULL_SECONDS = 8.0
"""At full speed."""
PAIRS = 2
GROWTH_MS = 5.0
"""By so much the messages of the last quarter may be older than those of the first, in the median."""
ARRIVED = 0.97
"""The part of what was asked for that has to come."""
TRIES = 2
"""Others use the machine too."""
_A_TICK = 2
"""Messages: a trade and a quote."""
_RECORDED_SECONDS = 2.0

Serve = Callable[[float], AbstractContextManager[tuple[Running, Path]]]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client counted, at a rate that was asked for or at full speed (0)."""

    asked: float
    rate: float
    medians_ms: tuple[float, ...]
    p99_ms: float
    server_ms: float
    """What the server took of a processor for a thousand messages."""

    @property
    def sustained(self) -> bool:
        return self.rate >= ARRIVED * self.asked and self.medians_ms[-1] <= self.medians_ms[0] + GROWTH_MS


def messages(scene: Scene) -> list[Row]:
    """To the engine: a live node with its own adapter, and a strategy that counts."""
    return _rows(scene, "feed_node", "venue-messages", "engine")


def messages_plain(scene: Scene) -> list[Row]:
    return _rows(scene, "feed_client", "venue-messages-plain", "plain client")


def _rows(scene: Scene, client: str, benchmark: str, who: str) -> list[Row]:
    make_home(scene)
    names = iter(range(1_000_000))

    def ours(rate: float) -> AbstractContextManager[tuple[Running, Path]]:
        speed = rate * 60 / _A_TICK / TICKS if rate else None
        return venue(scene, venue_plan(scene, f"feed-{next(names)}", speed=speed))

    recorded = scene.work / "recorded.txt"
    with ours(GOAL) as (_, endpoints):
        run(program(scene, "feed_client", endpoints, str(_RECORDED_SECONDS), recorded), ROOT)

    def yardstick(_rate: float) -> AbstractContextManager[tuple[Running, Path]]:
        return bare(scene, "bare_feed", recorded)

    found = _climb(scene, client, ours)
    goal = found[0]
    full = [(_full(scene, client, ours), _full(scene, client, yardstick)) for _ in range(PAIRS)]
    best = max((one.rate for one in found if one.sustained), default=0.0)
    at_goal = f"{who} at {GOAL:,} msg/s"
    return [
        Row(benchmark, f"{who}: most, lag flat", "msg/s", (best,), (), (AtLeast(GOAL, of_ratio=False),)),
        Row(
            benchmark,
            f"{at_goal}: lag of the last quarter, beside the first's",
            "ms",
            (goal.medians_ms[-1],),
            (goal.medians_ms[0],),
            (AtMost(goal.medians_ms[0] + GROWTH_MS, of_ratio=False),),
        ),
        Row(benchmark, f"{at_goal}: p99 of the lag", "ms", (goal.p99_ms,), ()),
        Row(benchmark, f"{at_goal}: cpu of 1,000 messages", "ms", (goal.server_ms,), ()),
        Row(
            benchmark,
            f"{who}, full speed",
            "msg/s",
            tuple(pair[0].rate for pair in full),
            tuple(pair[1].rate for pair in full),
            (AtLeast(0.33),),
        ),
        Row(
            benchmark,
            f"{who}, full speed: cpu of 1,000 messages",
            "ms",
            tuple(pair[0].server_ms for pair in full),
            tuple(pair[1].server_ms for pair in full),
        ),
    ]


def _climb(scene: Scene, client: str, ours: Serve) -> list[Heard]:
    """One of each rate, up to the first that is not sustained."""
    found: list[Heard] = []
    for rate in RATES:
        for _ in range(TRIES):
            one = _hear(scene, client, ours, rate, SECONDS)
            lags = " ".join(f"{lag:.1f}" for lag in one.medians_ms)
            scene.tell(f"{client} at {rate:,}: {one.rate:,.0f} msg/s, lag by quarters {lags} ms, p99 {one.p99_ms:.1f}")
            if one.sustained:
                break
        found.append(one)
        if not one.sustained:
            break
    return found


def _full(scene: Scene, client: str, serve: Serve) -> Heard:
    return _hear(scene, client, serve, 0, FULL_SECONDS)


def _hear(scene: Scene, client: str, serve: Serve, rate: float, seconds: float) -> Heard:
    with serve(rate) as (server, endpoints):
        before = server.cpu_so_far()
        heard: dict[str, Any] = document(run(program(scene, client, endpoints, str(seconds)), ROOT))
        took = server.cpu_so_far() - before
    medians = heard["medians_ms"]
    if not heard["messages"] or None in medians:
        raise CouldNotMeasure(f"{client} heard nothing for a while: {json.dumps(heard)}")
    whole = heard["messages"] * (heard["seconds"] + 1) / heard["seconds"]  # those of the warm-up too
    return Heard(rate, heard["messages"] / heard["seconds"], tuple(medians), heard["p99_ms"], took / whole * 1e6)
