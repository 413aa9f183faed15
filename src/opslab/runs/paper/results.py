"""Results of a paper run, from the venue's ledger: complete even for what a dead engine never received.

The ledger has the orders and their fate. The engines' reports have the strategy of each order, and the orders that
never reached the venue: denied by the engine, rejected by the venue, or lost in transit. The rows have the form of a
backtest's and come from the same fold.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from opslab.errors import Corrupt
from opslab.model.market.instrument import Instrument
from opslab.model.messages.engine_messages import RESULT_FILES
from opslab.model.messages.forced_close import forced_close_kind
from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, parse_event
from opslab.model.messages.venue_messages import FLATTEN_PREFIX
from opslab.model.primitives.instant import NS_PER_MS
from opslab.model.run.order_status import EVENT_OF_STATUS
from opslab.model.run.refused_orders import RefusedRequests
from opslab.model.run.results import OrderEventFields, Results, Send
from opslab.runs.paper.client_order_id import client_order_id, is_of_adapter
from opslab.runs.paper.counts.paper_counts import PaperCounts
from opslab.store.runs.engine_order_log import EngineOrderLog, ReportedOrder
from opslab.store.runs.journal import read_bodies
from opslab.store.runs.run_folders import RowsFile, remove_unfinished
from opslab.store.venues.ledger import NAME, read_ledger
from opslab.store.venues.venue_files import VENUE_FOLDER

VENUE_STRATEGY = "VENUE"
"""Strategy of an order that the venue created to flatten an account after the end of its engine."""
UNKNOWN_STRATEGY = "UNKNOWN"
"""Strategy of an order of the run's engines in the ledger that no engine reported."""
EXTERNAL_STRATEGY = "EXTERNAL"
"""Strategy of an order in the ledger that neither an engine of the run nor the lab placed, forced closes included;
NautilusTrader's word."""


def send_rows(ledger: Path, reported_orders: EngineOrderLog, send: Send, instrument: Instrument) -> PaperCounts:
    """Send every row: orders in order of acceptance, orders that never reached the venue at their creation.

    ledger: its folder. Reads it twice. Raises Corrupt.
    """
    with reported_orders.transaction():
        for entry in read_ledger(ledger, _run_name(ledger)):
            for item in entry.events:
                if item.get("kind") == "accepted":  # validated in the second pass
                    reported_orders.mark_at_venue(
                        str(item.get("order_id")), client_order_id(str(item.get("client_order_id")))
                    )
    fold = _LedgerFold(reported_orders, send, instrument)
    for event in ledger_events(ledger):
        fold.apply(event)
    return fold.end()


def write_results(
    folder: Path, reported_orders: EngineOrderLog, instrument: Instrument
) -> tuple[PaperCounts, dict[str, str]]:
    """Write the result files of a run from the ledger in its folder. Returns the counts and each file's digest.

    Replaces the files of an earlier attempt. Raises Corrupt.
    """
    remove_unfinished(folder, RESULT_FILES)
    rows = {name: RowsFile(folder, name) for name in RESULT_FILES}
    try:
        counts = send_rows(folder / VENUE_FOLDER, reported_orders, lambda file, row: rows[file].add(row), instrument)
        return counts, {file.name: file.commit() for file in rows.values()}
    except BaseException:
        for file in rows.values():
            file.keep_partial()
        raise


def ledger_events(folder: Path) -> Iterator[LedgerEvent]:
    """Raises Corrupt where the ledger is broken."""
    run_name = _run_name(folder)
    for entry in read_ledger(folder, run_name):
        for item in entry.events:
            try:
                yield parse_event(item)
            except ValueError:
                problem = f"line {entry.number} has no valid account event"
                raise Corrupt(f"ledger of {run_name}: {NAME}, {problem}", file=NAME, problem=problem) from None


def _run_name(folder: Path) -> str:
    """The run's name for a ledger in its folder, else the venue's."""
    return folder.parent.name if folder.name == VENUE_FOLDER else folder.name


def orders_from_journal(folder: Path, reported_orders: EngineOrderLog) -> None:
    """Feed the order events of a run's journal, when control's scratch file is unavailable."""
    for _, line in read_bodies(folder, ("order_event",)):
        reported_orders.order_event(from_json(line)["payload"])


@dataclass(frozen=True, slots=True)
class _OpenOrder:
    """An open order, by its name in the rows."""

    name: str
    strategy_id: str
    side: str
    type: str
    is_forced: bool
    """Whether the exchange closed the position with it by force."""


class _RequestedChanges:
    """Rejected requests to cancel or modify orders, compared with the end of their orders in the ledger."""

    def __init__(self, reported_orders: EngineOrderLog) -> None:
        self._rejected = list(reported_orders.rejected_requests())
        self._names = {request.client_order_id for request in self._rejected}
        self._ended_ns: dict[str, float] = {}
        """Client order id of such an order to its end; infinite while it is open."""

    def order_accepted(self, name: str) -> None:
        if name in self._names:
            self._ended_ns[name] = inf

    def order_ended(self, name: str, time_ms: int) -> None:
        if name in self._names:
            self._ended_ns[name] = time_ms * NS_PER_MS

    def refused(self) -> RefusedRequests:
        """After the end of the ledger."""
        refused = RefusedRequests()
        for request in self._rejected:
            if request.ts_event < self._ended_ns.get(request.client_order_id, 0):
                refused.add(asdict(request))
        return refused


class _LedgerFold:
    """Converts ledger events to engine events for the fold that makes the rows."""

    def __init__(self, reported_orders: EngineOrderLog, send: Send, instrument: Instrument) -> None:
        self._reported_orders = reported_orders
        self._instrument = instrument
        self._results = Results(send, one_position=True, others={VENUE_STRATEGY, EXTERNAL_STRATEGY})
        self._never_at_venue = reported_orders.never_at_venue()
        self._next_never_at_venue = next(self._never_at_venue, None)
        self._open: dict[int, _OpenOrder] = {}
        self._changes = _RequestedChanges(reported_orders)
        self._asset = ""
        self._counts = PaperCounts()

    def apply(self, event: LedgerEvent) -> None:
        if event.kind == "opened":
            self._asset = event.asset
        elif isinstance(event, Accepted):
            self._accept(event)
        elif isinstance(event, Filled):
            self._fill(event)
        elif isinstance(event, (Canceled, Expired)):
            if isinstance(event, Canceled) and self._open[event.order_id].strategy_id != EXTERNAL_STRATEGY:
                self._counts.orders_canceled += 1
            self._feed(
                "OrderCanceled" if isinstance(event, Canceled) else "OrderExpired", event.order_id, event.time_ms
            )
            self._end(event.order_id, event.time_ms)
        elif isinstance(event, Amended):
            changes = {"quantity": self._size(event.quantity), "price": self._price(event.price)}
            self._feed("OrderUpdated", event.order_id, event.time_ms, **changes)

    def end(self) -> PaperCounts:
        self._send_never_at_venue_before(None)
        self._results.finish()
        self._counts.fills_count = self._results.fills - self._counts.external_fills - self._counts.forced_fills
        self._counts.refused = self._results.refused
        self._counts.refused.requests = self._changes.refused()
        self._counts.never_submitted = self._results.unsent.never_submitted
        self._counts.orders_expired = self._results.outcomes.get("EXPIRED", 0)
        self._counts.orders_filled = self._results.outcomes.get("FILLED", 0)
        self._counts.reported = self._reported_orders.counters()
        return self._counts

    def _accept(self, event: Accepted) -> None:
        decoded_id = client_order_id(event.client_order_id)
        by_venue = decoded_id.startswith(FLATTEN_PREFIX)
        reported = None if by_venue else self._reported_orders.find(str(event.order_id), decoded_id)
        initialized = reported.initialized if reported else {}
        by_engine = reported is not None and not initialized.get("reconciliation")  # else it learned of it at the venue
        ts_created = reported.ts_created if reported and by_engine else event.time_ms * NS_PER_MS
        self._send_never_at_venue_before(ts_created)
        name = reported.client_order_id if reported else event.client_order_id if by_venue else decoded_id
        if self._results.is_unsent(name):  # a client may reuse an id after its order has ended
            name = f"{name}#{event.order_id}"
        is_external = not by_venue and not by_engine and not is_of_adapter(event.client_order_id)
        strategy_id = _strategy(initialized.get("strategy_id"), by_venue=by_venue, is_external=is_external)
        forced = forced_close_kind(event.client_order_id) if is_external else None
        self._open[event.order_id] = _OpenOrder(name, strategy_id, event.side, event.type, is_forced=forced is not None)
        self._changes.order_accepted(name)
        self._counts.by_venue += by_venue
        if forced:
            self._counts.count_forced_close(forced, name)
        elif is_external:
            self._counts.count_external(name)
        self._counts.unknown += reported is None and not by_venue and not is_external
        self._counts.orders_submitted += not by_venue and not is_external
        terms = self._terms(event, reported)
        self._results.order_event(self._event("OrderInitialized", name, strategy_id, ts_created) | terms)
        if reported and reported.released_as:
            self._release(name, strategy_id, reported)
        self._feed("OrderAccepted", event.order_id, event.time_ms)

    def _terms(self, event: Accepted, reported: ReportedOrder | None) -> dict[str, str | bool | None]:
        """The fields of an order's `OrderInitialized` that the ledger has; type and prices as before a release."""
        initialized = reported.initialized if reported else {}
        price = None if event.price is None else self._price(event.price)
        terms: dict[str, str | bool | None] = {
            "order_type": event.type,
            "order_side": event.side,
            "quantity": self._size(event.quantity),
            "price": price,
            "time_in_force": _time_in_force(event, initialized),
            "post_only": event.time_in_force == "GTX",
            "reduce_only": event.reduce_only,
        }
        if reported and reported.released_as:
            terms |= _terms_before_release(initialized, price)
        return terms

    def _release(self, name: str, strategy_id: str, order: ReportedOrder) -> None:
        """Events of an order that was emulated, then released as an order of another type."""
        base = self._event("OrderEmulated", name, strategy_id, order.ts_created)
        released = {"type": "OrderInitialized", "order_type": order.released_as}
        for fields in ({}, released, {"type": "OrderReleased"}):
            self._results.order_event({**base, **fields})

    def _fill(self, event: Filled) -> None:
        order = self._open[event.order_id]
        self._counts.forced_fills += order.is_forced
        self._counts.external_fills += order.strategy_id == EXTERNAL_STRATEGY and not order.is_forced
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
        if not self._results.is_unsent(order.name, open_only=True):
            self._end(event.order_id, event.time_ms)

    def _end(self, order_id: int, time_ms: int) -> None:
        self._changes.order_ended(self._open.pop(order_id).name, time_ms)

    def _feed(self, kind: str, order_id: int, time_ms: int, **fields: Any) -> None:
        order = self._open[order_id]
        event = self._event(kind, order.name, order.strategy_id, time_ms * NS_PER_MS)
        self._results.order_event(event | {"venue_order_id": str(order_id)} | fields)

    def _send_never_at_venue_before(self, ts_ns: int | None) -> None:
        """Orders missing in the ledger that were created until then; None: all remaining ones."""
        while (order := self._next_never_at_venue) is not None and (ts_ns is None or order.ts_created <= ts_ns):
            self._send_never_at_venue(order)
            self._next_never_at_venue = next(self._never_at_venue, None)

    def _send_never_at_venue(self, order: ReportedOrder) -> None:
        name = order.client_order_id
        base = self._event("OrderInitialized", name, order.initialized["strategy_id"], order.ts_created)
        self._results.order_event({**base, **order.initialized})
        if order.released_as:
            self._release(name, order.initialized["strategy_id"], order)
        if order.last_known != "INITIALIZED":
            kind = EVENT_OF_STATUS[order.last_known]
            self._results.order_event({**base, "type": kind, "ts_event": order.ts_last, "reason": order.reason})
        self._results.settle(name)
        self._counts.orders_submitted += order.submitted
        self._counts.orders_denied += order.last_known == "DENIED"
        self._counts.orders_rejected += order.last_known == "REJECTED"
        self._counts.orders_canceled += order.last_known == "CANCELED"
        if order.submitted and order.last_known != "REJECTED":
            self._counts.lost += 1
            self._counts.first_lost = self._counts.first_lost or name

    def _event(self, kind: str, name: str, strategy_id: str, ts_ns: int) -> dict[str, str | int | bool]:
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


def _strategy(reported: str | None, *, by_venue: bool, is_external: bool) -> str:
    """reported: by an engine; None without a report.

    An engine assigns an external order to the strategy that claims the instrument; the rows do not.
    """
    if by_venue:
        return VENUE_STRATEGY
    if is_external:
        return EXTERNAL_STRATEGY
    return reported or UNKNOWN_STRATEGY


def _terms_before_release(initialized: OrderEventFields, price: str | None) -> dict[str, str | bool | None]:
    """Type and prices of an emulated order. price: of the released one, which the strategy may have changed since."""
    price = initialized.get("price") if price is None else price
    return {"order_type": initialized["order_type"], "price": price, "trigger_price": initialized.get("trigger_price")}


def _time_in_force(event: Accepted, initialized: OrderEventFields) -> str:
    """As the engine has it: a post-only order is GTX at the venue, and GTC with a flag in the engine."""
    reported = initialized.get("time_in_force")
    if reported is not None:
        return str(reported)
    return "GTC" if event.time_in_force == "GTX" else event.time_in_force


def _in_decimals(value: Decimal, decimals: int) -> str:
    """In the instrument's decimals; every digit where the value has more."""
    shown = f"{value:.{decimals}f}"
    return shown if Decimal(shown) == value else f"{value:f}"
