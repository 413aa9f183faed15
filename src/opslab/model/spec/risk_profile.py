"""Risk profiles: limits of the engine's own risk checks."""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Literal

from opslab.model.spec.spec_values import Speed

RiskProfile = Literal["tiny", "standard"]


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The engine denies an order above a limit before it is sent."""

    max_notional_per_order: Decimal
    """In the instrument's quote currency."""
    max_orders_per_second: int


PROFILES: dict[RiskProfile, RiskLimits] = {
    "tiny": RiskLimits(max_notional_per_order=Decimal(1_000), max_orders_per_second=50),
    "standard": RiskLimits(max_notional_per_order=Decimal(100_000), max_orders_per_second=100),
}

MAX_RATE_FACTOR = 12_000
"""At full speed a minute with orders takes the venue at least 5 ms: at most 12,000 market seconds a second."""


def order_rate_factor(speed: Speed) -> int:
    """Market seconds in one second of the engine's clock, by which its rate limits are to be multiplied.

    The engine counts orders by the wall clock: unchanged, it would deny orders that are far apart in the market.
    """
    return MAX_RATE_FACTOR if speed == "max" else min(ceil(speed), MAX_RATE_FACTOR)
