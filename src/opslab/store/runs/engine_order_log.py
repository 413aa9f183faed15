"""Orders reported by the engines of a paper run, stored on disk until the run's results are made.

A scratch file beside the run, not an artifact: memory does not grow with the number of orders, and the reports survive
a killed control process. The venue's ledger has the outcome of an order; this log has its strategy, and the orders that
never reached the venue.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic_core import from_json, to_json

from opslab.errors import Unwritable
from opslab.store.files import make_folder

NAME = "engine-orders.sqlite"
LastKnown = Literal["INITIALIZED", "SUBMITTED", "DENIED", "REJECTED"]
_LAST_KNOWN: dict[str, LastKnown] = {
    "OrderSubmitted": "SUBMITTED",
    "OrderDenied": "DENIED",
    "OrderRejected": "REJECTED",
}
_SCHEMA = """
create table if not exists orders (
    number integer primary key,
    client_order_id text not null unique,
    venue_order_id text,
    initialized text not null,
    ts_created integer not null,
    last_known text not null,
    ts_last integer not null,
    reason text,
    at_venue integer not null default 0
);
create index if not exists by_venue_order_id on orders (venue_order_id);
create index if not exists by_ts_created on orders (ts_created);
"""


@dataclass(frozen=True, slots=True)
class ReportedOrder:
    """An order as its engine reported it."""

    client_order_id: str
    initialized: dict[str, Any]
    """The payload of its `OrderInitialized`."""
    ts_created: int
    last_known: LastKnown
    """Last status that the engine itself decided, without the venue's ledger."""
    ts_last: int
    reason: str | None
    """Reason of a denial or rejection."""


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def passes_check(self) -> bool:
        with _storage_errors():
            row = self._file.execute("pragma quick_check(1)").fetchone()
        return bool(row) and row[0] == "ok"

    def order_event(self, payload: Mapping[str, Any]) -> None:
        """The first report of an order counts: a later engine has its data from the venue."""
        kind, name, ts = payload["type"], payload["client_order_id"], payload["ts_event"]
        with _storage_errors():
            if kind == "OrderInitialized":
                initialized = to_json(payload).decode()
                values = (name, initialized, ts, "INITIALIZED", ts)
                self._file.execute(
                    "insert or ignore into orders (client_order_id, initialized, ts_created, last_known, ts_last)"
                    " values (?, ?, ?, ?, ?)",
                    values,
                )
            elif kind in _LAST_KNOWN:
                self._file.execute(
                    "update orders set last_known = ?, ts_last = ?, reason = ? where client_order_id = ?",
                    (_LAST_KNOWN[kind], ts, payload.get("reason"), name),
                )
            if payload.get("venue_order_id") is not None:
                self._file.execute(
                    "update orders set venue_order_id = ? where client_order_id = ? and venue_order_id is null",
                    (payload["venue_order_id"], name),
                )

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


_COLUMNS = "number, client_order_id, initialized, ts_created, last_known, ts_last, reason"


def _reported(row: tuple[Any, ...]) -> ReportedOrder:
    _, name, initialized, ts_created, last_known, ts_last, reason = row
    return ReportedOrder(name, from_json(initialized), ts_created, last_known, ts_last, reason)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unwritable(f"cannot store the engine's order reports: {error}") from error
