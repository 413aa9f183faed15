"""usage: long_journal.py FOLDER LINES

Extend a run's journal to LINES lines, as a run with many orders would. This process starts the run and never ends it.
"""

import sys
from pathlib import Path

from opslab.store.runs.journal import Journal
from opslab.system import SystemClock, SystemProcesses

BATCH = 4_096
ORDER = {
    "type": "OrderFilled",
    "strategy_id": "LAB-001",
    "client_order_id": "O-20240101-000059-001-001-1",
    "venue_order_id": "BINANCE-1-001",
    "trade_id": "BINANCE-1-001",
    "order_side": "BUY",
    "order_type": "MARKET",
    "last_qty": "0.005",
    "last_px": "41972.90",
    "currency": "USDT",
    "commission": "0.10493225 USDT",
    "liquidity_side": "TAKER",
    "ts_event": 1704067259999000000,
}

folder, lines = Path(sys.argv[1]), int(sys.argv[2])
with Journal(folder, SystemClock()) as journal:
    started_seq = journal.append("run_started", {"owner": SystemProcesses().this_process().model_dump()}).seq
    remaining = lines - started_seq
    while remaining:
        journal.append_many([("order_event", ORDER)] * min(BATCH, remaining))
        remaining -= min(BATCH, remaining)
