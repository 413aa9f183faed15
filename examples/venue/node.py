"""A NautilusTrader live node on the loopback venue, with its own Binance adapters.

    tc data prepare --dataset btcusdt-sample
    tc venue serve --dataset btcusdt-sample --speed 60 --json > venue.json &
    python examples/venue/node.py venue.json 5

Trades on the first bars, then stops with nothing open. The second argument is the number of bars to run.
"""

import json
import sys
from pathlib import Path

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
from nautilus_trader.model import (
    AccountId,
    Bar,
    BarType,
    InstrumentId,
    OmsType,
    OrderFilled,
    OrderSide,
    Quantity,
    StrategyId,
    TraderId,
)
from nautilus_trader.trading import Strategy, StrategyConfig

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_str("0.010")


class InAndOut(Strategy):
    """Buys at a bar, sells at the next."""

    remaining_bars: int
    """Bars until the stop."""

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        print(f"bar {bar}", flush=True)
        self.remaining_bars -= 1
        if not self.portfolio.is_net_flat(INSTRUMENT):
            self.close_all_positions(INSTRUMENT, reduce_only=True)
        elif self.remaining_bars > 0:
            self.submit_order(self.order_factory.market(INSTRUMENT, OrderSide.BUY, SIZE))
        else:
            self.shutdown_system("all bars received")

    def on_order_filled(self, event: OrderFilled) -> None:
        print(f"filled {event.order_side.name} {event.last_qty} at {event.last_px}", flush=True)


def node(venue: dict[str, str], bars: int) -> LiveNode:
    """Configure the adapters for the venue."""
    data = BinanceDataClientConfig(
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=venue["rest_url"],
        base_url_ws=venue["ws_url"],
    )
    execution = BinanceExecutionClientConfig(
        account_id=AccountId("BINANCE-001"),
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=venue["rest_url"],
        base_url_ws=venue["ws_url"],
        base_url_ws_trading=venue["ws_trading_url"],
        api_key=venue["api_key"],
        api_secret=venue["api_secret"],
        oms_type=OmsType.NETTING,
    )
    built = (
        LiveNode.builder("EXAMPLE", TraderId.from_str("EXAMPLE-001"), Environment.LIVE)
        .with_logging(LoggerConfig(stdout_level=LogLevel.WARNING, is_colored=False))
        .with_reconciliation(True)
        .with_delay_post_stop_secs(0)
        .add_data_client(None, BinanceDataClientFactory(), data)
        .add_exec_client(None, BinanceExecutionClientFactory(), execution)
        .build()
    )
    # The claim: after a restart of this program the strategy recovers its open orders and its position.
    config = StrategyConfig(strategy_id=StrategyId("InAndOut-001"), external_order_instrument_ids=[INSTRUMENT])
    strategy = InAndOut(config)
    strategy.remaining_bars = bars
    built.add_strategy(strategy)
    return built


if __name__ == "__main__":
    endpoints = json.loads(Path(sys.argv[1]).read_text())
    node(endpoints, int(sys.argv[2])).run()
