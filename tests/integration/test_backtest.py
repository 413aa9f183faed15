"""Backtests through the command line, in the real engine."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import FIRST_DAY, Tc, candle_lines, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
REAL = Path(__file__).parents[3] / "shared" / "data" / "btcusdt" / "btcusdt-usdm-1m-2025-05.csv"
SAMPLE_ROWS = 10_080
REAL_WEEK_ROWS = 10_080
"""Of the real candles' first seven days."""
PAPER_ROWS = 60
"""`max_bars` of the paper examples."""


def rows_of(tc: Tc, run_id: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tc.run_folder(run_id) / f"{name}.jsonl").read_text().splitlines()]


def backtest(tc: Tc, run_id: str, **changes: Any) -> Any:
    return tc.json("run", "backtest", "--spec", tc.spec(**changes), "--run-id", run_id)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_runs_to_completion(tc: Tc, path: Path) -> None:
    paper = path.stem.endswith("-paper")
    run = tc.json("run", "paper" if paper else "backtest", "--spec", str(path), "--run-id", "example")
    rows = PAPER_ROWS if paper else SAMPLE_ROWS
    assert (run["status"], run["metrics"]["bars_seen"]) == ("completed", rows)
    assert (tc.run_folder("example") / "run_spec.yaml").read_bytes() == path.read_bytes()


def test_the_run_folder_holds_what_was_promised(tc: Tc, finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    assert names == {
        "run_spec.yaml", "metadata.json", "journal.jsonl", "metrics.json", "orders.jsonl", "fills.jsonl",
        "positions.jsonl", "report.md", "report.html", "logs", "inputs", "manifest.json", "manifest-1.lines",
    }  # fmt: skip
    lifecycle = [event["event"] for event in tc.events("r1") if event["event"] != "order_event"]
    assert lifecycle == [
        "run_initialized", "kill_switch_observed", "run_started", "data_verified", "engine_started",
        "scenario_registered", "run_completed",
    ]  # fmt: skip
    files = [path for path in finished_run.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)
    assert str(tc.home).encode() not in everything
    assert sys.prefix.encode() not in everything
    # a file of binary digests has any three letters by chance
    text = "".join(path.read_text() for path in files if path.suffix != ".lines")
    for word in ("pnl", "profit", "realized", "return", "sharpe"):
        found = [line for line in text.lower().splitlines() if word in line and "no profit or return" not in line]
        assert not found, found[:1]


def test_the_smoke_scenario_counts_acts_once_and_sends_nothing(tc: Tc) -> None:
    run = backtest(tc, "r1")
    assert run["metrics"]["deterministic_action_triggered"] == 1
    assert run["metrics"]["orders_submitted"] == 0
    assert [event["payload"]["bar"] for event in tc.events("r1") if event["event"] == "scenario_action_triggered"] == [
        10
    ]


def test_orders_fills_positions_and_journal_tell_one_story(tc: Tc, finished_run: Path) -> None:
    run = json.loads((finished_run / "metadata.json").read_text())
    orders, fills, positions = (rows_of(tc, "r1", name) for name in ("orders", "fills", "positions"))
    metrics = run["metrics"]
    told = Counter(event["payload"]["type"] for event in tc.events("r1") if event["event"] == "order_event")
    assert metrics["orders_submitted"] == told["OrderSubmitted"] == len(orders)
    assert metrics["fills_count"] == told["OrderFilled"] == len(fills)
    assert metrics["orders_canceled"] == told["OrderCanceled"] > 0
    assert run["orders"] == {
        **{name: metrics[f"orders_{name}"] for name in ("submitted", "denied", "rejected", "canceled")},
        "expired": 0,
        "filled": len([order for order in orders if order["status"] == "FILLED"]),
        "fills": metrics["fills_count"],
    }
    filled: dict[str, Decimal] = {}
    for fill in fills:
        filled[fill["client_order_id"]] = filled.get(fill["client_order_id"], Decimal(0)) + Decimal(fill["last_qty"])
    for order in orders:
        assert filled.get(order["client_order_id"], Decimal(0)) == Decimal(order["filled_qty"])
    assert {order["type"] for order in orders if order["status"] == "FILLED"} == {"MARKET", "LIMIT"}
    assert positions[0]["ts_opened"] <= 1_704_067_200_000_000_000 + 2 * 60_000_000_000  # within the first two bars
    assert all(position["buy_qty"] == position["sell_qty"] for position in positions[:-1])
    assert len(positions) > 300
    assert not any("pnl" in key or "return" in key for position in positions for key in position)


def test_equal_inputs_give_equal_bytes_in_another_home(tc: Tc, tmp_path: Path) -> None:
    other = Tc(tmp_path / "other")
    shutil.copytree(tc.home, other.home)
    first = backtest(tc, "one", strategy="order_lifecycle_demo", data=FIRST_DAY)
    second = backtest(other, "two", strategy="order_lifecycle_demo", data=FIRST_DAY)
    assert first["input_digest"] == second["input_digest"]
    assert first["result_digest"] == second["result_digest"] is not None
    for name in ("orders", "fills", "positions"):
        one, two = (home.run_folder(run) / f"{name}.jsonl" for home, run in ((tc, "one"), (other, "two")))
        assert one.read_bytes() == two.read_bytes()
        digest = "sha256:" + hashlib.sha256(one.read_bytes()).hexdigest()
        assert first["artifacts"][f"{name}.jsonl"] == digest


def test_fees_really_reach_the_engine(tc: Tc) -> None:
    fees = {"maker": "0.0001", "taker": "0.0100"}
    backtest(tc, "r1", strategy="order_lifecycle_demo", data=FIRST_DAY, account={"fees": fees})
    for fill in rows_of(tc, "r1", "fills")[:200]:
        rate = Decimal(fees["maker" if fill["liquidity_side"] == "MAKER" else "taker"])
        want = Decimal(fill["last_qty"]) * Decimal(fill["last_px"]) * rate
        assert abs(Decimal(fill["commission"].split()[0]) - want) < Decimal("0.00000001")


def test_an_account_too_small_for_the_margin_has_its_orders_denied(tc: Tc) -> None:
    poor = {"starting_balances": {"USDT": 10}, "leverage": 1}
    run = backtest(tc, "r1", strategy="order_lifecycle_demo", data=FIRST_DAY, account=poor)
    assert run["metrics"]["fills_count"] == 0
    assert run["metrics"]["orders_denied"] > 0
    assert "INITIAL_MARGIN_EXCEEDS_FREE_BALANCE" in run["denial_reasons"]


def expensive(tc: Tc, tmp_path: Path) -> None:
    """Candles at 2,000,000: the smallest quantity is worth 2,000."""
    csv = tmp_path / "expensive.csv"
    csv.write_text("\n".join(candle_lines(40, price="2000000.0")) + "\n")
    tc.ok("data", "import", str(csv), "--dataset", "expensive")


def test_an_order_over_the_profiles_limit_is_denied_and_seen(tc: Tc, tmp_path: Path) -> None:
    expensive(tc, tmp_path)
    changes: dict[str, Any] = {"strategy": "order_lifecycle_demo", "dataset": "expensive"}
    tiny = backtest(tc, "tiny", **changes, risk={"profile": "tiny"})
    standard = backtest(tc, "standard", **changes, risk={"profile": "standard"})
    assert tiny["metrics"]["orders_denied"] == 40
    assert tiny["denial_reasons"] == {"NOTIONAL_EXCEEDS_MAX_PER_ORDER": 40}
    assert tiny["metrics"]["fills_count"] == 0
    assert standard["metrics"]["orders_denied"] == 0
    assert standard["metrics"]["fills_count"] > 0
    assert "NOTIONAL_EXCEEDS_MAX_PER_ORDER" in (tc.run_folder("tiny") / "report.md").read_text()
    assert "NOTIONAL_EXCEEDS_MAX_PER_ORDER" in tc.ok("run", "show", "tiny").out
    assert rows_of(tc, "tiny", "orders")[0]["reason"].startswith("NOTIONAL_EXCEEDS_MAX_PER_ORDER")


def test_every_profile_lets_the_order_scenario_through(tc: Tc) -> None:
    for profile in ("tiny", "standard"):
        run = backtest(tc, profile, strategy="order_lifecycle_demo", data=FIRST_DAY, risk={"profile": profile})
        assert run["metrics"]["orders_denied"] == run["metrics"]["orders_rejected"] == 0


def test_what_is_switched_off_is_not_written(tc: Tc, finished_run: Path) -> None:
    off = {"journal": False, "metrics": False, "report": False}
    run = backtest(tc, "off", strategy="order_lifecycle_demo", data=FIRST_DAY, observability=off)
    names = {path.name for path in tc.run_folder("off").iterdir()}
    assert not names & {"metrics.json", "report.md", "report.html"}
    events = {event["event"] for event in tc.events("off")}
    assert "order_event" not in events
    assert {"run_initialized", "run_started", "run_completed"} <= events
    assert run["metrics"]["fills_count"] > 0
    assert run["result_digest"] == json.loads((finished_run / "metadata.json").read_text())["result_digest"]


def test_the_dataset_in_pieces_gives_the_same_result(tc: Tc, tmp_path: Path) -> None:
    lines = candle_lines(300)
    for name, parts in (("whole", [lines]), ("parts", [lines[:100], [lines[0], *lines[100:]]])):
        files = []
        for index, part in enumerate(parts):
            files.append(tmp_path / f"{name}{index}.csv")
            files[-1].write_text("\n".join(part) + "\n")
        tc.ok("data", "import", *map(str, files), "--dataset", name)
    results = [backtest(tc, name, strategy="order_lifecycle_demo", dataset=name) for name in ("whole", "parts")]
    assert results[0]["dataset"]["fingerprint"] == results[1]["dataset"]["fingerprint"]
    assert results[0]["result_digest"] == results[1]["result_digest"]


# --- refusals: nothing is written, the name is not used up ---------------------------------------------------------


def refused(tc: Tc, code: int, **changes: Any) -> None:
    run_id = changes.pop("run_id", "r1")
    answer = tc("run", "backtest", "--spec", tc.spec(**changes), "--run-id", run_id)
    assert answer.code == code, answer.err
    assert answer.err.count("tc: error: ") == 1
    assert answer.out == ""
    assert not any(tc.home.glob("artifacts/runs/*"))


def test_another_fingerprint_refuses_to_start(tc: Tc) -> None:
    refused(tc, 6, fingerprint="sha256:" + "0" * 64)
    record = tc.json("data", "list")["datasets"][0]
    assert backtest(tc, "r1", fingerprint=record["fingerprint"])["status"] == "completed"


def test_changed_candles_refuse_to_start(tc: Tc) -> None:
    (file,) = tc.home.glob("data/datasets/btcusdt-sample/data/bars/*/*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    refused(tc, 6)
    assert tc("data", "fingerprint", "--dataset", "btcusdt-sample").code == 6


def test_an_added_bar_file_refuses_to_start(tc: Tc) -> None:
    (file,) = tc.home.glob("data/datasets/btcusdt-sample/data/bars/*/*.parquet")
    shutil.copy(file, file.with_name("2024-02-01T00-00-59-999000000Z_2024-02-07T23-59-59-999000000Z.parquet"))
    refused(tc, 6)


def test_a_missing_dataset_is_not_found(tc: Tc) -> None:
    refused(tc, 5, dataset="btcusdt-sampel")


@pytest.mark.parametrize("run_id", ["../x", "a/b", "/abs", "", "a" * 300, "a\nb", "🚀", "-x", "a__b"])
def test_a_bad_run_id_is_refused(tc: Tc, run_id: str) -> None:
    answer = tc("run", "backtest", "--spec", tc.spec(), f"--run-id={run_id}")
    assert answer.code == 2
    assert not any(tc.home.glob("artifacts/**/*"))


def test_an_existing_run_is_left_alone(tc: Tc) -> None:
    backtest(tc, "r1")
    before = {path: path.read_bytes() for path in tc.run_folder("r1").rglob("*") if path.is_file()}
    assert tc("run", "backtest", "--spec", tc.spec(), "--run-id", "r1").code == 5
    assert before == {path: path.read_bytes() for path in tc.run_folder("r1").rglob("*") if path.is_file()}


def test_a_home_that_cannot_be_written_is_refused(tc: Tc) -> None:
    shutil.rmtree(tc.home / "artifacts", ignore_errors=True)
    (tc.home / "artifacts").write_text("a file where a folder belongs")
    answer = tc("run", "backtest", "--spec", tc.spec(), "--run-id", "r1")
    assert answer.code == 5
    assert tc("data", "prepare", "--dataset", "btcusdt-sample", "--home", "/proc/nothing").code == 5


def test_ten_want_one_name_and_one_gets_it(tc: Tc) -> None:
    spec = tc.spec()
    contenders = [tc.start("run", "backtest", "--spec", spec, "--run-id", "wanted", "--json") for _ in range(6)]
    codes = []
    for contender in contenders:
        contender.communicate(timeout=300)
        codes.append(contender.returncode)
    assert sorted(codes) == [0, 5, 5, 5, 5, 5]
    assert tc.json("run", "show", "wanted")["status"] == "completed"
    assert [path.name for path in (tc.home / "artifacts/runs").iterdir()] == ["wanted"]


# --- stopped -------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(long_tc: Callable[[], Tc], request: pytest.FixtureRequest) -> tuple[Tc, str, subprocess.Popen[str]]:
    """A backtest of two million bars, seen to be on its way."""
    tc = long_tc()
    run_id = "r-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    process = tc.start("run", "backtest", "--spec", tc.spec(dataset="long"), "--run-id", run_id)
    reached = "scenario_action_triggered"
    wait_until(lambda: any(event["event"] == reached for event in tc.events(run_id)), f"{reached} of {run_id}")
    return tc, run_id, process


def engine_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_the_run_as_interrupted(running: tuple[Tc, str, subprocess.Popen[str]], number: int) -> None:
    tc, run_id, process = running
    engine = engine_of(process)
    process.send_signal(number)
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert gone(engine)
    run = tc.json("run", "show", run_id)
    assert (run["status"], run["ended_by"]) == ("interrupted", signal.Signals(number).name)
    assert 0 < run["metrics"]["bars_seen"] < 2_000_000
    assert run["result_digest"] is None
    assert tc.events(run_id)[-1]["event"] == "run_interrupted"
    assert not (tc.home / "runtime/work" / run_id).exists()


LAST_BAR = """
import time
from pathlib import Path
from nautilus_trader.model import Bar, BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

class LastBar(Strategy):
    def on_start(self):
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar: Bar):
        if bar.ts_event != LAST:
            return
        Path("FOLDER/reached").touch()
        while not Path("FOLDER/go").exists():
            time.sleep(0.01)
            if self._opslab_recorder.stop_requested:
                break
        order = self.order_factory.market(
            InstrumentId.from_str("BTCUSDT-PERP.BINANCE"), OrderSide.BUY, Quantity.from_str("0.010")
        )
        self.submit_order(order)
"""


@pytest.mark.parametrize("signaled", ["tc", "engine", None])
def test_a_stop_during_the_last_bar_is_never_completed(tc: Tc, signaled: str | None) -> None:
    """The gate closes before the strategy sends its order, so the result is not that of the whole data."""
    folder = tc.home / "own"
    folder.mkdir()
    data = {"dataset": "btcusdt-sample", "end": "2024-01-01T00:30:00Z"}
    last_ns = 1_704_067_200_000_000_000 + 30 * 60_000_000_000 - 1_000_000
    (folder / "last.py").write_text(LAST_BAR.replace("FOLDER", str(folder)).replace("LAST:", f"{last_ns}:"))
    process = tc.start(
        "run", "backtest", "--spec", tc.own_spec(folder, {"path": "last:LastBar"}, data=data), "--run-id", "r1"
    )
    wait_until((folder / "reached").exists, "the last bar")
    if signaled == "tc":
        process.send_signal(signal.SIGINT)
    elif signaled == "engine":
        os.kill(engine_of(process), signal.SIGTERM)
    else:
        (folder / "go").touch()
    process.communicate(timeout=300)
    run = tc.json("run", "show", "r1")
    assert run["metrics"]["bars_seen"] == 30
    if signaled is None:
        assert (process.returncode, run["status"], run["metrics"]["orders_submitted"]) == (0, "completed", 1)
        return
    assert run["metrics"]["orders_submitted"] == 0
    assert run["denial_reasons"] == {"RUN_IS_ENDING": 1}
    assert run["result_digest"] is None
    expected = (130, "interrupted", "SIGINT") if signaled == "tc" else (1, "failed", None)
    assert (process.returncode, run["status"], run["ended_by"]) == expected


def test_a_killed_tc_is_shown_as_interrupted_and_leaves_no_engine(
    running: tuple[Tc, str, subprocess.Popen[str]],
) -> None:
    tc, run_id, process = running
    engine = engine_of(process)
    process.kill()
    process.communicate(timeout=300)
    run = tc.json("run", "show", run_id)
    assert (run["status"], run["ended_by"]) == ("interrupted", "owner_gone")
    listed = {row["run_id"]: row["status"] for row in tc.json("run", "list")["runs"]}
    assert listed[run_id] == "interrupted"
    wait_until(lambda: gone(engine), "the engine to notice that its parent is gone")


def test_a_killed_engine_makes_the_run_failed(running: tuple[Tc, str, subprocess.Popen[str]]) -> None:
    tc, run_id, process = running
    os.kill(engine_of(process), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    run = tc.json("run", "show", run_id)
    assert (run["status"], run["failure"]["kind"]) == ("failed", "engine")
    assert "SIGKILL" in run["failure"]["message"]
    assert "Traceback" not in err


def test_a_running_run_is_shown_as_running(running: tuple[Tc, str, subprocess.Popen[str]]) -> None:
    tc, run_id, process = running
    assert tc.json("run", "show", run_id)["status"] == "running"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)


@pytest.mark.skipif(not REAL.exists(), reason="the real candles are not on this machine")
def test_real_candles_run_and_verify(tc: Tc) -> None:
    tc.ok("data", "import", str(REAL), "--dataset", "may")
    week = {"dataset": "may", "end": "2025-05-11T15:33:00Z"}
    run = backtest(tc, "one", strategy="order_lifecycle_demo", data=week)
    assert run["metrics"]["bars_seen"] == REAL_WEEK_ROWS
    assert tc("run", "verify", "one").code == 0
