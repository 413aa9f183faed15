"""Runs the example as a user does: with `tc`, in a separate home.

Run with the lab's own Python: `python -m pytest examples/own-strategy`.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1]
sys.path.insert(0, str(FOLDER))

from crossing.average import MovingAverage  # noqa: E402


def tc(home: Path, *arguments: str) -> Any:
    """JSON answer of the command; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "opslab", *arguments, "--home", str(home), "--json"],
        cwd=home,
        env={name: value for name, value in os.environ.items() if not name.startswith("TC_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    tc(folder, "data", "prepare", "--dataset", "btcusdt-sample")
    return folder


def rows(home: Path, run_id: str, name: str) -> list[dict[str, Any]]:
    text = (home / "artifacts" / "runs" / run_id / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_average_is_none_until_it_is_full() -> None:
    average = MovingAverage(2)
    assert [average.add(Decimal(value)) for value in (1, 2, 4)] == [None, Decimal("1.5"), Decimal(3)]


def test_cross_turns_one_position_from_side_to_side(home: Path) -> None:
    run = tc(home, "run", "backtest", "--spec", str(FOLDER / "cross.yaml"), "--run-id", "cross-1")
    assert run["status"] == "completed"
    sides = [order["side"] for order in rows(home, "cross-1", "orders")]
    assert len(sides) > 100
    assert all(side != next_side for side, next_side in pairwise(sides))
    assert {Decimal(position["peak_qty"]) for position in rows(home, "cross-1", "positions")} == {Decimal("0.005")}


def test_resting_fills_some_orders_and_cancels_the_others(home: Path) -> None:
    run = tc(home, "run", "backtest", "--spec", str(FOLDER / "resting.yaml"), "--run-id", "resting-1")
    assert run["status"] == "completed"
    orders = rows(home, "resting-1", "orders")
    ends = Counter(order["status"] for order in orders if order["type"] == "LIMIT")
    assert ends["FILLED"] > 0
    assert ends["CANCELED"] > 0
    assert {order["strategy_id"] for order in orders} == {"RESTING-001"}


def test_the_same_twice_gives_the_same_digests(home: Path) -> None:
    first, second = (
        tc(home, "run", "backtest", "--spec", str(FOLDER / "resting.yaml"), "--run-id", run_id)
        for run_id in ("one", "two")
    )
    assert first["input_digest"] == second["input_digest"]
    assert first["result_digest"] == second["result_digest"]
