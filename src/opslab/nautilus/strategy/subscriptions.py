"""The subscriptions of a strategy and its requests for data of the past, and the number of items each received."""

from collections import Counter
from typing import Any

from opslab.model.journal.engine_events import SubscriptionUnserved
from opslab.model.run.subscription import Subscription
from opslab.nautilus.strategy.served_data import Check
from opslab.ports import MessageSink

HANDLER_OF = {
    "quotes": "on_quote",
    "trades": "on_trade",
    "book_deltas": "on_book_deltas",
    "book_depth": "on_book_depth",
    "book_at_interval": "on_book",
    "mark_prices": "on_mark_price",
    "index_prices": "on_index_price",
    "funding_rates": "on_funding_rate",
    "instrument": "on_instrument",
    "instruments": "on_instrument",
    "instrument_status": "on_instrument_status",
    "instrument_close": "on_instrument_close",
    "option_greeks": "on_option_greeks",
    "option_chain": "on_option_chain",
    "data": "on_data",
    "signal": "on_signal",
}
"""Kind of data, as in `subscribe_<kind>`, to the handler that receives it. Bars are counted by bar type.

Not the states of sockets and queues, which a healthy node does not send, and topics, whose handlers are the strategy's.
"""
REQUEST_HANDLER_OF = {
    "request_bars": "on_historical_bars",
    "request_quotes": "on_historical_quotes",
    "request_trades": "on_historical_trades",
    "request_book_deltas": "on_historical_book_deltas",
    "request_book_depth": "on_historical_book_depth",
    "request_funding_rates": "on_historical_funding_rates",
}
"""Request for data of the past to the handler that receives a list of them."""


class Subscriptions:
    """Counts what a strategy subscribed to or requested. Bars of the run's own type are counted by the recorder."""

    def __init__(self, bar_type: str, check: Check, messages: MessageSink) -> None:
        """check: names what the run cannot serve. messages: receives that at once."""
        self._bar_type = bar_type
        self._check, self._messages = check, messages
        self._requested: dict[tuple[str, str], None] = {}
        self._partial: set[tuple[str, str]] = set()
        self.other_bars: Counter[str] = Counter()
        """Bars of other types than the run's: type to number."""
        self.received: Counter[str] = Counter()
        """Items other than bars: handler to number."""
        self.has_other_bars = False
        """Whether the strategy ever subscribed to bars of another type."""

    def add(self, kind: str, subject: str, *, is_late: bool) -> None:
        """subject: the bar type, the instrument, or the type of the data. is_late: after the first bar of the run."""
        if (kind, subject) in self._requested:
            return
        self._requested[kind, subject] = None
        if is_late and kind == "bars":
            self._partial.add((kind, subject))
        self.has_other_bars = self.has_other_bars or (kind == "bars" and subject != self._bar_type)
        code = self._check(kind, subject)
        if code:
            self._messages.send(SubscriptionUnserved(code=code, kind=kind, subject=subject))

    def cancel_bars(self, bar_type: str) -> None:
        """The strategy unsubscribed, perhaps for a while, and the run goes on."""
        self._partial.add(("bars", bar_type))

    def is_own(self, bar: Any) -> bool:
        return str(bar.bar_type) == self._bar_type

    def count_other(self, bar: Any) -> None:
        self.other_bars[str(bar.bar_type)] += 1

    def counts(self, own_bars: int) -> tuple[Subscription, ...]:
        """In the order of the first request. own_bars: received bars of the run's own type."""
        return tuple(
            Subscription(
                kind=kind,
                subject=subject,
                count=self._count(kind, subject, own_bars),
                partial=(kind, subject) in self._partial,
            )
            for kind, subject in self._requested
        )

    def _count(self, kind: str, subject: str, own_bars: int) -> int:
        if kind != "bars":
            return self.received[REQUEST_HANDLER_OF.get(kind) or HANDLER_OF[kind]]
        if subject == self._bar_type:
            return own_bars
        return self.other_bars[subject.partition("@")[0]]
