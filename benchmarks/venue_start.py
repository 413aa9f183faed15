"""How soon the venue is there: a new account, and one that goes on behind a long ledger."""

from benchmarks.process import CouldNotMeasure, run
from benchmarks.scene import Scene, document
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import DATASET, START_SECONDS, bare, make_home, running, venue, venue_home, venue_plan

REPEAT = 5
LONG_REPEAT = 3
TICKS = 30
TRANSACTIONS = 100_000
NEW = 4.0
LONG = 10.0


def start(scene: Scene) -> list[Row]:
    make_home(scene)
    return [*_new(scene), *_long(scene)]


def _new(scene: Scene) -> list[Row]:
    child, whole, other = [], [], []
    for number in range(scene.repeat or REPEAT):
        with venue(scene, _plan(scene, f"new-{number}")) as (found, _):
            child.append(found.ready_seconds)
        words = ["venue", "serve", "--dataset", DATASET, "--home", str(venue_home(scene)), "--json"]
        with running([scene.tc, *words, "--name", f"served-{number}"], scene.work / "tc.err") as served:
            served.first(lambda _line: True, START_SECONDS)
            whole.append(served.ready_seconds)
        with bare(scene, "bare_orders", scene.work / "appended.bin", "1") as (found, _):
            other.append(found.ready_seconds)
    return [
        Row("venue-start", "venue's child, to listening", "s", tuple(child), tuple(other), (AtMost(NEW),)),
        Row("venue-start", "tc venue serve, to its endpoints", "s", tuple(whole), tuple(other)),
    ]


def _long(scene: Scene) -> list[Row]:
    scene.tell(f"making a ledger of {TRANSACTIONS:,} transactions")
    plan = scene.work / "plan.json"
    plan.write_text(_plan(scene, "long"))
    run([scene.python, scene.program("long_ledger"), plan, str(TRANSACTIONS)], scene.work)
    ledger = venue_home(scene) / "runtime" / "venues" / "long" / "ledger.jsonl"
    ready, held, other = [], [], []
    for _ in range(scene.repeat or LONG_REPEAT):
        with venue(scene, plan.read_text()) as (found, _):
            ready.append(found.ready_seconds)
            held.append(found.resident_mb())
        sample = run([scene.python, scene.program("read_ledger"), ledger], scene.work)
        if document(sample)["lines"] != TRANSACTIONS:
            raise CouldNotMeasure("the long ledger is not as long as it should be")
        other.append(sample.wall_seconds)
    what = f"restart behind {TRANSACTIONS:,} transactions, {ledger.stat().st_size / 1e6:,.0f} MB"
    return [
        Row("venue-start", f"{what}, to listening", "s", tuple(ready), tuple(other), (AtMost(LONG),)),
        Row("venue-start", f"{what}: held then", "MB", tuple(held), ()),
    ]


def _plan(scene: Scene, name: str) -> str:
    return venue_plan(scene, name, speed=1.0, ticks=TICKS)
