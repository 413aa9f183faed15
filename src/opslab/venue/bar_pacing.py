"""At full speed, paced by the engine: the next candle begins when control has said that the one before is dealt with.

It never waits for word that cannot come. Of a candle that closed while nobody followed candles there is none; of one
that a lost connection cost there is none either, and after a while the market goes on without.
"""

import asyncio
from math import inf

from opslab.venue.event_log import EventLogger


class BarPacing:
    def __init__(self, minutes: int, followed: asyncio.Event, seconds: float, log_event: EventLogger) -> None:
        """minutes: candles closed so far. followed: set while somebody follows candles. seconds: for word to come."""
        self._through = minutes
        self._followed = followed
        self._log_event = log_event
        self._word = asyncio.Event()
        self._patience = seconds
        self._sent_at: float | None = None
        """When the last candle was sent, by the loop's clock; None when that was to nobody."""

    def told(self, minutes: int) -> None:
        """Control's word: of the candles closed, so many are dealt with."""
        if minutes > self._through:
            self._through = minutes
            self._word.set()

    def closed(self) -> None:
        """A candle has closed, and was sent to whoever follows."""
        self._sent_at = asyncio.get_running_loop().time() if self._followed.is_set() else None

    def wait_on(self) -> None:
        """Control is gone: no word comes any more, and no candle begins for want of it."""
        self._patience = inf
        self._word.set()

    async def before(self, minutes: int) -> None:
        """Wait for leave to begin the candle behind `minutes` others. While nobody follows candles there is none."""
        while True:
            await self._followed.wait()
            if self._through >= minutes:
                return
            if self._sent_at is None:
                self._go_on(minutes, "nobody followed candles when it closed")
                return
            self._word.clear()
            try:
                async with asyncio.timeout_at(self._sent_at + self._patience):
                    await self._word.wait()
            except TimeoutError:
                if self._followed.is_set():
                    self._go_on(minutes, f"none came within {self._patience:g} s")
                    return

    def _go_on(self, minutes: int, why: str) -> None:
        self._log_event("went on without word of a candle", {"minutes": minutes, "told": self._through, "why": why})
        self._through = minutes
