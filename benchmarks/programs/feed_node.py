"""usage: feed_node.py ENDPOINTS SECONDS

The real engine at a venue: a live node with Binance's own data adapter, and a strategy that subscribes to quotes,
trades, changes of the book and bars, and only counts. ENDPOINTS: a JSON file. Prints the result of `Lags`.
"""

import json
import sys
import threading
import time
from pathlib import Path

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceProductType,
)
from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode
from nautilus_trader.model import (
    Bar,
    BarType,
    BookType,
    InstrumentId,
    OrderBookDeltas,
    QuoteTick,
    StrategyId,
    TraderId,
    TradeTick,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from benchmarks.programs.feed_lag import WARM_SECONDS, Lags

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
BARS = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
CONNECT_SECONDS = 4.0
"""Maximum time until the first message."""


class Counts(Strategy):
    lags: Lags

    def on_start(self) -> None:
        self.subscribe_quotes(INSTRUMENT)
        self.subscribe_trades(INSTRUMENT)
        self.subscribe_book_deltas(INSTRUMENT, BookType.L2_MBP)
        self.subscribe_bars(BARS)

    def on_quote(self, quote: QuoteTick) -> None:
        self.lags.record(quote.ts_event)

    def on_trade(self, trade: TradeTick) -> None:
        self.lags.record(trade.ts_event)

    def on_book_deltas(self, _deltas: OrderBookDeltas) -> None:
        self.lags.record(None)

    def on_bar(self, _bar: Bar) -> None:
        self.lags.record(None)


def main(endpoints_path: str, seconds_text: str) -> None:
    endpoints, seconds = json.loads(Path(endpoints_path).read_text()), float(seconds_text)
    config = BinanceDataClientConfig(
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=endpoints["rest_url"],
        base_url_ws=endpoints["ws_url"],
    )
    builder = LiveNode.builder("LAB", TraderId.from_str("LAB-001"), Environment.LIVE)
    builder = builder.with_reconciliation(False).with_delay_post_stop_secs(0)
    builder = builder.with_logging(LoggerConfig(stdout_level=LogLevel.OFF, is_colored=False))
    node = builder.add_data_client(None, BinanceDataClientFactory(), config).build()
    strategy = Counts(StrategyConfig(strategy_id=StrategyId("COUNTS-001")))
    strategy.lags = lags = Lags(seconds)
    node.add_strategy(strategy)
    handle = node.handle()

    def stop_when_over() -> None:
        deadline = time.monotonic() + CONNECT_SECONDS + WARM_SECONDS + seconds
        while not lags.is_complete and time.monotonic() < deadline:
            time.sleep(0.05)
        handle.stop()

    threading.Thread(target=stop_when_over, daemon=True).start()
    node.run()
    print(json.dumps(lags.document()))


if __name__ == "__main__":
    main(*sys.argv[1:])
