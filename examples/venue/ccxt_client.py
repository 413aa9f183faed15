"""ccxt on the loopback venue.

    tc data prepare --dataset btcusdt-sample
    tc venue serve --dataset btcusdt-sample --start now --speed 60 --json > venue.json &
    python examples/venue/ccxt_client.py venue.json

Buys, sells, and ends with nothing open. `ccxt.pro`, the streaming variant, is configured in the same way.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import ccxt

SYMBOL = "BTC/USDT:USDT"
SIZE = 0.01


def with_venue_host(urls: Any, venue: dict[str, str]) -> Any:
    """The same paths on the venue, for all URLs of this version of ccxt: no request goes to Binance itself."""
    if isinstance(urls, dict):
        return {name: with_venue_host(url, venue) for name, url in urls.items()}
    base_url = venue["rest_url"] if urls.startswith("http") else venue["ws_url"].removesuffix("/ws")
    return re.sub(r"^\w+://[^/]+", base_url, urls)


def connect(venue: dict[str, str], kind: Any = ccxt.binanceusdm) -> Any:
    """kind: the class of an exchange, from `ccxt`, `ccxt.async_support` or `ccxt.pro`."""
    exchange = kind({"apiKey": venue["api_key"], "secret": venue["api_secret"]})
    exchange.options["fetchCurrencies"] = False  # they come from the spot exchange: not served
    exchange.urls["api"] = with_venue_host(exchange.urls["api"], venue)
    exchange.exceptions["exact"] |= exchange.exceptions["linear"]["exact"]  # ccxt selects these by Binance's host name
    return exchange


if __name__ == "__main__":
    exchange = connect(json.loads(Path(sys.argv[1]).read_text()))
    exchange.load_markets()
    print("book", exchange.fetch_order_book(SYMBOL, limit=5)["bids"][0])
    for side in ("buy", "sell"):
        order = exchange.create_order(SYMBOL, "market", side, SIZE)
        print("filled", side, order["filled"], "at", order["average"])
    print("position", [row["contracts"] for row in exchange.fetch_positions()])
    print("wallet", exchange.fetch_balance()["USDT"]["total"])
