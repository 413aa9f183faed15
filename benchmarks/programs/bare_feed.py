"""usage: bare_feed.py RECORDED

The yardstick of a venue's feed: a bare aiohttp server that loops over strings encoded in advance, quotes and trades, as
fast as they are read. RECORDED: the file written by `feed_client.py`. Prints its endpoints. SIGTERM ends it.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from aiohttp import web

KINDS = ("bookTicker", "aggTrade")
"""Nearly all messages are of one of these kinds."""
BATCH = 64
"""Messages between two yields to other tasks."""


class Feed:
    def __init__(self, recorded: Sequence[str]) -> None:
        self._info, *messages = recorded
        self._of = {kind: [text for text in messages if f'"e":"{kind}"' in text] for kind in KINDS}

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sending: list[asyncio.Task[None]] = []
        async for message in socket:
            request_body = json.loads(message.data)
            await socket.send_str(json.dumps({"result": None, "id": request_body["id"]}))
            kinds = [kind for kind in KINDS if any(name.endswith(f"@{kind}") for name in request_body["params"])]
            sending += [asyncio.ensure_future(self._send(socket, kind)) for kind in kinds]
        for task in sending:
            task.cancel()
        return socket

    async def _send(self, socket: web.WebSocketResponse, kind: str) -> None:
        for number, text in enumerate(cycle(self._of[kind])):
            await socket.send_str(text)
            if number % BATCH == 0:
                await asyncio.sleep(0)

    async def info(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._info, content_type="application/json")


async def serve(feed: Feed) -> None:
    app = web.Application()
    app.router.add_get("/ws", feed.stream)
    app.router.add_get("/fapi/v1/exchangeInfo", feed.info)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    print(json.dumps({"rest_url": f"http://{address}", "ws_url": f"ws://{address}/ws"}), flush=True)
    stop_event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop_event.set)
    await stop_event.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Feed(Path(sys.argv[1]).read_text().splitlines())))
