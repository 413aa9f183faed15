"""Instants: internally integer nanoseconds since 1970 UTC, externally ISO 8601 text with a Z."""

from datetime import UTC, datetime

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND

MINUTE_MS = 60_000
BAR_CLOSE_OFFSET_NS = NS_PER_MINUTE - NS_PER_MS
"""Offset from a one-minute candle's open to its close: 59.999 s, the `T` of the venue's kline."""


def iso(ts_ns: int) -> str:
    """UTC text with microseconds, as in `2025-05-04T15:33:00.000000Z`; digits after the microseconds are truncated."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"


def name_stamp(ts_ns: int) -> str:
    """UTC text for a generated name, as in `20250504-153300`."""
    return f"{datetime.fromtimestamp(ts_ns // NS_PER_SECOND, UTC):%Y%m%d-%H%M%S}"


def iso_minute(ts_ms: int) -> str:
    """UTC text of a candle's open time in milliseconds, as in `2025-05-04T15:33:00Z`."""
    seconds, rest_ms = divmod(ts_ms, 1000)
    tail = f".{rest_ms:03d}" if rest_ms else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{tail}Z"


def parse_minute(text: str) -> int:
    """Milliseconds of `2024-01-31`, `2024-01-31T00:00Z` or `2024-01-31T00:00:00Z`. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1000


def close_ns(open_ms: int) -> int:
    """Close of the candle that opened at `open_ms`."""
    return open_ms * NS_PER_MS + BAR_CLOSE_OFFSET_NS


def catalog_instant(ts_ns: int) -> str:
    """The engine's notation in catalog file names: `2024-01-01T00-00-59-999000000Z`."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H-%M-%S}-{rest_ns:09d}Z"


def parse_iso(text: str) -> int:
    """Nanoseconds of a text written by `iso`."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * NS_PER_SECOND + moment.microsecond * 1000
