"""Snapshot documents for tests: one that is whole, any that could be, and what a comparison makes of two."""

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

WHOLE: Document = {
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


def whole(**changes: Any) -> Document:
    return {**deepcopy(WHOLE), **changes}


def with_value(path: Sequence[str | int], value: Any) -> Document:
    """The whole document with one value changed."""
    document: Any = whole()
    at = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return document  # type: ignore[no-any-return]


def without(path: Sequence[str | int]) -> Document:
    document: Any = whole()
    at = document
    for part in path[:-1]:
        at = at[part]
    del at[path[-1]]
    return document  # type: ignore[no-any-return]


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def snapshot(document: object) -> Snapshot:
    found, mistakes = read_snapshot(encoded(document))
    assert found, [mistake.as_dict() for mistake in mistakes]
    return found


def is_snapshot(document: object) -> bool:
    return read_snapshot(encoded(document))[0] is not None


def compared(
    expected: object, observed: object, *, instrument: str = INSTRUMENT, now_ns: int = NOW_NS, **limits: Any
) -> list[ReconciliationFinding]:
    return compare(snapshot(expected), snapshot(observed), instrument, Limits(**limits), now_ns)


def concluded(findings: Sequence[ReconciliationFinding]) -> ReconciliationResult:
    one = snapshot(WHOLE).summary()
    return conclude(
        findings,
        run_id="r1",
        instrument=INSTRUMENT,
        checked_at=AS_OF,
        expected=one,
        observed=one,
        limits=Limits(),
    )


def told(findings: Sequence[ReconciliationFinding]) -> list[tuple[str, str, str, str]]:
    """(part, subject, field, reason) of all that is not ok, worst first."""
    ordered = concluded(findings).findings
    return [(one.part, one.subject, one.field, one.reason) for one in ordered if one.state != "ok"]


def state(findings: Sequence[ReconciliationFinding]) -> str:
    return concluded(findings).state


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
def documents(draw: st.DrawFn) -> Document:
    """Any snapshot in good order."""
    order_ids = draw(st.lists(ids, unique=True, max_size=4))
    assets = draw(st.lists(st.sampled_from(["USDT", "BNB", "BTC"]), unique=True, min_size=1))
    return {
        "snapshot_version": "v1",
        "as_of": AS_OF,
        "positions": draw(positions()),
        "open_orders": [draw(orders(client_order_id)) for client_order_id in order_ids],
        "balances": [draw(balances(asset)) for asset in assets],
    }


wild = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "Infinity", "-0", "1E+999999", "1e-999999", "0" * 70, "LONG", "BUY", "LIMIT", AS_OF]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def leaves(document: Mapping[str, Any]) -> list[tuple[str | int, ...]]:
    """Paths of all values of rows."""
    return [
        (part, index, name)
        for part in ("positions", "open_orders", "balances")
        for index, row in enumerate(document[part])
        for name in row
    ]


@st.composite
def spoiled(draw: st.DrawFn) -> Document:
    """A snapshot of which some values, rows or parts are something else, or gone."""
    document = draw(documents())
    for path in draw(st.lists(st.sampled_from([("as_of",), ("positions",), ("balances",), *leaves(document)]))):
        at: Any = document
        try:
            for part in path[:-1]:
                at = at[part]
            if draw(st.booleans()):
                at[path[-1]] = draw(wild)
            else:
                del at[path[-1]]
        except (KeyError, IndexError, TypeError):  # its parent was spoiled before
            continue
    return document
