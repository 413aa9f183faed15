"""Quality rules for candles: severity, and whether an error can be allowed with --allow."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`not_allowed_reason`: why the error cannot be allowed; None: it can."""

    severity: Severity
    meaning: str
    not_allowed_reason: str | None = None


MIN_ZERO_VOLUME_CANDLES = 10
"""Minimum number of consecutive candles without volume for a finding."""
JUMP_FRACTION = 0.10
"""Minimum relative change between two closes for a finding."""

RULES: dict[str, Rule] = {
    "unreadable": Rule("error", "a line that is not a candle", "it has no candle"),
    "time_range": Rule("error", "an open time outside 2009 to 2100", "it cannot be ordered among the other candles"),
    "mixed_time_unit": Rule("error", "an open time in another unit than the file's first"),
    "wrong_interval": Rule("error", "candles of another interval", "a strategy would see the future"),
    "wrong_instrument": Rule("error", "candles of another instrument", "the results would look right"),
    "disorder": Rule("error", "a candle older than the one before it", "the engine reads in order; --sort sorts"),
    "overlap": Rule(
        "error", "a file that starts before another one ends", "--sort merges the files and detects duplicates"
    ),
    "duplicate_identical": Rule("error", "the same candle as the one before it"),
    "duplicate_disagreeing": Rule("error", "a different candle with the open time of the one before it"),
    "gap": Rule("error", "minutes missing before this candle"),
    "off_grid": Rule("error", "an open time that is not a whole minute"),
    "truncated": Rule("error", "a candle that does not close a minute after its open"),
    "not_enclosed": Rule("error", "high below open, close or low, or low above open or close"),
    "non_positive_price": Rule("error", "a price of zero or less"),
    "negative_volume": Rule("error", "a volume below zero", "the engine refuses it"),
    "too_precise": Rule(
        "error", "more decimals than the instrument has", "the engine would truncate them; --round rounds"
    ),
    "off_tick": Rule("error", "a price that is not a multiple of the instrument's tick"),
    "spot": Rule("warning", "candles of the spot market, not of the perpetual"),
    "zero_volume": Rule("warning", f"{MIN_ZERO_VOLUME_CANDLES} or more candles in a row without volume"),
    "jump": Rule("warning", f"a close {JUMP_FRACTION:.0%} or more away from the one before"),
}

ALLOWABLE = tuple(name for name, rule in RULES.items() if rule.severity == "error" and rule.not_allowed_reason is None)
