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

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceExecutionClientConfig,
    BinanceExecutionClientFactory,
    BinanceProductType,
)
from nautilus_trader.common import DataActor, Environment, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode
from nautilus_trader.model import AccountId, OmsType, TraderId

LOOK_NS = 5_000_000


class Stopper(DataActor):
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
    where: dict[str, Any] = {
        "product_type": BinanceProductType.USD_M,
        "environment": BinanceEnvironment.LIVE,
        "base_url_http": endpoints["rest_url"],
        "base_url_ws": endpoints["ws_url"],
    }
    trading = BinanceExecutionClientConfig(
        account_id=AccountId("BINANCE-001"),
        base_url_ws_trading=endpoints["ws_trading_url"],
        api_key=endpoints["api_key"],
        api_secret=endpoints["api_secret"],
        oms_type=OmsType.NETTING,
        **where,
    )
    builder = LiveNode.builder("LAB", TraderId.from_str("LAB-001"), Environment.LIVE)
    builder = builder.with_reconciliation(True).with_delay_post_stop_secs(0)
    builder = builder.with_logging(LoggerConfig(stdout_level=LogLevel.OFF, is_colored=False))
    builder = builder.add_data_client(None, BinanceDataClientFactory(), BinanceDataClientConfig(**where))
    node = builder.add_exec_client(None, BinanceExecutionClientFactory(), trading).build()
    strategy = halt_strategies.CASES[case]()
    node.add_strategy(strategy)
    stopper = Stopper()
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
