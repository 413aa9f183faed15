"""The rows that are folded from order events equal the engine's own objects."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.drivers.tc import Tc


def compare_rows(tc: Tc, *options: str) -> dict[str, Any]:
    spec = tc.spec(strategy="order_lifecycle_demo")
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracles.engine_rows", str(tc.home), spec, *options],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_rows_equal_the_engines_own_orders_and_positions(tc: Tc) -> None:
    report = compare_rows(tc)
    assert report["orders"] == 15_120
    assert report["positions"] > 5_000
    assert (report["missing_orders"], report["missing_positions"]) == (0, 0)
    assert report["order_differences"] == []
    assert report["position_differences"] == []


def test_the_engine_keeps_few_of_a_scenarios_orders_and_positions(tc: Tc) -> None:
    """Of a week: they are purged every 512 bars, so that those of the last bars remain."""
    report = compare_rows(tc, "kept")
    assert report["rows"] == 15_120
    assert report["orders"] < 1_000
    assert report["positions"] < 400
