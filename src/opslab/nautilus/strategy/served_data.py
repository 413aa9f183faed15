"""Which subscriptions and requests a backtest and a paper run cannot serve, as far as known when a strategy makes them.

A backtest has the bars of its dataset alone, and nothing answers a request for data of the past. A paper run has the
streams of the venue; the engine closes time bars that it aggregates itself by its own clock, and the market runs at the
speed of the run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from opslab.model.run.subscription import SubscriptionCode

Check = Callable[[str, str], SubscriptionCode | None]
"""The problem of a subscription of (kind, subject); None: none is known yet."""

WITHOUT_MARKET_DATA = ("data", "signal", "instrument", "instruments")
"""Kinds that a strategy, its actors or the engine's own definitions may serve."""
REQUEST_PREFIX = "request_"
STEPS = {"MINUTE": (1, 3, 5, 15, 30), "HOUR": (1, 2, 4, 6, 8, 12), "DAY": (1,)}
"""The candles that the venue serves."""
_TIME = ("MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR")


@dataclass(frozen=True, slots=True)
class _BarType:
    instrument_id: str
    step: int
    aggregation: str
    price: str
    source: str
    aggregated_from: str
    """As in `1-MINUTE-EXTERNAL`; empty: quotes or trades, or no aggregation."""

    @classmethod
    def parse(cls, text: str) -> "_BarType":
        """text: of the engine's `BarType`."""
        target, _, aggregated_from = text.partition("@")
        instrument_id, step, aggregation, price, source = target.rsplit("-", 4)
        return cls(instrument_id, int(step), aggregation, price, source, aggregated_from)


def backtest_check(bar_type: str) -> Check:
    """bar_type: the bars of the dataset."""
    own = _BarType.parse(bar_type)
    own_source = f"{own.step}-{own.aggregation}-{own.source}"

    def check(kind: str, subject: str) -> SubscriptionCode | None:
        if kind.startswith(REQUEST_PREFIX):
            return "subscription_empty"
        if kind in WITHOUT_MARKET_DATA or subject == bar_type:
            return None
        if kind != "bars":
            return "subscription_empty"
        other = _BarType.parse(subject)
        if other.instrument_id != own.instrument_id or other.price != own.price:
            return "subscription_empty"
        is_served = other.aggregated_from == own_source or other.aggregated_from.endswith("-INTERNAL")
        return None if other.source == "INTERNAL" and is_served else "subscription_empty"

    return check


def paper_check(bar_type: str, speed: float | None) -> Check:
    """bar_type: the bars of the run. speed: market minutes per minute; None: as fast as the engine allows."""
    own = _BarType.parse(bar_type)

    def check(kind: str, subject: str) -> SubscriptionCode | None:
        if kind in WITHOUT_MARKET_DATA or kind.startswith(REQUEST_PREFIX):
            return None
        if kind != "bars":
            return None if subject == own.instrument_id else "subscription_empty"
        other = _BarType.parse(subject)
        if other.instrument_id != own.instrument_id:
            return "subscription_empty"
        if other.source == "INTERNAL":
            return "subscription_untruthful" if other.aggregation in _TIME and speed != 1 else None
        is_served = other.price == own.price and other.step in STEPS.get(other.aggregation, ())
        return None if is_served else "subscription_empty"

    return check
