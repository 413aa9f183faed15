"""usage: bare_paper.py STRATEGY CONFIG ENDPOINTS STOP_SECONDS

The yardstick of a paper run: a live node with Binance's own unchanged data and execution adapters, and a strategy
of `paper_strategies.py`. CONFIG: a JSON object. ENDPOINTS: a JSON file. Runs until SIGTERM or SIGINT; within
STOP_SECONDS the engine then flattens orders and position by itself (`manage_stop`), with 0 it leaves them.
"""

import json
import sys
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
from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode
from nautilus_trader.model import AccountId, OmsType, StrategyId, TraderId

from benchmarks.programs import paper_strategies


def node_of(endpoints: dict[str, str], stop_seconds: int = 0) -> LiveNode:
    endpoint_options: dict[str, Any] = {
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
        **endpoint_options,
    )
    builder = LiveNode.builder("LAB", TraderId.from_str("LAB-001"), Environment.LIVE)
    builder = builder.with_reconciliation(True).with_delay_post_stop_secs(stop_seconds)
    builder = builder.with_logging(LoggerConfig(stdout_level=LogLevel.OFF, is_colored=False))
    builder = builder.add_data_client(None, BinanceDataClientFactory(), BinanceDataClientConfig(**endpoint_options))
    return builder.add_exec_client(None, BinanceExecutionClientFactory(), trading).build()


def main(name: str, config_text: str, endpoints_path: str, stop_seconds: str) -> None:
    config = getattr(paper_strategies, f"{name}Config")
    base = {
        "strategy_id": StrategyId("LAB-001"),
        "external_order_instrument_ids": [paper_strategies.INSTRUMENT],
        "manage_stop": stop_seconds != "0",
    }
    node = node_of(json.loads(Path(endpoints_path).read_text()), int(stop_seconds))
    node.add_strategy(getattr(paper_strategies, name)(config(**json.loads(config_text), **base)))
    node.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
