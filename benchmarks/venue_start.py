"""Start time of the venue: with a new account, and with a long ledger."""

from benchmarks.context import BenchmarkContext, document
from benchmarks.process import MeasurementError, run
from benchmarks.table import AtMost, Row
from benchmarks.venue_process import (
    DATASET,
    START_SECONDS,
    bare_server,
    make_home,
    running,
    venue,
    venue_home,
    venue_plan,
)

REPEAT = 5
LONG_REPEAT = 3
TICKS = 30
TRANSACTIONS = 100_000
NEW = 4.0
LONG = 10.0


def start(context: BenchmarkContext) -> list[Row]:
    make_home(context)
    return [*_new(context), *_long(context)]


def _new(context: BenchmarkContext) -> list[Row]:
    child, command_seconds, yardstick_seconds = [], [], []
    for number in range(context.repeat or REPEAT):
        with venue(context, _plan(context, f"new-{number}")) as (served_venue, _):
            child.append(served_venue.ready_seconds)
        arguments = ["venue", "serve", "--dataset", DATASET, "--home", str(venue_home(context)), "--json"]
        with running([context.tc, *arguments, "--name", f"served-{number}"], context.work / "tc.err") as served:
            served.wait_for(lambda _line: True, START_SECONDS)
            command_seconds.append(served.ready_seconds)
        with bare_server(context, "bare_orders", context.work / "appended.bin", "1") as (bare_child, _):
            yardstick_seconds.append(bare_child.ready_seconds)
    return [
        Row("venue-start", "venue's child, to listening", "s", tuple(child), tuple(yardstick_seconds), (AtMost(NEW),)),
        Row("venue-start", "tc venue serve, to its endpoints", "s", tuple(command_seconds), tuple(yardstick_seconds)),
    ]


def _long(context: BenchmarkContext) -> list[Row]:
    context.note(f"making a ledger of {TRANSACTIONS:,} transactions")
    plan = context.work / "plan.json"
    plan.write_text(_plan(context, "long"))
    run([context.python, context.program("long_ledger"), plan, str(TRANSACTIONS)], context.work)
    ledger = venue_home(context) / "runtime" / "venues" / "long" / "ledger.jsonl"
    ready, resident, yardstick_seconds = [], [], []
    for _ in range(context.repeat or LONG_REPEAT):
        with venue(context, plan.read_text()) as (served_venue, _):
            ready.append(served_venue.ready_seconds)
            resident.append(served_venue.resident_mb())
        sample = run([context.python, context.program("read_ledger"), ledger], context.work)
        if document(sample)["lines"] != TRANSACTIONS:
            raise MeasurementError("the long ledger has another number of lines")
        yardstick_seconds.append(sample.wall_seconds)
    label = f"restart after {TRANSACTIONS:,} transactions, {ledger.stat().st_size / 1e6:,.0f} MB"
    return [
        Row("venue-start", f"{label}, to listening", "s", tuple(ready), tuple(yardstick_seconds), (AtMost(LONG),)),
        Row("venue-start", f"{label}: memory then", "MB", tuple(resident), ()),
    ]


def _plan(context: BenchmarkContext, name: str) -> str:
    return venue_plan(context, name, speed=1.0, ticks=TICKS)
