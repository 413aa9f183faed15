"""usage: venue_plan.py HOME NAME OPTIONS

Print the plan of the venue child NAME on one line. OPTIONS, a JSON object: `speed` (null: as fast as clients
read), `ticks` a minute, `start`, `max_bars`; with `unlimited` there is no limit on orders.
"""

import json
import sys
from pathlib import Path

from opslab.lab.context import context_of
from opslab.model.messages.venue_messages import VenueLimits
from opslab.runs.processes.venue_service import VenueOptions, plan_venue
from opslab.settings import Settings

DATASET = "btcusdt-sample"
UNLIMITED = 1_000_000


def main(home: str, name: str, options_text: str) -> None:
    options = json.loads(options_text)
    plan, _ = plan_venue(
        context_of(Settings(Path(home), "--home")),
        VenueOptions(
            dataset=DATASET,
            name=name,
            host="127.0.0.1",
            port=0,
            speed=options["speed"],
            start=options["start"],
            max_bars=options["max_bars"],
            ticks_per_minute=options["ticks"],
            latency_ms=0,
            balance=None,
            leverage=None,
        ),
    )
    if options["unlimited"]:
        limits = VenueLimits(weight_per_minute=UNLIMITED, orders_per_10_seconds=UNLIMITED, orders_per_minute=UNLIMITED)
        plan = plan.model_copy(update={"limits": limits})
    print(plan.model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
