"""Ask the engine's own Binance adapter what instrument it makes of the shipped exchangeInfo entry.

Run as a process: serves exchangeInfo on loopback, lets a live node connect, prints both instruments as JSON.
"""

import base64
import hashlib
import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceProductType,
)
from nautilus_trader.adapters.sandbox import SandboxExecutionClientConfig, SandboxExecutionClientFactory
from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.live import LiveNode
from nautilus_trader.model import AccountType, InstrumentId, Money, OmsType, StrategyId, TraderId, Venue
from nautilus_trader.trading import Strategy, StrategyConfig

from opslab.model.market.instrument import instrument_of
from opslab.nautilus.instrument import perpetual
from opslab.resources import exchange_info_symbol

ENTRY = exchange_info_symbol("BTCUSDT")
INSTRUMENT_ID = InstrumentId.from_str(instrument_of(ENTRY).instrument_id)
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
INFO = {
    "timezone": "UTC",
    "serverTime": 1,
    "futuresType": "U_MARGINED",
    "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}],
    "exchangeFilters": [],
    "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
    "symbols": [ENTRY],
}


class Exchange(BaseHTTPRequestHandler):
    """Serves exchangeInfo, and WebSockets on which nothing is ever said."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "Sec-WebSocket-Key" in self.headers:
            self.open_silent_socket(self.headers["Sec-WebSocket-Key"])
            return
        body = json.dumps(INFO).encode() if self.path.startswith("/fapi/v1/exchangeInfo") else b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def open_silent_socket(self, key: str) -> None:
        accept = base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        while self.rfile.read(1):
            pass
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def plain(instrument: object) -> dict[str, object]:
    values = instrument.to_dict()  # type: ignore[attr-defined]
    values.pop("info", None)
    return {name: str(value) for name, value in values.items()}


class Asking(Strategy):
    def on_start(self) -> None:
        live = self.cache.instrument(INSTRUMENT_ID)
        print(json.dumps({"live": plain(live), "backtest": plain(perpetual(ENTRY))}), flush=True)
        self.shutdown_system("asked")


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    data = BinanceDataClientConfig(
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=f"http://127.0.0.1:{port}",
        base_url_ws=f"ws://127.0.0.1:{port}/ws",
    )
    execution = SandboxExecutionClientConfig(
        venue=Venue("BINANCE"),
        starting_balances=[Money.from_str("100000 USDT")],
        account_type=AccountType.MARGIN,
        oms_type=OmsType.NETTING,
        fee_model=MakerTakerFeeModel(Decimal(0), Decimal(0)),
        bar_execution=False,
    )
    quiet = LoggerConfig(stdout_level=LogLevel.OFF, fileout_level=LogLevel.OFF, is_colored=False, print_config=False)
    node = (
        LiveNode.builder("LAB", TraderId.from_str("LAB-001"), Environment.SANDBOX)
        .with_logging(quiet)
        .with_reconciliation(False)
        .with_delay_post_stop_secs(0)
        .add_data_client(None, BinanceDataClientFactory(), data)
        .add_simulated_exec_client(None, SandboxExecutionClientFactory(), execution)
        .build()
    )
    node.add_strategy(Asking(StrategyConfig(strategy_id=StrategyId("S-001"))))
    node.run()


if __name__ == "__main__":
    main()
