"""A day of the market in a paper run: what its three processes hold, and what it leaves on disk."""

import time
from collections.abc import Sequence

from benchmarks.paper_process import ROLES, START_SECONDS, PaperRun, Role, cpu_seconds, paper_run, resident_mb
from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Row
from benchmarks.venue_memory import slope
from benchmarks.venue_process import make_home

DAY = 1_440
"""Minutes of the market."""
SPEEDS: dict[str, float | str] = {"order_lifecycle_demo": 600, "ops_smoke_demo": "max"}
GROWTH = 1.05
"""From the middle to the end."""
LONGEST_SECONDS = 600.0
LOOK_SECONDS = 0.25
Held = dict[Role, list[tuple[float, float]]]
"""(minute of the market, MB)."""


def day(scene: Scene) -> list[Row]:
    make_home(scene)
    return [row for scenario in SPEEDS for row in _rows(scene, scenario)]


def _rows(scene: Scene, scenario: str) -> list[Row]:
    speed = SPEEDS[scenario]
    run_id = scenario.replace("_", "-")
    with paper_run(scene, run_id, scenario, speed=speed, max_bars=DAY) as run:
        run.first("paper_heartbeat", START_SECONDS)
        held, cpu = _watch(scene, run)
        run.finish(START_SECONDS)
        assert run.ended
        seconds = run.ended - run.began
        sizes = {path.relative_to(run.folder): path.stat().st_size for path in run.folder.rglob("*") if path.is_file()}
        journal = (run.folder / "journal.jsonl").stat().st_size
    what = f"{DAY // 60} h of {scenario} at {speed}"
    rows = [Row("paper-day", f"{what}: wall", "s", (seconds,), ())]
    for role in ROLES:
        second = [one for one in held[role] if one[0] >= DAY / 2]
        middle, last = _median(second[: len(second) // 5 + 1]), _median(second[-(len(second) // 5 + 1) :])
        rows += [
            Row("paper-day", f"{what}: {role} at the end, beside the middle", "MB", (last,), (middle,), (_GOAL,)),
            Row("paper-day", f"{what}: {role}, slope of the second half", "MB/h", (60 * slope(second),), ()),
            Row("paper-day", f"{what}: {role}'s cpu", "s", (cpu[role],), ()),
        ]
    return [
        *rows,
        Row("paper-day", f"{what}: journal", "MB", (journal / 1e6,), ()),
        Row("paper-day", f"{what}: the run's folder", "MB", (sum(sizes.values()) / 1e6,), ()),
    ]


_GOAL = AtMost(GROWTH)


def _watch(scene: Scene, run: PaperRun) -> tuple[Held, dict[Role, float]]:
    """Until its last bar; what each process held on the way, and what it took of a processor."""
    held: Held = {role: [] for role in ROLES}
    cpu: dict[Role, float] = {}
    deadline = time.monotonic() + LONGEST_SECONDS
    while not run.is_over:
        live = run.live()
        if live:
            if live["bars_seen"] >= DAY:
                break
            for role, pid in run.processes().items():
                held[role].append((float(live["bars_seen"]), resident_mb(pid)))
                cpu[role] = cpu_seconds(pid)
        if time.monotonic() > deadline:
            raise CouldNotMeasure(f"the run was not through after {LONGEST_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
    for role, samples in held.items():
        if len(samples) < 10:
            raise CouldNotMeasure(f"{role} was seen {len(samples)} times only")
        scene.tell(f"{role}: {', '.join(f'{mb:.1f}' for _, mb in samples[:: max(1, len(samples) // 12)])} MB")
    return held, cpu


def _median(samples: Sequence[tuple[float, float]]) -> float:
    values = sorted(mb for _, mb in samples)
    return values[len(values) // 2]
