"""How soon a paper run is there, against a venue and a bare node that are started one after the other."""

from benchmarks.paper_process import START_SECONDS, Own, bare_node, paper_run
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_plan

REPEAT = 7
SPEED = 600
"""A candle takes 0.1 s then, on either side: the first bar cannot come sooner behind the first subscription."""
TICKS = 30
FIRST_BAR = 3.0


def start(scene: Scene) -> list[Row]:
    make_home(scene)
    ours = [_ours(scene, number) for number in range(scene.repeat or REPEAT)]
    bare = [_bare(scene, number) for number in range(scene.repeat or REPEAT)]
    what = ("tc, to the venue listening", "to the engine's first beat", "to the first bar handled", "to its end")
    goals: tuple[tuple[AtMost, ...], ...] = ((), (), (AtMost(FIRST_BAR),), ())
    beside: list[tuple[float, ...]] = [*zip(*bare, strict=True), ()]
    return [
        Row("paper-start", text, "s", times, other, goal)
        for text, times, other, goal in zip(what, zip(*ours, strict=True), beside, goals, strict=True)
    ]


def _ours(scene: Scene, number: int) -> tuple[float, float, float, float]:
    with paper_run(scene, f"start-{number}", "ops_smoke_demo", speed=SPEED, max_bars=1) as run:
        run.finish(START_SECONDS)
        assert run.ended
        marks = [run.first(name) for name in ("venue_started", "paper_heartbeat", "gate_closed")]
        # of a run of one bar the gate closes when that is handled
        listening, beat, bar, end = (at - run.began for at in (*marks, run.ended))
        return listening, beat, bar, end


def _bare(scene: Scene, number: int) -> tuple[float, float, float]:
    """A venue, and behind it a node."""
    plan = venue_plan(scene, f"start-{number}", speed=SPEED, ticks=TICKS)
    with (
        venue(scene, plan) as (served, endpoints),
        bare_node(scene, endpoints, Own("First", scene.work, {})) as node,
    ):
        node.first(lambda line: "started" in line, START_SECONDS)
        started = node.ready_seconds
        node.first(lambda line: "bar" in line, START_SECONDS)
        listening = served.ready_seconds
        return listening, listening + started, listening + node.ready_seconds
