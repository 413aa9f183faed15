"""Bar pacing at full speed: the next candle starts when control has acknowledged that the one before is processed.

It never waits for an acknowledgement that cannot arrive. A candle that closed without a subscriber has none. A candle
that was lost with a connection has none either: after a timeout the market continues without it.
"""

import asyncio
from math import inf

from opslab.venue.event_log import EventLogger


class BarPacing:
    def __init__(self, minutes: int, subscribed: asyncio.Event, timeout_seconds: float, log_event: EventLogger) -> None:
        """minutes: candles closed so far. subscribed: set while a client subscribes to candles."""
        self._done_minutes = minutes
        self._subscribed = subscribed
        self._log_event = log_event
        self._acknowledged = asyncio.Event()
        self._timeout_seconds = timeout_seconds
        self._sent_at_seconds: float | None = None
        """Loop time at which the last candle was sent; None if it had no subscriber."""

    def bar_done(self, minutes: int) -> None:
        """Acknowledge from control: the first `minutes` closed candles are processed."""
        if minutes > self._done_minutes:
            self._done_minutes = minutes
            self._acknowledged.set()

    def bar_closed(self) -> None:
        """A candle has closed and was sent to its subscribers."""
        self._sent_at_seconds = asyncio.get_running_loop().time() if self._subscribed.is_set() else None

    def disable_timeout(self) -> None:
        """Control has exited: no acknowledgement arrives any more, and no candle starts without one."""
        self._timeout_seconds = inf
        self._acknowledged.set()

    async def wait_for_bar(self, minutes: int) -> None:
        """Wait until the candle after `minutes` others may start. Without a subscription to candles none starts."""
        while True:
            await self._subscribed.wait()
            if self._done_minutes >= minutes:
                return
            if self._sent_at_seconds is None:
                self._continue(minutes, "no client subscribed to candles when it closed")
                return
            self._acknowledged.clear()
            try:
                async with asyncio.timeout_at(self._sent_at_seconds + self._timeout_seconds):
                    await self._acknowledged.wait()
            except TimeoutError:
                if self._subscribed.is_set():
                    self._continue(minutes, f"none arrived within {self._timeout_seconds:g} s")
                    return

    def _continue(self, minutes: int, reason: str) -> None:
        self._log_event(
            "candle_not_acknowledged",
            {"minutes": minutes, "acknowledged": self._done_minutes, "reason": reason},
        )
        self._done_minutes = minutes
