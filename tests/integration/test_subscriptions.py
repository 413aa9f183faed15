"""Subscriptions of a user's strategy: bars are counted by type, and a subscription without data is a warning."""

import signal
import subprocess
from typing import Any

import pytest

from tests.drivers.paper_run import PaperRun
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
            if self.own == REQUEST_AT:
                self.request_bars(BarType.from_str(P + BARS[0]), limit=5)
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
    tc: Tc,
    bars: list[str],
    *,
    ticks: bool = False,
    wait_at: int = 0,
    unsubscribe_at: int = 0,
    request_at: int = 0,
    paper: bool = False,
    max_seconds: int = 3600,
    speed: int = 600,
) -> str:
    folder = tc.home / "own"
    folder.mkdir()
    values = {
        "BARS": bars,
        "TICKS": ticks,
        "WAIT_AT": wait_at,
        "UNSUBSCRIBE_AT": unsubscribe_at,
        "FOLDER": folder,
        "REQUEST_AT": request_at,
    }
    code = STRATEGY
    for name, value in values.items():
        code = code.replace(name, str(value))
    (folder / "own.py").write_text(code)
    if paper:
        pace = {"speed": speed, "max_bars": PAPER_BARS}
        return tc.own_spec(folder, {"path": "own:Own"}, mode="paper", paper=pace)
    data = {"dataset": "btcusdt-sample", "end": "2024-01-01T01:00:00Z"}
    return tc.own_spec(folder, {"path": "own:Own"}, data=data, backtest={"max_seconds": max_seconds})


def warned(run: dict[str, Any], code: str) -> list[tuple[int, str]]:
    return [(each["count"], each["first"]) for each in run["warnings"] if each["code"] == code]


def subscriptions(tc: Tc) -> list[dict[str, Any]]:
    """Of the engine of the run r1."""
    (ended,) = [event["payload"] for event in tc.events("r1") if event["event"] == "engine_ended"]
    counted: list[dict[str, Any]] = ended["subscriptions"]
    return counted


def empty(run: dict[str, Any]) -> list[tuple[int, str]]:
    return warned(run, "subscription_empty")


def noted(err: str) -> list[str]:
    """The warnings on the standard error of a running run."""
    return [line.removeprefix("tc: warning: ") for line in err.splitlines() if line.startswith("tc: warning: ")]


def test_bars_of_another_size_are_not_bars_of_the_dataset(tc: Tc) -> None:
    tc.ok("run", "backtest", "--spec", put(tc, [OWN, INTERNAL]), "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    own, other = (tc.home / "own/seen").read_text().split()
    assert (own, run["metrics"]["bars_seen"]) == ("60", 60)
    assert int(other) > 0  # the strategy received them, so the first assertion tells the types apart
    assert empty(run) == []


@pytest.mark.parametrize(
    ("end", "code", "status", "ended_by"),
    [
        ("SIGINT", 130, "interrupted", "SIGINT"),
        ("max_seconds", 130, "interrupted", "max_seconds"),
        ("kill_switch", 4, "halted", "kill_switch"),
    ],
)
@pytest.mark.parametrize("wait_at", [10, 45])
def test_a_stopped_run_of_two_bar_sizes_has_no_result_digest(
    tc: Tc, end: str, code: int, status: str, ended_by: str, wait_at: int
) -> None:
    """At bar 45 the strategy has received more bars than the dataset has candles."""
    spec = put(tc, [OWN, INTERNAL], wait_at=wait_at, max_seconds=6 if end == "max_seconds" else 3600)
    process: subprocess.Popen[str] = tc.start("run", "backtest", "--spec", spec, "--run-id", "r1")
    wait_until((tc.home / "own/reached").exists, f"bar {wait_at}")
    if end == "SIGINT":
        process.send_signal(signal.SIGINT)
    elif end == "kill_switch":
        tc.ok("kill", "activate", "--run-id", "r1", "--reason", "test")
    process.communicate(timeout=300)
    run = tc.json("run", "show", "r1")
    assert (process.returncode, run["status"], run["ended_by"]) == (code, status, ended_by)
    assert wait_at <= run["metrics"]["bars_seen"] < 60
    assert run["result_digest"] is None


def test_subscriptions_that_a_backtest_cannot_serve_are_named_at_once_and_at_the_end(tc: Tc) -> None:
    spec = put(tc, [OWN, "5-MINUTE-LAST-EXTERNAL"], ticks=True, request_at=10)
    err = tc.ok("run", "backtest", "--spec", spec, "--run-id", "r1").err
    run = tc.json("run", "show", "r1")
    bars, quotes, trades = "bars BTCUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL", "quotes {}", "trades {}"
    names = [
        bars,
        *(each.format("BTCUSDT-PERP.BINANCE") for each in (quotes, trades)),
        f"request_bars BTCUSDT-PERP.BINANCE-{OWN}",
    ]
    assert empty(run) == [(4, bars)]
    text = next(each["text"] for each in run["warnings"] if each["code"] == "subscription_empty")
    assert text.endswith(": " + ", ".join(names))
    assert noted(err) == [f"subscription_empty: {name}" for name in names]
    found = [event["payload"] for event in tc.events("r1") if event["event"] == "subscription_unserved"]
    assert [f"{each['kind']} {each['subject']}" for each in found] == names
    tc.ok("run", "backtest", "--spec", spec, "--run-id", "r2")
    compared = tc("run", "compare", "r1", "r2", "--json").document
    assert [(each["run_id"], each["code"]) for each in compared["unserved"]] == [
        (run_id, "subscription_empty") for run_id in ("r1", "r2")
    ]
    assert "subscriptions of r1 and r2 were not served" in tc("run", "compare", "r1", "r2").out


def test_a_paper_run_counts_its_own_bars_and_names_what_is_not_served(tc: Tc) -> None:
    """Bars of 3 minutes come from the venue; of 2 minutes, from the engine by its own clock; of 2 hours, too late.

    The request for past bars is answered.
    """
    other = ["3-MINUTE-LAST-EXTERNAL", "2-HOUR-LAST-EXTERNAL", INTERNAL, "10-MINUTE-LAST-EXTERNAL"]
    spec = put(tc, [OWN, *other], paper=True, request_at=10)
    err = tc.ok("run", "paper", "--spec", spec, "--run-id", "r1").err
    run = tc.json("run", "show", "r1")
    own, received = (tc.home / "own/seen").read_text().split()
    assert (own, run["paper"]["bars_seen"], run["metrics"]["bars_seen"]) == ("30", PAPER_BARS, PAPER_BARS)
    assert int(received) > 0
    assert run["paper"]["bars_missed"] == 0
    late, internal, unserved = (f"bars BTCUSDT-PERP.BINANCE-{name}" for name in other[1:])
    assert empty(run) == [(2, unserved)]
    assert any(one["kind"] == "request_bars" and one["count"] == 5 for one in subscriptions(tc))
    assert run["paper"]["subscriptions_empty"] == [unserved, late]
    assert warned(run, "subscription_untruthful") == [(1, internal)]
    assert run["paper"]["subscriptions_untruthful"] == [internal]
    assert noted(err) == [f"subscription_untruthful: {internal}", f"subscription_empty: {unserved}"]


def test_lost_bars_of_a_paper_run_are_found_although_bars_of_another_size_arrive(tc: Tc) -> None:
    with PaperRun(tc, put(tc, [OWN, "3-MINUTE-LAST-EXTERNAL"], paper=True, speed=360)) as run:
        run.wait_for_bars(3)
        run.fault("silence", stream="btcusdt@kline_1m", seconds=1)
        shown = run.end().document
    own, received = (tc.home / "own/seen").read_text().split()
    facts = shown["paper"]
    assert int(received) > 0
    assert (facts["bars_seen"], facts["bars_missed"] > 0) == (int(own), True)
    assert facts["bars_seen"] + facts["bars_missed"] == PAPER_BARS
    assert [count for count, _first in warned(shown, "bars_missed")] == [facts["bars_missed"]]


def test_bars_after_an_unsubscription_in_paper_are_not_missed(tc: Tc) -> None:
    spec = put(tc, [OWN], unsubscribe_at=3, paper=True)
    tc.ok("run", "paper", "--spec", spec, "--run-id", "r1")
    paper = tc.json("run", "show", "r1")["paper"]
    assert (paper["bars_seen"], paper["bars_missed"]) == (3, 0)
    (bars, _) = tc("run", "compare", "r1", "r1", "--json").document["parity"]["bars"]
    assert (bars["outcome"], bars["missing"], bars["not_subscribed"]) == ("same", 0, PAPER_BARS - 3)


def test_a_backtest_whose_control_died_has_the_subscriptions_that_were_known_as_unserved(tc: Tc) -> None:
    other = "3-MINUTE-LAST-EXTERNAL"
    control = tc.start("run", "backtest", "--spec", put(tc, [OWN, other], wait_at=5), "--run-id", "r1")
    wait_until((tc.home / "own" / "reached").exists, "the bar at which the strategy waits")
    wait_until(lambda: any(event["event"] == "subscription_unserved" for event in tc.events("r1")), "the event")
    control.send_signal(signal.SIGKILL)
    control.communicate()
    tc.ok("run", "recover", "r1")
    run = tc.json("run", "show", "r1")
    assert (run["status"], empty(run)) == ("interrupted", [(1, f"bars BTCUSDT-PERP.BINANCE-{other}")])
    tc.ok("run", "verify", "r1")
