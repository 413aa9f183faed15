"""An exchange in memory: real market and account, and a ledger that keeps its transactions in a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from opslab.errors import Unwritable
from opslab.model.market.candle import Candle
from opslab.model.messages.ledger_events import parse_event
from opslab.ports import Moment
from opslab.venue.account.account import Account
from opslab.venue.account.audit import Audit, audit
from opslab.venue.account.order_requests import parse_new_order
from opslab.venue.counters import Counters
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
    """Implements `ports.Ledger` in memory. full: no write succeeds. has_reserve: `use_last_room` frees space."""

    entries: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)
    full: bool = False
    has_reserve: bool = False

    @property
    def transactions(self) -> int:
        return len(self.entries)

    def append(self, events: Sequence[Mapping[str, Any]], at: Moment) -> None:
        if self.full:
            raise Unwritable("cannot append to the venue's ledger: no space left on device")
        self.entries.append(events)

    def mark(self, at: Moment) -> None: ...

    def use_reserve(self) -> None:
        self.full = self.full and not self.has_reserve


class MemoryExchange:
    """`exchange` has a price of 42,000; `user_events` has the user stream, `log_events` the event log."""

    def __init__(self, balance: str = "100000", leverage: int = 10, price: int = 4_200_000) -> None:
        """price: in cents."""
        self.hooks = FaultHooks()
        self.ledger = Ledger()
        self.counters = Counters()
        self.user_events: list[dict[str, Any]] = []
        self.logged: list[tuple[str, dict[str, Any]]] = []
        opening = opened(balance, leverage)
        self.ledger.append([opening.model_dump(mode="json")], Moment(0, 0))
        market = Market(INSTRUMENT, 30)
        market.start_at_open(Candle(0, price, price, price, price, 1_000), 0)
        publisher = MarketPublisher(market, MarketPayloads(market), MarketStreams("BTCUSDT"), lambda: 0)
        self.exchange = Exchange(
            market,
            Account.from_opened(opening),
            self.ledger,
            publisher,
            lambda: NOW_MS,
            Moment(0, 0),
            self.hooks,
            self.counters,
        )
        self.exchange.on_user_events = self.user_events.extend

    @property
    def position(self) -> Decimal:
        return self.exchange.account.holding.position

    def log_event(self, event: str, details: dict[str, object]) -> None:
        self.logged.append((event, details))

    def place(self, side: str, quantity: str, price: str | None = None, **more: Any) -> int:
        """Place an order. Returns its id. Raises ApiError."""
        params: dict[str, Any] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "type": "MARKET", **more}
        if price is not None:
            params |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        return self.exchange.place(parse_new_order(params, "BTCUSDT"))[0].order_id

    def audit(self) -> Audit:
        return audit([[parse_event(event) for event in events] for events in self.ledger.entries])
