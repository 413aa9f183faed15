"""CPU time of a paper run at real-time speed with a passive strategy, compared with a bare node."""

import time

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import ROLES, START_SECONDS, MeasuringStrategy, Role, bare_node, cpu_seconds, paper_run
from benchmarks.table import Row
from benchmarks.venue_process import make_home, venue, venue_plan

SECONDS = 40.0
SETTLE_SECONDS = 3.0
SPEED = 1
TICKS = 30


def idle(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    with paper_run(context, "idle", "ops_smoke_demo", speed=SPEED, ticks_per_minute=TICKS) as run:
        run.time_of_first("reconciliation_checked", START_SECONDS)
        time.sleep(SETTLE_SECONDS)
        journal = run.folder / "journal.jsonl"
        before, size = _cpu(run.processes()), journal.stat().st_size
        time.sleep(SECONDS)
        after, growth_bytes = _cpu(run.processes()), journal.stat().st_size - size
        run.interrupt()
        run.wait()
    lab = {role: after[role] - before[role] for role in ROLES}
    with (
        venue(context, venue_plan(context, "idle", speed=SPEED, ticks=TICKS)) as (served, endpoints),
        bare_node(context, endpoints, MeasuringStrategy("First", context.work, {})) as node,
    ):
        node.wait_for(lambda line: "started" in line, START_SECONDS)
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
                (lab[role] / SECONDS * 1000,),
                (bare[role] / SECONDS * 1000,) if role in bare else (),
            )
            for role in ROLES
        ),
        Row(
            "paper-idle", f"at speed {SPEED}: the journal grows by", "MB/h", (growth_bytes / 1e6 * 3600 / SECONDS,), ()
        ),
    ]


def _cpu(processes: dict[Role, int]) -> dict[Role, float]:
    return {role: cpu_seconds(pid) for role, pid in processes.items()}
