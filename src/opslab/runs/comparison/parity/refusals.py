"""The reason of a refusal, in a form that can be compared between a backtest and a venue."""

import re

from opslab.model.run.refused_orders import without_values

_BINANCE_CODE = re.compile(r"(?<![\w.-])-\d{4}\b")
_ENGINE_REASONS = (
    (re.compile(r"POST_ONLY .* would have been a TAKER"), "-5022"),
    (re.compile(r" was in the market"), "-2021"),
    (re.compile(r"would have increased position|REDUCE_ONLY_WOULD_INCREASE_POSITION"), "-2022"),
)
"""Reasons of NautilusTrader 2.0.0rc7's matching engine and risk engine, each with Binance's code for the same case."""


def refusal_reason(status: str, reason: str | None) -> str:
    """Binance's error code, the risk engine's code, or a text without values. Equal for equal cases.

    A reason that no rule knows is its own: an unknown wording is never equal to another one.
    """
    text = reason or "unknown"
    code = _BINANCE_CODE.search(text)
    if code:
        return code.group()
    for pattern, same_case in _ENGINE_REASONS:
        if pattern.search(text):
            return same_case
    return text.partition(":")[0] if status == "DENIED" else without_values(text)
