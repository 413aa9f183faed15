"""What happened to a venue's account: the events of its ledger.

An event is a fact that was decided; nothing is computed from it but the account. A list of them that took place
together is a transaction: all of it is in the ledger, or nothing. Numbers with a fraction are text.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, TypeAdapter

from opslab.model.primitives.record import Record

Side = Literal["BUY", "SELL"]
OrderType = Literal["LIMIT", "MARKET"]
TimeInForce = Literal["GTC", "IOC", "FOK", "GTX"]
ExpireReason = Literal["ioc", "market", "reduce_only"]
"""What was left of an order that had to trade at once; of a market order when the book ended; of a reduce-only order
when there was nothing to reduce."""

MONEY = Decimal("0.00000001")
"""The smallest amount of money."""
_DECIMAL = re.compile(r"-?[0-9]{1,24}(\.[0-9]{1,24})?")


def _exact(value: Any) -> Any:
    """A decimal, or its plain digits as text: no exponent, no infinity, no float."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return value


Exact = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(allow_inf_nan=False),
    PlainSerializer(lambda value: f"{value:f}", return_type=str, when_used="json"),
]


class Opened(Record):
    """The account's beginning; the first event of a ledger and of no other place."""

    kind: Literal["opened"] = "opened"
    asset: str
    symbol: str
    balance: Exact
    leverage: int
    maker_fee: Exact
    """Of the notional."""
    taker_fee: Exact
    dataset: str
    """Fingerprint of the candles that the venue replays."""
    time_ms: int


class Accepted(Record):
    kind: Literal["accepted"] = "accepted"
    order_id: int
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    """GTC of a market order, as the venue shows it."""
    quantity: Exact
    price: Exact | None
    """None of a market order."""
    reduce_only: bool
    time_ms: int


class Filled(Record):
    """One trade of one order, and the account as it was behind it."""

    kind: Literal["filled"] = "filled"
    order_id: int
    trade_id: int
    price: Exact
    quantity: Exact
    maker: bool
    fee: Exact
    realized: Exact
    """Profit of what the trade closed, before the fee."""
    wallet: Exact
    position: Exact
    """Signed: negative is short."""
    cost: Exact
    """Signed: what the open position was bought for."""
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
    quantity: Exact
    """The order's whole quantity from now on, what was filled included."""
    price: Exact
    time_ms: int


class LeverageSet(Record):
    kind: Literal["leverage_set"] = "leverage_set"
    leverage: int
    time_ms: int


LedgerEvent = Opened | Accepted | Filled | Canceled | Expired | Amended | LeverageSet


def written(event: LedgerEvent) -> dict[str, Any]:
    """As it stands in the ledger: ready for JSON."""
    return event.model_dump(mode="json")


def parse_event(found: Mapping[str, Any]) -> LedgerEvent:
    """Read one event. Raises ValueError."""
    return _reader().validate_python(found)


@cache
def _reader() -> TypeAdapter[LedgerEvent]:
    return TypeAdapter(Annotated[LedgerEvent, Field(discriminator="kind")])
