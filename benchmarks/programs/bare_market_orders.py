"""usage: bare_market_orders.py BARS_FOLDER PRICE_DECIMALS SIZE_DECIMALS WORK_FOLDER ORDERS_PER_BAR

The yardstick of a backtest with orders: the engine's own BacktestNode with the same strategy, on the same bar files.
Prints {"bars": ..., "orders": ..., "seconds": ...}; the seconds are those of `node.run()` alone.
"""

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

from nautilus_trader.backtest import BacktestNode
from nautilus_trader.model import BarType, StrategyId

from benchmarks.programs.bare_node import RUN, config, write_catalog
from benchmarks.programs.market_orders import MarketOrders, MarketOrdersConfig

QUANTITY = Decimal("0.010")


def main(bars_folder: Path, price_decimals: int, size_decimals: int, work: Path, orders_per_bar: Decimal) -> None:
    bar_type = BarType.from_str(bars_folder.name)
    write_catalog(bars_folder, price_decimals, size_decimals, work)
    strategy = MarketOrders(
        MarketOrdersConfig(
            bar_type=bar_type,
            orders_per_bar=orders_per_bar,
            quantity=QUANTITY,
            strategy_id=StrategyId("BARE-001"),
        )
    )
    node = BacktestNode([config(work, bar_type)])
    node.build()
    node.add_strategy(RUN, strategy)
    started_s = time.perf_counter()
    node.run()
    seconds = time.perf_counter() - started_s
    print(json.dumps({"bars": strategy.bars, "orders": strategy.orders, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Decimal(sys.argv[5]))
