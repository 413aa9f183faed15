"""Publishes the market to its streams: with every tick, with every closed candle, and by the clock.

Quotes and trades are sent with their tick. Depth, mark price and the open candle are sent by the wall clock, at the
intervals in the names of their streams, however fast the market runs.
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
CLOCK_STEP_MS = 50
"""Every interval is a multiple of it."""
TICKER_MS = 1000
"""Interval of the 24-hour tickers."""


class MarketPublisher:
    def __init__(
        self, market: Market, payloads: MarketPayloads, streams: MarketStreams, now_ms: Callable[[], int]
    ) -> None:
        self._market = market
        self._payloads = payloads
        self._streams = streams
        self._now_ms = now_ms
        self._symbol = market.instrument.symbol.lower()
        self._changed = False
        """Whether the market moved since the open candles were last sent."""
        streams.on_subscribe = self._on_subscribe
        streams.on_unused = self._on_unused

    def publish_tick(self, trade: MarketTrade | None, now_ms: int) -> None:
        """Publish trade and quote of one tick."""
        self._changed = True
        publish, is_subscribed = self._streams.publish, self._streams.is_subscribed
        payloads, symbol = self._payloads, self._symbol
        if trade is not None:
            if is_subscribed(name := f"{symbol}@aggTrade"):
                publish(name, payloads.agg_trade_json(trade, now_ms))
            if is_subscribed(name := f"{symbol}@trade"):
                publish(name, payloads.trade_json(trade, now_ms))
        self.publish_quote(now_ms)

    def publish_quote(self, now_ms: int) -> None:
        """Publish the best bid and ask."""
        for name in (f"{self._symbol}@bookTicker", "!bookTicker"):
            if self._streams.is_subscribed(name):
                self._streams.publish(name, self._payloads.book_ticker_json(now_ms))

    def publish_closed(self, klines: Iterable[Kline], now_ms: int) -> None:
        """Publish candles that have closed."""
        for kline in klines:
            name = f"{self._symbol}@kline_{kline.interval}"
            if self._streams.is_subscribed(name):
                self._streams.publish(name, self._payloads.kline_json(kline, now_ms))

    async def run(self) -> None:
        """Publish the clock-driven streams until canceled."""
        loop = asyncio.get_running_loop()
        step, start = 0, loop.time()
        while True:
            previous, step = step, step + 1
            await asyncio.sleep(max(0.0, start + step * CLOCK_STEP_MS / 1000 - loop.time()))
            step = max(step, int((loop.time() - start) * 1000) // CLOCK_STEP_MS)
            self._publish_due(previous * CLOCK_STEP_MS, step * CLOCK_STEP_MS)

    def _publish_due(self, from_ms: int, to_ms: int) -> None:
        """Publish each stream that was due in the interval once, even if it was due several times."""
        now_ms = self._now_ms()

        def due(every_ms: int) -> bool:
            return from_ms // every_ms < to_ms // every_ms

        for name in list(self._streams.subscribed_names()):
            symbol, _, kind = name.partition("@")
            depth = parse_depth_stream(kind) if symbol == self._symbol else None
            if depth is not None:
                if due(max(depth[1], CLOCK_STEP_MS)):
                    self._publish_depth(name, depth[0], now_ms)
            elif kind.startswith("kline_"):
                if self._changed and due(OPEN_KLINE_MS):
                    self._publish_open_kline(name, kind.removeprefix("kline_"), now_ms)
            else:
                self._publish_ticker(name, kind, due, now_ms)
        if due(OPEN_KLINE_MS):
            self._changed = False

    def _publish_depth(self, name: str, levels: int | None, now_ms: int) -> None:
        stream = self._market.book.diff_stream(name)
        depth = stream.next_diff() if levels is None else stream.next_top(levels)
        if depth is not None:
            self._publish(name, self._payloads.depth_update(depth, now_ms))

    def _publish_open_kline(self, name: str, interval: str, now_ms: int) -> None:
        kline = self._market.klines.current(interval) if interval in INTERVALS else None
        if kline is not None and not kline.closed:
            self._streams.publish(name, self._payloads.kline_json(kline, now_ms))

    def _publish_ticker(self, name: str, kind: str, due: Callable[[int], bool], now_ms: int) -> None:
        mark_speed = kind.removeprefix("markPrice") if kind.startswith("markPrice") else None
        if name.startswith("!markPrice@arr"):
            mark_speed = name.removeprefix("!markPrice@arr")
        payload: Any = None
        if mark_speed in MARK_SPEEDS_MS and due(MARK_SPEEDS_MS[mark_speed]):
            payload = self._payloads.mark_price(now_ms)
        elif due(TICKER_MS):
            if kind == "ticker" or name == "!ticker@arr":
                payload = self._payloads.ticker(now_ms)
            elif kind == "miniTicker" or name == "!miniTicker@arr":
                payload = self._payloads.mini_ticker(now_ms)
        if payload is not None:
            self._publish(name, [payload] if name.startswith("!") else payload)

    def _publish(self, name: str, payload: Any) -> None:
        self._streams.publish(name, to_json(payload).decode())

    def _on_subscribe(self, name: str, send: Callable[[str], None]) -> None:
        """Send the current quote to a new subscriber of quotes; start a diff stream with its first subscriber."""
        now_ms = self._now_ms()
        symbol, _, kind = name.partition("@")
        if kind == "bookTicker" or name == "!bookTicker":
            send(self._payloads.book_ticker_json(now_ms))
        elif symbol == self._symbol and parse_depth_stream(kind) is not None:
            self._market.book.diff_stream(name)
            # Clients request the snapshot only after the first diff, so that an empty diff must follow.
            self._market.book.update_id += 1

    def _on_unused(self, name: str) -> None:
        _, _, kind = name.partition("@")
        if parse_depth_stream(kind) is not None:
            self._market.book.drop_diff_stream(name)
