"""A market day in a paper run: memory of its three processes, and its size on disk."""

import time
from collections.abc import Sequence

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import ROLES, START_SECONDS, PaperRun, Role, cpu_seconds, paper_run, resident_mb
from benchmarks.process import MeasurementError
from benchmarks.table import AtMost, Row
from benchmarks.venue_memory import slope
from benchmarks.venue_process import make_home

DAY = 1_440
"""Minutes of the market."""
SPEEDS: dict[str, float | str] = {"order_lifecycle_demo": 600, "ops_smoke_demo": "max"}
GROWTH = 1.05
"""Maximum growth from the middle to the end."""
MAX_SECONDS = 600.0
POLL_SECONDS = 0.25
MemorySamples = dict[Role, list[tuple[float, float]]]
"""(minute of the market, MB)."""


def day(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    return [row for scenario in SPEEDS for row in _rows(context, scenario)]


def _rows(context: BenchmarkContext, scenario: str) -> list[Row]:
    speed = SPEEDS[scenario]
    run_id = scenario.replace("_", "-")
    with paper_run(context, run_id, scenario, speed=speed, max_bars=DAY) as run:
        run.time_of_first("paper_heartbeat", START_SECONDS)
        memory_samples, cpu = _sample_processes(context, run)
        run.finish(START_SECONDS)
        assert run.ended
        seconds = run.ended - run.started_s
        sizes = {path.relative_to(run.folder): path.stat().st_size for path in run.folder.rglob("*") if path.is_file()}
        journal = (run.folder / "journal.jsonl").stat().st_size
    label = f"{DAY // 60} h of {scenario} at {speed}"
    rows = [Row("paper-day", f"{label}: wall", "s", (seconds,), ())]
    for role in ROLES:
        second_half = [sample for sample in memory_samples[role] if sample[0] >= DAY / 2]
        middle, last = (
            _median(second_half[: len(second_half) // 5 + 1]),
            _median(second_half[-(len(second_half) // 5 + 1) :]),
        )
        rows += [
            Row(
                "paper-day", f"{label}: {role} at the end, compared with the middle", "MB", (last,), (middle,), (_GOAL,)
            ),
            Row("paper-day", f"{label}: {role}, slope of the second half", "MB/h", (60 * slope(second_half),), ()),
            Row("paper-day", f"{label}: {role}'s cpu", "s", (cpu[role],), ()),
        ]
    return [
        *rows,
        Row("paper-day", f"{label}: journal", "MB", (journal / 1e6,), ()),
        Row("paper-day", f"{label}: the run's folder", "MB", (sum(sizes.values()) / 1e6,), ()),
    ]


_GOAL = AtMost(GROWTH)


def _sample_processes(context: BenchmarkContext, run: PaperRun) -> tuple[MemorySamples, dict[Role, float]]:
    """Sample memory and CPU time of each process until the last bar."""
    memory_samples: MemorySamples = {role: [] for role in ROLES}
    cpu: dict[Role, float] = {}
    deadline = time.monotonic() + MAX_SECONDS
    while not run.has_ended:
        live = run.live()
        if live:
            if live["bars_seen"] >= DAY:
                break
            for role, pid in run.processes().items():
                memory_samples[role].append((float(live["bars_seen"]), resident_mb(pid)))
                cpu[role] = cpu_seconds(pid)
        if time.monotonic() > deadline:
            raise MeasurementError(f"the run did not complete within {MAX_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    for role, samples in memory_samples.items():
        if len(samples) < 10:
            raise MeasurementError(f"{role} has only {len(samples)} samples")
        context.note(f"{role}: {', '.join(f'{mb:.1f}' for _, mb in samples[:: max(1, len(samples) // 12)])} MB")
    return memory_samples, cpu


def _median(samples: Sequence[tuple[float, float]]) -> float:
    values = sorted(mb for _, mb in samples)
    return values[len(values) // 2]
