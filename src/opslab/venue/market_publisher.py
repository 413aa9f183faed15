"""What the market tells its streams: with every tick, with every closed candle, and by the clock.

Quotes and trades go out with the tick that made them. Depth, mark price and a candle that is still open go out by the
wall clock, at the intervals their streams are named after, however fast the market runs.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import to_json

from opslab.venue.market.klines import INTERVALS, Kline
from opslab.venue.market.market import Market, MarketTrade
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.transport.market_streams import MARK_SPEEDS_MS, MarketStreams, parse_depth_stream

OPEN_KLINE_MS = 250
BEAT_MS = 50
"""The clock's step: every interval is a multiple of it."""
DAY_MS = 1000
"""Between two tellings of the last 24 hours."""


class MarketPublisher:
    def __init__(self, market: Market, payloads: MarketPayloads, streams: MarketStreams, now_ms: Callable[[], int]) -> None:
        self._market = market
        self._payloads = payloads
        self._streams = streams
        self._now_ms = now_ms
        self._who = market.instrument.symbol.lower()
        self._changed = False
        """The market moved since open candles were last told."""
        streams.on_subscribe = self._greet
        streams.on_unused = self._forget

    def tick(self, trade: MarketTrade | None, now_ms: int) -> None:
        """Tell what one tick did."""
        self._changed = True
        publish, wanted, payloads, who = self._streams.publish, self._streams.wanted, self._payloads, self._who
        if trade is not None:
            if wanted(name := f"{who}@aggTrade"):
                publish(name, payloads.agg_trade_json(trade, now_ms))
            if wanted(name := f"{who}@trade"):
                publish(name, payloads.trade_json(trade, now_ms))
        self.quote(now_ms)

    def quote(self, now_ms: int) -> None:
        """Tell the best bid and ask."""
        for name in (f"{self._who}@bookTicker", "!bookTicker"):
            if self._streams.wanted(name):
                self._streams.publish(name, self._payloads.book_ticker_json(now_ms))

    def closed(self, klines: Iterable[Kline], now_ms: int) -> None:
        """Tell candles that have closed."""
        for kline in klines:
            name = f"{self._who}@kline_{kline.interval}"
            if self._streams.wanted(name):
                self._streams.publish(name, self._payloads.kline_json(kline, now_ms))

    async def by_clock(self) -> None:
        """Tell, for as long as it runs, what goes by the clock."""
        loop = asyncio.get_running_loop()
        beat, begin = 0, loop.time()
        while True:
            last, beat = beat, beat + 1
            await asyncio.sleep(max(0.0, begin + beat * BEAT_MS / 1000 - loop.time()))
            beat = max(beat, int((loop.time() - begin) * 1000) // BEAT_MS)
            self._beat(last * BEAT_MS, beat * BEAT_MS)

    def _beat(self, from_ms: int, to_ms: int) -> None:
        """Tell once what has come due in between, however often it did."""
        now_ms = self._now_ms()

        def due(every_ms: int) -> bool:
            return from_ms // every_ms < to_ms // every_ms

        for name in list(self._streams.names()):
            who, _, kind = name.partition("@")
            depth = parse_depth_stream(kind) if who == self._who else None
            if depth is not None:
                if due(max(depth[1], BEAT_MS)):
                    self._depth(name, depth[0], now_ms)
            elif kind.startswith("kline_"):
                if self._changed and due(OPEN_KLINE_MS):
                    self._open_kline(name, kind.removeprefix("kline_"), now_ms)
            else:
                self._figures(name, kind, due, now_ms)
        if due(OPEN_KLINE_MS):
            self._changed = False

    def _depth(self, name: str, levels: int | None, now_ms: int) -> None:
        chain = self._market.book.diff_stream(name)
        depth = chain.next_diff() if levels is None else chain.next_top(levels)
        if depth is not None:
            self._publish(name, self._payloads.depth_update(depth, now_ms))

    def _open_kline(self, name: str, interval: str, now_ms: int) -> None:
        kline = self._market.klines.current(interval) if interval in INTERVALS else None
        if kline is not None and not kline.closed:
            self._streams.publish(name, self._payloads.kline_json(kline, now_ms))

    def _figures(self, name: str, kind: str, due: Callable[[int], bool], now_ms: int) -> None:
        mark = kind.removeprefix("markPrice") if kind.startswith("markPrice") else None
        if name.startswith("!markPrice@arr"):
            mark = name.removeprefix("!markPrice@arr")
        payload: Any = None
        if mark in MARK_SPEEDS_MS and due(MARK_SPEEDS_MS[mark]):
            payload = self._payloads.mark_price(now_ms)
        elif due(DAY_MS):
            if kind == "ticker" or name == "!ticker@arr":
                payload = self._payloads.ticker(now_ms)
            elif kind == "miniTicker" or name == "!miniTicker@arr":
                payload = self._payloads.mini_ticker(now_ms)
        if payload is not None:
            self._publish(name, [payload] if name.startswith("!") else payload)

    def _publish(self, name: str, payload: Any) -> None:
        self._streams.publish(name, to_json(payload).decode())

    def _greet(self, name: str, send: Callable[[str], None]) -> None:
        """Who subscribes to quotes learns of the one that stands; a chain of changes begins with its first follower."""
        now_ms = self._now_ms()
        who, _, kind = name.partition("@")
        if kind == "bookTicker" or name == "!bookTicker":
            send(self._payloads.book_ticker_json(now_ms))
        elif who == self._who and parse_depth_stream(kind) is not None:
            self._market.book.diff_stream(name)
            self._market.book.update_id += 1  # a client asks for the book once it has seen a change, be it an empty one

    def _forget(self, name: str) -> None:
        _, _, kind = name.partition("@")
        if parse_depth_stream(kind) is not None:
            self._market.book.drop_diff_stream(name)
