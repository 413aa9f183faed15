"""What a live node believes: positions, open orders and balances of its cache, in the words of `tc reconcile`.

Of balances only `total` follows the venue: the adapter takes `free` and `locked` from the account as it was when the
node connected, and the first fill behind that sets `locked` to zero, whatever the margins are (measured).
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


class NodeState:
    """Reads the cache. On the engine's thread alone."""

    def __init__(self, cache: Cache, instrument: Instrument) -> None:
        self._cache = cache
        self._symbol = instrument.symbol
        self._instrument_id = InstrumentId.from_str(instrument.instrument_id)

    def snapshot(self, ask: int, now_ns: int, waiting: tuple[InFlightUpdate, ...]) -> NodeSnapshot:
        orders = self.open_orders()
        account = AccountState(
            as_of=iso(now_ns),
            positions=self._positions(),
            open_orders=tuple(self._order(order) for order in orders),
            balances=self._balances(),
        )
        ids = {str(order.client_order_id): str(order.venue_order_id) for order in orders if order.venue_order_id}
        return NodeSnapshot(request_number=ask, account=account, in_flight=waiting, venue_order_ids=ids)

    def is_flat(self) -> bool:
        """Whether it knows of nothing open."""
        return not self.open_orders() and not self._cache.positions_open(instrument_id=self._instrument_id)

    def none_in_flight(self) -> bool:
        return not self._cache.orders_inflight_count()

    def open_orders(self) -> list[Any]:
        """Those on their way to the venue, too."""
        found = [*self._cache.orders_open(), *self._cache.orders_inflight()]
        return list({str(order.client_order_id): order for order in found}.values())

    def _order(self, order: Any) -> OrderState:
        price = getattr(order, "price", None)
        return OrderState(
            client_order_id=str(order.client_order_id),
            instrument=self._symbol,
            side=_word(order.side),
            type=_word(order.order_type),
            quantity=_plain(order.quantity),
            filled_quantity=_plain(order.filled_qty),
            price=None if price is None else _plain(price),
            status=_word(order.status),
        )

    def _positions(self) -> tuple[PositionState, ...]:
        """One-way, as the venue keeps it, whichever strategies hold how much of it."""
        positions = self._cache.positions_open(instrument_id=self._instrument_id)
        signed = sum((_signed(position) for position in positions), Decimal(0))
        if not signed:
            return ()
        ahead = [position for position in positions if _signed(position) * signed > 0]
        price = decimal_text(_average(ahead))
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
                total=_plain(balance.total),
                free=_plain(balance.free),
                locked=_plain(balance.locked),
            )
            for currency, balance in sorted(account.balances().items(), key=lambda item: str(item[0]))
        )


def _word(found: Any) -> str:
    """Of `OrderSide.BUY`, which prints with or without its class, `BUY`."""
    return str(found).rpartition(".")[2]


def _plain(amount: Any) -> str:
    return decimal_text(amount.as_decimal())


def _signed(position: Any) -> Decimal:
    quantity: Decimal = position.quantity.as_decimal()
    return -quantity if position.is_short else quantity


def _average(positions: Sequence[Any]) -> Decimal:
    """Weighted by quantity. The engine keeps averages as floats: the shortest decimal that is that float."""
    sizes = [abs(_signed(position)) for position in positions]
    worth = sum(
        (size * Decimal(repr(position.avg_px_open)) for size, position in zip(sizes, positions, strict=True)),
        Decimal(0),
    )
    return worth / sum(sizes, Decimal(0))
