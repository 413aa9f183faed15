"""An exchange in memory: a real market and account, a ledger that keeps what it is given, nothing in between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opslab.errors import Unwritable
from opslab.model.market.candle import Candle
from opslab.model.messages.ledger_events import event_of
from opslab.ports import Moment
from opslab.venue.account.account import Account
from opslab.venue.account.audit import Audit, audit
from opslab.venue.account.order_requests import parse_new_order
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.market.market import Market
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.market_publisher import MarketPublisher
from opslab.venue.transport.market_streams import MarketStreams
from tests.fakes.account_at_price import INSTRUMENT, opened

NOW_MS = 1_800_000_000_000


@dataclass
class Ledger:
    """Implements `ports.Ledger` in memory. full: nothing can be written. room: until the last one is used."""

    kept: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)
    full: bool = False
    room: bool = False

    @property
    def transactions(self) -> int:
        return len(self.kept)

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        if self.full:
            raise Unwritable("cannot append to the venue's ledger: no space left on device")
        self.kept.append(events)

    def mark(self, at: Moment) -> None: ...

    def use_last_room(self) -> None:
        self.full = self.full and not self.room


class Book:
    """`exchange` stands at 42,000; what clients are told is in `told`, what an operator is, in `said`."""

    def __init__(self, balance: str = "100000", leverage: int = 10, price: int = 4_200_000) -> None:
        """price: in cents."""
        self.hooks = FaultHooks()
        self.ledger = Ledger()
        self.told: list[dict[str, Any]] = []
        self.said: list[tuple[str, dict[str, Any]]] = []
        begin = opened(balance, leverage)
        self.ledger.append([begin.model_dump(mode="json")], Moment(0, 0))
        market = Market(INSTRUMENT, 30)
        market.start_at_open(Candle(0, price, price, price, price, 1_000), 0)
        broadcast = MarketPublisher(market, MarketPayloads(market), MarketStreams("BTCUSDT"), lambda: 0)
        self.exchange = Exchange(
            market, Account.from_opened(begin), self.ledger, broadcast, lambda: NOW_MS, Moment(0, 0), self.hooks
        )
        self.exchange.tell = self.told.extend

    @property
    def position(self) -> Decimal:
        return self.exchange.account.holding.position

    def log_event(self, what: str, more: dict[str, object]) -> None:
        self.said.append((what, more))

    def place(self, side: str, quantity: str, price: str | None = None, **more: Any) -> int:
        """The order's number. Raises ApiError."""
        params: dict[str, Any] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "type": "MARKET", **more}
        if price is not None:
            params |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        return self.exchange.place(parse_new_order(params, "BTCUSDT"))[0].order_id

    def audit(self) -> Audit:
        return audit([[event_of(event) for event in events] for events in self.ledger.kept])
