"""Subscriptions of a user's strategy: bars are counted by type, and a subscription without data is a warning."""

import signal
import subprocess
from typing import Any

import pytest

from tests.drivers.tc import Tc, wait_until

STRATEGY = """
import time
from pathlib import Path
from nautilus_trader.model import BarType, InstrumentId
from nautilus_trader.trading import Strategy

P = "BTCUSDT-PERP.BINANCE-"

class Own(Strategy):
    own = other = 0

    def on_start(self):
        for text in BARS:
            self.subscribe_bars(BarType.from_str(P + text))
        if TICKS:
            self.subscribe_quotes(InstrumentId.from_str("BTCUSDT-PERP.BINANCE"))
            self.subscribe_trades(InstrumentId.from_str("BTCUSDT-PERP.BINANCE"))

    def on_bar(self, bar):
        if "-1-MINUTE-" in str(bar.bar_type):
            self.own += 1
            if self.own == UNSUBSCRIBE_AT:
                self.unsubscribe_bars(BarType.from_str(P + BARS[0]))
            if self.own == WAIT_AT:
                Path("FOLDER/reached").touch()
                while not self._opslab_recorder.stop_requested:
                    time.sleep(0.01)
        else:
            self.other += 1

    def on_stop(self):
        Path("FOLDER/seen").write_text(f"{self.own} {self.other}")
"""
OWN, INTERNAL = "1-MINUTE-LAST-EXTERNAL", "2-MINUTE-LAST-INTERNAL@1-MINUTE-EXTERNAL"
PAPER_BARS = 30


def put(
    tc: Tc, bars: list[str], *, ticks: bool = False, wait_at: int = 0, unsubscribe_at: int = 0, paper: bool = False
) -> str:
    folder = tc.home / "own"
    folder.mkdir()
    values = {"BARS": bars, "TICKS": ticks, "WAIT_AT": wait_at, "UNSUBSCRIBE_AT": unsubscribe_at, "FOLDER": folder}
    code = STRATEGY
    for name, value in values.items():
        code = code.replace(name, str(value))
    (folder / "own.py").write_text(code)
    if paper:
        pace = {"speed": 600, "max_bars": PAPER_BARS}
        return tc.own_spec(folder, {"path": "own:Own"}, mode="paper", paper=pace)
    data = {"dataset": "btcusdt-sample", "end": "2024-01-01T01:00:00Z"}
    return tc.own_spec(folder, {"path": "own:Own"}, data=data)


def empty(run: dict[str, Any]) -> list[tuple[int, str]]:
    return [(each["count"], each["first"]) for each in run["warnings"] if each["code"] == "subscription_empty"]


def test_bars_of_another_size_are_not_bars_of_the_dataset(tc: Tc) -> None:
    tc.ok("run", "backtest", "--spec", put(tc, [OWN, INTERNAL]), "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    own, other = (tc.home / "own/seen").read_text().split()
    assert (own, run["metrics"]["bars_seen"]) == ("60", 60)
    assert int(other) > 0  # the strategy received them, so the first assertion tells the types apart
    assert empty(run) == []


@pytest.mark.parametrize("wait_at", [10, 45])
def test_a_stopped_run_of_two_bar_sizes_is_interrupted(tc: Tc, wait_at: int) -> None:
    """At bar 45 the strategy has received more bars than the dataset has candles."""
    spec = put(tc, [OWN, INTERNAL], wait_at=wait_at)
    process: subprocess.Popen[str] = tc.start("run", "backtest", "--spec", spec, "--run-id", "r1")
    wait_until((tc.home / "own/reached").exists, f"bar {wait_at}")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    run = tc.json("run", "show", "r1")
    assert (process.returncode, run["status"], run["ended_by"]) == (130, "interrupted", "SIGINT")
    assert wait_at <= run["metrics"]["bars_seen"] < 60
    assert run["result_digest"] is None


def test_subscriptions_that_received_nothing_are_a_warning(tc: Tc) -> None:
    spec = put(tc, [OWN, "5-MINUTE-LAST-EXTERNAL"], ticks=True)
    tc.ok("run", "backtest", "--spec", spec, "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    assert empty(run) == [(3, "bars BTCUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL")]
    text = next(each["text"] for each in run["warnings"] if each["code"] == "subscription_empty")
    assert "quotes BTCUSDT-PERP.BINANCE" in text
    assert "trades BTCUSDT-PERP.BINANCE" in text


def test_a_paper_run_of_two_bar_sizes_counts_its_own(tc: Tc) -> None:
    spec = put(tc, [OWN, "3-MINUTE-LAST-EXTERNAL"], paper=True)
    tc.ok("run", "paper", "--spec", spec, "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    own, other = (tc.home / "own/seen").read_text().split()
    assert (own, run["paper"]["bars_seen"], run["metrics"]["bars_seen"]) == ("30", PAPER_BARS, PAPER_BARS)
    assert int(other) > 0
    assert run["paper"]["bars_missed"] == 0


def test_bars_after_an_unsubscription_in_paper_are_not_missed(tc: Tc) -> None:
    spec = put(tc, [OWN], unsubscribe_at=3, paper=True)
    tc.ok("run", "paper", "--spec", spec, "--run-id", "r1")
    paper = tc.json("run", "show", "r1")["paper"]
    assert (paper["bars_seen"], paper["bars_missed"]) == (3, 0)
