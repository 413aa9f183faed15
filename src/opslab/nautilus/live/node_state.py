"""The account as a live node has it in its cache: positions, open orders and balances, in the format of `tc reconcile`.

Of balances only `total` follows the venue: the adapter takes `free` and `locked` from the account at the time of the
connection, and the first fill after that sets `locked` to zero, independent of the margins (measured).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.common import Cache
from nautilus_trader.model import InstrumentId, Venue

from opslab.model.market.instrument import VENUE, Instrument
from opslab.model.messages.paper_messages import (
    AccountState,
    BalanceState,
    InFlightUpdate,
    NodeSnapshot,
    OrderState,
    PositionState,
)
from opslab.model.primitives.canonical import decimal_text
from opslab.model.primitives.instant import iso
from opslab.nautilus.canonical import enum_name


class NodeState:
    """Reads the cache, on the engine's thread alone."""

    def __init__(self, cache: Cache, instrument: Instrument) -> None:
        self._cache = cache
        self._symbol = instrument.symbol
        self._instrument_id = InstrumentId.from_str(instrument.instrument_id)

    def snapshot(self, request_number: int, now_ns: int, in_flight: tuple[InFlightUpdate, ...]) -> NodeSnapshot:
        orders = self.open_orders()
        account = AccountState(
            as_of=iso(now_ns),
            positions=self._positions(),
            open_orders=tuple(self._order(order) for order in orders),
            balances=self._balances(),
        )
        ids = {str(order.client_order_id): str(order.venue_order_id) for order in orders if order.venue_order_id}
        return NodeSnapshot(request_number=request_number, account=account, in_flight=in_flight, venue_order_ids=ids)

    def is_flat(self) -> bool:
        """Whether the cache has no open order and no open position."""
        return not self.open_orders() and not self._cache.positions_open(instrument_id=self._instrument_id)

    def none_in_flight(self) -> bool:
        return not self._cache.orders_inflight_count()

    def open_orders(self) -> list[Any]:
        """Including orders in flight to the venue."""
        orders = [*self._cache.orders_open(), *self._cache.orders_inflight()]
        return list({str(order.client_order_id): order for order in orders}.values())

    def _order(self, order: Any) -> OrderState:
        price = getattr(order, "price", None)
        return OrderState(
            client_order_id=str(order.client_order_id),
            instrument=self._symbol,
            side=enum_name(order.side),
            type=enum_name(order.order_type),
            quantity=_amount(order.quantity),
            filled_quantity=_amount(order.filled_qty),
            price=None if price is None else _amount(price),
            status=enum_name(order.status),
        )

    def _positions(self) -> tuple[PositionState, ...]:
        """The net position, as at the venue (one-way mode): the sum over all strategies."""
        positions = self._cache.positions_open(instrument_id=self._instrument_id)
        signed = sum((_signed(position) for position in positions), Decimal(0))
        if not signed:
            return ()
        same_side = [position for position in positions if _signed(position) * signed > 0]
        price = decimal_text(_average_price(same_side))
        position = PositionState(
            instrument=self._symbol,
            side="LONG" if signed > 0 else "SHORT",
            signed_quantity=decimal_text(signed),
            average_entry_price=price,
        )
        return (position,)

    def _balances(self) -> tuple[BalanceState, ...] | None:
        account = self._cache.account_for_venue(Venue(VENUE))
        if account is None:
            return None
        return tuple(
            BalanceState(
                asset=str(currency),
                total=_amount(balance.total),
                free=_amount(balance.free),
                locked=_amount(balance.locked),
            )
            for currency, balance in sorted(account.balances().items(), key=lambda item: str(item[0]))
        )


def _amount(amount: Any) -> str:
    return decimal_text(amount.as_decimal())


def _signed(position: Any) -> Decimal:
    quantity: Decimal = position.quantity.as_decimal()
    return -quantity if position.is_short else quantity


def _average_price(positions: Sequence[Any]) -> Decimal:
    """Weighted by quantity. The engine keeps averages as floats: each is read as the shortest decimal of that float."""
    sizes = [abs(_signed(position)) for position in positions]
    notional = sum(
        (size * Decimal(repr(position.avg_px_open)) for size, position in zip(sizes, positions, strict=True)),
        Decimal(0),
    )
    return notional / sum(sizes, Decimal(0))
