"""Account snapshot: positions, open orders and balances at one time.

A document that is not a snapshot is refused with every mistake. A snapshot may still lack parts or have values that
cannot be compared: each of them is an `Unjudged`, and nothing is ever filled in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from opslab.errors import Mistake, Usage
from opslab.model.primitives.canonical import digest_bytes
from opslab.model.primitives.ids import nearest
from opslab.reconciliation.document import dotted, parse
from opslab.reconciliation.result import Part, SnapshotSummary
from opslab.reconciliation.values import Judged, Unjudged, choice, exact_sum, instant, name, number, shown, text

VERSION = "v1"
MAX_ROWS = 10_000
MAX_MISTAKES = 100
"""Mistakes that are listed, of both files together; all are counted."""
POSITION_SIDES = ("LONG", "SHORT", "FLAT")
ORDER_SIDES = ("BUY", "SELL")
ORDER_TYPES = ("LIMIT", "MARKET")
ORDER_STATUSES = ("SUBMITTED", "ACCEPTED", "PARTIALLY_FILLED", "PENDING_UPDATE", "PENDING_CANCEL")
"""The engine's statuses of an open order; a venue's NEW is ACCEPTED."""


@dataclass(frozen=True, slots=True)
class Position:
    """One-way mode: one position for each instrument. An instrument that is not listed is flat."""

    instrument: str
    side: Judged[str]
    signed_quantity: Judged[Decimal]
    """Negative for a short position."""
    average_entry_price: Judged[Decimal | None]
    """None: flat."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    client_order_id: str
    instrument: Judged[str]
    side: Judged[str]
    type: Judged[str]
    quantity: Judged[Decimal]
    """Of the whole order, including the filled quantity."""
    filled_quantity: Judged[Decimal]
    price: Judged[Decimal | None]
    """None: a market order."""
    status: Judged[str]


@dataclass(frozen=True, slots=True)
class Balance:
    """Balance of one asset. `total` is the sum of `free` and `locked`. An asset that is not listed is zero."""

    asset: str
    total: Judged[Decimal]
    free: Judged[Decimal]
    locked: Judged[Decimal]


@dataclass(frozen=True, slots=True)
class Defect:
    """An invalid value in a part, outside of the rows that are compared."""

    subject: str
    field: str
    value: Unjudged


@dataclass(frozen=True, slots=True)
class Rows[T]:
    """One part. `size`: rows in the document, including those that `by_key` leaves out."""

    by_key: Mapping[str, T]
    size: int
    defects: tuple[Defect, ...] = ()
    duplicates: frozenset[str] = frozenset()
    """Keys that several rows have; `by_key` leaves these rows out."""
    has_unnamed: bool = False
    """Whether there are rows without a valid key: each may be the row of any key."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    digest: str
    as_of: str | None
    as_of_ns: Judged[int]
    positions: Judged[Rows[Position]]
    open_orders: Judged[Rows[OpenOrder]]
    balances: Judged[Rows[Balance]]

    def summary(self) -> SnapshotSummary:
        return SnapshotSummary(
            digest=self.digest,
            as_of=self.as_of,
            positions=_size(self.positions),
            open_orders=_size(self.open_orders),
            balances=_size(self.balances),
        )


class InvalidSnapshots(Usage):
    """Files that are not snapshots, with every mistake: field path and reason."""

    def __init__(self, mistakes: Mapping[str, Sequence[Mistake]]) -> None:
        """mistakes: file name to its mistakes."""
        every = [(file, mistake) for file, in_file in mistakes.items() for mistake in in_file]
        count = f"{len(every)} mistake{'s' if len(every) != 1 else ''}"
        invalid = [file for file, in_file in mistakes.items() if in_file]
        plural = "s" if len(invalid) > 1 else ""
        super().__init__(
            f"{' and '.join(invalid)}: {count} in the snapshot{plural}", hint="tc reconcile schema prints every field"
        )
        self.count = len(every)
        self.mistakes = every[:MAX_MISTAKES]
        self.lines = tuple(_line(file, mistake) for file, mistake in self.mistakes)

    def details(self) -> dict[str, object]:
        listed = [{"file": file, **mistake.as_dict()} for file, mistake in self.mistakes]
        return {"mistake_count": self.count, "mistakes": listed}


def read_snapshots(expected: tuple[str, bytes], observed: tuple[str, bytes]) -> tuple[Snapshot, Snapshot]:
    """Both snapshots, each from (file name, bytes). Raises InvalidSnapshots with every mistake of both."""
    left, left_mistakes = read_snapshot(expected[1])
    right, right_mistakes = read_snapshot(observed[1])
    if left is None or right is None:
        mistakes = {f"{expected[0]} (expected)": left_mistakes, f"{observed[0]} (observed)": right_mistakes}
        raise InvalidSnapshots(mistakes)
    return left, right


def read_snapshot(data: bytes) -> tuple[Snapshot | None, list[Mistake]]:
    """The snapshot in a JSON document, or every mistake of the document."""
    tree, mistakes = parse(data)
    if tree is not None or not mistakes:
        mistakes += shape_mistakes(tree)
    if mistakes:
        return None, mistakes
    return snapshot_of(tree, digest_bytes(data)), []


def snapshot_of(document: Mapping[str, Any], digest: str) -> Snapshot:
    """Read the values of a document that has no shape mistakes. Numbers are text, Decimal or int."""
    as_of = document.get("as_of")
    judged = instant(as_of)
    return Snapshot(
        digest=digest,
        as_of=shown(as_of) if isinstance(judged, Unjudged) else str(as_of),
        as_of_ns=judged,
        positions=_rows(document.get("positions"), "instrument", _position),
        open_orders=_rows(document.get("open_orders"), "client_order_id", _open_order),
        balances=_balances(document.get("balances")),
    )


def _rows[T](
    rows: Any, key: str, read_row: Callable[[str, Mapping[str, Any]], tuple[T, tuple[Defect, ...]]]
) -> Judged[Rows[T]]:
    if rows is None:
        return Unjudged("missing", None)
    by_key: dict[str, T] = {}
    defects: list[Defect] = []
    duplicates: set[str] = set()
    has_unnamed = False
    for row in rows:
        row_key = name(row.get(key))
        if isinstance(row_key, Unjudged):
            has_unnamed = True
            defects.append(Defect("", key, row_key))
        elif row_key in by_key or row_key in duplicates:
            duplicates.add(row_key)
            by_key.pop(row_key, None)
        else:
            by_key[row_key], row_defects = read_row(row_key, row)
            defects += row_defects
    defects = [defect for defect in defects if defect.subject not in duplicates]
    defects += [Defect(row_key, key, Unjudged("duplicate", row_key)) for row_key in sorted(duplicates)]
    return Rows(by_key, len(rows), tuple(defects), frozenset(duplicates), has_unnamed)


def _position(instrument: str, row: Mapping[str, Any]) -> tuple[Position, tuple[Defect, ...]]:
    side = choice(row.get("side"), POSITION_SIDES)
    quantity = number(row.get("signed_quantity"))
    if isinstance(side, str) and isinstance(quantity, Decimal) and side != _side_of(quantity):
        side = Unjudged("contradiction", f"{side} with {text(quantity)}")
        quantity = Unjudged("contradiction", side.shown)
    price = _entry_price(row, side)
    return Position(instrument, side, quantity, price), ()


def _side_of(signed: Decimal) -> str:
    return "FLAT" if signed == 0 else "LONG" if signed > 0 else "SHORT"


def _entry_price(row: Mapping[str, Any], side: Judged[str]) -> Judged[Decimal | None]:
    """A flat position has none: null, or zero as venues write it."""
    if "average_entry_price" not in row:
        return Unjudged("missing", None)
    value = row["average_entry_price"]
    if side == "FLAT" or isinstance(side, Unjudged):
        price = Decimal(0) if value is None else number(value, "not_negative")
        if isinstance(price, Unjudged) or not price:
            return price or None
        return Unjudged("contradiction", f"{text(price)} of a flat position") if side == "FLAT" else price
    return number(value, "positive")


def _open_order(client_order_id: str, row: Mapping[str, Any]) -> tuple[OpenOrder, tuple[Defect, ...]]:
    kind = choice(row.get("type"), ORDER_TYPES)
    quantity = number(row.get("quantity"), "positive")
    filled = number(row.get("filled_quantity"), "not_negative")
    if isinstance(quantity, Decimal) and isinstance(filled, Decimal) and filled >= quantity:
        quantity = filled = Unjudged("contradiction", f"{text(filled)} of {text(quantity)} filled, but open")
    return OpenOrder(
        client_order_id=client_order_id,
        instrument=name(row.get("instrument")),
        side=choice(row.get("side"), ORDER_SIDES),
        type=kind,
        quantity=quantity,
        filled_quantity=filled,
        price=_order_price(row, kind),
        status=choice(row.get("status"), ORDER_STATUSES),
    ), ()


def _order_price(row: Mapping[str, Any], kind: Judged[str]) -> Judged[Decimal | None]:
    value = row.get("price")
    if value is None and "price" in row and kind != "LIMIT":
        return None
    price = number(value, "positive")
    if kind == "MARKET" and isinstance(price, Decimal):
        return Unjudged("contradiction", f"{text(price)} of a market order")
    return price


def _balances(rows: Any) -> Judged[Rows[Balance]]:
    """Every account has a balance: an empty list is as incomplete as a missing one."""
    return Unjudged("missing", shown(rows)) if not rows else _rows(rows, "asset", _balance)


def _balance(asset: str, row: Mapping[str, Any]) -> tuple[Balance, tuple[Defect, ...]]:
    """A wrong sum is a defect; the three values are still compared."""
    total, free, locked = number(row.get("total")), number(row.get("free")), number(row.get("locked"), "not_negative")
    balance = Balance(asset, total, free, locked)
    if isinstance(total, Unjudged) or isinstance(free, Unjudged) or isinstance(locked, Unjudged):
        return balance, ()
    if total == exact_sum(free, locked):
        return balance, ()
    sums = f"{text(total)} is not {text(free)} + {text(locked)}"
    return balance, (Defect(asset, "total", Unjudged("contradiction", sums)),)


ROWS: dict[Part, tuple[str, ...]] = {
    "positions": tuple(field.name for field in fields(Position)),
    "open_orders": tuple(field.name for field in fields(OpenOrder)),
    "balances": tuple(field.name for field in fields(Balance)),
}
KEYS = ("snapshot_version", "as_of", *ROWS)


def shape_mistakes(tree: Any) -> list[Mistake]:
    """Mistakes in the version, the keys and the types of the parts. Values are not checked."""
    if not isinstance(tree, Mapping):
        return [Mistake("is not an object; a snapshot starts with 'snapshot_version'")]
    mistakes = [_unknown(key, KEYS, (key,)) for key in tree if key not in KEYS]
    version = tree.get("snapshot_version")
    if version != VERSION or not isinstance(version, str):
        got = f", got {shown(version)}" if "snapshot_version" in tree else ""
        mistakes.append(Mistake(f"must be {VERSION!r}{got}", field="snapshot_version"))
    for part, known in ROWS.items():
        rows = tree.get(part)
        if rows is None:
            continue
        if not isinstance(rows, (list, tuple)):
            mistakes.append(Mistake("must be a list of rows, or null if unknown", field=part))
            continue
        if len(rows) > MAX_ROWS:
            mistakes.append(Mistake(f"has {len(rows)} rows; the maximum is {MAX_ROWS}", field=part))
            continue
        for index, row in enumerate(rows):
            if isinstance(row, Mapping):
                mistakes += [_unknown(key, known, (part, index, key)) for key in row if key not in known]
            else:
                mistakes.append(Mistake("must be an object", field=dotted((part, index))))
    return mistakes


def _unknown(key: str, known: Sequence[str], path: tuple[str | int, ...]) -> Mistake:
    close = nearest(key[:64], known, 1)
    guess = f" (did you mean '{close[0]}'?)" if close else ""
    return Mistake(f"unknown field{guess}; known here: {', '.join(known)}", field=dotted(path))


def _line(file: str, mistake: Mistake) -> str:
    location = ":".join(str(part) for part in (file, mistake.line, mistake.column) if part is not None)
    field = f"{mistake.field}: " if mistake.field else ""
    return f"{location}: {field}{mistake.message}"


def _size(rows: Judged[Rows[Any]]) -> int | None:
    return None if isinstance(rows, Unjudged) else rows.size
