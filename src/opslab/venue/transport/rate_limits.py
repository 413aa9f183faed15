"""Request limits as the venue counts them: weight a minute and orders, by address; 429 when over, 418 when ignored."""

from dataclasses import dataclass, field

from opslab.model.messages.venue_messages import VenueLimits
from opslab.venue.api_error import ApiError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
IGNORED_BEFORE_BAN = 20
"""Requests sent while told to back off, after which the address is banned."""
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 3 * 86_400_000
KEPT_ADDRESSES = 1_024


@dataclass(slots=True)
class _Window:
    """A fixed window of the wall clock, as the venue's are."""

    length_ms: int
    begin_ms: int = 0
    used: int = 0

    def at(self, now_ms: int) -> int:
        begin = now_ms - now_ms % self.length_ms
        if begin != self.begin_ms:
            self.begin_ms, self.used = begin, 0
        return self.used

    def left_ms(self, now_ms: int) -> int:
        return self.begin_ms + self.length_ms - now_ms


@dataclass(slots=True)
class _Address:
    weight: _Window = field(default_factory=lambda: _Window(MINUTE_MS))
    orders_10s: _Window = field(default_factory=lambda: _Window(TEN_SECONDS_MS))
    orders_1m: _Window = field(default_factory=lambda: _Window(MINUTE_MS))
    ignored: int = 0
    banned_until_ms: int = 0
    last_ban_ms: int = 0


class RateLimiter:
    """Counts what each address has asked for."""

    def __init__(self, limits: VenueLimits) -> None:
        self._limits = limits
        self._addresses: dict[str, _Address] = {}

    def charge(self, address: str, weight: int, now_ms: int) -> dict[str, str]:
        """Headers for the answer. Raises ApiError with 429, or 418 once 429 was ignored."""
        found = self._of(address)
        if now_ms < found.banned_until_ms:
            raise _banned(found, now_ms)
        used = found.weight.at(now_ms) + weight
        if used > self._limits.weight_per_minute:
            found.ignored += 1
            if found.ignored > IGNORED_BEFORE_BAN:
                found.last_ban_ms = min(max(FIRST_BAN_MS, found.last_ban_ms * 2), LONGEST_BAN_MS)
                found.banned_until_ms, found.ignored = now_ms + found.last_ban_ms, 0
                raise _banned(found, now_ms)
            seconds = _seconds(found.weight.left_ms(now_ms))
            message = (
                f"Too many requests; current limit of IP({address}) is {self._limits.weight_per_minute} requests "
                "per minute. Please use the websocket for live updates to avoid polling the API."
            )
            headers = {"Retry-After": str(seconds), **_weight_header(found)}
            raise ApiError(-1003, message, http_status=429, headers=headers)
        if found.weight.used == 0:
            found.ignored = 0
        found.weight.used = used
        return _weight_header(found)

    def order(self, address: str, now_ms: int) -> dict[str, str]:
        """Count one new order. Raises ApiError with 429."""
        found = self._of(address)
        limits = (
            (found.orders_10s, self._limits.orders_per_10_seconds),
            (found.orders_1m, self._limits.orders_per_minute),
        )
        for window, limit in limits:
            if window.at(now_ms) >= limit:
                message = f"Too many new orders; current limit is {limit} orders per {_name(window)}."
                headers = {"Retry-After": str(_seconds(window.left_ms(now_ms))), **_order_headers(found)}
                raise ApiError(-1015, message, http_status=429, headers=headers)
        for window, _ in limits:
            window.used += 1
        return _order_headers(found)

    def counts(self, address: str, now_ms: int) -> list[dict[str, object]]:
        """As the trading socket tells them with every answer."""
        found = self._of(address)
        of = self._limits
        rows = (
            ("REQUEST_WEIGHT", "MINUTE", 1, of.weight_per_minute, found.weight),
            ("ORDERS", "SECOND", 10, of.orders_per_10_seconds, found.orders_10s),
            ("ORDERS", "MINUTE", 1, of.orders_per_minute, found.orders_1m),
        )
        return [
            {"rateLimitType": kind, "interval": name, "intervalNum": number, "limit": limit, "count": window.at(now_ms)}
            for kind, name, number, limit, window in rows
        ]

    def _of(self, address: str) -> _Address:
        found = self._addresses.get(address)
        if found is None:
            while len(self._addresses) >= KEPT_ADDRESSES:
                self._addresses.pop(next(iter(self._addresses)))
            found = self._addresses[address] = _Address()
        return found


def exchange_info_limits(limits: VenueLimits) -> list[dict[str, object]]:
    """As exchangeInfo tells them."""
    return [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limits.weight_per_minute},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": limits.orders_per_minute},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": limits.orders_per_10_seconds},
    ]


def _banned(found: _Address, now_ms: int) -> ApiError:
    message = (
        f"Way too many requests; IP banned until {found.banned_until_ms}. "
        "Please use the websocket for live updates to avoid bans."
    )
    headers = {"Retry-After": str(_seconds(found.banned_until_ms - now_ms))}
    return ApiError(-1003, message, http_status=418, headers=headers)


def _weight_header(found: _Address) -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT-1M": str(found.weight.used)}


def _order_headers(found: _Address) -> dict[str, str]:
    return {
        "X-MBX-ORDER-COUNT-10S": str(found.orders_10s.used),
        "X-MBX-ORDER-COUNT-1M": str(found.orders_1m.used),
    }


def _name(window: _Window) -> str:
    return "10 seconds" if window.length_ms == TEN_SECONDS_MS else "minute"


def _seconds(ms: int) -> int:
    return max(1, -(-ms // 1000))
