"""The example `examples/venue/node.py`: it trades on a served venue and ends flat."""

import signal
import subprocess
import sys
from pathlib import Path

from opslab.settings import child_environment
from tests.drivers.tc import Tc

EXAMPLE = Path(__file__).parents[2] / "examples" / "venue" / "node.py"
BARS = 4


def test_the_example_trades_on_a_served_venue_and_ends_flat(tc: Tc, tmp_path: Path) -> None:
    venue = tc.start("venue", "serve", "--dataset", "btcusdt-sample", "--name", "v1", "--speed", "240", "--json")
    try:
        assert venue.stdout
        endpoints = tmp_path / "venue.json"
        endpoints.write_text(venue.stdout.readline())
        node = subprocess.run(
            [sys.executable, str(EXAMPLE), str(endpoints), str(BARS)],
            capture_output=True,
            text=True,
            env=child_environment(),
            timeout=300,
            check=False,
        )
        assert node.returncode == 0, node.stdout + node.stderr
        venue.send_signal(signal.SIGTERM)
        _, err = venue.communicate(timeout=300)
        assert venue.returncode == 0, err
    finally:
        venue.kill()
    lines = node.stdout.splitlines()
    assert sum(line.startswith("bar ") for line in lines) >= BARS
    bought, sold = (sum(line.startswith(f"filled {side} ") for line in lines) for side in ("BUY", "SELL"))
    assert bought == sold > 0
    audit = tc.json("venue", "audit", "v1")
    assert (audit["proven"], audit["open_orders"], float(audit["position"])) == (True, 0, 0.0)
    assert audit["trades"] == bought + sold
