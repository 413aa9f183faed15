"""An independent reader of the ledger: proves from its events alone that no money and no quantity came from nowhere.

It shares nothing with the code that decides and the code that keeps the account. Where that keeps the cost of a
position and rounds a share of it, this keeps sums: of everything bought and sold, of profits, of fees. At every trade

    wallet   == balance at the start + profits - fees
    position == bought - sold
    cost     == paid for what was bought - got for what was sold + profits

must hold to the last digit, and a trade's fee and profit must be what its price and quantity make of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from opslab.model.messages.ledger_events import (
    Accepted,
    Amended,
    Canceled,
    Expired,
    Filled,
    LedgerEvent,
    LeverageSet,
    Opened,
)

_HALF = Decimal("0.000000005")
"""As far as a rounded amount may be from the exact one."""
_NOTHING = Decimal(0)
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that cannot be. `line`: the transaction, from 1."""

    line: int
    rule: str
    detail: str

    def text(self) -> str:
        return f"line {self.line}: {self.rule}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Audit:
    """What the ledger holds, and what is wrong with it: the first `MOST_FINDINGS` findings, and how many there were."""

    findings: tuple[AuditFinding, ...]
    found: int
    transactions: int
    orders: int
    open_orders: int
    trades: int
    start: Decimal
    wallet: Decimal
    position: Decimal
    cost: Decimal
    realized: Decimal
    fees: Decimal

    @property
    def proven(self) -> bool:
        return self.found == 0


@dataclass(slots=True)
class _Paper:
    """An open order, on paper."""

    terms: Accepted
    quantity: Decimal
    price: Decimal | None
    filled: Decimal = _NOTHING


@dataclass(slots=True)
class _Books:
    """The sums, and what was stated last."""

    opened: Opened | None = None
    line: int = 0
    orders: int = 0
    trades: int = 0
    last_order: int = 0
    last_trade: int = 0
    last_ms: int = 0
    open: dict[int, _Paper] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)
    """Ids that the client gave its open orders."""
    watched: set[int] = field(default_factory=set)
    """Open orders that may not be left open whatever happens."""
    bought: Decimal = _NOTHING
    sold: Decimal = _NOTHING
    paid: Decimal = _NOTHING
    got: Decimal = _NOTHING
    realized: Decimal = _NOTHING
    fees: Decimal = _NOTHING
    wallet: Decimal = _NOTHING
    position: Decimal = _NOTHING
    cost: Decimal = _NOTHING
    findings: list[AuditFinding] = field(default_factory=list)
    found: int = 0

    def fault(self, rule: str, detail: str) -> None:
        self.found += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(AuditFinding(self.line, rule, detail))

    def must(self, rule: str, stated: Decimal, computed: Decimal, what: str) -> None:
        if stated != computed:
            self.fault(rule, f"{what}: {stated:f} stated, {computed:f} computed")


def audit(transactions: Iterable[Sequence[LedgerEvent]]) -> Audit:
    """Read a whole ledger, in order. Memory grows with its open orders, not with its length."""
    books = _Books()
    for line, events in enumerate(transactions, start=1):
        books.line = line
        if not events:
            books.fault("transaction", "holds no event")
        for event in events:
            _time(books, event)
            _read(books, event)
        _left_open(books)
    if books.opened is None:
        books.fault("opening", "the account was never opened")
    return Audit(
        findings=tuple(books.findings),
        found=books.found,
        transactions=books.line,
        orders=books.orders,
        open_orders=len(books.open),
        trades=books.trades,
        start=books.opened.balance if books.opened else _NOTHING,
        wallet=books.wallet,
        position=books.position,
        cost=books.cost,
        realized=books.realized,
        fees=books.fees,
    )


def _read(books: _Books, event: LedgerEvent) -> None:
    if books.opened is None and not isinstance(event, Opened):
        books.fault("opening", f"{event.kind} before the account was opened")
        return
    match event:
        case Filled():
            _trade(books, event)
        case Accepted():
            _order(books, event)
        case Canceled() | Expired():
            paper = _paper(books, event.order_id, event.kind)
            if paper is not None:
                _ending(books, event, paper)
                _close(books, event.order_id)
        case Amended():
            _amendment(books, event)
        case LeverageSet():
            if event.leverage < 1:
                books.fault("leverage", f"is {event.leverage}")
        case Opened():
            _opening(books, event)


def _opening(books: _Books, event: Opened) -> None:
    if books.opened is not None:
        books.fault("opening", "the account is opened twice")
        return
    books.opened = event
    books.wallet = event.balance
    if event.balance < 0 or event.leverage < 1:
        books.fault("opening", f"with {event.balance:f} {event.asset} at leverage {event.leverage}")


def _time(books: _Books, event: LedgerEvent) -> None:
    """The wall clock may be set back; a day is beyond any correction."""
    if event.time_ms < books.last_ms - 86_400_000:
        books.fault("time", f"{event.kind} at {event.time_ms}, after {books.last_ms}")
    books.last_ms = max(books.last_ms, event.time_ms)


def _order(books: _Books, event: Accepted) -> None:
    number = event.order_id
    if number <= books.last_order:
        books.fault("order_id", f"order {number} comes after order {books.last_order}")
    if event.client_order_id in books.clients:
        books.fault("client_order_id", f"order {number} has that of an open order, {event.client_order_id}")
    if event.quantity <= 0 or (event.price is not None and event.price <= 0):
        books.fault("terms", f"order {number} is for {event.quantity:f} at {event.price}")
    if (event.type == "MARKET") != (event.price is None):
        books.fault("terms", f"order {number} is a {event.type.lower()} order with price {event.price}")
    if event.reduce_only and not _opposes(event.side, books.position):
        books.fault("reduce_only", f"order {number} has nothing to reduce: the position is {books.position:f}")
    books.last_order = max(books.last_order, number)
    books.orders += 1
    books.open[number] = _Paper(event, event.quantity, event.price)
    books.clients.add(event.client_order_id)
    if event.reduce_only or _at_once(event):
        books.watched.add(number)


def _amendment(books: _Books, event: Amended) -> None:
    paper = _paper(books, event.order_id, event.kind)
    if paper is None:
        return
    if event.quantity <= paper.filled or event.price <= 0 or paper.price is None:
        books.fault(
            "amended", f"order {event.order_id}, filled {paper.filled:f}, to {event.quantity:f} at {event.price:f}"
        )
    paper.quantity, paper.price = event.quantity, event.price


def _ending(books: _Books, event: Canceled | Expired, paper: _Paper) -> None:
    if not isinstance(event, Expired):
        return
    terms = paper.terms
    fits = {
        "market": terms.type == "MARKET",
        "ioc": terms.time_in_force in ("IOC", "FOK") and paper.filled < paper.quantity,
        "reduce_only": terms.reduce_only and not _opposes(terms.side, books.position),
    }
    if not fits[event.reason]:
        books.fault("expired", f"order {event.order_id} cannot expire for {event.reason}")


def _trade(books: _Books, event: Filled) -> None:
    if event.trade_id <= books.last_trade:
        books.fault("trade_id", f"trade {event.trade_id} comes after trade {books.last_trade}")
    books.last_trade = max(books.last_trade, event.trade_id)
    books.trades += 1
    paper = _paper(books, event.order_id, event.kind)
    if paper is None:
        return
    if event.price <= 0 or event.quantity <= 0:
        books.fault("trade", f"trade {event.trade_id} of {event.quantity:f} at {event.price:f}")
        return
    _terms_kept(books, event, paper)
    _money(books, event, paper.terms.side)
    paper.filled += event.quantity
    if paper.filled >= paper.quantity:
        _close(books, event.order_id)


def _terms_kept(books: _Books, event: Filled, paper: _Paper) -> None:
    """The trade is one that its order allows."""
    terms, what = paper.terms, f"trade {event.trade_id} of order {event.order_id}"
    if paper.filled + event.quantity > paper.quantity:
        books.fault("overfilled", f"{what}: {paper.filled:f} and {event.quantity:f} of {paper.quantity:f}")
    if paper.price is not None:
        worse = event.price > paper.price if terms.side == "BUY" else event.price < paper.price
        if worse or (event.maker and event.price != paper.price):
            books.fault("price", f"{what}: at {event.price:f}, its price is {paper.price:f}")
    if event.maker and _at_once(terms):
        books.fault("maker", f"{what}: it never rested")
    if not event.maker and terms.time_in_force == "GTX":
        books.fault("maker", f"{what}: it may only rest")
    if terms.reduce_only and (not _opposes(terms.side, books.position) or event.quantity > abs(books.position)):
        books.fault("reduce_only", f"{what}: {event.quantity:f} of a position of {books.position:f}")


def _money(books: _Books, event: Filled, side: str) -> None:
    """The sums, against what the trade states."""
    opened = books.opened
    assert opened is not None
    what = f"trade {event.trade_id}"
    notional = event.price * event.quantity
    rate = opened.maker_fee if event.maker else opened.taker_fee
    if abs(event.fee - notional * rate) > _HALF:
        books.fault("fee", f"{what}: {event.fee:f} stated, {notional * rate:f} is due")
    _profit(books, event, side)
    if side == "BUY":
        books.bought += event.quantity
        books.paid += notional
    else:
        books.sold += event.quantity
        books.got += notional
    books.realized += event.realized
    books.fees += event.fee
    books.must("wallet", event.wallet, opened.balance + books.realized - books.fees, what)
    books.must("position", event.position, books.bought - books.sold, what)
    books.must("cost", event.cost, books.paid - books.got + books.realized, what)
    if event.position == 0 and event.cost != 0:
        books.fault("cost", f"{what}: {event.cost:f} for no position")
    books.wallet, books.position, books.cost = event.wallet, event.position, event.cost


def _profit(books: _Books, event: Filled, side: str) -> None:
    """What was closed, at the trade's price, against its share of what the position was bought for."""
    closed = min(abs(books.position), event.quantity) if _opposes(side, books.position) else _NOTHING
    if not closed:
        due = _NOTHING
    else:
        long = 1 if books.position > 0 else -1
        due = long * closed * event.price - books.cost * closed / abs(books.position)
    if abs(event.realized - due) > (_HALF if closed else _NOTHING):
        books.fault("realized", f"trade {event.trade_id}: {event.realized:f} stated, {due:f} is due")


def _left_open(books: _Books) -> None:
    """No transaction leaves a reduce-only order open that could reduce nothing, or an order that had to end in it."""
    for number in sorted(books.watched):
        terms = books.open[number].terms
        if terms.reduce_only and not _opposes(terms.side, books.position):
            books.fault("reduce_only", f"order {number} is left open with nothing to reduce")
        if _at_once(terms):
            books.fault("resting", f"order {number} is left open, a {terms.type} {terms.time_in_force}")


def _close(books: _Books, number: int) -> None:
    books.clients.discard(books.open.pop(number).terms.client_order_id)
    books.watched.discard(number)


def _at_once(terms: Accepted) -> bool:
    """Whether the order trades when it comes, or not at all."""
    return terms.type == "MARKET" or terms.time_in_force in ("IOC", "FOK")


def _paper(books: _Books, number: int, kind: str) -> _Paper | None:
    paper = books.open.get(number)
    if paper is None:
        state = "has ended" if number <= books.last_order else "was never accepted"
        books.fault("order", f"{kind} of order {number}, which {state}")
    return paper


def _opposes(side: str, position: Decimal) -> bool:
    """Whether an order of this side would make the position smaller."""
    return position < 0 if side == "BUY" else position > 0
