"""What the venue's process holds, over an hour and a day of the market at full speed.

A client reads all streams meanwhile, another one trades.
"""

import time
from collections.abc import Sequence
from itertools import count

from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import Running, make_home, program, running, venue, venue_plan

HOUR, DAY = 60, 1_440
"""Minutes of the market."""
ORDERS = 500
ORDERS_A_SECOND = {HOUR: 100, DAY: 10}
"""So that they are spread over most of it."""
GROWTH = 1.02
"""From the middle to the end."""
LONGEST_SECONDS = 240.0
LOOK_SECONDS = 0.1
Held = tuple[float, float]
"""(minute of the market, MB)."""


def memory(scene: Scene) -> list[Row]:
    make_home(scene)
    return [row for minutes in (HOUR, DAY) for row in _rows(scene, minutes)]


def _rows(scene: Scene, minutes: int) -> list[Row]:
    plan = venue_plan(scene, f"minutes-{minutes}", speed=None, start="any", max_bars=minutes, unlimited=True)
    with venue(scene, plan) as (child, endpoints):
        first = child.resident_mb()
        reading = program(scene, "feed_client", endpoints, "0")
        trading = program(scene, "order_times", "socket", str(ORDERS), str(ORDERS_A_SECOND[minutes]), endpoints)
        with running(reading, scene.work / "reader.err"), running(trading, scene.work / "orders.err") as orders:
            held = _watch(scene, child)
            traded = orders.first(lambda line: "ours" in line, LONGEST_SECONDS)["ours"]
            if len(traded) != ORDERS:
                raise CouldNotMeasure(f"{len(traded)} of {ORDERS} orders were answered")
            last = child.resident_mb()
    middle = min(held, key=lambda one: abs(one[0] - minutes / 2))[1]
    later = [one for one in held if one[0] >= minutes / 2]
    what = f"venue over {minutes // 60} h of the market, {ORDERS} orders"
    return [
        Row("venue-memory", f"{what}: at the start", "MB", (first,), ()),
        Row("venue-memory", f"{what}: at the end, beside the middle", "MB", (last,), (middle,), (AtMost(GROWTH),)),
        Row("venue-memory", f"{what}: slope of the second half", "MB/h", (60 * slope(later),), ()),
    ]


def _watch(scene: Scene, child: Running) -> list[Held]:
    """Until the market has ended; where it was, and what was held then."""
    held: list[Held] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    for _ in count():
        time.sleep(LOOK_SECONDS)
        told = child.last("progress")
        if told is not None:
            at = (float(told["minutes"]), child.resident_mb())
            if not held or held[-1][0] != at[0]:
                held.append(at)
            if told["state"] == "ended":
                break
        if time.monotonic() > deadline:
            raise CouldNotMeasure(f"the market was not through after {LONGEST_SECONDS:.0f} s")
    scene.tell(
        f"{told['messages']:,} messages; {', '.join(f'{mb:.1f}' for _, mb in held[:: max(1, len(held) // 12)])} MB"
    )
    return held


def slope(held: Sequence[Held]) -> float:
    """MB a minute: least squares; 0 of a single one."""
    if len(held) < 2:
        return 0.0
    mean_x, mean_y = (sum(one[axis] for one in held) / len(held) for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in held)
    return sum((x - mean_x) * (y - mean_y) for x, y in held) / spread if spread else 0.0
