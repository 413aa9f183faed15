"""An account at an instant, as somebody says it was: positions, open orders, balances.

A document that is no snapshot is refused, with every mistake. One that is may still lack parts or hold values that
cannot be compared: an `Unjudged` then stands in their place, and nothing is ever filled in.
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
from opslab.reconciliation.values import Judged, Unjudged, instant, name, number, shown, text, total, word

VERSION = "v1"
MAX_ROWS = 10_000
MAX_MISTAKES = 100
"""That are listed, of both files together; all are counted."""
POSITION_SIDES = ("LONG", "SHORT", "FLAT")
ORDER_SIDES = ("BUY", "SELL")
ORDER_TYPES = ("LIMIT", "MARKET")
ORDER_STATUSES = ("SUBMITTED", "ACCEPTED", "PARTIALLY_FILLED", "PENDING_UPDATE", "PENDING_CANCEL")
"""Of an open order, in the engine's words; a venue's NEW is ACCEPTED."""


@dataclass(frozen=True, slots=True)
class Position:
    """One-way: one for each instrument. An instrument that is not listed is flat."""

    instrument: str
    side: Judged[str]
    signed_quantity: Judged[Decimal]
    """Negative is short."""
    average_entry_price: Judged[Decimal | None]
    """None: flat."""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    client_order_id: str
    instrument: Judged[str]
    side: Judged[str]
    type: Judged[str]
    quantity: Judged[Decimal]
    """The whole of it, what was filled included."""
    filled_quantity: Judged[Decimal]
    price: Judged[Decimal | None]
    """None: a market order."""
    status: Judged[str]


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one asset. `total` is `free` and `locked` together. An asset that is not listed is zero."""

    asset: str
    total: Judged[Decimal]
    free: Judged[Decimal]
    locked: Judged[Decimal]


@dataclass(frozen=True, slots=True)
class Defect:
    """Something in a part that cannot be judged, and is no value of a row that is compared."""

    subject: str
    field: str
    why: Unjudged


@dataclass(frozen=True, slots=True)
class Rows[T]:
    """One part. `size`: rows of the document, those left out of `by_key` included."""

    by_key: Mapping[str, T]
    size: int
    defects: tuple[Defect, ...] = ()
    duplicates: frozenset[str] = frozenset()
    """Keys of several rows, which are in none of `by_key`."""
    unnamed: bool = False
    """Whether there are rows whose key cannot be told: any key may be one of theirs."""


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
    """Files that are no snapshots, each with what is wrong: field path and reason."""

    def __init__(self, mistakes: Mapping[str, Sequence[Mistake]]) -> None:
        """mistakes: by the name of the file."""
        every = [(file, mistake) for file, found in mistakes.items() for mistake in found]
        count = f"{len(every)} mistake{'s' if len(every) != 1 else ''}"
        wrong = [file for file, found in mistakes.items() if found]
        super().__init__(f"{' and '.join(wrong)}: {count}: no snapshot", hint="tc reconcile schema prints every field")
        self.count = len(every)
        self.mistakes = every[:MAX_MISTAKES]
        self.lines = tuple(_line(file, mistake) for file, mistake in self.mistakes)

    def details(self) -> dict[str, object]:
        listed = [{"file": file, **mistake.as_dict()} for file, mistake in self.mistakes]
        return {"mistake_count": self.count, "mistakes": listed}


def read_snapshots(expected: tuple[str, bytes], observed: tuple[str, bytes]) -> tuple[Snapshot, Snapshot]:
    """The two, from (name of the file, its bytes). Raises InvalidSnapshots with every mistake of both."""
    (one, one_mistakes), (two, two_mistakes) = read_snapshot(expected[1]), read_snapshot(observed[1])
    if one is None or two is None:
        mistakes = {f"{expected[0]} (expected)": one_mistakes, f"{observed[0]} (observed)": two_mistakes}
        raise InvalidSnapshots(mistakes)
    return one, two


def read_snapshot(data: bytes) -> tuple[Snapshot | None, list[Mistake]]:
    """The snapshot that a JSON document is, or every mistake that keeps it from being one."""
    tree, mistakes = parse(data)
    if tree is not None or not mistakes:
        mistakes += shape_mistakes(tree)
    if mistakes:
        return None, mistakes
    return snapshot_of(tree, digest_bytes(data)), []


def snapshot_of(document: Mapping[str, Any], digest: str) -> Snapshot:
    """Judge the values of a document without shape mistakes. Numbers are text, Decimal or int."""
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
    found: Any, key: str, read: Callable[[str, Mapping[str, Any]], tuple[T, tuple[Defect, ...]]]
) -> Judged[Rows[T]]:
    if found is None:
        return Unjudged("missing", None)
    by_key: dict[str, T] = {}
    defects: list[Defect] = []
    duplicates: set[str] = set()
    unnamed = False
    for row in found:
        named = name(row.get(key))
        if isinstance(named, Unjudged):
            unnamed = True
            defects.append(Defect("", key, named))
        elif named in by_key or named in duplicates:
            duplicates.add(named)
            by_key.pop(named, None)
        else:
            by_key[named], more = read(named, row)
            defects += more
    defects = [defect for defect in defects if defect.subject not in duplicates]
    defects += [Defect(named, key, Unjudged("duplicate", named)) for named in sorted(duplicates)]
    return Rows(by_key, len(found), tuple(defects), frozenset(duplicates), unnamed)


def _position(instrument: str, row: Mapping[str, Any]) -> tuple[Position, tuple[Defect, ...]]:
    side = word(row.get("side"), POSITION_SIDES)
    quantity = number(row.get("signed_quantity"))
    if isinstance(side, str) and isinstance(quantity, Decimal) and side != _side_of(quantity):
        side = Unjudged("contradiction", f"{side} with {text(quantity)}")
        quantity = Unjudged("contradiction", side.shown)
    price = _entry_price(row, side)
    return Position(instrument, side, quantity, price), ()


def _side_of(signed: Decimal) -> str:
    return "FLAT" if signed == 0 else "LONG" if signed > 0 else "SHORT"


def _entry_price(row: Mapping[str, Any], side: Judged[str]) -> Judged[Decimal | None]:
    """A flat position has none; null or zero, as venues write it."""
    if "average_entry_price" not in row:
        return Unjudged("missing", None)
    found = row["average_entry_price"]
    if side == "FLAT" or isinstance(side, Unjudged):
        price = Decimal(0) if found is None else number(found, "not_negative")
        if isinstance(price, Unjudged) or not price:
            return price or None
        return Unjudged("contradiction", f"{text(price)} though flat") if side == "FLAT" else price
    return number(found, "positive")


def _open_order(client_order_id: str, row: Mapping[str, Any]) -> tuple[OpenOrder, tuple[Defect, ...]]:
    kind = word(row.get("type"), ORDER_TYPES)
    quantity = number(row.get("quantity"), "positive")
    filled = number(row.get("filled_quantity"), "not_negative")
    if isinstance(quantity, Decimal) and isinstance(filled, Decimal) and filled >= quantity:
        quantity = filled = Unjudged("contradiction", f"{text(filled)} of {text(quantity)} filled, and open")
    return OpenOrder(
        client_order_id=client_order_id,
        instrument=name(row.get("instrument")),
        side=word(row.get("side"), ORDER_SIDES),
        type=kind,
        quantity=quantity,
        filled_quantity=filled,
        price=_order_price(row, kind),
        status=word(row.get("status"), ORDER_STATUSES),
    ), ()


def _order_price(row: Mapping[str, Any], kind: Judged[str]) -> Judged[Decimal | None]:
    found = row.get("price")
    if found is None and "price" in row and kind != "LIMIT":
        return None
    price = number(found, "positive")
    if kind == "MARKET" and isinstance(price, Decimal):
        return Unjudged("contradiction", f"{text(price)} of a market order")
    return price


def _balances(found: Any) -> Judged[Rows[Balance]]:
    """No account is without a balance: an empty list says as little as none."""
    return Unjudged("missing", shown(found)) if not found else _rows(found, "asset", _balance)


def _balance(asset: str, row: Mapping[str, Any]) -> tuple[Balance, tuple[Defect, ...]]:
    """A sum that does not add up is a defect, and leaves the three to be compared."""
    whole, free, locked = number(row.get("total")), number(row.get("free")), number(row.get("locked"), "not_negative")
    balance = Balance(asset, whole, free, locked)
    if isinstance(whole, Unjudged) or isinstance(free, Unjudged) or isinstance(locked, Unjudged):
        return balance, ()
    if whole == total(free, locked):
        return balance, ()
    sums = f"{text(whole)} is not {text(free)} and {text(locked)}"
    return balance, (Defect(asset, "total", Unjudged("contradiction", sums)),)


ROWS: dict[Part, tuple[str, ...]] = {
    "positions": tuple(field.name for field in fields(Position)),
    "open_orders": tuple(field.name for field in fields(OpenOrder)),
    "balances": tuple(field.name for field in fields(Balance)),
}
KEYS = ("snapshot_version", "as_of", *ROWS)


def shape_mistakes(tree: Any) -> list[Mistake]:
    """Why a document is no snapshot: its version, its keys, the kinds of its parts. Values are not looked at."""
    if not isinstance(tree, Mapping):
        return [Mistake("is not an object; a snapshot begins with 'snapshot_version'")]
    mistakes = [_unknown(key, KEYS, (key,)) for key in tree if key not in KEYS]
    version = tree.get("snapshot_version")
    if version != VERSION or not isinstance(version, str):
        got = f", got {shown(version)}" if "snapshot_version" in tree else ""
        mistakes.append(Mistake(f"must be {VERSION!r}{got}", field="snapshot_version"))
    for part, known in ROWS.items():
        found = tree.get(part)
        if found is None:
            continue
        if not isinstance(found, (list, tuple)):
            mistakes.append(Mistake("must be a list of rows, or null when it is not known", field=part))
            continue
        if len(found) > MAX_ROWS:
            mistakes.append(Mistake(f"has {len(found)} rows; at most {MAX_ROWS} are compared", field=part))
            continue
        for index, row in enumerate(found):
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
    place = ":".join(str(part) for part in (file, mistake.line, mistake.column) if part is not None)
    field = f"{mistake.field}: " if mistake.field else ""
    return f"{place}: {field}{mistake.message}"


def _size(rows: Judged[Rows[Any]]) -> int | None:
    return None if isinstance(rows, Unjudged) else rows.size
