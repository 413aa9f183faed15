"""usage: venue_plan.py HOME NAME ASKED

Print what the venue child called NAME is to be told, on one line. ASKED, a JSON object: `speed` (null: as fast as
read), `ticks` a minute, `start`, `max_bars`; with `unlimited` a client may send as many orders as it likes.
"""

import json
import sys
from pathlib import Path

from opslab.model.messages.venue_messages import VenueLimits
from opslab.runs.processes.venue_service import VenueOptions, plan_venue
from opslab.store.layout import Layout
from opslab.system import SystemClock

DATASET = "btcusdt-sample"
PLENTY = 1_000_000


def main(home: str, name: str, asked_text: str) -> None:
    asked = json.loads(asked_text)
    plan, _ = plan_venue(
        Layout(Path(home)),
        VenueOptions(
            dataset=DATASET,
            instrument="BTCUSDT",
            name=name,
            host="127.0.0.1",
            port=0,
            speed=asked["speed"],
            start=asked["start"],
            max_bars=asked["max_bars"],
            ticks_per_minute=asked["ticks"],
            latency_ms=0,
            balance=None,
            leverage=None,
        ),
        SystemClock(),
    )
    if asked["unlimited"]:
        limits = VenueLimits(weight_per_minute=PLENTY, orders_per_10_seconds=PLENTY, orders_per_minute=PLENTY)
        plan = plan.model_copy(update={"limits": limits})
    print(plan.model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
