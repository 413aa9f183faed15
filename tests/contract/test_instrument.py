"""One instrument: what the live adapter makes of exchangeInfo is what a backtest runs on."""

import json
import subprocess
import sys
from pathlib import Path

from opslab.settings import child_environment


def test_the_backtest_instrument_equals_the_live_one_field_by_field() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.drivers.adapter_instrument"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=child_environment(),  # no proxy: the adapter would send loopback requests to it
        timeout=300,
        check=True,
    )
    both = json.loads(done.stdout)
    assert both["live"]["id"] == "BTCUSDT-PERP.BINANCE"
    assert both["live"] == both["backtest"]
