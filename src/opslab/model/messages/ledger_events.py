"""Events of a venue's ledger: every change of its account.

An event is a decided fact; only the account is computed from it. Events that occurred together are a transaction: the
ledger has all of it or nothing. Numbers with a fraction are text.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, TypeAdapter

from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.primitives.record import Record

OrderSide = Literal["BUY", "SELL"]
OrderType = Literal["LIMIT", "MARKET"]
TimeInForce = Literal["GTC", "IOC", "FOK", "GTX"]
ExpireReason = Literal["ioc", "market", "reduce_only", "liquidation", "delisting"]
"""`ioc`: the unfilled rest of an order that had to trade immediately. `market`: of a market order when the book was
exhausted. `reduce_only`: of a reduce-only order without a position to reduce. `liquidation` and `delisting`: of any
order, before the exchange closes the position by force."""
FORCED_EXPIRE_REASONS: dict[ForcedCloseKind, ExpireReason | None] = {
    "liquidation": "liquidation",
    "adl": None,
    "settlement": "delisting",
}
"""Reason with which open orders expire in a forced close; None: they stay open."""

MONEY = Decimal("0.00000001")
"""The smallest amount of money."""
_DECIMAL = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,24})?")


def _exact(value: Any) -> Any:
    """A decimal, or its plain digits as text: no exponent, no infinity, no float."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return value


ExactDecimal = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(allow_inf_nan=False),
    PlainSerializer(lambda value: f"{value:f}", return_type=str, when_used="json"),
]


class Opened(Record):
    """Opening of the account; always and only the first event of a ledger."""

    kind: Literal["opened"] = "opened"
    asset: str
    symbol: str
    balance: ExactDecimal
    leverage: int
    maker_fee: ExactDecimal
    """Fraction of the notional, as the taker fee."""
    taker_fee: ExactDecimal
    dataset: str
    """Fingerprint of the replayed candles."""
    time_ms: int


class Accepted(Record):
    kind: Literal["accepted"] = "accepted"
    order_id: int
    client_order_id: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    """A market order has GTC, as the venue reports it."""
    quantity: ExactDecimal
    price: ExactDecimal | None
    """None for a market order."""
    reduce_only: bool
    time_ms: int


class Filled(Record):
    """One trade of one order, and the account after it."""

    kind: Literal["filled"] = "filled"
    order_id: int
    trade_id: int
    price: ExactDecimal
    quantity: ExactDecimal
    maker: bool
    fee: ExactDecimal
    realized: ExactDecimal
    """Realized profit of the closed part, before the fee."""
    wallet: ExactDecimal
    position: ExactDecimal
    """Signed: negative is short."""
    cost: ExactDecimal
    """Signed: cost of the open position."""
    time_ms: int


class Canceled(Record):
    kind: Literal["canceled"] = "canceled"
    order_id: int
    time_ms: int


class Expired(Record):
    kind: Literal["expired"] = "expired"
    order_id: int
    reason: ExpireReason
    time_ms: int


class Amended(Record):
    kind: Literal["amended"] = "amended"
    order_id: int
    quantity: ExactDecimal
    """New quantity of the whole order, its filled part included."""
    price: ExactDecimal
    time_ms: int


class LeverageSet(Record):
    kind: Literal["leverage_set"] = "leverage_set"
    leverage: int
    time_ms: int


LedgerEvent = Opened | Accepted | Filled | Canceled | Expired | Amended | LeverageSet


def event_fields(event: LedgerEvent) -> dict[str, Any]:
    """The event as the ledger stores it, ready for JSON."""
    return event.model_dump(mode="json")


def parse_event(fields: Mapping[str, Any]) -> LedgerEvent:
    """Read one event. Raises ValueError."""
    return _adapter().validate_python(fields)


@cache
def _adapter() -> TypeAdapter[LedgerEvent]:
    return TypeAdapter(Annotated[LedgerEvent, Field(discriminator="kind")])
