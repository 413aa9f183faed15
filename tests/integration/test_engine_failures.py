"""What strategies and the engine can do to a run, and what the run says of it. Real engine, misbehaving strategies."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opslab.lab.context import context_of
from opslab.lab.run.plan import make_plan
from opslab.model.run.metadata import RunMetadata
from opslab.runs.backtest.run import run_backtest
from opslab.runs.claim import claim
from opslab.runs.lifecycle import RunContext
from opslab.runs.planning.plan import BacktestPlan
from opslab.runs.processes.child_process import ChildProcess
from opslab.settings import Settings
from opslab.system import StopSignals, SystemClock
from tests.drivers.tc import Tc

ROOT = Path(__file__).parents[2]
ENGINES = ROOT / "tests" / "fakes" / "engines.py"

RunWith = Callable[..., RunMetadata]


@pytest.fixture
def run_with(tc: Tc) -> RunWith:
    """Run `ops_smoke_demo` as an engine child of tests/fakes/engines.py understands it."""

    def run(engine: str, signals: StopSignals | None = None, **changes: Any) -> RunMetadata:
        home = context_of(Settings(tc.home, "--home"))
        plan = make_plan(home, Path(tc.spec(**changes)), "r1")
        assert isinstance(plan, BacktestPlan)
        command = (sys.executable, "-P", str(ENGINES), engine)
        context = RunContext(home.layout, home.clock, home.processes, home.redact, signals or StopSignals(), command)
        with claim(context, plan) as claimed:
            return run_backtest(claimed, context, lambda _bars: None)

    return run


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("RaisesOnBar", "on_bar raised ValueError: a strategy's own mistake"),
        ("RaisesOnStart", "on_start raised ValueError: cannot start"),
        ("RaisesOnFill", "on_order_filled raised ValueError: a mistake in a fill handler"),
    ],
)
def test_a_callback_that_raises_fails_the_run(run_with: RunWith, tc: Tc, engine: str, says: str) -> None:
    run = run_with(engine)
    assert run.status == "failed"
    assert run.failure is not None
    assert (run.failure.kind, run.failure.message) == ("strategy", says)
    assert "Traceback" in run.failure.detail
    assert says.split(" raised ")[1] in run.failure.detail
    assert str(ROOT) not in run.failure.detail
    assert run.result_digest is None
    assert run.metrics is not None
    assert run.metrics.bars_seen <= 6  # it ended there and then, not at the end of the data
    assert says.split(": ")[1] in (tc.run_folder("r1") / "report.html").read_text().replace("&#39;", "'")


def test_a_panic_of_the_engine_fails_the_run_with_its_text(run_with: RunWith, tc: Tc) -> None:
    run = run_with("Panics")
    assert run.status == "failed"
    assert run.failure is not None
    assert run.failure.kind == "engine"
    assert "panicked" in run.failure.message
    assert "unsendable" in run.failure.detail
    assert "unsendable" in (tc.run_folder("r1") / "report.md").read_text()
    assert "unsendable" in (tc.run_folder("r1") / "logs/engine.log").read_text()


def test_a_strategy_that_leaves_the_process_fails_the_run(run_with: RunWith) -> None:
    run = run_with("Exits")
    assert run.status == "failed"
    assert run.failure is not None
    assert "exit code 7" in run.failure.message


def test_a_strategy_that_missed_bars_did_not_complete(run_with: RunWith) -> None:
    run = run_with("SubscribesToNothing")
    assert run.status == "failed"
    assert run.failure is not None
    assert "0 bars of the dataset's 10080" in run.failure.message


def test_what_a_strategy_prints_goes_to_the_log_without_paths(run_with: RunWith, tc: Tc) -> None:
    assert run_with("Prints").status == "completed"
    text = (tc.run_folder("r1") / "logs/engine.log").read_text()
    assert "printed on stdout" in text
    assert "printed on stderr" in text


def test_a_bar_is_seen_at_its_close_and_not_before(run_with: RunWith, tc: Tc) -> None:
    assert run_with("SendsTimes").status == "completed"
    told = [event["payload"] for event in tc.events("r1") if event["event"] == "scenario_action_triggered"]
    first_open = 1_704_067_200_000_000_000
    closes = [first_open + n * 60_000_000_000 + 59_999_000_000 for n in range(5)]
    assert [times["ts_event"] for times in told] == closes
    assert [times["close"] for times in told] == [f"{close} {close}" for close in closes]


def test_margin_is_notional_over_leverage_as_on_the_venue(run_with: RunWith, tc: Tc) -> None:
    """At about 42,000 and 5 times leverage, 4,000 USDT carry 0.45 BTC and not 0.55."""
    account = {"starting_balances": {"USDT": 4000}, "leverage": 5}
    enough = run_with("BuysLess", account=account)
    assert enough.metrics is not None
    assert enough.metrics.fills_count > 0
    tc.run_folder("r1").rename(tc.run_folder("r0"))
    too_much = run_with("BuysTooMuch", account=account)
    assert too_much.denial_reasons == {"INITIAL_MARGIN_EXCEEDS_FREE_BALANCE": 1}


def test_a_strategy_that_hangs_is_killed_by_the_second_stop(run_with: RunWith, tc: Tc) -> None:
    """As with Ctrl-C pressed twice: the first asks, the second does not."""
    from tests.drivers.tc import wait_until

    class HaltProgress(StopSignals):
        def press(self) -> None:
            self.name = self.name or "SIGINT"
            self.count += 1
            self.on_signal(self.count)

    signals = HaltProgress()

    def press_twice() -> None:
        hung = "scenario_action_triggered"
        wait_until(lambda: any(event["event"] == hung for event in tc.events("r1")), "the strategy to hang")
        signals.press()
        signals.press()

    thread = threading.Thread(target=press_twice)
    thread.start()
    run = run_with("Hangs", signals)
    thread.join()
    assert (run.status, run.ended_by) == ("interrupted", "SIGINT")


def test_a_hanging_strategy_is_killed_when_its_time_to_stop_is_over(run_with: RunWith, tc: Tc) -> None:
    from tests.drivers.tc import wait_until

    signals = StopSignals()

    def stop_once() -> None:
        hung = "scenario_action_triggered"
        wait_until(lambda: any(event["event"] == hung for event in tc.events("r1")), "the strategy to hang")
        signals.name, signals.count = "SIGTERM", 1
        signals.on_signal(1)

    thread = threading.Thread(target=stop_once)
    thread.start()
    run = run_with("Hangs", signals)
    thread.join()
    assert (run.status, run.ended_by) == ("interrupted", "SIGTERM")


def test_an_engine_that_cannot_start_fails_the_run(tc: Tc, tmp_path: Path) -> None:
    from opslab.errors import Environment

    home = context_of(Settings(tc.home, "--home"))
    plan = make_plan(home, Path(tc.spec()), "r1")
    assert isinstance(plan, BacktestPlan)
    with pytest.raises(Environment):
        ChildProcess("engine", plan.engine, tmp_path / "log", SystemClock(), ("/nothing/here",))
