"""The statistics are those of the last 24 hours, whatever left the window."""

from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.model.market.candle import MINUTE_MS
from opslab.venue.market.klines import MINUTE, Kline
from opslab.venue.market.rolling_24h import DAY_MINUTES, Rolling24h, Statistics24h
from tests.fakes.candles import OPEN_MS

EMPTY = Statistics24h(0, 0, 0, 0, 0, 0, -1, -1)


def minute(k: int, low: int, trades: int, *, closed: bool = True) -> Kline:
    open_ms = OPEN_MS + k * MINUTE_MS
    first, last = (k * 10 + 1, k * 10 + trades) if trades else (-1, -1)
    return Kline(
        MINUTE, open_ms, open_ms + 59_999, low + 1, low + 7, low, low + 2, trades, trades * low, trades, 0, 0,
        first, last, closed,
    )  # fmt: skip


def expected_statistics(minutes: list[Kline]) -> Statistics24h:
    traded = [kline for kline in minutes if kline.trades]
    return Statistics24h(
        minutes[0].open,
        max(kline.high for kline in minutes),
        min(kline.low for kline in minutes),
        sum(kline.volume for kline in minutes),
        sum(kline.quote for kline in minutes),
        sum(kline.trades for kline in minutes),
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
def test_statistics_are_those_of_the_minutes_within_24_hours(steps: list[tuple[int, int, int]]) -> None:
    window, k = Rolling24h(), 0
    minutes: list[Kline] = []
    for step, low, trades in steps:
        k += step
        open_minute = minute(k, low, trades, closed=False)
        window.evict_before(open_minute.open_ms)
        within = [kline for kline in minutes if kline.open_ms > open_minute.open_ms - DAY_MINUTES * MINUTE_MS]
        counted = [*within, open_minute] if trades else within
        assert window.statistics(open_minute) == (expected_statistics(counted) if counted else EMPTY)
        closed = minute(k, low, trades)
        window.add(closed)
        minutes = [*within, closed]
        assert window.statistics(closed) == expected_statistics(minutes)


def test_before_the_first_minute_the_statistics_are_empty() -> None:
    assert Rolling24h().statistics(None) == EMPTY
