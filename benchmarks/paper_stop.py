"""Time from Ctrl-C to the end of a paper run with a position and orders, compared with the engine's own stop."""

import time

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import START_SECONDS, MeasuringStrategy, bare_node, ledger_end, paper_run
from benchmarks.process import MeasurementError
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_home, venue_plan

REPEAT = 20
BARE_REPEAT = 5
ORDERS = 20
SPEED = 60
TICKS = 30
INTERRUPTED = 130
BARE_STOP_SECONDS = 3
"""The engine cancels orders one by one, 20 a second."""
FLAT = AtMost(250.0, of_ratio=False)


def stop(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    lab = [_measure_lab(context, number) for number in range(context.repeat or REPEAT)]
    bare = [_bare(context, number) for number in range(context.repeat or BARE_REPEAT)]
    flat, statement, end = zip(*lab, strict=True)
    bare_flat, bare_end = zip(*bare, strict=True)
    label = f"Ctrl-C with a position and {ORDERS} orders"
    name = "paper-stop"
    return [
        Row(name, f"{label}, to the account flat", "ms", flat, bare_flat, (FLAT,)),
        Row(name, f"{label}, to the account flat: worst", "ms", (max(flat),), (max(bare_flat),)),
        Row(name, f"{label}, to the venue's statement in the journal", "ms", statement, ()),
        Row(name, f"{label}, to the process ended", "ms", end, bare_end),
    ]


def _measure_lab(context: BenchmarkContext, number: int) -> tuple[float, float, float]:
    """Times in ms: to flat, to the venue's statement, to the end of the process."""
    measuring = MeasuringStrategy("Resting", context.work / f"stop-{number}.jsonl", {"orders": ORDERS})
    measuring.out.unlink(missing_ok=True)
    with paper_run(context, f"stop-{number}", measuring, speed=SPEED, ticks_per_minute=TICKS) as run:
        run.wait_for_report(measuring, "ready", START_SECONDS)
        at = run.interrupt()
        code = run.wait()
        statement = run.time_of_first("positions_flattened", matches=lambda payload: payload["flat"] is True)
        if code != INTERRUPTED or statement < at or run.flat_at() < at:
            raise MeasurementError(f"the run ended with {code}, not interrupted and then flat")
        assert run.ended
        return (run.flat_at() - at) * 1000, (statement - at) * 1000, (run.ended - at) * 1000


def _bare(context: BenchmarkContext, number: int) -> tuple[float, float]:
    """Times in ms: until the engine itself has flattened, and until the end of a node that leaves everything open."""
    flat, _ = _stopped(context, f"stop-flat-{number}", BARE_STOP_SECONDS)
    _, end = _stopped(context, f"stop-left-{number}", 0)
    return flat, end


def _stopped(context: BenchmarkContext, name: str, stop_seconds: int) -> tuple[float, float]:
    measuring = MeasuringStrategy("Resting", context.work, {"orders": ORDERS})
    with (
        venue(context, venue_plan(context, name, speed=SPEED, ticks=TICKS)) as (_, endpoints),
        bare_node(context, endpoints, measuring, stop_seconds=stop_seconds) as node,
    ):
        node.wait_for(lambda line: "ready" in line, START_SECONDS)
        at = time.time()
        node.stop()
        ended = time.time()
        flat_at = ledger_end(venue_home(context) / "runtime" / "venues" / name / "ledger.jsonl")
        if stop_seconds and flat_at < at:
            raise MeasurementError("the bare node flattened nothing when it was stopped")
        return (flat_at - at) * 1000, (ended - at) * 1000
