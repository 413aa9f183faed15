"""Rate limits by address, as Binance counts them: request weight and orders; 429 beyond the limit, 418 when ignored.

Usage is counted by the wall clock and by the market's clock, and a limit strikes when it is exceeded on both: a market
that runs faster than the wall clock does not deny what it allows at speed 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from opslab.model.messages.venue_messages import VenueLimits
from opslab.venue.api_error import ApiError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
IGNORED_BEFORE_BAN = 20
"""Requests answered with 429 after which the address is banned."""
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 3 * 86_400_000
MAX_ADDRESSES = 1_024


@dataclass(slots=True)
class _Window:
    """A fixed window of one clock, as Binance's are."""

    length_ms: int
    start_ms: int = 0
    used: int = 0

    def used_at(self, now_ms: int) -> int:
        start = now_ms - now_ms % self.length_ms
        if start != self.start_ms:
            self.start_ms, self.used = start, 0
        return self.used

    def remaining_ms(self, now_ms: int) -> int:
        return self.start_ms + self.length_ms - now_ms


class _Count:
    """Usage in the current window of the wall clock and of the market's; the smaller one counts."""

    __slots__ = ("_market", "_wall", "length_ms")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self._wall, self._market = _Window(length_ms), _Window(length_ms)

    @property
    def used(self) -> int:
        """Usage when it was last looked at or added to."""
        return min(self._wall.used, self._market.used)

    def used_at(self, now_ms: int, market_ms: int) -> int:
        return min(self._wall.used_at(now_ms), self._market.used_at(market_ms))

    def add(self, amount: int) -> None:
        """Add to the windows of the last `used_at`."""
        self._wall.used += amount
        self._market.used += amount

    def remaining_ms(self, now_ms: int) -> int:
        """Wall-clock time after which the limit is certainly free again."""
        return self._wall.remaining_ms(now_ms)


@dataclass(slots=True)
class _Usage:
    """Usage of one address."""

    weight: _Count = field(default_factory=lambda: _Count(MINUTE_MS))
    orders_10s: _Count = field(default_factory=lambda: _Count(TEN_SECONDS_MS))
    orders_1m: _Count = field(default_factory=lambda: _Count(MINUTE_MS))
    ignored: int = 0
    banned_until_ms: int = 0
    last_ban_ms: int = 0


class RateLimiter:
    """Counts the requests and orders of each address."""

    def __init__(self, limits: VenueLimits, market_ms: Callable[[], int] = lambda: 0) -> None:
        """market_ms: the market's clock; without one the wall clock alone counts."""
        self._limits = limits
        self._market_ms = market_ms
        self._usage: dict[str, _Usage] = {}

    def charge(self, address: str, weight: int, now_ms: int) -> dict[str, str]:
        """Headers for the answer. Raises ApiError with 429, or 418 once 429 was ignored."""
        usage = self._usage_of(address)
        if now_ms < usage.banned_until_ms:
            raise _banned(usage, now_ms)
        before = usage.weight.used_at(now_ms, self._market_ms())
        if before + weight > self._limits.weight_per_minute:
            usage.ignored += 1
            if usage.ignored > IGNORED_BEFORE_BAN:
                usage.last_ban_ms = min(max(FIRST_BAN_MS, usage.last_ban_ms * 2), LONGEST_BAN_MS)
                usage.banned_until_ms, usage.ignored = now_ms + usage.last_ban_ms, 0
                raise _banned(usage, now_ms)
            seconds = _seconds(usage.weight.remaining_ms(now_ms))
            message = (
                f"Too many requests; current limit of IP({address}) is {self._limits.weight_per_minute} requests "
                "per minute. Please use the websocket for live updates to avoid polling the API."
            )
            headers = {"Retry-After": str(seconds), **_weight_header(usage)}
            raise ApiError(-1003, message, http_status=429, headers=headers)
        if before == 0:
            usage.ignored = 0
        usage.weight.add(weight)
        return _weight_header(usage)

    def count_order(self, address: str, now_ms: int) -> dict[str, str]:
        """Count one new order. Raises ApiError with 429."""
        usage, market_ms = self._usage_of(address), self._market_ms()
        limits = (
            (usage.orders_10s, self._limits.orders_per_10_seconds),
            (usage.orders_1m, self._limits.orders_per_minute),
        )
        for window, limit in limits:
            if window.used_at(now_ms, market_ms) >= limit:
                message = f"Too many new orders; current limit is {limit} orders per {_name(window)}."
                headers = {"Retry-After": str(_seconds(window.remaining_ms(now_ms))), **_order_headers(usage)}
                raise ApiError(-1015, message, http_status=429, headers=headers)
        for window, _ in limits:
            window.add(1)
        return _order_headers(usage)

    def usage(self, address: str, now_ms: int) -> list[dict[str, object]]:
        """The `rateLimits` of every answer of the trading socket."""
        usage, market_ms = self._usage_of(address), self._market_ms()
        limits = self._limits
        rows = (
            ("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute, usage.weight),
            ("ORDERS", "SECOND", 10, limits.orders_per_10_seconds, usage.orders_10s),
            ("ORDERS", "MINUTE", 1, limits.orders_per_minute, usage.orders_1m),
        )
        return [
            {
                "rateLimitType": kind,
                "interval": interval,
                "intervalNum": number,
                "limit": limit,
                "count": window.used_at(now_ms, market_ms),
            }
            for kind, interval, number, limit, window in rows
        ]

    def _usage_of(self, address: str) -> _Usage:
        usage = self._usage.get(address)
        if usage is None:
            while len(self._usage) >= MAX_ADDRESSES:
                self._usage.pop(next(iter(self._usage)))
            usage = self._usage[address] = _Usage()
        return usage


def exchange_info_limits(limits: VenueLimits) -> list[dict[str, object]]:
    """The `rateLimits` of exchangeInfo."""
    return [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limits.weight_per_minute},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": limits.orders_per_minute},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": limits.orders_per_10_seconds},
    ]


def _banned(usage: _Usage, now_ms: int) -> ApiError:
    message = (
        f"Way too many requests; IP banned until {usage.banned_until_ms}. "
        "Please use the websocket for live updates to avoid bans."
    )
    headers = {"Retry-After": str(_seconds(usage.banned_until_ms - now_ms))}
    return ApiError(-1003, message, http_status=418, headers=headers)


def _weight_header(usage: _Usage) -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT-1M": str(usage.weight.used)}


def _order_headers(usage: _Usage) -> dict[str, str]:
    return {
        "X-MBX-ORDER-COUNT-10S": str(usage.orders_10s.used),
        "X-MBX-ORDER-COUNT-1M": str(usage.orders_1m.used),
    }


def _name(window: _Count) -> str:
    return "10 seconds" if window.length_ms == TEN_SECONDS_MS else "minute"


def _seconds(ms: int) -> int:
    return max(1, -(-ms // 1000))
