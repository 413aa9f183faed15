"""Market messages that the node of a paper run handles: how many a second without growing older, and what that costs.

Against a bare node with the same strategy, at the same venue.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from benchmarks.paper_process import ROLES, START_SECONDS, Own, Role, bare_node, cpu_seconds, paper_run
from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.table import AtLeast, AtMost, Row
from benchmarks.venue_feed import ARRIVED, GROWTH_MS
from benchmarks.venue_process import TICKS, make_home, venue, venue_plan

RATES = (5_000, 10_000, 15_000, 20_000, 30_000, 40_000)
"""Messages a second that the venue is asked for, until they are too many."""
GOAL = 5_000
SECONDS = 20.0
TRIES = 2
"""Others use the machine too."""
_A_TICK = 2
"""Messages: a trade and a quote."""


@dataclass(frozen=True, slots=True)
class Heard:
    asked: float
    rate: float
    medians_ms: tuple[float, ...]
    """Of each quarter of the time, from the venue's stamp to the strategy."""
    p99_ms: float
    cpu_ms: dict[Role, float]
    """Of a thousand messages."""

    @property
    def sustained(self) -> bool:
        return self.rate >= ARRIVED * self.asked and self.medians_ms[-1] <= self.medians_ms[0] + GROWTH_MS


Hear = Callable[[int], Heard]


def messages(scene: Scene) -> list[Row]:
    make_home(scene)
    numbers = count()
    ours = _climb(scene, "paper run", lambda rate: _ours(scene, rate, f"messages-{next(numbers)}"))
    bare = _climb(scene, "bare node", lambda rate: _bare(scene, rate, f"messages-{next(numbers)}"))
    goal = ours[0]
    name = "paper-messages"
    at_goal = f"at {GOAL:,} msg/s"
    return [
        Row(name, "most, lag flat", "msg/s", (_best(ours),), (_best(bare),), (AtLeast(GOAL, of_ratio=False),)),
        Row(
            name,
            f"{at_goal}: lag of the last quarter, beside the first's",
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


def _best(found: list[Heard]) -> float:
    return max((one.rate for one in found if one.sustained), default=0.0)


def _climb(scene: Scene, who: str, hear: Hear) -> list[Heard]:
    """One of each rate, up to the first that is not sustained."""
    found: list[Heard] = []
    for rate in RATES:
        for _ in range(TRIES):
            one = hear(rate)
            lags = " ".join(f"{lag:.1f}" for lag in one.medians_ms)
            cost = ", ".join(f"{role} {ms:.0f}" for role, ms in one.cpu_ms.items())
            scene.tell(
                f"{who} at {rate:,}: {one.rate:,.0f} msg/s, lag by quarters {lags} ms, p99 {one.p99_ms:.1f}; "
                f"cpu ms of 1,000 messages: {cost}"
            )
            if one.sustained:
                break
        found.append(one)
        if not one.sustained:
            break
    return found


def _ours(scene: Scene, rate: int, run_id: str) -> Heard:
    own = Own("Counts", scene.work / f"{run_id}.jsonl", {"seconds": SECONDS})
    own.out.unlink(missing_ok=True)
    with paper_run(scene, run_id, own, speed=_speed(rate), ticks_per_minute=TICKS) as run:
        run.first("paper_heartbeat", START_SECONDS)
        before = {role: cpu_seconds(pid) for role, pid in run.processes().items()}
        lags = run.told(own, "lags", SECONDS + START_SECONDS)
        after = {role: cpu_seconds(pid) for role, pid in run.processes().items()}
        run.interrupt()
        run.wait()
    return _heard(rate, lags, {role: after[role] - before[role] for role in after})


def _bare(scene: Scene, rate: int, name: str) -> Heard:
    own = Own("Counts", scene.work, {"seconds": SECONDS})
    plan = venue_plan(scene, name, speed=_speed(rate))
    with venue(scene, plan) as (served, endpoints):
        before = served.cpu_so_far()
        with bare_node(scene, endpoints, own) as node:
            lags = node.first(lambda line: "lags" in line, SECONDS + START_SECONDS)["lags"]
            took: dict[Role, float] = {"venue": served.cpu_so_far() - before, "engine": node.cpu_so_far()}
    return _heard(rate, lags, took)


def _heard(rate: int, lags: dict[str, Any], took: dict[Role, float]) -> Heard:
    if not lags["messages"] or None in lags["medians_ms"]:
        raise CouldNotMeasure(f"the node heard nothing for a while: {json.dumps(lags)}")
    whole = lags["messages"] * (lags["seconds"] + 1) / lags["seconds"]  # those of the warm-up too
    cost = {role: seconds / whole * 1e6 for role, seconds in took.items()}
    return Heard(rate, lags["messages"] / lags["seconds"], tuple(lags["medians_ms"]), lags["p99_ms"], cost)


def _speed(rate: int) -> float:
    return rate * 60 / _A_TICK / TICKS
