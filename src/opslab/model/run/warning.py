"""Warnings of a run, by code: unmet requests, refusals, missed bars, lost orders, interference, doubtful candles."""

from typing import Literal, Self

from opslab.model.primitives.record import Record

WarningCode = Literal[
    "forced_close",
    "margin_call",
    "orders_refused",
    "protective_orders_refused",
    "orders_rejected",
    "orders_denied",
    "cancels_rejected",
    "modifications_rejected",
    "orders_lost",
    "orders_not_submitted",
    "orders_not_released",
    "orders_skipped",
    "orders_unanswered",
    "bars_missed",
    "external_orders",
    "faults_injected",
    "subscription_empty",
    "subscription_untruthful",
    "log_errors",
    "log_omitted",
    "dataset_spot",
    "dataset_rounded",
    "dataset_allowed",
]

_TEXTS: dict[WarningCode, str] = {
    "forced_close": "the exchange closed the position by force, with {count} {count:order|orders}: {kinds}",
    "margin_call": "the exchange called for margin {count} {count:time|times}: it may close the position by force",
    "orders_refused": "every order was denied or rejected: {reasons}",
    "protective_orders_refused": "{count} of {orders} reduce-only and stop {orders:order|orders} {count:was|were}"
    " denied or rejected: {reasons}",
    "orders_rejected": "{count} of {orders} {orders:order|orders} {count:was|were} rejected: {reasons}",
    "orders_denied": "{count} of {orders} {orders:order|orders} {count:was|were} denied: {reasons}",
    "cancels_rejected": "{count} {count:request|requests} to cancel an open order {count:was|were} rejected: {reasons}",
    "modifications_rejected": "{count} {count:request|requests} to modify an open order {count:was|were} rejected:"
    " {reasons}",
    "orders_lost": "{count} {count:order was|orders were} submitted and never reached the venue",
    "orders_not_submitted": "{count} {count:order was|orders were} created and never submitted",
    "orders_not_released": "{count} emulated {count:order|orders} could not be triggered: a backtest has no quotes and"
    " no trades",
    "orders_skipped": "the engine skipped fills of {count} {count:order|orders}: {reasons}",
    "orders_unanswered": "{count} {count:order was|orders were} neither accepted nor denied nor rejected: {reasons}",
    "bars_missed": "{count} {count:bar|bars} closed at the venue and reached no engine",
    "external_orders": "{count} {count:order|orders} with {fills} {fills:fill|fills} in the account"
    " {count:was|were} not placed by this run",
    "faults_injected": "{count} {count:fault was|faults were} injected into the run's venue: {names}",
    "subscription_empty": "{count} {count:subscription or request|subscriptions or requests} received nothing:"
    " {subscriptions}",
    "subscription_untruthful": "{count} {count:subscription|subscriptions} received bars not of the market's clock:"
    " {subscriptions}",
    "log_errors": "{count} {count:error|errors} in the log of engine and strategy: {reasons}",
    "log_omitted": "{count} {count:byte|bytes} of the log of engine and strategy {count:is|are} not stored",
    "dataset_spot": "the candles are those of the spot market, not of the perpetual",
    "dataset_rounded": "prices or volumes of {count} {count:candle|candles} were rounded at the import",
    "dataset_allowed": "the candles have errors that were allowed at the import: {rules}",
}
"""The text of each code; `{count}` and the values that `RunWarning.of` receives are filled in. `{count:one|many}` is
the word before the bar for a count of 1, else the one after it.
"""


class _Count(int):
    """A number that a text contains, and with which its words agree."""

    def __format__(self, words: str) -> str:
        """words: singular and plural, `order|orders`; empty: the number itself."""
        if not words:
            return f"{int(self):,}"
        singular, _, plural = words.partition("|")
        return singular if self == 1 else plural


class RunWarning(Record):
    """One warning of a run."""

    code: WarningCode
    text: str
    count: int
    """Number of orders, bars, candles, faults, lines or bytes."""
    first: str | None
    """Location of the first case: an order id, a bar, a journal line or a file; None: unknown."""

    @classmethod
    def of(cls, code: WarningCode, count: int, first: str | None, **values: int | str) -> Self:
        """values: for the text of the code."""
        shown = {name: _Count(value) if isinstance(value, int) else value for name, value in values.items()}
        text = _TEXTS[code].format(count=_Count(count), **shown)
        return cls(code=code, text=text, count=count, first=first)

    @property
    def line(self) -> str:
        """Text and location, for people."""
        return f"{self.text}; first: {self.first}" if self.first else self.text
