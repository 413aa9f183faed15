"""Matching engine: decides the events of a request or a tick, without applying them.

The caller appends the events to the ledger, applies them to the account, and only then publishes them.
"""

from decimal import Decimal

from opslab.model.market.instrument import Instrument
from opslab.model.messages.forced_close import ForcedCloseKind, forced_close_id
from opslab.model.messages.ledger_events import FORCED_EXPIRE_REASONS, LedgerEvent, LeverageSet, OrderSide
from opslab.model.messages.venue_messages import FLATTEN_PREFIX
from opslab.venue.account.account import ZERO, Account, Order
from opslab.venue.account.filters import Filters, check_status
from opslab.venue.account.margin import MAX_LEVERAGE, MAX_NOTIONAL, margin, resting_orders
from opslab.venue.account.matching import LevelFill, MarketView, match_resting, sweep
from opslab.venue.account.order_requests import Amendment, NewOrder, OrderRef
from opslab.venue.account.transaction import Transaction
from opslab.venue.api_error import ApiError

Events = list[LedgerEvent]


class MatchingEngine:
    """The decisions for one instrument. Stateless."""

    def __init__(self, instrument: Instrument) -> None:
        self.filters = Filters.of(instrument)

    def place(self, account: Account, view: MarketView, new: NewOrder, now_ms: int) -> Events:
        """Accept an order, with its immediate fills. Raises ApiError; the order is then not accepted."""
        self._check_new(account, view, new)
        reducible = account.holding.reducible(new.side)
        if new.reduce_only and not reducible:
            raise ApiError.of(-2022)
        quantity = min(new.quantity, reducible) if new.reduce_only else new.quantity
        fills = sweep(new.side, quantity, self._limit(new, view.mark), view.levels(new.side))
        if new.time_in_force == "GTX" and fills:
            raise ApiError.of(-5022)
        if new.time_in_force == "FOK" and _filled_quantity(fills) < new.quantity:
            raise ApiError.of(-5021)
        transaction = Transaction(account, now_ms)
        order_id = transaction.accept(new)
        for fill in fills:
            transaction.fill(order_id, fill.price, fill.quantity, maker=False)
        transaction.expire_idle_reduce_only()
        if transaction.is_open(order_id):
            if new.type == "MARKET":
                transaction.expire(order_id, "market")
            elif new.time_in_force != "GTC" and new.time_in_force != "GTX":
                transaction.expire(order_id, "ioc")
        if not new.reduce_only:
            immediate = new.type == "MARKET" or new.time_in_force in ("IOC", "FOK")
            others = ZERO if immediate else _open_quantity(account, new.side)
            if new.quantity + others > reducible:
                _check_margin(transaction, view.mark)
        return transaction.events

    def modify(self, account: Account, view: MarketView, amendment: Amendment, now_ms: int) -> Events:
        """Change price and quantity of an open order; it moves to the end of the queue at its price.

        As at Binance, the order is canceled if its executed quantity already reaches the new quantity, and if it is
        post-only (GTX) but would trade. Raises ApiError; the order is then unchanged.
        """
        order = _open_order(account, amendment.ref, -2013)
        self._check_amendment(order, view, amendment)
        transaction = Transaction(account, now_ms)
        remaining = amendment.quantity - order.executed
        reducible = account.holding.reducible(order.side)
        quantity = min(remaining, reducible) if order.reduce_only else remaining
        fills = sweep(order.side, quantity, amendment.price, view.levels(order.side))
        if remaining <= 0 or (order.time_in_force == "GTX" and fills):
            transaction.cancel(order.order_id)
            return transaction.events
        previous_exposure = transaction.exposure(view.mark)
        transaction.amend(order.order_id, amendment.quantity, amendment.price)
        for fill in fills:
            transaction.fill(order.order_id, fill.price, fill.quantity, maker=False)
        transaction.expire_idle_reduce_only()
        others = _open_quantity(account, order.side, excluded_id=order.order_id)
        may_increase = not order.reduce_only and remaining + others > reducible
        if may_increase and (fills or transaction.exposure(view.mark) > previous_exposure):
            _check_margin(transaction, view.mark)
        return transaction.events

    def cancel(self, account: Account, ref: OrderRef, now_ms: int) -> Events:
        """Cancel an open order. Raises ApiError if there is no such open order."""
        transaction = Transaction(account, now_ms)
        transaction.cancel(_open_order(account, ref, -2011).order_id)
        return transaction.events

    def cancel_all(self, account: Account, now_ms: int) -> Events:
        """Cancel all open orders. No events if none is open."""
        transaction = Transaction(account, now_ms)
        for order_id in account.open:
            transaction.cancel(order_id)
        return transaction.events

    def reduce_position(self, account: Account, view: MarketView, now_ms: int) -> Events:
        """Place a market order of the venue against the position, up to the maximum order quantity.

        Bypasses symbol status and margin checks. The quantity that the displayed book does not have within the price
        bound of a market order expires. No events if the account is flat, or the book is empty.
        """
        transaction = Transaction(account, now_ms)
        is_reduced = self._reduce(transaction, view, f"{FLATTEN_PREFIX}{account.last_order_id + 1}")
        return transaction.events if is_reduced else []

    def close_by_force(self, account: Account, view: MarketView, kind: ForcedCloseKind, now_ms: int) -> Events:
        """As `reduce_position`, with the client order id of a liquidation, ADL or settlement.

        A liquidation and a settlement end all open orders first.
        """
        transaction = Transaction(account, now_ms)
        expire_reason = FORCED_EXPIRE_REASONS[kind]
        if expire_reason:
            for order_id in account.open:
                transaction.expire(order_id, expire_reason)
        is_reduced = self._reduce(transaction, view, forced_close_id(kind, account.last_order_id + 1))
        return transaction.events if is_reduced else []

    def _reduce(self, transaction: Transaction, view: MarketView, client_order_id: str) -> bool:
        """Add a market order against the position, with its fills. Returns whether there is any."""
        holding = transaction.holding
        side: OrderSide = "SELL" if holding.position > 0 else "BUY"
        quantity = min(holding.reducible(side), self.filters.lot["MARKET"].max_quantity)
        fills = sweep(side, quantity, self.filters.market_limit(side, view.mark), view.levels(side))
        if not fills:
            return False
        order_id = transaction.accept(
            NewOrder(
                side=side,
                type="MARKET",
                time_in_force="GTC",
                quantity=quantity,
                price=None,
                reduce_only=True,
                client_order_id=client_order_id,
                response_type="ACK",
            )
        )
        for fill in fills:
            transaction.fill(order_id, fill.price, fill.quantity, maker=False)
        transaction.expire_idle_reduce_only()
        if transaction.is_open(order_id):
            transaction.expire(order_id, "market")
        return True

    def set_leverage(self, account: Account, leverage: int, mark: Decimal, now_ms: int) -> Events:
        """Set the leverage. No events if it is unchanged. Raises ApiError if the margin is insufficient for it."""
        if not 1 <= leverage <= MAX_LEVERAGE:
            raise ApiError.of(-4028, leverage)
        if leverage == account.leverage:
            return []
        if leverage < account.leverage:
            after = margin(account.holding, resting_orders(account), mark, leverage)
            if after.initial and after.available < 0:
                raise ApiError.of(-2028)
        return [LeverageSet(leverage=leverage, time_ms=now_ms)]

    def on_tick(
        self, account: Account, trade: Decimal | None, size: Decimal, bid: Decimal, ask: Decimal, now_ms: int
    ) -> Events:
        """Fill open orders by a tick of the market; most ticks fill none. trade: None for a quote without a trade."""
        if not account.open:
            return []
        if size <= 0:
            trade = None
        prices = account.open_order_prices
        buy, sell = prices.highest_buy, prices.lowest_sell
        low = ask if trade is None else min(ask, trade)
        high = bid if trade is None else max(bid, trade)
        if (buy is None or low > buy) and (sell is None or high < sell):
            return []
        fills = match_resting(account.open.values(), trade, size, bid, ask, account.holding.position)
        if not fills:
            return []
        transaction = Transaction(account, now_ms)
        for fill in fills:
            transaction.fill(fill.order.order_id, fill.order.price or ZERO, fill.quantity, maker=True)
        transaction.expire_idle_reduce_only()
        return transaction.events

    def _limit(self, new: NewOrder, mark: Decimal) -> Decimal:
        """The worst price at which an order may trade."""
        return self.filters.market_limit(new.side, mark) if new.price is None else new.price

    def _check_new(self, account: Account, view: MarketView, new: NewOrder) -> None:
        filters = self.filters
        check_status(view.status)
        filters.check_quantity(new.quantity, new.type)
        if new.price is None:
            filters.check_counterparty(new.side, view.ask if new.side == "BUY" else view.bid, view.mark)
        else:
            filters.check_price(new.price)
            filters.check_percent(new.side, new.price, view.mark)
        if not new.reduce_only:
            filters.check_notional(new.quantity * (view.mark if new.price is None else new.price))
        if new.client_order_id in account.open_by_client:
            raise ApiError.of(-4116)
        if new.type == "LIMIT":
            filters.check_order_count(len(account.open))

    def _check_amendment(self, order: Order, view: MarketView, amendment: Amendment) -> None:
        filters = self.filters
        check_status(view.status, -5024)
        if amendment.side != order.side:
            raise ApiError.of(-1117)
        filters.check_quantity(amendment.quantity, "LIMIT")
        filters.check_price(amendment.price)
        filters.check_percent(amendment.side, amendment.price, view.mark)
        if not order.reduce_only:
            filters.check_notional(amendment.quantity * amendment.price, -5029)
        if amendment.quantity == order.quantity and amendment.price == order.price:
            raise ApiError.of(-5027)
        if order.amendments >= filters.max_amendments:
            raise ApiError.of(-5026)


def _check_margin(transaction: Transaction, mark: Decimal) -> None:
    """Check the margin after an order that may increase the position."""
    if transaction.margin(mark).available < 0:
        raise ApiError.of(-2019)
    if transaction.exposure(mark) > MAX_NOTIONAL:
        raise ApiError.of(-2027)


def _open_order(account: Account, ref: OrderRef, error_code: int) -> Order:
    order = account.find(ref.order_id, ref.client_order_id)
    if order is None or order.order_id not in account.open:
        raise ApiError.of(error_code)
    return order


def _open_quantity(account: Account, side: OrderSide, excluded_id: int | None = None) -> Decimal:
    """Remaining quantity of the open orders of a side, without reduce-only orders and the order `excluded_id`."""
    return sum(
        (
            order.remaining
            for order in account.open.values()
            if order.side == side and not order.reduce_only and order.order_id != excluded_id
        ),
        ZERO,
    )


def _filled_quantity(fills: list[LevelFill]) -> Decimal:
    return sum((fill.quantity for fill in fills), ZERO)
