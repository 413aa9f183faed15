"""The instrument of a backtest equals the one that the live adapter makes from exchangeInfo."""

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
    instruments = json.loads(done.stdout)
    assert instruments["live"]["id"] == "BTCUSDT-PERP.BINANCE"
    assert instruments["live"] == instruments["backtest"]
