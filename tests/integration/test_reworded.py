"""Codes decide, sentences do not: with every sentence of control, engine and venue reworded, the same is recorded."""

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from opslab.model.run import warning
from tests.drivers import reworded
from tests.drivers.paper_run import PaperRun, living_in, paper_spec
from tests.drivers.reworded import Reword
from tests.drivers.tc import Answer, Tc, candle_lines, wait_until

REWORDED = (sys.executable, "-P", str(Path(reworded.__file__)), "opslab")
RUN = "reworded"
STRATEGY = """
from nautilus_trader.model import BarType
from nautilus_trader.trading import Strategy

class Raises(Strategy):
    def on_start(self):
        self.subscribe_bars(BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar):
        raise ValueError("on purpose")

class ReplacesItsHandler(Raises):
    def on_start(self):
        super().on_start()
        self.on_bar = lambda bar: None
"""


def tc_reworded(tc: Tc, *words: str) -> Answer:
    done = subprocess.run(
        [*REWORDED, *words],
        capture_output=True,
        text=True,
        cwd=tc.home,
        env=tc.environment(),
        timeout=300,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def paper_run(tc: Tc, spec: str) -> Iterator[PaperRun]:
    with PaperRun(tc, spec, RUN, command=REWORDED) as run:
        yield run


def shown(tc: Tc, run_id: str = RUN) -> dict[str, Any]:
    document: dict[str, Any] = tc.json("run", "show", run_id)
    return document


def test_the_driver_rewords(tc: Tc) -> None:
    """Else nothing below could fail."""
    plain, other = tc("run", "show", "absent"), tc_reworded(tc, "run", "show", "absent")
    assert (plain.code, other.code) == (5, 5)
    assert plain.err != other.err


@pytest.mark.parametrize("text", warning._TEXTS.values(), ids=warning._TEXTS)
def test_a_template_keeps_its_fields(text: str) -> None:
    """Else the reworded process fails whenever it has this to say."""
    (expression,) = ast.walk(Reword("x").visit(ast.parse(repr(text), mode="eval").body))
    assert isinstance(expression, ast.Constant)
    assert isinstance(expression.value, str)
    fields, reworded_fields = ([part[1:3] for part in Formatter().parse(each)] for each in (text, expression.value))
    assert fields == reworded_fields


@pytest.mark.parametrize(("bars", "ended_by"), [(30, "max_bars"), (None, "end_of_data")])
def test_a_run_that_saw_all_its_bars(tc: Tc, bars: int | None, ended_by: str) -> None:
    limits = {"speed": "max", "max_seconds": 600} | ({"max_bars": bars} if bars else {})
    spec = tc.spec(
        strategy="ops_smoke_demo",
        mode="paper",
        paper=limits,
        data={"dataset": "btcusdt-sample", "end": "2024-01-01T00:30:00Z"},
    )
    with paper_run(tc, spec) as run:
        assert run.end().code == 0
    metadata = shown(tc)
    assert (metadata["status"], metadata["ended_by"]) == ("completed", ended_by)
    assert metadata["paper"]["bars_seen"] == metadata["paper"]["bars_expected"]


def test_a_run_that_is_stopped(tc: Tc) -> None:
    with paper_run(tc, paper_spec(tc, speed=600, max_bars=2_000)) as run:
        run.wait_for_bars(3)
        run.signal(signal.SIGTERM)
        assert run.end().code == 130
    metadata = shown(tc)
    assert (metadata["status"], metadata["ended_by"]) == ("interrupted", "SIGTERM")


@pytest.mark.parametrize("name", ["Raises", "ReplacesItsHandler"])
def test_a_strategy_that_fails(tc: Tc, tmp_path: Path, name: str) -> None:
    """It is the strategy's failure, so that no new engine is started."""
    (tmp_path / "mine.py").write_text(STRATEGY)
    spec = tc.own_spec(
        tmp_path,
        {"path": f"mine:{name}"},
        mode="paper",
        paper={"speed": 600, "max_bars": 5, "restart": "on_failure"},
    )
    with paper_run(tc, spec) as run:
        assert run.end().code == 1
    metadata = shown(tc)
    assert (metadata["status"], metadata["failure"]["kind"]) == ("failed", "strategy")
    assert [engine["number"] for engine in metadata["paper"]["engines"]] == [1]


def test_a_run_whose_control_died(tc: Tc) -> None:
    """The event log of its venue has the moment, by a name and not by a sentence."""
    with paper_run(tc, paper_spec(tc, speed=600, max_bars=2_000)) as run:
        run.wait_for("order_event", lambda payload: payload["type"] == "OrderFilled")
        run.process.kill()
        run.process.wait()
        wait_until(lambda: list(living_in(run.home)) == [], "engine and venue to end by themselves")
    assert tc_reworded(tc, "run", "recover", RUN).code == 0
    metadata = shown(tc)
    assert (metadata["status"], metadata["ended_by"]) == ("interrupted", "owner_gone")
    assert metadata["paper"]["final_account"]["flat"]
    assert metadata["paper"]["stop"]["seconds_to_flat"] is not None


def test_what_verify_finds(tc: Tc) -> None:
    for run_id, missing in (("a", "journal.jsonl"), ("b", "manifest.json")):
        tc.ok("run", "backtest", "--spec", tc.spec(), "--run-id", run_id)
        (tc.run_folder(run_id) / missing).unlink()
        (plain, other) = (ask("run", "verify", run_id, "--json") for ask in (tc, lambda *w: tc_reworded(tc, *w)))
        assert plain.code == other.code == 6
        kinds = [[(each["kind"], each["file"]) for each in answer.document["findings"]] for answer in (plain, other)]
        assert kinds[0] == kinds[1]
        assert ("missing", missing) in kinds[1]


def test_what_compare_finds_of_runs_on_different_candles(tc: Tc) -> None:
    with PaperRun(tc, paper_spec(tc, strategy="ops_smoke_demo", speed="max", max_bars=5), RUN) as run:
        assert run.end().code == 0
    other = tc.home / "candles.csv"
    other.write_text("\n".join([*candle_lines(30), ""]))
    tc.ok("data", "import", str(other), "--dataset", "flat")
    tc.ok("run", "backtest", "--spec", tc.spec(dataset="flat"), "--run-id", "flat")
    answer = tc_reworded(tc, "run", "compare", "flat", RUN, "--json")
    assert answer.code == 1
    assert answer.document["parity"]["verdict"] == "fail"
