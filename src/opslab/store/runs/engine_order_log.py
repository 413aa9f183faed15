"""Orders reported by the engines of a paper run, stored on disk until the run's results are made.

A scratch file beside the run, not an artifact: memory does not grow with the number of orders, and the reports survive
a killed control process. The venue's ledger has the outcome of an order; this log has its strategy, and the orders that
never reached the venue.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, cast

from pydantic_core import from_json, to_json

from opslab.errors import Unwritable
from opslab.model.messages.order_ids import is_generated
from opslab.model.run.order_status import CLOSED, LOCAL, STATUS_OF_EVENT, OrderStatus
from opslab.model.run.refused_orders import REQUEST_REJECTED
from opslab.model.run.results import OrderEventFields
from opslab.model.run.run_counters import OrderCounters
from opslab.store.files import make_folder

NAME = "engine-orders.sqlite"
_DECIDED_BY_ENGINE = frozenset(STATUS_OF_EVENT) - {"OrderInitialized", "OrderAccepted", "OrderTriggered"}
_ANSWERS = REQUEST_REJECTED | {"OrderUpdated"}
_CHANGING = ("quantity", "price", "trigger_price")
_SCHEMA = """
create table if not exists orders (
    number integer primary key,
    client_order_id text not null unique,
    venue_order_id text,
    initialized text not null,
    ts_created integer not null,
    last_known text not null,
    before_request text not null,
    submitted integer not null default 0,
    released_as text,
    ts_last integer not null,
    reason text,
    is_own integer not null, -- an engine created it; it did not learn of it at the venue
    quantity text,
    filled text not null default '0',
    fills integer not null default 0,
    outcome text,
    at_venue integer not null default 0
);
create index if not exists by_venue_order_id on orders (venue_order_id);
create index if not exists by_ts_created on orders (ts_created);
create table if not exists rejected_requests (
    number integer primary key,
    type text not null,
    client_order_id text not null,
    ts_event integer not null,
    reason text
);
"""


@dataclass(frozen=True, slots=True)
class ReportedOrder:
    """An order as its engine reported it."""

    client_order_id: str
    initialized: dict[str, Any]
    """The payload of its first `OrderInitialized`, with the changes before it was submitted."""
    ts_created: int
    last_known: str
    """Last status that the engine itself decided, without the venue's ledger."""
    submitted: bool
    """Whether the engine sent it to the venue."""
    released_as: str | None
    """Type of the order that replaced an emulated one when it was released."""
    ts_last: int
    reason: str | None
    """Reason of a denial or rejection."""


@dataclass(frozen=True, slots=True)
class RejectedRequest:
    """The rejection of a request to cancel or modify an order, as the engine reported it."""

    type: str
    client_order_id: str
    ts_event: int
    reason: str | None


def is_intact(folder: Path) -> bool:
    """Whether the stored log is readable: a crash of the machine can damage it."""
    if not (folder / NAME).is_file():
        return False
    try:
        with EngineOrderLog(folder) as orders:
            return orders.passes_check()
    except Unwritable:
        return False


class EngineOrderLog:
    """Call `order_event` with the payload of every order event, of all engines of the run. A context manager."""

    def __init__(self, folder: Path) -> None:
        """folder: scratch folder of the run, perhaps with reports to an earlier control process. Raises Unwritable."""
        make_folder(folder)
        with _storage_errors():
            self._file = sqlite3.connect(folder / NAME, isolation_level=None)
            self._file.execute("pragma journal_mode=wal")  # survives a killed process, not a crash of the machine
            self._file.execute("pragma synchronous=off")
            self._file.executescript(_SCHEMA)
            self._counts = self._stored_counts()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def passes_check(self) -> bool:
        with _storage_errors():
            row = self._file.execute("pragma quick_check(1)").fetchone()
            self._file.execute(f"select {_COLUMNS}, before_request from orders limit 1")  # of this version
        return bool(row) and row[0] == "ok"

    def order_event(self, payload: OrderEventFields) -> None:
        """The first report of an order counts: a later engine has its data from the venue."""
        kind, name = payload["type"], payload["client_order_id"]
        with _storage_errors():
            if kind == "OrderInitialized":
                self._initialized(payload)
            elif kind in _DECIDED_BY_ENGINE or kind in _ANSWERS:
                self._changed(payload)
            elif kind == "OrderFilled":
                self._filled(payload)
            if kind in REQUEST_REJECTED:
                self._file.execute(
                    "insert into rejected_requests (type, client_order_id, ts_event, reason) values (?, ?, ?, ?)",
                    (kind, name, payload["ts_event"], payload.get("reason")),
                )
            if payload.get("venue_order_id") is not None:
                self._file.execute(
                    "update orders set venue_order_id = ? where client_order_id = ? and venue_order_id is null",
                    (payload["venue_order_id"], name),
                )

    def _initialized(self, payload: OrderEventFields) -> None:
        """Store a new order, or the type of the order that the engine releases in place of an emulated one.

        One whose trigger is reached at once is released without an `OrderEmulated`.
        """
        name, ts = payload["client_order_id"], payload["ts_event"]
        if not payload.get("reconciliation"):
            self._file.execute(
                "update orders set released_as = ? where client_order_id = ?"
                " and last_known in ('INITIALIZED', 'EMULATED')"
                " and json_extract(initialized, '$.emulation_trigger') is not null",
                (payload.get("order_type"), name),
            )
        self._file.execute(
            "insert or ignore into orders"
            " (client_order_id, initialized, ts_created, last_known, before_request, ts_last, is_own, quantity)"
            " values (?, ?, ?, 'INITIALIZED', 'INITIALIZED', ?, ?, ?)",
            (name, to_json(payload).decode(), ts, ts, not payload.get("reconciliation"), payload.get("quantity")),
        )
        if payload.get("reconciliation"):  # a later engine reports the fills so far again
            self._file.execute("update orders set filled = '0' where client_order_id = ?", (name,))

    def _changed(self, payload: OrderEventFields) -> None:
        kind, name = payload["type"], payload["client_order_id"]
        row = self._file.execute(
            "select last_known, before_request, initialized, submitted, outcome, is_own from orders"
            " where client_order_id = ?",
            (name,),
        ).fetchone()
        if row is None:
            return
        status, (initialized, was_submitted, outcome, is_own) = OrderStatus(*row[:2]), row[2:]
        if kind == "OrderUpdated" and status.current in LOCAL:
            changes = {field: payload[field] for field in _CHANGING if payload.get(field) is not None}
            initialized = to_json(from_json(initialized) | changes).decode()
        status.apply(kind)
        is_submitted = kind == "OrderSubmitted"
        ended_as = status.current if status.current in CLOSED else None
        self._file.execute(
            "update orders set last_known = ?, before_request = ?, initialized = ?, ts_last = ?,"
            " reason = coalesce(?, reason), submitted = submitted or ?, quantity = coalesce(?, quantity),"
            " outcome = coalesce(outcome, ?) where client_order_id = ?",
            (
                status.current,
                status.before_request,
                initialized,
                payload["ts_event"],
                payload.get("reason") if status.current in ("DENIED", "REJECTED") else None,
                is_submitted,
                payload.get("quantity"),
                ended_as,
                name,
            ),
        )
        self._counts["submitted"] += bool(is_own and is_submitted and not was_submitted)
        self._count_end(ended_as, outcome, is_own=is_own)

    def _filled(self, payload: OrderEventFields) -> None:
        """A fill that is inferred from a later query to the venue may have been reported before."""
        name = payload["client_order_id"]
        row = self._file.execute(
            "select quantity, filled, outcome, is_own from orders where client_order_id = ?", (name,)
        ).fetchone()
        if row is None:
            return
        quantity, before, outcome, is_own = row
        filled = Decimal(before) + Decimal(payload["last_qty"])
        ended_as = "FILLED" if quantity is not None and filled >= Decimal(quantity) else None
        is_new = not payload.get("reconciliation")
        self._file.execute(
            "update orders set filled = ?, fills = fills + ?, outcome = coalesce(outcome, ?) where client_order_id = ?",
            (f"{filled:f}", is_new, ended_as, name),
        )
        self._counts["fills"] += bool(is_own and is_new)
        self._count_end(ended_as, outcome, is_own=is_own)

    def _count_end(self, status: str | None, before: str | None, *, is_own: bool) -> None:
        """The first end of an order counts: a later engine reports it again. before: its first end until now."""
        if status is not None and before is None and is_own:
            self._counts[status.lower()] += 1

    def _stored_counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        rows = self._file.execute(
            "select outcome, count(*), sum(submitted), sum(fills) from orders where is_own group by outcome"
        )
        for outcome, orders, submitted, fills in rows:
            counts.update({"submitted": submitted, "fills": fills, **({outcome.lower(): orders} if outcome else {})})
        return counts

    def counters(self) -> OrderCounters:
        """The orders of the engines by outcome, as they reported them, and their fills."""
        return OrderCounters(**self._counts)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction: for a caller that iterates over all orders."""
        with _storage_errors():
            self._file.execute("begin")
            try:
                yield
            except BaseException:
                self._file.execute("rollback")
                raise
            self._file.execute("commit")

    def mark_at_venue(self, venue_order_id: str, client_order_id: str) -> None:
        """Record that the ledger has this order, found by the venue's order id, else by the client order id."""
        row = self._row(venue_order_id, client_order_id)
        if row is not None:
            self._file.execute("update orders set at_venue = 1 where number = ?", (row[0],))

    def find(self, venue_order_id: str, client_order_id: str) -> ReportedOrder | None:
        """The report of an order of the ledger; None: no engine reported it."""
        row = self._row(venue_order_id, client_order_id)
        return None if row is None else _reported(row)

    def never_at_venue(self) -> Iterator[ReportedOrder]:
        """Orders that are not in the ledger, by creation time; call it after `mark_at_venue` for the whole ledger."""
        rows = self._file.execute(f"select {_COLUMNS} from orders where not at_venue order by ts_created, number")
        yield from map(_reported, rows)

    def rejected_requests(self) -> Iterator[RejectedRequest]:
        """Rejected requests to cancel or modify an order, in the order of their reports."""
        with _storage_errors():
            rows = self._file.execute(
                "select type, client_order_id, ts_event, reason from rejected_requests order by number"
            )
            yield from (RejectedRequest(*row) for row in rows)

    def ids_of_strategy(self) -> Iterator[str]:
        """Client order ids that the strategy itself chose; not those that an engine generated."""
        with _storage_errors():
            rows = self._file.execute("select client_order_id from orders where is_own")
            yield from (name for (name,) in rows if not is_generated(name))

    def _row(self, venue_order_id: str, client_order_id: str) -> tuple[Any, ...] | None:
        cursor = self._file.execute(f"select {_COLUMNS} from orders where venue_order_id = ?", (venue_order_id,))
        row = cursor.fetchone()
        if row is None:
            cursor = self._file.execute(
                f"select {_COLUMNS} from orders where client_order_id = ? and venue_order_id is null",
                (client_order_id,),
            )
            row = cursor.fetchone()
        return cast("tuple[Any, ...] | None", row)


_COLUMNS = "number, client_order_id, initialized, ts_created, last_known, submitted, released_as, ts_last, reason"


def _reported(row: tuple[Any, ...]) -> ReportedOrder:
    _, name, initialized, ts_created, last_known, submitted, released_as, ts_last, reason = row
    return ReportedOrder(
        name, from_json(initialized), ts_created, last_known, bool(submitted), released_as, ts_last, reason
    )


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unwritable(f"cannot store the engine's order reports: {error}") from error
