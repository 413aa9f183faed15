"""The log of engine and strategy, as an operator meets it: stored, counted, bounded, a warning when it has errors."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import Tc, candle_lines, wait_until

CHATTY = Path(__file__).parents[1] / "strategies" / "logging" / "chatty.py"
ROWS = 10
KEPT_BYTES = 8 << 20


def spec_of(tc: Tc, name: str = "Chatty", log: str | None = None, rows: int = ROWS, **changes: Any) -> str:
    """A spec for a strategy of `chatty.py` on a dataset of `rows` candles."""
    folder = tc.home / "own"
    if not folder.exists():
        folder.mkdir()
        shutil.copy(CHATTY, folder)
        candles = tc.home / "candles.csv"
        candles.write_text("\n".join(candle_lines(rows, price=changes.pop("price", "42000.1"))) + "\n")
        tc.ok("data", "import", str(candles), "--dataset", "candles", *changes.pop("options", ()))
    block: dict[str, Any] = {"path": f"chatty:{name}"}
    if name == "Chatty":
        block |= {"config_path": "chatty:ChattyConfig", "config": changes.pop("config", {})}
    if log:
        changes["observability"] = {"log": log}
    return tc.own_spec(folder, block, dataset="candles", **changes)


def log_of(tc: Tc, run_id: str) -> str:
    return (tc.run_folder(run_id) / "logs" / "engine.log").read_text()


def codes(run: Any) -> dict[str, int]:
    return {warning["code"]: warning["count"] for warning in run["warnings"]}


def test_a_backtest_keeps_and_counts_warnings_and_errors_of_its_strategy(tc: Tc) -> None:
    run = tc.json("run", "backtest", "--spec", spec_of(tc), "--run-id", "r1")
    lines = log_of(tc, "r1").splitlines()
    assert [sum(f"[{level}]" in line for line in lines) for level in ("ERROR", "WARN", "INFO")] == [ROWS, ROWS, 0]
    assert lines[1].startswith("2024-01-01T00:00:59.999000000Z [ERROR] OPSLAB-001.LAB-001: error at bar 1")
    log = run["log"]
    assert (log["level"], log["lines"], log["omitted_bytes"]) == ("warning", {"ERROR": ROWS, "WARN": ROWS}, 0)
    error, _warning = log["kinds"]
    assert (error["component"], error["count"], error["first"][:19]) == ("LAB-001", ROWS, "2024-01-01T00:00:59")
    assert codes(run) == {"log_errors": ROWS}
    assert run["warnings"][0]["first"] == f"logs/engine.log at {error['first']}"
    assert run["log"] == tc.events("r1")[-1]["payload"]["log"]
    assert str(tc.home) not in log_of(tc, "r1") + str(run)
    shown = tc.ok("run", "show", "r1").out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in shown if line.startswith("log ")] == ["10 ERROR, 10 WARN (logs/)"]
    assert "Log of engine and strategy" in (tc.run_folder("r1") / "report.md").read_text()
    tc.ok("run", "verify", "r1")


def test_the_level_changes_what_is_stored_and_neither_the_digests_nor_the_warnings(tc: Tc) -> None:
    runs = {
        level: tc.json("run", "backtest", "--spec", spec_of(tc, log=level), "--run-id", level)
        for level in ("off", "error", "info")
    }
    stored = {
        level: [name for name in ("ERROR", "WARN", "INFO") if f"[{name}] OPSLAB-001.LAB-001" in text]
        for level, text in {"error": log_of(tc, "error"), "info": log_of(tc, "info")}.items()
    }
    assert stored == {"error": ["ERROR"], "info": ["ERROR", "WARN", "INFO"]}
    assert not (tc.run_folder("off") / "logs" / "engine.log").exists()  # nothing was printed
    assert len({(run["result_digest"], run["input_digest"], str(run["warnings"])) for run in runs.values()}) == 1
    assert {level: run["log"]["lines"]["WARN"] for level, run in runs.items()} == dict.fromkeys(runs, ROWS)
    tc.ok("run", "reproduce", "info")
    tc.ok("run", "compare", "off", "info")


def test_a_paper_run_keeps_the_level_of_its_spec(tc: Tc) -> None:
    spec = spec_of(tc, log="info", mode="paper", paper={"speed": "max", "max_bars": 5})
    run = tc.json("run", "paper", "--spec", spec, "--run-id", "p1")
    mine = [line for line in log_of(tc, "p1").splitlines() if ".LAB-001: " in line]
    assert [sum(f"[{level}] " in line for line in mine) for level in ("ERROR", "WARN")] == [5, 5]
    assert sum("an info line" in line for line in mine) == 5
    own = {kind["level"]: kind["count"] for kind in run["log"]["kinds"] if kind["component"] == "LAB-001"}
    assert (own["ERROR"], own["WARN"]) == (5, 5)
    assert codes(run)["log_errors"] >= 5


def test_a_long_log_is_bounded_and_its_lines_are_counted(tc: Tc) -> None:
    spec = spec_of(tc, config={"lines": 8_000})
    run = tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")
    assert run["log"]["lines"] == {"ERROR": ROWS, "WARN": 8_000 * ROWS}
    text = log_of(tc, "r1")
    omitted = run["log"]["omitted_bytes"]
    assert codes(run)["log_omitted"] == omitted > 0
    assert f"\n... {omitted} bytes omitted ...\n" in text
    assert len(text) <= KEPT_BYTES + 100
    assert "error at bar 1," in text
    assert f"error at bar {ROWS}," in text


@pytest.mark.parametrize(("ends", "bars"), [("raise", 5), ("thread", ROWS)])
def test_no_line_is_lost_at_a_failure_or_when_the_process_is_left_at_once(tc: Tc, ends: str, bars: int) -> None:
    spec = spec_of(tc, config={"lines": 2_000, "ends": ends})
    tc("run", "backtest", "--spec", spec, "--run-id", "r1")
    run = tc.json("run", "show", "r1")
    assert run["status"] == ("failed" if ends == "raise" else "completed")
    assert run["log"]["lines"]["WARN"] == 2_000 * bars
    assert f"warning 1999 at bar {bars}:" in log_of(tc, "r1")


def test_the_log_of_a_run_whose_control_died_is_counted_by_recover(tc: Tc) -> None:
    control = tc.start("run", "backtest", "--spec", spec_of(tc, config={"ends": "block"}), "--run-id", "r1")
    path = tc.run_folder("r1") / "logs" / "engine.log"
    wait_until(lambda: path.exists() and "error at bar 5" in path.read_text(), "the log of bar 5")
    control.send_signal(signal.SIGKILL)
    control.communicate()
    tc.ok("run", "recover", "r1")
    run = tc.json("run", "show", "r1")
    assert (run["status"], run["log"]["lines"]) == ("interrupted", {"ERROR": 5, "WARN": 5})
    assert codes(run) == {"log_errors": 5}
    assert str(tc.home) not in log_of(tc, "r1")
    tc.ok("run", "verify", "r1")


@pytest.mark.parametrize("level", ["warning", "off"])
def test_orders_that_the_engine_skipped_are_counted_with_the_reason_at_every_level(tc: Tc, level: str) -> None:
    spec = spec_of(tc, "Buyer", level, price="42000.15", options=("--allow", "off_tick"))
    run = tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")
    assert (run["status"], run["metrics"]["orders_submitted"], run["metrics"]["fills_count"]) == ("completed", ROWS, 0)
    assert {name: codes(run).get(name) for name in ("orders_skipped", "orders_unanswered")} == {
        "orders_skipped": ROWS,
        "orders_unanswered": None,
    }
    (skipped,) = (warning for warning in run["warnings"] if warning["code"] == "orders_skipped")
    assert "fill price # is not compatible with BTCUSDT-PERP.BINANCE" in skipped["text"]
    assert skipped["first"] == "O-20240101-000059-001-001-1"


def test_the_engines_reason_for_orders_that_were_never_submitted_is_a_warning(tc: Tc) -> None:
    run = tc.json("run", "backtest", "--spec", spec_of(tc, "Delegating"), "--run-id", "r1")
    assert (run["status"], codes(run)) == ("completed", {"orders_not_submitted": ROWS, "log_errors": ROWS})
    assert "no registered endpoint 'TWAP.execute'" in run["warnings"][1]["text"]


DRAINS = """
import os, signal
from nautilus_trader.common import Logger, LogLevel, init_logging
from nautilus_trader.core import UUID4
from nautilus_trader.model import TraderId
from opslab.nautilus.engine_log import drain_log
guard = init_logging(TraderId("A-001"), UUID4(), LogLevel.WARNING, is_colored=False)
logger = Logger("B-001")
for number in range(100_000):
    logger.warning(f"line {number}")
drain_log()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_drained_log_is_complete_when_the_process_is_killed_next(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        done = subprocess.run([sys.executable, "-c", DRAINS], stdout=log, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "log").read_bytes().count(b"[WARN]") == 100_000
