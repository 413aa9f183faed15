"""usage: bare_feed.py RECORDED

The yardstick of a venue's feed: a bare aiohttp server that loops over strings encoded before, quotes and trades, as
fast as they are taken. RECORDED: what `feed_client.py` left there. Prints its endpoints. SIGTERM ends it.
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
"""Nearly all of the messages are one or the other."""
TURN = 64
"""Messages after which others get their turn."""


class Feed:
    def __init__(self, recorded: Sequence[str]) -> None:
        self._info, *messages = recorded
        self._of = {kind: [text for text in messages if f'"e":"{kind}"' in text] for kind in KINDS}

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sending: list[asyncio.Task[None]] = []
        async for message in socket:
            asked = json.loads(message.data)
            await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))
            kinds = [kind for kind in KINDS if any(name.endswith(f"@{kind}") for name in asked["params"])]
            sending += [asyncio.ensure_future(self._send(socket, kind)) for kind in kinds]
        for task in sending:
            task.cancel()
        return socket

    async def _send(self, socket: web.WebSocketResponse, kind: str) -> None:
        for number, text in enumerate(cycle(self._of[kind])):
            await socket.send_str(text)
            if number % TURN == 0:
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
    place = f"127.0.0.1:{runner.addresses[0][1]}"
    print(json.dumps({"rest_url": f"http://{place}", "ws_url": f"ws://{place}/ws"}), flush=True)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Feed(Path(sys.argv[1]).read_text().splitlines())))
