"""Audit of the ledger: prove from its events alone that every amount and every quantity has a source.

The audit shares no code with the matching engine and the account. The account keeps the cost of a position and rounds
the share of a closed part; the audit keeps sums: of everything bought and sold, of profits, of fees. At every trade

    wallet   == start balance + profits - fees
    position == bought - sold
    cost     == paid for buys - received for sells + profits

must hold to the last digit, and the fee and the profit of a trade must follow from its price and quantity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from opslab.model.messages.forced_close import forced_close_kind
from opslab.model.messages.ledger_events import (
    FORCED_EXPIRE_REASONS,
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
"""Maximum difference between a rounded amount and the exact one."""
_ZERO = Decimal(0)
MAX_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One violation of a rule. `line`: number of the transaction, from 1."""

    line: int
    rule: str
    detail: str

    def text(self) -> str:
        return f"line {self.line}: {self.rule}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Audit:
    """Totals of the ledger, the first `MAX_FINDINGS` findings, and the number of all findings."""

    findings: tuple[AuditFinding, ...]
    finding_count: int
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
        return self.finding_count == 0


@dataclass(slots=True)
class _OpenOrder:
    """An open order, as the ledger states it."""

    terms: Accepted
    quantity: Decimal
    price: Decimal | None
    filled: Decimal = _ZERO


@dataclass(slots=True)
class _Sums:
    """The sums so far, and the last stated wallet, position and cost."""

    opened: Opened | None = None
    line: int = 0
    orders: int = 0
    trades: int = 0
    last_order: int = 0
    last_trade: int = 0
    last_ms: int = 0
    open: dict[int, _OpenOrder] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)
    """Client order ids of the open orders."""
    forced_reasons: frozenset[str | None] = frozenset()
    """Expire reasons that the forced closes of the transaction allow."""
    must_close: set[int] = field(default_factory=set)
    """Open orders that may have to close within a transaction: reduce-only and immediate orders."""
    bought: Decimal = _ZERO
    sold: Decimal = _ZERO
    paid: Decimal = _ZERO
    received: Decimal = _ZERO
    realized: Decimal = _ZERO
    fees: Decimal = _ZERO
    wallet: Decimal = _ZERO
    position: Decimal = _ZERO
    cost: Decimal = _ZERO
    findings: list[AuditFinding] = field(default_factory=list)
    finding_count: int = 0

    def report(self, rule: str, detail: str) -> None:
        self.finding_count += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(AuditFinding(self.line, rule, detail))

    def require_equal(self, rule: str, stated: Decimal, computed: Decimal, subject: str) -> None:
        if stated != computed:
            self.report(rule, f"{subject}: stated {stated:f}, computed {computed:f}")


def audit(transactions: Iterable[Sequence[LedgerEvent]]) -> Audit:
    """Audit a whole ledger, in order. Memory grows with the number of open orders, not with the length."""
    sums = _Sums()
    for line, events in enumerate(transactions, start=1):
        sums.line = line
        if not events:
            sums.report("transaction", "has no event")
        sums.forced_reasons = _forced_reasons(events)
        for event in events:
            _check_time(sums, event)
            _apply(sums, event)
        _check_left_open(sums)
    if sums.opened is None:
        sums.report("opening", "the account was never opened")
    return Audit(
        findings=tuple(sums.findings),
        finding_count=sums.finding_count,
        transactions=sums.line,
        orders=sums.orders,
        open_orders=len(sums.open),
        trades=sums.trades,
        start=sums.opened.balance if sums.opened else _ZERO,
        wallet=sums.wallet,
        position=sums.position,
        cost=sums.cost,
        realized=sums.realized,
        fees=sums.fees,
    )


def _apply(sums: _Sums, event: LedgerEvent) -> None:
    if sums.opened is None and not isinstance(event, Opened):
        sums.report("opening", f"{event.kind} before the account was opened")
        return
    match event:
        case Filled():
            _apply_fill(sums, event)
        case Accepted():
            _apply_accepted(sums, event)
        case Canceled() | Expired():
            order = _find_open(sums, event.order_id, event.kind)
            if order is not None:
                _check_expiry(sums, event, order)
                _close_order(sums, event.order_id)
        case Amended():
            _apply_amended(sums, event)
        case LeverageSet():
            if event.leverage < 1:
                sums.report("leverage", f"leverage is {event.leverage}")
        case Opened():
            _apply_opened(sums, event)


def _apply_opened(sums: _Sums, event: Opened) -> None:
    if sums.opened is not None:
        sums.report("opening", "the account is opened twice")
        return
    sums.opened = event
    sums.wallet = event.balance
    if event.balance < 0 or event.leverage < 1:
        sums.report(
            "opening", f"the account is opened with {event.balance:f} {event.asset} at leverage {event.leverage}"
        )


def _check_time(sums: _Sums, event: LedgerEvent) -> None:
    """The wall clock may be set back, but no correction is as large as one day."""
    if event.time_ms < sums.last_ms - 86_400_000:
        sums.report("time", f"{event.kind} at {event.time_ms}, after {sums.last_ms}")
    sums.last_ms = max(sums.last_ms, event.time_ms)


def _apply_accepted(sums: _Sums, event: Accepted) -> None:
    order_id = event.order_id
    if order_id <= sums.last_order:
        sums.report("order_id", f"order {order_id} is accepted after order {sums.last_order}")
    if event.client_order_id in sums.clients:
        sums.report(
            "client_order_id", f"order {order_id} has the client order id of an open order, {event.client_order_id}"
        )
    if event.quantity <= 0 or (event.price is not None and event.price <= 0):
        sums.report("terms", f"order {order_id} has quantity {event.quantity:f} and price {event.price}")
    if (event.type == "MARKET") != (event.price is None):
        sums.report("terms", f"order {order_id} is a {event.type.lower()} order with price {event.price}")
    if event.reduce_only and not _opposes(event.side, sums.position):
        sums.report("reduce_only", f"order {order_id} cannot reduce the position {sums.position:f}")
    sums.last_order = max(sums.last_order, order_id)
    sums.orders += 1
    sums.open[order_id] = _OpenOrder(event, event.quantity, event.price)
    sums.clients.add(event.client_order_id)
    if event.reduce_only or _is_immediate(event):
        sums.must_close.add(order_id)


def _apply_amended(sums: _Sums, event: Amended) -> None:
    order = _find_open(sums, event.order_id, event.kind)
    if order is None:
        return
    if event.quantity <= order.filled or event.price <= 0 or order.price is None:
        sums.report(
            "amended",
            f"order {event.order_id}, executed {order.filled:f}, is amended to {event.quantity:f} at {event.price:f}",
        )
    order.quantity, order.price = event.quantity, event.price


def _forced_reasons(events: Sequence[LedgerEvent]) -> frozenset[str | None]:
    kinds = (forced_close_kind(event.client_order_id) for event in events if isinstance(event, Accepted))
    return frozenset(FORCED_EXPIRE_REASONS[kind] for kind in kinds if kind)


def _check_expiry(sums: _Sums, event: Canceled | Expired, order: _OpenOrder) -> None:
    if not isinstance(event, Expired):
        return
    terms = order.terms
    allowed = {
        "market": terms.type == "MARKET",
        "ioc": terms.time_in_force in ("IOC", "FOK") and order.filled < order.quantity,
        "reduce_only": terms.reduce_only and not _opposes(terms.side, sums.position),
    }
    if not allowed.get(event.reason, event.reason in sums.forced_reasons):
        sums.report("expired", f"order {event.order_id} cannot expire with reason {event.reason}")


def _apply_fill(sums: _Sums, event: Filled) -> None:
    if event.trade_id <= sums.last_trade:
        sums.report("trade_id", f"trade {event.trade_id} follows trade {sums.last_trade}")
    sums.last_trade = max(sums.last_trade, event.trade_id)
    sums.trades += 1
    order = _find_open(sums, event.order_id, event.kind)
    if order is None:
        return
    if event.price <= 0 or event.quantity <= 0:
        sums.report("trade", f"trade {event.trade_id} has quantity {event.quantity:f} and price {event.price:f}")
        return
    _check_terms(sums, event, order)
    _apply_money(sums, event, order.terms.side)
    order.filled += event.quantity
    if order.filled >= order.quantity:
        _close_order(sums, event.order_id)


def _check_terms(sums: _Sums, event: Filled, order: _OpenOrder) -> None:
    """Check that the order allows the trade."""
    terms, subject = order.terms, f"trade {event.trade_id} of order {event.order_id}"
    if order.filled + event.quantity > order.quantity:
        sums.report("overfilled", f"{subject}: {order.filled:f} + {event.quantity:f} exceeds {order.quantity:f}")
    if order.price is not None:
        worse = event.price > order.price if terms.side == "BUY" else event.price < order.price
        if worse or (event.maker and event.price != order.price):
            sums.report("price", f"{subject}: price {event.price:f}, order price {order.price:f}")
    if event.maker and _is_immediate(terms):
        sums.report("maker", f"{subject}: maker, but the order cannot rest")
    if not event.maker and terms.time_in_force == "GTX":
        sums.report("maker", f"{subject}: taker, but the order is post-only")
    if terms.reduce_only and (not _opposes(terms.side, sums.position) or event.quantity > abs(sums.position)):
        sums.report("reduce_only", f"{subject}: quantity {event.quantity:f}, position {sums.position:f}")


def _apply_money(sums: _Sums, event: Filled, side: str) -> None:
    """Add the trade to the sums and compare them with its stated values."""
    opened = sums.opened
    assert opened is not None
    subject = f"trade {event.trade_id}"
    notional = event.price * event.quantity
    rate = opened.maker_fee if event.maker else opened.taker_fee
    if abs(event.fee - notional * rate) > _HALF:
        sums.report("fee", f"{subject}: stated {event.fee:f}, computed {notional * rate:f}")
    _check_profit(sums, event, side)
    if side == "BUY":
        sums.bought += event.quantity
        sums.paid += notional
    else:
        sums.sold += event.quantity
        sums.received += notional
    sums.realized += event.realized
    sums.fees += event.fee
    sums.require_equal("wallet", event.wallet, opened.balance + sums.realized - sums.fees, subject)
    sums.require_equal("position", event.position, sums.bought - sums.sold, subject)
    sums.require_equal("cost", event.cost, sums.paid - sums.received + sums.realized, subject)
    if event.position == 0 and event.cost != 0:
        sums.report("cost", f"{subject}: cost {event.cost:f} without a position")
    sums.wallet, sums.position, sums.cost = event.wallet, event.position, event.cost


def _check_profit(sums: _Sums, event: Filled, side: str) -> None:
    """Check the profit: value of the closed quantity at the trade price minus its share of the cost."""
    closed = min(abs(sums.position), event.quantity) if _opposes(side, sums.position) else _ZERO
    if not closed:
        expected = _ZERO
    else:
        direction = 1 if sums.position > 0 else -1
        expected = direction * closed * event.price - sums.cost * closed / abs(sums.position)
    if abs(event.realized - expected) > (_HALF if closed else _ZERO):
        sums.report("realized", f"trade {event.trade_id}: stated {event.realized:f}, computed {expected:f}")


def _check_left_open(sums: _Sums) -> None:
    """No transaction may leave open a reduce-only order that cannot reduce, or an immediate order."""
    for order_id in sorted(sums.must_close):
        terms = sums.open[order_id].terms
        if terms.reduce_only and not _opposes(terms.side, sums.position):
            sums.report("reduce_only", f"order {order_id} stays open but cannot reduce the position")
        if _is_immediate(terms):
            sums.report(
                "resting", f"order {order_id} stays open, type {terms.type}, time in force {terms.time_in_force}"
            )


def _close_order(sums: _Sums, order_id: int) -> None:
    sums.clients.discard(sums.open.pop(order_id).terms.client_order_id)
    sums.must_close.discard(order_id)


def _is_immediate(terms: Accepted) -> bool:
    """Whether the order never rests: it fills at once or expires."""
    return terms.type == "MARKET" or terms.time_in_force in ("IOC", "FOK")


def _find_open(sums: _Sums, order_id: int, kind: str) -> _OpenOrder | None:
    order = sums.open.get(order_id)
    if order is None:
        state = "is closed" if order_id <= sums.last_order else "was never accepted"
        sums.report("order", f"{kind} for order {order_id}, which {state}")
    return order


def _opposes(side: str, position: Decimal) -> bool:
    """Whether an order of this side would reduce the position."""
    return position < 0 if side == "BUY" else position > 0
