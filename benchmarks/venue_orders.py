"""Order latency: to the venue and back, for the real engine and for a raw client.

Compared with a bare server that answers a constant after it has appended the bytes of a transaction to disk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.context import BenchmarkContext, document
from benchmarks.process import MeasurementError, run
from benchmarks.table import AtMost, Goal, Row
from benchmarks.venue_process import ROOT, bare_server, make_home, program, running, venue, venue_home, venue_plan

ORDERS = 2_000
PACED = 18
"""Orders a second of the engine: its adapter allows 20."""
RAW = 4.0
"""Goal of the ratio of p50. The difference is the exchange: signature, filters, margin, matching, three messages."""
ENGINE = AtMost(10.0, of_ratio=False)
"""Goal of p50 in ms: most of it is the engine's own latency."""
SLACK_SECONDS = 20.0
SPEED = 60.0
"""The market moves meanwhile."""
TICKS = 30
"""The venue's own default: a quote and a trade every 33 ms at this speed."""
_FIRST = 20
"""Orders that measure the size of a transaction."""
Transport = Literal["socket", "http"]


def by_socket(context: BenchmarkContext) -> list[Row]:
    return _rows(context, "socket", "venue-orders-socket")


def by_http(context: BenchmarkContext) -> list[Row]:
    return _rows(context, "http", "venue-orders-http")


def _rows(context: BenchmarkContext, transport: Transport, benchmark: str) -> list[Row]:
    make_home(context)
    with venue(context, _plan(context, "raw", unlimited=True)) as (_, lab):
        size = _transaction_bytes(context, "raw", transport, lab)
        with bare_server(context, "bare_orders", context.work / "appended.bin", str(size)) as (_, bare_endpoints):
            raw = document(run(program(context, "order_times", transport, str(ORDERS), "0", lab, bare_endpoints), ROOT))
            engine, raw_result = _engine(context, transport, bare_endpoints)
    by = "trading socket" if transport == "socket" else "HTTP"
    return [
        *_percentile_rows(benchmark, f"raw client by {by}, order to answer", raw["main"], raw["other"], AtMost(RAW)),
        *_percentile_rows(benchmark, f"engine by {by}, order to fill", engine["filled"], raw_result["main"], ENGINE),
    ]


def _engine(
    context: BenchmarkContext, transport: Transport, bare_endpoints: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine's orders at a steady rate, and meanwhile a raw client's at the same rate at a bare server."""
    paced = (transport, str(ORDERS), str(PACED))
    with (
        venue(context, _plan(context, "engine", unlimited=False)) as (_, endpoints),
        running(
            program(context, "order_times", *paced, bare_endpoints), context.work / "order_times.err"
        ) as raw_result,
    ):
        engine_result = document(run(program(context, "order_node", *paced, endpoints), ROOT))
        if len(engine_result["filled"]) != ORDERS:
            raise MeasurementError(f"the engine received {len(engine_result['filled'])} fills of {ORDERS} orders")
        return engine_result, raw_result.wait_for(lambda line: "main" in line, SLACK_SECONDS)


def _percentile_rows(
    benchmark: str, label: str, lab: Sequence[float], bare_endpoints: Sequence[float], goal: Goal
) -> list[Row]:
    return [
        Row(benchmark, f"{label}: p50", "ms", (_percentile(lab, 50),), (_percentile(bare_endpoints, 50),), (goal,)),
        Row(benchmark, f"{label}: p99", "ms", (_percentile(lab, 99),), (_percentile(bare_endpoints, 99),)),
    ]


def _percentile(times: Sequence[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]


def _plan(context: BenchmarkContext, name: str, *, unlimited: bool) -> str:
    return venue_plan(context, name, speed=SPEED, ticks=TICKS, start="now", unlimited=unlimited)


def _transaction_bytes(context: BenchmarkContext, name: str, transport: str, endpoints: Path) -> int:
    """Bytes of one market order in the ledger."""
    ledger = venue_home(context) / "runtime" / "venues" / name / "ledger.jsonl"
    before = ledger.stat().st_size
    engine_result: dict[str, Any] = document(
        run(program(context, "order_times", transport, str(_FIRST), "0", endpoints), ROOT)
    )
    return (ledger.stat().st_size - before) // len(engine_result["main"])
