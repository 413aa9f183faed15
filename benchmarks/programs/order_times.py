"""usage: order_times.py socket|http ORDERS RATE ENDPOINTS [OTHER_ENDPOINTS]

A raw client: market orders, signed, one after the other, by the trading socket or by HTTP; with OTHER_ENDPOINTS in
turn to both, some at a time, so that a slow moment of the disk meets both. ENDPOINTS: JSON files. RATE: orders a
second; 0: each as soon as the one before is answered. Prints {"ours": [...], "other": [...]}, ms from a request to its
answer.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

BLOCK = 50
QUANTITY = "0.010"
Ask = Callable[[int], Awaitable[None]]


def order(number: int) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "side": "SELL" if number & 1 else "BUY",
        "type": "MARKET",
        "quantity": QUANTITY,
        "newClientOrderId": f"raw-{number}",
        "timestamp": int(time.time() * 1000),
    }


def signature(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


async def by_socket(session: aiohttp.ClientSession, stack: AsyncExitStack, endpoints: dict[str, str]) -> Ask:
    socket = await stack.enter_async_context(session.ws_connect(endpoints["ws_trading_url"]))

    async def ask(number: int) -> None:
        params = {"apiKey": endpoints["api_key"], **order(number)}
        signed = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = signature(endpoints["api_secret"], signed)
        await socket.send_str(json.dumps({"id": number, "method": "order.place", "params": params}))
        answer = json.loads((await socket.receive()).data)
        if answer["status"] != 200:
            raise SystemExit(f"order {number} was refused: {answer}")

    return ask


async def by_http(session: aiohttp.ClientSession, _stack: AsyncExitStack, endpoints: dict[str, str]) -> Ask:
    url, headers = f"{endpoints['rest_url']}/fapi/v1/order", {"X-MBX-APIKEY": endpoints["api_key"]}

    async def ask(number: int) -> None:
        query = urlencode(order(number))
        signed = f"{url}?{query}&signature={signature(endpoints['api_secret'], query)}"
        async with session.post(signed, headers=headers) as response:
            answer = await response.json()
            if response.status != 200:
                raise SystemExit(f"order {number} was refused: {answer}")

    return ask


async def measure(way: str, orders: int, rate: float, places: list[dict[str, str]]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in places]
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        connect = by_socket if way == "socket" else by_http
        asks = [await connect(session, stack, endpoints) for endpoints in places]
        begin = time.perf_counter()
        for first in range(0, orders, BLOCK):
            for ask, found in zip(asks, times, strict=True):
                for number in range(first, min(orders, first + BLOCK)):
                    if rate:
                        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
                    asked = time.perf_counter()
                    await ask(number)
                    found.append((time.perf_counter() - asked) * 1000)
    return times


def main(way: str, orders: str, rate: str, *paths: str) -> None:
    places = [json.loads(Path(path).read_text()) for path in paths]
    found = asyncio.run(measure(way, int(orders), float(rate), places))
    print(json.dumps(dict(zip(("ours", "other"), found, strict=False))))


if __name__ == "__main__":
    main(*sys.argv[1:])
