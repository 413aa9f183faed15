"""Start time of a paper run, compared with a venue and a bare node that are started one after the other."""

from benchmarks.context import BenchmarkContext
from benchmarks.paper_process import START_SECONDS, MeasuringStrategy, bare_node, paper_run
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_plan

REPEAT = 7
SPEED = 600
"""A candle takes 0.1 s at this speed, on both sides: minimum time from the first subscription to the first bar."""
TICKS = 30
FIRST_BAR = 3.0


def start(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    lab = [_measure_lab(context, number) for number in range(context.repeat or REPEAT)]
    bare = [_bare(context, number) for number in range(context.repeat or REPEAT)]
    label = (
        "tc, to the venue listening",
        "to the engine's first heartbeat",
        "to the first bar processed",
        "to its end",
    )
    goals: tuple[tuple[AtMost, ...], ...] = ((), (), (AtMost(FIRST_BAR),), ())
    yardstick_columns: list[tuple[float, ...]] = [*zip(*bare, strict=True), ()]
    return [
        Row("paper-start", text, "s", times, yardstick, goal)
        for text, times, yardstick, goal in zip(label, zip(*lab, strict=True), yardstick_columns, goals, strict=True)
    ]


def _measure_lab(context: BenchmarkContext, number: int) -> tuple[float, float, float, float]:
    with paper_run(context, f"start-{number}", "ops_smoke_demo", speed=SPEED, max_bars=1) as run:
        run.finish(START_SECONDS)
        assert run.ended
        marks = [run.time_of_first(name) for name in ("venue_started", "paper_heartbeat", "gate_closed")]
        # in a run of one bar the gate closes when the bar is processed
        listening, heartbeat, bar, end = (at - run.started_s for at in (*marks, run.ended))
        return listening, heartbeat, bar, end


def _bare(context: BenchmarkContext, number: int) -> tuple[float, float, float]:
    """Start a venue, and then a node."""
    plan = venue_plan(context, f"start-{number}", speed=SPEED, ticks=TICKS)
    with (
        venue(context, plan) as (served, endpoints),
        bare_node(context, endpoints, MeasuringStrategy("First", context.work, {})) as node,
    ):
        node.wait_for(lambda line: "started" in line, START_SECONDS)
        started = node.ready_seconds
        node.wait_for(lambda line: "bar" in line, START_SECONDS)
        listening = served.ready_seconds
        return listening, listening + started, listening + node.ready_seconds
