"""Binance's own SDK on the loopback venue: `binance-sdk-derivatives-trading-usds-futures`.

    tc data prepare --dataset btcusdt-sample
    tc venue serve --dataset btcusdt-sample --start now --speed 60 --json > venue.json &
    python examples/venue/binance_client.py venue.json

Buys, sells, and ends with nothing open.
"""

import json
import sys
from pathlib import Path

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

SYMBOL = "BTCUSDT"
SIZE = 0.01


def connect(venue: dict[str, str]) -> DerivativesTradingUsdsFutures:
    """Configure the SDK for the venue."""
    key = {"api_key": venue["api_key"], "api_secret": venue["api_secret"]}
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(**key, base_path=venue["rest_url"]),
        config_ws_api=ConfigurationWebSocketAPI(**key, stream_url=venue["ws_trading_url"]),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=venue["ws_url"].removesuffix("/ws")),
    )


if __name__ == "__main__":
    rest = connect(json.loads(Path(sys.argv[1]).read_text())).rest_api
    print("book", rest.order_book(symbol=SYMBOL, limit=5).data().bids[0])
    for side in ("BUY", "SELL"):
        order = rest.new_order(symbol=SYMBOL, side=side, type="MARKET", quantity=SIZE).data()
        [*_, trade] = rest.account_trade_list(symbol=SYMBOL, order_id=order.order_id).data()
        print("filled", side.lower(), trade.qty, "at", trade.price)
    print("position", [row.position_amt for row in rest.position_information_v3().data()])
    print("wallet", rest.futures_account_balance_v3().data()[0].balance)
