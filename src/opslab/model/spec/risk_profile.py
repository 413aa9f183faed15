"""Risk profiles: what the engine's own risk checks are set to."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

RiskProfile = Literal["tiny", "standard"]


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """An order over a limit is denied by the engine before it leaves."""

    max_notional_per_order: Decimal
    """In the instrument's quote currency."""
    max_orders_per_second: int


PROFILES: dict[RiskProfile, RiskLimits] = {
    "tiny": RiskLimits(max_notional_per_order=Decimal(1_000), max_orders_per_second=50),
    "standard": RiskLimits(max_notional_per_order=Decimal(100_000), max_orders_per_second=100),
}
