"""What a paper run takes at the market's own pace, when its strategy only looks: against a bare node that does."""

import time

from benchmarks.paper_process import ROLES, START_SECONDS, Own, Role, bare_node, cpu_seconds, paper_run
from benchmarks.scene import Scene
from benchmarks.table import Row
from benchmarks.venue_process import make_home, venue, venue_plan

SECONDS = 40.0
SETTLE_SECONDS = 3.0
SPEED = 1
TICKS = 30


def idle(scene: Scene) -> list[Row]:
    make_home(scene)
    with paper_run(scene, "idle", "ops_smoke_demo", speed=SPEED, ticks_per_minute=TICKS) as run:
        run.first("reconciliation_checked", START_SECONDS)
        time.sleep(SETTLE_SECONDS)
        journal = run.folder / "journal.jsonl"
        before, size = _cpu(run.processes()), journal.stat().st_size
        time.sleep(SECONDS)
        after, grown = _cpu(run.processes()), journal.stat().st_size - size
        run.interrupt()
        run.wait()
    ours = {role: after[role] - before[role] for role in ROLES}
    with (
        venue(scene, venue_plan(scene, "idle", speed=SPEED, ticks=TICKS)) as (served, endpoints),
        bare_node(scene, endpoints, Own("First", scene.work, {})) as node,
    ):
        node.first(lambda line: "started" in line, START_SECONDS)
        time.sleep(SETTLE_SECONDS)
        processes: dict[Role, int] = {"venue": served.pid, "engine": node.pid}
        before = _cpu(processes)
        time.sleep(SECONDS)
        after = _cpu(processes)
    bare = {role: after[role] - before[role] for role in processes}
    return [
        *(
            Row(
                "paper-idle",
                f"at speed {SPEED}: {role}'s cpu of a second",
                "ms",
                (ours[role] / SECONDS * 1000,),
                (bare[role] / SECONDS * 1000,) if role in bare else (),
            )
            for role in ROLES
        ),
        Row("paper-idle", f"at speed {SPEED}: the journal grows by", "MB/h", (grown / 1e6 * 3600 / SECONDS,), ()),
    ]


def _cpu(processes: dict[Role, int]) -> dict[Role, float]:
    return {role: cpu_seconds(pid) for role, pid in processes.items()}
