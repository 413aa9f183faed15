"""An account at a venue whose market prices the test sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opslab.model.market.instrument import instrument_of
from opslab.model.messages.ledger_events import LedgerEvent, Opened, OrderSide
from opslab.resources import exchange_info_symbol
from opslab.venue.account.account import Account, Order
from opslab.venue.account.matching import Level
from opslab.venue.account.matching_engine import MatchingEngine
from opslab.venue.account.order_requests import parse_amendment, parse_new_order, parse_order_ref

INSTRUMENT = instrument_of(exchange_info_symbol("BTCUSDT"))
TICK = Decimal("0.10")
NOW_MS = 1_800_000_000_000


@dataclass
class Market:
    """Implements `matching.MarketView`: levels of equal size, one tick apart."""

    bid: Decimal = Decimal("30000.00")
    ask: Decimal = Decimal("30000.10")
    mark: Decimal = Decimal("30000.00")
    status: str = "TRADING"
    size: Decimal = Decimal("1.000")
    depth: int = 10

    def levels(self, side: OrderSide) -> Sequence[Level]:
        step, best = (TICK, self.ask) if side == "BUY" else (-TICK, self.bid)
        return [(best + step * number, self.size) for number in range(self.depth)]


def opened(balance: str = "10000", leverage: int = 5) -> Opened:
    return Opened(
        asset="USDT",
        symbol="BTCUSDT",
        balance=Decimal(balance),
        leverage=leverage,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        dataset="sha256:" + "0" * 64,
        time_ms=NOW_MS,
    )


@dataclass
class Scene:
    """Decides and applies transactions as the venue does, and keeps them in `ledger`."""

    start: Opened = field(default_factory=opened)
    market: Market = field(default_factory=Market)
    now_ms: int = NOW_MS

    def __post_init__(self) -> None:
        self.engine = MatchingEngine(INSTRUMENT)
        self.account = Account.from_opened(self.start)
        self.ledger: list[list[LedgerEvent]] = [[self.start]]

    def commit(self, events: list[LedgerEvent]) -> list[LedgerEvent]:
        if events:
            self.ledger.append(events)
            for event in events:
                self.account.apply(event)
        return events

    def place(self, side: str, quantity: str, price: str | None = None, **extra: Any) -> list[LedgerEvent]:
        """Place a market order (without price) or a limit order, GTC by default."""
        params: dict[str, Any] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "type": "MARKET"}
        if price is not None:
            params |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        new_order = parse_new_order(params | extra, "BTCUSDT")
        return self.commit(self.engine.place(self.account, self.market, new_order, self.now_ms))

    def modify(self, order_id: int, side: str, quantity: str, price: str) -> list[LedgerEvent]:
        params = {"symbol": "BTCUSDT", "orderId": str(order_id), "side": side, "quantity": quantity, "price": price}
        return self.commit(
            self.engine.modify(self.account, self.market, parse_amendment(params, "BTCUSDT"), self.now_ms)
        )

    def cancel(self, order_id: int) -> list[LedgerEvent]:
        ref = parse_order_ref({"symbol": "BTCUSDT", "orderId": str(order_id)}, "BTCUSDT")
        return self.commit(self.engine.cancel(self.account, ref, self.now_ms))

    def cancel_all(self) -> list[LedgerEvent]:
        return self.commit(self.engine.cancel_all(self.account, self.now_ms))

    def leverage(self, leverage: int) -> list[LedgerEvent]:
        return self.commit(self.engine.set_leverage(self.account, leverage, self.market.mark, self.now_ms))

    def tick(
        self, bid: str, ask: str, trade: str | None = None, size: str = "0", *, mark: bool = True
    ) -> list[LedgerEvent]:
        """Move the market. mark: the mark price follows (the trade, or the bid without one)."""
        self.market.bid, self.market.ask = Decimal(bid), Decimal(ask)
        price = None if trade is None else Decimal(trade)
        if mark:
            self.market.mark = self.market.bid if price is None else price
        return self.commit(
            self.engine.on_tick(self.account, price, Decimal(size), self.market.bid, self.market.ask, self.now_ms)
        )

    def events(self) -> list[LedgerEvent]:
        return [event for transaction in self.ledger for event in transaction]

    def order(self, order_id: int) -> Order:
        order = self.account.find(order_id, None)
        assert order is not None
        return order


def kinds(events: Sequence[LedgerEvent]) -> list[str]:
    return [event.kind for event in events]
