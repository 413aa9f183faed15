"""An account at a venue whose market stands where the test puts it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opslab.model.market.instrument import instrument_of
from opslab.model.messages.ledger_events import LedgerEvent, Opened, Side
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
    """Implements `matching.MarketView`: levels of one size, a tick apart."""

    bid: Decimal = Decimal("30000.00")
    ask: Decimal = Decimal("30000.10")
    mark: Decimal = Decimal("30000.00")
    status: str = "TRADING"
    size: Decimal = Decimal("1.000")
    depth: int = 10

    def levels(self, side: Side) -> Sequence[Level]:
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
    """Decides, keeps and applies as the venue does; every transaction stays in `ledger`."""

    start: Opened = field(default_factory=opened)
    market: Market = field(default_factory=Market)
    now_ms: int = NOW_MS

    def __post_init__(self) -> None:
        self.desk = MatchingEngine(INSTRUMENT)
        self.account = Account.from_opened(self.start)
        self.ledger: list[list[LedgerEvent]] = [[self.start]]

    def keep(self, events: list[LedgerEvent]) -> list[LedgerEvent]:
        if events:
            self.ledger.append(events)
            for event in events:
                self.account.apply(event)
        return events

    def place(self, side: str, quantity: str, price: str | None = None, **more: Any) -> list[LedgerEvent]:
        """A market order without a price, else a limit order, GTC unless said otherwise."""
        params: dict[str, Any] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "type": "MARKET"}
        if price is not None:
            params |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        new = parse_new_order(params | more, "BTCUSDT")
        return self.keep(self.desk.place(self.account, self.market, new, self.now_ms))

    def modify(self, number: int, side: str, quantity: str, price: str) -> list[LedgerEvent]:
        params = {"symbol": "BTCUSDT", "orderId": str(number), "side": side, "quantity": quantity, "price": price}
        return self.keep(self.desk.modify(self.account, self.market, parse_amendment(params, "BTCUSDT"), self.now_ms))

    def cancel(self, number: int) -> list[LedgerEvent]:
        ref = parse_order_ref({"symbol": "BTCUSDT", "orderId": str(number)}, "BTCUSDT")
        return self.keep(self.desk.cancel(self.account, ref, self.now_ms))

    def cancel_all(self) -> list[LedgerEvent]:
        return self.keep(self.desk.cancel_all(self.account, self.now_ms))

    def leverage(self, leverage: int) -> list[LedgerEvent]:
        return self.keep(self.desk.set_leverage(self.account, leverage, self.market.mark, self.now_ms))

    def tick(
        self, bid: str, ask: str, trade: str | None = None, size: str = "0", *, mark: bool = True
    ) -> list[LedgerEvent]:
        """The market moves; the mark price goes with a trade, unless told not to."""
        self.market.bid, self.market.ask = Decimal(bid), Decimal(ask)
        price = None if trade is None else Decimal(trade)
        if mark:
            self.market.mark = self.market.bid if price is None else price
        return self.keep(
            self.desk.on_tick(self.account, price, Decimal(size), self.market.bid, self.market.ask, self.now_ms)
        )

    def events(self) -> list[LedgerEvent]:
        return [event for transaction in self.ledger for event in transaction]

    def order(self, number: int) -> Order:
        found = self.account.find(number, None)
        assert found is not None
        return found


def kinds(events: Sequence[LedgerEvent]) -> list[str]:
    return [event.kind for event in events]
