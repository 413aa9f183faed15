"""usage: bare_orders.py FILE SIZE

The yardstick of an order: a bare aiohttp server that answers each order with a constant, by HTTP or by a trading
socket, after it has appended SIZE bytes to FILE and synced them. Prints its endpoints. SIGTERM ends it.
"""

import asyncio
import json
import os
import signal
import sys

from aiohttp import web

FIELDS = ("avgPrice", "cumQty", "cumQuote", "executedQty", "origQty", "price", "stopPrice", "status", "timeInForce")
ORDER = {"orderId": 1, "clientOrderId": "constant", "symbol": "BTCUSDT", **dict.fromkeys(FIELDS, "0.00000")}
LIMIT = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200, "count": 1}
HTTP_ANSWER = json.dumps(ORDER)
SOCKET_ANSWER = json.dumps({"id": 1, "status": 200, "result": ORDER, "rateLimits": [LIMIT] * 3})


async def serve(path: str, size: int) -> None:
    file, line = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), b"x" * size

    def append() -> None:
        os.write(file, line)
        os.fdatasync(file)

    async def by_http(_request: web.Request) -> web.Response:
        append()
        return web.Response(text=HTTP_ANSWER, content_type="application/json")

    async def by_socket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for _ in socket:
            append()
            await socket.send_str(SOCKET_ANSWER)
        return socket

    app = web.Application()
    app.router.add_post("/fapi/v1/order", by_http)
    app.router.add_get("/ws-fapi/v1", by_socket)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    endpoints = {"rest_url": f"http://{address}", "ws_trading_url": f"ws://{address}/ws-fapi/v1"}
    print(json.dumps({**endpoints, "api_key": "key", "api_secret": "secret"}), flush=True)
    stop_event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_event.set)
    await stop_event.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
