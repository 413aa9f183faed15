"""The rows folded from order events are what the engine's own objects say."""

import json
import subprocess
import sys
from pathlib import Path

from tests.fakes.tc import Tc


def test_rows_equal_the_engines_own_orders_and_positions(tc: Tc) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.cross_check", str(tc.home), tc.spec(strategy="order_lifecycle_demo")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["orders"] == 15_120
    assert found["positions"] > 5_000
    assert (found["missing_orders"], found["missing_positions"]) == (0, 0)
    assert found["order_differences"] == []
    assert found["position_differences"] == []
