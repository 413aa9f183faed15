"""The last 24 hours are those, whatever slid out of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.market.candle import MINUTE_MS
from opslab.venue.market.klines import MINUTE, Kline
from opslab.venue.market.rolling_24h import DAY_MINUTES, Rolling24h, Statistics24h
from tests.fakes.candles import OPEN_MS

NOTHING = Statistics24h(0, 0, 0, 0, 0, 0, -1, -1)


def minute(k: int, low: int, trades: int, *, closed: bool = True) -> Kline:
    open_ms = OPEN_MS + k * MINUTE_MS
    first, last = (k * 10 + 1, k * 10 + trades) if trades else (-1, -1)
    return Kline(
        MINUTE, open_ms, open_ms + 59_999, low + 1, low + 7, low, low + 2, trades, trades * low, trades, 0, 0,
        first, last, closed,
    )  # fmt: skip


def plain(minutes: list[Kline]) -> Statistics24h:
    traded = [found for found in minutes if found.trades]
    return Statistics24h(
        minutes[0].open,
        max(found.high for found in minutes),
        min(found.low for found in minutes),
        sum(found.volume for found in minutes),
        sum(found.quote for found in minutes),
        sum(found.trades for found in minutes),
        traded[0].first_id if traded else -1,
        traded[-1].last_id if traded else -1,
    )


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 1, 5, 400, 1439, 1440, 3000]), st.integers(1, 50), st.integers(0, 3)),
        min_size=1,
        max_size=25,
    )
)
def test_figures_are_those_of_the_minutes_within_a_day(steps: list[tuple[int, int, int]]) -> None:
    day, k = Rolling24h(), 0
    minutes: list[Kline] = []
    for step, low, trades in steps:
        k += step
        open_one = minute(k, low, trades, closed=False)
        day.slide(open_one.open_ms)
        within = [found for found in minutes if found.open_ms > open_one.open_ms - DAY_MINUTES * MINUTE_MS]
        counted = [*within, open_one] if trades else within
        assert day.figures(open_one) == (plain(counted) if counted else NOTHING)
        closed = minute(k, low, trades)
        day.add(closed)
        minutes = [*within, closed]
        assert day.figures(closed) == plain(minutes)


def test_before_the_first_minute_there_is_nothing() -> None:
    assert Rolling24h().figures(None) == NOTHING
