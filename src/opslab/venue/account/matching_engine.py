"""What becomes of a request and of a tick: decisions, as events that nobody has acted on yet.

Whoever asks appends the events to the ledger, applies them to the account, and only then tells anybody.
"""

from decimal import Decimal

from opslab.model.market.instrument import Instrument
from opslab.model.messages.ledger_events import LedgerEvent, LeverageSet, Side
from opslab.model.messages.venue_messages import FLATTEN_PREFIX
from opslab.venue.account.account import ZERO, Account, Order
from opslab.venue.account.filters import Filters, check_status
from opslab.venue.account.margin import MOST_LEVERAGE, MOST_NOTIONAL, margin, resting
from opslab.venue.account.matching import MarketView, LevelFill, rest, take
from opslab.venue.account.order_requests import Amendment, NewOrder, OrderRef
from opslab.venue.account.transaction import Draft
from opslab.venue.api_error import ApiError

Events = list[LedgerEvent]


class MatchingEngine:
    """Decides for one instrument. Holds no state."""

    def __init__(self, instrument: Instrument) -> None:
        self.filters = Filters.of(instrument)

    def place(self, account: Account, view: MarketView, new: NewOrder, now_ms: int) -> Events:
        """Accept an order, with what it takes at once. Raises ApiError, and then nothing took place."""
        self._check_new(account, view, new)
        reducible = account.holding.reducible(new.side)
        if new.reduce_only and not reducible:
            raise ApiError.of(-2022)
        wanted = min(new.quantity, reducible) if new.reduce_only else new.quantity
        taken = take(new.side, wanted, self._limit(new, view.mark), view.levels(new.side))
        if new.time_in_force == "GTX" and taken:
            raise ApiError.of(-5022)
        if new.time_in_force == "FOK" and _sum(taken) < new.quantity:
            raise ApiError.of(-5021)
        draft = Draft(account, now_ms)
        number = draft.accept(new)
        for part in taken:
            draft.fill(number, part.price, part.quantity, maker=False)
        draft.settle()
        if draft.is_open(number):
            if new.type == "MARKET":
                draft.expire(number, "market")
            elif new.time_in_force != "GTC" and new.time_in_force != "GTX":
                draft.expire(number, "ioc")
        if not new.reduce_only:
            waiting = ZERO if new.type == "MARKET" or new.time_in_force in ("IOC", "FOK") else _open(account, new.side)
            if new.quantity + waiting > reducible:
                _check_margin(draft, view.mark)
        return draft.events

    def modify(self, account: Account, view: MarketView, wanted: Amendment, now_ms: int) -> Events:
        """Give an open order another price or quantity, at the end of the queue of its price.

        As at the venue, the order is canceled where it was filled up to its new quantity already, and where it may
        only wait but would trade. Raises ApiError, and then the order stays as it was.
        """
        order = _open_order(account, wanted.ref, -2013)
        self._check_amendment(order, view, wanted)
        draft = Draft(account, now_ms)
        left = wanted.quantity - order.executed
        reducible = account.holding.reducible(order.side)
        taken = take(
            order.side, min(left, reducible) if order.reduce_only else left, wanted.price, view.levels(order.side)
        )
        if left <= 0 or (order.time_in_force == "GTX" and taken):
            draft.cancel(order.order_id)
            return draft.events
        needed = draft.exposure(view.mark)
        draft.amend(order.order_id, wanted.quantity, wanted.price)
        for part in taken:
            draft.fill(order.order_id, part.price, part.quantity, maker=False)
        draft.settle()
        others = _open(account, order.side, but=order.order_id)
        if not order.reduce_only and left + others > reducible and (taken or draft.exposure(view.mark) > needed):
            _check_margin(draft, view.mark)
        return draft.events

    def cancel(self, account: Account, ref: OrderRef, now_ms: int) -> Events:
        """Raises ApiError when there is no such open order."""
        draft = Draft(account, now_ms)
        draft.cancel(_open_order(account, ref, -2011).order_id)
        return draft.events

    def cancel_all(self, account: Account, now_ms: int) -> Events:
        """Nothing when no order is open."""
        draft = Draft(account, now_ms)
        for number in account.open:
            draft.cancel(number)
        return draft.events

    def close_part(self, account: Account, view: MarketView, now_ms: int) -> Events:
        """A market order of the venue's own against the position: as much of it as one order may be for.

        It asks for nobody's leave: not the symbol's status, not the margin. What the displayed book does not have
        within the reach of a market order expires. Nothing when the account is flat, or nothing is displayed.
        """
        side: Side = "SELL" if account.holding.position > 0 else "BUY"
        wanted = min(account.holding.reducible(side), self.filters.lot["MARKET"].largest)
        taken = take(side, wanted, self.filters.market_limit(side, view.mark), view.levels(side))
        if not taken:
            return []
        draft = Draft(account, now_ms)
        number = draft.accept(
            NewOrder(
                side=side,
                type="MARKET",
                time_in_force="GTC",
                quantity=wanted,
                price=None,
                reduce_only=True,
                client_order_id=f"{FLATTEN_PREFIX}{account.last_order_id + 1}",
                answer="ACK",
            )
        )
        for part in taken:
            draft.fill(number, part.price, part.quantity, maker=False)
        draft.settle()
        if draft.is_open(number):
            draft.expire(number, "market")
        return draft.events

    def set_leverage(self, account: Account, leverage: int, mark: Decimal, now_ms: int) -> Events:
        """Nothing when it is that already. Raises ApiError when the account could not bear it."""
        if not 1 <= leverage <= MOST_LEVERAGE:
            raise ApiError.of(-4028, leverage)
        if leverage == account.leverage:
            return []
        if leverage < account.leverage:
            after = margin(account.holding, resting(account), mark, leverage)
            if after.initial and after.available < 0:
                raise ApiError.of(-2028)
        return [LeverageSet(leverage=leverage, time_ms=now_ms)]

    def on_tick(
        self, account: Account, trade: Decimal | None, size: Decimal, bid: Decimal, ask: Decimal, now_ms: int
    ) -> Events:
        """What a tick of the market does to open orders; for most ticks nothing. trade: None of a quote alone."""
        if not account.open:
            return []
        if size <= 0:
            trade = None
        reach = account.reach
        buy, sell = reach.highest_buy, reach.lowest_sell
        low = ask if trade is None else min(ask, trade)
        high = bid if trade is None else max(bid, trade)
        if (buy is None or low > buy) and (sell is None or high < sell):
            return []
        touched = rest(account.open.values(), trade, size, bid, ask, account.holding.position)
        if not touched:
            return []
        draft = Draft(account, now_ms)
        for found in touched:
            draft.fill(found.order.order_id, found.order.price or ZERO, found.quantity, maker=True)
        draft.settle()
        return draft.events

    def _limit(self, new: NewOrder, mark: Decimal) -> Decimal:
        """The worst price that an order takes."""
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
            filters.check_room(len(account.open))

    def _check_amendment(self, order: Order, view: MarketView, wanted: Amendment) -> None:
        filters = self.filters
        check_status(view.status, -5024)
        if wanted.side != order.side:
            raise ApiError.of(-1117)
        filters.check_quantity(wanted.quantity, "LIMIT")
        filters.check_price(wanted.price)
        filters.check_percent(wanted.side, wanted.price, view.mark)
        if not order.reduce_only:
            filters.check_notional(wanted.quantity * wanted.price, -5029)
        if wanted.quantity == order.quantity and wanted.price == order.price:
            raise ApiError.of(-5027)
        if order.amendments >= filters.max_amendments:
            raise ApiError.of(-5026)


def _check_margin(draft: Draft, mark: Decimal) -> None:
    """What an order that may increase the position has to leave behind."""
    if draft.margin(mark).available < 0:
        raise ApiError.of(-2019)
    if draft.exposure(mark) > MOST_NOTIONAL:
        raise ApiError.of(-2027)


def _open_order(account: Account, ref: OrderRef, otherwise: int) -> Order:
    order = account.find(ref.order_id, ref.client_order_id)
    if order is None or order.order_id not in account.open:
        raise ApiError.of(otherwise)
    return order


def _open(account: Account, side: Side, but: int | None = None) -> Decimal:
    """How much the open orders of a side could still trade, the reduce-only ones left out."""
    return sum(
        (
            order.remaining
            for order in account.open.values()
            if order.side == side and not order.reduce_only and order.order_id != but
        ),
        ZERO,
    )


def _sum(taken: list[LevelFill]) -> Decimal:
    return sum((part.quantity for part in taken), ZERO)
