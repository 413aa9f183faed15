"""Whether the market reached an order's trigger price at the moments at which two runs filled it."""

from collections.abc import Sequence
from decimal import Decimal

from opslab.model.checks.parity import Cause, Decision
from opslab.ports import Moment
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.orders import OrderOutcome


def explain_trigger(
    candles: Candles, order: Decision, outcomes: Sequence[OrderOutcome], *, one_source: bool
) -> tuple[Cause, str] | None:
    """Cause and text, when an order with a trigger price was filled at other moments, or in one run alone.

    None: no such order or equal moments; one_source: both saw the same prices, which cannot be the cause.
    """
    moments = [outcome.parts[0].moment if outcome.parts else None for outcome in outcomes]
    if order.trigger_price is None or moments[0] == moments[1] or one_source:
        return None
    if all(moment is None or _reached(candles, order, moment) for moment in moments):
        return "triggered_elsewhere", "a backtest triggers on bars, a paper run on the venue's prices within the minute"
    return "unexplained", "a fill of an order whose trigger price the candle had not reached"


def _reached(candles: Candles, order: Decision, moment: Moment) -> bool:
    """Within a tick: a trigger may follow the bid or the ask."""
    minute = moment.minute - (moment.tick == 0)
    if not 0 <= minute < len(candles):
        return False
    trigger = Decimal(order.trigger_price or 0)
    if (order.side == "SELL") != order.type.endswith("IF_TOUCHED"):
        return candles.value("low", minute) <= trigger + candles.tick
    return candles.value("high", minute) >= trigger - candles.tick
