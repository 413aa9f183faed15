"""Risk profiles: limits of the engine's own risk checks."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

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
