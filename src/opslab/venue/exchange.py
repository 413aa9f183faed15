"""The exchange: market, account and ledger together.

Whatever changes the account is decided first, then in the ledger, durable, then applied, and only then told: to the
one who asked, and to the user stream.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from opslab.errors import LabError
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import Instrument
from opslab.model.messages.ledger_events import Accepted, LedgerEvent, Side, written
from opslab.ports import Ledger, Moment
from opslab.venue.account.account import Account, Order
from opslab.venue.account.matching import Level
from opslab.venue.account.matching_engine import MatchingEngine
from opslab.venue.account.number_format import NumberFormat
from opslab.venue.account.order_requests import Amendment, NewOrder, OrderRef
from opslab.venue.account.user_event_payloads import pushes
from opslab.venue.api_error import ApiError
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.market.candle_path import Tick
from opslab.venue.market.market import Market
from opslab.venue.market_publisher import MarketPublisher

Payload = dict[str, Any]


class View:
    """Implements `matching.MarketView` on the market as it stands."""

    def __init__(self, market: Market, hooks: FaultHooks) -> None:
        self._market = market
        self._hooks = hooks

    @property
    def status(self) -> str:
        own: str = self._market.instrument.entry["status"]
        return self._hooks.statuses[-1] if self._hooks.statuses else own

    @property
    def bid(self) -> Decimal:
        return self._market.units.price(self._market.book.best()[0])

    @property
    def ask(self) -> Decimal:
        return self._market.units.price(self._market.book.best()[2])

    @property
    def mark(self) -> Decimal:
        return self._market.units.price(self._market.mark_price)

    def levels(self, side: Side) -> Sequence[Level]:
        units = self._market.units
        found = self._market.book.levels("asks" if side == "BUY" else "bids")
        return [(units.price(price), units.size(size)) for price, size in found]


class Exchange:
    """Everything that a client can do to the account, and everything that the market does to it."""

    def __init__(
        self,
        market: Market,
        account: Account,
        ledger: Ledger,
        broadcast: MarketPublisher,
        now_ms: Callable[[], int],
        at: Moment,
        hooks: FaultHooks,
    ) -> None:
        """at: where the replay is."""
        self.market = market
        self.account = account
        self.view = View(market, hooks)
        self.texts = NumberFormat.of(market.instrument)
        self.at = at
        self.only_reducing = False
        """Orders that might open a position are refused."""
        self.refused_writes = 0
        """Times that the ledger could not be written."""
        self.tell: Callable[[list[Payload]], None] = lambda _events: None
        """Called with what the user stream is to be told, in order."""
        self.closed: Callable[[], None] = lambda: None
        """Called when a minute has closed."""
        self._desk = MatchingEngine(market.instrument)
        self._ledger = ledger
        self._broadcast = broadcast
        self._now_ms = now_ms

    @property
    def instrument(self) -> Instrument:
        return self.market.instrument

    @property
    def transactions(self) -> int:
        """In the ledger."""
        return self._ledger.transactions

    def use_last_room(self) -> None:
        self._ledger.use_last_room()

    # What clients ask.

    def place(self, new: NewOrder) -> tuple[Accepted, Order]:
        """How the order was accepted, and what it is after what it took at once. Raises ApiError."""
        if self.only_reducing and not new.reduce_only:
            raise ApiError.of(-4087)
        now_ms = self._now_ms()
        events = self._desk.place(self.account, self.view, new, now_ms)
        self._transact(events, now_ms)
        accepted = next(event for event in events if isinstance(event, Accepted))
        return accepted, self._order(accepted.order_id)

    def modify(self, wanted: Amendment) -> Order:
        order = self._known(wanted.ref, -2013)
        now_ms = self._now_ms()
        self._transact(self._desk.modify(self.account, self.view, wanted, now_ms), now_ms)
        return self._order(order.order_id)

    def cancel(self, ref: OrderRef) -> Order:
        order = self._known(ref, -2011)
        now_ms = self._now_ms()
        self._transact(self._desk.cancel(self.account, ref, now_ms), now_ms)
        return self._order(order.order_id)

    def cancel_all(self) -> None:
        now_ms = self._now_ms()
        self._transact(self._desk.cancel_all(self.account, now_ms), now_ms)

    def set_leverage(self, leverage: int) -> None:
        now_ms = self._now_ms()
        events = self._desk.set_leverage(self.account, leverage, self.view.mark, now_ms)
        self._transact(events, now_ms)

    def find(self, ref: OrderRef) -> Order:
        return self._known(ref, -2013)

    def _known(self, ref: OrderRef, otherwise: int) -> Order:
        order = self.account.find(ref.order_id, ref.client_order_id)
        if order is None:
            raise ApiError.of(otherwise)
        return order

    def _order(self, order_id: int) -> Order:
        order = self.account.find(order_id, None)
        assert order is not None, order_id
        return order

    # What the venue does by itself.

    @property
    def is_flat(self) -> bool:
        """No position, and no open order."""
        return not self.account.holding.position and not self.account.open

    def close_part(self) -> bool:
        """Close of the position what the displayed book has; whether that was anything. Raises ApiError."""
        now_ms = self._now_ms()
        events = self._desk.close_part(self.account, self.view, now_ms)
        self._transact(events, now_ms)
        return bool(events)

    def restore_depth(self) -> None:
        """Let what was taken from the depth come back."""
        now_ms = self._now_ms()
        self.market.restore_depth(now_ms)
        self._broadcast.quote(now_ms)

    # What the market does: `replay.Stage`.

    def begin(self, candle: Candle, index: int) -> None:
        self._broadcast.closed(self.market.open_minute(candle, index), self._now_ms())

    def tick(self, tick: Tick, at: Moment) -> None:
        """Noted before it is told; and what it fills is in the ledger before anybody sees the trade."""
        now_ms = self._now_ms()
        self._ledger.mark(at)
        self.at = at
        trade = self.market.apply_tick(tick, now_ms)
        if self.account.open:
            self._fill_resting(tick, now_ms)
        self._broadcast.tick(trade, now_ms)

    def close(self, at: Moment) -> None:
        self._ledger.mark(at)
        self.at = at
        self._broadcast.closed(self.market.close_minute(), self._now_ms())
        self.closed()

    def _fill_resting(self, tick: Tick, now_ms: int) -> None:
        units = self.market.units
        events = self._desk.on_tick(
            self.account,
            units.price(tick.price) if tick.size else None,
            units.size(tick.size),
            units.price(tick.bid),
            units.price(tick.ask),
            now_ms,
        )
        if events:
            try:
                self._transact(events, now_ms)
            except ApiError:  # counted; the market will come again
                return

    def _transact(self, events: Sequence[LedgerEvent], now_ms: int) -> None:
        """Durable, then applied, then told. Raises ApiError when the ledger cannot be written; nothing happened then."""
        if not events:
            return
        try:
            self._ledger.append([written(event) for event in events], self.at)
        except LabError:
            self.refused_writes += 1
            raise ApiError.of(-1008) from None
        told: list[Payload] = []
        took = False
        for event in events:
            self.account.apply(event)
            if event.kind == "filled" and not event.maker:
                side = self._order(event.order_id).side
                units = self.market.units
                price, size = units.price_units(event.price), units.size_units(event.quantity)
                self.market.consume_depth("asks" if side == "BUY" else "bids", price, size, now_ms)
                took = True
            told += pushes(self.account, event, self.view.mark, now_ms, self.texts)
        self.tell(told)
        if took:
            self._broadcast.quote(now_ms)
