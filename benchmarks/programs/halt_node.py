"""usage: halt_node.py STOP_METHOD CASE FOLDER ENDPOINTS

The bare live node with a strategy of FOLDER/halt_strategies.py. A line on standard input stops it by STOP_METHOD:
`strategy`, its `Strategy.stop()`, called on the engine's thread; `handle`, the node's `handle.stop()`.
Prints {"stopped_at": ...}, the UTC time of the request, and continues until it is killed.
"""

import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nautilus_trader.common import DataActor

from benchmarks.programs.bare_paper import node_of

POLL_NS = 5_000_000


class StopActor(DataActor):
    stop_requested: threading.Event
    strategy: Any

    def on_start(self) -> None:
        self.clock.set_timer_ns("stopper", POLL_NS, callback=self.poll)

    def poll(self, _event: object) -> None:
        if self.stop_requested.is_set():
            self.stop_requested.clear()
            self.strategy.stop()


def main(stop_method: str, case: str, folder: str, endpoints_path: str) -> None:
    sys.path.insert(0, folder)
    import halt_strategies  # type: ignore[import-not-found]

    endpoints = json.loads(Path(endpoints_path).read_text())
    node = node_of(endpoints)
    strategy = halt_strategies.CASES[case]()
    node.add_strategy(strategy)
    stopper = StopActor()
    stopper.stop_requested, stopper.strategy = threading.Event(), strategy
    node.add_actor(stopper)
    handle = node.handle()

    def stop() -> None:
        sys.stdin.readline()
        stopped_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        if stop_method == "handle":
            handle.stop()
        else:
            stopper.stop_requested.set()
        print(json.dumps({"stopped_at": stopped_at}), flush=True)

    threading.Thread(target=stop, daemon=True).start()
    node.run()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
