"""The engine's rate limits in the time of a faster market."""

from decimal import Decimal

import pytest

from opslab.model.spec.risk_profile import MAX_RATE_FACTOR, order_rate_factor
from opslab.model.spec.spec_values import Speed


@pytest.mark.parametrize(
    ("speed", "factor"),
    [
        (Decimal(1), 1),
        (Decimal("1.5"), 2),
        (Decimal(600), 600),
        (Decimal(1_000_000), MAX_RATE_FACTOR),
        ("max", MAX_RATE_FACTOR),
    ],
)
def test_the_rate_is_at_least_that_of_a_market_second(speed: Speed, factor: int) -> None:
    assert order_rate_factor(speed) == factor
