"""`tc run reproduce`: from what was stored, and it can say no."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.tc import FIRST_DAY, Tc, candle_lines, wait_until

STRATEGIES = Path(__file__).parents[1] / "strategies"
REAL = Path(__file__).parents[3] / "shared" / "data" / "btcusdt" / "btcusdt-usdm-1m-2025-05.csv"


def backtest(tc: Tc, run_id: str = "r1", **changes: Any) -> Any:
    return tc.json("run", "backtest", "--spec", tc.spec(**changes), "--run-id", run_id)


def reproduce(tc: Tc, code: int, *words: str) -> Any:
    answer = tc("run", "reproduce", "r1", *words, "--json")
    assert answer.code == code, answer.err
    return answer.document


def runs(tc: Tc) -> list[str]:
    return [row["run_id"] for row in tc.json("run", "list")["runs"]]


def test_a_run_comes_out_the_same_and_leaves_nothing(tc: Tc) -> None:
    run = backtest(tc, strategy="order_lifecycle_demo", data=FIRST_DAY)
    before = {path: path.read_bytes() for path in tc.run_folder("r1").rglob("*") if path.is_file()}
    found = reproduce(tc, 0, "--times", "3")
    assert (found["verdict"], found["agreed"], found["repeated"], found["inputs"]) == ("pass", 3, 3, "same")
    assert {one["result_digest"] for one in found["repetitions"]} == {run["result_digest"]}
    assert runs(tc) == ["r1"]
    assert sorted(path.name for path in (tc.home / "artifacts/runs").iterdir()) == ["r1"]
    assert before == {path: path.read_bytes() for path in tc.run_folder("r1").rglob("*") if path.is_file()}
    assert not any((tc.home / "runtime/reproduce").iterdir())


def test_kept_reproductions_are_runs_that_say_what_they_repeat(tc: Tc) -> None:
    backtest(tc)
    reproduce(tc, 0, "--times", "2", "--keep")
    assert runs(tc) == ["r1", "r1-again-1", "r1-again-2"]
    assert tc.json("run", "show", "r1-again-2")["reproduces"] == "r1"
    assert tc("run", "verify", "--all").code == 0
    assert tc("run", "compare", "r1", "r1-again-1").code == 0


def test_the_stored_strategy_is_what_runs_not_the_one_of_today(tc: Tc) -> None:
    folder = tc.home / "own"
    shutil.copytree(STRATEGIES / "good" / "values", folder)
    spec = tc.own_spec(folder, (folder / "strategy.yaml").read_text())
    tc.json("run", "backtest", "--spec", spec, "--run-id", "r1")
    shutil.rmtree(folder)
    assert reproduce(tc, 0)["inputs"] == "same"


def test_an_installed_strategy_is_stored_too(tc: Tc) -> None:
    folder, package = tc.home / "own", tc.home / "own" / "mypack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "limits.txt").write_text("7")
    source = (STRATEGIES / "good" / "values" / "values.py").read_text()
    (package / "values.py").write_text(
        source + "\nfrom pathlib import Path\nassert Path(__file__).with_name('limits.txt').read_text() == '7'\n"
    )
    block = (STRATEGIES / "good" / "values" / "strategy.yaml").read_text().replace("values:", "mypack.values:")
    tc.json("run", "backtest", "--spec", tc.own_spec(folder, block), "--run-id", "r1")
    shutil.rmtree(package)
    assert reproduce(tc, 0)["agreed"] == 1
    assert (tc.run_folder("r1") / "inputs/strategy/mypack/limits.txt").read_text() == "7"


def test_a_result_that_does_not_come_again_is_named(tc: Tc) -> None:
    """A strategy that looks at something outside of its inputs: a file."""
    folder = tc.home / "own"
    folder.mkdir()
    (folder / "moody.py").write_text(MOODY.replace("FILE", str(tc.home / "mood")))
    (tc.home / "mood").write_text("20")
    tc.json("run", "backtest", "--spec", tc.own_spec(folder, {"path": "moody:Moody"}), "--run-id", "r1")
    assert reproduce(tc, 0)["verdict"] == "pass"
    (tc.home / "mood").write_text("30")
    found = reproduce(tc, 1, "--times", "2")
    assert (found["verdict"], found["inputs"], found["agreed"]) == ("fail", "same", 0)
    first = found["comparison"]["first"]
    assert first["file"] == "journal.jsonl"
    assert (first["a"]["content"]["payload"]["ts_event"], first["b"]["content"]["payload"]["ts_event"]) == (
        close_of(20),
        close_of(30),
    )
    assert runs(tc) == ["r1", "r1-again-1", "r1-again-2"]  # kept, to be looked at


MOODY = """
from pathlib import Path
from nautilus_trader.model import BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy

class Moody(Strategy):
    def on_start(self):
        self.seen = 0
        self.at = int(Path("FILE").read_text())
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar):
        self.seen += 1
        if self.seen == self.at:
            order = self.order_factory.market(
                InstrumentId.from_str("BTCUSDT-PERP.BINANCE"), OrderSide.BUY, Quantity.from_str("0.010")
            )
            self.submit_order(order)
"""


def close_of(bar: int) -> int:
    return 1_704_067_200_000_000_000 + (bar - 1) * 60_000_000_000 + 59_999_000_000


def test_the_candles_of_then_are_found_under_another_name_and_others_are_refused(tc: Tc) -> None:
    csv = tc.home / "c.csv"
    csv.write_text("\n".join(candle_lines(30)) + "\n")
    tc.ok("data", "import", str(csv), "--dataset", "one")
    backtest(tc, dataset="one")
    shutil.rmtree(tc.home / "data/datasets/one")
    (tc.home / "data/fingerprints/one.json").unlink()
    assert tc("run", "reproduce", "r1").code == 5
    tc.ok("data", "import", str(csv), "--dataset", "another")
    assert reproduce(tc, 0)["inputs"] == "same"
    shutil.rmtree(tc.home / "data/datasets/another")
    csv.write_text("\n".join(candle_lines(31)) + "\n")
    tc.ok("data", "import", str(csv), "--dataset", "one")
    assert tc("run", "reproduce", "r1").code == 6


def test_what_has_no_result_or_was_changed_is_refused(tc: Tc) -> None:
    tc.ok("run", "init", "--spec", tc.spec(), "--run-id", "r1")
    assert tc("run", "reproduce", "r1").code == 2
    backtest(tc)
    assert tc("run", "reproduce", "r1", "--times", "0").code == 2
    (tc.run_folder("r1") / "run_spec.yaml").write_text("{}")
    assert tc("run", "reproduce", "r1").code == 6
    assert runs(tc) == ["r1"]


def test_a_stop_ends_it_and_keeps_what_there_is(long_tc: Callable[[], Tc]) -> None:
    tc = long_tc()
    backtest(tc, "whole", dataset="long")
    process = tc.start("run", "reproduce", "whole", "--times", "5", "--json")

    def events() -> set[str]:
        return {event["event"] for event in tc.events("whole-again-1")}

    wait_until(lambda: "scenario_action_triggered" in events(), "the reproduction to be on its way")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    found = json.loads(out)
    assert (found["verdict"], found["repeated"]) == ("unknown", 1)
    assert tc.json("run", "show", "whole-again-1")["status"] == "interrupted"
    assert tc("run", "verify", "whole-again-1").code == 0


@pytest.mark.skipif(not REAL.exists(), reason="the real candles are not on this machine")
def test_the_real_candles_come_out_the_same(tc: Tc) -> None:
    tc.ok("data", "import", str(REAL), "--dataset", "may")
    backtest(tc, strategy="order_lifecycle_demo", data={"dataset": "may", "end": "2025-05-07T00:00:00Z"})
    assert reproduce(tc, 0)["verdict"] == "pass"
