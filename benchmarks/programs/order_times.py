"""usage: order_times.py socket|http ORDERS RATE ENDPOINTS [OTHER_ENDPOINTS]

A raw client: signed market orders, one after the other, by the trading socket or by HTTP; with OTHER_ENDPOINTS
alternately to both, in blocks, so that a slow moment of the disk affects both. ENDPOINTS: JSON files. RATE: orders a
second; 0: each as soon as the one before is answered. Prints {"main": [...], "other": [...]}, ms from a request to its
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
SendOrder = Callable[[int], Awaitable[None]]


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


async def by_socket(session: aiohttp.ClientSession, stack: AsyncExitStack, endpoints: dict[str, str]) -> SendOrder:
    socket = await stack.enter_async_context(session.ws_connect(endpoints["ws_trading_url"]))

    async def send_order(number: int) -> None:
        params = {"apiKey": endpoints["api_key"], **order(number)}
        signed = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = signature(endpoints["api_secret"], signed)
        await socket.send_str(json.dumps({"id": number, "method": "order.place", "params": params}))
        answer = json.loads((await socket.receive()).data)
        if answer["status"] != 200:
            raise SystemExit(f"order {number} was rejected: {answer}")

    return send_order


async def by_http(session: aiohttp.ClientSession, _stack: AsyncExitStack, endpoints: dict[str, str]) -> SendOrder:
    url, headers = f"{endpoints['rest_url']}/fapi/v1/order", {"X-MBX-APIKEY": endpoints["api_key"]}

    async def send_order(number: int) -> None:
        query = urlencode(order(number))
        signed = f"{url}?{query}&signature={signature(endpoints['api_secret'], query)}"
        async with session.post(signed, headers=headers) as response:
            answer = await response.json()
            if response.status != 200:
                raise SystemExit(f"order {number} was rejected: {answer}")

    return send_order


async def measure(transport: str, orders: int, rate: float, endpoint_list: list[dict[str, str]]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in endpoint_list]
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        connect = by_socket if transport == "socket" else by_http
        senders = [await connect(session, stack, endpoints) for endpoints in endpoint_list]
        started_s = time.perf_counter()
        for block_start in range(0, orders, BLOCK):
            for send_order, results in zip(senders, times, strict=True):
                for number in range(block_start, min(orders, block_start + BLOCK)):
                    if rate:
                        await asyncio.sleep(max(0.0, started_s + number / rate - time.perf_counter()))
                    sent_s = time.perf_counter()
                    await send_order(number)
                    results.append((time.perf_counter() - sent_s) * 1000)
    return times


def main(transport: str, orders: str, rate: str, *paths: str) -> None:
    endpoint_list = [json.loads(Path(path).read_text()) for path in paths]
    results = asyncio.run(measure(transport, int(orders), float(rate), endpoint_list))
    print(json.dumps(dict(zip(("main", "other"), results, strict=False))))


if __name__ == "__main__":
    main(*sys.argv[1:])
