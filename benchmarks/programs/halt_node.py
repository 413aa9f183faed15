"""usage: halt_node.py WAY CASE FOLDER ENDPOINTS

The live node alone, with a strategy of FOLDER/halt_strategies.py. A line on standard input stops it by WAY:
`strategy`, its `Strategy.stop()`, called by itself on the engine's thread; `handle`, the node's `handle.stop()`.
Prints {"stopped_at": ...}, UTC, when it was told to, and goes on until it is killed.
"""

import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nautilus_trader.common import DataActor

from benchmarks.programs.bare_paper import node_of

LOOK_NS = 5_000_000


class StopActor(DataActor):
    told: threading.Event
    strategy: Any

    def on_start(self) -> None:
        self.clock.set_timer_ns("stopper", LOOK_NS, callback=self.look)

    def look(self, _event: object) -> None:
        if self.told.is_set():
            self.told.clear()
            self.strategy.stop()


def main(way: str, case: str, folder: str, endpoints_path: str) -> None:
    sys.path.insert(0, folder)
    import halt_strategies  # type: ignore[import-not-found]

    endpoints = json.loads(Path(endpoints_path).read_text())
    node = node_of(endpoints)
    strategy = halt_strategies.CASES[case]()
    node.add_strategy(strategy)
    stopper = StopActor()
    stopper.told, stopper.strategy = threading.Event(), strategy
    node.add_actor(stopper)
    handle = node.handle()

    def stop() -> None:
        sys.stdin.readline()
        told_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        if way == "handle":
            handle.stop()
        else:
            stopper.told.set()
        print(json.dumps({"stopped_at": told_at}), flush=True)

    threading.Thread(target=stop, daemon=True).start()
    node.run()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
