"""Results of a paper run, from the venue's ledger: what an engine that died did not hear of is in it all the same.

The ledger says which orders there were and what became of them. What the engines told says whose they are, and which
orders never reached the venue: those that the engine denied, those that the venue refused, and those that were lost on
the way. The rows are those of a backtest, and made by the same fold.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from opslab.errors import Corrupt
from opslab.model.market.instrument import Instrument
from opslab.model.messages.engine_messages import RESULT_FILES
from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, event_of
from opslab.model.messages.venue_messages import FLATTEN_PREFIX
from opslab.model.primitives.instant import NS_PER_MS
from opslab.model.run.metadata import ScenarioCounters
from opslab.model.run.results import Results, Send
from opslab.runs.paper.client_order_id import client_order_id
from opslab.store.runs.engine_order_log import EngineOrders, ReportedOrder
from opslab.store.runs.journal import read_said
from opslab.store.runs.run_folders import RowsFile, remove_unfinished
from opslab.store.venues.ledger import NAME, read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER

VENUE_STRATEGY = "VENUE"
"""Strategy of an order that the venue itself made: to flatten an account whose engine was gone."""
UNKNOWN_STRATEGY = "UNKNOWN"
"""Strategy of an order in the ledger that no engine of the run told of."""


@dataclass(slots=True)
class PaperCounts:
    """What there was of orders and fills, and who says so."""

    orders_submitted: int = 0
    """Ledger, and of those that never reached the venue the engine. The venue's own orders are not among them."""
    fills_count: int = 0
    """Ledger."""
    orders_canceled: int = 0
    """Ledger."""
    orders_denied: int = 0
    """Engine."""
    orders_rejected: int = 0
    """Engine: the ledger has no orders that were refused."""
    lost: int = 0
    """Engine: submitted, and the venue has no such order."""
    unknown: int = 0
    """Ledger: orders that no engine told of."""
    by_venue: int = 0
    """Ledger: orders of the venue's own."""
    denial_reasons: dict[str, int] = field(default_factory=dict)

    def counters(self, *, bars_seen: int, actions: int) -> ScenarioCounters:
        """With what the engines counted."""
        return ScenarioCounters(
            strategy_registered=1,
            bars_seen=bars_seen,
            deterministic_action_triggered=actions,
            orders_submitted=self.orders_submitted,
            fills_count=self.fills_count,
            orders_denied=self.orders_denied,
            orders_rejected=self.orders_rejected,
            orders_canceled=self.orders_canceled,
        )


def paper_results(ledger: Path, told: EngineOrders, send: Send, instrument: Instrument) -> PaperCounts:
    """Send every row: orders by their acceptance, those that never reached the venue where they were made.

    ledger: the folder that it stands in. Goes through it twice. Raises Corrupt.
    """
    with told.at_once():
        for transaction in read_ledger(ledger, _whose(ledger)):
            for found in transaction.events:
                if found.get("kind") == "accepted":  # looked at closely the second time
                    told.found_at_venue(str(found.get("order_id")), client_order_id(str(found.get("client_order_id"))))
    fold = _Fold(told, send, instrument)
    for event in ledger_events(ledger):
        fold.take(event)
    return fold.end()


def write_results(folder: Path, told: EngineOrders, instrument: Instrument) -> tuple[PaperCounts, dict[str, str]]:
    """Make the result files of a run from the ledger that its folder keeps; with each one's digest.

    What an earlier try left of them is replaced. Raises Corrupt.
    """
    remove_unfinished(folder, RESULT_FILES)
    rows = {name: RowsFile(folder, name) for name in RESULT_FILES}
    try:
        counts = paper_results(folder / VENUE_FOLDER, told, lambda file, row: rows[file].add(row), instrument)
        return counts, {file.name: file.commit() for file in rows.values()}
    except BaseException:
        for file in rows.values():
            file.keep_partial()
        raise


def ledger_events(folder: Path) -> Iterator[LedgerEvent]:
    """Raises Corrupt where the ledger is broken."""
    whose = _whose(folder)
    for transaction in read_ledger(folder, whose):
        for found in transaction.events:
            try:
                yield event_of(found)
            except ValueError:
                what = f"line {transaction.number} has what is no event of an account"
                raise Corrupt(f"ledger of {whose}: {NAME}, {what}", file=NAME, what=what) from None


def _whose(folder: Path) -> str:
    """The run's name, for a ledger that its folder keeps."""
    return folder.parent.name if folder.name == VENUE_FOLDER else folder.name


def told_in_journal(folder: Path, told: EngineOrders) -> None:
    """What a run's journal has of what its engines told, for who finds no more than that."""
    for _, said in read_said(folder, ("order_event",)):
        told.order_event(from_json(said)["payload"])


@dataclass(frozen=True, slots=True)
class _Named:
    """An order that is not over, by the name that the rows have for it."""

    name: str
    strategy_id: str
    side: str
    type: str


class _Fold:
    """Turns the ledger's events into an engine's, for the fold that makes the rows."""

    def __init__(self, told: EngineOrders, send: Send, instrument: Instrument) -> None:
        self._told = told
        self._instrument = instrument
        self._results = Results(send, one_position=True)
        self._never = told.never_at_venue()
        self._next = next(self._never, None)
        self._open: dict[int, _Named] = {}
        self._asset = ""
        self._counts = PaperCounts()

    def take(self, event: LedgerEvent) -> None:
        if event.kind == "opened":
            self._asset = event.asset
        elif isinstance(event, Accepted):
            self._accept(event)
        elif isinstance(event, Filled):
            self._fill(event)
        elif isinstance(event, (Canceled, Expired)):
            if isinstance(event, Canceled):
                self._counts.orders_canceled += 1
            self._feed(
                "OrderCanceled" if isinstance(event, Canceled) else "OrderExpired", event.order_id, event.time_ms
            )
            del self._open[event.order_id]
        elif isinstance(event, Amended):
            more = {"quantity": self._size(event.quantity), "price": self._price(event.price)}
            self._feed("OrderUpdated", event.order_id, event.time_ms, **more)

    def end(self) -> PaperCounts:
        self._send_never_before(None)
        self._results.end()
        self._counts.fills_count = self._results.fills
        self._counts.denial_reasons = dict(self._results.denials)
        return self._counts

    def _accept(self, event: Accepted) -> None:
        plain = client_order_id(event.client_order_id)
        own = plain.startswith(FLATTEN_PREFIX)
        told = None if own else self._told.told_of(str(event.order_id), plain)
        made = told.made if told else {}
        ts_ns = event.time_ms * NS_PER_MS
        by_engine = told is not None and not made.get("reconciliation")  # else its engine learned of it from the venue
        ts_made = told.ts_made if told and by_engine else ts_ns
        self._send_never_before(ts_made)
        name = told.client_order_id if told else event.client_order_id if own else plain
        if self._results.holds(name):  # a client may use an id again when its order is over
            name = f"{name}#{event.order_id}"
        strategy_id = told.made["strategy_id"] if told else VENUE_STRATEGY if own else UNKNOWN_STRATEGY
        self._open[event.order_id] = _Named(name, strategy_id, event.side, event.type)
        self._counts.by_venue += own
        self._counts.unknown += told is None and not own
        self._counts.orders_submitted += not own
        price = None if event.price is None else self._price(event.price)
        terms = {
            "order_type": event.type,
            "order_side": event.side,
            "quantity": self._size(event.quantity),
            "price": price,
            "time_in_force": _time_in_force(event, made),
            "post_only": event.time_in_force == "GTX",
            "reduce_only": event.reduce_only,
        }
        self._results.order_event(self._event("OrderInitialized", name, strategy_id, ts_made) | terms)
        self._feed("OrderAccepted", event.order_id, event.time_ms)

    def _fill(self, event: Filled) -> None:
        order = self._open[event.order_id]
        self._feed(
            "OrderFilled",
            event.order_id,
            event.time_ms,
            trade_id=str(event.trade_id),
            order_side=order.side,
            order_type=order.type,
            last_qty=self._size(event.quantity),
            last_px=self._price(event.price),
            currency=self._asset,
            commission=f"{event.fee:f} {self._asset}",
            liquidity_side="MAKER" if event.maker else "TAKER",
        )
        if not self._results.holds(order.name, unfinished=True):
            del self._open[event.order_id]

    def _feed(self, kind: str, order_id: int, time_ms: int, **more: Any) -> None:
        order = self._open[order_id]
        event = self._event(kind, order.name, order.strategy_id, time_ms * NS_PER_MS)
        self._results.order_event(event | {"venue_order_id": str(order_id)} | more)

    def _send_never_before(self, ts_ns: int | None) -> None:
        """Orders that the ledger does not have and that were made until then; None: all that are left."""
        while self._next is not None and (ts_ns is None or self._next.ts_made <= ts_ns):
            self._send_never(self._next)
            self._next = next(self._never, None)

    def _send_never(self, order: ReportedOrder) -> None:
        name = order.client_order_id
        base = self._event("OrderInitialized", name, order.made["strategy_id"], order.ts_made)
        self._results.order_event({**base, **order.made})
        if order.last_known != "INITIALIZED":
            kind = f"Order{order.last_known.capitalize()}"
            self._results.order_event({**base, "type": kind, "ts_event": order.ts_last, "reason": order.reason})
        self._results.settle(name)
        self._counts.orders_submitted += order.last_known in ("SUBMITTED", "REJECTED")
        self._counts.orders_denied += order.last_known == "DENIED"
        self._counts.orders_rejected += order.last_known == "REJECTED"
        self._counts.lost += order.last_known == "SUBMITTED"

    def _event(self, kind: str, name: str, strategy_id: str, ts_ns: int) -> dict[str, Any]:
        return {
            "type": kind,
            "client_order_id": name,
            "strategy_id": strategy_id,
            "instrument_id": self._instrument.instrument_id,
            "ts_init": ts_ns,
            "ts_event": ts_ns,
            "post_only": False,
            "reduce_only": False,
        }

    def _price(self, value: Decimal) -> str:
        return _in_decimals(value, self._instrument.price_decimals)

    def _size(self, value: Decimal) -> str:
        return _in_decimals(value, self._instrument.size_decimals)


def _time_in_force(event: Accepted, made: dict[str, Any]) -> str:
    """As the engine has it: an order that may only rest is GTX at the venue, and GTC with a flag in the engine."""
    told = made.get("time_in_force")
    if told is not None:
        return str(told)
    return "GTC" if event.time_in_force == "GTX" else event.time_in_force


def _in_decimals(value: Decimal, decimals: int) -> str:
    """As the engine writes it; all of its digits where it has more."""
    shown = f"{value:.{decimals}f}"
    return shown if Decimal(shown) == value else f"{value:f}"
