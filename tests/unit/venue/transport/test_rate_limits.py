"""Rate limits by request weight and by orders, on a simulated clock."""

import pytest

from opslab.model.messages.venue_messages import VenueLimits
from opslab.venue.api_error import ApiError
from opslab.venue.transport.rate_limits import (
    FIRST_BAN_MS,
    IGNORED_BEFORE_BAN,
    LONGEST_BAN_MS,
    MAX_ADDRESSES,
    RateLimiter,
    exchange_info_limits,
)

MINUTE_MS = 60_000
START_MS = 1_800_000_000_000 // MINUTE_MS * MINUTE_MS
LIMITS = VenueLimits(weight_per_minute=100, orders_per_10_seconds=3, orders_per_minute=5)
HERE = "127.0.0.1"


def refusal(limiter: RateLimiter, weight: int, now_ms: int, address: str = HERE) -> ApiError:
    with pytest.raises(ApiError) as refused:
        limiter.charge(address, weight, now_ms)
    return refused.value


def exceed_until_banned(limiter: RateLimiter, now_ms: int) -> ApiError:
    """Send requests in spite of the 429 until the address is banned."""
    for _ in range(IGNORED_BEFORE_BAN):
        assert refusal(limiter, 1_000, now_ms).http_status == 429
    return refusal(limiter, 1_000, now_ms)


def test_weight_adds_up_to_the_limit_and_restarts_with_each_clock_minute() -> None:
    limiter = RateLimiter(LIMITS)
    used = [limiter.charge(HERE, weight, START_MS + 30_000)["X-MBX-USED-WEIGHT-1M"] for weight in (1, 40, 59)]
    assert used == ["1", "41", "100"]
    error = refusal(limiter, 1, START_MS + MINUTE_MS - 1)
    assert (error.code, error.http_status, error.headers["Retry-After"]) == (-1003, 429, "1")
    assert limiter.charge(HERE, 0, START_MS + MINUTE_MS - 1)["X-MBX-USED-WEIGHT-1M"] == "100"
    assert limiter.charge(HERE, 1, START_MS + MINUTE_MS)["X-MBX-USED-WEIGHT-1M"] == "1"


def test_a_request_that_was_refused_for_its_weight_is_not_counted() -> None:
    limiter = RateLimiter(LIMITS)
    limiter.charge(HERE, 90, START_MS)
    assert refusal(limiter, 20, START_MS).headers["X-MBX-USED-WEIGHT-1M"] == "90"
    limiter.charge(HERE, 10, START_MS)


@pytest.mark.parametrize(("at_ms", "seconds"), [(0, 60), (1, 60), (999, 60), (1_000, 59), (59_999, 1)])
def test_retry_after_is_the_rest_of_the_minute(at_ms: int, seconds: int) -> None:
    assert refusal(RateLimiter(LIMITS), 101, START_MS + at_ms).headers["Retry-After"] == str(seconds)


def test_an_address_that_ignores_429_is_banned_longer_each_time() -> None:
    limiter = RateLimiter(LIMITS)
    now_ms, lengths = START_MS, []
    for _ in range(14):
        banned = exceed_until_banned(limiter, now_ms)
        assert (banned.code, banned.http_status) == (-1003, 418)
        length_ms = int(banned.headers["Retry-After"]) * 1000
        assert refusal(limiter, 0, now_ms + length_ms - 1).http_status == 418
        lengths.append(length_ms)
        now_ms += length_ms
        limiter.charge(HERE, 0, now_ms)
    assert lengths[:3] == [FIRST_BAN_MS, 2 * FIRST_BAN_MS, 4 * FIRST_BAN_MS]
    assert lengths[-1] == LONGEST_BAN_MS


def test_the_count_of_ignored_429_restarts_with_the_next_minute() -> None:
    limiter = RateLimiter(LIMITS)
    for minute in range(5):
        now_ms = START_MS + minute * MINUTE_MS
        limiter.charge(HERE, 100, now_ms)
        for _ in range(IGNORED_BEFORE_BAN):
            assert refusal(limiter, 1, now_ms).http_status == 429


def test_addresses_are_counted_separately_and_their_number_is_limited() -> None:
    limiter = RateLimiter(LIMITS)
    limiter.charge(HERE, 100, START_MS)
    assert limiter.charge("127.0.0.2", 1, START_MS)["X-MBX-USED-WEIGHT-1M"] == "1"
    for number in range(MAX_ADDRESSES + 10):
        limiter.charge(f"address {number}", 1, START_MS)
    assert len(limiter._usage) == MAX_ADDRESSES


def test_orders_are_counted_in_ten_seconds_and_in_a_minute() -> None:
    limiter = RateLimiter(LIMITS)
    headers = [limiter.count_order(HERE, START_MS) for _ in range(3)]
    assert [counts["X-MBX-ORDER-COUNT-10S"] for counts in headers] == ["1", "2", "3"]
    with pytest.raises(ApiError) as refused:
        limiter.count_order(HERE, START_MS + 9_999)
    assert (refused.value.code, refused.value.http_status) == (-1015, 429)
    assert refused.value.headers == {"Retry-After": "1", "X-MBX-ORDER-COUNT-10S": "3", "X-MBX-ORDER-COUNT-1M": "3"}
    for _ in range(2):
        counts = limiter.count_order(HERE, START_MS + 10_000)
    assert counts == {"X-MBX-ORDER-COUNT-10S": "2", "X-MBX-ORDER-COUNT-1M": "5"}
    with pytest.raises(ApiError) as refused:
        limiter.count_order(HERE, START_MS + 20_000)
    assert refused.value.headers["Retry-After"] == "40"
    limiter.count_order(HERE, START_MS + MINUTE_MS)


def test_an_order_that_was_refused_is_counted_in_no_window() -> None:
    limiter = RateLimiter(VenueLimits(orders_per_10_seconds=3, orders_per_minute=2))
    for _ in range(2):
        limiter.count_order(HERE, START_MS)
    for _ in range(3):
        with pytest.raises(ApiError):
            limiter.count_order(HERE, START_MS)
    assert [row["count"] for row in limiter.usage(HERE, START_MS)] == [0, 2, 2]


def test_usage_is_that_of_the_current_window() -> None:
    limiter = RateLimiter(LIMITS)
    limiter.charge(HERE, 7, START_MS)
    limiter.count_order(HERE, START_MS)
    assert [row["count"] for row in limiter.usage(HERE, START_MS)] == [7, 1, 1]
    assert [row["count"] for row in limiter.usage(HERE, START_MS + 10_000)] == [7, 0, 1]
    assert [row["count"] for row in limiter.usage(HERE, START_MS + MINUTE_MS)] == [0, 0, 0]
    assert [row["limit"] for row in limiter.usage(HERE, START_MS)] == [100, 3, 5]


def test_orders_of_a_faster_market_are_denied_only_beyond_the_limit_of_both_clocks() -> None:
    market_ms = 0
    limiter = RateLimiter(LIMITS, lambda: market_ms)
    for _ in range(20):  # one order a minute of the market, all in one second of the wall clock
        counts = limiter.count_order(HERE, START_MS)
        assert counts == {"X-MBX-ORDER-COUNT-10S": "1", "X-MBX-ORDER-COUNT-1M": "1"}
        limiter.charge(HERE, LIMITS.weight_per_minute, START_MS)
        market_ms += MINUTE_MS
    for _ in range(3):
        limiter.count_order(HERE, START_MS)
    with pytest.raises(ApiError) as refused:
        limiter.count_order(HERE, START_MS)  # the fourth in one moment of both clocks
    assert refused.value.code == -1015
    limiter.count_order(HERE, START_MS + 10_000)  # the market has stopped: the wall clock counts
    assert [row["count"] for row in limiter.usage(HERE, START_MS + 10_000)] == [0, 1, 4]


def test_the_limits_have_the_form_of_exchange_info() -> None:
    assert {
        (row["rateLimitType"], row["interval"], row["intervalNum"], row["limit"])
        for row in exchange_info_limits(LIMITS)
    } == {
        ("REQUEST_WEIGHT", "MINUTE", 1, 100),
        ("ORDERS", "MINUTE", 1, 5),
        ("ORDERS", "SECOND", 10, 3),
    }
