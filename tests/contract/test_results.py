"""The rows folded from order events are what the engine's own objects say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.drivers.tc import Tc


def cross_check(tc: Tc, *words: str) -> dict[str, Any]:
    spec = tc.spec(strategy="order_lifecycle_demo")
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracles.engine_rows", str(tc.home), spec, *words],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_rows_equal_the_engines_own_orders_and_positions(tc: Tc) -> None:
    found = cross_check(tc)
    assert found["orders"] == 15_120
    assert found["positions"] > 5_000
    assert (found["missing_orders"], found["missing_positions"]) == (0, 0)
    assert found["order_differences"] == []
    assert found["position_differences"] == []


def test_the_engine_keeps_little_of_a_scenarios_orders_and_positions(tc: Tc) -> None:
    """Of a week: what is forgotten every 512 bars, that of the last ones left out."""
    found = cross_check(tc, "kept")
    assert found["rows"] == 15_120
    assert found["orders"] < 1_000
    assert found["positions"] < 400
