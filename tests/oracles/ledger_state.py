"""What a venue's ledger comes to, as a reader of its own adds it up, and whether a node says the same."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nautilus_trader.adapters.binance import decode_binance_futures_client_order_id

from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, Opened

CLAIMS = "S-001"
"""The strategy that the node gives what it finds at the venue."""
_ENTRY_OFF = 1e-9
"""As far as a price that the engine keeps in a float may be off, relatively."""


def plain(client_order_id: str) -> str:
    """As the engine knows it: the adapter puts something before it on its way to the venue."""
    return decode_binance_futures_client_order_id(client_order_id)


@dataclass(slots=True)
class Standing:
    """What a ledger's events come to, as a reader of its own adds them up."""

    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    """All that were accepted, by number, with what became of them."""
    trades: dict[int, Filled] = field(default_factory=dict)
    wallet: Decimal = Decimal(0)
    position: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)

    @property
    def open(self) -> dict[int, dict[str, Any]]:
        return {
            number: order for number, order in self.orders.items() if order["status"] in ("NEW", "PARTIALLY_FILLED")
        }

    @property
    def entry(self) -> Decimal | None:
        """Price that the position was entered at, on average."""
        return self.cost / self.position if self.position else None


def standing(events: Iterable[LedgerEvent]) -> Standing:
    found = Standing()
    for event in events:
        match event:
            case Opened():
                found.wallet = event.balance
            case Accepted():
                found.orders[event.order_id] = {**event.model_dump(), "filled": Decimal(0), "status": "NEW"}
            case Filled():
                order = found.orders[event.order_id]
                order["filled"] += event.quantity
                order["status"] = "FILLED" if order["filled"] == order["quantity"] else "PARTIALLY_FILLED"
                found.trades[event.trade_id] = event
                found.wallet, found.position, found.cost = event.wallet, event.position, event.cost
                found.fees += event.fee
            case Amended():
                found.orders[event.order_id] |= {"quantity": event.quantity, "price": event.price}
            case Canceled():
                found.orders[event.order_id]["status"] = "CANCELED"
            case Expired():
                found.orders[event.order_id]["status"] = "EXPIRED"
    return found


def differences(
    told: dict[str, Any], stands: Standing, *, entry_off: float = _ENTRY_OFF, given_up: Set[str] = frozenset()
) -> list[str]:
    """Where what a node told of its cache is not what the ledger says; empty when all of it is the same.

    given_up: ids of orders that the ledger may have open while the node has them canceled.
    """
    found = []
    ours = {
        int(order["venue_order_id"]): (id, order["side"], order["quantity"], order["filled"], order["price"])
        for id, order in told["open"].items()
    }
    theirs = {
        number: (plain(order["client_order_id"]), order["side"], order["quantity"], order["filled"], order["price"])
        for number, order in stands.open.items()
        if not ((id := plain(order["client_order_id"])) in given_up and told["closed"].get(id) == "CANCELED")
    }
    for number in ours.keys() | theirs.keys():
        one, other = ours.get(number), theirs.get(number)
        same = one and other and one[:2] == other[:2] and [Decimal(text) for text in one[2:]] == list(other[2:])
        if not same:
            found.append(f"order {number}: the node has {one}, the ledger {other}")
    if told["in_flight"]:
        found.append(f"in flight: {told['in_flight']}")
    strangers = {each["strategy"] for each in (*told["open"].values(), *told["positions"])} - {CLAIMS}
    if strangers:
        found.append(f"not the strategy's own: {strangers}")
    position = sum((Decimal(each["quantity"]) for each in told["positions"]), Decimal(0))
    if position != stands.position or len(told["positions"]) > 1:
        found.append(f"position: the node has {told['positions']}, the ledger {stands.position}")
    elif stands.entry is not None:
        entry = told["positions"][0]["entry"]
        if abs(entry / float(stands.entry) - 1) > entry_off:
            found.append(f"entry: the node has {entry}, the ledger {stands.entry}")
    if told["balance"] is None or Decimal(told["balance"]) != stands.wallet:
        found.append(f"balance: the node has {told['balance']}, the ledger {stands.wallet}")
    return found
