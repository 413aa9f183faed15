"""Memory of the venue's process over an hour and a day of the market at full speed.

Meanwhile one client reads all streams, and another one trades.
"""

import time
from collections.abc import Sequence
from itertools import count

from benchmarks.context import BenchmarkContext
from benchmarks.process import MeasurementError
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import Running, make_home, program, running, venue, venue_plan

HOUR, DAY = 60, 1_440
"""Minutes of the market."""
ORDERS = 500
ORDERS_A_SECOND = {HOUR: 100, DAY: 10}
"""Rates that spread the orders over most of the time."""
GROWTH = 1.02
"""Maximum growth from the middle to the end."""
MAX_SECONDS = 240.0
POLL_SECONDS = 0.1
MemorySample = tuple[float, float]
"""(minute of the market, MB)."""


def memory(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    return [row for minutes in (HOUR, DAY) for row in _rows(context, minutes)]


def _rows(context: BenchmarkContext, minutes: int) -> list[Row]:
    plan = venue_plan(context, f"minutes-{minutes}", speed=None, start="any", max_bars=minutes, unlimited=True)
    with venue(context, plan) as (child, endpoints):
        start_mb = child.resident_mb()
        reading = program(context, "feed_client", endpoints, "0")
        trading = program(context, "order_times", "socket", str(ORDERS), str(ORDERS_A_SECOND[minutes]), endpoints)
        with running(reading, context.work / "reader.err"), running(trading, context.work / "orders.err") as orders:
            memory_samples = _sample_memory(context, child)
            traded = orders.wait_for(lambda line: "main" in line, MAX_SECONDS)["main"]
            if len(traded) != ORDERS:
                raise MeasurementError(f"{len(traded)} of {ORDERS} orders were answered")
            end_mb = child.resident_mb()
    middle = min(memory_samples, key=lambda sample: abs(sample[0] - minutes / 2))[1]
    later = [sample for sample in memory_samples if sample[0] >= minutes / 2]
    label = f"venue over {minutes // 60} h of the market, {ORDERS} orders"
    return [
        Row("venue-memory", f"{label}: at the start", "MB", (start_mb,), ()),
        Row(
            "venue-memory",
            f"{label}: at the end, compared with the middle",
            "MB",
            (end_mb,),
            (middle,),
            (AtMost(GROWTH),),
        ),
        Row("venue-memory", f"{label}: slope of the second half", "MB/h", (60 * slope(later),), ()),
    ]


def _sample_memory(context: BenchmarkContext, child: Running) -> list[MemorySample]:
    """Sample the minute of the market and the memory until the market has ended."""
    memory_samples: list[MemorySample] = []
    deadline = time.monotonic() + MAX_SECONDS
    for _ in count():
        time.sleep(POLL_SECONDS)
        progress = child.last_value("venue_progress")
        if progress is not None:
            at = (float(progress["minutes"]), child.resident_mb())
            if not memory_samples or memory_samples[-1][0] != at[0]:
                memory_samples.append(at)
            if progress["state"] == "ended":
                break
        if time.monotonic() > deadline:
            raise MeasurementError(f"the market did not end within {MAX_SECONDS:.0f} s")
    shown = memory_samples[:: max(1, len(memory_samples) // 12)]
    context.note(f"{progress['messages']:,} messages; {', '.join(f'{mb:.1f}' for _, mb in shown)} MB")
    return memory_samples


def slope(memory_samples: Sequence[MemorySample]) -> float:
    """MB a minute: least squares; 0 for a single sample."""
    if len(memory_samples) < 2:
        return 0.0
    mean_x, mean_y = (sum(sample[axis] for sample in memory_samples) / len(memory_samples) for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in memory_samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in memory_samples) / spread if spread else 0.0
