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
    "forced_close": "the exchange closed the position by force, with {count} orders: {kinds}",
    "margin_call": "the exchange called for margin {count} times: it may close the position by force",
    "orders_refused": "every order was denied or rejected: {reasons}",
    "protective_orders_refused": "{count} of {orders} reduce-only and stop orders were denied or rejected: {reasons}",
    "orders_rejected": "{count} of {orders} orders were rejected: {reasons}",
    "orders_denied": "{count} of {orders} orders were denied: {reasons}",
    "orders_lost": "{count} orders were submitted and never reached the venue",
    "orders_not_submitted": "{count} orders were created and never submitted",
    "orders_not_released": "{count} emulated orders could not be triggered: a backtest has no quotes and no trades",
    "orders_skipped": "the engine skipped fills of {count} orders: {reasons}",
    "orders_unanswered": "{count} orders were neither accepted nor denied nor rejected: {reasons}",
    "bars_missed": "{count} bars closed at the venue and reached no engine",
    "external_orders": "{count} orders with {fills} fills in the account were not placed by this run",
    "faults_injected": "{count} faults were injected into the run's venue: {names}",
    "subscription_empty": "{count} subscriptions received nothing: {subscriptions}",
    "subscription_untruthful": "{count} subscriptions received bars not of the market's clock: {subscriptions}",
    "log_errors": "{count} errors in the log of engine and strategy: {reasons}",
    "log_omitted": "{count} bytes of the log of engine and strategy are not stored",
    "dataset_spot": "the candles are those of the spot market, not of the perpetual",
    "dataset_rounded": "prices or volumes of {count} candles were rounded at the import",
    "dataset_allowed": "the candles have errors that were allowed at the import: {rules}",
}
"""The text of each code; `{count}` and the values that `RunWarning.of` receives are filled in."""


class RunWarning(Record):
    """One warning of a run."""

    code: WarningCode
    text: str
    count: int
    """Number of orders, bars, candles, faults, lines or bytes."""
    first: str | None
    """Location of the first case: an order id, a bar, a journal line or a file; None: unknown."""

    @classmethod
    def of(cls, code: WarningCode, count: int, first: str | None, **values: object) -> Self:
        """values: for the text of the code."""
        text = _TEXTS[code].format(count=f"{count:,}", **values)
        return cls(code=code, text=text, count=count, first=first)

    @property
    def line(self) -> str:
        """Text and location, for people."""
        return f"{self.text}; first: {self.first}" if self.first else self.text
