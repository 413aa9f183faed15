"""Snapshot documents for tests: a complete one, arbitrary valid and corrupted ones, and their comparison."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from opslab.model.primitives.instant import parse_iso
from opslab.reconciliation.compare import compare
from opslab.reconciliation.result import Limits, ReconciliationFinding, ReconciliationResult, conclude
from opslab.reconciliation.snapshot import ORDER_STATUSES, Snapshot, read_snapshot

INSTRUMENT = "BTCUSDT"
AS_OF = "2025-05-04T12:00:00.000000Z"
NOW_NS = parse_iso(AS_OF) + 1_000_000_000
Document = dict[str, Any]

COMPLETE_DOCUMENT: Document = {
    "snapshot_version": "v1",
    "as_of": AS_OF,
    "positions": [
        {"instrument": INSTRUMENT, "side": "LONG", "signed_quantity": "0.005", "average_entry_price": "60012.3"},
    ],
    "open_orders": [
        {
            "client_order_id": "A-1",
            "instrument": INSTRUMENT,
            "side": "BUY",
            "type": "LIMIT",
            "quantity": "0.010",
            "filled_quantity": "0.004",
            "price": "59900.0",
            "status": "PARTIALLY_FILLED",
        },
        {
            "client_order_id": "A-2",
            "instrument": INSTRUMENT,
            "side": "SELL",
            "type": "MARKET",
            "quantity": "0.005",
            "filled_quantity": "0",
            "price": None,
            "status": "ACCEPTED",
        },
    ],
    "balances": [{"asset": "USDT", "total": "100", "free": "90", "locked": "10"}],
}


def complete_document(**changes: Any) -> Document:
    return {**deepcopy(COMPLETE_DOCUMENT), **changes}


def document_with(path: Sequence[str | int], value: Any) -> Document:
    """The complete document with one value changed."""
    document: Any = complete_document()
    container = document
    for part in path[:-1]:
        container = container[part]
    container[path[-1]] = value
    return document  # type: ignore[no-any-return]


def document_without(path: Sequence[str | int]) -> Document:
    document: Any = complete_document()
    container = document
    for part in path[:-1]:
        container = container[part]
    del container[path[-1]]
    return document  # type: ignore[no-any-return]


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def snapshot(document: object) -> Snapshot:
    result, mistakes = read_snapshot(encoded(document))
    assert result, [mistake.as_dict() for mistake in mistakes]
    return result


def is_snapshot(document: object) -> bool:
    return read_snapshot(encoded(document))[0] is not None


def compare_documents(
    expected: object, observed: object, *, instrument: str = INSTRUMENT, now_ns: int = NOW_NS, **limits: Any
) -> list[ReconciliationFinding]:
    return compare(snapshot(expected), snapshot(observed), instrument, Limits(**limits), now_ns)


def conclude_findings(findings: Sequence[ReconciliationFinding]) -> ReconciliationResult:
    summary = snapshot(COMPLETE_DOCUMENT).summary()
    return conclude(
        findings,
        run_id="r1",
        instrument=INSTRUMENT,
        checked_at=AS_OF,
        expected=summary,
        observed=summary,
        limits=Limits(),
    )


def problems(findings: Sequence[ReconciliationFinding]) -> list[tuple[str, str, str, str]]:
    """(part, subject, field, reason) of each finding that is not ok, worst first."""
    ordered = conclude_findings(findings).findings
    return [(row.part, row.subject, row.field, row.reason) for row in ordered if row.state != "ok"]


def state_of(findings: Sequence[ReconciliationFinding]) -> str:
    return conclude_findings(findings).state


def _text(value: Decimal) -> str:
    return f"{value:f}"


amounts = st.decimals("0.001", "100000", places=3)
ids = st.text("abcXYZ019._-", min_size=1, max_size=12)


@st.composite
def positions(draw: st.DrawFn) -> list[Document]:
    side = draw(st.sampled_from(["LONG", "SHORT", "FLAT", ""]))
    if not side:
        return []
    quantity = draw(amounts)
    signed = {"LONG": quantity, "SHORT": -quantity, "FLAT": Decimal(0)}[side]
    price = None if side == "FLAT" else _text(draw(amounts))
    return [
        {"instrument": INSTRUMENT, "side": side, "signed_quantity": _text(signed), "average_entry_price": price},
    ]


@st.composite
def orders(draw: st.DrawFn, client_order_id: str) -> Document:
    kind = draw(st.sampled_from(["LIMIT", "MARKET"]))
    quantity = draw(amounts)
    return {
        "client_order_id": client_order_id,
        "instrument": INSTRUMENT,
        "side": draw(st.sampled_from(["BUY", "SELL"])),
        "type": kind,
        "quantity": _text(quantity),
        "filled_quantity": draw(st.sampled_from(["0", _text(quantity - Decimal("0.001"))])),
        "price": _text(draw(amounts)) if kind == "LIMIT" else None,
        "status": draw(st.sampled_from(ORDER_STATUSES)),
    }


@st.composite
def balances(draw: st.DrawFn, asset: str) -> Document:
    free, locked = draw(amounts), draw(amounts)
    return {"asset": asset, "total": _text(free + locked), "free": _text(free), "locked": _text(locked)}


@st.composite
def valid_documents(draw: st.DrawFn) -> Document:
    """Any valid snapshot."""
    order_ids = draw(st.lists(ids, unique=True, max_size=4))
    assets = draw(st.lists(st.sampled_from(["USDT", "BNB", "BTC"]), unique=True, min_size=1))
    return {
        "snapshot_version": "v1",
        "as_of": AS_OF,
        "positions": draw(positions()),
        "open_orders": [draw(orders(client_order_id)) for client_order_id in order_ids],
        "balances": [draw(balances(asset)) for asset in assets],
    }


arbitrary_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "Infinity", "-0", "1E+999999", "1e-999999", "0" * 70, "LONG", "BUY", "LIMIT", AS_OF]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def value_paths(document: Mapping[str, Any]) -> list[tuple[str | int, ...]]:
    """Paths of the values of all rows."""
    return [
        (part, index, name)
        for part in ("positions", "open_orders", "balances")
        for index, row in enumerate(document[part])
        for name in row
    ]


@st.composite
def corrupted_documents(draw: st.DrawFn) -> Document:
    """A snapshot with some values, rows or parts replaced or removed."""
    document = draw(valid_documents())
    for path in draw(st.lists(st.sampled_from([("as_of",), ("positions",), ("balances",), *value_paths(document)]))):
        container: Any = document
        try:
            for part in path[:-1]:
                container = container[part]
            if draw(st.booleans()):
                container[path[-1]] = draw(arbitrary_json)
            else:
                del container[path[-1]]
        except (KeyError, IndexError, TypeError):  # its parent was corrupted before
            continue
    return document
