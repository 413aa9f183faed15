"""The rules of causes, with lists: refusals, triggers, orders that overtake others, orders without a bar."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from opslab.model.checks.parity import Decision
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import instrument_of
from opslab.ports import Moment
from opslab.resources import exchange_info_symbol
from opslab.runs.comparison.parity.bars import BarsSeen, all_bars
from opslab.runs.comparison.parity.candles import Candles
from opslab.runs.comparison.parity.decisions import CandleRange, ParityCounts, compare_decisions
from opslab.runs.comparison.parity.fills import DetectedDifference, FeeTerms, FillJudge, Pair
from opslab.runs.comparison.parity.orders import OrderDecision, OrderOutcome
from opslab.runs.comparison.parity.overtaking import overtaken_orders
from opslab.runs.comparison.parity.prefetch import FillPart
from opslab.runs.comparison.parity.refusals import refusal_reason

INSTRUMENT = instrument_of(exchange_info_symbol("BTCUSDT"))
MARKET = FeeTerms(venue=False, maker=Decimal(0), taker=Decimal(0))
VENUE = FeeTerms(venue=True, maker=Decimal(0), taker=Decimal(0))
AT_BAR = Moment(1, 0)
IN_THE_MARKET = "STOP_MARKET SELL order stop px of 42505.40 was in the market: bid=42005.40, ask=42005.40, but rejected"
POST_ONLY = "POST_ONLY LIMIT BUY order limit px of 42055.40 would have been a TAKER: bid=42005.40, ask=42005.40"
REDUCE_ONLY = "Reduce-only order O-1 (MARKET-SELL) would have increased position"


@pytest.fixture
def candles() -> Candles:
    """Ten candles: 99 to 101; the third, of index 2, down to 90."""
    rows = [
        Candle(open_ms=minute * 60_000, open=1000, high=1010, low=900 if minute == 2 else 990, close=1000, volume=1000)
        for minute in range(10)
    ]
    return Candles(INSTRUMENT, (Candle(**scaled(row)) for row in rows))


def scaled(row: Candle) -> dict[str, int]:
    """Prices in the instrument's smallest unit."""
    factor = 10 ** (INSTRUMENT.price_decimals - 1)
    prices = {name: getattr(row, name) * factor for name in ("open", "high", "low", "close")}
    return {"open_ms": row.open_ms, "volume": row.volume, **prices}


def order(name: str = "O-1", side: str = "SELL", **values: object) -> Decision:
    terms = {"type": "MARKET", "quantity": "1", "price": None, "trigger_price": None, "time_in_force": "GTC"}
    flags = {"reduce_only": False, "post_only": False, "closes": False}
    return Decision.model_validate({"bar": "", "client_order_id": name, "side": side, **terms, **flags, **values})


def part(moment: Moment, price: str = "100.0", before: int | None = None, after: int | None = None) -> FillPart:
    positions = [None if value is None else Decimal(value) for value in (before, after)]
    return FillPart(Decimal(price), Decimal(1), False, Decimal(0), moment, *positions)


def refused(status: str, reason: str) -> OrderOutcome:
    return OrderOutcome(status=status, reached=None, reason=reason)


def judged(
    candles: Candles, a: OrderOutcome, b: OrderOutcome, shown: Decision | None = None, overtaken: str | None = None
) -> list[DetectedDifference]:
    judge = FillJudge(candles, 10, MARKET, VENUE, one_source=False)
    return judge.differences(Pair(0, shown or order(), a, b, closing=False, overtaken=overtaken))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (IN_THE_MARKET, "submit-order-error: Binance error -1116 (HTTP 400): Invalid orderType."),
        (IN_THE_MARKET, "code=-5022: Due to the order could not be executed as maker"),
        (REDUCE_ONLY, "code=-2019: Margin is insufficient."),
        ("a reason that no rule knows", "code=-2022: ReduceOnly Order is rejected."),
        ("a reason that no rule knows", "another one"),
    ],
)
def test_two_refusals_for_different_reasons_are_a_difference(candles: Candles, a: str, b: str) -> None:
    (found,) = judged(candles, refused("REJECTED", a), refused("REJECTED", b))
    assert (found.field, found.cause) == ("reason", "refused_for_another_reason")
    assert (found.before, found.after) == (f"REJECTED {a}", f"REJECTED {b}")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (POST_ONLY, "code=-5022: Due to the order could not be executed as maker"),
        (REDUCE_ONLY, "code=-2022: ReduceOnly Order is rejected."),
        (IN_THE_MARKET, "code=-2021: Order would immediately trigger."),
        ("order O-1 of 41.5 is too small", "order O-2 of 42.5 is too small"),
    ],
)
def test_two_refusals_for_one_reason_are_the_same(candles: Candles, a: str, b: str) -> None:
    assert judged(candles, refused("REJECTED", a), refused("REJECTED", b)) == []


def test_a_denial_is_compared_by_its_code(candles: Candles) -> None:
    too_large = "NOTIONAL_EXCEEDS_MAX_PER_ORDER: max=100, notional={}"
    a, b = (refused("DENIED", too_large.format(value)) for value in (200, 201))
    assert judged(candles, a, b) == []
    (found,) = judged(candles, a, refused("DENIED", "RATE_LIMIT_EXCEEDED"))
    assert found.cause == "refused_for_another_reason"
    assert refusal_reason("DENIED", "REDUCE_ONLY_WOULD_INCREASE_POSITION: x") == refusal_reason("REJECTED", REDUCE_ONLY)


def test_one_refusal_alone_is_unexplained_and_has_its_reason(candles: Candles) -> None:
    filled = OrderOutcome("FILLED", AT_BAR, (part(AT_BAR),))
    (found,) = judged(candles, filled, refused("REJECTED", "code=-2019: Margin is insufficient."))
    assert (found.field, found.cause, "-2019" in found.detail) == ("status", "unexplained", True)


def test_an_ioc_without_a_fill_ends_equal_whether_it_is_canceled_or_expired(candles: Candles) -> None:
    a = OrderOutcome("CANCELED", AT_BAR, ended=AT_BAR)
    b = OrderOutcome("EXPIRED", AT_BAR, ended=AT_BAR, venue_number=1)
    assert judged(candles, a, b, order(time_in_force="IOC")) == []
    later = OrderOutcome("EXPIRED", Moment(1, 4), ended=Moment(1, 4), venue_number=1)
    assert {each.cause for each in judged(candles, a, later, order(time_in_force="IOC"))} == {"latency"}


def test_a_stop_that_another_moment_triggers_has_its_cause_where_the_candle_reached_it(candles: Candles) -> None:
    stop = order(type="STOP_MARKET", trigger_price="95.0")
    untouched = OrderOutcome("CANCELED", None)
    triggered = OrderOutcome("FILLED", Moment(2, 7), (part(Moment(2, 7), "95.0"),))  # within the third candle
    (found,) = judged(candles, untouched, triggered, stop)
    assert (found.field, found.cause) == ("status", "triggered_elsewhere")
    at_bar = OrderOutcome("FILLED", AT_BAR, (part(Moment(3, 0), "95.0"),))
    assert judged(candles, at_bar, triggered, stop) == []
    cheaper = OrderOutcome("FILLED", AT_BAR, (part(Moment(3, 0), "94.0"),))
    (found,) = judged(candles, cheaper, triggered, stop)
    assert (found.field, found.cause) == ("price", "triggered_elsewhere")


def test_a_stop_that_is_filled_where_the_candle_did_not_reach_its_trigger_is_unexplained(candles: Candles) -> None:
    stop = order(type="STOP_MARKET", trigger_price="95.0")
    early = OrderOutcome("FILLED", Moment(1, 7), (part(Moment(1, 7)),))
    (found,) = judged(candles, OrderOutcome("CANCELED", None), early, stop)
    assert (found.field, found.cause) == ("status", "unexplained")
    touched = order(type="MARKET_IF_TOUCHED", side="BUY", trigger_price="95.0")
    (found,) = judged(candles, OrderOutcome("CANCELED", None), early, touched)
    assert found.cause == "unexplained"


def test_orders_that_arrive_in_another_order_than_they_were_created_are_named() -> None:
    first = order("O-4"), OrderOutcome("FILLED", Moment(1, 0), venue_number=8)
    second = order("O-5"), OrderOutcome("FILLED", Moment(1, 0), venue_number=7)
    assert overtaken_orders([first, second]) == dict.fromkeys(
        (0, 1), "O-5 reached the venue before O-4, created earlier"
    )
    assert overtaken_orders([second, first]) == {}
    backtest = OrderOutcome("FILLED", Moment(1, 0))
    assert overtaken_orders([(order("O-4"), backtest), (order("O-5"), backtest)]) == {}


def test_a_close_is_overtaken_when_the_later_order_took_its_position() -> None:
    """`close_all_positions(); buy()` of a short position."""
    close = order("O-4", "BUY", reduce_only=True), refused("REJECTED", "code=-2022: ReduceOnly Order is rejected.")
    took = order("O-5", "BUY"), OrderOutcome("FILLED", AT_BAR, (part(AT_BAR, before=-1, after=0),), venue_number=7)
    assert set(overtaken_orders([close, took])) == {0, 1}
    flat_before = OrderOutcome("FILLED", AT_BAR, (part(AT_BAR, before=0, after=1),), venue_number=7)
    assert overtaken_orders([close, (order("O-5", "BUY"), flat_before)]) == {}
    margin = close[0], refused("REJECTED", "code=-2019: Margin is insufficient.")
    assert overtaken_orders([margin, took]) == {}


def test_an_overtaken_refusal_is_explained(candles: Candles) -> None:
    filled = OrderOutcome("FILLED", AT_BAR, (part(AT_BAR),))
    rejected = refused("REJECTED", "code=-2022: ReduceOnly Order is rejected.")
    (found,) = judged(candles, filled, rejected, overtaken="O-5 reached the venue before O-4")
    assert (found.field, found.cause, found.detail) == ("status", "overtaken", "O-5 reached the venue before O-4")


class Listed:
    """Implements `Orders` with a list: name, index, side; each is accepted and open."""

    def __init__(self, *orders: tuple[int, str]) -> None:
        self._orders = orders

    def decisions(self) -> Iterator[OrderDecision]:
        for number, (index, side) in enumerate(self._orders):
            yield OrderDecision(index, False, order(f"O-{number}", side), None, before_first_bar=index < 0)

    def outcome(self, order: OrderDecision, end: int) -> OrderOutcome:
        return OrderOutcome("ACCEPTED", Moment(order.index + 1, 0))


def counted(candles: Candles, a: Listed, b: Listed, *, by_time: bool, one_start: bool = True) -> ParityCounts:
    judge = FillJudge(candles, 10, MARKET, VENUE, one_source=False)
    seen: tuple[BarsSeen, BarsSeen] = (all_bars(candles, 0, 10), all_bars(candles, 0, 10))
    return compare_decisions(candles, CandleRange(0, 10, one_start, by_time), a, b, seen, judge)


def test_orders_without_a_bar_are_compared_by_time(candles: Candles) -> None:
    a = Listed((0, "BUY"), (3, "SELL"), (7, "BUY"))
    close_in_time = Listed((0, "BUY"), (4, "SELL"), (7, "BUY"))
    assert counted(candles, a, close_in_time, by_time=True).decisions().outcome == "same"
    assert counted(candles, a, close_in_time, by_time=False).decisions().outcome == "differ"
    far = counted(candles, a, Listed((0, "BUY"), (5, "SELL"), (7, "BUY")), by_time=True).decisions()
    assert (far.outcome, far.same, far.different) == ("differ", 2, 2)
    none = counted(candles, a, Listed(), by_time=True).decisions()
    assert (none.outcome, none.different) == ("differ", 3)


def test_orders_before_the_first_bar_are_compared_when_both_runs_have_one_start(candles: Candles) -> None:
    a, b = Listed((-1, "BUY")), Listed((-1, "SELL"))
    found = counted(candles, a, b, by_time=False).decisions()
    assert (found.outcome, found.first and found.first.bar) == ("differ", "")
    other = counted(candles, a, b, by_time=False, one_start=False).decisions()
    assert (other.outcome, other.left_out.before_first_bar) == ("unknown", 2)
    assert other.message == "no order could be compared: 2 were left out"


def test_runs_without_orders_say_so(candles: Candles) -> None:
    found = counted(candles, Listed(), Listed(), by_time=False)
    assert (found.decisions().outcome, found.decisions().message) == ("same", "neither strategy created an order")
    assert (found.fills().outcome, found.fills().message) == ("unknown", "no order to compare")
