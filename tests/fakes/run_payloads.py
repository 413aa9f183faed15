"""Payloads of the first events of a run."""

from opslab.model.run.event import RUN_FORMAT

OWNER = {"host": "h", "boot_id": "b", "pid": 7, "process_start": 9}
INTENT = {
    "format": RUN_FORMAT,
    "run_id": "r1",
    "mode": "backtest",
    "strategy": {"name": "ops_smoke_demo", "version": "v1"},
    "venue": "binance",
    "instrument": "BTCUSDT",
    "risk_profile": "tiny",
    "lab_version": "0.1.0",
}
