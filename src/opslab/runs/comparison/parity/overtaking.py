"""Orders of one bar that reached the venue in another order than the strategy created them.

The engine's adapter sends the orders of one handler concurrently: any of them may arrive first.
"""

from collections.abc import Sequence
from decimal import Decimal

from opslab.model.checks.parity import Decision
from opslab.runs.comparison.parity.orders import OrderOutcome
from opslab.runs.comparison.parity.refusals import refusal_reason

REDUCE_ONLY_REJECTED = "-2022"

SentOrder = tuple[Decision, OrderOutcome]


def overtaken_orders(orders: Sequence[SentOrder]) -> dict[int, str]:
    """Position in `orders` to a text, for the orders of both kinds: overtaken and overtaking.

    orders: of one bar of one run, in order of creation. Empty for a backtest, which has no way to the venue.
    """
    found: dict[int, str] = {}
    for number, (earlier, outcome) in enumerate(orders):
        for other in range(number + 1, len(orders)):
            later, later_outcome = orders[other]
            if _arrived_first(later_outcome, earlier, outcome):
                text = f"{later.client_order_id} reached the venue before {earlier.client_order_id}, created earlier"
                found.setdefault(number, text)
                found.setdefault(other, text)
    return found


def _arrived_first(later: OrderOutcome, order: Decision, outcome: OrderOutcome) -> bool:
    if later.venue_number is None:
        return False
    if outcome.venue_number is not None:
        return later.venue_number < outcome.venue_number
    return _took_the_position(later, order, outcome)


def _took_the_position(later: OrderOutcome, order: Decision, outcome: OrderOutcome) -> bool:
    """A ledger has no rejected order. A reduce-only order was rejected after the later order's fills left nothing to
    reduce; before them there was something.
    """
    if not order.reduce_only or not outcome.refused or not later.parts:
        return False
    if refusal_reason(outcome.status, outcome.reason) != REDUCE_ONLY_REJECTED:
        return False
    first, last = later.parts[0], later.parts[-1]
    if first.position_before is None or last.position_after is None:
        return False
    return _reduces(order, first.position_before) and not _reduces(order, last.position_after)


def _reduces(order: Decision, position: Decimal) -> bool:
    return position < 0 if order.side == "BUY" else position > 0
