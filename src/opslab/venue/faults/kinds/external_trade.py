"""Execute a trade on the account that no client ordered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from pydantic import Field

from opslab.errors import Usage
from opslab.model.primitives.record import Record
from opslab.venue.account.order_requests import parse_new_order
from opslab.venue.api_error import ApiError
from opslab.venue.faults.fault import Fault, FaultTarget


class Terms(Record):
    side: Literal["BUY", "SELL"] = Field(default="BUY", description="side of the trade")
    quantity: Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?$")] = Field(
        default="0.010", description="quantity of the trade"
    )


@asynccontextmanager
async def _inject(target: FaultTarget, terms: Terms) -> AsyncIterator[None]:
    exchange = target.exchange
    order = {"symbol": exchange.instrument.symbol, "side": terms.side, "type": "MARKET", "quantity": terms.quantity}
    try:
        exchange.place(parse_new_order(order, exchange.instrument.symbol))
    except ApiError as refusal:
        raise Usage(f"the venue rejects the trade: {refusal.code} {refusal.msg}") from None
    yield


FAULT = Fault("external-trade", "executes a market order that no client placed", Terms, _inject, is_immediate=True)
