"""The exchange: market, account and ledger together.

Each change of the account is first decided, then written durably to the ledger, then applied, and only then published:
in the response to the client, and on the user stream.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from opslab.errors import LabError
from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.model.market.instrument import Instrument
from opslab.model.messages.forced_close import ForcedCloseKind
from opslab.model.messages.ledger_events import Accepted, LedgerEvent, OrderSide, event_fields
from opslab.ports import Ledger, Moment
from opslab.venue.account.account import Account, Order
from opslab.venue.account.matching import Level
from opslab.venue.account.matching_engine import MatchingEngine
from opslab.venue.account.number_format import NumberFormat
from opslab.venue.account.order_requests import Amendment, NewOrder, OrderRef
from opslab.venue.account.user_event_payloads import margin_call, user_data_events
from opslab.venue.api_error import ApiError
from opslab.venue.counters import FAILED_LEDGER_WRITES, Counters
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.market.candle_path import Tick
from opslab.venue.market.market import Market
from opslab.venue.market_publisher import MarketPublisher

Payload = dict[str, Any]


class CurrentMarketView:
    """Implements `matching.MarketView` on the current market."""

    def __init__(self, market: Market, hooks: FaultHooks) -> None:
        self._market = market
        self._hooks = hooks

    @property
    def status(self) -> str:
        status: str = self._market.instrument.entry["status"]
        return self._hooks.statuses[-1] if self._hooks.statuses else status

    @property
    def bid(self) -> Decimal:
        return self._market.units.price(self._market.book.best()[0])

    @property
    def ask(self) -> Decimal:
        return self._market.units.price(self._market.book.best()[2])

    @property
    def mark(self) -> Decimal:
        return self._market.units.price(self._market.mark_price)

    def levels(self, side: OrderSide) -> Sequence[Level]:
        units = self._market.units
        levels = self._market.book.levels("asks" if side == "BUY" else "bids")
        return [(units.price(price), units.size(size)) for price, size in levels]


class Exchange:
    """All changes of the account: by clients, by the venue itself and by the market."""

    def __init__(
        self,
        market: Market,
        account: Account,
        ledger: Ledger,
        publisher: MarketPublisher,
        now_ms: Callable[[], int],
        moment: Moment,
        hooks: FaultHooks,
        counters: Counters,
    ) -> None:
        """moment: position of the replay."""
        self.market = market
        self.account = account
        self.view = CurrentMarketView(market, hooks)
        self.number_format = NumberFormat.of(market.instrument)
        self._moment = moment
        self.only_reducing = False
        """True: orders that might open a position are rejected."""
        self.on_user_events: Callable[[list[Payload]], None] = lambda _events: None
        """Called with the events of the user stream, in order."""
        self.on_bar_closed: Callable[[], None] = lambda: None
        """Called after a minute has closed."""
        self.on_margin_call: Callable[[dict[str, object]], None] = lambda _fields: None
        """Called with the fields for the event log after a call for margin."""
        self._margin_calls = 0
        self._matching_engine = MatchingEngine(market.instrument)
        self._ledger = ledger
        self._publisher = publisher
        self._counters = counters
        self._hooks = hooks
        self._now_ms = now_ms

    @property
    def instrument(self) -> Instrument:
        return self.market.instrument

    @property
    def transactions(self) -> int:
        """Number of transactions in the ledger."""
        return self._ledger.transactions

    def market_elapsed_ms(self, ticks_per_minute: int) -> int:
        """Market time since the first candle's open, as of the last tick."""
        return self._moment.minute * MINUTE_MS + self._moment.tick * MINUTE_MS // ticks_per_minute

    def use_reserve(self) -> None:
        self._ledger.use_reserve()

    # Requests of clients.

    def place(self, new: NewOrder) -> tuple[Accepted, Order]:
        """Place an order. Returns its acceptance, and the order after its immediate fills. Raises ApiError."""
        if self.only_reducing and not new.reduce_only:
            raise ApiError.of(-4087)
        now_ms = self._now_ms()
        events = self._matching_engine.place(self.account, self.view, new, now_ms)
        self._transact(events, now_ms)
        accepted = next(event for event in events if isinstance(event, Accepted))
        return accepted, self._order(accepted.order_id)

    def modify(self, amendment: Amendment) -> Order:
        order = self._find_known(amendment.ref, -2013)
        now_ms = self._now_ms()
        self._transact(self._matching_engine.modify(self.account, self.view, amendment, now_ms), now_ms)
        return self._order(order.order_id)

    def cancel(self, ref: OrderRef) -> Order:
        order = self._find_known(ref, -2011)
        now_ms = self._now_ms()
        self._transact(self._matching_engine.cancel(self.account, ref, now_ms), now_ms)
        return self._order(order.order_id)

    def cancel_all(self) -> None:
        now_ms = self._now_ms()
        self._transact(self._matching_engine.cancel_all(self.account, now_ms), now_ms)

    def set_leverage(self, leverage: int) -> None:
        now_ms = self._now_ms()
        events = self._matching_engine.set_leverage(self.account, leverage, self.view.mark, now_ms)
        self._transact(events, now_ms)

    def find(self, ref: OrderRef) -> Order:
        return self._find_known(ref, -2013)

    def _find_known(self, ref: OrderRef, error_code: int) -> Order:
        order = self.account.find(ref.order_id, ref.client_order_id)
        if order is None:
            raise ApiError.of(error_code)
        return order

    def _order(self, order_id: int) -> Order:
        order = self.account.find(order_id, None)
        assert order is not None, order_id
        return order

    # Actions of the venue itself.

    @property
    def is_flat(self) -> bool:
        """Whether there is no position and no open order."""
        return not self.account.holding.position and not self.account.open

    @property
    def can_flatten(self) -> bool:
        """Whether the venue flattens the account itself, if it is requested to."""
        return not self._hooks.flatten_refusals

    def reduce_position(self) -> bool:
        """Close as much of the position as the displayed book has. Returns whether anything was. Raises ApiError."""
        now_ms = self._now_ms()
        events = self._matching_engine.reduce_position(self.account, self.view, now_ms)
        self._transact(events, now_ms)
        return bool(events)

    def close_by_force(self, kind: ForcedCloseKind) -> bool:
        """As a liquidation, ADL or settlement does. Returns whether anything was closed. Raises ApiError."""
        now_ms = self._now_ms()
        events = self._matching_engine.close_by_force(self.account, self.view, kind, now_ms)
        self._transact(events, now_ms)
        return bool(events)

    def call_margin(self) -> bool:
        """Call for margin over the user stream, whatever the margin is. Returns whether there is a position."""
        if not self.account.holding.position:
            return False
        call = margin_call(self.account, self.view.mark, self._now_ms(), self.number_format)
        self.on_user_events([call])
        self._margin_calls += 1
        (position,) = call["p"]
        self.on_margin_call(
            {
                "number": self._margin_calls,
                "position": position["pa"],
                "mark_price": position["mp"],
                "wallet_balance": call["cw"],
                "unrealized_profit": position["up"],
                "maintenance_margin": position["mm"],
            }
        )
        return True

    def restore_depth(self) -> None:
        """Restore the consumed liquidity of the depth."""
        now_ms = self._now_ms()
        self.market.restore_depth(now_ms)
        self._publisher.publish_quote(now_ms)

    # Replay of the market: `replay.ReplaySink`.

    def open_minute(self, candle: Candle, index: int) -> None:
        self._publisher.publish_closed(self.market.open_minute(candle, index), self._now_ms())

    def apply_tick(self, tick: Tick, moment: Moment) -> None:
        """The position is stored and the fills are in the ledger before the trade is published."""
        now_ms = self._now_ms()
        self._ledger.mark(moment)
        self._moment = moment
        trade = self.market.apply_tick(tick, now_ms)
        if self.account.open:
            self._fill_resting(tick, now_ms)
        self._publisher.publish_tick(trade, now_ms)

    def close_minute(self, moment: Moment) -> None:
        self._ledger.mark(moment)
        self._moment = moment
        self._publisher.publish_closed(self.market.close_minute(), self._now_ms())
        self.on_bar_closed()

    def _fill_resting(self, tick: Tick, now_ms: int) -> None:
        units = self.market.units
        events = self._matching_engine.on_tick(
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
            except ApiError:  # counted; a later tick fills the orders
                return

    def _transact(self, events: Sequence[LedgerEvent], now_ms: int) -> None:
        """Write durably, apply, publish. Raises ApiError if the ledger cannot be written; nothing is changed then."""
        if not events:
            return
        try:
            self._ledger.append([event_fields(event) for event in events], self._moment)
        except LabError:
            self._counters.count(FAILED_LEDGER_WRITES)
            raise ApiError.of(-1008) from None
        user_events: list[Payload] = []
        is_depth_changed = False
        for event in events:
            self.account.apply(event)
            if event.kind == "filled" and not event.maker:
                side = self._order(event.order_id).side
                units = self.market.units
                price, size = units.price_units(event.price), units.size_units(event.quantity)
                self.market.consume_depth("asks" if side == "BUY" else "bids", price, size, now_ms)
                is_depth_changed = True
            user_events += user_data_events(self.account, event, self.view.mark, now_ms, self.number_format)
        self.on_user_events(user_events)
        if is_depth_changed:
            self._publisher.publish_quote(now_ms)
