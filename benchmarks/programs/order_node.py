"""usage: order_node.py socket|http ORDERS RATE ENDPOINTS

The real engine at a venue, with Binance's own data and execution adapters: market orders at a steady rate, by the
trading socket or by HTTP, alternately buying and selling. ENDPOINTS: a JSON file. RATE: orders a second, below the
limit of the adapter (20). Prints {"accepted": [...], "filled": [...]}, ms from `submit_order` to the event.
"""

import json
import sys
import threading
import time
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
from nautilus_trader.model import (
    AccountId,
    InstrumentId,
    OmsType,
    OrderAccepted,
    OrderFilled,
    OrderSide,
    Quantity,
    QuoteTick,
    StrategyId,
    TraderId,
)
from nautilus_trader.trading import Strategy, StrategyConfig

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
QUANTITY = Quantity.from_str("0.010")
SETTLE_SECONDS = 1.0
SLACK_SECONDS = 20.0


class Orders(Strategy):
    order_count: int
    step_ns: int

    def on_start(self) -> None:
        self.sent: dict[str, float] = {}
        self.accepted: dict[str, float] = {}
        self.filled: dict[str, float] = {}
        """Order id to ms until its last fill."""
        self.is_complete = threading.Event()
        self.subscribe_quotes(INSTRUMENT)
        self.clock.set_timer_ns("order", self.step_ns, callback=self.place)

    def on_quote(self, _quote: QuoteTick) -> None:
        """Quotes are subscribed as by a client that trades; they are not used."""

    def place(self, _event: Any) -> None:
        number = len(self.sent)
        if number == self.order_count:
            return
        side = OrderSide.SELL if number & 1 else OrderSide.BUY
        order = self.order_factory.market(INSTRUMENT, side, QUANTITY)
        self.sent[str(order.client_order_id)] = time.perf_counter()
        self.submit_order(order)

    def on_order_event(self, event: Any) -> None:
        now_s = time.perf_counter()
        times = self.accepted if isinstance(event, OrderAccepted) else self.filled
        if isinstance(event, OrderAccepted | OrderFilled):
            order = str(event.client_order_id)
            times[order] = (now_s - self.sent[order]) * 1000
            if len(self.filled) == self.order_count:
                self.is_complete.set()


def main(transport: str, orders: str, rate: str, endpoints_path: str) -> None:
    endpoints = json.loads(Path(endpoints_path).read_text())
    endpoint_options = {
        "product_type": BinanceProductType.USD_M,
        "environment": BinanceEnvironment.LIVE,
        "base_url_http": endpoints["rest_url"],
        "base_url_ws": endpoints["ws_url"],
    }
    trading = BinanceExecutionClientConfig(
        account_id=AccountId("BINANCE-001"),
        base_url_ws_trading=endpoints["ws_trading_url"],
        use_ws_trading=transport == "socket",
        api_key=endpoints["api_key"],
        api_secret=endpoints["api_secret"],
        oms_type=OmsType.NETTING,
        **endpoint_options,
    )
    builder = LiveNode.builder("LAB", TraderId.from_str("LAB-001"), Environment.LIVE)
    builder = builder.with_reconciliation(True).with_delay_post_stop_secs(0)
    builder = builder.with_logging(LoggerConfig(stdout_level=LogLevel.OFF, is_colored=False))
    builder = builder.add_data_client(None, BinanceDataClientFactory(), BinanceDataClientConfig(**endpoint_options))
    node = builder.add_exec_client(None, BinanceExecutionClientFactory(), trading).build()
    strategy = Orders(StrategyConfig(strategy_id=StrategyId("ORDERS-001")))
    strategy.order_count, strategy.step_ns = int(orders), int(1e9 / float(rate))
    node.add_strategy(strategy)
    handle = node.handle()

    def stop_when_over() -> None:
        deadline = time.monotonic() + int(orders) / float(rate) + SLACK_SECONDS
        while time.monotonic() < deadline:
            is_complete = getattr(strategy, "over", None)
            if is_complete is not None and is_complete.is_set():
                break
            time.sleep(0.05)
        handle.stop()

    threading.Thread(target=stop_when_over, daemon=True).start()
    node.run()
    print(json.dumps({"accepted": list(strategy.accepted.values()), "filled": list(strategy.filled.values())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
