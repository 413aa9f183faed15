"""Explain why the same order has different outcomes in two runs: a cause from a closed list, or unexplained.

A cause is not guessed from the mode: it must fit the known market and the order's path. A venue fill has a price that
its book could show at that moment; a fee follows the run's own rate and price; a resting order is filled only where a
candle reached its price.
"""

from dataclasses import dataclass
from decimal import Decimal

from opslab.model.checks.parity import Cause, Decision
from opslab.model.primitives.canonical import decimal_text
from opslab.ports import Moment
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.orders import OrderOutcome
from opslab.runs.comparison.parity.prefetch import FillPart
from opslab.runs.comparison.parity.refusals import refusal_reason
from opslab.runs.comparison.parity.triggers import explain_trigger
from opslab.venue.market.order_book import MAX_LEVELS

FEE_ROUNDING = Decimal("0.00000001")
"""Smallest amount of money: each fill's fee was rounded to it once."""


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """Fill terms of one of the two runs."""

    venue: bool
    """Filled by a venue on its book; otherwise on bar prices."""
    maker: Decimal
    taker: Decimal
    """Fees, as fractions of the notional."""


@dataclass(frozen=True, slots=True)
class DetectedDifference:
    """One differing field of an outcome."""

    field: str
    before: str | None
    after: str | None
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Pair:
    """An order of one run and the same decision of the other."""

    index: int
    """Index of the bar at which both made it."""
    order: Decision
    a: OrderOutcome
    b: OrderOutcome
    closing: bool
    """Both closed the whole position."""
    overtaken: str | None = None
    """Text, when it was overtaken by another order of its bar, or overtook one, in one of the runs alone."""


class FillJudge:
    """Explains one pair after the other; keeps the cause of differing positions."""

    def __init__(self, candles: Candles, end: int, a: FeeTerms, b: FeeTerms, *, one_source: bool) -> None:
        """end: index after the last compared candle. one_source: both filled on the same book."""
        self._candles = candles
        self._end = end
        self._terms = (a, b)
        self._one_source = one_source
        self._drift: Cause | None = None
        """Cause of the difference between the open positions."""

    def differences(self, pair: Pair) -> list[DetectedDifference]:
        """Empty for equal outcomes."""
        a, b = pair.a, pair.b
        if a.refused or b.refused or a.reached is None or b.reached is None:
            return self._not_reached(pair)
        differing = [*self._quantity(pair), *self._price(pair), *self._liquidity(pair), *self._fee(pair)]
        differing += self._canceled(pair)
        if pair.closing:
            self._drift = None
        return differing

    def _not_reached(self, pair: Pair) -> list[DetectedDifference]:
        """One of the two orders was refused or never sent."""
        a, b = pair.a, pair.b
        if a.refused and b.refused:
            reasons = [refusal_reason(each.status, each.reason) for each in (a, b)]
            if reasons[0] == reasons[1]:
                return []
            detail = "both runs refused the order, for different reasons"
            left, right = (f"{each.status} {each.reason}" for each in (a, b))
            return [DetectedDifference("reason", left, right, "refused_for_another_reason", detail)]
        if (a.status, a.reached) == (b.status, b.reached):
            return []
        cause, detail = self._explain_not_reached(pair)
        if a.filled != b.filled and not pair.closing:
            self._drift = cause
        return [DetectedDifference("status", a.status, b.status, cause, detail)]

    def _explain_not_reached(self, pair: Pair) -> tuple[Cause, str]:
        if pair.overtaken:
            return "overtaken", pair.overtaken
        refused = next((each for each in (pair.a, pair.b) if each.refused), None)
        if refused:
            return "unexplained", f"one run refused the order: {refused.reason}"
        return self._trigger(pair) or ("unexplained", "one of the orders never reached its market")

    def _late(self, pair: Pair) -> str | None:
        """Text, when the order or its cancel reached the two markets at different moments."""
        moments = (("reached", pair.a.reached, pair.b.reached), ("canceled", pair.a.ended, pair.b.ended))
        for name, left, right in moments:
            if left is not None and right is not None and left != right:
                return f"{name} at {_moment_text(pair.index, left)} and {_moment_text(pair.index, right)} after the bar"
        return None

    def _quantity(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a, pair.b
        if a.filled == b.filled:
            if len(a.parts) == len(b.parts):
                return []
            detail = "the book had less at its best price than the order's quantity"
            return [DetectedDifference("fills", str(len(a.parts)), str(len(b.parts)), "partial", detail)]
        cause, detail = self._explain_quantity(pair)
        if not pair.closing:
            self._drift = cause
        return [DetectedDifference("quantity", decimal_text(a.filled), decimal_text(b.filled), cause, detail)]

    def _explain_quantity(self, pair: Pair) -> tuple[Cause, str]:
        if pair.closing and self._drift is not None:
            return self._drift, "it closes the result of earlier fills, which differ"
        if pair.overtaken:
            return "overtaken", pair.overtaken
        trigger = self._trigger(pair)
        if trigger:
            return trigger
        late = self._late(pair)
        if late:
            return "latency", late
        if all(outcome.parts for outcome in (pair.a, pair.b)):
            return "partial", "the market had less at the order's price than its quantity"
        if not self._one_source and self._price_was_reached(pair):
            return "price_source", "the candle reached the price: bars fill by its range, the venue by simulated trades"
        return "unexplained", "nothing known of the market fills one and not the other"

    def _trigger(self, pair: Pair) -> tuple[Cause, str] | None:
        return explain_trigger(self._candles, pair.order, (pair.a, pair.b), one_source=self._one_source)

    def _price_was_reached(self, pair: Pair) -> bool:
        """Whether one was filled where a candle reached its price while the other was open as well."""
        filled, other = (pair.a, pair.b) if pair.a.parts else (pair.b, pair.a)
        if pair.order.price is None:
            return False
        price, moment = Decimal(pair.order.price), filled.parts[0].moment
        minute = moment.minute - (moment.tick == 0)
        was_there = other.ended is None or other.ended.minute > minute
        if not was_there or not 0 <= minute < len(self._candles):
            return False
        if pair.order.side == "BUY":
            return self._candles.value("low", minute) <= price
        return self._candles.value("high", minute) >= price

    def _price(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a, pair.b
        if a.average is None or b.average is None or a.average == b.average:
            return []
        cause, detail = self._explain_price(pair)
        return [DetectedDifference("price", decimal_text(a.average), decimal_text(b.average), cause, detail)]

    def _explain_price(self, pair: Pair) -> tuple[Cause, str]:
        for outcome, terms in zip((pair.a, pair.b), self._terms, strict=True):
            impossible = self._impossible_price(pair.order, outcome) if terms.venue else None
            if impossible:
                return "unexplained", impossible
        trigger = self._trigger(pair)
        if trigger:
            return trigger
        late = self._late(pair)
        if late:
            return "latency", late
        if not self._one_source:
            return "price_source", "bars fill at a bar price, the venue at its book prices"
        if len(pair.a.parts) != len(pair.b.parts):
            return "partial", "the book had less at its best price than the order's quantity"
        if pair.overtaken:
            return "overtaken", pair.overtaken
        return "unexplained", "the same book at the same moment has one price"

    def _impossible_price(self, order: Decision, outcome: OrderOutcome) -> str | None:
        """Text, when a fill has a price that the venue's book could not show."""
        for part in outcome.parts:
            low, high = self._range(part.moment)
            reach = 0 if part.maker else MAX_LEVELS * self._candles.tick
            if not low - reach <= part.price <= high + reach:
                return f"a fill at {part.price:f}, where the market was from {low:f} to {high:f}"
            if order.price is not None and _beyond(order, part):
                return f"a fill at {part.price:f}, which is beyond the order's limit"
        return None

    def _range(self, moment: Moment) -> tuple[Decimal, Decimal]:
        """Price range of the market. Before the first tick of a minute it is the previous close."""
        candles, minute = self._candles, moment.minute
        before = candles.value("close", max(0, min(minute, len(candles)) - 1))
        if moment.tick == 0 or minute >= len(candles):
            return before, before
        return min(before, candles.value("low", minute)), max(before, candles.value("high", minute))

    def _liquidity(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a.liquidity, pair.b.liquidity
        if a is None or b is None or a == b:
            return []
        cause, detail = self._explain_liquidity(pair)
        return [DetectedDifference("liquidity", a, b, cause, detail)]

    def _explain_liquidity(self, pair: Pair) -> tuple[Cause, str]:
        trigger = self._trigger(pair)
        if trigger:
            return trigger
        late = self._late(pair)
        if late:
            return "latency", late
        if pair.overtaken:
            return "overtaken", pair.overtaken
        detail = "the two markets differ in whether an order finds its price on arrival"
        return "unexplained" if self._one_source else "price_source", detail

    def _fee(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a, pair.b
        if a.fee == b.fee:
            return []
        for outcome, terms in zip((a, b), self._terms, strict=True):
            for part in outcome.parts:
                due = part.price * part.quantity * (terms.maker if part.maker else terms.taker)
                if abs(part.fee - due) > FEE_ROUNDING:
                    detail = f"a fee of {part.fee:f}, where the run's own rate gives {due:f}"
                    return [DetectedDifference("fee", f"{a.fee:f}", f"{b.fee:f}", "unexplained", detail)]
        return [DetectedDifference("fee", f"{a.fee:f}", f"{b.fee:f}", "fee", "each follows its own run's fee rate")]

    def _canceled(self, pair: Pair) -> list[DetectedDifference]:
        """An order that is open after its cancel or expiry in the other run. Nothing is compared after the end."""
        a, b = pair.a, pair.b
        if a.ended == b.ended or a.filled != b.filled:
            return []
        left, right = (moment if moment and moment < (self._end, 0) else None for moment in (a.ended, b.ended))
        if left == right or (a.ended and b.ended and (self._end, 0) in (a.ended, b.ended)):
            return []
        before, after = (None if moment is None else _moment_text(pair.index, moment) for moment in (a.ended, b.ended))
        if a.ended and b.ended and self._may_be_late(pair):
            return [DetectedDifference("canceled", before, after, "latency", "the cancel arrived at another moment")]
        return [
            DetectedDifference("canceled", before, after, "unexplained", "one canceled it, the other did not by then")
        ]

    def _may_be_late(self, pair: Pair) -> bool:
        """A cancel cannot reach a venue before a backtest has it."""
        a, b = pair.a.ended, pair.b.ended
        left, right = self._terms
        if a is None or b is None or left.venue == right.venue:
            return True
        return a <= b if right.venue else b <= a


def _beyond(order: Decision, part: FillPart) -> bool:
    limit = Decimal(order.price or 0)
    return part.price > limit if order.side == "BUY" else part.price < limit


def _moment_text(index: int, moment: Moment) -> str:
    """Counted from the close of the order's bar, which is minute 0 tick 0."""
    return f"minute {moment.minute - index - 1} tick {moment.tick}"
