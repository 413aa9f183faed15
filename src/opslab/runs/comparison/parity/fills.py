"""Why the same order came out otherwise in two runs: each difference from a closed list, or unexplained.

A cause is not guessed from the mode: it has to fit what is known of the market and of the order's way. A venue's fill
has a price that its book could show at that moment; a fee is the run's own rate of the run's own price; an order that
rests is filled only where a candle reached its price.
"""

from dataclasses import dataclass
from decimal import Decimal

from opslab.model.checks.parity import Cause, Decision
from opslab.model.primitives.canonical import decimal_text
from opslab.ports import Moment
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.orders import OrderOutcome
from opslab.runs.comparison.parity.prefetch import Part
from opslab.venue.market.order_book import MAX_LEVELS

CENT_OF_A_CENT = Decimal("0.00000001")
"""The smallest amount of money: every fill's fee was rounded to it once."""


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """What is known of one of the two runs."""

    venue: bool
    """It filled at a venue, on its book; otherwise on the prices of bars."""
    maker: Decimal
    taker: Decimal
    """Fees, as fractions of the notional."""


@dataclass(frozen=True, slots=True)
class DetectedDifference:
    """One thing that differs."""

    what: str
    before: str | None
    after: str | None
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Pair:
    """An order of one run and the same decision of the other."""

    index: int
    """The bar at which both made it."""
    order: Decision
    a: OrderOutcome
    b: OrderOutcome
    closing: bool
    """Both took all that was open."""


class FillJudge:
    """Explains pair after pair; remembers why the positions of the two are not the same."""

    def __init__(self, candles: Candles, end: int, a: FeeTerms, b: FeeTerms, *, one_source: bool) -> None:
        """end: the candle behind the last that is compared. one_source: both filled on the same book."""
        self._candles = candles
        self._end = end
        self._terms = (a, b)
        self._one_source = one_source
        self._drift: Cause | None = None
        """Why the one has more open than the other."""

    def differences(self, pair: Pair) -> list[DetectedDifference]:
        """Nothing when it came out the same."""
        a, b = pair.a, pair.b
        if a.refused or b.refused or a.reached is None or b.reached is None:
            if (a.status, a.reached) == (b.status, b.reached) or (a.refused and b.refused):
                return []
            return [
                DetectedDifference(
                    "status", a.status, b.status, "unexplained", "one of the orders never reached its market"
                )
            ]
        found = [*self._quantity(pair), *self._price(pair), *self._liquidity(pair), *self._fee(pair)]
        found += self._canceled(pair)
        if pair.closing:
            self._drift = None
        return found

    def _late(self, pair: Pair) -> str | None:
        """In words, when the order, or what took it back, came to the two markets at different moments."""
        for name in ("reached", "canceled"):
            one, two = getattr(pair.a, name), getattr(pair.b, name)
            if one is not None and two is not None and one != two:
                return f"{name} at {_at(pair.index, one)} and {_at(pair.index, two)} behind the bar"
        return None

    def _quantity(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a, pair.b
        if a.filled == b.filled:
            if len(a.parts) == len(b.parts):
                return []
            why = "the book had less at its best price than the order wanted"
            return [DetectedDifference("fills", str(len(a.parts)), str(len(b.parts)), "partial", why)]
        cause, why = self._why_quantity(pair)
        if not pair.closing:
            self._drift = cause
        return [DetectedDifference("quantity", decimal_text(a.filled), decimal_text(b.filled), cause, why)]

    def _why_quantity(self, pair: Pair) -> tuple[Cause, str]:
        if pair.closing and self._drift is not None:
            return self._drift, "it closes what earlier fills had left, and these differ"
        late = self._late(pair)
        if late:
            return "latency", late
        if all(outcome.parts for outcome in (pair.a, pair.b)):
            return "partial", "the market had less at the order's price than it wanted"
        if not self._one_source and self._touched(pair):
            return "price_source", "the candle reached the price: bars fill by its range, the venue by drawn trades"
        return "unexplained", "nothing known of the market fills the one and not the other"

    def _touched(self, pair: Pair) -> bool:
        """Whether the one was filled where a candle reached its price, and the other was there as well."""
        filled, other = (pair.a, pair.b) if pair.a.parts else (pair.b, pair.a)
        if pair.order.price is None:
            return False
        price, moment = Decimal(pair.order.price), filled.parts[0].moment
        minute = moment.minute - (moment.tick == 0)
        was_there = other.canceled is None or other.canceled.minute > minute
        if not was_there or not 0 <= minute < len(self._candles):
            return False
        if pair.order.side == "BUY":
            return self._candles.value("low", minute) <= price
        return self._candles.value("high", minute) >= price

    def _price(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a, pair.b
        if a.average is None or b.average is None or a.average == b.average:
            return []
        cause, why = self._why_price(pair)
        return [DetectedDifference("price", decimal_text(a.average), decimal_text(b.average), cause, why)]

    def _why_price(self, pair: Pair) -> tuple[Cause, str]:
        for outcome, terms in zip((pair.a, pair.b), self._terms, strict=True):
            strange = self._strange(pair.order, outcome) if terms.venue else None
            if strange:
                return "unexplained", strange
        late = self._late(pair)
        if late:
            return "latency", late
        if not self._one_source:
            return "price_source", "bars fill at a price of the bar, the venue at those of its book"
        if len(pair.a.parts) != len(pair.b.parts):
            return "partial", "the book had less at its best price than the order wanted"
        return "unexplained", "the same book at the same moment has one price"

    def _strange(self, order: Decision, outcome: OrderOutcome) -> str | None:
        """In words, when a fill has a price that the venue's book could not show."""
        for part in outcome.parts:
            low, high = self._range(part.moment)
            reach = 0 if part.maker else MAX_LEVELS * self._candles.tick
            if not low - reach <= part.price <= high + reach:
                return f"a fill at {part.price:f}, where the market was from {low:f} to {high:f}"
            if order.price is not None and _beyond(order, part):
                return f"a fill at {part.price:f}, which is beyond the order's limit"
        return None

    def _range(self, moment: Moment) -> tuple[Decimal, Decimal]:
        """Where the market was. Before the first tick of a minute it stands where the last one closed."""
        candles, minute = self._candles, moment.minute
        before = candles.value("close", max(0, min(minute, len(candles)) - 1))
        if moment.tick == 0 or minute >= len(candles):
            return before, before
        return min(before, candles.value("low", minute)), max(before, candles.value("high", minute))

    def _liquidity(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a.liquidity, pair.b.liquidity
        if a is None or b is None or a == b:
            return []
        late = self._late(pair)
        cause: Cause = "latency" if late else "unexplained" if self._one_source else "price_source"
        why = late or "whether an order finds its price on arrival is the market's, and the two markets differ"
        return [DetectedDifference("liquidity", a, b, cause, why)]

    def _fee(self, pair: Pair) -> list[DetectedDifference]:
        a, b = pair.a, pair.b
        if a.fee == b.fee:
            return []
        for outcome, terms in zip((a, b), self._terms, strict=True):
            for part in outcome.parts:
                due = part.price * part.quantity * (terms.maker if part.maker else terms.taker)
                if abs(part.fee - due) > CENT_OF_A_CENT:
                    why = f"a fee of {part.fee:f}, where the run's own rate gives {due:f}"
                    return [DetectedDifference("fee", f"{a.fee:f}", f"{b.fee:f}", "unexplained", why)]
        return [DetectedDifference("fee", f"{a.fee:f}", f"{b.fee:f}", "fee", "each follows its own run's fee rate")]

    def _canceled(self, pair: Pair) -> list[DetectedDifference]:
        """An order that is still there when the other run has taken it back. Behind the end nothing is compared."""
        a, b = pair.a, pair.b
        if a.canceled == b.canceled or a.filled != b.filled:
            return []
        one, two = (moment if moment and moment < (self._end, 0) else None for moment in (a.canceled, b.canceled))
        if one == two or (a.canceled and b.canceled and (self._end, 0) in (a.canceled, b.canceled)):
            return []
        before, after = (None if moment is None else _at(pair.index, moment) for moment in (a.canceled, b.canceled))
        if a.canceled and b.canceled and self._may_be_late(pair):
            return [
                DetectedDifference(
                    "canceled", before, after, "latency", "the word that took it back came at another moment"
                )
            ]
        return [
            DetectedDifference(
                "canceled", before, after, "unexplained", "the one took it back, and the other did not by then"
            )
        ]

    def _may_be_late(self, pair: Pair) -> bool:
        """A word cannot come to a venue before a backtest has it."""
        a, b = pair.a.canceled, pair.b.canceled
        one, two = self._terms
        if a is None or b is None or one.venue == two.venue:
            return True
        return a <= b if two.venue else b <= a


def _beyond(order: Decision, part: Part) -> bool:
    limit = Decimal(order.price or 0)
    return part.price > limit if order.side == "BUY" else part.price < limit


def _at(index: int, moment: Moment) -> str:
    """Counted from the close of the order's bar: there it is minute 0 tick 0."""
    return f"minute {moment.minute - index - 1} tick {moment.tick}"
