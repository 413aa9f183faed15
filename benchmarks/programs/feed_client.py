"""usage: feed_client.py ENDPOINTS SECONDS [RECORDED]

A plain client of a venue's streams, the same as the engine's, on one connection. ENDPOINTS: a JSON file.
SECONDS 0: reads until a signal ends it. RECORDED: output file of the messages, one a line, the instrument list first.
Prints the result of `Lags`.
"""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp

from benchmarks.programs.feed_lag import WARM_SECONDS, Lags

STREAMS = ("btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@depth@0ms", "btcusdt@kline_1m")
SLACK_SECONDS = 10.0
_STAMP = '"E":'
_DIGITS = 13


async def read(endpoints: dict[str, str], lags: Lags | None, recorded: list[str] | None) -> None:
    async with aiohttp.ClientSession() as session:
        if recorded is not None:
            async with session.get(f"{endpoints['rest_url']}/fapi/v1/exchangeInfo") as answer:
                recorded.append(json.dumps(await answer.json()))
        async with session.ws_connect(endpoints["ws_url"], max_msg_size=0) as socket:
            await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": STREAMS, "id": 1}))
            async for message in socket:
                text = message.data
                if recorded is not None:
                    recorded.append(text)
                if lags is None:
                    continue
                at = text.find(_STAMP) + len(_STAMP)
                stamp = text[at : at + _DIGITS]
                if stamp.isdigit():
                    lags.record(int(stamp) * 1_000_000)
                if lags.is_complete:
                    return


def main(endpoints_path: str, seconds_text: str, recorded_path: str | None = None) -> None:
    lags = Lags(float(seconds_text)) if float(seconds_text) else None
    recorded: list[str] | None = [] if recorded_path else None
    longest = float(seconds_text) + WARM_SECONDS + SLACK_SECONDS if lags else None
    asyncio.run(asyncio.wait_for(read(json.loads(Path(endpoints_path).read_text()), lags, recorded), longest))
    if recorded_path and recorded:
        Path(recorded_path).write_text("\n".join(recorded) + "\n")
    if lags:
        print(json.dumps(lags.document()))


if __name__ == "__main__":
    main(*sys.argv[1:])
