"""How soon Ctrl-C ends a paper run with a position and resting orders: against the engine's own way to stop a node."""

import time

from benchmarks.paper_process import START_SECONDS, Own, bare_node, ledger_end, paper_run
from benchmarks.process import CouldNotMeasure
from benchmarks.scene import Scene
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import make_home, venue, venue_home, venue_plan

REPEAT = 20
BARE_REPEAT = 5
ORDERS = 20
SPEED = 60
TICKS = 30
INTERRUPTED = 130
BARE_STOP_SECONDS = 3
"""The engine cancels one by one, twenty a second."""
FLAT = AtMost(250.0, of_ratio=False)


def stop(scene: Scene) -> list[Row]:
    make_home(scene)
    ours = [_ours(scene, number) for number in range(scene.repeat or REPEAT)]
    bare = [_bare(scene, number) for number in range(scene.repeat or BARE_REPEAT)]
    flat, told, end = zip(*ours, strict=True)
    bare_flat, bare_end = zip(*bare, strict=True)
    what = f"Ctrl-C with a position and {ORDERS} orders"
    name = "paper-stop"
    return [
        Row(name, f"{what}, to the account flat", "ms", flat, bare_flat, (FLAT,)),
        Row(name, f"{what}, to the account flat: worst", "ms", (max(flat),), (max(bare_flat),)),
        Row(name, f"{what}, to the venue's word of it in the journal", "ms", told, ()),
        Row(name, f"{what}, to the process ended", "ms", end, bare_end),
    ]


def _ours(scene: Scene, number: int) -> tuple[float, float, float]:
    """ms."""
    own = Own("Resting", scene.work / f"stop-{number}.jsonl", {"orders": ORDERS})
    own.out.unlink(missing_ok=True)
    with paper_run(scene, f"stop-{number}", own, speed=SPEED, ticks_per_minute=TICKS) as run:
        run.told(own, "ready", START_SECONDS)
        at = run.interrupt()
        code = run.wait()
        told = run.first("positions_flattened", wanted=lambda payload: payload["flat"] is True)
        if code != INTERRUPTED or told < at or run.flat_at() < at:
            raise CouldNotMeasure(f"the run ended with {code}, and not as one that is interrupted and then flat")
        assert run.ended
        return (run.flat_at() - at) * 1000, (told - at) * 1000, (run.ended - at) * 1000


def _bare(scene: Scene, number: int) -> tuple[float, float]:
    """ms: until the engine itself has ended orders and position, and until a node ends that leaves them."""
    flat, _ = _stopped(scene, f"stop-flat-{number}", BARE_STOP_SECONDS)
    _, end = _stopped(scene, f"stop-left-{number}", 0)
    return flat, end


def _stopped(scene: Scene, name: str, stop_seconds: int) -> tuple[float, float]:
    own = Own("Resting", scene.work, {"orders": ORDERS})
    with (
        venue(scene, venue_plan(scene, name, speed=SPEED, ticks=TICKS)) as (_, endpoints),
        bare_node(scene, endpoints, own, stop_seconds=stop_seconds) as node,
    ):
        node.first(lambda line: "ready" in line, START_SECONDS)
        at = time.time()
        node.stop()
        ended = time.time()
        flat_at = ledger_end(venue_home(scene) / "runtime" / "venues" / name / "ledger.jsonl")
        if stop_seconds and flat_at < at:
            raise CouldNotMeasure("the bare node ended nothing when it was stopped")
        return (flat_at - at) * 1000, (ended - at) * 1000
