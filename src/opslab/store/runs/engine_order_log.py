"""What the engines of a paper run told of their orders, kept on disk until the run's results are made.

A scratch file beside the run, not an artifact: memory does not grow with the orders, and what was told outlives a
control that is killed. The venue's ledger says what became of an order; this says who made it, and which orders never
reached the venue.
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
create table if not exists told (
    number integer primary key,
    client_order_id text not null unique,
    venue_order_id text,
    made text not null,
    ts_made integer not null,
    last_known text not null,
    ts_last integer not null,
    reason text,
    at_venue integer not null default 0
);
create index if not exists by_venue_order_id on told (venue_order_id);
create index if not exists by_ts_made on told (ts_made);
"""


@dataclass(frozen=True, slots=True)
class ReportedOrder:
    """An order as its engine told of it."""

    client_order_id: str
    made: dict[str, Any]
    """The payload of its `OrderInitialized`."""
    ts_made: int
    last_known: LastKnown
    """What the engine knew of it, as far as that needs no venue."""
    ts_last: int
    reason: str | None
    """Why it was denied or rejected."""


def is_intact(folder: Path) -> bool:
    """Whether what was kept there can be read: it may be torn when the machine died with who wrote it."""
    if not (folder / NAME).is_file():
        return False
    try:
        with EngineOrderLog(folder) as orders:
            return orders.passes_check()
    except Unwritable:
        return False


class EngineOrderLog:
    """Feed it the payload of every `order_event` as it comes, those of all engines of the run. `with` closes it."""

    def __init__(self, folder: Path) -> None:
        """folder: the run's scratch. What an earlier control was told stands there still. Raises Unwritable."""
        make_folder(folder)
        with _keeping():
            self._file = sqlite3.connect(folder / NAME, isolation_level=None)
            self._file.execute("pragma journal_mode=wal")  # survives a killed process; the machine's death is another
            self._file.execute("pragma synchronous=off")
            self._file.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def passes_check(self) -> bool:
        with _keeping():
            found = self._file.execute("pragma quick_check(1)").fetchone()
        return bool(found) and found[0] == "ok"

    def order_event(self, payload: Mapping[str, Any]) -> None:
        """The first word on an order counts: what a later engine tells of it comes from the venue."""
        kind, name, ts = payload["type"], payload["client_order_id"], payload["ts_event"]
        with _keeping():
            if kind == "OrderInitialized":
                made = to_json(payload).decode()
                values = (name, made, ts, "INITIALIZED", ts)
                self._file.execute(
                    "insert or ignore into told (client_order_id, made, ts_made, last_known, ts_last)"
                    " values (?, ?, ?, ?, ?)",
                    values,
                )
            elif kind in _LAST_KNOWN:
                self._file.execute(
                    "update told set last_known = ?, ts_last = ?, reason = ? where client_order_id = ?",
                    (_LAST_KNOWN[kind], ts, payload.get("reason"), name),
                )
            if payload.get("venue_order_id") is not None:
                self._file.execute(
                    "update told set venue_order_id = ? where client_order_id = ? and venue_order_id is null",
                    (payload["venue_order_id"], name),
                )

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Everything inside is one step on disk: for a caller who goes through all orders."""
        with _keeping():
            self._file.execute("begin")
            try:
                yield
            except BaseException:
                self._file.execute("rollback")
                raise
            self._file.execute("commit")

    def mark_at_venue(self, venue_order_id: str, client_order_id: str) -> None:
        """The ledger has this order: by the venue's number as it was told, else by the engine's id."""
        row = self._row(venue_order_id, client_order_id)
        if row is not None:
            self._file.execute("update told set at_venue = 1 where number = ?", (row[0],))

    def find(self, venue_order_id: str, client_order_id: str) -> ReportedOrder | None:
        """What was told of an order of the ledger; None: nothing."""
        row = self._row(venue_order_id, client_order_id)
        return None if row is None else _told(row)

    def never_at_venue(self) -> Iterator[ReportedOrder]:
        """Orders that the ledger does not have, by when they were made; to be asked when all of it was gone through."""
        rows = self._file.execute(f"select {_COLUMNS} from told where not at_venue order by ts_made, number")
        yield from map(_told, rows)

    def _row(self, venue_order_id: str, client_order_id: str) -> tuple[Any, ...] | None:
        found = self._file.execute(f"select {_COLUMNS} from told where venue_order_id = ?", (venue_order_id,))
        row = found.fetchone()
        if row is None:
            found = self._file.execute(
                f"select {_COLUMNS} from told where client_order_id = ? and venue_order_id is null", (client_order_id,)
            )
            row = found.fetchone()
        return cast("tuple[Any, ...] | None", row)


_COLUMNS = "number, client_order_id, made, ts_made, last_known, ts_last, reason"


def _told(row: tuple[Any, ...]) -> ReportedOrder:
    _, name, made, ts_made, last_known, ts_last, reason = row
    return ReportedOrder(name, from_json(made), ts_made, last_known, ts_last, reason)


@contextmanager
def _keeping() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unwritable(f"cannot keep what the engine tells of its orders: {error}") from error
